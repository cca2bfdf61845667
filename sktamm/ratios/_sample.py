"""Training and held-out events of density ratios, in an order that knows no names.

Events are sorted by content and sources by class and content, so that neither the order
of the events nor the names of the simulations change a fitted ratio.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from sktamm._numerics import FloatArray
from sktamm.events import SimulatedEvents
from sktamm.exceptions import InvalidInputError
from sktamm.ratios._log_linear import LogLinear, fit_log_linear
from sktamm.ratios._moments import SmoothFunctions

__all__ = [
    "HeldOut",
    "RatioSample",
    "Trained",
    "canonical",
    "cross_fit",
    "hold_out",
    "log_ratios",
    "relative_to_mixture",
]

_FEWEST = 1  # event on either side of the split
_GOLDEN = 0.6180339887498949  # its multiples modulo one never repeat
_CACHED = 250_000  # numbers of a block that stay in a core's cache
# Rule of thumb: with fewer events of a source its log-linear model is noise.
_EVENTS_PER_FUNCTION = 20


@dataclass(frozen=True, eq=False)
class Trained:
    """What was trained on one part of the events."""

    model: Any  # Trained ensemble
    shares: FloatArray  # (n_sources,), shares of the sources in the training sample
    log_linear: LogLinear | None = None  # Log-linear model of the same events


@dataclass(frozen=True, eq=False)
class RatioSample:
    """Simulated events in canonical order."""

    X: FloatArray  # (n_events, n_features), features
    source: NDArray[np.intp]  # (n_events,), source of every event; ascending
    weight: FloatArray | None  # (n_events,), event weights; None when all are equal
    source_class: NDArray[np.intp]  # (n_sources,), class of every source; ascending
    source_id: NDArray[Any]  # (n_sources,), simulation id of every source
    name: Any  # Name of a source for messages

    @property
    def n_sources(self) -> int:
        """Number of sources."""
        return self.source_class.size


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Events that the classifier has not seen, and what its members say of them."""

    X: FloatArray  # (n_rows, n_features), features
    source: NDArray[np.intp]  # (n_rows,), source of every row
    # (n_rows,), event weights of a pool; probabilities under the equal mixture
    # otherwise
    weight: FloatArray
    # (n_rows, n_sources, n_members), log ratios of the members to the equal mixture
    members: NDArray[np.float32]
    # (n_rows, n_sources), log ratios of the log-linear model, up to a constant of each
    # row
    log_linear: NDArray[np.float32] | None = None

    def balanced(self, n_sources: int) -> FloatArray:
        """Probabilities of the rows under the equal mixture of the sources."""
        total = np.bincount(self.source, self.weight, minlength=n_sources)
        weight = self.weight / total[self.source]
        return np.asarray(weight / n_sources)

    def take_sources(self, sources: NDArray[np.intp]) -> "HeldOut":
        """Events and ratios of some sources, relative to their own mixture."""
        number = np.full(self.members.shape[1], -1)
        number[sources] = np.arange(sources.size)
        rows = number[self.source] >= 0
        if rows.all() and sources.size == number.size:
            return replace(self, weight=self.balanced(sources.size))
        members = relative_to_mixture(self.members[rows][:, sources])
        source = number[self.source[rows]].astype(np.intp)
        base = self.log_linear
        base = None if base is None else base[rows][:, sources]
        part = HeldOut(self.X[rows], source, self.weight[rows], members, base)
        return replace(part, weight=part.balanced(sources.size))


def canonical(events: SimulatedEvents) -> RatioSample:
    """Sort events and sources by content."""
    weight = events.weight
    if weight is not None and (weight == weight[0]).all():
        weight = None
    key = np.zeros(len(events.X))
    for j, column in enumerate(events.X.T):
        key += column * (1.0 + (j * _GOLDEN) % 1.0)
    keys = (key, events.source) if weight is None else (weight, key, events.source)
    order = np.lexsort(keys)
    source = events.source[order]
    means = np.array(
        [
            np.append(part.mean(), part.size)
            for part in np.split(key[order], np.flatnonzero(np.diff(source)) + 1)
        ]
    )
    ranking = np.lexsort((means[:, 1], means[:, 0], events.source_class))
    rank = np.argsort(ranking)
    by_source = np.argsort(rank[source], kind="stable")
    order = order[by_source]
    return RatioSample(
        X=events.X[order],
        source=rank[events.source[order]].astype(np.intp),
        weight=None if weight is None else weight[order],
        source_class=events.source_class[ranking],
        source_id=events.source_id[ranking],
        name=lambda k: events.name_of(int(ranking[k])),
    )


def hold_out(
    sample: RatioSample,
    model: Any,
    share: float,
    largest: int,
    rng: np.random.RandomState,
    functions: SmoothFunctions | None = None,
) -> tuple[list[Trained], HeldOut]:
    """Train on most events of every source; the others are held out."""
    held = np.zeros(len(sample.source), dtype=bool)
    for k, rows in enumerate(_rows_of_sources(sample)):
        size = min(max(int(np.ceil(share * rows.size)), _FEWEST), largest)
        if rows.size - size < _FEWEST:
            raise InvalidInputError(
                f"Every source needs at least {2 * _FEWEST} events to hold out a share "
                f"of {share:g}, but {sample.name(k)} has n_samples = {rows.size}."
            )
        held[rng.permutation(rows)[:size]] = True
    trained = _train(sample, model, ~held, rng, functions)
    return [trained], _held_out(sample, np.flatnonzero(held), [trained], None)


