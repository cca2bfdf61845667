"""How far a simulation lies from a prior that is made of the others.

The scale of a prior is chosen so that intervals cover: it allows for the error of a
covariance learned from few simulations. What one more simulation does is known better,
each of them left out in turn: with amplitudes z_k of the simulation k under the prior
of the others, of r_k directions,

    ln phi = mean_k [ ln |z_k|^2 - E ln (r_k F(r_k, nu)) ],

F being a ratio of chi2, the distribution of |z|^2 / r under a Student t of nu degrees
(chi2 / r under a Gaussian). Statistical noise of the templates is taken from |z|^2, but
no more than half, since smoothing has done the like. P-values of the blend take phi for
the prior variance, averaged over the error of ln phi. It is for priors with a shrunk
covariance: that of the bare span of the simulations knows directions which nothing but
the noise of these K fills, and a left-out one does not.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.special import digamma

from sktamm._numerics import FloatArray
from sktamm.mixture._features import Features

__all__ = ["NO_SCALES", "Scales", "left_out_scales"]

#: Possible values of phi and their probabilities, shape (n_nodes,) each.
Scales = tuple[FloatArray, FloatArray]
NO_SCALES: Scales = (np.ones(1), np.ones(1))

# Rules of thumb: a spread of fewer logarithms is none; a dozen simulations and some
# thousand rows know phi better than its use needs; the error takes seven nodes.
_FEWEST = 4
_MOST_LEFT_OUT = 12
_MOST_ROWS = 4000
_LEAST_SIGNAL = 0.5
_NODES = 7


def left_out_scales(
    features: Features,
    directions_of: Callable[[Features], FloatArray],
    degrees_of: Callable[[int], float],
) -> Scales:
    """Variance of left-out simulations in units of the prior variance.

    Parameters
    ----------
    features : Features
        Log densities of a class and smooth functions.
    directions_of : callable
        Whitened orthogonal directions of the prior made of some features.
    degrees_of : callable
        Degrees of freedom of the prior of so many densities; infinite for a Gaussian.

    Returns
    -------
    scales : tuple of ndarray
        The factor phi, with its error; one for fewer than four simulations.
    """
    size = features.n_densities
    if size < _FEWEST:
        return NO_SCALES
    features = _thinned(features)
    left_out = np.linspace(0, size - 1, min(size, _MOST_LEFT_OUT)).astype(int)
    logs, squares, noises = [], 0.0, 0.0
    for k in left_out:
        others = _without(features, k)
        directions = directions_of(others)
        if directions.shape[1] == 0:
            continue
        axes = others.weighted(directions)
        shift = np.full(size, -1.0 / (size - 1.0))
        shift[k] = 1.0
        shift = np.pad(shift, (0, features.n_features - size))
        moved = features.weighted(shift[:, None])[:, 0]
        length = (axes**2).sum(axis=0)
        z = (axes.T @ moved) / length
        usual = _expected_log(z.size, degrees_of(size - 1))
        logs.append(np.log(max(z @ z, np.finfo(float).tiny)) - usual)
        squares += z @ z
        noises += ((axes / length) ** 2).sum(axis=1) @ _noise(features, k)
    if len(logs) < _FEWEST:
        return NO_SCALES
    signal = max(1.0 - noises / max(squares, np.finfo(float).tiny), _LEAST_SIGNAL)
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    error = np.std(logs, ddof=1) / np.sqrt(len(logs))
    scales = signal * np.exp(np.mean(logs) + error * nodes)
    return scales, weights / weights.sum()


def _noise(features: Features, k: int) -> FloatArray:
    """Variance of weighted log densities of a simulation against the mean of others."""
    variance, weight = features.relative_variance, features.reference_weight
    if variance is None:
        return np.zeros_like(weight)
    others = (variance.sum(axis=1) - variance[:, k]) / (features.n_densities - 1.0) ** 2
    return np.maximum(weight, 0.0) * (variance[:, k] + others)


def _expected_log(r: int, degrees: float) -> float:
    """E ln of r F(r, degrees)."""
    mean = np.log(2.0) + digamma(0.5 * r)
    if np.isfinite(degrees):
        mean += np.log(0.5 * degrees) - digamma(0.5 * degrees)
    return float(mean)


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
