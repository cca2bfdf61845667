"""Derivative learning, against a closed form: parton level plus noise is linear.

z ~ N(0, 1) at theta = 0 and dsigma(z, theta) = N(z; 0, 1) (1 + theta z / 2)^2, so that
R_1 = z, R_2 = z^2 / 2; x = z + noise of variance v has E[z | x] = x / (1 + v) and
E[z^2 | x] = x^2 / (1 + v)^2 + v / (1 + v).
"""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    HistGradientBoostingRegressor,
    StackingRegressor,
    VotingRegressor,
)
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.utils import get_tags

from sktamm.datasets import make_smeft_toy
from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError, RatioWarning
from sktamm.learning import RepulsiveEnsembleRegressor, TorchMLPRegressor
from sktamm.parametric import (
    DerivativeRatioRegressor,
    FractionalSmearing,
    UnbinnedLikelihood,
)

V = 0.5
POINTS = np.array([[-1.0], [0.0], [1.0], [2.0]])


def _sample(n_events, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n_events)
    x = z + np.sqrt(V) * rng.normal(size=n_events)
    return x[:, None], np.column_stack([z, z**2 / 2])


def _exact(X):
    x = np.asarray(X)[:, 0]
    first = x / (1 + V)
    return np.column_stack([first, (first**2 + V / (1 + V)) / 2])


def _exact_log_ratio(X, theta):
    y = _exact(X)
    return np.log(1 + theta * y[:, 0] + theta**2 / 2 * y[:, 1]) - np.log1p(theta**2 / 4)


def _polynomial():
    return make_pipeline(PolynomialFeatures(2), LinearRegression())


@pytest.fixture(scope="module")
def fitted():
    X, y = _sample(40_000)
    return DerivativeRatioRegressor(_polynomial()).fit(X, y)


def test_regression_finds_the_exact_derivatives(fitted):
    # Ordinary least squares of residuals of variance V / (1 + V) and below 1: at these
    # points leverages are below 10 / n, so errors below 0.016; five of them.
    np.testing.assert_allclose(fitted.predict(POINTS), _exact(POINTS), atol=0.08)


def test_ratios_hold_for_all_theta_at_once(fitted):
    thetas = np.array([[-0.5], [0.0], [0.5], [1.0]])
    log_ratio = fitted.log_ratio(POINTS, thetas)
    assert log_ratio.shape == (4, 4)
    exact = np.stack([_exact_log_ratio(POINTS, t) for t in thetas[:, 0]], axis=1)
    # Errors of D of at most 0.08 (1 + 1/2) over D > 0.4.
    np.testing.assert_allclose(log_ratio, exact, atol=0.3)
    assert (log_ratio[:, 1] == 0).all()
    np.testing.assert_array_equal(fitted.log_ratio(POINTS, 0.5), log_ratio[:, 2])
    # S(1) = 1 + 1/4; the mean of z^2 / 2 has the error 0.7 / sqrt(n), that of z one.
    assert fitted.cross_section_ratio(1.0) == pytest.approx(1.25, abs=0.03)


def test_learned_ratios_are_normalised(fitted):
    X, _ = _sample(40_000)
    # Least squares with an intercept keeps the mean of its own sample.
    ratio = np.exp(fitted.log_ratio(X, 0.5))
    assert ratio.mean() == pytest.approx(1.0, abs=1e-9)


def test_score_is_the_share_of_the_variance(fitted):
    X, y = _sample(40_000, seed=1)
    # R^2 of z is 1 / (1 + V), that of z^2 its square: 0.556 on average.
    assert fitted.score(X, y) == pytest.approx((2 / 3 + 4 / 9) / 2, abs=0.02)
    constant = y * [1.0, 0.0]
    model = DerivativeRatioRegressor(_polynomial()).fit(X, constant)
    assert model.score(X, constant) == pytest.approx(2 / 3, abs=0.02)


def test_best_score_of_the_toy_is_not_exceeded():
    toy = make_smeft_toy(100_000, random_state=0)
    trees = HistGradientBoostingRegressor(random_state=0, max_iter=40)
    model = DerivativeRatioRegressor(trees).fit(toy.X, toy.joint_derivatives)
    other = make_smeft_toy(100_000, random_state=1)
    # 0.07582 is the best there is; 0.01 covers the luck of a sample of heavy tails.
    assert 0.05 < model.score(other.X, other.joint_derivatives) < 0.0858


def test_one_regressor_per_derivative_where_it_predicts_one_target():
    X, y = _sample(500)
    single = HistGradientBoostingRegressor(max_iter=3)
    assert len(DerivativeRatioRegressor(single).fit(X, y).estimators_) == 2
    model = DerivativeRatioRegressor(LinearRegression()).fit(X, y)
    assert len(model.estimators_) == 1
    piped = make_pipeline(StandardScaler(), clone(single))
    assert DerivativeRatioRegressor(piped).fit(X, y).predict(X).shape == (500, 2)


