"""The plan of a study: which experiments, in which batches, from which seeds.

Experiments are the product of strengths, datasets, fractions and sizes, in this order.
Random numbers of an experiment depend on its index and the seed alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sktamm._numerics import FloatArray, IntArray
from sktamm.coverage._pseudo import check_count
from sktamm.coverage._result import CoverageResult
from sktamm.exceptions import InvalidInputError
from sktamm.tamm import Answers

__all__ = ["Plan", "check_seed", "make_plan"]


@dataclass(frozen=True, eq=False)
class Plan:
    """All experiments of a study."""

    truth: FloatArray  # (n,), kappa or another parameter
    size: NDArray[np.int64]  # (n,), number of events
    part: IntArray  # (n,), index of the strength
    strengths: FloatArray  # (n_strengths,), of the misspecification
    levels: FloatArray  # (n_levels,), of the intervals
    batches: tuple[slice, ...]  # experiments of every batch
    seed: int
    group: str  # set of simulations

    @property
    def n_experiments(self) -> int:
        """Number of experiments."""
        return self.truth.size

    def experiments(self, batch: int) -> IntArray:
        """Indices of the experiments of a batch."""
        return np.arange(self.n_experiments)[self.batches[batch]]

    def rng(self, experiment: int) -> np.random.Generator:
        """Source of randomness of one experiment."""
        key = (int(experiment),)
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))

    def record(
        self,
        rows: IntArray,
        answers: Answers,
        failure: Sequence[str],
        seconds: float,
    ) -> CoverageResult:
        """Result of some experiments that took ``seconds`` together."""
        return CoverageResult(
            experiment=rows.astype(np.int64),
            truth=self.truth[rows],
            size=self.size[rows],
            strength=self.strengths[self.part[rows]],
            group=np.full(rows.size, self.group, dtype=np.str_),
            kappa=answers.kappa,
            std=answers.std,
            levels=self.levels,
            interval=answers.interval,
            flags=np.array(answers.flags, dtype=np.str_),
            failure=np.array(failure, dtype=np.str_),
            seconds=np.full(rows.size, seconds / rows.size),
            seed=np.full(rows.size, self.seed, dtype=np.int64),
        )


def make_plan(
    *,
    kappas: Any,
    sizes: Any,
    strengths: Any,
    n_datasets: Any,
    levels: FloatArray,
    batch_size: Any,
    seed: int,
    group: str,
    fractions: bool,
) -> Plan:
    """Lay out the experiments."""
    kappas, strengths = _numbers(kappas, "kappas"), _numbers(strengths, "strengths")
    if fractions and not ((kappas >= 0) & (kappas <= 1)).all():
        raise InvalidInputError(
            f"kappas must hold fractions from 0 to 1, got {kappas.tolist()}."
        )
    sizes = _numbers(sizes, "sizes")
    if not ((sizes >= 1) & (sizes == np.rint(sizes))).all():
        raise InvalidInputError(
            f"sizes must hold integers of at least 1, got {sizes.tolist()}."
        )
    n_datasets = check_count("n_datasets", n_datasets)
    batch_size = check_count("batch_size", batch_size)
    axes = np.meshgrid(
        np.arange(strengths.size), np.arange(n_datasets), kappas, sizes, indexing="ij"
    )
    part, _, truth, size = (axis.ravel() for axis in axes)
    per_strength = n_datasets * kappas.size * sizes.size
    return Plan(
        truth=truth,
        size=size.astype(np.int64),
        part=part.astype(np.intp),
        strengths=strengths,
        levels=levels,
        batches=_cut(strengths.size, per_strength, batch_size),
        seed=seed,
        group=group,
    )


def check_seed(random_state: Any) -> int:
    """Seed of the study; a fresh one for None."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    usable = isinstance(random_state, Integral) and 0 <= int(random_state) < 2**63
    if not usable:
        raise InvalidInputError(
            "random_state must be None or an integer from 0 to 2**63 - 1, from which "
            f"the seeds of all experiments follow, got {random_state!r}."
        )
    return int(random_state)


def _cut(n_strengths: int, length: int, batch_size: int) -> tuple[slice, ...]:
    return tuple(
        slice(start, min(start + batch_size, first + length))
        for first in range(0, n_strengths * length, length)
        for start in range(first, first + length, batch_size)
    )


def _numbers(values: Any, name: str) -> FloatArray:
    """Different finite numbers in the order given."""
    try:
        numbers = np.atleast_1d(np.asarray(values, dtype=float))
    except (TypeError, ValueError):
        numbers = np.zeros(0)
    usable = numbers.ndim == 1 and numbers.size and np.isfinite(numbers).all()
    if not usable or np.unique(numbers).size < numbers.size:
        raise InvalidInputError(
            f"{name} must be a number or a sequence of different finite numbers, got "
            f"{values!r}."
        )
    return numbers
