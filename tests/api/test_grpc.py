"""gRPC as its stock clients see it: tritonclient (sync, aio, streams), grpcio with stubs made from our own definition,
reflection, health; and HTTP/2 itself as curl sees it. REST is the same server on the same port."""
import asyncio
import gzip
import json
import pathlib
import queue
import struct
import subprocess
import sys
import threading
import time

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from deploy import deploy, made_models
from people import PASSWORD, add_user, basic, user
from test_inference import ECHO, EXPECTED, IRIS
from test_tls import certificate

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROTO = ROOT / "src" / "api" / "inference" / "proto"
UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


def address(server):
    return f"127.0.0.1:{server.port}"


@pytest.fixture(scope="module")
def server(start_module_server):
    server = start_module_server()
    server.stop()
    models = made_models()
    deploy(server.dir, "iris", models / "iris", default=True)
    deploy(server.dir, "iris_zipmap", models / "iris_zipmap", version=3)
    for word in [w.lower() for w in ECHO] + ["bf16", "bytes"]:
        deploy(server.dir, "echo_" + word, models / ("echo_" + word))
    server.start()
    return server


@pytest.fixture
def client(server):
    with triton.InferenceServerClient(address(server)) as client:
        yield client


@pytest.fixture
def stub(server):
    with grpc.insecure_channel(address(server), options=UNLIMITED) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def iris_input(client, rows=None):
    rows = np.array(IRIS["rows"] if rows is None else rows, dtype=np.float32)
    tensor = triton.InferInput(client.get_model_metadata("iris").inputs[0].name, rows.shape, "FP32")
    tensor.set_data_from_numpy(rows)
    return tensor


def echo_request(word, shape, raw=None, model=None, **contents):
    request = service_pb2.ModelInferRequest(model_name=model or "echo_" + word.lower())
    tensor = request.inputs.add(name="in", datatype=word, shape=shape)
    if raw is not None:
        request.raw_input_contents.append(raw)
    for field, values in contents.items():
        getattr(tensor.contents, field).extend(values)
    return request


def refused(call, *args, **options):
    with pytest.raises(grpc.RpcError) as caught:
        call(*args, **options)
    return caught.value.code(), caught.value.details()


# --- the service ------------------------------------------------------------------------------------------------------

def test_health_metadata_and_config(server, client):
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("iris")
    meta = client.get_server_metadata()
    assert meta.name == "lathe" and "classification" in meta.extensions
    model = client.get_model_metadata("iris")
    assert model.platform == "onnxruntime_onnx" and list(model.versions) == ["1"]
    assert list(model.inputs[0].shape) == [-1, 4] and model.inputs[0].datatype == "FP32"
    assert client.get_model_metadata("iris_zipmap", "3").versions == ["3"]
    config = client.get_model_config("iris").config
    assert config.name == "iris" and config.backend == "onnxruntime" and config.max_batch_size == 0
    assert config.input[0].data_type == model_config_pb2.TYPE_FP32 and list(config.input[0].dims) == [-1, 4]
    index = {m.name: m for m in client.get_model_repository_index().models}
    assert index["iris"].state == "READY" and index["iris_zipmap"].version == "3"
    for act in (client.load_model, client.unload_model):
        with pytest.raises(InferenceServerException) as caught:
            act("iris")
        assert caught.value.status() == "StatusCode.UNAVAILABLE" and "not allowed" in caught.value.message()
    assert not client.get_system_shared_memory_status().regions


def test_infer_as_triton_asks(server, client):
    outputs = [triton.InferRequestedOutput(name) for name in ("probabilities", "label")]
    result = client.infer("iris", [iris_input(client)], outputs=outputs, request_id="my-42", priority=3, timeout=5_000_000)
    assert result.as_numpy("label").tolist() == IRIS["labels"]
    assert np.allclose(result.as_numpy("probabilities"), IRIS["scores"], atol=1e-5)
    response = result.get_response()
    assert response.id == "my-42" and response.model_name == "iris" and response.model_version == "1"
    assert [o.name for o in response.outputs] == ["probabilities", "label"]
    assert client.infer("iris", [iris_input(client)], model_version="1").as_numpy("label").tolist() == IRIS["labels"]


