"""The Gaussian study: truncated normals of known density and wrong simulations.

Signal and background are correlated normals of two features restricted to a window,

    p(x) = kappa s(x) + (1 - kappa) b(x),   s, b ~ N(mean, covariance) in [-2, 2]^2,

and every simulation has a wrong mean, variance and covariance (arXiv:2604.02219).
Densities and templates are known: `gaussian_log_density`, `bin_probabilities`. Up to 20
features in independent pairs show what dimension does to a method.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sktamm._numerics import FloatArray, IntArray
from sktamm.datasets._arguments import RandomState, as_generator, check_count
from sktamm.datasets._gaussian_parameters import (
    GaussianParameters,
    as_target,
    check_n_features,
    draw_gaussian_parameters,
    feature_blocks,
)
from sktamm.datasets._truncated_normal import WINDOW, truncated_normal_sample
from sktamm.exceptions import InvalidInputError

__all__ = ["GaussianStudy", "make_gaussian_study"]


DEFAULT_SIMULATIONS = 10  # as in the published study


@dataclass(frozen=True, eq=False)
class GaussianStudy:
    """Labelled events of wrong simulations and a target of known signal fraction.

    Attributes
    ----------
    X : ndarray of shape (2 * n_simulations * n_events, n_features)
        Simulated events: background, then signal, each ordered by simulation.
    y : ndarray of int, shape (2 * n_simulations * n_events,)
        1 for signal, 0 for background.
    simulation : ndarray of int, shape (2 * n_simulations * n_events,)
        Simulation of every event, from 0 in both classes.
    X_target : ndarray of shape (n_signal + n_background, n_features)
        Events of the target in random order.
    y_target : ndarray of int, shape (n_signal + n_background,)
        True classes of the target's events, unknown to a measurement.
    kappa : float
        True signal fraction, n_signal / (n_signal + n_background).
    window : ndarray of shape (n_features, 2)
        Lower and upper end of the window of every feature.
    parameters : GaussianParameters
        Means and covariances of the simulations.
    target_parameters : GaussianParameters
        Means and covariances of the target, as one simulation.
    feature_names : tuple of str
        Names of the features.
    """

    X: FloatArray
    y: IntArray
    simulation: IntArray
    X_target: FloatArray
    y_target: IntArray
    kappa: float
    window: FloatArray
    parameters: GaussianParameters
    target_parameters: GaussianParameters
    feature_names: tuple[str, ...] = ("x0", "x1")


def make_gaussian_study(
    n_simulations: int | None = None,
    n_events: int = 20_000,
    n_signal: int = 5_000,
    n_background: int = 50_000,
    *,
    parameters: GaussianParameters | Mapping[str, ArrayLike] | None = None,
    target: GaussianParameters | Sequence[ArrayLike] | None = None,
    n_features: int = 2,
    random_state: RandomState = None,
) -> GaussianStudy:
    """Generate the Gaussian study, the published one or one of more features.

    The true signal is N((0, 0), I), the true background N((0, 1), [[3, .4], [.4, 3]]),
    and events are kept in [-2, 2]^2. All numbers of events count events that are kept.

    Further features come in independent pairs of which signal and background differ by
    a fifth as much, N((0, 0), I) and N((0, .2), [[1.4, .08], [.08, 1.4]]); a last
    single feature, or the only one, is the second of its pair. With the default numbers
    of events and both densities known, the standard error of kappa is

        ==========  =====  =====  =====  =====  =====  =====  =====
        n_features      1      2      4      6     10     16     20
        error       .0094  .0076  .0069  .0064  .0057  .0049  .0045
        ==========  =====  =====  =====  =====  =====  =====  =====

    Parameters
    ----------
    n_simulations : int, optional
        Simulations per class: by default 10, or all of ``parameters``.
    n_events : int
        Events of every simulation of every class inside the window.
    n_signal, n_background : int
        Events of the target inside the window, exactly.
    parameters : GaussianParameters or mapping, optional
        Means and covariances of the simulations instead of random ones; an open
        ``.npz`` file with these names works.
    target : GaussianParameters or sequence of four arrays, optional
        Another truth: signal mean and covariance, background mean and covariance, or
        one simulation as in ``parameters.take([3])``.
    n_features : int
        Features, 1 to 20, 2 as published; more leave a seed's first pairs as they are.
    random_state : int, Generator, RandomState or None
        Seed; a target does not depend on the simulations, nor they on their number.

    Returns
    -------
    study : GaussianStudy
        Events, labels and the truth behind them.

    References
    ----------
    Alvarez, Benevedes, Szewc, Thaler, "Many Wrongs Make a Right", arXiv:2604.02219.

    Examples
    --------
    >>> from sktamm.datasets import make_gaussian_study
    >>> study = make_gaussian_study(3, 100, 50, 500, random_state=0)
    >>> study.X.shape, study.X_target.shape, round(study.kappa, 4)
    ((600, 2), (550, 2), 0.0909)
    """
    check_n_features(n_features)
    check_count("n_events", n_events, 1)
    check_count("n_signal", n_signal, 0)
    check_count("n_background", n_background, 0)
    check_count("n_signal + n_background", n_signal + n_background, 1)
    rng_parameters, rng_events, rng_target = as_generator(random_state).spawn(3)
    chosen = _choose_parameters(parameters, n_simulations, n_features, rng_parameters)
    truth = as_target(target, n_features)
    for name, given in (("parameters", chosen), ("target", truth)):
        if given.n_features != n_features:
            raise InvalidInputError(
                f"{name} must have n_features={n_features} features; got "
                f"{given.n_features}."
            )
    X, y, simulation = _simulate(chosen, n_events, rng_events)
    X_target, y_target = _draw_target(truth, n_signal, n_background, rng_target)
    return GaussianStudy(
        X=X,
        y=y,
        simulation=simulation,
        X_target=X_target,
        y_target=y_target,
        kappa=n_signal / (n_signal + n_background),
        window=np.tile(WINDOW, (n_features, 1)),
        parameters=chosen,
        target_parameters=truth,
        feature_names=tuple(f"x{i}" for i in range(n_features)),
    )


def _choose_parameters(
    parameters: GaussianParameters | Mapping[str, ArrayLike] | None,
    n_simulations: int | None,
    n_features: int,
    rng: np.random.Generator,
) -> GaussianParameters:
    """Use the parameters that were given, or draw them."""
    if n_simulations is not None:
        check_count("n_simulations", n_simulations, 1)
    if parameters is None:
        n = DEFAULT_SIMULATIONS if n_simulations is None else n_simulations
        return draw_gaussian_parameters(n, rng, n_features)
    given = parameters
    if not isinstance(given, GaussianParameters):
        given = GaussianParameters.from_mapping(given)
    if n_simulations is None:
        return given
    if n_simulations > given.n_simulations:
        raise InvalidInputError(
            f"n_simulations must not exceed the {given.n_simulations} simulations that "
            f"parameters holds; got {n_simulations}."
        )
    return given.take(slice(n_simulations))


def _simulate(
    parameters: GaussianParameters, n_events: int, rng: np.random.Generator
) -> tuple[FloatArray, IntArray, IntArray]:
    """Labelled events of all simulations, background before signal."""
    n, d = parameters.signal_means.shape
    background, signal = rng.spawn(2)
    classes = (
        (parameters.background_means, parameters.background_covariances, background),
        (parameters.signal_means, parameters.signal_covariances, signal),
    )
    X = np.empty((2, n, n_events, d))
    for events, (means, covariances, stream) in zip(X, classes, strict=True):
        for k, child in enumerate(stream.spawn(n)):
            events[k] = _sample(means[k], covariances[k], n_events, child, child)
    y = np.repeat(np.arange(2), n * n_events)
    simulation = np.tile(np.repeat(np.arange(n), n_events), 2)
    return X.reshape(-1, d), y, simulation


def _draw_target(
    truth: GaussianParameters,
    n_signal: int,
    n_background: int,
    rng: np.random.Generator,
) -> tuple[FloatArray, IntArray]:
    """Events of the target and their classes, in random order."""
    further_signal, further_background = rng.spawn(2)
    means, covariances = truth.signal_means[0], truth.signal_covariances[0]
    signal = _sample(means, covariances, n_signal, rng, further_signal)
    means, covariances = truth.background_means[0], truth.background_covariances[0]
    background = _sample(means, covariances, n_background, rng, further_background)
    order = rng.permutation(n_signal + n_background)
    y = np.repeat(np.array([1, 0]), [n_signal, n_background])
    return np.concatenate([signal, background])[order], y[order]


def _sample(
    mean: FloatArray,
    covariance: FloatArray,
    n: int,
    rng: np.random.Generator,
    rng_further: np.random.Generator,
) -> FloatArray:
    """Draw block by block: the first from ``rng``, the others from spawned streams."""
    blocks = feature_blocks(len(mean))
    streams = [rng, *rng_further.spawn(len(blocks) - 1)]
    events = np.empty((n, len(mean)))
    for block, stream in zip(blocks, streams, strict=True):
        window = np.tile(WINDOW, (block.stop - block.start, 1))
        events[:, block] = truncated_normal_sample(
            mean[block], covariance[block, block], window, n, stream
        )
    return events
