"""The mixture of unbinned data: the same log posterior, summed in blocks of events.

    log L(theta) = sum_i [ a_i ln p_i - e_i p_i ] + ln prior,    p_i = sum_c f_c q_ci

Memory grows with the block, not with events times parameters. With the share of class c
at row i, s_c = f_c q_c / p, and J_c = d ln q_c / d z_c, the Hessian of the data term is

    z_c, z_d    sum g (delta_cd (J J' + d2 ln q_c) s_c) - sum a s_c s_d J_c J_d'
    f_j, z_c    sum (g sign_jc q_c / p - a D_j s_c) J_c,    D_j = (q_j - q_last) / p
    f_j, f_k    - sum a D_j D_k

where g = a - e p.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sktamm._arrays import namespace, to_numpy
from sktamm._numerics import FloatArray, positive_definite, row_pieces
from sktamm.base import ComponentTable
from sktamm.mixture._event_densities import EventDensity, Moments, Sums, row_blocks
from sktamm.mixture._made_rows import Rows, number_of
from sktamm.mixture._model import Block, MixtureModel, RowData, near_simplex
from sktamm.mixture._reference_barrier import Barrier, subtract_barriers
from sktamm.mixture._sensitivity import extra_variance

__all__ = ["EventMixture"]

# Per event: 1e-7 of single precision, averaged over 50 000 reference rows and more.
_ROUNDING = 1e-9
# Rules of thumb: a density near overflow; prior widths within which a quadratic may be
# trusted; the p-value of a blend that no truth has.
_LARGEST_DENSITY = 1e100
_LONGEST_STEP = 3.0
_RUNAWAY = 1e-6


@dataclass(frozen=True, eq=False)
class _Rows:
    """Quantities of a block of rows; lists run over classes."""

    observed: FloatArray
    residual: FloatArray
    density: FloatArray
    ratio: list[FloatArray]
    share: list[FloatArray]
    scale: list[Any]


class EventMixture(MixtureModel):
    """Log posterior of fractions and blends for unbinned data, batched over fits."""

    def __init__(
        self,
        densities: Sequence[EventDensity],
        blocks: Sequence[Block],
        positive: int,
        reference_weight: FloatArray,
        spans_simulations: bool,
    ):
        parts: Any = densities
        self.spans_simulations = spans_simulations
        super().__init__(parts, blocks, positive, reference_weight)
        self.events: list[EventDensity] = list(densities)
        self.n_rows = self.events[0].features.shape[0]

    rows_are_events = True

    def moved(self, xp: Any) -> Self:
        """The same mixture with all arrays in a namespace; log posteriors only."""
        new: Any = super().moved(xp)
        new.events = new.densities
        return new

    def reference_noise(self, theta: FloatArray, data: RowData) -> FloatArray:
        """Factor by which a finite reference adds to the variance of the target."""
        n_events = np.maximum(data.observed, 0.0).sum(axis=1)
        return np.asarray(1.0 + n_events / np.maximum(self.reference_size(theta), 1.0))

    def ran_away(self, theta: FloatArray) -> NDArray[np.bool_]:
        """Whether fits are where the reference knows no normalisation, (n_fits,)."""
        return (self.prior_tension(theta) < _RUNAWAY) | self.meets_barrier(theta)

    def extra_variance(
        self,
        theta: FloatArray,
        direction: FloatArray,
        data: RowData,
        table: ComponentTable,
    ) -> dict[str, FloatArray]:
        """Variances from the finite reference sample and from the learned ratios."""
        reference, ratios = extra_variance(self, theta, direction, data, table)
        return {"reference": reference, "ratios": ratios}

    def take_rows(self, rows: Rows) -> "EventMixture":
        """The same mixture at some of the rows; it shares the reference sample."""
        new = copy.copy(self)
        parts: Any = [density.take_rows(rows) for density in self.events]
        new.densities = new.events = parts
        new.n_rows = number_of(rows)
        return new

    def entries_per_fit(self, n_rows: int) -> int:
        """Numbers that one fit needs in memory at once, beyond the blocks."""
        if len(row_pieces(n_rows)) > 1:  # of many rows, there are none but the blocks
            return self.n_params**2
        return self.n_params**2 + 4 * n_rows

    def pieces(self, theta: FloatArray) -> Iterator[tuple[slice, "EventMixture"]]:
        """Consecutive rows, all if they are few, and the same mixture at them."""
        pieces = row_pieces(self.n_rows)
        if len(pieces) < 2:
            yield slice(0, self.n_rows), self
            return
        self.class_moments(theta)  # which the pieces keep
        for rows in pieces:
            yield rows, self.take_rows(rows)

    def shortened(self, step: FloatArray) -> FloatArray:
        """Factors (n_fits,) that keep changes of the blends within a few prior widths.

        Far away a finite reference sample no longer knows the normalisation, and the
        likelihood has maxima that mean nothing.
        """
        length = np.linalg.norm(step[:, self.n_fractions :], axis=1)
        if self.is_linear:
            return np.ones(len(step))
        return np.minimum(1.0, _LONGEST_STEP / np.maximum(length, 1e-300))

    def rounding(self, data: RowData) -> float:
        """Noise of the log posterior from numbers stored in single precision."""
        if all(density.exact for density in self.events):
            return 0.0
        observed = to_numpy(data.observed)
        return _ROUNDING * float(np.abs(observed).sum(axis=1).max(initial=0.0))

    # -------------------------------------------------------------------- at the rows
    def class_log_density(self, theta: FloatArray) -> FloatArray:
        """ln q_c at the rows, shape (n_fits, n_classes, n_rows)."""
        out = np.empty((len(theta), self.n_classes, self.n_rows))
        at = self.class_moments(theta)
        for rows in self._blocks(len(theta)):
            for c, density in enumerate(self.events):
                out[:, c, rows] = density.log_density(at[c], rows)
        return out

    def row_density(self, theta: FloatArray) -> FloatArray:
        """p at the rows relative to the reference, shape (n_fits, n_rows)."""
        out = np.empty((len(theta), self.n_rows))
        for rows, part in self.pieces(theta):
            density = np.exp(part.class_log_density(theta))
            out[:, rows] = np.einsum("bc,bci->bi", self.fractions(theta), density)
        return out

    def statistical_variance(self, theta: FloatArray) -> FloatArray:
        """Zero: the errors of learned ratios are common to many rows."""
        return np.zeros((len(theta), self.n_rows))

    def row_scores(self, theta: FloatArray) -> FloatArray:
        """d ln p_i / d theta, shape (n_fits, n_rows, n_params)."""
        unit = np.eye(self.n_params)
        columns = [
            self.score_along(theta, np.tile(row, (len(theta), 1))) for row in unit
        ]
        return np.stack(columns, axis=2)

    def score_along(self, theta: FloatArray, direction: FloatArray) -> FloatArray:
        """Derivative of ln p_i along one direction, shape (n_fits, n_rows)."""
        out = np.empty((len(theta), self.n_rows))
        for rows, part in self.pieces(theta):
            out[:, rows] = part._score_along(theta, direction)
        return out

    def _score_along(self, theta: FloatArray, direction: FloatArray) -> FloatArray:
        drift, ratio = self.class_drift(theta, direction)
        fractions = self.fractions(theta)
        change = self.fraction_change(direction)
        total = np.zeros_like(ratio[0])
        for c, density_ratio in enumerate(ratio):
            total += density_ratio * (
                change[:, c, None] + fractions[:, c, None] * drift[c]
            )
        return total

    def class_drift(
        self, theta: FloatArray, direction: FloatArray
    ) -> tuple[list[FloatArray], list[FloatArray]]:
        """Derivatives of ln q_c along a direction, and q_c / p, (n_fits, n_rows)."""
        at = self.class_moments(theta)
        drift = [np.empty((len(theta), self.n_rows)) for _ in self.events]
        ratio = [np.empty((len(theta), self.n_rows)) for _ in self.events]
        data = RowData(np.zeros((len(theta), self.n_rows)))
        for rows in self._blocks(len(theta)):
            block = self._rows(theta, at, data, rows)
            for c, density in enumerate(self.events):
                along = direction[:, self.slices[c]]
                slope = at[c].applied(along)
                drift[c][:, rows] = block.scale[c] * density.blended(slope, rows)
                drift[c][:, rows] += np.einsum("bp,bp->b", along, at[c].affine)[:, None]
                ratio[c][:, rows] = block.ratio[c]
        return drift, ratio

    def fraction_change(self, direction: FloatArray) -> FloatArray:
        """Change of all fractions along a direction, shape (n_fits, n_classes)."""
        out = np.empty((len(direction), self.n_classes))
        out[:, self.free_classes] = direction[:, : self.n_fractions]
        out[:, self.dependent_class] = -direction[:, : self.n_fractions].sum(axis=1)
        return out

    def reference_size(self, theta: FloatArray) -> FloatArray:
        """Smallest (sum m q)^2 / sum (m q)^2 of a class (n_fits,): effective rows."""
        sizes = np.empty((len(theta), self.n_classes))
        for b in range(len(theta)):
            at = self.class_moments(theta[b : b + 1])
            for c, density in enumerate(self.events):
                sizes[b, c] = density.reference_size(at[c], self.reference_weight)
        return sizes.min(axis=1)

    def meets_barrier(self, theta: FloatArray) -> NDArray[np.bool_]:
        """Whether few reference rows hold a fit back, shape (n_fits,)."""
        barriers = self._barriers(self.class_moments(theta), 0)
        heights = [barrier.height for barrier in barriers if barrier is not None]
        return np.any([np.zeros(len(theta)), *heights], axis=0)

    def _barriers(self, at: list[Moments], order: int) -> list[Barrier | None]:
        pairs = zip(self.events, at, strict=True)
        return [density.barrier(own, order) for density, own in pairs]

    # ---------------------------------------------------------------- sums over rows
    def log_likelihood(self, theta: FloatArray, data: RowData) -> FloatArray:
        """The part of the data alone."""
        return self._collect(theta, data, 0)[0]

    def value_and_gradient(
        self, theta: FloatArray, data: RowData
    ) -> tuple[FloatArray, FloatArray]:
        """Log posterior (n_fits,) and its gradient (n_fits, n_params)."""
        value, gradient, _ = self._collect(theta, data, 1)
        self._add_prior_gradient(gradient, theta)
        return value + self.log_prior(theta), gradient

    def step_terms(
        self, theta: FloatArray, data: RowData
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Value, gradient and minus the Hessian, made positive by squared scores."""
        value, gradient, hessian = self._collect(theta, data, 2)
        self._add_prior_gradient(gradient, theta)
        information = -hessian
        self._add_information(information, theta)
        xp = namespace(value)
        outside = ~xp.isfinite(value)
        gradient[outside], information[outside] = 0.0, xp.eye(self.n_params)
        bad = np.flatnonzero(~positive_definite(information))
        if bad.size:
            subset = data.take(bad)
            scores = -self._collect(theta[bad], subset, 2, scores_only=True)[2]
            self._add_information(scores, theta[bad])
            information[bad] = scores
        return value + self.log_prior(theta), gradient, information

    def newton(
        self, theta: FloatArray, data: RowData, information: FloatArray
    ) -> FloatArray:
        """Minus the Hessian, which steps take already where they can."""
        return information

    def hessian(self, theta: FloatArray, data: RowData) -> FloatArray:
        """Exact Hessian of the log posterior, shape (n_fits, n_params, n_params)."""
        return self._collect(theta, data, 2)[2] + self.prior_hessian(theta)

    def class_moments(self, theta: FloatArray, second: bool = False) -> list[Moments]:
        """Sums over the reference sample, class by class."""
        return [
            density.moments(theta[:, columns], second)
            for density, columns in zip(self.events, self.slices, strict=True)
        ]

    def _blocks(self, n_fits: int) -> list[slice]:
        widest = max(density.features.shape[1] for density in self.events)
        entries = self.events[0].block_entries
        return row_blocks(self.n_rows, n_fits * max(widest, 4), entries)

    def _rows(
        self, theta: FloatArray, at: list[Moments], data: RowData, rows: slice
    ) -> _Rows:
        xp = namespace(theta)
        logs = [d.log_density(at[c], rows) for c, d in enumerate(self.events)]
        scale = [d.scale(logs[c]) for c, d in enumerate(self.events)]
        q = [xp.exp(values, out=values) for values in logs]
        fractions = self.fractions(theta)
        p = xp.zeros_like(q[0])
        for c, values in enumerate(q):
            p += fractions[:, c, None] * values
        with np.errstate(divide="ignore", invalid="ignore"):
            for values in q:
                xp.divide(values, p, out=values)
        observed = data.observed[:, rows]
        residual = observed
        if data.expected is not None:
            residual = observed - data.expected[:, rows] * p
        share = [fractions[:, c, None] * values for c, values in enumerate(q)]
        return _Rows(observed, residual, p, q, share, scale)

    @np.errstate(over="ignore", invalid="ignore")
    def _collect(
        self, theta: FloatArray, data: RowData, order: int, scores_only: bool = False
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Value, gradient and Hessian of the data term, as far as the order asks."""
        n_fits, xp = len(theta), namespace(theta)
        at = self.class_moments(theta, order == 2)
        value = xp.zeros((n_fits,))
        gradient = xp.zeros((n_fits, self.n_params))
        hessian = xp.zeros((n_fits, self.n_params, self.n_params))
        inside = near_simplex(self.fractions(theta))
        for rows in self._blocks(n_fits):
            for density in self.events if order == 2 else ():
                density.prepare(rows)
            block = self._rows(theta, at, data, rows)
            positive = (block.density > 0) & (block.density < _LARGEST_DENSITY)
            inside &= positive.all(axis=1)
            log_p = xp.log(xp.where(positive, block.density, 1.0))
            value += xp.einsum("bi,bi->b", block.observed, log_p)
            if data.expected is not None:
                value -= xp.einsum("bi,bi->b", data.expected[:, rows], block.density)
            if order:
                self._add_gradient(gradient, at, block, rows)
            if order == 2:
                self._add_hessian(hessian, at, block, rows, scores_only)
        barriers = self._barriers(at, order)
        if any(barrier is not None for barrier in barriers):
            signs = xp.eye(self.n_classes)[self.free_classes]
            signs[:, self.dependent_class] = -1.0
            events = self.fractions(theta), data.observed.sum(axis=1)
            terms = value, gradient, hessian
            subtract_barriers(terms, barriers, events, signs, self.slices, scores_only)
        return xp.where(inside, value, -np.inf), gradient, hessian

    def _add_gradient(
        self, out: FloatArray, at: list[Moments], block: _Rows, rows: slice
    ) -> None:
        last = block.ratio[self.dependent_class]
        for j, c in enumerate(self.free_classes):
            change = block.ratio[c] - last
            out[:, j] += namespace(out).einsum("bi,bi->b", block.residual, change)
        for c, columns in enumerate(self.slices):
            weight = block.residual * block.share[c]
            out[:, columns] += self._score_sum(c, at, block, weight, rows)

    def _score_sum(
        self, c: int, at: list[Moments], block: _Rows, weight: FloatArray, rows: slice
    ) -> FloatArray:
        """Sum_i W_i J_i, shape (n_fits, n_params)."""
        first = self.events[c].total(weight * block.scale[c], rows)
        return at[c].score_sum(weight.sum(axis=1), first)

    def _add_hessian(
        self,
        out: FloatArray,
        at: list[Moments],
        block: _Rows,
        rows: slice,
        scores_only: bool,
    ) -> None:
        """Second derivatives; with ``scores_only`` the outer products of scores."""
        xp, observed = namespace(out), block.observed
        if scores_only:
            observed = xp.maximum(observed, 0.0)
        last = block.ratio[self.dependent_class]
        change = [block.ratio[c] - last for c in self.free_classes]
        for j, slope in enumerate(change):
            for k, other in enumerate(change):
                out[:, j, k] -= xp.einsum("bi,bi,bi->b", observed, slope, other)
        for c, columns in enumerate(self.slices):
            for j, slope in enumerate(change):
                weight = -observed * slope * block.share[c]
                sign = self._sign(j, c)
                if sign and not scores_only:
                    weight += sign * block.residual * block.ratio[c]
                cross = self._score_sum(c, at, block, weight, rows)
                out[:, columns, j] += cross
                out[:, j, columns] += cross
            own = None if scores_only else block.residual * block.share[c]
            for d in range(c, self.n_classes):
                part = self._pair(c, d, at, block, rows, observed, own)
                out[:, columns, self.slices[d]] += part
                if d != c:
                    out[:, self.slices[d], columns] += part.swapaxes(1, 2)

    def _sign(self, j: int, c: int) -> float:
        free = self.free_classes[j]
        return float(c == free) - float(c == self.dependent_class)

    def _pair(
        self,
        c: int,
        d: int,
        at: list[Moments],
        block: _Rows,
        rows: slice,
        observed: FloatArray,
        own: FloatArray | None,
    ) -> FloatArray:
        """Hessian of a pair of classes: minus scores, plus the curvature of one."""
        left, right = self.events[c], self.events[d]
        weight = -observed * block.share[c] * block.share[d]
        if own is not None and c == d and not left.is_linear:
            weight += own
        scaled = weight * block.scale[c]
        both = scaled * block.scale[d]
        sums = Sums(
            zeroth=weight.sum(axis=1),
            first=left.total(scaled, rows),
            other=right.total(weight * block.scale[d], rows),
            second=_products(left, right, both, rows),
        )
        out = _outer(at[c], at[d], sums)
        if own is not None and c == d:
            first = left.total(own * block.scale[c], rows)
            out = out + left.own_curvature(at[c], own.sum(axis=1), first)
        return out


def _products(
    left: EventDensity, right: EventDensity, weight: FloatArray, rows: slice
) -> NDArray[Any]:
    """Sum W phi phi' over a block of rows."""
    features, transposed = right.light[0][rows], left.light[1][:, rows]
    xp = namespace(weight)
    weight = xp.asarray(weight, features.dtype)
    products = (transposed * weight[:, None, :]) @ features
    return xp.asarray(products, float)


def _outer(left: Moments, right: Moments, sums: Sums) -> FloatArray:
    """Sum W (A sigma phi + b)(A' sigma' phi' + b')'."""
    second, first, other = sums.second, sums.first, sums.other
    einsum = namespace(first).einsum
    if left.linear is not None:
        second = left.linear @ second
        first = einsum("bpm,bm->bp", left.linear, first)
    if right.linear is not None:
        second = second @ right.linear.swapaxes(1, 2)
        other = einsum("bpm,bm->bp", right.linear, other)
    tilted = other + sums.zeroth[:, None] * right.affine
    out = second + first[:, :, None] * right.affine[:, None, :]
    out += left.affine[:, :, None] * tilted[:, None, :]
    return out
