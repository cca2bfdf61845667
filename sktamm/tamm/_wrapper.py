"""Estimators that wrap another one, which they keep as ``estimator_``.

Children say in ``_fit`` what the inner estimator sees, and may change in ``_infer``,
``_kappa`` and ``_proba`` what it answers.
"""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from sktamm._numerics import FloatArray
from sktamm.results import FractionResult
from sktamm.tamm._verbs import FractionVerbs

__all__ = ["FractionWrapper"]

_LEVEL = 0.683  # one standard deviation, for estimators without ``level``


class FractionWrapper(FractionVerbs):
    """Estimator of the signal fraction around another one."""

    estimator_: Any

    # Attributes that are those of the inner estimator.
    _copied: tuple[str, ...] = (
        "classes_",
        "feature_names_in_",
        "n_features_in_",
        "pos_label_",
    )

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        *,
        simulation: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Learn from labelled events of the simulations.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features), or sequence of histograms
            Simulated events, or one histogram (UHI) per class and simulation.
        y : array-like of shape (n_events,)
            Class label of each event or histogram.
        simulation : array-like of shape (n_events,), default=None
            Simulation id of each event or histogram.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, possibly negative.

        Returns
        -------
        self : estimator
            Fitted estimator.

        Raises
        ------
        InvalidInputError
            If the input cannot be used, such as one simulation per class where
            simulations are left out.
        IncompatibleChoiceError
            If an estimator, or a setting, cannot be used.
        """
        events = {"X": X, "y": y, "simulation": simulation}
        if sample_weight is not None:
            events["sample_weight"] = sample_weight
        self._fit(events)
        return self

    def infer(
        self,
        X: Any,
        *,
        dataset: Any = None,
        sample_weight: ArrayLike | None = None,
        levels: Sequence[float] | NDArray | None = None,
    ) -> FractionResult:
        """Everything about the signal fraction of every dataset.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features), or histograms
            Unlabelled events, or one histogram per dataset.
        dataset : array-like or sparse matrix, default=None
            As in ``predict``.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, possibly negative.
        levels : sequence of float, default=None
            Levels of the intervals; None is ``level`` and 0.954, where supported.

        Returns
        -------
        result : FractionResult
            Estimates, intervals, diagnostics and flags.
        """
        check_is_fitted(self)
        question = {"dataset": dataset, "sample_weight": sample_weight}
        return self._infer(X, levels, question)

    def predict_proba(
        self, X: Any, *, dataset: Any = None, sample_weight: ArrayLike | None = None
    ) -> FloatArray:
        """Class probabilities of events, as the inner estimator gives them.

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
            Class probabilities.
        """
        check_is_fitted(self)
        question = {"dataset": dataset, "sample_weight": sample_weight}
        return np.asarray(self._proba(X, question))

    # --------------------------------------------------------------- private steps
    @property
    def _level(self) -> float:
        return float(getattr(self.estimator_, "level", _LEVEL))

    def _fit(self, events: dict[str, Any]) -> None:
        """Fit with the arguments of ``fit``, ``sample_weight`` only if it is given."""
        raise NotImplementedError

    def _infer(self, X: Any, levels: Any, question: dict[str, Any]) -> FractionResult:
        result: FractionResult = self.estimator_.infer(X, levels=levels, **question)
        return result

    def _kappa(self, X: Any, question: dict[str, Any]) -> FloatArray:
        return np.asarray(self.estimator_.predict(X, **question))

    def _proba(self, X: Any, question: dict[str, Any]) -> Any:
        return self.estimator_.predict_proba(X, **question)

    def _copy_attributes(self) -> None:
        """Show what the inner estimator has learned of the input."""
        for name in self._copied:
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
            elif hasattr(self, name):
                delattr(self, name)
