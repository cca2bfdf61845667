"""Tables of events from files of several kinds, and back.

Features are read as numbers. Labels and ids are kept as they are written: "01" and "1"
are two simulations, and a file that misses some ids does not turn 7 into 7.0.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from sktamm.exceptions import InvalidInputError
from sktamm.io._arrow import FEATHER, PARQUET
from sktamm.io._csv import CSV
from sktamm.io._cut import Cut
from sktamm.io._files import replacing
from sktamm.io._formats import Format
from sktamm.io._ids import join_ids, keep_written
from sktamm.io._numpy import NUMPY
from sktamm.io._root import ROOT
from sktamm.io._sources import PathLike, Source, find_sources

__all__ = ["column_names", "iterate_events", "read_events", "write_events"]

_FORMATS = (CSV, PARQUET, FEATHER, NUMPY, ROOT)
_ROWS = 1_000_000  # a piece of ten columns takes 80 MB


def column_names(path: PathLike | Iterable[PathLike]) -> list[str]:
    """Names of the columns of a file of events, without reading its events.

    As they stand in the file; empty for a column without a name. What cannot be read is
    refused as by `read_events`. Of several files it is the names of the first.
    """
    source = find_sources(path)[0]
    return _format(source).names(source)


def read_events(
    path: PathLike | Iterable[PathLike],
    columns: Sequence[str] | None = None,
    *,
    as_written: Sequence[str] = (),
    cut: str | None = None,
) -> pd.DataFrame:
    r"""Read events from files.

    Parameters
    ----------
    path : path-like or sequence of path-like
        File whose name ends with ``.csv``, ``.csv.gz``, ``.parquet``, ``.pq``,
        ``.feather``, ``.arrow``, ``.npy``, ``.npz`` or ``.root``; ``file.root:tree``
        names one tree (TTree or RNTuple) of several, ``*`` and ``?`` stand for any
        letters. Events of several files follow each other.
    columns : sequence of str, optional
        Columns to read, in this order; all by default.
    as_written : sequence of str, optional
        Columns of labels or ids, where they are there. Text in CSV becomes numbers or
        Booleans only if every entry prints as it is written: "1" and "01" stay text
        and apart. Missing entries never turn whole numbers into fractions.
    cut : str, optional
        Which events to keep, an expression of the columns such as ``"pt > 20 and
        abs(eta) < 2.5"``; see `Cut`.

    Returns
    -------
    events : pandas.DataFrame
        One row per event.

    Raises
    ------
    InvalidInputError
        If a file is missing, empty, unreadable or of another kind, lacks a column or
        has one of its name twice, holds lists instead of one value per event, or needs
        a library that is not installed; if several files have different columns; if
        the cut is no condition or keeps no event.

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
    sources = find_sources(path)
    choice = None if cut is None else Cut(cut)
    if columns is None:
        _check_alike(sources)
    events = _joined(
        [
            (next(_pieces(source, columns, as_written, choice, None)), source)
            for source in sources
        ],
        as_written,
    )
    if events.empty:
        names = ", ".join(source.name for source in sources)
        raise InvalidInputError(f"{names} must hold events; it has no rows{_of(cut)}.")
    return events


def iterate_events(
    path: PathLike | Iterable[PathLike],
    columns: Sequence[str],
    *,
    as_written: Sequence[str] = (),
    cut: str | None = None,
    size: int = _ROWS,
) -> Iterator[pd.DataFrame]:
    """Read events from files piece by piece, in bounded memory.

    Parameters
    ----------
    path : path-like or sequence of path-like
        As in `read_events`.
    columns : sequence of str
        Columns to read, in this order.
    as_written : sequence of str, optional
        Columns of labels or ids; those of CSV stay text, since other pieces decide
        whether they are numbers (`keep_written`).
    cut : str, optional
        As in `read_events`.
    size : int, default=1_000_000
        Most events of a piece.

    Yields
    ------
    events : pandas.DataFrame
        Some of the events, at least one.

    Raises
    ------
    InvalidInputError
        As `read_events`, but a cut may keep no event.
    """
    choice = None if cut is None else Cut(cut)
    for source in find_sources(path):
        for piece in _pieces(source, columns, as_written, choice, size):
            if len(piece):
                yield piece


