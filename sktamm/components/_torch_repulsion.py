"""What the members of a repulsive ensemble minimise together.

Member i follows the gradient flow of the Kullback-Leibler divergence between the
density rho of the members and the posterior of N events (D'Angelo and Fortuin,
arXiv:2106.11642),

    L = sum_i [ mean_n l_in - ln prior(theta_i) / N - alpha / N u_i . F_i ],
    F_i = (u_i - sum_j k_ij u_j / sum_j k_ij) / h,  k_ij = exp(-|u_i - u_j|^2 / 2h),

where F = -grad ln rho is the force of a kernel estimate of rho in coordinates u of the
members, h = median |u_i - u_j|^2 / (2 ln(M + 1)), and no gradient flows through F.

The estimate is too smooth, above all in many dimensions, so that its force is too weak
and the members too close. Whatever rho, the true force obeys Stein's identity
<(u - <u>) . F> = D in D dimensions: the force is scaled to it. D is the number of
weights, or, for functions and losses, of the directions that the members take: the
participation ratio (tr S)^2 / tr S^2 of their covariance S.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sktamm.components._torch import LOSSES, Options, Rows, layers, outputs

__all__ = ["Repulsion", "RepulsionOptions"]

_LEAST_VARIANCE = 1e-6  # of the estimated noise, in units of the targets' variance
_MEMORY = 0.95  # of the running mean of the estimated noise
_LEAST_VIRIAL = 1e-3  # that of a kernel is between zero and ln(M + 1)
_TINY = 1e-30


class RepulsionOptions(NamedTuple):
    """How the members repel each other."""

    space: str  # of the coordinates u: "function", "loss" or "weight"
    alpha: float  # temperature
    n_events: float  # effective number
    prior_scale: float | None  # of biases, and of weights times sqrt(fan_in)
    noise: NDArray[np.float64] | None  # of the standardised targets; None is unknown
    calibrated: bool  # scale the force to Stein's identity


class Repulsion:
    """Objective of `sktamm.components._torch.train` that couples the members.

    Parameters
    ----------
    options : RepulsionOptions
        Space, strength and prior.
    """

    def __init__(self, options: RepulsionOptions) -> None:
        self.options = options
        self.variance: Tensor | None = None  # of the noise, running mean

    def __call__(
        self, parameters: Tensor, batch: Rows, options: Options
    ) -> tuple[Tensor, Tensor]:
        """Value to minimise, and the summed losses of the members.

        Parameters
        ----------
        parameters : Tensor of shape (n_members, n_parameters)
            Weights and biases.
        batch : Rows
            Rows of a minibatch.
        options : Options
            How to train.

        Returns
        -------
        value : Tensor
            Scalar.
        sums : Tensor of shape (n_members,)
            Weighted sums of the losses.
        """
        chosen = self.options
        z, weight = outputs(parameters, batch, options), batch.weight.t()
        losses = LOSSES[options.loss](z, batch.target)
        nll = losses * z.shape[-1] if options.loss == "logistic" else losses
        if options.loss == "squared_error":
            precision = 1 / self._variance(z.detach(), batch.target, weight)
            nll = (0.5 * precision * (z - batch.target).square()).sum(dim=-1)
            z = precision.sqrt() * z
        value = (nll * weight).sum() / len(batch.features)
        pushed = -chosen.alpha * self._repulsion(parameters, z, nll, batch, options)
        if chosen.prior_scale is not None:
            pushed = pushed + _prior(parameters, options.sizes, chosen.prior_scale)
        sums = (losses * weight).sum(dim=1).detach()
        return value + pushed / chosen.n_events, sums

    def _repulsion(
        self,
        parameters: Tensor,
        z: Tensor,
        nll: Tensor,
        batch: Rows,
        options: Options,
    ) -> Tensor:
        """Sum of u . F over the members, in which F is held."""
        space, calibrated = self.options.space, self.options.calibrated
        if space == "weight":
            force = _force(parameters.detach(), calibrated, parameters.shape[1])
            return (parameters * force).sum()
        u = nll.unsqueeze(-1) if space == "loss" else _FUNCTIONS[options.loss](z)
        share = batch.weight.mean(dim=1).clamp_min(0).sqrt()
        u = (u * share[:, None]).flatten(1)
        # Rows of a batch, times the outputs, stand for those of all events.
        n_free = z.shape[-1] - (options.loss == "cross_entropy")
        missing = 1 / len(batch.features) - 1 / self.options.n_events
        force = _force(u.detach(), calibrated, missing=max(missing, 0.0) / n_free)
        return (u * force).sum()

    def _variance(self, z: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Variance of the noise of each output; that of the batch if it is unknown."""
        if self.options.noise is not None:
            noise = torch.from_numpy(self.options.noise).to(z)
            self.variance = noise.square()
            return self.variance
        share = weight.expand(len(z), -1).unsqueeze(-1)
        mean = ((z - target).square() * share).sum(dim=(0, 1)) / share.sum()
        mean = mean.clamp_min(_LEAST_VARIANCE)
        before = mean if self.variance is None else self.variance
        self.variance = _MEMORY * before + (1 - _MEMORY) * mean
        return mean


# Coordinates of functions in which distances are those of Fisher's information; of
# standardised outputs in units of the noise, and of probabilities.
_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "squared_error": lambda z: z,
    "logistic": lambda z: 2 * torch.atan(torch.tanh(0.25 * z)),
    "cross_entropy": lambda z: 2 * (0.5 * torch.log_softmax(z, dim=-1)).exp(),
}


def _force(
    u: Tensor, calibrated: bool, dimension: int | None = None, missing: float = 0.0
) -> Tensor:
    """Force F of shape (n_members, n_coordinates) between members at u.

    ``missing`` is that of `_directions`, which counts the dimensions if they are None.
    """
    n_members = len(u)
    if n_members == 1:
        return torch.zeros_like(u)
    u = u - u.mean(dim=0)
    products = u @ u.t()
    squares = products.diagonal()
    distances = (squares[:, None] + squares - 2 * products).clamp_min(0)
    above = torch.ones_like(distances, dtype=torch.bool).triu(1)
    median = distances[above].median()
    h = (median / (2 * math.log(n_members + 1))).clamp_min(_TINY)
    shares = torch.softmax(-distances / (2 * h), dim=1)
    force = (u - shares @ u) / h
    if not calibrated:
        return force
    # Stein's identity for a mean over M members about their own mean.
    virial = (squares.sum() - (shares * products).sum()) / (h * n_members)
    n_directions = _directions(products, missing) if dimension is None else dimension
    expected = n_directions * (n_members - 1) / n_members
    return force * (expected / virial.clamp_min(_LEAST_VIRIAL))


def _directions(products: Tensor, missing: float) -> Tensor:
    """Participation ratio of the members' covariance, from their scalar products.

    If the coordinates are a random choice, D directions seem to be 1 / (1 / D +
    missing).
    """
    trace = products.diagonal().sum()
    seeming = trace.square() / products.square().sum().clamp_min(_TINY)
    return seeming / (1 - seeming * missing).clamp_min(0.5)


def _prior(parameters: Tensor, sizes: tuple[int, ...], scale: float) -> Tensor:
    """-ln of the normal prior of all members, up to a constant."""
    total = parameters.new_zeros(())
    for weight, bias in layers(parameters, sizes):
        total = total + weight.shape[1] * weight.square().sum() + bias.square().sum()
    return total / (2 * scale**2)
