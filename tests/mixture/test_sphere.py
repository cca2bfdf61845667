"""Tails of quadratic forms on the sphere, against distributions known otherwise."""

import numpy as np
import pytest
from scipy import stats

from sktamm.mixture._sphere import sphere_tails


@pytest.mark.parametrize("m", [2, 3, 5, 30, 100])
def test_equal_weights_are_a_beta_distribution(m):
    u = np.concatenate([np.geomspace(1e-8, 0.3, 8), [0.5, 0.9, 0.999]])
    for some in (1, 2):
        if some == m:
            continue
        weights = np.where(np.arange(m) < some, 3.0, 0.0)
        above, below = sphere_tails(weights, 3.0 * u)
        law = stats.beta(some / 2, (m - some) / 2)
        np.testing.assert_allclose(above, law.sf(u), rtol=1e-8)
        np.testing.assert_allclose(below, law.cdf(u), rtol=1e-8)


def test_unequal_weights_agree_with_directions_that_are_drawn():
    weights = np.array([5.0, 2.0, 1.0, 0.3, 0.0])
    normal = np.random.default_rng(0).normal(size=(400_000, 5))
    form = (normal**2 @ weights) / (normal**2).sum(axis=1)
    level = np.array([0.05, 0.4, 1.5, 3.0, 4.7])
    above, below = sphere_tails(weights, level)
    share = (form[:, None] > level).mean(axis=0)
    error = np.sqrt(share * (1 - share) / len(form))
    assert (np.abs(above - share) < 4 * error).all()
    np.testing.assert_allclose(above + below, 1.0, rtol=1e-12)


def test_a_form_that_is_nothing_and_levels_out_of_reach():
    above, below = sphere_tails(np.zeros(3), np.zeros(2))
    assert (above == 1).all()
    assert (below == 1).all()
    above, below = sphere_tails(np.array([2.0, 1.0]), np.array([1.0, 2.0]))
    np.testing.assert_allclose(above, [1.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(below, [0.0, 1.0], atol=1e-12)
