"""Topics of the Gaussian study: our fit against scikit-learn's LDA, time and quality.

Run from the root of the repository:

    PYTHONPATH=. python tests/benchmarks/bench_topics.py

Per class 300 simulations, binned exactly, multinomial counts; 90 % train, 10 % are held
out. A held-out simulation is halved: its topic shares are fitted to one half (by the
same function for both sides), the other half measures the log likelihood per event.
"""

import argparse
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.decomposition import LatentDirichletAllocation

from sktamm.templates._topics import TopicModel, topic_shares

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "gaussian_msds.npz"
WINDOW, N_BINS, POINTS_PER_BIN = 2.0, 10, 20
TRUTH = {
    "signal": ([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]]),
    "background": ([0.0, 1.0], [[3.0, 0.4], [0.4, 3.0]]),
}


class Sample(NamedTuple):
    """Counts of one class, and the exact bin probabilities behind them."""

    train: np.ndarray
    train_probability: np.ndarray
    fit_half: np.ndarray
    test_half: np.ndarray
    test_probability: np.ndarray


def bin_probabilities(mean, covariance):
    """Integrate a normal over the bins by the midpoint rule; sum one in the window."""
    n = N_BINS * POINTS_PER_BIN
    x = (np.arange(n) + 0.5) * 2 * WINDOW / n - WINDOW
    points = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1) - np.asarray(mean)
    precision = np.linalg.inv(covariance)
    density = np.exp(-0.5 * np.einsum("xyi,ij,xyj->xy", points, precision, points))
    shape = (N_BINS, POINTS_PER_BIN, N_BINS, POINTS_PER_BIN)
    content = density.reshape(shape).sum(axis=(1, 3)).ravel()
    return content / content.sum()


def draw_sample(parameters, name, n_events, rng):
    """Draw the counts of one class and split its simulations 90 : 10."""
    pairs = zip(
        parameters[f"{name}_means"], parameters[f"{name}_covariances"], strict=True
    )
    probability = np.array([bin_probabilities(*pair) for pair in pairs])
    counts = rng.multinomial(n_events, probability)
    order = rng.permutation(len(counts))
    test, train = order[: len(order) // 10], order[len(order) // 10 :]
    half = rng.binomial(counts[test], 0.5)
    return Sample(
        counts[train].astype(float),
        probability[train],
        half.astype(float),
        (counts[test] - half).astype(float),
        probability[test],
    )


def fit_ours(train, n_topics, denoise=True):
    """Return seconds, topics and shares of our fit."""
    start = time.perf_counter()
    model = TopicModel(n_topics, denoise=denoise).fit(train)
    return time.perf_counter() - start, model.topics_, model.shares_


def fit_reference(train, n_topics):
    """Return seconds, topics and shares of scikit-learn's fit."""
    start = time.perf_counter()
    model = LatentDirichletAllocation(
        n_topics,
        learning_method="batch",
        max_iter=50,
        doc_topic_prior=1.0,
        topic_word_prior=1.0,
        random_state=0,
    ).fit(train)
    seconds = time.perf_counter() - start
    topics = model.components_ / model.components_.sum(axis=1, keepdims=True)
    return seconds, topics, model.transform(train)


def divergence(truth, model):
    """Return KL(truth | model) of each row."""
    return (truth * np.log(truth / model)).sum(axis=1)


def quality(sample, truth, topics):
    """Held-out log likelihoods, mean KL of the held-out fits, KL of the true class."""
    fitted = topic_shares(sample.fit_half, topics) @ topics
    likelihood = (sample.test_half * np.log(fitted)).sum(axis=1)
    likelihood /= sample.test_half.sum(axis=1)
    n_asimov = 1e8  # so many events that only representability limits the fit
    nearest = topic_shares(n_asimov * truth, topics, max_iter=30_000) @ topics
    return (
        likelihood,
        divergence(sample.test_probability, fitted).mean(),
        divergence(truth, nearest)[0],
    )


def prior_width(sample, topics, alpha):
    """Chi-square variance of Dirichlet(alpha) mixtures over that of the simulations."""
    centre = sample.train_probability.mean(axis=0)
    mean = alpha / alpha.sum()
    spread = mean @ (topics - mean @ topics) ** 2 / (alpha.sum() + 1.0)
    observed = (sample.train_probability - centre).var(axis=0)
    return (spread / centre).sum() / (observed / centre).sum()


def report(name, label, seconds, sample, truth, topics, shares):
    """Print one line and return the held-out log likelihoods."""
    likelihood, kl_test, kl_truth = quality(sample, truth, topics)
    n_topics = len(topics)
    uniform = (n_topics - 1) / n_topics / (n_topics + 1)
    print(
        f"{name:10s} {label:12s} {seconds:8.3f} s   held-out {likelihood.mean():.7f}"
        f"   KL x 1e5: held-out {1e5 * kl_test:.2f}, truth {1e5 * kl_truth:.3f}"
        f"   share variance / uniform {shares.var(axis=0).sum() / uniform:.3f}"
        f"   prior / simulations: flat"
        f" {prior_width(sample, topics, np.ones(n_topics)):.2f}"
    )
    return likelihood


def compare(name, sample, n_topics, ours):
    """Fit both sides; return seconds of each and the paired held-out difference."""
    truth = bin_probabilities(*TRUTH[name])[None]
    seconds, likelihood = [], []
    for label, fit in (("scikit-learn", fit_reference), ("sktamm", ours)):
        result = fit(sample.train, n_topics)
        seconds.append(result[0])
        likelihood.append(report(name, label, result[0], sample, truth, *result[1:]))
    gain = likelihood[1] - likelihood[0]
    error = gain.std(ddof=1) / np.sqrt(len(gain))
    print(f"{name:10s} held-out gain per event {gain.mean():+.2e} +- {error:.1e}")
    return np.array(seconds)


def main():
    """Run both classes and print the ratio of the total times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--topics", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--raw", action="store_true", help="without denoising")
    options = parser.parse_args()
    ours = partial(fit_ours, denoise=not options.raw)
    parameters = np.load(options.data)
    rng = np.random.default_rng(options.seed)
    total = np.zeros(2)
    for name in TRUTH:
        sample = draw_sample(parameters, name, options.events, rng)
        total += compare(name, sample, options.topics, ours)
    print(
        f"total: scikit-learn {total[0]:.2f} s, sktamm {total[1]:.3f} s,"
        f" ratio {total[0] / total[1]:.0f}"
    )


if __name__ == "__main__":
    main()
