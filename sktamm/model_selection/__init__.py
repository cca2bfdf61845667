"""Validation and choice of estimators by simulations that were held out."""

from sktamm.model_selection._calibrated import CalibratedTAMM
from sktamm.model_selection._scorer import (
    CoverageScorer,
    SingleScorer,
    coverage_error_scorer,
    higgsml_scorer,
    interval_score_scorer,
    neg_rmse_scorer,
)
from sktamm.model_selection._splitter import LeaveSimulationsOut

__all__ = [
    "CalibratedTAMM",
    "CoverageScorer",
    "LeaveSimulationsOut",
    "SingleScorer",
    "coverage_error_scorer",
    "higgsml_scorer",
    "interval_score_scorer",
    "neg_rmse_scorer",
]
