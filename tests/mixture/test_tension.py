"""P-values of blends under their prior: uniform for truths drawn from it.

Tolerances are those of 4 000 truths at 3.5 sigmas, a false-alarm rate of 5e-4 each.
"""

import numpy as np
import pytest
from scipy import stats

from sktamm._numerics import smallest_of
from sktamm.mixture._model import Block, MixtureModel
from sktamm.mixture._penalties import DirichletPenalty, GaussianPenalty, StudentPenalty
from sktamm.mixture._tension import smallest_of_classes

N = 4000
LEVELS = np.array([0.01, 0.05, 0.1, 0.3])


def rates(p_value):
    """How often the p-value is below the levels, and 3.5 standard errors."""
    found = (p_value[:, None] < LEVELS).mean(axis=0)
    return found, 3.5 * np.sqrt(LEVELS * (1.0 - LEVELS) / N)


def maxima(truth, information, degrees, rng):
    """Joint maxima and posterior covariances of a linear measurement of the truths."""
    y = truth + rng.normal(size=truth.shape) / np.sqrt(information)
    scale = np.ones((len(y), 1))
    for _ in range(500):
        z = information / (information + scale) * y
        if degrees is None:
            break
        norm = (z**2).sum(axis=1, keepdims=True)
        scale = (degrees + y.shape[1]) / (degrees + norm)
    return z, 1.0 / (information + scale)


def rotated(z, variance, rng):
    axes = np.linalg.qr(rng.normal(size=(z.shape[1],) * 2))[0]
    return z @ axes.T, np.einsum("ij,bj,kj->bik", axes, variance, axes)


def test_gaussian_prior_gives_uniform_p_values():
    rng = np.random.default_rng(0)
    information = np.array([500.0, 20.0, 3.0, 0.5, 0.1, 0.02])
    truth = rng.normal(size=(N, 6))
    z, covariance = rotated(*maxima(truth, information, None, rng), rng)
    p_value = GaussianPenalty(np.eye(6)).tension(z, covariance)
    found, error = rates(p_value)
    assert (np.abs(found - LEVELS) < error).all()
    assert stats.kstest(p_value, "uniform").pvalue > 5e-4


@pytest.mark.parametrize("degrees", [4.0, 20.0])
def test_student_prior_gives_uniform_p_values_of_known_amplitudes(degrees):
    rng = np.random.default_rng(1)
    information = np.array([3000.0, 1000.0, 500.0, 200.0])
    scale = rng.gamma(degrees / 2, 2 / degrees, (N, 1))
    truth = rng.normal(size=(N, 4)) / np.sqrt(scale)
    z, covariance = rotated(*maxima(truth, information, degrees, rng), rng)
    p_value = StudentPenalty(np.eye(4), degrees).tension(z, covariance)
    found, error = rates(p_value)
    assert (np.abs(found - LEVELS) < error).all()


@pytest.mark.parametrize("degrees", [4.0, 20.0])
def test_student_prior_alarms_no_more_often_than_stated(degrees):
    """With amplitudes of every kind; two groups make the p-value conservative."""
    rng = np.random.default_rng(2)
    information = np.array([500.0, 20.0, 3.0, 0.5, 0.1, 0.02])
    scale = rng.gamma(degrees / 2, 2 / degrees, (N, 1))
    truth = rng.normal(size=(N, 6)) / np.sqrt(scale)
    z, covariance = rotated(*maxima(truth, information, degrees, rng), rng)
    p_value = StudentPenalty(np.eye(6), degrees).tension(z, covariance)
    found, error = rates(p_value)
    assert (found < LEVELS + error).all()
    assert (found > 0.4 * LEVELS - error).all()


def test_the_precision_is_a_change_of_units():
    rng = np.random.default_rng(3)
    root = np.tril(rng.normal(size=(3, 3))) + 3.0 * np.eye(3)
    z, covariance = rng.normal(size=(5, 3)), np.tile(0.2 * np.eye(3), (5, 1, 1))
    inverse = np.linalg.inv(root)
    moved = inverse.T @ covariance @ inverse
    for make in (GaussianPenalty, lambda q: StudentPenalty(q, 5.0)):
        unit = make(np.eye(3)).tension(z, covariance)
        other = make(root @ root.T).tension(z @ inverse, moved)
        np.testing.assert_allclose(other, unit, rtol=1e-8)


