"""Run by the pythons that hold mlflow: `make URI` fills a store by MLflow's own client with what belongs to evaluation and
to people: data sets, scorers, label schemas, review queues, issues, prompts, webhooks, links of traces; `dump URI` prints
what the client reads of these; `auth FILE` makes a database of the auth app by its own store."""
import json
import os
import sys

os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
os.environ["MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"] = "FrMVkcmjFaVFGgEmFoCi2UGB5NKs0lNVUSQLDVRsQSs="
os.environ["MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS"] = "true"
import mlflow  # noqa: E402
from mlflow import MlflowClient  # noqa: E402


def tracking():
    from mlflow.tracking._tracking_service.utils import _get_store
    return _get_store()


def make(uri):
    from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent
    from mlflow.entities.issue import IssueSeverity
    from mlflow.genai import datasets
    from mlflow.genai.label_schemas.label_schemas import InputCategorical, InputNumeric, InputPassFail, InputText
    mlflow.set_tracking_uri(uri)
    client, store = MlflowClient(), tracking()
    e = mlflow.set_experiment("judged").experiment_id
    gone = client.create_experiment("gone")
    with mlflow.start_run() as run:
        with mlflow.start_span("asked") as span:
            span.set_inputs({"q": 1})
    mlflow.flush_trace_async_logging()
    trace = span.trace_id
    store.link_traces_to_run([trace], run.info.run_id)
    mlflow.genai.register_prompt("greet", "Hello {{name}}", commit_message="first")
    mlflow.genai.register_prompt("greet", "Hi {{name}}", tags={"tone": "warm"})
    mlflow.genai.set_prompt_alias("greet", "live", 2)
    full = datasets.create_dataset(name="full", experiment_id=[e, gone], tags={"team": "red"})
    full.merge_records([{"inputs": {"q": f"é {i}", "deep": {"b": [1, None, 0.5], "a": i}}, "expectations": {"a": i}, "tags": {"n": str(i)}} for i in range(700)])
    full.merge_records([{"inputs": {"q": "with outputs"}, "outputs": {"text": "x"}, "source": {"source_type": "HUMAN", "source_data": {"user_name": "ann"}}}])
    datasets.create_dataset(name="empty", experiment_id=[e])
    content = json.dumps({"name": "polite", "aggregations": [], "is_session_level_scorer": False, "mlflow_version": mlflow.__version__,
                          "serialization_version": 1, "call_source": "return True", "call_signature": "(outputs)", "original_func_name": "polite"})
    for name in ("polite", "polite", "short"):
        store.register_scorer(e, name, content.replace("polite", name))
    schemas = [store.create_label_schema(e, name=name, type=kind, input=value, instruction=text, enable_comment=comment).schema_id
               for name, kind, value, text, comment in (("Right?", "feedback", InputPassFail("yes", "no"), "look well", True),
                                                         ("Which", "feedback", InputCategorical(["a", "b"], multi_select=True), None, False),
                                                         ("How much", "expectation", InputNumeric(0.5, 10.0), None, False),
                                                         ("Why", "expectation", InputText(max_length=100), None, False))]
    default = next(s.schema_id for s in store.list_label_schemas(e) if s.name == "Feedback")
    queue = store.create_review_queue(e, name="First", queue_type="custom", users=["ann", "Bob"], schema_ids=[*schemas, default])
    store.add_items_to_review_queue(queue.queue_id, item_ids=[trace])
    store.set_review_queue_item_status(queue.queue_id, item_id=trace, status="complete", completed_by="ann")
    store.get_or_create_user_queue(e, user="bob")
    issue = store.create_issue(e, name="slow", description="answers late", root_causes=["network"], severity=IssueSeverity("high"))
    store.update_issue(issue.issue_id, status=type(issue.status)("resolved"))
    client.create_webhook("hook", "https://example.com/hook", [WebhookEvent(WebhookEntity.MODEL_VERSION, WebhookAction.CREATED)],
                          description="d", secret="s3cret")


