"""Ratios from classifiers at benchmarks, against closed forms.

The toy of ``make_smeft_toy``, and as in ``test_derivative`` z ~ N(0, 1) at theta = 0,
dsigma(z, theta) = N(z; 0, 1) (1 + theta z / 2)^2, x = z + noise of variance v.
"""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer

from sktamm.datasets import make_smeft_toy
from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError
from sktamm.parametric import (
    MorphingBasis,
    MorphingRatioClassifier,
    UnbinnedLikelihood,
)
from sktamm.parametric._benchmark_sample import _bridge

V = 0.5
BASIS = MorphingBasis(1, benchmarks=[[-1.0], [0.0], [1.0]])
TOY_BASIS = MorphingBasis(1, benchmarks=[[0.0], [1.0]], components=[[0], [2]])


def _sample(n_events, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n_events)
    x = z + np.sqrt(V) * rng.normal(size=n_events)
    weights = (1 + z[:, None] * BASIS.benchmarks_[:, 0] / 2) ** 2
    return x[:, None], weights


def _drawn(n_events, seed=0):
    """Events drawn at each benchmark, by acceptance."""
    X, y = _sample(20 * n_events, seed)
    rng = np.random.default_rng(seed + 1)
    rows, drawn = [], []
    for b in range(3):
        chosen = np.flatnonzero(rng.random(len(y)) * 20 < y[:, b])[:n_events]
        rows.append(chosen)
        drawn.append(np.full(len(chosen), b))
    rows = np.concatenate(rows)
    return X[rows], y[rows], np.concatenate(drawn)


def _exact_log_ratio(x, theta):
    mean = x / (1 + V)
    square = mean**2 + V / (1 + V)
    return np.log(1 + theta * mean + theta**2 / 4 * square) - np.log1p(theta**2 / 4)


def _spline(last):
    return make_pipeline(SplineTransformer(8, extrapolation="linear"), last)


def _toy(n_events, seed=0):
    toys = [make_smeft_toy(n_events, t, random_state=seed) for t in (0.0, 1.0)]
    y = [np.stack([toy.weights(0.0), toy.weights(1.0)], axis=1) for toy in toys]
    X = np.concatenate([toy.X for toy in toys])
    return X, np.concatenate(y), np.repeat([0, 1], n_events)


LEARNERS = {
    "logistic": (_spline(LogisticRegression(C=100.0)), "cross_entropy"),
    "least squares": (_spline(LinearRegression()), "squared_error"),
}


@pytest.mark.parametrize("drawn", [False, True], ids=["weighted", "drawn"])
@pytest.mark.parametrize("name", LEARNERS)
def test_closed_form(name, drawn):
    learner, loss = LEARNERS[name]
    X, y, benchmark = _drawn(8000) if drawn else (*_sample(24_000), None)
    model = MorphingRatioClassifier(learner, BASIS, loss)
    model.fit(X, y, benchmark=benchmark)
    x = np.linspace(-1.5, 1.5, 7)
    log_ratio = model.log_ratio(x[:, None], [[0.0], [0.5], [-1.0]])
    # The reference point is exact; elsewhere errors of s of about 0.01 times weights.
    np.testing.assert_allclose(log_ratio[:, 0], 0, atol=1e-12)
    for column, theta in ((1, 0.5), (2, -1.0)):
        exact = _exact_log_ratio(x, theta)
        np.testing.assert_allclose(log_ratio[:, column], exact, atol=0.15)
    # S(1/2) = 1 + 1/16; errors of S(1) and S(-1) below 0.02 are multiplied by 3/8, 1/8.
    assert model.cross_section_ratio(0.5) == pytest.approx(1.0625, abs=0.02)


@pytest.mark.torch
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_the_network_learns_the_toy(loss):
    pytest.importorskip("torch")
    X, y, benchmark = _toy(5_000)
    model = MorphingRatioClassifier("mlp", TOY_BASIS, loss, random_state=0)
    model.fit(X, y, benchmark=benchmark)
    test = make_smeft_toy(1, random_state=1)
    x = np.linspace(1, 4.5, 8)[:, None]
    error = model.log_ratio(x, 0.5) - test.log_ratio(x, 0.5)
    assert np.sqrt((error**2).mean()) < 0.5


