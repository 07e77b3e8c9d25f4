"""Our own requests as OpenTelemetry traces: what a collector gets, decoded by OpenTelemetry's own message types; and that
a collector that is slow, gone or refusing costs a request nothing."""

import http.server
import json
import threading
import time

import pytest
import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector:
    """Receives OTLP over HTTP as a collector does; `status` is what it answers."""

    def __init__(self, status=200, delay=0):
        self.requests, self.headers = [], []
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.headers.append((self.path, dict(self.headers)))
                time.sleep(delay)
                if status == 200:
                    collector.requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def spans(self):
        return [s for r in list(self.requests) for rs in r.resource_spans for ss in rs.scope_spans for s in ss.spans]

    def wait(self, wanted, seconds=20):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found = [s for s in self.spans() if wanted(s)]
            if found:
                return found
            time.sleep(0.05)
        raise AssertionError(f"no such span among {[s.name for s in self.spans()]}")

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def collector():
    made = Collector()
    yield made
    made.close()


def attributes(span):
    return {a.key: a.value.string_value or a.value.int_value for a in span.attributes}


def spans_total(server):
    text = requests.get(server.url + "/metrics", timeout=10).text
    return {line.split('outcome="')[1].split('"')[0]: float(line.split()[-1]) for line in text.splitlines() if line.startswith("lathe_trace_spans_total")}


