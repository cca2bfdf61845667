"""What displays have in common: making them, and where they are drawn."""

from typing import Any, Self

from sktamm.plotting._marks import one_panel
from sktamm.plotting._panels import dataset_index
from sktamm.results import FractionResult

__all__ = ["Display", "PanelDisplay", "ResultDisplay", "StudyDisplay"]


class Display:
    """Numbers that can be drawn; ``plot`` returns the display itself."""

    # Not dataclass fields: only ``plot`` sets them.
    ax_: Any = None
    figure_: Any = None


class PanelDisplay(Display):
    """Display in one panel; children say in ``_draw`` what it shows."""

    def plot(self, ax: Any = None) -> Self:
        """Draw the display in the Axes ``ax`` or a new figure, and return it."""
        self.ax_ = one_panel(ax, self._size())
        self.figure_ = self.ax_.figure
        self._draw(self.ax_)
        return self

    def _size(self) -> tuple[float, float]:
        """Inches of a new figure."""
        return 6.0, 4.0

    def _draw(self, ax: Any) -> None:
        raise NotImplementedError


class StudyDisplay(PanelDisplay):
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
            Fitted estimator, or Pipeline or search ending in one.
        X, y : array-like
            Labelled events, or a generator of datasets and None.
        **study
            Passed to `sktamm.coverage.coverage_study`: kappas, sizes, n_datasets, ...

        Returns
        -------
        display : Display
            The display, not drawn yet.
        """
        from sktamm.coverage import coverage_study

        return cls.from_result(coverage_study(estimator, X, y, **study))


class ResultDisplay(Display):
    """Display of one dataset of a result."""

    @classmethod
    def from_result(cls, result: FractionResult, dataset: int = 0) -> Self:
        """Take the numbers of one dataset from a result.

        Parameters
        ----------
        result : FractionResult
            Any result; that of a binned estimator where templates are shown.
        dataset : int, default=0
            Position of the dataset in the result.

        Returns
        -------
        display : Display
            The display, not drawn yet.
        """
        return cls._of_dataset(result, dataset_index(result, dataset))

    @classmethod
    def _of_dataset(cls, result: FractionResult, i: int) -> Self:
        raise NotImplementedError
