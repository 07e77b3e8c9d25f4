"""`lathe serve`: repositories in Triton's layout and containers' contracts, as tritonclient, curl and boto3's shapes see
them."""
import json
import os
import shutil
import socket
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
import requests
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from deploy import made_models
from lathe_server import ROOT
from model_server import IRIS_CONFIG, Models, put
from test_inference import IRIS

ROWS = np.array(IRIS["rows"], np.float32)
LABELS = "setosa\nversicolor\nvirginica\n"
PORTS = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"]


@pytest.fixture
def start(tmp_path, binary):
    made = []

    def run(*args, env=None, wait=True, ports=PORTS):
        home = tmp_path / f"home{len(made)}"
        home.mkdir()
        made.append(Models(home, *args, *ports, env=env, wait=wait))
        return made[-1]

    yield run
    for models in made:
        models.stop()


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


def client(models):
    return triton.InferenceServerClient(models.url.split("//")[1], network_timeout=60, connection_timeout=60)


def grpc_client(models):
    return triton_grpc.InferenceServerClient(models.grpc)


def ask(c, name, rows=ROWS[:3], version="", outputs=("label",), module=triton, classes=0):
    x = module.InferInput("X", list(rows.shape), "FP32")
    x.set_data_from_numpy(rows)
    wanted = [module.InferRequestedOutput(o, class_count=classes) for o in outputs]
    return c.infer(name, [x], model_version=version, outputs=wanted)


def labels_of(answer):
    return answer.as_numpy("label").ravel().tolist()


def states(c):
    return {(m["name"], m.get("version")): (m.get("state"), m.get("reason", "")) for m in c.get_model_repository_index()}


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


# --- a repository ---------------------------------------------------------------------------------------------------


def test_a_repository_over_rest_and_grpc(start, repository):
    put(repository, "iris", config=IRIS_CONFIG, files={"labels.txt": LABELS})
    put(repository, "auto")  # no configuration
    models = start("--model-repository", repository)
    c, g = client(models), grpc_client(models)
    assert c.is_server_live() and c.is_server_ready() and g.is_server_ready()
    for name in ("iris", "auto"):
        assert c.is_model_ready(name) and g.is_model_ready(name)
        assert labels_of(ask(c, name)) == IRIS["labels"][:3]
        assert labels_of(ask(g, name, module=triton_grpc)) == IRIS["labels"][:3]
    assert states(c) == {("iris", "1"): ("READY", ""), ("auto", "1"): ("READY", "")}
    assert {(m.name, m.version, m.state) for m in g.get_model_repository_index().models} == {("iris", "1", "READY"), ("auto", "1", "READY")}

    config = c.get_model_config("iris")
    assert config["max_batch_size"] == 8 and config["input"][0]["dims"] == [4] and config["backend"] == "onnxruntime"
    assert g.get_model_config("iris").config.max_batch_size == 8
    metadata = c.get_model_metadata("iris")
    assert metadata["inputs"] == [{"name": "X", "datatype": "FP32", "shape": [-1, 4]}] and metadata["versions"] == ["1"]
    assert c.get_model_config("auto")["input"][0]["dims"] == [-1, 4] and c.get_model_config("auto")["max_batch_size"] == 0

    with pytest.raises(InferenceServerException, match="batch-size must be <= 8 for 'iris'"):
        ask(c, "iris", ROWS[:9])
    assert len(labels_of(ask(c, "auto", ROWS[:9]))) == 9
    top = ask(c, "iris", ROWS[:1], outputs=("probabilities",), classes=1).as_numpy("probabilities")
    assert top.ravel()[0].decode().endswith(":0:setosa")


def test_ports_are_for_their_own_protocols(start, repository):
    put(repository, "iris")
    models = start("--model-repository", repository)
    client(models).is_model_ready("iris")
    text = requests.get(models.metrics + "/metrics", timeout=10).text
    assert 'nv_inference_request_success{model="iris",version="1"} 0' in text
    for _ in range(3):
        ask(client(models), "iris", ROWS[:2])
    text = requests.get(models.metrics + "/metrics", timeout=10).text
    assert 'nv_inference_request_success{model="iris",version="1"} 3' in text
    assert 'nv_inference_count{model="iris",version="1"} 6' in text
    assert requests.get(models.url + "/metrics", timeout=10).status_code == 404
    assert requests.get(models.metrics + "/v2", timeout=10).status_code == 404
    assert requests.get(f"http://{models.grpc}/v2", timeout=10).status_code == 404
    for url in (models.url, models.metrics, f"http://{models.grpc}"):
        assert requests.get(url + "/readyz", timeout=10).status_code == 200
    for path in ("/", "/api/lathe/v1/status", "/api/2.0/mlflow/experiments/search", "/graphql"):
        assert requests.get(models.url + path, timeout=10).status_code == 404


