"""A mixture on a device has the numbers of NumPy, by the same functions."""

import copy

import numpy as np
import pytest
import torch
from few_as_many import work_in_pieces
from tensors_only import tensors_only

from sktamm._arrays import namespace_on
from sktamm.mixture import (
    DirichletPrior,
    ExponentialForm,
    LinearForm,
    MixtureModel,
    RowData,
    ShrinkagePrior,
    _event_densities,
    placed,
)
from sktamm.mixture._densities import ExponentialDensity, LinearDensity
from sktamm.mixture._event_densities import _SINGLE_ABOVE, EventDensity
from sktamm.mixture._made_rows import MadeRows
from sktamm.mixture._model import Block
from sktamm.mixture._penalties import (
    DirichletPenalty,
    GaussianPenalty,
    RidgePenalty,
    StackedPenalty,
    StudentPenalty,
)

ROWS, SIZE, FITS = 20, 4, 5
PRECISION = np.eye(SIZE) + 0.1
PENALTIES = {
    "gaussian": GaussianPenalty(PRECISION),
    "ridge": RidgePenalty(PRECISION),
    "student": StudentPenalty(PRECISION, 4.0),
    "stacked": StackedPenalty(
        [(3, StudentPenalty(np.eye(3), 5.0)), (1, GaussianPenalty(np.eye(1)))]
    ),
    "dirichlet": DirichletPenalty(np.linspace(0.5, 2.0, SIZE + 1)),
}
METHODS = ["value", "value_and_gradient", "step_terms", "hessian"]
ON = [pytest.param("torch"), pytest.param("cuda", marks=pytest.mark.gpu)]


def binned(penalty, n_classes=3, seed=0):
    """A mixture of bins, the prior the same for every class."""
    rng = np.random.default_rng(seed)
    weight = rng.dirichlet(np.full(ROWS, 5.0))
    densities, blocks = [], []
    for c in range(n_classes):
        centre = 1.5 * np.cos(c + np.linspace(0, 3, ROWS))
        if isinstance(penalty, DirichletPenalty):
            logs = centre[:, None] + 0.4 * rng.normal(size=(ROWS, SIZE + 1))
            densities.append(LinearDensity(np.exp(logs) / (weight @ np.exp(logs))))
        else:
            d = 0.2 * rng.normal(size=(ROWS, SIZE))
            densities.append(ExponentialDensity(centre, d, centre, d, weight))
        blocks.append(Block(c * SIZE + np.arange(SIZE), penalty))
    return MixtureModel(densities, blocks, n_classes - 1, weight)


def points(model, n_rows, expected=False, seed=1):
    """Parameters and data of some fits; the last is outside of all densities."""
    rng = np.random.default_rng(seed)
    theta = model.start(FITS) + 0.1 * rng.normal(size=(FITS, model.n_params))
    theta[-1, 0] = -5.0
    observed = rng.integers(0, 50, (FITS, n_rows)).astype(float)
    mean = rng.uniform(10.0, 40.0, observed.shape) if expected else None
    return theta, RowData(observed, mean)


def of(model, method, theta, data):
    answer = getattr(model, method)(theta, data)
    return answer if isinstance(answer, tuple) else (answer,)


def assert_same(model, theta, data, device, method, tolerance=1e-10):
    """Everything that a method answers, to a share of its largest number."""
    expected = of(model, method, theta, data)
    with tensors_only():
        found = of(placed(model, namespace_on(device)), method, theta, data)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert type(one) is np.ndarray
        finite = np.isfinite(other)
        np.testing.assert_array_equal(np.isfinite(one), finite)
        error = np.abs(one[finite] - other[finite]).max()
        assert error <= tolerance * np.abs(other[finite]).max()


@pytest.mark.parametrize("device", ON)
@pytest.mark.parametrize("expected", [False, True])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES.keys())
def test_bins_have_the_numbers_of_numpy(penalty, method, expected, device):
    model = binned(penalty)
    theta, data = points(model, ROWS, expected)
    assert_same(model, theta, data, device, method)
    assert not np.isfinite(model.value(theta, data)[-1])


def event_model(event_table, form, n_classes=2, **sizes):
    table = event_table(n_classes, n_rows=30, **sizes)
    prior = DirichletPrior() if form == "linear" else ShrinkagePrior()
    kind = LinearForm() if form == "linear" else ExponentialForm()
    return kind.build(table, prior)


