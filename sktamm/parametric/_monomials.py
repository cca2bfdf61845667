"""Polynomials of parameters: the language that the parts of this folder share.

A differential cross section that is quadratic in parameters theta, as it is in Wilson
coefficients, is a sum of monomials of theta times functions of the event. Conventions:

* theta has shape (n_parameters,), one point, or (n_theta, n_parameters); the reference
  point theta_ref is an argument of constructors, None for zeros.
* Components of a morphing basis are monomials of theta, rows of powers, graded: the
  constant, the linear ones, the quadratic ones, ..., and in each grade in the order
  t0 t0, t0 t1, ..., t1 t1, ...
* Derivatives of dsigma(z, theta) / dsigma(z, theta_ref) at theta_ref are columns of an
  array y of shape (n_events, p + p (p + 1) / 2): first the p first derivatives R_i,
  then the second ones R_ij for i <= j, row by row. With dt = theta - theta_ref

      D(x | theta) = 1 + sum_i dt_i R_i + 1/2 sum_ij dt_i dt_j R_ij
                   = 1 + y @ taylor_terms(theta, theta_ref),

  where the sum over ij counts both orders. S(theta), the ratio of cross sections, is
  the same polynomial with the means of R over events of theta_ref, and r = D / S.
* A ratio estimator has ``theta_ref``, and once fitted ``n_parameters_``,
  ``log_ratio(X, theta)``, ln of the ratio r of the normalised densities, of shape
  (n_events,) for one theta and (n_events, n_theta) for several, NaN where it is not
  positive; and ``cross_section_ratio(theta)``, S, a float or of shape (n_theta,). One
  whose D is the polynomial above also has ``predict(X)``, which returns y, and
  ``mean_derivatives_``, its means at theta_ref.
"""

from collections.abc import Sequence
from functools import cache
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sktamm._numerics import FloatArray
from sktamm.exceptions import InvalidInputError

__all__ = [
    "count_derivatives",
    "derivative_pairs",
    "monomial_derivatives",
    "monomial_name",
    "monomial_powers",
    "monomials",
    "read_reference",
    "read_theta",
    "taylor_gradient",
    "taylor_terms",
]

IntArray = NDArray[np.int64]


def read_theta(
    theta: ArrayLike, n_parameters: int, name: str = "theta"
) -> tuple[FloatArray, bool]:
    """Parameter points (n_theta, n_parameters), and whether one alone was given."""
    try:
        points = np.asarray(theta, dtype=float)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"{name} must hold numbers: {error}.") from error
    single = points.ndim < 2
    if points.ndim == 0:
        points = points[None]
    points = points[None] if single else points
    if points.ndim != 2 or points.shape[1] != n_parameters:
        raise InvalidInputError(
            f"{name} must have shape ({n_parameters},) or (n_theta, {n_parameters}), "
            f"got {np.shape(theta)}."
        )
    if not np.isfinite(points).all():
        raise InvalidInputError(f"{name} must be finite, got {theta!r}.")
    return points, single


def read_reference(theta_ref: ArrayLike | None, n_parameters: int) -> FloatArray:
    """Reference point (n_parameters,); None is zeros."""
    if theta_ref is None:
        return np.zeros(n_parameters)
    points, single = read_theta(theta_ref, n_parameters, "theta_ref")
    if not single:
        raise InvalidInputError(
            f"theta_ref must be one point, got shape {np.shape(theta_ref)}."
        )
    return points[0]


def monomial_powers(n_parameters: int, max_power: int = 2) -> IntArray:
    """Powers (n_monomials, n_parameters) of all monomials up to a total, graded."""
    chosen = [
        indices
        for total in range(max_power + 1)
        for indices in combinations_with_replacement(range(n_parameters), total)
    ]
    powers = np.zeros((len(chosen), n_parameters), dtype=np.int64)
    for row, indices in zip(powers, chosen, strict=True):
        np.add.at(row, list(indices), 1)
    return powers


def monomials(theta: FloatArray, powers: IntArray) -> FloatArray:
    """Monomials prod_i theta_i ** powers_i, (..., n_monomials)."""
    return np.prod(theta[..., None, :] ** powers, axis=-1)


def monomial_derivatives(theta: FloatArray, powers: IntArray, order: int) -> FloatArray:
    """First or second derivatives, (n_theta, n_monomials, n_parameters[, again])."""
    n = powers.shape[1]
    out = np.empty((len(theta), len(powers)) + (n,) * order)
    for index in np.ndindex((n,) * order):
        lowered, factor = powers.copy(), np.ones(len(powers))
        for i in index:
            factor *= lowered[:, i]
            lowered[:, i] = np.maximum(lowered[:, i] - 1, 0)
        out[(..., *index)] = factor * monomials(theta, lowered)
    return out


def monomial_name(powers: Sequence[int] | IntArray, names: Any = None) -> str:
    """Readable monomial, for example ``t0*t1^2``."""
    names = [f"t{i}" for i in range(len(powers))] if names is None else names
    factors = [
        name if power == 1 else f"{name}^{power}"
        for name, power in zip(names, powers, strict=True)
        if power
    ]
    return "*".join(factors) or "1"


def count_derivatives(n_parameters: int) -> int:
    """Number of first and second derivatives, p + p (p + 1) / 2."""
    return n_parameters + n_parameters * (n_parameters + 1) // 2


@cache
def derivative_pairs(n_parameters: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices i <= j of the second derivatives in the order of their columns."""
    i, j = np.triu_indices(n_parameters)
    for indices in (i, j):
        indices.setflags(write=False)
    return i, j


def taylor_terms(theta: FloatArray, theta_ref: FloatArray) -> FloatArray:
    """Factors of derivatives in D - 1: dt_i, then dt_i^2 / 2 or dt_i dt_j, i < j."""
    step = theta - theta_ref
    i, j = derivative_pairs(theta_ref.size)
    second = step[..., i] * step[..., j] * np.where(i == j, 0.5, 1.0)
    return np.concatenate([step, second], axis=-1)


def taylor_gradient(theta: FloatArray, theta_ref: FloatArray) -> FloatArray:
    """Gradient (p + p (p + 1) / 2, p) of `taylor_terms` at one point (p,)."""
    n, step = theta_ref.size, theta - theta_ref
    i, j = derivative_pairs(n)
    unit = np.eye(n)
    second = step[j, None] * unit[i] + step[i, None] * unit[j]
    second[i == j] *= 0.5
    return np.concatenate([unit, second])
