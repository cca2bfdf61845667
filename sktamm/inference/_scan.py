"""Curves of kappa for unbinned data: a scan from the maximum to both sides.

Every point costs a pass over all events, so points are placed one after the other, each
maximised from a predicted start, until the curve has fallen far enough or kappa meets a
bound. They keep to the solution of the maximum. Between them the profile follows its
slope d ln p / d kappa.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.interpolate import PchipInterpolator, PPoly

from sktamm._numerics import FloatArray
from sktamm.inference._curve import DEPTH, SMALLEST_SCALE, KappaCurve, Path
from sktamm.inference._optimise import maximise
from sktamm.mixture import EventMixture, RowData

__all__ = ["event_curve"]

_STEP = 0.5  # of t; cubics between such points of a normal err by less than .05
_SHALLOW = 4.0  # up to which levels of interest, 2.8 sigmas, edges are approached
_LARGEST_RISE = 0.5  # one sigma above the tangent: rounding and skewness stay far below
_POINTS = 121  # of the grid; a rule of thumb: half a dozen per step
_LONGEST = 30  # steps to one side: 1.6 million standard errors
_TOL = 1e-4  # of the log posterior, where a unit is 1.4 standard errors


class _Point(NamedTuple):
    """A conditional maximum, its values and the derivative of the profile by kappa."""

    position: float  # t
    theta: FloatArray  # (n_params,)
    profile: float
    marginal: float
    slope: float
    precision: FloatArray  # (n_params - 1, n_params - 1), of all but kappa

    @property
    def known(self) -> bool:
        return bool(np.isfinite([self.profile, self.marginal, self.slope]).all())


@dataclass(eq=False)
class _Side:
    """Points met on the way to one side, the maximum first."""

    sign: float
    limit: float  # t of the bound
    points: list[_Point]
    done: bool = False

    @property
    def last(self) -> _Point:
        return self.points[-1]

    def next_positions(self) -> list[float]:
        """The next t: a step further or the bound, then shorter steps."""
        last = self.last.position
        if abs(self.limit - last) <= _STEP:
            return [self.limit]
        shallow = self.last.profile > self.points[0].profile - _SHALLOW
        shares = (1.0, 0.25) if shallow else (1.0,)
        return [last + self.sign * share * _STEP for share in shares]

    def predict(self, kappa: float, slope: FloatArray) -> FloatArray:
        """Start at a new kappa, on the line through the last two points."""
        last = self.last.theta
        if len(self.points) > 1:
            change = last - self.points[-2].theta
            if change[0] == 0:  # steps below the resolution of kappa
                return last
            slope = change / change[0]
        return last + (kappa - last[0]) * slope

    def add(self, point: _Point) -> bool:
        """Keep a point below the tangent, as a log-concave curve is, if it is known."""
        last = self.last
        rise = last.slope * (point.theta[0] - last.theta[0])
        highest = last.profile + max(rise, 0.0) + _LARGEST_RISE
        same = point.known and point.profile < highest
        if same:
            self.points.append(point)
        return same


class _Curve(NamedTuple):
    """Profile and marginal of one fit at equidistant t, and the maxima behind them."""

    position: FloatArray  # (n_points,), like the next two
    profile: FloatArray
    marginal: FloatArray
    path: Path


def event_curve(
    model: EventMixture,
    data: RowData,
    theta: FloatArray,
    covariance: FloatArray,
    bounds: tuple[float, float],
    which: str,
) -> KappaCurve:
    """Profile and marginal, down to twelve units below the maximum, or the bounds."""
    centre = theta[:, :1]
    scale = np.sqrt(np.maximum(covariance[:, :1, 0], SMALLEST_SCALE**2))
    curves = []
    for b, start in enumerate(theta):
        column, width = covariance[b, :, 0], float(scale[b, 0])
        slope = column / max(column[0], SMALLEST_SCALE**2)
        one = data.take(np.array([b]))
        curves.append(_Scan(model, one, start, width, slope).curve(bounds, which))
    position, profile, marginal, paths = zip(*curves, strict=True)
    values = np.stack(position), np.stack(profile), np.stack(marginal)
    return KappaCurve(centre, scale, bounds, *values, paths)


@dataclass(frozen=True, eq=False)
class _Scan:
    """One fit along t, kappa = centre + scale sinh(t)."""

    model: EventMixture
    data: RowData  # of one fit
    maximum: FloatArray  # (n_params,), kappa the first
    scale: float
    slope: FloatArray  # (n_params,), d theta / d kappa at the maximum

    def curve(self, bounds: tuple[float, float], which: str) -> _Curve:
        """Both sides on an equidistant grid."""
        centre, scale = self.maximum[0], self.scale
        low, high = (float(np.arcsinh((b - centre) / scale)) for b in bounds)
        (start,) = self._points([0.0], self.maximum[None])
        if not start.known:
            return self._unknown(bounds)
        sides = [_Side(-1.0, low, [start]), _Side(1.0, high, [start])]
        self._follow(sides, which)
        left, right = sides
        points = [*left.points[:0:-1], *right.points]
        return self._unknown(bounds) if len(points) == 1 else _on_grid(points, scale)

    def _follow(self, sides: list[_Side], which: str) -> None:
        """Add points to both sides until their curves have fallen far enough."""
        for side in sides:
            side.done = abs(side.limit) < 1e-9
        for _ in range(_LONGEST):
            going = [side for side in sides if not side.done]
            if not going:
                break
            self._advance(going)
            top = max(getattr(point, which) for side in sides for point in side.points)
            for side in going:
                at_bound = side.last.position == side.limit
                deep = getattr(side.last, which) < top - DEPTH
                side.done = side.done or at_bound or deep

    def _advance(self, sides: list[_Side]) -> None:
        """Add one point to every side; a side that has no feasible start is done."""
        found = [(side, self._start(side)) for side in sides]
        for side, start in found:
            side.done = start is None
        moving = [(side, *start) for side, start in found if start is not None]
        if not moving:
            return
        _, positions, starts = zip(*moving, strict=True)
        points = self._points(positions, np.stack(starts))
        for (side, *_), point in zip(moving, points, strict=True):
            if not side.add(point):
                self._short_step(side)

    def _short_step(self, side: _Side) -> None:
        """A short step from the last point, where a long one met another solution."""
        position = side.last.position + 0.25 * side.sign * _STEP
        trial = self._at(position, side.last.theta)
        (point,) = self._points([position], trial[None])
        side.done = not side.add(point)

    def _start(self, side: _Side) -> tuple[float, FloatArray] | None:
        """Next position of a side and parameters there with a finite log posterior."""
        for position in side.next_positions():
            guess = side.predict(self._kappa(position), self.slope)
            for candidate in (guess, side.last.theta):
                trial = self._at(position, candidate)
                if np.isfinite(self.model.value(trial[None], self.data)[0]):
                    return position, trial
        return None

    def _kappa(self, position: float) -> float:
        return float(self.maximum[0] + self.scale * np.sinh(position))

    def _at(self, position: float, theta: FloatArray) -> FloatArray:
        """Parameters with another kappa."""
        moved = theta.copy()
        moved[0] = self._kappa(position)
        return moved

    @np.errstate(invalid="ignore")
    def _points(self, positions: Sequence[float], theta: FloatArray) -> list[_Point]:
        """Conditional maxima from starts (n_points, n_params)."""
        model, eta = self.model, slice(1, None)
        repeated = self.data.take(np.zeros(len(theta), dtype=int))
        found = maximise(model, theta, repeated, fixed=slice(0, 1), tol=_TOL)
        prior = model.prior_hessian(found.theta) + model.prior_information(found.theta)
        precision = (found.information - prior)[:, eta, eta]
        sign, log_det = np.linalg.slogdet(precision)
        for i in np.flatnonzero(sign <= 0):
            log_det[i] = np.linalg.slogdet(found.information[i, eta, eta])[1]
        slope = model.value_and_gradient(found.theta, repeated)[1][:, 0]
        values = found.value, found.value - 0.5 * log_det, slope
        numbers = (array.tolist() for array in values)
        parts = zip(positions, found.theta, *numbers, precision, strict=True)
        return list(map(_Point._make, parts))

    def _unknown(self, bounds: tuple[float, float]) -> _Curve:
        """Flat over all fractions, where none but the start can be evaluated."""
        centre = self.maximum[0]
        ends = np.clip([min(centre, 0.0), max(centre, 1.0)], *bounds)
        low, high = np.arcsinh((ends - centre) / self.scale)
        flat = np.zeros(_POINTS)
        path = Path(self.maximum[None], np.zeros(1))
        return _Curve(np.linspace(low, high, _POINTS), flat, flat, path)


def _on_grid(points: list[_Point], scale: float) -> _Curve:
    """Curves through points of ascending t, interpolated to an equidistant grid."""
    position, theta, profile, marginal, slope, precision = map(
        np.array, zip(*points, strict=True)
    )
    grid = np.linspace(position[0], position[-1], _POINTS)
    slope *= scale * np.cosh(position)  # d kappa / dt
    fine = _monotone(position, profile, slope)(grid)
    rest = PchipInterpolator(position, marginal - profile)(grid)
    return _Curve(grid, fine, fine + rest, Path(theta, profile, precision))


def _monotone(x: FloatArray, y: FloatArray, slope: FloatArray) -> PPoly:
    """Monotone piecewise cubic of values and slopes (Fritsch and Carlson 1980)."""
    h = np.diff(x)
    secant = np.diff(y) / h
    start, end = slope[:-1], slope[1:]
    monotone = (start * secant >= 0) & (end * secant >= 0) & (start * end >= 0)
    largest = np.where(monotone, 3.0 * np.abs(secant), np.inf)
    start, end = np.clip(start, -largest, largest), np.clip(end, -largest, largest)
    cubic = (start + end - 2.0 * secant) / h**2
    square = (3.0 * secant - 2.0 * start - end) / h
    return PPoly(np.stack([cubic, square, start, y[:-1]]), x)
