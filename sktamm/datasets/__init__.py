"""Studies with known truth."""

from sktamm.datasets._gaussian import (
    GaussianParameters,
    GaussianStudy,
    draw_gaussian_parameters,
    make_gaussian_study,
)
from sktamm.datasets._truncated_normal import (
    bin_probabilities,
    truncated_normal_sample,
)

__all__ = [
    "GaussianParameters",
    "GaussianStudy",
    "bin_probabilities",
    "draw_gaussian_parameters",
    "make_gaussian_study",
    "truncated_normal_sample",
]
