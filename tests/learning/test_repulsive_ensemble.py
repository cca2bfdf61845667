import pickle
from typing import Any

import numpy as np
import pytest
from scipy.special import expit
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

from sktamm.datasets import make_gaussian_study
from sktamm.exceptions import IncompatibleChoiceError
from sktamm.learning import RepulsiveEnsembleClassifier, RepulsiveEnsembleRegressor
from sktamm.parametric import (
    DerivativeRatioRegressor,
    MorphingBasis,
    joint_derivatives,
)
from sktamm.ratios import DensityRatio

pytestmark = pytest.mark.torch

CHEAP: dict[str, Any] = {
    "hidden_layer_sizes": (8,),
    "n_members": 3,
    "max_epochs": 15,
    "learning_rate": 0.05,
    "device": "cpu",
    "random_state": 0,
}
CLASSIFIER = RepulsiveEnsembleClassifier(**CHEAP)
REGRESSOR = RepulsiveEnsembleRegressor(**CHEAP)
BOTH = pytest.mark.parametrize("model", [REGRESSOR, CLASSIFIER])
# Steps with all rows, without a hidden layer, until the members are at rest.
LINEAR: dict[str, Any] = {
    "hidden_layer_sizes": (),
    "n_members": 32,
    "batch_size": 10_000,
    "max_epochs": 300,
    "learning_rate": 0.03,
    "device": "cpu",
    "random_state": 0,
}
EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": (
        "training is stochastic: repeated rows change the order of the events"
    ),
}


@pytest.fixture(autouse=True)
def one_thread():
    """Networks as small as these gain nothing from threads that wait."""
    with threadpool_limits(limits=1):
        yield


@parametrize_with_checks(
    [CLASSIFIER, REGRESSOR],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES,
)
def test_scikit_learn(estimator, check):
    check(estimator)


# ------------------------------------------------------------------- closed forms
def _coefficients(model):
    """Coefficients and intercept of all members, (n_members, n_features + 1)."""
    difference = model.coefs_[0] @ _contrast(model), model.intercepts_[0]
    slopes, offsets = difference[0][..., 0], difference[1] @ _contrast(model)
    return np.hstack([slopes, offsets]).astype(float)


def _contrast(model):
    """Weights of the outputs: the log odds of two classes, or the only one."""
    return np.array([[-1.0], [1.0]]) if hasattr(model, "classes_") else np.eye(1)


def _design(model, X):
    z = model._standardised(X).astype(float)
    return np.column_stack([z, np.ones(len(z))])


def _prior_precision(model, n_features):
    scale = model.prior_scale
    return np.diag([*[n_features / scale**2] * n_features, 1 / scale**2])


def _linear_posterior(model, X, y, noise):
    """Mean and covariance for standardised features and targets."""
    design, spread = _design(model, X), y.std()
    z, variance = (y - y.mean()) / spread, (noise / spread) ** 2
    precision = design.T @ design / variance + _prior_precision(model, X.shape[1])
    covariance = np.linalg.inv(precision)
    return covariance @ design.T @ z / variance, covariance


def _compare(members, mean, covariance):
    """Offset of the mean in standard deviations; variances in units of the posterior's.

    The latter are eigenvalues, in directions in which the posterior has variance one.
    """
    root = np.linalg.inv(np.linalg.cholesky(covariance))
    return root @ (members.mean(axis=0) - mean), np.linalg.eigvalsh(
        root @ np.cov(members.T) @ root.T
    )


def _linear_data(n_features=3, correlation=0.0, n_events=500, noise=0.7):
    rng = np.random.default_rng(0)
    covariance = np.full((n_features, n_features), correlation)
    np.fill_diagonal(covariance, 1)
    X = rng.normal(size=(n_events, n_features)) @ np.linalg.cholesky(covariance).T
    y = X @ rng.normal(size=n_features) + 2
    return X, y + noise * rng.normal(size=n_events)


