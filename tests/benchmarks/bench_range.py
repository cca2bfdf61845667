"""Where automatic bins should end: information on kappa that ten bins keep.

Run from the root of the repository:

    PYTHONPATH=. python tests/benchmarks/bench_range.py

Ends are the last events within q_a - c (q_50 - q_a) and its mirror, of the wider class,
from 5 000 events of background and of signal in three states: clean, with one event at
10^6, and with 2 % of all events at -999. Kept is the Fisher information on
kappa = 0.1 of ten uniform bins, with everything beyond clipped, over that of the
densities; the table has its smallest over the states, the mean over samples. "ends" are
the smallest and largest event.

The second table lists, over all of these bins, what is kept when the fullest bin holds
at least a given share of every source.
"""

import argparse
from functools import cache

import numpy as np
from scipy import stats

from sktamm.templates import _range

N_EVENTS, N_BINS, KAPPA = 5_000, 10, 0.1
GROUP = np.repeat([0, 1], N_EVENTS)
SHAPES = {
    "gaussian": (stats.norm(), stats.norm(1.0)),
    "cut at 2": (stats.truncnorm(-2, 2), stats.truncnorm(-2.5, 1.5, loc=0.5)),
    "uniform": (stats.uniform(), stats.beta(2, 1)),
    "exponential": (stats.expon(), stats.expon(scale=1.5)),
    "lognormal": (stats.lognorm(1.0), stats.lognorm(1.0, scale=1.5)),
    "cauchy": (stats.cauchy(), stats.cauchy(1.0)),
    "resonance": (stats.expon(), stats.norm(2.0, 0.1)),
    "far tail": (stats.expon(), stats.gamma(4.0)),
}
TAILS, REACHES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15), (0.5, 1.0, 1.5, 2.0, 3.0)
STATES = ("clean", "outlier", "placeholder")


def information(background, signal):
    """Fisher information on kappa, per event, from probabilities of cells."""
    density = KAPPA * signal + (1.0 - KAPPA) * background
    filled = density > 0
    return ((signal - background)[filled] ** 2 / density[filled]).sum()


def cells(pair, edges):
    """Probabilities of both classes, all beyond the edges in the outermost cells."""
    edges = np.concatenate([[-np.inf], edges[1:-1], [np.inf]])
    return [np.diff(law.cdf(edges)) for law in pair]


@cache
def fine(pair):
    """Information of the densities: of cells of at most a 20 000th of each class."""
    levels = np.linspace(0.0, 1.0, 20_001)
    edges = np.unique(np.concatenate([law.ppf(levels) for law in pair]))
    return information(*cells(pair, edges))


def draw(pair, state, rng):
    """Sample of both classes in one of the states."""
    x = np.concatenate([law.rvs(N_EVENTS, random_state=rng) for law in pair])
    if state == "outlier":
        x[0] = 1e6
    if state == "placeholder":
        x[rng.random(x.size) < 0.02] = -999.0
    return x


def judge(pair, ends, missing):
    """What is kept, and the share of the fullest bin in the emptier source of it."""
    edges = np.linspace(*ends, N_BINS + 1)
    shares = [(1.0 - missing) * share for share in cells(pair, edges)]
    for share in shares:
        share[0] += missing
    fullest = np.minimum(*shares).max()
    return information(*shares) / fine(pair), fullest


def rules():
    """Names of rules and what makes ends of a sample."""
    yield "ends", lambda x: (x.min(), x.max())
    for tail in TAILS:
        for reach in REACHES:

            def ends(x, tail=tail, reach=reach):
                _range._TAIL, _range._REACH = tail, reach
                return _range.robust_ends(x, np.ones(x.size), GROUP)[:2]

            yield f"a={tail:.3f} c={reach:.1f}", ends


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=10)
    arguments = parser.parse_args()
    print(f"{'':16}" + "".join(f"{name:>12}" for name in SHAPES) + "   worst  mean")
    judged = []
    for rule, ends in rules():
        row = []
        for pair in SHAPES.values():
            kept = np.zeros((arguments.samples, len(STATES)))
            for i, j in np.ndindex(*kept.shape):
                x = draw(pair, STATES[j], np.random.default_rng(i))
                missing = 0.02 * (STATES[j] == "placeholder")
                kept[i, j], fullest = judge(pair, ends(x), missing)
                judged.append((fullest, kept[i, j]))
            row.append(kept.mean(axis=0).min())
        cells_of_row = "".join(f"{value:12.3f}" for value in row)
        print(f"{rule:16}{cells_of_row}{min(row):8.3f}{np.mean(row):6.3f}")
    fullest, kept = np.array(judged).T
    print("\nfullest bin   bins   kept: 5 %, median, 95 %")
    for low in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99):
        of = kept[(fullest >= low) & (fullest < low + 0.1)]
        if of.size:
            print(f"from {low:.2f} {of.size:10d}  ", np.quantile(of, [0.05, 0.5, 0.95]))


if __name__ == "__main__":
    main()
