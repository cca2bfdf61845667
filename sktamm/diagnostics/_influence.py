r"""Influence of every simulation: how far kappa moves when one is left out.

    shift_k = kappa(without k) - kappa,    shift_k / std

A measurement that rests on one simulation shows one shift far beyond the others; shifts
of several standard errors say that the simulations disagree about the target.
"""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from sktamm.diagnostics._open import quiet, unwrap
from sktamm.exceptions import InvalidInputError

__all__ = ["InfluenceResult", "influence"]


@dataclass(frozen=True, eq=False)
class InfluenceResult:
    """Shift of kappa when each simulation is left out.

    Attributes
    ----------
    simulation : ndarray of shape (n_simulations,)
        Ids of the simulations, ascending.
    kappa : ndarray of shape (n_simulations,)
        Estimate without the simulation; NaN where a class would have none left.
    shift : ndarray of shape (n_simulations,)
        ``kappa - full_kappa``.
    shift_in_std : ndarray of shape (n_simulations,)
        ``shift / full_std``.
    full_kappa, full_std : float
        Estimate and standard error with all simulations.
    """

    simulation: NDArray
    kappa: NDArray
    shift: NDArray
    shift_in_std: NDArray
    full_kappa: float
    full_std: float


def influence(
    estimator: Any,
    X: Any,
    y: ArrayLike | None,
    simulation: ArrayLike | None,
    X_target: Any,
    *,
    sample_weight: ArrayLike | None = None,
    target_weight: ArrayLike | None = None,
    n_jobs: int | None = None,
) -> InfluenceResult:
    """Shift of kappa when each simulation is left out.

    Nothing is trained where the estimator can take some of its simulations, as
    `NeuralRatioTAMM` can; any other one is fitted anew, the transformers of a Pipeline
    as they are.

    Parameters
    ----------
    estimator : estimator
        Fitted estimator, or Pipeline or search ending in one.
    X : array-like of shape (n_events, n_features), histograms or None
        Simulated events it was fitted to; None if nothing has to be trained.
    y : array-like of shape (n_events,) or None
        Their class labels.
    simulation : array-like of shape (n_events,) or None
        Their simulation ids.
    X_target : array-like of shape (n_events, n_features), or one histogram in a list
        Target, one dataset.
    sample_weight : array-like of shape (n_events,), default=None
        Weights of the simulated events.
    target_weight : array-like of shape (n_events,), default=None
        Weights of the target's events.
    n_jobs : int or None, default=None
        Fits at the same time.

    Returns
    -------
    result : InfluenceResult
        Estimates and shifts, simulation by simulation.

    Raises
    ------
    InvalidInputError
        If the estimator has to be trained and X, y or simulation is None.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.diagnostics import influence
    >>> study = make_gaussian_study(n_simulations=4, n_events=2000, random_state=1)
    >>> sims = study.X, study.y, study.simulation
    >>> tamm = BinnedTopicTAMM(bins=6).fit(*sims[:2], simulation=sims[2])
    >>> influence(tamm, *sims, study.X_target).shift_in_std.shape
    (4,)
    """
    final, X, X_target = unwrap(estimator, X, X_target)
    leave = _taker(final)
    if leave is None:
        leave = _fitter(final, X, y, simulation, sample_weight)
    with quiet():
        full, std = final.predict(
            X_target, sample_weight=target_weight, return_std=True
        )
        ids = final.simulations_
        kappa = Parallel(n_jobs=n_jobs, prefer="threads")(
            delayed(_without)(leave, final, k, X_target, target_weight) for k in ids
        )
    shift = np.array(kappa) - full[0]
    return InfluenceResult(
        simulation=ids,
        kappa=np.array(kappa),
        shift=shift,
        shift_in_std=shift / std[0],
        full_kappa=float(full[0]),
        full_std=float(std[0]),
    )


def _without(
    leave: Any, final: Any, simulation: Any, X_target: Any, target_weight: Any
) -> float:
    """Estimate without one simulation."""
    sources = [set(ids) for ids in _ids_of_classes(final)]
    if any(ids <= {simulation} for ids in sources):
        return float("nan")
    with quiet():
        part = leave(simulation)
        return float(part.predict(X_target, sample_weight=target_weight)[0])


def _ids_of_classes(final: Any) -> list[NDArray]:
    """Simulation ids of every class."""
    components = final.components_
    if hasattr(components, "templates_"):
        classes = components.templates_.source_class
        ids = components.templates_.source_id
    else:
        classes = components.ratio_.source_class_
        ids = components.ratio_.source_id_
    return [ids[classes == c] for c in range(final.classes_.size)]


def _taker(final: Any) -> Any:
    """What leaves a simulation out without training, if anything does."""
    if not (hasattr(final, "take") and hasattr(final.components_, "take")):
        return None
    ids = final.simulations_
    return lambda simulation: final.take(ids[ids != simulation])


def _fitter(final: Any, X: Any, y: Any, simulation: Any, sample_weight: Any) -> Any:
    """What leaves a simulation out by fitting the rest."""
    if X is None or y is None or simulation is None:
        raise InvalidInputError(
            "X, y and simulation must be the simulated events for an estimator that "
            f"has to be fitted anew, got None for one of them with "
            f"{type(final).__name__}."
        )
    labels, ids = np.asarray(y), np.asarray(simulation)
    weight = None if sample_weight is None else np.asarray(sample_weight)

    def leave(left_out: Any) -> Any:
        keep = np.flatnonzero(ids != left_out)
        events = _rows(X, keep)
        part = clone(final)
        own = None if weight is None else weight[keep]
        return part.fit(events, labels[keep], simulation=ids[keep], sample_weight=own)

    return leave


def _rows(X: Any, keep: NDArray) -> Any:
    """Some of the events, of an array, a data frame or a list of histograms."""
    if hasattr(X, "iloc"):
        return X.iloc[keep]
    if isinstance(X, list | tuple):
        return [copy.copy(X[i]) for i in keep]
    return np.asarray(X)[keep]
