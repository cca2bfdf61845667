"""Exact densities: normalised, equal to exact bins, followed by samples."""

import numpy as np
import pytest
from scipy.stats import kstwo, multivariate_normal, truncnorm

from sktamm.datasets import (
    bin_probabilities,
    draw_gaussian_parameters,
    gaussian_log_density,
    make_gaussian_study,
)
from sktamm.exceptions import InvalidInputError

BACKGROUND = (np.array([[0.0, 1.0]]), np.array([[[3.0, 0.4], [0.4, 3.0]]]))
NODE, WEIGHT = np.polynomial.legendre.leggauss(60)
NODE, WEIGHT = 2 * NODE, 2 * WEIGHT
GRID = np.stack(np.meshgrid(NODE, NODE, indexing="ij"), axis=-1).reshape(-1, 2)


def _both_classes(n_features, n=5):
    drawn = draw_gaussian_parameters(n, 0, n_features)
    return (
        np.concatenate([drawn.signal_means, drawn.background_means]),
        np.concatenate([drawn.signal_covariances, drawn.background_covariances]),
    )


def test_one_feature_is_the_truncated_normal():
    mean, covariance = _both_classes(1)
    sigma = np.sqrt(covariance[:, 0, 0])
    x = np.linspace(-2, 2, 41)[:, None]
    a, b = (-2 - mean[:, 0]) / sigma, (2 - mean[:, 0]) / sigma
    np.testing.assert_allclose(
        gaussian_log_density(x, mean, covariance),
        truncnorm(a, b, mean[:, 0], sigma).logpdf(x),
        atol=1e-12,
    )
    density = np.exp(gaussian_log_density(NODE[:, None], mean, covariance))
    np.testing.assert_allclose(WEIGHT @ density, 1, rtol=1e-12)


def test_two_features_integrate_to_one():
    density = np.exp(gaussian_log_density(GRID, *_both_classes(2)))
    np.testing.assert_allclose(np.outer(WEIGHT, WEIGHT).ravel() @ density, 1, rtol=1e-9)


@pytest.mark.parametrize("correlation", [-0.99, 0.0, 0.5, 0.999])
@pytest.mark.parametrize("sigma", [0.05, 0.4, 2.0])
def test_normalisation_equals_the_distribution_function(sigma, correlation):
    mean = np.array([[0.3, -1.2]])
    covariance = sigma**2 * np.array([[[1, correlation], [correlation, 1]]])
    exact = multivariate_normal(mean[0], covariance[0])
    window = exact.cdf([2, 2], lower_limit=[-2, -2])
    np.testing.assert_allclose(
        gaussian_log_density(mean, mean, covariance),
        exact.logpdf(mean) - np.log(window),
        atol=1e-10,
    )


@pytest.mark.parametrize("n_features", [3, 4, 7])
def test_densities_factorise_over_pairs(n_features):
    mean, covariance = _both_classes(n_features)
    X = np.random.default_rng(0).uniform(-2, 2, (50, n_features))
    blocks = [slice(i, i + 2) for i in range(0, n_features, 2)]
    factors = [
        gaussian_log_density(X[:, b], mean[:, b], covariance[:, b, b]) for b in blocks
    ]
    np.testing.assert_allclose(
        gaussian_log_density(X, mean, covariance), sum(factors), atol=1e-12
    )


def test_densities_integrate_to_the_exact_bins():
    edges = np.array([-2, -0.5, 0.7, 2])
    half = np.diff(edges) / 2
    x = (edges[:-1, None] + half[:, None] * (1 + NODE / 2)).ravel()
    weight = (half[:, None] * WEIGHT / 2).ravel()
    grid = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, 2)
    mean, covariance = _both_classes(2)
    mass = np.exp(gaussian_log_density(grid, mean, covariance)).T
    mass = mass.reshape(-1, x.size, x.size) * np.outer(weight, weight)
    binned = mass.reshape(-1, 3, 60, 3, 60).sum(axis=(2, 4))
    np.testing.assert_allclose(
        binned, bin_probabilities(mean, covariance, (edges, edges)), atol=2e-7
    )


def test_samples_follow_the_densities():
    # Ratio of densities of signal and background: E_b[s / b] = 1, and with
    # E_b[(s / b)^2] = E_s[s / b] the error of the mean is known from the samples.
    n = 100_000
    study = make_gaussian_study(1, 1, n, n, n_features=5, random_state=0)
    truth = study.target_parameters
    ratio = np.exp(
        gaussian_log_density(
            study.X_target, truth.signal_means, truth.signal_covariances
        )
        - gaussian_log_density(
            study.X_target, truth.background_means, truth.background_covariances
        )
    )[:, 0]
    signal, background = (ratio[study.y_target == label] for label in (1, 0))
    assert abs(background.mean() - 1) < 5 * background.std() / np.sqrt(n)
    assert abs((1 / signal).mean() - 1) < 5 * (1 / signal).std() / np.sqrt(n)
    second = background**2
    error = np.hypot(second.std(), signal.std()) / np.sqrt(n)
    assert abs(second.mean() - signal.mean()) < 5 * error


