"""Leaving simulations out: what is held out, and stock scikit-learn around it."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    cross_validate,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sktamm import BinnedTopicTAMM
from sktamm.datasets import make_gaussian_study
from sktamm.exceptions import InvalidInputError
from sktamm.model_selection import CoverageScorer, LeaveSimulationsOut


def _events(ids_per_class, n_events=5, seed=0):
    """Labels and simulation ids in random order, and features that do not matter."""
    y = np.concatenate(
        [np.full(n_events * len(i), c) for c, i in ids_per_class.items()]
    )
    ids = np.concatenate([np.repeat(i, n_events) for i in ids_per_class.values()])
    order = np.random.default_rng(seed).permutation(len(y))
    return np.zeros((len(y), 1)), y[order], ids[order]


def _held_out(splitter, X, y, ids):
    """Per fold, the set of (class, simulation) that it tests on; folds are checked."""
    folds = []
    for train, test in splitter.split(X, y, ids):
        np.testing.assert_array_equal(np.sort(np.r_[train, test]), np.arange(len(y)))
        sides = [
            set(zip(y[i].tolist(), ids[i].tolist(), strict=True)) for i in (train, test)
        ]
        assert not sides[0] & sides[1]
        assert {c for c, _ in sides[0]} == {c for c, _ in sides[1]} == set(y.tolist())
        folds.append(sides[1])
    return folds


def test_shared_ids_stay_together():
    X, y, ids = _events({"b": [7, 3, 5], "s": [3, 5, 7], "t": [5, 7, 3]})
    folds = _held_out(LeaveSimulationsOut(), X, y, ids)
    assert folds == [{("b", i), ("s", i), ("t", i)} for i in (3, 5, 7)]


OWN = {"b": ["b0", "b1", "b2", "b3"], "s": ["s0", "s1", "s2", "s3"]}


def test_ids_of_their_own_are_matched_at_random_but_reproducibly():
    X, y, ids = _events(OWN)
    folds = _held_out(LeaveSimulationsOut(), X, y, ids)
    assert [len(fold) for fold in folds] == [2] * 4
    assert len(set().union(*folds)) == 8
    assert folds == _held_out(LeaveSimulationsOut(), X, y, ids)
    # The order of the events does not matter, the seed does.
    assert folds == _held_out(LeaveSimulationsOut(), *_events(OWN, seed=1))
    others = [
        _held_out(LeaveSimulationsOut(random_state=i), X, y, ids) for i in range(9)
    ]
    assert len({str(sorted(map(sorted, other))) for other in others}) > 3


def test_ids_that_only_some_classes_share_are_matched_with_others():
    X, y, ids = _events({"b": [0, 1, 2, 3], "s": [2, 3, 8, 9]})
    folds = _held_out(LeaveSimulationsOut(), X, y, ids)
    assert folds[:2] == [{("b", i), ("s", i)} for i in (2, 3)]
    assert set().union(*folds[2:]) == {("b", 0), ("b", 1), ("s", 8), ("s", 9)}


def test_the_class_with_fewest_simulations_sets_the_number_of_folds():
    X, y, ids = _events({"b": [0, 1, 2, 3, 4, 5], "s": [10, 11, 12]})
    splitter = LeaveSimulationsOut()
    folds = _held_out(splitter, X, y, ids)
    assert splitter.get_n_splits(X, y, ids) == len(folds) == 3
    assert [len(fold) for fold in folds] == [2] * 3
    assert len(set().union(*folds)) == 6


@pytest.mark.parametrize("n_splits", [2, 3, 5])
def test_fewer_folds_hold_out_several_simulations(n_splits):
    X, y, ids = _events({0: range(7), 1: range(7)})
    splitter = LeaveSimulationsOut(n_splits)
    assert splitter.get_n_splits() == n_splits
    folds = _held_out(splitter, X, y, ids)
    held_out = [{i for _, i in fold} for fold in folds]
    assert all(len(fold) == 2 * len(i) for fold, i in zip(folds, held_out, strict=True))
    assert sorted(i for fold in held_out for i in fold) == list(range(7))
    sizes = {len(i) for i in held_out}
    assert max(sizes) - min(sizes) <= 1


def test_groups_and_simulation_are_synonyms():
    X, y, ids = _events(OWN)
    splitter = LeaveSimulationsOut()
    by_groups = [test.tolist() for _, test in splitter.split(X, y, ids)]
    for keywords in ({"simulation": ids}, {"simulation": ids, "groups": ids}):
        found = [test.tolist() for _, test in splitter.split(X, y, **keywords)]
        assert found == by_groups
        assert splitter.get_n_splits(X, y, **keywords) == 4


X, Y, IDS = _events({0: range(3), 1: range(3)})


@pytest.mark.parametrize(
    ("splitter", "arguments", "message"),
    [
        ({}, (X, Y), "simulation must hold the simulation id of every event, got None"),
        ({}, (X, None, IDS), "y must hold the class of every event"),
        ({}, (X, Y, IDS[1:]), "groups must hold one entry for each of the 30"),
        ({}, (X, Y[1:], IDS), "y must hold one entry for each of the 30"),
        ({}, (X, Y, np.zeros(30)), "at least two ids in every class"),
        ({}, (X, Y, np.where(Y == 1, 0, IDS)), "at least two ids in every class"),
        ({"n_splits": 4}, (X, Y, IDS), "n_splits must not exceed the 3 simulations"),
        ({"n_splits": 1}, (X, Y, IDS), "n_splits must be None or an integer of at"),
        ({"n_splits": 2.0}, (X, Y, IDS), "n_splits must be None or an integer of at"),
    ],
)
def test_what_cannot_be_split_is_refused(splitter, arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        next(LeaveSimulationsOut(**splitter).split(*arguments))


@pytest.mark.parametrize("n_splits", [1, 2.0, "3"])
def test_an_unusable_number_of_folds_is_not_counted(n_splits):
    with pytest.raises(InvalidInputError, match="n_splits must be None or an integer"):
        LeaveSimulationsOut(n_splits).get_n_splits()


def test_different_groups_and_simulation_are_refused():
    with pytest.raises(InvalidInputError, match="groups must be None or equal sim"):
        next(LeaveSimulationsOut().split(X, Y, IDS + 1, simulation=IDS))
    with pytest.raises(InvalidInputError, match="simulation must hold one entry for"):
        next(LeaveSimulationsOut().split(X, Y, simulation=IDS[1:]))


def test_it_is_shown_and_cloned_like_any_splitter():
    splitter = LeaveSimulationsOut(3)
    assert repr(splitter) == "LeaveSimulationsOut(n_splits=3, random_state=0)"
    assert clone(splitter, safe=False).n_splits == 3


@pytest.fixture(scope="module")
def study():
    return make_gaussian_study(4, 300, 10, 90, random_state=0)


@pytest.fixture
def tamm():
    return BinnedTopicTAMM(4, inference="frequentist", random_state=0)


def _pipe(tamm):
    return Pipeline([("scale", StandardScaler()), ("tamm", tamm)])


CV = {"cv": LeaveSimulationsOut(), "scoring": CoverageScorer(n_datasets=4)}
GRID = {"tamm__bins": [3, 4]}


def test_cross_validate_says_the_same_with_and_without_routing(study, tamm):
    X, y, ids = study.X, study.y, study.simulation
    params = {"simulation": ids}
    off = cross_validate(
        tamm, X, y, groups=ids, params=params, return_indices=True, **CV
    )
    with config_context(enable_metadata_routing=True):
        on = cross_validate(tamm, X, y, params=params, return_indices=True, **CV)
    for scores in (off, on):
        held_out = [np.unique(ids[test]).tolist() for test in scores["indices"]["test"]]
        assert held_out == [[0], [1], [2], [3]]
    np.testing.assert_array_equal(off["test_interval_score"], on["test_interval_score"])


def test_a_grid_search_says_the_same_with_and_without_routing(study, tamm):
    X, y, ids = study.X, study.y, study.simulation
    search = GridSearchCV(_pipe(tamm), GRID, refit="interval_score", **CV)
    off = clone(search).fit(X, y, groups=ids, tamm__simulation=ids)
    with config_context(enable_metadata_routing=True):
        on = clone(search).fit(X, y, simulation=ids)
        synonym = clone(search).fit(X, y, simulation=ids, groups=ids)
    for found in (off, on, synonym):
        assert found.n_splits_ == 4
        scores = found.cv_results_["mean_test_interval_score"]
        np.testing.assert_array_equal(
            scores, off.cv_results_["mean_test_interval_score"]
        )
        assert found.best_index_ == scores.argmax()
        assert len(found.best_estimator_["tamm"].simulations_) == 4


@pytest.mark.parametrize("routing", [False, True])
def test_halving_takes_a_single_number(study, tamm, routing):
    search = HalvingGridSearchCV(
        _pipe(tamm),
        GRID,
        cv=LeaveSimulationsOut(),
        scoring=CoverageScorer(n_datasets=4).single("interval_score"),
        min_resources=1200,
        factor=2,
        random_state=0,
    )
    with config_context(enable_metadata_routing=routing):
        keywords = {"simulation" if routing else "tamm__simulation": study.simulation}
        if not routing:
            keywords["groups"] = study.simulation
        search.fit(study.X, study.y, **keywords)
    assert search.n_resources_ == [1200, 2400]
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
