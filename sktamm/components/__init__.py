"""Simulations become components: templates, learned ratios, topics."""

from sktamm.components._axes import check_axis_names
from sktamm.components._binned import TemplateComponents, TopicComponents
from sktamm.components._classifiers import (
    check_accepts_weights,
    fit_classifier,
    fit_in_place,
    seeded,
    take_rows,
)
from sktamm.components._density_ratio import DensityRatio
from sktamm.components._ensemble import ClassifierEnsemble
from sktamm.components._histogram import (
    HistogramTemplates,
    as_histograms,
    effective_events,
    is_histogram,
    read_histograms,
    target_from_histograms,
)
from sktamm.components._learned_score import LearnedScore
from sktamm.components._lightgbm import LightGBMRatioClassifier, make_lightgbm_regressor
from sktamm.components._mlp import TorchMLPClassifier
from sktamm.components._mlp_regressor import TorchMLPRegressor
from sktamm.components._named import make_classifier
from sktamm.components._projected import ProjectedRatios
from sktamm.components._score import ScoreComponents
from sktamm.components._stacked import StackedMLP, find_device, inverse
from sktamm.components._topics import TopicModel
from sktamm.components._unbinned import RatioComponents
from sktamm.components._unbinned_topics import RatioTopicComponents
from sktamm.components._wifi_ensemble import WifiEnsemble

__all__ = [
    "ClassifierEnsemble",
    "DensityRatio",
    "HistogramTemplates",
    "LearnedScore",
    "LightGBMRatioClassifier",
    "ProjectedRatios",
    "RatioComponents",
    "RatioTopicComponents",
    "ScoreComponents",
    "StackedMLP",
    "TemplateComponents",
    "TopicComponents",
    "TopicModel",
    "TorchMLPClassifier",
    "TorchMLPRegressor",
    "WifiEnsemble",
    "as_histograms",
    "check_accepts_weights",
    "check_axis_names",
    "effective_events",
    "find_device",
    "fit_classifier",
    "fit_in_place",
    "inverse",
    "is_histogram",
    "make_classifier",
    "make_lightgbm_regressor",
    "read_histograms",
    "seeded",
    "take_rows",
    "target_from_histograms",
]
