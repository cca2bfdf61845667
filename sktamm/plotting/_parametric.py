"""Displays of learned ratios: against the exact ones, and with an ensemble's spread."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sktamm._numerics import FloatArray
from sktamm._validation import read_weight
from sktamm.exceptions import InvalidInputError
from sktamm.plotting._display import PanelDisplay
from sktamm.plotting._marks import DASHES, SERIES_COLORS
from sktamm.plotting._panels import DATA_COLOR

__all__ = ["RatioDisplay", "SpreadDisplay"]

_MANY = 2000  # points of which a picture is better a density: a rule of thumb


@dataclass(eq=False)
class RatioDisplay(PanelDisplay):
    """Learned log ratio of every event against the exact one.

    Attributes
    ----------
    exact, learned, weight : ndarray of shape (n_events,)
        Log ratios, NaN where the learned density is not positive, and event weights.
    name : str
        What has learned the ratio.
    ax_, figure_ : Axes, Figure
        The panel and the figure; set by ``plot``.

    Examples
    --------
    >>> from sktamm.plotting import RatioDisplay
    >>> display = RatioDisplay.from_values([0.0, 1.0], [0.1, 0.9])
    >>> round(display.mean_squared_error, 3)
    0.01
    """

    exact: FloatArray
    learned: FloatArray
    weight: FloatArray
    name: str = ""

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, theta: ArrayLike, exact: ArrayLike, **more: Any
    ) -> Self:
        """Ask an estimator for ``log_ratio(X, theta)``; the rest as ``from_values``."""
        more.setdefault("name", type(estimator).__name__)
        return cls.from_values(exact, estimator.log_ratio(X, theta), **more)

    @classmethod
    def from_values(
        cls,
        exact: ArrayLike,
        learned: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        name: str = "",
    ) -> Self:
        """Take log ratios of events, with their weights."""
        truth, found = (np.asarray(v, dtype=float) for v in (exact, learned))
        if truth.ndim != 1 or truth.shape != found.shape:
            raise InvalidInputError(
                "learned must hold one log ratio for each of the exact ones, of shape "
                f"{truth.shape}, got {found.shape}."
            )
        if not np.isfinite(truth + found).any():
            raise InvalidInputError("learned must hold finite log ratios, got none.")
        weight = read_weight(sample_weight, truth.size)
        weight = np.ones(truth.size) if weight is None else weight
        return cls(truth, found, weight, str(name))

    @property
    def mean_squared_error(self) -> float:
        """Mean squared difference over events that have both log ratios."""
        known = self._known()
        error = (self.learned - self.exact)[known] ** 2
        return float(np.average(error, weights=self.weight[known]))

    @property
    def n_missing(self) -> int:
        """Number of events without a finite log ratio."""
        return int((~self._known()).sum())

    def _size(self) -> tuple[float, float]:
        return 4.6, 4.4

    def _draw(self, ax: Any) -> None:
        known = self._known()
        x, y = self.exact[known], self.learned[known]
        low, high = min(x.min(), y.min()), max(x.max(), y.max())
        margin = 0.04 * (high - low) or 1.0
        limits = (low - margin, high + margin)
        self._draw_events(x, y, self.weight[known], limits)
        ax.plot(limits, limits, color=DATA_COLOR, linewidth=1.0, linestyle=DASHES)
        ax.set_xlim(limits)
        ax.set_ylim(limits)
        ax.set_aspect("equal")
        ax.set_xlabel("exact log ratio")
        ax.set_ylabel("learned log ratio")
        ax.set_title(self._title(), loc="left", fontsize="medium")

    def _draw_events(
        self, x: FloatArray, y: FloatArray, weight: FloatArray, limits: Any
    ) -> None:
        # A logarithmic density has no place for negative weights.
        if x.size < _MANY or (weight <= 0).any():
            self.ax_.plot(
                x, y, ".", color=SERIES_COLORS[0], markersize=3, alpha=0.5, mew=0
            )
            return
        cells = self.ax_.hexbin(
            x,
            y,
            C=weight,
            reduce_C_function=np.sum,
            gridsize=60,
            bins="log",
            cmap="Blues",
            extent=(*limits, *limits),
            linewidths=0.1,
        )
        self.figure_.colorbar(cells, ax=self.ax_, label="events", shrink=0.8)

    def _title(self) -> str:
        words = [self.name] if self.name else []
        words.append(f"mean squared error {self.mean_squared_error:.2g}")
        if self.n_missing:
            words.append(f"{self.n_missing} not positive")
        return ", ".join(words)

    def _known(self) -> NDArray[np.bool_]:
        return np.isfinite(self.exact) & np.isfinite(self.learned)


@dataclass(eq=False)
class SpreadDisplay(PanelDisplay):
    """Predictions of an ensemble along one feature, with the band of their spread.

    Attributes
    ----------
    x : ndarray of shape (n_points,)
        Feature, ascending.
    members : ndarray of shape (n_members, n_points)
        Prediction of every member.
    truth : ndarray of shape (n_points,) or None
        Exact values.
    events : ndarray of shape (n_events,) or None
        Training events, whose density is shown at the bottom.
    labels : tuple of two str
        Names of the feature and of what is predicted.
    ax_, figure_ : Axes, Figure
        The panel and the figure; set by ``plot``.

    Examples
    --------
    >>> from sktamm.plotting import SpreadDisplay
    >>> display = SpreadDisplay.from_members([0, 1], [[0.0, 1.0], [0.0, 3.0]])
    >>> display.mean.tolist(), display.std.round(3).tolist()
    ([0.0, 2.0], [0.0, 1.414])
    """

    x: FloatArray
    members: FloatArray
    truth: FloatArray | None = None
    events: FloatArray | None = None
    labels: tuple[str, str] = ("x", "prediction")

    @classmethod
    def from_estimator(
        cls, estimator: Any, x: ArrayLike, output: int | None = None, **more: Any
    ) -> Self:
        """Ask an ensemble for ``predict_members`` of ``output``, class or target."""
        column = np.asarray(x, dtype=float).reshape(-1, 1)
        members = np.asarray(estimator.predict_members(column))
        return cls.from_members(
            x, members if output is None else members[..., output], **more
        )

    @classmethod
    def from_members(
        cls,
        x: ArrayLike,
        members: ArrayLike,
        *,
        truth: ArrayLike | None = None,
        events: ArrayLike | None = None,
        labels: tuple[str, str] = ("x", "prediction"),
    ) -> Self:
        """Take predictions of all members, (n_members, n_points), at values ``x``."""
        points, values = (np.asarray(v, dtype=float) for v in (x, members))
        points = points.ravel()
        if values.ndim != 2 or len(values) < 2 or values.shape[1] != points.size:
            raise InvalidInputError(
                "members must hold predictions of at least two members, of shape "
                f"(n_members, {points.size}), got {values.shape}; output chooses "
                "one of several predictions."
            )
        exact = None if truth is None else np.asarray(truth, dtype=float).ravel()
        if exact is not None and exact.shape != points.shape:
            raise InvalidInputError(
                f"truth must hold {points.size} values, got {exact.size}."
            )
        order = np.argsort(points, kind="stable")
        seen = None if events is None else np.asarray(events, dtype=float).ravel()
        exact = None if exact is None else exact[order]
        return cls(points[order], values[:, order], exact, seen, labels)

    @property
    def mean(self) -> FloatArray:
        """Mean of the members, shape (n_points,)."""
        return self.members.mean(axis=0)

    @property
    def std(self) -> FloatArray:
        """Standard deviation over the members, shape (n_points,)."""
        return self.members.std(axis=0, ddof=1)

    def _draw(self, ax: Any) -> None:
        color, mean, std = SERIES_COLORS[0], self.mean, self.std
        for k, alpha in ((2, 0.12), (1, 0.22)):
            ax.fill_between(
                self.x,
                mean - k * std,
                mean + k * std,
                color=color,
                alpha=alpha,
                linewidth=0,
                label=f"{k} standard deviation{'s' if k > 1 else ''}",
            )
        ax.plot(self.x, self.members.T, color=color, linewidth=0.4, alpha=0.5)
        ax.plot(self.x, mean, color=color, linewidth=1.8, label="mean of the members")
        if self.truth is not None:
            ax.plot(
                self.x, self.truth, color=DATA_COLOR, linestyle=DASHES, label="exact"
            )
        if self.events is not None:
            self._draw_events()
        ax.set_xlim(self.x[0], self.x[-1])
        ax.set_xlabel(self.labels[0])
        ax.set_ylabel(self.labels[1])
        ax.legend(frameon=False, fontsize="small", loc="best")

    def _draw_events(self) -> None:
        """Density of the training events in the lowest eighth of the panel."""
        below = self.ax_.twinx()
        below.hist(
            self.events,
            bins=60,
            range=(self.x[0], self.x[-1]),
            color=DATA_COLOR,
            alpha=0.25,
        )
        below.set_ylim(0, 8 * max(below.get_ylim()[1], 1.0))
        below.set_yticks([])
