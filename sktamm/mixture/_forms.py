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
from sktamm.mixture._priors import Expansion

__all__ = ["ExponentialForm", "LinearForm"]


class _Form(BaseEstimator):
    """Builds the mixture of all classes from one class at a time."""

    needs: str
    priors: str
    default_prior: str

    def check(self, prior: Any) -> None:
        """Refuse a prior that lacks the method this form needs.

        Parameters
        ----------
        prior : BaseEstimator
            Prior to be used with this form.
        """
        if not hasattr(prior, self.needs):
            raise IncompatibleChoiceError(
                f"{type(self).__name__} needs a prior with the method "
                f"'{self.needs}', which {type(prior).__name__} lacks; "
                f"use prior={self.priors}."
            )

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
        self.check(prior)
        densities: list[ClassDensity] = []
        blocks: list[Block] = []
        start = 0
        for c in range(table.n_classes):
            density, penalty = self._class_density(table, prior, c)
            densities.append(density)
            blocks.append(Block(start + np.arange(density.n_params), penalty))
            start += density.n_params
        return MixtureModel(densities, blocks, table.positive, table.reference_weight)


class LinearForm(_Form):
    """Weighted sum of components: s(x) = sum_k w_k s_k(x), w on the simplex.

    Examples
    --------
    >>> from sktamm.mixture import DirichletPrior, LinearForm
    >>> LinearForm().check(DirichletPrior())
    """

    needs = "weight_penalty"
    priors = "'dirichlet'"
    default_prior = "dirichlet"

    def _class_density(
        self, table: ComponentTable, prior: Any, c: int
    ) -> tuple[LinearDensity, Penalty]:
        columns = table.components_of(c)
        variance = table.relative_variance
        density = LinearDensity(
            np.exp(table.log_ratio[:, columns]),
            None if variance is None else variance[:, columns],
        )
        return density, prior.weight_penalty(table, c)


class ExponentialForm(_Form):
    """Weighted product of components: s(x) = exp(sum_k w_k ln s_k(x)) / Z.

    Examples
    --------
    >>> from sktamm.mixture import ExponentialForm, ShrinkagePrior
    >>> ExponentialForm().check(ShrinkagePrior())
    """

    needs = "expand"
    priors = "'ridge', 'simulations' or 'shrinkage'"
    default_prior = "shrinkage"

    def _class_density(
        self, table: ComponentTable, prior: Any, c: int
    ) -> tuple[ExponentialDensity, Penalty]:
        expansion = prior.expand(table, c)
        features = expansion.features
        reference_offset = features.reference @ expansion.offset
        reference_directions = features.reference @ expansion.directions
        offset, directions = reference_offset, reference_directions
        if not table.binned:
            offset = features.rows @ expansion.offset
            directions = features.rows @ expansion.directions
        density = ExponentialDensity(
            offset,
            directions,
            reference_offset,
            reference_directions,
            table.reference_weight,
            _offset_variance(expansion),
        )
        return density, expansion.penalty


def _offset_variance(expansion: Expansion) -> FloatArray | None:
    """Relative variance of the central density: sum_k o_k^2 v_ki."""
    variance = expansion.features.relative_variance
    if variance is None:
        return None
    return variance @ expansion.offset[: expansion.features.n_densities] ** 2
