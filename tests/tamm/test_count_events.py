"""Pieces give the numbers of all events at once, bit for bit."""

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sktamm import (
    AutoTAMM,
    BinnedTopicTAMM,
    NeuralRatioTAMM,
    ScoreTAMM,
    count_events,
    infer,
)
from sktamm.baselines import PooledSimulations, TemplateMorphing
from sktamm.datasets import make_gaussian_study
from sktamm.exceptions import (
    FeatureWarning,
    IncompatibleChoiceError,
    InvalidInputError,
)
from sktamm.model_selection import CalibratedTAMM

pytestmark = pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")

STUDY = make_gaussian_study(
    n_simulations=3, n_events=800, n_signal=300, n_background=2700, random_state=3
)
RNG = np.random.default_rng(0)
N = len(STUDY.X_target)
FRAME = pd.DataFrame(STUDY.X_target, columns=["x", "y"]).assign(
    weight=RNG.normal(1.0, 0.7, N), run=RNG.integers(-2, 3, N)
)
FRAME.loc[::50, "x"] = -999.0


def fitted(estimator, X=STUDY.X):
    X = pd.DataFrame(X, columns=["x", "y"])
    return estimator.fit(X, STUDY.y, simulation=STUDY.simulation)


def cut(frame, size):
    """Pieces of so many events."""
    return (frame[i : i + size] for i in range(0, len(frame), size))


def check(tamm, frame, size, columns):
    """Compare the result of pieces with that of all events."""
    counts = count_events(tamm, cut(frame, size), **columns)
    question = {name: frame[column] for name, column in columns.items()}
    X = frame.drop(columns=list(columns.values()))
    whole, own = tamm.infer(X, **question), tamm.infer(counts)
    np.testing.assert_array_equal(own.kappa, whole.kappa)
    np.testing.assert_array_equal(own.interval, whole.interval)
    np.testing.assert_array_equal(own.dataset, whole.dataset)
    np.testing.assert_array_equal(own.n_effective, whole.n_effective)
    np.testing.assert_array_equal(own.templates.counts, whole.templates.counts)
    assert own.flags == whole.flags
    for name in ("beyond", "unfilled", "out_of_range"):
        np.testing.assert_array_equal(own.diagnostics[name], whole.diagnostics[name])
    return whole


FEATURES = ["x", "y"]
WEIGHTED = {"sample_weight": "weight"}
RUNS = {"dataset": "run"}


@pytest.mark.parametrize("columns", [{}, WEIGHTED, RUNS, WEIGHTED | RUNS], ids=str)
@pytest.mark.parametrize("flow", ["clip", "bins", "drop"])
def test_bins(flow, columns):
    tamm = fitted(BinnedTopicTAMM(bins=[12, 5], flow=flow))
    frame = FRAME[FEATURES + list(columns.values())]
    for size in (97, 1000, N):
        result = check(tamm, frame, size, columns)
    # The mechanisms that could go wrong are there.
    assert (result.diagnostics["beyond"] > 0).all()


def test_more_events_of_several_datasets_than_one_block():
    tamm = fitted(BinnedTopicTAMM(bins=4))
    many = pd.concat([FRAME] * 12, ignore_index=True)
    check(tamm, many, 5000, WEIGHTED | RUNS)


def test_events_in_bins_that_nothing_fills():
    tamm = fitted(BinnedTopicTAMM(bins=40))
    result = check(tamm, FRAME[[*FEATURES, "weight"]], 100, WEIGHTED)
    assert result.diagnostics["unfilled"][0] > 0


@pytest.mark.parametrize("classifier", ["logistic", "lightgbm"])
def test_score(classifier):
    tamm = fitted(ScoreTAMM(classifier, n_scores=2, cv=3, random_state=0))
    for size in (171, N):
        check(tamm, FRAME[[*FEATURES, "weight"]], size, WEIGHTED)


def test_copies_of_discrete_events_take_turns_across_pieces():
    tamm = fitted(ScoreTAMM("logistic", random_state=0), np.rint(3 * STUDY.X) / 3)
    assert tamm.components_.score_._parts.discrete
    discrete = np.rint(3 * FRAME[FEATURES]) / 3
    for size in (50, 300):
        check(tamm, discrete, size, {})


