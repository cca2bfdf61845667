r"""A learned score: many features become the log odds of the classes.

A classifier is trained on all simulations, of equal weight in their class. Its log odds

    s_c(x) = ln p(c | x) - ln p(0 | x),    c = 1, ..., C - 1,

tell the classes apart. Further scores are
directions in which the simulations of a class differ: with log ratios l_k(x) = ln p(k |
x) from a classifier of the simulations, principal components of l_k - mean_k l_k.

Scores of events of simulations that a classifier was trained on are too good. So there
are several classifiers, each of which has not seen one part of the simulations
(`_score_parts`), and a simulated event is scored by the one that knows nothing of its
simulation; measured events are spread over all of them. If the truth is one more
simulation, its scores are then distributed as those of the others are.

The scores of each classifier are mapped, monotonically, to the distribution that the
mean of all has for the same events: other scales would look like differing simulations.
"""

from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sktamm._numerics import FloatArray, IntArray
from sktamm._sklearn import (
    at_least,
    check_feature_names,
    check_parameters,
    get_feature_names,
)
from sktamm._validation import read_features
from sktamm.events import SimulatedEvents, read_simulations
from sktamm.exceptions import InvalidInputError
from sktamm.learning import fit_classifier, make_classifier, seeded
from sktamm.templates._score_parts import (
    Copies,
    by_values,
    find_parts,
    sample_rows,
)

__all__ = ["LearnedScore"]

# Rule of thumb: probabilities of zero have log odds of 28 at most, beyond all others.
_SMALLEST = 1e-12
# Events of a simulation and quantiles that the maps between classifiers are made of:
# rules of thumb; all events and as many quantiles were measured.
_EVENTS, _QUANTILES = 2_000, 201


