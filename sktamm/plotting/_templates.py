"""Templates before and after the data adapted them, for every class and feature."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from sktamm._numerics import FloatArray
from sktamm.plotting._display import ResultDisplay
from sktamm.plotting._marks import DASHES
from sktamm.plotting._panels import (
    DATA_COLOR,
    Axis,
    class_colors,
    grid_of_axes,
    project,
    require_templates,
    role_name,
)
from sktamm.results import FractionResult

__all__ = ["TemplatesDisplay"]


@dataclass(eq=False)
class TemplatesDisplay(ResultDisplay):
    """Band of the simulations, their average, and the adapted template.

    One block of panels per class, one column per feature: densities above, below them
    the ratio to the average simulation.

    Attributes
    ----------
    axes : list of Axis
        Name and bin edges of every feature.
    simulated : list of list of ndarray of shape (n_simulations, n_bins)
        Bin probabilities of the simulations, by feature and class.
    nominal, adapted : list of ndarray of shape (n_classes, n_bins)
        Those of the average simulation, and adapted to the data, by feature.
    class_names : list of str
        Names of the classes.
    positive : int
        Index of the signal.
    ax_, figure_ : ndarray of Axes of shape (2 * n_classes, n_features), Figure
        Density panels in even rows, ratio panels in odd ones; set by ``plot``.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.plotting import TemplatesDisplay
    >>> study = make_gaussian_study(n_simulations=4, n_events=2000, random_state=0)
    >>> tamm = BinnedTopicTAMM().fit(study.X, study.y, simulation=study.simulation)
    >>> display = TemplatesDisplay.from_result(tamm.infer(study.X_target))
    >>> display.plot().ax_.shape
    (4, 2)
    """

    axes: list[Axis]
    simulated: list[list[FloatArray]]
    nominal: list[FloatArray]
    adapted: list[FloatArray]
    class_names: list[str]
    positive: int

    @classmethod
    def _of_dataset(cls, result: FractionResult, i: int) -> Self:
        templates = require_templates(result, cls.__name__)
        classes = range(len(result.classes))
        simulated = project(templates, templates.simulated)
        return cls(
            axes=[axis for axis, _ in simulated],
            simulated=[
                [value[templates.source_class == c] for c in classes]
                for _, value in simulated
            ],
            nominal=[value for _, value in project(templates, templates.nominal)],
            adapted=[value for _, value in project(templates, templates.adapted[i])],
            class_names=[str(name) for name in result.classes],
            positive=int(np.flatnonzero(result.classes == result.pos_label)[0]),
        )

    def plot(self, ax: Any = None) -> Self:
        """Draw the display in a new figure, in one Axes, or in all that it needs."""
        self.figure_, self.ax_ = grid_of_axes(
            ax, len(self.class_names), len(self.axes), block_size=(4.6, 3.6)
        )
        for c in range(len(self.class_names)):
            for j in range(len(self.axes)):
                self._draw_density(self.ax_[2 * c, j], c, j)
                self._draw_ratio(self.ax_[2 * c + 1, j], c, j)
            role = role_name(self.class_names[c], c == self.positive)
            self.ax_[2 * c, 0].set_title(role, loc="left", fontsize="medium")
            self.ax_[2 * c, 0].legend(
                frameon=False, fontsize="small", loc="upper left", ncols=2
            )
        return self

    def _draw_density(self, ax: Any, c: int, j: int) -> None:
        width = self.axes[j].width
        band = self._draw(ax, c, j, 1 / width)
        top = max(band.max(), (self.adapted[j][c] / width).max())
        ax.set_ylim(0, 1.4 * top)
        ax.set_ylabel(f"density in {self.axes[j].name}")

    def _draw_ratio(self, ax: Any, c: int, j: int) -> None:
        nominal = self.nominal[j][c]
        scale = np.divide(1, nominal, out=np.zeros_like(nominal), where=nominal > 0)
        band = self._draw(ax, c, j, scale)
        adapted = (self.adapted[j][c] * scale)[nominal > 0]
        reach = np.abs(np.concatenate([band[:, nominal > 0].ravel(), adapted]) - 1)
        limit = min(1.15 * reach.max(initial=0.02), 1.0)
        ax.set_ylim(1 - limit, 1 + limit)
        ax.set_xlabel(self.axes[j].name)
        if j == 0:
            ax.set_ylabel("ratio")

    def _draw(self, ax: Any, c: int, j: int, scale: FloatArray) -> FloatArray:
        """Draw bands and lines times ``scale``; return the outer band."""
        edges = self.axes[j].edges
        color = class_colors(len(self.class_names), self.positive)[c]
        low, inner_low, inner_high, high = scale * np.quantile(
            self.simulated[j][c], [0, 0.16, 0.84, 1], axis=0
        )
        for bottom, top, alpha, label in (
            (low, high, 0.25, "all simulations"),
            (inner_low, inner_high, 0.35, "central 68%"),
        ):
            ax.stairs(
                top,
                edges,
                baseline=bottom,
                fill=True,
                color=color,
                alpha=alpha,
                linewidth=0,
                label=label,
            )
        average, adapted = scale * self.nominal[j][c], scale * self.adapted[j][c]
        style = {"baseline": None, "color": DATA_COLOR}
        ax.stairs(average, edges, linestyle=DASHES, label="average", **style)
        ax.stairs(adapted, edges, linewidth=1.8, label="adapted", **style)
        ax.set_xlim(edges[0], edges[-1])
        return np.array([low, high])
