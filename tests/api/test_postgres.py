"""The server on PostgreSQL: a private cluster, the same API, one server per database."""
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
import time

import pytest
import requests

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
    metrics = http.get(first.url + "/metrics").text
    assert 'lathe_store_pool_connections{pool="write"}' in metrics and 'lathe_store_pool_busy{pool="read"} ' in metrics
    jobs = re.search(r'lathe_store_pool_jobs_total\{pool="write"\} (\d+)', metrics)
    waits = re.search(r'lathe_store_pool_wait_seconds_count\{pool="write"\} (\d+)', metrics)
    assert int(jobs.group(1)) >= 2 and int(waits.group(1)) >= int(jobs.group(1))

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

def test_a_run_that_still_logs_is_copied_whole(cluster, start_server, http):
    """Copies taken while two clients log: each has a history without holes and without doubles."""
    server = start_server("--store", cluster)
    root = server.url + "/api/2.0/mlflow"
    other = http.post(root + "/experiments/create", json={"name": "copies"}).json()["experiment_id"]
    run = http.post(root + "/runs/create", json={"experiment_id": "0", "start_time": 1}).json()["run"]["info"]["run_id"]
    going = threading.Event()

    def log(key):
        with requests.Session() as session:
            step = 0
            while not going.is_set():
                points = [{"key": key, "value": step + i, "timestamp": step + i, "step": step + i} for i in range(20)]
                answer = session.post(root + "/runs/log-batch", json={"run_id": run, "metrics": points}, timeout=60)
                assert answer.status_code == 200, answer.text
                step += 20

    writers = [threading.Thread(target=log, args=(key,)) for key in ("a", "b")]
    [w.start() for w in writers]
    copies = []
    try:
        for _ in range(12):
            answer = http.post(server.api("/runs/copy"), json={"runs": [run], "experiment": other}, timeout=60)
            assert answer.status_code == 201, answer.text
            copies.append(answer.json()["copies"][0]["to"])
    finally:
        going.set()
        [w.join() for w in writers]
    for copy in copies:
        for key in ("a", "b"):
            history = http.get(root + "/metrics/get-history", params={"run_id": copy, "metric_key": key}).json().get("metrics", [])
            steps = [p["step"] for p in history]
            assert steps == list(range(len(steps))) and len(steps) % 20 == 0, (copy, key, len(steps), steps[:5], steps[-5:])
    server.stop()


def test_rules_on_metrics_and_a_purge_of_traces(cluster, start_server, http):
    server = start_server("--store", cluster)

    def call(method, path, body=None, status=200):
        url = server.url + (path if path.startswith("/") else "/api/2.0/mlflow/" + path)
        answer = http.request(method, url, **({"params": body} if method == "GET" else {"json": body}))
        assert answer.status_code == status, (method, path, body, answer.status_code, answer.text[:500])
        return answer.json()

    experiment = call("POST", "experiments/create", {"name": "rules"})["experiment_id"]
    for rule in ({"kind": "above", "metric": "loss", "threshold": 1, "filter": "params.x = '1'"}, {"kind": "not_finite"}, {"kind": "stalled", "silent_s": 1}):
        call("POST", "/api/lathe/v1/metric-rules", {"experiment": experiment, "name": rule["kind"], **rule}, 201)
    run = call("POST", "runs/create", {"experiment_id": experiment, "start_time": 1})["run"]["info"]["run_id"]
    call("POST", "runs/log-batch", {"run_id": run, "params": [{"key": "x", "value": "1"}],
                                    "metrics": [{"key": "loss", "value": v, "timestamp": 1, "step": i} for i, v in enumerate([0.5, 3, "NaN", 0.1])]})
    until = time.monotonic() + 20
    while len(alerts := call("GET", "/api/lathe/v1/metric-alerts", {"experiment": experiment})["alerts"]) < 3:
        assert time.monotonic() < until, alerts
        time.sleep(0.1)
    assert {a["kind"]: a["numbers"].get("value") for a in alerts} == {"above": 3, "not_finite": "NaN", "stalled": None}
    for i in range(3):
        call("POST", "traces", {"trace": {"trace_info": {"trace_id": f"tr-pg-{i}", "state": "OK", "request_time": "2026-11-23T10:31:28.049Z",
                                                         "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}}}})
    call("POST", "scorers/register", {"experiment_id": experiment, "name": "s", "serialized_scorer": "{}"})
    call("POST", "runs/create", {"experiment_id": "0", "start_time": 1})  # the newest run stays
    call("POST", "experiments/delete", {"experiment_id": experiment})
    assert call("POST", "/api/lathe/v1/runs/purge", {"experiments": [experiment]})["experiments"] == 1
    for i in range(3):
        call("GET", f"traces/tr-pg-{i}", status=404)
    assert call("GET", "/api/lathe/v1/metric-rules")["rules"] == []
    assert server.stop() == 0
