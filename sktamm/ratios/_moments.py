"""Smooth moments of the simulations: what is known without any classifier.

The means of smooth functions psi over the events of a simulation are plain averages
over all of its events. Two things are made to agree with them:

* the reference sample, a small part of all events: its weights become
  m_j (1 + lambda . psi_j) so that E_ref[psi] = mean_k E_k[psi] (calibration of survey
  weights, Deville and Sarndal 1992);
* the learned ratios: r_k becomes r_k exp(lambda_k . psi) / Z so that E_ref[r_k psi] =
  E_k[psi], which leaves in the smooth directions of ln r_k nothing but the statistical
  error of the simulation, with covariance Cov_k(psi)^-1 / n_k.
"""

import itertools
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import PowerTransformer

from sktamm._numerics import FloatArray
from sktamm.functions import legendre_products, multi_orders, number_of_orders

__all__ = ["Coordinates", "Moments", "SmoothFunctions", "rake", "tilt"]

_SAMPLE = 20_000  # rows, a rule of thumb: enough for powers and ends
_TAIL = 1e-3  # beyond either end of [-1, 1], 20 rows of the sample
_BLOCK = 65_536  # as those of the ratios
# Rules of thumb: with fewer rows moments are noise, and a weight that changes by more
# than half is no correction.
_ROWS_PER_FUNCTION = 20
_LARGEST_CHANGE = 0.5
_NEWTON_STEPS = 4  # a safety bound: steps converge quadratically
_RIDGE = 1e-6  # of the mean eigenvalue, above rounding and below any statistics


