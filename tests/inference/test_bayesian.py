"""The posterior of kappa agrees with brute-force integration and is calibrated."""

import numpy as np
import pytest
from scipy import integrate, stats

from sktamm.inference._base import _local
from sktamm.inference._curve import kappa_curve, refine
from sktamm.inference._data import FitData
from sktamm.inference._intervals import density_intervals, density_moments
from sktamm.inference._optimise import maximise
from sktamm.mixture import MixtureModel, RowData
from sktamm.mixture._densities import ExponentialDensity, LinearDensity
from sktamm.mixture._model import Block
from sktamm.mixture._penalties import (
    DirichletPenalty,
    GaussianPenalty,
    StudentPenalty,
)

BINS = 12
LEVELS = np.array([0.683, 0.954])
BOUNDS = (0.0, 1.0)
_X = np.linspace(-1, 1, BINS)
_SHAPES = np.stack([-0.8 * _X, 1.5 * _X - _X**2])
SHAPES = np.exp(_SHAPES) / np.exp(_SHAPES).sum(axis=1, keepdims=True)
REFERENCE = SHAPES.mean(axis=0)


def _model(sizes, penalty="gaussian", scale=0.25):
    """Exponential mixture; the background and signal bend in sizes[c] directions."""
    densities, blocks, start = [], [], 0
    directions = scale * np.stack([_X, _X**2 - 0.3], axis=1)
    for c, size in enumerate(sizes):
        offset, d = np.log(SHAPES[c] / REFERENCE), directions[:, :size]
        densities.append(ExponentialDensity(offset, d, offset, d, REFERENCE))
        law = GaussianPenalty(np.eye(size))
        if penalty == "student":
            law = StudentPenalty(np.eye(size), 5.0)
        blocks.append(Block(start + np.arange(size), law))
        start += size
    return MixtureModel(densities, blocks, 1, REFERENCE)


def _linear_model():
    """The signal is a blend of two templates."""
    logs = np.stack([_SHAPES[1] + 0.5 * _X, _SHAPES[1] - 0.5 * _X], axis=1)
    pair = np.exp(logs) / np.exp(logs).sum(axis=0)
    densities = [
        LinearDensity((SHAPES[0] / REFERENCE)[:, None]),
        LinearDensity(pair / REFERENCE[:, None]),
    ]
    blocks = [Block(np.arange(1), DirichletPenalty(np.full(2, 2.0)))]
    return MixtureModel(densities, blocks, 1, REFERENCE)


def _rows(model, kappa, n_events, n_fits=1, seed=0):
    rng = np.random.default_rng(seed)
    theta = model.start(n_fits)
    theta[:, 0] = kappa
    mean = n_events * model.row_density(theta) * REFERENCE
    return RowData(rng.poisson(mean).astype(float))


def _posterior(model, rows):
    """Fine grid and log posterior of kappa by nested Laplace integration."""
    optimum = maximise(model, model.start(len(rows.observed)), rows)
    fit = _local(model, optimum, FitData(rows, rows.observed))
    curve = kappa_curve(model, rows, optimum.theta, fit.covariance, BOUNDS, "marginal")
    return refine(curve.kappa, curve.marginal)


def _brute_force(model, rows, kappa, width=6.0, n=161):
    """Log of the integral of the posterior over one or two blend parameters."""
    axis = np.linspace(-width, width, n)
    inner = np.stack(np.meshgrid(*[axis] * (model.n_params - 1), indexing="ij"), -1)
    inner = inner.reshape(-1, model.n_params - 1)
    logs = []
    for k in kappa:
        theta = np.column_stack([np.full(len(inner), k), inner])
        repeated = RowData(np.repeat(rows.observed, len(inner), axis=0))
        logs.append(np.logaddexp.reduce(model.value(theta, repeated)))
    return np.array(logs)


