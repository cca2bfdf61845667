"""A barrier that keeps a fit from densities which a handful of reference rows carry.

A density q = r / Z is normalised by the reference rows, Zhat = sum_i m_i r_i, and

    E[ln Zhat] = ln Z - Var(Zhat) / (2 Z^2),    Var(Zhat) / Z^2 = S - sum_i m_i^2,
    S = sum_i v_i^2,    v_i = m_i r_i / Zhat,

1 / S being the effective number of rows: with n_c events of the class, a log likelihood
is too large by n_c (S - sum m^2) / 2. Among few rows that is no barrier, for it ends at
n_c / 2, and fits pass it (bench_reference_barrier.py). So the term is left out down to
a number of rows 1 / a, and ends in a pole at half as many, 1 / b = 1 / 2a:

    n_c h(S),    h = (b - a) / 2 [-ln(1 - u) - u - u^2 / 2],    u = (S - a) / (b - a),

whose slope n_c / 2 u^2 / (1 - u) meets that of the expansion at u = .62.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sktamm._arrays import namespace
from sktamm._numerics import FloatArray

__all__ = [
    "FEW_ROWS",
    "Barrier",
    "barrier_height",
    "events_of_class",
    "subtract_barriers",
]

#: With fewer effective rows a fit is flagged ``poor_reference`` and meets a barrier.
FEW_ROWS = 200


@dataclass(frozen=True, eq=False)
class Barrier:
    """Height per event of a class and its derivatives by the parameters."""

    height: FloatArray  # (n_fits,), zero before the barrier and infinite behind it
    gradient: FloatArray  # (n_fits, n_params), zero where the height is infinite
    hessian: FloatArray  # (n_fits, n_params, n_params), like the next
    convex: FloatArray  # its positive semi-definite part


def barrier_height(
    share: FloatArray, onset: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """h(S), h' and h'' (n_fits,); infinite, zero and zero behind the barrier."""
    xp = namespace(share)
    u = xp.maximum(share / onset - 1.0, 0.0)
    behind = u >= 1.0
    u = xp.where(behind, 0.0, u)
    height = 0.5 * onset * (-xp.log1p(-u) - u - 0.5 * u**2)
    slope = 0.5 * u**2 / (1.0 - u)
    bend = 0.5 * u * (2.0 - u) / ((1.0 - u) ** 2 * onset)
    return xp.where(behind, np.inf, height), slope, bend


def events_of_class(
    fraction: FloatArray, n_events: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Events n f, bent above zero over sqrt(n), and two derivatives by the fraction."""
    xp = namespace(n_events)
    n_events = xp.maximum(n_events, 1.0)
    mean = n_events * fraction
    root = xp.sqrt(mean**2 + 4.0 * n_events)
    number = 0.5 * (mean + root)
    return number, n_events * number / root, 2.0 * n_events**3 / root**3


def subtract_barriers(
    terms: tuple[FloatArray, FloatArray, FloatArray],
    barriers: Sequence[Barrier | None],
    events: tuple[FloatArray, FloatArray],
    signs: FloatArray,
    slices: Sequence[slice],
    convex: bool,
) -> None:
    """Subtract n_c h of all classes from a log likelihood and derivatives, in place."""
    value, gradient, hessian = terms
    xp, free = namespace(value), slice(0, len(signs))
    for barrier, f, sign, columns in zip(
        barriers, events[0].T, signs.T, slices, strict=True
    ):
        if barrier is None:
            continue
        number, slope, bend = events_of_class(f, events[1])
        value -= number * barrier.height
        height = xp.where(xp.isfinite(barrier.height), barrier.height, 0.0)
        gradient[:, free] -= (slope * height)[:, None] * sign
        gradient[:, columns] -= number[:, None] * barrier.gradient
        curvature = barrier.convex if convex else barrier.hessian
        hessian[:, columns, columns] -= number[:, None, None] * curvature
        hessian[:, free, free] -= (bend * height)[:, None, None] * xp.outer(sign, sign)
        if not convex:
            cross = slope[:, None, None] * barrier.gradient[:, :, None] * sign
            hessian[:, columns, free] -= cross
            hessian[:, free, columns] -= cross.swapaxes(1, 2)