@pytest.mark.torch
def test_a_network_classifier_sees_events_twice_and_keeps_copies_together():
    pytest.importorskip("torch")
    from sktamm.learning import TorchMLPClassifier

    seen = {}

    class Spy(TorchMLPClassifier):
        def fit(self, X, y, sample_weight=None, *, groups=None):
            seen.update(y=y, weight=sample_weight, groups=groups)
            return super().fit(X, y, sample_weight, groups=groups)

    X, y = _sample(300)
    Spy.__init__ = TorchMLPClassifier.__init__
    model = MorphingRatioClassifier(Spy((4,), max_epochs=1, device="cpu"), BASIS)
    model.fit(X, y, groups=np.repeat(np.arange(100), 3))
    assert seen["y"].tolist() == [1] * 300 + [0] * 300
    np.testing.assert_array_equal(seen["groups"][:300], seen["groups"][300:])
    ratio = y[:, 2] / y[:, 1] / model.cross_sections_[2]
    # Weighted events of theta_ref alone: 1 for the reference, r for the benchmark.
    np.testing.assert_allclose(seen["weight"], np.concatenate([ratio**0, ratio]) / 2)


def test_lightgbm_takes_soft_labels():
    pytest.importorskip("lightgbm")
    model = MorphingRatioClassifier("lightgbm", BASIS).fit(*_sample(20_000))
    x = np.linspace(-1, 1, 5)
    log_ratio = model.log_ratio(x[:, None], 1.0)
    np.testing.assert_allclose(log_ratio, _exact_log_ratio(x, 1.0), atol=0.2)


def test_polynomial_and_benchmarks_say_the_same():
    X, y = _sample(2000)
    learner, loss = LEARNERS["least squares"]
    model = MorphingRatioClassifier(learner, BASIS, loss).fit(X, y)
    derivatives, mean = model.predict(X), model.mean_derivatives_
    for theta in (-0.3, 0.8):
        terms = np.array([theta, theta**2 / 2])
        ratio = (1 + derivatives @ terms) / (1 + mean @ terms)
        np.testing.assert_allclose(np.log(ratio), model.log_ratio(X, theta))
        assert model.cross_section_ratio(theta) == pytest.approx(1 + mean @ terms)


def test_more_benchmarks_than_monomials_have_no_derivatives():
    X, y = _sample(2000)
    basis = MorphingBasis(1, benchmarks=[[-1.0], [0.0], [1.0], [2.0]])
    weights = np.column_stack([y, y @ BASIS.weights([2.0])])
    learner, loss = LEARNERS["least squares"]
    model = MorphingRatioClassifier(learner, basis, loss).fit(X, weights)
    x = np.linspace(-1, 1, 5)
    log_ratio = model.log_ratio(x[:, None], 0.5)
    np.testing.assert_allclose(log_ratio, _exact_log_ratio(x, 0.5), atol=0.3)
    assert not hasattr(model, "mean_derivatives_")
    with pytest.raises(IncompatibleChoiceError, match="as many benchmarks"):
        model.predict(X)


def test_cross_sections_of_both_samples_have_small_errors():
    X, y, benchmark = _toy(20_000)
    learner, loss = LEARNERS["least squares"]
    model = MorphingRatioClassifier(learner, TOY_BASIS, loss)
    model.fit(X, y, benchmark=benchmark)
    # sigma(1) = 2 sigma(0); the plain mean over 20000 events has the error 0.17, that
    # of both samples sqrt(4 Var(s)) / sqrt(20000) or less: 0.014.
    assert model.cross_sections_[1] == pytest.approx(2.0, abs=5 * 0.014 * 2)
    known = MorphingRatioClassifier(learner, TOY_BASIS, loss, cross_sections=[3, 6])
    known.fit(X, y, benchmark=benchmark)
    assert known.cross_sections_.tolist() == [1, 2]
    assert known.cross_section_ratio(0.5) == pytest.approx(1.25)


def test_the_bridge_is_exact_for_constant_ratios():
    logs, share = np.full(3, np.log(1.7)), np.full(3, 1 / 3)
    assert _bridge((logs, logs), (share, share)) == pytest.approx(1.7)


def test_the_likelihood_takes_it():
    learner, loss = LEARNERS["least squares"]
    model = MorphingRatioClassifier(learner, BASIS, loss).fit(*_sample(20_000))
    X, _ = _sample(1000, seed=5)
    interval = UnbinnedLikelihood(model, include_rate=False).fit(X).interval(0, 0.954)
    assert interval.lower < 0 < interval.upper


