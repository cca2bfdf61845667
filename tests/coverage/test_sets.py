"""Coverage by set of simulations: quantiles, the worst tenth, what chance makes."""

import dataclasses
import math

import numpy as np
import pytest
from coverage_results import LEVELS, make_result, with_failures

from sktamm.coverage import CoverageResult, higgsml_score
from sktamm.coverage._sets import distribution, exact_worst_tenth, worst_tenth
from sktamm.exceptions import InvalidInputError


def known_sets(n_covered, n=10, truth=0.1):
    """Sets g00, g01, ... of n experiments, of which so many hold, at both levels."""
    n_covered = np.asarray(n_covered)
    size = n_covered.size * n
    covered = (np.arange(n) < n_covered[:, None]).ravel()
    # Interleaved, and the groups in another order than their coverage.
    order = np.random.default_rng(0).permutation(size)
    group = np.repeat([f"g{i:02d}" for i in range(n_covered.size)], n)[order]
    kappa = truth + np.where(covered[order], 0.0, 0.3)
    ends = np.array([[-0.05, -0.1], [0.05, 0.1]])
    return CoverageResult(
        experiment=np.arange(size),
        truth=np.full(size, truth),
        size=np.full(size, 1000),
        strength=np.zeros(size),
        group=group,
        kappa=kappa,
        std=np.full(size, 0.05),
        levels=LEVELS,
        interval=kappa[:, None, None] + ends,
        flags=np.full(size, ""),
        failure=np.full(size, ""),
        seconds=np.zeros(size),
        seed=np.zeros(size, dtype=int),
    )


# Twenty sets; the worst two hold 1 and 2 of 10.
COUNTS = [9, 7, 8, 2, 6, 7, 10, 7, 8, 6, 5, 7, 1, 8, 9, 7, 6, 10, 4, 8]


def test_the_worst_tenth_is_the_mean_of_the_worst_sets():
    table = known_sets(COUNTS).table(by=())
    assert table["worst_tenth_0.683"].tolist() == [pytest.approx(0.15)]
    assert table["coverage_0.683"].tolist() == [pytest.approx(sum(COUNTS) / 200)]
    few = known_sets([9, 3, 5]).table(by=())  # one set at least
    assert few["worst_tenth_0.954"].tolist() == [pytest.approx(0.3)]
    part = known_sets([*COUNTS, 7, 7, 7, 7, 7]).table(by=())  # 2.5 sets of 25
    expected = (0.1 + 0.2 + 0.5 * 0.4) / 2.5
    assert part["worst_tenth_0.683"].tolist() == [pytest.approx(expected)]


def test_one_set_is_its_own_worst_tenth():
    row = known_sets([6]).table(by=()).iloc[0]
    assert row["worst_tenth_0.683"] == row["coverage_0.683"] == 0.6
    assert "by group" not in known_sets([6]).summary()


def test_quantiles_are_those_of_the_sets():
    table = known_sets(COUNTS).coverage_quantiles()
    assert table.index.tolist() == [0.683, 0.954]
    assert table.index.name == "level"
    row = table.loc[0.683]
    ordered = sorted(COUNTS)
    assert row.n_groups == 20
    assert row["mean"] == pytest.approx(sum(COUNTS) / 200)
    assert row.worst_tenth == pytest.approx(0.15)
    # numpy's definition: linear between order statistics, at 19 q
    assert row["q0.1"] == pytest.approx((ordered[1] + 0.9 * 2) / 10)
    assert row["q0.5"] == pytest.approx((ordered[9] + ordered[10]) / 20)
    ends = known_sets(COUNTS).coverage_quantiles(quantiles=(0, 1)).loc[0.683]
    assert (ends["q0"], ends["q1"]) == (0.1, 1.0)


def test_sets_weigh_the_same_whatever_their_sizes():
    big, small = known_sets([80], n=100), known_sets([2], n=10)
    small = dataclasses.replace(small, group=np.full(10, "small"))
    row = big.merge(small).coverage_quantiles(quantiles=0.5).iloc[0]
    assert row["mean"] == row["q0.5"] == pytest.approx(0.5)
    assert row.worst_tenth == pytest.approx(0.2)


def test_cells_have_their_own_sets():
    low, high = known_sets([1, 5]), known_sets([9, 8], truth=0.3)
    both = low.merge(dataclasses.replace(high, experiment=high.experiment + 20))
    table = both.coverage_quantiles(("truth", "size"), quantiles=())
    assert table.index.names == ["truth", "size", "level"]
    assert table["worst_tenth"].tolist() == pytest.approx([0.1, 0.1, 0.8, 0.8])
    assert both.table()["worst_tenth_0.683"].tolist() == pytest.approx([0.1, 0.8])
    # Pooled, the worst is the set that misses most over all truths: 1 + 9 of 20.
    assert both.table(by=())["worst_tenth_0.683"].tolist() == pytest.approx([0.5])


