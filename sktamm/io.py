"""Events in, results out: reading tables and writing what was measured.

A result on disk is strict JSON (no NaN or Infinity, absent is null) that carries the
versions, settings, seed and hashes of the inputs behind it.
"""

import hashlib
import importlib.metadata
import json
import math
import os
import platform
import uuid
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sktamm.exceptions import InvalidInputError
from sktamm.results import FractionResult

__all__ = [
    "file_hash",
    "provenance",
    "read_events",
    "result_to_json",
    "write_events",
    "write_result",
]

FORMAT_VERSION = 1
PACKAGES = ("sktamm", "numpy", "scipy", "scikit-learn")

_BLOCK = 1 << 20


def read_events(
    path: str | os.PathLike[str], columns: Sequence[str] | None = None
) -> pd.DataFrame:
    r"""Read events from a CSV or Parquet file.

    Parameters
    ----------
    path : path-like
        File whose name ends with ``.csv``, ``.csv.gz``, ``.parquet`` or ``.pq``.
    columns : sequence of str, optional
        Columns to read, in this order; all by default.

    Returns
    -------
    events : pandas.DataFrame
        One row per event.

    Raises
    ------
    InvalidInputError
        If the file is missing, empty, unreadable or of another kind, lacks a column,
        or is Parquet and pyarrow is not installed.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from sktamm.io import read_events
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "events.csv"
    ...     _ = path.write_text("x,y,label\n1,2,0\n3,4,1\n")
    ...     read_events(path, ["y", "label"]).shape
    (2, 2)
    """
    path = Path(path)
    read = _reader(path)
    _check_file(path)
    available, events = read(path, columns)
    missing = [name for name in columns or () if name not in available]
    if missing:
        raise InvalidInputError(
            f"{path.name} has no column {_quoted(missing)}; it has "
            f"{_quoted(available)}."
        )
    if events.empty:
        raise InvalidInputError(f"{path.name} must hold events; it has no rows.")
    return events


def write_events(path: str | os.PathLike[str], events: pd.DataFrame) -> None:
    """Write events to a CSV or Parquet file, whichever the name asks for.

    Parameters
    ----------
    path : path-like
        File whose name ends with ``.csv``, ``.csv.gz``, ``.parquet`` or ``.pq``.
    events : pandas.DataFrame
        One row per event; the index is not written.

    Raises
    ------
    InvalidInputError
        If the name has another ending, or is Parquet and pyarrow is not installed.
    """
    path = Path(path)
    if _reader(path) is _read_parquet:
        _import_pyarrow(path)
        events.to_parquet(path, index=False, engine="pyarrow")
    else:
        events.to_csv(path, index=False)


