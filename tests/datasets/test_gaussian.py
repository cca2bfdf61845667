"""The Gaussian study: exact counts, the published recipe, exact templates."""

import time

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from sktamm.datasets import (
    GaussianParameters,
    bin_probabilities,
    draw_gaussian_parameters,
    make_gaussian_study,
    truncated_normal_sample,
)
from sktamm.exceptions import InvalidInputError

WINDOW = [[-2, 2], [-2, 2]]
EDGES = (np.linspace(-2, 2, 11), np.linspace(-2, 2, 11))
BACKGROUND = (np.array([0.0, 1.0]), np.array([[3.0, 0.4], [0.4, 3.0]]))


@pytest.fixture(scope="module")
def study():
    return make_gaussian_study(4, 300, 100, 1000, random_state=1)


def test_counts_are_exact_and_inside_the_window(study):
    assert study.X.shape == (2 * 4 * 300, 2)
    for label in (0, 1):
        ids, counts = np.unique(study.simulation[study.y == label], return_counts=True)
        np.testing.assert_array_equal(ids, np.arange(4))
        np.testing.assert_array_equal(counts, 300)
    assert study.y_target.sum() == 100
    assert study.y_target.size == study.X_target.shape[0] == 1100
    assert study.kappa == pytest.approx(1 / 11)
    assert np.abs(study.X).max() <= 2
    assert np.abs(study.X_target).max() <= 2


def test_target_is_in_random_order(study):
    # Mean position of the signal: sigma = n / sqrt(12 * n_signal) for random order.
    position = np.flatnonzero(study.y_target).mean()
    assert abs(position - 549.5) < 5 * 1100 / np.sqrt(12 * 100)


def test_published_defaults():
    study = make_gaussian_study(1, 1, random_state=0)
    assert study.X_target.shape == (55_000, 2)
    assert study.kappa == pytest.approx(1 / 11)
    np.testing.assert_array_equal(study.target_parameters.signal_means, [[0, 0]])
    np.testing.assert_array_equal(
        study.target_parameters.background_covariances, [[[3, 0.4], [0.4, 3]]]
    )
    assert make_gaussian_study(n_events=1).parameters.n_simulations == 10


def test_same_seed_same_numbers_and_streams_are_separate(study):
    again = make_gaussian_study(4, 300, 100, 1000, random_state=1)
    np.testing.assert_array_equal(study.X, again.X)
    more = make_gaussian_study(6, 300, 100, 1000, random_state=1)
    np.testing.assert_array_equal(study.X_target, more.X_target)
    np.testing.assert_array_equal(
        study.parameters.signal_means, more.parameters.signal_means[:4]
    )
    first = (more.y == 1) & (more.simulation < 4)
    np.testing.assert_array_equal(study.X[study.y == 1], more.X[first])


@pytest.mark.parametrize("kind", [np.random.default_rng, np.random.RandomState])
def test_seeds_of_every_kind(kind):
    one = draw_gaussian_parameters(3, kind(5)).signal_means
    np.testing.assert_array_equal(
        one, draw_gaussian_parameters(3, kind(5)).signal_means
    )
    assert not np.allclose(one, draw_gaussian_parameters(3, kind(6)).signal_means)


@pytest.mark.parametrize(
    ("name", "mean", "variance", "covariance", "offset"),
    [("signal", [0, 0], 1.0, 0.0, -0.1), ("background", [0, 1], 3.0, 0.4, 0.1)],
)
def test_parameters_follow_the_published_recipe(
    name, mean, variance, covariance, offset
):
    parameters = draw_gaussian_parameters(2000, random_state=0)
    means = getattr(parameters, f"{name}_means")
    covariances = getattr(parameters, f"{name}_covariances")
    shift = means - mean
    assert np.linalg.norm(shift, axis=1).min() > 0.1
    # A bound on each component would leave no shift below 0.1.
    assert np.abs(shift).min() < 0.01
    np.testing.assert_array_equal(covariances[:, 0, 0], covariances[:, 1, 1])
    assert np.abs(covariances[:, 0, 0] - variance).min() > 0.1
    assert np.abs(covariances[:, 0, 1] - covariance).min() > 0.05
    assert np.linalg.eigvalsh(covariances).min() > 0
    # The cut symmetrises nothing along the offset: shifts lean to its side.
    assert np.sign(shift[:, 1].mean()) == np.sign(offset)
    # Truncated spreads of the published 300 pairs: .11, .09, .16, .13.
    np.testing.assert_allclose(
        [*shift.std(0), covariances[:, 0, 0].std(), covariances[:, 0, 1].std()],
        [0.112, 0.09, 0.158, 0.128],
        atol=0.012,
    )


def test_offsets_of_the_classes_are_independent():
    parameters = draw_gaussian_parameters(2000, random_state=3)
    correlation = np.corrcoef(
        parameters.signal_means[:, 0], parameters.background_means[:, 0]
    )[0, 1]
    assert abs(correlation) < 4 / np.sqrt(2000)


def test_parameters_replay_from_a_file(tmp_path):
    drawn = draw_gaussian_parameters(5, random_state=0)
    np.savez(tmp_path / "parameters.npz", **vars(drawn))
    with np.load(tmp_path / "parameters.npz") as file:
        every = make_gaussian_study(n_events=10, parameters=file, random_state=0)
        first = make_gaussian_study(2, 10, parameters=file, random_state=0)
    np.testing.assert_array_equal(every.parameters.signal_means, drawn.signal_means)
    assert every.simulation.max() == 4
    np.testing.assert_array_equal(first.parameters.signal_means, drawn.signal_means[:2])


