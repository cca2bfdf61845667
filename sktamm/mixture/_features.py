"""The functions that the log density of a class may be made of, at rows and reference.

Log densities of the components or simulations come first, smooth functions follow.
"""

from dataclasses import dataclass

import numpy as np

from sktamm._numerics import FloatArray
from sktamm.base import ComponentTable, Simulations

__all__ = ["Features", "class_features"]


@dataclass(frozen=True, eq=False)
class Features:
    """Functions on the rows: log densities of a class, then the smooth basis."""

    rows: FloatArray  # (n_rows, n_features)
    reference: FloatArray  # (n_reference, n_features), the same array for bins
    reference_weight: FloatArray  # (n_reference,), probabilities
    n_densities: int
    relative_variance: FloatArray | None  # (n_rows, n_densities)

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
    rows = reference
    if not table.binned:
        rows = np.hstack([source.log_ratio[:, columns], table.basis])
    return Features(
        rows=rows,
        reference=reference,
        reference_weight=table.reference_weight,
        n_densities=columns.size,
        relative_variance=None if variance is None else variance[:, columns],
    )
