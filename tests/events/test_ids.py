"""Labels and ids stay what the user wrote: nothing is merged, retyped or unmasked."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.datasets import make_blobs
from sklearn.linear_model import LinearRegression, LogisticRegression

from sktamm import BinnedTopicTAMM, TAMMRegressor
from sktamm.baselines import SingleSimulation
from sktamm.coverage import coverage_study
from sktamm.events import read_simulations, read_sources, read_target
from sktamm.exceptions import InvalidInputError
from sktamm.io import result_to_json
from sktamm.learning import (
    ClassifierEnsemble,
    LightGBMRatioClassifier,
    TorchMLPClassifier,
)
from sktamm.model_selection import CoverageScorer, LeaveSimulationsOut
from sktamm.parametric import (
    MomentMorphing,
    QuadraticRatioEstimator,
    UnbinnedLikelihood,
)
from sktamm.ratios import WifiEnsemble
from sktamm.tamm._truth import owner, true_fraction

BIG = 2**53
X = np.arange(16.0).reshape(8, 2)
Y = [0, 0, 0, 0, 1, 1, 1, 1]
IDS = [BIG, BIG + 1, BIG + 2, BIG + 3]
DAYS = ["2024-01-01", "2024-01-02"]


def _as(dtype):
    return lambda ids: pd.Series(ids, dtype=dtype)


@pytest.mark.parametrize(
    "give",
    [
        list,
        tuple,
        np.array,
        _as("Int64"),
        _as("UInt64"),
        lambda ids: pd.array(ids, dtype="Int64"),
        lambda ids: pd.Index(ids, dtype="UInt64"),
        lambda ids: pd.Series(ids, dtype="Int64").astype("category"),
    ],
    ids=["list", "tuple", "numpy", "Int64", "UInt64", "array", "Index", "category"],
)
def test_large_integers_are_not_merged(give):
    events = read_simulations(X, Y, simulation=give(IDS * 2))
    assert events.source_id.tolist() == IDS * 2
    target = read_target(X, dataset=give(IDS * 2), n_features=2)
    assert target.dataset_id.tolist() == IDS
    labels = read_sources(give(IDS * 2), pos_label=BIG + 1)
    assert labels.classes.tolist() == IDS
    assert labels.positive == 1


@pytest.mark.parametrize("dtype", ["int64[pyarrow]", "uint64[pyarrow]"])
def test_large_arrow_integers_are_not_merged(dtype):
    pytest.importorskip("pyarrow")
    events = read_simulations(X, Y, simulation=pd.Series(IDS * 2, dtype=dtype))
    assert events.source_id.tolist() == IDS * 2
    assert events.source_id.dtype.kind in "iu"


@pytest.mark.parametrize(
    "ids",
    [
        [BIG, BIG + 1, 1.0, 2.0],
        [2**63, 2**63 + 1, -1, 0],
        [2**70, 2**70 + 1, -1, 0],
        np.array([2**63, 2**63 + 1, -1, 0], object),
    ],
    ids=["floats too", "either end", "beyond 64 bits", "objects"],
)
def test_integers_that_no_type_of_numpy_holds_together(ids):
    events = read_simulations(X, Y, simulation=[*ids, *ids])
    assert events.source_id.tolist() == sorted(ids) * 2


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.array(IDS, float), "tell apart, but it holds 9007199254740996 as float64"),
        (np.array([1, 2, 3, 2**24], "f4"), "16777216 as float32"),
        (["1", 1, "2", 2], "mixture of int, str"),
        (["a", np.nan, "b", "c"], "simulation must hold no missing values"),
        (pd.Series([1, 2, 3, None], dtype="Int64"), "missing values, .* at row 3"),
        (pd.Categorical(["a", "b", None, "a"]), "missing values, .* at row 2"),
        (np.array([*DAYS, "NaT", DAYS[0]], "M8[s]"), "missing values, .* at row 2"),
        (np.array([[1], {}, [2], 1], dtype=object), "that can be compared: unhash"),
    ],
    ids=str,
)
def test_ids_that_cannot_be_told_apart_are_refused(ids, message):
    with pytest.raises(InvalidInputError, match=message):
        read_simulations(X[::2], Y[::2], simulation=ids)


@pytest.mark.parametrize(
    "days",
    [
        np.array(DAYS * 4, "M8[ns]"),
        np.array(DAYS * 4, "M8[D]"),
        pd.to_datetime(DAYS * 4),
        pd.Series(pd.to_datetime(DAYS * 4)),
        pd.to_datetime(DAYS * 4, utc=True),
        pd.period_range("2024-01-01", periods=2, freq="D")[[0, 1] * 4],
    ],
    ids=["ns", "D", "index", "series", "zone", "period"],
)
def test_dates_stay_dates(days):
    target = read_target(X, dataset=days, n_features=2)
    assert [str(pd.Period(day, "D")) for day in target.dataset_id] == DAYS
    sources = read_sources(days, pos_label=days[0])
    assert sources.positive == 0
    assert owner(target, days).tolist() == [0, 1] * 4


def test_dates_come_back_from_predictions():
    events, y = make_blobs(2000, 1, centers=[[0.0], [3.0]], random_state=0)
    ids = np.arange(2000) % 4
    tamm = TAMMRegressor(inference="frequentist", random_state=0)
    days = pd.to_datetime(DAYS).as_unit("ns")[np.arange(2000) % 2]
    result = tamm.fit(events, days[y], simulation=ids).infer(events, dataset=days)
    assert [str(pd.Timestamp(day).date()) for day in result.dataset] == DAYS
    assert pd.Timestamp(result.pos_label) == pd.Timestamp(DAYS[1])
    told = result_to_json(result)
    assert [day["dataset"][:10] for day in told["datasets"]] == DAYS
    assert told["pos_label"].startswith(DAYS[1])
    truth = true_fraction(
        read_target(events, n_features=1), days[y], result.classes, result.pos_label
    )
    assert truth == y.mean()
    single = SingleSimulation(tamm, which=pd.Timestamp(DAYS[0]))
    single.fit(events, y, simulation=days[ids % 2])
    assert [str(pd.Timestamp(day).date()) for day in single.chosen_] == [DAYS[0]] * 2


def test_durations_and_tuples_stay_what_they_are():
    spans = pd.to_timedelta([1, 2] * 4, unit="h")
    sources = read_simulations(X, Y, simulation=spans)
    assert sources.source_id.dtype.kind == "m"
    pairs = pd.MultiIndex.from_tuples([(1, "a"), (1, "b")] * 4)
    sources = read_simulations(X, Y, simulation=pairs)
    assert sources.source_id.tolist() == [(1, "a"), (1, "b")] * 2


def _masked(values):
    values = np.array(values)
    mask = np.zeros(values.shape, bool)
    mask[2] = True
    return np.ma.array(values, mask=mask)


@pytest.mark.parametrize("name", ["X", "y", "simulation", "sample_weight"])
def test_masked_simulations_are_refused(name):
    given = {"X": X, "y": Y, "simulation": [1, 2] * 4, "sample_weight": np.ones(8)}
    read_simulations(**given | {name: np.ma.array(given[name])})
    with pytest.raises(InvalidInputError, match=f"{name} must hold no masked entries"):
        read_simulations(**given | {name: _masked(given[name])})


@pytest.mark.parametrize("dataset", [Y, np.ones((8, 2), int)], ids=["ids", "counts"])
def test_masked_datasets_are_refused(dataset):
    with pytest.raises(InvalidInputError, match="dataset must hold no masked"):
        read_target(X, dataset=_masked(dataset), n_features=2)


def test_masked_labels_are_refused_wherever_they_judge():
    target = read_target(X, n_features=2)
    with pytest.raises(InvalidInputError, match="y must hold no masked entries"):
        true_fraction(target, _masked(Y), np.array([0, 1]), 1)
    events, y = make_blobs(400, 1, centers=[[0.0], [3.0]], random_state=0)
    tamm = BinnedTopicTAMM(random_state=0).fit(events, y, simulation=np.arange(400) % 4)
    with pytest.raises(InvalidInputError, match="y must hold no masked entries"):
        CoverageScorer()(tamm, events, _masked(y))
    with pytest.raises(InvalidInputError, match="y must hold no masked entries"):
        coverage_study(tamm, events, _masked(y), kappas=[0.1], sizes=50, n_datasets=2)
    for learner in (
        MomentMorphing(),
        LightGBMRatioClassifier(),
        TorchMLPClassifier(),
        ClassifierEnsemble(LogisticRegression()),
        WifiEnsemble(LogisticRegression()),
    ):
        with pytest.raises(InvalidInputError, match="X must hold no masked entries"):
            learner.fit(_masked(events), y)


def test_masked_events_have_no_likelihood():
    ratio = QuadraticRatioEstimator(LinearRegression())
    X = np.random.default_rng(0).normal(size=(200, 1))
    ratio.fit(X, np.hstack([X, X**2]))
    UnbinnedLikelihood(ratio, include_rate=False).fit(X)
    with pytest.raises(InvalidInputError, match="X must hold no masked entries"):
        UnbinnedLikelihood(ratio, include_rate=False).fit(_masked(X))


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (pd.DataFrame({"run": Y}), r"single column 'run'.*ids give df\['run'\]"),
        (pd.DataFrame({"run": ["a"] * 8}), "single column 'run'"),
        (pd.DataFrame({"run": [281_639] * 8, "lumi": Y}), "every event 281639 times"),
        (np.full((8, 1), 281_639), "ids in one dimension, as df"),
        (
            pd.DataFrame(np.ones((8, 2)), columns=["a", "a"]),
            "names .* 'a' occurs twice",
        ),
        (np.full((8, 2), "a"), "ids of the events have one dimension"),
    ],
    ids=["frame", "strings", "two columns", "array", "twice", "text"],
)
def test_ids_in_two_dimensions_are_not_counted(dataset, message):
    with pytest.raises(InvalidInputError, match=message):
        read_target(X, dataset=dataset, n_features=2)


def test_counts_may_be_nullable_integers():
    counts = pd.DataFrame({"a": [1] * 8, "b": Y}, dtype="Int64")
    target = read_target(X, dataset=counts, n_features=2)
    np.testing.assert_array_equal(target.counts, np.column_stack([[1] * 8, Y]))
    single = read_target(X, dataset=sparse.csc_array(np.full((8, 1), 3)), n_features=2)
    assert single.counts.sum() == 24


def test_an_id_per_event_is_refused_early():
    n = 20_000
    events, y = np.zeros((n, 1)), np.arange(n) % 2
    with pytest.raises(
        InvalidInputError, match=r"simulation must hold .* 20000 differ"
    ):
        BinnedTopicTAMM().fit(events, y, simulation=np.arange(n))
    with pytest.raises(InvalidInputError, match="at most 5000 simulations"):
        read_simulations(np.zeros((2 * 10**5, 1)), np.arange(2 * 10**5) // 20 % 2,
                         simulation=np.arange(2 * 10**5) // 19)  # fmt: skip
    with pytest.raises(InvalidInputError, match="y must hold at most 100 classes"):
        BinnedTopicTAMM().fit(events, np.arange(n))
    with pytest.raises(InvalidInputError, match=r"dataset must hold .* at least 2"):
        read_target(events, dataset=np.arange(n), n_features=1)
    with pytest.raises(InvalidInputError, match=r"groups must hold ids .* at least 10"):
        next(LeaveSimulationsOut().split(events, y, np.arange(n)))
    few = read_target(events[:100], dataset=np.arange(100), n_features=1)
    assert few.n_datasets == 100


def test_folds_of_large_ids_are_those_of_small_ones():
    small = list(LeaveSimulationsOut().split(X, Y, [1, 2] * 4))
    ids = pd.Series([BIG, BIG + 1] * 4, dtype="Int64")
    alone = list(LeaveSimulationsOut().split(X, Y, ids))
    large = list(LeaveSimulationsOut().split(X, Y, ids, simulation=ids.tolist()))
    for a, b, c in zip(small, large, alone, strict=True):
        np.testing.assert_array_equal(a[1], b[1])
        np.testing.assert_array_equal(a[1], c[1])
    with pytest.raises(InvalidInputError, match="groups must be None or equal"):
        next(LeaveSimulationsOut().split(X, Y, ids, simulation=ids + 1))
