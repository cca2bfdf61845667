"""Links: from the outputs of a network to predictions, for targets with heavy tails.

A link lets a network follow means over orders of magnitude, or keeps a density
positive, while the loss stays that of the targets: what is learned is still their
conditional mean, which a transformation of the targets would change.

Predictions are in units of the spread of the targets. A factor per output carries what
the link needs to know of them. Tensors are used through their methods alone.
"""

from math import isqrt
from typing import Any

import numpy as np

from sktamm._numerics import FloatArray
from sktamm.exceptions import IncompatibleChoiceError

__all__ = ["LINKS", "link_factors", "link_spreads"]


def _linear(z: Any, factor: Any) -> Any:
    return z


def _exponential(z: Any, factor: Any) -> Any:
    """factor exp(z), and z itself where the factor is zero."""
    grows = factor != 0
    # The inner choice keeps an overflow out of the gradients of the other outputs.
    return (factor * z.where(grows, z.new_zeros(())).exp()).where(grows, z)


def _cholesky(z: Any, factor: Any) -> Any:
    """Derivatives R_i, R_ij whose quadratic form in (1, dt) is never negative.

    The form is (1 + R.dt / 2)^2 + |L^T dt|^2, so that R_ij = R_i R_j / 2 + 2 (L L^T)_ij
    with rows exp(z_ii / 2) (z_i0, ..., 1, 0, ...) of L. Parameters have units u: the
    factor of R_i is spread(R_i) / u_i, that of R_ij is 2 u_i u_j / spread(R_ij).
    """
    n = _count_parameters(z.shape[-1])
    i, j = np.triu_indices(n)
    half = 0.5 * factor[:n] * z[..., :n]
    lower = z.new_zeros((*z.shape[:-1], n, n))
    lower[..., j, i] = z[..., n:]
    size = (0.5 * lower.diagonal(dim1=-2, dim2=-1)).exp()
    rows = size.unsqueeze(-1) * (lower.tril(-1) + z.new_tensor(np.eye(n)))
    form = rows @ rows.mT + half.unsqueeze(-1) * half.unsqueeze(-2)
    predictions = z.clone()
    predictions[..., n:] = factor[n:] * form[..., i, j]
    return predictions


# Predictions, in units of the spread of the targets, from outputs and factors.
LINKS = {"linear": _linear, "exponential": _exponential, "cholesky": _cholesky}


def link_spreads(link: str, mean: FloatArray, spread: FloatArray) -> FloatArray:
    """Units (n_outputs,) of the targets of a link that has no offset.

    Spreads about the mean; about zero where a linear output goes without its offset.
    """
    if link != "cholesky":
        return spread
    n = _count_parameters(len(mean))
    about_zero = np.hypot(mean, spread)
    return np.concatenate([about_zero[:n], np.where(spread > 0, spread, mean)[n:]])


def link_factors(
    link: str, mean: FloatArray, spread: FloatArray, one_sign: Any
) -> FloatArray:
    """Factors (n_outputs,), with which the first predictions are those of the mean.

    Zero for linear outputs of "exponential".
    """
    if link == "exponential":
        growing = one_sign & (spread > 0)
        return np.divide(mean, spread, out=np.zeros_like(mean), where=growing)
    n = _count_parameters(len(mean))
    i, j = np.triu_indices(n)
    second = mean[n:]
    diagonal = np.where(second[i == j] > 0, second[i == j], 1.0)
    unit = np.sqrt(0.5 * diagonal)
    varies, out = spread[n:] > 0, np.zeros(len(i))
    scale = np.divide(2 * unit[i] * unit[j], spread[n:], out=out, where=varies)
    return np.concatenate([spread[:n] / unit, scale])


def _count_parameters(n_outputs: int) -> int:
    """The p of p first and p (p + 1) / 2 second derivatives."""
    n = (isqrt(9 + 8 * n_outputs) - 3) // 2
    if n < 1 or n * (n + 3) // 2 != n_outputs:
        raise IncompatibleChoiceError(
            "link='cholesky' needs p first and p (p + 1) / 2 second derivatives of p "
            f"parameters as targets, 2, 5, 9, ... columns, got {n_outputs}."
        )
    return n
