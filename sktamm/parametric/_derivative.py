"""Derivative learning: the whole family of densities from one regression.

Where dsigma(z, theta) is quadratic in theta, the ratio to a reference point is given by
its derivatives there (`sktamm.parametric._monomials`), known for parton-level events z.
Those of reconstructed events x are their conditional means over the events drawn at
theta_ref,

    R_a(x) = E[R_a(z) | x],    the minimum of  mean (R_a(z) - Rhat_a(x))^2,

with which r(x | theta, theta_ref) = D(x | theta) / S(theta) for all theta at once.
The targets have heavy tails: they are to be smeared (`FractionalSmearing`) or learned
through a link, never transformed, which would change their means.
"""

import warnings
from numbers import Real
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from sktamm._numerics import FloatArray
from sktamm._sklearn import check_parameters, one_of
from sktamm._validation import encode
from sktamm.exceptions import InvalidInputError, RatioWarning
from sktamm.parametric._learners import (
    fit_columns,
    make_regressor,
    predict_columns,
    predict_members,
    read_events,
    read_table,
    with_link,
    with_seed,
)
from sktamm.parametric._monomials import (
    monomial_name,
    monomial_powers,
    read_reference,
)
from sktamm.parametric._polynomial import (
    PolynomialRatioMixin,
    parameters_of,
    read_means,
)

__all__ = ["DerivativeRatioRegressor", "LearnedDerivatives"]

# Standard errors. Rule of thumb: three would warn of heavy tails, whose errors are
# often underestimated.
_PULL = 5.0
# Of the offset: steps, and what is rounding relative to the size of the derivatives.
_MAX_STEPS, _LEFT_OVER = 100, 1e-12


