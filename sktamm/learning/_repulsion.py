"""What the members of a repulsive ensemble minimise together.

Member i follows the gradient flow of the Kullback-Leibler divergence between the
density rho of the members and the posterior of N events (D'Angelo and Fortuin,
arXiv:2106.11642),

    L = sum_i [ mean_n l_in - ln prior(theta_i) / N - alpha / N u_i . F_i ],
    F_i = (u_i - sum_j k_ij u_j / sum_j k_ij) / h,  k_ij = exp(-|u_i - u_j|^2 / 2h),

where F = -grad ln rho is the force of a kernel estimate of rho in coordinates u of the
members, h = median |u_i - u_j|^2 / (2 ln(M + 1)), and no gradient flows through F.

The estimate is too smooth and its force too weak, above all in many dimensions. But the
true force obeys Stein's identity <(u - <u>) . F> = D in D dimensions: the force is
scaled to it. D is the number of weights, or, for functions and losses, of the
directions that the members take: the participation ratio (tr S)^2 / tr S^2 of their
covariance S.

The force is F = C u with a matrix C of all pairs that changes slowly and is kept.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sktamm.learning._networks import LOSSES, Options, Rows, layers, outputs

__all__ = ["Repulsion", "RepulsionOptions"]

# Rules of thumb: longer intervals cost less and follow the members later; so does a
# longer memory, with less scatter.
_INTERVALS = (1, 8)  # steps for which couplings and an unknown noise are kept
_LEAST_UPDATES = 4  # per epoch
_LEAST_VARIANCE = 1e-6  # of the estimated noise, in units of the targets' variance
_MEMORY = 0.8  # of the running mean of the estimated noise
# An unknown noise is taken for smaller by a factor that rises from the first value to
# one during this share of the steps: members that begin by calling everything noise
# are held there by the prior.
_FIRST_NOISE, _WARM_UP = 0.1, 0.3
_LEAST_VIRIAL = 1e-3  # that of a kernel is between zero and ln(M + 1)
_TINY = 1e-30  # instead of a division by zero


class RepulsionOptions(NamedTuple):
    """How the members repel each other."""

    space: str  # of the coordinates u: "function", "loss" or "weight"
    alpha: float  # temperature
    n_rows: int  # of an epoch
    n_events: float  # effective number
    prior_scale: float | None  # of biases, and of weights times sqrt(fan_in)
    noise: NDArray[np.float64] | None  # of the standardised targets; None is unknown
    calibrated: bool  # scale the force to Stein's identity


class Repulsion:
    """Objective of `_networks.train` that couples the members."""

    def __init__(self, options: RepulsionOptions) -> None:
        self.options = options
        self.variance: Tensor | None = None  # of the noise, running mean
        self._n_steps = 0
        self._precision = torch.empty(0)  # of the noise
        self._coupling = torch.empty(0)  # C, times alpha / N
        self._stiffness = torch.empty(0)  # precision of the prior, over N

    def __call__(
        self, parameters: Tensor, batch: Rows, options: Options
    ) -> tuple[Tensor, Tensor]:
        """Value with the gradient of the objective, and the members' summed losses."""
        n_batches = self.options.n_rows / len(batch.features)
        interval = np.clip(n_batches // _LEAST_UPDATES, *_INTERVALS)
        anew = self._n_steps % int(interval) == 0
        if self._n_steps == 0:
            self._stiffness = self._prior(parameters.detach(), options.sizes)
            self._parameters = parameters
            parameters.register_hook(self._add_to_gradient)
        self._n_steps += 1
        z, weight = outputs(parameters, batch, options), batch.weight.t()
        if options.loss == "squared_error":
            if anew:
                progress = self._n_steps / (n_batches * options.max_epochs)
                progress = progress if options.schedule == "one_cycle" else 1.0
                self._update_noise(z.detach(), batch.target, weight, progress)
            # In units of the noise.
            z = z * self._precision.sqrt()
            residual = z - batch.target * self._precision.sqrt()
            nll = 0.5 * residual.square().sum(dim=-1)
            errors = residual.detach().square() / self._precision
            sums = (errors.mean(dim=-1) * weight).sum(dim=1)
        else:
            losses = LOSSES[options.loss](z, batch.target)
            nll = losses * z.shape[-1] if options.loss == "logistic" else losses
            sums = (losses.detach() * weight).sum(dim=1)
        value = (nll * weight).sum() / len(batch.features)
        if self.options.space != "weight":
            value = value - self._repulsion(z, nll, batch, options, anew)
        elif anew:
            self._couple(parameters.detach(), parameters.shape[1])
        return value, sums

    def _add_to_gradient(self, gradient: Tensor) -> Tensor:
        """Gradient with those of the prior and of a repulsion of the weights.

        As a part of the value, in the graph, they would take several times as long.
        """
        held = self._parameters.detach()
        gradient = torch.addcmul(gradient, self._stiffness, held)
        if self.options.space == "weight":
            gradient.addmm_(self._coupling, held, alpha=-1)
        return gradient

    def _repulsion(
        self, z: Tensor, nll: Tensor, batch: Rows, options: Options, anew: bool
    ) -> Tensor:
        """Sum of u . F over the members, in which F is held, times alpha / N."""
        is_loss = self.options.space == "loss"
        u = nll.unsqueeze(-1) if is_loss else _FUNCTIONS[options.loss](z)
        held = u.detach() * batch.weight.mean(dim=1).clamp_min(0)[:, None]
        if anew:
            # Rows of a batch, times the outputs, stand for those of all events.
            n_free = z.shape[-1] - (options.loss == "cross_entropy")
            missing = 1 / len(batch.features) - 1 / self.options.n_events
            share = batch.weight.mean(dim=1).clamp_min(0).sqrt()
            coordinates = (u.detach() * share[:, None]).flatten(1)
            self._couple(coordinates, missing=max(missing, 0.0) / n_free)
        force = self._coupling @ held.flatten(1)
        return (u.flatten(1) * force).sum()

    def _couple(
        self, u: Tensor, dimension: int | None = None, missing: float = 0.0
    ) -> None:
        chosen = self.options
        coupling = _coupling(u, chosen.calibrated, dimension, missing)
        self._coupling = coupling * (chosen.alpha / chosen.n_events)

    def _update_noise(
        self, z: Tensor, target: Tensor, weight: Tensor, progress: float
    ) -> None:
        """Variance of the noise of each output; that of the batch if it is unknown."""
        if self.options.noise is not None:
            self.variance = torch.from_numpy(self.options.noise).to(z).square()
            self._precision = 1 / self.variance
            return
        share = weight.expand(len(z), -1).unsqueeze(-1)
        mean = ((z - target).square() * share).sum(dim=(0, 1)) / share.sum()
        mean = mean.clamp_min(_LEAST_VARIANCE)
        before = mean if self.variance is None else self.variance
        self.variance = _MEMORY * before + (1 - _MEMORY) * mean
        self._precision = 1 / (mean * _FIRST_NOISE ** max(0.0, 1 - progress / _WARM_UP))

    def _prior(self, parameters: Tensor, sizes: tuple[int, ...]) -> Tensor:
        """Precision of the normal prior of every parameter, over N."""
        precision = torch.zeros_like(parameters[:1])
        scale = self.options.prior_scale
        if scale is not None:
            for weight, bias in layers(precision, sizes):
                weight.fill_(weight.shape[1] / scale**2)
                bias.fill_(1 / scale**2)
        return precision / self.options.n_events


# Coordinates of functions in which distances are those of Fisher's information; of
# standardised outputs in units of the noise, and of probabilities.
_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "squared_error": lambda z: z,
    "logistic": lambda z: 2 * torch.atan(torch.tanh(0.25 * z)),
    "cross_entropy": lambda z: 2 * (0.5 * torch.log_softmax(z, dim=-1)).exp(),
}


