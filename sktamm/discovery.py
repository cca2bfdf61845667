"""All estimators of the package, for reports, searches and checks over many."""

import importlib
import inspect
from collections.abc import Iterator
from typing import Any, Literal

from sklearn.base import BaseEstimator, is_classifier, is_regressor

from sktamm.exceptions import InvalidInputError

__all__ = ["all_estimators"]

# Rooms with estimators that a user makes, in the order of the data flow.
_ROOMS = (
    *("learning", "functions", "templates", "ratios", "components", "mixture"),
    *("inference", "tamm", "parametric", "baselines", "model_selection", "auto"),
)
_KINDS = ("fraction", "classifier", "regressor", "transformer")

Kind = Literal["fraction", "classifier", "regressor", "transformer"]


def all_estimators(type_filter: Kind | None = None) -> list[tuple[str, type[Any]]]:
    """Names and classes of all estimators, as scikit-learn's function of this name.

    Parameters
    ----------
    type_filter : {"fraction", "classifier", "regressor", "transformer"}, default=None
        "fraction" are those that measure fractions, with ``infer``; the others as
        scikit-learn tells them. None is all, also priors, forms and components, which
        are parameters of others.

    Returns
    -------
    estimators : list of (str, type)
        Sorted by name; some need arguments.

    Raises
    ------
    InvalidInputError
        If ``type_filter`` is something else.

    Examples
    --------
    >>> from sktamm.discovery import all_estimators
    >>> [name for name, _ in all_estimators("fraction")][:3]
    ['AutoTAMM', 'BinnedTopicTAMM', 'CalibratedTAMM']
    """
    if type_filter is not None and type_filter not in _KINDS:
        raise InvalidInputError(
            f"type_filter must be None or one of {', '.join(_KINDS)}, got "
            f"{type_filter!r}."
        )
    found = {made.__name__: made for made in _classes()}
    return sorted(
        (name, made)
        for name, made in found.items()
        if type_filter is None or _is(made, type_filter)
    )


def _classes() -> Iterator[type[Any]]:
    for room in _ROOMS:
        module = importlib.import_module(f"sktamm.{room}")
        for name in module.__all__:
            public = getattr(module, name)
            own = inspect.isclass(public) and issubclass(public, BaseEstimator)
            if own and not inspect.isabstract(public) and not _is_base(public):
                yield public


def _is_base(public: type[Any]) -> bool:
    """Whether it exists to be inherited from: it has no parameters of its own."""
    return "__init__" not in vars(public) and bool(public.__subclasses__())


def _is(made: type[Any], kind: Kind) -> bool:
    if kind == "fraction":
        return hasattr(made, "infer") and hasattr(made, "fit")
    if kind == "transformer":
        return hasattr(made, "transform")
    # Tags are those of a class, whatever its parameters.
    blank: Any = object.__new__(made)
    asked = is_classifier if kind == "classifier" else is_regressor
    try:
        return bool(asked(blank))
    except AttributeError:  # tags that ask for a parameter
        return False
