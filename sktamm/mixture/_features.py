"""The functions that the log density of a class may be made of, at rows and reference.

Log densities of the components or simulations come first, smooth functions follow.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sktamm._numerics import FloatArray, row_pieces
from sktamm.base import ComponentTable, Simulations
from sktamm.mixture._made_rows import StackedRows

__all__ = ["Features", "class_features"]

# Rule of thumb: of more rows, sums over all functions are taken once, in blocks of so
# many rows.
_SUMMED_ONCE_FROM, _BLOCK = 16_384, 4_096


@dataclass(frozen=True, eq=False)
class Features:
    """Functions on the rows: log densities of a class, then the smooth basis."""

    rows: Any  # (n_rows, n_features), `StackedRows` of many events
    reference: FloatArray  # (n_reference, n_features), the same array for bins
    reference_weight: FloatArray  # (n_reference,), probabilities
    n_densities: int
    relative_variance: FloatArray | None  # (n_rows, n_densities)
    unordered: bool = False  # whether the basis has functions of bins, all alike

    @property
    def n_features(self) -> int:
        """Number of functions."""
        return self.reference.shape[1]

    @property
    def basis(self) -> FloatArray:
        """Smooth functions at the reference rows."""
        return self.reference[:, self.n_densities :]

    def mean_density(self) -> FloatArray:
        """Coefficients of the mean log density."""
        mean = np.zeros(self.n_features)
        mean[: self.n_densities] = 1.0 / self.n_densities
        return mean

    def padded(self, differences: FloatArray) -> FloatArray:
        """Coefficients of differences of densities (n_densities, n)."""
        none = np.zeros((self.n_features - self.n_densities, differences.shape[1]))
        return np.vstack([differences, none])

    def scatter(self, coefficients: FloatArray) -> FloatArray:
        """Covariance (n, n) of n functions under the reference."""
        if self._moments is None:
            values = self.weighted(coefficients)
            return np.asarray(values.T @ values)
        return np.asarray(coefficients.T @ self._moments[1] @ coefficients)

    def projections(self, differences: FloatArray) -> FloatArray:
        """Mean products of n differences of densities with smooth functions, (n, p)."""
        size = self.n_densities
        if self._moments is None:
            logs = self.reference[:, :size] @ differences
            return np.asarray(logs.T @ (self.reference_weight[:, None] * self.basis))
        mean, covariance = self._moments
        products = covariance[:size, size:] + np.outer(mean[:size], mean[size:])
        return np.asarray(differences.T @ products)

    @cached_property
    def _moments(self) -> tuple[FloatArray, FloatArray] | None:
        """Mean and covariance of all functions under many reference rows."""
        weight = self.reference_weight
        if weight.size < _SUMMED_ONCE_FROM or (weight < 0).any():
            return None
        mean = weight @ self.reference
        covariance = np.zeros((mean.size, mean.size))
        for start in range(0, weight.size, _BLOCK):
            block = slice(start, start + _BLOCK)
            values = self.reference[block] - mean
            covariance += values.T @ (weight[block, None] * values)
        return mean, covariance

    def weighted(self, coefficients: FloatArray) -> FloatArray:
        """Centred functions at the reference rows, times the root of their weight."""
        values = self.reference @ coefficients
        weight = self.reference_weight[:, None]
        return np.sqrt(np.maximum(weight, 0.0)) * (
            values - (weight * values).sum(axis=0)
        )


def class_features(table: ComponentTable, class_index: int, spans: str) -> Features:
    """Functions that the log density of a class may be made of."""
    source: ComponentTable | Simulations = table.simulations
    columns = table.simulations.of_class(class_index)
    if spans == "components":
        source, columns = table, table.components_of(class_index)
    variance = source.relative_variance
    reference = np.hstack(
        [source.reference_log_ratio[:, columns], table.reference_basis]
    )
    rows: Any = reference
    if not table.binned and len(row_pieces(len(table.basis))) > 1:
        rows = StackedRows(source.log_ratio, columns, table.basis)
    elif not table.binned:
        rows = np.hstack([source.log_ratio[:, columns], table.basis])
    return Features(
        rows=rows,
        reference=reference,
        reference_weight=table.reference_weight,
        n_densities=columns.size,
        relative_variance=None if variance is None else variance[:, columns],
        unordered=table.unordered,
    )
