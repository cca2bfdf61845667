"""Log posteriors in unconstrained coordinates, many chains of many datasets at once.

Fractions are f = softmax(V y), whose Jacobian turns their flat prior into prod f.
Positions are (y of the fractions, parameters of class 0, parameters of class 1, ...);
those of a linear mixture are in `GammaWeights`.
"""

import numpy as np
from numpy.typing import NDArray

from sktamm._arrays import namespace
from sktamm._numerics import FloatArray, contrast_basis, softmax
from sktamm.inference._fit import made_regular
from sktamm.inference._gamma_weights import GammaWeights
from sktamm.inference._simplex import OnSimplex
from sktamm.mixture import MixtureModel, RowData

__all__ = ["GeneralTarget", "LogRatios", "free_fractions", "posterior_space"]


def posterior_space(
    model: MixtureModel, data: RowData, theta: FloatArray
) -> "GammaWeights | LogRatios":
    """Coordinates to sample in, with the normal about the modes ``theta`` in them."""
    simplex = OnSimplex(model)
    mode = simplex.position(theta)
    precision = made_regular(simplex.precision(mode, data))
    covariance = np.asarray(np.linalg.inv(precision), float)
    space = GammaWeights if model.is_linear else LogRatios
    return space(model, data, mode, covariance)


class LogRatios:
    """Coordinates of any mixture: log ratios of the fractions, and its parameters."""

    #: Of Hamiltonian Monte Carlo: chains get stuck where tilts are steep, with the
    #: usual acceptance of .9 three times as often (bench_posterior.py rates).
    n_leapfrog = 12
    target_acceptance = 0.95

    def __init__(
        self,
        model: MixtureModel,
        data: RowData,
        start: FloatArray,
        covariance: FloatArray,
    ):
        self.model, self.data = model, data
        self.start, self.covariance = start, covariance

    def theta(self, position: FloatArray) -> FloatArray:
        """Parameters of the mixture at positions (n_datasets, ..., n_params)."""
        theta = position.copy()
        n = self.model.n_fractions
        theta[..., :n] = free_fractions(self.model, position)
        return theta

    def target(self, datasets: NDArray[np.intp]) -> "GeneralTarget":
        """Log density of some of the datasets."""
        return GeneralTarget(self.model, self.data.take(datasets))


def free_fractions(model: MixtureModel, position: FloatArray) -> FloatArray:
    """Fractions at positions (..., n_params) but the dependent one, kappa first."""
    n = model.n_fractions
    return softmax(position[..., :n] @ contrast_basis(n + 1).T)[..., :n]


class GeneralTarget:
    """Any mixture, through the value and gradient of the model where it computes."""

    def __init__(self, model: MixtureModel, data: RowData):
        self.model = model.there
        self.data = data.on(model.xp)
        self.contrast = model.xp.asarray(contrast_basis(model.n_fractions + 1))
        self.repeated = self.data

    def __call__(self, position: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Log density (n_datasets, n_chains) and its gradient."""
        n_datasets, n_chains, n_params = position.shape
        n = self.model.n_fractions
        if self.repeated.observed.shape[0] != n_datasets * n_chains:
            self.repeated = self.data.take(np.repeat(np.arange(n_datasets), n_chains))
        xp = namespace(position)
        theta = xp.copy(position.reshape(-1, n_params))
        fractions = softmax(theta[:, :n] @ self.contrast.T)
        log_fractions = xp.log(xp.maximum(fractions, np.finfo(float).tiny))
        theta[:, :n] = fractions[:, :n]
        value, gradient = self.model.value_and_gradient(theta, self.repeated)
        value += log_fractions.sum(axis=1)
        slope = xp.ones_like(fractions)
        slope[:, :n] += fractions[:, :n] * gradient[:, :n]
        slope -= fractions * slope.sum(axis=1, keepdims=True)
        gradient[:, :n] = slope @ self.contrast
        shape = (n_datasets, n_chains)
        return value.reshape(shape), gradient.reshape(position.shape)
