"""The default that chooses: candidates judged on simulations that are left out."""

from sktamm.auto._estimator import AutoTAMM
from sktamm.auto._left_out import LeftOutScores
from sktamm.auto._pool import PosteriorPool

__all__ = ["AutoTAMM", "LeftOutScores", "PosteriorPool"]
