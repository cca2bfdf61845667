"""Claims: which of several processes works on what in a folder that they share.

A claim is a file that only one process can create, and whose time is renewed while that
lives. Where the owner is gone, the file of the next number takes the claim over. Nobody
removes another's before the work is done, so that two never take over the same.
"""

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from threading import Event, Thread
from typing import Any

from sktamm.coverage._files import refused_file

__all__ = ["Claims"]

_BEAT = 5.0  # seconds from one sign of life to the next; many in the silence below
# Without one for so long an owner elsewhere counts as dead. Clients of a network file
# system see times up to a minute late (acregmax of NFS).
_SILENCE = 120.0


class Claims:
    """Claims on named pieces of work in a folder that the processes share."""

    def __init__(self, folder: Path):
        self.folder = folder

    @contextmanager
    def hold(self, name: str) -> Iterator[bool]:
        """Hold the claim on a piece of work while the block runs, or be refused."""
        number = self._take(name)
        if number is None:
            yield False
            return
        try:
            with _signs_of_life(self._file(name, number)):
                yield True
        except BaseException:
            if not self._file(name, number + 1).exists():
                self._file(name, number).unlink(missing_ok=True)
            raise
        # The last first: those of the dead are taken over from the lowest number.
        for k in range(number, -1, -1):
            self._file(name, k).unlink(missing_ok=True)

    def is_free(self, name: str) -> bool:
        """Whether no living process is at work."""
        return self._next(name) is not None

    def _take(self, name: str) -> int | None:
        number = self._next(name)
        return number if number is not None and self._create(name, number) else None

    def _next(self, name: str) -> int | None:
        """Number of the file to create; None where a living process has the last."""
        number = 0
        while self._file(name, number).exists():
            if not _is_abandoned(self._file(name, number)):
                return None
            number += 1
        return number

    def _create(self, name: str, number: int) -> bool:
        path = self._file(name, number)
        try:
            with open(path, "x", encoding="utf-8") as file:
                json.dump(_owner(), file)
        except FileExistsError:
            return False
        except OSError as error:
            raise refused_file(path, error) from error
        return True

    def _file(self, name: str, number: int) -> Path:
        return self.folder / f"claim-{name}-{number}.json"


@contextmanager
def _signs_of_life(path: Path) -> Iterator[None]:
    """Renew the time of a file while the block runs."""
    over = Event()

    def renew() -> None:
        while not over.wait(_BEAT):
            with suppress(OSError):
                os.utime(path)

    thread = Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _owner() -> dict[str, Any]:
    pid = os.getpid()
    return {"machine": _machine(), "pid": pid, "started": _start_of(pid)}


def _is_abandoned(path: Path) -> bool:
    """Whether the owner of a claim is dead; its silence tells of one elsewhere."""
    try:
        text, time = path.read_text(encoding="utf-8"), path.stat().st_mtime
    except OSError:
        return False  # given back at this moment
    owner = _read_owner(text)
    machine = owner.get("machine")
    if machine is not None and machine == _machine():
        return bool(_start_of(owner["pid"]) != owner["started"])
    return _clock(path.parent) - time > _SILENCE


def _read_owner(text: str) -> dict[str, Any]:
    """Owner of a claim; nobody where it was not written to its end."""
    try:
        owner = json.loads(text)
    except ValueError:
        return {}
    complete = isinstance(owner, dict) and {"pid", "started"} <= owner.keys()
    return owner if complete else {}


def _machine() -> str | None:
    """Where numbers of processes mean the same; None where they cannot be looked up."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{platform.node()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def _start_of(pid: int) -> str | None:
    """Start time of a living process, which tells it from a later one of its number."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # proc(5): the name, in brackets, may hold anything; state and start time follow.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def _clock(folder: Path) -> float:
    """Time as the file system has it, which may not be that of this machine."""
    try:
        with TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError as error:
        raise refused_file(folder, error) from error
