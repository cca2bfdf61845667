"""From a component table to an interval: both statistics."""

from sktamm.inference._bayesian import BayesianInference
from sktamm.inference._frequentist import FrequentistInference

__all__ = ["BayesianInference", "FrequentistInference"]
