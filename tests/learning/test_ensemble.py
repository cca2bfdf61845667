"""Ensembles of classifiers and the weighted ensemble of two samples."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from joblib import parallel_config
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError
from sktamm.learning._classifiers import accepts_sample_weight
from sktamm.learning._ensemble import (
    ClassifierEnsemble,
    check_classifier,
    fit_classifier,
    fit_in_place,
)
from sktamm.ratios._wifi_ensemble import WifiEnsemble

RESAMPLES = ("bootstrap", "partition", "none")


def _scaled():
    return make_pipeline(StandardScaler(), LogisticRegression())


class Together(ClassifierMixin, BaseEstimator):
    """A classifier that holds all its members, and remembers what it was given."""

    def __init__(self, n_members=1, bootstrap=True, random_state=None):
        self.n_members = n_members
        self.bootstrap = bootstrap
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None, *, member_weight=None):
        self.classes_ = np.unique(y)
        self.seen_ = sample_weight, member_weight
        return self

    def predict_proba(self, X):
        return np.full((len(X), self.classes_.size), 1 / self.classes_.size)

    def predict_member_log_proba(self, X):
        return np.tile(np.log(self.predict_proba(X)), (self.n_members, 1, 1))


class Refuses(LogisticRegression):
    """A classifier that takes no negative weights."""

    def fit(self, X, y, sample_weight=None):
        if sample_weight is not None and np.min(sample_weight) < 0:
            raise ValueError("negative")
        return super().fit(X, y, sample_weight)


@pytest.fixture
def samples():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 600)
    return rng.normal(y[:, None] * [0.5, -0.5]), y


def ensemble(classifier=None, n_members=3, **choices):
    classifier = GaussianNB() if classifier is None else classifier
    choices = {"random_state": 0} | choices
    return ClassifierEnsemble(classifier, n_members, **choices)


@parametrize_with_checks(
    [ensemble(LogisticRegression(), 2, resample=r) for r in ("bootstrap", "none")],
    expected_failed_checks=lambda model: (
        {
            "check_sample_weight_equivalence_on_dense_data": (
                "members draw other weights for a repeated event than for a heavy one"
            )
        }
        if model.resample == "bootstrap"
        else {}
    ),
)
def test_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("resample", RESAMPLES)
def test_probabilities_are_the_mean_of_the_members(samples, resample):
    X, y = samples
    model = ensemble(resample=resample).fit(X, y)
    members = model.predict_member_log_proba(X)
    assert members.shape == (3, 600, 3)
    assert members.dtype == np.float32
    mean = np.exp(members).mean(axis=0)
    np.testing.assert_allclose(model.predict_proba(X), mean, rtol=1e-5, atol=1e-8)
    assert (np.ptp(members, axis=0).max() > 0) == (resample != "none")


@pytest.mark.parametrize("weighted", [False, True])
def test_parts_are_disjoint_complete_and_stratified(samples, weighted):
    X, y = samples
    weight = np.random.default_rng(1).exponential(size=600) if weighted else None
    model = ensemble(resample="partition").fit(X, y, weight)
    _, label = np.unique(y, return_inverse=True)
    counts = model._draw_counts(label, np.random.RandomState(0))
    np.testing.assert_array_equal(counts.sum(axis=0), 1)
    per_class = np.array([np.bincount(label, c) for c in counts])
    assert np.ptp(per_class, axis=0).max() <= 1


@pytest.mark.parametrize("classifier", [GaussianNB(), KNeighborsClassifier()])
def test_bootstrap_counts_have_unit_mean_and_variance(samples, classifier):
    label = samples[1]
    model = ensemble(classifier, 200)
    counts = model._draw_counts(label, np.random.RandomState(0))
    n = counts.size
    assert abs(counts.mean() - 1) < 4 / np.sqrt(n)
    assert abs(counts.var() - 1) < 4 * np.sqrt(3 / n)
    if not accepts_sample_weight(classifier):  # rows are drawn within each class
        per_class = np.array([np.bincount(label, c) for c in counts])
        np.testing.assert_array_equal(per_class, np.tile(np.bincount(label), (200, 1)))


def test_a_class_with_one_event_stays(samples):
    X, y = np.vstack([samples[0], [[5.0, 5.0]]]), np.append(samples[1], 3)
    model = ensemble(LogisticRegression(), 8).fit(X, y)
    assert all(member.classes_.size == 4 for member in model.members_)


def test_weights_reach_the_last_step_of_a_pipeline(samples):
    X, y = samples
    weight = np.where(y == 0, 5.0, 1.0)
    pipeline = make_pipeline(StandardScaler(), GaussianNB())
    fitted = fit_classifier(pipeline, X, y, weight)
    np.testing.assert_allclose(
        fitted[-1].class_prior_, np.bincount(y, weight) / weight.sum()
    )
    model = ensemble(pipeline, resample="none").fit(X, y, weight)
    np.testing.assert_allclose(model.predict_proba(X), fitted.predict_proba(X))
    assert not hasattr(pipeline[-1], "class_prior_")


def test_weights_arrive_whatever_the_routing(samples):
    X, y = samples
    pipeline = make_pipeline(StandardScaler(), GaussianNB())
    plain = fit_classifier(pipeline, X, y, y + 1.0)
    with sklearn.config_context(enable_metadata_routing=True):
        routed = fit_classifier(pipeline, X, y, y + 1.0)
    np.testing.assert_array_equal(routed.predict_proba(X), plain.predict_proba(X))


@pytest.mark.parametrize("resample", RESAMPLES)
def test_members_train_together_where_the_classifier_can(samples, resample):
    X, y = samples
    model = ensemble(Together(), resample=resample).fit(X, y, y + 1.0)
    (member,) = model.members_
    assert (member.n_members, member.bootstrap) == (3, False)
    weight, counts = member.seen_
    np.testing.assert_array_equal(weight, y + 1.0)
    assert counts is None if resample == "none" else counts.shape == (3, 600)
    assert model.predict_member_log_proba(X).shape == (3, 600, 3)


def test_the_number_of_jobs_does_not_matter(samples):
    X, y = samples
    with parallel_config(backend="threading"):
        one, two = (ensemble(n_jobs=n).fit(X, y).predict_proba(X) for n in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_members_get_their_own_seeds(samples):
    from sklearn.tree import DecisionTreeClassifier

    tree = make_pipeline(StandardScaler(), DecisionTreeClassifier(max_features=1))
    model = ensemble(tree, resample="none").fit(*samples)
    assert len({m[-1].random_state for m in model.members_}) == 3


def test_data_frames_keep_their_columns(samples):
    X, y = samples
    frame = pd.DataFrame(X, columns=["a", "b"])
    model = ensemble().fit(frame, y)
    assert model.feature_names_in_.tolist() == ["a", "b"]
    assert model.members_[0].feature_names_in_.tolist() == ["a", "b"]
    np.testing.assert_array_equal(
        model.predict_proba(frame), ensemble().fit(X, y).predict_proba(X)
    )


@pytest.mark.parametrize("classifier", [RidgeClassifier(), LogisticRegression, None, 3])
def test_what_has_no_probabilities_is_refused(classifier):
    with pytest.raises(IncompatibleChoiceError, match="classifier must be"):
        check_classifier(classifier)


@pytest.mark.parametrize(
    ("model", "weight", "message"),
    [
        (
            ensemble(KNeighborsClassifier()),
            1.0,
            "KNeighborsClassifier takes no weights",
        ),
        (ensemble(), -9.0, "positive sum in every class, got -"),
        (ensemble(n_members=0), None, "n_members must be an int in the range"),
        (ensemble(resample="half"), None, "resample must be a str among"),
        (ensemble(n_members=301, resample="partition"), None, "n_members=301 parts"),
    ],
)
def test_unusable_choices_are_refused(samples, model, weight, message):
    X, y = samples
    w = None if weight is None else np.where(np.arange(600) % 9, 1.0, weight)
    with pytest.raises((InvalidInputError, IncompatibleChoiceError), match=message):
        model.fit(X, y, w)


# ------------------------------------------------------------- the weighted ensemble
def two_normals(n, rng):
    y = np.repeat(["den", "num"], n)
    return rng.normal(np.where(y == "num", 0.5, -0.5))[:, None], y


@pytest.fixture(scope="module")
def wifi():
    X, y = two_normals(4000, np.random.default_rng(0))
    return WifiEnsemble(LogisticRegression(), 2, random_state=0).fit(X, y)


def test_the_log_ratio_lies_within_its_error():
    grid = np.linspace(-1.5, 1.5, 7)[:, None]
    pulls = []
    for seed in range(60):
        X, y = two_normals(500, np.random.default_rng(seed))
        model = WifiEnsemble(LogisticRegression(), 2, random_state=0).fit(X, y)
        log_ratio, std = model.predict_log_ratio(grid, return_std=True)
        pulls.append((log_ratio - grid[:, 0]) / std)
    assert np.abs(np.mean(pulls, axis=0)).max() < 4 / np.sqrt(60)
    assert np.abs(np.std(pulls, axis=0) - 1).max() < 4 / np.sqrt(2 * 60)


def test_the_fraction_and_its_intervals(wifi):
    rng = np.random.default_rng(1)
    target = rng.normal(rng.choice([0.5, -0.5], 3000, p=[0.3, 0.7]))[:, None]
    result = wifi.infer_fraction(target)
    profile = wifi.infer_fraction(target, interval="profile")
    ignored = wifi.infer_fraction(target, propagate=False)
    assert abs(result.kappa[0] - 0.3) < 3 * result.std[0]
    assert result.interval.shape == (1, 2, 2)
    assert result.pos_label == "num"
    assert ignored.std[0] < result.std[0]
    np.testing.assert_allclose(profile.interval, result.interval, atol=0.01)
    assert "kappa" in result.summary()
    assert result.to_frame().shape[0] == 1


def test_score_is_minus_the_loss(wifi):
    X, y = two_normals(2000, np.random.default_rng(2))
    F = wifi.predict_log_ratio(X)
    up = y == "num"
    above = (-F + np.exp(-F) - 1)[up].mean()
    below = (F + np.exp(F) - 1)[~up].mean()
    assert wifi.score(X, y) == pytest.approx(-above - below)
    assert wifi.score(X, y) > wifi.score(X, y[::-1])


def test_weights_shift_the_densities():
    """Weights x-dependent in one class change its density, and the ratio with it."""
    X, y = two_normals(20_000, np.random.default_rng(3))
    weight = np.where(y == "num", np.exp(0.5 * X[:, 0]), 1.0)
    model = WifiEnsemble(LogisticRegression(), 2, random_state=0).fit(X, y, weight)
    log_ratio, std = model.predict_log_ratio([[0.0], [1.0]], return_std=True)
    exact = 1.5 * np.array([0.0, 1.0]) - 0.375
    assert (np.abs(log_ratio - exact) < 4 * std).all()


@pytest.mark.torch
def test_the_default_members_are_small_networks():
    X, y = two_normals(300, np.random.default_rng(0))
    model = WifiEnsemble(n_members=3, random_state=0).fit(X, y)
    assert model.weights_.shape == (4,)
    assert model.converged_


@pytest.mark.parametrize(
    ("choices", "labels", "message"),
    [
        ({}, 3, "y must hold two classes, got 3"),
        ({"holdout": 1.0}, 2, "holdout must be a float in the range"),
        ({"classifier": "tree"}, 2, "classifier must be 'mlp'"),
    ],
)
def test_wifi_refuses(choices, labels, message):
    model = WifiEnsemble(**({"classifier": GaussianNB()} | choices))
    with pytest.raises(InvalidInputError, match=message):
        model.fit(np.arange(30.0)[:, None], np.arange(30) % labels)


@pytest.mark.parametrize(
    ("choices", "message"),
    [({"interval": "exact"}, "interval must be"), ({"levels": (1.2,)}, "levels must")],
)
def test_wifi_refuses_intervals(wifi, choices, message):
    with pytest.raises(InvalidInputError, match=message):
        wifi.infer_fraction([[0.0], [1.0]], **choices)


@pytest.mark.parametrize(
    "classifier",
    [
        GridSearchCV(_scaled(), {"logisticregression__C": [1.0, 2.0]}, cv=2),
        VotingClassifier([("one", _scaled())], voting="soft"),
        OneVsRestClassifier(LogisticRegression()),
        StackingClassifier([("one", LogisticRegression())], KNeighborsClassifier()),
    ],
    ids=lambda classifier: type(classifier).__name__,
)
def test_what_may_lose_weights_is_given_rows_instead(classifier):
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 60)
    X = rng.normal(size=(120, 2)) + y[:, None]
    assert not accepts_sample_weight(classifier)
    ensemble = ClassifierEnsemble(classifier, n_members=2, random_state=0).fit(X, y)
    assert ensemble.predict_proba(X).shape == (120, 2)
    with pytest.raises(IncompatibleChoiceError, match="takes no weights"):
        fit_classifier(classifier, X, y, np.ones(120))


def test_what_hands_on_weights_is_given_them():
    for classifier in (
        GridSearchCV(LogisticRegression(), {"C": [1.0, 2.0]}, cv=2),
        VotingClassifier([("one", LogisticRegression()), ("none", "drop")]),
    ):
        assert accepts_sample_weight(classifier)
    near = VotingClassifier([("near", KNeighborsClassifier())])
    assert not accepts_sample_weight(near)


def test_other_errors_are_not_taken_for_negative_weights():
    class Broken(LogisticRegression):
        def fit(self, X, y, sample_weight=None):
            raise KeyError("something else")

    with pytest.raises(KeyError, match="something else"):
        fit_in_place(Broken(), [[0.0], [1.0]], [0, 1], sample_weight=[-1.0, 2.0])


def test_a_learner_that_refuses_negative_weights_is_named():
    with pytest.raises(InvalidInputError, match="Refuses refuses negative values"):
        fit_in_place(Refuses(), [[0.0], [1.0]], [0, 1], sample_weight=[-1.0, 2.0])


# ------------------------------------------------------------------- negative weights
@pytest.mark.parametrize("resample", ["bootstrap", "partition", "none"])
def test_a_classifier_that_refuses_negative_weights_never_sees_them(samples, resample):
    X, y = samples
    weight = np.where(np.arange(600) % 9, 1.0, -1.0)
    model = ensemble(Refuses(), resample=resample).fit(X, y, weight)
    assert len(model.members_) == 3


@pytest.mark.parametrize("resample", ["bootstrap", "partition", "none"])
def test_members_trained_at_once_see_the_sums_of_their_own_samples(samples, resample):
    """Every member's weights are positive and have the sums that it drew."""
    X, y = samples
    weight = np.where(np.arange(600) % 9, 1.0, -1.0)
    model = ensemble(Together(), resample=resample).fit(X, y, weight)
    shared, members = model.members_[0].seen_
    if resample == "none":
        members = np.array([shared])
    counts = model._draw_counts(y, np.random.RandomState(0), weight)
    counts = np.ones((1, 600)) if counts is None else counts
    assert members.min() >= 0
    for row, drawn in zip(members, counts, strict=True):
        expected = np.bincount(y, drawn * weight)
        np.testing.assert_allclose(np.bincount(y, row), expected, rtol=1e-5)


def test_a_member_that_drew_a_negative_class_sees_all_of_it():
    """Bootstrap samples of few events; all of them have a positive sum."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(24, 1)), np.repeat([0, 1], 12)
    weight = np.where(np.arange(24) % 12 < 5, -1.0, 1.0)
    model = ensemble(Refuses(), n_members=40).fit(X, y, weight)
    assert len(model.members_) == 40
    counts = np.random.RandomState(0).poisson(1.0, (40, 24))
    sums = [np.bincount(y, row * weight) for row in counts]
    assert (np.array(sums) <= 0).any(), "the test has no power"
