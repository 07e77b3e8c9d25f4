"""`lathe export mlflow`: what the stock client reads from the folder is what it reads from the server, field by field and
file by file; taken over again it is the same store; broken off it goes on; and it writes nowhere else."""
import json
import os
import signal
import sqlite3
import subprocess
import time

import pytest

from lathe_server import BINARY, ROOT, clean_environment

TOOL = ROOT / "tests/api/mlflow_store.py"
TRACES = ROOT / "tests/api/mlflow_traces_dump.py"
CLIENTS = [".venv-mlflow", ".venv-mlflow312"]


def python(client, script, *args):
    done = subprocess.run([str(ROOT / client / "bin/python"), str(script), *map(str, args)], capture_output=True, text=True, timeout=300,
                          env=clean_environment())
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def lathe(home, *args, code=0):
    done = subprocess.run([str(BINARY), *map(str, args)], capture_output=True, text=True, timeout=300, cwd=home, env=clean_environment())
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def filled(start_module_server):
    """A running server with everything that a client can make, and an export of it."""
    server = start_module_server()
    python(CLIENTS[0], TOOL, "make", server.url)
    python(CLIENTS[0], TRACES, "make", server.url)
    report = lathe(server.home, "export", "mlflow", "out")
    assert "whole: " in report and "LEFT OUT" not in report, report
    return server


@pytest.mark.parametrize("client", CLIENTS)
def test_the_client_reads_the_folder_as_it_reads_the_server(filled, client):
    folder = f"file://{filled.home}/out"
    theirs, ours = (json.loads(python(client, TOOL, "dump", uri)) for uri in (filled.url, folder))
    assert theirs["runs"] and theirs["models"] and theirs["registered"] and theirs["prompts"]
    assert ours == theirs
    theirs, ours = (json.loads(python(client, TRACES, "dump", uri)) for uri in (filled.url, folder))
    assert len(theirs) == 1 and len(next(iter(theirs.values()))["info"]["assessments"]) == 12
    assert ours == theirs


def test_an_import_of_it_is_the_same_store(filled, start_server, tmp_path):
    assert "no differences" in lathe(tmp_path, "import", "mlflow", filled.home / "out")
    server = start_server(home=tmp_path)
    theirs, ours = (json.loads(python(CLIENTS[0], TOOL, "dump", s.url)) for s in (filled, server))
    assert ours == theirs
    theirs, ours = (json.loads(python(CLIENTS[0], TRACES, "dump", s.url)) for s in (filled, server))
    assert len(theirs) == 1 and ours == theirs


def test_a_second_call_writes_nothing_again(filled):
    out = filled.home / "out"
    written = lambda: {file: file.stat().st_mtime_ns for file in out.glob("[0-9]*/*/meta.yaml")}  # noqa: E731
    before = written()
    report = lathe(filled.home, "export", "mlflow", "out")
    assert "0 artifact files" in report and len(before) >= 5 and written() == before
    assert not (out / ".lathe-part").exists()


def test_one_experiment_comes_with_its_models_only(filled, tmp_path):
    lathe(filled.home, "export", "mlflow", tmp_path / "one", "--experiment", "team/one")
    data = json.loads(python(CLIENTS[0], TOOL, "dump", f"file://{tmp_path}/one", "plain"))
    assert set(data["experiments"]) == {"team/one"} and set(data["registered"]) == {"clf", "logged"}
    assert "no experiment 'nope'" in lathe(filled.home, "export", "mlflow", tmp_path / "two", "--experiment", "nope", code=2)


def test_for_mlflow2_it_holds_no_logged_models(filled, tmp_path):
    lathe(filled.home, "export", "mlflow", tmp_path / "old", "--for-mlflow2")
    assert not list((tmp_path / "old").glob("*/models/m-*")) and not list((tmp_path / "old").glob("*/*/outputs"))


