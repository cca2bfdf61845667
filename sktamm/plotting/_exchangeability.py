"""Display of simulations beside each other: odd ones, near-duplicates, families.

For simulation k with the distances d_kj of the record, the panels show

    sqrt( mean_j d_kj^2 / S_k )  and  sqrt( min_j d_kj^2 / S_k ),

S_k the mean square distance between two of the others: about one for draws of one kind.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sktamm._numerics import FloatArray
from sktamm.exceptions import InvalidInputError
from sktamm.plotting._display import Display
from sktamm.plotting._marks import SERIES_COLORS, plain_logarithmic
from sktamm.plotting._panels import DATA_COLOR, SIGNAL_COLOR, new_grid

__all__ = ["ExchangeabilityDisplay", "SimulationRows"]

_USUAL, _NEAR, _ODD = SERIES_COLORS[0], SERIES_COLORS[2], SIGNAL_COLOR
_NOMINAL = "nominal"
# Distances beyond these are drawn as arrows at them: equal events are at no distance.
_SMALLEST, _LARGEST = 0.01, 100.0
_PANELS_BESIDE = 4  # as many as a screen is wide
_SMALLEST_P = 1e-10  # that is told by its value
_LETTER = 0.075  # inches of a small letter


@dataclass(frozen=True, eq=False)
class SimulationRows:
    """What one panel shows, a row per simulation."""

    title: str  # class, or all classes
    simulation: list[str]  # ids of the simulations that are shown
    family: list[str] | None  # of each, "nominal" for the nominal
    # To the others, root mean squares in units of their mutual distance; NaN for fewer
    # than three simulations. To the nearest one in the same units.
    to_others: FloatArray
    to_nearest: FloatArray
    odd: NDArray[np.bool_]
    near: NDArray[np.bool_]  # whether there is a near-duplicate
    words: list[str]  # what is odd, or near to what; empty for the others
    n_left_out: int = 0  # simulations that are not shown, those of the largest p-values

    @property
    def labels(self) -> list[str]:
        """Names for the axis, with the family."""
        if self.family is None:
            return self.simulation
        pairs = zip(self.simulation, self.family, strict=True)
        return [name if name == own else f"{name} ({own})" for name, own in pairs]


@dataclass(eq=False)
class ExchangeabilityDisplay(Display):
    """Simulations of every class: how far from the others, and from the nearest.

    One panel per class, and one of all where the classes are paired. Odd simulations
    and near-duplicates are coloured and named with their p-values; with families, the
    nominal comes first, as a star.

    Attributes
    ----------
    rows : list of SimulationRows
        One per panel.
    title : str
        Verdict: smallest p-value and limit.
    ax_, figure_ : ndarray of Axes of shape (n_panels,), Figure
        The panels and the figure; set by ``plot``.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.plotting import ExchangeabilityDisplay
    >>> study = make_gaussian_study(n_simulations=4, n_events=2000, random_state=0)
    >>> tamm = BinnedTopicTAMM().fit(study.X, study.y, simulation=study.simulation)
    >>> display = ExchangeabilityDisplay.from_estimator(tamm)
    >>> display.plot().ax_.size
    3
    """

    rows: list[SimulationRows]
    title: str

    @classmethod
    def from_estimator(cls, estimator: Any, max_shown: int = 40) -> Self:
        """Compare the simulations of an estimator, at most ``max_shown`` a panel."""
        from sktamm.diagnostics import exchangeability

        return cls.from_result(exchangeability(estimator), max_shown)

    @classmethod
    def from_result(cls, result: Any, max_shown: int = 40) -> Self:
        """Take the numbers from what `sktamm.diagnostics.exchangeability` returns."""
        first, rows = 0, []
        for distances in result.distances:
            own = np.arange(first, first + len(distances))
            rows.append(_rows(result, own, np.asarray(distances), max_shown))
            first += len(distances)
        return cls(rows, _title(result))

    def plot(self, ax: Any = None) -> Self:
        """Draw the display, in one Axes, one for every panel, or a new figure."""
        self.figure_, self.ax_ = self._panels(ax)
        if self.figure_.get_layout_engine() is None:
            self.figure_.set_layout_engine("constrained")
        ends = self._ends()
        for panel, own in zip(self.ax_, self.rows, strict=True):
            _draw(panel, own, ends)
        if self._shared():
            for k, panel in enumerate(self.ax_):
                if k % _PANELS_BESIDE:
                    panel.tick_params(labelleft=False)
        if ax is None:  # a figure of somebody else may have a title
            self.figure_.suptitle(self.title, x=0.01, ha="left", fontsize="medium")
        self._legend()
        return self

    def _shared(self) -> bool:
        """Whether all panels have the same rows."""
        return all(own.labels == self.rows[0].labels for own in self.rows)

    def _ends(self) -> tuple[float, float]:
        """Common range of the distances."""
        parts = [np.append(own.to_others, own.to_nearest) for own in self.rows]
        known = np.append(np.concatenate(parts), [0.5, 2.0])
        known = np.clip(known[~np.isnan(known)], _SMALLEST, _LARGEST)
        return 0.8 * float(known.min()), 1.25 * float(known.max())

    def _panels(self, ax: Any) -> tuple[Any, NDArray[Any]]:
        """Figure and panels, four beside each other at the most."""
        n = len(self.rows)
        if ax is not None and np.ndim(ax) > 0:
            axes = np.asarray(ax, dtype=object).ravel()
            if axes.size != n:
                raise InvalidInputError(
                    f"ax must be None, one Axes or {n} Axes, got {axes.size}."
                )
            return axes[0].figure, axes
        columns = min(n, _PANELS_BESIDE)
        lines = -(-n // columns)
        height = 1.3 + 0.23 * max(4, *(len(own.simulation) for own in self.rows))
        names, beside = self._widths()
        size = (names + (2.8 + beside) * columns, height * lines + 0.7)
        figure, grid = new_grid(ax, lines, columns, size)
        cells = [divmod(k, columns) for k in range(n)]
        return figure, np.array([figure.add_subplot(grid[cell]) for cell in cells])

    def _widths(self) -> tuple[float, float]:
        """Inches of names common to all panels, and of the words beside each."""
        words = max((len(w) for own in self.rows for w in own.words), default=0)
        names = max(len(name) for own in self.rows for name in own.labels)
        common, own = (names, words) if self._shared() else (0, words + names)
        return _LETTER * common, _LETTER * own

    def _legend(self) -> None:
        """Below all panels, of what occurs."""
        from matplotlib.lines import Line2D

        def mark(label: str, marker: str, color: str, full: bool = True) -> Any:
            style: dict[str, Any] = {"marker": marker, "color": color, "label": label}
            style["markerfacecolor"] = color if full else "none"
            return Line2D([], [], linestyle="none", **style)

        shown = [
            mark("to the others", "o", _USUAL),
            mark("to the nearest", "o", _USUAL, full=False),
        ]
        if any(own.family is not None for own in self.rows):
            shown.append(mark("nominal", "*", _USUAL))
        if any(own.odd.any() for own in self.rows):
            shown.append(mark("odd", "o", _ODD))
        if any(own.near.any() for own in self.rows):
            shown.append(mark("near-duplicate", "o", _NEAR, full=False))
        self.figure_.legend(
            handles=shown,
            loc="outside lower left",
            ncols=len(shown),
            frameon=False,
            fontsize="small",
            handletextpad=0.2,
            columnspacing=1.2,
        )


# ------------------------------------------------------------------------- numbers
def _rows(
    result: Any, own: NDArray[np.intp], distances: FloatArray, max_shown: int
) -> SimulationRows:
    """Rows of one class: own are its rows of the record."""
    p_odd, p_near = result.p_odd[own], result.p_near[own]
    to_others, to_nearest = _relative(distances)
    least = np.nan_to_num(np.fmin(p_odd, p_near), nan=1.0)
    shown = np.sort(np.lexsort((-to_others, least))[:max_shown])
    order = _by_family(result, own, shown)
    odd, near = p_odd < result.limit, p_near < result.limit
    words = [
        _words(odd[i], p_odd[i], near[i], p_near[i], result.nearest[own[i]])
        for i in order
    ]
    family = None if result.family is None else result.family[own[order]]
    label = str(result.label[own[0]])
    title = label if label == "all classes" else f"class {label}"
    return SimulationRows(
        title=title + " (not tested)" * bool(np.isnan(p_odd).all()),
        simulation=[str(name) for name in result.simulation[own[order]]],
        family=None if family is None else [str(name) for name in family],
        to_others=to_others[order],
        to_nearest=to_nearest[order],
        odd=odd[order],
        near=near[order],
        words=words,
        n_left_out=own.size - order.size,
    )


def _by_family(
    result: Any, own: NDArray[np.intp], shown: NDArray[np.intp]
) -> NDArray[np.intp]:
    """As in the record, or the nominal and then family by family."""
    if result.family is None:
        return shown
    family = [str(name) for name in result.family[own]]
    rank = {name: k for k, name in enumerate(dict.fromkeys([_NOMINAL, *family]))}
    keys = np.array([rank[family[i]] for i in shown])
    return np.asarray(shown[np.argsort(keys, kind="stable")])


def _relative(distances: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Distances to the others and to the nearest in units of those of the others."""
    size = len(distances)
    none = np.full(size, np.nan)
    if size < 3:  # the others have no distance
        return none, none
    square = distances**2
    apart = square + np.diag(np.full(size, np.inf))
    own = square.sum(axis=1)
    mean, nearest = own / (size - 1), apart.min(axis=1)
    others = (square.sum() - 2.0 * own) / ((size - 1) * (size - 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.sqrt(np.stack([mean, nearest]) / np.maximum(others, 0.0))
    return ratios[0], ratios[1]


def _words(odd: bool, p_odd: float, near: bool, p_near: float, other: Any) -> str:
    parts = [f"odd, {_p(p_odd)}"] * bool(odd)
    parts += [f"near {other}, {_p(p_near)}"] * bool(near)
    return "; ".join(parts)


def _p(value: float) -> str:
    return f"p = {value:.1g}" if value >= _SMALLEST_P else f"p < {_SMALLEST_P:g}"


def _title(result: Any) -> str:
    """The verdict in a line."""
    parts = [result.summary().partition("\n")[0]]
    parts += ["families declared"] * (result.family is not None)
    parts += [] if result.member is None else [f"{result.member} of a pool"]
    return "; ".join(parts)


# ------------------------------------------------------------------------- drawing
def _draw(ax: Any, own: SimulationRows, ends: tuple[float, float]) -> None:
    """One panel."""
    n = len(own.simulation)
    row = np.arange(n)
    _bands(ax, own)
    ax.axvline(1.0, color=DATA_COLOR, linewidth=0.8, alpha=0.6)
    color = np.where(own.odd, _ODD, _USUAL)
    nearest = np.where(own.near, _NEAR, _USUAL)
    star = np.array([name == _NOMINAL for name in own.family or [""] * n])
    _marks(ax, own.to_nearest, row, nearest, "o", full=False)
    _marks(ax, own.to_others[~star], row[~star], color[~star], "o")
    _marks(ax, own.to_others[star], row[star], color[star], "*")
    wide = ends[1] > 10.0 * ends[0]
    subs = (1.0,) if ends[1] > 100.0 * ends[0] else (1.0, 3.0) if wide else (1, 2, 5)
    plain_logarithmic(ax, subs)
    ax.set_xlim(*ends)
    ax.set_ylim(n - 0.4, -0.6)
    ax.set_yticks(row, own.labels, fontsize="small")
    ax.set_xlabel("distance / spread of the others", fontsize="small")
    rest = f", {own.n_left_out} more not shown" if own.n_left_out else ""
    ax.set_title(own.title + rest, loc="left", fontsize="medium")
    if any(own.words):
        right = ax.secondary_yaxis("right")
        said = [k for k, words in enumerate(own.words) if words]
        right.set_yticks(said, [own.words[k] for k in said], fontsize="small")


def _bands(ax: Any, own: SimulationRows) -> None:
    """Every second family on grey."""
    if own.family is None:
        return
    number = {name: k for k, name in enumerate(dict.fromkeys(own.family))}
    for k, name in enumerate(own.family):
        if number[name] % 2:
            ax.axhspan(k - 0.5, k + 0.5, color=DATA_COLOR, alpha=0.07, linewidth=0)


def _marks(
    ax: Any,
    distance: FloatArray,
    row: NDArray[np.intp],
    color: NDArray[Any],
    marker: str,
    *,
    full: bool = True,
) -> None:
    """Points, and arrows for those beyond the range."""
    shown = np.clip(distance, _SMALLEST, _LARGEST)
    size = 90 if marker == "*" else 26
    for mark, chosen in (
        ("<", distance < _SMALLEST),
        (">", distance > _LARGEST),
        (marker, (distance >= _SMALLEST) & (distance <= _LARGEST)),
    ):
        face = {"color": color[chosen]} if full else {"edgecolors": color[chosen]}
        extra = {} if full else {"facecolors": "none"}
        ax.scatter(
            shown[chosen], row[chosen], s=size, marker=mark, zorder=3, **face, **extra
        )
