"""Simulations that do not fit into memory, counted piece by piece."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sktamm._numerics import IntArray
from sktamm._sklearn import as_frame
from sktamm._validation import check_columns, read_features, read_weight
from sktamm.exceptions import InvalidInputError
from sktamm.io._histograms import Histogram, HistogramAxis
from sktamm.templates import BinCounter

__all__ = ["count_simulations"]


def count_simulations(
    pieces: Iterable[Any],
    bins: Sequence[ArrayLike],
    *,
    y: str,
    simulation: str | None = None,
    sample_weight: str | None = None,
) -> dict[str, Any]:
    """Count simulated events in given bins, piece by piece, for ``fit``.

    Parameters
    ----------
    pieces : iterable of data frames of shape (n_events, n_columns)
        Some of the events each, such as `iterate_events` yields. Columns that are
        nothing else are features.
    bins : sequence of array-like of shape (n_bins + 1,)
        Ascending edges of every feature, in the order of the columns.
    y : str
        Column of the class labels.
    simulation : str, default=None
        Column of the simulation ids; None is one simulation per class.
    sample_weight : str, default=None
        Column of the event weights, possibly negative.

    Returns
    -------
    events : dict
        Arguments of ``fit``: ``X``, one `Histogram` with flow bins per class and
        simulation; ``y`` and ``simulation`` of each.

    Raises
    ------
    InvalidInputError
        If a piece lacks a column, holds what is no finite number, or has other features
        than there are edges, or if there is no event.

    Notes
    -----
    Contents are those of all events at once, bit for bit, whatever the pieces; memory
    is that of one piece and the histograms. A fit on them is the fit on the events in
    these bins where less than a per mille lies beyond either end of a feature.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.io import count_simulations
    >>> study = make_gaussian_study(n_simulations=4, n_events=2000, random_state=0)
    >>> events = pd.DataFrame(study.X).assign(label=study.y, sim=study.simulation)
    >>> pieces = (events[i : i + 1000] for i in range(0, len(events), 1000))
    >>> edges = [np.linspace(-5.0, 5.0, 11)] * 2
    >>> counted = count_simulations(pieces, edges, y="label", simulation="sim")
    >>> tamm = BinnedTopicTAMM(random_state=0).fit(**counted)
    >>> tamm.predict(study.X_target).shape
    (1,)
    """
    names, roles = None, [name for name in (y, simulation, sample_weight) if name]
    counter = BinCounter(_checked(bins))
    for number, piece in enumerate(map(as_frame, pieces)):
        try:
            check_columns(piece, roles)
            features = piece.drop(columns=roles)
            names = _same_names(names, list(features.columns), len(bins))
            if len(piece):
                _add(counter, piece, features, (y, simulation, sample_weight))
        except InvalidInputError as error:
            raise InvalidInputError(f"In piece {number}: {error}") from error
    contents = counter.contents()
    if not contents:
        raise InvalidInputError("pieces must hold events, got none.")
    return _arguments(contents, counter.edges, names, simulation is not None)


def _checked(bins: Any) -> list[NDArray[Any]]:
    edges = [np.asarray(e, dtype=float) for e in bins]
    for number, own in enumerate(edges):
        if own.ndim != 1 or own.size < 2 or not (np.diff(own) > 0).all():
            raise InvalidInputError(
                f"bins must hold ascending edges of every feature, got {own} for "
                f"number {number}."
            )
    return edges


def _same_names(known: Any, names: list[Any], n_features: int) -> list[Any]:
    if len(names) != n_features or (known is not None and names != known):
        raise InvalidInputError(
            "pieces must have one column per entry of bins, beside those of other "
            f"roles, the same in all, got {names}, {n_features} entries and "
            f"{known} before."
        )
    return names


def _add(counter: BinCounter, piece: Any, features: Any, roles: Any) -> None:
    """Count one piece, its sources in pairs of label and id."""
    label, simulation, weight = roles
    X = read_features(features, tuple(map(str, features.columns)))
    columns = [label] if simulation is None else [label, simulation]
    code, pairs = _sources(piece[columns])
    own = None if weight is None else read_weight(piece[weight], len(X))
    counter.add(X, pairs, code, own)


def _sources(columns: pd.DataFrame) -> tuple[IntArray, list[Any]]:
    """Number of the source of every event, and label and id of every source."""
    if columns.isna().to_numpy().any():
        raise InvalidInputError("labels and ids must not be missing, got some.")
    grouped = columns.groupby(list(columns.columns), sort=False, observed=True)
    pairs = [key if isinstance(key, tuple) else (key,) for key, _ in grouped]
    return np.asarray(grouped.ngroup(), dtype=np.intp), pairs


def _arguments(
    contents: dict[Any, Any], edges: Any, names: Any, several: bool
) -> dict[str, Any]:
    """Keyword arguments of ``fit``."""
    shown = [name if isinstance(name, str) else "" for name in names]
    axes = [HistogramAxis(e, n) for e, n in zip(edges, shown, strict=True)]
    made = [Histogram(axes, *own) for own in contents.values()]
    events = {"X": made, "y": [key[0] for key in contents]}
    return events | {"simulation": [key[1] for key in contents]} if several else events
