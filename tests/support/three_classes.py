"""Every class of three as the signal, by both statistics; chains once if quick."""

import pytest

_SLOW = pytest.mark.slow
every_signal = pytest.mark.parametrize(
    ("inference", "positive"),
    [
        ("frequentist", 0),
        ("frequentist", 1),
        ("frequentist", 2),
        pytest.param("bayesian", 0, marks=_SLOW),
        ("bayesian", 1),
        pytest.param("bayesian", 2, marks=_SLOW),
    ],
)
