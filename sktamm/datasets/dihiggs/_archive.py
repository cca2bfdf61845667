"""The published events of the di-Higgs study, Zenodo record 19341120.

Every file is text without a header, one event per line: the masses of the two pairs of
jets in GeV. A nominal sample and 500 simulations per class lie as

    dihiggs_sd_processed.dat, bbbb_sd_combined_processed_feb_12.dat
    signal_ssds_processed_big_var/processed/dihiggs_ssd_big_var_{1..500}.dat
    background_ssds_processed_big_var/processed/bbbb_ssd_big_var_{1..500}.dat

or with the two folders as archives, which are read as streams, never unpacked.
"""

import csv
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from os import PathLike
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sktamm._numerics import FloatArray, IntArray
from sktamm.datasets._arguments import check_count
from sktamm.datasets.dihiggs._jets import MASS_NAMES, WINDOW
from sktamm.exceptions import InvalidInputError

__all__ = ["DiHiggsArchive", "load_dihiggs"]


N_SIMULATIONS = 500  # of each class in the published record
# In the order of the labels 0 and 1: nominal file, folder, start of the files in it.
_CLASSES = (
    ("bbbb_sd_combined_processed_feb_12.dat", "background_ssds_processed_big_var"),
    ("dihiggs_sd_processed.dat", "signal_ssds_processed_big_var"),
)
_PREFIXES = ("bbbb_ssd_big_var", "dihiggs_ssd_big_var")
# Lines at a time: a fraction of a second, a few megabytes.
_CHUNK = 200_000


@dataclass(frozen=True, eq=False)
class DiHiggsArchive:
    """Published events: simulations of both classes and the two nominal samples.

    Attributes
    ----------
    X, y, simulation : ndarray
        As those of `DiHiggsStudy`, the simulation being the number of the file, from 1.
    X_signal, X_background : ndarray of shape (n_signal, 2) and (n_background, 2)
        The nominal samples, of which targets are made.
    window : ndarray of shape (2, 2) or None
        Lower and upper end of both masses.
    feature_names : tuple of str
        Names of the features.
    """

    X: FloatArray
    y: IntArray
    simulation: IntArray
    X_signal: FloatArray
    X_background: FloatArray
    window: FloatArray | None
    feature_names: tuple[str, ...] = MASS_NAMES


@dataclass(frozen=True)
class _Cut:
    """What is read of a file: events in a window, and at most so many."""

    window: tuple[float, float] | None
    n_events: int | None

    def keep(self, events: FloatArray) -> FloatArray:
        if self.window is None:
            return events
        low, high = self.window
        return events[((events >= low) & (events <= high)).all(axis=1)]


def load_dihiggs(
    path: str | PathLike[str],
    n_simulations: int = 10,
    *,
    n_events: int | None = None,
    window: ArrayLike | None = WINDOW,
) -> DiHiggsArchive:
    """Read the published events of the di-Higgs study from files on disk.

    Download the record 19341120 of Zenodo; nothing is downloaded here. Archives need
    not be unpacked.

    Parameters
    ----------
    path : str or path-like
        Folder of the files and of the folders, or ``.tar.gz`` archives, of simulations,
        under their published names; a folder is taken before an archive of its name.
    n_simulations : int
        Simulations per class, the files numbered from 1, at most 500.
    n_events : int, optional
        The first so many events in the window of every simulation; None is all. The
        nominal samples are read whole.
    window : array-like of shape (2,) or None
        Events with both masses in GeV between the two numbers are kept; None is all.

    Returns
    -------
    archive : DiHiggsArchive
        Simulated events, labels and numbers of simulations, and the nominal samples.

    Raises
    ------
    InvalidInputError
        If a file is missing, or does not hold two columns of finite numbers and
        ``n_events`` events in the window.

    References
    ----------
    Alvarez, Benevedes, Szewc, Thaler, "Many Wrongs Make a Right", arXiv:2604.02219.

    Examples
    --------
    >>> from sktamm.datasets import load_dihiggs
    >>> load_dihiggs("no/such/folder")
    Traceback (most recent call last):
        ...
    sktamm.exceptions.InvalidInputError: path must be a folder; got 'no/such/folder'.
    """
    root = _read_path(path)
    check_count("n_simulations", n_simulations, 1)
    if n_simulations > N_SIMULATIONS:
        raise InvalidInputError(
            f"n_simulations must be at most {N_SIMULATIONS}; got {n_simulations}."
        )
    if n_events is not None:
        check_count("n_events", n_events, 1)
    ends = _read_window(window)
    background, signal = (
        _read_file(root / nominal, _Cut(ends, None)) for nominal, _ in _CLASSES
    )
    samples = [
        events
        for label in (0, 1)
        for events in _read_simulations(
            root, label, n_simulations, _Cut(ends, n_events)
        )
    ]
    lengths = [len(events) for events in samples]
    numbers = np.arange(1, n_simulations + 1)
    return DiHiggsArchive(
        X=np.concatenate(samples),
        y=np.repeat(np.repeat(np.arange(2), n_simulations), lengths),
        simulation=np.repeat(np.tile(numbers, 2), lengths),
        X_signal=signal,
        X_background=background,
        window=None if ends is None else np.tile(ends, (2, 1)),
    )


