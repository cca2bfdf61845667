"""Priors: what the simulations say about the shape of the truth, before the data.

Exponential form. With l_k = ln p_k and l = mean_k l_k, the truth of a class is

    ridge        l + sum_k u_k (l_k - l),     u ~ N(0, 1/strength)              (published)
    simulations  l + sum_k u_k (l_k - l),     u ~ N(0, (1 + 1/K)/(K - 1))
    shrinkage    l + sum_j z_j psi_j + sum_k u_k rest_k,    z ~ t_K(0, Sigma)

where psi are smooth functions, c_kj the coefficients of l_k - l in them, and ``rest_k`` what
they leave of it. Sigma is the predictive scale of an inverse Wishart model of the covariance
of the c_k, centred at its diagonal: (1 + 1/K) [(K - 1) S + p diag(S)] / K. K simulations span
only K - 1 directions, yet every smooth direction stays allowed, with a size they taught.

Linear form. ``dirichlet``: weights ~ Dirichlet(alpha).

References: arXiv:2604.02219 for ridge and Dirichlet; Gelman et al., Bayesian Data Analysis,
section 3.6, for the predictive Student t of an inverse Wishart.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator

from sktamm._numerics import FloatArray, contrast_basis, fit_dirichlet
from sktamm.base import ComponentTable
from sktamm.exceptions import IncompatibleChoiceError
from sktamm.mixture._penalties import (
    DirichletPenalty,
    GaussianPenalty,
    Penalty,
    StudentPenalty,
)

__all__ = [
    "DirichletPrior",
    "Expansion",
    "RidgePrior",
    "ShrinkagePrior",
    "SimulationsPrior",
]


@dataclass(frozen=True, eq=False)
class Expansion:
    """Offset and whitened directions of one class, as coefficients of its features.

    The features are the log ratios of the components of the class followed by the
    smooth basis functions; both arrays apply to them from the left.

    Attributes
    ----------
    offset : ndarray of shape (n_features,)
        Coefficients of the central log density.
    directions : ndarray of shape (n_features, n_directions)
        Coefficients of the directions, scaled so that their amplitudes have unit prior
        variance.
    penalty : Penalty
        Log prior density of the amplitudes.
    """

    offset: FloatArray
    directions: FloatArray
    penalty: Penalty


class _SpanPrior(BaseEstimator):
    """Common part of the priors in the span of the components."""

    informative = True

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
            Coefficients in the log ratios of the components and the basis.
        """
        if not self.strength > 0:
            raise IncompatibleChoiceError(
                f"strength must be positive, got {self.strength!r}."
            )
        offset, directions = self._directions(table, class_index)
        n_basis = table.reference_basis.shape[1]
        offset = np.concatenate([offset, np.zeros(n_basis)])
        directions = np.vstack([directions, np.zeros((n_basis, directions.shape[1]))])
        directions = _compress(table, class_index, directions)
        return Expansion(
            offset, directions, GaussianPenalty(np.eye(directions.shape[1]))
        )


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
    """

    informative = False

    def __init__(self, strength: float = 1.0):
        self.strength = strength

    def _directions(
        self, table: ComponentTable, class_index: int
    ) -> tuple[FloatArray, FloatArray]:
        n = table.components_of(class_index).size
        return np.full(n, 1.0 / n), contrast_basis(n) / np.sqrt(self.strength)


class SimulationsPrior(_SpanPrior):
    """Gaussian with the empirical covariance of the simulations' log densities.

    Parameters
    ----------
    strength : float, default=1.0
        Factor on the prior precision; one takes the spread of the simulations at face
        value, including the error of their mean.
    """

    def __init__(self, strength: float = 1.0):
        self.strength = strength

    def _directions(
        self, table: ComponentTable, class_index: int
    ) -> tuple[FloatArray, FloatArray]:
        weights = exponents(table, class_index)
        scale = _covariance_factor(weights.shape[0]) / np.sqrt(self.strength)
        mean = weights.mean(axis=0)
        return mean, (weights - mean).T * scale


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
    """

    informative = True

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
        weights = exponents(table, class_index)
        mean = weights.mean(axis=0)
        offset = np.concatenate([mean, np.zeros(table.reference_basis.shape[1])])
        size = weights.shape[0]
        if size == 1:
            none = np.zeros((offset.size, 0))
            return Expansion(offset, none, GaussianPenalty(np.eye(0)))
        directions = self._directions(table, class_index, weights - mean)
        directions = directions / np.sqrt(self.strength)
        directions = _compress(table, class_index, directions)
        precision = np.eye(directions.shape[1])
        if self.tails == "student":
            return Expansion(offset, directions, StudentPenalty(precision, float(size)))
        return Expansion(offset, directions, GaussianPenalty(precision))

    def _check(self) -> None:
        if not self.strength > 0:
            raise IncompatibleChoiceError(
                f"strength must be positive, got {self.strength!r}."
            )
        if self.target not in ("diagonal", "isotropic"):
            raise IncompatibleChoiceError(
                f"target must be 'diagonal' or 'isotropic', got {self.target!r}."
            )
        if self.tails not in ("student", "gaussian"):
            raise IncompatibleChoiceError(
                f"tails must be 'student' or 'gaussian', got {self.tails!r}."
            )

    def _directions(
        self, table: ComponentTable, class_index: int, centred: FloatArray
    ) -> FloatArray:
        """Columns of coefficients whose amplitudes have unit variance."""
        size = centred.shape[0]
        logs = table.reference_log_ratio[:, table.components_of(class_index)]
        psi = table.reference_basis
        weighted = table.reference_weight[:, None] * psi
        coefficients = (logs @ centred.T).T @ weighted
        inflation = 1.0
        if self.tails == "student":
            inflation = (size - 1.0 + psi.shape[1]) / size
        scale = np.sqrt(inflation)
        smooth = self._factor(coefficients) * scale * np.sqrt(1.0 + 1.0 / size)
        columns = np.vstack([np.zeros((logs.shape[1], psi.shape[1])), smooth])
        if not self.span:
            return columns
        rest = np.vstack([centred.T, -coefficients.T])
        rest = rest * (scale * _covariance_factor(size))
        return np.hstack([columns, _significant(table, class_index, rest)])

    def _factor(self, coefficients: FloatArray) -> FloatArray:
        """Square root of (1 - rho) S + rho target, with rho = p / (K - 1 + p)."""
        size, p = coefficients.shape
        covariance = coefficients.T @ coefficients / (size - 1.0)
        variances = np.diag(covariance)
        if self.target == "isotropic":
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
        "simulations" learns the parameters from the weights with which the components
        make up the simulations (topics), by maximum likelihood.
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
        columns = table.components_of(class_index)
        if self.concentration == "simulations":
            rows = table.simulations.source_class == class_index
            shares = table.simulations.weights[np.ix_(rows, columns)]
            if _is_permutation(shares):
                raise IncompatibleChoiceError(
                    "concentration='simulations' learns from topic shares and needs "
                    "components='topics'; raw components have none, so give a number."
                )
            return DirichletPenalty(fit_dirichlet(shares))
        value = float(self.concentration)
        if not value > 0:
            raise IncompatibleChoiceError(
                f"concentration must be positive, got {self.concentration!r}."
            )
        return DirichletPenalty(np.full(columns.size, value))


