"""All minima of likelihoods of two parameters, which symmetry and signs make many."""

import numpy as np
import pytest
from scipy import optimize
from scipy.stats import norm

from sktamm.parametric import (
    LogNormalNuisance,
    PolynomialRatio,
    UnbinnedLikelihood,
)
from sktamm.parametric._minimum import (
    Descent,
    _beside_saddle,
    _lows_on_rays,
    _thinned,
    find_minima,
    natural_scales,
)

CENTRES = (3.0, -3.0)


def squares_at(centres):
    """D = 1 + sum_k t_k^2 g_k(x): no interference, signs are mirror images."""
    n = len(centres)
    first, second = np.triu_indices(n)
    own = n + np.flatnonzero(first == second)

    def derivatives(X):
        y = np.zeros((len(X), n + first.size))
        x = np.asarray(X)[:, :1]
        y[:, own] = 2 * norm.pdf(x, centres, 0.7) / norm.pdf(x)
        return y

    mean = np.zeros(n + first.size)
    mean[own] = 2.0
    return PolynomialRatio(derivatives, mean_derivatives=mean).fit(np.zeros((2, 1)))


def two_squares():
    return squares_at(CENTRES)


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
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_mirror_images_are_found(n_events, sign):
    ratio, y = squares_of(sign * np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]))
    fit = UnbinnedLikelihood(ratio, float(n_events))
    with_numbers(fit, y, np.full(3, n_events / 3))
    best = fit.best_fit()
    # Of two equal minima the one at the reference point is the best fit.
    np.testing.assert_allclose(best.theta, 0.0, atol=1e-6)
    image = -2.0 * sign
    np.testing.assert_allclose(best.minima[1], [image, image], atol=1e-6)
    np.testing.assert_allclose(fit.profile(0, [image, 0.0]).delta, 0.0, atol=1e-6)
    segments = fit.interval(0, 0.95).segments
    assert segments.shape == (2, 2)
    assert ((segments[:, 0] < image) & (image < segments[:, 1])).sum() == 1


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
    assert fit.best_fit().converged
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


# ------------------------------------------------------------------ one mechanism each
def brute_minima(fit, size, n_starts=150):
    """Minima within 10 of the deepest, by another method from very many points."""
    rng = np.random.default_rng(99)
    spread = np.exp(rng.normal(size=(n_starts, 1)))
    ends = [
        optimize.minimize(fit.nll, start, jac=fit.nll_gradient, method="BFGS")
        for start in spread * rng.normal(size=(n_starts, size))
    ]
    ends.sort(key=lambda end: end.fun)
    low = [end for end in ends if end.fun < ends[0].fun + 10.0]
    # The inverse of second derivatives that BFGS has is positive even on saddles.
    return [end.x for end in low if _is_minimum(fit, end.x)]


def _is_minimum(fit, point, step=1e-4):
    rows = [
        (fit.nll_gradient(point + move) - fit.nll_gradient(point - move)) / (2 * step)
        for move in step * np.eye(len(point))
    ]
    return np.linalg.eigvalsh(np.array(rows))[0] > 1e-3


@pytest.mark.parametrize(
    ("seed", "n_rows", "number"), [(1, 3, 2.0), (3, 3, 2.0), (2, 12, 1.0)]
)
def test_random_directions_and_many_starts_find_all_minima_of_few_events(
    seed, n_rows, number
):
    ratio, y = squares_of(np.random.default_rng(seed).normal(size=(n_rows, 2)))
    fit = UnbinnedLikelihood(ratio, n_rows * number)
    with_numbers(fit, y, np.full(n_rows, number))
    found, scales = fit.best_fit().minima, fit._fitted_.scales
    expected = brute_minima(fit, 2)
    assert len(expected) > 3
    for point in expected:
        near = np.abs((found - point) / scales).max(axis=1) < 0.05
        assert near.sum() == 1


def test_a_part_of_an_interval_is_not_missed():
    ratio, y = squares_of(np.random.default_rng(5).normal(size=(6, 2)))
    fit = UnbinnedLikelihood(ratio, 6.0).fit(y)
    values, other = np.linspace(-4.0, 4.0, 33), np.linspace(-20.0, 20.0, 8001)
    grid = [
        fit.nll(np.column_stack([np.full_like(other, v), other])).min() for v in values
    ]
    grid = np.array(grid) - fit.best_fit().nll
    near = grid < 30.0
    delta = fit.profile(0, values).delta
    np.testing.assert_allclose(delta[near], grid[near], atol=0.02)
    # 3.4 at -1.75, and the quantile is 3.84.
    segments = fit.interval(0, 0.95).segments
    assert segments.shape == (2, 2)
    assert segments[0, 0] < -1.75 < segments[0, 1]


