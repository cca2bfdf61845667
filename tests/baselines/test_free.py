"""Referee: iminuit used directly, and the classical fit where they must agree."""

import itertools
from functools import partial

import numpy as np
import pytest
from scipy import optimize

from sktamm import BinnedTopicTAMM
from sktamm.baselines import FreeTemplates, SingleSimulation
from sktamm.baselines._free import FreeFit
from sktamm.baselines._free_descents import at, by_quadratic_programs, by_slsqp
from sktamm.baselines._free_yields import FreeYields
from sktamm.datasets import make_gaussian_study
from sktamm.exceptions import (
    ConvergenceWarning,
    IncompatibleChoiceError,
    SingleSimulationWarning,
)
from sktamm.inference._intervals import normal_quantile, ratio_intervals

iminuit = pytest.importorskip("iminuit")
cost = pytest.importorskip("iminuit.cost")

EDGES = np.linspace(-2.0, 2.0, 6)


@pytest.fixture(scope="module")
def study():
    return make_gaussian_study(
        n_simulations=3, n_events=4000, n_signal=1500, n_background=3500, random_state=2
    )


def _fill(X, weight=None):
    return np.histogram2d(*X.T, bins=[EDGES, EDGES], weights=weight)[0]


def _contents(X, weight):
    if weight is None:
        return _fill(X)
    return np.stack([_fill(X, weight), _fill(X, weight**2)], axis=-1)


def _direct(study, weight, weight_target):
    """Yields, covariance and chi2 of a template fit written down with iminuit."""
    templates = []
    for c in (1, 0):
        for k in range(3):
            rows = (study.y == c) & (study.simulation == k)
            own = None if weight is None else weight[rows]
            templates.append(_contents(study.X[rows], own))
    data = _contents(study.X_target, weight_target)
    total = len(study.X_target) if weight_target is None else weight_target.sum()
    template = cost.Template(data, (EDGES, EDGES), templates, method="da")
    minuit = iminuit.Minuit(template, *[total / 6] * 6)
    minuit.limits = (0, None)
    minuit.strategy = 2
    minuit.migrad(ncall=100_000)
    minuit.hesse()
    return np.array(minuit.values), np.array(minuit.covariance), minuit.fval


@pytest.mark.parametrize("weighted", [False, True])
def test_iminuit_used_directly_finds_the_same(study, weighted):
    """Within 2 % of the error: both stop near the minimum, not at it."""
    weight = weight_target = None
    if weighted:
        rng = np.random.default_rng(0)
        weight = rng.uniform(0.5, 1.5, len(study.X))
        weight_target = rng.uniform(0.5, 1.5, len(study.X_target))
    yields, covariance, chi2 = _direct(study, weight, weight_target)
    kappa = yields[:3].sum() / yields.sum()
    slope = ((np.arange(6) < 3) - kappa) / yields.sum()
    std = np.sqrt(slope @ covariance @ slope)
    fit = FreeTemplates(bins=[EDGES, EDGES]).fit(
        study.X, study.y, simulation=study.simulation, sample_weight=weight
    )
    result = fit.infer(study.X_target, sample_weight=weight_target, levels=[0.683])
    assert result.kappa[0] == pytest.approx(kappa, abs=0.02 * std)
    assert result.std[0] == pytest.approx(std, rel=0.1)
    inference = fit.inference_
    assert result.diagnostics["converged"][0]
    assert inference.interval == "likelihood"
    assert result.n_events[0] == pytest.approx(
        len(study.X_target) if weight_target is None else weight_target.sum()
    )
    assert 0 < result.diagnostics["goodness_of_fit"][0] < 1
    assert np.isfinite(chi2)


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
def test_two_templates_are_the_classical_fit(study):
    """Both treat statistics of templates, in ways that differ by a few per cent."""
    rows = study.simulation == 0
    X, y = study.X[rows], study.y[rows]
    with pytest.warns(SingleSimulationWarning):
        free = FreeTemplates(bins=5).fit(X, y)
    kappa, std = free.predict(study.X_target, return_std=True)
    inner = BinnedTopicTAMM(bins=5, smooth=False, inference="frequentist")
    single = SingleSimulation(inner).fit(X, y)
    other, error = single.predict(study.X_target, return_std=True)
    assert abs(kappa[0] - other[0]) < 0.3 * error[0]
    assert std[0] == pytest.approx(error[0], rel=0.2)


