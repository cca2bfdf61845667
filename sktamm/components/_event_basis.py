"""Smooth functions of events for the function-space prior.

The functions are polynomials, or splines, of the coordinates of
`sktamm.ratios._moments`. Of many candidates those by which the simulations differ
most are kept: in the prior the size of a direction is the spread of the simulations
along it, so the others would stay near zero anyway. One direction must not be lost,

    g_c(x) = [p_c(x) - p_0(x)] / p_ref(x),        p_c the mean density of class c,

since only a change of a density along it looks like a change of kappa (to first order
others are orthogonal to the score). A polynomial finds it among many functions, not
among a few, so it is one of the few.
"""

from typing import Any

import numpy as np

from sktamm._numerics import FloatArray
from sktamm.exceptions import IncompatibleChoiceError
from sktamm.functions import (
    NoBasis,
    PolynomialBasis,
    SplineBasis,
    degrees_of,
    low_degree,
    number_of_orders,
    orthonormal_map,
)
from sktamm.ratios import Coordinates

__all__ = ["EventBasis"]

# Rows that rank the candidates, and the largest number of these, beyond which only the
# linear ones are tried: rules of thumb for seconds.
_SAMPLE = 20_000
_CANDIDATES = 1000
_BASES: dict[str, Any] = {
    "polynomial": None,
    "spline": SplineBasis,
    "principal": NoBasis,
}


class EventBasis:
    """Smooth functions, orthonormal under the reference.

    Parameters
    ----------
    basis : {"polynomial", "spline", "principal"} or object
        Functions of the coordinates: polynomials of the third degree (second or first
        where those are too many), splines, none, or an object with ``evaluate``.
    max_functions : int
        Largest number of functions kept.
    coordinates : Coordinates
        Fitted coordinates of the features.
    """

    def __init__(self, basis: Any, max_functions: int, coordinates: Coordinates):
        self.coordinates = coordinates
        self.basis = basis
        self.max_functions = max_functions

    def fit(
        self,
        X: FloatArray,
        weight: FloatArray,
        log_ratio: FloatArray,
        source_class: np.ndarray,
    ) -> FloatArray:
        """Learn coordinates and functions from the reference rows.

        ``X`` (n_reference, n_features), ``weight`` (n_reference,), ``log_ratio``
        (n_reference, n_sources), ``source_class`` (n_sources,) -> (n_reference,
        n_basis): functions at the reference rows.
        """
        stride = max(1, len(X) // _SAMPLE)
        self.functions_ = self._make(X.shape[1])
        values = self.functions_.evaluate(self.coordinates.transform(X))
        self.chosen_ = np.arange(values.shape[1])
        self.source_class_: np.ndarray | None = None
        if values.shape[1] > self.max_functions:
            part = (values[::stride], weight[::stride], log_ratio[::stride])
            size = self.max_functions - len(np.unique(source_class)) + 1
            self.chosen_ = _most_different(*part, source_class, max(size, 0))
            self.source_class_ = source_class
        degrees = degrees_of(self.functions_, X.shape[1])
        values = self._with_classes(values[:, self.chosen_], log_ratio)
        if degrees is not None:
            first = np.zeros(values.shape[1] - self.chosen_.size, dtype=np.intp)
            degrees = np.concatenate([first, degrees[self.chosen_]])
        self.map_ = orthonormal_map(values, weight, degrees)
        return self.map_.apply(values)

    def evaluate(self, X: FloatArray, log_ratio: FloatArray) -> FloatArray:
        """Functions at events, shape (n_rows, n_basis), given their log ratios."""
        values = self.functions_.evaluate(self.coordinates.transform(X))
        return self.map_.apply(self._with_classes(values[:, self.chosen_], log_ratio))

    def _with_classes(self, values: FloatArray, log_ratio: FloatArray) -> FloatArray:
        """Densities of the classes first, where functions were left out."""
        source_class = self.source_class_
        if source_class is None:
            return values
        means = [
            np.exp(log_ratio[:, source_class == c]).mean(axis=1)
            for c in np.unique(source_class)
        ]
        shares = [mean / sum(means) for mean in means]
        return np.column_stack([*shares, values])

    def _make(self, n_features: int) -> Any:
        if not isinstance(self.basis, str):
            return self.basis
        if self.basis not in _BASES:
            raise IncompatibleChoiceError(
                f"basis must be one of {sorted(_BASES)} or an object with the method "
                f"'evaluate', got {self.basis!r}."
            )
        if self.basis != "polynomial":
            return _BASES[self.basis]()
        degree = low_degree(n_features)
        few = number_of_orders(n_features, degree) <= _CANDIDATES
        return PolynomialBasis(degree if few else 1)


def _most_different(
    values: FloatArray,
    weight: FloatArray,
    log_ratio: FloatArray,
    source_class: np.ndarray,
    size: int,
) -> np.ndarray:
    """Columns in which the simulations of a class differ most, in their order."""
    weight = weight / weight.sum()
    centred = values - weight @ values
    scale = np.sqrt(weight @ centred**2)
    centred = centred / np.where(scale > 0, scale, 1.0)
    spread = np.zeros(values.shape[1])
    for c in np.unique(source_class):
        logs = log_ratio[:, source_class == c]
        logs = logs - logs.mean(axis=1, keepdims=True)
        coefficients = (weight[:, None] * centred).T @ logs
        spread += (coefficients**2).sum(axis=1)
    return np.sort(np.argsort(-spread, kind="stable")[:size])
