"""Scores of intervals: coverage, width and error on datasets of known fraction.

Choices are made by the interval score of Gneiting and Raftery (2007), the width plus a
fine for every miss,

    S = u - l + 2/alpha (l - kappa)_+ + 2/alpha (kappa - u)_+,     alpha = 1 - level,

which is smallest on average for the honest interval.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.metadata_routing import MetadataRequest, get_routing_for_object

from sktamm._numerics import FloatArray
from sktamm._sklearn import at_least, check_parameters, one_of
from sktamm._validation import read_ids, read_weight
from sktamm.coverage import (
    ONE_SIGMA,
    LabelledEvents,
    check_different,
    choose_fractions,
    summarise,
)
from sktamm.exceptions import InvalidInputError
from sktamm.tamm import ask, check_levels, classes_of, seed_sequence

__all__ = [
    "CoverageScorer",
    "SingleScorer",
    "coverage_error_scorer",
    "higgsml_scorer",
    "interval_score_scorer",
    "neg_rmse_scorer",
]

# Fractions of a typical measurement, a rule of thumb where the user names none.
_ENDS = (0.02, 0.3)
_FRACTIONS = {"fixed": (0.02, 0.09, 0.3), "grid": _ENDS, "uniform": _ENDS}
# Why a measure may be missing.
_NEEDS = {"higgsml": f", which needs {ONE_SIGMA} among the levels"}


class _RequestsWeight(BaseEstimator):
    """A scorer that asks for ``sample_weight`` unless told otherwise."""

    def set_score_request(self, *, sample_weight: bool | str | None) -> Self:
        """Choose whether and under which name event weights are asked for."""
        request = MetadataRequest(owner=self)
        request.score.add_request(param="sample_weight", alias=sample_weight)
        self._metadata_request = request
        return self

    def get_metadata_routing(self) -> MetadataRequest:
        """Metadata that the scorer asks for."""
        if hasattr(self, "_metadata_request"):
            return get_routing_for_object(self._metadata_request)
        request = MetadataRequest(owner=self)
        request.score.add_request(param="sample_weight", alias=True)
        return request

    def _accept_sample_weight(self) -> bool:
        # What scikit-learn asks scorers in a dictionary while routing is off.
        return True


class CoverageScorer(_RequestsWeight):
    """Scorer of intervals for ``scoring=``: many measures from one set of datasets.

    Datasets of known signal fraction are drawn from labelled events that were left out,
    their intervals come from one call of the estimator, and the measures are returned
    as a dict, as `cross_validate` and `GridSearchCV` (with ``refit="interval_score"``)
    take it. Pipelines and searches that end in an estimator of fractions can be scored.

    Parameters
    ----------
    levels : sequence of float, default=(0.683, 0.954)
        Levels of the intervals, different ones.
    n_datasets : int, default=100
        Number of datasets.
    kappa : float or sequence of float, default=None
        True fractions. "fixed": the values, used in turn, None is 0.02, 0.09 and 0.3;
        "uniform" and "grid": the two ends, None is 0.02 and 0.3; "natural": None.
    size : int, default=None
        Events per dataset; take that of the data. None is half of the events of the
        class that runs out first, or a tenth of the effective number of events where
        they are drawn with replacement.
    protocol : {"uniform", "fixed", "grid", "natural"}, default="uniform"
        How fractions are chosen: at random between two ends (uniform prevalence),
        equidistant between them (artificial prevalence), as given, or as among the
        events.
    replace : bool or "auto", default="auto"
        Whether events are drawn with replacement; "auto" does so only where there are
        weights or too few events.
    random_state : int, RandomState instance or None, default=0
        Seed of the datasets. An integer shows the same ones to all candidates of a
        search, whose differences are then less noisy.

    See Also
    --------
    LeaveSimulationsOut : Holds out simulations to score on.
    SingleScorer : One of the measures as a single number.

    Notes
    -----
    The measures, with the value of every level where 0.683 stands:

    ========================  ====================================================
    ``interval_score``        minus the interval score, mean over the levels
    ``interval_score_0.683``  minus the mean interval score
    ``coverage_0.683``        share of the intervals that hold the truth
    ``coverage_error``        mean of the following over the levels
    ``coverage_error_0.683``  minus the absolute deviation of the coverage
    ``higgsml``               `sktamm.coverage.higgsml_score` at the level from 0.68 to
                              0.685, where there is one
    ``mean_width_0.683``      mean width of the intervals
    ``bias``                  mean error of kappa
    ``rmse``, ``neg_rmse``    root of its mean square, and minus that
    ``pull_mean``             mean of error / standard error
    ``pull_std``              its standard deviation
    ``failed``                share of the fits that failed
    ========================  ====================================================

    Higher is better for interval scores, ``coverage_error``, ``higgsml`` and
    ``neg_rmse``, which searches can therefore refit by; the others are plain measures.
    A failed fit counts as a miss and scores like the interval [0, 1].

    A fold that holds out one simulation has one truth, which is covered by nearly all
    of its datasets or nearly none when the error of the simulations dominates. Average
    ``coverage_0.683`` over the folds before comparing it with its level, and choose by
    the interval score, whose mean over folds means something. ``coverage_error`` and
    ``higgsml`` judge the coverage of every fold by itself.

    Weights decide how often an event is drawn, which must not be negative. Without
    metadata routing scikit-learn hands scorers only the ``sample_weight`` of a search
    over the estimator itself, not that of a Pipeline's step, and none in
    `cross_validate`.

    References
    ----------
    Gneiting and Raftery, J. Am. Stat. Assoc. 102 (2007) 359.

    Examples
    --------
    >>> from sklearn.model_selection import cross_validate
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.model_selection import CoverageScorer, LeaveSimulationsOut
    >>> study = make_gaussian_study(n_simulations=4, n_events=2000, random_state=0)
    >>> scores = cross_validate(
    ...     BinnedTopicTAMM(random_state=0), study.X, study.y, groups=study.simulation,
    ...     params={"simulation": study.simulation},
    ...     cv=LeaveSimulationsOut(), scoring=CoverageScorer(n_datasets=10),
    ... )
    >>> scores["test_interval_score"].shape
    (4,)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "levels": [object],  # `check_levels` says more
        "n_datasets": [at_least(1)],
        "kappa": [object],  # and `choose_fractions`
        "size": [at_least(1), None],
        "protocol": [one_of("uniform", "fixed", "grid", "natural")],
        "replace": ["boolean", one_of("auto")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        levels: Sequence[float] = (0.683, 0.954),
        n_datasets: int = 100,
        kappa: float | Sequence[float] | None = None,
        size: int | None = None,
        protocol: Literal["uniform", "fixed", "grid", "natural"] = "uniform",
        *,
        replace: bool | Literal["auto"] = "auto",
        random_state: Any = 0,
    ):
        self.levels = levels
        self.n_datasets = n_datasets
        self.kappa = kappa
        self.size = size
        self.protocol = protocol
        self.replace = replace
        self.random_state = random_state

    def __call__(
        self,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
    ) -> dict[str, float]:
        """Measures of a fitted estimator on labelled events."""
        check_parameters(self)
        levels = check_levels(self.levels)
        check_different(levels)
        truth, counts = self._draw(estimator, y, sample_weight)
        answers = ask(estimator, X, counts, levels.tolist())
        found = summarise(
            truth, answers.kappa, answers.std, answers.interval, tuple(levels)
        )
        return _higher_is_better(found, levels)

    def single(self, measure: str) -> "SingleScorer":
        """Scorer of one measure by its name, for example "interval_score"."""
        return SingleScorer(self, measure)

    def _draw(
        self, estimator: Any, y: ArrayLike, sample_weight: ArrayLike | None
    ) -> tuple[FloatArray, Any]:
        """True fractions of the datasets and counts of the events in them."""
        labels = read_ids(y, "y")
        weight = read_weight(sample_weight, len(labels))
        classes, pos_label = classes_of(estimator, labels)
        pool = LabelledEvents.of(labels, classes, pos_label, weight)
        seeds = seed_sequence(self.random_state).spawn(2)
        kappa = _FRACTIONS.get(self.protocol) if self.kappa is None else self.kappa
        rng = np.random.default_rng(seeds[0])
        truth = choose_fractions(
            self.protocol, kappa, self.n_datasets, pool.natural, rng
        )
        size = self.size
        if size is None:
            size = pool.default_size(truth.max(), self.replace)
        pool = pool.drawn(self.replace, (size, truth.max()))
        rngs = [np.random.default_rng(seed) for seed in seeds[1].spawn(len(truth))]
        return truth, pool.draw_many(truth, [int(size)] * len(truth), rngs)


