"""Rules on metrics: they fire once for a run, with the numbers, on the events, on webhooks and in the list."""
import json
import subprocess
import time
import uuid

import pytest

from lathe_server import ROOT, clean_environment
from people import PASSWORD, add_user, user
from receiver import Receiver

OPEN = {"MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https", "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true"}


@pytest.fixture(scope="module")
def server(start_module_server):
    return start_module_server(env=OPEN)


@pytest.fixture
def call(server, http):
    def send(method, path, body=None, status=None):
        url = server.url + (path if path.startswith("/") else "/api/2.0/mlflow/" + path)
        answer = http.request(method, url, **({"params": body} if method == "GET" else {"json": body}))
        assert answer.status_code == status if status else answer.ok, (method, path, body, answer.status_code, answer.text[:500])
        return answer.json() if answer.content else None
    return send


def ours(path):
    return "/api/lathe/v1" + path


def make(call, name="alerts"):
    return call("POST", "experiments/create", {"name": f"{name}-{uuid.uuid4().hex[:6]}"})["experiment_id"]


def start(call, experiment, **tags):
    return call("POST", "runs/create", {"experiment_id": experiment, "start_time": int(time.time() * 1000),
                                        "tags": [{"key": k, "value": v} for k, v in tags.items()]})["run"]["info"]["run_id"]


def log(call, run, key, *values, first=0):
    now = int(time.time() * 1000)
    call("POST", "runs/log-batch", {"run_id": run, "metrics": [{"key": key, "value": v, "timestamp": now + i, "step": first + i} for i, v in enumerate(values)]})


def rule(call, experiment, **fields):
    return call("POST", ours("/metric-rules"), {"experiment": experiment, "name": uuid.uuid4().hex, **fields}, 201)


def raised(call, experiment, count, seconds=10):
    until = time.monotonic() + seconds
    while len(alerts := call("GET", ours("/metric-alerts"), {"experiment": experiment})["alerts"]) < count:
        assert time.monotonic() < until, alerts
        time.sleep(0.05)
    return alerts


def test_thresholds_nan_and_infinity_fire_once_for_a_run(server, call):
    e = make(call)
    above = rule(call, e, kind="above", metric="loss", threshold=5)
    below = rule(call, e, kind="below", metric="acc", threshold=0.5)
    odd = rule(call, e, kind="not_finite")
    run = start(call, e)
    log(call, run, "loss", 1, 5, 4)  # 5 is not above 5
    log(call, run, "acc", 0.9)
    log(call, run, "loss", 7.5, 1, first=3)  # crossed and back again within one batch
    log(call, run, "acc", 0.25, first=1)
    log(call, run, "grad", *["NaN"], *range(200))  # and then folded into a chunk
    alerts = {a["rule"]: a for a in raised(call, e, 3)}
    assert alerts[above["id"]]["numbers"]["value"] == 7.5 and alerts[above["id"]]["numbers"]["threshold"] == 5
    assert alerts[above["id"]]["numbers"]["metric"] == "loss" and alerts[above["id"]]["run"] == run
    assert alerts[below["id"]]["numbers"]["value"] == 0.25
    assert alerts[odd["id"]]["numbers"]["metric"] == "grad" and alerts[odd["id"]]["numbers"]["value"] == "NaN"
    log(call, run, "loss", 99, first=9)
    other = start(call, e)
    log(call, other, "loss", "Infinity")
    found = raised(call, e, 5)
    time.sleep(0.6)
    assert len(raised(call, e, 5)) == 5
    assert {(a["rule"], a["run"]) for a in found} >= {(above["id"], other), (odd["id"], other)}
    events = [x for x in call("GET", ours("/events"), {"limit": 1000})["events"] if x["kind"] == "run.alerted" and x["subject"]["id"] == run]
    assert len(events) == 3 and {x["body"]["rule"] for x in events} == {above["id"], below["id"], odd["id"]}


def test_a_rule_is_for_some_runs(call):
    e = make(call)
    rule(call, e, kind="above", metric="loss", threshold=1, filter="tags.stage = 'prod' OR params.x = '1'")
    test, prod = start(call, e, stage="test"), start(call, e, stage="prod")
    log(call, test, "loss", 2)
    log(call, prod, "loss", 2)
    assert [a["run"] for a in raised(call, e, 1)] == [prod]


