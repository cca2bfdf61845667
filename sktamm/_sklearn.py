"""The only door to scikit-learn's private helpers, so that one file follows changes."""

import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any

import pandas as pd
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils._param_validation import (
    InvalidParameterError as SklearnInvalidParameterError,
)
from sklearn.utils.validation import _check_feature_names, _get_feature_names

from sktamm.exceptions import InvalidInputError, InvalidParameterError

try:
    from sklearn.callback import CallbackSupportMixin as CallbackSupport
    from sklearn.callback import with_callbacks
except ImportError:  # before scikit-learn 1.9

    class CallbackSupport:  # type: ignore[no-redef]
        """Estimators without callbacks."""

    def with_callbacks(method: Any) -> Any:
        """Leave the method as it is."""
        return method


__all__ = [
    "CallbackSupport",
    "FitSteps",
    "HasMethods",
    "Interval",
    "as_frame",
    "at_least",
    "between",
    "check_feature_names",
    "check_names",
    "check_parameters",
    "get_feature_names",
    "not_negative",
    "one_of",
    "positive",
    "refuse_cross_val_predict",
    "skipping_array_libraries",
    "with_callbacks",
    "within",
]

# Doors of scikit-learn to other array libraries; importing one imports its library.
_ARRAY_LIBRARIES = {
    f"sklearn.externals.array_api_compat.{library}": library
    for library in ("cupy", "dask", "torch")
}

# What pandas calls a column without a name, such as the index that ``to_csv`` writes.
_NAMELESS = re.compile(r"\s*|Unnamed: \d+(_level_\d+)?")

# Words of scikit-learn's refusal, which leave the value to its ``str``.
_REFUSAL = re.compile(r"The '(\w+)' parameter of \w+ must be (.*?)\. Got .*", re.DOTALL)


class FitSteps:
    """Named steps of a ``fit``, told to the callbacks of its estimator if it has any.

    The method that makes them is decorated by ``with_callbacks``; a callback's answer
    that the fit should stop is not followed, since half of a choice is none.
    """

    def __init__(self, estimator: Any, n_steps: int, events: dict[str, Any]):
        begin = getattr(estimator, "_init_callback_context", None)
        self._told = {"estimator": estimator, "X": events["X"], "y": events["y"]}
        self._told["metadata"] = {
            name: value for name, value in events.items() if name not in ("X", "y")
        }
        self._whole = None if begin is None else begin(max_subtasks=n_steps)
        if self._whole is not None:
            self._whole.call_on_fit_task_begin(**self._told)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """One step, from its begin to its end."""
        if self._whole is None:
            yield
            return
        own = self._whole.subcontext(task_name=name)
        own.call_on_fit_task_begin(**self._told)
        yield
        own.call_on_fit_task_end(**self._told, reconstruction_attributes={})

    def end(self) -> None:
        """Tell that all is done."""
        if self._whole is not None:
            self._whole.call_on_fit_task_end(**self._told, reconstruction_attributes={})


def as_frame(X: Any) -> Any:
    """Tables of Arrow as data frames of pandas; anything else as it is."""
    of_arrow = hasattr(X, "to_pandas") and hasattr(X, "column_names")
    return X.to_pandas() if of_arrow else X


def get_feature_names(X: Any) -> tuple[str, ...] | None:
    """Return the column names of a data frame, None for anything without names.

    ``X`` (n_events, n_features). Returns names of the columns when all of them are
    strings.
    """
    _check_columns(getattr(X, "columns", ()))
    names = _get_feature_names(X)
    return None if names is None else tuple(names)


def _check_columns(columns: Any) -> None:
    if callable(columns) or not isinstance(columns, Iterable):
        return
    seen: set[Any] = set()
    for j, name in enumerate(columns):
        text = "" if name is None or name != name else name
        if isinstance(text, str) and _NAMELESS.fullmatch(text):
            raise InvalidInputError(
                f"X must have a name for every column, but column {j} is {name!r}, as "
                "an index written by to_csv() becomes; read it with index_col=0, or "
                "leave it out."
            )
        if name in seen:
            raise InvalidInputError(
                f"X must have different names of columns, but {name!r} occurs twice."
            )
        seen.add(name)


