"""The t of Sellentin and Heavens, and that of Percival et al., on our coefficients.

The prior of sktamm expands what the simulations of a class differ by in p smooth
functions and shrinks their covariance. Here the same coefficients of K simulations have
their sample covariance S as it is, in its d leading directions, and the truth's have

    p(x) ~ [1 + x' S^-1 x / ((1 + 1/K) (K - 1))]^(-m/2)

about the mean, with m = K (Sellentin and Heavens, arXiv:1511.05969) and d = K - 1 or p,
or with the m that matches frequentist errors of n_t = 1 parameter (Percival et al.,
arXiv:2108.10402)

    m = n_t + 2 + (K - 1 + B (d - n_t)) / (1 + B (d - n_t)),
    B = (K - d - 2) / ((K - d - 1) (K - d - 4)),

which needs d <= K - 5. Both are a Student t with m - d degrees of freedom.
"""

import numpy as np
from sklearn.base import BaseEstimator

from peers.peer import Peer
from sktamm import BinnedTopicTAMM, ScoreTAMM, infer
from sktamm._numerics import contrast_basis
from sktamm.mixture._expansion import Expansion
from sktamm.mixture._features import class_features
from sktamm.mixture._penalties import StudentPenalty

LEAST = 1e-8  # of the largest singular value: below, a direction is rounding


class SampledCovariance(BaseEstimator):
    """Prior of the truth from the sample covariance; "sellentin" or "percival"."""

    informative = True
    spans = "simulations"

    def __init__(self, law="sellentin"):
        self.law = law

    def expand(self, table, class_index):
        """Offset, directions and penalty of one class."""
        features = class_features(table, class_index, self.spans)
        size = features.n_densities
        columns = _leading(features, size)
        directions = np.zeros((features.n_features, columns.shape[1]))
        if self.law == "percival":
            columns = columns[:, : size - 5]
            directions = directions[:, : size - 5]
        d = columns.shape[1]
        degrees = exponent(self.law, size, d) - d
        scale = np.sqrt((1.0 + 1.0 / size) * (size - 1.0) / degrees)
        directions[size:] = columns * scale
        penalty = StudentPenalty(np.eye(d), degrees)
        return Expansion(features, features.mean_density(), directions, penalty)


def exponent(law, size, d):
    """Twice the power of the density, m."""
    if law == "sellentin":
        return float(size)
    factor = (size - d - 2.0) / ((size - d - 1.0) * (size - d - 4.0))
    own = factor * (d - 1.0)
    return 3.0 + (size - 1.0 + own) / (1.0 + own)


def _leading(features, size):
    """Columns of the root of S, the strongest first, (p, d)."""
    logs = features.reference[:, :size] @ contrast_basis(size)
    coefficients = logs.T @ (features.reference_weight[:, None] * features.basis)
    _, strength, rows = np.linalg.svd(coefficients, full_matrices=False)
    keep = strength > LEAST * strength[0]
    return (rows[keep] * strength[keep, None]).T / np.sqrt(size - 1.0)


def peer(law, fewest) -> Peer:
    """A peer of one of the two laws."""

    def answers(study, case, levels):
        kind = ScoreTAMM if study.n_features > 2 else BinnedTopicTAMM
        tamm = kind(prior=SampledCovariance(law), random_state=0)
        tamm.fit(case.X, case.y, simulation=case.simulation)
        results = [infer(tamm, X, levels=list(levels)) for X, _ in case.targets]
        return {
            "kappa": [float(r.kappa[0]) for r in results],
            "interval": [r.interval[0].tolist() for r in results],
            "flags": [list(r.flags[0]) for r in results],
        }

    return Peer(
        lambda study, case: len(set(case.simulation)) >= fewest,
        answers,
    )
