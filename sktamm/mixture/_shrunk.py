"""Directions of a shrunk covariance that a few log densities teach.

With differences d_k of log densities, n of them free, and c_kj their coefficients in p
smooth functions psi_j, the inverse Wishart with p degrees of freedom and the scale
p diag(S) that is updated with n S = c'c predicts

    z ~ t_(n+1)(0, [n S + p diag(S)] / (n + 1))

for the coefficients of one more; what the functions leave stays a direction of its own.
Without the tails the factor (n + p) / (n + 1) is left out. Functions of bins without an
order share one variance, tr(S) / p in place of diag(S).
"""

from typing import NamedTuple

import numpy as np

from sktamm._numerics import FloatArray
from sktamm.mixture._features import Features

__all__ = ["Shrinkage", "compress", "shrunk_directions"]

# Of the variance, a rule of thumb: few simulations know neither it nor the noise well.
_LEAST_SPREAD = 0.5


class Shrinkage(NamedTuple):
    """How a covariance is shrunk."""

    target: str  # "diagonal" or "isotropic"
    tails: str  # "student" widens it by the error of the learned covariance
    span: bool  # whether what the smooth functions leave is kept
    tested: bool = True  # whether only what noise would not make is


def shrunk_directions(
    features: Features,
    differences: FloatArray,
    degrees: float,
    factor: float,
    how: Shrinkage,
) -> FloatArray:
    """(n_features, n_directions) of unit variance, of (n_densities, n_differences)."""
    size, p = features.n_densities, features.basis.shape[1]
    coefficients = features.projections(differences)
    noise = _noise(features, differences, degrees)
    inflation = (degrees + p) / (degrees + 1.0) if how.tails == "student" else 1.0
    scale = inflation * factor
    spread = coefficients * _without_noise(coefficients, features, degrees, noise)
    target = "isotropic" if features.unordered else how.target
    smooth = _factor(spread, degrees, target) * np.sqrt(scale)
    columns = np.vstack([np.zeros((size, p)), smooth])
    if not how.span:
        return columns
    rest = np.vstack([differences, -coefficients.T]) * np.sqrt(scale / degrees)
    if how.tested:
        rest = _significant(features, rest, scale, degrees, noise)
    return np.hstack([columns, rest])


def compress(
    features: Features, directions: FloatArray, tolerance: float = 1e-4
) -> FloatArray:
    """Directions of the same covariance that 1/tolerance^2 events see.

    They are orthogonal, but of bins without an order.
    """
    if directions.shape[1] == 0:
        return directions
    strength, rotation = np.linalg.eigh(features.scatter(directions))
    keep = strength > tolerance**2
    if features.unordered and keep.all():
        return directions  # many are equally strong: rounding would rotate them
    return directions @ rotation[:, keep]


# ------------------------------------------------------------------ private functions
def _factor(coefficients: FloatArray, degrees: float, target: str) -> FloatArray:
    """Square root of (1 - rho) S + rho target, with rho = p / (n + p).

    The isotropic one is symmetric: where many directions have the same variance,
    rounding chooses among others.
    """
    p = coefficients.shape[1]
    covariance = coefficients.T @ coefficients / degrees
    variances = np.diag(covariance)
    if target == "isotropic" and p:
        variances = np.full(p, variances.mean())
    rho = p / (degrees + p)
    shrunk = (1.0 - rho) * covariance + rho * np.diag(variances)
    values, vectors = np.linalg.eigh(shrunk)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return root @ vectors.T if target == "isotropic" else root


def _noise(
    features: Features, differences: FloatArray, degrees: float
) -> FloatArray | None:
    """Part of the variance of the differences that is statistical, per row."""
    if features.relative_variance is None:
        return None
    return features.relative_variance @ (differences**2).sum(axis=1) / degrees


def _without_noise(
    coefficients: FloatArray,
    features: Features,
    degrees: float,
    noise: FloatArray | None,
) -> FloatArray:
    """Share of the spread of every coefficient that is no noise, sqrt(1 - N/S).

    Of bins without an order it is the same for all.
    """
    if noise is None:
        return np.ones(features.basis.shape[1])
    weighted = features.reference_weight[:, None] * features.basis
    spread = (coefficients**2).sum(axis=0) / degrees
    own = noise @ weighted**2
    if features.unordered:
        spread, own = spread.sum(keepdims=True), own.sum(keepdims=True)
    share = own / np.maximum(spread, np.finfo(float).tiny)
    return np.sqrt(np.maximum(1.0 - share, _LEAST_SPREAD))


def _significant(
    features: Features,
    rest: FloatArray,
    scale: float,
    degrees: float,
    noise: FloatArray | None,
) -> FloatArray:
    """Leave out directions below the Marchenko-Pastur edge of the templates' noise."""
    if noise is None:
        return rest
    bins = features.reference_weight.size
    mean = features.reference_weight @ noise
    edge = scale * mean / bins * (1.0 + np.sqrt(bins / degrees)) ** 2
    strength, rotation = np.linalg.eigh(features.scatter(rest))
    return rest @ rotation[:, strength > edge]
