"""Ends of the bins of a feature, which no single event decides.

Of every class the equal mixture of its simulations is looked at, whatever their sizes.
With its quantiles q, the bins of a class would start at

    its smallest event that is not below q_a - c (q_50 - q_a)

and end likewise, as the whiskers of a box plot do; the bins hold those of all classes.
Placeholders for missing values (a value like -999 that many events share, far from all
others) are set aside first.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sktamm._numerics import FloatArray, IntArray
from sktamm.events import SimulatedEvents

__all__ = ["Ends", "mixture_weights", "robust_ends", "weighted_quantiles"]


# Of a in {.5, 1, 2.5, 5, 10, 15} % and c in {.5, 1, 1.5, 2, 3} those that keep a normal
# distribution cut at two sigmas whole, and of these what keeps most of the information
# on kappa in 10 bins on the worst of eight shapes (.84, .91 at the mean; the smallest
# and largest event: 0 with an outlier). Measured by tests/benchmarks/bench_range.py.
_TAIL = 0.15
_REACH = 1.5
# A value of this share of the events has no distance to itself, and is left out of the
# quantiles unless fewer than _LEAST are left.
# Rule of thumb.
_HEAVY, _LEAST = 0.1, 0.01
# A placeholder is shared by at least this many events and this share of its class, and
# lies _FAR times the distance of the quantiles beyond the other events' q_a: a normal
# one at 5 sigma, where nobody expects five equal numbers in a thousand.
_MANY, _SHARE = 5, 1e-3
_FAR = 3.0
_MAX_PLACEHOLDERS = 4  # rule of thumb: -999, -998, ... at each end
# Longer columns are not sorted as a whole: a sample of this size finds where each
# quantile lies, within _SLACK (six standard errors of its level).
_PILOT = 16_384
_SLACK = 0.025


class Ends(NamedTuple):
    """Ends of the bins of one feature."""

    low: float
    high: float
    placeholders: tuple[float, ...]  # values beyond them that many events share


def mixture_weights(events: SimulatedEvents) -> FloatArray:
    """Weights of the equal mixture of all sources, of shape (n_events,) and sum one."""
    # Negative weights count as zero; a factor of all weights of a source is none.
    if events.weight is None:
        number = np.bincount(events.source, minlength=events.n_sources)
        return (1.0 / (number * events.n_sources))[events.source]
    weight = np.maximum(events.weight, 0.0)
    total = np.bincount(events.source, weight, minlength=events.n_sources)
    return weight / (total * events.n_sources)[events.source]


def robust_ends(x: FloatArray, weight: FloatArray, group: IntArray) -> Ends:
    """Ends of the bins of one feature; ``x, weight, group`` (n_events,)."""
    parts = []
    for g in np.flatnonzero(np.bincount(group)):
        rows = (group == g) & (weight > 0)
        parts.append(_ends_of_class(x[rows], weight[rows]))
    return Ends(
        min(part.low for part in parts),
        max(part.high for part in parts),
        tuple(sorted({value for part in parts for value in part.placeholders})),
    )


def _ends_of_class(x: FloatArray, weight: FloatArray) -> Ends:
    lowest = _lowest_placeholders(x, weight)
    highest = [-value for value in _lowest_placeholders(-x, weight)]
    for value in lowest + highest:
        others = x != value
        x, weight = x[others], weight[others]
    return Ends(*_fence(x, weight), (*lowest, *highest))


def _fence(x: FloatArray, weight: FloatArray) -> tuple[float, float]:
    """Both ends of values without placeholders."""
    total, values = weight.sum(), _quantiles(x, weight)
    atoms: list[float] = []
    while (heavy := _heavy_value(x, weight, values, total)) is not None:
        atoms.append(heavy)
        others = x != heavy
        x, weight = x[others], weight[others]
        values = _quantiles(x, weight)
    low, middle, high = values
    near = x >= low - _REACH * (middle - low)
    near &= x <= high + _REACH * (high - middle)
    return min([float(x[near].min()), *atoms]), max([float(x[near].max()), *atoms])


def _heavy_value(
    x: FloatArray, weight: FloatArray, values: Sequence[float], total: float
) -> float | None:
    """One of the values that many events have, such as zero, if others are left."""
    for value in values:
        share = weight[x == value].sum()
        if share >= _HEAVY * total and weight.sum() - share >= _LEAST * total:
            return value
    return None


def _quantiles(x: FloatArray, weight: FloatArray) -> list[float]:
    levels = [_TAIL, 0.5, 1.0 - _TAIL]
    return [float(q) for q in weighted_quantiles(x, weight, levels)]


def _lowest_placeholders(x: FloatArray, weight: FloatArray) -> list[float]:
    """Placeholders below all other values, none if there are none."""
    total = weight.sum()
    outer: list[float] = []
    found: list[float] = []
    while len(outer) < _MAX_PLACEHOLDERS:
        value = float(x.min())
        here = x == value
        many = here.sum() >= _MANY and weight[here].sum() >= _SHARE * total
        if not many or here.all():
            break
        outer.append(value)
        x, weight = x[~here], weight[~here]
        # Judged together with those further out: -999 hides behind -998.
        if value < _far_below(x, weight):
            found = outer.copy()
    return found


def _far_below(x: FloatArray, weight: FloatArray) -> float:
    """Where values are too low to belong to these; minus infinity if nothing tells."""
    low, middle, high = _quantiles(x, weight)
    for distance in (middle - low, high - middle, float(x.max()) - float(x.min())):
        if distance > 0:
            return low - _FAR * distance
    return -np.inf


def weighted_quantiles(
    x: FloatArray, weight: FloatArray, levels: Sequence[float] | FloatArray
) -> FloatArray:
    """Quantiles that a common factor, the order and rounding of weights do not move.

    Linear between middles of the events' weights, flat at values that several share.
    """
    targets = np.asarray(levels, dtype=float)
    if x.size > 8 * _PILOT:
        near = _near_quantiles(x, weight, targets)
        if near is not None:
            return near
    return _interpolate(x, weight, None, targets * weight.sum())


def _near_quantiles(
    x: FloatArray, weight: FloatArray, levels: FloatArray
) -> FloatArray | None:
    """The same quantiles without sorting all events; None if the pilot was wrong."""
    pilot = slice(None, None, x.size // _PILOT)
    limits = np.sort(np.concatenate([levels - _SLACK, levels + _SLACK]))
    values = weighted_quantiles(x[pilot], weight[pilot], np.clip(limits, 0.0, 1.0))
    values[limits <= 0.0], values[limits >= 1.0] = -np.inf, np.inf
    low = values[np.searchsorted(limits, levels - _SLACK)]
    high = values[np.searchsorted(limits, levels + _SLACK)]
    first = np.append(True, low[1:] > high[:-1])
    low, high = low[first], high[np.append(first[1:], True)]
    # Odd regions hold what is near a quantile: low <= x <= high.
    cuts = np.stack([np.nextafter(low, -np.inf), high], axis=1).ravel()
    region = np.searchsorted(cuts, x)
    mass = np.bincount(region, weight, minlength=cuts.size + 1)
    above = np.cumsum(mass)
    targets = levels * above[-1]
    own = 2 * np.searchsorted(low, low[np.cumsum(first) - 1]) + 1
    margin = weight.max()
    safe = (above[own - 1] + margin < targets) | np.isneginf(cuts[own - 1])
    safe &= (targets < above[own] - margin) | np.isposinf(cuts[own])
    if not safe.all():
        return None
    near = region % 2 == 1
    skipped = np.cumsum(np.where(np.arange(mass.size) % 2 == 1, 0.0, mass))
    return _interpolate(x[near], weight[near], skipped[region[near]], targets)


def _interpolate(
    x: FloatArray, weight: FloatArray, skipped: FloatArray | None, targets: FloatArray
) -> FloatArray:
    """Values at sums of weights; ``skipped`` is what was left out below each event."""
    order = np.argsort(x)
    x, weight = x[order], weight[order]
    start = np.append(0, np.flatnonzero(x[1:] != x[:-1]) + 1)
    mass = np.add.reduceat(weight, start)
    upper = np.cumsum(mass)
    if skipped is not None:
        upper += skipped[order][start]
    half = 0.5 * mass / np.diff(np.append(start, x.size))
    position = np.stack([upper - mass + half, upper - half], axis=1)
    return np.interp(targets, position.ravel(), np.repeat(x[start], 2))
