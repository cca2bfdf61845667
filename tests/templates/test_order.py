"""Bins without an order are recognised by how simulations differ."""

import numpy as np
import pytest
from scipy import stats

from sktamm.templates import HistogramTemplates, have_no_order
from sktamm.templates._binning import Binning
from sktamm.templates._order import _lines, _sums


def templates(contents, variance=None, shape=None):
    """Contents (n_classes, n_simulations, n_bins) of unit weights."""
    contents = np.asarray(contents, dtype=float)
    n_classes, size, bins = contents.shape
    variance = contents if variance is None else variance
    edges = tuple(np.arange(n + 1.0) for n in shape or (bins,))
    return HistogramTemplates(
        contents.reshape(-1, bins),
        np.asarray(variance, dtype=float).reshape(-1, bins),
        np.zeros(n_classes * size),
        Binning(edges),
        np.repeat(np.arange(n_classes), size),
        np.tile(np.arange(size), n_classes),
        np.arange(n_classes),
        1,
        paired=True,
    )


def labels(seed=0, size=6, bins=8, events=2000, spread=0.25):
    """Counts of labels whose frequencies differ independently."""
    rng = np.random.default_rng(seed)
    mean = rng.uniform(0.5, 1.5, (2, 1, bins))
    p = mean * np.exp(spread * rng.normal(size=(2, size, bins)))
    return rng.poisson(events * p / p.sum(axis=2, keepdims=True))


def bells(seed=0, size=6, bins=8, events=2000):
    """Counts of Gaussians whose means differ."""
    rng = np.random.default_rng(seed)
    edges = np.linspace(-3.0, 3.0, bins + 1)
    mean = rng.normal(np.reshape([-0.5, 0.5], (2, 1, 1)), 0.15, (2, size, 1))
    p = np.diff(stats.norm.cdf(edges - mean), axis=2)
    return rng.poisson(events * p / p.sum(axis=2, keepdims=True))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("bins", [6, 8, 20])
def test_labels_have_no_order_and_bells_have_one(bins, seed):
    assert have_no_order(templates(labels(seed, bins=bins)))
    assert not have_no_order(templates(bells(seed, bins=bins)))


def test_bells_in_another_order_have_none():
    order = [3, 0, 5, 1, 7, 2, 6, 4]
    several = bells(1, size=20, events=20_000)
    assert not have_no_order(templates(several))
    assert have_no_order(templates(several[:, :, order]))


@pytest.mark.parametrize("factor", [0.01, 300.0])
def test_a_weight_of_all_events_changes_nothing(factor):
    for contents in (labels(), bells()):
        weighted = templates(factor * contents, factor**2 * contents)
        assert have_no_order(weighted) == have_no_order(templates(contents))


@pytest.mark.parametrize(
    "contents",
    [
        labels(spread=0.0),  # noise alone
        labels(events=60),  # nine events in a bin
        labels(bins=5),
        labels(bins=101, events=50_000),
        labels(size=1),
    ],
    ids=["noise", "few events", "few bins", "many bins", "one simulation"],
)
def test_who_cannot_tell_keeps_the_order(contents):
    assert not have_no_order(templates(contents))


def test_short_lines_of_two_features_keep_their_order():
    assert not have_no_order(templates(labels(), shape=(2, 4)))
    assert not have_no_order(templates(labels(bins=20, events=5000), shape=(4, 5)))


@pytest.mark.parametrize("first", [labels, bells])
@pytest.mark.parametrize("second", [labels, bells])
def test_one_of_two_features_without_an_order_is_enough(first, second):
    """Densities are products, so that lines along a feature differ as it does."""
    parts = [
        draw(seed, bins=8, events=1e6) / 1e6 for seed, draw in ((3, first), (4, second))
    ]
    product = np.einsum("cki,ckj->ckij", *parts).reshape(2, 6, 64)
    contents = np.random.default_rng(0).poisson(20_000 * product)
    expected = labels in (first, second)
    assert have_no_order(templates(contents, shape=(8, 8))) == expected


def test_lines_are_bins_that_differ_in_one_feature():
    shape = (3, 4, 2)
    number = np.random.default_rng(1).choice(24, 17, replace=False)
    cells = np.unravel_index(number, shape)
    for axis in range(3):
        found = {tuple(number[line]) for line in _lines(cells, axis)}
        every = np.moveaxis(np.arange(24).reshape(shape), axis, -1).reshape(
            -1, shape[axis]
        )
        kept = [tuple(n for n in line if n in set(number)) for line in every]
        assert found == {line for line in kept if line}


def test_negative_and_empty_contents_are_left_out():
    contents = labels(bins=8).astype(float)
    contents[:, 0, 3] = -contents[:, 0, 3]
    contents[:, :, 5] = 0.0
    assert have_no_order(templates(contents, np.abs(contents)))
    few = contents.copy()
    few[:, :, 6] = 0.0  # five are left
    assert not have_no_order(templates(few, np.abs(few)))


def test_sums_have_no_part_of_the_noise():
    """Mean over noise of all three, for differences that are known."""
    rng = np.random.default_rng(2)
    true = rng.normal(size=(4, 7))
    error = rng.uniform(0.2, 0.6, (4, 7))
    found = np.array(
        [_sums(true + error * rng.normal(size=(4, 7)), error**2) for _ in range(4000)]
    )
    difference = true - true.mean(axis=0)
    difference -= difference.mean(axis=1, keepdims=True)
    expected = (np.diff(difference) ** 2).sum(), (difference**2).sum()
    uncertainty = 4.0 * found.std(axis=0) / np.sqrt(len(found))
    assert (np.abs(found.mean(axis=0)[:2] - expected) < uncertainty[:2]).all()
