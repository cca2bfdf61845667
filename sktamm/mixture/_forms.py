"""The two forms: how components blend into the density of a class.

A form asks the prior for the method it needs, ``expand`` (exponential) or
``weight_penalty`` (linear), and refuses a prior that lacks it.
"""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from sktamm._numerics import FloatArray
from sktamm.base import ComponentTable
from sktamm.exceptions import IncompatibleChoiceError
from sktamm.mixture._densities import (
    ClassDensity,
    ExponentialDensity,
    LinearDensity,
)
from sktamm.mixture._model import Block, MixtureModel
from sktamm.mixture._penalties import Penalty

__all__ = ["ExponentialForm", "LinearForm"]


class _Form(BaseEstimator):
    """Builds the mixture of all classes from one class at a time."""

    def build(self, table: ComponentTable, prior: Any) -> MixtureModel:
        """Mixture model of a table under a prior.

        Parameters
        ----------
        table : ComponentTable
            Components at rows and reference rows.
        prior : BaseEstimator
            Prior with the method this form needs.

        Returns
        -------
        model : MixtureModel
            Log posterior of fractions and blend parameters.
        """
        if not hasattr(prior, self.needs):
            raise IncompatibleChoiceError(
                f"{type(self).__name__} needs a prior with the method "
                f"'{self.needs}', which {type(prior).__name__} lacks; "
                f"use prior={self.priors}."
            )
        densities: list[ClassDensity] = []
        blocks: list[Block] = []
        start = 0
        for c in range(table.n_classes):
            density, penalty = self._class_density(table, prior, c)
            densities.append(density)
            blocks.append(Block(start + np.arange(density.n_params), penalty))
            start += density.n_params
        return MixtureModel(densities, blocks, table.positive)


class LinearForm(_Form):
    """Weighted sum of components: s(x) = sum_k w_k s_k(x), w on the simplex."""

    needs = "weight_penalty"
    priors = "'dirichlet'"

    def _class_density(
        self, table: ComponentTable, prior: Any, c: int
    ) -> tuple[LinearDensity, Penalty]:
        ratio = np.exp(table.log_ratio[:, table.components_of(c)])
        return LinearDensity(ratio), prior.weight_penalty(table, c)


class ExponentialForm(_Form):
    """Weighted product of components: s(x) = exp(sum_k w_k ln s_k(x)) / Z."""

    needs = "expand"
    priors = "'ridge', 'simulations' or 'shrinkage'"

    def _class_density(
        self, table: ComponentTable, prior: Any, c: int
    ) -> tuple[ExponentialDensity, Penalty]:
        expansion = prior.expand(table, c)
        columns = table.components_of(c)
        reference = self._features(
            table.reference_log_ratio[:, columns], table.reference_basis
        )
        ref_offset = reference @ expansion.offset
        ref_directions = reference @ expansion.directions
        offset, directions = ref_offset, ref_directions
        if not table.binned:
            rows = self._features(table.log_ratio[:, columns], table.basis)
            offset = rows @ expansion.offset
            directions = rows @ expansion.directions
        density = ExponentialDensity(
            offset, directions, ref_offset, ref_directions, table.reference_weight
        )
        return density, expansion.penalty

    @staticmethod
    def _features(log_ratio: FloatArray, basis: FloatArray) -> FloatArray:
        return np.hstack([log_ratio, basis])
