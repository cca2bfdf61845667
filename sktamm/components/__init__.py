"""Simulations become components: templates, learned ratios, topics."""

from sktamm.components._basis import NoBasis, PolynomialBasis, SplineBasis
from sktamm.components._binned import TemplateComponents, TopicComponents
from sktamm.components._density_ratio import DensityRatio
from sktamm.components._ensemble import ClassifierEnsemble
from sktamm.components._learned_score import LearnedScore
from sktamm.components._lightgbm import LightGBMRatioClassifier
from sktamm.components._mlp import TorchMLPClassifier
from sktamm.components._mlp_regressor import TorchMLPRegressor
from sktamm.components._projected import ProjectedRatios
from sktamm.components._score import ScoreComponents
from sktamm.components._topics import TopicModel
from sktamm.components._unbinned import RatioComponents
from sktamm.components._unbinned_topics import RatioTopicComponents
from sktamm.components._wifi_ensemble import WifiEnsemble

__all__ = [
    "ClassifierEnsemble",
    "DensityRatio",
    "LearnedScore",
    "LightGBMRatioClassifier",
    "NoBasis",
    "PolynomialBasis",
    "ProjectedRatios",
    "RatioComponents",
    "RatioTopicComponents",
    "ScoreComponents",
    "SplineBasis",
    "TemplateComponents",
    "TopicComponents",
    "TopicModel",
    "TorchMLPClassifier",
    "TorchMLPRegressor",
    "WifiEnsemble",
]
