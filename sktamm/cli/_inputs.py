"""Files to what an estimator takes: every column has one role, ids stay as written."""

import argparse
import numbers
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sktamm.exceptions import InvalidInputError, SktammWarning
from sktamm.io import column_names, join_ids, read_events

__all__ = [
    "SimulationFile",
    "TargetFiles",
    "choose_positive",
    "load_simulations",
    "load_targets",
    "meant",
]

# What pandas calls a column without a name, also after it was written once more.
_NAMELESS = re.compile(r"\s*|Unnamed: \d+.*")


@dataclass(frozen=True, eq=False)
class SimulationFile:
    """Labelled events: features, and one label, id and weight per event."""

    X: pd.DataFrame
    label: pd.Series
    simulation: pd.Series
    weight: pd.Series | None


@dataclass(frozen=True, eq=False)
class TargetFiles:
    """Unlabelled events of all files: features, dataset ids and weights."""

    X: pd.DataFrame
    dataset: pd.Series | None
    weight: pd.Series | None


def load_simulations(options: argparse.Namespace) -> SimulationFile:
    """Read the simulations; features are named, or all columns without another role."""
    _check_roles(options)
    path, ids = options.simulations, [options.label, options.simulation]
    others = [*ids, *filter(None, [options.weight])]
    wanted = [*others, *options.features] if options.features else None
    events = read_events(path, wanted, as_written=ids)
    for name in others:
        _column(events, name, path)
    features = options.features or _remaining(events, options)
    for name in features:
        _check_numbers(events, name, path)
    label, simulation = (_ids([events[name]], [path]) for name in ids)
    weight = events[options.weight] if options.weight else None
    return SimulationFile(events[features], label, simulation, weight)


def load_targets(options: argparse.Namespace, features: list[str]) -> TargetFiles:
    """Read the features of all target files; several files are one dataset each."""
    paths = options.target
    weighted = [options.weight in column_names(path) for path in paths]
    if options.weight and any(weighted) and not all(weighted):
        raise InvalidInputError(
            f"--target must have the weight {options.weight!r} in all files or in "
            f"none, but {paths[weighted.index(False)].name} lacks it."
        )
    ids = [options.dataset] if options.dataset else []
    columns = [*features, *ids, *([options.weight] if any(weighted) else [])]
    frames = [read_events(path, columns, as_written=ids) for path in paths]
    for frame, path in zip(frames, paths, strict=True):
        for name in features:
            _check_numbers(frame, name, path)
    events = pd.concat([frame[features] for frame in frames], ignore_index=True)
    weight = None
    if any(weighted):
        weight = pd.concat([f[options.weight] for f in frames], ignore_index=True)
    return TargetFiles(events, _datasets(frames, options), weight)


def choose_positive(label: pd.Series, text: str | None) -> Any:
    """The label that is written so, or else has the same value: 1 for 1.0 and True."""
    if text is None:
        return None
    classes = label.unique().tolist()
    found = meant(text, classes)
    if len(found) != 1:
        raise InvalidInputError(
            "--positive (pos_label) must be one of the classes "
            f"{', '.join(sorted(map(str, classes)))}, got {text}."
        )
    return found[0]


def _check_roles(options: argparse.Namespace) -> None:
    """Refuse a column that is to be two things, or a feature twice."""
    features = [("--features", name) for name in options.features or ()]
    weight = ("--weight", options.weight)
    ids = [("--label", options.label), ("--simulation", options.simulation)]
    _check_apart([*ids, weight, *features])
    # Ids of simulations may tell datasets apart: the target has columns of its own.
    _check_apart([("--dataset", options.dataset), weight, *features])


def _check_apart(roles: Sequence[tuple[str, str | None]]) -> None:
    seen: dict[str, str] = {}
    for option, name in roles:
        if name == "":
            raise InvalidInputError(f"{option} must name a column, got ''.")
        if name in seen and seen[name] == option:
            raise InvalidInputError(
                f"{option} must name every column once, got {name!r} twice."
            )
        if name in seen:
            raise InvalidInputError(
                f"{option} must name another column than {seen[name]}, got {name!r} "
                "for both."
            )
        if name is not None:
            seen[name] = option


