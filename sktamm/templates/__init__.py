"""Histograms of simulations: bins, smoothing, topics, learned scores."""

from sktamm.templates._axes import check_axis_names
from sktamm.templates._binning import Bins, Flow
from sktamm.templates._filled import filled_bins
from sktamm.templates._histogram import (
    HistogramTemplates,
    TargetContents,
    as_histograms,
    effective_events,
    is_histogram,
    read_histograms,
    target_from_histograms,
    template_probabilities,
)
from sktamm.templates._learned_score import LearnedScore
from sktamm.templates._order import have_no_order
from sktamm.templates._score_parts import Copies, is_discrete, spread_over
from sktamm.templates._simulated import Beyond, bin_simulations
from sktamm.templates._smoothing import smooth_templates
from sktamm.templates._tally import BinCounter, Tally
from sktamm.templates._topics import TopicModel, topic_relative_variance

__all__ = [
    "Beyond",
    "BinCounter",
    "Bins",
    "Copies",
    "Flow",
    "HistogramTemplates",
    "LearnedScore",
    "Tally",
    "TargetContents",
    "TopicModel",
    "as_histograms",
    "bin_simulations",
    "check_axis_names",
    "effective_events",
    "filled_bins",
    "have_no_order",
    "is_discrete",
    "is_histogram",
    "read_histograms",
    "smooth_templates",
    "spread_over",
    "target_from_histograms",
    "template_probabilities",
    "topic_relative_variance",
]