def test_weights_reach_the_base_learner_and_the_means():
    X, y = _sample(2000)
    weight = np.random.default_rng(1).integers(0, 3, 2000)
    weighted = DerivativeRatioRegressor(_polynomial()).fit(X, y, sample_weight=weight)
    rows = np.repeat(np.arange(2000), weight)
    repeated = DerivativeRatioRegressor(_polynomial()).fit(X[rows], y[rows])
    np.testing.assert_allclose(weighted.predict(POINTS), repeated.predict(POINTS))
    np.testing.assert_allclose(weighted.mean_derivatives_, repeated.mean_derivatives_)
    with pytest.raises(IncompatibleChoiceError, match="takes no weights"):
        DerivativeRatioRegressor(KNeighborsRegressor()).fit(X, y, sample_weight=weight)


def test_non_positive_densities_are_counted_and_kept():
    X, y = _sample(2000)
    # Without the square of x the learned second derivative is a line: D < 0 somewhere.
    model = DerivativeRatioRegressor(LinearRegression()).fit(X, y)
    share = model.non_positive_fraction(X, [1.5])
    assert 0 < share < 0.5
    with pytest.warns(RatioWarning, match="not positive for"):
        log_ratio = model.log_ratio(X, [1.5])
    assert np.isnan(log_ratio).mean() == share


def test_events_of_another_point_are_noticed():
    X, y = _sample(20_000)
    known = [0.0, 0.5]
    model = DerivativeRatioRegressor(_polynomial(), mean_derivatives=known)
    model.fit(X, y)
    assert (np.abs(model.reference_pulls_) < 5).all()
    assert model.cross_section_ratio(1.0) == 1.25
    kept = np.random.default_rng(0).random(20_000) < (1 + y[:, 0] / 2) ** 2 / 30
    with pytest.warns(RatioWarning, match="t0 .* not drawn at theta_ref"):
        model.fit(X[kept], y[kept])


def test_copies_of_an_event_are_one_in_the_check():
    X, y = _sample(3000)
    known = y.mean(axis=0) + 3 * y.std(axis=0) / np.sqrt(3000)
    model = DerivativeRatioRegressor(_polynomial(), mean_derivatives=known)
    single = model.fit(X, y).reference_pulls_
    rows = np.repeat(np.arange(3000), 10)
    copied = clone(model).fit(X[rows], y[rows], groups=rows).reference_pulls_
    np.testing.assert_allclose(single, copied)


@pytest.mark.torch
def test_the_network_learns_the_toy():
    pytest.importorskip("torch")
    toy = make_smeft_toy(20_000, random_state=0)
    smearing = FractionalSmearing(random_state=0)
    X, y, weight, parent = smearing.fit_resample(
        toy.Z, toy.joint_derivatives, toy.smear
    )
    model = DerivativeRatioRegressor(
        "mlp", link="exponential", mean_derivatives=[0.0, 2.0], random_state=0
    )
    model.fit(X, y, sample_weight=weight, groups=parent)
    x = np.linspace(2, 4, 9)[:, None]
    error = model.log_ratio(x, 1.0) - toy.log_ratio(x, 1.0)
    # Where theta = 1 has its events; ln r goes from 0.5 to 4.2 there.
    assert np.sqrt((error**2).mean()) < 0.5