def test_far_amplitudes_alarm_and_unknown_ones_do_not():
    z, known = np.array([[30.0, 0.0]]), np.diag([0.01, 0.01])[None]
    penalty = StudentPenalty(np.eye(2), 20.0)
    assert penalty.tension(z, known) < 1e-6
    assert np.isnan(penalty.tension(z * 0.0, np.eye(2)[None]))
    nothing = np.zeros((2, 0)), np.zeros((2, 0, 0))
    np.testing.assert_array_equal(GaussianPenalty(np.eye(0)).tension(*nothing), np.nan)
    np.testing.assert_array_equal(
        StudentPenalty(np.eye(0), 4.0).tension(*nothing), np.nan
    )


def test_weights_on_the_simplex_are_never_far():
    penalty = DirichletPenalty(np.ones(3))
    z = np.array([[9.0, 9.0]])
    np.testing.assert_array_equal(penalty.tension(z, np.eye(2)[None]), np.nan)


@pytest.mark.parametrize("penalty", [GaussianPenalty, StudentPenalty])
def test_left_out_simulations_alone_raise_no_alarm(penalty):
    """A blend that the prior finds usual is never below .01, however far it lies.

    Few simulations know the bulk of their spread and not its tail.
    """
    law = penalty(np.eye(2), *[6.0] * (penalty is StudentPenalty))
    law.left_out = lambda: (np.array([1e-3]), np.ones(1))
    known = np.full((1, 2, 2), 1e-6 * np.eye(2))
    usual, odd = np.array([[1.0, 1.0]]), np.array([[30.0, 30.0]])
    assert law.tension(usual, known)[0] == pytest.approx(0.01)
    assert law.tension(odd, known)[0] < 1e-4


class _Class:
    """A class of two parameters."""

    n_params, is_linear = 2, False


@pytest.mark.parametrize("shared", [0.0, 0.9, 0.999])
def test_what_two_classes_share_counts_once(shared):
    """Noise ten times the prior, common to both: p-values are uniform all the same.

    With classes taken as independent the median was .72 at a correlation of .999.
    """
    rng = np.random.default_rng(4)
    blocks = [Block(np.array(c), GaussianPenalty(np.eye(2))) for c in ([0, 1], [2, 3])]
    model = MixtureModel([_Class(), _Class()], blocks, 0, np.ones(1))
    noise = 10.0 * np.kron([[1.0, shared], [shared, 1.0]], np.eye(2))
    measured = rng.multivariate_normal(np.zeros(4), np.eye(4) + noise, N)
    covariance = np.linalg.inv(np.linalg.inv(noise) + np.eye(4))
    theta = np.zeros((N, 5))
    theta[:, 1:] = measured @ np.linalg.inv(noise) @ covariance
    joint = np.zeros((N, 5, 5))
    joint[:, 1:, 1:] = covariance
    p_value = model.prior_tension(theta, joint)
    found, error = rates(p_value)
    assert (found < LEVELS + error).all()
    assert stats.kstest(p_value, "uniform").statistic < 0.04


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("size", [2, 3])
def test_the_smallest_of_correlated_p_values(rho, size):
    """Of two normal numbers it is exact, of more an upper bound."""
    rng = np.random.default_rng(5)
    among = np.full((size, size), rho) + (1.0 - rho) * np.eye(size)
    normal = rng.multivariate_normal(np.zeros(size), among, 20_000)
    p_values = stats.norm.sf(normal).T
    p_value = smallest_of_classes(p_values, np.tile(among, (20_000, 1, 1)))
    found = (p_value[:, None] < LEVELS).mean(axis=0)
    error = 3.5 * np.sqrt(LEVELS * (1.0 - LEVELS) / 20_000)
    assert (found < LEVELS + error).all()
    if size == 2:
        assert (found > LEVELS - error).all()
    assert (p_value <= smallest_of(p_values) * (1.0 + 1e-9)).all()


def test_classes_without_a_p_value_do_not_count():
    p = np.array([[0.2, np.nan], [np.nan, np.nan]])
    found = smallest_of_classes(p, np.tile(np.eye(2), (2, 1, 1)))
    np.testing.assert_allclose(found, [0.2, np.nan])