class SingleScorer(_RequestsWeight):
    """Scorer of one measure of a `CoverageScorer`, for what takes a single number.

    `HalvingGridSearchCV` is such; ``interval_score_scorer``, ``coverage_error_scorer``
    and ``neg_rmse_scorer`` are instances with the default settings, ``higgsml_scorer``
    one of 68.27 % intervals.

    Parameters
    ----------
    scorer : CoverageScorer
        Scorer of all measures.
    measure : str
        Name of one of them.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.model_selection import CoverageScorer
    >>> study = make_gaussian_study(n_simulations=4, n_events=2000, random_state=0)
    >>> train, test = study.simulation < 3, study.simulation == 3
    >>> tamm = BinnedTopicTAMM(random_state=0)
    >>> tamm = tamm.fit(
    ...     study.X[train], study.y[train], simulation=study.simulation[train]
    ... )
    >>> scorer = CoverageScorer(n_datasets=10).single("interval_score")
    >>> scorer(tamm, study.X[test], study.y[test]) < 0
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "scorer": [callable],
        "measure": [str],
    }

    def __init__(self, scorer: CoverageScorer, measure: str):
        self.scorer = scorer
        self.measure = measure

    def __call__(
        self,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """One measure of a fitted estimator on labelled events."""
        check_parameters(self)
        measures = self.scorer(estimator, X, y, sample_weight=sample_weight)
        if self.measure not in measures:
            hint = _NEEDS.get(self.measure, "")
            raise InvalidInputError(
                f"measure must be one of {', '.join(measures)}, got "
                f"{self.measure!r}{hint}."
            )
        return measures[self.measure]


interval_score_scorer = CoverageScorer().single("interval_score")
coverage_error_scorer = CoverageScorer().single("coverage_error")
# The interval of the challenge, not the one of 68.3 %.
higgsml_scorer = CoverageScorer(levels=(ONE_SIGMA,)).single("higgsml")
neg_rmse_scorer = CoverageScorer().single("neg_rmse")


def _higher_is_better(found: dict[str, float], levels: FloatArray) -> dict[str, float]:
    """Scores under the names of the scorer, penalties turned round."""
    errors = {
        f"coverage_error_{level:g}": -abs(found[f"coverage_{level:g}"] - float(level))
        for level in levels
    }
    scores = {
        name: -value if name.startswith("interval_score") else value
        for name, value in found.items()
    }
    mean_error = float(np.mean(list(errors.values())))
    more = {"coverage_error": mean_error, "neg_rmse": -found["rmse"]}
    return scores | errors | more
