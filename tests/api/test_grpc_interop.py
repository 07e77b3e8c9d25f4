"""Corner cases of gRPC as grpcio sees them: metadata, empty messages and streams, half closes, cancels, per-message
compression, many streams, keepalive, and a server that goes away and comes back."""
import gzip
import struct
import subprocess
import threading
import time

import grpc
import pytest
import requests
from tritonclient.grpc import service_pb2, service_pb2_grpc

from deploy import deploy, made_models
from test_grpc import UNLIMITED, address, echo_request, refused

SERVICE = "/inference.GRPCInferenceService/"
ONE = [1, 1], b"\0\0\x80\x3f"


def make(server):
    server.stop()
    deploy(server.dir, "echo_fp32", made_models() / "echo_fp32", default=True)
    server.start()
    return server


@pytest.fixture(scope="module")
def server(start_module_server):
    return make(start_module_server())


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(address(server), options=UNLIMITED) as channel:
        yield channel


@pytest.fixture
def stub(channel):
    return service_pb2_grpc.GRPCInferenceServiceStub(channel)


def in_flight(server):
    text = requests.get(server.url + "/metrics").text
    return int(float(next(line.split()[1] for line in text.splitlines() if line.startswith("lathe_http_requests_in_flight "))))


def wait_for(what):
    until = time.monotonic() + 10
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


# --- metadata -------------------------------------------------------------------------------------------------------------

def test_large_and_binary_metadata(stub):
    more = [("x-large", "m" * 12_000), ("x-bytes-bin", bytes(range(256))), ("x-request-id", "mine")]
    _, call = stub.ServerLive.with_call(service_pb2.ServerLiveRequest(), metadata=more)
    assert dict(call.initial_metadata())["x-request-id"] == "mine"


def test_metadata_beyond_the_limit(stub):
    """Past the limit the call is refused; out of all proportion the connection ends, and the channel makes a new one."""
    for size, code in ((40_000, grpc.StatusCode.INVALID_ARGUMENT), (200_000, grpc.StatusCode.UNAVAILABLE)):
        got, details = refused(stub.ServerLive, service_pb2.ServerLiveRequest(), metadata=[("x-large", "m" * size)])
        assert got == code, details
        assert stub.ServerLive(service_pb2.ServerLiveRequest(), wait_for_ready=True).live


# --- messages and half closes ------------------------------------------------------------------------------------------------

def test_empty_messages_and_streams(channel, stub):
    raw = channel.unary_unary(SERVICE + "ServerLive", request_serializer=bytes, response_deserializer=bytes)
    assert raw(b"") == b"\x08\x01"
    assert list(stub.ModelStreamInfer(iter([]))) == []
    answer = next(stub.ModelStreamInfer(iter([service_pb2.ModelInferRequest()])))
    assert answer.error_message and not answer.infer_response.model_name, "an error of one message ends no stream"


@pytest.mark.parametrize("messages,code", [([], grpc.StatusCode.INTERNAL), ([b"", b""], grpc.StatusCode.UNIMPLEMENTED)])
def test_a_unary_call_has_one_message(channel, messages, code):
    call = channel.stream_unary(SERVICE + "ServerLive", request_serializer=bytes, response_deserializer=bytes)
    assert refused(call, iter(messages))[0] == code


def test_a_half_close_may_come_late(channel):
    def slowly():
        yield b""
        time.sleep(0.3)
    call = channel.stream_unary(SERVICE + "ServerLive", request_serializer=bytes, response_deserializer=bytes)
    assert call(slowly()) == b"\x08\x01"


def test_a_refusal_does_not_wait_for_ever(channel):
    """Its answer comes although the client has not ended its own side."""
    release = threading.Event()

    def never():
        yield b""
        release.wait(30)
    call = channel.stream_unary(SERVICE + "Nothing", request_serializer=bytes, response_deserializer=bytes)
    assert refused(call, never(), timeout=20)[0] == grpc.StatusCode.UNIMPLEMENTED
    release.set()


def test_answers_come_after_the_half_close(stub):
    answers = list(stub.ModelStreamInfer(iter([echo_request("FP32", *ONE)] * 5)))
    assert [a.infer_response.raw_output_contents[0] for a in answers] == [ONE[1]] * 5


def test_compression_is_of_each_message(server, tmp_path):
    """Two messages of one stream, the first compressed, the second not."""
    first, second = (echo_request("FP32", [1, n], b"\0\0\x80\x3f" * n).SerializeToString() for n in (2, 3))
    packed = gzip.compress(first)
    body = b"\1" + struct.pack(">I", len(packed)) + packed + b"\0" + struct.pack(">I", len(second)) + second
    out = subprocess.run(["curl", "-s", "--http2-prior-knowledge", "-H", "content-type: application/grpc", "-H", "te: trailers", "-H",
                          "grpc-encoding: gzip", "--data-binary", "@-", server.url + SERVICE + "ModelStreamInfer"],
                         input=body, capture_output=True, check=True, timeout=60).stdout
    shapes = []
    while out:
        assert out[0] == 0, "this client accepts no compressed answers"
        size = struct.unpack(">I", out[1:5])[0]
        answer = service_pb2.ModelStreamInferResponse.FromString(out[5:5 + size])
        shapes.append(list(answer.infer_response.outputs[0].shape))
        out = out[5 + size:]
    assert shapes == [[1, 2], [1, 3]]


