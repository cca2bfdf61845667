"""Pseudo-datasets: the numbers drawn are those of the stated distributions.

Every comparison with chance has a false-alarm rate of at most 1e-4; there are 6.
"""

import numpy as np
import pytest
from scipy import stats

from sktamm.coverage._pseudo import LabelledEvents, choose_fractions
from sktamm.exceptions import InvalidInputError

RARE = 1e-4


def _pool(numbers=(5000, 3000), weight=None, **options):
    y = np.repeat(np.arange(len(numbers)), numbers)
    classes = np.arange(len(numbers))
    return y, LabelledEvents.of(y, classes, classes[-1], weight, **options)


def _rngs(n, seed=0):
    return [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(n)]


def _draw(pool, kappa, size, n, seed=0):
    return pool.draw_many([kappa] * n, [size] * n, _rngs(n, seed))


def test_datasets_have_their_size_and_binomially_many_signal_events():
    n, size, kappa = 400, 100, 0.2
    y, pool = _pool(replace=False)
    counts = _draw(pool, kappa, size, n)
    assert counts.shape == (8000, n)
    np.testing.assert_array_equal(counts.sum(axis=0), size)
    assert counts.max() == 1
    signal = np.asarray(counts[y == 1].sum(axis=0)).ravel()
    # Sum of n binomials, and their dispersion.
    assert stats.binomtest(int(signal.sum()), n * size, kappa).pvalue > RARE
    spread = ((signal - size * kappa) ** 2).sum() / (size * kappa * (1 - kappa))
    assert RARE / 2 < stats.chi2.sf(spread, n) < 1 - RARE / 2


@pytest.mark.parametrize("kappa", [0.0, 1.0])
def test_pure_datasets_hold_one_class(kappa):
    y, pool = _pool(replace=False)
    counts = _draw(pool, kappa, 50, 3)
    assert counts[y == (1 - kappa)].sum() == 0


def test_other_classes_keep_their_proportions():
    y, pool = _pool((6000, 2000, 1000), replace=False)
    np.testing.assert_allclose(pool.class_fractions(0.2), [0.6, 0.2, 0.2])
    counts = _draw(pool, 0.2, 200, 50)
    found = [counts[y == c].sum() for c in range(3)]
    expected = 10_000 * pool.class_fractions(0.2)
    assert stats.chisquare(found, expected).pvalue > RARE
    assert pool.natural == pytest.approx(1 / 9)


def test_weights_decide_how_often_an_event_is_drawn():
    weight = np.concatenate([np.ones(10), np.arange(10.0)])
    y, pool = _pool((10, 10), weight)
    assert pool.replace
    assert pool.natural == pytest.approx(45 / 55)
    found = np.asarray(_draw(pool, 0.5, 400, 50).sum(axis=1)).ravel()[y == 1]
    assert found[0] == 0
    expected = found.sum() * weight[11:] / 45
    assert stats.chisquare(found[1:], expected).pvalue > RARE


def test_equal_weights_are_no_weights():
    _, pool = _pool(weight=np.full(8000, 3.0), largest=(100, 0.5))
    assert not pool.replace
    assert pool.probability == (None, None)


def test_auto_replaces_only_where_events_are_few():
    # Half of 5000 and of 3000 events have to be enough for kappa from 0 on.
    assert not _pool(largest=(2500, 0.5))[1].replace
    assert _pool(largest=(2501, 0.5))[1].replace
    assert _pool(largest=(2500, 0.7))[1].replace
    assert _pool()[1].replace
    assert _pool(replace=True, largest=(10, 0.5))[1].replace


@pytest.mark.parametrize("numbers", [(30, 30), (100, 20), (5000, 60)])
@pytest.mark.parametrize("kappa", [0.1, 0.5])
def test_the_default_size_never_runs_out_of_events(numbers, kappa):
    _, pool = _pool(numbers)
    size = pool.default_size(kappa)
    _, pool = _pool(numbers, largest=(size, kappa))
    counts = _draw(pool, kappa, size, 300)
    np.testing.assert_array_equal(counts.sum(axis=0), size)