@pytest.mark.parametrize("pair", [0, 1])
def test_samples_of_every_pair_follow_the_distribution(pair):
    # Kolmogorov-Smirnov distance of a feature from the integral of its density, below
    # the distance that one sample in a million exceeds.
    n = 50_000
    study = make_gaussian_study(1, n, n_features=4, random_state=1)
    drawn, columns = study.parameters, slice(2 * pair, 2 * pair + 2)
    mean = drawn.background_means[:, columns]
    covariance = drawn.background_covariances[:, columns, columns]
    edges = np.linspace(-2, 2, 101)
    probability = bin_probabilities(mean[0], covariance[0], (edges, edges))
    events = study.X[study.y == 0][:, columns]
    for axis in (0, 1):
        exact = np.cumsum(probability.sum(axis=1 - axis))
        found = np.searchsorted(np.sort(events[:, axis]), edges[1:]) / n
        assert np.abs(found - exact).max() < kstwo.isf(1e-6, n)
    counts = np.histogram2d(*events.T, bins=(edges[::10], edges[::10]))[0]
    expected = n * probability.reshape(10, 10, 10, 10).sum(axis=(1, 3))
    chi2 = ((counts - expected) ** 2 / expected).sum()
    assert abs(chi2 - 99) < 5 * np.sqrt(2 * 99)


@pytest.mark.parametrize(("n_features", "error"), [(1, 0.0094), (20, 0.0045)])
def test_known_densities_measure_kappa_as_documented(n_features, error):
    # sigma^-2 = N E_p[((s - b) / p)^2], here to better than one percent.
    n, kappa = 100_000, 1 / 11
    study = make_gaussian_study(1, 1, n, n, n_features=n_features, random_state=2)
    truth = study.target_parameters
    log_s = gaussian_log_density(
        study.X_target, truth.signal_means, truth.signal_covariances
    )
    log_b = gaussian_log_density(
        study.X_target, truth.background_means, truth.background_covariances
    )
    excess = np.expm1(log_s - log_b)[:, 0]
    score = (excess / (1 + kappa * excess)) ** 2
    weight = np.where(study.y_target == 1, kappa, 1 - kappa)
    information = 55_000 * 2 * (weight * score).mean()
    assert information**-0.5 == pytest.approx(error, rel=0.01)


def test_outside_the_window_there_is_nothing():
    X = [[2.0, -2.0], [2.0001, 0.0], [0.0, -3.0]]
    log_density = gaussian_log_density(X, *BACKGROUND)
    np.testing.assert_array_equal(np.isneginf(log_density[:, 0]), [False, True, True])


@pytest.mark.parametrize("n_features", [1, 2])
def test_far_from_the_peak_densities_stay_finite(n_features):
    mean = np.full((1, n_features), -60.0)
    covariance = np.eye(n_features)[None]
    nodes = NODE[:, None] if n_features == 1 else GRID
    weight = WEIGHT if n_features == 1 else np.outer(WEIGHT, WEIGHT).ravel()
    density = np.exp(gaussian_log_density(nodes, mean, covariance))
    # The density falls by e^-60 per unit next to the edge.
    assert weight @ density == pytest.approx(1, rel=1e-6)


def test_no_normals_and_no_rows_are_empty():
    none = np.empty((0, 2))
    assert gaussian_log_density(GRID, none, np.empty((0, 2, 2))).shape == (3600, 0)
    assert gaussian_log_density(none, *BACKGROUND).shape == (0, 1)


def _connected():
    covariance = np.eye(4)
    covariance[0, 3] = covariance[3, 0] = 0.2
    return covariance[None]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 0], *BACKGROUND), r"X must have the shape .* got \(2,\) and \(1, 2\)"),
        (([[0, 0, 0]], *BACKGROUND), r"X must have .* \(1, 3\) and \(1, 2\)"),
        (([[0, 0]], [0, 0], np.eye(2)), r"X must have .* \(1, 2\) and \(2,\)"),
        (([[0, 0]], [[0, 0]], np.eye(2)), r"here \(1, 2, 2\); got \(2, 2\)"),
        (([[np.nan, 0]], *BACKGROUND), "X must hold finite numbers"),
        (([[0, 0]], [[0, np.inf]], np.eye(2)[None]), "mean must hold finite"),
        (([[0, 0]], [[0, 0]], -np.eye(2)[None]), "symmetric and positive definite"),
        ((np.zeros((1, 4)), np.zeros((1, 4)), _connected()), "must be block diagonal"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        gaussian_log_density(*arguments)
