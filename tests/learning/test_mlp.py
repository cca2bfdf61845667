import copy
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError
from sktamm.learning import TorchMLPClassifier, TorchMLPRegressor, _networks
from sktamm.learning._stacked import weighted_moments

pytestmark = pytest.mark.torch

CHEAP: dict[str, Any] = {
    "hidden_layer_sizes": (8,),
    "max_epochs": 15,
    "learning_rate": 0.05,
    "device": "cpu",
    "random_state": 0,
}
CLASSIFIER = TorchMLPClassifier(**CHEAP)
REGRESSOR = TorchMLPRegressor(**CHEAP)
# One step per epoch with all rows: nothing but the initial weights is random.
FULL_BATCH = {"batch_size": 10_000, "early_stopping": False, "bootstrap": False}
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
    [CLASSIFIER, REGRESSOR, clone(CLASSIFIER).set_params(n_members=2)],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES,
)
def test_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def events():
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, 900)
    return rng.normal(size=(900, 2)) + y[:, None], y


@pytest.fixture(scope="module")
def curve():
    rng = np.random.default_rng(2)
    X = rng.uniform(-2, 2, size=(900, 1))
    return X, np.column_stack([500 + 10 * X[:, 0], 1e-3 * X[:, 0] ** 2])


def _classifier(**choices):
    return clone(CLASSIFIER).set_params(**{"max_epochs": 4, **choices})


def _regressor(**choices):
    return clone(REGRESSOR).set_params(**choices)


# ----------------------------------------------------------------- what is learned
def test_log_ratio_of_two_normals():
    rng = np.random.default_rng(3)
    y = np.repeat([0, 1], 20_000)
    X = (rng.normal(size=y.size) + y - 0.5)[:, None]
    model = TorchMLPClassifier((32, 32), n_members=4, max_epochs=6, random_state=0)
    model.set_params(learning_rate=3e-3, device="cpu").fit(X, y)
    x = np.linspace(-2, 2, 81)[:, None]
    log_ratio = model.predict_log_proba(x) @ [-1, 1]
    # The slope of logistic regression alone has an error of 0.01.
    assert np.sqrt(np.mean((log_ratio - x[:, 0]) ** 2)) < 0.08


def test_log_proba_is_finite_in_the_tails(events):
    model = _classifier().fit(*events)
    log_proba = model.predict_log_proba([[-1000.0, -1000.0], [1000.0, 1000.0]])
    assert np.isfinite(log_proba).all()
    assert log_proba.min() < -100


def test_mean_over_members(events):
    X, y = events
    model = _classifier(n_members=3).fit(X, y)
    members = model.predict_member_log_proba(X)
    assert members.shape == (3, 900, 3)
    assert members.dtype == np.float32
    mean = np.exp(members).mean(axis=0)
    np.testing.assert_allclose(model.predict_proba(X), mean, rtol=1e-5)
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1, rtol=1e-6)
    assert members.std(axis=0).min() > 0


@pytest.mark.parametrize("activation", _networks.ACTIVATIONS)
def test_activations(activation, events):
    X, y = events
    model = _classifier(activation=activation, max_epochs=10).fit(X, y)
    assert model.score(X, y) > 0.6
    half = clone(model).set_params(mixed_precision=True).fit(X, y)
    np.testing.assert_allclose(half.predict_proba(X), model.predict_proba(X), atol=0.2)


def test_no_hidden_layer_is_logistic_regression(events):
    X, y = events
    model = _classifier(hidden_layer_sizes=(), max_epochs=20).fit(X, y)
    corners = model.predict_log_proba([[0, 0], [1, 1], [2, 2]])
    logits = corners - corners[:, :1]
    np.testing.assert_allclose(logits[0] + logits[2], 2 * logits[1], atol=1e-5)


@pytest.mark.parametrize("loss", ["squared_error", "huber"])
def test_regression_of_targets_of_different_scale(loss, curve):
    X, y = curve
    model = _regressor(loss=loss, max_epochs=60).fit(X, y)
    assert model.predict(X).shape == y.shape
    assert model.score(X, y) > 0.98


def test_poisson_regression():
    rng = np.random.default_rng(4)
    X = rng.uniform(-1, 1, size=(4000, 1))
    expected = 20 * np.exp(X[:, 0])
    model = _regressor(loss="poisson", n_members=2).fit(X, rng.poisson(expected))
    np.testing.assert_allclose(model.predict(X), expected, rtol=0.15)


