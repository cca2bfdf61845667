"""Files in and results out: strict JSON, nothing about the machine, all or nothing."""

import gzip
import hashlib
import json
import os

import numpy as np
import pandas as pd
import pytest

from sktamm.exceptions import InvalidInputError
from sktamm.io import (
    column_names,
    file_hash,
    keep_written,
    provenance,
    read_events,
    replacing,
    result_to_json,
    result_to_text,
    write_events,
    write_result,
)
from sktamm.results import FractionResult, Profile


@pytest.fixture
def result():
    return FractionResult(
        dataset=np.array(["a", "b"]),
        classes=np.array([0, 1]),
        pos_label=np.int64(1),
        kappa=np.array([0.1, np.nan]),
        std=np.array([0.01, np.inf]),
        levels=np.array([0.683]),
        interval=np.array([[[0.09], [0.11]], [[0.0], [1.0]]]),
        fractions=np.array([[0.9, 0.1], [0.5, 0.5]]),
        weights=(np.ones((2, 3)), np.ones((2, 2))),
        n_events=np.array([100.0, 50.0]),
        n_effective=np.array([100.0, 50.0]),
        diagnostics={"converged": np.array([True, False])},
        flags=((), ("not_converged",)),
        method={"form": "LinearForm"},
        profile=Profile(np.zeros((2, 3)), np.full((2, 3), -np.inf)),
    )


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_events_survive_a_round_trip(tmp_path, ending):
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    events = pd.DataFrame({"x": [1.5, 2.5], "label": [0, 1], "id": ["a", "b"]})
    path = tmp_path / f"events.{ending}"
    write_events(path, events)
    pd.testing.assert_frame_equal(read_events(path), events)
    assert list(read_events(path, ["label", "x"]).columns) == ["label", "x"]
    with pytest.raises(InvalidInputError, match="no column 'w'; it has 'x'"):
        read_events(path, ["w"])


