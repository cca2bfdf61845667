"""Displays of the experiments of a coverage study: their pulls and their intervals."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.stats import norm

from sktamm._numerics import FloatArray
from sktamm.exceptions import InvalidInputError
from sktamm.plotting._display import StudyDisplay
from sktamm.plotting._marks import (
    BAND_LEVEL,
    DASHES,
    SERIES_COLORS,
    TRUTH_LABEL,
    binomial_band,
    level_index,
    percent,
)
from sktamm.plotting._panels import DATA_COLOR, SIGNAL_COLOR

__all__ = ["EstimatesDisplay", "PullDisplay"]

_COVERED = SERIES_COLORS[0]
_MANY = 20  # true values beyond which each has no line of its own


@dataclass(eq=False)
class PullDisplay(StudyDisplay):
    """Histogram of the pulls (estimate - truth) / error beside a unit normal.

    Attributes
    ----------
    pulls : ndarray of shape (n,)
        Finite pulls.
    n_failed : int
        Experiments without a pull.
    limit : float
        Pulls beyond it are counted in the outermost bins.
    ax_, figure_ : Axes, Figure
        The panel and the figure; set by ``plot``.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.plotting import PullDisplay
    >>> study = make_gaussian_study(n_simulations=4, n_events=2000, random_state=0)
    >>> tamm = BinnedTopicTAMM().fit(study.X, study.y, simulation=study.simulation)
    >>> display = PullDisplay.from_estimator(
    ...     tamm, study.X, study.y, kappas=[0.1, 0.3], sizes=500, n_datasets=5
    ... )
    >>> display.plot().pulls.size
    10
    """

    pulls: FloatArray
    n_failed: int = 0
    limit: float = 4.0

    @classmethod
    def from_result(cls, result: Any, limit: float = 4.0) -> Self:
        """Take the pulls from a `CoverageResult`."""
        pulls = np.asarray(result.pulls, dtype=float)
        known = pulls[np.isfinite(pulls)]
        if not known.size:
            raise InvalidInputError(
                f"result must hold a finite pull, got none of {pulls.size}."
            )
        return cls(known, int(pulls.size - known.size), float(limit))

    def _draw(self, ax: Any) -> None:
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
            linestyle=DASHES,
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
            label=f"{percent(BAND_LEVEL)} of unit normals",
        )
        ax.set_xlim(-self.limit, self.limit)
        ax.set_ylim(0, 1.45 * max(counts.max(), (n * high).max()))
        ax.set_xlabel(r"pull $(\hat\kappa - \kappa)\,/\,\sigma$")
        ax.set_ylabel(f"experiments / {edges[1] - edges[0]:.3g}")
        ax.legend(frameon=False, fontsize="small", loc="upper right")
        ax.set_title(self._title(), loc="left", fontsize="medium")

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
class EstimatesDisplay(StudyDisplay):
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
    ax_, figure_ : Axes, Figure
        The panel and the figure; set by ``plot``.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.plotting import EstimatesDisplay
    >>> study = make_gaussian_study(n_simulations=4, n_events=2000, random_state=0)
    >>> tamm = BinnedTopicTAMM().fit(study.X, study.y, simulation=study.simulation)
    >>> display = EstimatesDisplay.from_estimator(
    ...     tamm, study.X, study.y, kappas=[0.1, 0.3], sizes=500, n_datasets=5
    ... )
    >>> display.plot().interval.shape
    (10, 2)
    """

    truth: FloatArray
    kappa: FloatArray
    interval: FloatArray
    level: float
    n_left_out: int = 0

    @classmethod
    def from_result(
        cls, result: Any, level: float | None = None, max_shown: int = 80
    ) -> Self:
        """Take up to ``max_shown`` experiments of a `CoverageResult`, at one level."""
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

    def _draw(self, ax: Any) -> None:
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
