"""Arrays as users give them, to arrays the package can trust, or a refusal.

Features become finite float64, weights finite float64 or None, labels and ids sorted
unique values with the index of each entry among them. Nothing is copied without need.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.utils.validation import check_array, column_or_1d

from sktamm._numerics import FloatArray, IntArray
from sktamm.exceptions import InvalidInputError

__all__ = [
    "are_counts",
    "check_columns",
    "check_shared",
    "check_sum",
    "check_sums",
    "encode",
    "event_blocks",
    "find_labels",
    "read_features",
    "read_ids",
    "read_numbers",
    "read_weight",
    "refuse_masked",
    "scalars",
    "take_rows",
]


# A block of doubles of this length stays in the second-level cache.
BLOCK_SIZE = 1 << 15
# Integer ids spread over a wider range than this (and than their number) are sorted.
_LOOKUP_RANGE = 1 << 20
# Up to this many ids, whatever their events, no measurement takes long: 100 simulations
# or datasets of a few events are fitted in a second.
_MOST_IDS = 100


def event_blocks(n_events: int, size: int = BLOCK_SIZE) -> Iterator[slice]:
    """Cut events into consecutive blocks."""
    for start in range(0, n_events, size):
        yield slice(start, min(start + size, n_events))


def take_rows(values: Any, rows: IntArray) -> Any:
    """Some of the rows of a data frame, or of anything that makes an array."""
    return values.iloc[rows] if hasattr(values, "iloc") else np.asarray(values)[rows]


def check_columns(piece: Any, names: Iterable[str]) -> None:
    """Refuse a piece of the data that lacks one of these columns."""
    columns = getattr(piece, "columns", ())
    for name in names:
        if name not in columns:
            raise InvalidInputError(
                f"pieces must be data frames with the column {name!r}, got "
                f"{list(columns) or type(piece).__name__}."
            )


def read_features(X: Any, names: tuple[str, ...] | None) -> FloatArray:
    """Return finite float64 features of shape (n_events, n_features)."""
    if sparse.issparse(X):
        raise InvalidInputError(
            "X must be dense: sparse features are not supported, "
            f"got {type(X).__name__}."
        )
    refuse_masked(X, "X")
    if hasattr(X, "dtypes") and hasattr(X, "iloc"):
        for j in range(X.shape[1]):
            refuse_types(X.iloc[:0, j], f"Column {X.columns[j]!r} of X", "mM")
    refuse_types(X, "X", "mM")
    try:
        X = check_array(X, dtype=np.float64, ensure_all_finite=False, input_name="X")
    except ValueError as error:
        raise InvalidInputError(f"{error}{_where(X)}") from error
    _check_finite(X, names)
    return X


def _where(X: Any) -> str:
    """The first column of a data frame that holds no numbers, for a message."""
    kinds = getattr(X, "dtypes", None) if hasattr(X, "iloc") else None
    for name, dtype in () if kinds is None else kinds.items():
        if not pd.api.types.is_numeric_dtype(dtype):
            return f", in column {name!r}"
    return ""


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
    refuse_masked(sample_weight, "sample_weight")
    refuse_types(sample_weight, "sample_weight")
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
    refuse_masked(values, name)
    refuse_types(values, name)
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


def refuse_masked(values: Any, name: str) -> None:
    """Refuse a masked array that masks anything: what lies below is no data."""
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise InvalidInputError(
            f"{name} must hold no masked entries, but {np.ma.count_masked(values)} "
            "are masked; leave these events out."
        )


def refuse_types(values: Any, name: str, kinds: str = "mMc") -> None:
    """Refuse times, which would become integers, and complex numbers."""
    # Kinds of numpy: M and m are times and durations, c complex numbers.
    kind = getattr(getattr(values, "dtype", None), "kind", "")
    if kind and kind in kinds:
        raise InvalidInputError(
            f"{name} must hold real numbers, got the dtype {values.dtype}; give times "
            "as numbers of a unit, or leave them out."
        )


def encode(
    values: Any, name: str, n_events: int | None, labels: bool = False
) -> tuple[NDArray[Any], IntArray]:
    """Sorted unique values and the index of each entry among them."""
    array = read_ids(values, name, n_events)
    if array.dtype.kind == "f":
        return _encode_floats(array, name, labels)
    if array.dtype.kind in "biu":
        return _encode_integers(array)
    if array.dtype.kind in "mM":
        return _encode_times(array, name)
    return _encode_objects(array, name)


def find_labels(
    values: Any, known: NDArray[Any], name: str, n_events: int | None
) -> IntArray:
    """Index of each label among those seen at fit, compared as they were written."""
    unique, code = encode(values, name, n_events)
    places = {label: i for i, label in enumerate(scalars(known))}
    found = np.array([places.get(label, -1) for label in scalars(unique)], np.intp)
    if (found < 0).any():
        unknown = scalars(unique)[np.argmax(found < 0)]
        raise InvalidInputError(
            f"{name} must hold classes seen at fit, {known.tolist()}, got {unknown!r}."
        )
    return found[code]


def scalars(array: NDArray[Any]) -> list[Any]:
    """Entries that compare exactly in Python; times are integers in ``tolist``."""
    if array.dtype.kind == "M":
        return [pd.Timestamp(value) for value in array]
    if array.dtype.kind == "m":
        return [pd.Timedelta(value) for value in array]
    return array.tolist()


def check_shared(n_ids: int, n_events: int, name: str, fewest: int) -> None:
    """Refuse an id for every few events: each would be a template or a fit."""
    if n_ids > _MOST_IDS and n_events < fewest * n_ids:
        raise InvalidInputError(
            f"{name} must hold ids that at least {fewest} events share on average, "
            f"but {n_events} events have {n_ids} different ids; is it a number of the "
            "event?"
        )


def read_ids(values: Any, name: str, n_events: int | None = None) -> NDArray[Any]:
    """One id per event, an array that tells apart what was apart as given."""
    refuse_masked(values, name)
    try:
        array = column_or_1d(_keep_apart(values, name), warn=True)
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
    return array.astype(object) if array.dtype.kind in "TV" else array


def _keep_apart(values: Any, name: str) -> Any:
    """Array of pandas columns and lists, which numpy would turn into floats or text."""
    if isinstance(values, pd.DataFrame) and values.shape[1] == 1:
        column = _keep_apart(values.iloc[:, 0], name)
        return np.asarray(column)[:, np.newaxis]
    if isinstance(values, list | tuple):
        return _from_list(values)
    dtype = getattr(values, "dtype", None)
    if not isinstance(dtype, pd.api.extensions.ExtensionDtype):
        return values
    missing = np.asarray(pd.isna(values))
    if missing.any():
        refuse_missing(missing, name)
    if isinstance(dtype, pd.CategoricalDtype):
        code = pd.Categorical(values).codes
        return np.asarray(_keep_apart(dtype.categories, name))[code]
    plain = getattr(dtype, "numpy_dtype", None)
    if plain is not None and plain.kind in "biuf":
        return values.to_numpy(dtype=plain)
    return np.asarray(values)


def _from_list(values: Sequence[Any]) -> Any:
    """Array of a list; of objects where numpy would merge what it holds."""
    try:
        array = np.asarray(values)
    except ValueError:
        return values
    if array.ndim != 1 or array.size == 0:
        return array
    if array.dtype.kind in "US":
        merged = not all(isinstance(value, str | bytes) for value in values)
    else:
        large = array.dtype.kind == "f" and 2.0**53 <= np.abs(array).max() < np.inf
        merged = large and any(isinstance(value, Integral) for value in values)
    return _as_objects(values) if merged else array


def _as_objects(values: Sequence[Any]) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _encode_integers(array: NDArray[Any]) -> tuple[NDArray[Any], IntArray]:
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


def _encode_floats(
    array: NDArray[Any], name: str, labels: bool
) -> tuple[NDArray[Any], IntArray]:
    finite = np.isfinite(array)
    if not finite.all():
        refuse_missing(~finite, name)
    whole = bool((array == np.rint(array)).all())
    if labels and not whole:
        raise InvalidInputError(
            "y must hold class labels: Unknown label type, got continuous values such "
            f"as {array[array != np.rint(array)][0]}."
        )
    # From here on neighbouring integers are one float: ids may be merged already.
    exact = 2.0 ** (np.finfo(array.dtype).nmant + 1)
    if np.abs(array).max() >= exact:
        raise InvalidInputError(
            f"{name} must hold ids that its type can tell apart, but it holds "
            f"{np.abs(array).max():.17g} as {array.dtype}, which is exact below "
            f"{exact:.17g} only; pass integers or strings."
        )
    if whole:
        unique, code = _encode_integers(array.astype(np.int64))
        return unique.astype(array.dtype), code
    unique, code = np.unique(array, return_inverse=True)
    return unique, code.astype(np.intp, copy=False)


def _encode_times(array: NDArray[Any], name: str) -> tuple[NDArray[Any], IntArray]:
    missing = np.isnat(array)
    if missing.any():
        refuse_missing(missing, name)
    unique, code = np.unique(array, return_inverse=True)
    return unique, code.astype(np.intp, copy=False)


def _encode_objects(array: NDArray[Any], name: str) -> tuple[NDArray[Any], IntArray]:
    try:
        code, unique = pd.factorize(array)
    except TypeError as error:
        raise InvalidInputError(
            f"{name} must hold labels that can be compared: {error}."
        ) from error
    if (code < 0).any():
        refuse_missing(code < 0, name)
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
    return _as_plain(unique[order].tolist()), rank[code]


def _as_plain(values: list[Any]) -> NDArray[Any]:
    """Array of the type of the values if that keeps every one as it is."""
    try:
        array = np.array(values)
    except ValueError:
        return _as_objects(values)
    same = array.ndim == 1 and array.dtype.kind in "biufUS"
    return array if same and array.tolist() == values else _as_objects(values)


def refuse_missing(missing: NDArray[np.bool_], name: str) -> None:
    """Refuse missing entries, and name the first."""
    rows = np.flatnonzero(missing)
    raise InvalidInputError(
        f"{name} must hold no missing values, but {rows.size} entries are NaN, "
        f"infinite or None, the first at row {rows[0]}."
    )


def are_counts(entries: NDArray[Any]) -> bool:
    """Tell whether all entries are whole, finite and not negative."""
    if entries.dtype.kind in "bu" or entries.size == 0:
        return True
    if entries.min() < 0 or not np.isfinite(entries.max()):
        return False
    return entries.dtype.kind == "i" or bool((entries == np.rint(entries)).all())
