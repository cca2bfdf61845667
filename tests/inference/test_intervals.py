"""Intervals agree with exact quantiles; the shortest is never longer."""

import numpy as np
import pytest
from scipy import stats

from sktamm.inference._intervals import (
    broadened,
    density_intervals,
    density_moments,
    draw_intervals,
    normal_quantile,
    ratio_intervals,
    smoothed_density,
)

LEVELS = np.array([0.5, 0.683, 0.954])
LAWS = {
    "normal": stats.norm(0.3, 0.05),
    "beta": stats.beta(3.0, 9.0),
    "skewed": stats.gamma(3.0, scale=0.02),
    "uniform": stats.uniform(0.0, 1.0),
}


@pytest.fixture(params=LAWS.values(), ids=LAWS.keys())
def law(request):
    return request.param


def _curve(law, n=1001):
    grid = np.linspace(law.ppf(1e-9), law.ppf(1 - 1e-9), n)
    with np.errstate(divide="ignore"):
        log_density = np.maximum(law.logpdf(grid), -700.0)
    return grid[None], log_density[None]


def test_normal_quantile_is_the_central_half_width():
    np.testing.assert_allclose(normal_quantile(np.array([0.6826894921])), 1.0)
    np.testing.assert_allclose(normal_quantile(LEVELS), stats.norm.interval(LEVELS)[1])


def test_moments_are_exact(law):
    mean, std = density_moments(*_curve(law))
    np.testing.assert_allclose(mean, law.mean(), rtol=1e-4)
    np.testing.assert_allclose(std, law.std(), rtol=1e-3)


def test_equal_tailed_ends_are_quantiles(law):
    interval = density_intervals(*_curve(law), LEVELS, "equal_tailed")
    assert interval.shape == (1, 2, 3)
    np.testing.assert_allclose(interval[0], law.interval(LEVELS), atol=1e-3 * law.std())


def test_shortest_intervals_hold_their_share_and_are_not_longer(law):
    curve = _curve(law)
    shortest = density_intervals(*curve, LEVELS, "shortest")[0]
    tails = density_intervals(*curve, LEVELS, "equal_tailed")[0]
    width = shortest[1] - shortest[0]
    assert (width <= (tails[1] - tails[0]) * (1 + 1e-4)).all()
    np.testing.assert_allclose(np.diff(law.cdf(shortest), axis=0)[0], LEVELS, atol=1e-3)


def test_shortest_interval_of_a_falling_density_starts_at_its_end():
    law = stats.beta(1.0, 20.0)
    grid = np.linspace(0, 1, 4001)
    interval = density_intervals(
        grid[None], np.maximum(law.logpdf(grid), -700)[None], LEVELS, "shortest"
    )
    np.testing.assert_allclose(interval[0, 0], 0.0, atol=1e-9)
    np.testing.assert_allclose(interval[0, 1], law.ppf(LEVELS), rtol=2e-3)


@pytest.mark.parametrize("kind", ["equal_tailed", "shortest"])
def test_intervals_of_draws_agree_with_those_of_densities(kind, law):
    """Within five sigmas of the ends' sampling error, estimated from ten parts."""
    rng = np.random.default_rng(0)
    draws = law.rvs((40, 4000), random_state=rng)
    interval = draw_intervals(draws, LEVELS, kind)
    assert interval.shape == (40, 2, 3)
    share = np.diff(law.cdf(interval), axis=1)[:, 0]
    error = share.std(axis=0) / np.sqrt(40)
    bias = 2.0 / np.sqrt(4000) if kind == "shortest" else 0.0
    assert (np.abs(share.mean(axis=0) - LEVELS) < 5 * error + bias).all()
    if kind == "equal_tailed":
        spread = interval.std(axis=0) / np.sqrt(40)
        exact = np.array(law.interval(LEVELS))
        assert (np.abs(interval.mean(axis=0) - exact) < 5 * spread + 1e-3).all()


def test_the_shortest_interval_of_draws_is_not_longer():
    draws = np.random.default_rng(1).gamma(2.0, size=(5, 500))
    shortest = draw_intervals(draws, LEVELS, "shortest")
    tails = draw_intervals(draws, LEVELS, "equal_tailed")
    slack = 5 / 500 * np.ptp(draws, axis=1)[:, None]
    assert (
        (shortest[:, 1] - shortest[:, 0]) <= tails[:, 1] - tails[:, 0] + slack
    ).all()


