"""Normalisation of densities that nuisance parameters have moved.

A shift e^h, h = a nu + b nu^2, of every event's density changes its integral, and by
an amount that depends on theta: this is how data tell nuisance parameters from theta,
and how both become correlated. With means over events of theta_ref,

    N(nu) = E[e^h],        Q(theta, nu) = E[D e^h] / E[D],

events are weighted by D e^h / N and the cross section is S Q / N.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sktamm._numerics import FloatArray
from sktamm.parametric._nuisance import Shifts

__all__ = ["Reference"]


@dataclass(frozen=True, eq=False)
class Reference:
    """Events of theta_ref over which the means are taken."""

    events: Any  # their EventRatios
    shifts: Shifts
    weight: FloatArray  # (n_events,), of sum one

    def log_means(
        self, theta: FloatArray, nu: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """ln N and ln Q (n_points,) at points (n_points, p) and (n_points, k)."""
        shift = np.exp(self._log_shift(nu))
        density = self._density(theta)
        log_n = np.log(self.weight @ shift)
        log_q = np.log((self.weight @ (density * shift)) / (self.weight @ density))
        return log_n, log_q

    def gradients(
        self, theta: FloatArray, nu: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Gradients of ln N with respect to nu, and of ln Q to theta and nu."""
        shift = self.weight * np.exp(self._log_shift(nu[None])[:, 0])
        density = self._density(theta[None])[:, 0]
        by_nu = self.shifts.slope + 2.0 * nu * self.shifts.bend
        by_theta = self.events.gradients(theta)[0]
        plain, moved = self.weight * density, shift * density
        return (
            shift @ by_nu / shift.sum(),
            moved @ by_theta / moved.sum() - plain @ by_theta / plain.sum(),
            moved @ by_nu / moved.sum(),
        )

    def _density(self, theta: FloatArray) -> FloatArray:
        """D up to a factor of every theta, lest all be zero or infinite far away."""
        log_density = self.events.log_density(theta)
        largest = log_density.max(axis=0)
        return np.exp(log_density - (largest - np.clip(largest, -500.0, 500.0)))

    def _log_shift(self, nu: FloatArray) -> FloatArray:
        log_shift = self.shifts.slope @ nu.T + self.shifts.bend @ (nu**2).T
        return np.clip(log_shift, -500.0, 500.0)
