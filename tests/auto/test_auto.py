"""The estimator that chooses: what is judged, how, and when the default goes."""

import pickle
import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktamm import AutoTAMM, BinnedTopicTAMM, NeuralRatioTAMM, ScoreTAMM, infer
from sktamm.auto._candidates import _merged
from sktamm.auto._left_out import judged
from sktamm.auto._units import design_of
from sktamm.baselines import FreeTemplates, LabelShiftEM
from sktamm.coverage import coverage_study
from sktamm.datasets import make_gaussian_study
from sktamm.diagnostics import influence
from sktamm.exceptions import (
    IncompatibleChoiceError,
    InvalidInputError,
    SingleSimulationWarning,
    SktammWarning,
)
from sktamm.model_selection import CalibratedTAMM, LeaveSimulationsOut


@pytest.fixture(scope="module")
def study():
    return make_gaussian_study(n_simulations=6, n_events=1500, random_state=4)


def _fit(tamm, study, **keywords):
    return tamm.fit(study.X, study.y, simulation=study.simulation, **keywords)


def _binned(**keywords):
    return BinnedTopicTAMM(bins=4, random_state=0, **keywords)


# ------------------------------------------------------------------------ the choice
class Wrong(BinnedTopicTAMM):
    """Certain of an answer that is wrong: a default that nobody should keep."""

    def infer(self, X, **keywords):
        result = super().infer(X, **keywords)
        ends = np.broadcast_to([[0.98], [0.99]], result.interval.shape)
        return replace(result, interval=ends)


def _wrong():
    return Wrong(bins=4, random_state=0)


@pytest.mark.parametrize("position", [0, 1])
def test_what_measures_simulations_wrongly_does_not_answer(study, position):
    candidates = [("right", _binned())]
    candidates.insert(position, ("wrong", _wrong()))
    tamm = _fit(AutoTAMM(candidates), study)
    assert tamm.chosen_ == "right"
    assert tamm.left_out_.coverage[position] == 0.0
    result = tamm.infer(study.X_target)
    alone = _fit(_binned(), study).infer(study.X_target)
    np.testing.assert_array_equal(result.interval, alone.interval)
    assert result.method["chosen"] == "right"
    assert ("surely better, p =" in result.method["left out"]) == (position == 0)


def _answers(kappa, half_width):
    """Results of three datasets, of a truth of 0.3, with intervals of a width."""
    ends = np.array([[kappa - half_width], [kappa + half_width]])
    return SimpleNamespace(kappa=np.full(3, kappa), interval=np.stack([ends] * 3))


def _judged(others, significance=0.01):
    """Choice from half-widths of a default of 0.1 and of another, by simulation."""
    asked = [[_answers(0.3, 0.1)] * len(others), [_answers(0.3, w) for w in others]]
    ids = tuple(np.array([k, k]) for k in range(len(others)))
    return judged(("a", "b"), ids, np.full(3, 0.3), 0.683, asked, significance)


def test_a_little_better_is_not_enough():
    """Mean gain of the log scores .1, error .05: t = 2, p = .058 of five."""
    scatter = 0.05 * np.sqrt(5) * stats.zscore([1.0, 2.0, 3.0, 4.0, 5.0], ddof=1)
    widths = 0.1 * np.exp(-0.1 - scatter)
    found = _judged(widths)
    np.testing.assert_allclose(found.gain[1].mean(), 0.1)
    np.testing.assert_allclose(found.p_value[1], stats.t.sf(2.0, 4))
    assert found.chosen == "a"
    assert _judged(widths, significance=0.06).chosen == "b"


def test_many_candidates_need_more():
    """Twice the candidates, twice the p-value."""
    widths = 0.1 * np.exp(-0.1 - 0.05 * np.array([-1.0, 0.0, 1.0, 2.0]))
    one = _judged(widths)
    asked = [[_answers(0.3, w) for w in own] for own in ([0.1] * 4, widths, [0.2] * 4)]
    ids = one.simulations
    both = judged(("a", "b", "c"), ids, np.full(3, 0.3), 0.683, asked, 0.01)
    np.testing.assert_allclose(both.p_value[1], 2.0 * one.p_value[1])


def test_a_fit_without_an_answer_says_all():
    found = _judged([np.nan] * 4)
    np.testing.assert_array_equal(found.interval_score[1], 1.0)
    assert found.chosen == "a"


