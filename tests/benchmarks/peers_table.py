"""Tables of peers beside sktamm, from the stored answers of `zoo/headline.py`.

Coverage has a Wilson band (95 %, as if experiments were independent) and an error from
resampling sets, since the targets of a set share their simulations. A row is compatible
with nominal coverage where it is not below it by 1.645 of those errors (p < .05, one
side) at 68.3 or at 95.5 %. The ratio compares interval scores at 68.3 % with those of
our row on the sets that both have.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats
from store import table

FILE = Path(__file__).parent / "results/headline.json"
UNIT = 1e-4  # of stored numbers
LEVELS = (0.683, 0.955)
OURS = "AutoTAMM()", "mean of score and ratios", "BinnedTopicTAMM()"
#: Ours where names say which simulations are variations of one thing, as pyhf is told.
TOLD = "AutoTAMM(), families told"
NOBODY = "exact densities", "the right simulation"
FEWEST_SETS = 10  # for a comparison, or all that there are
N_RESAMPLED = 2000
WELL, SEEN, BAD, FAILED = range(4)  # of a target: nothing, flagged, no minimum, none
COLUMNS = [
    *("row", "sets", "cov 68.3 [Wilson]", "±", "cov 95.5 [Wilson]", "±", "bias"),
    *("RMSE", "half-width", "IS 68", "IS / ours", "flagged", "failed", "s"),
]


class Row(NamedTuple):
    """Answers of a row: (n_sets, n_targets), and seconds (n_sets,)."""

    sets: np.ndarray
    truth: np.ndarray
    kappa: np.ndarray
    low: np.ndarray  # (n_sets, n_targets, 2), by level
    high: np.ndarray
    flags: np.ndarray
    seconds: np.ndarray

    def inside(self) -> np.ndarray:
        """Whether intervals hold the truth, (n_sets, n_targets, 2)."""
        truth = self.truth[..., None]
        return (self.low <= truth) & (truth <= self.high)

    def score(self) -> np.ndarray:
        """Mean interval score at 68.3 % of every set."""
        low, high = self.low[..., 0], self.high[..., 0]
        fine = np.maximum(low - self.truth, 0) + np.maximum(self.truth - high, 0)
        return (high - low + 2.0 / (1.0 - LEVELS[0]) * fine).mean(axis=1)


def read(path: Path = FILE) -> dict[str, dict[str, Row]]:
    """Rows by cell."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    return {
        name: {row: _row(own, cell["truth"]) for row, own in cell["rows"].items()}
        for name, cell in stored["cells"].items()
    }


def _row(own: dict[str, Any], truth: dict[str, list[int]]) -> Row:
    numbers = {k: np.array(own[k]) * UNIT for k in ("kappa", "low", "high")}
    return Row(
        sets=np.array(own["sets"]),
        truth=np.array([truth[str(number)] for number in own["sets"]]) * UNIT,
        flags=np.array(own["flags"]),
        seconds=np.array(own["seconds"]),
        **numbers,
    )


# ------------------------------------------------------------------------ statistics
def wilson(share: float, n: int) -> tuple[float, float]:
    """Ends of the 95 % band of a share of n."""
    z = stats.norm.ppf(0.975)
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return centre - reach, centre + reach


def error(values: np.ndarray) -> float:
    """Standard error of the mean of sets, those resampled."""
    n = len(values)
    if n < 2:
        return np.nan
    drawn = np.random.default_rng(0).integers(0, n, (N_RESAMPLED, n))
    return float(np.std(values[drawn].mean(axis=1)) * np.sqrt(n / (n - 1)))


def compatible(row: Row) -> bool:
    """Whether coverage is not below nominal at either level."""
    for level, nominal in enumerate(LEVELS):
        share = row.inside()[..., level].mean(axis=1)
        own = error(share)
        if not share.mean() - nominal >= -1.645 * (own if np.isfinite(own) else 0.0):
            return False
    return True


def ratio(row: Row, ours: Row) -> tuple[float, float, int]:
    """Interval score over ours on common sets, its error, and their number."""
    common = np.intersect1d(row.sets, ours.sets)
    mine = ours.score()[np.isin(ours.sets, common)]
    other = row.score()[np.isin(row.sets, common)]
    if not len(common):
        return np.nan, np.nan, 0
    drawn = np.random.default_rng(0).integers(0, len(common), (N_RESAMPLED, len(mine)))
    ratios = other[drawn].mean(axis=1) / mine[drawn].mean(axis=1)
    spread = float(np.std(ratios)) if len(common) > 1 else np.nan
    return float(other.mean() / mine.mean()), spread, len(common)


