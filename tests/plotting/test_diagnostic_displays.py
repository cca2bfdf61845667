"""Displays of diagnostics hold the numbers of the records."""

import numpy as np
import pytest

from sktamm.diagnostics import InfluenceResult, SBCResult
from sktamm.exceptions import InvalidInputError
from sktamm.plotting import InfluenceDisplay, RankDisplay

plt = pytest.importorskip("matplotlib.pyplot")


def make_influence(shift):
    shift = np.asarray(shift, dtype=float)
    names = np.array([f"generator {k}" for k in range(shift.size)])
    return InfluenceResult(names, 0.1 + shift, shift, shift / 0.02, 0.1, 0.02)


def make_calibration(ranks, n_draws=99, n_failed=0):
    kappa = np.full(len(ranks), 0.1)
    return SBCResult(np.asarray(ranks), n_draws, 0.03, 0.02, 0.5, kappa, n_failed)


def test_the_largest_shift_comes_first():
    display = InfluenceDisplay.from_result(make_influence([0.01, -0.03, np.nan, 0.02]))
    assert display.simulation == ["generator 1", "generator 3", "generator 0"]
    np.testing.assert_array_equal(display.shift, [-0.03, 0.02, 0.01])
    assert display.n_left_out == 1
    assert display.plot() is display
    display.figure_.canvas.draw()
    bottom, top = display.ax_.get_ylim()
    assert bottom > top


def test_only_the_most_influential_are_shown():
    shift = np.linspace(-0.01, 0.02, 40)
    display = InfluenceDisplay.from_result(make_influence(shift), max_shown=5)
    assert len(display.simulation) == 5
    assert display.n_left_out == 35
    assert np.abs(display.shift).min() >= np.sort(np.abs(shift))[-5]


@pytest.mark.parametrize("shift", [[0.01], [0.0, 0.0], [1e-9, -1e-9, 5.0]])
def test_any_shift_is_drawn_on_given_axes(shift):
    figure, ax = plt.subplots()
    display = InfluenceDisplay.from_result(make_influence(shift)).plot(ax=ax)
    assert display.figure_ is figure
    low, high = ax.get_xlim()
    assert low < -0.02
    assert high > 0.02
    assert high > max(shift)
    figure.canvas.draw()


def test_every_rank_is_counted():
    ranks = np.random.default_rng(0).integers(0, 100, 230)
    display = RankDisplay.from_result(make_calibration(ranks, n_failed=2)).plot()
    assert display.counts.size == 20
    assert display.counts.sum() == 230
    expected = np.bincount(ranks // 5, minlength=20)
    np.testing.assert_array_equal(display.counts, expected)
    title = display.ax_.get_title(loc="left")
    assert title == "230 experiments, 2 failed, uniformity p = 0.03"
    display.figure_.canvas.draw()


def test_bins_of_unequal_numbers_of_ranks_are_flat_for_uniform_ranks():
    """101 ranks in 20 bins: one bin has six of them, and is drawn no higher."""
    calibration = make_calibration(np.tile(np.arange(101), 4), n_draws=100)
    display = RankDisplay.from_result(calibration, bins=20).plot()
    assert np.unique(display.counts).size == 2
    heights = display.ax_.patches[0].get_data().values
    np.testing.assert_allclose(heights, 404 / 20, rtol=1e-12)


def test_ranks_are_drawn_on_given_axes():
    figure, ax = plt.subplots()
    display = RankDisplay.from_result(make_calibration([3, 50, 99])).plot(ax=ax)
    assert display.figure_ is figure
    assert display.counts.size == 4


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(InvalidInputError, match="finite shift, got none of 2"):
        InfluenceDisplay.from_result(make_influence([np.nan, np.nan]))
    with pytest.raises(InvalidInputError, match="at least one rank"):
        RankDisplay.from_result(make_calibration([]))
    with pytest.raises(InvalidInputError, match=r"bins must be from 1 to .* 100"):
        RankDisplay.from_result(make_calibration([1, 2]), bins=101)
