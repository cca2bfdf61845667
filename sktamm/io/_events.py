"""Tables of events from CSV and Parquet, and back.

Features are read as numbers. Labels and ids are kept as they are written: "01" and "1"
are two simulations, and a file that misses some ids does not turn 7 into 7.0.
"""

import contextlib
import os
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sktamm.exceptions import InvalidInputError
from sktamm.io._files import replacing

__all__ = ["column_names", "keep_written", "read_events", "write_events"]

# Numbers to the last bit, as pandas reads them by itself since version 3.
_OLD = int(pd.__version__.split(".")[0]) < 3
_EXACT: dict[str, Any] = {"float_precision": "round_trip"} if _OLD else {}


def column_names(path: str | os.PathLike[str]) -> list[str]:
    """Names of the columns of a CSV or Parquet file, without reading its events.

    As they stand in the file; empty for a column without a name. What cannot be read is
    refused as by `read_events`.
    """
    path = Path(path)
    _, names = _kind(path)
    _check_file(path)
    return names(path)


def read_events(
    path: str | os.PathLike[str],
    columns: Sequence[str] | None = None,
    *,
    as_written: Sequence[str] = (),
) -> pd.DataFrame:
    r"""Read events from a CSV or Parquet file.

    Parameters
    ----------
    path : path-like
        File whose name ends with ``.csv``, ``.csv.gz``, ``.parquet`` or ``.pq``.
    columns : sequence of str, optional
        Columns to read, in this order; all by default.
    as_written : sequence of str, optional
        Columns of labels or ids, where they are there. Text in CSV becomes numbers or
        Booleans only if every entry prints as it is written: "1" and "01" stay text
        and apart. Missing entries never turn whole numbers into fractions.

    Returns
    -------
    events : pandas.DataFrame
        One row per event.

    Raises
    ------
    InvalidInputError
        If the file is missing, empty, unreadable or of another kind, lacks a column or
        has one of its name twice, or is Parquet and pyarrow is not installed.

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
    read, names = _kind(path)
    _check_file(path)
    available = names(path)
    _check_columns(path, available, columns)
    there = available if columns is None else columns
    text = [name for name in dict.fromkeys(as_written) if name in there]
    events = read(path, columns, text)
    if events.empty:
        raise InvalidInputError(f"{path.name} must hold events; it has no rows.")
    return events


def keep_written(column: pd.Series) -> pd.Series:
    """Turn texts into numbers or Booleans if each prints as it is written.

    Parameters
    ----------
    column : Series of str
        Labels or ids; missing entries stay missing.

    Returns
    -------
    column : Series
        Integers, floats or Booleans if no text would look different, else the texts.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktamm.io import keep_written
    >>> keep_written(pd.Series(["10", "2"])).tolist()
    [10, 2]
    >>> keep_written(pd.Series(["10", "2", "02"])).tolist()
    ['10', '2', '02']
    """
    code, unique = pd.factorize(column)
    values = _values([str(text) for text in unique])
    if (code < 0).any():
        values = np.append(values.astype(object), np.nan)
    return pd.Series(values[code], index=column.index, name=column.name)


def write_events(path: str | os.PathLike[str], events: pd.DataFrame) -> None:
    """Write events to a CSV or Parquet file, whichever the name asks for.

    Parameters
    ----------
    path : path-like
        File whose name ends with ``.csv``, ``.csv.gz``, ``.parquet`` or ``.pq``; it
        appears complete or not at all.
    events : pandas.DataFrame
        One row per event; the index is not written.

    Raises
    ------
    InvalidInputError
        If the name has another ending, or is Parquet and pyarrow is not installed.
    """
    path = Path(path)
    read, _ = _kind(path)
    if read is _read_parquet:
        _import_pyarrow(path)
    with replacing(path) as part:
        if read is _read_parquet:
            events.to_parquet(part, index=False, engine="pyarrow")
        else:
            events.to_csv(part, index=False)


# Broken compression ends in EOFError or zlib.error; pyarrow's are ValueErrors.
_BROKEN = (ValueError, OSError, EOFError, zlib.error, pd.errors.ParserWarning)

Reader = Callable[[Path, Sequence[str] | None, list[str]], pd.DataFrame]
Names = Callable[[Path], list[str]]


def _kind(path: Path) -> tuple[Reader, Names]:
    """What reads the events and the names of the columns, by the ending."""
    name = path.name.lower()
    if name.endswith((".csv", ".csv.gz")):
        return _read_csv, _csv_names
    if name.endswith((".parquet", ".pq")):
        return _read_parquet, _parquet_names
    raise InvalidInputError(
        f"{path} must end with .csv, .csv.gz, .parquet or .pq to say what it is."
    )


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise InvalidInputError(f"{path.name} must be a file; it is a directory.")
    if not path.exists():
        raise InvalidInputError(f"{path} does not exist.")
    if not path.is_file():
        # It is read more than once: names, events, hash.
        raise InvalidInputError(f"{path} must be a regular file; it is a device.")
    if path.stat().st_size == 0:
        raise InvalidInputError(f"{path.name} must hold events; it is empty.")


def _check_columns(
    path: Path, available: list[str], columns: Sequence[str] | None
) -> None:
    """Refuse columns that are not there, or of whose name there are several."""
    missing = [name for name in columns or () if name not in available]
    if missing:
        raise InvalidInputError(
            f"{path.name} has no column {_quoted(missing)}; it has "
            f"{_quoted(available)}."
        )
    for name in columns if columns is not None else filter(None, available):
        if available.count(name) > 1:
            raise InvalidInputError(
                f"{path.name} must have every column once, but it has "
                f"{available.count(name)} of the name {name!r}."
            )


@contextlib.contextmanager
def _readable(path: Path, kind: str) -> Iterator[None]:
    """Turn what the libraries raise on broken files into one sentence."""
    try:
        yield
    except _BROKEN as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InvalidInputError(
            f"{path.name} is not readable as {kind}: {reason.rstrip('.')}."
        ) from error


def _csv_names(path: Path) -> list[str]:
    # The first line is read as a row: as a header, pandas would rename repeated and
    # missing names.
    with _readable(path, "CSV"):
        first = pd.read_csv(
            path, header=None, nrows=1, dtype=str, keep_default_na=False
        )
    return first.iloc[0].tolist()


def _read_csv(
    path: Path, columns: Sequence[str] | None, text: list[str]
) -> pd.DataFrame:
    with _readable(path, "CSV"), warnings.catch_warnings():
        # Rows longer than the header would otherwise lose or shift columns.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        types = dict.fromkeys(text, str)
        events = pd.read_csv(
            path, index_col=False, low_memory=False, dtype=types, **_EXACT
        )
    events.columns = pd.Index(_csv_names(path))
    if columns is not None:
        events = events[list(dict.fromkeys(columns))]
    return events.assign(**{name: keep_written(events[name]) for name in text})


def _values(written: list[str]) -> NDArray[Any]:
    """Whole numbers, decimals or Booleans that print as written, else the texts."""
    stripped = [text.strip() for text in written]
    if len(set(stripped)) == len(written):  # spaces that tell nothing apart
        written = stripped
    for read in (int, float, {"True": True, "False": False}.__getitem__):
        try:
            values = [read(text) for text in written]
        except (ValueError, KeyError):
            continue
        if [str(value) for value in values] == written and _are_apart(values):
            return np.array(values)
    return np.array(written, dtype=object)


def _are_apart(values: list[Any]) -> bool:
    """Whether numbers fit into 64 bits and differ; 0.0 and -0.0 do not."""
    return all(abs(v) < 2**63 for v in values) and len(set(values)) == len(values)


def _parquet_names(path: Path) -> list[str]:
    parquet = _import_pyarrow(path)
    with _readable(path, "Parquet"), parquet.ParquetFile(path) as file:
        return list(file.schema_arrow.names)


def _read_parquet(
    path: Path, columns: Sequence[str] | None, text: list[str]
) -> pd.DataFrame:
    parquet = _import_pyarrow(path)
    wanted = None if columns is None else list(dict.fromkeys(columns))
    with _readable(path, "Parquet"), parquet.ParquetFile(path) as file:
        events = file.read(columns=wanted).to_pandas()
    # pandas keeps the index of a frame in columns of the file.
    asked = {*text, *(wanted or ())}
    index = [name for name in events.index.names if name is not None and name in asked]
    events = events.reset_index(level=index) if index else events
    events = events.reset_index(drop=True)
    return events if wanted is None else events[wanted]


def _import_pyarrow(path: Path) -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise InvalidInputError(
            f"{path.name} is a Parquet file, which needs pyarrow: "
            "pip install 'sktamm[io]', or use CSV."
        ) from error
    return pyarrow.parquet


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)
