"""Training and inference on a GPU and on the CPU of the same machine.

Usage: python tests/benchmarks/bench_gpu.py [train] [infer] [--devices cuda cpu]
           [--events 20000 100000] [--datasets 300] [--reference 400000] [--n-jobs 1]
           [--only chains]

``train``: ratios of 20 sources (K = 10) of the Gaussian study in two features, and of
12 (K = 6) in ten, by the four perceptrons of `NeuralRatioTAMM`; seconds of the
training, of the ratios of 55 000 target events and of the inference, then kappa and the
distance of the two kappas in units of their error. The first training of a process
warms the device up and is not counted.

``infer``: chains and fits of many histograms, of topics (linear) and of 20 simulations
per class (exponential) in 100 bins, then of 55 000 unbinned events of K = 10 with known
log ratios; ``--only`` takes some of them by their first word. A device has all
histograms in one batch; the CPU has ``--n-jobs`` and batches of 25 or fewer. Seconds of
the inference of a target that is tabulated, after a first one (of few draws for
chains), then the largest distances from the first device in units of the error: for
chains those of Monte Carlo. Without a GPU, ``--devices torch cpu`` runs the same code.
"""

import argparse
import itertools
import time

import numpy as np
import torch

# Studies are shared with the benchmarks of the CPU, in the same folder.
from bench_gaussian import TRUTH, draw_target, draw_templates, fresh_simulations
from bench_neural_speed import LEVELS, logistic_table
from sklearn.base import clone

from sktamm import BinnedTopicTAMM, NeuralRatioTAMM, TAMMRegressor
from sktamm.components import TopicComponents
from sktamm.datasets import make_gaussian_study
from sktamm.inference import BayesianInference, FrequentistInference
from sktamm.learning import TorchMLPClassifier
from sktamm.mixture import ExponentialForm, ShrinkagePrior

STUDIES = ((10, 2), (6, 10))


# ------------------------------------------------------------------------- training
def measured(study, device):
    """Seconds of every step, and the result."""
    classifier = TorchMLPClassifier(activation="gelu", device=device)
    tamm = NeuralRatioTAMM(classifier, random_state=0)
    times = [time.perf_counter()]
    tamm.fit(study.X, study.y, simulation=study.simulation)
    times.append(time.perf_counter())
    tamm.components_.ratio_.predict_log_ratio(study.X_target)
    times.append(time.perf_counter())
    result = tamm.infer(study.X_target)
    times.append(time.perf_counter())
    return [b - a for a, b in itertools.pairwise(times)], result


def train(options):
    for device in options.devices:
        measured(make_gaussian_study(4, 1000, random_state=0), device)
    for n_events in options.events:
        for k, d in STUDIES:
            study = make_gaussian_study(k, n_events, n_features=d, random_state=1)
            results = {}
            for device in options.devices:
                seconds, results[device] = measured(study, device)
                kappa, std = results[device].kappa[0], results[device].std[0]
                words = ", ".join(
                    f"{step} {s:.2f} s"
                    for step, s in zip(("fit", "ratios", "infer"), seconds, strict=True)
                )
                print(
                    f"{2 * k} sources x {n_events}, {d} features, {device}: {words}, "
                    f"kappa {kappa:.4f} +- {std:.4f}",
                    flush=True,
                )
            one, other = (
                results.values() if len(results) == 2 else [results[device]] * 2
            )
            apart = abs(one.kappa[0] - other.kappa[0]) / one.std[0]
            print(f"  distance {apart:.3f} errors, truth {study.kappa:.4f}")


# ------------------------------------------------------------------------ inference
def of_histograms(options):
    """Tables and models of many histograms, linear and exponential."""
    rng = np.random.default_rng(0)
    target = draw_target(TRUTH, options.datasets, rng)
    topics = TopicComponents(template_errors=False)
    linear = TAMMRegressor(topics, "linear", "dirichlet", random_state=0)
    for name, n_simulations, tamm in (
        ("linear", 60, linear),
        ("exponential", 20, BinnedTopicTAMM(random_state=0)),
    ):
        simulated = draw_templates(fresh_simulations(n_simulations, 1), 100_000, rng)
        histograms, y, ids = simulated
        tamm.fit(histograms, y, simulation=ids)
        table, _ = tamm.tabulate(target, None, None)
        yield f"{name}, {options.datasets} histograms", table, tamm.form_, tamm.prior_


def of_events(options):
    """Table and model of unbinned events."""
    study = make_gaussian_study(10, options.reference // 10, random_state=0)
    table = logistic_table(options.reference, study)
    name = f"{len(table.log_ratio)} events, {len(table.reference_weight)} of reference"
    return name, table, ExponentialForm(), ShrinkagePrior()


def problems(options):
    """What is inferred, and how."""
    for name, table, form, prior in of_histograms(options):
        yield f"chains, {name}", table, form, prior, BayesianInference("hmc")
        yield f"fits, {name}", table, form, prior, FrequentistInference()
    if options.only == "chains":
        return
    name, *problem = of_events(options)
    yield f"fit and profile, {name}", *problem, FrequentistInference()
    yield f"Laplace's method, {name}", *problem, BayesianInference()


def infer(options):
    for name, table, form, prior, inference in problems(options):
        if not name.startswith(options.only):
            continue
        first = None
        for device in options.devices:
            seconds, answer = inferred(table, form, prior, inference, device, options)
            first = answer if first is None else first
            apart = np.abs(answer.kappa - first.kappa) / first.std
            wider = np.abs(np.log(answer.std / first.std))
            print(
                f"{name}, {device}: {seconds:.2f} s, kappa "
                f"{answer.kappa[0]:.4f} +- {answer.std[0]:.4f}, largest distance "
                f"{apart.max():.1e} errors, of errors {wider.max():.1e}, converged "
                f"{answer.diagnostics['converged'].mean():.3f}",
                flush=True,
            )


def inferred(table, form, prior, inference, device, options):
    """Seconds of an inference, and its answer, after one that warms up."""
    share = -(-options.datasets // options.n_jobs)
    size = min(25, share) if device == "cpu" else options.datasets
    inference = clone(inference).set_params(device=device, batch_size=size)
    first = clone(inference)
    if isinstance(first, BayesianInference):
        first.set_params(n_warmup=8, n_draws=4, max_draws=4)
    for one in (first, inference):
        start = time.perf_counter()
        answer = one.infer(
            table,
            form.build(table, prior),
            LEVELS,
            informative=True,
            bounded=one.has_posterior,
            seed=np.random.SeedSequence(0),
            n_jobs=options.n_jobs if device == "cpu" else 1,
        )
        seconds = time.perf_counter() - start
    return seconds, answer


PARTS = {"train": train, "infer": infer}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["train"], help=str(list(PARTS)))
    parser.add_argument("--events", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--devices", nargs="+", default=["cuda", "cpu"])
    parser.add_argument("--datasets", type=int, default=300)
    parser.add_argument("--reference", type=int, default=400_000)
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    if torch.cuda.is_available():
        print(torch.cuda.get_device_name(), "torch", torch.__version__)
    print("CPU threads", torch.get_num_threads())
    for part in options.parts:
        PARTS[part](options)


if __name__ == "__main__":
    main()