# ------------------------------------------------------------------ private functions
def _covariance_factor(size: int) -> float:
    """Amplitude that gives the span the sample covariance and the error of the mean."""
    return float(np.sqrt((1.0 + 1.0 / size) / (size - 1.0))) if size > 1 else 0.0


def _is_permutation(weights: FloatArray) -> bool:
    square = weights.shape[0] == weights.shape[1]
    return square and bool(np.all(np.sort(weights, axis=1)[:, :-1] == 0.0))


def exponents(table: ComponentTable, class_index: int) -> FloatArray:
    """Exponents with which the components of a class make up its simulations.

    Parameters
    ----------
    table : ComponentTable
        Components and simulations at the reference rows.
    class_index : int
        Class to express.

    Returns
    -------
    weights : ndarray of shape (n_simulations, n_components)
        Rows of sum one; the best fit of ln p_k by the log components, weighted by the
        reference. A permutation when the components are the simulations.
    """
    columns = table.components_of(class_index)
    rows = np.flatnonzero(table.simulations.source_class == class_index)
    shares = table.simulations.weights[np.ix_(rows, columns)]
    if _is_permutation(shares):
        return shares
    logs = table.reference_log_ratio[:, columns]
    target = table.simulations.log_ratio[:, rows]
    mean = logs.mean(axis=1, keepdims=True)
    root = np.sqrt(table.reference_weight)[:, None]
    ones = np.ones_like(root)
    design = root * np.hstack([(logs - mean) @ contrast_basis(columns.size), ones])
    solution = np.linalg.lstsq(design, root * (target - mean), rcond=1e-6)[0]
    return 1.0 / columns.size + solution[:-1].T @ contrast_basis(columns.size).T


def _at_reference(
    table: ComponentTable, class_index: int, coefficients: FloatArray
) -> FloatArray:
    """Columns of functions at the reference rows, times the root of their weight."""
    logs = table.reference_log_ratio[:, table.components_of(class_index)]
    n = logs.shape[1]
    values = logs @ coefficients[:n] + table.reference_basis @ coefficients[n:]
    weight = table.reference_weight[:, None]
    return np.sqrt(weight) * (values - (weight * values).sum(axis=0))


def _compress(
    table: ComponentTable,
    class_index: int,
    directions: FloatArray,
    tolerance: float = 1e-4,
) -> FloatArray:
    """Equivalent directions, orthogonal under the reference, without the negligible.

    Amplitudes with a unit Gaussian or spherical t prior may be rotated freely. A
    direction whose root mean square effect on ln q is below the tolerance could not be
    seen with 1/tolerance^2 events.
    """
    if directions.shape[1] == 0:
        return directions
    values = _at_reference(table, class_index, directions)
    strength, rotation = np.linalg.eigh(values.T @ values)
    keep = strength > tolerance**2
    return directions @ rotation[:, keep][:, ::-1]


def _significant(
    table: ComponentTable, class_index: int, rest: FloatArray
) -> FloatArray:
    """Leave out directions of the span that statistical noise alone would make.

    The bound is the upper edge of the Marchenko-Pastur law for the relative variance of
    the components, so few-event templates do not fill the prior with their noise.
    """
    if table.relative_variance is None or not table.binned:
        return rest
    columns = table.components_of(class_index)
    noise = table.reference_weight @ table.relative_variance[:, columns].mean(axis=1)
    size, bins = columns.size, table.reference_weight.size
    edge = noise / bins * (1.0 + np.sqrt(bins / size)) ** 2
    values = _at_reference(table, class_index, rest)
    strength, rotation = np.linalg.eigh(values.T @ values)
    return rest @ rotation[:, strength > edge]
