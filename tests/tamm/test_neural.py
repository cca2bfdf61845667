"""The unbinned estimator end to end: identities first, then numbers."""

import os
import pickle

import numpy as np
import pandas as pd
import pytest
from common_estimators import WhereTrained, ratio_of
from scipy import sparse, stats
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from three_classes import every_signal

from sktamm import BinnedTopicTAMM, NeuralRatioTAMM, TAMMRegressor, infer
from sktamm.components import RatioComponents, RatioTopicComponents
from sktamm.datasets import make_gaussian_study
from sktamm.exceptions import (
    IncompatibleChoiceError,
    InvalidInputError,
    RangeWarning,
    SingleSimulationWarning,
)
from sktamm.inference import BayesianInference
from sktamm.learning._mlp import TorchMLPClassifier
from sktamm.ratios import DensityRatio

CELLS = {
    "raw-dirichlet": {"form": "linear"},
    "raw-ridge": {"prior": "ridge"},
    "raw-simulations": {"prior": "simulations"},
    "raw-shrinkage": {"prior": "shrinkage"},
    "topics-dirichlet": {"components": "topics", "form": "linear"},
    "topics-ridge": {"components": "topics", "prior": "ridge"},
    "topics-simulations": {"components": "topics", "prior": "simulations"},
    "topics-shrinkage": {"components": "topics", "prior": "shrinkage"},
}
STATISTICS = ("bayesian", "frequentist")
EXTRA = ("std_reference", "std_ratios", "reference_size")


@pytest.fixture(scope="module")
def study():
    return make_gaussian_study(
        n_simulations=4, n_events=1000, n_signal=400, n_background=800, random_state=3
    )


def make(**choices):
    choices = {"n_members": 2, "n_topics": 2, "random_state": 0} | choices
    return NeuralRatioTAMM(ratio_of(choices), **choices)


def fit(study, **choices):
    return make(**choices).fit(study.X, study.y, simulation=study.simulation)


@pytest.fixture(scope="module", params=STATISTICS)
def fitted(request, study):
    return fit(study, inference=request.param)


@pytest.fixture(scope="module")
def ids(study):
    return np.random.default_rng(0).integers(0, 3, len(study.X_target))


def same(result, other, rtol=1e-6):
    np.testing.assert_allclose(other.kappa, result.kappa, rtol=rtol)
    np.testing.assert_allclose(other.std, result.std, rtol=rtol)
    np.testing.assert_allclose(other.interval, result.interval, rtol=rtol, atol=rtol)


# ------------------------------------------------------------------- cells of the table
@pytest.mark.parametrize("inference", STATISTICS)
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS.keys())
def test_every_cell_of_the_table_measures(study, cell, inference):
    tamm = fit(study, **cell, inference=inference)
    result = tamm.infer(study.X_target)
    truth = study.y_target.mean()
    assert abs(result.kappa[0] - truth) < 5 * result.std[0]
    assert (result.interval[0, 0] < result.kappa[0]).all()
    assert (result.interval[0, 1] > result.kappa[0]).all()
    assert not {"not_converged", "singular", "out_of_range"} & set(result.flags[0])
    for name in EXTRA:
        value = result.diagnostics[name]
        assert value.shape == (1,)
        assert np.isfinite(value).all()
        assert value[0] > 0
    assert result.std[0] > result.diagnostics["std_reference"][0]
    assert result.std[0] > result.diagnostics["std_ratios"][0]
    assert np.isnan(result.diagnostics["goodness_of_fit"][0])
    topics = "components" in cell
    assert result.method["components"] == ("ratio_topics" if topics else "ratios")
    assert result.method["inference"] == inference


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS.keys())
def test_both_statistics_agree(study, cell):
    """Where the likelihood is nearly normal, estimates within half a sigma."""
    answers = [
        fit(study, **cell, inference=name).infer(study.X_target) for name in STATISTICS
    ]
    difference = abs(answers[0].kappa[0] - answers[1].kappa[0])
    assert difference < 0.5 * max(answers[0].std[0], answers[1].std[0])


