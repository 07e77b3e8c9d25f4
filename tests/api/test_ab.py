"""Slices, A/B tests and the bandit over the wire: what feedback says of each revision, held against statsmodels and scipy."""
import collections
import json
import math

import numpy as np
import pytest
import requests
import scipy.stats
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import confint_proportions_2indep, proportions_ztest

from test_traffic import ROWS, ask, divide, flowers, wait_for  # noqa: F401 (the fixture)


def traffic(server):
    return requests.get(server.api("/endpoints/flowers/traffic")).json()


def feedback(server, labels):
    answer = requests.post(server.api("/feedback"), json=[{"id": id, "row": 0, "label": label} for id, label in labels])
    assert answer.status_code == 200, answer.text


def of(server, revision, n):
    """n predictions of one revision: their ids and labels."""
    out = []
    for i in range(n):
        answer = ask(server, i, **{"X-Lathe-Revision": str(revision)})
        out.append((answer.headers["X-Lathe-Prediction-Id"], answer.json()["predictions"][0]))
    return out


def test_slices_go_by_header(flowers):  # noqa: F811
    said = divide(flowers, weights={"2": 100, "1": 0}, rules=[{"when": 'header["X-Tier"] in ["gold", "silver"]', "revision": 1}])
    assert said["rules"] == [{"when": 'header["X-Tier"] in ["gold", "silver"]', "revision": 1, "in_force": True}]
    assert ask(flowers, **{"X-Tier": "gold"}).headers["X-Lathe-Revision"] == "1"
    assert {ask(flowers, i, **{"X-Tier": "free"}).headers["X-Lathe-Revision"] for i in range(10)} == {"2"}
    assert ask(flowers, **{"X-Tier": "gold", "X-Lathe-Revision": "2"}).headers["X-Lathe-Revision"] == "2"  # named: it wins
    shown = flowers.cli("traffic", "flowers").stdout
    assert "revision 1" in shown and "x-tier" in shown.lower(), shown
    kept = flowers.cli("traffic", "flowers", "--sticky", "x-user")  # a change of something else leaves them
    assert kept.returncode == 0 and traffic(flowers)["rules"], kept.stderr
    flowers.kill()
    flowers.start()
    assert ask(flowers, **{"X-Tier": "silver"}).headers["X-Lathe-Revision"] == "1"
    done = flowers.cli("traffic", "flowers", "--rule", "1: petal_width > 1", "--rule", "2: true")
    assert done.returncode == 0, done.stderr


def test_slices_go_by_column(flowers):  # noqa: F811
    divide(flowers, rules=[{"when": "petal_length > 4 and not (petal_width < 1)", "revision": 1}])
    rows = np.array(ROWS)
    for i, row in enumerate(rows):
        inside = row[2] > 4 and not row[3] < 1
        answer = ask(flowers, i)
        assert answer.headers["X-Lathe-Revision"] == answer.headers["X-Lathe-Model-Version"] == ("1" if inside else "2")
    mixed = requests.post(flowers.url + "/v1/models/flowers:predict", json={"instances": ROWS})
    assert mixed.status_code == 400 and "send them apart" in mixed.text
    [tensor] = requests.get(flowers.url + "/v2/models/flowers").json()["inputs"]
    high = rows[rows[:, 2] > 5][:1]
    body = {"inputs": [{"name": tensor["name"], "shape": [1, 4], "datatype": tensor["datatype"], "data": high.flatten().tolist()}]}
    assert requests.post(flowers.url + "/v2/models/flowers/infer", json=body).json()["model_version"] == "1"


@pytest.mark.parametrize("body,words", [
    ({"rules": [{"when": "petal_length >", "revision": 1}]}, "rule 1: at character 15"),
    ({"rules": [{"when": "response.label == 1", "revision": 1}]}, "no answer yet"),
    ({"rules": [{"when": "true", "revision": 9}]}, "no revision 9"), ({"rules": [{"when": "true"}]}, "revision"),
    ({"rules": [{"when": "true", "revision": 1}] * 17}, "at most 16"), ({"rules": {}}, "rules"),
    ({"bandit": {}}, "two revisions"), ({"weights": {"2": 50, "1": 50}, "bandit": {"floor": 60}}, "floor"),
    ({"weights": {"2": 99, "1": 1}, "bandit": {"floor": 5}}, "less than the bandit's floor"),
    ({"weights": {"2": 50, "1": 50}, "bandit": {"every_s": 0}}, "86400"), ({"weights": {"2": 50, "1": 50}, "bandit": {"arms": 2}}, "not known"),
    ({"outcome": "luck"}, "accuracy, error, reward")])
def test_what_cannot_be_is_refused(flowers, body, words):  # noqa: F811
    answer = requests.put(flowers.api("/endpoints/flowers/traffic"), json=body)
    assert 400 <= answer.status_code < 500 and words in answer.text, answer.text


