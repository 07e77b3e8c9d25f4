"""Tracing and what belongs to it with the stock client, against the server of MLFLOW_TRACKING_URI; run by
test_mlflow_traces.py in the environment of each client version. Prints OK, or fails."""
import json
import sys
import time

import mlflow
from mlflow import MlflowClient
from mlflow.entities import AssessmentSource, Feedback, SpanEvent

client = MlflowClient()
mark = str(time.time_ns())


def fresh(name):
    return mlflow.set_experiment(f"{name}-{mark}").experiment_id


def flushed(trace_id=None):
    mlflow.flush_trace_async_logging()
    return trace_id or mlflow.get_last_active_trace_id()


@mlflow.trace
def inner(x):
    return {"y": x + 1, "text": "snöwman"}


@mlflow.trace(span_type="CHAIN", attributes={"colour": "blue", "n": 3, "share": 0.25})
def outer(x, team="red"):
    mlflow.update_current_trace(tags={"team": team}, metadata={"mlflow.trace.session": "s-" + team})
    with mlflow.start_span("middle", span_type="LLM") as span:
        span.add_event(SpanEvent("thought", attributes={"a": "b"}))
        span.set_attribute("mlflow.chat.tokenUsage", {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7})
        span.set_inputs([1, {"deep": None}, "x" * 5000])
    return inner(x)


