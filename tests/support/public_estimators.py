"""Estimators that a user can make, found by walking the package."""

import importlib
import inspect
import pkgutil

from sklearn.base import BaseEstimator

import sktamm


def public_estimators():
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
