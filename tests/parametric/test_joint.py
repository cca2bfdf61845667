"""Joint quantities from event weights of a random quadratic family."""

import numpy as np
import pytest

from sktamm.exceptions import InvalidInputError
from sktamm.parametric import (
    MorphingBasis,
    joint_derivatives,
    joint_likelihood_ratio,
    joint_score,
)
from sktamm.parametric._monomials import monomial_powers, monomials, taylor_terms

REFERENCE = np.array([0.3, -0.2])
BENCHMARKS = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (0.5, -2)]


@pytest.fixture(scope="module")
def family():
    """Squared amplitudes of two coefficients, and their basis."""
    rng = np.random.default_rng(2)
    amplitude = rng.normal(size=(500, 3, 4))

    def density(theta):
        point = np.array([1.0, *theta])
        return (np.einsum("nij,i->nj", amplitude, point) ** 2).sum(axis=1)

    basis = MorphingBasis(2, theta_ref=REFERENCE, benchmarks=BENCHMARKS)
    weights = np.stack([density(b) for b in BENCHMARKS], axis=1)
    return density, basis, weights * rng.uniform(0.5, 2, (500, 1))


def test_derivatives_give_the_density_everywhere(family):
    density, basis, weights = family
    y = joint_derivatives(weights, basis)
    assert y.shape == (500, 5)
    for theta in ([0.0, 0.0], [2.0, -3.0]):
        ratio = 1 + y @ taylor_terms(np.array(theta), REFERENCE)
        np.testing.assert_allclose(
            ratio, density(theta) / density(REFERENCE), rtol=1e-8
        )


def test_ratio_is_that_of_the_densities(family):
    density, basis, weights = family
    theta = [[0.0, 0.0], [2.0, -3.0]]
    plain = joint_likelihood_ratio(weights, basis, theta, normalised=False)
    exact = np.stack([density(t) for t in theta], axis=1) / density(REFERENCE)[:, None]
    np.testing.assert_allclose(plain, exact, rtol=1e-8)
    one = joint_likelihood_ratio(weights, basis, theta[1])
    assert one.mean() == pytest.approx(1.0)
    np.testing.assert_allclose(one, plain[:, 1] / plain[:, 1].mean())


def test_sample_weights_normalise_weighted_events(family):
    density, basis, weights = family
    there = density(REFERENCE)
    ratio = joint_likelihood_ratio(weights, basis, [1.0, 1.0], sample_weight=there)
    assert np.average(ratio, weights=there) == pytest.approx(1.0)
    score = joint_score(weights, basis, sample_weight=there)
    np.testing.assert_allclose(np.average(score, axis=0, weights=there), 0, atol=1e-12)


def test_score_is_the_gradient_of_the_log_ratio(family):
    _, basis, weights = family
    theta, eps = np.array([0.5, 0.7]), 1e-5
    score = joint_score(weights, basis, theta)
    for i, step in enumerate(eps * np.eye(2)):
        up, down = (
            np.log(joint_likelihood_ratio(weights, basis, theta + sign * step))
            for sign in (1, -1)
        )
        np.testing.assert_allclose(score[:, i], (up - down) / (2 * eps), atol=1e-5)


def test_plain_score_at_the_reference_is_the_first_derivative(family):
    _, basis, weights = family
    score = joint_score(weights, basis, normalised=False)
    np.testing.assert_allclose(score, joint_derivatives(weights, basis)[:, :2])


def test_weights_are_checked(family):
    _, basis, weights = family
    with pytest.raises(InvalidInputError, match="event_weights must have shape"):
        joint_derivatives(weights[:, :3], basis)
    with pytest.raises(InvalidInputError, match="event_weights must be finite"):
        joint_derivatives(np.full_like(weights, np.nan), basis)
    with pytest.raises(InvalidInputError, match="zero at theta_ref"):
        joint_derivatives(np.zeros_like(weights), basis)
    with pytest.raises(InvalidInputError, match="one point"):
        joint_score(weights, basis, [[0.0, 0.0]])


def test_higher_powers_have_ratios_but_no_derivatives():
    powers = monomial_powers(1, 4)
    points = np.linspace(-1, 1, 5)[:, None]
    basis = MorphingBasis(1, 4, benchmarks=points)
    coefficients = np.random.default_rng(0).uniform(1, 2, (10, 5))
    weights = coefficients @ monomials(points, powers).T
    ratio = joint_likelihood_ratio(weights, basis, [2.0], normalised=False)
    expected = coefficients @ 2.0 ** np.arange(5) / coefficients[:, 0]
    np.testing.assert_allclose(ratio, expected, rtol=1e-9)
    with pytest.raises(InvalidInputError, match="total power above 2"):
        joint_derivatives(weights, basis)


def test_an_event_of_no_weight_at_the_reference_is_refused_despite_rounding():
    basis = MorphingBasis(1, benchmarks=[[0], [-1], [1]])
    for function in (joint_derivatives, joint_score):
        with pytest.raises(InvalidInputError, match=r"zero at theta_ref.* 1 of 2 are"):
            function([[0.0, 2.0, 4.0], [1.0, 2.0, 4.0]], basis)
    # A small weight is not none.
    small = joint_derivatives([[1e-6, 2.0, 4.0]], basis)
    np.testing.assert_allclose(small, [[1e6, 6e6]], rtol=1e-5)
