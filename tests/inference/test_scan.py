"""Curves of kappa by a scan: those of the grid, point by point."""

import numpy as np
import pytest

from sktamm.base import ComponentTable, Simulations
from sktamm.inference._curve import kappa_curve
from sktamm.inference._laplace_error import laplace_error
from sktamm.inference._optimise import maximise
from sktamm.inference._scan import event_curve
from sktamm.mixture import (
    DirichletPrior,
    ExponentialForm,
    LinearForm,
    RowData,
    ShrinkagePrior,
    SimulationsPrior,
)

CHOICES = {
    "linear": (LinearForm(), DirichletPrior(1.0)),
    "simulations": (ExponentialForm(), SimulationsPrior()),
    "shrinkage": (ExponentialForm(), ShrinkagePrior()),
}
EVERYWHERE = (-np.inf, np.inf)
INSIDE = (0.0, 1.0)


@pytest.fixture(params=CHOICES.values(), ids=CHOICES.keys())
def choice(request):
    return request.param


def _log_normal(x, centre):
    return -0.5 * (x[:, None] - centre) ** 2


def make_problem(choice, kappa=0.3, n_events=400, n_datasets=2, separation=1.5):
    """Two classes of three normals each, and events of their middle."""
    rng = np.random.default_rng(4)
    centres = np.concatenate([[-0.2, 0.0, 0.15], separation + np.array([-0.2, 0, 0.1])])
    classes = np.repeat([0, 1], 3)
    signal = rng.random(n_events) < kappa
    x = rng.normal(np.where(signal, separation, 0.0))
    reference = rng.normal(centres[rng.integers(0, 6, 500)])
    weight = np.full(500, 1 / 500)
    mixture = [
        np.log(np.exp(_log_normal(points, centres)).mean(axis=1, keepdims=True))
        for points in (x, reference)
    ]
    rows = _log_normal(x, centres) - mixture[0]
    logs = _log_normal(reference, centres) - mixture[1]
    norm = np.log(weight @ np.exp(logs))
    raw = np.column_stack([reference, reference**2])
    mean, root = raw.mean(axis=0), np.linalg.cholesky(np.cov(raw.T, bias=True))
    bases = [
        np.linalg.solve(root, (np.column_stack([v, v**2]) - mean).T).T
        for v in (x, reference)
    ]
    counts = rng.poisson(1.0, (n_datasets, n_events)).astype(float)
    simulations = Simulations(
        rows - norm,
        logs - norm,
        None,
        classes,
        np.arange(6) % 3,
        np.eye(6),
        False,
    )
    table = ComponentTable(
        log_ratio=rows - norm,
        row_weight=counts,
        row_variance=counts,
        reference_log_ratio=logs - norm,
        reference_weight=weight,
        component_class=classes,
        n_classes=2,
        positive=1,
        simulations=simulations,
        basis=bases[0],
        reference_basis=bases[1],
        relative_variance=None,
        binned=False,
    )
    model, data = choice[0].build(table, choice[1]), RowData(counts)
    first = maximise(model, model.start(n_datasets), data, fixed=slice(1, None))
    fit = maximise(model, first.theta, data)
    assert fit.converged.all()
    covariance = np.linalg.inv(-model.hessian(fit.theta, data))
    return model, data, fit.theta, covariance


def _at(curve, which, kappa):
    """Log density at given kappas relative to its maximum."""
    grid, values = curve.refine(which)
    return np.stack(
        [np.interp(k, g, v) for k, g, v in zip(kappa, grid, values, strict=True)]
    )


@pytest.mark.parametrize("bounds", [INSIDE, EVERYWHERE], ids=["inside", "everywhere"])
@pytest.mark.parametrize("which", ["profile", "marginal"])
def test_the_scan_is_the_grid(choice, which, bounds):
    """To some hundredths of a unit within one and within two sigmas."""
    problem = make_problem(choice)
    scan = event_curve(*problem, bounds, which)
    grid = kappa_curve(*problem, bounds, which)
    np.testing.assert_allclose(scan.centre, grid.centre)
    std = np.sqrt(problem[3][:, :1, 0])
    kappa = problem[2][:, :1] + std * np.linspace(-2, 2, 41)
    for curve in (scan, grid):
        kappa = np.clip(kappa, curve.kappa[:, :1], curve.kappa[:, -1:])
    expected, found = _at(grid, which, kappa), _at(scan, which, kappa)
    near = expected > -1.0
    assert near.any()
    np.testing.assert_allclose(found[near], expected[near], atol=0.025)
    np.testing.assert_allclose(found, expected, atol=0.05)


@pytest.mark.parametrize("which", ["profile", "marginal"])
def test_the_scan_goes_down_far_enough(choice, which):
    """Twelve units on both sides, unless a bound or the end of the densities is met."""
    model, data, theta, covariance = make_problem(choice)
    curve = event_curve(model, data, theta, covariance, INSIDE, which)
    values = getattr(curve, which)
    drop = values.max(axis=1, keepdims=True) - values
    for side in (0, -1):
        at_bound = np.isin(np.round(curve.kappa[:, side], 9), INSIDE)
        assert ((drop[:, side] > 11.0) | at_bound).all()
    assert (np.diff(curve.kappa, axis=1) > 0).all()
    assert (np.ptp(np.diff(curve.position, axis=1), axis=1) < 1e-9).all()


