"""Studies: the same numbers everywhere, exact, narrow and wide told apart, failures.

`test_tools_tell_truth_from_error` tests nominal coverage four times at 0.1 %, and wrong
coverage eight times where the power is above 99.9 %: correct tools are blamed with a
chance below 1.2 % over the family, and once and for all, since the seeds are fixed.
"""

import builtins
import dataclasses
import sys
from types import SimpleNamespace

import joblib
import numpy as np
import pandas as pd
import pytest
import threadpoolctl
from coverage_estimators import (
    Nested,
    NormalFraction,
    NormalMean,
    equal,
    high,
    labelled_events,
    normal_events,
)
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sktamm import BinnedTopicTAMM
from sktamm.coverage import coverage_study
from sktamm.coverage._threads import one_thread
from sktamm.datasets import make_gaussian_study
from sktamm.exceptions import FitFailedWarning, InvalidInputError

X, Y = labelled_events()
PLAN = {"kappas": [0.1, 0.3], "sizes": [50, 100], "n_datasets": 8, "batch_size": 6}


def study(estimator=None, **keywords):
    estimator = NormalFraction().fit(X, Y) if estimator is None else estimator
    return coverage_study(estimator, X, Y, **{**PLAN, **keywords})


@pytest.fixture(scope="module")
def binned():
    train = make_gaussian_study(n_simulations=4, n_events=1000, random_state=1)
    tamm = BinnedTopicTAMM(bins=4, random_state=0)
    return tamm.fit(train.X, train.y, simulation=train.simulation), train


def binned_study(binned, **keywords):
    tamm, train = binned
    plan = {"kappas": [0.05, 0.1], "sizes": 400, "n_datasets": 6, "batch_size": 5}
    return coverage_study(tamm, train.X_target, train.y_target, **{**plan, **keywords})


# ------------------------------------------------------------------- the experiments
def test_full_product_with_reproducible_experiments():
    result = study()
    frame = result.to_frame()
    assert len(frame) == 2 * 2 * 8
    assert (frame.groupby(["truth", "size"]).size() == 8).all()
    assert frame.index.tolist() == list(range(32))
    assert result.table(("truth", "size")).n.tolist() == [8, 8, 8, 8]
    assert (frame.seed == 0).all()
    assert frame.group.nunique() == 1
    assert (frame.seconds > 0).all()
    assert np.unique(frame.kappa).size > 10
    assert result.settings["estimator"] == "NormalFraction"
    assert "without replacement" in result.settings["datasets"]


def test_numbers_follow_from_seed_and_index_alone():
    """Another batch size leaves the datasets as they are; another seed does not."""
    assert equal(study(batch_size=6), study(batch_size=7))
    assert not np.array_equal(study().kappa, study(random_state=1).kappa)
    fresh = study(random_state=None)
    again = study(random_state=int(fresh.seed[0]))
    assert equal(fresh, again)


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_same_numbers_for_any_worker(binned, backend):
    reference = binned_study(binned, n_jobs=1)
    with joblib.parallel_config(backend=backend, n_jobs=2):
        assert equal(binned_study(binned), reference)


def test_pipelines_frames_and_functions_of_a_script():
    """A lambda cannot be pickled by name; it travels all the same."""
    tamm = make_pipeline(FunctionTransformer(lambda X: X), NormalFraction())
    frame = pd.DataFrame(X, columns=["a", "b"])
    tamm.fit(frame, Y)
    result = coverage_study(tamm, frame, Y, n_jobs=2, **PLAN)
    assert np.array_equal(result.kappa, study().kappa)


def test_estimator_without_seed_gets_one(binned):
    _, train = binned
    loose = BinnedTopicTAMM(bins=4).fit(train.X, train.y, simulation=train.simulation)
    assert equal(
        binned_study((loose, train), group="a"), binned_study((loose, train), group="a")
    )
    assert loose.random_state is None


def test_weights_draw_events_in_proportion():
    weight = np.where(np.arange(len(Y)) < 100, 1.0, 0.0)
    result = study(sample_weight=weight)
    assert "with replacement" in result.settings["datasets"]
    assert abs(result.pulls.mean()) < 5.0 / np.sqrt(result.truth.size)


