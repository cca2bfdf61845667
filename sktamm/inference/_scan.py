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
from sktamm.inference._optimise import Terms, maximise
from sktamm.mixture import EventMixture, RowData

__all__ = ["event_curve"]

_STEP = 0.5  # of t; cubics between such points of a normal err by less than .05
_SHALLOW = 4.0  # up to which levels of interest, 2.8 sigmas, edges are approached
_LARGEST_RISE = 0.5  # one sigma above the tangent: rounding and skewness stay far below
_POINTS = 121  # of the grid; a rule of thumb: half a dozen per step
_LONGEST = 30  # steps to one side: 1.6 million standard errors
_TOL = 1e-4  # of the log posterior, where a unit is 1.4 standard errors
_DEEPEST = 1.1 * DEPTH  # the marginal and the profile do not fall alike


class _Point(NamedTuple):
    """A conditional maximum, its values and the derivative of the profile by kappa."""

    position: float  # t
    theta: FloatArray  # (n_params,)
    profile: float
    marginal: float
    slope: float
    precision: FloatArray  # (n_params - 1, n_params - 1), of all but kappa
    information: FloatArray  # (n_params, n_params), for minus the Hessian

    @property
    def known(self) -> bool:
        return bool(np.isfinite([self.profile, self.marginal, self.slope]).all())


class _Start(NamedTuple):
    """Where a search for a conditional maximum begins."""

    position: float
    theta: FloatArray  # (n_params,)
    terms: Terms  # of one fit; the information is that of the point before
    tolerance: float = _TOL


@dataclass(eq=False)
class _Side:
    """Points met on the way to one side, the maximum first."""

    sign: float
    limit: float  # t of the bound
    scale: float
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
        shares = (1.0, 0.25) if self.depth < _SHALLOW else (1.0,)
        step = min(_STEP, self._way_down())
        return [last + self.sign * share * step for share in shares]

    def _way_down(self) -> float:
        """Largest step worth its costs: a concave profile is deep enough there."""
        fall = -self.sign * self.last.slope * self.scale
        if not fall > 0:
            return _STEP
        there = np.sinh(abs(self.last.position)) + (_DEEPEST - self.depth) / fall
        return max(float(np.arcsinh(there)) - abs(self.last.position), 0.25 * _STEP)

    def predict(self, kappa: float) -> FloatArray:
        """Start at a new kappa: a parabola of the last two points and a tangent."""
        last = self.last.theta
        tangent, step = self._tangent(), kappa - last[0]
        start = last + step * tangent
        if len(self.points) > 1:
            back = last - self.points[-2].theta
            if back[0] != 0:  # steps above the resolution of kappa
                start += (tangent * back[0] - back) * (step / back[0]) ** 2
        return start

    def _tangent(self) -> FloatArray:
        """Change of the conditional maximum with kappa, shape (n_params,)."""
        information = self.last.information
        eta = -np.linalg.solve(information[1:, 1:], information[1:, 0])
        return np.append(1.0, eta)

    @property
    def depth(self) -> float:
        """How far the last point of the profile lies below the maximum."""
        return self.points[0].profile - self.last.profile

    def tolerance(self, kappa: float) -> float:
        """Of a point there, looser where little of the posterior lies."""
        rise = self.last.slope * (kappa - self.last.theta[0])
        depth = self.depth - min(rise, 0.0) - _SHALLOW
        return _TOL * float(np.exp(np.clip(depth, 0.0, DEPTH)))

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
        one, width = data.take(np.array([b])), float(scale[b, 0])
        curves.append(_Scan(model, one, start, width).curve(bounds, which))
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

    def curve(self, bounds: tuple[float, float], which: str) -> _Curve:
        """Both sides on an equidistant grid."""
        centre, scale = self.maximum[0], self.scale
        low, high = (float(np.arcsinh((b - centre) / scale)) for b in bounds)
        terms = self.model.step_terms(self.maximum[None], self.data)
        (start,) = self._points([_Start(0.0, self.maximum, terms)])
        if not start.known:
            return self._unknown(bounds)
        ends = (-1.0, low), (1.0, high)
        sides = [_Side(sign, end, scale, [start]) for sign, end in ends]
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
        moving = [(side, start) for side, start in found if start is not None]
        if not moving:
            return
        points = self._points([start for _, start in moving])
        for (side, _), point in zip(moving, points, strict=True):
            if not side.add(point):
                self._short_step(side)

    def _short_step(self, side: _Side) -> None:
        """A short step from the last point, where a long one met another solution."""
        position = side.last.position + 0.25 * side.sign * _STEP
        trial = self._at(position, side.last.theta)
        (point,) = self._points([self._begin(position, trial, side)])
        side.done = not side.add(point)

    def _start(self, side: _Side) -> _Start | None:
        """Next position of a side and parameters there with a finite log posterior."""
        for position in side.next_positions():
            guess = side.predict(self._kappa(position))
            for candidate in (guess, side.last.theta):
                trial = self._at(position, candidate)
                start = self._begin(position, trial, side)
                if np.isfinite(start.terms[0]).all():
                    return start
        return None

    def _begin(self, position: float, theta: FloatArray, side: _Side) -> _Start:
        """A start with the information of the last point of a side."""
        value, gradient = self.model.value_and_gradient(theta[None], self.data)
        terms = value, gradient, side.last.information[None]
        return _Start(position, theta, terms, side.tolerance(theta[0]))

    def _kappa(self, position: float) -> float:
        return float(self.maximum[0] + self.scale * np.sinh(position))

    def _at(self, position: float, theta: FloatArray) -> FloatArray:
        """Parameters with another kappa."""
        moved = theta.copy()
        moved[0] = self._kappa(position)
        return moved

    @np.errstate(invalid="ignore")
    def _points(self, starts: Sequence[_Start]) -> list[_Point]:
        """Conditional maxima."""
        model, eta = self.model, slice(1, None)
        theta = np.stack([start.theta for start in starts])
        columns = zip(*(start.terms for start in starts), strict=True)
        value, gradient, information = map(np.concatenate, columns)
        found = maximise(
            model,
            theta,
            self.data.take(np.zeros(len(theta), dtype=int)),
            fixed=slice(0, 1),
            tol=np.array([start.tolerance for start in starts]),
            start=(value, gradient, information),
        )
        prior = model.prior_hessian(found.theta) + model.prior_information(found.theta)
        precision = (found.information - prior)[:, eta, eta]
        sign, log_det = np.linalg.slogdet(precision)
        for i in np.flatnonzero(sign <= 0):
            log_det[i] = np.linalg.slogdet(found.information[i, eta, eta])[1]
        marginal, slope = found.value - 0.5 * log_det, found.gradient[:, 0]
        numbers = (array.tolist() for array in (found.value, marginal, slope))
        positions = [start.position for start in starts]
        arrays = found.theta, *numbers, precision, found.information
        parts = zip(positions, *arrays, strict=True)
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
    columns = zip(*points, strict=True)
    position, theta, profile, marginal, slope, precision, _ = map(np.array, columns)
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