@pytest.mark.parametrize("kappa", [0.0, 0.02, 0.98])
def test_bounds_are_met_and_not_passed(choice, kappa):
    model, data, theta, covariance = make_problem(choice, kappa)
    inside = np.clip(theta[:, 0], 0.0, 1.0)
    theta[:, 0] = inside
    fit = maximise(model, theta, data, fixed=slice(0, 1))
    curve = event_curve(model, data, fit.theta, covariance, INSIDE, "marginal")
    assert curve.kappa.min() >= 0.0
    assert curve.kappa.max() <= 1.0
    near = 0 if kappa < 0.5 else -1
    np.testing.assert_allclose(curve.kappa[:, near], np.round(kappa), atol=1e-9)
    assert np.isfinite(curve.marginal).all()
    assert np.isfinite(curve.profile).all()


def test_a_start_at_a_bound_scans_to_one_side(choice):
    model, data, theta, covariance = make_problem(choice, 0.0)
    theta[:, 0] = 0.0
    fit = maximise(model, theta, data, fixed=slice(0, 1))
    curve = event_curve(model, data, fit.theta, covariance, INSIDE, "profile")
    np.testing.assert_allclose(curve.kappa[:, 0], 0.0, atol=1e-12)
    assert (curve.kappa[:, -1] > 0.02).all()


@pytest.mark.parametrize("kappa", [0.1, 0.9])
def test_without_bounds_the_scan_stops_where_a_density_ends(kappa):
    """The curve has fallen far enough, or a little further nothing is allowed."""
    problem = make_problem(CHOICES["linear"], kappa, separation=3.0)
    model, data, theta, covariance = problem
    curve = event_curve(*problem, EVERYWHERE, "profile")
    assert np.isfinite(curve.profile).all()
    drop = curve.profile.max(axis=1, keepdims=True) - curve.profile
    std = np.sqrt(covariance[:, 0, 0])
    for side, sign in ((0, -1.0), (-1, 1.0)):
        trial = theta.copy()
        trial[:, 0] = curve.kappa[:, side] + sign * std
        ended = model.value(trial, data) == -np.inf
        assert (ended | (drop[:, side] > 4.0)).all()


def test_an_edge_at_the_bound_makes_no_bump():
    """An event that only background explains: the likelihood ends at kappa of one."""
    model, data, theta, covariance = make_problem(CHOICES["linear"], 0.85)
    far = model.events[1].features[:, 0].argmin()
    for density in model.events[1:]:
        density.features[far] *= 1e-12
        density.transposed[:, far] *= 1e-12
    rows = RowData(np.where(np.arange(400) == far, 1.0, data.observed))
    fit = maximise(model, theta, rows)
    covariance = np.linalg.inv(-model.hessian(fit.theta, rows))
    curve = event_curve(model, rows, fit.theta, covariance, INSIDE, "marginal")
    for which in ("profile", "marginal"):
        kappa, values = curve.refine(which)
        top = np.take_along_axis(kappa, values.argmax(axis=1)[:, None], axis=1)
        assert (
            np.abs(top - fit.theta[:, :1]) < 0.2 * np.sqrt(covariance[:, :1, 0])
        ).all()
        beyond = kappa > fit.theta[:, :1] + 0.5 * np.sqrt(covariance[:, :1, 0])
        rising = (np.diff(values, axis=1) > 1e-3) & (values[:, 1:] > -10.0)
        assert not (rising & beyond[:, 1:]).any()


def test_three_classes_are_scanned_too():
    """The other fractions are maximised along the way."""
    form, prior = CHOICES["simulations"]
    table = _three_classes(np.random.default_rng(0))
    model = form.build(table, prior)
    data = RowData(table.row_weight)
    first = maximise(model, model.start(1), data, fixed=slice(2, None))
    fit = maximise(model, first.theta, data)
    covariance = np.linalg.inv(-model.hessian(fit.theta, data))
    problem = model, data, fit.theta, covariance
    scan = event_curve(*problem, INSIDE, "marginal")
    grid = kappa_curve(*problem, INSIDE, "marginal")
    kappa = fit.theta[:, :1] + np.sqrt(covariance[:, :1, 0]) * np.linspace(-2, 2, 41)
    expected = _at(grid, "marginal", kappa)
    np.testing.assert_allclose(_at(scan, "marginal", kappa), expected, atol=0.02)


def _three_classes(rng):
    centres = np.repeat([0.0, 2.0, 4.0], 2) + np.tile([-0.1, 0.1], 3)
    classes = np.repeat([0, 1, 2], 2)
    x = rng.normal(rng.choice([0.0, 2.0, 4.0], 500, p=[0.5, 0.3, 0.2]))
    reference = rng.normal(centres[rng.integers(0, 6, 600)])
    weight = np.full(600, 1 / 600)
    rows, logs = (
        _log_normal(v, centres)
        - np.log(np.exp(_log_normal(v, centres)).mean(axis=1, keepdims=True))
        for v in (x, reference)
    )
    simulations = Simulations(
        rows, logs, None, classes, np.arange(6) % 2, np.eye(6), False
    )
    return ComponentTable(
        log_ratio=rows,
        row_weight=np.ones((1, 500)),
        row_variance=np.ones((1, 500)),
        reference_log_ratio=logs,
        reference_weight=weight,
        component_class=classes,
        n_classes=3,
        positive=2,
        simulations=simulations,
        basis=np.zeros((500, 0)),
        reference_basis=np.zeros((600, 0)),
        relative_variance=None,
        binned=False,
    )


def test_the_error_of_the_integrals_is_that_of_the_grid(choice):
    """The scan keeps its Hessians, the grid does not; their points are neighbours."""
    problem = make_problem(choice)
    none = np.zeros(len(problem[2]))
    errors = [
        laplace_error(*problem[:2], curve, curve.refine("marginal"), none)
        for curve in (
            event_curve(*problem, INSIDE, "marginal"),
            kappa_curve(*problem, INSIDE, "marginal"),
        )
    ]
    np.testing.assert_allclose(errors[0], errors[1], atol=0.01)
