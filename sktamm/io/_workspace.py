"""Workspaces of pyhf as simulations: nominal samples and their varied shapes.

A sample of a workspace (Heinrich et al., JOSS 6 (2021) 2823) is a class. Its nominal
contents are one simulation and so are the up and the down variation of every modifier
of type ``histosys``, two variations of one family; samples without that modifier keep
their nominal contents in it. Errors of ``staterror`` and ``shapesys`` are the errors of
the contents. Modifiers that scale a sample as a whole do not change its shape, and its
fraction is what is measured.
"""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sktamm.exceptions import InvalidInputError
from sktamm.io._histograms import Histogram, HistogramAxis
from sktamm.io._strict import parse_strict

__all__ = ["WorkspaceTemplates", "read_workspace"]

FloatArray = NDArray[np.float64]
_NOMINAL = "nominal"
_UP, _DOWN = " up", " down"
_ERRORS = ("staterror", "shapesys")
_HUGE = 1e150  # squares of larger numbers are no numbers


@dataclass(frozen=True, eq=False)
class WorkspaceTemplates:
    """What `read_workspace` finds, as ``fit`` and ``predict`` take it.

    Attributes
    ----------
    histograms : tuple of Histogram
        Contents of every sample in every simulation; X of ``fit``.
    y : ndarray of str, shape (n_histograms,)
        Sample, or class, of each of them.
    simulation : ndarray of str, shape (n_histograms,)
        Simulation of each: "nominal", "<modifier> up" or "<modifier> down".
    families : mapping of str to str
        Modifier of every simulation but the nominal one.
    nominal : str
        Name of the nominal simulation.
    target : Histogram
        Observed contents.
    channels : tuple of str
        Channels whose bins follow one another.
    ignored : tuple of str
        Modifiers that were left out, as "name (type)".
    """

    histograms: tuple[Histogram, ...]
    y: NDArray[np.str_]
    simulation: NDArray[np.str_]
    families: Mapping[str, str]
    nominal: str
    target: Histogram
    channels: tuple[str, ...]
    ignored: tuple[str, ...]


def read_workspace(
    source: str | os.PathLike[str] | Mapping[str, Any],
    channel: str | Sequence[str] | None = None,
    *,
    classes: Mapping[str, str] | None = None,
) -> WorkspaceTemplates:
    """Read samples, their varied shapes and the data of a workspace of pyhf.

    Parameters
    ----------
    source : path-like or mapping
        JSON file, or its contents.
    channel : str or sequence of str, default=None
        Channels to read, whose bins follow one another; None is all of them.
    classes : mapping of str to str, default=None
        Class of every sample, to add samples to one class by their nominal contents;
        None makes every sample a class.

    Returns
    -------
    templates : WorkspaceTemplates
        Histograms of one axis, the number of the bin, with labels, simulations,
        families and the observed contents.

    Raises
    ------
    InvalidInputError
        If the file is missing or no workspace, or a channel is not in it; one sentence
        says where.

    Notes
    -----
    Errors of varied contents are as large relative to them as those of nominal ones. A
    sample without ``staterror`` and ``shapesys`` is known exactly. Whatever else the
    workspace says, such as constraints of its own, is not read.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.io import read_workspace
    >>> from sktamm.mixture import SimulationsPrior
    >>> tilt = {"hi_data": [70.0, 30.0], "lo_data": [50.0, 50.0]}
    >>> modifier = {"name": "scale", "type": "histosys", "data": tilt}
    >>> samples = [
    ...     {"name": "signal", "data": [10.0, 40.0], "modifiers": []},
    ...     {"name": "background", "data": [60.0, 40.0], "modifiers": [modifier]},
    ... ]
    >>> found = read_workspace(
    ...     {
    ...         "channels": [{"name": "SR", "samples": samples}],
    ...         "observations": [{"name": "SR", "data": [57.0, 63.0]}],
    ...     }
    ... )
    >>> dict(found.families)
    {'scale up': 'scale', 'scale down': 'scale'}
    >>> prior = SimulationsPrior(families=found.families, nominal=found.nominal)
    >>> tamm = BinnedTopicTAMM(prior=prior, pos_label="signal")
    >>> tamm = tamm.fit(found.histograms, found.y, simulation=found.simulation)
    >>> bool(0.0 < tamm.predict(found.target)[0] < 1.0)
    True
    """
    name, document = _load(source)
    every = _channels(document, name)
    chosen = _chosen(every, channel, name)
    observed = _observed(document, chosen, name)
    samples = _samples(chosen)
    of = _class_of(samples, classes)
    varied = list(dict.fromkeys(m for s in samples for m in s.changes))
    histograms, y, simulation = [], [], []
    for key, contents, variances in _simulations(samples, varied):
        for sample, content, variance in zip(samples, contents, variances, strict=True):
            histograms.append(_histogram(content, variance, sample.name))
            y.append(of[sample.name])
            simulation.append(key)
    families = {m + side: m for m in varied for side in (_UP, _DOWN)}
    ignored = dict.fromkeys(name for s in samples for name in s.ignored)
    return WorkspaceTemplates(
        histograms=tuple(histograms),
        y=np.array(y),
        simulation=np.array(simulation),
        families=families,
        nominal=_NOMINAL,
        target=_histogram(observed, observed, "observed"),
        channels=tuple(c.name for c in chosen),
        ignored=tuple(ignored),
    )


