"""The scorer tells exact intervals from narrow and wide ones, inside scikit-learn.

False alarms: every comparison with chance is made at 1e-4 (two-sided), and the file
makes 9 of them for honest estimators, so that the rate over the file is below 1e-3.
Intervals that are halved or doubled must be found with a p-value below 1e-6, which
happens to honest ones with that rate.
"""

import pickle

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from scipy import stats
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sktamm import BinnedTopicTAMM, NeuralRatioTAMM
from sktamm.coverage._measures import coverage_p_value
from sktamm.datasets import make_gaussian_study
from sktamm.exceptions import InvalidInputError
from sktamm.model_selection import (
    CoverageScorer,
    LeaveSimulationsOut,
    SingleScorer,
    coverage_error_scorer,
    higgsml_scorer,
    interval_score_scorer,
    neg_rmse_scorer,
)
from sktamm.ratios import DensityRatio

RARE, CERTAIN = 1e-4, 1e-6
LEVELS = (0.683, 0.954)
SEPARATION = 4.0


class KnownNormals(BaseEstimator):
    """Exact for background N(0, 1) and signal N(4, 1), of known densities.

    The mean of n events estimates 4 kappa with variance (1 + 16 kappa (1 - kappa)) / n.
    """

    __metadata_request__fit = {"simulation": True, "sample_weight": True}

    def __init__(self, width=1.0, shift=0.0, pos_label=None):
        self.width = width
        self.shift = shift
        self.pos_label = pos_label

    def fit(self, X, y, *, simulation=None, sample_weight=None):
        self.classes_ = np.unique(y)
        self.pos_label_ = (
            self.classes_[-1] if self.pos_label is None else self.pos_label
        )
        return self

    def predict(self, X, *, dataset, return_std, return_interval):
        x, n = np.asarray(X)[:, 0], np.asarray(dataset.sum(axis=0)).ravel()
        mean = (dataset.T @ x) / n
        spread = (dataset.T @ x**2) / n - mean**2
        kappa, std = mean / SEPARATION, np.sqrt(spread / n) / SEPARATION
        if self.pos_label_ != self.classes_[-1]:
            kappa = 1.0 - kappa
        kappa, std = kappa + self.shift * std, self.width * std
        half = std[:, None] * stats.norm.ppf(0.5 + 0.5 * np.asarray(return_interval))
        return kappa, std, np.stack([kappa[:, None] - half, kappa[:, None] + half], 1)


def _normals(n=60_000, seed=0):
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1], n)
    return (rng.normal(size=2 * n) + SEPARATION * y)[:, None], y


X, Y = _normals()
N, SIZE = 500, 400


def _score(estimator, scorer=None, **choices):
    """Measures on datasets of which any two share under a percent of their events."""
    choices = {"n_datasets": N, "size": SIZE, "levels": LEVELS} | choices
    return (scorer or CoverageScorer(**choices))(estimator.fit(X, Y), X, Y)


def _p_value(found, level):
    return coverage_p_value(round(N * found[f"coverage_{level}"]), N, level)


@pytest.mark.parametrize("protocol", ["uniform", "fixed"])
def test_exact_intervals_are_found_nominal(protocol):
    found = _score(KnownNormals(), protocol=protocol)
    assert all(_p_value(found, level) > RARE for level in LEVELS)
    # Variance of N normal pulls.
    spread = (N - 1) * found["pull_std"] ** 2
    assert RARE / 2 < stats.chi2.sf(spread, N - 1) < 1 - RARE / 2
    # The mean pull inherits the fluctuation of the 60 000 background events.
    sigma = np.sqrt(1 / N + SIZE / len(X) * 2)
    assert abs(found["pull_mean"]) < stats.norm.isf(RARE / 2) * sigma
    assert found["failed"] == 0.0


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("width", "sign"), [(0.5, -1), (2.0, 1)])
def test_halved_and_doubled_intervals_are_found_out(width, sign, level):
    found = _score(KnownNormals(width))
    assert _p_value(found, level) < CERTAIN
    deviation = found[f"coverage_{level}"] - level
    assert np.sign(deviation) == sign
    assert found[f"coverage_error_{level}"] == pytest.approx(-abs(deviation))


