"""How well networks know exact ratios after how much training.

Usage: python tests/benchmarks/bench_training.py [--features 2] [--events 100000]
           [--members 2] [EPOCHS:RATE ...]

Ten simulations of both classes of the Gaussian study, whose densities are known. For
every training: processor seconds, the mean Kullback-Leibler divergence of the exact
probabilities of the sources from the learned ones (times 10^5), that of the members'
mean, and the root mean square error of the mean log ratios. "auto:auto" is the default.
"""

import argparse
import time

import numpy as np

from sktamm.datasets import (
    draw_gaussian_parameters,
    gaussian_log_density,
    make_gaussian_study,
)
from sktamm.learning import TorchMLPClassifier

DEFAULT = ["auto:auto", "20:1e-3", "7:1e-3", "7:3e-3", "7:5e-3"]


def events_of(parameters, n_events, seed):
    """Events and numbers of their sources, background first."""
    study = make_gaussian_study(
        parameters=parameters,
        n_events=n_events,
        n_features=parameters.n_features,
        random_state=seed,
    )
    number = np.asarray(study.y, int) * parameters.n_simulations
    return np.asarray(study.X), number + np.asarray(study.simulation, int)


def exact(X, parameters):
    """Log probabilities of the sources."""
    logs = np.hstack(
        [
            gaussian_log_density(
                X, parameters.background_means, parameters.background_covariances
            ),
            gaussian_log_density(
                X, parameters.signal_means, parameters.signal_covariances
            ),
        ]
    )
    return logs - np.logaddexp.reduce(logs, axis=1, keepdims=True)


def value_of(text, kind):
    return text if text == "auto" else kind(text)


def line(training, options, data, held_out, truth):
    """Train once, and say how well."""
    epochs, rate = training.split(":")
    network = TorchMLPClassifier(
        activation="gelu",
        n_members=options.members,
        max_epochs=value_of(epochs, int),
        learning_rate=value_of(rate, float),
        random_state=0,
        device=options.device,
    )
    start = time.process_time()
    network.fit(*data)
    seconds = time.process_time() - start
    members = network.predict_member_log_proba(held_out)
    mean = network.predict_log_proba(held_out)
    share = np.exp(truth)
    divergence = [(share * (truth - own)).sum(axis=1).mean() for own in members]
    error = members.mean(axis=0) - truth
    error -= error.mean(axis=1, keepdims=True)
    of_mean = (share * (truth - mean)).sum(axis=1).mean()
    return (
        f"| {training} | {network.n_epochs_} | {seconds:.0f} | "
        f"{1e5 * np.mean(divergence):.1f} | {1e5 * of_mean:.1f} | {error.std():.4f} |"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trainings", nargs="*", default=DEFAULT)
    parser.add_argument("--features", type=int, default=2)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--members", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    parameters = draw_gaussian_parameters(10, [options.features, 0], options.features)
    data = events_of(parameters, options.events, 1)
    held_out, _ = events_of(parameters, 3_000, 2)
    truth = exact(held_out, parameters)
    print("| epochs:rate | epochs | CPU s | members | mean | RMS |")
    print("|---|---|---|---|---|---|")
    for training in options.trainings:
        print(line(training, options, data, held_out, truth), flush=True)


if __name__ == "__main__":
    main()
