"""With the libraries around scikit-learn: tables, callbacks, diagrams, discovery."""

import importlib
import inspect

import numpy as np
import pandas as pd
import pytest
import sklearn
from public_estimators import public_estimators
from sklearn.base import BaseEstimator
from sklearn.model_selection import cross_validate

from sktamm import AutoTAMM, BinnedTopicTAMM, ScoreTAMM
from sktamm.datasets import make_gaussian_study
from sktamm.discovery import all_estimators
from sktamm.exceptions import InvalidInputError
from sktamm.model_selection import CoverageScorer, LeaveSimulationsOut
from sktamm.templates import LearnedScore

STUDY = make_gaussian_study(n_simulations=4, n_events=1000, random_state=0)
X = pd.DataFrame(STUDY.X, columns=["mass", "pt"])
TARGET = pd.DataFrame(STUDY.X_target[::20], columns=["mass", "pt"])
SIMULATED = {"y": STUDY.y, "simulation": STUDY.simulation}
TAMM = BinnedTopicTAMM(bins=5).fit(X, **SIMULATED)
KAPPA = TAMM.predict(TARGET)


# ----------------------------------------------------------------------------- tables
def _polars(frame):
    return pytest.importorskip("polars").from_pandas(frame)


def _arrow(frame):
    return pytest.importorskip("pyarrow").Table.from_pandas(frame)


def _batch(frame):
    return pytest.importorskip("pyarrow").RecordBatch.from_pandas(frame)


every_table = pytest.mark.parametrize("table", [_polars, _arrow, _batch])


@every_table
def test_tables_of_other_libraries_keep_names_and_numbers(table):
    tamm = BinnedTopicTAMM(bins=5).fit(table(X), **SIMULATED)
    assert tamm.feature_names_in_.tolist() == ["mass", "pt"]
    run = np.arange(len(TARGET)) % 2
    np.testing.assert_array_equal(tamm.predict(table(TARGET)), KAPPA)
    np.testing.assert_array_equal(
        tamm.predict_proba(table(TARGET)), TAMM.predict_proba(TARGET)
    )
    y = np.arange(len(TARGET)) % 2
    assert tamm.score(table(TARGET), y) == TAMM.score(TARGET, y)
    np.testing.assert_array_equal(
        tamm.infer(table(TARGET), dataset=run).kappa,
        TAMM.infer(TARGET, dataset=run).kappa,
    )


@every_table
def test_other_names_are_refused_in_any_table(table):
    other = TARGET.rename(columns={"pt": "eta"})
    with pytest.raises(InvalidInputError, match="eta"):
        TAMM.predict(table(other))


def test_columns_of_other_libraries_are_labels_and_ids():
    polars, arrow = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    for make in (polars.Series, arrow.array):
        own = {name: make(values) for name, values in SIMULATED.items()}
        tamm = BinnedTopicTAMM(bins=5).fit(X, **own)
        np.testing.assert_array_equal(tamm.predict(TARGET), KAPPA)


def test_transformers_give_the_tables_that_are_asked_for():
    score = LearnedScore("logistic", random_state=0).fit(X, STUDY.y)
    plain = score.transform(TARGET)
    frame = score.set_output(transform="pandas").transform(TARGET)
    assert list(frame.columns) == list(score.get_feature_names_out())
    np.testing.assert_array_equal(frame.to_numpy(), plain)


# -------------------------------------------------------------------------- callbacks
class Listener:
    """A callback that writes down what it is told."""

    def __init__(self):
        self.heard = []

    def setup(self, estimator, context):
        self.heard.append("setup")

    def teardown(self, estimator, context):
        self.heard.append("teardown")

    def on_fit_task_begin(self, estimator, context, **told):
        self.heard.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, **told):
        self.heard.append(f"end {context.task_name}")
        return False


def _listened():
    listener = Listener()
    candidates = [(f"{n} bins", BinnedTopicTAMM(bins=n)) for n in (4, 2)]
    auto = AutoTAMM(candidates, n_datasets=1)
    auto.set_callbacks(listener)
    return auto, listener


@pytest.mark.skipif(
    not hasattr(AutoTAMM, "set_callbacks"), reason="before scikit-learn 1.9"
)
def test_callbacks_hear_of_every_step():
    auto, listener = _listened()
    auto.fit(X, **SIMULATED)
    steps = ["4 bins", "2 bins", "simulations left out"]
    inner = [word for name in steps for word in (f"begin {name}", f"end {name}")]
    assert listener.heard == ["setup", "begin fit", *inner, "end fit", "teardown"]
    silent = AutoTAMM(auto.candidates, n_datasets=1).fit(X, **SIMULATED)
    assert auto.predict(TARGET) == silent.predict(TARGET)


@pytest.mark.skipif(
    not hasattr(AutoTAMM, "set_callbacks"), reason="before scikit-learn 1.9"
)
def test_callbacks_end_with_a_fit_that_fails():
    auto, listener = _listened()
    with pytest.raises(InvalidInputError):
        auto.fit(X, y=np.zeros(len(X)), simulation=STUDY.simulation)
    assert listener.heard[0] == "setup"
    assert listener.heard[-1] == "teardown"


# ---------------------------------------------------------------- diagrams and routing
@pytest.mark.parametrize(("name", "made"), all_estimators("fraction"))
def test_estimators_are_drawn(name, made):
    needed = [
        p
        for p in inspect.signature(made).parameters.values()
        if p.default is inspect.Parameter.empty
    ]
    arguments = [[("a", BinnedTopicTAMM())] if name == "PosteriorPool" else TAMM]
    html = made(*arguments[: len(needed)])._repr_html_()
    assert name in html


@pytest.mark.parametrize("routing", [False, True])
def test_ids_reach_the_estimator_with_routing_on_and_off(routing):
    scorer = CoverageScorer(n_datasets=4, kappa=(0.1, 0.4), size=300)
    words = {"params": {"simulation": STUDY.simulation}}
    words |= {} if routing else {"groups": STUDY.simulation}
    with sklearn.config_context(enable_metadata_routing=routing):
        scores = cross_validate(
            BinnedTopicTAMM(bins=5, inference="frequentist"),
            X,
            STUDY.y,
            cv=LeaveSimulationsOut(),
            scoring=scorer,
            error_score="raise",
            **words,
        )
    assert scores["test_interval_score"].shape == (4,)


# -------------------------------------------------------------------------- discovery
def test_all_estimators_are_found():
    found = dict(all_estimators())
    assert {"AutoTAMM", "DensityRatio", "SimulationsPrior", "FreeTemplates"} <= set(
        found
    )
    for name, made in found.items():
        assert issubclass(made, BaseEstimator)
        assert getattr(importlib.import_module(made.__module__), name) is made
    # Every public class with parameters of its own is found.
    public = {made for made in public_estimators().values() if _has_parameters(made)}
    assert public <= set(found.values())


def _has_parameters(made):
    return "__init__" in vars(made)


def test_they_are_told_apart():
    kinds = {
        k: dict(all_estimators(k)) for k in ("fraction", "classifier", "regressor")
    }
    assert ScoreTAMM in kinds["fraction"].values()
    assert "TorchMLPClassifier" in kinds["classifier"]
    assert "TorchMLPRegressor" in kinds["regressor"]
    assert not set(kinds["fraction"]) & set(kinds["classifier"])
    assert "LearnedScore" in dict(all_estimators("transformer"))
    with pytest.raises(InvalidInputError, match="one of fraction, classifier"):
        all_estimators("cluster")
