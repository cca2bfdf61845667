"""Coverage studies: how often intervals contain the truth, over many experiments."""

from sktamm.coverage._result import CoverageResult

__all__ = ["CoverageResult"]
