"""Estimators made of a list of named ones, as scikit-learn's meta-estimators are."""

import copy
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.metaestimators import _BaseComposition, available_if
from sklearn.utils.validation import check_is_fitted

from sktamm.exceptions import IncompatibleChoiceError
from sktamm.tamm import FractionWrapper

__all__ = ["Composition"]


class Composition(FractionWrapper, _BaseComposition):
    """Estimator with a parameter that lists (name, estimator) tuples."""

    _copied = (*FractionWrapper._copied, "paired_", "simulations_")
    _parts: str  # name of that parameter

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters of this estimator, and of the named ones: ``name__parameter``."""
        params: dict[str, Any] = self._get_params(self._parts, deep=deep)
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters of this estimator, or of a named one: ``name__parameter``."""
        self._set_params(self._parts, **params)
        return self

    def take(self, simulations: ArrayLike) -> Self:
        """The fitted estimator with some simulations, all choices made anew.

        Parameters
        ----------
        simulations : array-like
            Ids to keep, in every class that has them.

        Returns
        -------
        part : estimator
            Fitted estimator; nothing is trained where estimators can leave some out.
        """
        check_is_fitted(self)
        known, kept = np.asarray(self.simulations_), np.asarray(simulations)
        part = copy.copy(self)
        part._keep(kept, known[~np.isin(known, kept)])
        return part

    @available_if(lambda self: self._keeper() is not None)
    def held_out(self) -> dict[str, Any]:
        """Events that nothing has trained on: X, y, simulation, sample_weight."""
        events: dict[str, Any] = self._keeper().held_out()
        return events

    # --------------------------------------------------------------- private steps
    def _keep(self, kept: NDArray[Any], lost: NDArray[Any]) -> None:
        """Forget the simulations that are lost."""
        raise NotImplementedError

    def _answering(self) -> Iterable[Any]:
        """Fitted estimators behind an answer."""
        return (self.estimator_,)

    def _keeper(self) -> Any:
        """The first of them that keeps events from its training; None without."""
        return next((e for e in self._answering() if hasattr(e, "held_out")), None)

    def _check_parts(self) -> None:
        """Refuse what is not a list of names and estimators that measure fractions."""
        given = getattr(self, self._parts)
        try:
            pairs = [(name, estimator) for name, estimator in given]
        except (TypeError, ValueError):
            pairs = []
        names = [name for name, _ in pairs]
        if not pairs or len(set(names)) < len(names):
            raise IncompatibleChoiceError(
                f"{self._parts} must be a list of (name, estimator) tuples with names "
                f"that differ, got {given!r}."
            )
        for name, estimator in pairs:
            if not (hasattr(estimator, "fit") and hasattr(estimator, "infer")):
                raise IncompatibleChoiceError(
                    f"{self._parts} must have the methods 'fit' and 'infer', got "
                    f"{type(estimator).__name__} for {name!r}."
                )
