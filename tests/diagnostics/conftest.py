"""One feature, known densities: estimators whose answers can be checked by hand."""

import numpy as np
import pytest

from sktamm import BinnedTopicTAMM

EDGES = [np.linspace(-4.0, 6.0, 13)]


def simulate(n_simulations, n_events, seed, spread=0.15):
    """Background N(m, 1) and signal N(2 + m, 0.8), m ~ N(0, spread) per simulation."""
    rng = np.random.default_rng(seed)
    shifts = rng.normal(0.0, spread, (2, n_simulations))
    X, y, ids = [], [], []
    for c, (mean, width) in enumerate(((0.0, 1.0), (2.0, 0.8))):
        for k in range(n_simulations):
            X.append(rng.normal(mean + shifts[c, k], width, n_events))
            y.append(np.full(n_events, c))
            ids.append(np.full(n_events, k))
    X = np.clip(np.concatenate(X), -3.99, 5.99)[:, None]
    return X, np.concatenate(y), np.concatenate(ids)


def draw_target(n_background, n_signal, seed, shifts=(0.0, 0.0)):
    """Events of the target, and their classes."""
    rng = np.random.default_rng(seed)
    X = np.concatenate(
        [
            rng.normal(shifts[0], 1.0, n_background),
            rng.normal(2.0 + shifts[1], 0.8, n_signal),
        ]
    )
    y = np.repeat([0, 1], [n_background, n_signal])
    return np.clip(X, -3.99, 5.99)[:, None], y


def make(n_simulations=6, n_events=20_000, seed=0, **settings):
    X, y, ids = simulate(n_simulations, n_events, seed)
    return BinnedTopicTAMM(bins=EDGES, **settings).fit(X, y, simulation=ids)


@pytest.fixture(scope="session")
def fitted():
    return make()


@pytest.fixture(scope="session")
def linear():
    return make(form="linear", inference="frequentist")


@pytest.fixture(scope="session")
def target():
    return draw_target(3000, 1000, 1)


@pytest.fixture(scope="session")
def tools():
    """The functions above, for tests that vary their arguments."""
    return {"make": make, "draw_target": draw_target, "simulate": simulate}
