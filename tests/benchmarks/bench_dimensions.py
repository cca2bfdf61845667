"""Calibration of the unbinned method as the number of features grows.

Usage: python tests/benchmarks/bench_dimensions.py --checkpoint DIR [--features 2 5 ...]

The Gaussian study in d features (`make_gaussian_study(n_features=d)`), K = 8
simulations per set, 5 000 + 50 000 events, kappa = 1/11, default NeuralRatioTAMM. One
classifier learns the ratios of a pool of 16 simulations; the reference holds as many
events per source as that of a fit to eight. A pool gives two disjoint sets and eight
random ones, and three pools per d 30 sets.

Two truths: one drawn like the simulations, another one of the pool that is no
component, and the published one, from which the simulations differ by a shift of all
pairs of features in the same sense, so that it moves away from them as d grows: along
the direction that separates the classes by 1.9, 2.5, 3.1 and 4.5 standard deviations of
their spread for d = 2, 5, 10 and 20. Beside them the known-density optimum: the maximum
likelihood fit of kappa alone with the exact densities of the truth, for the same
experiments. No procedure sees the truth. The last column is the share of the results
that warn: the data are not spanned by the simulations.
"""

import argparse
import time
from pathlib import Path

import joblib
import numpy as np
from bench_neural import KAPPA, LEVELS, answers, measures, nominal
from joblib import Parallel, delayed
from scipy import special
from scipy.optimize import brentq

from sktamm import NeuralRatioTAMM
from sktamm.datasets import (
    draw_gaussian_parameters,
    gaussian_log_density,
    make_gaussian_study,
)
from sktamm.learning import TorchMLPClassifier
from sktamm.ratios import DensityRatio

SIZE = 8
SPAN = 0.001


def train(d, pool, options):
    """Train the classifier of a pool, or read that it was."""
    path = options.checkpoint / f"d{d}_pool{pool}.joblib"
    if path.exists():
        return
    start = time.perf_counter()
    study = make_gaussian_study(
        parameters=draw_gaussian_parameters(options.pool_size, [d, pool], d),
        n_events=options.events,
        n_features=d,
        random_state=[d, pool],
    )
    tamm = NeuralRatioTAMM(
        DensityRatio(
            TorchMLPClassifier(activation="gelu", max_epochs=options.epochs),
            n_members=options.members,
            n_reference=options.reference,
        ),
        random_state=pool,
    ).fit(study.X, study.y, simulation=study.simulation)
    joblib.dump(tamm, path.with_suffix(".part"))
    path.with_suffix(".part").rename(path)
    seconds = time.perf_counter() - start
    print(f"d = {d}, pool {pool}: trained in {seconds:.0f} s", flush=True)


def known(X, truth):
    """Answers of the fit with exact densities: kappa, error, both intervals."""
    signal = gaussian_log_density(X, truth.signal_means, truth.signal_covariances)
    background = gaussian_log_density(
        X, truth.background_means, truth.background_covariances
    )
    excess = np.expm1((signal - background)[:, 0])

    def score(kappa):
        return (excess / (1.0 + kappa * excess)).sum()

    kappa = brentq(score, 1e-6, 0.999)
    std = (excess**2 / (1.0 + kappa * excess) ** 2).sum() ** -0.5
    z = special.ndtri(0.5 + 0.5 * np.array(LEVELS))
    ends = [end for q in z for end in (kappa - q * std, kappa + q * std)]
    return np.array([kappa, std, *ends, 0.0, 0.0, 1.0])


def set_of(pool, number, options):
    """Simulations of a set, and the one of the pool that plays the drawn truth."""
    rng = np.random.default_rng(pool)
    order = rng.permutation(options.pool_size)
    if (number + 1) * SIZE <= options.pool_size:
        order = np.roll(order, -number * SIZE)
    else:
        for _ in range(number):
            order = rng.permutation(options.pool_size)
    return order[:SIZE], order[SIZE]


def run_set(d, pool, number, options):
    """Answers of default and optimum: {truth: two arrays (n_experiments, 9)}."""
    path = options.checkpoint / f"d{d}_set{pool}_{number}.joblib"
    if path.exists():
        return joblib.load(path)
    start = time.perf_counter()
    tamm = joblib.load(options.checkpoint / f"d{d}_pool{pool}.joblib")
    own, other = set_of(pool, number, options)
    part = tamm.take(own)
    drawn = draw_gaussian_parameters(options.pool_size, [d, pool], d).take([other])
    found = {}
    for name, target in (("published", None), ("drawn", drawn)):
        pairs = []
        for experiment in range(options.experiments):
            seed = [d, pool, number, experiment]
            study = make_gaussian_study(
                1, 1, target=target, n_features=d, random_state=seed
            )
            best = known(study.X_target, study.target_parameters)
            pairs.append((answers(part, study.X_target, None)[0], best))
        found[name] = tuple(np.array(values) for values in zip(*pairs, strict=True))
    joblib.dump(found, path)
    seconds = time.perf_counter() - start
    print(f"d = {d}, pool {pool}, set {number}: {seconds:.0f} s", flush=True)
    return found


def print_row(d, name, found):
    m = measures(found)
    good = nominal(*m["cov68"], 0.683, 0.63) and nominal(*m["cov95"], 0.955, 0.92)
    print(
        f"| {d} | {name} | {m['cov68'][0]:.3f} +- {m['cov68'][1]:.3f} "
        f"| {m['cov95'][0]:.3f} +- {m['cov95'][1]:.3f} | {'yes' if good else 'no'} "
        f"| {m['IS68'][0]:.4f} +- {m['IS68'][1]:.4f} | {np.sqrt(m['square'][0]):.4f} "
        f"| {m['bias'][0]:+.4f} | {m['half'][0]:.4f} "
        f"| {m['reference'][0]:.4f} / {m['ratios'][0]:.4f} "
        f"| {(found[..., 8] < SPAN).mean():.2f} |",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--features", type=int, nargs="+", default=[2, 5, 10, 20])
    parser.add_argument("--pools", type=int, default=3)
    parser.add_argument("--pool-size", type=int, default=16, help="simulations")
    parser.add_argument("--sets", type=int, default=10, help="of a pool")
    parser.add_argument("--experiments", type=int, default=1)
    parser.add_argument("--events", type=int, default=50_000, help="per source")
    parser.add_argument("--reference", type=int, default=400_000)
    parser.add_argument("--members", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--n-jobs", type=int, default=2)
    options = parser.parse_args()
    options.checkpoint.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    jobs = [(p, s) for p in range(options.pools) for s in range(options.sets)]
    results = {}
    for d in options.features:
        for pool in range(options.pools):
            train(d, pool, options)
        results[d] = Parallel(options.n_jobs)(
            delayed(run_set)(d, pool, number, options) for pool, number in jobs
        )
    print(
        f"\n### K = {SIZE}, kappa = {KAPPA:.4f}, {len(jobs)} sets x "
        f"{options.experiments} experiments, {options.events} events per source, "
        f"{options.members} members\n"
    )
    print(
        "| d | fit | cov 68.3 | cov 95.5 | nominal | IS 68 | RMSE | bias | half-width "
        f"| std reference / ratios | span < {SPAN} |\n{11 * '|---'}|"
    )
    for d, found in results.items():
        for truth in ("published", "drawn"):
            for i, fit in enumerate(("default", "known densities")):
                values = np.stack([sets[truth][i] for sets in found])
                print_row(d, f"{fit}, {truth} truth", values)
    print(f"\n{time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