class LearnedDerivatives(PolynomialRatioMixin, RegressorMixin, BaseEstimator):
    """What regressions on joint derivatives share: reading, checks, fit, score."""

    __metadata_request__fit = {"sample_weight": True, "groups": True}
    __metadata_request__score = {"sample_weight": True}

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimator": [object],
        "theta_ref": ["array-like", Real, None],
        "mean_derivatives": ["array-like", None],
        "parameter_names": ["array-like", None],
        "random_state": ["random_state"],
    }

    estimator: Any
    mean_derivatives: Any
    parameter_names: Any
    random_state: Any

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Learn the derivatives as functions of reconstructed events.

        Parameters
        ----------
        X : array-like or data frame of shape (n_events, n_features)
            Events drawn at ``theta_ref``.
        y : array-like of shape (n_events, p + p (p + 1) / 2)
            Joint derivatives: p first ones, then the second ones R_ij for i <= j.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights.
        groups : array-like of shape (n_events,), default=None
            Event ids of `FractionalSmearing`; copies of an event are held out together.

        Returns
        -------
        self : object
            Fitted estimator.

        Warns
        -----
        RatioWarning
            If the means of the derivatives are not the known ones: the events were not
            drawn at ``theta_ref``, or are too few for the tails.
        """
        check_parameters(self)
        features = read_events(self, X, reset=True)
        values, weight = read_table(y, sample_weight, len(features))
        if groups is not None:
            groups = encode(groups, "groups", len(features))[1]
        self.n_parameters_ = parameters_of(values.shape[1])
        read_reference(self.theta_ref, self.n_parameters_)
        self.derivative_names_ = self._name()
        learner = with_seed(self._learner(), self.random_state)
        self._set_means(values, weight, groups)
        self.estimators_ = fit_columns(learner, features, values, weight, groups)
        self._set_correction(
            predict_columns(self.estimators_, features), values, weight
        )
        return self

    def predict(self, X: Any) -> FloatArray:
        """Derivatives of D at ``theta_ref``, (n_events, p + p (p + 1) / 2)."""
        check_is_fitted(self)
        features = read_events(self, X, reset=False)
        return self._corrected(predict_columns(self.estimators_, features))

    def predict_members(self, X: Any) -> FloatArray:
        """``predict`` of each member of the base learner, on a first axis."""
        check_is_fitted(self)
        features = read_events(self, X, reset=False)
        members = predict_members(self.estimators_, features)
        return np.stack([self._corrected(member) for member in members])

    def score(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """Share of the variance of the joint derivatives that is explained, mean R^2.

        Even the exact derivatives of reconstructed events leave most of it.
        """
        predicted = self.predict(X)
        values, weight = read_table(y, sample_weight, len(predicted))
        if values.shape != predicted.shape:
            raise InvalidInputError(
                f"y must have the {predicted.shape[1]} columns of fit, got "
                f"{values.shape[1]}."
            )
        centre = np.average(values, axis=0, weights=weight)
        variance = np.average((values - centre) ** 2, axis=0, weights=weight)
        error = np.average((values - predicted) ** 2, axis=0, weights=weight)
        varies = variance > 0
        return float((1.0 - error[varies] / variance[varies]).mean())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.single_output = False
        tags.target_tags.multi_output = True
        return tags

    def _learner(self) -> Any:
        raise NotImplementedError

    def _set_correction(
        self, predicted: FloatArray, y: FloatArray, weight: FloatArray | None
    ) -> None:
        """Learn what gives predictions the mean of the targets, the ratio mean one."""
        raise NotImplementedError

    def _corrected(self, predicted: FloatArray) -> FloatArray:
        """Predictions after the correction."""
        raise NotImplementedError

    def _name(self) -> list[str]:
        """Names of the derivatives, for messages and tables."""
        n, names = self.n_parameters_, self.parameter_names
        if names is not None and len(names) != n:
            raise InvalidInputError(
                f"parameter_names must hold {n} names, got {names!r}."
            )
        powers = monomial_powers(n)[1:]
        return [monomial_name(row, names) for row in powers]

    def _set_means(
        self, y: FloatArray, weight: FloatArray | None, groups: ArrayLike | None
    ) -> None:
        mean = np.average(y, axis=0, weights=weight)
        self.mean_derivatives_ = mean
        if self.mean_derivatives is None:
            return
        known = read_means(self.mean_derivatives, mean.size)
        self.mean_derivatives_ = known
        self.reference_pulls_ = _pulls(y - known, weight, groups)
        worst = int(np.abs(self.reference_pulls_).argmax())
        if abs(self.reference_pulls_[worst]) > _PULL:
            warnings.warn(
                f"The mean derivative of {self.derivative_names_[worst]} is "
                f"{mean[worst]:.4g} over the events but known to be "
                f"{known[worst]:.4g}, {self.reference_pulls_[worst]:+.1f} standard "
                "errors away: they were not drawn at theta_ref, or are too few for the "
                "tails.",
                RatioWarning,
                stacklevel=3,
            )


class DerivativeRatioRegressor(LearnedDerivatives):
    """Density ratios of all parameters from regression on joint derivatives.

    Parameters
    ----------
    estimator : {"mlp", "lightgbm"} or regressor, default="mlp"
        Base learner; one that predicts one target is fitted to each derivative.
    theta_ref : array-like of shape (n_parameters,), default=None
        Reference point, where events are drawn and derivatives taken; None is zeros.
    link : {"linear", "exponential"}, default="linear"
        From outputs of the base learner to derivatives. "exponential", of "mlp" alone,
        follows heavy tails of the derivatives that never change their sign; the loss,
        and so the mean, stays as it is.
    mean_derivatives : array-like of shape (p + p (p + 1) / 2,), default=None
        Known means of the derivatives at ``theta_ref``, which replace those over the
        events and tell whether these were drawn there.
    parameter_names : sequence of str, default=None
        Names of the parameters; None is t0, t1, ...
    random_state : int, RandomState instance or None, default=None
        Seed of the base learner; None leaves it as it is.

    Attributes
    ----------
    n_parameters_ : int
        Number of parameters p.
    mean_derivatives_ : ndarray of shape (p + p (p + 1) / 2,)
        Means of the derivatives at ``theta_ref``, which make the cross section.
    reference_pulls_ : ndarray of shape (p + p (p + 1) / 2,)
        Where means are known, deviations of those over the events in standard errors.
    derivative_names_ : list of str
        Monomial of each derivative.
    offset_ : ndarray of shape (p + p (p + 1) / 2,)
        Added to predictions, so that their means over the events of ``fit`` are those
        of the targets; zero where it would change the sign of an exponential link.
    estimators_ : list
        Fitted base learners: one, or one per derivative.

    Notes
    -----
    Nothing keeps the learned density positive (`QuadraticRatioEstimator` does):
    ``log_ratio`` is NaN where it is not, and ``non_positive_fraction`` counts such
    events.

    References
    ----------
    Chatterjee, Frohner, Lechner, Schoefbeck, Schwarz, arXiv:2107.10859; Brehmer,
    Cranmer, Louppe, Pavez, arXiv:1805.00020; Bahl, Bresó, De Crescenzo, Plehn,
    arXiv:2410.07315.

    Examples
    --------
    >>> from sktamm.datasets import make_smeft_toy
    >>> from sktamm.parametric import DerivativeRatioRegressor
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> toy = make_smeft_toy(5_000, random_state=0)
    >>> forest = RandomForestRegressor(20, min_samples_leaf=50, random_state=0)
    >>> model = DerivativeRatioRegressor(forest).fit(toy.X, toy.joint_derivatives)
    >>> low, high = model.log_ratio([[0.0], [3.0]], theta=[0.5])
    >>> bool(low < 0 < high)  # exactly -0.21 and 2.06
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **LearnedDerivatives._parameter_constraints,
        "link": [one_of("linear", "exponential")],
    }

    def __init__(
        self,
        estimator: Any = "mlp",
        *,
        theta_ref: ArrayLike | None = None,
        link: Literal["exponential", "linear"] = "linear",
        mean_derivatives: ArrayLike | None = None,
        parameter_names: Any = None,
        random_state: Any = None,
    ):
        self.estimator = estimator
        self.theta_ref = theta_ref
        self.link = link
        self.mean_derivatives = mean_derivatives
        self.parameter_names = parameter_names
        self.random_state = random_state

    def _learner(self) -> Any:
        return with_link(make_regressor(self.estimator, link=self.link), self.link)

    def _set_correction(
        self, predicted: FloatArray, y: FloatArray, weight: FloatArray | None
    ) -> None:
        low, high = (y.min(axis=0) >= 0), (y.max(axis=0) <= 0)
        one_sign = self.link == "exponential"
        self._sign = one_sign * (low.astype(float) - high.astype(float))
        wanted = np.average(y, axis=0, weights=weight)
        size = np.sqrt((predicted**2).mean(axis=0))
        self.offset_ = np.zeros(y.shape[1])
        # Fewer and fewer of those of one sign are left to be moved: not one step.
        for _ in range(_MAX_STEPS):
            found = np.average(self._corrected(predicted), axis=0, weights=weight)
            if (np.abs(wanted - found) <= _LEFT_OVER * size).all():
                break
            self.offset_ = self.offset_ + wanted - found

    def _corrected(self, predicted: FloatArray) -> FloatArray:
        moved = predicted + self.offset_
        return np.where(self._sign * moved < 0, 0.0, moved)


def _pulls(
    difference: FloatArray, weight: FloatArray | None, groups: ArrayLike | None
) -> FloatArray:
    """Means in standard errors; copies of an event are one, constants zero is zero."""
    weight = np.ones(len(difference)) if weight is None else weight
    terms = weight[:, None] * difference
    if groups is not None:
        _, row = np.unique(np.asarray(groups), return_inverse=True)
        terms = np.stack([np.bincount(row, column) for column in terms.T], axis=1)
    total, error = terms.sum(axis=0), np.sqrt((terms**2).sum(axis=0))
    return np.divide(total, error, out=np.zeros_like(total), where=error > 0)
