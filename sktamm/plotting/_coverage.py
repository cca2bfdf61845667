"""Displays of coverage studies: coverage with its band, width against coverage."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from sktamm._numerics import FloatArray
from sktamm.exceptions import InvalidInputError
from sktamm.plotting._display import PanelDisplay, StudyDisplay
from sktamm.plotting._marks import (
    BAND_LEVEL,
    DASHES,
    MARKERS,
    SERIES_COLORS,
    TRUTH_LABEL,
    binomial_band,
    level_index,
    percent,
)
from sktamm.plotting._panels import DATA_COLOR

__all__ = ["CoverageDisplay", "WidthDisplay"]

_LABELS = {
    "truth": TRUTH_LABEL,
    "size": "events in a dataset",
    "strength": "strength of the misspecification",
    "level": "nominal level",
}
_WORST: dict[str, Any] = {"marker": "v", "markerfacecolor": "none"}


@dataclass(eq=False)
class CoverageDisplay(StudyDisplay):
    """Coverage of intervals with its errors, and the band where it should lie.

    Attributes
    ----------
    x : ndarray of shape (n_points,)
        True kappa, size, strength or nominal level; ascending.
    nominal, coverage : ndarray of shape (n_curves, n_points)
        Level of the intervals, and the share of them that contain the truth.
    error : ndarray of shape (n_curves, 2, n_points)
        Lower and upper ends of the interval of that share.
    n_independent : ndarray of shape (n_points,)
        Independent experiments that explain the errors, no fewer than the sets.
    by : {"truth", "size", "strength", "level"}, default="truth"
        What ``x`` is, one curve per level; "level" joins all experiments and shows
        coverage against the nominal level.
    title : str
        Line above the panel: numbers of experiments and of sets.
    worst_tenth : ndarray of shape (n_curves, n_points) or None
        Mean coverage of the worst tenth of the sets, hollow triangles; None of one set.
    ax_, figure_ : Axes, Figure
        The panel and the figure; set by ``plot``.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.plotting import CoverageDisplay
    >>> study = make_gaussian_study(n_simulations=4, n_events=2000, random_state=0)
    >>> tamm = BinnedTopicTAMM().fit(study.X, study.y, simulation=study.simulation)
    >>> display = CoverageDisplay.from_estimator(
    ...     tamm, study.X, study.y, kappas=[0.1, 0.3], sizes=500, n_datasets=5
    ... )
    >>> display.plot().coverage.shape
    (2, 2)
    """

    x: FloatArray
    nominal: FloatArray
    coverage: FloatArray
    error: FloatArray
    n_independent: FloatArray
    by: str = "truth"
    title: str = ""
    worst_tenth: FloatArray | None = None

    @classmethod
    def from_result(cls, result: Any, by: str = "truth") -> Self:
        """Take the numbers from a `CoverageResult`, against ``by``."""
        if by not in _LABELS:
            raise InvalidInputError(
                f"by must be one of {', '.join(_LABELS)}, got {by!r}."
            )
        table = result.table(by=() if by == "level" else (by,))
        levels = np.sort(np.asarray(result.levels, dtype=float))
        names = [f"{level:g}" for level in levels]
        coverage = np.array([table[f"coverage_{name}"] for name in names])
        worst = np.array([table[f"worst_tenth_{name}"] for name in names])
        ends = [
            [f"coverage_{end}_{name}" for end in ("lower", "upper")] for name in names
        ]
        error = np.array([[table[column] for column in pair] for pair in ends])
        n, n_groups = table["n"].to_numpy(float), table["n_groups"].to_numpy(float)
        independent = _independent(coverage, error, n, n_groups)
        x = table.index.to_numpy(float)
        nominal = np.repeat(levels[:, None], x.size, axis=1)
        if by == "level":
            x, nominal, coverage, error = levels, nominal.T, coverage.T, error.T
            independent, worst = np.repeat(independent, levels.size), worst.T
        title, several = _title(n, n_groups), n_groups.max() > 1
        numbers = x, nominal, coverage, error, independent
        return cls(*numbers, by, title, worst if several else None)

    def band(self, curve: int) -> FloatArray:
        """Where 95.4 % of coverages of exact intervals lie, shape (2, n_points)."""
        return binomial_band(self.n_independent, self.nominal[curve])

    def _draw(self, ax: Any) -> None:
        for i in range(len(self.coverage)):
            self._draw_curve(i)
        worst = self.coverage if self.worst_tenth is None else self.worst_tenth
        low = min(worst.min(), self.error.min(), self.band(0).min())
        legend = 0.16 if self.worst_tenth is None else 0.24
        ax.set_ylim(low - legend * (1.03 - low), 1.03)
        ax.set_xlabel(_LABELS[self.by])
        ax.set_ylabel("coverage")
        ax.set_title(self.title, loc="left", fontsize="medium")
        self._add_legend()

    def _draw_curve(self, i: int) -> None:
        color = SERIES_COLORS[i % len(SERIES_COLORS)]
        x, nominal, (low, high) = self._widened(i)
        self.ax_.fill_between(x, low, high, color=color, alpha=0.18, linewidth=0)
        self.ax_.plot(x, nominal, color=color, linewidth=1.0, linestyle=DASHES)
        self.ax_.errorbar(
            self.x,
            self.coverage[i],
            yerr=np.abs(self.error[i] - self.coverage[i]),
            color=color,
            marker=MARKERS[i % len(MARKERS)],
            linestyle="none" if self.by == "level" else "-",
            linewidth=1.2,
            capsize=2.5,
        )
        if self.worst_tenth is not None:
            worst = self.worst_tenth[i]
            self.ax_.plot(self.x, worst, color=color, linestyle="none", **_WORST)
        if self.by != "level":
            self.ax_.annotate(
                percent(nominal[0]),
                (1.01, nominal[0]),
                xycoords=("axes fraction", "data"),
                color=color,
                va="center",
            )

    def _widened(self, i: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Band and nominal level, reaching a little beyond the points."""
        if self.by == "level":
            return self.x, self.nominal[i], self.band(i)
        reach = 0.05 * np.ptp(self.x) or 0.05 * abs(self.x[0]) or 0.05
        x = np.concatenate([[self.x[0] - reach], self.x, [self.x[-1] + reach]])
        wide = np.pad(self.band(i), ((0, 0), (1, 1)), mode="edge")
        return x, np.pad(self.nominal[i], 1, mode="edge"), wide

    def _add_legend(self) -> None:
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        color = SERIES_COLORS[0] if self.by == "level" else DATA_COLOR
        handles = [
            Line2D([], [], color=color, marker=MARKERS[0], label="coverage"),
            Line2D([], [], color=color, linestyle=DASHES, label="nominal"),
            Patch(
                color=color,
                alpha=0.18,
                linewidth=0,
                label=f"{percent(BAND_LEVEL)} of exact intervals",
            ),
        ]
        if self.worst_tenth is not None:
            name = "worst tenth of the sets"
            worst = Line2D([], [], color=color, linestyle="none", label=name, **_WORST)
            handles.append(worst)
        place = "upper left" if self.by == "level" else "lower left"
        columns = 1 if self.by == "level" else (3 if len(handles) == 3 else 2)
        self.ax_.legend(
            handles=handles, frameon=False, fontsize="small", loc=place, ncols=columns
        )


