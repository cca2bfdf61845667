"""Morphing-aware ratios: one classifier per benchmark makes the whole family.

At every benchmark theta_b but the reference one a ratio r_b(x) = r(x | theta_b,
theta_ref) is learned on the balanced mixture of the events drawn at both points. The
parton-level ratio r_b(z) is known, and with it the soft label

    s(z) = 1 / (1 + r_b(z)) = P(theta_ref | z),    E[s | x] = 1 / (1 + r_b(x)),

has the same mean and less noise than a label (Stoye, Brehmer, Louppe, Pavez, Cranmer,
arXiv:1808.00973). A classifier that takes labels alone sees every event twice, label 1
with weight s and label 0 with weight 1 - s. With the weights w_b of a `MorphingBasis`
and cross section ratios S_b,

    D(x | theta) = sum_b w_b(theta) S_b r_b(x),    S(theta) = sum_b w_b(theta) S_b.
"""

from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.utils.validation import check_is_fitted

from sktamm._numerics import FloatArray
from sktamm._sklearn import check_parameters, one_of
from sktamm._validation import encode
from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError
from sktamm.learning import make_classifier
from sktamm.parametric._benchmark_sample import BenchmarkSample
from sktamm.parametric._learners import (
    fit_learner,
    make_regressor,
    read_events,
    read_table,
    with_seed,
)
from sktamm.parametric._monomials import derivative_pairs
from sktamm.parametric._morphing import MorphingBasis
from sktamm.parametric._polynomial import PolynomialRatioMixin

__all__ = ["MorphingRatioClassifier"]

# Of a regressed probability. Rule of thumb: a smaller one would let single events of
# a wrong prediction decide, a larger one cut true ratios off.
_CLIP = 1e-6


