"""One simulation, or all of them merged: an estimator that cannot adapt."""

import warnings
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils import check_random_state

from sktamm._numerics import IntArray
from sktamm._sklearn import HasMethods, check_parameters
from sktamm._validation import scalars, take_rows
from sktamm.events import Sources, read_simulations, read_sources
from sktamm.exceptions import InvalidInputError, SingleSimulationWarning
from sktamm.tamm import BinnedTopicTAMM, FractionWrapper
from sktamm.templates import is_histogram

__all__ = ["PooledSimulations", "SingleSimulation"]


class MergedBaseline(FractionWrapper):
    """Wrapper whose children choose the events that the inner estimator sees."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimator": [HasMethods(["fit", "predict"]), None],
    }

    estimator: Any

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        *,
        simulation: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Fit as `TAMMRegressor.fit`, with one simulation per class."""
        check_parameters(self)
        inner = BinnedTopicTAMM(inference="frequentist")
        inner = inner if self.estimator is None else clone(self.estimator)
        rows = self._choose(_read_sources(X, y, simulation, sample_weight, inner))
        if rows is not None:
            X, y = _take(X, rows), take_rows(y, rows)
            if sample_weight is not None:
                sample_weight = take_rows(sample_weight, rows)
        with warnings.catch_warnings():
            # One simulation per class is what was asked for.
            warnings.simplefilter("ignore", SingleSimulationWarning)
            self.estimator_ = inner.fit(X, y, sample_weight=sample_weight)
        self._copy_attributes()
        return self

    def _choose(self, sources: Sources) -> IntArray | None:
        """Rows that the inner estimator is to see; None for all."""
        raise NotImplementedError


class PooledSimulations(MergedBaseline):
    """All simulations of a class merged into one, for any estimator.

    Parameters
    ----------
    estimator : TAMMRegressor, default=None
        Estimator that fits; None is `BinnedTopicTAMM` with ``"frequentist"`` inference.

    Attributes
    ----------
    estimator_ : TAMMRegressor
        Fitted estimator, one simulation per class.
    classes_, pos_label_, n_features_in_, feature_names_in_ : various
        Those of ``estimator_``.

    Examples
    --------
    >>> from sktamm.baselines import PooledSimulations
    >>> from sktamm.datasets import make_gaussian_study
    >>> study = make_gaussian_study(n_simulations=4, n_events=1000, random_state=0)
    >>> fit = PooledSimulations().fit(study.X, study.y, simulation=study.simulation)
    >>> fit.predict(study.X_target).shape
    (1,)
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
        Estimator that fits; None is `BinnedTopicTAMM` with ``"frequentist"`` inference.
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
    classes_, pos_label_, n_features_in_, feature_names_in_ : various
        Those of ``estimator_``.

    Examples
    --------
    >>> from sktamm.baselines import SingleSimulation
    >>> from sktamm.datasets import make_gaussian_study
    >>> study = make_gaussian_study(n_simulations=4, n_events=1000, random_state=0)
    >>> fit = SingleSimulation(which=2)
    >>> fit = fit.fit(study.X, study.y, simulation=study.simulation)
    >>> fit.chosen_
    array([2, 2])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **MergedBaseline._parameter_constraints,
        "which": [object],  # any id
        "random_state": ["random_state"],
    }

    def __init__(
        self, estimator: Any = None, which: Any = "first", random_state: Any = None
    ):
        self.estimator = estimator
        self.which = which
        self.random_state = random_state

    def _choose(self, sources: Sources) -> IntArray:
        known = [
            sources.source_id[sources.source_class == c]
            for c in range(sources.classes.size)
        ]
        self.chosen_ = np.array(self._pick(known, sources.classes))
        kept = sources.source_id == self.chosen_[sources.source_class]
        return np.flatnonzero(kept[sources.source])

    def _pick(self, known: list[NDArray[Any]], classes: NDArray[Any]) -> list[Any]:
        """Id of every class."""
        if isinstance(self.which, str) and self.which == "first":
            return [ids[0] for ids in known]
        if isinstance(self.which, str) and self.which == "random":
            rng = check_random_state(self.random_state)
            if all(np.array_equal(ids, known[0]) for ids in known):
                return [known[0][rng.randint(known[0].size)]] * len(known)
            return [ids[rng.randint(ids.size)] for ids in known]
        chosen = []
        for ids, label in zip(known, classes, strict=True):
            places = [i for i, n in enumerate(scalars(ids)) if n == self.which]
            if not places:
                raise InvalidInputError(
                    "which must be 'first', 'random' or the id of a simulation of "
                    f"every class; class {label} has no simulation {self.which!r}."
                )
            chosen.append(ids[places[0]])
        return chosen


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


def _take(X: Any, rows: IntArray) -> Any:
    return [X[i] for i in rows] if is_histogram(X) else take_rows(X, rows)
