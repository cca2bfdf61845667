"""Batched maximisation of the log posterior by damped Fisher scoring.

Each fit keeps its own Levenberg damping: a step that raises the objective is taken, and
the damping follows the ratio of the rise to the promised one. Coordinates that are held
fixed (kappa, for a profile) drop out of the step.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sktamm._numerics import FloatArray
from sktamm.mixture import RowData

__all__ = ["Objective", "Optimum", "chunks", "maximise"]

_NONE = slice(0, 0)
_LARGEST_ARRAY = 8_000_000  # numbers, 64 MB: a rule of thumb
_FIRST_DAMPING = 1e-4  # of the curvature: nearly full steps
_LARGEST_DAMPING = 1e12  # steps below rounding
# Undamped, a direction without information is stepped along as far as rounding says.
_SMALLEST_DAMPING = 1e-8
_SHARE_OF_ROUNDING = 1e-2  # that a tolerance may be: a rule of thumb
# Whitened amplitudes have unit prior precision, log ratios a range of order one.
_PRIOR_CURVATURE = 1.0


class Objective(Protocol):
    """A log posterior of parameters (n_fits, n_params) that can be maximised."""

    def step_terms(
        self, theta: FloatArray, data: RowData
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Value, gradient and a positive stand-in for minus the Hessian."""

    def shortened(self, step: FloatArray) -> FloatArray:
        """Factors (n_fits,) on steps that would be too long."""

    def rounding(self, data: RowData) -> float:
        """Noise of the value."""

    def entries_per_fit(self, n_rows: int) -> int:
        """Numbers that one fit needs in memory at once."""


@dataclass(frozen=True, eq=False)
class Optimum:
    """End point of every fit of a batch."""

    theta: FloatArray  # (n_fits, n_params)
    value: FloatArray  # (n_fits,), log posterior
    decrement: FloatArray  # (n_fits,), the rise that the last step still promised
    converged: np.ndarray  # (n_fits,), whether that fell below the tolerance
    n_iterations: np.ndarray  # (n_fits,)
    information: FloatArray  # (n_fits, n_params, n_params), for minus the Hessian


def maximise(
    model: Objective,
    theta: FloatArray,
    data: RowData,
    *,
    fixed: slice = _NONE,
    max_iter: int = 100,
    tol: float = 1e-8,
) -> Optimum:
    """Maximise the log posterior of every fit, from ``theta`` (n_fits, n_params)."""
    parts = [
        _maximise(model, theta[part], data.take(part), fixed, max_iter, tol)
        for part in chunks(model, data)
    ]
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return Optimum(*map(np.concatenate, columns))


def chunks(model: Objective, data: RowData) -> list[np.ndarray]:
    """Split fits so that their matrices stay within a fixed memory."""
    n_fits, n_rows = data.observed.shape
    size = max(1, _LARGEST_ARRAY // max(model.entries_per_fit(n_rows), 1))
    return [np.arange(i, min(i + size, n_fits)) for i in range(0, n_fits, size)]


def _maximise(
    model: Objective,
    theta: FloatArray,
    data: RowData,
    fixed: slice,
    max_iter: int,
    tol: float,
) -> Optimum:
    theta = theta.copy()
    n_fits = theta.shape[0]
    damping = np.full(n_fits, _FIRST_DAMPING)
    decrement = np.full(n_fits, np.inf)
    iterations = np.zeros(n_fits, dtype=int)
    value, gradient, information = model.step_terms(theta, data)
    rounding = model.rounding(data)
    tol = max(tol, _SHARE_OF_ROUNDING * rounding)
    active = np.arange(n_fits)
    for _ in range(max_iter):
        step, promised = _scoring_step(
            gradient[active], information[active], damping[active], fixed
        )
        # what an undamped step would promise
        decrement[active] = promised * (1.0 + damping[active])
        iterations[active] += 1
        moving = (decrement[active] > tol) & (damping[active] < _LARGEST_DAMPING)
        active, step, promised = active[moving], step[moving], promised[moving]
        if active.size == 0:
            break
        factor = model.shortened(step)
        step, promised = step * factor[:, None], promised * factor * (2.0 - factor)
        trial = theta[active] + step
        terms = model.step_terms(trial, data.take(active))
        gain = (terms[0] - value[active] + rounding) / promised
        better = gain >= 0
        taken = active[better]
        theta[taken], value[taken] = trial[better], terms[0][better]
        gradient[taken], information[taken] = terms[1][better], terms[2][better]
        # A small gain means that the information is too small along the step; factors
        # are rules of thumb.
        damping[active] *= np.where(gain > 0.5, 0.1, np.where(gain > 0.25, 1.0, 10.0))
        np.maximum(damping, _SMALLEST_DAMPING, out=damping)
    converged = decrement <= tol
    return Optimum(theta, value, decrement, converged, iterations, information)


def _scoring_step(
    gradient: FloatArray, information: FloatArray, damping: FloatArray, fixed: slice
) -> tuple[FloatArray, FloatArray]:
    """Damped step (G + lambda D)^-1 g and the rise g.step/2 that it promises.

    D is the diagonal of G, and no less than the curvature of the priors.
    """
    gradient, information = gradient.copy(), information.copy()
    gradient[:, fixed] = 0.0
    information[:, fixed, :] = 0.0
    information[:, :, fixed] = 0.0
    index = np.arange(information.shape[1])
    diagonal = information[:, index, index]
    floor = 1e-12 * diagonal.max(axis=1, keepdims=True) + np.finfo(float).tiny
    scale = np.maximum(diagonal, _PRIOR_CURVATURE)
    information[:, index, index] += damping[:, None] * scale + floor
    step = np.asarray(np.linalg.solve(information, gradient[:, :, None]))[:, :, 0]
    return step, 0.5 * np.einsum("bi,bi->b", gradient, step)
