"""Simulations become components: templates, learned ratios, topics."""

from sktamm.components._axes import check_axis_names
from sktamm.components._binned import TemplateComponents, TopicComponents
from sktamm.components._density_ratio import DensityRatio
from sktamm.components._histogram import (
    HistogramTemplates,
    as_histograms,
    effective_events,
    is_histogram,
    read_histograms,
    target_from_histograms,
)
from sktamm.components._learned_score import LearnedScore
from sktamm.components._projected import ProjectedRatios
from sktamm.components._score import ScoreComponents
from sktamm.components._topics import TopicModel
from sktamm.components._unbinned import RatioComponents
from sktamm.components._unbinned_topics import RatioTopicComponents
from sktamm.components._wifi_ensemble import WifiEnsemble

__all__ = [
    "DensityRatio",
    "HistogramTemplates",
    "LearnedScore",
    "ProjectedRatios",
    "RatioComponents",
    "RatioTopicComponents",
    "ScoreComponents",
    "TemplateComponents",
    "TopicComponents",
    "TopicModel",
    "WifiEnsemble",
    "as_histograms",
    "check_axis_names",
    "effective_events",
    "is_histogram",
    "read_histograms",
    "target_from_histograms",
]
