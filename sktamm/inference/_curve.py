"""Profile likelihood and marginal posterior of kappa on a grid.

At every kappa of the grid all other parameters eta are maximised, then integrated by
Laplace's method (Tierney and Kadane 1986),

    profile(kappa)  = max_eta ln p(kappa, eta | data)
    marginal(kappa) = profile(kappa) - 1/2 ln det A_eta(kappa).

The grid is kappa = centre + scale sinh(t) with equidistant t: fine at the joint
maximum, wide in the tails.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from sktamm._numerics import FloatArray
from sktamm.inference._optimise import chunks, maximise
from sktamm.mixture import MixtureModel, RowData

__all__ = [
    "DEPTH",
    "SMALLEST_SCALE",
    "KappaCurve",
    "Path",
    "kappa_curve",
    "log_det",
    "outward_minimum",
]

_COARSE, _FINE = 13, 25  # points: a rule of thumb
DEPTH = 12.0  # 4.9 sigmas of a normal
_WIDENINGS = 5  # the last at 330 standard errors
_FIRST_RANGE = float(np.arcsinh(6.0))  # standard errors, one beyond the depth
SMALLEST_SCALE = 1e-5  # a standard error that 10^10 events would have


@dataclass(frozen=True, eq=False)
class Path:
    """Maxima of one fit at given kappa."""

    theta: FloatArray  # (n_points, n_params), kappa the first and ascending
    value: FloatArray  # (n_points,), log posterior
    # (n_points, n_params - 1, n_params - 1), minus the Hessian of all but kappa
    precision: FloatArray | None = None

    def near(self, kappa: FloatArray) -> "Path":
        """The points nearest to some values, each once."""
        distance = np.abs(self.theta[:, :1] - kappa)
        some = np.unique(distance.argmin(axis=0))
        precision = None if self.precision is None else self.precision[some]
        return Path(self.theta[some], self.value[some], precision)


@dataclass(frozen=True, eq=False)
class KappaCurve:
    """Log densities on one grid of kappa per dataset."""

    centre: FloatArray  # (n_fits, 1), joint maximum
    scale: FloatArray  # (n_fits, 1), its standard error
    bounds: tuple[float, float]  # of kappa
    position: FloatArray  # (n_fits, n_points), equidistant t of the grid
    # (n_fits, n_points), log profile likelihood and log marginal posterior up to a
    # constant; zero if nothing but the joint maximum could be evaluated
    profile: FloatArray
    marginal: FloatArray
    paths: tuple[Path, ...] = ()  # the maxima behind them, if kept

    @property
    def kappa(self) -> FloatArray:
        """Grid of kappa, ascending."""
        return self._at(self.position)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whether the fits have a curve, shape (n_fits,)."""
        return np.asarray(self.profile.any(axis=1))

    def _at(self, position: FloatArray) -> FloatArray:
        return np.clip(self.centre + self.scale * np.sinh(position), *self.bounds)

    def refine(self, which: str, n_points: int = 1001) -> tuple[FloatArray, FloatArray]:
        """A curve (n_fits, n_points) on a finer grid, with maximum zero."""
        values = getattr(self, which)
        safe = np.maximum(values - values.max(axis=1, keepdims=True), -4.0 * DEPTH)
        coarse = np.linspace(0.0, 1.0, values.shape[1])
        fine = np.linspace(0.0, 1.0, n_points)
        log_density = CubicSpline(coarse, safe, axis=1)(fine)
        low, high = self.position[:, :1], self.position[:, -1:]
        kappa = self._at(low + fine * (high - low))
        return kappa, log_density - log_density.max(axis=1, keepdims=True)


def kappa_curve(
    model: MixtureModel,
    data: RowData,
    theta: FloatArray,
    covariance: FloatArray,
    bounds: tuple[float, float],
    which: str,
) -> KappaCurve:
    """Curves down to about twelve units below their maximum, or to the bounds."""
    centre = theta[:, :1]
    scale = np.sqrt(np.maximum(covariance[:, :1, 0], SMALLEST_SCALE**2))
    slope = covariance[:, :, 0] / covariance[:, :1, 0]
    limits = [np.arcsinh((bound - centre) / scale) for bound in bounds]
    low = np.maximum(-_FIRST_RANGE, limits[0])
    high = np.minimum(_FIRST_RANGE, limits[1])
    outside = high - low < 1.0  # the joint maximum lies far beyond a bound
    low, high = np.where(outside, limits[0], low), np.where(outside, limits[1], high)
    for _ in range(_WIDENINGS):
        grid = low + np.linspace(0.0, 1.0, _COARSE) * (high - low)
        shift = scale * np.sinh(grid)
        start = theta[:, None] + shift[:, :, None] * slope[:, None]
        curve, modes = _evaluate(model, data, (centre, scale, bounds, grid), start)
        values = _relevant(curve, which)
        enough = values > values.max(axis=1, keepdims=True) - 0.75 * DEPTH
        short_low = enough[:, :1] & (low > limits[0])
        short_high = enough[:, -1:] & (high < limits[1])
        if not (short_low.any() or short_high.any()):
            break
        low = np.where(short_low, np.maximum(low - 1.0, limits[0]), low)
        high = np.where(short_high, np.minimum(high + 1.0, limits[1]), high)
    low, high = _trimmed_range(grid, values)
    fine = low + np.linspace(0.0, 1.0, _FINE) * (high - low)
    start = _interpolated(grid, values, modes, fine)
    curve, modes = _evaluate(model, data, (centre, scale, bounds, fine), start)
    return replace(curve, paths=tuple(map(_path, modes, curve.profile)))