def test_a_shift_of_two_standard_errors_is_found_out():
    found = _score(KnownNormals(shift=2.0))
    assert all(_p_value(found, level) < CERTAIN for level in LEVELS)
    assert abs(found["pull_mean"] - 2.0) < 0.5
    assert found["bias"] > 0


def test_the_interval_score_prefers_exact_intervals():
    scores = {w: _score(KnownNormals(w))["interval_score"] for w in (0.5, 1.0, 2.0)}
    assert max(scores, key=scores.get) == 1.0


def test_the_higgsml_score_prefers_exact_intervals():
    """The fine of wrong coverage is above a thousand, widths differ by two."""
    scorer = CoverageScorer(n_datasets=N, size=SIZE).single("higgsml")
    scores = {w: _score(KnownNormals(w), scorer) for w in (0.5, 1.0, 2.0)}
    assert max(scores, key=scores.get) == 1.0
    assert scores[1.0] - max(scores[0.5], scores[2.0]) > np.log(1000 / 2)


def test_the_higgsml_score_is_that_of_the_measures():
    found = _score(KnownNormals(0.5), levels=(0.6827, 0.954))
    share, width = found["coverage_0.6827"], found["mean_width_0.6827"]
    z = (0.6827 - share) / np.sqrt(0.6827 * 0.3173 / N) - 2
    expected = -np.log((width + 0.01) * (1 + z**4))
    assert found["higgsml"] == pytest.approx(expected)


def test_the_higgsml_score_needs_its_level():
    scorer = CoverageScorer(levels=(0.5, 0.9), n_datasets=2).single("higgsml")
    with pytest.raises(
        InvalidInputError, match=r"'higgsml', which needs 0\.6827 among"
    ):
        scorer(KnownNormals().fit(X, Y), X, Y)
    assert "higgsml" not in _score(KnownNormals(), levels=(0.5, 0.9), n_datasets=2)


def test_the_class_that_is_measured_is_the_estimators():
    found = _score(KnownNormals(pos_label=0), kappa=0.2, protocol="fixed")
    assert _p_value(found, 0.683) > RARE
    assert abs(found["bias"]) < 0.05


def test_measures_have_fixed_names_and_consistent_signs():
    found = _score(KnownNormals(), levels=(0.5, 0.683), n_datasets=20)
    per_level = {
        f"{name}_{level}"
        for name in ("interval_score", "coverage", "coverage_error", "mean_width")
        for level in (0.5, 0.683)
    }
    others = {"interval_score", "coverage_error", "bias", "rmse", "neg_rmse", "higgsml"}
    assert set(found) == per_level | others | {"pull_mean", "pull_std", "failed"}
    assert all(type(value) is float for value in found.values())
    negative = [
        k for k in found if k.startswith(("interval_", "coverage_error", "neg"))
    ]
    assert all(found[name] <= 0 for name in negative)
    assert found["neg_rmse"] == -found["rmse"]
    mean = 0.5 * (found["interval_score_0.5"] + found["interval_score_0.683"])
    assert found["interval_score"] == pytest.approx(mean)


def test_the_same_seed_shows_every_candidate_the_same_datasets():
    first, second = (_score(KnownNormals(), n_datasets=20) for _ in range(2))
    assert first == second
    other = _score(KnownNormals(), n_datasets=20, random_state=1)
    assert other["bias"] != first["bias"]
    wide = _score(KnownNormals(2.0), n_datasets=20)
    assert wide["bias"] == first["bias"]


class Spy(KnownNormals):
    """Remembers the counts that it was asked about."""

    def predict(self, X, *, dataset, **keywords):
        self.counts_ = dataset
        return super().predict(X, dataset=dataset, **keywords)


def _counts(y=Y, sample_weight=None, **choices):
    spy = Spy().fit(X, y)
    CoverageScorer(**choices)(spy, X[: len(y)], y, sample_weight=sample_weight)
    return spy.counts_


def test_all_datasets_are_asked_about_at_once():
    counts = _counts(n_datasets=7, size=50)
    assert counts.shape == (len(X), 7)
    np.testing.assert_array_equal(counts.sum(axis=0), 50)


def test_the_default_size_uses_half_of_the_scarcest_class():
    counts = _counts(n_datasets=2)
    np.testing.assert_array_equal(counts.sum(axis=0), 30_000)
    assert counts.max() == 1


