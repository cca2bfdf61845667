"""Maximum likelihood of class fractions at fixed density ratios, by accelerated EM.

One step multiplies each fraction by the mean of r_c / p over the events, p = sum f r;
a batch of weight vectors shares the ratios. Two steps f -> f' -> f'' with r = f' - f
and v = f'' - f' - r are extrapolated to f - 2 a r + a^2 v, a = -|r| / |v|, which is
kept where the likelihood does not fall.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sktamm._numerics import FloatArray, contrast_basis

__all__ = ["Fractions", "fit_fractions", "information", "profile_likelihood"]

_TINY = 1e-300  # no density vanishes, so that its logarithm is finite
# Rule of thumb: a larger share slows the way to a fraction of zero, none would stop EM.
_KEPT = 0.1
# Rule of thumb: longer steps of SQUAREM hardly ever raise the likelihood.
_LONGEST = 1e6
# Rule of thumb: inverting the information beyond it leaves four digits or fewer.
_LARGEST_CONDITION = 1e12
# No other fraction starts at zero, or EM could not leave it.
_LEAST_START = 1e-12
# Of fractions, below all errors; curves need no more than their shape.
_TOLERANCE, _CURVE_TOLERANCE = 1e-9, 1e-7
# Points of a curve at a time: rows times 32 numbers of memory.
_BLOCK = 32


class Fractions(NamedTuple):
    """Maxima of a batch."""

    fractions: FloatArray  # (n_fits, n_classes)
    value: FloatArray  # (n_fits,), log likelihood
    converged: NDArray[np.bool_]  # (n_fits,), the last step was within the tolerance
    n_iterations: int


def fit_fractions(
    ratio: FloatArray,
    weight: FloatArray,
    start: FloatArray,
    *,
    fixed: int | None = None,
    tol: float = _TOLERANCE,
    max_iter: int = 1000,
) -> Fractions:
    """Fractions (n_fits, n_classes) of maximum likelihood, from ratios and weights."""
    fractions, n_iterations, going = start, 0, True
    while going and n_iterations < max_iter:
        n_iterations += 1
        one, before = _step(ratio, weight, fractions, fixed)
        two, _ = _step(ratio, weight, one, fixed)
        converged = np.abs(two - one).max(axis=1) < tol
        going = not converged.all()
        if going:
            jump = _extrapolate(fractions, one, two)
            after, value = _step(ratio, weight, jump, fixed)
            fractions = np.where((value >= before)[:, None], after, two)
    value = _step(ratio, weight, two, fixed)[1]
    return Fractions(two, value, converged, n_iterations)


def _step(
    ratio: FloatArray, weight: FloatArray, fractions: FloatArray, fixed: int | None
) -> tuple[FloatArray, FloatArray]:
    """One EM step, and the log likelihood before it."""
    density = np.maximum(fractions @ ratio.T, _TINY)
    new = fractions * ((weight / density) @ ratio)
    value = (weight * np.log(density)).sum(axis=1)
    if fixed is None:
        return new / new.sum(axis=1, keepdims=True), value
    new[:, fixed] = 0.0
    rest = 1.0 - fractions[:, fixed]
    new *= (rest / np.maximum(new.sum(axis=1), _TINY))[:, None]
    new[:, fixed] = fractions[:, fixed]
    return new, value


def _extrapolate(start: FloatArray, one: FloatArray, two: FloatArray) -> FloatArray:
    step = one - start
    bend = two - one - step
    length = np.linalg.norm(bend, axis=1, keepdims=True)
    ahead = np.linalg.norm(step, axis=1, keepdims=True) / np.maximum(length, _TINY)
    ahead = np.clip(ahead, 1.0, _LONGEST)
    jump = start + 2.0 * ahead * step + ahead**2 * bend
    inside = (jump > 0).all(axis=1, keepdims=True)
    # Towards a fraction of zero a tenth of the step stays, so that EM can go on.
    return np.where(inside, jump, np.where(jump > 0, two, _KEPT * two))


def information(
    ratio: FloatArray,
    weight: FloatArray,
    variance: FloatArray,
    fractions: FloatArray,
    positive: int,
) -> tuple[float, float]:
    """Variance of kappa, plain and with the variance of the weights (n_rows,)."""
    basis = contrast_basis(fractions.size)
    score = (ratio / np.maximum(ratio @ fractions, _TINY)[:, None]) @ basis
    hessian = score.T @ (weight[:, None] * score)
    spread = score.T @ (variance[:, None] * score)
    if np.linalg.cond(hessian) > _LARGEST_CONDITION:
        return np.nan, np.nan
    direction = np.linalg.solve(hessian, basis[positive])
    return float(basis[positive] @ direction), float(direction @ spread @ direction)


def profile_likelihood(
    ratio: FloatArray,
    weight: FloatArray,
    fractions: FloatArray,
    kappa: FloatArray,
    positive: int,
) -> FloatArray:
    """Log likelihood at values of kappa (n_points,), maximal over the others."""
    rest = np.maximum(fractions, _LEAST_START)
    rest[positive] = 0.0
    rest /= rest.sum()
    start = (1.0 - kappa)[:, None] * rest
    start[:, positive] = kappa

    def highest(at: FloatArray) -> FloatArray:
        if fractions.size == 2:  # nothing to maximise over
            return np.log(np.maximum(at @ ratio.T, _TINY)) @ weight
        fit = fit_fractions(
            ratio, weight[None], at, fixed=positive, tol=_CURVE_TOLERANCE
        )
        return fit.value

    blocks = [start[i : i + _BLOCK] for i in range(0, kappa.size, _BLOCK)]
    return np.concatenate([highest(block) for block in blocks])
