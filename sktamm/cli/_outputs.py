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

from sktamm.cli._inputs import input_files
from sktamm.cli._parser import OF_THE_FIT, OWN_OPTIONS, STANDARD_OUTPUT
from sktamm.exceptions import InvalidInputError
from sktamm.io import provenance, replacing, result_to_text, write_result
from sktamm.results import (
    BLINDED,
    FractionResult,
    choices_line,
    flag_meaning,
    own_lines,
)

__all__ = [
    "check_outputs",
    "check_picture",
    "origin_of",
    "print_result",
    "result_words",
    "write_result_files",
]

_PICTURES = (".png", ".pdf", ".svg")
# No name of a file, which may tell of the machine; inputs are told by their hashes.
_SETTINGS = (
    "label",
    "weight",
    "dataset",
    "cut",
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


def check_picture(path: Path | None, needs: str = "--plot") -> None:
    """Refuse a picture that cannot be drawn; a page is not of its kinds."""
    if path is None:
        return
    if importlib.util.find_spec("matplotlib") is None:
        raise InvalidInputError(
            f"{needs} needs matplotlib: pip install 'sktamm[plot]', or leave it out."
        )
    if needs == "--plot" and path.suffix.lower() not in _PICTURES:
        raise InvalidInputError(
            f"--plot must end with one of {', '.join(_PICTURES)}, got {path.name}."
        )


def origin_of(
    options: argparse.Namespace, features: list[str], estimator: Any
) -> dict[str, Any]:
    """Provenance of a result: what was chosen, and the files behind it.

    Of a model that was fitted before, its file says what it was told.
    """
    fitted = options.model is not None
    names = [n for n in _SETTINGS if not (fitted and n in OF_THE_FIT)]
    chosen = {name: getattr(options, name, None) for name in names}
    settings: dict[str, str | list[str]] = {
        name: [str(v) for v in value] if isinstance(value, list) else str(value)
        for name, value in chosen.items()
        if value is not None
    }
    settings["features"] = features
    if fitted:
        settings["estimator"] = type(estimator).__name__
        seed = getattr(estimator, "random_state", None)
    else:
        settings["simulation"] = [w.partition("=")[0] for w in options.simulation]
        seed = options.seed
    seed = seed if isinstance(seed, int) else None
    return provenance(settings, seed, input_files(options))


def write_result_files(
    options: argparse.Namespace, result: FractionResult, origin: Mapping[str, Any]
) -> None:
    """Write the files that are asked for, each complete or not at all."""
    if options.output not in (None, STANDARD_OUTPUT):
        write_result(options.output, result, origin)
    if getattr(options, "plot", None) is not None:
        from sktamm.plotting import save_overview

        with replacing(options.plot) as part:
            save_overview(result, part, features=result.features)


def print_result(
    options: argparse.Namespace, result: FractionResult, origin: Mapping[str, Any]
) -> None:
    """Print the table; beside JSON on standard output it goes to standard error."""
    if options.output == STANDARD_OUTPUT:
        print(result_to_text(result, origin), end="")
        print(result_words(result), file=sys.stderr)
    else:
        print(result_words(result))


def result_words(result: FractionResult) -> str:
    """Table of the measurement, one row per dataset."""
    features = ", ".join(map(str, result.features))
    head = [f"Fraction of class {result.pos_label}, features {features}"]
    head.append(f"({choices_line(result, ' ')})")
    head += [f"{line[0].upper()}{line[1:]}" for line in own_lines(result)]
    if result.is_blinded:
        head.append(f"{BLINDED}.")
    raised = dict.fromkeys(name for flags in result.flags for name in flags)
    meanings = [f"{name}: {flag_meaning(name)}" for name in raised]
    table = result.table().to_string(index=False)
    return "\n".join([*head, "", table, *([""] if meanings else []), *meanings])


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
