"""`ScoreTAMM`: many features, one learned score, intervals that cover."""

import hist
import numpy as np
import pytest

from sktamm import BinnedTopicTAMM, ScoreTAMM, TAMMRegressor
from sktamm.components import ScoreComponents
from sktamm.datasets import draw_gaussian_parameters, make_gaussian_study
from sktamm.diagnostics import influence, span_check
from sktamm.exceptions import InvalidInputError
from sktamm.templates import LearnedScore


@pytest.fixture(scope="module")
def study():
    return make_gaussian_study(6, 2000, 400, 3600, n_features=6, random_state=1)


@pytest.fixture(scope="module")
def fitted(study):
    tamm = ScoreTAMM("logistic", random_state=0)
    return tamm.fit(study.X, study.y, simulation=study.simulation)


def test_it_is_the_score_in_fifteen_bins(study, fitted):
    """By hand: transform, then fifteen bins between the same ends."""
    edges = fitted.components_.binning_.edges
    assert [len(e) for e in edges] == [16]
    np.testing.assert_allclose(np.diff(edges[0]), np.diff(edges[0])[0])
    score = LearnedScore("logistic", random_state=0)
    own = score.fit_transform(study.X, study.y, simulation=study.simulation)
    binned = BinnedTopicTAMM(bins=list(edges), random_state=0)
    binned.fit(own, study.y, simulation=study.simulation)
    by_hand = binned.infer(score.transform(study.X_target))
    result = fitted.infer(study.X_target)
    np.testing.assert_allclose(result.kappa, by_hand.kappa, rtol=1e-9)
    np.testing.assert_allclose(result.interval, by_hand.interval, rtol=1e-9)


def test_the_general_estimator_with_the_components_is_the_same(study, fitted):
    general = TAMMRegressor(ScoreComponents("logistic", random_state=0), random_state=0)
    general.fit(study.X, study.y, simulation=study.simulation)
    assert general.predict(study.X_target) == fitted.predict(study.X_target)


def test_ends_are_quantiles_of_the_classes_not_of_the_pooled_events(study, fitted):
    score = fitted.components_.score_.transform(study.X)[:, 0]
    low, high = fitted.components_.binning_.edges[0][[0, -1]]
    for c in (0, 1):
        own = score[study.y == c]
        assert ((own < low) | (own > high)).mean() < 0.01


def test_results_name_the_score(study, fitted):
    result = fitted.infer(study.X_target)
    assert result.method["components"] == "score"
    assert result.method["bins"] == "15"
    assert result.templates.feature_names == ("log odds of 1",)
    assert result.features == tuple(f"x{j}" for j in range(6))
    assert fitted.predict_proba(study.X_target).shape == (len(study.X_target), 2)


def test_two_scores_make_a_grid(study):
    tamm = ScoreTAMM("logistic", n_scores=2, random_state=0)
    tamm.fit(study.X, study.y, simulation=study.simulation)
    assert tamm.infer(study.X_target).method["bins"] == "4 x 4"


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
def test_features_that_tell_nothing_are_refused_in_one_sentence():
    """The sentence used to be about a range that nobody had given."""
    y, simulation = np.tile([0, 1], 60), np.repeat([0, 1, 2], 40)
    with pytest.raises(InvalidInputError, match="must tell the classes apart"):
        ScoreTAMM("logistic").fit(np.zeros((120, 2)), y, simulation=simulation)


@pytest.mark.filterwarnings("ignore")
def test_histograms_are_refused(fitted):
    one = hist.Hist(hist.axis.Regular(5, 0, 1, name="x"))
    one[...] = 1.0
    with pytest.raises(InvalidInputError, match="must hold events for a learned score"):
        ScoreTAMM().fit([one, one], [0, 1])
    with pytest.raises(InvalidInputError, match="must hold events for a learned score"):
        fitted.infer([one])


def test_diagnostics_leave_simulations_out_of_the_same_score(study, fitted):
    """Both ended in a sentence about histograms."""
    without = influence(fitted, study.X_target)
    assert np.isfinite(without.kappa).all()
    assert len(set(without.kappa.ravel())) > 3
    assert 0 < span_check(fitted, study.X_target).p_value <= 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
def test_intervals_cover_one_more_simulation_in_ten_features():
    """Sixty sets: nominal within two standard errors, at both levels."""
    covered = []
    for seed in range(60):
        parameters = draw_gaussian_parameters(9, seed, 10)
        target = parameters.take([8])
        study = make_gaussian_study(
            8, 5000, 500, 4500, parameters=parameters, target=target, n_features=10,
            random_state=seed,
        )  # fmt: skip
        tamm = ScoreTAMM(random_state=0)
        tamm.fit(study.X, study.y, simulation=study.simulation)
        ends = tamm.infer(study.X_target, levels=[0.683, 0.955]).interval[0]
        covered.append((ends[0] <= study.kappa) & (study.kappa <= ends[1]))
    share = np.mean(covered, axis=0)
    error = np.sqrt(share * (1.0 - share) / len(covered))
    assert share[0] >= 0.683 - 2.0 * error[0]
    assert share[1] >= 0.955 - 2.0 * max(error[1], np.sqrt(0.955 * 0.045 / 60))
