"""Verbs of every estimator of fractions, and what they need from its private steps."""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from sktamm._numerics import FloatArray, interval_score
from sktamm._sklearn import as_frame, refuse_cross_val_predict
from sktamm.events import TargetEvents, read_target
from sktamm.results import FractionResult, check_seed
from sktamm.tamm._choices import check_levels
from sktamm.tamm._truth import true_fraction

__all__ = ["FractionVerbs"]


class FractionVerbs(BaseEstimator):
    """Estimator of the signal fraction, a regressor of datasets."""

    __metadata_request__fit = {"simulation": True, "sample_weight": True}
    __metadata_request__predict = {
        "dataset": True,
        "sample_weight": True,
        "return_std": True,
        "return_interval": True,
    }
    __metadata_request__predict_proba = {"dataset": True, "sample_weight": True}
    __metadata_request__score = {"dataset": True, "sample_weight": True}

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}

    level: float
    n_features_in_: int
    classes_: NDArray[Any]
    pos_label_: Any

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        *,
        simulation: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Learn the components from labelled events of the simulations.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features), or sequence of histograms
            Simulated events, or one histogram (UHI) per class and simulation.
        y : array-like of shape (n_events,)
            Class label of each event or histogram.
        simulation : array-like of shape (n_events,), default=None
            Simulation id of each event or histogram; None is one simulation per class,
            the classical template fit.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, possibly negative; not with histograms, which have their own.

        Returns
        -------
        self : estimator
            Fitted estimator.

        Raises
        ------
        InvalidInputError
            If the input cannot be used; the sentence names argument, rule and value.
        IncompatibleChoiceError
            If the choices of the method do not go together.

        Warns
        -----
        FeatureWarning
            If a feature looks like bookkeeping, such as a weight or an event number.
        VarianceWarning
            If variances of histograms are unknown.
        ExchangeabilityWarning
            If binned simulations are hardly draws of one kind; see there.
        SingleSimulationWarning
            If a class has one simulation.
        """
        events = {"X": as_frame(X), "y": y, "simulation": simulation}
        if sample_weight is not None:
            events["sample_weight"] = sample_weight
        self._fit(events)
        return self

    def predict(
        self,
        X: Any,
        *,
        dataset: Any = None,
        sample_weight: ArrayLike | None = None,
        return_std: bool = False,
        return_interval: float | Sequence[float] | None = None,
    ) -> Any:
        """Signal fraction of every dataset.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features), histograms or EventCounts
            Unlabelled events, one histogram per dataset, or what `count_events` made.
        dataset : array-like or sparse matrix, default=None
            None: all events are one dataset. Shape (n_events,): one id per event, one
            value per sorted id. Shape (n_events, n_datasets): counts of the events.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, possibly negative.
        return_std : bool, default=False
            Whether to return the standard error too.
        return_interval : float or sequence of float, default=None
            Level or levels of intervals to return too.

        Returns
        -------
        kappa : ndarray of shape (n_datasets,)
            Fraction of ``pos_label``.
        std : ndarray of shape (n_datasets,)
            Standard error; only if ``return_std``.
        interval : ndarray of shape (n_datasets, 2) or (n_datasets, 2, n_levels)
            Lower and upper ends, for one level or several; only if asked.
        """
        check_is_fitted(self)
        refuse_cross_val_predict()
        question = {"dataset": dataset, "sample_weight": sample_weight}
        if not return_std and return_interval is None:
            return self._kappa(as_frame(X), question)
        levels = None if return_interval is None else check_levels(return_interval)
        result = self.infer(X, levels=levels, **question)
        answer: list[NDArray[Any]] = [result.kappa]
        if return_std:
            answer.append(result.std)
        if return_interval is not None:
            one = np.ndim(return_interval) == 0
            answer.append(result.interval[:, :, 0] if one else result.interval)
        return tuple(answer)

    def infer(
        self,
        X: Any,
        *,
        dataset: Any = None,
        sample_weight: ArrayLike | None = None,
        levels: Sequence[float] | NDArray[Any] | None = None,
        blind: str | None = None,
    ) -> FractionResult:
        """Everything about the signal fraction of every dataset.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features), histograms or EventCounts
            Unlabelled events, one histogram per dataset, or what `count_events` made.
        dataset : array-like or sparse matrix, default=None
            As in ``predict``.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, possibly negative.
        levels : sequence of float, default=None
            Levels of the intervals; None is the estimator's ``level`` and 0.954.
        blind : str, default=None
            Seed that hides kappa until ``result.unblinded(seed)``; see
            `FractionResult.blinded`. ``predict`` and ``score`` are never blinded.

        Returns
        -------
        result : FractionResult
            Estimates, intervals, adapted templates, diagnostics and flags.

        Warns
        -----
        SpanWarning
            If the p-value "span" of a dataset is below 0.001 / n_datasets; see there.
        ConvergenceWarning
            If a fit did not converge.
        FeatureWarning
            If a feature of the target looks like bookkeeping.
        VarianceWarning
            If variances of histograms are unknown.
        """
        check_is_fitted(self)
        question = {"dataset": dataset, "sample_weight": sample_weight}
        if blind is not None:
            check_seed(blind)  # before the work
        result = self._infer(as_frame(X), levels, question)
        return result if blind is None else result.blinded(blind)

    def predict_proba(
        self, X: Any, *, dataset: Any = None, sample_weight: ArrayLike | None = None
    ) -> FloatArray:
        """Class probabilities of events, the templates adapted to their dataset.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Unlabelled events.
        dataset : array-like of shape (n_events,), default=None
            Dataset id of each event; None is one dataset.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, possibly negative.

        Returns
        -------
        probability : ndarray of shape (n_events, n_classes)
            f_c q_c(x) / p(x), with the fractions projected on the simplex.
        """
        check_is_fitted(self)
        question = {"dataset": dataset, "sample_weight": sample_weight}
        return np.asarray(self._proba(as_frame(X), question))

    def score(
        self,
        X: Any,
        y: ArrayLike,
        *,
        dataset: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Minus the mean interval score of the intervals at ``level``; 0 is perfect.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Events.
        y : array-like of shape (n_events,)
            True class labels; the true fraction of a dataset is the weighted share of
            ``pos_label``.
        dataset : array-like or sparse matrix, default=None
            As in ``predict``.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, possibly negative.

        Returns
        -------
        score : float
            Negative or zero; higher is better.
        """
        check_is_fitted(self)
        target = self._read_target(as_frame(X), dataset, sample_weight)
        truth = true_fraction(target, y, self.classes_, self.pos_label_)
        question = {"dataset": dataset, "sample_weight": sample_weight}
        ends = self.predict(X, return_interval=self._level, **question)[1]
        scores = interval_score(truth, ends[:, 0], ends[:, 1], self._level)
        return -float(scores.mean())

    # ------------------------------------------------------- what children define
    def _fit(self, events: dict[str, Any]) -> None:
        """Fit with the arguments of ``fit``, ``sample_weight`` only if it is given."""
        raise NotImplementedError

    def _infer(self, X: Any, levels: Any, question: dict[str, Any]) -> FractionResult:
        """Result at levels, None the default ones; ``question`` holds the rest."""
        raise NotImplementedError

    def _proba(self, X: Any, question: dict[str, Any]) -> Any:
        """Class probabilities, (n_events, n_classes)."""
        raise NotImplementedError

    # --------------------------------------------------------------- private steps
    @property
    def _level(self) -> float:
        """Level of the interval that ``score`` judges."""
        return self.level

    def _chosen(self, levels: Any) -> FloatArray:
        """Levels asked for; by default one's own, and two standard deviations."""
        return check_levels((self._level, 0.954) if levels is None else levels)

    def _kappa(self, X: Any, question: dict[str, Any]) -> FloatArray:
        """Estimates alone."""
        return self.infer(X, **question).kappa

    def _read_target(self, X: Any, dataset: Any, sample_weight: Any) -> TargetEvents:
        return read_target(
            X, dataset=dataset, sample_weight=sample_weight, **self._fitted()
        )

    def _fitted(self) -> dict[str, Any]:
        """What the target has to agree with."""
        names = getattr(self, "feature_names_in_", None)
        return {
            "n_features": self.n_features_in_,
            "feature_names": None if names is None else tuple(names),
            "estimator_name": type(self).__name__,
        }

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags
