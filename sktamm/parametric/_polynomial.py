"""Density ratios that are polynomials of the parameters: r = D / S.

The derivatives y(x) of `sktamm.parametric._monomials` say everything:
D = 1 + y . terms(theta), S = 1 + mean y . terms(theta).
"""

import warnings
from collections.abc import Callable
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from sktamm._numerics import FloatArray
from sktamm._sklearn import check_parameters
from sktamm._validation import read_weight
from sktamm.exceptions import InvalidInputError, RatioWarning
from sktamm.parametric._monomials import (
    count_derivatives,
    read_reference,
    read_theta,
    taylor_terms,
)

__all__ = ["PolynomialRatio", "PolynomialRatioMixin", "parameters_of", "read_means"]


def parameters_of(n_derivatives: int) -> int:
    """Number of parameters of which so many first and second derivatives exist."""
    n_parameters = round((np.sqrt(9.0 + 8.0 * n_derivatives) - 3.0) / 2.0)
    if n_parameters < 1 or count_derivatives(n_parameters) != n_derivatives:
        raise InvalidInputError(
            "y must hold p first and p (p + 1) / 2 second derivatives of p parameters, "
            f"2, 5, 9, ... columns, got {n_derivatives}."
        )
    return n_parameters


def read_means(mean_derivatives: Any, n_derivatives: int) -> FloatArray:
    """Known means (n_derivatives,) of the derivatives."""
    known = np.asarray(mean_derivatives, dtype=float)
    if known.shape != (n_derivatives,) or not np.isfinite(known).all():
        raise InvalidInputError(
            f"mean_derivatives must hold {n_derivatives} finite numbers, got "
            f"{mean_derivatives!r}."
        )
    return known


class PolynomialRatioMixin:
    """What follows from ``predict``, ``mean_derivatives_`` and ``theta_ref``."""

    theta_ref: Any
    n_parameters_: int
    mean_derivatives_: FloatArray

    def predict(self, X: Any) -> FloatArray:
        """Derivatives y of shape (n_events, p + p (p + 1) / 2)."""
        raise NotImplementedError

    def log_ratio(self, X: Any, theta: ArrayLike) -> FloatArray:
        """Log of the ratio of the normalised densities at theta and ``theta_ref``.

        ``X`` (n_events, n_features), ``theta`` ([n_theta,] n_parameters) -> (n_events[,
        n_theta]): NaN where the ratio is not positive, with a RatioWarning.
        """
        check_is_fitted(self)
        points, single = read_theta(theta, self.n_parameters_)
        ratio = self._density(X, points) / self._total(points)
        bad = int((ratio <= 0).any(axis=1).sum())
        if bad:
            warnings.warn(
                f"The density ratio is not positive for {bad} of {len(ratio)} events; "
                "their log is NaN.",
                RatioWarning,
                stacklevel=2,
            )
        with np.errstate(invalid="ignore", divide="ignore"):
            log_ratio = np.where(ratio > 0, np.log(ratio), np.nan)
        return log_ratio[:, 0] if single else log_ratio

    def cross_section_ratio(self, theta: ArrayLike) -> Any:
        """Ratio S (n_theta,) of the cross sections at theta and ``theta_ref``."""
        check_is_fitted(self)
        points, single = read_theta(theta, self.n_parameters_)
        total = self._total(points)
        return float(total[0]) if single else total

    def non_positive_fraction(
        self, X: Any, theta: ArrayLike, *, sample_weight: ArrayLike | None = None
    ) -> Any:
        """Share (n_theta,) of the events, by weight, whose ratio is not positive."""
        check_is_fitted(self)
        points, single = read_theta(theta, self.n_parameters_)
        ratio = self._density(X, points)
        weight = read_weight(sample_weight, len(ratio))
        fraction = np.average(ratio <= 0, axis=0, weights=weight)
        return float(fraction[0]) if single else fraction

    def _terms(self, points: FloatArray) -> FloatArray:
        return taylor_terms(points, read_reference(self.theta_ref, self.n_parameters_))

    def _density(self, X: Any, points: FloatArray) -> FloatArray:
        """D(x | theta), the ratio of differential cross sections."""
        return 1.0 + self.predict(X) @ self._terms(points).T

    def _total(self, points: FloatArray) -> FloatArray:
        return 1.0 + self._terms(points) @ self.mean_derivatives_


