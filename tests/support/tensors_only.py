"""PyTorch on the processor, as strict as a GPU: what mixes with NumPy there fails."""

from contextlib import contextmanager

import pytest
import torch


@contextmanager
def tensors_only():
    """Functions of NumPy refuse tensors, and a tensor made without a device is empty.

    On a GPU the one and the other is an error; on the processor both would pass.
    """

    def refuse(self, *args, **kwargs):
        raise TypeError("a function of NumPy was given a tensor")

    with pytest.MonkeyPatch.context() as patch, torch.device("meta"):
        patch.setattr(torch.Tensor, "__array__", refuse)
        yield
