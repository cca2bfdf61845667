"""Fraction of one density in a sample of two, from their ratio and its error.

With r = p_1 / p_0 the density of the sample is p_0 D, D = kappa r + 1 - kappa. The
ratio is a blend ln r = F = sum_i a_i f_i whose weights have covariance C and bias b
(arXiv:2506.00113). Their errors move the score of kappa by A_i = sum r f_i / D^2 per
unit of a_i, which widens the interval,

    sigma^2 = s^2 (1 + s^2 A' C A),    s^-2 = sum (r - 1)^2 / D^2,

and their noise flattens the likelihood: noise in r dilutes kappa towards 1/2. With
v = f' C f and m = f' b the expectation of what noise adds is known and subtracted,

    ln L* = sum_x [ln D - v/2 d^2 ln D / dF^2 - m d ln D / dF]
          = sum_x [ln D - v/2 kappa (1 - kappa) r / D^2 - m kappa r / D]

(the corrected score of Nakamura 1990), and s^-2 becomes the curvature of ln L*.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from sktamm._validation import read_weight
from sktamm.exceptions import InvalidInputError

__all__ = ["BlendError", "FractionEstimate", "estimate_fraction", "fraction_interval"]

FloatArray = NDArray[np.float64]

_MAX_ITER = 50  # Newton steps: a safety bound
_MAX_WIDTHS = 30  # how far the ends of an interval are looked for, in standard errors


class BlendError(NamedTuple):
    """What is known of the error of a log ratio F = sum_i a_i f_i."""

    terms: FloatArray  # (n_events, n_terms), terms f at the events of the sample
    covariance: FloatArray  # (n_terms, n_terms), covariance C of the weights
    bias: FloatArray  # (n_terms,), bias b of the weights


class FractionEstimate(NamedTuple):
    """Fraction of the numerator density in a sample, with its error."""

    kappa: float  # Maximum of the likelihood
    std: float  # Standard error with everything that was propagated
    statistical_std: float  # Standard error from the sample alone
    information: float  # Curvature of the log likelihood at its maximum
    corrected: bool  # Whether the noise of the ratio was removed from the likelihood


def estimate_fraction(
    log_ratio: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    error: BlendError | None = None,
    correct: bool = True,
) -> FractionEstimate:
    """Fraction of the numerator in a sample of both, by maximum likelihood.

    kappa may leave [0, 1] while the density stays positive at every event. Where the
    noise of the ratio is so large that the corrected likelihood has no maximum, the
    plain one is used. ``log_ratio`` (n_events,); without ``correct`` the error of the
    ratio only widens the interval, as published.
    """
    plain = _Likelihood.of(log_ratio, sample_weight, None)
    kappa = _maximum(plain)
    model, corrected = plain, False
    if error is not None and correct:
        careful = _Likelihood.of(log_ratio, sample_weight, error)
        moved = _climb(careful, kappa)
        if moved is not None:
            model, kappa, corrected = careful, moved, True
    information = model.information(kappa)
    statistical = model.score_variance(kappa) / information**2
    variance = statistical
    if error is not None:
        push = (model.weight * model.ratio / model.density(kappa) ** 2) @ error.terms
        variance += float(push @ error.covariance @ push) / information**2
    return FractionEstimate(
        kappa, float(variance**0.5), float(statistical**0.5), information, corrected
    )


def fraction_interval(
    log_ratio: ArrayLike,
    estimate: FractionEstimate,
    z: float,
    sample_weight: ArrayLike | None = None,
    *,
    error: BlendError | None = None,
) -> tuple[float, float]:
    """Profile-likelihood interval, the statistic divided by the inflated variance.

    ``log_ratio`` (n_events,), ``sample_weight`` (n_events,).
    """
    known = error if estimate.corrected else None
    model = _Likelihood.of(log_ratio, sample_weight, known)
    fall = 0.5 * z**2 * estimate.std**2 * estimate.information
    target = model.value(estimate.kappa) - fall
    ends = []
    for side, limit in zip((-1, 1), model.range(), strict=True):
        inner = outer = estimate.kappa
        for _ in range(_MAX_WIDTHS):
            inner, outer = outer, outer + side * estimate.std
            outer = side * min(side * outer, side * limit)
            if outer == limit or model.value(outer) < target:
                break
        if model.value(outer) < target:
            outer = brentq(lambda k: model.value(k) - target, inner, outer)
        ends.append(float(outer))
    return ends[0], ends[1]


@dataclass(frozen=True, eq=False)
class _Likelihood:
    """ln L*, or ln L where variance and bias of the log ratio are zero."""

    ratio: FloatArray
    weight: FloatArray
    half_variance: FloatArray | float
    bias: FloatArray | float

    @classmethod
    def of(
        cls,
        log_ratio: ArrayLike,
        sample_weight: ArrayLike | None,
        error: BlendError | None,
    ) -> Self:
        ratio = np.exp(np.asarray(log_ratio, dtype=np.float64))
        weight = read_weight(sample_weight, ratio.size)
        weight = np.ones(ratio.size) if weight is None else weight
        if error is None:
            return cls(ratio, weight, 0.0, 0.0)
        f, covariance = error.terms, error.covariance
        variance = np.einsum("ni,ni->n", f @ covariance, f)
        return cls(ratio, weight, 0.5 * variance, f @ error.bias)

    def density(self, kappa: float) -> FloatArray:
        return 1.0 + kappa * (self.ratio - 1.0)

    def value(self, kappa: float) -> float:
        r, d = self.ratio, self.density(kappa)
        noise = self.half_variance * (kappa * (1.0 - kappa)) * r / d**2
        return float(self.weight @ (np.log(d) - noise - self.bias * kappa * r / d))

    def _scores(self, kappa: float) -> FloatArray:
        r, d = self.ratio, self.density(kappa)
        noise = self.half_variance * r * (1.0 - kappa - kappa * r) / d**3
        return (r - 1.0) / d - noise - self.bias * r / d**2

    def score(self, kappa: float) -> float:
        return float(self.weight @ self._scores(kappa))

    def score_variance(self, kappa: float) -> float:
        scores = self._scores(kappa)
        mean = self.weight @ scores / self.weight.sum()
        return float(self.weight**2 @ (scores - mean) ** 2)

    def information(self, kappa: float) -> float:
        """Minus the derivative of the score."""
        r, d = self.ratio, self.density(kappa)
        bend = -(1.0 + r) / d**3 - 3.0 * (1.0 - kappa - kappa * r) * (r - 1.0) / d**4
        slope = -2.0 * r * (r - 1.0) / d**3
        noise = self.half_variance * r * bend + self.bias * slope
        return float(self.weight @ (((r - 1.0) / d) ** 2 + noise))

    def range(self) -> tuple[float, float]:
        """Ends of the fractions that keep the density positive at every event."""
        smallest, largest = float(self.ratio.min()), float(self.ratio.max())
        if not smallest < 1.0 < largest < np.inf:
            raise InvalidInputError(
                "the sample does not tell the two densities apart: their ratio must "
                f"lie on both sides of 1, got {smallest:g} to {largest:g}."
            )
        inside = 1.0 - 1e-9
        return -inside / (largest - 1.0), inside / (1.0 - smallest)


def _maximum(model: _Likelihood) -> float:
    """Maximum of the plain likelihood, which is concave for positive weights."""
    low, high = model.range()
    if not model.score(low) > 0 > model.score(high):
        raise InvalidInputError(
            "the likelihood of the fraction has no maximum: sample_weight must be "
            "positive where the ratio is extreme, got a smallest weight "
            f"{model.weight.min():g}."
        )
    return float(brentq(model.score, low, high, xtol=1e-12))


def _climb(model: _Likelihood, kappa: float) -> float | None:
    """Nearby maximum of the corrected likelihood by Newton's method, if it has one."""
    low, high = model.range()
    for _ in range(_MAX_ITER):
        information = model.information(kappa)
        if information <= 0:
            return None
        step = model.score(kappa) / information
        kappa += step
        if not low < kappa < high:
            return None
        if step**2 * information < 1e-16:
            return kappa
    return None
