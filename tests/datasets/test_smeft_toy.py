"""The toy of parametric inference: exact ratios, and every published number of it."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from sktamm.datasets import (
    SmeftToy,
    make_smeft_toy,
    smeft_toy_log_ratio,
    smeft_toy_smear,
)
from sktamm.exceptions import InvalidInputError

# Panels of Gauss-Legendre: the integrands are smooth on the scale of a panel.
NODES, WEIGHTS = np.polynomial.legendre.leggauss(20)
# Five standard deviations: a false alarm in 1.7 million.
SIGMAS = 5


def quadrature(low, high, width):
    """Points and weights of panels of the given width."""
    edges = np.linspace(low, high, round((high - low) / width) + 1)
    half = np.diff(edges)[:, None] / 2
    points = edges[:-1, None] + half * (NODES + 1)
    return points.ravel(), (half * WEIGHTS).ravel()


x, dx = quadrature(-15, 15, 0.25)
z, dz = quadrature(-9, 9, 0.05)
p_x = norm.pdf(x, 0, np.sqrt(1.49))
p_z = norm.pdf(z)
h = norm.pdf(z, 3, 0.1) / p_z
g = norm.pdf(x, 3, np.sqrt(0.5)) / p_x


def exact_g(at):
    """g(x) from the log ratio at theta = 1, r = (1 + g) / 2."""
    return 2 * np.exp(smeft_toy_log_ratio(at, 1.0)) - 1


def test_g():
    expected = [0.000213, 0.044225, 2.430856, 35.378202, 136.331466, 139.104214]
    np.testing.assert_allclose(exact_g(np.arange(6.0)), expected, atol=5e-7)


def test_ratio_against_densities():
    for theta, theta_ref in [(0.5, 0.0), (-0.7, 0.3), (0.0, 1.0)]:
        ratio = (1 + theta**2 * g) / (1 + theta**2)
        ratio /= (1 + theta_ref**2 * g) / (1 + theta_ref**2)
        log_ratio = smeft_toy_log_ratio(x[:, None], theta, theta_ref)
        np.testing.assert_allclose(log_ratio, np.log(ratio), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("theta", "truth", "expected"),
    [
        (0.25, 0.0, 0.051037),
        (0.5, 0.0, 0.275790),
        (1.0, 0.0, 1.029157),
        (0.5, 1.0, -1.800188),
        (1.0, 1.0, -2.150277),
    ],
)
def test_expected_test_statistic(theta, truth, expected):
    density = p_x * np.exp(smeft_toy_log_ratio(x, truth))
    mean = dx @ (density * -2 * smeft_toy_log_ratio(x, theta))
    assert mean == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("n_events", "expected"), [(100, 0.22522), (1000, 0.10566), (10_000, 0.05504)]
)
def test_asimov_limits(n_events, expected):
    def excess(theta):
        return n_events * (dx @ (p_x * -2 * smeft_toy_log_ratio(x, theta))) - 3.841459

    assert brentq(excess, 1e-3, 1) == pytest.approx(expected, abs=1e-5)


def test_derivative_regression_has_a_floor():
    variance = dz @ (p_z * h**2) - 1
    explained = dx @ (p_x * exact_g(x) ** 2) - 1
    assert explained / variance == pytest.approx(0.07582, abs=5e-6)
    assert variance - explained == pytest.approx(602.2955, abs=5e-5)


def test_fractional_smearing_numbers():
    # The number of copies jumps, so the edges of its steps are solved for.
    spread = np.sqrt(dz @ (p_z * h**2) - 1)
    threshold = 1 + 0.5 * spread
    top = 300 / 99

    def crossing(level, low, high):
        def distance(at):
            log_h = norm.logpdf(at, 3, 0.1) - norm.logpdf(at)
            return log_h - np.log(level * threshold)

        return brentq(distance, low, high)

    largest = norm.pdf(top, 3, 0.1) / norm.pdf(top) / threshold
    assert np.ceil(largest) == 69
    levels = np.arange(1, 69)
    sides = [(crossing(k, 1, top), crossing(k, top, 5)) for k in levels]
    above = np.array([norm.sf(low) - norm.sf(high) for low, high in sides])
    # n = 1 + (number of levels exceeded); an event is copied when n > 1.
    assert above[0] == pytest.approx(0.00264, abs=5e-6)
    assert 1 + above.sum() == pytest.approx(1.0710, abs=5e-5)


@pytest.mark.parametrize("theta_ref", [0.0, 0.6])
def test_joint_derivatives_are_those_of_the_weights(theta_ref):
    toy = make_smeft_toy(500, theta_ref, random_state=0)
    step = 0.1
    # The weights are quadratic: differences are exact.
    up, down = (toy.weights(theta_ref + s * step) for s in (1, -1))
    numeric = np.column_stack([(up - down) / (2 * step), (up + down - 2) / step**2])
    # Rounding of weights of order one, divided by the squared step.
    rounding = 10 * np.finfo(float).eps * up[:, None] / step**2
    assert (abs(toy.joint_derivatives - numeric) < rounding).all()
    assert np.array_equal(toy.weights(theta_ref), np.ones(500))


def test_joint_derivatives_at_zero():
    toy = make_smeft_toy(500, random_state=0)
    truth = norm.pdf(toy.Z[:, 0], 3, 0.1) / norm.pdf(toy.Z[:, 0])
    assert not toy.joint_derivatives[:, 0].any()
    np.testing.assert_allclose(
        toy.joint_derivatives[:, 1], 2 * truth, rtol=1e-9, atol=1e-300
    )
    mean = dz @ (p_z * SmeftToy(z[:, None], z[:, None], 0.0).joint_derivatives[:, 1])
    assert mean == pytest.approx(2)


def test_events_follow_the_density():
    n, theta = 40_000, 0.8
    toy = make_smeft_toy(n, theta, random_state=3)
    share = theta**2 / (1 + theta**2)
    moments = {"Z": (1, 0.01), "X": (1.49, 0.5)}
    for name, (bulk, peak) in moments.items():
        values = getattr(toy, name)[:, 0]
        second = (1 - share) * bulk + share * (9 + peak)
        variance = second - (3 * share) ** 2
        assert abs(values.mean() - 3 * share) < SIGMAS * np.sqrt(variance / n)
        spread = np.std(values**2) / np.sqrt(n)
        assert abs(np.mean(values**2) - second) < SIGMAS * spread


def test_ratios_average_to_one():
    # At theta_ref = 1 the ratio is below (1 + theta_ref^2), so its mean is quiet.
    toy = make_smeft_toy(20_000, 1.0, random_state=1)
    for ratio in (toy.joint_ratio(0.5), np.exp(toy.log_ratio(toy.X, 0.5))):
        assert abs(ratio.mean() - 1) < SIGMAS * ratio.std() / np.sqrt(20_000)
    expected = toy.cross_section(0.5) / toy.cross_section(1.0)
    np.testing.assert_allclose(toy.weights(0.5), expected * toy.joint_ratio(0.5))


def test_smearing_is_reproducible_and_of_the_right_width():
    toy = make_smeft_toy(20_000, random_state=0)
    again = toy.smear(toy.Z, 7)
    np.testing.assert_array_equal(again, smeft_toy_smear(toy.Z, 7))
    width = (again - toy.Z).std()
    assert abs(width / 0.7 - 1) < SIGMAS / np.sqrt(2 * 20_000)
    np.testing.assert_array_equal(toy.X, make_smeft_toy(20_000, random_state=0).X)


def test_large_arguments_do_not_overflow():
    assert np.isfinite(smeft_toy_log_ratio([-60.0, 60.0], 2.0)).all()


def test_refusals():
    with pytest.raises(InvalidInputError, match="n_events"):
        make_smeft_toy(0)
    with pytest.raises(InvalidInputError, match="theta must be finite"):
        make_smeft_toy(10, np.nan)
    with pytest.raises(InvalidInputError, match="one feature"):
        smeft_toy_log_ratio(np.ones((3, 2)), 1.0)
