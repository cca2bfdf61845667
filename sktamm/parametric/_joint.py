"""Joint quantities: what is known of an event from its weights at benchmarks.

The density of reconstructed events x is an intractable integral over parton-level z,
but p(x | z) does not depend on theta, so that the ratio and the score of (x, z),

    r(x, z | theta) = dsigma(z, theta) / dsigma(z, theta_ref) / S(theta),
    t(x, z | theta) = grad ln dsigma(z, theta) - grad ln sigma(theta),

are those of z, known from its weights at the benchmarks of a `MorphingBasis`
(arXiv:1805.00020). Regression on them gives the ratio and score of x.
"""

import numpy as np
from numpy.typing import ArrayLike

from sktamm._numerics import FloatArray
from sktamm._validation import read_numbers, read_weight
from sktamm.exceptions import InvalidInputError
from sktamm.parametric._monomials import derivative_pairs, read_theta
from sktamm.parametric._morphing import MorphingBasis

__all__ = ["joint_derivatives", "joint_likelihood_ratio", "joint_score"]

_ROUNDING = 1e-11  # of sums with the weights of a basis, relative to their terms


def joint_derivatives(event_weights: ArrayLike, basis: MorphingBasis) -> FloatArray:
    """First and second derivatives of dsigma(z, theta) / dsigma(z, theta_ref).

    Parameters
    ----------
    event_weights : array-like of shape (n_events, n_benchmarks)
        dsigma(z, theta_b) of every event, each row up to a factor.
    basis : MorphingBasis
        Benchmarks, quadratic components and ``theta_ref``.

    Returns
    -------
    derivatives : ndarray of shape (n_events, p + p (p + 1) / 2)
        R_i for every parameter, then R_ij for i <= j row by row, at ``theta_ref``.

    Raises
    ------
    InvalidInputError
        If the basis has powers above two, which two derivatives do not tell.

    References
    ----------
    Brehmer, Cranmer, Louppe, Pavez, arXiv:1805.00020.

    Examples
    --------
    >>> from sktamm.parametric import MorphingBasis, joint_derivatives
    >>> basis = MorphingBasis(1, benchmarks=[[0], [-1], [1]])
    >>> joint_derivatives([[1.0, 2.0, 4.0]], basis)  # 1 + theta + 2 theta^2
    array([[1., 4.]])
    """
    if basis.components_.sum(axis=1).max() > 2:
        raise InvalidInputError(
            "basis must have no component of a total power above 2 for joint "
            f"derivatives, got {basis.components_.sum(axis=1).max()}."
        )
    weights, reference = _read_event_weights(event_weights, basis)
    i, j = derivative_pairs(basis.n_parameters)
    first = basis.weights_gradient(basis.theta_ref_)
    second = basis.weights_hessian(basis.theta_ref_)[:, i, j]
    return weights @ np.concatenate([first, second], axis=1) / reference[:, None]


def joint_likelihood_ratio(
    event_weights: ArrayLike,
    basis: MorphingBasis,
    theta: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    normalised: bool = True,
) -> FloatArray:
    """Ratio of every event's density at theta to that at ``theta_ref``.

    Parameters
    ----------
    event_weights : array-like of shape (n_events, n_benchmarks)
        dsigma(z, theta_b) of every event, each row up to a factor.
    basis : MorphingBasis
        Benchmarks and ``theta_ref``.
    theta : array-like of shape (n_parameters,) or (n_theta, n_parameters)
        Points.
    sample_weight : array-like of shape (n_events,), default=None
        Weights that make the events a sample of ``theta_ref``; None where they are one.
    normalised : bool, default=True
        Ratio of densities, of mean one; False is that of differential cross sections.

    Returns
    -------
    ratio : ndarray of shape (n_events,) or (n_events, n_theta)
        Joint likelihood ratio, negative where the event weights are.

    References
    ----------
    Brehmer, Cranmer, Louppe, Pavez, arXiv:1805.00020.

    Examples
    --------
    >>> from sktamm.parametric import MorphingBasis, joint_likelihood_ratio
    >>> basis = MorphingBasis(1, benchmarks=[[0], [-1], [1]])
    >>> joint_likelihood_ratio([[1, 2, 4], [1, 1, 1]], basis, [1.0])
    array([1.6, 0.4])
    """
    weights, reference = _read_event_weights(event_weights, basis)
    points, single = read_theta(theta, basis.n_parameters)
    ratio = weights @ basis.weights(points).T / reference[:, None]
    if normalised:
        ratio = ratio / _mean(ratio, sample_weight)
    return ratio[:, 0] if single else ratio


