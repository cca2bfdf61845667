"""How far a simulation lies from a prior that is made of the others.

The amplitudes z_kj of simulation k under the prior of the others, which the noise of
the templates blurs by n_kj, are distributed as

    z_kj ~ N(0, phi / s_k + n_kj),    s_k ~ Gamma(nu/2, nu/2) under a Student t prior,

and s_k = 1 under a Gaussian one. P-values of the blend take phi for the prior variance,
averaged over its posterior, flat in ln phi beforehand. Simulations that differ by
nothing but noise have a small phi. It is for priors with a shrunk covariance: that of
the bare span knows directions which nothing but the noise of these K fills.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np
from scipy import special, stats
from scipy.interpolate import CubicSpline

from sktamm._numerics import FloatArray, spread_rows
from sktamm.mixture._features import Features

__all__ = ["NO_SCALES", "Scales", "gamma_nodes", "left_out_scales"]

#: Possible values of phi and their probabilities, shape (n_nodes,) each.
Scales = tuple[FloatArray, FloatArray]
NO_SCALES: Scales = (np.ones(1), np.ones(1))

# Rules of thumb: a spread of fewer logarithms is none; a dozen simulations and some
# thousand rows know phi better than its use needs; its posterior takes seven values,
# from a grid that no phi of simulations reaches the ends of; scales of a Student t out
# to a share of 1e-13, which no p-value sees.
_FEWEST = 4
_MOST_LEFT_OUT = 12
_MOST_ROWS = 4000
_NODES = 7
_LOG_PHI = np.linspace(np.log(0.01), np.log(30.0), 40)
_FINER = 10
_N_SCALES = 160
_SMALLEST_TAIL = 1e-13


def left_out_scales(
    features: Features,
    directions_of: Callable[[Features], FloatArray],
    degrees_of: Callable[[int], float],
) -> Scales:
    """Variance of left-out simulations in units of the prior variance."""
    size = features.n_densities
    if size < _FEWEST:
        return NO_SCALES
    features = _thinned(features)
    left_out = spread_rows(size, _MOST_LEFT_OUT)
    found = [_amplitudes(features, k, directions_of) for k in left_out]
    found = [(values, noise) for values, noise in found if values.size]
    if len(found) < _FEWEST:
        return NO_SCALES
    degrees = degrees_of(size - 1)
    log_p = np.sum([_log_likelihood(*part, degrees) for part in found], axis=0)
    fine = np.linspace(_LOG_PHI[0], _LOG_PHI[-1], _FINER * _LOG_PHI.size)
    p = special.softmax(CubicSpline(_LOG_PHI, log_p)(fine))
    middle = np.cumsum(p) - 0.5 * p
    shares = (np.arange(_NODES) + 0.5) / _NODES
    return np.exp(np.interp(shares, middle, fine)), np.full(_NODES, 1.0 / _NODES)


def _amplitudes(
    features: Features, k: int, directions_of: Callable[[Features], FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """A simulation along the directions of the others, and its noise there."""
    size = features.n_densities
    others = _without(features, k)
    axes = _dual(others.weighted(directions_of(others)))
    shift = np.full(size, -1.0 / (size - 1.0))
    shift[k] = 1.0
    shift = np.pad(shift, (0, features.n_features - size))
    moved = features.weighted(shift[:, None])[:, 0]
    return axes.T @ moved, (axes**2).T @ _noise(features, k)


def _dual(axes: FloatArray) -> FloatArray:
    """Columns whose products with independent axes (n_rows, n) are the unit matrix."""
    norm = np.linalg.norm(axes, axis=0)
    unit = axes / norm
    return np.asarray(unit @ np.linalg.inv(unit.T @ unit) / norm)


def _log_likelihood(
    values: FloatArray, noise: FloatArray, degrees: float
) -> FloatArray:
    """Of ln phi on the grid, for one left-out simulation."""
    s, weight = np.ones(1), np.ones(1)
    if np.isfinite(degrees):
        s, weight = gamma_nodes(0.5 * degrees)
    # Sums over a long last axis are slow where the summed one is short.
    variance = np.exp(_LOG_PHI)[:, None] / s + noise[:, None, None]
    squares = values[:, None, None] ** 2
    log_p = -0.5 * (np.log(variance) + squares / variance).sum(axis=0)
    return np.asarray(special.logsumexp(log_p, b=weight, axis=1))


@lru_cache(maxsize=64)
def gamma_nodes(shape: float) -> tuple[FloatArray, FloatArray]:
    """Nodes and weights (n_nodes,) of a Gamma of mean one, even in its log."""
    ends = np.log(stats.gamma.ppf(np.array([_SMALLEST_TAIL, 1.0 - 1e-9]), shape))
    log_s = np.linspace(ends[0], ends[1], _N_SCALES) - np.log(shape)
    density = np.exp(shape * (log_s - np.exp(log_s)))
    nodes, weights = np.exp(log_s), density / density.sum()
    nodes.flags.writeable = weights.flags.writeable = False
    return nodes, weights


def _noise(features: Features, k: int) -> FloatArray:
    """Variance of weighted log densities of a simulation against the mean of others."""
    variance, weight = features.relative_variance, features.reference_weight
    if variance is None:
        return np.zeros_like(weight)
    others = (variance.sum(axis=1) - variance[:, k]) / (features.n_densities - 1.0) ** 2
    return np.maximum(weight, 0.0) * (variance[:, k] + others)


def _without(features: Features, k: int) -> Features:
    """Features without one of the log densities."""
    variance = features.relative_variance
    reference = np.delete(features.reference, k, axis=1)
    return replace(
        features,
        rows=reference,
        reference=reference,
        n_densities=features.n_densities - 1,
        relative_variance=None if variance is None else np.delete(variance, k, axis=1),
    )


def _thinned(features: Features) -> Features:
    """Every so many reference rows of a large sample."""
    step = max(1, features.reference_weight.size // _MOST_ROWS)
    if step == 1:
        return features
    weight = features.reference_weight[::step]
    reference = features.reference[::step]
    return replace(
        features,
        rows=reference,
        reference=reference,
        reference_weight=weight / weight.sum(),
        relative_variance=None,
    )