def test_versions_are_served_at_once(start, repository):
    put(repository, "iris", version=1, config="version_policy { all { } }")
    put(repository, "iris", model="iris_zipmap", version=3)
    put(repository, "last", version=1)
    put(repository, "last", version=2)
    models = start("--model-repository", repository)
    c = client(models)
    assert sorted(v for n, v in states(c) if n == "iris") == ["1", "3"]
    assert [v for n, v in states(c) if n == "last"] == ["2"]
    assert ask(c, "iris", version="1").get_response()["model_version"] == "1"
    assert ask(c, "iris", outputs=("output_label",)).get_response()["model_version"] == "3", "the newest"
    assert requests.get(models.url + "/v2/models/iris", timeout=10).json()["versions"] == ["1", "3"]
    for path in ("/v2/models/last/versions/1", "/v1/models/last/versions/1"):
        assert requests.get(models.url + path, timeout=10).status_code == 404
    listed = requests.get(models.url + "/v1/models/iris", timeout=10).json()["model_version_status"]
    assert [v["version"] for v in listed] == ["3", "1"]
    assert requests.get(models.url + "/v1/models", timeout=10).json() == {"models": ["iris", "last"]}
    answer = requests.post(models.url + "/v1/models/iris/versions/1:predict", json={"instances": ROWS[:2].tolist()}, timeout=10)
    assert [row["label"] for row in answer.json()["predictions"]] == IRIS["labels"][:2]


def test_bad_configurations_hurt_nobody_else(start, repository):
    put(repository, "good")
    put(repository, "typo", config='name: "typo"\nmax_batch_size: eight\n')
    put(repository, "shape", config='input { name: "X" data_type: TYPE_FP32 dims: [ 5 ] } max_batch_size: 4')
    put(repository, "type", config='input { name: "X" data_type: TYPE_FP64 dims: [ -1, 4 ] }')
    put(repository, "name", config='name: "another"')
    put(repository, "broken", model="broken")
    (repository / "empty").mkdir()
    models = start("--model-repository", repository, "--exit-on-error=false")
    c = client(models)
    assert labels_of(ask(c, "good")) == IRIS["labels"][:3]
    found = {n: reason for (n, _), (state, reason) in states(c).items() if state != "READY"}
    assert "typo/config.pbtxt:2:17" in found["typo"]
    assert "[-1,5] in the configuration" in found["shape"] and "in the model" in found["shape"]
    assert "FP64 in the configuration and FP32 in the model" in found["type"]
    assert "its folder is called 'name'" in found["name"]
    assert found["broken"] and "no version" in found["empty"]
    assert not c.is_server_ready(), "strict readiness"
    with pytest.raises(InferenceServerException, match="typo"):
        ask(c, "typo")
    strict = start("--model-repository", repository, wait=False)
    assert strict.wait() == 1 and "config.pbtxt:2:17" in strict.log()
    lenient = start("--model-repository", repository, "--exit-on-error=false", "--strict-readiness=false")
    assert client(lenient).is_server_ready()


def test_fields_that_are_not_acted_on_are_named(start, repository):
    put(repository, "iris", config="max_batch_size: 4\ndynamic_batching { }\nfuture_field: 3\ninstance_group [ { kind: KIND_GPU count: 2 } ]")
    models = start("--model-repository", repository)
    line = next(l for l in models.log().splitlines() if "not acted on" in l)
    assert "dynamic_batching" in line and "unknown: future_field (line 3)" in line and "KIND_GPU" in line
    assert models.log().count("not acted on") == 1


def test_warmups_run_and_are_judged(start, repository):
    warm = 'max_batch_size: 4 model_warmup [ { name: "%s" batch_size: 2 count: 3 inputs { key: "X" value { data_type: TYPE_FP32 dims: [ %d ] %s } } } ]'
    put(repository, "good", config=warm % ("w", 4, "random_data: true"))
    put(repository, "wide", config=warm % ("too wide", 5, "zero_data: true"))
    data = put(repository, "file", config=warm % ("f", 4, 'input_data_file: "rows"'))
    (data / "warmup").mkdir()
    (data / "warmup" / "rows").write_bytes(ROWS[:2].tobytes())
    models = start("--model-repository", repository, "--exit-on-error=false")
    c = client(models)
    assert c.is_model_ready("good") and c.is_model_ready("file") and not c.is_model_ready("wide")
    assert "model_warmup 'too wide'" in states(c)[("wide", "1")][1]