def test_the_default_size_is_half_the_events_or_a_tenth_of_the_effective_ones():
    _, pool = _pool((5000, 3000))
    assert pool.default_size(0.5) == 2500
    assert pool.default_size(0.9) == 1666
    assert pool.default_size(0.0) == 2500
    assert pool.default_size(0.5, replace=True) == 500
    weight = np.tile([1.0, 3.0], 4000)
    _, pool = _pool((5000, 3000), weight)
    # A tenth of 5000 (1 + 3)^2 / (2 (1 + 9)), or one less by rounding.
    assert pool.default_size(0.5) in (399, 400)


def test_default_sizes_leave_room_for_the_fluctuation_of_few_events():
    _, pool = _pool((40, 40))
    size = pool.default_size(0.5)
    # n + 6 sqrt(n) = 40 for the n = 16 that either class needs at most.
    assert size == 16
    again = _pool((40, 40), replace="auto", largest=(size, 0.5))[1]
    assert not again.replace


def test_without_replacement_there_have_to_be_enough_events():
    assert not _pool((5000, 3000), replace=False, largest=(4000, 0.1))[1].replace
    with pytest.raises(InvalidInputError, match="with their fluctuations"):
        _pool((5000, 3000), replace=False, largest=(4900, 0.1))


def test_a_dataset_depends_on_its_own_seed_alone():
    _, pool = _pool(replace=False)
    many = pool.draw_many([0.1, 0.2, 0.3], [10, 20, 30], _rngs(3))
    alone = pool.draw(0.3, 30, _rngs(3)[2])
    np.testing.assert_array_equal(many[:, [2]].toarray()[:, 0], alone)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": -np.ones(8000)}, "must not be negative where pseudo-datasets"),
        ({"weight": np.ones(3)}, "each of the 8000 rows"),
        ({"weight": np.r_[np.nan, np.ones(7999)]}, "must be finite"),
        ({"weight": np.r_[np.ones(5000), np.zeros(3000)]}, "positive sum in every"),
        ({"numbers": (8000, 0)}, "events of every class .* none of class"),
        ({"replace": "sometimes"}, "replace must be True, False or 'auto'"),
        ({"replace": False, "weight": np.r_[2.0, np.ones(7999)]}, "with replacement"),
    ],
)
def test_unusable_events_are_refused(change, message):
    with pytest.raises(InvalidInputError, match=message):
        _pool(**change)


def test_unknown_classes_are_refused():
    with pytest.raises(InvalidInputError, match=r"classes seen at fit.*got 2"):
        LabelledEvents.of(np.array([0, 1, 2]), np.array([0, 1]), 1)


def test_running_out_of_events_is_refused():
    _, pool = _pool((10, 10), replace=False)
    with pytest.raises(InvalidInputError, match="lower the size or draw with"):
        pool.draw(0.0, 11, np.random.default_rng(0))


def _fractions(protocol, kappa=None, n=5, natural=0.4):
    return choose_fractions(protocol, kappa, n, natural, np.random.default_rng(0))


def test_protocols_choose_the_fractions_that_they_name():
    np.testing.assert_array_equal(_fractions("natural"), 0.4)
    np.testing.assert_array_equal(_fractions("fixed"), 0.4)
    np.testing.assert_array_equal(
        _fractions("fixed", [0.1, 0.3]), [0.1, 0.3] * 2 + [0.1]
    )
    np.testing.assert_allclose(_fractions("grid"), [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(_fractions("grid", (0.1, 0.3)), np.linspace(0.1, 0.3, 5))
    uniform = _fractions("uniform", (0.1, 0.3), n=1000)
    assert stats.kstest(uniform, stats.uniform(0.1, 0.2).cdf).pvalue > RARE


@pytest.mark.parametrize(
    ("protocol", "kappa", "n", "message"),
    [
        ("random", None, 5, "protocol must be one of fixed, grid, natural, uniform"),
        ("natural", 0.1, 5, "kappa must be None for the natural"),
        ("uniform", 0.1, 5, "two ascending ends"),
        ("grid", (0.3, 0.1), 5, "two ascending ends"),
        ("fixed", 1.1, 5, "fractions from 0 to 1"),
        ("fixed", [], 5, "fractions from 0 to 1"),
        ("fixed", np.nan, 5, "fractions from 0 to 1"),
        ("fixed", 0.1, 0, "n_datasets must be an integer of at least 1"),
        ("fixed", 0.1, 2.5, "n_datasets must be an integer of at least 1"),
    ],
)
def test_unusable_fractions_are_refused(protocol, kappa, n, message):
    with pytest.raises(InvalidInputError, match=message):
        _fractions(protocol, kappa, n)
