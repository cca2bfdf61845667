"""Features that look like bookkeeping: weights, numbers of events, indices, constants.

Such a column tells simulations from data, or classes from each other, by itself, and a
fraction of .9998 or .0001 follows. A feature is suspected that

* has a name like weight, event, run or index,
* has one value in every simulation, but not the same in all, one in every dataset
  where simulations vary, or one in all simulations that most of the target has not,
* increases from row to row of every simulation or dataset,
* holds whole numbers none of which repeats, where chance would repeat some.

Chance is never as small as ``_CHANCE`` where a warning is issued: n whole numbers of a
range R are all different with a probability below exp(-n (n - 1) / 2 R), n numbers
increase with 1 / n!, and n equal the first with q^(n - 1), where q is the largest
share of that value in any simulation. A number of jets repeats, and varies. At most
``_BLOCK`` rows are looked at, all of them only of a column that is constant in these.
"""

import re
import warnings
from dataclasses import dataclass

import numpy as np

from sktamm._numerics import FloatArray, IntArray, spread_rows
from sktamm.exceptions import FeatureWarning

__all__ = ["SeenFeatures", "warn_about_simulations", "warn_about_target"]


# Rows that one look takes: milliseconds per column, and 2^31 pairs of whole numbers.
_BLOCK = 1 << 16
# Fewer rows show no pattern: 2^-30 is the chance that so many pairs increase.
_FEWEST = 30
_CHANCE = 1e-6  # rule of thumb: no user gets a false warning
# Simulated events that are remembered to compare the target with.
_SAMPLE = 4096  # rule of thumb: enough for shares of values

_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_WEIGHTS = {"weight", "weights", "wgt"}
_NUMBERS = {
    *("event", "evt", "run", "lumi", "lumiblock", "index", "idx", "row", "entry"),
    *("id", "dsid", "timestamp", "simulation", "dataset", "level", "luminosity"),
    *("eventnumber", "eventid", "runnumber", "rownumber", "rownum"),
}
_ADDITIONS = {"number", "num", "nr", "no", "block", "mc", "gen", "channel"}


@dataclass(frozen=True, eq=False)
class SeenFeatures:
    """What the simulations looked like, for the target to be compared with."""

    names: tuple[str, ...]  # of the features
    suspects: frozenset[int]  # columns that were warned about already
    sample: FloatArray  # (n_rows, n_features), some simulated events
    source: IntArray  # (n_rows,), their simulation


def warn_about_simulations(
    X: FloatArray,
    source: IntArray,
    names: tuple[str, ...] | None,
    *,
    constants: bool = True,
    stacklevel: int = 3,
) -> SeenFeatures:
    """Warn about features of the simulations that look like bookkeeping.

    Four-vectors have components that are constant. ``X`` (n_events, n_features),
    ``source`` (n_events,).
    """
    names = names or tuple(f"x{j}" for j in range(X.shape[1]))
    reasons = {j: "its name" for j, name in enumerate(names) if _is_bookkeeping(name)}
    if X.shape[1] > 1:
        for j in set(range(X.shape[1])) - set(reasons):
            value = _constants(X[:, j], source)
            if value is not None:
                # The same value everywhere tells nothing apart.
                if constants and np.ptp(value[source]) > 0:
                    reasons[j] = "one value in every simulation"
            elif pattern := _pattern(X[:, j], source):
                reasons[j] = f"{pattern} in the simulations"
    _warn(reasons, names, stacklevel)
    rows = spread_rows(len(X), _SAMPLE)
    return SeenFeatures(names, frozenset(reasons), X[rows], source[rows])


