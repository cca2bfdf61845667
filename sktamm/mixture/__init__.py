"""Forms, priors and the mixture: log posterior, gradient and Hessian."""

from sktamm.mixture._forms import ExponentialForm, LinearForm
from sktamm.mixture._model import MixtureModel, RowData
from sktamm.mixture._priors import (
    DirichletPrior,
    RidgePrior,
    ShrinkagePrior,
    SimulationsPrior,
)

__all__ = [
    "DirichletPrior",
    "ExponentialForm",
    "LinearForm",
    "MixtureModel",
    "RidgePrior",
    "RowData",
    "ShrinkagePrior",
    "SimulationsPrior",
]
