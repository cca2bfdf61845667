"""Nuisance parameters: what systematic shifts do to events and to the rate.

A nuisance parameter nu, constrained by a unit normal, multiplies the differential cross
section of every event by exp(a(x) nu + b(x) nu^2) and the rate by a factor of the same
form, through what is known at nu = +1 and -1: with the log ratios u and d there,
a = (u - d) / 2 and b = (u + d) / 2. Without the downward shift it is d = -u, the
log-normal rule.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sktamm._numerics import FloatArray
from sktamm.exceptions import InvalidInputError

__all__ = ["LogNormalNuisance", "Shifts", "read_shifts"]


@dataclass(frozen=True)
class LogNormalNuisance:
    """One systematic uncertainty of shape, rate or both.

    Attributes
    ----------
    up : callable or None
        ``up(X)`` returns ln of the normalised density at nu = +1 relative to nu = 0,
        one number per event; None leaves the shape alone.
    down : callable or None
        The same at nu = -1; None is minus ``up``.
    rate_up : float
        Factor of the rate at nu = +1.
    rate_down : float or None
        Factor of the rate at nu = -1; None is 1 / ``rate_up``.
    name : str
        Name, for results.

    Notes
    -----
    The shift of the shape is normalised with events of the reference point, for every
    theta and nu, so that factors of ``up`` and ``down`` that are the same for all
    events do not matter. For a shift of a normal distribution the form is exact.

    Examples
    --------
    >>> from sktamm.parametric import LogNormalNuisance
    >>> luminosity = LogNormalNuisance(rate_up=1.02, name="luminosity")
    >>> luminosity.rate_up
    1.02
    """

    up: Callable[[Any], Any] | None = None
    down: Callable[[Any], Any] | None = None
    rate_up: float = 1.0
    rate_down: float | None = None
    name: str = "nuisance"


@dataclass(frozen=True, eq=False)
class Shifts:
    """Shifts of events and of the rate by k nuisance parameters."""

    slope: FloatArray  # (n_events, k), a of the log density
    bend: FloatArray  # (n_events, k), b
    rate_slope: FloatArray  # (k,), the same of the log rate
    rate_bend: FloatArray  # (k,)


def read_shifts(nuisances: Sequence[Any] | None, X: Any, n_events: int) -> Shifts:
    """Shifts of events by all nuisance parameters."""
    try:
        nuisances = () if nuisances is None else tuple(nuisances)
    except TypeError as error:
        raise InvalidInputError(
            f"nuisances must be a list of nuisance parameters, got {nuisances!r}."
        ) from error
    strange = [n for n in nuisances if not hasattr(n, "rate_up")]
    if strange:
        raise InvalidInputError(
            f"nuisances must hold nuisance parameters, got {strange[0]!r}."
        )
    pairs = [_pair(n, X, n_events) for n in nuisances]
    rates = [_rates(n) for n in nuisances]
    up = np.array([p[0] for p in pairs]).reshape(len(pairs), n_events).T
    down = np.array([p[1] for p in pairs]).reshape(len(pairs), n_events).T
    rate = np.log(np.array(rates).reshape(len(rates), 2))
    return Shifts(
        slope=0.5 * (up - down),
        bend=0.5 * (up + down),
        rate_slope=0.5 * (rate[:, 0] - rate[:, 1]),
        rate_bend=0.5 * (rate[:, 0] + rate[:, 1]),
    )


def _pair(nuisance: Any, X: Any, n_events: int) -> tuple[FloatArray, FloatArray]:
    if nuisance.up is None and nuisance.down is not None:
        raise InvalidInputError(
            f"up of {nuisance.name!r} must be given where down is, got None."
        )
    if nuisance.up is None:
        return np.zeros(n_events), np.zeros(n_events)
    up = _per_event(nuisance.up(X), nuisance.name, n_events)
    if nuisance.down is None:
        return up, -up
    return up, _per_event(nuisance.down(X), nuisance.name, n_events)


def _per_event(values: Any, name: str, n_events: int) -> FloatArray:
    shift = np.asarray(values, dtype=float)
    if shift.shape != (n_events,) or not np.isfinite(shift).all():
        raise InvalidInputError(
            f"shifts of {name!r} must be one finite number for each of {n_events} "
            f"events, got shape {shift.shape}."
        )
    return shift


def _rates(nuisance: Any) -> tuple[float, float]:
    up = float(nuisance.rate_up)
    if not 0 < up < np.inf:
        raise InvalidInputError(
            f"rate_up of {nuisance.name!r} must be positive, got {nuisance.rate_up!r}."
        )
    down = 1.0 / up if nuisance.rate_down is None else float(nuisance.rate_down)
    if not 0 < down < np.inf:
        raise InvalidInputError(
            f"rate_down of {nuisance.name!r} must be positive, got "
            f"{nuisance.rate_down!r}."
        )
    return up, down
