"""Makes a folder of tests/upgrade from a server of the given binary: a small project through its first promotion, runs,
labels, a drifted window's worth of traffic; then both databases as SQL text."""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURE = ROOT / "tools/fixtures/pg.sh"
sys.path.insert(0, str(ROOT / "tests/api"))

LATHE_YAML = """project: flowers
data: {flowers: {path: raw/*.csv, label: species, feedback: true}}
stages:
  train: {cmd: python train.py, deps: [train.py, flowers]}
model: {from: train}
gate: {min: 0.6}
endpoint: {environment: production}
monitor: {window: 30 rows, labels: feedback}
retrain: {on: [drift], cooldown: 1h, min_labels: 10000}
"""
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


def make_project(folder):
    from sklearn.datasets import load_iris

    (folder / "raw").mkdir(parents=True)
    rows = load_iris()
    lines = ["a,b,c,d,species"] + [",".join(map(str, x)) + f",{rows.target_names[y]}" for x, y in zip(rows.data, rows.target)]
    (folder / "raw/iris.csv").write_text("\n".join(lines) + "\n")
    (folder / "lathe.yaml").write_text(LATHE_YAML)
    (folder / "train.py").write_text(TRAIN_PY)


def ask(server, rows):
    body = {"inputs": [{**server.input, "shape": [len(rows), 4], "data": sum(rows, [])}]}
    answer = requests.post(f"{server.url}/v2/models/flowers/infer", json=body, timeout=30)
    assert answer.ok, answer.text
    return answer.headers["X-Lathe-Prediction-Id"]


def live(server, project):
    """The life that the store remembers."""
    done = server.cli("apply", cwd=project, check=True)
    run = done.stdout.split("run pl_")[1].split()[0]
    with requests.get(server.api("/events?after=0.0"), headers={"Accept": "text/event-stream"}, stream=True, timeout=300) as stream:
        for line in stream.iter_lines():
            if line.startswith(b"data: ") and json.loads(line[6:])["kind"] in ("pipeline_run.succeeded", "pipeline_run.failed"):
                break
    assert json.loads(line[6:])["kind"] == "pipeline_run.succeeded", server.cli("logs", "pl_" + run).stdout
    mlflow = server.url + "/api/2.0/mlflow"
    made = requests.post(mlflow + "/runs/create", json={"experiment_id": "0", "start_time": 1, "tags": [{"key": "colour", "value": "blue"}]}, timeout=30)
    mine = made.json()["run"]["info"]["run_id"]
    for step in range(3):
        body = {"run_id": mine, "key": "loss", "value": 1 / (step + 1), "timestamp": 2 + step, "step": step}
        assert requests.post(mlflow + "/runs/log-metric", json=body, timeout=30).ok
    assert requests.post(mlflow + "/runs/log-parameter", json={"run_id": mine, "key": "depth", "value": "7"}, timeout=30).ok
    server.input = requests.get(f"{server.url}/v2/models/flowers", timeout=30).json()["inputs"][0]
    ids = [ask(server, [[5.1 + i / 100, 3.5, 1.4, 0.2]]) for i in range(40)]
    labels = [{"id": i, "label": "setosa"} for i in ids[:5]]
    assert requests.post(server.api("/feedback"), json=labels, timeout=30).ok
    return ids[0]


def expected(url):
    """What the API says of it: compared before and after the upgrade."""
    get = lambda path: requests.get(url + path, timeout=30).json()  # noqa: E731
    post = lambda path, body: requests.post(url + "/api/2.0/mlflow" + path, json=body, timeout=30).json()  # noqa: E731
    ours = "/api/lathe/v1"
    return {
        "runs": sorted(post("/runs/search", {"experiment_ids": ["0"], "filter": "tags.colour = 'blue'"})["runs"], key=lambda r: r["info"]["run_id"]),
        "experiments": sorted(e["name"] for e in post("/experiments/search", {"max_results": 100})["experiments"]),
        "model": get("/api/2.0/mlflow/registered-models/alias?name=flowers&alias=champion")["model_version"]["version"],
        "pipeline_runs": [(r["number"], r["state"]) for r in get(f"{ours}/pipelines/flowers/runs")["runs"]],
        "verdicts": [(v["id"], v["passed"]) for v in get(f"{ours}/verdicts?pipeline=flowers")["verdicts"]],
        "promotions": [(p["kind"], p["version"]) for p in get(f"{ours}/promotions?endpoint=flowers")["promotions"]],
        "data": [v["id"] for v in get(f"{ours}/data/flowers/versions")["versions"]],
    }


def keep_blobs(state, folder):
    """Small blobs only: the model is among them; the rest is data, which an upgrade does not read."""
    for file in (state / "blobs").rglob("*"):
        if file.is_file() and file.stat().st_size <= 20_000:
            to = folder / "blobs" / file.relative_to(state / "blobs")
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, to)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lathe", required=True, type=pathlib.Path, help="the binary whose schema is kept")
    parser.add_argument("folder", type=pathlib.Path)
    options = parser.parse_args()
    os.environ["LATHE_BINARY"] = str(options.lathe.resolve())
    from lathe_server import Server

    options.folder.mkdir(parents=True)
    work = pathlib.Path(tempfile.mkdtemp(prefix="lathe-store-"))
    work.chmod(0o755)
    make_project(work / "project")
    url = subprocess.run([FIXTURE, "start", work / "pg"], capture_output=True, text=True, check=True).stdout.strip()
    libraries = {"LATHE_ONNXRUNTIME": next(str(p) for p in (ROOT / ".venv").glob("lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so.*")),
                 "LATHE_DUCKDB": str(ROOT / "build/deps/duckdb/lib"), "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"}
    facts = {}
    try:
        for engine, store in (("sqlite", "sqlite"), ("postgresql", url)):
            home = work / engine
            home.mkdir()
            server = Server(home, ["--store", store], env=libraries)
            prediction = live(server, work / "project")
            facts[engine] = {"prediction": prediction, **expected(server.url)}
            server.down()
            if engine == "sqlite":
                text = subprocess.run(["sqlite3", home / ".lathe/lathe.db", ".dump"], capture_output=True, text=True, check=True).stdout
            else:
                text = subprocess.run(["pg_dump", "--inserts", "--no-owner", "--no-privileges", "--rows-per-insert=50", url],
                                      capture_output=True, text=True, check=True).stdout
            (options.folder / f"{engine}.sql").write_text(text)
            keep_blobs(home / ".lathe", options.folder / engine)
        (options.folder / "expected.json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
    finally:
        subprocess.run([FIXTURE, "stop", work / "pg"], capture_output=True)
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
