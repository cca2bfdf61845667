"""Simulations that play the truth, and pseudo-datasets made of their events.

One calibration unit is one simulation of every class: those that share their id, else
matched at random, in an order that knows their events and not their names. Pseudo-
datasets have the class fractions and, as far as there are events, the size of the
target, drawn without replacement as in `sktamm.coverage._pseudo`.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sktamm._numerics import FloatArray
from sktamm.events import SimulatedEvents
from sktamm.exceptions import InvalidInputError

__all__ = ["CalibrationUnit", "Design", "design_near", "draw_datasets", "find_units"]

# Golden section: coefficients of no two features are in a simple ratio.
_GOLDEN = 0.6180339887498949
# The grid of pseudo-datasets. Rule of thumb: finer than an estimate's error, so that
# rounding changes no pull, and coarse, so that many targets share their datasets. The
# fraction is rounded in arcsin(sqrt(kappa)), to one of 63 values (.08, .09, .11 near a
# tenth), shares of the other classes to eighths, the size to an eighth of an octave.
_STEPS = 64
_EIGHTHS = 8
# Of n events drawn from N: n + 2 _MARGIN sqrt(n) = N is exceeded almost never.
_MARGIN = 3.0


@dataclass(frozen=True, eq=False)
class CalibrationUnit:
    """Events of one simulation of every class."""

    ids: NDArray[Any]  # (n_classes,), simulation id of every class
    X: FloatArray  # (n_events, n_features)
    events: tuple[NDArray[np.intp], ...]  # rows of ``X`` of every class
    weight: FloatArray | None  # (n_events,), of mean one in every class; None if equal

    @property
    def squares(self) -> FloatArray:
        """Mean squared weight of every class."""
        if self.weight is None:
            return np.ones(len(self.events))
        return np.array([np.mean(self.weight[rows] ** 2) for rows in self.events])


@dataclass(frozen=True, eq=False)
class Design:
    """Distinct kinds of pseudo-datasets that several targets need."""

    fractions: FloatArray  # (n_kinds, n_classes)
    size: FloatArray  # (n_kinds,), effective number of events
    key: NDArray[
        np.intp
    ]  # (n_kinds, n_classes + 1), place on the grid, seeds the draws
    kind: NDArray[np.intp]  # (n_targets,), kind of every target


def find_units(
    events: SimulatedEvents, rng: np.random.Generator
) -> tuple[CalibrationUnit, ...]:
    """Match the simulations of the classes and sort their events."""
    n_classes = events.classes.size
    number = np.bincount(events.source_class, minlength=n_classes)
    if number.min() < 2:
        few = events.classes[int(number.argmin())]
        raise InvalidInputError(
            "simulation must give every class at least two simulations, so that one "
            f"can play the truth for the others; class {few} has {number.min()}."
        )
    order = np.argsort(events.source, kind="stable")
    ends = np.cumsum(np.bincount(events.source, minlength=events.n_sources))[:-1]
    rows = np.split(order, ends)
    matched = _match(events, _contents(events, rows), rng)
    return tuple(_unit(events, sources, rows) for sources in matched)


def _contents(events: SimulatedEvents, rows: list[NDArray[np.intp]]) -> FloatArray:
    """A number per source that its events determine and its name does not."""
    turn = 1.0 + (np.arange(events.X.shape[1]) * _GOLDEN) % 1.0
    return np.array([float((events.X[part] @ turn).mean()) for part in rows])


def _match(
    events: SimulatedEvents, content: FloatArray, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Sources of every unit, shape (n_units, n_classes)."""
    n_classes = events.classes.size
    columns = []
    ids, times = np.unique(events.source_id, return_counts=True)
    shared = ids[times == n_classes]
    leaders = np.flatnonzero(events.source_class == 0)
    leaders = leaders[np.argsort(content[leaders], kind="stable")]
    common = leaders[np.isin(events.source_id[leaders], shared)]
    for c in range(n_classes):
        own = np.flatnonzero(events.source_class == c)
        place = np.searchsorted(events.source_id[own], events.source_id[common])
        rest = own[~np.isin(events.source_id[own], shared)]
        rest = rest[np.argsort(content[rest], kind="stable")]
        columns.append(np.concatenate([own[place], rng.permutation(rest)]))
    fewest = min(column.size for column in columns)
    return np.column_stack([column[:fewest] for column in columns])


