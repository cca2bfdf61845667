"""The only input door: labels, simulation and dataset ids, weights, refusals."""

from sktamm.events._events import (
    Pairing,
    SimulatedEvents,
    Sources,
    TargetEvents,
    accumulate,
    read_simulations,
    read_sources,
    read_target,
)
from sktamm.events._suspects import (
    SeenFeatures,
    warn_about_simulations,
    warn_about_target,
)

__all__ = [
    "Pairing",
    "SeenFeatures",
    "SimulatedEvents",
    "Sources",
    "TargetEvents",
    "accumulate",
    "read_simulations",
    "read_sources",
    "read_target",
    "warn_about_simulations",
    "warn_about_target",
]
