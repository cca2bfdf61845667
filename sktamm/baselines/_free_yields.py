"""Likelihood of the yields of all templates, whose statistics are limited.

With mu = sum_k y_k t_k of yields y >= 0 and its variance v = sum_k y_k^2 v_k, the
statistics of the templates enter by one factor b per bin, profiled in closed form; with
k = mu^2 / v (Dembinski and Abdelmotteleb, arXiv:2206.12346, "da")

    -2 ln L = 2 sum [n ln(n / mu) - (n + k) ln b],    b = (n + k) / (mu + k),

or (Conway, arXiv:1103.0354, "jsc") with p = (1 - v / mu) / 2, b = p + sqrt(p^2 + n / k)

    -2 ln L = 2 sum [n ln(n / (mu b)) + mu b - n] + sum k (b - 1)^2.

Weighted data are scaled to counts bin by bin as in iminuit (Bohm and Zech).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sktamm._numerics import FloatArray

__all__ = ["FreeYields"]

_TINY = 1e-100  # no expectation vanishes, and its square does not underflow
# Templates are never known better than this relative variance, so that what is
# impossible without a template stays impossible: k is finite where mu vanishes.
_SHARP = 1e-12
_RIDGE = 1e-6  # rule of thumb: dependent templates are told apart that much


@dataclass(frozen=True, eq=False)
class FreeYields:
    """-2 ln L of one dataset as a function of yields in units of its events."""

    n: FloatArray  # (n_bins,), counts, or sums of weights scaled to counts
    # (n_templates, n_bins): expected counts and their variances at a yield of one unit.
    shape: FloatArray
    variance: FloatArray
    signal: NDArray[np.bool_]  # (n_templates,)
    method: str  # "da" or "jsc"
    total: float  # the unit of the yields: sum of weights of the dataset

    @classmethod
    def from_contents(
        cls,
        data: FloatArray,
        templates: FloatArray,
        signal: NDArray[np.bool_],
        method: str,
    ) -> "FreeYields":
        """Read sums of weights and of squared weights, on the last axis."""
        filled = templates[:, :, 0].any(axis=0)
        content, square = data[filled].T
        known = square > 0
        scale = np.ones(content.size)
        scale[known] = np.abs(content[known]) / square[known]
        scale[~known] = np.median(scale[known]) if known.any() else 1.0
        total = float(data[:, 0].sum())
        unit = scale * total / templates[:, :, 0].sum(axis=1, keepdims=True)
        return cls(
            content * scale,
            templates[:, filled, 0] * unit,
            templates[:, filled, 1] * unit**2,
            signal,
            method,
            total,
        )

    def value(self, yields: FloatArray) -> tuple[float, FloatArray]:
        """-2 ln L and its gradient."""
        mu = np.maximum(yields @ self.shape, _TINY)
        v = np.maximum(yields**2 @ self.variance, _SHARP * mu**2)
        cost = _COSTS[self.method]
        value, by_mu, by_v = cost(self.n, mu, v)
        slope = self.shape @ by_mu + 2.0 * yields * (self.variance @ by_v)
        return float(value.sum()), slope

    def information(self, yields: FloatArray) -> FloatArray:
        """Expected curvature of -2 ln L, (n_templates, n_templates)."""
        mu = np.maximum(yields @ self.shape, _TINY)
        v = np.maximum(yields**2 @ self.variance, _SHARP * mu**2)
        root = self.shape * np.sqrt(2.0 / (mu + v))
        return np.asarray(root @ root.T) * (1.0 + _RIDGE * np.eye(len(root)))

    def fraction(self, yields: FloatArray) -> float:
        """Share of the signal in the yields."""
        return float(yields[self.signal].sum() / yields.sum())

    def with_fraction(self, yields: FloatArray, kappa: float | None) -> FloatArray:
        """Yields of the same sum and another signal share, if one is asked for."""
        if kappa is None:
            return yields
        out = np.empty_like(yields)
        total = yields.sum()
        for rows, share in ((self.signal, kappa), (~self.signal, 1.0 - kappa)):
            own = yields[rows]
            equal = np.full(own.size, 1.0 / own.size)
            out[rows] = total * share * (own / own.sum() if own.any() else equal)
        return out


def _da(n: FloatArray, mu: FloatArray, v: FloatArray) -> tuple[FloatArray, ...]:
    """Terms and their derivatives by mu and v, after Dembinski and Abdelmotteleb."""
    k = mu**2 / v
    b = (n + k) / (mu + k)
    log_b = np.log(np.maximum(b, _TINY))
    value = _xlogy(n, n / mu) - (n + k) * log_b
    by_k = b - 1.0 - log_b
    by_mu = b - n / mu + 2.0 * k / mu * by_k
    return 2.0 * value, 2.0 * by_mu, -2.0 * k / v * by_k


def _jsc(n: FloatArray, mu: FloatArray, v: FloatArray) -> tuple[FloatArray, ...]:
    """Terms and their derivatives by mu and v, after Conway."""
    k = mu**2 / v
    p = 0.5 - 0.5 * mu / k
    b = p + np.sqrt(p**2 + n / k)
    value = 2.0 * (_xlogy(n, n / np.maximum(mu * b, _TINY)) + mu * b - n)
    distance = (b - 1.0) ** 2
    by_mu = 2.0 * (b - n / mu) + 2.0 * k / mu * distance
    return value + k * distance, by_mu, -k / v * distance


_COSTS: dict[str, Callable[..., tuple[FloatArray, ...]]] = {"da": _da, "jsc": _jsc}


def _xlogy(n: FloatArray, x: FloatArray) -> FloatArray:
    return np.where(n > 0, n * np.log(np.where(n > 0, x, 1.0)), 0.0)
