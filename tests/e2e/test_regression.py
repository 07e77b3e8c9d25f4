"""A model that answers numbers, through the whole loop: metrics with intervals, gate, errors under traffic, an accuracy
alert by its errors, retraining on labelled traffic; and retraining by cron."""

import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np
import pandas as pd
import pytest
import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/api"))
from lathe_server import Server  # noqa: E402

PATH = f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"
LATHE_YAML = """project: progress
data: {progress: {path: raw/*.csv, label: target, prepare: prepare.yaml, feedback: true}}
stages:
  train: {matrix: {alpha: [0.1, 1000]}, cmd: "python train.py ${item.alpha}", deps: [train.py, progress]}
model: {from: train}
evaluate: {metric: rmse, slices: [sex], worst_rows: 5}
gate: {max: 80, max_regression: 1, min_recent_rows: 30}
endpoint: {}
monitor: {window: 60 rows, labels: feedback}
retrain: {on: [accuracy], cooldown: 1s, min_labels: 60}
"""
PREPARE_YAML = "split: {train: 0.6, valid: 0.2, test: 0.2, seed: 3}\nscale: {'*': standard}\nfeedback: {train: 0.6, valid: 0.1, recent: 0.3}\n"
TRAIN_PY = """
import sys
import mlflow, mlflow.onnx, numpy as np, pandas as pd
from skl2onnx import to_onnx
from sklearn.linear_model import Ridge
table = pd.read_csv("progress/train.csv")
x, y = table.drop(columns="target").to_numpy(np.float32), table["target"].to_numpy()
with mlflow.start_run():
    model = Ridge(alpha=float(sys.argv[1])).fit(x, y)
    mlflow.log_param("alpha", sys.argv[1])
    mlflow.onnx.log_model(to_onnx(model, x[:1]), name="model", pip_requirements=["onnxruntime"])
"""


def api(server, path, method="GET", **kwargs):
    response = requests.request(method, server.url + "/api/lathe/v1" + path, timeout=60, **kwargs)
    assert response.status_code < 400, response.text
    return response.json()


def wait(what, until, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = until()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"no {what} within {seconds} s")


def ended(server, run):
    return wait(f"end of {run}", lambda: (found := api(server, f"/pipeline-runs/{run}"))["ended_us"] and found)


@pytest.fixture(scope="module")
def rows():
    from sklearn.datasets import load_diabetes

    data = load_diabetes(as_frame=True, scaled=False)
    return data.frame.sample(frac=1, random_state=5).reset_index(drop=True)  # 442 patients, 10 columns, target 25 to 346


