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
        ({"n_features": 0}, "n_features must be an integer from 1 to 20; got 0"),
        ({"n_features": 21}, "n_features must be an integer from 1 to 20; got 21"),
        ({"n_features": 2.0}, "n_features must be an integer from 1 to 20; got 2.0"),
        (
            {"n_features": 4, "parameters": draw_gaussian_parameters(2)},
            "parameters must have n_features=4 features; got 2",
        ),
        (
            {"target": draw_gaussian_parameters(1, n_features=3)},
            "target must have n_features=2 features; got 3",
        ),
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


def test_parameters_refuse_covariances_between_pairs():
    wrong = np.eye(4)
    wrong[1, 2] = wrong[2, 1] = 0.1
    with pytest.raises(InvalidInputError, match="signal_covariances must be block"):
        GaussianParameters(
            np.zeros((1, 4)), wrong[None], np.zeros((1, 4)), np.eye(4)[None]
        )


@pytest.mark.parametrize("shape", [(), (1,), (0, 2), (1, 0)])
def test_parameters_refuse_missing_axes(shape):
    empty = np.zeros(shape)
    with pytest.raises(InvalidInputError, match="signal_means must have the shape"):
        GaussianParameters(empty, np.eye(2)[None], empty, np.eye(2)[None])


@pytest.mark.parametrize("n_features", [1, 3, 20])
def test_any_number_of_features(n_features):
    study = make_gaussian_study(2, 30, 10, 20, n_features=n_features, random_state=0)
    assert study.X.shape == (120, n_features)
    assert study.X_target.shape == (30, n_features)
    np.testing.assert_array_equal(study.window, [[-2, 2]] * n_features)
    assert study.feature_names == tuple(f"x{i}" for i in range(n_features))
    assert study.parameters.n_features == n_features
    assert study.parameters.signal_covariances.shape == (2, n_features, n_features)
    assert np.abs(study.X).max() <= 2


def test_further_pairs_differ_by_a_fifth():
    truth = make_gaussian_study(1, 1, n_features=5).target_parameters
    pair = [[1.4, 0.08], [0.08, 1.4]]
    expected = np.zeros((5, 5))
    expected[:2, :2], expected[2:4, 2:4] = [[3, 0.4], [0.4, 3]], pair
    expected[4, 4] = 1.4
    np.testing.assert_array_equal(truth.signal_means, np.zeros((1, 5)))
    np.testing.assert_array_equal(truth.signal_covariances[0], np.eye(5))
    np.testing.assert_allclose(truth.background_means, [[0, 1, 0, 0.2, 0.2]])
    np.testing.assert_allclose(truth.background_covariances[0], expected)


def test_one_feature_is_the_second_published_one():
    truth = make_gaussian_study(1, 1, n_features=1).target_parameters
    assert truth.signal_means == [[0]]
    assert truth.background_means == [[1]]
    assert truth.background_covariances == [[[3]]]


def test_more_features_leave_the_first_pairs_as_they_are():
    two, six = (
        make_gaussian_study(2, 50, 20, 30, n_features=d, random_state=4) for d in (2, 6)
    )
    np.testing.assert_array_equal(two.X, six.X[:, :2])
    np.testing.assert_array_equal(two.X_target, six.X_target[:, :2])
    np.testing.assert_array_equal(two.y_target, six.y_target)
    five = draw_gaussian_parameters(2, 8, n_features=5)
    full = draw_gaussian_parameters(300, 8, n_features=6)
    kept = [0, 1, 2, 3, 5]
    np.testing.assert_array_equal(
        five.background_means, full.background_means[:2, kept]
    )
    np.testing.assert_array_equal(
        five.signal_covariances, full.signal_covariances[:2][:, kept][:, :, kept]
    )


def test_published_study_is_pinned():
    parameters = draw_gaussian_parameters(1, random_state=0)
    np.testing.assert_allclose(
        parameters.signal_means, [[0.08747037, -0.12386072]], rtol=1e-6
    )
    np.testing.assert_allclose(
        parameters.background_covariances[0, 0], [2.65033508, 0.49337797], rtol=1e-6
    )
    study = make_gaussian_study(1, 1, 1, 1, random_state=0)
    np.testing.assert_allclose(
        [*study.X, *study.X_target],
        [
            [-0.15733594, -1.21612058],
            [1.36389488, 0.02134181],
            [1.64560542, -1.67836406],
            [0.942099, -0.69849252],
        ],
        rtol=1e-6,
    )


@pytest.mark.parametrize(
    ("name", "mean", "variance", "covariance", "offset"),
    [("signal", [0, 0], 1.0, 0.0, -0.05), ("background", [0, 0.2], 1.4, 0.08, 0.05)],
)
def test_further_pairs_follow_half_of_the_recipe(
    name, mean, variance, covariance, offset
):
    parameters = draw_gaussian_parameters(2000, random_state=0, n_features=4)
    shift = getattr(parameters, f"{name}_means")[:, 2:] - mean
    covariances = getattr(parameters, f"{name}_covariances")[:, 2:, 2:]
    assert np.linalg.norm(shift, axis=1).min() > 0.05
    np.testing.assert_array_equal(covariances[:, 0, 0], covariances[:, 1, 1])
    assert np.abs(covariances[:, 0, 0] - variance).min() > 0.05
    assert np.abs(covariances[:, 0, 1] - covariance).min() > 0.025
    assert np.sign(shift[:, 1].mean()) == np.sign(offset)
    # Half of the published spreads .112, .09, .158, .128.
    np.testing.assert_allclose(
        [*shift.std(0), covariances[:, 0, 0].std(), covariances[:, 0, 1].std()],
        [0.056, 0.045, 0.079, 0.064],
        atol=0.006,
    )


def test_pairs_and_their_parameters_are_independent():
    means = draw_gaussian_parameters(2000, random_state=1, n_features=20).signal_means
    between = np.corrcoef(means.T)[np.triu_indices(20, 1)]
    assert np.abs(between).max() < 5 / np.sqrt(2000)
    events = make_gaussian_study(1, 2000, n_features=20, random_state=0).X[2000:]
    correlation = np.corrcoef(events.T)
    pair = np.arange(20) // 2
    assert np.abs(correlation[pair[:, None] != pair]).max() < 5 / np.sqrt(2000)


def test_twenty_features_take_seconds():
    start = time.perf_counter()
    study = make_gaussian_study(10, 10_000, n_features=20, random_state=0)
    elapsed = time.perf_counter() - start
    assert study.X.shape == (200_000, 20)
    assert elapsed < 10  # 0.5 s on a free core; room for loaded machines


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
