"""Laplace's integrals over the blends say when they are wrong, and are quiet if not."""

import numpy as np
import pytest

from sktamm import BinnedTopicTAMM
from sktamm.exceptions import SamplingWarning
from sktamm.inference import BayesianInference, _bayesian
from sktamm.inference._base import local_fit
from sktamm.inference._curve import kappa_curve
from sktamm.inference._data import FitData
from sktamm.inference._intervals import density_moments
from sktamm.inference._laplace_error import _rule, laplace_error
from sktamm.inference._optimise import maximise
from sktamm.mixture import MixtureModel, RowData
from sktamm.mixture._densities import LinearDensity
from sktamm.mixture._model import Block
from sktamm.mixture._penalties import DirichletPenalty

_X = np.linspace(-1.0, 1.0, 12)
_LOGS = np.stack([-0.8 * _X, 1.5 * _X - _X**2])
SHAPES = np.exp(_LOGS) / np.exp(_LOGS).sum(axis=1, keepdims=True)
REFERENCE = SHAPES.mean(axis=0)


def _two_signals(concentration, tilt):
    """The signal is a blend of two templates: one parameter, its log ratio.

    Its prior falls as exp(-concentration |log ratio|), far from a normal if that is
    small and the data say little.
    """
    logs = np.stack([_LOGS[1] + tilt * _X, _LOGS[1] - tilt * _X], axis=1)
    pair = np.exp(logs) / np.exp(logs).sum(axis=0)
    densities = [
        LinearDensity((SHAPES[0] / REFERENCE)[:, None]),
        LinearDensity(pair / REFERENCE[:, None]),
    ]
    blocks = [
        Block(np.arange(0), DirichletPenalty(np.ones(1))),
        Block(np.arange(1), DirichletPenalty(np.full(2, concentration))),
    ]
    return MixtureModel(densities, blocks, 1, REFERENCE)


def _many_signals(n_templates):
    """The signal is a blend of templates that are all alike."""
    background, signal = SHAPES / REFERENCE
    densities = [
        LinearDensity(background[:, None]),
        LinearDensity(np.repeat(signal[:, None], n_templates, axis=1)),
    ]
    blocks = [
        Block(np.arange(0), DirichletPenalty(np.ones(1))),
        Block(np.arange(n_templates - 1), DirichletPenalty(np.ones(n_templates))),
    ]
    return MixtureModel(densities, blocks, 1, REFERENCE)


def _rows(model, n_events, seeds):
    theta = model.start(1)
    theta[:, 0] = 0.4
    mean = n_events * model.row_density(theta)[0] * REFERENCE
    draws = [np.random.default_rng(s).poisson(mean) for s in seeds]
    return RowData(np.array(draws, dtype=float))


def _laplace(model, rows, extra=0.0):
    """Mean and width of kappa by Laplace's method, and the reading of their error."""
    n_fits = len(rows.observed)
    optimum = maximise(model, model.start(n_fits), rows)
    fit = local_fit(model, optimum, FitData(rows, *[rows.observed] * 7))
    bounds = 0.0, 1.0
    curve = kappa_curve(model, rows, optimum.theta, fit.covariance, bounds, "marginal")
    refined = curve.refine("marginal")
    error = laplace_error(model, rows, curve, refined, np.full(n_fits, extra))
    return *density_moments(*refined), error


def _exact(model, rows):
    """Mean and width of kappa by numerical integration over the log ratio."""
    kappa = np.linspace(0.0, 1.0, 201)[1:-1]
    ratio = np.linspace(-150.0, 150.0, 3001)
    logs = []
    for k in kappa:
        theta = np.column_stack([np.full(len(ratio), k), ratio])
        repeated = RowData(np.repeat(rows.observed, len(ratio), axis=0))
        logs.append(np.logaddexp.reduce(model.value(theta, repeated)))
    mean, std = density_moments(kappa[None], np.array(logs)[None])
    return mean[0], std[0]


def _shift(laplace, exact):
    """Larger of the changes of mean and log width, in widths."""
    (mean, std), (true_mean, true_std) = laplace, exact
    return max(abs(true_mean - mean) / std, abs(np.log(true_std / std)))


@pytest.mark.parametrize(("n_events", "seed"), [(50, 1), (200, 1), (1000, 0)])
def test_the_error_is_that_of_numerical_integration(n_events, seed):
    """A blend that is free over a wide range: mean or width are off by .2 to .35."""
    model = _two_signals(0.1, 3.0)
    rows = _rows(model, n_events, [seed])
    mean, std, error = _laplace(model, rows)
    shift = _shift((mean[0], std[0]), _exact(model, rows))
    assert 0.2 < shift < 0.35
    assert error[0] == pytest.approx(shift, abs=0.08)
    assert error[0] > 0.15