def test_an_ensemble(start, repository):
    put(repository, "iris", config=IRIS_CONFIG, files={"labels.txt": LABELS})
    folder = repository / "both"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text("""
platform: "ensemble"
max_batch_size: 8
input [ { name: "ROWS" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "CLASS" data_type: TYPE_INT64 dims: [ 1 ] }, { name: "SCORES" data_type: TYPE_FP32 dims: [ 3 ] } ]
ensemble_scheduling { step [ {
  model_name: "iris" model_version: -1
  input_map { key: "X" value: "ROWS" } output_map { key: "label" value: "CLASS" } output_map { key: "probabilities" value: "SCORES" } } ] }
""")
    lost = repository / "lost"
    (lost / "1").mkdir(parents=True)
    (lost / "config.pbtxt").write_text((folder / "config.pbtxt").read_text().replace('"iris"', '"nowhere"'))
    for name, step in (("ring_a", "ring_b"), ("ring_b", "ring_a")):
        (repository / name / "1").mkdir(parents=True)
        (repository / name / "config.pbtxt").write_text((folder / "config.pbtxt").read_text().replace('"iris"', f'"{step}"'))
    models = start("--model-repository", repository, "--exit-on-error=false")
    c = client(models)
    assert "a step of one of its own steps" in states(c)[("ring_a", None)][1]
    x = triton.InferInput("ROWS", [3, 4], "FP32")
    x.set_data_from_numpy(ROWS[:3])
    answer = c.infer("both", [x])
    assert answer.as_numpy("CLASS").ravel().tolist() == IRIS["labels"][:3]
    np.testing.assert_allclose(answer.as_numpy("SCORES"), np.array(IRIS["scores"][:3]), rtol=1e-4)
    assert c.get_model_config("both")["platform"] == "ensemble"
    stats = {s["name"]: s["inference_stats"]["success"]["count"] for s in c.get_inference_statistics()["model_stats"]}
    assert stats["both"] == 1 and stats["iris"] == 1
    reason = next(r for (n, _), (_, r) in states(c).items() if n == "lost")
    assert "depends on 'nowhere'" in reason


# --- control ----------------------------------------------------------------------------------------------------------


def test_explicit_control_over_rest_and_grpc(start, repository):
    put(repository, "iris")
    put(repository, "other")
    models = start("--model-repository", repository, "--model-control-mode=explicit", "--load-model=iris")
    c, g = client(models), grpc_client(models)
    assert states(c) == {("iris", "1"): ("READY", ""), ("other", None): (None, "")}
    with pytest.raises(InferenceServerException):
        ask(c, "other")
    g.load_model("other")
    assert labels_of(ask(c, "other")) == IRIS["labels"][:3]
    c.unload_model("other")
    assert states(c)[("other", "1")] == ("UNAVAILABLE", "unloaded")
    assert not c.is_model_ready("other")
    g.unload_model("iris", unload_dependents=True)
    assert states(c)[("iris", "1")] == ("UNAVAILABLE", "unloaded")
    c.load_model("iris")
    assert c.is_model_ready("iris")
    # A configuration that comes with the request.
    c.load_model("iris", config=json.dumps({"max_batch_size": 2, "input": [{"name": "X", "data_type": "TYPE_FP32", "dims": ["4"]}]}))
    with pytest.raises(InferenceServerException, match="batch-size must be <= 2"):
        ask(c, "iris")
    c.load_model("iris")
    assert len(labels_of(ask(c, "iris"))) == 3


@pytest.mark.parametrize("name", ["..", ".", "%2e%2e", "..%2f..%2fetc", "a%2fb", ".hidden", "nowhere", "a%0ab", "%00"])
def test_names_that_are_none(start, repository, name):
    put(repository, "iris")
    put(repository, ".hidden")
    models = start("--model-repository", repository, "--model-control-mode=explicit")
    for verb in ("load", "unload"):
        raw = f"POST /v2/repository/models/{name}/{verb} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        host, port = models.url.split("//")[1].split(":")
        with socket.create_connection((host, int(port)), 10) as s:
            s.sendall(raw.encode())
            status = int(s.makefile("rb").readline().split()[1])
        assert 400 <= status < 500 or (name == "nowhere" and verb == "unload" and status == 200), (verb, status)
    g = grpc_client(models)
    for bad in ("", "..", "../iris", "/etc", "iris/1"):
        with pytest.raises(InferenceServerException):
            g.load_model(bad)


def test_files_do_not_come_with_a_request(start, repository):
    put(repository, "iris")
    models = start("--model-repository", repository, "--model-control-mode=explicit")
    model = (made_models() / "iris_bare" / "model.onnx").read_bytes()
    for c in (client(models), grpc_client(models)):
        with pytest.raises(InferenceServerException, match="not taken with a request"):
            c.load_model("iris", config="{}", files={"file:1/model.onnx": model})
    with pytest.raises(InferenceServerException, match="the configuration"):
        client(models).load_model("iris", config="{nonsense")
    assert requests.post(models.url + "/v2/repository/models/iris/load", json={"parameters": {"config": "x" * 3_000_000}}, timeout=10).status_code == 413


def test_other_modes_refuse_control(start, repository):
    put(repository, "iris")
    for mode in ("none", "poll"):
        models = start("--model-repository", repository, f"--model-control-mode={mode}")
        for c in (client(models), grpc_client(models)):
            with pytest.raises(InferenceServerException, match="explicit model load / unload is not allowed"):
                c.load_model("iris")
        models.stop()


def test_a_failed_load_leaves_the_old_version(start, repository):
    put(repository, "iris", version=1, model="iris")
    models = start("--model-repository", repository, "--model-control-mode=explicit", "--load-model=*")
    c = client(models)
    for bad in ("broken", "iris_wrong_example"):
        put(repository, "iris", version=2, model=bad)
        with pytest.raises(InferenceServerException, match="load failed for model 'iris': version 2"):
            c.load_model("iris")
        assert labels_of(ask(c, "iris")) == IRIS["labels"][:3]
        assert ask(c, "iris").get_response()["model_version"] == "1"
        assert c.is_server_ready() and states(c)[("iris", "2")][0] == "UNAVAILABLE"
    put(repository, "iris", version=2, model="iris")
    c.load_model("iris")
    assert ask(c, "iris").get_response()["model_version"] == "2"


