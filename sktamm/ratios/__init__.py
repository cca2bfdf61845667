"""Density ratios of all simulations at once, their reference and their errors."""

from sktamm.ratios._density_ratio import DensityRatio
from sktamm.ratios._log_linear import mean_model
from sktamm.ratios._moments import Coordinates
from sktamm.ratios._wifi_ensemble import WifiEnsemble

__all__ = ["Coordinates", "DensityRatio", "WifiEnsemble", "mean_model"]
