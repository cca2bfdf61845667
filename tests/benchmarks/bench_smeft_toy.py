"""Learned ratios of the one-parameter toy: training study and coverage.

Usage: python tests/benchmarks/bench_smeft_toy.py [training] [coverage]
           [--seeds 3] [--first-seed 0] [--events 100000]
           [--cells "one smear, linear" ...]
           [--coverage-events 1000000] [--datasets 500] [--checkpoint FOLDER]

``training``: mean squared error of ln r(x | 1, 0) over 100 000 x drawn at theta = 1, of
networks with two hidden layers of 64 units. The first seven learn derivatives from the
given number of events at theta = 0: one detector response each, fractional smearing
(threshold 0.5) or ten responses each, with linear or exponential outputs or a Cholesky
factor. The others learn the ratio at theta = 1 from as many events, half at either
theta, with soft labels (morphing-aware) or labels alone (a plain classifier);
"weighted" has all events at theta = 0 and makes those at 1 of them by weights. ``goal``
is the error of the same study in the first formulation of these methods. Events without
a positive ratio have no logarithm: ``NaN`` is their share. "parton sample alone" is the
exact shape at the scale of the sample's mean derivative, which scatters by 8 % for
100 000 events: an error that no smearing removes and that all methods share which learn
derivatives from events at theta = 0. "S known" knows the mean derivatives, as from a
calculation of the cross section, in place of those of the sample.

``coverage``: intervals of |theta| at 68.3 and 95.4 % from the shape of datasets of 100
and 1 000 events, drawn at several theta, by ratios of fractional smearing (linear or
exponential output, Cholesky factor, known cross section) and of morphing, beside the
exact likelihood on the same data. theta enters squared, so theta = 0 is a boundary,
where the exact likelihood over-covers as well. Errors of coverages are binomial;
``width`` is the mean width in units of that of the exact one. One network per method is
trained, on the events of seed 0, of which there are more than in the training study:
those at theta = 0 have few in the peak for the scale of theta, whose relative error is
4 % for 100 000 events, 1.2 % for a million.

With --checkpoint every finished cell is kept in a folder and not repeated.
"""

import argparse
import json
import time
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import hash as content_hash

from sktamm.datasets import make_smeft_toy
from sktamm.datasets._smeft_toy import smeft_toy_log_ratio
from sktamm.exceptions import RatioWarning
from sktamm.learning import TorchMLPClassifier
from sktamm.parametric import (
    DerivativeRatioRegressor,
    FractionalSmearing,
    MorphingBasis,
    MorphingRatioClassifier,
    PolynomialRatio,
    QuadraticRatioEstimator,
    UnbinnedLikelihood,
)

# Number of responses per event, None for fractional smearing; output; goal.
DERIVATIVES = {
    "one smear, linear": (1, "linear", 0.034),
    "one smear, exponential": (1, "exponential", 0.025),
    "one smear, Cholesky": (1, "cholesky", None),
    "fractional, linear": (None, "linear", 0.011),
    "fractional, exponential": (None, "exponential", 0.0065),
    "fractional, Cholesky": (None, "cholesky", None),
    "fractional, linear, S known": (None, "linear", None),
    "ten smears, linear": (10, "linear", 0.030),
}
PARTONS = "parton sample alone"
BENCHMARK = {
    "morphing-aware at 1": 0.055,
    "morphing-aware, weighted": 0.055,
    "plain classifier at 1": 0.071,
}
CELLS = [PARTONS, *DERIVATIVES, *BENCHMARK]
BASIS = MorphingBasis(1, benchmarks=[[0.0], [1.0]], components=[[0], [2]])
N_TEST = 100_000
LEVELS = (0.683, 0.954)
THETAS = (0.0, 0.25, 0.5, 1.0)
SIZES = (100, 1000)
METHODS = (
    "fractional, linear",
    "fractional, exponential",
    "fractional, Cholesky",
    "fractional, linear, S known",
    "morphing-aware at 1",
)