class MorphingRatioClassifier(PolynomialRatioMixin, BaseEstimator):
    """Density ratios of all parameters from classifiers at the benchmarks of a basis.

    Parameters
    ----------
    estimator : {"mlp", "lightgbm"}, classifier or regressor, default="mlp"
        Base learner. The named ones, and `TorchMLPRegressor` with ``loss="logistic"``,
        take soft labels; a classifier gets every event twice; any other regressor needs
        ``loss="squared_error"``.
    basis : MorphingBasis
        Benchmarks, ``theta_ref`` among them, and monomials.
    loss : {"cross_entropy", "squared_error"}, default="cross_entropy"
        Loss of the soft labels; predictions of squared errors are kept within (0, 1).
    cross_sections : array-like of shape (n_benchmarks,), default=None
        Known cross sections at the benchmarks, in any unit; None estimates them.
    random_state : int, RandomState instance or None, default=None
        Seed of the base learner; None leaves it as it is.

    Attributes
    ----------
    n_parameters_ : int
        Number of parameters p.
    theta_ref : ndarray of shape (n_parameters,)
        Reference point, that of the basis.
    cross_sections_ : ndarray of shape (n_benchmarks,)
        Cross sections in units of that at the reference point.
    mean_derivatives_ : ndarray of shape (p + p (p + 1) / 2,)
        Mean derivatives at the reference point, if the basis is quadratic with as many
        benchmarks as monomials.
    estimators_ : list
        Fitted base learner of each benchmark, None for the reference one.

    Notes
    -----
    Errors of the learned ratios are multiplied by the weights, which have both signs:
    ``MorphingBasis.from_search`` finds benchmarks of short weights. ``log_ratio`` is
    NaN where the density is not positive; ``non_positive_fraction`` counts such events.

    References
    ----------
    Brehmer, Louppe, Pavez, Cranmer, arXiv:1805.12244; Stoye, Brehmer, Louppe, Pavez,
    Cranmer, arXiv:1808.00973.

    Examples
    --------
    >>> import numpy as np
    >>> from sktamm.datasets import make_smeft_toy
    >>> from sktamm.parametric import MorphingBasis, MorphingRatioClassifier
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> basis = MorphingBasis(1, benchmarks=[[0], [1]], components=[[0], [2]])
    >>> toys = [make_smeft_toy(5_000, theta, random_state=0) for theta in (0, 1)]
    >>> X = np.concatenate([toy.X for toy in toys])
    >>> y = np.concatenate([
    ...     np.stack([toy.weights(0), toy.weights(1)], axis=1) for toy in toys
    ... ])
    >>> forest = RandomForestRegressor(20, min_samples_leaf=50, random_state=0)
    >>> model = MorphingRatioClassifier(forest, basis, loss="squared_error")
    >>> model = model.fit(X, y, benchmark=np.repeat([0, 1], 5_000))
    >>> low, high = model.log_ratio([[0.0], [3.0]], theta=[0.5])
    >>> bool(low < 0 < high)  # exactly -0.22 and 2.06
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimator": [object],
        "basis": [object],
        "loss": [one_of("cross_entropy", "squared_error")],
        "cross_sections": ["array-like", None],
        "random_state": ["random_state"],
    }

    __metadata_request__fit = {
        "benchmark": True,
        "sample_weight": True,
        "groups": True,
    }
    __metadata_request__score = {"benchmark": True, "sample_weight": True}

    def __init__(
        self,
        estimator: Any = "mlp",
        basis: Any = None,
        loss: Literal["cross_entropy", "squared_error"] = "cross_entropy",
        *,
        cross_sections: ArrayLike | None = None,
        random_state: Any = None,
    ):
        self.estimator = estimator
        self.basis = basis
        self.loss = loss
        self.cross_sections = cross_sections
        self.random_state = random_state

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        *,
        benchmark: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Learn the ratio at every benchmark.

        Parameters
        ----------
        X : array-like or data frame of shape (n_events, n_features)
            Events.
        y : array-like of shape (n_events, n_benchmarks)
            dsigma(z, theta_b) of every event, each row up to a factor.
        benchmark : array-like of int, shape (n_events,), default=None
            Row of ``basis.benchmarks_`` that each event was drawn at; None is
            ``theta_ref``, whose events also stand in, weighted, for a benchmark without
            any.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, which make the events of a benchmark a sample of it.
        groups : array-like of shape (n_events,), default=None
            Event ids of `FractionalSmearing`; copies of an event are held out together.

        Returns
        -------
        self : MorphingRatioClassifier
            Fitted estimator.

        Raises
        ------
        IncompatibleChoiceError
            If the base learner does not suit the loss.
        """
        check_parameters(self)
        basis = self._read_basis()
        learner = self._learner()
        features = read_events(self, X, reset=True)
        values, weight = read_table(y, sample_weight, len(features))
        if groups is not None:
            groups = encode(groups, "groups", len(features))[1]
        self._several = benchmark is not None
        sample = BenchmarkSample(values, weight, benchmark, self._reference)
        self.n_parameters_ = basis.n_parameters
        self.cross_sections_ = self._cross_sections(sample)
        self.estimators_ = []
        for b in range(len(self.cross_sections_)):
            one = None
            if b != self._reference:
                rows, ratio, mixed = sample.mixture(b, self.cross_sections_[b])
                groups_there = None if groups is None else groups[rows]
                one = with_seed(clone(learner), self.random_state)
                one = self._fit_one(one, features[rows], ratio, mixed, groups_there)
            self.estimators_.append(one)
        self._set_polynomial()
        return self

    @property
    def theta_ref(self) -> FloatArray:
        """Reference point, that of the basis."""
        return self.basis.theta_ref_

    def predict(self, X: Any) -> FloatArray:
        """Derivatives (n_events, p + p (p + 1) / 2) of D, for a quadratic basis."""
        check_is_fitted(self)
        if not hasattr(self, "mean_derivatives_"):
            raise IncompatibleChoiceError(
                "basis must have powers up to two and as many benchmarks as monomials "
                "for derivatives to tell its densities; log_ratio needs neither."
            )
        return self._ratios(X) @ self._derivative_weights()

    def score(
        self,
        X: Any,
        y: ArrayLike,
        *,
        benchmark: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Minus the cross-entropy of the soft labels, whatever the loss of training.

        Parameters
        ----------
        X : array-like or data frame of shape (n_events, n_features)
            Events.
        y : array-like of shape (n_events, n_benchmarks)
            dsigma(z, theta_b) of every event, each row up to a factor.
        benchmark : array-like of int, shape (n_events,), default=None
            As in ``fit``; a search hands it on with metadata routing.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights.

        Returns
        -------
        score : float
            Mean over the benchmarks but the reference one, in nats; -ln 2 is that of
            ratios of one.
        """
        ratios = np.clip(self._ratios(X), _CLIP, 1.0 / _CLIP)
        values, weight = read_table(y, sample_weight, len(ratios))
        if self._several and benchmark is None:
            raise InvalidInputError(
                "benchmark must be given to score as to fit; a search hands it on if "
                "sklearn.set_config(enable_metadata_routing=True)."
            )
        sample = BenchmarkSample(values, weight, benchmark, self._reference)
        scores = []
        for b, total in enumerate(self.cross_sections_):
            if b != self._reference:
                rows, ratio, mixed = sample.mixture(b, total)
                soft, learned = 1.0 / (1.0 + ratio), ratios[rows, b]
                gain = (1.0 - soft) * np.log(learned) - np.log1p(learned)
                scores.append(np.average(gain, weights=mixed))
        return float(np.mean(scores))

    # ------------------------------------------------------------------------ steps
    def _read_basis(self) -> MorphingBasis:
        if not hasattr(self.basis, "benchmarks_"):
            raise InvalidInputError(
                f"basis must be a MorphingBasis with benchmarks, got {self.basis!r}."
            )
        basis = self.basis
        same = (basis.benchmarks_ == basis.theta_ref_).all(axis=1)
        if not same.any():
            raise InvalidInputError(
                f"basis must have theta_ref = {basis.theta_ref_} among its benchmarks, "
                f"got {basis.benchmarks_.tolist()}."
            )
        basis.weights(basis.theta_ref_)  # refuses benchmarks that leave powers open
        self._reference = int(same.argmax())
        return basis

    def _learner(self) -> Any:
        """Base learner; remember whether it takes no other labels than 0 and 1."""
        self._duplicates = False
        soft = self.loss == "cross_entropy"
        if isinstance(self.estimator, str):
            return make_regressor(
                self.estimator, "logistic" if soft else "squared_error"
            )
        if soft and is_classifier(self.estimator):
            self._duplicates = True
            return make_classifier(self.estimator)
        learner = make_regressor(self.estimator)
        named = learner.get_params(deep=False)
        logistic = "logistic" in (named.get("loss"), named.get("objective"))
        if is_classifier(learner) or soft != logistic:
            needed = "a classifier or a regressor with loss='logistic'"
            raise IncompatibleChoiceError(
                f"estimator must be {needed if soft else 'another regressor'} for "
                f"loss={self.loss!r}, got {learner!r}."
            )
        return learner

    def _cross_sections(self, sample: BenchmarkSample) -> FloatArray:
        n = len(self.basis.benchmarks_)
        if sample.ratio.shape[1] != n:
            raise InvalidInputError(
                f"y must have one column per benchmark, {n}, got "
                f"{sample.ratio.shape[1]}."
            )
        if self.cross_sections is None:
            return np.array([sample.cross_section(b) for b in range(n)])
        known = np.asarray(self.cross_sections, dtype=float)
        if known.shape != (n,) or not (known > 0).all():
            raise InvalidInputError(
                f"cross_sections must hold {n} positive numbers, got "
                f"{self.cross_sections!r}."
            )
        return known / known[self._reference]

    def _fit_one(
        self,
        learner: Any,
        X: FloatArray,
        ratio: FloatArray,
        weight: FloatArray,
        groups: ArrayLike | None,
    ) -> Any:
        """Learn one ratio; ``weight`` is that of the balanced mixture."""
        with np.errstate(divide="ignore"):
            soft = 1.0 / (1.0 + ratio)
        if not np.isfinite(soft).all():
            raise InvalidInputError(
                "y must not hold joint ratios of exactly -1, which no label can tell."
            )
        if not self._duplicates:
            return fit_learner(learner, X, soft, weight, groups)
        label = np.repeat([1, 0], len(X))
        both = np.concatenate([weight * soft, weight * (1.0 - soft)])
        groups = np.arange(len(X)) if groups is None else groups
        return fit_learner(
            learner, np.concatenate([X, X]), label, both, np.concatenate([groups] * 2)
        )

    def _set_polynomial(self) -> None:
        basis = self.basis
        square = len(basis.benchmarks_) == len(basis.components_)
        if hasattr(self, "mean_derivatives_"):
            del self.mean_derivatives_
        if square and basis.components_.sum(axis=1).max() <= 2:
            self.mean_derivatives_ = self._derivative_weights().sum(axis=0)

    def _derivative_weights(self) -> FloatArray:
        """Factors of the learned ratios in the derivatives."""
        i, j = derivative_pairs(self.n_parameters_)
        first = self.basis.weights_gradient(self.theta_ref)
        second = self.basis.weights_hessian(self.theta_ref)[:, i, j]
        both = np.concatenate([first, second], axis=1)
        return self.cross_sections_[:, None] * both

    def _ratios(self, X: Any) -> FloatArray:
        """Learned ratios of shape (n_events, n_benchmarks)."""
        features = read_events(self, X, reset=False)
        columns = [
            np.ones(len(features)) if one is None else self._ratio(one, features)
            for one in self.estimators_
        ]
        return np.stack(columns, axis=1)

    def _ratio(self, learner: Any, X: FloatArray) -> FloatArray:
        if self._duplicates:
            return np.exp(-_log_odds(learner, X))
        probability = np.asarray(learner.predict(X), dtype=float)
        if self.loss == "squared_error":
            probability = np.clip(probability, _CLIP, 1.0 - _CLIP)
        return (1.0 - probability) / probability

    def _density(self, X: Any, points: FloatArray) -> FloatArray:
        return (self._ratios(X) * self.cross_sections_) @ self.basis.weights(points).T

    def _total(self, points: FloatArray) -> FloatArray:
        return self.basis.weights(points) @ self.cross_sections_


def _log_odds(classifier: Any, X: FloatArray) -> FloatArray:
    """ln of the odds of label 1; no probability is zero."""
    with np.errstate(divide="ignore"):
        if hasattr(classifier, "predict_log_proba"):
            log_proba = np.asarray(classifier.predict_log_proba(X), dtype=float)
        else:
            log_proba = np.log(np.asarray(classifier.predict_proba(X), dtype=float))
    log_proba = np.where(np.isfinite(log_proba), log_proba, np.log(_CLIP))
    return log_proba[:, 1] - log_proba[:, 0]
