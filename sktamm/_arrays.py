"""Where arrays live: NumPy on the processor, PyTorch there or on a CUDA device.

A kernel asks ``namespace(array)`` for its functions and then runs on either. That of
NumPy is the library itself; that of PyTorch has NumPy's names and conventions for the
few functions in which the two differ. In both numbers are doubles unless said.
"""

import copy
from functools import cache
from typing import Any, TypeVar

import numpy as np

from sktamm.exceptions import InvalidParameterError

__all__ = [
    "DEVICES",
    "TorchNamespace",
    "moved",
    "namespace",
    "namespace_on",
    "on_gpu",
    "to_numpy",
]

#: NumPy; PyTorch on the processor, to compare; PyTorch on a GPU.
DEVICES = ("cpu", "torch", "cuda")

Record = TypeVar("Record")


class TorchNamespace:
    """Functions of PyTorch under NumPy's names, for tensors of one device."""

    def __init__(self, device: str):
        import torch

        self.torch, self.device = torch, device

    def __getattr__(self, name: str) -> Any:
        """Most functions agree, keywords of NumPy such as ``axis`` included."""
        found = getattr(self.torch, name)
        setattr(self, name, found)  # once per function
        return found

    def __reduce__(self) -> Any:
        """Copies are the same namespace."""
        return _torch_on, (self.device,)

    def asarray(self, values: Any, dtype: Any = None) -> Any:
        """Tensor of an array, always a copy, or of a tensor, as it is if it can be."""
        kind = None if dtype is None else self._kind(dtype)
        if self.torch.is_tensor(values):
            return values.to(self.device, kind)
        values = np.ascontiguousarray(values)
        return self.torch.tensor(values, dtype=kind, device=self.device)

    def ascontiguousarray(self, values: Any, dtype: Any = None) -> Any:
        """Tensor whose last axis is the fastest."""
        return self.asarray(values, dtype).contiguous()

    def copy(self, values: Any) -> Any:
        """Tensor of its own memory."""
        return values.clone()

    def empty(self, shape: tuple[int, ...], dtype: Any = np.float64) -> Any:
        """Tensor of any numbers."""
        return self._make("empty", shape, dtype=dtype)

    def zeros(self, shape: tuple[int, ...], dtype: Any = np.float64) -> Any:
        """Tensor of zeros."""
        return self._make("zeros", shape, dtype=dtype)

    def full(self, shape: tuple[int, ...], value: float) -> Any:
        """Tensor of one number."""
        return self._make("full", shape, value, dtype=np.float64)

    def eye(self, n: int) -> Any:
        """Unit matrix."""
        return self._make("eye", n, dtype=np.float64)

    def maximum(self, values: Any, other: Any, out: Any = None) -> Any:
        """The larger of tensors, or of a tensor and a number behind it."""
        if self.torch.is_tensor(other):
            return self.torch.maximum(values, other, out=out)
        return self.torch.clamp(values, min=other, out=out)

    def minimum(self, values: Any, other: Any, out: Any = None) -> Any:
        """The smaller of tensors, or of a tensor and a number behind it."""
        if self.torch.is_tensor(other):
            return self.torch.minimum(values, other, out=out)
        return self.torch.clamp(values, max=other, out=out)

    def array_equal(self, one: Any, other: Any) -> bool:
        """Whether tensors have the same shape and numbers."""
        return bool(self.torch.equal(one, other))

    def _make(self, name: str, *values: Any, dtype: Any) -> Any:
        make = getattr(self.torch, name)
        return make(*values, dtype=self._kind(dtype), device=self.device)

    def _kind(self, dtype: Any) -> Any:
        """Type of PyTorch of the same name."""
        if isinstance(dtype, self.torch.dtype):
            return dtype
        return getattr(self.torch, np.dtype(dtype).name)


@cache
def _torch_on(device: str) -> TorchNamespace:
    """One namespace per device."""
    return TorchNamespace(device)


def namespace(array: Any) -> Any:
    """Functions for an array: NumPy itself, or those of the tensor's device."""
    return np if isinstance(array, np.ndarray) else _torch_on(str(array.device))


def namespace_on(device: str) -> Any:
    """Functions for a device of `DEVICES`; refuses one that is not there."""
    if device == "cpu":
        return np
    try:
        xp = _torch_on("cuda:0" if device == "cuda" else "cpu")
    except ImportError:
        raise InvalidParameterError(
            f"device must be 'cpu' where PyTorch is not installed, got {device!r}."
        ) from None
    if device == "cuda" and not xp.cuda.is_available():
        raise InvalidParameterError(
            "device must be 'cpu' or 'torch' where there is no CUDA device, got 'cuda'."
        )
    if device == "cuda":
        xp.linalg.inv(xp.eye(1))  # PyTorch loads its solvers in one thread only
    return xp


def on_gpu(array: Any) -> bool:
    """Whether an array is a tensor on a GPU."""
    return not isinstance(array, np.ndarray) and array.device.type != "cpu"


def to_numpy(array: Any) -> Any:
    """An array of NumPy, in the memory of a tensor on the processor."""
    return array if isinstance(array, np.ndarray) else array.cpu().numpy()


def moved(record: Record, xp: Any) -> Record:
    """Shallow copy of a record whose own arrays are those of a namespace."""
    new = copy.copy(record)
    for name, value in vars(record).items():
        if isinstance(value, np.ndarray):
            new.__dict__[name] = xp.asarray(value)
    return new
