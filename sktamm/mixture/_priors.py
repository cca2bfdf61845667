"""Priors: what the simulations say about the shape of the truth, before the data.

Exponential form. With l_k = ln p_k and l = mean_k l_k, the truth of a class is

    ridge        l + sum_k u_k (l_k - l),     u ~ N(0, 1/strength)
    simulations  l + sum_k u_k (l_k - l),     u ~ N(0, (1 + 1/K)/(K - 1))
    shrinkage    l + sum_j z_j psi_j + sum_k u_k rest_k,    z ~ t_K(0, Sigma)

where psi are smooth functions, c_kj the coefficients of l_k - l in them, and ``rest_k``
what they leave of it. Sigma is the predictive scale of an inverse Wishart model of the
covariance of the c_k, centred at its diagonal: (1 + 1/K) [(K - 1) S + p diag(S)] / K.
K simulations span only K - 1 directions, yet every smooth direction stays allowed, with
a size they taught.

Linear form. ``dirichlet``: weights ~ Dirichlet(alpha).

References: arXiv:2604.02219 for ridge and Dirichlet; Gelman et al., Bayesian Data
Analysis, section 3.6, for the predictive Student t of an inverse Wishart.
"""

from dataclasses import dataclass
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from sktamm._numerics import FloatArray, contrast_basis
from sktamm.base import ComponentTable
from sktamm.exceptions import IncompatibleChoiceError
from sktamm.mixture._features import Features, class_features
from sktamm.mixture._left_out import left_out_scales
from sktamm.mixture._penalties import (
    DirichletPenalty,
    GaussianPenalty,
    Penalty,
    RidgePenalty,
    StudentPenalty,
)

__all__ = [
    "DirichletPrior",
    "Expansion",
    "RidgePrior",
    "ShrinkagePrior",
    "SimulationsPrior",
]

_WEAKEST_CONCENTRATION = 0.1
_STRONGEST_CONCENTRATION = 1e6
_LEAST_SPREAD = 0.5


@dataclass(frozen=True, eq=False)
class Expansion:
    """Offset and whitened directions of one class, as coefficients of its features.

    Attributes
    ----------
    features : Features
        Functions that the coefficients multiply.
    offset : ndarray of shape (n_features,)
        Coefficients of the central log density.
    directions : ndarray of shape (n_features, n_directions)
        Coefficients of the directions, scaled so that their amplitudes have unit prior
        variance.
    penalty : Penalty
        Log prior density of the amplitudes.
    """

    features: Features
    offset: FloatArray
    directions: FloatArray
    penalty: Penalty


class _SpanPrior(BaseEstimator):
    """Common part of the priors in the span of their densities."""

    informative = True
    spans = "simulations"
    penalty: type[GaussianPenalty] = GaussianPenalty

    def expand(self, table: ComponentTable, class_index: int) -> Expansion:
        """Offset, directions and penalty of one class.

        Parameters
        ----------
        table : ComponentTable
            Components and simulations at the reference rows.
        class_index : int
            Class to expand.

        Returns
        -------
        expansion : Expansion
            Coefficients in the features of the class.
        """
        _check_strength(self.strength)
        features = class_features(table, class_index, self.spans)
        directions = self._directions(features)
        penalty = self.penalty(np.eye(directions.shape[1]))
        return Expansion(features, features.mean_density(), directions, penalty)

    def _directions(self, features: Features) -> FloatArray:
        """Orthogonal columns of coefficients whose amplitudes have unit variance."""
        size = features.n_densities
        directions = np.zeros((features.n_features, size - 1))
        directions[:size] = contrast_basis(size) * self._amplitude(size)
        return _compress(features, directions)

    def _amplitude(self, size: int) -> float:
        raise NotImplementedError


