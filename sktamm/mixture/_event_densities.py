"""Class densities at events: what a blend contributes to sums over rows.

The derivative of ln q at row i is an affine function of fixed features of the row,

    d ln q_i / d params = A sigma_i phi_i + b,

    exponential  phi = directions,        sigma = 1,    A = 1,           b = -E_q[d]
    linear       phi = component ratios,  sigma = 1/q,  A = V' diag(w),  b = -V' w

so gradients and Hessians need only sums of phi and phi phi', taken in blocks of rows.
Many reference rows are stored in single precision, and summed in double.
"""

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sktamm._arrays import moved, namespace, on_gpu, to_numpy
from sktamm._numerics import FloatArray, contrast_basis, softmax
from sktamm.mixture._made_rows import MadeRows, Rows, number_of, rows_of
from sktamm.mixture._reference_barrier import FEW_ROWS, Barrier, barrier_height

__all__ = ["EventDensity", "EventExponential", "EventLinear", "Moments", "Sums"]

# A block that a core's cache holds (0.6 MB; 30 % faster than 5 MB with ten parameters),
# of no fewer rows than calls cost more than; and, a rule of thumb, a number from which
# single precision saves more memory than anything else holds.
_BLOCK_ENTRIES, _SMALLEST_BLOCK = 80_000, 256
_SINGLE_ABOVE = 50_000
# 64 MB of doubles, a rule of thumb: many rows per call, little of a GPU's memory.
_GPU_BLOCK_ENTRIES = 8_000_000


def storage(n_rows: int) -> type:
    """Type of so many reference rows: rounding, 1e-7, is far below their statistics."""
    return np.float32 if n_rows > _SINGLE_ABOVE else np.float64


