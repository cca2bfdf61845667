"""Twice the negative log likelihood of events, as a function of theta and nuisances.

With D the ratio of differential cross sections, S that of cross sections, both with
their shifts by the nuisance parameters nu, n events expected at theta_ref and data
weights w_k,

    rate included:  (2 n [S - 1] - 2 sum_k w_k ln D(x_k)) / u + sum nu^2,
    shape alone:    - 2 sum_k w_k ln [D(x_k) / S] / u + sum nu^2,

zero at theta_ref, with the unit u = sum w^2 / sum w: a sum of weights scatters by
sum w^2, as u times the number of sum w / u events of weight one does. Below D = 0.001
the log continues as its tangent: events whose learned density is not positive stay in
the likelihood, finite and with a gradient that leads back, and are counted.
"""

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sktamm._numerics import FloatArray
from sktamm.parametric._monomials import taylor_gradient, taylor_terms
from sktamm.parametric._normalisation import Reference
from sktamm.parametric._nuisance import Shifts
from sktamm.parametric._source import density_of

__all__ = ["EventRatios", "LearnedEvents", "Objective", "PolynomialEvents"]

# Of D. Rule of thumb: a larger one would change the log of ratios that are learned
# well, with a smaller one the tangent is so steep that single events decide.
_FLOOR = 1e-3
_NOT_POSITIVE = -700.0  # ln D where nothing is known but that it has none
_BLOCK = 1 << 20  # events times points at a time, which bounds the memory


def _soft_log(values: FloatArray) -> FloatArray:
    """ln, below the floor continued as its tangent."""
    safe = np.maximum(values, _FLOOR)
    return np.log(safe) + (np.minimum(values, _FLOOR) - _FLOOR) / _FLOOR