def test_the_general_estimator_takes_the_same_components(study):
    for components, choices in (
        (RatioComponents(DensityRatio("logistic", n_members=2), random_state=0), {}),
        (
            RatioTopicComponents(
                2, DensityRatio("logistic", n_members=2), random_state=0
            ),
            {"components": "topics"},
        ),
    ):
        tamm = TAMMRegressor(components, random_state=0)
        tamm.fit(study.X, study.y, simulation=study.simulation)
        preset = fit(study, **choices)
        same(tamm.infer(study.X_target), preset.infer(study.X_target))


def test_choices_outside_the_table_are_refused(study):
    for choices, sentence in (
        ({"form": "linear", "prior": "ridge"}, "use prior='dirichlet'"),
        ({"prior": "dirichlet"}, "ExponentialForm needs"),
        ({"components": "bins"}, "components must be one of"),
        ({"classifier": "forest"}, "classifier must be one of"),
        ({"holdout": 2.0}, "holdout must be a float"),
    ):
        with pytest.raises(IncompatibleChoiceError, match=sentence) as refusal:
            fit(study, **choices)
        assert "\n" not in str(refusal.value)


# --------------------------------------------------------------------------- datasets
@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array, sparse.csc_matrix])
def test_ids_equal_counts_equal_one_by_one(fitted, study, ids, convert):
    X = study.X_target
    by_id = fitted.infer(X, dataset=ids)
    counts = (ids[:, None] == np.arange(3)).astype(float)
    same(by_id, fitted.infer(X, dataset=convert(counts)))
    for i in range(3):
        alone = fitted.infer(X[ids == i])
        np.testing.assert_allclose(by_id.kappa[i], alone.kappa[0], rtol=1e-6)
        np.testing.assert_allclose(by_id.std[i], alone.std[0], rtol=1e-6)


class Counting(ClassifierMixin, BaseEstimator):
    """Counts the events that it is asked for; set by the test."""

    asked: list = []

    def fit(self, X, y, sample_weight=None):
        self.model_ = LogisticRegression().fit(X, y, sample_weight)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, X):
        Counting.asked.append(len(X))
        return self.model_.predict_proba(X)


def test_many_datasets_share_one_evaluation(study):
    tamm = fit(study, classifier=Counting(), n_members=1, inference="frequentist")
    counts = np.random.default_rng(1).poisson(1.0, (len(study.X_target), 12))
    Counting.asked.clear()
    result = tamm.infer(study.X_target, dataset=counts)
    assert Counting.asked == [len(study.X_target)]
    assert result.kappa.shape == (12,)
    Counting.asked.clear()
    alone = tamm.infer(study.X_target, dataset=counts[:, 5:6])
    np.testing.assert_allclose(result.kappa[5], alone.kappa[0], rtol=1e-9)


def test_counts_equal_repeated_events(fitted, study):
    counts = np.random.default_rng(2).poisson(1.0, len(study.X_target))
    repeated = fitted.infer(np.repeat(study.X_target, counts, axis=0))
    same(repeated, fitted.infer(study.X_target, dataset=counts[:, None]))


def test_workers_do_not_change_a_bit(study, ids):
    answers = [fit(study, n_jobs=n).infer(study.X_target, dataset=ids) for n in (1, 2)]
    np.testing.assert_array_equal(answers[0].kappa, answers[1].kappa)
    np.testing.assert_array_equal(answers[0].interval, answers[1].interval)


def test_order_and_names_do_not_matter(fitted, study):
    rng = np.random.default_rng(1)
    order = rng.permutation(len(study.X))
    names = np.array(["pythia", "herwig", "sherpa", "vincia"])[study.simulation]
    other = clone(fitted).fit(study.X[order], study.y[order], simulation=names[order])
    target = study.X_target[rng.permutation(len(study.X_target))]
    same(fitted.infer(study.X_target), other.infer(target))