def _remaining(events: pd.DataFrame, options: argparse.Namespace) -> list[str]:
    """Every column that is nothing else, and has a name."""
    roles = {options.label, options.simulation, options.weight, options.dataset}
    features = [name for name in events.columns if name not in roles]
    file = options.simulations.name
    if not features:
        raise InvalidInputError(
            f"{file} must hold features beside "
            f"{', '.join(repr(name) for name in events.columns)}."
        )
    for name in features:
        if _NAMELESS.fullmatch(name):
            raise InvalidInputError(
                f"{file} must have a name for every feature, but column "
                f"{list(events.columns).index(name) + 1} has none ({name!r}): to_csv() "
                "writes the index so; write with index=False, or name the features "
                "with --features."
            )
    return features


def _column(events: pd.DataFrame, name: str, path: Path) -> pd.Series:
    if name not in events.columns:
        available = ", ".join(repr(column) for column in events.columns)
        raise InvalidInputError(
            f"{path.name} has no column {name!r}; it has {available}."
        )
    return events[name]


def _check_numbers(events: pd.DataFrame, name: str, path: Path) -> None:
    """Refuse a feature that is missing or holds something else than numbers."""
    column = _column(events, name, path)
    if pd.api.types.is_numeric_dtype(column):
        return
    numeric = (numbers.Real, Decimal, type(None))
    first = next((value for value in column if not isinstance(value, numeric)), None)
    if first is not None:
        raise InvalidInputError(
            f"{path.name} must hold numbers in the feature {name!r}, but it holds "
            f"{first!r}; name the features with --features."
        )


def _datasets(
    frames: list[pd.DataFrame], options: argparse.Namespace
) -> pd.Series | None:
    """Dataset of every event: its id, or else its file where there are several."""
    if options.dataset:
        return _ids([frame[options.dataset] for frame in frames], options.target)
    if len(frames) == 1:
        return None
    names = [path.name for path in options.target]
    if len(set(names)) < len(names):
        names = [str(path) for path in options.target]
    if len(set(names)) < len(names):
        raise InvalidInputError(
            f"--target must name different files, got {' '.join(names)}."
        )
    return pd.Series(np.repeat(np.array(names, object), [len(f) for f in frames]))


def _ids(columns: list[pd.Series], paths: list[Path]) -> pd.Series:
    """One column of ids or labels from that of every file, each as it is written."""
    for column, path in zip(columns, paths, strict=True):
        _refuse_missing(column, path)
    joined = join_ids(columns)
    _warn_of_twins(joined, str(columns[0].name))
    return joined


def _refuse_missing(column: pd.Series, path: Path) -> None:
    missing = np.flatnonzero(column.isna())
    if missing.size:
        raise InvalidInputError(
            f"{path.name} must hold {column.name!r} in every row, but {missing.size} "
            f"of {len(column)} rows have none (or NA, nan, null), the first is row "
            f"{missing[0] + 1}."
        )


def _warn_of_twins(ids: pd.Series, name: str) -> None:
    """Say so if ids are the same number in different writing."""
    if pd.api.types.is_numeric_dtype(ids):
        return
    texts = [text for text in ids.unique() if isinstance(text, str)]
    for one, other in _twins(texts):
        warnings.warn(
            f"{name!r} holds {one!r} and {other!r}, which are taken as different.",
            SktammWarning,
            stacklevel=2,
        )
        return


def _twins(texts: list[str]) -> Iterator[tuple[str, str]]:
    """Pairs of texts that mean the same value."""
    seen: dict[Any, str] = {}
    for text in texts:
        first = seen.setdefault(_value(text), text)
        if first != text:
            yield first, text


def meant(text: str, values: Sequence[Any]) -> list[Any]:
    """Values that are written so, or else are the same number: 1, 1.0 and True."""
    exact = [value for value in values if str(value) == text]
    return exact or [value for value in values if _value(str(value)) == _value(text)]


def _value(text: str) -> Decimal | str:
    """Number that a text means, 1 for True; the text itself if it means none."""
    truth = {"true": Decimal(1), "false": Decimal(0)}.get(text.strip().lower())
    if truth is not None:
        return truth
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        return text
    return number if number.is_finite() else text
