"""Goodness of fit of binned data: Pearson's chi2 with the distribution that it has.

The residuals of a fit are linear in what is random, n - mu = (1 - B) u + b, with

    u = dn - mu dl      fluctuations of the contents n and of the log templates l,
    B = mu (S A^-1 S' D + 1'/N),    S the scores of the rows, D the discounts, and
                                    A = S' D mu S + Q the expected information,
    b = mu S A^-1 Q z   what the prior of precision Q takes from a truth z, which lies
                        as far as left-out simulations, z ~ N(0, phi/Q),

so their covariance C follows from those of u and z. T = sum_g (n_g - mu_g)^2 / V_g is
compared with the scaled chi2 of the same mean and variance (Satterthwaite 1946),

    E T = tr(C / V),    Var T = 2 tr((C / V)^2) + sum_g C_gg^2 / (V_g^2 m_g),

the last term being that of a Poisson content of m_g events.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special, stats

from sktamm._numerics import FloatArray
from sktamm.base import NoiseShape
from sktamm.inference._data import FitData
from sktamm.mixture import MixtureModel, RowData

__all__ = ["ORDINARY", "goodness_of_fit", "pearson", "scale_ratio"]

#: P-value of one standard error: what exceeds it by a factor is scaled by that.
ORDINARY = 0.317

# Fewest expected events of a group of rows (Cochran 1954).
_FEWEST = 5.0
# Events of rows that cannot move a fit, however steep their density.
_NOTHING = 1e-6
# Rules of thumb: degrees of freedom that are none; p-value of a chi2 with every group
# free that nothing excuses; events by which the variance per content of a row is drawn
# to that of all rows.
_NO_FREEDOM = 1e-3
_INEXCUSABLE = 1e-6
_EVENTS_OF_THE_SCALE = 5.0


@dataclass(frozen=True, eq=False)
class _Innovation:
    """Covariance of u of one fit: diag(own) + axes axes'."""

    own: FloatArray
    axes: FloatArray


def goodness_of_fit(
    model: MixtureModel, theta: FloatArray, data: FitData
) -> FloatArray:
    """P-value (n_fits,) of Pearson's chi2: nan if nothing is free, 0 if collapsed."""
    return _of_every_fit(model, theta, data, _p_value, 0.0)


def scale_ratio(model: MixtureModel, theta: FloatArray, data: FitData) -> FloatArray:
    """Pearson's chi2 of every fit over that of p-value .317, (n_fits,), or nan."""
    return _of_every_fit(model, theta, data, _ratio, np.nan)


def _of_every_fit(
    model: MixtureModel,
    theta: FloatArray,
    data: FitData,
    measure: Callable[..., float],
    collapsed: float,
) -> FloatArray:
    """A measure of the residuals of every fit, and its value for collapsed ones."""
    density = np.maximum(model.row_density(theta), 0.0)
    scores = model.row_scores(theta)
    prior = model.prior_score_variance(model.prior_information(theta))
    expected = RowData(data.unit * density, data.unit)
    information = model.step_terms(theta, expected)[2]
    covariance = np.asarray(np.linalg.pinv(information, hermitian=True), float)
    errors = model.class_errors(theta)
    out = np.full(len(theta), np.nan)
    for b in range(len(theta)):
        mean = data.expected[b] * density[b]
        scale = _events_per_content(data, b)
        if _collapsed(mean / scale, data.expected[b] / scale):
            out[b] = collapsed
            continue
        moved = [data.expected[b] * error[b] for error in errors]
        noise = _innovation(mean, scale, moved, data.noise_shapes)
        own = np.where((mean > _NOTHING * scale)[:, None], scores[b], 0.0)
        response = mean[:, None] * (own @ covariance[b])
        response = np.column_stack([response, mean / data.expected[b].sum()])
        discounted = np.column_stack([data.discount[b][:, None] * own, mean > 0])
        out[b] = measure(
            data.weight[b] - mean,
            mean / scale,
            noise,
            response,
            discounted,
            np.pad(prior[b], ((0, 1), (0, 1))),
        )
    return out


def pearson(
    model: MixtureModel, theta: FloatArray, data: FitData
) -> tuple[FloatArray, FloatArray]:
    """Squared pulls of the rows that expect one or more, and number of these rows."""
    expected = data.unit * np.maximum(model.row_density(theta), 0.0)
    inside = expected > 1.0
    variance = np.where(inside, np.maximum(data.variance, expected), 1.0)
    pull2 = np.where(inside, (data.content - expected) ** 2 / variance, 0.0)
    return pull2.sum(axis=1), inside.sum(axis=1).astype(float)


