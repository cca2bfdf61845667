"""Candidates: what the data allow, and how each does without a simulation."""

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from sktamm._sklearn import FitSteps
from sktamm._validation import encode, take_rows
from sktamm.auto._pool import PosteriorPool
from sktamm.baselines import FreeTemplates
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
    with_components_of,
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
# Templates with free yields: eight datasets take 0.65 s with 12 of them, more than all
# other candidates together with 20, and minutes with 80.
_FREE = 12
MERGED = "merged simulations"
# Sums over the events of a template, and the power of a weight that they hold.
_SUMS = {"sum_of_weights": 1, "sum_of_squares": 2, "dropped": 1}


@dataclass(frozen=True, eq=False)
class Recipe:
    """How a candidate is made: fitted by itself, or out of those named ``bases``."""

    estimator: Any
    bases: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Candidate:
    """A fitted estimator that can be asked without some of its simulations."""

    fitted: Any  # what was fitted, with all simulations
    merged: bool = False  # whether the simulations of a class become one
    other: Any = None  # answers with the components of ``fitted``, itself not fitted
    unfitted: Any = None  # trained again without simulations, where that is needed
    events: dict[str, Any] = field(default_factory=dict)  # what it was fitted with
    members: tuple[str, ...] = ()  # candidates of which it is the pool

    @property
    def estimator(self) -> Any:
        """With all simulations."""
        return self._made_of(self.fitted)

    def without(self, ids: NDArray[Any]) -> Any:
        """Without the simulations of some ids."""
        if self.unfitted is not None:
            return fit_without(self.unfitted, self.fitted, ids, self.events)
        return self._made_of(without_ids(self.fitted, ids))

    def smaller(self, ids: NDArray[Any]) -> "Candidate":
        """The candidate that has never known the simulations of some ids."""
        if self.unfitted is None:
            return replace(self, fitted=without_ids(self.fitted, ids))
        code = encode(self.events["simulation"], "simulation", None)
        rows = np.flatnonzero(~np.isin(code[0], ids)[code[1]])
        kept = {name: take_rows(values, rows) for name, values in self.events.items()}
        return _fit(self.unfitted, kept, quietly=True)

    def _made_of(self, fitted: Any) -> Any:
        if self.other is not None:
            return with_components_of(self.other, fitted)
        return _merged(fitted) if self.merged else fitted


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
    given: Any,
    n_features: int,
    n_simulations: int,
    histograms: bool,
    settings: dict[str, Any],
) -> dict[str, Recipe]:
    """Names of candidates, the default first."""
    if not isinstance(given, str):
        said = {}
        if settings["pos_label"] is not None:
            said["pos_label"] = settings["pos_label"]
        if settings["paired"] != "auto":
            said["paired"] = settings["paired"]
        return {name: Recipe(_with_settings(own, said)) for name, own in given}
    found = _exponential(n_features, histograms, settings)
    if "prior" in settings:  # of families, which the others do not know
        return found
    bases = [name for name in ("binned", "score", "ratios") if name in found]
    first = bases[1] if n_features > _BINNED else bases[0]
    for name in bases:
        linear = found[name].estimator
        # Profiles, as chains of the Bayesian answer take six times as long.
        linear = clone(linear).set_params(form="linear", inference="frequentist")
        found[f"linear {name}"] = Recipe(linear, (name,))
    if n_simulations > BinnedTopicTAMM().n_topics and not histograms:
        topics = BinnedTopicTAMM(components="topics", form="linear", **settings)
        found["topics"] = Recipe(topics.set_params(inference="frequentist"))
    free = {name: settings[name] for name in ("pos_label", "level", "n_jobs")}
    found[MERGED] = Recipe(None, (first,))
    found["free templates"] = Recipe(FreeTemplates(**free), (first,))
    return found


def _exponential(
    n_features: int, histograms: bool, settings: dict[str, Any]
) -> dict[str, Recipe]:
    """The exponential form with everything that may be its rows, the default first."""
    binned = {"binned": Recipe(BinnedTopicTAMM(**settings))}
    if histograms:
        return binned
    score = {"score": Recipe(ScoreTAMM(**settings))}
    if n_features <= _BINNED:
        return binned | score
    ratios = {"ratios": Recipe(NeuralRatioTAMM(**settings))}
    pool = {"score and ratios": Recipe(None, ("score", "ratios"))}
    return pool | score | ratios | binned


def _with_settings(estimator: Any, said: dict[str, Any]) -> Any:
    """The estimator with what was said to the one around it, where it listens."""
    own = estimator.get_params(deep=False)
    return clone(estimator).set_params(**{n: v for n, v in said.items() if n in own})


def fit_candidates(
    plan: Mapping[str, Recipe], events: dict[str, Any], steps: FitSteps
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
            with steps.step(name):
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
    """What candidates make: their pool, or the one with another form or merged."""
    parts = {name: known[name].fitted for name in recipe.bases}
    if len(parts) > 1:
        return Candidate(PosteriorPool.of(parts), members=recipe.bases)
    base = parts[recipe.bases[0]]
    if isinstance(recipe.estimator, FreeTemplates):
        _check_free(base)
    made = Candidate(base, merged=recipe.estimator is None, other=recipe.estimator)
    made.estimator  # noqa: B018  (raises where it cannot be)
    return made


def _check_free(base: Any) -> None:
    """Refuse a fit of so many yields that judging it takes minutes."""
    number = base.components_.templates_.source_class.size
    if number > _FREE:
        raise InvalidInputError(
            f"simulation must have at most {_FREE} ids and classes together for free "
            f"templates to be judged, got {number}."
        )


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
    forgets: bool = estimator.components_.forgets
    return forgets
