"""src/stats/{drift,histogram} against scipy and statsmodels, and against values of Evidently 0.7.23."""

import math

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.multitest import multipletests


def close(a, b, rel=1e-9, absolute=0.0):
    return np.allclose(a, b, rtol=rel, atol=absolute, equal_nan=True)


def test_golden_vector_of_evidently(probe):
    reference = [((37 * i) % 1009) / 10 for i in range(2000)]
    current = [((53 * i) % 1201) / 10 for i in range(1500)]
    ours = probe("drift", reference=reference, current=current)
    assert close(ours["ks_p"], 1.9219811027227676e-19)
    assert close(ours["evidently_wasserstein"], 0.3247767977110518, 1e-12)
    assert close(ours["evidently_jensenshannon"], 0.23640233659525467, 1e-12)
    assert close(ours["evidently_psi"], 1.0326307946251707, 1e-12)


@pytest.mark.parametrize("n,m", [(1, 1), (2, 7), (5, 5), (30, 30), (30, 31), (200, 360), (360, 200), (500, 1000), (997, 1009), (9999, 400)])
@pytest.mark.parametrize("shift", [0, 0.1, 0.5, 3])
def test_ks_is_scipys_exact_p(probe, n, m, shift):
    rng = np.random.default_rng(n * 1000 + m)
    reference, current = rng.normal(0, 1, n), rng.normal(shift, 1, m)
    ours, theirs = probe("drift", reference=reference, current=current), scipy.stats.ks_2samp(reference, current)
    assert close(ours["ks_d"], theirs.statistic, 1e-12)
    # scipy's own sum keeps 1e-9 down to p of about 1e-100
    assert close(ours["ks_p"], theirs.pvalue, 1e-9, 1e-100)
    assert close(ours["wasserstein"], scipy.stats.wasserstein_distance(reference, current), 1e-9)


@pytest.mark.parametrize("n,m", [(200, 360), (400, 9000)])
def test_ks_with_ties(probe, n, m):
    rng = np.random.default_rng(n)
    reference, current = rng.integers(0, 17, n), np.minimum(rng.integers(0, 20, m), 16)
    ours, theirs = probe("drift", reference=reference, current=current), scipy.stats.ks_2samp(reference, current)
    assert close([ours["ks_d"], ours["ks_p"]], [theirs.statistic, theirs.pvalue])


@pytest.mark.parametrize("n,m", [(10001, 1), (10001, 3), (20000, 20), (20000, 100), (20000, 145), (20000, 5000), (50000, 50000), (300000, 200000)])
def test_ks_of_large_samples_is_scipys_kstwo(probe, n, m):
    rows = round(n * m / (n + m))
    for d in [0.3 / rows, 0.7 / rows, 1.0 / rows, 0.1 / math.sqrt(rows), 0.3 / math.sqrt(rows), 0.6 / math.sqrt(rows),
              0.86 / math.sqrt(rows), 1.2 / math.sqrt(rows), 1.48 / math.sqrt(rows), 1.6 / math.sqrt(rows),
              2.1 / math.sqrt(rows), 5 / math.sqrt(rows), 0.45, 0.5, 0.7, 0.999]:
        if d > 1:
            continue
        gap = round(d * n * m)
        ours = probe("ks_p", reference_rows=n, current_rows=m, gap=gap)["p"]
        assert close(ours, scipy.stats.kstwo.sf(gap / n / m, rows), 1e-9, 1e-11 if d < 2 / math.sqrt(rows) else 1e-280), (d, rows)


def test_ks_p_is_a_function_of_the_stored_numbers(probe):
    assert probe("ks_p", reference_rows=0, current_rows=5, gap=0)["p"] == 1
    assert probe("ks_p", reference_rows=3, current_rows=3, gap=9)["p"] == pytest.approx(0.1)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("integers", [False, True])
