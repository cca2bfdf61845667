"""Batched Hamiltonian Monte Carlo on targets whose answers are known."""

import numpy as np
import pytest
from monte_carlo_errors import mcse_mean, mcse_sd

from sktamm.inference._diagnostics import (
    ess_bulk,
    ess_tail,
    rhat,
)
from sktamm.inference._hmc import HamiltonianSampler
from sktamm.inference._sampling import sample_posterior


class Gaussian:
    """Normal distributions, one mean and precision per dataset."""

    def __init__(self, mean, covariance):
        self.mean, self.covariance = mean, covariance
        self.precision = np.linalg.inv(covariance)

    def __call__(self, position):
        residual = position - self.mean[:, None]
        gradient = -np.matmul(residual, self.precision)
        return 0.5 * (residual * gradient).sum(axis=-1), gradient

    def subset(self, datasets):
        return Gaussian(self.mean[datasets], self.covariance[datasets])


def gaussian(n_datasets=6, n_params=5, seed=0):
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(n_datasets, n_params, n_params))
    covariance = factor @ factor.transpose(0, 2, 1) + 0.05 * np.eye(n_params)
    return Gaussian(rng.normal(size=(n_datasets, n_params)), covariance)


def generators(n_datasets, seed=1):
    return [np.random.default_rng([i, seed]) for i in range(n_datasets)]


def sampler_of(target, covariance=None, n_leapfrog=6, **settings):
    return HamiltonianSampler(
        target,
        target.mean,
        target.covariance if covariance is None else covariance,
        generators(len(target.mean)),
        n_leapfrog=n_leapfrog,
        **settings,
    )


@pytest.mark.parametrize("scale", [0.2, 1.0, 5.0])
def test_moments_of_a_gaussian(scale):
    """Whatever the first metric: 30 means and deviations within 4.5 sigma each."""
    target = gaussian()
    sampler = sampler_of(target, covariance=scale * target.covariance)
    draws = sampler.warm_up(160).draw(200).values
    for j in range(5):
        column = draws[..., j]
        error = column.mean(axis=(1, 2)) - target.mean[:, j]
        assert (np.abs(error) < 4.5 * mcse_mean(column)).all()
        width = column.std(axis=(1, 2)) - np.sqrt(target.covariance[:, j, j])
        assert (np.abs(width) < 4.5 * mcse_sd(column)).all()
        assert rhat(column).max() < 1.05


def test_batch_changes_no_number():
    target = gaussian()
    together = sampler_of(target).warm_up(40).draw(20)
    for i in (0, 3):
        alone = HamiltonianSampler(
            target.subset([i]),
            target.mean[[i]],
            target.covariance[[i]],
            [generators(6)[i]],
            n_leapfrog=6,
        )
        draws = alone.warm_up(40).draw(20)
        np.testing.assert_array_equal(draws.values[0], together.values[i])
        np.testing.assert_array_equal(draws.log_density[0], together.log_density[i])


def test_a_subset_continues_the_same_chains():
    target = gaussian()
    sampler, other = sampler_of(target).warm_up(40), sampler_of(target).warm_up(40)
    keep = np.array([1, 4])
    part = sampler.take(keep, target.subset(keep)).draw(10)
    np.testing.assert_array_equal(part.values, other.draw(10).values[keep])


def test_step_size_reaches_the_target_acceptance():
    """A 20-parameter Gaussian, 4 datasets: within 0.1 of the wish."""
    target = gaussian(4, 20)
    draws = sampler_of(target, target_acceptance=0.8).warm_up(300).draw(100)
    assert np.abs(draws.acceptance - 0.8).max() < 0.1
    assert draws.n_divergent.sum() == 0


def test_log_density_belongs_to_the_draws():
    target = gaussian()
    draws = sampler_of(target).warm_up(20).draw(5)
    for k in range(5):
        expected = target(draws.values[:, :, k])[0]
        np.testing.assert_allclose(draws.log_density[..., k], expected)


def funnel(position):
    """A scale v ~ N(0, 3) and four normals of width exp(v / 2)."""
    v, x = position[..., :1], position[..., 1:]
    precision = np.exp(-v)
    squares = (x**2).sum(axis=-1, keepdims=True)
    log_density = -(v**2) / 18.0 - 2.0 * v - 0.5 * precision * squares
    slope = -v / 9.0 - 2.0 + 0.5 * precision * squares
    return log_density[..., 0], np.concatenate([slope, -precision * x], axis=-1)


def test_divergences_of_a_funnel_are_counted():
    sampler = HamiltonianSampler(
        funnel, np.zeros((2, 5)), np.tile(np.eye(5), (2, 1, 1)), generators(2)
    )
    draws = sampler.warm_up(100).draw(400)
    assert draws.n_divergent.shape == (2,)
    assert draws.n_divergent.sum() > 0
    assert np.isfinite(draws.values).all()


def half_normal(position):
    """A standard normal without its negative half; outside is not a number."""
    inside = position[..., 0] > 0.0
    log_density = np.where(inside, -0.5 * position[..., 0] ** 2, -np.inf)
    return log_density, np.where(inside[..., None], -position, np.nan)


def test_support_is_never_left():
    sampler = HamiltonianSampler(
        half_normal, np.full((3, 1), 0.5), np.ones((3, 1, 1)), generators(3)
    )
    draws = sampler.warm_up(200).draw(600).values[..., 0]
    assert draws.min() > 0.0
    error = np.abs(draws.mean(axis=(1, 2)) - np.sqrt(2.0 / np.pi))
    assert (error < 4.5 * mcse_mean(draws)).all()


def study(n_jobs, batch_size):
    target = gaussian(7, 3)
    return sample_posterior(
        target.subset,
        target.mean,
        target.covariance,
        np.random.SeedSequence(5).spawn(7),
        monitor=lambda position: position[..., :2],
        n_warmup=40,
        n_draws=20,
        n_leapfrog=2,
        n_chains=4,
        batch_size=batch_size,
        n_jobs=n_jobs,
    )


def test_every_dataset_gets_its_sample_size():
    draws = study(1, 7)
    assert draws.converged.all()
    assert len(draws.values) == 7
    for i, values in enumerate(draws.values):
        assert values.shape[0] == 4
        assert values.shape[2] == 2
        column = values[None, ..., 0]
        assert min(ess_bulk(column)[0], ess_tail(column)[0]) >= 400
        assert draws.rhat[i] == rhat(column)[0] < 1.01


def test_workers_and_batches_change_no_number():
    one, two = study(1, 7), study(2, 3)
    for a, b in zip(one.values, two.values, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(one.acceptance, two.acceptance)
    np.testing.assert_array_equal(one.n_divergent, two.n_divergent)
