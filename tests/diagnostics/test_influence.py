"""Influence of the simulations: against refits by hand, and on an outlier."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktamm import BinnedTopicTAMM, NeuralRatioTAMM
from sktamm.datasets import draw_gaussian_parameters, make_gaussian_study
from sktamm.diagnostics import influence
from sktamm.exceptions import InvalidInputError


@pytest.fixture(scope="module")
def study():
    return make_gaussian_study(5, 2000, 500, 5000, random_state=3)


def labelled(study):
    return study.X, study.y, study.simulation


def test_binned_equals_refits_by_hand(study):
    X, y, ids = labelled(study)
    tamm = BinnedTopicTAMM(bins=6).fit(X, y, simulation=ids)
    result = influence(tamm, X, y, ids, study.X_target)
    keep = ids != 2
    by_hand = BinnedTopicTAMM(bins=6).fit(X[keep], y[keep], simulation=ids[keep])
    assert result.kappa[2] == by_hand.predict(study.X_target)[0]
    full, std = tamm.predict(study.X_target, return_std=True)
    np.testing.assert_array_equal(result.simulation, np.arange(5))
    np.testing.assert_allclose(result.shift, result.kappa - full[0])
    np.testing.assert_allclose(result.shift_in_std, result.shift / std[0])


def test_unbinned_needs_no_training_and_no_events(study):
    X, y, ids = labelled(study)
    tamm = NeuralRatioTAMM("logistic", random_state=0).fit(X, y, simulation=ids)
    result = influence(tamm, None, None, None, study.X_target)
    by_hand = tamm.take([0, 1, 2, 3]).predict(study.X_target)[0]
    assert result.kappa[4] == by_hand


def test_reaches_through_a_pipeline(study):
    X, y, ids = labelled(study)
    pipe = make_pipeline(StandardScaler(), BinnedTopicTAMM(bins=6))
    pipe.fit(X, y, binnedtopictamm__simulation=ids)
    result = influence(pipe, X, y, ids, study.X_target)
    assert result.full_kappa == pipe.predict(study.X_target)[0]
    assert np.isfinite(result.shift).all()


def test_threads_change_nothing(study):
    X, y, ids = labelled(study)
    tamm = BinnedTopicTAMM(bins=6).fit(X, y, simulation=ids)
    alone = influence(tamm, X, y, ids, study.X_target)
    shared = influence(tamm, X, y, ids, study.X_target, n_jobs=2)
    np.testing.assert_array_equal(alone.kappa, shared.kappa)


def test_a_class_of_one_simulation_cannot_lose_it(study):
    X, y, ids = labelled(study)
    keep = (y == 0) | (ids == 1)
    tamm = BinnedTopicTAMM(bins=6)
    with pytest.warns(UserWarning, match="one simulation"):
        tamm.fit(X[keep], y[keep], simulation=ids[keep])
    result = influence(tamm, X[keep], y[keep], ids[keep], study.X_target)
    np.testing.assert_array_equal(np.isnan(result.kappa), result.simulation == 1)


def test_the_deviant_simulation_moves_kappa_most():
    """Four simulations alike and one different: the shift without that is largest."""
    parameters = draw_gaussian_parameters(2, 0).take([0, 0, 1, 0, 0])
    study = make_gaussian_study(
        n_events=4000,
        n_signal=500,
        n_background=5000,
        parameters=parameters,
        random_state=0,
    )
    X, y, ids = labelled(study)
    tamm = BinnedTopicTAMM(bins=6).fit(X, y, simulation=ids)
    shift = influence(tamm, X, y, ids, study.X_target).shift
    assert np.argmax(np.abs(shift)) == 2


def test_missing_events_are_refused(study):
    X, y, ids = labelled(study)
    tamm = BinnedTopicTAMM(bins=6).fit(X, y, simulation=ids)
    with pytest.raises(InvalidInputError, match="fitted anew"):
        influence(tamm, None, y, ids, study.X_target)
    with pytest.raises(InvalidInputError, match="TAMMRegressor"):
        influence(StandardScaler(), X, y, ids, study.X_target)