class Coordinates:
    """Features made symmetric and scaled so that [-1, 1] holds all but the tails.

    A Yeo-Johnson transformation of every feature, then a linear map, cut at the ends.
    """

    def fit(self, X: FloatArray) -> "Coordinates":
        """Learn the transformation from events.

        ``X`` (n_events, n_features).
        """
        X = X[:: max(1, len(X) // _SAMPLE)]
        self.constant_ = np.ptp(X, axis=0) == 0
        self.mean_ = X.mean(axis=0)
        self.std_ = np.where(self.constant_, 1.0, X.std(axis=0))
        self.power_ = PowerTransformer()
        with warnings.catch_warnings():  # of extreme exponents, harmless here
            warnings.simplefilter("ignore")
            values = self.power_.fit_transform(self._standardised(X))
        ends = np.quantile(values, [_TAIL, 1.0 - _TAIL], axis=0)
        self.middle_ = ends.mean(axis=0)
        half = 0.5 * np.ptp(ends, axis=0)
        self.half_ = np.where(half > 0, half, 1.0)
        return self

    def _standardised(self, X: FloatArray) -> FloatArray:
        """Without unit and origin, on which the power transformation depends."""
        values = (X - self.mean_) / self.std_
        return np.where(self.constant_, 0.0, values)

    def transform(self, X: FloatArray) -> FloatArray:
        """Coordinates of events, shape (n_events, n_features)."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = self.power_.transform(self._standardised(X))
        return np.clip((values - self.middle_) / self.half_, -1.0, 1.0)


class SmoothFunctions:
    """Legendre products of coordinates, of the highest degree that is not too many.

    Parameters
    ----------
    coordinates : Coordinates
        Fitted coordinates.
    degree : int
        Largest total degree.
    limit : int
        Largest number of functions; where the second degree has more, only powers of
        single coordinates are used.
    """

    def __init__(self, coordinates: Coordinates, degree: int, limit: int):
        self.coordinates = coordinates
        d = coordinates.half_.size
        for total in range(degree, 1, -1):
            if number_of_orders(d, total) <= limit:
                orders = multi_orders(d, total)
                break
        else:
            power = max(1, min(degree, limit // d))
            orders = _single_orders(d, power)
        self.orders = orders

    @property
    def size(self) -> int:
        """Number of functions."""
        return len(self.orders)

    def evaluate(self, X: FloatArray) -> FloatArray:
        """Values at events, shape (n_events, n_functions)."""
        return legendre_products(self.coordinates.transform(X), self.orders)


def _single_orders(d: int, degree: int) -> list[tuple[int, ...]]:
    pairs = itertools.product(range(1, degree + 1), range(d))
    return [tuple(power if i == j else 0 for i in range(d)) for power, j in pairs]


@dataclass(frozen=True, eq=False)
class Moments:
    """Means of smooth functions over all events of every source."""

    functions: SmoothFunctions  # The functions
    mean: FloatArray  # (n_sources, n_functions), means
    # (n_sources, n_functions, n_functions), covariances of one event
    covariance: FloatArray
    size: FloatArray  # (n_sources,), effective numbers of events

    @classmethod
    def of(
        cls,
        functions: SmoothFunctions,
        X: FloatArray,
        source: NDArray[np.intp],
        weight: FloatArray | None,
    ) -> "Moments":
        """Moments of labelled events, whose sources ascend.

        ``X`` (n_events, n_features), ``source`` (n_events,), ``weight`` (n_events,).
        Returns means, covariances and effective sizes.
        """
        ends = np.append(np.flatnonzero(np.diff(source)) + 1, len(source))
        starts = np.append(0, ends[:-1])
        parts = [
            _one_source(functions, X, weight, a, b)
            for a, b in zip(starts, ends, strict=True)
        ]
        mean, covariance, size = (
            np.array(arrays) for arrays in zip(*parts, strict=True)
        )
        return cls(functions, mean, covariance, size)

    def take(self, sources: NDArray[np.intp]) -> "Moments":
        """Moments of some sources."""
        parts = (self.mean[sources], self.covariance[sources], self.size[sources])
        return Moments(self.functions, *parts)

    def select(self, columns: NDArray[np.intp]) -> "Moments":
        """Moments of some of the functions."""
        square = self.covariance[:, columns[:, None], columns]
        return Moments(self.functions, self.mean[:, columns], square, self.size)

    def covariance_of_mean(self) -> FloatArray:
        """Covariance of the means under the equal mixture of the sources."""
        share = 1.0 / self.size / self.size.size**2
        return np.einsum("k,kij->ij", share, self.covariance)


def _one_source(
    functions: SmoothFunctions,
    X: FloatArray,
    weight: FloatArray | None,
    start: int,
    end: int,
) -> tuple[FloatArray, FloatArray, float]:
    n = functions.size
    first, second = np.zeros(n), np.zeros((n, n))
    total = squares = 0.0
    for a in range(start, end, _BLOCK):
        rows = slice(a, min(a + _BLOCK, end))
        values = functions.evaluate(X[rows])
        w = np.ones(len(values)) if weight is None else weight[rows]
        first += w @ values
        second += (w[:, None] * values).T @ values
        total += w.sum()
        squares += (w**2).sum()
    mean = first / total
    return mean, second / total - np.outer(mean, mean), total**2 / squares


def rake(
    weight: FloatArray, values: FloatArray, mean: FloatArray
) -> tuple[FloatArray, bool]:
    """Change weights a little so that the means of functions are given ones.

    ``weight`` (n_rows,), ``values`` (n_rows, n_functions), ``mean`` (n_functions,) ->
    (n_rows,).
    """
    if len(values) < _ROWS_PER_FUNCTION * values.shape[1]:
        return weight, False
    old = weight @ values
    centred = values - old
    gram = (weight[:, None] * centred).T @ centred
    gram += _RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    change = centred @ np.linalg.solve(gram, mean - old)
    if np.abs(change).max() > _LARGEST_CHANGE:
        return weight, False
    return weight * (1.0 + change), True


def tilt(
    log_ratio: NDArray[Any], weight: FloatArray, values: FloatArray, moments: Moments
) -> tuple[FloatArray, FloatArray]:
    """Tilt log ratios so that they reproduce the moments of their sources.

    ``log_ratio`` (n_rows, n_sources), ``weight`` (n_rows,), ``values`` (n_rows,
    n_functions) -> ``slope`` (n_sources, n_functions), ``covariance`` (n_sources,
    n_functions, n_functions).
    """
    n_sources, n = moments.mean.shape
    slope, covariance = np.zeros((n_sources, n)), np.zeros((n_sources, n, n))
    enough = np.flatnonzero(moments.size >= _ROWS_PER_FUNCTION * n)
    if not enough.size:
        return slope, covariance
    metric = moments.covariance[enough]
    scale = _RIDGE * np.trace(metric, axis1=1, axis2=2) / n
    metric = metric + scale[:, None, None] * np.eye(n)
    logs = log_ratio[:, enough]
    mass = weight[:, None] * np.exp(logs - logs.max(axis=0))
    inverse = np.linalg.inv(metric)
    found = _solve_tilts(mass, values, moments.mean[enough], inverse)
    size = np.sqrt(np.einsum("ki,kij,kj->k", found, metric, found))
    good = np.isfinite(size) & (size < 1.0)
    slope[enough[good]] = found[good]
    covariance[enough[good]] = inverse[good] / moments.size[enough[good], None, None]
    return slope, covariance


@np.errstate(over="ignore", invalid="ignore")
def _solve_tilts(
    mass: FloatArray, values: FloatArray, mean: FloatArray, inverse: FloatArray
) -> FloatArray:
    """Solve E[psi] = mean by Newton steps with the covariances of the sources."""
    slope = np.zeros_like(mean)
    for _ in range(_NEWTON_STEPS):
        first, total = np.zeros_like(mean), np.zeros(len(mean))
        for start in range(0, len(values), _BLOCK):
            rows = slice(start, start + _BLOCK)
            tilted = mass[rows] * np.exp(values[rows] @ slope.T)
            first += tilted.T @ values[rows]
            total += tilted.sum(axis=0)
        slope += np.einsum("kij,kj->ki", inverse, mean - first / total[:, None])
    return slope
