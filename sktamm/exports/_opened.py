"""What lies inside an estimator: the mixtures that answer, behind transformers.

Wrappers and pools are opened down to the estimators that have a table, a mixture and
parameters.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sktamm.base import ComponentTable
from sktamm.events import TargetEvents, read_target
from sktamm.exceptions import InvalidInputError, SktammWarning
from sktamm.inference import Answer

__all__ = ["Adapted", "adapt", "events_for", "members"]

_LEVEL = np.array([0.683])  # of an interval that nothing reads


@dataclass(frozen=True, eq=False)
class Adapted:
    """One mixture, adapted to one dataset."""

    estimator: Any  # fitted, with components_, form_ and prior_
    table: ComponentTable  # of the dataset
    model: Any  # MixtureModel
    answer: Answer

    @property
    def n_events(self) -> float:
        """Sum of the weights of the dataset."""
        return float(self.table.totals()[0][0])


def members(final: Any) -> Iterator[Any]:
    """The mixtures inside: several of a pool, that of a wrapper, or itself."""
    check_is_fitted(final)
    if hasattr(final, "estimators_") and isinstance(final.estimators_, dict):
        for estimator in final.estimators_.values():
            yield from members(estimator)
    elif hasattr(final, "estimator_"):
        yield from members(final.estimator_)
    elif hasattr(final, "tabulate") and hasattr(final, "solve"):
        yield final
    else:
        raise InvalidInputError(
            "estimator must be, or end in, an estimator that adapts densities to the "
            f"data, got {type(final).__name__}."
        )


def adapt(member: Any, X: Any, sample_weight: Any = None) -> Adapted:
    """Adapt a mixture to one dataset."""
    with warnings.catch_warnings():  # `infer` says them
        warnings.simplefilter("ignore", SktammWarning)
        table, _ = member.tabulate(X, None, sample_weight)
        if table.n_datasets != 1:
            raise InvalidInputError(
                "X_target must be one dataset: events, or one histogram, got "
                f"{table.n_datasets} histograms."
            )
        model, answer = member.solve(table, _LEVEL)
    return Adapted(member, table, model, answer)


def events_for(final: Any, X: Any, sample_weight: Any) -> TargetEvents:
    """Events with the features of the fit, X (n_events, n_features)."""
    names = getattr(final, "feature_names_in_", None)
    return read_target(
        X,
        sample_weight=sample_weight,
        n_features=final.n_features_in_,
        feature_names=None if names is None else tuple(names),
        estimator_name=type(final).__name__,
        may_be_empty=True,
    )