@pytest.mark.parametrize("word", sorted(ECHO))
def test_every_datatype_raw(client, word):
    dtype = ECHO[word]
    if word == "BOOL":
        values = np.array([[True, False, True]])
    elif np.issubdtype(dtype, np.integer):
        values = np.array([[np.iinfo(dtype).min, 0, np.iinfo(dtype).max]], dtype=dtype)
    else:
        values = np.array([[0.1, -2.5, np.finfo(dtype).max]], dtype=dtype)
    tensor = triton.InferInput("in", values.shape, word)
    tensor.set_data_from_numpy(values)
    assert np.array_equal(client.infer("echo_" + word.lower(), [tensor]).as_numpy("out"), values)


@pytest.mark.parametrize("word,field,values", [
    ("BOOL", "bool_contents", [True, False]), ("INT8", "int_contents", [-128, 127]), ("INT16", "int_contents", [-32768, 32767]),
    ("INT32", "int_contents", [-2**31, 2**31 - 1]), ("INT64", "int64_contents", [-2**63, 2**63 - 1]),
    ("UINT8", "uint_contents", [0, 255]), ("UINT16", "uint_contents", [0, 65535]), ("UINT32", "uint_contents", [0, 2**32 - 1]),
    ("UINT64", "uint64_contents", [0, 2**64 - 1]), ("FP32", "fp32_contents", [0.5, -1.5]), ("FP64", "fp64_contents", [0.1, 1e300])])
def test_every_datatype_typed(stub, word, field, values):
    response = stub.ModelInfer(echo_request(word, [1, 2], **{field: values}))
    assert np.frombuffer(response.raw_output_contents[0], dtype=ECHO[word]).tolist() == values


def test_bytes_and_bf16(client, stub):
    texts = np.array([["caf\u00e9", "", "a\"b\\c\n"]], dtype=np.object_)
    tensor = triton.InferInput("in", texts.shape, "BYTES")
    tensor.set_data_from_numpy(texts)
    out = client.infer("echo_bytes", [tensor]).as_numpy("out")
    assert [x.decode() for x in out[0]] == texts[0].tolist()
    response = stub.ModelInfer(echo_request("BYTES", [1, 2], bytes_contents=[b"\xff\x00", b"x"]))
    assert response.raw_output_contents[0] == struct.pack("<I", 2) + b"\xff\x00" + struct.pack("<I", 1) + b"x"
    halves = struct.pack("<HH", 0x3FC0, 0xBE80)  # 1.5, -0.25
    assert stub.ModelInfer(echo_request("BF16", [1, 2], halves)).raw_output_contents[0] == halves


def test_classification(client):
    name = client.get_model_metadata("iris_zipmap").outputs[1].name
    tensor = triton.InferInput(client.get_model_metadata("iris_zipmap").inputs[0].name, [2, 4], "FP32")
    tensor.set_data_from_numpy(np.array(IRIS["rows"][:2], dtype=np.float32))
    top = client.infer("iris_zipmap", [tensor], outputs=[triton.InferRequestedOutput(name, class_count=2)]).as_numpy(name)
    assert top.shape == (2, 2) and top[0][0].decode().endswith(":0:setosa")


def test_what_was_asked_is_captured(server, client, stub, http):
    request = service_pb2.ModelInferRequest(model_name="iris", id="grpc-1")
    request.inputs.add(name=client.get_model_metadata("iris").inputs[0].name, datatype="FP32", shape=[1, 4])
    request.raw_input_contents.append(np.array(IRIS["rows"][0], dtype=np.float32).tobytes())
    response, call = stub.ModelInfer.with_call(request, metadata=[("x-request-id", "mine")])
    head = dict(call.initial_metadata())
    assert head["x-lathe-model-version"] == "1" and head["x-request-id"] == "mine"
    kept = http.get(server.api("/predictions/" + head["x-lathe-prediction-id"])).json()
    assert kept["endpoint"] == "iris" and kept["rows"][0]["client_id"] == "grpc-1"
    assert kept["rows"][0]["prediction"] == str(IRIS["labels"][0])


