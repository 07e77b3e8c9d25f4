"""Runs, models and evaluations as people use them: find the best, compare, promote, roll back; keys alone."""
import json
import pathlib
import shutil
import sys
import tempfile

import pytest
import requests

from ui_paths import ROOT

sys.path.insert(0, str(ROOT / "tests" / "api"))
import digits_life  # noqa: E402

TWO_ENVIRONMENTS = """project: digits
data:     {digits: {path: raw/*.csv, label: digit, prepare: prepare.yaml}}
stages:
  train:  {cmd: "python train.py logreg", deps: [train.py, digits]}
model:    {name: digits, from: train}
evaluate: {metric: accuracy, select_on: valid, test_on: test}
gate:     {confidence: 0.95, max_regression: 0.05}
endpoint: {environment: staging}
environments: {production: }
"""


@pytest.fixture(scope="module")
def runs(life):
    """60 runs of one experiment; answers its id and the run that a filter must find."""
    url = f"{life.server.url}/api/2.0/mlflow"

    def call(path, body):
        answer = requests.post(f"{url}/{path}", json=body, timeout=30)
        answer.raise_for_status()
        return answer.json()

    experiment = call("experiments/create", {"name": "many/runs"})["experiment_id"]
    for i in range(60):
        model = ("svm", "mlp", "forest")[i % 3]
        run = call("runs/create", {"experiment_id": experiment, "start_time": 1_000_000 + i, "run_name": f"{model}-{i}"})["run"]["info"]["run_id"]
        call("runs/log-batch", {"run_id": run, "params": [{"key": "model", "value": model}, {"key": "lr", "value": str(i % 7)}],
                                "metrics": [{"key": "accuracy", "value": 0.4 + (i * 37 % 60) / 100, "timestamp": i, "step": s} for s in (0, 1)]})
    found = call("runs/search", {"experiment_ids": [experiment], "filter": "params.model != 'forest'", "order_by": ["metrics.accuracy DESC"], "max_results": 1})
    return experiment, found["runs"][0]["info"]["run_name"]


def outcome(browse, flow, url, **options):
    got = browse("tracking.mjs", flow, url, json.dumps(options))
    assert not got["problems"], "\n".join(got["problems"])
    return got


def test_the_best_of_many_is_found_and_its_address_shared(life, browse, runs):
    outcome(browse, "find", life.server.url, experiment=runs[0], best=runs[1])


def test_compare_with_keys_alone(life, browse, runs):
    outcome(browse, "keyboard", life.server.url, experiment=runs[0])


def test_a_new_run_is_offered_and_moves_nothing(life, browse, runs):
    outcome(browse, "fresh", life.server.url, experiment=runs[0])


def test_a_cell_of_the_confusion_matrix_shows_its_rows(life, browse):
    evaluations = life.get("/pages/evaluations")["evaluations"]
    id = next(e["evaluation"]["id"] for e in evaluations if e["evaluation"]["purpose"] == "gate")
    confusion = life.get(f"/evaluations/{id}")["summary"]["confusion"]
    label, count = confusion["labels"][0], confusion["counts"][0][0]
    rows = life.get(f"/pages/evaluations/{id}/rows", label=label, predicted=label)
    assert rows["matches"] == count and len(rows["rows"][0]["input"]) == 64
    outcome(browse, "evaluation", life.server.url, id=id, cell=f"{count} rows of {label} called {label}", matches=f"{count} of {rows['rows_total']}")


@pytest.fixture(scope="module")
def staged():
    """Digits with two environments: a pipeline promotes to staging only."""
    with tempfile.TemporaryDirectory(prefix="lathe-ui-staged-") as home, pytest.MonkeyPatch.context() as patch:
        home = pathlib.Path(home)
        shutil.copytree(digits_life.EXAMPLE, home / "example")
        (home / "example" / "lathe.yaml").write_text(TWO_ENVIRONMENTS)
        patch.setattr(digits_life, "EXAMPLE", home / "example")
        life = digits_life.DigitsLife(home)
        try:
            life.train()
            yield life
        finally:
            life.stop()


def test_promote_and_roll_back(staged, browse):
    url = staged.server.url
    production = next(e["name"] for e in staged.get("/endpoints")["endpoints"] if e["environment"] == "production")
    outcome(browse, "promote", url, model="digits", version=1, endpoint=production)
    assert staged.get("/pages/models/digits")["model"]["aliases"] == {"staging": 1, "champion": 1}
    again = staged.server.cli("run", "digits", "--force", cwd=staged.project)
    assert again.returncode == 0, again.stderr
    staged.wait_for("pipeline_run.succeeded", staged.get("/pipelines/digits/runs")["runs"][0]["id"])
    ready = staged.get("/pages/models/digits")["ready"]
    assert [(r["environment"], r["then"]["version"], r["now"]["version"]) for r in ready] == [("production", 2, 1)]
    outcome(browse, "promote", url, model="digits", version=2, previous=1, endpoint=production)
    assert [p["kind"] for p in staged.get("/promotions", endpoint=production)["promotions"]] == ["rolled_back", "promoted", "promoted"]
    outcome(browse, "rollback", url, model="digits", endpoint=production, to=2)  # forward again: what was left is what one goes back to
    assert staged.get("/pages/rollback", endpoint=production)["then"]["version"] == 1
