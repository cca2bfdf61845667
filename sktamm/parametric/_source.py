"""The ratio inside a search or a Pipeline."""

from typing import Any

from sklearn.pipeline import Pipeline

from sktamm._numerics import FloatArray

__all__ = ["ratio_of"]


def ratio_of(estimator: Any) -> Any:
    """Ratio estimator that answers for features as the given object takes them.

    Parameters
    ----------
    estimator : object
        Ratio estimator; a fitted search, whose best one it is; or a fitted Pipeline
        that ends in one.

    Returns
    -------
    ratio : object
        With the methods and attributes of a ratio estimator, if it is one.
    """
    if hasattr(estimator, "best_estimator_"):
        return ratio_of(estimator.best_estimator_)
    if isinstance(estimator, Pipeline) and len(estimator.steps) > 1:
        return _AfterSteps(estimator[:-1], ratio_of(estimator[-1]))
    return estimator


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