def _unit(
    events: SimulatedEvents,
    sources: NDArray[np.intp],
    rows: list[NDArray[np.intp]],
) -> CalibrationUnit:
    chosen = [rows[k] for k in sources]
    ends = np.cumsum([0, *(part.size for part in chosen)])
    index = np.concatenate(chosen)
    own = tuple(np.arange(a, b) for a, b in pairwise(ends))
    weight = None
    if events.weight is not None:
        weight = events.weight[index].astype(float)
        for part in own:
            weight[part] /= weight[part].mean()
    return CalibrationUnit(events.source_id[sources], events.X[index], own, weight)


def design_near(fractions: FloatArray, size: FloatArray, positive: int) -> Design:
    """Kinds of pseudo-datasets on a grid near fractions (n_targets, n_classes)."""
    kappa = fractions[:, positive]
    turn = 2.0 * _STEPS / np.pi * np.arcsin(np.sqrt(np.clip(kappa, 0.0, 1.0)))
    step = np.clip(np.rint(turn), 1, _STEPS - 1)
    others = np.delete(fractions, positive, axis=1)
    total = np.maximum(others.sum(axis=1, keepdims=True), 1e-300)
    share = np.rint(_EIGHTHS * others / total)
    share[share.sum(axis=1) == 0] = 1.0
    octave = np.rint(_EIGHTHS * np.log2(np.maximum(size, 1.0)))
    keys = np.column_stack([step, share, octave]).astype(np.intp)
    key, kind = np.unique(keys, axis=0, return_inverse=True)
    kappa = np.sin(0.5 * np.pi * key[:, 0] / _STEPS) ** 2
    rest = key[:, 1:-1] / key[:, 1:-1].sum(axis=1, keepdims=True)
    chosen = np.insert((1.0 - kappa)[:, None] * rest, positive, kappa, axis=1)
    return Design(chosen, 2.0 ** (key[:, -1] / _EIGHTHS), key, kind.ravel())


def draw_datasets(
    unit: CalibrationUnit, design: Design, n_draws: int, seed: np.random.SeedSequence
) -> sparse.csc_matrix:
    """Pseudo-datasets of a unit, ``n_draws`` of every kind: (n_events, n_datasets)."""
    state = seed.generate_state(4).tolist()
    columns = []
    for fractions, size, key in zip(
        design.fractions, design.size, design.key, strict=True
    ):
        rng = np.random.default_rng([*state, *(int(k) + 1 for k in key)])
        columns += [_draw(unit, fractions, size, rng) for _ in range(n_draws)]
    n_rows = len(unit.X)
    index = np.concatenate(columns)
    ends = np.cumsum([0, *(column.size for column in columns)])
    shape = (n_rows, len(columns))
    return sparse.csc_matrix((np.ones(index.size), index, ends), shape=shape)


def _draw(
    unit: CalibrationUnit, fractions: FloatArray, size: float, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Rows of one dataset, every event at most once."""
    available = np.array([part.size for part in unit.events])
    safe = (np.sqrt(_MARGIN**2 + available) - _MARGIN) ** 2
    wanted = size * (fractions * unit.squares).sum()
    with np.errstate(divide="ignore"):
        n = max(min(wanted, float((safe / fractions).min())), 2.0)
    numbers = np.minimum(rng.multinomial(int(np.rint(n)), fractions), available)
    if not numbers.sum():
        numbers[int(fractions.argmax())] = 1
    drawn = [
        rng.choice(part, m, replace=False)
        for part, m in zip(unit.events, numbers, strict=True)
    ]
    return np.sort(np.concatenate(drawn))
