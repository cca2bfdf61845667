"""The mixture: analytic derivatives are numerical ones, for every form and class."""

import numpy as np
import pytest

from sktamm.base import ComponentTable, Simulations
from sktamm.mixture import (
    DirichletPrior,
    ExponentialForm,
    LinearForm,
    MixtureModel,
    RowData,
    ShrinkagePrior,
    SimulationsPrior,
)
from sktamm.mixture._densities import LinearDensity

STEP = 1e-5
CHOICES = {
    "linear": (LinearForm(), DirichletPrior(1.5)),
    "simulations": (ExponentialForm(), SimulationsPrior()),
    "shrinkage": (ExponentialForm(), ShrinkagePrior()),
}


def _orthonormal(values, weight):
    root = np.sqrt(weight)[:, None]
    axes = np.linalg.qr(np.hstack([root, root * values]))[0]
    return axes[:, 1:] / root


def make_table(n_classes=2, sizes=(3, 4, 2), binned=True, positive=None, seed=0):
    """Random densities on reference rows, and rows that differ unless binned."""
    rng = np.random.default_rng(seed)
    n_reference, n_rows = 12, 12 if binned else 9
    classes = np.repeat(np.arange(n_classes), sizes[:n_classes])
    weight = rng.dirichlet(np.full(n_reference, 5.0))
    reference = 0.5 * rng.normal(size=(n_reference, classes.size))
    reference -= np.log(weight @ np.exp(reference))
    basis = _orthonormal(rng.normal(size=(n_reference, 2)), weight)
    rows, row_basis = reference, basis
    if not binned:
        rows = 0.5 * rng.normal(size=(n_rows, classes.size))
        row_basis = rng.normal(size=(n_rows, 2))
    counts = rng.integers(1, 50, (3, n_rows)).astype(float)
    simulations = Simulations(
        rows, reference, None, classes, np.arange(classes.size), np.eye(classes.size),
        False,
    )  # fmt: skip
    return ComponentTable(
        log_ratio=rows,
        row_weight=counts,
        row_variance=counts,
        reference_log_ratio=reference,
        reference_weight=weight,
        component_class=classes,
        n_classes=n_classes,
        positive=n_classes - 1 if positive is None else positive,
        simulations=simulations,
        basis=row_basis,
        reference_basis=basis,
        relative_variance=None,
        binned=binned,
    )


@pytest.fixture(params=CHOICES.values(), ids=CHOICES.keys())
def choice(request):
    return request.param


@pytest.fixture(params=[2, 3])
def n_classes(request):
    return request.param


@pytest.fixture(params=[True, False], ids=["binned", "unbinned"])
def binned(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["multinomial", "poisson"])
def problem(request, choice, n_classes, binned):
    """Model, data with or without the expected term, and a feasible point."""
    table = make_table(n_classes, binned=binned)
    model = choice[0].build(table, choice[1])
    rng = np.random.default_rng(1)
    expected = rng.uniform(1, 30, table.row_weight.shape) if request.param else None
    theta = 0.3 * rng.normal(size=(3, model.n_params))
    theta[:, : model.n_fractions] = rng.uniform(0.1, 0.4, (3, model.n_fractions))
    return model, RowData(table.row_weight, expected), theta


def _differences(function, theta):
    columns = []
    for j in range(theta.shape[1]):
        step = STEP * np.eye(theta.shape[1])[j]
        columns.append((function(theta + step) - function(theta - step)) / (2 * STEP))
    return np.stack(columns, axis=-1)


def test_gradient_is_numerical(problem):
    model, data, theta = problem
    expected = _differences(lambda t: model.value(t, data), theta)
    value, gradient = model.value_and_gradient(theta, data)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-5)
    np.testing.assert_array_equal(value, model.value(theta, data))


def test_hessian_is_numerical(problem):
    model, data, theta = problem
    expected = _differences(lambda t: model.value_and_gradient(t, data)[1], theta)
    hessian = model.hessian(theta, data)
    np.testing.assert_allclose(hessian, expected, rtol=1e-6, atol=1e-4)
    np.testing.assert_allclose(hessian, hessian.swapaxes(1, 2), rtol=1e-9, atol=1e-9)


