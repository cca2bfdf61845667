"""What a fitted likelihood is asked: values, best fit, profiles, regions."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from sktamm._numerics import FloatArray
from sktamm.exceptions import InvalidInputError
from sktamm.parametric._monomials import read_reference, read_theta
from sktamm.parametric._profile import FittedLikelihood
from sktamm.parametric._regions import (
    ConfidenceRegion,
    LikelihoodFit,
    ParameterInterval,
    ProfileScan,
)

__all__ = ["LikelihoodAnswers", "one_theta"]


class LikelihoodAnswers:
    """Public verbs of a likelihood whose data were taken by ``fit``."""

    n_parameters_: int
    _fitted_: FittedLikelihood

    def nll(self, theta: ArrayLike, nuisance: ArrayLike | None = None) -> Any:
        """Twice the negative log likelihood ratio to the reference point."""
        objective = self._likelihood().objective
        points, single = read_theta(theta, self.n_parameters_)
        n_nuisances = objective.size - self.n_parameters_
        nu = read_reference(nuisance, n_nuisances) if n_nuisances else np.zeros(0)
        full = np.hstack([points, np.tile(nu, (len(points), 1))])
        values = objective.values(full)
        return float(values[0]) if single else values

    def nll_gradient(
        self, theta: ArrayLike, nuisance: ArrayLike | None = None
    ) -> FloatArray:
        """Gradient of ``nll`` with respect to theta, then the nuisance parameters."""
        objective = self._likelihood().objective
        point = objective.start(one_theta(theta, objective.theta_ref))
        if nuisance is not None:
            n_nuisances = objective.size - self.n_parameters_
            point[self.n_parameters_ :] = read_reference(nuisance, n_nuisances)
        return objective.value_and_gradient(point)[1]

    def best_fit(self) -> LikelihoodFit:
        """Parameters of maximum likelihood."""
        return self._likelihood().best_fit()

    def profile(
        self, i: int, values: ArrayLike, others: str = "profile"
    ) -> ProfileScan:
        """-2 ln of the likelihood ratio to the best fit along parameter ``i``.

        For every one of its ``values`` (n_points,) the other and the nuisance
        parameters are minimised over, or held at the best fit if ``others`` is "fix".
        Where the likelihood is very small, tens above the best fit, or events are few,
        about ten, the descents may end in another valley than the deepest.
        """
        return self._likelihood().profile(i, values, others)

    def surface(
        self, i: int, j: int, values: Any, others: str = "profile"
    ) -> FloatArray:
        """-2 ln of the likelihood ratio to the best fit on a grid, (n_i, n_j)."""
        return self._likelihood().surface(i, j, values, others)

    def interval(
        self, i: int = 0, level: float = 0.683, others: str = "profile"
    ) -> ParameterInterval:
        """Confidence interval of one parameter."""
        return self._likelihood().interval(i, level, others)

    def confidence_ellipse(
        self,
        i: int,
        j: int,
        level: float = 0.683,
        others: str = "profile",
        n_points: int = 128,
    ) -> ConfidenceRegion:
        """Ellipse of two parameters from the second derivatives at the best fit."""
        return self._likelihood().ellipse(i, j, level, others, n_points)

    def contour(
        self,
        i: int,
        j: int,
        level: float = 0.683,
        others: str = "profile",
        n_points: int = 64,
    ) -> ConfidenceRegion:
        """Exact contour: where rays from the best fit leave the region.

        Parts of the region that are not seen from there are left to ``surface``.
        """
        return self._likelihood().contour(i, j, level, others, n_points)

    def _likelihood(self) -> FittedLikelihood:
        check_is_fitted(self, "_fitted_")
        return self._fitted_


def one_theta(theta: ArrayLike | None, theta_ref: FloatArray) -> FloatArray:
    """One point (n_parameters,); None is the reference point."""
    if theta is None:
        return theta_ref
    points, single = read_theta(theta, theta_ref.size)
    if not single:
        raise InvalidInputError(
            f"theta must be one point, got shape {np.shape(theta)}."
        )
    return points[0]
