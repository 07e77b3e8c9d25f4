"""src/stats/{compare,bandit}: what an A/B test and a bandit go by, against scipy and statsmodels."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from statsmodels.stats.power import NormalIndPower


@pytest.mark.parametrize("seed", range(8))
def test_welch_equals_scipy(probe, seed):
    rng = np.random.default_rng(seed)
    a = rng.normal(1, 0.5, rng.integers(2, 200))
    b = rng.normal(1.2, 2, rng.integers(2, 200))
    ours = probe("welch", champion=a.tolist(), challenger=b.tolist())
    theirs = scipy.stats.ttest_ind(b, a, equal_var=False)
    interval = theirs.confidence_interval(0.95)
    assert np.allclose([ours["t"], ours["p"], ours["degrees"], ours["low"], ours["high"]],
                       [theirs.statistic, theirs.pvalue, theirs.df, interval.low, interval.high], rtol=1e-9)
    pooled = math.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
    needed = NormalIndPower().solve_power(abs(b.mean() - a.mean()) / pooled, alpha=0.05, power=0.8)
    assert abs(ours["needed"] - math.ceil(needed)) <= 1 + 1e-6 * needed


def test_welch_without_rows_or_variance_says_nothing(probe):
    for a, b in (([1.0], [1.0, 2.0]), ([], [1.0, 2.0]), ([1.0, 1.0], [2.0, 2.0])):
        assert probe("welch", champion=a, challenger=b)["p"] == 1


@pytest.mark.parametrize("a,b", [((80, 100), (90, 100)), ((500, 1000), (505, 1000)), ((3, 40), (9, 41))])
@pytest.mark.parametrize("power,confidence", [(0.8, 0.95), (0.9, 0.99)])
def test_rows_needed_equals_statsmodels(probe, a, b, power, confidence):
    p, q = a[0] / a[1], b[0] / b[1]
    sd = math.sqrt((p * (1 - p) + q * (1 - q)) / 2)
    theirs = NormalIndPower().solve_power(abs(p - q) / sd, alpha=1 - confidence, power=power)
    ours = probe("rows_needed", champion_correct=a[0], champion_rows=a[1], challenger_correct=b[0], challenger_rows=b[1],
                 power=power, confidence=confidence)["rows"]
    assert abs(ours - math.ceil(theirs)) <= 1 + 1e-6 * theirs
    assert probe("rows_needed", champion_correct=5, champion_rows=10, challenger_correct=5, challenger_rows=10, power=power,
                 confidence=confidence)["rows"] == 0


@pytest.mark.parametrize("arms", [[(8, 10), (5, 10)], [(80, 100), (90, 100), (85, 100)], [(0, 0), (3, 10)], [(0, 0), (0, 0), (0, 0)], [(990, 1000), (900, 1000)]])
def test_thompson_shares_are_the_posterior_probability_of_being_best(probe, arms):
    ours = probe("thompson", successes=[s for s, _ in arms], trials=[n for _, n in arms], seed=7, floor=500)
    assert ours == probe("thompson", successes=[s for s, _ in arms], trials=[n for _, n in arms], seed=7, floor=500)
    posteriors = [scipy.stats.beta(1 + s, 1 + n - s) for s, n in arms]
    for i, posterior in enumerate(posteriors):
        def density(x, i=i, posterior=posterior):
            return posterior.pdf(x) * math.prod(other.cdf(x) for j, other in enumerate(posteriors) if j != i)
        exact, _ = scipy.integrate.quad(density, 0, 1, limit=200, points=[float(posterior.mean())])
        assert abs(ours["shares"][i] - exact) < 4 * math.sqrt(exact * (1 - exact) / 4000) + 1e-3
    assert sum(ours["parts"]) == 10_000 and min(ours["parts"]) >= 500
    assert abs(sum(ours["shares"]) - 1) < 1e-12
