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
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from threadpoolctl import threadpool_limits

from sktamm._numerics import FloatArray, positive_definite
from sktamm.base import ComponentTable
from sktamm.exceptions import IncompatibleChoiceError
from sktamm.inference._curve import KappaCurve, kappa_curve
from sktamm.inference._data import FitData, discounted, undiscounted
from sktamm.inference._goodness import goodness_of_fit
from sktamm.inference._march import event_curve
from sktamm.inference._optimise import Objective, Optimum, maximise
from sktamm.inference._simplex import OnSimplex
from sktamm.mixture import (
    EventMixture,
    MixtureModel,
    RowData,
    extra_variance,
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
    "pearson",
]

# Smaller shares of the largest eigenvalue have the sign that rounding gives them.
ROUNDING = 1e-13
_NEAR_BOUND = 1.0
_RUNAWAY = 1e-6


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


@dataclass(frozen=True, eq=False)
class Fit:
    """Joint maximum of a batch and its local covariance.

    Attributes
    ----------
    optimum : Optimum
        End point of the fits.
    data : FitData
        Data that were fitted.
    covariance : ndarray of shape (n_fits, n_params, n_params)
        Inverse of minus the Hessian, or of the information where that is not positive.
    singular : ndarray of bool, shape (n_fits,)
        Whether the Hessian was not positive definite at the joint maximum.
    mode : ndarray of shape (n_fits,)
        Kappa of the joint maximum.
    at_kappa : ndarray of bool, shape (n_fits,)
        Whether the last fit converged, be it at a given kappa.
    local : ndarray of shape (n_fits, n_params)
        Parameters at which the errors are taken.
    """

    optimum: Optimum
    data: FitData
    covariance: FloatArray
    singular: np.ndarray
    mode: FloatArray
    at_kappa: np.ndarray
    local: FloatArray

    def where_known(self, known: NDArray[np.bool_]) -> "Fit":
        """The fits, not converged where their curves of kappa are not known."""
        converged = self.optimum.converged & known
        return replace(self, optimum=replace(self.optimum, converged=converged))


