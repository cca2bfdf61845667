"""What the displays share: projections of binned templates, colours and layout.

A projection on one feature sums the others and leaves out its own flow bins.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sktamm.exceptions import InvalidInputError
from sktamm.plotting._marks import drawing
from sktamm.results import AdaptedTemplates, FractionResult

__all__ = [
    "BACKGROUND_COLORS",
    "DATA_COLOR",
    "SIGNAL_COLOR",
    "Axis",
    "class_colors",
    "dataset_index",
    "grid_of_axes",
    "new_grid",
    "project",
    "require_templates",
    "role_name",
]

FloatArray = NDArray[np.float64]

# Okabe and Ito's palette, distinguishable with every common colour blindness.
SIGNAL_COLOR = "#D55E00"
BACKGROUND_COLORS = ("#56B4E9", "#009E73", "#CC79A7", "#0072B2", "#E69F00", "#F0E442")
DATA_COLOR = "#222222"


@dataclass(frozen=True, eq=False)
class Axis:
    """One feature's bins, with their finite edges (n_bins + 1,)."""

    name: str
    edges: FloatArray

    @property
    def width(self) -> FloatArray:
        """Widths of the bins."""
        return np.diff(self.edges)

    @property
    def centre(self) -> FloatArray:
        """Centres of the bins."""
        return (self.edges[:-1] + self.edges[1:]) / 2

    @property
    def unit(self) -> FloatArray:
        """Divisor that makes bins comparable: 1, or the width where widths differ."""
        return np.ones_like(self.width) if self._uniform else self.width

    @property
    def unit_label(self) -> str:
        """What the quantity divided by ``unit`` is counted per."""
        return f"{self.width[0]:.3g}" if self._uniform else f"unit of {self.name}"

    @property
    def _uniform(self) -> bool:
        return bool(np.allclose(self.width, self.width[0], rtol=1e-6))


def role_name(name: str, is_signal: bool) -> str:
    """What a class is, and its name where that says more."""
    role = "signal" if is_signal else "background"
    return role if name in {"0", "1", role} else f"{role} ({name})"


def require_templates(result: FractionResult, display: str) -> AdaptedTemplates:
    """Templates of a binned result, or a refusal that says who has them."""
    if result.templates is None:
        raise InvalidInputError(
            f"{display} needs a result with templates, which binned estimators give; "
            "got a result without."
        )
    return result.templates


def dataset_index(result: FractionResult, dataset: int) -> int:
    """Check the position of a dataset in a result."""
    n = result.kappa.size
    if not -n <= dataset < n:
        raise InvalidInputError(
            f"dataset must be the position of one of {n} datasets; got {dataset}."
        )
    return dataset % n


def project(
    templates: AdaptedTemplates, values: FloatArray
) -> list[tuple[Axis, FloatArray]]:
    """Project values over bins (..., n_rows) on every feature in turn."""
    lead = values.shape[:-1]
    grid = values.reshape(*lead, *templates.shape)
    n_features = len(templates.shape)
    inner = slice(1, -1) if templates.flow else slice(None)
    projections = []
    for j, (name, edges) in enumerate(
        zip(templates.feature_names, templates.edges, strict=True)
    ):
        others = tuple(len(lead) + i for i in range(n_features) if i != j)
        axis = Axis(str(name), np.asarray(edges, dtype=float))
        projections.append((axis, grid.sum(axis=others)[..., inner]))
    return projections


def class_colors(n_classes: int, positive: int) -> list[str]:
    """One colour per class: vermilion for the signal, the others in a fixed order."""
    others = iter(BACKGROUND_COLORS[i % 6] for i in range(n_classes))
    return [SIGNAL_COLOR if c == positive else next(others) for c in range(n_classes)]


def grid_of_axes(
    ax: Any, n_blocks: int, n_columns: int, *, block_size: tuple[float, float]
) -> tuple[Any, NDArray[Any]]:
    """Pairs of a main panel above a small one, Axes (2 * n_blocks, n_columns)."""
    if ax is not None and np.ndim(ax) > 0:
        axes = _reshaped(ax, 2 * n_blocks, n_columns)
        return axes[0, 0].figure, axes
    size = (block_size[0] * n_columns, block_size[1] * n_blocks)
    figure, outer = new_grid(ax, n_blocks, n_columns, size)
    return figure, _pairs(figure, outer, n_blocks, n_columns)


def new_grid(
    ax: Any, n_rows: int, n_columns: int, size: tuple[float, float]
) -> tuple[Any, Any]:
    """Figure and grid of cells: a new one of a size in inches, or one Axes divided."""
    if ax is None:
        figure = drawing().figure(figsize=size, layout="constrained")
        return figure, figure.add_gridspec(n_rows, n_columns)
    ax.set_axis_off()
    return ax.figure, ax.get_subplotspec().subgridspec(n_rows, n_columns)


def _pairs(figure: Any, outer: Any, n_blocks: int, n_columns: int) -> NDArray[Any]:
    """Split every cell of a grid in a main panel and a small one of the same x."""
    axes = np.empty((2 * n_blocks, n_columns), dtype=object)
    for i in range(n_blocks):
        for j in range(n_columns):
            inner = outer[i, j].subgridspec(2, 1, height_ratios=[3, 1], hspace=0.06)
            axes[2 * i, j] = figure.add_subplot(inner[0])
            axes[2 * i + 1, j] = figure.add_subplot(inner[1], sharex=axes[2 * i, j])
            axes[2 * i, j].tick_params(labelbottom=False)
    return axes


def _reshaped(ax: Any, n_rows: int, n_columns: int) -> NDArray[Any]:
    axes = np.asarray(ax, dtype=object)
    if axes.size != n_rows * n_columns:
        raise InvalidInputError(
            f"ax must be None, one Axes or {n_rows} x {n_columns} Axes; got an array "
            f"of shape {axes.shape}."
        )
    return axes.reshape(n_rows, n_columns)
