"""Weights of an ensemble of log density ratios, with their covariance: a convex fit.

The log ratio of two densities is a blend of imperfect functions f_i (members trained on
other events, and a constant), F = sum_i a_i f_i, and the weights minimise

    L(a) = E_num[-F + e^-F - 1] + E_den[F + e^F - 1]

on events that no member saw (arXiv:2506.00113). L is convex with its minimum at the
true log ratio where that is a blend. The weights are an M-estimator, so their error is
known (C = H^-1 B H^-1, B the covariance of the gradient), hence the pointwise variance
f' C f of the log ratio and the error of whatever is computed from it.

Ratios of several sources to one pooled reference share its events: their weights are
correlated. Every event's influence on all weights gives the joint covariance.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from sktamm.exceptions import ConvergenceWarning, InvalidInputError

__all__ = ["JointWeights", "RatioWeights", "fit_joint_weights", "fit_weights"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

_BLOCK = 1024  # rows; the terms of 20 sources with 4 members stay in the cache
_MAX_ITER = 60  # damped Newton steps on a convex loss: a safety bound
_TOL = 1e-12  # of the loss; its statistical noise is n_terms / n_events
# Members closer than this (relative, squared) count as one and the same function.
_SINGULAR = 1e-10
# Of a weight in units of its term, rule of thumb: beyond .3 of a term the noise of a
# weight is worth more than what the direction can gain.
_LARGEST_VARIANCE = 0.08


@dataclass(frozen=True, eq=False)
class RatioWeights:
    """Weights of the terms of one log ratio."""

    weights: FloatArray  # (n_terms,), minimum of the loss
    covariance: FloatArray  # (n_terms, n_terms), sandwich covariance of the weights
    # (n_terms,), expectation of the weights minus their true values, to first order in
    # 1 / n_events; not subtracted from ``weights``
    bias: FloatArray
    loss: float  # Symmetrised MLC loss at the minimum
    # Number of directions that the events determine: n_terms unless members coincide.
    # Undetermined directions stay where they started and get no variance.
    rank: int
    n_iterations: int  # Newton steps
    converged: bool  # Whether the fit reached its tolerance


@dataclass(frozen=True, eq=False)
class JointWeights:
    """Weights of the log ratios of several sources to their pooled reference."""

    # (n_sources, n_terms), minima of the losses; the last term is the constant
    weights: FloatArray
    # (n_sources * n_terms, n_sources * n_terms), joint covariance in the order of
    # ``weights.ravel()``
    covariance: FloatArray
    loss: FloatArray  # (n_sources,), symmetrised MLC losses at the minima
    # (n_sources,), number of directions that the events determine, as in `RatioWeights`
    rank: IntArray
    n_iterations: int  # Newton steps, taken for all sources at once
    converged: NDArray[np.bool_]  # (n_sources,), whether each fit reached its tolerance


def fit_weights(
    numerator: ArrayLike,
    denominator: ArrayLike,
    numerator_weight: ArrayLike | None = None,
    denominator_weight: ArrayLike | None = None,
) -> RatioWeights:
    """Weights of the terms of one log ratio from two samples (arXiv:2506.00113).

    Terms (n_numerator, n_terms), (n_denominator, n_terms) at the events of the two
    densities: members, and a constant last. Weights may be negative; only their
    proportions matter.
    """
    samples = [np.asarray(v, dtype=np.float64) for v in (numerator, denominator)]
    if samples[0].ndim != 2 or samples[0].shape[1:] != samples[1].shape[1:]:
        raise InvalidInputError(
            "numerator and denominator must be arrays of shape (n_events, n_terms) "
            f"with the same terms, got {samples[0].shape} and {samples[1].shape}."
        )
    above = _read_weight("numerator_weight", numerator_weight, len(samples[0]))
    below = _read_weight("denominator_weight", denominator_weight, len(samples[1]))
    sizes = [above.size, below.size]
    rows = _Rows(
        terms=np.concatenate(samples)[:, None, :],
        constant=False,
        source=np.zeros(sum(sizes), dtype=np.intp),
        above=np.concatenate([above / above.sum(), np.zeros(below.size)]),
        below=np.concatenate([np.zeros(above.size), below / below.sum()]),
        stratum=np.repeat(np.arange(2), sizes),
        block=_BLOCK,
    )
    n_terms = samples[0].shape[1]
    fit = _minimise(rows, np.zeros((1, n_terms)))
    covariance = _sandwich(rows, fit)
    return RatioWeights(
        weights=fit.weights[0],
        covariance=covariance,
        bias=_bias(rows, fit, covariance),
        loss=float(fit.at.loss[0]),
        rank=int(fit.rank[0]),
        n_iterations=fit.n_iterations,
        converged=bool(fit.converged[0]),
    )


# Matrices as small as these gain nothing from threads.
@threadpool_limits.wrap(limits=1, user_api="blas")
def fit_joint_weights(
    members: ArrayLike,
    source: ArrayLike,
    row_weight: ArrayLike,
    n_sources: int,
    *,
    block: int = _BLOCK,
) -> JointWeights:
    """Weights of the log ratios of all sources to the pooled reference.

    The rows are the held-out events of all sources: the numerator of a source are its
    own rows, its denominator all rows. The joint covariance sums the influences of the
    rows, stratified by source. ``members`` (n_rows, n_sources, n_members): ln[p_k /
    p_ref], a constant term is added; ``row_weight`` (n_rows,) may be negative.
    """
    terms = np.asarray(members)
    if terms.ndim != 3 or terms.shape[1] != n_sources:
        raise InvalidInputError(
            "members must have the shape (n_rows, n_sources, n_members) with "
            f"n_sources={n_sources}, got {terms.shape}."
        )
    index = _read_source(source, len(terms), n_sources)
    below = _read_weight("row_weight", row_weight, len(terms))
    below = below / below.sum()
    total = np.bincount(index, below, minlength=n_sources)
    bad = np.flatnonzero(~(total > 0))
    if bad.size:
        raise InvalidInputError(
            "row_weight must have a positive sum in every source, got "
            f"{total[bad[0]]:g} in source {bad[0]}."
        )
    rows = _Rows(terms, True, index, below / total[index], below, index, block)
    start = np.full((n_sources, terms.shape[2] + 1), 1.0 / max(terms.shape[2], 1))
    start[:, -1] = 0.0
    fit = _minimise(rows, start)
    return JointWeights(
        weights=fit.weights,
        covariance=_sandwich(rows, fit),
        loss=fit.at.loss,
        rank=fit.rank,
        n_iterations=fit.n_iterations,
        converged=fit.converged,
    )


class _Point(NamedTuple):
    """Losses of all sources with their derivatives at given weights."""

    loss: FloatArray  # (n_sources,)
    gradient: FloatArray  # (n_sources, n_terms)
    hessian: FloatArray  # (n_sources, n_terms, n_terms)


class _Fit(NamedTuple):
    weights: FloatArray
    at: _Point
    inverse: FloatArray  # of the Hessians
    rank: IntArray
    n_iterations: int
    converged: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Rows:
    """Events with their weights in the numerator of one source and all denominators."""

    terms: NDArray[Any]  # (n_rows, n_sources, n_columns)
    constant: bool  # whether to append a constant term
    source: IntArray
    above: FloatArray  # weight in the numerator of ``source``
    below: FloatArray  # weight in the denominators
    stratum: IntArray  # independent sample that the row belongs to
    block: int

    def blocks(self) -> Iterator[tuple[slice, FloatArray]]:
        """Rows and their terms, shape (n_sources, n_terms, n_block)."""
        n_rows, n_sources, n_terms = self.terms.shape
        for start in range(0, n_rows, self.block):
            part = slice(start, min(start + self.block, n_rows))
            f = np.ones((n_sources, n_terms + self.constant, part.stop - start))
            f[:, :n_terms] = self.terms[part].transpose(1, 2, 0)
            yield part, f

    def derivatives(
        self, part: slice, log_ratio: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Loss (n_sources,) of some rows, d loss / dF and d^2 loss / dF^2 of each."""
        source, above, below = self.source[part], self.above[part], self.below[part]
        own = source, np.arange(source.size)
        up, down = np.exp(log_ratio), np.exp(-log_ratio[own])
        gain = above * (down - log_ratio[own] - 1.0)
        loss = (log_ratio + up - 1.0) @ below
        loss += np.bincount(source, gain, minlength=len(log_ratio))
        curvature = below * up
        slope = below + curvature
        slope[own] -= above * (1.0 + down)
        curvature[own] += above * down
        return loss, slope, curvature


