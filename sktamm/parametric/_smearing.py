"""Several detector responses of the events that matter, one of all others.

A regression on joint quantities learns E[R | x] from pairs (x, R(z)). Few events with
large R decide, and the response p(x | z), which does not depend on the parameters, can
be drawn again for them. With mean mu and standard deviation sd of |R| over the events,
event z gets

    n(z) = max(1, ceil(|R(z)| / (mu + t sd)))

responses of weight 1 / n(z) each, which keeps every mean. Copies of an event have to
stay together in splits (groups), and test samples should not be copied.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from sktamm._numerics import FloatArray
from sktamm._sklearn import at_least, check_parameters, not_negative
from sktamm._validation import check_sum, read_numbers, read_weight, refuse_masked
from sktamm.exceptions import InvalidInputError
from sktamm.learning import take_rows

__all__ = ["FractionalSmearing"]

IntArray = NDArray[np.int64]


class FractionalSmearing(BaseEstimator):
    """Draw the detector response of events with large targets several times.

    Parameters
    ----------
    threshold : float, default=0.5
        The t of n(z) = ceil(abs(target) / (mean + t std)); larger means fewer copies.
    max_copies : int, default=None
        Largest number of copies of an event; None is no limit.
    n_copies : int, default=None
        This many copies of every event instead.
    random_state : int or None, default=None
        Seed of the responses.

    Attributes
    ----------
    n_copies_ : ndarray of int, shape (n_events,)
        Number of copies of each event.
    copied_fraction_ : float
        Share of the events that have more than one copy.
    growth_ : float
        Number of rows per event.

    References
    ----------
    Bahl, Bresó, De Crescenzo, Plehn, arXiv:2410.07315.

    Examples
    --------
    >>> from sktamm.datasets import make_smeft_toy
    >>> from sktamm.parametric import FractionalSmearing
    >>> toy = make_smeft_toy(10_000, random_state=0)
    >>> smearing = FractionalSmearing(random_state=1)
    >>> X, y, weight, parent = smearing.fit_resample(
    ...     toy.Z, toy.joint_derivatives, toy.smear
    ... )
    >>> float(weight.sum().round(6))
    10000.0
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "threshold": [not_negative()],
        "max_copies": [at_least(1), None],
        "n_copies": [at_least(1), None],
        "random_state": ["random_state", np.random.Generator],
    }

    def __init__(
        self,
        threshold: float = 0.5,
        max_copies: int | None = None,
        *,
        n_copies: int | None = None,
        random_state: int | None = None,
    ):
        self.threshold = threshold
        self.max_copies = max_copies
        self.n_copies = n_copies
        self.random_state = random_state

    def fit_resample(
        self,
        Z: Any,
        target: ArrayLike,
        smear: Callable[[Any, np.random.Generator], Any],
        *,
        sample_weight: ArrayLike | None = None,
    ) -> tuple[NDArray[Any], FloatArray, FloatArray, IntArray]:
        """Draw responses of all events.

        Parameters
        ----------
        Z : array-like of shape (n_events, n_latent)
            What the response depends on, parton-level events for example.
        target : array-like of shape (n_events,) or (n_events, n_targets)
            Joint quantity to be learned; of several the largest n(z) counts.
        smear : callable
            ``smear(Z, rng)`` draws one response of every row of ``Z``, of shape
            (n_rows, n_features), by a `numpy.random.Generator`.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights.

        Returns
        -------
        X : ndarray of shape (n_rows, n_features)
            Responses; copies of an event follow each other.
        y : ndarray of shape (n_rows,) or (n_rows, n_targets)
            Target of each row.
        sample_weight : ndarray of shape (n_rows,)
            Weight of the event over its number of copies.
        groups : ndarray of int, shape (n_rows,)
            Row of the event in ``Z``.
        """
        self._check_parameters()
        if not callable(smear):
            raise InvalidInputError(
                f"smear must be a function of Z and a generator, got {smear!r}."
            )
        values = _read_target(target)
        weight = read_weight(sample_weight, len(values))
        weight = np.ones(len(values)) if weight is None else weight
        check_sum(weight, "target")
        if len(Z) != len(values):
            raise InvalidInputError(
                f"target must hold one row for each of the {len(Z)} rows of Z, got "
                f"{len(values)}."
            )
        self.n_copies_ = self._count(values.reshape(len(values), -1), weight)
        self.copied_fraction_ = float((self.n_copies_ > 1).mean())
        self.growth_ = float(self.n_copies_.mean())
        parent = np.repeat(np.arange(len(values)), self.n_copies_)
        rng = np.random.default_rng(self.random_state)
        X = _read_responses(smear(take_rows(Z, parent), rng), len(parent))
        return X, values[parent], (weight / self.n_copies_)[parent], parent

    def _count(self, values: FloatArray, weight: FloatArray) -> IntArray:
        if self.n_copies is not None:
            return np.full(len(values), int(self.n_copies), dtype=np.int64)
        size = np.abs(values)
        weight = np.abs(weight)  # which of the signs an event has says nothing here
        mean = np.average(size, axis=0, weights=weight)
        variance = np.average((size - mean) ** 2, axis=0, weights=weight)
        unit = mean + self.threshold * np.sqrt(variance)
        ratio = np.divide(size, unit, out=np.zeros_like(size), where=unit > 0)
        # A constant target is one unit up to rounding, not two.
        number = np.maximum(np.ceil(ratio - 1e-9).max(axis=1), 1.0)
        if self.max_copies is not None:
            number = np.minimum(number, self.max_copies)
        return number.astype(np.int64)

    def _check_parameters(self) -> None:
        check_parameters(self)
        if self.n_copies is not None and self.max_copies is not None:
            raise InvalidInputError(
                "max_copies must be None where n_copies sets the number of copies, got "
                f"{self.max_copies}."
            )


def _read_target(target: ArrayLike) -> FloatArray:
    values = read_numbers(target, "target")
    if values.ndim not in (1, 2) or not values.size or not np.isfinite(values).all():
        raise InvalidInputError(
            "target must hold finite numbers of shape (n_events,) or (n_events, "
            f"n_targets), got shape {values.shape}."
        )
    return values


def _read_responses(X: Any, n_rows: int) -> NDArray[Any]:
    refuse_masked(X, "The answer of smear")
    X = np.asarray(X)
    if X.ndim != 2 or len(X) != n_rows:
        raise InvalidInputError(
            f"smear must return one row of features for each of the {n_rows} rows it "
            f"is given, got shape {X.shape}."
        )
    return X