def test_statistics_count(client, stub):
    before = client.get_inference_statistics("iris").model_stats[0]
    client.infer("iris", [iris_input(client)])
    assert refused(stub.ModelInfer, service_pb2.ModelInferRequest(model_name="iris"))[0] == grpc.StatusCode.INVALID_ARGUMENT
    after = client.get_inference_statistics("iris").model_stats[0]
    assert after.inference_count - before.inference_count == len(IRIS["rows"])
    assert after.inference_stats.success.count - before.inference_stats.success.count == 1
    assert after.inference_stats.success.ns > before.inference_stats.success.ns
    assert after.inference_stats.fail.count - before.inference_stats.fail.count == 1
    assert {"iris", "echo_bool"} <= {m.name for m in client.get_inference_statistics().model_stats}


# --- streams ------------------------------------------------------------------------------------------------------------

class Answers:
    def __init__(self):
        self.queue = queue.Queue()

    def __call__(self, result, error):
        self.queue.put((result, error))

    def next(self):
        return self.queue.get(timeout=30)


def test_a_stream_answers_in_order_and_goes_on_after_errors(client):
    answers = Answers()
    client.start_stream(answers)
    tensor = iris_input(client)
    for i in range(300):
        client.async_stream_infer("nothing" if i % 100 == 50 else "iris", [tensor], request_id=str(i))
    for i in range(300):
        result, error = answers.next()
        if i % 100 == 50:
            assert result is None and "nothing" in error.message()
            continue
        response = result.get_response()
        assert error is None and response.id == str(i) and result.as_numpy("label").tolist() == IRIS["labels"]
        assert response.parameters["lathe_prediction_id"].string_param.startswith("pr_")
        assert response.parameters["triton_final_response"].bool_param
    client.stop_stream()


def test_a_stream_is_cancelled_or_runs_out_of_time(server, client, stub):
    answers = Answers()
    client.start_stream(answers, stream_timeout=1.0)
    client.async_stream_infer("iris", [iris_input(client)])
    assert answers.next()[1] is None
    assert "Deadline" in answers.next()[1].message()
    client.stop_stream(cancel_requests=True)
    feed = queue.Queue()
    call = stub.ModelStreamInfer(iter(feed.get, None))
    feed.put(echo_request("FP32", [1, 1], b"\0" * 4))
    assert next(call).infer_response.outputs[0].name == "out"
    call.cancel()
    with pytest.raises(grpc.RpcError) as caught:
        next(call)
    assert caught.value.code() == grpc.StatusCode.CANCELLED
    feed.put(None)
    until = time.monotonic() + 10
    while "lathe_http_requests_in_flight 0" not in (text := metrics(server)):
        assert time.monotonic() < until, text
        time.sleep(0.05)


def metrics(server):
    import requests
    lines = requests.get(server.url + "/metrics").text.splitlines()
    # This very request is one of those in flight.
    return "\n".join(line.replace(" 1", " 0") for line in lines if line.startswith("lathe_http_requests_in_flight "))


def test_a_stream_of_large_messages_with_a_slow_reader(stub):
    data = np.arange(1 << 20, dtype=np.float32).tobytes()
    requests = (echo_request("FP32", [1, 1 << 20], data) for _ in range(12))
    for answer in stub.ModelStreamInfer(requests):
        assert answer.infer_response.raw_output_contents[0] == data
        time.sleep(0.02)


def test_the_asynchronous_client(server):
    async def main():
        async with triton_aio.InferenceServerClient(address(server)) as client:
            assert await client.is_server_ready()
            name = (await client.get_model_metadata("iris")).inputs[0].name
            tensor = triton_aio.InferInput(name, [len(IRIS["rows"]), 4], "FP32")
            tensor.set_data_from_numpy(np.array(IRIS["rows"], dtype=np.float32))
            results = await asyncio.gather(*(client.infer("iris", [tensor], request_id=str(i)) for i in range(500)))
            assert [r.get_response().id for r in results] == [str(i) for i in range(500)]

            async def requests():
                for i in range(50):
                    yield {"model_name": "iris", "inputs": [tensor], "request_id": str(i)}
            ids = [result.get_response().id async for result, error in client.stream_infer(requests())]
            assert ids == [str(i) for i in range(50)]
    asyncio.run(main())


# --- errors, limits, compression ------------------------------------------------------------------------------------------

