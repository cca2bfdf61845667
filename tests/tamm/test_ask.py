"""Asking any estimator: through ``infer`` or ``predict``, through Pipelines."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktamm import BinnedTopicTAMM
from sktamm.datasets import make_gaussian_study
from sktamm.tamm._ask import ask, final_step

LEVELS = (0.5, 0.683, 0.9)


@pytest.fixture(scope="module")
def study():
    return make_gaussian_study(4, 500, 50, 500, random_state=0)


@pytest.fixture(scope="module")
def counts(study):
    return np.random.default_rng(0).poisson(1.0, (len(study.X_target), 3))


def _tamm():
    return BinnedTopicTAMM(5, inference="frequentist", random_state=0)


@pytest.fixture(scope="module")
def fitted(study):
    return _tamm().fit(study.X, study.y, simulation=study.simulation)


class OnlyPredicts(BaseEstimator):
    """The contract without ``infer``: a mean of the first feature."""

    def fit(self, X, y):
        self.scale_ = 1.0
        return self

    def predict(self, X, *, dataset, return_std, return_interval):
        kappa = dataset.T @ X[:, 0] / dataset.sum(axis=0)
        half = np.asarray(return_interval)
        ends = [kappa[:, None] - half, kappa[:, None] + half]
        return kappa, 0.1, np.stack(ends, axis=1)


def test_answers_are_those_of_infer(fitted, study, counts):
    answers = ask(fitted, study.X_target, counts, LEVELS)
    result = fitted.infer(study.X_target, dataset=counts, levels=LEVELS)
    np.testing.assert_array_equal(answers.kappa, result.kappa)
    np.testing.assert_array_equal(answers.std, result.std)
    np.testing.assert_array_equal(answers.interval, result.interval)
    assert answers.interval.shape == (3, 2, 3)


def test_answers_are_those_of_predict_where_there_is_no_infer(study, counts):
    X = study.X_target
    answers = ask(OnlyPredicts().fit(X, None), X, counts, LEVELS)
    np.testing.assert_allclose(answers.kappa, counts.T @ X[:, 0] / counts.sum(axis=0))
    np.testing.assert_array_equal(answers.std, 0.1)
    np.testing.assert_allclose(
        np.diff(answers.interval, axis=1)[0, 0], 2 * np.array(LEVELS)
    )
    assert answers.flags == ("",) * 3


def test_pipelines_and_searches_transform_first(study, counts):
    pipe = make_pipeline(StandardScaler(), _tamm())
    grid = {"binnedtopictamm__bins": [4, 5]}
    search = GridSearchCV(pipe, grid, cv=GroupKFold(2)).fit(
        study.X,
        study.y,
        groups=study.simulation,
        binnedtopictamm__simulation=study.simulation,
    )
    assert isinstance(final_step(search), BinnedTopicTAMM)
    found = ask(search, study.X_target, counts, LEVELS)
    best = search.best_estimator_
    alone = ask(best[-1], best[0].transform(study.X_target), counts, LEVELS)
    np.testing.assert_array_equal(found.interval, alone.interval)


def test_predict_is_reached_through_a_pipeline(study, counts):
    X = study.X_target
    pipe = make_pipeline(StandardScaler(), OnlyPredicts()).fit(X, np.zeros(len(X)))
    answers = ask(pipe, X, counts, LEVELS)
    Z = pipe[0].transform(X)
    np.testing.assert_allclose(answers.kappa, counts.T @ Z[:, 0] / counts.sum(axis=0))


def test_weights_are_passed_on(fitted, study):
    weight = np.random.default_rng(1).uniform(0.5, 2.0, len(study.X_target))
    one = np.ones((len(weight), 1))
    answers = ask(fitted, study.X_target, one, LEVELS, sample_weight=weight)
    kappa = fitted.predict(study.X_target, sample_weight=weight)
    np.testing.assert_allclose(answers.kappa, kappa, rtol=1e-9)


def test_problems_are_told_by_flags_not_by_warnings(fitted, study):
    beyond = study.X_target + 1.5
    answers = ask(fitted, beyond, np.ones((len(beyond), 1)), LEVELS)
    assert "out_of_range" in answers.flags[0].split()


def test_estimators_that_cannot_answer_are_refused(study, counts):
    X = study.X_target
    with pytest.raises(ValueError, match=r"estimator must have 'infer'.*LinearRegr"):
        ask(LinearRegression().fit(X, X[:, 0]), X, counts, LEVELS)
