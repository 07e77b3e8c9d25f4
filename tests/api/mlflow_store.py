"""Run by the pythons that hold mlflow: `make URI [ARTIFACTS]` fills a tracking store of MLflow's own by its own client,
`dump URI` prints all that the client reads of a store or server as JSON (`dump URI plain`: with what old releases have)."""
import hashlib
import json
import os
import pathlib
import sys
import tempfile

os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
import mlflow  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import Metric, Param, RunTag, ViewType  # noqa: E402


def try_to(what, act):
    try:
        return act()
    except (AttributeError, TypeError, ImportError) as error:
        print(f"{what}: not in mlflow {mlflow.__version__}: {error}", file=sys.stderr)
        return None


def log_model_of(run, client):
    """A logged model with files, as MLflow 3 makes it."""
    model = client.create_logged_model(run.info.experiment_id, name="net", source_run_id=run.info.run_id, tags={"k": "v"},
                                       params={"depth": "3"}, model_type="agent")
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "MLmodel").write_text("flavors: {}\n")
        client.log_model_artifacts(model.model_id, folder)
    client.finalize_logged_model(model.model_id, "READY")
    mlflow.log_metric("auc", 0.75, step=2, model_id=model.model_id, run_id=run.info.run_id)
    from mlflow.entities import LoggedModelInput, LoggedModelOutput
    client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, step=2)])
    try_to("log_inputs", lambda: client.log_inputs(run.info.run_id, models=[LoggedModelInput(model.model_id)]))
    return model


def log_dataset(run, client):
    from mlflow.entities import Dataset, DatasetInput, InputTag
    data = Dataset("iris", "d1", "local", '{"uri": "iris.csv"}', schema='{"a": 1}', profile=None)
    client.log_inputs(run.info.run_id, datasets=[DatasetInput(data, [InputTag("mlflow.data.context", "train")])])


def make(uri, artifacts=None):
    mlflow.set_tracking_uri(uri)
    client = MlflowClient()
    one = client.create_experiment("team/one", artifact_location=artifacts and f"{artifacts}/one", tags={"owner": "ann", "long": "x" * 4000})
    gone = client.create_experiment("gone", artifact_location=artifacts and f"{artifacts}/gone")
    runs = [client.create_run(one, start_time=1000 + i, tags={"n": str(i)}, run_name=f"run-{i}") for i in range(5)]
    first = runs[0]
    history = [Metric("loss/train", 1 / (s + 1), 1000 + s, s) for s in range(900)]
    client.log_batch(first.info.run_id, history, [Param("a/b", "5"), Param("long", "p" * 5000)], [RunTag("t", "t" * 5000), RunTag("e", "é ü\n2")])
    client.log_metric(first.info.run_id, "bad", float("nan"), 5, 1)
    client.log_metric(first.info.run_id, "bad", float("inf"), 6, 2)
    client.log_metric(first.info.run_id, "back", 2.0, 9, 7)
    client.log_metric(first.info.run_id, "back", 1.0, 10, 3)
    client.log_text(first.info.run_id, "hello", "notes/deep/a.txt")
    client.log_text(first.info.run_id, "flavors: {}\n", "model/MLmodel")
    client.log_dict(runs[1].info.run_id, {"x": [1, 2]}, "x.json")
    try_to("datasets", lambda: log_dataset(first, client))
    client.set_terminated(first.info.run_id, "FINISHED", 5000)
    client.set_terminated(runs[1].info.run_id, "KILLED", 5001)
    client.delete_run(runs[2].info.run_id)
    client.log_param(client.create_run(gone).info.run_id, "p", "1")
    client.delete_experiment(gone)
    client.create_registered_model("clf", tags={"team": "a"}, description="a classifier")
    client.create_model_version("clf", f"{first.info.artifact_uri}/model", first.info.run_id, description="v1", tags={"q": "1"})
    client.create_model_version("clf", f"runs:/{first.info.run_id}/model", first.info.run_id)
    client.create_model_version("clf", f"{first.info.artifact_uri}/model", first.info.run_id)
    client.delete_model_version("clf", "3")
    client.transition_model_version_stage("clf", "1", "Production")
    client.set_registered_model_alias("clf", "champion", 2)
    if model := try_to("logged models", lambda: log_model_of(runs[3], client)):
        client.create_registered_model("logged")
        client.create_model_version("logged", f"models:/{model.model_id}", runs[3].info.run_id, model_id=model.model_id)
    try_to("prompts", lambda: mlflow.genai.register_prompt("greet", "Hello {{name}}", commit_message="first"))
    try_to("prompts", lambda: mlflow.genai.register_prompt("greet", "Hi {{name}}"))


