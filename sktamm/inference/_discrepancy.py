"""A common discrepancy of simulations and truth, where they do not describe the data.

A blend that the simulations exclude asks for truths that lie farther out: all widths of
the priors times one factor s. Rows that no blend describes err by more than they know:
their standard errors times one factor r, the scale factor of Birge and of the Particle
Data Group. The estimate stays; with its variance made of the rows' and the blend's,

    V = a' (S' v S) a + a' Q a,    a = A^-1 e_kappa    (see `_frequentist`),

the variance that both factors add is a' (r^2 - 1) (S' v S) a + (s^2 - 1) a' Q a, taken
as that share of the variance there is. (A refit with wider priors does not widen: the
marginal posterior prefers fractions at which a vague blend need not be known,
Bartlett's paradox.)

Either factor is that at which its p-value is .317, as for pulls of one standard error,
and grows from one to it while the p-value of the simulations falls from .001 to .0001,

    ln s = w(p) ln s_1,    w(p) = min(1, log10(.001 / p)) below p = .001, 0 above.

References
----------
Birge, Phys. Rev. 40 (1932) 207; Rougier, Goldstein and House, J. Am. Stat. Assoc. 108
(2013) 852, and Sansom et al., arXiv:1711.04139, for models with a common discrepancy;
Bartlett, Biometrika 44 (1957) 533.
"""

from collections.abc import Mapping
from copy import copy
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
from scipy import optimize, special

from sktamm._numerics import FloatArray
from sktamm.base import ComponentTable
from sktamm.exceptions import IncompatibleChoiceError
from sktamm.inference._fit import Fit, prior_tension, rows_described, variance_parts
from sktamm.inference._goodness import ORDINARY, scale_ratio
from sktamm.mixture import MixtureModel

__all__ = ["SURPRISING", "discrepancy", "refuse_unjudged", "with_dataset"]

#: P-value below which rows or blend are not described, as the flags have it.
SURPRISING = 1e-3
# One more power of ten: a ramp, so that no interval jumps. A rule of thumb.
_RAMP = 10.0
# A rule of thumb: of thirty times the spread of the simulations nobody learns more.
_LARGEST = 30.0
_TOLERANCE = 1e-4  # of the log of a factor
# What a second inference with a larger variance does not judge again.
_KEPT = (
    "goodness_of_fit",
    "prior_tension",
    "discrepancy",
    "discrepancy_rows",
    "discrepancy_blend",
    "std_discrepancy",
)


def refuse_unjudged(table: ComponentTable, model: MixtureModel) -> None:
    """Refuse data of which no p-value exists."""
    if table.binned or any(block.penalty.judges for block in model.blocks):
        return
    raise IncompatibleChoiceError(
        "discrepancy='scale' needs a p-value of the rows or of the blend, which "
        "unbinned data under this prior do not have; use prior='shrinkage' or "
        "'simulations', a binned estimator, or discrepancy=None."
    )


def discrepancy(
    fit: Fit, std: FloatArray, p_values: Mapping[str, FloatArray]
) -> dict[str, FloatArray]:
    """Factors of every fit (n_fits,), and the standard deviation that they add."""
    rows, blend = p_values["goodness_of_fit"], p_values["prior_tension"]
    factors = np.ones((2, len(std)))
    for b in map(int, np.flatnonzero(_ramp(np.fmin(rows, blend)) > 0)):
        one = _one_of(fit, b)
        s = _blend_factor(one, float(blend[b]))
        factors[:, b] = _rows_factor(_widened(one, s), float(rows[b])), s
    added = np.zeros(len(std))
    if (factors > 1.0).any():
        parts = np.array(variance_parts(fit))
        shares = parts / np.maximum(parts.sum(axis=0), np.finfo(float).tiny)
        added = std * np.sqrt(((factors**2 - 1.0) * shares).sum(axis=0))
    return {
        "discrepancy_rows": factors[0],
        "discrepancy_blend": factors[1],
        "discrepancy": factors.max(axis=0),
        "std_discrepancy": added,
    }


def _ramp(p_value: Any) -> Any:
    """From 0 for what is not surprising to 1; what is not a number is not."""
    known = np.where(np.isnan(p_value), 1.0, p_value)
    excess = np.log(SURPRISING / np.maximum(known, np.finfo(float).tiny))
    return np.clip(excess / np.log(_RAMP), 0.0, 1.0)


def _rows_factor(fit: Fit, p_value: float) -> float:
    """Root of chi2 over that of one standard error, where no blend explains it."""
    weight = _ramp(np.fmax(rows_described(fit)[0], p_value))
    if weight == 0.0:
        return 1.0
    ratio = scale_ratio(fit.model, fit.optimum.theta, fit.data)[0]
    return float(np.fmax(ratio, 1.0) ** (0.5 * weight))


def _blend_factor(fit: Fit, p_value: float) -> float:
    """The factor at which the pulls of the blend are of one standard error, ramped."""
    weight = float(_ramp(p_value))
    if weight == 0.0:
        return 1.0

    def pull(log_factor: float) -> float:
        p = prior_tension(_widened(fit, float(np.exp(log_factor))))[0]
        normal = special.ndtri([np.clip(p, 1e-300, 1.0 - 1e-16), ORDINARY])
        return float(normal[1] - normal[0])

    most = float(np.log(_LARGEST))
    if pull(most) > 0.0:
        return float(_LARGEST**weight)
    root = optimize.brentq(pull, 0.0, most, xtol=_TOLERANCE)
    return float(np.exp(weight * root))


def _widened(fit: Fit, factor: float) -> Fit:
    """The fit as judged by priors that expect truths a factor farther out."""
    model = copy(fit.model)
    model.blocks = [
        replace(block, penalty=block.penalty.widened(factor)) for block in model.blocks
    ]
    return replace(fit, model=model)


def _one_of(record: Any, b: int) -> Any:
    """One row of all arrays of a record, and of the records in it."""
    own = {f.name: getattr(record, f.name) for f in fields(record)}
    arrays = {n: v[b : b + 1] for n, v in own.items() if isinstance(v, np.ndarray)}
    inner = {n: _one_of(v, b) for n, v in own.items() if is_dataclass(v)}
    return replace(record, **arrays, **inner)


def with_dataset(answer: Any, part: Any, b: int) -> Any:
    """Answers of a batch with that of one dataset put in its place."""

    def put(whole: np.ndarray, one: np.ndarray) -> np.ndarray:
        return np.concatenate([whole[:b], one, whole[b + 1 :]])

    kept = {
        name: values if name in _KEPT else put(values, part.diagnostics[name])
        for name, values in answer.diagnostics.items()
    }
    draws = answer.draws
    if draws is not None:
        draws = (*draws[:b], *part.draws, *draws[b + 1 :])
    names = {f.name for f in fields(answer)} - {"diagnostics", "draws"}
    new = {name: put(getattr(answer, name), getattr(part, name)) for name in names}
    return replace(answer, diagnostics=kept, draws=draws, **new)
