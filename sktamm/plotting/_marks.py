"""What the displays of studies share: panels, colours of series, binomial bands."""

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sktamm._numerics import FloatArray
from sktamm.exceptions import InvalidInputError

__all__ = [
    "BAND_LEVEL",
    "DASHES",
    "MARKERS",
    "SERIES_COLORS",
    "TRUTH_LABEL",
    "binomial_band",
    "drawing",
    "level_index",
    "one_panel",
    "percent",
    "plain_logarithmic",
]

BAND_LEVEL = 0.954  # two standard deviations
TRUTH_LABEL = r"true signal fraction $\kappa$"

# Okabe and Ito's palette without the yellow that vanishes on white.
SERIES_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = (0, (4, 2))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")


def drawing(module: str = "matplotlib.pyplot") -> Any:
    """A module of matplotlib, or one sentence on how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            "Pictures need matplotlib: pip install 'sktamm[plot]'."
        ) from error


def one_panel(ax: Any, size: tuple[float, float] = (6.0, 4.0)) -> Any:
    """Axes to draw in: the one given, or that of a new figure of a size in inches."""
    if ax is not None:
        return ax
    return drawing().subplots(figsize=size, layout="constrained")[1]


def binomial_band(n: FloatArray, nominal: FloatArray) -> FloatArray:
    """Ends (2, n_points) of the central shares of n samples of a right probability."""
    tail = 0.5 * (1.0 - BAND_LEVEL)
    return stats.binom.ppf([[tail], [1.0 - tail]], n, nominal) / n


def percent(level: float) -> str:
    """A level as a reader says it: 68.3%, 95%."""
    return f"{np.round(100.0 * level, 2):g}%"


def plain_logarithmic(ax: Any, subs: tuple[float, ...]) -> None:
    """Make x logarithmic, with plain numbers at multiples of powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=subs))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())


def level_index(levels: NDArray[Any], level: float | None) -> int:
    """Position of a level among those of a study; None is the first."""
    if level is None:
        return 0
    found = np.flatnonzero(np.isclose(levels, level, rtol=0, atol=1e-9))
    if not found.size:
        raise InvalidInputError(
            f"level must be one of the study's, {levels.tolist()}, got {level!r}."
        )
    return int(found[0])
