"""Estimators that wrap another one, which they keep as ``estimator_``.

Children say in ``_fit`` what the inner estimator sees, and may change in ``_infer``,
``_kappa`` and ``_proba`` what it answers.
"""

from typing import Any

import numpy as np

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

    @property
    def _level(self) -> float:
        return float(getattr(self.estimator_, "level", _LEVEL))

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