def test_polling_follows_the_folder(start, repository):
    put(repository, "iris")
    models = start("--model-repository", repository, "--model-control-mode=poll", "--repository-poll-secs=1")
    c = client(models)
    put(repository, "new")
    until(lambda: c.is_model_ready("new"))
    put(repository, "iris", version=2)
    until(lambda: ("iris", "2") in states(c))
    assert ("iris", "1") not in states(c)
    (repository / "iris" / "config.pbtxt").write_text("max_batch_size: nonsense")
    until(lambda: "config.pbtxt:1:17" in models.log())
    assert labels_of(ask(c, "iris")) == IRIS["labels"][:3], "what was served before goes on being served"
    shutil.rmtree(repository / "new")
    until(lambda: not any(n == "new" for n, _ in states(c)))


def test_steps_go_with_their_ensemble_when_it_is_asked(start, repository):
    put(repository, "iris", config=IRIS_CONFIG, files={"labels.txt": LABELS})
    for name in ("first", "second"):
        (repository / name / "1").mkdir(parents=True)
        (repository / name / "config.pbtxt").write_text("""platform: "ensemble" max_batch_size: 8
input [ { name: "ROWS" data_type: TYPE_FP32 dims: [ 4 ] } ] output [ { name: "CLASS" data_type: TYPE_INT64 dims: [ 1 ] } ]
ensemble_scheduling { step { model_name: "iris" input_map { key: "X" value: "ROWS" } output_map { key: "label" value: "CLASS" } } }""")
    models = start("--model-repository", repository, "--model-control-mode=explicit")
    c, g = client(models), grpc_client(models)
    c.load_model("first")
    assert c.is_model_ready("iris"), "an ensemble brings its steps"
    c.load_model("second")
    c.unload_model("first", unload_dependents=True)
    assert not c.is_model_ready("first") and c.is_model_ready("iris"), "another ensemble asks it"
    g.unload_model("second", unload_dependents=True)
    assert not c.is_model_ready("second") and not c.is_model_ready("iris")
    c.load_model("first")
    c.unload_model("iris")
    x = triton.InferInput("ROWS", [1, 4], "FP32")
    x.set_data_from_numpy(ROWS[:1])
    with pytest.raises(InferenceServerException, match="step of the ensemble, is not available"):
        c.infer("first", [x])
    c.load_model("iris")
    assert c.infer("first", [x]).as_numpy("CLASS").ravel().tolist() == IRIS["labels"][:1]


# --- many models --------------------------------------------------------------------------------------------------------


def test_models_are_loaded_on_first_use_and_go_by_least_recent_use(start, repository):
    size = sum(f.stat().st_size for f in (made_models() / "iris_bare").iterdir())
    names = [f"m{i}" for i in range(6)]
    for name in names:
        put(repository, name)
    budget = 2 * (size + (256 << 10)) + 1000
    models = start("--model-repository", repository, "--model-memory-budget", budget)
    c = client(models)
    assert c.is_server_ready() and "model in memory" not in models.log()
    for name in ("m0", "m1", "m0", "m2"):
        assert labels_of(ask(c, name)) == IRIS["labels"][:3]
    gone = [l for l in models.log().splitlines() if "goes from memory" in l]
    assert len(gone) == 1 and "m1" in gone[0]
    assert labels_of(ask(grpc_client(models), "m1", module=triton_grpc)) == IRIS["labels"][:3]
    assert c.get_model_metadata("m5")["inputs"][0]["name"] == "X"
    assert all(s == "READY" for s, _ in states(c).values())

    # However many ask for a cold model at once, it is loaded once.
    before = models.log().count("model in memory")
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(labels_of(ask(client(models), "m3")))) for _ in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert answers == [IRIS["labels"][:3]] * 16
    assert models.log().count("model in memory") == before + 1


def test_a_cold_model_that_cannot_be_loaded(start, repository):
    put(repository, "broken", model="broken")
    put(repository, "iris")
    models = start("--model-repository", repository, "--model-memory-budget", "1GiB")
    c = client(models)
    for _ in range(2):
        with pytest.raises(InferenceServerException):
            ask(c, "broken")
    assert labels_of(ask(c, "iris")) == IRIS["labels"][:3]
    assert models.log().count("model is not loaded") == 1, "it is not tried again until it changes"


@pytest.mark.skipif(not os.environ.get("LATHE_SLOW"), reason="minutes: LATHE_SLOW=1")
def test_reloads_leave_memory_flat(start, repository):
    put(repository, "iris")
    models = start("--model-repository", repository, "--model-control-mode=explicit", "--load-model=*")
    c = client(models)
    for i in range(1000):
        if i == 200:
            before = models.memory()
        c.load_model("iris")
        ask(c, "iris")
    assert models.memory() - before < 8 << 20


# --- containers ---------------------------------------------------------------------------------------------------------


