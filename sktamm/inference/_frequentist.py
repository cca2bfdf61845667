"""Penalised maximum likelihood with sandwich errors, Wald and profile intervals.

    V = A^-1 B A^-1,    A = -d2 L,    B = sum_i v_i s_i s_i' [+ prior precision]

with the row scores s_i = d ln p_i / d theta and the variances v_i of the row contents.
A prior that is knowledge enters B; the published ridge (arXiv:2604.02219) does not. The
fall of the profile likelihood that ends an interval is z^2/2 times A_{k|eta} V_kk.
"""

from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np

from sktamm._numerics import FloatArray
from sktamm._sklearn import one_of
from sktamm.inference._base import (
    Answer,
    Batch,
    Fit,
    InferenceBase,
    local_fit,
    made_regular,
)
from sktamm.inference._fit import variance_parts
from sktamm.inference._intervals import normal_quantile, ratio_intervals
from sktamm.inference._optimise import maximise
from sktamm.inference._simplex import OnSimplex
from sktamm.mixture import RowData

__all__ = ["FrequentistInference"]


class FrequentistInference(InferenceBase):
    """Maximum likelihood estimate with a Wald or profile-likelihood interval.

    Parameters
    ----------
    interval : {"wald", "profile"}, default="profile"
        Kind of interval.
    covariance : {"sandwich", "hessian"}, default="sandwich"
        Covariance behind the standard error.
    max_iter : int, default=100
        Largest number of scoring iterations of a fit.
    batch_size : int, default=64
        Number of datasets fitted at once.
    discrepancy : {"scale"} or None, default=None
        "scale" widens the interval where the p-value of the blend or of the rows is
        below .001, by a common factor on the widths of the priors or on the errors of
        the rows; the estimate stays.
    device : {"cpu", "torch", "cuda"}, default="cpu"
        Where log likelihoods and their derivatives are summed: by NumPy on the
        processor, by PyTorch on a CUDA device, or, to compare, by PyTorch on the
        processor. Results agree within rounding.

    Examples
    --------
    >>> from sktamm.inference import FrequentistInference
    >>> FrequentistInference(interval="wald").interval
    'wald'
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "interval": [one_of("wald", "profile")],
        "covariance": [one_of("sandwich", "hessian")],
        **InferenceBase._parameter_constraints,
    }

    def __init__(
        self,
        interval: Literal["profile", "wald"] = "profile",
        covariance: Literal["hessian", "sandwich"] = "sandwich",
        max_iter: int = 100,
        batch_size: int = 64,
        discrepancy: str | None = None,
        device: Literal["cpu", "torch", "cuda"] = "cpu",
    ):
        self.interval = interval
        self.covariance = covariance
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.discrepancy = discrepancy
        self.device = device

    def _infer_batch(self, batch: Batch) -> Answer:
        bounds = (0.0, 1.0) if batch.bounded else (-np.inf, np.inf)
        fit = self._fit(batch)
        curve = self._curve(fit, bounds, "profile")
        fit = fit.where_known(curve.known)
        fine, log_profile = curve.refine("profile")
        kappa = fit.optimum.theta[:, 0]
        extra, split = self._extra_variance(batch, fit)
        variance = self._variance(fit, batch.informative) + extra
        std = np.sqrt(variance)
        scale = variance / fit.covariance[:, 0, 0]
        if self.interval == "profile":
            drops = 0.5 * normal_quantile(batch.levels) ** 2 * scale[:, None]
            interval = ratio_intervals(fine, log_profile, drops, kappa)
        else:
            half = std[:, None] * normal_quantile(batch.levels)
            interval = np.stack([kappa[:, None] - half, kappa[:, None] + half], axis=1)
        diagnostics = self._health(fit, std) | split
        if batch.bounded:
            interval = np.clip(interval, 0.0, 1.0)
        theta = fit.optimum.theta
        shown = log_profile[:, ::10] / np.maximum(scale, 1e-12)[:, None]
        return Answer(kappa, std, interval, theta, fine[:, ::10], shown, diagnostics)

    def _fit(self, batch: Batch) -> Fit:
        """Joint maximum of real fractions, or at the bound of kappa it lies beyond."""
        model = batch.model
        data, first = self._prepared(batch)
        start = OnSimplex(model).theta(first)
        optimum = maximise(model, start, data.rows, max_iter=self.max_iter)
        optimum = self._called_back(model, model, start, optimum, data)
        fit = self._with_errors_inside(local_fit(model, optimum, data))
        inside = np.clip(fit.mode, 0.0, 1.0) if batch.bounded else fit.mode
        beyond = inside != fit.mode
        if beyond.any():
            at = self._fit_at(fit, inside[:, None])
            converged = np.where(beyond, at.at_kappa, fit.optimum.converged)
            optimum = replace(at.optimum, converged=converged)
            fit = replace(at, optimum=optimum, mode=inside)
        return _expecting(fit)

    def _with_errors_inside(self, fit: Fit) -> Fit:
        """Errors at the nearest bound of fits that end where some density vanishes."""
        kappa = fit.optimum.theta[:, 0]
        at_edge = ~fit.optimum.converged & ((kappa < 0.0) | (kappa > 1.0))
        if not at_edge.any():
            return fit
        inside = self._fit_at(fit, np.clip(kappa, 0.0, 1.0)[:, None])
        at_edge &= inside.at_kappa
        column = at_edge[:, None, None]
        optimum = replace(fit.optimum, converged=fit.optimum.converged | at_edge)
        return replace(
            fit,
            optimum=optimum,
            covariance=np.where(column, inside.covariance, fit.covariance),
            singular=fit.singular & ~at_edge,
            local=np.where(at_edge[:, None], inside.local, fit.local),
        )

    def _variance(self, fit: Fit, informative: bool) -> FloatArray:
        """Variance of kappa."""
        if self.covariance == "hessian":
            return fit.covariance[:, 0, 0]
        rows, blend = variance_parts(fit)
        return rows + blend if informative else rows


def _expecting(fit: Fit) -> Fit:
    """Errors of fits at a bound of kappa from what the rows expect there.

    An empty row is information, but none that observed contents know of.
    """
    model, pressed = fit.model, np.isin(fit.local[:, 0], (0.0, 1.0))
    # events expect nothing of their own
    if not (pressed.any() and fit.data.unit.any()):
        return fit
    mean = fit.data.unit * np.maximum(model.row_density(fit.local), 0.0)
    information = model.step_terms(fit.local, RowData(mean, fit.data.unit))[2]
    covariance = np.linalg.inv(made_regular(information))
    column = pressed[:, None]
    return replace(
        fit,
        covariance=np.where(column[:, :, None], covariance, fit.covariance),
        data=replace(fit.data, variance=np.where(column, mean, fit.data.variance)),
    )
