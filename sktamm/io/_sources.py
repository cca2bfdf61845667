"""Names of what is read: a file, a tree within a ROOT file, a pattern of files."""

import glob
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sktamm.exceptions import InvalidInputError

__all__ = ["PathLike", "Source", "find_sources"]

PathLike = str | os.PathLike[str]

_IN_ROOT = re.compile(r"(?P<path>.*\.root):(?P<part>[^:]+)", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """A file, and the name of the tree in it where it may hold several.

    Attributes
    ----------
    path : Path
        The file.
    part : str or None
        Name of a tree in a ROOT file; None for the whole file.
    """

    path: Path
    part: str | None = None

    @property
    def name(self) -> str:
        """Name of the file and of its part, without folders."""
        return self.path.name if self.part is None else f"{self.path.name}:{self.part}"


def find_sources(paths: PathLike | Iterable[PathLike]) -> list[Source]:
    """Files that one name or several stand for.

    Parameters
    ----------
    paths : path-like or sequence of path-like
        Names, ``file.root:tree`` too, or patterns such as ``run*.root:events``, whose
        files come in the order of their names.

    Returns
    -------
    sources : list of Source
        At least one.

    Raises
    ------
    InvalidInputError
        If a pattern fits no file, or a file is named twice.
    """
    several = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not several:
        raise InvalidInputError("path must name at least one file, got none.")
    found = [source for path in several for source in _matching(path)]
    twice = next((one for one in found if found.count(one) > 1), None)
    if twice is not None:
        raise InvalidInputError(f"path must name every file once, got {twice.name}.")
    return found


def _matching(path: PathLike) -> list[Source]:
    """The file of this name, or else all that its pattern fits, in their order."""
    text = os.fspath(path)
    split = None if Path(text).exists() else _IN_ROOT.fullmatch(text)
    file, part = (split["path"], split["part"]) if split else (text, None)
    if Path(file).exists() or not glob.has_magic(file):
        return [Source(Path(file), part)]
    names = sorted(glob.glob(file, recursive=True))
    if not names:
        raise InvalidInputError(f"path must fit at least one file, but none is {file}.")
    return [Source(Path(name), part) for name in names]