def ours_of(rows: dict[str, Row]) -> str:
    """Our row: `AutoTAMM()`, or what it answers by default where that has more sets."""
    if TOLD in rows:
        return TOLD
    known = [name for name in OURS if name in rows]
    if OURS[1] in known:  # more than two features: bins are not what it answers
        known = [name for name in known if name != OURS[2]]
    return max(known, key=lambda name: (len(rows[name].sets), -OURS.index(name)))


def rivals(rows: dict[str, Row]) -> dict[str, tuple[float, float]]:
    """Ratio and error of peers that cover and have enough sets, the best first."""
    name = ours_of(rows)
    ours = rows[name]
    fewest = min(FEWEST_SETS, len(ours.sets))
    found = {}
    for own, row in rows.items():
        if own in (*OURS, TOLD, *NOBODY):
            continue
        value, spread, n = ratio(row, ours)
        if n >= fewest and compatible(row):
            found[own] = value, spread
    return dict(sorted(found.items(), key=lambda item: item[1][0]))


# ----------------------------------------------------------------------------- text
def summary(cells: dict[str, dict[str, Row]]) -> str:
    """A line per cell: ours, and the best peer at nominal coverage."""
    columns = ["cell", "our row", "sets", "cov 68.3 / 95.5", "IS 68", "best peer"]
    columns.append("its IS / ours")
    lines = []
    for cell, rows in cells.items():
        name = ours_of(rows)
        ours, others = rows[name], rivals(rows)
        best, against = "none covers", ""
        if others:
            best, (value, spread) = next(iter(others.items()))
            against = _with_error(value, spread)
        n = str(len(ours.sets))
        lines.append([cell, name, n, _both(ours), _score(ours), best, against])
    return "\n".join(table(columns, lines))


def sentences(cells: dict[str, dict[str, Row]]) -> str:
    """One for every peer that beats our row, and how sure that is."""
    out = []
    for cell, rows in cells.items():
        for name, (value, spread) in rivals(rows).items():
            if value < 1.0:
                sure = "beyond" if value < 1.0 - 1.645 * spread else "within"
                out.append(
                    f"- {cell}: {name} has {value:.2f} ± {spread:.2f} of our interval "
                    f"score, {sure} the error."
                )
    return "\n".join(out) or "No peer has a lower interval score in any cell."


def details(cells: dict[str, dict[str, Row]]) -> str:
    """A table per cell; the best row of those that a user can have is bold."""
    parts = []
    for cell, rows in cells.items():
        ours = ours_of(rows)
        others = rivals(rows)
        best = next(iter(others), None)
        if best is None or others[best][0] >= 1.0:
            best = ours
        lines = [
            _cells(name, own, rows[ours], name == best) for name, own in rows.items()
        ]
        parts += [f"## {cell}", "", *table(COLUMNS, lines), ""]
    return "\n".join(parts).rstrip()


def _cells(name: str, row: Row, ours: Row, best: bool) -> list[str]:
    shift = row.kappa - row.truth
    value, spread, _ = ratio(row, ours)
    covered = [_coverage(row, level) for level in (0, 1)]
    return [
        f"**{name}**" if best else name,
        str(len(row.sets)),
        *covered[0],
        *covered[1],
        f"{shift.mean():+.4f}",
        f"{np.sqrt((shift**2).mean()):.4f}",
        f"{0.5 * (row.high - row.low)[..., 0].mean():.4f}",
        _score(row),
        "1" if row is ours else _with_error(value, spread),
        f"{(row.flags > WELL).mean():.2f}",
        str(int((row.flags == FAILED).sum())),
        f"{np.median(row.seconds):.1f}",
    ]


def _coverage(row: Row, level: int) -> tuple[str, str]:
    share = row.inside()[..., level]
    low, high = wilson(share.mean(), share.size)
    own = f"{error(share.mean(axis=1)):.2f}".replace("nan", "")
    return f"{share.mean():.2f} [{low:.2f}, {high:.2f}]", own


def _both(row: Row) -> str:
    shares = row.inside().mean(axis=1)
    cells = [_with_error(shares[:, k].mean(), error(shares[:, k])) for k in (0, 1)]
    return " / ".join(cells)


def _with_error(value: float, spread: float) -> str:
    return f"{value:.2f} ± {spread:.2f}".removesuffix(" ± nan")


def _score(row: Row) -> str:
    return f"{row.score().mean():.4f}"
