"""How far kappa moves when the reference sample or the learned ratios move.

With u = A^-1 e_kappa, a small change of anything moves the estimate by u . d(grad L).
Write t_c = u . d ln(f_c q_c) / d theta at a row, rho_c for the share of class c, tau =
sum_c rho_c t_c, and for each class

    V_i = a_i rho_ci (t_ci - tau_i),    G = sum_i a_i rho_ci,    d = u_c . directions.

A change e(x) of ln q_c before normalisation, and h(x) of the directions along u, move
the estimate by

    sum V_i e_i - (sum V) E_q[e] + sum a rho h - G (E_q[h] + Cov_q(d, e)),

a change of the weight of reference row j by -q_j [sum V + G (d_j - E_q[d])] per unit.
The first gives the published M of V_tot = V + A^-1 M C M' A^-1 (arXiv:2604.02219, left
open there), the second the error of a finite reference sample.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sktamm._numerics import FloatArray
from sktamm.base import ComponentTable, DeferredError, RatioError
from sktamm.mixture._event_densities import (
    EventExponential,
    EventLinear,
    Moments,
    row_blocks,
)
from sktamm.mixture._model import RowData

if TYPE_CHECKING:
    from sktamm.mixture._events import EventMixture

__all__ = ["extra_variance"]


Error = RatioError | DeferredError


@dataclass(frozen=True, eq=False)
class _FitRows:
    """Row weights of one fit: a, and per class f, df, rho, rho t and q / p."""

    observed: FloatArray
    fractions: FloatArray
    change: FloatArray
    share: list[FloatArray]
    ratio: list[FloatArray]
    slope: list[FloatArray]
    total: FloatArray


def extra_variance(
    model: "EventMixture",
    theta: FloatArray,
    direction: FloatArray,
    data: RowData,
    table: ComponentTable,
) -> tuple[FloatArray, FloatArray]:
    """Variances of kappa (n_fits,) from the finite reference, and learned ratios."""
    error, of_class = table.error, table.components_of
    if model.spans_simulations:
        error, of_class = table.simulations.error, table.simulations.of_class
    reference, ratios = np.zeros(len(theta)), np.zeros(len(theta))
    strata = None if table.reference_sample is None else _Strata(table)
    for b in range(len(theta)):
        one = slice(b, b + 1)
        at = model.class_moments(theta[one])
        columns = [of_class(c) for c in range(model.n_classes)]
        sums = _sums_over_rows(
            model, theta[one], direction[one], data.take(np.array([b])), error, columns
        )
        influence = np.zeros(table.reference_weight.size)
        none = None if error is None else error.none
        moved = None if none is None else _Moved.zeros(none)
        for c, own in enumerate(columns):
            along = direction[one, model.slices[c]][0]
            terms = None if none is None else _of_columns(none, own)
            part = _class_influence(model, c, at[c], along, sums[c], terms, table)
            influence += part[0]
            if moved is not None:
                moved.members[own], moved.smooth[own] = part[1]
        if strata is not None:
            reference[b] = strata.variance(influence)
        if moved is not None and none is not None:
            ratios[b] = moved.variance(none)
    return reference, ratios


@dataclass(frozen=True, eq=False)
class _Moved:
    """Change of kappa per unit of every coefficient of the error."""

    members: FloatArray
    smooth: FloatArray

    @classmethod
    def zeros(cls, error: RatioError) -> "_Moved":
        n_components = error.rows.shape[1]
        smooth = (n_components, error.smooth_rows.shape[1])
        return cls(np.zeros(error.rows.shape[1:]), np.zeros(smooth))

    def variance(self, error: RatioError) -> float:
        flat = self.members.ravel()
        total = flat @ error.covariance @ flat
        total += np.einsum(
            "ki,kij,kj->", self.smooth, error.smooth_covariance, self.smooth
        )
        return float(total)


def _of_columns(error: RatioError, columns: NDArray[np.intp]) -> RatioError:
    """Error of one class, its covariance left as it is."""
    part: slice | NDArray[np.intp] = columns
    if columns.size == columns[-1] - columns[0] + 1:  # a view instead of a copy
        part = slice(columns[0], columns[-1] + 1)
    return replace(error, rows=error.rows[:, part], reference=error.reference[:, part])


def _fit_rows(
    model: "EventMixture", theta: FloatArray, direction: FloatArray, data: RowData
) -> _FitRows:
    drift, ratio = model.class_drift(theta, direction)
    fractions = model.fractions(theta)[0]
    change = model.fraction_change(direction)[0]
    share = [f * r[0] for f, r in zip(fractions, ratio, strict=True)]
    slope = [
        ratio[c][0] * (change[c] + fractions[c] * drift[c][0])
        for c in range(model.n_classes)
    ]
    total = np.sum(slope, axis=0)
    ratios = [values[0] for values in ratio]
    return _FitRows(data.observed[0], fractions, change, share, ratios, slope, total)


def _sums_over_rows(
    model: "EventMixture",
    theta: FloatArray,
    direction: FloatArray,
    data: RowData,
    error: Error | None,
    columns: list[NDArray[np.intp]],
) -> list[list[FloatArray]]:
    """What the rows say of every class, piece by piece: sums that add up."""
    totals: list[list[FloatArray]] = []
    whole = slice(0, model.n_rows)
    for rows, part in model.pieces(theta):
        fit = _fit_rows(part, theta, direction, RowData(data.observed[:, rows]))
        known = error
        if error is not None and rows != whole:
            known = error.take_rows(rows)
        assert not isinstance(known, DeferredError)
        at = part.class_moments(theta)
        sums = []
        for c, own in enumerate(columns):
            along = direction[:, part.slices[c]][0]
            terms = None if known is None else _of_columns(known, own)
            sums.append(_class_sums(part, c, at[c], along, fit, terms))
        both = zip(totals, sums, strict=True) if totals else ()
        totals = [_added(total, own) for total, own in both] or sums
    return totals


def _added(total: list[FloatArray], more: list[FloatArray]) -> list[FloatArray]:
    return [a + b for a, b in zip(total, more, strict=True)]


def _class_sums(
    model: "EventMixture",
    c: int,
    at: Moments,
    along: FloatArray,
    fit: _FitRows,
    error: RatioError | None,
) -> list[FloatArray]:
    density = model.events[c]
    if isinstance(density, EventExponential):
        return _exponential_sums(c, fit, error)
    assert isinstance(density, EventLinear)
    return _linear_sums(density, c, _responsibilities(density, at, along), fit, error)


def _class_influence(
    model: "EventMixture",
    c: int,
    at: Moments,
    along: FloatArray,
    sums: list[FloatArray],
    error: RatioError | None,
    table: ComponentTable,
) -> tuple[FloatArray, Any]:
    """Influence of the reference rows, and of every (component, term)."""
    density = model.events[c]
    if isinstance(density, EventExponential):
        return _exponential(density, at, along, sums, error, table)
    assert isinstance(density, EventLinear)
    return _linear(density, sums, error, table)


def _exponential_sums(
    c: int, fit: _FitRows, error: RatioError | None
) -> list[FloatArray]:
    """Sums of V and a rho, alone and times the functions of the error."""
    drive = fit.observed * (fit.slope[c] - fit.share[c] * fit.total)
    own = fit.observed * fit.share[c]
    sums = [np.asarray(drive.sum()), np.asarray(own.sum())]
    if error is not None:
        for rows in (error.rows, error.smooth_rows[:, None]):
            sums += [_weighted(drive, rows), _weighted(own, rows)]
    return sums


def _exponential(
    density: EventExponential,
    at: Moments,
    along: FloatArray,
    sums: list[FloatArray],
    error: RatioError | None,
    table: ComponentTable,
) -> tuple[FloatArray, Any]:
    q, d = _at_reference(density, at, along)
    total, weight = sums[:2]
    influence = -q * (total + weight * d)
    if error is None:
        return influence, None
    mass = table.reference_weight * q
    offset, directions = density.blend
    beta = offset + directions @ at.params[0]
    change = directions @ along
    moved = []
    references: list[NDArray[Any]]
    references = [error.reference, error.smooth_reference[:, None]]
    for reference, drive, own in zip(references, sums[2::2], sums[3::2], strict=True):
        mean, tilted = _weighted(mass, reference), _weighted(mass * d, reference)
        by_offset = drive - total * mean - weight * tilted
        by_change = own - weight * mean
        moved.append(beta[:, None] * by_offset + change[:, None] * by_change)
    return influence, moved


def _at_reference(
    density: EventExponential, at: Moments, along: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Density q and centred drift u.(d - E_q[d]) at the reference rows."""
    n = density.reference_offset.size
    q, d = np.empty(n), np.empty(n)
    for rows in row_blocks(n, 8):
        q[rows] = density.reference_density(at, rows)
        d[rows] = density.reference_features[rows] @ along
    return q, d + along @ at.affine[0]