# The flow is deterministic and its members spread evenly: 32 independent draws would
# have errors of 1 / sqrt(32) = 0.18 of the mean and sqrt(2 / 31) = 0.25 of a variance.
@pytest.mark.parametrize(
    ("data", "choice"),
    [
        ({}, {}),
        ({"correlation": 0.8}, {"max_epochs": 600}),
        ({"n_features": 8}, {}),
        ({}, {"repulsion": "weight"}),
        ({}, {"prior_scale": 0.1}),
        ({}, {"batch_size": 100, "max_epochs": 100}),
    ],
)
def test_linear_regression_has_the_analytic_posterior(data, choice):
    X, y = _linear_data(**data)
    settings = {**LINEAR, "noise": 0.7, **choice}
    model = RepulsiveEnsembleRegressor(**settings).fit(X, y)
    posterior = _linear_posterior(model, X, y, 0.7)
    offset, variances = _compare(_coefficients(model), *posterior)
    assert np.abs(offset).max() < 0.1
    assert abs(variances.mean() - 1) < 0.03
    assert 0.85 < variances.min() < variances.max() < 1.15


def test_plain_force_is_too_weak():
    X, y = _linear_data()
    settings = {**LINEAR, "noise": 0.7, "calibrated_force": False}
    model = RepulsiveEnsembleRegressor(**settings).fit(X, y)
    posterior = _linear_posterior(model, X, y, 0.7)
    _, variances = _compare(_coefficients(model), *posterior)
    assert variances.max() < 0.5


def test_alpha_is_the_temperature():
    X, y = _linear_data()
    model = RepulsiveEnsembleRegressor(**LINEAR, noise=0.7, alpha=2.0).fit(X, y)
    posterior = _linear_posterior(model, X, y, 0.7)
    _, variances = _compare(_coefficients(model), *posterior)
    np.testing.assert_allclose(variances, 2, atol=0.25)


def test_several_targets_with_noise_of_their_own():
    X, y = _linear_data(n_features=2)
    rng = np.random.default_rng(1)
    second = 100 * X[:, 0] + 30 * rng.normal(size=len(X))
    both = np.column_stack([y, second])
    model = RepulsiveEnsembleRegressor(**LINEAR, noise=[0.7, 30.0]).fit(X, both)
    np.testing.assert_allclose(model.noise_, [0.7, 30.0], rtol=1e-5)
    layer = np.concatenate([model.coefs_[0], model.intercepts_[0][:, None]], axis=1)
    for output, noise in enumerate(model.noise_):
        posterior = _linear_posterior(model, X, both[:, output], noise)
        offset, variances = _compare(layer[:, :, output].astype(float), *posterior)
        assert np.abs(offset).max() < 0.1
        np.testing.assert_allclose(variances, 1, atol=0.15)


def test_unknown_noise_is_estimated():
    X, y = _linear_data(n_events=2000)
    model = RepulsiveEnsembleRegressor(**LINEAR).fit(X, y)
    # Four standard errors of a standard deviation, 1 / sqrt(2 n).
    np.testing.assert_allclose(model.noise_, [0.7], rtol=4 / np.sqrt(4000))


@pytest.mark.parametrize("soft", [False, True])
def test_logistic_regression_has_the_posterior_of_laplace(soft):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(2000, 2))
    chance = expit(X @ [1.0, -0.5] + 0.3)
    if soft:
        model: Any = RepulsiveEnsembleRegressor(**LINEAR, loss="logistic")
        model.fit(X, chance)
    else:
        label = rng.random(2000) < chance
        model = RepulsiveEnsembleClassifier(**LINEAR).fit(X, label)
    members = _coefficients(model)
    mean, design = members.mean(axis=0), _design(model, X)
    p = expit(design @ mean)
    # The log odds are differences of two outputs: twice the variance of the prior.
    prior = _prior_precision(model, 2) / (1 if soft else 2)
    covariance = np.linalg.inv((design.T * p * (1 - p)) @ design + prior)
    _, variances = _compare(members, mean, covariance)
    np.testing.assert_allclose(variances, 1, atol=0.15)
    truth = np.array([1.0, -0.5, 0.3])
    slopes = mean[:2] * model._inverse_spread
    found = np.append(slopes, mean[2] - slopes @ model._centre)
    # Four standard deviations of the posterior.
    error = np.sqrt(covariance.diagonal())
    np.testing.assert_array_less(np.abs(found - truth), 4 * error + 0.01)


