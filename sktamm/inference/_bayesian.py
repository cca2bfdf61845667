"""Posterior of kappa: nested Laplace approximation or Hamiltonian Monte Carlo.

The prior of the fractions is uniform on the simplex. ``laplace`` integrates the blend
parameters by Laplace's method at every kappa of a grid, or, with three or more classes,
at points on the simplex of the fractions. ``hmc`` samples everything.
"""

from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np

from sktamm._numerics import FloatArray, positive_definite
from sktamm._sklearn import at_least, one_of, positive
from sktamm.base import ComponentTable
from sktamm.inference._base import (
    ROUNDING,
    Answer,
    Batch,
    Fit,
    InferenceBase,
    made_regular,
)
from sktamm.inference._intervals import (
    broadened,
    density_intervals,
    density_moments,
    draw_intervals,
    smoothed_density,
)
from sktamm.inference._laplace_error import laplace_error
from sktamm.inference._optimise import maximise
from sktamm.inference._sampling import PosteriorDraws, sample_posterior
from sktamm.inference._simplex import OnSimplex
from sktamm.inference._targets import free_fractions, posterior_space
from sktamm.inference._weighing import weighed_fractions
from sktamm.mixture import MixtureModel

__all__ = ["BayesianInference"]

# Effective points of 2 048 on the simplex: a rule of thumb; 350 to 1 400 were seen.
_FEW_POINTS = 50


