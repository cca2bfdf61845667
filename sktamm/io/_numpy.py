"""Arrays of NumPy: one of records or of rows in .npy, one per column in .npz."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sktamm.exceptions import InvalidInputError
from sktamm.io._formats import Format, readable
from sktamm.io._sources import Source

__all__ = ["NUMPY"]

# A broken header raises whatever Python's parser does, a broken archive zipfile's.
_BROKEN = (Exception,)


def _columns(source: Source) -> dict[str, NDArray[Any]]:
    """Arrays of shape (n_events,) by name; rows of a matrix are named by number."""
    # Opened here, since NumPy leaves a broken file open.
    with readable(source, "NumPy arrays", _BROKEN), source.path.open("rb") as file:
        stored = np.load(file, allow_pickle=False)
        if isinstance(stored, np.ndarray):
            return _split("x", stored, source)
        with stored:
            arrays = {name: stored[name] for name in stored.files}
    found: list[tuple[str, NDArray[Any]]] = []
    for name, array in arrays.items():
        found += _split(name, array, source, alone=False).items()
    _check_alike(found, source)
    return dict(found)


def _split(
    name: str, array: NDArray[Any], source: Source, alone: bool = True
) -> dict[str, NDArray[Any]]:
    if array.dtype.names is not None and array.ndim == 1:
        fields = {field: array[field] for field in array.dtype.names}
        if any(column.ndim > 1 for column in fields.values()):
            raise InvalidInputError(
                f"{source.name} must hold one number per event in every field, got "
                f"{array.dtype}."
            )
        return fields
    if array.ndim == 1 and not alone:
        return {name: array}
    if array.ndim == 2:
        return {f"{name}{j}": array[:, j] for j in range(array.shape[1])}
    raise InvalidInputError(
        f"{source.name} must hold rows of events, columns, or records, but {name!r} "
        f"has shape {array.shape}."
    )


def _check_alike(found: list[tuple[str, NDArray[Any]]], source: Source) -> None:
    names = [name for name, _ in found]
    for name, array in found:
        if names.count(name) > 1:
            raise InvalidInputError(
                f"{source.name} must have every column once, but has "
                f"{names.count(name)} of the name {name!r}."
            )
        if array.size != found[0][1].size:
            raise InvalidInputError(
                f"{source.name} must have as many rows in every column, but "
                f"{names[0]!r} has {found[0][1].size} and {name!r} {array.size}."
            )


def _names(source: Source) -> list[str]:
    return list(_columns(source))


def _pieces(
    source: Source, columns: list[str] | None, size: int | None, text: list[str]
) -> Iterator[pd.DataFrame]:
    arrays = _columns(source)
    chosen = arrays if columns is None else {name: arrays[name] for name in columns}
    plain = {name: _decoded(array, source) for name, array in chosen.items()}
    n_events = max((array.size for array in plain.values()), default=0)
    for start in range(0, max(n_events, 1), size or max(n_events, 1)):
        stop = None if size is None else start + size
        yield pd.DataFrame({name: array[start:stop] for name, array in plain.items()})


def _decoded(array: NDArray[Any], source: Source) -> NDArray[Any]:
    """Native byte order; bytes as text."""
    if array.dtype.kind == "S":
        with readable(source, "NumPy arrays", _BROKEN):
            return np.char.decode(array, "utf-8").astype(object)
    if array.dtype.kind == "U":
        return array.astype(object)
    return array.astype(array.dtype.newbyteorder("="))


NUMPY = Format("NumPy", (".npy", ".npz"), _names, _pieces)
