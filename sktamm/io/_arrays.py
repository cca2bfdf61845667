"""Arrays as lists of JSON, and back bit for bit.

Numbers are written in the shortest form that reads back as the same double; those that
are not finite are the texts "NaN", "Infinity" and "-Infinity". Dates are ISO texts.
What lists do not tell, type and shape, is written beside them.
"""

import datetime
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sktamm.exceptions import InvalidInputError

__all__ = ["array_from_list", "array_type", "list_of", "plain_item", "restored_item"]

_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_KINDS = "biufMmUSO"
_MOST_LETTERS = 1e8  # bounds what a type of long texts makes of a small file
# Types of single values that JSON has not, by the name that stands with them.
_ITEMS = {
    "datetime": (datetime.datetime, datetime.datetime.fromisoformat),
    "date": (datetime.date, datetime.date.fromisoformat),
}


def array_type(array: NDArray[Any]) -> list[Any]:
    """Type and shape, what a list does not tell: ["<f8", 3, 2]."""
    # More than a double, JSON's readers do not keep.
    too_long = array.dtype.kind == "f" and array.dtype.itemsize > 8
    if array.dtype.kind not in _KINDS or too_long:
        raise InvalidInputError(
            "result must hold numbers, texts, dates or objects to be written, got an "
            f"array of {array.dtype}."
        )
    return [array.dtype.str, *array.shape]


def list_of(array: NDArray[Any]) -> list[Any]:
    """Nested lists of an array, of values that JSON has."""
    kind = array.dtype.kind
    if kind == "M":
        array = np.datetime_as_string(array)
    elif kind == "m":
        array = array.view(np.int64)
    elif kind == "S":
        array = np.char.decode(array, "latin-1")
    elif kind == "f":
        array = array.astype(np.float64)
    item = {"O": plain_item, "f": _number}.get(kind, _as_is)
    return _each(item, array.tolist(), array.ndim)


def array_from_list(values: list[Any], kind: list[Any], name: str) -> NDArray[Any]:
    """Array of nested lists, of the type and shape that `array_type` said."""
    try:
        dtype = np.dtype(kind[0])
        flat = _flat(values, len(kind) - 1)
        if dtype.itemsize * len(flat) > _MOST_LETTERS and dtype.kind in "US":
            raise ValueError("texts that long are none")
        array = _typed(flat, dtype)
        return array.reshape(tuple(int(n) for n in kind[1:]))
    except (ValueError, TypeError, OverflowError, AttributeError) as error:
        raise InvalidInputError(
            f"{name} must hold the values that their type {kind} says, but: {error}."
        ) from error


def plain_item(value: Any) -> Any:
    """One value of any type: what JSON has as it is, else a pair of type and text."""
    if isinstance(value, np.generic):
        array = np.asarray(value)
        return {"type": array_type(array)[0], "value": list_of(array[None])[0]}
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        text = _number(value)
        return text if text is value else {"type": "float", "value": text}
    for name, (kind, _) in _ITEMS.items():
        if type(value) is kind:
            return {"type": name, "value": value.isoformat()}
    if type(value) is tuple:
        return {"type": "tuple", "value": [plain_item(item) for item in value]}
    raise InvalidInputError(
        "result must hold ids and labels that are texts, numbers, Booleans, dates or "
        f"tuples of these to be written, got {value!r} of type {type(value).__name__}."
    )


def restored_item(value: Any, name: str) -> Any:
    """The value that `plain_item` wrote."""
    if not isinstance(value, dict):
        return value
    kind, text = value["type"], value["value"]
    try:
        if kind == "tuple":
            return tuple(restored_item(item, name) for item in text)
        if kind == "float":
            return _WORDS[text]
        if kind in _ITEMS:
            return _ITEMS[kind][1](text)
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidInputError(f"{name} holds {text!r}, no {kind}.") from error
    return array_from_list([text], [kind, 1], name)[0]


def _each(function: Callable[[Any], Any], values: list[Any], depth: int) -> list[Any]:
    """Apply a function to the items of nested lists of a depth."""
    if depth == 1:
        return [function(value) for value in values]
    return [_each(function, part, depth - 1) for part in values]


def _as_is(value: Any) -> Any:
    return value


def _number(value: float) -> Any:
    if math.isfinite(value):
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def _flat(values: list[Any], depth: int) -> list[Any]:
    """Items of nested lists of a depth."""
    for _ in range(depth - 1):
        values = [item for part in values for item in part]
    return values


def _typed(flat: list[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    kind = dtype.kind
    if kind == "O":
        array = np.empty(len(flat), dtype=object)
        array[:] = [restored_item(value, "an id") for value in flat]
        return array
    if kind == "f":
        return np.array([_WORDS.get(v, v) for v in flat], dtype)
    if kind == "m":
        return np.array(flat, dtype=np.int64).view(dtype)
    if kind == "S":
        return np.array([v.encode("latin-1") for v in flat], dtype)
    expected = {"b": bool, "i": int, "u": int, "U": str, "M": str}[kind]
    if any(type(value) is not expected for value in flat):
        raise ValueError(f"it is not all {expected.__name__}")
    return np.array(flat, dtype)