def test_one_model_as_a_container_serves_it(start, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(made_models() / "iris", folder)
    models = start(folder, ports=["--http-port", "0"])
    assert models.grpc is None and models.metrics is None
    assert requests.get(models.url + "/ping", timeout=10).status_code == 200
    for body in ({"inputs": ROWS[:2].tolist()}, {"dataframe_split": {"columns": IRIS["names"], "data": ROWS[:2].tolist()}}):
        answer = requests.post(models.url + "/invocations", json=body, timeout=10)
        assert answer.json() == {"predictions": IRIS["labels"][:2]}
    assert client(models).is_model_ready("model")
    g = triton_grpc.InferenceServerClient(models.url.split("//")[1])
    assert labels_of(ask(g, "model", module=triton_grpc)) == IRIS["labels"][:3], "gRPC on the same port"
    assert "nv_inference_count" in requests.get(models.url + "/metrics", timeout=10).text
    named = start("--model_dir", folder, "--model_name", "flowers", "--http_port", "0", ports=[])
    assert requests.post(named.url + "/v1/models/flowers:predict", json={"instances": ROWS[:1].tolist()}, timeout=10).json() == {"predictions": IRIS["labels"][:1]}


def test_sagemaker_with_many_models(start, tmp_path):
    below = tmp_path / "opt"
    for name in ("one", "two"):
        shutil.copytree(made_models() / "iris", below / name / "model")
    shutil.copytree(made_models() / "iris", tmp_path / "outside")
    models = start("--models-below", below, ports=["--http-port", "0"], env={"SAGEMAKER_MULTI_MODEL": "true"})
    url = models.url + "/models"
    assert requests.get(models.url + "/ping", timeout=10).status_code == 200, "without a model, too"
    assert requests.get(url, timeout=10).json() == {"models": []}
    post = lambda name, folder: requests.post(url, json={"model_name": name, "url": str(folder)}, timeout=30)  # noqa: E731
    assert post("a", below / "one" / "model").status_code == 200
    assert post("a", below / "one" / "model").status_code == 409
    assert post("b", tmp_path / "outside").status_code == 403
    assert post("b", below / ".." / "outside").status_code == 403
    assert post("b", below / "nowhere").status_code == 404
    assert post("../b", below / "two").status_code == 400
    (below / "link").symlink_to(tmp_path / "outside")
    assert post("b", below / "link").status_code == 403
    assert post("b", below / "two" / "model").status_code == 200
    assert [m["modelName"] for m in requests.get(url, timeout=10).json()["models"]] == ["a", "b"]
    assert requests.get(url + "/a", timeout=10).json()["modelUrl"] == str(below / "one" / "model")
    answer = requests.post(url + "/a/invoke", json={"inputs": ROWS[:2].tolist()}, timeout=10)
    assert answer.json() == {"predictions": IRIS["labels"][:2]}
    assert requests.delete(url + "/a", timeout=10).status_code == 200
    assert requests.delete(url + "/a", timeout=10).status_code == 404
    assert requests.get(url + "/a", timeout=10).status_code == 404
    assert requests.post(url + "/a/invoke", json={"inputs": ROWS[:2].tolist()}, timeout=10).status_code == 404


# --- who may ask ----------------------------------------------------------------------------------------------------------


def test_a_network_is_faced_only_when_told(start, repository):
    put(repository, "iris")
    refused = start("--model-repository", repository, "--address", "0.0.0.0", wait=False)
    assert refused.wait() == 2 and "--network-access" in refused.log()
    mixed = start("--model-repository", repository, "--grpc-address", "0.0.0.0", wait=False)
    assert mixed.wait() == 2
    faced = start("--model-repository", repository, "--network-access", "infer")
    assert faced.url.startswith("http://0.0.0.0:")
    answer = requests.get(faced.url.replace("0.0.0.0", "127.0.0.1") + "/v2/models/iris", headers={"Host": "models.internal"}, timeout=10)
    assert answer.status_code == 200
    wrong = start("--model-repository", repository, "--network-access", "everything", wait=False)
    assert wrong.wait() == 2 and "none, infer, control" in wrong.log()


def own_address():
    """An address of this machine that is not loopback; None if it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return None
        return None if s.getsockname()[0].startswith("127.") else s.getsockname()[0]


@pytest.mark.skipif(own_address() is None, reason="this machine has no address but loopback")
@pytest.mark.parametrize("access, status", [("infer", 403), ("control", 200)])
def test_what_other_machines_may_do(start, repository, tmp_path, access, status):
    put(repository, "iris")
    (tmp_path / "below").mkdir()
    shutil.copytree(made_models() / "iris", tmp_path / "below" / "a")
    models = start("--model-repository", repository, "--model-control-mode=explicit", "--load-model=*", "--network-access", access,
                   "--models-below", tmp_path / "below")
    here, there = (models.url.replace("0.0.0.0", host) for host in ("127.0.0.1", own_address()))
    rows = {"instances": ROWS[:1].tolist()}
    for url in (here, there):
        assert requests.post(url + "/v1/models/iris:predict", json=rows, timeout=10).json() == {"predictions": IRIS["labels"][:1]}
    for method, path, body in (("POST", "/v2/repository/models/iris/load", {}), ("POST", "/models", {"model_name": "b", "url": str(tmp_path / "below" / "a")}),
                               ("DELETE", "/models/b", None), ("POST", "/v2/repository/models/iris/unload", {})):
        assert requests.request(method, there + path, json=body, timeout=30).status_code == status, path
        if status == 200 and path.endswith("unload"):
            requests.post(here + "/v2/repository/models/iris/load", timeout=30)
    assert requests.post(here + "/v2/repository/models/iris/load", timeout=30).status_code == 200
    # A token changes nothing; nor does a project.
    answer = requests.post(there + "/v1/models/iris:predict", json=rows, headers={"Authorization": "Bearer x", "X-Lathe-Project": "other"}, timeout=10)
    assert answer.status_code == 200


def test_pages_of_other_sites_may_not_ask(start, repository):
    put(repository, "iris")
    models = start("--model-repository", repository)
    url = models.url + "/v2/models/iris"
    assert requests.get(url, timeout=10).status_code == 200
    assert requests.get(url, headers={"Host": "rebound.example.org"}, timeout=10).status_code == 403
    assert requests.get(url, headers={"Origin": "https://evil.example.org"}, timeout=10).status_code == 403


@pytest.mark.parametrize("args, said", [
    ([], "give the folder of a model"),
    (["--model-repository", "x", "y"], "not both"),
    (["--model-repository", "nowhere"], "nowhere"),
    (["nowhere"], "no folder"),
    (["--model-repository", ".", "--model-control-mode", "sometimes"], "none, poll, explicit"),
    (["--model-repository", ".", "--load-model", "x"], "explicit"),
    (["--model-repository", ".", "--model-memory-budget", "lots"], "GiB"),
    (["--model-repository", ".", "--repository-poll-secs", "0"], "1 to 86400"),
    (["--model-repository", ".", "--strict-readiness", "maybe"], "true, false"),
    (["--model-repository", ".", "--allow-http=0", "--allow-grpc=0", "--allow-metrics=0"], "nothing to listen"),
    (["--model-repository", ".", "--tls-cert", "x"], "--tls-key"),
])
def test_wrong_usage_says_what_is_allowed(start, args, said):
    models = start(*args, ports=["--http-port", "0"] if args else [], wait=False)
    assert models.wait() in (1, 2) and said in models.log(), models.log()


def test_tritons_own_command_line_starts(start, repository):
    put(repository, "iris")
    models = start("--model-store", repository, "--log-verbose=1", "--strict-readiness=true", "--exit-timeout-secs=5",
                   "--backend-config=onnxruntime,default-max-batch-size=4", "--http-thread-count=2", "--allow-metrics=true")
    assert client(models).is_model_ready("iris")
    assert "--log-verbose" in models.log() and "say nothing" in models.log()


# --- other formats ----------------------------------------------------------------------------------------------------------


def test_trees_and_python_in_a_repository(start, repository):
    lgb = pytest.importorskip("lightgbm")
    trees = ROOT / "tests" / "models" / "trees"
    for name in ("lightgbm_binary", "xgboost_binary"):
        shutil.copytree(trees / name, repository / name / "1")
    python = repository / "twice"
    (python / "1").mkdir(parents=True)
    (python / "1" / "model.py").write_text("""
class Model:
    inputs = [{"name": "x", "datatype": "FP64", "shape": [-1, 2]}]
    outputs = [{"name": "y", "datatype": "FP64", "shape": [-1]}]

    def predict(self, data):
        return data[:, 0] * 2
""")
    (python / "config.pbtxt").write_text("""max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP64 dims: [ 2 ] } ] output [ { name: "y" data_type: TYPE_FP64 dims: [ 1 ] reshape { shape: [ ] } } ]
