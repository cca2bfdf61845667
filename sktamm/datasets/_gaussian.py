"""The published Gaussian study: two truncated normals and simulations that miss them.

Signal and background are correlated normals of two features restricted to a window,

    p(x) = kappa s(x) + (1 - kappa) b(x),   s, b ~ N(mean, covariance) in [-2, 2]^2,

and every simulation has a wrong mean, variance and covariance. Densities are known, so
exact templates (:func:`sktamm.datasets.bin_probabilities`) stand beside samples.
Definition: arXiv:2604.02219.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sktamm.datasets._truncated_normal import (
    check_covariances,
    truncated_normal_sample,
)
from sktamm.exceptions import InvalidInputError

__all__ = [
    "GaussianParameters",
    "GaussianStudy",
    "draw_gaussian_parameters",
    "make_gaussian_study",
]

FloatArray = NDArray[np.float64]
RandomState = int | np.random.Generator | np.random.RandomState | None

WINDOW = ((-2.0, 2.0), (-2.0, 2.0))
SPREAD = 0.1
MIN_MEAN_SHIFT = 0.1
MIN_VARIANCE_SHIFT = 0.1
MIN_COVARIANCE_SHIFT = 0.05
DEFAULT_SIMULATIONS = 10

# Fixed, so that the first parameters of a seed do not depend on how many are drawn.
_PARAMETER_BATCH = 256


@dataclass(frozen=True, eq=False)
class GaussianParameters:
    """Means and covariances of K simulations of both classes.

    Attributes
    ----------
    signal_means : ndarray of shape (n_simulations, 2)
        Means of the signal before the window is applied.
    signal_covariances : ndarray of shape (n_simulations, 2, 2)
        Covariances of the signal before the window is applied.
    background_means : ndarray of shape (n_simulations, 2)
        Means of the background.
    background_covariances : ndarray of shape (n_simulations, 2, 2)
        Covariances of the background.

    Examples
    --------
    >>> from sktamm.datasets import draw_gaussian_parameters
    >>> parameters = draw_gaussian_parameters(5, random_state=0)
    >>> parameters.take([0, 3]).signal_covariances.shape
    (2, 2, 2)
    """

    signal_means: FloatArray
    signal_covariances: FloatArray
    background_means: FloatArray
    background_covariances: FloatArray

    def __post_init__(self) -> None:
        """Refuse shapes that disagree and covariances that are not one."""
        n = len(self.signal_means)
        for name, shape in zip(_NAMES, ((n, 2), (n, 2, 2)) * 2, strict=True):
            value = getattr(self, name)
            if value.shape != shape or n == 0:
                raise InvalidInputError(
                    f"{name} must have the shape (n_simulations, 2) for means and "
                    f"(n_simulations, 2, 2) for covariances with one and the same "
                    f"n_simulations >= 1; got {value.shape}."
                )
            if name.endswith("covariances"):
                check_covariances(name, value)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, ArrayLike]) -> Self:
        """Read the four arrays from a mapping, for example an open ``.npz`` file.

        Parameters
        ----------
        mapping : mapping of str to array-like
            Must hold the four attributes of this class under their names.

        Returns
        -------
        parameters : GaussianParameters
            The same numbers as float64 arrays.
        """
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

    def take(self, indices: Sequence[int] | NDArray | slice) -> Self:
        """Pick simulations, the same ones for both classes.

        Parameters
        ----------
        indices : sequence of int, ndarray or slice
            Which simulations to keep.

        Returns
        -------
        parameters : GaussianParameters
            The chosen simulations in the order given.
        """
        chosen = indices if isinstance(indices, slice) else np.asarray(indices)
        return type(self)(*(getattr(self, name)[chosen] for name in _NAMES))


_NAMES = tuple(f.name for f in fields(GaussianParameters))

TRUTH = GaussianParameters(
    signal_means=np.array([[0.0, 0.0]]),
    signal_covariances=np.array([[[1.0, 0.0], [0.0, 1.0]]]),
    background_means=np.array([[0.0, 1.0]]),
    background_covariances=np.array([[[3.0, 0.4], [0.4, 3.0]]]),
)


@dataclass(frozen=True, eq=False)
class GaussianStudy:
    """Labelled events of wrong simulations and a target of known signal fraction.

    Attributes
    ----------
    X : ndarray of shape (2 * n_simulations * n_events, 2)
        Simulated events inside the window: background first, then signal, each ordered
        by simulation.
    y : ndarray of int, shape (2 * n_simulations * n_events,)
        1 for signal, 0 for background.
    simulation : ndarray of int, shape (2 * n_simulations * n_events,)
        Simulation of every event, 0 to n_simulations - 1 in both classes.
    X_target : ndarray of shape (n_signal + n_background, 2)
        Events of the target in random order.
    y_target : ndarray of int, shape (n_signal + n_background,)
        True classes of the target's events, unknown to a measurement.
    kappa : float
        True signal fraction, n_signal / (n_signal + n_background).
    window : ndarray of shape (2, 2)
        Lower and upper end of the window of every feature.
    parameters : GaussianParameters
        Means and covariances of the simulations.
    target_parameters : GaussianParameters
        Means and covariances of the target, as one simulation.
    feature_names : tuple of str
        Names of the features.
    """

    X: FloatArray
    y: NDArray[np.intp]
    simulation: NDArray[np.intp]
    X_target: FloatArray
    y_target: NDArray[np.intp]
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
    """Generate the published Gaussian study.

    The true signal is N((0, 0), I), the true background N((0, 1), [[3, .4], [.4, 3]]),
    and events are kept in [-2, 2]^2. All numbers of events count events that are kept.

    Parameters
    ----------
    n_simulations : int, optional
        Simulations per class. By default 10, or all that ``parameters`` holds; with
        ``parameters`` the first ``n_simulations`` are used.
    n_events : int
        Events of every simulation of every class inside the window.
    n_signal, n_background : int
        Events of the target inside the window; exact numbers, not expectations.
    parameters : GaussianParameters or mapping, optional
        Means and covariances of the simulations instead of random ones; an open
        ``.npz`` file with the names of :class:`GaussianParameters` works.
    target : GaussianParameters or sequence of four arrays, optional
        Another truth: signal mean and covariance, background mean and covariance; or
        one simulation, as in ``parameters.take([3])``.
    n_features : int
        Number of features; this release knows the study for 2.
    random_state : int, Generator, RandomState or None
        Seed. The target of a seed does not depend on the simulations, and its first
        simulations do not depend on how many follow.

    Returns
    -------
    study : GaussianStudy
        Events, labels and the truth behind them.

    Raises
    ------
    InvalidInputError
        If a number of events, the parameters or ``n_features`` cannot be used.

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
    _check_n_features(n_features)
    _check_count("n_events", n_events, 1)
    _check_count("n_signal", n_signal, 0)
    _check_count("n_background", n_background, 0)
    _check_count("n_signal + n_background", n_signal + n_background, 1)
    rng_parameters, rng_events, rng_target = _generator(random_state).spawn(3)
    chosen = _choose_parameters(parameters, n_simulations, rng_parameters)
    truth = _choose_target(target)
    X, y, simulation = _simulate(chosen, n_events, rng_events)
    X_target, y_target = _draw_target(truth, n_signal, n_background, rng_target)
    return GaussianStudy(
        X=X,
        y=y,
        simulation=simulation,
        X_target=X_target,
        y_target=y_target,
        kappa=n_signal / (n_signal + n_background),
        window=np.array(WINDOW),
        parameters=chosen,
        target_parameters=truth,
    )


