"""Traces, assessments, evaluation data sets, scorers, issues and reviews: the stock client of two versions, OTLP as any
exporter sends it, and who may do what."""
import gzip
import json
import os
import pathlib
import subprocess
import zlib

import pytest
import requests

from lathe_server import ROOT, clean_environment
from people import PASSWORD, add_user, user

SCENARIO = pathlib.Path(__file__).with_name("mlflow_traces_scenario.py")
LOCATION = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}


def play(server, venv, *parts):
    python = ROOT / venv / "bin" / "python"
    assert python.exists(), f"{python} is missing; ./dev setup"
    env = clean_environment(MLFLOW_TRACKING_URI=server.url, GIT_PYTHON_REFRESH="quiet", MLFLOW_DISABLE_TELEMETRY="true",
                            MLFLOW_HTTP_REQUEST_MAX_RETRIES="1")
    done = subprocess.run([python, SCENARIO, *parts], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "OK" in done.stdout, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.parametrize("venv", [".venv", ".venv-mlflow312"])
@pytest.mark.parametrize("part", ["tracing", "assessments", "prompts", "scorers"])
def test_the_stock_client(server, venv, part):
    play(server, venv, part)


def test_evaluation_datasets(server):  # the client needs pandas for them, which the older environment has not
    play(server, ".venv", "datasets")


def test_reviews_and_issues(server):
    play(server, ".venv", "reviews")


# --- OTLP -------------------------------------------------------------------------------------------------------------


def otlp_json(trace, span, name="n", **more):
    spans = [{"traceId": trace, "spanId": span, "name": name, "startTimeUnixNano": "1700000000000000000",
              "endTimeUnixNano": "1700000001500000000", "status": {"code": 1}, **more}]
    return {"resourceSpans": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
                               "scopeSpans": [{"scope": {"name": "t"}, "spans": spans}]}]}


