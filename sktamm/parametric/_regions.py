"""Regions of confidence: intervals, ellipses and exact contours.

A region of level c holds the points whose likelihood, profiled over the other
parameters (or with these held at the best fit), is within the quantile c of chi^2 with
one or two degrees of freedom of its maximum (Wilks). Ellipses approximate it by the
second derivatives at the best fit.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from sktamm._numerics import FloatArray
from sktamm.parametric._minimum import Descent, Minima
from sktamm.parametric._objective import Objective

__all__ = [
    "ConfidenceRegion",
    "LikelihoodFit",
    "ParameterInterval",
    "ProfileScan",
    "contour_points",
    "covariance_at",
    "ellipse_points",
    "find_segments",
]

# Distances of the scan from a minimum, in standard errors.
_DISTANCES = np.geomspace(0.05, 300.0, 30)
# Lengths of a ray, in those of the ellipse, beyond which the region has no end.
_FAR = 2.0**12
# Rule of thumb: so far above the level, and beyond all minima, a scan ends; a part of
# the region behind a higher wall is missed.
_WELL_OUTSIDE = 25.0


@dataclass(frozen=True, eq=False)
class LikelihoodFit:
    """The best fit.

    Attributes
    ----------
    theta : ndarray of shape (n_parameters,)
        Parameters of maximum likelihood.
    nuisance : ndarray of shape (n_nuisances,)
        Nuisance parameters there.
    nll : float
        -2 ln L relative to the reference point.
    std : ndarray of shape (n_parameters,)
        Standard errors; NaN where the second derivatives say nothing.
    covariance : ndarray of shape (n_parameters + n_nuisances,) * 2
        Twice the inverse of the second derivatives of ``nll``, of weighted events the
        sandwich; NaN where they are not positive definite.
    converged : bool
        Whether the descent ended well.
    at_bound : ndarray of bool, shape (n_parameters,)
        Which parameters are at one of their bounds.
    n_non_positive : int
        Number of events whose density is not positive at the best fit.
    minima : ndarray of shape (n_minima, n_parameters)
        Stationary points found with ``nll`` within 100 of the best fit, which is first.

    Examples
    --------
    >>> from sktamm.parametric import PolynomialRatio, UnbinnedLikelihood
    >>> y = [[1.0, 0.5], [-1.0, 0.5]]
    >>> ratio = PolynomialRatio().fit(y)
    >>> fit = UnbinnedLikelihood(ratio, 100.0).fit_asimov(y)
    >>> best = fit.best_fit()
    >>> best.converged, best.std.round(3).tolist()
    (True, [0.1])
    """

    theta: FloatArray
    nuisance: FloatArray
    nll: float
    std: FloatArray
    covariance: FloatArray
    converged: bool
    at_bound: NDArray[np.bool_]
    n_non_positive: int
    minima: FloatArray


@dataclass(frozen=True, eq=False)
class ProfileScan:
    """Likelihood along one parameter.

    Attributes
    ----------
    parameter : int
        Index of the parameter.
    values : ndarray of shape (n_points,)
        Its values.
    delta : ndarray of shape (n_points,)
        -2 ln of the likelihood ratio to the best fit, minimal over the others, and
        where events have weights divided by the factor that makes it that of chi^2.
    theta : ndarray of shape (n_points, n_parameters)
        All parameters at these minima.

    Examples
    --------
    >>> from sktamm.parametric import PolynomialRatio, UnbinnedLikelihood
    >>> y = [[1.0, 0.5], [-1.0, 0.5]]
    >>> ratio = PolynomialRatio().fit(y)
    >>> fit = UnbinnedLikelihood(ratio, 100.0).fit_asimov(y)
    >>> fit.profile(0, [-0.1, 0.0, 0.1]).delta.round(1).tolist()
    [1.0, 0.0, 1.0]
    """

    parameter: int
    values: FloatArray
    delta: FloatArray
    theta: FloatArray


@dataclass(frozen=True, eq=False)
class ParameterInterval:
    """Confidence interval of one parameter.

    Attributes
    ----------
    parameter : int
        Index of the parameter.
    level : float
        Confidence level.
    estimate : float
        Best fit.
    lower, upper : float
        Outermost ends; infinite where the likelihood does not end the interval.
    segments : ndarray of shape (n_segments, 2)
        The parts of the region, which need not be connected.
    others : {"profile", "fix"}
        What was done with the other parameters.

    Examples
    --------
    >>> from sktamm.parametric import PolynomialRatio, UnbinnedLikelihood
    >>> y = [[1.0, 0.5], [-1.0, 0.5]]
    >>> ratio = PolynomialRatio().fit(y)
    >>> fit = UnbinnedLikelihood(ratio, 100.0).fit_asimov(y)
    >>> interval = fit.interval(0, 0.95)
    >>> round(interval.lower, 2), round(interval.upper, 2)
    (-0.2, 0.2)
    """

    parameter: int
    level: float
    estimate: float
    lower: float
    upper: float
    segments: FloatArray
    others: str


@dataclass(frozen=True, eq=False)
class ConfidenceRegion:
    """Region of two parameters.

    Attributes
    ----------
    parameters : tuple of two int
        Indices of the parameters.
    level : float
        Confidence level.
    centre : ndarray of shape (2,)
        Best fit.
    points : ndarray of shape (n_points, 2)
        Closed curve, NaN where there is none.
    covariance : ndarray of shape (2, 2)
        Covariance of the two from the second derivatives at the best fit.
    others : {"profile", "fix"}
        What was done with the other parameters.
    kind : {"ellipse", "contour"}
        Approximation or exact.

    Examples
    --------
    >>> from sktamm.parametric import PolynomialRatio, UnbinnedLikelihood
    >>> y = [[1.0, 0.0, 0.5, 0.0, 0.5], [0.0, 1.0, 0.5, 0.0, 0.5]]
    >>> ratio = PolynomialRatio().fit(y)
    >>> fit = UnbinnedLikelihood(ratio, 100.0).fit_asimov(y)
    >>> region = fit.confidence_ellipse(0, 1, 0.95)
    >>> region.kind, region.points.shape
    ('ellipse', (128, 2))
    """

    parameters: tuple[int, int]
    level: float
    centre: FloatArray
    points: FloatArray
    covariance: FloatArray
    others: str
    kind: str

    @property
    def area(self) -> float:
        """Area within the curve."""
        x, y = (self.points - self.centre).T
        return float(0.5 * abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)))


def covariance_at(
    objective: Objective, point: FloatArray, scales: FloatArray
) -> FloatArray:
    """Twice the inverse of the second derivatives, NaN where not positive definite."""
    hessian = objective.hessian(point, scales) * np.outer(scales, scales)
    if not np.isfinite(hessian).all() or np.linalg.eigvalsh(hessian)[0] < 1e-6:
        return np.full(hessian.shape, np.nan)
    return 2.0 * np.linalg.inv(hessian) * np.outer(scales, scales)


def find_segments(
    descent: Descent, minima: Minima, i: int, quantile: float, std: float
) -> FloatArray:
    """Parts (n_segments, 2) of an axis within a quantile of the maximum likelihood."""
    low, high = descent.objective.limits[i]
    grid = _scan_grid(minima.points[:, i], std, low, high)
    best = minima.points[0]

    def path(values: FloatArray) -> FloatArray:
        points = np.tile(best, (values.size, 1))
        points[:, i] = values
        return points

    start = int(np.searchsorted(grid, best[i]))
    sides = [
        _outwards(descent, path(side), minima, i, quantile)
        for side in (grid[:start][::-1], grid[start:])
    ]
    (left, ends_left), (right, ends_right) = sides
    grid = grid[start - left.size : start + right.size]
    delta = np.concatenate([left[::-1], right])
    ends = np.concatenate([ends_left[::-1], ends_right])
    level = min(minima.values[0], delta.min()) + quantile

    def excess(value: float, near: FloatArray) -> float:
        values, _ = descent.profile(path(np.array([value])), near[None])
        return float(values[0]) - level

    return _crossings(grid, delta - level, ends, excess, (low, high))


def _outwards(
    descent: Descent, path: FloatArray, minima: Minima, i: int, quantile: float
) -> tuple[FloatArray, FloatArray]:
    """Profile along a path that ends beyond all minima, well outside the region."""
    best = minima.points[0]
    if not descent.free.any() or not len(path):
        return descent.objective.values(path), path
    reach = np.abs(minima.points[:, i] - best[i]).max()
    values, ends = np.empty(len(path)), path.copy()
    for k, point in enumerate(path):
        value, end = descent.profile(point[None], minima.points)
        values[k], ends[k] = value[0], end[0]
        beyond = abs(point[i] - best[i]) > reach
        if beyond and values[k] > minima.values[0] + quantile + _WELL_OUTSIDE:
            return values[: k + 1], ends[: k + 1]
    return values, ends


def _scan_grid(centres: FloatArray, std: float, low: float, high: float) -> FloatArray:
    reach = std * np.concatenate([-_DISTANCES[::-1], [0.0], _DISTANCES])
    near = reach[np.abs(reach) < 6.0 * std]
    parts = [centres[0] + reach, *(c + near for c in centres[1:])]
    parts += [v for v in (np.array([low]), np.array([high])) if np.isfinite(v[0])]
    return np.unique(np.clip(np.concatenate(parts), low, high))


def _crossings(
    grid: FloatArray,
    excess: FloatArray,
    ends: FloatArray,
    function: Callable[[float, FloatArray], float],
    limits: tuple[float, float],
) -> FloatArray:
    """Intervals of negative excess, their ends refined between grid points."""
    inside = excess <= 0
    edges = []
    if inside[0]:
        edges.append(limits[0])
    for k in np.flatnonzero(inside[1:] != inside[:-1]):
        near = ends[k] if inside[k] else ends[k + 1]
        width = grid[k + 1] - grid[k]
        edges.append(_root(function, grid[k], grid[k + 1], near, 1e-9 * width))
    if inside[-1]:
        edges.append(limits[1])
    return np.array(edges).reshape(-1, 2)


def _root(
    function: Callable[[float, FloatArray], float],
    low: float,
    high: float,
    near: FloatArray,
    tol: float,
) -> float:
    ends = [function(low, near), function(high, near)]
    if ends[0] * ends[1] > 0:
        # A descent from elsewhere found a deeper minimum: the grid point has the root.
        return low if abs(ends[0]) < abs(ends[1]) else high
    tol = max(tol, 4.0 * np.finfo(float).eps * max(abs(low), abs(high)))
    return float(optimize.brentq(function, low, high, args=(near,), xtol=tol))


def ellipse_points(
    centre: FloatArray, covariance: FloatArray, level: float, n_points: int
) -> FloatArray:
    """Points (n_points, 2) of the ellipse of a level; NaN where the covariance is."""
    if not np.isfinite(covariance).all():
        return np.full((n_points, 2), np.nan)
    radius = np.sqrt(stats.chi2.ppf(level, 2))
    return centre + radius * _circle(n_points) @ np.linalg.cholesky(covariance).T


def _circle(n_points: int) -> FloatArray:
    angle = 2.0 * np.pi * np.arange(n_points) / n_points
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def contour_points(
    descent: Descent,
    minima: Minima,
    pair: list[int],
    factors: Callable[[FloatArray], FloatArray],
    quantile: float,
    covariance: FloatArray,
    n_points: int,
) -> FloatArray:
    """First points (n_points, 2) on rays from the best fit that leave the region."""
    best = minima.points[0]
    shape = np.diag(descent.scales[pair])
    if np.isfinite(covariance).all():
        shape = np.sqrt(quantile) * np.linalg.cholesky(covariance)
    low, high = descent.objective.limits[pair].T
    points, near = np.empty((n_points, 2)), best
    rays = _circle(n_points) @ shape.T
    levels = minima.values[0] + quantile * factors(rays)
    for k, ray in enumerate(rays):

        def at(length: float, ray: FloatArray = ray) -> FloatArray:
            point = best.copy()
            point[pair] = best[pair] + length * ray
            return point

        far = _longest(best[pair], ray, low, high)
        length, near = _exit(descent, at, near, far, levels[k])
        points[k] = best[pair] + length * ray
    return points


def _longest(
    centre: FloatArray, ray: FloatArray, low: FloatArray, high: FloatArray
) -> float:
    """Length of the ray up to the bounds."""
    with np.errstate(divide="ignore", invalid="ignore"):
        lengths = np.where(ray > 0, (high - centre) / ray, (low - centre) / ray)
    return float(np.min(np.where(ray == 0, np.inf, lengths)))


def _exit(
    descent: Descent,
    at: Callable[[float], FloatArray],
    near: FloatArray,
    far: float,
    level: float,
) -> tuple[float, FloatArray]:
    """Length at which a ray leaves the region, NaN if never, and the full point."""
    last, best = near, at(0.0)
    quantile = level - float(descent.objective.values(best[None])[0])

    def excess(length: float) -> float:
        # The square root of a parabola is a line, which roots are quickly found of.
        nonlocal last
        value, ends = descent.profile(at(length)[None], last[None])
        last = ends[0]
        height = float(value[0]) - level + quantile
        return float(np.sqrt(max(height, 0.0) / quantile)) - 1.0

    inner, outer = 0.0, min(0.7, far)
    height = excess(outer)
    # Short steps, lest a gap in the region be stepped over.
    while height < 0 and outer < min(far, _FAR):
        inner, outer = outer, min(1.4 * outer, far)
        height = excess(outer)
    if outer >= _FAR:
        return np.nan, best
    if height > 0:
        outer = float(optimize.brentq(excess, inner, outer, xtol=1e-6))
    return outer, last
