"""A learned score: cross-fitted, the same for simulated and measured events."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sktamm import BinnedTopicTAMM, infer
from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError
from sktamm.templates import LearnedScore


def _events(n=4000, n_simulations=3, d=4, seed=0, spread=0.1):
    """Unit normals; the classes differ by one in the first feature."""
    rng = np.random.default_rng(seed)
    y = np.tile(np.repeat([0, 1], n), n_simulations)
    simulation = np.repeat(np.arange(n_simulations), 2 * n)
    shift = spread * rng.normal(size=(n_simulations, 2, d))
    X = rng.normal(size=(y.size, d)) + shift[simulation, y]
    X[:, 0] += y
    return X, y, simulation


@parametrize_with_checks(
    [LearnedScore("logistic", cv=2)],
    expected_failed_checks=lambda estimator: {
        "check_sample_weight_equivalence_on_dense_data": (
            "the other part trains with another number of events"
        )
    },
)
@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
def test_scikit_learn(estimator, check):
    check(estimator)


def test_the_score_is_the_log_odds_of_classes_of_equal_weight():
    """ln N(x - 1) / N(x) = x - 1/2, whatever the numbers of events of the classes."""
    X, y, simulation = _events(20_000, 1, 1, spread=0.0)
    kept = (y == 0) | (np.random.default_rng(1).random(y.size) < 0.1)
    score = LearnedScore("logistic", random_state=0)
    found = score.fit_transform(X[kept], y[kept], simulation=simulation[kept])
    assert np.abs(found[:, 0] - (X[kept, 0] - 0.5)).mean() < 0.06


def test_all_simulations_of_a_class_weigh_the_same():
    """Log odds against backgrounds at -2 and 0, one of ten times the other's events.

    Either classifier knows one background of both kinds.
    """
    rng = np.random.default_rng(0)
    number = 20_000, 2_000, 2_000, 20_000, 11_000
    places = -2, -2, 0, 0, 1
    X = np.concatenate(
        [rng.normal(c, 1, n) for c, n in zip(places, number, strict=True)]
    )
    y = np.repeat([0, 0, 0, 0, 1], number)
    simulation = np.repeat([0, 1, 2, 3, 0], number)
    score = LearnedScore("logistic", cv=2, random_state=0)
    score.fit(X[:, None], y, simulation=simulation)
    x = np.linspace(-2, 2, 11)
    law = stats.norm.pdf
    exact = np.log(law(x - 1)) - np.log(0.5 * law(x + 2) + 0.5 * law(x))
    assert np.abs(score.transform(x[:, None])[:, 0] - exact).mean() < 0.25


@pytest.mark.parametrize("classifier", ["logistic", "lightgbm"])
def test_simulated_and_new_events_have_the_same_scores(classifier):
    """Trees that know their events: .77 instead of .50 for a score that is learned in.

    Without anything to learn the score must be noise for both, and equally wide.
    """
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(3000, 5)), np.repeat([0, 1], 1500)
    score = LearnedScore(classifier, random_state=0)
    own = score.fit_transform(X, y)[:, 0]
    for c in (0, 1):
        new = score.transform(rng.normal(size=(3000, 5)))[:, 0]
        assert stats.ks_2samp(own[y == c], new).pvalue > 1e-3


@pytest.mark.parametrize("names", [(0, 1, 2, 3), "abcd"])
def test_scores_of_a_simulation_are_those_of_a_truth_like_it(names):
    """Every simulation is made of five images of its own, in 20 features.

    They tell nothing of the class. A classifier recognises the images that it was
    trained on, even in other copies: .97 of the events instead of .5.
    """
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, 5, 5, 20))

    def events(c, k):
        own = images[c, k][rng.integers(0, 5, 1000)]
        return own + 0.3 * rng.normal(size=own.shape)

    sources = [(c, k) for c in (0, 1) for k in range(4)]
    X = np.concatenate([events(c, k) for c, k in sources])
    y, k = (np.repeat(v, 1000) for v in zip(*sources, strict=True))
    simulation = np.array(list(names))[k] if names != "abcd" else np.array(
        [names[j] + str(c) for c, j in zip(y, k, strict=True)]
    )  # fmt: skip
    score = LearnedScore("lightgbm", random_state=0)
    own = score.fit_transform(X, y, simulation=simulation)[:, 0]
    assert (own[y == 1] > 0).mean() - (own[y == 0] > 0).mean() < 0.4
    np.testing.assert_array_equal(score.transform(X)[:, 0], own)


def test_fit_transform_and_transform_agree_whatever_the_order():
    X, y, simulation = _events(500)
    score = LearnedScore("logistic", random_state=0)
    first = score.fit_transform(X, y, simulation=simulation)
    order = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_allclose(score.transform(X[order]), first[order], rtol=1e-9)
    frame = pd.DataFrame(X, columns=list("abcd"))
    named = clone(score).fit(frame, y, simulation=simulation)
    np.testing.assert_allclose(named.transform(frame), first, rtol=1e-9)
    with pytest.raises(InvalidInputError, match="feature names"):
        named.transform(frame[["b", "a", "c", "d"]])


def test_copies_of_an_event_stay_together():
    """A bootstrap sample of events that tell nothing has nothing to tell."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(2000, 3)), rng.integers(0, 2, 2000)
    rows = rng.integers(0, 2000, 4000)
    score = LearnedScore("lightgbm", random_state=0)
    found = score.fit_transform(X[rows], y[rows])[:, 0]
    assert abs(np.corrcoef(found, y[rows])[0, 1]) < 0.06


