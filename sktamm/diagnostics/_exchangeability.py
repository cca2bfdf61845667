"""Whether the simulations of a class could be draws of one kind, without data.

The theory of the test is in `sktamm.tamm._exchangeable`.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sktamm.diagnostics._open import declared_families, member_of, unwrap
from sktamm.tamm import ExchangeabilityResult, compare_simulations

__all__ = ["ExchangeabilityResult", "exchangeability"]


def exchangeability(estimator: Any) -> ExchangeabilityResult:
    """Test whether one simulation is odd, or two are nearly the same.

    Both are judged by smooth functions of the bins, or of the events for learned
    ratios, statistical errors of the simulations allowed for. The null hypothesis is
    that of draws of a normal distribution of any mean and covariance; p-values are
    exact for simulations of one size, and adjusted for the number of tests.

    Parameters
    ----------
    estimator : estimator
        Fitted estimator, or Pipeline or search ending in one. Classes of fewer than
        four simulations are not tested.

    Returns
    -------
    result : ExchangeabilityResult
        P-values, distances, odd simulations, near-duplicates and declared families,
        which p-values do not know of. The first estimator of a pool is looked at.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.diagnostics import exchangeability
    >>> study = make_gaussian_study(n_simulations=6, n_events=2000, random_state=1)
    >>> tamm = BinnedTopicTAMM().fit(study.X, study.y, simulation=study.simulation)
    >>> result = exchangeability(tamm)
    >>> result.odd, result.near_duplicates
    ((), ())
    """
    final = unwrap(estimator)[0]
    result = compare_simulations(final.components_, final.classes_)
    return replace(
        result,
        family=_families(final, result.simulation),
        member=member_of(estimator),
    )


def _families(final: Any, simulation: NDArray[Any]) -> NDArray[Any] | None:
    """Family of every simulation; None where the prior is told none."""
    grouping = declared_families(final)
    if grouping is None:
        return None
    names = [
        "nominal" if key in grouping.nominal else grouping.family[key]
        for key in simulation.tolist()
    ]
    return np.array(names, dtype=object)
