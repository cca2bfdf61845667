"""Display of how candidates measured simulations that were left out."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sktamm._numerics import FloatArray
from sktamm.exceptions import InvalidInputError
from sktamm.plotting._display import PanelDisplay
from sktamm.plotting._marks import SERIES_COLORS, percent, plain_logarithmic
from sktamm.plotting._panels import DATA_COLOR, SIGNAL_COLOR

__all__ = ["LeftOutDisplay"]

_OTHER = SERIES_COLORS[0]


@dataclass(eq=False)
class LeftOutDisplay(PanelDisplay):
    """Interval scores of the candidates of `AutoTAMM`, the default on top.

    Attributes
    ----------
    names : list of str
        Candidates, the default first.
    interval_score : ndarray of shape (n_candidates, n_simulations)
        Mean score of the pseudo-datasets of every simulation; smaller is better.
    coverage : ndarray of shape (n_candidates,)
        Share of the pseudo-datasets covered.
    chosen : str
        Candidate that answers.
    level : float
        Level of the intervals.
    ax_, figure_ : Axes, Figure
        The panel and the figure; set by ``plot``.

    Examples
    --------
    >>> from sktamm import AutoTAMM, BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.plotting import LeftOutDisplay
    >>> study = make_gaussian_study(n_simulations=4, n_events=1000, random_state=0)
    >>> candidates = [(f"{n} bins", BinnedTopicTAMM(bins=n)) for n in (4, 2)]
    >>> auto = AutoTAMM(candidates, n_datasets=1)
    >>> auto = auto.fit(study.X, study.y, simulation=study.simulation)
    >>> display = LeftOutDisplay.from_estimator(auto)
    >>> display.plot().interval_score.shape
    (2, 4)
    """

    names: list[str]
    interval_score: FloatArray
    coverage: FloatArray
    chosen: str
    level: float

    @classmethod
    def from_estimator(cls, estimator: Any) -> Self:
        """Take the numbers from a fitted `AutoTAMM` that has judged its candidates."""
        check_is_fitted(estimator)
        if estimator.left_out_ is None:
            raise InvalidInputError(
                "estimator must have judged its candidates, got one fitted with too "
                "few simulations."
            )
        return cls.from_result(estimator.left_out_)

    @classmethod
    def from_result(cls, result: Any) -> Self:
        """Take the numbers from a `LeftOutScores`, ``left_out_`` of `AutoTAMM`."""
        return cls(
            list(result.names),
            np.asarray(result.interval_score),
            np.asarray(result.coverage),
            result.chosen,
            float(result.level),
        )

    def _size(self) -> tuple[float, float]:
        return 6.4, 1.6 + 0.42 * len(self.names)

    def _draw(self, ax: Any) -> None:
        n = len(self.names)
        mean = np.exp(np.log(self.interval_score).mean(axis=1))
        for row, (name, scores) in enumerate(
            zip(self.names, self.interval_score, strict=True)
        ):
            color = SIGNAL_COLOR if name == self.chosen else _OTHER
            ax.scatter(scores, np.full(scores.size, row), color=color, s=16, alpha=0.45)
            ax.scatter(mean[row], row, color=color, s=150, marker="|", linewidth=2.5)
        ax.scatter([], [], color=DATA_COLOR, s=16, alpha=0.45, label="a simulation")
        ax.scatter(
            [], [], color=DATA_COLOR, s=110, marker="|", linewidth=2.5, label="mean"
        )
        plain_logarithmic(ax, (1.0, 2.0, 5.0))
        ax.set_ylim(n - 0.4, -0.6)
        ax.set_yticks(range(n), [self._words(row) for row in range(n)])
        ax.set_xlabel(f"interval score at {percent(self.level)}, simulations left out")
        right = ax.secondary_yaxis("right")
        right.set_yticks(range(n), [f"{share:.2f}" for share in self.coverage])
        right.set_ylabel("covered")
        ax.legend(
            frameon=False,
            fontsize="small",
            loc="lower left",
            bbox_to_anchor=(0.0, 1.0),
            ncols=2,
        )

    def _words(self, row: int) -> str:
        name = self.names[row]
        return f"{name} (chosen)" if name == self.chosen else name
