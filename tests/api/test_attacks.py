"""What an attacker tries, each for real against a running server: from another site's page, from the network, as a guesser
of passwords, and as a user who wants more than he may."""
import concurrent.futures
import json
import re
import socket
import statistics
import time
import urllib.parse

import pytest
import requests

from people import PASSWORD, Caller, add_user, basic, bearer, user
from test_access import filled, login, token_for

EVIL = "http://evil.example"


@pytest.fixture(scope="module")
def house(start_module_server, tmp_path_factory):
    home = tmp_path_factory.mktemp("house")
    add_user(home, "ann")
    server = start_module_server("--require-login", "1", home=home)
    ann = user(server, "ann")
    assert ann.api("POST", "/projects", json={"name": "vision"}).status_code == 201
    for name, roles in (("bob", {"default": "runner"}), ("eve", {"vision": "runner"}), ("victim", {"default": "viewer"})):
        assert ann.api("POST", "/users", json={"name": name, "password": PASSWORD, "roles": roles}).status_code == 201
    return server


@pytest.fixture(scope="module")
def table(house):
    return user(house, "ann").api("GET", "/routes").json()["routes"]


def raw(server, text, timeout=10):
    """Sends bytes as they are; answers status, headers and body of the one answer."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=timeout) as s:
        s.sendall(text.encode("latin-1") if isinstance(text, str) else text)
        got = b""
        while piece := s.recv(65536):
            got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    return int(head.split()[1]) if head else 0, head.decode("latin-1"), body


def get(server, path, *headers, host=None, method="GET"):
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host or '127.0.0.1:%d' % server.port}", *headers, "Connection: close", "", ""]
    return raw(server, "\r\n".join(lines))


# --- from another site's page ----------------------------------------------------------------------------------------

def test_csrf_on_every_route_that_changes_something(house, table):
    browser, answer = login(house, "ann")
    assert answer.status_code == 204
    for route in table:
        if route["method"] in ("GET", "HEAD"):
            continue
        for headers in ({"Origin": EVIL}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {}):
            if not headers and route["permission"] == "none":
                continue
            answer = browser.request(route["method"], house.url + filled(route["pattern"]), headers=headers,
                                     json={} if route["body_bytes"] else None)
            assert answer.status_code == 403, (route, headers, answer.text)


def test_a_form_of_another_site_cannot_log_in(house):
    form = '{"user": "bob", "password": "' + PASSWORD + '", "x": "'
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = requests.post(house.api("/login"), data=form + '="}', headers={"Content-Type": content_type, "Origin": EVIL})
        assert answer.status_code == 403 and "Set-Cookie" not in answer.headers
        answer = requests.post(house.api("/login"), data=form + '="}', headers={"Content-Type": content_type})
        assert answer.status_code == 400 and "Set-Cookie" not in answer.headers


def test_no_page_of_another_site_may_read(house):
    for origin in (EVIL, "null", f"http://localhost:{house.port + 1}", f"https://127.0.0.1:{house.port}", f"http://127.0.0.1:{house.port}.evil.example"):
        answer = user(house, "ann").api("GET", "/me", headers={"Origin": origin})
        assert answer.status_code == 403, origin
        assert not any(name.lower().startswith("access-control-") for name in answer.headers)
    preflight = requests.options(house.api("/users"), headers={"Origin": EVIL, "Access-Control-Request-Method": "POST"})
    assert preflight.status_code in (403, 405) and "Access-Control-Allow-Origin" not in preflight.headers


def test_clickjacking_and_content_headers_on_every_answer(house, table):
    ann = user(house, "ann")
    patterns = {route["pattern"] for route in table if route["method"] == "GET" and route["deadline_us"] != 0}
    patterns -= {p for p in patterns if p.startswith("/user/")}  # a notebook server's pages bring Jupyter's own policy
    for pattern in sorted(patterns | {"/", "/no/such/page", "/p/default/runs", "/login?next=/p/default"}):
        answer = ann("GET", filled(pattern))
        policy = answer.headers.get("Content-Security-Policy", "")
        assert "frame-ancestors 'none'" in policy or "frame-ancestors 'self'" in policy, (pattern, policy)
        assert "unsafe-inline" not in re.sub(r"style-src[^;]*", "", policy) and "unsafe-eval" not in policy, (pattern, policy)
        assert answer.headers["X-Content-Type-Options"] == "nosniff", pattern
        assert answer.headers.get("Referrer-Policy") in ("same-origin", "no-referrer", "strict-origin-when-cross-origin"), pattern


def test_what_users_upload_cannot_act_for_its_reader(house):
    bob = user(house, "bob")
    made = bob("POST", "/api/2.0/mlflow/experiments/create", json={"name": "stored"}).json()["experiment_id"]
    run = bob("POST", "/api/2.0/mlflow/runs/create", json={"experiment_id": made}).json()["run"]["info"]["run_id"]
    for name in ("page.html", "drawing.svg", "page.xhtml", "feed.xml", "no-suffix", "x.html%0d%0aSet-Cookie:%20a=b"):
        text = "<script>alert(document.domain)</script>"
        put = bob("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{made}/{run}/artifacts/{name}", data=text)
        if put.status_code != 200:
            assert put.status_code == 400, (name, put.text)
            continue
        answer = bob("GET", "/get-artifact", params={"run_uuid": run, "path": name})
        assert answer.status_code == 200, answer.text
        assert "Set-Cookie" not in answer.headers
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "attachment" in answer.headers["Content-Disposition"]
        assert "sandbox" in answer.headers["Content-Security-Policy"], name
        assert "allow-same-origin" not in answer.headers["Content-Security-Policy"]


# --- names and hosts -------------------------------------------------------------------------------------------------

def test_dns_rebinding(house):
    for host in ("evil.example", f"evil.example:{house.port}", f"127.0.0.1.evil.example:{house.port}", "localhost.evil.example",
                 "10.0.0.1", "0x7f.1", "127.1", "[::1", "localhost:", "localhost:http", "localhost@evil.example", ""):
        status, _, body = get(house, "/health", host=host) if host else raw(house, "GET /health HTTP/1.1\r\nHost: \r\nConnection: close\r\n\r\n")
        assert status in (400, 403), (host, status, body)
    for host in (f"localhost:{house.port}", "LOCALHOST", "127.0.0.1", "127.8.9.10", "[::1]:1"):
        assert get(house, "/health", host=host)[0] == 200, host


def test_the_absolute_form_does_not_bring_another_host(house):
    status, _, _ = raw(house, "GET http://evil.example/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert status == 403
    status, _, _ = raw(house, "GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
    assert status == 400


def test_allowed_hosts(start_server):
    server = start_server("--allowed-host", "lathe.example.org,*.ml.example.org")
    for host, status in (("lathe.example.org", 200), ("LATHE.example.org:443", 200), ("a.ml.example.org", 200), ("ml.example.org", 403),
                         ("evil-ml.example.org", 403), ("lathe.example.org.evil.example", 403)):
        assert get(server, "/health", host=host)[0] == status, host


def test_headers_of_proxies_are_not_believed(house):
    forged = ("X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: localhost", "X-Forwarded-Proto: https", "X-Forwarded-User: ann",
              "Forwarded: for=127.0.0.1;host=localhost", "X-Real-IP: 127.0.0.1", "x-forwarded-for:127.0.0.1")
    for header in forged:
        assert get(house, "/health", header)[0] == 403, header
    for header in ("X-Forwarded-For : 127.0.0.1", " X-Forwarded-For: 127.0.0.1", "X-Forwarded-For\t: 1", "X-Forwarded-For:\r\n 127.0.0.1"):
        assert get(house, "/health", header)[0] in (400, 403), header
    for header in ("X_Forwarded_For: 127.0.0.1", "Remote-User: ann", "X-Remote-User: ann", "X-Original-URL: /api/lathe/v1/users", "X-HTTP-Method-Override: DELETE"):
        status, _, _ = get(house, "/api/lathe/v1/me", header)
        assert status == 401, header


# --- paths and parsers -----------------------------------------------------------------------------------------------

CLIMBS = ["..", "%2e%2e", "..%2f..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "..%5c..%5cetc", "%252e%252e%252fetc",
          "%00", "a%00.txt", ".%2e", "%c0%ae%c0%ae", "....%2f%2f", "file:%2f%2f%2fetc%2fpasswd", "~root", "%0d%0aSet-Cookie:x=y"]


def test_path_traversal_on_every_parameter(house, table):
    bob = user(house, "ann")
    tried = 0
    for route in table:
        if "{" not in route["pattern"] or route["protocol"] in ("hub", "page"):
            continue
        if route["pattern"].startswith(("/api/3.0", "/ajax-api")):
            continue  # the same handlers under other prefixes
        names = re.findall(r"\{([^}]+)\}", route["pattern"])
        for name in names:
            for climb in CLIMBS:
                path = route["pattern"].replace("{" + name + "}", climb)
                path = re.sub(r"\{[^}]+\}", "x", path)
                status, head, body = get(house, path, "Authorization: " + basic("ann"), "Content-Length: 0", method=route["method"])
                tried += 1
                if status == 403 and route["pattern"].startswith("/v2/systemsharedmemory"):
                    continue  # for clients without a secret, of the server's own user, only
                assert status in (200, 204, 400, 403, 404, 405, 409, 411, 415, 422, 501, 503), (route["method"], path, status, body)
                assert b"root:" not in body and "\r\nSet-Cookie" not in head, (path, body)
                if status in (200, 204):
                    assert not re.search(r"(^|[/\\])\.\.([/\\]|$)", urllib.parse.unquote(climb)), (route["method"], path, body)
    assert tried > 300
    assert bob.api("GET", "/me").status_code == 200


def test_path_traversal_in_queries_and_bodies(house):
    bob = user(house, "bob")
    made = bob("POST", "/api/2.0/mlflow/experiments/create", json={"name": "paths"}).json()["experiment_id"]
    run = bob("POST", "/api/2.0/mlflow/runs/create", json={"experiment_id": made}).json()["run"]["info"]["run_id"]
    for path in ("../../../etc/passwd", "/etc/passwd", "a/../../b", "..", "a\\..\\b", "%2e%2e/x", "C:\\x", "a//../b", "./a", "a\x00b"):
        for where, key in (("/get-artifact", "run_uuid"), ("/api/2.0/mlflow/artifacts/list", "run_id")):
            answer = bob("GET", where, params={key: run, "path": path})
            assert answer.status_code in (200, 400, 404) and "root:" not in answer.text, (where, path, answer.text)
            if answer.status_code == 200:
                assert not answer.json().get("files"), (where, path)
    for location in ("file:///etc", "/etc", "s3://bucket/../x", "mlflow-artifacts:/../../etc", "file:///etc/../etc"):
        answer = bob("POST", "/api/2.0/mlflow/experiments/create", json={"name": "at " + location, "artifact_location": location})
        if answer.status_code == 200:
            run = bob("POST", "/api/2.0/mlflow/runs/create", json={"experiment_id": answer.json()["experiment_id"]}).json()["run"]["info"]["run_id"]
            got = bob("GET", "/get-artifact", params={"run_uuid": run, "path": "passwd"})
            assert got.status_code in (400, 404, 501) and "root:" not in got.text, (location, got.text)
    for name in ("../../evil", "/tmp/evil", "a/../../b", ".git/config/../../x", "a\x00b", ""):
        answer = bob.api("POST", "/bundles", json={"files": [{"path": name, "sha256": "0" * 64, "size": 0}]})
        assert answer.status_code == 400, (name, answer.text)


def bundle_of(caller, text):
    """Stores a lathe.yaml as a bundle and asks for it to be applied."""
    import hashlib
    data = text.encode()
    digest = hashlib.sha256(data).hexdigest()
    put = caller.api("PUT", "/blobs/" + digest, data=data)
    assert put.status_code in (200, 201, 204), put.text
    made = caller.api("POST", "/bundles", json={"files": [{"path": "lathe.yaml", "digest": digest, "size": len(data), "executable": False}]})
    return caller.api("POST", "/apply", json={"bundle": made.json()["bundle"]}) if made.status_code < 300 else made


def test_yaml_and_json_bombs(house):
    bob = user(house, "bob")
    laughs = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(9))
    bombs = [laughs, "a: " + "[" * 100_000, "{a: " * 50_000, "? " * 50_000, "a: &a [*a]\n", "- " * 100_000]
    for text in bombs:
        began = time.monotonic()
        answer = bundle_of(bob, text)
        assert answer.status_code == 400, answer.text[:200]
        assert time.monotonic() - began < 10
    for body in ("[" * 500_000, '{"a":' * 100_000, '{"name": ' + "[" * 100 + "]" * 100 + "}", '"' + "\\u0000" * 1000 + '"'):
        for path in ("/tokens", "/apply", "/login"):
            answer = bob.api("POST", path, data=body, headers={"Content-Type": "application/json"})
            assert answer.status_code in (400, 413), (path, answer.status_code, answer.text[:200])
    memory = int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{house.process.pid}/status").read())[1])
    assert memory < 512 * 1024, f"{memory} kB"


def test_a_compressed_body_is_not_unpacked_without_limit(house):
    """No route takes Content-Encoding yet: a gzip bomb is just a body that is no JSON."""
    import gzip
    bomb = gzip.compress(b"\0" * 50_000_000)
    answer = user(house, "bob").api("POST", "/tokens", data=bomb, headers={"Content-Type": "application/json", "Content-Encoding": "gzip"})
    assert answer.status_code in (400, 413, 415)


# --- the server is no one's errand boy -------------------------------------------------------------------------------

def test_no_route_fetches_what_a_user_names(house):
    """A listener waits; whatever has a field for an address gets its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(2)
        target = f"http://127.0.0.1:{listener.getsockname()[1]}/latest/meta-data"
        bob = user(house, "bob")
        made = bob("POST", "/api/2.0/mlflow/experiments/create", json={"name": "fetch", "artifact_location": target})
        run = None
        if made.status_code == 200:
            run = bob("POST", "/api/2.0/mlflow/runs/create", json={"experiment_id": made.json()["experiment_id"]}).json()["run"]["info"]["run_id"]
            bob("GET", "/get-artifact", params={"run_uuid": run, "path": "x"})
            bob("GET", "/api/2.0/mlflow/artifacts/list", params={"run_id": run})
        bob("POST", "/api/2.0/mlflow/registered-models/create", json={"name": "fetch"})
        bob("POST", "/api/2.0/mlflow/model-versions/create", json={"name": "fetch", "source": target})
        bob("GET", "/model-versions/get-artifact", params={"name": "fetch", "version": "1", "path": "x"})
        bob("GET", "/api/2.0/mlflow/model-versions/get-download-uri", params={"name": "fetch", "version": "1"})
        get(house, "/proxy?url=" + target, "Authorization: " + basic("bob"))
        raw(house, f"GET {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {basic('bob')}\r\nConnection: close\r\n\r\n")
        raw(house, f"CONNECT 127.0.0.1:{listener.getsockname()[1]} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        with pytest.raises(TimeoutError):
            listener.accept()


# --- credentials -----------------------------------------------------------------------------------------------------

def test_a_token_in_the_address_is_nothing(house):
    token = token_for(house, "bob")["token"]
    for query in (f"token={token}", f"access_token={token}", f"api_key={token}", f"lathe_session={token}", f"authorization=Bearer%20{token}"):
        assert Caller(house).api("GET", "/me?" + query).status_code == 401, query
    assert requests.get(house.url.replace("://", f"://{token}@") + "/api/lathe/v1/me").status_code == 401
    assert token not in house.log() and PASSWORD not in house.log()


def test_session_fixation(house):
    planted = "A" * 43
    browser = requests.Session()
    browser.cookies.set("lathe_session", planted, domain="127.0.0.1")
    _, answer = login(house, "bob", session=browser)
    assert answer.status_code == 204
    fresh = re.search(r"lathe_session=([^;]+)", answer.headers["Set-Cookie"])[1]
    assert fresh != planted and len(fresh) >= 43
    assert requests.get(house.api("/me"), cookies={"lathe_session": planted}).status_code == 401
    assert requests.get(house.api("/me"), cookies={"lathe_session": fresh}).json()["name"] == "bob"
    token = token_for(house, "bob")["token"]
    assert requests.get(house.api("/me"), cookies={"lathe_session": token}).status_code == 401, "a token is no session"
    assert Caller(house, "Bearer " + fresh).api("GET", "/me").status_code == 401, "and a session no token"


def test_no_redirect_anywhere(house):
    for where in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/%09/evil.example"):
        for path in ("/login?next=", "/?next=", "/api/lathe/v1/login?next=", "/logout?next="):
            status, head, _ = get(house, path + requests.utils.quote(where, safe=""))
            assert "\r\nlocation:" not in head.lower() and not 300 <= status < 400, (path, where, head)
    status, head, _ = get(house, "//evil.example/%2f..")
    assert "\r\nlocation:" not in head.lower()


def test_ambiguous_and_broken_credentials(house):
    good = "Authorization: " + basic("bob")
    assert get(house, "/api/lathe/v1/me", good)[0] == 200
    assert get(house, "/api/lathe/v1/me", good, "Authorization: " + basic("ann", "guess"))[0] == 400
    for value in ("Basic", "Basic !!!", "Basic " + "QQ==", "Bearer", "Bearer " + "x" * 5000, "Basic " + "A" * 20_000, "bearer  ", "Negotiate abc",
                  basic("bob", PASSWORD + "\0"), basic("bob\0", PASSWORD), basic("", ""), basic("BOB"), basic("bob'--"), basic("bob", "x" * 100_00)):
        assert get(house, "/api/lathe/v1/me", "Authorization: " + value)[0] in (401, 429), value[:40]
    for project in ("a" * 5000, "x'; DROP TABLE users; --", "../default", "default\tx", "*", "0"):
        assert get(house, "/api/lathe/v1/pipelines", good, "X-Lathe-Project: " + project)[0] in (400, 404), project[:40]


def test_brute_force_is_slowed_down(start_server, tmp_path):
    add_user(tmp_path, "ann")
    add_user(tmp_path, "bob", "--role", "viewer")
    server = start_server("--require-login", "1", home=tmp_path)
    kept = user(server, "ann")
    assert kept.api("GET", "/me").status_code == 200
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: login(server, "bob", f"guess number {n}")[1], range(200)))
    codes = [a.status_code for a in answers]
    assert set(codes) <= {401, 429}
    spent = time.monotonic() - began
    assert codes.count(401) <= 5 + 2 + 3 + spent, f"{codes.count(401)} guesses were looked at in {spent:.1f} s"
    refused = next(a for a in answers if a.status_code == 429)
    assert int(refused.headers["Retry-After"]) >= 1
    assert login(server, "bob")[1].status_code == 429, "the right password waits too: else an answer would tell"
    assert kept.api("GET", "/me").status_code == 200, "who was in before is not locked out"
    assert requests.get(server.url + "/health").status_code == 200
    time.sleep(8.2)
    # After the longest wait of a user; the address waits longer.
    for _ in range(60):
        answer = login(server, "bob")[1]
        if answer.status_code == 204:
            break
        time.sleep(int(answer.headers["Retry-After"]))
    assert answer.status_code == 204


