"""Means and covariances of the Gaussian study: the truth, and simulations that miss it.

Features come in independent pairs (0, 1), (2, 3), ..., the last one perhaps without its
first feature. Pair 0 is the published study, f = 1; further ones have f = .2,

    signal N((0, 0), I), background N((0, f), [[1 + 2f, .4f], [.4f, 1 + 2f]]),

and simulations that miss the truth by half as much.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sktamm._numerics import FloatArray
from sktamm.datasets._arguments import RandomState, as_generator, check_count
from sktamm.datasets._truncated_normal import check_covariances
from sktamm.exceptions import InvalidInputError

__all__ = [
    "GaussianParameters",
    "as_target",
    "check_block_diagonal",
    "check_n_features",
    "draw_gaussian_parameters",
    "feature_blocks",
]


MAX_FEATURES = 20  # rule of thumb: ten pairs show what dimension does
# Differences of signal and background, in units of the published ones.
FURTHER_DIFFERENCE = 0.2
# Misspecification, in units of the published one.
FURTHER_SHIFT = 0.5

# The published recipe, arXiv:2604.02219.
SPREAD = 0.1
MIN_MEAN_SHIFT = 0.1
MIN_VARIANCE_SHIFT = 0.1
MIN_COVARIANCE_SHIFT = 0.05

# Fixed, so that the first parameters of a seed do not depend on how many are drawn.
_PARAMETER_BATCH = 256


def feature_blocks(n_features: int) -> list[slice]:
    """Independent blocks of features: pairs, and a last single one if odd."""
    return [slice(i, min(i + 2, n_features)) for i in range(0, n_features, 2)]


def check_block_diagonal(name: str, covariances: FloatArray) -> None:
    """Refuse covariances that connect features of different pairs."""
    pair = np.arange(covariances.shape[-1]) // 2
    if covariances[..., pair[:, None] != pair].any():
        raise InvalidInputError(
            f"{name} must be block diagonal for more than two features: only the pairs "
            "(0, 1), (2, 3), ... may have a covariance other than 0."
        )


@dataclass(frozen=True, eq=False)
class GaussianParameters:
    """Means and covariances of K simulations of both classes.

    Attributes
    ----------
    signal_means, background_means : ndarray of shape (n_simulations, n_features)
        Means before truncation.
    signal_covariances, background_covariances : ndarray of shape \
            (n_simulations, n_features, n_features)
        Covariances before truncation, within the pairs of features (0, 1), (2, 3), ...
    """

    signal_means: FloatArray
    signal_covariances: FloatArray
    background_means: FloatArray
    background_covariances: FloatArray

    def __post_init__(self) -> None:
        """Refuse shapes that disagree and covariances that are not one."""
        n, d = (*np.shape(self.signal_means), 0, 0)[:2]
        for name, shape in zip(_NAMES, ((n, d), (n, d, d)) * 2, strict=True):
            value = getattr(self, name)
            if value.shape != shape or n == 0 or d == 0:
                raise InvalidInputError(
                    f"{name} must have the shape (n_simulations, n_features) for means "
                    "and (n_simulations, n_features, n_features) for covariances, with "
                    f"the same numbers in all, at least 1 and here {n} and {d}; got "
                    f"{value.shape}."
                )
            if name.endswith("covariances"):
                check_covariances(name, value)
                check_block_diagonal(name, value)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, ArrayLike]) -> Self:
        """Read the four arrays, by name, from an open ``.npz`` file for example."""
        missing = [name for name in _NAMES if name not in mapping]
        if missing:
            raise InvalidInputError(
                f"parameters must hold {', '.join(_NAMES)}; missing: "
                f"{', '.join(missing)}."
            )
        return cls(*(np.asarray(mapping[name], dtype=float) for name in _NAMES))

    @property
    def n_simulations(self) -> int:
        """Number of simulations per class."""
        return len(self.signal_means)

    @property
    def n_features(self) -> int:
        """Number of features."""
        return self.signal_means.shape[1]

    def take(self, indices: Sequence[int] | NDArray[Any] | slice) -> Self:
        """Pick simulations, the same ones for both classes, in the order given."""
        chosen = indices if isinstance(indices, slice) else np.asarray(indices)
        return type(self)(*(getattr(self, name)[chosen] for name in _NAMES))


_NAMES = tuple(f.name for f in fields(GaussianParameters))


def draw_gaussian_parameters(
    n_simulations: int, random_state: RandomState = None, n_features: int = 2
) -> GaussianParameters:
    """Draw means and covariances of misspecified simulations by the published recipe.

    With ``(mu, v, c)`` the true mean, common variance and covariance of a class,

        mean_0 ~ N(mu_0, .1),  mean_1 ~ N(mu_1 -+ .1, .1) (- signal, + background),
        variance ~ abs(N(v, .1)),  covariance ~ N(c, .1),

    and a draw is kept only if its mean is shifted by more than .1, its variance by more
    than .1, its covariance by more than .05, and it is positive definite. The shift of
    the mean is the length of the vector.

    Features after the first two are drawn in pairs, with half of all these numbers.

    Parameters
    ----------
    n_simulations : int
        Number of simulations per class.
    random_state : int, Generator, RandomState or None
        Seed; more simulations or features leave the first ones as they are.
    n_features : int
        Number of features, 1 to 20.

    Returns
    -------
    parameters : GaussianParameters
        Parameters of ``n_simulations`` signals and backgrounds.

    Examples
    --------
    >>> from sktamm.datasets import draw_gaussian_parameters
    >>> parameters = draw_gaussian_parameters(100, random_state=0)
    >>> parameters.take([0, 3]).signal_covariances.shape
    (2, 2, 2)
    """
    check_count("n_simulations", n_simulations, 1)
    check_n_features(n_features)
    rng_signal, rng_background = as_generator(random_state).spawn(2)
    truth = _true_pairs(n_features)
    means, covariances = truth.signal_means[0], truth.signal_covariances[0]
    signal = _draw_class(means, covariances, -SPREAD, n_simulations, rng_signal)
    means, covariances = truth.background_means[0], truth.background_covariances[0]
    background = _draw_class(means, covariances, SPREAD, n_simulations, rng_background)
    return _choose_features(GaussianParameters(*signal, *background), n_features)


def _draw_class(
    mean: FloatArray,
    covariance: FloatArray,
    offset: float,
    n: int,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Means and covariances of ``n`` simulations of one class, all in full pairs."""
    pairs = feature_blocks(len(mean))
    means = np.empty((n, len(mean)))
    covariances = np.zeros((n, len(mean), len(mean)))
    # Pair 0 draws from the stream itself: the published study of every seed.
    streams = [rng, *rng.spawn(len(pairs) - 1)]
    for i, (pair, stream) in enumerate(zip(pairs, streams, strict=True)):
        scale = FURTHER_SHIFT if i else 1.0
        means[:, pair], covariances[:, pair, pair] = _draw_pair(
            mean[pair], covariance[pair, pair], offset, scale, n, stream
        )
    return means, covariances


