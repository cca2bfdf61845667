"""Rescaled intervals from leave-one-simulation-out pulls: pure functions of arrays.

A pull is the distance of an estimate from the truth in units of the side of its 68.3 %
interval that faces the truth. Every simulation j has one pull p_j, the root mean square
of its pseudo-datasets. The method "rms" takes

    scale^2 = (sum_j p_j^2 + m) / (K + m),

with m = ``strength`` simulations that found the interval right. "robust" takes the most
probable scale of Student pulls with four degrees of freedom (Lange, Little, Taylor,
J. Am. Stat. Assoc. 84 (1989) 881),

    scale^2 = (sum_j w(p_j) p_j^2 + m <w(z) z^2>) / (K + m),
    w(p) = 5 q^2 / (4 + q^2 p^2 / scale^2),

where q = 1.13 makes scale = 1 mean that 68.3 % of pulls are below 1, and z has just
this distribution. The pull of the target is Student with K + m degrees of freedom. The
order statistics are those of jackknife+ (Barber, Candes, Ramdas, Tibshirani, Ann.
Statist. 49 (2021) 486). A simulation whose fits all failed, NaN, is left out of scales;
order statistics take its residual as infinite.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from sktamm._numerics import FloatArray

__all__ = [
    "UNIT_LEVEL",
    "Scaling",
    "find_scaling",
    "jackknife_intervals",
    "jackknife_plus",
    "largest_level",
    "one_sided_pulls",
    "quantile",
    "rescaled",
    "sides",
]

UNIT_LEVEL = 0.683  # one standard deviation, as pulls are told
# Rule of thumb: a side of no length, as at a bound, would make every pull infinite; it
# counts as a tenth of the interval.
_THINNEST = 0.1
# Degrees of freedom of robust pulls, as Lange, Little and Taylor (1989) suggest.
_HEAVY = 4.0
_UNIT = float(stats.t(_HEAVY).ppf(0.5 + 0.5 * UNIT_LEVEL))
# Rules of thumb, both cheap beside a fit: quantiles that stand for a distribution, and
# steps to a fixed point.
_POINTS = 100
_ROUNDS = 100
_LEAST = 1e-6  # of the squared scale, only against a division by zero


@dataclass(frozen=True, eq=False)
class Scaling:
    """How the intervals of every dataset change."""

    scale: FloatArray  # (n_datasets,), factor of the width
    mean_pull: FloatArray  # (n_datasets,)
    pulls: (
        FloatArray  # (n_datasets, n_units), root mean squares; NaN if all fits failed
    )
    n_units: NDArray[np.intp]  # (n_datasets,), units with a pull
    n_freedom: FloatArray  # (n_datasets,), the same and those of the prior


def sides(kappa: ArrayLike, lower: ArrayLike, upper: ArrayLike) -> FloatArray:
    """Lengths of the lower and upper side of intervals."""
    kappa, lower, upper = (np.asarray(v, dtype=float) for v in (kappa, lower, upper))
    both = np.stack([kappa - lower, upper - kappa], axis=-1)
    least = _THINNEST * (upper - lower)[..., None]
    return np.asarray(np.maximum(both, least))


def one_sided_pulls(
    truth: ArrayLike, kappa: ArrayLike, lower: ArrayLike, upper: ArrayLike
) -> FloatArray:
    """(kappa - truth) in units of the side that faces the truth."""
    error = np.asarray(kappa, dtype=float) - np.asarray(truth, dtype=float)
    both = sides(kappa, lower, upper)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(error / np.where(error > 0, both[..., 0], both[..., 1]))


def find_scaling(pulls: FloatArray, strength: float, *, robust: bool) -> Scaling:
    """Scaling of intervals by pulls (n_datasets, n_units, n_draws), NaN without any."""
    size = np.sqrt(_known_mean(pulls**2, 2))
    n_units = (~np.isnan(size)).sum(axis=1)
    n_freedom = n_units + strength
    if robust:
        square = _robust_square(size, n_freedom, strength)
    else:
        with np.errstate(invalid="ignore"):
            square = (np.nansum(size**2, axis=1) + strength) / n_freedom
    scale = np.where(n_units > 0, np.sqrt(square), np.nan)
    return Scaling(scale, _known_mean(pulls, (1, 2)), size, n_units, n_freedom)


def _known_mean(values: FloatArray, axis: int | tuple[int, ...]) -> FloatArray:
    """Mean of what is not NaN; NaN where nothing is left."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nansum(values, axis=axis) / known.sum(axis=axis))