# ---------------------------------------------------------------------------- weights
def test_doubled_weights_change_nothing(fitted, study):
    once = fitted.infer(study.X_target)
    doubled = clone(fitted).fit(
        study.X,
        study.y,
        simulation=study.simulation,
        sample_weight=np.full(len(study.X), 2.0),
    )
    weight = np.full(len(study.X_target), 2.0)
    twice = doubled.infer(study.X_target, sample_weight=weight)
    same(once, twice)
    np.testing.assert_allclose(twice.n_events, 2 * once.n_events)
    np.testing.assert_allclose(twice.n_effective, once.n_effective)


@pytest.mark.parametrize("form", ["linear", "exponential"])
def test_negative_weights_of_the_target_cost_precision(study, form):
    sign = np.random.default_rng(4).choice([-1.0, 1.0], 1200, p=[0.05, 0.95])
    tamm = fit(study, form=form, inference="frequentist")
    plain = tamm.infer(study.X_target)
    signed = tamm.infer(study.X_target, sample_weight=sign)
    assert signed.n_events[0] == sign.sum()
    assert signed.n_effective[0] == pytest.approx(sign.sum() ** 2 / 1200)
    assert abs(signed.kappa[0] - plain.kappa[0]) < 5 * signed.std[0]
    assert signed.std[0] > 0.9 * plain.std[0]


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS.keys())
def test_negative_weights_of_the_simulations_are_taken(study, cell):
    """A twentieth of weights -1 costs events: a little precision, no bias."""
    rng = np.random.default_rng(4)
    sign = rng.choice([-1.0, 1.0], len(study.X), p=[0.05, 0.95])
    tamm = make(**cell, inference="frequentist").fit(
        study.X, study.y, simulation=study.simulation, sample_weight=sign
    )
    result = tamm.infer(study.X_target)
    assert abs(result.kappa[0] - study.y_target.mean()) < 5 * result.std[0]


def test_a_perceptron_takes_negative_weights(study):
    sign = np.random.default_rng(4).choice([-1.0, 1.0], len(study.X), p=[0.05, 0.95])
    mlp = TorchMLPClassifier((8,), max_epochs=2)
    tamm = make(classifier=mlp, form="linear").fit(
        study.X, study.y, simulation=study.simulation, sample_weight=sign
    )
    kappa, std = tamm.predict(study.X_target, return_std=True)
    assert 0 <= kappa[0] <= 1
    assert std[0] > 0


