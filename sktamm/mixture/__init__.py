"""Forms, priors and the mixture: log posterior, gradient and Hessian."""

from sktamm.mixture._events import EventMixture
from sktamm.mixture._forms import ExponentialForm, LinearForm
from sktamm.mixture._model import MixtureModel, RowData
from sktamm.mixture._placed import placed
from sktamm.mixture._priors import (
    DirichletPrior,
    RidgePrior,
    ShrinkagePrior,
    SimulationsPrior,
)
from sktamm.mixture._reference_barrier import FEW_ROWS
from sktamm.mixture._sphere import sphere_tails

__all__ = [
    "FEW_ROWS",
    "DirichletPrior",
    "EventMixture",
    "ExponentialForm",
    "LinearForm",
    "MixtureModel",
    "RidgePrior",
    "RowData",
    "ShrinkagePrior",
    "SimulationsPrior",
    "placed",
    "sphere_tails",
]
