"""What a prior of the exponential form says of one class: offset and directions."""

from dataclasses import dataclass

from sktamm._numerics import FloatArray
from sktamm.mixture._features import Features
from sktamm.mixture._penalties import Penalty

__all__ = ["Expansion"]


@dataclass(frozen=True, eq=False)
class Expansion:
    """Offset and whitened directions of one class, as coefficients of its features."""

    features: Features
    offset: FloatArray  # (n_features,), the central log density
    # (n_features, n_directions), scaled for amplitudes of unit prior variance
    directions: FloatArray
    penalty: Penalty  # log prior density of the amplitudes
