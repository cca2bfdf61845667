"""A likelihood whose minima are known, and what can be asked of it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from sktamm._numerics import FloatArray
from sktamm.exceptions import InvalidInputError
from sktamm.parametric._minimum import (
    Descent,
    Minima,
    find_minima,
    natural_scales,
)
from sktamm.parametric._objective import Objective
from sktamm.parametric._regions import (
    ConfidenceRegion,
    LikelihoodFit,
    ParameterInterval,
    ProfileScan,
    contour_points,
    covariance_at,
    ellipse_points,
    find_segments,
)
from sktamm.parametric._sandwich import WeightNoise, weight_noise

__all__ = ["FittedLikelihood"]


@dataclass(frozen=True, eq=False)
class FittedLikelihood:
    """Function of the parameters, with its natural distances and its minima."""

    objective: Objective
    scales: FloatArray  # (size,), natural distances
    minima: Minima  # the deepest first

    @classmethod
    def search(cls, objective: Objective) -> "FittedLikelihood":
        """Find the minima."""
        scales = natural_scales(objective)
        objective = objective.with_scales(scales)
        return cls(objective, scales, find_minima(objective, scales))

    @cached_property
    def inverse(self) -> FloatArray:
        """Twice the inverse of the second derivatives; NaN where there is none."""
        return covariance_at(self.objective, self.minima.points[0], self.scales)

    @cached_property
    def covariance(self) -> FloatArray:
        """Covariance of all parameters at the best fit; NaN where there is none."""
        if self.noise is None or not np.isfinite(self.inverse).all():
            return self.inverse
        return self.noise.covariance(self.inverse)

    @cached_property
    def noise(self) -> WeightNoise | None:
        """What weights of the events do to errors."""
        steps = self.scales
        if np.isfinite(self.inverse).all():
            stds = 1.0 / np.sqrt(np.diag(np.linalg.inv(self.inverse)))
            steps = np.minimum(stds, self.scales)
        return weight_noise(self.objective, self.minima.points[0], steps)

    def best_fit(self) -> LikelihoodFit:
        """Parameters of maximum likelihood, and whether to trust them."""
        n, point = self.objective.n_parameters, self.minima.points[0]
        low, high = self.objective.bounds.T
        near = 1e-6 * self.scales[:n]
        return LikelihoodFit(
            theta=point[:n].copy(),
            nuisance=point[n:].copy(),
            nll=float(self.minima.values[0]),
            std=np.sqrt(np.diag(self.covariance)[:n]),
            covariance=self.covariance,
            converged=self.minima.converged,
            at_bound=(point[:n] <= low + near) | (point[:n] >= high - near),
            n_non_positive=int(self.objective.events.non_positive(point[:n]).sum()),
            minima=self.minima.points[:, :n].copy(),
        )

    def profile(self, i: int, values: ArrayLike, others: str) -> ProfileScan:
        """Likelihood along one parameter."""
        self.check(i)
        grid = np.atleast_1d(np.asarray(values, dtype=float))
        delta, points = self._path([i], grid[:, None], others)
        n = self.objective.n_parameters
        return ProfileScan(i, grid, delta, points[:, :n])

    def surface(self, i: int, j: int, values: Any, others: str) -> FloatArray:
        """Likelihood on a grid of two parameters."""
        self.check(i, j)
        axes = [np.atleast_1d(np.asarray(v, dtype=float)) for v in values]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        # Every other row backwards, so that neighbours on the path are close.
        grid[1::2] = grid[1::2, ::-1]
        delta = self._path([i, j], grid.reshape(-1, 2), others)[0]
        delta = delta.reshape(grid.shape[:2])
        delta[1::2] = delta[1::2, ::-1].copy()
        return delta

    def interval(self, i: int, level: float, others: str) -> ParameterInterval:
        """Confidence interval of one parameter."""
        self.check(i)
        descent = self._descent([i], others)
        quantile = float(stats.chi2.ppf(_check_level(level), 1))
        quantile *= float(self._factors([i], descent)(np.ones((1, 1)))[0])
        segments = find_segments(descent, self.minima, i, quantile, self._unit(i))
        return ParameterInterval(
            parameter=i,
            level=float(level),
            estimate=float(self.minima.points[0, i]),
            lower=float(segments[0, 0]),
            upper=float(segments[-1, 1]),
            segments=segments,
            others=others,
        )

    def ellipse(
        self, i: int, j: int, level: float, others: str, n_points: int
    ) -> ConfidenceRegion:
        """Ellipse of two parameters."""
        self.check(i, j)
        centre = self.minima.points[0, [i, j]]
        covariance = self._pair_covariance([i, j], self._descent([i, j], others))
        points = ellipse_points(centre, covariance, _check_level(level), n_points)
        return ConfidenceRegion(
            (i, j), float(level), centre, points, covariance, others, "ellipse"
        )

    def contour(
        self, i: int, j: int, level: float, others: str, n_points: int
    ) -> ConfidenceRegion:
        """Exact contour of two parameters."""
        self.check(i, j)
        descent = self._descent([i, j], others)
        covariance = self._pair_covariance([i, j], descent)
        points = contour_points(
            descent,
            self.minima,
            [i, j],
            self._factors([i, j], descent),
            float(stats.chi2.ppf(_check_level(level), 2)),
            covariance,
            n_points,
        )
        centre = self.minima.points[0, [i, j]]
        return ConfidenceRegion(
            (i, j), float(level), centre, points, covariance, others, "contour"
        )

    def check(self, *indices: Any) -> None:
        """Refuse what are no different indices of parameters."""
        n = self.objective.n_parameters
        good = all(isinstance(i, Integral) and 0 <= int(i) < n for i in indices)
        if not good or len(set(indices)) < len(indices):
            raise InvalidInputError(
                f"parameters must be different indices below {n}, got {indices}."
            )

    def _path(
        self, index: list[int], values: FloatArray, others: str
    ) -> tuple[FloatArray, FloatArray]:
        best = self.minima.points[0]
        points = np.tile(best, (len(values), 1))
        points[:, index] = values
        descent = self._descent(index, others)
        value, ends = descent.profile(points, self.minima.points)
        factors = self._factors(index, descent)(values - best[index])
        return (value - self.minima.values[0]) / factors, ends

    def _factors(
        self, index: list[int], descent: Descent
    ) -> Callable[[FloatArray], FloatArray]:
        """Function of moves of parameters that likelihood ratios are divided by."""
        noise, profiled = self.noise, bool(descent.free.any())
        if noise is None:
            return lambda moves: np.ones(len(moves))
        return lambda moves: noise.factors(index, moves, profiled)

    def _descent(self, index: list[int], others: str) -> Descent:
        """Minimisation over the other parameters, or over none of them."""
        if others not in ("profile", "fix"):
            raise InvalidInputError(
                f"others must be 'profile' or 'fix', got {others!r}."
            )
        free = np.full(self.objective.size, others == "profile")
        free[index] = False
        return Descent(self.objective, self.scales, free)

    def _pair_covariance(self, index: list[int], descent: Descent) -> FloatArray:
        chosen = np.ix_(index, index)
        if descent.free.any() or not np.isfinite(self.covariance).all():
            return self.covariance[chosen]
        inverse = np.linalg.inv(np.linalg.inv(self.inverse)[chosen])
        if self.noise is None:
            return inverse
        return self.noise.covariance_of(inverse, index)

    def _unit(self, i: int) -> float:
        """Unit of a scan: the standard error where it is sensible."""
        scale = self.scales[i]
        variance = self.covariance[i, i]
        if not np.isfinite(variance):
            return float(scale)
        return float(np.clip(np.sqrt(variance), 1e-2 * scale, 10.0 * scale))


def _check_level(level: Any) -> float:
    if not isinstance(level, Real) or not 0.0 < float(level) < 1.0:
        raise InvalidInputError(f"level must be between 0 and 1, got {level!r}.")
    return float(level)
