"""Curves of kappa for unbinned data: a march from the maximum to both sides.

Every point costs a pass over all events, so points are placed one after the other, each
maximised from a start that the points before it predict, until the curve has fallen far
enough or kappa meets a bound. They keep to the solution of the maximum, since blends
that the reference does not control may offer others with a higher likelihood. Between
the points the profile follows its slope, which is d ln p / d kappa there: near the wall
where a density vanishes it bends too fast for its values alone.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.interpolate import PchipInterpolator, PPoly

from sktamm._numerics import FloatArray
from sktamm.inference._curve import KappaCurve, Path
from sktamm.inference._optimise import maximise
from sktamm.mixture import EventMixture, RowData

__all__ = ["event_curve"]

_STEP = 0.5  # of t; cubics between such points of a normal err by less than .05
_DEPTH = 12.0  # beyond five sigmas
_SHALLOW = 4.0  # up to which levels of interest, 2.8 sigmas, walls are approached
_LARGEST_RISE = 0.5  # one sigma above the tangent: rounding and skewness stay far below
_POINTS = 121
_LONGEST = 30  # steps to one side: 1.6 million standard errors
_TOL = 1e-4
_SMALLEST_SCALE = 1e-5  # a standard error that 10^10 events would have


@dataclass(eq=False)
class _Side:
    """Points met on the way to one side, the maximum first."""

    sign: float
    limit: float
    position: list[float] = field(default_factory=list)
    theta: list[FloatArray] = field(default_factory=list)
    profile: list[float] = field(default_factory=list)
    marginal: list[float] = field(default_factory=list)
    slope: list[float] = field(default_factory=list)
    precision: list[FloatArray] = field(default_factory=list)
    done: bool = False

    def next_positions(self) -> list[float]:
        """The next t: a step further or the bound.

        Shorter steps follow, in case that is not feasible, unless the curve has fallen
        enough: near a wall it bends too fast to be worth them.
        """
        last = self.position[-1]
        if abs(self.limit - last) <= _STEP:
            return [self.limit]
        shallow = self.profile[-1] > self.profile[0] - _SHALLOW
        shares = (1.0, 0.25) if shallow else (1.0,)
        return [last + self.sign * share * _STEP for share in shares]

    def predict(self, new: float, slope: FloatArray) -> FloatArray:
        """Start at a new kappa, on the line through the last two points."""
        last = self.theta[-1]
        if len(self.theta) > 1:
            change = last - self.theta[-2]
            if change[0] == 0:  # steps below the resolution of kappa
                return last
            slope = change / change[0]
        return last + (new - last[0]) * slope

    def continues(self, point: "_Points", i: int = 0) -> bool:
        """Whether a further point is known and belongs to the same solution.

        A log-concave curve stays below its tangent.
        """
        values = point.profile[i], point.marginal[i], point.slope[i]
        rise = self.slope[-1] * (point.theta[i, 0] - self.theta[-1][0])
        highest = self.profile[-1] + max(rise, 0.0) + _LARGEST_RISE
        return bool(np.isfinite(values).all() and point.profile[i] < highest)

    def add(self, position: float, point: "_Points", i: int = 0) -> None:
        """Remember one of some points."""
        self.position.append(position)
        self.theta.append(point.theta[i])
        self.profile.append(float(point.profile[i]))
        self.marginal.append(float(point.marginal[i]))
        self.slope.append(float(point.slope[i]))
        self.precision.append(point.precision[i])


@dataclass(frozen=True, eq=False)
class _Points:
    """Conditional maxima, their values and the derivatives of the profile by kappa."""

    theta: FloatArray
    profile: FloatArray
    marginal: FloatArray
    slope: FloatArray
    precision: FloatArray


# Positions, profile, marginal, and the maxima behind them.
_March = tuple[FloatArray, FloatArray, FloatArray, Path]


def event_curve(
    model: EventMixture,
    data: RowData,
    theta: FloatArray,
    covariance: FloatArray,
    bounds: tuple[float, float],
    which: str,
) -> KappaCurve:
    """Evaluate profile and marginal where they matter.

    ``theta`` (n_fits, n_params), ``covariance`` (n_fits, n_params, n_params). Returns
    curves down to about twelve units below their maximum, or to the bounds.
    """
    rows = range(len(theta))
    parts = [
        _march(model, data.take(np.array([b])), theta[b], covariance[b], bounds, which)
        for b in rows
    ]
    centre = theta[:, :1]
    scale = np.sqrt(np.maximum(covariance[:, :1, 0], _SMALLEST_SCALE**2))
    *curves, paths = zip(*parts, strict=True)
    position, profile, marginal = (np.stack(arrays) for arrays in curves)
    return KappaCurve(centre, scale, bounds, position, profile, marginal, paths)


def _march(
    model: EventMixture,
    data: RowData,
    theta: FloatArray,
    covariance: FloatArray,
    bounds: tuple[float, float],
    which: str,
) -> _March:
    """One fit on an equidistant grid."""
    centre = theta[0]
    variance = max(covariance[0, 0], _SMALLEST_SCALE**2)
    scale, slope = float(np.sqrt(variance)), covariance[:, 0] / variance
    low, high = (float(np.arcsinh((b - centre) / scale)) for b in bounds)
    start = _points(model, data, theta[None])
    if not np.isfinite([start.profile, start.marginal, start.slope]).all():
        return _unknown(theta, scale, bounds)
    sides = [_Side(-1.0, low), _Side(1.0, high)]
    for side in sides:
        side.add(0.0, start)
        side.done = abs(side.limit) < 1e-9
    for _ in range(_LONGEST):
        going = [side for side in sides if not side.done]
        if not going:
            break
        _advance(model, data, going, centre, scale, slope)
        top = max(max(getattr(side, which)) for side in sides)
        for side in going:
            at_bound = side.position[-1] == side.limit
            deep = getattr(side, which)[-1] < top - _DEPTH
            side.done = side.done or at_bound or deep
    if all(len(side.position) == 1 for side in sides):
        return _unknown(theta, scale, bounds)
    return *_on_grid(sides, scale), _path(sides)


def _path(sides: list[_Side]) -> Path:
    """The maxima of both sides."""
    left, right = sides
    theta, value, precision = (
        np.array(getattr(left, name)[:0:-1] + getattr(right, name))
        for name in ("theta", "profile", "precision")
    )
    return Path(theta, value, precision)


def _unknown(theta: FloatArray, scale: float, bounds: tuple[float, float]) -> _March:
    """Flat curves over all fractions, where none but the start can be evaluated."""
    centre = theta[0]
    ends = np.clip([min(centre, 0.0), max(centre, 1.0)], *bounds)
    low, high = np.arcsinh((ends - centre) / scale)
    flat = np.zeros(_POINTS)
    path = Path(theta[None], np.zeros(1))
    return np.linspace(low, high, _POINTS), flat, flat, path


@np.errstate(invalid="ignore")
def _points(model: EventMixture, data: RowData, theta: FloatArray) -> _Points:
    """Conditional maxima from some starts."""
    repeated = data.take(np.zeros(len(theta), dtype=int))
    found = maximise(model, theta, repeated, fixed=slice(0, 1), tol=_TOL)
    eta = slice(1, None)
    prior = model.prior_hessian(found.theta) + model.prior_information(found.theta)
    precision = (found.information - prior)[:, eta, eta]
    sign, log_det = np.linalg.slogdet(precision)
    for i in np.flatnonzero(sign <= 0):
        log_det[i] = np.linalg.slogdet(found.information[i, eta, eta])[1]
    slope = model.value_and_gradient(found.theta, repeated)[1][:, 0]
    marginal = found.value - 0.5 * log_det
    return _Points(found.theta, found.value, marginal, slope, precision)


def _advance(
    model: EventMixture,
    data: RowData,
    sides: list[_Side],
    centre: float,
    scale: float,
    slope: FloatArray,
) -> None:
    """Add one point to every side; a side that has no feasible start is done."""
    positions, starts, moving = [], [], []
    for side in sides:
        found = _start(model, data, side, centre, scale, slope)
        if found is None:
            side.done = True
            continue
        positions.append(found[0])
        starts.append(found[1])
        moving.append(side)
    if not moving:
        return
    points = _points(model, data, np.stack(starts))
    for i, side in enumerate(moving):
        if side.continues(points, i):
            side.add(positions[i], points, i)
        else:
            _creep(model, data, side, centre, scale)


def _creep(
    model: EventMixture, data: RowData, side: _Side, centre: float, scale: float
) -> None:
    """A short step from the last point, where a long one met another solution."""
    new = side.position[-1] + 0.25 * side.sign * _STEP
    trial = side.theta[-1].copy()
    trial[0] = centre + scale * np.sinh(new)
    point = _points(model, data, trial[None])
    side.done = not side.continues(point)
    if not side.done:
        side.add(new, point)


def _start(
    model: EventMixture,
    data: RowData,
    side: _Side,
    centre: float,
    scale: float,
    slope: FloatArray,
) -> tuple[float, FloatArray] | None:
    """Next position of a side and parameters there with a finite log posterior."""
    for new in side.next_positions():
        value = float(centre + scale * np.sinh(new))
        guess = side.predict(value, slope)
        for candidate in (guess, side.theta[-1]):
            trial = candidate.copy()
            trial[0] = value
            if np.isfinite(model.value(trial[None], data)[0]):
                return new, trial
    return None


def _on_grid(
    sides: list[_Side], scale: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Both sides together, interpolated to an equidistant grid."""
    left, right = sides
    position, profile, marginal, slope = (
        np.array(getattr(left, name)[:0:-1] + getattr(right, name), dtype=float)
        for name in ("position", "profile", "marginal", "slope")
    )
    grid = np.linspace(position[0], position[-1], _POINTS)
    slope *= scale * np.cosh(position)  # d kappa / dt
    fine = _monotone(position, profile, slope)(grid)
    return grid, fine, fine + PchipInterpolator(position, marginal - profile)(grid)


def _monotone(x: FloatArray, y: FloatArray, slope: FloatArray) -> PPoly:
    """Piecewise cubic with given values and slopes that does not overshoot.

    Where the ends of an interval say that the curve is monotone, slopes are at most
    three times the secant (Fritsch and Carlson 1980).
    """
    h = np.diff(x)
    secant = np.diff(y) / h
    start, end = slope[:-1], slope[1:]
    monotone = (start * secant >= 0) & (end * secant >= 0) & (start * end >= 0)
    largest = np.where(monotone, 3.0 * np.abs(secant), np.inf)
    start, end = np.clip(start, -largest, largest), np.clip(end, -largest, largest)
    cubic = (start + end - 2.0 * secant) / h**2
    square = (3.0 * secant - 2.0 * start - end) / h
    return PPoly(np.stack([cubic, square, start, y[:-1]]), x)
