"""Smooth moments: weights and ratios that reproduce them, and their error."""

import numpy as np
import pytest

from sktamm.ratios._moments import (
    Coordinates,
    Moments,
    SmoothFunctions,
    rake,
    tilt,
)


def _functions(X, degree=2, limit=50):
    return SmoothFunctions(Coordinates().fit(X), degree, limit)


# ------------------------------------------------------------------------- coordinates
@pytest.mark.parametrize(
    "X",
    [
        np.random.default_rng(0).normal(5.0, 3.0, (5000, 2)),
        np.random.default_rng(0).exponential(1e-3, (5000, 2)),
        1e6 * np.random.default_rng(0).standard_cauchy((5000, 2)),
        np.random.default_rng(0).integers(0, 3, (5000, 2)).astype(float),
    ],
    ids=["normal", "exponential", "cauchy", "integers"],
)
def test_coordinates_fill_the_interval(X):
    u = Coordinates().fit(X).transform(X)
    assert np.isfinite(u).all()
    assert np.abs(u).max() <= 1.0
    assert np.ptp(u, axis=0).min() > 1.0
    order = np.argsort(X[:, 0])
    assert (np.diff(u[order, 0]) >= 0).all()


def test_constant_and_far_events_stay_finite():
    X = np.column_stack([np.random.default_rng(0).normal(size=100), np.full(100, 3.0)])
    coordinates = Coordinates().fit(X)
    far = np.array([[1e30, 3.0], [-1e30, -1e30], [0.0, 1e30]])
    u = coordinates.transform(far)
    assert np.isfinite(u).all()
    assert np.abs(u).max() <= 1.0


# --------------------------------------------------------------------------- functions
@pytest.mark.parametrize(("d", "degree", "number"), [(1, 3, 3), (2, 2, 5), (3, 3, 19)])
def test_functions_are_all_products_up_to_the_degree(d, degree, number):
    X = np.random.default_rng(0).normal(size=(500, d))
    functions = _functions(X, degree)
    assert functions.size == number
    values = functions.evaluate(X)
    assert values.shape == (500, number)
    assert np.abs(values).max() <= 1.0 + 1e-12  # Legendre polynomials on [-1, 1]
    assert np.linalg.matrix_rank(np.column_stack([np.ones(500), values])) == number + 1


@pytest.mark.parametrize("d", [1, 5, 12, 40])
def test_functions_are_never_too_many(d):
    X = np.random.default_rng(0).normal(size=(300, d))
    for limit in (d, 2 * d, 60):
        functions = _functions(X, 4, max(limit, d))
        assert d <= functions.size <= max(limit, d)


# ----------------------------------------------------------------------------- moments
@pytest.mark.parametrize("weighted", [False, True])
def test_moments_are_weighted_means(weighted, monkeypatch):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(700, 2))
    source = np.repeat([0, 1, 2], [100, 350, 250])
    weight = rng.normal(1.0, 0.7, 700) if weighted else None
    functions = _functions(X)
    moments = Moments.of(functions, X, source, weight)
    monkeypatch.setattr("sktamm.ratios._moments._BLOCK", 64)
    blocks = Moments.of(functions, X, source, weight)
    for k in range(3):
        values = functions.evaluate(X[source == k])
        w = np.ones(len(values)) if weight is None else weight[source == k]
        mean = w @ values / w.sum()
        second = (w[:, None] * values).T @ values / w.sum()
        for found in (moments, blocks):
            np.testing.assert_allclose(found.mean[k], mean, atol=1e-12)
            np.testing.assert_allclose(
                found.covariance[k], second - np.outer(mean, mean), atol=1e-12
            )
            assert found.size[k] == pytest.approx(w.sum() ** 2 / (w**2).sum())
    part = moments.take(np.array([2, 0]))
    np.testing.assert_array_equal(part.mean, moments.mean[[2, 0]])
    some = moments.select(np.array([1, 3]))
    np.testing.assert_array_equal(some.mean, moments.mean[:, [1, 3]])
    np.testing.assert_array_equal(
        some.covariance[1], moments.covariance[1][np.ix_([1, 3], [1, 3])]
    )


def test_covariance_of_the_mean_is_that_of_new_samples():
    """Scatter of the mean moments of 400 samples; every variance within four sigmas."""
    rng = np.random.default_rng(2)
    functions = _functions(rng.normal(size=(1000, 1)), 3)
    source, shift = np.repeat([0, 1], [100, 300]), np.array([[0.0], [1.0]])
    means, claimed = [], []
    for _ in range(400):
        moments = Moments.of(functions, rng.normal(shift[source]), source, None)
        means.append(moments.mean.mean(axis=0))
        claimed.append(np.diag(moments.covariance_of_mean()))
    scatter = np.var(means, axis=0) / np.mean(claimed, axis=0)
    np.testing.assert_allclose(scatter, 1.0, atol=4 * np.sqrt(2 / 400) + 0.01)


