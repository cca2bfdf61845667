"""Binned component models: rows are bins, components are templates or topics.

The reference is the equal mixture of all simulations, p_ref = mean_k p_k, so a bin has
reference weight p_ref and the log ratio ln(p_k / p_ref) for component k.
"""

import builtins
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone

from sktamm._numerics import FloatArray, IntArray
from sktamm._sklearn import at_least, check_parameters, one_of
from sktamm.base import (
    ComponentModel,
    ComponentTable,
    NoiseShape,
    SimulationShapes,
    class_overlaps,
)
from sktamm.components._counting import EventCounts
from sktamm.components._support import exceeds, leaves_support, share_beyond
from sktamm.components._tables import binned_table, log_ratio_to
from sktamm.events import SimulatedEvents, TargetEvents, accumulate
from sktamm.exceptions import (
    IncompatibleChoiceError,
    InvalidInputError,
)
from sktamm.functions import (
    BinBasis,
    NoBasis,
    PolynomialBasis,
    SplineBasis,
    degrees_of,
    orthonormalise,
)
from sktamm.results import AdaptedTemplates
from sktamm.templates import (
    Beyond,
    Bins,
    Copies,
    Flow,
    HistogramTemplates,
    TargetContents,
    TopicModel,
    bin_simulations,
    effective_events,
    filled_bins,
    have_no_order,
    smooth_templates,
    template_probabilities,
    topic_relative_variance,
)

__all__ = ["TemplateComponents", "TopicComponents"]

_BASES = {
    "auto": PolynomialBasis,  # where bins have an order
    "polynomial": PolynomialBasis,
    "spline": SplineBasis,
    "principal": NoBasis,
    "bins": BinBasis,
}
# Degree of the polynomials of one feature: a peak or a score bends otherwise than a
# cubic. Scores of images: coverage .64/.86 for .56/.81; clusters: IS .051 for .060.
_DEGREE_OF_ONE = 8
_LARGEST_RELATIVE_VARIANCE = 1.0  # a bin of a topic is not known worse than by itself

Target = TargetEvents | TargetContents | EventCounts


class Located(NamedTuple):
    """Where events lie, each (n_events,)."""

    row: IntArray  # of the table; -1 for those left out
    lost: NDArray[np.bool_]  # whether no simulation fills the bin
    beyond: NDArray[np.bool_]  # whether the event lies beyond the edges


