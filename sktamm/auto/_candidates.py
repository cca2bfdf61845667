"""Candidates: what the data allow, and how each does without a simulation.

Candidates that see the same bins or ratios share what was fitted: nothing is learned
twice.
"""

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from sktamm._validation import encode, take_rows
from sktamm.auto._pool import PosteriorPool
from sktamm.exceptions import (
    IncompatibleChoiceError,
    InvalidInputError,
    SktammWarning,
)
from sktamm.model_selection import fit_without
from sktamm.tamm import (
    BinnedTopicTAMM,
    NeuralRatioTAMM,
    ScoreTAMM,
    TAMMRegressor,
    without_ids,
)

__all__ = [
    "Candidate",
    "Recipe",
    "fit_candidates",
    "recipes",
]

# Features up to which bins of the features know more than bins of a learned score: the
# zoo's studies of one and two features, and those of three and more (doc/zoo.md).
_BINNED = 2
MERGED = "merged simulations"
# Sums over the events of a template, and the power of a weight that they hold.
_SUMS = {"sum_of_weights": 1, "sum_of_squares": 2, "dropped": 1}


@dataclass(frozen=True, eq=False)
class Recipe:
    """How a candidate is made.

    Attributes
    ----------
    estimator : estimator or None
        To be fitted; None for what is made of ``bases``.
    bases : tuple of str
        Candidates whose posteriors are averaged, or the one whose simulations are
        merged.
    """

    estimator: Any
    bases: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Candidate:
    """A fitted estimator that can be asked without some of its simulations.

    Attributes
    ----------
    fitted : estimator
        What was fitted, with all simulations.
    merged : bool
        Whether the simulations of a class become one.
    unfitted : estimator or None
        Trained again without simulations, with ``events``; None where that is not
        needed.
    events : dict
        Arguments of ``fit``.
    members : tuple of str
        Candidates of which it is the pool.
    """

    fitted: Any
    merged: bool = False
    unfitted: Any = None
    events: dict[str, Any] = field(default_factory=dict)
    members: tuple[str, ...] = ()

    @property
    def estimator(self) -> Any:
        """With all simulations."""
        return _merged(self.fitted) if self.merged else self.fitted

    def without(self, ids: NDArray) -> Any:
        """Without the simulations of some ids."""
        if self.unfitted is not None:
            return fit_without(self.unfitted, self.fitted, ids, self.events)
        part = without_ids(self.fitted, ids)
        return _merged(part) if self.merged else part

    def smaller(self, ids: NDArray) -> "Candidate":
        """The candidate that has never known the simulations of some ids."""
        if self.unfitted is None:
            return replace(self, fitted=without_ids(self.fitted, ids))
        code = encode(self.events["simulation"], "simulation", None)
        rows = np.flatnonzero(~np.isin(code[0], ids)[code[1]])
        kept = {name: take_rows(values, rows) for name, values in self.events.items()}
        return _fit(self.unfitted, kept, quietly=True)


def _merged(fitted: Any) -> Any:
    """The fitted estimator with one simulation per class: the mean of all."""
    templates = fitted.components_.templates_
    number = templates.classes.size
    scale = 1.0 / (templates.sum_of_weights.sum(axis=1) + templates.dropped)
    sums = {name: np.zeros_like(getattr(templates, name)[:number]) for name in _SUMS}
    for name, power in _SUMS.items():
        values = getattr(templates, name)
        factor = (scale**power).reshape(-1, *[1] * (values.ndim - 1))
        np.add.at(sums[name], templates.source_class, values * factor)
    one = {"source_class": np.arange(number), "source_id": np.zeros(number, dtype=int)}
    other = copy.copy(fitted)
    other.components_ = fitted.components_.of_templates(
        replace(templates, **sums, **one)
    )
    return other


def recipes(
    given: Any, n_features: int, histograms: bool, settings: dict[str, Any]
) -> dict[str, Recipe]:
    """Names of candidates, the default first."""
    if not isinstance(given, str):
        said = {}
        if settings["pos_label"] is not None:
            said["pos_label"] = settings["pos_label"]
        if settings["paired"] != "auto":
            said["paired"] = settings["paired"]
        return {name: Recipe(_told(own, said)) for name, own in given}
    binned = Recipe(BinnedTopicTAMM(**settings))
    if histograms:
        found = {"binned": binned, MERGED: Recipe(None, ("binned",))}
    elif n_features <= _BINNED:
        score = Recipe(ScoreTAMM(**settings))
        merged = Recipe(None, ("binned",))
        found = {"binned": binned, "score": score, MERGED: merged}
    else:
        found = {
            "score and ratios": Recipe(None, ("score", "ratios")),
            "score": Recipe(ScoreTAMM(**settings)),
            "ratios": Recipe(NeuralRatioTAMM(**settings)),
            "binned": binned,
            MERGED: Recipe(None, ("score",)),
        }
    if "prior" in settings:
        del found[MERGED]
    return found


def _told(estimator: Any, said: dict[str, Any]) -> Any:
    """The estimator with what was said to the one around it, where it listens."""
    own = estimator.get_params(deep=False)
    return clone(estimator).set_params(**{n: v for n, v in said.items() if n in own})


def fit_candidates(
    plan: Mapping[str, Recipe], events: dict[str, Any]
) -> tuple[dict[str, Candidate], dict[str, str]]:
    """Fit what the data allow."""
    fitted: dict[str, Candidate] = {}
    refused: dict[str, str] = {}
    errors = []
    for name in sorted(plan, key=lambda name: bool(plan[name].bases)):
        recipe = plan[name]
        if set(recipe.bases) & set(refused):
            continue
        try:
            fitted[name] = (
                _made(recipe, fitted)
                if recipe.bases
                else _fit(recipe.estimator, events, quietly=bool(fitted))
            )
        except (InvalidInputError, IncompatibleChoiceError) as error:
            refused[name] = str(error)
            errors.append(error)
    if not fitted:
        raise errors[0]
    return {name: fitted[name] for name in plan if name in fitted}, refused


def _made(recipe: Recipe, known: dict[str, Candidate]) -> Candidate:
    """The merged simulations of a fitted candidate, or the pool of several."""
    parts = {name: known[name].fitted for name in recipe.bases}
    if len(parts) == 1:
        return Candidate(parts[recipe.bases[0]], merged=True)
    return Candidate(PosteriorPool.of(parts), members=recipe.bases)


def _fit(unfitted: Any, events: dict[str, Any], *, quietly: bool) -> Candidate:
    """Fitted candidate; only the first warns of the input."""
    with warnings.catch_warnings():
        if quietly:
            warnings.simplefilter("ignore", SktammWarning)
        estimator = clone(unfitted).fit(**events)
    if _forgets(estimator, events["simulation"]):
        return Candidate(estimator)
    return Candidate(estimator, unfitted=unfitted, events=events)


def _forgets(estimator: Any, simulation: Any) -> bool:
    """Whether it can leave simulations out without training: it knows them apart."""
    if not isinstance(estimator, TAMMRegressor):
        return False
    if simulation is None:
        return False
    if encode(simulation, "simulation", None)[0].size > estimator.simulations_.size:
        return False
    parts = estimator.components_
    return hasattr(parts, "without") or hasattr(parts, "take")
