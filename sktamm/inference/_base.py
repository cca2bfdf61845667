"""What both statistics share: batches, first fit, covariance, fit health.

Batches have a fixed size: results do not depend on how many workers share them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from sklearn.base import BaseEstimator
from sklearn.utils import gen_batches

from sktamm._arrays import DEVICES, namespace_on
from sktamm._numerics import FloatArray, one_blas_thread
from sktamm._sklearn import at_least, check_parameters, one_of
from sktamm.base import ComponentTable
from sktamm.inference._curve import KappaCurve, kappa_curve
from sktamm.inference._data import FitData, discounted, undiscounted
from sktamm.inference._discrepancy import discrepancy, refuse_unjudged, with_dataset
from sktamm.inference._fit import (
    ROUNDING,
    Fit,
    local_fit,
    made_regular,
    prior_tension,
    rows_described,
)
from sktamm.inference._optimise import Objective, Optimum, maximise
from sktamm.inference._scan import event_curve
from sktamm.inference._simplex import OnSimplex
from sktamm.mixture import MixtureModel, placed

__all__ = [
    "ROUNDING",
    "Answer",
    "Batch",
    "Fit",
    "InferenceBase",
    "local_fit",
    "made_regular",
]

_NEAR_BOUND = 1.0  # standard errors, from where on they are asymmetric
# Of histograms. Threads of fits wait for each other: two were 1.8 times as fast as one
# where two processes were 2.0 (bench_posterior.py workers), 16 took 7.9 s for 300
# histograms and one 13.6 (bench_gpu.py infer, on 16 cores). Processes take five seconds
# to start. Chains take many small steps: two threads took as long as one.
_MANY_DATASETS = 1000


@dataclass(frozen=True, eq=False)
class Answer:
    """Result of the inference for a batch of datasets."""

    kappa: FloatArray  # (n_datasets,)
    std: FloatArray  # (n_datasets,), standard error or posterior standard deviation
    interval: FloatArray  # (n_datasets, 2, n_levels), lower and upper ends
    theta: FloatArray  # (n_datasets, n_params) of the adapted mixture, kappa the first
    # (n_datasets, n_points), profile likelihood or marginal posterior
    curve_kappa: FloatArray
    curve_log_density: FloatArray
    diagnostics: Mapping[str, np.ndarray]  # (n_datasets,) each
    draws: tuple[FloatArray, ...] | None = None  # (n_chains, n_draws) of every dataset


@dataclass(frozen=True, eq=False)
class Batch:
    """Some datasets of a table, and what is asked of them."""

    table: ComponentTable
    model: Any  # MixtureModel
    datasets: slice
    bounded: bool  # whether kappa is confined to [0, 1]
    informative: bool = True  # whether the prior counts as data
    levels: Any = ()  # (n_levels,)
    seeds: Sequence[Any] = ()  # one per dataset
    added: float = 0.0  # variance of kappa that a discrepancy adds

    def alone(self) -> "Batch":
        """The same with a table of these binned datasets only, for another process."""
        table, own = self.table, self.datasets
        weight, variance = table.row_weight[own], table.row_variance[own]
        table = replace(table, row_weight=weight, row_variance=variance)
        return replace(self, table=table, datasets=slice(0, table.n_datasets))


class InferenceBase(BaseEstimator):
    """Batching and the steps that both statistics share."""

    #: Whether answers have a posterior of kappa.
    has_posterior = False
    #: What widens intervals where the model does not describe the data.
    discrepancy: str | None = None
    #: Where log posteriors are summed and chains run.
    device: str = "cpu"

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "max_iter": [at_least(1)],
        "batch_size": [at_least(1)],
        "discrepancy": [one_of("scale"), None],
        "device": [one_of(*DEVICES)],
    }

    def words(self) -> dict[str, str]:
        """What a result says of these choices beside their names."""
        if self.discrepancy is None:
            return {}
        return {"discrepancy": self.discrepancy}

    def check(self) -> None:
        """Refuse settings that have no meaning."""
        check_parameters(self)
        namespace_on(self.device)

    def on_device(self, model: MixtureModel) -> Any:
        """A mixture whose log posterior is summed where the setting says."""
        return placed(model, namespace_on(self.device))

    def infer(
        self,
        table: ComponentTable,
        model: MixtureModel,
        levels: FloatArray,
        *,
        informative: bool,
        bounded: bool,
        seed: Any,
        n_jobs: int | None,
    ) -> Answer:
        """Estimates, intervals (n_levels,) and diagnostics of every dataset."""
        # unbinned datasets have rows of their own
        size = self.batch_size if table.binned else 1
        children = seed.spawn(table.n_datasets)
        model = self.on_device(model)
        if self.discrepancy is not None:
            refuse_unjudged(table, model)
        batches = [
            Batch(table, model, s, bounded, informative, levels, children[s])
            for s in gen_batches(table.n_datasets, size)
        ]
        apart = self._runs_apart(model, table) and effective_n_jobs(n_jobs) > 1
        if apart and len(batches) > 1:
            asked = (delayed(_described)(self, batch.alone()) for batch in batches)
            parts = Parallel(n_jobs=n_jobs, prefer="processes")(asked)
            return _join(parts)
        with one_blas_thread():
            parts = Parallel(n_jobs=n_jobs, prefer="threads")(
                delayed(self._describe)(batch) for batch in batches
            )
        return _join(parts)

    def _runs_apart(self, model: MixtureModel, table: ComponentTable) -> bool:
        """Whether batches are worth processes; threads share the memory of events."""
        if not table.binned or self.device != "cpu":
            return False
        return table.n_datasets >= _MANY_DATASETS or self._takes_chains(model, table)

    def _takes_chains(self, model: MixtureModel, table: ComponentTable) -> bool:
        """Whether datasets are sampled."""
        return False

    def maxima(
        self, table: ComponentTable, model: MixtureModel, *, bounded: bool
    ) -> Iterator["Fit"]:
        """Joint maxima without intervals, batch by batch of binned datasets."""
        model = self.on_device(model)
        for datasets in gen_batches(table.n_datasets, self.batch_size):
            with one_blas_thread():
                fit = self._fit(Batch(table, model, datasets, bounded))
            yield fit

    def _describe(self, batch: Batch) -> Answer:
        """Infer a batch, datasets again where a discrepancy adds to the variance."""
        if not batch.table.binned:  # at their own rows alone
            table, rows = batch.table.select(batch.datasets)
            model = batch.model.take_rows(rows)
            every = slice(0, table.n_datasets)
            batch = replace(batch, table=table, model=model, datasets=every)
        answer = self._infer_batch(batch)
        if self.discrepancy is None:
            return answer
        added = answer.diagnostics["std_discrepancy"] ** 2
        for b in map(int, np.flatnonzero(added)):
            at = batch.datasets.start + b
            one = replace(
                batch,
                datasets=slice(at, at + 1),
                seeds=[batch.seeds[b]],
                added=added[b],
            )
            answer = with_dataset(answer, self._infer_batch(one), b)
        return answer

    def _infer_batch(self, batch: Batch) -> Answer:
        raise NotImplementedError

    @staticmethod
    def _curve(fit: Fit, bounds: tuple[float, float], which: str) -> KappaCurve:
        """Profile and marginal of every fit."""
        model: Any = fit.model
        curve = event_curve if model.rows_are_events else kappa_curve
        theta = fit.optimum.theta
        return curve(model, fit.data.rows, theta, fit.covariance, bounds, which)

    @staticmethod
    def _extra_variance(
        batch: Batch, fit: Fit
    ) -> tuple[FloatArray, dict[str, np.ndarray]]:
        """Variance of kappa from what is not the target, and its diagnostics."""
        column, rows, model = fit.covariance[:, :, 0], fit.data.rows, batch.model
        extra = model.extra_variance(fit.local, column, rows, batch.table)
        said = {f"std_{name}": np.sqrt(values) for name, values in extra.items()}
        if extra:
            said["reference_size"] = model.reference_size(fit.local)
        return sum(extra.values()) + np.full(len(fit.mode), batch.added), said

    def _fit(self, batch: Batch) -> Fit:
        """Joint maximum of some datasets and the local covariance there."""
        raise NotImplementedError

    def _prepared(self, batch: Batch) -> tuple[FitData, FloatArray]:
        """Data discounted on the simplex, and the fit of fractions as a position."""
        table, model, datasets = batch.table, batch.model, batch.datasets
        data = undiscounted(table, datasets)
        simplex = OnSimplex(model)
        start = simplex.start(data.variance.shape[0])
        blends = slice(model.n_fractions, None)
        first = maximise(simplex, start, data.rows, fixed=blends)
        theta = simplex.theta(first.theta)
        return discounted(table, datasets, model, theta), first.theta

    def _called_back(
        self,
        model: MixtureModel,
        space: Objective,
        start: FloatArray,
        optimum: Optimum,
        data: FitData,
    ) -> Optimum:
        """Fits that ran away, put back at the average simulations, not converged."""
        runaway = ~optimum.converged & model.ran_away(optimum.theta)
        if not runaway.any():
            return optimum
        fractions = slice(0, model.n_fractions)
        near = maximise(
            space, start, data.rows, fixed=fractions, max_iter=self.max_iter
        )
        theta = np.where(runaway[:, None], near.theta, optimum.theta)
        value = np.where(runaway, near.value, optimum.value)
        return replace(optimum, theta=theta, value=value)

    def _fit_at(self, fit: Fit, fractions: FloatArray) -> Fit:
        """Fit all but the first fractions, which are given, shape (n_fits, n_given)."""
        model = fit.model
        given = slice(0, fractions.shape[1])
        among = np.linalg.pinv(fit.covariance[:, given, given], hermitian=True)
        slope = among @ fit.covariance[:, given]
        shift = fractions - fit.optimum.theta[:, given]
        theta = fit.optimum.theta + np.einsum("bg,bgp->bp", shift, slope)
        theta[:, given] = fractions
        rows = fit.data.rows
        outside = ~np.isfinite(model.value(theta, rows))
        rest = slice(fractions.shape[1], None)
        theta[outside, rest] = fit.optimum.theta[outside, rest]
        optimum = maximise(model, theta, rows, fixed=given, max_iter=self.max_iter)
        at = local_fit(model, optimum, fit.data)
        converged = fit.optimum.converged & optimum.converged
        return replace(
            at,
            optimum=replace(optimum, converged=converged),
            singular=fit.singular,
            mode=fit.mode,
            at_kappa=optimum.converged,
        )

    def _health(self, fit: Fit, std: FloatArray) -> dict[str, np.ndarray]:
        """Fit-health flags and the goodness of the adapted mixture."""
        near = np.minimum(fit.mode, 1.0 - fit.mode) < _NEAR_BOUND * std
        health = {
            "converged": fit.optimum.converged,
            "n_iterations": fit.optimum.n_iterations,
            "singular": fit.singular,
            "at_boundary": near,
            "goodness_of_fit": rows_described(fit),
            "prior_tension": prior_tension(fit),
        }
        if self.discrepancy is None:
            return health
        return health | discrepancy(fit, std, health)


def _described(inference: InferenceBase, batch: Batch) -> Answer:
    """Answer of a batch in another process."""
    with one_blas_thread():
        return inference._describe(batch)


def _join(parts: list[Answer]) -> Answer:
    """Answers of consecutive batches as one."""
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name, value in vars(parts[0]).items()
        if isinstance(value, np.ndarray)
    }
    diagnostics = {
        key: np.concatenate([part.diagnostics[key] for part in parts])
        for key in parts[0].diagnostics
    }
    draws = None
    if parts[0].draws is not None:
        draws = tuple(draws for part in parts for draws in part.draws or ())
    return Answer(**joined, diagnostics=diagnostics, draws=draws)