class PolynomialRatio(PolynomialRatioMixin, BaseEstimator):
    """Ratio estimator whose derivatives are known: parton level, or an exact toy.

    Parameters
    ----------
    derivatives : callable, default=None
        ``derivatives(X)`` returns y; None where X holds y, as from `joint_derivatives`.
    theta_ref : array-like of shape (n_parameters,), default=None
        Reference point; None is zeros.
    mean_derivatives : array-like of shape (p + p (p + 1) / 2,), default=None
        Known means of y at ``theta_ref``; None takes those of ``fit``.

    Attributes
    ----------
    n_parameters_ : int
        Number of parameters.
    mean_derivatives_ : ndarray of shape (p + p (p + 1) / 2,)
        Means of y at ``theta_ref``.

    References
    ----------
    Brehmer, Cranmer, Louppe, Pavez, arXiv:1805.00020; Bahl, Bresó, De Crescenzo, Plehn,
    arXiv:2410.07315.

    Examples
    --------
    >>> from sktamm.parametric import PolynomialRatio
    >>> ratio = PolynomialRatio().fit([[0.0, 1.0], [0.0, 3.0]])
    >>> ratio.cross_section_ratio([1.0])
    2.0
    """

    __metadata_request__fit = {"sample_weight": True}

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "derivatives": [callable, None],
        "theta_ref": ["array-like", Real, None],
        "mean_derivatives": ["array-like", None],
    }

    def __init__(
        self,
        derivatives: Callable[[Any], Any] | None = None,
        *,
        theta_ref: ArrayLike | None = None,
        mean_derivatives: ArrayLike | None = None,
    ):
        self.derivatives = derivatives
        self.theta_ref = theta_ref
        self.mean_derivatives = mean_derivatives

    def fit(
        self, X: Any, y: Any = None, *, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Take the mean derivatives.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Events drawn at ``theta_ref``.
        y : array-like of shape (n_events, p + p (p + 1) / 2), default=None
            Derivatives, where those at hand have smaller errors than ``derivatives``.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights.

        Returns
        -------
        self : PolynomialRatio
            Fitted estimator.
        """
        check_parameters(self)
        values = self._derivatives(X) if y is None else _two_dimensional(y)
        if not len(values) or len(values) != len(X):
            raise InvalidInputError(
                "y must hold one row of derivatives for each of the events, at least "
                f"one, got {len(values)} for {len(X)}."
            )
        self.n_parameters_ = parameters_of(values.shape[1])
        read_reference(self.theta_ref, self.n_parameters_)
        if self.mean_derivatives is None:
            weight = read_weight(sample_weight, len(values))
            self.mean_derivatives_ = np.average(values, axis=0, weights=weight)
            return self
        self.mean_derivatives_ = read_means(self.mean_derivatives, values.shape[1])
        return self

    def predict(self, X: Any) -> FloatArray:
        """Derivatives of the events, (n_events, p + p (p + 1) / 2)."""
        check_is_fitted(self)
        values, size = self._derivatives(X), self.mean_derivatives_.size
        if values.shape[1] != size:
            raise InvalidInputError(
                f"y must hold the {size} derivatives of fit, got {values.shape[1]}."
            )
        return values

    def _derivatives(self, X: Any) -> FloatArray:
        return _two_dimensional(X if self.derivatives is None else self.derivatives(X))


def _two_dimensional(y: Any) -> FloatArray:
    values = np.asarray(y, dtype=float)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise InvalidInputError(
            "y must hold finite derivatives of shape (n_events, n_derivatives), got "
            f"shape {values.shape}."
        )
    return values