@pytest.mark.parametrize("classifier", ["lightgbm", "trees"])
def test_pairs_of_weights_that_cancel_leave_kappa_where_it_was(study, classifier):
    """Trees with and without events of weights 1 and -1 from elsewhere."""
    if classifier == "trees":
        classifier = HistGradientBoostingClassifier(max_iter=50)
    rng = np.random.default_rng(5)
    rows = np.repeat(np.arange(0, len(study.X), 3), 2)  # of every source
    extra = rng.uniform(-0.5, 2.0, (rows.size, 2)) - 1.5 * study.y[rows, None]
    weight = np.append(np.ones(len(study.X)), np.tile([1.0, -1.0], rows.size // 2))
    X, y, simulation = (
        np.concatenate(pair)
        for pair in (
            (study.X, extra),
            (study.y, study.y[rows]),
            (study.simulation, study.simulation[rows]),
        )
    )
    signed = make(classifier=classifier).fit(
        X, y, simulation=simulation, sample_weight=weight
    )
    plain = fit(study, classifier=classifier).infer(study.X_target)
    result = signed.infer(study.X_target)
    assert abs(result.kappa[0] - plain.kappa[0]) < 0.5 * plain.std[0]
    assert 0.8 < result.std[0] / plain.std[0] < 1.5


# --------------------------------------------------------------------------- interfaces
def test_shapes_of_answers(fitted, study, ids):
    X = study.X_target
    assert fitted.predict(X).shape == (1,)
    kappa, std, interval = fitted.predict(
        X, dataset=ids, return_std=True, return_interval=[0.683, 0.954]
    )
    assert kappa.shape == std.shape == (3,)
    assert interval.shape == (3, 2, 2)
    result = fitted.infer(X, dataset=ids)
    frame = result.to_frame()
    assert len(frame) == 3
    assert set(EXTRA) < set(frame.columns)
    assert result.summary().count("kappa") == 3
    assert result.templates is None
    np.testing.assert_allclose(result.fractions.sum(axis=1), 1.0)
    np.testing.assert_allclose(result.fractions[:, 1], kappa, atol=1e-9)
    assert len(result.profile.kappa) == 3


def test_probabilities_separate_the_classes(fitted, study, ids):
    probability = fitted.predict_proba(study.X_target, dataset=ids)
    assert probability.shape == (len(study.X_target), 2)
    np.testing.assert_allclose(probability.sum(axis=1), 1.0)
    signal = study.y_target == 1
    difference = probability[signal, 1].mean() - probability[~signal, 1].mean()
    error = np.sqrt(probability[:, 1].var() * (1 / signal.sum() + 1 / (~signal).sum()))
    assert difference > 4 * error
    alone = fitted.predict_proba(study.X_target[ids == 1])
    np.testing.assert_allclose(probability[ids == 1], alone, rtol=1e-5, atol=1e-9)


def test_score_is_minus_an_interval_score(fitted, study, ids):
    assert -2.0 < fitted.score(study.X_target, study.y_target, dataset=ids) < 0


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS.keys())
def test_one_event_is_a_dataset(study, cell):
    for inference in STATISTICS:
        tamm = fit(study, **cell, inference=inference)
        kappa, std = tamm.predict(study.X_target[:1], return_std=True)
        assert kappa.shape == std.shape == (1,)
        assert np.isfinite(kappa).all()
        if inference == "bayesian":
            assert 0 <= kappa[0] <= 1
            assert 0.1 < std[0] < 0.5  # little is known of a single event


def test_bounded_estimates_stay_inside(study):
    background = study.X_target[study.y_target == 0]
    tamm = fit(study, inference="frequentist", bounded=True)
    kappa, interval = tamm.predict(background, return_interval=[0.683, 0.954])
    assert 0 <= kappa[0] <= 1
    assert interval.min() >= 0
    assert interval.max() <= 1


def test_data_frames_and_pipelines(fitted, study):
    plain = fitted.infer(study.X_target)
    frame = pd.DataFrame(study.X, columns=["mass", "angle"])
    target = pd.DataFrame(study.X_target, columns=["mass", "angle"])
    tamm = clone(fitted).fit(frame, study.y, simulation=study.simulation)
    same(plain, tamm.infer(target))
    with pytest.raises(InvalidInputError, match="feature names"):
        tamm.predict(target[["angle", "mass"]])
    pipe = make_pipeline(StandardScaler(), clone(fitted))
    pipe.fit(study.X, study.y, neuralratiotamm__simulation=study.simulation)
    result = infer(pipe, study.X_target)
    np.testing.assert_allclose(result.kappa, plain.kappa, atol=0.3 * plain.std[0])
    np.testing.assert_array_equal(pipe.predict(study.X_target), result.kappa)


def test_a_pipeline_may_be_the_classifier(study):
    classifier = make_pipeline(StandardScaler(), LogisticRegression())
    tamm = fit(study, classifier=classifier)
    assert np.isfinite(tamm.predict(study.X_target)).all()


def test_copies_predict_the_same(fitted, study):
    same(
        fitted.infer(study.X_target),
        pickle.loads(pickle.dumps(fitted)).infer(study.X_target),
        0,
    )


def test_parameters_of_components_can_be_set(study):
    tamm = make(cv=2, calibration=None, ensemble="wifi", basis="principal")
    assert tamm.get_params()["ratio__cv"] == 2
    tamm.fit(study.X, study.y, simulation=study.simulation)
    components = tamm.components_
    assert components.ratio_.cv == 2
    assert components.ratio_.calibration is None
    assert components.ratio_.ensemble == "wifi"
    assert components.basis == "principal"
    assert tamm.infer(study.X_target).diagnostics["std_ratios"][0] > 0


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS.keys())
def test_what_is_not_propagated_is_not_in_the_interval(study, cell):
    for inference in STATISTICS:
        loud = fit(study, **cell, inference=inference).infer(study.X_target)
        silent = fit(study, **cell, inference=inference, propagate=False)
        silent = silent.infer(study.X_target)
        assert silent.diagnostics["std_ratios"][0] == 0.0
        assert silent.std[0] <= loud.std[0] * (1 + 1e-6)
        widths = [np.ptp(r.interval[0], axis=0) for r in (silent, loud)]
        assert (widths[0] <= widths[1] * (1 + 1e-3)).all()


