"""Smoothing removes noise, keeps structure, and knows how much noise remains."""

import numpy as np
import pytest

from sktamm.components._smoothing import smooth_templates

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


def _observe(truth, n_events, rng):
    counts = rng.poisson(truth * n_events)
    probability = (counts + 0.5) / (counts + 0.5).sum(axis=1, keepdims=True)
    return probability, 1.0 / (counts + 1.0)


def _smooth(truth, n_events, rng):
    """Raw and smoothed log errors, and the variances of the latter."""
    probability, variance = _observe(truth, n_events, rng)
    one_class = np.zeros(len(truth), dtype=int)
    smooth, left = smooth_templates(probability, variance, one_class, _grid())
    return np.log(probability / truth), np.log(smooth / truth), left


@pytest.mark.parametrize("n_sources", [1, 2, 8])
def test_most_of_the_noise_of_smooth_templates_goes(n_sources):
    """Six functions of a hundred: a quarter of the error when all is found."""
    rng = np.random.default_rng(0)
    raw, smooth = [], []
    for _ in range(20):
        before, after, _ = _smooth(_smooth_truth(n_sources, 0.2, rng), 5000, rng)
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
    smooth, left = smooth_templates(truth, variance, np.zeros(3, int), _grid())
    np.testing.assert_allclose(smooth, truth, rtol=1e-6)
    np.testing.assert_allclose(left, variance, rtol=1e-6)


@pytest.mark.parametrize("n_sources", [1, 4])
def test_remaining_errors_of_rough_templates_are_calibrated(n_sources):
    """Much structure: pulls have a root mean square of one within four sigmas."""
    rng = np.random.default_rng(3)
    squares = []
    for _ in range(60):
        truth = _normalised(rng.normal(size=(n_sources, SIDE**2)))
        _, after, left = _smooth(truth, 1_000_000, rng)
        squares.append((after**2 / left).mean())
    error = np.std(squares) / np.sqrt(len(squares))
    assert abs(np.mean(squares) - 1.0) < 4 * error + 0.01


@pytest.mark.parametrize("n_sources", [1, 4])
def test_remaining_errors_of_smooth_templates_do_not_claim_too_much(n_sources):
    """At most one within four sigmas, and not half of it either.

    The constant counts as a fitted function but normalisation takes its error away, so
    a little less than one is right.
    """
    rng = np.random.default_rng(4)
    squares = []
    for _ in range(60):
        truth = np.repeat(_smooth_truth(1, 0.0, rng), n_sources, axis=0)
        _, after, left = _smooth(truth, 20_000, rng)
        squares.append((after**2 / left).mean())
    error = np.std(squares) / np.sqrt(len(squares))
    assert 0.5 < np.mean(squares) < 1.0 + 4 * error


def test_classes_are_smoothed_apart():
    rng = np.random.default_rng(5)
    truth = _smooth_truth(6, 0.2, rng)
    probability, variance = _observe(truth, 5000, rng)
    classes = np.array([0, 0, 1, 1, 1, 2])
    together = smooth_templates(probability, variance, classes, _grid())
    for c in range(3):
        rows = classes == c
        alone = smooth_templates(
            probability[rows], variance[rows], np.zeros(rows.sum(), int), _grid()
        )
        for whole, part in zip(together, alone, strict=True):
            np.testing.assert_allclose(whole[rows], part, rtol=1e-12)


@pytest.mark.parametrize("bins", [1, 2, 5])
def test_few_bins_pass(bins):
    probability = np.full((2, bins), 1.0 / bins)
    variance = np.full((2, bins), 0.01)
    coordinates = np.linspace(-1, 1, bins)[:, None] if bins > 1 else np.zeros((1, 1))
    smooth, left = smooth_templates(
        probability, variance, np.zeros(2, int), coordinates
    )
    np.testing.assert_allclose(smooth, probability)
    assert np.isfinite(left).all()
    assert (left <= variance * (1 + 1e-12)).all()