@pytest.mark.parametrize(
    ("choices", "low", "high"),
    [
        ({}, 0.02, 0.3),
        ({"kappa": (0.5, 0.6)}, 0.5, 0.6),
        ({"protocol": "grid"}, 0.02, 0.3),
        ({"protocol": "fixed"}, 0.02, 0.3),
        ({"protocol": "fixed", "kappa": 0.1}, 0.1, 0.1),
        ({"protocol": "natural"}, 0.5, 0.5),
    ],
)
def test_fractions_follow_the_protocol(choices, low, high):
    counts = _counts(n_datasets=30, size=1000, **choices)
    share = np.asarray(counts[Y == 1].sum(axis=0)).ravel() / 1000
    assert share.min() > low - 0.08
    assert share.max() < high + 0.08
    assert (np.ptp(share) > 0.1) == (high - low > 0.05)


def test_weights_decide_which_events_are_drawn():
    weight = np.where(np.arange(len(Y)) % 2, 1.0, 0.0)
    counts = _counts(n_datasets=3, size=100, sample_weight=weight)
    assert counts[::2].sum() == 0
    assert counts.sum() == 300


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"size": 0}, r"size must be an int in the range .* got 0"),
        ({"size": 10.5}, "size must be an int in the range"),
        ({"levels": (0.683, 1.0)}, "levels must be one or more numbers between"),
        ({"levels": (0.683, 0.683)}, "levels must differ"),
        ({"kappa": "many"}, "kappa must hold fractions from 0 to 1"),
        ({"size": 10**6, "replace": False}, "replace must be True or 'auto' for"),
        ({"protocol": "random"}, "protocol must be a str among"),
        ({"protocol": "natural", "kappa": 0.1}, "kappa must be None"),
        ({"n_datasets": 0}, "n_datasets must be an int in the range"),
        ({"replace": "never"}, "replace must be an instance of .bool"),
        ({"random_state": -1}, "random_state must be an int in the range"),
    ],
)
def test_unusable_settings_are_refused(choices, message):
    with pytest.raises(InvalidInputError, match=message):
        _score(KnownNormals(), **choices)


def test_unusable_events_are_refused():
    fitted, scorer = KnownNormals().fit(X, Y), CoverageScorer()
    with pytest.raises(InvalidInputError, match="must not be negative where pseudo"):
        scorer(fitted, X, Y, sample_weight=np.r_[-1.0, np.ones(len(Y) - 1)])
    with pytest.raises(InvalidInputError, match="sample_weight must hold one number"):
        scorer(fitted, X, Y, sample_weight=[1.0, 2.0])
    with pytest.raises(InvalidInputError, match="found none of class"):
        scorer(fitted, X[Y == 1], Y[Y == 1])


def test_single_numbers_are_entries_of_the_dict():
    fitted = KnownNormals().fit(X, Y)
    found = CoverageScorer()(fitted, X, Y)
    assert interval_score_scorer(fitted, X, Y) == found["interval_score"]
    assert coverage_error_scorer(fitted, X, Y) == found["coverage_error"]
    assert neg_rmse_scorer(fitted, X, Y) == found["neg_rmse"]
    challenge = CoverageScorer(levels=(0.6827,))(fitted, X, Y)
    assert higgsml_scorer(fitted, X, Y) == challenge["higgsml"]
    with pytest.raises(InvalidInputError, match="measure must be one of interval_"):
        CoverageScorer(n_datasets=2).single("accuracy")(fitted, X, Y)


def test_scorers_are_cloned_pickled_and_shown():
    scorer = CoverageScorer(kappa=0.1, protocol="fixed").single("neg_rmse")
    assert "kappa=0.1" in repr(scorer)
    for copy in (clone(scorer), pickle.loads(pickle.dumps(scorer))):
        assert isinstance(copy, SingleScorer)
        assert copy.scorer.get_params() == scorer.scorer.get_params()
    assert scorer.set_params(scorer__kappa=0.2).scorer.kappa == 0.2


