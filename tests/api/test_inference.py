"""Inference as its stock clients and curl see it: Open Inference Protocol (tritonclient, JSON and binary), KServe v1,
TensorFlow Serving, MLflow scoring; what was asked is captured; bad input is a 4xx in the protocol's own words."""
import gzip
import json
import math
import struct
import zlib

import numpy as np
import pytest
import requests
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from deploy import deploy, made_models

EXPECTED = json.loads((made_models() / "expected.json").read_text())
IRIS = EXPECTED["iris"]
ECHO = {"BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64, "INT8": np.int8,
        "INT16": np.int16, "INT32": np.int32, "INT64": np.int64, "FP16": np.float16, "FP32": np.float32, "FP64": np.float64}


@pytest.fixture(scope="module")
def server(start_module_server):
    server = start_module_server()
    server.stop()
    models = made_models()
    deploy(server.dir, "iris", models / "iris", default=True)
    for name in ("iris_zipmap", "diabetes", "mixed", "scores_only"):
        deploy(server.dir, name, models / name, version=3)
    for word in [w.lower() for w in ECHO] + ["bf16", "bytes"]:
        deploy(server.dir, "echo_" + word, models / ("echo_" + word))
    deploy(server.dir, "external", models / "external")
    server.start()
    return server


@pytest.fixture
def client(server):
    with triton.InferenceServerClient(server.url.removeprefix("http://")) as client:
        yield client


def input_name(server, http, model="iris"):
    return http.get(f"{server.url}/v2/models/{model}").json()["inputs"][0]["name"]


def infer(server, http, body, model="iris", **more):
    data = body if isinstance(body, (str, bytes)) else json.dumps(body)
    return http.post(f"{server.url}/v2/models/{model}/infer", data=data, **more)


def iris_body(server, http, **more):
    return {"inputs": [{"name": input_name(server, http), "shape": [1, 4], "datatype": "FP32", "data": IRIS["rows"][0]}], **more}


# --- Open Inference Protocol ------------------------------------------------------------------------------------------

def test_health_and_metadata(server, client, http):
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("iris")
    assert http.get(server.url + "/v2/health/live").json() == {"live": True}
    assert http.get(server.url + "/v2/health/ready").json() == {"ready": True}
    meta = client.get_model_metadata("iris")
    assert meta["platform"] == "onnxruntime_onnx" and meta["versions"] == ["1"]
    assert meta["inputs"][0]["shape"] == [-1, 4] and meta["inputs"][0]["datatype"] == "FP32"
    assert client.get_model_metadata("diabetes", "3")["versions"] == ["3"]
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    assert not client.is_model_ready("nothing")
    assert http.get(server.url + "/v2/models/nothing").status_code == 404
    assert http.get(server.url + "/v2/models/iris/versions/9").status_code == 404


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_triton_client(server, client, http, binary_in, binary_out):
    rows = np.array(IRIS["rows"], dtype=np.float32)
    tensor = triton.InferInput(input_name(server, http), rows.shape, "FP32")
    tensor.set_data_from_numpy(rows, binary_data=binary_in)
    outputs = [triton.InferRequestedOutput(name, binary_data=binary_out) for name in ("probabilities", "label")]
    result = client.infer("iris", [tensor], outputs=outputs, request_id="my-42")
    assert result.as_numpy("label").tolist() == IRIS["labels"]
    assert np.allclose(result.as_numpy("probabilities"), IRIS["scores"], atol=1e-5)
    assert result.get_response()["id"] == "my-42"
    assert [o["name"] for o in result.get_response()["outputs"]] == ["probabilities", "label"]


def test_triton_client_defaults(server, client, http):
    rows = np.array(IRIS["rows"], dtype=np.float32)
    tensor = triton.InferInput(input_name(server, http), rows.shape, "FP32")
    tensor.set_data_from_numpy(rows)
    assert client.infer("iris", [tensor]).as_numpy("label").tolist() == IRIS["labels"]


