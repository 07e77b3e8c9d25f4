"""What a team does with the stock client, against the server of MLFLOW_TRACKING_URI; run by test_mlflow_client.py in the
environment of each client version. Prints OK, or fails."""
import math
import os
import pathlib
import sys
import tempfile
import time

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

client = MlflowClient()
mark = str(time.time_ns())


def runs():
    mlflow.set_experiment("scenario-" + mark)
    with mlflow.start_run(run_name="first") as run:
        mlflow.log_params({"lr": 0.1, "depth": 3})
        mlflow.log_param("one", 1)
        mlflow.log_metrics({"loss": 0.5, "acc": 0.9}, step=1)
        for i in range(5):
            mlflow.log_metric("loss", 0.4 - i / 100, step=2 + i)
        mlflow.log_metric("nan", float("nan"))
        mlflow.set_tag("team", "red")
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "sub").mkdir()
            (pathlib.Path(folder) / "sub" / "a.txt").write_text("hello")
            (pathlib.Path(folder) / "big.bin").write_bytes(bytes(range(256)) * 8192)
            mlflow.log_artifacts(folder)
            mlflow.log_artifact(folder + "/sub/a.txt", "deep/er")
        mlflow.log_dict({"a": 1}, "d.json")
    run_id = run.info.run_id
    read = client.get_run(run_id)
    assert (read.info.status, read.info.run_name) == ("FINISHED", "first")
    assert math.isclose(read.data.metrics["loss"], 0.36) and math.isnan(read.data.metrics["nan"])
    assert read.data.params == {"lr": "0.1", "depth": "3", "one": "1"}
    assert read.data.tags["team"] == "red"
    assert [m.step for m in client.get_metric_history(run_id, "loss")] == [1, 2, 3, 4, 5, 6]
    assert sorted(f.path for f in client.list_artifacts(run_id)) == ["big.bin", "d.json", "deep", "sub"]
    assert [f.path for f in client.list_artifacts(run_id, "deep/er")] == ["deep/er/a.txt"]
    got = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="big.bin")
    assert pathlib.Path(got).read_bytes() == bytes(range(256)) * 8192
    whole = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="")
    assert (pathlib.Path(whole) / "sub" / "a.txt").read_text() == "hello"
    with mlflow.start_run() as parent:
        with mlflow.start_run(nested=True) as child:
            mlflow.log_metric("loss", 9.0)
    assert client.get_run(child.info.run_id).data.tags["mlflow.parentRunId"] == parent.info.run_id
    client.log_batch(run_id, [Metric("batch", i, i, i) for i in range(1000)])
    assert len(client.get_metric_history(run_id, "batch")) == 1000
    client.log_batch(run_id, params=[Param("p", "1")], tags=[RunTag("t", "1")])
    try:
        client.log_param(run_id, "p", "2")
        raise AssertionError("a param changed")
    except mlflow.MlflowException as error:
        assert "Changing param values is not allowed" in str(error)
    client.delete_run(run_id)
    assert client.get_run(run_id).info.lifecycle_stage == "deleted"
    client.restore_run(run_id)
    return run_id


def search(run_id):
    ids = [client.get_experiment_by_name("scenario-" + mark).experiment_id]
    found = client.search_runs(ids, "metrics.loss < 1 and params.lr = '0.1'", order_by=["metrics.loss ASC"])
    assert [r.info.run_id for r in found] == [run_id]
    names = [r.info.run_name for r in client.search_runs(ids, "tags.team = 'red' OR metrics.loss > 8")]
    assert len(names) == 2
    seen, token = [], None
    while True:
        page = client.search_runs(ids, max_results=1, order_by=["metrics.loss DESC"], page_token=token)
        seen += [r.info.run_id for r in page]
        token = page.token
        if not token:
            break
    assert len(seen) == len(set(seen)) == 3
    assert [e.experiment_id for e in client.search_experiments(filter_string=f"name = 'scenario-{mark}'")] == ids
    client.set_experiment_tag(ids[0], "a", "b")
    assert client.get_experiment(ids[0]).tags["a"] == "b"
    try:
        client.search_runs(ids, "metrics.loss >")
        raise AssertionError("half a filter was accepted")
    except mlflow.MlflowException as error:
        assert "character 15" in str(error)