def test_few_simulations_leave_the_default(study):
    few = study.simulation < 3
    tamm = AutoTAMM([("wrong", _wrong()), ("right", _binned())])
    tamm.fit(study.X[few], study.y[few], simulation=study.simulation[few])
    assert (tamm.chosen_, tamm.left_out_) == ("wrong", None)
    words = tamm.infer(study.X_target).method["left out"]
    assert words == "fewer than 4 simulations: the default, not judged"


def test_scores_are_those_of_the_interval(study):
    """Width, and 2 / (1 - level) times the distance of a miss, by hand."""
    tamm = _fit(AutoTAMM([("a", _binned()), ("b", _binned(prior="ridge"))]), study)
    scores = tamm.left_out_
    assert scores.kappa.shape == (2, 6, 8)
    low, high = np.moveaxis(scores.interval, -1, 0)
    miss = np.maximum(low - scores.truth, 0.0) + np.maximum(scores.truth - high, 0.0)
    expected = (high - low + 2.0 / (1.0 - 0.683) * miss).mean(axis=2)
    np.testing.assert_allclose(scores.interval_score, expected)
    inside = (low <= scores.truth) & (scores.truth <= high)
    np.testing.assert_allclose(scores.coverage, inside.mean(axis=(1, 2)))
    frame = scores.to_frame()
    assert list(frame.index) == ["a", "b"]
    assert frame["chosen"].tolist() == [True, False]


def test_simulations_that_are_judged_are_left_out(study):
    """A simulation is measured as one measures it who has never known it."""
    edges = [np.linspace(-3.0, 3.0, 5)] * 2
    tamm = AutoTAMM([("binned", BinnedTopicTAMM(edges))], n_datasets=1)
    tamm = _fit(tamm, study)
    ids = tamm.left_out_.simulations[1]
    others = study.simulation != ids[0]
    alone = BinnedTopicTAMM(edges).fit(
        study.X[others], study.y[others], simulation=study.simulation[others]
    )
    design = design_of((0.05, 0.15, 0.35, 0.6), 10_000, 1, 2)
    seed = tamm._seeds(1).spawn(6)[1]
    result = tamm._units[1].ask(alone, design, 1, seed, 0.683)
    np.testing.assert_allclose(tamm.left_out_.kappa[0, 1], result.kappa, rtol=1e-9)


# ------------------------------------------------------------------------ candidates
@pytest.fixture(scope="module")
def plain(study):
    """The estimator as it is, but of one dataset per simulation."""
    return _fit(AutoTAMM(n_datasets=1), study)


def test_two_features_have_bins_first(plain):
    assert list(plain.candidates_) == [
        "binned",
        "score",
        "linear binned",
        "linear score",
        "merged simulations",
        "free templates",
    ]
    assert isinstance(plain.estimator_, BinnedTopicTAMM)


def test_linear_forms_share_the_components(study, plain):
    """They answer as the estimator alone, and so do free templates."""
    own = plain.candidates_
    assert own["linear score"].components_ is own["score"].components_
    linear = {"form": "linear", "inference": "frequentist", "random_state": 0}
    alone = {
        "linear binned": BinnedTopicTAMM(**linear),
        "linear score": ScoreTAMM(**linear),
        "free templates": FreeTemplates(),
    }
    for name, estimator in alone.items():
        expected = _fit(estimator, study).infer(study.X_target)
        result = own[name].infer(study.X_target)
        np.testing.assert_allclose(result.interval, expected.interval, atol=1e-6)
        assert result.method["form"] == "linear"


def test_a_linear_form_without_a_simulation_is_that_of_the_rest(plain):
    for name in ("linear binned", "free templates"):
        part = plain._known[name].without([0, 3])
        assert part.simulations_.tolist() == [1, 2, 4, 5]
        ids = part.components_.templates_.source_id
        assert sorted(ids.tolist()) == [1, 1, 2, 2, 4, 4, 5, 5]


def test_many_simulations_have_topics_and_twenty_truths():
    study = make_gaussian_study(25, 300, random_state=0)
    tamm = _fit(AutoTAMM(n_datasets=1), study)
    assert tamm.candidates_["topics"].components_.n_topics == 20
    assert "at most 12 ids and classes" in tamm.refused_["free templates"]
    ids = [int(own[0]) for own in tamm.left_out_.simulations]
    assert len(set(ids)) == 20
    one = BinnedTopicTAMM(bins=3, inference="frequentist")
    part = _fit(AutoTAMM([("bins", one)], n_datasets=1), study).take(np.arange(21))
    assert len(part.left_out_.simulations) == 20


