"""Coverage studies: how often intervals contain the truth, over many experiments."""

from sktamm.coverage._higgsml import higgsml_score
from sktamm.coverage._measures import ONE_SIGMA, check_different, summarise
from sktamm.coverage._pseudo import LabelledEvents, choose_fractions
from sktamm.coverage._result import CoverageResult
from sktamm.coverage._study import coverage_study

__all__ = [
    "ONE_SIGMA",
    "CoverageResult",
    "LabelledEvents",
    "check_different",
    "choose_fractions",
    "coverage_study",
    "higgsml_score",
    "summarise",
]
