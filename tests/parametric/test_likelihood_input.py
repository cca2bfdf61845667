"""What the likelihood takes: ratios in searches, no events, other samples, nonsense."""

import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktamm.exceptions import InvalidInputError, RatioWarning
from sktamm.parametric import (
    DerivativeRatioRegressor,
    FractionalSmearing,
    LogNormalNuisance,
    MorphingBasis,
    PolynomialRatio,
    UnbinnedLikelihood,
    joint_derivatives,
)
from sktamm.parametric._polynomial import PolynomialRatioMixin


def sample(n_events, seed):
    """R = z and R2 = z^2 / 2 of z ~ N(0, 1), seen with noise."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n_events)
    x = z + 0.7 * rng.normal(size=n_events)
    return np.column_stack([x, x**2]), np.column_stack([z, z**2 / 2])


def constant(first, second):
    """A ratio without shape: the rate alone knows of theta."""
    ratio = PolynomialRatio(mean_derivatives=[first, second])
    return ratio.fit([[first, second]])


def test_the_ratio_may_be_in_a_search_or_a_pipeline():
    X, y = sample(3000, 0)
    plain = DerivativeRatioRegressor(LinearRegression()).fit(X, y)
    search = GridSearchCV(
        DerivativeRatioRegressor(LinearRegression()),
        {"estimator__fit_intercept": [True]},
        cv=2,
    ).fit(X, y)
    pipeline = make_pipeline(
        StandardScaler(), DerivativeRatioRegressor(LinearRegression())
    ).fit(X, y)
    ends = []
    for ratio in (plain, search, pipeline):
        fit = UnbinnedLikelihood(ratio, 500.0).fit(X[:500])
        interval = fit.interval(0, 0.95)
        ends.append([interval.lower, interval.upper])
    np.testing.assert_allclose(ends, ends[:1] * 3, rtol=1e-6)


def test_asimov_data_of_other_events_are_minimal_at_their_truth():
    ratio = DerivativeRatioRegressor(LinearRegression()).fit(*sample(1000, 0))
    fit = UnbinnedLikelihood(ratio, 500.0)
    for seed in (1, 2):
        X = sample(1000, seed)[0]
        for theta in (0.0, 0.3):
            best = fit.fit_asimov(X, [theta]).best_fit()
            assert best.theta[0] == pytest.approx(theta, abs=1e-5)


def test_no_event_is_a_result():
    # 2 n (0.3 t + t^2) has its minimum at -0.15 and is 2 n 0.0225 above it at zero.
    fit = UnbinnedLikelihood(constant(0.3, 2.0), 3.0, bounds=[(-5.0, 5.0)])
    nothing = np.zeros((0, 2))
    best = fit.fit(nothing).best_fit()
    assert best.theta[0] == pytest.approx(-0.15)
    interval = fit.interval(0, 0.95)
    half = np.sqrt(3.841458820694124 / 6)
    assert interval.lower == pytest.approx(-0.15 - half)
    assert interval.upper == pytest.approx(-0.15 + half)
    theta, ends = fit.predict(nothing, return_interval=0.95)
    np.testing.assert_allclose(theta, -0.15)
    np.testing.assert_allclose(ends, [[interval.lower, interval.upper]])
    counts = np.array([[1, 0], [2, 0]])
    several = fit.predict(np.full((2, 2), [0.3, 2.0]), dataset=counts)
    assert several[1] == pytest.approx(-0.15)
    two = fit.predict(nothing, dataset=np.zeros((0, 2)))
    np.testing.assert_allclose(two, [-0.15, -0.15])


@pytest.mark.parametrize("steps", [[], [StandardScaler()]])
def test_no_event_is_a_result_of_learned_ratios(steps):
    X, y = sample(500, 0)
    pipeline = make_pipeline(*steps, DerivativeRatioRegressor(LinearRegression()))
    fit = UnbinnedLikelihood(pipeline.fit(X, y), 3.0)
    interval = fit.fit(X[:0]).interval(0, 0.95)
    _, ends = fit.predict(X[:0], return_interval=0.95)
    np.testing.assert_allclose(ends, [[interval.lower, interval.upper]])
    assert interval.lower < 0 < interval.upper


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"bounds": (0, 1)}, "bounds must hold one pair"),
        ({"bounds": "ab"}, "bounds must hold one pair"),
        ({"bounds": [(1, 0)]}, "a lower and a higher end"),
        ({"bounds": [(0, 1, 5)]}, "bounds must hold one pair"),
        ({"expected_events": "a"}, "expected_events must be a float in the range"),
        ({"nuisances": LogNormalNuisance(rate_up=1.1)}, "nuisances must be a list"),
        ({"nuisances": ["scale"]}, "nuisances must hold nuisance parameters"),
    ],
)
def test_choices_are_refused_in_one_sentence(choices, words):
    fit = UnbinnedLikelihood(constant(0.3, 2.0), **{"expected_events": 3.0, **choices})
    with pytest.raises(InvalidInputError, match=words):
        fit.fit([[0.3, 2.0]])


def test_events_are_refused_in_one_sentence():
    fit = UnbinnedLikelihood(constant(0.3, 2.0), 3.0)
    with pytest.raises(InvalidInputError, match="negative sum"):
        fit.fit([[0.3, 2.0]], sample_weight=[-1.0])
    with pytest.raises(InvalidInputError, match="the 2 derivatives of fit"):
        fit.fit([[0.3, 2.0, 1.0]])
    with pytest.raises(InvalidInputError, match="sum to zero or less"):
        fit.fit_asimov([[0.3, 2.0]], sample_weight=[0.0])
    with pytest.raises(InvalidInputError, match="sum to zero or less"):
        fit.fisher_information([[0.3, 2.0]], sample_weight=[0.0])


def test_known_ratios_are_checked():
    with pytest.raises(InvalidInputError, match="finite numbers"):
        PolynomialRatio(mean_derivatives=[np.nan, 1.0]).fit([[0.0, 1.0]])
    with pytest.raises(InvalidInputError, match="at least one"):
        PolynomialRatio().fit(np.zeros((0, 2)))
    with pytest.raises(InvalidInputError, match="got 1 for 2"):
        PolynomialRatio(lambda X: X).fit([[0.0], [1.0]], [[0.0, 1.0]])
    ratio = PolynomialRatio().fit([[0.0, 1.0]])
    assert ratio.fit(np.zeros((1, 5))).n_parameters_ == 2  # fitted anew


def test_words_are_no_numbers():
    words = np.full((2, 2), "a")
    with pytest.raises(InvalidInputError, match="y must hold numbers"):
        DerivativeRatioRegressor(LinearRegression()).fit([[0.0], [1.0]], words)
    with pytest.raises(InvalidInputError, match="event_weights must hold numbers"):
        joint_derivatives(words, MorphingBasis(1, benchmarks=[[0], [1], [2]]))
    with pytest.raises(InvalidInputError, match="target must hold numbers"):
        FractionalSmearing().fit_resample([[0]], ["a"], lambda Z, rng: Z)


class Line(PolynomialRatioMixin, BaseEstimator):
    """D = 1 + theta x without derivatives to tell; negative for many a theta."""

    theta_ref = np.zeros(1)

    def fit(self, X, y=None):
        self.n_parameters_ = 1
        return self

    def _density(self, X, points):
        return 1.0 + np.asarray(X) @ points.T

    def _total(self, points):
        return np.ones(len(points))


@pytest.mark.parametrize("steps", [[], [StandardScaler(with_mean=False)]])
def test_the_search_does_not_warn_of_far_parameters(steps):
    X = np.random.default_rng(0).normal(size=(300, 1))
    ratio = make_pipeline(*steps, Line()).fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = UnbinnedLikelihood(ratio if steps else ratio[-1], include_rate=False)
        interval = fit.fit(X).interval(0, 0.683)
    assert interval.lower < interval.estimate < interval.upper
    assert fit.best_fit().n_non_positive == 0
    with pytest.warns(RatioWarning, match="not positive"):
        ratio[-1].log_ratio(X, 8.0)


def test_shape_nuisances_leave_asimov_data_minimal_at_their_truth():
    X = sample(3000, 1)[0]
    ratio = DerivativeRatioRegressor(LinearRegression()).fit(*sample(1000, 0))
    scale = LogNormalNuisance(up=lambda X: 0.05 * np.asarray(X)[:, 0])
    fit = UnbinnedLikelihood(ratio, 500.0, nuisances=[scale], reference=X)
    best = fit.fit_asimov(X[:300], [0.2]).best_fit()
    assert best.theta[0] == pytest.approx(0.2, abs=1e-4)
    assert best.nuisance[0] == pytest.approx(0.0, abs=1e-4)