def test_more_templates_than_bins_are_flagged(study):
    fit = FreeTemplates(bins=2).fit(study.X, study.y, simulation=study.simulation)
    with pytest.warns(ConvergenceWarning, match="1 ended in a singular point"):
        result = fit.infer(study.X_target)
    assert "singular" in result.flags[0]
    assert np.isnan(result.diagnostics["goodness_of_fit"][0])


def test_fractions_and_probabilities_belong_together(study):
    fit = FreeTemplates(bins=5).fit(study.X, study.y, simulation=study.simulation)
    result = fit.infer(study.X_target)
    np.testing.assert_allclose(result.fractions[:, 1], result.kappa, rtol=1e-12)
    mean = fit.predict_proba(study.X_target)[:, 1].mean()
    assert mean == pytest.approx(result.kappa[0], abs=result.std[0])
    adapted = result.templates.adapted[0]
    np.testing.assert_allclose(adapted.sum(axis=1), 1.0, rtol=1e-9)
    for weights in result.weights:
        np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-9)


# ------------------------------------------------------------ the profile of kappa
SHAPES = np.exp(
    -0.5 * ((np.arange(8) - np.array([[3.0], [3.3], [4.2], [4.6]])) / 2) ** 2
)
SHAPES /= SHAPES.sum(axis=1, keepdims=True)
SIGNAL = np.array([False, False, True, True])


def _toy(kappa, seed, n_data=400, n_template=2000, weighted=False):
    """Data and templates of two simulations per class, as contents of bins."""
    rng = np.random.default_rng(seed)
    mean = (1 - kappa) * SHAPES[:2].mean(axis=0) + kappa * SHAPES[2:].mean(axis=0)
    factor = 1.5 if weighted else 1.0
    data = rng.poisson(n_data * mean)[:, None] * np.array([factor, factor**2])
    templates = rng.poisson(n_template * SHAPES)[:, :, None] * np.ones(2)
    return data, templates


def _fitted(data, templates, method="da", level=0.683):
    drop = float(normal_quantile(level) ** 2)
    return FreeFit(method).fit(data, templates, SIGNAL, drop)[0]


def _interval(curve, level):
    drop = np.array([[0.5 * normal_quantile(level) ** 2]])
    kappa = curve.yields[SIGNAL].sum() / curve.yields.sum()
    centre = np.array([kappa])
    ends = ratio_intervals(curve.kappa[None], curve.log_likelihood[None], drop, centre)
    return kappa, ends[0, :, 0]


def _brute_force(cost, total, kappa):
    """Least cost of iminuit at one kappa: a grid of both shares, then a simplex."""

    def at(u):
        u = np.asarray(u)
        a, b = np.clip(u[:2], 0.0, 1.0)
        beyond = np.abs(u[:2] - (a, b)).sum()
        background = (1 - kappa) * np.array([a, 1 - a])
        signal = kappa * np.array([b, 1 - b])
        return cost(*(total * abs(u[2]) * np.append(background, signal))) + 1e3 * beyond

    grid = itertools.product(np.linspace(0, 1, 5), np.linspace(0, 1, 5), [1.0])
    options = {"xatol": 1e-7, "fatol": 1e-9, "maxiter": 4000, "maxfev": 4000}
    return min(
        optimize.minimize(at, start, method="Nelder-Mead", options=options).fun
        for start in sorted(grid, key=at)[:2]
    )


