"""Files that appear complete or not at all, and errors that name them.

A file is written beside its place under a passing name, flushed to the disk, renamed:
whoever is killed in between leaves the old file, or none, and rubbish of another name.
"""

import errno
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from sktamm.exceptions import CheckpointError

__all__ = ["import_pyarrow", "write_atomically"]


def write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file completely or not at all.

    Parameters
    ----------
    path : Path
        File to write; an existing one is replaced.
    write : callable
        Writes the content to an open binary file.

    Raises
    ------
    CheckpointError
        If the disk is full or refuses the file.
    """
    # In the same folder, because a rename is atomic only within one file system.
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with open(part, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else error.strerror or str(error)
        raise CheckpointError(
            f"{path} cannot be written: {reason}. What was finished before is kept."
        ) from error
    finally:
        part.unlink(missing_ok=True)


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
