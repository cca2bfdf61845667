"""Results on disk: back bit for bit, by the schema, and nothing else is read."""

import json
import re
import subprocess
import sys
import warnings

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from result_examples import any_result, example_result

import sktamm
from sktamm.exceptions import EditedResultWarning, InvalidInputError
from sktamm.io import (
    provenance,
    read_result,
    result_from_json,
    result_schema,
    result_to_json,
    result_to_text,
    write_result,
)

SCHEMA = jsonschema.Draft202012Validator(result_schema())
# From the shape of a result to its file, nothing depends on the size.
LOOSE = settings(
    deadline=None, max_examples=150, suppress_health_check=list(HealthCheck)
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "result.json"


def read_bytes(path, content):
    path.write_bytes(content)
    return read_result(path)


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(result_schema())


@LOOSE
@given(any_result())
@example(example_result())
@example(example_result(n=1).blinded("seed"))
def test_any_result_comes_back_bit_for_bit(result):
    text = result_to_text(result)
    document = json.loads(text, parse_constant=pytest.fail)
    SCHEMA.validate(document)
    again = result_from_json(document)
    assert again.equals(result)
    assert result_to_text(again, result.provenance) == text


@pytest.mark.parametrize(
    "ids",
    [
        np.array([1, 2**62]),
        np.array([True, False]),
        np.array(["2024-01-01", "NaT"], dtype="M8[ns]"),
        np.array([2**70, "01"], dtype=object),
        np.array([("a", 1), None, 0.5], dtype=object)[:2],
    ],
)
def test_ids_keep_their_type(ids, path):
    result = example_result(n=2, dataset=ids)
    write_result(path, result)
    again = read_result(path).dataset
    assert again.dtype == ids.dtype
    assert [type(i) for i in again.tolist()] == [type(i) for i in ids.tolist()]
    assert again.tolist() == ids.tolist()


def test_what_has_no_text_of_its_own_is_refused(path):
    odd = np.array([object(), 1], dtype=object)
    with pytest.raises(InvalidInputError, match="ids and labels that are texts"):
        write_result(path, example_result(n=2, dataset=odd))
    assert not path.exists()


def test_provenance_comes_back_and_goes_on(path):
    origin = provenance({"bins": 10, "nested": {"a": [1, 2]}}, 3)
    write_result(path, example_result(), origin)
    text, again = path.read_text(), sktamm.read_result(path)
    assert again.provenance["settings"]["nested"]["a"] == (1, 2)
    assert again.provenance["software"] == origin["software"]
    write_result(path, again)
    assert path.read_text() == text
    write_result(path, again, provenance(seed=4))
    assert read_result(path).provenance["seed"] == 4
    write_result(path, example_result(provenance={}))
    assert read_result(path).provenance == {}


def test_an_edit_is_noticed_and_can_be_accepted(path):
    write_result(path, example_result())
    edited = path.read_text().replace('"kappa": 0.1234567', '"kappa": 0.2234567', 1)
    assert edited != path.read_text()
    path.write_text(edited)
    with pytest.raises(InvalidInputError, match=r"result\.json was changed after"):
        read_result(path)
    with pytest.warns(EditedResultWarning, match="was changed"):
        assert read_result(path, allow_edited=True).kappa[0] == 0.2234567


def test_another_layout_is_no_edit(path):
    write_result(path, example_result())
    document = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(document.items()))))
    assert read_result(path).equals(example_result())


def refusal(document, **how):
    """Sentence of the refusal of a document; None if it is read."""
    try:
        result_from_json(document, **how)
    except InvalidInputError as error:
        return str(error)
    return None


