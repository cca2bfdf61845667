"""Pure functions of arrays that several layers share, and a limit of their threads."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import ThreadpoolController

from sktamm._arrays import namespace, to_numpy

__all__ = [
    "contrast_basis",
    "effective_size",
    "interval_score",
    "normalise_exp",
    "one_blas_thread",
    "positive_definite",
    "project_to_simplex",
    "row_pieces",
    "smallest_of",
    "softmax",
    "spread_rows",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

# Events from which memory, not time, limits a fit (half a GB with a kilobyte each), and
# rows of a piece: tens of megabytes in each step. Rules of thumb.
_IN_PIECES_ABOVE, _PIECE = 1 << 19, 1 << 16


def row_pieces(n_rows: int) -> list[slice]:
    """Consecutive rows that are worked on at once: all of them if they are few."""
    size = n_rows if n_rows <= _IN_PIECES_ABOVE else _PIECE
    starts = range(0, n_rows, max(size, 1))
    return [slice(a, min(a + size, n_rows)) for a in starts]


def spread_rows(n_rows: int, most: int) -> IntArray:
    """At most so many rows, from everywhere and in their order."""
    return np.linspace(0, n_rows - 1, min(n_rows, most)).astype(np.intp)


def one_blas_thread() -> Any:
    """Context in which matrix products take one thread: small ones wait for others."""
    return _libraries().limit(limits=1, user_api="blas")


@cache
def _libraries() -> ThreadpoolController:
    """Libraries with threads, which take milliseconds to find."""
    # That of numpy and that of scipy are loaded with the package.
    return ThreadpoolController()


def softmax(logits: FloatArray) -> FloatArray:
    """Positive weights with sum one along the last axis."""
    xp = namespace(logits)
    shifted: FloatArray = xp.exp(logits - xp.amax(logits, axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def normalise_exp(
    log_values: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Shares and log normalisation of ``sum_j weights_j exp(log_values_j)``.

    ``log_values`` (..., n), ``weights`` (n,).
    """
    xp = namespace(log_values)
    top = xp.amax(log_values, axis=-1, keepdims=True)
    terms = weights * xp.exp(log_values - top)
    total = terms.sum(axis=-1, keepdims=True)
    return terms / total, (top + xp.log(total))[..., 0]


def positive_definite(matrices: FloatArray, share: float = 0.0) -> NDArray[np.bool_]:
    """Whether eigenvalues of (n_fits, n, n) exceed a share of the largest."""
    matrices = to_numpy(matrices)  # batches of eigenvalues are no faster elsewhere
    finite = np.asarray(np.isfinite(matrices).all(axis=(1, 2)), bool)
    if matrices.shape[1] == 0:
        return finite
    safe = np.where(finite[:, None, None], matrices, np.eye(matrices.shape[1]))
    values = np.linalg.eigvalsh(safe)
    return finite & (values[:, 0] > share * values[:, -1])


def contrast_basis(n: int) -> FloatArray:
    """Orthonormal columns that span the vectors of sum zero (Helmert contrasts).

    Returns (n, n - 1): isometric log-ratio coordinates u of weights are ``softmax(basis
    @ u)``.
    """
    basis = np.triu(np.ones((n, n - 1)))
    rank = np.arange(1, n)
    basis[rank, rank - 1] = -rank
    return basis / np.sqrt(rank * (rank + 1.0))


def project_to_simplex(fractions: ArrayLike) -> FloatArray:
    """Nearest point of the simplex, row by row.

    The sort-based projection of Held, Wolfe and Crowder (1974).

    ``fractions`` (..., n_classes). Returns non-negative, with sum one along the last
    axis.
    """
    values = np.asarray(fractions, dtype=float)
    ordered = -np.sort(-values, axis=-1)
    rank = np.arange(1, values.shape[-1] + 1)
    thresholds = (np.cumsum(ordered, axis=-1) - 1.0) / rank
    support = (ordered > thresholds).sum(axis=-1, keepdims=True)
    threshold = np.take_along_axis(thresholds, support - 1, axis=-1)
    return np.maximum(values - threshold, 0.0)


def smallest_of(p_values: FloatArray, axis: int = 0) -> FloatArray:
    """P-value of the smallest of independent p-values, 1 - (1 - min)^n (Sidak 1967)."""
    known = np.isfinite(p_values)
    n = known.sum(axis=axis)
    lowest = np.where(known, p_values, 1.0).min(axis=axis)
    certain = lowest >= 1.0
    joint = -np.expm1(n * np.log1p(-np.where(certain, 0.5, lowest)))
    return np.where(n > 0, np.where(certain, 1.0, joint), np.nan)


def effective_size(weight_sum: ArrayLike, square_sum: ArrayLike) -> FloatArray:
    """Number of unweighted events of the same relative variance (Kish)."""
    total = np.asarray(weight_sum, dtype=float)
    return total**2 / np.asarray(square_sum, dtype=float)


def interval_score(
    truth: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    level: float,
    vacuous: tuple[float, float] | None = None,
) -> FloatArray:
    """Interval score of Gneiting and Raftery (2007): width plus penalty for misses.

    Where an end is NaN, the fit failed and the score is that of ``vacuous``, the
    interval that says nothing; NaN if there is none.
    """
    truth, lower, upper = (np.asarray(v, dtype=float) for v in (truth, lower, upper))
    miss = np.maximum(lower - truth, 0.0) + np.maximum(truth - upper, 0.0)
    score: FloatArray = (upper - lower) + 2.0 / (1.0 - level) * miss
    if vacuous is None:
        return score
    return np.where(np.isfinite(score), score, interval_score(truth, *vacuous, level))
