"""What both statistics share: batches, first fit, covariance, fit health.

An inference turns (table, model) into numbers for every dataset. Datasets are fitted in
batches of fixed size, so that results do not depend on how many workers share them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator
from threadpoolctl import threadpool_limits

from sktamm._numerics import FloatArray
from sktamm.base import ComponentTable
from sktamm.exceptions import IncompatibleChoiceError
from sktamm.inference._curve import KappaCurve, kappa_curve
from sktamm.inference._data import FitData, discounted, undiscounted
from sktamm.inference._discrepancy import discrepancy, refuse_unjudged, replaced
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
from sktamm.mixture import (
    MixtureModel,
)

__all__ = [
    "ROUNDING",
    "Answer",
    "Fit",
    "InferenceBase",
    "check_one_of",
    "check_positive_integer",
    "local_fit",
    "made_regular",
]

_NEAR_BOUND = 1.0


@dataclass(frozen=True, eq=False)
class Answer:
    """Result of the inference for a batch of datasets.

    Attributes
    ----------
    kappa, std : ndarray of shape (n_datasets,)
        Estimate and its standard error or posterior standard deviation.
    interval : ndarray of shape (n_datasets, 2, n_levels)
        Lower and upper ends.
    theta : ndarray of shape (n_datasets, n_params)
        Parameters of the adapted mixture, its kappa the estimate.
    curve_kappa, curve_log_density : ndarray of shape (n_datasets, n_points)
        Profile likelihood or marginal posterior.
    diagnostics : mapping of str to ndarray of shape (n_datasets,)
        Named diagnostics.
    draws : tuple of n_datasets ndarray of shape (n_chains, n_draws), or None
        Posterior draws of kappa; datasets may differ in their number.
    """

    kappa: FloatArray
    std: FloatArray
    interval: FloatArray
    theta: FloatArray
    curve_kappa: FloatArray
    curve_log_density: FloatArray
    diagnostics: Mapping[str, np.ndarray]
    draws: tuple[FloatArray, ...] | None = None


class InferenceBase(BaseEstimator):
    """Batching and the steps that both statistics share."""

    #: What widens intervals where the model does not describe the data.
    discrepancy: str | None = None

    def words(self) -> dict[str, str]:
        """What a result says of these choices beside their names."""
        if self.discrepancy is None:
            return {}
        return {"discrepancy": self.discrepancy}

    def _check_batches(self) -> None:
        """Refuse batch sizes and the like that have no meaning."""
        check_one_of("discrepancy", self.discrepancy, (None, "scale"))
        check_positive_integer("batch_size", self.batch_size)
        check_positive_integer("max_iter", self.max_iter)

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
        """Infer kappa for every dataset of a table.

        ``levels`` (n_levels,). Returns estimates, intervals and diagnostics, dataset by
        dataset.
        """
        # unbinned datasets have rows of their own
        size = self.batch_size if table.binned else 1
        starts = range(0, table.n_datasets, size)
        children = seed.spawn(table.n_datasets)
        run = self._describe if table.binned else self._infer_events
        if self.discrepancy is not None:
            refuse_unjudged(table, model)
        with threadpool_limits(1, user_api="blas"):
            parts = Parallel(n_jobs=n_jobs, prefer="threads")(
                delayed(run)(
                    table,
                    model,
                    levels,
                    slice(start, min(start + size, table.n_datasets)),
                    children[start : start + size],
                    informative=informative,
                    bounded=bounded,
                )
                for start in starts
            )
        return _join(parts)

    def maxima(
        self, table: ComponentTable, model: MixtureModel, *, bounded: bool
    ) -> Iterator["Fit"]:
        """Joint maxima without intervals, batch by batch of binned datasets."""
        for start in range(0, table.n_datasets, self.batch_size):
            stop = min(start + self.batch_size, table.n_datasets)
            with threadpool_limits(1, user_api="blas"):
                fit = self._fit(table, model, slice(start, stop), bounded)
            yield fit

    def _infer_events(
        self,
        table: ComponentTable,
        model: Any,
        levels: FloatArray,
        datasets: slice,
        seeds: list[Any],
        **choices: bool,
    ) -> Answer:
        """Infer unbinned datasets at their own rows alone."""
        part, rows = table.select(datasets)
        every = slice(0, part.n_datasets)
        own = model.take_rows(rows)
        return self._describe(part, own, levels, every, seeds, **choices)

    def _describe(
        self,
        table: ComponentTable,
        model: MixtureModel,
        levels: FloatArray,
        datasets: slice,
        seeds: list[Any],
        **choices: bool,
    ) -> Answer:
        """Infer some datasets, again where a discrepancy adds to the variance."""
        answer = self._infer_batch(table, model, levels, datasets, seeds, **choices)
        if self.discrepancy is None:
            return answer
        added = answer.diagnostics["std_discrepancy"] ** 2
        for b in map(int, np.flatnonzero(added)):
            one = slice(datasets.start + b, datasets.start + b + 1)
            wider = self._infer_batch(
                table, model, levels, one, [seeds[b]], **choices, added=added[b]
            )
            answer = replaced(answer, wider, b)
        return answer

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
        added: float = 0.0,
    ) -> Answer:
        raise NotImplementedError

    @staticmethod
    def _curve(
        model: MixtureModel, fit: Fit, bounds: tuple[float, float], which: str
    ) -> KappaCurve:
        """Profile and marginal of every fit."""
        theta, rows = fit.optimum.theta, fit.data.rows
        if model.rows_are_events:
            events: Any = model
            return event_curve(events, rows, theta, fit.covariance, bounds, which)
        return kappa_curve(model, rows, theta, fit.covariance, bounds, which)

    @staticmethod
    def _extra_variance(
        table: ComponentTable, model: MixtureModel, fit: Fit, added: float
    ) -> tuple[FloatArray, dict[str, np.ndarray]]:
        """Variance of kappa from what is not the target, and its diagnostics."""
        column, rows = fit.covariance[:, :, 0], fit.data.rows
        extra = model.extra_variance(fit.local, column, rows, table)
        said = {f"std_{name}": np.sqrt(values) for name, values in extra.items()}
        if extra:
            said["reference_size"] = model.reference_size(fit.local)
        return sum(extra.values()) + np.full(len(fit.mode), added), said

    def _fit(
        self,
        table: ComponentTable,
        model: MixtureModel,
        datasets: slice,
        bounded: bool,
    ) -> Fit:
        """Joint maximum of some datasets and the local covariance there."""
        raise NotImplementedError

    def _prepared(
        self, table: ComponentTable, model: MixtureModel, datasets: slice
    ) -> tuple[FitData, FloatArray]:
        """Discounted data, and the fit of the fractions alone as a position.

        The discounts are taken where the fractions alone are fitted, on the simplex:
        outside it densities vanish and the templates' errors grow without bound.
        """
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
        """Return fits that ran away to where the reference knows no normalisation.

        They stay at the fractions of the average simulations, flagged as not converged;
        profile and marginal are then followed from there.
        """
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

    def _fit_at(self, model: MixtureModel, fit: Fit, fractions: FloatArray) -> Fit:
        """Fit all but the first fractions, which are given, shape (n_fits, n_given)."""
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

    def _health(
        self, model: MixtureModel, fit: Fit, std: FloatArray
    ) -> dict[str, np.ndarray]:
        """Fit-health flags and the goodness of the adapted mixture."""
        near = np.minimum(fit.mode, 1.0 - fit.mode) < _NEAR_BOUND * std
        health = {
            "converged": fit.optimum.converged,
            "n_iterations": fit.optimum.n_iterations,
            "singular": fit.singular,
            "at_boundary": near,
            "goodness_of_fit": rows_described(model, fit),
            "prior_tension": prior_tension(model, fit),
        }
        if self.discrepancy is None:
            return health
        return health | discrepancy(model, fit, std, health)


def _join(parts: list[Answer]) -> Answer:
    """Answers of consecutive batches as one."""

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    diagnostics = {
        key: np.concatenate([part.diagnostics[key] for part in parts])
        for key in parts[0].diagnostics
    }
    return Answer(
        kappa=joined("kappa"),
        std=joined("std"),
        interval=joined("interval"),
        theta=joined("theta"),
        curve_kappa=joined("curve_kappa"),
        curve_log_density=joined("curve_log_density"),
        diagnostics=diagnostics,
        draws=_join_draws(parts),
    )


def _join_draws(parts: list[Answer]) -> tuple[FloatArray, ...] | None:
    if parts[0].draws is None:
        return None
    return tuple(draws for part in parts for draws in part.draws or ())


def check_positive_integer(name: str, value: Any) -> None:
    """Refuse a number that is not a positive whole one."""
    if not (isinstance(value, Integral) and int(value) >= 1):
        raise IncompatibleChoiceError(
            f"{name} must be a positive whole number, got {value!r}."
        )


def check_one_of(name: str, value: Any, allowed: tuple[str | None, ...]) -> None:
    """Refuse a setting that is not one of the allowed names."""
    if value not in allowed:
        raise IncompatibleChoiceError(
            f"{name} must be one of {allowed}, got {value!r}."
        )
