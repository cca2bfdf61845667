"""Sums do not depend on the pieces in which events come."""

import numpy as np
import pytest

from sktamm.templates import BinCounter, Tally

RNG = np.random.default_rng(0)
CELL, GROUP = RNG.integers(-1, 5, 1000), RNG.integers(0, 4, 1000)
WEIGHT = RNG.normal(1.0, 2.0, 1000)


@pytest.mark.parametrize("size", [1, 7, 400, 1000])
def test_weights_are_added_one_by_one(size):
    tally = Tally(5)
    for start in range(0, 1000, size):
        part = slice(start, start + size)
        names, code = np.unique(GROUP[part], return_inverse=True)
        row = tally.row_of(names.tolist())[code]
        tally.add(CELL[part], row, WEIGHT[part])
    for row, group in enumerate(tally.groups):
        own = (group == GROUP) & (CELL >= 0)
        for sums, weight in ((tally.weight, WEIGHT), (tally.variance, WEIGHT**2)):
            expected = np.bincount(CELL[own], weight[own], 5)
            np.testing.assert_array_equal(sums[row], expected)


def test_weights_that_come_late_find_counts_before_them():
    tally = Tally(2)
    tally.row_of([0])
    tally.add(np.array([0, 1, 1]))
    tally.add(np.array([1]), weight=np.array([3.0]))
    assert tally.weight.tolist() == [[1.0, 5.0]]
    assert tally.variance.tolist() == [[1.0, 11.0]]


def test_histograms_with_flow_bins():
    X = RNG.normal(size=(500, 2))
    edges = [np.array([-1.0, 0.0, 2.0]), np.linspace(-1.0, 1.0, 5)]
    counter = BinCounter(edges)
    for i in range(0, 500, 60):
        part = X[i : i + 60]
        counter.add(part, [0, 1], (i + np.arange(len(part))) % 2)
    wide = [np.concatenate([[-np.inf], e, [np.inf]]) for e in edges]
    for group, (values, variances) in counter.contents().items():
        expected = np.histogramdd(X[group::2], wide)[0]
        np.testing.assert_array_equal(values, expected)
        np.testing.assert_array_equal(variances, expected)
