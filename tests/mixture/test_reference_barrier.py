"""The barrier before densities that a handful of reference rows carry."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from sktamm.inference import BayesianInference
from sktamm.inference._optimise import maximise
from sktamm.mixture import FEW_ROWS, ExponentialForm, RidgePrior, RowData
from sktamm.mixture._reference_barrier import barrier_height, events_of_class

ONSET = "sktamm.mixture._event_densities.EventExponential.onset"
STEP = 1e-6


def _differences(function, theta):
    step = STEP * np.eye(theta.shape[1])
    sides = [(function(theta + s) - function(theta - s)) / (2 * STEP) for s in step]
    return np.stack(sides, axis=-1)


@pytest.fixture(params=[2, 3])
def near_the_barrier(request, event_table):
    """A model, data and parameters at which some class is carried by few rows."""
    n_classes = request.param
    table = event_table(n_classes, n_rows=25, n_reference=600)
    model = ExponentialForm().build(table, RidgePrior())
    rng = np.random.default_rng(0)
    theta = 3.0 * rng.normal(size=(400, model.n_params))
    theta[:, : model.n_fractions] = rng.uniform(-0.1, 0.5, (400, model.n_fractions))
    data = RowData(np.full((400, 25), 40.0))
    inside = np.isfinite(model.value(theta, data))
    kept = np.flatnonzero(inside & model.meets_barrier(theta))[:3]
    assert kept.size == 3
    return model, data.take(kept), theta[kept]


def _shares(model, theta):
    """Sums of squared shares by plain sums, shape (n_fits, n_classes)."""
    out = []
    for density, columns in zip(model.events, model.slices, strict=True):
        logs = theta[:, columns] @ density.reference_features.T
        mass = np.exp(logs + density.reference_offset) * density.reference_weight
        out.append((mass**2).sum(axis=1) / mass.sum(axis=1) ** 2)
    return np.stack(out, axis=1)


def test_the_barrier_is_what_its_formula_says(near_the_barrier):
    model, data, theta = near_the_barrier
    share, onset = _shares(model, theta), np.array([d.onset for d in model.events])
    u = np.maximum((share - onset) / onset, 0.0)
    height = 0.5 * onset * (-np.log(1.0 - u) - u - 0.5 * u**2)
    mean = data.observed.sum(axis=1)[:, None] * model.fractions(theta)
    number = 0.5 * (mean + np.sqrt(mean**2 + 4 * data.observed.sum(axis=1)[:, None]))
    with_barrier = model.value(theta, data)
    for density in model.events:
        density.onset = np.inf
    without = model.value(theta, data)
    np.testing.assert_allclose(without - with_barrier, (number * height).sum(axis=1))
    assert (without > with_barrier).all()


def test_derivatives_are_numerical(near_the_barrier):
    """By blends, fractions and both, negative fractions among them."""
    model, data, theta = near_the_barrier
    gradient = model.value_and_gradient(theta, data)[1]
    expected = _differences(lambda t: model.value(t, data), theta)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-3)
    hessian = model.hessian(theta, data)
    expected = _differences(lambda t: model.value_and_gradient(t, data)[1], theta)
    np.testing.assert_allclose(hessian, expected, rtol=1e-6, atol=0.02)
    information = model.step_terms(theta, data)[2]
    assert (np.linalg.eigvalsh(information) > 0).all()


def test_the_height_joins_smoothly_and_has_a_pole():
    onset = 1.0 / FEW_ROWS
    share = onset * np.array([0.5, 1.0, 1.0 + 1e-4, 1.5, 2.0 - 1e-9, 2.0, 9.0])
    height, slope, bend = barrier_height(share, onset)
    np.testing.assert_array_equal(height[:2], 0.0)
    np.testing.assert_array_equal(np.isinf(height), share >= 2.0 * onset)
    assert slope[2] < 1e-7
    assert bend[2] * onset < 2e-4
    assert height[4] > 5 * height[3]
    meeting = barrier_height(np.array([1.618034 * onset]), onset)[1]
    np.testing.assert_allclose(meeting, 0.5, rtol=1e-5)  # half the relative variance


def test_events_of_a_class_are_never_negative():
    fraction = np.linspace(-10.0, 10.0, 41)
    number, slope, bend = events_of_class(fraction, np.full(41, 1e4))
    assert (number > 0).all()
    np.testing.assert_allclose(number[-4:], 1e4 * fraction[-4:], rtol=1e-4)
    shifted = [events_of_class(fraction + s, np.full(41, 1e4)) for s in (-1e-6, 1e-6)]
    for order, exact in enumerate((slope, bend)):
        numerical = (shifted[1][order] - shifted[0][order]) / 2e-6
        np.testing.assert_allclose(exact, numerical, rtol=1e-5, atol=1e-2)


# ---------------------------------------------------------------------------- fits
@pytest.fixture
def far_events(event_table):
    """Normal components of unit width, and a signal beyond all of them."""
    rng = np.random.default_rng(1)
    table = event_table(2, (2, 2), n_reference=2000, n_rows=300, n_datasets=1)
    where = np.array([-1.0, 0.0, 0.0, 1.0])
    reference = rng.normal(size=2000)
    events = np.concatenate([rng.normal(-0.5, 1.0, 200), rng.normal(4.0, 0.3, 100)])
    logs = [x[:, None] * where - 0.5 * where**2 for x in (events, reference)]
    known = dict(zip(("log_ratio", "reference_log_ratio"), logs, strict=True))
    return replace(
        table,
        **known,
        simulations=replace(table.simulations, **known),
        row_weight=np.full((1, 300), 10.0),
        reference_weight=np.full(2000, 1 / 2000),
    )


def _fit(table):
    model = ExponentialForm().build(table, RidgePrior())
    return model, maximise(model, model.start(1), RowData(table.row_weight))


def test_a_fit_stays_where_reference_rows_are(far_events, monkeypatch):
    model, fit = _fit(far_events)
    assert fit.converged.all()
    assert model.meets_barrier(fit.theta).all()
    assert FEW_ROWS / 2 < model.reference_size(fit.theta)[0] < FEW_ROWS
    monkeypatch.setattr(ONSET, np.inf)
    model, free = _fit(far_events)
    assert model.reference_size(free.theta)[0] < 50
    assert not model.meets_barrier(free.theta).any()


def test_a_fit_that_the_barrier_holds_up_is_called_back(far_events):
    """One that did not converge there; its blend alone would not be suspicious."""
    model, fit = _fit(far_events)
    data = SimpleNamespace(rows=RowData(far_events.row_weight))
    start = model.start(1)
    stopped = replace(fit, converged=np.array([False]))
    infer = BayesianInference()
    assert model.prior_tension(fit.theta)[0] > 1e-3
    back = infer._called_back(model, model, start, stopped, data)
    np.testing.assert_array_equal(back.theta[:, 0], start[:, 0])
    same = infer._called_back(model, model, start, fit, data)
    np.testing.assert_array_equal(same.theta, fit.theta)


def test_few_rows_of_the_centre_leave_room(event_table):
    """The barrier begins at half the rows of the centre if these are few."""
    table = event_table(2, n_rows=25)
    model = ExponentialForm().build(table, RidgePrior())
    start = model.start(1)
    centre = 1.0 / _shares(model, start)[0]
    feet = [1.0 / density.onset for density in model.events]
    np.testing.assert_allclose(feet, 0.5 * centre)
    assert not model.meets_barrier(start).any()


def test_single_precision_moves_the_barrier_by_nothing(near_the_barrier, monkeypatch):
    model, data, theta = near_the_barrier
    hessian, value = model.hessian(theta, data), model.value(theta, data)
    for density in model.events:
        density.dtype, density._last = np.float32, None
        for name in ("offset", "features", "transposed", "weight"):
            values = getattr(density, f"reference_{name}").astype(np.float32)
            setattr(density, f"reference_{name}", values)
    np.testing.assert_allclose(model.value(theta, data), value, atol=2e-2)
    size = np.abs(hessian).max()
    np.testing.assert_allclose(model.hessian(theta, data), hessian, atol=1e-3 * size)