def _responsibilities(
    density: EventLinear, at: Moments, along: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Weights of the components, and the change of their logs along u."""
    weights = density.weights(at.params)[0]
    step = density.contrast @ along
    step -= weights @ step
    return weights, step


def _linear_sums(
    density: EventLinear,
    c: int,
    blend: tuple[FloatArray, FloatArray],
    fit: _FitRows,
    error: RatioError | None,
) -> list[FloatArray]:
    """A change of r_k acts on its own responsibility."""
    weights, step = blend
    # q_c / p times 1 / q_c: shares of components are w_k r_k f_c / p
    base = fit.observed * fit.ratio[c] / (density.features @ weights)
    first = base * (fit.change[c] - fit.fractions[c] * fit.total)
    second = base * fit.fractions[c]
    sums = [weights * (first @ density.features + step * (second @ density.features))]
    if error is None:
        return sums
    members = np.empty(error.rows.shape[1:])
    smooth = np.empty((len(weights), error.smooth_rows.shape[1]))
    for k in range(len(weights)):
        drive = weights[k] * density.features[:, k] * (first + step[k] * second)
        members[k], smooth[k] = drive @ error.rows[:, k], drive @ error.smooth_rows
    return [*sums, members, smooth]


def _linear(
    density: EventLinear,
    sums: list[FloatArray],
    error: RatioError | None,
    table: ComponentTable,
) -> tuple[FloatArray, Any]:
    influence = -(density.reference_features @ sums[0])
    if error is None:
        return influence, None
    members, smooth = sums[1:]
    for k in range(len(members)):
        mass = table.reference_weight * density.reference_features[:, k]
        mass = sums[0][k] * mass / mass.sum()
        members[k] -= mass @ error.reference[:, k]
        smooth[k] -= mass @ error.smooth_reference
    return influence, (members, smooth)


def _weighted(weight: FloatArray, values: NDArray[Any]) -> FloatArray:
    """Sum_i weight_i values_i, shape (n_components, n_terms), in double precision."""
    total = np.zeros(values.shape[1:])
    if not total.size:
        return total
    for rows in row_blocks(len(values), total.size):
        block = values[rows].reshape(values[rows].shape[0], -1)
        total += (weight[rows] @ block).reshape(total.shape)
    return total


class _Strata:
    """Reference rows that are a random sample of every source."""

    def __init__(self, table: ComponentTable):
        sample, self.weight = table.reference_sample, table.reference_weight
        assert sample is not None
        self.sample, self.source = sample, sample.source
        self.mean = self.weight @ sample.control
        self.gram = np.zeros((self.mean.size, self.mean.size))
        for rows in self._blocks():
            centred = sample.control[rows] - self.mean
            self.gram += centred.T @ (self.weight[rows, None] * centred)

    def _blocks(self) -> list[slice]:
        return row_blocks(self.weight.size, max(self.mean.size, 1))

    def variance(self, influence: FloatArray) -> float:
        """Variance of sum_j m_j s_j, ``influence`` s (n_reference,).

        What control functions explain of s feels the larger sample behind their means.
        """
        known = 0.0
        if self.mean.size:
            slope = self._slope(influence)
            explained = self.sample.control @ slope - self.mean @ slope
            influence = influence - explained
            known = float(slope @ self.sample.covariance @ slope)
        source, weight = self.source, self.weight
        mass = np.bincount(source, weight)
        size = np.bincount(source)
        mean = np.bincount(source, weight * influence) / np.where(mass > 0, mass, 1.0)
        drawn = self.sample.drawn_weight
        drawn = weight if drawn is None else drawn
        square = np.bincount(source, (drawn * (influence - mean[source])) ** 2)
        return known + float((square * size / np.maximum(size - 1, 1)).sum())

    def _slope(self, influence: FloatArray) -> FloatArray:
        """Coefficients of the control functions that explain the influence."""
        weighted = self.weight * influence
        along = weighted @ self.sample.control - weighted.sum() * self.mean
        ridge = 1e-9 * np.trace(self.gram) / len(self.gram) * np.eye(len(self.gram))
        return np.asarray(np.linalg.solve(self.gram + ridge, along))
