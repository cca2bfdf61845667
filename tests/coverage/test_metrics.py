"""Measures of intervals: identities, reference values, failed fits."""

import numpy as np
import pytest
from scipy import stats

from sktamm.coverage._measures import (
    check_different,
    clopper_pearson,
    coverage_p_value,
    covers,
    pulls,
    summarise,
    wilson,
)
from sktamm.exceptions import InvalidInputError

LEVELS = (0.683, 0.954)


def test_covers_includes_the_ends_and_never_a_failed_fit():
    lower, upper = [0.1, 0.0, np.nan, 0.0, 0.2], [0.2, 0.1, 0.3, np.nan, 0.3]
    assert covers(0.1, lower, upper).tolist() == [True, True, False, False, False]


def test_pulls_of_failed_fits_are_unknown():
    values = pulls(0.1, [0.2, 0.2, np.nan, 0.2], [0.05, 0.0, 0.1, np.nan])
    np.testing.assert_allclose(values, [2.0, np.nan, np.nan, np.nan])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("interval", "method"), [(clopper_pearson, "exact"), (wilson, "wilson")]
)
def test_binomial_intervals_are_those_of_scipy(interval, method, level):
    k = np.array([0, 1, 7, 19, 20])
    lower, upper = interval(k, 20, level)
    expected = [stats.binomtest(i, 20).proportion_ci(level, method) for i in k]
    np.testing.assert_allclose(lower, [e.low for e in expected], atol=1e-12)
    np.testing.assert_allclose(upper, [e.high for e in expected], atol=1e-12)


@pytest.mark.parametrize("interval", [clopper_pearson, wilson])
def test_without_trials_nothing_is_known(interval):
    lower, upper = interval(0, 0)
    assert (float(lower), float(upper)) == (0.0, 1.0)


def test_clopper_pearson_never_covers_too_rarely_and_wilson_does_on_average():
    n, share = 30, np.linspace(0.005, 0.995, 199)
    chance = stats.binom.pmf(np.arange(n + 1), n, share[:, None])

    def coverage(interval):
        lower, upper = interval(np.arange(n + 1), n)
        return (chance * covers(share[:, None], lower, upper)).sum(axis=1)

    assert (coverage(clopper_pearson) >= 0.683).all()
    assert abs(coverage(wilson).mean() - 0.683) < 0.02


def test_p_value_of_a_coverage_is_binomial():
    assert coverage_p_value(0, 0, 0.683) == 1.0
    assert coverage_p_value(683, 1000, 0.683) == pytest.approx(1.0)
    # 300 of 1000 is 26 standard deviations away.
    assert coverage_p_value(300, 1000, 0.683) < 1e-100


def _normal_answers(n, seed=0):
    rng = np.random.default_rng(seed)
    truth, std = rng.uniform(0.2, 0.4, n), rng.uniform(0.01, 0.02, n)
    kappa = truth + std * rng.normal(size=n)
    half = std[:, None] * stats.norm.ppf(0.5 + 0.5 * np.array(LEVELS))
    return (
        truth,
        kappa,
        std,
        np.stack([kappa[:, None] - half, kappa[:, None] + half], 1),
    )


def test_measures_of_normal_answers_are_as_expected():
    n = 20_000
    truth, kappa, std, interval = _normal_answers(n)
    found = summarise(truth, kappa, std, interval, LEVELS)
    for level in LEVELS:
        sigma = np.sqrt(level * (1 - level) / n)
        assert abs(found[f"coverage_{level}"] - level) < 4 * sigma
        width = 2 * std.mean() * stats.norm.ppf(0.5 + 0.5 * level)
        assert found[f"mean_width_{level}"] == pytest.approx(width)
    assert abs(found["bias"]) < 4 * found["rmse"] / np.sqrt(n)
    assert abs(found["pull_mean"]) < 4 / np.sqrt(n)
    assert abs(found["pull_std"] - 1) < 4 / np.sqrt(2 * n)
    scores = [found[f"interval_score_{level}"] for level in LEVELS]
    assert found["interval_score"] == pytest.approx(np.mean(scores))
    assert found["failed"] == 0.0


def test_failed_fits_are_misses_and_enter_no_mean():
    truth, kappa, std, interval = _normal_answers(100)
    half_failed = kappa.copy()
    half_failed[50:] = np.nan
    found = summarise(truth, half_failed, std, interval, LEVELS)
    good = summarise(truth[:50], kappa[:50], std[:50], interval[:50], LEVELS)
    assert found["failed"] == 0.5
    for name in ("bias", "rmse", "pull_mean", "pull_std", "mean_width_0.683"):
        assert found[name] == pytest.approx(good[name])
    assert found["coverage_0.954"] == pytest.approx(0.5 * good["coverage_0.954"])
    score = 0.5 * good["interval_score_0.683"] + 0.5
    assert found["interval_score_0.683"] == pytest.approx(score)


def test_when_every_fit_failed_the_names_stay():
    truth, kappa, std, interval = _normal_answers(10)
    found = summarise(truth, np.full(10, np.nan), std, interval, LEVELS)
    assert list(found) == list(summarise(truth, kappa, std, interval, LEVELS))
    assert found["failed"] == found["interval_score"] == 1.0
    assert np.isnan([found["bias"], found["rmse"], found["pull_std"]]).all()


def test_without_a_range_failed_fits_enter_no_score():
    truth, kappa, std, interval = _normal_answers(100)
    kappa[50:] = np.nan
    found = summarise(truth + 5, kappa + 5, std, interval + 5, LEVELS, vacuous=None)
    good = summarise(truth[:50], kappa[:50], std[:50], interval[:50], LEVELS)
    assert found["failed"] == 0.5
    assert found["interval_score"] == pytest.approx(good["interval_score"])
    assert found["coverage_0.954"] == pytest.approx(0.5 * good["coverage_0.954"])


def test_levels_of_one_name_are_refused():
    check_different(np.array(LEVELS))
    with pytest.raises(InvalidInputError, match="first six digits"):
        check_different(np.array([0.683, 0.6830001]))