class BayesianInference(InferenceBase):
    """Posterior mean with a shortest or equal-tailed interval.

    Parameters
    ----------
    method : {"auto", "laplace", "hmc"}, default="auto"
        How the posterior is computed. "auto" is "laplace" for unbinned data and for the
        exponential form with two classes, and "hmc" otherwise.
    interval : {"equal_tailed", "shortest"}, default="shortest"
        Kind of interval.
    n_chains : int, default=12
        Chains per dataset.
    n_warmup : int, default=80
        Iterations per chain that adapt step size and metric.
    n_draws : int, default=80
        Draws per chain before the first check; chains go on in rounds of as many.
    max_draws : int, default=2000
        Draws per chain after which a dataset is given up and flagged.
    min_ess : float, default=400
        Bulk and tail effective sample size of kappa that ends the sampling, with R-hat
        below 1.01.
    max_iter : int, default=100
        Largest number of scoring iterations of a fit.
    batch_size : int, default=25
        Number of datasets handled at once.
    discrepancy : {"scale"} or None, default=None
        "scale" widens the interval where the p-value of the blend or of the rows is
        below .001, by a common factor on the widths of the priors or on the errors of
        the rows; the estimate stays.
    device : {"cpu", "torch", "cuda"}, default="cpu"
        Where log posteriors are summed and chains run: by NumPy on the
        processor, by PyTorch on a CUDA device, or, to compare, by PyTorch on the
        processor. Results agree within rounding, chains until rounding grows.

    References
    ----------
    Tierney and Kadane (1986) for the nested Laplace approximation; Vehtari et al.,
    arXiv:1903.08008, for R-hat and effective sample sizes.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.inference import BayesianInference
    >>> tamm = BinnedTopicTAMM(inference=BayesianInference(method="hmc"))
    >>> tamm.get_params()["inference__method"]
    'hmc'
    """

    has_posterior = True
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "method": [one_of("auto", "laplace", "hmc")],
        "interval": [one_of("equal_tailed", "shortest")],
        "n_chains": [at_least(1)],
        "n_warmup": [at_least(1)],
        "n_draws": [at_least(4)],  # to compare halves
        "max_draws": [at_least(1)],
        "min_ess": [positive()],
        **InferenceBase._parameter_constraints,
    }

    def __init__(
        self,
        method: Literal["auto", "hmc", "laplace"] = "auto",
        interval: Literal["equal_tailed", "shortest"] = "shortest",
        n_chains: int = 12,
        n_warmup: int = 80,
        n_draws: int = 80,
        max_draws: int = 2000,
        min_ess: float = 400.0,
        max_iter: int = 100,
        batch_size: int = 25,
        discrepancy: str | None = None,
        device: Literal["cpu", "torch", "cuda"] = "cpu",
    ):
        self.method = method
        self.interval = interval
        self.n_chains = n_chains
        self.n_warmup = n_warmup
        self.n_draws = n_draws
        self.max_draws = max_draws
        self.min_ess = min_ess
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.discrepancy = discrepancy
        self.device = device

    def _infer_batch(self, batch: Batch) -> Answer:
        fit, model = self._fit(batch), batch.model
        method = self._method_of(model, batch.table.binned)
        extra, split = self._extra_variance(batch, fit)
        answer = self._sample
        if method == "laplace":
            answer = self._laplace if model.n_classes == 2 else self._weigh
        return answer(batch, fit, extra, split)

    def _method_of(self, model: MixtureModel, binned: bool) -> str:
        """What "auto" stands for."""
        if self.method != "auto":
            return self.method
        normal = not model.is_linear and model.n_classes == 2
        return "laplace" if normal or not binned else "hmc"

    def _takes_chains(self, model: MixtureModel, table: ComponentTable) -> bool:
        return self._method_of(model, table.binned) == "hmc"

    def _fit(self, batch: Batch) -> Fit:
        """Maximum over the simplex of the density in log ratios of the fractions."""
        model = batch.model
        data, first = self._prepared(batch)
        simplex = OnSimplex(model)
        optimum = maximise(simplex, first, data.rows, max_iter=self.max_iter)
        optimum = self._called_back(model, simplex, first, optimum, data)
        precision = simplex.precision(optimum.theta, data.rows)
        singular = ~positive_definite(precision, ROUNDING)
        precision[singular] = made_regular(precision[singular])
        spread = np.asarray(np.linalg.inv(precision), float)
        covariance = simplex.covariance(optimum.theta, spread)
        optimum = replace(optimum, theta=simplex.theta(optimum.theta))
        return Fit.at(model, optimum, data, covariance, singular)

    def _laplace(
        self, batch: Batch, fit: Fit, extra: FloatArray, split: dict[str, np.ndarray]
    ) -> Answer:
        curve = self._curve(fit, (0.0, 1.0), "marginal")
        fit = fit.where_known(curve.known)
        refined = curve.refine("marginal")
        error = laplace_error(fit.model, fit.data.rows, curve, refined, extra)
        fine, log_density = broadened(*refined, extra)
        mean = density_moments(fine, log_density)[0]
        fit = self._fit_at(fit, mean[:, None])
        known = {"laplace_error": error} | split
        return self._from_density(batch, fit, mean, (fine, log_density), known)

    def _weigh(
        self, batch: Batch, fit: Fit, extra: FloatArray, split: dict[str, np.ndarray]
    ) -> Answer:
        """Laplace's method for the blends, importance sampling for the fractions."""
        parts = [
            weighed_fractions(fit.model, fit.data.rows.take(np.array([b])), theta)
            for b, theta in enumerate(fit.optimum.theta)
        ]
        curves = [
            smoothed_density(fractions[:, 0], weight, variance)
            for (fractions, weight), variance in zip(parts, extra, strict=True)
        ]
        fine, log_density = (np.stack(v) for v in zip(*curves, strict=True))
        mean = np.array([weight @ fractions for fractions, weight in parts])
        fit = self._fit_at(fit, mean)
        ess = np.array([1.0 / (weight**2).sum() for _, weight in parts])
        known = {"ess_bulk": ess, "poor_sampling": ess < _FEW_POINTS} | split
        return self._from_density(batch, fit, mean[:, 0], (fine, log_density), known)

    def _from_density(
        self,
        batch: Batch,
        fit: Fit,
        mean: FloatArray,
        curve: tuple[FloatArray, FloatArray],
        known: dict[str, np.ndarray],
    ) -> Answer:
        """Answer of densities of kappa on grids (n_fits, n_points)."""
        std = density_moments(*curve)[1]
        return Answer(
            kappa=mean,
            std=std,
            interval=density_intervals(*curve, batch.levels, self.interval),
            theta=fit.optimum.theta,
            curve_kappa=curve[0][:, ::10],
            curve_log_density=curve[1][:, ::10],
            diagnostics=self._health(fit, std) | known,
        )

    def _sample(
        self, batch: Batch, fit: Fit, extra: FloatArray, split: dict[str, np.ndarray]
    ) -> Answer:
        model, seeds = batch.model, batch.seeds
        space = posterior_space(model, fit.data.rows, fit.optimum.theta)
        posterior = sample_posterior(
            space.target,
            space.start,
            space.covariance,
            seeds,
            monitor=lambda position: free_fractions(model, position),
            min_ess=self.min_ess,
            n_chains=self.n_chains,
            n_warmup=self.n_warmup,
            n_draws=self.n_draws,
            max_draws=self.max_draws,
            batch_size=len(seeds),
            n_leapfrog=space.n_leapfrog,
            target_acceptance=space.target_acceptance,
            xp=model.xp,
        )
        kappa = [
            _jittered(values[:, :, 0], variance, seed)
            for values, variance, seed in zip(
                posterior.values, extra, seeds, strict=True
            )
        ]
        mean = np.array([values.mean(axis=(0, 1)) for values in posterior.values])
        mean[:, 0] = [draws.mean() for draws in kappa]
        std = np.array([draws.std(ddof=1) for draws in kappa])
        ends = [
            draw_intervals(d.reshape(1, -1), batch.levels, self.interval) for d in kappa
        ]
        curves = [_histogram(draws) for draws in kappa]
        fit = self._fit_at(fit, mean)
        health = self._health(fit, std)
        return Answer(
            kappa=mean[:, 0],
            std=std,
            interval=np.concatenate(ends),
            theta=fit.optimum.theta,
            curve_kappa=np.stack([curve[0] for curve in curves]),
            curve_log_density=np.stack([curve[1] for curve in curves]),
            diagnostics=health | _chain_diagnostics(posterior) | split,
            draws=tuple(kappa),
        )


def _chain_diagnostics(posterior: PosteriorDraws) -> dict[str, np.ndarray]:
    return {
        "r_hat": posterior.rhat,
        "ess_bulk": posterior.ess_bulk,
        "ess_tail": posterior.ess_tail,
        "n_divergent": posterior.n_divergent,
        "poor_sampling": ~posterior.converged,
    }


def _jittered(draws: FloatArray, variance: float, seed: Any) -> FloatArray:
    """Draws of kappa with the error of what is not the target, within [0, 1]."""
    if variance == 0.0:
        return draws
    rng = np.random.default_rng(seed.spawn(1)[0])
    moved = draws + np.sqrt(variance) * rng.standard_normal(draws.shape)
    moved = np.abs(moved)  # reflected at the bounds
    return np.where(moved > 1.0, 2.0 - moved, moved)


def _histogram(draws: FloatArray, n_points: int = 61) -> tuple[FloatArray, FloatArray]:
    """Log density of draws on an equidistant grid, with maximum zero."""
    low, high = draws.min(), draws.max()
    counts, edges = np.histogram(
        draws, bins=n_points, range=(low, max(high, low + 1e-9))
    )
    log_density = np.log(np.maximum(counts, 0.1) / counts.max())
    return 0.5 * (edges[1:] + edges[:-1]), log_density
