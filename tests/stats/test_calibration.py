"""src/stats/{calibration,answer_rule} against scikit-learn's CalibratedClassifierCV over a fitted model, and thresholds
against their own words. What is compared went through transform.json, as what serves does."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator


class Scores(ClassifierMixin, BaseEstimator):
    """A fitted model whose scores are its rows."""

    def fit(self, x, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, x):
        return np.asarray(x)

    def predict(self, x):
        return self.classes_[np.argmax(x, axis=1)]


def rows(seed, classes, n):
    """Scores that are too sure of themselves, and the truth."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, classes))
    truth = np.array([rng.choice(classes, p=np.exp(z) / np.exp(z).sum()) for z in logits])
    sharp = np.exp(2.5 * logits)
    return sharp / sharp.sum(axis=1, keepdims=True), truth


def ours(probe, kind, scores, truth, asked, thresholds=None):
    classes = scores.shape[1]
    out = probe("calibrate", kind=kind, classes=classes, scores=scores.flatten().tolist(), truth=truth.tolist(),
                asked=asked.flatten().tolist(), thresholds=thresholds or {})
    assert out["kept"]
    return np.array(out["scores"]).reshape(-1, classes), np.array(out["labels"])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("kind,close", [("sigmoid", 2e-5), ("isotonic", 1e-12), ("temperature", 1e-6)])
def test_calibrated_scores_are_scikit_learns(probe, kind, close, classes, seed):
    scores, truth = rows(seed, classes, 400)
    asked, _ = rows(seed + 100, classes, 300)
    theirs = CalibratedClassifierCV(FrozenEstimator(Scores().fit(scores, truth)), method=kind).fit(scores, truth)
    mine, labels = ours(probe, kind, scores, truth, asked)
    assert np.allclose(mine, theirs.predict_proba(asked), rtol=0, atol=close)
    clear = np.sort(mine, axis=1)
    clear = clear[:, -1] - clear[:, -2] > 1e-4
    assert np.array_equal(labels[clear], theirs.predict(asked)[clear])


def test_scores_that_are_rounded_have_ties(probe):
    scores, truth = rows(1, 2, 500)
    first = np.round(scores[:, 1], 1)
    scores = np.stack([1 - first, first], axis=1)
    theirs = CalibratedClassifierCV(FrozenEstimator(Scores().fit(scores, truth)), method="isotonic").fit(scores, truth)
    grid = np.linspace(0, 1, 101)
    asked = np.stack([1 - grid, grid], axis=1)
    assert np.allclose(ours(probe, "isotonic", scores, truth, asked)[0], theirs.predict_proba(asked), atol=1e-12)


@pytest.mark.parametrize("classes", [2, 5])
def test_the_expected_calibration_error(probe, classes):
    scores, truth = rows(3, classes, 1000)
    best, sure = scores.argmax(axis=1), scores.max(axis=1)
    edges = np.linspace(0, 1, 11)
    expected, counts = 0.0, []
    for low, high in zip(edges[:-1], edges[1:]):
        inside = (sure > low) & (sure <= high)
        counts.append(int(inside.sum()))
        if inside.any():
            expected += inside.mean() * abs((best == truth)[inside].mean() - sure[inside].mean())
    found = probe("reliability", scores=scores.flatten().tolist(), truth=truth.tolist(), classes=classes)
    assert abs(found["error"] - expected) < 1e-9 and found["rows"] == counts
    calibrated, _ = ours(probe, "temperature", scores, truth, scores)
    after = probe("reliability", scores=calibrated.flatten().tolist(), truth=truth.tolist(), classes=classes)
    assert after["error"] < found["error"] / 2


def test_thresholds(probe):
    scores, truth = rows(5, 3, 60)
    asked = np.array([[0.65, 0.35, 0.0], [0.75, 0.25, 0.0], [0.1, 0.31, 0.59], [0.3, 0.3, 0.4], [0.0, 0.0, 1.0]])
    # Class 1 is answered from 0.3 on, class 2 from 0.6 on, else the highest of the others.
    assert ours(probe, "none", scores, truth, asked, {"1": 0.3, "2": 0.6})[1].tolist() == [1, 0, 1, 1, 2]
    binary = np.array([[0.65, 0.35], [0.75, 0.25]])
    two, y = rows(5, 2, 60)
    assert ours(probe, "none", two, y, binary, {"1": 0.3})[1].tolist() == [1, 0]
    # Where every class has one and none is reached, the highest answers.
    assert ours(probe, "none", two, y, np.array([[0.55, 0.45]]), {"0": 0.9, "1": 0.8})[1].tolist() == [0]


@pytest.mark.parametrize("truth,words", [([0, 0, 0], "0 of 3 rows"), ([], "0 rows")])
def test_what_cannot_be_fitted_says_why(probe, truth, words):
    scores = [0.2, 0.8] * len(truth)
    said = probe("calibrate", kind="sigmoid", classes=2, scores=scores, truth=truth, asked=[], thresholds={})
    assert words in said["error"]
