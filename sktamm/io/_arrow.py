"""Tables of Arrow: Parquet and Feather files, through pyarrow."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from sktamm.exceptions import InvalidInputError
from sktamm.io._formats import Format, readable
from sktamm.io._sources import Source

__all__ = ["FEATHER", "PARQUET"]

# What a file says of pandas' types and index may be broken in any way, too.
_BROKEN = (Exception,)


def _import_pyarrow(name: str, kind: str) -> Any:
    try:
        import pyarrow.feather
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError as error:
        raise InvalidInputError(
            f"{name} is a {kind} file, which needs pyarrow: "
            "pip install 'sktamm[io]', or use CSV."
        ) from error
    return pyarrow


@contextlib.contextmanager
def _parquet(source: Source) -> Iterator[Any]:
    pyarrow = _import_pyarrow(source.path.name, "Parquet")
    with (
        readable(source, "Parquet", _BROKEN),
        # Buffers ahead are kept until the end of the file: its size in memory.
        pyarrow.parquet.ParquetFile(source.path, pre_buffer=False) as file,
    ):
        yield file


def _parquet_names(source: Source) -> list[str]:
    with _parquet(source) as file:
        return list(file.schema_arrow.names)


def _parquet_pieces(
    source: Source, columns: list[str] | None, size: int | None, text: list[str]
) -> Iterator[pd.DataFrame]:
    with _parquet(source) as file:
        if size is None:
            yield _frame(file.read(columns=columns), columns, text)
            return
        for batch in file.iter_batches(size, columns=columns):
            yield _frame(batch, columns, text)


def _feather_names(source: Source) -> list[str]:
    pyarrow = _import_pyarrow(source.path.name, "Feather")
    with (
        readable(source, "Feather", _BROKEN),
        pyarrow.ipc.open_file(source.path) as file,
    ):
        return list(file.schema.names)


def _feather_pieces(
    source: Source, columns: list[str] | None, size: int | None, text: list[str]
) -> Iterator[pd.DataFrame]:
    pyarrow = _import_pyarrow(source.path.name, "Feather")
    with readable(source, "Feather", _BROKEN):
        table = pyarrow.feather.read_table(source.path, columns=columns)
        for start in range(0, max(len(table), 1), size or max(len(table), 1)):
            yield _frame(table.slice(start, size), columns, text)


def _frame(table: Any, columns: list[str] | None, text: list[str]) -> pd.DataFrame:
    """A table of pandas, whose index is kept in columns of the file."""
    events = table.to_pandas()
    asked = {*text, *(columns or ())}
    index = [name for name in events.index.names if name is not None and name in asked]
    events = events.reset_index(level=index) if index else events
    events = events.reset_index(drop=True)
    return events if columns is None else events[columns]


def _write_parquet(path: Path, events: pd.DataFrame) -> None:
    _import_pyarrow(path.name, "Parquet")
    events.to_parquet(path, index=False, engine="pyarrow")


def _write_feather(path: Path, events: pd.DataFrame) -> None:
    _import_pyarrow(path.name, "Feather")
    events.reset_index(drop=True).to_feather(path)


PARQUET = Format(
    "Parquet", (".parquet", ".pq"), _parquet_names, _parquet_pieces, _write_parquet
)
FEATHER = Format(
    "Feather",
    (".feather", ".arrow"),
    _feather_names,
    _feather_pieces,
    _write_feather,
)
