"""Sample the posteriors of many datasets until each has the precision it needs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from sktamm._numerics import FloatArray
from sktamm.inference._diagnostics import ess_bulk, ess_tail, rhat
from sktamm.inference._hmc import HamiltonianSampler, HMCDraws, LogDensity, Monitor

__all__ = ["PosteriorDraws", "sample_posterior"]


@dataclass(frozen=True, eq=False)
class PosteriorDraws:
    """Draws of many datasets, each as long as it needed."""

    # (n_chains, n_draws, n_monitored) and (n_chains, n_draws) of every dataset
    values: tuple[FloatArray, ...]
    log_density: tuple[FloatArray, ...]
    # (n_datasets,) each, the first three of the first monitored function
    rhat: FloatArray
    ess_bulk: FloatArray
    ess_tail: FloatArray
    converged: NDArray[np.bool_]  # whether these met the demands before draws ran out
    acceptance: FloatArray
    n_divergent: NDArray[np.intp]
    step_size: FloatArray


def sample_posterior(
    make_target: Callable[[NDArray[np.intp]], LogDensity],
    start: FloatArray,
    covariance: FloatArray,
    seeds: Sequence[np.random.SeedSequence],
    *,
    monitor: Monitor | None = None,
    min_ess: float = 400.0,
    max_rhat: float = 1.01,
    n_warmup: int = 100,
    n_draws: int = 80,
    max_draws: int = 2000,
    batch_size: int = 25,
    n_jobs: int | None = None,
    **settings: Any,
) -> PosteriorDraws:
    """Sample many datasets until each has the effective sample size it needs."""
    rule = _Stopping(min_ess, max_rhat, n_draws, max_draws)

    def run(datasets: NDArray[np.intp]) -> list[dict[str, Any]]:
        sampler = HamiltonianSampler(
            make_target(datasets),
            start[datasets],
            covariance[datasets],
            [np.random.default_rng(seeds[i]) for i in datasets],
            **settings,
        )
        sampler.warm_up(n_warmup)
        return _draw_until(sampler, make_target, datasets, monitor, rule)

    batches = np.split(np.arange(len(start)), range(batch_size, len(start), batch_size))
    with threadpool_limits(limits=1, user_api="blas"):
        parts = Parallel(n_jobs=n_jobs, prefer="threads")(
            delayed(run)(batch) for batch in batches
        )
    return _join([record for part in parts for record in part])


@dataclass(frozen=True)
class _Stopping:
    """When a dataset has enough draws."""

    min_ess: float
    max_rhat: float
    n_draws: int
    max_draws: int


def _draw_until(
    sampler: HamiltonianSampler,
    make_target: Callable[[NDArray[np.intp]], LogDensity],
    datasets: NDArray[np.intp],
    monitor: Monitor | None,
    rule: _Stopping,
) -> list[dict[str, Any]]:
    """Continue the chains of the datasets that fall short, round by round."""
    records: list[dict[str, Any]] = [{} for _ in datasets]
    active = np.arange(len(datasets))
    draws = sampler.draw(rule.n_draws, monitor)
    while True:
        quality = _quality(draws.values[..., 0], rule)
        total = draws.values.shape[2]
        more = ~quality["converged"] & (total < rule.max_draws)
        for i in np.flatnonzero(~more):
            records[active[i]] = _record(draws, quality, i)
        if not more.any():
            return records
        keep = np.flatnonzero(more)
        active = active[keep]
        sampler = sampler.take(keep, make_target(datasets[active]))
        fresh = sampler.draw(min(rule.n_draws, rule.max_draws - total), monitor)
        draws = _append(draws[keep], fresh)


def _quality(values: FloatArray, rule: _Stopping) -> dict[str, NDArray[Any]]:
    """Compare the draws (n_datasets, n_chains, n_draws) of one function to the rule."""
    quality = {
        "rhat": rhat(values),
        "ess_bulk": ess_bulk(values),
        "ess_tail": ess_tail(values),
    }
    enough = np.minimum(quality["ess_bulk"], quality["ess_tail"]) >= rule.min_ess
    return {**quality, "converged": enough & (quality["rhat"] < rule.max_rhat)}


def _record(
    draws: HMCDraws, quality: dict[str, NDArray[Any]], i: np.intp
) -> dict[str, Any]:
    """Collect everything known about the dataset in row ``i``."""
    record = {name: column[i] for name, column in vars(draws).items()}
    return record | {name: column[i] for name, column in quality.items()}


def _append(old: HMCDraws, new: HMCDraws) -> HMCDraws:
    """Join two successive stretches of the same chains."""
    n_old, n_new = old.values.shape[2], new.values.shape[2]
    return HMCDraws(
        np.concatenate([old.values, new.values], axis=2),
        np.concatenate([old.log_density, new.log_density], axis=2),
        (n_old * old.acceptance + n_new * new.acceptance) / (n_old + n_new),
        old.n_divergent + new.n_divergent,
        new.step_size,
    )


def _join(records: list[dict[str, Any]]) -> PosteriorDraws:
    """Put the datasets next to each other: scalars as arrays, draws as tuples."""
    columns: dict[str, Any] = {
        name: tuple(r[name] for r in records) for name in records[0]
    }
    for name in set(columns) - {"values", "log_density"}:
        columns[name] = np.array(columns[name])
    return PosteriorDraws(**columns)