def test_force_obeys_the_identity_of_stein():
    import torch

    from sktamm.learning._repulsion import _coupling

    u = torch.as_tensor(np.random.default_rng(3).normal(size=(40, 6)))
    u = u - u.mean(dim=0)
    force = _coupling(u, True, 6) @ u
    assert float((u * force).sum()) == pytest.approx(6 * 39, rel=1e-6)
    np.testing.assert_allclose(_coupling(10 * u, True, 6), _coupling(u, True, 6) / 100)
    # The gradient of the logarithm of the kernel's density, with the others held.
    at = u.clone().requires_grad_()
    squares = (at[:, None] - u).square().sum(dim=-1)
    above = torch.ones(40, 40).triu(1).bool()
    h = float(squares.detach()[above].median()) / (2 * np.log(41))
    torch.exp(-squares / (2 * h)).sum(dim=1).log().sum().backward()
    np.testing.assert_allclose(_coupling(u, False) @ u, -at.grad, rtol=1e-5, atol=1e-8)
    assert float(_coupling(u[:1], True)) == 0


# ------------------------------------------------------------------ scarce data
@pytest.mark.parametrize("repulsion", ["function", "loss", "weight"])
def test_spread_grows_where_data_are_scarce(repulsion):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-2, -0.7, 150), rng.uniform(0.7, 2, 150)])
    y = np.sin(2 * x) + 0.1 * rng.normal(size=300)
    model = RepulsiveEnsembleRegressor((32, 32), "tanh", noise=0.1, random_state=0)
    model.set_params(repulsion=repulsion, learning_rate=0.01, batch_size=100)
    model.set_params(max_epochs=150, device="cpu").fit(x[:, None], y)
    mean, there = model.predict([[-1.4], [-1.2], [1.2], [1.4]], return_std=True)
    _, gap = model.predict([[-0.1], [0.0], [0.1]], return_std=True)
    _, beyond = model.predict([[-3.0], [3.0]], return_std=True)
    assert gap.min() > 3 * there.max()
    assert beyond.min() > 3 * there.max()
    truth = np.sin(2 * np.array([-1.4, -1.2, 1.2, 1.4]))
    np.testing.assert_allclose(mean, truth, atol=0.06)
    alone = clone(model).set_params(alpha=0.0).fit(x[:, None], y)
    assert (gap > 1.5 * alone.predict([[-0.1], [0.0], [0.1]], return_std=True)[1]).all()


def test_classifier_is_less_sure_where_data_are_scarce():
    rng = np.random.default_rng(4)
    y = np.repeat([0, 1], 300)
    X = np.column_stack([rng.normal(2 * y - 1, 1), rng.normal(0, 0.3, 600)])
    model = RepulsiveEnsembleClassifier((16,), "tanh", random_state=0)
    model.set_params(learning_rate=0.02, max_epochs=40, device="cpu").fit(X, y)
    _, near = model.predict_proba([[0.0, 0.0]], return_std=True)
    proba, far = model.predict_proba([[0.0, 3.0]], return_std=True)
    assert far.min() > 2 * near.max()
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert model.predict_members(X).shape == (16, 600, 2)
    members = model.predict_members(X)
    np.testing.assert_allclose(members.mean(axis=0), model.predict_proba(X), rtol=1e-5)


