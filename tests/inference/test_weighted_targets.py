"""Weighted events of the target: Bayesian errors are the scatter of the estimates.

A prescale keeps one in ten events of a region with the weight ten. A common factor for
all events, sum w^2 / sum w, is right only if the weights tell nothing of the classes.
"""

import numpy as np
import pytest

from sktamm import BinnedTopicTAMM, NeuralRatioTAMM
from sktamm.inference import BayesianInference, FrequentistInference
from sktamm.ratios import DensityRatio

KAPPA = 0.3


def _events(n, rng):
    signal = rng.random(n) < KAPPA
    return np.where(signal, rng.normal(1.2, 0.8, n), rng.normal(0.0, 1.0, n))


def _prescaled(n_datasets, n, region, rng):
    """Events, weights and datasets of prescaled samples of n events each."""
    X = _events(n_datasets * n, rng)
    dataset = np.repeat(np.arange(n_datasets), n)
    weight = np.ones(X.size)
    if region == "classes alike":
        inside = rng.random(X.size) < 0.5
    else:
        inside = X > 1.0 if region == "signal" else X < 0.3
    weight[inside] = 10.0
    kept = ~inside | (rng.random(X.size) < 0.1)
    return X[kept, None], weight[kept], dataset[kept]


def _simulated(rng, n=40_000):
    y = np.repeat([0, 1], n)
    X = np.where(y == 1, rng.normal(1.2, 0.8, 2 * n), rng.normal(0.0, 1.0, 2 * n))
    return X[:, None], y


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SingleSimulationWarning")
@pytest.mark.parametrize("region", ["signal", "background", "classes alike"])
@pytest.mark.parametrize(
    "inference", [BayesianInference(), FrequentistInference()], ids=["bayes", "profile"]
)
def test_errors_of_prescaled_bins_are_the_scatter(region, inference):
    rng = np.random.default_rng(1)
    tamm = BinnedTopicTAMM(bins=[np.linspace(-3, 4, 21)], inference=inference)
    tamm.fit(*_simulated(rng, 200_000))
    X, weight, dataset = _prescaled(150, 3000, region, rng)
    result = tamm.infer(X, dataset=dataset, sample_weight=weight)
    # The scatter of 150 estimates is known to 6 %; errors vary by a few per cent.
    scatter, error = result.kappa.std(ddof=1), np.sqrt((result.std**2).mean())
    assert error == pytest.approx(scatter, rel=0.2)
    assert abs(result.kappa.mean() - KAPPA) < 4 * scatter / np.sqrt(150)
    low, high = result.interval[:, :, 0].T
    covered = ((low < KAPPA) & (high > KAPPA)).mean()
    assert abs(covered - 0.683) < 3.5 * np.sqrt(0.683 * 0.317 / 150)


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
@pytest.mark.parametrize("region", ["signal", "background"])
def test_errors_of_prescaled_events_are_the_scatter(region):
    rng = np.random.default_rng(2)
    tamm = NeuralRatioTAMM(
        DensityRatio("logistic", n_members=1), propagate=False, random_state=0
    )
    tamm.fit(*_simulated(rng))
    X, weight, dataset = _prescaled(60, 2000, region, rng)
    result = tamm.infer(X, dataset=dataset, sample_weight=weight)
    scatter, error = result.kappa.std(ddof=1), np.sqrt((result.std**2).mean())
    assert error == pytest.approx(scatter, rel=0.3)  # known to 9 %


def test_equal_weights_count_as_before():
    rng = np.random.default_rng(3)
    X, y = _simulated(rng, 20_000)
    simulation = np.arange(y.size) % 4
    tamm = BinnedTopicTAMM(bins=[np.linspace(-3, 4, 15)]).fit(
        X, y, simulation=simulation
    )
    target = _events(2000, rng)[:, None]
    once = tamm.infer(target)
    for factor in (0.001, 3.0):
        again = tamm.infer(target, sample_weight=np.full(len(target), factor))
        np.testing.assert_allclose(again.std, once.std, rtol=1e-6)
        np.testing.assert_allclose(again.interval, once.interval, rtol=1e-5)
