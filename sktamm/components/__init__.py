"""Simulations become components: templates, topics, smooth functions."""

from sktamm.components._basis import NoBasis, PolynomialBasis, SplineBasis
from sktamm.components._binned import TemplateComponents, TopicComponents
from sktamm.components._topics import TopicModel

__all__ = [
    "NoBasis",
    "PolynomialBasis",
    "SplineBasis",
    "TemplateComponents",
    "TopicComponents",
    "TopicModel",
]
