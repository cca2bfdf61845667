"""Influence of the simulations: against refits by hand, and on an outlier."""

import numpy as np
import pytest
from plain_histograms import Bins
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktamm import BinnedTopicTAMM, NeuralRatioTAMM
from sktamm.baselines import LabelShiftEM
from sktamm.datasets import draw_gaussian_parameters, make_gaussian_study
from sktamm.diagnostics import (
    error_split,
    goodness_of_fit,
    hellinger_distances,
    influence,
    span_check,
)
from sktamm.exceptions import InvalidInputError
from sktamm.mixture import SimulationsPrior
from sktamm.model_selection import CalibratedTAMM
from sktamm.plotting import InfluenceDisplay


@pytest.fixture(scope="module")
def study():
    return make_gaussian_study(5, 2000, 500, 5000, random_state=3)


def labelled(study):
    return study.X, study.y, study.simulation


def test_binned_equals_refits_by_hand_in_the_same_bins(study):
    X, y, ids = labelled(study)
    bins = [
        np.linspace(low, high, 7) for low, high in zip(X.min(0), X.max(0), strict=True)
    ]
    tamm = BinnedTopicTAMM(bins).fit(X, y, simulation=ids)
    result = influence(tamm, study.X_target)
    keep = ids != 2
    by_hand = BinnedTopicTAMM(bins).fit(X[keep], y[keep], simulation=ids[keep])
    expected = by_hand.predict(study.X_target)[0]
    np.testing.assert_allclose(result.kappa[2], expected, rtol=1e-9)
    full, std = tamm.predict(study.X_target, return_std=True)
    np.testing.assert_array_equal(result.simulation, np.arange(5))
    np.testing.assert_allclose(result.shift, result.kappa - full[0])
    np.testing.assert_allclose(result.shift_in_std, result.shift / std[0])


def test_unbinned_trains_nothing(study):
    X, y, ids = labelled(study)
    tamm = NeuralRatioTAMM("logistic", inference="frequentist", random_state=0)
    tamm.fit(X, y, simulation=ids)
    result = influence(tamm, study.X_target)
    by_hand = tamm.take([0, 1, 2, 3]).predict(study.X_target)[0]
    assert result.kappa[4] == by_hand


def test_reaches_through_pipelines_and_wrappers(study):
    X, y, ids = labelled(study)
    binned = BinnedTopicTAMM(bins=6, inference="frequentist")
    pipe = make_pipeline(StandardScaler(), binned)
    pipe.fit(X, y, binnedtopictamm__simulation=ids)
    result = influence(pipe, study.X_target)
    assert result.full_kappa == pipe.predict(study.X_target)[0]
    assert np.isfinite(result.shift).all()
    frozen = influence(FrozenEstimator(pipe), study.X_target)
    np.testing.assert_array_equal(frozen.kappa, result.kappa)
    wrapped = CalibratedTAMM(binned).fit(X, y, simulation=ids)
    inner = influence(wrapped.estimator_, study.X_target)
    np.testing.assert_array_equal(influence(wrapped, study.X_target).kappa, inner.kappa)


def test_threads_change_nothing(study):
    X, y, ids = labelled(study)
    tamm = BinnedTopicTAMM(bins=6).fit(X, y, simulation=ids)
    alone = influence(tamm, study.X_target)
    shared = influence(tamm, study.X_target, n_jobs=2)
    np.testing.assert_array_equal(alone.kappa, shared.kappa)


def test_a_class_of_one_simulation_cannot_lose_it(study):
    X, y, ids = labelled(study)
    keep = (y == 0) | (ids == 1)
    tamm = BinnedTopicTAMM(bins=6)
    with pytest.warns(UserWarning, match="one simulation"):
        tamm.fit(X[keep], y[keep], simulation=ids[keep])
    result = influence(tamm, study.X_target)
    np.testing.assert_array_equal(np.isnan(result.kappa), result.simulation == 1)


