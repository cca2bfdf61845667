"""Arguments that all studies have: seeds and numbers of events."""

from numbers import Integral

import numpy as np

from sktamm.exceptions import InvalidInputError

__all__ = ["RandomState", "as_generator", "check_count"]

RandomState = int | np.random.Generator | np.random.RandomState | None


def as_generator(random_state: RandomState) -> np.random.Generator:
    """Numpy generator of any of scikit-learn's kinds of seed."""
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31, size=4))
    return np.random.default_rng(random_state)


def check_count(name: str, value: int, minimum: int) -> None:
    """Refuse what is no integer of at least ``minimum``."""
    if not isinstance(value, Integral) or value < minimum:
        raise InvalidInputError(
            f"{name} must be an integer of at least {minimum}; got {value!r}."
        )
