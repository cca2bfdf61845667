"""Templates without the noise of the finite simulation.

The log of a template is a smooth function of the bins plus structure plus noise. A
polynomial f of the bins is fitted with the inverse statistical variances 1/v_i as
weights, its degree chosen by Mallows' C_p = chi2 + 2 p, and what it leaves is shrunk
by the positive-part James-Stein factor,

    l' = f + lambda (l - f),    lambda = max(0, 1 - ndf / chi2),

which is zero where the rest is noise and one where it is real structure. The mean of
the simulations of a class is treated first, then their deviations from it, with one
factor for all. Without it a class with noisy templates loses events to a class with
smooth ones.

References: Mallows (1973); James and Stein (1961).
"""

from dataclasses import dataclass

import numpy as np

from sktamm._numerics import FloatArray
from sktamm.components._basis import PolynomialBasis

__all__ = ["smooth_templates"]

_DEGREES = range(1, 9)
_BINS_PER_FUNCTION = 3


def smooth_templates(
    probability: FloatArray,
    relative_variance: FloatArray,
    source_class: np.ndarray,
    coordinates: FloatArray,
) -> tuple[FloatArray, FloatArray]:
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
    probability, relative_variance : ndarray of shape (n_sources, n_bins)
        Smoothed probabilities, and the squared relative errors that remain.
    """
    designs = _designs(coordinates)
    smooth = np.empty_like(probability)
    variance = np.empty_like(relative_variance)
    for c in np.unique(source_class):
        rows = source_class == c
        smooth[rows], variance[rows] = _smooth_class(
            np.log(probability[rows]), relative_variance[rows], designs
        )
    return smooth / smooth.sum(axis=1, keepdims=True), variance


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
) -> tuple[FloatArray, FloatArray]:
    """Smooth the mean log template of a class, then the deviations from it."""
    size = logs.shape[0]
    mean, mean_variance = logs.mean(axis=0), variance.mean(axis=0) / size
    centre = _shrink(mean[None], mean_variance, designs, 1)
    if size == 1:
        return np.exp(centre.values), centre.remaining * variance
    rest = _shrink(logs - mean, variance.mean(axis=0), designs, size - 1)
    kept = (centre.remaining + (size - 1) * rest.remaining) / size
    return np.exp(centre.values + rest.values), kept * variance


@dataclass(frozen=True, eq=False)
class _Smooth:
    """Smoothed curves, and the share of the noise variance that remains in each bin."""

    values: FloatArray
    remaining: FloatArray


def _shrink(
    curves: FloatArray, variance: FloatArray, designs: list[FloatArray], number: int
) -> _Smooth:
    """Fit and shrink curves of equal variance, worth ``number`` independent ones."""
    root = 1.0 / np.sqrt(variance)
    fits = [_fit(curves, root, design) for design in designs]
    sizes = [design.shape[1] for design in designs]
    cost = [f[1] + 2.0 * number * p for f, p in zip(fits, sizes, strict=True)]
    best = int(np.argmin(cost))
    fitted, chi2, leverage = fits[best]
    degrees = number * (curves.shape[1] - sizes[best])
    keep = max(0.0, 1.0 - degrees / chi2) if chi2 > 0 else 0.0
    values = fitted + keep * (curves - fitted)
    return _Smooth(values, leverage + keep**2 * (1.0 - leverage))


def _fit(
    curves: FloatArray, root: FloatArray, design: FloatArray
) -> tuple[FloatArray, float, FloatArray]:
    """Weighted least squares: fitted curves, chi2 of all, leverage of every bin."""
    axes = np.linalg.qr(root[:, None] * design)[0]
    weighted = curves * root
    fitted = (weighted @ axes) @ axes.T
    return fitted / root, float(((weighted - fitted) ** 2).sum()), (axes**2).sum(axis=1)