def test_many_logins_at_once_hold_two_hashes_of_memory(start_server, tmp_path):
    add_user(tmp_path, "ann")
    server = start_server("--require-login", "1", home=tmp_path)
    peak = 0
    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        jobs = [pool.submit(lambda: user(server, "ann").api("GET", "/me").status_code) for _ in range(150)]
        while not all(job.done() for job in jobs):
            peak = max(peak, int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{server.process.pid}/status").read())[1]))
            time.sleep(0.01)
    codes = [job.result() for job in jobs]
    assert set(codes) <= {200, 429} and codes.count(200) >= 60, codes
    assert peak < 40 * 1024 + 2 * 32 * 1024 + 60 * 1024, f"{peak} kB"


def test_unknown_users_take_as_long_as_known_ones(start_server, tmp_path):
    """Medians over logins that fail; the addresses differ only in the back-off, so few attempts are made for each name."""
    add_user(tmp_path, "victim")
    house = start_server("--require-login", "1", home=tmp_path)

    def spent(name):
        began = time.perf_counter()
        answer = login(house, name, "some wrong password")[1]
        return time.perf_counter() - began, answer
    known, unknown = [], []
    for n in range(2):
        took, answer = spent("victim")
        known.append(took)
        assert answer.status_code == 401
        took, other = spent(f"stranger-{n}")
        unknown.append(took)
        assert other.status_code == 401
        message = [a.json()["error"]["message"] for a in (answer, other)]
        assert message[0] == message[1]
    assert 0.3 < statistics.median(known) / statistics.median(unknown) < 3
    assert user(house, "victim").api("GET", "/me").status_code == 200


def test_injection_through_names(house):
    ann = user(house, "ann")
    for name in ("x'; DROP TABLE users; --", "<script>", "a\nb", "a\u0000b", "\u202eann", "ann ", "ANN", "аnn"):
        answer = ann.api("POST", "/users", json={"name": name, "password": PASSWORD})
        assert answer.status_code == 400, name
    assert len(ann.api("GET", "/users").json()["users"]) >= 4


# --- other people's projects -----------------------------------------------------------------------------------------

def test_nothing_of_another_project_is_read_by_id(house, table):
    """Bob makes one of everything, named so that a leak is seen; eve asks for each by its id, from her own project."""
    bob, eve = user(house, "bob"), user(house, "eve", "vision")
    mark = "zebra"
    exp = bob("POST", "/api/2.0/mlflow/experiments/create", json={"name": mark}).json()["experiment_id"]
    run = bob("POST", "/api/2.0/mlflow/runs/create", json={"experiment_id": exp, "run_name": mark}).json()["run"]["info"]["run_id"]
    bob("POST", "/api/2.0/mlflow/runs/log-metric", json={"run_id": run, "key": mark, "value": 1, "timestamp": 1})
    bob("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{exp}/{run}/artifacts/{mark}.txt", data=mark)
    bob("POST", "/api/2.0/mlflow/registered-models/create", json={"name": mark})
    bob("POST", "/api/2.0/mlflow/model-versions/create", json={"name": mark, "source": f"mlflow-artifacts:/{exp}/{run}/artifacts", "run_id": run})
    model = bob("POST", "/api/2.0/mlflow/logged-models", json={"experiment_id": exp, "name": mark}).json()["model"]["info"]["model_id"]
    applied = bundle_of(bob, f"project: {mark}\nstages:\n  {mark}: {{cmd: 'echo {mark}; exit 0'}}\n")
    assert applied.status_code in (200, 201), applied.text
    runs = bob.api("GET", f"/pipelines/{mark}/runs").json()["runs"]
    if not runs:
        assert bob.api("POST", f"/pipelines/{mark}/runs", json={}).status_code in (200, 201, 202)
        runs = bob.api("GET", f"/pipelines/{mark}/runs").json()["runs"]
    until = time.monotonic() + 30
    attempt = ""
    while not attempt and time.monotonic() < until:
        attempt = bob.api("GET", "/pipeline-runs/" + runs[0]["id"]).json()["stages"][0].get("attempt") or ""
        time.sleep(0.1)
    import hashlib
    blob = hashlib.sha256(mark.encode()).hexdigest()
    bob.api("PUT", "/blobs/" + blob, data=mark)
    ids = [exp, run, model, mark, "1", runs[0]["id"], attempt, blob, f"{exp}/{run}/artifacts/{mark}.txt", mark + ".txt"]
    seen = 0
    for route in table:
        if route["method"] != "GET" or route["protocol"] in ("hub", "page") or route["deadline_us"] == 0 and "events" in route["pattern"]:
            continue
        if route["permission"] in ("none", "self", "server"):
            continue
        names = re.findall(r"\{([^}]+)\}", route["pattern"])
        for value in ids:
            path = re.sub(r"\{[^}]+\}", lambda _: value, route["pattern"])
            query = {"run_id": run, "run_uuid": run, "experiment_id": exp, "experiment_name": mark, "name": mark, "version": "1", "metric_key": mark,
                     "path": mark + ".txt", "alias": mark, "endpoint": mark, "pipeline": mark, "run": runs[0]["id"], "run_ids": run, "id": value,
                     "experiment_ids": exp, "model_id": model, "run_a": run, "run_b": run}
            for caller, headers in ((eve, {}), (user(house, "eve"), {"X-Lathe-Project": "default"})):
                answer = caller("GET", path, params=query, headers=headers)
                assert answer.status_code < 500 or answer.status_code == 501, (path, answer.text)
                if answer.status_code == 200:
                    assert mark not in answer.text, (path, answer.text[:300])
                    seen += 1
                elif headers:
                    assert answer.status_code in (403, 404), (path, answer.status_code)
            if not names:
                break
    assert seen > 5, "lists of her own project are empty, but there"
    for path, body in (("runs/search", {"experiment_ids": [exp]}), ("experiments/search", {"max_results": 100}), ("logged-models/search", {"experiment_ids": [exp]}),
                       ("experiments/search-datasets", {"experiment_ids": [exp]})):
        answer = eve("POST", "/api/2.0/mlflow/" + path, json=body)
        assert mark not in answer.text and run not in answer.text, (path, answer.text)
    for method, path, body in (("POST", "runs/log-metric", {"run_id": run, "key": "x", "value": 1, "timestamp": 1}), ("POST", "runs/delete", {"run_id": run}),
                               ("POST", "experiments/delete", {"experiment_id": exp}), ("DELETE", "registered-models/delete", {"name": mark}),
                               ("POST", "runs/set-tag", {"run_id": run, "key": "k", "value": "v"})):
        assert eve(method, "/api/2.0/mlflow/" + path, json=body).status_code == 404, path
    assert eve.api("POST", f"/pipelines/{mark}/runs", json={}).status_code == 404
    assert eve.api("POST", "/pipeline-runs/" + runs[0]["id"] + "/cancel", json={}).status_code == 404
    # The same path in one's own project is another file.
    eve("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{exp}/{run}/artifacts/evil.txt", data="evil")
    listed = bob("GET", f"/api/2.0/mlflow/artifacts/list?run_id={run}").text
    assert f"{mark}.txt" in listed and "evil" not in listed
    assert bob("GET", f"/api/2.0/mlflow-artifacts/artifacts/{exp}/{run}/artifacts/evil.txt").status_code == 404
    assert json.loads(bob("GET", "/api/2.0/mlflow/runs/get", params={"run_id": run}).text)["run"]["info"]["lifecycle_stage"] == "active"
