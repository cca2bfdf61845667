"""Coverage of a fraction measured with a weighted ensemble of density ratios.

Usage: python tests/benchmarks/bench_wifi.py [--repetitions 200] [--members 16] ...

The Gaussian study of arXiv:2506.00113: N(+0.1, 1) against N(-0.1, 1) in one feature.
Every repetition draws, of each class, 5 000 events that train the members and 5 000
that fit their weights (--per-class), trains all members anew, and measures the share
kappa of the first class in 5 000 events, their number of either class random. Three
procedures share the ratios: ``no propagation``, ``first order`` (the published one) and
``corrected`` (the noise of the ratio removed from the likelihood, the default).
Published, averaged over kappa: 63.0 +- 4.8 % with and 46 +- 5 % without propagation.

IS is the mean interval score at 68.3 %; errors of coverages are binomial. With
--checkpoint finished repetitions are kept in a folder and not repeated.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.neural_network import MLPClassifier

from sktamm._numerics import interval_score
from sktamm.learning._mlp import TorchMLPClassifier
from sktamm.ratios._wifi_ensemble import WifiEnsemble

LEVELS = (0.683, 0.954)
SHIFT = 0.1
PROCEDURES = {
    "no propagation": {"propagate": False},
    "first order": {"correct": False},
    "corrected": {},
    "corrected, profile": {"interval": "profile"},
}
MEMBERS = {
    "torch": TorchMLPClassifier((16, 16), max_epochs=10, batch_size=256),
    "sklearn": MLPClassifier((16,), early_stopping=True, max_iter=20, batch_size=256),
}


def draw(labels, rng):
    return rng.normal(np.where(labels, SHIFT, -SHIFT))[:, None]


def repeat(kappa, seed, choice):
    """One independent experiment: train, weigh, measure; one row per procedure."""
    rng = np.random.default_rng([int(1000 * kappa), seed])
    y = np.repeat([0, 1], 2 * choice.per_class)
    wifi = WifiEnsemble(
        MEMBERS[choice.classifier],
        choice.members,
        resample=choice.resample,
        random_state=seed,
    ).fit(draw(y, rng), y)
    target = draw(rng.random(choice.target) < kappa, rng)
    rows = []
    for name, options in PROCEDURES.items():
        result = wifi.infer_fraction(target, LEVELS, **options)
        ends = result.interval[0].ravel().tolist()
        rows.append([kappa, seed, name, result.kappa[0], result.std[0], *ends])
    return rows


COLUMNS = ["kappa", "seed", "procedure", "estimate", "std"]
COLUMNS += [f"{end}_{level}" for end in ("lower", "upper") for level in LEVELS]


def read_done(path):
    if path is None or not path.exists():
        return pd.DataFrame(columns=COLUMNS)
    return pd.read_csv(path)


def run(choice):
    """All repetitions that the checkpoint does not hold yet, and those that it does."""
    path = None
    if choice.checkpoint is not None:
        choice.checkpoint.mkdir(parents=True, exist_ok=True)
        setting = f"{choice.classifier}_{choice.members}_{choice.resample}"
        path = choice.checkpoint / f"{setting}_{choice.per_class}_{choice.target}.csv"
    done = read_done(path)
    known = set(zip(done["kappa"], done["seed"], strict=True))
    seeds = range(choice.repetitions)
    jobs = [(k, s) for s in seeds for k in choice.kappa if (k, s) not in known]
    parallel = Parallel(n_jobs=choice.n_jobs, return_as="generator_unordered")
    frames = [done] if len(done) else []
    for rows in parallel(delayed(repeat)(*job, choice) for job in jobs):
        frame = pd.DataFrame(rows, columns=COLUMNS)
        frames.append(frame)
        if path is not None:
            frame.to_csv(path, mode="a", header=not path.exists(), index=False)
    return pd.concat(frames, ignore_index=True)


def summarise(frame):
    """One line of the table: coverage, width, RMSE, bias and interval score."""
    error = frame["estimate"] - frame["kappa"]
    line = {}
    for level in LEVELS:
        lower, upper = frame[f"lower_{level}"], frame[f"upper_{level}"]
        hit = ((lower <= frame["kappa"]) & (frame["kappa"] <= upper)).mean()
        spread = 100 * np.sqrt(hit * (1 - hit) / len(frame))
        line[f"cov {100 * level:.1f}"] = f"{100 * hit:.1f} +- {spread:.1f}"
    lower, upper = frame[f"lower_{LEVELS[0]}"], frame[f"upper_{LEVELS[0]}"]
    score = interval_score(frame["kappa"], lower, upper, LEVELS[0])
    bias_error = error.std() / np.sqrt(len(frame))
    return line | {
        "mean width 68": f"{(upper - lower).mean():.3f}",
        "RMSE": f"{np.sqrt((error**2).mean()):.3f}",
        "bias": f"{error.mean():+.3f} +- {bias_error:.3f}",
        "IS 68": f"{score.mean():.3f}",
        "n": len(frame),
    }


def show(frame):
    groups = [(str(k), part) for k, part in frame.groupby("kappa")]
    lines = []
    for name, part in [*groups, ("all", frame)]:
        for procedure in PROCEDURES:
            chosen = part[part["procedure"] == procedure]
            lines.append({"kappa": name, "procedure": procedure} | summarise(chosen))
    print("| " + " | ".join(lines[0]) + " |")
    print("|" + "---|" * len(lines[0]))
    for line in lines:
        print("| " + " | ".join(str(value) for value in line.values()) + " |")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kappa", type=float, nargs="+", default=[0.02, 0.1, 0.5])
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--per-class", type=int, default=5_000)
    parser.add_argument("--target", type=int, default=5_000)
    parser.add_argument("--classifier", choices=MEMBERS, default="torch")
    parser.add_argument("--resample", default="bootstrap")
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--checkpoint", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    start = time.perf_counter()
    show(run(parse()))
    print(f"\n{time.perf_counter() - start:.0f} s")
