"""src/stats/{metrics,interval,compare} against scikit-learn, scipy and statsmodels, on inputs made here."""

import warnings

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics as sk
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint, proportions_ztest

SEEDS = range(5)


def close(a, b, rel=1e-12, absolute=1e-15):
    return np.allclose(a, b, rtol=rel, atol=absolute, equal_nan=True)


def labels(seed, rows=300, kinds=10, skill=0.8):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, kinds, rows).astype(str)
    guess = rng.integers(0, kinds + 1, rows).astype(str)  # one class that no truth has
    return truth, np.where(rng.random(rows) < skill, truth, guess)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("case", ["usual", "nobody predicts a class", "one row", "all wrong"])
def test_classification_equals_scikit_learn(probe, seed, case):
    truth, predicted = labels(seed)
    if case == "nobody predicts a class":
        predicted = np.where(predicted == "3", "4", predicted)
    if case == "one row":
        truth, predicted = truth[:1], predicted[:1]
    if case == "all wrong":
        predicted = np.where(truth == predicted, "cat", predicted)
    ours = probe("classification", truth=truth, predicted=predicted)
    names = [c[0] for c in ours["classes"]]
    assert set(names) == set(truth) | set(predicted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        per_class = sk.precision_recall_fscore_support(truth, predicted, labels=names, zero_division=0)
        for average in ("macro", "weighted"):
            theirs = sk.precision_recall_fscore_support(truth, predicted, average=average, zero_division=0)
            assert close(ours[average], theirs[:3])
    assert close(ours["accuracy"], sk.accuracy_score(truth, predicted))
    assert close(ours["macro_f1"], ours["macro"][2]) and close(ours["weighted_f1"], ours["weighted"][2])
    assert close([c[1:] for c in ours["classes"]], np.array(per_class).T)
    theirs = sk.confusion_matrix(truth, predicted, labels=names) if len(names) > 1 else np.array([[len(truth)]])
    assert ours["confusion"] == theirs.ravel().tolist()


def test_numeric_classes_are_in_the_order_of_numbers(probe):
    ours = probe("classification", truth=["10", "9", "2"], predicted=["10", "2", "2"])
    assert [c[0] for c in ours["classes"]] == ["2", "9", "10"]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kinds", [2, 4])
def test_probabilities_equal_scikit_learn(probe, seed, kinds):
    rng = np.random.default_rng(seed)
    truth = np.append(rng.integers(0, kinds, 200), np.arange(kinds))
    p = rng.dirichlet(np.ones(kinds), len(truth)).round(2)  # ties
    p[0] = np.eye(kinds)[(truth[0] + 1) % kinds]  # a certain mistake: clipped, not infinite
    p /= p.sum(axis=1, keepdims=True)
    ours = probe("probabilities", truth=truth, probabilities=p.ravel())
    assert close(ours["log_loss"], sk.log_loss(truth, p))
    if kinds == 2:
        assert close(ours["auc"], sk.roc_auc_score(truth, p[:, 1]))
        assert close(ours["brier"], sk.brier_score_loss(truth, p[:, 1]))
    else:
        assert close(ours["auc_ovr"], sk.roc_auc_score(truth, p, multi_class="ovr"))
        assert close(ours["brier"], sk.brier_score_loss(truth, p))


def test_auc_of_one_class_is_undefined(probe):
    assert probe("probabilities", truth=[1, 1], probabilities=[0.2, 0.8, 0.4, 0.6])["auc"] == "NaN"


@pytest.mark.parametrize("seed", SEEDS)
def test_regression_equals_scikit_learn(probe, seed):
    rng = np.random.default_rng(seed)
    truth = rng.normal(5, 3, 100)
    predicted = truth + rng.normal(0, 1, 100)
    ours = probe("regression", truth=truth, predicted=predicted)
    assert close(ours["rmse"], sk.root_mean_squared_error(truth, predicted))
    assert close(ours["mae"], sk.mean_absolute_error(truth, predicted))
    assert close(ours["r2"], sk.r2_score(truth, predicted))


def test_r2_of_a_constant_truth(probe):
    for predicted in ([2.0, 2.0], [2.0, 3.0]):
        assert probe("regression", truth=[2.0, 2.0], predicted=predicted)["r2"] == sk.r2_score([2.0, 2.0], predicted)


@pytest.mark.parametrize("successes,trials", [(0, 10), (1, 10), (10, 10), (351, 360), (5000, 10001)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_wilson_equals_statsmodels(probe, successes, trials, confidence):
    ours = probe("wilson", successes=successes, trials=trials, confidence=confidence)["interval"]
    assert close(ours, proportion_confint(successes, trials, 1 - confidence, method="wilson"), 1e-12, 1e-15)


@pytest.mark.parametrize("seed", SEEDS)
def test_bootstrap_interval_agrees_with_scipy(probe, seed):
    """Two random generators: equal up to the noise of 10,000 resamples."""
    values = np.random.default_rng(seed).exponential(2, 150)
    ours = probe("bootstrap_mean", values=values, seed=seed, resamples=10000, confidence=0.95)["interval"]
    theirs = scipy.stats.bootstrap((values,), np.mean, method="percentile", n_resamples=10000, rng=seed)
    spread = values.std() / np.sqrt(len(values))
    assert np.abs(np.subtract(ours, theirs.confidence_interval)).max() < 0.12 * spread


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "weighted_f1"])
@pytest.mark.parametrize("seed", SEEDS[:2])
def test_paired_bootstrap_agrees_with_scipy(probe, metric, seed):
    truth, champion = labels(seed, 200, 4, 0.7)
    challenger = np.where(np.random.default_rng(seed + 100).random(200) < 0.75, truth, np.roll(champion, 1))

    def score(t, p):
        if metric == "accuracy":
            return np.mean(t == p)
        return sk.f1_score(t, p, average=metric.split("_")[0], zero_division=0)

    ours = probe("paired_bootstrap", metric=metric, truth=truth, champion=champion, challenger=challenger, seed=7,
                 resamples=10000, confidence=0.95)
    assert close(ours["difference"], score(truth, challenger) - score(truth, champion))
    theirs = scipy.stats.bootstrap(
        (truth, champion, challenger), lambda t, a, b: score(t, b) - score(t, a), paired=True, vectorized=False,
        method="percentile", n_resamples=400, rng=seed)
    distribution = theirs.bootstrap_distribution
    assert np.abs(np.subtract(ours["interval"], theirs.confidence_interval)).max() < 0.3 * distribution.std()
    assert abs(ours["p_greater"] - np.mean(distribution <= 0)) < 0.05


REGRESSION = {"rmse": sk.root_mean_squared_error, "mae": sk.mean_absolute_error, "r2": sk.r2_score}


@pytest.mark.parametrize("metric", REGRESSION)
@pytest.mark.parametrize("seed", SEEDS[:2])
def test_comparison_of_regressions_agrees_with_scikit_learn_and_scipy(probe, metric, seed):
    rng = np.random.default_rng(seed)
    truth = rng.normal(5, 3, 200)
    champion, challenger = truth + rng.normal(0, 1.2, 200), truth + rng.normal(0, 1, 200)
    score, sign = REGRESSION[metric], 1 if metric == "r2" else -1

    def gain(t, a, b):
        return sign * (score(t, b) - score(t, a))

    options = dict(seed=7, resamples=10000, confidence=0.95)
    ours = probe("paired_regression", metric=metric, truth=truth, champion=champion, challenger=challenger, **options)
    assert close(ours["difference"], gain(truth, champion, challenger))
    theirs = scipy.stats.bootstrap((truth, champion, challenger), gain, paired=True, vectorized=False, method="percentile",
                                   n_resamples=1000, rng=seed)
    spread = theirs.bootstrap_distribution.std()
    assert np.abs(np.subtract(ours["interval"], theirs.confidence_interval)).max() < 0.25 * spread
    assert abs(ours["p_greater"] - np.mean(theirs.bootstrap_distribution <= 0)) < 0.05

    alone = probe("regression_interval", metric=metric, truth=truth, predicted=champion, **options)["interval"]
    one = scipy.stats.bootstrap((truth, champion), lambda t, p: score(t, p), paired=True, vectorized=False,
                                method="percentile", n_resamples=1000, rng=seed)
    assert np.abs(np.subtract(alone, one.confidence_interval)).max() < 0.25 * one.bootstrap_distribution.std()


def test_a_seed_gives_the_same_numbers_and_another_gives_others(probe):
    truth, champion = labels(1)
    challenger = labels(2)[1]
    ask = dict(metric="accuracy", truth=truth, champion=champion, challenger=challenger, resamples=500, confidence=0.9)
    assert probe("paired_bootstrap", seed=1, **ask) == probe("paired_bootstrap", seed=1, **ask)
    assert probe("paired_bootstrap", seed=1, **ask) != probe("paired_bootstrap", seed=2, **ask)


@pytest.mark.parametrize("champion_only,challenger_only", [(0, 1), (5, 5), (3, 12), (12, 3), (0, 30), (210, 260), (4000, 4100)])
def test_mcnemar_equals_statsmodels(probe, champion_only, challenger_only):
    ours = probe("mcnemar", champion_only=champion_only, challenger_only=challenger_only)
    table = [[100, champion_only], [challenger_only, 7]]
    assert close(ours["exact_p"], mcnemar(table, exact=True).pvalue, 1e-10)
    chi2 = mcnemar(table, exact=False, correction=True)
    assert close([ours["chi2"], ours["chi2_p"]], [chi2.statistic, chi2.pvalue], 1e-10)
    discordant = champion_only + challenger_only
    one_sided = scipy.stats.binomtest(challenger_only, discordant, 0.5, alternative="greater").pvalue
    assert close(ours["exact_p_greater"], one_sided, 1e-10)


@pytest.mark.parametrize("a,b", [((90, 100), (80, 100)), ((5, 30), (25, 31)), ((999, 1000), (9990, 10_000)), ((1, 40), (0, 40))])
def test_two_proportions_equal_statsmodels(probe, a, b):
    ours = probe("two_proportions", champion_correct=a[0], champion_rows=a[1], challenger_correct=b[0], challenger_rows=b[1])
    for side, key in (("two-sided", "p"), ("larger", "p_greater"), ("smaller", "p_less")):
        z, p = proportions_ztest([b[0], a[0]], [b[1], a[1]], alternative=side)
        assert close([ours["z"], ours[key]], [z, p], 1e-9)
    low, high = confint_proportions_2indep(b[0], b[1], a[0], a[1], method="newcomb")
    assert close([ours["low"], ours["high"]], [low, high], 1e-9)


def test_two_proportions_without_rows_say_nothing(probe):
    for sides in ((0, 0, 5, 9), (5, 9, 0, 0), (9, 9, 7, 7)):
        ours = probe("two_proportions", **dict(zip(("champion_correct", "champion_rows", "challenger_correct", "challenger_rows"), sides)))
        assert ours["p"] == ours["p_less"] == ours["p_greater"] == 1


def test_mcnemar_without_a_difference(probe):
    assert probe("mcnemar", champion_only=0, challenger_only=0) == {
        "exact_p": 1.0, "exact_p_greater": 1.0, "chi2": 0.0, "chi2_p": 1.0}
