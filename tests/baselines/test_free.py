"""Referee: iminuit used directly, and the classical fit where they must agree."""

import sys

import numpy as np
import pytest

from sktamm import BinnedTopicTAMM
from sktamm.baselines import FreeTemplates, SingleSimulation
from sktamm.datasets import make_gaussian_study
from sktamm.exceptions import (
    ConvergenceWarning,
    IncompatibleChoiceError,
    SingleSimulationWarning,
)

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
    inference = fit._inference_
    assert result.diagnostics["converged"][0]
    assert inference.interval == "wald"
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


def test_intervals_can_be_cut(study):
    background = study.X_target[study.y_target == 0][:300]
    loose, cut = (
        FreeTemplates(bins=5, bounded=bounded)
        .fit(study.X, study.y, simulation=study.simulation)
        .predict(background, return_interval=0.954)[1]
        for bounded in (False, True)
    )
    assert loose[0, 0] < 0
    assert cut[0, 0] == 0
    assert cut[0, 1] == loose[0, 1]


def test_iminuit_is_asked_for_when_missing(study, monkeypatch):
    monkeypatch.setitem(sys.modules, "iminuit", None)
    monkeypatch.setitem(sys.modules, "iminuit.cost", None)
    with pytest.raises(IncompatibleChoiceError, match=r"pip install 'sktamm\[hep\]'"):
        FreeTemplates().fit(study.X, study.y)


def test_an_unknown_method_is_refused(study):
    with pytest.raises(IncompatibleChoiceError, match="method must be 'da' or 'jsc'"):
        FreeTemplates(method="asy").fit(study.X, study.y)
