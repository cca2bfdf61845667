"""Simulations become components: templates, learned ratios, topics."""

from sktamm.components._binned import TemplateComponents, TopicComponents
from sktamm.components._density_ratio import DensityRatio
from sktamm.components._projected import ProjectedRatios
from sktamm.components._score import ScoreComponents
from sktamm.components._unbinned import RatioComponents
from sktamm.components._unbinned_topics import RatioTopicComponents
from sktamm.components._wifi_ensemble import WifiEnsemble

__all__ = [
    "DensityRatio",
    "ProjectedRatios",
    "RatioComponents",
    "RatioTopicComponents",
    "ScoreComponents",
    "TemplateComponents",
    "TopicComponents",
    "WifiEnsemble",
]