def joint_score(
    event_weights: ArrayLike,
    basis: MorphingBasis,
    theta: ArrayLike | None = None,
    *,
    sample_weight: ArrayLike | None = None,
    normalised: bool = True,
) -> FloatArray:
    """Gradient of the log density of every event.

    Parameters
    ----------
    event_weights : array-like of shape (n_events, n_benchmarks)
        dsigma(z, theta_b) of every event, each row up to a factor.
    basis : MorphingBasis
        Benchmarks and ``theta_ref``.
    theta : array-like of shape (n_parameters,), default=None
        Point; None is ``theta_ref``.
    sample_weight : array-like of shape (n_events,), default=None
        Weights that make the events a sample of ``theta_ref``; None where they are one.
    normalised : bool, default=True
        Of the log density; False is that of the log differential cross section.

    Returns
    -------
    score : ndarray of shape (n_events, n_parameters)
        Joint score. Its mean at its own theta is zero if normalised.

    Raises
    ------
    InvalidInputError
        If an event has weight zero at theta.

    References
    ----------
    Brehmer, Cranmer, Louppe, Pavez, arXiv:1805.00020.

    Examples
    --------
    >>> from sktamm.parametric import MorphingBasis, joint_score
    >>> basis = MorphingBasis(1, benchmarks=[[0], [-1], [1]])
    >>> joint_score([[1, 2, 4], [1, 1, 0]], basis).ravel().tolist()
    [0.75, -0.75]
    """
    weights, reference = _read_event_weights(event_weights, basis)
    theta = basis.theta_ref_ if theta is None else theta
    points, single = read_theta(theta, basis.n_parameters)
    if not single:
        raise InvalidInputError(
            f"theta must be one point for a score, got shape {np.shape(theta)}."
        )
    here = _at(points[0], "theta", weights, basis)
    change = weights @ basis.weights_gradient(points[0])
    score = change / here[:, None]
    if normalised:
        total = _mean(here[:, None] / reference[:, None], sample_weight)
        score = score - _mean(change / reference[:, None], sample_weight) / total
    return score


def _read_event_weights(
    event_weights: ArrayLike, basis: MorphingBasis
) -> tuple[FloatArray, FloatArray]:
    """Weights at the benchmarks and at the reference point."""
    weights = read_numbers(event_weights, "event_weights")
    n_benchmarks = len(basis.benchmarks_)
    if weights.ndim != 2 or weights.shape[1] != n_benchmarks or not len(weights):
        raise InvalidInputError(
            f"event_weights must have shape (n_events, {n_benchmarks}), one column per "
            f"benchmark, got {weights.shape}."
        )
    if not np.isfinite(weights).all():
        raise InvalidInputError("event_weights must be finite, got NaN or infinity.")
    return weights, _at(basis.theta_ref_, "theta_ref", weights, basis)


def _at(
    theta: FloatArray, name: str, weights: FloatArray, basis: MorphingBasis
) -> FloatArray:
    """Event weights at one point, none of which is zero up to rounding."""
    factors = basis.weights(theta)
    factors[np.abs(factors) < _ROUNDING * np.abs(factors).max()] = 0.0
    weight = weights @ factors
    n_zero = int((np.abs(weight) <= _ROUNDING * (np.abs(weights) @ abs(factors))).sum())
    if n_zero:
        raise InvalidInputError(
            f"event_weights must not be zero at {name}, where an event of weight zero "
            f"does not occur, but {n_zero} of {weight.size} are."
        )
    return weight


def _mean(values: FloatArray, sample_weight: ArrayLike | None) -> FloatArray:
    weight = read_weight(sample_weight, len(values))
    return np.average(values, axis=0, weights=weight)
