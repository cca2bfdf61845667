"""Data and weighted simulated events in bins of a feature, for a display of mixtures.

A feature is binned by itself, whatever the estimator makes of it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sktamm._numerics import FloatArray
from sktamm.plotting._panels import Axis

__all__ = ["WeightedEvents", "feature_axis"]

# A figure as wide as a text shows some twenty bins; rare values at the ends would leave
# most of them empty. Rules of thumb.
_N_BINS = 24
_TAIL = 0.005


@dataclass(frozen=True, eq=False)
class WeightedEvents:
    """Events with their weights, to be drawn by `MixtureDisplay`.

    Attributes
    ----------
    X : ndarray of shape (n_events, n_features)
        Features.
    weight : ndarray of shape (n_events,)
        Weights.
    label : ndarray of int, shape (n_events,), or None
        Index of the class of each event; None for data.
    """

    X: FloatArray
    weight: FloatArray
    label: NDArray[np.intp] | None = None

    def content(self, j: int, axis: Axis, n_classes: int) -> FloatArray:
        """Sums of weights, (n_classes, n_bins)."""
        if self.label is None:
            return self._sums(j, axis, np.ones(len(self.X), bool))[None]
        return np.array(
            [self._sums(j, axis, self.label == c) for c in range(n_classes)]
        )

    def errors(self, j: int, axis: Axis) -> FloatArray:
        """Roots of the sums of squared weights, (n_bins,)."""
        squares = np.histogram(self.X[:, j], axis.edges, weights=self.weight**2)[0]
        return np.sqrt(squares)

    def _sums(self, j: int, axis: Axis, own: NDArray[np.bool_]) -> FloatArray:
        values, weight = self.X[own, j], self.weight[own]
        return np.histogram(values, axis.edges, weights=weight)[0].astype(float)


def feature_axis(name: str, *samples: FloatArray) -> Axis:
    """Bins in which the values of all samples but the rarest can be seen."""
    values = np.concatenate([sample[np.isfinite(sample)] for sample in samples])
    few = np.unique(values)
    if few.size <= _N_BINS:
        return Axis(name, _between(few))
    ends = [np.quantile(s[np.isfinite(s)], [_TAIL, 1 - _TAIL]) for s in samples]
    low, high = min(e[0] for e in ends), max(e[1] for e in ends)
    if low == high:
        low, high = few[0], few[-1]
    if np.all(few == np.round(few)):  # counts: as many whole numbers in every bin
        step = max(int(np.ceil((high - low + 1) / _N_BINS)), 1)
        return Axis(name, np.arange(low - 0.5, high + step, step))
    return Axis(name, np.linspace(low, high, _N_BINS + 1))


def _between(values: FloatArray) -> FloatArray:
    """Edges half way between the few values of a feature."""
    if values.size < 2:
        centre = values[0] if values.size else 0.0
        return np.array([centre - 0.5, centre + 0.5])
    middle = (values[1:] + values[:-1]) / 2
    ends = values[0] - (middle[0] - values[0]), values[-1] + (values[-1] - middle[-1])
    return np.concatenate([[ends[0]], middle, [ends[1]]])
