"""The bins of a grid that some simulation fills: they alone are rows of a table.

A stand-in for the logarithm of an empty bin would bend smooth functions. The target's
content of such a bin counts in the nearest one that is filled; its share is reported.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from sktamm._numerics import FloatArray, IntArray
from sktamm.templates._binning import Binning
from sktamm.templates._histogram import HistogramTemplates

__all__ = ["FilledBins", "filled_bins", "varying"]

# Candidates for the nearest bin: all that are equally near in up to four features.
_NEAREST = 9
# Content of a tail in which a feature counts as one place; as for unbinned functions.
_TAIL = 1e-3


@dataclass(frozen=True, eq=False)
class FilledBins:
    """Rows of a table as bins of a grid."""

    binning: Binning  # the whole grid
    number: IntArray  # (n_rows,), bin of the grid, in C order; ascending
    content: FloatArray  # (n_rows,), simulated; decides between bins equally near

    @property
    def n_rows(self) -> int:
        """Number of bins that are filled."""
        return self.number.size

    def index(self, X: FloatArray) -> IntArray:
        """Row (n_events,) of every event's bin, else the nearest; -1 if left out."""
        return self.rows_of(self.binning.index(X))

    def rows_of(self, cell: IntArray) -> IntArray:
        """Rows of bins of the grid, shape (n_events,); -1 stays -1."""
        if self.n_rows == self.binning.n_bins:
            return cell
        row = self._row[cell]
        row[cell < 0] = -1
        lost = row == self.n_rows
        if lost.any():
            bins, inverse = np.unique(cell[lost], return_inverse=True)
            row[lost] = self._nearest(bins)[inverse]
        return row

    def are_unfilled(self, cell: IntArray) -> NDArray[np.bool_]:
        """Whether bins of the grid, shape (n_events,), are no rows."""
        if self.n_rows == self.binning.n_bins:
            return np.zeros(cell.shape, dtype=np.bool_)
        return (cell >= 0) & (self._row[cell] == self.n_rows)

    @cached_property
    def _row(self) -> IntArray:
        """Row of every bin of the grid, n_rows for those that are none."""
        row = np.full(self.binning.n_bins, self.n_rows)
        row[self.number] = np.arange(self.n_rows)
        return row

    def _nearest(self, bins: IntArray) -> IntArray:
        """Nearest row of bins of the grid; of several the one with the most content."""
        found = self._tree.query(self._position(bins), min(_NEAREST, self.n_rows))
        near, rows = (np.reshape(values, (bins.size, -1)) for values in found)
        tied = near <= near[:, :1] * (1.0 + 1e-9)
        best = np.where(tied, self.content[rows], -1.0).argmax(axis=1)
        return np.take_along_axis(rows, best[:, None], axis=1)[:, 0]

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self._position(self.number))

    def _position(self, bins: IntArray) -> FloatArray:
        """Ranks of bins along every feature, shape (n, n_features)."""
        ranks = np.unravel_index(bins, self.binning.shape)
        return np.stack(ranks, axis=1).astype(float)

    def gather(self, content: FloatArray) -> FloatArray:
        """Contents of all bins, (n_datasets, n_bins), summed in rows."""
        if self.n_rows == self.binning.n_bins:
            return content
        filled = np.flatnonzero((content != 0).any(axis=0))
        out = np.zeros((len(content), self.n_rows))
        np.add.at(out.T, self.rows_of(filled), content.T[filled])
        return out

    def spread(self, values: FloatArray) -> FloatArray:
        """Values of rows, (..., n_rows), on the whole grid; zero in other bins."""
        out = np.zeros((*values.shape[:-1], self.binning.n_bins))
        out[..., self.number] = values
        return out

    def coordinates(self) -> FloatArray:
        """Positions of the rows in [-1, 1]: their rank along every feature."""
        # The ranks that occur are centres of cells that fill [-1, 1], so that edges
        # beyond them, or flow bins, that nothing fills change nothing.
        return _scaled(self._position(self.number))

    def bounded_coordinates(self) -> FloatArray:
        """The same for functions of the prior: the tails of a feature are one place."""
        # A tilt exp(z psi) by a polynomial would otherwise be ruled by far bins that
        # hold next to nothing, and every further one would change it.
        rank = varying(self._position(self.number))
        weight = np.maximum(self.content, 0.0) / np.maximum(self.content, 0.0).sum()
        ends = np.array([_quantiles(values, weight) for values in rank.T]).T
        return _scaled(np.clip(rank, *ends))


def varying(coordinates: FloatArray) -> FloatArray:
    """Columns that are not constant; one of them if all are."""
    several = np.ptp(coordinates, axis=0) > 0
    return coordinates[:, several] if several.any() else coordinates[:, :1]


def _scaled(rank: FloatArray) -> FloatArray:
    """Ranks as centres of cells that fill [-1, 1] in every feature."""
    low, high = rank.min(axis=0), rank.max(axis=0)
    return (2.0 * (rank - low) + 1.0) / (high - low + 1.0) - 1.0


def _quantiles(rank: FloatArray, weight: FloatArray) -> FloatArray:
    """Lowest and highest rank that a tail of the content does not lie beyond."""
    marginal = np.bincount(rank.astype(np.intp), weight)
    below, above = np.cumsum(marginal), np.cumsum(marginal[::-1])
    low = np.argmax(below > _TAIL)
    return np.array([low, marginal.size - 1 - np.argmax(above > _TAIL)], dtype=float)


def filled_bins(templates: HistogramTemplates) -> tuple[FilledBins, HistogramTemplates]:
    """Rows of templates, and the templates in these rows alone."""
    kept = np.flatnonzero(~templates.empty_everywhere)
    part = templates.take_columns(kept)
    share = part.sum_of_weights / part.sum_of_weights.sum(axis=1, keepdims=True)
    return FilledBins(part.binning, part.number, share.mean(axis=0)), part
