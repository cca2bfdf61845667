"""Fitted estimators without some of their simulations; nothing is trained."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["without_ids", "without_templates"]


def without_ids(final: Any, ids: Any) -> Any:
    """The fitted estimator without some simulations; nothing is trained."""
    if not hasattr(final, "components_"):
        return final.take(final.simulations_[~np.isin(final.simulations_, ids)])
    if hasattr(final.components_, "templates_"):
        kept = ~np.isin(final.components_.templates_.source_id, ids)
        return without_templates(final, np.flatnonzero(~kept))
    part = copy.copy(final)
    kept = final.simulations_[~np.isin(final.simulations_, ids)]
    part.components_ = final.components_.take(kept)
    part.simulations_ = kept
    part._exchangeable_ = None
    return part


def without_templates(final: Any, sources: NDArray[np.intp]) -> Any:
    """The fitted binned estimator without some templates."""
    templates = final.components_.templates_
    kept = np.setdiff1d(np.arange(templates.source_class.size), sources)
    names = ("sum_of_weights", "sum_of_squares", "dropped", "source_class", "source_id")
    others = {name: getattr(templates, name)[kept] for name in names}
    part = copy.copy(final)
    part.components_ = final.components_.of_templates(replace(templates, **others))
    part.simulations_ = np.unique(others["source_id"])
    part._exchangeable_ = None
    return part
