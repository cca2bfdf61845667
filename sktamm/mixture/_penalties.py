"""Log prior densities of the blend's parameters, with derivatives.

    Gaussian    -|z|_Q^2 / 2
    Student t   -(nu + r)/2 ln(1 + |z|_Q^2 / nu),    |z|_Q^2 = z' Q z
    Dirichlet   sum_k alpha_k ln w_k                 in log-ratio coordinates

The Student t is what remains of a Gaussian prior when the scale of its covariance,
learned from few simulations, is itself uncertain (inverse Wishart). The exponent
alpha_k rather than alpha_k - 1 is the Jacobian of the log-ratio coordinates.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import cached_property
from typing import Any, Self

import numpy as np
from scipy import stats

from sktamm._arrays import moved, namespace
from sktamm._numerics import FloatArray, contrast_basis, smallest_of, softmax
from sktamm.mixture._left_out import NO_SCALES, Scales
from sktamm.mixture._tension import (
    Amplitudes,
    Inflation,
    agreed,
    amplitudes_of,
    normal_tail,
    statistic_axes,
    student_tail,
)

__all__ = [
    "DirichletPenalty",
    "GaussianPenalty",
    "Penalty",
    "RidgePenalty",
    "StackedPenalty",
    "StudentPenalty",
]


class Penalty:
    """Log prior density of a block of parameters; by default it judges none of them."""

    judges = False

    def moved(self, xp: Any) -> Self:
        """The same prior with its arrays in a namespace."""
        return moved(self, xp)

    def value(self, params: FloatArray) -> FloatArray:
        """Log density, shape (n_fits,), up to a constant."""
        raise NotImplementedError

    def gradient(self, params: FloatArray) -> FloatArray:
        """Gradient, shape (n_fits, n_params)."""
        raise NotImplementedError

    def information(self, params: FloatArray) -> FloatArray:
        """Positive semi-definite stand-in for minus the Hessian."""
        raise NotImplementedError

    def hessian(self, params: FloatArray) -> FloatArray:
        """Hessian, shape (n_fits, n_params, n_params): minus the information."""
        return -self.information(params)

    def draw(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Parameters drawn from the prior, shape (n, n_params)."""
        raise NotImplementedError

    def tail_probability(self, params: FloatArray) -> FloatArray:
        """Prior probability of parameters farther from the centre, (n_fits,)."""
        return np.ones(params.shape[0])

    def tension(
        self, params: FloatArray, covariance: FloatArray, inflation: Inflation = 1.0
    ) -> FloatArray:
        """P-value (n_fits,) of what the data say of the parameters, or not a number."""
        return np.full(params.shape[0], np.nan)

    def tension_axes(
        self, params: FloatArray, covariance: FloatArray, inflation: Inflation = 1.0
    ) -> FloatArray:
        """Columns F of a tension that judges |F'z|^2, (n_fits, n_params, n_params)."""
        return np.zeros_like(covariance)

    def left_out_variance(self) -> float | FloatArray:
        """Variance of one more simulation in units of the prior's."""
        return 1.0

    def widened(self, factor: float) -> "Penalty":
        """The same prior, as it judges truths that lie a factor farther out."""
        return self