def learn_derivatives(name, n_events, seed):
    """Ratio from the derivatives of events at theta = 0."""
    copies, output, _ = DERIVATIVES[name]
    toy = make_smeft_toy(n_events, random_state=seed)
    smearing = FractionalSmearing(n_copies=copies, random_state=seed)
    X, y, weight, parent = smearing.fit_resample(
        toy.Z, toy.joint_derivatives, toy.smear
    )
    if output == "cholesky":
        model = QuadraticRatioEstimator("mlp", random_state=seed)
    else:
        model = DerivativeRatioRegressor("mlp", link=output, random_state=seed)
    if name.endswith("S known"):
        model.set_params(mean_derivatives=[0.0, 2.0])
    return model.fit(X, y, sample_weight=weight, groups=parent)


def learn_at_benchmark(name, n_events, seed):
    """Ratio from the soft labels of events at theta = 0 and 1, or weighted ones."""
    X, y, drawn = both_samples(n_events, seed)
    if name == "morphing-aware, weighted":
        toy = make_smeft_toy(n_events, random_state=seed)
        X, y = toy.X, np.column_stack([toy.weights(0.0), toy.weights(1.0)])
        drawn = None
    model = MorphingRatioClassifier("mlp", BASIS, random_state=seed)
    return model.fit(X, y, benchmark=drawn)