def test_codes_of_errors(server, client, stub):
    Code = grpc.StatusCode
    assert refused(stub.ModelInfer, echo_request("FP32", [1, 1], b"\0" * 4, model="nothing")) == (
        Code.NOT_FOUND, "endpoint 'nothing' does not exist or serves nothing yet")
    assert refused(stub.ModelInfer, echo_request("FP32", [1, 1], b"\0" * 4, model="caf\u00e9 100%"))[1].startswith("endpoint 'caf\u00e9 100%'")
    for request in [
            echo_request("FP32", [1, 2], b"\0" * 4), echo_request("FP32", [-1], b""), echo_request("FLOAT", [1], b"", model="echo_fp32"),
            echo_request("FP32", [1, 1], int_contents=[1]), echo_request("FP16", [1, 1], fp32_contents=[1]),
            echo_request("INT8", [1, 1], int_contents=[128]), echo_request("UINT8", [1, 1], uint_contents=[256]),
            echo_request("FP32", [1, 1], b"\0" * 4, fp32_contents=[1]), echo_request("BYTES", [1, 1], b"\xff\xff\xff\xff"),
            echo_request("FP32", [1 << 40, 1 << 40], b""), service_pb2.ModelInferRequest(model_name="echo_fp32")]:
        assert refused(stub.ModelInfer, request)[0] == Code.INVALID_ARGUMENT, request
    twice = echo_request("FP32", [1, 1], b"\0" * 4)
    twice.outputs.add(name="out")
    twice.outputs.add(name="out")
    assert refused(stub.ModelInfer, twice)[0] == Code.INVALID_ARGUMENT
    memory = echo_request("FP32", [1, 1])
    memory.inputs[0].parameters["shared_memory_region"].string_param = "r"
    assert "shared_memory" in refused(stub.ModelInfer, memory)[1]
    trace = service_pb2.TraceSettingRequest()
    trace.settings["trace_level"].value.append("TIMESTAMPS")
    assert refused(stub.TraceSetting, trace)[0] == Code.UNIMPLEMENTED
    assert refused(stub.ModelReady, service_pb2.ModelReadyRequest(name="nothing"))[0] == Code.NOT_FOUND
    with grpc.insecure_channel(address(server)) as channel:
        raw = lambda path: channel.unary_unary(path, request_serializer=bytes, response_deserializer=bytes)
        assert refused(raw("/inference.GRPCInferenceService/Nothing"), b"")[0] == Code.UNIMPLEMENTED
        assert refused(raw("/other.Service/Nothing"), b"")[0] == Code.UNIMPLEMENTED
        assert refused(raw("/inference.GRPCInferenceService/ModelInfer"), b"\xff\xff\xff")[0] == Code.INVALID_ARGUMENT
    assert client.is_server_live()


def test_messages_have_a_limit_and_deadlines_hold(stub):
    Code = grpc.StatusCode
    large = echo_request("FP32", [1, 15 << 20], b"\0" * (60 << 20))
    assert len(stub.ModelInfer(large).raw_output_contents[0]) == 60 << 20
    assert refused(stub.ModelInfer, echo_request("FP32", [1, 17 << 20], b"\0" * (68 << 20)))[0] == Code.RESOURCE_EXHAUSTED
    assert refused(stub.ModelInfer, echo_request("FP32", [1, 1], b"\0" * 4), timeout=1e-9)[0] == Code.DEADLINE_EXCEEDED
    assert refused(stub.ModelStreamInfer(iter([echo_request("FP32", [1, 17 << 20], b"\0" * (68 << 20))])).next)[0] == Code.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("word,how", [("gzip", grpc.Compression.Gzip), ("deflate", grpc.Compression.Deflate)])
def test_compression(server, client, stub, word, how):
    data = np.zeros(100_000, dtype=np.float32).tobytes()
    response, call = stub.ModelInfer.with_call(echo_request("FP32", [1, 100_000], data), compression=how)
    assert response.raw_output_contents[0] == data
    assert [response.infer_response.raw_output_contents[0] == data
            for response in stub.ModelStreamInfer(iter([echo_request("FP32", [1, 100_000], data)] * 3), compression=how)] == [True] * 3
    assert client.infer("iris", [iris_input(client)], compression_algorithm=word).as_numpy("label").tolist() == IRIS["labels"]


