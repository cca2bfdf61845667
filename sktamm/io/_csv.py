"""CSV tables, plain or compressed; labels and ids as they are written."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from sktamm.io._formats import Format, readable
from sktamm.io._sources import Source

__all__ = ["CSV"]

# Numbers to the last bit, as pandas reads them by itself since version 3.
_OLD = int(pd.__version__.split(".")[0]) < 3
_EXACT: dict[str, Any] = {"float_precision": "round_trip"} if _OLD else {}


def _names(source: Source) -> list[str]:
    # The first line is read as a row: as a header, pandas would rename repeated and
    # missing names.
    with readable(source, "CSV"):
        first = pd.read_csv(
            source.path, header=None, nrows=1, dtype=str, keep_default_na=False
        )
    return first.iloc[0].tolist()


def _pieces(
    source: Source, columns: list[str] | None, size: int | None, text: list[str]
) -> Iterator[pd.DataFrame]:
    names = pd.Index(_names(source))
    types: dict[str, Any] = dict.fromkeys(text, str)
    with readable(source, "CSV"):
        # Rows longer than the header would otherwise lose or shift columns.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        for piece in _read(source.path, size, types):
            piece.columns = names
            yield piece if columns is None else piece[columns]


def _read(
    path: Path, size: int | None, types: dict[str, Any]
) -> Iterator[pd.DataFrame]:
    choices = {"index_col": False, "low_memory": False, "dtype": types, **_EXACT}
    if size is None:
        yield pd.read_csv(path, **choices)
        return
    with pd.read_csv(path, chunksize=size, **choices) as pieces:
        yield from pieces


def _write(path: Path, events: pd.DataFrame) -> None:
    events.to_csv(path, index=False)


CSV = Format("CSV", (".csv", ".csv.gz"), _names, _pieces, _write)
