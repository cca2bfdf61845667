"""Arrays as users give them, to arrays the package can trust, or a refusal.

Features become finite float64, weights finite float64 or None, labels and ids sorted
unique values with the index of each entry among them. Nothing is copied without need.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.utils.validation import check_array, column_or_1d

from sktamm.exceptions import InvalidInputError

__all__ = [
    "are_counts",
    "check_sum",
    "check_sums",
    "encode",
    "event_blocks",
    "read_features",
    "read_numbers",
    "read_weight",
    "take_rows",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

# A block of doubles of this length stays in the second-level cache.
BLOCK_SIZE = 1 << 15
# Integer ids spread over a wider range than this (and than their number) are sorted.
_LOOKUP_RANGE = 1 << 20


def event_blocks(n_events: int, size: int = BLOCK_SIZE) -> Iterator[slice]:
    """Cut events into consecutive blocks.

    Parameters
    ----------
    n_events : int
        Number of events.
    size : int, default=32768
        Largest number of events of a block.

    Yields
    ------
    block : slice
        Events of one block.
    """
    for start in range(0, n_events, size):
        yield slice(start, min(start + size, n_events))


def take_rows(values: Any, rows: IntArray) -> Any:
    """Some of the rows of a data frame, or of anything that makes an array."""
    return values.iloc[rows] if hasattr(values, "iloc") else np.asarray(values)[rows]


def read_features(X: Any, names: tuple[str, ...] | None) -> FloatArray:
    """Return finite float64 features of shape (n_events, n_features)."""
    if sparse.issparse(X):
        raise InvalidInputError(
            "X must be dense: sparse features are not supported, "
            f"got {type(X).__name__}."
        )
    try:
        X = check_array(X, dtype=np.float64, ensure_all_finite=False, input_name="X")
    except ValueError as error:
        raise InvalidInputError(str(error)) from error
    _check_finite(X, names)
    return X


def _check_finite(X: FloatArray, names: tuple[str, ...] | None) -> None:
    # The sum of a block is finite unless an entry is not, or the sum overflows.
    with np.errstate(over="ignore", invalid="ignore"):
        suspects = [b for b in event_blocks(len(X)) if not np.isfinite(X[b].sum())]
    if not suspects:
        return
    rows = [b.start + np.flatnonzero(~np.isfinite(X[b]).all(axis=1)) for b in suspects]
    bad = np.concatenate(rows)
    if bad.size:
        column = int(np.argmin(np.isfinite(X[bad[0]])))
        name = f"column {column}" if names is None else f"column {names[column]!r}"
        raise InvalidInputError(
            f"X must be finite, but {bad.size} rows hold NaN or infinity (inf), "
            f"the first at row {bad[0]} in {name}."
        )


def read_weight(
    sample_weight: ArrayLike | None, n_events: int, name: str = "sample_weight"
) -> FloatArray | None:
    """Return finite float64 weights of shape (n_events,), None for absent ones."""
    if sample_weight is None:
        return None
    try:
        weight = np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"{name} must hold one number per event: {error}."
        ) from error
    if weight.shape != (n_events,):
        raise InvalidInputError(
            f"{name} must hold one number for each of the {n_events} rows of X, "
            f"got shape {weight.shape}."
        )
    bad = np.flatnonzero(~np.isfinite(weight))
    if bad.size:
        raise InvalidInputError(
            f"{name} must be finite, but {bad.size} entries are NaN or "
            f"infinite, the first at row {bad[0]}."
        )
    return weight


def read_numbers(values: Any, name: str) -> FloatArray:
    """Return a float64 array of any shape."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"{name} must hold numbers: {error}.") from error


def check_sums(total: FloatArray, name_of: Callable[[int], str]) -> None:
    """Refuse samples whose weights do not have a positive sum."""
    bad = np.flatnonzero(total <= 0)
    if bad.size:
        raise InvalidInputError(
            "sample_weight must not sum to zero or less in any sample, but it sums to "
            f"{total[bad[0]]:g} in {name_of(bad[0])}."
        )


