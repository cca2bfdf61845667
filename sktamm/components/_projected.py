"""Projected ratios: events enter through what their ratios say of the classes.

Where many features meet few simulations, or simulations move clusters about, a product
of learned densities fails: it is empty wherever one of them is, and few simulations say
little about many directions. With the log odds of the classes,

    t_c(x) = ln mean_{k in c} r_k(x) - ln mean_{k in 0} r_k(x),    c = 1, ..., C - 1,

the ratio of a simulation in t alone is E_ref[r_k | t], the share of its events in a bin
of t. Bins of events that the classifier has not seen make it right whatever was learned
(a poor score costs width, not coverage), and in t the simulations overlap again. A
simulation is scored by the ratios of the others, and an event of the target without one
of them: nature is no simulation that the classifier knows.
"""

import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from sktamm._numerics import FloatArray
from sktamm.base import class_overlaps
from sktamm.components._score import ScoreComponents
from sktamm.events import SimulatedEvents
from sktamm.ratios import DensityRatio, mean_model
from sktamm.templates import Copies, HistogramTemplates, is_discrete, spread_over

__all__ = ["ProjectedRatios", "RatioScore"]


@dataclass(frozen=True, eq=False)
class RatioScore:
    """Log odds of the classes from learned ratios; simulations weigh the same."""

    ratio: DensityRatio  # Fitted ratios
    positive: int  # Index of the class whose fraction is kappa
    paired: bool  # Whether equal ids in different classes mean the same simulation

    @cached_property
    def discrete(self) -> bool:
        """Whether most events have copies, which then take turns."""
        return is_discrete(self.ratio.held_out_.X)

    def __deepcopy__(self, memo: Any) -> "RatioScore":
        return self

    def transform(self, X: FloatArray) -> FloatArray:
        """Log odds at events; see `score_piece`.

        ``X`` (n_events, n_features) -> (n_events, n_classes - 1).
        """
        return self.score_piece(X, Copies())

    def score_piece(self, X: FloatArray, copies: Copies) -> FloatArray:
        """Log odds at events that follow others.

        Held-out events know the ratios of one fold without their own simulation, so
        every event gets the score of one fold without one simulation: an average would
        be too good.

        ``X`` (n_events, n_features) -> (n_events, n_classes - 1): log odds of the
        second and every further class against the first.
        """
        ratio, ids = self.ratio, np.unique(self.ratio.source_id_)
        most = ids.size * len(ratio.models_)
        number = spread_over(X, most, self.discrete, copies)
        fold = number // ids.size
        log_ratio = np.empty((len(X), ratio.source_id_.size))
        for f in np.unique(fold):
            own = ratio if len(ratio.models_) == 1 else _of_fold(ratio, f)
            log_ratio[fold == f] = own.predict_log_ratio(X[fold == f])
        return self._log_odds(log_ratio, ids[number % ids.size])

    def get_feature_names_out(self) -> NDArray[Any]:
        """Names of the scores."""
        names = [f"log odds of {label}" for label in self.ratio.classes_[1:]]
        return np.array(names, dtype=object)

    def held_out(self) -> SimulatedEvents:
        """Scores of the events that the classifier has not seen, with their sources."""
        ratio = self.ratio
        number = np.full(ratio.all_source_class_.size, -1)
        number[ratio.sources_] = np.arange(ratio.sources_.size)
        own = number[ratio.held_out_.source] >= 0
        weight = ratio.held_out_.weight[own]
        if (weight < 0).any():  # settled: a bin of signed ones may hold less than none
            weight = ratio.reference_weight_
        source = number[ratio.held_out_.source[own]].astype(np.intp)
        return SimulatedEvents(
            source=source,
            source_class=ratio.source_class_,
            source_id=ratio.source_id_,
            classes=ratio.classes_,
            positive=self.positive,
            paired=self.paired,
            X=self._log_odds(ratio.reference_log_ratio_, ratio.source_id_[source]),
            weight=None if (weight == weight[0]).all() else weight,
            feature_names=tuple(map(str, self.get_feature_names_out())),
        )

    def _log_odds(self, log_ratio: FloatArray, left_out: NDArray[Any]) -> FloatArray:
        """Log odds, the simulation that is left out given for every event."""
        score = np.empty((len(log_ratio), self.ratio.classes_.size - 1))
        for name in np.unique(left_out):
            rows = left_out == name
            kept = self.ratio.source_id_ != name
            size = [
                self._log_mean(log_ratio[rows], c, kept)
                for c in range(self.ratio.classes_.size)
            ]
            score[rows] = np.stack([of_c - size[0] for of_c in size[1:]], axis=1)
        return score

    def _log_mean(
        self, log_ratio: FloatArray, c: int, kept: NDArray[Any]
    ) -> FloatArray:
        """Log of the mean ratio of a class over simulations that are kept, if any."""
        own = self.ratio.source_class_ == c
        if (own & kept).any():
            own = own & kept
        mean: FloatArray = logsumexp(log_ratio[:, own], axis=1)
        return mean - np.log(np.count_nonzero(own))


def _of_fold(ratio: DensityRatio, fold: int) -> DensityRatio:
    """The ratios of one fold alone."""
    trained = ratio.models_[fold]
    part = copy.copy(ratio)
    part.models_ = [trained]
    base = mean_model([trained.log_linear], ratio.sources_) if ratio.shrink else None
    part.fitted_reference_ = replace(ratio.fitted_reference_, log_linear=base)
    return part


class ProjectedRatios(ScoreComponents):
    """Every simulation is a component, binned in the log odds of learned ratios.

    Parameters
    ----------
    score : RatioScore
        Score from fitted ratios.

    Attributes
    ----------
    ratio_ : DensityRatio
        The ratios.

    See Also
    --------
    RatioComponents : What is projected, and when.

    Examples
    --------
    >>> from sktamm import NeuralRatioTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> study = make_gaussian_study(4, 500, n_features=5, random_state=1)
    >>> tamm = NeuralRatioTAMM("logistic", random_state=0)
    >>> tamm = tamm.fit(study.X, study.y, simulation=study.simulation)
    >>> type(tamm.components_).__name__
    'ProjectedRatios'
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"score": [object]}

    def __init__(self, score: Any = None):
        super().__init__()
        self.score = score

    @property
    def ratio_(self) -> DensityRatio:
        """The fitted ratios behind the score."""
        return self.score.ratio

    def fit(self, events: SimulatedEvents | HistogramTemplates) -> Self:
        """Bin the simulations and find the components."""
        self.score_ = self.score
        return super(ScoreComponents, self).fit(events)

    def of_templates(self, templates: HistogramTemplates) -> Self:
        """Components found anew from templates in the same bins of the same score."""
        return type(self)(self.score).fit(templates)

    def take(self, simulations: ArrayLike) -> "ProjectedRatios":
        """The same for some of the simulations, without training."""
        score = replace(self.score, ratio=self.ratio_.take(simulations))
        return ProjectedRatios(score).fit(score.held_out())

    def overlap(self) -> FloatArray:
        """Overlap of the simulations of every class before the projection."""
        ratio = self.ratio_
        return class_overlaps(
            ratio.reference_log_ratio_, ratio.reference_weight_, ratio.source_class_
        )

    def blended_overlap(self) -> FloatArray:
        """Overlap of what blends: the simulations in bins of the log odds."""
        return super().overlap()

    def words(self) -> dict[str, str]:
        """What was chosen, for results."""
        return {"projection": "log odds", **super().words()}
