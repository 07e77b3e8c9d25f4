"""`lathe import mlflow`: stores that MLflow's own client made, read back by that client from Lathe and compared field by
field; broken off and gone on with; and many runs."""
import json
import os
import signal
import sqlite3
import subprocess
import time

import pytest

from lathe_server import BINARY, ROOT, clean_environment
from people import PASSWORD, add_user, user

PYTHON = ROOT / ".venv-mlflow/bin/python"
TOOL = ROOT / "tests/api/mlflow_store.py"
TRACES = ROOT / "tests/api/mlflow_traces_dump.py"
PEOPLE = ROOT / "tests/api/mlflow_people_store.py"


def tool(*args, env=None, script=TOOL, cwd=None):
    done = subprocess.run([str(PYTHON), str(script), *map(str, args)], capture_output=True, text=True, timeout=240, cwd=cwd,
                          env=clean_environment(**(env or {})))
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def lathe_import(home, source, *args, code=0):
    done = subprocess.run([str(BINARY), "import", "mlflow", str(source), "--dir", str(home / ".lathe"), *map(str, args)],
                          capture_output=True, text=True, timeout=300, cwd=home, env=clean_environment())
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def same(theirs, ours):
    """Every field by name, and what only an address can differ in left out."""
    for part in theirs:
        if isinstance(theirs[part], dict):
            assert sorted(theirs[part]) == sorted(ours[part]), part
            for key, value in theirs[part].items():
                assert ours[part][key] == value, f"{part} {key}"
        else:
            assert ours[part] == theirs[part], part


def read_back(start_server, home):
    server = start_server(home=home)
    try:
        return json.loads(tool("dump", server.url))
    finally:
        server.down()


@pytest.fixture(scope="module")
def sql_store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sql")
    uri = f"sqlite:///{folder}/mlflow.db"
    tool("make", uri, f"file://{folder}/artifacts")
    return folder, json.loads(tool("dump", uri))


def test_a_database_comes_over_whole_and_once(sql_store, start_server, tmp_path):
    folder, theirs = sql_store
    before = (folder / "mlflow.db").read_bytes()
    report = lathe_import(tmp_path, f"sqlite:///{folder}/mlflow.db", "--artifacts-root", folder / "artifacts")
    assert "no differences" in report and "DIFFERS" not in report
    assert (folder / "mlflow.db").read_bytes() == before
    same(theirs, read_back(start_server, tmp_path))

    again = lathe_import(tmp_path, folder / "mlflow.db", "--artifacts-root", folder / "artifacts")
    assert "new here: 0 runs, 0 logged models, 0 model versions, 0 artifact files" in again and "no differences" in again
    same(theirs, read_back(start_server, tmp_path))


def test_a_folder_comes_over_whole_and_once(start_server, tmp_path):
    source, home = tmp_path / "src" / "mlruns", tmp_path / "home"
    home.mkdir()
    source.parent.mkdir()
    tool("make", f"file://{source}")
    theirs = json.loads(tool("dump", f"file://{source}"))
    (source / "0" / "outside").symlink_to("/etc")
    report = lathe_import(home, source)
    assert "no differences" in report
    same(theirs, read_back(start_server, home))
    again = lathe_import(home, os.path.relpath(source, home))
    assert "new here: 0 runs, 0 logged models, 0 model versions, 0 artifact files" in again and "no differences" in again


@pytest.mark.parametrize("kind", ["sqlite", "folder"])
def test_traces_come_over_with_what_people_said_of_them(kind, start_server, tmp_path):
    source = tmp_path / "src"
    source.mkdir()
    uri = f"sqlite:///{source}/mlflow.db" if kind == "sqlite" else f"file://{source}/mlruns"
    tool("make", uri, script=TRACES, cwd=source)
    theirs = json.loads(tool("dump", uri, script=TRACES))
    (info,) = [trace["info"] for trace in theirs.values()]
    assert len(info["assessments"]) == 12
    home = tmp_path / "home"
    home.mkdir()
    report = lathe_import(home, source / ("mlflow.db" if kind == "sqlite" else "mlruns"))
    assert "no differences" in report and "left out: " not in report, report
    again = lathe_import(home, source / ("mlflow.db" if kind == "sqlite" else "mlruns"))
    assert "no differences" in again
    server = start_server(home=home)
    ours = json.loads(tool("dump", server.url, script=TRACES))
    for part in theirs, ours:
        for trace in part.values():
            trace["info"]["trace_location"]["mlflow_experiment"].pop("experiment_id")
            trace["info"]["trace_metadata"].pop("mlflow.trace.infoFinalized", None)  # databases alone mark it
            for assessment in trace["info"]["assessments"].values():  # over HTTP an expectation does not say that it counts
                assert assessment.pop("valid", True)
    assert ours == theirs


