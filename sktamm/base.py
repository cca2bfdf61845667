"""The contracts between the two halves of the hourglass.

Everything a measurement needs after events became numbers is one table of log density
ratios, for one likelihood whatever the components and forms (arXiv:2604.02219),

    log L(theta) = sum_i n_i ln sum_c f_c q_c(x_i),

where ``q_c`` is a linear or exponential blend of the components of class ``c``. Rows
are bins or events; a pseudo-experiment is another vector of row weights ``n_i``.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sktamm._numerics import row_pieces

__all__ = [
    "LITTLE_OVERLAP",
    "ComponentModel",
    "ComponentTable",
    "DeferredError",
    "NoiseShape",
    "RatioError",
    "ReferenceSample",
    "SimulationShapes",
    "Simulations",
    "class_overlaps",
]

FloatArray = NDArray[np.float64]

# A product of densities that overlap by less is nearly empty. Measured
# (bench_unbinned_forms.py): below .25 hardly any unbinned fit with many functions
# converges, and those with few, which do down to .06, gain nothing.
LITTLE_OVERLAP = 0.25


@dataclass(frozen=True, eq=False)
class RatioError:
    """How wrong learned log ratios may be: random coefficients of known functions.

    The true log ratio of component k is ``log_ratio_k + sum_t a_kt phi_kt + sum_j b_kj
    psi_j`` up to its normalisation, with coefficients a and b of mean zero.

    Attributes
    ----------
    rows : ndarray of shape (n_rows, n_components, n_terms)
        Functions phi at the rows of the target, in single precision.
    reference : ndarray of shape (n_reference, n_components, n_terms)
        The same at the reference rows.
    covariance : ndarray of shape (n_components * n_terms, n_components * n_terms)
        Joint covariance of a, ordered by component, then term.
    smooth_rows : ndarray of shape (n_rows, n_functions)
        Functions psi, common to all components, at the rows of the target.
    smooth_reference : ndarray of shape (n_reference, n_functions)
        The same at the reference rows.
    smooth_covariance : ndarray of shape (n_components, n_functions, n_functions)
        Covariance of b of every component; independent between components.
    """

    rows: NDArray[np.float32]
    reference: NDArray[np.float32]
    covariance: FloatArray
    smooth_rows: FloatArray
    smooth_reference: FloatArray
    smooth_covariance: FloatArray

    def take_rows(self, rows: Any) -> "RatioError":
        """Functions at some of the rows."""
        return replace(self, rows=self.rows[rows], smooth_rows=self.smooth_rows[rows])

    @property
    def none(self) -> "RatioError":
        """The same of no rows, for all that is not at rows of the target."""
        return self.take_rows(np.zeros(0, dtype=np.intp))


@dataclass(frozen=True, eq=False)
class DeferredError:
    """A `RatioError` of so many rows that its functions are made piece by piece.

    Attributes
    ----------
    X : ndarray of shape (n_rows, n_features)
        Events at the rows of the target.
    at : callable
        Makes the `RatioError` of some events.
    none : RatioError
        That of no rows, for all that is not at rows of the target.
    """

    X: FloatArray
    at: Callable[[FloatArray], RatioError]
    none: RatioError

    def take_rows(self, rows: Any) -> "RatioError | DeferredError":
        """Functions at some of the rows, or the same of fewer that are many."""
        X = self.X[rows]
        if len(row_pieces(len(X))) > 1:
            return replace(self, X=X)
        return self.at(X)


@dataclass(frozen=True, eq=False)
class NoiseShape:
    """What smoothing leaves of the statistical errors of the central template.

    In units of the errors before smoothing they have the covariance ``diag(own) + axes
    axes'``: a share of every bin's own, and what the fitted smooth function spreads.

    Attributes
    ----------
    own : ndarray of shape (n_rows,)
        Variance that rows keep for themselves.
    axes : ndarray of shape (n_rows, n_axes)
        Errors common to many rows.
    """

    own: FloatArray
    axes: FloatArray


@dataclass(frozen=True, eq=False)
class ReferenceSample:
    """Where the reference rows come from, for the error of their finite number.

    Attributes
    ----------
    source : ndarray of int, shape (n_reference,)
        Source of every reference row; rows of a source are a random sample of it.
    control : ndarray of shape (n_reference, n_functions)
        Functions whose reference means are known from more events than these rows.
    covariance : ndarray of shape (n_functions, n_functions)
        Covariance of those means.
    drawn_weight : ndarray of shape (n_reference,) or None
        Signed weights with which the rows were drawn, whose squares make the error;
        None where none is negative and the weights of the rows are those.
    """

    source: NDArray[np.intp]
    control: FloatArray
    covariance: FloatArray
    drawn_weight: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class SimulationShapes:
    """What the fitted components hold of every simulation, without any data."""

    # (n_simulations,), index of the class of each source
    source_class: NDArray[np.intp]
    source_id: NDArray[
        Any
    ]  # (n_simulations,), identifier of the simulation of each source
    # Whether equal identifiers in different classes mean the same simulation
    paired: bool
    content: FloatArray  # (n_simulations, n_rows), not negative; only its shape counts
    n_effective: FloatArray  # (n_simulations,), effective numbers of events
    functions: FloatArray  # (n_rows, n_functions), smooth functions on the rows


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
    error : RatioError, DeferredError or None
        Error of learned log ratios; None when they are not learned.
    """

    log_ratio: FloatArray
    reference_log_ratio: FloatArray
    relative_variance: FloatArray | None
    source_class: NDArray[np.intp]
    source_id: NDArray[Any]
    weights: FloatArray
    paired: bool
    error: RatioError | DeferredError | None = None

    def of_class(self, class_index: int) -> NDArray[np.intp]:
        """Column indices of the simulations of one class."""
        return np.flatnonzero(self.source_class == class_index)

    def take_rows(self, rows: NDArray[np.intp]) -> "Simulations":
        """Log densities at some of the rows."""
        error = None if self.error is None else self.error.take_rows(rows)
        return replace(self, log_ratio=self.log_ratio[rows], error=error)


