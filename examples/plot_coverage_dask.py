"""Scaling out with Dask
=====================

A coverage study on a Dask cluster.

Does the 68.3 % interval contain the truth in 68.3 % of the cases? A study answers for
true fractions that are known. Here it runs on a local Dask cluster of two processes;
with the address of a running scheduler in place of ``n_workers`` the same lines run on
that. The numbers are those of one process, bit for bit, and if something dies in
between, the same call with the same folder goes on from the finished batches.

All experiments here share one set of simulations and with it one luck: their coverage
may deviate from nominal by more than its binomial error. A statement about the method
needs many sets, studied one by one and merged.
"""

import sys
from tempfile import TemporaryDirectory

import dask
import joblib
import matplotlib.pyplot as plt
from distributed import Client

from sktamm import BinnedTopicTAMM
from sktamm.coverage import coverage_study
from sktamm.datasets import make_gaussian_study
from sktamm.plotting import CoverageDisplay


def main():
    """Fit once, draw and measure 100 datasets on the cluster, print the tables."""
    train = make_gaussian_study(n_simulations=8, n_events=5000, random_state=0)
    tamm = BinnedTopicTAMM(random_state=0)
    tamm.fit(train.X, train.y, simulation=train.simulation)
    # Labelled events of the truth, which none of the simulations knows.
    truth = make_gaussian_study(
        n_simulations=1,
        n_events=10,
        n_signal=10_000,
        n_background=100_000,
        random_state=1,
    )
    with (
        TemporaryDirectory() as folder,
        # Dask's workers give freed memory back at once, which doubles the time here.
        dask.config.set({"distributed.nanny.pre-spawn-environ": {}}),
        Client(n_workers=2, threads_per_worker=1, dashboard_address=None),
        joblib.parallel_config(backend="dask"),
    ):
        study = coverage_study(
            tamm,
            truth.X_target,
            truth.y_target,
            kappas=[0.05, 0.1],
            sizes=[2000, 10_000],
            n_datasets=25,
            checkpoint=folder,
            progress=True,
        )
    sys.stdout.write(f"{study.summary()}\n\n")
    columns = ["n", "coverage_0.683", "p_value_0.683", "mean_width_0.683", "bias"]
    table = study.table(by=("truth", "size"))[columns]
    sys.stdout.write(f"{table.round(4).to_string()}\n")
    figure = CoverageDisplay.from_result(study).plot().figure_
    figure.savefig(sys.argv[1], dpi=100) if len(sys.argv) > 1 else plt.show()


if __name__ == "__main__":
    main()
