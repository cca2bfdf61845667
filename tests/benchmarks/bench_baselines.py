"""Why not just ...? Baselines beside the default estimator on the Gaussian study.

Usage: python tests/benchmarks/bench_baselines.py [--sets 30] [--simulations 8] ...

Every set has its own simulations, fitted once by every estimator, and two datasets of
55 000 events from the truth: the published one, or one more draw of the simulations.
Experiments of a set share its simulations, so errors come from the scatter of the sets.
The first row is the classical fit with the simulation that is right: what the numbers
would be if simulations were.
"""

import argparse
import time

from joblib import Parallel, delayed

from sktamm import BinnedTopicTAMM
from sktamm.baselines import (
    FreeTemplates,
    LabelShiftEM,
    PooledSimulations,
    SingleSimulation,
)
from sktamm.coverage import coverage_study
from sktamm.datasets import draw_gaussian_parameters, make_gaussian_study

KAPPA = 1 / 11
SIZE = 55_000
LEVELS = (0.683, 0.955)
RIGHT = "the right simulation, 10 x 10 bins"


def estimators(classifier):
    """Estimators by the question that a user asks."""
    return {
        RIGHT: SingleSimulation(),
        "one simulation, 10 x 10 bins": SingleSimulation(),
        "pooled simulations, 10 x 10 bins": PooledSimulations(),
        "all templates free (iminuit), 10 x 10 bins": FreeTemplates(),
        f"EM under label shift, {classifier}": LabelShiftEM(classifier, random_state=0),
        "BinnedTopicTAMM(), the default": BinnedTopicTAMM(random_state=0),
    }


class Truth:
    """Generator of datasets for a study."""

    def __init__(self, target):
        self.target = target

    def __call__(self, kappa, size, rng):
        n_signal = rng.binomial(size, kappa)
        drawn = make_gaussian_study(
            1, 1, n_signal, size - n_signal, target=self.target, random_state=rng
        )
        return drawn.X_target


def one_set(seed, drawn, options):
    """Studies and seconds of every estimator for one set of simulations."""
    parameters = draw_gaussian_parameters(options.simulations + 1, random_state=seed)
    target = parameters.take([options.simulations]) if drawn else None
    wrong = make_gaussian_study(
        options.simulations, options.events, parameters=parameters, random_state=seed
    )
    right = make_gaussian_study(
        1, options.events, parameters=true_parameters(target, wrong), random_state=seed
    )
    found = {}
    for name, estimator in estimators(options.classifier).items():
        start = time.time()
        train = right if name == RIGHT else wrong
        estimator.fit(train.X, train.y, simulation=train.simulation)
        fitted = time.time() - start
        study = coverage_study(
            estimator,
            Truth(target),
            kappas=KAPPA,
            sizes=SIZE,
            n_datasets=2,
            levels=LEVELS,
            group=seed,
            random_state=seed,
        )
        found[name] = study, fitted
    return found


def true_parameters(target, study):
    """Parameters of the truth: one more simulation, or the published ones."""
    return study.target_parameters if target is None else target


def row(name, studies, fit_seconds):
    study = studies[0].merge(*studies[1:])
    t = study.table(by=()).iloc[0]
    cells = [name]
    for level in ("0.683", "0.955"):
        error = 0.5 * (t[f"coverage_upper_{level}"] - t[f"coverage_lower_{level}"])
        cells.append(f"{t[f'coverage_{level}']:.2f} +- {error:.2f}")
    cells += [
        f"{0.5 * t['mean_width_0.683']:.4f}",
        f"{t['rmse']:.4f}",
        f"{t['bias']:+.4f}",
        f"{t['interval_score_0.683']:.4f}",
        f"{t['interval_score_0.955']:.4f}",
        f"{(study.flags != '').mean():.2f}",
        f"{fit_seconds:.1f} + {study.seconds.mean():.2f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=30)
    parser.add_argument("--simulations", type=int, default=8)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--classifier", default="lightgbm")
    parser.add_argument("--truths", nargs="+", default=["published", "drawn"])
    parser.add_argument("--n-jobs", type=int, default=1)
    options = parser.parse_args()
    for truth in options.truths:
        outputs = Parallel(options.n_jobs)(
            delayed(one_set)(seed, truth == "drawn", options)
            for seed in range(options.sets)
        )
        print(
            f"\n### K = {options.simulations}, {options.events} events each, {truth} "
            f"truth, {options.sets} sets x 2 datasets of {SIZE} events\n\n"
            "| estimator | cov 68.3 | cov 95.5 | half-width | RMSE | bias | IS 68 "
            "| IS 95 | flagged | s per fit + dataset |\n" + "|---" * 10 + "|"
        )
        for name in outputs[0]:
            studies = [output[name][0] for output in outputs]
            seconds = sum(output[name][1] for output in outputs) / len(outputs)
            print(row(name, studies, seconds), flush=True)


if __name__ == "__main__":
    main()
