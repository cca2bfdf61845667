"""Displays of ratios, ensembles and likelihoods hold and draw the numbers given."""

import numpy as np
import pytest

from sktamm.datasets import make_smeft_toy
from sktamm.exceptions import InvalidInputError
from sktamm.parametric import PolynomialRatio, UnbinnedLikelihood
from sktamm.plotting import (
    ParameterProfileDisplay,
    ParameterRegionDisplay,
    RatioDisplay,
    SpreadDisplay,
)

plt = pytest.importorskip("matplotlib.pyplot")


class Ensemble:
    """Members x + k; for two outputs also minus that."""

    def __init__(self, n_outputs=1):
        self.n_outputs = n_outputs

    def predict_members(self, X):
        one = np.arange(3.0)[:, None] + X[:, 0]
        return one if self.n_outputs == 1 else np.stack([-one, one], axis=-1)


@pytest.fixture(scope="module")
def likelihood():
    rng = np.random.default_rng(0)
    first = rng.normal(size=(2000, 2))
    y = np.column_stack([first, np.tile([0.2, 0.0, 0.2], (2000, 1))])
    ratio = PolynomialRatio(mean_derivatives=[0.0, 0.0, 0.2, 0.0, 0.2]).fit(y)
    return UnbinnedLikelihood(ratio, 2000.0).fit(y)


def drawn(display):
    """Lines of the panel, after everything was drawn once."""
    display.figure_.canvas.draw()
    return display.ax_.get_lines()


def test_ratio_against_truth():
    display = RatioDisplay.from_values(
        [0.0, 1.0, 2.0], [0.5, np.nan, 2.0], sample_weight=[3.0, 1.0, 1.0]
    )
    assert display.n_missing == 1
    assert display.mean_squared_error == pytest.approx(0.25 * 3 / 4)
    assert display.plot() is display
    low, high = display.ax_.get_xlim()
    assert low <= 0.0
    assert high >= 2.0
    assert display.ax_.get_ylim() == (low, high)
    drawn(display)


def test_ratio_of_an_estimator():
    toy = make_smeft_toy(500, 1.0, random_state=0)

    class Exact:
        def log_ratio(self, X, theta):
            return np.full(len(X), float(np.sum(theta)))

    display = RatioDisplay.from_estimator(Exact(), toy.X, [0.5], np.full(500, 0.25))
    assert display.name == "Exact"
    assert display.mean_squared_error == pytest.approx(0.0625)


@pytest.mark.parametrize(
    ("exact", "learned", "words"),
    [([0.0, 1.0], [0.0], "one log ratio"), ([0.0], [np.nan], "finite log ratios")],
)
def test_ratios_are_refused(exact, learned, words):
    with pytest.raises(InvalidInputError, match=words):
        RatioDisplay.from_values(exact, learned)


def test_spread_of_an_ensemble():
    x = np.array([2.0, 0.0, 1.0])
    display = SpreadDisplay.from_estimator(Ensemble(), x, truth=x, events=x)
    np.testing.assert_array_equal(display.x, [0.0, 1.0, 2.0])
    np.testing.assert_array_equal(display.mean, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(display.std, 1.0)
    np.testing.assert_array_equal(display.truth, display.x)
    lines = drawn(display.plot())
    mean = next(line for line in lines if line.get_label() == "mean of the members")
    np.testing.assert_array_equal(mean.get_ydata(), display.mean)
    bands = display.ax_.collections[:2]
    heights = [np.ptp(band.get_paths()[0].vertices[:, 1]) for band in bands]
    assert heights == [6.0, 4.0]  # a slope of one over two units, and both sides


def test_spread_of_one_of_several_outputs():
    x = [0.0, 1.0]
    display = SpreadDisplay.from_estimator(Ensemble(2), x, output=0)
    np.testing.assert_array_equal(display.mean, [-1.0, -2.0])
    with pytest.raises(InvalidInputError, match="output chooses"):
        SpreadDisplay.from_estimator(Ensemble(2), x)
    with pytest.raises(InvalidInputError, match="two members"):
        SpreadDisplay.from_members(x, [x])
    with pytest.raises(InvalidInputError, match="truth must hold 2"):
        SpreadDisplay.from_members(x, [x, x], truth=[0.0])


def test_profiles(likelihood):
    values = np.array([0.1, -0.1, 0.0])
    scan = likelihood.profile(0, values)
    display = ParameterProfileDisplay.from_result(
        {"one": scan, "two": likelihood.profile(0, values, "fix")}, "c", truth=0.05
    )
    assert display.names == ["one", "two"]
    np.testing.assert_array_equal(display.values[0], np.sort(values))
    np.testing.assert_array_equal(display.delta[0], scan.delta[np.argsort(values)])
    curves = {line.get_label(): line for line in drawn(display.plot())}
    np.testing.assert_array_equal(curves["one"].get_ydata(), display.delta[0])
    with pytest.raises(InvalidInputError, match="one parameter"):
        ParameterProfileDisplay.from_result(
            {"one": scan, "two": likelihood.profile(1, values)}
        )


def test_regions(likelihood):
    regions = {
        "ellipse": [likelihood.confidence_ellipse(0, 1, c) for c in (0.683, 0.954)],
        "contour": [likelihood.contour(0, 1, 0.683)],
    }
    display = ParameterRegionDisplay.from_result(regions).plot()
    (figure,) = {ax.figure for ax in np.ravel(list(display.axes_.values()))}
    figure.canvas.draw()
    ax = display.axes_[0, 1]
    low, high = ax.get_xlim()
    points = np.concatenate([r.points for group in regions.values() for r in group])
    assert low < points[:, 0].min()
    assert high > points[:, 0].max()
    # A thousand events and two unit scores: both regions are nearly the same circle.
    areas = [regions[name][0].area for name in regions]
    assert areas[1] == pytest.approx(areas[0], rel=0.05)
