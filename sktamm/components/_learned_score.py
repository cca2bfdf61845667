r"""A learned score: many features become the log odds of the classes.

One classifier of the classes is trained on all simulations, each of which has the same
weight in its class. Its log odds

    s_c(x) = ln p(c | x) - ln p(0 | x),    c = 1, ..., C - 1,

are what tells the classes apart, whatever the number of features. Further scores are
directions in which the simulations of a class differ: with log ratios l_k(x) = ln p(k |
x) from a classifier of the simulations, principal components of l_k - mean_k l_k.

A score of events that it was trained on is too good. So there are several classifiers,
each of which has not seen one part of the events, and an event is scored by the one of
its own part. Which part that is follows from the values of its features alone, so that
simulated and measured events are scored in the same way by classifiers that know none
of them: what finite training loses is lost in both, and the score is biased nowhere.
"""

from typing import Any, Self

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sktamm._numerics import FloatArray
from sktamm._sklearn import check_feature_names, get_feature_names
from sktamm._validation import read_features
from sktamm.components._classifiers import fit_classifier, seeded
from sktamm.components._named import make_classifier
from sktamm.events import SimulatedEvents, read_simulations
from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError

__all__ = ["LearnedScore"]

# Log odds of probabilities of zero and one.
_SMALLEST = 1e-12
# Copies of a row, on average, from which on features are discrete; a bootstrap sample
# has 1.6 of every row that it holds.
_COPIES = 3.0
# Odd constants that mix 64 bits (SplitMix64: Steele, Lea and Flood 2014).
_MIX = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


