r"""Posterior of the fractions of three and more classes by importance sampling.

Points on the simplex are drawn evenly from a Student t in the log ratios y of the
fractions f, first around the joint maximum, then around what the points before say. A
point weighs

    w = p(y | data) / t(y),    p(y | data) = max_z p(y, z | data) |A_z|^(-1/2),

with the blend parameters z integrated by Laplace's method. The conditional maxima z*(f)
and ln |A_z| are found at a few points and are quadratic functions of f in between; the
likelihood itself is evaluated at every point.

References
----------
Tierney and Kadane (1986); Cappe et al., "Population Monte Carlo" (2004).
"""

import itertools

import numpy as np
from scipy import special, stats

from sktamm._numerics import FloatArray
from sktamm.inference._optimise import maximise
from sktamm.inference._simplex import OnSimplex
from sktamm.mixture import MixtureModel, RowData

__all__ = ["weighed_fractions"]

# Points of every round: the last 2 048 know a quantile to about 4 % of a width.
_POINTS = (512, 512, 2048)
# Degrees and width of the proposal: tails of log ratios are exponential. These, and the
# numbers below, are rules of thumb that agree with brute force (test_weighing.py).
_DEGREES = 4.0
_WIDER = 1.5
_DESIGN_PER_COEFFICIENT = 2
_TOL = 1e-3
_RIDGE = 1e-6
_LARGEST_ARRAY = 4_000_000


def weighed_fractions(
    model: MixtureModel, rows: RowData, theta: FloatArray, covariance: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Points on the simplex and their posterior weights, for one fit.

    Parameters
    ----------
    model : MixtureModel
        Log posterior.
    rows : RowData
        Data of the fit.
    theta : ndarray of shape (n_params,)
        Joint maximum, its fractions inside the simplex.
    covariance : ndarray of shape (n_params, n_params)
        Local covariance there.

    Returns
    -------
    fractions : ndarray of shape (n_points, n_fractions)
        Kappa first, the dependent class left out.
    weight : ndarray of shape (n_points,)
        Sum to one.
    """
    simplex = OnSimplex(model)
    n = model.n_fractions
    start = simplex.position(theta[None])
    spread = np.linalg.inv(simplex.precision(start, rows)[0])[:n, :n]
    centre = start[0, :n]
    path = _Path(model, rows, theta, covariance)
    weight, fractions = np.ones(1), theta[None, :n]
    for number, size in enumerate(_POINTS):
        y, log_t = _even_draws(centre, spread, size, number)
        fractions = simplex.theta(_padded(y, model.n_params))[:, :n]
        if number < len(_POINTS) - 1:
            path.learn(fractions)
        log_p = path.log_density(fractions) + simplex.log_volume(_padded(y, n))
        weight = special.softmax(log_p - log_t)
        centre = weight @ y
        spread = (weight[:, None] * (y - centre)).T @ (y - centre)
        spread += _RIDGE * np.eye(n)
    return fractions, weight


def _padded(y: FloatArray, size: int) -> FloatArray:
    return np.pad(y, ((0, 0), (0, size - y.shape[1])))


def _even_draws(
    centre: FloatArray, spread: FloatArray, size: int, number: int
) -> tuple[FloatArray, FloatArray]:
    """Points of a Student t that fill it evenly (Halton), and its log density."""
    n = centre.size
    cube = stats.qmc.Halton(n + 1, seed=number).random(size)
    normal = special.ndtri(np.clip(cube[:, :n], 1e-12, 1.0 - 1e-12))
    scale = stats.chi2.ppf(np.clip(cube[:, n], 1e-12, 1.0), _DEGREES) / _DEGREES
    unit = _WIDER * normal / np.sqrt(scale)[:, None]
    root = np.linalg.cholesky(spread)
    square = (unit**2).sum(axis=1) / _WIDER**2
    log_t = -0.5 * (_DEGREES + n) * np.log1p(square / _DEGREES)
    return centre + unit @ root.T, log_t


class _Path:
    """Blend parameters and the volume around them as functions of the fractions."""

    def __init__(
        self,
        model: MixtureModel,
        rows: RowData,
        theta: FloatArray,
        covariance: FloatArray,
    ):
        self.model, self.rows, self.theta = model, rows, theta
        n = self.n = model.n_fractions
        self.slope = np.linalg.solve(covariance[:n, :n], covariance[:n, n:])
        self.points: list[FloatArray] = []
        self.found: list[FloatArray] = []
        self.coefficients: FloatArray | None = None

    def learn(self, fractions: FloatArray) -> None:
        """Conditional maxima at some more fractions, and the functions through all."""
        if self.theta.size == self.n:
            return
        size = _DESIGN_PER_COEFFICIENT * _terms(fractions[:1]).shape[1]
        chosen = fractions[:size]
        theta = np.hstack([chosen, self._blends(chosen)])
        feasible = np.isfinite(self.model.value(theta, self._repeated(size)))
        theta[~feasible, self.n :] = self.theta[self.n :]
        for point in theta:
            self.points.append(point[: self.n])
            self.found.append(self._maximum(point))
        terms = _terms(np.array(self.points) - self.theta[: self.n])
        values = np.array(self.found)
        # Better points count more: a quadratic through far ones would bend the near.
        weight = np.exp(0.25 * (values[:, -2] - values[:, -2].max()))[:, None]
        weight = np.sqrt(np.maximum(weight, _RIDGE))
        known = values[:, [*range(values.shape[1] - 2), -1]]
        self.coefficients = np.linalg.lstsq(weight * terms, weight * known)[0]

    def _maximum(self, theta: FloatArray) -> FloatArray:
        """Blend parameters, log density and minus half ln |A_z| at given fractions."""
        given = slice(0, self.n)
        found = maximise(self.model, theta[None], self.rows, fixed=given, tol=_TOL)
        blend = slice(self.n, None)
        information = found.information[0][blend, blend]
        volume = -0.5 * np.linalg.slogdet(information)[1]
        return np.concatenate([found.theta[0, blend], [found.value[0], volume]])

    def _blends(self, fractions: FloatArray) -> FloatArray:
        shift = fractions - self.theta[: self.n]
        if self.coefficients is None:
            return self.theta[self.n :] + shift @ self.slope
        return (_terms(shift) @ self.coefficients)[:, :-1]

    def log_density(self, fractions: FloatArray) -> FloatArray:
        """Ln p of fractions with the blends integrated, up to a constant."""
        theta = np.hstack([fractions, self._blends(fractions)])
        size = max(1, _LARGEST_ARRAY // self.rows.observed.size)
        parts = [theta[i : i + size] for i in range(0, len(theta), size)]
        value = np.concatenate(
            [self.model.value(part, self._repeated(len(part))) for part in parts]
        )
        if self.coefficients is not None:
            shift = fractions - self.theta[: self.n]
            value = value + (_terms(shift) @ self.coefficients)[:, -1]
        return np.where(np.isfinite(value), value, -1e300)

    def _repeated(self, size: int) -> RowData:
        return self.rows.take(np.zeros(size, dtype=int))


def _terms(shift: FloatArray) -> FloatArray:
    """Quadratic polynomials of shifts of the fractions, the constant first."""
    n = shift.shape[1]
    pairs = itertools.combinations_with_replacement(range(n), 2)
    products = [shift[:, i] * shift[:, j] for i, j in pairs]
    return np.column_stack([np.ones(len(shift)), shift, *products])