@dataclass(frozen=True, eq=False)
class ComponentTable:
    """The waist of the hourglass: components and data at the same rows.

    Attributes
    ----------
    log_ratio : ndarray of shape (n_rows, n_components)
        ln[p_k(x_i) / p_ref(x_i)] of every component at every row of the target.
    row_weight : ndarray of shape (n_datasets, n_rows)
        Sum of event weights of each dataset in each row (counts when unweighted); a
        sparse array when rows are events.
    row_variance : ndarray of shape (n_datasets, n_rows)
        Sum of squared event weights, the variance of ``row_weight``; sparse likewise.
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
        Whether a dataset holds more events beyond the edges, or the support, of the
        simulations than they do.
    unfilled : ndarray of shape (n_datasets,), or None
        Share of the sum of weights of a dataset that lies in bins which no simulation
        fills, and was counted in the nearest ones; None when rows are events.
    beyond : ndarray of shape (n_datasets,), or None
        Share of the events of a dataset beyond the bin edges; None when unbinned.
    reference_sample : ReferenceSample or None
        Origin of the reference rows when they are simulated events, whose finite number
        is an error of its own.
    error : RatioError, DeferredError or None
        Error of learned log ratios; None when they are not learned.
    events_per_row : float or None
        Effective events of a template per row, harmonic mean over the simulations of
        the class with fewest; None when rows are events.
    noise_shapes : tuple of NoiseShape, one per class, or None
        Correlations of the errors of smoothed templates; None when every row has its
        own.
    unordered : bool
        Whether rows are bins without an order, and the basis has a function for each.
    """

    log_ratio: FloatArray
    row_weight: Any
    row_variance: Any
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
    unfilled: FloatArray | None = None
    beyond: FloatArray | None = None
    reference_sample: ReferenceSample | None = None
    error: RatioError | DeferredError | None = None
    events_per_row: float | None = None
    noise_shapes: tuple[NoiseShape, ...] | None = None
    unordered: bool = False

    @property
    def n_datasets(self) -> int:
        """Number of datasets."""
        return self.row_weight.shape[0]

    @property
    def overlap(self) -> FloatArray:
        """Overlap of the simulations of every class, shape (n_classes,)."""
        own = self.simulations
        return class_overlaps(
            own.reference_log_ratio, self.reference_weight, own.source_class
        )

    def components_of(self, class_index: int) -> NDArray[np.intp]:
        """Column indices of the components of one class."""
        return np.flatnonzero(self.component_class == class_index)

    def totals(self) -> tuple[FloatArray, FloatArray]:
        """Sums of weights and of squared weights of every dataset."""
        weight = np.asarray(self.row_weight.sum(axis=1), float).ravel()
        variance = np.asarray(self.row_variance.sum(axis=1), float).ravel()
        return weight, variance

    def select(self, datasets: slice) -> tuple["ComponentTable", NDArray[np.intp]]:
        """Some datasets alone, with the rows that hold any of their events.

        Parameters
        ----------
        datasets : slice
            Which datasets.

        Returns
        -------
        table : ComponentTable
            Table of these datasets with dense weights.
        rows : ndarray of int
            Rows that were kept, ascending.
        """
        weight, variance = self.row_weight[datasets], self.row_variance[datasets]
        if isinstance(weight, np.ndarray):
            rows = np.flatnonzero((weight != 0).any(axis=0))
            if rows.size < weight.shape[1]:
                weight, variance = weight[:, rows], variance[:, rows]
        else:
            rows = np.unique(weight.indices)
            weight = weight[:, rows].toarray()
            variance = variance[:, rows].toarray()
        if rows.size == len(self.log_ratio):  # all of them, without a copy
            table = replace(self, row_weight=weight, row_variance=variance)
            return table, rows.astype(np.intp)
        table = replace(
            self,
            row_weight=weight,
            row_variance=variance,
            log_ratio=self.log_ratio[rows],
            basis=self.basis[rows],
            simulations=self.simulations.take_rows(rows),
            error=None if self.error is None else self.error.take_rows(rows),
        )
        return table, rows.astype(np.intp)


