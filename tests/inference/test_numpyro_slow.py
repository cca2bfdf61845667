"""The posterior of kappa against NumPyro's NUTS on the same model (``benchmarks``)."""

import numpy as np
import pytest
from monte_carlo_errors import mcse_mean, mcse_quantile, mcse_sd

from sktamm import TAMMRegressor
from sktamm.components import TopicComponents
from sktamm.datasets import make_gaussian_study
from sktamm.inference import BayesianInference

pytestmark = pytest.mark.slow
QUANTILES = (0.025, 0.16, 0.5, 0.84, 0.975)


@pytest.fixture(scope="module")
def tamm():
    """Published model without template errors: 10 topics of 30 simulations."""
    study = make_gaussian_study(n_simulations=30, n_events=20_000, random_state=0)
    components = TopicComponents(10, template_errors=False)
    inference = BayesianInference("hmc", n_chains=32, n_draws=500)
    tamm = TAMMRegressor(components, "linear", "dirichlet", inference, random_state=0)
    return tamm.fit(study.X, study.y, simulation=study.simulation)


def referee(tamm, counts, seed):
    """Draws of kappa by NumPyro, shape (n_chains, n_draws)."""
    jax = pytest.importorskip("jax")
    numpyro = pytest.importorskip("numpyro")
    components = tamm.components_
    background, signal = (
        components.component_probability_[components.component_class_ == c]
        for c in (0, 1)
    )
    dirichlet = numpyro.distributions.Dirichlet

    def model():
        w = numpyro.sample("signal", dirichlet(np.ones(len(signal))))
        v = numpyro.sample("background", dirichlet(np.ones(len(background))))
        kappa = numpyro.sample("kappa", numpyro.distributions.Uniform(0.0, 1.0))
        p = kappa * (w @ signal) + (1.0 - kappa) * (v @ background)
        numpyro.factor("likelihood", (counts * jax.numpy.log(p)).sum())

    with jax.enable_x64(True):
        chains = numpyro.infer.MCMC(
            numpyro.infer.NUTS(model),
            num_warmup=1000,
            num_samples=1500,
            num_chains=4,
            chain_method="sequential",
            progress_bar=False,
        )
        chains.run(jax.random.key(seed))
        return np.asarray(chains.get_samples(group_by_chain=True)["kappa"])


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(("n_signal", "seed"), [(1000, 1), (5000, 2), (15_000, 3)])
def test_posterior_agrees_with_numpyro(tamm, n_signal, seed):
    """Mean, sd and quantiles within four Monte Carlo standard errors."""
    pytest.importorskip("numpyro")
    target = make_gaussian_study(
        n_simulations=2, n_events=10, n_signal=n_signal, random_state=seed
    ).X_target
    result = tamm.infer(target)
    ours = result.draws[0][None]
    theirs = referee(tamm, result.templates.counts[0], seed)[None]
    mean_error = np.hypot(mcse_mean(ours)[0], mcse_mean(theirs)[0])
    pulls = [(ours.mean() - theirs.mean()) / mean_error]
    sd_error = np.hypot(mcse_sd(ours)[0], mcse_sd(theirs)[0])
    pulls.append((ours.std() - theirs.std()) / sd_error)
    for q in QUANTILES:
        error = np.hypot(mcse_quantile(ours, q)[0], mcse_quantile(theirs, q)[0])
        pulls.append((np.quantile(ours, q) - np.quantile(theirs, q)) / error)
    assert np.abs(pulls).max() < 4
