"""How good intervals are: coverage with its errors, widths, pulls, interval scores.

A failed fit, NaN, counts as a miss and enters neither bias nor pulls nor widths. Its
scores are those of [0, 1] for a fraction; for a parameter without a range it is left
out of them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from sktamm._numerics import FloatArray, interval_score
from sktamm.exceptions import InvalidInputError

__all__ = [
    "FRACTIONS",
    "ONE_SIGMA",
    "check_different",
    "clopper_pearson",
    "coverage_p_value",
    "covers",
    "higgsml",
    "one_sigma",
    "pulls",
    "summarise",
    "wilson",
]

Range = tuple[float, float]

# What is known of a fraction before any measurement.
FRACTIONS: Range = (0.0, 1.0)

# Level of the HiggsML challenge; what is called one sigma, 0.68 to 0.685, is near it.
ONE_SIGMA = 0.6827
_NEAR = 0.003
# Width that the challenge adds (arXiv:2410.02867): vanishing intervals win nothing.
_EPS = 0.01


def check_different(levels: FloatArray) -> None:
    """Refuse levels that would share a name, with six digits."""
    names = [f"{level:g}" for level in levels]
    if len(set(names)) < len(names):
        raise InvalidInputError(
            "levels must differ in their first six digits, by which measures are "
            f"named, got {levels.tolist()}."
        )


def covers(truth: ArrayLike, lower: ArrayLike, upper: ArrayLike) -> NDArray[np.bool_]:
    """Whether intervals contain their truths, ends included; never where one is NaN."""
    truth, lower, upper = np.asarray(truth), np.asarray(lower), np.asarray(upper)
    return (lower <= truth) & (truth <= upper)


def one_sigma(levels: Sequence[float]) -> int | None:
    """Index of the level that is called one sigma, the nearest; None without any."""
    away = np.abs(np.asarray(levels, dtype=float) - ONE_SIGMA)
    return int(away.argmin()) if away.min() <= _NEAR else None


def higgsml(
    truth: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    level: float = ONE_SIGMA,
    eps: float = _EPS,
    vacuous: Range | None = FRACTIONS,
) -> float:
    """HiggsML score -ln[(w + eps) f(c)]; failed fits are misses as wide as vacuous."""
    lower, upper = np.asarray(lower, dtype=float), np.asarray(upper, dtype=float)
    width = np.abs(upper - lower)
    nothing = np.nan if vacuous is None else vacuous[1] - vacuous[0]
    mean_width = _mean(np.where(np.isfinite(width), width, nothing))
    covered = np.isfinite(width) & covers(truth, lower, upper)
    return float(-np.log((mean_width + eps) * _fine(covered, level)))


def _fine(covered: NDArray[np.bool_], level: float) -> float:
    """Factor f of the HiggsML score: 1 within two binomial errors of the level."""
    sigma = np.sqrt(level * (1.0 - level) / covered.size)
    z = (covered.mean() - level) / sigma
    # Counted from the ends of the band, so that f has no step there.
    return float(1.0 + max(-2.0 - z, 0.0) ** 4 + max(z - 2.0, 0.0) ** 3)


def pulls(truth: ArrayLike, kappa: ArrayLike, std: ArrayLike) -> FloatArray:
    """(kappa - truth) / std; NaN where the fit failed."""
    with np.errstate(divide="ignore", invalid="ignore"):
        values = (np.asarray(kappa) - np.asarray(truth)) / np.asarray(std)
    return np.where(np.isfinite(values), values, np.nan)


def clopper_pearson(
    n_covered: ArrayLike, n: ArrayLike, level: float = 0.683
) -> tuple[FloatArray, FloatArray]:
    """Exact binomial interval of Clopper and Pearson (1934)."""
    k, n = np.asarray(n_covered, dtype=float), np.asarray(n, dtype=float)
    tail = 0.5 * (1.0 - level)
    with np.errstate(invalid="ignore"):
        lower = np.where(k > 0, special.betaincinv(k, n - k + 1.0, tail), 0.0)
        upper = np.where(k < n, special.betaincinv(k + 1.0, n - k, 1.0 - tail), 1.0)
    return lower, upper


def wilson(
    n_covered: ArrayLike, n: ArrayLike, level: float = 0.683
) -> tuple[FloatArray, FloatArray]:
    """Score interval of Wilson (1927): close to nominal on average, shorter."""
    k, n = np.asarray(n_covered, dtype=float), np.asarray(n, dtype=float)
    z2 = special.ndtri(0.5 + 0.5 * level) ** 2
    centre = (k + 0.5 * z2) / (n + z2)
    share = np.divide(k, n, out=np.full(np.broadcast(k, n).shape, 0.5), where=n > 0)
    half = np.sqrt(z2 * (n * share * (1.0 - share) + 0.25 * z2)) / (n + z2)
    return np.clip(centre - half, 0.0, 1.0), np.clip(centre + half, 0.0, 1.0)


def coverage_p_value(n_covered: int, n: int, nominal: float) -> float:
    """Exact two-sided binomial p-value of a coverage against its nominal level."""
    if n == 0:
        return 1.0
    return float(stats.binomtest(int(n_covered), int(n), nominal).pvalue)


def summarise(
    truth: ArrayLike,
    kappa: ArrayLike,
    std: ArrayLike,
    interval: ArrayLike,
    levels: Sequence[float],
    vacuous: Range | None = FRACTIONS,
) -> dict[str, float]:
    """Measures of experiments (n,) with intervals (n, 2, n_levels), by fixed names."""
    truth, kappa, std = (np.asarray(v, dtype=float) for v in (truth, kappa, std))
    interval = np.asarray(interval, dtype=float)
    good = np.isfinite(kappa) & np.isfinite(interval).all(axis=(1, 2))
    kappa = np.where(good, kappa, np.nan)
    interval = np.where(good[:, None, None], interval, np.nan)
    pull = pulls(truth, kappa, std)
    measures: dict[str, float] = {}
    scores = []
    for i, level in enumerate(levels):
        lower, upper = interval[:, 0, i], interval[:, 1, i]
        scores.append(_mean(interval_score(truth, lower, upper, level, vacuous)))
        measures[f"interval_score_{level:g}"] = scores[-1]
        measures[f"coverage_{level:g}"] = float(covers(truth, lower, upper).mean())
        measures[f"mean_width_{level:g}"] = _mean(upper - lower)
    sigma = one_sigma(levels)
    if sigma is not None:
        ends = interval[:, 0, sigma], interval[:, 1, sigma]
        measures["higgsml"] = higgsml(truth, *ends, levels[sigma], vacuous=vacuous)
    return {
        "interval_score": float(np.mean(scores)),
        **measures,
        "bias": _mean(kappa - truth),
        "rmse": float(np.sqrt(_mean((kappa - truth) ** 2))),
        "pull_mean": _mean(pull),
        "pull_std": _std(pull),
        "failed": float(1.0 - good.mean()),
    }


def _mean(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def _std(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(known.std(ddof=1)) if known.size > 1 else float("nan")
