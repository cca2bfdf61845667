"""Posterior of a linear mixture of topics: ours against NumPyro's NUTS.

Usage: python tests/benchmarks/bench_posterior.py [race] [many] [rates] [workers]
           [laplace]

``race``: effective draws per second for one dataset, of kappa and of the worst of kappa
and all weights, of wall time and of processor time; our warm-up and mode finding
included, NumPyro's compilation excluded ("MCMC.run" beside it compiles for every
dataset, and its users wait for that); moments and quantiles of kappa in Monte Carlo
standard errors (needs the extra ``benchmarks``, otherwise our side is printed alone).
``many``: 300 datasets through the estimator, until each has bulk and tail effective
sample sizes of 400 and R-hat < 1.01. ``rates``: the draws of one dataset that users get
without settings. ``workers``: the draws and the frequentist fits of ``many`` by threads
and by processes. ``laplace``: the nested Laplace approximation against the draws, in
posterior standard deviations.

Gaussian study: 100 bins, 300 misspecified simulations per class of 100 000 events, 20
topics per class, 5 000 signal and 50 000 background events.
"""

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import joblib
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
sys.path.append(str(Path(__file__).parent / "zoo"))
# The study is shared with its benchmark of coverage, in the same folder.
from bench_gaussian import TRUTH, draw_target, draw_templates, fresh_simulations
from monte_carlo_errors import mcse_mean, mcse_quantile, mcse_sd

from sktamm import BinnedTopicTAMM, NeuralRatioTAMM, TAMMRegressor
from sktamm.components import TopicComponents
from sktamm.datasets import make_gaussian_study
from sktamm.inference import BayesianInference, FrequentistInference, _base
from sktamm.inference._base import Batch
from sktamm.inference._diagnostics import ess_bulk, ess_tail, rhat
from sktamm.inference._sampling import sample_posterior
from sktamm.inference._targets import posterior_space

QUANTILES = (0.025, 0.16, 0.5, 0.84, 0.975)
LEVELS = (0.68, 0.95)
N_WARMUP, N_DRAWS, N_CHAINS = 1_000, 1_000, 4  # of NumPyro
NAMES = "kappa", "background", "signal"


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


def all_of_ours(tamm, histogram, seed):
    """Kappa and all weights (n_chains, n_draws, 41) of one dataset, on one core."""
    table, _ = tamm.tabulate([histogram], None, None)
    model, inference = tamm.form_.build(table, tamm.prior_), tamm.inference_
    fit = inference._fit(Batch(table, model, slice(0, 1), True))
    space = posterior_space(model, fit.data.rows, fit.optimum.theta)

    def monitor(position):
        theta = space.theta(position)
        flat = theta.reshape(-1, theta.shape[-1])
        columns = np.hstack([flat[:, :1], *model.weights(flat)])
        return columns.reshape(*theta.shape[:-1], -1)

    draws = sample_posterior(
        space.target,
        space.start,
        space.covariance,
        [np.random.SeedSequence(seed)],
        monitor=monitor,
        n_chains=inference.n_chains,
        n_warmup=inference.n_warmup,
        n_draws=inference.n_draws,
        max_draws=inference.max_draws,
        n_leapfrog=space.n_leapfrog,
        target_acceptance=space.target_acceptance,
    )
    return draws.values[0]


def nuts_of(tamm):
    """NumPyro's sampler of the same model."""
    import jax.numpy as jnp
    import numpyro
    from numpyro import distributions as dist
    from numpyro.infer import NUTS

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

    return NUTS(model)


def compiled_once(kernel, n_jobs):
    """Chains as one compiled function of the counts, chains in threads."""
    import jax
    from peers.numpyro_linear import compiled

    chain = compiled(kernel, N_WARMUP, N_DRAWS)

    def one(key, counts):
        return {name: np.asarray(own) for name, own in chain(key, counts).items()}

    def run(counts, seed):
        keys = jax.random.split(jax.random.key(seed), N_CHAINS)
        with ThreadPoolExecutor(n_jobs) as pool:
            drawn = list(pool.map(one, keys, [counts.ravel()] * N_CHAINS))
        return columns({name: np.stack([d[name] for d in drawn]) for name in NAMES})

    return run


def of_mcmc(kernel, n_jobs):
    """``MCMC.run``, which compiles again for every dataset, chains one by one."""
    import jax
    from numpyro.infer import MCMC

    settings = {"num_warmup": N_WARMUP, "num_samples": N_DRAWS, "num_chains": N_CHAINS}
    chains = MCMC(kernel, **settings, chain_method="sequential", progress_bar=False)

    def run(counts, seed):
        chains.run(jax.random.key(seed), counts.ravel())
        return columns(chains.get_samples(group_by_chain=True))

    return run


def columns(draws):
    """Kappa and all weights, (n_chains, n_draws, 41)."""
    parts = [np.atleast_3d(np.asarray(draws[name], dtype=float)) for name in NAMES]
    return np.concatenate(parts, axis=-1)


class Clock:
    """Seconds of wall and of processor time since it was made."""

    def __init__(self):
        self.start = np.array([time.perf_counter(), time.process_time()])

    def seconds(self):
        return np.array([time.perf_counter(), time.process_time()]) - self.start