def _read_path(path: str | PathLike[str]) -> Path:
    try:
        root = Path(path)
    except TypeError:
        raise InvalidInputError(f"path must be a folder; got {path!r}.") from None
    if not root.is_dir():
        raise InvalidInputError(f"path must be a folder; got {str(path)!r}.")
    return root


def _read_window(window: ArrayLike | None) -> tuple[float, float] | None:
    if window is None:
        return None
    try:
        low, high = np.asarray(window, dtype=float)
    except (TypeError, ValueError):
        low = high = np.nan
    if not (np.isfinite([low, high]).all() and low < high):
        raise InvalidInputError(
            f"window must be None or two increasing finite numbers; got {window!r}."
        )
    return float(low), float(high)


def _read_simulations(root: Path, label: int, n: int, cut: _Cut) -> list[FloatArray]:
    """Events of the simulations 1 to n of a class."""
    folder = _CLASSES[label][1]
    names = [f"{_PREFIXES[label]}_{i + 1}.dat" for i in range(n)]
    place, archive = root / folder, root / f"{folder}.tar.gz"
    if place.is_dir():
        inner = place / "processed"
        place = inner if inner.is_dir() else place
        return [_read_file(place / name, cut) for name in names]
    if not archive.is_file():
        raise InvalidInputError(
            f"path must hold the folder {folder} or the file {folder}.tar.gz; "
            f"{str(root)!r} has neither."
        )
    found = dict(_read_members(archive, set(names), cut))
    missing = [name for name in names if name not in found]
    if missing:
        raise InvalidInputError(
            f"{archive} must hold the file {missing[0]}; it does not."
        )
    return [found[name] for name in names]


def _read_file(path: Path, cut: _Cut) -> FloatArray:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInputError(
            f"path must hold the file {path}; it cannot be read ({error.strerror})."
        ) from None
    return _parse(content, str(path), cut)


def _read_members(
    archive: Path, wanted: set[str], cut: _Cut
) -> Iterator[tuple[str, FloatArray]]:
    """Names and events of the wanted files of an archive, in its order."""
    left = set(wanted)
    try:
        with tarfile.open(archive, "r|gz") as stream:
            for member in stream:
                name = _simulation_name(member, archive)
                content = stream.extractfile(member) if name in left else None
                if content is None:
                    continue
                left.remove(name)
                yield name, _parse(content.read(), f"{name} in {archive}", cut)
                if not left:
                    return
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise InvalidInputError(
            f"{archive} must be a tar.gz archive; it cannot be read ({error})."
        ) from None


def _simulation_name(member: tarfile.TarInfo, archive: Path) -> str:
    """Name of a plain file where simulations lie; empty for everything else."""
    *_, folder, name = ("", "", *PurePosixPath(member.name).parts)
    places = ("", "processed", archive.name.removesuffix(".tar.gz"))
    return name if member.isfile() and folder in places else ""


def _parse(content: bytes, name: str, cut: _Cut) -> FloatArray:
    """Events of a file of two columns, up to as many as are wanted."""
    kept: list[FloatArray] = []
    n_kept, wanted = 0, np.inf if cut.n_events is None else cut.n_events
    for events in _read_chunks(content, name):
        kept.append(cut.keep(events))
        n_kept += len(kept[-1])
        if n_kept >= wanted:
            break
    fewest = cut.n_events or 1
    if n_kept < fewest:
        where = "" if cut.window is None else f" in the window {cut.window}"
        raise InvalidInputError(
            f"{name} must hold at least {fewest} events{where}; it has {n_kept}."
        )
    return np.concatenate(kept)[: cut.n_events]


def _read_chunks(content: bytes, name: str) -> Iterator[FloatArray]:
    try:
        with pd.read_csv(
            BytesIO(content),
            sep=r"\s+",
            header=None,
            chunksize=_CHUNK,
            quoting=csv.QUOTE_NONE,
        ) as chunks:
            for chunk in chunks:
                # pandas takes "True" for one where numbers are asked for.
                if chunk.shape[1] != 2 or any(
                    t.kind not in "iuf" for t in chunk.dtypes
                ):
                    raise ValueError
                events = chunk.to_numpy(dtype=float)
                if not np.isfinite(events).all():
                    raise ValueError
                yield events
    except ValueError:
        raise InvalidInputError(_complaint(content, name)) from None


def _complaint(content: bytes, name: str) -> str:
    """What is wrong with a file, with its first bad line."""
    rule = f"{name} must hold two columns of finite numbers"
    lines = content.decode(errors="replace").splitlines()
    if not any(line.strip() for line in lines):
        return f"{rule}; it is empty."
    for number, line in enumerate(lines, 1):
        words = line.split()
        if words and len(words) != 2:
            return f"{rule}; line {number} has {len(words)}."
        for word in words:
            if not _is_finite(word):
                return f"{rule}; line {number} has {word[:40]!r}."
    return f"{rule}; it cannot be read as such."


def _is_finite(word: str) -> bool:
    try:
        return bool(np.isfinite(float(word)))
    except ValueError:
        return False