@runtime_checkable
class ComponentModel(Protocol):
    """What estimators ask of a component model: simulations in, a table out.

    Children say how they ``fit``, what ``rows`` events belong to, the ``table`` and the
    ``overlap``; everything else has a default. After ``fit`` a model has
    ``component_class_`` (n_components,), ``source_weights_`` (n_simulations,
    n_components) and ``reference_weight_`` (n_reference,) as in `ComponentTable`.
    """

    binned: bool = True  # whether rows are bins, which contents alone may fill
    flow: Any = "drop"  # what reading does with events that no row holds
    binning_: Any = None  # bins of the rows, if any
    forgets: bool = False  # whether it can go on ``without`` simulations

    def fit(self, events: Any) -> Self:
        """Learn the components from `SimulatedEvents` or histograms."""
        raise NotImplementedError

    def table(self, target: Any) -> ComponentTable:
        """Components and data of all datasets at the same rows."""
        raise NotImplementedError

    def rows(self, X: FloatArray) -> NDArray[np.intp]:
        """Row of the table of every event, -1 for none.

        ``X`` (n_events, n_features) -> (n_events,).
        """
        raise NotImplementedError

    def overlap(self) -> FloatArray:
        """Overlap of the simulations of every class, shape (n_classes,)."""
        raise NotImplementedError

    def blended_overlap(self) -> FloatArray:
        """The same where they blend, which may be a part of what they are."""
        return self.overlap()

    def for_form(self, form: Any) -> Any:
        """The fitted components with which a form can live."""
        return self

    def adapted(self, table: ComponentTable, density: Any, names: Any) -> Any:
        """Templates before and after the data adapted them; None without templates.

        ``density`` () -> (n_datasets, n_classes, n_rows).
        """
        return None

    def shapes(self) -> SimulationShapes | None:
        """What every simulation looks like, for exchangeability; None is unknown."""
        return None

    def words(self) -> dict[str, str]:
        """What was chosen, for results."""
        return {}

    def without(self, ids: Any) -> Any:
        """The same without the simulations of some ids, nothing trained."""
        raise NotImplementedError


def class_overlaps(
    log_ratio: FloatArray, weight: FloatArray, source_class: NDArray[np.intp]
) -> FloatArray:
    """Overlap of the simulations of every class, Z = E_ref exp(mean_k ln r_k).

    It is one for equal densities and zero where no event can come from all of them;
    a weighted product of the simulations lives where they overlap.

    Parameters
    ----------
    log_ratio : ndarray of shape (n_reference, n_sources)
        Log densities of the simulations relative to the reference.
    weight : ndarray of shape (n_reference,)
        Probabilities of the reference rows.
    source_class : ndarray of int, shape (n_sources,)
        Class of each simulation.

    Returns
    -------
    overlap : ndarray of shape (n_classes,)
        Between zero and one, up to the noise of learned ratios.
    """
    means = [
        log_ratio[:, source_class == c].mean(axis=1) for c in np.unique(source_class)
    ]
    return np.array([weight @ np.exp(mean) for mean in means])
