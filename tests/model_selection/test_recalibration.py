"""Formulas of the calibration, on pulls whose distribution is known."""

import numpy as np
import pytest
from scipy import stats

from sktamm.model_selection._recalibration import (
    find_scaling,
    jackknife_intervals,
    jackknife_plus,
    largest_level,
    one_sided_pulls,
    quantile,
    rescaled,
    sides,
)

LEVELS = np.array([0.683, 0.95])


def _sigmas(covered, level):
    """Deviation of a coverage from a level in binomial standard errors."""
    return (covered.mean() - level) / np.sqrt(level * (1.0 - level) / covered.size)


def test_pull_is_in_units_of_the_side_that_faces_the_truth():
    pulls = one_sided_pulls([0.1, 0.5], [0.3, 0.3], [0.2, 0.2], [0.7, 0.7])
    np.testing.assert_allclose(pulls, [2.0, -0.5])


def test_no_side_vanishes():
    np.testing.assert_allclose(sides(0.0, 0.0, 0.5), [0.05, 0.5])


def test_draws_of_a_unit_are_one_unit():
    pulls = np.array([[[3.0], [1.0]]])
    one = find_scaling(pulls, 4.0, robust=False)
    many = find_scaling(np.repeat(pulls, 7, axis=2), 4.0, robust=False)
    assert one.scale[0] == pytest.approx(np.sqrt((9.0 + 1.0 + 4.0) / 6.0))
    assert many.scale[0] == pytest.approx(one.scale[0])
    assert many.n_freedom == one.n_freedom == 6.0
    assert one.mean_pull[0] == 2.0


@pytest.mark.parametrize("robust", [True, False])
def test_failed_fits_are_left_out_of_scales(robust):
    pulls = np.random.default_rng(3).normal(size=(1, 5, 2))
    holes = pulls.copy()
    holes[0, 4], holes[0, 0, 1] = np.nan, np.nan
    pulls[0, 0, 1] = pulls[0, 0, 0]
    found = find_scaling(holes, 2.0, robust=robust)
    known = find_scaling(pulls[:, :4], 2.0, robust=robust)
    assert found.scale == pytest.approx(known.scale)
    assert (found.n_units, found.n_freedom) == (4, 6)
    nothing = find_scaling(np.full((1, 3, 1), np.nan), 2.0, robust=robust)
    assert np.isnan(nothing.scale).all()


def test_failed_fits_have_infinite_residuals():
    kappa, both = np.array([[0.1, 0.2, 0.3, np.nan]]), np.full((1, 4, 2), 0.1)
    pulls = np.array([[1.0, np.nan, 1.0, 1.0]])
    half = jackknife_plus(kappa, both, pulls, 0.4)
    np.testing.assert_allclose(half, [[0.0, 0.4]], atol=1e-12)
    assert np.isinf(jackknife_plus(kappa, both, pulls, 0.8)).all()


def test_normal_tail_and_unit_scale_change_nothing():
    interval = np.array([[[0.1, 0.0], [0.4, 0.8]]])
    scaling = find_scaling(np.ones((1, 3, 1)), 0.0, robust=False)
    same = rescaled(np.array([0.3]), interval, LEVELS, scaling, "normal")
    np.testing.assert_allclose(same, interval)


@pytest.mark.parametrize("inner", [0.3, 1.0, 4.0])
def test_rms_with_student_tail_is_exact_for_normal_pulls(inner):
    """Two levels, three widths: |z| < 4, false alarm 4e-4 together."""
    rng = np.random.default_rng(0)
    pulls = rng.normal(0.0, 1.0 / inner, (20_000, 5, 1))
    truth = rng.normal(0.0, 1.0 / inner, 20_000)
    half = stats.norm.ppf(0.5 + 0.5 * LEVELS)
    interval = np.tile(np.stack([-half, half]), (20_000, 1, 1))
    scaling = find_scaling(pulls, 0.0, robust=False)
    found = rescaled(np.zeros(20_000), interval, LEVELS, scaling, "student")
    for i, level in enumerate(LEVELS):
        covered = (found[:, 0, i] <= truth) & (truth <= found[:, 1, i])
        assert abs(_sigmas(covered, level)) < 4.0