def expected_squares(centres, share, n_events=1000.0, bounds=None):
    """Likelihood of expected data at a share of the natural distances, and these."""
    x = np.linspace(-9.0, 9.0, 1801)
    fit = UnbinnedLikelihood(squares_at(centres), n_events, bounds=bounds)
    weight = norm.pdf(x)
    fit.fit_asimov(x[:, None], sample_weight=weight)
    truth = share * fit._fitted_.scales
    return fit.fit_asimov(x[:, None], truth, sample_weight=weight), truth


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("bound", [None, (0.0, None)])
@pytest.mark.parametrize("centres", [(3.0, -3.0), (3.0, -3.0, 1.5)])
def test_a_saddle_is_left_to_either_side_and_as_often_as_needed(centres, bound, share):
    """Minima closer to the reference point than the data notice, one per sign."""
    bounds = None if bound is None else [bound] * len(centres)
    fit, truth = expected_squares(centres, share, bounds=bounds)
    best = fit.best_fit()
    assert best.nll == pytest.approx(fit.nll(truth), abs=1e-6)
    np.testing.assert_allclose(np.abs(best.theta), truth, rtol=1e-3)
    if bound is None:  # the mirror image is known, however near it is
        assert fit.nll(best.minima[1]) == pytest.approx(best.nll, abs=1e-6)


def test_a_parameter_that_its_bound_holds_back_does_not_hide_a_saddle():
    # The first bends downwards more than the second, but cannot move outwards.
    share = np.array([1.5, 0.2])
    _, truth = expected_squares(CENTRES, share)
    end = 0.2 * truth[0]
    bounds = [(-end, end), (None, None)]
    fit, _ = expected_squares(CENTRES, share, bounds=bounds)
    found, grid = fit.best_fit(), np.linspace(0.0, 2.0, 2001) * truth[1]
    values = fit.nll(np.column_stack([np.full_like(grid, end), grid]))
    assert found.nll == pytest.approx(values.min(), abs=1e-5)


def test_second_derivatives_that_are_no_numbers_tell_of_no_saddle():
    fit, truth = expected_squares(CENTRES, 0.5)
    objective = fit._fitted_.objective
    steps = np.array([np.inf, 1.0])
    with np.errstate(invalid="ignore"):
        assert _beside_saddle(objective, truth, steps) == []


def test_minima_far_above_the_deepest_are_left_out():
    # (1 + theta)^2 for nine events in ten, (1 - theta)^2 for one: another minimum near
    # -1.87 is higher by 1.0894 for every event expected, as the values say.
    y = np.array([[2.0, 2.0], [-2.0, 2.0]])
    share = np.array([0.9, 0.1])
    ratio = PolynomialRatio(mean_derivatives=share @ y).fit(y)
    for n_events, n_minima in ((80.0, 2), (120.0, 1)):
        fit = with_numbers(UnbinnedLikelihood(ratio, n_events), y, n_events * share)
        height = optimize.minimize_scalar(fit.nll, [-2.0, -1.8]).fun - fit.nll(0.0)
        assert height == pytest.approx(1.0894 * n_events, rel=1e-3)
        assert len(fit.best_fit().minima) == n_minima


class Counted:
    """The mean of a normal density; how many ratios were asked for."""

    theta_ref, n_parameters_, n_asked = np.zeros(2), 2, 0

    def log_ratio(self, X, theta):
        points = np.atleast_2d(theta)
        self.n_asked += len(X) * len(points)
        log_ratio = np.asarray(X) @ points.T - 0.5 * (points**2).sum(axis=1)
        return log_ratio if np.ndim(theta) > 1 else log_ratio[:, 0]

    def cross_section_ratio(self, theta):
        return np.ones(len(np.atleast_2d(theta)))


def test_many_events_are_thinned_to_look_for_starts():
    ratio = Counted()
    X = np.random.default_rng(0).normal(size=(100_000, 2))
    fit = UnbinnedLikelihood(ratio, include_rate=False)
    objective = fit._objective(X)
    scales = natural_scales(objective)
    points = np.array([[-0.2, 0.3], [2.0, -1.0]])
    fewer = _thinned(objective).values(points)
    np.testing.assert_allclose(fewer, objective.values(points), rtol=0.1)
    ratio.n_asked = 0
    minima = find_minima(objective.with_scales(scales), scales)
    np.testing.assert_allclose(minima.points[0], X.mean(axis=0), atol=1e-5)
    # 28 rays of 48 points are 1344 ratios of every event that is looked at.
    assert ratio.n_asked < 0.5 * 1344 * len(X)


def test_rays_do_not_ask_for_the_reference():
    ratio = Counted()
    X = np.random.default_rng(0).normal(size=(100_000, 2))
    nuisance = LogNormalNuisance(up=lambda X: 0.1 * np.asarray(X)[:, 0])
    fit = UnbinnedLikelihood(ratio, None, False, [nuisance], reference=X)
    objective = fit._objective(X[:100])
    scales = natural_scales(objective)
    ratio.n_asked = 0
    find_minima(objective.with_scales(scales), scales)
    assert ratio.n_asked < 0.5 * 1344 * len(X)


