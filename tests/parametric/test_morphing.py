"""Morphing: the numbers of published bases, identities, refusals."""

import pickle

import numpy as np
import pytest
from scipy import optimize
from sklearn.base import clone

from sktamm.exceptions import InvalidInputError
from sktamm.parametric import MorphingBasis, weights_function
from sktamm.parametric._monomials import (
    monomial_derivatives,
    monomial_powers,
    monomials,
    read_theta,
    taylor_gradient,
    taylor_terms,
)

WZ = [
    (0, 0, 0),
    (-4, 0, 0),
    (4, 0, 0),
    (0, -0.2, 0),
    (0, 0.2, 0),
    (0, 0, -0.2),
    (0, 0, 0.2),
    (-1.2, -0.09, 0),
    (-1.2, 0, -0.09),
    (0, -0.09, -0.09),
]


def test_quartic_of_two_couplings():
    powers = [(4, 0), (3, 1), (2, 2), (1, 3), (0, 4)]
    points = [(1, -5), (1, -4), (1, -3), (1, -2), (1, -1)]
    basis = MorphingBasis(2, components=powers, benchmarks=points)
    np.testing.assert_allclose(basis.weights([1, 1]), [5, -24, 45, -40, 15], rtol=1e-9)


def test_one_parameter():
    basis = MorphingBasis(1, benchmarks=[[0], [-1], [1]])
    np.testing.assert_allclose(basis.weights(0.5), [0.75, -0.125, 0.375], rtol=1e-12)


def test_wz_basis():
    basis = MorphingBasis(3, benchmarks=WZ)
    assert np.linalg.matrix_rank(basis.matrix_) == 10
    assert basis.condition_number_ == pytest.approx(3570.65, abs=0.005)
    assert basis.scaled_condition_number_ == pytest.approx(39.716, abs=5e-4)
    expected = [0, -0.3, 0.3, -0.45, 0.45, 0, 0, 1, 0, 0]
    np.testing.assert_allclose(basis.weights([1.2, 0.09, 0]), expected, atol=1e-12)


def test_a_benchmark_is_itself_and_the_constant_is_kept():
    basis = MorphingBasis(3, benchmarks=WZ)
    np.testing.assert_allclose(basis.weights(WZ), np.eye(10), atol=1e-12)
    theta = np.random.default_rng(0).normal(size=(20, 3))
    np.testing.assert_allclose(basis.weights(theta).sum(axis=1), 1.0, rtol=1e-9)


def test_gradients_equal_numerical_ones():
    basis = MorphingBasis(3, benchmarks=WZ)
    theta, eps = np.array([0.7, -0.05, 0.1]), 1e-6
    for i, step in enumerate(eps * np.eye(3)):
        change = basis.weights(theta + step) - basis.weights(theta - step)
        np.testing.assert_allclose(
            basis.weights_gradient(theta)[:, i], change / (2 * eps), atol=1e-6
        )
        bend = basis.weights_gradient(theta + step) - basis.weights_gradient(
            theta - step
        )
        np.testing.assert_allclose(
            basis.weights_hessian(theta)[:, :, i], bend / (2 * eps), atol=1e-5
        )


def test_too_many_benchmarks_give_the_shortest_weights():
    rng = np.random.default_rng(1)
    basis = MorphingBasis(2, benchmarks=rng.normal(size=(9, 2)))
    theta = rng.normal(size=2)
    weights = basis.weights(theta)
    target = monomials(theta, basis.components_)
    np.testing.assert_allclose(weights @ basis.matrix_, target, rtol=1e-9, atol=1e-12)
    null = np.linalg.svd(basis.matrix_.T)[2][6:]
    np.testing.assert_allclose(null @ weights, 0.0, atol=1e-10)


def test_a_function_of_the_weights_is_the_weights():
    rng = np.random.default_rng(2)
    basis = MorphingBasis(2, benchmarks=rng.normal(size=(7, 2)))
    function = pickle.loads(pickle.dumps(weights_function(basis)))
    for theta in rng.normal(size=(3, 2)):
        np.testing.assert_array_equal(function(theta), basis.weights(theta))


def test_missing_monomials_are_named():
    axes = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (0, 2)]
    with pytest.raises(InvalidInputError, match=r"is 5; they leave open t0\*t1"):
        MorphingBasis(2, benchmarks=axes).weights([1, 1])
    with pytest.raises(InvalidInputError, match=r"leave open t0, t0\^2"):
        MorphingBasis(1, benchmarks=[[0.0], [1.0]]).weights([1])


