"""Positive quadratic forms, against closed forms of one and two parameters.

dsigma(z, theta) = N(z; 0, 1) (1 + theta . z / 2)^2 has R_i = z_i, R_ij = z_i z_j / 2,
and noise of variance v blurs z, as in ``test_derivative``.
"""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeRegressor

from sktamm.datasets import make_smeft_toy
from sktamm.parametric import FractionalSmearing, QuadraticRatioEstimator
from sktamm.parametric._monomials import taylor_terms
from sktamm.parametric._quadratic import positive_derivatives

V = 0.5


def _sample(n_events, n_parameters, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n_events, n_parameters))
    i, j = np.triu_indices(n_parameters)
    x = z + np.sqrt(V) * rng.normal(size=z.shape)
    return x, np.concatenate([z, z[:, i] * z[:, j] / 2], axis=1)


def _smallest_density(y, n_parameters, radius=50.0):
    rng = np.random.default_rng(1)
    theta = rng.uniform(-radius, radius, (500, n_parameters))
    return (1 + y @ taylor_terms(theta, np.zeros(n_parameters)).T).min()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_projection_is_positive_and_idempotent(n):
    y = np.random.default_rng(n).normal(size=(200, n * (n + 3) // 2))
    positive = positive_derivatives(y)
    np.testing.assert_array_equal(positive[:, :n], y[:, :n])
    # Rounding relative to the terms, of order 50^2 in the densities.
    assert _smallest_density(positive, n) > -1e-9
    np.testing.assert_allclose(positive_derivatives(positive), positive, atol=1e-12)


def test_projection_leaves_positive_forms_alone():
    _, y = _sample(100, 2)
    blurred = y + np.array([0, 0, 0.2, 0.0, 0.2])
    np.testing.assert_array_equal(positive_derivatives(blurred), blurred)


def test_projection_is_the_nearest():
    # One parameter: the remainder R_2 / 2 - R_1^2 / 4 is cut off at zero.
    y = np.array([[1.0, -3.0], [1.0, 0.4], [1.0, 0.6]])
    expected = [[1.0, 0.5], [1.0, 0.5], [1.0, 0.6]]
    np.testing.assert_allclose(positive_derivatives(y), expected)


@pytest.mark.parametrize("n", [1, 2])
def test_any_regressor_is_made_positive(n):
    X, y = _sample(2000, n)
    model = QuadraticRatioEstimator(LinearRegression()).fit(X, y)
    far = 10 * X
    assert _smallest_density(model.predict(far), n) > -1e-9 * np.abs(y).max() * 2500
    assert model.non_positive_fraction(far, np.full(n, 0.7)) == 0.0


@pytest.mark.torch
def test_the_network_is_positive_and_finds_the_means():
    pytest.importorskip("torch")
    from sktamm.learning import TorchMLPRegressor

    X, y = _sample(20_000, 2)
    network = TorchMLPRegressor((32,), activation="gelu", max_epochs=15, device="cpu")
    model = QuadraticRatioEstimator(network, random_state=0).fit(X, y)
    test, _ = _sample(2000, 2, seed=1)
    predicted = model.predict(test)
    assert _smallest_density(predicted, 2) > -1e-9
    mean = test / (1 + V)
    first = 0.5 * (mean[:, 0] ** 2 + V / (1 + V))
    cross = 0.5 * mean[:, 0] * mean[:, 1]
    # A fifth of the spread of the exact values: R^2 of 0.96 with what can be learned.
    for column, exact in ((0, mean[:, 0]), (2, first), (3, cross)):
        error = np.sqrt(((predicted[:, column] - exact) ** 2).mean())
        assert error < 0.2 * exact.std(), column


@pytest.mark.torch
def test_the_network_learns_the_toy():
    pytest.importorskip("torch")
    toy = make_smeft_toy(20_000, random_state=0)
    smearing = FractionalSmearing(random_state=0)
    X, y, weight, parent = smearing.fit_resample(
        toy.Z, toy.joint_derivatives, toy.smear
    )
    model = QuadraticRatioEstimator(mean_derivatives=[0.0, 2.0], random_state=0)
    model.fit(X, y, sample_weight=weight, groups=parent)
    assert (
        model.non_positive_fraction(toy.X, [[-2.0], [0.5], [10.0]]).tolist() == [0] * 3
    )
    x = np.linspace(2, 4, 9)[:, None]
    # Where theta = 1 has its events; ln r goes from 0.5 to 4.2 there.
    error = model.log_ratio(x, 1.0) - toy.log_ratio(x, 1.0)
    assert np.sqrt((error**2).mean()) < 0.5


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_mean_form_is_that_of_the_targets(n, weighted):
    """Exactly, although the predictions are bad, and they stay positive."""
    X, y = _sample(2000, n)
    weight = np.random.default_rng(1).uniform(0.5, 2.0, len(X)) if weighted else None
    tree = DecisionTreeRegressor(max_depth=2)
    model = QuadraticRatioEstimator(tree).fit(X**2, y, sample_weight=weight)
    predicted = model.predict(X**2)
    means = [np.average(rows, axis=0, weights=weight) for rows in (predicted, y)]
    np.testing.assert_allclose(*means, atol=1e-12)
    assert _smallest_density(predicted, n) > -1e-9 * 2500
    assert np.triu(model.congruence_, 1).max() == 0.0
    np.testing.assert_array_equal(model.congruence_[0], np.eye(n + 1)[0])


def test_small_derivatives_are_shifted_large_ones_kept():
    """An error common to all events leaves the large derivatives as they are."""
    X, y = _sample(2000, 1)
    y[:, 0] = 0.0
    y[:, 1] = np.where(X[:, 0] > 1.5, 10.0, 0.5)
    tree = DecisionTreeRegressor(max_depth=3, random_state=0)
    model = QuadraticRatioEstimator(tree).fit(X, y)
    model._set_correction(y + 0.25, y, None)
    np.testing.assert_allclose(model._corrected(y + 0.25), y, atol=1e-12)
    np.testing.assert_allclose(model.offset_, -0.25, atol=1e-12)
    # Cut off where the shift would go below zero; the mean is kept.
    error = np.where(y > 1, -2.0, 0.5) * [0.0, 1.0]
    model._set_correction(y + error, y, None)
    corrected = model._corrected(y + error)
    np.testing.assert_allclose(corrected.mean(axis=0), y.mean(axis=0), atol=1e-12)
    assert corrected.min() >= 0.0


def test_a_shift_that_cannot_reach_the_mean_is_not_made():
    """First derivatives alone have more than the mean of the second ones."""
    X, y = _sample(2000, 1)
    model = QuadraticRatioEstimator(LinearRegression()).fit(X, y)
    noisy = y + 3 * np.random.default_rng(2).normal(size=y.shape)
    model._set_correction(noisy, y, None)
    np.testing.assert_array_equal(model.offset_, 0.0)
    corrected = model._corrected(noisy)
    np.testing.assert_allclose(corrected.mean(axis=0), y.mean(axis=0), atol=1e-12)


def test_means_without_a_positive_form_are_left_alone():
    X, y = _sample(500, 1)
    y[:, 1] -= 5.0
    model = QuadraticRatioEstimator(LinearRegression()).fit(X, y)
    np.testing.assert_array_equal(model.congruence_, np.eye(2))
