"""Intervals before and after leave-one-simulation-out calibration, Gaussian study.

Usage: python tests/benchmarks/bench_calibrated.py [binned] [neural] --checkpoint DIR

Every set has eleven fresh simulations of the published recipe: the first K are the
simulations of the estimator, the eleventh is the drawn truth, never a component; the
other truth is the published one. Two experiments (5 000 + 50 000 events, kappa = 1/11)
per set and truth. ``binned``: BinnedTopicTAMM as it comes, --events per simulation and
class. ``neural``: NeuralRatioTAMM, with trained pools as bench_neural.py writes them
(DIR/mlp_4_50000_pool0.joblib, ...); a pool that is missing is trained. There --fresh
new events of every simulation calibrate, and "jackknife+" is left out.

Cells: no calibration; "robust" and "rms" with other tails and strengths, or moved by
the mean pull; "jackknife+" with a Student tail above K/(K + 1); an estimator whose
intervals are half as wide, before and after. All cells share one set of
leave-one-out measurements. Experiments that share simulations are correlated: errors
come from the scatter of sets. Every finished set stays in the checkpoint folder.
"""

import argparse
import time
import warnings
from pathlib import Path

import bench_neural
import joblib
import numpy as np
from joblib import Parallel, delayed
from sklearn.frozen import FrozenEstimator

from sktamm import BinnedTopicTAMM
from sktamm._numerics import interval_score
from sktamm.datasets import (
    GaussianParameters,
    draw_gaussian_parameters,
    make_gaussian_study,
)
from sktamm.exceptions import SktammWarning
from sktamm.model_selection import CalibratedTAMM
from sktamm.model_selection._recalibration import (
    find_scaling,
    jackknife_intervals,
    rescaled,
    sides,
)

KAPPA = 1 / 11
LEVELS = np.array([0.683, 0.955])
LARGEST = 10
TRUTHS = ("published", "drawn")


# ------------------------------------------------------------------- measurements
def targets(truth, seed, options):
    """Events of the experiments with one truth, and the experiment of each."""
    parts = [
        make_gaussian_study(1, 1, target=truth, random_state=[seed, e]).X_target
        for e in range(options.experiments)
    ]
    return np.concatenate(parts), np.repeat(np.arange(len(parts)), len(parts[0]))


