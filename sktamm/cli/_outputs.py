"""Results to files and to the terminal, without losing a file on the way."""

import argparse
import contextlib
import importlib.util
import os
import sys
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sktamm.cli._parser import OWN_OPTIONS, STANDARD_OUTPUT
from sktamm.exceptions import InvalidInputError
from sktamm.io import replacing, result_to_text, write_result
from sktamm.results import OWN_LINES, FractionResult

__all__ = [
    "check_outputs",
    "check_picture",
    "print_result",
    "report",
    "result_settings",
    "write_files",
]

_PICTURES = (".png", ".pdf", ".svg")
_SETTINGS = (
    "label",
    "simulation",
    "weight",
    "dataset",
    "positive",
    "estimator",
    *dict.fromkeys(word for own in OWN_OPTIONS.values() for word in own),
    "level",
)


def check_outputs(outputs: Mapping[str, Path | None], inputs: list[Path]) -> None:
    """Refuse an output that cannot be written or costs a file, before the work.

    ``outputs`` are the files of every option that names one.
    """
    files = {
        option: path
        for option, path in outputs.items()
        if path is not None and path != STANDARD_OUTPUT
    }
    places: dict[str, str] = {}
    for option, path in files.items():
        _check_place(option, path)
        for source in inputs:
            if _is_same(path, source):
                raise InvalidInputError(
                    f"{option} must not be an input, which would be lost, but {path} "
                    f"is {source}."
                )
        other = places.setdefault(_place(path), option)
        if other != option:
            raise InvalidInputError(
                f"{option} must not be the file of {other}, got {path} for both."
            )


def check_picture(path: Path | None) -> None:
    """Refuse a picture that cannot be drawn."""
    if path is None:
        return
    if importlib.util.find_spec("matplotlib") is None:
        raise InvalidInputError(
            "--plot needs matplotlib: pip install 'sktamm[plot]', or leave it out."
        )
    if path.suffix.lower() not in _PICTURES:
        raise InvalidInputError(
            f"--plot must end with one of {', '.join(_PICTURES)}, got {path.name}."
        )


def write_files(
    options: argparse.Namespace,
    result: FractionResult,
    features: list[str],
    origin: Mapping[str, Any],
) -> None:
    """Write the files that are asked for, each complete or not at all."""
    if options.output not in (None, STANDARD_OUTPUT):
        write_result(options.output, result, origin)
    if options.plot is not None:
        from sktamm.plotting import save_overview

        with replacing(options.plot) as part:
            save_overview(result, part, features=features)


def print_result(
    options: argparse.Namespace,
    result: FractionResult,
    features: list[str],
    origin: Mapping[str, Any],
) -> None:
    """Print the table; beside JSON on standard output it goes to standard error."""
    if options.output == STANDARD_OUTPUT:
        print(result_to_text(result, origin), end="")
        print(report(result, features), file=sys.stderr)
    else:
        print(report(result, features))


def result_settings(
    options: argparse.Namespace, features: list[str]
) -> dict[str, str | list[str]]:
    """What was chosen, by the names of the options, and the features that were used."""
    chosen = {name: getattr(options, name) for name in _SETTINGS}
    settings: dict[str, str | list[str]] = {
        name: [str(v) for v in value] if isinstance(value, list) else str(value)
        for name, value in chosen.items()
        if value is not None
    }
    return settings | {"features": features}


def report(result: FractionResult, features: list[str]) -> str:
    """Table of the measurement, one row per dataset."""
    method = result.method
    choices = ", ".join(f"{k} {v}" for k, v in method.items() if k not in OWN_LINES)
    head = [f"Fraction of class {result.pos_label}, features {', '.join(features)}"]
    head.append(f"({choices})")
    head += [
        f"{title.capitalize()}: {method[k]}"
        for k, title in OWN_LINES.items()
        if k in method
    ]
    return "\n".join([*head, "", result.table().to_string(index=False)])


def _check_place(option: str, path: Path) -> None:
    """Refuse what is no regular file, and folders where nothing can be written."""
    if path.is_dir():
        raise InvalidInputError(f"{option} must be a file, but {path} is a folder.")
    if _is_stream(path):
        raise InvalidInputError(
            f"{option} must not be the file that standard output or error goes to, "
            f"got {path}; - is standard output."
        )
    if path.exists() and not path.is_file():
        raise InvalidInputError(
            f"{option} must be a regular file, but {path} is a device or a pipe; - is "
            "standard output."
        )
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise InvalidInputError(
            f"The folder of {path.name} must exist, but {path.parent} does not."
        )
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise InvalidInputError(f"{option} must be writable, but {path} is not.")


def _is_stream(path: Path) -> bool:
    for stream in (sys.stdout, sys.stderr):
        # Streams that are no files have no number.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if os.path.samestat(os.fstat(stream.fileno()), path.stat()):
                return True
    return False


def _is_same(one: Path, other: Path) -> bool:
    """Whether two names are one file, also by links; a file to come is none."""
    return one.exists() and other.exists() and one.samefile(other)


def _place(path: Path) -> str:
    """Key that names of one file share: an existing one's number, or else its path."""
    if path.exists():
        status = path.stat()
        return f"{status.st_dev} {status.st_ino}"
    # Some file systems tell neither case nor composed letters apart.
    return unicodedata.normalize("NFC", os.path.realpath(path)).casefold()