def test_projected_ratios():
    tamm = fitted(NeuralRatioTAMM("logistic", projection="log_odds", random_state=0))
    check(tamm, FRAME[FEATURES], 500, {})


def test_other_estimators():
    binned = BinnedTopicTAMM(bins=4)
    morphing = TemplateMorphing({i: float(i) for i in range(3)}, bins=4)
    for estimator in (PooledSimulations(binned), morphing, AutoTAMM([("b", binned)])):
        check(fitted(estimator), FRAME[FEATURES], 400, {})


def test_pipeline_transforms_every_piece():
    pipe = make_pipeline(FunctionTransformer(np.arctan), BinnedTopicTAMM(bins=5))
    pipe.fit(STUDY.X, STUDY.y, binnedtopictamm__simulation=STUDY.simulation)
    pieces = np.array_split(STUDY.X_target.astype(np.float32), 7)
    counts = count_events(pipe, pieces)
    whole = infer(pipe, STUDY.X_target.astype(np.float32))
    np.testing.assert_array_equal(pipe[-1].predict(counts), whole.kappa)


def test_counts_add_up():
    tamm = fitted(BinnedTopicTAMM(bins=5))
    frame = FRAME[[*FEATURES, "run"]].sort_values("run")
    parts = [count_events(tamm, [part], dataset="run") for part in cut(frame, 2500)]
    both = sum(parts[1:], parts[0])
    whole = count_events(tamm, [frame], dataset="run")
    for name in ("weight", "number", "number_beyond", "dataset_id"):
        np.testing.assert_array_equal(getattr(both, name), getattr(whole, name))


def test_counts_of_another_estimator_are_refused():
    tamm, other = (fitted(BinnedTopicTAMM(bins=n)) for n in (5, 6))
    counts = count_events(tamm, [FRAME[FEATURES]])
    with pytest.raises(InvalidInputError, match="this fitted estimator"):
        other.infer(counts)
    with pytest.raises(InvalidInputError, match="one fitted estimator"):
        _ = counts + count_events(other, [FRAME[FEATURES]])
    with pytest.raises(InvalidInputError, match="must be None with counted"):
        tamm.predict(counts, sample_weight=np.ones(3))
    with pytest.raises(InvalidInputError, match="must hold events for predict_proba"):
        tamm.predict_proba(counts)


def test_bad_pieces_are_refused():
    tamm, good = fitted(BinnedTopicTAMM(bins=5)), FRAME[FEATURES]
    bad = good.assign(y=np.where(np.arange(N) == 4, np.nan, good["y"]))
    with pytest.raises(InvalidInputError, match=r"In piece 1: .* row 4 in column 'y'"):
        count_events(tamm, [good, bad])
    with pytest.raises(InvalidInputError, match="pieces must hold events, got none"):
        count_events(tamm, [good[:0]])
    with pytest.raises(InvalidInputError, match=r"In piece 0: .* column 'run'"):
        count_events(tamm, [good], dataset="run")
    pieces = [good.assign(w=1.0), good.assign(w=-1.0)]
    with pytest.raises(InvalidInputError, match="must not sum to zero"):
        count_events(tamm, pieces, sample_weight="w")
    numbered = cut(good.assign(event=np.arange(N)), 100)
    with pytest.raises(InvalidInputError, match="number of the event"):
        count_events(tamm, numbered, dataset="event")


@pytest.mark.parametrize(
    "estimator",
    [
        NeuralRatioTAMM("logistic", projection=None, random_state=0),
        CalibratedTAMM(BinnedTopicTAMM(bins=4)),
    ],
    ids=lambda e: type(e).__name__,
)
def test_who_asks_for_every_event_is_refused(estimator):
    with pytest.raises(IncompatibleChoiceError, match="only count events in bins"):
        count_events(fitted(estimator), [FRAME[FEATURES]])


def test_a_feature_that_numbers_events_is_warned_about():
    tamm = fitted(BinnedTopicTAMM(bins=5))
    numbered = FRAME[FEATURES].assign(y=np.arange(N) / N)
    with pytest.warns(FeatureWarning, match="'y' .increasing from row to row in the"):
        count_events(tamm, cut(numbered, 100))
