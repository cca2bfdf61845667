"""The posterior of kappa agrees with brute-force integration and is calibrated."""

import numpy as np
import pytest
from scipy import integrate, stats

from sktamm.base import ComponentTable, Simulations
from sktamm.exceptions import IncompatibleChoiceError
from sktamm.inference import BayesianInference
from sktamm.inference._base import local_fit
from sktamm.inference._curve import kappa_curve
from sktamm.inference._data import FitData
from sktamm.inference._gamma_weights import GammaWeights
from sktamm.inference._intervals import density_intervals, density_moments
from sktamm.inference._optimise import maximise
from sktamm.inference._simplex import OnSimplex
from sktamm.inference._targets import LogRatios, free_fractions
from sktamm.mixture import (
    DirichletPrior,
    ExponentialForm,
    LinearForm,
    MixtureModel,
    RowData,
    SimulationsPrior,
)
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
    blocks = [
        Block(np.arange(0), DirichletPenalty(np.ones(1))),
        Block(np.arange(1), DirichletPenalty(np.full(2, 2.0))),
    ]
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
    fit = local_fit(model, optimum, FitData(rows, *[rows.observed] * 7))
    curve = kappa_curve(model, rows, optimum.theta, fit.covariance, BOUNDS, "marginal")
    return curve.refine("marginal")


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
    assert (fine >= -1e-12).all()
    assert (fine <= 1 + 1e-12).all()
    np.testing.assert_allclose(log_density.max(axis=1), 0.0)
    assert log_density[1, 0] < -8
    assert log_density[1, -1] < -8
    np.testing.assert_allclose(fine[0, 0], 0.0, atol=1e-12)
    np.testing.assert_allclose(fine[2, -1], 1.0, atol=1e-12)


# --------------------------------------------------------------------- sampling
def _three_class_linear_model():
    rng = np.random.default_rng(5)
    logs = rng.normal(size=(3, BINS, 2))
    ratios = np.exp(logs) / (REFERENCE @ np.exp(logs))[:, None]
    blocks = [Block(np.array([c]), DirichletPenalty(np.full(2, 1.5))) for c in range(3)]
    return MixtureModel([LinearDensity(r) for r in ratios], blocks, 1, REFERENCE)


TARGETS = MODELS | {"three classes": _three_class_linear_model()}


def _space(model, poisson, space=None):
    """Coordinates about some point, with a data set in every row."""
    rng = np.random.default_rng(7)
    observed = rng.integers(1, 60, (2, BINS)).astype(float)
    rows = RowData(observed, np.full((2, BINS), 20.0) if poisson else None)
    mode = 0.3 * rng.normal(size=(2, model.n_params))
    if space is None:
        space = GammaWeights if model.is_linear else LogRatios
    return space(model, rows, mode, np.tile(np.eye(model.n_params), (2, 1, 1)))


def _positions(space, n_chains=3, seed=6):
    shape = (2, n_chains, space.start.shape[1])
    return space.start[:, None] + np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("model", TARGETS.values(), ids=TARGETS.keys())
@pytest.mark.parametrize("poisson", [False, True])
def test_targets_have_numerical_gradients(model, poisson):
    space = _space(model, poisson)
    target, position = space.target(np.arange(2)), _positions(space)
    gradient = target(position)[1].copy()
    for j in range(position.shape[2]):
        step = 1e-5 * np.eye(position.shape[2])[j]
        up, down = target(position + step)[0].copy(), target(position - step)[0]
        np.testing.assert_allclose(gradient[..., j], (up - down) / 2e-5, atol=1e-5)


@pytest.mark.parametrize("model", TARGETS.values(), ids=TARGETS.keys())
def test_positions_and_parameters_are_the_same_point(model):
    theta = model.start(1)
    theta[:, : model.n_fractions] = [0.3, 0.5][: model.n_fractions]
    position = OnSimplex(model).position(theta)
    np.testing.assert_allclose(OnSimplex(model).theta(position), theta)
    free = free_fractions(model, position[:, None])[0, 0]
    np.testing.assert_allclose(free, theta[0, : model.n_fractions])


def _table(templates, n_classes, weight):
    """Component table of exact templates (n_classes, size, BINS)."""
    flat = templates.reshape(-1, BINS)
    reference = flat.mean(axis=0)
    logs = np.log(flat / reference).T
    classes = np.repeat(np.arange(n_classes), templates.shape[1])
    number = np.arange(len(flat))
    described = Simulations(logs, logs, None, classes, number, np.eye(len(flat)), False)
    none = np.zeros((BINS, 0))
    return ComponentTable(
        logs, weight, weight, logs, reference, classes, n_classes, 1, described, none,
        none, None, True,
    )  # fmt: skip


def _infer(table, form, prior, inference):
    return inference.infer(
        table,
        form.build(table, prior),
        LEVELS,
        informative=True,
        bounded=False,
        seed=np.random.SeedSequence(1),
        n_jobs=None,
    )