class TemplateComponents(ComponentModel, BaseEstimator):
    """Every binned simulation is a component ("raw").

    Parameters
    ----------
    bins : "auto", int, sequence of int or sequence of arrays, default="auto"
        Bins of every feature, or the edges. "auto" takes as many as the simulated
        events can fill, at most ten per feature, or twenty of one.
    strategy : {"auto", "uniform", "quantile"}, default="auto"
        Equal widths or equal contents, where ``bins`` are numbers; "auto" takes equal
        contents of features without a range of which one bin of equal width would hold
        more than a quarter of the events, and three times its share.
    range : sequence of pairs or None, default=None
        Lower and upper end of every feature; None takes them from the simulations, such
        that outliers and placeholders for missing values lie beyond.
    flow : {"clip", "bins", "drop", "refuse"}, default="clip"
        What happens to events beyond the edges; see `Binning`.
    basis : {"auto", "polynomial", "spline", "principal", "bins"} or object, \
            default="auto"
        Smooth functions of the bins for the function-space prior; "principal" leaves
        only the principal components of the simulations, and "bins" has a function for
        every bin, a thousand at most, for bins without an order, such as labels and
        clusters. "auto" takes "bins" for up to a hundred bins where along a feature, of
        six bins or more, the simulations differ between neighbours as between any
        others, and polynomials otherwise.
    smooth : bool, default=True
        Remove the noise of finite simulations from the templates; structure that is
        significant stays.
    template_errors : bool, default=True
        Let the statistical errors of the templates discount the data.

    Attributes
    ----------
    templates_ : HistogramTemplates
        Contents of the bins of every simulation.
    binning_ : Binning
        Bins.
    rows_ : FilledBins
        Bins that some simulation fills: the rows of the table.
    unordered_ : bool
        Whether the bins have no order; their templates are not smoothed then.
    coordinates_ : ndarray of shape (n_rows, n_features)
        Their positions in [-1, 1].
    beyond_ : float
        Share of the events beyond the edges in the simulation with most of them.

    Examples
    --------
    >>> from sktamm import TAMMRegressor
    >>> from sktamm.components import TemplateComponents
    >>> tamm = TAMMRegressor(TemplateComponents(bins=[10, 20], flow="bins"))
    >>> tamm.get_params()["components__flow"]
    'bins'
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "bins": [object],
        "strategy": [one_of("auto", "uniform", "quantile")],
        "range": [object],
        "flow": [one_of("clip", "bins", "drop", "refuse")],
        "basis": [object],
        "smooth": ["boolean"],
        "template_errors": ["boolean"],
    }

    forgets = True

    def __init__(
        self,
        bins: Bins | str = "auto",
        strategy: Literal["auto", "uniform", "quantile"] = "auto",
        range: Sequence[tuple[float, float] | None] | None = None,
        flow: Flow = "clip",
        basis: Any = "auto",
        smooth: bool = True,
        template_errors: bool = True,
    ):
        self.bins = bins
        self.strategy = strategy
        self.range = range
        self.flow = flow
        self.basis = basis
        self.smooth = smooth
        self.template_errors = template_errors

    def fit(self, events: SimulatedEvents | HistogramTemplates) -> Self:
        """Bin the simulations and find the components."""
        check_parameters(self)
        self.beyond_ = 0.0
        self._of_events = isinstance(events, SimulatedEvents)
        self._crowded: tuple[tuple[int, int], ...] = ()
        if isinstance(events, SimulatedEvents):
            events, beyond = self._binned(events)
            self.beyond_, self._crowded = beyond.share, beyond.crowded
        self.binning_ = events.binning
        self.rows_, filled = filled_bins(events)
        self.templates_ = _in_canonical_order(filled)
        self.coordinates_ = self.rows_.coordinates()
        self.unordered_ = self._is_unordered()
        probability, variance = template_probabilities(self.templates_)
        self.noise_shapes_: tuple[NoiseShape, ...] | None = None
        if self._smooths():
            probability, self.noise_shapes_ = smooth_templates(
                probability,
                variance,
                self.templates_.source_class,
                self.coordinates_,
                self._crowded,
            )
        self.probability_ = probability
        self.reference_weight_ = probability.mean(axis=0)
        self._fit_components(probability, variance)
        self._fit_basis()
        return self

    def of_templates(self, templates: HistogramTemplates) -> Self:
        """Components of the same kind, found anew from templates in the same bins."""
        return clone(self).fit(templates)

    def without(self, ids: ArrayLike) -> Self:
        """The same without the simulations of some ids, nothing trained."""
        kept = ~np.isin(self.templates_.source_id, ids)
        return self.of_templates(self.templates_.take(np.flatnonzero(kept)))

    def shapes(self) -> SimulationShapes:
        """What every simulation looks like in the bins."""
        own = self.templates_
        return SimulationShapes(
            own.source_class,
            own.source_id,
            own.paired,
            np.maximum(own.sum_of_weights, 0.0),
            effective_events(own),
            self.basis_,
        )

    def _binned(self, events: SimulatedEvents) -> tuple[HistogramTemplates, Beyond]:
        return bin_simulations(events, self.bins, self.strategy, self.range, self.flow)

    def _fit_components(self, probability: FloatArray, variance: FloatArray) -> None:
        self.component_probability_ = probability
        self.component_class_ = self.templates_.source_class
        self.relative_variance_ = variance
        self.source_weights_ = np.eye(probability.shape[0])
        self.described_probability_ = probability
        self.described_variance_ = variance

    def _is_unordered(self) -> bool:
        """Whether the bins are labels, as the setting or the simulations say."""
        if not isinstance(self.basis, str):
            return isinstance(self.basis, BinBasis)
        if self.basis == "auto":
            return have_no_order(self.templates_)
        return self.basis == "bins"

    def _smooths(self) -> bool:
        return self.smooth and not self.unordered_

    def _fit_basis(self) -> None:
        coordinates = self.rows_.bounded_coordinates()
        basis = BinBasis() if self.unordered_ else _make_basis(self.basis, coordinates)
        values = basis.evaluate(coordinates)
        degrees = degrees_of(basis, coordinates.shape[1])
        self.basis_ = orthonormalise(values, values, self.reference_weight_, degrees)[1]

    def overlap(self) -> FloatArray:
        """Overlap of the simulations of every class, shape (n_classes,)."""
        log_ratio = log_ratio_to(self.described_probability_, self.reference_weight_)
        return class_overlaps(
            log_ratio, self.reference_weight_, self.templates_.source_class
        )

    def words(self) -> dict[str, str]:
        """What was chosen, for results."""
        bins = " x ".join(str(n) for n in self.binning_.shape)
        return {"bins": f"{bins} without an order" if self.unordered_ else bins}

    def rows(self, X: FloatArray) -> NDArray[np.intp]:
        """Row of the table (filled bin) of every event, -1 for events left out."""
        return self.rows_.index(X)

    def locate(self, X: FloatArray, copies: Copies | None = None) -> Located:
        """Rows of events, and which have none or lie beyond the edges."""
        cell = self.binning_.index(X)
        lost = self.rows_.are_unfilled(cell)
        return Located(self.rows_.rows_of(cell), lost, self.binning_.beyond(X))

    def table(self, target: Target) -> ComponentTable:
        """Components and data at the same bins."""
        weight, variance, unfilled = self._contents(target)
        _check_contents(weight)
        out_of_range, beyond = self._range_of(target)
        templates = self.templates_
        return binned_table(
            self.component_probability_,
            templates.source_class,
            templates.source_id,
            (weight, variance),
            positive=templates.positive,
            paired=templates.paired,
            component_class=self.component_class_,
            weights=self.source_weights_,
            described=self.described_probability_,
            reference_weight=self.reference_weight_,
            basis=self.basis_,
            unordered=self.unordered_,
            relative_variance=self._errors(self.relative_variance_),
            described_variance=self._errors(self.described_variance_),
            out_of_range=out_of_range,
            unfilled=unfilled / weight.sum(axis=1),
            beyond=beyond,
            events_per_row=self._events_per_row(),
            noise_shapes=self.noise_shapes_,
        )

    def _events_per_row(self) -> float:
        """Effective events per filled bin of the class whose templates have fewest."""
        templates = self.templates_
        size = effective_events(templates)
        classes = builtins.range(templates.classes.size)
        own = [size[templates.source_class == c] for c in classes]
        fewest = min(len(n) / (1.0 / n).sum() for n in own)
        return float(fewest / self.rows_.n_rows)

    def _range_of(
        self, target: Target
    ) -> tuple[NDArray[np.bool_] | None, FloatArray | None]:
        """Whether more events lie beyond than simulated, and their share."""
        if isinstance(target, EventCounts):
            counted = target.number_beyond, target.number
            return exceeds(*counted, self.beyond_), counted[0] / counted[1]
        if not isinstance(target, TargetEvents):
            return self._range_of_contents(target)
        beyond = self.binning_.beyond(target.X)
        return leaves_support(target, beyond, self.beyond_), share_beyond(
            target, beyond
        )

    def _range_of_contents(
        self, target: TargetContents
    ) -> tuple[NDArray[np.bool_] | None, FloatArray | None]:
        """The same of flow bins, where simulated events say what is usual there."""
        if not self._of_events or target.beyond is None:
            return None, None
        effective = target.weight.sum(axis=1) ** 2 / target.variance.sum(axis=1)
        number = target.beyond * effective
        return exceeds(number, effective, self.beyond_), target.beyond

    def adapted(
        self,
        table: ComponentTable,
        density: Callable[[], FloatArray],
        names: tuple[str, ...],
    ) -> AdaptedTemplates:
        """Templates before and after the data adapted them, for a result."""
        source_class = self.templates_.source_class
        nominal = [
            self.probability_[source_class == c].mean(axis=0)
            for c in builtins.range(table.n_classes)
        ]
        return AdaptedTemplates(
            edges=self.binning_.edges,
            shape=self.binning_.shape,
            flow=self.binning_.flow == "bins",
            feature_names=names,
            counts=self.rows_.spread(table.row_weight),
            variances=self.rows_.spread(table.row_variance),
            nominal=self.rows_.spread(np.array(nominal)),
            simulated=self.rows_.spread(self.probability_),
            source_class=source_class,
            adapted=self.rows_.spread(density() * self.reference_weight_),
        )

    def _errors(self, variance: FloatArray) -> FloatArray | None:
        return variance.T if self.template_errors else None

    def _contents(self, target: Target) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Contents of the rows and their variances, and what bins without row hold."""
        if isinstance(target, EventCounts):
            return target.weight, target.variance, target.unfilled
        if not isinstance(target, TargetEvents):
            weight, variance = target.weight, target.variance
            unfilled = np.delete(weight, self.rows_.number, axis=1).sum(axis=1)
            return self.rows_.gather(weight), self.rows_.gather(variance), unfilled
        cell = self.binning_.index(target.X)
        lost = self.rows_.are_unfilled(cell)
        row = self.rows_.rows_of(cell)
        content = accumulate(row, self.rows_.n_rows, target)
        unfilled = np.zeros(target.n_datasets)
        if lost.any():
            unfilled = accumulate(np.where(lost, 0, -1), 1, target)[0][:, 0]
        return *content, unfilled