def _robust_square(
    size: FloatArray, n_freedom: FloatArray, strength: float
) -> FloatArray:
    """Squared scale of Student pulls by iterated weights, never 0."""
    chance = (np.arange(_POINTS) + 0.5) / _POINTS
    typical = stats.t(_HEAVY).ppf(0.5 + 0.5 * chance) / _UNIT
    n_freedom = np.maximum(n_freedom, 1.0)
    square = np.ones(len(size))
    for _ in range(_ROUNDS):
        found = np.nansum(_bounded(size, square), axis=1)
        known = _bounded(typical[None, :], square).mean(axis=1)
        square = np.maximum((found + strength * known) / n_freedom, _LEAST)
    return square


def _bounded(size: FloatArray, square: FloatArray) -> FloatArray:
    """Squared pulls times their weights."""
    own = (_UNIT * size) ** 2
    return np.asarray((_HEAVY + 1.0) * own / (_HEAVY + own / square[:, None]))


def quantile(tail: str, level: float, n_freedom: Any) -> FloatArray:
    """Half-width of a central interval of the normal or Student distribution."""
    known = stats.norm() if tail == "normal" else stats.t(n_freedom)
    return np.asarray(known.ppf(0.5 + 0.5 * level))


def rescaled(
    kappa: FloatArray,
    interval: FloatArray,
    levels: FloatArray,
    scaling: Scaling,
    tail: str,
) -> FloatArray:
    """Intervals (n_datasets, 2, n_levels), every side times the scale and the tail."""
    wider = [
        quantile(tail, level, scaling.n_freedom) / quantile("normal", level, np.inf)
        for level in levels
    ]
    factor = np.stack([scaling.scale * np.asarray(w) for w in wider], axis=1)
    centre = kappa[:, None, None]
    return np.asarray(centre + factor[:, None, :] * (interval - centre))


def jackknife_intervals(
    kappa: FloatArray,
    others: FloatArray,
    both_sides: FloatArray,
    levels: FloatArray,
    scaling: Scaling,
    tail: str | None,
) -> FloatArray:
    """Intervals of "jackknife+" (n_datasets, 2, n_levels), with a parametric tail."""
    n_units = others.shape[1]
    largest = largest_level(n_units)
    columns = []
    for level in levels:
        ends = jackknife_plus(others, both_sides, scaling.pulls, min(level, largest))
        if tail is not None and level > largest:
            far, known = (quantile(tail, v, n_units) for v in (level, largest))
            ends = kappa[:, None] + far / known * (ends - kappa[:, None])
        columns.append(ends)
    return np.stack(columns, axis=2)


def largest_level(n_units: int) -> float:
    """Largest level that order statistics of this many units support, K/(K+1)."""
    return n_units / (n_units + 1.0)


def jackknife_plus(
    kappa: FloatArray, both_sides: FloatArray, pulls: FloatArray, level: float
) -> FloatArray:
    """Interval of jackknife+ (n_datasets, 2), residuals in units of intervals' sides.

    With k = ceil(level (K + 1)): the k-th smallest of kappa_-j + |pull_j| up_-j and the
    k-th largest of kappa_-j - |pull_j| down_-j; a failed fit, NaN, reaches to infinity.
    """
    n_units = pulls.shape[1]
    rank = min(int(np.ceil(level * (n_units + 1.0) - 1e-9)), n_units)
    down = np.nan_to_num(
        kappa - pulls * both_sides[..., 0], nan=-np.inf, neginf=-np.inf
    )
    up = np.nan_to_num(kappa + pulls * both_sides[..., 1], nan=np.inf, posinf=np.inf)
    lower = np.sort(down, axis=1)[:, n_units - rank]
    upper = np.sort(up, axis=1)[:, rank - 1]
    return np.stack([lower, upper], axis=1)
