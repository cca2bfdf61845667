"""What a discrepancy does to results whose p-values are small, and to the others.

One line per study and estimator, without and with ``discrepancy="scale"``: number of
targets, share that is flagged bad_fit or in_tension, or whose span is below .001; then
for flagged and for unflagged targets coverage at 68.3 and 95.5 %, mean half-width and
interval score at both levels. "far": the truth of the Gaussian study lies twice as far
out as the simulations.

    SKTAMM_DATA=FOLDER python tests/benchmarks/bench_discrepancy.py --sets 20
"""

import argparse
import sys
import warnings
import zlib
from dataclasses import fields
from itertools import product
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "zoo"))

from cases import Size, from_sources
from studies import STUDIES

from sktamm import BinnedTopicTAMM, NeuralRatioTAMM, ScoreTAMM, infer
from sktamm._numerics import interval_score
from sktamm.datasets import (
    GaussianParameters,
    draw_gaussian_parameters,
    make_gaussian_study,
)
from sktamm.inference import BayesianInference, FrequentistInference

LEVELS = (0.683, 0.955)
SPAN = 1e-3
HEAD = (
    "| study | inference | discrepancy | flagged "
    "| rows widened, median factor | blends widened, median factor "
    "| flagged: cov, half-width, IS at 68.3 / 95.5 % | not flagged |\n"
    "|---|---|---|---|---|---|---|---|"
)
# Names of studies, and how many sets there are where data limit them.
WANTED = {
    "peak on a gamma spectrum, strength 2, K = 5": None,
    "peak on a gamma spectrum, strength 2, K = 10": None,
    "displaced clusters, s = 0.4": None,
    "displaced clusters, s = 1": None,
    "images: 3 among 5, 8, 9, 6 components, distortion 1": None,
    "ttbar histograms": 2,
    "far": None,
}
ESTIMATORS = {
    "binned": BinnedTopicTAMM,
    "score": ScoreTAMM,
    "neural": NeuralRatioTAMM,
}
INFERENCES = {"bayesian": BayesianInference, "frequentist": FrequentistInference}


def far_case(number, size, times=2.0, n_simulations=6):
    """Gaussian study whose truth deviates twice as far from the mean simulation."""
    rng = np.random.default_rng([zlib.crc32(b"far"), number])
    drawn = draw_gaussian_parameters(n_simulations + 1, int(rng.integers(2**31)))
    settings = [drawn.take([k]) for k in range(n_simulations)]
    truth = GaussianParameters(
        **{
            field.name: _farther(getattr(drawn, field.name), times)
            for field in fields(drawn)
        }
    )

    def draw(c, setting, n):
        n_events = (n, 0) if c == 1 else (0, n)
        own = make_gaussian_study(1, 1, *n_events, target=setting, random_state=rng)
        return own.X_target

    return from_sources(draw, settings, truth, size, rng)


def _farther(values, times):
    """The last of some parameters, farther away from the mean of the others."""
    centre = values[:-1].mean(axis=0, keepdims=True)
    return centre + times * (values[-1:] - centre)


def case_of(name, number, size):
    """Simulations and targets of a set."""
    if name == "far":
        return far_case(number, size)
    return next(study for study in STUDIES if study.name == name).case(number, size)


def answers(name, number, options):
    """Truth, interval and flag of every target of a set, by inference and option."""
    case = case_of(name, number, options.size)
    tamm = ESTIMATORS[options.estimator](random_state=0)
    tamm.fit(case.X, case.y, simulation=case.simulation)
    out = {}

    def asked(inference, discrepancy, X, kappa):
        # The choice of the inference needs no training.
        tamm.inference_ = INFERENCES[inference](discrepancy=discrepancy)
        return _line(kappa, infer(tamm, X, levels=LEVELS))

    for inference, target in product(options.inference, case.targets):
        scaled = asked(inference, "scale", *target)
        changed = max(scaled[-2:]) > 1.0
        plain = asked(inference, None, *target) if changed else scaled
        out.setdefault((inference, "none"), []).append(plain)
        out.setdefault((inference, "scale"), []).append(scaled)
    return out


def _line(kappa, result):
    """Truth, four ends, whether it is flagged, and both factors."""
    known = result.diagnostics
    flagged = {"bad_fit", "in_tension"} & set(result.flags[0]) or known["span"][
        0
    ] < SPAN
    factors = [known.get(f"discrepancy_{p}", [1.0])[0] for p in ("rows", "blend")]
    return [kappa, *result.interval[0].T.ravel(), bool(flagged), *factors]


def cell(lines):
    """Coverage, half-width and interval score at both levels."""
    if len(lines) == 0:
        return "-"
    truth, ends = lines[:, 0], lines[:, 1:5].reshape(-1, 2, 2)
    out = []
    for level, (low, high) in zip(LEVELS, ends.transpose(1, 2, 0), strict=True):
        covered = np.mean((low <= truth) & (truth <= high))
        score = interval_score(truth, low, high, level).mean()
        out.append(f"{covered:.2f} {0.5 * (high - low).mean():.4f} {score:.4f}")
    return f"{len(lines)}: " + " / ".join(out)


def report(name, found):
    """Two lines per inference."""
    for key in found[0]:
        lines = np.array([line for answer in found for line in answer[key]])
        flagged = lines[:, 5] == 1.0
        rows, blend = lines[flagged, 6:].T if flagged.any() else np.ones((2, 1))
        print(
            f"| {name} | {key[0]} | {key[1]} | {flagged.mean():.2f} "
            f"| {(rows > 1).sum()}, {np.median(rows):.2f} "
            f"| {(blend > 1).sum()}, {np.median(blend):.2f} "
            f"| {cell(lines[flagged])} | {cell(lines[~flagged])} |",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="number of the first set")
    parser.add_argument("--studies", nargs="*", default=[""], help="parts of names")
    parser.add_argument("--estimator", choices=ESTIMATORS, default="binned")
    parser.add_argument("--inference", nargs="*", default=list(INFERENCES))
    parser.add_argument("--simulated", type=int, default=20_000)
    parser.add_argument("--target", type=int, default=10_000)
    options = parser.parse_args()
    options.size = Size(options.simulated, options.target)
    np.seterr(all="ignore")
    warnings.simplefilter("ignore")
    print(HEAD)
    for name in WANTED:
        if any(part in name for part in options.studies):
            sets = min(options.sets, WANTED[name] or options.sets)
            if WANTED[name]:
                options.first = 0
            numbers = range(options.first, options.first + sets)
            report(name, [answers(name, k, options) for k in numbers])


if __name__ == "__main__":
    main()
