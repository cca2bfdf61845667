"""Moment morphing: a normal family is reproduced where polynomials alone fail."""

import numpy as np
import pytest

from sktamm.exceptions import InvalidInputError
from sktamm.parametric import MomentMorphing


@pytest.fixture(scope="module")
def events():
    theta = np.repeat([0.0, 2.0, 4.0], 5000)
    x = np.random.default_rng(0).normal(size=(theta.size, 2))
    return np.stack([theta, 1 - theta], axis=1) + (1 + 0.25 * theta)[:, None] * x, theta


def test_samples_are_reproduced(events):
    X, theta = events
    moved, weight = MomentMorphing().fit(X, theta).sample(2.0)
    used = weight != 0
    np.testing.assert_allclose(weight[used & (theta != 2.0)], 0.0, atol=1e-15)
    np.testing.assert_allclose(moved[theta == 2.0], X[theta == 2.0], atol=1e-9)
    assert weight.sum() == pytest.approx(1.0)


def test_a_normal_family_is_normal_in_between(events):
    X, theta = events
    moved, weight = MomentMorphing().fit(X, theta).sample(1.0)
    mean = weight @ moved
    # Means of 5 000 events of widths up to 2, weights up to 0.75: five sigma.
    np.testing.assert_allclose(mean, [1.0, 0.0], atol=5 * 2 / np.sqrt(5000))
    pull = (moved - mean) / 1.25
    assert np.allclose(weight @ pull**2, 1.0, atol=0.1)
    # A mixture without moves would have an excess of several tenths.
    assert np.allclose(weight @ pull**4, 3.0, atol=0.5)


def test_refusals(events):
    X, theta = events
    with pytest.raises(InvalidInputError, match="leave open"):
        MomentMorphing(3).fit(X, theta)
    with pytest.raises(InvalidInputError, match="must vary"):
        MomentMorphing().fit(np.zeros((4, 1)), [0.0, 0.0, 1.0, 1.0])
    with pytest.raises(InvalidInputError, match="near the samples"):
        MomentMorphing(1).fit(X, theta).sample(-10.0)