def curl(server, path, *args, data=None, http2=True):
    out = subprocess.run(["curl", "-s", *(["--http2-prior-knowledge"] if http2 else []), "-w", "\n%{http_code} %{http_version}", *args, server.url + path],
                         input=data, capture_output=True, check=True, timeout=60)
    body, _, tail = out.stdout.rpartition(b"\n")
    return body, tail.decode()


def grpc_by_hand(server, body, *headers, http2=True, kind="application/grpc", call="ServerLive"):
    out = subprocess.run(["curl", "-s", *(["--http2-prior-knowledge"] if http2 else []), "-H", f"content-type: {kind}", "-H", "te: trailers",
                          "--data-binary", "@-", "-D", "/dev/stderr", *headers, "-o", "/dev/null",
                          server.url + "/inference.GRPCInferenceService/" + call], input=body, capture_output=True, check=True, timeout=60)
    return dict(line.split(": ", 1) for line in out.stderr.decode().splitlines() if ": " in line), out.stderr.decode()


def test_broken_messages(server):
    status = lambda body, *headers, **more: grpc_by_hand(server, body, *headers, **more)[0].get("grpc-status")
    assert status(b"\0\0\0\0\0") == "0"
    assert status(b"") == "13" and status(b"\0\0\0\0\5abc") == "13" and status(b"\2\0\0\0\0") == "13"
    assert status(b"\0\0\0\0\0\0\0\0\0\0") == "12"
    assert status(b"\1\0\0\0\0") == "13"
    assert status(b"\0\0\0\0\0", "-H", "grpc-encoding: zstd") == "12"
    assert status(b"\0\0\0\0\0", "-H", "grpc-timeout: 1x") == "3"
    assert status(b"\0\0\0\0\0", kind="text/plain") == "3" and status(b"\0\0\0\0\0", kind="application/grpc+proto") == "0"
    bomb = gzip.compress(b"\0" * (200 << 20), 9)
    assert status(b"\1" + struct.pack(">I", len(bomb)) + bomb, "-H", "grpc-encoding: gzip") == "8"
    assert "501" in grpc_by_hand(server, b"\0\0\0\0\0", http2=False)[1].splitlines()[0]
    assert status(b"\0\0\0\0\0", "-H", "grpc-timeout: 99999999H") == "0"


def test_an_answer_before_the_body_reaches_curl(server):
    """What is wrong with a head is known before the body comes; the answer waits for it, and is not lost over a reset."""
    for size in (5, 100_000):  # within what a client may send at once, and beyond
        for _ in range(10):
            assert grpc_by_hand(server, b"\0" * size, call="Nothing")[0]["grpc-status"] == "12"
            assert curl(server, "/nothing", "--data-binary", "@-", data=b"\0" * size)[1] == "404 2"


# --- who may ask -----------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def house(start_module_server, tmp_path_factory):
    """A server with users: ann administers, vera may look, ingo may ask models."""
    home = tmp_path_factory.mktemp("house")
    add_user(home, "ann")
    server = start_module_server("--require-login", "1", home=home)
    ann = user(server, "ann")
    for name, role in (("vera", "viewer"), ("ingo", "infer")):
        assert ann.api("POST", "/users", json={"name": name, "password": PASSWORD, "roles": {"default": role}}).status_code == 201
    assert ann.api("POST", "/projects", json={"name": "vision"}).status_code == 201
    server.stop()
    deploy(server.dir, "echo_fp32", made_models() / "echo_fp32", default=True)
    server.start()
    return server


