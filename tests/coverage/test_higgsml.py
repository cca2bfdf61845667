"""The HiggsML score: numbers of its formula, failed fits, refusals.

The expected numbers were computed from the formula of arXiv:2410.02867 with the
standard library alone, f as in the scoring program of the challenge: with
sigma = sqrt((1 - .6827) .6827 / n), 1 + |(c - (.6827 - 2 sigma)) / sigma|^4 below the
band, 1 + |(c - (.6827 + 2 sigma)) / sigma|^3 above.
"""

import math

import numpy as np
import pytest

from sktamm.coverage import higgsml_score
from sktamm.coverage._measures import one_sigma, summarise
from sktamm.exceptions import InvalidInputError


def intervals(n_covered, n, width):
    """Intervals around the truth 0.5, and others far above it."""
    lower = np.where(np.arange(n) < n_covered, 0.5 - width / 2, 0.9)
    return lower, lower + width


def by_hand(share, n, width, level=0.6827, eps=0.01):
    sigma = math.sqrt((1 - level) * level * n) / n
    low, high = level - 2 * sigma, level + 2 * sigma
    if share < low:
        fine = 1 + abs((share - low) / sigma) ** 4
    elif share > high:
        fine = 1 + abs((share - high) / sigma) ** 3
    else:
        fine = 1
    return -math.log((width + eps) * fine)


@pytest.mark.parametrize(
    ("n_covered", "n", "width", "expected"),
    [
        (68, 100, 0.2, 1.5606477482646683),  # -ln 0.21
        (59, 100, 0.2, 1.5606477482646683),  # the band is from 0.5896
        (58, 100, 0.2, 1.5588280844270643),
        (50, 100, 0.2, -1.1302068808793155),
        (77, 100, 0.2, 1.5606477482646683),  # ... to 0.7758
        (78, 100, 0.2, 1.5599053054806393),
        (90, 100, 0.2, -1.4355612612515576),
        (683, 1000, 0.04, 2.995732273553991),
        (4, 4, 0.05, 2.8134107167600364),
    ],
)
def test_numbers_of_the_formula(n_covered, n, width, expected):
    found = higgsml_score(0.5, *intervals(n_covered, n, width))
    assert type(found) is float
    assert found == pytest.approx(expected, abs=1e-12)
    assert by_hand(n_covered / n, n, width) == pytest.approx(expected, abs=1e-12)


def test_intervals_too_narrow_are_fined_more_than_too_wide():
    """Both 30 of 1000 beyond the band, of the same width."""
    scores = [higgsml_score(0.5, *intervals(k, 1000, 0.1)) for k in (623, 743)]
    assert scores[0] < scores[1] < -math.log(0.11)


def test_level_and_added_width_are_as_given():
    ends = intervals(80, 100, 0.2)
    found = higgsml_score(0.5, *ends, level=0.954, eps=0.1)
    assert found == pytest.approx(by_hand(0.8, 100, 0.2, 0.954, 0.1), abs=1e-12)


def test_failed_fits_are_misses_as_wide_as_is_said():
    lower, upper = intervals(70, 70, 0.2)
    lower, upper = (np.concatenate([v, np.full(30, np.nan)]) for v in (lower, upper))
    mean = (70 * 0.2 + 30) / 100
    found = higgsml_score(0.5, lower, upper)
    assert found == pytest.approx(by_hand(0.7, 100, mean), abs=1e-12)
    found = higgsml_score(0.5, lower, upper, failed_width=2.0)
    assert found == pytest.approx(by_hand(0.7, 100, mean + 0.3), abs=1e-12)
    found = higgsml_score(0.5, lower, upper, failed_width=None)
    assert found == pytest.approx(by_hand(0.7, 100, 0.2), abs=1e-12)
    nothing = np.full(10, np.nan)
    found = higgsml_score(0.5, nothing, nothing)
    assert found == pytest.approx(by_hand(0.0, 10, 1.0), abs=1e-12)
    assert math.isnan(higgsml_score(0.5, nothing, nothing, failed_width=None))


def test_an_infinite_interval_is_a_failed_fit():
    lower, upper = intervals(10, 10, 0.2)
    upper[0] = np.inf
    expected = by_hand(0.9, 10, (9 * 0.2 + 1) / 10)
    assert higgsml_score(0.5, lower, upper) == pytest.approx(expected, abs=1e-12)


def test_every_truth_has_its_own_interval():
    truth = np.linspace(0.0, 1.0, 100)
    found = higgsml_score(truth, truth - 0.001, truth + 0.001)
    assert found == pytest.approx(by_hand(1.0, 100, 0.002), abs=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.5, [], []), r"at least one, got shapes \(\), \(0,\), \(0,\)"),
        ((0.5, 0.4, 0.6), "one number per interval"),
        ((0.5, [0.4], [0.6, 0.7]), "one number per interval"),
        (([0.5, 0.5], [0.4], [0.6]), r"got shapes \(2,\), \(1,\), \(1,\)"),
        ((np.nan, [0.4], [0.6]), "truth must be finite, got nan"),
        ((0.5, [0.4, 0.6], [0.6, 0.4]), "below lower, got 0.4 below 0.6 at index 1"),
    ],
)
def test_unusable_intervals_are_refused(arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        higgsml_score(*arguments)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"level": 1.0}, "level must be between 0 and 1, got 1.0"),
        ({"eps": 0.0}, "eps must be positive and finite, got 0.0"),
        ({"failed_width": -1.0}, "failed_width must be None or finite"),
    ],
)
def test_unusable_choices_are_refused(choice, message):
    with pytest.raises(InvalidInputError, match=message):
        higgsml_score(0.5, [0.4], [0.6], **choice)


@pytest.mark.parametrize(
    ("levels", "index"),
    [
        ((0.683, 0.954), 0),
        ((0.5, 0.68, 0.6827, 0.955), 2),
        ((0.95, 0.68), 1),
        ((0.5, 0.9), None),
        ((0.69,), None),
    ],
)
def test_which_level_is_one_sigma(levels, index):
    assert one_sigma(levels) == index


def test_summaries_score_one_sigma_against_its_own_level():
    """Half of 60 intervals hold at the first level, all at the second."""
    half = np.where(np.arange(60) % 2, 0.1, -0.1)  # ends swapped hold nothing
    ends = np.stack([0.5 - half, 0.5 + half], axis=1)
    wide = np.tile([0.1, 0.9], (60, 1))
    interval = np.stack([wide, ends], axis=2)
    found = summarise(np.full(60, 0.5), np.full(60, 0.5), half, interval, (0.95, 0.68))
    expected = by_hand(0.5, 60, 0.2, level=0.68)
    assert found["higgsml"] == pytest.approx(expected, abs=1e-12)
    none = summarise(np.full(60, 0.5), np.full(60, 0.5), half, interval, (0.95, 0.9))
    assert "higgsml" not in none