def test_target_may_be_a_simulation_or_anything_else():
    drawn = draw_gaussian_parameters(3, random_state=0)
    one = make_gaussian_study(1, 10, 5, 5, target=drawn.take([2]))
    np.testing.assert_array_equal(
        one.target_parameters.signal_means[0], drawn.signal_means[2]
    )
    small = 1e-4 * np.eye(2)
    placed = make_gaussian_study(
        1, 10, 500, 0, target=([1, 1], small, [-1, -1], small), random_state=0
    )
    np.testing.assert_allclose(placed.X_target.mean(0), 1, atol=5 * 0.01 / 500**0.5)
    assert placed.kappa == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_features": 3}, "n_features must be 2"),
        ({"n_events": 0}, "n_events must be an integer of at least 1"),
        ({"n_signal": -1}, "n_signal must be"),
        ({"n_signal": 0, "n_background": 0}, "n_signal \\+ n_background must be"),
        ({"n_simulations": 1.5}, "n_simulations must be"),
        ({"parameters": {"signal_means": [[0, 0]]}}, "missing: signal_covariances"),
        ({"target": [[0, 0]]}, "target must hold four arrays"),
        (
            {"target": draw_gaussian_parameters(2, random_state=0)},
            "parameters of one simulation; got 2",
        ),
        (
            {"n_simulations": 3, "parameters": draw_gaussian_parameters(2)},
            "must not exceed the 2",
        ),
        (
            {"target": ([0, 0], [[1, 2], [2, 1]], [0, 0], np.eye(2))},
            "signal_covariances must be symmetric and positive definite",
        ),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        make_gaussian_study(**{"n_events": 2, **arguments})


def test_parameters_refuse_wrong_shapes():
    with pytest.raises(InvalidInputError, match=r"background_means must .* \(1, 3\)"):
        GaussianParameters(
            np.zeros((1, 2)), np.eye(2)[None], np.zeros((1, 3)), np.eye(2)[None]
        )


def test_sample_of_an_unreachable_window_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(InvalidInputError, match="none of"):
        truncated_normal_sample([50, 0], np.eye(2), WINDOW, 1, rng)


def test_sample_follows_the_exact_probabilities():
    n = 200_000
    rng = np.random.default_rng(0)
    events = truncated_normal_sample(*BACKGROUND, WINDOW, n, rng)
    counts = np.histogramdd(events, EDGES)[0]
    expected = n * bin_probabilities(*BACKGROUND, EDGES)
    chi2 = ((counts - expected) ** 2 / expected).sum()
    assert abs(chi2 - 99) < 5 * np.sqrt(2 * 99)


@pytest.mark.parametrize("n_bins", [1, 2, 10, 50])
@pytest.mark.parametrize("sigma", [0.05, 0.3, 1.0, 1.7])
def test_probabilities_of_independent_features_factorise(n_bins, sigma):
    edges = np.linspace(-2, 2, n_bins + 1)
    cdf = np.diff(norm.cdf(edges, 0.3, sigma))
    cdf /= cdf.sum()
    probability = bin_probabilities([0.3, 0.3], sigma**2 * np.eye(2), (edges, edges))
    np.testing.assert_allclose(probability, np.outer(cdf, cdf), atol=1e-7)


def test_probabilities_of_correlated_features_equal_the_distribution_function():
    mean, covariance = BACKGROUND
    edges = (np.array([-2, -1, 0.5, 2]), np.array([-2, 0.0, 2]))
    grid = np.stack(np.meshgrid(*edges, indexing="ij"), axis=-1)
    cdf = multivariate_normal(mean, covariance).cdf(grid)
    exact = np.diff(np.diff(cdf, axis=0), axis=1)
    np.testing.assert_allclose(
        bin_probabilities(mean, covariance, edges), exact / exact.sum(), atol=1e-7
    )


def test_probabilities_are_batched_over_leading_axes_and_fast():
    parameters = draw_gaussian_parameters(300, random_state=0)
    means = np.stack([parameters.signal_means, parameters.background_means])
    covariances = np.stack(
        [parameters.signal_covariances, parameters.background_covariances]
    )
    start = time.perf_counter()
    probability = bin_probabilities(means, covariances, EDGES)
    elapsed = time.perf_counter() - start
    assert probability.shape == (2, 300, 10, 10)
    np.testing.assert_allclose(probability.sum((-1, -2)), 1)
    np.testing.assert_allclose(
        probability[1, 7],
        bin_probabilities(means[1, 7], covariances[1, 7], EDGES),
        atol=1e-9,
    )
    assert elapsed < 10  # 0.1 s on a free core; room for loaded machines


def test_probabilities_far_from_the_peak_stay_finite():
    probability = bin_probabilities([100, 0], np.eye(2), EDGES)
    assert probability.sum() == pytest.approx(1)
    assert probability[-1].sum() > 0.99


@pytest.mark.parametrize("bad", [[0], [1, 0], [0, 0, 1]])
def test_probabilities_refuse_edges(bad):
    with pytest.raises(InvalidInputError, match="ascending"):
        bin_probabilities([0, 0], np.eye(2), (bad, [0, 1]))