def _robust(pulls, strength=0.0):
    pulls = np.reshape(pulls, (1, -1, 1))
    return find_scaling(pulls, strength, robust=True).scale[0]


def test_robust_scale_is_the_most_probable_one():
    pulls = np.random.default_rng(4).normal(size=9) * 1.7
    unit = stats.t(4).ppf(0.8415)
    grid = np.linspace(0.5, 4.0, 100_001)
    likelihood = stats.t(4).logpdf(unit * pulls / grid[:, None]).sum(axis=1)
    best = grid[(likelihood - 9 * np.log(grid)).argmax()]
    assert _robust(pulls) == pytest.approx(best, abs=1e-4)


def test_robust_scale_follows_the_units_and_the_prior():
    typical = stats.t(4).ppf((np.arange(400) + 0.5) / 400) / stats.t(4).ppf(0.8415)
    assert _robust(typical) == pytest.approx(1.0, abs=2e-3)
    assert _robust(3.0 * typical) == pytest.approx(3.0, abs=6e-3)
    few = np.array([2.0, -2.5, 1.8, 2.2])
    scales = [_robust(few, m) for m in (0.0, 2.0, 100.0)]
    assert scales[0] > scales[1] > scales[2] > 1.0
    assert _robust(few, 1e6) == pytest.approx(1.0, abs=1e-3)


def test_one_wild_simulation_moves_the_robust_scale_little():
    pulls = np.array([0.3, -0.9, 1.1, -0.5, 0.8])
    tame, wild = (_robust(np.append(pulls, p), 2.0) for p in (1.0, 50.0))
    assert wild < 1.7 * tame
    rms = find_scaling(np.append(pulls, 50.0).reshape(1, -1, 1), 2.0, robust=False)
    assert rms.scale[0] > 10.0 * tame


def _order_statistics(others, down, up, pulls, level):
    """Definition of jackknife+ by counting, one dataset."""
    n = len(pulls)
    rank = int(np.ceil(level * (n + 1)))
    low = sorted((others - pulls * down).tolist(), reverse=True)[rank - 1]
    high = sorted((others + pulls * up).tolist())[rank - 1]
    return low, high


@pytest.mark.parametrize("level", [0.5, 0.683, 0.8])
def test_jackknife_plus_follows_its_definition(level):
    rng = np.random.default_rng(1)
    others, pulls = rng.normal(size=(2, 6)), np.abs(rng.normal(size=(2, 6)))
    both = rng.uniform(1.0, 2.0, (2, 6, 2))
    found = jackknife_plus(others, both, pulls, level)
    for i in range(2):
        wanted = _order_statistics(
            others[i], both[i, :, 0], both[i, :, 1], pulls[i], level
        )
        np.testing.assert_allclose(found[i], wanted)


def test_jackknife_plus_covers_exchangeable_truths_of_any_distribution():
    """Mean of K heavy-tailed values predicts the next: about k/(K + 1), |z| < 4."""
    rng = np.random.default_rng(2)
    values = rng.standard_t(2, (20_000, 10))
    known, truth = values[:, :9], values[:, 9]
    others = (known.sum(axis=1, keepdims=True) - known) / 8.0
    both = np.ones((20_000, 9, 2))
    ends = jackknife_plus(others, both, np.abs(known - others), 0.8)
    covered = (ends[:, 0] <= truth) & (truth <= ends[:, 1])
    assert covered.mean() > 0.8 - 4.0 * np.sqrt(0.16 / covered.size)
    assert covered.mean() < 0.83


def test_tail_continues_the_order_statistics():
    rng = np.random.default_rng(3)
    others, both = rng.normal(size=(1, 4)), np.ones((1, 4, 2))
    scaling = find_scaling(rng.normal(size=(1, 4, 1)), 0.0, robust=False)
    kappa = others.mean(axis=1)
    levels = np.array([largest_level(4), 0.955])
    ends = jackknife_intervals(kappa, others, both, levels, scaling, "student")
    wider = quantile("student", 0.955, 4) / quantile("student", 0.8, 4)
    np.testing.assert_allclose(ends[..., 1] - kappa, wider * (ends[..., 0] - kappa))
    assert quantile("normal", 0.683, np.inf) == pytest.approx(1.0, abs=1e-3)
