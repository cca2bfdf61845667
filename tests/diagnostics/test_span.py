"""Span check: quiet for one more simulation, loud for what none has."""

import warnings

import numpy as np
import pytest
from scipy import stats

from sktamm import NeuralRatioTAMM, TAMMRegressor
from sktamm.components import RatioComponents
from sktamm.diagnostics import span_check
from sktamm.diagnostics._span import _p_values
from sktamm.exceptions import InvalidInputError, SktammWarning, SpanWarning


def extra_simulation(tools, seed, n_simulations=5):
    """Estimator of some simulations and a target made of one more."""
    X, y, ids = tools["simulate"](n_simulations + 1, 4000, seed)
    known = ids < n_simulations
    model = type(tools["make"](n_events=50))(bins=12, range=[(-4.0, 6.0)])
    model.fit(X[known], y[known], simulation=ids[known])
    rest = np.flatnonzero(~known)
    chosen = np.concatenate([rest[y[rest] == 0][:3000], rest[y[rest] == 1][:1000]])
    return model, X[chosen]


def test_one_more_simulation_raises_the_alarm_as_often_as_stated(tools):
    """P-values "span" of 40 truths; binomial bounds at 1e-4."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SktammWarning)
        for seed in range(40):
            model, X = extra_simulation(tools, seed)
            found.append(model.infer(X).diagnostics["span"][0])
    for level in (0.1, 0.3):
        count = (np.array(found) < level).sum()
        assert count <= stats.binom.isf(1e-4, 40, level)


def test_infer_warns_of_what_no_simulation_has(fitted, target):
    X = np.vstack([target[0], np.full((300, 1), -1.5)])
    with pytest.warns(SpanWarning, match="do not span"):
        result = fitted.infer(X)
    assert result.diagnostics["span"][0] < 1e-3
    quiet = fitted.infer(target[0])
    assert quiet.diagnostics["span"][0] > 1e-3


def test_the_exact_check_agrees(fitted, target):
    right = span_check(fitted, target[0])
    assert right.p_value > 1 / 7
    np.testing.assert_array_equal(right.simulation.shape, right.misfit.shape)
    n_above = (right.reference >= right.misfit).sum()
    assert right.p_value == (1 + n_above) / 7
    wrong = span_check(fitted, np.vstack([target[0], np.full((500, 1), -1.5)]))
    assert wrong.p_value == 1 / 7
    assert wrong.p_value_parametric < right.p_value_parametric
    assert wrong.p_value_parametric < 0.01


def test_the_exact_check_of_weighted_events(fitted, target):
    weight = np.random.default_rng(0).uniform(0.5, 1.5, len(target[0]))
    result = span_check(fitted, target[0], sample_weight=weight)
    assert result.p_value > 1 / 7


def test_unbinned_trains_nothing(tools):
    X, y, ids = tools["simulate"](5, 4000, 1)
    tamm = NeuralRatioTAMM("logistic", random_state=0).fit(X, y, simulation=ids)
    result = span_check(tamm, tools["draw_target"](1500, 500, 6)[0])
    assert result.misfit.shape == (5,)
    assert 1 / 6 <= result.p_value <= 1.0


def test_unbinned_estimators_of_the_general_class(tools):
    X, y, ids = tools["simulate"](4, 2000, 1)
    tamm = TAMMRegressor(
        RatioComponents("logistic", random_state=0), form="exponential"
    )
    tamm.fit(X, y, simulation=ids)
    result = span_check(tamm, tools["draw_target"](500, 200, 6)[0])
    assert np.isfinite(result.misfit).all()


def test_failed_fits_raise_no_alarm():
    misfit, reference = np.ones(6), np.arange(6) + 0.5
    p_value, parametric = _p_values(misfit, reference)
    assert p_value == 6 / 7
    fewer = _p_values(np.r_[misfit, np.nan, 1.0], np.r_[reference, 1.0, np.nan])
    assert fewer == (p_value, parametric)
    assert np.isnan(_p_values(misfit[:2], reference[:2])).all()


def test_few_simulations_are_refused(tools, target):
    with pytest.raises(InvalidInputError, match="at least 3"):
        span_check(tools["make"](n_simulations=2), target[0])
