"""Processes that share a folder: each batch is run once, the dead hold nothing."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier, Event, Thread

import pytest
from coverage_estimators import NormalFraction, equal, labelled_events

from sktamm.coverage import _claims, coverage_study
from sktamm.coverage._checkpoint import Checkpoint
from sktamm.coverage._claims import Claims
from sktamm.exceptions import CheckpointError

X, Y = labelled_events()
N_BATCHES = 8
SETTINGS = {
    "kappas": [0.1, 0.3],
    "sizes": 80,
    "n_datasets": 16,
    "batch_size": 4,
    "group": "a",
}
# A process waits for its partners before it begins, however long their start takes.
SCRIPT = f"""
import os, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from coverage_estimators import NormalFraction, labelled_events
from sktamm.coverage import coverage_study
X, y = labelled_events()
estimator = NormalFraction(pause=float(sys.argv[4]), log=sys.argv[3]).fit(X, y)
folder = Path(sys.argv[2])
folder.with_name(f"ready-{{os.getpid()}}").touch()
while len(list(folder.parent.glob("ready-*"))) < int(sys.argv[5]):
    time.sleep(0.01)
coverage_study(estimator, X, y, checkpoint=sys.argv[2], n_jobs=1, **{SETTINGS})
"""


def start(folder, pause=0.25, n_processes=1):
    root = Path(__file__).parents[2]
    support = str(root / "tests" / "support")
    arguments = [support, str(folder), f"{folder}.log", str(pause), str(n_processes)]
    command = [sys.executable, "-c", SCRIPT, *arguments]
    return subprocess.Popen(command, cwd=root)


@contextmanager
def started(folder, pause=0.25, n_processes=1):
    """Processes that begin together, and end with the test."""
    processes = [start(folder, pause, n_processes) for _ in range(n_processes)]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def study(folder=None, pause=0.25):
    log = None if folder is None else f"{folder}.log"
    estimator = NormalFraction(pause=pause, log=log).fit(X, Y)
    return coverage_study(estimator, X, Y, checkpoint=folder, **SETTINGS)


def runs(folder):
    """Process and name of every batch that was run to its answers."""
    lines = [line.split() for line in Path(f"{folder}.log").read_text().splitlines()]
    return [(int(pid), name) for pid, size, name in lines if int(size) > 1]


def wait_for(condition):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def shards(folder):
    return list(Path(folder).glob("shard-*.npz"))


def held(folder):
    """Batches that are claimed and not finished: someone is in the middle of them."""
    claimed = {path.name.split("-")[1] for path in Path(folder).glob("claim-0*.json")}
    return claimed - {path.stem.split("-")[1] for path in shards(folder)}


def check_each_was_run(folder):
    """Once, but for one batch that was killed between its answers and its file."""
    names = [name for _, name in runs(folder)]
    assert len(set(names)) == N_BATCHES
    assert len(names) <= N_BATCHES + 1


# ------------------------------------------------------------------ several processes
def test_two_processes_run_every_batch_once_and_share_the_work(tmp_path):
    folder = tmp_path / "study"
    with started(folder, n_processes=2) as processes:
        assert [process.wait(120) for process in processes] == [0, 0]
    by, names = zip(*runs(folder), strict=True)
    assert len(names) == len(set(names)) == N_BATCHES
    assert min(by.count(process.pid) for process in processes) >= 2
    assert len(shards(folder)) == N_BATCHES
    assert not list(folder.glob("claim-*"))
    assert equal(study(folder), study(pause=0.0))
    assert len(runs(folder)) == N_BATCHES


def test_a_process_takes_over_the_batch_of_a_killed_one(tmp_path):
    folder = tmp_path / "study"
    with started(folder, 0.5, n_processes=2) as (killed, other):
        wait_for(lambda: len(shards(folder)) >= 1 and len(held(folder)) >= 2)
        killed.kill()  # and not waited for: a zombie is dead, too
        begin = time.monotonic()
        assert other.wait(120) == 0
        assert time.monotonic() - begin < 0.5 * _claims._SILENCE
        assert killed.wait() == -9
    check_each_was_run(folder)
    assert not list(folder.glob("claim-*"))
    assert equal(study(folder, pause=0.5), study(pause=0.0))


def test_a_later_process_takes_over_the_batch_of_a_killed_one(tmp_path):
    folder = tmp_path / "study"
    with started(folder) as (killed,):
        wait_for(lambda: len(shards(folder)) >= 2 and held(folder))
        killed.kill()
        assert killed.wait() == -9
    assert held(folder)
    finished = {path: path.stat().st_mtime_ns for path in shards(folder)}
    assert 2 <= len(finished) < N_BATCHES
    begin = time.monotonic()
    resumed = study(folder)
    assert time.monotonic() - begin < 0.5 * _claims._SILENCE
    assert all(path.stat().st_mtime_ns == t for path, t in finished.items())
    assert not list(folder.glob("claim-*"))
    check_each_was_run(folder)
    assert equal(resumed, study(pause=0.0))


def test_a_batch_that_another_holds_is_waited_for(tmp_path):
    folder = tmp_path / "study"
    estimator = NormalFraction().fit(X, Y)
    expected = coverage_study(estimator, X, Y, checkpoint=folder, **SETTINGS)
    path = Checkpoint(folder).shard(3)
    content = path.read_bytes()
    path.unlink()
    with Claims(folder).hold("000003"), ThreadPoolExecutor(1) as pool:
        answer = pool.submit(
            coverage_study, estimator, X, Y, checkpoint=folder, **SETTINGS
        )
        time.sleep(1.0)
        assert not answer.done()
        path.write_bytes(content)
        found = answer.result(60)
    assert equal(found, expected)
    assert found.seconds.tolist() == expected.seconds.tolist()


def test_two_studies_that_start_at_once_do_not_mix(tmp_path):
    files, refused = Checkpoint(tmp_path), Event()

    def second():
        with pytest.raises(CheckpointError, match="holds another study"):
            files.agree({"format": 2})
        refused.set()

    thread = Thread(target=second)
    with files.claims.hold("manifest"):
        thread.start()
        time.sleep(0.2)
        assert not refused.is_set()
        (tmp_path / "manifest.json").write_text('{"format": 1}')
    thread.join(60)
    assert refused.is_set()


# ------------------------------------------------------------------------- the claims
def dead_owner():
    """What a process leaves that was killed at work."""
    return {"machine": _claims._machine(), "pid": os.getpid(), "started": "before"}


def write_claim(folder, owner, age=0.0):
    path = folder / "claim-a-0.json"
    path.write_text(json.dumps(owner))
    time_then = time.time() - age
    os.utime(path, (time_then, time_then))
    return path


def test_one_holds_a_claim_until_its_work_is_done(tmp_path):
    claims = Claims(tmp_path)
    with claims.hold("a") as first, claims.hold("a") as second:
        assert (first, second) == (True, False)
        assert not claims.is_free("a")
        assert claims.is_free("b")
    assert claims.is_free("a")
    assert not list(tmp_path.iterdir())


def test_a_number_that_was_given_to_another_process_is_no_sign_of_life(tmp_path):
    write_claim(tmp_path, dead_owner())
    with Claims(tmp_path).hold("a") as taken:
        assert taken
    assert not list(tmp_path.iterdir())


def test_only_one_takes_over_a_claim_of_the_dead(tmp_path):
    n_threads = 8
    barrier, left = Barrier(n_threads), Barrier(n_threads)

    def take():
        barrier.wait()
        with Claims(tmp_path).hold("a") as taken:
            left.wait()
            return taken

    with ThreadPoolExecutor(n_threads) as pool:
        for _ in range(50):
            write_claim(tmp_path, dead_owner())
            jobs = [pool.submit(take) for _ in range(n_threads)]
            assert sum(job.result(60) for job in jobs) == 1


def test_an_owner_elsewhere_is_dead_when_it_is_silent(tmp_path):
    owner = {"machine": "elsewhere", "pid": 1, "started": "1"}
    claims = Claims(tmp_path)
    for content in (owner, None, {"machine": _claims._machine()}):
        write_claim(tmp_path, content, age=0.5 * _claims._SILENCE)
        with claims.hold("a") as taken:
            assert not taken
        write_claim(tmp_path, content, age=2.0 * _claims._SILENCE)
        with claims.hold("a") as taken:
            assert taken


def test_an_owner_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(_claims, "_BEAT", 0.02)
    with Claims(tmp_path).hold("a"):
        (path,) = tmp_path.iterdir()
        os.utime(path, (0.0, 0.0))
        wait_for(lambda: path.stat().st_mtime > 1.0)


def test_a_claim_is_given_back_when_the_work_fails(tmp_path):
    write_claim(tmp_path, dead_owner())
    claims = Claims(tmp_path)
    with pytest.raises(KeyboardInterrupt), claims.hold("a"):
        raise KeyboardInterrupt
    # That of the dead stays: others may be taking it over at this moment.
    assert [path.name for path in tmp_path.iterdir()] == ["claim-a-0.json"]
    with claims.hold("a") as taken:
        assert taken


def test_a_folder_that_refuses_claims_is_named(tmp_path):
    with (
        pytest.raises(CheckpointError, match=r"claim-a-0\.json cannot be written"),
        Claims(tmp_path / "none").hold("a"),
    ):
        pass
