"""Several listeners, each with all protocols or a group of them."""
import re
import time

import pytest
import requests
import tritonclient.grpc as triton_grpc

from deploy import deploy, made_models
from test_inference import IRIS
from test_tls import certificate


def others(server):
    """Every listener by its group, as the server tells them (once it has told its address)."""
    until = time.monotonic() + 10
    while not (found := re.search(rf"serves {re.escape(server.url)}, (.*) \(state in", server.log())):
        assert time.monotonic() < until, server.log()
        time.sleep(0.01)
    places = found[1].split(", ")
    return {p.partition("=")[2] or "all": p.partition("=")[0] for p in places}


def served(server):
    server.stop()
    deploy(server.dir, "iris", made_models() / "iris", default=True)
    server.start()
    return server


def test_a_group_serves_its_protocols_and_nothing_else(start_server):
    server = served(start_server("--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0=inference", "--listen", "127.0.0.1:0=metrics",
                                 "--listen", "127.0.0.1:0=tracking+airflow"))
    at = others(server)
    assert at["all"] == server.url and set(at) == {"all", "inference", "metrics", "tracking+airflow"}
    rows = {"inputs": IRIS["rows"][:2]}
    assert requests.post(at["inference"] + "/invocations", json=rows, timeout=10).json() == {"predictions": IRIS["labels"][:2]}
    assert triton_grpc.InferenceServerClient(at["inference"].split("//")[1]).is_model_ready("iris")
    closed = [("GET", "/"), ("GET", "/p/default"), ("GET", "/metrics"), ("POST", "/api/2.0/mlflow/experiments/search"), ("GET", "/graphql"),
              ("GET", "/api/lathe/v1/status"), ("GET", "/api/lathe/v1/routes"), ("POST", "/api/lathe/v1/events"), ("POST", "/v1/traces"),
              ("OPTIONS", "/api/lathe/v1/apply"), ("DELETE", "/api/2.0/mlflow/runs/create"), ("GET", "/user/ann/")]
    for method, path in closed:
        answer = requests.request(method, at["inference"] + path, timeout=10)
        assert answer.status_code == 404 and "Allow" not in answer.headers, (method, path, answer.text)
        assert requests.request(method, at["all"] + path, timeout=10).status_code != 404 or path in ("/user/ann/", "/p/default"), path
    for url in at.values():
        for path in ("/health", "/livez", "/readyz"):
            assert requests.get(url + path, timeout=10).status_code == 200
    assert "lathe_http_connections{listener=" in requests.get(at["metrics"] + "/metrics", timeout=10).text
    assert requests.post(at["metrics"] + "/invocations", json=rows, timeout=10).status_code == 404
    assert requests.post(at["tracking+airflow"] + "/api/2.0/mlflow/experiments/search", json={"max_results": 1}, timeout=10).status_code == 200
    assert requests.post(at["tracking+airflow"] + "/invocations", json=rows, timeout=10).status_code == 404


def test_beyond_this_machine_each_listener_wants_a_user_and_tls(start_server, tmp_path):
    naked = start_server("--listen", "127.0.0.1:0", "--listen", "0.0.0.0:0=inference", wait=False)
    assert naked.process.wait(30) != 0 and "0.0.0.0:0=inference" in naked.log() and "--tls-cert" in naked.log()
    certificate(tmp_path)
    tls = ["--tls-cert", tmp_path / "cert.pem", "--tls-key", tmp_path / "key.pem"]
    nobody = start_server("--listen", "127.0.0.1:0", "--listen", "0.0.0.0:0=inference", *map(str, tls), wait=False)
    assert nobody.process.wait(30) != 0 and "lathe user add" in nobody.log()
    plain = start_server("--listen", "127.0.0.1:0", "--listen", "http://0.0.0.0:0=inference", *map(str, tls), wait=False)
    assert plain.process.wait(30) != 0 and "--tls-cert" in plain.log()


def test_tls_is_a_listeners_own(start_server, tmp_path):
    certificate(tmp_path)
    server = start_server("--listen", "http://127.0.0.1:0", "--listen", "https://127.0.0.1:0=inference",
                          "--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"))
    served(server)
    at = others(server)
    assert server.url.startswith("http://") and at["inference"].startswith("https://")
    answer = requests.post(at["inference"] + "/invocations", json={"inputs": IRIS["rows"][:1]}, timeout=10, verify=tmp_path / "cert.pem")
    assert answer.json() == {"predictions": IRIS["labels"][:1]}
    assert requests.get(server.api("/status"), timeout=10).status_code == 200


@pytest.mark.parametrize("args, said", [
    (["127.0.0.1:0=inferencing"], "allowed: all, inference, tracking"),
    (["127.0.0.1:0=inference"], "no listener serves all"),
    (["127.0.0.1:0", "127.0.0.1"], "ADDRESS:PORT"),
    (["127.0.0.1:0", "https://127.0.0.1:0=inference"], "--tls-cert"),
    (["127.0.0.1:0"] * 17, "at most 16"),
])
def test_what_is_no_listener_is_said(start_server, args, said):
    server = start_server(*[x for a in args for x in ("--listen", a)], wait=False)
    assert server.process.wait(30) == 2 and said in server.log(), server.log()


def test_one_variable_names_several(start_server, tmp_path):
    server = start_server("--listen", "127.0.0.1:0,127.0.0.1:0=inference")
    assert set(others(server)) == {"all", "inference"}
