"""Users, roles, tokens, sessions and projects, as people meet them: on the command line, with the stock client, in a
browser's way. The server of most tests asks everybody to log in, so that a request without a credential is a stranger's."""
import json
import subprocess
import sys
import threading
import time

import pytest
import requests

from lathe_server import clean_environment
from people import PASSWORD, Caller, add_user, basic, bearer, run, user

ROLES = ["viewer", "editor", "runner", "infer", "admin", "plane"]
ALLOWED = {
    "viewer": {"read", "self"},
    "editor": {"read", "write", "infer", "self"},
    "runner": {"read", "write", "infer", "run-code", "self"},
    "infer": {"infer", "self"},
    "admin": {"read", "write", "infer", "run-code", "admin", "self"},
    "plane": {"plane", "self"},
}


@pytest.fixture(scope="module")
def house(start_module_server, tmp_path_factory):
    """A server with an administrator (ann), one user for each role in `default`, and eve, an editor of `vision`."""
    home = tmp_path_factory.mktemp("house")
    add_user(home, "ann")
    server = start_module_server("--require-login", "1", home=home)
    ann = user(server, "ann")
    assert ann.api("POST", "/projects", json={"name": "vision"}).status_code == 201
    for role in ROLES:
        body = {"name": role, "password": PASSWORD, "roles": {"default": role}}
        assert ann.api("POST", "/users", json=body).status_code == 201
    assert ann.api("POST", "/users", json={"name": "eve", "password": PASSWORD, "roles": {"vision": ["editor"]}}).status_code == 201
    return server


@pytest.fixture
def ann(house):
    return user(house, "ann")


