"""Cuts mean what their signs mean to a reader, and run nothing else."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sktamm.exceptions import InvalidInputError
from sktamm.io import Cut

rng = np.random.default_rng(1)
EVENTS = pd.DataFrame(
    {
        "pt": rng.exponential(50.0, 200),
        "eta": rng.normal(0.0, 2.0, 200),
        "n": rng.integers(0, 6, 200),
        "good": rng.random(200) < 0.5,
        "process": rng.choice(["tt", "qcd"], 200),
        "n jets": rng.integers(0, 6, 200),
    }
)
EVENTS["code"] = EVENTS["n"].astype(str)  # as CSV files have labels and ids
EVENTS["yes"] = EVENTS["good"].astype(str)
pt, eta, n, good = (EVENTS[name] for name in ("pt", "eta", "n", "good"))
SAME = [
    ("pt > 20", pt > 20),
    ("pt > 20 & abs(eta) < 2.5", (pt > 20) & (eta.abs() < 2.5)),
    ("pt > 20 && eta < 0 || n == 3", (pt > 20) & (eta < 0) | (n == 3)),
    ("(pt > 20) & (eta < 0)", (pt > 20) & (eta < 0)),
    ("pt > 20 and not n >= 4", (pt > 20) & (n < 4)),
    ("!good && n != 2", ~good & (n != 2)),
    ("~good | pt<5", ~good | (pt < 5)),
    ("good & n > 1", good & (n > 1)),
    ("-1 < eta <= 2", (eta > -1) & (eta <= 2)),
    ("process == 'tt'", EVENTS["process"] == "tt"),
    ('process == "q&d" or n == 1', n == 1),
    ("`n jets` % 2 == 0", EVENTS["n jets"] % 2 == 0),
    ("hypot(pt, 3*eta) / 2 ** 2 > 10", np.hypot(pt, 3 * eta) / 4 > 10),
    ("sqrt(pt - 30) > 2", np.sqrt(np.maximum(pt - 30, 0)) > 2),
    ("pt > 10 ** 30", pt > 1e30),
    ("n * 4000000000 * 4000000000 > 1", n > 0),
    ("True", n >= 0),
    ("code == 3 or '1' < code < '2'", n == 3),
    ("code > 3", n > 3),
    ("code != 3 and 2 != code", (n != 3) & (n != 2)),
    ("yes == True", good),
]


@pytest.mark.parametrize(("text", "kept"), SAME, ids=[text for text, _ in SAME])
def test_a_cut_keeps_what_its_words_say(text, kept):
    np.testing.assert_array_equal(Cut(text).keeps(EVENTS), kept.to_numpy())


def test_missing_numbers_pass_no_comparison():
    events = pd.DataFrame({"x": [1.0, np.nan, 3.0]})
    assert Cut("x > 0").keeps(events).tolist() == [True, False, True]
    assert Cut("x != 1").keeps(events).tolist() == [False, False, True]
    nullable = pd.DataFrame({"x": pd.array([1, None, 3], dtype="Int64")})
    assert Cut("x > 0").keeps(nullable).tolist() == [True, False, True]
    assert Cut("x != 1").keeps(nullable).tolist() == [False, False, True]
    texts = pd.DataFrame({"x": ["1", None, "a"]})
    assert Cut("x != '1'").keeps(texts).tolist() == [False, False, True]


@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "f4"])
@pytest.mark.parametrize(
    "text",
    [
        "-n > -50",
        "abs(n) > 100",
        "exp(n) < 1e9",
        "exp(n) > 1e300",
        "hypot(n, n) > 150",
        "sqrt(n) == 11",
        "n - 100 < n",
        "n % 200 == 0",
        "n ** 9 > 2 ** 62",
        "maximum(n, -1) - 1 < 0",
        "n / 2 > 0.5",
        "n < 300",
    ],
)
def test_numbers_of_few_bits_are_numbers(text, kind):
    numbers = np.array([0, 1, 12, 100, 121, 127])
    numbers = np.append(numbers, 200 if kind[0] == "u" else -128)
    narrow = pd.DataFrame({"n": numbers.astype(kind)})
    wide = pd.DataFrame({"n": numbers.astype(float)})
    np.testing.assert_array_equal(Cut(text).keeps(narrow), Cut(text).keeps(wide))


def test_remainders_of_large_numbers_are_exact():
    events = pd.DataFrame({"n": np.array([2**53, 2**53 + 1])})
    assert Cut("n % 2 == 0").keeps(events).tolist() == [True, False]


def test_names_are_what_it_needs():
    assert Cut("pt > 20 & `n jets` == 2 & pt < eta").names == ["pt", "n jets", "eta"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pt >",
        "pt",
        "pt + 1",
        "pt = 3",
        "__import__('os').system('true')",
        "pt.sum() > 1",
        "pt[0] > 1",
        "[x for x in pt]",
        "(lambda: 1)() > 0",
        "@pt > 1",
        "f'{pt}' == 'a'",
        "open('x') == 1",
        "abs(pt, eta) > 1",
        "abs(pt, out=eta) > 1",
        "process + 1 > 2",
        "process > 2",
        "`pt > 1",
        "pt > 1; eta > 2",
        "None",
        "pt is None",
        "n in (1, 2)",
        "(" * 500 + "pt > 1" + ")" * 500,
        "pt > 1" + " and pt > 1" * 2000,
        "\x00",
        "\ud800 > 1",
        "1 > 'a'",
        "process != 3",
        "good == 'tt'",
        "code == 3 and process == 1",
        "pt if good else eta",
        "(x := 3) > 1",
    ],
)
def test_what_is_no_condition_is_refused_in_a_sentence(text):
    with pytest.raises(InvalidInputError, match=r"^cut must be ") as caught:
        Cut(text).keeps(EVENTS)
    assert len(str(caught.value)) < 600


def test_functions_take_their_own_number_of_columns():
    # NumPy would take a second column for the place of the answer.
    with pytest.raises(InvalidInputError, match="is something else"):
        Cut("abs(pt, eta) > 1")


ATOMS = ["pt", "eta", "n", "good", "1", "2.5", "'tt'", "(", ")", "&", "|", "~", "!"]
ATOMS += ["and", "or", "not", "<", ">=", "==", "!=", "+", "*", "**", "%", "abs", "`"]
ATOMS += [",", ".", "[", "]", "lambda", ":", "None", "__class__", "\n", "'", "&&"]


@given(st.lists(st.sampled_from(ATOMS), max_size=12).map(" ".join) | st.text())
def test_any_text_is_a_condition_or_refused(text):
    try:
        cut = Cut(text)
        others = dict.fromkeys(set(cut.names) - set(EVENTS), 1)
        kept = cut.keeps(EVENTS.assign(**others))
    except InvalidInputError:
        return
    assert kept.shape == (len(EVENTS),)
    assert kept.dtype == bool
