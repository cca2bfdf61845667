"""The same call on a real local Dask cluster, with workers that are killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import joblib
import numpy as np
import pytest
from coverage_estimators import Nested, NormalFraction, equal, labelled_events

from sktamm import BinnedTopicTAMM
from sktamm.coverage import coverage_study
from sktamm.datasets import make_gaussian_study

distributed = pytest.importorskip("distributed")

X, Y = labelled_events()
N_BATCHES = 16

# Sockets and loops of a cluster that loses workers are closed by the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@contextmanager
def local_cluster():
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.wait_for_workers(2)
        yield client


@pytest.fixture(scope="module")
def client():
    with local_cluster() as client:
        yield client


def study(estimator, folder=None, **keywords):
    return coverage_study(
        estimator,
        X,
        Y,
        kappas=[0.1, 0.3],
        sizes=80,
        n_datasets=16,
        batch_size=2,
        group="a",
        checkpoint=folder,
        **keywords,
    )


def pids(client):
    return set(client.run(os.getpid).values())


def test_cluster_gives_the_numbers_of_one_process(client):
    train = make_gaussian_study(n_simulations=4, n_events=1000, random_state=1)
    tamm = BinnedTopicTAMM(bins=4, random_state=0)
    tamm.fit(train.X, train.y, simulation=train.simulation)

    def run():
        return coverage_study(
            tamm,
            train.X_target,
            train.y_target,
            kappas=[0.05, 0.1],
            sizes=400,
            n_datasets=8,
            batch_size=4,
        )

    with joblib.parallel_config(backend="dask"):
        remote = run()
    assert equal(remote, run())
    assert len(pids(client) - {os.getpid()}) == 2


def test_fits_do_not_use_the_cluster_themselves(client):
    with joblib.parallel_config(backend="dask"):
        assert (study(Nested().fit(X, Y)).kappa == 1).all()


def test_failed_fits_are_known_on_the_cluster(client, tmp_path):
    estimator = NormalFraction(fail_on=np.isfinite).fit(X, Y)
    with joblib.parallel_config(backend="dask"), pytest.warns(UserWarning, match="32 "):
        result = study(estimator, tmp_path)
    assert result.failed.all()


def test_worker_that_kills_itself_in_a_fit_is_replaced(client, tmp_path):
    """SIGKILL in the middle of a batch: the cluster runs the batch again."""
    lock, folder = tmp_path / "killed", tmp_path / "study"
    lock.touch()  # the manifest asks the estimator once, in this process
    reference = study(NormalFraction(kill=str(lock), pause=0.05).fit(X, Y))
    before = pids(client)

    def arm():
        while not list(folder.glob("shard-*.npz")):
            time.sleep(0.005)
        lock.unlink()

    thread = threading.Thread(target=arm)
    thread.start()
    with joblib.parallel_config(backend="dask"):
        result = study(NormalFraction(kill=str(lock), pause=0.05).fit(X, Y), folder)
    thread.join()
    assert lock.exists()
    assert equal(result, reference)
    assert len(list(folder.glob("shard-*.npz"))) == N_BATCHES
    client.wait_for_workers(2)
    assert len(before & pids(client)) == 1


def test_worker_killed_from_outside_and_study_resumed(client, tmp_path):
    """kill -9 of one worker, then the folder of a half-finished study is resumed."""
    estimator = NormalFraction(pause=0.05).fit(X, Y)
    client.wait_for_workers(2)
    victim = sorted(pids(client))[0]

    def kill():
        while len(list(Path(tmp_path).glob("shard-*.npz"))) < 3:
            time.sleep(0.005)
        os.kill(victim, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    with joblib.parallel_config(backend="dask"):
        result = study(estimator, tmp_path)
    thread.join()
    reference = study(NormalFraction().fit(X, Y))
    assert equal(result, reference)
    for path in sorted(tmp_path.glob("shard-*.npz"))[::2]:
        path.unlink()
    client.wait_for_workers(2)
    with joblib.parallel_config(backend="dask"):
        assert equal(study(estimator, tmp_path), reference)


@contextmanager
def cluster_of_processes(folder):
    """Scheduler and two workers that are processes of their own; the first, and how."""
    file = folder / f"scheduler-{time.time_ns()}.json"
    dask = [sys.executable, "-m", "dask"]
    named = ["--scheduler-file", str(file)]
    where = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    one = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--death-timeout", "5"]
    scratch = ["--local-directory", str(folder / "scratch")]
    commands = [
        ["scheduler", *named, *where],
        *2 * [["worker", *named, *one, *scratch]],
    ]
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = os.environ | {"PYTHONPATH": path}
    started = []
    try:
        for command in commands:
            started.append(
                subprocess.Popen(
                    [*dask, *command],
                    env=environment,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
            while not file.exists():
                time.sleep(0.05)
        yield started[0], str(file)
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.mark.slow  # four processes that import dask
def test_scheduler_killed_half_way_and_study_resumed(tmp_path):
    hold, folder = tmp_path / "hold", tmp_path / "study"
    estimator = NormalFraction(pause=0.05, hold=str(hold)).fit(X, Y)
    with cluster_of_processes(tmp_path) as (scheduler, file):

        def kill():
            while len(list(folder.glob("shard-*.npz"))) < N_BATCHES // 2:
                time.sleep(0.005)
            hold.touch()  # until nobody is left who could answer the rest
            scheduler.kill()

        thread = threading.Thread(target=kill)
        thread.start()
        with (
            distributed.Client(scheduler_file=file) as client,
            joblib.parallel_config(backend="dask"),
        ):
            client.wait_for_workers(2)  # with one, joblib works in this process
            with pytest.raises(Exception, match=r"lost the conn|cancelled|scheduler"):
                study(estimator, folder)
        thread.join()
    hold.unlink()
    done = len(list(folder.glob("shard-*.npz")))
    assert N_BATCHES // 2 <= done < N_BATCHES
    with (
        cluster_of_processes(tmp_path) as (_, file),
        distributed.Client(scheduler_file=file) as client,
        joblib.parallel_config(backend="dask"),
    ):
        client.wait_for_workers(2)
        result = study(estimator, folder)
    assert equal(result, study(estimator))