# ------------------------------------------------------------------------- weights
@pytest.fixture(scope="module")
def events():
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, 600)
    return rng.normal(size=(600, 2)) + y[:, None], y


@BOTH
def test_doubling_all_weights_changes_no_bit(model, events):
    X, y = events
    weight = np.random.default_rng(5).uniform(-0.2, 1, size=len(y))
    once, twice = clone(model).fit(X, y, weight), clone(model).fit(X, y, 2 * weight)
    np.testing.assert_array_equal(once.coefs_[0], twice.coefs_[0])
    expected = weight.sum() ** 2 / np.square(weight).sum()
    assert once.n_events_ == pytest.approx(expected, rel=1e-5)


@BOTH
@pytest.mark.parametrize("repulsion", ["function", "loss", "weight"])
def test_an_event_of_weight_zero_is_no_event(model, repulsion, events):
    X, y = events
    weight = (np.arange(len(y)) % 3 > 0).astype(float)
    model = clone(model).set_params(repulsion=repulsion, batch_size=10_000)
    with_zeros = clone(model).fit(X, y, weight)
    without = clone(model).fit(X[weight > 0], y[weight > 0])
    np.testing.assert_allclose(with_zeros.coefs_[1], without.coefs_[1], atol=2e-3)
    assert with_zeros.n_events_ == pytest.approx(without.n_events_)


@BOTH
def test_copies_of_an_event_count_once(model, events):
    X, y = events
    groups = np.repeat(np.arange(200), 3)
    copies = np.repeat(X[:200], 3, axis=0), np.repeat(y[:200], 3)
    fitted = clone(model).fit(*copies, groups=groups)
    assert fitted.n_events_ == pytest.approx(200)
    assert clone(model).fit(*copies).n_events_ == pytest.approx(600)
    pickle.loads(pickle.dumps(fitted))
    assert not hasattr(fitted, "_units")


# -------------------------------------------------------------------- the training
@BOTH
def test_members_stop_together(model, events):
    X, y = events
    model = clone(model).set_params(
        early_stopping=True, max_epochs=80, patience=4, schedule="constant"
    )
    model.set_params(learning_rate=0.1).fit(X, y)
    assert model.validation_loss_curve_.shape == model.loss_curve_.shape
    assert len(set(model.best_epoch_)) == 1
    assert model.n_epochs_ == model.best_epoch_[0] + 1 + 4 < 80
    # The same training, cut after the best epoch, ends with the same weights.
    short = clone(model).set_params(max_epochs=int(model.best_epoch_[0]) + 1).fit(X, y)
    np.testing.assert_array_equal(short.coefs_[1], model.coefs_[1])


@BOTH
def test_reproducible_and_without_global_state(model, events):
    import torch

    X, y = events
    before = torch.random.get_rng_state()
    first = clone(model).fit(X, y)
    again = clone(model).fit(X, y)
    other = clone(model).set_params(random_state=1).fit(X, y)
    np.testing.assert_array_equal(first.coefs_[1], again.coefs_[1])
    assert not np.allclose(first.coefs_[1], other.coefs_[1])
    assert torch.equal(torch.random.get_rng_state(), before)
    assert b"torch" not in pickle.dumps(vars(first))
    copy = pickle.loads(pickle.dumps(first))
    np.testing.assert_array_equal(copy.predict(X), first.predict(X))


@BOTH
def test_one_member_and_half_precision(model, events):
    X, y = events
    alone = clone(model).set_params(n_members=1, mixed_precision=True).fit(X, y)
    assert alone.score(X, y) > 0.4
    predict = getattr(alone, "predict_proba", alone.predict)
    with pytest.raises(IncompatibleChoiceError, match="return_std needs"):
        predict(X, return_std=True)


@BOTH
def test_going_on(model, events):
    X, y = events
    warm = clone(model).set_params(warm_start=True).fit(X, y)
    assert warm.fit(X, y).n_events_ == 600
    classes = {"classes": [0, 1, 2]} if hasattr(model, "predict_proba") else {}
    part = clone(model).partial_fit(X[:400], y[:400], **classes)
    assert part.partial_fit(X[400:], y[400:]).n_events_ == 600


