"""Common mistakes end in one sentence that names the way out."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktamm import BinnedTopicTAMM, NeuralRatioTAMM
from sktamm.components import RatioComponents
from sktamm.datasets import make_gaussian_study
from sktamm.events import read_simulations, read_target
from sktamm.exceptions import (
    IncompatibleChoiceError,
    InvalidInputError,
)
from sktamm.model_selection import CalibratedTAMM
from sktamm.parametric import DerivativeRatioRegressor
from sktamm.ratios import DensityRatio

X = np.arange(12.0).reshape(6, 2)
Y = [0, 0, 0, 1, 1, 1]
DAY = pd.Timestamp("2024-01-01")


def _frame(*names, **columns):
    frame = pd.DataFrame(X, columns=list(names) if names else ["a", "b"])
    return frame.assign(**columns)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (_frame("mass", "mass"), "different names of columns, but 'mass' occurs twice"),
        (_frame(0, 0), "different names of columns, but 0 occurs twice"),
        (_frame("mass", "Unnamed: 0"), "column 1 is 'Unnamed: 0', as an index written"),
        (_frame("", "mass"), r"name for every column, but column 0 is ''"),
        (_frame(None, "mass"), "name for every column, but column 0 is"),
        (_frame(time=DAY), "Column 'time' of X must hold real numbers, .* datetime64"),
        (_frame(time=DAY.tz_localize("UTC")), r"Column 'time' .* datetime64\[.*UTC"),
        (_frame(time=DAY - DAY), "Column 'time' of X .* timedelta64"),
        (_frame(kind="x"), "could not convert string to float: 'x', in column 'kind'"),
    ],
    ids=str,
)
def test_columns_that_are_no_features(frame, message):
    with pytest.raises(InvalidInputError, match=message):
        read_simulations(frame, Y)
    names = tuple(frame.columns)
    with pytest.raises(InvalidInputError, match=message):
        read_target(frame, n_features=len(names), feature_names=names)
    with pytest.raises(InvalidInputError, match=message):
        DerivativeRatioRegressor().fit(frame, np.ones((6, 2)))


def test_an_index_in_the_target_alone_is_refused():
    frame = _frame().rename_axis(None).reset_index(names="")
    with pytest.raises(InvalidInputError, match="name for every column, but column 0"):
        read_target(frame, n_features=2, feature_names=("a", "b"))


def test_times_are_no_numbers():
    times = np.full(6, "2024-01-01", "M8[s]")
    with pytest.raises(InvalidInputError, match=r"X must hold real.*datetime64"):
        read_simulations(times[:, None], Y)
    for weight in (times, np.ones(6) + 1j):
        with pytest.raises(InvalidInputError, match="sample_weight must hold real"):
            read_simulations(X, Y, sample_weight=weight)


@pytest.mark.parametrize(
    "make",
    [
        lambda **s: DensityRatio("logistic", **s).fit(X, Y),
        lambda **s: NeuralRatioTAMM(DensityRatio("logistic", **s)).fit(X, Y),
        lambda **s: RatioComponents(DensityRatio("logistic", **s)).fit(
            read_simulations(X, Y)
        ),
    ],
    ids=["DensityRatio", "NeuralRatioTAMM", "RatioComponents"],
)
@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SingleSimulationWarning")
@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"cv": KFold(5)}, r"cv must be an int .* or None, got KFold"),
        ({"cv": 2.5}, r"cv must be an int .* or None, got 2\.5"),
        ({"cv": "5"}, "cv must be an int .* or None, got '5'"),
        ({"n_reference": "all"}, "n_reference must be an int .*, got 'all'"),
        ({"holdout": KFold(5)}, "holdout must be a float .*, got KFold"),
    ],
    ids=str,
)
def test_numbers_that_are_something_else(make, setting, message):
    with pytest.raises(IncompatibleChoiceError, match=message):
        make(**setting)


@pytest.fixture(scope="module")
def study():
    return make_gaussian_study(n_simulations=4, n_events=200, random_state=0)


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SingleSimulationWarning")
def test_cross_val_predict_is_refused(study):
    tamm = BinnedTopicTAMM(inference="frequentist", bins=4, random_state=0)
    folds = KFold(2, shuffle=True, random_state=0)
    search = GridSearchCV(tamm, {"n_topics": [5]}, cv=folds, scoring=lambda *_: 0.0)
    for estimator in (tamm, make_pipeline(StandardScaler(), tamm), search):
        with pytest.raises(InvalidInputError, match="one value per dataset; use cross"):
            cross_val_predict(estimator, study.X, study.y, cv=folds)
    with pytest.raises(InvalidInputError, match="one value per dataset; use cross"):
        cross_val_predict(
            CalibratedTAMM(tamm),
            study.X,
            study.y,
            params={"simulation": study.simulation},
            cv=folds,
        )
    proba = cross_val_predict(
        tamm,
        study.X,
        study.y,
        method="predict_proba",
        cv=folds,
    )
    assert proba.shape == (study.y.size, 2)