def test_row_scores_are_numerical(problem):
    model, _, theta = problem
    expected = _differences(lambda t: np.log(model.row_density(t)), theta)
    np.testing.assert_allclose(model.row_scores(theta), expected, atol=1e-7)


def test_step_terms_repeat_value_and_gradient(problem):
    model, data, theta = problem
    value, gradient, information = model.step_terms(theta, data)
    np.testing.assert_array_equal(value, model.value(theta, data))
    np.testing.assert_array_equal(gradient, model.value_and_gradient(theta, data)[1])
    assert (np.linalg.eigvalsh(information) > 0).all()


def test_a_batch_of_one_is_its_member(problem):
    model, data, theta = problem
    for i in range(3):
        one, at = data.take(np.array([i])), theta[i : i + 1]
        np.testing.assert_allclose(model.value(at, one), model.value(theta, data)[i])
        np.testing.assert_allclose(
            model.hessian(at, one)[0], model.hessian(theta, data)[i], rtol=1e-9
        )


def test_the_prior_adds_to_the_likelihood(problem):
    model, data, theta = problem
    total = model.log_likelihood(theta, data) + model.log_prior(theta)
    np.testing.assert_allclose(model.value(theta, data), total)


def test_the_binned_mixture_is_normalised(choice, n_classes):
    """Sum_i m_i p_i = 1 for any fractions, negative ones too."""
    table = make_table(n_classes)
    model = choice[0].build(table, choice[1])
    theta = np.random.default_rng(2).normal(size=(5, model.n_params))
    total = model.row_density(theta) @ table.reference_weight
    np.testing.assert_allclose(total, 1.0)


@pytest.mark.parametrize("positive", [0, 1, 2])
def test_kappa_is_the_fraction_of_the_positive_class(positive, choice):
    table = make_table(3, positive=positive)
    model = choice[0].build(table, choice[1])
    theta = model.start(2)
    theta[:, 0] = 0.9
    fractions = model.fractions(theta)
    np.testing.assert_allclose(fractions[:, positive], 0.9)
    np.testing.assert_allclose(fractions.sum(axis=1), 1.0)


def test_the_choice_of_the_positive_class_moves_no_density(choice):
    """The same fractions give the same mixture, whichever is called kappa."""
    densities = []
    for positive in range(3):
        model = choice[0].build(make_table(3, positive=positive), choice[1])
        theta = model.start(1)
        fractions = np.array([0.5, 0.3, 0.2])
        theta[:, : model.n_fractions] = fractions[model.free_classes]
        densities.append(model.row_density(theta)[0])
    np.testing.assert_allclose(densities[0], densities[1])
    np.testing.assert_allclose(densities[0], densities[2])


@pytest.mark.parametrize("counts", [[5.0, 5.0], [5.0, 0.0]])
def test_a_density_that_is_not_positive_is_refused(counts):
    ratio = np.array([[1.9], [0.1]])
    densities = [LinearDensity(ratio[::-1]), LinearDensity(ratio)]
    model = MixtureModel(densities, [], 1, np.array([0.5, 0.5]))
    value = model.value(np.array([[1.2], [1.0]]), RowData(np.array([counts, counts])))
    assert value[0] == -np.inf
    assert np.isfinite(value[1])


def test_statistical_variance_adds_the_classes_in_quadrature():
    rng = np.random.default_rng(3)
    ratios = np.exp(rng.normal(size=(2, 6, 1)))
    errors = rng.uniform(0.01, 0.02, (2, 6, 1))
    densities = [LinearDensity(r, v) for r, v in zip(ratios, errors, strict=True)]
    model = MixtureModel(densities, [], 1, np.full(6, 1 / 6))
    parts = np.array([0.7, 0.3])[:, None] * ratios[:, :, 0]
    expected = (parts**2 * errors[:, :, 0]).sum(axis=0) / parts.sum(axis=0) ** 2
    actual = model.statistical_variance(np.array([[0.3]]))[0]
    np.testing.assert_allclose(actual, expected)