def _coupling(
    u: Tensor, calibrated: bool, dimension: int | None = None, missing: float = 0.0
) -> Tensor:
    """Matrix C (n_members, n_members) of the force F = C u between members."""
    n_members = len(u)
    if n_members == 1:
        return u.new_zeros((1, 1))
    u = u - u.mean(dim=0)
    products = u @ u.t()
    squares = products.diagonal()
    distances = (squares[:, None] + squares - 2 * products).clamp_min(0)
    above = torch.ones_like(distances, dtype=torch.bool).triu(1)
    median = distances[above].median()
    h = (median / (2 * math.log(n_members + 1))).clamp_min(_TINY)
    shares = torch.softmax(-distances / (2 * h), dim=1)
    coupling = (torch.eye(n_members).to(u) - shares) / h
    if not calibrated:
        return coupling
    # Stein's identity for a mean over M members about their own mean.
    virial = (coupling * products).sum() / n_members
    n_directions = _directions(products, missing) if dimension is None else dimension
    expected = n_directions * (n_members - 1) / n_members
    return coupling * (expected / virial.clamp_min(_LEAST_VIRIAL))


def _directions(products: Tensor, missing: float) -> Tensor:
    """Participation ratio of the members' covariance, from their scalar products.

    If coordinates are a random choice, D directions seem 1 / (1 / D + missing).
    """
    trace = products.diagonal().sum()
    seeming = trace.square() / products.square().sum().clamp_min(_TINY)
    return seeming / (1 - seeming * missing).clamp_min(0.5)