@every_signal
def test_three_classes(inference, positive):
    rng = np.random.default_rng(5)
    fractions, centres = np.array([0.5, 0.3, 0.2]), np.array([0.0, 2.0, 4.0])
    shift = 0.1 * rng.normal(size=(3, 3, 1))
    X = (centres[:, None, None] + shift + rng.normal(size=(3, 3, 400))).reshape(-1, 1)
    y = np.repeat([0, 1, 2], 1200)
    simulation = np.tile(np.repeat([0, 1, 2], 400), 3)
    target = rng.normal(rng.choice(centres, 1500, p=fractions))[:, None]
    if inference == "bayesian":
        inference = BayesianInference(method="laplace")
    for form in ("linear", "exponential"):
        tamm = make(form=form, inference=inference, pos_label=positive)
        result = tamm.fit(X, y, simulation=simulation).infer(target)
        pull = (result.kappa[0] - fractions[positive]) / result.std[0]
        assert abs(pull) < 5
        np.testing.assert_allclose(result.fractions.sum(axis=1), 1.0)
        np.testing.assert_allclose(
            result.fractions[0, positive], result.kappa[0], atol=1e-9
        )


def test_one_simulation_per_class_is_the_classical_fit(study):
    first = study.simulation == 0
    for form in ("linear", "exponential"):
        tamm = make(form=form, inference="frequentist")
        with pytest.warns(SingleSimulationWarning, match="classical"):
            tamm.fit(study.X[first], study.y[first])
        result = tamm.infer(study.X_target)
        assert abs(result.kappa[0] - study.y_target.mean()) < 5 * result.std[0]


@pytest.mark.parametrize("distance", [1.0, 20.0, 1e9])
@pytest.mark.parametrize("inference", STATISTICS)
@pytest.mark.parametrize("form", ["linear", "exponential"])
@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
def test_events_beyond_the_simulations_are_reported(study, form, inference, distance):
    tamm = fit(study, form=form, inference=inference)
    with pytest.warns(RangeWarning, match="support of the simulations"):
        result = tamm.infer(study.X_target + distance)
    assert "out_of_range" in result.flags[0]
    assert result.diagnostics["out_of_range"].tolist() == [True]
    assert not np.isnan(result.kappa).any()


def test_histograms_are_refused_in_one_sentence(fitted, study):
    hist = pytest.importorskip("hist")
    axis = hist.axis.Regular(4, -2.0, 2.0)
    filled = [hist.Hist(axis).fill(study.X[k::4, 0]) for k in range(4)]
    with pytest.raises(IncompatibleChoiceError, match="need events, got histograms"):
        make().fit(filled, [0, 0, 1, 1], simulation=[0, 1, 0, 1])
    for refuse in (fitted.predict, fitted.infer, fitted.predict_proba):
        with pytest.raises(InvalidInputError, match="X must hold events"):
            refuse(filled[:1])


