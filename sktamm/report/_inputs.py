"""What a report is asked about: datasets one by one, and simulated events."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sktamm._numerics import FloatArray
from sktamm._validation import encode
from sktamm.exceptions import InvalidInputError
from sktamm.templates import is_histogram

__all__ = ["Dataset", "SimulatedSample", "split_datasets"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """One dataset as ``infer`` takes it: events, or one histogram in a list."""

    X: Any
    sample_weight: Any  # (n_events,) or None
    is_histogram: bool = False


@dataclass(frozen=True, eq=False)
class SimulatedSample:
    """Simulated events for figures of features.

    Attributes
    ----------
    X : array-like of shape (n_events, n_features)
        Features as the estimator takes them.
    y, simulation, sample_weight : array-like of shape (n_events,)
        As in ``fit``; the last two may be None.
    """

    X: Any
    y: ArrayLike
    simulation: ArrayLike | None = None
    sample_weight: ArrayLike | None = None

    @property
    def names(self) -> list[str]:
        """Names of the features."""
        if isinstance(self.X, pd.DataFrame):
            return [str(name) for name in self.X.columns]
        return [f"x{j}" for j in range(np.shape(self.X)[1])]

    def values(self, X: Any) -> FloatArray:
        """Values of the features of some events, in this order."""
        if isinstance(X, pd.DataFrame) and isinstance(self.X, pd.DataFrame):
            X = X[list(self.X.columns)]
        return np.asarray(X, dtype=float)


def split_datasets(X: Any, dataset: Any, sample_weight: Any) -> Iterator[Dataset]:
    """Datasets in the order of a result."""
    if is_histogram(X):
        several = list(X) if isinstance(X, list | tuple) else [X]
        for histogram in several:
            yield Dataset([histogram], None, is_histogram=True)
        return
    if dataset is None:
        yield Dataset(X, sample_weight)
        return
    if np.ndim(dataset) != 1:
        raise InvalidInputError(
            "dataset must hold one id per event in a report, got "
            f"{np.ndim(dataset)} dimensions."
        )
    ids, number = encode(dataset, "dataset", len(X))
    for k in range(len(ids)):
        own = np.flatnonzero(number == k)
        rows = X.iloc[own] if hasattr(X, "iloc") else np.asarray(X)[own]
        weight = None if sample_weight is None else np.asarray(sample_weight)[own]
        yield Dataset(rows, weight)
