"""Minima of the likelihood, over all parameters or with some of them held.

The likelihood of parameters that enter squared has several minima: descents start from
the reference point and from where the likelihood is least along rays in many
directions. A descent that ends on a saddle, as symmetry makes it, goes on from either
side.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from sktamm._numerics import FloatArray
from sktamm.parametric._objective import Objective

__all__ = ["Descent", "Minima", "find_minima", "natural_scales"]

# Natural distances of the points on a ray. Rule of thumb: neighbours, a factor of 1.3
# apart, are in one valley.
_FAR_DISTANCES = np.geomspace(0.5, 1e5, 48)
_MOST_EVENTS = 20_000  # that say where to start from; more would cost time
# Directions besides the axes, and natural distances from the end of a descent within
# which a start leads there. Of 342 minima within 10 of the deepest one, of 80
# likelihoods of squared amplitudes (1 to 5 parameters, 2 to 40 events), 111 are missed
# with these, 164 without directions, and about twice as many with a distance of five;
# nine in ten of those missed have five parameters.
_N_DIRECTIONS, _NEAR = 24, 1.0
# Minima from which a profile descends. Of 373 points below 10, of 40 such likelihoods
# of two parameters, 48 end in another valley with one, 20, 11 and 9 with two to four.
_N_LOWEST = 3
_HIGH = 100.0  # minima that far above the deepest one say nothing of any region
_SAME = 1e-3  # natural distance of the ends of descents to one minimum
# Slope over a natural distance at a minimum: 33 of 883 descents to the toy's ended at
# rounding errors, all with slopes below 1e-5.
_FLAT = 1e-3
_EQUAL = 1e-6  # difference of two values of which either may be the deeper one
_SADDLE = -1e-3  # second derivative over a natural distance
# Natural distances from a saddle to go on from. Not one: the first step of a descent
# has this length and would lead back.
_BESIDE = 0.1


_End = tuple[FloatArray, float, bool]


class Minima(NamedTuple):
    """The minima found, the deepest first."""

    points: FloatArray  # (n_minima, size)
    values: FloatArray  # (n_minima,), ascending
    converged: bool  # whether the descent to the deepest one ended well


def natural_scales(objective: Objective) -> FloatArray:
    """Distance (size,) along every axis at which the data notice a change."""
    scales = np.ones(objective.size)
    for i in range(objective.n_parameters):
        scales[i] = _natural_scale(objective, i)
    return scales


def _natural_scale(objective: Objective, i: int) -> float:
    steps = np.zeros((81, objective.n_parameters))
    steps[:, i] = 2.0 ** np.arange(-40, 41)
    weight = np.abs(objective.weight)
    # Not zero for a basis of more benchmarks than monomials.
    here = objective.events.log_density(objective.theta_ref[None])
    step, seen = 40, set()
    while step not in seen and 0 < step < 80:
        seen.add(step)
        points = objective.theta_ref + np.stack([steps[step], -steps[step]])
        change = weight @ (objective.events.log_density(points) - here) ** 2
        if objective.expected is not None:
            by_rate = objective.expected * objective.events.log_total(points) ** 2
            change = np.maximum(change, by_rate)
        step += -1 if change.max() > 1.0 else 1
    return float(steps[step, i])


@dataclass(frozen=True, eq=False)
class Descent:
    """Minimisation over the free parameters, the others held."""

    objective: Objective
    scales: FloatArray  # (size,), natural distances
    free: NDArray[np.bool_]  # (size,)

    def end(self, start: FloatArray) -> _End:
        """Minimum that a descent from a point (size,) leads to."""
        objective, free = self.objective, self.free
        unit = self.scales[free]

        def _at(x: FloatArray) -> FloatArray:
            point = start.copy()
            point[free] += unit * x
            return point

        def _scaled(x: FloatArray) -> tuple[float, FloatArray]:
            value, gradient = objective.value_and_gradient(_at(x))
            return value, gradient[free] * unit

        minimise: Any = optimize.minimize
        found = minimise(
            _scaled,
            np.zeros(unit.size),
            jac=True,
            method="L-BFGS-B",
            bounds=(objective.limits[free] - start[free, None]) / unit[:, None],
            options={"ftol": 1e-14},  # of values that may be large
        )
        # Line searches that end at rounding errors report failure at the minimum.
        flat = float(np.abs(found.jac).max()) < _FLAT
        return _at(found.x), float(found.fun), bool(found.success) or flat

    def profile(
        self, points: FloatArray, starts: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Values (n_points,) and places of minima along a path of held parameters."""
        if not self.free.any():
            return self.objective.values(points), points
        values, ends = np.empty(len(points)), points.copy()
        for k, point in enumerate(points):
            trials = np.where(self.free, starts, point)
            lowest = np.argsort(self.objective.values(trials))[:_N_LOWEST]
            found = [self.end(trials[c]) for c in lowest]
            ends[k], values[k], _ = min(found, key=lambda end: end[1])
        return values, ends