class TopicComponents(TemplateComponents):
    """A few topics per class stand for many binned simulations.

    Parameters
    ----------
    n_topics : int, default=20
        Topics per class. A class with no more simulations than this keeps its raw
        templates.
    bins : "auto", int, sequence of int or sequence of arrays, default="auto"
        Bins of every feature, or the edges. "auto" takes as many as the simulated
        events can fill, at most ten per feature, or twenty of one.
    strategy : {"auto", "uniform", "quantile"}, default="auto"
        Equal widths or equal contents, where ``bins`` are numbers; "auto" takes equal
        contents of features without a range of which one bin of equal width would hold
        more than a quarter of the events, and three times its share.
    range : sequence of pairs or None, default=None
        Lower and upper end of every feature; None takes them from the simulations, such
        that outliers and placeholders for missing values lie beyond.
    flow : {"clip", "bins", "drop", "refuse"}, default="clip"
        What happens to events beyond the edges; see `Binning`.
    basis : {"auto", "polynomial", "spline", "principal", "bins"} or object, \
            default="auto"
        Functions of the bins for the function-space prior, as `TemplateComponents`
        takes them.
    smooth : bool, default=True
        Remove the noise of finite simulations from templates and topics.
    template_errors : bool, default=True
        Let the statistical errors of the topics discount the data.
    topic_model : TopicModel or None, default=None
        Model that finds the topics; its ``n_topics`` is set. None is `TopicModel()`.

    Attributes
    ----------
    topic_models_ : list of TopicModel or None
        Fitted model of every class; None where the raw templates were kept.

    Examples
    --------
    >>> from sktamm import TAMMRegressor
    >>> from sktamm.components import TopicComponents
    >>> TAMMRegressor(TopicComponents(n_topics=10), form="linear").form
    'linear'
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **TemplateComponents._parameter_constraints,
        "n_topics": [at_least(1)],
        "topic_model": [object],
    }

    def __init__(
        self,
        n_topics: int = 20,
        bins: Bins | str = "auto",
        strategy: Literal["auto", "uniform", "quantile"] = "auto",
        range: Sequence[tuple[float, float] | None] | None = None,
        flow: Flow = "clip",
        basis: Any = "auto",
        smooth: bool = True,
        template_errors: bool = True,
        topic_model: Any = None,
    ):
        super().__init__(bins, strategy, range, flow, basis, smooth, template_errors)
        self.n_topics = n_topics
        self.topic_model = topic_model

    def _fit_components(self, probability: FloatArray, variance: FloatArray) -> None:
        parts = [
            self._fit_class(c, probability, variance)
            for c in builtins.range(self.templates_.classes.size)
        ]
        self.topic_models_ = [part[0] for part in parts]
        topics = [part[1] for part in parts]
        self.component_probability_ = np.vstack(topics)
        self.relative_variance_ = np.vstack([part[2] for part in parts])
        sizes = [len(t) for t in topics]
        self.component_class_ = np.repeat(np.arange(len(sizes)), sizes)
        if self._smooths():
            self.component_probability_, self.noise_shapes_ = smooth_templates(
                self.component_probability_,
                self.relative_variance_,
                self.component_class_,
                self.coordinates_,
                self._crowded,
            )
        self.source_weights_ = np.zeros((probability.shape[0], sum(sizes)))
        for c, part in enumerate(parts):
            sources = self.templates_.source_class == c
            columns = self.component_class_ == c
            self.source_weights_[np.ix_(sources, columns)] = part[3]
        self._describe_simulations()

    def _describe_simulations(self) -> None:
        """Simulations as blends of topics, and the errors those blends inherit."""
        weights, topics = self.source_weights_, self.component_probability_
        self.described_probability_ = weights @ topics
        variance = weights**2 @ (topics**2 * self.relative_variance_)
        self.described_variance_ = variance / self.described_probability_**2

    def _fit_class(
        self, c: int, probability: FloatArray, variance: FloatArray
    ) -> tuple[TopicModel | None, FloatArray, FloatArray, FloatArray]:
        """Topics, their relative variance and the shares of the simulations."""
        sources = np.flatnonzero(self.templates_.source_class == c)
        if sources.size <= self.n_topics:
            return None, probability[sources], variance[sources], np.eye(sources.size)
        counts = _effective_counts(self.templates_, sources)
        model = TopicModel() if self.topic_model is None else clone(self.topic_model)
        model.set_params(n_topics=self.n_topics).fit(counts)
        error = topic_relative_variance(counts, model.shares_, model.topics_)
        error = np.minimum(error, _LARGEST_RELATIVE_VARIANCE)
        return model, model.topics_, error, model.shares_


def _effective_counts(
    templates: HistogramTemplates, sources: NDArray[np.intp]
) -> FloatArray:
    """Contents scaled to effective events, negative ones set to zero."""
    sums = np.maximum(templates.sum_of_weights[sources], 0.0)
    squares = templates.sum_of_squares[sources].sum(axis=1, keepdims=True)
    return sums * (sums.sum(axis=1, keepdims=True) / squares)


def _in_canonical_order(templates: HistogramTemplates) -> HistogramTemplates:
    """Sort the simulations of every class by content, not by name.

    Renaming or reordering simulations then changes nothing, not even the rounding.
    """
    keys = [*templates.sum_of_weights.T[::-1], templates.source_class]
    order = np.lexsort(keys)
    fields = dict(vars(templates))
    for name in ("sum_of_weights", "sum_of_squares", "dropped", "source_class"):
        fields[name] = fields[name][order]
    fields["source_id"] = fields["source_id"][order]
    return HistogramTemplates(**fields)


def _check_contents(weight: FloatArray) -> None:
    """Refuse datasets without a positive content."""
    total = weight.sum(axis=1)
    if not (total > 0).all():
        bad = np.flatnonzero(~(total > 0))[0]
        raise InvalidInputError(
            "The target must have a positive sum of weights within the bins, but "
            f"dataset number {bad} has {total[bad]:g}."
        )


def _make_basis(basis: Any, coordinates: FloatArray) -> Any:
    """Functions by name; of one coordinate up to half as many as there are bins."""
    if not isinstance(basis, str):
        return basis
    if basis not in _BASES:
        raise IncompatibleChoiceError(
            f"basis must be one of {sorted(_BASES)} or an object with the method "
            f"'evaluate', got {basis!r}."
        )
    bins, d = coordinates.shape
    if _BASES[basis] is PolynomialBasis and d == 1:
        most = max(PolynomialBasis().degree, (bins + 1) // 2)
        return PolynomialBasis(min(most, _DEGREE_OF_ONE))
    return _BASES[basis]()
