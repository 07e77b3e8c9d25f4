"""Endpoints over a server's life: models that harm whoever loads them, restarts, kills."""
import concurrent.futures
import json
import shutil
import subprocess

import pytest
import requests

from deploy import deploy, made_models
from lathe_server import BINARY

IRIS = json.loads((made_models() / "expected.json").read_text())["iris"]


def trial(model, memory_mib=0, timeout=100):
    return subprocess.run([BINARY, "child", "try-model", made_models() / model, "", str(memory_mib << 20)], text=True,
                          capture_output=True, timeout=timeout)


@pytest.mark.parametrize("model", ["iris", "iris_zipmap", "mixed", "external", "echo_bf16"])
def test_good_models_pass_their_trial(binary, model):
    done = trial(model)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("model,words", [
    ("broken", "not an ONNX file"), ("iris_wrong_example", "stored with its own example"), ("external_escape", "plain relative path"),
    ("external_link", "through a link"), ("sklearn_flavor", "mlflow.onnx.log_model")])
def test_bad_models_fail_with_words(binary, model, words):
    done = trial(model)
    assert done.returncode == 3 and words in done.stdout, done.stdout


def test_a_model_that_eats_memory_is_stopped(binary):
    done = trial("memory_hog", memory_mib=600)
    assert done.returncode != 0 and "600 MiB" in done.stdout, done.stdout + done.stderr


def test_a_missing_library_is_named(binary, start_server):
    server = start_server(env={"LATHE_ONNXRUNTIME": "/nonexistent/libonnxruntime.so"})
    server.stop()
    deploy(server.dir, "iris", made_models() / "iris")
    server.start()
    import requests
    ready = requests.get(server.url + "/v2/health/ready")
    assert ready.status_code == 503
    answer = requests.post(server.url + "/v1/models/iris:predict", json={"instances": IRIS["rows"]})
    assert answer.status_code == 503 and "pip install onnxruntime" in answer.json()["error"]
    assert requests.get(server.url + "/ping").status_code == 503
    assert requests.get(server.api("/endpoints/iris")).json()["state"] == "failed"


def test_restarts_and_kills_keep_what_was_captured(start_server, http):
    server = start_server()
    assert http.get(server.url + "/ping").status_code == 404
    server.stop()
    deploy(server.dir, "iris", made_models() / "iris")
    server.start()
    ids = []
    for round_ in range(3):
        for row in IRIS["rows"]:
            answer = http.post(server.url + "/v1/models/iris:predict", json={"instances": [row]})
            assert answer.status_code == 200
            ids.append(answer.headers["X-Lathe-Prediction-Id"])
        assert http.get(server.api("/predictions/" + ids[-1])).status_code == 200  # flushed
        server.kill() if round_ == 1 else server.stop()
        server.start()
    kept = [json.loads(line)["id"] for line in http.get(server.api("/endpoints/iris/requests")).text.splitlines()]
    assert kept == ids
    for one in ids[::7]:
        assert http.get(server.api("/predictions/" + one)).json()["id"] == one


def test_a_promotion_leaves_the_rest_alone(start_server, http):
    server = start_server()
    server.stop()
    deploy(server.dir, "iris", made_models() / "iris")
    deploy(server.dir, "iris", made_models() / "iris_zipmap", version=2)
    deploy(server.dir, "worse", made_models() / "broken")
    server.start()
    assert http.post(server.url + "/v1/models/iris:predict", json={"instances": IRIS["rows"][:1]}).json() == {"predictions": ["setosa"]}
    broken = http.post(server.url + "/v1/models/worse:predict", json={"instances": IRIS["rows"][:1]})
    assert broken.status_code == 503 and "ONNX" in broken.json()["error"]


# --- more models than fit into memory ---------------------------------------------------------------------------------

def ask(server, name, timeout=60, **headers):
    body = {"inputs": [{"name": "X", "shape": [1, 4], "datatype": "FP32", "data": IRIS["rows"][0]}]}
    return requests.post(f"{server.url}/v2/models/{name}/infer", json=body, timeout=timeout, headers=headers)


def label_of(answer):
    assert answer.status_code == 200, answer.text
    return next(o["data"][0] for o in answer.json()["outputs"] if o["name"] == "label")


def in_memory(server):
    return {e["name"] for e in requests.get(server.api("/endpoints")).json()["endpoints"] if e.get("in_memory", True)}


def test_hundreds_of_endpoints_within_a_budget(start_server, tmp_path):
    """Loaded at the first request, once however many ask; the least recently used goes; nothing fails meanwhile."""
    server = start_server("--model-memory-mib", "1")
    server.stop()
    names = [f"m{i:03}" for i in range(200)]
    for i, name in enumerate(names):
        folder = shutil.copytree(made_models() / ("iris" if i % 2 else "iris_bare"), tmp_path / name)
        (folder / "name.txt").write_text(name)  # equal folders share what is in memory
        deploy(server.dir, name, folder)
    deploy(server.dir, "broken", made_models() / "broken")
    server.start()
    assert in_memory(server) == set(), "nothing is loaded before somebody asks"
    assert requests.get(server.url + "/v2/health/ready").status_code == 200
    assert {e["state"] for e in requests.get(server.api("/endpoints")).json()["endpoints"]} == {"ready"}
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert [label_of(a) for a in pool.map(lambda _: ask(server, "m000"), range(16))] == [IRIS["labels"][0]] * 16
        assert server.log().count("model loaded") == 1, "once however many ask"
        assert {label_of(a) for a in pool.map(lambda n: ask(server, n), names)} == {IRIS["labels"][0]}
    label_of(ask(server, "m007"))  # of sixteen that were being loaded at once none could go
    kept = in_memory(server)
    assert 1 <= len(kept) <= 4 and "m000" not in kept, kept
    for _ in range(2):  # what is used stays
        for name in ("m001", "m004", "m005"):
            label_of(ask(server, name))
        assert "m001" in in_memory(server)
    # A model that cannot be loaded fails alone, and is not tried again at each request.
    for _ in range(3):
        refused = ask(server, "broken")
        assert refused.status_code == 503 and "not an ONNX file" in refused.text
    assert server.log().count("a model is not loaded") == 1
    label_of(ask(server, "m001"))
    page = requests.get(server.api("/endpoints/m001")).json()
    assert page["features"], "what was loaded knows its columns"
    # Its rows are captured like everybody's.
    asked = ask(server, "m001")
    assert requests.get(server.api("/predictions/" + asked.headers["X-Lathe-Prediction-Id"])).status_code == 200
