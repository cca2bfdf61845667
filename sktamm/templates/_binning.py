"""Bins: half-open, the last one closed, exactly as in `numpy.histogramdd`.

On a regular grid (x - low) / width is corrected by one comparison with the true edge.
Irregular bins are found from a finer regular grid, and corrected by some comparisons.
"""

import builtins
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sktamm._numerics import FloatArray, IntArray
from sktamm._validation import event_blocks
from sktamm.exceptions import InvalidInputError, RangeWarning
from sktamm.templates._range import Ends, robust_ends, weighted_quantiles

__all__ = ["Binning", "Bins", "Flow", "column_name", "make_binning", "per_feature"]

Flow = Literal["clip", "bins", "drop", "refuse"]
Bins = int | Sequence[int | ArrayLike]

# Axes that every numpy gives an array, one of them for the simulations.
_MOST_FEATURES = 31
_MAX_BINS = 1_000_000  # rule of thumb: 8 MB a template
# The arithmetic estimate of a bin is lowered by this share of a bin, so that it is
# right or one too low; edges may be off the regular grid by a tenth of it.
_MARGIN = 1e-6
# Cells per bin, and in all, of the regular grid that finds irregular bins, and bins
# that a cell may have to step through: three times faster than a search among 10
# quantiles, and a table that stays in the cache (bench_scale.py rate).
_CELLS_PER_BIN, _MOST_CELLS, _MOST_STEPS = 32, 4096, 3
# Quantiles closer than this share of the range are equal, as in scikit-learn's
# KBinsDiscretizer, whose limit is absolute.
_EQUAL = 1e-8
# Share of the events in one bin of equal width, at least so many times its due,
# beyond which bins have equal contents. Log-normals exp(g) and exp(2g), .31 and .69
# in one of 20: coverage .51 to .61 with equal widths, .69 to .71 with equal contents;
# exponentials and Pareto, .3 to .4: scores .89 to .96 of before; below .25, scores
# grow by a tenth.
_PILE, _TIMES = 0.25, 3.0


