"""Density ratios: exact where the classifier is, fair on events it has not seen."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError
from sktamm.learning._mlp import TorchMLPClassifier
from sktamm.ratios import DensityRatio

CENTRES = np.array([0.0, 0.4, 1.0, 1.5])  # ascending within a class: columns
CLASS = np.array([0, 0, 1, 1])
NAMES = np.array(["b", "a", "b", "a"])


class Exact(ClassifierMixin, BaseEstimator):
    """Knows the densities of the sources; the rest comes from its training sample."""

    def __init__(self, confidence=1.0):
        self.confidence = confidence

    def fit(self, X, y, sample_weight=None):
        self.classes_, label = np.unique(y, return_inverse=True)
        self.share_ = np.bincount(label, sample_weight) / label.size
        self.seen_ = set(X[:, 0].tolist())
        return self

    def predict_proba(self, X):
        density = stats.norm.pdf(X[:, :1], CENTRES) ** self.confidence
        joint = self.share_ * density
        return joint / joint.sum(axis=1, keepdims=True)


class Remembers(Exact):
    """Points at class 0 wherever it has seen the event."""

    def predict_proba(self, X):
        seen = np.array([x in self.seen_ for x in X[:, 0].tolist()])
        joint = self.share_ * np.where(seen[:, None], [100.0, 1.0, 1.0, 1.0], 1.0)
        return joint / joint.sum(axis=1, keepdims=True)


def sample(sizes=(900, 400, 1500, 600), seed=0, n_features=1):
    """Normals of unit width around the centres, in random order."""
    rng = np.random.default_rng(seed)
    source = rng.permutation(np.repeat(np.arange(4), sizes))
    X = rng.normal(size=(source.size, n_features))
    X[:, 0] += CENTRES[source]
    return X, CLASS[source], NAMES[source]


def fit(classifier, data, weight=None, **choices):
    plain = {"n_members": 1, "calibration": None, "shrink": False, "random_state": 0}
    choices = plain | choices
    X, y, simulation = data
    ratio = DensityRatio(classifier, **choices)
    return ratio.fit(X, y, simulation=simulation, sample_weight=weight)


def exact_log_ratio(x, sources=slice(None)):
    log_p = stats.norm.logpdf(x[:, None], CENTRES[sources])
    return log_p - np.log(np.exp(log_p).mean(axis=1, keepdims=True))


GRID = np.linspace(-2.0, 3.5, 101)


def assert_equal_up_to_constants(actual, expected, largest):
    """Shapes agree to rounding; constants are errors of a finite reference."""
    difference = actual - expected
    assert np.ptp(difference, axis=0).max() < 2e-6
    assert np.abs(difference).max() < largest


def constant_tolerance(ratio, n_sigmas=4.0):
    """Statistical error of ln E_ref[r] on the reference rows."""
    r = np.exp(exact_log_ratio(ratio.reference_.X[:, 0]))
    return n_sigmas * np.sqrt(ratio.reference_weight_**2 @ (r - 1) ** 2).max()


# -------------------------------------------------------------------------- identities
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("choices", [{}, {"cv": 3}, {"n_members": 2}])
def test_an_exact_classifier_gives_exact_ratios(weighted, choices):
    """Sizes of the sources, and factors of their weights, drop out."""
    data = sample()
    weight = None
    if weighted:
        rng = np.random.default_rng(1)
        weight = rng.uniform(0.5, 2.0, len(data[1])) * np.where(data[1] == 1, 7.0, 0.2)
    ratio = fit(Exact(), data, weight, **choices, resample="none")
    assert ratio.source_class_.tolist() == CLASS.tolist()
    assert ratio.source_id_.tolist() == NAMES.tolist()
    actual = ratio.predict_log_ratio(GRID[:, None])
    assert actual.shape == (101, 4)
    assert_equal_up_to_constants(
        actual, exact_log_ratio(GRID), constant_tolerance(ratio)
    )


def test_a_factor_of_the_weights_of_one_source_changes_nothing():
    data = sample(n_features=2)
    weight = np.random.default_rng(1).uniform(0.5, 2.0, len(data[1]))
    factor = np.where((data[1] == 0) & (data[2] == "a"), 1024.0, 1.0)
    X = np.random.default_rng(2).normal(size=(50, 2))
    answers = [
        fit(Exact(), data, w, calibration="moments").predict_log_ratio(X)
        for w in (weight, weight * factor)
    ]
    np.testing.assert_allclose(answers[0], answers[1], atol=3e-6)


@pytest.mark.parametrize("ensemble", ["mean", "wifi"])
@pytest.mark.parametrize("calibration", ["moments", "temperature", "isotonic", None])
def test_ratios_are_normalised_on_the_reference(ensemble, calibration):
    ratio = fit(
        "logistic",
        sample(n_features=2),
        n_members=3,
        ensemble=ensemble,
        calibration=calibration,
    )
    weight = ratio.reference_weight_
    assert weight.sum() == pytest.approx(1.0)
    mean = weight @ np.exp(ratio.reference_log_ratio_)
    np.testing.assert_allclose(mean, 1.0, rtol=1e-5)
    np.testing.assert_allclose(ratio.closure_["normalisation"], mean)


@pytest.mark.parametrize("choices", [{}, {"cv": 3}, {"holdout": 0.9}])
@pytest.mark.parametrize("resample", ["bootstrap", "partition", "none"])
def test_reference_rows_were_not_in_the_training(choices, resample):
    X, y, simulation = sample()
    choices = choices | {"n_members": 2, "resample": resample}
    ratio = fit(Remembers(), (X, y, simulation), **choices)
    assert np.abs(ratio.held_out_.members).max() < 0.5  # shares of a bootstrap differ
    assert np.abs(ratio.predict_members(X)).max() > 1.0  # of those that were
    if "cv" not in choices:
        seen = set.union(*(m.seen_ for m in ratio.models_[0].model.members_))
        assert not seen & set(ratio.held_out_.X[:, 0].tolist())


def test_the_largest_number_of_reference_rows_is_kept():
    data = sample()
    for choices in ({}, {"cv": 3}):
        ratio = fit(Exact(), data, n_reference=400, **choices)
        assert np.bincount(ratio.held_out_.source).tolist() == [100] * 4
    assert len(fit(Exact(), data, cv=3).held_out_.X) == len(data[0])
    share = len(fit(Exact(), data, holdout=0.25).held_out_.X) / len(data[0])
    assert share == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize(
    "classifier",
    ["logistic", "lightgbm", TorchMLPClassifier((8,), max_epochs=2)],
    ids=["logistic", "lightgbm", "mlp"],
)
def test_neither_order_nor_names_matter(classifier):
    X, y, simulation = sample((200, 100, 300, 150), n_features=2)
    order = np.random.default_rng(3).permutation(len(y))
    names = pd.Series({"a": 7, "b": 11})[simulation].to_numpy()
    choices = {"n_members": 2, "calibration": "moments"}
    one = fit(classifier, (X, y, simulation), **choices)
    two = fit(classifier, (X[order], y[order], names[order]), **choices)
    np.testing.assert_allclose(
        one.predict_log_ratio(X), two.predict_log_ratio(X), atol=1e-9
    )
    assert [{"a": 7, "b": 11}[i] for i in one.source_id_] == two.source_id_.tolist()


def test_the_same_seed_gives_the_same_numbers():
    data = sample((200, 100, 300, 150))
    ratios = [fit("logistic", data, n_members=2, random_state=s) for s in (0, 0, 1)]
    answers = [ratio.predict_log_ratio(data[0]) for ratio in ratios]
    np.testing.assert_array_equal(answers[0], answers[1])
    assert np.abs(answers[0] - answers[2]).max() > 1e-3


def test_the_given_classifier_is_left_alone():
    given = Exact()
    ratio = fit(given, sample())
    assert vars(given) == {"confidence": 1.0}
    assert clone(ratio).classifier.get_params() == given.get_params()


# ------------------------------------------------------------------- fewer simulations
@pytest.mark.parametrize("cv", [None, 3])
def test_taking_simulations_equals_their_own_ratios(cv):
    ratio = fit(Exact(), sample(), cv=cv)
    part = ratio.take(["a"])
    assert part.source_id_.tolist() == ["a", "a"]
    assert part.source_class_.tolist() == [0, 1]
    assert part.reference_weight_.sum() == pytest.approx(1.0)
    assert part.reference_log_ratio_.shape == (len(part.reference_weight_), 2)
    expected = exact_log_ratio(GRID, [1, 3])
    assert_equal_up_to_constants(part.predict_log_ratio(GRID[:, None]), expected, 0.3)
    assert len(part.closure_) == 2
    # the whole is as it was, and a part of the part is a part
    assert ratio.predict_log_ratio(GRID[:, None]).shape == (101, 4)
    again = part.take(["a"]).predict_log_ratio(GRID[:, None])
    np.testing.assert_allclose(again, part.predict_log_ratio(GRID[:, None]), atol=1e-6)


def test_taking_needs_every_class():
    with pytest.raises(InvalidInputError, match="at least one source of every class"):
        fit(Exact(), sample()).take(["nothing"])


# --------------------------------------------------------------------- figures of merit
def test_score_is_the_information_of_the_ratios():
    """Mean over the sources of E_k[ln r_k], within four sigmas; less if broken."""
    ratio, test = fit(Exact(), sample()), sample((3000,) * 4, seed=5)
    x = np.linspace(-8, 10, 4001)
    log_r = exact_log_ratio(x)
    p = stats.norm.pdf(x[:, None], CENTRES)
    expected = integrate.trapezoid(p * log_r, x, axis=0).mean()
    spread = integrate.trapezoid(p * log_r**2, x, axis=0).mean()
    X, y, simulation = test
    score = ratio.score(X, y, simulation=simulation)
    error = 4 * np.sqrt(spread / len(X)) + constant_tolerance(ratio)
    assert score == pytest.approx(expected, abs=error)
    worse = fit(Exact(3.0), sample()).score(X, y, simulation=simulation)
    nothing = fit(Exact(0.0), sample()).score(X, y, simulation=simulation)
    assert worse < score
    assert nothing == pytest.approx(0.0, abs=1e-6)


def test_closure_accepts_exact_ratios_and_refuses_wrong_ones():
    """P-values of 40 samples: uniform within three sigmas and a tenth."""
    ratio, wrong = fit(Exact(), sample((4000,) * 4)), fit(Exact(2.0), sample())
    tables, bad = [], []
    for seed in range(40):
        X, y, simulation = sample((1000, 500, 800, 1200), seed=100 + seed)
        tables.append(ratio.closure(X, y, simulation=simulation))
        bad.append(wrong.closure(X, y, simulation=simulation)["p_value"].min())
    p_values = np.concatenate([table["p_value"] for table in tables])
    distance = stats.kstest(p_values, "uniform").statistic
    assert distance < 1.63 / np.sqrt(40) + 0.1
    assert np.median(bad) < 1e-6
    table = tables[0]
    assert table["class"].tolist() == CLASS.tolist()
    assert table["simulation"].tolist() == NAMES.tolist()
    assert (table["effective_size"] < 3500).all()
    np.testing.assert_allclose(table["normalisation"], 1.0, atol=0.2)


def test_closure_and_score_name_unknown_and_missing_sources():
    ratio, (X, y, simulation) = fit(Exact(), sample()), sample()
    with pytest.raises(InvalidInputError, match="name sources seen at fit"):
        ratio.score(X, y, simulation=np.where(simulation == "a", "c", "b"))
    some = simulation == "a"
    assert np.isfinite(ratio.score(X[some], y[some], simulation=simulation[some]))
    with pytest.raises(InvalidInputError, match="every source for the closure"):
        ratio.closure(X[some], y[some], simulation=simulation[some])


def _miss(ratio):
    """Root mean square error of the shape of the log ratios under the reference."""
    x = ratio.reference_.X
    difference = ratio.predict_log_ratio(x) - exact_log_ratio(x[:, 0])
    return np.sqrt((difference - difference.mean(axis=0)).var(axis=0).mean())


@pytest.mark.parametrize("confidence", [0.5, 2.0, 3.0])
def test_temperature_repairs_a_wrong_confidence(confidence):
    """The slope has an error of order 1 / sqrt(n), so has the log ratio."""
    data = sample((4000,) * 4)
    assert _miss(fit(Exact(confidence), data)) > 0.3
    repaired = fit(Exact(confidence), data, calibration="temperature")
    assert _miss(repaired) < 0.05


def test_isotonic_calibration_repairs_too_much_confidence():
    data = sample((4000,) * 4)
    raw = fit(Exact(2.0), data)
    assert _miss(fit(Exact(2.0), data, calibration="isotonic")) < 0.5 * _miss(raw)


def test_moments_repair_a_classifier_that_knows_nothing():
    """Means of the features agree with those of all events of the simulation."""
    X, y, simulation = sample((3000,) * 4, n_features=2)
    raw = fit(Exact(0.0), (X, y, simulation))
    tilted = fit(Exact(0.0), (X, y, simulation), calibration="moments")
    mass = tilted.reference_weight_[:, None] * np.exp(tilted.reference_log_ratio_)
    for k in range(4):
        own = X[(y == CLASS[k]) & (simulation == NAMES[k])]
        error = 4 * own.std(axis=0) / np.sqrt(len(own))
        assert (np.abs(mass[:, k] @ tilted.reference_.X - own.mean(0)) < error).all()
    assert _miss(tilted) < 0.6 * _miss(raw)


def test_wifi_is_as_good_as_the_mean():
    data, (X, y, simulation) = sample(n_features=2), sample(seed=5, n_features=2)
    scores = [
        fit("logistic", data, n_members=3, ensemble=e).score(
            X, y, simulation=simulation
        )
        for e in ("mean", "wifi")
    ]
    assert scores[1] == pytest.approx(scores[0], abs=0.01)


def test_the_error_has_functions_at_rows_and_reference():
    data = sample(n_features=2)
    X = data[0][:30]
    for choices, n_terms in (
        ({"n_members": 3}, 3),
        ({"n_members": 3, "ensemble": "wifi"}, 3),
        ({"n_members": 1}, 0),
    ):
        for calibration in (None, "moments"):
            ratio = fit("logistic", data, calibration=calibration, **choices)
            log_ratio, error = ratio.predict_with_error(X)
            np.testing.assert_array_equal(log_ratio, ratio.predict_log_ratio(X))
            assert error.rows.shape == (30, 4, n_terms)
            assert error.reference.shape == (len(ratio.reference_weight_), 4, n_terms)
            assert error.covariance.shape == (4 * n_terms, 4 * n_terms)
            n_smooth = error.smooth_rows.shape[1]
            assert (n_smooth > 0) == (calibration == "moments")
            assert error.smooth_covariance.shape == (4, n_smooth, n_smooth)
            for matrix in (error.covariance, *error.smooth_covariance):
                if matrix.size:
                    assert np.linalg.eigvalsh(matrix).min() > -1e-12


# ----------------------------------------------------------------------- classifiers
@pytest.mark.parametrize(
    "classifier",
    [
        HistGradientBoostingClassifier(max_iter=10),
        make_pipeline(StandardScaler(), LogisticRegression()),
        GaussianNB(),
        KNeighborsClassifier(30),
        "lightgbm",
        TorchMLPClassifier((8,), max_epochs=2),
    ],
    ids=lambda c: c if isinstance(c, str) else type(c).__name__,
)
def test_any_classifier_will_do(classifier):
    X, y, simulation = sample((300, 200, 400, 250), n_features=2)
    ratio = fit(
        classifier, (X, y, simulation), n_members=2, calibration="moments", cv=2
    )
    log_ratio = ratio.predict_log_ratio(X)
    assert log_ratio.shape == (len(X), 4)
    assert np.isfinite(log_ratio).all()
    # a mixture of the sources is the reference itself, up to normalisation
    assert np.abs(np.log(np.exp(log_ratio).mean(axis=1))).mean() < 0.2


@pytest.mark.parametrize("cv", [None, 2])
def test_the_reference_of_signed_weights_is_positive_and_knows_its_error(cv):
    X, y, simulation = sample()
    weight = np.random.default_rng(4).choice([-1.0, 1.0], len(y), p=[0.1, 0.9])
    mlp = TorchMLPClassifier((8,), max_epochs=2)
    ratio = fit(mlp, (X, y, simulation), weight, calibration="moments", cv=cv)
    assert ratio.reference_weight_.min() >= 0
    drawn = ratio.fitted_reference_.sample.drawn_weight
    assert drawn.min() < 0
    for weights in (ratio.reference_weight_, drawn):
        sums = np.bincount(ratio.reference_.source, weights)
        np.testing.assert_allclose(sums, 0.25, rtol=1e-3)  # raked a little
    assert ratio.reference_weight_.sum() == pytest.approx(1.0)
    assert np.isfinite(ratio.predict_log_ratio(X)).all()


def with_pairs(sizes, seed=0):
    """Events of the sources and, in every fifth place, of weights 1 and -1 elsewhere.

    The pairs cancel in every density, so that exact ratios stay what they are.
    """
    X, y, simulation = sample(sizes, seed)
    rng = np.random.default_rng(seed + 1)
    size = len(X) // 5
    rows = rng.integers(len(X), size=size)
    extra = rng.normal(0.7, 0.5, (2 * size, 1))
    return (
        np.concatenate([X, extra]),
        np.concatenate([y, y[rows], y[rows]]),
        np.concatenate([simulation, simulation[rows], simulation[rows]]),
        np.concatenate([np.ones(len(X) + size), -np.ones(size)]),
    )


SIGNED = {
    "logistic": "logistic",
    "lightgbm": "lightgbm",
    "mlp": TorchMLPClassifier((16,), max_epochs=10),
    "trees": HistGradientBoostingClassifier(max_iter=50, random_state=0),
    "positive": make_pipeline(StandardScaler(), LogisticRegression(C=100.0)),
}


@pytest.mark.parametrize("shrink", [False, True])
@pytest.mark.parametrize("classifier", SIGNED.values(), ids=SIGNED.keys())
def test_every_classifier_learns_the_density_of_signed_weights(classifier, shrink):
    """Known ratios, learned nearly as well as without the pairs that cancel.

    The pairs add two fifths to the variance of every density: a factor of 1.2 on the
    error, and 1.5 to 2 for trees, whose leaves cannot be larger than the pairs' region.
    """
    sizes = (6000, 4000, 5000, 4500)
    x = np.linspace(-1.5, 3.0, 50)
    errors = []
    for X, y, simulation, weight in (
        (*sample(sizes), None),
        with_pairs(sizes),
    ):
        data = (X, y, simulation)
        ratio = fit(classifier, data, weight, n_members=2, shrink=shrink)
        wrong = ratio.predict_log_ratio(x[:, None]) - exact_log_ratio(x)
        errors.append(np.sqrt((wrong**2).mean()))
    assert errors[1] < 2.0 * errors[0] + 0.03


@pytest.mark.parametrize(
    ("classifier", "kind", "sentence"),
    [
        (KNeighborsClassifier(), IncompatibleChoiceError, "takes no weights"),
        (RidgeClassifier(), IncompatibleChoiceError, "method predict_proba"),
        (GaussianNB, IncompatibleChoiceError, "method fit"),
        ("forest", IncompatibleChoiceError, "classifier must be one of"),
    ],
)
def test_classifiers_that_will_not_do_are_refused(classifier, kind, sentence):
    X, y, simulation = sample()
    weight = np.where(np.arange(len(y)) % 10 == 0, -1.0, 1.0)
    with pytest.raises(kind, match=sentence) as refusal:
        fit(classifier, (X, y, simulation), weight)
    assert "\n" not in str(refusal.value)


# ------------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("choices", "sentence"),
    [
        ({"calibration": "platt"}, "calibration must be a str among"),
        ({"ensemble": "stack"}, "ensemble must be a str among .*, got 'stack'"),
        ({"holdout": 0.0}, "holdout must be a float .*, got 0.0"),
        ({"holdout": 1.0}, "holdout must be a float .*, got 1.0"),
        ({"cv": 1}, "cv must be an int .* or None, got 1"),
        ({"n_reference": 1}, "n_reference must be an int .*, got 1"),
        ({"n_members": 0}, "n_members must be an int .*, got 0"),
        ({"n_members": 2, "resample": "jackknife"}, "resample must be a str among"),
    ],
)
def test_settings_out_of_range_are_refused(choices, sentence):
    with pytest.raises(ValueError, match=sentence):
        fit(Exact(), sample(), **choices)


@pytest.mark.parametrize(
    ("sizes", "choices", "number"),
    [
        ((1, 50, 50, 50), {}, 1),
        ((4, 50, 50, 50), {"cv": 5}, 4),
        ((1, 50, 50, 50), {"cv": 2}, 1),
    ],
)
def test_sources_with_too_few_events_are_named(sizes, choices, number):
    sentence = rf"simulation b of class 0 has n_samples = {number}\."
    with pytest.raises(InvalidInputError, match=sentence):
        fit(Exact(), sample(sizes), **choices)


@pytest.mark.parametrize("choices", [{}, {"cv": 4}, {"n_members": 3}])
def test_the_fewest_events_are_enough(choices):
    data = sample((4, 40, 40, 40))
    ratio = fit(Exact(), data, **choices, calibration="moments")
    assert np.isfinite(ratio.predict_log_ratio(data[0])).all()


@pytest.mark.parametrize("calibration", ["moments", None])
@pytest.mark.parametrize("constant", [0.0, 3.0])
def test_constant_features_do_no_harm(calibration, constant):
    X, y, simulation = sample()
    with_constant = np.column_stack([X, np.full(len(X), constant)])
    ratio = fit(
        "logistic", (with_constant, y, simulation), n_members=2, calibration=calibration
    )
    assert np.isfinite(ratio.predict_log_ratio(with_constant[:9])).all()
    moved = with_constant[:9] + np.array([0.0, 1.0])
    assert np.isfinite(ratio.predict_log_ratio(moved)).all()


def test_weights_of_a_source_must_have_a_positive_sum():
    X, y, simulation = sample()
    weight = np.where((y == 0) & (simulation == "a"), -1.0, 1.0)
    with pytest.raises(InvalidInputError, match="simulation a of class 0"):
        fit(TorchMLPClassifier((8,), max_epochs=2), (X, y, simulation), weight)


def test_names_of_features_are_remembered_and_checked():
    X, y, simulation = sample(n_features=2)
    frame = pd.DataFrame(X, columns=["mass", "angle"])
    ratio = fit("logistic", (frame, y, simulation))
    assert ratio.feature_names_in_.tolist() == ["mass", "angle"]
    assert ratio.n_features_in_ == 2
    plain = fit("logistic", (X, y, simulation)).predict_log_ratio(X)
    np.testing.assert_array_equal(ratio.predict_log_ratio(frame), plain)
    with pytest.raises(InvalidInputError, match="feature names"):
        ratio.predict_log_ratio(frame[["angle", "mass"]])
    with pytest.raises(InvalidInputError, match=re.escape("2 features")):
        fit("logistic", (X, y, simulation)).predict_log_ratio(X[:, :1])