def test_a_nearly_normal_blend_has_no_error():
    model = _two_signals(5.0, 0.5)
    rows = _rows(model, 2000, [0])
    mean, std, error = _laplace(model, rows)
    assert _shift((mean[0], std[0]), _exact(model, rows)) < 0.02
    assert error[0] < 0.02


def test_the_error_does_not_depend_on_the_other_datasets():
    model = _two_signals(0.1, 3.0)
    together = _laplace(model, _rows(model, 200, range(4)))[2]
    alone = [_laplace(model, _rows(model, 200, [s]))[2][0] for s in range(4)]
    np.testing.assert_allclose(together, alone, rtol=1e-6)


def _simulated(rng, n_simulations=4, n=4000):
    X, y, simulation = [], [], []
    for k in range(n_simulations):
        for c, (mean, width) in enumerate(((0.0, 1.0), (2.0, 0.7))):
            X.append(rng.normal(mean + 0.1 * rng.normal(), width, n))
            y.append(np.full(n, c))
            simulation.append(np.full(n, k))
    return np.concatenate(X)[:, None], np.concatenate(y), np.concatenate(simulation)


@pytest.fixture(scope="module")
def healthy():
    """A Gaussian study with a normal prior, and a target from between its truths."""
    rng = np.random.default_rng(3)
    X, y, simulation = _simulated(rng)
    tamm = BinnedTopicTAMM(
        prior="simulations", inference=BayesianInference("laplace"), random_state=0
    )
    tamm.fit(X, y, simulation=simulation)
    parts = rng.normal(0.0, 1.0, 2000), rng.normal(2.0, 0.7, 1000)
    return tamm, np.concatenate(parts)[:, None]


def test_a_gaussian_study_is_not_flagged(healthy):
    tamm, target = healthy
    result = tamm.infer(target)
    assert 0.0 < result.diagnostics["laplace_error"][0] < 0.05
    assert result.flags == ((),)


def test_a_rough_integral_is_flagged_and_named(healthy, monkeypatch):
    tamm, target = healthy
    monkeypatch.setattr(_bayesian, "laplace_error", lambda *_: np.array([0.4]))
    with pytest.warns(SamplingWarning, match=r"1 of 1 datasets are rough.*by 0\.4 "):
        result = tamm.infer(target)
    assert result.flags == (("rough_integral",),)


def test_a_small_error_is_flagged_without_a_warning(healthy, monkeypatch):
    tamm, target = healthy
    monkeypatch.setattr(_bayesian, "laplace_error", lambda *_: np.array([0.2]))
    assert tamm.infer(target).flags == (("rough_integral",),)


@pytest.mark.parametrize("n", [1, 3, 30])
def test_the_rule_integrates_powers_of_the_radius(n):
    """E |z|^2 = n and E |z|^4 = n (n + 2) of a unit normal, and linear terms vanish."""
    rule = _rule(_many_signals(n + 1))
    square = (rule.points**2).sum(axis=1)
    share = np.exp(rule.log_weight - 0.5 * square)
    assert share.sum() == pytest.approx(1.0)
    assert share @ square == pytest.approx(n)
    assert share @ square**2 == pytest.approx(n * (n + 2))
    np.testing.assert_allclose(share @ rule.points, 0.0, atol=1e-12)


def test_other_errors_dilute_the_shift():
    model = _two_signals(0.1, 3.0)
    rows = _rows(model, 200, [1])
    alone, with_others = (_laplace(model, rows, extra)[2][0] for extra in (0.0, 1.0))
    assert with_others < 0.5 * alone


def test_an_integral_without_a_normal_is_rough():
    """At a saddle of the blend there is no Laplace integral."""

    class Saddle(MixtureModel):
        def hessian(self, theta, data):
            return -super().hessian(theta, data)

    right = _two_signals(5.0, 0.5)
    rows = _rows(right, 500, [0])
    optimum = maximise(right, right.start(1), rows)
    fit = local_fit(right, optimum, FitData(rows, *[rows.observed] * 7))
    curve = kappa_curve(
        right, rows, optimum.theta, fit.covariance, (0.0, 1.0), "marginal"
    )
    wrong = Saddle(right.densities, right.blocks, 1, REFERENCE)
    refined = curve.refine("marginal")
    assert laplace_error(wrong, rows, curve, refined, np.zeros(1))[0] == np.inf