def test_input_is_checked():
    X, y = _sample(30)
    learner = LEARNERS["logistic"][0]
    model = MorphingRatioClassifier(learner, BASIS)
    with pytest.raises(InvalidInputError, match="one column per benchmark, 3, got 2"):
        model.fit(X, y[:, :2])
    with pytest.raises(InvalidInputError, match="numbers from 0 to 2"):
        model.fit(X, y, benchmark=np.full(30, 3))
    with pytest.raises(InvalidInputError, match="events drawn at theta_ref, number 1"):
        model.fit(X, y, benchmark=np.zeros(30, dtype=int))
    with pytest.raises(InvalidInputError, match="zero at theta_ref"):
        model.fit(X, y * [1, 0, 1])
    with pytest.raises(InvalidInputError, match="benchmark 0 a positive cross section"):
        model.fit(X, y * [-1, 1, 1])
    with pytest.raises(InvalidInputError, match="cross_sections must hold 3"):
        MorphingRatioClassifier(learner, BASIS, cross_sections=[1, 2]).fit(X, y)
    with pytest.raises(InvalidInputError, match="basis must be a MorphingBasis"):
        MorphingRatioClassifier(learner).fit(X, y)
    away = MorphingBasis(1, benchmarks=[[-1], [1], [2]])
    with pytest.raises(InvalidInputError, match="among its benchmarks"):
        MorphingRatioClassifier(learner, away).fit(X, y)


def test_learners_suit_the_loss():
    X, y = _sample(30)
    with pytest.raises(IncompatibleChoiceError, match="loss must be a str among"):
        MorphingRatioClassifier("mlp", BASIS, "hinge").fit(X, y)
    with pytest.raises(IncompatibleChoiceError, match="must be a classifier or"):
        MorphingRatioClassifier(LinearRegression(), BASIS).fit(X, y)
    with pytest.raises(IncompatibleChoiceError, match="must be another regressor"):
        MorphingRatioClassifier(LogisticRegression(), BASIS, "squared_error").fit(X, y)


@pytest.mark.parametrize(
    "classifier",
    [
        HistGradientBoostingClassifier(max_iter=10),
        CalibratedClassifierCV(LogisticRegression(), cv=2),
        RandomForestClassifier(10, min_samples_leaf=5, random_state=0),
    ],
    ids=lambda classifier: type(classifier).__name__,
)
def test_probabilities_alone_will_do(classifier):
    X, y, drawn = _toy(2000)
    model = MorphingRatioClassifier(classifier, TOY_BASIS).fit(X, y, benchmark=drawn)
    low, high = model.log_ratio([[0.0], [3.0]], 1.0)
    assert low < 0 < high
    assert np.isfinite(model.log_ratio(X, 1.0)).all()


def test_score_prefers_what_is_closer_to_the_truth():
    X, y, drawn = _toy(3000)
    scores = [
        MorphingRatioClassifier(learner, TOY_BASIS)
        .fit(X, y, benchmark=drawn)
        .score(X, y, benchmark=drawn)
        for learner in (LogisticRegression(), _spline(LogisticRegression()))
    ]
    assert -np.log(2) < scores[0] < scores[1] < 0


def test_search_hands_on_the_benchmarks():
    X, y, drawn = _toy(2000)
    model = MorphingRatioClassifier(_spline(LogisticRegression()), TOY_BASIS)
    grid = {"estimator__logisticregression__C": [1e-6, 1.0]}
    cv = KFold(2, shuffle=True, random_state=0)
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(model, grid, cv=cv).fit(X, y, benchmark=drawn)
    assert search.best_params_ == {"estimator__logisticregression__C": 1.0}
    with pytest.raises(InvalidInputError, match="benchmark must be given to score"):
        model.fit(X, y, benchmark=drawn).score(X, y)
    # The likelihood takes the ratio out of the search.
    fit = UnbinnedLikelihood(search, include_rate=False, bounds=[(0.0, None)])
    best = search.best_estimator_
    direct = UnbinnedLikelihood(best, include_rate=False, bounds=[(0.0, None)])
    assert fit.fit(X[:200]).best_fit().nll == direct.fit(X[:200]).best_fit().nll


def test_benchmarks_that_leave_powers_open_are_refused_before_training():
    basis = MorphingBasis(1, benchmarks=[[0.0], [1.0], [1.0], [1.0]])
    model = MorphingRatioClassifier(LogisticRegression(), basis)
    with pytest.raises(InvalidInputError, match="leave open"):
        model.fit(np.zeros((4, 1)), np.ones((4, 4)))


def test_groups_must_be_one_per_event():
    X, y, drawn = _toy(50)
    model = MorphingRatioClassifier(LogisticRegression(), TOY_BASIS)
    with pytest.raises(InvalidInputError, match="groups must hold one entry"):
        model.fit(X, y, benchmark=drawn, groups=[0])