def test_standard_deviation_over_members(curve):
    X, y = curve
    model = _regressor(n_members=3, max_epochs=5).fit(X, y[:, 0])
    members = model.predict_members(X)
    assert members.shape == (3, 900)
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_allclose(mean, members.mean(axis=0))
    np.testing.assert_allclose(std, members.std(axis=0, ddof=1))
    assert model.fit(X, y).predict_members(X).shape == (3, 900, 2)


# ------------------------------------------------------------------------- weights
@pytest.mark.parametrize("model", [_classifier(), _regressor(max_epochs=4)])
def test_doubling_all_weights_changes_no_bit(model, events):
    X, y = events
    weight = np.random.default_rng(5).uniform(-0.2, 1, size=len(y))
    once, twice = clone(model).fit(X, y, weight), clone(model).fit(X, y, 2 * weight)
    np.testing.assert_array_equal(once.coefs_[0], twice.coefs_[0])


@pytest.mark.parametrize("estimator", [_classifier, _regressor])
def test_an_event_of_weight_zero_is_no_event(estimator, events):
    X, y = events
    weight = (np.arange(len(y)) % 3 > 0).astype(float)
    model = estimator(max_epochs=20, **FULL_BATCH)
    with_zeros = clone(model).fit(X, y, weight)
    without = clone(model).fit(X[weight > 0], y[weight > 0])
    np.testing.assert_allclose(with_zeros.coefs_[1], without.coefs_[1], atol=1e-4)


def test_opposite_weights_cancel(events):
    X, y = events
    rng = np.random.default_rng(6)
    extra = rng.normal(size=(50, 2))
    X_more, y_more = np.vstack([X, extra, extra]), np.r_[y, y[:50], y[:50]]
    weight = np.r_[np.ones(900), np.ones(50), -np.ones(50)]
    model = _classifier(max_epochs=20, **FULL_BATCH)
    cancelled = clone(model).fit(X_more, y_more, weight)
    np.testing.assert_allclose(
        cancelled.predict_proba(X), model.fit(X, y).predict_proba(X), atol=1e-3
    )


def test_class_weight(events):
    X, y = events
    keep = (y == 0) | (np.arange(len(y)) % 10 == 0)
    X, y = X[keep], y[keep]
    share = {
        choice: _classifier(max_epochs=20, class_weight=balance)
        .fit(X, y)
        .predict_proba(X)
        .mean(axis=0)[0]
        for choice, balance in [("none", None), ("balanced", "balanced")]
    }
    assert share["none"] == pytest.approx((y == 0).mean(), abs=0.03)
    assert share["balanced"] < share["none"] - 0.05
    weight = np.where(y == 0, 1.0, 2.0)
    by_class = _classifier(class_weight={0: 1, 1: 2, 2: 2}).fit(X, y)
    by_event = _classifier().fit(X, y, weight)
    np.testing.assert_allclose(by_class.predict_proba(X), by_event.predict_proba(X))


def test_member_weight_excludes_events_from_training_and_validation(events):
    X, y = events
    fold = np.arange(len(y)) % 2
    unseen = X.copy()
    unseen[fold == 1] += 5.0
    members = np.stack([fold == 0, fold == 1]).astype(float)
    choices = {"n_members": 2, "max_epochs": 8}
    model = _classifier(**choices).fit(X, y, member_weight=members)
    other = _classifier(**choices)
    other._standardise = lambda rows, weight: vars(other).update(
        _centre=model._centre, _inverse_spread=model._inverse_spread
    )
    other.fit(unseen, y, member_weight=members)
    same, changed = model.predict_member_log_proba(X), other.predict_member_log_proba(X)
    np.testing.assert_allclose(same[0], changed[0], atol=1e-4)
    assert np.abs(same[1] - changed[1]).max() > 0.1
    loss, other_loss = model.validation_loss_curve_, other.validation_loss_curve_
    np.testing.assert_allclose(loss[:, 0], other_loss[:, 0], atol=1e-4)


