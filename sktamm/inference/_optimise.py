"""Batched maximisation of the log posterior by damped Fisher scoring.

Each fit keeps its own Levenberg damping: a step that raises the objective is taken, and
the damping follows the ratio of the rise to the promised one. Coordinates that are held
fixed (kappa, for a profile) drop out of the step. Near a maximum of unbinned data,
whose second derivatives cost thrice their first, steps keep the information of an
earlier point as long as they come nearer quickly (the chord method).
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sktamm._numerics import FloatArray
from sktamm.mixture import RowData

__all__ = ["Objective", "Optimum", "Terms", "chunks", "maximise"]

# Value (n_fits,), gradient (n_fits, n_params) and information of parameters.
Terms = tuple[FloatArray, FloatArray, FloatArray]

_NONE = slice(0, 0)
_LARGEST_ARRAY = 8_000_000  # numbers, 64 MB: a rule of thumb
_FIRST_DAMPING = 1e-4  # of the curvature: nearly full steps
_LARGEST_DAMPING = 1e12  # steps below rounding
# Undamped, a direction without information is stepped along as far as rounding says.
_SMALLEST_DAMPING = 1e-8
_SHARE_OF_ROUNDING = 1e-2  # that a tolerance may be: a rule of thumb
# Whitened amplitudes have unit prior precision, log ratios a range of order one.
_PRIOR_CURVATURE = 1.0
# Rules of thumb: a promised rise from which an earlier information is good enough, and
# the share of it that a step with one may leave.
_NEAR, _QUICK = 0.3, 0.1


class Objective(Protocol):
    """A log posterior of parameters (n_fits, n_params) that can be maximised."""

    rows_are_events: bool  # first derivatives cost much less than second ones
    xp: Any  # the namespace in which it takes data, from NumPy's parameters

    def step_terms(self, theta: FloatArray, data: RowData) -> Terms:
        """Value, gradient and a positive stand-in for minus the Hessian."""

    def value_and_gradient(
        self, theta: FloatArray, data: RowData
    ) -> tuple[FloatArray, FloatArray]:
        """Value and gradient alone."""

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
    gradient: FloatArray  # (n_fits, n_params)
    information: FloatArray  # (n_fits, n_params, n_params), for minus the Hessian


def maximise(
    model: Objective,
    theta: FloatArray,
    data: RowData,
    *,
    fixed: slice = _NONE,
    max_iter: int = 100,
    tol: float | FloatArray = 1e-8,
    start: Terms | None = None,
) -> Optimum:
    """Maximise the log posterior of every fit, from ``theta`` (n_fits, n_params).

    ``tol`` may have a value for every fit, ``start`` holds its terms there, with the
    information of points nearby.
    """
    tol = np.broadcast_to(tol, len(theta))
    data = data.on(model.xp)  # once
    parts = [
        _Climb(
            model,
            theta[part],
            data.take(part),
            fixed,
            None if start is None else (start[0][part], start[1][part], start[2][part]),
        ).optimum(max_iter, tol[part])
        for part in chunks(model, data)
    ]
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return Optimum(*map(np.concatenate, columns))


def chunks(model: Objective, data: RowData) -> list[np.ndarray]:
    """Split fits so that their matrices stay within a fixed memory."""
    n_fits, n_rows = data.observed.shape
    size = max(1, _LARGEST_ARRAY // max(model.entries_per_fit(n_rows), 1))
    return [np.arange(i, min(i + size, n_fits)) for i in range(0, n_fits, size)]


class _Climb:
    """A batch of fits on their way up; every array runs over the fits."""

    def __init__(
        self,
        model: Objective,
        theta: FloatArray,
        data: RowData,
        fixed: slice,
        start: Terms | None,
    ):
        n_fits = theta.shape[0]
        self.model, self.data, self.fixed = model, data, fixed
        self.theta = theta.copy()
        terms = model.step_terms(theta, data) if start is None else start
        self.value, self.gradient, self.information = map(np.array, terms)
        self.stale = np.full(n_fits, start is not None)  # information of other points
        self.damping = np.full(n_fits, _FIRST_DAMPING)
        self.decrement = np.full(n_fits, np.inf)
        self.iterations = np.zeros(n_fits, dtype=int)
        self.rounding = model.rounding(data)

    def optimum(self, max_iter: int, tol: FloatArray) -> Optimum:
        """Go on until no fit promises more than its tolerance (n_fits,)."""
        tol = np.maximum(tol, _SHARE_OF_ROUNDING * self.rounding)
        active = np.arange(len(self.theta))
        for _ in range(max_iter):
            step, promised = self._promise(active)
            self.iterations[active] += 1
            moving = self.decrement[active] > tol[active]
            moving &= self.damping[active] < _LARGEST_DAMPING
            if not moving.any() and self.stale.any():
                # Judged by their own information, some may have a way to go.
                active = self._refresh(np.flatnonzero(self.stale))
                continue
            active, step, promised = active[moving], step[moving], promised[moving]
            if active.size == 0:
                break
            self._take(active, step, promised)
        if self.stale.any():
            self._promise(self._refresh(np.flatnonzero(self.stale)))
        return Optimum(
            self.theta,
            self.value,
            self.decrement,
            self.decrement <= tol,
            self.iterations,
            self.gradient,
            self.information,
        )

    def _promise(self, active: np.ndarray) -> tuple[FloatArray, FloatArray]:
        """Steps and the rises that they promise; what an undamped one would."""
        before = self.decrement[active]
        step, promised = self._steps(active)
        slow = np.minimum(_NEAR, _QUICK * before) < self.decrement[active]
        slow &= self.stale[active]
        if slow.any():
            again = self._refresh(active[slow])
            step[slow], promised[slow] = self._steps(again)
        return step, promised

    def _steps(self, active: np.ndarray) -> tuple[FloatArray, FloatArray]:
        gradient, information = self.gradient[active], self.information[active]
        damping = self.damping[active]
        step, promised = _scoring_step(gradient, information, damping, self.fixed)
        self.decrement[active] = promised * (1.0 + damping)
        return step, promised

    def _take(self, active: np.ndarray, step: FloatArray, promised: FloatArray) -> None:
        """Take the steps that raise the value, and adapt the damping."""
        factor = self.model.shortened(step)
        step, promised = step * factor[:, None], promised * factor * (2.0 - factor)
        trial = self.theta[active] + step
        value, gradient, information = self._terms(trial, active)
        gain = (value - self.value[active] + self.rounding) / promised
        better = gain >= 0
        taken = active[better]
        self.theta[taken], self.value[taken] = trial[better], value[better]
        self.gradient[taken] = gradient[better]
        self.information[taken] = information[better]
        self.stale[taken] = self._quick(taken)
        # A small gain means that the information is too small along the step; factors
        # are rules of thumb.
        self.damping[active] *= np.where(
            gain > 0.5, 0.1, np.where(gain > 0.25, 1.0, 10.0)
        )
        np.maximum(self.damping, _SMALLEST_DAMPING, out=self.damping)

    def _terms(self, trial: FloatArray, active: np.ndarray) -> Terms:
        """Terms of trials, with the information of before where that is enough."""
        quick = self._quick(active)
        if not quick.any():
            return self.model.step_terms(trial, self.data.take(active))
        value, gradient = np.empty(len(trial)), np.empty_like(trial)
        information = self.information[active]
        some = np.flatnonzero(quick)
        value[some], gradient[some] = self.model.value_and_gradient(
            trial[some], self.data.take(active[some])
        )
        rest = np.flatnonzero(~quick)
        if rest.size:
            value[rest], gradient[rest], information[rest] = self.model.step_terms(
                trial[rest], self.data.take(active[rest])
            )
        return value, gradient, information

    def _quick(self, active: np.ndarray) -> NDArray[np.bool_]:
        """Whether first derivatives are enough for the next step of fits."""
        return self.model.rows_are_events & (self.decrement[active] < _NEAR)

    def _refresh(self, old: np.ndarray) -> np.ndarray:
        """Give fits their own information, and return which."""
        terms = self.model.step_terms(self.theta[old], self.data.take(old))
        self.value[old], self.gradient[old], self.information[old] = terms
        self.stale[old] = False
        return old


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