def test_members_of_a_constant_target():
    X = np.linspace(-1, 1, 60)[:, None]
    model = clone(REGRESSOR).fit(X, np.full(60, 3.0))
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_allclose(mean, 3.0)
    np.testing.assert_allclose(std, 0.0, atol=1e-12)


def test_progress_bar(events, capsys):
    pytest.importorskip("tqdm")
    clone(REGRESSOR).set_params(progress=True, max_epochs=2).fit(*events)
    assert "epochs" in capsys.readouterr().err


# --------------------------------------------------------------- as a base learner
def test_inside_density_ratio():
    study = make_gaussian_study(n_simulations=2, n_events=400, random_state=0)
    classifier = RepulsiveEnsembleClassifier((8,), max_epochs=3, device="cpu")
    ratio = DensityRatio(classifier, n_members=3, resample="none", random_state=0)
    ratio.fit(study.X, study.y, simulation=study.simulation)
    log_ratio = ratio.predict_log_ratio(study.X_target[:50])
    assert log_ratio.shape == (50, 4)
    assert np.isfinite(log_ratio).all()


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.RatioWarning")
def test_inside_derivative_ratio():
    rng = np.random.default_rng(6)
    basis = MorphingBasis(1, benchmarks=[[0], [-1], [1]])
    z = rng.normal(size=2000)
    weights = np.column_stack([1 + t * z + t**2 * z**2 for t in (0.0, -1.0, 1.0)])
    derivatives = joint_derivatives(weights, basis)
    X = (z + 0.3 * rng.normal(size=2000))[:, None]
    base = RepulsiveEnsembleRegressor((16,), "tanh", learning_rate=0.03, device="cpu")
    base.set_params(max_epochs=20)
    model = DerivativeRatioRegressor(base, random_state=0).fit(X, derivatives)
    assert model.score(X, derivatives) > 0.8
    learner = model.estimators_[0]
    assert learner.predict_members(X).shape == (16, 2000, 2)
    _, std = learner.predict(X, return_std=True)
    assert std.shape == (2000, 2)


# ------------------------------------------------------------------------ refusals
@pytest.mark.parametrize(
    "choice",
    [
        {"repulsion": "gradient"},
        {"alpha": -1.0},
        {"alpha": np.nan},
        {"prior_scale": 0.0},
        {"loss": "huber"},
        {"noise": 0.0},
        {"noise": [1.0, 2.0]},
        {"noise": [[1.0]]},
        {"n_members": 0},
        {"max_epochs": 0},
    ],
)
def test_parameters_out_of_range(choice, events):
    (name,) = choice
    with pytest.raises(IncompatibleChoiceError, match=f"{name} must be .*, got"):
        clone(REGRESSOR).set_params(**choice).fit(*events)


def test_prior_may_be_flat(events):
    X, y = events
    flat = clone(REGRESSOR).set_params(prior_scale=None, repulsion="loss").fit(X, y)
    tight = clone(REGRESSOR).set_params(prior_scale=0.02).fit(X, y)
    assert np.square(tight.coefs_[0]).sum() < 0.1 * np.square(flat.coefs_[0]).sum()


def test_a_few_hundred_events_are_not_taken_for_noise():
    """With an unknown noise, all of it is a solution too, held by the prior."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (160, 1))
    y = np.sin(2 * X[:, 0]) + 0.1 * rng.normal(size=160)
    ensemble = RepulsiveEnsembleRegressor(
        (32, 32),
        n_members=8,
        max_epochs=200,
        early_stopping=False,
        device="cpu",
        random_state=0,
    ).fit(X, y)
    assert ensemble.noise_[0] < 0.2
    assert ensemble.score(X, y) > 0.95