@pytest.mark.torch
def test_a_seed_makes_the_network_reproducible():
    pytest.importorskip("torch")
    X, y = _sample(500)
    first, again, other = (
        DerivativeRatioRegressor(random_state=seed).fit(X, y).predict(POINTS)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_lightgbm_learns_the_closed_form():
    pytest.importorskip("lightgbm")
    X, y = _sample(20_000)
    model = DerivativeRatioRegressor("lightgbm", random_state=0).fit(X, y)
    middle = POINTS[:3]
    np.testing.assert_allclose(model.predict(middle), _exact(middle), atol=0.15)


def test_only_networks_train_through_a_link():
    X, y = _sample(50)
    with pytest.raises(IncompatibleChoiceError, match="LinearRegression, which cannot"):
        DerivativeRatioRegressor(LinearRegression(), link="exponential").fit(X, y)
    with pytest.raises(IncompatibleChoiceError, match="link must be a str among"):
        DerivativeRatioRegressor(link="cubic").fit(X, y)


def test_splits_by_parent_in_cross_validation():
    X, y = _sample(300)
    rows = np.repeat(np.arange(300), 3)
    model = DerivativeRatioRegressor(_polynomial())
    scores = cross_val_score(model, X[rows], y[rows], groups=rows, cv=GroupKFold(3))
    assert (scores > 0.3).all()


def test_the_likelihood_takes_it(fitted):
    X, _ = _sample(1000, seed=5)
    interval = UnbinnedLikelihood(fitted, include_rate=False).fit(X).interval(0, 0.954)
    # Drawn at zero; the Fisher information of the shape is Var(R_1(x)) = 2/3 an event.
    assert interval.lower < 0 < interval.upper
    assert interval.upper - interval.lower == pytest.approx(
        4 / np.sqrt(1000 * 2 / 3), rel=0.15
    )


def test_names_of_features_and_parameters():
    X, y = _sample(100)
    frame = pd.DataFrame(X, columns=["mass"])
    model = DerivativeRatioRegressor(LinearRegression(), parameter_names=["cW"])
    model.fit(frame, y)
    assert model.derivative_names_ == ["cW", "cW^2"]
    assert model.feature_names_in_.tolist() == ["mass"]
    with pytest.raises(InvalidInputError, match="feature names"):
        model.predict(frame.rename(columns={"mass": "energy"}))
    with pytest.raises(InvalidInputError, match="1 features"):
        model.fit(X, y).predict(np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("parameters", "y", "message"),
    [
        ({}, np.zeros(10), "two dimensions"),
        ({}, np.zeros((9, 2)), "one row for each"),
        ({}, np.zeros((10, 3)), "2, 5, 9"),
        ({}, np.full((10, 2), np.nan), "must be finite"),
        ({"theta_ref": [0.0, 1.0]}, np.zeros((10, 2)), "theta_ref must have shape"),
        ({"mean_derivatives": [0.0]}, np.zeros((10, 2)), "mean_derivatives must"),
        ({"parameter_names": ["a", "b"]}, np.zeros((10, 2)), "parameter_names must"),
    ],
)
def test_input_is_checked(parameters, y, message):
    model = DerivativeRatioRegressor(LinearRegression(), **parameters)
    with pytest.raises(InvalidInputError, match=message):
        model.fit(np.zeros((10, 1)), y)


def test_estimators_are_checked():
    with pytest.raises(IncompatibleChoiceError, match="'mlp', 'lightgbm'"):
        DerivativeRatioRegressor("forest").fit(*_sample(10))


def test_predictions_have_the_mean_of_the_targets():
    X, y = _sample(3000)
    weight = np.random.default_rng(0).uniform(0.5, 1.5, 3000)
    trees = HistGradientBoostingRegressor(max_iter=3)  # far from trained
    model = DerivativeRatioRegressor(trees).fit(X, y, sample_weight=weight)
    ratio = np.exp(model.log_ratio(X, 0.3))
    assert np.average(ratio, weights=weight) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "learner",
    [
        VotingRegressor([("one", LinearRegression())]),
        TransformedTargetRegressor(LinearRegression()),
        GridSearchCV(LinearRegression(), {"fit_intercept": [True]}, cv=2),
    ],
    ids=lambda learner: type(learner).__name__,
)
def test_what_hands_on_weights_takes_them(learner):
    X, y = _sample(2000)
    weight = np.linspace(0.5, 2.0, len(X))
    found = DerivativeRatioRegressor(learner).fit(X, y, sample_weight=weight)
    plain = DerivativeRatioRegressor(LinearRegression())
    plain.fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(found.predict(X), plain.predict(X), atol=1e-10)


def test_a_stack_is_a_regressor():
    X, y = _sample(500)
    stack = StackingRegressor([("one", LinearRegression())])
    assert DerivativeRatioRegressor(stack).fit(X, y).predict(X).shape == y.shape
    unweighted = VotingRegressor([("near", KNeighborsRegressor())])
    with pytest.raises(IncompatibleChoiceError, match="takes no weights"):
        DerivativeRatioRegressor(unweighted).fit(X, y, sample_weight=np.ones(500))


def test_exponential_derivatives_keep_their_sign_and_mean():
    toy = make_smeft_toy(3000, random_state=0)
    network = TorchMLPRegressor((16,), max_epochs=5, random_state=0)
    model = DerivativeRatioRegressor(network, link="exponential")
    y = toy.joint_derivatives
    for sign in (1.0, -1.0):
        model.fit(toy.X, sign * y)
        predicted = sign * model.predict(toy.X)
        assert predicted.min() >= 0.0
        np.testing.assert_allclose(predicted.mean(axis=0), y.mean(axis=0), rtol=1e-9)
    assert model.log_ratio(toy.X, 0.1).max() < np.inf


def test_members_of_an_ensemble():
    X, y = _sample(1000)
    ensemble = RepulsiveEnsembleRegressor(
        (8,), n_members=3, max_epochs=3, random_state=0
    )
    model = DerivativeRatioRegressor(ensemble).fit(X, y)
    members = model.predict_members(X[:7])
    assert members.shape == (3, 7, 2)
    np.testing.assert_allclose(members.mean(axis=0), model.predict(X[:7]), atol=1e-6)
    with pytest.raises(IncompatibleChoiceError, match="must be an ensemble"):
        DerivativeRatioRegressor(LinearRegression()).fit(X, y).predict_members(X)


def test_groups_must_be_one_per_event():
    X, y = _sample(100)
    with pytest.raises(InvalidInputError, match="groups must hold one entry"):
        DerivativeRatioRegressor(LinearRegression()).fit(X, y, groups=[1, 2])


def test_tags_say_that_targets_are_several():
    tags = get_tags(DerivativeRatioRegressor()).target_tags
    assert tags.multi_output
    assert not tags.single_output
