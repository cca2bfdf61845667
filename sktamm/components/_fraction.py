"""Fraction of one density in a sample of two, from their ratio and its error.

With r = p_1 / p_0 the sample's density is p_0 [kappa r + 1 - kappa]. The errors of the
weights of an ensemble, ln r = sum_i a_i f_i with covariance C, shift the score of kappa
and widen its interval (arXiv:2506.00113),

    sigma^2 = s^2 (1 + s^2 A' C A),  A_i = sum r f_i / (kappa r + 1 - kappa)^2.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from sktamm._validation import read_weight
from sktamm.exceptions import InvalidInputError

__all__ = ["FractionEstimate", "estimate_fraction", "fraction_interval"]

FloatArray = NDArray[np.float64]


class FractionEstimate(NamedTuple):
    """Fraction of the numerator density in a sample, with its error.

    Attributes
    ----------
    kappa : float
        Maximum of the likelihood.
    std : float
        Standard error with everything that was propagated.
    statistical_std : float
        Standard error from the sample alone.
    information : float
        Curvature of the log likelihood, sum w (r - 1)^2 / (kappa r + 1 - kappa)^2.
    """

    kappa: float
    std: float
    statistical_std: float
    information: float


def estimate_fraction(
    log_ratio: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    terms: ArrayLike | None = None,
    covariance: ArrayLike | None = None,
) -> FractionEstimate:
    """Fraction of the numerator in a sample of both, by maximum likelihood.

    The density is p_den [kappa r + 1 - kappa]; kappa may leave [0, 1] while it stays
    positive at every event. Errors of the weights of ln r = sum_i a_i f_i move the
    score by A_i = sum w r f_i / (kappa r + 1 - kappa)^2 per unit of a_i, so

        sigma^2 = s^2 + A' C A / I^2,    I = sum w (r - 1)^2 / (kappa r + 1 - kappa)^2,

    with s^2 = 1 / I for events without weights.

    Parameters
    ----------
    log_ratio : array-like of shape (n_events,)
        ln r at the events of the sample.
    sample_weight : array-like of shape (n_events,), optional
        Event weights.
    terms : array-like of shape (n_events, n_terms), optional
        Terms f of the log ratio; with ``covariance`` the error is propagated.
    covariance : array-like of shape (n_terms, n_terms), optional
        Covariance C of the weights of the terms.

    Returns
    -------
    estimate : FractionEstimate
        Fraction and errors.

    Raises
    ------
    InvalidInputError
        If the likelihood has no maximum.

    References
    ----------
    arXiv:2506.00113.
    """
    ratio = np.exp(np.asarray(log_ratio, dtype=np.float64))
    w = _weight(sample_weight, ratio.size)
    low, high = _fraction_range(ratio)
    pull = ratio - 1.0

    def score(kappa: float) -> float:
        return float(w @ (pull / (1.0 + kappa * pull)))

    if not score(low) > 0 > score(high):
        raise InvalidInputError(
            "the likelihood of the fraction has no maximum: sample_weight must be "
            f"positive where log_ratio is extreme, got a smallest weight {w.min():g}."
        )
    kappa = float(brentq(score, low, high, xtol=1e-12))
    share = pull / (1.0 + kappa * pull)
    information = float(w @ share**2)
    variance = statistical = float(w**2 @ share**2) / information**2
    if terms is not None and covariance is not None:
        slope = (w * ratio / (1.0 + kappa * pull) ** 2) @ np.asarray(terms)
        variance += float(slope @ np.asarray(covariance) @ slope) / information**2
    return FractionEstimate(
        kappa, float(np.sqrt(variance)), float(np.sqrt(statistical)), information
    )


def fraction_interval(
    log_ratio: ArrayLike,
    estimate: FractionEstimate,
    z: float,
    sample_weight: ArrayLike | None = None,
) -> tuple[float, float]:
    """Profile-likelihood interval, the statistic divided by the inflated variance.

    Parameters
    ----------
    log_ratio : array-like of shape (n_events,)
        ln r at the events of the sample.
    estimate : FractionEstimate
        Answer of `estimate_fraction`.
    z : float
        Number of standard deviations.
    sample_weight : array-like of shape (n_events,), optional
        Event weights.

    Returns
    -------
    lower, upper : float
        Where 2 [ln L(hat) - ln L(kappa)] = z^2 sigma^2 I.
    """
    pull = np.expm1(np.asarray(log_ratio, dtype=np.float64))
    w = _weight(sample_weight, pull.size)
    allowed = 0.5 * z**2 * estimate.std**2 * estimate.information
    best = w @ np.log1p(estimate.kappa * pull)

    def excess(kappa: float) -> float:
        return float(best - w @ np.log1p(kappa * pull) - allowed)

    ends = [
        brentq(excess, estimate.kappa, end, xtol=1e-10) if excess(end) > 0 else end
        for end in _fraction_range(pull + 1.0)
    ]
    return float(ends[0]), float(ends[1])


def _fraction_range(ratio: FloatArray) -> tuple[float, float]:
    """Open ends of the fractions that keep the density positive at every event."""
    smallest, largest = float(ratio.min()), float(ratio.max())
    if not smallest < 1.0 < largest < np.inf:
        raise InvalidInputError(
            "the sample does not tell the two densities apart: their ratio must lie on "
            f"both sides of 1, got {smallest:g} to {largest:g}."
        )
    inside = 1.0 - 1e-9
    return -inside / (largest - 1.0), inside / (1.0 - smallest)


def _weight(sample_weight: ArrayLike | None, n_events: int) -> FloatArray:
    weight = read_weight(sample_weight, n_events)
    return np.ones(n_events) if weight is None else weight
