"""Whether the bins of a feature have an order: labels, clusters and codes have none.

Differences of log templates between simulations, d, are smooth along an order. Von
Neumann's ratio

    eta = sum_i (d_(i+1) - d_i)^2 / sum_i (d_i - mean d)^2,

without the part of the statistical errors, is near zero then and near two without one.
Of several features the sums run over all lines of bins along one of them.

Reference: von Neumann, Annals of Mathematical Statistics 12 (1941) 367.
"""

from collections.abc import Sequence

import numpy as np

from sktamm._numerics import FloatArray, IntArray
from sktamm.templates._histogram import HistogramTemplates

__all__ = ["have_no_order"]

# Polynomials describe fewer bins almost completely.
_FEWEST_BINS = 6
# A function for each of so many takes half a second per answer, for 200 three.
_MOST_BINS = 100
# Effective events of a bin in every simulation of a class, for its logarithm to have
# a variance of one over them, within a tenth or so.
_FEWEST_EVENTS = 10.0
# Variance of the differences in units of that of their noise. In codes of 6 to 20
# values it is 5 to 16.
_CLEAR = 3.0
# Codes of 6 to 20 values have 1.5 to 2.8 where three simulations differ and 1.8 to 2.2
# where six do, features of the zoo .1 to .9, peaks of a bin's width that shift up to
# 1.5: their interval scores at 95.5 % are .80 +- .14 with a function per bin. Eight
# codes, three simulations: .30 +- .15, coverage .94 for .54; .89 with a limit of 1.5.
_LARGEST_RATIO = 1.2


def have_no_order(templates: HistogramTemplates) -> bool:
    """Whether simulations differ along a feature as they do between any two bins."""
    if templates.sum_of_weights.shape[1] > _MOST_BINS:
        return False
    cells = np.unravel_index(templates.number, templates.binning.shape)
    return any(_lack_order(templates, _lines(cells, j)) for j in range(len(cells)))


def _lines(cells: Sequence[IntArray], axis: int) -> list[IntArray]:
    """Columns that differ in one feature only, in its order."""
    others = [cells[j] for j in range(len(cells)) if j != axis]
    order = np.lexsort((cells[axis], *others))
    new = np.zeros(order.size - 1, dtype=bool)
    for other in others:
        new |= np.diff(other[order]) != 0
    return np.split(order, np.flatnonzero(new) + 1)


def _lack_order(templates: HistogramTemplates, lines: list[IntArray]) -> bool:
    """Whether neighbours on lines are no more alike than others."""
    total = np.zeros(3)
    for c in np.unique(templates.source_class):
        rows = np.flatnonzero(templates.source_class == c)
        content = np.maximum(templates.sum_of_weights[rows], 0.0)
        variance = templates.sum_of_squares[rows]
        known = np.flatnonzero((content**2 > _FEWEST_EVENTS * variance).all(axis=0))
        for line in lines if rows.size > 1 else []:
            own = line[np.isin(line, known)]
            if own.size >= _FEWEST_BINS:
                line_content = content[:, own]
                total += _sums(np.log(line_content), variance[:, own] / line_content**2)
    steps, spread, noise = total
    return bool(spread > (_CLEAR - 1.0) * noise and steps > _LARGEST_RATIO * spread)


def _sums(logs: FloatArray, variance: FloatArray) -> tuple[float, float, float]:
    """Squared steps and spreads of differences without noise, and that of spreads."""
    size, bins = logs.shape
    difference = logs - logs.mean(axis=0)
    difference -= difference.mean(axis=1, keepdims=True)
    variance = (1.0 - 1.0 / size) * variance
    noise = (1.0 - 1.0 / bins) * variance.sum()
    steps = (np.diff(difference, axis=1) ** 2).sum()
    steps -= (variance[:, 1:] + variance[:, :-1]).sum()
    return float(steps), float((difference**2).sum() - noise), float(noise)
