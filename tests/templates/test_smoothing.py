"""Smoothing removes noise and keeps structure."""

import numpy as np
import pytest

from sktamm.templates import _smoothing

SIDE = 10


def _grid():
    axis = (np.arange(SIDE) + 0.5) * (2 / SIDE) - 1
    return np.column_stack([g.ravel() for g in np.meshgrid(axis, axis, indexing="ij")])


def _normalised(log_density):
    density = np.exp(log_density)
    return density / density.sum(axis=-1, keepdims=True)


def _smooth_truth(n_sources, spread, rng):
    """Quadratic log densities that differ by slopes of a given spread."""
    x = _grid()
    slope = np.array([0.5, -0.3]) + spread * rng.normal(size=(n_sources, 2))
    return _normalised(slope @ x.T - 0.3 * x[:, 1] ** 2)


def _smoothed(*arguments):
    """Smoothed probabilities alone."""
    return _smoothing.smooth_templates(*arguments)[0]


def _observe(truth, n_events, rng):
    counts = rng.poisson(truth * n_events)
    probability = (counts + 0.5) / (counts + 0.5).sum(axis=1, keepdims=True)
    return probability, 1.0 / (counts + 1.0)


def _smooth(truth, n_events, rng):
    """Raw and smoothed log errors, and the raw variances."""
    probability, variance = _observe(truth, n_events, rng)
    one_class = np.zeros(len(truth), dtype=int)
    smooth = _smoothed(probability, variance, one_class, _grid())
    return np.log(probability / truth), np.log(smooth / truth), variance


@pytest.mark.parametrize("n_sources", [1, 2, 8])
def test_most_of_the_noise_of_smooth_templates_goes(n_sources):
    """Six to ten functions of a hundred: a third of the error."""
    rng = np.random.default_rng(0)
    raw, smooth = [], []
    for _ in range(20):
        before, after, _ = _smooth(_smooth_truth(n_sources, 0.2, rng), 20_000, rng)
        raw.append((before**2).mean())
        smooth.append((after**2).mean())
    assert np.sqrt(np.mean(smooth)) < 0.5 * np.sqrt(np.mean(raw))


def test_a_narrow_peak_is_kept_within_its_errors():
    rng = np.random.default_rng(1)
    log_truth = np.zeros((4, SIDE**2))
    log_truth[:, 44] = 2.0
    truth = _normalised(log_truth)
    errors = []
    for _ in range(20):
        _, after, left = _smooth(truth, 100_000, rng)
        errors.append(after[:, 44] / np.sqrt(left[:, 44]))
    scale = np.sqrt(np.mean(np.square(errors)))
    assert scale < 1 + 4 / np.sqrt(2 * 20)
    assert abs(np.mean(errors)) < 4 / np.sqrt(20)


def test_templates_of_huge_statistics_stay_as_they_are():
    rng = np.random.default_rng(2)
    truth = _normalised(0.5 * rng.normal(size=(3, SIDE**2)))
    variance = np.full(truth.shape, 1e-9)
    smooth = _smoothed(truth, variance, np.zeros(3, int), _grid())
    np.testing.assert_allclose(smooth, truth, rtol=1e-6)


@pytest.mark.parametrize("n_sources", [1, 4])
@pytest.mark.parametrize("roughness", [0.0, 0.1, 1.0])
def test_errors_stay_within_the_raw_ones(n_sources, roughness):
    """Whatever the structure, pulls in raw errors are one at most, within four sigmas.

    Shrinking by an estimated factor costs a little where structure and noise compare,
    at most a few per cent with a hundred bins.
    """
    rng = np.random.default_rng(3)
    squares = []
    for _ in range(60):
        truth = _normalised(roughness * rng.normal(size=(n_sources, SIDE**2)))
        _, after, variance = _smooth(truth, 100_000, rng)
        squares.append((after**2 / variance).mean())
    error = np.std(squares) / np.sqrt(len(squares))
    assert np.mean(squares) < 1.0 + 4 * error + 0.03


def test_a_large_sample_keeps_its_structure_beside_a_small_one():
    """The noise of a small simulation must not smooth or shift a large one."""
    rng = np.random.default_rng(4)
    truth = _normalised(0.3 * rng.normal(size=(2, SIDE**2)))
    large, large_variance = _observe(truth[:1], 10_000_000, rng)
    small, small_variance = _observe(truth[1:], 1_000, rng)
    smooth = _smoothed(
        np.vstack([large, small]),
        np.vstack([large_variance, small_variance]),
        np.zeros(2, int),
        _grid(),
    )
    error = np.log(smooth[0] / truth[0])
    assert np.sqrt((error**2).mean()) < 0.5 * np.sqrt(small_variance.mean())


def test_a_smooth_score_feels_the_raw_noise():
    """Noise that remains is common to many bins: a slope keeps all of it."""
    rng = np.random.default_rng(6)
    truth = _smooth_truth(1, 0.0, rng)
    score = _grid()[:, 0] * truth[0]
    before, after = [], []
    for _ in range(300):
        raw, smooth, _ = _smooth(truth, 5000, rng)
        before.append(raw[0] @ score)
        after.append(smooth[0] @ score)
    # two standard deviations of 300 draws each, correlated: five per cent is generous
    assert np.std(after) == pytest.approx(np.std(before), rel=0.2)


def test_classes_are_smoothed_apart():
    rng = np.random.default_rng(5)
    truth = _smooth_truth(6, 0.2, rng)
    probability, variance = _observe(truth, 5000, rng)
    classes = np.array([0, 0, 1, 1, 1, 2])
    together = _smoothed(probability, variance, classes, _grid())
    for c in range(3):
        rows = classes == c
        alone = _smoothed(
            probability[rows], variance[rows], np.zeros(rows.sum(), int), _grid()
        )
        np.testing.assert_allclose(together[rows], alone, rtol=1e-12)


@pytest.mark.parametrize("bins", [1, 2, 5])
def test_few_bins_pass(bins):
    probability = np.full((2, bins), 1.0 / bins)
    variance = np.full((2, bins), 0.01)
    coordinates = np.linspace(-1, 1, bins)[:, None] if bins > 1 else np.zeros((1, 1))
    smooth = _smoothed(probability, variance, np.zeros(2, int), coordinates)
    np.testing.assert_allclose(smooth, probability)


def test_a_crowded_end_does_not_keep_the_noise_of_the_other_bins():
    """One more function: the error of templates without the crowd, within a fifth."""
    rng, one_class = np.random.default_rng(3), np.zeros(4, dtype=int)
    first = _grid()[:, 0] == _grid()[:, 0].min()
    squares = {"without": [], "named": [], "unnamed": []}
    for _ in range(20):
        truth = _smooth_truth(4, 0.2, rng)
        crowd = _normalised(np.log(truth) + 1.5 * first)
        for name, own, crowded in (
            ("without", truth, ()),
            ("named", crowd, [(0, 0)]),
            ("unnamed", crowd, ()),
        ):
            observed = _observe(own, 20_000, rng)
            smooth = _smoothed(*observed, one_class, _grid(), crowded)
            squares[name].append((np.log(smooth / own)[:, ~first] ** 2).mean())
    error = {name: np.sqrt(np.mean(values)) for name, values in squares.items()}
    assert error["named"] < 1.2 * error["without"]
    assert error["unnamed"] > 1.5 * error["named"]
