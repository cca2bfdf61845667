"""Profile likelihood and marginal posterior of kappa on a grid.

At every kappa of the grid all other parameters eta are maximised, then integrated by
Laplace's method (Tierney and Kadane 1986),

    profile(kappa)  = max_eta ln p(kappa, eta | data)
    marginal(kappa) = profile(kappa) - 1/2 ln det A_eta(kappa).

The marginal keeps the asymmetry that a single Laplace approximation at the joint mode
loses, and is not pulled by the mode of parameters that the data determine badly.
"""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

from sktamm._numerics import FloatArray
from sktamm.inference._optimise import chunks, maximise
from sktamm.mixture._model import MixtureModel, RowData

__all__ = ["KappaCurve", "kappa_curve", "refine"]

_COARSE = 13
_FINE = 25
_DEPTH = 12.0
_WIDENINGS = 5


@dataclass(frozen=True, eq=False)
class KappaCurve:
    """Log densities on one equidistant grid of kappa per dataset.

    Attributes
    ----------
    kappa : ndarray of shape (n_fits, n_points)
        Grid, ascending and equidistant.
    profile, marginal : ndarray of shape (n_fits, n_points)
        Log profile likelihood and log marginal posterior, up to a constant.
    """

    kappa: FloatArray
    profile: FloatArray
    marginal: FloatArray


def kappa_curve(
    model: MixtureModel,
    data: RowData,
    theta: FloatArray,
    covariance: FloatArray,
    bounds: tuple[float, float],
    which: str,
) -> KappaCurve:
    """Evaluate the curve where it matters.

    Parameters
    ----------
    model : MixtureModel
        Log posterior.
    data : RowData
        Data of the fits.
    theta : ndarray of shape (n_fits, n_params)
        Joint maximum; kappa is the first parameter.
    covariance : ndarray of shape (n_fits, n_params, n_params)
        Inverse of minus the Hessian at the maximum.
    bounds : tuple of float
        Allowed range of kappa.
    which : {"profile", "marginal"}
        The curve that decides where the grid ends.

    Returns
    -------
    curve : KappaCurve
        Curves down to about twelve units below their maximum, or to the bounds.
    """
    std = np.sqrt(np.maximum(covariance[:, 0, 0], 1e-10))
    low = np.maximum(theta[:, 0] - 6.0 * std, bounds[0])
    high = np.minimum(theta[:, 0] + 6.0 * std, bounds[1])
    low, high = np.minimum(low, bounds[1] - std), np.maximum(high, bounds[0] + std)
    slope = covariance[:, :, 0] / covariance[:, :1, 0]
    for _ in range(_WIDENINGS):
        grid = np.linspace(low, high, _COARSE, axis=1)
        start = theta[:, None] + (grid - theta[:, :1])[:, :, None] * slope[:, None]
        curve, modes = _evaluate(model, data, grid, start)
        short_low, short_high = _too_short(getattr(curve, which), grid, bounds)
        if not (short_low.any() or short_high.any()):
            break
        width = high - low
        low = np.where(short_low, np.maximum(low - width, bounds[0]), low)
        high = np.where(short_high, np.minimum(high + width, bounds[1]), high)
    low, high = _worth(grid, getattr(curve, which))
    fine = np.linspace(low, high, _FINE, axis=1)
    nearest = np.abs(fine[:, :, None] - grid[:, None, :]).argmin(axis=2)
    start = np.take_along_axis(modes, nearest[:, :, None], axis=1)
    return _evaluate(model, data, fine, start)[0]


def _evaluate(
    model: MixtureModel, data: RowData, grid: FloatArray, start: FloatArray
) -> tuple[KappaCurve, FloatArray]:
    """Conditional maxima at every point of the grid, and their log determinants."""
    n_fits, n_points = grid.shape
    theta = start.reshape(-1, model.n_params).copy()
    theta[:, 0] = grid.ravel()
    repeated = data.take(np.repeat(np.arange(n_fits), n_points))
    outside = ~np.isfinite(model.value(theta, repeated))
    theta[outside, 1:] = model.start(1)[0, 1:]
    feasible = np.isfinite(model.value(theta, repeated))
    profile = np.full(theta.shape[0], -np.inf)
    marginal = np.full(theta.shape[0], -np.inf)
    index = np.flatnonzero(feasible)
    subset = repeated.take(index)
    optimum = maximise(model, theta[index], subset, fixed=slice(0, 1), tol=1e-6)
    theta[index] = optimum.theta
    profile[index] = optimum.value
    marginal[index] = optimum.value - 0.5 * _log_det(model, optimum.theta, subset)
    shape = (n_fits, n_points)
    curve = KappaCurve(grid, profile.reshape(shape), marginal.reshape(shape))
    return curve, theta.reshape(n_fits, n_points, -1)


def _log_det(model: MixtureModel, theta: FloatArray, data: RowData) -> FloatArray:
    """Ln det of minus the Hessian of eta; of the information where not positive."""
    if model.n_params == 1:
        return np.zeros(theta.shape[0])
    sign, value = np.empty(theta.shape[0]), np.empty(theta.shape[0])
    for part in chunks(model, theta.shape[0]):
        precision = -model.hessian(theta[part], data.take(part))[:, 1:, 1:]
        sign[part], value[part] = np.linalg.slogdet(precision)
    bad = np.flatnonzero(sign <= 0)
    if bad.size:
        information = model.step_terms(theta[bad], data.take(bad))[2]
        value[bad] = np.linalg.slogdet(information[:, 1:, 1:])[1]
    return value


def _too_short(
    values: FloatArray, grid: FloatArray, bounds: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Whether the curve has not fallen far enough at an end that is no bound."""
    top = values.max(axis=1) - 0.75 * _DEPTH
    low = (values[:, 0] > top) & (grid[:, 0] > bounds[0])
    high = (values[:, -1] > top) & (grid[:, -1] < bounds[1])
    return low, high


def _worth(grid: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Ends of the part of the grid that lies less than the depth below the top."""
    inside = values > values.max(axis=1, keepdims=True) - _DEPTH
    last = grid.shape[1] - 1
    first_in = inside.argmax(axis=1)
    last_in = last - inside[:, ::-1].argmax(axis=1)
    finite = np.isfinite(values)
    first = np.maximum(first_in - 1, finite.argmax(axis=1))
    end = np.minimum(last_in + 1, last - finite[:, ::-1].argmax(axis=1))
    rows = np.arange(grid.shape[0])
    return grid[rows, first], grid[rows, end]


def refine(
    kappa: FloatArray, log_density: FloatArray, n_points: int = 1001
) -> tuple[FloatArray, FloatArray]:
    """Interpolate curves on a finer equidistant grid.

    Parameters
    ----------
    kappa : ndarray of shape (n_fits, n_grid)
        Equidistant grid of each curve.
    log_density : ndarray of shape (n_fits, n_grid)
        Logarithms; -inf is replaced by a value far below the maximum.
    n_points : int, default=1001
        Points of the finer grid.

    Returns
    -------
    fine_kappa, fine_log_density : ndarray of shape (n_fits, n_points)
        The finer curve, with maximum zero.
    """
    top = log_density.max(axis=1, keepdims=True)
    safe = np.maximum(log_density - top, -4.0 * _DEPTH)
    position = np.linspace(0.0, 1.0, kappa.shape[1])
    fine = np.linspace(0.0, 1.0, n_points)
    values = CubicSpline(position, safe, axis=1)(fine)
    width = kappa[:, -1:] - kappa[:, :1]
    return kappa[:, :1] + fine * width, values - values.max(axis=1, keepdims=True)
