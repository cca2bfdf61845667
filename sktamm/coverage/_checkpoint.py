"""The folder of a study: what it is, its inputs, and one shard per finished batch.

    manifest.json       settings, data and answers by which a study knows itself
    study.joblib        estimator and plan; workers load them by path
    events-<i>.joblib   events at the i-th strength, memory-mapped
    shard-<i>.npz       the experiments of the i-th batch, with a check sum
    claim-<i>-<k>.json  who is at work on the i-th batch

Every file but a claim appears complete or not at all.
"""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from sktamm.coverage._claims import Claims
from sktamm.coverage._files import (
    content_digest,
    dump_shared,
    load_shared,
    write_atomically,
)
from sktamm.coverage._plan import Plan
from sktamm.coverage._result import CoverageResult
from sktamm.coverage._threads import one_thread
from sktamm.coverage._work import Work, measure
from sktamm.exceptions import CheckpointError

__all__ = ["Checkpoint", "forget", "run_batch"]

# Answers of the same estimator agree to rounding; this share of them is generous.
_TOLERANCE = 1e-4
_MOMENT = 0.02  # seconds, longer than it takes to write a small file
_CHECK_SUM = "check_sum"
_FIELDS = tuple(f.name for f in fields(CoverageResult) if f.name != "settings")


class Checkpoint:
    """Files of a study in its folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.claims = Claims(folder)

    def agree(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest of a new study, or compare it with that of an old one."""
        while not self._manifest.exists():
            with self.claims.hold("manifest") as held:
                if held and not self._manifest.exists():
                    self._write_manifest(manifest)
                    return
            # Another process is at it, for as long as it takes to write a file.
            time.sleep(_MOMENT)
        _compare(self.folder, _read_manifest(self._manifest), manifest)

    def _write_manifest(self, manifest: Mapping[str, Any]) -> None:
        if any(self.folder.glob("shard-*.npz")):
            raise CheckpointError(
                f"{self._manifest} is missing, but the folder holds finished batches: "
                "of which study they are cannot be told; choose another folder."
            )
        text = json.dumps(manifest, indent=2, allow_nan=False) + "\n"
        write_atomically(self._manifest, lambda file: file.write(text.encode()))

    def store(self, work: Work, events: Mapping[int, Any]) -> None:
        """Write the inputs of the workers, unless an earlier run has done so."""
        for i, X in events.items():
            if not self._events(i).exists():
                dump_shared(X, self._events(i))
        if not self._study.exists():
            dump_shared(work, self._study)

    def missing(self, plan: Plan) -> list[int]:
        """Batches that are not finished."""
        return [i for i in range(len(plan.batches)) if not self.shard(i).exists()]

    def is_ready(self, batch: int) -> bool:
        """Whether a batch is finished, or nobody is at work on it."""
        return self.shard(batch).exists() or self.claims.is_free(f"{batch:06d}")

    def collect(self, plan: Plan) -> CoverageResult:
        """All experiments, from the shards."""
        parts = [self._read_shard(i, plan) for i in range(len(plan.batches))]
        columns: dict[str, Any] = {
            name: np.concatenate([part[name] for part in parts])
            for name in _FIELDS
            if name != "levels"
        }
        return CoverageResult(levels=plan.levels, **columns)

    def shard(self, batch: int) -> Path:
        """File of a batch."""
        return self.folder / f"shard-{batch:06d}.npz"

    def write_shard(self, batch: int, result: CoverageResult) -> None:
        """Write a finished batch."""
        buffer = BytesIO()
        columns: dict[str, Any] = {name: getattr(result, name) for name in _FIELDS}
        columns[_CHECK_SUM] = self._check_sum(columns)
        np.savez(buffer, **columns)
        content = buffer.getvalue()
        write_atomically(self.shard(batch), lambda file: file.write(content))

    def load_work(self) -> Work:
        """Estimator, plan and source."""
        return load_shared(self._study)

    def load_events(self, part: int) -> Any:
        """Events at a strength."""
        return load_shared(self._events(part))

    def _read_shard(self, batch: int, plan: Plan) -> dict[str, Any]:
        path = self.shard(batch)
        try:
            with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
                columns = {name: file[name] for name in (*_FIELDS, _CHECK_SUM)}
        except Exception as error:
            raise CheckpointError(
                f"{path} is damaged ({type(error).__name__}: {error}); delete it to "
                "repeat its batch."
            ) from error
        if str(columns.pop(_CHECK_SUM)) != self._check_sum(columns):
            raise CheckpointError(
                f"{path} does not hold the numbers that its study wrote; delete it to "
                "repeat its batch."
            )
        rows = plan.experiments(batch)
        same = np.array_equal(columns["experiment"], rows) and np.array_equal(
            columns["truth"], plan.truth[rows]
        )
        if not same or not np.array_equal(columns["levels"], plan.levels):
            raise CheckpointError(
                f"{path} holds other experiments than its study; delete it to repeat "
                "its batch."
            )
        return columns

    def _check_sum(self, columns: Mapping[str, Any]) -> str:
        """Digest of the numbers of a shard and of the study that they are of."""
        study: Any = None
        if self._manifest.exists():  # only the folder of a checkpoint has one
            study = _read_manifest(self._manifest)
        text = json.dumps(study, sort_keys=True)
        return content_digest(np.array(text), *(columns[name] for name in _FIELDS))

    @property
    def _manifest(self) -> Path:
        return self.folder / "manifest.json"

    @property
    def _study(self) -> Path:
        return self.folder / "study.joblib"

    def _events(self, part: int) -> Path:
        return self.folder / f"events-{part}.joblib"


