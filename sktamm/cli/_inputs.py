"""Files to what an estimator takes: every column has one role, ids stay as written."""

import argparse
import numbers
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sktamm.cli._named_files import NamedFile, named_files
from sktamm.exceptions import InvalidInputError, SktammWarning
from sktamm.io import (
    column_names,
    find_sources,
    holds_histogram,
    join_ids,
    read_events,
    read_histogram,
    read_workspace,
)

__all__ = [
    "Simulated",
    "Target",
    "choose_positive",
    "input_files",
    "load_simulations",
    "load_target",
    "meant",
    "refuse_beside",
]

# Options of tables of events, and of the bins that their estimator makes.
_OF_EVENTS = ("label", "weight", "features", "cut")
_OF_BINS = ("bins", "range")
_HISTOGRAMS = "{} is for events, not for histograms, whose bins are filled already."
_WORKSPACE = "{} is for events, not for a workspace, whose bins are filled already."

# What pandas calls a column without a name, also after it was written once more.
_NAMELESS = re.compile(r"\s*|Unnamed: \d+.*")


@dataclass(frozen=True, eq=False)
class Simulated:
    """Labelled events, or histograms: one label, id and weight for each."""

    X: Any  # DataFrame (n_events, n_features), or list of histograms
    label: pd.Series
    simulation: pd.Series
    weight: pd.Series | None = None
    families: dict[str, Any] = field(default_factory=dict)  # those that files declare

    def events(self) -> dict[str, Any]:
        """Arguments of ``fit``."""
        events = {"X": self.X, "y": self.label, "simulation": self.simulation}
        return (
            events if self.weight is None else events | {"sample_weight": self.weight}
        )


@dataclass(frozen=True, eq=False)
class Target:
    """Unlabelled events of all files: features, dataset ids and weights."""

    X: Any  # DataFrame (n_events, n_features), or list of histograms
    dataset: Any = None  # (n_events,), or None
    weight: pd.Series | None = None
    names: Any = None  # of datasets that are histograms, (n_datasets,), or None

    def question(self) -> dict[str, Any]:
        """Arguments of ``infer`` beside the events."""
        given = {"dataset": self.dataset, "sample_weight": self.weight}
        return {name: value for name, value in given.items() if value is not None}


def input_files(options: argparse.Namespace) -> list[Path]:
    """All files that a command reads, each once; refuses what is none."""
    names = [*(getattr(options, "simulations", None) or ())]
    names += [named.path for named in named_files(options)]
    names += [*(getattr(options, "target", None) or ())]
    found = [source.path for name in names for source in find_sources(name)]
    for option in ("families", "workspace", "model", "config", "result"):
        path = getattr(options, option, None)
        if (
            path is not None
            and option in options.given
            and option not in options.outputs
        ):
            found.append(path)
    return list(dict.fromkeys(found))


def refuse_beside(options: argparse.Namespace, names: Iterable[str], rule: str) -> None:
    """Refuse options that would say nothing, by a rule with a place for their name."""
    beside = sorted(options.given & set(names))
    if beside:
        raise InvalidInputError(rule.format(f"--{beside[0].replace('_', '-')}"))


# ------------------------------------------------------------------------ simulations
def load_simulations(options: argparse.Namespace) -> Simulated:
    """Read the simulations; features are named, or all columns without another role."""
    _check_roles(options)
    named = named_files(options)
    ways = [options.simulations, named, options.workspace]
    if sum(bool(way) for way in ways) > 1:
        raise InvalidInputError(
            "Simulations must come from one of --simulations, --simulation ID=FILE and "
            "--workspace, got several."
        )
    if options.workspace is not None:
        refuse_beside(options, {*_OF_EVENTS, *_OF_BINS}, _WORKSPACE)
        return _of_workspace(options)
    refuse_beside(options, {"channel"}, "{} needs --workspace.")
    if named and all(holds_histogram(one.path) for one in named):
        refuse_beside(options, {*_OF_EVENTS, *_OF_BINS}, _HISTOGRAMS)
        return _of_histograms(named)
    frames, paths = _read_simulations(options, named)
    _check_simulated(frames, paths, options)
    names = options.features or _remaining(frames[0], paths[0], options)
    for frame, path in zip(frames, paths, strict=True):
        for name in names:
            _check_numbers(frame, name, path)
    X = pd.concat([frame[names] for frame in frames], ignore_index=True)
    label, simulation = (
        _ids([frame[name] for frame in frames], paths)
        for name in (options.label, _id_column(options))
    )
    weight = None
    if options.weight:
        weight = pd.concat([f[options.weight] for f in frames], ignore_index=True)
    return Simulated(X, label, simulation, weight)


