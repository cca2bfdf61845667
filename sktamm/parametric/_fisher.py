"""Fisher information: what a dataset can know of the parameters at best.

With the score t = grad ln D of an event and n events expected,

    rate included:  I = n S E[t t'],      shape alone:  I = n S Cov[t],

expectations under theta, computed as weighted means over events of theta_ref. The
constraint of every nuisance parameter adds one to its diagonal element. Events that
have weights v in the data, so that n is expected for their sum, know less: I J^-1 I
with J = n S E[v t t'], or that of t - E[t].
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sktamm._numerics import FloatArray
from sktamm.exceptions import InvalidInputError
from sktamm.parametric._objective import Objective

__all__ = ["FisherInformation", "expected_information"]


@dataclass(frozen=True, eq=False)
class FisherInformation:
    """Expected information of the parameters and the nuisance parameters.

    Attributes
    ----------
    matrix : ndarray of shape (size, size)
        Information, symmetric.
    theta : ndarray of shape (n_parameters,)
        Where it was computed.
    names : tuple of str
        Names of all parameters.

    References
    ----------
    Brehmer, Cranmer, Kling, Plehn, arXiv:1612.05261.

    Examples
    --------
    >>> import numpy as np
    >>> from sktamm.parametric import FisherInformation
    >>> both = FisherInformation(np.array([[4.0, 2.0], [2.0, 2.0]]), np.zeros(2))
    >>> both.projected([0]).matrix, both.profiled([0]).matrix
    (array([[4.]]), array([[2.]]))
    """

    matrix: FloatArray
    theta: FloatArray
    names: tuple[str, ...] = ()

    def covariance(self) -> FloatArray:
        """Smallest possible covariance, the inverse; NaN where there is none."""
        if np.linalg.cond(self.matrix) > 1e14:  # the inverse would be rounding
            return np.full(self.matrix.shape, np.nan)
        return np.asarray(np.linalg.inv(self.matrix), dtype=float)

    def projected(self, keep: Sequence[int]) -> "FisherInformation":
        """Information of the parameters of indices ``keep``, the others known."""
        kept, _ = self._split(keep)
        return self._part(self.matrix[np.ix_(kept, kept)], kept)

    def profiled(self, keep: Sequence[int]) -> "FisherInformation":
        """Information of the parameters ``keep``, the others unknown."""
        kept, rest = self._split(keep)
        across = self.matrix[np.ix_(kept, rest)]
        inner = np.linalg.pinv(self.matrix[np.ix_(rest, rest)], hermitian=True)
        matrix = self.matrix[np.ix_(kept, kept)] - across @ inner @ across.T
        return self._part(matrix, kept)

    def _split(self, keep: Sequence[int]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        index = np.atleast_1d(np.asarray(keep))
        inside = index.dtype.kind in "iu" and (
            (index >= 0) & (index < len(self.matrix))
        )
        if not np.all(inside) or np.unique(index).size != index.size:
            raise InvalidInputError(
                f"keep must hold different indices below {len(self.matrix)}, got "
                f"{keep!r}."
            )
        return index, np.setdiff1d(np.arange(len(self.matrix)), index)

    def _part(self, matrix: FloatArray, keep: NDArray[np.intp]) -> "FisherInformation":
        theta = self.theta[keep[keep < self.theta.size]]
        names = tuple(self.names[k] for k in keep) if self.names else ()
        return FisherInformation(matrix, theta, names)


def expected_information(
    objective: Objective,
    theta: FloatArray,
    n_events: float,
    rate: bool,
    data_weight: FloatArray | None = None,
) -> FloatArray:
    """Expected information (size, size) at theta (p,), the nuisances at zero."""
    by_theta, _ = objective.events.gradients(theta)
    # A shift of the shape leaves the cross section at theta_ref alone.
    slope = objective.shifts.slope
    by_nuisance = slope - np.average(slope, axis=0, weights=objective.weight)
    if rate:
        by_nuisance = by_nuisance + objective.shifts.rate_slope
    score = np.hstack([by_theta, by_nuisance])
    density = np.exp(objective.events.log_density(theta[None])[:, 0])
    weight = n_events * objective.weight / objective.weight.sum() * density
    nuisance = np.arange(objective.size) >= objective.n_parameters
    constraint = np.diag(nuisance.astype(float))
    if data_weight is None:
        return _second_moments(score, weight, rate) + constraint
    # In units of which sums of weights have the variance one, as the likelihood is.
    unit = np.average(data_weight, weights=weight)
    if not rate:
        score = score - np.average(score, axis=0, weights=weight)
    plain = _second_moments(score, weight / unit, True) + constraint
    noise = _second_moments(score, weight * data_weight / unit**2, True) + constraint
    return plain @ np.linalg.pinv(noise, hermitian=True) @ plain


def _second_moments(score: FloatArray, weight: FloatArray, rate: bool) -> FloatArray:
    """Sums of products of scores; about their mean where the rate says nothing."""
    moments = score.T @ (weight[:, None] * score)
    if not rate:
        total = weight @ score
        moments -= np.outer(total, total) / weight.sum()
    return np.asarray(moments, dtype=float)