def ess(draws):
    """The worse of bulk and tail, of draws (n_chains, n_draws, n) the worst column."""
    columns = np.moveaxis(draws.reshape(*draws.shape[:2], -1), -1, 0)
    return min(ess_bulk(columns).min(), ess_tail(columns).min())


def report_rate(name, draws, seconds):
    """Print and return effective draws per second of wall and of processor time."""
    size, wall, processor = ess(draws), *seconds
    kappa = draws.reshape(*draws.shape[:2], -1)[None, ..., 0]
    print(
        f"  {name:18s} {wall:6.2f} s, processor {processor:6.2f} s  ESS {size:7.0f} of "
        f"{kappa.size:7d}  R-hat {rhat(kappa)[0]:.4f}  {size / wall:7.0f} ESS/s, "
        f"{size / processor:7.0f} per second of processor",
        flush=True,
    )
    return size / seconds


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
    theirs = {}
    if find_spec("numpyro"):
        kernel = nuts_of(tamm)
        for name, sampler in (("NumPyro", compiled_once), ("MCMC.run", of_mcmc)):
            theirs[name] = sampler(kernel, n_jobs)
            for _ in range(2):  # the first calls compile
                theirs[name](target[0].values(), 0)
    ratios, worst = {name: [] for name in theirs}, 0.0
    for i, histogram in enumerate(target):
        print(f"dataset {i}")
        clock = Clock()
        ours = ours_one(tamm, histogram, i, n_jobs)
        rate = report_rate("sktamm", ours, clock.seconds())
        clock = Clock()
        everything = all_of_ours(tamm, histogram, i)
        rate_of_all = report_rate("sktamm, all", everything, clock.seconds())
        for name, run in theirs.items():
            clock = Clock()
            draws = run(histogram.values(), i + 1)
            seconds, kappa = clock.seconds(), draws[..., 0]
            ratio = rate / report_rate(name, kappa, seconds)
            ratio_of_all = rate_of_all / report_rate(f"{name}, all", draws, seconds)
            ratios[name].append([*ratio, ratio_of_all[1]])
            pulls = deviations(ours, kappa)
            worst = max(worst, *map(abs, pulls.values()))
            print("  pulls", {name: round(pull, 2) for name, pull in pulls.items()})
    for name, found in ratios.items():
        wall, processor, everything = np.round(np.transpose(found))
        print(
            f"ratio of rates to {name}: {wall} of wall time, {processor} of processor "
            f"time; of the worst parameter {everything} of processor time"
        )
    print(f"largest pull {worst:.2f} (limit 4)")


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


def rates(n_jobs):
    """Draws of one dataset as users get them, and of a hundred in one call."""
    study = make_gaussian_study(n_simulations=4, n_events=1000, random_state=0)
    neural = NeuralRatioTAMM(inference=BayesianInference("hmc"), random_state=0)
    neural.fit(study.X, study.y, simulation=study.simulation)
    rng = np.random.default_rng(0)
    histograms, y, ids = draw_templates(fresh_simulations(20, 1), 100_000, rng)
    target = draw_target(TRUTH, 100, rng)
    binned = BinnedTopicTAMM(inference=BayesianInference("hmc"), random_state=0)
    binned.fit(histograms, y, simulation=ids)
    topics = fit_study(BayesianInference("hmc"), None, 1)[0]
    events = study.X_target[:1000]
    for name, tamm, data in (
        ("topics, linear", topics, target[:1]),
        ("topics, linear", topics, target),
        ("BinnedTopicTAMM()", binned, target[:1]),
        ("BinnedTopicTAMM()", binned, target),
        ("NeuralRatioTAMM()", neural, events),
    ):
        tamm.infer(data[:1] if data is target else data)  # imports, first calls
        clock = Clock()
        result = tamm.infer(data)
        wall, processor = clock.seconds()
        d = result.diagnostics
        size = np.minimum(d["ess_bulk"], d["ess_tail"])
        print(
            f"{name} of {size.size}: {wall:.2f} s, processor {processor:.2f} s, ESS "
            f"{size.mean():.0f}, {size.sum() / wall:.0f} ESS/s, "
            f"{size.sum() / processor:.0f} per second of processor; not good enough "
            f"{d['poor_sampling'].sum()}, divergences {d['n_divergent'].sum()}",
            flush=True,
        )


def workers(n_jobs, n_datasets=300):
    """The same study with one worker, with threads and with processes."""
    _base._MANY_DATASETS = 0
    for inference in (BayesianInference("hmc"), FrequentistInference()):
        name = type(inference).__name__
        for backend, number in (
            ("threading", 1),
            ("threading", n_jobs),
            ("loky", n_jobs),
        ):
            tamm, target = fit_study(inference, number, n_datasets)
            with joblib.parallel_config(backend=backend):
                tamm.infer(target[: 30 * number])  # starts processes
                clock = Clock()
                tamm.infer(target)
                seconds = clock.seconds()[0]
            print(f"{name}, {backend}, n_jobs={number}: {seconds:.1f} s", flush=True)


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


PARTS = {
    "race": race,
    "many": many,
    "rates": rates,
    "workers": workers,
    "laplace": laplace,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "parts", nargs="*", choices=PARTS, default=["race", "many", "rates"]
    )
    parser.add_argument("--n-jobs", type=int, default=2)
    options = parser.parse_args()
    for part in options.parts:
        PARTS[part](options.n_jobs)


if __name__ == "__main__":
    main()