# ------------------------------------------------------------- inside scikit-learn
IDS = np.tile(np.arange(len(Y) // 2) % 3, 2)
SMALL = CoverageScorer(n_datasets=10, size=100)


class WeightSpy(CoverageScorer):
    """Tells the sum of the weights that arrived; zero for none."""

    def __call__(self, estimator, X, y, *, sample_weight=None):
        return {
            "weight": 0.0 if sample_weight is None else float(np.sum(sample_weight))
        }


def _weights_seen(search, **params):
    return search.fit(X, Y, **params).cv_results_["mean_test_weight"]


def _search(scorer):
    return GridSearchCV(
        KnownNormals(),
        {"width": [1.0]},
        cv=LeaveSimulationsOut(),
        scoring=scorer,
        refit="weight",
    )


def test_weights_reach_the_scorer_with_and_without_routing():
    weight = np.full(len(Y), 2.0)
    params = {"groups": IDS, "sample_weight": weight}
    expected = [2.0 * len(Y) / 3]
    assert _weights_seen(_search(WeightSpy()), **params) == expected
    with config_context(enable_metadata_routing=True):
        assert _weights_seen(_search(WeightSpy()), **params) == expected
        deaf = WeightSpy().set_score_request(sample_weight=False)
        assert _weights_seen(_search(deaf), **params) == [0.0]
        renamed = clone(WeightSpy().set_score_request(sample_weight="w"))
        assert _weights_seen(_search(renamed), w=weight, groups=IDS) == expected
        with pytest.raises(UnsetMetadataPassedError):
            _weights_seen(
                _search(WeightSpy().set_score_request(sample_weight=None)), **params
            )


def test_several_single_numbers_in_a_dict():
    scoring = {name: SMALL.single(name) for name in ("interval_score", "neg_rmse")}
    weight = np.ones(len(Y))
    found = cross_validate(
        KnownNormals(), X, Y, groups=IDS, cv=LeaveSimulationsOut(), scoring=scoring
    )
    assert found["test_neg_rmse"].shape == (3,)
    search = GridSearchCV(
        KnownNormals(),
        {"width": [1.0, 4.0]},
        cv=LeaveSimulationsOut(),
        scoring=scoring,
        refit="interval_score",
    )
    search.fit(X, Y, groups=IDS, sample_weight=weight)
    assert search.best_params_ == {"width": 1.0}
    with config_context(enable_metadata_routing=True):
        again = clone(search).fit(X, Y, groups=IDS, sample_weight=weight)
    assert again.best_score_ == search.best_score_


def test_a_search_in_parallel_chooses_the_honest_width():
    search = GridSearchCV(
        KnownNormals(),
        {"width": [0.5, 1.0, 2.0]},
        cv=LeaveSimulationsOut(),
        scoring=CoverageScorer(size=SIZE),
        refit="interval_score",
    )
    search.fit(X, Y, groups=IDS)
    assert search.best_params_ == {"width": 1.0}
    assert search.score(X, Y) < 0
    with parallel_config(backend="threading"):
        both = clone(search).set_params(n_jobs=2).fit(X, Y, groups=IDS)
    assert both.best_score_ == search.best_score_


@pytest.fixture(scope="module")
def study():
    return make_gaussian_study(4, 500, 10, 90, random_state=0)


def test_data_frames_and_string_labels_pass_through_a_pipeline(study):
    frame = pd.DataFrame(study.X, columns=["a", "b"])
    y = np.array(["b", "s"])[study.y]
    tamm = BinnedTopicTAMM(4, inference="frequentist", random_state=0)
    pipe = Pipeline([("scale", StandardScaler()), ("tamm", tamm)])
    pipe.set_output(transform="pandas")
    pipe.fit(frame, y, tamm__simulation=study.simulation)
    found = SMALL(pipe, frame, pd.Series(y))
    direct = SMALL(pipe["tamm"], pipe["scale"].transform(frame), y)
    assert found == direct
    assert found["failed"] == 0.0


def test_settings_of_classifiers_are_searched_the_same_way(study):
    pipe = Pipeline(
        [
            ("scale", StandardScaler()),
            ("tamm", NeuralRatioTAMM(DensityRatio("logistic"), random_state=0)),
        ]
    )
    search = GridSearchCV(
        pipe,
        {"tamm__ratio__n_members": [1, 2], "tamm__ratio__shrink": [False, True]},
        cv=LeaveSimulationsOut(2),
        scoring=CoverageScorer(n_datasets=3, size=100),
        refit="interval_score",
    )
    search.fit(
        study.X, study.y, groups=study.simulation, tamm__simulation=study.simulation
    )
    scores = search.cv_results_["mean_test_interval_score"]
    assert np.isfinite(scores).all()
    assert len(np.unique(scores)) > 1
