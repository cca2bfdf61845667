"""Every estimator declares what its parameters may be, in scikit-learn's way."""

import importlib
import inspect
import pkgutil

import pytest
from sklearn.base import BaseEstimator

import sktamm


def _estimators():
    """Public classes with parameters, of every room."""
    found = {}
    for module in pkgutil.iter_modules(sktamm.__path__, "sktamm."):
        if module.name.endswith("__main__"):
            continue
        room = importlib.import_module(module.name)
        for name in getattr(room, "__all__", ()):
            thing = getattr(room, name)
            if inspect.isclass(thing) and issubclass(thing, BaseEstimator):
                found[f"{thing.__module__}.{name}"] = thing
    return found


ESTIMATORS = _estimators()


@pytest.mark.parametrize("kind", ESTIMATORS.values(), ids=ESTIMATORS.keys())
def test_every_parameter_has_a_constraint(kind):
    missing = set(kind._get_param_names()) - set(kind._parameter_constraints)
    assert not missing


def test_there_are_many():
    assert len(ESTIMATORS) > 40
