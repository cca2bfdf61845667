"""Large data counted in the bins of an estimator, piece by piece, in bounded memory."""

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sktamm._numerics import FloatArray
from sktamm.auto import AutoTAMM
from sktamm.cli._inputs import Target
from sktamm.components import EventCounter, TemplateComponents
from sktamm.exceptions import InvalidInputError
from sktamm.io import (
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
    """Counts of the data in the bins of the estimator.

    None where the estimator asks for every event, the files are small enough for their
    events to be looked at, or something is wrong that `load_target` says.
    """
    components, files = _components(estimator), options.target or ()
    paths = [source.path for name in files for source in find_sources(name)]
    if components is None or sum(path.stat().st_size for path in paths) < _LARGE:
        return None
    weighted = _weighted(options)
    if len(set(files)) < len(files) or len(weighted) > 1:
        return None
    if options.weight and not any(weighted):
        return None
    # CSV has texts alone; those of other files are meant.
    untyped = any(path.name.lower().endswith((".csv", ".csv.gz")) for path in paths)
    counter, empty = EventCounter(components), set(files)
    try:
        for name, ids, piece in _pieces(options, features):
            numbers = _numbers(piece, features, options.weight)
            if numbers is None or pd.api.types.is_datetime64_any_dtype(ids):
                return None
            empty -= {name} if len(piece) else set()
            counter.add(numbers[0], ids, numbers[1])
        names = partial(_as_written, untyped=untyped) if options.dataset else list
        counts = counter.counts(names)
    except InvalidInputError:
        return None
    return None if empty else Target(counts)


def _numbers(
    piece: pd.DataFrame, features: list[str], weight: str | None
) -> tuple[FloatArray, FloatArray | None] | None:
    """Features (n_events, n_features) and weights; None unless all are finite."""
    if not all(pd.api.types.is_numeric_dtype(piece[name]) for name in features):
        return None
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


def _as_written(groups: list[Any], untyped: bool) -> list[Any]:
    """Ids as they are written in all files: texts become numbers if all of them may."""
    written = join_ids([pd.Series([name]) for name in groups])
    if not untyped:
        return list(written)
    if pd.api.types.is_object_dtype(written) or pd.api.types.is_string_dtype(written):
        written = keep_written(written.astype(object))
    ids: list[Any] = written.tolist()
    return ids


def _components(estimator: Any) -> TemplateComponents | None:
    """Fitted components that only count events in bins."""
    final = estimator.estimator_ if isinstance(estimator, AutoTAMM) else estimator
    components = getattr(final, "components_", None)
    return components if isinstance(components, TemplateComponents) else None


def _pieces(
    options: argparse.Namespace, features: list[str]
) -> Iterator[tuple[str, Any, pd.DataFrame]]:
    """Files, datasets of all of their events, None where there is one, and events."""
    short = [Path(path).name for path in options.target]
    names = short if len(set(short)) == len(short) else options.target
    weights = [options.weight] if True in _weighted(options) else []
    ids = [options.dataset] if options.dataset else []
    columns = [*features, *ids, *weights]
    for name, path in zip(names, options.target, strict=True):
        for piece in iterate_events(path, columns, as_written=ids, cut=options.cut):
            if ids:
                yield path, piece[options.dataset], piece
            else:
                own = [name] * len(piece) if len(names) > 1 else None
                yield path, own, piece
