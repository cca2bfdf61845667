"""Candidates: what the data allow, and how each does without a simulation.

Candidates that differ in form or prior only share the fitted components: nothing is
learned twice.
"""

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from sktamm._regressor import TAMMRegressor
from sktamm._subset import without_ids
from sktamm._validation import encode, take_rows
from sktamm.auto._pool import PosteriorPool
from sktamm.exceptions import (
    IncompatibleChoiceError,
    InvalidInputError,
    SktammWarning,
)
from sktamm.model_selection._leave_one_out import fit_without
from sktamm.tamm import BinnedTopicTAMM, NeuralRatioTAMM, ScoreTAMM

__all__ = [
    "Candidate",
    "Recipe",
    "fit_candidates",
    "recipes",
]

# Features up to which bins of the features know more than bins of a learned score: the
# zoo's studies of one and two features, and those of three and more (doc/zoo.md).
_BINNED = 2

Changes = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Recipe:
    """How a candidate is made.

    Attributes
    ----------
    estimator : estimator or None
        To be fitted; None for what is made of ``bases``.
    bases : tuple of str
        Candidate whose components a variant shares, or those of a pool.
    changes : dict
        Parameters of the variant: form, prior; empty for a pool.
    """

    estimator: Any
    bases: tuple[str, ...] = ()
    changes: Changes = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A fitted estimator that can be asked without some of its simulations.

    Attributes
    ----------
    fitted : estimator
        What was fitted, with all simulations.
    changes : dict
        Parameters that differ from those that were fitted.
    unfitted : estimator or None
        Trained again without simulations, with ``events``; None where that is not
        needed.
    events : dict
        Arguments of ``fit``.
    members : tuple of str
        Candidates of which it is the pool.
    """

    fitted: Any
    changes: Changes = field(default_factory=dict)
    unfitted: Any = None
    events: dict[str, Any] = field(default_factory=dict)
    members: tuple[str, ...] = ()

    @property
    def estimator(self) -> Any:
        """With all simulations."""
        return _changed(self.fitted, self.changes)

    def without(self, ids: NDArray) -> Any:
        """Without the simulations of some ids."""
        if self.unfitted is not None:
            return fit_without(self.unfitted, self.fitted, ids, self.events)
        return _changed(_left(self.fitted, ids), self.changes)

    def smaller(self, ids: NDArray) -> "Candidate":
        """The candidate that has never known the simulations of some ids."""
        if self.unfitted is None:
            return replace(self, fitted=_left(self.fitted, ids))
        code = encode(self.events["simulation"], "simulation", None)
        rows = np.flatnonzero(~np.isin(code[0], ids)[code[1]])
        kept = {name: take_rows(values, rows) for name, values in self.events.items()}
        return _fit(self.unfitted, kept, quietly=True)


def _left(fitted: Any, ids: NDArray) -> Any:
    """A fitted estimator without some simulations, nothing trained."""
    if isinstance(fitted, PosteriorPool):
        known = np.asarray(fitted.simulations_)
        return fitted.take(known[~np.isin(known, ids)])
    return without_ids(fitted, ids)


def _changed(fitted: Any, changes: Changes) -> Any:
    """Another form or prior for fitted components."""
    if not changes:
        return fitted
    other = copy.copy(fitted)
    for name, value in changes.items():
        setattr(other, name, value)
    choices = other._make_choices(other.components_)
    other._form_, other._prior_, other._inference_ = choices
    return other


def recipes(
    given: Any, n_features: int, binned: bool, settings: dict[str, Any]
) -> dict[str, Recipe]:
    """Names of candidates, the default first.

    Parameters
    ----------
    given : "auto" or sequence of (str, estimator)
        Candidates of the user.
    n_features : int
        Number of features.
    binned : bool
        Whether the data are histograms.
    settings : dict
        Parameters that all automatic candidates share.

    Returns
    -------
    recipes : dict of str to Recipe
        In the order in which they are fitted.
    """
    if not isinstance(given, str):
        said = {}
        if settings["pos_label"] is not None:
            said["pos_label"] = settings["pos_label"]
        if settings["paired"] != "auto":
            said["paired"] = settings["paired"]
        return {name: Recipe(_told(own, said)) for name, own in given}
    wider = {"prior": "simulations"}
    bins = {
        "binned": Recipe(BinnedTopicTAMM(**settings)),
        "binned, simulations": Recipe(None, ("binned",), wider),
    }
    if binned:
        return bins
    score = {
        "score": Recipe(ScoreTAMM(**settings)),
        "score, simulations": Recipe(None, ("score",), wider),
    }
    if n_features <= _BINNED:
        return bins | score
    ratios = {
        "pool": Recipe(None, ("score", "ratios")),
        "ratios": Recipe(NeuralRatioTAMM(**settings)),
    }
    return ratios | score | bins


def _told(estimator: Any, said: dict[str, Any]) -> Any:
    """The estimator with what was said to the one around it, where it listens."""
    own = estimator.get_params(deep=False)
    return clone(estimator).set_params(**{n: v for n, v in said.items() if n in own})


def fit_candidates(
    plan: Mapping[str, Recipe], events: dict[str, Any]
) -> tuple[dict[str, Candidate], dict[str, str]]:
    """Fit what the data allow.

    Parameters
    ----------
    plan : mapping of str to Recipe
        Candidates.
    events : dict
        Arguments of ``fit``.

    Returns
    -------
    candidates : dict of str to Candidate
        Those that could be fitted, the first of them first.
    refused : dict of str to str
        Why the others could not.

    Raises
    ------
    InvalidInputError, IncompatibleChoiceError
        If none could; the sentence of the first.
    """
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
    """A variant of a fitted candidate, or the pool of several."""
    parts = {name: known[name].fitted for name in recipe.bases}
    if recipe.changes:
        return Candidate(parts[recipe.bases[0]], recipe.changes)
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
    parts = getattr(estimator, "components_", None)
    return hasattr(parts, "templates_") or hasattr(parts, "take")
