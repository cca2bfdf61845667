"""Seconds of ``AutoTAMM()``: fit, judging included, and one target.

    python tests/benchmarks/bench_auto.py [--features 2 10] [--events 20000]

Six simulations of the Gaussian study, as many events of each class; the target has
55 000 events.
"""

import argparse
import time

from sktamm import AutoTAMM
from sktamm.datasets import make_gaussian_study


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, nargs="+", default=[2, 10])
    parser.add_argument("--events", type=int, default=20_000)
    options = parser.parse_args()
    for d in options.features:
        study = make_gaussian_study(6, options.events, n_features=d, random_state=0)
        start = time.perf_counter()
        tamm = AutoTAMM().fit(study.X, study.y, simulation=study.simulation)
        fitted = time.perf_counter()
        tamm.infer(study.X_target)
        end = time.perf_counter()
        print(
            f"{d} features: fit {fitted - start:.1f} s, infer {end - fitted:.1f} s, "
            f"chosen {tamm.chosen_}"
        )


if __name__ == "__main__":
    main()
