"""Diagnostics of a pool of estimators: of the whole, or of a member that is named."""

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

pytest.importorskip("matplotlib")

from sktamm import AutoTAMM, BinnedTopicTAMM, NeuralRatioTAMM, ScoreTAMM
from sktamm.auto import PosteriorPool
from sktamm.datasets import make_gaussian_study
from sktamm.diagnostics import (
    error_split,
    exchangeability,
    goodness_of_fit,
    hellinger_distances,
    identifiability,
    influence,
    simulation_based_calibration,
    span_check,
)
from sktamm.model_selection import CalibratedTAMM
from sktamm.plotting import ExchangeabilityDisplay, RankDisplay

SIZE = {"size": 2000, "n_experiments": 20, "n_draws": 9}
# Every diagnostic but influence, and a number of its record.
RECORDS = {
    "total": error_split,
    "p_odd": lambda tamm, X: exchangeability(tamm),
    "p_value": lambda tamm, X: goodness_of_fit(tamm, X, n_toys=20),
    "adapted": lambda tamm, X: hellinger_distances(tamm, X, n_toys=9),
    "kept": identifiability,
    "ranks": lambda tamm, X: simulation_based_calibration(tamm, **SIZE),
    "misfit": span_check,
}


@pytest.fixture(scope="module")
def study():
    return make_gaussian_study(5, 2000, 500, 5000, random_state=3)


@pytest.fixture(scope="module")
def pool(study):
    members = [
        ("score", ScoreTAMM("logistic", bins=6, random_state=0)),
        ("bins", BinnedTopicTAMM(bins=5, random_state=0)),
    ]
    return PosteriorPool(members).fit(study.X, study.y, simulation=study.simulation)


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_names_the_member(name, pool, study):
    """Its numbers are those of the member alone, which names none."""
    of_pool = RECORDS[name](pool, study.X_target)
    alone = RECORDS[name](pool.estimators_["score"], study.X_target)
    assert (of_pool.member, alone.member) == ("score", None)
    np.testing.assert_array_equal(getattr(of_pool, name), getattr(alone, name))


def test_displays_name_it_too(pool):
    ranks = RankDisplay.from_estimator(pool, **SIZE).plot()
    assert ranks.ax_.get_title("left").endswith(", score of a pool")
    assert ExchangeabilityDisplay.from_estimator(pool).title.endswith("score of a pool")


def test_the_member_is_found_behind_wrappers(pool, study):
    nested = PosteriorPool.of({"both": pool, "bins": pool.estimators_["bins"]})
    assert exchangeability(nested).member == "both, score"
    assert exchangeability(FrozenEstimator(pool)).member == "score"
    pipe = make_pipeline(StandardScaler(), PosteriorPool(pool.estimators))
    pipe.fit(study.X, study.y, posteriorpool__simulation=study.simulation)
    assert identifiability(pipe, study.X_target).member == "score"
    auto = AutoTAMM([("pool", PosteriorPool(pool.estimators))], n_datasets=1)
    auto.fit(study.X, study.y, simulation=study.simulation)
    assert error_split(auto, study.X_target).member == "score"
    assert exchangeability(auto).summary().endswith("looked at: score of a pool")
    wrapped = CalibratedTAMM(pool.estimators_["bins"])
    wrapped.fit(study.X, study.y, simulation=study.simulation)
    assert exchangeability(wrapped).member is None


def test_influence_is_that_of_the_whole_pool(pool, study):
    result = influence(pool, study.X_target)
    kappa, std = pool.predict(study.X_target, return_std=True)
    assert (result.full_kappa, result.full_std) == (kappa[0], std[0])
    by_hand = pool.take([0, 1, 3, 4]).predict(study.X_target)[0]
    assert result.kappa[2] == by_hand
    assert result.not_left_out == {}
    auto = AutoTAMM([("pool", PosteriorPool(pool.estimators))], n_datasets=1)
    auto.fit(study.X, study.y, simulation=study.simulation)
    np.testing.assert_array_equal(influence(auto, study.X_target).kappa, result.kappa)


def test_influence_of_a_pool_with_ratios(study):
    members = [
        ("ratios", NeuralRatioTAMM("logistic", random_state=0)),
        ("bins", BinnedTopicTAMM(bins=5, random_state=0)),
    ]
    pool = PosteriorPool(members).fit(study.X, study.y, simulation=study.simulation)
    result = influence(pool, study.X_target)
    by_hand = pool.take([0, 1, 2, 3]).predict(study.X_target)[0]
    assert result.kappa[4] == by_hand
    assert goodness_of_fit(pool, study.X_target, classifier="logistic").name == "auc"
