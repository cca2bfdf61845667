"""Bookkeeping among the features is told; discrete and sorted physics is not."""

import io
import warnings

import numpy as np
import pandas as pd
import pytest

from sktamm import BinnedTopicTAMM, NeuralRatioTAMM
from sktamm.datasets import make_gaussian_study
from sktamm.events._suspects import warn_about_simulations, warn_about_target
from sktamm.exceptions import FeatureWarning, InvalidInputError
from sktamm.io import result_to_json
from sktamm.model_selection import CalibratedTAMM
from sktamm.parametric import DerivativeRatioRegressor
from sktamm.ratios import DensityRatio

N, K = 600, 6


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(0)


def _source(n=N):
    return np.arange(n) % K


def _columns(n, seed=0):
    """Physics as detectors give it: none of these may be suspected."""
    rng = np.random.default_rng(seed)
    energy = rng.exponential(5e4, n)
    return {
        "mass": rng.normal(size=n),
        "jets": rng.poisson(4, n).astype(float),
        "leptons": rng.integers(0, 2, n).astype(float),
        "tag": (rng.uniform(size=n) < 0.002).astype(float),
        "energy_MeV": np.rint(energy),
        "angle": np.rint(rng.uniform(-180, 180, n)),
        "run2_mass": np.round(rng.normal(size=n), 1),
    }


def _simulations(n=N, **extra):
    columns = _columns(n) | extra
    return np.column_stack(list(columns.values())), _source(n), tuple(columns)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("n", [40, 600, 5000])
