"""The record: tables with the right errors, merging, saving, refusals."""

import builtins
import dataclasses

import numpy as np
import pytest
from coverage_results import make_result, with_failures
from scipy import stats

from sktamm.coverage import CoverageResult
from sktamm.coverage._errors import coverage_error
from sktamm.coverage._measures import clopper_pearson, wilson
from sktamm.coverage._result import _ROWS
from sktamm.exceptions import CheckpointError, InvalidInputError


def same(a, b):
    for f in dataclasses.fields(CoverageResult):
        left, right = getattr(a, f.name), getattr(b, f.name)
        if f.name == "settings":
            assert left == right
        else:
            np.testing.assert_array_equal(left, right, err_msg=f.name)
    return True


def test_table_counts_what_is_covered():
    result = make_result()
    table = result.table()
    assert table.index.name == "truth"
    assert table.index.tolist() == [0.1, 0.3]
    for i, level in enumerate(("0.683", "0.954")):
        hit = (result.interval[:, 0, i] <= result.truth) & (
            result.truth <= result.interval[:, 1, i]
        )
        np.testing.assert_allclose(
            table[f"coverage_{level}"], [hit[:100].mean(), hit[100:].mean()]
        )
        lower, upper = clopper_pearson([hit[:100].sum(), hit[100:].sum()], 100)
        np.testing.assert_allclose(table[f"coverage_lower_{level}"], lower)
        np.testing.assert_allclose(table[f"coverage_upper_{level}"], upper)
        lower, _ = wilson([hit[:100].sum(), hit[100:].sum()], 100, 0.9)
        other = result.table(errors="wilson", error_level=0.9)
        np.testing.assert_allclose(other[f"coverage_lower_{level}"], lower)
    np.testing.assert_allclose(
        result.table(by=())["pull_std"], result.pulls.std(ddof=1)
    )
    assert len(result.table(("truth", "size", "strength"))) == 2
    assert result.table("group").index.tolist() == ["a0"]


def test_failed_fits_of_other_parameters_enter_no_score():
    """[0, 1] says nothing about a fraction, but much that is wrong about theta."""
    whole = make_result()
    away = dataclasses.replace(
        whole,
        truth=whole.truth + 5,
        kappa=whole.kappa + 5,
        interval=whole.interval + 5,
    )
    lost = with_failures(away, slice(0, 10)).table(by=()).iloc[0]
    kept = dataclasses.replace(away, **{n: getattr(away, n)[10:] for n in _ROWS}).table(
        by=()
    )
    assert lost.n_failed == 10
    assert lost["interval_score"] == pytest.approx(kept["interval_score"].iloc[0])
    assert lost["coverage_0.683"] < kept["coverage_0.683"].iloc[0]


def test_failed_fits_are_misses_and_shown():
    whole = make_result()
    result = with_failures(whole, slice(0, 10))
    row, before = result.table(by=()).iloc[0], whole.table(by=()).iloc[0]
    assert row.n == 200
    assert row.n_failed == 10
    lost = whole.table(by=()).n_failed.iloc[0]
    assert lost == 0
    assert row["coverage_0.954"] <= before["coverage_0.954"] - 9 / 200
    assert row["mean_width_0.683"] == pytest.approx(before["mean_width_0.683"])
    assert row["interval_score_0.954"] > before["interval_score_0.954"]
    assert np.isnan(result.pulls[:10]).all()
    assert "failed fits: 10 of 200" in result.summary()
    assert "10 x ValueError: no" in result.summary()
    assert "n_failed=10" in repr(result)


def test_flags_are_counted_in_the_summary():
    result = make_result(4)
    flags = np.array(["span", "span at_boundary", "", "span"])
    text = dataclasses.replace(result, flags=flags).summary()
    assert "3 x span" in text
    assert "1 x at_boundary" in text
    assert "failed fits: none" in text


def test_errors_of_groups_are_binomial_where_groups_are_single():
    """One experiment per group: n - 1 instead of n and Student's t, else the same."""
    covered = np.arange(400) < 280
    few = coverage_error(covered, np.arange(400), 0.683, "groups")
    lower, upper = clopper_pearson(280, 400)
    assert few.lower == pytest.approx(float(lower), abs=2e-4)
    assert few.upper == pytest.approx(float(upper), abs=2e-4)
    exact = coverage_error(covered, np.zeros(400), 0.683, "groups").p_value
    assert few.p_value == pytest.approx(exact, abs=0.02)


