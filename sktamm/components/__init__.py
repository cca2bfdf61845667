"""Simulations become components: templates, learned ratios, topics."""

from sktamm.components._binned import TemplateComponents, TopicComponents
from sktamm.components._counting import EventCounter, EventCounts, fingerprint
from sktamm.components._projected import ProjectedRatios
from sktamm.components._score import ScoreComponents
from sktamm.components._tables import binned_table
from sktamm.components._unbinned import RatioComponents
from sktamm.components._unbinned_topics import RatioTopicComponents

__all__ = [
    "EventCounter",
    "EventCounts",
    "ProjectedRatios",
    "RatioComponents",
    "RatioTopicComponents",
    "ScoreComponents",
    "TemplateComponents",
    "TopicComponents",
    "binned_table",
    "fingerprint",
]