def test_physics_is_not_suspected(n, seed):
    columns, target = _columns(n, seed), _columns(n // 2, 1000 + seed)
    # Too rare to be seen in few events, the tag is constant there.
    if n * 0.002 < 20:
        del columns["tag"], target["tag"]
    X, names = np.column_stack(list(columns.values())), tuple(columns)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seen = warn_about_simulations(X, _source(n), names)
        warn_about_target(np.column_stack(list(target.values())), None, seen)
        ids = np.arange(n // 2) % 3
        warn_about_target(np.column_stack(list(target.values())), ids, seen)


@pytest.mark.parametrize(
    "name",
    ["weight", "mcWeight", "event_weight", "eventNumber", "EVENT", "RunNumber", "run",
     "index", "idx", "level_0", "lumi_block", "luminosityBlock", "id", "timestamp"],
)  # fmt: skip
def test_names_of_bookkeeping(name):
    X, source, names = _simulations(**{name: _columns(N, 5)["mass"]})
    with pytest.warns(FeatureWarning, match=rf"physics: '{name}' \(its name\)\."):
        warn_about_simulations(X, source, names)


@pytest.mark.parametrize(
    "name",
    ["W_mass", "muon_id", "n_jets", "weighted_mass", "event_shape", "jet_index", "no",
     "number_of_jets", "m_run2", "x0", "channel", "angle [rad]"],
)  # fmt: skip
def test_names_of_physics(name):
    X, source, names = _simulations(**{name: _columns(N, 5)["mass"]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert warn_about_simulations(X, source, names).suspects == frozenset()


def _number_per_source(n):
    return np.arange(n) // K


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (lambda n: 100.0 + _source(n), "one value in every simulation"),
        (lambda n: np.arange(n), "increasing from row to row"),
        (lambda n: _number_per_source(n), "increasing from row to row"),
        (lambda n: 1.7e9 + 0.1 * np.arange(n), "increasing from row to row"),
        (lambda n: np.random.default_rng(1).permutation(n), "whole numbers that never"),
        (lambda n: np.random.default_rng(1).permutation(n // K)[_number_per_source(n)],
         "whole numbers that never"),
    ],
    ids=["of source", "index", "of each", "time", "shuffled", "both"],
)  # fmt: skip
def test_bookkeeping_of_simulations(column, reason):
    X, source, names = _simulations(extra=column(N))
    with pytest.warns(FeatureWarning, match=rf"physics: 'extra' \({reason}"):
        seen = warn_about_simulations(X, source, names)
    assert seen.suspects == {len(names) - 1}


@pytest.mark.parametrize(
    ("column", "dataset", "reason"),
    [
        (lambda n: np.ones(n), None, "one value in every dataset, but not in the sim"),
        (lambda n: 7.0 + _source(n), _source(N), "one value in every dataset"),
        (lambda n: np.arange(n), None, "increasing from row to row in the target"),
        (lambda n: _number_per_source(n), _source(N), "increasing from row to row"),
        (
            lambda n: np.random.default_rng(1).permutation(n),
            None,
            "whole numbers that nev",
        ),
    ],
    ids=["constant", "of dataset", "index", "of each", "shuffled"],
)
def test_bookkeeping_of_the_target(column, dataset, reason):
    X, source, names = _simulations(extra=_columns(N, 3)["mass"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seen = warn_about_simulations(X, source, names)
    target = np.column_stack([*_columns(N, 9).values(), column(N)])
    with pytest.warns(FeatureWarning, match=rf"physics: 'extra' \({reason}"):
        warn_about_target(target, dataset, seen)


def test_a_constant_counts_where_the_target_has_other_values():
    X, source, names = _simulations(extra=np.ones(N))
    same = np.column_stack([*_columns(N, 9).values(), np.ones(N)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seen = warn_about_simulations(X, source, names)
        warn_about_target(same, None, seen)
    for other in (np.full(N, 2.0), _columns(N, 3)["mass"]):
        with pytest.warns(FeatureWarning, match=r"physics: 'extra' \(one value in"):
            warn_about_target(np.column_stack([same[:, :-1], other]), None, seen)


def test_what_the_simulations_explain_is_not_suspected():
    """Nearly all simulated events have two leptons; a few hundred data all do."""
    rng = np.random.default_rng(2)
    leptons = np.where(rng.uniform(size=20_000) < 0.999, 2.0, 3.0)
    X = np.column_stack([rng.normal(size=20_000), leptons])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seen = warn_about_simulations(X, _source(20_000), ("m", "leptons"))
        target = np.column_stack([rng.normal(size=300), np.full(300, 2.0)])
        warn_about_target(target, None, seen)
    with pytest.warns(FeatureWarning, match="'leptons'"):
        warn_about_target(np.where([0, 1], 3.0, target), None, seen)


def test_sorted_events_of_one_feature_and_events_at_one_point_are_left_alone():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        column = np.linspace(0, 1, 100)[:, None]
        seen = warn_about_simulations(column, np.zeros(100, np.intp), ("x0",))
        warn_about_target(column, None, seen)
        seen = warn_about_simulations(*_simulations())
        warn_about_target(np.ones((100, seen.sample.shape[1])), None, seen)


@pytest.fixture(scope="module")
def study():
    return make_gaussian_study(n_simulations=4, n_events=500, random_state=0)


def _frame(X, **extra):
    return pd.DataFrame(X, columns=["mass", "angle"]).assign(**extra)


# A number of the event is a feature in which simulations are not of one kind.
@pytest.mark.filterwarnings("ignore::sktamm.exceptions.ExchangeabilityWarning")
@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SpanWarning")
def test_estimators_warn_at_fit_and_at_inference(study):
    events = _frame(study.X, number=np.arange(len(study.X)))
    for estimator in (
        BinnedTopicTAMM(inference="frequentist", bins=4),
        CalibratedTAMM(BinnedTopicTAMM(inference="frequentist", bins=4)),
        NeuralRatioTAMM("logistic", random_state=0),
        DensityRatio("logistic", random_state=0),
    ):
        with pytest.warns(FeatureWarning, match="'number'") as told:
            estimator.fit(events, study.y, simulation=study.simulation)
        assert [w.category for w in told].count(FeatureWarning) == 1
    pure = _frame(study.X, number=np.random.default_rng(0).normal(size=len(study.X)))
    tamm = BinnedTopicTAMM(inference="frequentist", bins=2)
    tamm.fit(pure, study.y, simulation=study.simulation)
    data = _frame(study.X_target, number=0.5)
    with pytest.warns(FeatureWarning, match=r"'number' \(one value in every d") as told:
        tamm.infer(data)
    assert told[0].filename == __file__


def test_parametric_learners_warn_of_names_too():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(200, 2)), columns=["mass", "event_weight"])
    with (
        pytest.warns(FeatureWarning, match=r"'event_weight' \(its name\)"),
        warnings.catch_warnings(),
    ):
        DerivativeRatioRegressor("lightgbm").fit(X, rng.normal(size=(200, 2)))


def test_an_index_in_a_file_does_not_become_a_feature(study):
    frame = _frame(study.X)
    again = pd.read_csv(io.StringIO(frame.to_csv()))
    with pytest.raises(
        InvalidInputError, match="column 0 is 'Unnamed: 0', as an index"
    ):
        BinnedTopicTAMM().fit(again, study.y, simulation=study.simulation)
    named = frame.rename_axis("index").reset_index()
    with pytest.warns(FeatureWarning, match=r"'index' \(its name\)"):
        BinnedTopicTAMM(bins=3).fit(named, study.y, simulation=study.simulation)


def test_the_result_tells_the_features(study):
    tamm = BinnedTopicTAMM(inference="frequentist", bins=4)
    tamm.fit(_frame(study.X), study.y, simulation=study.simulation)
    result = tamm.infer(_frame(study.X_target))
    assert result.features == ("mass", "angle")
    assert "features: mass, angle" in result.summary().splitlines()
    assert result_to_json(result)["features"] == ["mass", "angle"]
    unnamed = tamm.fit(study.X, study.y, simulation=study.simulation)
    assert unnamed.infer(study.X_target).features == ("x0", "x1")