def protobuf(body):
    """The same message in protobuf, by the stock library: its JSON wants ids in base64."""
    import base64

    from google.protobuf.json_format import ParseDict
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    body = json.loads(json.dumps(body))
    for resource in body["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for key in ("traceId", "spanId", "parentSpanId"):
                    if key in span:
                        span[key] = base64.b64encode(bytes.fromhex(span[key])).decode()
    return ParseDict(body, ExportTraceServiceRequest()).SerializeToString()


def send(server, data, kind="application/x-protobuf", encoding=None, experiment="0", **headers):
    headers = {"Content-Type": kind, **headers}
    if experiment is not None:
        headers["x-mlflow-experiment-id"] = experiment
    if encoding:
        headers["Content-Encoding"] = encoding
    return requests.post(server.url + "/v1/traces", data=data, headers=headers, timeout=10)


def get(server, trace):
    found = requests.get(server.url + "/api/3.0/mlflow/traces/get", params={"trace_id": "tr-" + trace}, timeout=10)
    assert found.status_code == 200, found.text
    return found.json()["trace"]


@pytest.mark.parametrize("encoding, pack", [(None, lambda b: b), ("identity", lambda b: b), ("gzip", gzip.compress), ("deflate", zlib.compress)])
@pytest.mark.parametrize("kind", ["application/x-protobuf", "application/json"])
def test_otlp_in_every_form(server, kind, encoding, pack):
    trace, span = os.urandom(16).hex(), os.urandom(8).hex()
    body = otlp_json(trace, span, attributes=[{"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
                                              {"key": "n", "value": {"intValue": "7"}}])
    data = protobuf(body) if kind.endswith("protobuf") else json.dumps(body).encode()
    answer = send(server, pack(data), kind, encoding)
    assert answer.status_code == 200, answer.text
    found = get(server, trace)
    info, [read] = found["trace_info"], found["spans"]
    assert (info["state"], info["execution_duration"], info["tags"]["service.name"]) == ("OK", "1.500s", "shop")
    attributes = {a["key"]: a["value"] for a in read["attributes"]}
    assert attributes["n"] == {"int_value": 7} and attributes["mlflow.spanType"] == {"string_value": "CHAT_MODEL"}
    assert attributes["mlflow.traceRequestId"] == {"string_value": "tr-" + trace}


def test_otlp_mistakes(server):
    good = protobuf(otlp_json("0a" * 16, "0b" * 8))
    assert send(server, good, experiment=None).status_code == 400
    assert send(server, good, experiment="999").status_code == 404
    assert send(server, good, experiment="x").status_code == 400
    assert send(server, good, kind="text/plain").status_code == 400
    assert send(server, good, encoding="br").status_code == 400
    assert send(server, good, encoding="gzip").status_code == 400
    assert send(server, good[:-3]).status_code == 400
    assert send(server, b"").status_code == 400
    bomb = gzip.compress(b"\0" * (65 << 20))
    assert send(server, bomb, encoding="gzip").status_code == 413
    wrong = send(server, b"{", kind="application/json")
    assert wrong.status_code == 400 and wrong.json()["error_code"] == "INVALID_PARAMETER_VALUE"


def test_the_stock_exporter(server):
    exporter = pytest.importorskip("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    for compression in exporter.Compression:
        provider = TracerProvider(resource=Resource({"service.name": "shop"}))
        provider.add_span_processor(SimpleSpanProcessor(exporter.OTLPSpanExporter(
            server.url + "/v1/traces", headers={"x-mlflow-experiment-id": "0"}, compression=compression)))
        with provider.get_tracer("t").start_as_current_span("root") as span:
            span.set_attribute("list", [1, 2])
        assert len(get(server, f"{span.get_span_context().trace_id:032x}")["spans"]) == 1


def test_a_run_is_linked_by_header(server):
    run = requests.post(server.url + "/api/2.0/mlflow/runs/create", json={"experiment_id": "0"}, timeout=10).json()["run"]["info"]["run_id"]
    trace = os.urandom(16).hex()
    assert send(server, protobuf(otlp_json(trace, "0b" * 8)), **{"x-mlflow-run-id": run}).status_code == 200
    found = requests.post(server.url + "/api/3.0/mlflow/traces/search", json={"locations": [LOCATION], "filter": f"run_id = '{run}'"}, timeout=10).json()
    assert [t["trace_id"] for t in found["traces"]] == ["tr-" + trace]


def test_spans_as_a_file(server):
    trace = os.urandom(16).hex()
    assert send(server, protobuf(otlp_json(trace, "0b" * 8))).status_code == 200
    url = server.url + "/ajax-api/2.0/mlflow/get-trace-artifact"
    answer = requests.get(url, params={"request_id": "tr-" + trace}, timeout=10)
    assert answer.status_code == 200 and answer.json()["spans"][0]["name"] == "n" and "traces.json" in answer.headers["Content-Disposition"]
    # A client that does not speak OTLP uploads them.
    info = {"trace_id": "tr-upload", "trace_location": LOCATION, "request_time": "2026-01-01T00:00:00Z", "state": "OK"}
    started = requests.post(server.url + "/api/3.0/mlflow/traces", json={"trace": {"trace_info": info}}, timeout=10).json()["trace"]["trace_info"]
    assert "mlflow.trace.spansLocation" not in started["tags"]
    path = started["tags"]["mlflow.artifactLocation"].removeprefix("mlflow-artifacts:/")
    requests.put(f"{server.url}/api/2.0/mlflow-artifacts/artifacts/{path}/traces.json", data=b'{"spans": [1]}', timeout=10).raise_for_status()
    requests.put(f"{server.url}/api/2.0/mlflow-artifacts/artifacts/{path}/attachments/a.txt", data=b"hi", timeout=10).raise_for_status()
    assert requests.get(url, params={"request_id": "tr-upload"}, timeout=10).json() == {"spans": [1]}
    assert requests.get(url, params={"request_id": "tr-upload", "path": "a.txt"}, timeout=10).text == "hi"
    assert requests.get(url, params={"request_id": "tr-upload", "path": "../traces.json"}, timeout=10).status_code == 400
    assert requests.get(url, params={"request_id": "tr-none"}, timeout=10).status_code == 404
    assert requests.get(url, timeout=10).status_code == 400


# --- the first API, and mistakes ----------------------------------------------------------------------------------------


def test_the_first_api(server):
    def call(method, path, body):
        return requests.request(method, server.url + "/api/2.0/mlflow/" + path, json=body, timeout=10)

    started = call("POST", "traces", {"experiment_id": "0", "timestamp_ms": 1000, "tags": [{"key": "a", "value": "b"}],
                                      "request_metadata": [{"key": "m", "value": "n"}]}).json()["trace_info"]
    assert (started["status"], started["execution_time_ms"]) == ("IN_PROGRESS", 0)
    ended = call("PATCH", "traces/" + started["request_id"], {"timestamp_ms": 1500, "status": "OK"}).json()["trace_info"]
    assert (ended["status"], ended["execution_time_ms"]) == ("OK", 500)
    assert requests.get(f"{server.url}/api/2.0/mlflow/traces/{started['request_id']}/info", timeout=10).json()["trace_info"] == ended
    listed = requests.get(server.url + "/api/2.0/mlflow/traces", params={"experiment_ids": "0", "filter": "tags.a = 'b'"}, timeout=10).json()
    assert started["request_id"] in [t["request_id"] for t in listed["traces"]]


@pytest.mark.parametrize("method, path, body, status, words", [
    ("POST", "traces", {}, 400, "Missing value for required parameter 'trace'"),
    ("POST", "traces", {"trace": {"trace_info": {"trace_id": "x"}}}, 400, "experiment_id"),
    ("POST", "traces", {"trace": {"trace_info": {"trace_id": "x", "trace_location": LOCATION, "request_time": "soon"}}}, 400, "request_time"),
    ("POST", "traces/search", {}, 400, "Missing value for required parameter 'locations'"),
    ("POST", "traces/search", {"locations": [LOCATION], "max_results": 501}, 400, "Invalid value 501 for parameter 'max_results'"),
    ("POST", "traces/search", {"locations": [LOCATION], "filter": "bogus = 'x'"}, 400, "Invalid attribute key 'bogus'"),
    ("POST", "traces/search", {"locations": [LOCATION], "filter": "name RLIKE '(a+'"}, 400, "regular expression"),
    ("POST", "traces/search", {"locations": [LOCATION], "page_token": "zzz"}, 400, "page token"),
    ("PATCH", "traces/tr-none/tags", {"key": "a", "value": "b"}, 404, "not found"),
    ("PATCH", "traces/tr-none/tags", {"key": "mlflow.trace.spansLocation", "value": "X"}, 400, "immutable"),
    ("POST", "traces/tr-none/assessments", {"assessment": {"assessment_name": "a", "feedback": {"value": 1}}}, 404, "not found"),
    ("POST", "traces/tr-none/assessments", {"assessment": {"assessment_name": "a"}}, 400, "Unknown assessment type"),
    ("POST", "traces/delete-traces", {"experiment_id": "0"}, 400, "must be specified"),
    ("POST", "traces/metrics", {"experiment_ids": ["0"], "view_type": "SPANS", "metric_name": "x", "aggregations": [{"aggregation_type": "COUNT"}]}, 400, "metric_name must be one of"),
    ("POST", "datasets/create", {"name": "x", "tags": "["}, 400, "JSON object"),
    ("POST", "datasets/d-none/records", {"records": "[1]"}, 400, "records[0]"),
    ("POST", "datasets/d-none/records", {"records": "[]"}, 404, "not found"),
    ("POST", "scorers/register", {"experiment_id": "0", "name": "x", "serialized_scorer": "{"}, 400, "valid JSON"),
    ("POST", "scorers/register", {"experiment_id": "0", "name": "x", "serialized_scorer": '{"call_source": "import os"}'}, 400, "not supported"),
    ("POST", "issues", {"experiment_id": "0", "name": "n", "description": "d", "status": "odd"}, 400, "status"),
    ("POST", "label-schemas/create", {"experiment_id": "0", "name": "Feedback", "type": "FEEDBACK", "input": {"text": {}}}, 400, "reserved"),
    ("POST", "review-queues/create", {"experiment_id": "0", "name": "x"}, 400, "queue_type"),
])
def test_mistakes_are_told(server, method, path, body, status, words):
    answer = requests.request(method, server.url + "/api/3.0/mlflow/" + path, json=body, timeout=10)
    assert answer.status_code == status and words in answer.json()["message"], answer.text


# --- who may ------------------------------------------------------------------------------------------------------------


def test_viewers_read_and_editors_write(start_server, tmp_path):
    add_user(tmp_path, "ann")
    server = start_server("--require-login", "1", home=tmp_path)
    ann = user(server, "ann")
    assert ann.api("POST", "/projects", json={"name": "vision"}).status_code == 201
    for name, roles in (("vic", {"default": "viewer"}), ("edd", {"default": "editor"}), ("eve", {"vision": "editor"})):
        assert ann.api("POST", "/users", json={"name": name, "password": PASSWORD, "roles": roles}).status_code == 201
    vic, edd = user(server, "vic"), user(server, "edd")
    eve = user(server, "eve", project="vision")
    info = {"trace_id": "tr-1", "trace_location": LOCATION, "request_time": "2026-01-01T00:00:00Z", "state": "OK"}
    body = {"trace": {"trace_info": info}}
    url = "/api/3.0/mlflow/"
    assert vic("POST", url + "traces", json=body).status_code == 403
    assert edd("POST", url + "traces", json=body).status_code == 200
    assert vic("GET", url + "traces/tr-1").status_code == 200
    assert vic("POST", url + "traces/search", json={"locations": [LOCATION]}).status_code == 200
    for path, sent in (("traces/tr-1/assessments", {"assessment": {"assessment_name": "a", "feedback": {"value": 1}}}),
                       ("traces/delete-traces", {"experiment_id": "0", "request_ids": ["tr-1"]}), ("datasets/create", {"name": "x"}),
                       ("issues", {"experiment_id": "0", "name": "n", "description": "d"}),
                       ("review-queues/create", {"experiment_id": "0", "name": "q", "queue_type": "CUSTOM"})):
        assert vic("POST", url + path, json=sent).status_code == 403, path
    spans = protobuf(otlp_json("0a" * 16, "0b" * 8))
    headers = {"Content-Type": "application/x-protobuf", "x-mlflow-experiment-id": "0"}
    assert vic("POST", "/v1/traces", data=spans, headers=headers).status_code == 403
    assert edd("POST", "/v1/traces", data=spans, headers=headers).status_code == 200
    assert requests.post(server.url + "/v1/traces", data=spans, headers=headers, timeout=10).status_code == 401
    # Another project's people find nothing of ours.
    assert eve("GET", url + "traces/tr-1").status_code == 404
    assert "traces" not in eve("POST", url + "traces/search", json={"locations": [LOCATION]}).json()
    assert eve("POST", url + "traces/batchGetInfos", json={"trace_ids": ["tr-1"]}).json() == {}
    assert eve("PATCH", url + "traces/tr-1/tags", json={"key": "a", "value": "b"}).status_code == 404
    assert eve("POST", url + "traces/delete-traces", json={"experiment_id": "0", "request_ids": ["tr-1"]}).json() == {"traces_deleted": 0}
    # Who reviewed is who called, whatever he says.
    queue = edd("POST", url + "review-queues/create", json={"experiment_id": "0", "name": "q", "queue_type": "CUSTOM"}).json()["review_queue"]
    assert queue["created_by"] == "edd"
    edd("POST", url + "review-queues/items/add", json={"queue_id": queue["queue_id"], "item_ids": ["tr-1"]}).raise_for_status()
    done = edd("POST", url + "review-queues/items/set-status",
               json={"queue_id": queue["queue_id"], "item_id": "tr-1", "status": "COMPLETE", "completed_by": "ann"}).json()["item"]
    assert done["completed_by"] == "edd"