def _id_column(options: argparse.Namespace) -> str:
    """Column of the simulation ids, also where files give them."""
    several = options.simulation
    if named_files(options):
        return "simulation"
    if len(several) != 1:
        raise InvalidInputError(
            f"--simulation must name one column, or files as ID=FILE, got "
            f"{' '.join(several)}."
        )
    return str(several[0])


def _read_simulations(
    options: argparse.Namespace, named: list[NamedFile]
) -> tuple[list[pd.DataFrame], list[str]]:
    """Tables with columns of labels and ids, and the names of their files."""
    if not named:
        ids = [options.label, _id_column(options)]
        wanted = _wanted(options, ids)
        files = options.simulations
        events = read_events(files, wanted, as_written=ids, cut=options.cut)
        shown = [source.path.name for source in find_sources(files)]
        return [events], [shown[0] if len(shown) == 1 else ", ".join(shown)]
    frames, paths = [], []
    for one in named:
        ids = [] if one.label is not None else [options.label]
        wanted = _wanted(options, ids)
        events = read_events(one.path, wanted, as_written=ids, cut=options.cut)
        for name in ("simulation", *([options.label] if one.label is not None else [])):
            if name in events and name not in (options.features or ()):
                raise InvalidInputError(
                    f"{one.path} must have no column {name!r}, which --simulation "
                    f"{one.words} says; name the features with --features."
                )
        given = {"simulation": one.id}
        given |= {options.label: one.label} if one.label is not None else {}
        frames.append(events.assign(**{n: [v] * len(events) for n, v in given.items()}))
        paths.append(Path(one.path).name)
    return frames, paths


def _wanted(options: argparse.Namespace, ids: list[str]) -> list[str] | None:
    """Columns to read; None is all."""
    if not options.features:
        return None
    return [*ids, *filter(None, [options.weight]), *options.features]


def _check_simulated(
    frames: list[pd.DataFrame], paths: list[str], options: argparse.Namespace
) -> None:
    """Refuse tables without a column that has a role, or of different columns."""
    needed = [options.label, _id_column(options), *filter(None, [options.weight])]
    for frame, path in zip(frames, paths, strict=True):
        for name in needed:
            _column(frame, name, path)
        apart = set(frame.columns) ^ set(frames[0].columns)
        if apart:
            raise InvalidInputError(
                f"{path} must have the columns of {paths[0]}, but "
                f"{', '.join(map(repr, sorted(apart)))} are in one of them only; name "
                "the features with --features."
            )


def _of_histograms(named: list[NamedFile]) -> Simulated:
    """One histogram per simulation and class."""
    for one in named:
        if one.label is None:
            raise InvalidInputError(
                f"--simulation must say the class of a histogram, as ID:CLASS=FILE, "
                f"got {one.words}."
            )
    label, simulation = (
        _ids([pd.Series([value]) for value in values], [one.path for one in named])
        for values in ([one.label for one in named], [one.id for one in named])
    )
    return Simulated([read_histogram(one.path) for one in named], label, simulation)


def _of_workspace(options: argparse.Namespace) -> Simulated:
    """Samples and their variations."""
    found = read_workspace(options.workspace, options.channel)
    declared: dict[str, Any] = {}
    if found.families:
        declared = {"families": dict(found.families), "nominal": [found.nominal]}
    label, simulation = pd.Series(found.y), pd.Series(found.simulation)
    return Simulated(list(found.histograms), label, simulation, None, declared)


