"""How far Laplace's integrals over the blends may be off, by a rule of higher order.

At a few values of kappa the integral over the other parameters eta is done again, with
A minus the Hessian at their conditional maximum and eta = maximum + A^(-1/2) r u,

    c(kappa) = ln mean_u int dr r^(n-1) p(kappa, eta | data)
               - ln of the same for the normal that Laplace's method takes p for,

the radius r by Gauss and Laguerre's rule, the directions u an orthonormal basis and its
reflection (spherical-radial rule, Genz and Monahan 1998). What counts is by how much
the posterior of kappa times exp(c) differs from that without.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from sktamm._numerics import FloatArray, positive_definite
from sktamm.inference._curve import KappaCurve, Path
from sktamm.inference._intervals import density_intervals, density_moments
from sktamm.mixture import MixtureModel, RowData

__all__ = ["laplace_error"]

# Integrals are done again at the median of kappa and the ends of these central shares;
# two more points instead of four leave the change of the width nearly unread.
_SHARES, _EVENT_SHARES = (0.0, 0.68, 0.95), (0.0, 0.9)
# Of the integrals wrong by a quarter of a standard deviation (287 posteriors of the
# zoo, chains as referee) 2, 3, 5, 7 radii find .55, .66, .71, .74 at the threshold
# of the flag; half the basis raises four times as many false alarms. A pass over events
# is dear: two radii along 16 directions find .55.
_RADII, _EVENT_RADII = 3, 2
_EVENT_DIRECTIONS = 16
# Where directions are few, radii go up to a number of points that costs less.
_POINTS, _EVENT_POINTS = 48, 32
_MOST_RADII = 16
# Numbers per array that stay in a processor's cache: five times as fast as a million.
_CACHED, _FEWEST = 32_768, 16


@dataclass(frozen=True, eq=False)
class _Rule:
    """Points (n_points, n) for a unit normal, and the logs of their weights."""

    points: FloatArray
    log_weight: FloatArray


def laplace_error(
    model: MixtureModel,
    rows: RowData,
    curve: KappaCurve,
    refined: tuple[FloatArray, FloatArray],
    extra: FloatArray,
) -> FloatArray:
    """Shift of mean or width of kappa (n_fits,) that integrals of higher order make."""
    if model.n_params == 1:
        return np.zeros(len(extra))
    fine, log_density = refined
    shares = _EVENT_SHARES if model.rows_are_events else _SHARES
    ends = density_intervals(fine, log_density, np.array(shares), "equal_tailed")
    known = np.flatnonzero(curve.known)
    if known.size == 0:
        return np.full(len(extra), np.nan)
    paths = [curve.paths[b].near(ends[b].ravel()) for b in known]
    excess = _log_excess(model, rows.take(known), paths)
    changed = log_density.copy()
    for b, path, log_ratio in zip(known, paths, excess, strict=True):
        changed[b] += np.interp(fine[b], path.theta[:, 0], log_ratio)
    old, new = density_moments(fine, log_density), density_moments(fine, changed)
    std, new_std = np.sqrt(old[1] ** 2 + extra), np.sqrt(new[1] ** 2 + extra)
    shift = np.maximum(np.abs(new[0] - old[0]) / std, np.abs(np.log(new_std / std)))
    return np.where(curve.known, np.nan_to_num(shift, nan=np.inf), np.nan)


def _rule(model: MixtureModel) -> _Rule:
    """The spherical-radial rule for the blend parameters of a model."""
    n = model.n_params - 1
    dear = model.rows_are_events
    # A fixed basis: the reading of a dataset depends on nothing but its data.
    normal = np.random.default_rng(0).standard_normal((n, n))
    basis = np.linalg.qr(normal)[0]
    if dear:
        basis = basis[: _EVENT_DIRECTIONS // 2]
    sides = np.vstack([basis, -basis])
    budget, fewest = (_EVENT_POINTS, _EVENT_RADII) if dear else (_POINTS, _RADII)
    n_radii = min(max(budget // len(sides), fewest), _MOST_RADII)
    half, share = special.roots_genlaguerre(n_radii, 0.5 * n - 1.0)
    points = np.sqrt(2.0 * half)[:, None, None] * sides
    log_weight = np.log(share / share.sum()) + half - np.log(len(sides))
    return _Rule(points.reshape(-1, n), np.repeat(log_weight, len(sides)))


def _log_excess(
    model: MixtureModel, rows: RowData, paths: list[Path]
) -> list[FloatArray]:
    """Ln of the integral over that of Laplace's method, at every point of the paths."""
    rule = _rule(model)
    sizes = [len(path.value) for path in paths]
    own = rows.take(np.repeat(np.arange(len(paths)), sizes))
    theta = np.concatenate([path.theta for path in paths])
    value = np.concatenate([path.value for path in paths])
    roots, normal = _roots(_precision(model, own, paths, theta))
    n_points = len(rule.points)
    points = np.repeat(theta[:, None], n_points, axis=1)
    points[:, :, 1:] += rule.points @ roots
    owner = np.repeat(np.arange(len(theta)), n_points)
    height = _values(model, own, owner, points.reshape(-1, model.n_params))
    height = height.reshape(-1, n_points) - value[:, None]
    excess = np.asarray(special.logsumexp(height + rule.log_weight, axis=1))
    excess[~(normal & np.isfinite(excess))] = np.nan
    return np.split(excess, np.cumsum(sizes)[:-1])


def _precision(
    model: MixtureModel, rows: RowData, paths: list[Path], theta: FloatArray
) -> FloatArray:
    """Minus the Hessian of all parameters but kappa at the points of the paths."""
    kept = [path.precision for path in paths if path.precision is not None]
    if len(kept) == len(paths):
        return np.concatenate(kept)
    size = max(1, _CACHED // (rows.observed.shape[1] * model.n_params))
    return np.concatenate(
        [-model.hessian(theta[p], rows.take(p)) for p in _parts(len(theta), size)]
    )[:, 1:, 1:]


def _roots(precision: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Inverse Cholesky factors, and whether there is one; unit matrices where not."""
    normal = positive_definite(precision)
    safe = np.where(normal[:, None, None], precision, np.eye(precision.shape[1]))
    return np.asarray(np.linalg.inv(np.linalg.cholesky(safe)), float), normal


def _values(
    model: MixtureModel, rows: RowData, owner: np.ndarray, theta: FloatArray
) -> FloatArray:
    """Log posterior of many parameters, each for the data of its owner."""
    size = max(_FEWEST, _CACHED // rows.observed.shape[1])
    return np.concatenate(
        [model.value(theta[p], rows.take(owner[p])) for p in _parts(len(theta), size)]
    )


def _parts(n: int, size: int) -> list[np.ndarray]:
    """Indices of the first n numbers, in parts."""
    return [np.arange(i, min(i + size, n)) for i in range(0, n, size)]
