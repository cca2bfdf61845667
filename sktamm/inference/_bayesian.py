"""Posterior of kappa: nested Laplace approximation or Hamiltonian Monte Carlo.

The prior of the fractions is uniform on the simplex, kappa ~ Beta(1, 1) for two
classes. ``laplace`` integrates the blend parameters by Laplace's method at every kappa
of a grid and is exact up to the shape of their conditional posterior; ``hmc`` samples
everything.
"""

from typing import Any

from sktamm._numerics import FloatArray
from sktamm.base import ComponentTable
from sktamm.inference._base import Answer, InferenceBase
from sktamm.inference._curve import kappa_curve, refine
from sktamm.inference._intervals import density_intervals, density_moments
from sktamm.mixture import MixtureModel

__all__ = ["BayesianInference"]


class BayesianInference(InferenceBase):
    """Posterior mean with an equal-tailed or shortest interval.

    Parameters
    ----------
    method : {"laplace", "hmc"}, default="laplace"
        How the posterior is computed.
    interval : {"equal_tailed", "shortest"}, default="equal_tailed"
        Kind of interval.
    max_iter : int, default=100
        Largest number of scoring iterations of a fit.
    batch_size : int, default=64
        Number of datasets handled at once.
    """

    def __init__(
        self,
        method: str = "laplace",
        interval: str = "equal_tailed",
        max_iter: int = 100,
        batch_size: int = 64,
    ):
        self.method = method
        self.interval = interval
        self.max_iter = max_iter
        self.batch_size = batch_size

    def _infer_batch(
        self,
        table: ComponentTable,
        model: MixtureModel,
        levels: FloatArray,
        datasets: slice,
        seeds: list[Any],
        *,
        informative: bool,
        bounded: bool,
    ) -> Answer:
        fit = self._fit(table, model, datasets)
        curve = kappa_curve(
            model,
            fit.data.rows,
            fit.optimum.theta,
            fit.covariance,
            (0.0, 1.0),
            "marginal",
        )
        fine, log_density = refine(curve.kappa, curve.marginal)
        mean, std = density_moments(fine, log_density)
        interval = density_intervals(fine, log_density, levels, self.interval)
        fit = self._fit_at(model, fit, mean)
        diagnostics = self._health(model, fit, mean, std)
        theta = fit.optimum.theta
        return Answer(
            mean, std, interval, theta, fine[:, ::10], log_density[:, ::10], diagnostics
        )