def test_merged_simulations_are_one_that_is_their_mean(study):
    edges = [np.linspace(-4.0, 4.0, 5)] * 2
    merged = _merged(_fit(BinnedTopicTAMM(edges, smooth=False), study))
    with pytest.warns(SingleSimulationWarning):  # of equal sizes: all events together
        one = BinnedTopicTAMM(edges, smooth=False).fit(study.X, study.y)
    np.testing.assert_allclose(
        merged.predict(study.X_target), one.predict(study.X_target), rtol=1e-9
    )


def test_merged_simulations_weigh_alike(study):
    """However many events: the mean of the shares of the bins."""
    few = (study.simulation != 1) | (np.arange(study.y.size) % 3 == 0)
    tamm = BinnedTopicTAMM([np.linspace(-4.0, 4.0, 5)] * 2, smooth=False)
    tamm.fit(study.X[few], study.y[few], simulation=study.simulation[few])
    own = tamm.components_.templates_
    found = _merged(tamm).components_.templates_.sum_of_weights
    share = own.sum_of_weights / own.sum_of_weights.sum(axis=1, keepdims=True)
    expected = [share[own.source_class == c].mean(axis=0) for c in (0, 1)]
    np.testing.assert_allclose(found / found.sum(axis=1, keepdims=True), expected)


def test_simulations_that_agree_are_merged():
    """Ten simulations of one truth: what is adapted is noise."""
    rng = np.random.default_rng(0)
    y, simulation = np.tile([0, 1], 5000), np.repeat(np.arange(10), 1000)
    X = rng.normal(y[:, None] * 1.0, 1.0)
    tamm = AutoTAMM(n_datasets=1).fit(X, y, simulation=simulation)
    frame = tamm.left_out_.to_frame()
    assert (
        frame.loc["merged simulations", "half_width"]
        <= frame.loc["binned", "half_width"]
    )


few_events = pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")


@pytest.fixture(scope="module")
def many():
    study = make_gaussian_study(5, 400, n_features=3, random_state=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SktammWarning)
        return study, _fit(AutoTAMM(n_datasets=1, size=300), study)


@few_events
def test_three_features_have_the_pool_of_score_and_ratios(many):
    study, tamm = many
    assert tamm.chosen_ == "score and ratios"
    result = tamm.infer(study.X_target[:2000])
    assert result.method["pool"] == "score, ratios"
    parts = [tamm.candidates_[name] for name in ("score", "ratios")]
    assert isinstance(parts[0], ScoreTAMM)
    assert isinstance(parts[1], NeuralRatioTAMM)
    kappas = [part.infer(study.X_target[:2000]).kappa[0] for part in parts]
    assert min(kappas) <= result.kappa[0] <= max(kappas)
    np.testing.assert_allclose(result.kappa, np.mean(kappas), atol=2e-3)
    np.testing.assert_allclose(tamm.predict(study.X_target[:2000]), result.kappa)
    probability = tamm.predict_proba(study.X_target[:5])
    np.testing.assert_allclose(probability.sum(axis=1), 1.0)


def test_what_the_data_refuse_is_told(study):
    candidates = [("binned", _binned()), ("score", ScoreTAMM("logistic", bins=-1))]
    tamm = _fit(AutoTAMM(candidates), study)
    assert list(tamm.candidates_) == ["binned"]
    assert "bins" in tamm.refused_["score"]


def test_if_all_refuse_the_first_one_says_why(study):
    tamm = AutoTAMM([("a", _binned(n_jobs=0)), ("b", BinnedTopicTAMM(bins=-1))])
    with pytest.raises(InvalidInputError, match="n_jobs"):
        _fit(tamm, study)


@few_events
def test_estimators_that_must_train_again_do(study):
    tamm = AutoTAMM(
        [("free", FreeTemplates(bins=4)), ("shift", LabelShiftEM("logistic"))],
        n_datasets=1,
    )
    tamm = _fit(tamm, study)
    assert tamm.left_out_.kappa.shape == (2, 6, 4)


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        ("all", "candidates must be a list"),
        ([], "candidates must be a list"),
        ([("a", _binned()), ("a", _binned())], "names that differ"),
        ([("a", StandardScaler())], "'fit' and 'infer', got StandardScaler for 'a'"),
    ],
)
def test_unusable_candidates_are_refused(study, candidates, message):
    with pytest.raises(IncompatibleChoiceError, match=message):
        _fit(AutoTAMM(candidates), study)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"significance": 2.0}, "significance must be a float in the range"),
        ({"size": 0}, "size must be an int in the range .*, got 0"),
        ({"n_datasets": 0}, "n_datasets must be an int in the range"),
        ({"level": 1.5}, "level must be a float in the range"),
    ],
)
def test_unusable_settings_are_refused(study, setting, message):
    with pytest.raises((InvalidInputError, IncompatibleChoiceError), match=message):
        _fit(AutoTAMM(**setting), study)