class InferenceBase(BaseEstimator):
    """Batching and the steps that both statistics share."""

    def _check_batches(self) -> None:
        """Refuse batch sizes and iteration numbers that have no meaning."""
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

        Parameters
        ----------
        table : ComponentTable
            Components and data.
        model : MixtureModel
            Log posterior built from the table.
        levels : ndarray of shape (n_levels,)
            Levels of the intervals.
        informative : bool
            Whether the prior is knowledge (the sandwich includes it) or a regulariser.
        bounded : bool
            Whether kappa is confined to [0, 1].
        seed : numpy.random.SeedSequence
            Source of the random numbers; every dataset gets a child of its own.
        n_jobs : int or None
            Number of threads that share the batches.

        Returns
        -------
        answer : Answer
            Estimates, intervals and diagnostics, dataset by dataset.
        """
        # unbinned datasets have rows of their own
        size = self.batch_size if table.binned else 1
        starts = range(0, table.n_datasets, size)
        children = seed.spawn(table.n_datasets)
        run = self._infer_batch if table.binned else self._infer_events
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
        """Joint maxima without intervals, batch by batch of binned datasets.

        Parameters
        ----------
        table : ComponentTable
            Components and data.
        model : MixtureModel
            Log posterior built from the table.
        bounded : bool
            Whether kappa is confined to [0, 1].

        Yields
        ------
        fit : Fit
            Maximum and local covariance of the next datasets, in order.
        """
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
        return self._infer_batch(part, own, levels, every, seeds, **choices)

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
        raise NotImplementedError

    @staticmethod
    def _curve(
        model: MixtureModel, fit: Fit, bounds: tuple[float, float], which: str
    ) -> KappaCurve:
        """Profile and marginal of every fit."""
        theta, rows = fit.optimum.theta, fit.data.rows
        if isinstance(model, EventMixture):
            return event_curve(model, rows, theta, fit.covariance, bounds, which)
        return kappa_curve(model, rows, theta, fit.covariance, bounds, which)

    @staticmethod
    def _extra_variance(
        table: ComponentTable, model: MixtureModel, fit: Fit
    ) -> tuple[FloatArray, dict[str, np.ndarray]]:
        """Variance of kappa from what is not the target, and its diagnostics."""
        if not isinstance(model, EventMixture):
            return np.zeros(len(fit.mode)), {}
        column = fit.covariance[:, :, 0]
        reference, ratios = extra_variance(
            model, fit.local, column, fit.data.rows, table
        )
        names = ("std_reference", "std_ratios", "reference_size")
        size = model.reference_size(fit.local)
        values = (np.sqrt(reference), np.sqrt(ratios), size)
        return reference + ratios, dict(zip(names, values, strict=True))

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
        if not isinstance(model, EventMixture):
            return optimum
        runaway = ~optimum.converged & (model.prior_tension(optimum.theta) < _RUNAWAY)
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

    @staticmethod
    def _health(
        model: MixtureModel, fit: Fit, std: FloatArray
    ) -> dict[str, np.ndarray]:
        """Fit-health flags and the goodness of the adapted mixture."""
        near = np.minimum(fit.mode, 1.0 - fit.mode) < _NEAR_BOUND * std
        return {
            "converged": fit.optimum.converged,
            "n_iterations": fit.optimum.n_iterations,
            "singular": fit.singular,
            "at_boundary": near,
            "goodness_of_fit": _goodness_of_fit(model, fit),
            "prior_tension": _prior_tension(model, fit),
        }


def local_fit(model: MixtureModel, optimum: Optimum, data: FitData) -> Fit:
    """Local covariance at the end of a fit."""
    rows = data.rows
    precision = -model.hessian(optimum.theta, rows)
    singular = ~positive_definite(precision, ROUNDING)
    if singular.any():
        index = np.flatnonzero(singular)
        information = model.step_terms(optimum.theta[index], rows.take(index))[2]
        precision[index] = made_regular(information)
    covariance = np.asarray(np.linalg.inv(precision), float)
    return Fit(
        optimum=optimum,
        data=data,
        covariance=covariance,
        singular=singular,
        mode=optimum.theta[:, 0],
        at_kappa=optimum.converged,
        local=optimum.theta,
    )


def made_regular(information: FloatArray) -> FloatArray:
    """Information matrices with eigenvalues of at least a tiny share of the largest."""
    # Only fits that are flagged as singular are changed. What is not finite becomes the
    # unit matrix: a numerical failure is a flagged result, not an error.
    finite = np.isfinite(information).all(axis=(-2, -1), keepdims=True)
    information = np.where(finite, information, np.eye(information.shape[-1]))
    values, vectors = np.linalg.eigh(information)
    floor = 1e-9 * np.maximum(values[..., -1:], 1.0)
    values = np.maximum(values, floor)
    return np.einsum("...ij,...j,...kj->...ik", vectors, values, vectors)


def _prior_tension(model: MixtureModel, fit: Fit) -> FloatArray:
    """P-value of the blend under its prior, the noise of the data included.

    The noise is that of a truth near the simulations: taken at the average simulation
    and the fitted fractions, from what rows expect there. At the maximum itself a truth
    far outside could hide, for amplitudes without bound are not determined either, and
    behind empty rows, which observed contents know nothing of.
    """
    theta = fit.optimum.theta
    centre = np.zeros_like(theta)
    centre[:, : model.n_fractions] = np.clip(theta[:, : model.n_fractions], 0.0, 1.0)
    rows = fit.data.rows
    if not isinstance(model, EventMixture):
        unit = fit.data.unit
        rows = RowData(unit * np.maximum(model.row_density(centre), 0.0), unit)
    information = model.step_terms(centre, rows)[2]
    information += model.prior_information(theta) - model.prior_information(centre)
    covariance = np.asarray(np.linalg.inv(made_regular(information)), float)
    inflation: FloatArray | float = 1.0
    if isinstance(model, EventMixture):  # the reference sample is as noisy as its size
        n_events = np.maximum(fit.data.rows.observed, 0.0).sum(axis=1)
        inflation = 1.0 + n_events / np.maximum(model.reference_size(fit.local), 1.0)
    return model.prior_tension(theta, covariance, inflation)


def _goodness_of_fit(model: MixtureModel, fit: Fit) -> FloatArray:
    """P-value of the rows; not a number for events, which expect nothing themselves."""
    if isinstance(model, EventMixture):
        return np.full(len(fit.mode), np.nan)
    return goodness_of_fit(model, fit.optimum.theta, fit.data)


def pearson(model: MixtureModel, fit: Fit) -> tuple[FloatArray, FloatArray]:
    """Pearson's chi2 of the rows that expect one or more, and their number.

    Parameters
    ----------
    model : MixtureModel
        Mixture of binned data.
    fit : Fit
        Its fits.

    Returns
    -------
    chi2, n_rows : ndarray of shape (n_fits,)
        Sum of squared pulls of the rows, template errors included.
    """
    data = fit.data
    expected = data.unit * np.maximum(model.row_density(fit.optimum.theta), 0.0)
    inside = expected > 1.0
    variance = np.where(inside, np.maximum(data.variance, expected), 1.0)
    pull2 = np.where(inside, (data.content - expected) ** 2 / variance, 0.0)
    return pull2.sum(axis=1), inside.sum(axis=1).astype(float)


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


def check_one_of(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Refuse a setting that is not one of the allowed names."""
    if value not in allowed:
        raise IncompatibleChoiceError(
            f"{name} must be one of {allowed}, got {value!r}."
        )
