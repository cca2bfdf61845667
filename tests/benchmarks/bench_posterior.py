"""Posterior of a linear mixture of topics: ours against NumPyro's NUTS.

Run ``python tests/benchmarks/bench_posterior.py``; with ``pip install sktamm[bayes]``
NumPyro runs in the same process, otherwise our side is printed alone. Three parts:
effective draws of kappa per second of wall time for one dataset, warm-up included and
compilation excluded; 300 datasets until each has its sample size; moments and
quantiles of kappa on three datasets against NumPyro, in Monte Carlo standard errors.

The Gaussian study: 100 bins, 300 misspecified simulations per class, 20 topics per
class, 5 000 signal and 50 000 background events.
"""

import argparse
import os
import tempfile
import time
import warnings
from pathlib import Path

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=4")

import numpy as np

from sktamm.inference._diagnostics import (
    ess_bulk,
    ess_tail,
    mcse_mean,
    mcse_quantile,
    mcse_sd,
    rhat,
)
from sktamm.inference._sampling import sample_posterior

N_BINS, N_TOPICS, N_SIMULATIONS, N_EVENTS = 10, 20, 300, 100_000
TRUTH = {
    "signal": (np.zeros(2), np.eye(2)),
    "background": (np.array([0.0, 1.0]), np.array([[3.0, 0.4], [0.4, 3.0]])),
}
QUANTILES = (0.025, 0.16, 0.5, 0.84, 0.975)


# --- Simulations, topics and data -------------------------------------------------


def bin_probabilities(mean, covariance, n_inner=8):
    """Probabilities of the bins of [-2, 2]^2, by a fine midpoint rule."""
    n = N_BINS * n_inner
    grid = (np.arange(n) + 0.5) / n * 4.0 - 2.0
    x = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1) - mean
    square = np.einsum("ijk,kl,ijl->ij", x, np.linalg.inv(covariance), x)
    shape = (N_BINS, n_inner, N_BINS, n_inner)
    density = np.exp(-0.5 * square).reshape(shape).sum(axis=(1, 3)).ravel()
    return density / density.sum()


def wrong_parameters(name, rng):
    """One misspecified Gaussian: shifted mean, common variance and covariance."""
    mean, covariance = TRUTH[name]
    variance, correlation = covariance[0, 0], covariance[0, 1]
    shift = -0.1 if name == "signal" else 0.1
    while True:
        new_mean = rng.normal(mean + np.array([0.0, shift]), 0.1)
        new_variance = abs(rng.normal(variance, 0.1))
        new_correlation = rng.normal(correlation, 0.1)
        far = np.linalg.norm(new_mean - mean) > 0.1
        far &= abs(new_variance - variance) > 0.1
        far &= abs(new_correlation - correlation) > 0.05
        if far and new_variance > abs(new_correlation):
            off = new_correlation * (1.0 - np.eye(2))
            return new_mean, new_variance * np.eye(2) + off


