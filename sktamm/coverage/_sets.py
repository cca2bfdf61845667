"""Coverage set by set: a mean over sets of simulations hides the sets that miss.

Of G groups with coverages c_1 <= ... <= c_G, of the same weight, the worst tenth is the
mean of the m = G / 10 smallest, the last one in part where m is no integer. Exact
intervals of independent experiments have the worst tenth

    E = (1 / m) int_0^1 E[(m - N(t))_+] dt,

with N(t) groups of coverage t or less, a sum of independent binomial events. Meta-
analysis asks for this distribution in place of its mean (arXiv:2408.08080).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sktamm._numerics import FloatArray, IntArray
from sktamm.exceptions import InvalidInputError

__all__ = ["check_quantiles", "distribution", "exact_worst_tenth", "worst_tenth"]

_TENTH = 0.1  # the worst share of the sets that is shown


def check_quantiles(quantiles: Any) -> list[float]:
    """Different numbers from 0 to 1."""
    try:
        values = np.atleast_1d(np.asarray(quantiles, dtype=float))
    except (TypeError, ValueError):
        values = np.full(1, np.nan)
    usable = values.ndim == 1 and ((values >= 0) & (values <= 1)).all()
    if not usable or np.unique(values).size < values.size:
        raise InvalidInputError(
            f"quantiles must be different numbers from 0 to 1, got {quantiles!r}."
        )
    return values.tolist()


def distribution(
    covered: NDArray[np.bool_],
    group: NDArray[Any],
    nominal: float,
    quantiles: Sequence[float],
) -> dict[str, float]:
    """Distribution of the coverage over groups, by name; ``covered, group`` (n,)."""
    share, n = _of_groups(covered, group)
    ends = np.quantile(share, quantiles)
    return {
        "n_groups": share.size,
        "mean": float(share.mean()),
        "worst_tenth": _mean_of_worst(share),
        "exact_worst_tenth": exact_worst_tenth(n, nominal),
        **{f"q{q:g}": float(v) for q, v in zip(quantiles, ends, strict=True)},
    }


def worst_tenth(covered: NDArray[np.bool_], group: NDArray[Any]) -> float:
    """Mean coverage of the worst tenth of the groups; of one at least."""
    return _mean_of_worst(_of_groups(covered, group)[0])


def exact_worst_tenth(n: IntArray, nominal: float) -> float:
    """Worst tenth to expect of exact intervals, from the sizes of the groups."""
    sizes, times = np.unique(n, return_counts=True)
    m = _TENTH * n.size
    t = np.unique(np.concatenate([np.arange(k + 1) / k for k in sizes]))
    # Rounding must not part k / n from itself.
    reached = [stats.binom.cdf(np.floor(k * t + 1e-9), k, nominal) for k in sizes]
    few = np.arange(int(np.ceil(m)))
    chance = np.ones((t.size, 1))
    for share, count in zip(reached, times, strict=True):
        chance = _sum_of(chance, stats.binom.pmf(few, count, share[:, None]), few.size)
    left = chance @ (m - few)
    return float((left[:-1] * np.diff(t)).sum() / m)


def _of_groups(
    covered: NDArray[np.bool_], group: NDArray[Any]
) -> tuple[FloatArray, IntArray]:
    """Coverage and number of experiments of every group."""
    _, code, n = np.unique(group, return_inverse=True, return_counts=True)
    return np.bincount(code, weights=covered) / n, n


def _mean_of_worst(share: FloatArray) -> float:
    m = _TENTH * share.size
    weight = np.clip(m - np.arange(share.size), 0.0, 1.0)
    return float(weight @ np.sort(share) / m)


def _sum_of(a: FloatArray, b: FloatArray, size: int) -> FloatArray:
    """Distributions, by row, of the sum of two counts; counts below ``size``."""
    total = np.zeros((len(a), size))
    for i in range(a.shape[1]):
        total[:, i:] += a[:, i : i + 1] * b[:, : size - i]
    return total
