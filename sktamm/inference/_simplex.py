"""The log posterior with all fractions on the simplex, in isometric log ratios.

Fractions are f = softmax(V y), V an orthonormal contrast basis. Their flat prior on the
simplex has the density prod_c f_c in y, so that

    ln p(y, z | data) = ln p(f(y), z | data) + sum_c ln f_c(y)

has its maximum inside, about one event away from a bound that the data press against.
With the slopes s_c = f_c (G_c - f'G) of the logits, G the gradient by the fractions,
and J = (diag f - f f') V,

    d/dy   = V' (s - C f),
    d2/dy2 = J' H J + V' [diag(s) - s f' - f s' - C (diag f - f f')] V.
"""

from typing import Any

import numpy as np

from sktamm._numerics import FloatArray, contrast_basis, positive_definite, softmax
from sktamm.mixture import MixtureModel, RowData

__all__ = ["OnSimplex"]

_LONGEST_STEP = 3.0  # of log ratios, a rule of thumb: odds times twenty
_SMALLEST = 1e-300  # near underflow


class OnSimplex:
    """A mixture as a function of log ratios of the fractions: an `Objective`."""

    def __init__(self, model: MixtureModel):
        self.model, self.xp = model, model.xp
        self.rows_are_events = model.rows_are_events
        self.n_params = model.n_params
        self.n_fractions = model.n_fractions
        self.contrast = contrast_basis(model.n_fractions + 1)

    def start(self, n_fits: int) -> FloatArray:
        """Equal fractions and the average of the simulations."""
        return np.zeros((n_fits, self.n_params))

    def theta(self, position: FloatArray) -> FloatArray:
        """Parameters of the mixture at positions (n_fits, n_params)."""
        theta = position.copy()
        theta[:, : self.n_fractions] = self._fractions(position)[:, :-1]
        return theta

    def position(self, theta: FloatArray) -> FloatArray:
        """Positions of parameters whose fractions are all positive."""
        free = theta[:, : self.n_fractions]
        rest = 1.0 - free.sum(axis=1, keepdims=True)
        position = theta.copy()
        logs = np.log(np.maximum(np.hstack([free, rest]), _SMALLEST))
        position[:, : self.n_fractions] = logs @ self.contrast
        return position

    def _fractions(self, position: FloatArray) -> FloatArray:
        """Fractions, kappa first and the dependent class last."""
        return softmax(position[:, : self.n_fractions] @ self.contrast.T)

    def entries_per_fit(self, n_rows: int) -> int:
        """Numbers that one fit needs in memory at once."""
        return self.model.entries_per_fit(n_rows)

    def rounding(self, data: RowData) -> float:
        """Noise of the log posterior from the precision of its numbers."""
        return self.model.rounding(data)

    def shortened(self, step: FloatArray) -> FloatArray:
        """Factors that keep log ratios, too, within the range of a local step."""
        length = np.linalg.norm(step[:, : self.n_fractions], axis=1)
        ratios = np.minimum(1.0, _LONGEST_STEP / np.maximum(length, _SMALLEST))
        return np.minimum(ratios, self.model.shortened(step))

    def value(self, position: FloatArray, data: RowData) -> FloatArray:
        """Log posterior density of positions, shape (n_fits,)."""
        return self.model.value(self.theta(position), data) + self.log_volume(position)

    def log_volume(self, position: FloatArray) -> FloatArray:
        """Sum of the log fractions: the flat prior on the simplex, (n_fits,)."""
        return np.log(np.maximum(self._fractions(position), _SMALLEST)).sum(axis=1)

    def step_terms(
        self, position: FloatArray, data: RowData
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Value, gradient and a positive definite stand-in for minus the Hessian."""
        # The Hessian itself where it is negative definite; elsewhere the information of
        # a scoring step, with what a bound of the simplex adds to it.
        theta = self.theta(position)
        value, gradient, information = self.model.step_terms(theta, data)
        fractions, slope = self._slopes(position, gradient)
        exact = self._exact(
            self.model.newton(theta, data, information), position, slope
        )
        bad = ~positive_definite(exact)
        if bad.any():
            bound = _diagonal(np.maximum(-slope, 0.0))
            inner = bound + self._volume_curvature(fractions)
            exact[bad] = self._transformed(information, fractions, inner)[bad]
        value = value + self.log_volume(position)
        return value, self._position_gradient(gradient, fractions, slope), exact

    def value_and_gradient(
        self, position: FloatArray, data: RowData
    ) -> tuple[FloatArray, FloatArray]:
        """Value and gradient alone."""
        theta = self.theta(position)
        value, gradient = self.model.value_and_gradient(theta, data)
        fractions, slope = self._slopes(position, gradient)
        value = value + self.log_volume(position)
        return value, self._position_gradient(gradient, fractions, slope)

    def precision(self, position: FloatArray, data: RowData) -> FloatArray:
        """Minus the exact Hessian, shape (n_fits, n_params, n_params)."""
        theta = self.theta(position)
        gradient = self.model.value_and_gradient(theta, data)[1]
        slope = self._slopes(position, gradient)[1]
        return self._exact(-self.model.hessian(theta, data), position, slope)

    def _exact(
        self, precision: FloatArray, position: FloatArray, slope: FloatArray
    ) -> FloatArray:
        """Minus the Hessian by the position, from that by the mixture's parameters."""
        fractions = self._fractions(position)
        outer = slope[:, :, None] * fractions[:, None, :]
        inner = outer + outer.swapaxes(1, 2) - _diagonal(slope)
        inner += self._volume_curvature(fractions)
        return self._transformed(precision, fractions, inner)

    def covariance(self, position: FloatArray, covariance: FloatArray) -> FloatArray:
        """Covariance of the mixture's parameters from that of positions."""
        full = self._jacobian(self._fractions(position))
        return full @ covariance @ full.swapaxes(1, 2)

    def _slopes(
        self, position: FloatArray, gradient: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Fractions f and slopes s of their logits."""
        fractions = self._fractions(position)
        full = np.zeros_like(fractions)
        full[:, :-1] = gradient[:, : self.n_fractions]
        mean = (fractions * full).sum(axis=1, keepdims=True)
        return fractions, fractions * (full - mean)

    def _position_gradient(
        self, gradient: FloatArray, fractions: FloatArray, slope: FloatArray
    ) -> FloatArray:
        gradient = gradient.copy()
        drive = slope - fractions.shape[1] * fractions
        gradient[:, : self.n_fractions] = drive @ self.contrast
        return gradient

    def _volume_curvature(self, fractions: FloatArray) -> FloatArray:
        """C (diag f - f f')."""
        outer = fractions[:, :, None] * fractions[:, None, :]
        return fractions.shape[1] * (_diagonal(fractions) - outer)

    def _transformed(
        self, matrix: FloatArray, fractions: FloatArray, inner: FloatArray
    ) -> FloatArray:
        """J' M J with V' inner V added to the block of the fractions."""
        full = self._jacobian(fractions)
        out = full.swapaxes(1, 2) @ matrix @ full
        block = slice(0, self.n_fractions)
        out[:, block, block] += self.contrast.T @ inner @ self.contrast
        return out

    def _jacobian(self, fractions: FloatArray) -> FloatArray:
        """Derivative of the mixture's parameters by the position."""
        n = self.n_fractions
        outer = fractions[:, :, None] * fractions[:, None, :]
        change: Any = (_diagonal(fractions) - outer) @ self.contrast
        full = np.tile(np.eye(self.n_params), (len(fractions), 1, 1))
        full[:, :n, :n] = change[:, :n]
        return full


def _diagonal(values: FloatArray) -> FloatArray:
    """Diagonal matrices of vectors (n_fits, n)."""
    return values[:, :, None] * np.eye(values.shape[1])