def _evaluate(rows: _Rows, weights: FloatArray) -> _Point:
    n_sources, n_terms = weights.shape
    loss = np.zeros(n_sources)
    gradient = np.zeros((n_sources, n_terms))
    hessian = np.zeros((n_sources, n_terms, n_terms))
    with np.errstate(over="ignore", invalid="ignore"):
        for part, f in rows.blocks():
            log_ratio = (weights[:, None] @ f)[:, 0]
            value, slope, curvature = rows.derivatives(part, log_ratio)
            loss += value
            gradient += (f @ slope[..., None])[..., 0]
            hessian += (f * curvature[:, None]) @ f.transpose(0, 2, 1)
    return _Point(loss, gradient, hessian)


def _minimise(rows: _Rows, start: FloatArray) -> _Fit:
    """Newton's method with backtracking, all sources at once."""
    weights, at = start, _evaluate(rows, start)
    if not all(np.isfinite(part).all() for part in at):
        raise InvalidInputError("members must be finite log ratios below 700 in size.")
    length = np.ones(len(start))
    directions, rank = _directions(at.hessian, _noise(rows))
    for n_iterations in range(_MAX_ITER + 1):
        inverse = _invert(at.hessian, directions)
        step = -(inverse @ at.gradient[..., None])[..., 0]
        fall = -(at.gradient * step).sum(axis=1)
        converged = fall <= 2.0 * _TOL
        if converged.all() or n_iterations == _MAX_ITER:
            break
        trial = weights + length[:, None] * step
        there = _evaluate(rows, trial)
        better = there.loss <= at.loss - 1e-4 * length * fall + 1e-15
        better &= ~converged
        weights = np.where(better[:, None], trial, weights)
        at = _Point(*(_choose(better, *pair) for pair in zip(there, at, strict=True)))
        length = np.where(better | converged, 1.0, 0.5 * length)
    if not converged.all():
        message = f"the weights of {(~converged).sum()} log ratios did not converge."
        warnings.warn(message, ConvergenceWarning, stacklevel=3)
    return _Fit(weights, at, inverse, rank, n_iterations, converged)


