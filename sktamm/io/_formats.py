"""What every kind of table can do: tell its columns, and give some in pieces."""

import contextlib
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sktamm.exceptions import InvalidInputError
from sktamm.io._sources import Source

__all__ = ["Format", "readable"]

# Broken compression ends in EOFError or zlib.error; pyarrow's are ValueErrors.
_BROKEN = (ValueError, OSError, EOFError, zlib.error, pd.errors.ParserWarning)


@dataclass(frozen=True)
class Format:
    """One kind of file: how its name ends, and what reads it.

    ``names`` tells the columns of a source as they stand there; ``pieces`` gives some
    of them, all for None, in tables of at most so many rows, one table for None;
    columns of labels and ids (the fourth argument) as they are written.
    """

    kind: str
    endings: tuple[str, ...]
    names: Callable[[Source], list[str]]
    pieces: Callable[
        [Source, list[str] | None, int | None, list[str]], Iterator[pd.DataFrame]
    ]
    write: Callable[[Path, pd.DataFrame], None] | None = None
    several: bool = False  # whether a file may hold several tables


@contextlib.contextmanager
def readable(
    source: Source, kind: str, broken: Sequence[type[BaseException]] = _BROKEN
) -> Iterator[None]:
    """Turn what the libraries raise on broken files into one sentence."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except InvalidInputError:
        raise
    except tuple(broken) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InvalidInputError(
            f"{source.name} is not readable as {kind}: {reason.rstrip('.')}."
        ) from error
