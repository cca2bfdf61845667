"""Whether datasets leave the support of the simulations."""

import numpy as np
from numpy.typing import NDArray

from sktamm.events import TargetEvents

__all__ = ["exceeds", "leaves_support", "share_beyond"]

# Rules of thumb: a per mille beyond what was simulated changes kappa by less than its
# error, and five sigmas are no accident of thousands of datasets.
_ALLOWED = 1e-3
_SIGMAS = 5.0


def leaves_support(
    target: TargetEvents, beyond: NDArray[np.bool_], simulated: float = 0.0
) -> NDArray[np.bool_]:
    """Whether more events lie beyond the support than fluctuations would put there.

    Where the support ends is known from finite simulations, so one event in a thousand
    of the target is allowed beyond it, on top of the share that simulations have there.

    ``beyond`` (n_events,) -> (n_datasets,): whether the number exceeds the expected one
    by five sigmas.
    """
    return exceeds(*_count(target, beyond), simulated)


def exceeds(
    number: NDArray[np.float64], total: NDArray[np.float64], simulated: float
) -> NDArray[np.bool_]:
    """Whether so many events beyond of so many, (n_datasets,), are no fluctuation."""
    expected = (simulated + _ALLOWED) * total
    return number > expected + _SIGMAS * np.sqrt(expected + 1.0)


def share_beyond(
    target: TargetEvents, beyond: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Share of the events of every dataset beyond the support.

    ``beyond`` (n_events,) -> (n_datasets,): from 0 to 1.
    """
    number, total = _count(target, beyond)
    return number / total


def _count(
    target: TargetEvents, beyond: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Events beyond and all events of every dataset."""
    if target.counts is None:
        return np.array([float(beyond.sum())]), np.array([float(beyond.size)])
    number = target.counts.T @ beyond.astype(float)
    return number, np.asarray(target.counts.sum(axis=0), float).ravel()