# ------------------------------------------------------------------------------ numbers
def _normals(n_events, seed, shifts=(-0.1, 0.1)):
    rng = np.random.default_rng(seed)
    X, y, simulation = [], [], []
    for c, centre in enumerate((0.0, 1.5)):
        for k, shift in enumerate(shifts):
            X.append(rng.normal(centre + shift, 1.0, n_events))
            y.append(np.full(n_events, c))
            simulation.append(np.full(n_events, k))
    return np.concatenate(X)[:, None], np.concatenate(y), np.concatenate(simulation)


class Normals(ClassifierMixin, BaseEstimator):
    """Knows the densities of `_normals`."""

    def fit(self, X, y, sample_weight=None):
        self.classes_, label = np.unique(y, return_inverse=True)
        self.share_ = np.bincount(label, sample_weight) / label.size
        return self

    def predict_proba(self, X):
        joint = self.share_ * stats.norm.pdf(X[:, :1], [-0.1, 0.1, 1.4, 1.6])
        return joint / joint.sum(axis=1, keepdims=True)


def _target(n_events, seed, kappa=0.3):
    rng = np.random.default_rng(seed)
    return rng.normal(np.where(rng.random(n_events) < kappa, 1.5, 0.0))[:, None]


@pytest.mark.parametrize("inference", STATISTICS)
@pytest.mark.parametrize(
    "choices", [{"form": "linear"}, {"prior": "simulations"}], ids=["linear", "span"]
)
def test_fine_bins_and_exact_ratios_give_the_same(choices, inference):
    """Estimates within a fraction of the errors of templates, reference and bins."""
    X, y, simulation = _normals(20_000, 6)
    target = _target(3000, 7)
    exact = NeuralRatioTAMM(
        DensityRatio(Normals(), n_members=1, holdout=0.5, calibration=None),
        **choices,
        inference=inference,
        random_state=0,
    )
    edges = [np.concatenate([[-6.0], np.linspace(-2.5, 4.0, 40), [8.0]])]
    binned = BinnedTopicTAMM(
        edges, **choices, components="raw", inference=inference, random_state=0
    )
    results = [
        tamm.fit(X, y, simulation=simulation).infer(target) for tamm in (exact, binned)
    ]
    std = results[1].std[0]
    noise = np.hypot(0.15 * std, results[0].diagnostics["std_reference"][0])
    assert abs(results[0].kappa[0] - results[1].kappa[0]) < 2 * noise
    assert results[0].std[0] == pytest.approx(std, rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("inference", STATISTICS)
@pytest.mark.parametrize("form", ["linear", "exponential"])
def test_intervals_cover_when_the_simulations_are_right(form, inference):
    """Mean squared pull of 100 studies, all new: within four sigmas of one at most."""
    pulls = []
    for seed in range(100):
        X, y, simulation = _normals(1000, 1000 + seed, shifts=(0.0, 0.0, 0.0))
        tamm = make(form=form, inference=inference)
        tamm.fit(X, y, simulation=simulation)
        result = tamm.infer(_target(2000, 5000 + seed))
        pulls.append((result.kappa[0] - 0.3) / result.std[0])
    assert np.mean(np.square(pulls)) < 1 + 4 * np.sqrt(2 / 100)
    assert abs(np.mean(pulls)) < 4 / np.sqrt(100)


def test_members_are_trained_at_the_same_time():
    """By processes of their own, with the same numbers."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 600)
    X = rng.normal(y, 1.0)[:, None]
    simulation = np.tile([0, 1, 2], 400)
    answers, workers = [], []
    for n_jobs in (None, 2):
        ratio = DensityRatio(WhereTrained(), n_members=2)
        tamm = NeuralRatioTAMM(ratio, n_jobs=n_jobs, random_state=0)
        tamm.fit(X, y, simulation=simulation)
        answers.append(tamm.infer(X[:300]).kappa[0])
        (trained,) = tamm.components_.ratio_.models_
        workers.append({member.process_ for member in trained.model.members_})
    assert answers[0] == answers[1]
    assert workers[0] == {os.getpid()}
    assert os.getpid() not in workers[1]
