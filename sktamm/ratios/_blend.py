"""From the members of an ensemble to one normalised log ratio, and its error.

    F_k = sum_i a_ki f_ki,    ln r_k = F_k - ln E_ref[exp F_k]

with a_ki = 1/M (mean) or the wifi weights. What training leaves unknown is a set of
known functions with random coefficients (`sktamm.base.RatioError`): for a mean, the
members' deviations f_ki - F_k, common to all sources; for wifi, the members with the
covariance of their weights. A member trained on a bootstrap of the sample differs from
the mean as much as the mean itself would between samples, one trained on a part of it
by a factor sqrt(M) more.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sktamm._numerics import FloatArray
from sktamm.ratios._calibration import Calibration, fit_calibration
from sktamm.ratios._sample import HeldOut
from sktamm.ratios._wifi import fit_joint_weights

__all__ = ["Blend", "fit_blend"]


@dataclass(frozen=True, eq=False)
class Blend:
    """Weights, normalisation, calibration and error of the members."""

    weights: FloatArray  # (n_sources, n_members), weights a
    log_norm: FloatArray  # (n_sources,), ln E_ref[exp F], before calibration
    calibration: Calibration  # What follows the normalisation
    # (n_sources * n_terms, n_sources * n_terms), covariance of the coefficients of
    # `RatioError`; empty for a single averaged member, whose error nothing shows
    covariance: FloatArray
    centred: bool  # Whether the functions of the error are deviations from the mean

    def log_ratio(self, members: NDArray[np.float32]) -> FloatArray:
        """Normalised log ratios, shape (n_rows, n_sources)."""
        values = np.einsum("nki,ki->nk", members, self.weights, dtype=float)
        return self.calibration.apply(values - self.log_norm)

    def deviations(self, members: NDArray[np.float32]) -> NDArray[np.float32]:
        """Functions of the error, shape (n_rows, n_sources, n_terms)."""
        if self.covariance.size == 0:
            return members[:, :, :0]
        if self.centred:
            return members - members.mean(axis=2, keepdims=True)
        return members


def fit_blend(
    held: HeldOut,
    kind: str,
    calibration: str | None,
    *,
    shared_sample: bool,
    drawn_weight: FloatArray | None = None,
) -> Blend:
    """Blend the members on held-out events.

    ``drawn_weight`` (n_rows,).
    """
    n_sources, n_members = held.members.shape[1:]
    weights = np.full((n_sources, n_members), 1.0 / n_members)
    covariance = np.zeros((0, 0))
    if kind == "wifi":
        weight = held.weight if drawn_weight is None else drawn_weight
        fit = fit_joint_weights(held.members, held.source, weight, n_sources)
        weights = fit.weights[:, :-1]
        terms = np.arange(n_sources * (n_members + 1)) % (n_members + 1) < n_members
        covariance = fit.covariance[np.ix_(terms, terms)]
    elif n_members > 1:
        size = 1.0 / (n_members - 1.0)
        scale = size if shared_sample else size / n_members
        covariance = np.kron(np.ones((n_sources, n_sources)), scale * np.eye(n_members))
    values = np.einsum("nki,ki->nk", held.members, weights, dtype=float)
    top = values.max(axis=0)
    log_norm = top + np.log(held.weight @ np.exp(values - top))
    fitted = fit_calibration(calibration, values - log_norm, held)
    return Blend(weights, log_norm, fitted, covariance, kind == "mean")