def test_weights_of_densities_sum_to_one():
    basis = MorphingBasis(1, benchmarks=[[0], [-1], [1]])
    # sigma = 1 + theta / 2 + theta^2
    weights = basis.weights([[0.5], [1.0]], cross_sections=[1.0, 1.5, 2.5])
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(weights[1], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(weights[0], [0.5, -0.125, 0.625], atol=1e-12)


@pytest.mark.parametrize("criterion", ["max_norm", "mean_squared", "condition"])
def test_search_is_better_than_a_random_basis(criterion):
    found = MorphingBasis.from_search(
        [(-4, 4), (-0.2, 0.2)], criterion, n_trials=64, n_refinements=512
    )
    assert found.benchmarks_.shape == (6, 2)
    np.testing.assert_array_equal(found.benchmarks_[0], 0.0)
    assert (np.abs(found.benchmarks_) <= [4, 0.2]).all()
    rng = np.random.default_rng(5)
    points = rng.uniform(-1, 1, (200, 2)) * [4, 0.2]
    norms = []
    for _ in range(20):
        random = rng.uniform(-1, 1, (6, 2)) * [4, 0.2]
        random = MorphingBasis(2, benchmarks=random)
        norms.append(_cost(random, points, criterion))
    assert _cost(found, points, criterion) < min(norms)


def _cost(basis, points, criterion):
    if criterion == "condition":
        return basis.scaled_condition_number_
    squares = (basis.weights(points) ** 2).sum(axis=1)
    return squares.max() if criterion == "max_norm" else squares.mean()


def test_search_finds_the_best_basis_of_one_parameter():
    found = MorphingBasis.from_search([(-1, 1)], "max_norm", n_refinements=4096)
    theta = np.linspace(-1, 1, 401)[:, None]

    def worst(ends):
        basis = MorphingBasis(1, benchmarks=[[0.0], [ends[0]], [ends[1]]])
        return (basis.weights(theta) ** 2).sum(axis=1).max()

    best = optimize.minimize(worst, [-0.8, 0.8], method="Nelder-Mead").fun
    # At +-1 the weights of Lagrange polynomials are never longer than one.
    assert best == pytest.approx(1.0, abs=0.02)
    assert worst(found.benchmarks_[1:, 0]) < 1.02 * best


def test_search_with_several_fixed_and_more_benchmarks_repeats():
    arguments = {"n_benchmarks": 5, "fixed": [[0.0], [1.0]], "n_refinements": 128}
    one = MorphingBasis.from_search([(-1, 2)], "mean_squared", **arguments)
    two = MorphingBasis.from_search([(-1, 2)], "mean_squared", **arguments)
    np.testing.assert_array_equal(one.benchmarks_, two.benchmarks_)
    assert one.benchmarks_[:2, 0].tolist() == [0.0, 1.0]
    assert len(one.benchmarks_) == 5


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"bounds": [(1, 0)]}, "bounds must"),
        ({"bounds": [(0, 1)], "criterion": "best"}, "criterion must"),
        ({"bounds": [(0, 1)], "n_benchmarks": 2}, "n_benchmarks must"),
    ],
)
def test_search_refuses(arguments, match):
    with pytest.raises(InvalidInputError, match=match):
        MorphingBasis.from_search(**arguments)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"n_parameters": 1}, "benchmarks must"),
        ({"n_parameters": 2, "max_power": -1, "benchmarks": [[0, 0]]}, "max_power"),
        ({"n_parameters": 2, "benchmarks": [[0.0]]}, "benchmarks must have shape"),
        (
            {"n_parameters": 1, "components": [[-1]], "benchmarks": [[1.0]]},
            "components must",
        ),
    ],
)
def test_basis_refuses(arguments, match):
    with pytest.raises(InvalidInputError, match=match):
        MorphingBasis(**arguments).weights([1.0])


def test_cross_sections_are_checked():
    basis = MorphingBasis(1, benchmarks=[[0], [-1], [1]])
    with pytest.raises(InvalidInputError, match="cross_sections must"):
        basis.weights([1.0], cross_sections=[1.0, 1.0])


def test_a_basis_can_be_cloned():
    basis = clone(MorphingBasis(1, theta_ref=[1.0], benchmarks=[[0], [-1], [1]]))
    assert basis.theta_ref_.tolist() == [1.0]


def test_monomials_are_graded_and_their_derivatives_exact():
    powers = monomial_powers(2, 3)
    assert powers.sum(axis=1).tolist() == [0, 1, 1, 2, 2, 2, 3, 3, 3, 3]
    theta = np.array([[0.0, 2.0], [1.5, -1.0]])
    gradient = monomial_derivatives(theta, powers, 1)
    row = powers.tolist().index([1, 2])
    np.testing.assert_allclose(gradient[:, row, 0], theta[:, 1] ** 2)
    np.testing.assert_allclose(gradient[:, row, 1], 2 * theta[:, 0] * theta[:, 1])
    hessian = monomial_derivatives(theta, powers, 2)
    np.testing.assert_allclose(hessian[:, row, 0, 1], 2 * theta[:, 1])
    np.testing.assert_allclose(hessian[:, row, 0, 0], 0.0)


def test_taylor_terms_are_the_polynomial_and_its_gradient():
    rng = np.random.default_rng(3)
    theta, reference = rng.normal(size=3), rng.normal(size=3)
    first, second = rng.normal(size=3), rng.normal(size=(3, 3))
    second = second + second.T
    y = np.concatenate([first, second[np.triu_indices(3)]])
    step = theta - reference
    expected = first @ step + 0.5 * step @ second @ step
    assert y @ taylor_terms(theta, reference) == pytest.approx(expected)
    np.testing.assert_allclose(
        y @ taylor_gradient(theta, reference), first + second @ step
    )


def test_theta_is_read_in_every_shape():
    assert read_theta(1.0, 1)[0].shape == (1, 1)
    assert read_theta([[1.0], [2.0]], 1)[1] is False
    with pytest.raises(InvalidInputError, match="theta must have shape"):
        read_theta([1.0, 2.0], 1)
    with pytest.raises(InvalidInputError, match="theta must be finite"):
        read_theta([np.nan], 1)
    with pytest.raises(InvalidInputError, match="theta must hold numbers"):
        read_theta(["a"], 1)