class LearnedScore(TransformerMixin, BaseEstimator):
    """Log odds of the classes from cross-fitted classifiers.

    Parameters
    ----------
    classifier : {"lightgbm", "mlp", "logistic"} or classifier, default="lightgbm"
        What learns the classes: boosted trees, perceptrons, a quadratic logistic
        regression, or any scikit-learn classifier or Pipeline with ``predict_proba``.
    n_scores : int, default=1
        Number of scores for two classes, one more for every further class; those
        beyond the log odds are directions in which simulations of a class differ.
    cv : int, default=5
        Number of classifiers, each trained without one part of the events.
    n_jobs : int, default=None
        Threads that share the classifiers.
    random_state : int, RandomState instance or None, default=None
        Seed of the classifiers.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Sorted labels.
    estimators_ : list of cv classifiers
        Fitted classifiers of the classes; the f-th has not seen the f-th part.
    spread_estimators_ : list of cv classifiers
        Fitted classifiers of the simulations; empty without further scores.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when all of them are strings.

    See Also
    --------
    sktamm.ScoreTAMM : Signal fraction from a learned score in one estimator.
    sklearn.preprocessing.TargetEncoder : Cross-fitted likewise.

    Notes
    -----
    ``fit_transform`` and ``transform`` give the same scores. Identical rows of discrete
    features are spread over the parts, other copies of a row stay together.

    References
    ----------
    Cranmer, Pavez, Louppe, arXiv:1506.02169, for the log odds as a summary.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sktamm import BinnedTopicTAMM, infer
    >>> from sktamm.components import LearnedScore
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
            If the input cannot be used, or a part holds all events of a class.
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
        """Train on a checked record.

        Parameters
        ----------
        events : SimulatedEvents
            Labelled events.

        Returns
        -------
        self : LearnedScore
            Fitted transformer.
        """
        self._check()
        self.n_features_in_ = events.X.shape[1]
        self.classes_ = events.classes
        number = np.unique(_mixed_bits(events.X)).size
        self._discrete = len(events.X) >= _COPIES * number
        part = self._parts(events.X)
        label = events.source_class[events.source]
        _check_parts(part, events, self.cv)
        weight = _equal_weights(events)
        self.estimators_ = self._fit_parts(events.X, label, weight, part)
        self.spread_estimators_: list[Any] = []
        self.directions_ = np.zeros((events.n_sources, 0))
        if self.n_scores > 1:
            self.spread_estimators_ = self._fit_parts(
                events.X, events.source, weight, part
            )
            self.directions_ = self._spread(events, part, weight)
        return self

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

        Raises
        ------
        InvalidInputError
            If X does not hold finite numbers for the features of ``fit``.
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
        part = self._parts(values)
        log_p = _by_part(self.estimators_, values, part, self.classes_.size)
        score = log_p[:, 1:] - log_p[:, :1]
        if not self.spread_estimators_:
            return score
        log_r = _by_part(self.spread_estimators_, values, part, len(self.directions_))
        return np.hstack([score, log_r @ self.directions_])

    def get_feature_names_out(self, input_features: Any = None) -> NDArray:
        """Names of the scores.

        Parameters
        ----------
        input_features : ignored
            Not used, present for the API.

        Returns
        -------
        names : ndarray of str
            Such as ``log odds of 1``.
        """
        check_is_fitted(self)
        odds = [f"log odds of {label}" for label in self.classes_[1:]]
        spread = [f"spread {j + 1}" for j in range(self.directions_.shape[1])]
        return np.array(odds + spread, dtype=object)

    # ------------------------------------------------------------------- private steps
    def _check(self) -> None:
        for name, least in (("n_scores", 1), ("cv", 2)):
            value = getattr(self, name)
            whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
            if not (whole and value >= least):
                raise IncompatibleChoiceError(
                    f"{name} must be a whole number of at least {least}, got {value!r}."
                )

    def _parts(self, X: FloatArray) -> NDArray[np.intp]:
        """Part of every event, from the bits of its features."""
        row = _mixed_bits(X)
        part = row % np.uint64(self.cv)
        if self._discrete:
            part = (part + _occurrence(row)) % np.uint64(self.cv)
        return part.astype(np.intp)

    def _fit_parts(
        self,
        X: FloatArray,
        label: NDArray[np.intp],
        weight: FloatArray,
        part: NDArray[np.intp],
    ) -> list[Any]:
        """Classifiers that have not seen one part each."""
        rng = check_random_state(self.random_state)
        learner = make_classifier(self.classifier)
        learners = [seeded(clone(learner), rng) for _ in range(self.cv)]
        return Parallel(n_jobs=self.n_jobs, prefer="threads")(
            delayed(fit_classifier)(own, X[seen], label[seen], weight[seen])
            for own, seen in zip(
                learners, (part != f for f in range(self.cv)), strict=True
            )
        )

    def _spread(
        self, events: SimulatedEvents, part: NDArray[np.intp], weight: FloatArray
    ) -> FloatArray:
        """Combinations of log ratios that vary most among simulations of a class."""
        size = events.n_sources
        log_r = _by_part(self.spread_estimators_, events.X, part, size)
        centring = np.zeros((size, size))
        for c in range(events.classes.size):
            own = np.flatnonzero(events.source_class == c)
            centring[np.ix_(own, own)] = np.eye(own.size) - 1.0 / own.size
        moved = (log_r - np.average(log_r, axis=0, weights=np.abs(weight))) @ centring
        covariance = (np.abs(weight)[:, None] * moved).T @ moved
        axes = np.linalg.eigh(covariance)[1][:, ::-1]
        return centring @ axes[:, : self.n_scores - 1]


def _by_part(
    estimators: list[Any], X: FloatArray, part: NDArray[np.intp], size: int
) -> FloatArray:
    """Log probabilities of events from the classifier of their part."""
    out = np.empty((len(X), size))
    for f, estimator in enumerate(estimators):
        rows = np.flatnonzero(part == f)
        if rows.size:
            p = np.asarray(estimator.predict_proba(X[rows]), dtype=float)
            out[rows] = np.log(np.maximum(p, _SMALLEST))
    return out


def _equal_weights(events: SimulatedEvents) -> FloatArray:
    """Weights with the same sum in every class, and in all simulations of a class."""
    weight = np.ones(len(events.X)) if events.weight is None else events.weight
    total = np.bincount(events.source, weight, minlength=events.n_sources)
    number = np.bincount(events.source_class)[events.source_class]
    return weight * (len(weight) / (number * total * number.size))[events.source]


def _check_parts(part: NDArray[np.intp], events: SimulatedEvents, n_parts: int) -> None:
    """Refuse training without a source."""
    for f in range(n_parts):
        known = np.bincount(events.source[part != f], minlength=events.n_sources)
        if (known == 0).any():
            lost = events.name_of(int(known.argmin()))
            raise InvalidInputError(
                f"cv must leave events of every simulation to train on, but all events "
                f"of {lost} are in one of {n_parts} parts; give more events."
            )


def _mixed_bits(X: FloatArray) -> NDArray[np.uint64]:
    """A number of 64 bits from the features of every event, in any order."""
    bits = np.ascontiguousarray(X + 0.0).view(np.uint64)  # + 0.0: no negative zeros
    step, second, third = (np.uint64(m) for m in _MIX)
    mixed = np.zeros(len(X), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for column in bits.T:
            mixed += _scrambled(column + step, second, third)
        return _scrambled(mixed, second, third)


def _scrambled(
    bits: NDArray[np.uint64], second: np.uint64, third: np.uint64
) -> NDArray[np.uint64]:
    """The finishing steps of SplitMix64."""
    bits = (bits ^ (bits >> np.uint64(30))) * second
    bits = (bits ^ (bits >> np.uint64(27))) * third
    return np.asarray(bits ^ (bits >> np.uint64(31)))


def _occurrence(row: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """How many times every value came before."""
    order = np.argsort(row, kind="stable")
    ordered = row[order]
    first = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    start = np.repeat(first, np.diff(np.append(first, row.size)))
    out = np.empty(row.size, dtype=np.uint64)
    out[order] = np.arange(row.size) - start
    return out
