"""The Gaussian study: published and drawn truths, two to twenty features."""

import numpy as np
from cases import Case, Study, from_sources

from sktamm.datasets import (
    draw_gaussian_parameters,
    gaussian_log_density,
    make_gaussian_study,
)

SIMULATIONS = 6


def _case(rng, size, d, drawn):
    seed = int(rng.integers(2**31))
    parameters = draw_gaussian_parameters(SIMULATIONS + 1, seed, d)
    target = parameters.take([SIMULATIONS]) if drawn else None
    own = make_gaussian_study(1, 1, target=target, n_features=d, random_state=seed)
    truth = own.target_parameters
    settings = [parameters.take([k]) for k in range(SIMULATIONS)]

    def draw(c, setting, n):
        n_events = (n, 0) if c == 1 else (0, n)
        return make_gaussian_study(
            1, 1, *n_events, target=setting, n_features=d, random_state=rng
        ).X_target

    def densities(X):
        log = [
            gaussian_log_density(X, mean, covariance)[:, 0]
            for mean, covariance in (
                (truth.background_means, truth.background_covariances),
                (truth.signal_means, truth.signal_covariances),
            )
        ]
        return np.exp(np.stack(log, axis=1))

    kappas = (1 / 11, 0.15, 0.4)
    return from_sources(
        draw, settings, truth, size, rng, densities=densities, kappas=kappas
    )


def _study(d, drawn):
    name = f"Gaussian, {d} features, {'drawn' if drawn else 'published'} truth"

    def draw(rng, size) -> Case:
        return _case(rng, size, d, drawn)

    return Study(name, draw, d, sealed=d in (3, 20), seal=1 + (d == 3))


STUDIES = [_study(2, False)] + [_study(d, True) for d in (2, 3, 5, 10, 20)]
