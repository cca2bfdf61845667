"""All minima of likelihoods of two parameters, which symmetry and signs make many."""

import numpy as np
import pytest
from scipy.stats import norm

from sktamm.parametric import PolynomialRatio, UnbinnedLikelihood

CENTRES = (3.0, -3.0)


def two_squares():
    """D = 1 + t0^2 g0(x) + t1^2 g1(x): no interference, four mirror images."""

    def derivatives(X):
        x = X[:, 0]
        g = [norm.pdf(x, c, 0.7) / norm.pdf(x) for c in CENTRES]
        none = np.zeros(len(x))
        return np.column_stack([none, none, 2 * g[0], none, 2 * g[1]])

    known = PolynomialRatio(derivatives, mean_derivatives=[0.0, 0.0, 2.0, 0.0, 2.0])
    return known.fit(np.zeros((2, 1)))


def draw(theta, n_events):
    rng = np.random.default_rng(0)
    share = np.array([1.0, *np.square(theta)])
    part = rng.choice(3, size=n_events, p=share / share.sum())
    spread = np.where(part == 0, 1.0, 0.7)
    return (np.array([0.0, *CENTRES])[part] + spread * rng.normal(size=n_events))[
        :, None
    ]


def squares_of(slopes):
    """Derivatives of D_k = (1 + c_k . theta)^2 and the ratio that has them."""
    c = np.asarray(slopes, dtype=float)
    second = 2 * np.column_stack([c[:, 0] ** 2, c[:, 0] * c[:, 1], c[:, 1] ** 2])
    y = np.column_stack([2 * c, second])
    return PolynomialRatio(mean_derivatives=y.mean(axis=0)).fit(y), y


def with_numbers(fit, y, numbers):
    """Take every event as often as its number says, however large it is."""
    numbers = np.asarray(numbers, dtype=float)
    objective = fit._objective(y).take(np.arange(len(y)), numbers, numbers)
    return fit._take(objective)


@pytest.mark.parametrize("bounds", [None, [(0.0, None), (0.0, None)]])
@pytest.mark.parametrize("rate", [True, False])
def test_the_best_fit_is_no_saddle(bounds, rate):
    X = draw((0.5, 0.5), 2000)
    fit = UnbinnedLikelihood(
        two_squares(), 2000 / 1.5, include_rate=rate, bounds=bounds
    ).fit(X)
    best = fit.best_fit()
    assert best.nll < fit.nll([0.5, 0.5])
    np.testing.assert_allclose(np.abs(best.theta), 0.5, atol=0.06)
    assert np.isfinite(best.std).all()
    interval = fit.interval(0, 0.68)
    assert interval.segments[-1, 0] < best.theta[0] < interval.segments[-1, 1]
    assert fit.profile(0, np.linspace(-1, 1, 9)).delta.min() > -1e-6


@pytest.mark.parametrize("n_events", [30, 300])
def test_mirror_images_are_found(n_events):
    ratio, y = squares_of([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    fit = UnbinnedLikelihood(ratio, float(n_events))
    with_numbers(fit, y, np.full(3, n_events / 3))
    best = fit.best_fit()
    # Of two equal minima the one at the reference point is the best fit.
    np.testing.assert_allclose(best.theta, 0.0, atol=1e-6)
    np.testing.assert_allclose(best.minima[1], [-2.0, -2.0], atol=1e-6)
    np.testing.assert_allclose(fit.profile(0, [-2.0, 0.0]).delta, 0.0, atol=1e-6)
    segments = fit.interval(0, 0.95).segments
    assert segments.shape == (2, 2)
    assert segments[0, 0] < -2.0 < segments[0, 1]


def test_profile_is_that_of_a_grid():
    ratio, y = squares_of([[1.0, 0.0], [0.0, 1.0], [0.6, 0.4], [0.3, 0.7]])
    fit = with_numbers(UnbinnedLikelihood(ratio, 40.0), y, np.full(4, 10.0))
    values = np.linspace(-3.0, 1.0, 21)
    other = np.linspace(-5.0, 5.0, 4001)
    grid = [
        fit.nll(np.column_stack([np.full_like(other, v), other])).min() for v in values
    ]
    scan = fit.profile(0, values).delta + fit.best_fit().nll
    np.testing.assert_allclose(scan, grid, atol=2e-3)


@pytest.mark.parametrize("n_events", [1e3, 1e5, 1e7])
@pytest.mark.parametrize("bound", [(0.0, 10.0), (0.0, None), (None, None)])
def test_minima_at_bounds_and_far_away_are_found(n_events, bound):
    y = np.array([[-1.0, 2.0], [1.0, 0.6]])
    fit = UnbinnedLikelihood(PolynomialRatio().fit(y), None, False, bounds=[bound])
    with_numbers(fit, y, n_events * np.array([0.99, 0.01]))
    low = -50.0 if bound[0] is None else bound[0]
    high = 50.0 if bound[1] is None else bound[1]
    grid = np.linspace(low, high, 20_001)[:, None]
    assert fit.best_fit().nll < fit.nll(grid).min() + 1e-6
    interval = fit.interval(0, 0.95)
    assert interval.lower <= interval.estimate <= interval.upper


@pytest.mark.parametrize("n_events", [1e4, 1e6, 1e8])
def test_the_mirror_image_of_a_rate_is_found_however_narrow(n_events):
    y = np.ones((10, 2))
    fit = UnbinnedLikelihood(PolynomialRatio().fit(y), n_events).fit_asimov(y)
    np.testing.assert_allclose(fit.best_fit().minima.ravel(), [0.0, -2.0], atol=1e-8)
    assert fit.interval(0, 0.683).segments.shape == (2, 2)


def test_a_profile_does_not_depend_on_its_path():
    rng = np.random.default_rng(5)
    slopes = rng.normal(size=(6, 2))
    ratio, y = squares_of(slopes)
    fit = with_numbers(UnbinnedLikelihood(ratio, 30.0), y, np.full(6, 5.0))
    values = np.linspace(-4.0, 4.0, 33)
    together = fit.profile(0, values).delta
    alone = [fit.profile(0, [value]).delta[0] for value in values]
    other = np.linspace(-8.0, 8.0, 4001)
    brute = [
        fit.nll(np.column_stack([np.full_like(other, v), other])).min() for v in values
    ]
    brute = np.array(brute) - fit.best_fit().nll
    for found in (together, alone):
        near = brute < 10.0
        np.testing.assert_allclose(np.array(found)[near], brute[near], atol=0.02)