def test_discrete_features_are_spread_over_the_parts():
    """Four cells whose log odds are those of their contents.

    Their errors are .06; a cell that its classifier has never seen is off by one.
    """
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 4000)
    p = np.array([[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]])
    X = np.concatenate([rng.choice(4, 4000, p=p[c]) for c in (0, 1)])[:, None]
    score = LearnedScore("lightgbm", random_state=0).fit(X, y)
    found = score.transform(np.repeat(np.arange(4.0), 50)[:, None])[:, 0]
    exact = np.log(p[1] / p[0])
    np.testing.assert_allclose(found.reshape(4, 50).mean(axis=1), exact, atol=0.3)


def test_scores_of_three_classes_and_of_the_spread():
    rng = np.random.default_rng(0)
    y = np.tile(np.repeat([0, 1, 2], 2000), 4)
    simulation = np.repeat(np.arange(4), 6000)
    X = rng.normal(size=(y.size, 3))
    X[:, 0] += y
    X[:, 2] += 0.5 * simulation  # differs between simulations, not between classes
    score = LearnedScore("logistic", n_scores=2, random_state=0)
    found = score.fit_transform(X, y, simulation=simulation)
    assert found.shape == (y.size, 3)
    names = ["log odds of 1", "log odds of 2", "spread 1"]
    assert score.get_feature_names_out().tolist() == names
    correlation = np.corrcoef(np.column_stack([found, X]).T)[:3, 3:]
    assert np.abs(correlation[2]).argmax() == 2
    assert abs(correlation[2, 2]) > 0.9
    assert np.abs(correlation[:2, 0]).min() > 0.6


def test_negative_weights_are_settled():
    X, y, simulation = _events(3000)
    weight = np.where(np.random.default_rng(0).random(y.size) < 0.1, -1.0, 1.0)
    score = LearnedScore("lightgbm", random_state=0)
    signed = score.fit_transform(X, y, simulation=simulation, sample_weight=weight)
    plain = score.fit_transform(X, y, simulation=simulation)
    assert np.corrcoef(signed[:, 0], plain[:, 0])[0, 1] > 0.9
    assert np.abs(signed - plain).mean() < 0.3


def test_it_works_in_pipelines_with_any_classifier():
    X, y, simulation = _events(1000)
    learner = make_pipeline(StandardScaler(), LogisticRegression())
    pipe = make_pipeline(
        LearnedScore(learner, cv=3, random_state=0), BinnedTopicTAMM(random_state=0)
    )
    pipe.fit(
        X,
        y,
        learnedscore__simulation=simulation,
        binnedtopictamm__simulation=simulation,
    )
    result = infer(pipe, X[y == 1])
    assert result.kappa[0] > 0.8


@pytest.mark.parametrize("choice", [{"cv": 1}, {"cv": 2.5}, {"n_scores": 0}])
def test_senseless_choices_are_refused(choice):
    X, y, _ = _events(50)
    name = next(iter(choice))
    with pytest.raises(IncompatibleChoiceError, match=f"{name} must be an int"):
        LearnedScore("logistic", **choice).fit(X, y)


def test_every_classifier_knows_every_class():
    """Six simulations share five parts; the signal has two of them, maybe in one."""
    X, y, simulation = _events(60, 6)
    for two in itertools.combinations(range(6), 2):
        kept = (y == 0) | np.isin(simulation, two)
        score = LearnedScore("logistic", random_state=0)
        found = score.fit_transform(X[kept], y[kept], simulation=simulation[kept])
        assert np.corrcoef(found[:, 0], X[kept, 0])[0, 1] > 0.6


def test_classifiers_of_other_scale_share_one():
    """Half of the simulations are wide: their classifier's odds are flatter."""
    X, y, simulation = _events(4000, 4, 1, spread=0.0)
    X[:, 0] *= np.where(simulation % 2 == 1, 3.0, 1.0)
    score = LearnedScore("logistic", cv=2, random_state=0)
    score.fit(X, y, simulation=simulation)
    own = [score._scores(X, np.full(len(X), f))[:, 0] for f in (0, 1)]
    narrow, wide = (np.quantile(s, [0.2, 0.5, 0.8]) for s in own)
    np.testing.assert_allclose(narrow, wide, atol=0.05)


def test_a_class_that_one_part_holds_alone_is_refused():
    X = np.r_[np.zeros((20, 1)), np.random.default_rng(0).normal(size=(200, 1))]
    y = np.repeat([0, 1], [20, 200])
    with pytest.raises(InvalidInputError, match="all events of class 0"):
        LearnedScore("logistic").fit(X, y)
