"""The mixture of events: the binned one in other words, summed in blocks."""

from dataclasses import replace

import numpy as np
import pytest

from sktamm.inference._optimise import maximise
from sktamm.mixture import (
    DirichletPrior,
    EventMixture,
    ExponentialForm,
    LinearForm,
    MixtureModel,
    RidgePrior,
    RowData,
    ShrinkagePrior,
    SimulationsPrior,
)

STEP = 1e-5
CHOICES = {
    "linear": (LinearForm(), DirichletPrior(1.5)),
    "ridge": (ExponentialForm(), RidgePrior()),
    "simulations": (ExponentialForm(), SimulationsPrior()),
    "shrinkage": (ExponentialForm(), ShrinkagePrior()),
}
DENSITIES = "sktamm.mixture._event_densities"


@pytest.fixture(params=CHOICES.values(), ids=CHOICES.keys())
def choice(request):
    return request.param


@pytest.fixture(params=[2, 3])
def n_classes(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["multinomial", "poisson"])
def poisson(request):
    return request.param


def _data(table, poisson, seed=1):
    rng = np.random.default_rng(seed)
    expected = rng.uniform(1, 30, table.row_weight.shape) if poisson else None
    return RowData(table.row_weight, expected)


def _point(model, n_fits=3, seed=2):
    rng = np.random.default_rng(seed)
    theta = 0.3 * rng.normal(size=(n_fits, model.n_params))
    theta[:, : model.n_fractions] = rng.uniform(0.1, 0.4, (n_fits, model.n_fractions))
    return theta


def _differences(function, theta):
    columns = []
    for j in range(theta.shape[1]):
        step = STEP * np.eye(theta.shape[1])[j]
        columns.append((function(theta + step) - function(theta - step)) / (2 * STEP))
    return np.stack(columns, axis=-1)


# --------------------------------------------------------------- events equal bins
def test_events_at_the_reference_rows_are_bins(
    event_table, as_binned, choice, n_classes, poisson
):
    """Value, gradient, Hessian and scores of one table read in both ways."""
    form, prior = choice
    table = event_table(n_classes)
    events, bins = form.build(table, prior), form.build(as_binned(table), prior)
    assert isinstance(events, EventMixture)
    assert type(bins) is MixtureModel
    data, theta = _data(table, poisson), _point(events)
    assert events.n_params == bins.n_params
    for name in ("value", "log_likelihood", "hessian"):
        ours, theirs = getattr(events, name), getattr(bins, name)
        np.testing.assert_allclose(ours(theta, data), theirs(theta, data), rtol=1e-9)
    for ours, theirs in zip(
        events.value_and_gradient(theta, data),
        bins.value_and_gradient(theta, data),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-8)
    for name in ("row_scores", "row_density", "class_log_density", "fractions"):
        ours, theirs = getattr(events, name)(theta), getattr(bins, name)(theta)
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
    for ours, theirs in zip(events.weights(theta), bins.weights(theta), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    along = np.random.default_rng(3).normal(size=theta.shape)
    np.testing.assert_allclose(
        events.score_along(theta, along), bins.score_along(theta, along), atol=1e-9
    )
    np.testing.assert_allclose(events.prior_tension(theta), bins.prior_tension(theta))


def test_the_maximum_is_that_of_bins(
    event_table, as_binned, choice, n_classes, monkeypatch
):
    """Where no barrier stands before few reference rows, which bins do not have."""
    monkeypatch.setattr(f"{DENSITIES}.EventExponential.onset", np.inf)
    form, prior = choice
    table = event_table(n_classes, n_reference=60)
    data = RowData(table.row_weight)
    found = [
        maximise(model, model.start(3), data)
        for model in (form.build(table, prior), form.build(as_binned(table), prior))
    ]
    std = 1.0 / np.sqrt(table.row_weight.sum(axis=1))
    for fit in found:
        assert fit.converged.all()
    np.testing.assert_allclose(found[0].value, found[1].value, atol=1e-3)
    difference = found[0].theta[:, 0] - found[1].theta[:, 0]
    assert (np.abs(difference) < 0.05 * std).all()


# ----------------------------------------------------------------------- derivatives
@pytest.fixture
def problem(event_table, choice, n_classes, poisson):
    table = event_table(n_classes, n_rows=25)
    model = choice[0].build(table, choice[1])
    return model, _data(table, poisson), _point(model)


def test_gradient_and_hessian_are_numerical(problem):
    model, data, theta = problem
    value, gradient = model.value_and_gradient(theta, data)
    np.testing.assert_allclose(value, model.value(theta, data), rtol=1e-12)
    expected = _differences(lambda t: model.value(t, data), theta)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-4)
    hessian = model.hessian(theta, data)
    expected = _differences(lambda t: model.value_and_gradient(t, data)[1], theta)
    np.testing.assert_allclose(hessian, expected, rtol=1e-6, atol=1e-3)
    np.testing.assert_allclose(hessian, hessian.swapaxes(1, 2), atol=1e-8)


def test_scores_are_numerical(problem):
    model, _, theta = problem
    expected = _differences(lambda t: np.log(model.row_density(t)), theta)
    np.testing.assert_allclose(model.row_scores(theta), expected, atol=1e-7)


