"""What is known about kappa: a curve, its intervals and the estimate."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.stats import gaussian_kde, norm

from sktamm._numerics import FloatArray
from sktamm.exceptions import InvalidInputError
from sktamm.plotting._display import ResultDisplay
from sktamm.plotting._marks import DASHES, SERIES_COLORS, one_panel
from sktamm.plotting._panels import DATA_COLOR, SIGNAL_COLOR
from sktamm.results import FractionResult, rounded

__all__ = ["FractionDisplay"]

_N_POINTS = 400  # of a curve, finer than a picture shows
_FILL = SERIES_COLORS[0]


@dataclass(eq=False)
class FractionDisplay(ResultDisplay):
    """Posterior or profile likelihood of kappa with intervals shaded.

    Attributes
    ----------
    kappa : ndarray of shape (n_points,)
        Ascending values of kappa.
    curve : ndarray of shape (n_points,)
        Density of the draws, the profile likelihood relative to its maximum, or, when
        the result has neither, the normal curve of estimate and standard error.
    estimate : float
        Estimate of kappa.
    levels : ndarray of shape (n_levels,)
        Levels of the intervals.
    interval : ndarray of shape (2, n_levels)
        Lower and upper ends.
    curve_label, title : str
        What the curve is, and the line above the panel.
    std : float
        Standard error, which says how many digits are shown.
    blinded : bool
        Whether the values are shifted by a hidden offset.
    ax_, figure_ : Axes, Figure
        The panel and the figure; set by ``plot``.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.plotting import FractionDisplay
    >>> study = make_gaussian_study(n_simulations=4, n_events=2000, random_state=0)
    >>> tamm = BinnedTopicTAMM().fit(study.X, study.y, simulation=study.simulation)
    >>> display = FractionDisplay.from_result(tamm.infer(study.X_target))
    >>> display.plot(truth=study.kappa).curve_label
    'marginal posterior / maximum'
    """

    kappa: FloatArray
    curve: FloatArray
    estimate: float
    levels: FloatArray
    interval: FloatArray
    curve_label: str
    title: str = ""
    std: float = np.nan
    blinded: bool = False

    @classmethod
    def _of_dataset(cls, result: FractionResult, i: int) -> Self:
        kappa, curve, label = _curve(result, i)
        return cls(
            kappa=kappa,
            curve=curve,
            estimate=float(result.kappa[i]),
            levels=result.levels,
            interval=result.interval[i],
            curve_label=label,
            title=_title(result, i),
            std=float(result.std[i]),
            blinded=result.is_blinded,
        )

    def plot(self, ax: Any = None, *, truth: float | None = None) -> Self:
        """Draw in the Axes ``ax`` or a new figure; ``truth`` is marked if known."""
        if truth is not None and self.blinded:
            raise InvalidInputError(
                "truth must be None for a blinded result, which it would unblind."
            )
        self.ax_ = ax = one_panel(ax, (4.8, 3.6))
        self.figure_ = ax.figure
        self._shade_intervals()
        ax.plot(self.kappa, self.curve, color=_FILL, linewidth=1.6)
        self._mark(
            self.estimate, f"estimate {self._text(self.estimate)}", DATA_COLOR, "-"
        )
        if truth is not None:
            self._mark(truth, f"truth {self._text(truth)}", SIGNAL_COLOR, DASHES)
        ax.set_ylim(0, 1.5 * self.curve.max())
        ax.set_xlim(self.kappa[0], self.kappa[-1])
        hidden = " + hidden offset" if self.blinded else ""
        ax.set_xlabel(rf"signal fraction $\kappa${hidden}")
        ax.set_ylabel(self.curve_label)
        ax.set_title(self.title, loc="left", fontsize="medium")
        ax.legend(frameon=False, fontsize="small", loc="upper right")
        return self

    def _shade_intervals(self) -> None:
        """Shade from the widest, palest interval to the narrowest, darkest one."""
        order = np.argsort(self.levels)[::-1]
        alphas = np.linspace(0.2, 0.5, max(order.size, 2))[-order.size :]
        for k, alpha in zip(order, alphas, strict=True):
            low, high = self.interval[:, k]
            ends = f"[{self._text(low)}, {self._text(high)}]"
            inside = np.linspace(low, high, _N_POINTS)
            self.ax_.fill_between(
                inside,
                np.interp(inside, self.kappa, self.curve, left=0, right=0),
                color=_FILL,
                alpha=alpha,
                linewidth=0,
                label=f"{self.levels[k]:.1%}  {ends}",
            )

    def _text(self, kappa: float) -> str:
        return rounded(kappa, self.std)

    def _mark(self, kappa: float, label: str, color: str, style: Any) -> None:
        height = np.interp(kappa, self.kappa, self.curve, left=0, right=0)
        height = max(height, 0.25 * self.curve.max())
        self.ax_.plot(
            [kappa, kappa],
            [0, height],
            color=color,
            linestyle=style,
            linewidth=1.5,
            label=label,
        )


def _title(result: FractionResult, i: int) -> str:
    """Name of the dataset, if there are several, and whether it is blinded."""
    name = [str(result.dataset[i])] if result.kappa.size > 1 else []
    return ": ".join([*name, "blinded"] if result.is_blinded else name)


def _curve(result: FractionResult, i: int) -> tuple[FloatArray, FloatArray, str]:
    """Choose the richest curve that the result holds."""
    if result.draws is not None:
        draws = np.ravel(result.draws[i])
        kappa = _range_of(result, i, draws.min(), draws.max())
        return kappa, _density(draws, kappa), "posterior density"
    if result.profile is not None:
        bayesian = "bayes" in str(result.method.get("inference", "")).lower()
        name = "marginal posterior" if bayesian else "profile likelihood"
        curve = np.exp(result.profile.log_density[i])
        shown = slice(*_worth_showing(result, i, curve))
        return result.profile.kappa[i][shown], curve[shown], f"{name} / maximum"
    kappa = _range_of(result, i, -np.inf, np.inf)
    density = norm.pdf(kappa, result.kappa[i], result.std[i])
    return kappa, density, "density (normal approximation)"


def _worth_showing(
    result: FractionResult, i: int, curve: FloatArray
) -> tuple[int, int]:
    """First and last point of the curve that is not negligible or in an interval."""
    kappa, ends = result.profile.kappa[i], result.interval[i]  # type: ignore[union-attr]
    shown = (curve > 1e-3) | ((kappa >= ends.min()) & (kappa <= ends.max()))
    index = np.flatnonzero(shown)
    return max(index[0] - 1, 0), index[-1] + 2


def _range_of(result: FractionResult, i: int, low: float, high: float) -> FloatArray:
    """Points that span the intervals and four standard errors, within (low, high)."""
    reach = 4 * result.std[i]
    start = max(low, result.kappa[i] - reach)
    stop = min(high, result.kappa[i] + reach)
    ends = result.interval[i]
    return np.linspace(min(start, ends.min()), max(stop, ends.max()), _N_POINTS)


def _density(draws: FloatArray, kappa: FloatArray) -> FloatArray:
    """Kernel density of the draws, reflected at 0 and 1 if the draws respect them."""
    if np.ptp(draws) == 0:
        return np.ones_like(kappa)
    density = gaussian_kde(draws)
    if draws.min() < 0 or draws.max() > 1:
        return density(kappa)
    inside = (kappa >= 0) & (kappa <= 1)
    return inside * (density(kappa) + density(-kappa) + density(2 - kappa))
