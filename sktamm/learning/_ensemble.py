"""Ensembles of one classifier: members that saw different events.

Members see one training sample with Poisson(1) weights or in disjoint parts, so that
they err differently. Their log probabilities are the functions that
`sktamm.ratios._wifi` blends, and their spread shows what training cost.
"""

from numbers import Integral
from typing import Any, ClassVar, Literal, Self

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from sktamm._sklearn import at_least, check_parameters, one_of
from sktamm._validation import read_weight, refuse_masked
from sktamm.exceptions import InvalidInputError
from sktamm.learning._classifiers import (
    accepts_sample_weight,
    check_accepts_weights,
    check_classifier,
    fit_classifier,
    fit_in_place,
    rows_of_classes,
    seeded,
    take_rows,
)
from sktamm.learning._signed import settled_weights

__all__ = ["ClassifierEnsemble", "check_classifier", "fit_classifier"]

FloatArray = NDArray[np.float64]

_TINY = float(np.finfo(np.float32).tiny)


class ClassifierEnsemble(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """Members of one classifier, each trained on other events.

    Parameters
    ----------
    classifier : object
        A classifier with ``predict_proba``, or a Pipeline that ends in one. With
        ``n_members`` and ``predict_member_log_proba`` it trains all members at once.
    n_members : int, default=4
        Number of members.
    resample : {"bootstrap", "partition", "none"}, default="bootstrap"
        Which events a member sees: all with Poisson(1) weights (rows drawn with
        replacement within each class if the classifier takes no weights), one of
        ``n_members`` disjoint random parts of each class, or all.
    n_jobs : int or None, default=None
        Members trained at the same time.
    random_state : int, RandomState instance or None, default=None
        Seed of the resampling and of the members.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels.
    members_ : list of classifiers
        The trained members; a single one if it holds all members itself.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sktamm.learning._ensemble import ClassifierEnsemble
    >>> X, y = np.arange(20.0)[:, None], np.repeat([0, 1], 10)
    >>> model = ClassifierEnsemble(LogisticRegression(), n_members=3, random_state=0)
    >>> model.fit(X, y).predict_member_log_proba(X).shape
    (3, 20, 2)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "classifier": [object],
        "n_members": [at_least(1)],
        "resample": [one_of("bootstrap", "partition", "none")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        classifier: Any,
        n_members: int = 4,
        *,
        resample: Literal["bootstrap", "none", "partition"] = "bootstrap",
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.classifier = classifier
        self.n_members = n_members
        self.resample = resample
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train the members.

        Parameters
        ----------
        X : array-like or data frame of shape (n_events, n_features)
            Features.
        y : array-like of shape (n_events,)
            Labels.
        sample_weight : array-like of shape (n_events,), optional
            Event weights; negative ones are settled among near events of their class.

        Returns
        -------
        self : ClassifierEnsemble
            The fitted ensemble.

        Raises
        ------
        IncompatibleChoiceError
            If the classifier has no ``predict_proba``, or takes no weights that are
            given.
        InvalidInputError
            If a class has fewer events than parts, or weights no positive sum in a
            class.
        """
        check_classifier(self.classifier)
        check_parameters(self)
        X, y = self._read(X, y)
        weight = read_weight(sample_weight, len(y))
        if weight is not None:
            check_accepts_weights(self.classifier)
        self.classes_, label = np.unique(y, return_inverse=True)
        rng = check_random_state(self.random_state)
        counts = self._draw_counts(label, rng, weight)
        if _trains_all_members(self.classifier):
            self.members_ = [self._fit_together(X, y, weight, counts, rng)]
        else:
            self.members_ = self._fit_apart(X, y, weight, counts, rng)
        return self

    def predict_proba(self, X: Any) -> FloatArray:
        """Mean probabilities of the members, (n_events, n_classes)."""
        check_is_fitted(self)
        X = self._read_features(X, reset=False)
        if _trains_all_members(self.classifier):
            return self.members_[0].predict_proba(X)
        probability = self.members_[0].predict_proba(X).astype(np.float64)
        for member in self.members_[1:]:
            probability += member.predict_proba(X)
        return probability / len(self.members_)

    def predict(self, X: Any) -> NDArray[Any]:
        """Most probable class of each event."""
        probability = self.predict_proba(X)
        return self.classes_[probability.argmax(axis=1)]

    def predict_member_log_proba(self, X: Any) -> NDArray[np.float32]:
        """Log probabilities by every member, float32, (n_members, n_events, n_classes).

        Finite: a probability of zero counts as the smallest positive float32.
        """
        check_is_fitted(self)
        X = self._read_features(X, reset=False)
        if _trains_all_members(self.classifier):
            log_probability = self.members_[0].predict_member_log_proba(X)
            return np.maximum(log_probability, np.log(_TINY), dtype=np.float32)
        rows = len(X), self.classes_.size
        answer = np.empty((len(self.members_), *rows), dtype=np.float32)
        Parallel(n_jobs=self.n_jobs, prefer="threads")(
            delayed(_write_log_proba)(member, X, row)
            for row, member in zip(answer, self.members_, strict=True)
        )
        return answer

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        return tags

    def _read(self, X: Any, y: ArrayLike) -> tuple[Any, NDArray[Any]]:
        refuse_masked(X, "X")
        refuse_masked(y, "y")
        if hasattr(X, "iloc"):  # a Pipeline may choose columns by their names
            X, y = validate_data(self, X, y, skip_check_array=True)
            y = column_or_1d(y)
        else:
            X, y = validate_data(self, X, y)
        check_classification_targets(y)
        return X, np.asarray(y)

    def _read_features(self, X: Any, *, reset: bool) -> Any:
        refuse_masked(X, "X")
        skip = hasattr(X, "iloc")
        return validate_data(self, X, reset=reset, skip_check_array=skip)

    def _draw_counts(
        self,
        label: NDArray[np.intp],
        rng: np.random.RandomState,
        weight: FloatArray | None = None,
    ) -> NDArray[np.int16] | None:
        """How many times each member sees each event; None is once."""
        if self.resample == "none":
            return None
        shape = int(self.n_members), label.size
        if self.resample == "partition":
            part = _split(label, shape[0], rng)
            counts = (part == np.arange(shape[0])[:, None]).astype(np.int16)
        elif accepts_sample_weight(self.classifier):
            counts = rng.poisson(1.0, shape).astype(np.int16)
        else:
            counts = np.array([_draw_rows(label, rng) for _ in range(shape[0])])
        return _with_every_class(counts, label, weight)

    def _fit_together(
        self,
        X: Any,
        y: NDArray[Any],
        weight: FloatArray | None,
        counts: NDArray[np.int16] | None,
        rng: np.random.RandomState,
    ) -> Any:
        classifier = seeded(clone(self.classifier), rng)
        choices = {"n_members": self.n_members, "bootstrap": False}
        known = classifier.get_params(deep=False)
        classifier.set_params(**{k: v for k, v in choices.items() if k in known})
        fit_params: dict[str, Any] = {} if weight is None else {"sample_weight": weight}
        if counts is not None:
            fit_params["member_weight"] = counts.astype(np.float32)
        if weight is not None and (weight < 0).any():
            fit_params = _settled(X, y, weight, counts)
        return fit_in_place(classifier, X, y, **fit_params)

    def _fit_apart(
        self,
        X: Any,
        y: NDArray[Any],
        weight: FloatArray | None,
        counts: NDArray[np.int16] | None,
        rng: np.random.RandomState,
    ) -> list[Any]:
        weighted = accepts_sample_weight(self.classifier)
        members = [seeded(clone(self.classifier), rng) for _ in range(self.n_members)]
        return Parallel(n_jobs=self.n_jobs)(
            delayed(_fit_member)(
                one, X, y, weight, None if counts is None else counts[i], weighted
            )
            for i, one in enumerate(members)
        )


def _settled(
    X: Any, y: NDArray[Any], weight: FloatArray, counts: NDArray[np.int16] | None
) -> dict[str, Any]:
    """Weights for all members, or of every event for every member, none negative."""
    if counts is None:
        return {"sample_weight": settled_weights(X, y, weight)}
    members = [settled_weights(X, y, weight * row) for row in counts]
    return {"member_weight": np.array(members, dtype=np.float32)}


def _fit_member(
    classifier: Any,
    X: Any,
    y: NDArray[Any],
    weight: FloatArray | None,
    counts: NDArray[np.int16] | None,
    weighted: bool,
) -> Any:
    """Train on the events that ``counts`` holds, repeated or weighted by it."""
    if counts is None:
        return fit_classifier(classifier, X, y, weight)
    if not weighted:
        rows = np.repeat(np.arange(len(y)), counts)
        return fit_classifier(classifier, take_rows(X, rows), y[rows])
    rows = np.flatnonzero(counts)
    if weight is None and counts.max() == 1:
        return fit_classifier(classifier, take_rows(X, rows), y[rows])
    w = counts[rows] * (1.0 if weight is None else weight[rows])
    return fit_classifier(classifier, take_rows(X, rows), y[rows], w)


def _write_log_proba(member: Any, X: Any, answer: NDArray[np.float32]) -> None:
    """Log probabilities (n_events, n_classes) of one member, none infinite."""
    probability = np.maximum(member.predict_proba(X), _TINY)
    np.log(probability, out=answer, casting="unsafe")


def _trains_all_members(classifier: Any) -> bool:
    return (
        hasattr(classifier, "predict_member_log_proba")
        and not isinstance(classifier, ClassifierEnsemble)
        and "n_members" in classifier.get_params(deep=False)
    )


def _split(
    label: NDArray[np.intp], n_parts: int, rng: np.random.RandomState
) -> NDArray[np.intp]:
    """Number of the part of each event; every class is dealt out evenly."""
    smallest = int(np.bincount(label).min())
    if smallest < n_parts:
        raise InvalidInputError(
            f"resample='partition' into n_members={n_parts} parts needs as many "
            f"events of every class, got {smallest} in one of them "
            f"(n_samples={label.size})."
        )
    part = np.empty(label.size, dtype=np.intp)
    for rows in rows_of_classes(label, rng):
        part[rows] = np.arange(rows.size) % n_parts
    return part


def _draw_rows(
    label: NDArray[np.intp], rng: np.random.RandomState
) -> NDArray[np.int16]:
    """Counts of a bootstrap sample of rows within each class."""
    counts = np.zeros(label.size, dtype=np.int16)
    for rows in rows_of_classes(label, rng):
        counts[rows] = np.bincount(
            rng.randint(rows.size, size=rows.size), minlength=rows.size
        )
    return counts


def _with_every_class(
    counts: NDArray[np.int16], label: NDArray[np.intp], weight: FloatArray | None
) -> NDArray[np.int16]:
    """Let a member see all events of a class of which it drew nothing positive."""
    for row in counts:
        total = np.bincount(label, row if weight is None else row * weight)
        row[total[label] <= 0] = 1
    return counts
