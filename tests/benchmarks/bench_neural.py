"""The Gaussian study with learned ratios: coverage, RMSE, bias and interval score.

Usage: python tests/benchmarks/bench_neural.py --checkpoint DIR [--pools 10] ...

The published pairs of simulations are divided at random into pools of 30. One
classifier per pool learns all 60 ratios (--events per source; nothing else of the
truth or of the other pools). Every pool gives three disjoint and two random sets of ten
simulations, 30 sets in all; K = 4, 6, 8 are the first K of a set, the reference is the
mixture of the K. Ten experiments per set and truth (5 000 + 50 000 events, kappa =
1/11): the published truth, and a truth drawn from the simulations of the pool outside
the set, which is no component. Cells: the default of NeuralRatioTAMM; the same without
the shrinkage of the ratios towards a log-linear model, which for Gaussians is exact;
and the published settings (ridge, frequentist profile intervals, ratios as learned).
--variants shows what the default was chosen from, --only-default leaves the others out.
--training 20:1e-3 is the longer training of earlier releases (see bench_training.py).

Experiments that share simulations are correlated: errors are those of resampled sets.
Trained pools and finished results stay in the checkpoint folder; a second call resumes.
"""

import argparse
import time
from pathlib import Path

import joblib
import numpy as np
from bench_training import value_of
from joblib import Parallel, delayed

from sktamm import NeuralRatioTAMM
from sktamm._numerics import interval_score
from sktamm.datasets import GaussianParameters, make_gaussian_study
from sktamm.learning import TorchMLPClassifier
from sktamm.ratios import DensityRatio
from sktamm.ratios._sample import log_ratios, relative_to_mixture

KAPPA = 1 / 11
LEVELS = (0.683, 0.955)
SET = 10
SIZES = (4, 6, 8, 10)
PUBLISHED_IS = {4: 0.215, 6: 0.194, 8: 0.212, 10: 0.154}
CELLS = {
    "default": {},
    "ratios as learned": {"ratio_shrink": False},
    "published settings": {
        "prior": "ridge",
        "inference": "frequentist",
        "ratio_shrink": False,
    },
}
# Shown by --variants: settings of the estimator, of its components, of its ratios.
VARIANTS = {
    "default": {},
    "frequentist": {"inference": "frequentist"},
    "simulations prior": {"prior": "simulations"},
    "spline basis": {"components_basis": "spline"},
    "principal basis": {"components_basis": "principal"},
    "errors not propagated": {"components_propagate": False},
    "wifi blend": {"ratio_ensemble": "wifi"},
    "ratios without moments": {"ratio_calibration": None},
    "ratios without shrinkage": {"ratio_shrink": False},
    "linear": {"form": "linear"},
}
PLAIN = {
    "prior": "auto",
    "form": "exponential",
    "inference": "bayesian",
    "components_basis": "polynomial",
    "components_propagate": True,
    "ratio_ensemble": "mean",
    "ratio_calibration": "moments",
    "ratio_shrink": True,
}


def members_of(pool, options):
    """Indices of the simulations of a pool."""
    order = np.random.default_rng(11).permutation(300)
    return order[pool * options.pool_size : (pool + 1) * options.pool_size]


def make_classifier(options):
    """The default network, trained as it is told, or a classifier by name."""
    if options.classifier != "mlp":
        return options.classifier
    epochs, rate = options.training.split(":")
    return TorchMLPClassifier(
        activation="gelu",
        max_epochs=value_of(epochs, int),
        learning_rate=value_of(rate, float),
    )


def train(pool, options):
    """Train the classifier of a pool, or read it."""
    path = options.checkpoint / f"{options.tag}_pool{pool}.joblib"
    if path.exists():
        return path
    start = time.perf_counter()
    study = make_gaussian_study(
        parameters=options.parameters.take(members_of(pool, options)),
        n_events=options.events,
        random_state=100 + pool,
    )
    tamm = NeuralRatioTAMM(
        DensityRatio(
            make_classifier(options),
            n_members=options.members,
            resample=options.resample,
            n_reference=options.reference,
        ),
        random_state=pool,
    ).fit(study.X, study.y, simulation=study.simulation)
    seconds = time.perf_counter() - start
    tamm.bench_seconds_ = seconds
    print(f"pool {pool}: trained in {seconds:.0f} s", flush=True)
    joblib.dump(tamm, path.with_suffix(".part"))
    path.with_suffix(".part").rename(path)
    return path


