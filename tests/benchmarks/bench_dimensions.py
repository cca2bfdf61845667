"""Calibration of the unbinned method as the number of features grows.

Usage: python tests/benchmarks/bench_dimensions.py --checkpoint DIR [--features 2 5 ...]

The Gaussian study in d features (`make_gaussian_study(n_features=d)`), K = 8 random
simulations per set, 5 000 + 50 000 events, kappa = 1/11, default NeuralRatioTAMM. One
classifier per d learns the ratios of 40 simulations, the pool of 30 random sets.
Beside it the known-density optimum: the maximum likelihood fit of kappa alone with the
exact densities of the truth, for the same experiments. No procedure sees the truth.
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
from sktamm.components import TorchMLPClassifier
from sktamm.datasets import gaussian_log_density, make_gaussian_study

SIZE = 8


def study_of(d, **settings):
    return make_gaussian_study(n_features=d, **settings)


def train(d, pool, options):
    """Train the classifier of a pool, or read that it was."""
    path = options.checkpoint / f"d{d}_pool{pool}.joblib"
    if path.exists():
        return
    start = time.perf_counter()
    study = study_of(
        d,
        n_simulations=options.pool_size,
        n_events=options.events,
        random_state=[d, pool],
    )
    tamm = NeuralRatioTAMM(
        TorchMLPClassifier(activation="gelu", max_epochs=options.epochs),
        n_members=options.members,
        n_reference=options.reference,
        random_state=pool,
    ).fit(study.X, study.y, simulation=study.simulation)
    joblib.dump(tamm, path.with_suffix(".part"))
    path.with_suffix(".part").rename(path)
    seconds = time.perf_counter() - start
    print(f"d = {d}, pool {pool}: trained in {seconds:.0f} s", flush=True)


def known(X, study):
    """Answers of the fit with exact densities: kappa, error, both intervals."""
    truth = study.target_parameters
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
    return np.array([kappa, std, *ends, 0.0, 0.0])


def run_set(d, pool, number, options):
    """Answers of the default and of the optimum: two arrays (n_experiments, 8)."""
    path = options.checkpoint / f"d{d}_set{pool}_{number}.joblib"
    if path.exists():
        return joblib.load(path)
    tamm = joblib.load(options.checkpoint / f"d{d}_pool{pool}.joblib")
    rng = np.random.default_rng([pool, number])
    part = tamm.take(rng.choice(options.pool_size, SIZE, replace=False))
    found, best = [], []
    for experiment in range(options.experiments):
        seed = [d, pool, number, experiment]
        study = study_of(d, n_simulations=1, n_events=1, random_state=seed)
        found.append(answers(part, study.X_target, None)[0])
        best.append(known(study.X_target, study))
    result = np.array(found), np.array(best)
    joblib.dump(result, path)
    print(f"d = {d}, pool {pool}, set {number} done", flush=True)
    return result


def print_row(d, name, found):
    m = measures(found)
    good = nominal(*m["cov68"], 0.683, 0.63) and nominal(*m["cov95"], 0.955, 0.92)
    print(
        f"| {d} | {name} | {m['cov68'][0]:.3f} +- {m['cov68'][1]:.3f} "
        f"| {m['cov95'][0]:.3f} +- {m['cov95'][1]:.3f} | {'yes' if good else 'no'} "
        f"| {m['IS68'][0]:.4f} +- {m['IS68'][1]:.4f} | {np.sqrt(m['square'][0]):.4f} "
        f"| {m['bias'][0]:+.4f} | {m['half'][0]:.4f} "
        f"| {m['reference'][0]:.4f} / {m['ratios'][0]:.4f} |",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--features", type=int, nargs="+", default=[2, 5, 10, 20])
    parser.add_argument("--pools", type=int, default=1)
    parser.add_argument("--pool-size", type=int, default=40, help="simulations")
    parser.add_argument("--sets", type=int, default=30, help="random sets of a pool")
    parser.add_argument("--experiments", type=int, default=2)
    parser.add_argument("--events", type=int, default=20_000, help="per source")
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
        "| std reference / ratios |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    for d, found in results.items():
        print_row(d, "default", np.stack([pair[0] for pair in found]))
        print_row(d, "known densities", np.stack([pair[1] for pair in found]))
    print(f"\n{time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