def test_errors_of_groups_grow_with_what_groups_share():
    """Twenty experiments each, all covered or all missed: as many trials as groups."""
    group = np.repeat(np.arange(50), 20)
    covered = group < 35
    shared = coverage_error(covered, group, 0.683, "groups")
    lower, upper = clopper_pearson(35, 50)
    assert shared.lower == pytest.approx(float(lower), abs=3e-3)
    assert shared.upper == pytest.approx(float(upper), abs=3e-3)
    naive = coverage_error(covered, group, 0.683, "clopper-pearson")
    assert (shared.upper - shared.lower) > 4 * (naive.upper - naive.lower)
    assert coverage_error(covered, group, 0.75, "clopper-pearson").p_value < 1e-3
    assert coverage_error(covered, group, 0.75, "groups").p_value > 0.1


def test_groups_without_any_miss_count_as_trials():
    error = coverage_error(np.ones(100, bool), np.arange(100) % 5, 0.954, "groups")
    assert error.upper == 1.0
    assert error.lower < 0.75
    assert error.p_value == 1.0


def test_p_values_of_groups_are_uniform_or_above():
    """At 5 % at most 5 % + 4 sigma of 1000 null studies reject (chance 3e-5)."""
    rng = np.random.default_rng(1)
    rejected = 0
    group = np.repeat(np.arange(30), 10)
    for _ in range(1000):
        shift = rng.normal(0.0, 0.5, 30)[group]
        z = (shift + rng.normal(size=300)) / np.sqrt(1.25)
        covered = np.abs(z) < stats.norm.ppf(0.5 + 0.5 * 0.683)
        rejected += coverage_error(covered, group, 0.683, "groups").p_value < 0.05
    assert rejected <= 50 + 4 * np.sqrt(1000 * 0.05 * 0.95)
    assert rejected >= 50 - 5 * np.sqrt(1000 * 0.05 * 0.95)


def test_auto_takes_groups_where_there_are_several():
    result = make_result(400, spread=0.02, n_groups=20)
    auto, naive = result.table(by=()), result.table(by=(), errors="clopper-pearson")
    assert auto.n_groups.tolist() == [20]
    width = auto["coverage_upper_0.683"] - auto["coverage_lower_0.683"]
    flat = naive["coverage_upper_0.683"] - naive["coverage_lower_0.683"]
    assert (width > 1.5 * flat).all()
    assert result.table(by=(), errors="groups").equals(auto)


def test_merge_joins_and_refuses():
    a, b = make_result(group="a"), make_result(group="b", seed=1)
    both = a.merge(b)
    assert both.truth.size == 400
    assert both.settings == {"estimator": "Normal"}
    np.testing.assert_array_equal(both.kappa[200:], b.kappa)
    assert make_result(seed=1).merge(make_result(seed=2)).truth.size == 400
    with pytest.raises(InvalidInputError, match="experiment 0 of seed 0"):
        a.merge(b, a)
    other = dataclasses.replace(b, levels=np.array([0.683, 0.9]))
    with pytest.raises(InvalidInputError, match=r"levels agree.*0\.954.*0\.9"):
        a.merge(other)
    assert same(a.merge(), a)


def test_save_and_load_bit_for_bit(tmp_path):
    pytest.importorskip("pyarrow")
    result = with_failures(make_result(n_groups=3), [3, 7])
    path = tmp_path / "study.parquet"
    result.save(path)
    assert same(CoverageResult.load(path), result)
    result.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["study.parquet"]
    assert CoverageResult.load(path).table().equals(result.table())


def test_damaged_and_foreign_files_are_named(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "study.parquet"
    make_result().save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=r"study\.parquet"):
        CoverageResult.load(path)
    make_result().to_frame().to_parquet(path)
    with pytest.raises(CheckpointError, match=r"study\.parquet is not a readable"):
        CoverageResult.load(path)
    with pytest.raises(CheckpointError, match=r"none\.parquet"):
        CoverageResult.load(tmp_path / "none.parquet")


def test_missing_pyarrow_is_explained(tmp_path, monkeypatch):
    load = builtins.__import__

    def refuse(name, *arguments, **keywords):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return load(name, *arguments, **keywords)

    result = make_result(4)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"pip install 'sktamm\[io\]'"):
        result.save(tmp_path / "study.parquet")


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"by": "kappa"}, "by must hold different ones of truth, size"),
        ({"by": ("truth", "truth")}, "by must hold different"),
        ({"errors": "normal"}, "errors must be one of auto"),
        ({"errors": "groups"}, "at least two, got 1"),
        ({"error_level": 1.0}, "error_level must be between 0 and 1, got 1.0"),
    ],
)
def test_table_refuses(keywords, message):
    with pytest.raises(InvalidInputError, match=message):
        make_result(10).table(**keywords)
