"""Interrupted, killed and damaged studies: nothing lost, nothing counted twice."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
from coverage_estimators import (
    NormalFraction,
    NormalMean,
    equal,
    labelled_events,
    normal_events,
)

from sktamm.coverage import coverage_study
from sktamm.coverage._checkpoint import Checkpoint
from sktamm.coverage._files import dump_shared, load_shared
from sktamm.exceptions import CheckpointError

X, Y = labelled_events()
N_BATCHES = 8


def study(folder=None, estimator=None, events=X, **keywords):
    estimator = NormalFraction().fit(X, Y) if estimator is None else estimator
    plan = {"kappas": [0.1, 0.3], "sizes": 80, "n_datasets": 16, "batch_size": 4}
    plan = {**plan, "group": "a", "checkpoint": folder, **keywords}
    return coverage_study(estimator, events, Y, **plan)


def shards(folder):
    return sorted(Path(folder).glob("shard-*.npz"))


# --------------------------------------------------------------------------- resuming
def test_finished_batches_are_not_repeated(tmp_path):
    folder = tmp_path / "deep" / "study"
    first = study(folder)
    assert len(shards(folder)) == N_BATCHES
    stamps = [path.stat().st_mtime_ns for path in shards(folder)]
    again = study(folder)
    assert [path.stat().st_mtime_ns for path in shards(folder)] == stamps
    assert equal(first, again)
    np.testing.assert_array_equal(first.seconds, again.seconds)
    assert equal(first, study())
    assert not list(folder.glob("*.part"))


class Interrupted(NormalFraction):
    """Stops the study at the third batch, as a user would."""

    n_calls = 0

    def predict(self, X, **keywords):
        Interrupted.n_calls += 1
        if Interrupted.n_calls == 4:  # the first call is that of the manifest
            raise KeyboardInterrupt
        return super().predict(X, **keywords)


def test_interrupted_study_goes_on(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        study(tmp_path, Interrupted().fit(X, Y), n_jobs=1)
    assert len(shards(tmp_path)) == 2
    resumed = study(tmp_path, Interrupted().fit(X, Y), n_jobs=1)
    assert equal(resumed, study())


def test_estimator_loaded_from_a_file_resumes(tmp_path):
    estimator = NormalFraction().fit(X, Y)
    first = study(tmp_path / "study", estimator)
    shards(tmp_path / "study")[0].unlink()
    dump_shared(estimator, tmp_path / "estimator")
    again = study(tmp_path / "study", load_shared(tmp_path / "estimator"))
    assert equal(first, again)


def test_generator_resumes_and_is_recognised(tmp_path):
    def run(sample):
        return coverage_study(
            NormalMean(),
            sample,
            kappas=[-1.0, 2.0],
            sizes=10,
            n_datasets=4,
            checkpoint=tmp_path,
        )

    first = run(normal_events)
    shards(tmp_path)[0].unlink()
    assert equal(run(normal_events), first)
    with pytest.raises(CheckpointError, match="data was"):
        run(lambda theta, size, rng: rng.normal(theta, 2.0, (size, 1)))


# ------------------------------------------------------------------ another study
@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"kappas": [0.1, 0.2]}, r"kappas was \[0.1, 0.3\], now it is \[0.1, 0.2\]"),
        ({"kappas": [0.3, 0.1]}, "experiments was"),
        ({"n_datasets": 17}, "n_experiments was 32, now it is 34"),
        ({"batch_size": 5}, "batch_size was 4, now it is 5"),
        ({"levels": [0.683]}, r"levels was \[0.683, 0.954\], now it is \[0.683\]"),
        ({"random_state": 1}, "random_state was 0, now it is 1"),
        ({"group": "b"}, "group was 'a', now it is 'b'"),
        ({"replace": True}, "data was"),
        ({"events": X + 0.01}, "data was"),
        ({"estimator": NormalFraction(1.1).fit(X, Y)}, "estimator was"),
    ],
)
def test_changed_study_is_refused(tmp_path, changed, name):
    study(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(CheckpointError, match=f"another study.*{name}"):
        study(tmp_path, **changed)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


class Shifted(NormalFraction):
    """Same parameters as another one, other numbers inside."""

    shift_ = 0.0

    def predict(self, X, **keywords):
        kappa, std, interval = super().predict(X, **keywords)
        return kappa + self.shift_, std, interval


def test_refitted_estimator_is_recognised_by_its_answers(tmp_path):
    estimator = Shifted().fit(X, Y)
    study(tmp_path, estimator)
    estimator.shift_ = 1e-3
    with pytest.raises(CheckpointError, match="answers was"):
        study(tmp_path, estimator)
    estimator.shift_ = 1e-12
    study(tmp_path, estimator)


# --------------------------------------------------------------- damage and full disks
def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def test_damaged_shard_is_named(tmp_path):
    first = study(tmp_path)
    path = shards(tmp_path)[3]
    whole = path.read_bytes()
    for break_it in (damage, lambda p: p.write_bytes(whole[:500])):
        break_it(path)
        with pytest.raises(CheckpointError, match=r"shard-000003\.npz is damaged"):
            study(tmp_path)
        path.write_bytes(whole)
    path.unlink()
    assert equal(study(tmp_path), first)


@pytest.mark.parametrize("name", ["kappa", "interval", "failure", "flags", "truth"])
def test_a_shard_that_was_edited_is_named(tmp_path, name):
    study(tmp_path)
    path = shards(tmp_path)[3]
    with np.load(path) as file:
        columns = dict(file)
    values = columns[name]
    columns[name] = values.astype("<U9") if values.dtype.kind == "U" else values.copy()
    columns[name].flat[1] = "edited" if values.dtype.kind == "U" else 0.2
    np.savez(path, **columns)  # every member with a good check sum of its own
    message = r"shard-000003\.npz does not hold the numbers that its study wrote"
    with pytest.raises(CheckpointError, match=message) as caught:
        study(tmp_path)
    assert "\n" not in str(caught.value)
    path.unlink()
    assert equal(study(tmp_path), study())


def test_a_shard_of_another_study_of_the_same_experiments_is_named(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    study(one)
    study(other, NormalFraction(1.1).fit(X, Y))
    shards(one)[3].write_bytes(shards(other)[3].read_bytes())
    with pytest.raises(CheckpointError, match=r"shard-000003\.npz does not hold"):
        study(one)


def test_shard_of_another_batch_is_named(tmp_path):
    study(tmp_path)
    third, fourth = shards(tmp_path)[3:5]
    third.write_bytes(fourth.read_bytes())
    with pytest.raises(CheckpointError, match=r"shard-000003\.npz holds other exper"):
        study(tmp_path)


@pytest.mark.parametrize("name", ["manifest.json", "study.joblib", "events-0.joblib"])
def test_damaged_inputs_are_named(tmp_path, name):
    study(tmp_path)
    shards(tmp_path)[0].unlink()
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(CheckpointError, match=f"{name} (is damaged|cannot be read)"):
        study(tmp_path)


def test_shards_without_a_manifest_are_refused(tmp_path):
    study(tmp_path)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match=r"manifest\.json is missing"):
        study(tmp_path)


def test_full_disk_is_named_and_resumes(tmp_path, monkeypatch):
    fsync, n_calls = os.fsync, [0]

    def full(descriptor):
        n_calls[0] += 1
        if n_calls[0] > 5:  # manifest, events, study, two shards
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    message = r"shard-000002\.npz cannot be written: the disk is full"
    with pytest.raises(CheckpointError, match=message):
        study(tmp_path, n_jobs=1)
    monkeypatch.undo()
    assert len(shards(tmp_path)) == 2
    assert not list(tmp_path.glob(".*.part"))
    assert equal(study(tmp_path), study())


def test_file_cannot_be_the_folder(tmp_path):
    (tmp_path / "study").touch()
    with pytest.raises(CheckpointError, match="study cannot be the folder"):
        study(tmp_path / "study")


def test_missing_input_of_a_remote_worker_is_explained(tmp_path):
    with pytest.raises(CheckpointError, match="folder that all workers share"):
        Checkpoint(tmp_path).load_work()


# ------------------------------------------------------------------------ shared files
def test_large_arrays_are_memory_maps(tmp_path):
    path = tmp_path / "arrays"
    arrays = {"large": np.arange(1e5), "fortran": np.ones((300, 300), order="F")}
    dump_shared({**arrays, "small": np.arange(3), "call": lambda x: x + 1}, path)
    loaded = load_shared(path)
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)
        assert not loaded[name].flags.writeable
        base = loaded[name]
        while base is not None and not isinstance(base, np.memmap):
            base = base.obj if isinstance(base, memoryview) else base.base
        assert isinstance(base, np.memmap)
    assert loaded["small"].flags.writeable
    assert loaded["call"](1) == 2


def test_manifest_is_readable(tmp_path):
    study(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["kappas"] == [0.1, 0.3]
    assert manifest["estimator"] == "NormalFraction()"
    assert str(tmp_path) not in json.dumps(manifest)
