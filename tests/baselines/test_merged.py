"""Wrappers give the inner estimator exactly the events they promise."""

import warnings

import numpy as np
import pandas as pd
import pytest

from sktamm import BinnedTopicTAMM
from sktamm.baselines import PooledSimulations, SingleSimulation
from sktamm.datasets import make_gaussian_study
from sktamm.exceptions import InvalidInputError, SingleSimulationWarning

INNER = BinnedTopicTAMM(bins=5, inference="frequentist", random_state=0)


@pytest.fixture(scope="module")
def study():
    return make_gaussian_study(
        n_simulations=3, n_events=1000, n_signal=600, n_background=1400, random_state=1
    )


def _same(one, other):
    np.testing.assert_array_equal(one.kappa, other.kappa)
    np.testing.assert_array_equal(one.interval, other.interval)


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SingleSimulationWarning")
@pytest.mark.parametrize("kind", [PooledSimulations, SingleSimulation])
def test_one_simulation_is_the_ordinary_fit(study, kind):
    rows = study.simulation == 2
    X, y, ids = study.X[rows], study.y[rows], study.simulation[rows]
    ordinary = BinnedTopicTAMM(**INNER.get_params()).fit(X, y, simulation=ids)
    merged = kind(INNER).fit(X, y, simulation=ids)
    _same(ordinary.infer(study.X_target), merged.infer(study.X_target))


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
def test_single_takes_the_events_of_its_simulation(study):
    rows = study.simulation == 1
    weight = np.random.default_rng(0).uniform(0.5, 1.5, len(study.X))
    single = SingleSimulation(INNER, which=1).fit(
        study.X, study.y, simulation=study.simulation, sample_weight=weight
    )
    ordinary = BinnedTopicTAMM(**INNER.get_params()).fit(
        study.X[rows], study.y[rows], sample_weight=weight[rows]
    )
    _same(ordinary.infer(study.X_target), single.infer(study.X_target))


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SpanWarning")
def test_nobody_is_told_what_was_asked_for(study):
    with warnings.catch_warnings():
        warnings.simplefilter("error", SingleSimulationWarning)
        PooledSimulations(INNER).fit(study.X, study.y, simulation=study.simulation)


def test_which_simulation(study):
    def chosen(which, simulation=study.simulation, seed=None):
        single = SingleSimulation(INNER, which=which, random_state=seed)
        return single.fit(study.X, study.y, simulation=simulation).chosen_.tolist()

    assert chosen("first") == [0, 0]
    assert chosen(2) == [2, 2]
    drawn = {tuple(chosen("random", seed=seed)) for seed in range(8)}
    assert drawn <= {(0, 0), (1, 1), (2, 2)}
    assert len(drawn) > 1
    assert chosen("random", seed=3) == chosen("random", seed=3)
    unpaired = study.simulation + 3 * study.y
    assert chosen("first", unpaired) == [0, 3]
    background, signal = chosen("random", unpaired, seed=0)
    assert background < 3 <= signal
    with pytest.raises(InvalidInputError, match="class 0 has no simulation 4"):
        chosen(4, unpaired)


def test_names_of_features_pass_through(study):
    frame = pd.DataFrame(study.X, columns=["mass", "angle"])
    single = SingleSimulation(INNER).fit(frame, study.y, simulation=study.simulation)
    assert single.feature_names_in_.tolist() == ["mass", "angle"]
    single.fit(study.X, study.y, simulation=study.simulation)
    assert not hasattr(single, "feature_names_in_")


def test_wrong_lengths_are_refused(study):
    for baseline in (PooledSimulations(INNER), SingleSimulation(INNER)):
        with pytest.raises(InvalidInputError, match="simulation must hold one entry"):
            baseline.fit(study.X, study.y, simulation=study.simulation[:-1])
        with pytest.raises(InvalidInputError, match="sample_weight must hold one"):
            baseline.fit(study.X, study.y, sample_weight=np.ones(3))