def test_steps_have_a_positive_information(problem):
    model, data, theta = problem
    value, gradient, information = model.step_terms(theta, data)
    np.testing.assert_allclose(value, model.value(theta, data), rtol=1e-12)
    np.testing.assert_allclose(
        gradient, model.value_and_gradient(theta, data)[1], atol=1e-9
    )
    assert (np.linalg.eigvalsh(information) > 0).all()


def test_steps_are_positive_where_the_hessian_is_not(event_table):
    """Far from the maximum the squared scores take the place of the Hessian."""
    table = event_table(n_rows=25)
    model = LinearForm().build(table, DirichletPrior(1.0))
    theta = np.full((1, model.n_params), 4.0)
    theta[:, 0] = 0.5
    data = RowData(table.row_weight[:1])
    precision = -model.hessian(theta, data)
    assert np.linalg.eigvalsh(precision).min() < 0
    assert np.linalg.eigvalsh(model.step_terms(theta, data)[2]).min() > 0


# ------------------------------------------------------------------ blocks and rows
def test_the_size_of_blocks_moves_nothing(problem, monkeypatch):
    model, data, theta = problem
    direction = np.random.default_rng(4).normal(size=theta.shape)

    def everything():
        for density in model.events:
            if not density.is_linear:
                density._last = None  # moments of the last parameters
        return [
            *model.step_terms(theta, data),
            model.hessian(theta, data),
            model.class_log_density(theta),
            model.score_along(theta, direction),
            model.reference_size(theta),
        ]

    whole = everything()
    monkeypatch.setattr(f"{DENSITIES}._SMALLEST_BLOCK", 7)
    monkeypatch.setattr(f"{DENSITIES}._BLOCK_ENTRIES", 1)
    for one, other in zip(whole, everything(), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-9)


def test_rows_that_are_left_out_are_rows_without_weight(problem):
    model, data, theta = problem
    rows = np.array([3, 4, 9, 20])
    kept = np.zeros_like(data.observed)
    kept[:, rows] = data.observed[:, rows]
    expected = None
    if data.expected is not None:
        expected = np.zeros_like(kept)
        expected[:, rows] = data.expected[:, rows]
    whole = RowData(kept, expected)
    part = RowData(kept[:, rows], None if expected is None else expected[:, rows])
    few = model.take_rows(rows)
    assert few.spans_simulations == model.spans_simulations
    np.testing.assert_allclose(few.value(theta, part), model.value(theta, whole))
    np.testing.assert_allclose(
        few.hessian(theta, part), model.hessian(theta, whole), rtol=1e-8, atol=1e-8
    )


def test_fits_of_a_batch_do_not_touch_each_other(problem):
    model, data, theta = problem
    together = model.hessian(theta, data)
    for i in range(3):
        one, at = data.take(np.array([i])), theta[i : i + 1]
        np.testing.assert_allclose(model.value(at, one), model.value(theta, data)[i])
        np.testing.assert_allclose(model.hessian(at, one)[0], together[i], rtol=1e-8)


def test_a_density_that_is_not_positive_is_refused(event_table):
    table = event_table(n_rows=25)
    model = LinearForm().build(table, DirichletPrior(1.0))
    theta = np.zeros((2, model.n_params))
    theta[:, 0] = [5.0, 0.5]
    value = model.value(theta, RowData(table.row_weight[:2]))
    assert value[0] == -np.inf
    assert np.isfinite(value[1])


def test_the_effective_reference_is_at_most_the_reference(event_table, choice):
    table = event_table(n_rows=25)
    table = replace(table, reference_weight=np.full(40, 1 / 40))
    model = choice[0].build(table, choice[1])
    size = model.reference_size(_point(model))
    assert size.shape == (3,)
    assert (size > 1).all()
    assert (size <= 40).all()


# ------------------------------------------------------------------ single precision
@pytest.mark.parametrize("name", ["shrinkage", "linear"])
def test_single_precision_of_the_reference_moves_kappa_by_nothing(
    event_table, monkeypatch, name
):
    """Beyond 50 000 reference rows: a thousandth of a sigma is allowed."""
    form, prior = CHOICES[name]
    table = event_table(n_reference=50_001, n_rows=3000, n_datasets=1, seed=5)
    table = replace(table, row_weight=np.ones((1, 3000)))
    data = RowData(table.row_weight)
    kappa, std = [], []
    for many in (50_000, 100_000):
        monkeypatch.setattr(f"{DENSITIES}._SINGLE_ABOVE", many)
        model = form.build(table, prior)
        if name == "shrinkage":
            assert (model.rounding(data) > 0) == (many == 50_000)
        fit = maximise(model, model.start(1), data)
        assert fit.converged.all()
        kappa.append(fit.theta[0, 0])
        covariance = np.linalg.inv(-model.hessian(fit.theta, data)[0])
        std.append(np.sqrt(covariance[0, 0]))
    assert kappa[0] == pytest.approx(kappa[1], abs=1e-3 * std[1])
    assert std[0] == pytest.approx(std[1], rel=1e-3)