def dump(uri):
    from mlflow.genai import datasets
    mlflow.set_tracking_uri(uri)
    client, store = MlflowClient(), tracking()
    out = {"datasets": {}, "records": {}, "scorers": {}, "schemas": {}, "queues": {}, "items": {}, "issues": {}, "prompts": {}, "links": {}}
    names = {e.experiment_id: e.name for e in client.search_experiments()}
    e = client.get_experiment_by_name("judged").experiment_id
    for found in datasets.search_datasets(experiment_ids=[e]):
        whole = store.get_dataset(found.dataset_id)
        out["datasets"][found.dataset_id] = {k: v for k, v in whole.to_dict().items() if k not in ("records", "experiment_ids")}
        out["datasets"][found.dataset_id]["experiments"] = sorted(names[i] for i in whole.experiment_ids)
        records, token = [], None
        while True:
            page, token = store._load_dataset_records(found.dataset_id, max_results=200, page_token=token)
            records += page
            if not token:
                break
        out["records"].update({r.dataset_record_id: r.to_dict() for r in records})
    for scorer in store.list_scorers(e):
        for version in store.list_scorer_versions(e, scorer.scorer_name):
            out["scorers"][f"{version.scorer_name}/{version.scorer_version}"] = [version.scorer_id, version._serialized_scorer, version.creation_time]
    default = None
    for schema in store.list_label_schemas(e):
        if schema.name == "Feedback":
            default = schema.schema_id
            continue
        out["schemas"][schema.schema_id] = [schema.name, str(schema.type), schema.instruction, schema.enable_comment, repr(schema.input), schema.created_at]
    for queue in store.list_review_queues(e):
        out["queues"][queue.queue_id] = [queue.name, str(queue.queue_type), sorted(queue.users), sorted("default" if s == default else s for s in queue.schema_ids),
                                         queue.creation_time_ms, queue.created_by]
        for item in store.list_review_queue_items(queue.queue_id):
            out["items"][f"{queue.queue_id}/{item.item_id}"] = [str(item.status), item.completed_by, item.completed_time_ms, item.creation_time_ms]
    for issue in store.search_issues(e):
        out["issues"][issue.issue_id] = {k: str(v) for k, v in issue.to_dictionary().items() if k not in ("experiment_id", "trace_count")}
    for version in (1, 2):
        prompt = mlflow.genai.load_prompt(f"prompts:/greet/{version}")
        out["prompts"][str(version)] = [prompt.template, prompt.tags, prompt.commit_message]
    out["prompts"]["live"] = mlflow.genai.load_prompt("prompts:/greet@live").version
    for run in client.search_runs([e]):
        found = mlflow.search_traces(locations=[e], run_id=run.info.run_id, return_type="list")
        out["links"][run.info.run_id] = sorted(t.info.trace_id for t in found)
    out["hooks"] = {h.webhook_id: [h.name, h.url, h.description, [str(x) for x in h.events], h.creation_timestamp] for h in client.list_webhooks()}
    return out


def auth(file, experiment, password):
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore
    store = SqlAlchemyStore()
    store.init_db(f"sqlite:///{file}")
    for name, admin in (("bob", False), ("root", True), ("Carla", False)):
        store.create_user(name, password, is_admin=admin)
    bob = store.get_user("bob")
    store.grant_user_resource_permission("bob", "experiment", experiment, "EDIT")
    store.grant_user_resource_permission("bob", "registered_model", "greet", "DENY")
    role = store.create_role("readers", "default", "who may read")
    store.add_role_permission(role.id, "experiment", experiment, "READ")
    store.add_role_permission(role.id, "gateway_endpoint", "*", "USE")
    store.assign_role_to_user(bob.id, role.id)


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2])
    elif sys.argv[1] == "auth":
        auth(*sys.argv[2:])
    else:
        print(json.dumps(dump(sys.argv[2]), sort_keys=True, default=str))
