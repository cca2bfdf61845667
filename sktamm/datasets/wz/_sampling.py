"""Unweighted events of an integrand on the unit cube.

Importance sampling by a product of step functions, one per dimension (Lepage 1978), and
acceptance with probability weight / bound. A point of weight w keeps its uniform number
u and is accepted for every bound below w / u: a larger weight raises the bound and
thins what was accepted before.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sktamm._numerics import FloatArray, IntArray

__all__ = ["Grid", "Sample", "adapt", "draw_unweighted"]

# Points of the cube -> what to sample, at least 0, and rows that describe every point.
Integrand = Callable[[FloatArray], tuple[FloatArray, FloatArray]]

# Rules of thumb, which change how many points are accepted and not what they are like.
N_STEPS = 20
# Acceptance suffers from large weights: steps are chosen by the fourth moment.
_MOMENT = 4
_DAMPING = 0.5
_BATCH = 40_000  # points at a time


@dataclass(frozen=True)
class Grid:
    """Edges of equally probable steps, of shape (n_dimensions, n_steps + 1)."""

    edges: FloatArray

    @classmethod
    def uniform(cls, n_dimensions: int) -> "Grid":
        """Steps of equal width."""
        return cls(np.tile(np.linspace(0, 1, N_STEPS + 1), (n_dimensions, 1)))

    def draw(
        self, n: int, rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray, IntArray]:
        """Points (n, n_dimensions), their inverse densities, and their steps."""
        u = rng.random((n, len(self.edges))) * N_STEPS
        step = np.minimum(u.astype(np.intp), N_STEPS - 1)
        points, measure = np.empty_like(u), np.ones(n)
        for d, edges in enumerate(self.edges):
            width = np.diff(edges)[step[:, d]]
            points[:, d] = edges[step[:, d]] + width * (u[:, d] - step[:, d])
            measure *= width * N_STEPS
        return points, measure, step

    def refine(self, weights: FloatArray, step: IntArray) -> "Grid":
        """Move the edges towards steps of equal moments of the weights."""
        edges = np.empty_like(self.edges)
        powers = (weights / weights.max()) ** _MOMENT
        for d, old in enumerate(self.edges):
            counts = np.bincount(step[:, d], weights=powers, minlength=N_STEPS)
            # Averaged over neighbours and damped, or few points would decide.
            padded = np.pad(counts, 1, mode="edge")
            moment = np.convolve(padded, np.ones(3) / 3, "valid")
            share = (moment / moment.sum()) ** (_DAMPING / _MOMENT)
            # No step is so wide that it would never be refined again.
            share = share / share.sum() + 1e-3 / N_STEPS
            cumulative = np.concatenate([[0], np.cumsum(share)])
            levels = np.linspace(0, cumulative[-1], N_STEPS + 1)
            edges[d] = np.interp(levels, cumulative, old)
            edges[d, [0, -1]] = 0, 1
        return Grid(edges)


@dataclass(frozen=True)
class Sample:
    """Unweighted rows, the mean of all rows times their weight, and its covariance."""

    rows: FloatArray
    mean: FloatArray
    covariance: FloatArray
    n_points: int


def adapt(
    integrand: Integrand, n_dimensions: int, rng: np.random.Generator, n_rounds: int = 3
) -> tuple[Grid, float]:
    """Fit the grid to the integrand; also the largest weight of the last round."""
    grid = Grid.uniform(n_dimensions)
    largest = 0.0
    for _ in range(n_rounds):
        points, measure, step = grid.draw(_BATCH, rng)
        weights = integrand(points)[0] * measure
        largest = float(weights.max())
        grid = grid.refine(weights, step)
    return grid, largest


def draw_unweighted(
    integrand: Integrand,
    n_events: int,
    n_dimensions: int,
    rng: np.random.Generator,
    *,
    n_sums: int,
    min_points: int,
) -> Sample:
    """Unweighted points of an integrand."""
    grid, bound = adapt(integrand, n_dimensions, rng)
    kept, keys = [], []
    total, squares = np.zeros(n_sums), np.zeros((n_sums, n_sums))
    n_points = n_accepted = 0
    while n_accepted < n_events or n_points < min_points:
        points, measure, _ = grid.draw(_BATCH, rng)
        values, rows = integrand(points)
        weights = values * measure
        sums = rows[:, -n_sums:] * measure[:, None]
        total, squares = total + sums.sum(axis=0), squares + sums.T @ sums
        n_points += _BATCH
        bound = max(bound, float(weights.max()))
        # One minus a number below one: never zero.
        key = weights / (1 - rng.random(_BATCH))
        keep = key >= bound
        kept.append(rows[keep])
        keys.append(key[keep])
        n_accepted = sum(int((key >= bound).sum()) for key in keys)
    passed = np.concatenate(keys) >= bound
    mean = total / n_points
    covariance = (squares / n_points - np.outer(mean, mean)) / n_points
    return Sample(np.concatenate(kept)[passed][:n_events], mean, covariance, n_points)
