"""Displays of parameters: profiles of the likelihood, regions of pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from sktamm._numerics import FloatArray
from sktamm.exceptions import InvalidInputError
from sktamm.plotting._display import Display, PanelDisplay
from sktamm.plotting._marks import DASHES, SERIES_COLORS, one_panel, percent
from sktamm.plotting._panels import DATA_COLOR, new_grid

__all__ = ["ParameterProfileDisplay", "ParameterRegionDisplay"]

_LEVELS = (0.683, 0.95)
_LINES: tuple[Any, ...] = ("-", DASHES, ":", "-.")


@dataclass(eq=False)
class ParameterProfileDisplay(PanelDisplay):
    """Profiles of the likelihood along one parameter, of one or several methods.

    Attributes
    ----------
    names : list of str
        Names of the methods.
    values : list of ndarray of shape (n_points,)
        Values of the parameter, for each method.
    delta : list of ndarray of shape (n_points,)
        -2 ln of the likelihood ratio to the best fit.
    parameter : str
        Name of the parameter; its number by default.
    truth : float or None
        True value.
    ax_, figure_ : Axes, Figure
        The panel and the figure; set by ``plot``.

    Examples
    --------
    >>> from sktamm.parametric import PolynomialRatio, UnbinnedLikelihood
    >>> from sktamm.plotting import ParameterProfileDisplay
    >>> y = [[1.0, 0.5], [-1.0, 0.5]]
    >>> fit = UnbinnedLikelihood(PolynomialRatio().fit(y), 100.0).fit_asimov(y)
    >>> scan = fit.profile(0, [-0.1, 0.0, 0.1])
    >>> display = ParameterProfileDisplay.from_result({"exact": scan}, "c")
    >>> display.names, display.delta[0].round(1).tolist()
    (['exact'], [1.0, 0.0, 1.0])
    """

    names: list[str]
    values: list[FloatArray]
    delta: list[FloatArray]
    parameter: str
    truth: float | None = None

    @classmethod
    def from_result(
        cls, result: Any, parameter: str | None = None, truth: float | None = None
    ) -> Self:
        """Take a scan of `UnbinnedLikelihood.profile`, or those of methods by name."""
        scans = _by_name(result)
        indices = {int(scan.parameter) for scan in scans.values()}
        if len(indices) != 1:
            raise InvalidInputError(
                f"result must hold scans of one parameter, got {sorted(indices)}."
            )
        order = [np.argsort(scan.values) for scan in scans.values()]
        pairs = list(zip(scans.values(), order, strict=True))
        return cls(
            list(scans),
            [np.asarray(scan.values, dtype=float)[k] for scan, k in pairs],
            [np.asarray(scan.delta, dtype=float)[k] for scan, k in pairs],
            _parameter_name(indices.pop()) if parameter is None else str(parameter),
            truth,
        )

    def _draw(self, ax: Any) -> None:
        curves = zip(self.names, self.values, self.delta, strict=True)
        for k, (name, values, delta) in enumerate(curves):
            color = SERIES_COLORS[k % len(SERIES_COLORS)]
            ax.plot(values, delta, color=color, linewidth=1.6, label=name or None)
        ax.set_ylim(0, 2.2 * stats.chi2.ppf(_LEVELS[-1], 1))
        self._draw_levels()
        if self.truth is not None:
            ax.axvline(
                self.truth,
                color=DATA_COLOR,
                linewidth=1.0,
                linestyle=":",
                label="truth",
            )
        ax.set_xlabel(self.parameter)
        ax.set_ylabel(r"$-2\,\ln(L\,/\,L_\mathrm{max})$")
        if any(self.names) or self.truth is not None:
            ax.legend(frameon=False, fontsize="small", loc="best")

    def _draw_levels(self) -> None:
        for level in _LEVELS:
            height = stats.chi2.ppf(level, 1)
            self.ax_.axhline(
                height, color=DATA_COLOR, linewidth=0.8, linestyle=DASHES, zorder=0
            )
            self.ax_.annotate(
                percent(level),
                (1.01, height),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize="small",
            )


@dataclass(eq=False)
class ParameterRegionDisplay(Display):
    """Ellipses or contours of pairs of parameters, several methods on top of another.

    Attributes
    ----------
    regions : dict of str to list of ConfidenceRegion
        Regions of every method, of any pairs and levels.
    parameter_names : list of str
        Names of all parameters, by index; their numbers by default.
    truth : ndarray of shape (n_parameters,) or None
        True parameters.
    frame : str or None
        Method whose regions set the limits; None is that with the largest regions.
    axes_, figure_ : dict of tuple of two int to Axes, Figure
        The panel of every pair, and the figure; set by ``plot``.

    Examples
    --------
    >>> from sktamm.parametric import PolynomialRatio, UnbinnedLikelihood
    >>> from sktamm.plotting import ParameterRegionDisplay
    >>> y = [[1.0, 0.0, 0.5, 0.0, 0.5], [0.0, 1.0, 0.5, 0.0, 0.5]]
    >>> fit = UnbinnedLikelihood(PolynomialRatio().fit(y), 100.0).fit_asimov(y)
    >>> regions = [fit.confidence_ellipse(0, 1, c) for c in (0.68, 0.95)]
    >>> display = ParameterRegionDisplay.from_result({"exact": regions})
    >>> len(display.regions["exact"])
    2
    """

    regions: dict[str, list[Any]]
    parameter_names: list[str]
    truth: FloatArray | None = None
    frame: str | None = None

    axes_: Any = None

    @classmethod
    def from_result(
        cls,
        result: Any,
        parameter_names: Sequence[str] | None = None,
        *,
        truth: ArrayLike | None = None,
        frame: str | None = None,
    ) -> Self:
        """Take one or several `ConfidenceRegion`, or those of methods by name."""
        regions = {
            name: [r for r in _as_list(found) if np.isfinite(r.points).all()]
            for name, found in _by_name(result).items()
        }
        indices = [i for r in regions.values() for one in r for i in one.parameters]
        if not indices:
            raise InvalidInputError("result must hold a region with a curve, got none.")
        if frame is not None and not regions.get(frame):
            raise InvalidInputError(
                f"frame must be one of the methods with regions, got {frame!r}."
            )
        n = max(indices) + 1
        names = [_parameter_name(i) for i in range(n)]
        names = names if parameter_names is None else [str(p) for p in parameter_names]
        point = None if truth is None else np.asarray(truth, dtype=float)
        if len(names) < n or (point is not None and point.shape != (len(names),)):
            raise InvalidInputError(
                "parameter_names and truth must be of the same parameters, at least "
                f"{n}, got {parameter_names!r} and {truth!r}."
            )
        return cls(regions, names, point, frame)

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Pairs of parameters that have regions, the lower index first."""
        found = {
            (min(r.parameters), max(r.parameters))
            for regions in self.regions.values()
            for r in regions
        }
        return sorted(found)

    def plot(self, ax: Any = None) -> Self:
        """Draw in ``ax``, Axes for each of ``pairs``, or in a triangle of panels."""
        self.axes_ = self._panels(ax)
        self.figure_ = next(iter(self.axes_.values())).figure
        for pair, panel in self.axes_.items():
            self._draw_pair(panel, pair)
            panel.set_xlabel(self.parameter_names[pair[0]])
            panel.set_ylabel(self.parameter_names[pair[1]])
        if ax is None and len(self.axes_) > 1:
            self._trim_triangle()
        self._add_legend(ax)
        return self

    def _panels(self, ax: Any) -> dict[tuple[int, int], Any]:
        pairs = self.pairs
        if ax is None and len(pairs) > 1:
            return self._triangle(pairs)
        panels = np.ravel(one_panel(ax, (5.0, 4.2)) if len(pairs) == 1 else ax)
        if len(panels) != len(pairs):
            raise InvalidInputError(
                f"ax must hold one Axes for each of the pairs {pairs}, got "
                f"{len(panels)}."
            )
        return dict(zip(pairs, panels, strict=True))

    def _triangle(self, pairs: list[tuple[int, int]]) -> dict[tuple[int, int], Any]:
        """Panels with the lower index across and the higher one down."""
        columns = sorted({i for i, _ in pairs})
        rows = sorted({j for _, j in pairs})
        size = (3.1 * len(columns), 2.8 * len(rows))
        figure, grid = new_grid(None, len(rows), len(columns), size)
        return {
            (i, j): figure.add_subplot(grid[rows.index(j), columns.index(i)])
            for i, j in pairs
        }

    def _trim_triangle(self) -> None:
        """Shared axes are labelled once, at the bottom and on the left."""
        for i, j in self.axes_:
            if any(a == i and b > j for a, b in self.axes_):
                self.axes_[i, j].set_xlabel("")
            if any(b == j and a < i for a, b in self.axes_):
                self.axes_[i, j].set_ylabel("")

    def _draw_pair(self, panel: Any, pair: tuple[int, int]) -> None:
        levels = self._levels()
        for k, regions in enumerate(self.regions.values()):
            color = SERIES_COLORS[k % len(SERIES_COLORS)]
            for region in regions:
                points = _oriented(region, pair)
                if points is None:
                    continue
                style = _LINES[levels.index(float(region.level)) % len(_LINES)]
                panel.fill(*points.T, color=color, alpha=0.07, linewidth=0)
                closed = np.concatenate([points, points[:1]])
                panel.plot(*closed.T, color=color, linewidth=1.5, linestyle=style)
        if self.truth is not None:
            x, y = self.truth[list(pair)]
            panel.plot(x, y, "+", color=DATA_COLOR, markersize=8)
        self._set_limits(panel, pair)

    def _set_limits(self, panel: Any, pair: tuple[int, int]) -> None:
        """Limits from all pairs of the framing method, so that panels share them."""
        framing = (
            [r for regions in self.regions.values() for r in regions]
            if self.frame is None
            else self.regions[self.frame]
        )
        for i, set_limits in zip(pair, (panel.set_xlim, panel.set_ylim), strict=True):
            values = [
                r.points[:, list(r.parameters).index(i)]
                for r in framing
                if i in r.parameters
            ]
            if not values:
                continue
            low, high = np.min(np.hstack(values)), np.max(np.hstack(values))
            margin = 0.08 * (high - low)
            set_limits(low - margin, high + margin)

    def _levels(self) -> list[float]:
        every = (r for regions in self.regions.values() for r in regions)
        return sorted({float(r.level) for r in every})

    def _add_legend(self, ax: Any) -> None:
        from matplotlib.lines import Line2D

        handles = [
            Line2D([], [], color=SERIES_COLORS[k % len(SERIES_COLORS)], label=name)
            for k, name in enumerate(self.regions)
            if name
        ]
        handles += [
            Line2D([], [], color=DATA_COLOR, linestyle=_LINES[k % 4], label=percent(c))
            for k, c in enumerate(self._levels())
        ]
        style = {"handles": handles, "frameon": False, "fontsize": "small"}
        if ax is None and len(self.axes_) > 1:
            self.figure_.legend(loc="upper right", **style)
        else:
            next(iter(self.axes_.values())).legend(loc="best", **style)


def _by_name(result: Any) -> dict[str, Any]:
    found = dict(result) if isinstance(result, Mapping) else {"": result}
    if not found:
        raise InvalidInputError("result must hold at least one method, got none.")
    return {str(name): value for name, value in found.items()}


def _as_list(found: Any) -> list[Any]:
    return [found] if hasattr(found, "points") else list(found)


def _parameter_name(i: int) -> str:
    return rf"$\theta_{{{i}}}$"


def _oriented(region: Any, pair: tuple[int, int]) -> FloatArray | None:
    """Curve of a region in the order of a pair; None of another one."""
    points = np.asarray(region.points, dtype=float)
    if tuple(region.parameters) == pair:
        return points
    return points[:, ::-1] if tuple(region.parameters)[::-1] == pair else None
