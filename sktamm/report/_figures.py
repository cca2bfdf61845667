"""Figures of a report: those of the displays, each with a sentence below."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sktamm._numerics import FloatArray
from sktamm.exports import event_weights
from sktamm.plotting import (
    FractionDisplay,
    MixtureDisplay,
    WeightedEvents,
    to_svg,
)
from sktamm.report._inputs import Dataset, SimulatedSample
from sktamm.results import FractionResult

__all__ = ["Figure", "drawn", "fraction_figure", "mixture_figures"]

# A page of more features than this is not looked through: a rule of thumb.
_MOST_FEATURES = 12


@dataclass(frozen=True)
class Figure:
    """A picture of a page."""

    svg: str
    caption: str
    wide: bool = False  # whether it takes the width of the page


def drawn(display: Any, name: str, caption: str, wide: bool = False) -> Figure:
    """Figure of a display."""
    return Figure(to_svg(display, name, caption), caption, wide)


def fraction_figure(result: FractionResult, i: int) -> Figure:
    """Posterior or profile of kappa with its intervals."""
    display = FractionDisplay.from_result(result, i)
    caption = (
        f"The {display.curve_label.split(' / ')[0]} of the fraction of "
        f"{result.pos_label}, with its intervals."
    )
    return drawn(display, f"kappa{i}", caption)


def mixture_figures(
    estimator: Any,
    result: FractionResult,
    i: int,
    dataset: Dataset,
    simulated: SimulatedSample | None,
) -> Iterator[Figure]:
    """Data and adapted mixture: in the estimator's bins, and in all features."""
    shown: set[str] = set()
    if result.templates is not None:
        display = MixtureDisplay.from_result(result, i)
        for j, axis in enumerate(display.axes):
            shown.add(axis.name)
            yield drawn(display.of_feature(j), f"bins{i}x{j}", _caption(axis.name))
    if simulated is None or dataset.X is None:
        return
    others = [j for j, name in enumerate(simulated.names) if name not in shown]
    if others:
        display = _from_events(estimator, result, i, dataset, simulated)
        for j in others[:_MOST_FEATURES]:
            name = simulated.names[j]
            yield drawn(display.of_feature(j), f"events{i}x{j}", _caption(name))


def _caption(name: str) -> str:
    return (
        f"{name}: data, and the classes of the mixture adapted to them; dashed before "
        "adapting, below in errors of the data."
    )


def _from_events(
    estimator: Any,
    result: FractionResult,
    i: int,
    dataset: Dataset,
    simulated: SimulatedSample,
) -> MixtureDisplay:
    """Simulated events, weighted so that they follow what the data have adapted."""
    weights = event_weights(
        estimator,
        simulated.X,
        simulated.y,
        dataset.X,
        simulation=simulated.simulation,
        sample_weight=simulated.sample_weight,
        target_weight=dataset.sample_weight,
    )
    label = pd.Index(result.classes).get_indexer(pd.Index(np.asarray(simulated.y)))
    values = simulated.values(simulated.X)
    before = _before(weights, label, simulated.sample_weight)
    adapted = weights["weight"].to_numpy()
    data, weight = simulated.values(dataset.X), dataset.sample_weight
    weight = np.ones(len(data)) if weight is None else np.asarray(weight, float)
    return MixtureDisplay.from_events(
        result,
        WeightedEvents(data, weight),
        WeightedEvents(values, adapted, label),
        WeightedEvents(values, before, label),
        features=simulated.names,
        dataset=i,
    )


def _before(weights: pd.DataFrame, label: Any, sample_weight: Any) -> FloatArray:
    """Weights of the average simulation with the same sum in every class."""
    own = np.ones(len(label)) if sample_weight is None else np.asarray(sample_weight)
    ids = weights["simulation"] if "simulation" in weights else np.zeros(len(label))
    table = pd.DataFrame({"own": own, "label": label, "id": np.asarray(ids)})
    share = table["own"] / table.groupby(["label", "id"])["own"].transform("sum")
    total = weights["weight"].groupby(label).transform("sum").to_numpy()
    return (share / share.groupby(label).transform("sum")).to_numpy() * total