def test_weighted_moments():
    values = np.array([[1.0, 7.0], [3.0, 7.0], [5.0, 7.0]])
    mean, spread = weighted_moments(values, np.array([1.0, 0.0, 3.0]))
    np.testing.assert_allclose(mean, [4.0, 7.0])
    np.testing.assert_allclose(spread, [np.sqrt(3.0), 0.0])
    _, spread = weighted_moments(values, np.array([-1.0, 3.0, -1.0]))
    np.testing.assert_allclose(spread, [np.sqrt(8 / 3), 0.0])


# -------------------------------------------------------------------- the training
def test_a_stack_equals_its_members_alone():
    rng = np.random.default_rng(7)
    sizes, n = (2, 8, 8, 3), 600
    start = rng.normal(0, 0.3, size=(4, 2 * 8 + 8 + 72 + 27)).astype(np.float32)
    rows = _networks.Rows(
        rng.normal(size=(n, 2)).astype(np.float32),
        rng.integers(0, 3, n),
        rng.poisson(1.0, size=(n, 4)).astype(np.float32),
    )
    options = _networks.Options(
        sizes=sizes,
        activation="tanh",
        loss="cross_entropy",
        learning_rate=0.01,
        schedule="one_cycle",
        batch_size=100,
        max_epochs=6,
        patience=2,
        weight_decay=0.01,
        device="cpu",
        mixed_precision=False,
        progress=False,
        seed=1,
    )
    split = _networks.Split(np.arange(500), np.arange(500, n))
    stack = _networks.train(start, rows, split, options)
    for m in range(4):
        only = rows._replace(weight=rows.weight[:, [m]])
        alone = _networks.train(start[[m]], only, split, options)
        np.testing.assert_allclose(stack.parameters[m], alone.parameters[0], atol=1e-5)
        assert stack.best_epoch[m] == alone.best_epoch[0]
        n_epochs = len(alone.loss)
        np.testing.assert_allclose(stack.loss[:n_epochs, m], alone.loss[:, 0], 1e-4)


def test_best_weights_of_each_member_are_restored(events):
    X, y = events
    model = _classifier(
        n_members=3, max_epochs=60, patience=4, learning_rate=0.1, schedule="constant"
    ).fit(X, y)
    curves = model.validation_loss_curve_
    assert curves.shape == model.loss_curve_.shape == (model.n_epochs_, 3)
    assert model.n_epochs_ < 60
    assert model.best_epoch_.max() == model.n_epochs_ - 1 - 4
    for m, best in enumerate(model.best_epoch_):
        least = curves[: best + 5, m].min()
        assert curves[best, m] < least + 0.05
        assert (curves[best + 1 : best + 5, m] > least).all()
    # The same training, cut after the best epoch of a member, ends with its weights.
    m = int(model.best_epoch_.argmax())
    short = clone(model).set_params(max_epochs=int(model.best_epoch_[m]) + 1).fit(X, y)
    np.testing.assert_array_equal(short.coefs_[1][m], model.coefs_[1][m])


@pytest.mark.parametrize("copies", [1, 4])
def test_the_best_epoch_is_the_last_within_the_error_of_the_least_loss(copies):
    import torch

    from sktamm.learning._best_epoch import BestWeights

    # Copies of an event fluctuate together: the error is that of 400 events.
    event = np.arange(400).repeat(copies)
    best = BestWeights(torch.zeros(2, 1), patience=2)
    best.judge_by(torch.ones(len(event), 1), 3 * event if copies > 1 else None)
    noise = torch.as_tensor(np.random.default_rng(8).normal(size=(2, 400))).float()
    noise -= noise.mean(dim=1, keepdim=True)
    noise = noise[:, event]
    # The error of the difference to the first epoch is 0.1 / sqrt(400) = 0.005.
    excess = torch.tensor([[0, 0.004, 0.006, 0.02], [0, 0.006, -0.03, -0.01]])
    for epoch, mean in enumerate(excess.T):
        losses = 1 + mean[:, None] + (0.1 * noise if epoch else 0 * noise)
        returned = best.update(torch.full((2, 1), float(epoch)), losses, epoch)
        np.testing.assert_allclose(returned, 1 + mean, rtol=1e-5)
    assert best.epoch.tolist() == [1, 2]
    assert best.parameters[:, 0].tolist() == [1, 2]
    assert best.stopped.tolist() == [True, False]


def test_validation_is_stratified_and_left_out_when_data_are_few(events):
    X, y = events
    few = np.r_[np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:9]]
    model = _classifier().fit(X[few], y[few])
    assert model.validation_loss_curve_ is None
    np.testing.assert_array_equal(model.best_epoch_, [3])
    assert _classifier().fit(X, y).validation_loss_curve_.shape == (4, 1)