def token_for(house, name, **body):
    answer = user(house, name).api("POST", "/tokens", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_user_before_the_first_start_is_administrator(tmp_path, start_server):
    assert "administrator" in add_user(tmp_path, "ann")
    assert "no role yet" in add_user(tmp_path, "bob")
    refused = run(tmp_path, "user", "add", "ann", stdin=PASSWORD + "\n")
    assert refused.returncode == 1 and "already" in refused.stderr
    short = run(tmp_path, "user", "add", "carl", stdin="short\n")
    assert short.returncode == 1 and "8 to 1024" in short.stderr
    server = start_server(home=tmp_path)
    assert "administrator" not in add_user(tmp_path, "carl", "--role", "viewer", env={"LATHE_SERVER": server.url})
    listed = run(tmp_path, "user", "list").stdout
    assert "ann" in listed and "carl" in listed and "default:viewer" in listed
    assert user(server, "ann").api("GET", "/me").json()["admin"] is True
    assert user(server, "carl").api("GET", "/me").json()["roles"] == ["viewer"]


def test_local_mode_and_me(fresh_server):
    me = Caller(fresh_server).api("GET", "/me").json()
    assert (me["name"], me["kind"], me["admin"], me["mode"]) == ("local", "local", True, "local")
    assert (me["project"], me["projects"]) == ("default", ["default"])
    add_user(fresh_server.home, "ann", env={"LATHE_SERVER": fresh_server.url})
    me = Caller(fresh_server).api("GET", "/me").json()
    assert me["kind"] == "local", "whoever runs the server on this machine stays its administrator"
    assert user(fresh_server, "ann").api("GET", "/me").json()["kind"] == "user"
    assert user(fresh_server, "ann", password="wrong").api("GET", "/me").status_code == 401


def test_only_health_is_open_without_login(house):
    stranger = Caller(house)
    for path in ("/health", "/livez", "/readyz", "/v2/health/live", "/v2/health/ready"):
        assert stranger("GET", path).status_code == 200, path
    assert stranger("GET", "/ping").status_code == 404, "open, but there is no endpoint"
    for route in user(house, "ann").api("GET", "/routes").json()["routes"]:
        if route["permission"] == "none":
            continue
        answer = stranger(route["method"], filled(route["pattern"]))
        assert answer.status_code == 401, (route, answer.text)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_metrics_want_a_token_that_reads_every_project(house, ann):
    assert Caller(house)("GET", "/metrics").status_code == 401
    assert user(house, "viewer")("GET", "/metrics").status_code == 403, "they tell of other projects, too"
    service = ann.api("POST", "/users", json={"name": "prometheus", "kind": "service", "roles": {"*": "viewer"}})
    assert service.status_code == 201, service.text
    token = ann.api("POST", "/tokens", json={"user": "prometheus"}).json()["token"]
    assert "lathe_http_answers_total" in bearer(house, token)("GET", "/metrics").text
    for role in ("infer", "plane"):  # rights that read nothing, in all projects
        assert ann.api("POST", "/users", json={"name": f"all-{role}", "kind": "service", "roles": {"*": role}}).status_code == 201
        token = ann.api("POST", "/tokens", json={"user": f"all-{role}"}).json()["token"]
        assert bearer(house, token)("GET", "/metrics").status_code == 403, role


# --- sessions --------------------------------------------------------------------------------------------------------

def login(server, name, password=PASSWORD, session=None, **headers):
    session = session or requests.Session()
    answer = session.post(server.api("/login"), json={"user": name, "password": password},
                          headers={"Origin": server.url, **headers}, timeout=30)
    return session, answer


def test_a_session_from_login_to_logout(house):
    browser, answer = login(house, "editor")
    assert answer.status_code == 204 and answer.text == ""
    cookie = answer.headers["Set-Cookie"]
    for part in ("lathe_session=", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=604800"):
        assert part in cookie, cookie
    assert "Secure" not in cookie, "the server speaks plain HTTP here"
    me = browser.get(house.api("/me")).json()
    assert (me["name"], me["roles"], me["session"], me["mode"]) == ("editor", ["editor"], True, "users")
    old = browser.cookies["lathe_session"]
    login(house, "editor", session=browser)
    assert browser.cookies["lathe_session"] != old, "a new login is a new session"
    assert requests.get(house.api("/me"), cookies={"lathe_session": old}).status_code == 401, "and the old one has ended"
    now = browser.cookies["lathe_session"]
    out = browser.post(house.api("/logout"), headers={"Origin": house.url})
    assert out.status_code == 204 and "Max-Age=0" in out.headers["Set-Cookie"]
    assert requests.get(house.api("/me"), cookies={"lathe_session": now}).status_code == 401


def test_a_cookie_needs_its_own_origin_to_change_something(house):
    browser, _ = login(house, "editor")
    create = house.url + "/api/2.0/mlflow/experiments/create"
    assert browser.post(create, json={"name": "x1"}).status_code == 403
    assert browser.post(create, json={"name": "x1"}, headers={"Origin": "http://evil.example"}).status_code == 403
    assert browser.post(create, json={"name": "x1"}, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert browser.post(create, json={"name": "x1"}, headers={"Sec-Fetch-Site": "same-site"}).status_code == 403
    assert browser.post(create, json={"name": "x1"}, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200
    assert browser.post(create, json={"name": "x2"}, headers={"Origin": house.url}).status_code == 200


def test_a_new_password_ends_the_sessions(house, ann):
    ann.api("POST", "/users", json={"name": "paul", "password": PASSWORD, "roles": {"default": "viewer"}})
    one, _ = login(house, "paul")
    two, _ = login(house, "paul")
    wrong = one.post(house.api("/me/password"), json={"old_password": "not this one", "new_password": "another horse"},
                     headers={"Origin": house.url})
    assert wrong.status_code == 403
    done = one.post(house.api("/me/password"), json={"old_password": PASSWORD, "new_password": "another horse"},
                    headers={"Origin": house.url})
    assert done.status_code == 204, done.text
    assert [s.get(house.api("/me")).status_code for s in (one, two)] == [401, 401]
    assert user(house, "paul").api("GET", "/me").status_code == 401
    assert user(house, "paul", password="another horse").api("GET", "/me").status_code == 200


def test_a_cookie_of_another_server_is_as_none(fresh_server):
    """Cookies know no ports: two servers on one host must not lock each other's users out."""
    assert requests.get(fresh_server.api("/me"), cookies={"lathe_session": "x" * 43}).json()["name"] == "local"


# --- tokens ----------------------------------------------------------------------------------------------------------

def test_a_token_is_shown_once_and_revoked(house):
    made = token_for(house, "runner", label="ci")
    assert made["token"].startswith("lathe_") and made["id"].startswith("tk_")
    with_it = bearer(house, made["token"])
    assert with_it.api("GET", "/me").json()["name"] == "runner"
    listed = user(house, "runner").api("GET", "/tokens")
    assert made["id"] in listed.text and made["token"] not in listed.text
    assert user(house, "viewer").api("DELETE", "/tokens/" + made["id"]).status_code == 404, "somebody else's"
    assert user(house, "runner").api("DELETE", "/tokens/" + made["id"]).status_code == 204
    assert with_it.api("GET", "/me").status_code == 401


def test_a_token_is_narrower_than_its_owner(house, ann):
    for_infer = bearer(house, token_for(house, "runner", role="infer")["token"])
    assert for_infer.api("GET", "/me").json()["permissions"] == ["infer"]
    assert for_infer.api("GET", "/pipelines").status_code == 403
    admins = bearer(house, token_for(house, "ann", project="vision")["token"])
    me = admins.api("GET", "/me").json()
    assert (me["project"], me["projects"], me["admin"]) == ("vision", ["vision"], False)
    assert admins.api("GET", "/pipelines", headers={"X-Lathe-Project": "default"}).status_code == 404
    assert admins.api("GET", "/users").status_code == 403
    assert for_infer.api("POST", "/tokens", json={}).status_code == 403
    whole = bearer(house, token_for(house, "runner")["token"])
    assert whole.api("POST", "/tokens", json={}).status_code == 403, "a token makes no token"
    for body, status in (({"role": "runner", "project": "default"}, 403), ({"project": "vision"}, 404), ({"role": "king"}, 400),
                         ({"user": "ann"}, 403), ({"expires_in_s": 0}, 400), ({"frm": 1}, 400)):
        assert user(house, "viewer").api("POST", "/tokens", json=body).status_code == status, body


def test_a_token_expires(house):
    soon = bearer(house, token_for(house, "viewer", expires_in_s=2)["token"])
    assert soon.api("GET", "/me").status_code == 200
    time.sleep(2.1)
    assert soon.api("GET", "/me").status_code == 401


def test_tokens_and_login_on_the_command_line(house, tmp_path):
    env = {"LATHE_SERVER": house.url}
    refused = run(tmp_path, "runs", env=env)
    assert refused.returncode == 1 and "log in" in refused.stderr
    wrong = run(tmp_path, "login", "runner", stdin="not the password\n", env=env)
    assert wrong.returncode == 1 and "wrong" in wrong.stderr
    done = run(tmp_path, "login", "runner", stdin=PASSWORD + "\n", env=env)
    assert done.returncode == 0, done.stderr
    kept = tmp_path / "config" / "lathe" / "tokens"
    assert kept.stat().st_mode & 0o077 == 0
    assert run(tmp_path, "project", "list", env=env).stdout == "default\n"
    assert "lathe login" in run(tmp_path, "token", "list", env=env).stdout
    assert run(tmp_path, "user", "list", env=env).returncode == 1
    assert "does not exist" in run(tmp_path, "--project", "vision", "monitor", "list", env=env).stderr
    assert run(tmp_path, "logout", env=env).returncode == 0
    assert run(tmp_path, "project", "list", env=env).returncode == 1


def test_the_audit_lines_of_access(house, ann, tmp_path):
    env = {"LATHE_SERVER": house.url, "LATHE_TOKEN": token_for(house, "ann")["token"]}
    add_user(tmp_path, "carol", "--role", "editor", env=env)
    for args in (("role", "carol", "viewer"), ("role", "carol", "--none"), ("role", "carol", "--admin"), ("disable", "carol"),
                 ("enable", "carol")):
        out = run(tmp_path, "user", *args, env=env)
        assert out.returncode == 0, out.stderr
    assert run(tmp_path, "user", "password", "carol", stdin="yet another horse\n", env=env).returncode == 0
    made = run(tmp_path, "token", "create", "--user", "carol", "--expires", "1d", env=env)
    assert made.stdout.startswith("lathe_")
    assert run(tmp_path, "token", "revoke", made.stderr.split()[1].rstrip(";"), env=env).returncode == 0
    lines = ann.api("GET", "/audit?limit=100&actor=user:ann").json()["lines"]
    seen = {line["action"] for line in lines}
    assert {"user.added", "user.roles_changed", "user.made_admin", "user.disabled", "user.enabled", "user.password_changed",
            "token.minted", "token.revoked", "project.added"} <= seen
    printed = run(tmp_path, "audit", "--kind", "user", env=env).stdout
    assert "user.disabled" in printed and "token.minted" not in printed
    paged = ann.api("GET", "/audit?limit=1").json()
    assert ann.api("GET", f"/audit?limit=1&after={paged['next']}").json()["lines"][0]["id"] < paged["lines"][0]["id"]
    hidden = user(house, "admin").api("GET", "/audit?limit=1000")
    assert hidden.status_code == 200 and "user.added" not in hidden.text, "a project's administrator sees the project's"


# --- roles -----------------------------------------------------------------------------------------------------------

def filled(pattern):
    out = []
    for part in pattern.split("/"):
        if part.startswith("{"):
            close = part.index("}")
            part = "nothing-there" + part[close + 1:]
        out.append(part)
    return "/".join(out)


def test_role_by_route(house, ann):
    table = ann.api("GET", "/routes").json()["routes"]
    assert len(table) > 150
    wrong = []
    for role in ROLES:
        caller = user(house, role)
        for route in table:
            if route["permission"] == "none" or route["protocol"] in ("hub", "page") or route["pattern"].endswith("/logout"):
                continue
            if route["deadline_us"] == 0 and route["method"] == "GET" and route["permission"] in ALLOWED[role]:
                continue  # a stream that would not end; who may not is told at once
            body = {} if route["method"] in ("GET", "DELETE") else {"json": {}}
            answer = caller(route["method"], filled(route["pattern"]), **body)
            if answer.status_code == 503 and "load and unload is not allowed here" in answer.text and route["permission"] in ALLOWED[role]:
                continue  # as Triton says it
            denied = answer.status_code == 403 and ("has no permission to" in answer.text or "is no administrator" in answer.text)
            if denied == (route["permission"] in ALLOWED[role]) or answer.status_code == 401 or answer.status_code >= 500 and answer.status_code != 501:
                wrong.append((role, route["method"], route["pattern"], route["permission"], answer.status_code, answer.text[:100]))
    assert not wrong, "\n".join(map(str, wrong))


def test_another_project_looks_like_none(house):
    viewer = user(house, "viewer")
    answers = [viewer.api("GET", "/pipelines", headers={"X-Lathe-Project": name}) for name in ("vision", "nowhere")]
    answers += [viewer.api("GET", f"/pipelines?project={name}") for name in ("vision", "nowhere")]
    answers += [viewer.api("GET", "/pipelines", headers={"X-MLFLOW-WORKSPACE": name}) for name in ("vision", "nowhere")]
    for a in answers:
        assert a.status_code == 404
        text = a.json()["error"]["message"].replace("vision", "NAME").replace("nowhere", "NAME")
        assert text == answers[0].json()["error"]["message"].replace("vision", "NAME")
    mlflow = viewer("POST", "/api/2.0/mlflow/runs/search", json={"experiment_ids": ["0"]}, headers={"X-Lathe-Project": "vision"})
    assert mlflow.status_code == 404 and mlflow.json()["error_code"]
    assert viewer.api("GET", "/pipelines", headers={"X-Lathe-Project": "vision", "X-MLFLOW-WORKSPACE": "default"}).status_code == 400
    assert user(house, "eve").api("GET", "/me").json()["projects"] == ["vision"]


def test_the_stock_client_with_user_and_password(house, tmp_path):
    script = tmp_path / "client.py"
    script.write_text("""
import mlflow, sys
mlflow.set_experiment(sys.argv[1])
with mlflow.start_run() as run:
    mlflow.log_metric("m", 1.0)
    (open("note.txt", "w")).write("hello")
    mlflow.log_artifact("note.txt")
print(mlflow.get_run(run.info.run_id).data.metrics["m"])
""")

    def client(name, **env):
        return subprocess.run([sys.executable, script, name], cwd=tmp_path, text=True, capture_output=True, timeout=120,
                              env=clean_environment(MLFLOW_TRACKING_URI=house.url, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0", **env))

    good = client("basic", MLFLOW_TRACKING_USERNAME="editor", MLFLOW_TRACKING_PASSWORD=PASSWORD)
    assert good.returncode == 0 and good.stdout.splitlines()[-1] == "1.0", good.stderr
    token = client("token", MLFLOW_TRACKING_TOKEN=token_for(house, "editor")["token"])
    assert token.returncode == 0, token.stderr
    viewer = client("viewer", MLFLOW_TRACKING_USERNAME="viewer", MLFLOW_TRACKING_PASSWORD=PASSWORD)
    assert viewer.returncode != 0 and "has no permission to write" in viewer.stderr
    wrong = client("wrong", MLFLOW_TRACKING_USERNAME="editor", MLFLOW_TRACKING_PASSWORD="not this one")
    assert wrong.returncode != 0 and "401" in wrong.stderr + wrong.stdout or "wrong" in wrong.stderr
    nobody = client("nobody")
    assert nobody.returncode != 0


# --- revocation ------------------------------------------------------------------------------------------------------

class Stream(threading.Thread):
    """Reads an answer that does not end; knows when it ended all the same."""

    def __init__(self, answer):
        super().__init__(daemon=True)
        self.answer, self.ended = answer, None
        self.start()

    def run(self):
        try:
            for _ in self.answer.iter_content(None):
                pass
        except (requests.RequestException, AttributeError):  # urllib3 reads on from a socket that the test closed
            pass
        self.ended = time.monotonic()


@pytest.fixture(scope="module")
def following(house):
    """An attempt that runs, so that its log can be followed."""
    project = house.home / "endless"
    project.mkdir()
    (project / "wait.sh").write_text("echo started; sleep 600\n")
    (project / "lathe.yaml").write_text("project: endless\nstages:\n  wait: {cmd: sh wait.sh, deps: [wait.sh]}\n")
    token = token_for(house, "runner")["token"]
    out = run(project, "apply", env={"LATHE_SERVER": house.url, "LATHE_TOKEN": token})
    assert out.returncode == 0, out.stderr
    runner = bearer(house, token)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        runs = runner.api("GET", "/pipelines/endless/runs").json()["runs"]
        stages = runner.api("GET", "/pipeline-runs/" + runs[0]["id"]).json()["stages"] if runs else []
        attempts = [s["attempt"] for s in stages if s["name"] == "wait" and s.get("attempt")]
        if attempts:
            return f"/attempts/{attempts[0]}/log?follow=true"
        time.sleep(0.1)
    raise AssertionError("the stage does not start")


@pytest.mark.parametrize("how", ["disabled", "role removed", "token revoked", "password changed", "logout"])
def test_revocation_ends_open_streams_within_a_second(house, ann, following, how):
    name = "temp-" + how.replace(" ", "-")
    assert ann.api("POST", "/users", json={"name": name, "password": PASSWORD, "roles": {"default": "viewer"}}).status_code == 201
    browser = None
    if how in ("token revoked", "disabled", "role removed"):
        made = token_for(house, name)
        caller = bearer(house, made["token"]).session
    elif how == "logout":
        browser, _ = login(house, name)
        caller = browser
    else:
        caller = user(house, name).session
    streams = [Stream(caller.get(house.api("/events"), headers={"Accept": "text/event-stream"}, stream=True)),
               Stream(caller.get(house.api(following), stream=True))]
    bystander = Stream(user(house, "viewer").session.get(house.api("/events"), headers={"Accept": "text/event-stream"}, stream=True))
    time.sleep(0.7)
    assert all(s.answer.status_code == 200 and s.ended is None for s in streams)
    before = time.monotonic()
    if how == "disabled":
        assert ann.api("PATCH", "/users/" + name, json={"disabled": True}).status_code == 200
    elif how == "role removed":
        assert ann.api("PATCH", "/users/" + name, json={"roles": {"default": []}}).status_code == 200
    elif how == "token revoked":
        assert ann.api("DELETE", "/tokens/" + made["id"]).status_code == 204
    elif how == "password changed":
        assert ann.api("PATCH", "/users/" + name, json={"password": "a new horse of mine"}).status_code == 200
    else:
        assert browser.post(house.api("/logout"), headers={"Origin": house.url}).status_code == 204
    done = time.monotonic()
    for stream in streams:
        stream.join(5)
        assert stream.ended is not None, f"{how}: still open"
        assert stream.ended - done < 1.0, f"{how}: {stream.ended - done:.2f} s"
    assert bystander.ended is None, "nobody else is sent away"
    bystander.answer.close()
    print(f"{how}: {max(s.ended for s in streams) - before:.3f} s")


def test_users_are_changed_with_care(ann):
    for method, path, body, status in (
            ("PATCH", "/users/nobody", {"disabled": True}, 404),
            ("PATCH", "/users/eve", {"rolls": {}}, 400), ("PATCH", "/users/eve", {"roles": {"default": "king"}}, 400),
            ("PATCH", "/users/eve", {"roles": {"nowhere": "viewer"}}, 404), ("PATCH", "/users/eve", {"password": "short"}, 400),
            ("POST", "/users", {"name": "eve", "password": PASSWORD}, 409), ("POST", "/users", {"name": "E V E", "password": PASSWORD}, 400),
            ("POST", "/users", {"name": "x"}, 400), ("POST", "/users", {"name": "x", "kind": "service", "password": PASSWORD}, 400),
            ("POST", "/projects", {"name": "Not Allowed"}, 400), ("POST", "/projects", {"name": "vision"}, 409)):
        answer = ann.api(method, path, json=body)
        assert answer.status_code == status, (method, path, body, answer.text)
    assert ann.api("POST", "/users", data=json.dumps({"name": "x"}), headers={"Content-Type": "text/plain"}).status_code == 400


def test_the_last_administrator_stays(start_server, tmp_path):
    add_user(tmp_path, "ann")  # the first is an administrator
    ann = user(start_server("--require-login", "1", home=tmp_path), "ann")
    for change in ({"disabled": True}, {"admin": False}):
        answer = ann.api("PATCH", "/users/ann", json=change)
        assert answer.status_code == 409, answer.text