def write_events(path: PathLike, events: pd.DataFrame) -> None:
    """Write events to a file of the kind that its name asks for.

    Parameters
    ----------
    path : path-like
        File whose name ends with ``.csv``, ``.csv.gz``, ``.parquet``, ``.pq``,
        ``.feather`` or ``.arrow``; it appears complete or not at all.
    events : pandas.DataFrame
        One row per event; the index is not written.

    Raises
    ------
    InvalidInputError
        If the name has another ending, or a library is not installed.
    """
    path = Path(path)
    known = _kind(path)
    if known.write is None:
        raise InvalidInputError(
            f"{path.name} must end with .csv, .csv.gz, .parquet or .feather to be "
            f"written; {known.kind} files are only read."
        )
    with replacing(path) as part:
        known.write(part, events)


# ------------------------------------------------------------------------ one source
def _kind(path: Path) -> Format:
    """What reads a file, by the ending of its name."""
    name = path.name.lower()
    for known in _FORMATS:
        if name.endswith(known.endings):
            return known
    endings = [ending for known in _FORMATS for ending in known.endings]
    raise InvalidInputError(
        f"{path} must end with {', '.join(endings[:-1])} or {endings[-1]} to say what "
        "it is."
    )


def _format(source: Source) -> Format:
    """What reads a source that is there."""
    path, known = source.path, _kind(source.path)
    if path.is_dir():
        raise InvalidInputError(f"{path.name} must be a file; it is a directory.")
    if not path.exists():
        raise InvalidInputError(f"{path} does not exist.")
    if not path.is_file():
        # It is read more than once: names, events, hash.
        raise InvalidInputError(f"{path} must be a regular file; it is a device.")
    if path.stat().st_size == 0:
        raise InvalidInputError(f"{path.name} must hold events; it is empty.")
    return known


def _pieces(
    source: Source,
    columns: Sequence[str] | None,
    as_written: Sequence[str],
    cut: Cut | None,
    size: int | None,
) -> Iterator[pd.DataFrame]:
    """Pieces of one source: the columns of the events that the cut keeps."""
    known = _format(source)
    available = known.names(source)
    chosen = None if columns is None else list(dict.fromkeys(columns))
    used = [] if cut is None else cut.names
    wanted = None if chosen is None else list(dict.fromkeys([*chosen, *used]))
    _check_columns(
        source, available, [*(available if chosen is None else chosen), *used]
    )
    text = [name for name in dict.fromkeys(as_written) if name in (wanted or available)]
    for piece in known.pieces(source, wanted, size, text):
        kept = piece if cut is None else piece[cut.keeps(piece)]
        yield kept if chosen is None else kept[chosen]


def _check_columns(source: Source, available: list[str], columns: list[str]) -> None:
    """Refuse columns that are not there, or of whose name there are several."""
    missing = [name for name in columns if name not in available]
    if missing:
        raise InvalidInputError(
            f"{source.name} has no column {_quoted(missing)}; it has "
            f"{_quoted(available)}."
        )
    for name in filter(None, columns):
        if available.count(name) > 1:
            raise InvalidInputError(
                f"{source.name} must have every column once, but it has "
                f"{available.count(name)} of the name {name!r}."
            )


# ------------------------------------------------------------------- several sources
def _check_alike(sources: list[Source]) -> None:
    """Refuse sources of which some lack a column."""
    first = set(_format(sources[0]).names(sources[0])) if len(sources) > 1 else set()
    for source in sources[1:]:
        apart = first ^ set(_format(source).names(source))
        if apart:
            raise InvalidInputError(
                f"{source.name} must have the columns of {sources[0].name}, but "
                f"{_quoted(sorted(apart))} are in one of them only; name the columns "
                "that are wanted."
            )


def _joined(
    read: list[tuple[pd.DataFrame, Source]], as_written: Sequence[str]
) -> pd.DataFrame:
    """Events of all sources; CSV has texts alone, so that all its files decide."""
    frames = [frame for frame, _ in read]
    untyped = [_kind(source.path) is CSV for _, source in read]
    ids = [name for name in dict.fromkeys(as_written) if name in frames[0]]
    whole = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
    whole = whole.reset_index(drop=True)
    joined = {}
    for name in ids:
        columns = [frame[name] for frame in frames]
        if all(untyped):
            joined[name] = keep_written(whole[name])
        elif len(columns) > 1:
            own = zip(columns, untyped, strict=True)
            joined[name] = join_ids([keep_written(c) if u else c for c, u in own])
    return whole.assign(**joined)


def _of(cut: str | None) -> str:
    return "" if cut is None else f" that pass the cut {cut!r}"


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)
