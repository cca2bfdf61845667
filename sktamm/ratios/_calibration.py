"""Calibration and closure of density ratios on events the classifier has not seen.

Temperature: ln r -> t ln r - ln mean exp(t ln r), with the t that separates the
sources best.
Isotonic: r_k -> E[ n_sources 1(event is of source k) | r_k ], which is the ratio itself
where it is calibrated. Closure: the pooled events reweighted by r_k against those of
source k, which are part of the pool, bin by bin.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from sklearn.isotonic import IsotonicRegression

from sktamm._numerics import FloatArray
from sktamm.learning import settled_weights
from sktamm.ratios._sample import HeldOut

__all__ = ["Calibration", "closure_table", "fit_calibration"]

_BINS = 10  # of equal content in every feature, as in a closure plot: a rule of thumb


@dataclass(frozen=True, eq=False)
class Calibration:
    """What follows the normalisation of the log ratios; nothing by default."""

    slope: float = 1.0  # Factor t
    shift: FloatArray | float = 0.0  # (n_sources,), log normalisation after the factor
    # One per source, or none
    curves: list[IsotonicRegression] = field(default_factory=list)
    floor: float = 0.0  # Smallest ratio

    def apply(self, log_ratio: FloatArray) -> FloatArray:
        """Calibrated log ratios."""
        if self.curves:
            columns = [
                np.maximum(curve.predict(log_ratio[:, k]), self.floor)
                for k, curve in enumerate(self.curves)
            ]
            return np.log(np.column_stack(columns)) - self.shift
        if self.slope == 1.0:
            return log_ratio
        return _tempered(log_ratio, self.slope) - self.shift


def fit_calibration(
    kind: str | None, log_ratio: FloatArray, held: HeldOut
) -> Calibration:
    """Fit a calibration on held-out events.

    ``log_ratio`` (n_rows, n_sources). Returns keeps E_ref[r_k] = 1.
    """
    if kind is None:
        return Calibration()
    if kind == "temperature":
        return _temperature(log_ratio, held)
    n_sources = log_ratio.shape[1]
    weight = settled_weights(held.X, held.source, held.weight)
    curves = []
    for k in range(n_sources):
        curve = IsotonicRegression(out_of_bounds="clip")
        own = n_sources * (held.source == k).astype(float)
        curves.append(curve.fit(log_ratio[:, k], own, weight))
    floor = n_sources / len(log_ratio)
    raw = Calibration(curves=curves, floor=floor).apply(log_ratio)
    shift = np.log(held.weight @ np.exp(raw))
    return Calibration(shift=shift, curves=curves, floor=floor)


def _temperature(log_ratio: FloatArray, held: HeldOut) -> Calibration:
    own = log_ratio[np.arange(len(log_ratio)), held.source]

    def loss(slope: float) -> float:
        mixture = logsumexp(slope * log_ratio, axis=1)
        return -float(held.weight @ (slope * own - mixture))

    found = minimize_scalar(loss, bounds=(0.2, 5.0), method="bounded")
    slope = float(found.x)
    shift = np.log(held.weight @ np.exp(_tempered(log_ratio, slope)))
    return Calibration(slope=slope, shift=shift)


def _tempered(log_ratio: FloatArray, slope: float) -> FloatArray:
    """Log ratios times a slope, relative to the mean density of their sources."""
    values = slope * log_ratio
    mixture = logsumexp(values, axis=1, keepdims=True) - np.log(values.shape[1])
    return np.asarray(values - mixture)


def closure_table(
    X: FloatArray, source: NDArray[np.intp], weight: FloatArray, log_ratio: FloatArray
) -> pd.DataFrame:
    """Closure of every ratio on labelled events.

    ``X`` (n_rows, n_features), ``source`` (n_rows,), ``weight`` (n_rows,),
    ``log_ratio`` (n_rows, n_sources). Returns columns normalisation, effective_size,
    largest_log_ratio, chi2_per_degree, p_value.
    """
    n_sources = log_ratio.shape[1]
    cells = [_quantile_bins(column) for column in X.T]
    rows = []
    for k in range(n_sources):
        share = weight * np.exp(log_ratio[:, k])
        change = share - n_sources * weight * (source == k)
        chi2, degrees = 0.0, 0
        for cell in cells:
            total = np.bincount(cell, change, minlength=_BINS)
            variance = np.bincount(cell, change**2, minlength=_BINS)
            filled = variance > 0
            chi2 += float((total[filled] ** 2 / variance[filled]).sum())
            degrees += max(int(filled.sum()) - 1, 0)
        rows.append(
            {
                "normalisation": share.sum(),
                "effective_size": share.sum() ** 2 / (share**2).sum(),
                "largest_log_ratio": log_ratio[:, k].max(),
                "chi2_per_degree": chi2 / max(degrees, 1),
                "p_value": stats.chi2.sf(chi2, degrees) if degrees else 1.0,
            }
        )
    return pd.DataFrame(rows)


def _quantile_bins(column: FloatArray) -> NDArray[np.intp]:
    edges = np.unique(np.quantile(column, np.linspace(0.0, 1.0, _BINS + 1)[1:-1]))
    return np.searchsorted(edges, column, side="right")
