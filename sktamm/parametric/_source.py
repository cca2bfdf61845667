"""The ratio inside a search or a Pipeline, and the density behind it."""

from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from sktamm._numerics import FloatArray
from sktamm.parametric._polynomial import PolynomialRatioMixin

__all__ = ["density_of", "ratio_of"]


def ratio_of(estimator: Any) -> Any:
    """Ratio estimator that answers for features as the given object takes them."""
    if hasattr(estimator, "best_estimator_"):
        return ratio_of(estimator.best_estimator_)
    if isinstance(estimator, Pipeline):
        last = ratio_of(estimator[-1])
        return _AfterSteps(estimator[:-1], last) if len(estimator) > 1 else last
    return estimator


def density_of(ratio: Any, X: Any, points: FloatArray) -> FloatArray | None:
    """Signed ratios D (n_events, n_theta); None if a ratio has ``log_ratio`` alone."""
    if not len(X):
        return np.zeros((0, len(points)))
    if isinstance(ratio, _AfterSteps):
        return density_of(ratio.ratio, ratio.steps.transform(X), points)
    if isinstance(ratio, PolynomialRatioMixin):
        return ratio._density(X, points)
    return None


class _AfterSteps:
    """A ratio of transformed features."""

    def __init__(self, steps: Pipeline, ratio: Any) -> None:
        self.steps, self.ratio = steps, ratio

    def __getattr__(self, name: str) -> Any:
        if name in ("steps", "ratio") or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.ratio, name)

    def predict(self, X: Any) -> FloatArray:
        """Derivatives of events."""
        return self.ratio.predict(self.steps.transform(X))

    def log_ratio(self, X: Any, theta: Any) -> FloatArray:
        """Log density ratios of events."""
        return self.ratio.log_ratio(self.steps.transform(X), theta)
