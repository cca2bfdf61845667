"""Studies with known truth."""

from sktamm.datasets._gaussian import GaussianStudy, make_gaussian_study
from sktamm.datasets._gaussian_density import gaussian_log_density
from sktamm.datasets._gaussian_parameters import (
    GaussianParameters,
    draw_gaussian_parameters,
)
from sktamm.datasets._smeft_toy import (
    SmeftToy,
    make_smeft_toy,
    smeft_toy_log_ratio,
    smeft_toy_smear,
)
from sktamm.datasets._truncated_normal import (
    bin_probabilities,
    truncated_normal_sample,
)
from sktamm.datasets.dihiggs import (
    DiHiggsArchive,
    DiHiggsStudy,
    load_dihiggs,
    make_dihiggs,
)
from sktamm.datasets.wz import WZ_BENCHMARKS, WZEvents, make_wz, wz_smear

__all__ = [
    "WZ_BENCHMARKS",
    "DiHiggsArchive",
    "DiHiggsStudy",
    "GaussianParameters",
    "GaussianStudy",
    "SmeftToy",
    "WZEvents",
    "bin_probabilities",
    "draw_gaussian_parameters",
    "gaussian_log_density",
    "load_dihiggs",
    "make_dihiggs",
    "make_gaussian_study",
    "make_smeft_toy",
    "make_wz",
    "smeft_toy_log_ratio",
    "smeft_toy_smear",
    "truncated_normal_sample",
    "wz_smear",
]
