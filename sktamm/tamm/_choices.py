"""Names of the four choices of the method, and checks of small arguments."""

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state

from sktamm._numerics import FloatArray
from sktamm.base import LITTLE_OVERLAP, ComponentModel
from sktamm.components import (
    RatioComponents,
    RatioTopicComponents,
    ScoreComponents,
    TemplateComponents,
    TopicComponents,
)
from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError
from sktamm.inference import BayesianInference, FrequentistInference
from sktamm.mixture import (
    DirichletPrior,
    ExponentialForm,
    LinearForm,
    RidgePrior,
    ShrinkagePrior,
    SimulationsPrior,
)

__all__ = [
    "BasisChoice",
    "FormChoice",
    "InferenceChoice",
    "PriorChoice",
    "check_level",
    "check_levels",
    "choose",
    "choose_form",
    "describe",
    "name_of",
    "seed_sequence",
]

# Names, or objects that have what is asked of them.
FormChoice = Literal["exponential", "linear", "auto"] | BaseEstimator
PriorChoice = (
    Literal["auto", "dirichlet", "ridge", "shrinkage", "simulations"] | BaseEstimator
)
InferenceChoice = Literal["bayesian", "frequentist"] | BaseEstimator
BasisChoice = (
    Literal["auto", "bins", "polynomial", "principal", "spline"] | BaseEstimator
)

_CHOICES: Mapping[str, Mapping[str, Any]] = {
    "components": {
        "raw": TemplateComponents,
        "topics": TopicComponents,
        "ratios": RatioComponents,
        "ratio_topics": RatioTopicComponents,
        "score": ScoreComponents,
    },
    "form": {"linear": LinearForm, "exponential": ExponentialForm},
    "prior": {
        "dirichlet": DirichletPrior,
        "ridge": RidgePrior,
        "shrinkage": ShrinkagePrior,
        "simulations": SimulationsPrior,
    },
    "inference": {
        "bayesian": BayesianInference,
        "frequentist": FrequentistInference,
    },
}


def choose(name: str, value: Any) -> Any:
    """Object for the name of a choice, or a copy of the object given."""
    known = _CHOICES[name]
    if name == "components" and not isinstance(value, str | ComponentModel):
        raise IncompatibleChoiceError(
            f"components must be one of {_known(name)} or have the methods of "
            f"sktamm.base.ComponentModel, got {value!r}."
        )
    if hasattr(value, "get_params") and not isinstance(value, type):
        return clone(value)
    if not isinstance(value, str) or value not in known:
        raise IncompatibleChoiceError(
            f"{name} must be one of {_known(name)} or an object, got {value!r}."
        )
    return known[value]()


def _known(name: str) -> list[str]:
    """Names that a user may give."""
    automatic = ["auto"] if name in ("form", "prior") else []
    return sorted([*_CHOICES[name], *automatic])


def choose_form(form: Any, prior: Any, components: Any = None) -> tuple[Any, Any]:
    """Form and prior for names or objects, checked against each other."""
    given = not (isinstance(prior, str) and prior == "auto")
    chosen = choose("prior", prior) if given else None
    if isinstance(form, str) and form == "auto":
        linear = hasattr(chosen, "weight_penalty") if given else _is_apart(components)
        form = "linear" if linear else "exponential"
    form = choose("form", form)
    if chosen is None:
        chosen = choose("prior", form.default_prior)
    form.check(chosen)
    return form, chosen


def _is_apart(components: Any) -> bool:
    """Whether the simulations of a class hardly overlap where they blend."""
    if components is None:
        return False
    suited = ExponentialForm().suited(components)
    return bool(np.min(suited.blended_overlap()) < LITTLE_OVERLAP)


def name_of(name: str, choice: Any) -> str:
    """Name a user types for a choice, or the class of an object of his own."""
    for word, known in _CHOICES[name].items():
        if type(choice) is known:
            return word
    return type(choice).__name__


def describe(estimator: Any) -> dict[str, str]:
    """The choices of a fitted estimator, in words, for its results."""
    chosen = {
        "components": name_of("components", estimator.components_),
        "form": name_of("form", estimator.form_),
        "prior": name_of("prior", estimator.prior_),
        "inference": name_of("inference", estimator.inference_),
        "interval": str(estimator.inference_.interval),
        "simulations": str(estimator.simulations_.size),
        "paired": str(estimator.paired_),
    }
    tested = getattr(estimator, "_exchangeable_", None)
    parts = (estimator.inference_, estimator.prior_, estimator.components_, tested)
    for part in parts:
        chosen |= getattr(part, "words", dict)()
    return chosen


def check_level(level: Any) -> None:
    """Refuse a level that is not a number between 0 and 1."""
    if not (isinstance(level, Real) and 0.0 < float(level) < 1.0):
        raise InvalidInputError(f"level must be between 0 and 1, got {level!r}.")


def check_levels(levels: Any) -> FloatArray:
    """Levels as an array, all between 0 and 1."""
    try:
        values = np.atleast_1d(np.asarray(levels, dtype=float))
    except (TypeError, ValueError):
        values = np.zeros(0)
    if values.ndim != 1 or values.size == 0 or not ((values > 0) & (values < 1)).all():
        raise InvalidInputError(
            f"levels must be one or more numbers between 0 and 1, got {levels!r}."
        )
    return values


def seed_sequence(random_state: Any) -> np.random.SeedSequence:
    """Seed sequence of a scikit-learn random state."""
    if random_state is None:
        return np.random.SeedSequence()
    if isinstance(random_state, Integral):
        if int(random_state) < 0:
            raise InvalidInputError(
                f"random_state must not be negative, got {random_state!r}."
            )
        return np.random.SeedSequence(int(random_state))
    state = check_random_state(random_state)
    return np.random.SeedSequence(state.randint(0, 2**31 - 1, size=4).tolist())