def test_access_is_by_authorization(house):
    Code = grpc.StatusCode
    token = user(house, "ingo").api("POST", "/tokens", json={}).json()["token"]
    with grpc.insecure_channel(address(house)) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        ask = service_pb2.ModelMetadataRequest(name="echo_fp32")
        by = lambda credential, **more: [("authorization", credential), *more.items()]
        assert stub.ModelMetadata(ask, metadata=by("Bearer " + token)).name == "echo_fp32"
        assert stub.ModelMetadata(ask, metadata=by(basic("ingo"))).name == "echo_fp32"
        code, details = refused(stub.ModelMetadata, ask)
        assert code == Code.UNAUTHENTICATED and details
        assert refused(stub.ModelMetadata, ask, metadata=by("Bearer wrong"))[0] == Code.UNAUTHENTICATED
        code, details = refused(stub.ModelMetadata, ask, metadata=by(basic("vera")))
        assert code == Code.PERMISSION_DENIED and "vera" in details
        code, details = refused(stub.ModelMetadata, ask, metadata=by("Bearer " + token, **{"x-lathe-project": "vision"}))
        assert code == Code.NOT_FOUND and "vision" in details, "what is nobody's business does not exist"
        assert refused(stub.ModelMetadata, ask, metadata=by("Bearer " + token, origin="http://evil.example"))[0] == Code.PERMISSION_DENIED
        assert stub.ServerLive(service_pb2.ServerLiveRequest()).live
        assert health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest()).status == 1


def test_a_revoked_token_ends_its_streams(house):
    made = user(house, "ingo").api("POST", "/tokens", json={}).json()
    with grpc.insecure_channel(address(house)) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        feed = queue.Queue()
        by = [("authorization", "Bearer " + made["token"])]
        call = stub.ModelStreamInfer(iter(feed.get, None), metadata=by)
        feed.put(echo_request("FP32", [1, 1], b"\0" * 4))
        assert next(call).infer_response.outputs[0].name == "out"
        assert user(house, "ingo").api("DELETE", "/tokens/" + made["id"]).status_code == 204
        begin = time.monotonic()
        with pytest.raises(grpc.RpcError) as caught:
            next(call)
        feed.put(None)
        assert caught.value.code() == grpc.StatusCode.CANCELLED and time.monotonic() - begin < 5
        assert refused(stub.ModelInfer, echo_request("FP32", [1, 1], b"\0" * 4), metadata=by)[0] == grpc.StatusCode.UNAUTHENTICATED


# --- what others offer ------------------------------------------------------------------------------------------------------

def test_health_service(server):
    with grpc.insecure_channel(address(server)) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        Status = health_pb2.HealthCheckResponse
        for service in ("", "inference.GRPCInferenceService"):
            assert stub.Check(health_pb2.HealthCheckRequest(service=service)).status == Status.SERVING
        assert refused(stub.Check, health_pb2.HealthCheckRequest(service="nothing"))[0] == grpc.StatusCode.NOT_FOUND
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == Status.SERVING
        watch.cancel()
        assert next(stub.Watch(health_pb2.HealthCheckRequest(service="nothing"))).status == Status.SERVICE_UNKNOWN


def test_reflection_is_enough_to_ask(server):
    """As grpcurl does: list, describe, call, with no definition at hand."""
    with grpc.insecure_channel(address(server)) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert set(database.get_services()) == {"inference.GRPCInferenceService", "grpc.health.v1.Health",
                                                "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService",
                                                "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"}
        pool = DescriptorPool(database)
        method = pool.FindServiceByName("inference.GRPCInferenceService").FindMethodByName("ModelMetadata")
        In, Out = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelMetadata", request_serializer=In.SerializeToString,
                                   response_deserializer=Out.FromString)
        assert call(In(name="iris")).platform == "onnxruntime_onnx"
        v1 = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                                   request_serializer=bytes, response_deserializer=bytes)
        assert b"inference.GRPCInferenceService" in next(v1(iter([b"\x3a\x00"])))  # list_services


STUBS = """
import sys
sys.path.insert(0, sys.argv[1])
import grpc, grpc_service_pb2 as pb, grpc_service_pb2_grpc as service
with grpc.insecure_channel(sys.argv[2]) as channel:
    stub = service.GRPCInferenceServiceStub(channel)
    request = pb.ModelInferRequest(model_name="echo_int64", id="7")
    request.inputs.add(name="in", datatype="INT64", shape=[1, 2]).contents.int64_contents.extend([5, -6])
    response = stub.ModelInfer(request)
    print(response.id, int.from_bytes(response.raw_output_contents[0][8:], "little", signed=True), stub.ModelConfig(pb.ModelConfigRequest(name="iris")).config.name)
"""


