"""The other inference protocols: MLflow's scoring and deployments clients, TensorFlow Serving, SageMaker's runtime (boto3),
Seldon, BentoML, KServe; Triton's shared memory, timeouts and settings. Clients that need a venv of their own are in
serving_clients.py; `./dev test` installs them (tests/requirements-serving.txt, -stubs.txt)."""
import base64
import io
import json
import os
import subprocess
import time

import grpc
import mlflow.deployments
import numpy as np
import pandas as pd
import pytest
import requests
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton
import tritonclient.utils.shared_memory as shm
from mlflow.pyfunc.scoring_server.client import ScoringServerClient
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from deploy import deploy, made_models
from lathe_server import ROOT
from people import PASSWORD, add_user, basic, user
from test_inference import EXPECTED, IRIS

ROWS, LABELS, SCORES = IRIS["rows"], IRIS["labels"], IRIS["scores"]
CLIENTS = {"boto": ".venv-s3", "bento": ".venv-serving", "kserve": ".venv-serving", "tensorflow": ".venv-stubs", "seldon": ".venv-stubs"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def server(start_module_server):
    server = start_module_server()
    server.stop()
    models = made_models()
    deploy(server.dir, "iris", models / "iris", default=True)
    for name in ("iris_zipmap", "diabetes", "mixed"):
        deploy(server.dir, name, models / name, version=3)
    deploy(server.dir, "echo_fp32", models / "echo_fp32")
    deploy(server.dir, "echo_bytes", models / "echo_bytes")
    server.start()
    return server


@pytest.fixture(scope="module")
def input_name(server):
    return requests.get(server.url + "/v2/models/iris").json()["inputs"][0]["name"]


def run_client(name, server, **ask):
    python = ROOT / CLIENTS[name] / "bin/python"
    if not python.exists():
        pytest.skip(f"{CLIENTS[name]} is not installed")
    run = subprocess.run([python, ROOT / "tests/api/serving_clients.py", name, server.url], input=json.dumps(ask), text=True,
                         capture_output=True, timeout=120, env={"PATH": os.environ["PATH"], "HOME": str(server.dir)})
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout.splitlines()[-1])


# --- MLflow -------------------------------------------------------------------------------------------------------------

def test_mlflow_scoring_client(server):
    client = ScoringServerClient("127.0.0.1", server.port)
    client.ping()
    assert client.get_version()
    frame = pd.DataFrame(ROWS, columns=IRIS["names"])
    assert client.invoke(frame).get_predictions()[0].tolist() == LABELS
    assert json.loads(client.invoke(np.array(ROWS)).to_json())["predictions"] == LABELS
    assert json.loads(client.invoke(frame, params={"a": 1}).to_json())["predictions"] == LABELS
    assert requests.get(server.url + "/health").status_code == 200


def test_mlflow_deployments_client(server):
    client = mlflow.deployments.get_deploy_client(server.url)
    frame = pd.DataFrame(ROWS, columns=IRIS["names"])
    answer = client.predict(endpoint="iris", inputs={"dataframe_split": frame.to_dict(orient="split")})
    assert answer["predictions"] == LABELS
    listed = requests.get(server.url + "/api/2.0/endpoints/").json()["endpoints"]
    assert {"iris", "diabetes"} <= {e["name"] for e in listed}
    one = requests.get(server.url + "/api/2.0/endpoints/iris").json()
    assert one["endpoint_url"] == "/endpoints/iris/invocations" and one["model"]["name"] == "iris"
    assert requests.get(server.url + "/api/2.0/endpoints/nothing").status_code == 404


@pytest.mark.parametrize("kind,status", [
    ("application/json; charset=UTF-8", 200), ('application/json; charset="utf-8"', 200), ("APPLICATION/JSON", 200),
    ("application/json; charset=latin-1", 415), ("application/json; format=pandas-split", 415), ("not/supported", 415), ("", 415)])
def test_scoring_content_types(server, kind, status):
    answer = requests.post(server.url + "/invocations", data=json.dumps({"inputs": ROWS}), headers={"Content-Type": kind})
    assert answer.status_code == status, answer.text
    if status == 415:
        assert answer.headers["Content-Type"].startswith("text/plain") and answer.text