def row_blocks(
    n_rows: int, entries_per_row: int, entries: int = _BLOCK_ENTRIES
) -> list[slice]:
    """Slices of consecutive rows that bound the memory of one block."""
    size = max(_SMALLEST_BLOCK, entries // max(entries_per_row, 1))
    return [slice(i, min(i + size, n_rows)) for i in range(0, n_rows, size)]


def _contiguous(values: Any) -> Any:
    """An array in the order in which it is read; what is made has none."""
    return values if isinstance(values, MadeRows) else np.ascontiguousarray(values)


@dataclass(frozen=True, eq=False)
class Moments:
    """What the reference sample says about q at some parameters."""

    params: FloatArray  # (n_fits, n_params)
    log_z: FloatArray  # (n_fits,), log normalisation
    affine: FloatArray  # (n_fits, n_params), the vector b
    linear: FloatArray | None = None  # (n_fits, n_params, n_features), A if not 1
    # (n_fits, n_params, n_params), of the directions under q; None where not asked for
    covariance: FloatArray | None = None
    # (n_fits,), sum of squared shares of the reference rows: 1 / effective sample size
    inverse_size: FloatArray | None = None

    def applied(self, along: FloatArray) -> FloatArray:
        """A' u for every fit."""
        if self.linear is None:
            return along
        return namespace(along).einsum("bp,bpm->bm", along, self.linear)

    def score_sum(self, zeroth: FloatArray, first: FloatArray) -> FloatArray:
        """Sum W (A sigma phi + b), of sums of W and of W sigma phi."""
        moved = first
        if self.linear is not None:
            einsum = namespace(first).einsum
            moved = einsum("bpm,bm->bp", self.linear, first)
        return moved + zeroth[:, None] * self.affine


@dataclass(frozen=True, eq=False)
class Sums:
    """Weighted sums over rows: of one, of sigma phi, and of their outer product."""

    zeroth: FloatArray
    first: FloatArray
    other: FloatArray
    second: FloatArray


class EventDensity:
    """What the mixture of events needs from the density of one class."""

    n_params: int
    is_linear: bool
    exact: bool  # whether sums are as exact as doubles
    features: Any  # (n_rows, n_features), an array or, of many rows, `MadeRows`
    reference_features: NDArray[Any]  # (n_reference, n_features)

    @cached_property
    def transposed(self) -> Any:
        """Features, one row per function."""
        if isinstance(self.features, MadeRows):
            return self.features.T
        return namespace(self.features).ascontiguousarray(self.features.T)

    @cached_property
    def light(self) -> tuple[Any, Any]:
        """Features and their transpose for second derivatives, of few digits."""
        if isinstance(self.features, MadeRows):
            return self.features, self.features.T
        xp, dtype = namespace(self.features), storage(len(self.features))
        light: NDArray[Any] = xp.ascontiguousarray(self.features, dtype)
        return light, xp.ascontiguousarray(light.T)

    @property
    def block_entries(self) -> int:
        """Numbers in a block of rows."""
        # features may be made; the reference is an array
        there = on_gpu(self.reference_features)
        return _GPU_BLOCK_ENTRIES if there else _BLOCK_ENTRIES

    def moved(self, xp: Any) -> Self:
        """The same density with its arrays in a namespace, functions made at once."""
        new = self._without_copies()
        if isinstance(new.features, MadeRows):
            new.features = new.features.whole()
        return moved(new, xp)

    def _without_copies(self) -> Self:
        """A shallow copy that makes its other forms of the features anew."""
        new = copy.copy(self)
        for name in ("transposed", "light"):
            new.__dict__.pop(name, None)
        return new

    def blended(self, params: FloatArray, rows: slice) -> FloatArray:
        """Sum_m params_m phi_m at a block of rows, (n_fits, n_block)."""
        if isinstance(self.features, MadeRows):
            return self.features.blended(params, rows)
        found: FloatArray = params @ self.transposed[:, rows]
        return found

    def total(self, weight: FloatArray, rows: slice) -> FloatArray:
        """Sum_i weight_i phi_i over a block of rows, (n_fits, n_features)."""
        if isinstance(self.features, MadeRows):
            return self.features.total(weight, rows)
        found: FloatArray = weight @ self.features[rows]
        return found

    def prepare(self, rows: slice) -> None:
        """Make a block of which second derivatives will be asked, too."""
        if isinstance(self.features, MadeRows):
            self.features.block(rows)

    def take_rows(self, rows: Rows) -> Self:
        """The same density at some of the rows, ascending; the reference is shared."""
        if number_of(rows) == len(self.features):  # all of them, without a copy
            return copy.copy(self)
        new = self._without_copies()
        new.features = rows_of(self.features, rows)
        return new

    def moments(self, params: FloatArray, second: bool) -> Moments:
        """Sums over the reference sample."""
        raise NotImplementedError

    def log_density(self, at: Moments, rows: slice) -> FloatArray:
        """Ln q, shape (n_fits, n_block)."""
        raise NotImplementedError

    def scale(self, log_density: FloatArray) -> FloatArray | float:
        """Sigma, shape (n_fits, n_block) or one."""
        raise NotImplementedError

    def own_curvature(
        self, at: Moments, zeroth: FloatArray, first: FloatArray
    ) -> FloatArray:
        """Part of sum g (J J' + d2 ln q) that is no sum of phi phi'."""
        raise NotImplementedError

    def reference_size(self, at: Moments, reference_weight: FloatArray) -> float:
        """Effective number of reference rows under q, for one fit."""
        shares = self._reference_values(at) * reference_weight
        return float(shares.sum() ** 2 / (shares**2).sum())

    def _reference_values(self, at: Moments) -> FloatArray:
        """Density q at the reference rows of one fit, (n_reference,)."""
        raise NotImplementedError

    def barrier(self, at: Moments, order: int) -> Barrier | None:
        """Barrier before few reference rows, None where no fit is near it."""
        return None

    def weights(self, params: FloatArray) -> FloatArray:
        """Weights that a user reads."""
        raise NotImplementedError


class EventExponential(EventDensity):
    """ln q = offset + directions . z - ln Z(z) at events.

    ``blend`` (n_densities,), (n_densities, n_params): the coefficients of the learned
    log densities in the offset and the directions.
    """

    is_linear = False

    def __init__(
        self,
        offset: FloatArray,
        directions: Any,
        reference_offset: FloatArray,
        reference_directions: FloatArray,
        reference_weight: FloatArray,
        blend: tuple[FloatArray, FloatArray],
    ):
        self.blend = blend
        self.offset = offset
        self.features = _contiguous(directions)
        self.dtype = storage(reference_weight.size)
        self.reference_offset: NDArray[Any] = reference_offset.astype(self.dtype)
        self.reference_features: NDArray[Any] = np.ascontiguousarray(
            reference_directions, self.dtype
        )
        self.reference_transposed = np.ascontiguousarray(self.reference_features.T)
        self.reference_weight: NDArray[Any] = reference_weight.astype(self.dtype)
        self.n_params = directions.shape[1]
        self.exact = self.dtype is np.float64
        self._last: Moments | None = None

    def moved(self, xp: Any) -> Self:
        """The same density with its arrays in a namespace."""
        new = super().moved(xp)
        new._last = None
        return new

    def take_rows(self, rows: Rows) -> Self:
        """The same density at some of the rows; the reference is shared."""
        new = super().take_rows(rows)
        # a piece of the rows is asked at the same parameters, another dataset is not
        new._last = self._last if isinstance(rows, slice) else None
        if number_of(rows) < len(self.offset):
            new.offset = self.offset[rows]
        return new

    def moments(self, params: FloatArray, second: bool) -> Moments:
        """Sums over the reference in blocks, shifted by a running maximum."""
        xp, last = namespace(params), self._last
        known = last is not None and xp.array_equal(last.params, params)
        if last is not None and known and (last.covariance is not None or not second):
            return last
        top, zeroth, first, products, squares = self._reference_sums(params, second)
        mean = first / zeroth[:, None]
        covariance = None
        if second:
            covariance = products / zeroth[:, None, None]
            covariance -= mean[:, :, None] * mean[:, None, :]
        log_z = top + xp.log(zeroth)
        inverse_size = squares / zeroth**2
        self._last = Moments(
            xp.copy(params), log_z, -mean, None, covariance, inverse_size
        )
        return self._last

    @cached_property
    def onset(self) -> float:
        """Sum of squared shares at which the barrier begins: that of few rows."""
        # or of half the rows of the centre, from where fits start
        offset = to_numpy(self.reference_offset).astype(float)
        mass = to_numpy(self.reference_weight) * np.exp(offset - offset.max())
        return max(1.0 / FEW_ROWS, 2.0 * float((mass**2).sum() / mass.sum() ** 2))

    def barrier(self, at: Moments, order: int) -> Barrier | None:
        """Barrier before few reference rows, None where no fit is near it."""
        # dS = 2 S e and d2S = 4 S (e e' + Cov_2) - 2 S Cov_1: e is the mean of the
        # directions under the squared shares less that under the shares, and Cov_2,
        # Cov_1 are their covariances under them.
        share: Any = at.inverse_size
        if not (share > self.onset).any():
            return None
        n_fits, p = at.params.shape
        xp = namespace(share)
        height, slope, bend = barrier_height(share, self.onset)
        gradient, (hessian, convex) = xp.zeros((n_fits, p)), xp.zeros((2, n_fits, p, p))
        for b in np.flatnonzero(to_numpy(slope)).tolist() if order else ():
            mean, covariance = self._under_squares(at, b, order)
            drift = mean + at.affine[b]
            outer = xp.outer(drift, drift)
            gradient[b] = 2.0 * slope[b] * share[b] * drift
            if order == 2:
                rise = slope[b] * share[b]
                convex[b] = 4.0 * (rise * covariance + bend[b] * share[b] ** 2 * outer)
                convex[b] += 4.0 * rise * outer
                assert at.covariance is not None
                hessian[b] = convex[b] - 2.0 * rise * at.covariance[b]
        return Barrier(height, gradient, hessian, convex)

    def _under_squares(
        self, at: Moments, b: int, order: int
    ) -> tuple[FloatArray, FloatArray]:
        """Mean and covariance of the directions under the squared shares of one fit."""
        p, xp = self.n_params, namespace(at.params)
        total, first, products = 0.0, xp.zeros((p,)), xp.zeros((p, p))
        for rows in self._reference_blocks(p):
            values = self._at_reference(at.params[b : b + 1], rows)[0]
            values -= xp.asarray(at.log_z[b], self.dtype)
            squares = (xp.exp(values) * self.reference_weight[rows]) ** 2
            features = self.reference_features[rows]
            total += float(squares.sum(dtype=float))
            first += squares @ features
            if order == 2:
                products += (self.reference_transposed[:, rows] * squares) @ features
        mean = first / total
        return mean, products / total - xp.outer(mean, mean)

    def _reference_sums(
        self, params: FloatArray, second: bool
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
        (n_fits, p), xp = params.shape, namespace(params)
        top = xp.full((n_fits,), -np.inf)
        zeroth, squares = xp.zeros((2, n_fits))
        first, products = xp.zeros((n_fits, p)), xp.zeros((n_fits, p, p))
        for rows in self._reference_blocks(n_fits * (p if second else 2)):
            values = self._at_reference(params, rows)
            highest = xp.asarray(xp.amax(values, axis=1), float)
            new_top = xp.maximum(top, highest)
            shrink = xp.exp(top - new_top)
            rounded = xp.asarray(new_top, self.dtype)
            values -= rounded[:, None]
            xp.exp(values, out=values)
            values *= self.reference_weight[rows]
            top = xp.asarray(rounded, float)
            features = self.reference_features[rows]
            zeroth = zeroth * shrink + values.sum(axis=1, dtype=float)
            squares = squares * shrink**2 + xp.einsum("bi,bi->b", values, values)
            first = first * shrink[:, None] + values @ features
            if second:
                weighted = self.reference_transposed[:, rows] * values[:, None, :]
                products = products * shrink[:, None, None] + weighted @ features
        return top, zeroth, first, products, squares

    def _reference_blocks(self, entries_per_row: int) -> list[slice]:
        n_rows = len(self.reference_offset)
        return row_blocks(n_rows, entries_per_row, self.block_entries)

    def _at_reference(self, params: FloatArray, rows: slice) -> NDArray[Any]:
        """Offset + directions . z at reference rows.

        What rounding takes from z would move all rows together and is added back; what
        it takes from the rows averages out.
        """
        xp = namespace(params)
        rounded = xp.asarray(params, self.dtype)
        features = self.reference_transposed[:, rows]
        values: NDArray[Any] = rounded @ features
        if self.dtype is np.float32:
            values += xp.asarray(params - rounded, self.dtype) @ features
        values += self.reference_offset[rows]
        return values

    def log_density(self, at: Moments, rows: slice) -> FloatArray:
        """Offset + directions . z - ln Z."""
        values = self.blended(at.params, rows)
        values += self.offset[rows]
        values -= at.log_z[:, None]
        return values

    def scale(self, log_density: FloatArray) -> FloatArray | float:
        """One."""
        return 1.0

    def own_curvature(
        self, at: Moments, zeroth: FloatArray, first: FloatArray
    ) -> FloatArray:
        """Minus the covariance of the directions under q, times the total weight."""
        assert at.covariance is not None
        return -zeroth[:, None, None] * at.covariance

    def weights(self, params: FloatArray) -> FloatArray:
        """Coefficients of the whitened directions."""
        return params

    def _reference_values(self, at: Moments) -> FloatArray:
        return self.reference_density(at, slice(None))

    def reference_density(self, at: Moments, rows: slice) -> FloatArray:
        """Normalised density q at reference rows of one fit, shape (n_block,)."""
        values = self._at_reference(at.params, rows)
        return np.exp(values[0].astype(float) - at.log_z[0])


class EventLinear(EventDensity):
    """ln q = ln sum_k w_k r_k, w = softmax(V u), ``ratio`` (n_rows, n_components)."""

    is_linear = True
    exact = True

    def __init__(self, ratio: Any, reference_ratio: FloatArray):
        self.features = _contiguous(ratio)
        dtype = storage(len(reference_ratio))
        self.reference_features: NDArray[Any] = np.ascontiguousarray(
            reference_ratio, dtype
        )
        self.contrast = contrast_basis(ratio.shape[1])
        self.n_params = ratio.shape[1] - 1

    @property
    def ratio(self) -> Any:
        """Density ratios at the rows."""
        return self.features

    def _reference_values(self, at: Moments) -> FloatArray:
        return self.reference_features @ self.weights(at.params)[0]

    def moments(self, params: FloatArray, second: bool) -> Moments:
        """Weights and the affine map of the scores; normalised by construction."""
        weights = self.weights(params)
        linear = self.contrast.T * weights[:, None, :]
        none = namespace(params).zeros((len(params),))
        return Moments(params, none, -(weights @ self.contrast), linear)

    def log_density(self, at: Moments, rows: slice) -> FloatArray:
        """Ln of the weighted sum of ratios."""
        q = self.blended(self.weights(at.params), rows)
        return namespace(q).log(q)

    def scale(self, log_density: FloatArray) -> FloatArray | float:
        """1 / q."""
        return namespace(log_density).exp(-log_density)

    def own_curvature(
        self, at: Moments, zeroth: FloatArray, first: FloatArray
    ) -> FloatArray:
        """V' [diag(m) - m w' - w m' + 2 G w w' - G diag(w)] V, m = w * first."""
        weights = self.weights(at.params)
        shares = weights * first
        total = zeroth[:, None]
        cross = shares[:, :, None] * weights[:, None, :]
        outer = weights[:, :, None] * weights[:, None, :]
        inner = 2.0 * total[:, :, None] * outer - cross - cross.swapaxes(1, 2)
        index = np.arange(inner.shape[1])
        inner[:, index, index] += shares - total * weights
        return self.contrast.T @ inner @ self.contrast

    def weights(self, params: FloatArray) -> FloatArray:
        """Weights on the simplex."""
        return softmax(params @ self.contrast.T)