dynamic_batching { preferred_batch_size: [ 4 ] max_queue_delay_microseconds: 500 }""")
    models = start("--model-repository", repository, env={"LATHE_PYTHON": sys.executable})
    c = client(models)
    assert c.is_server_ready()
    booster = lgb.Booster(model_file=str(trees / "lightgbm_binary" / "model.txt"))
    rows = np.random.default_rng(0).normal(size=(5, booster.num_feature()))
    answer = requests.post(models.url + "/v1/models/lightgbm_binary:predict", json={"instances": rows.tolist()}, timeout=10).json()
    np.testing.assert_array_equal(answer["predictions"], booster.predict(rows))
    assert c.get_model_metadata("xgboost_binary")["inputs"]

    def twice(i, answers):
        body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [i, 0]}]}
        answers[i] = requests.post(models.url + "/v2/models/twice/infer", json=body, timeout=30).json()["outputs"][0]

    answers = {}
    threads = [threading.Thread(target=twice, args=(i, answers)) for i in range(24)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert {i: a["data"] for i, a in answers.items()} == {i: [2.0 * i] for i in range(24)}
    assert answers[0]["shape"] == [1, 1], "as the configuration shows it"
    many = {"inputs": [{"name": "x", "shape": [9, 2], "datatype": "FP64", "data": [0] * 18}]}
    assert "batch-size must be <= 8" in requests.post(models.url + "/v2/models/twice/infer", json=many, timeout=30).json()["error"]


def test_the_warning_is_right_about_batches_of_python_models(start, repository):
    config = 'max_batch_size: 8\ndynamic_batching { preferred_batch_size: [ 4 ] }'
    put_python(repository, "twice", TWICE, config)
    put(repository, "iris", config="max_batch_size: 8\ndynamic_batching { }")
    models = start("--model-repository", repository, env={"LATHE_PYTHON": sys.executable})
    told = [line for line in models.log().splitlines() if "not acted on" in line]
    assert len(told) == 1 and "model=iris" in told[0] and "dynamic_batching" in told[0], told


# --- answers that were given before -----------------------------------------------------------------------------------------

TWICE = """
    class Model:
        inputs = [{"name": "x", "datatype": "FP64", "shape": [-1, 2]}]
        outputs = [{"name": "y", "datatype": "FP64", "shape": [-1, 1]}]
        calls = 0

        def predict(self, data):
            Model.calls += 1
            return data[:, :1] * 2 + Model.calls / 1000
