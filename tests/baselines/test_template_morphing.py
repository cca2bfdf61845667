"""Template morphing: simulations at known settings, the truth between them."""

import warnings

import numpy as np
import pytest
from scipy import optimize

from sktamm.baselines import TemplateMorphing
from sktamm.exceptions import (
    IncompatibleChoiceError,
    InvalidInputError,
    SingleSimulationWarning,
    SpanWarning,
)

SETTINGS = {"low": 0.0, "mid": 1.0, "high": 2.0}


def draw(rng, theta, n_signal, n_background, move=0.5, change=0.4):
    """A peak whose place is the setting, on a falling background."""
    signal = rng.normal(2.0 + move * theta, 0.5, n_signal)
    background = 8.0 * rng.beta(1.0, 3.0 - change * theta, n_background)
    y = np.repeat([1, 0], [n_signal, n_background])
    return np.clip(np.concatenate([signal, background]), 0.0, 7.999)[:, None], y


@pytest.fixture(scope="module")
def simulations():
    rng = np.random.default_rng(0)
    parts = [(name, *draw(rng, t, 20_000, 20_000)) for name, t in SETTINGS.items()]
    X = np.concatenate([p[1] for p in parts])
    y = np.concatenate([p[2] for p in parts])
    return X, y, np.repeat([p[0] for p in parts], 40_000)


def make(method="polynomial", **arguments):
    return TemplateMorphing(SETTINGS, method, bins=20, range=[(0.0, 8.0)], **arguments)


@pytest.mark.parametrize("method", ["polynomial", "moment"])
def test_the_fraction_is_found_between_the_simulations(simulations, method):
    X, y, simulation = simulations
    fit = make(method).fit(X, y, simulation=simulation)
    target, _ = draw(np.random.default_rng(1), 1.0, 2000, 8000)
    kappa, std = fit.predict(target, return_std=True)
    # The setting is that of a simulation: only statistics, four sigma.
    assert abs(kappa[0] - 0.2) < 4 * std[0]
    assert 0.003 < std[0] < 0.02
    assert fit.infer(target).flags == ((),)


def test_moments_follow_a_peak_that_moves_far():
    rng = np.random.default_rng(2)
    parts = [draw(rng, t, 20_000, 20_000, 1.5, 0.0) for t in SETTINGS.values()]
    X, y = (np.concatenate(values) for values in zip(*parts, strict=True))
    simulation = np.repeat(list(SETTINGS), 40_000)
    target, _ = draw(rng, 0.5, 4000, 6000, 1.5, 0.0)
    moment = make("moment").fit(X, y, simulation=simulation).infer(target)
    assert moment.diagnostics["goodness_of_fit"][0] > 1e-4
    assert abs(moment.kappa[0] - 0.4) < 4 * moment.std[0]
    polynomial = make().fit(X, y, simulation=simulation)
    with pytest.warns(SpanWarning):
        failed = polynomial.infer(target)
    assert failed.diagnostics["goodness_of_fit"][0] < 1e-12


def test_one_simulation_is_the_classical_fit(simulations):
    X, y, simulation = simulations
    own = simulation == "mid"
    target, _ = draw(np.random.default_rng(3), 1.0, 2000, 8000)
    fit = TemplateMorphing(bins=20, range=[(0.0, 8.0)])
    with pytest.warns(SingleSimulationWarning):
        fit.fit(X[own], y[own])
    kappa, std = fit.predict(target, return_std=True)
    edges = np.linspace(0.0, 8.0, 21)
    clipped = np.clip([target[:, 0]], 0.0, 8.0 - 1e-9)[0]
    data = np.histogram(clipped, edges)[0]
    shapes = [
        np.histogram(np.clip(X[own & (y == c), 0], 0.0, 8.0 - 1e-9), edges)[0]
        for c in (0, 1)
    ]
    b, s = (shape / shape.sum() for shape in shapes)
    found = optimize.minimize_scalar(
        lambda k: -data @ np.log(k * s + (1 - k) * b), bounds=(0, 1), method="bounded"
    )
    assert kappa[0] == pytest.approx(found.x, abs=1e-4)
    share = found.x * s + (1 - found.x) * b
    of_data = (data @ ((s - b) / share) ** 2) ** -0.5
    of_templates = fit.infer(target).diagnostics["std_templates"][0]
    assert std[0] == pytest.approx(np.hypot(of_data, of_templates), rel=1e-3)


