"""Files of one simulation each, on the command line: ID=FILE or ID:CLASS=FILE."""

import argparse
from dataclasses import dataclass

from sktamm.exceptions import InvalidInputError

__all__ = ["NamedFile", "named_files"]


@dataclass(frozen=True)
class NamedFile:
    """A file with the events of one simulation, and perhaps of one class."""

    id: str
    label: str | None
    path: str

    @property
    def words(self) -> str:
        """As it stands on the command line."""
        label = "" if self.label is None else f":{self.label}"
        return f"{self.id}{label}={self.path}"


def named_files(options: argparse.Namespace) -> list[NamedFile]:
    """Files of ``--simulation``; none where it names a column."""
    words = getattr(options, "simulation", None) or []
    files = [_named(word) for word in words if "=" in word]
    if files and len(files) < len(words):
        plain = next(word for word in words if "=" not in word)
        raise InvalidInputError(
            f"--simulation must be a column or files as ID=FILE, got {plain!r} among "
            "files."
        )
    labelled = {one.label is not None for one in files}
    if len(labelled) > 1:
        raise InvalidInputError(
            "--simulation must say the class of all files or of none, got "
            f"{' '.join(words)}."
        )
    return files


def _named(word: str) -> NamedFile:
    name, _, path = word.partition("=")
    simulation, colon, label = name.partition(":")
    if not simulation or not path or (colon and not label):
        raise InvalidInputError(
            f"--simulation must be ID=FILE or ID:CLASS=FILE, got {word!r}."
        )
    return NamedFile(simulation, label if colon else None, path)