"""


def put_python(repository, name, source, config):
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "1" / "model.py").write_text(textwrap.dedent(source))
    (repository / name / "config.pbtxt").write_text(config)


def twice(c, name, x, module=triton, **more):
    given = module.InferInput("x", [1, 2], "FP64")
    given.set_data_from_numpy(np.array([[x, 0.0]]))
    return float(c.infer(name, [given], **more).as_numpy("y").ravel()[0])


@pytest.mark.parametrize("flag", ["--cache-config=local,size=100000", "--response-cache-byte-size=100000"])
def test_answers_are_kept_where_a_model_wants_it(start, repository, flag):
    put_python(repository, "kept", TWICE, "max_batch_size: 8\nresponse_cache { enable: true }")
    put_python(repository, "fresh", TWICE, "max_batch_size: 8")
    models = start("--model-repository", repository, flag, env={"LATHE_PYTHON": sys.executable})
    assert "not acted on" not in models.log()
    c, g = client(models), grpc_client(models)
    first = twice(c, "kept", 1.0)
    assert twice(c, "kept", 1.0) == first and twice(g, "kept", 1.0, module=triton_grpc) == first
    assert twice(c, "kept", 2.0) != first
    assert twice(c, "fresh", 1.0) != twice(c, "fresh", 1.0)
    stats = c.get_inference_statistics("kept")["model_stats"][0]["inference_stats"]
    assert stats["cache_hit"]["count"] == 2 and stats["cache_miss"]["count"] == 2 and stats["success"]["count"] == 4
    assert g.get_inference_statistics("kept").model_stats[0].inference_stats.cache_hit.count == 2
    text = requests.get(models.metrics + "/metrics", timeout=10).text
    assert 'nv_cache_num_hits_per_model{model="kept",version="1"} 2' in text
    assert 'nv_cache_num_misses_per_model{model="kept",version="1"} 2' in text
    assert 'nv_cache_num_hits_per_model{model="fresh",version="1"} 0' in text


def test_without_room_nothing_is_kept_and_that_is_said(start, repository):
    put_python(repository, "kept", TWICE, "max_batch_size: 8\nresponse_cache { enable: true }")
    models = start("--model-repository", repository, env={"LATHE_PYTHON": sys.executable})
    assert "response_cache" in next(line for line in models.log().splitlines() if "not acted on" in line)
    assert twice(client(models), "kept", 1.0) != twice(client(models), "kept", 1.0)


# --- requests that belong together ------------------------------------------------------------------------------------------

SUMS = """
    import numpy as np

    class Model:
        inputs = [{"name": n, "datatype": "INT32", "shape": [-1, 1]} for n in ("INPUT", "START", "END", "READY", "SUM_IN")] + [
            {"name": "CORRID", "datatype": "UINT64", "shape": [-1, 1]}]
        outputs = [{"name": "OUTPUT", "datatype": "INT32", "shape": [-1, 1]}, {"name": "SUM_OUT", "datatype": "INT32", "shape": [-1, 1]}]

        def predict(self, data):
            total = data["SUM_IN"] + data["INPUT"]
            shown = total + 1000 * data["START"] + 100 * data["END"] + 10000 * data["CORRID"].astype("int32")
            return {"OUTPUT": shown.astype("int32"), "SUM_OUT": total.astype("int32")}