def test_failed_fits_are_misses_of_their_set():
    result = known_sets([10] * 10)
    lost = with_failures(result, np.flatnonzero(result.group == "g03")[:4])
    assert lost.table(by=())["worst_tenth_0.954"].tolist() == [pytest.approx(0.6)]
    assert lost.coverage_quantiles(quantiles=0).iloc[0]["q0"] == pytest.approx(0.6)
    reasons = result.failure.astype("U9")
    reasons[result.group == "g05"] = "no reason"  # has a number, but failed
    odd = dataclasses.replace(result, failure=reasons)
    assert odd.table(by=())["worst_tenth_0.954"].tolist() == [0.0]


@pytest.mark.parametrize(
    ("sizes", "level"),
    [([2] * 30, 0.683), ([5] * 25, 0.954), ([1, 2, 3, 7, 7, 9, 10, 3] * 3, 0.683)],
)
def test_exact_intervals_have_the_worst_tenth_of_drawn_ones(sizes, level):
    """Against 20 000 draws, within four standard errors."""
    rng = np.random.default_rng(0)
    share = np.sort(rng.binomial(sizes, level, (20_000, len(sizes))) / sizes, axis=1)
    m = len(sizes) / 10
    whole = math.floor(m)
    drawn = (share[:, :whole].sum(axis=1) + (m - whole) * share[:, whole]) / m
    error = drawn.std() / math.sqrt(drawn.size)
    found = exact_worst_tenth(np.array(sizes), level)
    assert abs(found - drawn.mean()) < 4 * error


def test_exact_worst_tenth_of_known_cases():
    for n in (20, 49):  # 49 (1 / 49) < 1 in floating point
        assert exact_worst_tenth(np.array([n]), 0.683) == pytest.approx(0.683)
    # The worse of two single experiments holds where both do.
    assert exact_worst_tenth(np.array([1, 1]), 0.7) == pytest.approx(0.49)
    # Of (1, 2): min > 0 means the first holds and the second is 1/2 or 1.
    expected = 0.7 * (0.5 * 2 * 0.7 * 0.3 + 0.7**2)
    assert exact_worst_tenth(np.array([1, 2]), 0.7) == pytest.approx(expected)


def test_shared_luck_shows_in_the_worst_tenth():
    """Nominal on average, and half of the sets miss: only the sets tell."""
    group = np.repeat(np.arange(40), 25)
    shared = distribution(group % 2 == 0, group, 0.5, [0.25, 0.75])
    assert shared["mean"] == 0.5
    assert (shared["worst_tenth"], shared["q0.25"], shared["q0.75"]) == (0, 0, 1)
    assert shared["exact_worst_tenth"] > 0.3
    alone = np.arange(1000) % 2 == 0
    assert worst_tenth(alone, group) == pytest.approx(0.48)


def test_the_summary_shows_the_sets_and_the_score():
    result = known_sets(COUNTS)
    lines = result.summary().splitlines()
    found = [line for line in lines if line.startswith("level 0.683, by group")]
    assert len(found) == 1
    exact = exact_worst_tenth(np.full(20, 10), 0.683)
    assert f"worst tenth 0.1500 (exact intervals {exact:.4f})" in found[0]
    assert "quantiles 10 % 0.3800, 50 % 0.7000, 90 % 0.9100" in found[0]
    lower, upper = result.interval[:, :, 0].T
    score = higgsml_score(result.truth, lower, upper, level=0.683)
    assert result.table(by=()).higgsml.tolist() == [pytest.approx(score)]
    assert f"HiggsML score {score:.3f}" in lines


def test_studies_without_one_sigma_have_no_score():
    result = dataclasses.replace(make_result(20), levels=np.array([0.5, 0.954]))
    assert "higgsml" not in result.table()
    assert "HiggsML" not in result.summary()


def test_scores_of_other_parameters_leave_failed_fits_out():
    whole = make_result()
    away = dataclasses.replace(whole, truth=whole.truth + 5, kappa=whole.kappa + 5)
    away = dataclasses.replace(away, interval=whole.interval + 5)
    lost = with_failures(away, slice(0, 10))
    lower, upper = lost.interval[:, :, 0].T
    score = higgsml_score(lost.truth, lower, upper, level=0.683, failed_width=None)
    assert lost.table(by=()).higgsml.tolist() == [pytest.approx(score)]


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"by": "group"}, "by must hold different ones of truth, size, strength, got"),
        ({"by": ("size", "size")}, "by must hold different ones"),
        (
            {"quantiles": 1.5},
            "quantiles must be different numbers from 0 to 1, got 1.5",
        ),
        ({"quantiles": (0.5, 0.5)}, "quantiles must be different"),
        ({"quantiles": "worst"}, "quantiles must be different numbers"),
        ({"quantiles": np.nan}, "quantiles must be different numbers"),
    ],
)
def test_quantiles_refuse(keywords, message):
    with pytest.raises(InvalidInputError, match=message):
        make_result(10).coverage_quantiles(**keywords)