class RidgePrior(_SpanPrior):
    """Unit ridge on the exponents of the components, as published.

    Parameters
    ----------
    strength : float, default=1.0
        Precision of every exponent around the equal-weight blend.

    Notes
    -----
    The sandwich leaves this prior out of the score covariance, as published: it is a
    regulariser, not knowledge (arXiv:2604.02219).

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.mixture import RidgePrior
    >>> tamm = BinnedTopicTAMM(prior=RidgePrior(strength=2.0))
    >>> tamm.get_params()["prior__strength"]
    2.0
    """

    informative = False
    spans = "components"
    penalty = RidgePenalty

    def __init__(self, strength: float = 1.0):
        self.strength = strength

    def _amplitude(self, size: int) -> float:
        return 1.0 / float(np.sqrt(self.strength))


class SimulationsPrior(_SpanPrior):
    """Gaussian with the empirical covariance of the simulations' log densities.

    Parameters
    ----------
    strength : float, default=1.0
        Factor on the prior precision; one takes the spread of the simulations at face
        value, including the error of their mean.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.mixture import SimulationsPrior
    >>> BinnedTopicTAMM(prior=SimulationsPrior()).prior
    SimulationsPrior()
    """

    def __init__(self, strength: float = 1.0):
        self.strength = strength

    def _amplitude(self, size: int) -> float:
        return _covariance_factor(size) / float(np.sqrt(self.strength))


class ShrinkagePrior(BaseEstimator):
    """Function-space prior with a shrunk covariance learned from the simulations.

    Parameters
    ----------
    strength : float, default=1.0
        Factor on the prior precision.
    target : {"diagonal", "isotropic"}, default="diagonal"
        What the sample covariance of the coefficients is shrunk towards.
    tails : {"student", "gaussian"}, default="student"
        Whether the error of the learned covariance widens the prior (inverse Wishart
        predictive: Student t with K degrees of freedom) or is ignored.
    span : bool, default=True
        Keep what the smooth basis leaves of every simulation among the directions.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.mixture import ShrinkagePrior
    >>> BinnedTopicTAMM(prior=ShrinkagePrior(tails="gaussian")).prior.span
    True
    """

    informative = True
    spans = "simulations"

    def __init__(
        self,
        strength: float = 1.0,
        target: str = "diagonal",
        tails: str = "student",
        span: bool = True,
    ):
        self.strength = strength
        self.target = target
        self.tails = tails
        self.span = span

    def expand(self, table: ComponentTable, class_index: int) -> Expansion:
        """Offset, directions and penalty of one class.

        Parameters
        ----------
        table : ComponentTable
            Components, simulations and basis at the reference rows.
        class_index : int
            Class to expand.

        Returns
        -------
        expansion : Expansion
            Coefficients in the log ratios of the components and the basis.
        """
        self._check()
        features = class_features(table, class_index, self.spans)
        offset, size = features.mean_density(), features.n_densities
        if size == 1:
            none = np.zeros((offset.size, 0))
            return Expansion(features, offset, none, GaussianPenalty(np.eye(0)))
        directions = self._orthogonal(features)
        precision = np.eye(directions.shape[1])
        penalty = GaussianPenalty(precision)
        if self.tails == "student":
            penalty = StudentPenalty(precision, float(size))
        penalty.left_out = partial(
            left_out_scales, features, self._orthogonal, self._degrees
        )
        return Expansion(features, offset, directions, penalty)

    def _degrees(self, size: int) -> float:
        """Degrees of freedom of the prior of so many simulations."""
        return float(size) if self.tails == "student" else np.inf

    def _orthogonal(self, features: Features) -> FloatArray:
        """Orthogonal columns of coefficients whose amplitudes have unit variance."""
        directions = self._directions(features) / np.sqrt(self.strength)
        return _compress(features, directions)

    def _check(self) -> None:
        _check_strength(self.strength)
        if self.target not in ("diagonal", "isotropic"):
            raise IncompatibleChoiceError(
                f"target must be 'diagonal' or 'isotropic', got {self.target!r}."
            )
        if self.tails not in ("student", "gaussian"):
            raise IncompatibleChoiceError(
                f"tails must be 'student' or 'gaussian', got {self.tails!r}."
            )

    def _directions(self, features: "Features") -> FloatArray:
        """Columns of coefficients whose amplitudes have unit variance."""
        size, p = features.n_densities, features.basis.shape[1]
        centring = np.eye(size) - 1.0 / size
        logs = features.reference[:, :size] @ centring
        weighted = features.reference_weight[:, None] * features.basis
        coefficients = logs.T @ weighted
        inflation = (size - 1.0 + p) / size if self.tails == "student" else 1.0
        scale = inflation * (1.0 + 1.0 / size)
        spread = coefficients * _without_noise(coefficients, features)
        smooth = self._factor(spread) * np.sqrt(scale)
        columns = np.vstack([np.zeros((size, p)), smooth])
        if not self.span:
            return columns
        rest = np.vstack([centring, -coefficients.T]) * np.sqrt(scale / (size - 1.0))
        return np.hstack([columns, _significant(features, rest, scale)])

    def _factor(self, coefficients: FloatArray) -> FloatArray:
        """Square root of (1 - rho) S + rho target, with rho = p / (K - 1 + p)."""
        size, p = coefficients.shape
        covariance = coefficients.T @ coefficients / (size - 1.0)
        variances = np.diag(covariance)
        if self.target == "isotropic" and p:
            variances = np.full(p, variances.mean())
        rho = p / (size - 1.0 + p)
        shrunk = (1.0 - rho) * covariance + rho * np.diag(variances)
        values, vectors = np.linalg.eigh(shrunk)
        return vectors * np.sqrt(np.maximum(values, 0.0))