def test_classification(server, client, http):
    rows = np.array(IRIS["rows"][:2], dtype=np.float32)
    tensor = triton.InferInput(input_name(server, http, "iris_zipmap"), rows.shape, "FP32")
    tensor.set_data_from_numpy(rows)
    name = client.get_model_metadata("iris_zipmap")["outputs"][1]["name"]
    result = client.infer("iris_zipmap", [tensor], outputs=[triton.InferRequestedOutput(name, class_count=2)])
    top = result.as_numpy(name)
    assert top.shape == (2, 2)
    assert top[0][0].decode().endswith(":0:setosa")


@pytest.mark.parametrize("word", sorted(ECHO))
@pytest.mark.parametrize("raw", [True, False])
def test_every_datatype(client, word, raw):
    dtype = ECHO[word]
    if word == "BOOL":
        values = np.array([[True, False, True]])
    elif np.issubdtype(dtype, np.integer):
        values = np.array([[np.iinfo(dtype).min, 0, np.iinfo(dtype).max]], dtype=dtype)
    else:
        values = np.array([[0.1, -2.5, np.finfo(dtype).max]], dtype=dtype)
    if word == "FP16":
        raw = True  # tritonclient has no FP16 in JSON
    tensor = triton.InferInput("in", values.shape, word)
    tensor.set_data_from_numpy(values, binary_data=raw)
    result = client.infer("echo_" + word.lower(), [tensor], outputs=[triton.InferRequestedOutput("out", binary_data=raw)])
    assert np.array_equal(result.as_numpy("out"), values)


@pytest.mark.parametrize("packed", [None, "gzip"])
@pytest.mark.parametrize("columns", [20_000, 300_000])
def test_large_raw_tensors(client, columns, packed):
    """They are neither copied out of the body nor into the answer, and each answer is its own request's."""
    for seed in range(3):
        values = np.random.default_rng(seed).random((1, columns), dtype=np.float32)
        tensor = triton.InferInput("in", values.shape, "FP32")
        tensor.set_data_from_numpy(values, binary_data=True)
        result = client.infer("echo_fp32", [tensor], outputs=[triton.InferRequestedOutput("out", binary_data=True)],
                              request_compression_algorithm=packed, response_compression_algorithm=packed)
        assert np.array_equal(result.as_numpy("out"), values)


def test_large_raw_tensors_that_do_not_fit(server, http):
    def ask(size, shape):
        head = json.dumps({"inputs": [{"name": "in", "shape": shape, "datatype": "FP32", "parameters": {"binary_data_size": size}}]})
        answer = http.post(f"{server.url}/v2/models/echo_fp32/infer", data=head.encode() + bytes(200_000),
                           headers={"Inference-Header-Content-Length": str(len(head))})
        return answer.status_code, answer.text

    assert ask(200_000, [1, 50_000])[0] == 200
    for size, shape, said in [(200_000, [1, 50_001], "200004"), (199_996, [1, 49_999], "4 bytes follow"), (200_004, [1, 50_001], "200000")]:
        status, text = ask(size, shape)
        assert status == 400 and said in text, text


