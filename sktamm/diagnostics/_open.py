"""Reach through Pipelines and searches to the estimator, its table and its fit."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from sktamm.base import ComponentTable
from sktamm.exceptions import InvalidInputError, SktammWarning
from sktamm.inference import Answer, Fit
from sktamm.mixture import MixtureModel
from sktamm.tamm import TAMMRegressor, final_step, opened

__all__ = [
    "Opened",
    "check_adapts",
    "check_positive",
    "declared_families",
    "fits",
    "generator",
    "is_pool",
    "member_of",
    "open_fit",
    "quiet",
    "unwrap",
]


@dataclass(frozen=True, eq=False)
class Opened:
    """A measurement with its inner parts."""

    final: Any  # the `TAMMRegressor` that answers
    X: Any  # (n_events, n_features), as that estimator takes them
    table: ComponentTable
    model: MixtureModel
    answer: Answer
    member: str | None  # name of the estimator in a pool; None without


def unwrap(estimator: Any, *arrays: Any, pool: bool = False) -> tuple[Any, ...]:
    """The estimator that answers, and arrays of events as it takes them."""
    final, transform = opened(estimator)
    arrays = tuple(None if X is None else transform(X) for X in arrays)
    if isinstance(final, FrozenEstimator):
        return unwrap(final.estimator, *arrays, pool=pool)
    if pool and is_pool(final):
        return (final, *arrays)
    if hasattr(final, "estimator_"):
        return unwrap(final.estimator_, *arrays, pool=pool)
    if not isinstance(final, TAMMRegressor):
        raise InvalidInputError(
            "estimator must be, or end in, a TAMMRegressor or one of its presets, got "
            f"{type(final).__name__}."
        )
    check_is_fitted(final)
    return (final, *arrays)


def member_of(estimator: Any) -> str | None:
    """Name of the estimator of a pool that ``unwrap`` finds; None without a pool."""
    final = final_step(estimator)
    if isinstance(final, FrozenEstimator):
        return member_of(final.estimator)
    if is_pool(final):
        name, first = next(iter(final.estimators_.items()))
        inner = member_of(first)
        return str(name) if inner is None else f"{name}, {inner}"
    return member_of(final.estimator_) if hasattr(final, "estimator_") else None


def is_pool(estimator: Any) -> bool:
    """Whether it averages the answers of several fitted estimators."""
    return isinstance(getattr(estimator, "estimators_", None), dict)


def open_fit(
    estimator: Any, X: Any, *, dataset: Any = None, sample_weight: Any = None
) -> Opened:
    """Fit the target and keep the parts; what the fit warns about stays silent."""
    final, X = unwrap(estimator, X)
    check_adapts(final)
    with quiet():
        table = final.tabulate(X, dataset, sample_weight)[0]
        model, answer = final.solve(table, np.array([final.level]))
    return Opened(final, X, table, model, answer, member_of(estimator))


def fits(
    final: Any, table: ComponentTable, model: MixtureModel
) -> Iterator[tuple[ComponentTable, MixtureModel, Fit]]:
    """Joint maxima of a table, kappa within [0, 1] if the estimator confines it."""
    inference = final.inference_
    bounded = bool(final.bounded) or inference.has_posterior
    if table.binned:
        for fit in inference.maxima(table, model, bounded=bounded):
            yield table, model, fit
        return
    for i in range(table.n_datasets):
        part, rows = table.select(slice(i, i + 1))
        own: Any = model
        own = own.take_rows(rows)
        yield part, own, next(inference.maxima(part, own, bounded=bounded))


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the warnings of sktamm: a diagnostic tells by its numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SktammWarning)
        yield


def declared_families(final: Any) -> Any:
    """Families that its prior is told, a `Grouping`; None without."""
    of_prior = getattr(final.prior_, "grouping", None)
    return None if of_prior is None else of_prior()


def check_adapts(final: Any) -> None:
    """Refuse estimators without a mixture that adapts, the baselines."""
    if not hasattr(final.inference_, "maxima"):
        raise InvalidInputError(
            "estimator must be, or end in, one whose mixture adapts to the data, got "
            f"{type(final).__name__}."
        )


def check_positive(**values: Any) -> None:
    """Refuse numbers that are not whole and positive."""
    for name, value in values.items():
        if not (isinstance(value, Integral) and int(value) >= 1):
            raise InvalidInputError(
                f"{name} must be a positive whole number, got {value!r}."
            )


def generator(random_state: Any) -> np.random.Generator:
    """A generator of its own from a seed."""
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(0, 2**31 - 1))
    return np.random.default_rng(random_state)
