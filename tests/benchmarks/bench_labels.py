"""Bins without an order: labels whose frequencies differ between simulations.

Usage: python tests/benchmarks/bench_labels.py [--sets 60] [--seed 22]
           [--labels 6 8 12 20] [--simulations 3 5 10] [--bases polynomial auto]

Every label is as frequent as a fixed number times exp(.25 g), g normal, in every class
of every simulation and of the truth, which is one more. Simulations have 2 000 events
per class; four targets of 2 000 events a set have kappa .02, .1, .2 and .4. Coverage
and interval score at 68.3 and 95.5 %, error of kappa, share flagged for more than the
bounds, and share of the fits that saw no order. Errors are those of the means of sets.
"""

import argparse
import warnings

import numpy as np

from sktamm import BinnedTopicTAMM
from sktamm.exceptions import SktammWarning

KAPPAS, LEVELS = np.array([0.02, 0.1, 0.2, 0.4]), np.array([0.683, 0.955])
EVENTS, SPREAD = 2000, 0.25


def frequencies(n_labels, rng):
    """Of one simulation, (n_classes, n_labels)."""
    angle = 2.1 * np.arange(n_labels) + 0.3
    mean = np.abs([np.sin(angle), np.cos(angle)]) + 0.1
    p = mean * np.exp(rng.normal(0.0, SPREAD, mean.shape))
    return p / p.sum(axis=1, keepdims=True)


def answers(n_labels, n_simulations, basis, seed):
    """Whether intervals cover, scores, errors, flags of a set; whether it saw none."""
    rng = np.random.default_rng(seed)
    p = [frequencies(n_labels, rng) for _ in range(n_simulations)]
    X = np.concatenate([rng.choice(n_labels, EVENTS, p=q) for own in p for q in own])
    y, simulation = np.tile([0, 1], n_simulations), np.repeat(range(n_simulations), 2)
    truth = frequencies(n_labels, rng)
    signal = rng.binomial(EVENTS, KAPPAS)
    data = [
        rng.choice(n_labels, n, p=truth[c])
        for m in signal
        for c, n in ((0, EVENTS - m), (1, m))
    ]
    tamm = BinnedTopicTAMM(basis=basis, random_state=0)
    tamm.fit(X[:, None], y.repeat(EVENTS), simulation=simulation.repeat(EVENTS))
    result = tamm.infer(
        np.concatenate(data)[:, None],
        dataset=np.repeat(np.arange(KAPPAS.size), EVENTS),
        levels=LEVELS,
    )
    low, high = result.interval[:, 0], result.interval[:, 1]
    beyond = np.maximum(low - KAPPAS[:, None], 0) + np.maximum(
        KAPPAS[:, None] - high, 0
    )
    flagged = [bool(set(flags) - {"at_boundary"}) for flags in result.flags]
    return (
        (beyond == 0).mean(axis=0),
        (high - low + 2.0 / (1.0 - LEVELS) * beyond).mean(axis=0),
        ((result.kappa - KAPPAS) ** 2).mean(),
        np.mean(flagged),
        tamm.components_.unordered_,
    )


def report(n_labels, n_simulations, basis, options):
    found = [
        answers(n_labels, n_simulations, basis, [options.seed, i])
        for i in range(options.sets)
    ]
    covered, score, squared, flagged, unordered = map(
        np.array, zip(*found, strict=True)
    )
    error = covered.std(axis=0, ddof=1) / np.sqrt(options.sets)
    share, score = covered.mean(axis=0), score.mean(axis=0)
    print(
        f"K = {n_simulations}, {n_labels} labels, {basis}: coverage "
        f"{share[0]:.2f} +- {error[0]:.2f} / {share[1]:.2f} +- {error[1]:.2f}, score "
        f"{score[0]:.3f} / {score[1]:.3f}, RMSE {np.sqrt(squared.mean()):.3f}, flagged "
        f"{flagged.mean():.2f}, without an order {unordered.mean():.2f}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=60)
    parser.add_argument("--seed", type=int, default=22)
    parser.add_argument("--labels", type=int, nargs="+", default=[6, 8, 12, 20])
    parser.add_argument("--simulations", type=int, nargs="+", default=[3, 5, 10])
    parser.add_argument("--bases", nargs="+", default=["polynomial", "auto"])
    options = parser.parse_args()
    warnings.simplefilter("ignore", SktammWarning)
    for n_simulations in options.simulations:
        for n_labels in options.labels:
            for basis in options.bases:
                report(n_labels, n_simulations, basis, options)


if __name__ == "__main__":
    main()
