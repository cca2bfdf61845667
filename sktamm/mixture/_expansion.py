"""What a prior of the exponential form says of one class: offset and directions."""

from dataclasses import dataclass
from numbers import Real

from sktamm._numerics import FloatArray
from sktamm.exceptions import IncompatibleChoiceError
from sktamm.mixture._features import Features
from sktamm.mixture._penalties import Penalty

__all__ = ["Expansion", "check_strength"]


@dataclass(frozen=True, eq=False)
class Expansion:
    """Offset and whitened directions of one class, as coefficients of its features.

    Attributes
    ----------
    features : Features
        Functions that the coefficients multiply.
    offset : ndarray of shape (n_features,)
        Coefficients of the central log density.
    directions : ndarray of shape (n_features, n_directions)
        Coefficients of the directions, scaled so that their amplitudes have unit prior
        variance.
    penalty : Penalty
        Log prior density of the amplitudes.
    """

    features: Features
    offset: FloatArray
    directions: FloatArray
    penalty: Penalty


def check_strength(strength: float) -> None:
    """Refuse a strength that is not positive."""
    if not (isinstance(strength, Real) and float(strength) > 0):
        raise IncompatibleChoiceError(f"strength must be positive, got {strength!r}.")