def _draw_pair(
    mean: FloatArray,
    covariance: FloatArray,
    offset: float,
    scale: float,
    n: int,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Means and covariances of ``n`` accepted simulations of one pair of features."""
    true = np.array([mean[0], mean[1], covariance[0, 0], covariance[0, 1]])
    centre = true + scale * np.array([0.0, offset, 0.0, 0.0])
    accepted = np.empty((0, 4))
    while len(accepted) < n:
        draw = centre + scale * SPREAD * rng.standard_normal((_PARAMETER_BATCH, 4))
        draw[:, 2] = np.abs(draw[:, 2])
        kept = draw[_is_misspecified(draw, true, scale)]
        accepted = np.concatenate([accepted, kept])
    m0, m1, variance, covariance_01 = accepted[:n].T
    covariances = np.array([[variance, covariance_01], [covariance_01, variance]])
    return np.column_stack([m0, m1]), np.moveaxis(covariances, -1, 0)


def _is_misspecified(
    draw: FloatArray, true: FloatArray, scale: float
) -> NDArray[np.bool_]:
    """Whether (mean_0, mean_1, variance, covariance) differs enough from the truth."""
    shift = np.abs(draw - true)
    return (
        (np.linalg.norm(shift[:, :2], axis=1) > scale * MIN_MEAN_SHIFT)
        & (shift[:, 2] > scale * MIN_VARIANCE_SHIFT)
        & (shift[:, 3] > scale * MIN_COVARIANCE_SHIFT)
        & (draw[:, 2] > np.abs(draw[:, 3]))  # eigenvalues are variance +- covariance
    )


def _true_pairs(n_features: int) -> GaussianParameters:
    """Truth of all pairs that hold at least one of the features."""
    n_pairs = len(feature_blocks(n_features))
    # Published: mean (0, 1), variance 1 + 2, covariance .4 of the background.
    difference = np.repeat([1.0, FURTHER_DIFFERENCE], [1, n_pairs - 1])
    means = np.kron(difference, [0.0, 1.0])
    pair = np.array([[2.0, 0.4], [0.4, 2.0]])
    identity = np.eye(2 * n_pairs)
    return GaussianParameters(
        signal_means=np.zeros((1, 2 * n_pairs)),
        signal_covariances=identity[None],
        background_means=means[None],
        background_covariances=(identity + np.kron(np.diag(difference), pair))[None],
    )


def _choose_features(pairs: GaussianParameters, n_features: int) -> GaussianParameters:
    """Of full pairs, all features but the first one of the last pair if odd."""
    chosen = np.arange(n_features)
    chosen[-1] = pairs.n_features - 1
    return GaussianParameters(
        pairs.signal_means[:, chosen],
        pairs.signal_covariances[:, chosen[:, None], chosen],
        pairs.background_means[:, chosen],
        pairs.background_covariances[:, chosen[:, None], chosen],
    )


def as_target(
    target: GaussianParameters | Sequence[ArrayLike] | None, n_features: int
) -> GaussianParameters:
    """Truth of the target as the parameters of one simulation."""
    if target is None:
        return _choose_features(_true_pairs(n_features), n_features)
    if not isinstance(target, GaussianParameters):
        values: list[Any] = [np.asarray(value, dtype=float)[None] for value in target]
        if len(values) != len(_NAMES):
            raise InvalidInputError(
                "target must hold four arrays: signal mean and covariance, background "
                f"mean and covariance; got {len(values)}."
            )
        target = GaussianParameters(*values)
    if target.n_simulations != 1:
        raise InvalidInputError(
            "target must hold the parameters of one simulation; got "
            f"{target.n_simulations}."
        )
    return target


def check_n_features(n_features: int) -> None:
    """Refuse numbers of features that the study does not know."""
    if not isinstance(n_features, Integral) or not 1 <= n_features <= MAX_FEATURES:
        raise InvalidInputError(
            f"n_features must be an integer from 1 to {MAX_FEATURES}; got "
            f"{n_features!r}."
        )
