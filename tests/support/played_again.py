"""Work on tensors, recorded as a GPU would and played again, on the processor."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# What a GPU would be waited for, or what would be copied to it, while it is recorded.
FORBIDDEN = {
    "_local_scalar_dense",
    "equal",
    "is_nonzero",
    "lift_fresh",
    "masked_select",
    "nonzero",
}


class Recording(TorchDispatchMode):
    """Calls of kernels with the tensors that they took and gave."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, kernel, types, args=(), kwargs=None):
        name = kernel.overloadpacket.__name__
        if name in FORBIDDEN:
            raise RuntimeError(f"{name} cannot be recorded")
        found = kernel(*args, **(kwargs or {}))
        self.calls.append((kernel, args, kwargs or {}, found))
        return found

    def replay(self):
        """The same kernels on the same memory."""
        for kernel, args, kwargs, found in self.calls:
            again = kernel(*args, **kwargs)
            for old, new in zip(tree_leaves(found), tree_leaves(again), strict=True):
                if torch.is_tensor(old) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


def recorded(work, memory, xp):
    """In place of that of the package, for tensors on the processor."""
    work()  # warmed up
    recording = Recording()
    with recording:
        work()
    assert recording.calls
    return recording.replay
