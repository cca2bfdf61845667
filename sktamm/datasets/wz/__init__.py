"""WZ production with three Wilson coefficients: amplitudes, phase space, detector."""

from sktamm.datasets.wz._amplitudes import WZ_BENCHMARKS
from sktamm.datasets.wz._detector import wz_smear
from sktamm.datasets.wz._events import WZEvents, make_wz

__all__ = ["WZ_BENCHMARKS", "WZEvents", "make_wz", "wz_smear"]
