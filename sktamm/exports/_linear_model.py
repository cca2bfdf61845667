"""The adapted binned mixture, linearised where the data have put it.

With mu_c = n f_c q_c the expected contents of class c at the maximum of the posterior,
z its blend and z0 the adapted one, and with the log prior to second order,

    mu_c(z) = mu_c + mu_c J_c (z - z0),        J_c = d ln q_c / dz,
    ln prior = g.(z - z0) - (z - z0)' Q (z - z0) / 2,

directions of unit prior width are z - z0 = L V alpha, with L L' = Q^-1 and V from the
singular values of mu_c J_c L in units of the Poisson errors. Their normal constraints
have the centres a = V' L' g, for the adapted point is where prior and data balance, not
where the prior is largest. Contents of a direction sum to zero.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sktamm._numerics import FloatArray, positive_definite
from sktamm.exceptions import InvalidInputError
from sktamm.exports._opened import Adapted
from sktamm.inference import FrequentistInference

__all__ = ["LinearClass", "LinearModel", "linearised"]

# Share by which a direction that is left out could at most be better known than by its
# prior; kappa does not feel it.
_FELT = 1e-3


@dataclass(frozen=True, eq=False)
class LinearClass:
    """Expected contents of one class and how they may change."""

    label: Any
    content: FloatArray  # (n_rows,), at the adapted point
    effects: FloatArray  # (n_directions, n_rows), of one prior width
    centres: FloatArray  # (n_directions,), where the prior is largest
    errors: FloatArray | None  # (n_rows,), statistical, of the templates


@dataclass(frozen=True, eq=False)
class LinearModel:
    """All classes, the observed contents and what they were divided by."""

    classes: list[LinearClass]
    positive: int
    observed: FloatArray  # (n_rows,)
    scale: float  # sums of weights per effective event


def linearised(adapted: Adapted) -> LinearModel:
    """Linear model of one dataset at the maximum of its posterior."""
    table, model, estimator = adapted.table, adapted.model, adapted.estimator
    _check(adapted)
    weight, variance = table.row_weight[0], table.row_variance[0]
    if weight.min() < 0:
        raise InvalidInputError(
            "X_target must have sums of weights of at least zero in every bin for a "
            f"Poisson model, got {weight.min():g}; use wider bins."
        )
    scale = float(variance.sum() / weight.sum())
    inference = estimator.inference_
    if inference.has_posterior:
        inference = FrequentistInference()
    bounded = bool(estimator.bounded or estimator.inference_.has_posterior)
    fit = next(inference.maxima(table, model, bounded=bounded))
    theta = fit.optimum.theta
    fractions = model.fractions(theta)[0]
    total = weight.sum() / scale * table.reference_weight
    noisy = bool(np.ptp(fit.data.discount[0]) > 0)
    none = [None] * len(fractions)
    errors = [total * e[0] for e in model.class_errors(theta)] if noisy else none
    expected = total * (fractions[:, None] * np.exp(model.class_log_density(theta)[0]))
    _check_contents(expected, estimator.classes_)
    classes = [
        LinearClass(label, expected[c], *_directions(model, theta, c, expected), own)
        for c, (label, own) in enumerate(
            zip(estimator.classes_.tolist(), errors, strict=True)
        )
    ]
    return LinearModel(classes, table.positive, weight / scale, scale)


def _check(adapted: Adapted) -> None:
    """Refuse what has no bins or no blend."""
    name = type(adapted.estimator).__name__
    if not adapted.table.binned:
        raise InvalidInputError(
            "estimator must have bins to be exported as a binned model, got the "
            f"unbinned {name}; use BinnedTopicTAMM or ScoreTAMM."
        )
    if not hasattr(adapted.model, "densities"):
        raise InvalidInputError(
            "estimator must blend simulations while it fits, for whose freedom the "
            f"exported model has parameters, got {name}."
        )


def _check_contents(expected: FloatArray, classes: NDArray[Any]) -> None:
    for label, content in zip(classes, expected, strict=True):
        if not (content > 0).all():
            raise InvalidInputError(
                "X_target must have a positive fitted fraction of every class and "
                "contents in every bin for a Poisson model, got the smallest content "
                f"{content.min():.3g} of class {label!r}."
            )


def _directions(
    model: Any, theta: FloatArray, c: int, expected: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Effects (n_directions, n_rows) and centres that the data can feel."""
    columns, density = model.slices[c], model.densities[c]
    if density.n_params == 0:
        return np.zeros((0, expected.shape[1])), np.zeros(0)
    gradient, precision = _prior(model, theta)
    jacobian = density.jacobian(density.evaluate(theta[:, columns]))[0]
    root = np.linalg.inv(np.linalg.cholesky(precision[columns, columns])).T
    effects = (expected[c][:, None] * jacobian) @ root
    size = np.sqrt(expected.sum(axis=0))[:, None]
    _, felt, turned = np.linalg.svd(effects / size, full_matrices=False)
    turn = turned[felt**2 > _FELT].T
    return (effects @ turn).T, turn.T @ root.T @ gradient[columns]


def _prior(model: Any, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Gradient (n_params,) and precision (n_params, n_params) of the log prior."""
    gradient = np.zeros(model.n_params)
    for block in model.blocks:
        columns = model.n_fractions + block.columns
        gradient[columns] = block.penalty.gradient(theta[:, columns])[0]
    precision = -model.prior_hessian(theta)
    blends = slice(model.n_fractions, None)
    if not positive_definite(precision[:, blends, blends])[0]:
        precision = model.prior_information(theta)
    return gradient, precision[0]
