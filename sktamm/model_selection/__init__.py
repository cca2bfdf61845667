"""Validation and choice of estimators by simulations that were held out."""

from sktamm.model_selection._splitter import LeaveSimulationsOut

__all__ = ["LeaveSimulationsOut"]
