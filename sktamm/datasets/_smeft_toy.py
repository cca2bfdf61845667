"""The one-parameter toy of parametric inference, with exact ratios.

A density that is deformed quadratically, blurred by a detector,

    p(z | theta) = [N(z; 0, 1) + theta^2 N(z; 3, 0.1)] / (1 + theta^2),
    p(x | z) = N(x; z, 0.7),

N(mean, standard deviation). The latent z has the joint derivatives, of heavy tails, and
x the exact ratio that they are to teach,

    r(x | theta, 0) = [1 + theta^2 g(x)] / (1 + theta^2),
    g(x) = N(x; 3, sqrt .5) / N(x; 0, sqrt 1.49).

In physics terms theta is a Wilson coefficient without interference: only theta^2 can be
measured, and theta = 0 is a boundary.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sktamm._numerics import FloatArray
from sktamm.datasets._arguments import RandomState, as_generator, check_count
from sktamm.exceptions import InvalidInputError

__all__ = ["SmeftToy", "make_smeft_toy", "smeft_toy_log_ratio", "smeft_toy_smear"]


# The toy of arXiv:2410.07315.
PEAK_MEAN, PEAK_SCALE = 3.0, 0.1
RESOLUTION = 0.7


@dataclass(frozen=True, eq=False)
class SmeftToy:
    """Events of the toy at one value of theta, with what is exact about them.

    Methods take ``theta``, the parameter, a float.

    Attributes
    ----------
    X : ndarray of shape (n_events, 1)
        What the detector saw.
    Z : ndarray of shape (n_events, 1)
        Latent truth of every event.
    theta_ref : float
        Value of theta that the events were drawn at.
    feature_names : tuple of str
        Name of the feature.
    """

    X: FloatArray
    Z: FloatArray
    theta_ref: float
    feature_names: tuple[str, ...] = ("x",)

    @property
    def joint_derivatives(self) -> FloatArray:
        """Derivatives of dsigma(z, theta) / dsigma(z, theta_ref), (n_events, 2)."""
        peak = _peak_ratio(self.Z[:, 0])
        second = 2 * peak / (1 + self.theta_ref**2 * peak)
        return np.column_stack([self.theta_ref * second, second])

    def weights(self, theta: float) -> FloatArray:
        """Event weights dsigma(z, theta) / dsigma(z, theta_ref), (n_events,)."""
        peak = _peak_ratio(self.Z[:, 0])
        return (1 + theta**2 * peak) / (1 + self.theta_ref**2 * peak)

    def joint_ratio(self, theta: float) -> FloatArray:
        """Ratio p(x, z | theta) / p(x, z | theta_ref) of every event, (n_events,)."""
        scale = self.cross_section(self.theta_ref) / self.cross_section(theta)
        return scale * self.weights(theta)

    def log_ratio(self, X: ArrayLike, theta: float) -> FloatArray:
        """Exact ln p(x | theta) / p(x | theta_ref): :func:`smeft_toy_log_ratio`."""
        return smeft_toy_log_ratio(X, theta, self.theta_ref)

    def cross_section(self, theta: float) -> float:
        """Rate 1 + theta^2 in units of the rate at zero."""
        return 1.0 + theta**2

    def smear(self, Z: ArrayLike, rng: RandomState = None) -> FloatArray:
        """Draw x for given z: :func:`smeft_toy_smear`."""
        return smeft_toy_smear(Z, rng)


def make_smeft_toy(
    n_events: int, theta: float = 0.0, *, random_state: RandomState = None
) -> SmeftToy:
    """Draw events of the toy.

    Parameters
    ----------
    n_events : int
        Number of events.
    theta : float
        Parameter that the events are drawn at, the reference of all ratios.
    random_state : int, Generator, RandomState or None
        Seed.

    Returns
    -------
    toy : SmeftToy
        Events with exact joint derivatives and ratios.

    References
    ----------
    Bahl, Bresó, De Crescenzo, Plehn, arXiv:2410.07315, the toy model.

    Examples
    --------
    >>> from sktamm.datasets import make_smeft_toy
    >>> toy = make_smeft_toy(1000, random_state=0)
    >>> toy.X.shape, toy.joint_derivatives.shape
    ((1000, 1), (1000, 2))
    >>> toy.log_ratio([[0.0], [4.0]], theta=1.0).round(3)
    array([-0.693,  4.229])
    """
    check_count("n_events", n_events, 1)
    if not np.isfinite(theta):
        raise InvalidInputError(f"theta must be finite; got {theta!r}.")
    rng = as_generator(random_state)
    in_peak = rng.random(n_events) < theta**2 / (1 + theta**2)
    z = rng.standard_normal(n_events)
    Z = np.where(in_peak, PEAK_MEAN + PEAK_SCALE * z, z)[:, None]
    return SmeftToy(X=smeft_toy_smear(Z, rng), Z=Z, theta_ref=float(theta))


def smeft_toy_log_ratio(
    X: ArrayLike, theta: float, theta_ref: float = 0.0
) -> FloatArray:
    """Exact ln p(x | theta) / p(x | theta_ref) of the toy.

    Parameters
    ----------
    X : array-like of shape (n_events, 1) or (n_events,)
        Events.
    theta, theta_ref : float
        Parameters of the numerator and of the denominator.

    Returns
    -------
    log_ratio : ndarray of shape (n_events,)
        Log ratio of every event.

    Examples
    --------
    >>> from sktamm.datasets import smeft_toy_log_ratio
    >>> smeft_toy_log_ratio([3.0], 0.5).round(4)
    array([2.0638])
    """
    x = np.asarray(X, dtype=float).reshape(len(np.asarray(X)), -1)
    if x.shape[1] != 1:
        raise InvalidInputError(f"X must have one feature; got {x.shape[1]}.")
    log_g = _log_gaussian_ratio(x[:, 0], PEAK_SCALE**2, RESOLUTION**2)
    return _log_rate(log_g, theta) - _log_rate(log_g, theta_ref)


def smeft_toy_smear(Z: ArrayLike, rng: RandomState = None) -> FloatArray:
    """Blur latent truths by the detector of the toy, x ~ N(z, 0.7).

    Parameters
    ----------
    Z : array-like of shape (n_events, 1)
        Latent truths; repeat rows for several draws each.
    rng : int, Generator, RandomState or None
        Seed.

    Returns
    -------
    X : ndarray of shape (n_events, 1)
        What the detector sees.

    Examples
    --------
    >>> from sktamm.datasets import smeft_toy_smear
    >>> smeft_toy_smear([[0.0], [0.0], [3.0]], 0).shape
    (3, 1)
    """
    Z = np.asarray(Z, dtype=float)
    return Z + RESOLUTION * as_generator(rng).standard_normal(Z.shape)


def _log_rate(log_g: FloatArray, theta: float) -> FloatArray:
    """ln [1 + theta^2 g] / (1 + theta^2), safe for large g."""
    if theta == 0:
        return np.zeros_like(log_g)
    return np.logaddexp(0.0, 2 * np.log(abs(theta)) + log_g) - np.log1p(theta**2)


def _peak_ratio(z: FloatArray) -> FloatArray:
    """h(z) = N(z; 3, .1) / N(z; 0, 1)."""
    return np.exp(_log_gaussian_ratio(z, PEAK_SCALE**2, 0.0))


def _log_gaussian_ratio(
    value: FloatArray, peak_variance: float, noise_variance: float
) -> FloatArray:
    """Log density of the peak over that of the bulk, both blurred by the noise."""
    peak, bulk = peak_variance + noise_variance, 1 + noise_variance
    exponent = value**2 / bulk - (value - PEAK_MEAN) ** 2 / peak
    return 0.5 * (exponent + np.log(bulk / peak))
