"""Where files lie: --artifacts-destination (plain files under their own paths), --default-artifact-root in all forms,
and that nothing a client names is read outside of what the configuration names."""
import os
import pathlib
import subprocess
import threading

import pytest

from lathe_server import ROOT, clean_environment

SECRET = "zq5secret"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"


@pytest.fixture
def house(start_server, tmp_path, http):
    """A server whose proxied files are plain files, beside something that must not be read."""
    class House:
        pass

    h = House()
    h.secret = tmp_path / "secret"
    h.secret.mkdir()
    (h.secret / "passwd").write_text(SECRET)
    h.place = tmp_path / "artifacts"
    h.server = start_server("--artifacts-destination", str(h.place))

    def call(method, path, body=None, status=200):
        url = h.server.url + (path if path.startswith("/") else "/api/2.0/mlflow/" + path)
        answer = http.request(method, url, **({"params": body} if method == "GET" else {"json": body}))
        assert answer.status_code == status, (method, path, body, answer.status_code, answer.text[:500])
        return answer.json()

    h.call = call
    h.put = lambda path, data: http.put(h.server.url + PROXY + "/" + path, data=data)
    h.get = lambda path, **more: http.get(h.server.url + PROXY + "/" + path, **more)
    h.run = lambda e="0": call("POST", "runs/create", {"experiment_id": e, "start_time": 1})["run"]["info"]["run_id"]
    return h


