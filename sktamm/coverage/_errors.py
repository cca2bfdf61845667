"""Errors of a coverage: independent experiments, and experiments that share a group.

Of G groups with c_g of n_g intervals that hold, the coverage p = sum c_g / sum n_g has
the variance

    V = G / (G - 1) sum_g (c_g - p n_g)^2 / (sum_g n_g)^2,

as good as p (1 - p) / V = n_eff independent experiments. Korn and Graubard (1998) put
n_eff into the interval of Clopper and Pearson; the quantile of Student's t with G - 1
degrees of freedom replaces the normal one.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from sktamm.coverage._measures import clopper_pearson, coverage_p_value, wilson

__all__ = ["CoverageError", "coverage_error"]


class CoverageError(NamedTuple):
    """Interval of a coverage and its p-value against the nominal level."""

    lower: float
    upper: float
    p_value: float


def coverage_error(
    covered: NDArray[np.bool_],
    group: NDArray[Any],
    nominal: float,
    method: str,
    error_level: float = 0.683,
) -> CoverageError:
    """Interval of a coverage and its two-sided p-value; ``covered, group`` (n,)."""
    n, k = covered.size, int(covered.sum())
    names, code = np.unique(group, return_inverse=True)
    if method == "groups" and names.size > 1:
        return _of_groups(covered, code, nominal, error_level)
    interval = wilson if method == "wilson" else clopper_pearson
    lower, upper = interval(k, n, error_level)
    return CoverageError(float(lower), float(upper), coverage_p_value(k, n, nominal))


def _of_groups(
    covered: NDArray[np.bool_], code: NDArray[Any], nominal: float, error_level: float
) -> CoverageError:
    share, n, n_groups = covered.mean(), covered.size, int(code.max()) + 1
    excess = np.bincount(code, weights=covered - share)
    variance = n_groups / (n_groups - 1) * (excess**2).sum() / n**2
    binomial = share * (1.0 - share)
    # Without any miss (or hit) nothing scatters: every group counts as one trial.
    n_eff = min(n, binomial / variance) if variance > 0 and binomial > 0 else n_groups
    student = stats.t(n_groups - 1)
    level = 2.0 * special.ndtr(student.ppf(0.5 + 0.5 * error_level)) - 1.0
    lower, upper = clopper_pearson(share * n_eff, n_eff, level)
    tail = _beta_tail(share * n_eff, n_eff, nominal)
    p_value = 2.0 * student.sf(-special.ndtri(tail)) if tail < 0.5 else 1.0
    return CoverageError(float(lower), float(upper), float(p_value))


def _beta_tail(k: float, n: float, nominal: float) -> float:
    """Smaller binomial tail of k or more, or k or fewer, of n; not only integers."""
    more = special.betainc(k, n - k + 1.0, nominal) if k > 0 else 1.0
    fewer = special.betaincc(k + 1.0, n - k, nominal) if k < n else 1.0
    return float(min(more, fewer))
