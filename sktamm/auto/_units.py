"""Simulations that play the truth, as events or as histograms."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sktamm._numerics import FloatArray
from sktamm.events import read_simulations
from sktamm.inference import Answer
from sktamm.model_selection import (
    CalibrationUnit,
    Design,
    draw_datasets,
    find_units,
    quiet_infer,
)
from sktamm.results import FractionResult
from sktamm.templates import HistogramTemplates, TargetContents

__all__ = ["EventUnit", "HistogramUnit", "design_of", "event_units", "histogram_units"]


@dataclass(frozen=True, eq=False)
class EventUnit:
    """Events of one simulation of every class."""

    unit: CalibrationUnit
    names: NDArray[Any] | None  # of the features

    @property
    def ids(self) -> NDArray[Any]:
        """Simulation id of every class."""
        return self.unit.ids

    def ask(
        self,
        estimator: Any,
        design: Design,
        n_draws: int,
        seed: np.random.SeedSequence,
        level: float,
    ) -> FractionResult:
        """Estimates and intervals of pseudo-datasets, drawn without replacement."""
        X = self.unit.X
        return quiet_infer(
            estimator,
            X if self.names is None else pd.DataFrame(X, columns=list(self.names)),
            dataset=draw_datasets(self.unit, design, n_draws, seed),
            sample_weight=self.unit.weight,
            levels=(level,),
        )


@dataclass(frozen=True, eq=False)
class HistogramUnit:
    """Histograms of one simulation of every class."""

    ids: NDArray[Any]  # (n_classes,)
    share: FloatArray  # (n_classes, n_bins), probabilities
    n_effective: FloatArray  # (n_classes,), effective numbers of events

    def ask(
        self,
        estimator: Any,
        design: Design,
        n_draws: int,
        seed: np.random.SeedSequence,
        level: float,
    ) -> Answer:
        """The same with contents drawn from the histograms."""
        rng = np.random.default_rng(seed)
        contents = []
        for fractions, size in zip(design.fractions, design.size, strict=True):
            # Datasets share a template's fluctuations, to be smaller than their own:
            # half of its events at the most, a rule of thumb.
            n = min(size, 0.5 * float((self.n_effective / fractions).min()))
            p = fractions @ self.share
            contents += [rng.multinomial(int(n), p / p.sum()) for _ in range(n_draws)]
        counts = np.array(contents, dtype=float)
        table = estimator.components_.table(TargetContents(counts, counts))
        answer: Answer = estimator.solve(table, np.array([level]))[1]
        return answer


def event_units(
    events: dict[str, Any],
    names: NDArray[Any] | None,
    seed: np.random.SeedSequence,
    **how: Any,
) -> tuple[EventUnit, ...]:
    """Simulations of labelled events, matched over the classes."""
    read = read_simulations(**events, **how)
    units = find_units(read, np.random.default_rng(seed))
    return tuple(EventUnit(unit, names) for unit in units)


def histogram_units(templates: HistogramTemplates) -> tuple[HistogramUnit, ...]:
    """Simulations that every class has, by id; the others in the order of their ids."""
    number = range(templates.classes.size)
    ids = [set(templates.source_id[templates.source_class == c]) for c in number]
    shared = sorted(set.intersection(*ids))
    rest = [sorted(own - set(shared)) for own in ids]
    matched = [(name,) * len(ids) for name in shared] + list(zip(*rest, strict=False))
    return tuple(_histogram_unit(templates, names) for names in matched)


def _histogram_unit(
    templates: HistogramTemplates, names: tuple[Any, ...]
) -> HistogramUnit:
    rows = [
        int(np.argmax((templates.source_class == c) & (templates.source_id == name)))
        for c, name in enumerate(names)
    ]
    weights = np.maximum(templates.sum_of_weights[rows], 0.0)
    n_bins = int(np.prod([len(e) - 1 for e in templates.binning.edges]))
    full = np.zeros((len(rows), n_bins))
    full[:, templates.number] = weights
    total = weights.sum(axis=1)
    squares = templates.sum_of_squares[rows].sum(axis=1)
    share = full / total[:, None]
    return HistogramUnit(np.array(names), share, total**2 / squares)


def design_of(
    fractions: Sequence[float], size: float, positive: int, n_classes: int
) -> Design:
    """Kinds of pseudo-datasets: fractions of the signal, the rest shared equally."""
    share = np.full((len(fractions), n_classes), 1.0 / max(n_classes - 1, 1))
    share *= 1.0 - np.asarray(fractions)[:, None]
    share[:, positive] = fractions
    number = np.arange(len(fractions))
    return Design(share, np.full(len(fractions), size), number[:, None], number)
