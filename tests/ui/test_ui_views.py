"""Runs as groups, pins, views and charts; the files of a run; traces and prompts: what the stock client logs, as people see it."""
import base64
import json

import pandas
import pytest
import requests

from ui_paths import ROOT


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """A server with what a team logs, by the stock client where its own form matters; answers (url, facts)."""
    from lathe_server import Server
    server = Server(tmp_path_factory.mktemp("views"))
    try:
        yield server.url, {**log_runs(server.url), **log_files(server.url), **log_traces(server.url), **log_prompts(server.url)}
    finally:
        server.down()


def call(url, path, body):
    answer = requests.post(f"{url}/api/2.0/mlflow/{path}", json=body, timeout=30)
    answer.raise_for_status()
    return answer.json()


def log_runs(url):
    one, two = (call(url, "experiments/create", {"name": name})["experiment_id"] for name in ("vision/digits", "vision/faces"))
    forests = []
    for i in range(120):
        model = ("svm", "mlp", "forest")[i % 3]
        run = call(url, "runs/create", {"experiment_id": one if i < 90 else two, "start_time": 1_000_000 + i, "run_name": f"{model}-{i}"})["run"]["info"]["run_id"]
        accuracy = 0.4 + (i * 37 % 60) / 100
        call(url, "runs/log-batch", {"run_id": run, "params": [{"key": "model", "value": model}, {"key": "lr", "value": str(10.0 ** -(i % 5))}],
                                     "metrics": [{"key": "accuracy", "value": accuracy * (s + 1) / 3, "timestamp": i, "step": s} for s in range(3)]})
        if model == "forest":
            forests.append(accuracy)
    return {"folder": "vision", "experiments": [one, two], "experiment": one, "group": "forest", "count": len(forests), "mean": f"{sum(forests) / len(forests):.4g}"}


def log_files(url):
    import mlflow
    client = mlflow.MlflowClient(url)
    run = client.create_run("0", run_name="files").info.run_id
    rows = pandas.DataFrame({"name": [f"row-{i}" for i in range(2000)], "value": range(2000), "share": [i / 7 for i in range(2000)]})
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [
        {"cell_type": "markdown", "metadata": {}, "source": ["# Exploration\n", "<script>alert('notebook')</script><img src=x onerror=\"alert('image')\">"]},
        {"cell_type": "code", "metadata": {}, "execution_count": 1, "source": ["np.arange(3)"], "outputs": [
            {"output_type": "execute_result", "execution_count": 1, "metadata": {}, "data": {"text/plain": ["array([0, 1, 2])"]}},
            {"output_type": "display_data", "metadata": {}, "data": {"text/html": ["<table><tr><td>framed</td></tr></table><script>parent.document.title='owned'</script>"]}}]}]}
    files = {"explore.ipynb": json.dumps(notebook), "rows.csv": rows.to_csv(index=False), "config.json": '{"model": {"dropout": 0.1}}',
             "report.md": "# The report\n\n<script>alert('markdown')</script><a href=\"javascript:alert('link')\">x</a>\n\n| a |\n|---|\n| 1 |\n",
             "page.html": "<html><body><p>As it was written</p><script>top.document.title='owned'</script></body></html>"}
    for name, text in files.items():
        client.log_text(run, text, name)
    # The same rows as pyarrow wrote them: four groups, zstd.
    parquet = base64.b64decode((ROOT / "tests" / "ui" / "rows.parquet.base64").read_text())
    put = requests.put(f"{url}/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/rows.parquet", data=parquet, timeout=30)
    put.raise_for_status()
    return {"run": run}


def log_traces(url):
    import mlflow
    mlflow.set_tracking_uri(url)
    mlflow.set_experiment("support")

    @mlflow.trace(span_type="RETRIEVER")
    def retrieve(question):
        return [{"page_content": f"A passage about {question}", "metadata": {"doc_uri": "docs/1.md"}}]

    @mlflow.trace(span_type="CHAIN")
    def answer(question):
        retrieve(question)
        if "fail" in question:
            raise TimeoutError("the model gave no answer")
        return {"answer": question.upper()}

    for question in ("why is it queued", "how do I fail", "what is PSI"):
        try:
            answer(question)
        except TimeoutError:
            pass
    mlflow.flush_trace_async_logging()
    return {"question": "why is it queued", "failed": 1, "reason": "the model gave no answer", "passage": "A passage about how do I fail"}


