"""The two forms: how components blend into the density of a class."""

from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator

from sktamm.base import ComponentTable
from sktamm.exceptions import IncompatibleChoiceError
from sktamm.mixture._densities import ClassDensity, ExponentialDensity, LinearDensity
from sktamm.mixture._event_densities import EventDensity, EventExponential, EventLinear
from sktamm.mixture._events import EventMixture
from sktamm.mixture._made_rows import ratios_at
from sktamm.mixture._model import Block, MixtureModel
from sktamm.mixture._penalties import Penalty

__all__ = ["ExponentialForm", "LinearForm"]


class _Form(BaseEstimator):
    """Builds the mixture of all classes from one class at a time."""

    needs: str
    priors: str
    default_prior: str
    needs_overlap = False
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}

    def check(self, prior: Any) -> None:
        """Refuse a prior that lacks the method this form needs."""
        if not hasattr(prior, self.needs):
            raise IncompatibleChoiceError(
                f"{type(self).__name__} needs a prior with the method "
                f"'{self.needs}', which {type(prior).__name__} lacks; "
                f"use prior={self.priors}."
            )

    def suited(self, components: Any) -> Any:
        """Fitted components with which this form can live."""
        return components.for_form(self)

    def build(self, table: ComponentTable, prior: Any) -> MixtureModel:
        """Mixture model of a table under a prior."""
        self.check(prior)
        densities: list[Any] = []
        blocks: list[Block] = []
        start = 0
        for c in range(table.n_classes):
            density, penalty = self._density(table, prior, c)
            densities.append(density)
            blocks.append(Block(start + np.arange(density.n_params), penalty))
            start += density.n_params
        parts = (densities, blocks, table.positive, table.reference_weight)
        if table.binned:
            return MixtureModel(*parts)
        simulations = getattr(prior, "spans", "components") == "simulations"
        return EventMixture(*parts, spans_simulations=simulations)

    def _density(
        self, table: ComponentTable, prior: Any, c: int
    ) -> tuple[ClassDensity | EventDensity, Penalty]:
        """Density of one class at the rows, and the prior of its parameters."""
        raise NotImplementedError


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

    def _density(
        self, table: ComponentTable, prior: Any, c: int
    ) -> tuple[ClassDensity | EventDensity, Penalty]:
        columns, variance = table.components_of(c), table.relative_variance
        penalty = prior.weight_penalty(table, c)
        if table.binned:
            ratio = np.exp(table.log_ratio[:, columns])
            own = None if variance is None else variance[:, columns]
            return LinearDensity(ratio, own), penalty
        reference = np.exp(table.reference_log_ratio[:, columns])
        return EventLinear(ratios_at(table.log_ratio, columns), reference), penalty


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
    needs_overlap = True  # a product is empty where any factor is

    def _density(
        self, table: ComponentTable, prior: Any, c: int
    ) -> tuple[ClassDensity | EventDensity, Penalty]:
        expansion = prior.expand(table, c)
        features, offset = expansion.features, expansion.offset
        directions = expansion.directions
        learned = slice(0, features.n_densities)
        reference = features.reference @ offset, features.reference @ directions
        weight, penalty = table.reference_weight, expansion.penalty
        if table.binned:
            variance = features.relative_variance
            if variance is not None:  # of the central density: sum_k o_k^2 v_ki
                variance = variance @ offset[learned] ** 2
            return ExponentialDensity(*reference, *reference, weight, variance), penalty
        rows = features.rows @ offset, features.rows @ directions
        blend = offset[learned], directions[learned]
        return EventExponential(*rows, *reference, weight, blend), penalty
