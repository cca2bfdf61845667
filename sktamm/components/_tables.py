"""Tables of components whose rows are bins."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sktamm._numerics import FloatArray
from sktamm.base import ComponentTable, Simulations

__all__ = ["binned_table", "log_ratio_to"]


def log_ratio_to(probability: FloatArray, reference: FloatArray) -> FloatArray:
    """Ln of probabilities (n_densities, n_bins) over the reference, transposed."""
    ratio: FloatArray = (np.log(probability) - np.log(reference)).T
    return ratio


def binned_table(
    probability: ArrayLike,
    source_class: ArrayLike,
    source_id: ArrayLike,
    contents: tuple[ArrayLike, ArrayLike],
    *,
    positive: int,
    paired: bool = False,
    component_class: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    described: ArrayLike | None = None,
    reference_weight: ArrayLike | None = None,
    basis: ArrayLike | None = None,
    **more: Any,
) -> ComponentTable:
    """Table of binned components and data, for component models.

    Parameters
    ----------
    probability : array-like of shape (n_components, n_bins)
        Positive probabilities of the bins in every component.
    source_class, source_id : array-like of shape (n_simulations,)
        Class index and identifier of every simulation, classes ascending.
    contents : pair of array-like of shape (n_datasets, n_bins)
        Sums of weights and of squared weights of the datasets.
    positive : int
        Index of the class whose fraction is kappa.
    paired : bool, default=False
        Whether equal identifiers in different classes mean the same simulation.
    component_class : array-like of shape (n_components,), default=None
        Class of every component; None where each simulation is one.
    weights : array-like of shape (n_simulations, n_components), default=None
        Blends of the components that give the simulations; None as above.
    described : array-like of shape (n_simulations, n_bins), default=None
        Probabilities of the bins in every simulation; None are its blend.
    reference_weight : array-like of shape (n_bins,), default=None
        The reference; None is the mean of the simulations.
    basis : array-like of shape (n_bins, n_functions), default=None
        Smooth functions, orthonormal under the reference; None has none.
    **more
        Other fields of `ComponentTable`; ``described_variance`` (n_bins, n_simulations)
        is the squared relative error of the simulations.

    Returns
    -------
    table : ComponentTable
        What an inference sees.

    Examples
    --------
    >>> from sktamm.components import binned_table
    >>> templates = [[0.7, 0.3], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]]
    >>> counts = [[60.0, 40.0]]
    >>> ids = ["a", "b", "a", "b"]
    >>> table = binned_table(
    ...     templates, [0, 0, 1, 1], ids, (counts, counts), positive=1
    ... )
    >>> table.log_ratio.shape
    (2, 4)
    """
    probability = np.asarray(probability, dtype=float)
    source_class = np.asarray(source_class, dtype=np.intp)
    own = np.eye(source_class.size) if weights is None else np.asarray(weights)
    shapes = own @ probability if described is None else np.asarray(described)
    reference = shapes.mean(axis=0) if reference_weight is None else reference_weight
    reference = np.asarray(reference, dtype=float)
    functions = np.zeros((reference.size, 0)) if basis is None else np.asarray(basis)
    log_ratio, log_shapes = (log_ratio_to(p, reference) for p in (probability, shapes))
    simulations = Simulations(
        log_ratio=log_shapes,
        reference_log_ratio=log_shapes,
        relative_variance=more.pop("described_variance", None),
        source_class=source_class,
        source_id=np.asarray(source_id),
        weights=own,
        paired=paired,
    )
    return ComponentTable(
        log_ratio=log_ratio,
        row_weight=_floats(contents[0]),
        row_variance=_floats(contents[1]),
        reference_log_ratio=log_ratio,
        reference_weight=reference,
        component_class=_indices(source_class, component_class),
        n_classes=int(source_class.max()) + 1,
        positive=positive,
        simulations=simulations,
        basis=functions,
        reference_basis=functions,
        binned=True,
        **{"relative_variance": None, **more},
    )


def _floats(values: ArrayLike) -> FloatArray:
    return np.asarray(values, dtype=float)


def _indices(default: NDArray[np.intp], values: ArrayLike | None) -> NDArray[np.intp]:
    return default if values is None else np.asarray(values, dtype=np.intp)