def log_prompts(url):
    import mlflow
    mlflow.set_tracking_uri(url)
    mlflow.genai.register_prompt("support-answer", "Answer the {{question}} briefly.", commit_message="first")
    mlflow.genai.register_prompt("support-answer", "Answer every {{question}} in two sentences.", commit_message="longer")
    return {"name": "support-answer", "added": "every", "removed": "the"}


@pytest.mark.parametrize("flow", ["groups", "saved", "charts", "files", "traces", "prompts"])
def test_flow(logged, browse, flow):
    url, facts = logged
    outcome = browse("views.mjs", flow, url, json.dumps(facts))
    assert not outcome["problems"], "\n".join(outcome["problems"])


def runs_in(url, experiment, view="ACTIVE_ONLY"):
    return len(call(url, "runs/search", {"experiment_ids": [experiment], "max_results": 500, "run_view_type": view}).get("runs", []))


@pytest.mark.skipif('"/runs/move"' not in (ROOT / "docs" / "openapi.json").read_text(), reason="this server moves no runs")
def test_selected_runs_are_moved_copied_and_deleted(browse, tmp_path):
    from lathe_server import Server
    server = Server(tmp_path)
    try:
        facts = log_runs(server.url)
        for r in call(server.url, "runs/search", {"experiment_ids": facts["experiments"], "max_results": 500})["runs"]:
            call(server.url, "runs/update", {"run_id": r["info"]["run_id"], "status": "FINISHED"})
        target = call(server.url, "experiments/create", {"name": "kept/here"})["experiment_id"]
        before = runs_in(server.url, facts["experiments"][1])
        outcome = browse("views.mjs", "acts", server.url, json.dumps({**facts, "target": "kept/here"}))
        assert not outcome["problems"], "\n".join(outcome["problems"])
        assert runs_in(server.url, target) == 4  # two moved, two copied
        assert runs_in(server.url, facts["experiments"][1], "ALL") == before - 4  # two moved, two deleted for good
    finally:
        server.down()


def test_groups_are_counted_as_they_are(logged):
    """The server's mean, spread and extremes against pandas' over the same runs; a wrong column says what is allowed."""
    url, facts = logged
    ask = f"{url}/api/lathe/v1/pages/runs/groups"
    got = requests.get(ask, params={"exp": facts["experiments"], "by": ["params.model", "status"], "col": ["metrics.accuracy", "params.lr"]}, timeout=30).json()
    assert got["columns"] == ["metrics.accuracy"] and got["runs"] == 120 and not got["cut"]
    found = call(url, "runs/search", {"experiment_ids": facts["experiments"], "max_results": 500})["runs"]
    frame = pandas.DataFrame([{"model": {p["key"]: p["value"] for p in r["data"]["params"]}["model"], "status": r["info"]["status"], "accuracy": r["data"]["metrics"][0]["value"]} for r in found])
    for key, rows in frame.groupby(["model", "status"]):
        group = next(g for g in got["groups"] if tuple(g["key"]) == key)
        cell = group["cells"][0]
        assert group["runs"] == len(rows) == cell["count"]
        assert cell["mean"] == pytest.approx(rows.accuracy.mean()) and cell["sd"] == pytest.approx(rows.accuracy.std())
        assert (cell["min"], cell["max"]) == (pytest.approx(rows.accuracy.min()), pytest.approx(rows.accuracy.max()))
    none = requests.get(ask, params={"exp": facts["experiments"], "by": "params.nothing"}, timeout=30).json()
    assert [(g["key"], g["runs"]) for g in none["groups"]] == [([None], 120)]
    for wrong in ({}, {"by": ["status"] * 4}, {"by": "nonsense"}, {"by": "status", "q": "metrics.accuracy >"}):
        assert requests.get(ask, params=wrong, timeout=30).status_code == 400


def test_rows_by_id(logged):
    url, facts = logged
    ask = f"{url}/api/lathe/v1/pages/runs/rows"
    ids = [r["info"]["run_id"] for r in call(url, "runs/search", {"experiment_ids": [facts["experiment"]], "max_results": 3})["runs"]]
    got = requests.get(ask, params={"id": [ids[2], "0" * 32, ids[0]], "col": "metrics.accuracy"}, timeout=30).json()["rows"]
    assert [r["id"] for r in got] == [ids[2], ids[0]] and all(len(r["cells"]) == 1 for r in got)
    assert requests.get(ask, timeout=30).status_code == 400
    assert requests.get(ask, params={"id": ["x"] * 101}, timeout=30).status_code == 400
