"""Sums over many reference rows, taken once, are those of the rows themselves."""

import numpy as np
import pytest

from sktamm.mixture import _features
from sktamm.mixture._features import Features


def features(n_rows, *, negative=False):
    rng = np.random.default_rng(0)
    values = rng.normal(3.0, 2.0, size=(n_rows, 7))
    weight = rng.uniform(0.1, 1.0, n_rows)
    if negative:
        weight[::50] *= -0.1
    return Features(values, values, weight / weight.sum(), 3, None)


@pytest.mark.parametrize("n_rows", [50, 20_000])
@pytest.mark.parametrize("negative", [False, True])
def test_scatter_and_projections(n_rows, negative):
    own = features(n_rows, negative=negative)
    rng = np.random.default_rng(1)
    coefficients, differences = rng.normal(size=(7, 4)), rng.normal(size=(3, 2))
    values = own.weighted(coefficients)
    np.testing.assert_allclose(own.scatter(coefficients), values.T @ values)
    logs = own.reference[:, :3] @ differences
    expected = logs.T @ (own.reference_weight[:, None] * own.basis)
    np.testing.assert_allclose(own.projections(differences), expected, atol=1e-12)


def test_many_rows_are_summed_once(monkeypatch):
    own = features(_features._SUMMED_ONCE_FROM)
    first = own.scatter(np.eye(7))
    own.reference[:] = np.nan
    np.testing.assert_array_equal(own.scatter(np.eye(7)), first)
