"""Validation and choice of estimators by simulations that were left out."""

from sktamm.model_selection._calibrated import CalibratedTAMM
from sktamm.model_selection._calibration_units import (
    CalibrationUnit,
    Design,
    draw_datasets,
    find_units,
)
from sktamm.model_selection._leave_one_out import fit_without, quiet_infer
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
    "CalibrationUnit",
    "CoverageScorer",
    "Design",
    "LeaveSimulationsOut",
    "SingleScorer",
    "coverage_error_scorer",
    "draw_datasets",
    "find_units",
    "fit_without",
    "higgsml_scorer",
    "interval_score_scorer",
    "neg_rmse_scorer",
    "quiet_infer",
]