def test_misspecification_is_called_once_per_strength():
    calls = []

    def shift(X, y, strength):
        calls.append(strength)
        assert len(X) == len(y)
        return X + np.array([strength, 0.0])

    result = study(misspecification=shift, strengths=[0.0, 0.2], n_jobs=1)
    assert calls == [0.0, 0.2]
    table = result.table("strength")
    assert table.index.tolist() == [0.0, 0.2]
    # Other datasets of the same kind: shifted by 0.2 up to their errors.
    error = 5.0 * np.sqrt(2 * 0.25 / 50 / len(result.truth))
    assert table.bias[0.2] - table.bias[0.0] == pytest.approx(0.2, abs=error)


def test_generator_takes_any_parameter():
    result = coverage_study(
        NormalMean(), normal_events, kappas=[-3.0, 40.0], sizes=25, n_datasets=50
    )
    assert result.table().n.tolist() == [50, 50]
    assert abs(result.pulls.mean()) < 5.0 / np.sqrt(100)
    assert result.settings["datasets"] == "generator"
    shifted = coverage_study(
        NormalMean(),
        normal_events,
        kappas=[-3.0, 40.0],
        sizes=25,
        n_datasets=50,
        misspecification=lambda X, y, strength: X + strength,
        strengths=1.0,
    )
    np.testing.assert_allclose(shifted.kappa, result.kappa + 1.0)


# ------------------------------------------------------------ what the tables must say
@pytest.fixture(scope="module")
def judged():
    def run(scale):
        return coverage_study(
            NormalMean(scale), normal_events, kappas=0.5, sizes=20, n_datasets=1000
        )

    return {name: run(s) for name, s in (("exact", 1), ("narrow", 0.5), ("wide", 1.4))}


@pytest.mark.parametrize("errors", ["clopper-pearson", "groups"])
def test_tools_tell_truth_from_error(judged, errors):
    alarm = 0.001
    rows = {}
    for name, result in judged.items():
        if errors == "groups":
            parts = np.array([f"g{i}" for i in range(50)])[np.arange(1000) % 50]
            result = dataclasses.replace(result, group=parts)
        rows[name] = result.table(by=(), errors=errors).iloc[0]
    for level in ("0.683", "0.954"):
        nominal = float(level)
        assert rows["exact"][f"p_value_{level}"] > alarm
        assert rows["narrow"][f"p_value_{level}"] < alarm
        assert rows["narrow"][f"coverage_upper_{level}"] < nominal
        assert rows["wide"][f"p_value_{level}"] < alarm
        assert rows["wide"][f"coverage_lower_{level}"] > nominal
    scores = [rows[name].interval_score for name in ("exact", "narrow", "wide")]
    assert min(scores) == scores[0]


# -------------------------------------------------------------------------- failures
def test_only_the_guilty_fits_fail():
    guilty = study(NormalFraction().fit(X, Y)).kappa > 0.33
    assert 0 < guilty.sum() < 16
    estimator = NormalFraction(fail_on=high).fit(X, Y)
    message = rf"{guilty.sum()} of 32 fits failed.*ValueError: no minimum was found$"
    with pytest.warns(FitFailedWarning, match=message):
        result = study(estimator)
    np.testing.assert_array_equal(result.failed, guilty)
    assert set(result.failure[guilty]) == {"ValueError: no minimum was found"}
    np.testing.assert_array_equal(result.kappa[~guilty], study().kappa[~guilty])
    assert np.isnan(result.kappa[guilty]).all()
    assert result.table(by=()).n_failed.tolist() == [guilty.sum()]
    assert "ValueError: no minimum was found" in result.summary()
    with pytest.warns(FitFailedWarning):
        assert equal(study(estimator, n_jobs=2), result)


class NotANumber(NormalFraction):
    def predict(self, X, **keywords):
        kappa, std, interval = super().predict(X, **keywords)
        interval[::2] = np.nan
        return kappa, std, interval


def test_answers_that_are_no_numbers_failed():
    with pytest.warns(FitFailedWarning, match="no finite estimate"):
        result = study(NotANumber().fit(X, Y), batch_size=4)
    assert result.failed.sum() == 16
    assert np.isnan(result.kappa[result.failed]).all()


def test_unfitted_estimator_is_no_failed_fit():
    with pytest.raises(NotFittedError):
        study(BinnedTopicTAMM())