def test_accuracy_is_compared_and_says_how_many_rows_are_missing(flowers):  # noqa: F811
    divide(flowers, weights={"2": 50, "1": 50})
    assert traffic(flowers)["comparisons"][0]["rows_needed"] == 0
    assert "no verdict yet" in flowers.cli("traffic", "flowers").stdout
    right = {1: 45, 2: 40}
    for revision, correct in right.items():
        asked = of(flowers, revision, 50)
        feedback(flowers, [(id, str(label) if i < correct else "nothing") for i, (id, label) in enumerate(asked)])
    [test] = traffic(flowers)["comparisons"]
    z, p = proportions_ztest([45, 40], [50, 50])
    low, high = confint_proportions_2indep(45, 50, 40, 50, method="newcomb")
    assert test["champion"] == 2 and test["challenger"] == 1 and test["outcome"] == "accuracy"
    assert np.allclose([test["statistic"], test["p"], test["difference"], test["low"], test["high"]], [z, p, 0.1, low, high])
    sd = math.sqrt((0.9 * 0.1 + 0.8 * 0.2) / 2)
    needed = math.ceil(NormalIndPower().solve_power(0.1 / sd, alpha=0.05, power=0.8))
    assert test["champion_rows"] == test["challenger_rows"] == 50 and abs(test["rows_needed"] - needed) <= 1
    assert test["rows_missing"] == test["rows_needed"] - 50
    shown = flowers.cli("traffic", "flowers").stdout
    assert "not significant" in shown and f"about {test['rows_missing']} more rows" in shown, shown


def test_rewards_and_errors_are_compared(flowers):  # noqa: F811
    divide(flowers, weights={"2": 50, "1": 50}, outcome="reward")
    rng = np.random.default_rng(1)
    rewards = {1: rng.normal(2, 1, 40).round(3), 2: rng.normal(1, 2, 60).round(3)}
    labels = {}
    for revision, values in rewards.items():
        asked = of(flowers, revision, len(values))
        labels[revision] = [float(label) for _, label in asked]
        feedback(flowers, [(id, str(value)) for (id, _), value in zip(asked, values)])
    [test] = traffic(flowers)["comparisons"]
    theirs = scipy.stats.ttest_ind(rewards[1], rewards[2], equal_var=False)
    assert test["test"] == "Welch" and test["better"] == "more"
    assert np.allclose([test["statistic"], test["p"], test["low"], test["high"]],
                       [theirs.statistic, theirs.pvalue, *theirs.confidence_interval(0.95)])
    divide(flowers, weights={"2": 50, "1": 50}, outcome="error")
    [test] = traffic(flowers)["comparisons"]
    distance = {r: np.abs(rewards[r] - np.array(labels[r])) for r in rewards}
    theirs = scipy.stats.ttest_ind(distance[1], distance[2], equal_var=False)
    assert test["better"] == "less" and np.allclose([test["statistic"], test["p"]], [theirs.statistic, theirs.pvalue])


def test_the_bandit_follows_feedback_and_explains_itself(flowers):  # noqa: F811
    divide(flowers, weights={"2": 50, "1": 50}, sticky="x-user", bandit={"floor": 5, "seed": 3, "every_s": 1})
    for revision, correct in ((1, 38), (2, 20)):
        asked = of(flowers, revision, 40)
        feedback(flowers, [(id, str(label) if i < correct else "nothing") for i, (id, label) in enumerate(asked)])
    wait_for(lambda: any(d["why"]["arms"][0]["labelled"] == 40 == d["why"]["arms"][1]["labelled"] for d in traffic(flowers)["bandit"]["decisions"]))
    said = traffic(flowers)
    last = said["bandit"]["decisions"][0]
    arms = {arm["revision"]: arm for arm in last["why"]["arms"]}
    assert (arms[1]["correct"], arms[2]["correct"]) == (38, 20)
    # P(1 is better) of the two posteriors, and what the floor leaves of it.
    draws = np.random.default_rng(0).beta([39, 21], [3, 21], (100_000, 2))
    best = (draws[:, 0] > draws[:, 1]).mean()
    assert abs(arms[1]["share"] - best) < 0.02
    weights = {r["revision"]: r["weight"] for r in said["revisions"]}
    assert weights == {1: arms[1]["weight"], 2: arms[2]["weight"]} and sum(weights.values()) == 100 and weights[2] >= 5
    assert abs(arms[1]["weight"] - (5 + 90 * arms[1]["share"])) < 0.011
    assert any("system:bandit" in line for line in flowers.cli("audit").stdout.splitlines()) or last["generation"] >= 3
    # A key stays where it is while the weights do; new ones follow the weights.
    seen = {user: {ask(flowers, i, **{"X-User": user}).headers["X-Lathe-Revision"] for i in range(3)} for user in map("u{}".format, range(60))}
    assert all(len(one) == 1 for one in seen.values())
    assert collections.Counter(one.pop() for one in seen.values())["1"] > 45
    shown = flowers.cli("traffic", "flowers").stdout
    assert "bandit" in shown and "38 of 40 right" in shown, shown
    # Nothing new: no further decision. A restart goes on with what is written.
    count = len(said["bandit"]["decisions"])
    flowers.stop()
    flowers.start()
    wait_for(lambda: requests.get(flowers.url + "/v2/health/ready").status_code == 200)
    assert len(traffic(flowers)["bandit"]["decisions"]) == count
    off = json.loads(flowers.cli("traffic", "flowers", "--bandit", "0", "--json").stdout)
    assert off["bandit"] is None and {r["revision"]: r["weight"] for r in off["revisions"]} == weights
