"""Displays built from results alone; matplotlib is imported when one is drawn."""

from sktamm.plotting._coverage import CoverageDisplay, WidthDisplay
from sktamm.plotting._diagnostics import InfluenceDisplay, RankDisplay
from sktamm.plotting._event_mixture import WeightedEvents
from sktamm.plotting._exchangeability import ExchangeabilityDisplay
from sktamm.plotting._experiments import EstimatesDisplay, PullDisplay
from sktamm.plotting._fraction import FractionDisplay
from sktamm.plotting._left_out import LeftOutDisplay
from sktamm.plotting._mixture import MixtureDisplay
from sktamm.plotting._overview import save_overview
from sktamm.plotting._parameters import (
    ParameterProfileDisplay,
    ParameterRegionDisplay,
)
from sktamm.plotting._parametric import RatioDisplay, SpreadDisplay
from sktamm.plotting._svg import to_svg
from sktamm.plotting._templates import TemplatesDisplay

__all__ = [
    "CoverageDisplay",
    "EstimatesDisplay",
    "ExchangeabilityDisplay",
    "FractionDisplay",
    "InfluenceDisplay",
    "LeftOutDisplay",
    "MixtureDisplay",
    "ParameterProfileDisplay",
    "ParameterRegionDisplay",
    "PullDisplay",
    "RankDisplay",
    "RatioDisplay",
    "SpreadDisplay",
    "TemplatesDisplay",
    "WeightedEvents",
    "WidthDisplay",
    "save_overview",
    "to_svg",
]