def registry(run_id):
    """By the client's own calls, without a machine-learning library."""
    name = "model-" + mark
    experiment = client.get_run(run_id).info.experiment_id
    model = client.create_logged_model(experiment, name="m", source_run_id=run_id, params={"k": "v"})
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "MLmodel").write_text("flavors: {}\n")
        client.log_model_artifacts(model.model_id, folder)
    client.finalize_logged_model(model.model_id, "READY")
    client.create_registered_model(name, tags={"a": "b"}, description="words")
    version = client.create_model_version(name, f"models:/{model.model_id}", model_id=model.model_id)
    assert version.version in (1, "1") and version.run_id == run_id
    client.set_registered_model_alias(name, "champion", version.version)
    assert str(client.get_model_version_by_alias(name, "champion").version) == "1"
    client.set_model_version_tag(name, "1", "gate", "passed")
    assert client.get_model_version(name, "1").tags["gate"] == "passed"
    assert [m.name for m in client.search_registered_models(f"name = '{name}'")] == [name]
    assert len(client.search_model_versions(f"name = '{name}'")) == 1
    uri = client.get_model_version_download_uri(name, "1")
    files = mlflow.artifacts.download_artifacts(artifact_uri=uri)
    assert (pathlib.Path(files) / "MLmodel").exists()
    client.delete_registered_model_alias(name, "champion")
    client.rename_registered_model(name, name + "-b")
    client.delete_model_version(name + "-b", "1")
    client.delete_registered_model(name + "-b")


def log_model(flavour):
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    name = f"{flavour}-{mark}"
    x, y = np.array([[0.0, 1], [1, 0], [1, 1], [0, 0]], dtype=np.float32), [0, 1, 1, 0]
    model = LogisticRegression().fit(x, y)
    with mlflow.start_run() as run:
        if flavour == "onnx":
            from skl2onnx import to_onnx

            info = mlflow.onnx.log_model(to_onnx(model, x), name="clf", registered_model_name=name)
        else:
            form = {"pickle": "pickle", "skops": "skops"}[flavour]
            info = mlflow.sklearn.log_model(model, name="clf", serialization_format=form, registered_model_name=name)
        mlflow.log_metric("acc", 1.0, model_id=info.model_id)
    client.set_registered_model_alias(name, "champion", info.registered_model_version)
    logged = mlflow.get_logged_model(info.model_id)
    assert str(logged.status) == "READY" and logged.source_run_id == run.info.run_id
    assert [m.value for m in logged.metrics] == [1.0]
    if flavour == "onnx":
        loaded = mlflow.onnx.load_model(f"models:/{name}@champion")
        assert loaded.graph.node
    else:
        for uri in (f"models:/{name}@champion", f"models:/{name}/1", f"runs:/{run.info.run_id}/clf", info.model_uri):
            loaded = mlflow.sklearn.load_model(uri)
            assert (loaded.predict(x) == model.predict(x)).all(), uri
    found = mlflow.search_logged_models([run.info.experiment_id], "metrics.acc > 0.5", output_format="list")
    assert info.model_id in [m.model_id for m in found]


def autolog_and_data():
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    x, y = np.array([[0.0, 1], [1, 0], [1, 1], [0, 0]]), np.array([0, 1, 1, 0])
    with mlflow.start_run() as run:
        mlflow.log_input(mlflow.data.from_numpy(x, name="d1"), context="train")
    inputs = client.get_run(run.info.run_id).inputs.dataset_inputs
    assert inputs[0].dataset.name == "d1" and inputs[0].tags[0].value == "train"
    mlflow.sklearn.autolog()
    with mlflow.start_run() as run:
        LogisticRegression(max_iter=50).fit(x, y)
    mlflow.sklearn.autolog(disable=True)
    read = client.get_run(run.info.run_id)
    assert read.data.params["max_iter"] == "50" and "training_score" in read.data.metrics


