"""Displays of diagnostics: influence of simulations, ranks of calibration."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sktamm._numerics import FloatArray
from sktamm.exceptions import InvalidInputError
from sktamm.plotting._display import PanelDisplay
from sktamm.plotting._marks import (
    BAND_LEVEL,
    DASHES,
    SERIES_COLORS,
    binomial_band,
    percent,
)
from sktamm.plotting._panels import DATA_COLOR, SIGNAL_COLOR

__all__ = ["InfluenceDisplay", "RankDisplay"]

_FILL = SERIES_COLORS[0]


@dataclass(eq=False)
class InfluenceDisplay(PanelDisplay):
    """Shift of kappa when each simulation is left out, the largest on top.

    Attributes
    ----------
    simulation : list of str
        Ids of the simulations, by decreasing size of the shift.
    shift : ndarray of shape (n_shown,)
        Kappa without the simulation minus kappa.
    kappa, std : float
        Estimate and standard error with all simulations.
    n_left_out : int
        Simulations not shown: the least influential, or not to be left out.
    ax_, figure_ : Axes, Figure
        The panel and the figure; set by ``plot``.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.plotting import InfluenceDisplay
    >>> study = make_gaussian_study(n_simulations=4, n_events=2000, random_state=0)
    >>> tamm = BinnedTopicTAMM().fit(study.X, study.y, simulation=study.simulation)
    >>> display = InfluenceDisplay.from_estimator(tamm, study.X_target)
    >>> sorted(display.plot().simulation)
    ['0', '1', '2', '3']
    """

    simulation: list[str]
    shift: FloatArray
    kappa: float
    std: float
    n_left_out: int = 0

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, **study: Any) -> Self:
        """Leave every simulation out, as `sktamm.diagnostics.influence` does."""
        from sktamm.diagnostics import influence

        return cls.from_result(influence(estimator, X, **study))

    @classmethod
    def from_result(cls, result: Any, max_shown: int = 20) -> Self:
        """Take an `InfluenceResult`, the ``max_shown`` most influential simulations."""
        shift = np.asarray(result.shift, dtype=float)
        order = np.argsort(-np.abs(shift), kind="stable")
        order = order[np.isfinite(shift[order])]
        if not order.size:
            raise InvalidInputError(
                f"result must hold a finite shift, got none of {shift.size}."
            )
        shown = order[:max_shown]
        return cls(
            [str(result.simulation[k]) for k in shown],
            shift[shown],
            float(result.full_kappa),
            float(result.full_std),
            int(shift.size - shown.size),
        )

    def _size(self) -> tuple[float, float]:
        return 6.0, max(2.6, 1.4 + 0.24 * self.shift.size)

    def _draw(self, ax: Any) -> None:
        n = self.shift.size
        row = np.arange(n)
        ax.axvspan(
            -self.std,
            self.std,
            color=DATA_COLOR,
            alpha=0.10,
            linewidth=0,
            label=r"$\pm$ one standard error",
        )
        ax.axvline(0.0, color=DATA_COLOR, linewidth=1.0)
        color = np.where(self.shift >= 0, SIGNAL_COLOR, _FILL)
        ax.hlines(row, 0.0, self.shift, color=color, linewidth=2.0)
        ax.scatter(self.shift, row, color=color, s=28, zorder=3)
        reach = 1.15 * max(np.abs(self.shift).max(), 1.05 * self.std)
        ax.set_xlim(-reach, reach)
        ax.set_ylim(n - 0.4, -0.6)
        ax.set_yticks(row, self.simulation)
        ax.set_ylabel("simulation left out")
        ax.set_xlabel(rf"shift of $\hat\kappa$ = {self.kappa:.4f}")
        top = ax.secondary_xaxis("top", functions=(self._in_std, self._in_kappa))
        top.set_xlabel("shift in standard errors")
        if n > 1:
            self._place_legend()

    def _place_legend(self) -> None:
        """On the side that the lower, short lines leave free."""
        lower = self.shift[self.shift.size // 2 :]
        side = "left" if lower.max() > -lower.min() else "right"
        self.ax_.legend(frameon=False, fontsize="small", loc=f"lower {side}")

    def _in_std(self, shift: Any) -> Any:
        return shift / self.std

    def _in_kappa(self, pull: Any) -> Any:
        return pull * self.std


@dataclass(eq=False)
class RankDisplay(PanelDisplay):
    """Rank histogram of simulation-based calibration; flat when the posterior is right.

    A hill: posteriors too wide. A valley: too narrow. A slope: biased.

    Attributes
    ----------
    counts : ndarray of shape (n_bins,)
        True values by their rank among the posterior draws.
    edges : ndarray of shape (n_bins + 1,)
        Ranks relative to the number of draws, 0 to 1.
    p_value : float
        P-value of uniformity.
    n_failed : int
        Experiments left out.
    member : str or None
        Estimator of a pool that was looked at.
    ax_, figure_ : Axes, Figure
        The panel and the figure; set by ``plot``.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.plotting import RankDisplay
    >>> study = make_gaussian_study(n_simulations=4, n_events=2000, random_state=0)
    >>> tamm = BinnedTopicTAMM().fit(study.X, study.y, simulation=study.simulation)
    >>> display = RankDisplay.from_estimator(
    ...     tamm, size=500, n_experiments=10, n_draws=9
    ... )
    >>> int(display.plot().counts.sum())
    10
    """

    counts: NDArray[Any]
    edges: FloatArray
    p_value: float
    n_failed: int = 0
    member: str | None = None

    @classmethod
    def from_estimator(cls, estimator: Any, **study: Any) -> Self:
        """Run `sktamm.diagnostics.simulation_based_calibration` and take its ranks."""
        from sktamm.diagnostics import simulation_based_calibration

        return cls.from_result(simulation_based_calibration(estimator, **study))

    @classmethod
    def from_result(cls, result: Any, bins: int | None = None) -> Self:
        """Take the ranks of an `SBCResult`; by default ten in a bin, of at most 20."""
        ranks = np.asarray(result.ranks)
        values = int(result.n_draws) + 1
        if not ranks.size:
            raise InvalidInputError("result must hold at least one rank, got none.")
        if bins is None:
            bins = int(np.clip(ranks.size // 10, 4, 20))
        if not 1 <= bins <= values:
            raise InvalidInputError(
                f"bins must be from 1 to the number of ranks, {values}, got {bins!r}."
            )
        # Whole numbers of ranks in a bin, as equal as can be.
        first = np.linspace(0, values, bins + 1).round()
        counts = np.histogram(ranks, first - 0.5)[0]
        p_value, n_failed = float(result.p_value), int(result.n_failed)
        member = getattr(result, "member", None)
        return cls(counts, first / values, p_value, n_failed, member)

    def _draw(self, ax: Any) -> None:
        total, share = self.counts.sum(), np.diff(self.edges)
        # Bins may differ by a rank: heights are those of bins of the mean size.
        scale = 1.0 / (share * share.size)
        low, high = total * scale * binomial_band(total, share)
        height = scale * self.counts
        ax.stairs(height, self.edges, fill=True, color=_FILL, alpha=0.35)
        ax.stairs(height, self.edges, color=_FILL, label="true values")
        ax.stairs(
            high,
            self.edges,
            baseline=low,
            fill=True,
            color=DATA_COLOR,
            alpha=0.14,
            label=f"{percent(BAND_LEVEL)} of uniform ranks",
        )
        ax.axhline(total / share.size, color=DATA_COLOR, linestyle=DASHES)
        ax.set_xlim(0, 1)
        ax.set_ylim(0, 1.35 * max(height.max(), high.max()))
        ax.set_xlabel(r"rank of the true $\kappa$ among the draws, relative")
        ax.set_ylabel("experiments / bin")
        failed = f", {self.n_failed} failed" if self.n_failed else ""
        of_pool = f", {self.member} of a pool" if self.member else ""
        ax.set_title(
            f"{total} experiments{failed}, uniformity p = {self.p_value:.3g}{of_pool}",
            loc="left",
            fontsize="medium",
        )
        ax.legend(frameon=False, fontsize="small", loc="upper right", ncols=2)
