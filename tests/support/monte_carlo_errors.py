"""Monte Carlo standard errors of draws (n_datasets, n_chains, n_draws).

Vehtari, Gelman, Simpson, Carpenter and Buerkner, arXiv:1903.08008.
"""

import numpy as np
from scipy.stats import beta, norm

from sktamm.inference._diagnostics import ess_mean, ess_quantile


def mcse_mean(draws):
    """Monte Carlo standard error of the mean."""
    return draws.std(axis=(1, 2), ddof=1) / np.sqrt(ess_mean(draws))


def mcse_sd(draws):
    """Monte Carlo error of the standard deviation, by the delta method."""
    square = (draws - draws.mean(axis=(1, 2), keepdims=True)) ** 2
    variance = square.mean(axis=(1, 2))
    spread = (square**2).mean(axis=(1, 2)) - variance**2
    return np.sqrt(spread / ess_mean(square) / variance / 4.0)


def mcse_quantile(draws, probability):
    """Monte Carlo standard error of a quantile.

    Half the distance between the order statistics that bound the central 68.3 % of
    the beta distribution of the quantile's probability.
    """
    ess = ess_quantile(draws, probability)[:, None]
    shape = ess * probability + 1.0, ess * (1.0 - probability) + 1.0
    bounds = beta.ppf(norm.cdf([-1.0, 1.0]), *shape)
    ordered = np.sort(draws.reshape(len(draws), -1), axis=1)
    size = ordered.shape[1]
    low = np.maximum(np.floor(bounds[:, :1] * size).astype(int) - 1, 0)
    high = np.minimum(np.ceil(bounds[:, 1:] * size).astype(int) - 1, size - 1)
    upper = np.take_along_axis(ordered, high, axis=1)
    return 0.5 * (upper - np.take_along_axis(ordered, low, axis=1))[:, 0]
