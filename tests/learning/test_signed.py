"""Negative weights are settled among neighbours; the density stays what it is."""

import numpy as np
import pandas as pd
import pytest

from sktamm.exceptions import InvalidInputError
from sktamm.learning import _signed
from sktamm.learning._signed import settled_weights


def signed_sample(n_features, rng, n_events=4_000):
    """A standard normal, and pairs of weights 1 and -1 of a narrow one beside it."""
    X = rng.normal(size=(n_events, n_features))
    extra = rng.normal(0.8, 0.3, (n_events // 2, n_features))
    weight = np.repeat([1.0, 1.0, -1.0], [n_events, n_events // 4, n_events // 4])
    order = rng.permutation(len(weight))
    return np.vstack([X, extra])[order], weight[order]


def one_class(X):
    return np.zeros(len(X), dtype=int)


@pytest.mark.parametrize("n_features", [1, 3, 8])
def test_smooth_averages_are_those_of_the_density(n_features):
    """Mean, square and smooth steps against the exact normal, over 20 samples."""
    rng = np.random.default_rng(0)
    functions = (
        lambda X: X[:, 0],
        lambda X: X[:, 0] ** 2,
        lambda X: np.tanh(3 * (X[:, 0] - 0.8)),
        lambda X: np.exp(-0.5 * ((X - 0.8) ** 2).mean(axis=1) / 0.3**2),
    )
    shifts, dropped = [], []
    for _ in range(20):
        X, weight = signed_sample(n_features, rng)
        settled = settled_weights(X, one_class(X), weight)
        positive = np.maximum(weight, 0.0)
        values = np.array([f(X) for f in functions])
        truth = values @ weight / weight.sum()
        shifts.append(values @ settled / settled.sum() - truth)
        dropped.append(values @ positive / positive.sum() - truth)
    sigma = np.std(values, axis=1) * np.sqrt((weight**2).sum()) / weight.sum()
    # less than a third of the statistical error of one sample, which 20 average
    assert (np.abs(np.mean(shifts, axis=0)) < sigma / 3).all()
    assert (np.abs(np.mean(dropped, axis=0)) > sigma).any(), "the test has no power"


@pytest.mark.parametrize("share", [0.1, 0.3, 0.47])
def test_none_is_negative_and_sums_of_classes_stay(share):
    rng = np.random.default_rng(1)
    X, label = rng.normal(size=(3_000, 2)), rng.integers(0, 3, 3_000)
    weight = rng.exponential(size=3_000) * rng.choice(
        [-1.0, 1.0], 3_000, p=[share, 1 - share]
    )
    settled = settled_weights(X, label, weight)
    assert settled.min() >= 0
    np.testing.assert_allclose(np.bincount(label, settled), np.bincount(label, weight))


def test_a_cell_by_hand():
    """From -1 at 0: 0.25 at 0.1 and 0.5 at -0.2 are too little, 2 at 0.3 is enough."""
    X = np.array([0.0, 0.1, -0.2, 0.3, -0.5])[:, None]
    weight = [-1.0, 0.25, 0.5, 2.0, 1.0]
    expected = [*(np.array([1.0, 0.25, 0.5, 2.0]) * 1.75 / 3.75), 1.0]
    np.testing.assert_allclose(settled_weights(X, one_class(X), weight), expected)


def test_other_classes_and_positive_weights_are_left_alone():
    X = np.array([0.0, 0.0, 1.0, 0.0])[:, None]
    label, weight = np.array([1, 0, 1, 0]), [-1.0, 1.0, 3.0, 2.0]
    settled = settled_weights(X, label, weight)
    np.testing.assert_allclose(settled, [0.5, 1.0, 1.5, 2.0])
    np.testing.assert_array_equal(
        settled_weights("any", label, [1, 2, 0, 4.5]), [1, 2, 0, 4.5]
    )


def test_many_events_at_one_place():
    """Whole numbers: a negative event may stand behind many others."""
    rng = np.random.default_rng(2)
    X = rng.integers(0, 2, (500, 1)).astype(float)
    weight = rng.choice([-1.0, 1.0], 500, p=[0.2, 0.8])
    settled = settled_weights(X, one_class(X), weight)
    assert settled.min() >= 0
    for place in (0, 1):
        here = X[:, 0] == place
        np.testing.assert_allclose(settled[here].sum(), weight[here].sum())


def test_units_of_the_features_change_nothing():
    rng = np.random.default_rng(3)
    X, weight = signed_sample(2, rng, 400)
    one = settled_weights(X, one_class(X), weight)
    two = settled_weights(X * [1.0, 1024.0], one_class(X), weight)
    np.testing.assert_array_equal(one, two)
    constant = np.column_stack([X, np.full(len(X), 7.0)])
    np.testing.assert_array_equal(settled_weights(constant, one_class(X), weight), one)


def test_large_samples_are_searched_in_parts(monkeypatch):
    rng = np.random.default_rng(4)
    X, weight = signed_sample(2, rng)
    sizes = []

    class Counting(_signed.KDTree):
        def __init__(self, points):
            sizes.append(len(points))
            super().__init__(points)

    monkeypatch.setattr(_signed, "KDTree", Counting)
    monkeypatch.setattr(_signed, "_LARGEST_PART", 1_000)
    settled = settled_weights(X, one_class(X), weight)
    assert max(sizes) <= 1_000
    assert settled.min() >= 0
    np.testing.assert_allclose(settled.sum(), weight.sum())
    sizes.clear()  # parts that may have a negative sum are not made
    sign = rng.permutation(np.repeat([1.0, -1.0], [3_001, 2_999]))
    settled = settled_weights(X, one_class(X), sign)
    assert sizes == [6_000]
    np.testing.assert_allclose(settled.sum(), 2.0)


@pytest.mark.parametrize(
    ("X", "weight", "sentence"),
    [
        ([[0.0], [1.0]], [-1.0, 0.5], "positive sum in every class, got -0.5 in class"),
        ([[0.0], [np.nan]], [-1.0, 2.0], "all features are finite numbers"),
        (pd.DataFrame({"a": ["x", "y"]}), [-1.0, 2.0], "all features are finite"),
    ],
)
def test_weights_that_cannot_be_settled_are_refused(X, weight, sentence):
    with pytest.raises(InvalidInputError, match=sentence):
        settled_weights(X, one_class(X), weight)
