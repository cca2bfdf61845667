"""Profile likelihood of kappa where the yields of all templates are free."""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

from sktamm._numerics import FloatArray
from sktamm.baselines._free_descents import Minimum, at, minimise
from sktamm.baselines._free_yields import FreeYields

__all__ = ["FreeProfile", "free_profile"]

# Points of the curve on each side of the estimate: fitted, and interpolated between.
# A parabola in 16 steps is exact, and a kink at a yield of zero costs 1e-3 of -2 ln L.
_N_FITTED, _N_CURVE = 16, 100
_FIRST_STEP = 1e-3  # rule of thumb: below most errors of kappa, doubled from there
_LEAST_REACH = 9.0  # of -2 ln L, three standard errors
_MARGIN = 1.2  # of the fall, so that interpolated ends of intervals lie inside
# Rule of thumb: a curve that falls by more times what was asked for ends before, or its
# points would lie too far apart near the estimate.
_STEEP, _CLOSE = 3.0, 1e-3  # and how well the distance is found, relative
# The profile may find a deeper minimum: it starts again from there. Rule of thumb: what
# is less deep shifts intervals by no more than a thousandth.
_N_CENTRES, _DEEPER = 3, 1e-3
# Rule of thumb: share of equal yields in a start, as slopes vanish where yields do.
_MIXED = 0.01


@dataclass(frozen=True, eq=False)
class FreeProfile:
    """Profile of one dataset."""

    yields: FloatArray  # (n_templates,), the best ones in events
    value: float  # -2 ln L there
    kappa: FloatArray  # (n_points,) within [0, 1]; the estimate is in the middle
    log_likelihood: FloatArray  # (n_points,), zero at the estimate
    converged: bool  # the best yields are a minimum
    n_steps: int  # to there


def free_profile(model: FreeYields, start: FloatArray, drop: float) -> FreeProfile:
    """Profile likelihood of kappa around its maximum; ``start`` (n_templates,)."""
    yields = start / model.total
    mixed = (1.0 - _MIXED) * yields + _MIXED * yields.mean()
    equal = np.full_like(yields, yields.mean())
    ends = [minimise(model, at(model, y)) for y in (mixed, equal)]
    drop = _MARGIN * max(drop, _LEAST_REACH)
    n_steps = sum(end.n_steps for end in ends)
    for _ in range(_N_CENTRES):
        best = min(ends, key=lambda end: end.value)
        scan = _Scan(model, best, ends)
        inside = 0.0 < scan.kappa < 1.0
        n_below = _N_CURVE if inside else 2 * _N_CURVE * (scan.kappa > 0)
        below, left = scan.side(0.0, drop, n_below)
        above, right = scan.side(1.0, drop, 2 * _N_CURVE - n_below)
        known = scan.deepest.value > best.value - _DEEPER
        if known:
            break
        ends = [scan.deepest, minimise(model, scan.deepest), *ends]
    return FreeProfile(
        best.yields * model.total,
        best.value,
        np.concatenate([below[::-1], [scan.kappa], above]),
        -0.5 * np.concatenate([left[::-1], [0.0], right]),
        known and any(end.converged for end in ends),
        n_steps,
    )


class _Scan:
    """Profile from its maximum outward; keeps the deepest point of the way.

    Every local minimum is followed, and the curve is the least of them.
    """

    def __init__(self, model: FreeYields, best: Minimum, ends: list[Minimum]):
        self.model, self.best, self.deepest = model, best, best
        self.kappa = model.fraction(best.yields)
        self.starts = _distinct([best, *ends])

    def side(
        self, bound: float, drop: float, number: int
    ) -> tuple[FloatArray, FloatArray]:
        """Points outward to one bound, and -2 ln L above its least value."""
        if number == 0:
            return np.empty(0), np.empty(0)
        room = abs(bound - self.kappa)
        reach = self._reach(bound, drop, room)
        steps = np.linspace(0.0, reach, _N_FITTED + 1)
        rise, near = np.zeros(steps.size), self.starts
        for i in range(1, steps.size):
            rise[i], near = self._rise(steps[i], bound, near)
        fine = np.linspace(0.0, reach, number + 1)[1:]
        curve = CubicSpline(steps, rise)(fine)
        kappa = self.kappa + np.copysign(fine, bound - self.kappa)
        if reach == room:
            kappa[-1] = bound
        return kappa, np.maximum(curve, 0.0)

    def _reach(self, bound: float, drop: float, room: float) -> float:
        """Distance at which the curve has fallen enough, but not by far more."""
        low, high, near = 0.0, min(_FIRST_STEP, room), self.starts
        rise, near = self._rise(high, bound, near)
        while rise < drop and high < room:
            low, high = high, min(2.0 * high, room)
            rise, near = self._rise(high, bound, near)
        while rise > _STEEP * drop and high - low > _CLOSE * high:
            middle = 0.5 * (low + high)
            rise, _ = self._rise(middle, bound, self.starts)
            low, high = (middle, high) if rise < drop else (low, middle)
            rise = np.inf if rise < drop else rise
        return high

    def _rise(
        self, step: float, bound: float, near: list[Minimum]
    ) -> tuple[float, list[Minimum]]:
        """-2 ln L above its least value at some distance, and the minima there."""
        kappa = self.kappa + np.copysign(step, bound - self.kappa)
        if step >= abs(bound - self.kappa):
            kappa = bound
        found = _distinct([minimise(self.model, end, kappa) for end in near])
        self.deepest = min(self.deepest, found[0], key=lambda end: end.value)
        return found[0].value - self.best.value, found


def _distinct(ends: list[Minimum]) -> list[Minimum]:
    """Minima of different depth, the deepest first."""
    found: list[Minimum] = []
    for end in sorted(ends, key=lambda end: end.value):
        if not found or end.value > found[-1].value + _DEEPER:
            found.append(end)
    return found
