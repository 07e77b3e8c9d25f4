"""Blobs from outside: uploads and what is refused, a backup that is restored, garbage that goes and what is kept."""
import hashlib
import subprocess

import pytest

from lathe_server import BINARY, clean_environment


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def put(server, http, data, digest=None):
    return http.put(server.api(f"/blobs/{digest or sha256(data)}"), data=data)


@pytest.mark.parametrize("data", [b"", b"abc", b"lathe" * 200_000], ids=["empty", "small", "several chunks"])
def test_what_was_put_is_got(server, http, data):
    stored = put(server, http, data)
    assert stored.status_code == 201, stored.text
    assert stored.json() == {"sha256": sha256(data), "md5": hashlib.md5(data).hexdigest(), "size": len(data)}
    assert put(server, http, data).status_code == 201, "again is no error"
    got = http.get(server.api(f"/blobs/{sha256(data)}"))
    assert (got.status_code, got.content) == (200, data)
    assert got.headers["ETag"] == f'"{sha256(data)}"'


def test_other_bytes_than_the_digest_says_are_refused(server, http):
    digest = sha256(b"these")
    refused = put(server, http, b"those", digest)
    assert refused.status_code == 400
    assert digest in refused.text and sha256(b"those") in refused.text, "what was expected, and what was found"
    assert http.get(server.api(f"/blobs/{digest}")).status_code == 404
    assert http.get(server.api(f"/blobs/{sha256(b'those')}")).status_code == 404, "nothing remains"


@pytest.mark.parametrize("name", ["abc", "z" * 64, "a" * 63, "a" * 65, "..%2f..%2fetc%2fpasswd"])
def test_what_is_no_digest_is_refused(server, http, name):
    for answer in (http.put(server.api(f"/blobs/{name}"), data=b"x"), http.get(server.api(f"/blobs/{name}"))):
        assert 400 <= answer.status_code < 500, answer.text
        assert answer.json()["error"]["message"]


def test_missing_names_what_the_server_lacks(server, http):
    put(server, http, b"here")
    here, absent = sha256(b"here"), sha256(b"absent")
    asked = http.post(server.api("/blobs/missing"), json={"digests": [absent, here]})
    assert asked.json() == {"missing": [absent]}
    assert http.post(server.api("/blobs/missing"), json={"digests": []}).json() == {"missing": []}


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"digests": "x"}', '{"digests": [1]}', '{"digests": ["abc"]}', '{"digests": '])
def test_a_wrong_question_is_refused(server, http, body):
    answer = http.post(server.api("/blobs/missing"), data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text


def log_run(server, http, files):
    """A finished MLflow run with a parameter, a metric and `files` as artifacts; answers its id and artifact folder."""
    def call(path, **body):
        answer = http.post(f"{server.url}/api/2.0/mlflow/runs/{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()
    run = call("create", experiment_id="0", start_time=1)["run"]["info"]
    call("log-parameter", run_id=run["run_id"], key="depth", value="3")
    call("log-metric", run_id=run["run_id"], key="loss", value=0.25, timestamp=1)
    call("update", run_id=run["run_id"], status="FINISHED", end_time=2)
    folder = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
    for name, data in files.items():
        stored = http.put(f"{server.url}/api/2.0/mlflow-artifacts/artifacts/{folder}/{name}", data=data)
        assert stored.status_code == 200, stored.text
    return run["run_id"], folder


def read_run(server, http, run_id, folder, files):
    run = http.get(f"{server.url}/api/2.0/mlflow/runs/get", params={"run_id": run_id}).json()["run"]
    data = {name: http.get(f"{server.url}/api/2.0/mlflow-artifacts/artifacts/{folder}/{name}").content for name in files}
    return run, data


FILES = {"notes.txt": b"a note", "model/weights.bin": bytes(range(256)) * 2_000}


def lathe(home, *args):
    return subprocess.run([BINARY, *map(str, args)], cwd=home, env=clean_environment(), text=True, capture_output=True, timeout=60)


def test_a_backup_is_restored_checked_and_served(start_server, http, tmp_path):
    server = start_server()
    run_id, folder = log_run(server, http, FILES)
    before, data = read_run(server, http, run_id, folder, FILES)
    assert data == FILES
    file = tmp_path / "all.tar"
    server.cli("backup", file, check=True)
    again = server.cli("backup", file)
    assert again.returncode != 0 and "does not overwrite" in again.stderr

    home = tmp_path / "other"
    home.mkdir()
    restored = lathe(home, "restore", file, "--dir", home / ".lathe")
    assert restored.returncode == 0, restored.stderr
    assert lathe(home, "restore", file, "--dir", home / ".lathe").returncode != 0, "only into an empty folder"
    checked = lathe(home, "fsck", "--dir", home / ".lathe")
    assert checked.returncode == 0 and "sound" in checked.stdout, checked.stdout + checked.stderr

    other = start_server(home=home)
    assert read_run(other, http, run_id, folder, FILES) == (before, FILES)
    log_run(other, http, FILES)  # and it goes on from there


def test_a_damaged_backup_is_refused_and_leaves_nothing(start_server, http, tmp_path):
    server = start_server()
    log_run(server, http, FILES)
    file = tmp_path / "all.tar"
    server.cli("backup", file, check=True)
    whole = file.read_bytes()
    at = whole.index(FILES["model/weights.bin"][:512])
    for name, damaged in (("flipped", whole[:at] + b"\xff" + whole[at + 1:]), ("short", whole[:len(whole) // 2])):
        bad = tmp_path / name
        bad.write_bytes(damaged)
        refused = lathe(tmp_path, "restore", bad, "--dir", tmp_path / f"{name}-dir")
        assert refused.returncode != 0 and refused.stderr, name
        assert not (tmp_path / f"{name}-dir" / "lathe.db").exists(), name


def test_fsck_names_what_is_damaged(start_server, http):
    server = start_server()
    log_run(server, http, FILES)
    digest = sha256(FILES["notes.txt"])
    path = server.dir / "blobs" / "sha256" / digest[:2] / digest[2:]
    path.chmod(0o644)
    path.write_bytes(b"b note")
    found = lathe(server.home, "fsck", "--dir", server.dir)
    assert found.returncode != 0
    assert "FAULT" in found.stdout and digest in found.stdout, found.stdout


def test_gc_keeps_what_is_referred_to(fresh_server, http):
    server = fresh_server
    run_id, folder = log_run(server, http, FILES)
    put(server, http, b"nobody refers to it")
    for _ in range(2):  # marked first, gone at the next look
        server.cli("gc", "--grace-hours", "0", check=True)
    assert http.get(server.api(f"/blobs/{sha256(b'nobody refers to it')}")).status_code == 404
    assert read_run(server, http, run_id, folder, FILES)[1] == FILES
    assert lathe(server.home, "fsck", "--dir", server.dir).returncode == 0


def test_gc_leaves_a_fresh_upload_its_grace_period(fresh_server, http):
    put(fresh_server, http, b"soon referred to")
    for _ in range(2):
        fresh_server.cli("gc", check=True)
    assert http.get(fresh_server.api(f"/blobs/{sha256(b'soon referred to')}")).content == b"soon referred to"
