"""Smooth functions on the rows: orthonormal, of full rank, refused when senseless."""

from math import comb

import numpy as np
import pytest

from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError
from sktamm.functions._basis import (
    BinBasis,
    NoBasis,
    PolynomialBasis,
    SplineBasis,
    orthonormalise,
)

BASES = [
    PolynomialBasis(1),
    PolynomialBasis(4),
    SplineBasis(),
    SplineBasis(3, 1),
    BinBasis(),
]


def _reference(n=200, d=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (n, d)), rng.dirichlet(np.ones(n))


@pytest.mark.parametrize("basis", BASES, ids=str)
def test_functions_are_orthonormal_and_orthogonal_to_one(basis):
    x, weight = _reference()
    values = basis.evaluate(x)
    psi = orthonormalise(values, values, weight)[1]
    np.testing.assert_allclose(weight @ psi, 0.0, atol=1e-10)
    gram = psi.T @ (weight[:, None] * psi)
    np.testing.assert_allclose(gram, np.eye(psi.shape[1]), atol=1e-9)


@pytest.mark.parametrize("basis", BASES, ids=str)
def test_rows_and_reference_rows_see_the_same_functions(basis):
    x, weight = _reference()
    values = basis.evaluate(x)
    some = np.arange(7, 90, 3)
    rows, reference = orthonormalise(values[some], values, weight)
    np.testing.assert_allclose(rows, reference[some], atol=1e-9)


@pytest.mark.parametrize(("degree", "d"), [(1, 1), (3, 1), (2, 2), (3, 3)])
def test_number_of_polynomials_up_to_a_total_degree(degree, d):
    x, weight = _reference(d=d)
    values = PolynomialBasis(degree).evaluate(x)
    assert values.shape[1] == comb(degree + d, d) - 1
    assert orthonormalise(values, values, weight)[1].shape == values.shape


def test_functions_come_in_ascending_order():
    """The first functions are a basis of lower degree."""
    x, weight = _reference()
    low, high = (PolynomialBasis(degree).evaluate(x) for degree in (2, 4))
    first = orthonormalise(low, low, weight)[1]
    more = orthonormalise(high, high, weight)[1]
    np.testing.assert_allclose(more[:, : first.shape[1]], first, atol=1e-9)


def test_functions_that_depend_on_earlier_ones_are_left_out():
    x, weight = _reference()
    values = PolynomialBasis(2).evaluate(x)
    redundant = np.column_stack([values, values @ np.ones(5), 3 * values[:, 1] + 2])
    first = orthonormalise(values, values, weight)[1]
    second = orthonormalise(redundant, redundant, weight)[1]
    np.testing.assert_allclose(first, second, atol=1e-9)


def test_more_functions_than_rows_span_all_of_them():
    x, weight = _reference(n=6)
    values = PolynomialBasis(5).evaluate(x)
    assert orthonormalise(values, values, weight)[1].shape == (6, 5)


def test_one_row_and_no_functions_leave_nothing():
    for basis in [PolynomialBasis(3), SplineBasis(), NoBasis()]:
        values = basis.evaluate(np.zeros((1, 2)))
        rows, reference = orthonormalise(values, values, np.ones(1))
        assert rows.shape == reference.shape == (1, 0)
    assert NoBasis().evaluate(np.zeros((5, 2))).shape == (5, 0)


@pytest.mark.parametrize("basis", [PolynomialBasis(3), SplineBasis(5)], ids=str)
def test_a_cubic_is_reproduced_exactly(basis):
    x, weight = _reference(d=1)
    values = basis.evaluate(x)
    psi = orthonormalise(values, values, weight)[1]
    cubic = 1 + 2 * x[:, 0] - 3 * x[:, 0] ** 3
    coefficients = psi.T @ (weight * cubic)
    np.testing.assert_allclose(psi @ coefficients + weight @ cubic, cubic, atol=1e-9)


@pytest.mark.parametrize("basis", [PolynomialBasis(0), SplineBasis(1)], ids=str)
def test_senseless_sizes_are_refused(basis):
    with pytest.raises(IncompatibleChoiceError, match="must be an int in the range"):
        basis.evaluate(np.zeros((3, 1)))


@pytest.mark.parametrize("basis", [PolynomialBasis(3), SplineBasis(4)], ids=str)
def test_the_order_and_the_scale_of_coordinates_change_nothing(basis):
    """The functions are the same; only their numbers within a degree differ."""
    rng = np.random.default_rng(2)
    coordinates = rng.uniform(-0.8, 0.6, (300, 3)) ** [1, 3, 1]
    weight = rng.dirichlet(np.ones(300))
    order = [2, 0, 1]
    moved = coordinates[:, order]
    if isinstance(basis, PolynomialBasis):
        moved = moved * [1.2, 0.5, 1.0] + [0.0, 0.3, -0.1]
    degrees = basis.degrees(3)
    first, second = (
        orthonormalise(values, values, weight, degrees)[1]
        for values in map(basis.evaluate, (coordinates, moved))
    )
    assert first.shape == second.shape
    overlap = np.abs(first.T @ (weight[:, None] * second))
    np.testing.assert_allclose(np.sort(overlap, axis=1)[:, -1], 1.0, atol=1e-6)
    np.testing.assert_allclose(overlap.sum(axis=1), 1.0, atol=1e-4)


def test_functions_of_bins_are_all_that_there_are():
    x, weight = _reference(9)
    values = BinBasis().evaluate(x)
    psi = orthonormalise(values, values, weight)[1]
    assert psi.shape == (9, 8)
    # what they span, the constant with it, holds any function
    any_function = np.random.default_rng(1).normal(size=9)
    found = psi @ (psi.T @ (weight * any_function)) + weight @ any_function
    np.testing.assert_allclose(found, any_function, atol=1e-10)


def test_a_thousand_bins_have_functions():
    assert BinBasis().evaluate(np.zeros((1000, 1))).shape == (1000, 1000)
    with pytest.raises(InvalidInputError, match="at most 1000, got 1001"):
        BinBasis().evaluate(np.zeros((1001, 1)))
