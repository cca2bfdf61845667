"""Names of the four choices of the method, and checks of small arguments."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state

from sktamm._numerics import FloatArray
from sktamm.components import TemplateComponents, TopicComponents
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

__all__ = ["check_level", "check_levels", "choose", "seed_sequence"]

_CHOICES: Mapping[str, Mapping[str, Any]] = {
    "components": {"raw": TemplateComponents, "topics": TopicComponents},
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
    """Object for the name of a choice, or a copy of the object given.

    Parameters
    ----------
    name : {"components", "form", "prior", "inference"}
        Which choice.
    value : str or BaseEstimator
        Name or object.

    Returns
    -------
    choice : BaseEstimator
        A new object.
    """
    if not isinstance(value, str):
        return clone(value)
    known = _CHOICES[name]
    if value not in known:
        raise IncompatibleChoiceError(
            f"{name} must be one of {sorted(known)} or an object, got {value!r}."
        )
    return known[value]()


def check_level(level: Any) -> None:
    """Refuse a level that is not a number between 0 and 1."""
    if not (np.isscalar(level) and 0.0 < float(level) < 1.0):  # type: ignore[arg-type]
        raise InvalidInputError(f"level must be between 0 and 1, got {level!r}.")


def check_levels(levels: Any) -> FloatArray:
    """Levels as an array, all between 0 and 1."""
    values = np.atleast_1d(np.asarray(levels, dtype=float))
    if values.ndim != 1 or values.size == 0 or not ((values > 0) & (values < 1)).all():
        raise InvalidInputError(
            f"levels must be one or more numbers between 0 and 1, got {levels!r}."
        )
    return values


def seed_sequence(random_state: Any) -> np.random.SeedSequence:
    """Seed sequence of a scikit-learn random state."""
    if random_state is None:
        return np.random.SeedSequence()
    if isinstance(random_state, (int, np.integer)):
        return np.random.SeedSequence(int(random_state))
    state = check_random_state(random_state)
    return np.random.SeedSequence(state.randint(0, 2**31 - 1, size=4).tolist())
