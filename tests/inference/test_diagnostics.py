"""Diagnostics against a referee (arviz 0.23.4) and against theory."""

import numpy as np
import pytest
from monte_carlo_errors import mcse_mean, mcse_quantile, mcse_sd

from sktamm.inference._diagnostics import (
    ess_bulk,
    ess_mean,
    ess_quantile,
    ess_tail,
    rhat,
)


def autoregression(seed, n_datasets, n_chains, n_draws, phi):
    """Stationary AR(1) chains with unit variance."""
    draws = np.random.default_rng(seed).normal(size=(n_datasets, n_chains, n_draws))
    for t in range(1, n_draws):
        step = np.sqrt(1.0 - phi**2) * draws[..., t]
        draws[..., t] = phi * draws[..., t - 1] + step
    return draws


#: rhat; ess bulk, tail, mean, median; mcse mean, sd, quantile 0.16 (arviz 0.23.4)
REFEREE = {
    (4, 100, 0.5, 12): [
        1.00631216605,
        147.926498581,
        260.228268065,
        149.00494384,
        226.379433419,
        0.0812530548445,
        0.0481025071934,
        0.0795104347285,
    ],
    (4, 101, -0.6, 12): [
        1.00060595084,
        1040.82399653,
        460.474608511,
        1040.82399653,
        1040.82399653,
        0.0316234446531,
        0.0450427218325,
        0.0737385977165,
    ],
    (3, 12, 0.5, 12): [
        1.29113015084,
        14.4619213621,
        26.1290322581,
        13.4437326467,
        17.1655629139,
        0.242984521977,
        0.121289756093,
        0.414884825975,
    ],
    (2, 400, 0.97, 12): [
        1.21083981158,
        9.33221633749,
        56.8191538093,
        9.18882724598,
        19.4943527795,
        0.26975280417,
        0.0803004751165,
        0.216862686232,
    ],
    (4, 250, 0.2, 1): [
        1.00303605007,
        672.765232249,
        949.618861765,
        672.947660443,
        719.271822175,
        0.0377184496668,
        0.023626228846,
        0.05,
    ],
}


@pytest.mark.parametrize("case", REFEREE)
def test_agrees_with_the_referee(case):
    n_chains, n_draws, phi, decimals = case
    draws = autoregression(0, 1, n_chains, n_draws, phi).round(decimals)
    ours = [
        rhat(draws),
        ess_bulk(draws),
        ess_tail(draws),
        ess_mean(draws),
        ess_quantile(draws, 0.5),
        mcse_mean(draws),
        mcse_sd(draws),
        mcse_quantile(draws, 0.16),
    ]
    np.testing.assert_allclose(np.concatenate(ours), REFEREE[case], rtol=1e-9)


@pytest.mark.parametrize("phi", [-0.3, 0.0, 0.5, 0.9])
def test_sample_size_of_an_autoregression(phi):
    """ESS = m n (1 - phi) / (1 + phi), over 40 independent datasets."""
    ess = ess_mean(autoregression(1, 40, 4, 2000, phi))
    expected = 8000 * (1.0 - phi) / (1.0 + phi)
    # The truncated sum is biased by a few per cent; the rest is scatter.
    error = ess.std(ddof=1) / np.sqrt(len(ess))
    assert abs(ess.mean() - expected) < 5.0 * error + 0.05 * expected


def test_every_dataset_is_judged_alone():
    draws = autoregression(2, 5, 4, 60, 0.5)
    for function in (rhat, ess_bulk, ess_tail, mcse_mean, mcse_sd):
        alone = np.concatenate([function(d[None]) for d in draws])
        np.testing.assert_allclose(function(draws), alone, rtol=1e-12)


def test_rhat_sees_a_shifted_and_a_wider_chain():
    draws = autoregression(3, 2, 4, 400, 0.0)
    assert rhat(draws).max() < 1.01
    draws[0, 0] += 2.0
    draws[1, 0] *= 4.0
    assert rhat(draws).min() > 1.05


def test_ranks_ignore_monotone_transformations():
    draws = autoregression(4, 3, 4, 100, 0.3)
    np.testing.assert_allclose(ess_bulk(np.exp(5.0 * draws)), ess_bulk(draws))


def test_error_of_the_mean_covers():
    """The scatter of 400 means equals the stated error, both within 3.5 sigma."""
    draws = autoregression(5, 400, 4, 400, 0.5)
    pull = draws.mean(axis=(1, 2)) / mcse_mean(draws)
    assert abs(pull.std() - 1.0) < 3.5 / np.sqrt(2 * 400) + 0.03


def test_constant_draws_give_no_rhat():
    draws = np.ones((1, 4, 20))
    assert np.isnan(rhat(draws)).all()
    np.testing.assert_array_equal(ess_mean(draws), 80.0)