def cross_fit(
    sample: RatioSample,
    model: Any,
    n_folds: int,
    largest: int,
    rng: np.random.RandomState,
    functions: SmoothFunctions | None = None,
) -> tuple[list[Trained], HeldOut]:
    """Train once per fold; every event is held out by the fold that left it out."""
    fold = np.empty(len(sample.source), dtype=np.intp)
    kept = []
    for k, rows in enumerate(_rows_of_sources(sample)):
        if rows.size < max(n_folds, 2 * _FEWEST):
            raise InvalidInputError(
                f"Every source needs at least {max(n_folds, 2 * _FEWEST)} events for "
                f"cv={n_folds}, since no fold may lack a class, but {sample.name(k)} "
                f"has n_samples = {rows.size}."
            )
        order = rng.permutation(rows)
        fold[order] = np.arange(rows.size) % n_folds
        kept.append(order[:largest])
    models = [_train(sample, model, fold != f, rng, functions) for f in range(n_folds)]
    rows = np.sort(np.concatenate(kept))
    return models, _held_out(sample, rows, models, fold[rows])


def _rows_of_sources(sample: RatioSample) -> list[NDArray[np.intp]]:
    ends = np.flatnonzero(np.diff(sample.source)) + 1
    return np.split(np.arange(len(sample.source)), ends)


def _train(
    sample: RatioSample,
    model: Any,
    rows: NDArray[np.bool_],
    rng: np.random.RandomState,
    functions: SmoothFunctions | None,
) -> Trained:
    """Train on some rows."""
    weight = None if sample.weight is None else sample.weight[rows]
    if weight is not None and weight.sum() > 0:
        # A classifier weighs penalties against sums of weights: one event is the unit.
        weight = weight / weight.mean()
    source = sample.source[rows]
    total = np.bincount(source, weight, minlength=sample.n_sources).astype(float)
    bad = np.flatnonzero(~(total > 0))
    if bad.size:
        raise InvalidInputError(
            "The training events of every source need a positive sum of weights, but "
            f"{sample.name(bad[0])} has {total[bad[0]]:g}."
        )
    trained = clone(model).set_params(random_state=rng.randint(2**31 - 1))
    X = sample.X[rows]
    trained.fit(X, source, weight)
    base = None
    fewest = np.bincount(source, minlength=sample.n_sources).min()
    if functions is not None and fewest >= _EVENTS_PER_FUNCTION * functions.size:
        base = fit_log_linear(functions, X, source, weight, sample.n_sources)
    return Trained(trained, total / total.sum(), base)


def _held_out(
    sample: RatioSample,
    rows: NDArray[np.intp],
    models: list[Trained],
    fold: NDArray[np.intp] | None,
) -> HeldOut:
    every = np.arange(sample.n_sources)
    X, source = sample.X[rows], sample.source[rows]
    weight = np.ones(rows.size) if sample.weight is None else sample.weight[rows]
    total = np.bincount(source, weight, minlength=sample.n_sources)
    bad = np.flatnonzero(~(total > 0))
    if bad.size:
        raise InvalidInputError(
            "The held-out events of every source need a positive sum of weights, but "
            f"{sample.name(bad[0])} has {total[bad[0]]:g}."
        )
    if fold is None:
        fold = np.zeros(rows.size, dtype=np.intp)
    parts = [_in_blocks(m, X[fold == f], every) for f, m in enumerate(models)]
    members = np.empty((rows.size, *parts[0].shape[1:]), np.float32)
    for f, part in enumerate(parts):
        members[fold == f] = part
    base = np.empty((rows.size, sample.n_sources), np.float32)
    for f, model in enumerate(models):
        if model.log_linear is None:
            return HeldOut(X, source, weight, members)
        base[fold == f] = model.log_linear.logits(X[fold == f])
    return HeldOut(X, source, weight, members, base)


def _in_blocks(
    trained: Trained, X: FloatArray, sources: NDArray[np.intp], block: int = 65_536
) -> NDArray[np.float32]:
    parts = [
        log_ratios(trained, X[i : i + block], sources) for i in range(0, len(X), block)
    ]
    return np.concatenate(parts)


def log_ratios(
    trained: Trained, X: FloatArray, sources: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Log ratios of every member to the equal mixture of some sources.

    ``X`` (n_rows, n_features), ``sources`` (n_sources,) -> (n_rows, n_sources,
    n_members).
    """
    logs = np.moveaxis(trained.model.predict_member_log_proba(X), 0, -1)[:, sources]
    logs -= np.log(trained.shares[sources])[:, None].astype(logs.dtype)
    return relative_to_mixture(logs)


def relative_to_mixture(logs: NDArray[Any]) -> NDArray[np.float32]:
    """Subtract the log of the mean density of the sources.

    ``logs`` (n_rows, n_sources, n_members).
    """
    answer = np.empty(logs.shape, np.float32)
    size = max(_CACHED // max(logs[0].size, 1), 1) if len(logs) else 1
    for start in range(0, len(logs), size):
        block = logs[start : start + size]
        # Source by source, as reductions over few numbers are slow.
        columns = [block[:, k] for k in range(block.shape[1])]
        top = columns[0].copy()
        for column in columns[1:]:
            np.maximum(top, column, out=top)
        total = np.zeros_like(top)
        for column in columns:
            total += np.exp(column - top)
        mixture = top + np.log(total / len(columns))
        answer[start : start + size] = block - mixture[:, None]
    return answer
