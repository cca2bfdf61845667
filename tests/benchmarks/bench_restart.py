"""A coverage study on Dask workers whose scheduler is killed half way.

Run from the root of the repository:

    PYTHONPATH=. python tests/benchmarks/bench_restart.py --experiments 100000

Two workers of one thread are asked by `coverage_study` with a checkpoint; when half of
the batches are finished, the scheduler is killed, and the call with it if it does not
end by itself. A second cluster goes on with the same folder. ``--check`` runs the study
once more in one process, and all numbers must agree bit for bit.
"""

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

PATIENCE = 30.0  # seconds for a call to notice that its scheduler is gone


def run_study(options, folder, address=None):
    """Ask for the study, on the workers of a scheduler if one is named."""
    import joblib

    from sktamm import BinnedTopicTAMM
    from sktamm.coverage import coverage_study
    from sktamm.datasets import make_gaussian_study

    train = make_gaussian_study(3, 2000, n_features=1, random_state=0)
    tamm = BinnedTopicTAMM(
        bins=6, prior="simulations", basis="principal", inference="frequentist"
    )
    tamm.fit(train.X, train.y, simulation=train.simulation)
    truth = make_gaussian_study(1, 10, 2000, 8000, n_features=1, random_state=1)
    settings = {"n_jobs": 1}
    with contextlib.ExitStack() as stack:
        if address is not None:
            from distributed import Client

            stack.enter_context(Client(address))
            settings = {"backend": "dask"}
        stack.enter_context(joblib.parallel_config(**settings))
        return coverage_study(
            tamm,
            truth.X_target,
            truth.y_target,
            kappas=[0.05, 0.1],
            sizes=300,
            n_datasets=options.experiments // 2,
            batch_size=options.batch_size,
            checkpoint=folder,
        )


def digest(result):
    """Hash of all numbers but the seconds."""
    frame = result.to_frame().drop(columns="seconds")
    return hashlib.sha256(frame.to_csv(index=False).encode()).hexdigest()[:16]


@contextlib.contextmanager
def cluster(folder):
    """Scheduler and two workers of one thread, each a process of its own."""
    file = Path(folder) / f"scheduler-{time.time_ns()}.json"
    environment = dict(os.environ, DASK_DISTRIBUTED__WORKER__DAEMON="false")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dask = [sys.executable, "-m", "dask"]
    named = ["--scheduler-file", str(file)]
    addresses = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    started = [subprocess.Popen([*dask, "scheduler", *named, *addresses], **quiet)]
    try:
        while not file.exists():
            time.sleep(0.1)
        one = [
            "--nthreads",
            "1",
            "--no-nanny",
            "--no-dashboard",
            "--death-timeout",
            "5",
        ]
        for _ in range(2):
            command = [*dask, "worker", *named, *one, "--local-directory", folder]
            started.append(subprocess.Popen(command, env=environment, **quiet))
        yield started[0], json.loads(file.read_text())["address"]
    finally:
        for process in started:
            process.kill()
            process.wait()


def ask(options, folder, address):
    """The study in a process of its own."""
    command = [sys.executable, __file__, "--ask", address, "--folder", folder]
    command += ["--experiments", str(options.experiments)]
    command += ["--batch-size", str(options.batch_size)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def finished(folder):
    return len(list(Path(folder).glob("shard-*.npz")))


def interrupt(options, folder, scratch):
    """Run the first half of the study, and kill the scheduler; how the call ended."""
    half = options.experiments // options.batch_size // 2
    with cluster(scratch) as (scheduler, address):
        call = ask(options, folder, address)
        while finished(folder) < half and call.poll() is None:
            time.sleep(0.05)
        scheduler.send_signal(signal.SIGKILL)
        try:
            call.wait(PATIENCE)
            end = (call.stderr.read().strip().splitlines() or ["finished"])[-1]
        except subprocess.TimeoutExpired:
            call.kill()
            call.wait()
            end = f"killed after {PATIENCE:.0f} s"
    return end


def measure(options):
    scratch = tempfile.mkdtemp(prefix="restart-")
    folder = os.path.join(scratch, "study")
    try:
        start = time.perf_counter()
        end = interrupt(options, folder, scratch)
        middle, half = time.perf_counter(), finished(folder)
        with cluster(scratch) as (_, address):
            again = ask(options, folder, address)
            said = again.communicate()[1]
            if again.returncode:
                raise SystemExit(said)
        numbers = {
            "experiments": options.experiments,
            "batches_before_the_restart": half,
            "batches": finished(folder),
            "first_call": end,
            "seconds_before": round(middle - start, 1),
            "seconds_after": round(time.perf_counter() - middle, 1),
        }
        result = run_study(options, folder)
        numbers["seconds_of_fits"] = round(float(result.to_frame().seconds.sum()), 1)
        numbers["coverage"] = result.table()["coverage_0.683"].round(4).tolist()
        numbers["digest"] = digest(result)
        if options.check:
            whole = run_study(options, os.path.join(scratch, "whole"))
            numbers["same_bit_for_bit"] = digest(whole) == numbers["digest"]
        return numbers
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiments", type=int, default=100_000)
    parser.add_argument("--batch-size", type=int, default=500)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--ask", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        run_study(options, options.folder, options.ask)
        return 0
    numbers = measure(options)
    print(json.dumps(numbers))
    if options.output:
        known = {}
        if options.output.exists():
            known = json.loads(options.output.read_text())
        known["restart"] = numbers
        options.output.write_text(json.dumps(known, indent=1) + "\n")
    return 0 if numbers.get("same_bit_for_bit", True) else 1


if __name__ == "__main__":
    sys.exit(main())
