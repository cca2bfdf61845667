"""Bins are found by arithmetic and are exactly those of a search among the edges."""

import numpy as np
import pytest

from sktamm.templates._binning import _MOST_STEPS, Binning, make_binning

KINDS = {
    "regular": lambda rng, n: np.linspace(0.0, 1.0, n),
    "normal": lambda rng, n: np.sort(rng.normal(size=n)),
    "uneven": lambda rng, n: np.sort(rng.exponential(size=n) ** 3),
    "whole": lambda rng, n: np.unique(np.rint(rng.normal(size=n) * 20.0)),
}


def edges_and_numbers(kind, seed):
    """Edges of any scale and offset, and numbers on, beside, between and beyond."""
    rng = np.random.default_rng(seed)
    scale, offset = rng.choice([1e-3, 1.0, 1e4]), rng.choice([0.0, -50.0, 1e6, 1e9])
    edges = np.unique(KINDS[kind](rng, rng.integers(3, 40)) * scale + offset)
    margin = 0.2 * np.ptp(edges)
    beside = [np.nextafter(edges, np.inf), np.nextafter(edges, -np.inf)]
    between = rng.uniform(edges[0] - margin, edges[-1] + margin, 300)
    return edges, np.concatenate([edges, *beside, between, [1e300, -1e300]])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flow", ["clip", "bins", "drop"])
def test_same_as_a_search(kind, flow):
    steps = set()
    for seed in range(200):
        edges, x = edges_and_numbers(kind, seed)
        binning = Binning((edges,), flow)
        n = edges.size - 1
        k = np.searchsorted(edges, x, side="right") - 1
        k[x == edges[-1]] = n - 1
        expected = {
            "clip": np.clip(k, 0, n - 1),
            "bins": k + 1,
            "drop": np.where((k < 0) | (k == n), -1, k),
        }[flow]
        np.testing.assert_array_equal(binning.index(x[:, None]), expected)
        steps.add(binning._axes[0].steps)
    # Both ways were taken; a search where bins are too uneven, or lost in rounding.
    assert min(steps) <= _MOST_STEPS < max(steps)


def test_beyond():
    edges = (np.array([0.0, 1.0, 3.0]), np.array([-1.0, 1.0]))
    X = np.array([[0.0, -1.0], [3.0, 1.0], [3.1, 0.0], [1.0, -1.1], [-1.0, 2.0]])
    expected = [False, False, True, True, True]
    assert Binning(edges).beyond(X).tolist() == expected


# ------------------------------------------------------------------ equal what?
def _normal(n=4000):
    return np.random.default_rng(4).normal(size=n)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e200])
@pytest.mark.parametrize(
    ("x", "bins", "skewed"),
    [
        (_normal(), 20, False),
        (np.exp(_normal()), 20, False),
        (np.exp(1.5 * _normal()), 20, True),
        (np.exp(2.0 * _normal()), 20, True),
        (np.exp(2.0 * _normal()), 8, True),
        (np.exp(2.0 * _normal()), 3, False),  # a third each, at least
        (np.exp(_normal()), 6, False),
        (-np.exp(2.0 * _normal()), 20, True),
        # Many times one value is no pile that other edges would part.
        (np.where(_normal() > 0, 0.0, np.abs(_normal()[::-1])), 20, False),
        (np.random.default_rng(1).binomial(5, 0.1, 4000).astype(float), 20, False),
    ],
)
def test_features_that_pile_up_have_bins_of_equal_content(x, bins, skewed, scale):
    x = scale * x[:, None]
    chosen, equal = (
        make_binning(x, None, bins, strategy).edges[0]
        for strategy in ("auto", "quantile" if skewed else "uniform")
    )
    np.testing.assert_array_equal(chosen, equal)
    ends = (chosen[0], chosen[-1])
    given = make_binning(x, None, bins, "auto", [ends]).edges[0]
    np.testing.assert_allclose(given, np.linspace(*ends, bins + 1))