def test_files_are_read_below_the_named_roots_only(sql_store, start_server, tmp_path):
    folder, theirs = sql_store
    report = lathe_import(tmp_path, folder / "mlflow.db")
    assert "were not read" in report and "--artifacts-root" in report and "0 artifact files" in report
    secret = tmp_path / "secret"
    secret.write_text("s")
    run = next(r for r in theirs["runs"].values() if "notes/deep/a.txt" in r["files"])
    notes = folder / "artifacts" / "one" / run["info"][0] / "artifacts" / "notes"
    (notes / "link").symlink_to(secret)
    (notes / "links").symlink_to(tmp_path)
    try:
        home = tmp_path / "second"
        home.mkdir()
        report = lathe_import(home, folder / "mlflow.db", "--artifacts-root", folder / "artifacts")
        assert "note: 2 symbolic links" in report
        same(theirs, read_back(start_server, home))
    finally:
        (notes / "link").unlink()
        (notes / "links").unlink()


def test_a_running_server_takes_it_over(sql_store, start_server, tmp_path):
    """Beside its clients: by the folder it holds, and from anywhere by its address."""
    folder, theirs = sql_store
    server = start_server()
    report = lathe_import(server.home, folder / "mlflow.db", "--artifacts-root", folder / "artifacts")
    assert "no differences" in report and "DIFFERS" not in report, report
    same(theirs, json.loads(tool("dump", server.url)))
    again = server.cli("import", "mlflow", folder / "mlflow.db", "--artifacts-root", folder / "artifacts", cwd=tmp_path, timeout=300)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "new here: 0 runs, 0 logged models, 0 model versions, 0 artifact files" in again.stdout and "no differences" in again.stdout
    same(theirs, json.loads(tool("dump", server.url)))
    server.kill()
    same(theirs, read_back(start_server, server.home))


def test_a_running_server_takes_it_from_its_administrator_only(sql_store, start_server, tmp_path):
    folder, _ = sql_store
    add_user(tmp_path, "ann")
    server = start_server("--require-login", "1", home=tmp_path)
    out = server.cli("import", "mlflow", folder / "mlflow.db", env={"HOME": str(tmp_path)})
    assert out.returncode != 0 and "no differences" not in out.stdout
    bob = user(server, "ann").api("POST", "/users", json={"name": "bob", "password": PASSWORD, "roles": {"default": ["admin"]}})
    assert bob.ok, bob.text
    bobs = user(server, "bob")
    for act in ("experiment", "user", "files", "nothing"):
        assert bobs.api("POST", f"/import/{act}", data=b"x").status_code == 403
    anns = user(server, "ann")
    assert anns.api("POST", "/import/nothing", data=b"x").status_code == 404
    for question in (b"", b"x" * 7, b"\0" * 8, b"\xff" * 4096):
        answer = anns.api("POST", "/import/runs", data=question)
        assert answer.status_code == 400 and "packed bytes" in answer.text, answer.text


@pytest.fixture(scope="module")
def people_store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    uri = f"sqlite:///{folder}/mlflow.db"
    tool("make", uri, script=PEOPLE, cwd=folder)  # its artifacts go to ./mlruns
    theirs = json.loads(tool("dump", uri, script=PEOPLE))
    assert len(theirs["records"]) == 701 and len(theirs["datasets"]) == 2 and theirs["issues"] and theirs["hooks"] and any(theirs["links"].values())
    return folder, theirs


@pytest.mark.parametrize("running", [False, True])
def test_what_people_say_comes_over(people_store, start_server, tmp_path, running):
    folder, theirs = people_store
    server = start_server(home=tmp_path) if running else None
    report = lathe_import(tmp_path, folder / "mlflow.db")
    assert "no differences" in report and "left out" not in report, report
    assert "webhooks are inactive" in report
    server = server or start_server(home=tmp_path)
    ours = json.loads(tool("dump", server.url, script=PEOPLE))
    for part, rows in theirs.items():
        assert ours[part] == rows, part
    assert [h.status.value for h in mlflow_client(server).list_webhooks()] == ["DISABLED"]
    again = lathe_import(tmp_path, folder / "mlflow.db")
    assert "no differences" in again
    assert json.loads(tool("dump", server.url, script=PEOPLE)) == ours


def mlflow_client(server):
    import mlflow
    return mlflow.MlflowClient(server.url)


