"""Calibration of the posterior: uniform ranks when right, a verdict when too narrow.

Right posteriors pass at p > 1e-4, the false-alarm rate of each test; narrow ones are
rejected below it.
"""

import numpy as np
import pytest

from sktamm import NeuralRatioTAMM
from sktamm.diagnostics import simulation_based_calibration
from sktamm.diagnostics._sbc import uniformity
from sktamm.exceptions import InvalidInputError
from sktamm.inference import BayesianInference

ALARM = 1e-4


class Narrow(BayesianInference):
    """Posterior of half the width around its mean."""

    def _laplace(self, *arguments):
        answer = super()._laplace(*arguments)
        mean = answer.kappa[:, None]
        halved = mean + 0.5 * (answer.curve_kappa - mean)
        return type(answer)(**(vars(answer) | {"curve_kappa": halved}))


def test_the_laplace_posterior_is_calibrated(fitted):
    result = simulation_based_calibration(fitted, size=2000, n_experiments=250)
    assert result.p_value > ALARM
    assert result.n_failed == 0
    assert result.ranks.shape == result.kappa.shape == (250,)
    assert result.ranks.min() >= 0
    assert result.ranks.max() <= result.n_draws == 99
    both = 2.0 * min(result.p_value_chi2, result.p_value_ks)
    assert result.p_value == min(1.0, both)


def test_a_narrow_posterior_is_detected(tools):
    narrow = tools["make"](inference=Narrow("laplace"))
    result = simulation_based_calibration(narrow, size=2000, n_experiments=250)
    assert result.p_value < ALARM
    ends = (result.ranks < 10) | (result.ranks >= 90)
    assert ends.mean() > 0.3  # one fifth when right


def test_draws_are_ranked_too(tools):
    hmc = BayesianInference("hmc", n_chains=4, min_ess=60.0)
    tamm = tools["make"](inference=hmc)
    result = simulation_based_calibration(tamm, size=1000, n_experiments=25, n_draws=49)
    assert result.p_value > ALARM
    assert result.n_draws == 49


def test_the_same_seed_gives_the_same_ranks(fitted):
    one, two = (
        simulation_based_calibration(fitted, size=500, n_experiments=20)
        for _ in range(2)
    )
    np.testing.assert_array_equal(one.ranks, two.ranks)


def test_uniformity_sees_dips_and_shifts():
    rng = np.random.default_rng(0)
    right = rng.integers(0, 100, 500)
    wide = np.floor(100 * rng.beta(2.0, 2.0, 500)).astype(int)
    shifted = np.floor(100 * rng.beta(1.3, 1.0, 500)).astype(int)
    assert min(uniformity(right, 99, rng)) > ALARM
    assert uniformity(wide, 99, rng)[0] < ALARM
    assert uniformity(shifted, 99, rng)[1] < 1e-2


def test_what_has_no_posterior_is_refused(fitted, linear, tools):
    with pytest.raises(InvalidInputError, match="Bayesian"):
        simulation_based_calibration(linear)
    with pytest.raises(InvalidInputError, match="n_draws"):
        simulation_based_calibration(fitted, n_draws=0)
    X, y, ids = tools["simulate"](3, 500, 0)
    unbinned = NeuralRatioTAMM("logistic", inference="bayesian", random_state=0)
    unbinned.fit(X, y, simulation=ids)
    with pytest.raises(InvalidInputError, match="binned"):
        simulation_based_calibration(unbinned)
