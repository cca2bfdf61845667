"""The spread of left-out simulations in units of the prior's, from drawn ones."""

import numpy as np
import pytest
from scipy import stats

from sktamm.mixture._features import Features
from sktamm.mixture._left_out import NO_SCALES, gamma_nodes, left_out_scales

ROWS, FUNCTIONS, SIZE = 400, 20, 12


def _features(rng, phi, noise=0.0, known=True, size=SIZE, degrees=np.inf):
    """Log densities of variance phi along orthonormal functions, and their noise."""
    weight = rng.dirichlet(np.full(ROWS, 20.0))
    basis = rng.normal(size=(ROWS, FUNCTIONS))
    basis -= weight @ basis
    values, vectors = np.linalg.eigh((weight[:, None] * basis).T @ basis)
    basis = basis @ (vectors / np.sqrt(values))
    amplitudes = np.sqrt(phi) * rng.normal(size=(FUNCTIONS, size))
    if np.isfinite(degrees):
        amplitudes /= np.sqrt(rng.chisquare(degrees, size) / degrees)
    logs = basis @ amplitudes + np.sqrt(noise) * rng.normal(size=(ROWS, size))
    values = np.hstack([logs, basis])
    variance = np.full((ROWS, size), noise) if known else None
    return Features(values, values, weight, size, variance)


def _basis_of(features):
    """Unit amplitudes along the functions."""
    axes = np.eye(features.n_features)
    return axes[:, features.n_densities :]


def _phi(features, degrees=np.inf):
    values, weight = left_out_scales(features, _basis_of, lambda size: degrees)
    return np.exp(weight @ np.log(values))


def test_the_variance_of_one_more_simulation_is_found():
    """240 amplitudes know it to 10 %; against the mean of the others it is 12/11."""
    phi = [_phi(_features(np.random.default_rng(s), 0.5)) for s in range(6)]
    error = np.sqrt(2.0 / (len(phi) * FUNCTIONS * (SIZE - 1)))
    expected = 0.5 * SIZE / (SIZE - 1)
    assert np.log(np.mean(phi) / expected) == pytest.approx(0.0, abs=4 * error)


@pytest.mark.parametrize("known", [True, False])
def test_noise_of_the_templates_is_no_spread(known):
    """Noise of 40 per row is an amplitude of variance 40/400, one half of phi."""
    phi = [
        _phi(_features(np.random.default_rng(s), 0.2, 40.0, known)) for s in range(6)
    ]
    # Rows of unequal weight: the sum of w^2 is 1.05/400.
    expected = (0.2 if known else 0.2 + 40.0 * 1.05 / ROWS) * SIZE / (SIZE - 1)
    error = np.sqrt(2.0 / (len(phi) * FUNCTIONS * (SIZE - 1)))
    error *= 1.0 if not known else 1.5
    assert np.log(np.mean(phi) / expected) == pytest.approx(0.0, abs=4 * error)


def test_simulations_of_nothing_but_noise_have_hardly_a_spread():
    """Whose amplitudes have the variance .1 and more."""
    assert _phi(_features(np.random.default_rng(0), 0.0, 40.0)) < 0.03


def test_any_root_of_the_prior_covariance_will_do():
    """Columns of the symmetric one are not orthogonal, those of the other are."""
    features = _features(np.random.default_rng(3), 0.5, known=False)
    scale = np.random.default_rng(4).normal(size=(FUNCTIONS, 2 * FUNCTIONS))
    values, vectors = np.linalg.eigh(scale @ scale.T / FUNCTIONS)
    orthogonal = vectors * np.sqrt(values)
    symmetric = orthogonal @ vectors.T
    found = [
        left_out_scales(features, lambda own, r=root: _basis_of(own) @ r, lambda n: 5.0)
        for root in (orthogonal, symmetric)
    ]
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-9)


def test_a_student_prior_explains_simulations_of_different_distances():
    """Of 3 degrees, whose squares have no finite variance."""
    phi = [
        _phi(_features(np.random.default_rng(s), 0.5, degrees=3.0), 3.0)
        for s in range(12)
    ]
    # One scale per simulation is known as well as the chi2 of 20 functions and the
    # logarithm of a Gamma of shape 3/2, whose variance is .93.
    error = np.sqrt((stats.loggamma(1.5).var() + 2.0 / FUNCTIONS) / (12 * SIZE))
    expected = 0.5 * SIZE / (SIZE - 1)
    assert np.log(phi).mean() == pytest.approx(np.log(expected), abs=4 * error)


def test_the_error_of_phi_is_that_of_its_number_of_amplitudes():
    """Quartiles of the seven values; ln of a chi2 of 240 has the width .09."""
    values, weight = left_out_scales(
        _features(np.random.default_rng(0), 0.5), _basis_of, lambda size: np.inf
    )
    assert weight.sum() == pytest.approx(1.0)
    spread = np.diff(np.log(values[[1, 5]]))[0] / np.ptp(
        stats.norm.ppf([1.5 / 7, 5.5 / 7])
    )
    assert spread == pytest.approx(np.sqrt(2.0 / (SIZE * FUNCTIONS)), rel=0.15)


@pytest.mark.parametrize(
    ("size", "directions_of"),
    [(3, _basis_of), (6, lambda features: np.zeros((features.n_features, 0)))],
    ids=["three simulations", "no direction"],
)
def test_nothing_is_known_of_few_simulations_or_without_directions(size, directions_of):
    features = _features(np.random.default_rng(0), 0.5, size=size)
    assert left_out_scales(features, directions_of, lambda n: 3.0) is NO_SCALES


def test_large_samples_are_thinned_and_many_simulations_taken_in_part():
    """Two hundred left-out fits over 10^5 rows would take minutes; here some calls."""
    rng = np.random.default_rng(0)
    n, size = 100_000, 200
    values = rng.normal(size=(n, size + 1))
    features = Features(values, values, np.full(n, 1 / n), size, None)
    seen = []

    def directions(part):
        seen.append(part.reference.shape)
        return _basis_of(part)

    left_out_scales(features, directions, lambda size: np.inf)
    assert len(seen) == 12
    assert set(seen) == {(4000, size)}


def test_nodes_are_those_of_a_gamma_distribution_of_mean_one():
    for shape in (0.5, 1.5, 10.0):
        nodes, weight = gamma_nodes(shape)
        assert weight.sum() == pytest.approx(1.0)
        assert weight @ nodes == pytest.approx(1.0, rel=0.01)
        assert weight @ np.log(nodes) == pytest.approx(
            stats.loggamma(shape).mean() - np.log(shape), abs=0.01
        )