@dataclass(frozen=True, eq=False)
class Binning:
    """Bins of every feature and what happens to events beyond them."""

    edges: tuple[FloatArray, ...]  # finite and ascending, without flow bins
    # Events beyond go into the first or last bin ("clip"), into bins of their own
    # ("bins"), are left out ("drop"), or raise an error ("refuse").
    flow: Flow = "clip"

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of bins of every feature, including flow bins."""
        flow_bins = 2 if self.flow == "bins" else 0
        return tuple(edges.size - 1 + flow_bins for edges in self.edges)

    @property
    def n_bins(self) -> int:
        """Number of bins of all features together."""
        return int(np.prod(self.shape))

    def index(self, X: FloatArray) -> IntArray:
        """Bin (n_events,) of every event, in C order of ``shape``; -1 if left out."""
        index = np.empty(len(X), dtype=np.intp)
        for block in event_blocks(len(X)):
            index[block] = self._index_block(X[block])
        return index

    def beyond(self, X: FloatArray) -> NDArray[np.bool_]:
        """Whether events lie beyond the edges in some feature, shape (n_events,)."""
        beyond = np.zeros(len(X), dtype=np.bool_)
        for block in event_blocks(len(X)):
            own = beyond[block]
            for edges, x in zip(self.edges, X[block].T, strict=True):
                own |= x < edges[0]
                own |= x > edges[-1]
        return beyond

    def _index_block(self, X: FloatArray) -> IntArray:
        index = np.zeros(len(X), dtype=np.intp)
        outside = np.zeros(len(X), dtype=np.bool_)
        for axis, x, size in zip(self._axes, X.T, self.shape, strict=True):
            k = axis.locate(x)
            if self.flow == "bins":
                k += 1
            elif self.flow != "clip":
                outside |= (k < 0) | (k >= size)
            index *= size
            index += k
        if outside.any():
            index[outside] = -1
            if self.flow == "refuse":
                self._refuse_outside(X)
        return index

    def _refuse_outside(self, X: FloatArray) -> None:
        for j, (edges, x) in enumerate(zip(self.edges, X.T, strict=True)):
            beyond = x[(x < edges[0]) | (x > edges[-1])]
            if beyond.size:
                raise InvalidInputError(
                    "X must lie within the bin edges when flow='refuse', but column "
                    f"{j} has edges from {edges[0]:g} to {edges[-1]:g} and holds "
                    f"{beyond[0]:g}."
                )

    @cached_property
    def _axes(self) -> "tuple[_Axis, ...]":
        return tuple(_Axis(edges, self.flow == "clip") for edges in self.edges)


class _Axis:
    """Bin of a number: -1 below the first edge, n above the last, unless clipped."""

    def __init__(self, edges: FloatArray, clip: bool) -> None:
        self.clip = clip
        # The last bin is closed: its limit is the first number beyond the last edge.
        self.upper = edges[1:].copy()
        self.upper[-1] = np.inf if clip else np.nextafter(edges[-1], np.inf)
        self.low, self.high = edges[0], edges[-1]
        n = edges.size - 1
        width = self.high / n - self.low / n
        grid = self.low + width * np.arange(n + 1)
        rounding = np.spacing(np.abs(edges).max())
        error = np.abs(edges - grid).max() + rounding
        self.uniform = bool(error < 0.1 * _MARGIN * width)
        self.scale, self.steps = 1 / width, 1
        self.limit = np.append(self.upper, np.inf)
        self.first: IntArray | None = None
        if not self.uniform:
            self._make_guide(n, rounding)
        self.offset = -self.low * self.scale - _MARGIN

    def _make_guide(self, n: int, rounding: float) -> None:
        """Lowest bin of every cell of a regular grid, and the most that one holds."""
        cells = min(_CELLS_PER_BIN * n, _MOST_CELLS)
        self.scale = cells / (self.high - self.low)
        if rounding * self.scale > 0.1 * _MARGIN:
            self.steps = _MOST_STEPS + 1
            return
        start = self.low + np.arange(cells + 1) / self.scale
        end = np.append(start[1:-1], [np.inf, np.inf])  # with what lies beyond
        margin = 2 * _MARGIN / self.scale
        self.first = np.searchsorted(self.upper[:-1], start - margin, side="right")
        inner = self.upper[:-1] if self.clip else self.upper
        last = np.searchsorted(inner, end + margin, side="right")
        self.steps = int((last - self.first).max())

    def locate(self, x: FloatArray) -> IntArray:
        if self.steps > _MOST_STEPS:
            k = np.searchsorted(self.upper, x, side="right")
        else:
            k = self._calculate(x)
        if not self.clip:
            k -= x < self.low
        return k

    def _calculate(self, x: FloatArray) -> IntArray:
        """Bins from the place in a regular grid, corrected by the true edges."""
        # Into the range first, so that huge numbers do not overflow.
        position = np.maximum(x, self.low)
        np.minimum(position, self.high, out=position)
        position *= self.scale
        position += self.offset
        k = position.astype(np.intp)
        if self.first is not None:
            k = self.first.take(k)
        for _ in range(self.steps):
            k += x >= self.limit.take(k)
        return k


def make_binning(
    X: ArrayLike,
    weight: FloatArray | None = None,
    bins: Bins = 10,
    strategy: str = "uniform",
    range: Sequence[tuple[float, float] | None] | None = None,
    flow: Flow = "clip",
    group: IntArray | None = None,
    names: Sequence[str] | None = None,
) -> Binning:
    """Choose bin edges from pooled simulated events, to suit every class (``group``).

    Without a range, outliers and placeholders for missing values lie beyond the edges.
    """
    X = np.asarray(X, dtype=np.float64)
    if strategy not in ("auto", "uniform", "quantile"):
        raise InvalidInputError(
            f'strategy must be "auto", "uniform" or "quantile", got {strategy!r}.'
        )
    if flow not in get_args(Flow):
        raise InvalidInputError(f"flow must be one of {get_args(Flow)}, got {flow!r}.")
    weight = np.ones(len(X)) if weight is None else np.maximum(weight, 0.0)
    group = np.zeros(len(X), dtype=np.intp) if group is None else group
    n_features = X.shape[1]
    if n_features > _MOST_FEATURES:
        raise InvalidInputError(
            f"X must have at most {_MOST_FEATURES} features to be binned, got "
            f"{n_features}: choose some, or take ScoreTAMM or NeuralRatioTAMM, which "
            "need no grid."
        )
    choices = per_feature(bins, n_features, "bins")
    ranges = per_feature(range, n_features, "range")
    edges = []
    for j in builtins.range(n_features):
        name = column_name(j, names)
        if np.ndim(choices[j]) == 1:
            edges.append(_check_edges(np.array(choices[j], dtype=np.float64), name))
            continue
        _check_number(choices[j], name)
        x, given = X[:, j], ranges[j] is not None
        if given:
            ends = _check_range(ranges[j], name)
        else:
            ends = _find_range(x, weight, group, flow, name)
        cut = np.linspace(ends.low, ends.high, choices[j] + 1)
        skewed = strategy == "auto" and not given and _is_skewed(x, weight, cut)
        if strategy == "quantile" or skewed:
            inside = (x >= ends.low) & (x <= ends.high)
            used = inside if given else ~np.isin(x, ends.placeholders)
            used &= weight > 0
            cut = _quantile_edges(x[used], weight[used], choices[j], ends, name)
        edges.append(_check_edges(cut, name))
    binning = Binning(edges=tuple(edges), flow=flow)
    if binning.n_bins > _MAX_BINS:
        raise InvalidInputError(
            f"bins must make at most {_MAX_BINS} bins in all, got {binning.shape}, "
            f"that is {binning.n_bins}: take fewer, bins='auto', or ScoreTAMM or "
            "NeuralRatioTAMM, which need no grid."
        )
    return binning


def column_name(column: int, names: Sequence[str] | None) -> str:
    """How messages name a feature."""
    return f"column {column}" if names is None else f"column {names[column]!r}"


def per_feature(value: Any, n_features: int, name: str) -> list[Any]:
    """One entry for each feature of an argument that may have one for all."""
    if value is None or isinstance(value, int | np.integer | float):
        return [value] * n_features
    if len(value) != n_features:
        raise InvalidInputError(
            f"{name} must have one entry for each of the {n_features} features, "
            f"got {len(value)} entries."
        )
    return list(value)


def _check_number(choice: Any, name: str) -> None:
    is_integer = isinstance(choice, int | np.integer) and not isinstance(choice, bool)
    if not is_integer or not 1 <= choice <= _MAX_BINS:
        raise InvalidInputError(
            f"bins must be edges or an integer from 1 to {_MAX_BINS} for each feature, "
            f"got {choice!r} for {name}."
        )


def _check_range(limits: Any, name: str) -> Ends:
    if np.ndim(limits) != 1 or len(limits) != 2:
        raise InvalidInputError(
            "range must hold one pair (low, high) or None for each feature, got "
            f"{limits!r} for {name}."
        )
    low, high = limits
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise InvalidInputError(
            "range must hold finite pairs (low, high) with low < high, got "
            f"({low}, {high}) for {name}."
        )
    return Ends(float(low), float(high), ())


def _find_range(
    x: FloatArray, weight: FloatArray, group: IntArray, flow: Flow, name: str
) -> Ends:
    """Ends for most of the events; for all of them if one beyond is refused."""
    low, high = float(x.min()), float(x.max())
    if low == high:
        raise InvalidInputError(
            f"X must vary in every feature that is binned, but {name} is constant at "
            f"{low:g}."
        )
    if flow == "refuse":
        return Ends(low, high, ())
    ends = robust_ends(x, weight, group)
    if ends.placeholders:
        _warn_about_placeholders(x, weight, ends.placeholders, name)
    # Events without weight alone vary.
    return ends if ends.low < ends.high else Ends(low, high, ())


def _warn_about_placeholders(
    x: FloatArray, weight: FloatArray, values: Sequence[float], name: str
) -> None:
    share = weight[np.isin(x, values)].sum() / weight.sum()
    warnings.warn(
        f"In {name}, {share:.2%} of the simulated events have the value "
        f"{', '.join(f'{value:g}' for value in values)}, far from all others: it was "
        "left out when the range was chosen. If it stands for missing values, give "
        'them bins of their own (flow="bins") or leave such events out.',
        RangeWarning,
        stacklevel=4,
    )


def _is_skewed(x: FloatArray, weight: FloatArray, edges: FloatArray) -> bool:
    """Whether bins of equal width pile different values up in one of them."""
    n, low, high = edges.size - 1, edges[0], edges[-1]
    inside = (x >= low) & (x <= high)
    x, weight = x[inside], weight[inside]
    bins = np.minimum(((x / (high - low) - low / (high - low)) * n).astype(int), n - 1)
    content = np.bincount(bins, weight, minlength=n)
    most = max(_PILE, _TIMES / n) * content.sum()
    if content.max() <= most:
        return False
    there = bins == np.argmax(content)
    _, value = np.unique(x[there], return_inverse=True)
    return bool(content.max() - np.bincount(value, weight[there]).max() > most)


def _quantile_edges(
    x: FloatArray, weight: FloatArray, n_bins: int, ends: Ends, name: str
) -> FloatArray:
    """Ends and quantiles of the events, those that are equal or beyond merged."""
    low, high = ends.low, ends.high
    if not x.size:
        raise InvalidInputError(
            "range must hold simulated events with positive weights for "
            f"strategy='quantile', got ({low:g}, {high:g}) for {name}."
        )
    levels = np.linspace(0, 1, n_bins + 1)
    inner = np.clip(weighted_quantiles(x, weight, levels)[1:-1], low, high)
    least = _EQUAL * (high - low)
    apart = (np.diff(inner, prepend=low) > least) & (high - inner > least)
    return np.concatenate([[low], inner[apart], [high]])


def _check_edges(edges: FloatArray, name: str) -> FloatArray:
    increasing = (
        edges.size > 1 and np.isfinite(edges).all() and np.diff(edges).min() > 0
    )
    if not increasing:
        raise InvalidInputError(
            "bins must have at least two finite and strictly increasing edges in every "
            f"feature, got {np.array2string(edges, threshold=8)} for {name}."
        )
    return edges
