"""Data planes apart: one `lathe up` and two `lathe serve --control` behind a TCP balancer, as stock clients and their
operators meet them; and what is left of them when the control plane, the network or a file goes bad."""
import json
import os
import sqlite3
import subprocess
import time

import grpc
import numpy as np
import pytest
import requests
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http

from deploy import deploy, made_models
from people import add_user, bearer, user
from plane_process import Balancer, Plane

EXPECTED = json.loads((made_models() / "expected.json").read_text())
ROWS = EXPECTED["iris"]["rows"]


def wait_for(until, seconds=60, what="it"):
    end = time.monotonic() + seconds
    while not (value := until()):
        assert time.monotonic() < end, f"{what} does not come"
        time.sleep(0.05)
    return value


def token(server, name, **body):
    """A token for a user, made by the administrator."""
    made = user(server, "ann").api("POST", "/tokens", json={"user": name, **body})
    assert made.status_code == 201, made.text
    return made.json()["token"]


class Fleet:
    """A control plane with endpoint `iris` (revisions 1 and 2, 2 is live), users, and planes."""

    def __init__(self, start_server, tmp_path, *args):
        self.tmp_path = tmp_path
        self.planes = []
        self.control = start_server(*args)
        self.control.stop()
        add_user(self.control.home, "ann", "--admin")
        for name, role in (("edge", "plane"), ("app", "infer")):
            add_user(self.control.home, name, "--service", "--role", role)
        deploy(self.control.dir, "iris", made_models() / "iris")
        deploy(self.control.dir, "iris", made_models() / "iris_zipmap", version=2)
        self.control.args = ["--listen", f"127.0.0.1:{self.control.port}", *args]
        self.control.start()
        self.edge = token(self.control, "edge")
        self.app = token(self.control, "app")
        ann = user(self.control, "ann")
        for model, versions in (("iris", 1), ("iris_zipmap", 2)):
            ann("POST", "/api/2.0/mlflow/registered-models/create", json={"name": model}).raise_for_status()
            for _ in range(versions):
                ann("POST", "/api/2.0/mlflow/model-versions/create", json={"name": model, "source": "s3://bucket/x"}).raise_for_status()

    def plane(self, name, *args, **more):
        home = self.tmp_path / name
        home.mkdir(exist_ok=True)
        self.planes.append(Plane(home, self.control.url, more.pop("token", self.edge), *args, **more))
        return self.planes[-1]

    def rollback(self):
        """The live revision and the one before change places."""
        done = user(self.control, "ann").api("POST", "/endpoints/iris/rollback", json={})
        assert done.status_code == 200, done.text

    def listed(self, name):
        planes = user(self.control, "ann").api("GET", "/planes").json()["planes"]
        return next((p for p in planes if p["name"] == name), None)

    def close(self):
        for plane in self.planes:
            if plane.process.poll() is None:
                plane.kill()


@pytest.fixture
def fleet(start_server, tmp_path):
    made = []

    def start(*args):
        made.append(Fleet(start_server, tmp_path, *args))
        return made[-1]

    yield start
    for one in made:
        one.close()


def ask(url, secret, row=0, timeout=10):
    return requests.post(f"{url}/v1/models/iris:predict", json={"instances": [ROWS[row % len(ROWS)]]}, timeout=timeout,
                         headers={"Authorization": f"Bearer {secret}"} if secret else {})


def version(url, secret):
    answer = ask(url, secret)
    assert answer.status_code == 200, answer.text
    return answer.headers["X-Lathe-Model-Version"]


def captured(fleet):
    lines = user(fleet.control, "ann").api("GET", "/endpoints/iris/requests").text.splitlines()
    return [json.loads(line)["id"] for line in lines]