def test_the_deviant_simulation_moves_kappa_most():
    """Four simulations alike and one different: the shift without that is largest."""
    parameters = draw_gaussian_parameters(2, 0).take([0, 0, 1, 0, 0])
    study = make_gaussian_study(
        n_events=4000,
        n_signal=500,
        n_background=5000,
        parameters=parameters,
        random_state=2,
    )
    X, y, ids = labelled(study)
    tamm = BinnedTopicTAMM(bins=6).fit(X, y, simulation=ids)
    shift = influence(tamm, study.X_target).shift
    assert np.argmax(np.abs(shift)) == 2


def test_other_estimators_and_several_datasets_are_refused(study, fitted, target):
    edges = fitted.components_.binning_.edges[0]
    histogram = Bins(np.histogram(target[0], edges)[0], edges)
    assert influence(fitted, [histogram]).shift.size == 6
    with pytest.raises(InvalidInputError, match="one dataset, got 2 histograms"):
        influence(fitted, [histogram] * 2)
    with pytest.raises(InvalidInputError, match="TAMMRegressor"):
        influence(StandardScaler(), study.X_target)


def test_baselines_do_not_adapt(study):
    """Their shift is known; what judges an adapted mixture is refused in words."""
    em = LabelShiftEM("logistic", random_state=0).fit(study.X, study.y)
    assert np.isnan(influence(em, study.X_target).shift).all()
    for diagnose in (error_split, goodness_of_fit, hellinger_distances, span_check):
        with pytest.raises(InvalidInputError, match="adapts to the data, got LabelSh"):
            diagnose(em, study.X_target)


# --------------------------------------------------------------------------- families
NAMES = np.array(["nom", "up", "down", "A", "B"])
FAMILIES = {"up": "scale", "down": "scale", "A": "generator", "B": "generator"}


def _with_families(study, X, y, ids, **keywords):
    prior = SimulationsPrior(
        families=FAMILIES, nominal="nom", alternatives=["generator"]
    )
    tamm = BinnedTopicTAMM(prior=prior, **keywords)
    return tamm.fit(X, y, simulation=NAMES[ids])


def test_the_nominal_stays_and_the_result_says_so(study):
    X, y, ids = labelled(study)
    bins = [
        np.linspace(low, high, 7) for low, high in zip(X.min(0), X.max(0), strict=True)
    ]
    tamm = _with_families(study, X, y, ids, bins=bins)
    result = influence(tamm, study.X_target)
    assert result.not_left_out == {"nom": "the nominal, on which the prior is centred"}
    np.testing.assert_array_equal(np.isnan(result.kappa), result.simulation == "nom")
    keep = ids != 3
    by_hand = _with_families(study, X[keep], y[keep], ids[keep], bins=bins)
    expected = by_hand.predict(study.X_target)[0]
    without = result.kappa[result.simulation == "A"][0]
    np.testing.assert_allclose(without, expected, rtol=1e-9)


def test_the_nominal_of_every_class_stays(study):
    X, y, ids = labelled(study)
    names = np.where(
        y == 1, np.char.add("s_", NAMES[ids]), np.char.add("b_", NAMES[ids])
    )
    families = {f"{c}_{key}": own for key, own in FAMILIES.items() for c in "sb"}
    nominal = ["b_nom", "s_nom"]
    prior = SimulationsPrior(families=families, nominal=nominal)
    tamm = BinnedTopicTAMM(bins=6, prior=prior).fit(X, y, simulation=names)
    result = influence(tamm, study.X_target)
    assert list(result.not_left_out) == nominal
    assert np.isfinite(result.shift).sum() == 8
    display = InfluenceDisplay.from_result(result)
    assert display.n_left_out == 2


def test_the_only_simulation_of_a_class_is_named(study):
    X, y, ids = labelled(study)
    keep = (y == 0) | (ids == 1)
    tamm = BinnedTopicTAMM(bins=6)
    with pytest.warns(UserWarning, match="one simulation"):
        tamm.fit(X[keep], y[keep], simulation=ids[keep])
    result = influence(tamm, study.X_target)
    assert result.not_left_out == {1: "the only simulation of class 1"}


def test_a_test_that_leaves_all_out_refuses_families(study):
    tamm = _with_families(study, *labelled(study), bins=6)
    with pytest.raises(InvalidInputError, match="without families for span_check"):
        span_check(tamm, study.X_target)