def test_only_some_calls_of_a_channel_are_compressed(server):
    data = b"\0" * 400_000
    with grpc.insecure_channel(address(server), options=UNLIMITED, compression=grpc.Compression.Gzip) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for how in (None, grpc.Compression.NoCompression, grpc.Compression.Deflate):
            assert stub.ModelInfer(echo_request("FP32", [1, 100_000], data), compression=how).raw_output_contents[0] == data


# --- ends ----------------------------------------------------------------------------------------------------------------------

def test_cancelled_calls_leave_nothing_behind(server, stub):
    def never():
        yield echo_request("FP32", *ONE)
        time.sleep(5)
    calls = [stub.ModelStreamInfer(never()) for _ in range(20)]
    for call in calls:
        next(call)
        call.cancel()
    wait_for(lambda: in_flight(server) <= 1)  # the metrics' own request
    assert stub.ServerLive(service_pb2.ServerLiveRequest()).live


def test_a_client_that_goes_in_the_middle(server):
    with grpc.insecure_channel(address(server)) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        call = stub.ModelStreamInfer(iter(lambda: (time.sleep(0.01), echo_request("FP32", *ONE))[1], None))
        next(call)
    wait_for(lambda: in_flight(server) <= 1)


def test_deadlines_of_unary_calls_and_streams(stub):
    Code = grpc.StatusCode
    assert refused(stub.ServerLive, service_pb2.ServerLiveRequest(), timeout=0)[0] == Code.DEADLINE_EXCEEDED
    call = stub.ModelStreamInfer(iter(lambda: time.sleep(5), 0), timeout=0.3)
    assert refused(lambda: next(call))[0] == Code.DEADLINE_EXCEEDED
    assert stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=10_000_000).live


# --- many ------------------------------------------------------------------------------------------------------------------------

def test_more_calls_than_streams_of_one_connection(stub):
    calls = [stub.ModelInfer.future(echo_request("FP32", [1, 1], struct.pack("<f", i))) for i in range(2000)]
    assert [struct.unpack("<f", c.result().raw_output_contents[0])[0] for c in calls] == list(range(2000))


def test_many_streams_at_once(stub):
    go = threading.Event()

    def asks(i):
        yield echo_request("FP32", [1, 1], struct.pack("<f", i))
        go.wait(30)
        yield echo_request("FP32", [1, 1], struct.pack("<f", -i))
    calls = [stub.ModelStreamInfer(asks(i)) for i in range(100)]
    value = lambda answer: struct.unpack("<f", answer.infer_response.raw_output_contents[0])[0]
    assert [value(next(c)) for c in calls] == list(range(100)), "all are open"
    go.set()
    assert [[value(a) for a in c] for c in calls] == [[-i] for i in range(100)]


def test_keepalive_of_an_eager_client(server):
    options = [("grpc.keepalive_time_ms", 100), ("grpc.keepalive_timeout_ms", 5000), ("grpc.keepalive_permit_without_calls", 1),
               ("grpc.http2.max_pings_without_data", 0), ("grpc.http2.min_time_between_pings_ms", 100)]
    with grpc.insecure_channel(address(server), options=options) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for _ in range(3):
            assert stub.ServerLive(service_pb2.ServerLiveRequest()).live
            time.sleep(0.5)


def test_a_restart_loses_no_call(start_server):
    """GOAWAY names the last stream that was begun: what was begun is answered, the rest the client asks again elsewhere."""
    server = make(start_server("--listen", "127.0.0.1:0"))
    server.args[server.args.index("--listen") + 1] = address(server)  # it comes back where it was
    stop, outcomes = threading.Event(), []

    def call():
        with grpc.insecure_channel(address(server), options=[("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200)]) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            while not stop.is_set():
                try:
                    stub.ModelInfer(echo_request("FP32", *ONE), wait_for_ready=True, timeout=60)
                    outcomes.append(None)
                except grpc.RpcError as error:
                    outcomes.append((error.code(), error.details()))
    callers = [threading.Thread(target=call) for _ in range(8)]
    for caller in callers:
        caller.start()
    wait_for(lambda: len(outcomes) > 50)
    assert server.stop() == 0
    server.start()
    after = len(outcomes)
    wait_for(lambda: len(outcomes) > after + 50)
    stop.set()
    for caller in callers:
        caller.join()
    assert [o for o in outcomes if o is not None] == []