MODELS = {
    "one direction": _model((0, 1)),
    "one in each class": _model((1, 1)),
    "two in one class": _model((0, 2)),
    "student": _model((1, 1), "student"),
    "linear": _linear_model(),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kappa", [0.05, 0.4])
def test_the_curve_is_the_integral_over_the_blend(name, kappa):
    """Where it exceeds a hundredth of its top, and in its mean and width.

    Laplace's method is exact for Gaussian conditional posteriors; the tails of the
    Student t leave a tenth in the logarithm.
    """
    model = MODELS[name]
    rows = _rows(model, kappa, 1500)
    fine, log_density = _posterior(model, rows)
    some = slice(50, 951, 50)
    grid, laplace = fine[0, some], log_density[0, some]
    exact = _brute_force(model, rows, grid)
    weights = [np.exp(curve - curve.max()) for curve in (laplace, exact)]
    error = laplace - exact
    error -= np.average(error, weights=weights[1])
    bound = 0.15 if name == "student" else 0.05
    assert np.abs(error[weights[1] > 0.01]).max() < bound
    means = [np.average(grid, weights=w) for w in weights]
    stds = [
        np.sqrt(np.average((grid - m) ** 2, weights=w))
        for m, w in zip(means, weights, strict=True)
    ]
    assert means[0] == pytest.approx(means[1], abs=0.05 * stds[1])
    assert stds[0] == pytest.approx(stds[1], rel=0.05)


@pytest.mark.parametrize("n_events", [30, 300, 30_000])
@pytest.mark.parametrize("kappa", [0.0, 0.02, 0.5, 1.0])
def test_one_simulation_has_the_analytic_posterior(kappa, n_events):
    model = _model((0, 0))
    rows = _rows(model, kappa, n_events)
    fine, log_density = _posterior(model, rows)
    mean, std = density_moments(fine, log_density)
    interval = density_intervals(fine, log_density, LEVELS, "equal_tailed")
    grid = np.linspace(0, 1, 100_001)
    p = np.multiply.outer(grid, SHAPES[1]) + np.multiply.outer(1 - grid, SHAPES[0])
    logs = np.log(p) @ rows.observed[0]
    cdf = integrate.cumulative_trapezoid(np.exp(logs - logs.max()), grid, initial=0)
    cdf /= cdf[-1]
    density = np.gradient(cdf, grid)
    exact = integrate.trapezoid(density * grid, grid)
    spread = np.sqrt(integrate.trapezoid(density * (grid - exact) ** 2, grid))
    assert mean[0] == pytest.approx(exact, abs=0.01 * spread)
    assert std[0] == pytest.approx(spread, rel=0.01)
    tails = np.stack([0.5 - LEVELS / 2, 0.5 + LEVELS / 2])
    np.testing.assert_allclose(
        interval[0], np.interp(tails, cdf, grid), atol=0.01 * spread
    )


@pytest.mark.parametrize(
    "model",
    [_model((0, 0)), _model((1, 1)), _model((2, 2), "gaussian", 0.15)],
    ids=["fixed", "one each", "two each"],
)
def test_intervals_cover_truths_drawn_from_the_prior(model):
    """Four binomial sigmas at both levels; ranks of the truth are uniform."""
    n = 400
    rng = np.random.default_rng(1)
    theta = rng.normal(size=(n, model.n_params))
    theta[:, 0] = rng.uniform(size=n)
    rows = RowData(
        rng.poisson(800 * model.row_density(theta) * REFERENCE).astype(float)
    )
    fine, log_density = _posterior(model, rows)
    interval = density_intervals(fine, log_density, LEVELS, "equal_tailed")
    truth = theta[:, 0]
    inside = (truth >= interval[:, 0].T) & (truth <= interval[:, 1].T)
    error = np.sqrt(LEVELS * (1 - LEVELS) / n)
    assert (np.abs(inside.mean(axis=1) - LEVELS) < 4 * error).all()
    density = np.exp(log_density)
    below = (density * (fine < truth[:, None])).sum(axis=1) / density.sum(axis=1)
    assert stats.kstest(below, "uniform").pvalue > 1e-4


def test_the_grid_keeps_to_the_bounds_and_holds_the_posterior():
    model = _model((1, 1))
    rows = RowData(
        np.concatenate([_rows(model, k, 3000).observed for k in (0.0, 0.5, 1.0)])
    )
    fine, log_density = _posterior(model, rows)
    assert (fine >= 0).all()
    assert (fine <= 1).all()
    np.testing.assert_allclose(log_density.max(axis=1), 0.0)
    assert log_density[1, 0] < -8
    assert log_density[1, -1] < -8
    np.testing.assert_allclose(fine[0, 0], 0.0, atol=1e-12)
    np.testing.assert_allclose(fine[2, -1], 1.0, atol=1e-12)