def test_folders_of_others_are_refused(filled, tmp_path):
    (tmp_path / "thing").write_text("x")
    assert "not empty" in lathe(filled.home, "export", "mlflow", tmp_path, code=2)
    other = tmp_path / "other"
    lathe(filled.home, "export", "mlflow", other)
    (other / ".lathe-export").write_text("lathe export mlflow of project default of store another\n")
    assert "another store" in lathe(filled.home, "export", "mlflow", other, code=2)
    assert "there is no store" in lathe(tmp_path, "export", "mlflow", tmp_path / "new", code=1)


def test_it_never_leaves_its_folder(filled, start_server, tmp_path):
    """A store whose ids and keys are paths, as only a broken one can hold, and links that wait in the folder."""
    server = start_server(home=tmp_path)
    server.down()
    db = sqlite3.connect(next((tmp_path / ".lathe").glob("*.db")))
    for i, run in enumerate(("../../escaped", "/tmp/escaped", "a" * 32)):
        db.execute("INSERT INTO track_runs (project, run_id, exp, name, name_tag, user_id, status, start_ms, deleted, artifact_uri, attempt) "
                   "VALUES (1, ?, 0, 'r', 1, 'u', 3, ?, 0, 'mlflow-artifacts:/0/x/artifacts', '')", (run, i))
    row = db.execute("SELECT id FROM track_runs WHERE run_id = ?", ("a" * 32,)).fetchone()[0]
    for key in ("../../../../escaped", "a", "a/b", "n" * 300, "ok"):
        db.execute("INSERT INTO track_keys (project, name) VALUES (1, ?)", (key,))
        db.execute("INSERT INTO track_params (project, run, key_id, exp, value) SELECT 1, ?, id, 0, 'v' FROM track_keys WHERE name = ?", (row, key))
    db.execute("INSERT INTO track_registered (project, name, created_ms, updated_ms, last_version) VALUES (1, '../up', 1, 1, 0)")
    db.commit()
    db.close()
    report = lathe(tmp_path, "export", "mlflow", "out", code=1)
    assert report.count("LEFT OUT") == 6, report
    assert "'../../escaped'" in report and "'../up'" in report and "too long" in report and "in its way" in report
    assert not [p for p in tmp_path.rglob("*escaped*")] and not (tmp_path.parent / "escaped").exists()
    assert (tmp_path / "out/0" / ("a" * 32) / "params/ok").read_text() == "v"

    outside = tmp_path / "outside"
    outside.mkdir()
    linked = tmp_path / "linked"
    lathe(tmp_path, "export", "mlflow", linked, code=1)
    import shutil
    shutil.rmtree(linked / "0")
    (linked / "0").symlink_to(outside)
    lathe(tmp_path, "export", "mlflow", linked, code=1)
    assert not list(outside.iterdir())


def test_it_goes_on_after_a_kill(start_server, tmp_path):
    server = start_server(home=tmp_path)
    server.down()
    count = int(os.environ.get("LATHE_EXPORT_RUNS", "2000"))
    db = sqlite3.connect(next((tmp_path / ".lathe").glob("*.db")))
    db.executemany("INSERT INTO track_runs (project, run_id, exp, name, name_tag, user_id, status, start_ms, deleted, artifact_uri, attempt) "
                   "VALUES (1, ?, 0, ?, 1, 'u', 3, ?, 0, ?, '')",
                   [(f"{i:032x}", f"r{i}", i, f"mlflow-artifacts:/0/{i:032x}/artifacts") for i in range(count)])
    db.commit()
    db.close()
    kills = 0
    for pause in (0.1, 0.2, 0.3):
        process = subprocess.Popen([str(BINARY), "export", "mlflow", "out"], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env=clean_environment())
        time.sleep(pause)
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        for run in (tmp_path / "out/0").glob("*/"):  # what is there is whole
            assert run.name == "tags" or (run / "meta.yaml").stat().st_size > 0 and (run / "tags/mlflow.runName").exists()
    assert kills > 0
    begun = time.monotonic()
    report = lathe(tmp_path, "export", "mlflow", "out")
    print(f"the rest of {count} runs in {time.monotonic() - begun:.1f} s")
    assert "whole: " in report
    assert len(list((tmp_path / "out/0").glob("*/meta.yaml"))) == count and not (tmp_path / "out/.lathe-part").exists()
