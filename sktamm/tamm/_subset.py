"""Fitted estimators from what others have learned; nothing is trained."""

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

__all__ = ["with_components_of", "without_ids", "without_templates"]


def with_components_of(unfitted: Any, fitted: Any) -> Any:
    """An estimator fitted with the components that another one has learned."""
    other = clone(unfitted)
    learned = {n: v for n, v in vars(fitted).items() if n.endswith("_")}
    vars(other).update(learned)
    choices = other._make_choices(other.components_)
    other.form_, other.prior_, other.inference_ = choices
    return other


def without_ids(final: Any, ids: Any) -> Any:
    """The fitted estimator without some simulations; nothing is trained."""
    kept = final.simulations_[~np.isin(final.simulations_, ids)]
    if not hasattr(final, "components_"):  # a wrapper or a pool
        return final.take(kept)
    return _with(final, final.components_.without(ids), kept)


def without_templates(final: Any, sources: NDArray[np.intp]) -> Any:
    """The fitted binned estimator without some templates."""
    templates = final.components_.templates_
    rest = templates.take(np.setdiff1d(np.arange(templates.source_class.size), sources))
    components = final.components_.of_templates(rest)
    return _with(final, components, np.unique(rest.source_id))


def _with(final: Any, components: Any, simulations: NDArray[Any]) -> Any:
    """The estimator with other fitted components."""
    part = copy.copy(final)
    part.components_, part.simulations_ = components, simulations
    part._exchangeable_ = None
    return part
