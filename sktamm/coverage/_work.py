"""One batch of experiments: draw the datasets, ask the estimator, survive failures."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Protocol

import joblib
import numpy as np
import pandas as pd
from sklearn.exceptions import NotFittedError

from sktamm._numerics import IntArray
from sktamm._validation import take_rows
from sktamm.coverage._plan import Plan
from sktamm.coverage._pseudo import LabelledEvents
from sktamm.exceptions import CheckpointError, InvalidInputError
from sktamm.tamm import Answers, ask, final_step

__all__ = ["DrawnDatasets", "Generator", "Work", "measure", "seeded"]

# Neither is a failed fit: no experiment of the study could do better.
_FATAL = (CheckpointError, NotFittedError)
_MAX_REASON = 200  # characters, two lines


class Source(Protocol):
    """Where datasets come from."""

    def draw(
        self, plan: Plan, rows: IntArray, events: Callable[[int], Any]
    ) -> tuple[Any, Any]:
        """Events of some experiments of one strength, and their ``dataset``."""

    def content(self, plan: Plan) -> list[Any]:
        """Arrays that tell this source from others."""

    def words(self) -> str:
        """What the source is."""


@dataclass(frozen=True, eq=False)
class DrawnDatasets:
    """Datasets drawn from labelled events."""

    labelled: LabelledEvents

    def draw(
        self, plan: Plan, rows: IntArray, events: Callable[[int], Any]
    ) -> tuple[Any, Any]:
        """Events that are drawn at all, and how often in every dataset."""
        rngs = [plan.rng(row) for row in rows]
        counts = self.labelled.draw_many(
            plan.truth[rows], plan.size[rows], rngs
        ).tocsr()
        used = np.flatnonzero(np.diff(counts.indptr))
        X = events(int(plan.part[rows[0]]))
        return take_rows(X, used), counts[used].tocsc()

    def content(self, plan: Plan) -> list[Any]:
        """Events by class, their chances, and how they are drawn."""
        chances = [p for p in self.labelled.probability if p is not None]
        return [*self.labelled.events, *chances, np.array(self.labelled.replace)]

    def words(self) -> str:
        """How events are drawn."""
        how = "with" if self.labelled.replace else "without"
        return f"labelled events, {how} replacement"


@dataclass(frozen=True, eq=False)
class Generator:
    """Datasets that a function generates."""

    sample: Callable[..., Any]  # kappa, size, rng -> events
    misspecification: Callable[..., Any] | None  # events, None, strength -> deformed

    def draw(
        self, plan: Plan, rows: IntArray, events: Callable[[int], Any]
    ) -> tuple[Any, Any]:
        """Events of all datasets, and the index of the dataset of each."""
        parts = [self.generate(plan, row) for row in rows]
        frames = all(hasattr(part, "iloc") for part in parts)
        X = pd.concat(parts, ignore_index=True) if frames else np.concatenate(parts)
        return X, np.repeat(np.arange(len(parts)), [len(part) for part in parts])

    def content(self, plan: Plan) -> list[Any]:
        """Events of the first and the last experiment."""
        return [self.generate(plan, row) for row in (0, plan.n_experiments - 1)]

    def words(self) -> str:
        """That the events are generated."""
        return "generator"

    def generate(self, plan: Plan, row: int) -> Any:
        """Events of one experiment."""
        size = int(plan.size[row])
        X = self.sample(float(plan.truth[row]), size, plan.rng(row))
        X = X if hasattr(X, "iloc") else np.asarray(X)
        if self.misspecification is not None:
            X = self.misspecification(X, None, float(plan.strengths[plan.part[row]]))
        return X if hasattr(X, "iloc") else np.asarray(X)


@dataclass(frozen=True, eq=False)
class Work:
    """All that a worker needs besides the events."""

    estimator: Any  # fitted
    plan: Plan
    source: Source


def seeded(estimator: Any, seed: int) -> Any:
    """The estimator, or a copy with a seed where its draws could not be repeated."""
    state = getattr(final_step(estimator), "random_state", 0)
    if isinstance(state, Integral):
        return estimator
    twin = copy.deepcopy(estimator)
    final_step(twin).random_state = seed % 2**32
    return twin


def measure(
    work: Work, rows: IntArray, events: Callable[[int], Any]
) -> tuple[Answers, tuple[str, ...]]:
    """Answers of some experiments; if all together fail, each is tried alone."""
    try:
        X, dataset = work.source.draw(work.plan, rows, events)
        levels = tuple(work.plan.levels.tolist())
        # Within a worker joblib would hand inner tasks to the cluster once more.
        with joblib.parallel_config(backend="sequential"):
            answers = ask(work.estimator, X, dataset, levels)
        if answers.kappa.size != rows.size:
            raise InvalidInputError(
                f"estimator must answer once per dataset, {rows.size}, got "
                f"{answers.kappa.size} answers."
            )
    except _FATAL:
        raise
    except Exception as error:
        if rows.size == 1:
            return _failed(work.plan.levels.size), (_reason(error),)
        return _join([measure(work, rows[i : i + 1], events) for i in range(rows.size)])
    return _without_number(answers)


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return text[:_MAX_REASON]


def _failed(n_levels: int) -> Answers:
    nothing = np.full(1, np.nan)
    return Answers(nothing, nothing, np.full((1, 2, n_levels), np.nan), ("",))


def _join(
    parts: Sequence[tuple[Answers, tuple[str, ...]]],
) -> tuple[Answers, tuple[str, ...]]:
    answers = [part[0] for part in parts]
    joined = Answers(
        np.concatenate([a.kappa for a in answers]),
        np.concatenate([a.std for a in answers]),
        np.concatenate([a.interval for a in answers]),
        sum((a.flags for a in answers), ()),
    )
    return joined, sum((part[1] for part in parts), ())


def _without_number(answers: Answers) -> tuple[Answers, tuple[str, ...]]:
    """Answers that are no finite numbers, as failures."""
    finite = np.isfinite(answers.interval).all(axis=(1, 2))
    good = np.isfinite(answers.kappa) & finite
    reasons = tuple("" if g else "no finite estimate and interval" for g in good)
    return (
        Answers(
            np.where(good, answers.kappa, np.nan),
            np.where(good, answers.std, np.nan),
            np.where(good[:, None, None], answers.interval, np.nan),
            tuple(answers.flags),
        ),
        reasons,
    )
