"""Templates without the noise of the finite simulation.

The log of a template is a smooth function of the bins plus structure plus noise. A
polynomial f of the bins is fitted with the inverse statistical variances 1/v_i as
weights, its degree chosen by Mallows' C_p = chi2 + 2 p, and what it leaves is shrunk
by the positive-part James-Stein factor,

    l' = f + lambda (l - f),    lambda = max(0, 1 - ndf / chi2),

which is zero where the rest is noise and one where it is real structure. The mean of
the simulations of a class is treated first, then the deviation of each from it, with
cubic or higher polynomials so that real differences of few-event simulations survive.
Without it a class with noisy templates loses events to a class with smooth ones.

What noise remains is common to many bins. A smooth function of the bins, such as the
score of kappa, feels as much of it as of the noise before, so the variances that belong
to smoothed templates are still those of the raw ones.

References: Mallows (1973); James and Stein (1961).
"""

import numpy as np

from sktamm._numerics import FloatArray
from sktamm.components._basis import PolynomialBasis

__all__ = ["smooth_templates"]

_DEGREES = range(1, 9)
_BINS_PER_FUNCTION = 3
_LOWEST_DEVIATION = 3


def smooth_templates(
    probability: FloatArray,
    relative_variance: FloatArray,
    source_class: np.ndarray,
    coordinates: FloatArray,
) -> FloatArray:
    """Remove noise from the templates of every class.

    Parameters
    ----------
    probability : ndarray of shape (n_sources, n_bins)
        Positive probabilities.
    relative_variance : ndarray of shape (n_sources, n_bins)
        Their squared relative statistical errors.
    source_class : ndarray of int, shape (n_sources,)
        Class of each source.
    coordinates : ndarray of shape (n_bins, n_features)
        Positions of the bins in [-1, 1].

    Returns
    -------
    probability : ndarray of shape (n_sources, n_bins)
        Smoothed probabilities; rows sum to one.
    """
    designs = _designs(coordinates)
    smooth = np.empty_like(probability)
    for c in np.unique(source_class):
        rows = source_class == c
        smooth[rows] = _smooth_class(
            np.log(probability[rows]), relative_variance[rows], designs
        )
    return smooth / smooth.sum(axis=1, keepdims=True)


def _designs(coordinates: FloatArray) -> list[FloatArray]:
    """Polynomials with a constant, of every degree that leaves enough bins."""
    bins = coordinates.shape[0]
    designs = [np.ones((bins, 1))]
    for degree in _DEGREES:
        values = PolynomialBasis(degree).evaluate(coordinates)
        if _BINS_PER_FUNCTION * (values.shape[1] + 1) > bins:
            break
        designs.append(np.hstack([np.ones((bins, 1)), values]))
    return designs


def _smooth_class(
    logs: FloatArray, variance: FloatArray, designs: list[FloatArray]
) -> FloatArray:
    """Smooth the mean log template of a class, then the deviations from it."""
    size = logs.shape[0]
    mean, mean_variance = logs.mean(axis=0), variance.mean(axis=0) / size
    centre = _shrink(mean[None], mean_variance, np.ones(1), designs)
    if size == 1:
        return np.exp(centre)
    typical = variance.mean(axis=0)
    # Var(l_k - mean) in units of the typical variance, sizes of samples allowed for
    own = variance.mean(axis=1) / typical.mean()
    units = own * (1.0 - 2.0 / size) + 1.0 / size
    first = min(_LOWEST_DEVIATION, len(designs) - 1)
    rest = _shrink(logs - mean, typical, units, designs[first:])
    return np.exp(centre + rest)


def _shrink(
    curves: FloatArray,
    variance: FloatArray,
    units: FloatArray,
    designs: list[FloatArray],
) -> FloatArray:
    """Fit and shrink curves k of variance ``units[k] * variance``."""
    root = 1.0 / np.sqrt(variance)
    weighted = curves * root
    fits = [_fit(weighted, root, design) for design in designs]
    chi2 = np.array([((weighted - f) ** 2).sum(axis=1) / units for f in fits])
    sizes = np.array([design.shape[1] for design in designs])
    best = int(np.argmin(chi2.sum(axis=1) + 2.0 * len(curves) * sizes))
    degrees = curves.shape[1] - sizes[best]
    keep = np.maximum(0.0, 1.0 - degrees / np.maximum(chi2[best], 1e-300))
    return (fits[best] + keep[:, None] * (weighted - fits[best])) / root


def _fit(weighted: FloatArray, root: FloatArray, design: FloatArray) -> FloatArray:
    """Weighted least squares fit of every curve."""
    axes = np.linalg.qr(root[:, None] * design)[0]
    return (weighted @ axes) @ axes.T
