"""Asking any estimator of fractions for estimates and intervals of many datasets.

An estimator, or a Pipeline or search ending in one, with ``infer`` is asked through it,
which also tells the flags; any other one through ``predict(X, dataset=,
return_std=True, return_interval=levels)``, the contract of `sktamm`.
"""

import inspect
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sktamm._numerics import FloatArray
from sktamm.exceptions import InvalidInputError, SktammWarning
from sktamm.tamm._opened import final_step
from sktamm.tamm._presets import infer

__all__ = ["Answers", "ask", "check_askable", "classes_of"]

_ASKED = ("dataset", "return_std", "return_interval")


@dataclass(frozen=True, eq=False)
class Answers:
    """Estimates of many datasets."""

    # (n_datasets,), estimates and standard errors; NaN where the fit failed
    kappa: FloatArray
    # (n_datasets,), estimates and standard errors; NaN where the fit failed
    std: FloatArray
    interval: FloatArray  # (n_datasets, 2, n_levels), lower and upper ends
    flags: tuple[str, ...]  # Names of the problems found, separated by blanks


def classes_of(estimator: Any, y: NDArray[Any]) -> tuple[NDArray[Any], Any]:
    """Classes of an estimator, or of labels, and the one whose fraction is measured."""
    final = final_step(estimator)
    classes = np.asarray(getattr(final, "classes_", np.unique(y)))
    return classes, getattr(final, "pos_label_", classes[-1])


def check_askable(estimator: Any) -> None:
    """Refuse an estimator that cannot answer for many datasets."""
    final = final_step(estimator)
    if hasattr(final, "infer"):
        return
    taken: Any = {}
    if hasattr(final, "predict"):
        taken = inspect.signature(final.predict).parameters
    anything = any(p.kind is p.VAR_KEYWORD for p in taken.values())
    if not anything and not set(_ASKED) <= set(taken):
        raise InvalidInputError(
            "estimator must have 'infer', or a 'predict' that takes "
            f"{', '.join(_ASKED)}; {type(final).__name__} has neither."
        )


def ask(
    estimator: Any,
    X: Any,
    dataset: Any,
    levels: Sequence[float],
    *,
    sample_weight: Any = None,
) -> Answers:
    """Answers of a fitted estimator; what it warns about is told by its flags.

    ``X`` (n_events, n_features), ``dataset`` (n_events, n_datasets), ``sample_weight``
    (n_events,). Returns estimates, intervals and flags.
    """
    check_askable(estimator)
    levels = tuple(float(level) for level in levels)
    keywords = {"dataset": dataset, "sample_weight": sample_weight}
    keywords = {name: value for name, value in keywords.items() if value is not None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SktammWarning)
        if hasattr(final_step(estimator), "infer"):
            result = infer(estimator, X, levels=levels, **keywords)
            flags = tuple(" ".join(names) for names in result.flags)
            return Answers(result.kappa, result.std, result.interval, flags)
        return _predict(estimator, X, levels, keywords)


def _predict(
    estimator: Any, X: Any, levels: tuple[float, ...], keywords: dict[str, Any]
) -> Answers:
    kappa, std, interval = estimator.predict(
        X, return_std=True, return_interval=levels, **keywords
    )
    kappa = np.atleast_1d(np.asarray(kappa, dtype=float))
    shape = (kappa.size, 2, len(levels))
    ends: NDArray[Any] = np.asarray(interval, dtype=float).reshape(shape)
    std = np.broadcast_to(np.asarray(std, dtype=float), kappa.shape)
    return Answers(kappa, std, ends, ("",) * kappa.size)
