"""JCPOT: class proportions by joint optimal transport from several simulations.

Redko, Courty, Flamary and Tuia (arXiv:1803.04899), iteration by iteration that of POT
(``ot.bregman.jcpot_barycenter``) in a sixth of the time. It takes the densities of a
class as right up to transport, knows no errors and costs events of a simulation x
events of the target. So it runs on subsamples of both, of standardised features, and is
given the interval of a bootstrap, m out of n: the mean over subsamples +- z times their
spread x sqrt(m / n).
"""

from typing import Any

import numpy as np
from cases import Case
from scipy import stats
from scipy.spatial.distance import cdist

N_SUBSAMPLES = 10
N_SOURCE, N_TARGET = 60, 300  # events of a class of a simulation, of a target
# The entropic term in units of the mean squared distance. From 1 to .01 the pull to
# equal shares falls on the open studies (kappa of .09 in two Gaussian features: .51,
# .39, .29, .23), at .005 it does not fall on images, and a fit takes twice as long.
STRENGTH = 0.01
N_ITERATIONS, TOLERANCE = 1_000, 1e-5
FLOOR = 1e-10  # of a marginal that is divided by, as in POT
REACH = 5.0  # standard deviations; farther events are moved there, or kernels underflow


def answers(case: Case, levels: tuple[float, ...]) -> dict[str, Any]:
    """Fractions and intervals of the targets of a case."""
    rng = np.random.default_rng(0)
    scale = _scale(case.X)
    sources = [
        [
            scale(case.X[(case.y == c) & (case.simulation == k)])
            for c in np.unique(case.y)
        ]
        for k in np.unique(case.simulation)
    ]
    kappa, interval, flags = [], [], []
    for X, _ in case.targets:
        target = scale(X)
        found = [_fit(sources, target, rng) for _ in range(N_SUBSAMPLES)]
        value = np.array([fraction for fraction, _ in found])
        size = min(N_TARGET, len(target))
        error = value.std(ddof=1) * np.sqrt(size / len(target))
        reach = stats.norm.ppf(0.5 + 0.5 * np.array(levels)) * error
        kappa.append(float(value.mean()))
        ends = np.clip(value.mean() + np.array([-reach, reach]), 0.0, 1.0)
        interval.append(ends.tolist())
        converged = all(done for _, done in found)
        flags.append([] if converged else ["not_converged"])
    return {"kappa": kappa, "interval": interval, "flags": flags}


def _scale(X):
    """Features of mean 0, clipped; the mean squared distance of two events is 1."""
    mean, width = X.mean(axis=0), X.std(axis=0)
    width = np.where(width > 0, width, 1.0)

    def scale(X):
        return np.clip((X - mean) / width, -REACH, REACH) / np.sqrt(2.0 * X.shape[1])

    return scale


def _fit(sources, target, rng):
    """Fraction of the last class from subsamples, and whether the fit converged."""
    drawn = [[_some(X, N_SOURCE, rng) for X in classes] for classes in sources]
    shares, converged = jcpot(drawn, _some(target, N_TARGET, rng), STRENGTH)
    if not np.isfinite(shares).all():
        raise FloatingPointError("JCPOT: the transport kernel underflows.")
    return shares[-1], converged


def jcpot(sources, target, strength):
    """Shares of the classes in the target, and whether they converged.

    ``sources[k][c]`` are events of class c in simulation k. A coupling is u K v with
    a kernel K: a projection is a product of K with a vector, no pass over couplings.
    """
    u, kernels, v = zip(
        *(_kernel(np.concatenate(own), target, strength) for own in sources),
        strict=True,
    )
    sizes = [np.array([len(X) for X in own]) for own in sources]
    starts = [np.append(0, np.cumsum(own)[:-1]) for own in sizes]
    shares, change = np.ones(len(sizes[0])), np.inf
    for _ in range(N_ITERATIONS):
        before, masses, log_shares = shares, [], 0.0
        for k, K in enumerate(kernels):
            _project(v[k], v[k] * (u[k] @ K), 1.0 / len(target))
            masses.append(u[k] * (K @ v[k]))
            log_shares += np.log(np.add.reduceat(masses[k], starts[k])) / len(kernels)
        shares = np.exp(log_shares)
        for k, n in enumerate(sizes):
            _project(u[k], masses[k], np.repeat(shares / n, n))
        change = np.linalg.norm(shares - before)
        if change < TOLERANCE:
            break
    return shares / shares.sum(), change < TOLERANCE


def _kernel(X, target, strength):
    """Scales of the rows, their kernel, and scales of its columns.

    Both scales keep far events, of minute couplings, from overflow.
    """
    log_k = -cdist(X, target, "sqeuclidean") / strength
    column = log_k.max(axis=0)
    row = (log_k - column).max(axis=1)
    K = np.exp(log_k - column - row[:, None])
    K[np.exp(log_k) == 0.0] = 0.0  # as in POT
    return np.exp(row), K, np.exp(column)


def _project(scale, mass, wanted):
    """Give couplings the marginals that are wanted, where there are any couplings."""
    factor = wanted / np.maximum(mass, FLOOR)
    scale *= np.where(mass > 0.0, factor, 1.0)


def _some(X, n, rng):
    return X[rng.choice(len(X), min(n, len(X)), replace=False)]