# ------------------------------------------------------------------------------- data
def load_target(options: argparse.Namespace, features: list[str]) -> Target:
    """Read the features of all target files; several files are one dataset each."""
    if not options.target:
        refuse_beside(options, {*_OF_EVENTS, "dataset"}, _WORKSPACE)
        return Target([read_workspace(options.workspace, options.channel).target])
    if all(holds_histogram(path) for path in options.target):
        refuse_beside(options, {"cut", "dataset"}, _HISTOGRAMS)
        return Target([read_histogram(path) for path in options.target])
    _check_roles(options)
    paths = options.target
    weighted = [options.weight in column_names(path) for path in paths]
    if options.weight and any(weighted) and not all(weighted):
        raise InvalidInputError(
            f"--target must have the weight {options.weight!r} in all files or in "
            f"none, but {Path(paths[weighted.index(False)]).name} lacks it."
        )
    if options.weight and not any(weighted) and getattr(options, "model", None):
        # With simulations beside it, the name is known to be that of a column.
        raise InvalidInputError(
            f"--target must have the weight {options.weight!r}, but "
            f"{Path(paths[0]).name} lacks it."
        )
    ids = [options.dataset] if options.dataset else []
    columns = [*features, *ids, *([options.weight] if any(weighted) else [])]
    frames = [
        read_events(path, columns, as_written=ids, cut=options.cut) for path in paths
    ]
    for frame, path in zip(frames, paths, strict=True):
        for name in features:
            _check_numbers(frame, name, Path(path).name)
    events = pd.concat([frame[features] for frame in frames], ignore_index=True)
    weight = None
    if any(weighted):
        weight = pd.concat([f[options.weight] for f in frames], ignore_index=True)
    return Target(events, _datasets(frames, options), weight)


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
    ids = [("--label", options.label), ("--simulation", _id_column(options))]
    _check_apart([*ids, weight, *features])
    # Ids of simulations may tell datasets apart: the target has columns of its own.
    _check_apart([("--dataset", getattr(options, "dataset", None)), weight, *features])


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


def _remaining(
    events: pd.DataFrame, file: str, options: argparse.Namespace
) -> list[str]:
    """Every column that is nothing else, and has a name."""
    roles = {options.label, _id_column(options), options.weight}
    roles.add(getattr(options, "dataset", None))
    features = [name for name in events.columns if name not in roles]
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


def _column(events: pd.DataFrame, name: str, path: str) -> pd.Series:
    if name not in events.columns:
        available = ", ".join(repr(column) for column in events.columns)
        raise InvalidInputError(f"{path} has no column {name!r}; it has {available}.")
    return events[name]


def _check_numbers(events: pd.DataFrame, name: str, path: str) -> None:
    """Refuse a feature that is missing or holds something else than numbers."""
    column = _column(events, name, path)
    if pd.api.types.is_numeric_dtype(column):
        return
    numeric = (numbers.Real, Decimal, type(None))
    other = column[[not isinstance(value, numeric) for value in column]]
    if len(other):
        # In a column of texts, most of them may be numbers.
        wrong = other[pd.to_numeric(other, errors="coerce").isna()]
        first = (wrong if len(wrong) else other).iloc[0]
        raise InvalidInputError(
            f"{path} must hold numbers in the feature {name!r}, but it holds "
            f"{first!r}; name the features with --features."
        )


def _datasets(
    frames: list[pd.DataFrame], options: argparse.Namespace
) -> pd.Series | None:
    """Dataset of every event: its id, or else its file where there are several."""
    if options.dataset:
        names = [Path(path).name for path in options.target]
        return _ids([frame[options.dataset] for frame in frames], names)
    if len(frames) == 1:
        return None
    names = [Path(path).name for path in options.target]
    if len(set(names)) < len(names):
        names = list(options.target)
    if len(set(names)) < len(names):
        raise InvalidInputError(
            f"--target must name different files, got {' '.join(names)}."
        )
    return pd.Series(np.repeat(np.array(names, object), [len(f) for f in frames]))


def _ids(columns: list[pd.Series], paths: list[str]) -> pd.Series:
    """One column of ids or labels from that of every file, each as it is written."""
    for column, path in zip(columns, paths, strict=True):
        _refuse_missing(column, path)
    joined = join_ids(columns)
    _warn_of_twins(joined, str(columns[0].name))
    return joined


def _refuse_missing(column: pd.Series, path: str) -> None:
    missing = np.flatnonzero(column.isna())
    if missing.size:
        raise InvalidInputError(
            f"{path} must hold {column.name!r} in every row, but {missing.size} "
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
