"""One simulation, or all of them merged: an estimator that cannot adapt.

Both hand an inner estimator one simulation per class, the classical fit: the first
believes one generator, the second the average of all, whose signal is broader than any.
"""

import warnings
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sktamm.components._histogram import is_histogram
from sktamm.events import Sources, read_simulations, read_sources
from sktamm.exceptions import InvalidInputError, SingleSimulationWarning
from sktamm.results import FractionResult
from sktamm.tamm import BinnedTopicTAMM

__all__ = ["PooledSimulations", "SingleSimulation"]


class MergedBaseline(BaseEstimator):
    """Wrapper whose verbs are those of the inner estimator; children choose events."""

    __metadata_request__fit = {"simulation": True, "sample_weight": True}
    __metadata_request__predict = {
        "dataset": True,
        "sample_weight": True,
        "return_std": True,
        "return_interval": True,
    }
    __metadata_request__predict_proba = {"dataset": True, "sample_weight": True}
    __metadata_request__score = {"dataset": True, "sample_weight": True}

    estimator: Any

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        *,
        simulation: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Fit the inner estimator with one simulation per class.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features), or sequence of histograms
            Simulated events, or one histogram (UHI) per class and simulation.
        y : array-like of shape (n_events,)
            Class label of each event or histogram.
        simulation : array-like of shape (n_events,), default=None
            Simulation id of each event or histogram.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, possibly negative.

        Returns
        -------
        self : estimator
            Fitted estimator.

        Raises
        ------
        InvalidInputError
            If the input cannot be used.
        """
        inner = BinnedTopicTAMM(inference="frequentist")
        inner = inner if self.estimator is None else clone(self.estimator)
        rows = self._choose(_read_sources(X, y, simulation, sample_weight, inner))
        if rows is not None:
            X, y = _take(X, rows), np.asarray(y)[rows]
            if sample_weight is not None:
                sample_weight = np.asarray(sample_weight)[rows]
        with warnings.catch_warnings():
            # One simulation per class is what was asked for.
            warnings.simplefilter("ignore", SingleSimulationWarning)
            self.estimator_ = inner.fit(X, y, sample_weight=sample_weight)
        for name in ("classes_", "pos_label_", "n_features_in_", "feature_names_in_"):
            if hasattr(inner, name):
                setattr(self, name, getattr(inner, name))
            elif hasattr(self, name):
                delattr(self, name)
        return self

    def predict(
        self,
        X: Any,
        *,
        dataset: Any = None,
        sample_weight: ArrayLike | None = None,
        return_std: bool = False,
        return_interval: float | Sequence[float] | None = None,
    ) -> Any:
        """Signal fraction of every dataset, as `TAMMRegressor.predict`.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features), or histograms
            Unlabelled events, or one histogram per dataset.
        dataset : array-like or sparse matrix, default=None
            None, one id per event, or counts of shape (n_events, n_datasets).
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, possibly negative.
        return_std : bool, default=False
            Whether to return the standard error too.
        return_interval : float or sequence of float, default=None
            Level or levels of intervals to return too.

        Returns
        -------
        kappa : ndarray of shape (n_datasets,)
            Fraction of ``pos_label``.
        std : ndarray of shape (n_datasets,)
            Standard error; only if ``return_std``.
        interval : ndarray of shape (n_datasets, 2) or (n_datasets, 2, n_levels)
            Lower and upper ends, for one level or several; only if asked.
        """
        check_is_fitted(self)
        return self.estimator_.predict(
            X,
            dataset=dataset,
            sample_weight=sample_weight,
            return_std=return_std,
            return_interval=return_interval,
        )

    def infer(
        self,
        X: Any,
        *,
        dataset: Any = None,
        sample_weight: ArrayLike | None = None,
        levels: Sequence[float] | NDArray | None = None,
    ) -> FractionResult:
        """Everything about the signal fractions, as `TAMMRegressor.infer`.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features), or histograms
            Unlabelled events, or one histogram per dataset.
        dataset : array-like or sparse matrix, default=None
            As in ``predict``.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, possibly negative.
        levels : sequence of float, default=None
            Levels of the intervals; None is the inner estimator's and 0.954.

        Returns
        -------
        result : FractionResult
            Estimates, intervals, diagnostics and flags.
        """
        check_is_fitted(self)
        return self.estimator_.infer(
            X, dataset=dataset, sample_weight=sample_weight, levels=levels
        )

    def predict_proba(
        self, X: Any, *, dataset: Any = None, sample_weight: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """Class probabilities of events, as `TAMMRegressor.predict_proba`.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Unlabelled events.
        dataset : array-like of shape (n_events,), default=None
            Dataset id of each event; None is one dataset.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, possibly negative.

        Returns
        -------
        probability : ndarray of shape (n_events, n_classes)
            Probabilities of the classes.
        """
        check_is_fitted(self)
        return self.estimator_.predict_proba(
            X, dataset=dataset, sample_weight=sample_weight
        )

    def score(
        self,
        X: Any,
        y: ArrayLike,
        *,
        dataset: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Minus the mean interval score, as `TAMMRegressor.score`.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Events.
        y : array-like of shape (n_events,)
            True class labels.
        dataset : array-like or sparse matrix, default=None
            As in ``predict``.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, possibly negative.

        Returns
        -------
        score : float
            Negative or zero; higher is better.
        """
        check_is_fitted(self)
        return self.estimator_.score(X, y, dataset=dataset, sample_weight=sample_weight)

    def _choose(self, sources: Sources) -> NDArray[np.intp] | None:
        """Rows that the inner estimator is to see; None for all."""
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


