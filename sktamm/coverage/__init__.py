"""Coverage studies: how often intervals contain the truth, over many experiments."""

from sktamm.coverage._result import CoverageResult
from sktamm.coverage._study import coverage_study

__all__ = ["CoverageResult", "coverage_study"]