def run_batch(folder: str, call: str, batch: int) -> int | None:
    """Run one batch and write its shard, unless somebody else has: what workers do."""
    checkpoint = Checkpoint(Path(folder))
    with checkpoint.claims.hold(f"{batch:06d}") as held:
        # Whoever held the claim before may have finished the batch.
        if held and not checkpoint.shard(batch).exists():
            _run_claimed(checkpoint, folder, call, batch)
    return batch if held or checkpoint.shard(batch).exists() else None


def _run_claimed(checkpoint: Checkpoint, folder: str, call: str, batch: int) -> None:
    work = _load_work(folder, call)
    rows = work.plan.experiments(batch)
    start = time.perf_counter()
    with one_thread():
        answers, failure = measure(work, rows, lambda i: _load_events(folder, call, i))
    seconds = time.perf_counter() - start
    result = work.plan.record(rows, answers, failure, seconds)
    checkpoint.write_shard(batch, result)


# One study at a time is in the memory of a worker, loaded once.
@lru_cache(maxsize=1)
def _load_work(folder: str, call: str) -> Work:
    return Checkpoint(Path(folder)).load_work()


@lru_cache(maxsize=2)
def _load_events(folder: str, call: str, part: int) -> Any:
    return Checkpoint(Path(folder)).load_events(part)


def forget() -> None:
    """Drop inputs that are kept in the memory of this process."""
    _load_work.cache_clear()
    _load_events.cache_clear()


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged ({type(error).__name__}: {error}); choose another "
            "folder."
        ) from error


def _compare(folder: Path, old: dict[str, Any], new: Mapping[str, Any]) -> None:
    for name in dict.fromkeys([*new, *old]):
        before, now = old.get(name), new.get(name)
        if not (_close(before, now) if name == "answers" else before == now):
            raise CheckpointError(
                f"{folder} holds another study and cannot be resumed with this one: "
                f"{name} was {before!r}, now it is {now!r}. Choose another folder, or "
                "delete this one to start again."
            )


def _close(before: Any, now: Any) -> bool:
    """Whether answers agree: equal words, numbers up to rounding."""
    if not isinstance(before, list) or not isinstance(now, list):
        return bool(before == now)
    scale = max((abs(v) for v in before), default=0.0)
    return len(before) == len(now) and all(
        math.isclose(a, b, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE * scale)
        for a, b in zip(before, now, strict=True)
    )