# ------------------------------------------------------------------ private functions
class _Channel:
    """One channel: its samples by name, all with equally many bins."""

    def __init__(self, entry: Any):
        self.name = _name(entry, "a channel")
        where = f"channel {self.name!r}"
        self.samples: dict[str, Any] = {}
        for sample in _entries(entry, "samples", where):
            name = _name(sample, f"a sample of {where}")
            if name in self.samples:
                raise _refused(f"{where} must have samples of different names", name)
            self.samples[name] = sample
        sizes = {len(_numbers(s, "data", where)) for s in self.samples.values()}
        if len(sizes) != 1:
            raise _refused(f"{where} must have as many bins in every sample", sizes)
        self.n_bins = sizes.pop()


class _Sample:
    """A sample over all channels that were chosen; arrays are (n_bins,)."""

    def __init__(self, name: str, channels: list[_Channel]):
        self.name = name
        self.ignored: list[str] = []
        size = sum(c.n_bins for c in channels)
        self.content, self.variance = np.zeros(size), np.zeros(size)
        self.changes: dict[str, tuple[FloatArray, FloatArray]] = {}  # up and down
        start = 0
        for channel in channels:
            bins = slice(start, start + channel.n_bins)
            start = bins.stop
            if name in channel.samples:
                where = f"sample {name!r} of channel {channel.name!r}"
                self._add(channel.samples[name], bins, where)

    def _add(self, entry: Any, bins: slice, where: str) -> None:
        """Contents of one channel and what may change them."""
        self.content[bins] = _numbers(entry, "data", where)
        for modifier in _entries(entry, "modifiers", where, empty=True):
            name = _name(modifier, f"a modifier of {where}")
            kind, inside = modifier.get("type"), f"modifier {name!r} of {where}"
            if kind == "histosys":
                self._vary(name, modifier.get("data"), bins, inside)
            elif kind in _ERRORS:
                errors = _sized(_numbers(modifier, "data", inside), bins, inside)
                self.variance[bins] += errors**2
            else:
                self.ignored.append(f"{name} ({kind})")

    def _vary(self, name: str, data: Any, bins: slice, where: str) -> None:
        """Changes of one channel along a modifier."""
        none = np.zeros_like(self.content), np.zeros_like(self.content)
        both = self.changes.setdefault(name, none)
        for change, side in zip(both, ("hi_data", "lo_data"), strict=True):
            values = _sized(_numbers(data, side, where), bins, where)
            change[bins] = values - self.content[bins]

    def varied(self, modifier: str, side: int) -> FloatArray:
        """Contents where a modifier is up (0) or down (1); without it as they are."""
        if modifier not in self.changes:
            return self.content
        return self.content + self.changes[modifier][side]


def _samples(channels: list[_Channel]) -> list[_Sample]:
    """Samples of all channels, without content where a channel has none of them."""
    names = dict.fromkeys(name for c in channels for name in c.samples)
    return [_Sample(name, channels) for name in names]


def _simulations(
    samples: list[_Sample], varied: list[str]
) -> Iterator[tuple[str, list[FloatArray], list[FloatArray]]]:
    """Name of every simulation, contents and variances of all samples in it."""
    yield _NOMINAL, [s.content for s in samples], [s.variance for s in samples]
    for modifier in varied:
        for number, side in enumerate((_UP, _DOWN)):
            contents = [s.varied(modifier, number) for s in samples]
            variances = [
                _like(s, content) for s, content in zip(samples, contents, strict=True)
            ]
            yield modifier + side, contents, variances


def _like(sample: _Sample, content: FloatArray) -> FloatArray:
    """Variances of other contents that are known as well, relatively."""
    change = np.ones_like(content)
    filled = sample.content > 0
    np.divide(content, sample.content, out=change, where=filled)
    with np.errstate(over="ignore", invalid="ignore"):
        variance = sample.variance * change**2
    if not np.isfinite(variance).all():
        rule = (
            f"sample {sample.name!r} must have varied contents as large as nominal ones"
        )
        raise _refused(rule, f"up to {change.max():.3g} times as large")
    return variance