def targets(truth, seed, options):
    """Experiments of one set: events and the experiment each belongs to."""
    parts = [
        make_gaussian_study(
            1, 1, target=truth, random_state=[seed, experiment]
        ).X_target
        for experiment in range(options.experiments)
    ]
    return np.concatenate(parts), np.repeat(np.arange(len(parts)), len(parts[0]))


def configure(tamm, settings):
    """Trained estimator with other settings of what follows the training."""
    for name, value in {**PLAIN, **settings}.items():
        owner, _, rest = name.partition("_")
        if owner == "components":
            tamm.components_.set_params(**{rest: value})
        elif owner == "ratio":
            tamm.components_.ratio_.set_params(**{rest: value})
        else:
            tamm.set_params(**{name: value})
    return tamm


def raw_ratios(tamm, X):
    """Ratios of all sources of the pool at a target, as the classifier gives them."""
    [trained] = tamm.components_.ratio_.models_
    every = np.arange(trained.shares.size)
    parts = np.array_split(X, max(1, len(X) // 50_000))
    return np.concatenate([log_ratios(trained, x, every) for x in parts])


class Known:
    """Values of rows that are asked for in pieces, found by the first feature."""

    def __init__(self, X, values):
        self.order = np.argsort(X[:, 0])
        self.first, self.values = X[self.order, 0], values

    def __call__(self, X):
        return self.values[self.order[np.searchsorted(self.first, X[:, 0])]]


def evaluated(part, X, raw):
    """Give a part the ratios of the pool at its target instead of evaluating again."""
    ratio = part.components_.ratio_
    members = relative_to_mixture(raw[:, ratio.sources_])
    members = ratio.fitted_reference_.refined(X, members)
    ratio._members = Known(X, members)


def answers(tamm, X, dataset):
    result = tamm.infer(X, dataset=dataset, levels=LEVELS)
    ends = np.moveaxis(result.interval, 2, 1).reshape(len(result.kappa), 4)
    errors = [result.diagnostics[n] for n in ("std_reference", "std_ratios", "span")]
    return np.column_stack([result.kappa, result.std, ends, *errors])


def set_order(pool, number, options):
    """Simulations of a pool in the order of a set: disjoint sets first, then random."""
    rng = np.random.default_rng(pool)
    order = rng.permutation(options.pool_size)
    if (number + 1) * SET <= options.pool_size:
        return np.roll(order, -number * SET)
    for _ in range(number):
        order = rng.permutation(options.pool_size)
    return order


def run_set(pool, number, options):
    """All cells, sizes and truths of one set; {(cell, K, truth): (n, 9)}."""
    kind = "variants" if options.variants else "set"
    kind = "default" if options.only_default else kind
    path = options.checkpoint / f"{options.tag}_{kind}{pool}_{number}.joblib"
    if path.exists():
        return joblib.load(path)
    start = time.perf_counter()
    tamm = joblib.load(options.checkpoint / f"{options.tag}_pool{pool}.joblib")
    order = set_order(pool, number, options)
    own, other = order[:SET], order[SET]
    drawn = options.parameters.take([members_of(pool, options)[other]])
    found = {}
    for name, truth in (("published", None), ("drawn", drawn)):
        X, dataset = targets(truth, 1000 * pool + number, options)
        raw = raw_ratios(tamm, X)
        for cell, settings in options.cells.items():
            if cell == "published settings" and name == "drawn":
                continue
            for size in options.sizes:
                part = configure(tamm, settings).take(own[:size])
                few = slice(None)
                if cell == "published settings":
                    few = dataset < options.published_experiments
                evaluated(part, X[few], raw[few])
                found[cell, size, name] = answers(part, X[few], dataset[few])
    seconds = time.perf_counter() - start
    print(f"pool {pool}, set {number}: {seconds:.0f} s", flush=True)
    joblib.dump(found, path)
    return found


def mean_and_error(values):
    """Mean over sets and the standard error from their scatter."""
    return values.mean(), values.std(ddof=1) / np.sqrt(len(values))


def measures(found):
    """Means per set of every measure; found has shape (n_sets, n_experiments, 9)."""
    kappa, ends = found[..., 0], found[..., 2:6]
    low, high = ends[..., ::2], ends[..., 1::2]
    covered = (low <= KAPPA) & (high >= KAPPA)
    scores = interval_score(KAPPA, low[..., 0], high[..., 0], LEVELS[0])
    values = {
        "cov68": covered[..., 0],
        "cov95": covered[..., 1],
        "IS68": scores,
        "square": (kappa - KAPPA) ** 2,
        "bias": kappa - KAPPA,
        "half": 0.5 * (high - low)[..., 0],
        "reference": found[..., 6],
        "ratios": found[..., 7],
    }
    return {name: mean_and_error(v.mean(axis=1)) for name, v in values.items()}


def nominal(value, error, level, floor):
    return value >= level - 2 * error and value >= floor


def print_table(title, results, sizes):
    print(f"\n### {title}\n")
    print(
        "| cell | K | truth | cov 68.3 | cov 95.5 | nominal | IS 68 | published IS | "
        "RMSE | bias | half-width | std reference / ratios |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    rows = dict.fromkeys((cell, truth) for cell, _, truth in results[0])
    for cell, truth in rows:
        for size in sizes:
            m = measures(np.stack([r[cell, size, truth] for r in results]))
            good = nominal(*m["cov68"], 0.683, 0.63)
            good = good and nominal(*m["cov95"], 0.955, 0.92)
            print(
                f"| {cell} | {size} | {truth} "
                f"| {m['cov68'][0]:.3f} +- {m['cov68'][1]:.3f} "
                f"| {m['cov95'][0]:.3f} +- {m['cov95'][1]:.3f} "
                f"| {'yes' if good else 'no'} "
                f"| {m['IS68'][0]:.4f} +- {m['IS68'][1]:.4f} "
                f"| {PUBLISHED_IS.get(size, float('nan')):.3f} "
                f"| {np.sqrt(m['square'][0]):.4f} | {m['bias'][0]:+.4f} "
                f"| {m['half'][0]:.4f} "
                f"| {m['reference'][0]:.4f} / {m['ratios'][0]:.4f} |"
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    root = Path(__file__).resolve().parents[2]
    default = root.parent / "shared" / "data" / "gaussian_msds.npz"
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--classifier", default="mlp")
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--training", default="auto:auto", metavar="EPOCHS:RATE")
    parser.add_argument("--resample", default="bootstrap")
    parser.add_argument("--events", type=int, default=50_000, help="per source")
    parser.add_argument("--reference", type=int, default=240_000)
    parser.add_argument("--pools", type=int, default=6)
    parser.add_argument("--sets", type=int, default=5, help="per pool")
    parser.add_argument("--published-experiments", type=int, default=3)
    parser.add_argument("--pool-size", type=int, default=30)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--experiments", type=int, default=10)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--variants", action="store_true")
    parser.add_argument("--only-default", action="store_true")
    parser.add_argument("--train-only", action="store_true")
    options = parser.parse_args()
    options.parameters = GaussianParameters.from_mapping(np.load(options.data))
    options.checkpoint.mkdir(parents=True, exist_ok=True)
    options.cells = VARIANTS if options.variants else CELLS
    if options.only_default:
        options.cells = {"default": {}}
    options.tag = f"{options.classifier}_{options.members}_{options.events}"
    if options.training != "auto:auto":
        options.tag += f"_{options.training.replace(':', '_')}"
    start = time.perf_counter()
    for pool in range(options.pools):
        train(pool, options)
    print(f"training {time.perf_counter() - start:.0f} s", flush=True)
    if options.train_only:
        return
    jobs = [(p, s) for p in range(options.pools) for s in range(options.sets)]
    results = Parallel(options.n_jobs)(
        delayed(run_set)(pool, number, options) for pool, number in jobs
    )
    print_table(
        f"{options.classifier}, {options.members} members, {options.events} events "
        f"per source, {len(results)} sets x {options.experiments} experiments "
        f"({options.published_experiments} for the published settings)",
        results,
        options.sizes,
    )
    print(f"\n{time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
