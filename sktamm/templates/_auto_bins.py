"""Bins that the simulated events can fill.

With N effective events in a template (harmonic mean over the simulations of a class,
the class with fewest), a grid may have N / 25 bins: equally many in every feature, at
most ten, or twenty of a single feature. Where that is fewer than four, those features
get one more that separate the classes best, as far as the events go; the separation is

    <S^2> = 1/2 sum_i (p_i - q_i)^2 / (p_i + q_i)

of the classes' contents p and q in ten bins of equal content.
"""

import itertools

import numpy as np
from numpy.typing import ArrayLike

from sktamm._numerics import FloatArray
from sktamm.events import SimulatedEvents

__all__ = ["automatic_bins"]

# Not biased beyond errors at 25 events per bin, biased by 1 to 3 errors at 8:
# bench_sparse.py, one to four features, K = 3 to 10.
_EVENTS_PER_BIN = 25.0
# Rules of thumb: a finer grid of several features resolves noise, and fewer than four
# bins hide a peak, so that the feature that separates best gets one more.
_MOST, _FEW = 10, 4
# A narrow peak on a spectrum: interval scores .057 with 20 or 30 bins, .062 with 10.
_MOST_OF_ONE = 20
_SAMPLE = 100_000  # events that the separation is computed of; a tenth of a second


def automatic_bins(
    events: SimulatedEvents, weight: FloatArray
) -> list[int | ArrayLike]:
    """Numbers of bins of every feature; edges of the one bin of a constant feature."""
    X = events.X
    constant = X.min(axis=0) == X.max(axis=0)
    bins: list[int | ArrayLike] = [
        [value - 0.5, value + 0.5] if same else 1
        for value, same in zip(X[0], constant, strict=True)
    ]
    chosen = np.flatnonzero(~constant)
    if chosen.size == 0:
        return bins
    total = max(_events_of_a_template(events) / _EVENTS_PER_BIN, 2.0)
    most = _MOST_OF_ONE if chosen.size == 1 else _MOST
    each = min(int(total ** (1.0 / chosen.size) + 1e-9), most)
    left = total / each**chosen.size
    if each < _FEW:
        separation = _separation(events, weight)[chosen]
        chosen = chosen[np.argsort(-separation, kind="stable")]
    for j in chosen:
        more = each < _FEW and left >= (each + 1) / each
        left = left * each / (each + 1) if more else left
        bins[j] = each + int(more)
    return bins


def _events_of_a_template(events: SimulatedEvents) -> float:
    """Effective events, harmonic mean over simulations, of the class with fewest."""
    n = events.n_sources
    total = np.bincount(events.source, events.weight, minlength=n)
    squares = total
    if events.weight is not None:
        squares = np.bincount(events.source, events.weight**2, minlength=n)
    size = total**2 / np.maximum(squares, np.finfo(float).tiny)
    own = [size[events.source_class == c] for c in np.unique(events.source_class)]
    return float(min(len(s) / (1.0 / s).sum() for s in own))


def _separation(events: SimulatedEvents, weight: FloatArray) -> FloatArray:
    """Largest separation of two classes in every feature."""
    part = slice(None, None, max(1, len(events.X) // _SAMPLE))
    label = events.source_class[events.source[part]]
    weight = weight[part]
    out = np.zeros(events.X.shape[1])
    for j, x in enumerate(events.X[part].T):
        edges = np.unique(np.quantile(x, np.linspace(0.0, 1.0, _MOST + 1)[1:-1]))
        row = np.searchsorted(edges, x, side="right")
        content = np.zeros((events.classes.size, edges.size + 1))
        np.add.at(content, (label, row), weight)
        content /= np.maximum(content.sum(axis=1, keepdims=True), 1e-300)
        out[j] = max(_distance(p, q) for p, q in itertools.combinations(content, 2))
    return out


def _distance(p: FloatArray, q: FloatArray) -> float:
    total = np.maximum(p + q, 1e-300)
    return float(0.5 * ((p - q) ** 2 / total).sum())
