"""Is kappa biased? A posterior mean is unbiased on average over its own prior.

    python tests/benchmarks/bench_bias.py --sets 40 --n-jobs 2

The prior of kappa is flat. Where fractions are drawn from it, and the truth is one more
simulation, the mean over all experiments of (posterior mean - truth) is zero for a
posterior that is right; at a fixed small fraction the mean of a skewed posterior lies
above the truth, at a large one below. A bias of the method (of learned ratios, of the
prior of the templates) would not cancel. Printed: bias of mean, median and mode of the
posterior at every fraction, with errors from resampling sets, and the average.
"""

import argparse
import warnings

import numpy as np
from joblib import Parallel, delayed

from sktamm import BinnedTopicTAMM, NeuralRatioTAMM, infer
from sktamm.datasets import draw_gaussian_parameters, make_gaussian_study

SIMULATIONS = 6
METHODS = {"binned": BinnedTopicTAMM, "unbinned": NeuralRatioTAMM}


def fractions(n):
    """Midpoints of equal parts of [0, 1]: the flat prior, stratified."""
    return (np.arange(n) + 0.5) / n


def experiments(options, number):
    """Errors of mean, median and mode, shape (n_methods, n_fractions, 3)."""
    warnings.simplefilter("ignore")
    truth = draw_gaussian_parameters(1, 10**6 + number)
    study = make_gaussian_study(SIMULATIONS, options.events, random_state=number)
    grid = fractions(options.fractions)
    targets = [
        target(truth, kappa, options, 1000 * number + k) for k, kappa in enumerate(grid)
    ]
    out = []
    for kind in METHODS.values():
        estimator = kind(random_state=0)
        estimator.fit(study.X, study.y, simulation=study.simulation)
        results = [infer(estimator, X) for X in targets]
        out.append([points(r) - k for r, k in zip(results, grid, strict=True)])
    return np.array(out)


def target(truth, kappa, options, seed):
    """Events of the truth."""
    signal = np.random.default_rng(seed).binomial(options.target, kappa)
    numbers = signal, options.target - signal
    return make_gaussian_study(1, 1, *numbers, target=truth, random_state=seed).X_target


def points(result):
    """Mean, median and mode of the posterior."""
    grid, logs = result.profile.kappa[0], result.profile.log_density[0]
    density = np.exp(logs - logs.max())
    steps = 0.5 * (density[1:] + density[:-1]) * np.diff(grid)
    tail = np.concatenate([[0.0], np.cumsum(steps)]) / steps.sum()
    return np.array([result.kappa[0], np.interp(0.5, tail, grid), grid[logs.argmax()]])


def error(values):
    """Standard error of the mean over sets, by resampling them."""
    drawn = np.random.default_rng(0).integers(0, len(values), (1000, len(values)))
    return values[drawn].mean(axis=1).std(axis=0)


def main():
    """Run the sets, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=40)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--target", type=int, default=5_000)
    parser.add_argument("--fractions", type=int, default=8)
    parser.add_argument("--n-jobs", type=int, default=2)
    options = parser.parse_args()
    tasks = (delayed(experiments)(options, k) for k in range(options.sets))
    found = np.array(Parallel(options.n_jobs, batch_size=1)(tasks))
    print("| method | fraction | mean | median | mode |\n|---|---|---|---|---|")
    for m, method in enumerate(METHODS):
        for k, kappa in enumerate(fractions(options.fractions)):
            print(line(method, f"{kappa:.3f}", found[:, m, k]))
        print(line(method, "average", found[:, m].mean(axis=1)))


def line(method, what, values):
    """Cells of three biases, values of shape (n_sets, 3)."""
    cells = [
        f"{mean:+.4f} ± {std:.4f}"
        for mean, std in zip(values.mean(axis=0), error(values), strict=True)
    ]
    return f"| {method} | {what} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