@pytest.fixture(scope="module")
def server():
    home = tempfile.mkdtemp(prefix="lathe-regression-")
    server = Server(home, env={"PATH": PATH, "OMP_NUM_THREADS": "1"})
    yield server
    server.down()
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def project(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("progress")
    (folder / "raw").mkdir()
    rows[:242].to_csv(folder / "raw/patients.csv", index=False)
    for name, text in {"lathe.yaml": LATHE_YAML, "prepare.yaml": PREPARE_YAML, "train.py": TRAIN_PY}.items():
        (folder / name).write_text(text)
    return folder


def apply(server, folder):
    done = server.cli("apply", cwd=folder)
    assert done.returncode == 0, done.stderr
    return re.search(r"run (pl_\w+) started", done.stdout).group(1)


def ask(server, rows, truth, endpoint="progress"):
    """One request a row; the truth comes later, in another order."""
    labels = []
    for (_, row), label in zip(rows.iterrows(), truth):
        answer = requests.post(f"{server.url}/endpoints/{endpoint}/invocations", json={"dataframe_records": [row.to_dict()]}, timeout=30)
        assert answer.status_code == 200, answer.text
        labels.append({"id": answer.headers["X-Lathe-Prediction-Id"], "label": float(label)})
    api(server, "/feedback", "POST", json=labels[::-1])


def test_a_regression_goes_through_the_whole_loop(server, project, rows):
    run = ended(server, apply(server, project))
    assert run["state"] == "succeeded", server.cli("logs", run["id"]).stdout[-3000:]
    check_evaluations(server, run["id"])
    check_verdict(api(server, f"/verdicts?run={run['id']}")["verdicts"][0])

    features = rows.drop(columns="target")
    ask(server, features[242:302], rows.target[242:302])
    window = wait("labelled window", lambda: next((w for w in api(server, "/monitors/progress/windows")["windows"] if w["labelled"] == 60), None))
    assert window["regression"] and 20 < window["mean_absolute_error"] < 80
    assert window["mean_absolute_error"] <= window["root_mean_squared_error"]
    assert window["error_interval"][0] < window["mean_absolute_error"] < window["error_interval"][1]
    assert api(server, "/alerts?endpoint=progress")["alerts"] == []

    # The same patients as ever, but the disease runs another course: only labels can tell.
    ask(server, features[302:422], rows.target[302:422] + 150)
    alert = wait("alert", lambda: next(iter(api(server, "/alerts?endpoint=progress")["alerts"]), None))
    assert alert["kind"] == "accuracy" and alert["numbers"]["regression"]
    assert alert["numbers"]["windows"][-1]["mean_absolute_error"] > 100 > alert["numbers"]["baseline"]["mean_absolute_error"]
    replayed = api(server, f"/alerts/{alert['id']}?replay=true")
    assert replayed["replay"]["equal"], replayed["replay"]
    assert "mean error" in server.cli("alerts", alert["id"]).stdout

    runs = wait("retraining", lambda: [r for r in api(server, "/pipelines/progress/runs")["runs"] if r["cause"] == f"alert:{alert['id']}"])
    again = ended(server, runs[0]["id"])
    assert again["state"] == "succeeded", server.cli("logs", again["id"]).stdout[-3000:]
    verdict = api(server, f"/verdicts?run={again['id']}")["verdicts"][0]
    assert verdict["kind"] == "retraining" and verdict["passed"], verdict["reason"]
    recent = verdict["numbers"]["rows"][1]
    assert recent["part"] == "recent" and recent["difference"]["low"] > 0
    assert recent["challenger"]["value"] < recent["champion"]["value"]
    assert api(server, "/endpoints/progress")["live_revision"] == 2


def check_evaluations(server, run):
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    evaluations = api(server, f"/evaluations?run={run}")["evaluations"]
    selected = {e["model"]: e["value"] for e in evaluations if e["purpose"] == "select"}
    gate = next(e for e in evaluations if e["purpose"] == "gate")
    assert len(selected) == 2 and selected[gate["model"]] == min(selected.values()), "of an error the smallest wins"
    summary = api(server, f"/evaluations/{gate['id']}")["summary"]
    table = pd.read_csv(io.StringIO(requests.get(f"{server.url}/api/lathe/v1/blobs/{gate['predictions']}", timeout=30).text))
    for name, metric in {"rmse": root_mean_squared_error, "mae": mean_absolute_error, "r2": r2_score}.items():
        assert summary["metrics"][name] == pytest.approx(metric(table.label, table.predicted), rel=1e-12)
    assert summary["value"] == summary["metrics"]["rmse"] and summary["low"] < summary["value"] < summary["high"]
    assert summary["task"] == "regression" and not summary["higher_is_better"] and "confusion" not in summary
    assert summary["worst"][0]["error"] == pytest.approx(np.abs(table.label - table.predicted).max())
    assert sum(s["rows"] for s in summary["slices"]) == summary["rows"] == len(table)


def check_verdict(verdict):
    assert verdict["passed"] and verdict["kind"] == "first", verdict["reason"]
    assert "its upper end stays within the bound 80" in verdict["reason"]
    assert json.dumps(verdict["numbers"]).count("mcnemar") == 0


@pytest.mark.parametrize(
    "change, message",
    [
        (("max: 80", "min: 0.5"), "gate.min: of rmse less is better; allowed: gate.max"),
        (("metric: rmse", "metric: accuracy"), "gate.max: of accuracy more is better; allowed: gate.min"),
        (("metric: rmse", "metric: rsme"), "did you mean 'rmse'?"),
    ],
)
def test_mistakes_name_what_is_allowed(server, project, tmp_path, change, message):
    folder = tmp_path / "p"
    shutil.copytree(project, folder)
    (folder / "lathe.yaml").write_text(LATHE_YAML.replace(*change))
    done = server.cli("apply", "--dry-run", cwd=folder)
    assert done.returncode == 1 and message in done.stderr, done.stderr


def test_a_classifiers_metric_on_a_regression_says_what_to_do(server, project, tmp_path):
    folder = tmp_path / "p"
    shutil.copytree(project, folder)
    text = LATHE_YAML.replace("metric: rmse, ", "").replace("max: 80, ", "").replace("project: progress", "project: wrong")
    (folder / "lathe.yaml").write_text(text.replace("endpoint: {}", "endpoint: {name: wrong}"))
    run = ended(server, apply(server, folder))
    assert run["state"] == "failed"
    assert "set evaluate.metric to rmse, mae or r2" in server.cli("logs", run["id"], "evaluate").stdout


def test_cron_retrains_and_finds_nothing_new_without_failing(server, project, tmp_path, rows):
    """Two of its minutes: one without labelled traffic, one with."""
    folder = tmp_path / "p"
    shutil.copytree(project, folder)
    text = LATHE_YAML.replace("project: progress", "project: nightly").replace("endpoint: {}", "endpoint: {name: nightly}")
    (folder / "lathe.yaml").write_text(text.replace("on: [accuracy]", 'on: ["* * * * * Europe/Paris"]'))
    first = ended(server, apply(server, folder))
    assert first["state"] == "succeeded", server.cli("logs", first["id"]).stdout[-3000:]

    def by_cron():  # not one that the clock started while the first run was still on its way
        runs = api(server, "/pipelines/nightly/runs")["runs"]
        return [r for r in runs if r["cause"] == "cron" and r["created_us"] > first["ended_us"]]

    run = ended(server, wait("run by cron", by_cron, 90)[-1]["id"])
    assert run["state"] == "succeeded", server.cli("logs", run["id"]).stdout[-3000:]
    assert not api(server, f"/verdicts?run={run['id']}")["verdicts"][0]["passed"]
    assert "nothing to retrain on" in server.cli("logs", run["id"], "prepare:progress").stdout
    assert api(server, "/endpoints/nightly")["live_revision"] == 1

    known = {r["id"] for r in by_cron()}
    ask(server, rows.drop(columns="target")[242:342], rows.target[242:342] + 150, "nightly")
    latest = wait("run by cron with labels", lambda: [r for r in by_cron() if r["id"] not in known], 90)
    again = ended(server, latest[-1]["id"])
    assert again["state"] == "succeeded", server.cli("logs", again["id"]).stdout[-3000:]
    verdict = api(server, f"/verdicts?run={again['id']}")["verdicts"][0]
    assert verdict["kind"] == "retraining" and verdict["numbers"]["rows"][1]["part"] == "recent"