# ------------------------------------------------------------------------- the frame
def test_inner_threads_are_limited():
    class Threads(NormalFraction):
        def predict(self, X, **keywords):
            assert all(p["num_threads"] == 1 for p in threadpoolctl.threadpool_info())
            return super().predict(X, **keywords)

    def numbers():
        return [p["num_threads"] for p in threadpoolctl.threadpool_info()]

    with threadpoolctl.threadpool_limits(2):
        before = numbers()
        for n_jobs in (1, 2):
            with joblib.parallel_config(backend="threading", n_jobs=n_jobs):
                assert not study(Threads().fit(X, Y)).failed.any()
            assert numbers() == before


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_fits_use_no_workers_of_their_own(n_jobs):
    assert (study(Nested().fit(X, Y), n_jobs=n_jobs).kappa == 1).all()


def test_torch_is_limited_where_it_is_loaded(monkeypatch):
    threads = [4]
    torch = SimpleNamespace(
        get_num_threads=lambda: threads[-1], set_num_threads=threads.append
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    with one_thread():
        assert threads[-1] == 1
        with one_thread():
            assert threads[-1] == 1
        assert threads[-1] == 1
    assert threads[-1] == 4


def test_progress_counts_experiments(capsys):
    pytest.importorskip("tqdm")
    study()
    assert capsys.readouterr().err == ""
    study(progress=True)
    assert "32/32" in capsys.readouterr().err


def test_missing_tqdm_is_explained(monkeypatch):
    load = builtins.__import__

    def refuse(name, *arguments, **keywords):
        if name.startswith("tqdm"):
            raise ImportError(name)
        return load(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"progress=True needs tqdm: pip install"):
        study(progress=True)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"kappas": [0.1, 1.2]}, r"kappas must hold fractions from 0 to 1"),
        ({"kappas": [0.1, 0.1]}, "kappas must be a number or a sequence of different"),
        ({"kappas": "many"}, "kappas must be a number"),
        ({"sizes": 10.5}, "sizes must hold integers of at least 1"),
        ({"n_datasets": 0}, "n_datasets must be an integer of at least 1, got 0"),
        ({"batch_size": 2.0}, r"batch_size must be an integer of at least 1, got 2\.0"),
        ({"levels": [1.0]}, "levels must be"),
        ({"levels": [0.683, 0.683]}, "levels must differ"),
        ({"replace": False, "sizes": 3900}, "replace must be True or 'auto' for"),
        ({"random_state": -1}, "random_state must be None or an integer"),
        ({"random_state": np.random.default_rng()}, "random_state must be None"),
        ({"strengths": [1.0]}, "must be given together"),
        ({"misspecification": lambda X, y, s: X}, "must be given together"),
        ({"replace": "often"}, "replace must be True, False or 'auto'"),
        ({"sample_weight": -np.ones(4000)}, "sample_weight must not be negative"),
        (
            {"misspecification": lambda X, y, s: X[:9], "strengths": 1.0},
            "must return all 4000 events, got 9 at strength 1",
        ),
    ],
)
def test_unusable_arguments_are_refused(keywords, message):
    with pytest.raises(InvalidInputError, match=message):
        study(**keywords)


def test_unusable_sources_are_refused():
    tamm = NormalFraction().fit(X, Y)
    with pytest.raises(InvalidInputError, match="y must hold the class of every event"):
        coverage_study(tamm, X, **PLAN)
    with pytest.raises(InvalidInputError, match="one class per event, 4000"):
        coverage_study(tamm, X, Y[:-1], **PLAN)
    with pytest.raises(InvalidInputError, match=r"classes seen at fit, \[0, 1\], got"):
        coverage_study(tamm, X, Y + 1, **PLAN)
    with pytest.raises(InvalidInputError, match="must be left out where X is a gen"):
        coverage_study(tamm, normal_events, Y, **PLAN)
    with pytest.raises(InvalidInputError, match="must have 'infer', or a 'predict'"):
        coverage_study(BaseEstimator(), X, Y, **PLAN)
    with pytest.raises(InvalidInputError, match="LinearRegression has neither"):
        coverage_study(LinearRegression().fit(X, Y), X, Y, **PLAN)