"""
SUMS_CONFIG = """
max_batch_size: 4
sequence_batching {
  max_sequence_idle_microseconds: %d
  %s
  control_input { name: "START" control { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } }
  control_input { name: "END" control { kind: CONTROL_SEQUENCE_END int32_false_true: [ 0, 1 ] } }
  control_input { name: "READY" control { kind: CONTROL_SEQUENCE_READY int32_false_true: [ 0, 1 ] } }
  control_input { name: "CORRID" control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 } }
  state { input_name: "SUM_IN" output_name: "SUM_OUT" data_type: TYPE_INT32 dims: [ 1 ] }
}
"""


def add(c, module, name, value, sequence, start=False, end=False):
    given = module.InferInput("INPUT", [1, 1], "INT32")
    given.set_data_from_numpy(np.array([[value]], np.int32))
    return int(c.infer(name, [given], sequence_id=sequence, sequence_start=start, sequence_end=end).as_numpy("OUTPUT").item())


@pytest.mark.parametrize("strategy", ["direct { }", "oldest { max_candidate_sequences: 4 }"])
def test_sequences_over_rest_and_grpc(start, repository, strategy):
    put_python(repository, "sums", SUMS, SUMS_CONFIG % (60_000_000, strategy))
    models = start("--model-repository", repository, env={"LATHE_PYTHON": sys.executable})
    assert "not acted on" not in models.log()
    both = ((client(models), triton, 7), (grpc_client(models), triton_grpc, 8))
    metadata = both[0][0].get_model_metadata("sums")
    assert [t["name"] for t in metadata["inputs"]] == ["INPUT"] and [t["name"] for t in metadata["outputs"]] == ["OUTPUT"]
    for c, module, n in both:
        assert add(c, module, "sums", 1, n, start=True) == n * 10000 + 1001
    for c, module, n in both:
        assert add(c, module, "sums", 2, n) == n * 10000 + 3
        assert add(c, module, "sums", 3, n, end=True) == n * 10000 + 106
        with pytest.raises(InferenceServerException, match="must specify the START flag"):
            add(c, module, "sums", 1, n)
        with pytest.raises(InferenceServerException, match="correlation ID"):
            add(c, module, "sums", 1, 0, start=True)
        with pytest.raises(InferenceServerException, match="takes numbers"):
            add(c, module, "sums", 1, "seven", start=True)
    # Sequences at once, each with its own sum.
    wrong = []

    def run(n):
        c = client(models)
        for _ in range(5):
            got = [add(c, triton, "sums", n, n, start=i == 0, end=i == 4) - n * 10000 for i in range(5)]
            if got != [1000 + n, 2 * n, 3 * n, 4 * n, 100 + 5 * n]:
                wrong.append((n, got))
    threads = [threading.Thread(target=run, args=(n,)) for n in range(1, 9)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong, wrong[:3]


def test_a_sequence_that_rests_too_long_ends(start, repository):
    put_python(repository, "sums", SUMS, SUMS_CONFIG % (200_000, ""))
    models = start("--model-repository", repository, env={"LATHE_PYTHON": sys.executable})
    c = client(models)
    add(c, triton, "sums", 1, 3, start=True)

    def ended():
        time.sleep(0.4)
        try:
            add(c, triton, "sums", 1, 3)
        except InferenceServerException as error:
            return "START flag" in str(error)
        return False
    until(ended)


# --- Vertex AI's and TensorFlow Serving's containers ------------------------------------------------------------------------


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_vertex_ai_says_where_its_container_answers(start, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(made_models() / "iris", folder)
    port = free_port()
    env = {"AIP_HTTP_PORT": str(port), "AIP_HEALTH_ROUTE": "/is/alive", "AIP_PREDICT_ROUTE": "/rows/predict", "AIP_STORAGE_URI": str(folder)}
    models = start(ports=[], env=env)
    assert models.url.endswith(f":{port}")
    assert requests.get(models.url + "/is/alive", timeout=10).status_code == 200
    body = {"instances": ROWS[:2].tolist(), "parameters": {"confidence": 0.5}}
    assert requests.post(models.url + "/rows/predict", json=body, timeout=10).json() == {"predictions": IRIS["labels"][:2]}
    assert requests.post(models.url + "/rows/predict", json={"instances": 7}, timeout=10).status_code == 400
    assert requests.post(models.url + "/invocations", json={"inputs": ROWS[:1].tolist()}, timeout=10).status_code == 200
    # A path that is served already stays what it is.
    again = start(folder, env={"AIP_PREDICT_ROUTE": "/invocations", "AIP_HEALTH_ROUTE": "/ping"}, ports=["--http-port", "0"])
    assert requests.post(again.url + "/invocations", json={"inputs": ROWS[:1].tolist()}, timeout=10).status_code == 200


@pytest.mark.parametrize("env,said", [
    ({"AIP_STORAGE_URI": "gs://bucket/model"}, "copy it"), ({"AIP_PREDICT_ROUTE": "predict"}, "begins with '/'"),
    ({"AIP_HTTP_PORT": "http"}, "1 to 65535"), ({"AIP_PREDICT_ROUTE": "/v1/{name}"}, "begins with '/'")])
def test_wrong_words_of_a_platform_are_said(start, tmp_path, env, said):
    args = [] if "AIP_STORAGE_URI" in env else [made_models() / "iris"]
    models = start(*args, env=env, ports=[], wait=False)
    assert models.process.wait(30) != 0 and said in models.log(), models.log()


def test_tensorflow_servings_variables_name_the_model(start, tmp_path):
    (tmp_path / "base").mkdir()
    put(tmp_path / "base", "flowers")
    models = start(env={"MODEL_BASE_PATH": str(tmp_path / "base"), "MODEL_NAME": "flowers"}, ports=["--http-port", "0"])
    assert requests.post(models.url + "/v1/models/flowers:predict", json={"instances": ROWS[:1].tolist()}, timeout=10).status_code == 200
