"""The server on PostgreSQL: a private cluster, the same API, one server per database."""
import pathlib
import shutil
import subprocess
import tempfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURE = ROOT / "tools" / "fixtures" / "pg.sh"

@pytest.fixture(scope="module")
def cluster():
    home = tempfile.mkdtemp(prefix="lathe-pg-")
    pathlib.Path(home).chmod(0o755)
    made = subprocess.run([FIXTURE, "start", home + "/c"], text=True, capture_output=True, timeout=120)
    assert made.returncode == 0, made.stderr
    yield made.stdout.strip()
    subprocess.run([FIXTURE, "stop", home + "/c"], capture_output=True, timeout=60)
    shutil.rmtree(home, ignore_errors=True)

def make_run(server, http):
    root = server.url + "/api/2.0/mlflow"
    made = http.post(root + "/runs/create", json={"experiment_id": "0", "start_time": 1})
    assert made.status_code == 200, made.text
    run = made.json()["run"]["info"]["run_id"]
    assert http.post(root + "/runs/log-metric", json={"run_id": run, "key": "loss", "value": 0.25, "timestamp": 2, "step": 1}).status_code == 200
    return run

def test_the_same_api_and_one_server_per_database(cluster, start_server, http):
    first = start_server("--store", cluster)
    status = http.get(first.api("/status")).json()
    assert status["store"] == "postgresql"
    run = make_run(first, http)
    kinds = [e["kind"] for e in http.get(first.api("/events")).json()["events"]]
    assert "run.created" in kinds

    second = start_server("--store", cluster, wait=False)
    assert second.process.wait(30) == 1, second.log()
    assert f"process {first.process.pid}" in second.log(), "refused with who holds the database"

    first.kill()
    first.start()
    found = http.get(first.url + "/api/2.0/mlflow/runs/get", params={"run_id": run}).json()["run"]
    assert found["data"]["metrics"][0]["value"] == 0.25
    assert first.stop() == 0

def test_an_unreachable_database_is_said(start_server):
    server = start_server("--store", "postgresql://lathe@127.0.0.1:1/none", wait=False)
    assert server.process.wait(30) == 1
    assert "127.0.0.1" in server.log()
