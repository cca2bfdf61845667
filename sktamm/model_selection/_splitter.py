"""Leave simulations out: what was left out stands for nature.

    test_k = {simulation k of every class},   train_k = {all the others}

Folds that share a simulation would test whether a simulation describes itself.
"""

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_random_state

from sktamm._validation import check_shared, encode, scalars
from sktamm.exceptions import InvalidInputError

__all__ = ["LeaveSimulationsOut"]

IntArray = NDArray[np.intp]
_FEWEST_SIMULATED = 10  # fewer events are no simulation; see `sktamm.events`


class LeaveSimulationsOut(BaseCrossValidator):
    """Cross-validation that tests on simulations left out of the training.

    Every test fold holds one simulation of every class, the training fold all others.
    Ids that occur in every class stay together; the others are matched at random.

    Parameters
    ----------
    n_splits : int, default=None
        Number of folds. None is one fold per simulation. A smaller number puts several
        simulations, drawn at random, in a test fold, which is quicker but a milder
        test: the average of several simulations is closer to the others than one is.
    random_state : int, RandomState instance or None, default=0
        Seed of everything random. An integer gives the same folds every time, which
        searches by halving ask for.

    Notes
    -----
    Simulation ids are passed as ``groups`` or, with metadata routing, as
    ``simulation``: ``cross_validate(tamm, X, y, groups=sim, params={"simulation":
    sim}, cv=LeaveSimulationsOut())`` without routing, ``cross_validate(tamm, X, y,
    params={"simulation": sim}, cv=LeaveSimulationsOut())`` with it.

    The class with the fewest simulations sets the largest number of folds. Of a class
    with more of them as many, drawn at random, are tested once each; the rest is always
    trained on.

    Examples
    --------
    >>> import numpy as np
    >>> from sktamm.model_selection import LeaveSimulationsOut
    >>> X = np.zeros((8, 1))
    >>> y = np.array(["b", "b", "b", "b", "s", "s", "s", "s"])
    >>> simulation = np.array([1, 1, 2, 3, 1, 2, 3, 3])
    >>> for train, test in LeaveSimulationsOut().split(X, y, simulation):
    ...     print(train, test)
    [2 3 5 6 7] [0 1 4]
    [0 1 3 4 6 7] [2 5]
    [0 1 2 4 5] [3 6 7]
    """

    __metadata_request__split = {"groups": True, "simulation": True}

    def __init__(self, n_splits: int | None = None, *, random_state: Any = 0):
        self.n_splits = n_splits
        self.random_state = random_state

    def split(
        self,
        X: Any,
        y: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        *,
        simulation: ArrayLike | None = None,
    ) -> Iterator[tuple[IntArray, IntArray]]:
        """Indices of the events of every training and test fold.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Events; only their number matters.
        y : array-like of shape (n_events,)
            Class labels.
        groups : array-like of shape (n_events,), default=None
            Simulation ids, under the name that scikit-learn knows.
        simulation : array-like of shape (n_events,), default=None
            Simulation ids; either this or ``groups``.

        Yields
        ------
        train : ndarray of int
            Events to train on.
        test : ndarray of int
            Events of the simulations that were left out.

        Raises
        ------
        InvalidInputError
            If ids or labels are missing, of the wrong length or contradict each other,
            a class has fewer than two simulations, or ``n_splits`` is unusable.
        """
        label, number = _read(X, y, groups, simulation)
        for left_out in self._folds(label, number):
            is_test = left_out[label, number]
            yield np.flatnonzero(~is_test), np.flatnonzero(is_test)

    def get_n_splits(
        self,
        X: Any = None,
        y: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        *,
        simulation: ArrayLike | None = None,
    ) -> int:
        """Number of folds; without ``n_splits`` the events tell, as in ``split``."""
        if self.n_splits is not None:
            self._check_number()
            return int(self.n_splits)
        label, number = _read(X, y, groups, simulation)
        return self._check_n_splits(_present(label, number))

    def _folds(self, label: IntArray, number: IntArray) -> list[NDArray[np.bool_]]:
        """Which simulations, shape (n_classes, n_ids), every fold holds out."""
        present = _present(label, number)
        n_splits = self._check_n_splits(present)
        rng = check_random_state(self.random_state)
        units = _match(present, rng)
        if n_splits < len(units):
            units = units[rng.permutation(len(units))]
        folds = []
        for members in np.array_split(units, n_splits):
            left_out = np.zeros(present.shape, dtype=bool)
            left_out[np.arange(len(present)), members] = True
            folds.append(left_out)
        return folds

    def _check_n_splits(self, present: NDArray[np.bool_]) -> int:
        smallest = int(present.sum(axis=1).min())
        if smallest < 2:
            raise InvalidInputError(
                "simulation must hold at least two ids in every class, one to leave "
                f"out and one to train on, got {smallest} in one class."
            )
        if self.n_splits is None:
            return smallest
        self._check_number()
        if self.n_splits > smallest:
            raise InvalidInputError(
                f"n_splits must not exceed the {smallest} simulations of the class "
                f"that has fewest, got {self.n_splits}."
            )
        return int(self.n_splits)

    def _check_number(self) -> None:
        if not isinstance(self.n_splits, Integral) or self.n_splits < 2:
            raise InvalidInputError(
                "n_splits must be None or an integer of at least 2, got "
                f"{self.n_splits!r}."
            )


def _read(
    X: Any, y: ArrayLike | None, groups: ArrayLike | None, simulation: ArrayLike | None
) -> tuple[IntArray, IntArray]:
    """Number of the class and of the simulation id of every event."""
    if y is None:
        raise InvalidInputError("y must hold the class of every event, got None.")
    if groups is None and simulation is None:
        raise InvalidInputError(
            "simulation must hold the simulation id of every event, got None; pass it "
            "as simulation or, without metadata routing, as groups."
        )
    label = encode(y, "y", None if X is None else _n_events(X))[1]
    name = "groups" if simulation is None else "simulation"
    ids = groups if simulation is None else simulation
    unique, number = encode(ids, name, len(label))
    # Every fold is a fit with nearly all simulations.
    check_shared(unique.size, len(label), name, _FEWEST_SIMULATED)
    if simulation is not None and groups is not None:
        others, other_number = encode(groups, "groups", len(label))
        same = scalars(others) == scalars(unique)
        if not (same and np.array_equal(number, other_number)):
            raise InvalidInputError(
                "groups must be None or equal simulation, of which it is a synonym, "
                "got different ids."
            )
    return label, number


def _n_events(X: Any) -> int:
    return X.shape[0] if hasattr(X, "shape") else len(X)


def _present(label: IntArray, number: IntArray) -> NDArray[np.bool_]:
    """Whether a class has events of a simulation, shape (n_classes, n_ids)."""
    present = np.zeros((label.max() + 1, number.max() + 1), dtype=bool)
    present[label, number] = True
    return present


def _match(present: NDArray[np.bool_], rng: np.random.RandomState) -> IntArray:
    """One simulation of every class per row: shared ids together, others at random."""
    shared = present.all(axis=0)
    n_units = int(present.sum(axis=1).min())
    rest = [rng.permutation(np.flatnonzero(own & ~shared)) for own in present]
    n_rest = n_units - int(shared.sum())
    together = np.repeat(np.flatnonzero(shared)[:, None], len(present), axis=1)
    matched = np.stack([ids[:n_rest] for ids in rest], axis=1)
    return np.concatenate([together, matched])
