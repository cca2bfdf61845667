"""Parts of the events for cross-fitted scores: whole simulations, not single events.

The truth is one more simulation that no classifier has seen, so a simulated event is
scored by one that knows nothing of its simulation: other events of the same images,
donors or settings are recognised. Only a class of one simulation is divided into
events.

The part of a measured event follows from its features alone. Simulated events are
recognised when they come again, as pseudo-data for instance.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sktamm._numerics import FloatArray, IntArray
from sktamm.events import SimulatedEvents
from sktamm.exceptions import InvalidInputError

__all__ = [
    "Copies",
    "Parts",
    "by_values",
    "find_parts",
    "is_discrete",
    "sample_rows",
    "spread_over",
]

# Copies of a row, on average, from which on features are discrete. Rule of thumb: twice
# those of a bootstrap sample, which has 1.6 of every row that it holds.
_COPIES = 3.0
# Odd constants that mix 64 bits (SplitMix64: Steele, Lea and Flood 2014).
_MIX = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)

Bits = NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Parts:
    """Which part any event belongs to."""

    number: int  # of parts
    discrete: bool  # most events have copies
    known: Bits  # (n_known,), sorted, of the simulated events
    known_part: IntArray  # (n_known,)

    def of(self, X: FloatArray, own: IntArray | None = None) -> IntArray:
        """Part of every event, shape (n_events,); ``own`` are those of `by_values`."""
        bits = _mixed_bits(X)
        if own is None:
            own = _spread(bits, self.number, self.discrete)
        part = own.copy()
        if self.known.size:
            place = np.minimum(np.searchsorted(self.known, bits), self.known.size - 1)
            again = self.known[place] == bits
            part[again] = self.known_part[place[again]]
        return part


def find_parts(events: SimulatedEvents, most: int) -> tuple[Parts, IntArray]:
    """Divide simulated events into parts; also that of every event, (n_events,)."""
    bits = _mixed_bits(events.X)
    discrete = _has_copies(bits)
    number, of_source = _source_parts(events, bits, most)
    part = of_source[events.source]
    single = part < 0
    part[single] = _spread(bits[single], number, discrete)
    _check(part, events, number)
    # Copies belong to nobody, and single events fall where their values say anyway.
    known = np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.intp)
    if not discrete and not single.all():
        known = _unambiguous(bits, part)
    return Parts(number, discrete, *known), part


def is_discrete(X: FloatArray) -> bool:
    """Whether most events have copies."""
    return _has_copies(_mixed_bits(X))


def _has_copies(bits: Bits) -> bool:
    return len(bits) >= _COPIES * np.unique(bits).size


def spread_over(
    X: FloatArray, number: int, discrete: bool, copies: "Copies | None" = None
) -> IntArray:
    """One of so many numbers for every event, from its values alone."""
    return _spread(_mixed_bits(X), number, discrete, copies)


def by_values(X: FloatArray, like: Parts, copies: "Copies | None" = None) -> IntArray:
    """Parts of events by their values alone, whatever simulation they are of."""
    return spread_over(X, like.number, like.discrete, copies)


class Copies:
    """How often discrete rows came in earlier pieces: 16 bytes per different row."""

    def __init__(self) -> None:
        self._row = np.zeros(0, dtype=np.uint64)  # sorted
        self._number = np.zeros(0, dtype=np.uint64)  # how often each came

    def before(self, bits: Bits) -> Bits:
        """Copies of every event before it, (n_events,), which then is known too."""
        row, inverse, size = np.unique(bits, return_inverse=True, return_counts=True)
        every, code = np.unique(np.append(self._row, row), return_inverse=True)
        number = np.zeros(every.size, dtype=np.uint64)
        number[code[: self._row.size]] = self._number
        place = code[self._row.size :]
        earlier = number[place]
        number[place] += size.astype(np.uint64)
        self._row, self._number = every, number
        return np.asarray(earlier[inverse] + _occurrence(bits))


def sample_rows(events: SimulatedEvents, most: int) -> IntArray:
    """Rows of at most so many events of every source, whatever their order."""
    order = np.lexsort((_mixed_bits(events.X), events.source))
    start = np.searchsorted(events.source[order], np.arange(events.n_sources))
    rank = np.arange(order.size) - start[events.source[order]]
    return np.asarray(order[rank < most])


def _source_parts(
    events: SimulatedEvents, bits: Bits, most: int
) -> tuple[int, IntArray]:
    """Number of parts, and that of every source; -1 for the only one of its class."""
    sizes = np.bincount(events.source_class)
    several = sizes[events.source_class] > 1
    number = int(min(most, sizes.max())) if several.any() else most
    # An order that neither names nor the order of events change.
    content = np.zeros(events.n_sources, dtype=np.uint64)
    np.add.at(content, events.source, bits)
    part = np.full(events.n_sources, -1)
    of_id: dict[object, int] = {}
    for c in np.flatnonzero(sizes > 1):
        own = np.flatnonzero(events.source_class == c)
        own = own[np.argsort(content[own], kind="stable")]
        ids = events.source_id[own].tolist()
        used = np.bincount([of_id[i] for i in ids if i in of_id], minlength=number)
        for source, i in zip(own, ids, strict=True):
            if i not in of_id:
                of_id[i] = int(used.argmin())
                used[of_id[i]] += 1
            part[source] = of_id[i]
        if np.unique(part[own]).size == 1:  # the classifier of that part needs one
            part[own[-1]] = (part[own[-1]] + 1) % number
    return number, part


def _unambiguous(bits: Bits, part: IntArray) -> tuple[Bits, IntArray]:
    """Sorted bits of rows whose copies are all in one part, and that part."""
    order = np.argsort(bits, kind="stable")
    bits, part = bits[order], part[order]
    first = np.flatnonzero(np.append(True, bits[1:] != bits[:-1]))
    low = np.minimum.reduceat(part, first)
    alone = low == np.maximum.reduceat(part, first)
    return bits[first][alone], low[alone]


def _check(part: IntArray, events: SimulatedEvents, number: int) -> None:
    """Refuse parts that leave nothing of a class to train on."""
    label = events.source_class[events.source]
    for f in range(number):
        known = np.bincount(label[part != f], minlength=events.classes.size)
        if (known == 0).any():
            lost = events.classes[int(known.argmin())]
            raise InvalidInputError(
                "cv must leave events of every class to train on, but all events of "
                f"class {lost} are in one of {number} parts; give more events."
            )


def _spread(
    bits: Bits, number: int, discrete: bool, copies: Copies | None = None
) -> IntArray:
    """Part of every event from its bits; copies of discrete rows take turns."""
    part = bits % np.uint64(number)
    if discrete:
        before = _occurrence(bits) if copies is None else copies.before(bits)
        part = (part + before) % np.uint64(number)
    return part.astype(np.intp)


def _mixed_bits(X: FloatArray) -> Bits:
    """A number of 64 bits from the features of every event, in any order."""
    bits = np.ascontiguousarray(X + 0.0).view(np.uint64)  # + 0.0: no negative zeros
    step, second, third = (np.uint64(m) for m in _MIX)
    mixed = np.zeros(len(X), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for column in bits.T:
            mixed += _scrambled(column + step, second, third)
        return _scrambled(mixed, second, third)


def _scrambled(bits: Bits, second: np.uint64, third: np.uint64) -> Bits:
    """The finishing steps of SplitMix64."""
    bits = (bits ^ (bits >> np.uint64(30))) * second
    bits = (bits ^ (bits >> np.uint64(27))) * third
    return np.asarray(bits ^ (bits >> np.uint64(31)))


def _occurrence(row: Bits) -> Bits:
    """How many times every value came before."""
    order = np.argsort(row, kind="stable")
    ordered = row[order]
    first = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    start = np.repeat(first, np.diff(np.append(first, row.size)))
    out = np.empty(row.size, dtype=np.uint64)
    out[order] = np.arange(row.size) - start
    return out