def test_evidently_distances_equal_their_definition(probe, seed, integers):
    """numpy's histogram and scipy's distance, put together as that library does."""
    rng = np.random.default_rng(seed)
    kinds = [8, 15, 40, 1000, 100000, 25][seed]
    reference, current = rng.integers(0, kinds, 700), rng.integers(0, kinds + kinds // 5 + 1, 400)
    if not integers:
        reference, current = reference / 7, current / 7
    if len(np.unique(reference)) > 20:
        edges = np.histogram_bin_edges(np.concatenate([reference, current]), bins="sturges")
        a, b = np.histogram(reference, edges)[0] / 700, np.histogram(current, edges)[0] / 400
    else:
        values = np.unique(np.concatenate([reference, current]))
        a, b = (np.array([(side == v).mean() for v in values]) for side in (reference, current))
    ours = probe("drift", reference=reference, current=current, integers=integers)
    assert close(ours["evidently_jensenshannon"], scipy.spatial.distance.jensenshannon(a, b), 1e-12)
    for side in (a, b):
        least = side[side > 0].min()
        side[side == 0] = least / 1e6 if least <= 1e-4 else 1e-4
    assert close(ours["evidently_psi"], np.sum((a - b) * np.log(a / b)), 1e-12)
    assert close(ours["evidently_wasserstein"], scipy.stats.wasserstein_distance(reference, current) / max(reference.std(), 0.001), 1e-12)


def test_nan_and_infinity_are_left_out(probe):
    clean = probe("drift", reference=[1.0, 2.0, 3.0], current=[2.0, 5.0])
    assert clean == probe("drift", reference=[1.0, math.nan, 2.0, math.inf, 3.0], current=[-math.inf, 2.0, 5.0])
    empty = probe("drift", reference=[math.nan], current=[1.0])
    assert empty["ks_p"] == 1 and empty["evidently_psi"] == "NaN"


@pytest.mark.parametrize("seed", range(5))
def test_categories_equal_scipy(probe, seed):
    rng = np.random.default_rng(seed)
    reference, current = rng.multinomial(360, [0.1] * 10), rng.multinomial(200, rng.dirichlet(np.ones(10) * 20))
    ours = probe("categories", reference=reference, current=current)
    theirs = scipy.stats.chi2_contingency([reference, current], correction=False)
    assert close([ours["statistic"], ours["p"], ours["degrees"]], [theirs.statistic, theirs.pvalue, theirs.dof])
    assert close(ours["evidently_p"], scipy.stats.chisquare(current, reference * 200 / 360).pvalue)
    a, b = (reference + 0.5) / (360 + 5), (current + 0.5) / (200 + 5)
    assert close(ours["lathe_psi"], np.sum((a - b) * np.log(a / b)), 1e-12)


def test_categories_at_the_edges(probe):
    new = probe("categories", reference=[10, 0], current=[5, 5])
    assert new["evidently_p"] == 0 and new["p"] < 0.05 and new["lathe_psi"] > 0.25
    one = probe("categories", reference=[10], current=[4])
    assert one["evidently_p"] == "NaN" and one["p"] == 1 and one["lathe_psi"] == 0
    assert probe("categories", reference=[3, 2], current=[0, 0])["p"] == 1


@pytest.mark.parametrize("k,population,marked,drawn", [(0, 560, 4, 200), (3, 560, 4, 200), (20, 560, 20, 200), (12, 30, 15, 20), (5, 12, 12, 5), (9, 20, 8, 10), (150, 5000, 400, 1500)])
def test_hypergeometric_equals_scipy(probe, k, population, marked, drawn):
    ours = probe("hypergeometric", marked_drawn=k, population=population, marked=marked, drawn=drawn)["p"]
    assert close(ours, scipy.stats.hypergeom.sf(k - 1, population, marked, drawn), 1e-10, 1e-300)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [1, 2, 64])
def test_corrections_equal_statsmodels(probe, seed, count):
    p = np.random.default_rng(seed).random(count) ** 4
    ours = probe("corrections", p=p)
    assert close(ours["holm"], multipletests(p, method="holm")[1], 1e-12)
    assert close(ours["bh"], multipletests(p, method="fdr_bh")[1], 1e-12)


def test_bins_by_value_and_by_quantile(probe):
    few = probe("bins", reference=[1, 1, 2, 5, 5, 5], most=10)
    assert few == {"edges": [1.5, 3.5], "counts": [2, 1, 3]}
    many = np.random.default_rng(0).normal(0, 1, 1000)
    equal = probe("bins", reference=many, most=10)
    assert equal["counts"] == [100] * 10
    skewed = probe("bins", reference=np.concatenate([np.zeros(600), np.arange(1, 401)]), most=10)
    assert skewed["counts"][0] >= 600 and min(skewed["counts"]) >= 90 and sum(skewed["counts"]) == 1000
    assert probe("bins", reference=[4.0, 4.0], most=10) == {"edges": [], "counts": [2]}
