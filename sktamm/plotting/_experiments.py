"""Displays of the experiments of a coverage study: their pulls and their intervals."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.stats import norm

from sktamm._numerics import FloatArray
from sktamm.exceptions import InvalidInputError
from sktamm.plotting._marks import (
    TRUTH_LABEL,
    binomial_band,
    level_index,
    one_panel,
    percent,
)
from sktamm.plotting._panels import DATA_COLOR, SIGNAL_COLOR
from sktamm.plotting._studies import FromStudy

__all__ = ["EstimatesDisplay", "PullDisplay"]

_BAND_LEVEL = 0.954
_COVERED = "#0072B2"
_MANY = 20


@dataclass(eq=False)
class PullDisplay(FromStudy):
    """Histogram of the pulls (estimate - truth) / error beside a unit normal.

    Attributes
    ----------
    pulls : ndarray of shape (n,)
        Finite pulls.
    n_failed : int
        Experiments without a pull.
    limit : float
        Pulls beyond it are counted in the outermost bins.
    ax_ : Axes
        The panel; set by ``plot``.
    figure_ : Figure
        The figure; set by ``plot``.

    Examples
    --------
    >>> from sktamm.plotting import PullDisplay
    >>> PullDisplay.from_result(study).plot()  # doctest: +SKIP
    """

    pulls: FloatArray
    n_failed: int = 0
    limit: float = 4.0

    ax_: Any = None
    figure_: Any = None

    @classmethod
    def from_result(cls, result: Any, limit: float = 4.0) -> Self:
        """Take the pulls from a study.

        Parameters
        ----------
        result : CoverageResult
            Record of a study.
        limit : float, default=4.0
            Pulls beyond it are counted in the outermost bins.

        Returns
        -------
        display : PullDisplay
            The display, not drawn yet.

        Raises
        ------
        InvalidInputError
            If no experiment has a pull.
        """
        pulls = np.asarray(result.pulls, dtype=float)
        known = pulls[np.isfinite(pulls)]
        if not known.size:
            raise InvalidInputError(
                f"result must hold a finite pull, got none of {pulls.size}."
            )
        return cls(known, int(pulls.size - known.size), float(limit))

    def plot(self, ax: Any = None) -> Self:
        """Draw the display.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; by default a new figure.

        Returns
        -------
        display : PullDisplay
            The same object, with ``ax_`` and ``figure_``.
        """
        self.ax_ = ax = one_panel(ax)
        self.figure_ = ax.figure
        n = self.pulls.size
        # Freedman and Diaconis for a unit normal, in whole parts of one.
        parts = int(np.clip(np.round(n ** (1 / 3) / 2.7), 1, 8))
        edges = np.linspace(-self.limit, self.limit, int(2 * self.limit) * parts + 1)
        inside = np.clip(self.pulls, -self.limit, self.limit)
        counts = np.histogram(inside, edges)[0]
        expected = n * np.diff(norm.cdf(edges))
        ax.stairs(counts, edges, fill=True, color=_COVERED, alpha=0.35)
        ax.stairs(counts, edges, color=_COVERED, label=self._describe())
        centre = 0.5 * (edges[1:] + edges[:-1])
        ax.plot(
            centre,
            expected,
            color=DATA_COLOR,
            linestyle=(0, (4, 2)),
            label="unit normal",
        )
        low, high = binomial_band(np.full(centre.size, n), expected / n)
        ax.fill_between(
            centre,
            n * low,
            n * high,
            color=DATA_COLOR,
            alpha=0.12,
            linewidth=0,
            label=f"{percent(_BAND_LEVEL)} of unit normals",
        )
        ax.set_xlim(-self.limit, self.limit)
        ax.set_ylim(0, 1.45 * max(counts.max(), (n * high).max()))
        ax.set_xlabel(r"pull $(\hat\kappa - \kappa)\,/\,\sigma$")
        ax.set_ylabel(f"experiments / {edges[1] - edges[0]:.3g}")
        ax.legend(frameon=False, fontsize="small", loc="upper right")
        ax.set_title(self._title(), loc="left", fontsize="medium")
        return self

    def _describe(self) -> str:
        n = self.pulls.size
        if n < 2:
            return "pulls"
        std = self.pulls.std(ddof=1)
        return (
            rf"mean {self.pulls.mean():+.2f} $\pm$ {std / np.sqrt(n):.2f}, "
            rf"std {std:.2f} $\pm$ {std / np.sqrt(2 * (n - 1)):.2f}"
        )

    def _title(self) -> str:
        beyond = int((np.abs(self.pulls) > self.limit).sum())
        words = [f"{self.pulls.size} experiments"]
        if beyond:
            words.append(f"{beyond} beyond $\\pm${self.limit:g} in the last bins")
        if self.n_failed:
            words.append(f"{self.n_failed} failed")
        return ", ".join(words)


@dataclass(eq=False)
class EstimatesDisplay(FromStudy):
    """Intervals of experiments against their true kappa, hits and misses apart.

    Attributes
    ----------
    truth, kappa : ndarray of shape (n,)
        True fractions and estimates.
    interval : ndarray of shape (n, 2)
        Lower and upper ends.
    level : float
        Level of the intervals.
    n_left_out : int
        Experiments not shown: failed ones, and those beyond the largest number.
    ax_ : Axes
        The panel; set by ``plot``.
    figure_ : Figure
        The figure; set by ``plot``.

    Examples
    --------
    >>> from sktamm.plotting import EstimatesDisplay
    >>> EstimatesDisplay.from_result(study).plot()  # doctest: +SKIP
    """

    truth: FloatArray
    kappa: FloatArray
    interval: FloatArray
    level: float
    n_left_out: int = 0

    ax_: Any = None
    figure_: Any = None

    @classmethod
    def from_result(
        cls, result: Any, level: float | None = None, max_shown: int = 80
    ) -> Self:
        """Take the numbers from a study.

        Parameters
        ----------
        result : CoverageResult
            Record of a study.
        level : float, default=None
            Level of the intervals, one of the study's; None is the first.
        max_shown : int, default=80
            Largest number of experiments to show, evenly out of all.

        Returns
        -------
        display : EstimatesDisplay
            The display, not drawn yet.

        Raises
        ------
        InvalidInputError
            If the study has no such level, or every fit failed.
        """
        levels = np.asarray(result.levels, dtype=float)
        i = level_index(levels, level)
        interval = result.interval[:, :, i]
        known = np.flatnonzero(
            np.isfinite(result.kappa) & np.isfinite(interval).all(axis=1)
        )
        if not known.size:
            raise InvalidInputError("result must hold a fit that did not fail.")
        steps = np.linspace(0, known.size - 1, min(max_shown, known.size))
        shown = known[np.unique(steps.round().astype(np.intp))]
        return cls(
            result.truth[shown],
            result.kappa[shown],
            interval[shown],
            float(levels[i]),
            int(np.size(result.truth) - shown.size),
        )

    def plot(self, ax: Any = None) -> Self:
        """Draw the display.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; by default a new figure.

        Returns
        -------
        display : EstimatesDisplay
            The same object, with ``ax_`` and ``figure_``.
        """
        self.ax_ = ax = one_panel(ax)
        self.figure_ = ax.figure
        x, half = self._positions()
        low, high = self.interval.T
        hit = (low <= self.truth) & (self.truth <= high)
        for chosen, color, name in (
            (hit, _COVERED, "contain the truth"),
            (~hit, SIGNAL_COLOR, "miss it"),
        ):
            ax.vlines(x[chosen], low[chosen], high[chosen], color=color, linewidth=1.1)
            ax.plot(
                x[chosen],
                self.kappa[chosen],
                marker="o" if name.startswith("c") else "s",
                markersize=2.8,
                linestyle="none",
                color=color,
                label=f"{name}: {chosen.sum()}",
            )
        values = np.unique(self.truth)
        line = {"color": DATA_COLOR, "linewidth": 1.4}
        if values.size > _MANY:
            ax.plot(values[[0, -1]], values[[0, -1]], label="truth", **line)
        else:
            ax.hlines(values, values - half, values + half, **line)
            ax.plot([], [], label="truth", **line)
        ax.set_xlabel(TRUTH_LABEL)
        ax.set_ylabel(rf"estimate $\hat\kappa$ and {percent(self.level)} interval")
        bottom, top = min(low.min(), values[0]), max(high.max(), values[-1])
        ax.set_ylim(bottom - 0.05 * (top - bottom), top + 0.22 * (top - bottom))
        ax.legend(frameon=False, fontsize="small", loc="upper left", ncols=3)
        return self

    def _positions(self) -> tuple[FloatArray, float]:
        """Experiments of one truth side by side, ordered by their estimates."""
        values, which = np.unique(self.truth, return_inverse=True)
        gap = np.diff(values).min() if values.size > 1 else max(0.1, abs(values[0]))
        half = 0.4 * float(gap)
        x = self.truth.astype(float).copy()
        for k in range(values.size):
            own = np.flatnonzero(which == k)
            own = own[np.argsort(self.kappa[own], kind="stable")]
            if own.size > 1:
                x[own] += np.linspace(-half, half, own.size) * 0.95
        return x, half
