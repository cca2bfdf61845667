"""Draws and fits on a device: the numbers of NumPy from the same functions."""

import sys

import numpy as np
import played_again
import pytest
from monte_carlo_errors import mcse_mean, mcse_sd
from scipy import stats
from tensors_only import tensors_only

from sktamm import BinnedTopicTAMM, TAMMRegressor, _arrays
from sktamm._arrays import namespace_on, to_numpy
from sktamm._numerics import softmax
from sktamm.components import TemplateComponents
from sktamm.datasets import make_gaussian_study
from sktamm.exceptions import InvalidParameterError
from sktamm.inference import BayesianInference, FrequentistInference, _leapfrog
from sktamm.inference._hmc import HamiltonianSampler
from sktamm.inference._optimise import maximise
from sktamm.inference._parameter_draws import parameter_draws
from sktamm.inference._sampling import sample_posterior
from sktamm.inference._simplex import OnSimplex
from sktamm.inference._targets import free_fractions, posterior_space
from sktamm.mixture import MixtureModel, RowData, placed
from sktamm.mixture._densities import ExponentialDensity, LinearDensity
from sktamm.mixture._model import Block
from sktamm.mixture._penalties import DirichletPenalty, StudentPenalty

BINS, DATASETS = 12, 3
X = np.linspace(-1.0, 1.0, BINS)
ON = [pytest.param("torch"), pytest.param("cuda", marks=pytest.mark.gpu)]
on_each_device = pytest.mark.parametrize("device", ON)


def linear(alpha, n_classes=2):
    """Three templates per class."""
    densities, blocks = [], []
    for c in range(n_classes):
        shapes = [softmax(2.0 * c * X + t * X**2) for t in (-1.0, 0.0, 1.0)]
        densities.append(LinearDensity(BINS * np.transpose(shapes)))
        prior = DirichletPenalty(np.full(3, alpha))
        blocks.append(Block(2 * c + np.arange(2), prior))
    return MixtureModel(densities, blocks, n_classes - 1, np.full(BINS, 1.0 / BINS))


def exponential():
    """Two directions per class."""
    densities, blocks, weight = [], [], np.full(BINS, 1.0 / BINS)
    directions = 0.2 * np.stack([X**2, X**3], axis=1)
    for c in range(2):
        offset = 2.0 * c * X
        density = ExponentialDensity(offset, directions, offset, directions, weight)
        densities.append(density)
        blocks.append(Block(2 * c + np.arange(2), StudentPenalty(np.eye(2), 5.0)))
    return MixtureModel(densities, blocks, 1, weight)


MODELS = {
    "flat": linear(1.0),
    "peaked": linear(0.4),
    "three classes": linear(1.5, 3),
    "exponential": exponential(),
}
each_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())


def rows_of(model, poisson=False, scale=1.0, seed=7):
    rng = np.random.default_rng(seed)
    p = model.row_density(model.start(DATASETS)) / BINS
    observed = scale * rng.poisson(300.0 * p).astype(float)
    return RowData(observed, np.full_like(observed, 25.0) if poisson else None)


def space_of(model, rows, device):
    """Coordinates about the modes, which NumPy finds."""
    simplex = OnSimplex(model)
    modes = maximise(simplex, simplex.start(DATASETS), rows).theta
    there = placed(model, namespace_on(device))
    return posterior_space(there, rows, simplex.theta(modes))


def positions(space, n_chains=5):
    shape = (DATASETS, n_chains, space.start.shape[1])
    noise = np.random.default_rng(6).normal(size=shape)
    return space.start[:, None] + 1.5 * noise


@on_each_device
@each_model
@pytest.mark.parametrize("poisson", [False, True])
def test_densities_and_gradients_are_those_of_numpy(model, poisson, device):
    rows = rows_of(model, poisson)
    position = positions(space_of(model, rows, "cpu"))
    expected = space_of(model, rows, "cpu").target(np.arange(DATASETS))(position)
    with tensors_only():
        space = space_of(model, rows, device)
        xp = space.model.xp
        found = space.target(np.arange(DATASETS))(xp.asarray(position))
        found = [to_numpy(values) for values in found]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)


