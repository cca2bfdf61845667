"""Information lost to the shapes: against the covariance of the fit."""

import numpy as np
import pytest

from sktamm import NeuralRatioTAMM
from sktamm.diagnostics import identifiability
from sktamm.diagnostics._open import fits, open_fit


def test_shares_are_those_of_fits_with_something_fixed(fitted, target):
    result = identifiability(fitted, target[0])
    opened = open_fit(fitted, target[0])
    covariance = next(fits(fitted, opened.table, opened.model))[2].covariance[0]
    precision = np.linalg.inv(covariance)
    assert result.kept[0] == pytest.approx(1.0 / precision[0, 0] / covariance[0, 0])
    for c, columns in enumerate(opened.model.slices):
        keep = np.setdiff1d(
            np.arange(len(covariance)), np.arange(columns.start, columns.stop)
        )
        known = np.linalg.inv(precision[np.ix_(keep, keep)])[0, 0]
        lost = 1.0 - known / covariance[0, 0]
        assert result.by_class[0, c] == pytest.approx(lost, abs=1e-9)


def test_functions_have_names_and_shares(fitted, linear, target):
    for estimator in (fitted, linear):
        result = identifiability(estimator, target[0])
        assert len(result.names) == result.by_direction.shape[1]
        assert result.direction_class.shape == (len(result.names),)
        assert (result.by_direction >= 0).all()
        # one function cannot tell more than its class
        for c, label in enumerate((0, 1)):
            own = result.by_direction[0, result.direction_class == label]
            assert own.max() <= result.by_class[0, c] + 1e-9
        frame = result.to_frame()
        assert frame["share"].is_monotonic_decreasing
    assert result.names[0] == "component 0"
    assert identifiability(fitted, target[0]).names[0].startswith("simulation")


def test_nothing_is_lost_where_shapes_cannot_change(tools, target):
    X, y, ids = tools["simulate"](1, 5000, 0)
    with pytest.warns(UserWarning, match="one simulation"):
        tamm = type(tools["make"]())(bins=8).fit(X, y, simulation=ids)
    result = identifiability(tamm, target[0])
    assert result.kept[0] == pytest.approx(1.0)
    assert (result.by_class == 0).all()


def test_unbinned(tools):
    X, y, ids = tools["simulate"](4, 1000, 5)
    tamm = NeuralRatioTAMM("logistic", random_state=0).fit(X, y, simulation=ids)
    result = identifiability(tamm, tools["draw_target"](900, 300, 6)[0])
    assert 0.0 < result.kept[0] < 1.0