def _collapsed(events: FloatArray, simulated: FloatArray) -> bool:
    """Whether a fit expects events in one group, the simulations in three or more."""
    return _group_starts(events).size == 1 and _group_starts(simulated).size > 2


def _events_per_content(data: FitData, b: int) -> FloatArray:
    """Variance per content of rows, that of all rows standing in for a few events."""
    weight, variance = np.abs(data.weight[b]), data.weight_variance[b]
    usual = variance.sum() / weight.sum()
    stand_in = _EVENTS_OF_THE_SCALE * usual
    return (variance + stand_in * usual) / (weight + stand_in)


def _innovation(
    mean: FloatArray,
    scale: FloatArray,
    moved: list[FloatArray],
    shapes: tuple[NoiseShape, ...] | None,
) -> _Innovation:
    """Covariance of u: scaled Poisson contents, and templates class by class."""
    own = mean * scale
    axes = [np.zeros((mean.size, 0))]
    for c, error in enumerate(moved):
        if shapes is None:
            own = own + error**2
            continue
        own = own + error**2 * shapes[c].own
        axes.append(error[:, None] * shapes[c].axes)
    return _Innovation(own, np.hstack(axes))


def _p_value(*fit: Any) -> float:
    """P-value of one fit."""
    statistic, mean, half, size = _law(*fit)
    if mean > _NO_FREEDOM:
        width = half / mean
        return float(stats.chi2.sf(statistic / width, mean / width))
    # Nothing is free, or a fit at an edge responds to nothing: what nobody can excuse.
    return 0.0 if stats.chi2.sf(statistic, size) < _INEXCUSABLE else float("nan")


def _ratio(*fit: Any) -> float:
    """Statistic of one fit over that of an ordinary p-value."""
    statistic, mean, half, _ = _law(*fit)
    if mean <= _NO_FREEDOM:
        return float("nan")
    width = half / mean
    usual = 2.0 * width * special.gammainccinv(0.5 * mean / width, ORDINARY)
    return statistic / float(usual)


def _law(
    residual: FloatArray,
    events: FloatArray,
    noise: _Innovation,
    response: FloatArray,
    discounted: FloatArray,
    prior: FloatArray,
) -> tuple[float, float, float, int]:
    """Statistic of one fit, mean, half its variance, groups; C = diag(V) + Z K Z'."""
    starts = _group_starts(events)

    def grouped(values: FloatArray) -> FloatArray:
        return np.add.reduceat(values, starts, axis=0)

    spread = noise.own[:, None] * discounted + noise.axes @ (noise.axes.T @ discounted)
    variance = grouped(noise.own)
    root = np.sqrt(variance)[:, None]
    columns = np.hstack([grouped(noise.axes), grouped(response), grouped(spread)])
    columns /= root
    kernel = _kernel(noise.axes.shape[1], discounted.T @ spread + prior)
    inner = kernel @ (columns.T @ columns)
    mean = root.size + np.trace(inner)
    square = root.size + 2.0 * np.trace(inner) + np.einsum("ij,ji->", inner, inner)
    diagonal = 1.0 + np.einsum("gi,ij,gj->g", columns, kernel, columns)
    square = 2.0 * square + (diagonal**2 / grouped(events)).sum()
    statistic = float((grouped(residual) ** 2 / variance).sum())
    return statistic, float(mean), 0.5 * float(square), root.size


def _kernel(n_axes: int, among: FloatArray) -> FloatArray:
    """K of the axes of the noise, the responses, and the noise that they take out."""
    n = len(among)
    kernel = np.zeros((n_axes + 2 * n, n_axes + 2 * n))
    kernel[:n_axes, :n_axes] = np.eye(n_axes)
    own, taken = slice(n_axes, n_axes + n), slice(n_axes + n, None)
    kernel[own, own] = among
    kernel[own, taken] = kernel[taken, own] = -np.eye(n)
    return kernel


def _group_starts(events: FloatArray) -> np.ndarray:
    """First rows of groups of neighbours that expect enough events each."""
    starts, total = [0], 0.0
    rest = float(events.sum())
    for row, expected in enumerate(events):
        if total >= _FEWEST and rest >= _FEWEST:
            starts.append(row)
            total = 0.0
        total += expected
        rest -= expected
    return np.array(starts)
