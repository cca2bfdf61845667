"""Fractions in log ratios: derivatives, and fits that nothing can push away."""

import numpy as np
import pytest

from sktamm.inference._base import local_fit
from sktamm.inference._data import FitData
from sktamm.inference._optimise import maximise
from sktamm.inference._simplex import OnSimplex
from sktamm.mixture import MixtureModel, RowData
from sktamm.mixture._densities import LinearDensity
from sktamm.mixture._model import Block
from sktamm.mixture._penalties import DirichletPenalty

BINS = 6


def _model(templates):
    """Mixture of classes of one or more exact templates, bins as rows."""
    reference = np.vstack(templates).mean(axis=0)
    densities = [
        LinearDensity((t / reference).T) for t in map(np.atleast_2d, templates)
    ]
    blocks, start = [], 0
    for density in densities:
        columns = start + np.arange(density.n_params)
        blocks.append(Block(columns, DirichletPenalty(np.ones(density.n_params + 1))))
        start += density.n_params
    return MixtureModel(densities, blocks, 0, reference)


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    return _model([rng.dirichlet(np.ones(BINS), size) for size in (2, 1, 3)])


def test_derivatives_are_those_of_differences(model):
    rng = np.random.default_rng(1)
    simplex = OnSimplex(model)
    position = rng.normal(0, 0.7, (2, model.n_params))
    data = RowData(rng.poisson(20.0, (2, BINS)).astype(float), np.full((2, BINS), 18.0))
    gradient = simplex.step_terms(position, data)[1]
    precision = simplex.precision(position, data)
    step = 1e-5
    for j in range(model.n_params):
        moved = [position + sign * step * np.eye(model.n_params)[j] for sign in (1, -1)]
        rise = np.subtract(*(simplex.value(at, data) for at in moved)) / (2 * step)
        np.testing.assert_allclose(gradient[:, j], rise, rtol=1e-6, atol=1e-6)
        bend = np.subtract(*(simplex.step_terms(at, data)[1] for at in moved))
        np.testing.assert_allclose(
            precision[:, j], -bend / (2 * step), rtol=1e-5, atol=1e-4
        )


def test_the_maximum_lies_inside_whatever_the_data_say(model):
    simplex = OnSimplex(model)
    rows = np.concatenate([np.eye(BINS) * 1e3, np.ones((1, BINS)), np.eye(BINS)])
    found = maximise(simplex, simplex.start(len(rows)), RowData(rows))
    fractions = model.fractions(simplex.theta(found.theta))
    assert found.converged.all()
    assert fractions.min() > 0
    assert fractions.max() < 1


def test_a_bound_is_met_at_one_event():
    """Against a bound L = (1 - a k)^n, and k (1 - k) L is largest near 1 / (n a)."""
    model = _model([np.array([0.1, 0.9]), np.array([0.995, 0.005])])
    simplex = OnSimplex(model)
    data = RowData(np.array([[1000.0, 0.0]]))
    found = maximise(simplex, simplex.start(1), data)
    kappa = simplex.theta(found.theta)[0, 0]
    k = np.linspace(1e-5, 0.01, 200_000)
    best = k[np.argmax(np.log(k * (1 - k)) + 1000 * np.log(0.995 - 0.895 * k))]
    np.testing.assert_allclose(kappa, best, rtol=1e-3)


@pytest.mark.parametrize("n_rows", [2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_free_fractions_without_information_end_near_the_simplex(n_rows, seed):
    """Two bins cannot tell three classes apart: rounding must not choose a number."""
    rng = np.random.default_rng(seed)
    templates = list(rng.dirichlet(np.ones(n_rows), 3))
    if n_rows == 3:
        templates[2] = 0.3 * templates[0] + 0.7 * templates[1]
    model = _model(templates)
    data = RowData(rng.poisson(300.0, (1, n_rows)).astype(float))
    theta = OnSimplex(model).theta(np.zeros((1, model.n_params)))
    ends = []
    for nudge in (0.0, 1e-13, -1e-13):
        fit = local_fit(model, maximise(model, theta + nudge, data), _data(data))
        assert np.isfinite(fit.covariance).all()
        assert np.abs(model.fractions(fit.optimum.theta)).max() < 10.0
        ends.append(fit.optimum.theta[0])
    np.testing.assert_allclose(ends, [ends[0]] * 3, atol=1e-6)


def _data(rows):
    return FitData(rows, *[rows.observed] * 7)