@pytest.mark.parametrize("method", ["da", "jsc"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("kappa", "seed"), [(0.0, 5), (0.3, 2), (1.0, 1)])
def test_the_profile_is_that_of_brute_force(method, weighted, kappa, seed):
    data, templates = _toy(kappa, seed, weighted=weighted)
    curve = _fitted(data, templates, method)
    cost = iminuit.cost.Template(
        data if weighted else data[:, 0],
        np.arange(9.0),
        [t[:, 0] for t in templates],
        method=method,
    )
    points = np.linspace(0, curve.kappa.size - 1, 5).astype(int)
    total = data[:, 0].sum()
    values = [_brute_force(cost, total, k) for k in curve.kappa[points]]
    best = cost(*curve.yields)
    assert best <= min(values) + 1e-4
    fall = -2 * curve.log_likelihood[points]
    np.testing.assert_allclose(fall, np.array(values) - best, atol=2e-3)


@pytest.mark.parametrize("method", ["da", "jsc"])
def test_value_and_slope_are_those_of_iminuit(method):
    rng = np.random.default_rng(0)
    data, templates = _toy(0.2, 0, weighted=True)
    model = FreeYields.from_contents(data, templates, SIGNAL, method)
    cost = iminuit.cost.Template(
        data, np.arange(9.0), [t[:, 0] for t in templates], method=method
    )
    for _ in range(3):
        yields = rng.uniform(0.1, 0.5, 4)
        value, slope = model.value(yields)
        assert value == pytest.approx(cost(*(yields * model.total)), rel=1e-10)
        steps = 1e-6 * np.eye(4)
        ratio = [
            (model.value(yields + h)[0] - model.value(yields - h)[0]) / 2e-6
            for h in steps
        ]
        np.testing.assert_allclose(slope, ratio, rtol=1e-5)


def test_a_bin_that_only_signal_fills_excludes_zero():
    """With sharp templates the likelihood is (1/2)^a (1/2 - k/2)^b (k/2)^c."""
    low, high = [5e5, 5e5, 0.0], [5e5, 0.0, 5e5]
    templates = np.array([low, low, high, high])
    data = np.array([200.0, 197.0, 3.0])
    curve = _fitted(*(np.stack([x, x], axis=-1) for x in (data, templates)))
    kappa, interval = _interval(curve, 0.683)
    grid = np.linspace(1e-4, 0.06, 6000)
    shares = np.stack([np.full(grid.size, 0.5), 0.5 - grid / 2, grid / 2])
    fall = data @ np.log(shares)
    fall -= fall.max()
    inside = grid[fall >= -0.5 * normal_quantile(0.683) ** 2]
    assert kappa == pytest.approx(grid[fall.argmax()], rel=0.01)
    np.testing.assert_allclose(interval, inside[[0, -1]], rtol=0.01)


def _events(shapes, n_events, rng):
    """Numbers of bins as the only feature."""
    return np.concatenate([rng.choice(8, n_events, p=p) for p in shapes])[:, None]


def test_the_error_does_not_collapse_at_the_boundary():
    """A bound hides up to half of an interval, not all of it."""
    rng = np.random.default_rng(0)
    simulation, y = np.tile(np.repeat([0, 1], 2000), 2), np.repeat([0, 1], 4000)
    fit = FreeTemplates(bins=[np.arange(9) - 0.5])
    fit.fit(_events(SHAPES, 2000, rng), y, simulation=simulation)
    dataset, mean = np.repeat(np.arange(20), 400), SHAPES[:2].mean(axis=0)
    background = fit.infer(_events([mean] * 20, 400, rng), dataset=dataset)
    half = 0.5 * mean + 0.5 * SHAPES[2:].mean(axis=0)
    typical = fit.infer(_events([half] * 20, 400, rng), dataset=dataset).std.mean()
    zero = background.kappa < 1e-6
    assert zero.sum() >= 3
    assert background.std.min() > 0.25 * typical
    assert background.std.max() < 2.0 * typical
    assert (background.interval[zero, 0] == 0).all()
    assert (background.interval[:, 0] >= 0).all()
    ends = background.interval[zero, 1, 0]
    np.testing.assert_allclose(ends, background.std[zero], rtol=5e-3)
    assert background.diagnostics["at_boundary"][zero].all()
    assert (background.interval[zero, 1, 1] > 1.5 * ends).all()


def _coverage(kappa, n_toys, level=0.683):
    covered = 0
    for seed in range(n_toys):
        low, high = _interval(_fitted(*_toy(kappa, seed), level=level), level)[1]
        covered += low <= kappa <= high
    return covered / n_toys


def test_intervals_near_zero_cover():
    """Not less than .683 by three binomial errors of 40 toys."""
    assert _coverage(0.02, 40) > 0.683 - 3 * np.sqrt(0.683 * 0.317 / 40)


@pytest.mark.slow
@pytest.mark.parametrize("kappa", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("level", [0.683, 0.954])
def test_intervals_cover(kappa, level):
    """Bounded intervals cover too often near zero, never too rarely."""
    error = np.sqrt(level * (1 - level) / 200)
    assert _coverage(kappa, 200, level) > level - 3 * error


@pytest.mark.parametrize("method", ["da", "jsc"])
@pytest.mark.parametrize("seed", range(3))
def test_descents_end_where_those_of_scipy_do(method, seed):
    """Twelve templates and twelve bins: of all yields, and of given fractions."""
    rng = np.random.default_rng(seed)
    shapes = np.exp(-0.5 * ((np.arange(12) - rng.normal(5, 1, (12, 1))) / 3) ** 2)
    templates = rng.poisson(1000 * shapes / shapes.sum(axis=1, keepdims=True))
    signal = np.arange(12) >= 6
    data = rng.poisson(400 * templates[::3].mean(axis=0) / 1000)
    data, templates = (x[..., None] * np.ones(2) for x in (data, templates))
    model = FreeYields.from_contents(data, templates, signal, method)
    start = at(model, np.full(12, 1 / 12))
    for kappa in (None, 0.0, 0.3, 0.8, 1.0):
        own, other = (
            by_quadratic_programs(model, start, kappa),
            by_slsqp(model, start, kappa),
        )
        assert own.converged
        assert own.value < other.value + 1e-4
        assert (own.yields >= 0).all()
        if kappa is not None:
            assert model.fraction(own.yields) == pytest.approx(kappa, abs=1e-12)
        assert own.value == model.value(own.yields)[0]
        again = by_quadratic_programs(model, own, kappa)
        assert again.n_steps <= 2
        assert abs(again.value - own.value) < 1e-4


def test_every_local_minimum_is_followed():
    """The profile once stayed in a minimum .97 above the least, unflagged."""
    study = make_gaussian_study(n_simulations=6, n_events=4000, random_state=1)
    edges = np.linspace(study.X.min(axis=0), study.X.max(axis=0), 11).T
    fill = partial(np.histogramdd, bins=list(edges))
    templates = [
        fill(study.X[(study.y == c) & (study.simulation == k)])[0].ravel()
        for c in (0, 1)
        for k in range(6)
    ]
    data = fill(study.X_target[2::4])[0].ravel()
    data, templates = (np.asarray(x)[..., None] * np.ones(2) for x in (data, templates))
    signal = np.arange(12) >= 6
    curve = FreeFit("da").fit(data, templates, signal, 4.0)[0]
    model = FreeYields.from_contents(data, templates, signal, "da")
    rng = np.random.default_rng(0)
    starts = [at(model, y) for y in rng.dirichlet(np.ones(12), 8)]
    for i in (30, 70, 100, 130, 170):
        least = min(by_slsqp(model, s, curve.kappa[i]).value for s in starts)
        assert curve.value - 2 * curve.log_likelihood[i] < least + 0.05


def test_what_does_not_converge_is_left_to_scipy(monkeypatch):
    data, templates = _toy(0.3, 2)
    curve = _fitted(data, templates)
    monkeypatch.setattr("sktamm.baselines._free_descents._MAX_STEPS", 1)
    other = _fitted(data, templates)
    assert other.converged
    np.testing.assert_allclose(other.kappa, curve.kappa, rtol=1e-3)
    fall = curve.log_likelihood
    np.testing.assert_allclose(other.log_likelihood, fall, atol=0.02)


def test_an_unknown_method_is_refused(study):
    with pytest.raises(IncompatibleChoiceError, match="method must be a str among"):
        FreeTemplates(method="asy").fit(study.X, study.y)
