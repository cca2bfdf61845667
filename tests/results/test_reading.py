"""What a user reads of a result: digits, table, summary, HTML, flags in words."""

import ast
import html.parser
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from result_examples import example_result

import sktamm
from sktamm.results import FLAGS, decimals_of, flag_meaning, rounded

PACKAGE = Path(sktamm.__file__).parent


@pytest.mark.parametrize(
    ("kappa", "error", "texts"),
    [
        (0.123456, 0.0123, ("0.123", "0.012")),
        (0.123456, 0.00996, ("0.123", "0.010")),
        (0.123456, 0.0994, ("0.123", "0.099")),
        (0.123456, 0.0996, ("0.12", "0.10")),
        (0.1, 3e-9, ("0.1000000000", "0.0000000030")),
        (12.6, 31.4, ("13", "31")),
        (1260.0, 314.0, ("1260", "314")),
        (-1e-5, 0.01, ("0.000", "0.010")),
        (0.12345, 0.0, ("0.1235", "0.0000")),
        (0.12345, np.nan, ("0.1235", "nan")),
        (0.12345, np.inf, ("0.1235", "inf")),
        (np.nan, 0.01, ("nan", "0.010")),
    ],
)
def test_digits_are_those_of_the_error(kappa, error, texts):
    assert (rounded(kappa, error), rounded(error, error)) == texts


@given(st.floats(1e-16, 1e6))
def test_an_error_never_reads_as_zero(error):
    text = rounded(error, error)
    assert float(text) == pytest.approx(error, rel=0.05 if error < 10 else 0.5 / 10)
    assert len(text.replace(".", "").strip("0")) <= 2 or error >= 10
    assert 0 <= decimals_of(error) <= 17


def test_the_table_is_what_is_quoted():
    table = example_result().table()
    expected = {
        "dataset": ["run 0", "run 1", "run 2"],
        "events": ["5000"] * 3,
        "kappa": ["0.123", "0.223", "0.323"],
        "error": ["0.012"] * 3,
        "68.3% interval": ["[0.113, 0.138]", "[0.213, 0.238]", "[0.313, 0.338]"],
        "95.4% interval": ["[0.103, 0.154]", "[0.203, 0.254]", "[0.303, 0.354]"],
        "fit p-value": ["0.31"] * 3,
        "flags": ["at_boundary bad_fit", "none", "own"],
    }
    pd.testing.assert_frame_equal(table, pd.DataFrame(expected, dtype=object))


def test_the_table_has_no_column_of_nothing():
    assert "fit p-value" not in example_result(diagnostics={}).table()
    unknown = {"goodness_of_fit": np.full(3, np.nan)}
    assert "fit p-value" not in example_result(diagnostics=unknown).table()


def test_numbers_of_events_are_whole():
    result = example_result(n_events=np.array([1_234_567.0, 1e6, 5000.25]))
    assert result.table()["events"].tolist() == ["1234567", "1000000", "5000.25"]
    assert "(1234567 events" in result.summary()


def test_no_flags_are_none_of_every_dataset():
    assert example_result(flags=()).flags == ((), (), ())


def test_summary_and_repr_have_the_digits_of_the_table():
    result = example_result()
    assert "dataset run 0: kappa = 0.123 +- 0.012 (5000 events" in result.summary()
    assert "simulations left out: a, b" in result.summary()
    assert repr(result) == "FractionResult(n_datasets=3, kappa=[0.123, 0.223, 0.323])"


class Reader(html.parser.HTMLParser):
    """Tags, and rows of the table, of a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.rows, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        self.text += data
        if self.tags[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def page(result):
    reader = Reader()
    reader.feed(result._repr_html_())
    return reader


def test_the_page_has_the_table_and_the_flags_in_words():
    result = example_result()
    found = page(result)
    assert found.rows[0] == list(result.table().columns)
    assert found.rows[1:] == result.table().to_numpy().tolist()
    for name in ("at_boundary", "bad_fit", "own"):
        assert flag_meaning(name) in found.text


def test_names_of_users_are_text():
    bad = "<script>alert('&')</script>"
    result = example_result(
        n=1,
        dataset=np.array([bad]),
        classes=np.array(["a", bad]),
        pos_label=bad,
        features=(bad,),
        method={"form": bad, "families": bad},
        flags=((bad,),),
    )
    found = page(result)
    assert "script" not in found.tags
    assert found.text.count(bad) == 7
    assert found.rows[1][0] == bad


def test_the_page_is_for_light_and_dark_and_alone():
    text = example_result()._repr_html_()
    assert not re.search(r"http|src=|url\(|<style|#[0-9a-f]{3}|\b(white|black)\b", text)
    assert re.search("<table style=[^>]*color:inherit", text)  # which old pages need
    assert re.search("<t[dh] style=[^>]*color:inherit", text)


def test_many_datasets_are_cut():
    n = 500
    result = example_result(
        n=n, flags=(("bad_fit",),) * n, dataset=np.arange(n), weights=()
    )
    assert len(page(result).rows) == 21
    assert "and 480 more datasets" in page(result).text
    assert len(result._repr_html_()) < 40_000


def flags_of_the_package():
    """Keys of the tables of flags, and texts given as flags, in every file."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.AnnAssign | ast.Assign):
                targets = getattr(node, "targets", None) or [node.target]
                if any(ast.unparse(t) == "_FLAGS" for t in targets):
                    found |= {key.value for key in node.value.keys}
            if isinstance(node, ast.keyword) and node.arg == "flags":
                inside = ast.walk(node.value)
                constants = (n.value for n in inside if isinstance(n, ast.Constant))
                found |= {value for value in constants if isinstance(value, str)}
    return found


def test_every_flag_has_a_sentence_and_no_other_has():
    assert flags_of_the_package() - {"flags"} == set(FLAGS)  # row["flags"] is none


@pytest.mark.parametrize("name", FLAGS)
def test_a_flag_says_what_it_means_and_what_to_do(name):
    sentences = re.split(r"(?<=\.) (?=[A-Z])", flag_meaning(name))
    assert len(sentences) >= 2
    assert all(sentence.endswith(".") for sentence in sentences)
    assert len(flag_meaning(name)) < 250


def test_an_unknown_flag_is_the_estimators_own():
    assert "flag of the estimator" in flag_meaning("own")
