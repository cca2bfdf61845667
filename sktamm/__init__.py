"""Signal fractions from many imperfect simulations.

Template-adapted mixture models (arXiv:2604.02219) as scikit-learn estimators.
"""

from sktamm.auto import AutoTAMM
from sktamm.exports import event_weights
from sktamm.io import read_result
from sktamm.results import FractionResult
from sktamm.tamm import (
    BinnedTopicTAMM,
    NeuralRatioTAMM,
    ScoreTAMM,
    TAMMRegressor,
    count_events,
    infer,
)

__all__ = [
    "AutoTAMM",
    "BinnedTopicTAMM",
    "FractionResult",
    "NeuralRatioTAMM",
    "ScoreTAMM",
    "TAMMRegressor",
    "__version__",
    "count_events",
    "event_weights",
    "infer",
    "read_result",
]

__version__ = "0.2.0"
