"""From row weights to the data of a fit: weighted events and finite templates.

A row with sum of weights n_i, prediction mu_i and relative template variance delta_i^2
counts as much as d_i n_i unweighted events,

    d_i = 1 / (sum w^2 / sum w + mu_i delta_i^2),

the scaled Poisson likelihood of weighted data (Bohm and Zech, arXiv:1309.1287) with the
template error of Barlow and Beeston (1993) in the light form of one error per row
(Conway, arXiv:1103.0354). The discount is taken where only the fractions are fitted: at
a free fit the class with the smoother templates would take the place of the other and
make the noise look small.
"""

from dataclasses import dataclass

import numpy as np

from sktamm._numerics import FloatArray
from sktamm.base import ComponentTable, NoiseShape
from sktamm.mixture import MixtureModel, RowData

__all__ = ["FitData", "discounted", "undiscounted"]

# Rules of thumb: share of the variance, of which errors change by half as much; share
# of the absolute weights that has to be left for a ratio to mean anything.
_NEGLIGIBLE = 1e-3
_MOSTLY_POSITIVE = 0.1


@dataclass(frozen=True, eq=False)
class FitData:
    """Data of a batch of fits, as the likelihood takes them and as they are."""

    # arrays have the shape (n_fits, n_rows)
    rows: RowData  # discounted sums of weights, as the likelihood takes them
    content: FloatArray  # the same, possibly negative
    unit: FloatArray  # content of a mixture whose density is that of the reference
    variance: FloatArray  # of the content, template errors included
    discount: FloatArray  # events of the likelihood per sum of weights
    weight: FloatArray  # sums of weights
    weight_variance: FloatArray  # sums of squared weights
    expected: FloatArray  # the unit in sums of weights
    noise_shapes: tuple[NoiseShape, ...] | None = None  # one per class


def undiscounted(table: ComponentTable, datasets: slice) -> FitData:
    """Data of some datasets of a table, without template errors."""
    weight, variance = table.row_weight[datasets], table.row_variance[datasets]
    per_event = variance.sum(axis=1) / weight.sum(axis=1)
    return _fit_data(table, datasets, per_event, None, 1.0)


def _fit_data(
    table: ComponentTable,
    datasets: slice,
    per_event: FloatArray,
    noise: FloatArray | None,
    density: FloatArray | float,
) -> FitData:
    """Data with the variance of the predictions, mu delta^2, in units of them."""
    weight, variance = table.row_weight[datasets], table.row_variance[datasets]
    total = weight.sum(axis=1, keepdims=True)
    known = 0.0 if noise is None else noise
    discount = 1.0 / (per_event[:, None] + known)
    expected = unit = np.broadcast_to(0.0, weight.shape)  # events expect nothing
    spread, content = discount**2 * variance, discount * weight
    if table.binned:
        expected = total * table.reference_weight
        spread = discount**2 * (variance + expected * density * known)
        unit = discount * expected
    return FitData(
        rows=_bounded_rows(content, None if noise is None else unit, density),
        content=content,
        unit=unit,
        variance=spread,
        discount=np.broadcast_to(discount, weight.shape),
        weight=weight,
        weight_variance=variance,
        expected=expected,
        noise_shapes=table.noise_shapes,
    )


def _bounded_rows(
    observed: FloatArray, expected: FloatArray | None, density: FloatArray | float
) -> RowData:
    """Rows whose likelihood is bounded where the sum of weights is negative.

    There the tangent of a ln p, a p / p0, joins the linear term.
    """
    negative = observed < 0
    if not negative.any():
        return RowData(observed, expected)
    linear = np.where(negative, -observed / np.maximum(density, 1e-12), 0.0)
    if expected is not None:
        linear = linear + expected
    return RowData(np.where(negative, 0.0, observed), linear)


def discounted(
    table: ComponentTable, datasets: slice, model: MixtureModel, theta: FloatArray
) -> FitData:
    """Data discounted by the templates' errors, in Poisson form, unless negligible."""
    density = np.maximum(model.row_density(theta), 0.0)
    per_event = _variance_per_event(table, datasets, model, theta)
    if not table.binned:
        return _fit_data(table, datasets, per_event, None, density)
    total = table.row_weight[datasets].sum(axis=1, keepdims=True)
    mean = total * table.reference_weight * density
    noise = mean * model.statistical_variance(theta)
    matters = (noise > _NEGLIGIBLE * per_event[:, None]).any()
    known = noise if matters else None
    return _fit_data(table, datasets, per_event, known, density)


def _variance_per_event(
    table: ComponentTable, datasets: slice, model: MixtureModel, theta: FloatArray
) -> FloatArray:
    """Sum v u^2 / sum n u^2 of rows, u the score of kappa (Pauli et al. 2011)."""
    weight, variance = table.row_weight[datasets], table.row_variance[datasets]
    usual = variance.sum(axis=1) / weight.sum(axis=1)
    if (weight == variance).all():
        return usual
    square = model.fraction_score(theta, np.maximum(weight, 0.0)) ** 2
    matter = np.einsum("bi,bi->b", weight, square)
    noise = np.einsum("bi,bi->b", variance, square)
    safe = matter > _MOSTLY_POSITIVE * np.einsum("bi,bi->b", np.abs(weight), square)
    return np.where(safe, noise / np.where(safe, matter, 1.0), usual)
