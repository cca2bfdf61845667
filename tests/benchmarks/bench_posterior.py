"""Posterior of a linear mixture of topics: ours against NumPyro's NUTS.

Usage: python tests/benchmarks/bench_posterior.py [race] [many] [laplace]

``race``: effective draws of kappa per second of wall time for one dataset, our warm-up
and mode finding included, NumPyro's compilation excluded; moments and quantiles of
kappa in Monte Carlo standard errors (needs the extra ``bayes``, otherwise our side is
printed alone). ``many``: 300 datasets through the estimator, until each has bulk and
tail effective sample sizes of 400 and R-hat < 1.01. ``laplace``: the nested Laplace
approximation against the draws, in posterior standard deviations.

Gaussian study: 100 bins, 300 misspecified simulations per class of 100 000 events, 20
topics per class, 5 000 signal and 50 000 background events.
"""

import argparse
import os
import time

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=4")

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
# The study is shared with its benchmark of coverage, in the same folder.
from bench_gaussian import TRUTH, draw_target, draw_templates, fresh_simulations
from monte_carlo_errors import mcse_mean, mcse_quantile, mcse_sd

from sktamm import TAMMRegressor
from sktamm.components import TopicComponents
from sktamm.inference import BayesianInference
from sktamm.inference._diagnostics import ess_bulk, ess_tail, rhat

QUANTILES = (0.025, 0.16, 0.5, 0.84, 0.975)
LEVELS = (0.68, 0.95)


def make_estimator(inference, n_jobs, **components):
    """Published model: topics, linear form, Dirichlet(1), uniform kappa."""
    return TAMMRegressor(
        TopicComponents(template_errors=False, **components),
        "linear",
        "dirichlet",
        inference,
        n_jobs=n_jobs,
        random_state=0,
    )


def fit_study(inference, n_jobs, n_datasets):
    """Fitted estimator and pseudo-experiments."""
    rng = np.random.default_rng(0)
    histograms, y, ids = draw_templates(fresh_simulations(300, 1), 100_000, rng)
    target = draw_target(TRUTH, n_datasets, rng)
    tamm = make_estimator(inference, n_jobs).fit(histograms, y, simulation=ids)
    return tamm, target


def ours_one(tamm, histogram, seed, n_jobs):
    """Draws of one dataset, its chains shared between the threads."""
    tamm.set_params(random_state=seed)
    copies = [histogram] * n_jobs
    return np.concatenate(tamm.infer(copies, levels=LEVELS).draws)


def nuts_of(tamm, first):
    """NumPyro's sampler of the same model; returns run(counts, seed) -> kappa."""
    import jax
    import jax.numpy as jnp
    import numpyro
    from numpyro import distributions as dist
    from numpyro.infer import MCMC, NUTS

    components = tamm.components_
    background, signal = (
        jnp.array(components.component_probability_[components.component_class_ == c])
        for c in (0, 1)
    )

    def model(counts):
        w = numpyro.sample("signal", dist.Dirichlet(jnp.ones(len(signal))))
        v = numpyro.sample("background", dist.Dirichlet(jnp.ones(len(background))))
        kappa = numpyro.sample("kappa", dist.Uniform(0.0, 1.0))
        p = kappa * (w @ signal) + (1.0 - kappa) * (v @ background)
        numpyro.factor("likelihood", jnp.sum(counts * jnp.log(p)))

    settings = {"num_warmup": 1000, "num_samples": 1000, "num_chains": 4}
    chains = MCMC(NUTS(model), **settings, chain_method="parallel", progress_bar=False)

    def run(counts, seed):
        chains.run(jax.random.key(seed), jnp.array(counts.ravel()))
        return np.asarray(chains.get_samples(group_by_chain=True)["kappa"], dtype=float)

    run(first.values(), 0)  # compiles
    return run


def report_rate(name, kappa, seconds):
    """Print and return effective draws per second, the worse of bulk and tail."""
    bulk, tail = ess_bulk(kappa[None])[0], ess_tail(kappa[None])[0]
    rate = min(bulk, tail) / seconds
    print(
        f"  {name:8s} {seconds:6.2f} s  ESS bulk {bulk:6.0f} tail {tail:6.0f}  R-hat "
        f"{rhat(kappa[None])[0]:.4f}  {rate:8.0f} ESS/s",
        flush=True,
    )
    return rate