# -------------------------------------------------------------------------------- rake
def _raked(rng, n=2000, mean_from=None):
    values = rng.normal(size=(n, 3))
    weight = rng.uniform(0.5, 1.5, n)
    weight /= weight.sum()
    mean = np.array([0.02, -0.01, 0.0]) if mean_from is None else mean_from
    return weight, values, mean


def test_rake_reproduces_the_means():
    weight, values, mean = _raked(np.random.default_rng(3))
    new, done = rake(weight, values, mean)
    assert done
    assert new.sum() == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(new @ values, mean, atol=1e-5)
    assert np.abs(new / weight - 1).max() < 0.5


def test_rake_leaves_weights_alone_that_would_change_much():
    weight, values, mean = _raked(np.random.default_rng(3))
    for case in ((weight, values, mean + 2.0), (weight[:9], values[:9], mean)):
        new, done = rake(*case)
        assert not done
        assert new is case[0]


def test_raked_means_scatter_less():
    """The variance of the mean of psi + noise falls to that of noise, four sigmas."""
    rng = np.random.default_rng(4)
    plain, raked = [], []
    n, n_trials = 1000, 400
    for _ in range(n_trials):
        values = rng.uniform(-np.sqrt(3), np.sqrt(3), (n, 2))
        f = values @ [2.0, -1.0] + rng.normal(size=n)
        weight = np.full(n, 1.0 / n)
        new, done = rake(weight, values, np.zeros(2))
        assert done
        plain.append(weight @ f)
        raked.append(new @ f)
    error = 4 * np.sqrt(2 / n_trials)
    assert np.var(plain) * n == pytest.approx(6.0, rel=error)
    assert np.var(raked) * n == pytest.approx(1.0, rel=error + 2 / n)
    assert abs(np.mean(raked)) < 4 / np.sqrt(n * n_trials)


# -------------------------------------------------------------------------------- tilt
def _tilted(seed, n_own=20_000, n_reference=20_000, shift=0.3):
    """Ratios of one and a source that is shifted a little."""
    rng = np.random.default_rng(seed)
    X = np.clip(rng.normal(size=(n_reference, 1)), -3, 3)
    own = np.clip(rng.normal(shift, 1.0, (n_own, 1)), -3, 3)
    other = np.clip(rng.normal(0.0, 1.0, (n_own, 1)), -3, 3)
    both = np.vstack([own, other])
    functions = SmoothFunctions(_COORDINATES, 2, 10)
    moments = Moments.of(functions, both, np.repeat([0, 1], n_own), None)
    weight = np.full(n_reference, 1.0 / n_reference)
    return np.zeros((n_reference, 2)), weight, functions.evaluate(X), moments


_COORDINATES = Coordinates().fit(
    np.clip(np.random.default_rng(0).normal(size=(20_000, 1)), -3, 3)
)


def test_tilt_reproduces_the_moments():
    logs, weight, values, moments = _tilted(5)
    slope, covariance = tilt(logs, weight, values, moments)
    assert slope.shape == (2, 2)
    assert covariance.shape == (2, 2, 2)
    for k in range(2):
        mass = weight * np.exp(logs[:, k] + values @ slope[k])
        mean = mass @ values / mass.sum()
        np.testing.assert_allclose(mean, moments.mean[k], atol=1e-4)
        assert np.linalg.eigvalsh(covariance[k]).min() > 0


def test_tilt_needs_events():
    slope, covariance = tilt(*_tilted(5, n_own=20))
    assert not slope.any()
    assert not covariance.any()


def test_the_covariance_of_a_tilt_is_that_of_new_simulations():
    """Scatter of the slopes of 300 simulations, the reference kept, within four sigmas.

    One in a thousand of them may count less, where events are clipped.
    """
    n_trials = 300
    reference = _tilted(6)[:3]
    slopes, claimed = [], []
    for seed in range(n_trials):
        moments = _tilted(100 + seed, n_own=1000, n_reference=2, shift=0.0)[3]
        slope, covariance = tilt(*reference, moments)
        slopes.append(slope[0])
        claimed.append(covariance[0])
    slopes, mean = np.array(slopes), np.mean(claimed, axis=0)
    whitened = slopes @ np.linalg.cholesky(np.linalg.inv(mean))
    error = 4 * np.sqrt(2 / n_trials) + 0.02
    np.testing.assert_allclose((whitened**2).mean(axis=0), 1.0, atol=error)
