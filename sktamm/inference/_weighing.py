"""Posterior of the fractions of three and more classes by importance sampling.

Points on the simplex are drawn from a wide normal in the log ratios y of the fractions,
around the joint maximum; its spread is first that of the curvature there, then that of
the points before. A point weighs

    w = p(y | data) / t(y),    p(y | data) = max_z p(y, z | data) |A_z|^(-1/2),

with the blend parameters z integrated by Laplace's method, A_z minus the Hessian.

References
----------
Tierney and Kadane (1986); Cappe et al., "Population Monte Carlo" (2004).
"""

import numpy as np
from scipy import special, stats

from sktamm._numerics import FloatArray
from sktamm.inference._curve import log_det
from sktamm.inference._optimise import maximise
from sktamm.inference._simplex import OnSimplex
from sktamm.mixture import MixtureModel, RowData

__all__ = ["weighed_fractions"]

# Points of every round: the last 2 048 know a quantile to about 4 % of a width. Blends
# of events make every point dear.
_POINTS = (512, 512, 2048)
_EVENT_POINTS = (128, 128, 1024)
# Width of the proposal in standard deviations: tails of log ratios are exponential. It
# and the numbers below are rules of thumb that agree with brute force and chains
# (test_weighing.py).
_WIDER = 1.5
_TOL = 0.01
_RIDGE = 1e-6
_NOWHERE = -1e300


def weighed_fractions(
    model: MixtureModel, rows: RowData, theta: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Points (n, n_fractions) on the simplex and posterior weights (n,) of one fit."""
    simplex = OnSimplex(model)
    n = model.n_fractions
    start = simplex.position(theta[None])
    spread = np.linalg.inv(simplex.precision(start, rows)[0])[:n, :n]
    centre = start[0, :n]
    conditional = _Conditional(model, rows, theta)
    weight, fractions = np.ones(1), theta[None, :n]
    dear = model.rows_are_events and model.n_params > n
    for number, size in enumerate(_EVENT_POINTS if dear else _POINTS):
        y, log_t = _even_draws(centre, spread, size, number)
        fractions = simplex.theta(_padded(y, model.n_params))[:, :n]
        log_p = conditional.log_density(fractions)
        log_p += simplex.log_volume(_padded(y, n))
        weight = special.softmax(log_p - log_t)
        spread = (weight[:, None] * (y - centre)).T @ (y - centre)
        spread += _RIDGE * np.eye(n)
    return fractions, weight


def _padded(y: FloatArray, size: int) -> FloatArray:
    return np.pad(y, ((0, 0), (0, size - y.shape[1])))


def _even_draws(
    centre: FloatArray, spread: FloatArray, size: int, number: int
) -> tuple[FloatArray, FloatArray]:
    """Points of a wide normal that fill it evenly (Halton), and its log density."""
    cube = stats.qmc.Halton(centre.size, seed=number).random(size)
    normal = special.ndtri(np.clip(cube, 1e-12, 1.0 - 1e-12))
    root = _WIDER * np.linalg.cholesky(spread)
    return centre + normal @ root.T, -0.5 * (normal**2).sum(axis=1)


class _Conditional:
    """Density of the fractions, the blend parameters integrated at every point."""

    def __init__(self, model: MixtureModel, rows: RowData, theta: FloatArray):
        self.model, self.rows = model, rows
        self.n = model.n_fractions
        self.known = theta[None]

    def log_density(self, fractions: FloatArray) -> FloatArray:
        """Ln p of fractions (n_points, n_fractions), up to a constant."""
        rows = self.rows.take(np.zeros(len(fractions), dtype=int))
        theta = self._starts(fractions)
        found = maximise(self.model, theta, rows, fixed=slice(0, self.n), tol=_TOL)
        self.known = np.concatenate([self.known, found.theta])
        volume = log_det(self.model, found.theta, rows, self.n)
        value = found.value - 0.5 * volume
        return np.where(np.isfinite(value), value, _NOWHERE)

    def _starts(self, fractions: FloatArray) -> FloatArray:
        """Parameters at fractions, the blends of the maximum known nearest to them."""
        distance = (fractions[:, None] - self.known[:, : self.n]) ** 2
        nearest = distance.sum(axis=2).argmin(axis=1)
        return np.hstack([fractions, self.known[nearest, self.n :]])
