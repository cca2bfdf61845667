"""From a component table to an interval: both statistics."""

from sktamm.inference._base import Answer
from sktamm.inference._bayesian import BayesianInference
from sktamm.inference._data import undiscounted
from sktamm.inference._discrepancy import SURPRISING
from sktamm.inference._fit import Fit
from sktamm.inference._frequentist import FrequentistInference
from sktamm.inference._goodness import pearson
from sktamm.inference._intervals import (
    density_intervals,
    density_moments,
    normal_quantile,
    ratio_intervals,
)
from sktamm.inference._optimise import maximise
from sktamm.inference._parameter_draws import parameter_draws

__all__ = [
    "SURPRISING",
    "Answer",
    "BayesianInference",
    "Fit",
    "FrequentistInference",
    "density_intervals",
    "density_moments",
    "maximise",
    "normal_quantile",
    "parameter_draws",
    "pearson",
    "ratio_intervals",
    "undiscounted",
]