def find_minima(objective: Objective, scales: FloatArray) -> Minima:
    """Minima that descents from several points lead to."""
    centre = objective.start(objective.theta_ref)
    descent = Descent(objective, scales, np.ones(objective.size, dtype=bool))
    ends = [descent.end(centre)]
    for start in _lows_on_rays(objective, centre, scales):
        if _distance(start, ends, scales) > _NEAR:
            ends.append(descent.end(start))
    ends.sort(key=lambda end: end[1])
    # A saddle that is left may lead to another one, of one parameter less.
    for _ in range(objective.size):
        beside = _beside_saddle(objective, ends[0][0], scales)
        ends += [descent.end(start) for start in beside]
        ends.sort(key=lambda end: end[1])
    kept = _different(ends, scales)
    kept.insert(0, kept.pop(_preferred(kept, centre, scales)))
    points = np.array([end[0] for end in kept])
    return Minima(points, np.array([end[1] for end in kept]), kept[0][2])


def _distance(point: FloatArray, ends: list[_End], scales: FloatArray) -> float:
    """Natural distances to the nearest end."""
    return min(float(np.abs((point - end[0]) / scales).max()) for end in ends)


def _different(ends: list[_End], scales: FloatArray) -> list[_End]:
    """Different ends that are not too high, of sorted ones."""
    kept = ends[:1]
    for end in ends[1:]:
        high = end[1] > ends[0][1] + _HIGH
        if not high and _distance(end[0], kept, scales) > _SAME:
            kept.append(end)
    return kept


def _preferred(ends: list[_End], centre: FloatArray, scales: FloatArray) -> int:
    """Deepest minimum; of equal ones the nearest to the centre, or most positive."""
    # Which of mirror images has the smaller rounding error would be chance.
    equal = [k for k, end in enumerate(ends) if end[1] <= ends[0][1] + _EQUAL]
    steps = [np.round((ends[k][0] - centre) / scales, 3) for k in equal]
    keys = [(float(np.linalg.norm(step).round(3)), *-step) for step in steps]
    return equal[keys.index(min(keys))]


def _lows_on_rays(
    objective: Objective, centre: FloatArray, scales: FloatArray
) -> list[FloatArray]:
    """Points of least value among their neighbours on rays."""
    n = objective.n_parameters
    directions = np.concatenate([np.eye(n), -np.eye(n)])
    if n > 1:
        more = np.random.default_rng(0).normal(size=(_N_DIRECTIONS, n))
        directions = np.vstack([directions, more])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    rays = np.tile(centre, (len(directions), _FAR_DISTANCES.size, 1))
    rays[..., :n] += _FAR_DISTANCES[:, None] * (directions * scales[:n])[:, None]
    rays = np.clip(rays, *objective.limits.T)
    values = _thinned(objective).values(rays.reshape(-1, objective.size))
    values = values.reshape(rays.shape[:2])
    is_low = np.zeros(values.shape, dtype=bool)
    is_low[:, 1:] = values[:, 1:] < values[:, :-1]
    is_low[:, :-1] &= values[:, :-1] <= values[:, 1:]
    return list(rays[is_low])


def _thinned(objective: Objective) -> Objective:
    """The same of some of the events, where they are many."""
    # Reference events matter where nuisance parameters are not zero.
    objective, n_events = replace(objective, reference=None), objective.weight.size
    if n_events <= _MOST_EVENTS:
        return objective
    rows = np.random.default_rng(0).permutation(n_events)[:_MOST_EVENTS]
    return objective.take(rows, objective.weight[rows] * (n_events / _MOST_EVENTS))


def _beside_saddle(
    objective: Objective, point: FloatArray, scales: FloatArray
) -> list[FloatArray]:
    """Points on both sides where the function bends downwards; none at a minimum."""
    low, high = objective.limits.T
    gradient = objective.value_and_gradient(point)[1] * scales
    # A bound that holds a parameter back has a slope; at others symmetry does.
    free = ((point > low) & (point < high)) | (np.abs(gradient) < -_SADDLE)
    hessian = objective.hessian(point, scales) * np.outer(scales, scales)
    if not free.any() or not np.isfinite(hessian).all():
        return []
    bends, along = np.linalg.eigh(hessian[np.ix_(free, free)])
    if bends[0] > _SADDLE:
        return []
    move = np.zeros(point.size)
    move[free] = along[:, 0] * scales[free]
    # Descents begin at a bound where these are beyond it.
    return [point + _BESIDE * move, point - _BESIDE * move]
