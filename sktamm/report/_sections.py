"""Sections of a report, each asked of the estimator, which may have no answer."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from sktamm.coverage import CoverageResult
from sktamm.diagnostics import error_split, exchangeability, influence
from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError, SktammWarning
from sktamm.plotting import (
    CoverageDisplay,
    ExchangeabilityDisplay,
    InfluenceDisplay,
    LeftOutDisplay,
)
from sktamm.report._checks import Check, find_checks
from sktamm.report._figures import (
    Figure,
    drawn,
    fraction_figure,
    mixture_figures,
)
from sktamm.report._inputs import Dataset, SimulatedSample
from sktamm.results import FractionResult, rounded
from sktamm.tamm import final_step

__all__ = [
    "DatasetSection",
    "Section",
    "choice_section",
    "coverage_section",
    "dataset_section",
    "simulations_section",
]

_PARTS = {
    "target": "number of events in the data",
    "simulation": "number of simulated events",
    "ratios": "training of the ratios",
    "shape": "freedom of the blend",
}
# Influence is a fit per simulation, and a page of more pictures is not looked through:
# a rule of thumb.
_MOST_INFLUENCES = 20


@dataclass
class Section:
    """A part of the page: a heading, sentences, figures, and a table."""

    name: str  # identifier in the page
    title: str
    sentences: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    table: pd.DataFrame | None = None


@dataclass
class DatasetSection:
    """Everything about one dataset."""

    name: str
    checks: list[Check]
    kappa: Figure
    mixture: list[Figure]
    parts: list[tuple[str, str]]  # of the error: where it comes from, how much
    influence: Figure | None
    notes: list[str]  # what could not be shown, and why


def dataset_section(
    estimator: Any,
    result: FractionResult,
    i: int,
    dataset: Dataset,
    simulated: SimulatedSample | None,
) -> DatasetSection:
    """Figures and numbers of dataset ``i``."""
    notes: list[str] = []

    def asked(what: str, ask: Callable[[], Any], nothing: Any) -> Any:
        try:
            with warnings.catch_warnings():  # `infer` has said them
                warnings.simplefilter("ignore", SktammWarning)
                return ask()
        except (InvalidInputError, IncompatibleChoiceError) as error:
            notes.append(f"No {what}: {error}")
            return nothing

    def mixture() -> list[Figure]:
        return list(mixture_figures(estimator, result, i, dataset, simulated))

    influences: Figure | None = None
    if i < _MOST_INFLUENCES:
        influences = asked(
            "influence of simulations",
            lambda: _influence(estimator, result, i, dataset),
            None,
        )
    return DatasetSection(
        name=str(result.dataset[i]),
        checks=find_checks(result, i),
        kappa=fraction_figure(result, i),
        mixture=asked("figures of data and mixture", mixture, []),
        parts=asked("split of the error", lambda: _parts(estimator, dataset), []),
        influence=influences,
        notes=notes,
    )


def _parts(estimator: Any, dataset: Dataset) -> list[tuple[str, str]]:
    """Parts of the error that are there, as standard deviations."""
    weight = {} if dataset.sample_weight is None else _weighted(dataset)
    split = error_split(estimator, dataset.X, **weight)
    total = float(np.sqrt(split.total[0]))
    parts = []
    for name, words in _PARTS.items():
        variance = float(getattr(split, name)[0])
        if variance > 0:
            parts.append((words, rounded(np.sqrt(variance), total)))
    return parts


def _influence(
    estimator: Any, result: FractionResult, i: int, dataset: Dataset
) -> Figure:
    weight = {} if dataset.sample_weight is None else _weighted(dataset)
    found = influence(estimator, dataset.X, **weight)
    # A shift tells nothing of kappa, which is shown as it is in the result: blinded.
    found = replace(found, full_kappa=float(result.kappa[i]))
    finite = np.abs(found.shift_in_std[np.isfinite(found.shift_in_std)])
    largest = finite.max() if finite.size else np.nan
    caption = (
        "How far the estimate moves when a simulation is left out: at most "
        f"{largest:.2g} standard errors."
    )
    return drawn(InfluenceDisplay.from_result(found), f"influence{i}", caption)


def _weighted(dataset: Dataset) -> dict[str, Any]:
    return {"sample_weight": dataset.sample_weight}


# -------------------------------------------------------------------- of the estimator
def simulations_section(estimator: Any) -> Section:
    """Whether the simulations are of one kind."""
    section = Section("simulations", "The simulations")
    try:
        found = exchangeability(estimator)
        display = ExchangeabilityDisplay.from_result(found)
        caption = "How far each simulation is from the others, and from the nearest."
        section.figures.append(drawn(display, "exchangeability", caption, wide=True))
    except (InvalidInputError, IncompatibleChoiceError, AttributeError) as error:
        section.sentences.append(f"They were not compared: {error}")
        return section
    odd = [str(entry) for entry in found.odd]
    near = [str(entry) for entry in found.near_duplicates]
    section.sentences += [
        _list("Apart from the others", odd, "No simulation stands apart."),
        _list("Nearly the same", near, "No two are nearly the same."),
    ]
    return section


def _list(what: str, found: list[str], none: str) -> str:
    return f"{what}: {', '.join(found)}." if found else none


def choice_section(estimator: Any) -> Section | None:
    """How candidates measured simulations that were left out; None without them."""
    auto = final_step(estimator)
    if not hasattr(auto, "left_out_"):
        return None
    section = Section("choice", "Simulations left out")
    scores = auto.left_out_
    if scores is None:
        section.sentences.append(
            "No simulation played the truth: fewer than four, or families declared."
        )
        return section
    chosen = scores.names.index(scores.chosen)
    n_simulations, n_each = scores.kappa.shape[1:]
    section.sentences += [
        f"Every simulation in turn played the truth for the others: intervals at "
        f"{scores.level:.1%} contained the true fraction in "
        f"{_coverage(scores, chosen)} of {n_simulations * n_each} pseudo-datasets "
        f"from {n_simulations} simulations.",
    ]
    if len(scores.names) > 1:
        section.sentences.append(
            f"The method that answers is {scores.chosen}: {scores.why()}."
        )
    caption = "Interval scores of the candidates, simulation by simulation."
    section.figures.append(
        drawn(LeftOutDisplay.from_result(scores), "left-out", caption)
    )
    frame = (
        scores.to_frame()
        .drop(columns="chosen")
        .rename(columns=lambda name: name.replace("_", " "))
    )
    section.table = frame.map("{:.3g}".format).reset_index()
    if getattr(auto, "refused_", None):
        section.sentences += [
            f"Not tried: {name}: {why}" for name, why in auto.refused_.items()
        ]
    return section


def _coverage(scores: Any, chosen: int) -> str:
    """Share that is covered, with the error from the scatter of the simulations."""
    low, high = np.moveaxis(scores.interval[chosen], -1, 0)
    own = ((low <= scores.truth) & (scores.truth <= high)).mean(axis=1)
    error = own.std(ddof=1) / np.sqrt(own.size)
    return f"{100 * own.mean():.0f} ± {100 * error:.0f} %"


def coverage_section(study: CoverageResult | None) -> Section | None:
    """A study of pseudo-experiments, if there is one."""
    if study is None:
        return None
    section = Section("coverage", "Coverage")
    caption = "Share of pseudo-experiments whose interval contains the truth."
    section.figures.append(
        drawn(CoverageDisplay.from_result(study), "coverage", caption)
    )
    table = study.table()
    section.table = table.map(lambda v: f"{v:.3g}" if isinstance(v, float) else str(v))
    return section
