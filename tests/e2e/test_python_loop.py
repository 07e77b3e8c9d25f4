"""The closed loop with a pickle: the stock client's mlflow.sklearn.log_model in a stage, evaluated, judged, promoted, asked,
captured and watched like any other model."""

import os
import pathlib
import shutil
import sys
import tempfile
import time

import pytest
import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/api"))
from lathe_server import Server  # noqa: E402

LATHE_YAML = """project: flowers
data: {flowers: {path: raw/*.csv, label: species, prepare: prepare.yaml}}
stages:
  train: {cmd: python train.py, deps: [train.py, flowers]}
model: {from: train}
gate: {min: 0.6}
endpoint: {environment: production}
monitor: {window: 30 rows}
"""
PREPARE_YAML = "drop_duplicates: true\nsplit: {train: 0.5, valid: 0.2, test: 0.3, seed: 1, stratify: true}\n"
TRAIN_PY = """
import mlflow, mlflow.sklearn, pandas as pd
from sklearn.tree import DecisionTreeClassifier
table = pd.read_csv("flowers/train.csv")
x, y = table.drop(columns="species"), table["species"]
with mlflow.start_run():
    model = DecisionTreeClassifier(max_depth=3, random_state=0).fit(x, y)
    mlflow.sklearn.log_model(model, name="model", input_example=x[:2], serialization_format="cloudpickle")
"""


@pytest.fixture(scope="module")
def server():
    home = tempfile.mkdtemp(prefix="lathe-python-")
    server = Server(home, env={"PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"})
    yield server
    server.down()
    shutil.rmtree(home, ignore_errors=True)


def wait_for(what, seconds):
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until
        time.sleep(0.5)
    return found


def test_a_pickle_through_the_whole_loop(server, tmp_path):
    from sklearn.datasets import load_iris

    (tmp_path / "raw").mkdir()
    rows = load_iris()
    lines = ["a,b,c,d,species"] + [",".join(map(str, x)) + f",{rows.target_names[y]}" for x, y in zip(rows.data, rows.target)]
    for name, text in (("raw/a.csv", "\n".join(lines) + "\n"), ("lathe.yaml", LATHE_YAML), ("prepare.yaml", PREPARE_YAML), ("train.py", TRAIN_PY)):
        (tmp_path / name).write_text(text)
    server.cli("apply", cwd=tmp_path, check=True)

    def ended():
        line = server.cli("runs").stdout
        assert "failed" not in line, line
        return "succeeded" in line
    wait_for(ended, 300)
    endpoint = requests.get(server.api("/endpoints/flowers")).json()
    assert endpoint["state"] == "ready" and endpoint["model"] == "flowers/1"
    assert requests.get(server.url + "/v2/models/flowers").json()["platform"] == "mlflow_pyfunc"
    for i in range(60):
        body = {"dataframe_split": {"columns": ["a", "b", "c", "d"], "data": [[5.1 + i, 3.5 + i, 1.4 + i, 0.2 + i]]}}
        answer = requests.post(f"{server.url}/endpoints/flowers/invocations", json=body)
        assert answer.status_code == 200 and "X-Lathe-Prediction-Id" in answer.headers, answer.text
    assert answer.json() == {"predictions": ["virginica"]}
    wait_for(lambda: any(w["drifted"] for w in requests.get(server.api("/pages/monitors/flowers")).json()["windows"]), 60)
    assert "lathe_inference_workers{" in requests.get(server.url + "/metrics").text
