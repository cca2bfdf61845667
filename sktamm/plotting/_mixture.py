"""The data against the adapted mixture, projected on every feature."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from sktamm._numerics import FloatArray
from sktamm.plotting._display import ResultDisplay
from sktamm.plotting._event_mixture import WeightedEvents, feature_axis
from sktamm.plotting._marks import DASHES
from sktamm.plotting._panels import (
    DATA_COLOR,
    Axis,
    class_colors,
    dataset_index,
    grid_of_axes,
    project,
    require_templates,
    role_name,
)
from sktamm.results import FractionResult, refuse_blinded, rounded

__all__ = ["MixtureDisplay"]


@dataclass(eq=False)
class MixtureDisplay(ResultDisplay):
    """Data with errors, the stacked classes of the adapted mixture, and pulls below.

    One column of panels per feature; events in flow bins are not drawn. The pull is
    (data - mixture) / (error of the data), and missing where the error is zero.

    Attributes
    ----------
    axes : list of Axis
        Name and bin edges of every feature.
    counts, errors : list of ndarray of shape (n_bins,)
        Observed sum of weights of every feature, and root of that of their squares.
    components : list of ndarray of shape (n_classes, n_bins)
        Expected events of every class after adapting.
    nominal : list of ndarray of shape (n_bins,)
        Expected events with the average simulations at the same fractions.
    class_names : list of str
        Names of the classes.
    positive : int
        Index of the signal.
    title : str
        Line above the panels.
    ax_, figure_ : ndarray of Axes of shape (2, n_features), Figure
        Main panels above pull panels, and the figure; set by ``plot``.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.plotting import MixtureDisplay
    >>> study = make_gaussian_study(n_simulations=4, n_events=2000, random_state=0)
    >>> tamm = BinnedTopicTAMM().fit(study.X, study.y, simulation=study.simulation)
    >>> display = MixtureDisplay.from_result(tamm.infer(study.X_target))
    >>> display.plot().ax_.shape
    (2, 2)
    """

    axes: list[Axis]
    counts: list[FloatArray]
    errors: list[FloatArray]
    components: list[FloatArray]
    nominal: list[FloatArray]
    class_names: list[str]
    positive: int
    title: str

    @classmethod
    def _of_dataset(cls, result: FractionResult, i: int) -> Self:
        refuse_blinded(result, cls.__name__)
        templates = require_templates(result, cls.__name__)
        expected = result.n_events[i] * result.fractions[i][:, None]
        nominal = (expected * templates.nominal).sum(axis=0)
        counts = project(templates, templates.counts[i])
        return cls(
            axes=[axis for axis, _ in counts],
            counts=[value for _, value in counts],
            errors=[np.sqrt(v) for _, v in project(templates, templates.variances[i])],
            components=[
                value
                for _, value in project(templates, expected * templates.adapted[i])
            ],
            nominal=[value for _, value in project(templates, nominal)],
            class_names=[str(name) for name in result.classes],
            positive=int(np.flatnonzero(result.classes == result.pos_label)[0]),
            title=_title(result, i),
        )

    @classmethod
    def from_events(
        cls,
        result: FractionResult,
        data: WeightedEvents,
        adapted: WeightedEvents,
        nominal: WeightedEvents,
        *,
        features: Sequence[str],
        dataset: int = 0,
    ) -> Self:
        """Compare data with weighted simulated events, feature by feature.

        Parameters
        ----------
        result : FractionResult
            Any result, of an unbinned estimator too.
        data : WeightedEvents
            Events of the dataset.
        adapted : WeightedEvents
            Simulated events with the weights of `sktamm.event_weights`.
        nominal : WeightedEvents
            The same events with their weights before adapting, of the same sums.
        features : sequence of str
            Names of the features.
        dataset : int, default=0
            Position of the dataset in the result.

        Returns
        -------
        display : MixtureDisplay
            The display, not drawn yet.
        """
        refuse_blinded(result, cls.__name__)
        n = result.classes.size
        axes = [
            feature_axis(str(name), data.X[:, j], adapted.X[:, j])
            for j, name in enumerate(features)
        ]
        numbered = list(enumerate(axes))
        return cls(
            axes=axes,
            counts=[data.content(j, axis, 1)[0] for j, axis in numbered],
            errors=[data.errors(j, axis) for j, axis in numbered],
            components=[adapted.content(j, axis, n) for j, axis in numbered],
            nominal=[nominal.content(j, axis, n).sum(axis=0) for j, axis in numbered],
            class_names=[str(name) for name in result.classes],
            positive=int(np.flatnonzero(result.classes == result.pos_label)[0]),
            title=_title(result, dataset_index(result, dataset)),
        )

    def of_feature(self, j: int) -> Self:
        """The same with one of its features alone, and without the title."""
        own = ("axes", "counts", "errors", "components", "nominal")
        chosen: dict[str, Any] = {name: [getattr(self, name)[j]] for name in own}
        return replace(self, title="", **chosen)

    def plot(self, ax: Any = None) -> Self:
        """Draw the display in a new figure, in one Axes, or in (2, n_features) Axes."""
        self.figure_, self.ax_ = grid_of_axes(
            ax, 1, len(self.axes), block_size=(4.6, 4.4)
        )
        for j in range(len(self.axes)):
            self._draw_main(self.ax_[0, j], j)
            self._draw_pulls(self.ax_[1, j], j)
        self.ax_[0, 0].legend(
            frameon=False, fontsize="small", loc="upper left", ncols=2
        )
        self.ax_[1, 0].set_ylabel("pull")
        self.ax_[0, 0].set_title(self.title, loc="left", fontsize="medium")
        return self

    def pulls(self, feature: int) -> FloatArray:
        """Pulls of the bins of one feature, (n_bins,); NaN where the error is zero."""
        error = self.errors[feature]
        residual = self.counts[feature] - self.components[feature].sum(axis=0)
        missing = np.full_like(residual, np.nan)
        return np.divide(residual, error, out=missing, where=error > 0)

    def _draw_main(self, ax: Any, j: int) -> None:
        axis, unit = self.axes[j], self.axes[j].unit
        base = np.zeros_like(axis.centre)
        colors = class_colors(len(self.class_names), self.positive)
        for c in self._stacking_order():
            top = base + self.components[j][c] / unit
            label = role_name(self.class_names[c], c == self.positive)
            ax.stairs(
                top, axis.edges, baseline=base, fill=True, color=colors[c], label=label
            )
            base = top
        ax.stairs(base, axis.edges, color=DATA_COLOR, linewidth=0.8)
        ax.stairs(
            self.nominal[j] / unit,
            axis.edges,
            color=DATA_COLOR,
            linestyle=DASHES,
            linewidth=1.2,
            label="before adapting",
        )
        ax.errorbar(
            axis.centre,
            self.counts[j] / unit,
            yerr=self.errors[j] / unit,
            fmt="o",
            markersize=3.5,
            linewidth=1,
            color=DATA_COLOR,
            label="data",
        )
        ax.set_xlim(axis.edges[0], axis.edges[-1])
        ax.set_ylim(0, 1.45 * max(base.max(), (self.counts[j] / unit).max()))
        ax.set_ylabel(f"events / {axis.unit_label}")

    def _draw_pulls(self, ax: Any, j: int) -> None:
        axis, pulls = self.axes[j], self.pulls(j)
        ax.axhspan(-1, 1, color="0.9", linewidth=0)
        ax.axhline(0, color="0.5", linewidth=0.8)
        ax.plot(axis.centre, pulls, "o", markersize=3.5, color=DATA_COLOR)
        limit = max(3.5, 1.15 * np.nanmax(np.abs(pulls), initial=0.0))
        ax.set_ylim(-limit, limit)
        ax.set_xlabel(axis.name)

    def _stacking_order(self) -> list[int]:
        """Backgrounds first, the signal on top."""
        classes = range(len(self.class_names))
        return [c for c in classes if c != self.positive] + [self.positive]


def _title(result: FractionResult, i: int) -> str:
    """Measurement and goodness of fit in one line."""
    std = result.std[i]
    kappa, error = rounded(result.kappa[i], std), rounded(std, std)
    title = rf"$\kappa$ = {kappa} $\pm$ {error}"
    if result.kappa.size > 1:
        title = f"{result.dataset[i]}:  {title}"
    p_value = result.diagnostics.get("goodness_of_fit")
    if p_value is not None and np.isfinite(p_value[i]):
        title += f",  goodness of fit p = {p_value[i]:.2g}"
    return title
