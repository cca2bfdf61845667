"""The boosted trees: ratios, negative weights, early stopping, threads, seeds."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed
from sklearn.utils.estimator_checks import parametrize_with_checks

from sktamm.exceptions import InvalidInputError
from sktamm.learning._ensemble import ClassifierEnsemble
from sktamm.learning._lightgbm import LightGBMRatioClassifier, _threads
from sktamm.learning._signed import settled_weights
from sktamm.ratios._wifi_ensemble import WifiEnsemble

GRID = np.linspace(-1.5, 1.5, 31)[:, None]


def two_normals(n, rng):
    y = np.repeat([0, 1], n)
    return rng.normal(y - 0.5)[:, None], y


def rms_error(model):
    """Of the log ratio of two unit normals at -1/2 and 1/2, which is x."""
    log_odds = np.diff(model.predict_log_proba(GRID)).ravel()
    return np.sqrt(np.mean((log_odds - GRID[:, 0]) ** 2))


@parametrize_with_checks(
    [LightGBMRatioClassifier(20, min_child_samples=5, random_state=0)],
    expected_failed_checks=lambda model: {
        "check_sample_weight_equivalence_on_dense_data": (
            "held-out events are drawn and cuts are placed without regard to weights"
        )
    },
)
def test_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("linear_tree", [True, False])
def test_log_ratios_are_accurate(linear_tree):
    X, y = two_normals(20_000, np.random.default_rng(0))
    model = LightGBMRatioClassifier(linear_tree=linear_tree, random_state=0).fit(X, y)
    # One parametric slope is known to 0.01; the trees learn a function of x.
    assert rms_error(model) < 0.15


def test_negative_weights_subtract_their_events():
    rng = np.random.default_rng(1)
    X, y = two_normals(20_000, rng)
    extra = rng.normal(-1.0, 0.5, (8_000, 1))
    X, y = np.vstack([X, extra]), np.append(y, np.ones(8_000, dtype=int))
    weight = np.repeat([1.0, -1.0], [44_000, 4_000])
    model = LightGBMRatioClassifier(random_state=0)
    assert rms_error(model.fit(X, y, weight)) < 0.2
    biased = LightGBMRatioClassifier(random_state=0).fit(X, y, np.abs(weight))
    assert rms_error(biased) > 0.2, "the test has no power"


def test_held_out_events_share_no_cell_with_the_others():
    """The clusters that settling leaves are not learned: a third of the error."""
    rng = np.random.default_rng(1)
    X, y = two_normals(10_000, rng)
    extra = rng.normal(-1.0, 0.5, (16_000, 1))
    X, y = np.vstack([X, extra]), np.append(y, np.ones(16_000, dtype=int))
    weight = np.repeat([1.0, 1.0, -1.0], [20_000, 8_000, 8_000])
    model = LightGBMRatioClassifier(
        min_child_samples=20, linear_tree=False, extra_trees=False, random_state=0
    )
    apart = rms_error(model.fit(X, y, weight))
    together = rms_error(model.fit(X, y, settled_weights(X, y, weight)))
    assert apart < 0.2
    assert together > 1.5 * apart


def test_few_held_out_events_are_settled_with_the_others():
    """Half of the 20 held-out events are negative: their sum need not be positive."""
    rng = np.random.default_rng(0)
    X, y = two_normals(100, rng)
    weight = rng.choice([1.0, -1.0], 200, p=[0.6, 0.4])
    for seed in range(20):
        model = LightGBMRatioClassifier(n_estimators=5, random_state=seed)
        assert np.isfinite(model.fit(X, y, weight).predict_log_proba(X)).all()


def test_a_class_of_negative_weight_is_refused():
    X, y = two_normals(50, np.random.default_rng(0))
    with pytest.raises(InvalidInputError, match="in class 1"):
        LightGBMRatioClassifier().fit(X, y, np.where(y == 1, -1.0, 1.0))


def test_boosting_stops_at_the_best_round():
    X, y = two_normals(2_000, np.random.default_rng(0))
    stopped = LightGBMRatioClassifier(learning_rate=0.5, random_state=0).fit(X, y)
    assert stopped.n_iter_ < 100
    all_rounds = LightGBMRatioClassifier(
        300, learning_rate=0.5, validation_fraction=0.0, random_state=0
    ).fit(X, y)
    assert all_rounds.n_iter_ == 300
    assert rms_error(stopped) < rms_error(all_rounds)


def test_log_probabilities_are_the_logarithms():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 2_000)
    X = rng.normal(y)[:, None]
    for classes in (y, y == 1):
        model = LightGBMRatioClassifier(10, random_state=0).fit(X, classes)
        proba = model.predict_proba(GRID)
        np.testing.assert_allclose(proba.sum(axis=1), 1.0)
        np.testing.assert_allclose(np.log(proba), model.predict_log_proba(GRID))


def test_seed_threads_and_pickles_give_the_same_numbers():
    X, y = two_normals(2_000, np.random.default_rng(0))
    models = [
        LightGBMRatioClassifier(random_state=3, n_jobs=n).fit(X, y) for n in (1, 1, 2)
    ]
    models.append(pickle.loads(pickle.dumps(models[0])))
    one, again, two, copied = (model.predict_proba(GRID) for model in models)
    np.testing.assert_array_equal(again, one)
    np.testing.assert_array_equal(copied, one)
    np.testing.assert_allclose(two, one, rtol=1e-10)


def test_a_fit_within_a_parallel_job_keeps_to_one_thread():
    assert _threads(2) == 2
    inside = Parallel(n_jobs=2, backend="threading")(
        delayed(_threads)(2) for _ in range(2)
    )
    assert inside == [1, 1]


def test_data_frames_give_no_warnings():
    X, y = two_normals(200, np.random.default_rng(0))
    frame = pd.DataFrame(X, columns=["a strange {name}"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = LightGBMRatioClassifier(5, random_state=0).fit(frame, y)
        model.predict_proba(frame)
    assert model.feature_names_in_.tolist() == ["a strange {name}"]


def test_members_of_an_ensemble():
    X, y = two_normals(2_000, np.random.default_rng(0))
    model = ClassifierEnsemble(LightGBMRatioClassifier(20), 3, random_state=0).fit(X, y)
    assert model.predict_member_log_proba(GRID).shape == (3, 31, 2)
    wifi = WifiEnsemble(LightGBMRatioClassifier(20), 3, random_state=0).fit(X, y)
    log_ratio, std = wifi.predict_log_ratio(GRID, return_std=True)
    assert np.sqrt(np.mean((log_ratio - GRID[:, 0]) ** 2)) < 0.4
    assert (std > 0).all()


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"n_estimators": 0}, "n_estimators must be an int"),
        ({"learning_rate": -1.0}, "learning_rate must be a float"),
        ({"num_leaves": 1}, "num_leaves must be an int"),
        ({"validation_fraction": 1.0}, "validation_fraction must be"),
    ],
)
def test_unusable_parameters_are_refused(choices, message):
    X, y = two_normals(50, np.random.default_rng(0))
    with pytest.raises(InvalidInputError, match=message):
        LightGBMRatioClassifier(**choices).fit(X, y)