def client(server, script, *args, **env):
    done = subprocess.run([ROOT / ".venv/bin/python", "-c", script, *map(str, args)], text=True, capture_output=True, timeout=180,
                          env=clean_environment(MLFLOW_TRACKING_URI=server.url, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0", **env))
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_proxied_files_are_plain_files(house, http):
    run = house.run()
    path = f"0/{run}/artifacts/deep/a.txt"
    assert house.put(path, b"hello").status_code == 200
    assert (house.place / path).read_bytes() == b"hello"
    assert house.put(path, b"again").status_code == 200
    assert (house.place / path).read_bytes() == b"again" and house.get(path).content == b"again"
    assert not list((house.place / ".lathe-uploads").iterdir())
    # What others put there is listed and read, whole and in part.
    other = house.place / "0" / run / "artifacts/deep/other.bin"
    other.write_bytes(bytes(range(256)) * 5000)
    listing = house.call("GET", "artifacts/list", {"run_id": run, "path": "deep"})["files"]
    assert [(f["path"], f["file_size"]) for f in listing] == [("deep/a.txt", 5), ("deep/other.bin", 1280000)]
    assert [f["path"] for f in house.call("GET", PROXY, {"path": f"0/{run}/artifacts"})["files"]] == ["deep"]
    got = house.get(f"0/{run}/artifacts/deep/other.bin")
    assert got.content == other.read_bytes()
    part = house.get(f"0/{run}/artifacts/deep/other.bin", headers={"Range": "bytes=1000-1009"})
    assert part.status_code == 206 and part.content == other.read_bytes()[1000:1010]
    assert http.get(f"{house.server.url}/get-artifact", params={"run_id": run, "path": "deep/other.bin"}).content == other.read_bytes()
    # And gone is gone.
    assert http.delete(f"{house.server.url}{PROXY}/0/{run}/artifacts/deep").status_code == 200
    assert not (house.place / "0" / run / "artifacts/deep").exists()
    assert house.get(path).status_code == 404


def test_the_stock_client_with_a_destination(house, tmp_path):
    (tmp_path / "in/sub").mkdir(parents=True), (tmp_path / "out").mkdir()
    (tmp_path / "in/sub/x.bin").write_bytes(os.urandom(12 << 20))
    script = """
import sys, pathlib, mlflow
source, out = map(pathlib.Path, sys.argv[1:])
with mlflow.start_run() as run:
    mlflow.log_text("hello", "a/b.txt")
    mlflow.log_artifacts(source, "up")
    assert {f.path for f in mlflow.MlflowClient().list_artifacts(run.info.run_id)} == {"a", "up"}
got = pathlib.Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, dst_path=str(out)))
assert (got / "a/b.txt").read_text() == "hello" and (got / "up/sub/x.bin").read_bytes() == (source / "sub/x.bin").read_bytes()
print(run.info.run_id)
"""
    for multipart in ("false", "true"):
        run = client(house.server, script, tmp_path / "in", tmp_path / "out", MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD=multipart,
                     MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD=multipart, MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE=str(6 << 20),
                     MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE=str(5 << 20)).split()[-1]
        root = house.place / "0" / run / "artifacts"
        assert (root / "a/b.txt").read_text() == "hello"
        assert (root / "up/sub/x.bin").read_bytes() == (tmp_path / "in/sub/x.bin").read_bytes()


def test_links_and_odd_files_lead_nowhere(house, http):
    run = house.run()
    root = house.place / "0" / run / "artifacts"
    assert house.put(f"0/{run}/artifacts/a.txt", b"a").status_code == 200
    (root / "link").symlink_to(house.secret / "passwd")
    (root / "folder").symlink_to(house.secret)
    (root / "up").symlink_to("../../../../secret")
    (root / "magic").symlink_to("/proc/self/root")
    os.mkfifo(root / "pipe")
    for path in ("link", "folder/passwd", "up/passwd", "magic/etc/passwd", "pipe", "folder", "../../../../secret/passwd", "..%2f..%2f..%2f..%2fsecret%2fpasswd"):
        for answer in (house.get(f"0/{run}/artifacts/{path}", timeout=10),
                       http.get(f"{house.server.url}/get-artifact", params={"run_id": run, "path": path}, timeout=10),
                       http.get(f"{house.server.url}/api/2.0/mlflow-artifacts/presigned/0/{run}/artifacts/{path}", timeout=10)):
            assert answer.status_code in (400, 404) and SECRET not in answer.text, (path, answer.status_code, answer.text[:200])
    assert [f["path"] for f in house.call("GET", "artifacts/list", {"run_id": run})["files"]] == ["a.txt"]
    for path in ("folder", "up", "magic"):
        assert house.call("GET", "artifacts/list", {"run_id": run, "path": path}).get("files", []) == []
        assert house.put(f"0/{run}/artifacts/{path}/new.txt", b"x").status_code >= 400
    assert [p.name for p in house.secret.iterdir()] == ["passwd"]
    assert house.get(".lathe-uploads/x").status_code == 404
    # Removing what holds links does not follow them.
    assert http.delete(f"{house.server.url}{PROXY}/0/{run}").status_code == 200
    assert (house.secret / "passwd").read_text() == SECRET and not root.exists()


def test_two_uploads_of_one_path_leave_the_file_that_is_told(house):
    run = house.run()
    path = f"0/{run}/artifacts/same.bin"

    def upload(i):
        for n in range(5):
            assert house.put(path, f"{i}-{n}".encode() * 1000).status_code == 200

    threads = [threading.Thread(target=upload, args=(i,)) for i in range(6)]
    [t.start() for t in threads], [t.join() for t in threads]
    assert (house.place / path).read_bytes() == house.get(path).content


def test_copies_and_purges_take_the_files_along(house):
    other = house.call("POST", "experiments/create", {"name": "other"})["experiment_id"]
    run = house.run()
    house.put(f"0/{run}/artifacts/d/a.txt", b"hello")
    copy = house.call("POST", "/api/lathe/v1/runs/copy", {"runs": [run], "experiment": other}, 201)["copies"][0]["to"]
    assert (house.place / other / copy / "artifacts/d/a.txt").read_bytes() == b"hello"
    house.run()  # the newest row of runs stays
    house.call("POST", "runs/delete", {"run_id": copy})
    house.call("POST", "/api/lathe/v1/runs/purge", {"runs": [copy]})
    assert not (house.place / other / copy / "artifacts").exists() and (house.place / "0" / run / "artifacts/d/a.txt").exists()


def test_a_registered_version_does_not_change_with_its_file(house, http):
    run = house.run()
    house.put(f"0/{run}/artifacts/m/model.txt", b"good")
    house.call("POST", "registered-models/create", {"name": "m"})
    house.call("POST", "model-versions/create", {"name": "m", "source": f"runs:/{run}/m", "run_id": run})
    (house.place / f"0/{run}/artifacts/m/model.txt").write_bytes(b"evil")
    assert http.get(f"{house.server.url}/model-versions/get-artifact", params={"name": "m", "version": "1", "path": "model.txt"}).content == b"good"


def test_settings_for_a_destination(start_server, tmp_path):
    for bad in ("s3://bucket/x", "http://host/x"):
        server = start_server("--artifacts-destination", bad, wait=False)
        assert server.process.wait(30) != 0 and "--blobs" in server.log()
    by_name = start_server(env={"MLFLOW_ARTIFACTS_DESTINATION": (tmp_path / "x").as_uri()})
    assert (tmp_path / "x/.lathe-uploads").is_dir() and by_name.stop() == 0


@pytest.mark.parametrize("form", ["uri", "path", "localhost"])
def test_a_file_root_is_read_beneath_and_nothing_else(start_server, tmp_path, http, form):
    root = tmp_path / "mlruns"
    text = {"uri": root.as_uri(), "path": str(root), "localhost": f"file://localhost{root}"}[form]
    server = start_server("--default-artifact-root", text)
    (tmp_path / "secret").write_text(SECRET)

    def call(method, path, body=None, status=200):
        answer = http.request(method, f"{server.url}/api/2.0/mlflow/{path}", **({"params": body} if method == "GET" else {"json": body}))
        assert answer.status_code == status, (path, answer.status_code, answer.text)
        return answer.json()

    assert call("GET", "experiments/get", {"experiment_id": "0"})["experiment"]["artifact_location"] == f"{text}/0"
    if form == "uri":  # clients write there themselves
        run = client(server, "import mlflow\nwith mlflow.start_run() as r:\n    mlflow.log_text('hello', 'a/b.txt')\n    assert [f.path for f in mlflow.MlflowClient().list_artifacts(r.info.run_id)] == ['a']\nprint(r.info.run_id)").split()[-1]
    else:
        run = call("POST", "runs/create", {"experiment_id": "0", "start_time": 1})["run"]["info"]["run_id"]
        (root / "0" / run / "artifacts/a").mkdir(parents=True)
        (root / "0" / run / "artifacts/a/b.txt").write_text("hello")
    assert call("GET", "artifacts/list", {"run_id": run, "path": "a"})["files"] == [{"path": "a/b.txt", "is_dir": False, "file_size": 5}]
    assert http.get(f"{server.url}/get-artifact", params={"run_id": run, "path": "a/b.txt"}).text == "hello"
    files = root / "0" / run / "artifacts"
    (files / "link").symlink_to(tmp_path / "secret")
    (files / "up").symlink_to(tmp_path)
    for path in ("link", "up/secret", "../../../../secret", "%2e%2e/%2e%2e/%2e%2e/%2e%2e/secret"):
        answer = http.get(f"{server.url}/get-artifact", params={"run_id": run, "path": path})
        assert answer.status_code in (400, 404) and SECRET not in answer.text
    # A client's own idea of where files are is never opened.
    for n, location in enumerate((tmp_path.as_uri(), str(tmp_path), f"file:{tmp_path}", f"{root.as_uri()}/../", f"{root.as_uri()}/%2e%2e/", "file:///etc", "/etc",
                                  f"{root.as_uri()}x", f"file://other{root}")):
        made = http.post(f"{server.url}/api/2.0/mlflow/experiments/create", json={"name": f"x{n}", "artifact_location": location})
        if not made.ok:
            continue
        there = call("POST", "runs/create", {"experiment_id": made.json()["experiment_id"], "start_time": 1})["run"]["info"]["run_id"]
        for path in ("", "secret", "../../secret", "passwd", "../../passwd"):
            for answer in (http.get(f"{server.url}/api/2.0/mlflow/artifacts/list", params={"run_id": there, "path": path}),
                           http.get(f"{server.url}/get-artifact", params={"run_id": there, "path": path})):
                assert answer.status_code == 400 and SECRET not in answer.text and "root:" not in answer.text, (location, path, answer.text)
    for source in (f"file://{tmp_path}/secret", str(tmp_path / "secret"), "file:///etc/passwd", f"{files.as_uri()}/../../../../secret"):
        http.post(f"{server.url}/api/2.0/mlflow/registered-models/create", json={"name": "m"})
        answer = http.post(f"{server.url}/api/2.0/mlflow/model-versions/create", json={"name": "m", "source": source, "run_id": run})
        assert answer.status_code == 400, (source, answer.text)


def test_an_http_root_is_this_server(start_server, http, tmp_path):
    first = start_server()
    root = f"{first.url}{PROXY}"
    first.stop()
    server = start_server("--default-artifact-root", root, "--listen", first.url.removeprefix("http://"))
    assert server.url == first.url
    run = client(server, "import mlflow\nwith mlflow.start_run() as r:\n    mlflow.log_text('hello', 'a.txt')\nassert mlflow.artifacts.load_text(r.info.artifact_uri + '/a.txt') == 'hello'\nprint(r.info.artifact_uri)")
    assert run.split()[-1].startswith(root + "/0/")


def test_a_later_project_gets_its_default_below_the_root(start_server, http):
    server = start_server("--default-artifact-root", "s3://bucket/runs")
    assert http.post(server.api("/projects"), json={"name": "one"}).ok
    assert http.post(server.url + "/api/3.0/mlflow/workspaces", json={"name": "two"}).ok
    for name in ("one", "two"):
        got = http.get(server.url + "/api/2.0/mlflow/experiments/get", params={"experiment_id": "0"}, headers={"X-MLFLOW-WORKSPACE": name}).json()["experiment"]
        assert got["artifact_location"] == f's3://bucket/runs/{got["experiment_id"]}'


def test_the_experiment_of_a_pipeline_lies_below_the_root(start_server, http, tmp_path):
    server = start_server("--default-artifact-root", "s3://bucket/runs")
    (tmp_path / "lathe.yaml").write_text("project: slow\nstages: {wait: {cmd: 'true'}}\n")
    assert server.cli("apply", cwd=tmp_path).returncode == 0
    got = http.get(server.url + "/api/2.0/mlflow/experiments/get-by-name", params={"experiment_name": "slow"}).json()["experiment"]
    assert got["artifact_location"] == f's3://bucket/runs/{got["experiment_id"]}'


def test_downloads_in_pieces_come_from_here(start_server, tmp_path):
    server = start_server()
    (tmp_path / "x.bin").write_bytes(os.urandom(7 << 20))
    script = """
import sys, mlflow, pathlib
with mlflow.start_run() as run:
    mlflow.log_artifact(sys.argv[1], "a b/ü")
got = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="a b/ü/x.bin", dst_path=sys.argv[2])
assert pathlib.Path(got).read_bytes() == pathlib.Path(sys.argv[1]).read_bytes()
"""
    (tmp_path / "out").mkdir()
    client(server, script, tmp_path / "x.bin", tmp_path / "out", MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD="true", MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE=str(1 << 20))
