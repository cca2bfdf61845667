"""Files in and results out: strict JSON, nothing about the machine, all or nothing."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest

from sktamm.exceptions import InvalidInputError
from sktamm.io import (
    file_hash,
    provenance,
    read_events,
    result_to_json,
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
    assert second["kappa"] is None
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