@dataclass(eq=False)
class WidthDisplay(PanelDisplay):
    """Width of the intervals of several estimators against their coverage.

    Attributes
    ----------
    names : list of str
        Names of the estimators.
    width, coverage : ndarray of shape (n_estimators,)
        Mean width of the intervals, and the share of them that contain the truth.
    error : ndarray of shape (2, n_estimators)
        Lower and upper ends of the interval of that share.
    level : float
        Level of the intervals.
    ax_, figure_ : Axes, Figure
        The panel and the figure; set by ``plot``.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.plotting import WidthDisplay
    >>> study = make_gaussian_study(n_simulations=4, n_events=2000, random_state=0)
    >>> tamm = BinnedTopicTAMM().fit(study.X, study.y, simulation=study.simulation)
    >>> settings = {"kappas": 0.1, "sizes": 500, "n_datasets": 5}
    >>> display = WidthDisplay.from_estimators(
    ...     {"TAMM": tamm, "again": tamm}, study.X, study.y, **settings
    ... )
    >>> display.plot().names
    ['TAMM', 'again']
    """

    names: list[str]
    width: FloatArray
    coverage: FloatArray
    error: FloatArray
    level: float

    @classmethod
    def from_estimators(
        cls, estimators: Mapping[str, Any], X: Any, y: Any = None, **study: Any
    ) -> Self:
        """Run the same coverage study with several estimators.

        Parameters
        ----------
        estimators : mapping of str to estimator
            Fitted estimators by name.
        X, y : array-like
            Labelled events, or a generator of datasets and None.
        **study
            Passed to `sktamm.coverage.coverage_study`: kappas, sizes, n_datasets, ...

        Returns
        -------
        display : WidthDisplay
            The display, not drawn yet.
        """
        from sktamm.coverage import coverage_study

        return cls.from_results(
            {
                name: coverage_study(estimator, X, y, **study)
                for name, estimator in estimators.items()
            }
        )

    @classmethod
    def from_results(
        cls, results: Mapping[str, Any], level: float | None = None
    ) -> Self:
        """Take the numbers of a `CoverageResult` by name, at ``level`` or the first."""
        if not results:
            raise InvalidInputError("results must hold at least one study, got none.")
        if level is None:
            level = float(np.asarray(next(iter(results.values())).levels)[0])
        rows = []
        for result in results.values():
            levels = np.asarray(result.levels, dtype=float)
            name = f"{levels[level_index(levels, level)]:g}"
            row = result.table(by=()).iloc[0]
            fields = ("mean_width", "coverage", "coverage_lower", "coverage_upper")
            rows.append([float(row[f"{field}_{name}"]) for field in fields])
        values = np.array(rows)
        for name, width in zip(results, values[:, 0], strict=True):
            if not np.isfinite(width):
                raise InvalidInputError(
                    f"results must hold fits that did not fail, {name!r} has none."
                )
        return cls(
            [str(name) for name in results],
            values[:, 0],
            values[:, 1],
            values[:, 2:].T,
            float(level),
        )

    def _draw(self, ax: Any) -> None:
        ax.axhline(
            self.level,
            color=DATA_COLOR,
            linewidth=1.0,
            linestyle=DASHES,
            label=f"nominal {percent(self.level)}",
            zorder=0,
        )
        away = np.abs(self.error - self.coverage)
        for i, name in enumerate(self.names):
            ax.errorbar(
                self.width[i],
                self.coverage[i],
                yerr=away[:, i : i + 1],
                color=SERIES_COLORS[i % len(SERIES_COLORS)],
                marker=MARKERS[i % len(MARKERS)],
                markersize=7,
                capsize=3,
                linestyle="none",
                label=name,
            )
        ax.set_xlim(0, 1.15 * np.nanmax(self.width))
        low = min(self.error.min(), self.level)
        ax.set_ylim(low - 0.1 * (1.03 - low), 1.03)
        ax.set_xlabel(r"mean width of the interval of $\kappa$")
        ax.set_ylabel(f"coverage of {percent(self.level)} intervals")
        ax.legend(frameon=False, fontsize="small", loc="best")


def _independent(
    coverage: FloatArray, error: FloatArray, n: FloatArray, n_groups: FloatArray
) -> FloatArray:
    """Number of independent experiments whose binomial errors are those given."""
    if n_groups.max() <= 1:
        return n
    variance = (0.5 * (error[:, 1] - error[:, 0])) ** 2
    known = (coverage > 0) & (coverage < 1) & (variance > 0)
    if not known.any():
        return n_groups
    binomial = coverage * (1.0 - coverage) / n
    # One factor for all points: that of a single one is noisy.
    inflation = variance[known].sum() / binomial[known].sum()
    return np.clip(np.round(n / inflation), n_groups, n)


def _title(n: FloatArray, n_groups: FloatArray) -> str:
    low, high = int(n.min()), int(n.max())
    number = f"{low}" if low == high else f"{low} to {high}"
    words = f"{number} experiment" + ("" if high == 1 else "s")
    words += " per point" if n.size > 1 else ""
    groups = int(n_groups.max())
    return words if groups <= 1 else f"{words} on {groups} sets of simulations"
