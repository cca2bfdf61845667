"""Axes and contents of histograms of other libraries, by duck typing.

The Unified Histogram Interface (https://uhi.readthedocs.io) promises ``axes``,
``values()`` and ``variances()``. An item of a continuous axis is a pair of edges, one
of a discrete axis its value: an integer axis gets the edges n - 1/2 and n + 1/2 around
every n, so that events of integers fall into the same bins. Names, labels and flow bins
are read where a library has them.
"""

import re
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sktamm._numerics import FloatArray
from sktamm._sklearn import check_names
from sktamm._validation import refuse_masked
from sktamm.exceptions import InvalidInputError
from sktamm.templates._binning import Flow

__all__ = [
    "Ends",
    "check_axis_names",
    "check_ends",
    "check_same_axes",
    "common_names",
    "edges_of",
    "ends_of",
    "treat_flow",
    "with_flow_bins",
]

# What ROOT and hist call axes that nobody has named.
_GENERIC = re.compile("[xyz]axis|Axis [0-9]+")


def edges_of(histogram: Any, number: int) -> tuple[FloatArray, ...]:
    """Edges of every axis of the histogram of this number."""
    if str(getattr(histogram, "kind", "COUNT")).rpartition(".")[2] != "COUNT":
        raise InvalidInputError(
            "histograms must hold counts or sums of weights, but histogram "
            f"{number} is of kind {histogram.kind}."
        )
    return tuple(_axis_edges(axis, number) for axis in histogram.axes)


def _axis_edges(axis: Any, number: int) -> FloatArray:
    items = [axis[i] for i in range(len(axis))]
    if not items:
        raise InvalidInputError(
            f"histograms must have bins, but histogram {number} has none on the axis "
            f"{axis!r}."
        )
    if np.ndim(items[0]) == 1:
        return np.array([items[0][0], *(high for _, high in items)], float)
    ordered = getattr(getattr(axis, "traits", None), "ordered", True)
    whole = all(isinstance(item, Integral | np.bool_) for item in items)
    if ordered and whole and (np.diff(np.array(items, dtype=float)) == 1).all():
        return np.append(np.array(items, float) - 0.5, float(items[-1]) + 0.5)
    raise InvalidInputError(
        "histograms must have continuous, integer or boolean axes, but histogram "
        f"{number} has the categorical axis {axis!r}."
    )


def _names(histogram: Any) -> list[tuple[str, str]]:
    """Name and label of every axis, empty where it has none."""
    # boost-histogram has no labels but metadata, where users put them.
    return [
        (_text(axis, "name"), _text(axis, "label") or _text(axis, "metadata"))
        for axis in histogram.axes
    ]


def _text(axis: Any, attribute: str) -> str:
    value = getattr(axis, attribute, "")
    named = isinstance(value, str) and not _GENERIC.fullmatch(value)
    return value if named else ""


def common_names(histograms: Sequence[Any]) -> tuple[str, ...] | None:
    """Names of the axes, or else their labels, on which all must agree."""
    known = _names(histograms[0])
    for number, histogram in enumerate(histograms):
        own = _names(histogram)
        if any(map(_differ, known, own)):
            raise InvalidInputError(
                "histograms must have the same axes in the same order, but histogram "
                f"{number} has {_shown(own)} instead of {_shown(known)}."
            )
        known = [(a[0] or b[0], a[1] or b[1]) for a, b in zip(known, own, strict=False)]
    names = tuple(name or label for name, label in known)
    return names if all(names) and len(set(names)) == len(names) else None


