"""Options from the command line, a TOML file, and the defaults, in this order."""

import argparse
import json
import sys
import tomllib
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from sktamm.cli._parser import STANDARD_OUTPUT, Command, make_parser
from sktamm.exceptions import InvalidInputError
from sktamm.io import replacing

__all__ = ["read_options", "write_config"]

_UNSAVED = {"config", "write_config"}


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Every option of a command; ``given`` names those that are not defaults."""
    parser, commands = make_parser()
    given = vars(parser.parse_args(arguments))
    command = commands[given["command"]]
    if given.get("config") is not None:
        words = _configured(given["config"], command, commands)
        given = vars(parser.parse_args([command.name, *words])) | given
    options = argparse.Namespace(**command.defaults | given)
    options.given = set(given) - {"command"}
    options.outputs = command.outputs
    options.write_config = getattr(options, "write_config", None)
    if options.write_config is None:
        _check_required(options, command)
    return options


def write_config(options: argparse.Namespace) -> None:
    """Write the options given as TOML, and all others as comments."""
    command = make_parser()[1][options.command]
    name = options.write_config
    file = "FILE" if name == STANDARD_OUTPUT else name.name
    lines = [f"# sktamm {options.command} --config {file}", ""]
    for title, actions in command.groups.items():
        saved = [action for action in actions if action.dest not in _UNSAVED]
        if not saved:
            continue
        lines += [f"[{title}]"]
        for action in saved:
            lines += _entry(action, options)
        lines.append("")
    text = "\n".join(lines)
    if options.write_config == STANDARD_OUTPUT:
        sys.stdout.write(text)
        return
    with replacing(options.write_config) as part:
        part.write_text(text, encoding="utf-8")


def _entry(action: argparse.Action, options: argparse.Namespace) -> list[str]:
    """An option with its help; commented out if it was not given."""
    value = getattr(options, action.dest)
    key = action.dest.replace("_", "-")
    comment = f"# {action.help}"
    if action.dest in options.given:
        return [comment, f"{key} = {_toml(value)}"]
    shown = "..." if value is None else _toml(value)
    return [comment, f"# {key} = {shown}"]


def _toml(value: Any) -> str:
    """A value as TOML, which writes texts, numbers and Booleans as JSON does."""
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    plain = str(value) if isinstance(value, Path) else value
    # Signs beyond 16 bits are two in JSON's escapes, and none in those of TOML.
    return json.dumps(plain, ensure_ascii=False).replace("\x7f", "\\u007f")


# ---------------------------------------------------------------------------- reading
def _configured(
    path: Path, command: Command, commands: dict[str, Command]
) -> list[str]:
    """Words of the command line that a file stands for."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidInputError(f"{path.name} must hold TOML: {error}.") from None
    known = {d for other in commands.values() for d in other.defaults} - _UNSAVED
    words: list[str] = []
    for key, value in _entries(document, path):
        name = key.replace("-", "_")
        if name not in known:
            near = get_close_matches(name, known, n=1)
            meant = f" (do you mean {near[0].replace('_', '-')}?)" if near else ""
            raise InvalidInputError(
                f"{path.name} must hold options of sktamm, got {key!r}{meant}."
            )
        if name in command.defaults:  # others are those of another command
            words += _as_words(key, value, path)
    return words


def _entries(document: dict[str, Any], path: Path) -> list[tuple[str, Any]]:
    """Keys and values of all tables, each key once."""
    entries: list[tuple[str, Any]] = []
    for key, value in document.items():
        inner = list(value.items()) if isinstance(value, dict) else [(key, value)]
        entries += inner
    names = [key.replace("_", "-") for key, _ in entries]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidInputError(f"{path.name} must name {twice!r} once, got it twice.")
    return entries


def _as_words(key: str, value: Any, path: Path) -> list[str]:
    option = f"--{key.replace('_', '-')}"
    if value is True:
        return [option]
    if value is False:
        return []
    several = value if isinstance(value, list) else [value]
    if not several or not all(isinstance(v, str | int | float) for v in several):
        raise InvalidInputError(
            f"{path.name} must have texts, numbers, Booleans or lists of them, got "
            f"{key} = {value!r}."
        )
    if len(several) > 1:
        return [option, *map(str, several)]
    return [f"{option}={several[0]}"]  # a word that begins with a dash, too


def _check_required(options: argparse.Namespace, command: Command) -> None:
    for names in command.required:
        # A column of simulation ids is no file of simulations.
        found = [n for n in names if n in options.given and not _is_column(options, n)]
        if not found:
            words = " or ".join(f"--{name.replace('_', '-')}" for name in names)
            command.parser.error(f"the following is required: {words}")


def _is_column(options: argparse.Namespace, name: str) -> bool:
    return name == "simulation" and not any("=" in v for v in options.simulation)
