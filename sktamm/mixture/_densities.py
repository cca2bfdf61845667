"""Class densities as blends of components, with their derivatives.

    linear       ln q(x) = ln sum_k w_k r_k(x),        w = softmax(V u)
    exponential  ln q(x) = o(x) + d(x).z - ln Z(z),    Z = sum_j m_j exp(o_j + d_j.z)

with ``r_k`` the density ratios of the components to the reference, ``V`` an orthonormal
contrast basis, and (o, d) the offset and directions that a prior builds, whitened so
that z ~ N(0, 1) (arXiv:2604.02219). The first axis of all arrays runs over fits.
"""

from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

from sktamm._arrays import moved, namespace
from sktamm._numerics import FloatArray, contrast_basis, normalise_exp, softmax

__all__ = ["ClassDensity", "Evaluation", "ExponentialDensity", "LinearDensity"]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """ln q at the rows and what its derivatives need, form by form."""

    log_density: FloatArray  # (n_fits, n_rows)
    # exponential: shares (n_fits, n_reference) and means (n_fits, n_params),
    # linear: weights (n_fits, n_components) and densities (n_fits, n_rows)
    share: FloatArray
    moment: FloatArray


class ClassDensity(Protocol):
    """What the mixture needs from the density of one class."""

    n_params: int
    is_linear: bool

    def moved(self, xp: Any) -> Self:
        """The same density with its arrays in a namespace."""

    def evaluate(self, params: FloatArray) -> Evaluation:
        """Log density (n_fits, n_rows) at ``params`` (n_fits, n_params)."""

    def pull_back(self, at: Evaluation, row_weight: FloatArray) -> FloatArray:
        """Sum_i g_i d ln q_i / d params, shape (n_fits, n_params)."""

    def jacobian(self, at: Evaluation) -> FloatArray:
        """Derivatives d ln q_i / d params, shape (n_fits, n_rows, n_params)."""

    def curvature(self, at: Evaluation, row_weight: FloatArray) -> FloatArray:
        """Sum_i g_i d2 ln q_i / d params2, shape (n_fits, n_params, n_params)."""

    def bound_curvature(
        self, at: Evaluation, row_weight: FloatArray
    ) -> FloatArray | float:
        """Curvature that scoring misses where the data push against a bound."""

    def weights(self, params: FloatArray) -> FloatArray:
        """Weights that a user reads: on the simplex, or coefficients of directions."""

    def statistical_variance(self, at: Evaluation) -> FloatArray | float:
        """Relative variance of q at the rows from the components' finite statistics."""


class ExponentialDensity:
    """ln q = offset + directions . z - ln Z(z), at rows and at reference rows."""

    is_linear = False

    def __init__(
        self,
        offset: FloatArray,
        directions: FloatArray,
        reference_offset: FloatArray,
        reference_directions: FloatArray,
        reference_weight: FloatArray,
        offset_variance: FloatArray | None = None,
    ):
        self.offset = offset
        self.directions = directions
        self.reference_offset = reference_offset
        self.reference_directions = reference_directions
        self.reference_weight = reference_weight
        self.offset_variance = offset_variance
        self.shared_rows = directions is reference_directions
        self.n_params = directions.shape[1]

    def moved(self, xp: Any) -> Self:
        """The same density with its arrays in a namespace."""
        return moved(self, xp)

    def evaluate(self, params: FloatArray) -> Evaluation:
        """Log density; shares m_j q_j of the reference rows; means E_q[d]."""
        log_q = self.offset + params @ self.directions.T
        reference = log_q if self.shared_rows else self._at_reference(params)
        share, log_z = normalise_exp(reference, self.reference_weight)
        log_q -= log_z[:, None]
        return Evaluation(log_q, share, share @ self.reference_directions)

    def _at_reference(self, params: FloatArray) -> FloatArray:
        return self.reference_offset + params @ self.reference_directions.T

    def pull_back(self, at: Evaluation, row_weight: FloatArray) -> FloatArray:
        """Sum_i g_i (d_i - E_q[d])."""
        total = row_weight.sum(axis=1, keepdims=True)
        return row_weight @ self.directions - total * at.moment

    def jacobian(self, at: Evaluation) -> FloatArray:
        """Directions centred under q."""
        return self.directions - at.moment[:, None, :]

    def curvature(self, at: Evaluation, row_weight: FloatArray) -> FloatArray:
        """Minus the covariance of the directions under q, times the total weight."""
        centred = self.reference_directions - at.moment[:, None, :]
        covariance = (centred * at.share[:, :, None]).swapaxes(1, 2) @ centred
        return -row_weight.sum(axis=1)[:, None, None] * covariance

    def bound_curvature(
        self, at: Evaluation, row_weight: FloatArray
    ) -> FloatArray | float:
        """Nothing: the directions have no bound."""
        return 0.0

    def weights(self, params: FloatArray) -> FloatArray:
        """Coefficients of the whitened directions."""
        return params

    def statistical_variance(self, at: Evaluation) -> FloatArray | float:
        """Error of the central log density, whatever the amplitudes."""
        return 0.0 if self.offset_variance is None else self.offset_variance