def test_a_new_rule_looks_at_what_runs_and_not_at_what_ended(call):
    e = make(call)
    ended, running = start(call, e), start(call, e)
    for run in (ended, running):
        log(call, run, "loss", 9)
    call("POST", "runs/update", {"run_id": ended, "status": "FINISHED", "end_time": int(time.time() * 1000) - 1000})
    rule(call, e, kind="above", metric="loss", threshold=1)
    assert [a["run"] for a in raised(call, e, 1)] == [running]


def test_silence_is_told_while_a_run_is_running(call):
    e = make(call)
    stalled = rule(call, e, kind="stalled", silent_s=2)
    silent, ended, busy = start(call, e), start(call, e), start(call, e)
    call("POST", "runs/update", {"run_id": ended, "status": "FINISHED", "end_time": int(time.time() * 1000)})
    until = time.monotonic() + 15
    step = 0
    while not (alerts := call("GET", ours("/metric-alerts"), {"experiment": e})["alerts"]):
        assert time.monotonic() < until
        call("POST", "runs/log-metric", {"run_id": busy, "key": "old", "value": step, "timestamp": 1, "step": (step := step + 1)})  # its times are of long ago
        time.sleep(0.2)
    assert [(a["run"], a["rule"]) for a in alerts] == [(silent, stalled["id"])]
    assert alerts[0]["numbers"]["allowed_s"] == 2 and alerts[0]["numbers"]["silent_s"] >= 2


def test_a_webhook_carries_the_numbers(call):
    receiver = Receiver()
    try:
        e = make(call)
        call("POST", ours("/webhooks"), {"name": "alerts", "url": receiver.url, "events": ["run.alerted"]}, 201)
        made = rule(call, e, kind="above", metric="loss", threshold=1)
        run = start(call, e)
        log(call, run, "loss", 3)
        receiver.wait(1)
        body = json.loads(receiver.requests[0][2])
        assert body["entity"] == "run" and body["action"] == "alerted"
        assert body["data"]["run"] == run and body["data"]["detail"]["rule"] == made["id"]
        assert body["data"]["detail"]["numbers"]["value"] == 3
    finally:
        receiver.close()


def test_what_is_wrong_is_said(call):
    e = make(call)
    good = {"experiment": e, "name": "a", "kind": "above", "metric": "m", "threshold": 1}
    for change, word in (({"kind": "odd"}, "not_finite"), ({"threshold": None}, "threshold"), ({"metric": ""}, "metric"), ({"name": ""}, "name"),
                         ({"filter": "metrics.a >> 1"}, "filter"), ({"filter": ")"}, "filter"), ({"kind": "stalled"}, "silent_s"),
                         ({"kind": "stalled", "silent_s": 0.5}, "silent_s"), ({"extra": 1}, "extra"), ({"experiment": "x"}, "experiment")):
        answer = call("POST", ours("/metric-rules"), {**good, **change}, 400)
        assert word in answer["error"]["message"].lower(), (change, answer)
    call("POST", ours("/metric-rules"), {**good, "experiment": "99999"}, 404)
    first = call("POST", ours("/metric-rules"), good, 201)
    call("POST", ours("/metric-rules"), good, 409)
    assert [r["id"] for r in call("GET", ours("/metric-rules"), {"experiment": e})["rules"]] == [first["id"]]
    call("DELETE", ours("/metric-rules/" + first["id"]), status=204)
    call("DELETE", ours("/metric-rules/" + first["id"]), status=404)
    lines = [x["action"] for x in call("GET", ours("/audit"), {"limit": 1000})["lines"]]
    assert "metric_rule.created" in lines and "metric_rule.deleted" in lines


