"""A measurement as one page: what kappa is, whether to believe it, and why."""

from sktamm.report._checks import Check, find_checks
from sktamm.report._report import Report, make_report

__all__ = ["Check", "Report", "find_checks", "make_report"]
