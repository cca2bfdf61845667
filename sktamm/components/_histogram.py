"""Templates with their statistical error, from events or from histograms.

A template of source k is the sum of weights in every bin, W_ki, and its variance, the
sum of squared weights. Probabilities are shrunk towards the pooled template P_i of the
class,

    p_ki  proportional to  P_i (n_ki + a) / (N_k P_i + a),

with n_ki effective events observed where N_k P_i are expected: a bin that one
simulation leaves empty by chance still has a logarithm, a bin with many events is left
alone.

Histograms are read by duck typing through the protocol of the Unified Histogram
Interface (https://uhi.readthedocs.io): ``axes``, ``values()`` and ``variances()``.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sktamm._validation import BLOCK_SIZE, event_blocks
from sktamm.components._binning import Binning, Flow, make_binning
from sktamm.events import Pairing, SimulatedEvents, Sources, read_sources
from sktamm.exceptions import InvalidInputError, WeightWarning

__all__ = [
    "Binning",
    "HistogramTemplates",
    "class_probabilities",
    "fill_templates",
    "is_histogram",
    "make_binning",
    "read_histograms",
    "target_from_histograms",
    "template_probabilities",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class HistogramTemplates:
    """Binned content of every source.

    Attributes
    ----------
    sum_of_weights : ndarray of shape (n_sources, n_columns)
        Sum of weights, possibly negative in a bin.
    sum_of_squares : ndarray of shape (n_sources, n_columns)
        Sum of squared weights, the variance of ``sum_of_weights``.
    dropped : ndarray of shape (n_sources,)
        Sum of weights beyond the edges that was left out; zero unless flow is "drop".
    binning : Binning
        Bins.
    source_class : ndarray of int, shape (n_sources,)
        Class index of each source; ascending.
    source_id : ndarray of shape (n_sources,)
        Simulation id of each source.
    classes : ndarray of shape (n_classes,)
        Sorted class labels.
    positive : int
        Index of the class whose fraction is measured.
    paired : bool
        Whether equal ids in different classes mean the same simulation.
    columns : ndarray of int, shape (n_columns,), or None
        Bin of every column, in C order; None when the columns are all bins.
    """

    sum_of_weights: FloatArray
    sum_of_squares: FloatArray
    dropped: FloatArray
    binning: Binning
    source_class: IntArray
    source_id: NDArray
    classes: NDArray
    positive: int
    paired: bool
    columns: IntArray | None = None

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

    def take_columns(self, index: IntArray) -> "HistogramTemplates":
        """Some of the columns alone."""
        return replace(
            self,
            sum_of_weights=self.sum_of_weights[:, index],
            sum_of_squares=self.sum_of_squares[:, index],
            columns=self.number[index],
        )


def fill_templates(events: SimulatedEvents, binning: Binning) -> HistogramTemplates:
    """Histogram the events of every source in one pass.

    Parameters
    ----------
    events : SimulatedEvents
        Labelled events.
    binning : Binning
        Bins.

    Returns
    -------
    templates : HistogramTemplates
        Content of every source.

    Raises
    ------
    InvalidInputError
        If the content of a source within the bins is not positive.

    Notes
    -----
    Memory is bounded by the templates and one block of events.
    """
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
    sums: FloatArray, squares: FloatArray, binning: Binning, sources: Sources
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
    )


def class_probabilities(
    templates: HistogramTemplates, *, floor: float = 0.5
) -> FloatArray:
    """Pool the simulations of each class, each with equal weight.

    Parameters
    ----------
    templates : HistogramTemplates
        Content of every source.
    floor : float, default=0.5
        Content, in effective events of the class's pooled sample, of a bin that all
        simulations of the class leave empty.

    Returns
    -------
    probability : ndarray of shape (n_classes, n_bins)
        Positive probabilities; rows sum to one.
    """
    content = np.maximum(templates.sum_of_weights, 0)
    share = content / content.sum(axis=1, keepdims=True)
    n_effective = _effective_events(templates)
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
    """Estimate smooth positive probabilities of every source, and their error.

    Parameters
    ----------
    templates : HistogramTemplates
        Content of every source.
    strength : float, default=1.0
        Events a of the shrinkage towards the pooled template of the class.
    floor : float, default=0.5
        Content of bins that a whole class leaves empty; see `class_probabilities`.

    Returns
    -------
    probability : ndarray of shape (n_sources, n_bins)
        Positive probabilities; rows sum to one.
    relative_variance : ndarray of shape (n_sources, n_bins)
        Squared relative statistical error, 1 / (n + a) with n = (sum w)^2 / sum w^2 of
        the bin, its effective number of events.

    Warns
    -----
    WeightWarning
        If bins have a negative sum of weights, which is set to zero.
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
    n_effective = _effective_events(templates)[:, np.newaxis]
    observed = n_effective * content / content.sum(axis=1, keepdims=True)
    # p_ki proportional to P_i (n_ki + a) / (N_k P_i + a)
    probability = pooled * (observed + strength) / (n_effective * pooled + strength)
    probability /= probability.sum(axis=1, keepdims=True)
    n_bin = np.divide(content**2, squares, out=np.zeros_like(sums), where=squares > 0)
    return probability, 1 / (n_bin + strength)


