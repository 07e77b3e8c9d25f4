"""What people do about answers, alerts of runs, webhooks and rights, in the browser."""
import http.server
import json
import sys
import threading

import pytest
import requests

from ui_paths import ROOT

sys.path.insert(0, str(ROOT / "tests" / "api"))
from deploy import deploy, made_models  # noqa: E402
from lathe_server import Server  # noqa: E402
from people import PASSWORD, add_user, user  # noqa: E402


def no_problems(outcome):
    assert not outcome["problems"], "\n".join(outcome["problems"])
    return outcome


def test_an_answer_is_explained(life, browse):
    outcome = no_problems(browse("acts.mjs", "explain", life.server.url, json.dumps({"endpoint": "digits"})))
    assert 2 <= outcome["explained"] <= 12 and outcome["features"] > 10


def test_a_new_endpoints_page_shows_the_time_that_it_was_asked(life, browse):
    no_problems(browse("acts.mjs", "range", life.server.url, json.dumps({"endpoint": "digits"})))


def test_a_rule_on_a_metric_fires_and_is_seen(empty_server, browse):
    def call(path, body):
        answer = requests.post(f"{empty_server.url}/api/2.0/mlflow/{path}", json=body, timeout=30)
        answer.raise_for_status()
        return answer.json()
    experiment = call("experiments/create", {"name": "watched"})["experiment_id"]
    run = call("runs/create", {"experiment_id": experiment, "run_name": "calm-heron", "start_time": 1})["run"]["info"]["run_id"]
    call("runs/log-batch", {"run_id": run, "metrics": [{"key": "loss", "value": v, "timestamp": 1, "step": i} for i, v in enumerate((1, 9, 2))]})
    no_problems(browse("acts.mjs", "alerts", empty_server.url, json.dumps({"experiment": experiment, "metric": "loss", "threshold": 5, "run": "calm-heron"})))
    assert requests.get(empty_server.api("/metric-rules"), timeout=30).json() == {"rules": []}


@pytest.fixture
def receiver():
    """Refuses what comes first for good, and takes the rest."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200 if self.server.came else 410)
            self.server.came += 1
            self.end_headers()

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.came = 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def test_a_dead_letter_is_seen_and_sent_again(browse, receiver, tmp_path):
    server = Server(tmp_path, env={"MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true", "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https"})
    try:
        address = f"http://127.0.0.1:{receiver.server_address[1]}/pager"
        no_problems(browse("acts.mjs", "webhooks", server.url, json.dumps({"receiver": address})))
    finally:
        server.down()
    assert receiver.came == 2


@pytest.fixture
def shared(tmp_path):
    """A server that asks everybody to log in: a viewer, and one who may only ask models."""
    server = Server(tmp_path)
    server.stop()
    deploy(server.dir, "flowers", made_models() / "iris")
    add_user(tmp_path, "ann")
    server.args = ["--require-login", "1"]
    server.start()
    ann = user(server, "ann")
    for name, role in (("vera", "viewer"), ("ivan", "infer"), ("cora", "contributor"), ("otto", "contributor")):
        assert ann.api("POST", "/users", json={"name": name, "password": PASSWORD, "roles": {"default": role}}).status_code == 201
    asked = ann("POST", "/v1/models/flowers:predict", json={"instances": [[5.1, 3.5, 1.4, 0.2]]})
    assert asked.status_code == 200, asked.text + server.log()
    run = ann("POST", "/api/2.0/mlflow/runs/create", json={"experiment_id": "0", "run_name": "seen", "start_time": 1}).json()["run"]["info"]["run_id"]
    try:
        yield server, run
    finally:
        server.down()


def pages_of(run):
    p = "/p/default"
    return [p, *(f"{p}/{page}" for page in (
        "data", "pipelines", "runs", "runs?view=charts", "runs/alerts", f"runs/{run}", f"runs/{run}/code", "models", "evaluations", "traces", "prompts", "endpoints", "endpoints?view=models",
        "endpoints/flowers", "endpoints/flowers/traffic", "endpoints/flowers/requests", "endpoints/flowers/try", "monitors", "lab", "lineage")), "/admin/tokens", "/admin/about", "/projects"]


def test_who_may_only_look_sees_every_page_and_why_acts_are_not_theirs(shared, browse):
    server, run = shared
    paths = pages_of(run)
    no_problems(browse("acts.mjs", "viewer", server.url, json.dumps({"user": "vera", "password": PASSWORD, "paths": paths})))


def test_who_may_only_ask_models_is_told_how(shared, browse):
    server, _ = shared
    paths = ["/p/default", "/p/default/runs", "/p/default/endpoints/flowers"]
    no_problems(browse("acts.mjs", "infer", server.url, json.dumps({"user": "ivan", "password": PASSWORD, "paths": paths})))


def test_a_contributor_sees_every_page(shared, browse):
    server, run = shared
    no_problems(browse("acts.mjs", "contributor", server.url, json.dumps({"user": "cora", "password": PASSWORD, "paths": pages_of(run)})))


def test_who_sees_a_part_of_a_project_is_told_why_its_pages_are_closed(shared, browse):
    server, _ = shared
    ann = user(server, "ann")
    grant = {"experiment_id": "0", "username": "otto", "permission": "NO_PERMISSIONS"}
    assert ann("POST", "/api/2.0/mlflow/experiments/permissions/create", json=grant).status_code == 200
    told = {"user": "otto", "password": PASSWORD, "paths": ["/p/default", "/p/default/runs", "/p/default/models"], "heading": "You see a part of this project"}
    no_problems(browse("acts.mjs", "part", server.url, json.dumps(told)))
    nobody = {**told, "paths": ["/p/elsewhere/runs"], "heading": "You may not see this project"}
    no_problems(browse("acts.mjs", "part", server.url, json.dumps(nobody)))
