"""One inner thread per task: parallelism belongs to the batches of a study.

Sums that are split among another number of threads round differently.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import Any

from threadpoolctl import threadpool_limits

__all__ = ["one_thread"]


class _Shared:
    """Limits of the whole process: the first task sets them, the last lifts them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._n_tasks = 0
        self._limits = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if self._n_tasks == 0:
                self._limits.enter_context(threadpool_limits(1, user_api="blas"))
                self._limits.enter_context(_one_torch_thread())
            self._n_tasks += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._n_tasks -= 1
            if self._n_tasks == 0:
                self._limits.close()


# Limits of BLAS are a property of the process, so this count of its tasks is, too.
_process = _Shared()


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit BLAS, OpenMP and, where it is loaded, torch to one thread each."""
    # OpenMP keeps its limit per calling thread, unlike the others.
    with _process, threadpool_limits(1, user_api="openmp"):
        yield


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    torch: Any = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