def _path(theta: FloatArray, value: FloatArray) -> Path:
    """The points that could be evaluated."""
    known = np.isfinite(value)
    return Path(theta[known], value[known])


def _interpolated(
    grid: FloatArray, values: FloatArray, modes: FloatArray, fine: FloatArray
) -> FloatArray:
    """Starting points at a finer grid: modes interpolated, or those of the nearest."""
    nearest = np.abs(fine[:, :, None] - grid[:, None, :]).argmin(axis=2)
    start = np.take_along_axis(modes, nearest[:, :, None], axis=1)
    for i in np.flatnonzero(np.isfinite(values).all(axis=1)):
        if (np.diff(grid[i]) > 0).all():
            start[i] = CubicSpline(grid[i], modes[i])(fine[i])
    return start


def _evaluate(
    model: MixtureModel,
    data: RowData,
    grid: tuple[FloatArray, FloatArray, tuple[float, float], FloatArray],
    start: FloatArray,
) -> tuple[KappaCurve, FloatArray]:
    """Conditional maxima at every point of the grid, and their log determinants."""
    centre, scale, bounds, position = grid
    n_fits, n_points = position.shape
    theta = start.reshape(-1, model.n_params).copy()
    theta[:, 0] = np.clip(centre + scale * np.sinh(position), *bounds).ravel()
    repeated = data.take(np.repeat(np.arange(n_fits), n_points))
    outside = ~np.isfinite(model.value(theta, repeated))
    theta[outside, 1:] = model.start(1)[0, 1:]
    others = model.n_fractions
    theta[outside, 1:others] = (1.0 - theta[outside, :1]) / others
    feasible = np.isfinite(model.value(theta, repeated))
    profile = np.full(theta.shape[0], -np.inf)
    marginal = np.full(theta.shape[0], -np.inf)
    index = np.flatnonzero(feasible)
    subset = repeated.take(index)
    optimum = maximise(model, theta[index], subset, fixed=slice(0, 1), tol=1e-6)
    theta[index] = optimum.theta
    profile[index] = optimum.value
    marginal[index] = optimum.value - 0.5 * log_det(model, optimum.theta, subset)
    shape = (n_fits, n_points)
    curve = KappaCurve(*grid, profile.reshape(shape), marginal.reshape(shape))
    return curve, theta.reshape(n_fits, n_points, -1)


def log_det(
    model: MixtureModel, theta: FloatArray, data: RowData, n_given: int = 1
) -> FloatArray:
    """Ln det (n_fits,) of minus the Hessian, or the information, less the first."""
    rest = slice(n_given, None)
    if model.n_params == n_given:
        return np.zeros(theta.shape[0])
    sign, value = np.empty(theta.shape[0]), np.empty(theta.shape[0])
    for part in chunks(model, data):
        precision = -model.hessian(theta[part], data.take(part))[:, rest, rest]
        sign[part], value[part] = np.linalg.slogdet(precision)
    bad = np.flatnonzero(sign <= 0)
    if bad.size:
        information = model.step_terms(theta[bad], data.take(bad))[2]
        value[bad] = np.linalg.slogdet(information[:, rest, rest])[1]
    return value


def _relevant(curve: KappaCurve, which: str) -> FloatArray:
    """Values that decide where the grid ends."""
    if which == "marginal":
        return curve.marginal
    return outward_minimum(curve.profile, np.abs(curve.position).argmin(axis=1))


def outward_minimum(values: FloatArray, start: np.ndarray) -> FloatArray:
    """Smallest value (n_fits, n_points) on the way from a start to every point."""
    position = np.arange(values.shape[1])
    left = np.where(position <= start[:, None], values, np.inf)
    right = np.where(position >= start[:, None], values, np.inf)
    from_right = np.minimum.accumulate(left[:, ::-1], axis=1)[:, ::-1]
    from_left = np.minimum.accumulate(right, axis=1)
    return np.minimum(from_right, from_left)


def _trimmed_range(
    grid: FloatArray, values: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Ends of the part of the grid that lies less than the depth below the top."""
    inside = values > values.max(axis=1, keepdims=True) - DEPTH
    last = grid.shape[1] - 1
    first_in = inside.argmax(axis=1)
    last_in = last - inside[:, ::-1].argmax(axis=1)
    finite = np.isfinite(values)
    first = np.maximum(first_in - 1, finite.argmax(axis=1))
    end = np.minimum(last_in + 1, last - finite[:, ::-1].argmax(axis=1))
    rows = np.arange(grid.shape[0])
    return grid[rows, first][:, None], grid[rows, end][:, None]
