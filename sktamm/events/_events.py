"""The only input door: labels, simulation and dataset ids, weights, refusals.

Everything behind this module may trust its records: features are finite float64, every
source (class, simulation) and every dataset has events and a positive sum of weights.
Sources are ordered by class, then by simulation id. Absent weights stay None: ten
million unweighted events cost no extra memory.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from sktamm._numerics import FloatArray, IntArray
from sktamm._sklearn import check_feature_names, get_feature_names
from sktamm._validation import (
    BLOCK_SIZE,
    check_shared,
    check_sums,
    encode,
    event_blocks,
    read_features,
    read_weight,
    scalars,
)
from sktamm.events._counts import check_filled, read_datasets
from sktamm.exceptions import InvalidInputError

__all__ = [
    "Pairing",
    "SimulatedEvents",
    "Sources",
    "TargetEvents",
    "accumulate",
    "dataset_sums",
    "read_simulations",
    "read_sources",
    "read_target",
]

# One class more is another set of templates: 100 classes are a number, not a label.
_MOST_CLASSES = 100
# One dataset takes 4 s with 2 000 simulations, the default settings of TAMMRegressor
# and one feature, and over 90 s with 6 000: it grows as their third power.
_MOST_SIMULATIONS = 5_000
# Fewer events than this are no simulation.
_FEWEST_SIMULATED = 10
Pairing = bool | Literal["auto"]


@dataclass(frozen=True, eq=False)
class Sources:
    """Which (class, simulation) every event or histogram comes from."""

    source: IntArray  # (n_events,), index of the source
    source_class: IntArray  # (n_sources,), index into ``classes``; ascending
    source_id: NDArray[Any]  # (n_sources,), of the simulation; ascending within a class
    classes: NDArray[Any]  # (n_classes,), sorted labels
    positive: int  # index of ``pos_label`` in ``classes``
    paired: bool  # equal ids in different classes mean the same simulation

    @property
    def n_sources(self) -> int:
        """Number of (class, simulation) pairs that have events."""
        return self.source_class.size

    def name_of(self, source: int) -> str:
        """Name of a source for messages."""
        label = self.classes[self.source_class[source]]
        return f"simulation {self.source_id[source]} of class {label}"


@dataclass(frozen=True, eq=False)
class SimulatedEvents(Sources):
    """Labelled events of all simulations."""

    X: FloatArray  # (n_events, n_features), finite; not copied when given as float64
    weight: FloatArray | None  # (n_events,), possibly negative; None when all are one
    feature_names: tuple[str, ...] | None  # of columns, when X was a data frame


@dataclass(frozen=True, eq=False)
class TargetEvents:
    """Unlabelled events of one or several datasets."""

    X: FloatArray  # (n_events, n_features), finite; not copied when given as float64
    weight: FloatArray | None  # (n_events,), possibly negative; None when all are one
    # (n_events, n_datasets), how often each dataset holds each; None for one of all.
    counts: NDArray[Any] | sparse.csr_array | None
    dataset_id: NDArray[Any]  # (n_datasets,)

    @property
    def n_datasets(self) -> int:
        """Number of datasets."""
        return self.dataset_id.size


def read_simulations(
    X: ArrayLike | pd.DataFrame,
    y: ArrayLike,
    *,
    simulation: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    pos_label: Any = None,
    paired: Pairing = "auto",
) -> SimulatedEvents:
    """Read labelled events of several simulations, None being one of id 0 per class.

    "auto" pairs when there are several ids and each occurs in every class.

    ``X`` (n_events, n_features), ``y, simulation, sample_weight`` (n_events,).
    """
    names = get_feature_names(X)
    X = read_features(X, names)
    sources = read_sources(
        y, simulation=simulation, pos_label=pos_label, paired=paired, n_events=len(X)
    )
    _check_number(sources, len(X))
    weight = read_weight(sample_weight, len(X))
    if weight is not None:
        total = np.bincount(sources.source, weight, minlength=sources.n_sources)
        check_sums(total.astype(np.float64), sources.name_of)
    return SimulatedEvents(**vars(sources), X=X, weight=weight, feature_names=names)


def read_sources(
    y: ArrayLike,
    *,
    simulation: ArrayLike | None = None,
    pos_label: Any = None,
    paired: Pairing = "auto",
    n_events: int | None = None,
) -> Sources:
    """Read class labels and simulation ids; ``y, simulation`` (n_events,)."""
    if y is None:
        raise InvalidInputError(
            "y must hold one class label per event: fit requires y to be passed, but "
            "the target y is None."
        )
    classes, label = encode(y, "y", n_events, labels=True)
    if classes.size < 2:
        raise InvalidInputError(
            f"y must hold at least two classes, but it holds 1 class: {classes[0]}."
        )
    if classes.size > _MOST_CLASSES:
        raise InvalidInputError(
            f"y must hold at most {_MOST_CLASSES} classes, but it holds "
            f"{classes.size}; is it a number instead of a label?"
        )
    if simulation is None:
        ids, number = np.zeros(1, dtype=np.intp), None
    else:
        ids, number = encode(simulation, "simulation", label.size)
    source, source_class, source_number = _enumerate(
        label, classes.size, number, ids.size
    )
    complete = source_class.size == classes.size * ids.size
    return Sources(
        source=source,
        source_class=source_class,
        source_id=ids[source_number],
        classes=classes,
        positive=_find_positive(classes, pos_label),
        paired=_read_pairing(paired, complete, ids, source_number, classes.size),
    )


def read_target(
    X: ArrayLike | pd.DataFrame,
    *,
    dataset: Any = None,
    sample_weight: ArrayLike | None = None,
    n_features: int,
    feature_names: tuple[str, ...] | None = None,
    estimator_name: str = "estimator",
    may_be_empty: bool = False,
) -> TargetEvents:
    """Read unlabelled events of one or several datasets, whose features are as at fit.

    Datasets without events, or a sum of weights, are refused unless ``may_be_empty``.

    ``X`` (n_events, n_features), ``dataset`` ids (n_events,) or counts (n_events,
    n_datasets), ``sample_weight`` (n_events,).
    """
    check_feature_names(X, feature_names, estimator_name)
    X = read_features(X, get_feature_names(X))
    if X.shape[1] != n_features:
        raise InvalidInputError(
            f"X has {X.shape[1]} features, but {estimator_name} is expecting "
            f"{n_features} features as input."
        )
    counts, dataset_id = read_datasets(dataset, len(X))
    weight = read_weight(sample_weight, len(X))
    target = TargetEvents(X, weight, counts, dataset_id)
    if counts is not None and not may_be_empty:
        check_filled(np.asarray(counts.sum(axis=0)).ravel(), dataset_id)
    if weight is not None and not may_be_empty:
        check_sums(dataset_sums(target)[0], lambda i: f"dataset {dataset_id[i]}")
    return target


def accumulate(
    row_index: IntArray | None, n_rows: int, target: TargetEvents
) -> tuple[FloatArray, FloatArray]:
    """Sum weights and squared weights of the events of each dataset in each row.

    An event held n times adds n w and n w^2; one of row -1 adds nothing.

    ``row_index`` (n_events,) -> two of (n_datasets, n_rows).
    """
    weight = np.ones(len(target.X)) if target.weight is None else target.weight
    counts = target.counts
    if row_index is not None and (row_index < 0).any():
        kept = row_index >= 0
        row_index, weight = row_index[kept], weight[kept]
        counts = None if counts is None else counts[kept]
    row_weight = _sum_rows(row_index, n_rows, weight, counts)
    if target.weight is None:
        return row_weight, row_weight.copy()
    return row_weight, _sum_rows(row_index, n_rows, weight**2, counts)


def dataset_sums(target: TargetEvents) -> tuple[FloatArray, FloatArray]:
    """Sums of weights and of squared weights of each dataset, (n_datasets,)."""
    row_weight, row_variance = accumulate(np.zeros(len(target.X), np.intp), 1, target)
    return row_weight[:, 0], row_variance[:, 0]


def _sum_rows(
    row_index: IntArray | None,
    n_rows: int,
    weight: FloatArray,
    counts: NDArray[Any] | sparse.csr_array | None,
) -> FloatArray:
    if row_index is None:
        return _spread(weight, counts)
    if counts is None:
        total = np.bincount(row_index, weight, minlength=n_rows).astype(np.float64)
        return total[np.newaxis]
    owner = _owner(counts)
    if owner is not None:
        # Weight by weight, as pieces are counted: the same numbers bit for bit.
        cell = owner * n_rows + row_index
        size = counts.shape[1] * n_rows
        total = np.bincount(cell, weight, minlength=size).astype(np.float64)
        return total.reshape(counts.shape[1], n_rows)
    total = np.zeros((n_rows, counts.shape[1]))
    # In blocks, because the product converts narrow integer counts to float64; none
    # smaller than what each of them adds, or many datasets would cost their square.
    for block in event_blocks(row_index.size, max(BLOCK_SIZE, total.size)):
        part = row_index[block]
        start = np.arange(part.size + 1)
        spread = sparse.csr_array(
            (weight[block], part, start), shape=(part.size, n_rows)
        )
        product = spread.T @ counts[block]
        total += product.toarray() if sparse.issparse(product) else product
    return np.ascontiguousarray(total.T)


def _owner(counts: Any) -> IntArray | None:
    """The one dataset that holds each event, and once; None where that is not so."""
    if isinstance(counts, np.ndarray) or counts.data.size != counts.shape[0]:
        return None
    one_each = np.array_equal(counts.indptr, np.arange(counts.indptr.size))
    known = one_each and bool((counts.data == 1).all())
    return counts.indices.astype(np.intp) if known else None


def _spread(
    weight: FloatArray, counts: NDArray[Any] | sparse.csr_array | None
) -> FloatArray:
    if counts is None:
        return weight[np.newaxis].copy()
    dense = counts.toarray() if sparse.issparse(counts) else counts
    return np.multiply(dense.T, weight, order="C")


def _enumerate(
    label: IntArray, n_classes: int, number: IntArray | None, n_ids: int
) -> tuple[IntArray, IntArray, IntArray]:
    """Return the source of each event, and the class and id number of each source."""
    if number is None:
        return label, np.arange(n_classes), np.zeros(n_classes, dtype=np.intp)
    pair = label * n_ids
    pair += number
    present = np.bincount(pair, minlength=n_classes * n_ids) > 0
    occurring = np.flatnonzero(present)
    if occurring.size < present.size:
        pair = (np.cumsum(present) - 1)[pair]
    return pair, occurring // n_ids, occurring % n_ids


def _check_number(sources: Sources, n_events: int) -> None:
    """Refuse simulations that are too many, or too small, to be templates."""
    n_ids = len(set(scalars(sources.source_id)))
    check_shared(n_ids, n_events, "simulation", _FEWEST_SIMULATED)
    if sources.n_sources > _MOST_SIMULATIONS:
        raise InvalidInputError(
            f"simulation must hold at most {_MOST_SIMULATIONS} simulations of all "
            f"classes, but it holds {sources.n_sources}; merge those of one generator."
        )


def _read_pairing(
    paired: Pairing,
    complete: bool,
    ids: NDArray[Any],
    source_number: IntArray,
    n_classes: int,
) -> bool:
    if isinstance(paired, str) and paired == "auto":
        return complete and ids.size > 1
    if not isinstance(paired, bool | np.bool_):
        raise InvalidInputError(
            f'paired must be True, False or "auto", got {paired!r}.'
        )
    if paired and not complete:
        n_missing = n_classes - np.bincount(source_number, minlength=ids.size)
        missing = ids[n_missing > 0]
        raise InvalidInputError(
            "paired=True needs events of every simulation in every class, but "
            f"{missing.size} simulations lack a class, the first is {missing[0]}."
        )
    return bool(paired)


def _find_positive(classes: NDArray[Any], pos_label: Any) -> int:
    if pos_label is None:
        return classes.size - 1
    found = [i for i, label in enumerate(scalars(classes)) if _same(label, pos_label)]
    if not found:
        raise InvalidInputError(
            f"pos_label must be one of the classes {classes.tolist()}, "
            f"got {pos_label!r}."
        )
    return found[0]


def _same(label: Any, given: Any) -> bool:
    """Whether two labels are equal; nothing that is no label equals one."""
    same = label == given
    return bool(same) if isinstance(same, bool | np.bool_) else False