def warn_about_target(
    X: FloatArray, dataset: IntArray | None, seen: SeenFeatures, stacklevel: int = 3
) -> None:
    """Warn about features of the target that the simulations gave no reason to suspect.

    ``X`` (n_events, n_features), ``dataset`` (n_events,); None is one of all.
    """
    if X.shape[1] == 1:
        return
    group = np.zeros(len(X), np.intp) if dataset is None else dataset
    reasons = {}
    columns = [j for j in range(X.shape[1]) if j not in seen.suspects]
    constant = {j: _constants(X[:, j], group) for j in columns}
    for j in columns:
        value = constant[j]
        if value is not None and _never_constant(value, group, j, seen):
            reasons[j] = "one value in every dataset, but not in the simulations"
        elif _leaves_constant(X[:, j], seen.sample[:, j]):
            reasons[j] = "one value in the simulations, others in the target"
        elif value is None and (pattern := _pattern(X[:, j], group)):
            reasons[j] = f"{pattern} in the target"
    # Events at one point are a strange target, which its goodness of fit tells.
    if all(value is not None for value in constant.values()):
        return
    _warn(reasons, seen.names, stacklevel)


def _warn(reasons: dict[int, str], names: tuple[str, ...], stacklevel: int) -> None:
    if not reasons:
        return
    shown = ", ".join(f"{names[j]!r} ({reasons[j]})" for j in sorted(reasons))
    warnings.warn(
        f"Features look like bookkeeping, not physics: {shown}. The fraction follows "
        "whatever differs between simulations and data; leave them out of X.",
        FeatureWarning,
        stacklevel=stacklevel + 1,
    )


def _is_bookkeeping(name: str) -> bool:
    """Whether a name is made of words for weights or numbers of events alone."""
    parts = {part.lower() for part in _PARTS.findall(name)}
    if parts & _WEIGHTS:
        return True
    return bool(parts & _NUMBERS) and parts <= _NUMBERS | _ADDITIONS


def _constants(column: FloatArray, group: IntArray) -> FloatArray | None:
    """Value of the column in every group if it has one in each, else None."""
    rows = spread_rows(column.size, _BLOCK)
    if rows.size < _FEWEST:
        return None
    # Any event of a group will do: all have to agree with it.
    some, value = group[rows], np.zeros(int(group.max()) + 1)
    value[some] = column[rows]
    if not np.array_equal(column[rows], value[some]):
        return None
    value[group] = column
    repeats = column.size - np.count_nonzero(np.bincount(group))
    same = repeats >= _FEWEST and np.array_equal(column, value[group])
    return value if same else None


def _pattern(column: FloatArray, group: IntArray) -> str:
    """Whether the column increases in every group, or numbers its rows."""
    column, group = column[:_BLOCK], group[:_BLOCK]
    order = np.argsort(group, kind="stable")
    values, group = column[order], group[order]
    inside = np.diff(group) == 0
    if inside.sum() < _FEWEST:
        return ""
    if (np.diff(values)[inside] > 0).all():
        return "increasing from row to row"
    if not np.array_equal(values, np.rint(values)):
        return ""
    ranked = values[np.lexsort((values, group))]
    size = np.bincount(group)
    pairs = (size * (size - 1.0)).sum() / 2.0
    unlikely = pairs / (np.ptp(values) + 1.0) > -np.log(_CHANCE)
    distinct = (np.diff(ranked)[inside] != 0).all()
    return "whole numbers that never repeat" if unlikely and distinct else ""


def _leaves_constant(column: FloatArray, simulated: FloatArray) -> bool:
    """Whether the simulations have one value, and most of the target others."""
    if min(column.size, simulated.size) < _FEWEST or np.ptp(simulated) > 0:
        return False
    return bool(np.mean(column[:_BLOCK] == simulated[0]) < 0.5)


def _never_constant(
    value: FloatArray, group: IntArray, column: int, seen: SeenFeatures
) -> bool:
    """Whether no simulation would give the target the same value again and again."""
    total = np.bincount(seen.source)
    size = np.bincount(group, minlength=value.size)
    chance = 0.0
    for v, n in zip(value, size, strict=True):
        same = np.bincount(seen.source, seen.sample[:, column] == v, total.size)
        share = ((same + 1.0) / (total + 1.0))[total > 0]
        chance += max(n - 1, 0) * np.log(share.max())
    return chance < np.log(_CHANCE)