@pytest.mark.parametrize("body", ['{"inputs": [[1, 2, 3, 4]], "params": 3}', "{", '{"inputs": [[1]], "instances": [[1]]}', b'\xff\xfe{}'])
def test_scoring_bad_bodies(server, body):
    answer = requests.post(server.url + "/invocations", data=body, headers=JSON)
    assert answer.status_code == 400 and answer.json()["error_code"] == "BAD_REQUEST" and answer.json()["message"]
    csv = requests.post(server.url + "/invocations", data=b"a,b\n\xff,1\n", headers={"Content-Type": "text/csv"})
    assert csv.status_code == 400 and "UTF-8" in csv.json()["message"]


# --- TensorFlow Serving -------------------------------------------------------------------------------------------------

def test_tensorflow_serving_rest(server, input_name):
    at = server.url + "/v1/models/iris"
    assert requests.get(at).json()["model_version_status"] == [
        {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}]
    meta = requests.get(at + "/versions/1/metadata").json()
    assert meta["model_spec"] == {"name": "iris", "signature_name": "", "version": "1"}
    signature = meta["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"][input_name]["dtype"] == "DT_FLOAT"
    assert [d["size"] for d in signature["inputs"][input_name]["tensor_shape"]["dim"]] == ["-1", "4"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    for place in ("/versions/1:predict", "/labels/production:predict", "/labels/live:predict"):
        rows = requests.post(at + place, json={"instances": ROWS}).json()["predictions"]
        assert [r["label"] for r in rows] == LABELS and np.allclose([r["probabilities"] for r in rows], SCORES, atol=1e-5)
    named = requests.post(at + ":predict", json={"signature_name": "serving_default", "instances": [{input_name: r} for r in ROWS]})
    assert [r["label"] for r in named.json()["predictions"]] == LABELS
    columns = requests.post(at + ":predict", json={"signature_name": "serving_default", "inputs": {input_name: ROWS}}).json()
    assert columns["outputs"]["label"] == LABELS
    assert requests.post(at + ":predict", json={"signature_name": "other", "instances": ROWS}).status_code == 400
    assert requests.post(at + "/labels/canary:predict", json={"instances": ROWS}).status_code == 404
    one = requests.post(server.url + "/v1/models/echo_bytes/versions/1:predict", json={"instances": [[{"b64": "aGk="}]]})
    assert one.json() == {"predictions": [["hi"]]}


def test_classify_and_regress(server):
    examples = [dict(zip(IRIS["names"], row)) for row in ROWS]
    got = requests.post(server.url + "/v1/models/iris:classify", json={"examples": examples}).json()["results"]
    assert np.allclose([[score for _, score in row] for row in got], SCORES, atol=1e-5)
    by_context = {"context": {IRIS["names"][3]: [ROWS[0][3]]}, "examples": [dict(list(examples[0].items())[:3])]}
    one = requests.post(server.url + "/v1/models/iris:classify", json=by_context).json()["results"]
    assert np.allclose([score for _, score in one[0]], SCORES[0], atol=1e-5)
    heavy = {"context": {"a": "x" * 100_000}, "examples": [{}] * 1000}
    assert requests.post(server.url + "/v1/models/iris:classify", json=heavy).status_code == 413
    known = EXPECTED["diabetes"]
    rows = [{str(i): [v] for i, v in enumerate(row)} for row in known["rows"]]
    values = requests.post(server.url + "/v1/models/diabetes:regress", json={"examples": rows}).json()["results"]
    assert np.allclose(values, known["values"], atol=1e-2)
    wrong = requests.post(server.url + "/v1/models/iris:regress", json={"examples": examples})
    assert wrong.status_code == 400 and "regression" in wrong.json()["error"]
    for body in ({}, {"examples": []}, {"examples": 3}, {"examples": [3]}, {"examples": [{"a": 1}]}):
        assert requests.post(server.url + "/v1/models/iris:classify", json=body).status_code == 400, body


def test_tensorflow_serving_grpc(server, input_name):
    got = run_client("tensorflow", server, rows=ROWS, input=input_name)
    for name in ("content", "values"):
        assert got[name]["labels"] == LABELS and got[name]["version"] == 1
        assert np.allclose(got[name]["scores"], np.ravel(SCORES), atol=1e-5)
    assert got["short"][0] == "INVALID_ARGUMENT" and "bytes" in got["short"][1]
    assert got["signature"][0] == "INVALID_ARGUMENT" and len(got["label"]["labels"]) == len(ROWS)
    assert got["inputs"] == [[input_name, 1]] and got["status"] == [[1, 30]]


# --- SageMaker ----------------------------------------------------------------------------------------------------------

def test_boto3(server):
    file = io.BytesIO()
    np.save(file, np.array(ROWS))
    got = run_client("boto", server, rows=ROWS, npy=base64.b64encode(file.getvalue()).decode())
    plain = {"type": "application/json", "variant": "1"}
    assert got["json"] == {**plain, "body": got["json"]["body"], "custom": "trace=7"}
    for name in ("json", "list", "features", "variant"):
        assert json.loads(got[name]["body"]) == {"predictions": LABELS}, name
    assert got["csv"]["type"] == "text/csv" and [int(line) for line in got["csv"]["body"].split()] == LABELS
    assert np.load(io.BytesIO(base64.b64decode(got["npy"]["body"]))).tolist() == LABELS
    assert json.loads(got["stream"]) == {"predictions": LABELS}
    assert json.loads(got["target_model"]["body"]) == {"predictions": EXPECTED["iris_zipmap"]["labels"]}
    assert got["wrong_variant"]["error"] == "ValidationError" and got["nothing"]["error"] == "ValidationError"
    assert got["bad_accept"]["error"] == "ValidationError" and "Accept" in got["bad_accept"]["Error"]["Message"]
    assert got["bad"]["error"] == "ModelError" and got["bad"]["OriginalStatusCode"] == 400


def test_boto3_with_a_token(tmp_path, start_server):
    add_user(tmp_path, "ann")
    server = start_server("--require-login", "1", home=tmp_path)
    server.stop()
    deploy(server.dir, "iris", made_models() / "iris", default=True)
    server.start()
    secret = user(server, "ann").api("POST", "/tokens", json={}).json()["token"]
    assert json.loads(run_client("boto", server, rows=ROWS, key=secret, only_json=True)["json"]["body"]) == {"predictions": LABELS}
    for key in ("test", secret[:-1] + ("x" if secret[-1] != "x" else "y")):
        refused = run_client("boto", server, rows=ROWS, key=key, only_json=True)["json"]
        assert refused["Error"]["Code"] == "AccessDeniedException", refused


@pytest.mark.parametrize("body", [b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00\xff\xff{", b"\x93NUMPY\x03\x00\x10\x00" + b" " * 16])
def test_bad_npy(server, body):
    answer = requests.post(server.url + "/endpoints/iris/invocations", data=body,
                           headers={"Content-Type": "application/x-npy", "amz-sdk-invocation-id": "1"})
    assert answer.status_code == 424 and answer.headers["x-amzn-errortype"] == "ModelError" and answer.json()["OriginalStatusCode"] == 400


# --- Seldon, BentoML, KServe --------------------------------------------------------------------------------------------

def test_seldon(server):
    at = server.url + "/api/v1.0/predictions"
    answer = requests.post(at, json={"data": {"names": IRIS["names"], "ndarray": ROWS}, "meta": {"puid": "mine"}}).json()
    assert answer["meta"]["puid"] == "mine" and answer["meta"]["tags"]["labels"] == LABELS
    assert np.allclose(answer["data"]["ndarray"], SCORES, atol=1e-5) and len(answer["data"]["names"]) == 3
    shuffled = [3, 1, 0, 2]
    by_name = {"data": {"names": [IRIS["names"][i] for i in shuffled], "ndarray": [[row[i] for i in shuffled] for row in ROWS]}}
    assert requests.post(at, json=by_name).json()["meta"]["tags"]["labels"] == LABELS
    tensor = {"data": {"tensor": {"shape": [len(ROWS), 4], "values": np.ravel(ROWS).tolist()}}}
    for path in ("/api/v1.0", "/api/v0.1", "/seldon/default/iris/api/v1.0", "/seldon/default/iris/api/v0.1"):
        told = requests.post(server.url + path + "/predictions", json=tensor).json()
        assert told["data"]["tensor"]["shape"] == [len(ROWS), 3] and told["meta"]["puid"].startswith("pr_")
    text = requests.post(server.url + "/seldon/default/echo_bytes/api/v1.0/predictions", json={"strData": "hi"}).json()
    assert text["data"]["ndarray"] == [["hi"]]
    assert requests.post(at, json={"jsonData": {"inputs": ROWS}}).json()["meta"]["tags"]["labels"] == LABELS
    assert requests.post(server.url + "/seldon/other/iris/api/v1.0/predictions", json=tensor).status_code == 404


@pytest.mark.parametrize("body", [
    {}, [], {"data": {}}, {"data": 3}, {"data": {"ndarray": []}}, {"data": {"ndarray": [[1, 2]]}}, {"data": {"tftensor": {}}},
    {"data": {"ndarray": [[1, 2, 3, 4]], "tensor": {}}}, {"strData": "x"}, {"binData": "aGk="}, {"strData": "x", "data": {}},
    {"data": {"tensor": {"shape": [2, 4], "values": [1, 2]}}}, {"data": {"tensor": {"shape": [-1, 4], "values": []}}},
    {"data": {"tensor": {"shape": ["a"], "values": [1]}}}, {"data": {"ndarray": [[1, 2, 3, 4]], "names": 3}},
    {"data": {"ndarray": [[1, 2, 3, 4]]}, "meta": {"puid": "x" * 300}}, {"data": {"ndarray": [[1, 2, 3, 4]]}, "meta": 3}])
def test_bad_seldon(server, body):
    answer = requests.post(server.url + "/api/v1.0/predictions", json=body)
    assert answer.status_code == 400 and answer.json()["status"]["status"] == "FAILURE" and answer.json()["status"]["info"], answer.text


def test_seldon_feedback(server):
    answer = requests.post(server.url + "/api/v1.0/predictions", json={"data": {"ndarray": ROWS[:2]}}).json()
    puid = answer["meta"]["puid"]
    sent = requests.post(server.url + "/api/v1.0/feedback", json={"response": answer, "reward": 0.5, "truth": {"data": {"ndarray": [[0], [2]]}}})
    assert sent.json()["meta"]["tags"] == {"received": 2, "new": 2, "known": True}
    rows = requests.get(server.api("/predictions/" + puid)).json()["rows"]
    assert [row.get("label", row.get("truth")) for row in rows] or rows
    confirmed = requests.post(server.url + "/seldon/default/iris/api/v1.0/feedback", json={"response": answer, "reward": 1.0}).json()
    assert confirmed["meta"]["tags"]["received"] == 2 and confirmed["meta"]["tags"]["new"] == 0
    for bad in ({}, {"response": answer}, {"response": answer, "reward": 0.2}, {"response": {"meta": {}}, "truth": {}},
                {"response": answer, "truth": {"data": {"ndarray": [[0.1, 0.9]]}}}, {"response": answer, "truth": {"data": {"ndarray": [1, 2, 3]}}}):
        refused = requests.post(server.url + "/api/v1.0/feedback", json=bad)
        assert refused.status_code == 400 and refused.json()["status"]["info"], bad


def test_seldon_client(server):
    got = run_client("seldon", server, rows=ROWS, names=IRIS["names"])
    for kind in ("tensor", "ndarray", "ambassador"):
        assert got[kind]["ok"] and got[kind]["answer"]["meta"]["tags"]["labels"] == LABELS, got[kind]
    assert got["feedback"]["ok"] and got["feedback"]["puid"].startswith("pr_"), got["feedback"]


def test_bento_routes(server, input_name):
    for path in ("/readyz", "/livez", "/healthz"):
        assert requests.get(server.url + path).status_code == 200
    schema = requests.get(server.url + "/schema.json").json()
    assert [route["route"] for route in schema["routes"]] == ["/predict"]
    assert schema["routes"][0]["input"]["properties"][input_name]["dtype"] == "float32"
    assert requests.post(server.url + "/predict", json={input_name: ROWS}).json() == LABELS
    for bad in ({}, {"other": ROWS}, {input_name: [[1]]}, [1]):
        answer = requests.post(server.url + "/predict", json=bad)
        assert answer.status_code == 400 and answer.json()["error"], bad


def test_bento_client(server, input_name):
    got = run_client("bento", server, rows=ROWS, input=input_name)
    assert got["ready"] and got["routes"] == ["predict"] and got["answer"] == LABELS and got["bad"]


def test_kserve_client(server, input_name):
    got = run_client("kserve", server, rows=ROWS, input=input_name)
    assert got["live"] and got["ready"] and got["model_ready"] and got["v1_ready"] and got["grpc_live"] and got["grpc_ready"]
    assert got["v1"] == {"predictions": LABELS}
    for name in ("v2", "grpc"):
        assert got[name]["label"] == LABELS and np.allclose(got[name]["probabilities"], SCORES, atol=1e-5)


# --- Triton: shared memory, timeouts, settings --------------------------------------------------------------------------

@pytest.fixture
def region():
    key = f"/lathe-test-{os.getpid()}-{time.monotonic_ns()}"
    made = shm.create_shared_memory_region("data", key, 4096)
    yield key, made
    shm.destroy_shared_memory_region(made)


@pytest.mark.parametrize("module", [triton, triton_grpc])
def test_shared_memory(server, input_name, region, module):
    key, made = region
    rows = np.array(ROWS, dtype=np.float32)
    shm.set_shared_memory_region(made, [rows])
    with module.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        client.unregister_system_shared_memory()
        client.register_system_shared_memory("data", key, 4096)
        with pytest.raises(InferenceServerException):
            client.register_system_shared_memory("data", key, 4096)
        status = client.get_system_shared_memory_status(**({"as_json": True} if module is triton_grpc else {}))
        told = status["regions"]["data"] if module is triton_grpc else status[0]
        assert told["key"] == key and int(told["byte_size"]) == 4096

        def lying(name, size, offset=0):
            made = module.InferInput(input_name, rows.shape, "FP32")
            made.set_shared_memory(name, size, offset=offset)
            return made
        tensor = lying("data", rows.nbytes)
        scores = module.InferRequestedOutput("probabilities")
        scores.set_shared_memory("data", 1024, offset=2048)
        result = client.infer("iris", [tensor], outputs=[scores, module.InferRequestedOutput("label")])
        assert result.as_numpy("label").tolist() == LABELS
        assert np.allclose(shm.get_contents_as_numpy(made, np.float32, np.shape(SCORES), 2048), SCORES, atol=1e-5)
        for name, size, offset in (("nothing", rows.nbytes, 0), ("data", rows.nbytes, 4090), ("data", 4, 0), ("data", 1 << 40, 0)):
            with pytest.raises(InferenceServerException):
                client.infer("iris", [lying(name, size, offset)])
        scores.set_shared_memory("data", 4, offset=0)
        with pytest.raises(InferenceServerException, match="bytes"):
            client.infer("iris", [tensor], outputs=[scores])
        # A client that cuts its region short while it is registered harms itself only.
        os.truncate("/dev/shm" + key, 8)
        with pytest.raises(InferenceServerException, match="cut short"):
            client.infer("iris", [tensor])
        os.truncate("/dev/shm" + key, 4096)
        client.unregister_system_shared_memory("data")
        with pytest.raises(InferenceServerException):
            client.infer("iris", [tensor])


@pytest.mark.parametrize("key,size", [("/a/b", 8), ("", 8), ("..", 8), ("/../etc/passwd", 8), ("/no-such-region", 8), ("/x", 0), ("/x", -1),
                                      ("/x", 1 << 50), (3, 8)])
def test_bad_regions(server, key, size):
    answer = requests.post(server.url + "/v2/systemsharedmemory/region/bad/register", json={"key": key, "offset": 0, "byte_size": size})
    assert answer.status_code == 400 and answer.json()["error"]


def test_shared_memory_is_for_this_user(tmp_path, start_server, region):
    add_user(tmp_path, "ann")
    server = start_server("--require-login", "1", home=tmp_path)
    headers = {"Authorization": basic("ann", PASSWORD)}
    answer = requests.post(server.url + "/v2/systemsharedmemory/region/r/register", json={"key": region[0], "byte_size": 16}, headers=headers)
    assert answer.status_code == 403


def test_timeout_priority_and_sequence(server, input_name):
    body = {"inputs": [{"name": input_name, "shape": [1, 4], "datatype": "FP32", "data": ROWS[0]}]}

    def infer(**parameters):
        return requests.post(server.url + "/v2/models/iris/infer", json={**body, "parameters": parameters})
    assert infer(timeout=60_000_000, priority=1, sequence_id=3, sequence_start=True, sequence_end=True).status_code == 200
    late = infer(timeout=1)
    assert late.status_code == 503 and "timeout expired" in late.json()["error"]
    assert infer(timeout=-1).status_code == 400 and infer(timeout="x").status_code == 400
    with triton_grpc.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        tensor = triton_grpc.InferInput(input_name, [1, 4], "FP32")
        tensor.set_data_from_numpy(np.array(ROWS[:1], dtype=np.float32))
        assert client.infer("iris", [tensor], priority=2, timeout=60_000_000, sequence_id=1, sequence_start=True).as_numpy("label").tolist() == LABELS[:1]
        with pytest.raises(InferenceServerException, match="timeout expired"):
            client.infer("iris", [tensor], timeout=1)


def test_triton_settings(server):
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        assert client.get_log_settings()["log_verbose_level"] == 0
        assert client.update_log_settings({"log_verbose_level": 1})["log_verbose_level"] == 1
        assert client.update_log_settings({"log_verbose_level": 0})["log_verbose_level"] == 0
        for refused in ({"log_file": "/tmp/x"}, {"log_format": "default"}, {"other": 1}, {"log_error": False}):
            with pytest.raises(InferenceServerException, match="settable are"):
                client.update_log_settings(refused)
        assert client.get_trace_settings()["trace_mode"] == "opentelemetry"
        with pytest.raises(InferenceServerException):
            client.update_trace_settings("iris", {"trace_level": ["TIMESTAMPS"]})
    with triton_grpc.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        assert client.get_log_settings(as_json=True)["settings"]["log_info"]["bool_param"] is True
        assert client.update_log_settings({"log_verbose_level": 1}, as_json=True)["settings"]["log_verbose_level"]["uint32_param"] == 1
        client.update_log_settings({"log_verbose_level": 0})
        assert client.get_trace_settings(as_json=True)["settings"]["trace_mode"]["value"] == ["opentelemetry"]
    answer = requests.post(server.url + "/v2/models/iris/generate", json={"text_input": "x"})
    assert answer.status_code == 501 and "generate" in answer.json()["error"]


def test_statistics_have_their_parts(server, input_name):
    requests.post(server.url + "/v1/models/iris:predict", json={"instances": ROWS})
    stats = requests.get(server.url + "/v2/models/iris/stats").json()["model_stats"][0]
    parts = stats["inference_stats"]
    assert parts["success"]["count"] == parts["queue"]["count"] == parts["compute_input"]["count"] == parts["compute_infer"]["count"] > 0


def test_grpc_channels_live_on(server, input_name):
    """Keepalive pings on an idle channel, large metadata, and many calls at once on one connection."""
    options = [("grpc.keepalive_time_ms", 1000), ("grpc.keepalive_permit_without_calls", 1), ("grpc.keepalive_timeout_ms", 500),
               ("grpc.http2.max_pings_without_data", 0)]
    with grpc.insecure_channel(f"127.0.0.1:{server.port}", options=options) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ServerLive(service_pb2.ServerLiveRequest()).live
        states = []
        channel.subscribe(states.append)
        time.sleep(3)
        assert stub.ServerLive(service_pb2.ServerLiveRequest(), metadata=[("x-note", "n" * 4000), ("x-raw-bin", bytes(range(256)))]).live
        request = service_pb2.ModelInferRequest(model_name="iris")
        request.inputs.add(name=input_name, datatype="FP32", shape=[len(ROWS), 4]).contents.fp32_contents.extend(np.ravel(ROWS).tolist())
        calls = [stub.ModelInfer.future(request) for _ in range(200)]
        assert all(call.result(timeout=30).outputs for call in calls)
        assert grpc.ChannelConnectivity.TRANSIENT_FAILURE not in states
