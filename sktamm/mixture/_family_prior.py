"""Priors around a nominal: the common part of those to which families are declared."""

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from sktamm._numerics import FloatArray
from sktamm._sklearn import check_parameters, positive
from sktamm.base import ComponentTable
from sktamm.mixture._expansion import Expansion
from sktamm.mixture._families import Grouping
from sktamm.mixture._features import Features, class_features
from sktamm.mixture._penalties import (
    GaussianPenalty,
    Penalty,
    StackedPenalty,
    StudentPenalty,
)
from sktamm.mixture._shrunk import compress

__all__ = ["FamilyPrior"]


class FamilyPrior(BaseEstimator):
    """Common part of the priors to which families may be declared."""

    strength: float
    families: Mapping[Any, Any] | None
    nominal: Any
    alternatives: Collection[Any] | None
    tails = "student"
    informative = True
    spans = "simulations"
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "strength": [positive()],
        "families": [object],  # a `Grouping` checks the three together
        "nominal": [object],
        "alternatives": [object],
    }

    def grouping(self) -> Grouping | None:
        """Families as declared; None without any."""
        if self.families is None and self.nominal is None and self.alternatives is None:
            return None
        return Grouping(self.families, self.nominal, self.alternatives)

    def check_simulations(
        self, source_class: NDArray[np.intp], source_id: NDArray[Any]
    ) -> None:
        """Refuse simulations (n_simulations,) that do not fit the families."""
        grouping = self.grouping()
        if grouping is not None:
            grouping.check(source_class, source_id)

    def words(self) -> dict[str, str]:
        """What was declared, for results."""
        grouping = self.grouping()
        return {} if grouping is None else {"families": grouping.words()}

    def expand(self, table: ComponentTable, class_index: int) -> Expansion:
        """Offset, directions and penalty of one class."""
        check_parameters(self)
        grouping = self.grouping()
        if grouping is None:
            return self._exchangeable(table, class_index)
        return self._around_nominal(table, class_index, grouping)

    def _exchangeable(self, table: ComponentTable, class_index: int) -> Expansion:
        """Without families."""
        raise NotImplementedError

    def _around_nominal(
        self, table: ComponentTable, class_index: int, grouping: Grouping
    ) -> Expansion:
        """The nominal, directions of all variations, then those of every family."""
        source = table.simulations
        features = class_features(table, class_index, self.spans)
        grouping.check(source.source_class, source.source_id)
        ids = source.source_id[source.of_class(class_index)].tolist()
        families = grouping.of_class(features, ids)
        offset = np.eye(features.n_features)[families.nominal]
        blocks = [(features.padded(families.variations), np.inf)]
        for members in families.alternatives:
            degrees = members.shape[1] + 1.0 if self.tails == "student" else np.inf
            blocks.append((self._of_alternatives(features, members), degrees))
        columns, parts = [], []
        for block, degrees in blocks:
            own = compress(features, block / np.sqrt(self.strength))
            columns.append(own)
            parts.append(_unit_penalty(own.shape[1], degrees))
        return Expansion(features, offset, np.hstack(columns), StackedPenalty(parts))

    def _of_alternatives(self, features: Features, members: FloatArray) -> FloatArray:
        """Columns of one family of alternatives, of shape (n_features, n_columns)."""
        raise NotImplementedError


def _unit_penalty(size: int, degrees: float) -> tuple[int, Penalty]:
    """Student t of so many whitened amplitudes, normal for infinite degrees."""
    if np.isfinite(degrees):
        return size, StudentPenalty(np.eye(size), degrees)
    return size, GaussianPenalty(np.eye(size))