def test_a_parabola_ends_where_it_has_fallen():
    grid = np.linspace(-1, 1, 1001)[None]
    z = normal_quantile(LEVELS)
    interval = ratio_intervals(
        grid, -0.5 * ((grid - 0.1) / 0.05) ** 2, 0.5 * z[None] ** 2, np.array([0.1])
    )
    np.testing.assert_allclose(interval[0], 0.1 + 0.05 * np.array([-z, z]), atol=1e-4)


def test_a_curve_that_does_not_fall_ends_with_the_grid():
    grid = np.linspace(0, 1, 101)[None]
    rising = ratio_intervals(grid, grid, np.array([[0.25, 2.0]]), np.ones(1))
    np.testing.assert_allclose(rising[0], [[0.75, 0.0], [1.0, 1.0]], atol=1e-9)


@pytest.mark.parametrize(("centre", "mode"), [(0.3, 0.3), (0.6, 0.6)])
def test_of_two_modes_the_one_of_the_estimate_counts(centre, mode):
    """The way from the estimate ends at the first crossing on either side."""
    grid = np.linspace(0, 1, 2001)[None]
    two = np.logaddexp(
        stats.norm(0.3, 0.02).logpdf(grid), stats.norm(0.6, 0.02).logpdf(grid)
    )
    ends = ratio_intervals(grid, two, np.array([[0.5]]), np.array([centre]))
    np.testing.assert_allclose(ends[0, :, 0], [mode - 0.02, mode + 0.02], atol=1e-3)


def test_densities_may_come_on_uneven_grids():
    law = stats.beta(3.0, 9.0)
    grid = 0.25 + 0.1 * np.sinh(np.linspace(-1.6, 2.6, 2001))
    grid = np.clip(grid, 1e-6, 1 - 1e-6)[None]
    curve = grid, law.logpdf(grid)
    mean, std = density_moments(*curve)
    assert mean[0] == pytest.approx(law.mean(), rel=1e-3)
    assert std[0] == pytest.approx(law.std(), rel=1e-3)
    interval = density_intervals(*curve, LEVELS, "equal_tailed")
    np.testing.assert_allclose(interval[0], law.interval(LEVELS), atol=1e-3)


# Far from the ends their images are left out; near to one, and wide, both count.
@pytest.mark.parametrize("error", [0.003, 0.02, 0.3])
@pytest.mark.parametrize("mean", [0.01, 0.3, 0.97])
def test_a_broadened_density_is_that_of_a_reflected_sum(mean, error):
    std = 0.02
    grid = np.linspace(max(mean - 6 * std, 0.0), min(mean + 6 * std, 1.0), 1001)
    log_density = stats.norm(mean, std).logpdf(grid)
    fine, found = broadened(grid[None], log_density[None], np.array([error**2]))
    weight = np.exp(log_density)
    weight[[0, -1]] *= 0.5  # trapezoids
    expected = _reflected_sum(fine[0], grid, weight, error)
    np.testing.assert_allclose(np.exp(found[0]), expected, atol=1e-4)
    points, weight = grid[::10], np.exp(log_density[::10])
    fine, found = smoothed_density(points, weight / weight.sum(), error**2)
    assert found.max() == 0.0
    spread = np.sqrt(error**2 + 0.01 * np.cov(points, aweights=weight, ddof=0))
    expected = _reflected_sum(fine, points, weight, spread)
    np.testing.assert_allclose(np.exp(found), expected, atol=1e-4)


def test_a_density_of_two_neighbouring_numbers_stays_there():
    grid = np.repeat([[0.75, np.nextafter(0.75, 1.0)]], [500, 501], axis=1)
    fine, found = broadened(grid, np.zeros((1, 1001)), np.array([1e-40]))
    assert set(fine[0]) <= set(grid[0])
    assert np.isfinite(found).all()
    assert found.max() == 0.0


def _reflected_sum(x, points, weight, error):
    """Of normal densities at the points and their images at 0 and 1, at most 1."""
    centre = np.concatenate([points, -points, 2.0 - points])
    law = stats.norm(centre, error)
    density = [law.pdf(value) @ np.tile(weight, 3) for value in x]
    return np.array(density) / np.max(density)
