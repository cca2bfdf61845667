"""Draws of fractions and blends: their moments, bounds and sums."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from sktamm import BinnedTopicTAMM
from sktamm.datasets import make_gaussian_study
from sktamm.inference import BayesianInference, FrequentistInference, parameter_draws

N = 4000  # know a width to 1.1 %, a correlation to .016


def asked(kappa=0.2, **choices):
    """Estimator, table, model and answer of one dataset."""
    study = make_gaussian_study(
        n_simulations=4,
        n_events=3000,
        n_signal=round(4000 * kappa),
        n_background=round(4000 * (1.0 - kappa)),
        random_state=1,
    )
    tamm = BinnedTopicTAMM(bins=3, random_state=0, **choices)
    tamm.fit(study.X, study.y, simulation=study.simulation)
    table, _ = tamm.tabulate(study.X_target, None, None)
    return tamm, table, *tamm.solve(table, np.array([0.683]))


def draws_of(tamm, table, model, answer, n=N):
    return parameter_draws(
        tamm.inference_,
        table,
        model,
        answer,
        n,
        bounded=tamm.bounded,
        seed=np.random.SeedSequence(0),
    )


def test_a_normal_of_the_curvature_with_the_error_of_kappa():
    inference = FrequentistInference(covariance="hessian")
    parts = asked(inference=inference, prior="simulations")
    _, table, model, answer = parts
    fit = next(inference.maxima(table, model, bounded=False))
    draws = draws_of(*parts)
    found, expected = np.cov(draws.T), fit.covariance[0]
    size = np.sqrt(np.diag(expected))
    apart = (found - expected) / np.outer(size, size)
    assert np.abs(apart).max() < 0.1
    np.testing.assert_allclose(draws.mean(axis=0), answer.theta[0], atol=0.1)


def test_the_error_of_kappa_is_that_of_the_answer():
    """Which may know more than the curvature: here the sandwich."""
    parts = asked(inference="frequentist", prior="ridge")
    draws = draws_of(*parts)
    assert draws[:, 0].std() == pytest.approx(parts[-1].std[0], rel=0.05)


def test_laplace_and_chains_have_the_same_moments():
    parts = asked(prior="simulations", inference=BayesianInference("laplace"))
    laplace = draws_of(*parts)
    chains = draws_of(*asked(prior="simulations", inference=BayesianInference("hmc")))
    size = chains.std(axis=0)
    assert (np.abs(laplace.mean(axis=0) - chains.mean(axis=0)) < 0.25 * size).all()
    np.testing.assert_allclose(laplace.std(axis=0), size, rtol=0.2)
    own, others = np.corrcoef(laplace.T)[0, 1:], np.corrcoef(chains.T)[0, 1:]
    np.testing.assert_allclose(own, others, atol=0.15)
    ends = np.quantile(laplace[:, 0], [0.1585, 0.8415])
    answer = parts[-1]
    assert ends.mean() == pytest.approx(answer.kappa[0], abs=0.2 * answer.std[0])


def test_chains_are_not_normal_where_the_posterior_is_not():
    """Log ratios of the weights of a linear blend have long tails to one side."""
    draws = draws_of(*asked(form="linear"))
    skewness = np.abs(stats.skew(draws[:, 1:]))
    assert skewness.max() > 0.4  # of a normal: .04


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
def test_fractions_stay_where_they_are_confined_to():
    bayesian = draws_of(*asked(kappa=0.01, prior="simulations"))
    assert (bayesian[:, 0] > 0.0).all()
    free = asked(kappa=0.01, prior="simulations", inference="frequentist")
    assert (draws_of(*free)[:, 0] < 0.0).any()
    free[0].bounded = True
    assert (draws_of(*free)[:, 0] >= 0.0).all()


def test_three_fractions_are_positive_and_sum_to_one():
    """Wherever the answer has its kappa: the others share the rest as they did."""
    rng = np.random.default_rng(3)
    y = np.repeat([0, 1, 2], 3000)
    simulation = np.tile(np.repeat([0, 1, 2], 1000), 3)
    X = rng.normal(1.1 * (y - 1) + 0.1 * (simulation - 1), 0.6)[:, None]
    target = rng.normal(rng.choice([-1.1, 0.05, 1.0], 3000, p=[0.5, 0.4, 0.1]), 0.6)
    inference = BayesianInference("laplace")
    tamm = BinnedTopicTAMM(bins=8, inference=inference, random_state=0)
    tamm.fit(X, y, simulation=simulation)
    table, _ = tamm.tabulate(target[:, None], None, None)
    model, answer = tamm.solve(table, np.array([0.683]))
    draws = draws_of(tamm, table, model, answer, 500)
    kappa = model.fractions(draws)[:, 2]
    assert kappa.mean() == pytest.approx(answer.kappa[0], abs=0.3 * answer.std[0])
    assert kappa.std() == pytest.approx(answer.std[0], rel=0.2)
    larger = np.linspace(0.8, 0.9, 50)[None]
    moved = replace(answer, curve_kappa=larger, curve_log_density=np.zeros_like(larger))
    fractions = model.fractions(draws_of(tamm, table, model, moved, 500))
    assert (fractions > 0.0).all()
    assert 0.8 < fractions[:, 2].min() < fractions[:, 2].max() < 0.9
    share = fractions[:, 0] / (fractions[:, 0] + fractions[:, 1])
    before = model.fractions(draws)
    np.testing.assert_allclose(share, before[:, 0] / before[:, :2].sum(axis=1))