def _choose(which: NDArray[np.bool_], new: Any, old: Any) -> Any:
    return np.where(which.reshape(-1, *[1] * (new.ndim - 1)), new, old)


def _directions(hessian: FloatArray, noise: FloatArray) -> tuple[FloatArray, IntArray]:
    """Directions of the weights that the events determine, and their number.

    Members that hardly differ leave the difference of their weights to the noise of the
    events, which a non-linear use of the ratio turns into a bias: such directions stay
    where they start, at equal weights. In units of the terms' own sizes a direction of
    curvature h is kept if noise / h, the variance of its weight, is below a bound.
    """
    size = np.sqrt(np.maximum(np.einsum("kii->ki", hessian), 0.0))
    size[size == 0] = 1.0
    values, vectors = np.linalg.eigh(hessian / (size[:, :, None] * size[:, None]))
    if (values < -_SINGULAR).any():
        _refuse_concave(int(np.argmin(values[:, 0])))
    kept = values > np.maximum(_SINGULAR, noise[:, None] / _LARGEST_VARIANCE)
    vectors = vectors / size[:, :, None]
    return np.where(kept[:, None, :], vectors, 0.0), kept.sum(axis=1)


def _refuse_concave(source: int) -> None:
    raise InvalidInputError(
        "event weights must leave the loss of the log ratios convex, but negative "
        f"weights bend it down for source {source}."
    )


def _invert(hessian: FloatArray, directions: FloatArray) -> FloatArray:
    """Inverse within the span of some directions."""
    turned = directions.transpose(0, 2, 1)
    inner = turned @ hessian @ directions
    index = np.arange(inner.shape[1])
    inner[:, index, index] += (directions == 0).all(axis=1)
    lowest = np.linalg.eigvalsh(inner)[:, 0]
    if not (lowest > 0).all():
        _refuse_concave(int(np.argmin(lowest)))
    return directions @ np.linalg.inv(inner) @ turned


def _noise(rows: _Rows) -> FloatArray:
    """1/n of the numerator plus 1/n of the denominator of every source."""
    n_sources = rows.terms.shape[1]
    own = np.bincount(rows.source, rows.above**2, minlength=n_sources)
    return own + (rows.below**2).sum()