def test_bytes_and_bf16(server, client, http):
    texts = np.array([["caf\u00e9", "", "a\"b\\c\n"]], dtype=np.object_)
    for binary in (True, False):
        tensor = triton.InferInput("in", texts.shape, "BYTES")
        tensor.set_data_from_numpy(texts, binary_data=binary)
        out = client.infer("echo_bytes", [tensor], outputs=[triton.InferRequestedOutput("out", binary_data=binary)]).as_numpy("out")
        assert [x.decode() if isinstance(x, bytes) else x for x in out[0]] == texts[0].tolist()
    body = {"inputs": [{"name": "in", "shape": [1, 2], "datatype": "BF16", "data": [1.5, -0.25]}]}
    assert infer(server, http, body, "echo_bf16").json()["outputs"][0]["data"] == [1.5, -0.25]
    raw = struct.pack("<I", 3) + b"\xff\x00\xfe"
    head = json.dumps({"inputs": [{"name": "in", "shape": [1, 1], "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)}}]})
    answer = infer(server, http, head.encode() + raw, "echo_bytes", headers={"Inference-Header-Content-Length": str(len(head))})
    assert answer.status_code == 200 and answer.json()["outputs"][0]["data"] == ["\ufffd\x00\ufffd"]


def test_json_forms(server, http):
    name = input_name(server, http)
    flat = infer(server, http, iris_body(server, http)).json()
    assert flat["model_name"] == "iris" and flat["model_version"] == "1" and "id" not in flat
    nested = infer(server, http, {"inputs": [{"data": [IRIS["rows"][0]], "datatype": "FP32", "shape": [1, 4], "name": name}]}).json()
    assert nested["outputs"] == flat["outputs"]
    assert infer(server, http, iris_body(server, http, id="\u00fc\"x")).json()["id"] == "\u00fc\"x"
    version = http.post(f"{server.url}/v2/models/iris/versions/1/infer", json=iris_body(server, http))
    assert version.json()["outputs"] == flat["outputs"]
    some = infer(server, http, iris_body(server, http, outputs=[{"name": "label"}], parameters={"priority": 3})).json()
    assert [o["name"] for o in some["outputs"]] == ["label"]
    empty = infer(server, http, {"inputs": [{"name": "in", "shape": [0, 2], "datatype": "FP32", "data": []}]}, "echo_fp32")
    assert empty.status_code == 200 and empty.json()["outputs"][0]["shape"] == [0, 2]


def test_headers_and_capture(server, http):
    answer = infer(server, http, iris_body(server, http, id="client-1"))
    assert answer.headers["X-Lathe-Model-Version"] == "1"
    prediction = answer.headers["X-Lathe-Prediction-Id"]
    assert prediction.startswith("pr_")
    kept = http.get(server.api("/predictions/" + prediction)).json()
    assert kept["endpoint"] == "iris" and kept["revision"] == 1
    row = kept["rows"][0]
    assert row["client_id"] == "client-1" and row["prediction"] == str(IRIS["labels"][0]) and row["label"] is None
    assert row["features"] == dict(zip(IRIS["names"], np.array(IRIS["rows"][0], dtype=np.float32).tolist()))
    assert math.isclose(row["score"], max(IRIS["scores"][0]), abs_tol=1e-5)
    lines = http.get(server.api("/endpoints/iris/requests")).text.splitlines()
    assert prediction in [json.loads(line)["id"] for line in lines]
    page = http.get(server.api("/endpoints/iris/requests?limit=1"))
    assert len(page.text.splitlines()) >= 1 and "." in page.headers["X-Lathe-Next"]
    rest = http.get(server.api(f"/endpoints/iris/requests?from={page.headers['X-Lathe-Next']}")).text.splitlines()
    assert len(rest) == len(lines) - len(page.text.splitlines())
    assert http.get(server.api("/predictions/pr_zzz")).status_code == 400
    assert http.get(server.api("/predictions/pr_" + "0" * 26)).status_code == 404
    assert http.get(server.api("/endpoints/nothing/requests")).status_code == 404
    assert "iris" in server.cli("endpoints", check=True).stdout
    assert prediction in server.cli("requests", "iris", "--limit", 1000, check=True).stdout


def test_endpoints_are_listed(server, http):
    listed = http.get(server.api("/endpoints")).json()["endpoints"]
    assert {e["name"]: e["state"] for e in listed}["iris"] == "ready"
    one = http.get(server.api("/endpoints/iris")).json()
    assert one["default"] and one["features"] == IRIS["names"] and one["revisions"][0]["version"] == 1
    assert http.get(server.api("/endpoints/nothing")).status_code == 404


# --- bad input --------------------------------------------------------------------------------------------------------

BAD_BODIES = {
    "empty": "", "not json": "{", "nan": '{"inputs": [{"name": "NAME", "shape": [1,4], "datatype": "FP32", "data": [NaN,1,2,3]}]}',
    "list": "[]", "text": '"x"', "no inputs": "{}", "inputs no list": '{"inputs": 3}', "input no object": '{"inputs": [3]}',
    "no name": '{"inputs": [{"shape": [1,4], "datatype": "FP32", "data": [1,2,3,4]}]}',
    "no shape": '{"inputs": [{"name": "NAME", "datatype": "FP32", "data": [1,2,3,4]}]}',
    "no datatype": '{"inputs": [{"name": "NAME", "shape": [1,4], "data": [1,2,3,4]}]}',
    "no data": '{"inputs": [{"name": "NAME", "shape": [1,4], "datatype": "FP32"}]}',
    "wrong name": '{"inputs": [{"name": "other", "shape": [1,4], "datatype": "FP32", "data": [1,2,3,4]}]}',
    "wrong type": '{"inputs": [{"name": "NAME", "shape": [1,4], "datatype": "INT64", "data": [1,2,3,4]}]}',
    "unknown type": '{"inputs": [{"name": "NAME", "shape": [1,4], "datatype": "FLOAT", "data": [1,2,3,4]}]}',
    "wrong shape": '{"inputs": [{"name": "NAME", "shape": [1,5], "datatype": "FP32", "data": [1,2,3,4,5]}]}',
    "few": '{"inputs": [{"name": "NAME", "shape": [1,4], "datatype": "FP32", "data": [1,2,3]}]}',
    "many": '{"inputs": [{"name": "NAME", "shape": [1,4], "datatype": "FP32", "data": [1,2,3,4,5]}]}',
    "ragged": '{"inputs": [{"name": "NAME", "shape": [2,2], "datatype": "FP32", "data": [[1,2,3],[4]]}]}',
    "mixed": '{"inputs": [{"name": "NAME", "shape": [1,4], "datatype": "FP32", "data": [1,[2],3,4]}]}',
    "deep": '{"inputs": [{"name": "NAME", "shape": [1,4], "datatype": "FP32", "data": ' + "[" * 5000 + "]" * 5000 + "}]}",
    "deep elsewhere": '{"x": ' + "[" * 50000 + "]" * 50000 + "}",
    "huge shape": '{"inputs": [{"name": "NAME", "shape": [4611686018427387904, 4], "datatype": "FP32", "data": [1]}]}',
    "overflow shape": '{"inputs": [{"name": "NAME", "shape": [4294967296, 4294967296], "datatype": "FP32", "data": []}]}',
    "negative shape": '{"inputs": [{"name": "NAME", "shape": [-1, 4], "datatype": "FP32", "data": [1,2,3,4]}]}',
    "many dims": '{"inputs": [{"name": "NAME", "shape": [1,1,1,1,1,1,1,1,1,1], "datatype": "FP32", "data": [1]}]}',
    "infinite": '{"inputs": [{"name": "NAME", "shape": [1,4], "datatype": "FP32", "data": [1e999,2,3,4]}]}',
    "too large": '{"inputs": [{"name": "NAME", "shape": [1,4], "datatype": "FP32", "data": [1e300,2,3,4]}]}',
    "text value": '{"inputs": [{"name": "NAME", "shape": [1,4], "datatype": "FP32", "data": ["a",2,3,4]}]}',
    "object value": '{"inputs": [{"name": "NAME", "shape": [1,4], "datatype": "FP32", "data": [{},2,3,4]}]}',
    "unknown output": '{"outputs": [{"name": "zz"}], "inputs": [{"name": "NAME", "shape": [1,4], "datatype": "FP32", "data": [1,2,3,4]}]}',
    "output twice": '{"outputs": [{"name": "label"},{"name": "label"}], "inputs": [{"name": "NAME", "shape": [1,4], "datatype": "FP32", "data": [1,2,3,4]}]}',
    "input twice": '{"inputs": [{"name": "NAME", "shape": [1,4], "datatype": "FP32", "data": [1,2,3,4]},{"name": "NAME", "shape": [1,4], "datatype": "FP32", "data": [1,2,3,4]}]}',
    "classification": '{"outputs": [{"name": "label", "parameters": {"classification": -1}}], "inputs": [{"name": "NAME", "shape": [1,4], "datatype": "FP32", "data": [1,2,3,4]}]}',
    "shared memory": '{"inputs": [{"name": "NAME", "shape": [1,4], "datatype": "FP32", "parameters": {"shared_memory_region": "r"}}]}',
    "trailing": '{"inputs": [{"name": "NAME", "shape": [1,4], "datatype": "FP32", "data": [1,2,3,4]}]} x',
    "binary missing": '{"inputs": [{"name": "NAME", "shape": [1,4], "datatype": "FP32", "parameters": {"binary_data_size": 16}}]}',
    "binary negative": '{"inputs": [{"name": "NAME", "shape": [1,4], "datatype": "FP32", "parameters": {"binary_data_size": -16}}]}',
    "bad utf8": b'{"inputs": [{"name": "\xff", "shape": [1,4], "datatype": "FP32", "data": [1,2,3,4]}]}',
}


@pytest.mark.parametrize("case", sorted(BAD_BODIES))
def test_bad_bodies(server, http, case):
    body = BAD_BODIES[case]
    if isinstance(body, str):
        body = body.replace("NAME", input_name(server, http))
    answer = infer(server, http, body)
    assert answer.status_code == 400, answer.text
    assert list(answer.json()) == ["error"] and answer.json()["error"]
    assert infer(server, http, iris_body(server, http)).status_code == 200


@pytest.mark.parametrize("length,size", [("0", 16), ("9999", 16), ("x", 16), ("-1", 16), ("HEAD", 12), ("HEAD", 20)])
def test_bad_binary(server, http, length, size):
    head = json.dumps({"inputs": [{"name": input_name(server, http), "shape": [1, 4], "datatype": "FP32",
                                   "parameters": {"binary_data_size": size}}]})
    answer = infer(server, http, head.encode() + b"\0" * 16, headers={"Inference-Header-Content-Length": length.replace("HEAD", str(len(head)))})
    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize("raw", [b"\1", struct.pack("<I", 9) + b"abc", struct.pack("<I", 0xFFFFFFFF), struct.pack("<I", 1) + b"a" * 2])
def test_bad_binary_text(server, http, raw):
    head = json.dumps({"inputs": [{"name": "in", "shape": [1, 1], "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)}}]})
    answer = infer(server, http, head.encode() + raw, "echo_bytes", headers={"Inference-Header-Content-Length": str(len(head))})
    assert answer.status_code == 400


@pytest.mark.parametrize("word,value", [("INT8", 128), ("UINT8", -1), ("INT64", 9223372036854775808), ("UINT64", -1),
                                        ("INT32", 1.5), ("BOOL", 1), ("INT16", "1"), ("BYTES", 5), ("FP16", 1e6), ("INT64", None)])
def test_values_that_do_not_fit(server, http, word, value):
    body = {"inputs": [{"name": "in", "shape": [1, 1], "datatype": word, "data": [value]}]}
    answer = infer(server, http, body, "echo_" + word.lower())
    assert answer.status_code == 400 and "element 0" in answer.json()["error"], answer.text


def test_missing_and_special_numbers(server, http):
    body = {"inputs": [{"name": "in", "shape": [1, 4], "datatype": "FP32", "data": [None, "NaN", "Infinity", "-Infinity"]}]}
    assert infer(server, http, body, "echo_fp32").json()["outputs"][0]["data"] == ["NaN", "NaN", "Infinity", "-Infinity"]


def test_unknown_and_wrong_method(server, http):
    assert infer(server, http, iris_body(server, http), "nothing").status_code == 404
    assert "error" in infer(server, http, iris_body(server, http), "nothing").json()
    assert http.get(f"{server.url}/v2/models/iris/infer").status_code == 405
    compressed = infer(server, http, b"xx", headers={"Content-Encoding": "gzip"})
    assert compressed.status_code == 400 and "gzip" in compressed.json()["error"]


# --- Triton's extensions ------------------------------------------------------------------------------------------------

def test_configuration_statistics_and_repository(server, client, http):
    config = client.get_model_config("iris")
    assert (config["name"], config["backend"], config["max_batch_size"]) == ("iris", "onnxruntime", 0)
    assert config["input"][0]["data_type"] == "TYPE_FP32" and config["input"][0]["dims"] == [-1, 4]
    assert http.get(f"{server.url}/v2/models/iris/versions/1/config").json() == config
    assert http.get(f"{server.url}/v2/models/nothing/config").status_code == 404
    before = client.get_inference_statistics("iris")["model_stats"][0]
    infer(server, http, iris_body(server, http))
    infer(server, http, "{}")
    after = client.get_inference_statistics("iris", "1")["model_stats"][0]
    assert after["inference_count"] == before["inference_count"] + 1
    for how in ("success", "fail"):
        assert after["inference_stats"][how]["count"] == before["inference_stats"][how]["count"] + 1
    assert after["inference_stats"]["success"]["ns"] > before["inference_stats"]["success"]["ns"]
    assert {"iris", "mixed"} <= {m["name"] for m in client.get_inference_statistics()["model_stats"]}
    index = {m["name"]: m for m in client.get_model_repository_index()}
    assert index["iris"]["state"] == "READY" and index["iris"]["version"] == "1"
    assert http.post(server.url + "/v2/repository/index", json={"ready": True}).status_code == 200
    assert http.post(server.url + "/v2/repository/index", json={"ready": 1}).status_code == 400
    for act in (client.load_model, client.unload_model):
        with pytest.raises(InferenceServerException) as caught:
            act("iris")
        assert caught.value.status() == "503" and "not allowed" in caught.value.message()


def test_settings_of_the_server_are_shown_and_not_changed(server, client):
    assert client.get_trace_settings()["trace_level"] == ["OFF"] and client.get_trace_settings("iris")["trace_mode"]
    assert client.get_log_settings()["log_error"] is True
    assert client.get_system_shared_memory_status() == [] and client.get_cuda_shared_memory_status() == []
    client.unregister_system_shared_memory()
    for act in (lambda: client.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"]}), lambda: client.get_trace_settings("nothing"),
                lambda: client.update_log_settings({"log_file": "/tmp/x"}), lambda: client.register_system_shared_memory("r", "/r", 64)):
        with pytest.raises(InferenceServerException):
            act()


@pytest.mark.parametrize("sent", [None, "gzip", "deflate"])
@pytest.mark.parametrize("answered", [None, "gzip", "deflate"])
def test_compressed_bodies(client, http, server, sent, answered):
    values = np.zeros((1, 20_000), dtype=np.float32)
    for binary in (True, False):
        tensor = triton.InferInput("in", values.shape, "FP32")
        tensor.set_data_from_numpy(values, binary_data=binary)
        result = client.infer("echo_fp32", [tensor], outputs=[triton.InferRequestedOutput("out", binary_data=binary)],
                              request_compression_algorithm=sent, response_compression_algorithm=answered)
        assert np.array_equal(result.as_numpy("out"), values)
    body = {"inputs": [{"name": "in", "shape": [1, 20_000], "datatype": "FP32", "data": [0] * 20_000}]}
    answer = infer(server, http, body, "echo_fp32", headers={"Accept-Encoding": answered or "identity"})
    assert answer.headers.get("Content-Encoding") == answered and answer.json()["outputs"][0]["shape"] == [1, 20_000]


def test_compressed_bodies_are_bounded(server, http):
    bomb = gzip.compress(b" " * (200 << 20))
    assert infer(server, http, bomb, headers={"Content-Encoding": "gzip"}).status_code == 413
    good = gzip.compress(json.dumps(iris_body(server, http)).encode())
    assert infer(server, http, good, headers={"Content-Encoding": "gzip"}).status_code == 200
    for broken in (good[:-5], good + b"x", zlib.compress(b"{}"), b""):
        assert infer(server, http, broken, headers={"Content-Encoding": "gzip"}).status_code == 400
    raw = zlib.compressobj(wbits=-15)
    bare = raw.compress(json.dumps(iris_body(server, http)).encode()) + raw.flush()
    assert infer(server, http, bare, headers={"Content-Encoding": "deflate"}).status_code == 200
    answer = infer(server, http, good, headers={"Content-Encoding": "br"})
    assert answer.status_code == 400 and "allowed" in answer.json()["error"]


def test_body_limit(server, http):
    answer = infer(server, http, b" " * (65 * 1024 * 1024))
    assert answer.status_code == 413 and answer.json()["error"]


# --- KServe v1 and TensorFlow Serving -----------------------------------------------------------------------------------

def predict(server, http, body, model="iris"):
    return http.post(f"{server.url}/v1/models/{model}:predict", json=body)


def test_v1_models(server, http):
    assert "iris" in http.get(server.url + "/v1/models").json()["models"]
    status = http.get(server.url + "/v1/models/iris").json()
    assert status["name"] == "iris" and status["ready"] is True
    assert status["model_version_status"][0]["state"] == "AVAILABLE"
    assert http.get(server.url + "/v1/models/nothing").status_code == 404


def test_v1_predict(server, http):
    answer = predict(server, http, {"instances": IRIS["rows"]})
    assert answer.json() == {"predictions": IRIS["labels"]}
    assert answer.headers["X-Lathe-Prediction-Id"].startswith("pr_")
    by_name = predict(server, http, {"instances": [dict(zip(IRIS["names"], row)) for row in IRIS["rows"]]})
    assert by_name.json() == {"predictions": IRIS["labels"]}
    texts = predict(server, http, {"instances": IRIS["rows"]}, "iris_zipmap").json()
    assert texts == {"predictions": EXPECTED["iris_zipmap"]["labels"]}
    values = predict(server, http, {"instances": EXPECTED["diabetes"]["rows"]}, "diabetes").json()["predictions"]
    assert np.allclose(values, EXPECTED["diabetes"]["values"], atol=1e-2)
    columns = predict(server, http, {"inputs": IRIS["rows"]}).json()["outputs"]
    assert columns["label"] == IRIS["labels"] and np.allclose(columns["probabilities"], IRIS["scores"], atol=1e-5)
    assert http.post(f"{server.url}/v1/models/iris/versions/1:predict", json={"instances": IRIS["rows"]}).status_code == 200
    assert http.post(f"{server.url}/v1/models/iris/versions/2:predict", json={"instances": IRIS["rows"]}).status_code == 404


def test_v1_text_columns(server, http):
    mixed = EXPECTED["mixed"]
    rows = [{"size": s, "weight": w, "colour": c} for s, w, c in zip(mixed["size"], mixed["weight"], mixed["colour"])]
    assert predict(server, http, {"instances": rows}, "mixed").json() == {"predictions": mixed["labels"]}
    columns = {key: mixed[key] for key in ("size", "weight", "colour")}
    assert predict(server, http, {"inputs": columns}, "mixed").json()["outputs"]["label"] == mixed["labels"]
    assert predict(server, http, {"instances": [[{"b64": "aGk="}]]}, "echo_bytes").json() == {"predictions": ["hi"]}
    text_where_number = predict(server, http, {"instances": [{**rows[0], "size": "big"}]}, "mixed")
    assert text_where_number.status_code == 400


@pytest.mark.parametrize("body", [{}, {"instances": []}, {"instances": 3}, {"instances": [[1, 2, 3]]}, {"instances": [[1, 2, 3, "x"]]},
                                  {"instances": [[1, 2, 3, 4], [1]]}, {"instances": [1], "inputs": [1]}, {"inputs": "x"},
                                  {"instances": [{"a": 1}]}, {"instances": [[[[[[[[[[1]]]]]]]]]]}, [], 3])
def test_v1_bad(server, http, body):
    answer = predict(server, http, body)
    assert answer.status_code == 400 and answer.json()["error"], answer.text


# --- MLflow scoring -----------------------------------------------------------------------------------------------------

FRAME = {"columns": IRIS["names"], "data": IRIS["rows"]}


@pytest.mark.parametrize("path", ["/invocations", "/endpoints/iris/invocations"])
@pytest.mark.parametrize("body", [
    {"dataframe_split": FRAME}, {"dataframe_split": {**FRAME, "index": list(range(len(IRIS["rows"])))}},
    {"dataframe_records": [dict(zip(IRIS["names"], row)) for row in IRIS["rows"]]},
    {"instances": IRIS["rows"]}, {"inputs": IRIS["rows"]}, {"inputs": IRIS["rows"], "params": {"a": 1}},
    {"inputs": {name: [row[i] for row in IRIS["rows"]] for i, name in enumerate(IRIS["names"])}}])
def test_invocations(server, http, path, body):
    answer = http.post(server.url + path, json=body)
    assert answer.json() == {"predictions": IRIS["labels"]}


def test_invocations_csv(server, http):
    text = ",".join(IRIS["names"]) + "\n" + "\n".join(",".join(map(repr, row)) for row in IRIS["rows"]) + "\n"
    answer = http.post(server.url + "/invocations", data=text, headers={"Content-Type": "text/csv; charset=utf-8"})
    assert answer.json() == {"predictions": IRIS["labels"]}


def test_ping(server, http):
    assert http.get(server.url + "/ping").status_code == 200


def test_sagemaker_inference_id(server):
    answer = requests.post(server.url + "/endpoints/iris/invocations", json={"instances": IRIS["rows"][:1]},
                           headers={"X-Amzn-SageMaker-Inference-Id": "sm-1"})
    prediction = answer.headers["X-Lathe-Prediction-Id"]
    assert requests.get(server.api("/predictions/" + prediction)).json()["rows"][0]["client_id"] == "sm-1"


@pytest.mark.parametrize("body,kind", [
    ("{}", "application/json"), ('{"dataframe_split": {}, "inputs": []}', "application/json"), ('{"x": 1}', "application/json"),
    ("[1,2]", "application/json"), ("{", "application/json"), ('{"dataframe_split": {"columns": ["a"], "data": [[1]]}}', "application/json"),
    ('{"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}', "application/json"),
    ('{"dataframe_split": {"columns": ["a", "b"], "data": [[1]]}}', "application/json"),
    ('{"dataframe_split": 3}', "application/json"), ('{"dataframe_records": {}}', "application/json"),
    ('{"dataframe_records": [1]}', "application/json"), ('{"dataframe_records": []}', "application/json"),
    ("a,b\n1,2\n", "text/csv"), ("", "text/csv"), ("a,b\n1\n", "text/csv"), ("[" * 100000, "application/json")])
def test_bad_invocations(server, http, body, kind):
    answer = http.post(server.url + "/invocations", data=body, headers={"Content-Type": kind})
    assert answer.status_code == 400 and answer.json()["message"] and answer.json()["error_code"] == "BAD_REQUEST", answer.text


def test_unknown_endpoint(server, http):
    answer = http.post(server.url + "/endpoints/nothing/invocations", json={"instances": [[1]]})
    assert answer.status_code == 404 and answer.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"


def test_metrics_count(server, http):
    text = http.get(server.url + "/metrics").text
    assert 'lathe_inference_requests_total{project="default",endpoint="iris",model="iris",version="1"}' in text
    assert "lathe_capture_records_total" in text
