"""Influence of every simulation: how far kappa moves when one is left out.

    shift_k = kappa(without k) - kappa,    shift_k / std

Shifts of several standard errors say that simulations disagree about the target.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray

from sktamm.diagnostics._open import declared_families, is_pool, quiet, unwrap
from sktamm.exceptions import InvalidInputError
from sktamm.tamm import without_ids

__all__ = ["InfluenceResult", "influence"]


@dataclass(frozen=True, eq=False)
class InfluenceResult:
    """Shift of kappa when each simulation is left out.

    Attributes
    ----------
    simulation : ndarray of shape (n_simulations,)
        Ids of the simulations, ascending.
    kappa : ndarray of shape (n_simulations,)
        Estimate without the simulation; NaN where it cannot be left out.
    shift, shift_in_std : ndarray of shape (n_simulations,)
        ``kappa - full_kappa`` and ``shift / full_std``.
    full_kappa, full_std : float
        Estimate and standard error with all simulations.
    not_left_out : mapping of id to str
        Simulations that cannot be left out, and why.
    """

    simulation: NDArray[Any]
    kappa: NDArray[Any]
    shift: NDArray[Any]
    shift_in_std: NDArray[Any]
    full_kappa: float
    full_std: float
    not_left_out: Mapping[Any, str] = field(default_factory=dict)


def influence(
    estimator: Any,
    X: Any,
    *,
    sample_weight: ArrayLike | None = None,
    n_jobs: int | None = None,
) -> InfluenceResult:
    """Shift of kappa when each simulation is left out.

    Nothing is trained: the classifier over all simulations knows the ratios of any of
    them, and components of templates are found anew without those of the simulation,
    in the same bins.

    Parameters
    ----------
    estimator : estimator
        Fitted estimator, or Pipeline or search ending in one.
    X : array-like of shape (n_events, n_features), or one histogram in a list
        Target, one dataset.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights.
    n_jobs : int or None, default=None
        Fits at the same time.

    Returns
    -------
    result : InfluenceResult
        Estimates and shifts, simulation by simulation.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.diagnostics import influence
    >>> study = make_gaussian_study(n_simulations=4, n_events=2000, random_state=1)
    >>> tamm = BinnedTopicTAMM().fit(study.X, study.y, simulation=study.simulation)
    >>> influence(tamm, study.X_target).shift_in_std.shape
    (4,)
    """
    final, X = unwrap(estimator, X, pool=True)
    with quiet():
        full, std = final.predict(X, sample_weight=sample_weight, return_std=True)
        if full.size != 1:
            raise InvalidInputError(
                f"X must hold one dataset, got {full.size} histograms."
            )
        ids = final.simulations_
        bound = {k: why for k in ids.tolist() if (why := _why_bound(final, k))}
        kappa = Parallel(n_jobs=n_jobs, prefer="threads")(
            delayed(_without)(final, k, X, sample_weight, k in bound)
            for k in ids.tolist()
        )
    shift = np.array(kappa) - full[0]
    return InfluenceResult(
        simulation=ids,
        kappa=np.array(kappa),
        shift=shift,
        shift_in_std=shift / std[0],
        full_kappa=float(full[0]),
        full_std=float(std[0]),
        not_left_out=bound,
    )


def _without(
    final: Any, simulation: Any, X: Any, sample_weight: Any, bound: bool
) -> float:
    """Estimate without one simulation; NaN if it is bound to stay."""
    if bound:
        return float("nan")
    with quiet():
        part = without_ids(final, [simulation])
        return float(part.predict(X, sample_weight=sample_weight)[0])


def _why_bound(final: Any, simulation: Any) -> str:
    """Why a simulation cannot be left out; empty if it can."""
    for own in _members(final):
        families = declared_families(own)
        if families is not None and simulation in families.nominal:
            return "the nominal, on which the prior is centred"
        for label, ids in zip(own.classes_, _ids_of_classes(own), strict=True):
            if set(ids.tolist()) <= {simulation}:
                return f"the only simulation of class {label}"
    return ""


def _members(final: Any) -> Iterator[Any]:
    """Estimators of a pool, or the estimator itself."""
    if not is_pool(final):
        yield unwrap(final)[0]
        return
    for own in final.estimators_.values():
        yield from _members(own)


def _ids_of_classes(final: Any) -> list[NDArray[Any]]:
    """Simulation ids of every class."""
    own = final.components_.shapes()
    return [own.source_id[own.source_class == c] for c in range(final.classes_.size)]