def file_hash(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, read in blocks.

    Parameters
    ----------
    path : path-like
        Any file.

    Returns
    -------
    digest : str
        Hexadecimal digest of 64 characters.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def provenance(
    settings: Mapping[str, Any] | None = None,
    seed: int | None = None,
    inputs: Sequence[str | os.PathLike[str]] = (),
) -> dict[str, Any]:
    """Where a result comes from: versions, settings, seed and inputs.

    Holds nothing about the machine: files appear by name, not by path.

    Parameters
    ----------
    settings : mapping, optional
        Settings of the measurement, JSON-compatible values.
    seed : int, optional
        Seed of the measurement.
    inputs : sequence of path-like
        Files that were read; each is hashed.

    Returns
    -------
    provenance : dict
        Entries ``software``, ``settings``, ``seed`` and ``inputs``.

    Examples
    --------
    >>> from sktamm.io import provenance
    >>> sorted(provenance(seed=0))
    ['inputs', 'seed', 'settings', 'software']
    """
    software: dict[str, str | None] = {"python": platform.python_version()}
    software |= {name: _version(name) for name in PACKAGES}
    return {
        "software": software,
        "settings": _plain(settings or {}),
        "seed": _plain(seed),
        "inputs": [
            {
                "file": Path(path).name,
                "bytes": Path(path).stat().st_size,
                "sha256": file_hash(path),
            }
            for path in inputs
        ],
    }


def result_to_json(
    result: FractionResult, provenance: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Turn a result into plain values for strict JSON.

    Posterior draws and templates are left out; everything else is there. Numbers that
    are not finite become None.

    Parameters
    ----------
    result : FractionResult
        What was measured.
    provenance : mapping, optional
        What :func:`provenance` returned.

    Returns
    -------
    document : dict
        Entries ``format``, ``method``, ``classes``, ``pos_label``, ``features``,
        ``datasets`` and ``provenance``; one entry of ``datasets`` per dataset.
    """
    return {
        "format": {"name": "sktamm.FractionResult", "version": FORMAT_VERSION},
        "method": _plain(result.method),
        "classes": _plain(result.classes),
        "pos_label": _plain(result.pos_label),
        "features": list(result.features),
        "datasets": [_dataset_to_json(result, i) for i in range(result.kappa.size)],
        "provenance": _plain(provenance),
    }


def write_result(
    path: str | os.PathLike[str],
    result: FractionResult,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write a result as strict JSON; the file appears complete or not at all.

    Parameters
    ----------
    path : path-like
        File to write; an existing one is replaced.
    result : FractionResult
        What was measured.
    provenance : mapping, optional
        What :func:`provenance` returned.
    """
    path = Path(path)
    document = result_to_json(result, provenance)
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    # In the same folder, because a rename is atomic only within one file system.
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _dataset_to_json(result: FractionResult, i: int) -> dict[str, Any]:
    """Everything that belongs to one dataset."""
    lower, upper = result.interval[i]
    document = {
        "dataset": result.dataset[i],
        "kappa": result.kappa[i],
        "std": result.std[i],
        "intervals": [
            {"level": level, "lower": low, "upper": high}
            for level, low, high in zip(result.levels, lower, upper, strict=True)
        ],
        "fractions": result.fractions[i],
        "weights": [
            None if weights is None else weights[i] for weights in result.weights
        ],
        "n_events": result.n_events[i],
        "n_effective": result.n_effective[i],
        "diagnostics": {name: v[i] for name, v in result.diagnostics.items()},
        "flags": result.flags[i] if result.flags else (),
        "profile": result.profile
        and {
            "kappa": result.profile.kappa[i],
            "log_density": result.profile.log_density[i],
        },
    }
    return _plain(document)


def _plain(value: Any) -> Any:
    """Recursively turn numpy values, mappings and sequences into JSON's own types."""
    if isinstance(value, np.ndarray | np.generic):
        # Dates in nanoseconds would become integers.
        times = value.dtype.kind in "mM"
        value = (value.astype(str) if times else value).tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)


Reader = Callable[
    [Path, Sequence[str] | None], tuple[list[str], pd.DataFrame]
]  # -> (names of all columns, the events of those asked for)


def _reader(path: Path) -> Reader:
    """Choose the reader by the ending of the name."""
    name = path.name.lower()
    if name.endswith((".csv", ".csv.gz")):
        return _read_csv
    if name.endswith((".parquet", ".pq")):
        return _read_parquet
    raise InvalidInputError(
        f"{path} must end with .csv, .csv.gz, .parquet or .pq to say what it is."
    )


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise InvalidInputError(f"{path.name} must be a file; it is a directory.")
    if not path.exists():
        raise InvalidInputError(f"{path} does not exist.")
    if path.stat().st_size == 0:
        raise InvalidInputError(f"{path.name} must hold events; it is empty.")


def _read_csv(
    path: Path, columns: Sequence[str] | None
) -> tuple[list[str], pd.DataFrame]:
    try:
        available = list(pd.read_csv(path, nrows=0).columns)
        wanted = _present(columns, available)
        with warnings.catch_warnings():
            # Rows longer than the header would otherwise lose or shift columns.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            events = pd.read_csv(path, index_col=False, low_memory=False)
    except (ValueError, OSError, pd.errors.ParserWarning) as error:
        raise _unreadable(path, "CSV", error) from error
    return available, events if wanted is None else events[wanted]


def _read_parquet(
    path: Path, columns: Sequence[str] | None
) -> tuple[list[str], pd.DataFrame]:
    parquet = _import_pyarrow(path)
    try:
        with parquet.ParquetFile(path) as file:
            available = list(file.schema_arrow.names)
            wanted = _present(columns, available)
            events = file.read(columns=wanted).to_pandas()
    except (ValueError, OSError) as error:  # pyarrow's errors are subclasses
        raise _unreadable(path, "Parquet", error) from error
    return available, events if wanted is None else events[wanted]


def _present(columns: Sequence[str] | None, available: list[str]) -> list[str] | None:
    """Columns asked for that exist, each once; the caller reports the others."""
    if columns is None:
        return None
    return [name for name in dict.fromkeys(columns) if name in available]


def _import_pyarrow(path: Path) -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise InvalidInputError(
            f"{path.name} is a Parquet file, which needs pyarrow: "
            "pip install 'sktamm[io]', or use CSV."
        ) from error
    return pyarrow.parquet


def _unreadable(path: Path, kind: str, error: Exception) -> InvalidInputError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return InvalidInputError(f"{path.name} is not readable as {kind}: {reason}")


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
