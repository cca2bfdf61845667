"""Work of a GPU that is asked for once and done many times (CUDA graphs).

A leapfrog step of many chains is some fifty small kernels, which run faster than Python
asks for them. What a function does to memory that stays is recorded, and played again
with one call. On a processor a function is itself.
"""

import threading
from collections.abc import Callable
from typing import Any

from sktamm._arrays import on_gpu

__all__ = ["recorded"]

Work = Callable[[], object]

_WARM_UPS = 3  # as PyTorch's documentation has it: libraries settle on what they use
_ONE_AT_A_TIME = threading.Lock()


def recorded(work: Work, memory: Any, xp: Any) -> Work:
    """Work on fixed tensors, such as ``memory``, that can be repeated.

    It must take and leave its results in the same tensors each time, and ask for no
    number on the way. It is done a few times to begin with.
    """
    if not on_gpu(memory):
        return work
    with _ONE_AT_A_TIME:
        return _graph_of(work, xp.torch).replay


def _graph_of(work: Work, torch: Any) -> Any:
    """What the work asks of the GPU, seen from a stream of its own."""
    apart, here = torch.cuda.Stream(), torch.cuda.current_stream()
    apart.wait_stream(here)
    with torch.cuda.stream(apart):
        for _ in range(_WARM_UPS):
            work()
    here.wait_stream(apart)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    # other threads may ask for memory meanwhile
    with torch.cuda.graph(graph, stream=apart, capture_error_mode="thread_local"):
        work()
    return graph