class LearnedScore(TransformerMixin, BaseEstimator):
    """Log odds of the classes from cross-fitted classifiers.

    Parameters
    ----------
    classifier : {"lightgbm", "mlp", "logistic"} or classifier, default="lightgbm"
        Boosted trees, perceptrons, a quadratic logistic regression, or any scikit-learn
        classifier or Pipeline with ``predict_proba``.
    n_scores : int, default=1
        Scores for two classes, one more for each further class; those beyond the log
        odds are directions in which simulations of a class differ.
    cv : int, default=5
        Largest number of classifiers, each trained without one part of the simulations.
    n_jobs : int, default=None
        Threads that share the classifiers.
    random_state : int, RandomState instance or None, default=None
        Seed of the classifiers.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Sorted labels.
    estimators_ : list of classifiers
        Fitted classifiers of the classes; the f-th has not seen the f-th part.
    spread_estimators_ : list of classifiers
        Fitted classifiers of the simulations; empty without further scores.

    Notes
    -----
    ``fit_transform`` and ``transform`` give the same scores: rows of the training data
    are recognised; only identical rows of discrete features are spread over the parts.

    References
    ----------
    Cranmer, Pavez, Louppe, arXiv:1506.02169, for the log odds as a summary.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sktamm import BinnedTopicTAMM, infer
    >>> from sktamm.templates import LearnedScore
    >>> from sktamm.datasets import make_gaussian_study
    >>> study = make_gaussian_study(6, 2000, n_features=6, random_state=1)
    >>> tamm = make_pipeline(
    ...     LearnedScore("logistic"), BinnedTopicTAMM(bins=15, random_state=0)
    ... )
    >>> tamm = tamm.fit(
    ...     study.X,
    ...     study.y,
    ...     learnedscore__simulation=study.simulation,
    ...     binnedtopictamm__simulation=study.simulation,
    ... )
    >>> infer(tamm, study.X_target).kappa.shape
    (1,)
    """

    __metadata_request__fit = {"simulation": True, "sample_weight": True}

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "classifier": [object],  # checked where it is made
        "n_scores": [at_least(1)],
        "cv": [at_least(2)],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        classifier: Any = "lightgbm",
        n_scores: int = 1,
        *,
        cv: int = 5,
        n_jobs: int | None = None,
        random_state: Any = None,
    ):
        self.classifier = classifier
        self.n_scores = n_scores
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        simulation: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train the classifiers on labelled events of the simulations.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Simulated events.
        y : array-like of shape (n_events,)
            Class label of each event.
        simulation : array-like of shape (n_events,), default=None
            Simulation id of each event; None is one simulation per class.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, possibly negative.

        Returns
        -------
        self : LearnedScore
            Fitted transformer.

        Raises
        ------
        InvalidInputError
            If a part holds all events of a class.
        IncompatibleChoiceError
            If the classifier cannot estimate probabilities.
        """
        events = read_simulations(
            X, y, simulation=simulation, sample_weight=sample_weight
        )
        names = get_feature_names(X)
        if names is not None:
            self.feature_names_in_ = np.asarray(names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        return self.fit_events(events)

    def fit_events(self, events: SimulatedEvents) -> Self:
        """Train on a record that has been checked, `SimulatedEvents`."""
        check_parameters(self)
        self.n_features_in_ = events.X.shape[1]
        self.classes_ = events.classes
        self._parts, part = find_parts(events, self.cv)
        label = events.source_class[events.source]
        self.estimators_ = self._fit_parts(events, label, part)
        self._maps = _maps(self._odds(events.X[sample_rows(events, _EVENTS)]))
        self.spread_estimators_: list[Any] = []
        self.directions_ = np.zeros((events.n_sources, 0))
        if self.n_scores > 1:
            # A direction between simulations is one of all of them or none.
            own = by_values(events.X, self._parts)
            self.spread_estimators_ = self._fit_parts(events, events.source, own)
            self.directions_ = self._spread(events, own)
        return self

    def fit_transform(
        self,
        X: Any,
        y: ArrayLike,
        simulation: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> FloatArray:
        """Train, and score every event by a classifier without its simulation."""
        self.fit(X, y, simulation=simulation, sample_weight=sample_weight)
        events = read_simulations(X, y, simulation=simulation)
        return self.score_events(events)

    def score_events(self, events: SimulatedEvents) -> FloatArray:
        """Scores of the events of ``fit_events``, each without its simulation."""
        return self._scores(events.X, find_parts(events, self.cv)[1])

    def score_piece(self, X: FloatArray, copies: Copies) -> FloatArray:
        """Scores of checked events that follow others; see `transform`."""
        own = by_values(X, self._parts, copies)
        return self._scores(X, self._parts.of(X, own), own)

    def transform(self, X: Any) -> FloatArray:
        """Scores of events, each by the classifier that does not know its part.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Events.

        Returns
        -------
        score : ndarray of shape (n_events, n_classes - 1 + n_scores - 1)
            Log odds of the second and every further class against the first, then
            directions in which the simulations differ.
        """
        check_is_fitted(self)
        known = getattr(self, "feature_names_in_", None)
        names = None if known is None else tuple(known)
        check_feature_names(X, names, type(self).__name__)
        values = read_features(X, names)
        if values.shape[1] != self.n_features_in_:
            raise InvalidInputError(
                f"X has {values.shape[1]} features, but {type(self).__name__} is "
                f"expecting {self.n_features_in_} features as input."
            )
        return self.score_piece(values, Copies())

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Names of the scores, such as ``log odds of 1``; the argument is ignored."""
        check_is_fitted(self)
        odds = [f"log odds of {label}" for label in self.classes_[1:]]
        spread = [f"spread {j + 1}" for j in range(self.directions_.shape[1])]
        return np.array(odds + spread, dtype=object)

    # ------------------------------------------------------------------- private steps
    def _scores(
        self, X: FloatArray, part: IntArray, own: IntArray | None = None
    ) -> FloatArray:
        """Log odds of the classes by the classifier of the part, then the spread.

        ``own`` are the parts by values alone; all (n_events,).
        """
        log_p = _by_part(self.estimators_, X, part, self.classes_.size)
        score = log_p[:, 1:] - log_p[:, :1]
        for f, maps in enumerate(self._maps):
            rows = np.flatnonzero(part == f)
            for c, (places, common) in enumerate(maps):
                score[rows, c] = _mapped(score[rows, c], places, common)
        if not self.spread_estimators_:
            return score
        own = by_values(X, self._parts) if own is None else own
        log_r = _by_part(self.spread_estimators_, X, own, len(self.directions_))
        return np.hstack([score, log_r @ self.directions_])

    def _odds(self, X: FloatArray) -> list[FloatArray]:
        """Log odds of the same events by every classifier."""
        everyone = np.zeros(len(X), dtype=np.intp)
        size = self.classes_.size
        logs = [_by_part([learner], X, everyone, size) for learner in self.estimators_]
        return [own[:, 1:] - own[:, :1] for own in logs]

    def _fit_parts(
        self, events: SimulatedEvents, label: IntArray, part: IntArray
    ) -> list[Any]:
        """Classifiers that have not seen one part each."""
        rng = check_random_state(self.random_state)
        learner = make_classifier(self.classifier)
        learners = [seeded(clone(learner), rng) for _ in range(self._parts.number)]
        return Parallel(n_jobs=self.n_jobs, prefer="threads")(
            delayed(_fit_seen)(own, events, label, part != f)
            for f, own in enumerate(learners)
        )

    def _spread(self, events: SimulatedEvents, part: IntArray) -> FloatArray:
        """Combinations of log ratios that vary most among simulations of a class."""
        size = events.n_sources
        weight = np.abs(_equal_weights(events, np.ones(len(events.X), dtype=bool)))
        log_r = _by_part(self.spread_estimators_, events.X, part, size)
        centring = np.zeros((size, size))
        for c in range(events.classes.size):
            own = np.flatnonzero(events.source_class == c)
            centring[np.ix_(own, own)] = np.eye(own.size) - 1.0 / own.size
        moved = (log_r - np.average(log_r, axis=0, weights=weight)) @ centring
        axes = np.linalg.eigh((weight[:, None] * moved).T @ moved)[1][:, ::-1]
        return centring @ axes[:, : self.n_scores - 1]


