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
from sktamm.base import ComponentTable
from sktamm.mixture._model import MixtureModel, RowData

__all__ = ["FitData", "discounted", "undiscounted"]

_NEGLIGIBLE = 1e-3


@dataclass(frozen=True, eq=False)
class FitData:
    """Data of a batch of fits and the variance of every row's contribution.

    Attributes
    ----------
    rows : RowData
        Discounted sums of weights, as the likelihood takes them.
    variance : ndarray of shape (n_fits, n_rows)
        Variance of ``rows.observed``, template errors included.
    """

    rows: RowData
    variance: FloatArray


def undiscounted(table: ComponentTable, datasets: slice) -> FitData:
    """Data of some datasets of a table, without template errors."""
    weight, variance = table.row_weight[datasets], table.row_variance[datasets]
    scale = weight.sum(axis=1, keepdims=True) / variance.sum(axis=1, keepdims=True)
    return FitData(RowData(scale * weight), scale**2 * variance)


def discounted(
    table: ComponentTable, datasets: slice, model: MixtureModel, theta: FloatArray
) -> FitData:
    """Data discounted by the templates' errors, unless they are negligible.

    Parameters
    ----------
    table : ComponentTable
        Components with their relative variance.
    datasets : slice
        The datasets that are fitted.
    model : MixtureModel
        Mixture built from the table.
    theta : ndarray of shape (n_fits, n_params)
        Fitted fractions and average templates.

    Returns
    -------
    data : FitData
        Data in Poisson form, with the expected totals of every row, if errors matter.
    """
    weight, variance = table.row_weight[datasets], table.row_variance[datasets]
    total = weight.sum(axis=1, keepdims=True)
    per_event = variance.sum(axis=1, keepdims=True) / total
    expected = total * table.reference_weight if table.binned else np.zeros_like(total)
    mean = expected * np.maximum(model.row_density(theta), 0.0)
    noise = mean * model.statistical_variance(theta)
    if not (noise > _NEGLIGIBLE * per_event).any():
        return undiscounted(table, datasets)
    discount = 1.0 / (per_event + noise)
    rows = RowData(discount * weight, discount * expected)
    return FitData(rows, discount**2 * (variance + mean * noise))
