"""Functions at so many rows that they are made in blocks, where they are needed.

    phi(x_i) = M' [log ratios of a class, smooth functions](x_i)

What differs from event to event is in the table once. The functions of every class, as
many numbers again and in two layouts, would fill the memory: a sum over rows makes
those of a block and forgets them, and takes half as long again.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sktamm._numerics import FloatArray, row_pieces

__all__ = ["MadeRows", "StackedRows", "number_of", "ratios_at", "rows_of"]

Rows = slice | NDArray[np.intp]


def number_of(rows: Rows) -> int:
    """How many rows a slice with two ends, or an array of indices, means."""
    return rows.stop - rows.start if isinstance(rows, slice) else rows.size


def rows_of(values: Any, rows: Rows) -> Any:
    """Some rows of an array or of `MadeRows`."""
    return values.take(rows) if isinstance(values, MadeRows) else values[rows]


class MadeRows:
    """Stands for an array (n_rows, n_functions) of which blocks of rows are asked.

    ``make`` (rows) -> (n_functions, n_block). The last block is kept: a pass asks for
    each one several times, and in both layouts.
    """

    def __init__(self, make: Callable[[Rows], FloatArray], n_rows: int, n: int):
        self._make = make
        self.shape = (n_rows, n)
        self._last: tuple[slice, FloatArray] | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> FloatArray:
        return self.block(rows).T

    @property
    def T(self) -> "_Transposed":
        """What the transposed array would be, asked for blocks of columns."""
        return _Transposed(self)

    def block(self, rows: slice) -> FloatArray:
        """Values at a block of rows, (n_functions, n_block)."""
        last = self._last  # read once: threads may share it
        if last is None or last[0] != rows:
            last = self._last = rows, self._make(rows)
        return last[1]

    def keeps(self, rows: slice) -> bool:
        """Whether a block is the one that was made last."""
        last = self._last
        return last is not None and last[0] == rows

    def blended(self, params: FloatArray, rows: slice) -> FloatArray:
        """Sum_m params_m phi_m at a block of rows, (n_fits, n_block)."""
        return np.asarray(params @ self.block(rows))

    def total(self, weight: FloatArray, rows: slice) -> FloatArray:
        """Sum_i weight_i phi_i over a block of rows, (n_fits, n_functions)."""
        return np.asarray(weight @ self.block(rows).T)

    def whole(self) -> FloatArray:
        """The array that this stands for."""
        return np.concatenate([self[rows] for rows in row_pieces(len(self))])

    def take(self, rows: Rows) -> "FloatArray | MadeRows":
        """The same at some rows, as an array where they are few."""
        n = number_of(rows)
        if len(row_pieces(n)) < 2:
            return np.ascontiguousarray(self._make(rows).T)
        index = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
        return self._of(index)

    def _of(self, index: NDArray[np.intp]) -> "MadeRows":
        make = self._make
        return MadeRows(lambda some: make(index[some]), index.size, self.shape[1])


class _Transposed:
    """The other layout of `MadeRows`."""

    def __init__(self, made: MadeRows):
        self._made = made

    def __getitem__(self, key: tuple[slice, slice]) -> FloatArray:
        return self._made.block(key[1])


class StackedRows:
    """Log ratios of a class beside smooth functions, as they lie in a table.

    ``log_ratio`` (n_rows, n_components), ``columns`` (n,) of them, contiguous,
    ``basis`` (n_rows, n_basis).
    """

    def __init__(
        self, log_ratio: FloatArray, columns: NDArray[np.intp], basis: FloatArray
    ):
        self.log_ratio, self.columns, self.basis = log_ratio, _span(columns), basis

    def __matmul__(self, coefficients: FloatArray) -> Any:
        """Blends of the functions: one is an array, several are made when needed."""
        if coefficients.ndim == 2:
            return _Blends(self, coefficients)
        pieces = row_pieces(len(self.log_ratio))
        return np.concatenate([self.along(coefficients, rows) for rows in pieces])

    def along(self, coefficients: FloatArray, rows: Rows) -> FloatArray:
        """Blends (..., n_functions) of the functions at some rows, (..., n_block)."""
        logs = self.log_ratio[rows, self.columns]
        size = logs.shape[1]
        values = coefficients[..., :size] @ logs.T
        values += coefficients[..., size:] @ self.basis[rows].T
        return np.asarray(values)

    def total(self, weight: FloatArray, rows: Rows) -> FloatArray:
        """Sums of the functions over some rows, (n_fits, n_functions)."""
        logs, basis = self.log_ratio[rows, self.columns], self.basis[rows]
        return np.hstack([weight @ logs, weight @ basis])


class _Blends(MadeRows):
    """Blends of stacked rows: few sums over them need no blend at every row."""

    def __init__(self, stacked: StackedRows, coefficients: FloatArray):
        transposed = np.ascontiguousarray(coefficients.T)
        shape = len(stacked.log_ratio), coefficients.shape[1]
        super().__init__(lambda rows: stacked.along(transposed, rows), *shape)
        self._stacked, self._coefficients = stacked, coefficients
        self._transposed = transposed

    def blended(self, params: FloatArray, rows: slice) -> FloatArray:
        if self.keeps(rows):
            return super().blended(params, rows)
        return self._stacked.along(params @ self._transposed, rows)

    def total(self, weight: FloatArray, rows: slice) -> FloatArray:
        if self.keeps(rows):
            return super().total(weight, rows)
        return self._stacked.total(weight, rows) @ self._coefficients


def ratios_at(log_ratio: FloatArray, columns: NDArray[np.intp]) -> Any:
    """Density ratios of some components, (n_rows, n), made when needed if many."""
    if len(row_pieces(len(log_ratio))) < 2:
        return np.exp(log_ratio[:, columns])
    own = _span(columns)

    def make(rows: Rows) -> FloatArray:
        return np.exp(np.ascontiguousarray(log_ratio[rows, own].T))

    return MadeRows(make, len(log_ratio), columns.size)


def _span(columns: NDArray[np.intp]) -> slice:
    """Contiguous columns as a slice, which copies nothing."""
    return slice(int(columns[0]), int(columns[-1]) + 1)
