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

        Parameters
        ----------
        estimator : estimator
            Fitted estimator of fractions, or Pipeline or search ending in one.
        X : array-like of shape (n_events, n_features), or callable
            Labelled events, or a generator of datasets.
        y : array-like of shape (n_events,), default=None
            Class of every event; None with a generator.
        **study
            Passed to `sktamm.coverage.coverage_study`: kappas, sizes, n_datasets, ...

        Returns
        -------
        display : display
            The display, not drawn yet.
        """
        from sktamm.coverage import coverage_study

        return cls.from_result(coverage_study(estimator, X, y, **study))
