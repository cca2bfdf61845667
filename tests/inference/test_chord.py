"""Climbing with the information of an earlier point, as unbinned data do."""

import numpy as np
import pytest

from sktamm.inference._optimise import maximise
from sktamm.mixture import RowData

#: Fits of a toy: log posterior -cosh(A (theta - centre)) summed over rows of A.
CENTRES = np.array([[0.3, -0.2, 0.1], [2.0, 1.0, -3.0], [0.0, 0.05, 0.0]])
AXES = np.array([[2.0, 0.3, 0.0], [0.1, 1.0, 0.4], [0.0, 0.2, 1.5]])
DATA = RowData(np.zeros((3, 1)))


class Hill:
    """Exact derivatives, and how often which are asked for."""

    xp = np

    def __init__(self, rows_are_events):
        self.rows_are_events = rows_are_events
        self.first = self.second = 0

    def value_and_gradient(self, theta, data):
        self.first += len(theta)
        return self._terms(theta, data)[:2]

    def step_terms(self, theta, data):
        self.second += len(theta)
        return self._terms(theta, data)

    def _terms(self, theta, data):
        centre = CENTRES[data.observed[:, 0].astype(int)]
        along = (theta - centre) @ AXES.T
        bend = np.einsum("pi,bp,pj->bij", AXES, np.cosh(along), AXES)
        return -np.cosh(along).sum(axis=1), -np.sinh(along) @ AXES, bend

    def rounding(self, data):
        return 0.0

    def shortened(self, step):
        return np.ones(len(step))

    def entries_per_fit(self, n_rows):
        return 4


def climbed(model, theta, **settings):
    data = RowData(np.arange(len(theta), dtype=float)[:, None])
    return maximise(model, theta, data, **settings)


@pytest.mark.parametrize("rows_are_events", [False, True])
def test_the_maximum_and_its_information_are_those_of_the_objective(rows_are_events):
    model = Hill(rows_are_events)
    found = climbed(model, np.zeros((3, 3)))
    np.testing.assert_allclose(found.theta, CENTRES, atol=1e-4)
    assert found.converged.all()
    data = RowData(np.arange(3.0)[:, None])
    value, gradient, information = model.step_terms(found.theta, data)
    np.testing.assert_array_equal(found.value, value)
    np.testing.assert_array_equal(found.gradient, gradient)
    np.testing.assert_array_equal(found.information, information)


def test_events_need_fewer_second_derivatives():
    binned, events = Hill(False), Hill(True)
    for model in (binned, events):
        climbed(model, CENTRES + 0.2)
    assert binned.first == 0
    assert events.second < 0.8 * binned.second


@pytest.mark.parametrize("wrong", [1e-3, 1.0, 1e3, 1e9])
def test_a_start_with_the_information_of_another_point(wrong):
    """Too small, about right or too large: the answer is the same."""
    model = Hill(True)
    data = RowData(np.arange(3.0)[:, None])
    start = np.zeros((3, 3))
    value, gradient = model.value_and_gradient(start, data)
    information = wrong * np.tile(AXES.T @ AXES, (3, 1, 1))
    found = climbed(model, start, start=(value, gradient, information), tol=1e-6)
    np.testing.assert_allclose(found.theta, CENTRES, atol=2e-3)
    assert found.converged.all()


def test_a_fit_does_not_depend_on_its_neighbours():
    together = climbed(Hill(True), np.zeros((3, 3)))
    for b in range(3):
        data = RowData(np.full((1, 1), float(b)))
        alone = maximise(Hill(True), np.zeros((1, 3)), data)
        np.testing.assert_array_equal(alone.theta[0], together.theta[b])
        np.testing.assert_array_equal(alone.information[0], together.information[b])


def test_tolerances_of_fits():
    loose = climbed(Hill(True), np.zeros((3, 3)), tol=np.array([1e-8, 0.5, 1e-8]))
    assert loose.converged.all()
    assert 1e-3 < loose.decrement[1] <= 0.5
    assert (loose.decrement[[0, 2]] <= 1e-8).all()


def test_the_information_is_that_of_the_end_also_where_steps_run_out():
    model = Hill(True)
    found = climbed(model, CENTRES + 0.1, max_iter=2)
    data = RowData(np.arange(3.0)[:, None])
    information = model.step_terms(found.theta, data)[2]
    np.testing.assert_array_equal(found.information, information)
