"""Files as wholes: hashes of what was read, and files that appear complete."""

import contextlib
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from sktamm.exceptions import InvalidInputError

__all__ = ["file_hash", "read_bytes", "replacing"]

_BLOCK = 1 << 20  # bytes in memory at once


def file_hash(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def read_bytes(path: Path) -> bytes:
    """Contents of a file, or one sentence that says why there are none."""
    if path.is_dir():
        raise InvalidInputError(f"{path} must be a file, but is a folder.")
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InvalidInputError(f"{path} must exist, but does not.") from error


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file that appears complete or not at all.

    Parameters
    ----------
    path : path-like
        File to write. An existing one is replaced at the end, and only if nothing was
        raised; a symbolic link stays, and what it points to is replaced.

    Yields
    ------
    part : Path
        Where to write: a new name of the same ending.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from sktamm.io import replacing
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "note.txt"
    ...     with replacing(path) as part:
    ...         _ = part.write_text("complete")
    ...     path.read_text()
    'complete'
    """
    # In the same folder, because a rename is atomic only within one file system.
    path = Path(os.path.realpath(path))
    ending = "".join(path.suffixes[-2:])  # what is written may depend on .csv.gz
    part = path.with_name(f".{uuid.uuid4().hex}.part{ending}")
    try:
        yield part
        if path.exists():
            shutil.copymode(path, part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