class PooledSimulations(MergedBaseline):
    """All simulations of a class merged into one, for any estimator.

    Parameters
    ----------
    estimator : TAMMRegressor, default=None
        Estimator that fits; None is `BinnedTopicTAMM` with ``"frequentist"``
        inference.

    Attributes
    ----------
    estimator_ : TAMMRegressor
        Fitted estimator, one simulation per class.
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    pos_label_ : label
        The class whose fraction is kappa.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of str
        Names of the features, when fitted on a data frame.

    See Also
    --------
    SingleSimulation : One of the simulations alone.

    Examples
    --------
    >>> from sktamm.baselines import PooledSimulations
    >>> from sktamm.datasets import make_gaussian_study
    >>> study = make_gaussian_study(n_simulations=4, n_events=1000, random_state=0)
    >>> pooled = PooledSimulations().fit(
    ...     study.X, study.y, simulation=study.simulation
    ... )
    >>> kappa, interval = pooled.predict(study.X_target, return_interval=0.954)
    >>> interval.shape
    (1, 2)
    """

    def __init__(self, estimator: Any = None):
        self.estimator = estimator

    def _choose(self, sources: Sources) -> None:
        return None


class SingleSimulation(MergedBaseline):
    """One simulation of every class, for any estimator: the classical fit.

    Parameters
    ----------
    estimator : TAMMRegressor, default=None
        Estimator that fits; None is `BinnedTopicTAMM` with ``"frequentist"``
        inference.
    which : {"first", "random"} or id, default="first"
        The simulation: the first id of every class, one drawn at random (the same id
        in all classes where each class has every id), or the one of this id.
    random_state : int, RandomState instance or None, default=None
        Seed of the choice.

    Attributes
    ----------
    chosen_ : ndarray of shape (n_classes,)
        Id of the simulation of every class.
    estimator_ : TAMMRegressor
        Fitted estimator, one simulation per class.
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    pos_label_ : label
        The class whose fraction is kappa.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of str
        Names of the features, when fitted on a data frame.

    See Also
    --------
    PooledSimulations : All simulations merged.

    Examples
    --------
    >>> from sktamm.baselines import SingleSimulation
    >>> from sktamm.datasets import make_gaussian_study
    >>> study = make_gaussian_study(n_simulations=4, n_events=1000, random_state=0)
    >>> single = SingleSimulation(which=2)
    >>> single = single.fit(study.X, study.y, simulation=study.simulation)
    >>> single.chosen_
    array([2, 2])
    """

    def __init__(
        self, estimator: Any = None, which: Any = "first", random_state: Any = None
    ):
        self.estimator = estimator
        self.which = which
        self.random_state = random_state

    def _choose(self, sources: Sources) -> NDArray[np.intp]:
        known = [
            sources.source_id[sources.source_class == c]
            for c in range(sources.classes.size)
        ]
        self.chosen_ = np.array(self._pick(known, sources.classes))
        kept = sources.source_id == self.chosen_[sources.source_class]
        return np.flatnonzero(kept[sources.source])

    def _pick(self, known: list[NDArray], classes: NDArray) -> list[Any]:
        """Id of every class."""
        if isinstance(self.which, str) and self.which == "first":
            return [ids[0] for ids in known]
        if isinstance(self.which, str) and self.which == "random":
            rng = check_random_state(self.random_state)
            if all(np.array_equal(ids, known[0]) for ids in known):
                return [known[0][rng.randint(known[0].size)]] * len(known)
            return [ids[rng.randint(ids.size)] for ids in known]
        for ids, label in zip(known, classes, strict=True):
            if self.which not in ids.tolist():
                raise InvalidInputError(
                    "which must be 'first', 'random' or the id of a simulation of "
                    f"every class; class {label} has no simulation {self.which!r}."
                )
        return [self.which] * len(known)


def _read_sources(
    X: Any, y: ArrayLike, simulation: Any, sample_weight: Any, inner: Any
) -> Sources:
    """Source of every event or histogram, after the checks of the input."""
    choices = {
        "simulation": simulation,
        "pos_label": getattr(inner, "pos_label", None),
        "paired": False,
    }
    if is_histogram(X):
        return read_sources(y, n_events=len(X), **choices)
    return read_simulations(X, y, sample_weight=sample_weight, **choices)


def _take(X: Any, rows: NDArray[np.intp]) -> Any:
    if is_histogram(X):
        return [X[i] for i in rows]
    return X.iloc[rows] if hasattr(X, "iloc") else np.asarray(X)[rows]