@on_each_device
@pytest.mark.parametrize("scale", [1.0, 1e6, np.array([[1.0], [1e6], [1.0]])])
def test_gradients_alone_have_few_digits_where_events_are_few(scale, device):
    model = MODELS["peaked"]
    rows = rows_of(model, scale=scale)
    position = positions(space_of(model, rows, "cpu"))
    every = np.arange(DATASETS)
    exact = space_of(model, rows, "cpu").target(every)(position)[1]
    with tensors_only():
        space = space_of(model, rows, device)
        found = space.target(every).gradient(space.model.xp.asarray(position))
        found = to_numpy(found)
    error = np.abs(found - exact).max(axis=(1, 2)) / np.abs(exact).max(axis=(1, 2))
    rough = np.broadcast_to(np.ravel(scale) < 10.0, DATASETS)
    assert (error < np.where(rough, 1e-4, 1e-10)).all()
    assert (error[rough] > 1e-9).all()


def sampler_of(model, rows, device):
    space = space_of(model, rows, device)
    return HamiltonianSampler(
        space.target(np.arange(DATASETS)),
        space.start,
        space.covariance,
        [np.random.default_rng([i, 4]) for i in range(DATASETS)],
        n_leapfrog=space.n_leapfrog,
        xp=space.model.xp,
    )