def test_a_request_goes_on_with_its_callers_trace(collector, start_server):
    server = start_server(env={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_SERVICE_NAME": "mine", "OTEL_EXPORTER_OTLP_HEADERS": "x-key=a%20b"})
    answer = requests.post(server.url + "/api/2.0/mlflow/runs/create", json={"experiment_id": "0", "start_time": 1}, timeout=10,
                           headers={"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-Id": "mine-7"})
    assert answer.ok
    version, trace, span_id, flags = answer.headers["traceresponse"].split("-")
    assert (version, trace, flags) == ("00", TRACE, "01") and span_id != PARENT
    span = collector.wait(lambda s: s.name.startswith("POST") and s.trace_id.hex() == TRACE)[0]
    assert span.name == "POST /api/2.0/mlflow/runs/create"
    assert span.span_id.hex() == span_id and span.parent_span_id.hex() == PARENT and span.kind == span.SPAN_KIND_SERVER
    assert abs(span.start_time_unix_nano / 1e9 - time.time()) < 60 and span.end_time_unix_nano >= span.start_time_unix_nano
    told = attributes(span)
    assert told["http.request.method"] == "POST" and told["http.response.status_code"] == 200
    assert told["http.route"] == "/api/2.0/mlflow/runs/create" and told["lathe.request_id"] == "mine-7"
    write = collector.wait(lambda s: s.name == "store write" and s.trace_id.hex() == TRACE)[0]
    assert write.parent_span_id == span.span_id and span.start_time_unix_nano <= write.start_time_unix_nano
    resource = {a.key: a.value.string_value for a in collector.requests[0].resource_spans[0].resource.attributes}
    assert resource["service.name"] == "mine" and resource["service.version"]
    path, headers = collector.headers[0]
    assert path == "/v1/traces" and headers["Content-Type"] == "application/x-protobuf" and headers["x-key"] == "a b"


def test_what_a_client_makes_up_is_told_as_text(collector, start_server):
    server = start_server("--otlp-endpoint", collector.url)
    requests.get(server.url + "/%ff%fe/nothing", timeout=10)
    span = collector.wait(lambda s: s.name == "GET" and attributes(s)["http.response.status_code"] == 400)[0]
    assert attributes(span)["url.path"] == "/" and not span.status.code


@pytest.mark.parametrize("sampler, argument, header, kept", [
    ("parentbased_always_on", "1", f"00-{TRACE}-{PARENT}-00", False),
    ("parentbased_always_off", "1", f"00-{TRACE}-{PARENT}-01", True),
    ("parentbased_always_off", "1", None, False),
    ("always_on", "1", f"00-{TRACE}-{PARENT}-00", True),
    ("always_off", "1", f"00-{TRACE}-{PARENT}-01", False),
    ("traceidratio", "0", None, False),
    ("traceidratio", "1", None, True),
    ("parentbased_always_on", "1", "00-nonsense", True),  # a new trace begins
])
def test_samplers(collector, start_server, sampler, argument, header, kept):
    server = start_server("--otlp-endpoint", collector.url, "--otlp-sampler", sampler, "--otlp-sampler-arg", argument)
    answer = requests.get(server.url + "/health", headers={"traceparent": header} if header else {}, timeout=10)
    assert ("traceresponse" in answer.headers) == kept


def test_off_by_default(start_server):
    server = start_server()
    answer = requests.get(server.url + "/health", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"}, timeout=10)
    assert "traceresponse" not in answer.headers and spans_total(server) == {}


def test_a_stage_is_a_span_and_its_requests_hang_under_it(collector, start_server, tmp_path):
    server = start_server("--otlp-endpoint", collector.url)
    (tmp_path / "lathe.yaml").write_text("project: traced\nstages: {say: {cmd: 'echo parent=$TRACEPARENT; lathe status'}}\n")
    done = server.cli("apply", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    stage = collector.wait(lambda s: s.name == "stage say", 60)[0]
    told = attributes(stage)
    assert told["lathe.pipeline"] == "traced" and told["lathe.stage.state"] == "succeeded" and told["lathe.attempt"].startswith("at_")
    inside = collector.wait(lambda s: s.name == "GET /api/lathe/v1/status" and s.trace_id == stage.trace_id)[0]
    assert inside.parent_span_id == stage.span_id
    log = server.cli("logs", told["lathe.pipeline_run"]).stdout
    assert f"parent=00-{stage.trace_id.hex()}-{stage.span_id.hex()}-01" in log


@pytest.mark.parametrize("trouble", ["gone", "slow", "refusing"])
def test_no_request_waits_for_the_collector(start_server, trouble):
    collector = Collector(status=503 if trouble == "refusing" else 200, delay=30 if trouble == "slow" else 0)
    if trouble == "gone":
        collector.close()
    server = start_server("--otlp-endpoint", collector.url)
    with requests.Session() as session:
        began = time.monotonic()
        for _ in range(200):
            assert session.get(server.url + "/health", timeout=5).ok
        assert time.monotonic() - began < 10
    until = time.monotonic() + 20
    while spans_total(server).get("failed", 0) == 0 and time.monotonic() < until:
        time.sleep(0.1)
    assert spans_total(server)["failed"] > 0
    assert "trace collector does not take spans" in server.log()
    assert server.stop() == 0, "going down does not wait for it either"


def test_a_full_queue_drops_and_counts(start_server):
    collector = Collector(delay=30)
    server = start_server("--otlp-endpoint", collector.url)
    with requests.Session() as session:
        for _ in range(14_000):
            session.get(server.url + "/health", timeout=5)
    assert spans_total(server)["dropped"] > 0
    assert server.stop() == 0


@pytest.mark.parametrize("args, message", [
    (["--otlp-endpoint", "collector:4318"], "otlp_endpoint"),
    (["--otlp-endpoint", "http://x", "--otlp-sampler", "sometimes"], "parentbased_traceidratio"),
    (["--otlp-endpoint", "http://x", "--otlp-sampler", "traceidratio", "--otlp-sampler-arg", "2"], "0 to 1"),
    (["--otlp-endpoint", "http://x", "--otlp-headers", "secret"], "key=value"),
])
def test_wrong_settings_are_told(start_server, args, message):
    server = start_server(*args, wait=False)
    assert server.process.wait(20) == 2 and message in server.log()


def test_the_collectors_key_is_not_shown(start_server):
    server = start_server()
    shown = server.cli("config", "--otlp-endpoint", "http://x", "--otlp-headers", "key=hidden").stdout
    assert "hidden" not in shown and "***" in shown
    assert json.loads(server.cli("status", "--json").stdout)["version"]


def test_an_inference_is_a_span_of_its_callers_trace(collector, start_server):
    from deploy import deploy, made_models
    server = start_server(env={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url})
    server.stop()
    deploy(server.dir, "iris", made_models() / "iris")
    server.start()
    sent = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    assert requests.post(server.url + "/v1/models/iris:predict", json={"instances": [[5.1, 3.5, 1.4, 0.2]]}, headers=sent, timeout=10).ok
    span = collector.wait(lambda s: s.name == "infer iris")[0]
    request = collector.wait(lambda s: s.name == "POST /v1/models/{model}:predict")[0]
    assert span.trace_id.hex() == TRACE and span.parent_span_id == request.span_id
    assert attributes(span) == {"lathe.endpoint": "iris", "lathe.model.version": "1"}
