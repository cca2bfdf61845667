"""A study of 1 000 binned experiments: one worker, two workers, and two of Dask.

Run from the root of the repository:

    PYTHONPATH=. python tests/benchmarks/bench_coverage.py

The estimator is `BinnedTopicTAMM` with its defaults, fitted to 8 simulations per class
of the Gaussian study; the experiments are 500 each of kappa = 0.05 and 0.1, of 55 000
events, drawn without replacement from 440 000 events of the truth. Wall time covers the
call of `coverage_study` alone, with workers that are up and have imported the package,
which costs seconds once and not per study. All numbers must agree bit for bit.

Dask makes its workers return freed memory at once (MALLOC_TRIM_THRESHOLD_), so that
every large array is mapped anew; ``--trim`` leaves this on and shows what it costs.
"""

import argparse
import os
import sys
import time

import joblib

from sktamm import BinnedTopicTAMM
from sktamm.coverage import coverage_study
from sktamm.datasets import make_gaussian_study


def warm_up(batch):
    """Import in a worker what the study needs; slow enough to reach all workers."""
    import sktamm.coverage  # noqa: F401

    time.sleep(1.0)
    return batch


def run(study, batch_size, n_datasets, size):
    """Seconds and result of one study in the workers that are configured."""
    tamm, truth = study
    joblib.Parallel()(joblib.delayed(warm_up)(i) for i in range(4))
    start = time.perf_counter()
    result = coverage_study(
        tamm,
        truth.X_target,
        truth.y_target,
        kappas=[0.05, 0.1],
        sizes=size,
        n_datasets=n_datasets,
        batch_size=batch_size,
    )
    return time.perf_counter() - start, result


def backends(trim):
    """Name and configuration of every way to run; the Dask cluster lives meanwhile."""
    yield "one worker", {"n_jobs": 1}
    yield "two workers", {"n_jobs": 2}
    yield "two threads", {"backend": "threading", "n_jobs": 2}
    import dask
    from distributed import Client

    setting = {} if trim else {"distributed.nanny.pre-spawn-environ": {}}
    with (
        dask.config.set(setting),
        Client(n_workers=2, threads_per_worker=1, dashboard_address=None),
    ):
        yield "Dask, two workers", {"backend": "dask"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiments", type=int, default=1000)
    parser.add_argument("--events", type=int, default=55_000)
    parser.add_argument("--batch-size", type=int, default=20)
    parser.add_argument("--trim", action="store_true")
    arguments = parser.parse_args()
    train = make_gaussian_study(n_simulations=8, random_state=0)
    tamm = BinnedTopicTAMM(random_state=0)
    tamm.fit(train.X, train.y, simulation=train.simulation)
    truth = make_gaussian_study(1, 10, 40_000, 400_000, random_state=1)
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    frames, seconds = {}, {}
    for name, config in backends(arguments.trim):
        with joblib.parallel_config(**config):
            seconds[name], result = run(
                (tamm, truth),
                arguments.batch_size,
                arguments.experiments // 2,
                arguments.events,
            )
        frames[name] = result.to_frame().drop(columns="seconds")
        gain = seconds["one worker"] / seconds[name]
        print(f"{name:18s} {seconds[name]:7.1f} s   x {gain:.2f}", flush=True)
    reference = frames["one worker"]
    same = all(frame.equals(reference) for frame in frames.values())
    print(f"numbers agree bit for bit: {'yes' if same else 'NO'}")
    print(result.summary())
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
