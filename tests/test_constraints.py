"""Every estimator declares what its parameters may be, in scikit-learn's way."""

import pytest
from public_estimators import public_estimators

ESTIMATORS = public_estimators()


@pytest.mark.parametrize("kind", ESTIMATORS.values(), ids=ESTIMATORS.keys())
def test_every_parameter_has_a_constraint(kind):
    missing = set(kind._get_param_names()) - set(kind._parameter_constraints)
    assert not missing


def test_there_are_many():
    assert len(ESTIMATORS) > 40