class DirichletPrior(BaseEstimator):
    """Dirichlet prior on the weights of the linear form.

    Parameters
    ----------
    concentration : float or "simulations", default=1.0
        Parameter of every weight. One is uniform on the simplex (published).
        "simulations" takes the mean topic shares of the simulations, with the strength
        that gives the blends the variance of the simulations.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.mixture import DirichletPrior
    >>> tamm = BinnedTopicTAMM(
    ...     components="topics", form="linear", prior=DirichletPrior("simulations")
    ... )
    >>> tamm.prior.concentration
    'simulations'
    """

    informative = True

    def __init__(self, concentration: float | str = 1.0):
        self.concentration = concentration

    def weight_penalty(self, table: ComponentTable, class_index: int) -> Penalty:
        """Log prior density of the weights of one class.

        Parameters
        ----------
        table : ComponentTable
            Components and how the simulations are made of them.
        class_index : int
            Class whose weights are meant.

        Returns
        -------
        penalty : Penalty
            Dirichlet in isometric log-ratio coordinates.
        """
        if self.concentration == "simulations":
            return DirichletPenalty(matched_concentration(table, class_index))
        value = _as_positive(self.concentration)
        size = table.components_of(class_index).size
        return DirichletPenalty(np.full(size, value))


# ------------------------------------------------------------------ private functions
def _covariance_factor(size: int) -> float:
    """Amplitude that gives the span the sample covariance and the error of the mean."""
    return float(np.sqrt((1.0 + 1.0 / size) / (size - 1.0))) if size > 1 else 0.0


def _check_strength(strength: float) -> None:
    if not (isinstance(strength, Real) and float(strength) > 0):
        raise IncompatibleChoiceError(f"strength must be positive, got {strength!r}.")


