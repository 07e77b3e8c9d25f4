"""What serves and what was done to it, in the browser: graphs, data planes, the audit of models."""
import json
import sys
import time

import pytest
import requests

from ui_paths import ROOT

sys.path.insert(0, str(ROOT / "tests" / "api"))
from deploy import deploy, made_models  # noqa: E402
from lathe_server import Server  # noqa: E402
from people import add_user, user  # noqa: E402
from plane_process import Plane  # noqa: E402

GRAPH = """
project: flowers
graphs:
  triage:
    columns: {country: text}
    nodes:
      root:
        router: sequence
        steps:
          - {endpoint: screen}
          - {node: experts, condition: 'response.score < 0.8 or country == "CH"'}
      experts:
        router: ensemble
        combine: average
        steps: [{endpoint: expert, weight: 2}, {endpoint: petals, dependency: soft}]
"""


def no_problems(outcome):
    assert not outcome["problems"], "\n".join(outcome["problems"])
    return outcome


def test_a_graph_is_seen_asked_and_its_requests_followed(empty_server, browse, tmp_path):
    import test_graphs
    empty_server.stop()
    home, _ = test_graphs.models()
    for name in ("screen", "expert", "petals"):
        deploy(empty_server.dir, name, home / name)
    empty_server.start()
    (tmp_path / "lathe.yaml").write_text(GRAPH)
    done = empty_server.cli("apply", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    for i in range(4):  # one of four goes further than the first model, which is sure of these rows
        row = [*map(float, test_graphs.X[0]), "CH" if i == 0 else "DE"]
        body = {"dataframe_split": {"columns": [*test_graphs.NAMES, "country"], "data": [row]}}
        requests.post(f"{empty_server.url}/endpoints/triage/invocations", json=body, timeout=30).raise_for_status()
    outcome = no_problems(browse("serving.mjs", "graph", empty_server.url))
    assert outcome["expert"] == "25.0 %"


def test_data_planes_are_listed_and_a_lost_one_is_marked(browse, tmp_path):
    home = tmp_path / "control"
    home.mkdir()
    server = Server(home)
    planes = []
    try:
        no_problems(browse("serving.mjs", "noPlanes", server.url))
        server.stop()
        deploy(server.dir, "flowers", made_models() / "iris")
        add_user(home, "ann", "--admin")
        add_user(home, "edge", "--service", "--role", "plane")
        server.start()
        ann = user(server, "ann")
        secret = ann.api("POST", "/tokens", json={"user": "edge"}).json()["token"]
        for name in ("alive", "gone"):
            (tmp_path / name).mkdir()
            planes.append(Plane(tmp_path / name, server.url, secret))
        planes[1].kill()
        until = time.monotonic() + 120
        while [p["connected"] for p in ann.api("GET", "/planes").json()["planes"]] != [True, False]:
            assert time.monotonic() < until, "the plane that was killed does not count as lost"
            time.sleep(0.5)
        no_problems(browse("serving.mjs", "planes", server.url, json.dumps({"alive": "alive", "lost": "gone", "endpoint": "flowers"})))
        assert [p["name"] for p in ann.api("GET", "/planes").json()["planes"]] == ["alive"]
    finally:
        for plane in planes:
            if plane.process.poll() is None:
                plane.kill()
        server.down()


def test_a_models_audit(empty_server, browse):
    def call(method, path, body):
        requests.request(method, f"{empty_server.url}/api/2.0/mlflow/{path}", json=body, timeout=30).raise_for_status()
    call("POST", "registered-models/create", {"name": "other"})
    call("POST", "registered-models/create", {"name": "digits"})
    for _ in range(3):
        call("POST", "model-versions/create", {"name": "digits", "source": "s3://bucket/x"})
    for version in "12":
        call("POST", "registered-models/alias", {"name": "digits", "alias": "champion", "version": version})
        call("POST", "model-versions/transition-stage", {"name": "digits", "version": version, "stage": "Production", "archive_existing_versions": True})
    call("DELETE", "model-versions/delete", {"name": "digits", "version": "3"})
    no_problems(browse("serving.mjs", "audit", empty_server.url, json.dumps({"model": "digits", "other": "other"})))