def test_reproducible_and_without_global_state(events):
    import torch

    X, y = events
    before = torch.random.get_rng_state()
    first = _classifier(n_members=2).fit(X, y).predict_proba(X)
    again = _classifier(n_members=2).fit(X, y).predict_proba(X)
    other = _classifier(n_members=2, random_state=1).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_members_do_not_depend_on_their_number(events):
    X, y = events
    one = _classifier(bootstrap=False).fit(X, y)
    three = _classifier(bootstrap=False, n_members=3).fit(X, y)
    np.testing.assert_allclose(one.coefs_[0][0], three.coefs_[0][0], atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constant_features_and_large_offsets(dtype, events):
    X, y = events
    wide = np.column_stack([X, np.full(900, 0.1)]).astype(dtype)
    model = _classifier().fit(wide, y)
    wide[:, 2] = 55
    np.testing.assert_allclose(
        model.predict_proba(wide),
        model.predict_proba(np.column_stack([X, np.full(900, 0.1)]).astype(dtype)),
        atol=1e-5,
    )
    far = _classifier().fit(4096.0 * X + 2.0**20, y)
    near = _classifier().fit(X, y)
    np.testing.assert_allclose(
        far.predict_proba(4096.0 * X + 2.0**20), near.predict_proba(X), atol=1e-3
    )


# ------------------------------------------------------------ saving and going on
def test_copies_and_pickles_hold_plain_arrays(events):
    X, y = events
    model = _classifier(n_members=2)
    pickle.loads(pickle.dumps(model))
    model.fit(X, y)
    assert b"torch" not in pickle.dumps(vars(model))
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(model.predict_proba(X), other.predict_proba(X))


def test_a_model_of_a_missing_device_predicts(events):
    if _networks.has_cuda():
        pytest.skip("needs a machine without a CUDA device")
    X, y = events
    model = _classifier().fit(X, y)
    expected = model.predict_proba(X)
    model.set_params(device="cuda")
    np.testing.assert_array_equal(model.predict_proba(X), expected)
    with pytest.raises(IncompatibleChoiceError, match="device must be"):
        model.fit(X, y)


@pytest.mark.parametrize("estimator", [_classifier, _regressor])
def test_warm_start_goes_on(estimator, events):
    X, y = events
    model = estimator(warm_start=True, max_epochs=5, early_stopping=False).fit(X, y)
    first = model.loss_curve_
    assert model.fit(X, y).loss_curve_[0, 0] < first[0, 0]
    with pytest.raises(IncompatibleChoiceError, match="n_members"):
        model.set_params(n_members=2).fit(X, y)
    cold = estimator(max_epochs=5, early_stopping=False).fit(X, y).fit(X, y)
    np.testing.assert_array_equal(cold.loss_curve_, first)


def test_partial_fit_needs_the_classes_once(events):
    X, y = events
    order = np.argsort(y, kind="stable")
    model = _classifier().partial_fit(X[order[:200]], y[order[:200]], classes=[0, 1, 2])
    np.testing.assert_array_equal(model.classes_, [0, 1, 2])
    for _ in range(10):
        model.partial_fit(X, y)
    assert model.n_epochs_ == 1
    assert model.score(X, y) > 0.6
    with pytest.raises(InvalidInputError, match="y must hold the classes"):
        model.partial_fit(X, y + 1)
    with pytest.raises(IncompatibleChoiceError, match="class_weight must be a dict"):
        model.set_params(class_weight="balanced").partial_fit(X, y)


def test_partial_fit_of_the_regressor(curve):
    X, y = curve
    model = _regressor()
    for _ in range(30):
        model.partial_fit(X, y[:, 0])
    assert model.score(X, y[:, 0]) > 0.98
    with pytest.raises(IncompatibleChoiceError, match="outputs must stay the same"):
        model.partial_fit(X, y)
    assert model.predict(X).shape == (900,)


def test_data_frames_keep_their_names(events):
    X, y = events
    frame = pd.DataFrame(X, columns=["mass", "angle"])
    labels = np.array(["qcd", "top", "w"])[y]
    model = _classifier().fit(frame, labels)
    assert list(model.feature_names_in_) == ["mass", "angle"]
    assert set(model.predict(frame)) <= {"qcd", "top", "w"}
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["angle", "mass"]])


