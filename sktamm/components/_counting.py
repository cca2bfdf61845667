"""Events counted in the rows of binned components, piece by piece.

What components need of a target are its sums per row, what lies beyond the edges and
what no simulation fills: numbers that grow with pieces and do not depend on them.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sktamm._numerics import FloatArray, IntArray
from sktamm._validation import check_shared, check_sums, encode, scalars
from sktamm.exceptions import InvalidInputError
from sktamm.templates import Copies, HistogramTemplates, Tally

__all__ = ["EventCounter", "EventCounts", "fingerprint"]

# A dataset may be small, but one event each is a number of the event.
_FEWEST_OBSERVED = 2
# Events whose rows and weights stay in the cache; as in `Tally`.
_BLOCK = 1 << 17


@dataclass(frozen=True, eq=False)
class EventCounts:
    """Events of one or several datasets, counted in the bins of one fitted estimator.

    It stands for the events: ``predict`` and ``infer`` of that estimator take it.
    Counts of parts of the data, by several processes for instance, add up with ``+``.

    Attributes
    ----------
    weight, variance : ndarray of shape (n_datasets, n_rows)
        Sums of weights and of squared weights in the bins that simulations fill.
    unfilled : ndarray of shape (n_datasets,)
        Sum of weights in other bins, which count in the nearest ones.
    number, number_beyond : ndarray of shape (n_datasets,)
        Numbers of events, and of those beyond the edges.
    dataset_id : ndarray of shape (n_datasets,)
        Sorted ids; 0 where there is one dataset.
    fingerprint : str
        Hash of the bins and templates of the estimator.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM, count_events
    >>> from sktamm.datasets import make_gaussian_study
    >>> study = make_gaussian_study(n_simulations=4, n_events=2000, random_state=0)
    >>> tamm = BinnedTopicTAMM(random_state=0)
    >>> tamm = tamm.fit(study.X, study.y, simulation=study.simulation)
    >>> halves = [count_events(tamm, [X]) for X in np.array_split(study.X_target, 2)]
    >>> both = halves[0] + halves[1]
    >>> bool(both.number[0] == len(study.X_target))
    True
    """

    weight: FloatArray
    variance: FloatArray
    unfilled: FloatArray
    number: FloatArray
    number_beyond: FloatArray
    dataset_id: NDArray[Any]
    fingerprint: str

    def __add__(self, other: "EventCounts") -> "EventCounts":
        """Counts of both; datasets of one id are one."""
        if not isinstance(other, EventCounts):
            return NotImplemented
        if other.fingerprint != self.fingerprint:
            raise InvalidInputError(
                "counts must be of one fitted estimator to be added, got fingerprints "
                f"{self.fingerprint} and {other.fingerprint}."
            )
        names = [*scalars(self.dataset_id), *scalars(other.dataset_id)]
        both = {
            name: np.concatenate([getattr(self, name), getattr(other, name)])
            for name in _SUMS
        }
        return replace(self, **_joined(names, both))


_SUMS = [f.name for f in fields(EventCounts)][:5]


class EventCounter:
    """Counts that grow piece by piece, for fitted binned components."""

    def __init__(self, components: Any) -> None:
        self._components = components
        self._rows = Tally(components.rows_.n_rows)
        self._unfilled, self._all = Tally(1), Tally(1)
        self._beyond = Tally(1)
        # What to remember of discrete events, whose copies take turns.
        self._copies = Copies()
        self._weighted = False

    def add(
        self, X: FloatArray, dataset: Any = None, weight: FloatArray | None = None
    ) -> IntArray | None:
        """Count events, and tell the dataset of each; None where there is one.

        ``X`` (n_events, n_features), ``dataset`` ids (n_events,), ``weight``
        (n_events,) -> (n_events,).
        """
        self._weighted |= weight is not None
        number = self._number(dataset, len(X))
        for start in range(0, len(X), _BLOCK):
            part = slice(start, start + _BLOCK)
            self._add_block(X[part], _of(number, part), _of(weight, part))
        return number

    def _number(self, dataset: Any, n_events: int) -> IntArray | None:
        """Row of the dataset of every event in all tallies."""
        names, code = [0], None
        if dataset is not None:
            ids, code = encode(dataset, "dataset", n_events)
            names = scalars(ids)
        tallies = (self._rows, self._unfilled, self._all, self._beyond)
        rows = [tally.row_of(names) for tally in tallies]  # the same in all
        return None if code is None else rows[0][code]

    def _add_block(
        self, X: FloatArray, number: IntArray | None, weight: FloatArray | None
    ) -> None:
        row, lost, beyond = self._components.locate(X, self._copies)
        self._rows.add(row, number, weight)
        self._all.count(len(X), number)
        if beyond.any():
            self._beyond.count(int(beyond.sum()), _of(number, beyond))
        if lost.any():
            cell = np.zeros(int(lost.sum()), dtype=np.intp)
            self._unfilled.add(cell, _of(number, lost), _of(weight, lost))

    def counts(self, named: Callable[[list[Any]], list[Any]] = list) -> EventCounts:
        """What has been counted so far; ``named`` turns ids into those of the result.

        Datasets are sorted by id, and those of one id are one.
        """
        if not self._all.groups:
            raise InvalidInputError("pieces must hold events, got none.")
        sums = {
            "weight": self._rows.weight,
            "variance": self._rows.variance,
            "unfilled": self._unfilled.weight[:, 0],
            "number": self._all.weight[:, 0],
            "number_beyond": self._beyond.weight[:, 0],
        }
        mark = fingerprint(self._components.templates_)
        fields = _joined(named(self._all.groups), sums)
        counts = EventCounts(**fields, fingerprint=mark)
        ids, number = counts.dataset_id, int(counts.number.sum())
        check_shared(ids.size, number, "dataset", _FEWEST_OBSERVED)
        if self._weighted:
            total = counts.weight.sum(axis=1)
            check_sums(total, lambda i: f"dataset {ids[i]}")
        return counts


def _joined(names: list[Any], sums: dict[str, FloatArray]) -> dict[str, Any]:
    """Sums by sorted id, of which several rows may be."""
    ids, code = encode(names, "dataset", None)
    out: dict[str, Any] = {"dataset_id": ids}
    for name, values in sums.items():
        out[name] = np.zeros((ids.size, *values.shape[1:]))
        np.add.at(out[name], code, values)
    return out


def _of(values: Any, part: Any) -> Any:
    return None if values is None else values[part]


def fingerprint(templates: HistogramTemplates) -> str:
    """Short hash of bins and contents, by which counts know their estimator."""
    digest = hashlib.sha256(templates.binning.flow.encode())
    for array in (*templates.binning.edges, templates.number):
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(np.ascontiguousarray(templates.sum_of_weights).tobytes())
    return digest.hexdigest()[:16]