def deviations(ours, theirs):
    """Differences of mean, sd and quantiles in units of their Monte Carlo error."""
    ours, theirs = ours[None], theirs[None]
    measures = {"mean": (np.mean, mcse_mean), "sd": (np.std, mcse_sd)}
    for q in QUANTILES:
        measures[f"{q:.1%}"] = (
            lambda x, q=q: np.quantile(x, q),
            lambda x, q=q: mcse_quantile(x, q),
        )
    return {
        name: float((f(ours) - f(theirs)) / np.hypot(error(ours), error(theirs))[0])
        for name, (f, error) in measures.items()
    }


def race(n_jobs, n_datasets=3):
    """Rates and agreement on the first datasets."""
    inference = BayesianInference(
        "hmc", n_chains=128, n_draws=500, max_draws=500, batch_size=1
    )
    tamm, target = fit_study(inference, n_jobs, n_datasets)
    try:
        run = nuts_of(tamm, target[0])
    except ImportError:
        run = None
    rates, worst = [], 0.0
    for i, histogram in enumerate(target):
        print(f"dataset {i}")
        clock = time.perf_counter()
        ours = ours_one(tamm, histogram, i, n_jobs)
        rate = report_rate("sktamm", ours, time.perf_counter() - clock)
        if run is None:
            continue
        clock = time.perf_counter()
        theirs = run(histogram.values(), i + 1)
        rates.append(rate / report_rate("NumPyro", theirs, time.perf_counter() - clock))
        pulls = deviations(ours, theirs)
        worst = max(worst, *map(abs, pulls.values()))
        print("  pulls", {name: round(pull, 2) for name, pull in pulls.items()})
    if rates:
        print(f"ratio of rates {np.round(rates)}; largest pull {worst:.2f} (limit 4)")


def many(n_jobs, n_datasets=300):
    """Wall time of a study through the public estimator."""
    tamm, target = fit_study(BayesianInference("hmc"), n_jobs, n_datasets)
    clock, cpu = time.perf_counter(), time.process_time()
    result = tamm.infer(target, levels=LEVELS)
    wall, cpu = time.perf_counter() - clock, time.process_time() - cpu
    d = result.diagnostics
    print(
        f"{n_datasets} datasets: {wall:.1f} s wall, {cpu:.1f} s processor; smallest "
        f"ESS bulk {d['ess_bulk'].min():.0f} tail {d['ess_tail'].min():.0f}, largest "
        f"R-hat {d['r_hat'].max():.4f}, divergences {d['n_divergent'].sum()}, not "
        f"good enough {d['poor_sampling'].sum()}",
        flush=True,
    )


def laplace(n_jobs, n_datasets=100):
    """Error of the nested Laplace approximation, both forms."""
    for form, prior in (("linear", "dirichlet"), ("exponential", "shrinkage")):
        answers = {}
        for method in ("hmc", "laplace"):
            inference = BayesianInference(method, min_ess=2000.0)
            tamm, target = fit_study(inference, n_jobs, n_datasets)
            tamm.set_params(form=form, prior=prior)
            histograms, y, ids = draw_templates(
                fresh_simulations(300, 1), 100_000, np.random.default_rng(0)
            )
            tamm.fit(histograms, y, simulation=ids)
            clock = time.perf_counter()
            answers[method] = tamm.infer(target, levels=LEVELS)
            seconds = time.perf_counter() - clock
            print(f"{form} {prior} {method}: {seconds:.1f} s", flush=True)
        sampled, approximate = answers["hmc"], answers["laplace"]
        shift = (approximate.kappa - sampled.kappa) / sampled.std
        ends = (approximate.interval - sampled.interval) / sampled.std[:, None, None]
        print(
            f"  laplace - hmc in posterior sd: mean {shift.mean():+.3f} (rms "
            f"{np.sqrt((shift**2).mean()):.3f}); lower and upper ends 68 % "
            f"{ends[:, 0, 0].mean():+.3f} {ends[:, 1, 0].mean():+.3f}, 95 % "
            f"{ends[:, 0, 1].mean():+.3f} {ends[:, 1, 1].mean():+.3f}; ratio of sd "
            f"{(approximate.std / sampled.std).mean():.3f}",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["race", "many", "laplace"])
    parser.add_argument("--n-jobs", type=int, default=2)
    options = parser.parse_args()
    for part in options.parts:
        {"race": race, "many": many, "laplace": laplace}[part](options.n_jobs)


if __name__ == "__main__":
    main()
