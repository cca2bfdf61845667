"""Goodness of fit: uniform p-values when the mixture is right, small when it is not."""

import numpy as np
import pytest
from plain_histograms import Bins
from scipy import stats

from sktamm import NeuralRatioTAMM
from sktamm.diagnostics import goodness_of_fit
from sktamm.diagnostics._goodness import draw_rows, toy_p_value
from sktamm.diagnostics._open import open_fit
from sktamm.diagnostics._sbc import prior_draws
from sktamm.diagnostics._two_sample import thinned, two_sample_test
from sktamm.exceptions import InvalidInputError


def histograms_from_the_prior(fitted, target, n, seed):
    opened = open_fit(fitted, target[0])
    rng = np.random.default_rng(seed)
    theta = prior_draws(opened.model, n, rng)
    contents = draw_rows(opened.table, opened.model, theta, 0, rng).row_weight
    edges = fitted.components_.binning_.edges[0]
    return [Bins(row, edges) for row in contents]


def check_uniform(estimator, target, statistic, n, n_toys):
    """P-values of truths from the prior; bound of Kolmogorov and Smirnov at 1e-4."""
    data = histograms_from_the_prior(estimator, target, n, 3)
    result = goodness_of_fit(estimator, data, statistic=statistic, n_toys=n_toys)
    bound = stats.kstwo.isf(1e-4, n) + 1.0 / (n_toys + 1)  # and the steps of the toys
    assert stats.kstest(result.p_value, "uniform").statistic < bound
    assert result.toys.shape == (n, n_toys)
    above = (result.toys >= result.statistic[:, None]).sum(axis=1)
    np.testing.assert_allclose(result.p_value, (1 + above) / (n_toys + 1))


@pytest.mark.parametrize(
    ("form", "statistic"), [("fitted", "likelihood_ratio"), ("linear", "pearson")]
)
def test_p_values_are_uniform(form, statistic, target, request):
    check_uniform(request.getfixturevalue(form), target, statistic, 60, 39)


@pytest.mark.slow
@pytest.mark.parametrize("statistic", ["pearson", "likelihood_ratio"])
@pytest.mark.parametrize("form", ["fitted", "linear"])
def test_p_values_are_uniform_with_many_truths(form, statistic, target, request):
    check_uniform(request.getfixturevalue(form), target, statistic, 300, 99)


def test_a_narrow_peak_is_seen(fitted, target):
    X = np.vstack([target[0], np.full((300, 1), -1.5)])
    assert goodness_of_fit(fitted, X, n_toys=99).p_value[0] == 0.01


def test_weights_do_not_change_the_null(fitted, tools):
    """Events of weight 2 count as half as many: the p-value is that of no weights."""
    X = tools["draw_target"](3000, 1000, 5)[0]
    plain = goodness_of_fit(fitted, X, n_toys=99)
    heavy = goodness_of_fit(fitted, X, sample_weight=np.full(4000, 2.0), n_toys=99)
    np.testing.assert_allclose(heavy.statistic, plain.statistic, rtol=1e-6)
    assert abs(heavy.p_value[0] - plain.p_value[0]) < 0.2


def test_the_same_seed_gives_the_same_toys(fitted, target):
    first, second = (goodness_of_fit(fitted, target[0], n_toys=20) for _ in range(2))
    np.testing.assert_array_equal(first.toys, second.toys)


def test_statistics_that_do_not_fit_are_refused(fitted, target):
    with pytest.raises(InvalidInputError, match="statistic"):
        goodness_of_fit(fitted, target[0], statistic="auc")
    with pytest.raises(InvalidInputError, match="n_toys"):
        goodness_of_fit(fitted, target[0], n_toys=0)


# ------------------------------------------------------------------ two-sample test
def test_equal_samples_give_uniform_p_values():
    """60 pairs of samples, logistic regression; Kolmogorov and Smirnov at 1e-4."""
    rng = np.random.default_rng(0)
    found = []
    for seed in range(60):
        A, B = rng.normal(size=(2, 200, 2))
        state = np.random.RandomState(seed)
        found.append(two_sample_test(A, B, "logistic", 3, state)[1])
    found = np.array(found)
    assert stats.kstest(found, "uniform").statistic < stats.kstwo.isf(1e-4, 60)


def test_boosted_trees_see_a_different_shape():
    rng = np.random.default_rng(1)
    A, B = rng.normal(size=(2000, 2)), rng.normal(size=(2000, 2)) * 1.2
    auc, p_value = two_sample_test(A, B, "lightgbm", 3, np.random.RandomState(0))
    assert auc > 0.5
    assert p_value < 1e-4


def test_thinning_turns_weights_into_events():
    """Mean of the kept events against the weighted mean, at 4 standard errors."""
    rng = np.random.RandomState(2)
    x, weight = rng.normal(size=50_000), rng.gamma(2.0, size=50_000)
    kept = x[thinned(weight * np.exp(0.3 * x), rng, 50_000)]
    assert abs(kept.mean() - 0.3) < 4.0 / np.sqrt(kept.size) + 1e-3 * 4.0
    assert len(thinned(weight, rng, 100)) == 100
    with pytest.raises(InvalidInputError, match="negative"):
        thinned(-weight, rng, 100)


def test_unbinned_sees_what_no_simulation_has(tools):
    X, y, ids = tools["simulate"](5, 4000, 2)
    tamm = NeuralRatioTAMM("logistic", random_state=0).fit(X, y, simulation=ids)
    good, peak = tools["draw_target"](3000, 1000, 3)[0], np.full((400, 1), -1.5)
    right = goodness_of_fit(tamm, good)
    wrong = goodness_of_fit(tamm, np.vstack([good, peak]))
    assert right.name == "auc"
    assert right.toys is None
    assert right.p_value[0] > 1e-3
    assert wrong.p_value[0] < 1e-3
    none = np.zeros(400)  # events of no weight are not there
    weight = np.concatenate([np.ones(4000), none])
    same = goodness_of_fit(tamm, np.vstack([good, peak]), sample_weight=weight)
    assert same.p_value[0] > 1e-3
    with pytest.raises(InvalidInputError, match="statistic"):
        goodness_of_fit(tamm, good, statistic="pearson")


def test_samples_of_a_few_events_are_refused():
    few, many = np.zeros((9, 1)), np.zeros((50, 1))
    with pytest.raises(InvalidInputError, match="5 folds of 9 and 50 events"):
        two_sample_test(few, many, "logistic", 5, np.random.RandomState(0))


def test_failed_fits_raise_no_alarm():
    statistic, toys = np.array([2.0, np.nan]), np.tile([1.0, 3.0, np.nan], (2, 1))
    np.testing.assert_array_equal(toy_p_value(statistic, toys), [2 / 3, np.nan])
