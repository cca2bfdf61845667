"""Negative event weights settled within small cells before anything is learned.

A loss with negative weights has no lower bound, yet the density of all events is
positive wherever enough of them tell what it is. So weights are shared out (cell
resampling: Andersen, Gutschow, Maier and Prestel, arXiv:2005.09375; Andersen and Maier,
arXiv:2109.07851): around every negative weight the nearest events of its class are
collected until their sum is not negative, and in this cell

    w_i -> |w_i| sum_cell w / sum_cell |w|.

What is left varies less than the events did, so errors are computed from the weights as
given, and every member of an ensemble settles those of its own bootstrap sample.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree

from sktamm._numerics import FloatArray
from sktamm.exceptions import InvalidInputError

__all__ = ["settled_weights"]

_NEIGHBOURS = 8  # looked up for all events at once; only a matter of speed
# Events; 4 s for 10 % of negative weights in 20 features, an hour for a million events.
_LARGEST_PART = 50_000


def settled_weights(X: Any, label: NDArray[Any], weight: ArrayLike) -> FloatArray:
    """Weights (n_events,) of the same density and sum of every class, none negative."""
    settled = np.array(weight, dtype=float)
    signed = np.unique(label[settled < 0])
    if not signed.size:
        return settled
    features = _numbers(X)
    for one in signed:
        rows = np.flatnonzero(label == one)
        if not settled[rows].sum() > 0:
            raise InvalidInputError(
                "sample_weight must have a positive sum in every class, got "
                f"{settled[rows].sum():g} in class {one}."
            )
        settled[rows] = _settled(features[rows], settled[rows])
    return settled


def _numbers(X: Any) -> FloatArray:
    """Features as finite numbers, since cells need distances."""
    try:
        features = np.asarray(X, dtype=float)
    except (TypeError, ValueError):
        features = np.array(np.nan)
    if not np.isfinite(features).all():
        raise InvalidInputError(
            "sample_weight may be negative only where all features are finite numbers, "
            "since such weights are settled among the nearest events."
        )
    return features


def _settled(X: FloatArray, weight: FloatArray) -> FloatArray:
    """Weights of one class; distances are in standard deviations of the features."""
    spread = X.std(axis=0)
    points = X / np.where(spread > 0, spread, 1.0)
    settled = np.empty_like(weight)
    for rows in _parts(weight):
        settled[rows] = _settled_part(KDTree(points[rows]), weight[rows])
    return settled


def _parts(weight: FloatArray) -> list[NDArray[np.intp]]:
    """Random parts of a class, each of positive sum: less to search."""
    order = np.random.default_rng(0).permutation(weight.size)
    parts = np.array_split(order, -(-weight.size // _LARGEST_PART))
    if all(weight[rows].sum() > 0 for rows in parts):
        return parts
    return [order]


def _settled_part(tree: KDTree, weight: FloatArray) -> FloatArray:
    """Settle the weights of the events of a tree, in place."""
    negative = np.flatnonzero(weight < 0)
    if not negative.size:
        return weight
    cells = _nearest(tree, tree.data[negative], _NEIGHBOURS)
    for i, near in zip(negative, cells, strict=True):
        if weight[i] >= 0:  # a cell before has settled it
            continue
        while (length := _cell_length(weight, i, near)) == 0 and near.size < tree.n:
            near = _nearest(tree, tree.data[i], 4 * near.size)
        _share_out(weight, _around(i, near)[: length or None])
    return weight


def _nearest(tree: KDTree, points: FloatArray, size: int) -> NDArray[np.intp]:
    return np.asarray(tree.query(points, k=np.arange(1, min(size, tree.n) + 1))[1])


def _around(i: np.intp, near: NDArray[np.intp]) -> NDArray[np.intp]:
    """An event and those near it, itself first, also where many are at one place."""
    return np.append(i, near[near != i])


def _cell_length(weight: FloatArray, i: np.intp, near: NDArray[np.intp]) -> int:
    """How many of the nearest events have a sum that is not negative; 0 if none."""
    enough = np.cumsum(weight[_around(i, near)]) >= 0
    return int(np.argmax(enough)) + 1 if enough.any() else 0


def _share_out(weight: FloatArray, cell: NDArray[np.intp]) -> None:
    """Replace the weights of a cell by positive ones of the same sum."""
    size = np.abs(weight[cell])
    weight[cell] = size * (max(weight[cell].sum(), 0.0) / size.sum())