def test_natural_distances_do_not_depend_on_the_sign_of_a_parameter():
    # ln (1 + theta)^2 changes faster towards -1 than away from it.
    ends = []
    for sign in (1.0, -1.0):
        ratio, y = squares_of([[sign, 0.0], [0.0, 1.0]])
        fit = UnbinnedLikelihood(ratio, include_rate=False)
        ends.append(natural_scales(fit._objective(y)))
    np.testing.assert_array_equal(*ends)


class Offset(Counted):
    """The same for a density of another scale, as least squares leave it."""

    def cross_section_ratio(self, theta):
        return np.full(len(np.atleast_2d(theta)), 3.0)


def test_natural_distances_do_not_depend_on_the_scale_of_the_density():
    X = np.random.default_rng(0).normal(size=(50, 2))
    fits = [UnbinnedLikelihood(r, include_rate=False) for r in (Counted(), Offset())]
    scales = [natural_scales(fit._objective(X)) for fit in fits]
    np.testing.assert_array_equal(*scales)


class Bumpy:
    """A parabola whose value is higher by a bump everywhere but at the start."""

    limits = np.array([[-np.inf, np.inf]])

    def __init__(self, bump):
        self.bump = bump

    def value_and_gradient(self, point):
        return float(point[0] ** 2 + self.bump * (point[0] != 0.5)), 2 * point


@pytest.mark.parametrize(("scale", "converged"), [(1e-4, True), (1.0, False)])
def test_a_descent_that_cannot_go_on_has_converged_where_it_is_flat(scale, converged):
    """Slopes are those over a natural distance."""
    start, free = np.array([0.5]), np.ones(1, dtype=bool)
    point, _, found = Descent(Bumpy(1.0), np.array([scale]), free).end(start)
    assert point[0] == 0.5
    assert found == converged


class LongValley:
    """Rosenbrock's function, far below zero as the likelihood of many events is."""

    limits = np.tile([-np.inf, np.inf], (2, 1))

    def value_and_gradient(self, point):
        value, gradient = optimize.rosen(point), optimize.rosen_der(point)
        return float(value - 1e9), gradient


def test_minima_are_precise_where_the_likelihood_is_large():
    start, free = np.array([-1.0, 1.0]), np.ones(2, dtype=bool)
    point, _, converged = Descent(LongValley(), np.ones(2), free).end(start)
    assert converged
    np.testing.assert_allclose(point, 1.0, atol=0.01)


def test_a_ray_across_one_valley_has_one_low_point():
    X = np.random.default_rng(0).normal(0.5, 1.0, size=(100, 2))
    objective = UnbinnedLikelihood(Counted(), include_rate=False)._objective(X)
    lows = _lows_on_rays(objective, np.zeros(2), natural_scales(objective))
    slopes = (lows / np.linalg.norm(lows, axis=1, keepdims=True)).round(6)
    assert len(np.unique(slopes, axis=0)) == len(slopes) <= 28


def test_natural_distances_are_short_where_weights_are_negative():
    # D = 1 + theta x: sum w (ln D)^2 is negative up to theta = 10^4.
    y = np.column_stack([np.repeat([0.1, 1.0], [10, 5]), np.zeros(15)])
    fit = UnbinnedLikelihood(PolynomialRatio().fit(y), include_rate=False)
    weight = np.repeat([1.0, -1.0], [10, 5])
    scales = natural_scales(fit._objective(y).take(np.arange(15), weight))
    assert scales[0] < 2.0


@pytest.mark.parametrize(("seed", "n_rows", "number"), [(0, 3, 2.0), (5, 3, 2.0)])
def test_profiles_of_few_events_descend_from_several_minima(seed, n_rows, number):
    ratio, y = squares_of(np.random.default_rng(seed).normal(size=(n_rows, 2)))
    fit = UnbinnedLikelihood(ratio, n_rows * number)
    with_numbers(fit, y, np.full(n_rows, number))
    values, other = np.linspace(-4.0, 4.0, 33), np.linspace(-8.0, 8.0, 3201)
    grid = [
        fit.nll(np.column_stack([np.full_like(other, v), other])).min() for v in values
    ]
    grid = np.array(grid) - fit.best_fit().nll
    delta = fit.profile(0, values).delta
    assert (delta < grid + 0.05)[grid < 10].all()


class Bounded(Counted):
    """Remembers the largest parameter that was asked for."""

    largest = 0.0

    def log_ratio(self, X, theta):
        self.largest = max(self.largest, float(np.abs(theta).max()))
        return super().log_ratio(X, theta)


def test_nothing_is_asked_far_outside_bounds():
    ratio = Bounded()
    X = np.random.default_rng(0).normal(size=(100, 2))
    fit = UnbinnedLikelihood(ratio, include_rate=False, bounds=[(-1.0, 1.0)] * 2)
    fit.fit(X).interval(0, 0.95)
    assert 0.1 < ratio.largest < 1.01
