"""Maximum likelihood with templates that are functions of a setting."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize, stats
from scipy.interpolate import CubicSpline

from sktamm._numerics import FloatArray
from sktamm.parametric import MorphingBasis, weights_function

__all__ = ["MorphingFit", "TemplateFamily", "polynomial_family"]

_FLOOR = 1e-12  # no content vanishes, so that its logarithm is finite
# Rules of thumb: settings have few minima and every start costs a descent; starts keep
# away from the ends of a range, where descents stay.
_MAX_STARTS, _FIRST, _LAST = 5, 0.15, 0.85
# Of the mean content: emptier bins have no normal errors, and no part in chi^2.
_FILLED = 1e-6
# Steps of numerical derivatives, in units of the ranges. Rules of thumb: smooth ones
# lose few digits; rough ones average over the events that cross an edge.
_STEP, _ROUGH_STEP = 1e-3, 0.02


@dataclass(frozen=True, eq=False)
class TemplateFamily:
    """Templates of one class at any setting."""

    points: FloatArray  # (n_points, n_parameters), of the simulations or a grid
    templates: FloatArray  # (n_points, n_bins), there, of sum one
    variances: FloatArray  # (n_points, n_bins), their statistical ones
    basis: MorphingBasis | None  # weights; None is a cubic spline on the grid

    @property
    def step(self) -> float:
        """Of numerical derivatives, in units of the range."""
        # Events that move cross edges of bins: their templates are rough.
        return _STEP if self.basis is not None else _ROUGH_STEP

    @property
    def limits(self) -> FloatArray:
        """Lowest and highest setting, of shape (n_parameters, 2)."""
        return np.stack([self.points.min(axis=0), self.points.max(axis=0)], axis=1)

    def weights(self, theta: FloatArray) -> FloatArray:
        """Weights of the templates."""
        if self.basis is not None:
            return self._polynomial(theta)
        if len(self.points) == 1:
            return np.ones(1)
        return np.asarray(self._spline(theta[0]))

    @cached_property
    def _polynomial(self) -> Callable[[FloatArray], FloatArray]:
        """Weights of the basis, whose benchmarks are looked at once."""
        assert self.basis is not None
        return weights_function(self.basis)

    @cached_property
    def _spline(self) -> CubicSpline:
        """Weights on the grid as smooth functions of the setting."""
        return CubicSpline(self.points[:, 0], np.eye(len(self.points)))

    def shape(self, theta: FloatArray) -> FloatArray:
        """Contents of the bins, kept positive."""
        return np.maximum(self.weights(theta) @ self.templates, _FLOOR)

    def noise(self, theta: FloatArray) -> FloatArray:
        """Statistical variances of the bins."""
        weights = self.weights(theta)
        if self.basis is None:
            return np.maximum(weights @ self.variances, 0.0)
        return weights**2 @ self.variances

    def source_weights(self, theta: FloatArray) -> FloatArray:
        """Weights of templates that fluctuate independently."""
        # Moved ones on a grid are made of the same events: they fluctuate as one.
        return np.ones(1) if self.basis is None else self.weights(theta)

    def source_variance(self, slope: FloatArray, theta: FloatArray) -> float:
        """Variance, from contents, of what has slopes (n_sources, n_bins) in them."""
        if self.basis is None:
            templates, variances = self.shape(theta)[None], self.noise(theta)[None]
        else:
            templates, variances = self.templates, self.variances
        about_mean = slope - (templates * slope).sum(axis=1, keepdims=True)
        return float((variances * about_mean**2).sum())


def polynomial_family(
    points: FloatArray, templates: FloatArray, variances: FloatArray, max_power: int
) -> TemplateFamily:
    """Templates of one class whose contents are polynomials in the setting."""
    if len(points) == 1:
        return TemplateFamily(points, templates, variances, None)
    basis = MorphingBasis(points.shape[1], max_power, benchmarks=points)
    basis.weights(points[0])
    return TemplateFamily(points, templates, variances, basis)


class Fitted(NamedTuple):
    """Fit of one dataset."""

    kappa: float
    std: float  # NaN where there is none
    converged: bool
    n_iterations: int
    p_value: float  # of chi^2 of the bins
    settings: tuple[FloatArray, FloatArray]  # of background and signal
    std_templates: float  # the part of std from the statistics of the templates


@dataclass(frozen=True)
class MorphingFit:
    """Maximum likelihood of kappa and both settings."""

    interval: str = "wald"  # for results

    def fit(
        self,
        data: FloatArray,
        variance: FloatArray,
        background: TemplateFamily,
        signal: TemplateFamily,
    ) -> Fitted:
        """Fit one dataset; ``data, variance`` (n_bins,)."""
        ends = np.concatenate([[[0.0, 1.0]], background.limits, signal.limits])
        width = np.where(np.ptp(ends, axis=1) > 0, np.ptp(ends, axis=1), 1.0)
        n_first, pair = background.points.shape[1], (background, signal)

        def _settings(u: FloatArray) -> tuple[FloatArray, FloatArray]:
            point = ends[:, 0] + width * u
            return point[1 : 1 + n_first], point[1 + n_first :]

        def _share(u: FloatArray) -> FloatArray:
            low, high = (f.shape(t) for f, t in zip(pair, _settings(u), strict=True))
            return (1.0 - u[0]) * low + u[0] * high

        def _loss(u: FloatArray) -> float:
            return -float(data @ np.log(np.maximum(_share(u), _FLOOR)))

        def _slopes(u: FloatArray) -> list[FloatArray]:
            """Derivatives of the loss with respect to the templates of both classes."""
            common = -data / np.maximum(_share(u), _FLOOR)
            fractions = (1.0 - u[0], u[0])
            return [
                fraction * np.outer(family.source_weights(t), common)
                for fraction, family, t in zip(
                    fractions, pair, _settings(u), strict=True
                )
            ]

        limits = np.stack([np.zeros(len(ends)), np.ptp(ends, axis=1) / width], axis=1)
        found = _deepest(_loss, limits, data.sum())
        kappa, theta = float(found.x[0]), _settings(found.x)
        scale = variance.sum() / data.sum()
        steps = [np.full(f.points.shape[1], f.step) for f in pair]
        step = np.concatenate([[_STEP], *steps])
        centre, moves, row = _first_row(_loss, found.x, limits, step, n_first)
        by_templates = [np.zeros_like(slope) for slope in _slopes(centre)]
        for move, weight in zip(moves, row, strict=True):
            ahead, behind = _slopes(centre + move), _slopes(centre - move)
            for total, a, b in zip(by_templates, ahead, behind, strict=True):
                total -= weight * (a - b) / (2.0 * move.sum())
        extra = sum(
            family.source_variance(slope, t)
            for family, slope, t in zip(pair, by_templates, theta, strict=True)
        )
        std = float(np.sqrt(scale * row[0] + extra))
        noise = (1 - kappa) ** 2 * background.noise(theta[0])
        noise += kappa**2 * signal.noise(theta[1])
        mean = data.sum() * _share(found.x)
        variance = scale * mean + data.sum() ** 2 * noise
        p_value = _p_value(data, mean, variance, int((limits[:, 1] > 0).sum()))
        ended = bool(found.success), found.nit
        return Fitted(kappa, std, *ended, p_value, theta, float(np.sqrt(extra)))


def _p_value(
    data: FloatArray, mean: FloatArray, variance: FloatArray, n_fitted: int
) -> float:
    """Of chi^2 of the bins that expect anything."""
    filled = mean > _FILLED * data.sum() / mean.size
    chi2 = ((data - mean) ** 2 / variance)[filled].sum()
    degrees = max(int(filled.sum()) - 1 - n_fitted, 1)
    return float(stats.chi2.sf(chi2, degrees))


def _deepest(loss: Any, limits: FloatArray, n_events: float) -> Any:
    """Deepest minimum of descents from the centre and from points around it."""
    rng = np.random.default_rng(0)
    starts = rng.uniform(_FIRST, _LAST, (_MAX_STARTS, len(limits)))
    starts[0] = 0.5
    if not (limits[1:, 1] > 0).any():
        starts = starts[:1]
    minimise: Any = optimize.minimize
    ends = [
        minimise(
            lambda u: loss(u) / n_events,
            start * limits[:, 1],
            bounds=limits,
            method="L-BFGS-B",
            options={"ftol": 1e-13, "gtol": 1e-7},
        )
        for start in starts
    ]
    return min(ends, key=lambda end: end.fun)


def _first_row(
    loss: Any, point: FloatArray, limits: FloatArray, step: FloatArray, n_first: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """First row of the covariance of coordinates inside their ends; centre, steps.

    NaN where the loss has no minimum.
    """
    inside = (point > limits[:, 0] + 2 * step) & (point < limits[:, 1] - 2 * step)
    # Their noise alone would decide the sign of the curvature.
    inside[1 + n_first :] &= point[0] > 2 * step[0]
    inside[1 : 1 + n_first] &= point[0] < 1.0 - 2 * step[0]
    inside[0] = True
    centre = np.clip(point, limits[:, 0], limits[:, 1])
    centre[0] = np.clip(centre[0], 2 * step[0], 1.0 - 2 * step[0])
    moves = np.diag(step)[inside]
    hessian = np.empty((len(moves), len(moves)))
    for i, a in enumerate(moves):
        for j, b in enumerate(moves):
            corners = loss(centre + a + b) - loss(centre + a - b)
            corners += loss(centre - a - b) - loss(centre - a + b)
            hessian[i, j] = corners / (4.0 * a.sum() * b.sum())
    if np.linalg.eigvalsh(hessian)[0] <= 0:
        return centre, moves, np.full(len(moves), np.nan)
    return centre, moves, np.linalg.inv(hessian)[0]