@pytest.mark.parametrize("device", ON)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("form", ["linear", "exponential"])
def test_events_have_the_numbers_of_numpy(event_table, form, n_classes, method, device):
    model = event_model(event_table, form, n_classes, n_reference=3000)
    theta, data = points(model, 30, expected=True)
    assert_same(model, theta, data, device, method)


@pytest.mark.parametrize("device", ON)
@pytest.mark.parametrize("method", METHODS)
def test_events_before_a_barrier_have_them(event_table, method, device):
    model = event_model(event_table, "exponential", n_reference=3000)
    theta, data = points(model, 30)
    theta[:, 1:] *= 40.0
    assert model.meets_barrier(theta).any()
    assert not model.meets_barrier(theta).all()
    assert_same(model, theta, data, device, method, 1e-9)


@pytest.mark.parametrize("device", ON)
@pytest.mark.parametrize("method", METHODS)
def test_many_reference_rows_are_in_single_precision(event_table, method, device):
    model = event_model(event_table, "exponential", n_reference=_SINGLE_ABOVE + 1)
    assert not model.events[0].exact
    theta, data = points(model, 30)
    assert_same(model, theta, data, device, method, 1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_blocks_of_a_gpu_hold_many_rows(event_table, monkeypatch, method):
    model = event_model(event_table, "exponential", n_reference=_SINGLE_ABOVE + 1)
    theta, data = points(model, 30)
    monkeypatch.setattr(_event_densities, "on_gpu", torch.is_tensor)
    there = model.moved(namespace_on("torch")).events[0]
    assert len(there._reference_blocks(2 * FITS)) == 1
    assert len(model.events[0]._reference_blocks(2 * FITS)) > 1
    assert_same(model, theta, data, "torch", method, 1e-5)


@pytest.mark.parametrize("device", ON)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("form", ["linear", "exponential"])
def test_functions_made_in_blocks_are_whole_there(
    event_table, monkeypatch, form, method, device
):
    work_in_pieces(monkeypatch, 10, 7)
    model = event_model(event_table, form)
    assert all(isinstance(density.features, MadeRows) for density in model.events)
    theta, data = points(model, 30, expected=True)
    assert_same(model, theta, data, device, method)


@pytest.mark.parametrize("form", ["linear", "exponential"])
def test_some_rows_are_taken_on_the_device(event_table, form):
    model = event_model(event_table, form)
    theta, data = points(model, 30)
    there = placed(model, namespace_on("torch"))
    of(there, "hessian", theta, data)  # fills what densities keep
    rows = np.array([1, 4, 5, 20])
    data = RowData(data.observed[:, rows])
    expected = of(model.take_rows(rows), "step_terms", theta, data)
    with tensors_only():
        found = of(there.take_rows(rows), "step_terms", theta, data)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


def test_a_model_that_has_been_asked_moves_no_arrays_of_numpy(event_table):
    model = event_model(event_table, "exponential")
    theta, data = points(model, 30)
    model.hessian(theta, data)
    assert_same(model, theta, data, "torch", "hessian")
    for density in model.events:
        assert isinstance(density, EventDensity)
        assert type(density.transposed) is np.ndarray


def test_steps_of_bins_are_newtons_and_of_events_those_they_have(event_table):
    for model, n_rows in (
        (binned(PENALTIES["student"]), ROWS),
        (event_model(event_table, "exponential"), 30),
    ):
        theta, data = points(model, n_rows)
        information = model.step_terms(theta, data)[2]
        expected = model.newton(theta, data, information)
        found = placed(model, namespace_on("torch")).newton(theta, data, information)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found, expected, atol=1e-10 * scale)


def test_the_processor_has_the_mixture_itself():
    model = binned(PENALTIES["gaussian"])
    assert placed(model, namespace_on("cpu")) is model


def test_what_is_no_sum_is_that_of_the_mixture():
    model = binned(PENALTIES["gaussian"])
    there = placed(model, namespace_on("torch"))
    assert there.slices is model.slices
    assert there.prior_tension(model.start(2)).shape == (2,)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = there.no_such_name


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy], ids=lambda f: f.__name__)
def test_a_placed_mixture_can_be_copied(again):
    model = binned(PENALTIES["gaussian"])
    theta, data = points(model, ROWS)
    there = placed(model, namespace_on("torch"))
    copied = again(there)
    assert copied.xp is there.xp
    np.testing.assert_array_equal(copied.value(theta, data), there.value(theta, data))