def evaluate():
    """With the full package: autolog of a search with its children, evaluate() with its metrics, files and data set."""
    import numpy as np
    import pandas as pd
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    rng = np.random.default_rng(1)
    x = rng.normal(size=(80, 3))
    frame = pd.DataFrame(x, columns=["a", "b", "c"]).assign(label=(x[:, 0] > 0).astype(int))
    mlflow.sklearn.autolog(log_datasets=True)
    with mlflow.start_run() as run:
        GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2).fit(frame[["a", "b", "c"]], frame["label"])
    mlflow.sklearn.autolog(disable=True)
    read = client.get_run(run.info.run_id)
    assert "best_cv_score" in read.data.metrics and read.inputs.dataset_inputs, read.data
    children = client.search_runs([run.info.experiment_id], f"tags.mlflow.parentRunId = '{run.info.run_id}'", order_by=["params.C DESC"])
    assert [c.data.params["C"] for c in children] == ["1.0", "0.1"]
    with mlflow.start_run() as run:
        info = mlflow.sklearn.log_model(LogisticRegression().fit(frame[["a", "b", "c"]].to_numpy(), frame["label"]), name="clf")
        result = mlflow.models.evaluate(info.model_uri, frame, targets="label", model_type="classifier", evaluators="default",
                                        evaluator_config={"log_explainer": False, "log_model_explainability": False})
    read = client.get_run(run.info.run_id)
    assert read.data.metrics["accuracy_score"] == result.metrics["accuracy_score"] > 0.8
    assert any(f.path.endswith(".png") for f in client.list_artifacts(run.info.run_id)), client.list_artifacts(run.info.run_id)
    assert "accuracy_score" in [m.key for m in mlflow.get_logged_model(info.model_id).metrics]


def prompts():
    name = "greet-" + mark
    first = client.register_prompt(name, "Hello {{name}}, it is {{day}}", commit_message="first", tags={"lang": "en"})
    assert (first.version, first.commit_message, first.variables) == (1, "first", {"name", "day"})
    chat = [{"role": "user", "content": "Hi {{name}}"}]
    second = client.register_prompt(name, chat, commit_message="second", response_format={"type": "object"})
    assert second.version == 2 and second.response_format == {"type": "object"}
    client.set_prompt_alias(name, "live", 1)
    assert client.get_prompt_version_by_alias(name, "live").template == first.template
    assert client.load_prompt(f"prompts:/{name}@live").format(name="Ada", day="Monday") == "Hello Ada, it is Monday"
    assert client.load_prompt(f"prompts:/{name}/2").template == chat
    assert name in [p.name for p in client.search_prompts()]
    assert name not in [m.name for m in client.search_registered_models()], "a prompt is no model"
    assert [v.version for v in client.search_prompt_versions(name)] == [2, 1]
    client.set_prompt_tag(name, "team", "red")
    assert client.get_prompt(name).tags["team"] == "red"
    client.set_prompt_version_tag(name, 1, "k", "v")
    assert client.get_prompt_version(name, "1").tags["k"] == "v"
    client.delete_prompt_version_tag(name, 1, "k")
    assert "k" not in client.get_prompt_version(name, "1").tags
    with mlflow.start_run() as run:
        client.link_prompt_version_to_run(run.info.run_id, second)
    assert name in client.get_run(run.info.run_id).data.tags["mlflow.linkedPrompts"]
    client.delete_prompt_alias(name, "live")
    for version in ("1", "2"):
        client.delete_prompt_version(name, version)
    client.delete_prompt(name)
    assert name not in [p.name for p in client.search_prompts()]


def multipart():
    """Parts of 1 MB, several at once; the client has asked for them by MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD."""
    with mlflow.start_run() as run, tempfile.TemporaryDirectory() as folder:
        big = pathlib.Path(folder) / "b\u00efg file.bin"
        big.write_bytes(os.urandom(5_300_000))
        mlflow.log_artifact(str(big), "deep/er")
        mlflow.log_artifacts(folder)
        for path in (f"deep/er/{big.name}", big.name):
            back = client.download_artifacts(run.info.run_id, path, tempfile.mkdtemp(dir=folder))
            assert pathlib.Path(back).read_bytes() == big.read_bytes()


parts = sys.argv[1:]
first = runs()
if "core" in parts:
    search(first)
    registry(first)
for flavour_name in ("pickle", "skops", "onnx"):
    if flavour_name in parts:
        log_model(flavour_name)
if "autolog" in parts:
    autolog_and_data()
if "evaluate" in parts:
    evaluate()
if "prompts" in parts:
    prompts()
if "multipart" in parts:
    multipart()
print("OK", mlflow.__version__, os.environ["MLFLOW_TRACKING_URI"])
