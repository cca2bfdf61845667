"""Large data counted in the bins of an estimator, piece by piece, in bounded memory."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sktamm._numerics import FloatArray
from sktamm.auto import AutoTAMM
from sktamm.cli._inputs import Target
from sktamm.components import TemplateComponents
from sktamm.io import (
    Histogram,
    HistogramAxis,
    column_names,
    find_sources,
    iterate_events,
    join_ids,
    keep_written,
)

__all__ = ["count_target"]

# Bytes of files from which data are counted: a table in memory takes some times more,
# and four gigabytes of memory hold what is below. A rule of thumb.
_LARGE = 1 << 29


def count_target(
    estimator: Any, options: argparse.Namespace, features: list[str]
) -> Target | None:
    """Histograms of the data in the bins of the estimator.

    None where the estimator asks for every event, the files are small enough for their
    events to be looked at, or something is wrong that `load_target` says.
    """
    bins, files = _bins(estimator), options.target or ()
    paths = [source.path for name in files for source in find_sources(name)]
    if bins is None or sum(path.stat().st_size for path in paths) < _LARGE:
        return None
    if len(set(files)) < len(files) or len(_weighted(options)) > 1:
        return None
    counts: dict[Any, _Counts] = {}
    for name, piece in _pieces(options, features):
        numbers = _numbers(piece, features, options.weight)
        if numbers is None or pd.isna(name):
            return None
        counts.setdefault(name, _Counts(bins)).add(*numbers)
    if options.dataset:
        counts = _sorted(counts)
    axes = [HistogramAxis(e, n) for e, n in zip(bins, features, strict=True)]
    made = [Histogram(axes, own.weight, own.variance) for own in counts.values()]
    return Target(made, names=np.array(list(counts)))


def _numbers(
    piece: pd.DataFrame, features: list[str], weight: str | None
) -> tuple[FloatArray, FloatArray | None] | None:
    """Features (n_events, n_features) and weights; None unless all are finite."""
    try:
        values = piece[features].to_numpy(dtype=float)
        own = piece[weight].to_numpy(dtype=float) if weight in piece else None
    except (ValueError, TypeError):  # texts, or missing entries
        return None
    finite = np.isfinite(values).all() and (own is None or np.isfinite(own).all())
    return (values, own) if finite else None


def _weighted(options: argparse.Namespace) -> set[bool]:
    """Whether files have the column of weights; both answers if some have it."""
    return {options.weight in column_names(path) for path in options.target}


def _sorted(counts: dict[Any, "_Counts"]) -> dict[Any, "_Counts"]:
    """Counts by id in their order, ids of texts as they are written in all files."""
    written = join_ids([pd.Series([name]) for name in counts])
    if pd.api.types.is_object_dtype(written) or pd.api.types.is_string_dtype(written):
        written = keep_written(written.astype(object))
    joined: dict[Any, _Counts] = {}
    for name, own in zip(written.tolist(), counts.values(), strict=True):
        joined[name] = own if name not in joined else joined[name].joined(own)
    return {name: joined[name] for name in sorted(joined)}


def _bins(estimator: Any) -> tuple[FloatArray, ...] | None:
    """Edges of the features, if the estimator only counts events in them."""
    final = estimator.estimator_ if isinstance(estimator, AutoTAMM) else estimator
    components = getattr(final, "components_", None)
    # A score has bins too, but not of the features.
    if not isinstance(components, TemplateComponents) or hasattr(components, "score_"):
        return None
    edges: tuple[FloatArray, ...] = components.binning_.edges
    return edges


class _Counts:
    """Sums of weights and of their squares in bins and flow bins."""

    def __init__(self, edges: tuple[FloatArray, ...]):
        self._edges = edges
        shape = tuple(len(e) + 1 for e in edges)
        self.weight, self.variance = np.zeros(shape), np.zeros(shape)

    def add(self, X: FloatArray, weight: FloatArray | None) -> None:
        """Count events, X (n_events, n_features)."""
        inner = [self._bin(e, x) for e, x in zip(self._edges, X.T, strict=True)]
        cell = np.ravel_multi_index(tuple(inner), self.weight.shape)
        size = self.weight.size
        own = np.bincount(cell, weight, size).reshape(self.weight.shape)
        squares = None if weight is None else weight**2
        self.weight += own
        self.variance += np.bincount(cell, squares, size).reshape(self.weight.shape)

    def joined(self, other: "_Counts") -> "_Counts":
        """Counts of both."""
        self.weight += other.weight
        self.variance += other.variance
        return self

    @staticmethod
    def _bin(edges: FloatArray, x: FloatArray) -> Any:
        """Number of the bin, 0 below, the last one above; the last edge is inside."""
        found = np.searchsorted(edges, x, side="right")
        return np.where(x == edges[-1], len(edges) - 1, found)


def _pieces(
    options: argparse.Namespace, features: list[str]
) -> Iterator[tuple[Any, pd.DataFrame]]:
    """Events of one dataset each, with its name."""
    short = [Path(path).name for path in options.target]
    names = short if len(set(short)) == len(short) else options.target
    weights = [options.weight] if True in _weighted(options) else []
    ids = [options.dataset] if options.dataset else []
    columns = [*features, *ids, *weights]
    for name, path in zip(names, options.target, strict=True):
        for piece in iterate_events(path, columns, as_written=ids, cut=options.cut):
            if ids:
                yield from piece.groupby(options.dataset, dropna=False)
            else:
                yield (name if len(names) > 1 else 0), piece
