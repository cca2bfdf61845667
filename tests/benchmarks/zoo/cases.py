"""What a study of the zoo yields: simulations, targets of known fraction, the truth.

A `Study` draws a `Case` for every number of a set; every random number of a case comes
from the study's name and that number, so that all rows see the same case.
"""

import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

KAPPAS = (0.05, 0.15, 0.4)
CACHE = Path(os.environ.get("SKTAMM_CACHE", Path.home() / ".cache/sktamm"))


@dataclass(frozen=True)
class Size:
    """Events of a simulation of a class, and of a target."""

    simulated: int
    target: int


# The small size, one set of all studies and rows, ends in 15 minutes on two cores.
SMALL, FULL = Size(2_000, 3_000), Size(20_000, 10_000)


@dataclass(frozen=True)
class Case:
    """Simulations and targets of one set.

    Attributes
    ----------
    X, y, simulation
        Training data as `fit` takes them; X holds events, or histograms.
    targets : list of (X, kappa)
        Targets and their true fractions.
    truth : tuple (X, y) or None
        Labelled events of the truth, for the row that knows it.
    densities : callable or None
        Densities of background and signal under the truth, (n_events, 2).
    weight : array or None
        Weights of the simulated events.
    """

    X: Any
    y: Any
    simulation: Any
    targets: list[tuple[Any, float]]
    truth: tuple[Any, Any] | None = None
    densities: Callable[[np.ndarray], np.ndarray] | None = None
    weight: Any = None


@dataclass(frozen=True)
class Study:
    """One study of the zoo.

    Attributes
    ----------
    name : str
        Of the study in the table.
    draw : callable
        ``draw(rng, size) -> Case``.
    n_features : int
        Number of features; 0 for histograms.
    sealed : bool
        Whether the study is kept for the final table: no choice may look at it.
    seal : int
        The seal of a sealed study: 1 was broken when the defaults of estimators were
        fixed, 2 when `AutoTAMM` was.
    n_sets : int or None
        Number of sets there are, where data limit it.
    numbered : bool
        Whether ``draw`` takes the number of the set as well.
    """

    name: str
    draw: Callable[..., Case]
    n_features: int
    sealed: bool = False
    n_sets: int | None = None
    numbered: bool = False
    seal: int = 1

    def case(self, number: int, size: Size) -> Case:
        """The case of a set."""
        rng = np.random.default_rng([zlib.crc32(self.name.encode()), number])
        return self.draw(rng, size, number) if self.numbered else self.draw(rng, size)


def chosen(studies: list[Study], parts: list[str], sealed: bool) -> list[Study]:
    """Studies with a part of their name among ``parts``; sealed ones if asked for."""
    return [
        study
        for study in studies
        if any(part in study.name for part in parts) and (sealed or not study.sealed)
    ]


def from_sources(
    draw: Callable[[int, Any, int], np.ndarray],
    settings: list[Any],
    truth: Any,
    size: Size,
    rng: np.random.Generator,
    *,
    densities: Callable | None = None,
    kappas: tuple[float, ...] = KAPPAS,
    sizes: list[int] | None = None,
) -> Case:
    """Case of a generator ``draw(class, setting, n)`` at several settings.

    The last argument gives every simulation its own number of events.
    """
    sizes = [size.simulated] * len(settings) if sizes is None else sizes
    sources = [(c, k) for c in (0, 1) for k in range(len(settings))]
    X = np.concatenate([draw(c, settings[k], sizes[k]) for c, k in sources])
    y = np.concatenate([np.full(sizes[k], c) for c, k in sources])
    simulation = np.concatenate([np.full(sizes[k], k) for c, k in sources])
    targets = []
    for kappa in kappas:
        signal = rng.binomial(size.target, kappa)
        parts = draw(0, truth, size.target - signal), draw(1, truth, signal)
        targets.append((rng.permutation(np.concatenate(parts)), kappa))
    labelled = [draw(c, truth, size.simulated) for c in (0, 1)]
    right = np.concatenate(labelled), np.repeat([0, 1], size.simulated)
    return Case(X, y, simulation, targets, right, densities)


def exact_posterior(densities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Posterior of the fraction of known densities, (n_events, 2), on a fine grid."""
    size = densities.mean(axis=1)
    base, slope = densities[:, 0] / size, np.diff(densities, axis=1)[:, 0] / size
    grid = np.linspace(0.0, 1.0, 4001)[1:-1]
    value = np.array([np.log(base + kappa * slope).sum() for kappa in grid])
    weight = np.exp(value - value.max())
    return grid, weight / weight.sum()
