"""Records of coverage studies for tests, made without any study."""

import dataclasses

import numpy as np
from scipy import stats

from sktamm.coverage import CoverageResult

LEVELS = np.array([0.683, 0.954])


def make_result(n=200, scale=1.0, seed=0, group="a", spread=0.0, n_groups=1):
    """Normal estimates around the truth; groups share a shift of rms ``spread``."""
    rng = np.random.default_rng(seed)
    groups = np.array([f"{group}{i}" for i in range(n_groups)])
    which = np.arange(n) % n_groups
    truth = np.where(np.arange(n) < n // 2, 0.1, 0.3)
    shift = rng.normal(0.0, spread, n_groups)[which]
    kappa = rng.normal(truth + shift, 0.01)
    half = stats.norm.ppf(0.5 + 0.5 * LEVELS) * 0.01 * scale
    interval = kappa[:, None, None] + np.array([-1.0, 1.0])[:, None] * half
    return CoverageResult(
        experiment=np.arange(n),
        truth=truth,
        size=np.full(n, 1000),
        strength=np.zeros(n),
        group=groups[which],
        kappa=kappa,
        std=np.full(n, 0.01 * scale),
        levels=LEVELS,
        interval=interval,
        flags=np.full(n, "", dtype="U32"),
        failure=np.full(n, "", dtype="U32"),
        seconds=np.full(n, 0.5),
        seed=np.full(n, seed),
        settings={"estimator": "Normal"},
    )


def with_failures(result, rows):
    """The same with failed fits."""
    failure, kappa, interval = (
        result.failure.copy(),
        result.kappa.copy(),
        result.interval.copy(),
    )
    failure[rows], kappa[rows], interval[rows] = "ValueError: no", np.nan, np.nan
    return dataclasses.replace(result, failure=failure, kappa=kappa, interval=interval)