def tracing():
    experiment = fresh("tracing")
    outer(1)
    trace_id = flushed()
    trace = mlflow.get_trace(trace_id)
    assert trace.info.trace_id == trace_id and trace.info.state == "OK", trace.info
    assert trace.info.tags["team"] == "red" and trace.info.tags["mlflow.traceName"] == "outer"
    assert trace.info.tags["mlflow.trace.spansLocation"] == "TRACKING_STORE"
    assert trace.info.trace_metadata["mlflow.trace.session"] == "s-red"
    assert trace.info.token_usage == {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    root, middle, leaf = trace.data.spans
    assert (root.name, root.parent_id, root.span_type, root.inputs) == ("outer", None, "CHAIN", {"x": 1, "team": "red"})
    assert (root.get_attribute("n"), root.get_attribute("share"), root.get_attribute("colour")) == (3, 0.25, "blue")
    assert middle.parent_id == root.span_id and middle.inputs == [1, {"deep": None}, "x" * 5000]
    assert [(e.name, e.attributes["a"]) for e in middle.events] == [("thought", "b")]
    assert leaf.outputs == {"y": 2, "text": "snöwman"}

    @mlflow.trace
    def fails():
        raise ValueError("no")

    try:
        fails()
    except ValueError:
        pass
    flushed()
    with mlflow.start_run() as run:
        outer(5, team="blue")
        flushed()
    found = lambda f, **k: mlflow.search_traces(experiment_ids=[experiment], filter_string=f, return_type="list", **k)
    assert len(found("")) == 3
    assert [t.info.state for t in found("status = 'ERROR'")] == ["ERROR"]
    assert found("status = 'ERROR'")[0].data.spans[0].events[0].name == "exception"
    assert [t.info.tags["team"] for t in found("tags.team = 'red'")] == ["red"]
    assert len(found("span.type = 'LLM'")) == 2 and len(found("span.attributes.colour LIKE '%blue%'")) == 2
    assert len(found("span.name = 'nothing'")) == 0
    assert len(found("trace.text LIKE '%snöwman%'")) == 2
    assert [t.info.tags["team"] for t in found(f"run_id = '{run.info.run_id}'")] == ["blue"]
    assert len(found("", max_results=2)) == 2
    oldest = found("tags.team RLIKE 'r.d|bl' AND timestamp_ms > 0", order_by=["timestamp_ms ASC"])
    assert [t.info.tags["team"] for t in oldest] == ["red", "blue"]
    pages, token = [], None
    while True:
        page = client.search_traces(experiment_ids=[experiment], max_results=2, page_token=token)
        pages.append(len(page))
        token = page.token
        if not token:
            break
    assert pages == [2, 1], pages

    client.set_trace_tag(trace_id, "k", "v")
    assert client.get_trace(trace_id).info.tags["k"] == "v"
    client.delete_trace_tag(trace_id, "k")
    assert "k" not in client.get_trace(trace_id).info.tags
    client.link_traces_to_run([trace_id], run.info.run_id)
    assert len(found(f"run_id = '{run.info.run_id}'")) == 2
    assert client.delete_traces(experiment, trace_ids=[trace_id]) == 1
    assert client.delete_traces(experiment, max_timestamp_millis=int(time.time() * 1000), max_traces=1) == 1
    assert client.delete_traces(experiment, max_timestamp_millis=int(time.time() * 1000)) == 1
    assert found("") == []


def assessments():
    experiment = fresh("assessments")
    outer(1)
    trace_id = flushed()
    human = AssessmentSource("HUMAN", "ann")
    good = mlflow.log_feedback(trace_id=trace_id, name="good", value=True, rationale="because", source=human, metadata={"a": "b"})
    wanted = mlflow.log_expectation(trace_id=trace_id, name="wanted", value={"facts": ["a", "b"]})
    mlflow.log_expectation(trace_id=trace_id, name="plain", value="x")
    broken = mlflow.log_feedback(trace_id=trace_id, name="broken", error=ValueError("bad"))
    mlflow.log_feedback(trace_id=trace_id, name="score", value=0.5)
    mlflow.log_feedback(trace_id=trace_id, name="parts", value={"a": 1.0, "b": [True]})
    read = mlflow.get_assessment(trace_id, wanted.assessment_id)
    assert read.value == {"facts": ["a", "b"]} and read.source.source_type == "HUMAN"
    read = mlflow.get_assessment(trace_id, broken.assessment_id)
    assert read.value is None and read.error.error_message == "bad"
    changed = mlflow.update_assessment(trace_id, good.assessment_id, Feedback(name="good", value=False, rationale="thought again"))
    assert (changed.value, changed.rationale, changed.metadata) == (False, "thought again", {"a": "b"})
    mlflow.override_feedback(trace_id=trace_id, assessment_id=good.assessment_id, value=True, source=human)
    by_name = {}
    for each in mlflow.get_trace(trace_id).info.assessments:
        by_name.setdefault(each.name, []).append(each)
    assert [(a.value, a.valid) for a in by_name["good"]] == [(False, False), (True, True)]
    assert by_name["parts"][0].value == {"a": 1.0, "b": [True]}
    mlflow.delete_assessment(trace_id, broken.assessment_id)
    found = lambda f: len(mlflow.search_traces(experiment_ids=[experiment], filter_string=f, return_type="list"))
    assert (found("feedback.good = 'true'"), found("feedback.good = 'false'")) == (1, 0)
    assert (found("feedback.broken IS NULL"), found("expectation.plain = 'x'")) == (1, 1)
    if mlflow.__version__ >= "3.17":
        assert (found("feedback.score > 0.4"), found("feedback.score > 0.6")) == (1, 0)


def prompts():
    name = "greet-" + mark
    one = mlflow.genai.register_prompt(name=name, template="Hello {{name}}", commit_message="first", tags={"a": "b"})
    mlflow.genai.register_prompt(name=name, template=[{"role": "user", "content": "Hi {{name}}"}])
    assert one.version == 1 and mlflow.genai.load_prompt(f"prompts:/{name}/1").format(name="x") == "Hello x"
    mlflow.genai.set_prompt_alias(name, "prod", 1)
    assert mlflow.genai.load_prompt(f"prompts:/{name}@prod").version == 1
    assert mlflow.genai.load_prompt(f"prompts:/{name}@latest").version == 2
    mlflow.genai.set_prompt_tag(name, "team", "red")
    assert mlflow.genai.get_prompt_tags(name)["team"] == "red"
    mlflow.genai.set_prompt_version_tag(name, 1, "stage", "x")
    assert mlflow.genai.load_prompt(f"prompts:/{name}/1").tags["stage"] == "x"
    assert name in [p.name for p in mlflow.genai.search_prompts(filter_string=f"name = '{name}'")]
    fresh("prompts")

    @mlflow.trace
    def uses():
        mlflow.genai.load_prompt(f"prompts:/{name}/1")

    uses()
    trace_id = flushed()
    for _ in range(50):  # linking has a thread of its own
        if mlflow.search_traces(filter_string=f"prompt = '{name}/1'", return_type="list"):
            break
        time.sleep(0.1)
    else:
        raise AssertionError("the trace was not linked to its prompt: " + trace_id)
    mlflow.genai.delete_prompt_alias(name, "prod")


def datasets():
    from mlflow.genai import datasets as genai

    experiment = fresh("datasets")
    made = genai.create_dataset(name="set-" + mark, experiment_id=[experiment], tags={"team": "red"})
    made.merge_records([{"inputs": {"q": "one"}, "expectations": {"a": 1}}, {"inputs": {"q": "zwei ü"}, "tags": {"t": "x"}}])
    made.merge_records([{"inputs": {"q": "one"}, "expectations": {"b": 2}}])
    frame = genai.get_dataset(dataset_id=made.dataset_id).to_df()
    assert len(frame) == 2, frame
    assert {"a": 1, "b": 2} in list(frame["expectations"]), frame["expectations"]
    assert [d.dataset_id for d in genai.search_datasets(experiment_ids=[experiment])] == [made.dataset_id]
    assert len(genai.search_datasets(experiment_ids=[experiment], filter_string="tags.team = 'blue'")) == 0
    genai.set_dataset_tags(dataset_id=made.dataset_id, tags={"team": "blue", "k": "v"})
    genai.delete_dataset_tag(dataset_id=made.dataset_id, key="k")
    assert genai.get_dataset(dataset_id=made.dataset_id).tags["team"] == "blue"
    other = client.create_experiment("other-" + mark)
    genai.add_dataset_to_experiments(dataset_id=made.dataset_id, experiment_ids=[other])
    assert sorted(genai.get_dataset(dataset_id=made.dataset_id).experiment_ids) == sorted([experiment, other])
    genai.remove_dataset_from_experiments(dataset_id=made.dataset_id, experiment_ids=[other])
    outer(1)
    flushed()
    made.merge_records(mlflow.search_traces(experiment_ids=[experiment]))
    assert len(genai.get_dataset(dataset_id=made.dataset_id).to_df()) == 3
    genai.delete_dataset(dataset_id=made.dataset_id)
    try:
        genai.get_dataset(dataset_id=made.dataset_id)
    except mlflow.MlflowException as error:
        assert error.error_code == "RESOURCE_DOES_NOT_EXIST", error
    else:
        raise AssertionError("a deleted data set is still there")


def scorers():
    from mlflow.tracking._tracking_service.utils import _get_store

    experiment, store = fresh("scorers"), _get_store()
    text = json.dumps({"name": "polite", "instructions": "be polite"})
    assert store.register_scorer(experiment, "polite", text).scorer_version == 1
    assert store.register_scorer(experiment, "polite", text).scorer_version == 2
    assert [s.scorer_name for s in store.list_scorers(experiment)] == ["polite"]
    assert [s.scorer_version for s in store.list_scorer_versions(experiment, "polite")] == [1, 2]
    assert store.get_scorer(experiment, "polite", 1).scorer_version == 1
    store.delete_scorer(experiment, "polite", 1)
    store.delete_scorer(experiment, "polite")
    assert store.list_scorers(experiment) == []


def reviews():
    from mlflow.genai.label_schemas.label_schemas import InputPassFail
    from mlflow.tracking._tracking_service.utils import _get_store

    experiment, store = fresh("reviews"), _get_store()
    outer(1)
    trace_id = flushed()
    schema = store.create_label_schema(experiment, name="Right?", type="feedback", input=InputPassFail("yes", "no"))
    assert [s.name for s in store.list_label_schemas(experiment)] == ["Right?", "Feedback"]
    assert store.update_label_schema(schema.schema_id, instruction="look well").instruction == "look well"
    queue = store.create_review_queue(experiment, name="First", queue_type="custom", users=["Ann"], schema_ids=[schema.schema_id])
    assert (queue.users, queue.schema_ids) == (["ann"], [schema.schema_id])
    assert store.get_review_queue_by_name(experiment, name="FIRST").queue_id == queue.queue_id
    assert store.get_or_create_user_queue(experiment, user="Bob").name == "bob"
    [item] = store.add_items_to_review_queue(queue.queue_id, item_ids=[trace_id])
    assert (item.item_id, str(item.status)) == (trace_id, "pending")
    done = store.set_review_queue_item_status(queue.queue_id, item_id=trace_id, status="complete", completed_by="ann")
    assert done.completed_by == "ann"
    assert [i.item_id for i in store.list_review_queue_items(queue.queue_id, status="complete")] == [trace_id]
    assert [q.name for q in store.list_review_queues(experiment, item_id=trace_id)] == ["First"]
    store.remove_items_from_review_queue(queue.queue_id, item_ids=[trace_id])
    store.delete_review_queue(queue.queue_id)
    store.delete_label_schema(schema.schema_id)
    issue = store.create_issue(experiment, name="slow", description="answers late", root_causes=["network"])
    assert str(store.update_issue(issue.issue_id, status=type(issue.status)("resolved")).status) == "resolved"
    assert store.get_issue(issue.issue_id).root_causes == ["network"]
    assert [i.name for i in store.search_issues(experiment, filter_string="status = 'resolved'", include_trace_count=True)] == ["slow"]


if __name__ == "__main__":
    for part in sys.argv[1:]:
        globals()[part]()
    print("OK")
