"""Large data counted piece by piece in the bins of a fitted estimator.

A binned estimator knows of the data what its bins hold: pieces can be counted one after
the other, in the memory of one piece, with the numbers of all events at once.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sktamm._numerics import FloatArray, IntArray, spread_rows
from sktamm._sklearn import as_frame
from sktamm._validation import check_columns
from sktamm.components import EventCounter, EventCounts, TemplateComponents
from sktamm.events import read_target, warn_about_target
from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError
from sktamm.tamm._opened import opened

__all__ = ["count_events"]

# Rows of the first pieces, and of every other one, that are looked at for features that
# are bookkeeping: as many as of events that are all there.
_LOOKED_AT, _OF_A_PIECE = 1 << 16, 100


def count_events(
    estimator: Any,
    pieces: Iterable[Any],
    *,
    dataset: str | None = None,
    sample_weight: str | None = None,
) -> EventCounts:
    """Count data that do not fit into memory, piece by piece.

    Parameters
    ----------
    estimator : estimator
        Fitted estimator whose rows are bins, of features or of a learned score, a
        Pipeline or search ending in one, or an `AutoTAMM` that chose one. Transformers
        of a Pipeline must treat every event by itself.
    pieces : iterable of array-like of shape (n_events, n_features)
        Some of the events each, such as `sktamm.io.iterate_events` yields. A hundred
        thousand to a million events a piece are quick.
    dataset : str, default=None
        Column of the pieces, then data frames, with the id of the dataset of each
        event; None is one dataset.
    sample_weight : str, default=None
        Column with the weights of the events, possibly negative.

    Returns
    -------
    counts : EventCounts
        What ``predict`` and ``infer`` of the estimator take in place of the events.

    Raises
    ------
    InvalidInputError
        If a piece cannot be used, as by ``infer``, or none holds an event.
    IncompatibleChoiceError
        If the estimator asks for every event.

    Warns
    -----
    FeatureWarning
        If a feature looks like bookkeeping in the first events and some of all pieces.

    Notes
    -----
    The answers are those for all events at once, bit for bit, however the events are
    cut into pieces in their order. Peak memory is that of one piece and the counts; of
    discrete events with a learned score also 16 bytes per different event.

    Examples
    --------
    >>> import numpy as np
    >>> from sktamm import BinnedTopicTAMM, count_events
    >>> from sktamm.datasets import make_gaussian_study
    >>> study = make_gaussian_study(n_simulations=4, n_events=2000, random_state=0)
    >>> tamm = BinnedTopicTAMM(random_state=0)
    >>> tamm = tamm.fit(study.X, study.y, simulation=study.simulation)
    >>> counts = count_events(tamm, np.array_split(study.X_target, 10))
    >>> bool(tamm.predict(counts) == tamm.predict(study.X_target))
    True
    """
    final, transform = opened(estimator)
    final = _answering(final)
    counter = EventCounter(_binned_components(final))
    look = _Look()
    for number, piece in enumerate(map(as_frame, pieces)):
        if not len(piece):
            continue
        try:
            X, ids, weight = _read(final, transform, piece, dataset, sample_weight)
            look.at(X, counter.add(X, ids, weight))
        except InvalidInputError as error:
            raise InvalidInputError(f"In piece {number}: {error}") from error
    counts = counter.counts()
    look.warn(getattr(final, "_seen_", None))
    return counts


def _answering(final: Any) -> Any:
    """The estimator with components, inside a wrapper that asks no other one."""
    check_is_fitted(final)
    # A calibrated estimator asks others, with bins of their own, too.
    if not hasattr(final, "components_") and not hasattr(final, "without_"):
        final = getattr(final, "estimator_", final)
    return final


def _binned_components(final: Any) -> TemplateComponents:
    components = getattr(final, "components_", None)
    if not isinstance(components, TemplateComponents):
        raise IncompatibleChoiceError(
            "estimator must only count events in bins, as BinnedTopicTAMM and "
            f"ScoreTAMM do, to count them piece by piece, got {type(final).__name__}."
        )
    return components


def _read(
    final: Any,
    transform: Callable[[Any], Any],
    X: Any,
    dataset: str | None,
    sample_weight: str | None,
) -> tuple[FloatArray, Any, FloatArray | None]:
    """Checked features, ids and weights of a piece."""
    others = [name for name in (dataset, sample_weight) if name is not None]
    check_columns(X, others)
    ids = None if dataset is None else X[dataset]
    weight = None if sample_weight is None else X[sample_weight]
    X = X.drop(columns=others) if others else X
    target = read_target(
        transform(X), sample_weight=weight, may_be_empty=True, **final._fitted()
    )
    return target.X, ids, target.weight


class _Look:
    """Events that are looked at for features that are bookkeeping."""

    def __init__(self) -> None:
        self._rows: list[FloatArray] = []
        self._owner: list[IntArray] = []
        self._size = 0

    def at(self, X: FloatArray, owner: IntArray | None) -> None:
        """Remember some events of a piece, and their datasets, (n_events,)."""
        rows = self._chosen(len(X))
        self._rows.append(X[rows])
        if owner is not None:
            self._owner.append(owner[rows])
        self._size += rows.size

    def _chosen(self, n: int) -> NDArray[np.intp]:
        room = _LOOKED_AT - self._size
        if room > 0 or self._size > 2 * _LOOKED_AT:
            return np.arange(min(n, max(room, 0)))
        return spread_rows(n, _OF_A_PIECE)

    def warn(self, seen: Any) -> None:
        """Warn as of events that are all there."""
        if seen is not None:
            owner = np.concatenate(self._owner) if self._owner else None
            warn_about_target(np.concatenate(self._rows), owner, seen, stacklevel=3)