def matched_concentration(table: ComponentTable, class_index: int) -> FloatArray:
    """Dirichlet whose blends have the mean and the variance of the simulations.

    With mean shares m, a Dirichlet of total concentration A gives the blend of the
    component ratios r_t the variance sum_t m_t |r_t - m.r|^2 / (A + 1).

    Parameters
    ----------
    table : ComponentTable
        Topics and the shares of the simulations.
    class_index : int
        Class.

    Returns
    -------
    concentration : ndarray of shape (n_components,)
        A times the mean shares.
    """
    columns = table.components_of(class_index)
    rows = table.simulations.of_class(class_index)
    shares = table.simulations.weights[np.ix_(rows, columns)]
    if columns.size == 1:
        return np.ones(1)
    if _is_permutation(shares):
        raise IncompatibleChoiceError(
            "concentration='simulations' learns from topic shares and needs "
            "components='topics'; raw components have none, so give a number."
        )
    mean = shares.mean(axis=0)
    ratio = np.exp(table.reference_log_ratio[:, columns])
    corners = table.reference_weight @ (ratio - (ratio @ mean)[:, None]) ** 2
    blends = table.reference_weight @ (ratio @ (shares - mean).T) ** 2
    spread = blends.sum() / (len(rows) - 1.0) * (1.0 + 1.0 / len(rows))
    spread = max(spread, np.finfo(float).tiny)
    total = max(float(mean @ corners) / spread - 1.0, _WEAKEST_CONCENTRATION)
    total = min(total, _STRONGEST_CONCENTRATION)
    return total * np.maximum(mean, _WEAKEST_CONCENTRATION / columns.size)


def _as_positive(concentration: Any) -> float:
    number = isinstance(concentration, Real) and not isinstance(concentration, bool)
    if not (number and concentration > 0):
        raise IncompatibleChoiceError(
            "concentration must be a positive number or 'simulations', got "
            f"{concentration!r}."
        )
    return float(concentration)


def _is_permutation(weights: FloatArray) -> bool:
    square = weights.shape[0] == weights.shape[1]
    return square and bool(np.all(np.sort(weights, axis=1)[:, :-1] == 0.0))


def _compress(
    features: Features, directions: FloatArray, tolerance: float = 1e-4
) -> FloatArray:
    """Equivalent directions, orthogonal under the reference, without the negligible.

    Amplitudes with a unit Gaussian or spherical t prior may be rotated freely. A
    direction whose root mean square effect on ln q is below the tolerance could not be
    seen with 1/tolerance^2 events.
    """
    if directions.shape[1] == 0:
        return directions
    values = features.weighted(directions)
    strength, rotation = np.linalg.eigh(values.T @ values)
    keep = strength > tolerance**2
    return directions @ rotation[:, keep]


def _without_noise(coefficients: FloatArray, features: Features) -> FloatArray:
    """Share of the spread of every coefficient that is no statistical noise.

    Finite templates spread the coefficients c_j = sum_i m_i psi_ji ln p_i by the
    variance N_j = sum_i (m_i psi_ji)^2 v_i, which is no difference between simulations
    and discounts the data already. The factor is sqrt(1 - N_j / S_j); at most half of
    the variance S_j goes, since few simulations know neither well.
    """
    if features.relative_variance is None:
        return np.ones(features.basis.shape[1])
    weighted = features.reference_weight[:, None] * features.basis
    noise = features.relative_variance.mean(axis=1) @ weighted**2
    spread = (coefficients**2).sum(axis=0) / (len(coefficients) - 1.0)
    share = noise / np.maximum(spread, np.finfo(float).tiny)
    return np.sqrt(np.maximum(1.0 - share, _LEAST_SPREAD))


def _significant(features: Features, rest: FloatArray, scale: float) -> FloatArray:
    """Leave out directions of the span that statistical noise alone would make.

    The bound is the upper edge of the Marchenko-Pastur law for the relative variance of
    the templates, so few-event templates do not fill the prior with their noise.
    """
    if features.relative_variance is None:
        return rest
    noise = features.reference_weight @ features.relative_variance.mean(axis=1)
    bins, spare = features.reference_weight.size, features.n_densities - 1.0
    edge = scale * noise / bins * (1.0 + np.sqrt(bins / spare)) ** 2
    values = features.weighted(rest)
    strength, rotation = np.linalg.eigh(values.T @ values)
    return rest @ rotation[:, strength > edge]