def both_samples(n_events, seed):
    toys = [
        make_smeft_toy(n_events // 2, theta, random_state=[seed, int(theta)])
        for theta in (0.0, 1.0)
    ]
    y = [np.column_stack([toy.weights(0.0), toy.weights(1.0)]) for toy in toys]
    drawn = np.repeat([0, 1], n_events // 2)
    return np.concatenate([toy.X for toy in toys]), np.concatenate(y), drawn


def plain_log_ratio(n_events, seed, X):
    """Log ratio from labels alone, by a network of the same shape."""
    features, _, drawn = both_samples(n_events, seed)
    network = TorchMLPClassifier(
        (64, 64),
        activation="tanh",
        learning_rate=0.01,
        max_epochs=60,
        early_stopping=False,
        random_state=seed,
    )
    return np.diff(network.fit(features, drawn).predict_log_proba(X), axis=1)[:, 0]


def partons_log_ratio(n_events, seed, X):
    """Log ratio of the exact shape at the scale of the sample's mean derivative."""
    scale = make_smeft_toy(n_events, random_state=seed).joint_derivatives[:, 1].mean()
    g = 2 * np.exp(smeft_toy_log_ratio(X, 1.0)) - 1
    return np.log((1 + g * scale / 2) / (1 + scale / 2))


@cache
def learn(name, n_events, seed):
    if name in DERIVATIVES:
        return learn_derivatives(name, n_events, seed)
    return learn_at_benchmark(name, n_events, seed)


LOG_RATIOS = {PARTONS: partons_log_ratio, "plain classifier at 1": plain_log_ratio}


def train(name, n_events, seed):
    """Error of one training."""
    start = time.perf_counter()
    X = make_smeft_toy(N_TEST, 1.0, random_state=[seed, 2]).X
    if name in LOG_RATIOS:
        log_ratio = LOG_RATIOS[name](n_events, seed, X)
    else:
        model = learn(name, n_events, seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RatioWarning)
            log_ratio = model.log_ratio(X, 1.0)
    error = log_ratio - smeft_toy_log_ratio(X, 1.0)
    return {
        "method": name,
        "seed": seed,
        "MSE": float(np.nanmean(error**2)),
        "NaN": float(np.isnan(error).mean()),
        "seconds": time.perf_counter() - start,
    }


def exact_derivatives(X):
    """R_1 = 0 and R_2 = 2 g(x); g from the exact ratio at theta = 1."""
    g = 2 * np.exp(smeft_toy_log_ratio(X, 1.0)) - 1
    return np.column_stack([np.zeros(len(g)), 2 * g])


def exact_ratio():
    known = PolynomialRatio(exact_derivatives, mean_derivatives=[0.0, 2.0])
    return known.fit(make_smeft_toy(10, random_state=0).X)


def cover(name, n_events, n_datasets, theta, size):
    """Intervals of one method from datasets of one kind."""
    start = time.perf_counter()
    model = exact_ratio() if name == "exact" else learn(name, n_events, 0)
    toy = make_smeft_toy(
        n_datasets * size, theta, random_state=[7, int(100 * theta), size]
    )
    likelihood = UnbinnedLikelihood(model, include_rate=False, bounds=[(0.0, None)])
    dataset = np.repeat(np.arange(n_datasets), size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RatioWarning)
        likelihood.fit(toy.X)
        _, interval = likelihood.predict(
            toy.X, dataset=dataset, return_interval=list(LEVELS)
        )
    row = {"method": name, "theta": theta, "events": size}
    for k, level in enumerate(LEVELS):
        low, high = interval[:, 0, k], interval[:, 1, k]
        row[f"coverage {level}"] = float(((low <= theta) & (theta <= high)).mean())
        row[f"width {level}"] = float((high - low).mean())
    return row | {"datasets": n_datasets, "seconds": time.perf_counter() - start}


def once(choice, function, *arguments):
    """Result of a cell, from the folder if it is there."""
    if choice.checkpoint is None:
        return function(*arguments)
    settings = [function.__name__, *arguments]
    path = Path(choice.checkpoint) / f"{content_hash(json.dumps(settings))}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(function(*arguments)))
    return json.loads(path.read_text())


def training_table(choice):
    rows = []
    for seed in range(choice.first_seed, choice.first_seed + choice.seeds):
        for name in choice.cells:
            rows.append(once(choice, train, name, choice.events, seed))
            row = {k: _short(v) for k, v in rows[-1].items()}
            print("  ".join(f"{k} {v}" for k, v in row.items()), flush=True)
    goals = {name: goal for name, (_, _, goal) in DERIVATIVES.items()} | BENCHMARK
    grouped = pd.DataFrame(rows).groupby("method", sort=False)
    table = grouped[["MSE", "NaN", "seconds"]].mean()
    table.insert(1, "spread", grouped["MSE"].std())
    table.insert(2, "median", grouped["MSE"].median())
    table.insert(3, "goal", pd.Series(goals, dtype=float))
    print("\n", table.round(4).to_string(), sep="")


def coverage_table(choice):
    rows, sizes = [], (choice.coverage_events, choice.datasets)
    for size in SIZES:
        for theta in THETAS:
            cells = [
                once(choice, cover, name, *sizes, theta, size)
                for name in ("exact", *METHODS)
            ]
            exact = {level: cells[0][f"width {level}"] for level in LEVELS}
            rows += [_relative(cell, exact) for cell in cells]
            print(pd.DataFrame(rows[-len(cells) :]).to_string(), flush=True)
    print("\n", pd.DataFrame(rows).to_string(index=False), sep="")


def _relative(cell, exact):
    row = {key: cell[key] for key in ("method", "theta", "events")}
    for level in LEVELS:
        share = cell[f"coverage {level}"]
        error = np.sqrt(max(share * (1 - share), 1e-4) / cell["datasets"])
        row[f"{100 * level:.1f} %"] = f"{100 * share:.1f} +- {100 * error:.1f}"
        row[f"width {100 * level:.1f}"] = round(
            cell[f"width {level}"] / exact[level], 3
        )
    return row


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else value


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["training", "coverage"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--coverage-events", type=int, default=1_000_000)
    parser.add_argument("--cells", nargs="+", default=CELLS, choices=CELLS)
    parser.add_argument("--datasets", type=int, default=500)
    parser.add_argument("--checkpoint")
    choice = parser.parse_args()
    if "training" in choice.parts:
        training_table(choice)
    if "coverage" in choice.parts:
        coverage_table(choice)


if __name__ == "__main__":
    main()
