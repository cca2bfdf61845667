"""Displays that run the study they show."""

from typing import Any, Self

__all__ = ["FromStudy"]


class FromStudy:
    """Display of a coverage study, made from its record or from the estimator."""

    @classmethod
    def from_result(cls, result: Any) -> Self:
        """Take the numbers from a study; overridden by every display."""
        raise NotImplementedError

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any = None, **study: Any
    ) -> Self:
        """Run a coverage study and take the numbers from it.

        ``X`` (n_events, n_features), ``y`` (n_events,). Returns the display, not drawn
        yet.
        """
        from sktamm.coverage import coverage_study

        return cls.from_result(coverage_study(estimator, X, y, **study))
