"""What the shrinkage of learned ratios towards a log-linear model gains and costs.

Usage: python tests/benchmarks/bench_shrinkage.py [--features 2 5 10 20] [--warp 0 0.5]

Eight simulations of the Gaussian study in d features, one classifier. For Gaussians
the log-linear model, with all polynomials of second degree, is exact. With --warp a
every feature but the last is moved by a function of the next one,

    x_j -> x_j + a sin(2 x_(j+1)) + a (x_(j+1)^2 - 1) / 2,

which changes no ratio, but which no polynomial follows. Printed are the weighted root
mean squares, over the reference events, of the errors of all log ratios, and of the
difference between the mean ln s and the mean ln b of the simulations, what kappa is
most sensitive to; constants are taken out. "share" is how much of the classifier is
kept, of what a class has in common and of what tells its simulations apart.
"""

import argparse
import time

import numpy as np
from scipy.special import logsumexp

from sktamm.datasets import (
    draw_gaussian_parameters,
    gaussian_log_density,
    make_gaussian_study,
)
from sktamm.learning import TorchMLPClassifier
from sktamm.ratios import DensityRatio

SIZE = 8


def shift(x, size):
    return size * np.sin(2 * x) + 0.5 * size * (x**2 - 1)


def warp(X, size):
    Z = X.copy()
    Z[:, :-1] += shift(X[:, 1:], size)
    return Z


def unwarp(Z, size):
    X = Z.copy()
    for j in range(X.shape[1] - 2, -1, -1):
        X[:, j] -= shift(X[:, j + 1], size)
    return X


def exact_log_ratio(ratio, X, truth):
    """Exact log ratios to the mixture of all sources, in the order of the columns."""
    by_class = [
        gaussian_log_density(X, truth.background_means, truth.background_covariances),
        gaussian_log_density(X, truth.signal_means, truth.signal_covariances),
    ]
    sources = zip(ratio.source_class_, ratio.source_id_, strict=True)
    logs = np.stack([by_class[c][:, k] for c, k in sources], axis=1)
    return logs - logsumexp(logs, axis=1, keepdims=True) + np.log(logs.shape[1])


def errors(found, exact, weight, is_signal):
    """Root mean squares of all errors and of that of the classes' difference."""
    error = found - exact
    error -= weight @ error
    between = error[:, is_signal].mean(axis=1) - error[:, ~is_signal].mean(axis=1)
    every = np.sqrt((weight @ error**2).mean())
    return every, np.sqrt(weight @ between**2)


def run(d, size, options):
    truth = draw_gaussian_parameters(SIZE, [d, 0], d)
    study = make_gaussian_study(
        parameters=truth,
        n_events=options.events,
        n_features=d,
        random_state=[d, 0],
    )
    start = time.perf_counter()
    network = TorchMLPClassifier(activation="gelu", max_epochs=options.epochs)
    ratio = DensityRatio(network, n_members=options.members, random_state=0)
    ratio.fit(warp(study.X, size), study.y, simulation=study.simulation)
    seconds = time.perf_counter() - start
    is_signal = ratio.source_class_ == 1
    for shrink in (False, True):
        part = ratio.set_params(shrink=shrink).take(np.arange(SIZE))
        X = part.reference_.X
        exact = exact_log_ratio(part, unwarp(X, size), truth)
        found = part.reference_log_ratio_
        weight = part.reference_weight_ / part.reference_weight_.sum()
        every, between = errors(found, exact, weight, is_signal)
        kept = part.fitted_reference_.shrinkage
        share = "1 / 1"
        if kept is not None:
            share = f"{kept.of_class:.2f} / {kept.of_source:.2f}"
        print(
            f"| {d} | {size} | {'shrunk' if shrink else 'as learned'} | {share} "
            f"| {every:.4f} | {between:.4f} | {seconds:.0f} |",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, nargs="+", default=[2, 5, 10, 20])
    parser.add_argument("--warp", type=float, nargs="+", default=[0.0, 0.5])
    parser.add_argument("--events", type=int, default=50_000, help="per source")
    parser.add_argument("--members", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    print(
        "| d | warp | ratios | share | all | mean ln s - mean ln b | training, s |\n"
        "|---|---|---|---|---|---|---|"
    )
    for size in options.warp:
        for d in options.features:
            run(d, size, options)


if __name__ == "__main__":
    main()