def _blended_counts(templates, fractions, n_events, n_datasets, seed=9):
    rng = np.random.default_rng(seed)
    p = np.asarray(fractions) @ templates.mean(axis=1)
    return rng.multinomial(n_events, p, n_datasets).astype(float)


def _templates(n_classes, size, seed=10):
    rng = np.random.default_rng(seed)
    tilt = 0.3 * rng.normal(size=(n_classes, size, 2))
    centre = np.stack([_SHAPES[0], _SHAPES[1], 0.6 * np.cos(5 * _X)])[:n_classes]
    logs = centre[:, None] + tilt @ np.stack([_X, _X**2])
    return np.exp(logs) / np.exp(logs).sum(axis=2, keepdims=True)


def _agree(draws, mean, std):
    """Moments within five Monte Carlo sigmas of the exact ones."""
    n = draws.diagnostics["ess_bulk"]
    assert (np.abs(draws.kappa - mean) < 5 * std / np.sqrt(n)).all()
    assert (np.abs(draws.std / std - 1) < 5 / np.sqrt(2 * n) + 0.02).all()


def test_chains_and_laplace_agree_in_the_exponential_form():
    templates = _templates(2, 3)
    counts = _blended_counts(templates, [0.7, 0.3], 1500, 3)
    table = _table(templates, 2, counts)
    form, prior = ExponentialForm(), SimulationsPrior()
    laplace = _infer(table, form, prior, BayesianInference("laplace"))
    chains = _infer(table, form, prior, BayesianInference("hmc"))
    assert laplace.draws is None
    assert len(chains.draws) == 3
    assert not chains.diagnostics["poor_sampling"].any()
    _agree(chains, laplace.kappa, laplace.std)


def test_chains_of_the_linear_form_agree_with_integration():
    """One template per class, near the boundary and far from it: one dimension."""
    templates = _templates(2, 1)
    counts = np.concatenate(
        [_blended_counts(templates, [1 - k, k], 1500, 1) for k in (0.0, 0.3, 1.0)]
    )
    chains = _infer(
        _table(templates, 2, counts),
        LinearForm(),
        DirichletPrior(),
        BayesianInference(),
    )
    grid = np.linspace(0, 1, 20_001)
    b, s = templates[:, 0]
    logs = (
        counts @ np.log(np.multiply.outer(1 - grid, b) + np.multiply.outer(grid, s)).T
    )
    weight = np.exp(logs - logs.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    mean = weight @ grid
    _agree(chains, mean, np.sqrt(weight @ grid**2 - mean**2))


def test_chains_keep_three_fractions_on_the_simplex():
    """An absent class: brute-force integration over the triangle of fractions."""
    templates = _templates(3, 1)
    counts = _blended_counts(templates, [0.8, 0.2, 0.0], 600, 2)
    chains = _infer(
        _table(templates, 3, counts),
        LinearForm(),
        DirichletPrior(),
        BayesianInference(),
    )
    axis = np.linspace(0, 1, 401)
    kappa, other = np.meshgrid(axis, axis, indexing="ij")
    inside = kappa + other <= 1
    k, f = kappa[inside], other[inside]
    p = np.stack([f, k, 1 - k - f], axis=1) @ templates[:, 0]
    logs = counts @ np.log(p).T
    weight = np.exp(logs - logs.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    mean = weight @ k
    _agree(chains, mean, np.sqrt(weight @ k**2 - mean**2))


def test_batches_do_not_change_the_numbers():
    """Of Laplace's method; chains are chaotic and agree within their error."""
    templates = _templates(2, 3)
    table = _table(templates, 2, _blended_counts(templates, [0.7, 0.3], 800, 5))
    form, prior = ExponentialForm(), SimulationsPrior()
    for method in ("laplace", "hmc"):
        whole, parts = (
            _infer(table, form, prior, BayesianInference(method, batch_size=size))
            for size in (5, 2)
        )
        if method == "laplace":
            np.testing.assert_allclose(whole.kappa, parts.kappa, rtol=1e-6)
            np.testing.assert_allclose(whole.interval, parts.interval, rtol=1e-5)
        else:
            n = whole.diagnostics["ess_bulk"]
            difference = np.abs(whole.kappa - parts.kappa)
            assert (difference < 5 * whole.std * np.sqrt(2 / n)).all()


def test_the_shortest_interval_is_not_longer():
    templates = _templates(2, 3)
    table = _table(templates, 2, _blended_counts(templates, [0.95, 0.05], 800, 5))
    widths = []
    for kind in ("shortest", "equal_tailed"):
        inference = BayesianInference("laplace", kind)
        answer = _infer(table, ExponentialForm(), SimulationsPrior(), inference)
        widths.append(answer.interval[:, 1] - answer.interval[:, 0])
    assert (widths[0] <= widths[1] * (1 + 1e-3)).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"method": "nuts"}, "method must be"), ({"interval": "hdi"}, "interval must be")],
)
def test_senseless_settings_are_refused(settings, message):
    with pytest.raises(IncompatibleChoiceError, match=message):
        BayesianInference(**settings).check()
