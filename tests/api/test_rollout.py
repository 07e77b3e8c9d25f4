"""A rollout on the real loop: the second model's promotion begins as a canary, gets all of the traffic, bakes, and goes
back by itself when feedback says that it is wrong."""
import csv
import pathlib
import tempfile
import time

import pytest

from digits_life import DigitsLife, events_of

ROLLOUT = "rollout: {steps: [40], wait: 2s, bake: 60s, min_requests: 20}\n"


@pytest.fixture
def rolling(binary):
    with tempfile.TemporaryDirectory(prefix="lathe-rollout-") as home:
        life = DigitsLife(pathlib.Path(home))
        try:
            yield life
        finally:
            life.stop()


def edit(life, old, new):
    file = life.project / "lathe.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new) + ("" if "rollout:" in text else ROLLOUT))


def until(what, seconds=120):
    end = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.2)


def test_a_canary_advances_bakes_and_goes_back_by_itself(rolling):
    life = rolling
    life.train()  # the first has all of the traffic: there is nothing to compare with
    assert [p["kind"] for p in life.get("/promotions")["promotions"]] == ["promoted"]
    first = life.get("/endpoints/digits")["live_revision"]
    edit(life, "[logreg, forest]", "[logreg]")
    (life.project / "train.py").write_text((life.project / "train.py").read_text() + "# another one\n")
    edit(life, "max_regression: 0.05", "max_regression: 0.2")  # whichever is left may follow
    done = life.server.cli("apply", cwd=life.project)
    assert done.returncode == 0, done.stderr
    life.wait_for("rollout.started")
    traffic = life.get("/endpoints/digits/traffic")
    canary = next(r["revision"] for r in traffic["revisions"] if r["weight"] == 40)
    assert life.get("/endpoints/digits")["live_revision"] == first
    assert traffic["rollouts"][0]["phase"] == "canary" and traffic["rollouts"][0]["steps"] == [40]

    life.input = life.http.get(f"{life.server.url}/v2/models/digits", timeout=60).json()["inputs"][0]["name"]
    with open(life.home / "held_back.csv") as held_back:
        rows = list(csv.reader(held_back))[1:]
    for row in rows[:150]:
        life.ask([float(v) for v in row[:-1]], row[-1])
    labels = [{"id": id, "label": truth} for id, _, truth in life.answers]
    assert life.http.post(life.server.api("/feedback"), json=labels, timeout=60).status_code == 200
    until(lambda: life.get("/endpoints/digits")["live_revision"] == canary)
    traffic = life.get("/endpoints/digits/traffic")
    assert traffic["rollouts"][0]["phase"] == "bake" and traffic["rollouts"][0]["state"] == "running"
    assert {r["revision"]: r["weight"] for r in traffic["revisions"]}[canary] == 100

    # Within the bake its answers turn out to be wrong.
    begun = len(life.answers)
    for row in rows[150:230]:
        life.ask([float(v) for v in row[:-1]], row[-1])
    wrong = [{"id": id, "label": str((int(truth) + 1) % 10)} for id, _, truth in life.answers[begun:]]
    assert life.http.post(life.server.api("/feedback"), json=wrong, timeout=60).status_code == 200
    until(lambda: life.get("/endpoints/digits")["live_revision"] == first)
    until(lambda: events_of(life, "rollout.reverted"))
    newest = life.get("/endpoints/digits/traffic")["rollouts"][0]
    assert newest["state"] == "reverted" and "accuracy by feedback" in newest["reason"], newest
    assert [p["kind"] for p in life.get("/promotions")["promotions"]] == ["rolled_back", "promoted", "canary", "promoted"]
    said = life.server.cli("traffic", "digits").stdout
    assert "reverted" in said and "100 %" in said, said
