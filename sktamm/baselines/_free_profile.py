"""Profile likelihood of kappa where the yields of all templates are free.

Yields y >= 0 with signal share kappa lie on c . y = 0, c = 1 - kappa for signal and
-kappa for background. With mu = sum_k y_k t_k and its variance v = sum_k y_k^2 v_k, the
statistics of the templates enter by one factor b per bin, profiled in closed form; with
k = mu^2 / v (Dembinski and Abdelmotteleb, arXiv:2206.12346, "da")

    -2 ln L = 2 sum [n ln(n / mu) - (n + k) ln b],    b = (n + k) / (mu + k),

or (Conway, arXiv:1103.0354, "jsc") with p = (1 - v / mu) / 2, b = p + sqrt(p^2 + n / k)

    -2 ln L = 2 sum [n ln(n / (mu b)) + mu b - n] + sum k (b - 1)^2.

Weighted data are scaled to counts bin by bin as in iminuit (Bohm and Zech).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy.interpolate import CubicSpline

from sktamm._numerics import FloatArray

__all__ = ["FreeYields", "KappaCurve", "kappa_curve"]

_TINY = 1e-100  # no expectation vanishes, and its square does not underflow
# Templates are never known better than this relative variance, so that what is
# impossible without a template stays impossible: k is finite where mu vanishes.
_SHARP = 1e-12
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
# Of -2 ln L: changes intervals by 1e-5, a two thousandth of their width.
_TOLERANCE = 1e-6
_MAX_ITER = 300  # rule of thumb: three times the default of SLSQP
# Rules of thumb: three steps are usual, and what needs more than these is left to
# SLSQP; a step must gain some of what its slope promises; the line of one fraction is
# so much firmer than the likelihood, and dependent templates are told apart that much.
_MAX_STEPS, _MAX_HALVINGS, _ENOUGH = 50, 12, 1e-4
_FIRM, _RIDGE = 1e4, 1e-6


class Minimum(NamedTuple):
    """End of a descent."""

    value: float  # -2 ln L
    yields: FloatArray
    converged: bool
    curvature: FloatArray | None = None  # (n_templates, n_templates), where it is known
    n_steps: int = 0


@dataclass(frozen=True, eq=False)
class FreeYields:
    """-2 ln L of one dataset as a function of yields in units of its events."""

    n: FloatArray  # (n_bins,), counts, or sums of weights scaled to counts
    # (n_templates, n_bins): expected counts and their variances at a yield of one unit.
    shape: FloatArray
    variance: FloatArray
    signal: NDArray[np.bool_]  # (n_templates,)
    method: str  # "da" or "jsc"
    total: float  # the unit of the yields: sum of weights of the dataset

    @classmethod
    def from_contents(
        cls,
        data: FloatArray,
        templates: FloatArray,
        signal: NDArray[np.bool_],
        method: str,
    ) -> "FreeYields":
        """Read sums of weights and of squared weights, on the last axis."""
        filled = templates[:, :, 0].any(axis=0)
        content, square = data[filled].T
        known = square > 0
        scale = np.ones(content.size)
        scale[known] = np.abs(content[known]) / square[known]
        scale[~known] = np.median(scale[known]) if known.any() else 1.0
        total = float(data[:, 0].sum())
        unit = scale * total / templates[:, :, 0].sum(axis=1, keepdims=True)
        return cls(
            content * scale,
            templates[:, filled, 0] * unit,
            templates[:, filled, 1] * unit**2,
            signal,
            method,
            total,
        )

    def value(self, yields: FloatArray) -> tuple[float, FloatArray]:
        """-2 ln L and its gradient."""
        mu = np.maximum(yields @ self.shape, _TINY)
        v = np.maximum(yields**2 @ self.variance, _SHARP * mu**2)
        cost = _COSTS[self.method]
        value, by_mu, by_v = cost(self.n, mu, v)
        slope = self.shape @ by_mu + 2.0 * yields * (self.variance @ by_v)
        return float(value.sum()), slope

    def at(self, yields: FloatArray) -> "Minimum":
        """A place to start from."""
        return Minimum(self.value(yields)[0], yields, False)

    def minimise(self, near: "Minimum", kappa: float | None = None) -> "Minimum":
        """Least -2 ln L of all yields, or of those with one fraction."""
        ends = []
        for start in (near, self.at(np.full_like(near.yields, 1.0 / near.yields.size))):
            for descend in (self._climb, self._descend):
                ends.append(descend(start, kappa))
                if ends[-1].converged:
                    return min(ends, key=lambda end: end.value)
        return min(ends, key=lambda end: end.value)

    def _climb(self, near: "Minimum", kappa: float | None) -> "Minimum":
        """Quadratic programs; their curvature is learned on the way and kept."""
        yields = self._with_fraction(near.yields, kappa)
        value, slope = self.value(yields)
        curvature = near.curvature
        if curvature is None:
            curvature = self._information(yields)
        for n_steps in range(_MAX_STEPS):
            step = self._program(yields, slope, curvature, kappa) - yields
            gain = -float(slope @ step)
            if gain <= _TOLERANCE:
                return Minimum(value, yields, True, curvature, n_steps)
            for length in 0.5 ** np.arange(_MAX_HALVINGS):
                new = self._with_fraction(yields + length * step, kappa)
                least, steepest = self.value(new)
                if least < value - _ENOUGH * length * gain:
                    break
            else:
                break
            curvature = _secant(curvature, new - yields, steepest - slope)
            yields, value, slope = new, least, steepest
        return Minimum(value, yields, False)

    def _information(self, yields: FloatArray) -> FloatArray:
        """Expected curvature of -2 ln L, (n_templates, n_templates)."""
        mu = np.maximum(yields @ self.shape, _TINY)
        v = np.maximum(yields**2 @ self.variance, _SHARP * mu**2)
        root = self.shape * np.sqrt(2.0 / (mu + v))
        return np.asarray(root @ root.T) * (1.0 + _RIDGE * np.eye(len(root)))

    def _program(
        self,
        yields: FloatArray,
        slope: FloatArray,
        curvature: FloatArray,
        kappa: float | None,
    ) -> FloatArray:
        """Where the quadratic form is least and no yield negative; nan if nowhere."""
        own = np.ones(yields.size, bool)
        if kappa in (0.0, 1.0):
            own = ~self.signal if kappa == 0 else self.signal
        try:
            factor = np.linalg.cholesky(curvature[np.ix_(own, own)])
        except np.linalg.LinAlgError:  # rounding
            factor = np.linalg.cholesky(self._information(yields)[np.ix_(own, own)])
        matrix = factor.T
        target = matrix @ yields[own] - np.linalg.solve(factor, slope[own])
        if kappa is not None and own.all():
            c = np.where(self.signal, 1.0 - kappa, -kappa)
            matrix = np.vstack([matrix, _FIRM * factor.max() * c])
            target = np.append(target, 0.0)
        out = np.zeros_like(yields)
        try:
            out[own] = optimize.nnls(matrix, target)[0]
        except RuntimeError:  # too many iterations
            out[own] = np.nan
        return out

    def _descend(self, near: "Minimum", kappa: float | None) -> "Minimum":
        """The same by SLSQP, for what does not converge."""
        start = self._with_fraction(near.yields, kappa)
        options: dict[str, Any] = {"bounds": [(0.0, None)] * start.size}
        if kappa is not None:
            c = np.where(self.signal, 1.0 - kappa, -kappa)
            line = {"type": "eq", "fun": lambda y: c @ y, "jac": lambda y: c}
            options["constraints"] = [line]
        if kappa in (0.0, 1.0):
            absent = self.signal if kappa == 0 else ~self.signal
            options = {"bounds": [(0.0, 0.0 if gone else None) for gone in absent]}
        found = optimize.minimize(
            self.value,
            start,
            jac=True,
            method="SLSQP",
            options={"ftol": _TOLERANCE, "maxiter": _MAX_ITER},
            **options,
        )
        finite = bool(np.isfinite(found.x).all())
        yields = np.maximum(found.x, 0.0) if finite else start
        yields = self._with_fraction(yields, kappa)
        return Minimum(self.value(yields)[0], yields, finite and found.success)

    def fraction(self, yields: FloatArray) -> float:
        """Share of the signal in the yields."""
        return float(yields[self.signal].sum() / yields.sum())

    def _with_fraction(self, yields: FloatArray, kappa: float | None) -> FloatArray:
        """Yields of the same sum and another signal share, if one is asked for."""
        if kappa is None:
            return yields
        out = np.empty_like(yields)
        total = yields.sum()
        for rows, share in ((self.signal, kappa), (~self.signal, 1.0 - kappa)):
            own = yields[rows]
            equal = np.full(own.size, 1.0 / own.size)
            out[rows] = total * share * (own / own.sum() if own.any() else equal)
        return out


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


def _da(n: FloatArray, mu: FloatArray, v: FloatArray) -> tuple[FloatArray, ...]:
    """Terms and their derivatives by mu and v, after Dembinski and Abdelmotteleb."""
    k = mu**2 / v
    b = (n + k) / (mu + k)
    log_b = np.log(np.maximum(b, _TINY))
    value = _xlogy(n, n / mu) - (n + k) * log_b
    by_k = b - 1.0 - log_b
    by_mu = b - n / mu + 2.0 * k / mu * by_k
    return 2.0 * value, 2.0 * by_mu, -2.0 * k / v * by_k


def _jsc(n: FloatArray, mu: FloatArray, v: FloatArray) -> tuple[FloatArray, ...]:
    """Terms and their derivatives by mu and v, after Conway."""
    k = mu**2 / v
    p = 0.5 - 0.5 * mu / k
    b = p + np.sqrt(p**2 + n / k)
    value = 2.0 * (_xlogy(n, n / np.maximum(mu * b, _TINY)) + mu * b - n)
    distance = (b - 1.0) ** 2
    by_mu = 2.0 * (b - n / mu) + 2.0 * k / mu * distance
    return value + k * distance, by_mu, -k / v * distance


_COSTS: dict[str, Callable[..., tuple[FloatArray, ...]]] = {"da": _da, "jsc": _jsc}


def _xlogy(n: FloatArray, x: FloatArray) -> FloatArray:
    return np.where(n > 0, n * np.log(np.where(n > 0, x, 1.0)), 0.0)


@dataclass(frozen=True, eq=False)
class KappaCurve:
    """Profile of one dataset."""

    yields: FloatArray  # (n_templates,), the best ones in events
    value: float  # -2 ln L there
    kappa: FloatArray  # (n_points,) within [0, 1]; the estimate is in the middle
    log_likelihood: FloatArray  # (n_points,), zero at the estimate
    converged: bool  # the best yields are a minimum
    n_steps: int  # to there


def kappa_curve(model: FreeYields, start: FloatArray, drop: float) -> KappaCurve:
    """Profile likelihood of kappa around its maximum; ``start`` (n_templates,)."""
    yields = start / model.total
    mixed = (1.0 - _MIXED) * yields + _MIXED * yields.mean()
    equal = np.full_like(yields, yields.mean())
    ends = [model.minimise(model.at(y)) for y in (mixed, equal)]
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
        ends = [scan.deepest, model.minimise(scan.deepest), *ends]
    return KappaCurve(
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
        at = self.kappa + np.copysign(step, bound - self.kappa)
        if step >= abs(bound - self.kappa):
            at = bound
        found = _distinct([self.model.minimise(end, at) for end in near])
        self.deepest = min(self.deepest, found[0], key=lambda end: end.value)
        return found[0].value - self.best.value, found


def _distinct(ends: list[Minimum]) -> list[Minimum]:
    """Minima of different depth, the deepest first."""
    found: list[Minimum] = []
    for end in sorted(ends, key=lambda end: end.value):
        if not found or end.value > found[-1].value + _DEEPER:
            found.append(end)
    return found
