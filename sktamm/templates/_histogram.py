"""Templates with their statistical error, from events or from histograms.

A template of source k is the sum of weights in every bin, W_ki, and its variance, the
sum of squared weights. Probabilities are shrunk towards the pooled template P_i of the
class,

    p_ki  proportional to  P_i (n_ki + a) / (N_k P_i + a),

with n_ki effective events observed where N_k P_i are expected: a bin that one
simulation leaves empty by chance still has a logarithm, a bin with many events is left
alone.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sktamm._numerics import FloatArray, IntArray
from sktamm._validation import BLOCK_SIZE, event_blocks
from sktamm.events import Pairing, SimulatedEvents, Sources, read_sources
from sktamm.exceptions import InvalidInputError, VarianceWarning, WeightWarning
from sktamm.templates._axes import (
    Ends,
    check_ends,
    check_same_axes,
    common_names,
    edges_of,
    ends_of,
    treat_flow,
    with_flow_bins,
)
from sktamm.templates._binning import Binning, Flow

__all__ = [
    "HistogramTemplates",
    "TargetContents",
    "as_histograms",
    "class_probabilities",
    "effective_events",
    "fill_templates",
    "is_histogram",
    "read_histograms",
    "target_from_histograms",
    "template_probabilities",
]

# Effective events of a bin that is known exactly: more than any simulation has, and
# few enough for its roots, logarithms and ratios to keep their digits.
_EXACT = 1e12


@dataclass(frozen=True, eq=False)
class HistogramTemplates:
    """Binned content of every source; what is not described is as in `Sources`."""

    sum_of_weights: FloatArray  # (n_sources, n_columns), possibly negative
    sum_of_squares: FloatArray  # (n_sources, n_columns), of weights: the variance
    dropped: FloatArray  # (n_sources,), sum of weights left out, if flow is "drop"
    binning: Binning
    source_class: IntArray
    source_id: NDArray[Any]
    classes: NDArray[Any]
    positive: int
    paired: bool
    columns: IntArray | None = None  # (n_columns,), bins in C order; None is all bins
    feature_names: tuple[str, ...] | None = None  # of the axes; None of events
    ends: Ends | None = None  # what lies beyond the edges; None is nothing

    @property
    def empty_everywhere(self) -> NDArray[np.bool_]:
        """Whether each column, shape (n_columns,), is empty in every source."""
        filled = (self.sum_of_squares != 0) | (self.sum_of_weights != 0)
        return ~filled.any(axis=0)

    @property
    def number(self) -> IntArray:
        """Bin of every column."""
        if self.columns is None:
            return np.arange(self.sum_of_weights.shape[1])
        return self.columns

    def take(self, sources: IntArray) -> "HistogramTemplates":
        """Some of the templates alone."""
        return replace(
            self,
            sum_of_weights=self.sum_of_weights[sources],
            sum_of_squares=self.sum_of_squares[sources],
            dropped=self.dropped[sources],
            source_class=self.source_class[sources],
            source_id=self.source_id[sources],
        )

    def take_columns(self, index: IntArray) -> "HistogramTemplates":
        """Some of the columns alone."""
        return replace(
            self,
            sum_of_weights=self.sum_of_weights[:, index],
            sum_of_squares=self.sum_of_squares[:, index],
            columns=self.number[index],
        )


def fill_templates(events: SimulatedEvents, binning: Binning) -> HistogramTemplates:
    """Histogram the events of every source in one pass, a block at a time."""
    # One more column collects what is left out.
    shape = (events.n_sources, binning.n_bins + 1)
    n_cells = shape[0] * shape[1]
    sums = np.zeros(n_cells)
    squares = sums if events.weight is None else np.zeros(n_cells)
    # Blocks no smaller than the templates: each block adds a whole set of templates.
    for block in event_blocks(len(events.X), max(BLOCK_SIZE, n_cells)):
        cell = binning.index(events.X[block])
        if binning.flow == "drop":
            cell[cell < 0] = binning.n_bins
        cell += events.source[block] * shape[1]
        weight = None if events.weight is None else events.weight[block]
        sums += np.bincount(cell, weight, minlength=n_cells)
        if weight is not None:
            squares += np.bincount(cell, weight**2, minlength=n_cells)
    return _make_templates(sums.reshape(shape), squares.reshape(shape), binning, events)


def _make_templates(
    sums: FloatArray,
    squares: FloatArray,
    binning: Binning,
    sources: Sources,
    feature_names: tuple[str, ...] | None = None,
) -> HistogramTemplates:
    inside = sums[:, :-1].copy()
    total = inside.sum(axis=1)
    bad = np.flatnonzero(total <= 0)
    if bad.size:
        raise InvalidInputError(
            "bins must hold a positive sum of weights of every source, but "
            f"{sources.name_of(bad[0])} has {total[bad[0]]:g} within the edges."
        )
    return HistogramTemplates(
        sum_of_weights=inside,
        sum_of_squares=squares[:, :-1].copy(),
        dropped=sums[:, -1].copy(),
        binning=binning,
        source_class=sources.source_class,
        source_id=sources.source_id,
        classes=sources.classes,
        positive=sources.positive,
        paired=sources.paired,
        feature_names=feature_names,
    )


def class_probabilities(
    templates: HistogramTemplates, *, floor: float = 0.5
) -> FloatArray:
    """Pool the simulations of each class, each with equal weight.

    Returns positive probabilities, (n_classes, n_bins); ``floor`` is the content of
    bins that a whole class leaves empty.
    """
    content = np.maximum(templates.sum_of_weights, 0)
    share = content / content.sum(axis=1, keepdims=True)
    n_effective = effective_events(templates)
    pooled = np.empty((templates.classes.size, share.shape[1]))
    for c in range(templates.classes.size):
        members = templates.source_class == c
        pooled[c] = share[members].mean(axis=0)
        # (sum w)^2 / sum w^2 of K samples scaled to equal sums: K^2 / sum_k 1/N_k.
        n_pooled = members.sum() ** 2 / (1 / n_effective[members]).sum()
        pooled[c, pooled[c] == 0] = floor / n_pooled
    return pooled / pooled.sum(axis=1, keepdims=True)


def template_probabilities(
    templates: HistogramTemplates, *, strength: float = 1.0, floor: float = 0.5
) -> tuple[FloatArray, FloatArray]:
    """Positive probabilities of every source, and squared relative errors 1 / (n + a).

    Both (n_sources, n_bins), with ``strength`` a; 1e-12 for what is known exactly.
    """
    sums, squares = templates.sum_of_weights, templates.sum_of_squares
    negative = int((sums < 0).sum())
    if negative:
        warnings.warn(
            f"{negative} of {sums.size} template bins have a negative sum of weights "
            "and were set to zero; use wider bins or more simulated events.",
            WeightWarning,
            stacklevel=2,
        )
    content = np.maximum(sums, 0)
    pooled = class_probabilities(templates, floor=floor)[templates.source_class]
    n_effective = effective_events(templates)[:, np.newaxis]
    observed = n_effective * content / content.sum(axis=1, keepdims=True)
    # p_ki proportional to P_i (n_ki + a) / (N_k P_i + a)
    probability = pooled * (observed + strength) / (n_effective * pooled + strength)
    n_bin = np.divide(content**2, squares, out=np.zeros_like(sums), where=squares > 0)
    known = n_bin > 0.5 * _EXACT
    probability[known] = (observed / n_effective)[known]
    probability /= probability.sum(axis=1, keepdims=True)
    # Zero without an error means no events yet, but in an exact template no content.
    exact = np.all(known | (content == 0), axis=1)
    n_bin[exact] = _EXACT
    return probability, 1 / (n_bin + strength)


def effective_events(templates: HistogramTemplates) -> FloatArray:
    """Return (sum w)^2 / sum w^2 of every source."""
    total = templates.sum_of_weights.sum(axis=1)
    return total**2 / templates.sum_of_squares.sum(axis=1)


def is_histogram(obj: Any) -> bool:
    """Tell whether an object is a histogram or a non-empty sequence of histograms."""
    if isinstance(obj, list | tuple):
        return len(obj) > 0 and all(is_histogram(item) for item in obj)
    methods = (getattr(obj, name, None) for name in ("values", "variances"))
    return hasattr(obj, "axes") and all(callable(method) for method in methods)


def read_histograms(
    histograms: Sequence[Any],
    y: ArrayLike,
    *,
    simulation: ArrayLike | None = None,
    pos_label: Any = None,
    paired: Pairing = "auto",
    flow: Flow = "drop",
) -> HistogramTemplates:
    """Templates of histograms of equal axes, those of one source being added.

    A bin with content and a variance of zero is known exactly. Most libraries put an
    event at the very last edge into the overflow bin, `Binning` into the last bin.
    """
    histograms = as_histograms(histograms)
    sources = read_sources(
        y,
        simulation=simulation,
        pos_label=pos_label,
        paired=paired,
        n_events=len(histograms),
    )
    binning = Binning(edges=edges_of(histograms[0], 0), flow=flow)
    values, variances, ends = _read_contents(histograms, binning, simulated=True)
    check_ends(ends, flow)
    shape = (sources.n_sources, binning.n_bins + 1)
    sums, squares = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, sources.source, values)
    np.add.at(squares, sources.source, variances)
    exact = (squares == 0) & (sums != 0)
    squares[exact] = sums[exact] ** 2 / _EXACT
    names = common_names(histograms)
    return replace(_make_templates(sums, squares, binning, sources, names), ends=ends)


class TargetContents(NamedTuple):
    """Contents of the bins of the target, where histograms stand for its events."""

    weight: FloatArray  # (n_datasets, n_bins)
    variance: FloatArray  # (n_datasets, n_bins), sums of squared weights
    # (n_datasets,), share of the weights in flow bins; None where it is not known
    beyond: FloatArray | None = None


def target_from_histograms(
    histograms: Sequence[Any], binning: Binning, simulated: Ends | None = None
) -> TargetContents:
    """Contents of the target in the bins; ``simulated`` lies beyond in simulations.

    Contents of unknown variance, or of none, are taken for counts with a warning.
    """
    histograms = as_histograms(histograms)
    values, variances, ends = _read_contents(histograms, binning, simulated=False)
    check_ends(ends if simulated is None else ends.with_(simulated), binning.flow)
    total = values[:, :-1].sum(axis=1)
    bad = np.flatnonzero(total <= 0)
    if bad.size:
        raise InvalidInputError(
            "histograms must hold a positive sum of weights, but histogram "
            f"{bad[0]} holds {total[bad[0]]:g} within the edges."
        )
    beyond = np.array([_beyond(h, number) for number, h in enumerate(histograms)])
    return TargetContents(values[:, :-1].copy(), variances[:, :-1].copy(), beyond)


def _beyond(histogram: Any, number: int) -> float:
    """Share of the sum of weights in flow bins."""
    values = with_flow_bins(histogram.values, histogram.axes, number)
    assert values is not None  # its contents have been read
    total = values.sum()
    inside = values[(slice(1, -1),) * values.ndim].sum()
    return float((total - inside) / total) if total > 0 else 0.0


def as_histograms(histograms: Any) -> list[Any]:
    """Histograms as a list, of one too."""
    if not is_histogram(histograms):
        raise InvalidInputError(
            "histograms must be a non-empty sequence of objects with axes, values() "
            f"and variances(), got {type(histograms).__name__}."
        )
    return list(histograms) if isinstance(histograms, list | tuple) else [histograms]


def _read_contents(
    histograms: Sequence[Any], binning: Binning, *, simulated: bool
) -> tuple[FloatArray, FloatArray, Ends]:
    """Values and variances, shape (n_histograms, n_bins + 1), and what lies beyond."""
    common_names(histograms)
    parts = [_read_content(h, binning, i) for i, h in enumerate(histograms)]
    values = np.array([part[0] for part in parts])
    variances = np.array([part[1] for part in parts])
    unknown = np.array([part[2] for part in parts])
    if not simulated:
        # Data fluctuate: a bin with content and no variance says that it has none.
        without = (variances == 0) & (values != 0)
        variances = np.where(without, np.abs(values), variances)
        unknown = unknown | without.any(axis=1)
    if unknown.any():
        warnings.warn(
            f"The variances of {unknown.sum()} of {unknown.size} "
            f"{'simulated' if simulated else 'target'} histograms are unknown, the "
            f"first is histogram {np.argmax(unknown)}: their contents were taken for "
            "counts of unweighted events. If they are sums of weights, errors are "
            "wrong; fill histograms that keep variances, such as Weight().",
            VarianceWarning,
            stacklevel=6,
        )
    return values, variances, reduce(Ends.with_, map(ends_of, histograms))


def _read_content(
    histogram: Any, binning: Binning, number: int
) -> tuple[FloatArray, FloatArray, bool]:
    """Values and variances of the bins and of what is left out; whether unknown."""
    check_same_axes(edges_of(histogram, number), binning.edges, number)
    values = with_flow_bins(histogram.values, histogram.axes, number)
    variances = with_flow_bins(histogram.variances, histogram.axes, number)
    if values is None:
        raise InvalidInputError(f"histogram {number} must have values, got None.")
    unknown = variances is None
    variances = values if variances is None else variances
    if not (np.isfinite(values).all() and np.isfinite(variances).all()):
        raise InvalidInputError(f"histogram {number} must hold finite values, got NaN.")
    if variances.min() < 0:
        raise InvalidInputError(
            f"histogram {number} must have variances of at least zero, got "
            f"{variances.min():g}."
        )
    inside = variances[(slice(1, -1),) * variances.ndim]
    if binning.flow == "refuse" and (variances > 0).sum() > (inside > 0).sum():
        raise InvalidInputError(
            "histograms must have empty flow bins when flow='refuse', but histogram "
            f"{number} does not."
        )
    flow = binning.flow
    return treat_flow(values, flow), treat_flow(variances, flow), unknown