def test_stock_clients_get_equal_answers_from_all_and_a_promotion_moves_all(fleet):
    f = fleet()
    planes = [f.plane("one"), f.plane("two")]
    balancer = Balancer([p.port for p in planes])
    headers = {"Authorization": f"Bearer {f.app}"}
    x = np.array(ROWS, dtype=np.float32)

    def over_http(url):
        with triton_http.InferenceServerClient(url.split("//")[1]) as client:
            tensor = triton_http.InferInput(client.get_model_metadata("iris", headers=headers)["inputs"][0]["name"], list(x.shape), "FP32")
            tensor.set_data_from_numpy(x)
            answer = client.infer("iris", [tensor], headers=dict(headers))
            return {o["name"]: answer.as_numpy(o["name"]).tolist() for o in answer.get_response()["outputs"]}

    def over_grpc(url):
        with triton_grpc.InferenceServerClient(url.split("//")[1]) as client:
            name = client.get_model_metadata("iris", headers={"authorization": headers["Authorization"]}).inputs[0].name
            tensor = triton_grpc.InferInput(name, list(x.shape), "FP32")
            tensor.set_data_from_numpy(x)
            answer = client.infer("iris", [tensor], headers={"authorization": headers["Authorization"]})
            return {o.name: answer.as_numpy(o.name).tolist() for o in answer.get_response().outputs}

    urls = [f.control.url, planes[0].url, planes[1].url, balancer.url, balancer.url]
    for way in (over_http, over_grpc):
        answers = [way(url) for url in urls]
        assert answers[0] and all(a == answers[0] for a in answers), answers
    predicted = [requests.post(f"{url}/v1/models/iris:predict", json={"instances": ROWS}, headers=headers).json() for url in urls]
    assert all(p == {"predictions": EXPECTED["iris_zipmap"]["labels"]} for p in predicted), predicted

    assert {version(url, f.app) for url in urls} == {"2"}
    f.rollback()
    assert version(f.control.url, f.app) == "1", "the control plane's own answer comes after the swap"
    for plane in planes:
        wait_for(lambda url=plane.url: version(url, f.app) == "1", what="the other revision")
    # Which revision each of them has acknowledged is there to see.
    for name in ("one", "two"):
        seen = wait_for(lambda name=name: (p := f.listed(name)) and p["current"] and p, what="the report")
        assert seen["connected"] and [(e["name"], e["revision"], e["wanted_revision"]) for e in seen["endpoints"]] == [("iris", 1, 1)]
    status = f.control.cli("status", env={"LATHE_TOKEN": token(f.control, "ann")})
    assert "one at http://127.0.0.1" in status.stdout and "up to date" in status.stdout, status.stdout + status.stderr
    assert {version(balancer.url, f.app) for _ in range(4)} == {"1"}
    balancer.close()


def test_planes_go_on_without_their_control_plane_and_captures_arrive_once(fleet):
    f = fleet()
    planes = [f.plane("one"), f.plane("two")]
    ids = []

    def serve(count):
        for i in range(count):
            answer = ask(planes[i % 2].url, f.app, i)
            assert answer.status_code == 200, answer.text
            ids.append(answer.headers["X-Lathe-Prediction-Id"])

    serve(40)
    wait_for(lambda: len(captured(f)) == 40, what="the first captures")
    f.control.kill()
    serve(40)
    # A kill takes what was not written yet (capture's own promise: milliseconds); what was written is kept.
    wait_for(lambda: "lathe_capture_records_total 40\n" in requests.get(planes[0].url + "/metrics").text, what="the last record")
    planes[0].kill()  # with a spool that was not sent
    planes[0].start()
    assert "the control plane is away" in planes[0].log()
    serve(40)
    planes[1].stop()
    planes[1].start()
    serve(40)
    # Nobody new comes in meanwhile: he cannot be vouched for.
    assert ask(planes[0].url, "lathe_unknown").status_code == 503
    assert ask(planes[0].url, "").status_code == 200, "the plane's own user, on its machine"

    f.control.start()
    ids_at_home = wait_for(lambda: len(found := captured(f)) >= len(ids) + 1 and found, what="the spool")
    time.sleep(1)  # nothing comes twice
    ids_at_home = captured(f)
    assert len(ids_at_home) == len(set(ids_at_home)) == len(ids) + 1
    assert set(ids) <= set(ids_at_home)
    # As if they were its own: lineage, look-up, feedback; after a restart, too.
    ann = user(f.control, "ann")
    f.control.stop()
    f.control.start()
    for one in ids[::23]:
        assert ann.api("GET", f"/predictions/{one}").json()["endpoint"] == "iris"
        lineage = f.control.cli("lineage", one, env={"LATHE_TOKEN": token(f.control, "ann")})
        assert lineage.returncode == 0 and "iris/2" in lineage.stdout, lineage.stdout + lineage.stderr
    said = ann.api("POST", "/feedback", json=[{"id": one, "label": "setosa"} for one in ids])
    assert said.status_code == 200 and not said.json().get("unknown"), said.text
    # What was answered while it was away is caught up with, too.
    f.rollback()
    for plane in planes:
        wait_for(lambda url=plane.url: version(url, f.app) == "1", what="the other revision")
    # A spool that forgets what it has sent sends all again: it is known there.
    for plane in planes:
        plane.stop()
        (plane.dir / "sent.json").unlink()
        plane.start()
    marks = [ask(plane.url, f.app).headers["X-Lathe-Prediction-Id"] for plane in planes]
    wait_for(lambda: set(marks) <= set(captured(f)), what="the last request")
    home = captured(f)
    assert len(home) == len(set(home)) and set(ids) <= set(home)


