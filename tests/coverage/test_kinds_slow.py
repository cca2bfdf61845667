"""Coverage of the default on features of other kinds than Gaussians; 20 seconds.

Truths are drawn as the simulations are. The targets of a set share its simulations: the
error of the coverage is that of the means of the sets.
"""

import warnings

import numpy as np
import pytest

from sktamm import BinnedTopicTAMM
from sktamm.exceptions import SktammWarning

pytestmark = pytest.mark.slow

KAPPAS = np.array([0.05, 0.1, 0.2, 0.4])
LEVELS = np.array([0.683, 0.955])
SETS, SIMULATIONS, EVENTS = 60, 6, 2000


def _log_normals(rng):
    """Two energies; means and widths of their logarithms differ."""
    means = rng.normal([[0.0], [1.2]], 0.3, (2, 2))
    width = np.exp(rng.normal(0.0, 0.1, 2))
    return lambda c, n: np.exp(1.5 * (rng.normal(size=(n, 2)) * width + means[c]))


def _labels(rng):
    """Eight labels; the logarithms of their frequencies differ independently."""
    mean = np.abs([np.sin(2.1 * np.arange(8) + 0.3), np.cos(2.1 * np.arange(8) + 0.3)])
    p = (mean + 0.1) * np.exp(rng.normal(0.0, 0.25, (2, 8)))
    p /= p.sum(axis=1, keepdims=True)
    return lambda c, n: rng.choice(8, (n, 1), p=p[c]).astype(float)


def _covered(kind, seed):
    """Whether intervals hold the truth, (n_kappas, n_levels)."""
    rng = np.random.default_rng([7, seed])
    parts = [
        (draw(c, EVENTS), c, k)
        for k, draw in enumerate(kind(rng) for _ in range(SIMULATIONS))
        for c in (0, 1)
    ]
    X = np.concatenate([x for x, _, _ in parts])
    y, simulation = (np.repeat([p[i] for p in parts], EVENTS) for i in (1, 2))
    truth = kind(rng)
    signal = rng.binomial(EVENTS, KAPPAS)
    data = [truth(c, n) for m in signal for c, n in ((0, EVENTS - m), (1, m))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SktammWarning)
        tamm = BinnedTopicTAMM(random_state=0).fit(X, y, simulation=simulation)
        dataset = np.repeat(np.arange(KAPPAS.size), EVENTS)
        result = tamm.infer(np.concatenate(data), dataset=dataset, levels=LEVELS)
    low, high = result.interval[:, 0], result.interval[:, 1]
    return (low <= KAPPAS[:, None]) & (KAPPAS[:, None] <= high)


@pytest.mark.parametrize("kind", [_log_normals, _labels])
def test_the_default_covers(kind):
    covered = np.array([_covered(kind, seed).mean(axis=0) for seed in range(SETS)])
    share = covered.mean(axis=0)
    error = covered.std(axis=0, ddof=1) / np.sqrt(SETS)
    assert (share > LEVELS - 3.0 * error).all(), (share, error)
