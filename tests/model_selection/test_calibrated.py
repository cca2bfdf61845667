"""CalibratedTAMM: what it repairs, what it leaves alone, what it refuses."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy import stats
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sktamm import BinnedTopicTAMM, NeuralRatioTAMM, infer
from sktamm.datasets import make_gaussian_study
from sktamm.events import read_target
from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError
from sktamm.model_selection import (
    CalibratedTAMM,
    CoverageScorer,
    LeaveSimulationsOut,
)
from sktamm.ratios import DensityRatio
from sktamm.results import FractionResult
from sktamm.tamm._truth import true_fraction

# The study of the estimators is at the edge of what its four simulations make (rows p =
# .0003); here their intervals are calibrated, whatever they say of it.
pytestmark = pytest.mark.filterwarnings("ignore::sktamm.exceptions.SpanWarning")
DIAGNOSTICS = {"interval_scale", "mean_pull", "calibration_units"}


# ------------------------------------------- a measurement whose errors can be wrong
class CutCount(BaseEstimator):
    """Fraction from the share of events beyond a cut; errors times ``factor``.

    kappa = (f - b) / (s - b) with the mean efficiencies of the simulations, and their
    scatter in the error: Student intervals, exact for normal efficiencies.
    """

    def __init__(self, factor=1.0):
        self.factor = factor

    def fit(self, X, y, simulation, sample_weight=None):
        self.classes_, self.pos_label_ = np.array([0, 1]), 1
        self.simulations_, self.paired_ = np.unique(simulation), True
        self.n_features_in_ = X.shape[1]
        self.efficiency_ = np.array(
            [
                [X[(y == c) & (simulation == k), 0].mean() for k in self.simulations_]
                for c in (0, 1)
            ]
        )
        return self

    def infer(self, X, *, dataset=None, sample_weight=None, levels=(0.683,)):
        counts = np.ones((len(X), 1)) if dataset is None else dataset
        size = np.asarray(counts.sum(axis=0)).ravel()
        share = np.asarray(counts.T @ X[:, 0]).ravel() / size
        n = self.simulations_.size
        b, s = self.efficiency_.mean(axis=1)
        kappa = (share - b) / (s - b)
        spread = self.efficiency_.var(axis=1, ddof=1) * (1.0 + 1.0 / n)
        variance = (1.0 - kappa) ** 2 * spread[0] + kappa**2 * spread[1]
        std = self.factor * np.sqrt(variance + share * (1 - share) / size) / (s - b)
        half = std[:, None] * stats.t(n - 1).ppf(0.5 + 0.5 * np.asarray(levels))
        return FractionResult(
            dataset=np.arange(size.size),
            classes=self.classes_,
            pos_label=1,
            kappa=kappa,
            std=std,
            levels=np.asarray(levels),
            interval=np.stack([kappa[:, None] - half, kappa[:, None] + half], axis=1),
            fractions=np.stack([1 - kappa, kappa], axis=1),
            weights=(),
            n_events=size,
            n_effective=size,
        )


def _pass(efficiency, n, rng):
    return (rng.random((n, 1)) < efficiency).astype(float)


N_SETS = 100
SIGMA = np.sqrt(0.683 * 0.317 / N_SETS)
EXACT, DEFAULT = {"method": "rms", "strength": 0.0}, {}
ORDER = {"method": "jackknife+"}


def _coverage(factor, *settings, n_simulations=8):
    """Coverage at 68.3 % before and after, truths exchangeable with simulations."""
    covered = []
    for seed in range(N_SETS):
        rng = np.random.default_rng(seed)
        b = rng.normal(0.3, 0.02, n_simulations + 1)
        s = rng.normal(0.7, 0.02, n_simulations + 1)
        parts = [_pass(e, 400, rng) for e in (*b[1:], *s[1:])]
        X, y = np.concatenate(parts), np.repeat([0, 1], 400 * n_simulations)
        simulation = np.tile(np.repeat(np.arange(n_simulations), 400), 2)
        target = np.concatenate([_pass(b[0], 350, rng), _pass(s[0], 150, rng)])
        model = CalibratedTAMM(CutCount(factor)).fit(X, y, simulation=simulation)
        models = [model.estimator_]
        models += [copy.copy(model).set_params(**choice) for choice in settings]
        ends = [m.infer(target, levels=(0.683,)).interval[0, :, 0] for m in models]
        covered.append([low <= 0.3 <= high for low, high in ends])
    return np.mean(covered, axis=0)


def test_narrow_intervals_are_repaired():
    """Nominal within 3.5 sigma, false alarm 5e-4 each, before 4 sigma too low.

    Order statistics with K = 8 have rank 7 of 9, between .683 and .778.
    """
    before, exact, default, order = _coverage(0.4, EXACT, DEFAULT, ORDER)
    assert before < 0.683 - 4.0 * SIGMA
    assert abs(exact - 0.683) < 3.5 * SIGMA
    assert default > 0.683 - 3.5 * SIGMA
    assert 0.683 - 3.5 * SIGMA < order < 0.778 + 3.5 * SIGMA


def test_wide_intervals_are_repaired():
    before, exact, default, order = _coverage(2.0, EXACT, DEFAULT, ORDER)
    assert before > 0.683 + 4.0 * SIGMA
    assert abs(exact - 0.683) < 3.5 * SIGMA
    assert default > 0.683 - 3.5 * SIGMA
    assert 0.683 - 3.5 * SIGMA < order < 0.778 + 3.5 * SIGMA


def test_exact_intervals_stay_exact():
    before, exact, default = _coverage(1.0, EXACT, DEFAULT)
    assert np.abs(np.array([before, exact, default]) - 0.683).max() < 3.5 * SIGMA


# --------------------------------------------------------------------- real estimators
@pytest.fixture(scope="module")
def study():
    return make_gaussian_study(
        n_simulations=4,
        n_events=1000,
        n_signal=200,
        n_background=1000,
        random_state=3,
    )


def _binned(**settings):
    return CalibratedTAMM(BinnedTopicTAMM(bins=5, random_state=0), **settings)


def _fit(model, study, simulation=None):
    ids = study.simulation if simulation is None else simulation
    return model.fit(study.X, study.y, simulation=ids)


@pytest.fixture(scope="module")
def fitted(study):
    return _fit(_binned(), study)


def test_result_tells_the_scaling(fitted, study):
    inner = fitted.estimator_.infer(study.X_target)
    result = fitted.infer(study.X_target)
    assert set(result.diagnostics) >= DIAGNOSTICS
    assert result.method["calibration"] == "robust"
    assert result.diagnostics["calibration_units"].tolist() == [4]
    scale = result.diagnostics["interval_scale"]
    np.testing.assert_allclose(result.kappa, inner.kappa)
    np.testing.assert_allclose(result.std, inner.std * scale)
    np.testing.assert_allclose(result.levels, inner.levels)
    factor = scale * stats.t(4 + fitted.strength).ppf(0.8415) / stats.norm.ppf(0.8415)
    width, before = (np.diff(r.interval[..., 0])[0, 0] for r in (result, inner))
    np.testing.assert_allclose(width, factor[0] * before)
    assert "interval_scale" in result.to_frame()
    assert "calibration: robust" in result.summary()


def test_predict_agrees_with_infer(fitted, study):
    dataset = np.arange(len(study.X_target)) % 2
    levels = (0.683, 0.9)
    result = fitted.infer(study.X_target, dataset=dataset, levels=levels)
    kappa, std, interval = fitted.predict(
        study.X_target, dataset=dataset, return_std=True, return_interval=levels
    )
    for found, wanted in (
        (kappa, result.kappa),
        (std, result.std),
        (interval, result.interval),
        (fitted.predict(study.X_target, dataset=dataset), result.kappa),
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-8)
    one = fitted.predict(study.X_target, dataset=dataset, return_interval=0.9)[1]
    np.testing.assert_allclose(one, interval[..., 1], rtol=1e-8)
    assert fitted.predict_proba(study.X_target).shape == (1200, 2)


def test_a_dataset_does_not_depend_on_the_others(fitted, study):
    rows = np.arange(len(study.X_target))
    both = fitted.infer(study.X_target, dataset=rows % 2)
    alone = fitted.infer(study.X_target[rows % 2 == 1])
    np.testing.assert_allclose(alone.interval[0], both.interval[1], rtol=1e-6)


def test_score_is_that_of_the_calibrated_interval(fitted, study):
    target = read_target(study.X_target, n_features=2)
    truth = true_fraction(target, study.y_target, np.array([0, 1]), 1)[0]
    low, high = fitted.predict(study.X_target, return_interval=0.683)[1][0]
    miss = max(low - truth, 0.0) + max(truth - high, 0.0)
    wanted = -(high - low + 2.0 / 0.317 * miss)
    assert fitted.score(study.X_target, study.y_target) == pytest.approx(wanted)


def test_intervals_stay_where_fractions_are(study):
    model = _fit(_binned(strength=0.0), study)
    background = study.X_target[study.y_target == 0][:300]
    ends = model.predict(background, return_interval=(0.683, 0.9999))[1]
    assert ends.min() >= 0.0
    assert ends.max() <= 1.0


def test_names_of_simulations_do_not_matter(fitted, study):
    renamed = np.array(["d", "a", "c", "b"])[study.simulation]
    other = _fit(_binned(), study, renamed)
    np.testing.assert_allclose(
        other.infer(study.X_target).interval,
        fitted.infer(study.X_target).interval,
        rtol=1e-6,
    )


def test_the_seed_decides(fitted, study):
    same = _fit(_binned(), study).infer(study.X_target)
    other = _fit(_binned(random_state=1), study).infer(study.X_target)
    first = fitted.infer(study.X_target)
    np.testing.assert_array_equal(same.interval, first.interval)
    assert (other.interval != first.interval).any()


def test_unpaired_classes(study):
    ids = study.simulation + 10 * study.y
    keep = ids != 13
    model = _binned().fit(study.X[keep], study.y[keep], simulation=ids[keep])
    assert len(model.units_) == len(model.without_) == 3
    for unit, part in zip(model.units_, model.without_, strict=True):
        assert not np.isin(unit.ids, part.simulations_).any()
        assert part.simulations_.size == 5
    assert np.isfinite(model.infer(study.X_target).interval).all()


# A tenth of the weights negative leaves this draw a p-value of .0006; 40 others have
# the median and the tails of uniform ones.
@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SpanWarning")
def test_weights_pass_through(study):
    weight = np.where(np.arange(len(study.y)) % 10 == 0, -1.0, 1.0)
    model = _binned().fit(
        study.X, study.y, simulation=study.simulation, sample_weight=weight
    )
    weighted = model.infer(study.X_target, sample_weight=np.full(1200, 2.0))
    assert np.isfinite(weighted.interval).all()
    assert weighted.n_events[0] == 2400.0
    assert weighted.n_effective[0] == 1200.0


def test_data_frames_keep_their_names(study):
    frame = pd.DataFrame(study.X, columns=["a", "b"])
    model = _binned().fit(frame, study.y, simulation=study.simulation)
    assert model.feature_names_in_.tolist() == ["a", "b"]
    target = pd.DataFrame(study.X_target, columns=["a", "b"])
    assert model.infer(target).kappa.shape == (1,)
    with pytest.raises(InvalidInputError, match="feature names"):
        model.score(target[["b", "a"]], study.y_target)


def test_pickle_and_clone(fitted, study):
    copied = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(
        copied.infer(study.X_target).interval, fitted.infer(study.X_target).interval
    )
    assert not hasattr(clone(fitted), "units_")


# ----------------------------------------------------------------- order statistics
def test_levels_beyond_the_simulations_are_refused(study):
    model = _fit(_binned(method="jackknife+"), study)
    assert model.infer(study.X_target).levels.tolist() == [0.683]
    assert model.infer(study.X_target, levels=(0.8,)).interval.shape == (1, 2, 1)
    with pytest.raises(InvalidInputError, match=r"K/\(K \+ 1\) = 0.800"):
        model.predict(study.X_target, return_interval=0.81)
    model.set_params(tail="student")
    ends = model.predict(study.X_target, return_interval=(0.8, 0.81, 0.954))[1]
    assert (np.diff(ends[0, 1]) >= 0.0).all()
    assert (np.diff(ends[0, 0]) <= 0.0).all()


def test_an_interval_does_not_depend_on_the_other_levels(study):
    """Few events: the inner intervals leave [0, 1], each level by its own amount."""
    inner = BinnedTopicTAMM(bins=4, inference="frequentist", random_state=0)
    tamm = CalibratedTAMM(inner)
    tamm = tamm.fit(study.X, study.y, simulation=study.simulation)
    X = study.X_target[:3]
    both = tamm.predict(X, return_interval=(0.683, 0.954))[1]
    assert ((both < 0) | (both > 1)).any()
    for i, level in enumerate((0.683, 0.954)):
        alone = tamm.predict(X, return_interval=level)[1]
        np.testing.assert_allclose(alone, both[..., i], rtol=1e-9)


def test_two_simulations_support_half_a_level(study):
    few = study.simulation < 2
    model = _binned(method="jackknife+")
    model.fit(study.X[few], study.y[few], simulation=study.simulation[few])
    with pytest.raises(InvalidInputError, match=r"0\.667"):
        model.infer(study.X_target)
    assert model.infer(study.X_target, levels=(0.5,)).levels.tolist() == [0.5]


# ------------------------------------------------------------------------- refusals
def test_one_simulation_is_refused(study):
    with pytest.raises(InvalidInputError, match="at least two simulations"):
        _binned().fit(study.X, study.y)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"method": "cv+"}, "method must be a str among"),
        ({"tail": "cauchy"}, "tail must be a str among"),
        ({"strength": -1.0}, "strength must be a float in the range"),
        ({"strength": "weak"}, "strength must be a float in the range"),
        ({"n_datasets": 0}, "n_datasets must be an int in the range"),
        ({"n_datasets": 1.5}, "n_datasets must be an int in the range"),
    ],
)
def test_unknown_settings_are_refused(study, settings, words):
    with pytest.raises(InvalidInputError, match=words):
        _fit(_binned(**settings), study)


def test_unusable_estimators_are_refused(study, fitted):
    with pytest.raises(IncompatibleChoiceError, match="'fit' and 'infer'"):
        _fit(CalibratedTAMM(LogisticRegression()), study)
    with pytest.raises(IncompatibleChoiceError, match="'take' when it is frozen"):
        _fit(CalibratedTAMM(FrozenEstimator(fitted.estimator_)), study)


# -------------------------------------------------------------- inside scikit-learn
def test_pipeline(study, fitted):
    pipe = make_pipeline(StandardScaler(), _binned())
    pipe.fit(study.X, study.y, calibratedtamm__simulation=study.simulation)
    result = infer(pipe, study.X_target)
    np.testing.assert_allclose(
        result.interval, fitted.infer(study.X_target).interval, rtol=1e-5
    )
    assert pipe.predict(study.X_target, return_interval=0.683)[1].shape == (1, 2)


def test_grid_search(study):
    pipe = Pipeline([("scale", StandardScaler()), ("tamm", _binned())])
    grid = {"tamm__estimator__bins": [3, 5]}
    search = GridSearchCV(pipe, grid, cv=LeaveSimulationsOut(n_splits=2))
    search.fit(
        study.X, study.y, groups=study.simulation, tamm__simulation=study.simulation
    )
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    with sklearn.config_context(enable_metadata_routing=True):
        routed = clone(search).fit(study.X, study.y, simulation=study.simulation)
    np.testing.assert_allclose(
        routed.cv_results_["mean_test_score"], search.cv_results_["mean_test_score"]
    )


def test_scorer_asks_the_calibrated_intervals(fitted, study):
    scorer = CoverageScorer(levels=(0.683,), n_datasets=5, size=200)
    inner, outer = (
        scorer(model, study.X, study.y) for model in (fitted.estimator_, fitted)
    )
    assert inner["rmse"] == outer["rmse"]
    assert inner["mean_width_0.683"] != outer["mean_width_0.683"]


class AlternateSimulations(CalibratedTAMM):
    """Three simulations, event by event in turn, where none is named."""

    def fit(self, X, y, *, simulation=None, sample_weight=None):
        if simulation is None and y is not None:
            simulation = _alternate(np.asarray(y))
        return super().fit(X, y, simulation=simulation, sample_weight=sample_weight)


def _alternate(y):
    """Turn by turn within every class."""
    simulation = np.zeros(y.shape, dtype=int)
    for label in np.unique(y):
        simulation[y == label] = np.arange((y == label).sum()) % 3
    return simulation


_PER_DATASET = "predict answers once per dataset, the check demands one answer per row"


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
@parametrize_with_checks(
    [
        AlternateSimulations(
            BinnedTopicTAMM(
                bins=2, prior="simulations", inference="frequentist", random_state=0
            )
        )
    ],
    expected_failed_checks=lambda estimator: {
        "check_methods_sample_order_invariance": _PER_DATASET,
        "check_methods_subset_invariance": _PER_DATASET,
        "check_sample_weight_equivalence_on_dense_data": "30 features: 2^30 bins",
    },
)
def test_scikit_learn(estimator, check):
    check(estimator)


# ---------------------------------------------------------------- density ratios
class CountedFits(LogisticRegression):
    """Logistic regression that counts its trainings."""

    fits: list[int] = []

    def fit(self, X, y, sample_weight=None):
        self.fits.append(len(X))
        return super().fit(X, y, sample_weight)


@pytest.fixture(scope="module")
def neural(study):
    CountedFits.fits.clear()
    inner = NeuralRatioTAMM(
        DensityRatio(CountedFits(max_iter=500), n_members=1), random_state=0
    )
    return _fit(CalibratedTAMM(inner), study)


def test_classifier_is_trained_once(neural, study):
    assert len(CountedFits.fits) == 1
    assert len(neural.without_) == 4
    result = neural.infer(study.X_target)
    assert np.isfinite(result.interval).all()
    assert len(CountedFits.fits) == 1
    assert set(result.diagnostics) >= DIAGNOSTICS


def test_pseudo_datasets_hold_events_that_the_classifier_has_not_seen(neural, study):
    trained = CountedFits.fits[0]
    held = neural.estimator_.held_out()
    assert trained + len(held["X"]) == len(study.X)
    used = np.concatenate([unit.X for unit in neural.units_])
    order = [np.lexsort(X.T) for X in (used, held["X"])]
    np.testing.assert_array_equal(used[order[0]], held["X"][order[1]])
    for unit, part in zip(neural.units_, neural.without_, strict=True):
        assert set(part.simulations_) == set(range(4)) - set(unit.ids)


def test_trained_ratios_are_calibrated_without_training(neural, study):
    inner = neural.estimator_
    frozen = CalibratedTAMM(FrozenEstimator(inner)).fit(**inner.held_out())
    np.testing.assert_allclose(
        frozen.infer(study.X_target).interval,
        neural.infer(study.X_target).interval,
        rtol=1e-6,
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"simulation": lambda ids: ids.astype(str)}, r"simulation .* got '0'"),
        ({"simulation": lambda ids: ids + 1}, r"simulation .* got \d+\."),
        ({"y": lambda y: y + 5}, "y must hold what the frozen estimator was .* got 5"),
    ],
)
def test_a_frozen_estimator_leaves_out_only_what_it_knows(study, change, message):
    inner = NeuralRatioTAMM("logistic", random_state=0)
    inner.fit(study.X, study.y, simulation=study.simulation)
    events = inner.held_out()
    events |= {name: new(events[name]) for name, new in change.items()}
    with pytest.raises(InvalidInputError, match=message):
        CalibratedTAMM(FrozenEstimator(inner)).fit(**events)