def draw_gaussian_parameters(
    n_simulations: int, random_state: RandomState = None
) -> GaussianParameters:
    """Draw means and covariances of misspecified simulations by the published recipe.

    With ``(mu, v, c)`` the true mean, common variance and covariance of a class,

        mean_0 ~ N(mu_0, .1),  mean_1 ~ N(mu_1 -+ .1, .1) (- signal, + background),
        variance ~ |N(v, .1)|,  covariance ~ N(c, .1),

    and a draw is kept only if its mean is shifted by more than .1, its variance by more
    than .1, its covariance by more than .05, and it is positive definite. The shift of
    the mean is the length of the vector: the published parameter pairs all satisfy that
    and most of them violate the same bound on each component. The offsets of the two
    classes are independent.

    Parameters
    ----------
    n_simulations : int
        Number of simulations per class.
    random_state : int, Generator, RandomState or None
        Seed.

    Returns
    -------
    parameters : GaussianParameters
        Parameters of ``n_simulations`` signals and backgrounds.

    Examples
    --------
    >>> import numpy as np
    >>> from sktamm.datasets import draw_gaussian_parameters
    >>> parameters = draw_gaussian_parameters(100, random_state=0)
    >>> bool((np.linalg.norm(parameters.signal_means, axis=1) > 0.1).all())
    True
    """
    _check_count("n_simulations", n_simulations, 1)
    rng_signal, rng_background = _generator(random_state).spawn(2)
    signal = _draw_class(
        TRUTH.signal_means[0],
        TRUTH.signal_covariances[0],
        -SPREAD,
        n_simulations,
        rng_signal,
    )
    background = _draw_class(
        TRUTH.background_means[0],
        TRUTH.background_covariances[0],
        SPREAD,
        n_simulations,
        rng_background,
    )
    return GaussianParameters(*signal, *background)