def _maps(odds: list[FloatArray]) -> list[list[tuple[FloatArray, FloatArray]]]:
    """Quantiles of every classifier's log odds and of the mean of all, per score."""
    levels = np.linspace(0.0, 1.0, _QUANTILES)
    common = np.quantile(np.mean(odds, axis=0), levels, axis=0)
    return [
        [
            _strict(*pair)
            for pair in zip(np.quantile(own, levels, axis=0).T, common.T, strict=True)
        ]
        for own in odds
    ]


def _strict(own: FloatArray, common: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Increasing places; scores that many events share go to the mean of theirs."""
    place, which = np.unique(own, return_inverse=True)
    sums = np.bincount(which.ravel(), common)
    return place, sums / np.bincount(which.ravel())


def _mapped(score: FloatArray, own: FloatArray, common: FloatArray) -> FloatArray:
    """Interpolate between quantiles, and shift what lies beyond them."""
    inside = np.clip(score, own[0], own[-1])
    return np.interp(inside, own, common) + (score - inside)


def _fit_seen(
    learner: Any,
    events: SimulatedEvents,
    label: IntArray,
    seen: NDArray[np.bool_],
) -> Any:
    """Classifier of the events that it may see."""
    weight = _equal_weights(events, seen)
    return fit_classifier(learner, events.X[seen], label[seen], weight)


def _by_part(
    estimators: list[Any], X: FloatArray, part: IntArray, size: int
) -> FloatArray:
    """Log probabilities of events from the classifier of their part."""
    out = np.empty((len(X), size))
    for f, estimator in enumerate(estimators):
        rows = np.flatnonzero(part == f)
        if rows.size:
            p = np.asarray(estimator.predict_proba(X[rows]), dtype=float)
            out[rows] = np.log(np.maximum(p, _SMALLEST))
    return out


def _equal_weights(events: SimulatedEvents, seen: NDArray[np.bool_]) -> FloatArray:
    """Weights of the events seen: of equal sums in every class and its simulations."""
    source = events.source[seen]
    weight = np.ones(source.size) if events.weight is None else events.weight[seen]
    total = np.bincount(source, weight, minlength=events.n_sources)
    there = np.bincount(source, minlength=events.n_sources) > 0
    number = np.bincount(events.source_class[there])[events.source_class]
    whole = number * total * np.unique(events.source_class).size
    return weight * (source.size / whole[source])