def test_progress_bar(events, capsys):
    pytest.importorskip("tqdm")
    _classifier(progress=True).fit(*events)
    assert "epochs" in capsys.readouterr().err


# ------------------------------------------------------------------------ refusals
@pytest.mark.parametrize(
    "choice",
    [
        {"activation": "sine"},
        {"schedule": "cosine"},
        {"device": "tpu"},
        {"mixed_precision": "half"},
        {"n_members": 0},
        {"max_epochs": 1.5},
        {"patience": -1},
        {"hidden_layer_sizes": (8, 0)},
        {"learning_rate": 0.0},
        {"weight_decay": -0.1},
        {"validation_fraction": 1.0},
        {"batch_size": "large"},
    ],
)
def test_parameters_out_of_range(choice, events):
    (name,) = choice
    with pytest.raises(IncompatibleChoiceError, match=f"{name} must be .*, got"):
        _classifier(**choice).fit(*events)


def test_loss_of_another_kind(curve):
    with pytest.raises(IncompatibleChoiceError, match="loss must be a str among"):
        _regressor(loss="cross_entropy").fit(*curve)
    with pytest.raises(InvalidInputError, match="must not be negative"):
        _regressor(loss="poisson").fit(curve[0], curve[0])
    with pytest.raises(IncompatibleChoiceError, match="return_std needs"):
        _regressor().fit(*curve).predict(curve[0], return_std=True)


def test_weights_without_a_positive_sum(events):
    X, y = events
    weight = np.where(y == 1, -1.0, 1.0)
    with pytest.raises(InvalidInputError, match="above zero in class 1"):
        _classifier().fit(X, y, weight)
    with pytest.raises(InvalidInputError, match="sample_weight must have a sum"):
        _regressor().fit(X, y, -np.ones(900))
    members = np.ones((2, 900))
    members[1, y == 2] = 0
    with pytest.raises(InvalidInputError, match="class 2 of member 1"):
        _classifier(n_members=2).fit(X, y, member_weight=members)
    with pytest.raises(InvalidInputError, match="member_weight must be finite"):
        _classifier().fit(X, y, member_weight=members)


def test_one_class(events):
    X, y = events
    with pytest.raises(InvalidInputError, match="at least two classes"):
        _classifier().fit(X, np.ones_like(y))


def test_a_training_that_diverges(curve):
    X, y = curve
    for stopping in (True, False):
        model = _regressor(learning_rate=1e30, early_stopping=stopping)
        with pytest.raises(IncompatibleChoiceError, match="learning_rate must be"):
            model.fit(X, y)


@pytest.mark.gpu
def test_a_model_of_a_gpu_predicts_on_the_cpu(events):
    X, y = events
    model = _classifier(device="cuda", max_epochs=20).fit(X, y)
    assert model.device_ == "cuda"
    here = model.predict_proba(X)
    there = pickle.loads(pickle.dumps(model)).set_params(device="cpu")
    np.testing.assert_allclose(here, there.predict_proba(X), atol=1e-3)
    on_cpu = _classifier(max_epochs=20).fit(X, y)
    np.testing.assert_allclose(here, on_cpu.predict_proba(X), atol=0.1)


@pytest.mark.parametrize(
    ("n_rows", "epochs", "rate"),
    [(1_000, 20, 1e-3), (409_600, 20, 1e-3), (819_200, 10, 2e-3), (5_000_000, 7, 3e-3)],
)
def test_many_rows_are_gone_over_fewer_times(n_rows, epochs, rate):
    auto = {"max_epochs": "auto", "learning_rate": "auto"}
    assert TorchMLPClassifier(**auto)._pace(auto, n_rows) == {
        "max_epochs": epochs,
        "learning_rate": rate,
    }


@pytest.mark.parametrize(("epochs", "rate"), [("auto", 0.01), (5, "auto"), (5, 0.01)])
def test_what_is_given_is_taken(epochs, rate):
    given = {"max_epochs": epochs, "learning_rate": rate}
    assert TorchMLPClassifier(**given)._pace(given, 5_000_000) == {
        "max_epochs": 20 if epochs == "auto" else epochs,
        "learning_rate": 1e-3 if rate == "auto" else rate,
    }