def make_topics(kind):
    """Topics of both classes, (n_topics, n_bins) each."""
    from sklearn.decomposition import NMF, LatentDirichletAllocation

    rng, topics = np.random.default_rng(1), {}
    for name in TRUTH:
        counts = np.stack(
            [
                rng.multinomial(
                    N_EVENTS, bin_probabilities(*wrong_parameters(name, rng))
                )
                for _ in range(N_SIMULATIONS)
            ]
        ).astype(float)
        if kind == "nmf":
            model = NMF(N_TOPICS, beta_loss="kullback-leibler", solver="mu")
            model.set_params(init="random", random_state=0, max_iter=300, tol=0.0)
        else:
            model = LatentDirichletAllocation(N_TOPICS, max_iter=60, random_state=0)
            model.set_params(doc_topic_prior=1.0, topic_word_prior=1.0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            components = np.maximum(model.fit(counts).components_, 1e-9)
        components /= components.sum(axis=1, keepdims=True)
        topics[name] = np.maximum(components, 1e-9)
    return topics


def load_topics(kind):
    """Topics from the cache, or freshly made."""
    file = Path(tempfile.gettempdir()) / "sktamm_hmc" / f"bench_{kind}.npz"
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        np.savez(file, **make_topics(kind))
    return dict(np.load(file))


def make_counts(n_datasets):
    """Datasets of 5 000 signal and 50 000 background events."""
    rng = np.random.default_rng(2)
    signal, background = (bin_probabilities(*TRUTH[name]) for name in TRUTH)
    counts = rng.multinomial(5_000, signal, n_datasets)
    return (counts + rng.multinomial(50_000, background, n_datasets)).astype(float)


# --- The target: replace this class to time another implementation ----------------


def contrasts(n):
    """Orthonormal contrasts of n logits, (n, n - 1)."""
    basis = np.zeros((n, n - 1))
    for j in range(1, n):
        basis[:j, j - 1], basis[j, j - 1] = 1.0 / j, -1.0
        basis[:, j - 1] *= np.sqrt(j / (j + 1.0))
    return basis


class TopicTarget:
    """Linear mixture with Dirichlet(1) topic weights and uniform fractions.

    Coordinates: isometric log ratios of the weights of the signal topics, of the
    background topics and of the two fractions. With ``w = softmax(V y)`` the Jacobian
    is ``prod_k w_k`` up to a constant, so that

        ln pi(y) = sum_i n_i ln p_i + sum_c sum_k ln w_ck + sum_c ln f_c.
    """

    def __init__(self, signal, background, counts):
        self.counts = counts
        self.topics = np.vstack([signal, background])
        self.transposed = np.ascontiguousarray(self.topics.T)
        n_signal, n = len(signal), len(self.topics)
        self.blocks = (slice(0, n_signal), slice(n_signal, n), slice(n, n + 2))
        self.basis = np.zeros((n + 2, n - 1))
        first = 0
        for block in self.blocks:
            size = block.stop - block.start
            self.basis[block, first : first + size - 1] = contrasts(size)
            first += size - 1
        self.members = np.zeros((n + 2, 3))
        for c, block in enumerate(self.blocks):
            self.members[block, c] = 1.0
        self.basis_transposed = np.ascontiguousarray(self.basis.T)
        self.buffers = None

    def subset(self, datasets):
        """Target of some datasets, with its own buffers."""
        other = object.__new__(TopicTarget)
        other.__dict__.update(self.__dict__, counts=self.counts[datasets], buffers=None)
        return other

    def kappa(self, position):
        """Signal fraction, (n_datasets, n_chains, 1)."""
        return 1.0 / (1.0 + np.exp(-np.sqrt(2.0) * position[..., -1:]))

    def __call__(self, position):
        weights, norm, phi, p, log_p, slope, full, gradient = self._buffers(position)
        n = len(self.topics)
        np.matmul(position, self.basis_transposed, out=weights)
        log_density = _softmax(weights, self.members, norm)
        np.matmul(weights[..., n:], self.members[:n, :2].T, out=phi)
        phi *= weights[..., :n]
        np.matmul(phi, self.topics, out=p)
        np.log(p, out=log_p)
        log_density += np.matmul(log_p, self.counts[:, :, None])[..., 0]
        np.divide(self.counts[:, None, :], p, out=p)
        np.matmul(p, self.transposed, out=slope)
        np.multiply(slope, phi, out=full[..., :n])
        np.matmul(full[..., :n], self.members[:n, :2], out=full[..., n:])
        _through_softmax(full, weights, self.members)
        return log_density, np.matmul(full, self.basis, out=gradient)

    def _buffers(self, position):
        shape = position.shape[:2]
        if self.buffers is None or self.buffers[0].shape[:2] != shape:
            n, n_bins = self.topics.shape
            sizes = (n + 2, n + 2, n, n_bins, n_bins, n, n + 2, n - 1)
            self.buffers = [np.empty((*shape, size)) for size in sizes]
        return self.buffers

    def mode(self, n_iterations=40):
        """Modes and Laplace covariances by damped Fisher scoring of all datasets."""
        position = np.zeros((len(self.counts), self.basis.shape[1]))
        position[:, -1] = np.log(0.1 / 0.9) / np.sqrt(2.0)
        damping = np.full(len(position), 1e-2)
        value, gradient, curvature = self._at(position)
        for _ in range(n_iterations):
            ridge = 1.0 + damping[:, None, None] * np.eye(position.shape[1])
            step = np.linalg.solve(curvature * ridge, gradient[..., None])[..., 0]
            step *= np.minimum(1.0, 3.0 / np.abs(step).max(axis=1, keepdims=True))
            new = self._at(position + step)
            better = new[0] >= value - 1e-9
            position[better] += step[better]
            for old, candidate in zip((value, gradient, curvature), new, strict=True):
                old[better] = candidate[better]
            damping *= np.where(better, 0.2, 5.0)
        return position, np.linalg.inv(curvature)

    def _at(self, position):
        """Log density, gradient and expected curvature at one point per dataset."""
        value, gradient = (a[:, 0].copy() for a in self(position[:, None]))
        weights, phi = self.buffers[0][:, 0], self.buffers[2][:, 0]
        n = phi.shape[1]
        fisher = np.matmul(
            self.topics * (self.counts / (phi @ self.topics) ** 2)[:, None],
            self.transposed,
        )
        jacobian = np.zeros((len(phi), n + 2, n))
        jacobian[:, np.arange(n), np.arange(n)] = phi
        curvature = np.zeros((len(phi), n + 2, n + 2))
        for c, block in enumerate(self.blocks):
            w = weights[:, block]
            spread = w[:, :, None] * (np.eye(w.shape[1]) - w[:, None, :])
            curvature[:, block, block] = w.shape[1] * spread
            if c < 2:
                jacobian[:, block, block] -= w[:, :, None] * phi[:, None, block]
                jacobian[:, n + c, block] = phi[:, block]
                jacobian[:, n + c] -= weights[:, n + c, None] * phi
        curvature += jacobian @ fisher @ jacobian.transpose(0, 2, 1)
        return value, gradient, self.basis.T @ curvature @ self.basis


def _softmax(logits, members, norm):
    """Turn logits into weights in place and return the sum of their logarithms.

    ``members`` (n_weights, n_blocks) says which weight belongs to which block.
    """
    logits -= logits.max(axis=-1, keepdims=True)
    total = logits.sum(axis=-1)
    np.exp(logits, out=logits)
    sums = np.matmul(logits, members)
    np.matmul(sums, members.T, out=norm)
    logits /= norm
    return total - np.matmul(np.log(sums), members.sum(axis=0))


def _through_softmax(slope, weights, members):
    """Turn d/dln w (likelihood only) into d/dlogit with the Jacobian, in place."""
    slope += 1.0
    slope -= weights * np.matmul(np.matmul(slope, members), members.T)


# --- The two sides ----------------------------------------------------------------


def ours_one(target, seed, n_jobs, n_leapfrog, n_chains=128, n_draws=200):
    """One dataset, its chains shared between the threads; kappa (n_chains, n_draws)."""
    copies = np.zeros(n_jobs, dtype=int)
    start, covariance = target.mode()
    draws = sample_posterior(
        lambda datasets: target.subset(copies[datasets]),
        start[copies],
        covariance[copies],
        np.random.SeedSequence(seed).spawn(n_jobs),
        monitor=target.kappa,
        n_chains=n_chains,
        n_draws=n_draws,
        max_draws=n_draws,
        n_leapfrog=n_leapfrog,
        batch_size=1,
        n_jobs=n_jobs,
    )
    return np.concatenate([values[..., 0] for values in draws.values])


def nuts_of(target):
    """NumPyro's sampler of the same model; returns run(counts, seed) -> kappa."""
    import jax
    import jax.numpy as jnp
    import numpyro
    from numpyro import distributions as dist
    from numpyro.infer import MCMC, NUTS

    signal, background = (jnp.array(target.topics[b]) for b in target.blocks[:2])

    def model(counts):
        w = numpyro.sample("signal", dist.Dirichlet(jnp.ones(len(signal))))
        v = numpyro.sample("background", dist.Dirichlet(jnp.ones(len(background))))
        kappa = numpyro.sample("kappa", dist.Uniform(0.0, 1.0))
        p = kappa * (w @ signal) + (1.0 - kappa) * (v @ background)
        numpyro.factor("likelihood", jnp.sum(counts * jnp.log(p)))

    settings = {"num_warmup": 1000, "num_samples": 1000, "num_chains": 4}
    chains = MCMC(NUTS(model), **settings, chain_method="parallel", progress_bar=False)

    def run(counts, seed):
        chains.run(jax.random.key(seed), jnp.array(counts))
        return np.asarray(chains.get_samples(group_by_chain=True)["kappa"], dtype=float)

    run(target.counts[0], 0)  # compiles
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
    pull = {
        "mean": (np.mean, mcse_mean),
        "sd": (np.std, mcse_sd),
    } | {
        f"{q:.1%}": (
            lambda x, q=q: np.quantile(x, q),
            lambda x, q=q: mcse_quantile(x, q),
        )
        for q in QUANTILES
    }
    return {
        name: float((f(ours) - f(theirs)) / np.hypot(error(ours), error(theirs))[0])
        for name, (f, error) in pull.items()
    }


def race(target, n_jobs, n_leapfrog, n_datasets=3):
    """Rates and agreement on the first datasets."""
    try:
        run = nuts_of(target)
    except ImportError:
        run = None
    rates, worst = [], 0.0
    for i in range(n_datasets):
        print(f"dataset {i}")
        single = target.subset([i])
        clock = time.perf_counter()
        ours = ours_one(single, i, n_jobs, n_leapfrog)
        rate = report_rate("sktamm", ours, time.perf_counter() - clock)
        if run is None:
            continue
        clock = time.perf_counter()
        theirs = run(single.counts[0], i + 1)
        rates.append(rate / report_rate("NumPyro", theirs, time.perf_counter() - clock))
        pulls = deviations(ours, theirs)
        worst = max(worst, *map(abs, pulls.values()))
        print("  pulls", {name: round(pull, 2) for name, pull in pulls.items()})
    if rates:
        print(f"ratio of rates {np.round(rates)}; largest pull {worst:.2f} (limit 4)")


def many(target, n_jobs, n_leapfrog):
    """Sample every dataset until kappa has bulk and tail ESS 400 and R-hat < 1.01."""
    clock = time.perf_counter()
    start, covariance = target.mode()
    found, cpu = time.perf_counter(), time.process_time()
    seeds = np.random.SeedSequence(3).spawn(len(start))
    draws = sample_posterior(
        target.subset,
        start,
        covariance,
        seeds,
        monitor=target.kappa,
        n_jobs=n_jobs,
        n_leapfrog=n_leapfrog,
    )
    end, cpu = time.perf_counter(), time.process_time() - cpu
    lengths = [values.shape[1] for values in draws.values]
    print(
        f"{len(start)} datasets: modes {found - clock:.1f} s, sampling "
        f"{end - found:.1f} s wall, {cpu:.1f} s processor"
    )
    print(
        f"  smallest ESS bulk {draws.ess_bulk.min():.0f} tail "
        f"{draws.ess_tail.min():.0f}, largest R-hat {draws.rhat.max():.4f}, "
        f"converged {draws.converged.mean():.1%}"
    )
    print(
        f"  draws per chain {np.mean(lengths):.0f} (at most {max(lengths)}), "
        f"divergences {draws.n_divergent.sum()}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--topics", choices=("lda", "nmf"), default="lda")
    parser.add_argument("--n-datasets", type=int, default=300)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--n-leapfrog", type=int, default=16)
    parser.add_argument("--part", choices=("race", "many", "all"), default="all")
    options = parser.parse_args()
    topics = load_topics(options.topics)
    target = TopicTarget(**topics, counts=make_counts(options.n_datasets))
    if options.part != "race":
        many(target, options.n_jobs, options.n_leapfrog)
    if options.part != "many":
        race(target, options.n_jobs, options.n_leapfrog)


if __name__ == "__main__":
    main()