def test_tokens_are_kept_to_the_control_planes_rules(fleet):
    f = fleet()
    plane = f.plane("one")
    ann = user(f.control, "ann")
    assert ask(plane.url, "lathe_nobody").status_code == 401
    basic = requests.post(f"{plane.url}/v1/models/iris:predict", json={"instances": ROWS}, auth=("ann", "x"))
    assert basic.status_code == 401 and "token" in basic.text
    viewer = add_user(f.control.home, "eve", "--role", "viewer") is not None and token(f.control, "eve")
    assert ask(f.control.url, viewer).status_code == ask(plane.url, viewer).status_code == 403, "a viewer asks no models"
    assert ask(plane.url, f.edge).status_code == 403, "nor does a plane"
    other = requests.post(f"{plane.url}/v1/models/iris:predict", json={"instances": ROWS},
                          headers={"Authorization": f"Bearer {f.app}", "X-Lathe-Project": "elsewhere"})
    assert other.status_code == 404

    # A plane's token is good for nothing else, and no other token for a plane.
    edge = bearer(f.control, f.edge)
    assert edge.api("GET", "/plane/snapshot").status_code == 200
    for path in ("/endpoints", "/planes", "/status", "/users"):
        assert edge.api("GET", path).status_code == 403, path
    for name in ("app", "ann"):
        assert bearer(f.control, token(f.control, name)).api("GET", "/plane/snapshot").status_code == 403, name
    lost = os.urandom(32).hex()
    assert edge.api("GET", f"/plane/blobs/{lost}").status_code == 404

    # Revoked: refused within a second, on open connections too; a role that is taken away as well.
    with requests.Session() as session:
        def status(secret):
            return session.post(f"{plane.url}/v1/models/iris:predict", json={"instances": ROWS}, headers={"Authorization": f"Bearer {secret}"}).status_code
        assert status(f.app) == 200
        listed = ann.api("GET", "/tokens?all=true").json()["tokens"]
        mine = [t["id"] for t in listed if t["user"] == "app"]
        for one in mine:
            ann.api("DELETE", f"/tokens/{one}")
        wait_for(lambda: status(f.app) == 401, 5, "the refusal")
        second = token(f.control, "app")
        assert status(second) == 200
        assert ann.api("PATCH", "/users/app", json={"disabled": True}).status_code == 200
        wait_for(lambda: status(second) == 401, 5, "the refusal")
    # Nor does a restart without the control plane bring it back.
    f.control.kill()
    plane.kill()
    plane.start()
    assert ask(plane.url, f.app).status_code == 503 and ask(plane.url, second).status_code == 503