def test_users_come_over_with_passwords_and_rights(people_store, start_server, tmp_path):
    folder, _ = people_store
    file = tmp_path / "basic_auth.db"
    db = sqlite3.connect(folder / "mlflow.db")
    experiment = db.execute("SELECT experiment_id FROM experiments WHERE name = 'judged'").fetchone()[0]
    tool("auth", file, experiment, PASSWORD, script=PEOPLE)
    server = start_server(home=tmp_path)
    report = lathe_import(tmp_path, folder / "mlflow.db", "--auth-db", file, code=1)
    assert "DIFFERS user 'Carla'" in report and "1 differences" in report, report  # names are in small letters here
    assert "1 permissions on 'gateway_endpoint' are not kept here" in report
    bob, root = user(server, "bob"), user(server, "root")
    assert root.api("GET", "/me").json()["server_admin"] is True if "server_admin" in root.api("GET", "/me").json() else root.api("GET", "/users").ok
    assert user(server, "bob", password=PASSWORD + "x").api("GET", "/me").status_code == 401
    found = bob("GET", "/api/2.0/mlflow/experiments/get-by-name", params={"experiment_name": "judged"}).json()["experiment"]
    assert bob("POST", "/api/2.0/mlflow/runs/create", json={"experiment_id": found["experiment_id"], "start_time": 1}).ok
    assert bob("POST", "/api/2.0/mlflow/experiments/delete", json={"experiment_id": found["experiment_id"]}).status_code == 403
    assert bob("GET", "/api/2.0/mlflow/registered-models/get", params={"name": "greet"}).status_code == 403
    (role,) = bob("GET", "/api/3.0/mlflow/users/roles/list", params={"username": "bob"}).json()["roles"]
    assert role["name"] == "readers" and [(p["resource_pattern"], p["permission"]) for p in role["permissions"]] == [(found["experiment_id"], "READ")]
    again = lathe_import(tmp_path, folder / "mlflow.db", "--auth-db", file, code=1)
    assert "user 'bob' was here" in again and "1 differences" in again


def test_a_wrong_source_is_refused(tmp_path):
    other = tmp_path / "x.db"
    sqlite3.connect(other).execute("CREATE TABLE things (id INTEGER)").connection.commit()
    assert "no tracking store of MLflow" in lathe_import(tmp_path, other, code=1)
    assert "there is no file" in lathe_import(tmp_path, tmp_path / "absent.db", code=2)
    assert "no mlruns folder" in lathe_import(tmp_path, tmp_path, code=2)


def many_runs(folder, file, count, long_points):
    """A copy of the store with `count` more runs, and one whose history is long."""
    db = sqlite3.connect(file)
    db.executemany("INSERT INTO runs (run_uuid, name, user_id, status, start_time, end_time, lifecycle_stage, artifact_uri, experiment_id, "
                   "source_type) VALUES (?, ?, 'u', 'FINISHED', ?, ?, 'active', ?, 1, 'LOCAL')",
                   [(f"{i:032x}", f"r{i}", i, i + 1, f"s3://bucket/{i:032x}/artifacts") for i in range(count)])
    db.executemany("INSERT INTO params (run_uuid, key, value) VALUES (?, ?, ?)", [(f"{i:032x}", f"p{k}", str(i)) for i in range(count) for k in range(3)])
    db.executemany("INSERT INTO tags (run_uuid, key, value) VALUES (?, 'mlflow.runName', ?)", [(f"{i:032x}", f"r{i}") for i in range(count)])
    db.executemany("INSERT INTO metrics (run_uuid, key, value, timestamp, step, is_nan) VALUES (?, ?, ?, ?, ?, 0)",
                   [(f"{i:032x}", f"m{k}", i + s, s, s) for i in range(count) for k in range(2) for s in range(5)])
    db.executemany("INSERT INTO metrics (run_uuid, key, value, timestamp, step, is_nan) VALUES (?, 'long', ?, ?, ?, 0)",
                   [(f"{count // 2:032x}", s * 0.5, s, s) for s in range(long_points)])
    db.commit()
    db.close()


def test_it_goes_on_after_a_kill_and_is_quick(sql_store, start_server, tmp_path):
    folder, _ = sql_store
    file = tmp_path / "many.db"
    file.write_bytes((folder / "mlflow.db").read_bytes())
    count, long_points = int(os.environ.get("LATHE_IMPORT_RUNS", "3000")), 120_000
    many_runs(folder, file, count, long_points)
    home = tmp_path / "killed"
    home.mkdir()
    command = [str(BINARY), "import", "mlflow", str(file), "--dir", str(home / ".lathe")]
    kills = 0
    for pause in (0.15, 0.3, 0.5):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=clean_environment())
        time.sleep(pause)
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert kills > 0
    report = lathe_import(home, file)
    assert "no differences" in report, report
    assert str(count + 6) in report

    whole = tmp_path / "whole"
    whole.mkdir()
    begin = time.monotonic()
    report = lathe_import(whole, file)
    took = time.monotonic() - begin
    print(f"{count} runs in {took:.1f} s: {count / took * 60:.0f} runs/min")
    assert "no differences" in report, report

    server = start_server(home=home)
    import requests
    long = f"{count // 2:032x}"
    points, token = [], None
    while True:
        answer = requests.get(f"{server.url}/api/2.0/mlflow/metrics/get-history", timeout=30,
                              params={"run_id": long, "metric_key": "long", "max_results": 25000, **({"page_token": token} if token else {})}).json()
        points += [(m["step"], m["value"]) for m in answer["metrics"]]
        token = answer.get("next_page_token")
        if not token:
            break
    assert points == [(s, s * 0.5) for s in range(long_points)]
    run = requests.get(f"{server.url}/api/2.0/mlflow/runs/get", params={"run_id": long}, timeout=30).json()["run"]
    assert run["info"]["artifact_uri"] == f"s3://bucket/{long}/artifacts"
    assert {m["key"]: m["value"] for m in run["data"]["metrics"]}["long"] == (long_points - 1) * 0.5
