"""Diagnostics of a measurement: does it describe the data, what drives its error.

Every function takes a fitted estimator, or a Pipeline or search ending in one, and the
unlabelled target; every answer is an immutable record of numbers.
"""

from sktamm.diagnostics._influence import InfluenceResult, influence
from sktamm.diagnostics._records import SBCResult

__all__ = ["InfluenceResult", "SBCResult", "influence"]
