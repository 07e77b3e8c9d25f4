"""Every route of the installed MLflow server is one of ours, or is left out for a reason that stands here."""
import os
import pathlib
import re
import subprocess

import pytest

from lathe_server import ROOT, clean_environment

PEER = pathlib.Path(os.environ.get("LATHE_MLFLOW_PEER", ROOT / ".venv-mlflow"))
LEFT_OUT = {
    r"/gateway|gateway-proxy|/runs/create-promptlab-run": "the AI gateway, and the pages that call models through it",
    r"/mcp-servers?\b": "the MCP registry",
    r"/prompt-optimization/": "jobs that optimise prompts",
    r"/3\.0/jobs|/mlflow/jobs/": "the queue of such jobs",
    r"/assistant/": "the assistant in MLflow's own pages",
    r"/demo/(generate|delete)$": "demo data of MLflow's own pages",
    r"/(scorer|issues|genai/evaluate)/invoke$": "calls to models on behalf of MLflow's own pages",
    r"/scorers/online-configs?$": "online scoring: a job that calls models",
    r"/ui-telemetry$": "MLflow's pages report to their makers",
    r"/get-online-trace-details$|/unified-traces$": "upstream has the path and no handler: it answers 404",
    r"api/2\.0mlflow/": "a path without its slash",
    r"^/$|^/static-files/|^/build/|^/docs|^/redoc|^/openapi.json|^/signup$|/users/create-ui$": "MLflow's own pages",
}


def test_the_peer_is_there():
    assert (PEER / "bin" / "python").exists(), f"{PEER} has no Python; ./dev test makes it from tests/requirements-mlflow.txt"


@pytest.fixture(scope="module")
def upstream():
    done = subprocess.run([PEER / "bin" / "python", ROOT / "tests" / "api" / "mlflow_routes.py"], capture_output=True, text=True,
                          timeout=900, env=clean_environment())
    assert done.returncode == 0, done.stderr[-3000:]
    routes = [line.split(" ", 1) for line in done.stdout.splitlines()]
    assert len(routes) > 400
    return routes


def reason(path):
    return next((why for pattern, why in LEFT_OUT.items() if re.search(pattern, path)), None)


def test_every_reason_is_about_something(upstream):
    for pattern in LEFT_OUT:
        assert any(re.search(pattern, path) for _, path in upstream), pattern


def test_every_route_of_mlflow_is_served(upstream, server, http):
    missing = []
    for method, path in upstream:
        if reason(path):
            continue
        asked = re.sub(r"<[^>]*>|\{[^}]*\}", "1", path)
        answer = http.request(method, server.url + asked, json={} if method != "GET" else None)
        if answer.status_code == 405 or "ENDPOINT_NOT_FOUND" in answer.text or answer.status_code >= 500 and answer.status_code != 501:
            missing.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
    assert not missing, "\n".join(missing)


def test_what_is_left_out_says_so(upstream, server, http):
    """In MLflow's own JSON, which its clients read."""
    for method, path in upstream:
        if reason(path) is None or not re.match(r"/(ajax-)?api/\d\.0/", path):
            continue
        answer = http.request(method, server.url + re.sub(r"<[^>]*>|\{[^}]*\}", "1", path), json={} if method != "GET" else None)
        if answer.status_code == 405:  # another method's pattern takes it, as issues/{id} takes issues/invoke
            assert "is not served at" in answer.json()["message"], (method, path, answer.text[:200])
            continue
        assert answer.status_code == 404 and answer.json()["error_code"] == "ENDPOINT_NOT_FOUND", (method, path, answer.text[:200])
