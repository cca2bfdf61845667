"""Priors: what the simulations say about the shape of the truth, before the data.

Exponential form. With l_k = ln p_k and l = mean_k l_k, the truth of a class is

    ridge        l + sum_k u_k (l_k - l),     u ~ N(0, 1/strength)
    simulations  l + sum_k u_k (l_k - l),     u ~ N(0, (1 + 1/K)/(K - 1))
    shrinkage    l + sum_j z_j psi_j + sum_k u_k rest_k,    z ~ t_K(0, Sigma)

where psi are smooth functions, c_kj the coefficients of l_k - l in them, and ``rest_k``
what they leave of it. Sigma is the predictive scale of an inverse Wishart model of the
covariance of the c_k, centred at its diagonal: (1 + 1/K) [(K - 1) S + p diag(S)] / K.
K simulations span only K - 1 directions, yet every smooth direction stays allowed, with
a size they taught. Both take the simulations for draws of one population, unless their
``families`` are declared (`sktamm.mixture._families`).

Linear form. ``dirichlet``: weights ~ Dirichlet(alpha).

References: arXiv:2604.02219 for ridge and Dirichlet; Gelman et al., Bayesian Data
Analysis, section 3.6, for the predictive Student t of an inverse Wishart.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
from sklearn.base import BaseEstimator

from sktamm._numerics import FloatArray, contrast_basis
from sktamm._sklearn import check_parameters, one_of, positive
from sktamm.base import ComponentTable
from sktamm.exceptions import IncompatibleChoiceError
from sktamm.mixture._expansion import Expansion
from sktamm.mixture._family_prior import FamilyPrior
from sktamm.mixture._features import Features, class_features
from sktamm.mixture._left_out import left_out_scales
from sktamm.mixture._penalties import (
    DirichletPenalty,
    GaussianPenalty,
    Penalty,
    RidgePenalty,
    StudentPenalty,
)
from sktamm.mixture._shrunk import Shrinkage, compress, shrunk_directions

__all__ = [
    "DirichletPrior",
    "Expansion",
    "RidgePrior",
    "ShrinkagePrior",
    "SimulationsPrior",
]

# Rules of thumb: blends of a weaker one are single components, of a stronger one equal.
_WEAKEST_CONCENTRATION = 0.1
_STRONGEST_CONCENTRATION = 1e6


class _SpanPrior(BaseEstimator):
    """Common part of the priors in the span of their densities."""

    #: Whether the prior counts as data in the error of a frequentist fit.
    informative = True
    #: Whose log densities it blends, those of the "simulations" or of the "components".
    spans = "simulations"
    penalty: type[GaussianPenalty] = GaussianPenalty

    def expand(self, table: ComponentTable, class_index: int) -> Expansion:
        """Offset, directions and penalty of one class."""
        check_parameters(self)
        features = class_features(table, class_index, self.spans)
        directions = self._directions(features)
        penalty = self.penalty(np.eye(directions.shape[1]))
        return Expansion(features, features.mean_density(), directions, penalty)

    def _directions(self, features: Features) -> FloatArray:
        """Orthogonal columns of coefficients whose amplitudes have unit variance."""
        size = features.n_densities
        directions = np.zeros((features.n_features, size - 1))
        directions[:size] = contrast_basis(size) * self._amplitude(size)
        return compress(features, directions)

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
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"strength": [positive()]}

    def __init__(self, strength: float = 1.0):
        self.strength = strength

    def _amplitude(self, size: int) -> float:
        return 1.0 / float(np.sqrt(self.strength))


class SimulationsPrior(FamilyPrior, _SpanPrior):
    """Gaussian with the empirical covariance of the simulations' log densities.

    Parameters
    ----------
    strength : float, default=1.0
        Factor on the prior precision; one takes the spread of the simulations at face
        value, including the error of their mean.
    families : mapping of id to str, default=None
        Name of the family of every simulation but the nominal: the variations of one
        parameter, or generators that could as well have been the nominal. None takes
        the simulations for draws of one population.
    nominal : id or list of ids, default=None
        The nominal simulation, on which the prior is centred, or the ids that it has in
        several classes.
    alternatives : list of str, default=None
        Families whose members are generators or other draws of a population, and no
        variations by one standard deviation. None those with three members or more.

    Notes
    -----
    With families the covariance is the sum over families of that of their members about
    the nominal. Variations have normal amplitudes; a family of n alternatives has a
    Student t with n + 1 degrees of freedom. Members that nearly agree count as one.
    Every class has amplitudes of its own, whether simulations are paired or not.

    Examples
    --------
    >>> import numpy as np
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.mixture import SimulationsPrior
    >>> rng = np.random.default_rng(0)
    >>> shift = {"nominal": 0.0, "up": 0.1, "down": -0.1, "A": 0.3, "B": -0.2}
    >>> names = np.repeat(list(shift), 4000)
    >>> y = np.tile([0, 1], 10_000)
    >>> X = rng.normal(3 * y + np.repeat(list(shift.values()), 4000))[:, None]
    >>> families = {"up": "scale", "down": "scale", "A": "generator", "B": "generator"}
    >>> prior = SimulationsPrior(
    ...     families=families, nominal="nominal", alternatives=["generator"]
    ... )
    >>> tamm = BinnedTopicTAMM(prior=prior).fit(X, y, simulation=names)
    >>> target = rng.normal(0.2 + 3 * (rng.random(5000) < 0.3))[:, None]
    >>> bool(abs(tamm.predict(target)[0] - 0.3) < 0.05)
    True
    """

    def __init__(
        self,
        strength: float = 1.0,
        families: Mapping[Any, Any] | None = None,
        nominal: Any = None,
        alternatives: Collection[Any] | None = None,
    ):
        self.strength = strength
        self.families = families
        self.nominal = nominal
        self.alternatives = alternatives

    def _exchangeable(self, table: ComponentTable, class_index: int) -> Expansion:
        """Without families."""
        return _SpanPrior.expand(self, table, class_index)

    def _amplitude(self, size: int) -> float:
        return _covariance_factor(size) / float(np.sqrt(self.strength))

    def _of_alternatives(self, features: Features, members: FloatArray) -> FloatArray:
        """Columns of one family: n + r draws over n + 1, r their rank."""
        size = members.shape[1]
        columns = compress(features, features.padded(members) / np.sqrt(size))
        return columns * np.sqrt((size + columns.shape[1]) / (size + 1.0))


class ShrinkagePrior(FamilyPrior):
    """Function-space prior with a shrunk covariance learned from the simulations.

    Parameters
    ----------
    strength : float, default=1.0
        Factor on the prior precision.
    target : {"diagonal", "isotropic"}, default="diagonal"
        What the sample covariance of the coefficients is shrunk towards; bins without
        an order are always "isotropic".
    tails : {"student", "gaussian"}, default="student"
        Whether the error of the learned covariance widens the prior (inverse Wishart
        predictive: Student t with K degrees of freedom) or is ignored.
    span : bool, default=True
        Keep what the smooth basis leaves of every simulation among the directions.
    families, nominal, alternatives : default=None
        What the simulations are, as `SimulationsPrior` takes it.

    Notes
    -----
    With families it is as `SimulationsPrior` about the nominal; only families of
    alternatives are shrunk and allow for smooth departures of any kind.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.mixture import ShrinkagePrior
    >>> BinnedTopicTAMM(prior=ShrinkagePrior(tails="gaussian")).prior.span
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **FamilyPrior._parameter_constraints,
        "target": [one_of("diagonal", "isotropic")],
        "tails": [one_of("student", "gaussian")],
        "span": ["boolean"],
    }

    def __init__(
        self,
        strength: float = 1.0,
        target: Literal["diagonal", "isotropic"] = "diagonal",
        tails: Literal["gaussian", "student"] = "student",
        span: bool = True,
        families: Mapping[Any, Any] | None = None,
        nominal: Any = None,
        alternatives: Collection[Any] | None = None,
    ):
        self.strength = strength
        self.target = target
        self.tails = tails
        self.span = span
        self.families = families
        self.nominal = nominal
        self.alternatives = alternatives

    def _exchangeable(self, table: ComponentTable, class_index: int) -> Expansion:
        """Without families."""
        features = class_features(table, class_index, self.spans)
        offset, size = features.mean_density(), features.n_densities
        if size == 1:
            none = np.zeros((offset.size, 0))
            return Expansion(features, offset, none, GaussianPenalty(np.eye(0)))
        directions = self._independent(features)
        precision = np.eye(directions.shape[1])
        penalty = GaussianPenalty(precision)
        if self.tails == "student":
            penalty = StudentPenalty(precision, float(size))
        # At the reference alone: events of the target need not be kept for it.
        known = replace(features, rows=features.reference)
        penalty.left_out = partial(
            left_out_scales, known, self._independent, self._degrees
        )
        return Expansion(features, offset, directions, penalty)

    def _degrees(self, size: int) -> float:
        """Degrees of freedom of the prior of so many simulations."""
        return float(size) if self.tails == "student" else np.inf

    def _independent(self, features: Features) -> FloatArray:
        """Independent columns of coefficients whose amplitudes have unit variance."""
        directions = self._directions(features) / np.sqrt(self.strength)
        return compress(features, directions)

    def _directions(self, features: Features) -> FloatArray:
        """Columns of coefficients whose amplitudes have unit variance."""
        size = features.n_densities
        centring = np.eye(size) - 1.0 / size
        factor = 1.0 + 1.0 / size
        return shrunk_directions(features, centring, size - 1.0, factor, self._how())

    def _how(self) -> Shrinkage:
        return Shrinkage(self.target, self.tails, self.span)

    def _of_alternatives(self, features: Features, members: FloatArray) -> FloatArray:
        """Columns of one family of alternatives."""
        # Two or three cannot fill the prior with noise, and the edge of its law, twenty
        # times its mean for two in 25 bins, hides peaks (bench_families.py --toy).
        how = self._how()._replace(tested=False)
        return shrunk_directions(features, members, float(members.shape[1]), 1.0, how)


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
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "concentration": [positive(), one_of("simulations")]
    }

    def __init__(self, concentration: float | str = 1.0):
        self.concentration = concentration

    def weight_penalty(self, table: ComponentTable, class_index: int) -> Penalty:
        """Log prior density of the weights of one class, in log-ratio coordinates."""
        check_parameters(self)
        if self.concentration == "simulations":
            return DirichletPenalty(matched_concentration(table, class_index))
        size = table.components_of(class_index).size
        return DirichletPenalty(np.full(size, float(self.concentration)))


# ------------------------------------------------------------------ private functions
def _covariance_factor(size: int) -> float:
    """Amplitude that gives the span the sample covariance and the error of the mean."""
    return float(np.sqrt((1.0 + 1.0 / size) / (size - 1.0))) if size > 1 else 0.0


def matched_concentration(table: ComponentTable, class_index: int) -> FloatArray:
    """Dirichlet (n_components,) of the mean and the variance of the simulations."""
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


def _is_permutation(weights: FloatArray) -> bool:
    square = weights.shape[0] == weights.shape[1]
    return square and bool(np.all(np.sort(weights, axis=1)[:, :-1] == 0.0))
