"""One picture of a measurement: the mixture on every feature, and kappa."""

import os
from typing import Any

from sktamm.plotting._fraction import FractionDisplay
from sktamm.plotting._mixture import MixtureDisplay
from sktamm.results import FractionResult

__all__ = ["save_overview"]


def save_overview(
    result: FractionResult, path: str | os.PathLike[str], dataset: int = 0
) -> None:
    """Draw the mixture and kappa of one dataset side by side and save the picture.

    Parameters
    ----------
    result : FractionResult
        A binned result.
    path : path-like
        File to write; its ending says what kind of picture.
    dataset : int, default=0
        Position of the dataset in the result.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    mixture = MixtureDisplay.from_result(result, dataset)
    columns = len(mixture.axes)
    figure: Any = Figure(figsize=(4.2 * columns + 4.8, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(1, 2, width_ratios=[columns, 1.05])
    mixture.plot(ax=figure.add_subplot(grid[0]))
    FractionDisplay.from_result(result, dataset).plot(ax=figure.add_subplot(grid[1]))
    figure.savefig(path, dpi=150)