def measure(tamm, X, dataset):
    """Plain numbers that every calibration is made of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SktammWarning)
        question = {"dataset": dataset, "sample_weight": None}
        found = tamm._measure(X, LEVELS, question)
    result = found.result
    numbers = {
        "kappa": result.kappa,
        "interval": result.interval,
        "pulls": found.pulls,
    }
    if found.others:
        numbers["others"] = np.stack([r.kappa for r in found.others], axis=1)
        numbers["ends"] = np.stack([r.interval[..., 0] for r in found.others], axis=1)
    return numbers


def both_truths(drawn, seed, options):
    """Targets of both truths as datasets of one sample."""
    parts = [targets(truth, seed, options) for truth in (None, drawn)]
    dataset = [own + i * options.experiments for i, (_, own) in enumerate(parts)]
    return np.concatenate([X for X, _ in parts]), np.concatenate(dataset)


def split(found, options):
    """Numbers of every truth."""
    n = options.experiments
    return {
        truth: {name: values[i * n : (i + 1) * n] for name, values in found.items()}
        for i, truth in enumerate(TRUTHS)
    }


def binned_set(number, options):
    """Measurements of one set: {(K, truth): numbers}."""
    drawn = draw_gaussian_parameters(LARGEST + 1, random_state=[7, number])
    study = make_gaussian_study(
        LARGEST, options.events, parameters=drawn, random_state=[8, number]
    )
    X, dataset = both_truths(drawn.take([LARGEST]), 10_000 + number, options)
    numbers = {}
    for size in options.sizes:
        kept = study.simulation < size
        tamm = CalibratedTAMM(
            BinnedTopicTAMM(random_state=0), "jackknife+", n_datasets=options.draws
        ).fit(study.X[kept], study.y[kept], simulation=study.simulation[kept])
        found = split(measure(tamm, X, dataset), options)
        numbers |= {(size, truth): values for truth, values in found.items()}
    return numbers


def neural_set(number, options):
    """Measurements of one set of a trained pool: {(K, truth): numbers}."""
    pool, part = number % options.pools, number // options.pools
    path = bench_neural.train(pool, options)
    tamm = bench_neural.configure(joblib.load(path), {})
    order = bench_neural.set_order(pool, part, options)
    members = bench_neural.members_of(pool, options)
    drawn = options.parameters.take([members[order[LARGEST]]])
    X, dataset = both_truths(drawn, 20_000 + number, options)
    numbers = {}
    for size in options.sizes:
        own = order[:size]
        events = make_gaussian_study(
            size,
            options.fresh,
            parameters=options.parameters.take(members[own]),
            random_state=[9, number],
        )
        calibrated = CalibratedTAMM(
            FrozenEstimator(tamm.take(own)), n_datasets=options.draws
        ).fit(events.X, events.y, simulation=own[events.simulation])
        found = split(measure(calibrated, X, dataset), options)
        numbers |= {(size, truth): values for truth, values in found.items()}
    return numbers


STUDIES = {"binned": binned_set, "neural": neural_set}


def run_set(study, number, options):
    """Measurements of one set, from the checkpoint if they are there."""
    sizes = "-".join(map(str, options.sizes))
    name = f"{study}_{options.events}_{sizes}_{options.experiments}_{options.draws}"
    path = options.checkpoint / f"calibrated_{name}_set{number}.joblib"
    if path.exists():
        return joblib.load(path)
    start = time.perf_counter()
    numbers = STUDIES[study](number, options)
    joblib.dump(numbers, path.with_suffix(".part"))
    path.with_suffix(".part").rename(path)
    print(f"{study} set {number}: {time.perf_counter() - start:.0f} s", flush=True)
    return numbers


# -------------------------------------------------------------------------- cells
def untouched(numbers):
    return numbers["kappa"], numbers["interval"][..., 1:]


def scaled(tail, strength, *, robust):
    def calibrate(numbers):
        scaling = find_scaling(numbers["pulls"], strength, robust=robust)
        kappa, interval = untouched(numbers)
        return kappa, rescaled(kappa, interval, LEVELS, scaling, tail)

    return calibrate


def jackknife(numbers):
    scaling = find_scaling(numbers["pulls"], 0.0, robust=False)
    ends = numbers["ends"]
    both = sides(numbers["others"], ends[..., 0], ends[..., 1])
    kappa = numbers["kappa"]
    return kappa, jackknife_intervals(
        kappa, numbers["others"], both, LEVELS, scaling, "student"
    )


def moved(numbers, strength=2.0):
    """The default around an estimate that is moved by the shrunk mean pull."""
    pulls = numbers["pulls"]
    shift = pulls.mean(axis=2).sum(axis=1) / (pulls.shape[1] + strength)
    scaling = find_scaling(pulls - shift[:, None, None], strength, robust=True)
    kappa, interval = untouched(numbers)
    unit = numbers["interval"][..., 0]
    below, above = sides(kappa, unit[:, 0], unit[:, 1]).T
    move = shift * np.where(shift > 0, below, above)
    ends = rescaled(kappa, interval, LEVELS, scaling, "student")
    return kappa - move, ends - move[:, None, None]


def halved(calibrate):
    """A cell on top of an estimator whose intervals are half as wide."""

    def changed(numbers):
        centre = numbers["kappa"][:, None, None]
        interval = centre + 0.5 * (numbers["interval"] - centre)
        pulls = 2.0 * numbers["pulls"]
        return calibrate({**numbers, "interval": interval, "pulls": pulls})

    return changed


DEFAULT = scaled("student", 2.0, robust=True)
CELLS = {
    "no calibration": untouched,
    "robust (default)": DEFAULT,
    "robust, normal tail": scaled("normal", 2.0, robust=True),
    "robust, normal tail, strength 4": scaled("normal", 4.0, robust=True),
    "robust, moved by the mean pull": moved,
    "rms": scaled("student", 2.0, robust=False),
    "rms, normal tail, strength 4": scaled("normal", 4.0, robust=False),
    "jackknife+, Student tail": jackknife,
    "halved, no calibration": halved(untouched),
    "halved, robust (default)": halved(DEFAULT),
}


# ------------------------------------------------------------------------- tables
def mean_and_error(values):
    """Mean over sets and the standard error from their scatter."""
    means = values.mean(axis=1)
    return means.mean(), means.std(ddof=1) / np.sqrt(len(means))


def measures(kappa, interval):
    """Measures of answers of shape (n_sets, n_experiments, ...)."""
    low, high = np.moveaxis(np.clip(interval, 0.0, 1.0), 2, 0)
    covered = (low <= KAPPA) & (high >= KAPPA)
    values = {
        "cov68": covered[..., 0],
        "cov95": covered[..., 1],
        "IS68": interval_score(KAPPA, low[..., 0], high[..., 0], LEVELS[0]),
        "square": (kappa - KAPPA) ** 2,
        "bias": kappa - KAPPA,
        "half68": 0.5 * (high - low)[..., 0],
        "half95": 0.5 * (high - low)[..., 1],
    }
    return {name: mean_and_error(v) for name, v in values.items()}


def nominal(value, error, level, floor):
    return value >= level - 2 * error and value >= floor


def row(cell, size, truth, results):
    answers = [CELLS[cell](found[size, truth]) for found in results]
    m = measures(*(np.stack(part) for part in zip(*answers, strict=True)))
    good = nominal(*m["cov68"], 0.683, 0.63), nominal(*m["cov95"], 0.955, 0.92)
    pulls = np.stack([found[size, truth]["pulls"] for found in results])
    unit = [found[size, truth]["interval"][..., 1] for found in results]
    before = 0.5 * np.mean(np.diff(np.stack(unit), axis=-1))
    return (
        f"| {cell} | {size} | {truth} "
        f"| {m['cov68'][0]:.3f} +- {m['cov68'][1]:.3f} {'yes' if good[0] else 'no'} "
        f"| {m['cov95'][0]:.3f} +- {m['cov95'][1]:.3f} {'yes' if good[1] else 'no'} "
        f"| {m['IS68'][0]:.4f} +- {m['IS68'][1]:.4f} | {np.sqrt(m['square'][0]):.4f} "
        f"| {m['bias'][0]:+.4f} | {m['half68'][0]:.4f} | {m['half95'][0]:.4f} "
        f"| {m['half68'][0] / before:.2f} | {pulls.mean():+.2f} |"
    )


def print_table(title, results, options):
    print(f"\n### {title}\n")
    print(
        "| cell | K | truth | cov 68.3, nominal | cov 95.5, nominal | IS 68 | RMSE "
        "| bias | half-width 68 | half-width 95 | width cost | mean pull |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for cell in CELLS:
        measured = "others" in results[0][options.sizes[0], "drawn"]
        if not cell.startswith(tuple(options.only) or "") or (
            cell.startswith("jackknife") and not measured
        ):
            continue
        for truth in TRUTHS:
            for size in options.sizes:
                print(row(cell, size, truth, results), flush=True)


# --------------------------------------------------------------------------- main
def read_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    root = Path(__file__).resolve().parents[2]
    default = root.parent / "shared" / "data" / "gaussian_msds.npz"
    parser.add_argument("studies", nargs="*", default=["binned"])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--sets", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="number of the first set")
    parser.add_argument("--sizes", type=int, nargs="+", default=[4, 6, 8, 10])
    parser.add_argument("--events", type=int, default=50_000, help="per source")
    parser.add_argument("--experiments", type=int, default=2)
    parser.add_argument("--draws", type=int, default=1, help="datasets per unit")
    parser.add_argument("--only", nargs="+", default=[], help="beginnings of cells")
    parser.add_argument("--n-jobs", type=int, default=1)
    neural = parser.add_argument_group("neural")
    neural.add_argument("--data", type=Path, default=default)
    neural.add_argument("--classifier", default="mlp")
    neural.add_argument("--members", type=int, default=4)
    neural.add_argument("--epochs", type=int, default=10)
    neural.add_argument("--resample", default="bootstrap")
    neural.add_argument("--reference", type=int, default=240_000)
    neural.add_argument("--pools", type=int, default=6)
    neural.add_argument("--pool-size", type=int, default=30)
    neural.add_argument("--fresh", type=int, default=50_000, help="per source")
    return parser.parse_args()


def main():
    options = read_options()
    options.checkpoint.mkdir(parents=True, exist_ok=True)
    options.tag = f"{options.classifier}_{options.members}_{options.events}"
    for study in options.studies:
        if study == "neural":
            options.parameters = GaussianParameters.from_mapping(np.load(options.data))
            for pool in range(options.pools):
                bench_neural.train(pool, options)
        start = time.perf_counter()
        results = Parallel(options.n_jobs)(
            delayed(run_set)(study, number, options)
            for number in range(options.first, options.first + options.sets)
        )
        title = (
            f"{study}, {options.sets} sets x {options.experiments} experiments, "
            f"{options.events} events per simulation and class"
        )
        print_table(title, results, options)
        print(f"\n{time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
