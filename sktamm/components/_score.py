"""Templates of a learned score: rows are bins of the log odds of the classes.

The bins have equal widths in the log odds, between quantiles of the classes that weigh
all simulations alike: they keep what events of either class know of kappa. Quantiles of
the pooled sample would put the few per cent of signal into one bin.
"""

import builtins
from collections.abc import Callable, Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from sktamm._numerics import FloatArray
from sktamm._sklearn import at_least
from sktamm.base import ComponentTable
from sktamm.components._binned import Located, TemplateComponents
from sktamm.events import SimulatedEvents, TargetEvents
from sktamm.exceptions import InvalidInputError
from sktamm.results import AdaptedTemplates
from sktamm.templates import (
    Beyond,
    Copies,
    Flow,
    HistogramTemplates,
    LearnedScore,
    bin_simulations,
)

__all__ = ["ScoreComponents"]

# Uniform bins of the log odds, the number with which images and cytometry were first
# measured, and the share of a class beyond either end: rules of thumb.
_BINS = 15
_TAIL = 0.001


class ScoreComponents(TemplateComponents):
    """Every simulation, binned in a learned score, is a component.

    Parameters
    ----------
    classifier : {"lightgbm", "mlp", "logistic"} or classifier, default="lightgbm"
        What learns the classes; see `LearnedScore`.
    n_scores : int, default=1
        Number of scores for two classes.
    cv : int, default=5
        Largest number of classifiers, each without a part of the simulations.
    bins : "auto", int, sequence of int or sequence of arrays, default="auto"
        Bins of every score, or the edges; "auto" is 15 for one score, fewer for more.
    range : sequence of pairs or None, default=None
        Lower and upper end of every score; None takes them from the simulations.
    flow : {"clip", "bins", "drop", "refuse"}, default="clip"
        What happens to events beyond the edges; see `Binning`.
    basis : {"polynomial", "spline", "principal", "bins"} or object, \
            default="polynomial"
        Smooth functions of the bins for the function-space prior.
    smooth : bool, default=True
        Remove the noise of finite simulations from the templates.
    template_errors : bool, default=True
        Let the statistical errors of the templates discount the data.
    n_jobs : int, default=None
        Threads that share the classifiers.
    random_state : int, RandomState instance or None, default=None
        Seed of the classifiers.

    Attributes
    ----------
    score_ : LearnedScore
        Fitted score.
    templates_ : HistogramTemplates
        Contents of the bins of every simulation.
    binning_ : Binning
        Bins.

    Examples
    --------
    >>> from sktamm import TAMMRegressor
    >>> from sktamm.components import ScoreComponents
    >>> TAMMRegressor(ScoreComponents(n_scores=2)).get_params()["components__cv"]
    5
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **TemplateComponents._parameter_constraints,
        "classifier": [object],
        "n_scores": [at_least(1)],
        "cv": [at_least(2)],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        classifier: Any = "lightgbm",
        n_scores: int = 1,
        cv: int = 5,
        bins: Any = "auto",
        range: Sequence[tuple[float, float] | None] | None = None,
        flow: Flow = "clip",
        basis: Any = "polynomial",
        smooth: bool = True,
        template_errors: bool = True,
        n_jobs: int | None = None,
        random_state: Any = None,
    ):
        super().__init__(bins, "uniform", range, flow, basis, smooth, template_errors)
        self.classifier = classifier
        self.n_scores = n_scores
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, events: SimulatedEvents | HistogramTemplates) -> Self:
        """Learn the score, bin the simulations in it and find the components."""
        if not isinstance(events, SimulatedEvents):
            raise InvalidInputError("X must hold events for a learned score.")
        score = LearnedScore(
            self.classifier,
            self.n_scores,
            cv=self.cv,
            n_jobs=self.n_jobs,
            random_state=self.random_state,
        )
        self.score_ = score.fit_events(events)
        names = tuple(self.score_.get_feature_names_out())
        scores = self.score_.score_events(events)
        if (scores.min(axis=0) == scores.max(axis=0)).any():
            raise InvalidInputError(
                "X must tell the classes apart for a learned score, got events that "
                "all have the same one."
            )
        scored = replace(events, X=scores, feature_names=names)
        return super().fit(scored)

    def of_templates(self, templates: HistogramTemplates) -> Self:
        """Components found anew from templates in the same bins of the same score."""
        part: Self = clone(self)
        part.score_ = self.score_
        return super(ScoreComponents, part).fit(templates)

    def _binned(self, events: SimulatedEvents) -> tuple[HistogramTemplates, Beyond]:
        bins = self.bins
        if isinstance(bins, str) and bins == "auto":
            bins = max(3, round(_BINS ** (1.0 / events.X.shape[1])))
        ends = self.range
        if ends is None:
            ends = [_ends(column, events) for column in events.X.T]
        return bin_simulations(events, bins, "uniform", ends, self.flow)

    def rows(self, X: FloatArray) -> NDArray[np.intp]:
        """Row of the table (filled bin) of every event, -1 for events left out."""
        return super().rows(self.score_.transform(X))

    def locate(self, X: FloatArray, copies: Copies | None = None) -> Located:
        """Rows of events in the score, and which have none or lie beyond the edges."""
        copies = Copies() if copies is None else copies
        return super().locate(self.score_.score_piece(X, copies))

    def table(self, target: Any) -> ComponentTable:
        """Contents of the bins of the score and the templates as log ratios."""
        if isinstance(target, TargetEvents):
            target = replace(target, X=self.score_.transform(target.X))
        return super().table(target)

    def adapted(
        self,
        table: ComponentTable,
        density: Callable[[], FloatArray],
        names: tuple[str, ...],
    ) -> AdaptedTemplates:
        """Templates before and after the data adapted them, for a result."""
        own = tuple(str(name) for name in self.score_.get_feature_names_out())
        return super().adapted(table, density, own)


def _ends(score: FloatArray, events: SimulatedEvents) -> tuple[float, float]:
    """Outermost quantiles of the classes, every simulation weighing the same."""
    low, high = [], []
    for c in builtins.range(events.classes.size):
        ends = [
            np.quantile(score[events.source == s], [_TAIL, 1.0 - _TAIL])
            for s in np.flatnonzero(events.source_class == c)
        ]
        low.append(np.mean(ends, axis=0)[0])
        high.append(np.mean(ends, axis=0)[1])
    return float(min(low)), float(max(high))