def _effective_events(templates: HistogramTemplates) -> FloatArray:
    """Return (sum w)^2 / sum w^2 of every source."""
    total = templates.sum_of_weights.sum(axis=1)
    return total**2 / templates.sum_of_squares.sum(axis=1)


def is_histogram(obj: Any) -> bool:
    """Tell whether an object is a histogram or a non-empty sequence of histograms.

    Parameters
    ----------
    obj : object
        Anything.

    Returns
    -------
    answer : bool
        True when every object has ``axes``, ``values()`` and ``variances()``.
    """
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
    """Read templates from histograms, one label and simulation id per histogram.

    Parameters
    ----------
    histograms : sequence of n_histograms histograms
        All with the same axes, regular or variable. Where ``variances()`` is None the
        contents are taken for counts. Histograms of the same source are added.
    y : array-like of shape (n_histograms,)
        Class label of each histogram.
    simulation : array-like of shape (n_histograms,), default=None
        Simulation id of each histogram; None is one simulation per class.
    pos_label : label, default=None
        The class whose fraction is measured; None is the last of the sorted classes.
    paired : bool or "auto", default="auto"
        Whether equal ids in different classes mean the same simulation.
    flow : {"drop", "bins", "clip", "refuse"}, default="drop"
        What happens to the content of underflow and overflow bins: left out, kept as
        bins, added to the first and last bin, or refused. Absent flow bins are empty.

    Returns
    -------
    templates : HistogramTemplates
        Content of every source.

    Raises
    ------
    InvalidInputError
        If axes differ or are categorical, or contents cannot be used.

    Notes
    -----
    Most histogram libraries put an event at the very last edge into the overflow bin;
    `Binning` puts it into the last bin.
    """
    histograms = _as_list(histograms)
    sources = read_sources(
        y,
        simulation=simulation,
        pos_label=pos_label,
        paired=paired,
        n_events=len(histograms),
    )
    binning = Binning(edges=_edges_of(histograms[0], 0), flow=flow)
    shape = (sources.n_sources, binning.n_bins + 1)
    sums, squares = np.zeros(shape), np.zeros(shape)
    for i, histogram in enumerate(histograms):
        values, variances = _read_content(histogram, binning, i)
        sums[sources.source[i]] += values
        squares[sources.source[i]] += variances
    return _make_templates(sums, squares, binning, sources)


def target_from_histograms(
    histograms: Sequence[Any], binning: Binning
) -> tuple[FloatArray, FloatArray]:
    """Read the target from histograms, one dataset per histogram.

    Parameters
    ----------
    histograms : histogram or sequence of n_datasets histograms
        With the axes of ``binning``.
    binning : Binning
        Bins seen at fit; its ``flow`` says what happens to flow bins.

    Returns
    -------
    row_weight : ndarray of shape (n_datasets, n_bins)
        Sum of weights.
    row_variance : ndarray of shape (n_datasets, n_bins)
        Sum of squared weights.

    Raises
    ------
    InvalidInputError
        If axes differ from the binning, or contents cannot be used.
    """
    histograms = _as_list(histograms)
    content = np.array([_read_content(h, binning, i) for i, h in enumerate(histograms)])
    total = content[:, 0, :-1].sum(axis=1)
    bad = np.flatnonzero(total <= 0)
    if bad.size:
        raise InvalidInputError(
            "histograms must hold a positive sum of weights, but histogram "
            f"{bad[0]} holds {total[bad[0]]:g} within the edges."
        )
    return content[:, 0, :-1].copy(), content[:, 1, :-1].copy()


