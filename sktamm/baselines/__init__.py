"""What users compare with: established ways to measure a fraction, behind one API."""

from sktamm.baselines._free import FreeTemplates
from sktamm.baselines._label_shift import LabelShiftEM
from sktamm.baselines._merged import PooledSimulations, SingleSimulation

__all__ = ["FreeTemplates", "LabelShiftEM", "PooledSimulations", "SingleSimulation"]
