"""The input door: what it reads, and the sentence with which it refuses the rest."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.exceptions import DataConversionWarning

from sktamm.events import accumulate, dataset_sums, read_simulations, read_target
from sktamm.exceptions import InvalidInputError

X = np.arange(12.0).reshape(6, 2)
Y = [0, 0, 0, 1, 1, 1]
SIMULATION = [7, 5, 7, 5, 7, 5]


def test_sources_are_ordered_by_class_then_by_id():
    y, simulation = [1, 0, 1, 0, 0, 1], [9, 2, 4, 9, 2, 9]
    events = read_simulations(X, y, simulation=simulation)
    assert events.classes.tolist() == [0, 1]
    assert events.source_class.tolist() == [0, 0, 1, 1]
    assert events.source_id.tolist() == [2, 9, 4, 9]
    assert events.source.tolist() == [3, 0, 2, 1, 0, 3]
    assert not events.paired
    assert events.n_sources == 4
    assert events.name_of(2) == "simulation 4 of class 1"


def test_features_are_not_copied_and_absent_weights_stay_absent():
    events = read_simulations(X, Y)
    assert np.shares_memory(events.X, X)
    assert events.weight is None
    assert events.source_id.tolist() == [0, 0]
    assert events.source.tolist() == Y


def test_lists_and_integers_are_read():
    events = read_simulations(X.astype(int).tolist(), Y, sample_weight=[1] * 6)
    np.testing.assert_array_equal(events.X, X)
    assert events.X.dtype == events.weight.dtype == np.float64


@pytest.mark.parametrize(
    ("simulation", "paired", "expected"),
    [
        (SIMULATION, "auto", True),
        (SIMULATION, False, False),
        (SIMULATION, True, True),
        ([1, 1, 1, 2, 2, 2], "auto", False),
        ([3] * 6, "auto", False),
        (None, "auto", False),
    ],
)
def test_pairing(simulation, paired, expected):
    events = read_simulations(X, Y, simulation=simulation, paired=paired)
    assert events.paired is expected


@pytest.mark.parametrize(
    "y",
    [
        np.array(["b", "b", "b", "s", "s", "s"]),
        np.array(["b", "b", "b", "s", "s", "s"], dtype=object),
        pd.Series(["b", "b", "b", "s", "s", "s"]),
        pd.Categorical(["b", "b", "b", "s", "s", "s"], categories=["z", "b", "s"]),
        np.array([0, 0, 0, 1, 1, 1], dtype=np.int8),
        np.array([0, 0, 0, 1, 1, 1], dtype=np.uint64) + 2**63,
        np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0]),
        np.array([False] * 3 + [True] * 3),
        np.array([-128] * 3 + [127] * 3, dtype=np.int8),
        np.array([-5] * 3 + [10**15] * 3),
        np.array([0, 0, 0, 1, 1, 1], dtype=object),
    ],
    ids=lambda y: f"{type(y).__name__}-{getattr(y, 'dtype', '')}",
)
def test_labels_of_any_kind_agree_with_unique(y):
    unique, code = np.unique(np.asarray(y), return_inverse=True)
    events = read_simulations(X, y, pos_label=unique[0])
    assert events.classes.tolist() == unique.tolist()
    np.testing.assert_array_equal(events.source, code)
    assert events.positive == 0


def test_classes_keep_the_type_of_the_labels():
    for dtype in (np.int8, np.uint16, np.float32, bool):
        assert read_simulations(X, np.array(Y, dtype)).classes.dtype == dtype
    assert read_simulations(X, np.array(list("bbbsss"))).classes.dtype.kind == "U"


def test_scattered_and_dense_integer_ids_agree():
    rng = np.random.default_rng(3)
    ids = rng.integers(0, 3, 1000)
    y = np.arange(1000) % 2
    dense = read_simulations(rng.normal(size=(1000, 1)), y, simulation=ids - 1)
    wide = read_simulations(dense.X, y, simulation=ids * 10**12)
    np.testing.assert_array_equal(dense.source, wide.source)
    assert wide.source_id.tolist() == [0, 10**12, 2 * 10**12] * 2
    half = read_simulations(dense.X, y, simulation=ids / 4)
    np.testing.assert_array_equal(dense.source, half.source)
    assert half.source_id.tolist() == [0, 0.25, 0.5] * 2


def test_the_last_class_is_positive_unless_named():
    assert read_simulations(X, [2, 0, 1, 0, 1, 2]).positive == 2
    assert read_simulations(X, [2, 0, 1, 0, 1, 2], pos_label=1).positive == 1


def test_data_frames_keep_their_names():
    frame = pd.DataFrame(X, columns=["mass", "angle"])
    assert read_simulations(frame, Y).feature_names == ("mass", "angle")
    assert read_simulations(X, Y).feature_names is None


def test_column_of_labels_is_read_with_a_warning():
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
        events = read_simulations(X, np.array(Y)[:, np.newaxis])
    assert events.source.tolist() == Y


def test_huge_features_are_finite():
    huge = np.full((6, 2), 1e308)
    np.testing.assert_array_equal(read_simulations(huge, Y).X, huge)


def _with(row, column, value):
    changed = X.copy()
    changed[row, column] = value
    return changed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": _with(2, 1, np.nan)}, "1 rows hold NaN .* first at row 2 in column 1"),
        (
            {"X": _with(4, 0, np.inf)},
            r"infinity \(inf\), the first at row 4 in column 0",
        ),
        (
            {"X": pd.DataFrame(_with(4, 0, -np.inf), columns=["m", "a"])},
            "first at row 4 in column 'm'",
        ),
        ({"X": X[:, 0]}, "Reshape your data"),
        ({"X": X[:0], "y": []}, r"Found array with 0 sample\(s\)"),
        ({"X": X[:, :0]}, r"Found array with 0 feature\(s\)"),
        ({"X": X + 1j}, "Complex data not supported"),
        ({"X": [[1, 2], [3]] * 3}, "inhomogeneous|sequence"),
        ({"X": [["a", "b"]] * 6}, "could not convert string"),
        ({"X": sparse.csr_array(X)}, "sparse features are not supported"),
        ({"y": None}, "y must hold one class label per event.*target y is None"),
        ({"y": Y[:5]}, "y must hold one entry for each of the 6 events, got 5"),
        ({"y": [1] * 6}, "at least two classes, but it holds 1 class: 1"),
        ({"y": [0.0, 0.5, 1.0] * 2}, "Unknown label type, got continuous .* as 0.5"),
        ({"y": [0, np.nan, 1] * 2}, "y must hold no missing .* 2 .* first at row 1"),
        ({"y": [0, np.inf, 1] * 2}, "y must hold no missing .* 2 .* first at row 1"),
        ({"y": ["a", None, "b"] * 2}, "y must hold no missing .* 2 .* first at row 1"),
        ({"y": np.array(["a", 1, 2] * 2, object)}, "mixture of int, str"),
        ({"y": np.array(Y) + 1j}, "Complex data not supported"),
        ({"y": np.ones((6, 2))}, "y should be a 1d array"),
        ({"simulation": [1, 2]}, "simulation must hold one entry .* 6 events, got 2"),
        ({"simulation": [1, 2, np.nan] * 2}, "simulation must hold no missing"),
        ({"simulation": ["a", "b", None] * 2}, "simulation must hold no missing"),
        ({"simulation": np.ones((6, 2))}, "simulation should be a 1d array"),
        ({"pos_label": 2}, r"pos_label must be one of the classes \[0, 1\], got 2"),
        ({"paired": "yes"}, "paired must be True, False or \"auto\", got 'yes'"),
        (
            {"paired": True, "simulation": [1, 2, 3, 1, 1, 3]},
            "1 simulations lack a class, the first is 2",
        ),
        ({"sample_weight": [1.0, 2.0]}, r"each of the 6 rows of X, got shape \(2,\)"),
        ({"sample_weight": np.ones((6, 2))}, r"got shape \(6, 2\)"),
        ({"sample_weight": [1, 1, np.nan] * 2}, "2 entries are NaN .* at row 2"),
        ({"sample_weight": ["a"] * 6}, "sample_weight must hold one number per event"),
        ({"sample_weight": np.zeros(6)}, "not sum to zero or less .*simulation 0 of"),
        (
            {"sample_weight": [1, 1, 1, 1, -2, 0.5]},
            "it sums to -0.5 in simulation 0 of class 1",
        ),
    ],
    ids=str,
)
def test_simulations_are_refused(change, message):
    arguments = {"X": X, "y": Y} | change
    with pytest.raises(InvalidInputError, match=message):
        read_simulations(**arguments)


def test_wrong_type_of_a_feature_is_a_type_error():
    bad = X.astype(object)
    bad[0, 0] = {"foo": "bar"}
    with pytest.raises(TypeError, match=r"argument must be .* string.* number"):
        read_simulations(bad, Y)


def test_one_target_by_default():
    target = read_target(X, n_features=2)
    assert target.counts is None
    assert target.dataset_id.tolist() == [0]
    assert target.n_datasets == 1
    assert dataset_sums(target) == (6.0, 6.0)


def test_ids_agree_with_counts_dense_and_sparse():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    ids = rng.integers(0, 4, 200)
    weight = rng.normal(1, 0.5, 200)
    counts = (ids[:, np.newaxis] == np.arange(4)).astype(int)
    row = rng.integers(-1, 5, 200)
    forms = [ids, counts, counts.astype(np.uint8), sparse.csc_matrix(counts)]
    forms += [pd.DataFrame(counts, columns=list("abcd")), np.array(list("abcd"))[ids]]
    sums = [
        accumulate(
            row, 5, read_target(X, dataset=form, sample_weight=weight, n_features=2)
        )
        for form in forms
    ]
    expected = np.array(
        [[weight[(ids == d) & (row == r)].sum() for r in range(5)] for d in range(4)]
    )
    for row_weight, row_variance in sums:
        np.testing.assert_allclose(row_weight, expected, rtol=1e-12)
        np.testing.assert_allclose(row_variance, sums[0][1], rtol=1e-12)
        assert row_weight.flags.c_contiguous
    named = read_target(X, dataset=forms[-2], n_features=2)
    assert named.dataset_id.tolist() == list("abcd")


def test_counts_are_multiplicities():
    counts = np.array([[2, 0], [1, 3], [0, 1]])
    target = read_target(
        X[:3], dataset=counts, sample_weight=[2.0, -1.0, 4.0], n_features=2
    )
    row_weight, row_variance = accumulate(np.array([0, 1, 1]), 2, target)
    np.testing.assert_array_equal(row_weight, [[4, -1], [0, 1]])
    np.testing.assert_array_equal(row_variance, [[8, 1], [0, 19]])


def test_rows_may_be_the_events():
    counts = np.array([[2, 0], [1, 3], [0, 1]])
    target = read_target(X[:3], dataset=counts, n_features=2)
    row_weight, row_variance = accumulate(None, 3, target)
    np.testing.assert_array_equal(row_weight, counts.T)
    np.testing.assert_array_equal(row_variance, counts.T)


def test_counts_in_several_blocks():
    rng = np.random.default_rng(1)
    n = 70_000
    counts = rng.poisson(1, (n, 3)).astype(np.int16)
    row = rng.integers(0, 2, n)
    target = read_target(np.ones((n, 1)), dataset=counts, n_features=1)
    expected = [counts[row == r].sum(axis=0) for r in range(2)]
    np.testing.assert_array_equal(accumulate(row, 2, target)[0], np.transpose(expected))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"X": X[:, :1]},
            "X has 1 features, but TAMM is expecting 2 features as input",
        ),
        ({"X": X[:0]}, r"Found array with 0 sample\(s\)"),
        ({"X": _with(1, 1, np.nan)}, "NaN"),
        ({"dataset": [1, 2]}, "dataset must hold one entry .* 6 events, got 2"),
        ({"dataset": [1, np.nan, 2] * 2}, "dataset must hold no missing"),
        ({"dataset": np.ones((5, 2))}, r"for each of the 6 rows of X .*\(5, 2\)"),
        ({"dataset": np.ones((6, 0))}, r"at least one column, got shape \(6, 0\)"),
        ({"dataset": -np.ones((6, 1))}, "whole, non-negative numbers"),
        ({"dataset": np.full((6, 1), 0.5)}, "whole, non-negative numbers"),
        ({"dataset": np.full((6, 1), np.nan)}, "whole, non-negative numbers"),
        ({"dataset": [["a", "b"]] * 6}, "whole, non-negative numbers"),
        ({"dataset": sparse.csr_array(np.eye(6)) * -1}, "whole, non-negative"),
        ({"dataset": np.eye(6, 8)}, "2 have none, the first is dataset 6"),
        ({"dataset": sparse.csr_array(np.eye(6, 7))}, "1 have none, .* dataset 6"),
        ({"sample_weight": np.zeros(6)}, "sample_weight must not sum to zero"),
        (
            {"sample_weight": [1, -1, 1, -2, 1, 1], "dataset": list("abcbcc")},
            "it sums to -3 in dataset b",
        ),
    ],
    ids=str,
)
def test_targets_are_refused(change, message):
    arguments = {"X": X, "n_features": 2, "estimator_name": "TAMM"} | change
    with pytest.raises(InvalidInputError, match=message):
        read_target(**arguments)


def test_feature_names_must_be_those_of_fit():
    frame = pd.DataFrame(X, columns=["mass", "angle"])
    names = ("mass", "angle")
    read_target(frame, n_features=2, feature_names=names)
    with pytest.raises(InvalidInputError, match="must be in the same order"):
        read_target(frame[["angle", "mass"]], n_features=2, feature_names=names)
    with pytest.raises(InvalidInputError, match="seen at fit time, yet now missing"):
        read_target(frame[["angle"]], n_features=2, feature_names=names)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        read_target(X, n_features=2, feature_names=names)
