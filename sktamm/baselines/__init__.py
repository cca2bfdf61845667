"""What users compare with: established ways to measure a fraction, behind one API."""

from sktamm.baselines._free import FreeTemplates
from sktamm.baselines._label_shift import LabelShiftEM
from sktamm.baselines._merged import PooledSimulations, SingleSimulation
from sktamm.baselines._morphing import TemplateMorphing

__all__ = [
    "FreeTemplates",
    "LabelShiftEM",
    "PooledSimulations",
    "SingleSimulation",
    "TemplateMorphing",
]