def _histogram(content: FloatArray, variance: FloatArray, name: str) -> Histogram:
    axis = HistogramAxis(np.arange(content.size + 1.0), "bin")
    return Histogram([axis], np.pad(content, 1), np.pad(variance, 1), name)


def _class_of(
    samples: list[_Sample], classes: Mapping[str, str] | None
) -> dict[str, str]:
    if classes is None:
        return {sample.name: sample.name for sample in samples}
    missing = [sample.name for sample in samples if sample.name not in classes]
    if missing:
        raise InvalidInputError(
            f"classes must name the class of every sample, got none of {missing[0]!r}."
        )
    return {sample.name: classes[sample.name] for sample in samples}


# ------------------------------------------------------------- reading what is there
def _load(source: Any) -> tuple[str, Mapping[str, Any]]:
    """Name for messages and the document."""
    if isinstance(source, Mapping):
        return "the workspace", source
    path = Path(source)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInputError(
            f"{path.name} must be a readable file, got {type(error).__name__}."
        ) from error
    document = parse_strict(data, path.name)
    if not isinstance(document, Mapping):
        raise _refused(f"{path.name} must be a workspace of pyhf", document)
    return path.name, document


def _channels(document: Mapping[str, Any], name: str) -> dict[str, _Channel]:
    """Channels by name."""
    every: dict[str, _Channel] = {}
    for channel in map(_Channel, _entries(document, "channels", name)):
        if channel.name in every:
            raise _refused(
                f"{name} must have channels of different names", channel.name
            )
        every[channel.name] = channel
    return every


def _chosen(every: dict[str, _Channel], channel: Any, name: str) -> list[_Channel]:
    """Channels that are asked for."""
    wanted = [channel] if isinstance(channel, str) else channel
    wanted = list(every) if wanted is None else list(wanted)
    unknown = [c for c in wanted if c not in every]
    if unknown or not wanted:
        raise InvalidInputError(
            f"channel must be among those of {name}, {list(every)}, got "
            f"{unknown[0] if unknown else wanted!r}."
        )
    return [every[c] for c in wanted]


def _observed(
    document: Mapping[str, Any], channels: list[_Channel], name: str
) -> FloatArray:
    """Observed contents of all channels, (n_bins,)."""
    known = {}
    for entry in _entries(document, "observations", name):
        label = _name(entry, f"an observation of {name}")
        known[label] = _numbers(entry, "data", f"observation {label!r}")
    parts = []
    for channel in channels:
        if channel.name not in known:
            raise _refused(
                f"{name} must have an observation of channel {channel.name!r}",
                list(known),
            )
        where = f"observation {channel.name!r}"
        parts.append(_sized(known[channel.name], slice(0, channel.n_bins), where))
    return np.concatenate(parts)


def _entries(parent: Any, key: str, where: str, empty: bool = False) -> list[Any]:
    """Objects in a list of the document."""
    found = parent.get(key) if isinstance(parent, Mapping) else parent
    if not isinstance(found, list) or not (found or empty):
        raise _refused(f"{where} must have a list of objects {key!r}", found)
    if not all(isinstance(entry, Mapping) for entry in found):
        raise _refused(f"{where} must have only objects in {key!r}", found)
    return found


def _name(entry: Any, where: str) -> str:
    name = entry.get("name")
    if not isinstance(name, str) or not name:
        raise _refused(f"{where} must have a name", name)
    return name


def _numbers(parent: Any, key: str, where: str) -> FloatArray:
    """Finite numbers of a list of the document."""
    found = parent.get(key) if isinstance(parent, Mapping) else None
    good = isinstance(found, list) and all(map(_is_number, found))
    if not good or not found:
        raise _refused(f"{where} must have a list of finite numbers {key!r}", found)
    return np.array(found, dtype=float)


def _is_number(value: Any) -> bool:
    real = isinstance(value, Real) and not isinstance(value, bool)
    try:
        return real and math.isfinite(value) and abs(value) < _HUGE
    except OverflowError:  # an integer beyond all doubles
        return False


def _sized(values: FloatArray, bins: slice, where: str) -> FloatArray:
    size = bins.stop - bins.start
    if values.size != size:
        raise _refused(f"{where} must have {size} bins", values.size)
    return values


def _refused(rule: str, value: Any) -> InvalidInputError:
    """One sentence with a rule and what was found instead."""
    return InvalidInputError(f"{rule}, got {repr(value)[:60]}.")
