"""Intervals from draws, from densities on a grid and from likelihood ratios."""

import numpy as np
from numpy.typing import NDArray
from scipy import special

from sktamm._numerics import FloatArray
from sktamm.inference._curve import outward_minimum

__all__ = [
    "broadened",
    "density_intervals",
    "density_moments",
    "draw_intervals",
    "normal_quantile",
    "ratio_intervals",
    "smoothed_density",
]


# A width of a tenth of the spread adds half a per cent to it.
_SHARE_OF_SPREAD = 0.1
_SMALLEST_SPREAD = 1e-9  # against a grid of no width
_FAR = 12.0  # widths, from where a normal density is below 1e-31 of its peak


def normal_quantile(levels: FloatArray) -> FloatArray:
    """Half-width of a central interval of a unit normal, e.g. 1 for 0.6827."""
    return special.ndtri(0.5 + 0.5 * np.asarray(levels, dtype=float))


def broadened(
    kappa: FloatArray, log_density: FloatArray, variance: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Densities on [0, 1] convolved with a normal error, reflected at the ends."""
    if not (variance > 0).any():
        return kappa, log_density
    kappa, log_density = kappa.copy(), log_density.copy()
    for i in np.flatnonzero(variance > 0):
        share = _cell_shares(kappa[i : i + 1], log_density[i : i + 1])[0]
        width = np.sqrt(variance[i])
        low, high = kappa[i, 0] - 5.0 * width, kappa[i, -1] + 5.0 * width
        grid = np.linspace(max(low, 0.0), min(high, 1.0), kappa.shape[1])
        kappa[i], log_density[i] = grid, _convolved(grid, kappa[i], share, width)
    return kappa, log_density


def _convolved(
    grid: FloatArray, points: FloatArray, share: FloatArray, width: float
) -> FloatArray:
    """Log density, at most 0, of points with a normal error, reflected at 0 and 1."""
    density = np.zeros_like(grid)
    for image in (points, -points, 2.0 - points):
        to, by = _close(grid, image, width), _close(image, grid, width)
        pull = (grid[to, None] - image[by]) / width
        density[to] += np.exp(-0.5 * pull**2) @ share[by]
    return np.asarray(np.log(np.maximum(density / density.max(), 1e-300)))


def _close(points: FloatArray, others: FloatArray, width: float) -> NDArray[np.bool_]:
    """Which points are not far from the range of others."""
    low, high = others.min() - _FAR * width, others.max() + _FAR * width
    return (points >= low) & (points <= high)


def smoothed_density(
    kappa: FloatArray, weight: FloatArray, variance: float
) -> tuple[FloatArray, FloatArray]:
    """Grid and log density (1001,) of weighted points (n_points,), as `broadened`."""
    mean = float(weight @ kappa)
    spread = max(float(weight @ (kappa - mean) ** 2), _SMALLEST_SPREAD**2)
    width = np.sqrt(variance + _SHARE_OF_SPREAD**2 * spread)
    reach = 6.0 * np.sqrt(spread + variance)
    grid = np.linspace(max(mean - reach, 0.0), min(mean + reach, 1.0), 1001)
    return grid, _convolved(grid, kappa, weight, width)


def density_moments(
    kappa: FloatArray, log_density: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation (n_fits,) of densities on ascending grids."""
    share = _cell_shares(kappa, log_density)
    mean = (share * kappa).sum(axis=1)
    square = (share * (kappa - mean[:, None]) ** 2).sum(axis=1)
    return mean, np.sqrt(square)


def _cell_shares(kappa: FloatArray, log_density: FloatArray) -> FloatArray:
    """Trapezoidal shares of the points of ascending grids."""
    step = np.diff(kappa, axis=1)
    share = np.exp(log_density - log_density.max(axis=1, keepdims=True))
    share *= np.pad(step, ((0, 0), (0, 1))) + np.pad(step, ((0, 0), (1, 0)))
    return share / share.sum(axis=1, keepdims=True)


def density_intervals(
    kappa: FloatArray, log_density: FloatArray, levels: FloatArray, kind: str
) -> FloatArray:
    """Equal-tailed or shortest intervals (n_fits, 2, n_levels) of log densities."""
    density = np.exp(log_density - log_density.max(axis=1, keepdims=True))
    steps = (density[:, 1:] + density[:, :-1]) * np.diff(kappa, axis=1)
    cumulative = np.zeros_like(density)
    np.cumsum(steps, axis=1, out=cumulative[:, 1:])
    cumulative /= cumulative[:, -1:]
    out = np.empty((kappa.shape[0], 2, levels.size))
    for i, (grid, share) in enumerate(zip(kappa, cumulative, strict=True)):
        for j, level in enumerate(levels):
            out[i, :, j] = _quantile_interval(grid, share, level, kind)
    return out


def _quantile_interval(
    grid: FloatArray, share: FloatArray, level: float, kind: str
) -> FloatArray:
    rest = 1.0 - level
    if kind == "equal_tailed":
        return np.interp([0.5 * rest, 1.0 - 0.5 * rest], share, grid)
    tail = np.linspace(0.0, rest, 501)
    low, high = np.interp(tail, share, grid), np.interp(tail + level, share, grid)
    best = np.argmin(high - low)
    return np.array([low[best], high[best]])


def draw_intervals(draws: FloatArray, levels: FloatArray, kind: str) -> FloatArray:
    """Intervals (n_fits, 2, n_levels) of posterior draws (n_fits, n_draws)."""
    if kind == "equal_tailed":
        tail = 0.5 * (1.0 - levels)
        ends = np.quantile(draws, np.stack([tail, 1.0 - tail]), axis=1)
        return np.moveaxis(ends, -1, 0)
    ordered = np.sort(draws, axis=1)
    out = np.empty((draws.shape[0], 2, levels.size))
    for j, level in enumerate(levels):
        span = int(np.ceil(level * ordered.shape[1])) - 1
        width = ordered[:, span:] - ordered[:, : ordered.shape[1] - span]
        first = width.argmin(axis=1)[:, None]
        out[:, 0, j] = np.take_along_axis(ordered, first, axis=1)[:, 0]
        out[:, 1, j] = np.take_along_axis(ordered, first + span, axis=1)[:, 0]
    return out


def ratio_intervals(
    kappa: FloatArray, log_profile: FloatArray, drops: FloatArray, centre: FloatArray
) -> FloatArray:
    """Where log profiles fall by drops (n_fits, n_levels), or the grid's ends."""
    out = np.empty((kappa.shape[0], 2, drops.shape[1]))
    start = np.abs(kappa - centre[:, None]).argmin(axis=1)
    falling = outward_minimum(log_profile, start)
    for i, (grid, values) in enumerate(zip(kappa, falling, strict=True)):
        top = start[i]
        ends = values[top] - drops[i]
        out[i, 0] = np.interp(ends, values[: top + 1], grid[: top + 1])
        out[i, 1] = np.interp(ends, values[top:][::-1], grid[top:][::-1])
    np.minimum(out[:, 0], centre[:, None], out=out[:, 0])
    np.maximum(out[:, 1], centre[:, None], out=out[:, 1])
    return out
