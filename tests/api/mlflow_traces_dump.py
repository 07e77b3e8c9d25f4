"""Run by the pythons that hold mlflow: `make URI` logs traces with assessments, `dump URI` prints what the client reads of
all traces as JSON, without the tags that say where a server keeps them."""
import json
import os
import sys

os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
import mlflow  # noqa: E402
from mlflow.entities import AssessmentSource, Feedback  # noqa: E402


@mlflow.trace(span_type="LLM")
def inner(x):
    return {"y": x, "text": "snöwman\u2028\x7f"}


@mlflow.trace(attributes={"share": 1e-05})
def outer(x):
    mlflow.update_current_trace(metadata={"mlflow.trace.session": "s-1"})
    with mlflow.start_span("middle") as span:
        span.set_attribute("mlflow.chat.tokenUsage", {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7})
    return inner(x)


def make(uri):
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("traced")
    outer(1)
    mlflow.flush_trace_async_logging()
    trace = mlflow.get_last_active_trace_id()
    for value in (True, 1e-05, 3, "yes", ["a", 1, None], {"k": {"deep": 2.5}}, None):
        mlflow.log_feedback(trace_id=trace, name="judged", value=value, rationale="because: \"so\"\n",
                            source=AssessmentSource("LLM_JUDGE", "gpt"), metadata={"m": "1"})
    for value in (0.5, "text", {"a": [1]}, [1, 2]):
        mlflow.log_expectation(trace_id=trace, name="wanted", value=value)
    mlflow.log_assessment(trace, Feedback(name="failed", error=ValueError("no"), value=None))
    mlflow.set_trace_tag(trace, "who", "ann: é")


def dump(uri):
    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient()
    out = {}
    for experiment in client.search_experiments():
        for trace in client.search_traces([experiment.experiment_id]):
            info = trace.info.to_dict()
            for tag in ("mlflow.artifactLocation", "mlflow.trace.spansLocation"):
                info["tags"].pop(tag, None)
            info["assessments"] = {a["assessment_id"]: a for a in info.get("assessments", [])}
            out[info["trace_id"]] = {"info": info, "spans": {s.span_id: s.to_dict() for s in trace.data.spans}}
    return out


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2])
    else:
        print(json.dumps(dump(sys.argv[2]), sort_keys=True))
