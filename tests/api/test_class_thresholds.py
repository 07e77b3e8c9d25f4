"""model.calibrate and model.thresholds on the real loop: fitted on the rows that select, kept with the version, seen by the
gate, applied wherever the version answers."""
import csv
import json
import pathlib
import shutil
import tempfile

import numpy as np
import pytest

import digits_life
from digits_life import DigitsLife


def life_of(home, monkeypatch, model):
    example = home / "example"
    shutil.copytree(digits_life.EXAMPLE, example)
    text = (example / "lathe.yaml").read_text()
    assert "model: {name: digits, from: train}" in text
    (example / "lathe.yaml").write_text(text.replace("model: {name: digits, from: train}", f"model: {{name: digits, from: train, {model}}}"))
    monkeypatch.setattr(digits_life, "EXAMPLE", example)
    return DigitsLife(home)


@pytest.fixture
def home(binary):
    with tempfile.TemporaryDirectory(prefix="lathe-calibration-") as home:
        yield pathlib.Path(home)


def test_a_calibrated_version_is_judged_and_serves_as_one(home, monkeypatch):
    life = life_of(home, monkeypatch, 'calibrate: sigmoid, thresholds: {"8": 0.2}')
    try:
        life.train()
        done = [life.get(f"/evaluations/{e['id']}") for e in life.get("/evaluations", run=life.run)["evaluations"]]
        [gate] = [e for e in done if e["purpose"] == "gate"]
        raw = next(e for e in done if e["purpose"] == "select" and e["model"] == gate["model"])
        assert len(gate["summary"]["reliability"]) == 10
        assert sum(bin["rows"] for bin in gate["summary"]["reliability"]) == gate["rows"]
        assert all(e["summary"]["metrics"]["calibration_error"] > 0 for e in (raw, gate))

        [revision] = life.get("/endpoints/digits")["revisions"]
        answer = json.loads(life.http.get(life.server.api(f"/blobs/{revision['transform']}")).text)
        assert answer["format"] == "lathe.transform.v2"
        rule = answer["answer"]
        assert rule["classes"] == [str(i) for i in range(10)] and rule["thresholds"] == {"8": 0.2}
        assert rule["calibration"]["kind"] == "sigmoid" and len(rule["calibration"]["a"]) == 10

        # What serves are those scores, and the threshold's label.
        life.input = life.http.get(f"{life.server.url}/v2/models/digits").json()["inputs"][0]["name"]
        with open(home / "held_back.csv") as held_back:
            rows = np.array(list(csv.reader(held_back))[1:], dtype=float)[:200]
        body = {"inputs": [{"name": life.input, "shape": [200, 64], "datatype": "FP64", "data": rows[:, :-1].flatten().tolist()}]}
        served = life.http.post(f"{life.server.url}/v2/models/digits/infer", json=body)
        assert served.status_code == 200, served.text
        outputs = {o["name"]: np.array(o["data"]).reshape(o["shape"]) for o in served.json()["outputs"]}
        scores = next(v for k, v in outputs.items() if v.ndim == 2 and v.shape[1] == 10)
        labels = next(v for k, v in outputs.items() if "label" in k).flatten()
        assert np.allclose(scores.sum(axis=1), 1, atol=1e-5)
        others = np.delete(scores, 8, axis=1)
        others = np.array([i for i in range(10) if i != 8])[others.argmax(axis=1)]
        assert labels.tolist() == np.where(scores[:, 8] >= np.float32(0.2), 8, others).tolist()
        assert (labels == rows[:, -1]).mean() > 0.8
        said = life.server.cli("replay", served.headers["X-Lathe-Prediction-Id"])
        assert "bit-identical" in said.stdout, said.stdout + said.stderr
    finally:
        life.stop()


@pytest.mark.parametrize("model,words", [
    ("calibrate: platt", "none, sigmoid, isotonic, temperature"), ("thresholds: {a: 2}", "from 0 to 1"), ("thresholds: [a]", "from 0 to 1")])
def test_what_cannot_be_is_refused_where_it_stands(home, monkeypatch, model, words):
    life = life_of(home, monkeypatch, model)
    try:
        shutil.copytree(digits_life.EXAMPLE, life.project)
        said = life.server.cli("apply", cwd=life.project)
        assert said.returncode != 0 and words in said.stderr and "lathe.yaml:" in said.stderr, said.stderr
    finally:
        life.stop()
