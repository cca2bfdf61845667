"""One picture of a measurement: the mixture on every feature, and kappa."""

import os
import textwrap
from collections.abc import Sequence

from sktamm.plotting._fraction import FractionDisplay
from sktamm.plotting._marks import drawing
from sktamm.plotting._mixture import MixtureDisplay
from sktamm.results import FractionResult

__all__ = ["save_overview"]

_LINE = 70  # characters of a small font that the width of one panel holds


def save_overview(
    result: FractionResult,
    path: str | os.PathLike[str],
    dataset: int = 0,
    features: Sequence[str] = (),
) -> None:
    """Draw the mixture and kappa of one dataset side by side and save the picture.

    Parameters
    ----------
    result : FractionResult
        Any result; without templates, or blinded, kappa is drawn alone.
    path : path-like
        File to write; its ending says what kind of picture.
    dataset : int, default=0
        Position of the dataset in the result.
    features : sequence of str, optional
        Names of the features, to stand below a picture that does not show each.
    """
    figure = drawing("matplotlib.figure").Figure(layout="constrained")
    drawing("matplotlib.backends.backend_agg").FigureCanvasAgg(figure)
    if result.templates is None or result.is_blinded:
        figure.set_size_inches(4.8, 3.9)
        ax = figure.subplots()
        if features:
            line = textwrap.fill(f"features: {', '.join(features)}", _LINE)
            figure.supxlabel(line, fontsize="small")
    else:
        mixture = MixtureDisplay.from_result(result, dataset)
        columns = len(mixture.axes)
        figure.set_size_inches(4.2 * columns + 4.8, 4.4)
        grid = figure.add_gridspec(1, 2, width_ratios=[columns, 1.05])
        mixture.plot(ax=figure.add_subplot(grid[0]))
        ax = figure.add_subplot(grid[1])
    FractionDisplay.from_result(result, dataset).plot(ax=ax)
    figure.savefig(path, dpi=150)
