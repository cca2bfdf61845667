"""Positive ratios: a learned quadratic form that cannot become negative.

With v = (1, dt), the density of reconstructed events is a quadratic form,

    D(x | theta) = v A(x) v^T = (1 + R(x).dt / 2)^2 + |L(x)^T dt|^2,

whose remainder after the square of the first part, a Schur complement, has a Cholesky
factor L. Amplitudes squared make A(z) positive, and so its mean. The loss is still the
squared error of the derivatives, so that their conditional means are learned.

A base learner that cannot train through the factor learns the derivatives; negative
eigenvalues of the remainder are then cut off, the nearest form that is positive.

The mean form over the events of ``fit`` is made that of the targets by a shift, before
eigenvalues are cut off, and a factor. With means T T^T of the targets and P P^T of the
predictions, the lower triangular M = T P^-1 keeps all forms positive,

    A(x) -> M A(x) M^T,        M_0. = (1, 0, ..., 0).
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sktamm._numerics import FloatArray
from sktamm.parametric._derivative import LearnedDerivatives
from sktamm.parametric._learners import has_link, make_regressor, with_link
from sktamm.parametric._monomials import derivative_pairs
from sktamm.parametric._polynomial import parameters_of

__all__ = ["QuadraticRatioEstimator", "positive_derivatives"]

# Cutting off what is negative moves the mean again: the shift is found in at most so
# many steps, which may leave this share of the root mean square.
_MAX_STEPS, _LEFT_OVER = 20, 1e-5


class QuadraticRatioEstimator(LearnedDerivatives):
    """Density ratios of all parameters whose density is positive by construction.

    Parameters
    ----------
    estimator : {"mlp", "lightgbm"} or regressor, default="mlp"
        Base learner. "mlp", `TorchMLPRegressor`, trains through the Cholesky factor and
        follows heavy tails; predictions of any other are made positive afterwards.
    theta_ref : array-like of shape (n_parameters,), default=None
        Reference point, where events are drawn and derivatives taken; None is zeros.
    mean_derivatives : array-like of shape (p + p (p + 1) / 2,), default=None
        Known means of the derivatives at ``theta_ref``, which replace those over the
        events and tell whether these were drawn there.
    parameter_names : sequence of str, default=None
        Names of the parameters; None is t0, t1, ...
    random_state : int, RandomState instance or None, default=None
        Seed of the base learner; None leaves it as it is.

    Attributes
    ----------
    n_parameters_ : int
        Number of parameters p.
    mean_derivatives_ : ndarray of shape (p + p (p + 1) / 2,)
        Means of the derivatives at ``theta_ref``, which make the cross section.
    reference_pulls_ : ndarray of shape (p + p (p + 1) / 2,)
        Where means are known, deviations of those over the events in standard errors.
    derivative_names_ : list of str
        Monomial of each derivative.
    offset_ : ndarray of shape (p + p (p + 1) / 2,)
        Added to predictions before they are made positive, so that their means over the
        events of ``fit`` are those of the targets; zero where no shift can do that.
    congruence_ : ndarray of shape (1 + p, 1 + p)
        M of A -> M A M^T, which makes the mean forms A in (1, dt) equal; the identity
        where one is not positive, as negative weights can make it.
    estimators_ : list
        Fitted base learners: one, or one per derivative.

    Notes
    -----
    Events of negative weight can have a mean A(x) that is not positive; this estimator
    is then biased towards the nearest one that is.

    References
    ----------
    Derivatives: Chatterjee, Frohner, Lechner, Schoefbeck, Schwarz, arXiv:2107.10859.

    Examples
    --------
    >>> from sktamm.datasets import make_smeft_toy
    >>> from sktamm.parametric import QuadraticRatioEstimator
    >>> from sklearn.linear_model import LinearRegression
    >>> toy = make_smeft_toy(5_000, random_state=0)
    >>> model = QuadraticRatioEstimator(LinearRegression())
    >>> model = model.fit(toy.X, toy.joint_derivatives)
    >>> model.non_positive_fraction(toy.X, [0.5])
    0.0
    """

    def __init__(
        self,
        estimator: Any = "mlp",
        *,
        theta_ref: ArrayLike | None = None,
        mean_derivatives: ArrayLike | None = None,
        parameter_names: Any = None,
        random_state: Any = None,
    ):
        self.estimator = estimator
        self.theta_ref = theta_ref
        self.mean_derivatives = mean_derivatives
        self.parameter_names = parameter_names
        self.random_state = random_state

    def _set_correction(
        self, predicted: FloatArray, y: FloatArray, weight: FloatArray | None
    ) -> None:
        wanted = np.average(y, axis=0, weights=weight)
        self.offset_, shifted = _find_shift(predicted, wanted, weight)
        try:
            target, found = np.linalg.cholesky(_forms(np.stack([wanted, shifted])))
        except np.linalg.LinAlgError:
            self.congruence_ = np.eye(self.n_parameters_ + 1)
        else:
            self.congruence_ = target @ np.linalg.inv(found)

    def _corrected(self, predicted: FloatArray) -> FloatArray:
        M, n = self.congruence_, self.n_parameters_
        forms = M @ _forms(positive_derivatives(predicted + self.offset_)) @ M.T
        i, j = derivative_pairs(n)
        return 2.0 * np.concatenate([forms[:, 0, 1:], forms[:, 1 + i, 1 + j]], axis=1)

    def _learner(self) -> Any:
        learner = make_regressor(self.estimator, link="cholesky")
        return with_link(learner, "cholesky") if has_link(learner) else learner


def _forms(y: FloatArray) -> FloatArray:
    """Quadratic forms A of derivatives, shape (n_events, 1 + p, 1 + p)."""
    n = parameters_of(y.shape[1])
    i, j = derivative_pairs(n)
    forms = np.ones((len(y), n + 1, n + 1))
    forms[:, 0, 1:] = forms[:, 1:, 0] = 0.5 * y[:, :n]
    forms[:, 1 + i, 1 + j] = forms[:, 1 + j, 1 + i] = 0.5 * y[:, n:]
    return forms


def _find_shift(
    predicted: FloatArray, wanted: FloatArray, weight: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """Shift that leaves about the wanted mean, or zeros; and the mean it leaves."""

    def mean_after(shift: FloatArray) -> FloatArray:
        positive = positive_derivatives(predicted + shift)
        return np.average(positive, axis=0, weights=weight)

    size = np.sqrt((predicted**2).mean(axis=0))
    shift = np.zeros_like(wanted)
    found = without = mean_after(shift)
    for _ in range(_MAX_STEPS):
        if (np.abs(wanted - found) <= _LEFT_OVER * size).all():
            return shift, found
        shift = shift + wanted - found
        found = mean_after(shift)
    return np.zeros_like(wanted), without


def positive_derivatives(y: FloatArray) -> FloatArray:
    """Nearest ``y`` whose R_ij / 2 - R_i R_j / 4 has no negative eigenvalue."""
    n = parameters_of(y.shape[1])
    i, j = derivative_pairs(n)
    first = y[:, :n]
    square = 0.25 * first[:, i] * first[:, j]
    rest = np.empty((len(y), n, n))
    rest[:, i, j] = rest[:, j, i] = 0.5 * y[:, n:] - square
    value, vector = np.linalg.eigh(rest)
    bad = value[:, 0] < 0
    value, vector = np.maximum(value[bad], 0.0), vector[bad]
    rest = (vector * value[:, None, :]) @ vector.swapaxes(1, 2)
    positive = y.copy()
    positive[bad, n:] = 2.0 * (rest[:, i, j] + square[bad])
    return positive