# -------------------------------------------------------------------- one among many
def _own():
    candidates = [("wide", _binned()), ("narrow", _binned(prior="simulations"))]
    return AutoTAMM(candidates, n_datasets=1)


def test_three_classes_and_weights(study):
    rng = np.random.default_rng(0)
    y = np.tile([0, 1, 2], 2000)
    simulation = np.repeat(np.arange(4), 1500)
    X = rng.normal(y + 0.1 * simulation, 1.0)[:, None]
    weight = rng.uniform(0.5, 1.5, y.size)
    tamm = AutoTAMM([("bins", BinnedTopicTAMM(bins=6))])
    tamm.fit(X, y, simulation=simulation, sample_weight=weight)
    assert tamm.left_out_.kappa.shape == (1, 4, 2)
    np.testing.assert_array_equal(tamm.left_out_.truth, [0.15, 0.45])
    np.testing.assert_allclose(tamm.left_out_.kappa[0], [[0.15, 0.45]] * 4, atol=0.2)


def test_take_is_a_fit_of_the_others(study):
    """Bins are those of all simulations; of equal bins a fit is the same."""
    edges = [np.linspace(-3.0, 3.0, 5)] * 2
    tamm = AutoTAMM([("one", _binned()), ("other", _binned(prior="ridge"))])
    tamm.set_params(one__bins=edges, other__bins=edges)
    part = _fit(tamm, study).take([0, 1, 2, 3, 4])
    kept = study.simulation < 5
    alone = clone(tamm).fit(
        study.X[kept], study.y[kept], simulation=study.simulation[kept]
    )
    assert part.simulations_.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(
        part.predict(study.X_target), alone.predict(study.X_target), rtol=1e-9
    )
    assert len(part.left_out_.simulations) == 5


@few_events
def test_it_works_where_the_others_do(study):
    few = study.simulation < 4
    study = replace(
        study, X=study.X[few], y=study.y[few], simulation=study.simulation[few]
    )
    pipe = make_pipeline(StandardScaler(), _own())
    pipe.fit(study.X, study.y, autotamm__simulation=study.simulation)
    assert infer(pipe, study.X_target).method["chosen"] == "wide"
    search = GridSearchCV(
        _own(), {"wide__bins": [3]}, cv=LeaveSimulationsOut(n_splits=2)
    )
    search.fit(study.X, study.y, groups=study.simulation, simulation=study.simulation)
    assert search.best_estimator_.candidates_["wide"].bins == 3
    tamm = _fit(_own(), study)
    again = pickle.loads(pickle.dumps(tamm))
    np.testing.assert_array_equal(
        again.predict(study.X_target), tamm.predict(study.X_target)
    )
    assert influence(tamm, study.X_target).shift.shape == (4,)
    result = coverage_study(
        tamm, study.X, study.y, kappas=0.2, sizes=500, n_datasets=4, random_state=0
    )
    assert result.truth.size == 4
    calibrated = _fit(CalibratedTAMM(_own()), study)
    assert calibrated.infer(study.X_target).method["chosen"] == "wide"


def test_histograms_are_judged_in_their_bins(study):
    hist = pytest.importorskip("hist")

    def filled(X):
        axis = hist.axis.Regular(6, -3, 3, flow=False)
        return hist.Hist(axis, storage=hist.storage.Weight()).fill(X[:, 0])

    sources = [(c, k) for c in (0, 1) for k in range(6)]
    X = [filled(study.X[(study.y == c) & (study.simulation == k)]) for c, k in sources]
    y, simulation = zip(*sources, strict=True)
    tamm = AutoTAMM().fit(X, y, simulation=simulation)
    assert tamm.chosen_ == "binned"
    assert list(tamm.candidates_) == [
        "binned",
        "linear binned",
        "merged simulations",
        "free templates",
    ]
    assert tamm.left_out_.kappa.shape == (4, 6, 8)
    by_hand = BinnedTopicTAMM().fit(X, y, simulation=simulation)
    target = filled(study.X_target)
    np.testing.assert_array_equal(
        tamm.infer(target).interval, by_hand.infer(target).interval
    )
    # Unbiased datasets: the mean estimate follows the fractions that were drawn.
    mean = tamm.left_out_.kappa[0].mean(axis=0)
    assert np.corrcoef(mean, tamm.left_out_.truth)[0, 1] > 0.9
