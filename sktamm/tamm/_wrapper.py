"""Verbs of estimators that wrap another one, which they keep as ``estimator_``.

Children say in ``fit`` what the inner estimator sees, and may change in ``infer`` what
it answers; every other verb follows from these two.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from sktamm._numerics import FloatArray, interval_score
from sktamm._sklearn import refuse_cross_val_predict
from sktamm.events import read_target
from sktamm.results import FractionResult
from sktamm.tamm._choices import check_levels
from sktamm.tamm._truth import true_fraction

__all__ = ["FractionWrapper"]

_LEVEL = 0.683


class FractionWrapper(BaseEstimator):
    """Estimator of the signal fraction around another one."""

    __metadata_request__fit = {"simulation": True, "sample_weight": True}
    __metadata_request__predict = {
        "dataset": True,
        "sample_weight": True,
        "return_std": True,
        "return_interval": True,
    }
    __metadata_request__predict_proba = {"dataset": True, "sample_weight": True}
    __metadata_request__score = {"dataset": True, "sample_weight": True}

    # Attributes that are those of the inner estimator.
    _copied: tuple[str, ...] = (
        "classes_",
        "feature_names_in_",
        "n_features_in_",
        "pos_label_",
    )

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

        ``X`` (n_events, n_features), ``sample_weight`` (n_events,) -> ``kappa``
        (n_datasets,), ``std`` (n_datasets,), ``interval`` (n_datasets, 2).
        """
        check_is_fitted(self)
        refuse_cross_val_predict()
        question = {"dataset": dataset, "sample_weight": sample_weight}
        if not return_std and return_interval is None:
            return self._kappa(X, question)
        levels = None if return_interval is None else check_levels(return_interval)
        result = self.infer(X, levels=levels, **question)
        answer: list[NDArray] = [result.kappa]
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
        levels: Sequence[float] | NDArray | None = None,
    ) -> FractionResult:
        """Everything about the signal fraction of every dataset.

        ``X`` (n_events, n_features), ``sample_weight`` (n_events,). Returns estimates,
        intervals, diagnostics and flags.
        """
        check_is_fitted(self)
        result: FractionResult = self.estimator_.infer(
            X, dataset=dataset, sample_weight=sample_weight, levels=levels
        )
        return result

    def predict_proba(
        self, X: Any, *, dataset: Any = None, sample_weight: ArrayLike | None = None
    ) -> FloatArray:
        """Class probabilities of events, as the inner estimator gives them.

        ``X`` (n_events, n_features), ``dataset`` (n_events,), ``sample_weight``
        (n_events,) -> (n_events, n_classes).
        """
        check_is_fitted(self)
        return np.asarray(
            self.estimator_.predict_proba(
                X, dataset=dataset, sample_weight=sample_weight
            )
        )

    def score(
        self,
        X: Any,
        y: ArrayLike,
        *,
        dataset: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Minus the mean interval score of the intervals; 0 is perfect.

        ``X`` (n_events, n_features), ``y`` (n_events,), ``sample_weight`` (n_events,).
        Returns at the inner estimator's ``level``; higher is better.
        """
        check_is_fitted(self)
        names = getattr(self, "feature_names_in_", None)
        target = read_target(
            X,
            dataset=dataset,
            sample_weight=sample_weight,
            n_features=self.n_features_in_,
            feature_names=None if names is None else tuple(names),
            estimator_name=type(self).__name__,
        )
        truth = true_fraction(target, y, self.classes_, self.pos_label_)
        keywords = {"dataset": dataset, "sample_weight": sample_weight}
        ends = self.predict(X, return_interval=self._level, **keywords)[1]
        scores = interval_score(truth, ends[:, 0], ends[:, 1], self._level)
        return -float(scores.mean())

    # --------------------------------------------------------------- private steps
    @property
    def _level(self) -> float:
        return float(getattr(self.estimator_, "level", _LEVEL))

    def _kappa(self, X: Any, question: dict[str, Any]) -> FloatArray:
        """Estimates alone; children that change them say how."""
        return np.asarray(self.estimator_.predict(X, **question))

    def _copy_attributes(self) -> None:
        """Show what the inner estimator has learned of the input."""
        for name in self._copied:
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
            elif hasattr(self, name):
                delattr(self, name)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags
