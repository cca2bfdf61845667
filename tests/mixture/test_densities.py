"""Class densities: normalised, with derivatives that agree with differences."""

import numpy as np
import pytest

from sktamm._numerics import softmax
from sktamm.mixture._densities import ExponentialDensity, LinearDensity

ROWS, REFERENCE = 7, 11
STEP = 1e-5


def _linear(n_components=4, seed=0):
    rng = np.random.default_rng(seed)
    return LinearDensity(np.exp(rng.normal(size=(ROWS, n_components))))


def _exponential(n_params=3, seed=1, binned=False):
    rng = np.random.default_rng(seed)
    offset, directions = (
        rng.normal(size=REFERENCE),
        rng.normal(size=(REFERENCE, n_params)),
    )
    weight = rng.dirichlet(np.ones(REFERENCE))
    if binned:
        return ExponentialDensity(offset, directions, offset, directions, weight)
    rows, row_directions = rng.normal(size=ROWS), rng.normal(size=(ROWS, n_params))
    return ExponentialDensity(rows, row_directions, offset, directions, weight)


DENSITIES = {
    "linear": _linear(),
    "two components": _linear(2),
    "exponential unbinned": _exponential(),
    "exponential binned": _exponential(binned=True),
    "one direction": _exponential(1),
}


@pytest.fixture(params=DENSITIES.values(), ids=DENSITIES.keys())
def density(request):
    return request.param


def _point(density, n_fits=3, seed=2):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_fits, density.n_params))


def _differences(function, params):
    """Central differences of a function of params; the last axis is the parameter."""
    columns = []
    for j in range(params.shape[1]):
        step = STEP * np.eye(params.shape[1])[j]
        columns.append((function(params + step) - function(params - step)) / (2 * STEP))
    return np.stack(columns, axis=-1)


def test_jacobian_is_the_derivative_of_the_log_density(density):
    params = _point(density)
    expected = _differences(lambda p: density.evaluate(p).log_density, params)
    actual = density.jacobian(density.evaluate(params))
    np.testing.assert_allclose(actual, expected, atol=1e-8)


def test_pull_back_is_the_weighted_jacobian(density):
    at = density.evaluate(_point(density))
    weight = np.random.default_rng(3).normal(size=at.log_density.shape)
    expected = np.einsum("bi,bip->bp", weight, density.jacobian(at))
    np.testing.assert_allclose(density.pull_back(at, weight), expected, atol=1e-12)


def test_curvature_is_the_derivative_of_the_pull_back(density):
    params = _point(density)
    at = density.evaluate(params)
    weight = np.random.default_rng(4).normal(size=at.log_density.shape)
    expected = _differences(
        lambda p: density.pull_back(density.evaluate(p), weight), params
    )
    np.testing.assert_allclose(density.curvature(at, weight), expected, atol=1e-8)


def test_fits_of_a_batch_do_not_touch_each_other(density):
    params = _point(density)
    together = density.evaluate(params).log_density
    alone = [density.evaluate(p[None]).log_density[0] for p in params]
    np.testing.assert_allclose(together, alone, rtol=1e-12)


def test_the_exponential_density_is_normalised_under_the_reference():
    density = _exponential(binned=True)
    at = density.evaluate(_point(density))
    total = np.exp(at.log_density) @ density.reference_weight
    np.testing.assert_allclose(total, 1.0)
    np.testing.assert_allclose(at.share.sum(axis=1), 1.0)


def test_the_exponential_density_ignores_constants():
    """An offset and directions moved by constants give the same density."""
    old = _exponential()
    moved = ExponentialDensity(
        old.offset + 5,
        old.directions - 2,
        old.reference_offset + 5,
        old.reference_directions - 2,
        old.reference_weight,
    )
    params = _point(old)
    np.testing.assert_allclose(
        old.evaluate(params).log_density, moved.evaluate(params).log_density
    )


def test_the_linear_density_is_a_mean_of_ratios():
    density = _linear()
    params = _point(density)
    weights = density.weights(params)
    np.testing.assert_allclose(weights, softmax(params @ density.contrast.T))
    expected = np.log(weights @ density.ratio.T)
    np.testing.assert_allclose(density.evaluate(params).log_density, expected)


@pytest.mark.parametrize("form", ["linear", "exponential"])
def test_one_component_has_nothing_to_adapt(form):
    density = _linear(1) if form == "linear" else _exponential(0)
    at = density.evaluate(np.zeros((2, 0)))
    weight = np.ones_like(at.log_density)
    assert density.n_params == 0
    assert density.pull_back(at, weight).shape == (2, 0)
    assert density.jacobian(at).shape == (2, ROWS, 0)
    assert density.curvature(at, weight).shape == (2, 0, 0)
    if form == "linear":
        np.testing.assert_allclose(at.log_density, np.log(density.ratio.T[[0, 0]]))


def test_statistical_variance_is_that_of_components_with_errors():
    """Scatter of ln q when the components scatter, within four sigmas."""
    rng = np.random.default_rng(5)
    ratio, relative = (
        np.exp(rng.normal(size=(ROWS, 3))),
        1e-4 * rng.uniform(0.5, 2, (ROWS, 3)),
    )
    density = LinearDensity(ratio, relative)
    params = rng.normal(size=(1, 2))
    n = 4000
    noise = rng.normal(size=(n, ROWS, 3)) * np.sqrt(relative)
    scatter = np.log((ratio * (1 + noise)) @ density.weights(params)[0]).var(axis=0)
    claimed = density.statistical_variance(density.evaluate(params))[0]
    np.testing.assert_allclose(scatter / claimed, 1.0, atol=4 * np.sqrt(2 / n))


def test_without_errors_the_statistical_variance_is_zero():
    for density in (_linear(), _exponential()):
        assert density.statistical_variance(density.evaluate(_point(density))) == 0.0
