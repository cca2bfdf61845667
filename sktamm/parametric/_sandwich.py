r"""What weights of events do to errors.

With the scores s_k of the events,

    A = sum_k w_k s_k s_k',        B = sum_k w_k^2 s_k s_k',

are the information and the variance of the sum of weighted scores. Errors are those of
the sandwich A^-1 B A^-1 (Huber 1967); events of weight one have A = B. A likelihood
ratio, profiled over all parameters but some with the errors V = (A^-1)_ii, of which
those of the sandwich are W, is too large by

    (d' V^-1 d) / (d' W^-1 d)

where these are d from the best fit. One parameter gets W / V; two, whose ratio grows
differently in every direction, the region of the right size and shape (Chandler and
Bate 2007).

Scores are differences over about a standard error to both sides: a derivative says
nothing where a parameter enters squared.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sktamm._numerics import FloatArray
from sktamm.parametric._objective import Objective

__all__ = ["WeightNoise", "weight_noise"]


@dataclass(frozen=True, eq=False)
class WeightNoise:
    """Information A and variance B of the score, with constraints of nuisances."""

    information: FloatArray  # (size, size)
    variance: FloatArray  # (size, size)

    def covariance(self, plain: FloatArray) -> FloatArray:
        """Covariance of all parameters for one that takes the weights for numbers."""
        return _widened(plain, self.information, self.variance)

    def covariance_of(self, plain: FloatArray, index: list[int]) -> FloatArray:
        """The same of some parameters, the others known."""
        chosen = np.ix_(index, index)
        return _widened(plain, self.information[chosen], self.variance[chosen])

    def factors(
        self, index: list[int], moves: FloatArray, profiled: bool
    ) -> FloatArray:
        """What likelihood ratios of moves (n, n_index) are to be divided by."""
        chosen = np.ix_(index, index)
        plain: Any
        wide: Any
        if profiled:
            inverse = np.linalg.inv(self.information)
            plain, wide = inverse[chosen], (inverse @ self.variance @ inverse)[chosen]
        else:
            plain = np.linalg.inv(self.information[chosen])
            wide = plain @ self.variance[chosen] @ plain
        above = _squares(moves, plain)
        return np.where(above > 0, above, 1.0) / np.where(
            above > 0, _squares(moves, wide), 1.0
        )


def _widened(
    plain: FloatArray, information: FloatArray, variance: FloatArray
) -> FloatArray:
    """Covariance with the variance of the score in units of its information."""
    half = np.linalg.inv(np.linalg.cholesky(information))
    root = np.linalg.inv(np.linalg.cholesky(np.linalg.inv(plain)))
    return np.asarray(root.T @ (half @ variance @ half.T) @ root, dtype=float)


def _squares(moves: FloatArray, covariance: FloatArray) -> FloatArray:
    inverse = np.linalg.inv(covariance)
    return np.einsum("ni,ij,nj->n", moves, inverse, moves)


def weight_noise(
    objective: Objective, point: FloatArray, steps: FloatArray
) -> WeightNoise | None:
    """Information and variance at the best fit, where weights make them differ."""
    if np.array_equal(objective.weight, objective.square):
        return None
    scores = [_scores(objective, point, sign * steps) for sign in (1.0, -1.0)]
    nuisance = np.arange(objective.size) >= objective.n_parameters
    information, variance = (
        0.5 * sum(s.T @ (weight[:, None] * s) for s in scores)
        + np.diag(nuisance.astype(float))
        for weight in (objective.weight, objective.square)
    )
    found = WeightNoise(information, variance)
    return found if _is_definite(information) and _is_definite(variance) else None


def _scores(objective: Objective, point: FloatArray, steps: FloatArray) -> FloatArray:
    """Differences of log likelihoods over steps (n_events, size), from any bounds."""
    low, high = objective.limits.T
    ends = np.clip(point + steps, low, high)
    ends = np.where(ends == point, np.clip(point - steps, low, high), ends)
    points = np.where(np.eye(point.size, dtype=bool), ends, point)
    logs = objective.contributions(np.vstack([point, points]))
    return (logs[:, 1:] - logs[:, :1]) / (ends - point)


def _is_definite(matrix: FloatArray) -> NDArray[np.bool_] | bool:
    """Whether a matrix is positive definite, in units of its diagonal."""
    diagonal = np.diag(matrix)
    if not np.isfinite(matrix).all() or (diagonal <= 0).any():
        return False
    root = np.sqrt(diagonal)
    return bool(np.linalg.eigvalsh(matrix / np.outer(root, root))[0] > 1e-9)