class GaussianPenalty(Penalty):
    """Gaussian of mean zero and precision Q, (n_params, n_params)."""

    judges = True
    #: How far truths lie, in units of what the prior and the simulations say.
    distance = 1.0
    #: Gives the variance of one more simulation in units of the prior's.
    left_out: Callable[[], Scales] | None = None

    def __init__(self, precision: FloatArray):
        self.precision = precision

    @cached_property
    def usual(self) -> Scales:
        """Variance that one more simulation has, in units of the prior's."""
        return NO_SCALES if self.left_out is None else self.left_out()

    def left_out_variance(self) -> float:
        """Its mean."""
        return float(self.usual[0] @ self.usual[1]) * self.distance**2

    def widened(self, factor: float) -> "GaussianPenalty":
        """The same prior, as it judges truths that lie a factor farther out."""
        out = copy(self)
        out.distance, out.usual = factor * self.distance, self.usual
        return out

    def value(self, params: FloatArray) -> FloatArray:
        """-z'Qz/2."""
        return -0.5 * self._norm(params)

    def _norm(self, params: FloatArray) -> FloatArray:
        return namespace(params).einsum("bi,bi->b", params @ self.precision, params)

    def gradient(self, params: FloatArray) -> FloatArray:
        """-Qz."""
        return -params @ self.precision

    def tail_probability(self, params: FloatArray) -> FloatArray:
        """Of z'Qz, which is chi2 distributed."""
        if params.shape[1] == 0:
            return np.ones(params.shape[0])
        return stats.chi2.sf(self._norm(params), params.shape[1])

    def tension(
        self, params: FloatArray, covariance: FloatArray, inflation: Inflation = 1.0
    ) -> FloatArray:
        """Of the distance from the centre in the directions that the data know."""
        amplitudes = self._amplitudes(params, covariance, inflation)
        return agreed(normal_tail(amplitudes, self.usual), normal_tail(amplitudes))

    def tension_axes(
        self, params: FloatArray, covariance: FloatArray, inflation: Inflation = 1.0
    ) -> FloatArray:
        """Columns of directions that the data know, scaled as the tension does."""
        root, whitened = self._whitened(covariance)
        return root @ statistic_axes(whitened, self._scale(params), inflation)

    def _whitened(self, covariance: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Root of the precision, and the covariance where that is the unit matrix."""
        root = np.asarray(np.linalg.cholesky(self.precision), float)
        return root, root.T @ covariance @ root

    def _amplitudes(
        self, params: FloatArray, covariance: FloatArray, inflation: Inflation
    ) -> Amplitudes:
        """In the coordinates in which the precision is the unit matrix."""
        root, whitened = self._whitened(covariance)
        scale = self._scale(params)
        values, noise, used = amplitudes_of(params @ root, whitened, scale, inflation)
        return values / self.distance, noise, used

    def draw(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Normal draws of precision Q."""
        root = np.linalg.cholesky(self.precision)
        normal = rng.standard_normal((n, root.shape[0]))
        return np.linalg.solve(root.T, normal.T).T

    def _scale(self, params: FloatArray) -> FloatArray:
        """Factor on the precision at the parameters."""
        return np.ones(params.shape[0])

    def information(self, params: FloatArray) -> FloatArray:
        """The precision."""
        shape = (params.shape[0], *self.precision.shape)
        return namespace(params).broadcast_to(self.precision, shape)


class RidgePenalty(GaussianPenalty):
    """Gaussian regulariser, which makes no claim about likely parameters."""

    judges = False
    tail_probability = Penalty.tail_probability
    tension = Penalty.tension

    def widened(self, factor: float) -> "RidgePenalty":
        """Itself: nothing is unlikely."""
        return self


class StudentPenalty(GaussianPenalty):
    """Multivariate Student t of location zero, inverse scale Q and nu degrees."""

    def __init__(self, precision: FloatArray, degrees: float):
        super().__init__(precision)
        self.degrees = degrees

    def value(self, params: FloatArray) -> FloatArray:
        """-(nu + r)/2 ln(1 + z'Qz/nu)."""
        size = self.degrees + params.shape[1]
        log1p = namespace(params).log1p
        return -0.5 * size * log1p(self._norm(params) / self.degrees)

    def _shrink(self, params: FloatArray) -> FloatArray:
        """Expected precision scale given z: (nu + r) / (nu + z'Qz)."""
        size = self.degrees + params.shape[1]
        return (size / (self.degrees + self._norm(params)))[:, None]

    def gradient(self, params: FloatArray) -> FloatArray:
        """-Qz (nu + r)/(nu + z'Qz)."""
        return -self._shrink(params) * (params @ self.precision)

    def tail_probability(self, params: FloatArray) -> FloatArray:
        """Of z'Qz / r, which is F distributed with r and nu degrees."""
        size = params.shape[1]
        if size == 0:
            return np.ones(params.shape[0])
        return stats.f.sf(self._norm(params) / size, size, self.degrees)

    def tension(
        self, params: FloatArray, covariance: FloatArray, inflation: Inflation = 1.0
    ) -> FloatArray:
        """The same for the mixture of Gaussians that a Student t is."""
        amplitudes = self._amplitudes(params, covariance, inflation)
        usual = student_tail(amplitudes, self.degrees, self.usual)
        return agreed(usual, student_tail(amplitudes, self.degrees))

    def draw(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Normal draws over the root of Gamma draws."""
        half = 0.5 * self.degrees
        scale = rng.gamma(half, 1.0 / half, n)
        return super().draw(n, rng) / np.sqrt(scale)[:, None]

    def _scale(self, params: FloatArray) -> FloatArray:
        return self._shrink(params)[:, 0]

    def hessian(self, params: FloatArray) -> FloatArray:
        """Derivative of the gradient; not everywhere negative definite."""
        drive = params @ self.precision
        scale = self._shrink(params)[:, :, None]
        size = self.degrees + params.shape[1]
        outer = drive[:, :, None] * drive[:, None, :]
        return scale * (2.0 * scale / size * outer - self.precision)

    def information(self, params: FloatArray) -> FloatArray:
        """The precision times its expected scale."""
        return self._shrink(params)[:, :, None] * self.precision


class StackedPenalty(Penalty):
    """Independent penalties of consecutive parameters, as many as their numbers say."""

    def __init__(self, parts: Sequence[tuple[int, Penalty]]):
        ends = np.cumsum([0, *(size for size, _ in parts)])
        self.parts = [
            (slice(end - size, end), penalty)
            for end, (size, penalty) in zip(ends[1:], parts, strict=True)
            if size
        ]
        self.judges = any(penalty.judges for _, penalty in self.parts)

    def moved(self, xp: Any) -> Self:
        """Of every part."""
        new = copy(self)
        new.parts = [(own, penalty.moved(xp)) for own, penalty in self.parts]
        return new

    def _apply(self, name: str, params: FloatArray) -> Iterator[tuple[slice, Any]]:
        """Columns of every part and what its method says of them."""
        for own, penalty in self.parts:
            yield own, getattr(penalty, name)(params[:, own])

    def value(self, params: FloatArray) -> FloatArray:
        """Sum over the parts."""
        values = (found for _, found in self._apply("value", params))
        zero = namespace(params).zeros((len(params),))
        return sum(values, start=zero)

    def gradient(self, params: FloatArray) -> FloatArray:
        """That of every part in its columns."""
        out: FloatArray = namespace(params).zeros_like(params)
        for own, found in self._apply("gradient", params):
            out[:, own] = found
        return out

    def hessian(self, params: FloatArray) -> FloatArray:
        """Of blocks."""
        return self._blocks("hessian", params)

    def information(self, params: FloatArray) -> FloatArray:
        """Of blocks."""
        return self._blocks("information", params)

    def _blocks(self, name: str, params: FloatArray) -> FloatArray:
        out: FloatArray = namespace(params).zeros((*params.shape, params.shape[1]))
        for own, found in self._apply(name, params):
            out[:, own, own] = found
        return out

    def tail_probability(self, params: FloatArray) -> FloatArray:
        """The smallest of the parts, for their number."""
        found = [p for _, p in self._apply("tail_probability", params)]
        return smallest_of(np.array(found)) if found else np.ones(len(params))

    def tension(
        self, params: FloatArray, covariance: FloatArray, inflation: Inflation = 1.0
    ) -> FloatArray:
        """The smallest of the parts, each with the others integrated out."""
        found = [
            penalty.tension(params[:, own], covariance[:, own, own], inflation)
            for own, penalty in self.parts
        ]
        return smallest_of(np.array(found)) if found else np.full(len(params), np.nan)

    def tension_axes(
        self, params: FloatArray, covariance: FloatArray, inflation: Inflation = 1.0
    ) -> FloatArray:
        """Of blocks."""
        out = np.zeros_like(covariance)
        for own, penalty in self.parts:
            part = params[:, own], covariance[:, own, own]
            out[:, own, own] = penalty.tension_axes(*part, inflation)
        return out

    def left_out_variance(self) -> FloatArray:
        """That of the part of every parameter, shape (n_params,)."""
        sizes = [own.stop - own.start for own, _ in self.parts]
        return np.repeat([p.left_out_variance() for _, p in self.parts], sizes)

    def widened(self, factor: float) -> "StackedPenalty":
        """Of every part."""
        out = copy(self)
        out.parts = [(own, penalty.widened(factor)) for own, penalty in self.parts]
        return out

    def draw(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Draws of every part."""
        found = [penalty.draw(n, rng) for _, penalty in self.parts]
        return np.hstack([np.zeros((n, 0)), *found])


class DirichletPenalty(Penalty):
    """Dirichlet of the weights, (n_components,) alpha, in isometric log-ratios."""

    def __init__(self, concentration: FloatArray):
        self.concentration = concentration
        self.contrast = contrast_basis(concentration.size)

    def value(self, params: FloatArray) -> FloatArray:
        """Sum_k alpha_k ln w_k."""
        weights = self._weights(params)
        return namespace(weights).log(weights) @ self.concentration

    def _weights(self, params: FloatArray) -> FloatArray:
        weights = softmax(params @ self.contrast.T)
        return namespace(weights).maximum(weights, np.finfo(float).tiny)

    def gradient(self, params: FloatArray) -> FloatArray:
        """V'(alpha - A w), A = sum alpha."""
        total = self.concentration.sum()
        return (self.concentration - total * self._weights(params)) @ self.contrast

    def draw(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Dirichlet draws in log-ratio coordinates."""
        weights = rng.dirichlet(self.concentration, n)
        return np.log(np.maximum(weights, np.finfo(float).tiny)) @ self.contrast

    def information(self, params: FloatArray) -> FloatArray:
        """A V'(diag(w) - w w')V."""
        weights = self._weights(params)
        inner = -weights[:, :, None] * weights[:, None, :]
        index = np.arange(weights.shape[1])
        inner[:, index, index] += weights
        return self.concentration.sum() * (self.contrast.T @ inner @ self.contrast)