def test_the_command_line(server, call):
    e = make(call)
    made = server.cli("alert", "add", "--experiment", e, "--metric", "loss", "--above", "2", "--where", "tags.a = 'b'")
    assert made.returncode == 0 and made.stdout.startswith("mr_"), made.stderr
    assert "loss above 2" in server.cli("alert", "list", "--experiment", e).stdout
    log(call, start(call, e, a="b"), "loss", 3)
    raised(call, e, 1)
    assert '"value":3' in server.cli("alert", "raised", "--experiment", e).stdout.replace("3E0", "3").replace(" ", "")
    assert server.cli("alert", "rm", made.stdout.split()[0]).returncode == 0
    assert "no rules" in server.cli("alert", "list", "--experiment", e).stdout
    assert server.cli("alert", "add", "--experiment", e, "--metric", "loss").returncode == 2


def test_the_stock_client_sets_one_off(server, call):
    e = make(call)
    made = rule(call, e, kind="not_finite", metric="loss")
    script = f"import mlflow\nwith mlflow.start_run(experiment_id='{e}') as run:\n    mlflow.log_metric('loss', 1.0)\n    mlflow.log_metric('loss', float('nan'))\n    mlflow.log_metric('loss', 2.0)\nprint(run.info.run_id)"
    done = subprocess.run([ROOT / ".venv/bin/python", "-c", script], env=clean_environment(MLFLOW_TRACKING_URI=server.url), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    alerts = raised(call, e, 1)
    assert alerts[0]["rule"] == made["id"] and alerts[0]["run"] in done.stdout


def test_a_crash_loses_no_alert(start_server, http):
    server = start_server()

    def post(path, body):
        answer = http.post(server.url + path, json=body)
        assert answer.ok, answer.text
        return answer.json()

    e = post("/api/2.0/mlflow/experiments/create", {"name": "crash"})["experiment_id"]
    post(ours("/metric-rules"), {"experiment": e, "name": "r", "kind": "above", "metric": "loss", "threshold": 1})
    runs = [post("/api/2.0/mlflow/runs/create", {"experiment_id": e, "start_time": 1})["run"]["info"]["run_id"] for _ in range(20)]
    time.sleep(0.5)
    for run in runs:
        post("/api/2.0/mlflow/runs/log-metric", {"run_id": run, "key": "loss", "value": 2, "timestamp": 1})
        post("/api/2.0/mlflow/runs/update", {"run_id": run, "status": "FINISHED", "end_time": int(time.time() * 1000)})
    server.kill()
    server.start()
    until = time.monotonic() + 15
    while len(found := http.get(server.api("/metric-alerts"), params={"experiment": e}).json()["alerts"]) < len(runs):
        assert time.monotonic() < until, len(found)
        time.sleep(0.1)
    time.sleep(1)
    assert sorted(a["run"] for a in http.get(server.api("/metric-alerts"), params={"experiment": e}).json()["alerts"]) == sorted(runs)


def test_who_may(start_server, tmp_path):
    add_user(tmp_path, "ann")
    server = start_server("--require-login", "1", home=tmp_path)
    ann = user(server, "ann")
    e = ann("POST", "/api/2.0/mlflow/experiments/create", json={"name": "zq9secret"}).json()["experiment_id"]
    body = {"experiment": e, "name": "zq9secret", "kind": "above", "metric": "m", "threshold": 1}
    made = ann.api("POST", "/metric-rules", json=body).json()
    for level, reads, writes in (("DENY", 0, 0), ("READ", 1, 0), ("EDIT", 1, 1)):
        name = "u" + level.lower()
        assert ann("POST", "/api/2.0/mlflow/users/create", json={"username": name, "password": PASSWORD}).ok
        assert ann("POST", "/api/3.0/mlflow/users/permissions/grant", json={"username": name, "resource_type": "experiment", "resource_id": e, "permission": level}).ok
        time.sleep(1)
        bob = user(server, name)
        for path in ("/metric-rules", "/metric-alerts"):
            answer = bob.api("GET", path, params={"experiment": e})
            assert answer.status_code == (200 if reads else 403), (level, path, answer.text)
            everywhere = bob.api("GET", path)  # from whom an experiment is hidden must name one
            assert everywhere.status_code == (200 if reads else 400) and (reads or "zq9secret" not in everywhere.text), (level, path)
        assert bob.api("POST", "/metric-rules", json={**body, "name": level}).status_code == (201 if writes else 403)
        assert bob.api("DELETE", "/metric-rules/" + made["id"]).status_code == (204 if writes else 403)
