"""Histograms from ROOT files, as the Unified Histogram Interface has them.

What is read is detached from the file: edges, sums of weights and their variances,
flow bins included, behind ``axes``, ``values()`` and ``variances()``. Variances are the
sums of squared weights (``Sumw2``) where the file has them, and the contents where not,
which are those of unweighted events.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sktamm.exceptions import InvalidInputError
from sktamm.io._root import import_uproot, open_root
from sktamm.io._sources import Source

__all__ = ["Histogram", "HistogramAxis", "holds_histogram", "read_histogram"]

FloatArray = NDArray[np.float64]
# Classes of ROOT whose bins hold contents, of every type of number.
_CLASSES = re.compile("TH[123][CSILFD]")
_SHOWN = 8  # keys that a refusal lists


@dataclass(frozen=True)
class _Traits:
    """What the interface says of an axis."""

    circular: bool = False
    discrete: bool = False
    underflow: bool = True
    overflow: bool = True


class HistogramAxis:
    """Axis of a `Histogram`: pairs of edges, as the interface has them.

    Parameters
    ----------
    edges : array-like of shape (n_bins + 1,)
        Finite edges in ascending order.
    label : str, default=""
        What the axis shows.

    Examples
    --------
    >>> from sktamm.io import HistogramAxis
    >>> HistogramAxis([0.0, 1.0, 3.0], "mass")[1]
    (1.0, 3.0)
    """

    name = ""

    def __init__(self, edges: ArrayLike, label: str = ""):
        self.edges = np.array(edges, dtype=float)
        self.edges.setflags(write=False)
        self.label = label
        self.traits = _Traits()

    def __len__(self) -> int:
        """Number of bins without flow bins."""
        return self.edges.size - 1

    def __getitem__(self, index: int) -> tuple[float, float]:
        """Edges of a bin."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"bin {index} of an axis of {len(self)} bins")
        index = index % len(self)
        return float(self.edges[index]), float(self.edges[index + 1])

    def __eq__(self, other: object) -> bool:
        """Whether another axis has the same edges."""
        return np.array_equal(self.edges, np.asarray(getattr(other, "edges", None)))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Bins, range and label."""
        low, high = self.edges[[0, -1]]
        return f"HistogramAxis({len(self)} bins, {low:g} to {high:g}, {self.label!r})"


class Histogram:
    """Read-only histogram of one or several axes.

    Parameters
    ----------
    axes : sequence of HistogramAxis
        Axes.
    contents : array-like of shape (n_1 + 2, ..., n_d + 2)
        Sums of weights with flow bins.
    variances : array-like of the same shape
        Variances of the contents, the sums of squared weights.
    name : str, default=""
        Name or title.

    Examples
    --------
    >>> from sktamm.io import Histogram, HistogramAxis
    >>> axis = HistogramAxis([0.0, 1.0, 2.0])
    >>> Histogram([axis], [0, 3, 4, 1], [0, 3, 4, 1]).values()
    array([3., 4.])
    """

    kind = "COUNT"

    def __init__(
        self,
        axes: Sequence[HistogramAxis],
        contents: ArrayLike,
        variances: ArrayLike,
        name: str = "",
    ):
        self.axes = tuple(axes)
        self.name = name
        self._contents = np.array(contents, dtype=float)
        self._variances = np.array(variances, dtype=float)
        self._contents.setflags(write=False)
        self._variances.setflags(write=False)

    def values(self, flow: bool = False) -> FloatArray:
        """Sums of weights.

        Parameters
        ----------
        flow : bool, default=False
            Whether to add underflow and overflow of every axis.

        Returns
        -------
        values : ndarray of shape (n_1, ..., n_d), or two more bins per axis
            Sums of weights.
        """
        return self._contents if flow else self._inside(self._contents)

    def variances(self, flow: bool = False) -> FloatArray:
        """Variances of the sums of weights.

        Parameters
        ----------
        flow : bool, default=False
            Whether to add underflow and overflow of every axis.

        Returns
        -------
        variances : ndarray of shape (n_1, ..., n_d), or two more bins per axis
            Sums of squared weights.
        """
        return self._variances if flow else self._inside(self._variances)

    def counts(self, flow: bool = False) -> FloatArray:
        """Effective numbers of events, (sum w)^2 / sum w^2.

        Parameters
        ----------
        flow : bool, default=False
            Whether to add underflow and overflow of every axis.

        Returns
        -------
        counts : ndarray of shape (n_1, ..., n_d), or two more bins per axis
            Numbers of events; zero where there is no variance.
        """
        values, variances = self.values(flow), self.variances(flow)
        out = np.zeros_like(values)
        return np.divide(values**2, variances, out=out, where=variances > 0)

    @staticmethod
    def _inside(content: FloatArray) -> FloatArray:
        return content[(slice(1, -1),) * content.ndim]

    def __repr__(self) -> str:
        """Name, axes and sum."""
        shown = ", ".join(map(repr, self.axes))
        return f"Histogram({self.name!r}, {shown}, sum {self._contents.sum():g})"


def read_histogram(path: str | os.PathLike[str]) -> Histogram:
    """Read a histogram of one to three axes from a ROOT file.

    Parameters
    ----------
    path : path-like
        File and path of the histogram in it, ``file.root:folder/name``.

    Returns
    -------
    histogram : Histogram
        Histogram that ``fit`` and ``predict`` take; its axes are labelled by their
        titles.

    Raises
    ------
    InvalidInputError
        If the file is missing or unreadable, holds no such histogram, or something else
        of that name, or if uproot is not installed.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np, uproot
    >>> from sktamm.io import read_histogram
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     name = str(pathlib.Path(folder) / "some.root")
    ...     with uproot.recreate(name) as file:
    ...         file["mass"] = np.histogram([0.1, 0.2, 1.5], bins=[0.0, 1.0, 2.0])
    ...     read_histogram(f"{name}:mass").values()
    array([2., 1.])
    """
    file, key = _split(path)
    import_uproot(file.name)
    if not file.is_file():
        raise InvalidInputError(f"{file} must be a ROOT file, but there is none.")
    with open_root(Source(file)) as opened:
        return _read(opened, file, key)


def holds_histogram(path: str | os.PathLike[str]) -> bool:
    """Tell whether a name, ``file.root:folder/name``, is that of a ROOT histogram.

    Parameters
    ----------
    path : path-like
        Any name of a file, or of what is in it.

    Returns
    -------
    answer : bool
        False for whatever is missing, broken or something else, too.
    """
    file, key = _split(path)
    if not key or not file.is_file():
        return False
    try:
        with import_uproot(file.name).open(file) as opened:
            kind = opened.classname_of(key)
    except Exception:  # a broken file fails uproot in any way
        return False
    return bool(_CLASSES.fullmatch(str(kind)))


def _split(path: str | os.PathLike[str]) -> tuple[Path, str]:
    """File, and what is asked of it; empty where nothing is."""
    text = os.fspath(path)
    file, colon, key = text.rpartition(":")
    if not colon or ("/" not in key and key.endswith(".root")):
        return Path(text), ""
    return Path(file), key.strip("/")


def _read(opened: Any, file: Path, key: str) -> Histogram:
    """Histogram of a key of an open file."""
    known = opened.classnames(cycle=False)
    if key not in opened or not key:
        raise InvalidInputError(
            f"{file.name} must hold the histogram that is asked for, "
            f"{file.name}:NAME, got {key!r} and {_listed(known)}."
        )
    found = opened[key]
    kind = str(getattr(found, "classname", type(found).__name__))
    if not _CLASSES.fullmatch(kind):
        raise InvalidInputError(
            f"{key!r} of {file.name} must be a histogram with contents (TH1, TH2 or "
            f"TH3), got a {kind}."
        )
    return _converted(found, file, key)


def _listed(known: dict[str, str]) -> str:
    """Histograms of a file, or whatever it has."""
    names = [name for name, kind in known.items() if _CLASSES.fullmatch(kind)]
    if not names:
        others = ", ".join(f"{n} ({k})" for n, k in list(known.items())[:_SHOWN])
        return f"no histogram among {others}" if known else "an empty file"
    more = ", ..." if len(names) > _SHOWN else ""
    return f"the histograms {', '.join(names[:_SHOWN])}{more}"


def _converted(found: Any, file: Path, key: str) -> Histogram:
    axes = [
        HistogramAxis(axis.edges(flow=False), _label(axis))
        for axis in map(found.axis, range(len(found.axes)))
    ]
    ascending = [
        np.isfinite(axis.edges).all() and (np.diff(axis.edges) > 0).all()
        for axis in axes
    ]
    values = np.asarray(found.values(flow=True), float)
    if not all(ascending) or values.shape != tuple(len(axis) + 2 for axis in axes):
        raise InvalidInputError(
            f"{key!r} of {file.name} must have finite ascending edges and a content "
            f"per bin, got {values.shape} contents of {axes}."
        )
    return Histogram(axes, values, found.variances(flow=True), key)


def _label(axis: Any) -> str:
    """Title of an axis, or the name that someone has given it."""
    name, title = axis.member("fName"), axis.member("fTitle")
    return str(title or ("" if name in ("xaxis", "yaxis", "zaxis") else name))
