"""The unbinned default trained on a GPU and on the CPU of the same machine.

Usage: python tests/benchmarks/bench_gpu.py [--events 20000 100000] [--devices cuda cpu]

Ratios of 20 sources (K = 10) of the Gaussian study in two features, and of 12 (K = 6)
in ten, by the four perceptrons of `NeuralRatioTAMM`; seconds of the training, of the
ratios of 55 000 target events and of the inference, then kappa and the distance of the
two kappas in units of their error. The first training of a process warms the device up
and is not counted.
"""

import argparse
import itertools
import time

import torch

from sktamm import NeuralRatioTAMM
from sktamm.datasets import make_gaussian_study
from sktamm.learning import TorchMLPClassifier

STUDIES = ((10, 2), (6, 10))


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--devices", nargs="+", default=["cuda", "cpu"])
    options = parser.parse_args()
    if torch.cuda.is_available():
        print(torch.cuda.get_device_name(), "torch", torch.__version__)
    print("CPU threads", torch.get_num_threads())
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


if __name__ == "__main__":
    main()
