"""Minima of the likelihood, over all parameters or with some of them held.

The likelihood of parameters that enter squared has several minima: descents start from
the reference point and from points at natural distances along every axis, and all
minima that are found are kept.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from sktamm._numerics import FloatArray
from sktamm.parametric._objective import Objective

__all__ = ["Minima", "descend", "find_minima", "natural_scales", "profile_values"]

_DISTANCES = (1.0, 3.0)
_SAME = 1e-3


class Minima(NamedTuple):
    """All minima found, the deepest first.

    Attributes
    ----------
    points : ndarray of shape (n_minima, size)
        Where they are.
    values : ndarray of shape (n_minima,)
        How deep they are, ascending.
    converged : bool
        Whether the descent to the deepest one ended well.
    """

    points: FloatArray
    values: FloatArray
    converged: bool


def natural_scales(objective: Objective) -> FloatArray:
    """Distance along every axis at which the data notice a change.

    Parameters
    ----------
    objective : Objective
        Function of the parameters.

    Returns
    -------
    scales : ndarray of shape (size,)
        Where sum |w| (ln D)^2 is about one; one for nuisance parameters.
    """
    scales = np.ones(objective.size)
    for i in range(objective.n_parameters):
        scales[i] = _natural_scale(objective, i)
    return scales


def _natural_scale(objective: Objective, i: int) -> float:
    steps = np.zeros((81, objective.n_parameters))
    steps[:, i] = 2.0 ** np.arange(-40, 41)
    weight = np.abs(objective.weight)
    step, seen = 40, set()
    while step not in seen and 0 < step < 80:
        seen.add(step)
        points = objective.theta_ref + np.stack([steps[step], -steps[step]])
        change = weight @ objective.events.log_density(points) ** 2
        step += -1 if change.max() > 1.0 else 1
    return float(steps[step, i])


def descend(
    objective: Objective,
    start: FloatArray,
    free: NDArray[np.bool_],
    scales: FloatArray,
) -> tuple[FloatArray, float, bool]:
    """Minimum over the free parameters.

    Parameters
    ----------
    objective : Objective
        Function of the parameters.
    start : ndarray of shape (size,)
        First point; held parameters stay there.
    free : ndarray of bool, shape (size,)
        Which parameters are free.
    scales : ndarray of shape (size,)
        Natural distances.

    Returns
    -------
    point : ndarray of shape (size,)
        Minimum.
    value : float
        Value there.
    converged : bool
        Whether the descent ended well.
    """
    if not free.any():
        return start, float(objective.values(start[None])[0]), True
    units = _units(objective, free, scales)

    def at(x: FloatArray) -> FloatArray:
        point = start.copy()
        point[free] += units @ x
        return point

    def scaled(x: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = objective.value_and_gradient(at(x))
        return value, gradient[free] @ units

    # Where there are bounds, the units are those of single parameters.
    limits: Any = (objective.limits[free] - start[free, None]) / np.diag(units)[:, None]
    minimise: Any = optimize.minimize
    found = minimise(
        scaled,
        np.zeros(len(units)),
        jac=True,
        method="L-BFGS-B",
        bounds=limits if np.isfinite(limits).any() else None,
        options={"ftol": 1e-14, "gtol": 1e-6, "maxiter": 300},
    )
    point = at(found.x)
    # Line searches that end at rounding errors report failure at the minimum.
    return point, float(found.fun), bool(found.success or found.status == 2)


def _units(
    objective: Objective, free: NDArray[np.bool_], scales: FloatArray
) -> FloatArray:
    """Matrix from coordinates in which the function is round to free parameters."""
    if objective.metric is None or np.isfinite(objective.limits[free]).any():
        return np.diag(scales[free])
    factor = np.linalg.cholesky(0.5 * objective.metric[np.ix_(free, free)])
    return np.linalg.inv(factor).T


def find_minima(objective: Objective, scales: FloatArray) -> Minima:
    """All minima that descents from several points lead to.

    Parameters
    ----------
    objective : Objective
        Function of the parameters.
    scales : ndarray of shape (size,)
        Natural distances.

    Returns
    -------
    minima : Minima
        The deepest first.
    """
    centre, n = objective.start(objective.theta_ref), objective.n_parameters
    axes = [scales[i] * np.eye(objective.size)[i] for i in range(n)]
    moves = [d * axis * s for axis in axes for d in _DISTANCES for s in (1.0, -1.0)]
    low, high = objective.limits.T
    starts = [np.clip(centre + move, low, high) for move in [0.0 * centre, *moves]]
    free = np.ones(objective.size, dtype=bool)
    ends = [descend(objective, start, free, scales) for start in starts]
    ends.sort(key=lambda end: end[1])
    kept = [ends[0]]
    for end in ends[1:]:
        gaps = [np.abs((end[0] - other[0]) / scales).max() for other in kept]
        if min(gaps) > _SAME:
            kept.append(end)
    points = np.array([end[0] for end in kept])
    return Minima(points, np.array([end[1] for end in kept]), ends[0][2])


def profile_values(
    objective: Objective,
    points: FloatArray,
    free: NDArray[np.bool_],
    scales: FloatArray,
    start: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Minima over the free parameters along a path of the others.

    Parameters
    ----------
    objective : Objective
        Function of the parameters.
    points : ndarray of shape (n_points, size)
        Path; what it says of free parameters is not used.
    free : ndarray of bool, shape (size,)
        Which parameters are minimised over.
    scales : ndarray of shape (size,)
        Natural distances.
    start : ndarray of shape (size,)
        Where the first descent starts; each next one starts from there or from the
        end of the one before, whichever is lower.

    Returns
    -------
    values : ndarray of shape (n_points,)
        Minima.
    points : ndarray of shape (n_points, size)
        Where they are.
    """
    if not free.any():
        return objective.values(points), points
    values, ends, last = np.empty(len(points)), points.copy(), start
    for k, point in enumerate(points):
        trials = np.where(free, np.stack([last, start]), point)
        first = trials[np.argmin(objective.values(trials))]
        ends[k], values[k], _ = descend(objective, first, free, scales)
        last = ends[k]
    return values, ends
