"""The batched optimiser finds what scipy finds, never falls, and says when it fails."""

import numpy as np
import pytest
from scipy import optimize

from sktamm.inference._optimise import maximise
from sktamm.mixture import MixtureModel, RowData
from sktamm.mixture._densities import ExponentialDensity, LinearDensity
from sktamm.mixture._model import Block
from sktamm.mixture._penalties import (
    DirichletPenalty,
    GaussianPenalty,
    StudentPenalty,
)

ROWS = 20
FORMS = ["linear", "gaussian", "student"]


def _model(form, n_classes=2, size=3, seed=0):
    """A model of ``size`` components or directions per class and its rows' weights."""
    rng = np.random.default_rng(seed)
    weight = rng.dirichlet(np.full(ROWS, 5.0))
    densities, blocks, start = [], [], 0
    for c in range(n_classes):
        centre = 1.5 * np.cos(c + np.linspace(0, 3, ROWS))
        if form == "linear":
            logs = centre[:, None] + 0.4 * rng.normal(size=(ROWS, size + 1))
            ratio = np.exp(logs) / (weight @ np.exp(logs))
            density, penalty = LinearDensity(ratio), DirichletPenalty(np.ones(size + 1))
        else:
            d = 0.2 * rng.normal(size=(ROWS, size))
            density = ExponentialDensity(centre, d, centre, d, weight)
            penalty = GaussianPenalty(np.eye(size))
            if form == "student":
                penalty = StudentPenalty(np.eye(size), 4.0)
        densities.append(density)
        blocks.append(Block(start + np.arange(size), penalty))
        start += size
    return MixtureModel(densities, blocks, n_classes - 1, weight)


def _data(model, n_fits=5, n_events=2000, seed=1):
    """Counts of random truths within reach of the model."""
    rng = np.random.default_rng(seed)
    theta = model.start(n_fits) + 0.3 * rng.normal(size=(n_fits, model.n_params))
    theta[:, : model.n_fractions] = 1 / model.n_classes
    mean = n_events * model.row_density(theta) * model.reference_weight
    return RowData(rng.poisson(mean).astype(float))


def _by_scipy(model, data, i, free):
    one, theta = data.take(np.array([i])), model.start(1)

    def loss(x):
        theta[0, free] = x
        value, gradient = model.value_and_gradient(theta, one)
        return -value[0], -gradient[0, free]

    found = optimize.minimize(loss, theta[0, free].copy(), jac=True, tol=1e-10)
    return -found.fun


@pytest.mark.parametrize(
    ("form", "n_classes"),
    [("linear", 2), ("gaussian", 2), ("student", 2), ("gaussian", 3), ("student", 3)],
)
def test_the_maximum_is_that_of_scipy(form, n_classes):
    model = _model(form, n_classes)
    data = _data(model)
    optimum = maximise(model, model.start(5), data)
    assert optimum.converged.all()
    everything = np.arange(model.n_params)
    expected = [_by_scipy(model, data, i, everything) for i in range(5)]
    np.testing.assert_allclose(optimum.value, expected, atol=1e-6)
    np.testing.assert_allclose(optimum.value, model.value(optimum.theta, data))
    gradient = model.value_and_gradient(optimum.theta, data)[1]
    np.testing.assert_allclose(gradient, 0.0, atol=0.05)


@pytest.mark.parametrize("form", FORMS)
def test_fixed_parameters_stay_and_the_others_reach_their_maximum(form):
    model = _model(form)
    data = _data(model)
    start = model.start(5)
    start[:, 0] = np.linspace(0.05, 0.9, 5)
    optimum = maximise(model, start, data, fixed=slice(0, 1))
    np.testing.assert_array_equal(optimum.theta[:, 0], start[:, 0])
    gradient = model.value_and_gradient(optimum.theta, data)[1]
    np.testing.assert_allclose(gradient[:, 1:], 0.0, atol=0.05)
    blends = slice(model.n_fractions, None)
    alone = maximise(model, start, data, fixed=blends)
    np.testing.assert_array_equal(alone.theta[:, blends], start[:, blends])
    free = np.arange(model.n_fractions)
    expected = [_by_scipy(model, data, i, free) for i in range(5)]
    np.testing.assert_allclose(alone.value, expected, atol=1e-6)


def test_nothing_free_is_converged_where_it_started():
    model = _model("linear")
    start = model.start(2)
    optimum = maximise(model, start, _data(model, 2), fixed=slice(0, model.n_params))
    np.testing.assert_array_equal(optimum.theta, start)
    assert optimum.converged.all()


@pytest.mark.parametrize("form", FORMS)
def test_the_likelihood_never_falls(form):
    """From any start: the value after n iterations ascends with n."""
    model = _model(form)
    data = _data(model)
    start = model.start(5)
    start[:, 1:] = 2 * np.random.default_rng(2).normal(size=start[:, 1:].shape)
    before = model.value(start, data)
    for n in range(1, 25):
        after = model.value(maximise(model, start, data, max_iter=n).theta, data)
        assert (after >= before - 1e-9).all()
        before = after


@pytest.mark.parametrize("form", FORMS)
def test_the_maximum_does_not_depend_on_the_start(form):
    model = _model(form)
    data = _data(model)
    near = maximise(model, model.start(5), data)
    start = model.start(5)
    start[:, 0] = 0.9
    start[:, 1:] = np.random.default_rng(3).normal(size=start[:, 1:].shape)
    np.testing.assert_allclose(
        maximise(model, start, data).value, near.value, atol=1e-6
    )


def test_fits_of_a_batch_do_not_touch_each_other():
    model = _model("student")
    data = _data(model)
    together = maximise(model, model.start(5), data)
    for i in range(5):
        alone = maximise(model, model.start(1), data.take(np.array([i])))
        np.testing.assert_allclose(together.theta[i], alone.theta[0], atol=1e-9)
        assert together.n_iterations[i] == alone.n_iterations[0]


def test_too_few_iterations_are_not_called_converged():
    model = _model("gaussian")
    optimum = maximise(model, model.start(5), _data(model), max_iter=2)
    assert not optimum.converged.any()
    assert (optimum.n_iterations == 2).all()


def test_a_step_out_of_the_positive_densities_is_refused():
    """Pure background with a bin that only signal fills: the edge is never crossed."""
    ratio = np.array([[[1.0], [2.0], [1e-9]], [[1.0], [0.1], [5.0]]])
    densities = [LinearDensity(r) for r in ratio]
    model = MixtureModel(densities, [], 1, np.full(3, 1 / 3))
    data = RowData(np.array([[500.0, 900.0, 1.0]]))
    optimum = maximise(model, np.array([[0.5]]), data)
    assert np.isfinite(optimum.value).all()
    assert model.row_density(optimum.theta)[0, 2] > 0
    expected = optimize.minimize_scalar(
        lambda k: -model.value(np.array([[k]]), data)[0],
        bounds=(1e-9, 0.1),
        method="bounded",
        options={"xatol": 1e-12},
    )
    np.testing.assert_allclose(optimum.value, -expected.fun, atol=1e-6)
    assert optimum.converged.all()
