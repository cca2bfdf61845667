"""Unbinned component models: rows are events, components are learned density ratios.

The reference sample are held-out simulated events in the equal mixture of all sources;
the log ratios at its rows and at those of the target are all that the mixture needs.
"""

import copy
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, clone

from sktamm._numerics import FloatArray, row_pieces
from sktamm._sklearn import HasMethods, at_least, check_parameters, one_of
from sktamm.base import (
    LITTLE_OVERLAP,
    ComponentModel,
    ComponentTable,
    DeferredError,
    RatioError,
    Simulations,
    SimulationShapes,
    class_overlaps,
)
from sktamm.components._event_basis import EventBasis
from sktamm.components._projected import ProjectedRatios, RatioScore
from sktamm.components._support import leaves_support
from sktamm.events import SimulatedEvents, TargetEvents, accumulate
from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError
from sktamm.ratios import DensityRatio

__all__ = ["Described", "RatioComponents"]

Described = tuple[FloatArray, FloatArray, Any]

# Measured (bench_unbinned_forms.py) in the space of all features: with 9 functions for
# 2 to 6 simulations the interval score is half that of the projection, with 19 and more
# for 6 up to three times as large.
_FEW_FUNCTIONS = 10


class RatioComponents(ComponentModel, BaseEstimator):
    """Every simulation is a component, known by its learned density ratio ("raw").

    Parameters
    ----------
    ratio : {"mlp", "lightgbm", "logistic"}, classifier or DensityRatio, default="mlp"
        How the ratios are learned; a name or a classifier is that of a `DensityRatio`.
    basis : {"polynomial", "spline", "principal"} or object, default="polynomial"
        Smooth functions of the function-space prior.
    max_functions : int, default=240
        Largest number of these functions.
    propagate : bool, default=True
        Propagate the error of the ratios into the interval of kappa.
    random_state : int, RandomState instance or None, default=None
        Seed of split and training, where ``ratio`` has none.
    projection : {"auto", "log_odds"} or None, default="auto"
        Whether a product of densities lives in the space of all features (None) or in
        bins of the log odds of the classes. "auto" projects where the simulations of a
        class overlap by less than 0.25, or the functions are more than ten and more
        than the simulations. A linear form needs no projection.

    Attributes
    ----------
    ratio_ : DensityRatio
        Fitted ratios.

    Examples
    --------
    >>> from sktamm import TAMMRegressor
    >>> from sktamm.components import RatioComponents
    >>> from sktamm.ratios import DensityRatio
    >>> ratio = DensityRatio("logistic", cv=3)
    >>> tamm = TAMMRegressor(RatioComponents(ratio), form="linear")
    >>> tamm.get_params()["components__ratio__cv"]
    3
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "ratio": [one_of("mlp", "lightgbm", "logistic"), HasMethods(["fit"])],
        "basis": [object],
        "max_functions": [at_least(1)],
        "propagate": ["boolean"],
        "random_state": ["random_state"],
        "projection": [one_of("auto", "log_odds"), None],
    }

    binned = False
    forgets = True

    def __init__(
        self,
        ratio: Any = "mlp",
        *,
        basis: Any = "polynomial",
        max_functions: int = 240,
        propagate: bool = True,
        random_state: Any = None,
        projection: Literal["auto", "log_odds"] | None = "auto",
    ):
        self.ratio = ratio
        self.basis = basis
        self.max_functions = max_functions
        self.propagate = propagate
        self.random_state = random_state
        self.projection = projection

    def fit(self, events: SimulatedEvents) -> Self:
        """Learn the ratios."""
        if not isinstance(events, SimulatedEvents):
            raise IncompatibleChoiceError(
                "Unbinned components need events, got histograms; use binned "
                "components, such as those of BinnedTopicTAMM."
            )
        check_parameters(self)
        self.ratio_ = self._make_ratio().fit_events(events)
        self.positive_, self.paired_ = events.positive, events.paired
        self.range_ = np.stack([events.X.min(axis=0), events.X.max(axis=0)])
        self._finish()
        return self

    def _make_ratio(self) -> DensityRatio:
        if isinstance(self.ratio, DensityRatio):
            ratio = clone(self.ratio)
        else:
            ratio = DensityRatio(self.ratio)
        if ratio.random_state is None:
            ratio.random_state = self.random_state
        return ratio

    def for_form(self, form: Any) -> "RatioComponents | ProjectedRatios":
        """The components with which a form can live: these, or their projection."""
        if not self._is_to_project(form):
            return self
        score = RatioScore(self.ratio_, self.positive_, self.paired_)
        return ProjectedRatios(score).fit(score.held_out())

    def _is_to_project(self, form: Any) -> bool:
        if self.projection != "auto":
            return self.projection == "log_odds"
        if not getattr(form, "needs_overlap", False):
            return False
        size = np.bincount(self.ratio_.source_class_)
        if (size == 1).all():  # nothing adapts
            return False
        most = max(_FEW_FUNCTIONS, size[size > 1].min())
        many = self.reference_basis_.shape[1] > most
        return bool(many or self.overlap().min() < LITTLE_OVERLAP)

    def take(self, simulations: ArrayLike) -> Self:
        """The same ratios for some of the simulations, without training."""
        part = copy.copy(self)
        part.ratio_ = self.ratio_.take(simulations)
        part._finish()
        return part

    def without(self, ids: ArrayLike) -> Self:
        """The same without the simulations of some ids, nothing trained."""
        known = np.unique(self.ratio_.source_id_)
        return self.take(known[~np.isin(known, ids)])

    def shapes(self) -> SimulationShapes:
        """What every simulation looks like on the reference."""
        ratio = self.ratio_
        weight, source = ratio.reference_weight_, ratio.reference_.source
        number = ratio.source_id_.size
        total = np.bincount(source, weight, number)
        return SimulationShapes(
            ratio.source_class_,
            ratio.source_id_,
            self.paired_,
            np.exp(ratio.reference_log_ratio_.T) * weight,
            total**2 / np.bincount(source, weight**2, number),
            self.reference_basis_,
        )

    def _finish(self) -> None:
        """Basis, components and extremes of the ratios on the reference."""
        ratio = self.ratio_
        logs = ratio.reference_log_ratio_
        self.extremes_ = np.stack([logs.min(axis=0), logs.max(axis=0)])
        self.basis_ = EventBasis(
            self.basis, int(self.max_functions), ratio.coordinates_
        )
        self.reference_basis_ = self.basis_.fit(
            ratio.reference_.X, ratio.reference_weight_, logs, ratio.source_class_
        )
        self._fit_components()

    def _fit_components(self) -> None:
        self.component_class_ = self.ratio_.source_class_
        self.source_weights_ = np.eye(self.component_class_.size)

    def overlap(self) -> FloatArray:
        """Overlap of the simulations of every class, shape (n_classes,)."""
        ratio = self.ratio_
        return class_overlaps(
            ratio.reference_log_ratio_, ratio.reference_weight_, ratio.source_class_
        )

    def rows(self, X: FloatArray) -> NDArray[np.intp]:
        """Row of the table of every event: its own."""
        return np.arange(len(X))

    def table(self, target: TargetEvents) -> ComponentTable:
        """Log ratios at the events of the target and at the reference rows."""
        if not isinstance(target, TargetEvents):
            raise InvalidInputError(
                "X must hold events for unbinned components, got histograms."
            )
        ratio, at = self.ratio_, self._at_all(target.X)
        components, described = at.components, at.described
        weight, variance = _contents(target)
        simulations = Simulations(
            log_ratio=described[0],
            reference_log_ratio=described[1],
            relative_variance=None,
            source_class=ratio.source_class_,
            source_id=ratio.source_id_,
            weights=self.source_weights_,
            paired=self.paired_,
            error=described[2],
        )
        return ComponentTable(
            log_ratio=components[0],
            row_weight=weight,
            row_variance=variance,
            reference_log_ratio=components[1],
            reference_weight=ratio.reference_weight_,
            component_class=self.component_class_,
            n_classes=ratio.classes_.size,
            positive=self.positive_,
            simulations=simulations,
            basis=at.basis,
            reference_basis=self.reference_basis_,
            relative_variance=None,
            binned=False,
            out_of_range=leaves_support(target, at.beyond),
            reference_sample=ratio.fitted_reference_.sample,
            error=components[2],
        )

    def _at_all(self, X: FloatArray) -> "_AtEvents":
        """What the fit needs at events, in the memory of a piece beside the answer."""
        pieces = row_pieces(len(X))
        if len(pieces) < 2:
            return self._at(X, self.propagate)
        at = self._at(X[pieces[0]], False)
        found = at.empty(len(X))
        for rows in pieces:
            found.fill(rows, self._at(X[rows], False))
        return found if not self.propagate else self._with_error(found, X)

    def _at(self, X: FloatArray, with_error: bool) -> "_AtEvents":
        ratio, error = self.ratio_, None
        if with_error:
            log_ratio, error = ratio.predict_with_error(X)
        else:
            log_ratio = ratio.predict_log_ratio(X)
        components, described = self._describe(log_ratio, error)
        basis = self.basis_.evaluate(X, log_ratio)
        return _AtEvents(components, described, basis, self._beyond(X, log_ratio))

    def _with_error(self, at: "_AtEvents", X: FloatArray) -> "_AtEvents":
        """The error of the ratios, whose functions are made when they are needed."""

        def components(X: FloatArray) -> RatioError:
            return self._describe(*self.ratio_.predict_with_error(X))[0][2]

        def described(X: FloatArray) -> RatioError:
            return self._describe(*self.ratio_.predict_with_error(X))[1][2]

        errors = [DeferredError(X, f, f(X[:1]).none) for f in (components, described)]
        return replace(
            at,
            components=(*at.components[:2], errors[0]),
            described=(*at.described[:2], errors[1]),
        )

    def _describe(
        self, log_ratio: FloatArray, error: RatioError | None
    ) -> tuple[Described, Described]:
        """Components, and simulations as they describe them: rows, reference, error."""
        described = (log_ratio, self.ratio_.reference_log_ratio_, error)
        return described, described

    def _beyond(self, X: FloatArray, log_ratio: FloatArray) -> NDArray[np.bool_]:
        """Whether events leave the support: features or ratios beyond all simulated."""
        low, high = self.range_
        beyond = ((low > X) | (high < X)).any(axis=1)
        low, high = self.extremes_
        beyond |= (log_ratio > high + 1.0).any(axis=1)
        beyond |= (log_ratio < low - 1.0).any(axis=1)
        return np.asarray(beyond, bool)


@dataclass(frozen=True, eq=False)
class _AtEvents:
    """What a table holds at events."""

    components: Described
    described: Described  # the same arrays where the components are the simulations
    basis: FloatArray  # (n_events, n_basis)
    beyond: NDArray[np.bool_]  # (n_events,), whether the event leaves the support

    def _arrays(self) -> list[NDArray[Any]]:
        own, described = self.components[0], self.described[0]
        same = [] if described is own else [described]
        return [own, self.basis, self.beyond, *same]

    def empty(self, n_rows: int) -> "_AtEvents":
        """Room for many events of the same kind."""
        made = [np.empty((n_rows, *a.shape[1:]), a.dtype) for a in self._arrays()]
        own, basis, beyond, *other = made
        described = other[0] if other else own
        components = (own, *self.components[1:])
        return _AtEvents(components, (described, *self.described[1:]), basis, beyond)

    def fill(self, rows: slice, piece: "_AtEvents") -> None:
        """Put a piece where it belongs."""
        for array, values in zip(self._arrays(), piece._arrays(), strict=True):
            array[rows] = values


def _contents(target: TargetEvents) -> tuple[Any, Any]:
    """Sums of weights and of squared weights, one row per event; sparse if many."""
    n_events = len(target.X)
    if target.counts is None:
        return accumulate(None, n_events, target)
    counts = sparse.csr_array(target.counts).T.tocsr().astype(float)
    if target.weight is None:
        return counts, counts
    scale = sparse.diags_array(target.weight)
    return (counts @ scale).tocsr(), (counts @ scale @ scale).tocsr()
