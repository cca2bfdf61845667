"""Whether datasets leave the support of the simulations."""

import numpy as np
from numpy.typing import NDArray

from sktamm.events import TargetEvents

__all__ = ["leaves_support"]

_ALLOWED = 1e-3
_SIGMAS = 5.0


def leaves_support(
    target: TargetEvents, beyond: NDArray[np.bool_], simulated: float = 0.0
) -> NDArray[np.bool_]:
    """Whether more events lie beyond the support than fluctuations would put there.

    The support ends at the most extreme simulated event, so one event in a thousand of
    the target is allowed beyond it, on top of the share that simulations have there.

    Parameters
    ----------
    target : TargetEvents
        Events of all datasets.
    beyond : ndarray of bool, shape (n_events,)
        Whether each event lies beyond.
    simulated : float, default=0.0
        Share of the simulated events beyond.

    Returns
    -------
    leaves : ndarray of bool, shape (n_datasets,)
        Whether the number exceeds the expected one by five sigmas.
    """
    if target.counts is None:
        number, total = np.array([beyond.sum()]), np.array([beyond.size])
    else:
        number = target.counts.T @ beyond.astype(float)
        total = np.asarray(target.counts.sum(axis=0)).ravel()
    expected = (simulated + _ALLOWED) * total
    return number > expected + _SIGMAS * np.sqrt(expected + 1.0)