def test_the_hash_is_that_of_the_content(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"events" * 1_000_000)
    assert file_hash(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_result_is_strict_json(result, tmp_path):
    path = tmp_path / "result.json"
    path.write_text("old")
    write_result(path, result, provenance({"bins": 10}, 3, [path]))
    document = json.loads(path.read_text(), parse_constant=pytest.fail)
    first, second = document["datasets"]
    assert first["kappa"] == 0.1
    assert second["kappa"] == "NaN"
    assert second["flags"] == ["not_converged"]
    assert document["provenance"]["inputs"][0]["file"] == "result.json"
    assert str(tmp_path) not in path.read_text()
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_a_failed_write_leaves_the_old_file(result, tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    path.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        write_result(path, result)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


def test_the_document_has_one_entry_per_dataset(result):
    document = result_to_json(result)
    assert [d["dataset"] for d in document["datasets"]] == ["a", "b"]
    assert document["provenance"] is None


@pytest.mark.parametrize("text", ["a,b\n9,0.1,0.2\n9,0.3,0.4\n", "a,b\n1,2\n1,2,3,4\n"])
def test_rows_longer_than_the_header_are_refused(tmp_path, text):
    path = tmp_path / "shift.csv"
    path.write_text(text)
    with pytest.raises(InvalidInputError, match="not readable as CSV"):
        read_events(path, ["a"])


@pytest.mark.parametrize(
    ("written", "values"),
    [
        (["1", "01", "10", "010"], ["1", "01", "10", "010"]),
        (["2", "10", "2"], [2, 10, 2]),
        (["-1", "0"], [-1, 0]),
        (["+1", "1"], ["+1", "1"]),
        (["1", "1.0"], ["1", "1.0"]),
        (["1.0", "0.5"], [1.0, 0.5]),
        (["0.10", "0.1"], ["0.10", "0.1"]),
        (["0.0", "-0.0"], ["0.0", "-0.0"]),
        (["True", "False"], [True, False]),
        (["true", "false"], ["true", "false"]),
        (["True", "1"], ["True", "1"]),
        (["inf", "1.0"], ["inf", "1.0"]),
        (["1_000"], ["1_000"]),
        ([str(2**63 - 1), str(2**53 + 1)], [2**63 - 1, 2**53 + 1]),
        ([str(2**63), "1"], [str(2**63), "1"]),
        ([" 1", " 2"], [1, 2]),
        ([" 1", "1"], [" 1", "1"]),
        (["a", "b "], ["a", "b"]),
    ],
)
def test_ids_are_numbers_only_if_they_print_as_written(tmp_path, written, values):
    assert keep_written(pd.Series(written)).tolist() == values
    path = tmp_path / "ids.csv"
    path.write_text("id,x\n" + "".join(f"{text},1\n" for text in written))
    read = read_events(path, as_written=["id", "other"])
    assert read["id"].tolist() == values
    assert [type(v) for v in read["id"].tolist()] == [type(v) for v in values]
    assert read["x"].dtype == np.int64


def test_missing_ids_turn_no_integer_into_a_float(tmp_path):
    path = tmp_path / "ids.csv"
    path.write_text("id,x\n7,1\n,2\nNA,3\n8,4\n")
    ids = read_events(path, as_written=["id"])["id"]
    assert ids.isna().tolist() == [False, True, True, False]
    assert ids.dropna().tolist() == [7, 8]
    assert all(isinstance(value, int) for value in ids.dropna().tolist())


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_the_names_of_the_columns_are_those_of_the_file(tmp_path, ending):
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"events.{ending}"
    write_events(path, pd.DataFrame({"x": [1.0], "a b": ["u"]}))
    assert column_names(path) == ["x", "a b"]


def test_nameless_columns_stay_nameless(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text("\ufeff,x,y\n0,1,2\n", encoding="utf-8")
    assert column_names(path) == ["", "x", "y"]
    assert list(read_events(path).columns) == ["", "x", "y"]


def test_repeated_names_are_refused_where_they_are_read(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text("x,x,y\n1,2,3\n")
    for columns in (None, ["x"]):
        with pytest.raises(InvalidInputError, match="it has 2 of the name 'x'"):
            read_events(path, columns)
    assert read_events(path, ["y"])["y"].tolist() == [3]


def test_a_named_index_is_read_when_it_is_asked_for(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "events.parquet"
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "id": [5, 9, 2]}).set_index("id")
    frame.to_parquet(path)
    assert read_events(path, ["id", "x"])["id"].tolist() == [5, 9, 2]
    assert read_events(path, as_written=["id"])["id"].tolist() == [5, 9, 2]
    assert list(read_events(path).columns) == ["x"]  # an index is no feature


def test_truncated_files_are_refused(tmp_path):
    pytest.importorskip("pyarrow")
    events = pd.DataFrame({"x": np.arange(1000.0)})
    for ending in ("csv.gz", "parquet"):
        path = tmp_path / f"events.{ending}"
        write_events(path, events)
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(InvalidInputError, match="not readable as"):
            read_events(path)


def test_a_compressed_file_is_compressed(tmp_path):
    path = tmp_path / "events.csv.gz"
    write_events(path, pd.DataFrame({"x": [1]}))
    assert gzip.decompress(path.read_bytes()) == b"x\n1\n"


def test_only_complete_files_replace(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def write():
        with replacing(path) as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


@pytest.mark.skipif(os.name != "posix", reason="needs links and modes")
def test_links_and_modes_survive(tmp_path):
    path, link = tmp_path / "file.txt", tmp_path / "link.txt"
    path.write_text("old")
    path.chmod(0o600)
    link.symlink_to(path.name)
    with replacing(link) as part:
        part.write_text("new")
    assert link.is_symlink()
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_text_is_what_the_file_holds(result, tmp_path):
    write_result(tmp_path / "result.json", result)
    assert (tmp_path / "result.json").read_text() == result_to_text(result)
