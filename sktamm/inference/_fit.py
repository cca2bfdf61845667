"""Where a fit ends: its local covariance, and how well it describes the data."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sktamm._numerics import FloatArray, positive_definite
from sktamm.inference._data import FitData
from sktamm.inference._goodness import goodness_of_fit
from sktamm.inference._optimise import Optimum
from sktamm.mixture import MixtureModel, RowData

__all__ = [
    "ROUNDING",
    "Fit",
    "local_fit",
    "made_regular",
    "prior_tension",
    "rows_described",
    "variance_parts",
]

# Smaller shares of the largest eigenvalue have the sign that rounding gives them.
ROUNDING = 1e-13


@dataclass(frozen=True, eq=False)
class Fit:
    """Joint maximum of a batch and its local covariance."""

    model: MixtureModel
    optimum: Optimum
    data: FitData
    # (n_fits, n_params, n_params), inverse of minus the Hessian, or of the information
    # where that is not positive
    covariance: FloatArray
    singular: np.ndarray  # (n_fits,), whether the Hessian was not positive definite
    mode: FloatArray  # (n_fits,), kappa of the joint maximum
    at_kappa: np.ndarray  # (n_fits,), whether the last fit, at a given kappa, converged
    local: FloatArray  # (n_fits, n_params) at which the errors are taken

    @classmethod
    def at(
        cls,
        model: MixtureModel,
        optimum: Optimum,
        data: FitData,
        covariance: FloatArray,
        singular: np.ndarray,
    ) -> "Fit":
        """A fit whose errors are those at its optimum."""
        theta, converged = optimum.theta, optimum.converged
        end = theta[:, 0], converged, theta
        return cls(model, optimum, data, covariance, singular, *end)

    def where_known(self, known: NDArray[np.bool_]) -> "Fit":
        """The fits, not converged where their curves of kappa are not known."""
        converged = self.optimum.converged & known
        return replace(self, optimum=replace(self.optimum, converged=converged))


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
    return Fit.at(model, optimum, data, covariance, singular)


def made_regular(information: FloatArray) -> FloatArray:
    """Information matrices, eigenvalues at least a tiny share of the largest."""
    # Only fits that are flagged as singular are changed. What is not finite becomes the
    # unit matrix: a numerical failure is a flagged result, not an error.
    finite = np.isfinite(information).all(axis=(-2, -1), keepdims=True)
    information = np.where(finite, information, np.eye(information.shape[-1]))
    values, vectors = np.linalg.eigh(information)
    floor = 1e-9 * np.maximum(values[..., -1:], 1.0)
    values = np.maximum(values, floor)
    return np.einsum("...ij,...j,...kj->...ik", vectors, values, vectors)


def prior_tension(fit: Fit) -> FloatArray:
    """P-value (n_fits,) of the blend under its prior, nan where that judges nothing.

    The noise is what rows expect at the average simulation and the fitted fractions.
    """
    model, theta = fit.model, fit.optimum.theta
    centre = np.zeros_like(theta)
    centre[:, : model.n_fractions] = np.clip(theta[:, : model.n_fractions], 0.0, 1.0)
    rows = fit.data.rows
    if not model.rows_are_events:
        unit = fit.data.unit
        rows = RowData(unit * np.maximum(model.row_density(centre), 0.0), unit)
    information = model.step_terms(centre, rows)[2]
    information += model.prior_information(theta) - model.prior_information(centre)
    covariance = np.asarray(np.linalg.inv(made_regular(information)), float)
    inflation = model.reference_noise(fit.local, fit.data.rows)
    return model.prior_tension(theta, covariance, inflation)


def rows_described(fit: Fit) -> FloatArray:
    """P-value (n_fits,) of the rows; not a number for events, which expect nothing."""
    if fit.model.rows_are_events:
        return np.full(len(fit.mode), np.nan)
    return goodness_of_fit(fit.model, fit.optimum.theta, fit.data)


def variance_parts(fit: Fit) -> tuple[FloatArray, FloatArray]:
    """Variance of kappa (n_fits,) of the rows, a'(S'v S)a, and of the blend, a'Q a."""
    row = fit.covariance[:, 0]
    score = fit.model.score_along(fit.local, row)
    prior = fit.model.prior_information(fit.local)
    return (
        np.einsum("bi,bi->b", fit.data.variance, score**2),
        np.einsum("bp,bpq,bq->b", row, prior, row),
    )
