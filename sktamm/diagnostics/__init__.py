"""Diagnostics of a measurement: does it describe the data, what drives its error.

Every function takes a fitted estimator, or a Pipeline or search ending in one, and the
unlabelled target; every answer is an immutable record of numbers.
"""

from sktamm.diagnostics._error_split import ErrorSplit, error_split
from sktamm.diagnostics._exchangeability import (
    ExchangeabilityResult,
    exchangeability,
)
from sktamm.diagnostics._goodness import GoodnessOfFitResult, goodness_of_fit
from sktamm.diagnostics._hellinger import HellingerResult, hellinger_distances
from sktamm.diagnostics._identifiability import IdentifiabilityResult, identifiability
from sktamm.diagnostics._influence import InfluenceResult, influence
from sktamm.diagnostics._sbc import SBCResult, simulation_based_calibration
from sktamm.diagnostics._span import SpanResult, span_check

__all__ = [
    "ErrorSplit",
    "ExchangeabilityResult",
    "GoodnessOfFitResult",
    "HellingerResult",
    "IdentifiabilityResult",
    "InfluenceResult",
    "SBCResult",
    "SpanResult",
    "error_split",
    "exchangeability",
    "goodness_of_fit",
    "hellinger_distances",
    "identifiability",
    "influence",
    "simulation_based_calibration",
    "span_check",
]
