"""Which events a dataset holds, and how often: ids, or counts, as users give them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sktamm._validation import (
    are_counts,
    check_shared,
    encode,
    read_ids,
    refuse_masked,
)
from sktamm.exceptions import InvalidInputError

__all__ = ["check_filled", "read_datasets"]

# A dataset that holds every event this often is no resampling but a number of a run.
# Rule of thumb: resamplings of ten times the events pass, years and runs do not.
_LARGEST_COUNT = 1000
# A dataset may be small, but one event each is a number of the event.
_FEWEST_OBSERVED = 2


def read_datasets(
    dataset: Any, n_events: int
) -> tuple[NDArray[Any] | sparse.csr_array | None, NDArray[Any]]:
    """Counts of the events in every dataset, None for one of all, and their ids."""
    if dataset is None:
        return None, np.zeros(1, dtype=np.intp)
    if sparse.issparse(dataset) or np.ndim(dataset) == 2:
        return _read_counts(dataset, n_events)
    ids, number = encode(dataset, "dataset", n_events)
    check_shared(ids.size, n_events, "dataset", _FEWEST_OBSERVED)
    entries = np.ones(n_events), number, np.arange(n_events + 1)
    return sparse.csr_array(entries, shape=(n_events, ids.size)), ids


def _read_counts(
    dataset: Any, n_events: int
) -> tuple[NDArray[Any] | sparse.csr_array, NDArray[Any]]:
    refuse_masked(dataset, "dataset")
    is_sparse = sparse.issparse(dataset)
    counts: Any = sparse.csr_array(dataset) if is_sparse else _dense_counts(dataset)
    entries = counts.data if is_sparse else counts
    if counts.shape[0] != n_events or counts.shape[1] == 0:
        raise InvalidInputError(
            f"dataset must have one row for each of the {n_events} rows of X and at "
            f"least one column, got shape {counts.shape}."
        )
    if counts.dtype.kind not in "biuf" or not are_counts(entries):
        raise InvalidInputError(
            "dataset must hold whole, non-negative numbers when it is a matrix of "
            f"counts, got dtype {counts.dtype} with other entries; ids of the events "
            "have one dimension."
        )
    if not is_sparse:
        _refuse_ids(counts)
    ids = np.asarray(getattr(dataset, "columns", range(counts.shape[1])))
    return counts, ids


def _refuse_ids(counts: NDArray[Any]) -> None:
    """Refuse ids in two dimensions, such as numbers of runs, taken for counts."""
    smallest = counts.min(axis=0)
    if smallest.max() >= _LARGEST_COUNT:
        raise InvalidInputError(
            "dataset must hold ids in one dimension, as df['run']; in two it counts "
            "how often each dataset holds each event, but a column counts every event "
            f"{smallest.max():g} times or more."
        )


def _dense_counts(dataset: Any) -> NDArray[Any]:
    """Matrix of counts; of a data frame column by column, whatever integers it has."""
    if not hasattr(dataset, "iloc"):
        return np.asarray(dataset)
    names = list(dataset.columns)
    if len(names) == 1:
        raise InvalidInputError(
            "dataset must hold ids in one dimension, or counts of several datasets, "
            f"got a data frame of the single column {names[0]!r}, which may be either; "
            f"for ids give df[{names[0]!r}], for counts df.to_numpy()."
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInputError(
            f"dataset must have different names of columns, but {twice!r} occurs twice."
        )
    columns = [
        read_ids(dataset.iloc[:, j], f"Column {name!r} of dataset")
        for j, name in enumerate(names)
    ]
    return np.column_stack(columns) if columns else np.asarray(dataset)


def check_filled(number: NDArray[Any], dataset_id: NDArray[Any]) -> None:
    """Refuse datasets without events."""
    empty = np.flatnonzero(number == 0)
    if empty.size:
        raise InvalidInputError(
            f"dataset must give every dataset at least one event, but {empty.size} "
            f"have none, the first is dataset {dataset_id[empty[0]]}."
        )