def files_of(uri):
    """Path → SHA-256 of each file behind an artifact URI, as the client downloads them."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            at = pathlib.Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder))
        except Exception:  # noqa: BLE001: nothing was ever logged there
            return {}
        return {str(f.relative_to(at)): hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(at.rglob("*"))
                if f.is_file() and f.name != "registered_model_meta"}  # which the client writes


def number(value):
    """Databases hold the largest finite number for an infinity, a folder the infinity."""
    return repr(max(min(value, sys.float_info.max), -sys.float_info.max) if value == value else value)


def run_of(client, run, plain):
    run = client.get_run(run.info.run_id)  # a database's search leaves model inputs out
    info = run.info
    keys = sorted(run.data.metrics)
    out = {
        "info": [info.run_id, info.experiment_id, info.run_name, info.status, info.start_time, info.end_time, info.lifecycle_stage, info.user_id],
        "params": run.data.params, "tags": run.data.tags,
        "metrics": {k: number(run.data.metrics[k]) for k in keys},
        "history": {k: sorted([m.timestamp, m.step, number(m.value)] for m in client.get_metric_history(info.run_id, k)) for k in keys},
        "files": files_of(info.artifact_uri) if info.lifecycle_stage == "active" else {},
    }
    if not plain:
        out["datasets"] = [[d.dataset.to_dictionary(), [[t.key, t.value] for t in d.tags]] for d in run.inputs.dataset_inputs]
        out["models"] = [sorted(m.model_id for m in run.inputs.model_inputs or []), sorted([m.model_id, m.step] for m in run.outputs.model_outputs) if run.outputs else []]
    return out


def model_of(model):
    return {"info": [model.model_id, model.experiment_id, model.name, str(model.status), model.model_type, model.source_run_id,
                     model.creation_timestamp, model.last_updated_timestamp], "params": model.params, "tags": model.tags,
            "metrics": sorted([m.key, repr(m.value), m.step, m.timestamp, m.run_id] for m in model.metrics or []),
            "files": files_of(f"models:/{model.model_id}")}


def version_of(version):
    out = {"fields": [int(version.version), version.source, version.run_id, version.current_stage, version.description or "",
                      version.creation_timestamp, version.last_updated_timestamp], "tags": version.tags}
    out["files"] = files_of(f"models:/{version.name}/{version.version}")
    return out


def dump(uri, plain=False):
    mlflow.set_tracking_uri(uri)
    client = MlflowClient()
    out = {"experiments": {}, "runs": {}, "models": {}, "registered": {}}
    experiments = client.search_experiments(view_type=ViewType.ALL)
    for e in experiments:
        out["experiments"][e.name] = [e.experiment_id, e.lifecycle_stage, e.tags, e.creation_time, e.last_update_time]
        for run in client.search_runs([e.experiment_id], run_view_type=ViewType.ALL, max_results=1000):
            out["runs"][run.info.run_id] = run_of(client, run, plain)
    if not plain:
        for model in client.search_logged_models([e.experiment_id for e in experiments if e.lifecycle_stage == "active"]):
            out["models"][model.model_id] = model_of(model)
    if not plain:
        prompts = [mlflow.genai.load_prompt(f"prompts:/greet/{n}") for n in (1, 2)]
        out["prompts"] = [[p.template, p.version, p.commit_message, p.tags, p.creation_timestamp] for p in prompts]
    for name in sorted(m.name for m in client.search_registered_models()):
        m = client.get_registered_model(name)
        versions = client.search_model_versions(f"name='{name}'")
        out["registered"][name] = {"fields": [m.description or "", m.creation_timestamp, m.last_updated_timestamp, m.tags, {k: int(v) for k, v in m.aliases.items()}],
                                   "versions": {str(v.version): version_of(v) for v in versions}}
    return out


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(*sys.argv[2:])
    else:
        print(json.dumps(dump(sys.argv[2], plain="plain" in sys.argv[3:]), sort_keys=True))
