"""Least -2 ln L of the yields of all templates, at one fraction or at any.

Yields y >= 0 with signal share kappa lie on c . y = 0, c = 1 - kappa for signal and
-kappa for background.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy import optimize

from sktamm._numerics import FloatArray
from sktamm.baselines._free_yields import FreeYields

__all__ = ["Minimum", "at", "by_quadratic_programs", "by_slsqp", "minimise"]

# Of -2 ln L: changes intervals by 1e-5, a two thousandth of their width.
_TOLERANCE = 1e-6
_MAX_ITER = 300  # rule of thumb: three times the default of SLSQP
# Rules of thumb: three steps are usual, and what needs more than these is left to
# SLSQP; a step must gain some of what its slope promises; the line of one fraction is
# so much firmer than the likelihood.
_MAX_STEPS, _MAX_HALVINGS, _ENOUGH = 50, 12, 1e-4
_FIRM = 1e4


class Minimum(NamedTuple):
    """End of a descent."""

    value: float  # -2 ln L
    yields: FloatArray
    converged: bool
    curvature: FloatArray | None = None  # (n_templates, n_templates), where it is known
    n_steps: int = 0


def at(model: FreeYields, yields: FloatArray) -> Minimum:
    """A place to start from."""
    return Minimum(model.value(yields)[0], yields, False)


def minimise(model: FreeYields, near: Minimum, kappa: float | None = None) -> Minimum:
    """Least -2 ln L of all yields, or of those with one fraction."""
    ends = []
    for start in (near, at(model, np.full_like(near.yields, 1.0 / near.yields.size))):
        for descent in (by_quadratic_programs, by_slsqp):
            ends.append(descent(model, start, kappa))
            if ends[-1].converged:
                return min(ends, key=lambda end: end.value)
    return min(ends, key=lambda end: end.value)


def by_quadratic_programs(
    model: FreeYields, near: Minimum, kappa: float | None
) -> Minimum:
    """Quadratic programs; their curvature is learned on the way and kept."""
    yields = model.with_fraction(near.yields, kappa)
    value, slope = model.value(yields)
    curvature = near.curvature
    if curvature is None:
        curvature = model.information(yields)
    for n_steps in range(_MAX_STEPS):
        step = _program(model, yields, slope, curvature, kappa) - yields
        gain = -float(slope @ step)
        if gain <= _TOLERANCE:
            return Minimum(value, yields, True, curvature, n_steps)
        for length in 0.5 ** np.arange(_MAX_HALVINGS):
            new = model.with_fraction(yields + length * step, kappa)
            least, steepest = model.value(new)
            if least < value - _ENOUGH * length * gain:
                break
        else:
            break
        curvature = _secant(curvature, new - yields, steepest - slope)
        yields, value, slope = new, least, steepest
    return Minimum(value, yields, False)


def _program(
    model: FreeYields,
    yields: FloatArray,
    slope: FloatArray,
    curvature: FloatArray,
    kappa: float | None,
) -> FloatArray:
    """Where the quadratic form is least and no yield negative; nan if nowhere."""
    own = np.ones(yields.size, bool)
    if kappa in (0.0, 1.0):
        own = ~model.signal if kappa == 0 else model.signal
    try:
        factor = np.linalg.cholesky(curvature[np.ix_(own, own)])
    except np.linalg.LinAlgError:  # rounding
        factor = np.linalg.cholesky(model.information(yields)[np.ix_(own, own)])
    matrix = factor.T
    target = matrix @ yields[own] - np.linalg.solve(factor, slope[own])
    if kappa is not None and own.all():
        c = np.where(model.signal, 1.0 - kappa, -kappa)
        matrix = np.vstack([matrix, _FIRM * factor.max() * c])
        target = np.append(target, 0.0)
    out = np.zeros_like(yields)
    try:
        out[own] = optimize.nnls(matrix, target)[0]
    except RuntimeError:  # too many iterations
        out[own] = np.nan
    return out


def by_slsqp(model: FreeYields, near: Minimum, kappa: float | None) -> Minimum:
    """The same by SLSQP, for what does not converge."""
    start = model.with_fraction(near.yields, kappa)
    options: dict[str, Any] = {"bounds": [(0.0, None)] * start.size}
    if kappa is not None:
        c = np.where(model.signal, 1.0 - kappa, -kappa)
        line = {"type": "eq", "fun": lambda y: c @ y, "jac": lambda y: c}
        options["constraints"] = [line]
    if kappa in (0.0, 1.0):
        absent = model.signal if kappa == 0 else ~model.signal
        options = {"bounds": [(0.0, 0.0 if gone else None) for gone in absent]}
    found = optimize.minimize(
        model.value,
        start,
        jac=True,
        method="SLSQP",
        options={"ftol": _TOLERANCE, "maxiter": _MAX_ITER},
        **options,
    )
    finite = bool(np.isfinite(found.x).all())
    yields = np.maximum(found.x, 0.0) if finite else start
    yields = model.with_fraction(yields, kappa)
    return Minimum(model.value(yields)[0], yields, finite and found.success)


def _secant(curvature: FloatArray, step: FloatArray, change: FloatArray) -> FloatArray:
    """BFGS update by a step and the change of the slope, damped to stay positive.

    Nocedal and Wright, Numerical Optimization (2006), procedure 18.2.
    """
    along = curvature @ step
    size, found = float(step @ along), float(step @ change)
    if not size > 0:
        return curvature
    if found < 0.2 * size:
        share = 0.8 * size / (size - found)
        change = share * change + (1.0 - share) * along
        found = 0.2 * size
    old = np.outer(along, along) / size
    return np.asarray(curvature - old + np.outer(change, change) / found)