def check_feature_names(X: Any, fitted: tuple[str, ...] | None, owner: str) -> None:
    """Refuse other column names than at fit; warn when only one side has names.

    ``X`` (n_events, n_features).
    """
    _check_columns(getattr(X, "columns", ()))
    estimator = type(owner, (), {})()
    if fitted is not None:
        estimator.feature_names_in_ = list(fitted)
    try:
        _check_feature_names(estimator, X, reset=False)
    except ValueError as error:
        raise InvalidInputError(str(error)) from error


def check_names(
    names: tuple[str, ...] | None, fitted: tuple[str, ...] | None, owner: str
) -> None:
    """Refuse names of axes as those of columns are refused."""
    named = None if names is None else pd.DataFrame(columns=list(names))
    check_feature_names(named, fitted, owner)


def at_least(lowest: int) -> Interval:
    """Constraint: a whole number that is not smaller."""
    return Interval(Integral, lowest, None, closed="left")


def between(low: float, high: float) -> Interval:
    """Constraint: a number, the ends not among the allowed ones."""
    return Interval(Real, low, high, closed="neither")


def positive() -> Interval:
    """Constraint: a number above zero, infinity among the allowed ones."""
    return Interval(Real, 0, float("inf"), closed="right")


def within(low: float, high: float) -> Interval:
    """Constraint: a number, the ends among the allowed ones."""
    return Interval(Real, low, high, closed="both")


class _Names(StrOptions):
    """Names out of which one is chosen, always shown in the same order."""

    def __str__(self) -> str:
        return f"a str among {sorted(self.options)}"


def not_negative(below: float = float("inf")) -> Interval:
    """Constraint: a number that is not negative, and below another one."""
    return Interval(Real, 0.0, below, closed="left")


def one_of(*names: str) -> StrOptions:
    """Constraint: a name out of some."""
    return _Names(set(names))


def check_parameters(estimator: Any) -> None:
    """Refuse parameters outside of the estimator's ``_parameter_constraints``."""
    parameters = estimator.get_params(deep=False)
    constraints = estimator._parameter_constraints
    try:
        validate_parameter_constraints(
            constraints, parameters, caller_name=type(estimator).__name__
        )
    except SklearnInvalidParameterError as error:
        found = _REFUSAL.fullmatch(str(error))
        if found is None:  # another version's words
            raise InvalidParameterError(str(error)) from None
        name, rule = found.groups()
        value = parameters[name]
        raise InvalidParameterError(f"{name} must be {rule}, got {value!r}.") from None


def refuse_cross_val_predict() -> None:
    """Refuse to be asked for one prediction per event by ``cross_val_predict``.

    It joins the answers of the folds and fails in the middle of its own code; nothing
    but the caller tells that it is the one who asks.
    """
    frame = sys._getframe(1).f_back
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if not module.startswith(("sklearn.", "sktamm.")):
            return
        if frame.f_code.co_name == "_fit_and_predict":
            raise InvalidInputError(
                "cross_val_predict must have one prediction per event, but predict "
                "gives one value per dataset; use cross_validate with "
                "LeaveSimulationsOut and CoverageScorer, or method='predict_proba'."
            )
        frame = frame.f_back


@contextmanager
def skipping_array_libraries() -> Iterator[None]:
    """Keep `sklearn.utils.all_estimators` from importing torch, dask and cupy.

    It imports all packages of scikit-learn, and with them, for nothing, libraries that
    nobody asked for: two seconds and more. Libraries that are in use are left alone.
    """
    skipped = {
        name: None
        for name, library in _ARRAY_LIBRARIES.items()
        if name not in sys.modules and library not in sys.modules
    }
    sys.modules.update(skipped)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in skipped:
            sys.modules.pop(name, None)
