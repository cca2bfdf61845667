"""Templates without the noise of the finite simulation.

The log of a template is a smooth function of the bins plus structure plus noise. A
polynomial f of the bins is fitted with the inverse statistical variances 1/v_i as
weights, its degree chosen by Mallows' C_p = chi2 + 2 p, and what it leaves is shrunk
by the positive-part James-Stein factor,

    l' = f + lambda (l - f),    lambda = max(0, 1 - ndf / chi2),

which is zero where the rest is noise and one where it is real structure. The mean of
the simulations of a class is treated first, then the deviation of each from it, with
cubic or higher polynomials so that real differences of few-event simulations survive.
Bins that a class hardly fills hold a floor, no shape, and take no part.

The noise that remains has the covariance lambda (1 - P) + P in units of the raw errors,
P being the projection on the polynomials. A smooth function of the bins, such as the
score of kappa, feels as much of it as of the raw noise, so variances stay the raw ones;
a chi2 of the bins feels less.

Outermost bins that also hold what lies beyond the edges have an indicator if C_p asks.

References: Mallows (1973); James and Stein (1961).
"""

from collections.abc import Sequence

import numpy as np

from sktamm._numerics import FloatArray
from sktamm.base import NoiseShape
from sktamm.functions import PolynomialBasis, number_of_orders
from sktamm.templates._filled import varying

__all__ = ["smooth_templates"]

# Rules of thumb: higher degrees swing between bins, and with fewer bins per function
# little is left to tell noise from structure.
_DEGREES = range(1, 9)
_BINS_PER_FUNCTION = 3
# Lowest degree for deviations of single simulations, as the first lines say.
_LOWEST_DEVIATION = 3
# Events of all simulations of a class that make a bin a measurement: with fewer, empty
# neighbours of the data moved kappa by up to half an error (rings around a Gaussian,
# K = 6, 5 000 and 50 000 events), with more by less than a tenth.
_FEWEST_EVENTS = 5.0
# Bins times squared functions, about a second of work.
_LARGEST_WORK = 2e9
_RANK_TOLERANCE = 1e-10  # relative: rounding


def smooth_templates(
    probability: FloatArray,
    relative_variance: FloatArray,
    source_class: np.ndarray,
    coordinates: FloatArray,
    crowded: Sequence[tuple[int, int]] = (),
) -> tuple[FloatArray, tuple[NoiseShape, ...]]:
    """Templates (n_sources, n_bins) without noise; also the noise that remains."""
    smooth = probability.copy()
    shapes = []
    ends = _end_indicators(coordinates, crowded)
    for c in np.unique(source_class):
        rows = np.flatnonzero(source_class == c)
        variance = relative_variance[rows]
        number = (1.0 / variance - 1.0).sum(axis=0)
        # Exactly five are too few, whatever rounding makes of weights.
        known = np.flatnonzero(number > _FEWEST_EVENTS * (1.0 + _RANK_TOLERANCE))
        own, axes = np.ones(probability.shape[1]), np.zeros((probability.shape[1], 0))
        if known.size:
            part = np.ix_(rows, known)
            designs = _designs(coordinates[known])
            smooth[part], keep, common = _smooth_class(
                np.log(probability[part]),
                relative_variance[part],
                designs,
                ends[known],
            )
            own[known] = keep
            axes = np.zeros((own.size, common.shape[1]))
            axes[known] = np.sqrt(1.0 - keep) * common
        shapes.append(NoiseShape(own, axes))
    return smooth / smooth.sum(axis=1, keepdims=True), tuple(shapes)


def _designs(coordinates: FloatArray) -> list[FloatArray]:
    """Polynomials with a constant, of every degree that leaves enough bins."""
    coordinates = varying(coordinates)
    bins, d = coordinates.shape
    designs = [np.ones((bins, 1))]
    for degree in _DEGREES:
        size = number_of_orders(d, degree) + 1
        if _BINS_PER_FUNCTION * size > bins or bins * size**2 > _LARGEST_WORK:
            break
        values = PolynomialBasis(degree).evaluate(coordinates)
        designs.append(np.hstack([np.ones((bins, 1)), values]))
    return designs


def _end_indicators(
    coordinates: FloatArray, crowded: Sequence[tuple[int, int]]
) -> FloatArray:
    """Whether bins lie at crowded ends, of shape (n_bins, n_crowded)."""
    ends = coordinates.min(axis=0), coordinates.max(axis=0)
    columns = [coordinates[:, j] == ends[side][j] for j, side in crowded]
    return np.array(columns, dtype=float).reshape(-1, coordinates.shape[0]).T


def _with_ends(designs: list[FloatArray], ends: FloatArray) -> list[FloatArray]:
    """Designs, and those with indicators of crowded ends that leave enough bins."""
    bins, number = ends.shape
    if number == 0:
        return designs
    more = [np.hstack([design, ends]) for design in designs]
    return designs + [d for d in more if _BINS_PER_FUNCTION * d.shape[1] <= bins]


def _smooth_class(
    logs: FloatArray,
    variance: FloatArray,
    designs: list[FloatArray],
    ends: FloatArray,
) -> tuple[FloatArray, float, FloatArray]:
    """Smooth the mean log template of a class, then the deviations from it.

    Also the share kept of what the mean has beyond the polynomial, and its axes.
    """
    size = logs.shape[0]
    mean, mean_variance = logs.mean(axis=0), variance.mean(axis=0) / size
    centre, keep, axes = _shrink(
        mean[None], mean_variance, np.ones(1), _with_ends(designs, ends)
    )
    if size == 1:
        return np.exp(centre), float(keep[0]), axes
    typical = variance.mean(axis=0)
    # Var(l_k - mean) in units of the typical variance, sizes of samples allowed for
    own = variance.mean(axis=1) / typical.mean()
    units = own * (1.0 - 2.0 / size) + 1.0 / size
    first = min(_LOWEST_DEVIATION, len(designs) - 1)
    designs = _with_ends(designs[first:], ends)
    rest = _shrink(logs - mean, typical, units, designs)[0]
    return np.exp(centre + rest), float(keep[0]), axes


def _shrink(
    curves: FloatArray,
    variance: FloatArray,
    units: FloatArray,
    designs: list[FloatArray],
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Fit and shrink curves k of variance ``units[k] * variance``.

    Also the share kept of every curve's rest, and the axes of the polynomials.
    """
    root = 1.0 / np.sqrt(variance)
    weighted = curves * root
    axes = [_axes(root[:, None] * design) for design in designs]
    fits = [(weighted @ own) @ own.T for own in axes]
    chi2 = np.array([((weighted - f) ** 2).sum(axis=1) / units for f in fits])
    sizes = np.array([own.shape[1] for own in axes])
    best = int(np.argmin(chi2.sum(axis=1) + 2.0 * len(curves) * sizes))
    degrees = curves.shape[1] - sizes[best]
    keep = np.maximum(0.0, 1.0 - degrees / np.maximum(chi2[best], 1e-300))
    curves = (fits[best] + keep[:, None] * (weighted - fits[best])) / root
    return curves, keep, axes[best]


def _axes(design: FloatArray) -> FloatArray:
    """Orthonormal columns that span those of a design, which may be dependent."""
    left, values, _ = np.linalg.svd(design, full_matrices=False)
    return left[:, values > _RANK_TOLERANCE * values[0]]
