"""The general estimator, its presets, and `infer`."""

from sktamm.tamm._ask import Answers, ask, check_askable, classes_of
from sktamm.tamm._choices import check_level, check_levels, seed_sequence
from sktamm.tamm._counting import count_events
from sktamm.tamm._exchangeable import compare_simulations
from sktamm.tamm._exchangeable_result import ExchangeabilityResult
from sktamm.tamm._opened import final_step, opened
from sktamm.tamm._presets import BinnedTopicTAMM, NeuralRatioTAMM, infer
from sktamm.tamm._regressor import TAMMRegressor
from sktamm.tamm._score_preset import ScoreTAMM
from sktamm.tamm._subset import (
    with_components_of,
    without_ids,
    without_templates,
)
from sktamm.tamm._wrapper import FractionWrapper

__all__ = [
    "Answers",
    "BinnedTopicTAMM",
    "ExchangeabilityResult",
    "FractionWrapper",
    "NeuralRatioTAMM",
    "ScoreTAMM",
    "TAMMRegressor",
    "ask",
    "check_askable",
    "check_level",
    "check_levels",
    "classes_of",
    "compare_simulations",
    "count_events",
    "final_step",
    "infer",
    "opened",
    "seed_sequence",
    "with_components_of",
    "without_ids",
    "without_templates",
]
