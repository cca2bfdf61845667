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
from sktamm.base import RatioError
from sktamm.components._calibration import Calibration, fit_calibration
from sktamm.components._ratio_sample import HeldOut
from sktamm.components._wifi import fit_joint_weights

__all__ = ["Blend", "fit_blend"]


@dataclass(frozen=True, eq=False)
class Blend:
    """Weights, normalisation, calibration and error of the members.

    Attributes
    ----------
    weights : ndarray of shape (n_sources, n_members)
        Weights a.
    log_norm : ndarray of shape (n_sources,)
        ln E_ref[exp F], before calibration.
    calibration : Calibration
        What follows the normalisation.
    covariance : ndarray or None
        Covariance of the coefficients of `RatioError`; None for a single member, whose
        error nothing shows.
    centred : bool
        Whether the functions of the error are deviations from the mean.
    """

    weights: FloatArray
    log_norm: FloatArray
    calibration: Calibration
    covariance: FloatArray | None
    centred: bool

    def log_ratio(self, members: NDArray[np.float32]) -> FloatArray:
        """Normalised log ratios, shape (n_rows, n_sources)."""
        values = np.einsum("nki,ki->nk", members, self.weights, dtype=float)
        return self.calibration.apply(values - self.log_norm)

    def error(
        self, rows: NDArray[np.float32], reference: NDArray[np.float32]
    ) -> RatioError | None:
        """Error of the ratios at rows and reference rows.

        Parameters
        ----------
        rows, reference : ndarray of shape (n, n_sources, n_members)
            Members at the rows of the target and of the reference.

        Returns
        -------
        error : RatioError or None
            None for a single averaged member.
        """
        if self.covariance is None:
            return None
        if self.centred:
            rows = rows - rows.mean(axis=2, keepdims=True)
            reference = reference - reference.mean(axis=2, keepdims=True)
        return RatioError(rows, reference, self.covariance)


def fit_blend(
    held: HeldOut, kind: str, calibration: str | None, *, shared_sample: bool
) -> Blend:
    """Blend the members on held-out events.

    Parameters
    ----------
    held : HeldOut
        Reference rows with probabilities as weights.
    kind : {"mean", "wifi"}
        How members are weighted.
    calibration : {"temperature", "isotonic"} or None
        Calibration of the result.
    shared_sample : bool
        Whether members were trained on bootstraps of one sample.

    Returns
    -------
    blend : Blend
        Fitted blend.
    """
    n_sources, n_members = held.members.shape[1:]
    weights = np.full((n_sources, n_members), 1.0 / n_members)
    covariance = None
    if kind == "wifi":
        fit = fit_joint_weights(held.members, held.source, held.weight, n_sources)
        weights = fit.weights[:, :-1]
        terms = np.arange(n_sources * (n_members + 1)) % (n_members + 1) < n_members
        covariance = fit.covariance[np.ix_(terms, terms)]
    elif n_members > 1:
        size = 1.0 / (n_members - 1.0)
        scale = size if shared_sample else size / n_members
        covariance = np.kron(
            np.ones((n_sources, n_sources)), scale * np.eye(n_members)
        )
    values = np.einsum("nki,ki->nk", held.members, weights, dtype=float)
    top = values.max(axis=0)
    log_norm = top + np.log(held.weight @ np.exp(values - top))
    fitted = fit_calibration(calibration, values - log_norm, held)
    return Blend(weights, log_norm, fitted, covariance, kind == "mean")
