"""Exact densities of the Gaussian study, of any number of features.

    log p(x) = log N(x; mean, covariance) - sum_blocks log P(block in [-2, 2]^2)

inside the window. Covariances are block diagonal, so that the window holds the product
of the probabilities of its blocks. That of a pair is one integral over a conditional,

    P = int_{-2}^{2} N(x_0) [Phi(u(x_0)) - Phi(l(x_0))] dx_0,

with u and l the ends of the window in units of the width of x_1 at given x_0.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_ndtr, logsumexp

from sktamm._numerics import FloatArray
from sktamm.datasets._gaussian_parameters import check_block_diagonal, feature_blocks
from sktamm.datasets._truncated_normal import WINDOW, check_covariances
from sktamm.exceptions import InvalidInputError

__all__ = ["gaussian_log_density"]


_LOG_2PI = float(np.log(2 * np.pi))

# Gauss-Legendre on panels of six of the narrowest widths: exact to about 1e-14.
_N_NODES = 32
_WIDTHS_PER_PANEL = 6.0


def gaussian_log_density(
    X: ArrayLike, mean: ArrayLike, covariance: ArrayLike
) -> FloatArray:
    """Exact log densities of normals truncated to [-2, 2] in every feature.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_features)
        Events.
    mean : array-like of shape (n, n_features)
        Means before truncation.
    covariance : array-like of shape (n, n_features, n_features)
        Covariances before truncation: any for one or two features, block diagonal with
        the blocks (0, 1), (2, 3), ... for more.

    Returns
    -------
    log_density : ndarray of shape (n_rows, n)
        Log density of every event under every normal; -inf outside the window.

    Examples
    --------
    >>> from sktamm.datasets import gaussian_log_density
    >>> gaussian_log_density([[0.0], [3.0]], [[0.0]], [[[1.0]]]).round(4)
    array([[-0.8724],
           [   -inf]])
    """
    rows, means, covariances = _check(X, mean, covariance)
    low, high = WINDOW
    outside = ((rows < low) | (rows > high)).any(axis=1)
    root = np.linalg.cholesky(covariances)
    log_norm = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    log_norm += 0.5 * means.shape[1] * _LOG_2PI + _log_window(means, covariances)
    log_density = np.empty((len(rows), len(means)))
    for k, inverse_root in enumerate(np.linalg.inv(root)):
        z = (rows - means[k]) @ inverse_root.T
        log_density[:, k] = -0.5 * np.einsum("ij,ij->i", z, z) - log_norm[k]
    log_density[outside] = -np.inf
    return log_density


def _check(
    X: ArrayLike, mean: ArrayLike, covariance: ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The arrays as floats, of shapes that agree."""
    rows = np.asarray(X, dtype=float)
    means = np.asarray(mean, dtype=float)
    covariances = np.asarray(covariance, dtype=float)
    n, d = (*means.shape, 0, 0)[:2]
    if means.ndim != 2 or d == 0 or rows.shape[1:] != (d,):
        raise InvalidInputError(
            "X must have the shape (n_rows, n_features) and mean the shape "
            f"(n, n_features); got {rows.shape} and {means.shape}."
        )
    if covariances.shape != (n, d, d):
        raise InvalidInputError(
            f"covariance must have the shape (n, n_features, n_features), here "
            f"{(n, d, d)}; got {covariances.shape}."
        )
    for name, value in (("X", rows), ("mean", means), ("covariance", covariances)):
        if not np.isfinite(value).all():
            raise InvalidInputError(
                f"{name} must hold finite numbers; at least one is not."
            )
    check_covariances("covariance", covariances)
    check_block_diagonal("covariance", covariances)
    return rows, means, covariances


def _log_window(means: FloatArray, covariances: FloatArray) -> FloatArray:
    """Log probabilities of the window, shape (n,)."""
    total = np.zeros(len(means))
    for block in feature_blocks(means.shape[1]):
        mean, covariance = means[:, block], covariances[:, block, block]
        if mean.shape[1] == 1:
            total += _log_interval(mean[:, 0], np.sqrt(covariance[:, 0, 0]))
        else:
            total += _log_pair(mean, covariance)
    return total


def _log_pair(mean: FloatArray, covariance: FloatArray) -> FloatArray:
    """Log probabilities of the window for pairs of features, shape (n,)."""
    if len(mean) == 0:
        return np.zeros(0)
    x, weight = _nodes(np.sqrt(np.linalg.eigvalsh(covariance).min()))
    variance, slope = covariance[:, :1, 0], covariance[:, :1, 1] / covariance[:, :1, 0]
    d0 = x - mean[:, :1]
    width = np.sqrt(covariance[:, 1:, 1] - slope * covariance[:, :1, 1])
    log_0 = -0.5 * (d0**2 / variance + np.log(variance) + _LOG_2PI)
    log_1 = _log_interval(mean[:, 1:] + slope * d0, width)
    return logsumexp(log_0 + log_1, b=weight, axis=1)


def _nodes(narrowest: float) -> tuple[FloatArray, FloatArray]:
    """Nodes and weights over the window that resolve a density of that width."""
    low, high = WINDOW
    n_panels = int(np.ceil((high - low) / (_WIDTHS_PER_PANEL * narrowest)))
    node, weight = np.polynomial.legendre.leggauss(_N_NODES)
    half_width = (high - low) / n_panels / 2
    centre = low + half_width * (2 * np.arange(n_panels)[:, None] + 1)
    return (centre + half_width * node).ravel(), np.tile(half_width * weight, n_panels)


def _log_interval(mean: FloatArray, sigma: FloatArray) -> FloatArray:
    """Log probability of the window for one feature, precise far from it too."""
    # Mirrored so that the mean is not below the window: both ends in the lower tail.
    low, high = WINDOW
    distance = np.abs(mean - (low + high) / 2)
    upper = ((high - low) / 2 - distance) / sigma
    lower = (-(high - low) / 2 - distance) / sigma
    log_upper = log_ndtr(upper)
    return log_upper + np.log1p(-np.exp(log_ndtr(lower) - log_upper))
