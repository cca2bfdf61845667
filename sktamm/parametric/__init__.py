"""Parameters that deform a density polynomially, as Wilson coefficients do."""

from sktamm.parametric._joint import (
    joint_derivatives,
    joint_likelihood_ratio,
    joint_score,
)
from sktamm.parametric._morphing import MorphingBasis

__all__ = [
    "MorphingBasis",
    "joint_derivatives",
    "joint_likelihood_ratio",
    "joint_score",
]
