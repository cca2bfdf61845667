"""The two forms: how components blend into the density of a class.

A form asks the prior for the method it needs, ``expand`` (exponential) or
``weight_penalty`` (linear), and refuses a prior that lacks it.
"""

from typing import Any, ClassVar

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
from sktamm.mixture._event_densities import (
    EventDensity,
    EventExponential,
    EventLinear,
)
from sktamm.mixture._events import EventMixture
from sktamm.mixture._model import Block, MixtureModel
from sktamm.mixture._penalties import Penalty
from sktamm.mixture._priors import Expansion

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
        make = self._class_density if table.binned else self._event_density
        densities: list[Any] = []
        blocks: list[Block] = []
        start = 0
        for c in range(table.n_classes):
            density, penalty = make(table, prior, c)
            densities.append(density)
            blocks.append(Block(start + np.arange(density.n_params), penalty))
            start += density.n_params
        parts = (densities, blocks, table.positive, table.reference_weight)
        if table.binned:
            return MixtureModel(*parts)
        simulations = getattr(prior, "spans", "components") == "simulations"
        return EventMixture(*parts, spans_simulations=simulations)

    def _class_density(
        self, table: ComponentTable, prior: Any, c: int
    ) -> tuple[ClassDensity, Penalty]:
        raise NotImplementedError

    def _event_density(
        self, table: ComponentTable, prior: Any, c: int
    ) -> tuple[EventDensity, Penalty]:
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

    def _event_density(
        self, table: ComponentTable, prior: Any, c: int
    ) -> tuple[EventLinear, Penalty]:
        columns = table.components_of(c)
        density = EventLinear(
            np.exp(table.log_ratio[:, columns]),
            np.exp(table.reference_log_ratio[:, columns]),
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
    needs_overlap = True  # a product is empty where any factor is

    def _class_density(
        self, table: ComponentTable, prior: Any, c: int
    ) -> tuple[ExponentialDensity, Penalty]:
        expansion = prior.expand(table, c)
        features = expansion.features
        offset = features.reference @ expansion.offset
        directions = features.reference @ expansion.directions
        density = ExponentialDensity(
            offset,
            directions,
            offset,
            directions,
            table.reference_weight,
            _offset_variance(expansion),
        )
        return density, expansion.penalty

    def _event_density(
        self, table: ComponentTable, prior: Any, c: int
    ) -> tuple[EventExponential, Penalty]:
        expansion = prior.expand(table, c)
        features = expansion.features
        learned = slice(0, features.n_densities)
        density = EventExponential(
            features.rows @ expansion.offset,
            features.rows @ expansion.directions,
            features.reference @ expansion.offset,
            features.reference @ expansion.directions,
            table.reference_weight,
            (expansion.offset[learned], expansion.directions[learned]),
        )
        return density, expansion.penalty


def _offset_variance(expansion: Expansion) -> FloatArray | None:
    """Relative variance of the central density: sum_k o_k^2 v_ki."""
    variance = expansion.features.relative_variance
    if variance is None:
        return None
    return variance @ expansion.offset[: expansion.features.n_densities] ** 2