def _differ(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether two axes have different names or, without names, different labels."""
    pairs = list(zip(one, other, strict=True))
    for a, b in pairs:
        if a and b:
            return a != b
    return False


def _shown(names: list[tuple[str, str]]) -> str:
    return "(" + ", ".join(repr(name or label) for name, label in names) + ")"


def check_axis_names(
    histograms: Sequence[Any], fitted: tuple[str, ...] | None, owner: str
) -> None:
    """Refuse other names of axes than at fit, as columns of data frames are refused."""
    for histogram in histograms:
        own = _names(histogram)
        known = (fitted or ()) + ("",) * len(own)
        names = [
            seen if seen in pair else pair[0] or pair[1]
            for seen, pair in zip(known, own, strict=False)
        ]
        check_names(tuple(names) if all(names) else None, fitted, owner)


def check_same_axes(
    edges: tuple[FloatArray, ...], expected: tuple[FloatArray, ...], number: int
) -> None:
    """Refuse edges other than those expected."""
    same = len(edges) == len(expected) and all(
        _are_equal(a, b) for a, b in zip(edges, expected, strict=True)
    )
    if not same:
        shapes = [tuple(e.size - 1 for e in x) for x in (expected, edges)]
        raise InvalidInputError(
            f"histograms must have the same axes, but histogram {number} has other "
            f"edges (shape {shapes[1]}) than expected (shape {shapes[0]})."
        )


def _are_equal(one: FloatArray, other: FloatArray) -> bool:
    """Whether edges are the same up to rounding, the infinite ones exactly."""
    finite = np.isfinite(other)
    if one.size != other.size or (one[~finite] != other[~finite]).any():
        return False
    scale = np.ptp(other[finite]) if finite.any() else 0.0
    return np.allclose(one[finite], other[finite], rtol=1e-9, atol=1e-9 * scale)


def with_flow_bins(
    method: Callable[..., Any], axes: Any, number: int
) -> FloatArray | None:
    """Contents with two flow bins per axis; those that the histogram lacks are zero."""
    content = _contents(method)
    if content is None:
        return None
    refuse_masked(content, f"histogram {number}")
    content = np.asarray(content, dtype=np.float64)
    return np.pad(content, _lacking(axes, content.shape))


def _contents(method: Callable[..., Any]) -> Any:
    """Contents with the flow bins that the histogram has."""
    try:
        return method(flow=True)
    except TypeError:
        return method()


def _lacking(axes: Any, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Number of flow bins that contents lack below and above every axis, 0 or 1."""
    lacking = []
    for axis, size in zip(axes, shape, strict=True):
        underflow = getattr(getattr(axis, "traits", None), "underflow", False)
        number = len(axis) + 2 - size
        before = 0 if number == 1 and underflow else min(number, 1)
        lacking.append((before, number - before))
    return lacking


class Ends(NamedTuple):
    """Below and above every axis, each (n_axes, 2)."""

    held: NDArray[np.bool_]  # whether anything lies there
    unknown: NDArray[np.bool_]  # whether a histogram has no bin for it

    def with_(self, other: "Ends") -> "Ends":
        """Of either."""
        return Ends(self.held | other.held, self.unknown | other.unknown)


def ends_of(histogram: Any) -> Ends:
    """What lies beyond the edges of a histogram of known contents."""
    content = _contents(histogram.values)
    content = np.asarray(content, dtype=np.float64)
    lacking = np.array(_lacking(histogram.axes, content.shape), dtype=bool)
    padded = np.pad(content, lacking.astype(int))
    sides = [np.moveaxis(padded, j, 0)[[0, -1]] for j in range(padded.ndim)]
    return Ends(np.array([side.reshape(2, -1).any(axis=1) for side in sides]), lacking)


def check_ends(ends: Ends, flow: Flow) -> None:
    """Refuse histograms that do not say how much lies beyond, where something does."""
    wrong = np.argwhere(ends.held & ends.unknown)
    if len(wrong) and flow in ("clip", "bins"):
        j, side = wrong[0]
        raise InvalidInputError(
            "histograms of simulations and data must all have flow bins, or none: "
            f"something lies {'above' if side else 'below'} the edges of axis {j}, "
            'where a histogram has no bin; fill it with flow bins, or use flow="drop".'
        )


def treat_flow(content: FloatArray, flow: Flow) -> FloatArray:
    """Bins in C order as ``flow`` says, and at the end the sum of what is left out."""
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
