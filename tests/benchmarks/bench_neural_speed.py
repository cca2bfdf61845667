"""Time and memory of the unbinned method on this machine.

Usage: python tests/benchmarks/bench_neural_speed.py [mlp] [lightgbm] [infer] [many]
           [plain]

``mlp``, ``lightgbm``: log ratios of 20 sources x 100 000 events, four members.
``infer``: one inference with K = 10, 55 000 target and 400 000 reference rows (fit,
sandwich, profile intervals at two levels; and the Bayesian default), the log ratios
evaluated before. ``many``: 300 pseudo-experiments of the same size drawn from a pool of
labelled events, 100 000 reference rows. ``plain``: the rows of ``infer`` fitted as
published, in plain torch (L-BFGS of the same likelihood with the published ridge, and
the sandwich), and by the frequentist inference with its two profile intervals, one
after the other in one process. Every part runs in a process of its own; peak
memory is the largest resident set of that process. ``--device cuda`` trains on a GPU.
"""

import argparse
import multiprocessing
import resource
import sys
import time
from pathlib import Path

import numpy as np

from sktamm import NeuralRatioTAMM
from sktamm.components import RatioComponents
from sktamm.datasets import make_gaussian_study
from sktamm.events import TargetEvents
from sktamm.inference import BayesianInference, FrequentistInference
from sktamm.learning import TorchMLPClassifier
from sktamm.mixture import ExponentialForm, RidgePrior, ShrinkagePrior
from sktamm.ratios import DensityRatio

LEVELS = np.array([0.683, 0.955])


def make_study(n_events, **settings):
    return make_gaussian_study(10, n_events, random_state=0, **settings)


def train(classifier, resample, options):
    study = make_study(100_000)
    start = time.perf_counter()
    ratio = DensityRatio(classifier, resample=resample)
    tamm = NeuralRatioTAMM(ratio, n_jobs=options.n_jobs, random_state=0)
    tamm.fit(study.X, study.y, simulation=study.simulation)
    ratio = tamm.components_.ratio_
    trained = time.perf_counter()
    ratio.predict_log_ratio(study.X_target)
    done = time.perf_counter()
    print(
        f"{trained - start:.0f} s for 20 sources x 100 000 events, 4 members; "
        f"{done - trained:.1f} s for the ratios of 55 000 target events; median "
        f"p-value of closure {ratio.closure_['p_value'].median():.2f}"
    )


def run_mlp(options):
    train(
        TorchMLPClassifier(activation="gelu", device=options.device),
        "bootstrap",
        options,
    )


def run_lightgbm(options):
    train("lightgbm", "partition", options)


def logistic_table(n_reference, study):
    """Table with ratios of the cheapest classifier: the inference is what counts."""
    tamm = NeuralRatioTAMM(
        DensityRatio("logistic", n_members=2, n_reference=n_reference, holdout=0.5),
        random_state=0,
    ).fit(study.X, study.y, simulation=study.simulation)
    components: RatioComponents = tamm.components_
    target = TargetEvents(study.X_target, None, None, np.zeros(1, dtype=int))
    return components.table(target)


def run_infer(options):
    table = logistic_table(400_000, make_study(40_000))
    shape = table.log_ratio.shape, table.reference_log_ratio.shape
    for inference in (FrequentistInference(), BayesianInference()):
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            prior = ShrinkagePrior()
            model = ExponentialForm().build(table, prior)
            answer = inference.infer(
                table,
                model,
                LEVELS,
                informative=True,
                bounded=False,
                seed=np.random.SeedSequence(0),
                n_jobs=options.n_jobs,
            )
            seconds.append(time.perf_counter() - start)
        print(
            f"{type(inference).__name__}: {min(seconds):.2f} s (best of 3; all "
            f"{np.round(seconds, 2)}), rows {shape}, kappa {answer.kappa[0]:.4f} +- "
            f"{answer.std[0]:.4f}"
        )


def run_plain(options):
    sys.path.insert(0, str(Path(__file__).parent / "zoo"))
    from peers.plain_torch import fit

    table = logistic_table(400_000, make_study(40_000))
    is_signal = table.component_class == table.positive
    start = time.perf_counter()
    found = fit(table.log_ratio, table.reference_log_ratio, is_signal)
    plain = time.perf_counter() - start
    for prior, form in ((RidgePrior(), "ridge"), (ShrinkagePrior(), "default prior")):
        start = time.perf_counter()
        answer = FrequentistInference().infer(
            table,
            ExponentialForm().build(table, prior),
            LEVELS,
            informative=True,
            bounded=False,
            seed=np.random.SeedSequence(0),
            n_jobs=1,
        )
        own = time.perf_counter() - start
        print(
            f"plain torch {plain:.1f} s, kappa {found.kappa:.4f} +- {found.std:.4f}, "
            f"converged {found.converged}; sktamm, {form}, intervals included "
            f"{own:.2f} s, kappa {answer.kappa[0]:.4f} +- {answer.std[0]:.4f}: "
            f"{plain / own:.0f} times as fast"
        )


def run_many(options):
    study = make_study(40_000, n_signal=20_000, n_background=200_000)
    tamm = NeuralRatioTAMM(
        DensityRatio("logistic", n_members=2, n_reference=100_000),
        n_jobs=options.n_jobs,
    ).fit(study.X, study.y, simulation=study.simulation)
    rng = np.random.default_rng(0)
    n = len(study.X_target)
    start = time.perf_counter()
    counts = np.stack(
        [
            np.bincount(rng.choice(n, 55_000), minlength=n).astype(np.uint8)
            for _ in range(options.datasets)
        ],
        axis=1,
    )
    result = tamm.infer(study.X_target, dataset=counts)
    seconds = time.perf_counter() - start
    flagged = sum("not_converged" in flags for flags in result.flags)
    print(
        f"{seconds:.0f} s for {options.datasets} pseudo-experiments of 55 000 events, "
        f"{flagged} not converged, scatter of kappa {result.kappa.std():.4f}"
    )


PARTS = {
    "mlp": run_mlp,
    "lightgbm": run_lightgbm,
    "infer": run_infer,
    "many": run_many,
    "plain": run_plain,
}


def run_part(name, options):
    PARTS[name](options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{name}: peak memory {peak:.2f} GiB", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=str(list(PARTS)))
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--datasets", type=int, default=300)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    for name in options.parts:
        process = context.Process(target=run_part, args=(name, options))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