class EventRatios(Protocol):
    """Ratios of the events of the data at any theta."""

    @property
    def n_parameters(self) -> int:
        """Number of parameters."""

    def log_density(self, points: FloatArray) -> FloatArray:
        """Soft ln D, of shape (n_events, n_theta)."""

    def log_total(self, points: FloatArray) -> FloatArray:
        """Soft ln S, of shape (n_theta,)."""

    def gradients(self, point: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Gradients of ln D, of shape (n_events, p), and of ln S, of shape (p,)."""

    def non_positive(self, point: FloatArray) -> NDArray[np.bool_]:
        """Whether D is not positive, for every event."""

    def take(self, rows: NDArray[np.intp]) -> "EventRatios":
        """Some of the events."""

    def with_scales(self, scales: FloatArray) -> "EventRatios":
        """The same, told at which distances the data notice a change."""

    def with_totals_of(self, share: FloatArray) -> "EventRatios":
        """The same with the cross sections that weights of sum one say."""


@dataclass(frozen=True, eq=False)
class PolynomialEvents:
    """Ratios from derivatives, with gradients in closed form."""

    derivatives: FloatArray  # (n_events, p + p (p + 1) / 2)
    mean: FloatArray  # (p + p (p + 1) / 2,), at the reference point
    theta_ref: FloatArray  # (p,)

    @property
    def n_parameters(self) -> int:
        """Number of parameters."""
        return self.theta_ref.size

    def log_density(self, points: FloatArray) -> FloatArray:
        """Soft ln D, of shape (n_events, n_theta)."""
        return _soft_log(1.0 + self.derivatives @ self._terms(points).T)

    def log_total(self, points: FloatArray) -> FloatArray:
        """Soft ln S, of shape (n_theta,)."""
        return _soft_log(1.0 + self._terms(points) @ self.mean)

    def gradients(self, point: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Gradients of ln D, of shape (n_events, p), and of ln S, of shape (p,)."""
        terms, change = self._terms(point), taylor_gradient(point, self.theta_ref)
        density = np.maximum(1.0 + self.derivatives @ terms, _FLOOR)
        total = np.maximum(1.0 + self.mean @ terms, _FLOOR)
        return (
            self.derivatives @ change / density[:, None],
            self.mean @ change / total,
        )

    def non_positive(self, point: FloatArray) -> NDArray[np.bool_]:
        """Whether D is not positive, for every event."""
        return 1.0 + self.derivatives @ self._terms(point) <= 0

    def take(self, rows: NDArray[np.intp]) -> "PolynomialEvents":
        """Some of the events."""
        return replace(self, derivatives=self.derivatives[rows])

    def with_scales(self, scales: FloatArray) -> "PolynomialEvents":
        """The same: exact gradients need no steps."""
        return self

    def with_totals_of(self, share: FloatArray) -> "PolynomialEvents":
        """The same with the cross sections that weights of sum one say."""
        return replace(self, mean=share @ self.derivatives)

    def _terms(self, points: FloatArray) -> FloatArray:
        return taylor_terms(points, self.theta_ref)


@dataclass(frozen=True, eq=False)
class LearnedEvents:
    """Ratios of any estimator, with gradients from differences."""

    estimator: Any  # has log_ratio and cross_section_ratio
    X: Any  # (n_events, n_features)
    n_parameters: int
    step: Any = (
        1e-4  # of the differences, (n_parameters,) once natural distances are known
    )

    def log_density(self, points: FloatArray) -> FloatArray:
        """Soft ln D, of shape (n_events, n_theta)."""
        density = density_of(self.estimator, self.X, points)
        if density is not None:
            return _soft_log(density)
        log_ratio = np.asarray(self.estimator.log_ratio(self.X, points), dtype=float)
        log_density = log_ratio + self.log_total(points)
        return np.where(np.isfinite(log_ratio), log_density, _NOT_POSITIVE)

    def log_total(self, points: FloatArray) -> FloatArray:
        """Soft ln S, of shape (n_theta,)."""
        return _soft_log(np.asarray(self.estimator.cross_section_ratio(points)))

    def gradients(self, point: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Gradients of ln D, of shape (n_events, p), and of ln S, of shape (p,)."""
        steps = self.step * np.eye(self.n_parameters)
        points = np.concatenate([point + steps, point - steps])
        up, down = np.split(self.log_density(points), 2, axis=1)
        total_up, total_down = np.split(self.log_total(points), 2)
        width = 2.0 * np.broadcast_to(self.step, steps.shape[:1])
        return (up - down) / width, (total_up - total_down) / width

    def non_positive(self, point: FloatArray) -> NDArray[np.bool_]:
        """Whether D is not positive, for every event."""
        density = density_of(self.estimator, self.X, point[None])
        if density is not None:
            return density[:, 0] <= 0
        return ~np.isfinite(self.estimator.log_ratio(self.X, point))

    def take(self, rows: NDArray[np.intp]) -> "LearnedEvents":
        """Some of the events."""
        X = self.X.iloc[rows] if hasattr(self.X, "iloc") else self.X[rows]
        return replace(self, X=X)

    def with_scales(self, scales: FloatArray) -> "LearnedEvents":
        """The same, its differences over a hundredth of the distances."""
        return replace(self, step=1e-2 * scales)

    def with_totals_of(self, share: FloatArray) -> "LearnedEvents":
        """The same: cross sections are the estimator's own."""
        return self


@dataclass(frozen=True, eq=False)
class Objective:
    """The function to minimise; its points are theta followed by the nuisances."""

    events: EventRatios
    shifts: Shifts
    weight: FloatArray  # (n_events,)
    # (n_events,), what they add to the variance of sums of weights: their squares, or
    # the weights themselves where these are numbers of events.
    square: FloatArray
    expected: float | None  # events at the reference point; None for the shape alone
    theta_ref: FloatArray  # (p,)
    bounds: FloatArray  # (p, 2), possibly infinite
    reference: Reference | None = None  # normalises shifted densities, if any are

    @property
    def n_parameters(self) -> int:
        """Number of parameters of interest."""
        return self.theta_ref.size

    @property
    def size(self) -> int:
        """Number of all parameters."""
        return self.n_parameters + self.shifts.rate_slope.size

    @property
    def limits(self) -> FloatArray:
        """Ends of all parameters, of shape (size, 2)."""
        free = np.tile([-np.inf, np.inf], (self.size - self.n_parameters, 1))
        return np.concatenate([self.bounds, free])

    def start(self, theta: FloatArray) -> FloatArray:
        """Full point at theta, the nuisances at zero."""
        return np.concatenate([theta, np.zeros(self.size - self.n_parameters)])

    def values(self, points: FloatArray) -> FloatArray:
        """Values at points of shape (n_points, size)."""
        n_block = max(1, _BLOCK // max(self.weight.size, 1))
        blocks = [points[i : i + n_block] for i in range(0, len(points), n_block)]
        return np.concatenate([np.zeros(0), *(self._values(b) for b in blocks)])

    def _values(self, points: FloatArray) -> FloatArray:
        theta, nu = np.split(points, [self.n_parameters], axis=1)
        total, n_data = self.events.log_total(theta), self.weight.sum()
        log_data = self.weight @ self.events.log_density(theta)
        log_data += nu @ (self.weight @ self.shifts.slope)
        log_data += nu**2 @ (self.weight @ self.shifts.bend)
        if self.reference is not None:
            log_n, log_q = self.reference.log_means(theta, nu)
            log_data, total = log_data - n_data * log_n, total + log_q - log_n
        penalty = (nu**2).sum(axis=1)
        if self.expected is None:
            return penalty - 2.0 * (log_data - n_data * total)
        log_rate = nu @ self.shifts.rate_slope + nu**2 @ self.shifts.rate_bend
        growth = np.expm1(np.minimum(total + log_rate, 500.0))
        log_data += n_data * log_rate
        return penalty + 2.0 * self.expected * growth - 2.0 * log_data

    def contributions(self, points: FloatArray) -> FloatArray:
        """Logs of the densities of the events, of shape (n_events, n_points)."""
        theta, nu = np.split(points, [self.n_parameters], axis=1)
        log_data = self.events.log_density(theta)
        log_data += self.shifts.slope @ nu.T + self.shifts.bend @ (nu**2).T
        total = self.events.log_total(theta)
        if self.reference is not None:
            log_n, log_q = self.reference.log_means(theta, nu)
            log_data, total = log_data - log_n, total + log_q - log_n
        if self.expected is None:
            return log_data - total
        return log_data + nu @ self.shifts.rate_slope + nu**2 @ self.shifts.rate_bend

    def value_and_gradient(self, point: FloatArray) -> tuple[float, FloatArray]:
        """Value and gradient at one point."""
        theta, nu = np.split(point, [self.n_parameters])
        value, n_data = float(self._values(point[None])[0]), self.weight.sum()
        density, total_theta = self.events.gradients(theta)
        by_theta = self.weight @ density
        by_nu = self.weight @ (self.shifts.slope + 2.0 * nu * self.shifts.bend)
        log_total, total_nu = self.events.log_total(theta[None])[0], np.zeros(nu.size)
        if self.reference is not None:
            n_by_nu, q_by_theta, q_by_nu = self.reference.gradients(theta, nu)
            log_n, log_q = self.reference.log_means(theta[None], nu[None])
            log_total = log_total + log_q[0] - log_n[0]
            total_theta, total_nu = total_theta + q_by_theta, q_by_nu - n_by_nu
            by_nu = by_nu - n_data * n_by_nu
        if self.expected is not None:
            log_rate = nu @ self.shifts.rate_slope + nu**2 @ self.shifts.rate_bend
            rate_nu = self.shifts.rate_slope + 2.0 * nu * self.shifts.rate_bend
            by_nu, total_nu = by_nu + n_data * rate_nu, total_nu + rate_nu
            n_data = self.expected * np.exp(min(log_total + log_rate, 500.0))
        by_theta, by_nu = by_theta - n_data * total_theta, by_nu - n_data * total_nu
        return value, np.concatenate([-2.0 * by_theta, 2.0 * nu - 2.0 * by_nu])

    def hessian(self, point: FloatArray, scale: FloatArray) -> FloatArray:
        """Second derivatives (size, size), from central differences of the gradient."""
        rows = []
        for step in np.diag(1e-3 * scale):
            up = self.value_and_gradient(point + step)[1]
            down = self.value_and_gradient(point - step)[1]
            rows.append((up - down) / (2.0 * step.sum()))
        hessian = np.array(rows)
        return 0.5 * (hessian + hessian.T)

    def with_scales(self, scales: FloatArray) -> "Objective":
        """The same, its events told at which distances the data notice a change."""
        chosen, reference = scales[: self.n_parameters], self.reference
        if reference is not None:
            reference = replace(reference, events=reference.events.with_scales(chosen))
        events = self.events.with_scales(chosen)
        return replace(self, events=events, reference=reference)

    def take(
        self,
        rows: NDArray[np.intp],
        weight: FloatArray,
        square: FloatArray | None = None,
    ) -> "Objective":
        """The same for some of the events, with other weights and their variances."""
        shifts = replace(
            self.shifts, slope=self.shifts.slope[rows], bend=self.shifts.bend[rows]
        )
        events, square = self.events.take(rows), weight**2 if square is None else square
        return replace(self, events=events, shifts=shifts, weight=weight, square=square)

    def in_effective_events(self) -> "Objective":
        """The same in units of u, of which sums of weights have the variance one."""
        if not self.square.any():
            return self
        unit = self.square.sum() / self.weight.sum()
        return replace(
            self,
            weight=self.weight / unit,
            square=self.square / unit**2,
            expected=None if self.expected is None else self.expected / unit,
        )