def check_sum(weight: FloatArray, name: str = "X") -> None:
    """Refuse weights of one sample that do not have a positive sum."""
    check_sums(np.atleast_1d(weight.sum()), lambda _: name)


def encode(
    values: Any, name: str, n_events: int | None, labels: bool = False
) -> tuple[NDArray, IntArray]:
    """Sorted unique values and the index of each entry among them."""
    array = _one_dimensional(values, name, n_events)
    if array.dtype.kind == "f":
        return _encode_floats(array, name, labels)
    if array.dtype.kind in "biu":
        return _encode_integers(array)
    return _encode_objects(array, name)


def _one_dimensional(values: Any, name: str, n_events: int | None) -> NDArray:
    try:
        array = column_or_1d(values, warn=True)
    except ValueError as error:
        message = str(error).replace("y should be", f"{name} should be")
        raise InvalidInputError(message) from error
    if n_events is not None and array.size != n_events:
        raise InvalidInputError(
            f"{name} must hold one entry for each of the {n_events} events, got "
            f"{array.size} entries."
        )
    if array.size == 0:
        raise InvalidInputError(f"{name} must not be empty, got 0 entries.")
    return array


def _encode_integers(array: NDArray) -> tuple[NDArray, IntArray]:
    low, high = int(array.min()), int(array.max())
    wide = high - low >= max(_LOOKUP_RANGE, 2 * array.size)
    if wide or high > np.iinfo(np.intp).max:
        unique, code = np.unique(array, return_inverse=True)
        return unique, code.astype(np.intp, copy=False)
    # Counting replaces sorting: ten million ids take a tenth of a second.
    code = array.astype(np.intp, copy=False)
    code = code - low if low else code
    present = np.bincount(code) > 0
    unique = (np.flatnonzero(present) + low).astype(array.dtype)
    return unique, code if present.all() else (np.cumsum(present) - 1)[code]


def _encode_floats(array: NDArray, name: str, labels: bool) -> tuple[NDArray, IntArray]:
    finite = np.isfinite(array)
    if not finite.all():
        _refuse_missing(~finite, name)
    whole = bool((array == np.rint(array)).all())
    if labels and not whole:
        raise InvalidInputError(
            "y must hold class labels: Unknown label type, got continuous values such "
            f"as {array[array != np.rint(array)][0]}."
        )
    if whole and np.abs(array).max() < 2.0**53:
        unique, code = _encode_integers(array.astype(np.int64))
        return unique.astype(array.dtype), code
    unique, code = np.unique(array, return_inverse=True)
    return unique, code.astype(np.intp, copy=False)


def _encode_objects(array: NDArray, name: str) -> tuple[NDArray, IntArray]:
    code, unique = pd.factorize(array)
    if (code < 0).any():
        _refuse_missing(code < 0, name)
    kinds = {type(value).__name__ for value in unique}
    try:
        order = np.array(sorted(range(len(unique)), key=unique.__getitem__))
    except TypeError as error:
        raise InvalidInputError(
            f"{name} must hold values that can be sorted: Unknown label type, got a "
            f"mixture of {', '.join(sorted(kinds))}."
        ) from error
    rank = np.empty(order.size, dtype=np.intp)
    rank[order] = np.arange(order.size)
    return np.array(unique[order].tolist()), rank[code]


def _refuse_missing(missing: NDArray[np.bool_], name: str) -> None:
    rows = np.flatnonzero(missing)
    raise InvalidInputError(
        f"{name} must hold no missing values, but {rows.size} entries are NaN, "
        f"infinite or None, the first at row {rows[0]}."
    )


def are_counts(entries: NDArray) -> bool:
    """Tell whether all entries are whole, finite and not negative."""
    if entries.dtype.kind in "bu" or entries.size == 0:
        return True
    if entries.min() < 0 or not np.isfinite(entries.max()):
        return False
    return entries.dtype.kind == "i" or bool((entries == np.rint(entries)).all())
