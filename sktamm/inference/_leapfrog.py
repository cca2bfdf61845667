"""Trajectories of many chains, step by step in memory that stays.

In it momenta are those over the step size and metrics those times its square, so that
a leapfrog step is q += M p, p += gradient(q), with half gradients at both ends. What a
step asks of a GPU is recorded once.
"""

from collections.abc import Callable
from typing import Any

from sktamm._numerics import FloatArray
from sktamm.inference._recorded import recorded

__all__ = ["Leapfrog", "LogDensity"]

LogDensity = Callable[[FloatArray], tuple[FloatArray, FloatArray]]


class Leapfrog:
    """Chains (n_datasets, n_chains, n_params) on their way.

    After ``finish`` the end of the trajectories is in ``position``, ``log_density``,
    ``gradient`` and ``kinetic``, until the next ones are begun.
    """

    log_density: FloatArray
    gradient: FloatArray
    kinetic: FloatArray

    def __init__(self, target: LogDensity, like: FloatArray, xp: Any):
        self.target, self.xp = target, xp
        # gradient alone, where the target knows how to save the log density
        self._slope = getattr(target, "gradient", lambda position: target(position)[1])
        n_datasets, _, n_params = like.shape
        self.position = xp.zeros_like(like)
        self.momentum = xp.zeros_like(like)
        self.velocity = xp.zeros_like(like)
        self.metric = xp.zeros((n_datasets, n_params, n_params))
        self.step = recorded(self._step, like, xp)
        self.finish = recorded(self._finish, like, xp)

    def begin(
        self,
        position: FloatArray,
        gradient: FloatArray,
        momentum: FloatArray,
        step: FloatArray,
        covariance: FloatArray,
    ) -> None:
        """Start from positions with their gradients, in steps (n_datasets, 1, 1)."""
        self.position[...] = position
        self.metric[...] = step**2 * covariance
        self.momentum[...] = momentum / step
        self.momentum += 0.5 * gradient

    def _step(self) -> None:
        """One step of all chains, the first of them with half a gradient done."""
        self._drift()
        self.momentum += self._slope(self.position)

    def _finish(self) -> None:
        """The last step."""
        self._drift()
        self.log_density, self.gradient = self.target(self.position)
        self.momentum += 0.5 * self.gradient
        velocity = self.xp.matmul(self.momentum, self.metric, out=self.velocity)
        velocity *= self.momentum
        self.kinetic = 0.5 * velocity.sum(axis=-1)

    def _drift(self) -> None:
        self.position += self.xp.matmul(self.momentum, self.metric, out=self.velocity)
