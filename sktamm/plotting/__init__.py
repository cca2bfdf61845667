"""Displays built from results alone; matplotlib is imported when one is drawn."""

from sktamm.plotting._fraction import FractionDisplay
from sktamm.plotting._mixture import MixtureDisplay
from sktamm.plotting._overview import save_overview
from sktamm.plotting._templates import TemplatesDisplay

__all__ = ["FractionDisplay", "MixtureDisplay", "TemplatesDisplay", "save_overview"]