class LinearDensity:
    """ln q = ln sum_k w_k r_k, w = softmax(V u), ``ratio`` (n_rows, n_components)."""

    is_linear = True

    def __init__(self, ratio: FloatArray, relative_variance: FloatArray | None = None):
        self.ratio = ratio
        self.relative_variance = relative_variance
        self.contrast = contrast_basis(ratio.shape[1])
        self.n_params = ratio.shape[1] - 1

    def moved(self, xp: Any) -> Self:
        """The same density with its arrays in a namespace."""
        return moved(self, xp)

    def evaluate(self, params: FloatArray) -> Evaluation:
        """Log density; the weights; the density itself."""
        weights = self.weights(params)
        density = weights @ self.ratio.T
        return Evaluation(namespace(density).log(density), weights, density)

    def pull_back(self, at: Evaluation, row_weight: FloatArray) -> FloatArray:
        """V' [ w_k (sum_i g_i r_ki / q_i - sum_i g_i) ]."""
        drive = (row_weight / at.moment) @ self.ratio
        total = row_weight.sum(axis=1, keepdims=True)
        return (at.share * (drive - total)) @ self.contrast

    def responsibilities(self, at: Evaluation) -> FloatArray:
        """Share of every component in the density at every row."""
        return at.share[:, None, :] * (self.ratio / at.moment[:, :, None])

    def jacobian(self, at: Evaluation) -> FloatArray:
        """Responsibilities minus weights, in contrast coordinates."""
        return (self.responsibilities(at) - at.share[:, None, :]) @ self.contrast

    def curvature(self, at: Evaluation, row_weight: FloatArray) -> FloatArray:
        """V' [ sum_i g_i (diag(pi_i) - pi_i pi_i') - G (diag(w) - w w') ] V."""
        shares = self.responsibilities(at)
        weighted = shares * row_weight[:, :, None]
        total = row_weight.sum(axis=1)[:, None]
        diagonal = weighted.sum(axis=1) - total * at.share
        outer = at.share[:, :, None] * at.share[:, None, :]
        inner = total[:, :, None] * outer - weighted.swapaxes(1, 2) @ shares
        index = np.arange(inner.shape[1])
        inner[:, index, index] += diagonal
        return self.contrast.T @ inner @ self.contrast

    def bound_curvature(
        self, at: Evaluation, row_weight: FloatArray
    ) -> FloatArray | float:
        """V' diag(max(h, 0)) V with h_k = w_k (sum_i g_i - sum_i g_i r_ki / q_i).

        The slope h of a weight that the data push to zero is its curvature as well, in
        the logarithm of the weight; the square of the scores misses it.
        """
        drive = (row_weight / at.moment) @ self.ratio
        total = row_weight.sum(axis=1, keepdims=True)
        height = namespace(drive).maximum(at.share * (total - drive), 0.0)
        return (self.contrast.T * height[:, None, :]) @ self.contrast

    def weights(self, params: FloatArray) -> FloatArray:
        """Weights on the simplex."""
        return softmax(params @ self.contrast.T)

    def statistical_variance(self, at: Evaluation) -> FloatArray | float:
        """Sum_k pi_ki^2 v_ki with the responsibilities pi."""
        if self.relative_variance is None:
            return 0.0
        squares = self.responsibilities(at) ** 2
        return np.einsum("bik,ik->bi", squares, self.relative_variance)
