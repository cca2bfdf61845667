"""Files that appear complete or not at all, and errors that name them.

A file is written under a passing name, flushed to the disk, renamed.
"""

import errno
import hashlib
import os
import pickle
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sktamm.exceptions import CheckpointError

__all__ = [
    "content_digest",
    "dump_shared",
    "import_pyarrow",
    "load_shared",
    "refused_file",
    "write_atomically",
]

# Smaller arrays, in bytes, are not worth a memory map. Rule of thumb: a few pages.
_SMALL = 1 << 16


def write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file completely or not at all."""
    # In the same folder, because a rename is atomic only within one file system.
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with open(part, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise refused_file(path, error) from error
    finally:
        part.unlink(missing_ok=True)


def refused_file(path: Path, error: OSError) -> CheckpointError:
    """Error that says why a file could not be written."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    reason = "the disk is full" if full else error.strerror or str(error)
    return CheckpointError(
        f"{path} cannot be written: {reason}. What was finished before is kept."
    )


def content_digest(*arrays: Any) -> str:
    """Digest of the content of arrays and frames, whatever their memory layout."""
    digest = hashlib.sha256()
    for array in arrays:
        if hasattr(array, "iloc"):
            digest.update(repr(list(array.columns)).encode())
            array = pd.util.hash_pandas_object(array, index=False).to_numpy()
        array = np.asarray(array)
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def import_pyarrow() -> Any:
    """Import pyarrow with its Parquet module, or say how to install it."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            "A CoverageResult is saved as Parquet, which needs pyarrow: "
            "pip install 'sktamm[io]'."
        ) from error
    return pyarrow


def dump_shared(value: Any, path: Path) -> None:
    """Write any object so that processes share its arrays."""
    import cloudpickle

    blocks: list[NDArray[np.uint8]] = []

    def keep_inside(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < _SMALL:
            return True
        blocks.append(np.frombuffer(raw, dtype=np.uint8))
        return False

    head = cloudpickle.dumps(value, protocol=5, buffer_callback=keep_inside)
    write_atomically(path, lambda file: joblib.dump((head, blocks), file))


def load_shared(path: Path) -> Any:
    """Read what `dump_shared` wrote, large arrays as read-only memory maps."""
    if not path.exists():
        raise CheckpointError(
            f"{path} does not exist for this worker: give a checkpoint folder that all "
            "workers share."
        )
    try:
        head, blocks = joblib.load(path, mmap_mode="r")
        return pickle.loads(head, buffers=blocks)
    except Exception as error:
        raise CheckpointError(
            f"{path} cannot be read, it is damaged or a library it needs is missing "
            f"({type(error).__name__}: {error})."
        ) from error
