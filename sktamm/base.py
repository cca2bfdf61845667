"""The contracts between the two halves of the hourglass.

Everything a measurement needs after events became numbers is one table of log density
ratios, for one likelihood whatever the components and forms (arXiv:2604.02219),

    log L(theta) = sum_i n_i ln sum_c f_c q_c(x_i),

where ``q_c`` is a linear or exponential blend of the components of class ``c``. Rows
are bins or events; a pseudo-experiment is another vector of row weights ``n_i``.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ComponentTable", "Simulations"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Simulations:
    """Log densities of every simulation, for the priors to learn from.

    Attributes
    ----------
    log_ratio : ndarray of shape (n_rows, n_simulations)
        ln[p_k(x_i) / p_ref(x_i)] of every (class, simulation) source at the rows, as
        the components describe it: binned content, or the blend of its topics.
    reference_log_ratio : ndarray of shape (n_reference, n_simulations)
        The same at the reference rows; the same array when rows are bins.
    relative_variance : ndarray of shape (n_rows, n_simulations) or None
        Squared relative statistical error at the rows.
    source_class : ndarray of int, shape (n_simulations,)
        Index of the class of each source.
    source_id : ndarray of shape (n_simulations,)
        Identifier of the simulation of each source.
    weights : ndarray of shape (n_simulations, n_components)
        Weights with which a linear blend of the components of its own class gives the
        source: a permutation for raw templates, the topic shares for topics.
    paired : bool
        Whether equal identifiers in different classes mean the same simulation.
    """

    log_ratio: FloatArray
    reference_log_ratio: FloatArray
    relative_variance: FloatArray | None
    source_class: NDArray[np.intp]
    source_id: NDArray
    weights: FloatArray
    paired: bool

    def of_class(self, class_index: int) -> NDArray[np.intp]:
        """Column indices of the simulations of one class."""
        return np.flatnonzero(self.source_class == class_index)


@dataclass(frozen=True, eq=False)
class ComponentTable:
    """The waist of the hourglass: components and data at the same rows.

    Attributes
    ----------
    log_ratio : ndarray of shape (n_rows, n_components)
        ln[p_k(x_i) / p_ref(x_i)] of every component at every row of the target.
    row_weight : ndarray of shape (n_datasets, n_rows)
        Sum of event weights of each dataset in each row (counts when unweighted).
    row_variance : ndarray of shape (n_datasets, n_rows)
        Sum of squared event weights, the variance of ``row_weight``.
    reference_log_ratio : ndarray of shape (n_reference, n_components)
        The same log ratios at the rows of the reference sample; the same array as
        ``log_ratio`` when rows are bins.
    reference_weight : ndarray of shape (n_reference,)
        Probability of each reference row under p_ref; sums to one.
    component_class : ndarray of int, shape (n_components,)
        Index of the class of each component; components of a class are contiguous and
        classes ascend.
    n_classes : int
        Number of classes.
    positive : int
        Index of the class whose fraction is kappa.
    simulations : Simulations
        What the priors learn from.
    basis : ndarray of shape (n_rows, n_basis)
        Smooth functions at the rows of the target, orthonormal under p_ref and
        orthogonal to the constant; used by the function-space prior.
    reference_basis : ndarray of shape (n_reference, n_basis)
        The same functions at the reference rows.
    relative_variance : ndarray of shape (n_rows, n_components) or None
        Squared relative statistical error of each component at each row; None when it
        is not known or negligible.
    binned : bool
        Whether rows are bins, so that reference rows and rows coincide.
    out_of_range : ndarray of bool, shape (n_datasets,), or None
        Whether a dataset holds more events beyond the edges than the simulations do.
    """

    log_ratio: FloatArray
    row_weight: FloatArray
    row_variance: FloatArray
    reference_log_ratio: FloatArray
    reference_weight: FloatArray
    component_class: NDArray[np.intp]
    n_classes: int
    positive: int
    simulations: Simulations
    basis: FloatArray
    reference_basis: FloatArray
    relative_variance: FloatArray | None
    binned: bool
    out_of_range: NDArray[np.bool_] | None = None

    @property
    def n_datasets(self) -> int:
        """Number of datasets."""
        return self.row_weight.shape[0]

    def components_of(self, class_index: int) -> NDArray[np.intp]:
        """Column indices of the components of one class."""
        return np.flatnonzero(self.component_class == class_index)
