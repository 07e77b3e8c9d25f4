"""The closed loop from outside: lathe.yaml put into force, a small project through every step, and the demo itself."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import pytest
import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/api"))
from lathe_server import BINARY, Server  # noqa: E402

PATH = f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"

LATHE_YAML = """project: flowers
data: {flowers: {path: raw/*.csv, label: species, prepare: prepare.yaml, feedback: true}}
stages:
  train: {cmd: python train.py, deps: [train.py, flowers]}
model: {from: train}
gate: {min: 0.6}
endpoint: {environment: staging}
environments: {production: }
"""
PREPARE_YAML = "drop_duplicates: true\nsplit: {train: 0.5, valid: 0.2, test: 0.3, seed: 1, stratify: true}\nscale: {'*': standard}\n"
TRAIN_PY = """
import mlflow, mlflow.onnx, numpy as np, pandas as pd
from skl2onnx import to_onnx
from sklearn.tree import DecisionTreeClassifier
table = pd.read_csv("flowers/train.csv")
x, y = table.drop(columns="species").to_numpy(np.float32), table["species"].to_numpy()
with mlflow.start_run():
    model = DecisionTreeClassifier(max_depth=3, random_state=0).fit(x, y)
    mlflow.log_param("depth", 3)
    mlflow.onnx.log_model(to_onnx(model, x[:1], options={id(model): {"zipmap": False}}), name="model", pip_requirements=["onnxruntime"])
"""


@pytest.fixture(scope="module")
def server():
    home = tempfile.mkdtemp(prefix="lathe-loop-")
    server = Server(home, env={"PATH": PATH, "OMP_NUM_THREADS": "1"})
    yield server
    server.down()
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    from sklearn.datasets import load_iris

    folder = tmp_path_factory.mktemp("flowers")
    (folder / "raw").mkdir()
    rows = load_iris()
    lines = ["a,b,c,d,species"] + [",".join(map(str, x)) + f",{rows.target_names[y]}" for x, y in zip(rows.data, rows.target)]
    (folder / "raw/iris.csv").write_text("\n".join(lines) + "\n")
    (folder / "lathe.yaml").write_text(LATHE_YAML)
    (folder / "prepare.yaml").write_text(PREPARE_YAML)
    (folder / "train.py").write_text(TRAIN_PY)
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def api(server, path, method="GET", **kwargs):
    response = requests.request(method, server.url + "/api/lathe/v1" + path, timeout=60, **kwargs)
    assert response.status_code < 500, response.text
    return response


def events(server, after="0.0"):
    """Live events from `after` on, as dicts; ends with the stream."""
    with requests.get(server.url + f"/api/lathe/v1/events?after={after}", headers={"Accept": "text/event-stream"}, stream=True, timeout=120) as stream:
        for line in stream.iter_lines():
            if line.startswith(b"data: "):
                yield json.loads(line[6:])


def wait_for_run(server, run):
    for event in events(server):
        if event["subject"]["id"] == run and event["kind"] in ("pipeline_run.succeeded", "pipeline_run.failed", "pipeline_run.cancelled"):
            return event["kind"]
    raise AssertionError("the event stream ended")


def test_dry_run_shows_changes_and_every_default_and_writes_nothing(server, project):
    done = server.cli("apply", "--dry-run", cwd=project)
    assert done.returncode == 0, done.stderr
    assert re.search(r"evaluate\.metric\s+accuracy\s+default", done.stdout)
    assert re.search(r"gate\.min\s+0\.6\s+lathe\.yaml:6", done.stdout)
    assert "dry run" in done.stdout
    assert api(server, "/config").json()["projects"] == []


@pytest.mark.parametrize(
    "change, message",
    [
        (("gate: {min: 0.6}", "gate: {mni: 0.6}"), "lathe.yaml:6: gate.mni: unknown key; did you mean 'min'?"),
        (("gate: {min: 0.6}", "gate: {min: most}"), "lathe.yaml:6: gate.min: found the text 'most'; allowed: a number from 0 to 1"),
        (("feedback: true", "feedback: yes"), "lathe.yaml:2"),
        (("model: {from: train}", "model: {from: trian}"), "did you mean 'train'?"),
        (("project: flowers\n", "project: flowers\nproject: again\n"), "lathe.yaml:2"),
    ],
)
def test_mistakes_are_refused_with_the_place(server, project, tmp_path, change, message):
    folder = tmp_path / "p"
    shutil.copytree(project, folder, ignore=shutil.ignore_patterns(".git"))
    (folder / "lathe.yaml").write_text(LATHE_YAML.replace(*change))
    done = server.cli("apply", cwd=folder)
    assert done.returncode == 1
    assert message in done.stderr
    assert api(server, "/config").json()["projects"] == []


def test_published_schema_is_what_the_server_says(server):
    assert api(server, "/schema").text == (ROOT / "docs/formats/lathe.schema.json").read_text()


def test_first_promotion_then_nothing_changed_then_production_and_lineage(server, project):
    done = server.cli("apply", cwd=project)
    assert done.returncode == 0, done.stderr
    run = re.search(r"run (pl_\w+) started", done.stdout).group(1)
    state = wait_for_run(server, run)
    assert state == "pipeline_run.succeeded", server.cli("logs", run).stdout + server.log()[-3000:]

    again = server.cli("apply", cwd=project)
    assert "nothing changed" in again.stdout and "no run started" in again.stdout

    verdict = api(server, f"/verdicts?run={run}").json()["verdicts"][0]
    assert verdict["passed"] and verdict["kind"] == "first" and verdict["environment"] == "staging"
    rows = verdict["numbers"]["rows"][0]
    assert rows["part"] == "test" and len(rows["sha256"]) == 64
    evaluations = api(server, f"/evaluations?run={run}").json()["evaluations"]
    assert sorted((e["purpose"], e["part"]) for e in evaluations) == [("gate", "test"), ("select", "valid")]
    summary = api(server, f"/evaluations/{rows['challenger']['evaluation']}").json()["summary"]
    assert sum(map(sum, summary["confusion"]["counts"])) == summary["rows"] == rows["rows"]
    check_against_scikit_learn(server, evaluations, summary)

    assert predict(server, "flowers-staging").status_code == 200
    assert predict(server, "flowers").status_code == 404
    moved = server.cli("promote", "--to", "production")
    assert moved.returncode == 0, moved.stderr
    answer = predict(server, "flowers")
    assert answer.status_code == 200
    assert "no environment 'prod'" in server.cli("promote", "--to", "prod").stderr
    assert server.cli("rollback", "flowers").returncode == 1  # nothing earlier

    tree = server.cli("lineage", "flowers/1").stdout
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=project, capture_output=True, text=True).stdout.strip()
    assert commit in tree and "depth=3" in tree and "flowers/raw/iris.csv@" in tree
    down = server.cli("lineage", "raw/iris.csv").stdout
    assert "model version flowers/1" in down and "revision flowers/1" in down
    assert server.cli("lineage", "no/such").returncode == 1


def check_against_scikit_learn(server, evaluations, summary):
    import io

    import pandas as pd
    from sklearn.metrics import f1_score

    gate = next(e for e in evaluations if e["purpose"] == "gate")
    rows = pd.read_csv(io.StringIO(api(server, f"/blobs/{gate['predictions']}").text))
    assert summary["metrics"]["accuracy"] == pytest.approx((rows.label == rows.predicted).mean(), abs=1e-12)
    assert summary["metrics"]["macro_f1"] == pytest.approx(f1_score(rows.label, rows.predicted, average="macro"), abs=1e-12)


def predict(server, endpoint):
    meta = requests.get(f"{server.url}/v2/models/{endpoint}", timeout=30)
    name = meta.json()["inputs"][0]["name"] if meta.ok else "X"
    body = {"inputs": [{"name": name, "shape": [1, 4], "datatype": "FP64", "data": [5.1, 3.5, 1.4, 0.2]}]}
    return requests.post(f"{server.url}/v2/models/{endpoint}/infer", json=body, timeout=30)


def test_a_stage_may_only_do_its_own_step(server):
    assert api(server, "/evaluation-plan").status_code == 400
    assert api(server, "/evaluation-plan?run=pl_nothing").status_code == 404
    assert api(server, "/promotions", "POST", json={}).status_code == 400
    assert api(server, "/promotions", "POST", json={"verdict": "vd_nothing"}).status_code == 404
    assert api(server, "/lineage/flowers/1?direction=sideways").status_code == 400
    assert api(server, "/apply", "POST", data="{").status_code == 400
    assert api(server, "/bundles", "POST", json={"files": [{"path": "../x", "digest": "0" * 64, "size": 1}]}).status_code == 400
    assert api(server, "/bundles", "POST", json={"files": [{"path": "x", "digest": "0" * 64, "size": 1}]}).status_code == 409


def test_the_demo(binary=BINARY):
    """Section 5, whole: any step that does not come fails it."""
    done = subprocess.run([sys.executable, ROOT / "examples/digits/demo.py", "--lathe", str(binary)], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert re.search(r"Requests\s+\d+ sent, 0 failed", done.stdout)