@on_each_device
@each_model
def test_a_trajectory_ends_where_that_of_numpy_does(model, device):
    """Few events are in single precision, so that many stand for the algorithm."""
    rows = rows_of(model, scale=2e3)
    here = sampler_of(model, rows, "cpu")
    probability = here._transition()[0]
    with tensors_only():
        there = sampler_of(model, rows, device)
        found = there._transition()[0]
        state = [to_numpy(values) for values in vars(there._state).values()]
    np.testing.assert_allclose(found, probability, atol=1e-6)
    for one, other in zip(state, vars(here._state).values(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-8)
    started = sampler_of(model, rows, "cpu")._state.position
    assert (np.abs(here._state.position - started).max(axis=2) > 0.0).mean() > 0.5


@each_model
@pytest.mark.parametrize("poisson", [False, True])
@pytest.mark.parametrize("scale", [1.0, 2e3, np.array([[1.0], [1e6], [1.0]])])
def test_steps_that_are_played_again_are_those_of_the_target(
    monkeypatch, model, poisson, scale
):
    """As a GPU does it: what depends on numbers, or is sent there, cannot be played."""
    rows = rows_of(model, poisson, scale)
    expected, played = (sampler_of(model, rows, "torch") for _ in range(2))
    for _ in range(4):  # of different lengths and step sizes
        expected._transition()
        with monkeypatch.context() as patch:
            patch.setattr(_leapfrog, "recorded", played_again.recorded)
            played._transition()
    for one, other in zip(
        vars(played._state).values(), vars(expected._state).values(), strict=True
    ):
        np.testing.assert_array_equal(to_numpy(one), to_numpy(other))
    assert played._leapfrog.step.__name__ == "replay"


@on_each_device
@pytest.mark.parametrize("name", ["peaked", "exponential"])
def test_chains_have_the_same_posterior(name, device):
    """Mean and deviation of kappa within four Monte Carlo errors of the difference."""
    model = MODELS[name]
    rows = rows_of(model)

    def draws(device):
        space = space_of(model, rows, device)
        return sample_posterior(
            space.target,
            space.start,
            space.covariance,
            np.random.SeedSequence(3).spawn(DATASETS),
            monitor=lambda position: free_fractions(model, position),
            batch_size=2,
            n_chains=6,
            n_warmup=60,
            n_draws=40,
            min_ess=np.inf,  # so that chains go on once
            max_draws=80,
            n_leapfrog=space.n_leapfrog,
            target_acceptance=space.target_acceptance,
            xp=space.model.xp,
        )

    here = draws("cpu")
    there = draws(device)
    for one, other in zip(here.values, there.values, strict=True):
        one, other = one[None, ..., 0], other[None, ..., 0]
        error = np.hypot(mcse_mean(one)[0], mcse_mean(other)[0])
        assert abs(one.mean() - other.mean()) < 4.0 * error
        error = np.hypot(mcse_sd(one)[0], mcse_sd(other)[0])
        assert abs(one.std() - other.std()) < 4.0 * error


@on_each_device
@each_model
def test_modes_are_those_of_numpy(model, device):
    rows = rows_of(model)
    for on_simplex in (False, True):
        with tensors_only():
            there = placed(model, namespace_on(device))
            found = mode(there, rows, on_simplex)
        expected = mode(model, rows, on_simplex)
        np.testing.assert_allclose(found.theta, expected.theta, atol=1e-6)
        np.testing.assert_allclose(found.value, expected.value, atol=1e-8)
        scale = np.abs(expected.information).max()
        np.testing.assert_allclose(
            found.information, expected.information, atol=1e-6 * scale
        )


def mode(model, rows, on_simplex):
    objective = OnSimplex(model) if on_simplex else model
    return maximise(objective, objective.start(DATASETS), rows, tol=1e-12)


@on_each_device
def test_data_move_once_per_fit(monkeypatch, device):
    model = MODELS["flat"]
    there, rows = placed(model, namespace_on(device)), rows_of(model)
    sizes = []

    def counted(self, values, dtype=None):
        if isinstance(values, np.ndarray):
            sizes.append(values.shape)
        return asarray(self, values, dtype)

    asarray = _arrays.TorchNamespace.asarray
    monkeypatch.setattr(_arrays.TorchNamespace, "asarray", counted)
    found = maximise(OnSimplex(there), np.zeros((DATASETS, model.n_params)), rows)
    assert found.n_iterations.max() > 2
    assert sizes.count((DATASETS, BINS)) == 1


# --------------------------------------------------------------- through estimators
STUDY = make_gaussian_study(n_simulations=4, n_events=2000, random_state=0)
SHORT = {"n_chains": 6, "n_warmup": 40, "n_draws": 40, "min_ess": 100}


def fitted(inference, form):
    if form == "linear":
        tamm = BinnedTopicTAMM(inference=inference, bins=8, random_state=0)
    else:
        components = TemplateComponents(bins=8)
        tamm = TAMMRegressor(
            components, "exponential", "shrinkage", inference, random_state=0
        )
    return tamm.fit(STUDY.X, STUDY.y, simulation=STUDY.simulation)


def estimated(inference, form):
    tamm = fitted(inference, form)
    return tamm.infer(STUDY.X_target, dataset=np.arange(len(STUDY.X_target)) % 2)


@on_each_device
@pytest.mark.parametrize("form", ["linear", "exponential"])
@pytest.mark.parametrize("kind", [FrequentistInference, BayesianInference])
def test_results_are_those_of_numpy(kind, form, device):
    settings = {"method": "laplace"} if kind is BayesianInference else {}
    expected = estimated(kind(**settings), form)
    with tensors_only():
        found = estimated(kind(device=device, **settings), form)
    for name in ("kappa", "std", "interval"):
        one, other = getattr(found, name), getattr(expected, name)
        error = np.abs(one - other) / expected.std.max()
        assert error.max() < 1e-4
    assert set(found.diagnostics) == set(expected.diagnostics)
    for name, other in expected.diagnostics.items():
        if name == "n_iterations":
            continue
        one = np.asarray(found.diagnostics[name], float)
        np.testing.assert_allclose(one, np.asarray(other, float), rtol=2e-3, atol=1e-6)


@on_each_device
def test_sampled_results_are_those_of_numpy(device):
    expected = estimated(BayesianInference("hmc", **SHORT), "linear")
    found = estimated(BayesianInference("hmc", device=device, **SHORT), "linear")
    assert not found.diagnostics["poor_sampling"].any()
    limit = 4.0 * np.sqrt(2.0 / 100.0)  # errors of two means of 100 effective draws
    assert (np.abs(found.kappa - expected.kappa) < limit * expected.std).all()
    ratio = np.log(found.std / expected.std)
    assert np.abs(ratio).max() < limit
    one, other = (np.ravel(r.draws[0]) for r in (found, expected))
    assert stats.ks_2samp(one[::5], other[::5], method="asymp").pvalue > 1e-4


@pytest.mark.gpu
def test_batches_of_chains_may_run_in_threads():
    def draws(n_jobs):
        inference = BayesianInference("hmc", batch_size=1, device="cuda", **SHORT)
        tamm = fitted(inference, "linear").set_params(n_jobs=n_jobs)
        dataset = np.arange(len(STUDY.X_target)) % 3
        return tamm.infer(STUDY.X_target, dataset=dataset)

    one, two = draws(1), draws(3)
    limit = 4.0 * np.sqrt(2.0 / 100.0)
    assert (np.abs(one.kappa - two.kappa) < limit * one.std).all()


@on_each_device
@pytest.mark.parametrize(
    ("inference", "tolerance"),
    [
        (BayesianInference("laplace"), 1e-4),
        # 40 draws of six chains; 400 normal ones, of eigenvectors that rounding turns
        (BayesianInference("hmc", **{**SHORT, "max_draws": 40}), 1.0),
        (FrequentistInference(), 0.3),
    ],
    ids=["laplace", "hmc", "frequentist"],
)
def test_draws_of_all_parameters_are_those_of_numpy(inference, tolerance, device):
    tamm = fitted(inference, "linear")
    table, _ = tamm.tabulate(STUDY.X_target, None, None)
    model, answer = tamm.solve(table, np.array([0.683]))

    def draws(device):
        inference = tamm.inference_.set_params(device=device)
        seed = np.random.SeedSequence(2)
        arguments = inference, table, model, answer, 400
        return parameter_draws(*arguments, bounded=True, seed=seed)

    here, there = draws("cpu"), draws(device)
    assert (here != there).any()
    difference = (there.mean(axis=0) - here.mean(axis=0)) / here.std(axis=0)
    assert np.abs(difference).max() < tolerance


@pytest.mark.parametrize("verb", ["infer", "maxima"])
def test_the_device_is_where_sums_are(monkeypatch, verb):
    tamm = fitted(FrequentistInference(device="torch"), "exponential")
    table, _ = tamm.tabulate(STUDY.X_target, None, None)
    asked = []

    def counted(self, theta, data):
        asked.append(type(theta).__name__)
        return step_terms(self, theta, data)

    step_terms = MixtureModel.step_terms
    monkeypatch.setattr(MixtureModel, "step_terms", counted)
    if verb == "infer":
        tamm.solve(table, np.array([0.683]))
    else:
        model = tamm.form_.build(table, tamm.prior_)
        list(tamm.inference_.maxima(table, model, bounded=False))
    assert asked
    assert set(asked) == {"Tensor"}


# --------------------------------------------------------------------------- errors
@pytest.mark.parametrize("kind", [FrequentistInference, BayesianInference])
def test_a_device_that_is_not_there_is_refused_in_one_sentence(monkeypatch, kind):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InvalidParameterError) as refused:
        kind(device="cuda").check()  # before anything is fitted
    assert str(refused.value) == (
        "device must be 'cpu' or 'torch' where there is no CUDA device, got 'cuda'."
    )


@pytest.mark.parametrize("kind", [FrequentistInference, BayesianInference])
def test_an_unknown_device_is_refused_by_name(kind):
    with pytest.raises(InvalidParameterError, match="device must be"):
        kind(device="tpu").check()


def test_without_torch_only_numpy_is_left(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(_arrays, "_torch_on", _arrays.TorchNamespace)
    assert namespace_on("cpu") is np
    with pytest.raises(InvalidParameterError, match="PyTorch is not installed"):
        namespace_on("cuda")
