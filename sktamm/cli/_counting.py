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
)

__all__ = ["count_target"]

# Bytes of files from which data are counted: a table in memory takes some times more,
# and four gigabytes of memory hold what is below. A rule of thumb.
_LARGE = 1 << 29


def count_target(
    estimator: Any, options: argparse.Namespace, features: list[str]
) -> Target | None:
    """Histograms of the data in the bins of the estimator.

    None where the estimator asks for every event, or the files are small enough for
    their events to be looked at. Datasets are named as `load_target` names them.
    """
    bins = _bins(estimator)
    files = [
        source.path for name in options.target or () for source in find_sources(name)
    ]
    if bins is None or sum(path.stat().st_size for path in files) < _LARGE:
        return None
    counts: dict[Any, _Counts] = {}
    for name, piece, weight in _pieces(options, features):
        values = piece.to_numpy(dtype=float)
        if not np.isfinite(values).all():
            return None  # whatever reads the events says what is wrong
        counts.setdefault(name, _Counts(bins)).add(values, weight)
    names = list(counts)
    if options.dataset:
        names = sorted(names)
    axes = [HistogramAxis(e, n) for e, n in zip(bins, features, strict=True)]
    made = [Histogram(axes, counts[n].weight, counts[n].variance) for n in names]
    return Target(made, names=np.array(names))


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

    @staticmethod
    def _bin(edges: FloatArray, x: FloatArray) -> Any:
        """Number of the bin, 0 below, the last one above; the last edge is inside."""
        found = np.searchsorted(edges, x, side="right")
        return np.where(x == edges[-1], len(edges) - 1, found)


def _pieces(
    options: argparse.Namespace, features: list[str]
) -> Iterator[tuple[Any, pd.DataFrame, FloatArray | None]]:
    """Events of one dataset each: its name, features, and weights if there are any."""
    several = len(options.target) > 1
    short = [Path(path).name for path in options.target]
    unique = len(set(short)) == len(short)
    weighted = options.weight and options.weight in column_names(options.target[0])
    for name, path in zip(short, options.target, strict=True):
        ids = [options.dataset] if options.dataset else []
        columns = [*features, *ids, *([options.weight] if weighted else [])]
        for piece in iterate_events(path, columns, cut=options.cut):
            parts = piece.groupby(options.dataset) if ids else [(None, piece)]
            for id_, own in parts:
                label = id_ if ids else (name if unique else path) if several else 0
                weight = own[options.weight].to_numpy(float) if weighted else None
                yield label, own[features], weight
