"""Pseudo-datasets of known fraction from labelled events.

A dataset of fraction kappa and n events holds Binomial(n, kappa) signal events; the
other classes share the rest in their natural proportions. Protocols choose fractions:

* "fixed": the values given, in turn;
* "uniform" (uniform prevalence, UPP): uniform between two ends;
* "grid" (artificial prevalence, APP): equidistant between two ends, ends included;
* "natural" (NPP): the share of the signal among the labelled events.

Events are drawn without replacement wherever possible: drawn with it from N events,
datasets of n inherit the fluctuation of the N, and estimates scatter by a factor
sqrt(1 + n/N) more than their standard errors say.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sktamm._numerics import FloatArray, IntArray
from sktamm._validation import find_labels, read_weight
from sktamm.exceptions import InvalidInputError

__all__ = ["PROTOCOLS", "LabelledEvents", "check_count", "choose_fractions"]

PROTOCOLS = ("fixed", "grid", "natural", "uniform")

# Standard deviations of the number of events drawn that have to fit: more happen in
# one of a thousand million datasets.
_SAFE = 6.0
_ROUNDING = 1e-6  # of numbers of events


@dataclass(frozen=True, eq=False)
class LabelledEvents:
    """Labelled events from which datasets are drawn."""

    events: tuple[IntArray, ...]  # per class: their indices
    probability: tuple[FloatArray | None, ...]  # per class: chances; None where equal
    share: FloatArray  # (n_classes,), natural ones
    positive: int  # index of the class whose fraction is kappa
    replace: bool  # drawn with replacement
    n_events: int  # of all classes

    @classmethod
    def of(
        cls,
        y: NDArray[Any],
        classes: NDArray[Any],
        pos_label: Any,
        sample_weight: FloatArray | None = None,
        *,
        replace: bool | str = "auto",
        largest: tuple[int, float] | None = None,
    ) -> "LabelledEvents":
        """Sort labelled events by class; ``y, sample_weight`` (n_events,)."""
        weight = _check_weight(sample_weight, len(y))
        label = find_labels(y, classes, "y", len(y))
        events = tuple(np.flatnonzero(label == c) for c in range(len(classes)))
        missing = [
            c for c, index in zip(classes, events, strict=True) if not len(index)
        ]
        if missing:
            raise InvalidInputError(
                f"y must hold events of every class to draw datasets from, found none "
                f"of class {missing[0]}."
            )
        sums = np.array([len(i) if weight is None else weight[i].sum() for i in events])
        if not (sums > 0).all():
            raise InvalidInputError(
                "sample_weight must have a positive sum in every class to draw from."
            )
        positive = int(np.flatnonzero(classes == pos_label)[0])
        labelled = cls(
            events=events,
            probability=tuple(
                None if weight is None else weight[i] / weight[i].sum() for i in events
            ),
            share=sums / sums.sum(),
            positive=positive,
            replace=True,
            n_events=len(y),
        )
        return labelled.drawn(replace, largest)

    def drawn(
        self, replace: bool | str, largest: tuple[int, float] | None
    ) -> "LabelledEvents":
        """The same events, drawn with or without replacement."""
        if not isinstance(replace, bool | np.bool_) and replace != "auto":
            raise InvalidInputError(
                f"replace must be True, False or 'auto', got {replace!r}."
            )
        weighted = any(p is not None for p in self.probability)
        if replace == "auto":
            replace = weighted or largest is None or not self._enough(*largest)
        elif not replace and weighted:
            raise InvalidInputError(
                "replace must be True or 'auto' with sample_weight: weighted events "
                "are drawn in proportion to their weights, with replacement."
            )
        elif not replace and largest is not None and not self._enough(*largest, 1.0):
            numbers = [len(index) for index in self.events]
            raise InvalidInputError(
                f"replace must be True or 'auto' for datasets of {largest[0]} events "
                f"with fractions up to {largest[1]:g}: with their fluctuations they "
                f"need more than the {numbers} events of the classes."
            )
        return dataclasses.replace(self, replace=bool(replace))

    def _enough(self, size: int, kappa: float, factor: float = 2.0) -> bool:
        """Whether classes have this many times the events of the largest dataset."""
        signal, rest = self.class_fractions(kappa), self.class_fractions(0.0)
        need = size * np.maximum(signal, rest)
        return all(
            max(factor * n, n + _SAFE * np.sqrt(n)) <= len(index) + _ROUNDING
            for n, index in zip(need, self.events, strict=True)
        )

    def default_size(self, kappa: float, replace: bool | str = "auto") -> int:
        """Size of datasets that the events are enough for."""
        repeated = replace is True or any(p is not None for p in self.probability)
        number = np.array(
            [
                len(index) if p is None else 1.0 / (p @ p)
                for index, p in zip(self.events, self.probability, strict=True)
            ]
        )
        need = np.maximum(self.class_fractions(kappa), self.class_fractions(0.0))
        # n + 6 sqrt(n) = N
        room = (np.sqrt(0.25 * _SAFE**2 + number) - 0.5 * _SAFE) ** 2
        usable = 0.1 * number if repeated else np.minimum(0.5 * number, room)
        with np.errstate(divide="ignore"):
            size = (usable / need).min()
        return max(int(size), 1)

    @property
    def natural(self) -> float:
        """Share of the signal among the events."""
        return float(self.share[self.positive])

    def class_fractions(self, kappa: float) -> FloatArray:
        """Fractions of all classes when that of the signal is kappa."""
        others = self.share.copy()
        others[self.positive] = 0.0
        fractions = (1.0 - kappa) * others / others.sum()
        fractions[self.positive] = kappa
        return fractions

    def draw(self, kappa: float, size: int, rng: np.random.Generator) -> FloatArray:
        """How often every event is in one dataset, (n_events,)."""
        counts = np.zeros(self.n_events)
        np.add.at(counts, self._drawn(kappa, size, rng), 1.0)
        return counts

    def _drawn(self, kappa: float, size: int, rng: np.random.Generator) -> IntArray:
        """Events of one dataset, (size,), some of them several times."""
        parts = []
        numbers = rng.multinomial(size, self.class_fractions(kappa))
        for index, chance, n in zip(
            self.events, self.probability, numbers, strict=True
        ):
            if not self.replace and n > len(index):
                raise InvalidInputError(
                    f"A dataset of {size} events needs {n} events of a class that has "
                    f"{len(index)}; lower the size or draw with replacement."
                )
            drawn = rng.choice(len(index), n, replace=self.replace, p=chance)
            parts.append(index[drawn])
        return np.concatenate(parts)

    def draw_many(
        self,
        kappas: Sequence[float] | FloatArray,
        sizes: Sequence[int] | IntArray,
        rngs: Sequence[np.random.Generator],
    ) -> sparse.csc_matrix:
        """Counts of many datasets, (n_events, n_datasets), as ``infer`` takes them."""
        # Of the events drawn alone: a dataset is small beside what it is drawn from.
        drawn = [self._drawn(*one) for one in zip(kappas, sizes, rngs, strict=True)]
        held = [np.unique(events, return_counts=True) for events in drawn]
        start = np.cumsum([0, *(own.size for own, _ in held)])
        rows = np.concatenate([own for own, _ in held])
        counts = np.concatenate([number for _, number in held]).astype(float)
        shape = (self.n_events, len(held))
        return sparse.csc_matrix((counts, rows, start), shape=shape)


def _check_weight(weight: FloatArray | None, n_events: int) -> FloatArray | None:
    weight = read_weight(weight, n_events)
    if weight is None:
        return None
    if (weight < 0).any():
        raise InvalidInputError(
            "sample_weight must not be negative where pseudo-datasets are drawn: an "
            f"event cannot be drawn a negative number of times; {(weight < 0).sum()} "
            f"of {n_events} weights are."
        )
    return None if (weight == weight[0]).all() and weight[0] > 0 else weight


def choose_fractions(
    protocol: str,
    kappa: float | Sequence[float] | None,
    n_datasets: int,
    natural: float,
    rng: np.random.Generator,
) -> FloatArray:
    """True fractions of the datasets by a protocol, (n_datasets,)."""
    check_count("n_datasets", n_datasets)
    if protocol not in PROTOCOLS:
        raise InvalidInputError(
            f"protocol must be one of {', '.join(PROTOCOLS)}, got {protocol!r}."
        )
    if protocol == "natural":
        if kappa is not None:
            raise InvalidInputError(
                f"kappa must be None for the natural protocol, got {kappa!r}."
            )
        return np.full(n_datasets, natural)
    values = _check_kappa(kappa, natural if protocol == "fixed" else (0.0, 1.0))
    if protocol == "fixed":
        return np.resize(values, n_datasets)
    low, high = values if values.size == 2 else (0.0, 0.0)
    if low >= high:
        raise InvalidInputError(
            f"kappa must be two ascending ends for the {protocol} protocol, got "
            f"{kappa!r}."
        )
    if protocol == "grid":
        return np.linspace(low, high, n_datasets)
    return rng.uniform(low, high, n_datasets)


def check_count(name: str, value: Any) -> int:
    """Refuse what is no number of things."""
    if not isinstance(value, Integral) or value < 1:
        raise InvalidInputError(
            f"{name} must be an integer of at least 1, got {value!r}."
        )
    return int(value)


def _check_kappa(
    kappa: float | Sequence[float] | None, default: float | tuple[float, float]
) -> FloatArray:
    given: Any = default if kappa is None else kappa
    try:
        values = np.atleast_1d(np.asarray(given, dtype=float))
    except (TypeError, ValueError):
        values = np.zeros(0)
    inside = ((values >= 0) & (values <= 1)).all()
    if values.ndim != 1 or not values.size or not inside:
        raise InvalidInputError(
            f"kappa must hold fractions from 0 to 1, got {kappa!r}."
        )
    return values
