"""Moment morphing: samples between samples of one parameter.

The density at theta is sum_i c_i(theta) p_i, as in polynomial morphing, after every
p_i was moved and stretched, feature by feature, so that its mean and width are
sum_i c_i mu_i and sum_i c_i sigma_i (Baak, Gadatsu, Harrington, Verkerke,
arXiv:1410.7388). A peak whose position is the parameter then moves.
"""

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from sktamm._numerics import FloatArray
from sktamm._sklearn import at_least, check_parameters
from sktamm._validation import encode, read_features, read_weight
from sktamm.exceptions import InvalidInputError
from sktamm.parametric._monomials import read_theta
from sktamm.parametric._morphing import MorphingBasis

__all__ = ["MomentMorphing"]


class MomentMorphing(BaseEstimator):
    """Weighted sample at any value of one parameter from samples at a few values.

    Parameters
    ----------
    max_power : int, default=None
        Largest power in the coefficients; None is the number of values less one.

    Attributes
    ----------
    points_ : ndarray of shape (n_points,)
        Values of the parameter, ascending.
    means_, stds_ : ndarray of shape (n_points, n_features)
        Moments of the samples.

    References
    ----------
    Baak, Gadatsu, Harrington, Verkerke, arXiv:1410.7388.

    Examples
    --------
    >>> import numpy as np
    >>> from sktamm.parametric import MomentMorphing
    >>> rng = np.random.default_rng(0)
    >>> theta = np.repeat([0.0, 2.0], 1000)
    >>> morphing = MomentMorphing().fit(rng.normal(theta)[:, None], theta)
    >>> X, weight = morphing.sample(1.0)
    >>> bool(abs(weight @ X[:, 0] - 1.0) < 0.1)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "max_power": [at_least(0), None],
    }

    def __init__(self, max_power: int | None = None):
        self.max_power = max_power

    def fit(
        self, X: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Take the samples.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Events.
        y : array-like of shape (n_events,)
            Value of the parameter of every event.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights.

        Returns
        -------
        self : MomentMorphing
            Fitted estimator.

        Raises
        ------
        InvalidInputError
            If there are too few values, or a feature of a sample has no width.
        """
        check_parameters(self)
        self._X = read_features(X, None)
        weight = read_weight(sample_weight, len(self._X))
        weight = np.ones(len(self._X)) if weight is None else weight
        points, self._code = encode(y, "y", len(self._X))
        self.points_ = points.astype(float)
        power = self.points_.size - 1 if self.max_power is None else self.max_power
        self._basis = MorphingBasis(1, power, benchmarks=self.points_[:, None])
        self._basis.weights(self.points_[0])
        self._weight = weight / np.bincount(self._code, weight)[self._code]
        members = [self._code == k for k in range(self.points_.size)]
        pairs = [(self._X[m], self._weight[m]) for m in members]
        self.means_ = np.array([w @ x for x, w in pairs])
        centred = zip(pairs, self.means_, strict=True)
        variance = np.array([w @ (x - mean) ** 2 for (x, w), mean in centred])
        if not (variance > 0).all():
            raise InvalidInputError(
                "X must vary in every feature at every value of the parameter, but "
                f"{int((variance <= 0).sum())} widths are not positive."
            )
        self.stds_ = np.sqrt(variance)
        return self

    def weights(self, theta: ArrayLike) -> FloatArray:
        """Coefficients ([n_theta,] n_points) of the samples, of sum one."""
        check_is_fitted(self)
        return self._basis.weights(theta)

    def sample(self, theta: float) -> tuple[FloatArray, FloatArray]:
        """Events of all samples, moved and weighted.

        Parameters
        ----------
        theta : float
            Value of the parameter, not so far away that a width is no longer positive.

        Returns
        -------
        X : ndarray of shape (n_events, n_features)
            Moved events.
        weight : ndarray of shape (n_events,)
            Weights of sum one, some negative where a coefficient is.
        """
        check_is_fitted(self)
        read_theta(theta, 1)
        share = self._basis.weights(theta)
        mean, std = share @ self.means_, share @ self.stds_
        if not (std > 0).all():
            raise InvalidInputError(
                f"theta must be near the samples, {self.points_.tolist()}: at "
                f"{theta!r} a width is not positive."
            )
        pull = (self._X - self.means_[self._code]) / self.stds_[self._code]
        return mean + std * pull, share[self._code] * self._weight