def _as_list(histograms: Any) -> list[Any]:
    if not is_histogram(histograms):
        raise InvalidInputError(
            "histograms must be a non-empty sequence of objects with axes, values() "
            f"and variances(), got {type(histograms).__name__}."
        )
    return list(histograms) if isinstance(histograms, list | tuple) else [histograms]


def _edges_of(histogram: Any, number: int) -> tuple[FloatArray, ...]:
    if str(getattr(histogram, "kind", "COUNT")).rpartition(".")[2] != "COUNT":
        raise InvalidInputError(
            "histograms must hold counts or sums of weights, but histogram "
            f"{number} is of kind {histogram.kind}."
        )
    edges = []
    for axis in histogram.axes:
        if getattr(getattr(axis, "traits", None), "discrete", False):
            raise InvalidInputError(
                "histograms must have continuous axes, but histogram "
                f"{number} has the categorical axis {axis!r}."
            )
        bounds = [axis[i] for i in range(len(axis))]
        edges.append(np.array([bounds[0][0], *(high for _, high in bounds)], float))
    return tuple(edges)


def _read_content(
    histogram: Any, binning: Binning, number: int
) -> tuple[FloatArray, FloatArray]:
    """Return values and variances of every bin, and at the end of what is left out."""
    edges = _edges_of(histogram, number)
    _check_axes(edges, binning.edges, number)
    values = _with_flow_bins(histogram.values, histogram.axes)
    variances = _with_flow_bins(histogram.variances, histogram.axes)
    if values is None:
        raise InvalidInputError(f"histogram {number} must have values, got None.")
    if variances is None:
        variances = values
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
    return _treat_flow(values, binning.flow), _treat_flow(variances, binning.flow)


def _check_axes(
    edges: tuple[FloatArray, ...], expected: tuple[FloatArray, ...], number: int
) -> None:
    same = len(edges) == len(expected) and all(
        a.size == b.size and np.allclose(a, b, rtol=1e-9, atol=1e-9 * np.ptp(b))
        for a, b in zip(edges, expected, strict=True)
    )
    if not same:
        shapes = [tuple(e.size - 1 for e in x) for x in (expected, edges)]
        raise InvalidInputError(
            f"histograms must have the same axes, but histogram {number} has other "
            f"edges (shape {shapes[1]}) than expected (shape {shapes[0]})."
        )


def _with_flow_bins(method: Callable[..., Any], axes: Any) -> FloatArray | None:
    """Contents with two flow bins per axis; those that the histogram lacks are zero."""
    try:
        content = method(flow=True)
    except TypeError:
        content = method()
    if content is None:
        return None
    content = np.asarray(content, dtype=np.float64)
    padding = []
    for axis, size in zip(axes, content.shape, strict=True):
        underflow = getattr(getattr(axis, "traits", None), "underflow", False)
        lacking = len(axis) + 2 - size
        before = 0 if lacking == 1 and underflow else min(lacking, 1)
        padding.append((before, lacking - before))
    return np.pad(content, padding)


def _treat_flow(content: FloatArray, flow: Flow) -> FloatArray:
    total = content.sum()
    if flow == "clip":
        for axis in range(content.ndim):
            first, *middle, last = np.moveaxis(content, axis, 0)
            middle[0], middle[-1] = middle[0] + first, middle[-1] + last
            content = np.moveaxis(np.array(middle), 0, axis)
    elif flow != "bins":
        content = content[(slice(1, -1),) * content.ndim]
    left_out = total - content.sum() if flow == "drop" else 0.0
    return np.append(content.ravel(), left_out)