def _draw_class(
    mean: FloatArray,
    covariance: FloatArray,
    offset: float,
    n: int,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Means and covariances of ``n`` accepted simulations of one class."""
    true = np.array([mean[0], mean[1], covariance[0, 0], covariance[0, 1]])
    centre = true + np.array([0.0, offset, 0.0, 0.0])
    accepted = np.empty((0, 4))
    while len(accepted) < n:
        draw = centre + SPREAD * rng.standard_normal((_PARAMETER_BATCH, 4))
        draw[:, 2] = np.abs(draw[:, 2])
        accepted = np.concatenate([accepted, draw[_is_misspecified(draw, true)]])
    m0, m1, variance, covariance_01 = accepted[:n].T
    covariances = np.array([[variance, covariance_01], [covariance_01, variance]])
    return np.column_stack([m0, m1]), np.moveaxis(covariances, -1, 0)


def _is_misspecified(draw: FloatArray, true: FloatArray) -> NDArray[np.bool_]:
    """Whether (mean_0, mean_1, variance, covariance) differs enough from the truth."""
    shift = np.abs(draw - true)
    return (
        (np.linalg.norm(shift[:, :2], axis=1) > MIN_MEAN_SHIFT)
        & (shift[:, 2] > MIN_VARIANCE_SHIFT)
        & (shift[:, 3] > MIN_COVARIANCE_SHIFT)
        & (draw[:, 2] > np.abs(draw[:, 3]))  # eigenvalues are variance +- covariance
    )


def _choose_parameters(
    parameters: GaussianParameters | Mapping[str, ArrayLike] | None,
    n_simulations: int | None,
    rng: np.random.Generator,
) -> GaussianParameters:
    """Use the parameters that were given, or draw them."""
    if n_simulations is not None:
        _check_count("n_simulations", n_simulations, 1)
    if parameters is None:
        n = DEFAULT_SIMULATIONS if n_simulations is None else n_simulations
        return draw_gaussian_parameters(n, rng)
    given = _as_parameters(parameters)
    if n_simulations is None:
        return given
    if n_simulations > given.n_simulations:
        raise InvalidInputError(
            f"n_simulations must not exceed the {given.n_simulations} simulations that "
            f"parameters holds; got {n_simulations}."
        )
    return given.take(slice(n_simulations))


def _as_parameters(
    parameters: GaussianParameters | Mapping[str, ArrayLike],
) -> GaussianParameters:
    if isinstance(parameters, GaussianParameters):
        return parameters
    return GaussianParameters.from_mapping(parameters)


def _choose_target(
    target: GaussianParameters | Sequence[ArrayLike] | None,
) -> GaussianParameters:
    """Truth of the target as the parameters of one simulation."""
    if target is None:
        return TRUTH
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


def _simulate(
    parameters: GaussianParameters, n_events: int, rng: np.random.Generator
) -> tuple[FloatArray, NDArray[np.intp], NDArray[np.intp]]:
    """Labelled events of all simulations, background before signal."""
    n = parameters.n_simulations
    background, signal = rng.spawn(2)
    samples = [
        truncated_normal_sample(mean, covariance, WINDOW, n_events, child)
        for means, covariances, stream in (
            (
                parameters.background_means,
                parameters.background_covariances,
                background,
            ),
            (parameters.signal_means, parameters.signal_covariances, signal),
        )
        for mean, covariance, child in zip(
            means, covariances, stream.spawn(n), strict=True
        )
    ]
    y = np.repeat(np.arange(2), n * n_events)
    simulation = np.tile(np.repeat(np.arange(n), n_events), 2)
    return np.concatenate(samples), y, simulation


def _draw_target(
    truth: GaussianParameters,
    n_signal: int,
    n_background: int,
    rng: np.random.Generator,
) -> tuple[FloatArray, NDArray[np.intp]]:
    """Events of the target and their classes, in random order."""
    signal = truncated_normal_sample(
        truth.signal_means[0], truth.signal_covariances[0], WINDOW, n_signal, rng
    )
    background = truncated_normal_sample(
        truth.background_means[0],
        truth.background_covariances[0],
        WINDOW,
        n_background,
        rng,
    )
    order = rng.permutation(n_signal + n_background)
    y = np.repeat(np.array([1, 0]), [n_signal, n_background])
    return np.concatenate([signal, background])[order], y[order]


def _generator(random_state: RandomState) -> np.random.Generator:
    """Numpy generator of any of scikit-learn's kinds of seed."""
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31, size=4))
    return np.random.default_rng(random_state)


def _check_count(name: str, value: int, minimum: int) -> None:
    if not isinstance(value, Integral) or value < minimum:
        raise InvalidInputError(
            f"{name} must be an integer of at least {minimum}; got {value!r}."
        )


def _check_n_features(n_features: int) -> None:
    if n_features != 2:
        raise InvalidInputError(
            f"n_features must be 2: the published study has two features and this "
            f"release knows no other; got {n_features!r}."
        )
