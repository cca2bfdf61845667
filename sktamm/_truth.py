"""What labelled or grouped events of a target say about its datasets."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sktamm._numerics import FloatArray
from sktamm.events import TargetEvents
from sktamm.exceptions import InvalidInputError

__all__ = ["owner", "true_fraction"]


def owner(target: TargetEvents, dataset: Any) -> NDArray[np.intp]:
    """Index of the dataset of every event."""
    if target.counts is None:
        return np.zeros(len(target.X), dtype=np.intp)
    if np.ndim(dataset) != 1:
        raise InvalidInputError(
            "dataset must be None or one id per event for predict_proba, got an array "
            f"of {np.ndim(dataset)} dimensions."
        )
    return np.searchsorted(target.dataset_id, np.asarray(dataset))


def true_fraction(
    target: TargetEvents, y: ArrayLike, classes: NDArray, pos_label: Any
) -> FloatArray:
    """Weighted share of ``pos_label`` in every dataset."""
    labels = np.asarray(y)
    if labels.shape != (len(target.X),):
        raise InvalidInputError(
            f"y must hold one label per event, {len(target.X)}, got shape "
            f"{labels.shape}."
        )
    unknown = np.setdiff1d(labels, classes)
    if unknown.size:
        raise InvalidInputError(
            f"y must hold classes seen at fit, {classes.tolist()}, got {unknown[0]!r}."
        )
    weight = np.ones(len(labels)) if target.weight is None else target.weight
    signal = weight * (labels == pos_label)
    if target.counts is None:
        return np.array([signal.sum() / weight.sum()])
    return (target.counts.T @ signal) / (target.counts.T @ weight)
