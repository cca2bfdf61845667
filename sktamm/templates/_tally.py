"""Sums of weights that grow piece by piece, and do not depend on the pieces.

Weights are added one by one in the order of the events, as `numpy.bincount` adds those
of a whole array: pieces of any size give the same numbers, bit for bit.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sktamm._numerics import FloatArray, IntArray
from sktamm.templates._binning import Binning

__all__ = ["BinCounter", "Tally"]

# Events whose cells and weights stay in the cache: 15 % faster than a million at once
# (bench_scale.py rate --rows 10000000).
_BLOCK = 1 << 17


class Tally:
    """Sums of weights and of squared weights in cells, one row per group."""

    def __init__(self, n_cells: int) -> None:
        self.n_cells = n_cells
        self._number: dict[Any, int] = {}  # row of every group
        self._sums = np.zeros((1, n_cells))
        self._squares: FloatArray | None = None  # None while every weight is one

    @property
    def groups(self) -> list[Any]:
        """Groups in the order of their first event."""
        return list(self._number)

    @property
    def weight(self) -> FloatArray:
        """Sums of weights, (n_groups, n_cells)."""
        return self._sums[: len(self._number)]

    @property
    def variance(self) -> FloatArray:
        """Sums of squared weights, (n_groups, n_cells)."""
        own = self._sums if self._squares is None else self._squares
        return own[: len(self._number)]

    def row_of(self, groups: Sequence[Any]) -> IntArray:
        """Rows of groups, (n_groups,), new ones after those that are known."""
        for group in groups:
            self._number.setdefault(group, len(self._number))
        self._make_room()
        return np.array([self._number[group] for group in groups], dtype=np.intp)

    def add(
        self,
        cell: IntArray,
        row: IntArray | None = None,
        weight: FloatArray | None = None,
    ) -> None:
        """Add events, all (n_events,), of cell -1 none; row None is the first group."""
        place = cell if row is None else cell + row * self.n_cells
        if cell.size and cell.min() < 0:
            kept = cell >= 0
            place, weight = place[kept], None if weight is None else weight[kept]
        if weight is not None and self._squares is None:
            self._squares = self._sums.copy()
        _add(self._sums, place, 1.0 if weight is None else weight)
        if self._squares is not None:
            _add(self._squares, place, 1.0 if weight is None else weight**2)

    def count(self, n_events: int, row: IntArray | None) -> None:
        """Add so many events without weight to the only cell."""
        if row is None:
            self._sums[0] += n_events
        else:
            _add(self._sums, row, 1.0)

    def _make_room(self) -> None:
        """Rows for all groups; twice as many when they do not suffice."""
        if len(self._number) > len(self._sums):
            self._sums = _grown(self._sums, len(self._number))
            if self._squares is not None:
                self._squares = _grown(self._squares, len(self._number))


def _add(sums: FloatArray, place: IntArray, weight: Any) -> None:
    # One by one and in place, unlike a bincount of every piece.
    np.add.at(sums.reshape(-1), place, weight)


def _grown(sums: FloatArray, needed: int) -> FloatArray:
    out = np.zeros((max(needed, 2 * len(sums)), sums.shape[1]))
    out[: len(sums)] = sums
    return out


class BinCounter:
    """Histograms with flow bins, one per group, filled piece by piece."""

    def __init__(self, edges: Sequence[ArrayLike]) -> None:
        self.edges = tuple(np.asarray(e, dtype=float) for e in edges)
        self._binning = Binning(self.edges, flow="bins")
        self._tally = Tally(self._binning.n_bins)

    def add(
        self,
        X: FloatArray,
        groups: Sequence[Any],
        code: IntArray,
        weight: FloatArray | None = None,
    ) -> None:
        """Count events, X (n_events, n_features), of the groups of ``code``."""
        row = self._tally.row_of(groups)[code]
        for start in range(0, len(X), _BLOCK):
            part = slice(start, start + _BLOCK)
            of_part = None if weight is None else weight[part]
            self._tally.add(self._binning.index(X[part]), row[part], of_part)

    def contents(self) -> dict[Any, tuple[FloatArray, FloatArray]]:
        """Contents and variances of every group, each (n_1 + 2, ..., n_d + 2)."""
        shape = self._binning.shape
        sums, squares = self._tally.weight, self._tally.variance
        return {
            group: (sums[i].reshape(shape), squares[i].reshape(shape))
            for i, group in enumerate(self._tally.groups)
        }