def test_without_contact_tokens_hold_as_long_as_was_said(fleet):
    f = fleet()
    plane = f.plane("one", "--token-grace-s", "6", "--require-login", "1")
    assert ask(plane.url, f.app).status_code == 200 and ask(plane.url, "").status_code == 401
    f.control.kill()
    assert ask(plane.url, f.app).status_code == 200
    wait_for(lambda: ask(plane.url, f.app).status_code == 503, 30, "the end of the grace")
    plane.kill()
    plane.start()
    assert ask(plane.url, f.app).status_code == 503, "a restart is no new grace"
    f.control.start()
    wait_for(lambda: ask(plane.url, f.app).status_code == 200, 30, "the contact")
    # A plane whose own token is revoked takes nobody's.
    ann = user(f.control, "ann")
    assert ann.api("PATCH", "/users/edge", json={"disabled": True}).status_code == 200
    wait_for(lambda: ask(plane.url, f.app).status_code == 503, 30, "the refusal")


def blobs_of(fleet, revision):
    database = sqlite3.connect(fleet.control.dir / "lathe.db")
    rows = database.execute("SELECT a.path, lower(hex(a.sha256)) FROM artifacts a JOIN revisions r ON r.artifact_root = a.root"
                            " WHERE r.number = ?", (revision,)).fetchall()
    database.close()
    return {path: fleet.control.dir / "blobs" / "sha256" / sha[:2] / sha[2:] for path, sha in rows}


def test_a_file_with_other_bytes_is_refused_and_the_old_version_stays(fleet):
    f = fleet()
    only_old = {p: b for p, b in blobs_of(f, 1).items() if b not in blobs_of(f, 2).values() and p.endswith(".onnx")}
    assert only_old
    path = next(iter(only_old.values()))
    good = path.read_bytes()
    plane = f.plane("one")
    assert version(plane.url, f.app) == "2"
    path.chmod(0o644)
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    # The control plane itself has revision 1 in memory, or loads it from a copy: its own business.
    database = sqlite3.connect(f.control.dir / "lathe.db")
    f.control.stop()
    with database:
        database.execute("UPDATE endpoints SET live_revision = 1, previous_revision = 2, generation = generation + 1")
    database.close()
    f.control.start()
    wait_for(lambda: "in touch" in plane.log().split("out of touch")[-1], what="the contact")
    plane.stop()
    plane.start()  # takes the snapshot anew
    seen = wait_for(lambda: (p := f.listed("one")) and p["endpoints"][0].get("problem") and p, what="the report")
    assert "is refused" in seen["endpoints"][0]["problem"] and not seen["current"]
    assert (seen["endpoints"][0]["revision"], seen["endpoints"][0]["wanted_revision"]) == (2, 1)
    assert version(plane.url, f.app) == "2", "the old one stays"
    path.write_bytes(good)
    wait_for(lambda: version(plane.url, f.app) == "1", what="the new one, tried again")


def test_missing_events_lead_to_a_new_snapshot(fleet):
    f = fleet()
    plane = f.plane("one")
    f.control.stop()
    database = sqlite3.connect(f.control.dir / "lathe.db")
    with database:  # a week went by: what happened is not in the log any more, but for the newest event
        database.execute("UPDATE endpoints SET live_revision = 1, previous_revision = 2, generation = generation + 1")
        last = database.execute("SELECT max(seq) FROM events").fetchone()[0]
        database.execute("DELETE FROM events")
        database.execute("INSERT INTO events (seq, xid, project, at_us, kind, subject_kind, subject, actor, body)"
                         " VALUES (?, 0, 1, 0, 'run.created', 'run', 'x', 'local', '{}')", (last + 50,))
    database.close()
    f.control.start()
    wait_for(lambda: version(plane.url, f.app) == "1", what="the new revision")
    assert "events are missing" in plane.log()


