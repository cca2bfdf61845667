"""Immutable answers: what was measured, how well, and whether to trust it.

Displays and exports are built from these records alone.
"""

from sktamm.results._blinding import check_seed, refuse_blinded
from sktamm.results._digits import decimals_of, rounded
from sktamm.results._flags import FLAGS, flag_meaning
from sktamm.results._parts import AdaptedTemplates, Profile
from sktamm.results._record import FractionResult
from sktamm.results._seal import Seal
from sktamm.results._words import BLINDED, OWN_LINES, choices_line, own_lines

__all__ = [
    "BLINDED",
    "FLAGS",
    "OWN_LINES",
    "AdaptedTemplates",
    "FractionResult",
    "Profile",
    "Seal",
    "check_seed",
    "choices_line",
    "decimals_of",
    "flag_meaning",
    "own_lines",
    "refuse_blinded",
    "rounded",
]
