"""The door to scikit-learn's private helpers."""

import pytest
from sklearn.base import BaseEstimator

from sktamm._sklearn import at_least, between, check_parameters, one_of
from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError


class Example(BaseEstimator):
    _parameter_constraints = {
        "number": [at_least(2), None],
        "share": [between(0.0, 1.0)],
        "kind": [one_of("a", "b")],
    }

    def __init__(self, number=None, share=0.5, kind="a"):
        self.number = number
        self.share = share
        self.kind = kind


def test_parameters_that_are_allowed_pass():
    check_parameters(Example())
    check_parameters(Example(2, 0.1, "b"))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"number": 1}, r"number must be an int in the range \[2, inf\).*, got 1\."),
        ({"number": 2.5}, r"number must be an int .*, got 2\.5\."),
        ({"share": 1.0}, r"share must be a float in the range \(0\.0, 1\.0\), got 1\."),
        ({"kind": "c. d"}, r"kind must be a str among \['a', 'b'\], got 'c\. d'\."),
    ],
)
@pytest.mark.parametrize("kind", [InvalidInputError, IncompatibleChoiceError])
def test_others_are_refused_in_one_sentence(parameters, words, kind):
    with pytest.raises(kind, match=words):
        check_parameters(Example(**parameters))