@pytest.mark.parametrize(
    ("method", "settings"),
    [("polynomial", None), ("polynomial", SETTINGS), ("moment", SETTINGS)],
)
def test_statistics_of_the_templates_are_in_the_error(method, settings):
    """Small simulations: their scatter moves kappa as far as the error says."""
    n_draws, rng = 80, np.random.default_rng(6)
    target, _ = draw(rng, 1.0, 20_000, 80_000)
    names = list(SETTINGS) if settings else ["mid"]
    kappa, std = np.empty(n_draws), np.empty(n_draws)
    for i in range(n_draws):
        parts = [draw(rng, SETTINGS[name], 500, 500) for name in names]
        X, y = (np.concatenate(values) for values in zip(*parts, strict=True))
        fit = TemplateMorphing(settings, method, bins=8, range=[(0.0, 8.0)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = fit.fit(X, y, simulation=np.repeat(names, 1000)).infer(target)
        kappa[i], std[i] = result.kappa[0], result.diagnostics["std_templates"][0]
    # The relative error of a standard deviation of n draws is (2 n)^-1/2; three of
    # them, and non-linear effects of small templates.
    expected = np.sqrt((std**2).mean())
    assert kappa.std() == pytest.approx(expected, rel=3 / np.sqrt(2 * n_draws) + 0.05)


def test_probabilities_and_many_datasets(simulations):
    X, y, simulation = simulations
    fit = make().fit(X, y, simulation=simulation)
    target, labels = draw(np.random.default_rng(4), 1.5, 1000, 2000)
    dataset = np.random.default_rng(5).integers(2, size=3000)
    assert fit.predict(target, dataset=dataset).shape == (2,)
    probability = fit.predict_proba(target)
    assert probability[labels == 1, 1].mean() > probability[labels == 0, 1].mean()


def test_refusals(simulations):
    X, y, simulation = simulations
    with pytest.raises(InvalidInputError, match="not of 'mid'"):
        TemplateMorphing({"low": 0, "high": 1}, bins=4).fit(X, y, simulation=simulation)
    with pytest.raises(InvalidInputError, match="leave open"):
        make(max_power=3).fit(X, y, simulation=simulation)
    with pytest.raises(IncompatibleChoiceError, match="method must be a str among"):
        make("spline").fit(X, y, simulation=simulation)
    pairs = {"low": (0, 0), "mid": (1, 0), "high": (0, 1)}
    with pytest.raises(InvalidInputError, match="one number per simulation"):
        TemplateMorphing(pairs, "moment").fit(X, y, simulation=simulation)


@pytest.mark.parametrize("method", ["polynomial", "moment"])
def test_a_fraction_of_zero_has_an_error(simulations, method):
    """Settings of a class without events are nobody's; the rest has its curvature."""
    X, y, simulation = simulations
    fit = make(method).fit(X, y, simulation=simulation)
    rng = np.random.default_rng(5)
    target = np.concatenate([draw(rng, 1.0, 0, 400)[0] for _ in range(10)])
    result = fit.infer(target, dataset=np.repeat(np.arange(10), 400))
    some = np.concatenate([draw(rng, 1.0, 40, 360)[0] for _ in range(10)])
    typical = fit.infer(some, dataset=np.repeat(np.arange(10), 400)).std.mean()
    zero = result.kappa < 1e-6
    assert zero.sum() >= 3
    assert (result.std > 0.3 * typical).all()
    assert (result.std < 3.0 * typical).all()
    assert result.diagnostics["at_boundary"][zero].all()
    assert not result.diagnostics["singular"].any()
