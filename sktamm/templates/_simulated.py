"""Simulated events become templates: edges, contents, and what lies beyond."""

import builtins
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from sktamm._numerics import FloatArray
from sktamm.events import SimulatedEvents
from sktamm.exceptions import InvalidInputError, RangeWarning
from sktamm.templates._auto_bins import automatic_bins
from sktamm.templates._axes import Ends
from sktamm.templates._binning import (
    Binning,
    Bins,
    Flow,
    column_name,
    make_binning,
    per_feature,
)
from sktamm.templates._histogram import HistogramTemplates, fill_templates
from sktamm.templates._range import mixture_weights

__all__ = ["Beyond", "bin_simulations"]

# Ten bins keep less than half of the information on kappa, at the median over shapes
# and rules, when one holds four fifths of every source: bench_range.py.
_MOST = 0.8
# Share that hardly shows in an outermost bin of a per cent. Rule of thumb.
_CROWDED = 1e-3


class Beyond(NamedTuple):
    """Simulated events beyond the edges."""

    share: float  # in the simulation with most of them
    crowded: tuple[tuple[int, int], ...]  # feature, and 0 for its low end or 1
    ends: Ends


def bin_simulations(
    events: SimulatedEvents,
    bins: Bins | str,
    strategy: str,
    range: Sequence[tuple[float, float] | None] | None,
    flow: Flow,
) -> tuple[HistogramTemplates, Beyond]:
    """Choose edges and fill events; warns if one bin holds most of every source."""
    weight = mixture_weights(events)
    if isinstance(bins, str):
        bins = _named_bins(bins, events, weight)
    binning = make_binning(
        events.X,
        weight,
        bins,
        strategy,
        range,
        flow,
        group=events.source_class[events.source],
        names=events.feature_names,
    )
    templates = fill_templates(events, binning)
    given = [np.ndim(b) == 1 for b in per_feature(bins, len(binning.edges), "bins")]
    _warn_about_fullest(templates, given, events)
    beyond = _beyond(events, weight, binning)
    return replace(templates, ends=beyond.ends), beyond


def _named_bins(
    bins: str, events: SimulatedEvents, weight: FloatArray
) -> Sequence[Any]:
    if bins != "auto":
        raise InvalidInputError(
            f"bins must be 'auto', a number or edges for each feature, got {bins!r}."
        )
    return automatic_bins(events, weight)


def _beyond(events: SimulatedEvents, weight: FloatArray, binning: Binning) -> Beyond:
    outside = np.flatnonzero(binning.beyond(events.X))
    X, source, weight = events.X[outside], events.source[outside], weight[outside]
    shares = np.bincount(source, weight, minlength=events.n_sources)
    out = {
        (j, side): there
        for j, edges in enumerate(binning.edges)
        for side, there in enumerate((X[:, j] < edges[0], X[:, j] > edges[-1]))
    }
    crowded = [
        where
        for where, there in out.items()
        if binning.flow in ("clip", "bins") and weight[there].sum() > _CROWDED
    ]
    held = np.array([there.any() for there in out.values()]).reshape(-1, 2)
    ends = Ends(held, np.zeros_like(held))
    return Beyond(float(shares.max() * events.n_sources), tuple(crowded), ends)


def _warn_about_fullest(
    templates: HistogramTemplates, given: Sequence[bool], events: SimulatedEvents
) -> None:
    shape = templates.binning.shape
    sums = templates.sum_of_weights.reshape(-1, *shape)
    sums = sums / templates.sum_of_weights.sum(axis=1).reshape(-1, *[1] * len(shape))
    for j, edges in enumerate(templates.binning.edges):
        if given[j] or edges.size == 2:
            continue
        others = tuple(k + 1 for k in builtins.range(len(shape)) if k != j)
        least = sums.sum(axis=others).min(axis=0)
        if least.max() > _MOST:
            name = column_name(j, events.feature_names)
            warnings.warn(
                f"One of {least.size} bins of {name} holds at least "
                f"{least.max():.0%} of the events of every simulation: bins from "
                f"{edges[0]:g} to {edges[-1]:g} hardly tell classes apart; give range "
                "or edges, or transform the feature.",
                RangeWarning,
                stacklevel=2,
            )
