"""Seconds of the estimators of many features: 6 x 2 x 20 000 events of ten features.

python tests/benchmarks/bench_ten_features.py
"""

import time
import warnings

from sktamm import NeuralRatioTAMM, ScoreTAMM
from sktamm.datasets import make_gaussian_study


def main():
    """Fit, infer one target of 10 000 events, print."""
    warnings.simplefilter("ignore")
    study = make_gaussian_study(6, 20_000, 1000, 9000, n_features=10, random_state=1)
    for kind in (ScoreTAMM, NeuralRatioTAMM):
        tamm, start = kind(random_state=0, n_jobs=2), time.perf_counter()
        tamm.fit(study.X, study.y, simulation=study.simulation)
        fitted = time.perf_counter()
        tamm.infer(study.X_target)
        done = time.perf_counter()
        print(f"{kind.__name__}: fit {fitted - start:.1f} s, {done - fitted:.1f} s")


if __name__ == "__main__":
    main()