def _sandwich(rows: _Rows, fit: _Fit) -> FloatArray:
    """H^-1 B H^-1 with B from the influences of the rows, stratified.

    Weights of a stratum are normalised, so that influences are centred at the weighted
    mean; n / (n - 1) makes the variance of unweighted events unbiased.
    """
    n_strata = int(rows.stratum.max()) + 1
    mass = np.where(rows.above == 0, rows.below, rows.above)
    total = np.bincount(rows.stratum, mass, minlength=n_strata)
    number = np.bincount(rows.stratum, mass != 0, minlength=n_strata)
    mean = np.zeros((n_strata, fit.weights.size))
    for part, push in _pushes(rows, fit.weights):
        mean += _indicator(rows.stratum[part], n_strata) @ push
    mean /= total[:, None]
    root = np.sqrt(number / np.maximum(number - 1, 1))
    middle = np.zeros((fit.weights.size, fit.weights.size))
    for part, push in _pushes(rows, fit.weights):
        stratum = rows.stratum[part]
        push -= mass[part, None] * mean[stratum]
        push *= root[stratum, None]
        middle += push.T @ push
    n_sources, n_terms = fit.weights.shape
    blocks = middle.reshape(n_sources, n_terms, n_sources, n_terms)
    left = np.einsum("kab,kblc->kalc", fit.inverse, blocks)
    both = np.einsum("kalc,lcd->kald", left, fit.inverse)
    return both.reshape(middle.shape)


def _bias(rows: _Rows, fit: _Fit, covariance: FloatArray) -> FloatArray:
    """Second-order bias of the weights of one ratio (Cox and Snell 1968).

    From 0 = g + H d + T[d, d] / 2 with noisy g and H, and d = -H^-1 g to first order:
    E[d] = H^-1 { E[(H - EH) H^-1 g] - T[C] / 2 }.
    """
    f, inverse = rows.terms[:, 0], fit.inverse[0]
    log_ratio = f @ fit.weights[0]
    _, slope, curvature = rows.derivatives(slice(None), log_ratio[None])
    third = rows.below * np.exp(log_ratio) - rows.above * np.exp(-log_ratio)
    push = f * slope[0][:, None]
    for stratum in range(2):
        own = rows.stratum == stratum
        mass = (rows.above + rows.below)[own]
        push[own] -= mass[:, None] / mass.sum() * push[own].sum(axis=0)
    noise = curvature[0] * np.einsum("ni,ij,nj->n", f, inverse, push)
    spread = third * np.einsum("ni,ij,nj->n", f, covariance, f)
    return inverse @ ((noise - 0.5 * spread) @ f)


def _pushes(rows: _Rows, weights: FloatArray) -> Iterator[tuple[slice, FloatArray]]:
    """Contribution of every row to the gradients, shape (n_block, n_weights)."""
    for part, f in rows.blocks():
        _, slope, _ = rows.derivatives(part, (weights[:, None] @ f)[:, 0])
        yield part, (f * slope[:, None]).reshape(weights.size, -1).T


def _indicator(stratum: IntArray, n_strata: int) -> sparse.csr_array:
    ones, columns = np.ones(stratum.size), np.arange(stratum.size)
    return sparse.csr_array((ones, (stratum, columns)), shape=(n_strata, stratum.size))


def _read_weight(name: str, weight: ArrayLike | None, n_rows: int) -> FloatArray:
    if weight is None:
        return np.ones(n_rows)
    values = np.asarray(weight, dtype=np.float64)
    if values.shape != (n_rows,) or not np.isfinite(values).all():
        raise InvalidInputError(
            f"{name} must hold {n_rows} finite numbers, got shape {values.shape}."
        )
    if not values.sum() > 0:
        raise InvalidInputError(
            f"{name} must have a positive sum, got {values.sum():g}."
        )
    return values


def _read_source(source: ArrayLike, n_rows: int, n_sources: int) -> IntArray:
    index = np.asarray(source)
    if index.shape != (n_rows,) or not np.issubdtype(index.dtype, np.integer):
        raise InvalidInputError(
            f"source must hold {n_rows} integers, got {index.dtype} of shape "
            f"{index.shape}."
        )
    if n_rows == 0 or index.min() < 0 or index.max() >= n_sources:
        raise InvalidInputError(
            f"source must lie in 0 to {n_sources - 1} and have rows, got "
            f"{np.unique(index)[:3]} ..."
        )
    return index.astype(np.intp)