def every_leaf(value, place=()):
    """Places of all values within a document."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from every_leaf(item, (*place, key))
    else:
        yield place


def test_every_edit_is_noticed():
    document = result_to_json(example_result(n=2))
    for place in every_leaf(document):
        edited = json.loads(json.dumps(document))
        part = edited
        for key in place[:-1]:
            part = part[key]
        part[place[-1]] = "ab" if part[place[-1]] != "ab" else "ba"
        with pytest.raises(InvalidInputError):
            result_from_json(edited)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "not strict JSON"),
        (b"\x80\x04\x95", "not UTF-8"),
        (b"[1, NaN]", "NaN is no number"),
        (b"[1e999]", "larger than any double"),
        (b'{"a": 1, "a": 2}', "'a' stands there twice"),
        (b"[" * 100_000, "not strict JSON"),
        (b"1" * 5000, "not strict JSON"),
        (b"[]", "must be a result that sktamm wrote"),
        (b'{"format": {"name": "pyhf", "version": 1}}', "must be a result"),
        (b'{"format": {"name": "sktamm.FractionResult", "version": 1}}', "older"),
        (b'{"format": {"name": "sktamm.FractionResult", "version": 3}}', "newer"),
        (b'{"format": {"name": "sktamm.FractionResult", "version": 2}}', "well-formed"),
        (b'{"format": {"name": "sktamm.FractionResult", "version": "2"}}', "version"),
    ],
)
def test_what_is_no_result_is_refused_in_a_sentence(path, content, sentence):
    with pytest.raises(InvalidInputError, match=sentence) as error:
        read_bytes(path, content)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="must exist"):
        read_result(tmp_path / "none.json")
    with pytest.raises(InvalidInputError, match="is a folder"):
        read_result(tmp_path)


def test_every_truncation_is_refused(path):
    whole = result_to_text(example_result(n=1)).encode()
    for length in range(0, len(whole) - 1, 97):
        with pytest.raises(InvalidInputError):
            read_bytes(path, whole[:length])


@LOOSE
@given(st.data())
def test_damage_is_refused_or_changes_nothing(data):
    document = json.loads(result_to_text(example_result(n=1)))
    places = list(every_leaf(document))
    place = data.draw(st.sampled_from(places))
    depth = data.draw(st.integers(1, len(place)))
    part = document
    for key in place[: depth - 1]:
        part = part[key]
    odd = [None, [], {}, -1, 0.5, "x", "NaN", [[1, "a"]], ["<f8", 10**9]]
    part[place[depth - 1]] = data.draw(st.sampled_from(odd))
    whole = json.loads(result_to_text(example_result(n=1)))
    if (sentence := refusal(document)) is None:
        assert document == whole
    else:
        assert "\n" not in sentence
    document["sha256"] = "0" * 64
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sentence = refusal(document, allow_edited=True)
    if sentence is None:
        assert [w.category for w in caught] == [EditedResultWarning]
    else:
        assert "\n" not in sentence


@pytest.mark.parametrize("part", ["draws", "weights", "diagnostics", "profile"])
def test_types_of_other_data_are_refused(part):
    document = result_to_json(example_result(n=2))
    if part == "diagnostics":
        document["types"][part]["another"] = ["<f8", 2]
    elif part == "profile":
        document["datasets"][1][part] = None
    elif part == "weights":
        document["types"][part].append(["<f8", 2, 2])
    else:
        document["types"][part] = []
    with (
        pytest.warns(EditedResultWarning),
        pytest.raises(InvalidInputError, match="must agree"),
    ):
        result_from_json(document, allow_edited=True)


def test_a_type_of_long_texts_takes_no_memory():
    document = result_to_json(example_result(n=2))
    document["types"]["dataset"][0] = "<U400000000"
    with (
        pytest.warns(EditedResultWarning),
        pytest.raises(InvalidInputError, match="texts that long"),
    ):
        result_from_json(document, allow_edited=True)


def test_reading_without_jsonschema_names_the_extra(path, monkeypatch):
    write_result(path, example_result())
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    with pytest.raises(InvalidInputError, match=r"pip install 'sktamm\[io\]'"):
        read_result(path)


def test_the_hash_is_that_of_another_program(path):
    write_result(path, example_result())
    code = (
        "import hashlib, json, sys; d = json.load(open(sys.argv[1])); "
        "h = d.pop('sha256'); t = json.dumps(d, sort_keys=True, separators=(',', ':'));"
        "print(hashlib.sha256(t.encode()).hexdigest() == h)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "True"


def test_the_schema_says_every_field():
    fields = set(result_schema()["properties"])
    document = set(result_to_json(example_result()))
    assert fields == document
    assert re.fullmatch(r"[0-9a-f]{64}", result_to_json(example_result())["sha256"])
