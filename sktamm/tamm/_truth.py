"""What labelled or grouped events of a target say about its datasets."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sktamm._numerics import FloatArray
from sktamm._validation import find_labels
from sktamm.events import TargetEvents
from sktamm.exceptions import InvalidInputError

__all__ = ["owner", "true_fraction"]


def owner(target: TargetEvents, dataset: Any) -> NDArray[np.intp]:
    """Index of the dataset of every event."""
    counts: Any = target.counts
    if counts is None:
        return np.zeros(len(target.X), dtype=np.intp)
    if np.ndim(dataset) != 1:
        raise InvalidInputError(
            "dataset must be None or one id per event for predict_proba, got an array "
            f"of {np.ndim(dataset)} dimensions."
        )
    # One id per event is one entry per row of the counts.
    return np.asarray(counts.indices, dtype=np.intp)


def true_fraction(
    target: TargetEvents, y: ArrayLike, classes: NDArray[Any], pos_label: Any
) -> FloatArray:
    """Weighted share of ``pos_label`` in every dataset."""
    if np.shape(y) != (len(target.X),):
        raise InvalidInputError(
            f"y must hold one label per event, {len(target.X)}, got shape "
            f"{np.shape(y)}."
        )
    label = find_labels(y, classes, "y", len(target.X))
    weight = np.ones(len(label)) if target.weight is None else target.weight
    signal = weight * (classes[label] == pos_label)
    if target.counts is None:
        return np.array([signal.sum() / weight.sum()])
    return (target.counts.T @ signal) / (target.counts.T @ weight)