def certificates(folder):
    """An authority, a server's and a client's certificate of it, and a client's of another authority."""
    def run(*args):
        subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, cwd=folder)

    def authority(name):
        run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2, "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", f"{name}.pem")

    def issue(name, by, extensions):
        (folder / "ext").write_text(extensions)
        run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        run("x509", "-req", "-in", f"{name}.csr", "-CA", f"{by}.pem", "-CAkey", f"{by}.key", "-CAcreateserial", "-days", 2, "-extfile", "ext",
            "-out", f"{name}.pem")

    authority("ca")
    authority("otherca")
    issue("server", "ca", "subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    issue("client", "ca", "extendedKeyUsage=clientAuth\n")
    issue("stranger", "otherca", "extendedKeyUsage=clientAuth\n")
    return folder


def test_mutual_tls_between_planes_and_control_plane(start_server, tmp_path):
    pki = certificates(tmp_path)
    home = tmp_path / "control"
    home.mkdir()
    add_user(home, "ann", "--admin", "--dir", home / ".lathe")
    tls = ["--tls-cert", pki / "server.pem", "--tls-key", pki / "server.key", "--tls-client-ca", pki / "ca.pem"]
    control = start_server(*map(str, tls), home=home)
    ca = str(pki / "ca.pem")

    def ann(method, path, **options):
        return requests.request(method, control.api(path), auth=("ann", "correct horse battery"), verify=ca, **options)

    # People and their clients need no certificate; who shows one of another authority is not spoken to.
    assert ann("GET", "/me").status_code == 200
    with pytest.raises(requests.exceptions.ConnectionError):
        ann("GET", "/me", cert=(str(pki / "stranger.pem"), str(pki / "stranger.key")))
    assert ann("POST", "/users", json={"name": "edge", "kind": "service", "roles": {"default": ["plane"]}}).status_code == 201
    secret = ann("POST", "/tokens", json={"user": "edge"}).json()["token"]
    bare = requests.get(control.api("/plane/snapshot"), headers={"Authorization": f"Bearer {secret}"}, verify=ca)
    assert bare.status_code == 403 and "certificate" in bare.text

    def plane(name, *args, **more):
        (tmp_path / name).mkdir()
        return Plane(tmp_path / name, control.url, secret, "--ca-cert", ca, *args, **more)

    refused = plane("none", wait=False)
    assert refused.process.wait(30) != 0 and "certificate" in refused.log()
    refused = plane("strange", "--client-cert", pki / "stranger.pem", "--client-key", pki / "stranger.key", wait=False)
    assert refused.process.wait(30) != 0
    good = plane("good", "--client-cert", pki / "client.pem", "--client-key", pki / "client.key",
                 "--tls-cert", pki / "server.pem", "--tls-key", pki / "server.key")
    try:
        assert good.url.startswith("https://")
        assert requests.get(f"{good.url}/health", verify=ca).text == "OK"
        ends = [subprocess.run(["openssl", "x509", "-enddate", "-noout", "-dateopt", "iso_8601", "-in", pki / name], capture_output=True, text=True, check=True)
                .stdout.strip().removeprefix("notAfter=") for name in ("server.pem", "client.pem")]
        told = wait_for(lambda: next((p["certificate_ends_us"] for p in ann("GET", "/planes").json()["planes"] if p["name"] == "good"), None), what="its certificate's end")
        assert time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(told / 1e6)) == min(ends)
    finally:
        good.kill()


def test_what_does_not_fit_is_refused_with_words(binary, tmp_path):
    def refusal(*args, env=None):
        from lathe_server import clean_environment
        done = subprocess.run([binary, "serve", *args], cwd=tmp_path, text=True, capture_output=True, timeout=30, env=clean_environment(**(env or {})))
        assert done.returncode != 0
        return done.stderr

    assert "https://" in refusal("--control", "http://lathe.example.org", env={"LATHE_TOKEN": "lathe_x"})
    assert "role plane" in refusal("--control", "https://lathe.example.org")
    assert "--tls-cert" in refusal("--control", "http://127.0.0.1:1", "--address", "0.0.0.0")
    assert "do not go with it" in refusal(str(made_models() / "iris"), "--control", "http://127.0.0.1:1")
    assert "no word from the control plane" in refusal("--control", "http://127.0.0.1:1", "--http-port", "0")
    assert "both" in refusal("--control", "http://127.0.0.1:1", "--client-cert", str(tmp_path))