def test_stubs_made_from_our_definition(server, tmp_path):
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}", f"-I{ROOT}/src/repository/proto", f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}",
                    "grpc_service.proto", "model_config.proto"], check=True, capture_output=True)
    out = subprocess.run([sys.executable, "-c", STUBS, str(tmp_path), address(server)], text=True, capture_output=True, timeout=60)
    assert out.stdout.split() == ["7", "-6", "iris"], out.stderr


def fields(message, found=None):
    found = {} if found is None else found
    for field in message.fields:
        kind = field.message_type or field.enum_type
        found[f"{message.full_name}.{field.name}"] = (field.number, field.type, kind and kind.full_name)
        if field.message_type and f"{field.message_type.full_name}." not in "".join(k + "." for k in found):
            fields(field.message_type, found)
    return found


def test_our_definition_is_the_published_one(server):
    """Every field we have is in Triton's own definition, under the same number and type."""
    with grpc.insecure_channel(address(server)) as channel:
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        ours = pool.FindServiceByName("inference.GRPCInferenceService")
        theirs = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
        assert {m.name for m in ours.methods} == {m.name for m in theirs.methods}
        for method in ours.methods:
            other = theirs.methods_by_name[method.name]
            for mine, published in ((method.input_type, other.input_type), (method.output_type, other.output_type)):
                known = fields(published)
                for name, what in fields(mine).items():
                    assert known[name] == what


# --- HTTP/2 itself ------------------------------------------------------------------------------------------------------------

def test_curl_speaks_http2_to_every_door(server):
    assert curl(server, "/health") == (b"OK", "200 2")
    assert curl(server, "/health", http2=False) == (b"OK", "200 1.1")
    assert curl(server, "/v2/health/ready") == (b'{"ready":true}', "200 2")
    page, tail = curl(server, "/")
    assert tail == "200 2" and b"<html" in page.lower()
    body = json.dumps({"instances": IRIS["rows"]}).encode()
    answer, tail = curl(server, "/v1/models/iris:predict", "--data-binary", "@-", "-H", "content-type: application/json", data=body)
    assert tail == "200 2" and json.loads(answer) == {"predictions": IRIS["labels"]}
    made, tail = curl(server, "/api/2.0/mlflow/experiments/create", "--json", "@-", data=b'{"name": "over http/2"}')
    assert tail == "200 2" and json.loads(made)["experiment_id"]
    assert curl(server, "/nothing/here", "-X", "POST")[1] == "404 2"
    large = b" " * (65 << 20)
    assert curl(server, "/v2/models/iris/infer", "--data-binary", "@-", data=large)[1] == "413 2"


def test_over_tls_by_alpn(start_server, tmp_path):
    certificate(tmp_path)
    server = start_server("--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"))
    server.stop()
    deploy(server.dir, "iris", made_models() / "iris", default=True)
    server.start()
    for flag, version in (("--http2", "2"), ("--http1.1", "1.1")):
        out = subprocess.run(["curl", "-s", flag, "--cacert", tmp_path / "cert.pem", "-w", " %{http_version}", server.url + "/health"],
                             text=True, capture_output=True, check=True)
        assert out.stdout == "OK " + version
    # Parallel transfers share the connection: a hundred streams at once.
    urls = [word for i in range(200) for word in ("-o", "/dev/null", f"{server.url}/v2/models/iris?n={i}")]
    out = subprocess.run(["curl", "-s", "--http2", "--cacert", tmp_path / "cert.pem", "--parallel", "--parallel-max", "100", "-w", "%{http_code}\n", *urls],
                         text=True, capture_output=True, timeout=60)
    assert out.stdout.split() == ["200"] * 200, out.stderr
    credentials = grpc.ssl_channel_credentials((tmp_path / "cert.pem").read_bytes())
    with grpc.secure_channel(f"localhost:{server.port}", credentials) as channel:
        assert service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelReady(service_pb2.ModelReadyRequest(name="iris")).ready


def test_a_restart_ends_streams_with_a_word(start_server):
    server = start_server()
    with grpc.insecure_channel(address(server)) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        begin = time.monotonic()
        stopper = threading.Thread(target=server.stop)
        stopper.start()
        with pytest.raises(grpc.RpcError) as caught:
            next(watch)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        stopper.join()
        assert time.monotonic() - begin < 8
