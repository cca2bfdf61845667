"""Records that nobody can change: arrays of constant bytes, mappings without setters.

A frozen dataclass guards its fields only; here what the fields hold is frozen, too,
when the record is made, copied or unpickled.
"""

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Frozen", "frozen", "same", "thawed"]


class Frozen:
    """Base of frozen dataclasses whose arrays and mappings are frozen as well."""

    def __post_init__(self) -> None:
        """Replace what the fields hold by frozen copies."""
        self._freeze({f.name: getattr(self, f.name) for f in fields(self)})  # type: ignore[arg-type]

    def __getstate__(self) -> dict[str, Any]:
        """Fields with plain mappings, which can be pickled."""
        return {name: thawed(value) for name, value in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the fields and freeze them: arrays come writeable out of a pickle."""
        self._freeze(state)

    def _freeze(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, frozen(value))


def frozen(value: Any) -> Any:
    """Copy of arrays, mappings and sequences that cannot be changed."""
    if isinstance(value, np.ndarray):
        return _constant(value)
    if isinstance(value, Mapping):
        return MappingProxyType({key: frozen(item) for key, item in value.items()})
    if type(value) in (list, tuple):
        return tuple(frozen(item) for item in value)
    return value


def thawed(value: Any) -> Any:
    """The same with plain dictionaries in place of constant mappings."""
    if isinstance(value, Mapping):
        return {key: thawed(item) for key, item in value.items()}
    if type(value) is tuple:
        return tuple(thawed(item) for item in value)
    return value


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal bit for bit, types and NaN included."""
    if isinstance(one, Frozen):
        return type(one) is type(other) and all(
            same(getattr(one, f.name), getattr(other, f.name))
            for f in fields(one)  # type: ignore[arg-type]
            if f.compare
        )
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and _same_arrays(one, other)
    if isinstance(one, Mapping):
        return (
            isinstance(other, Mapping)
            and list(one) == list(other)
            and all(same(one[key], other[key]) for key in one)
        )
    if isinstance(one, tuple):
        return (
            isinstance(other, tuple)
            and len(one) == len(other)
            and all(map(same, one, other))
        )
    return type(one) is type(other) and bool(one == other or one != one)


def _same_arrays(one: NDArray[Any], other: NDArray[Any]) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if _holds_objects(one):
        return all(map(same, one.ravel().tolist(), other.ravel().tolist()))
    if one.dtype.kind == "f":  # any NaN is as good as any other
        one, other = (np.where(np.isnan(a), np.nan, a) for a in (one, other))
    return one.tobytes() == other.tobytes()


def _constant(array: NDArray[Any]) -> NDArray[Any]:
    """Copy whose memory is constant, so that no flag makes it writeable again."""
    if type(array) is np.ndarray and isinstance(array.base, bytes):
        return array
    array = np.asarray(array)
    if _holds_objects(array):  # references have no bytes of their own
        copy = array.copy()
        copy.setflags(write=False)
        return copy.view()
    return np.ndarray(array.shape, array.dtype, buffer=array.tobytes())


def _holds_objects(array: NDArray[Any]) -> bool:
    return array.dtype.hasobject or array.dtype.kind == "T"
