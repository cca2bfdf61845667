"""Many small networks trained as one: stacked layers, shared minibatches.

Layer l of all members m is one batched matrix product

    z_lm = a(z_(l-1)m) W_lm + b_lm,  W_l of shape (n_members, fan_in, fan_out),

with all weights in one tensor of shape (n_members, n_parameters). The objective is

    L = sum_m sum_i w_im loss(z_m(x_i), y_i) / n_batch,

whose members share no parameter: gradients, and steps of Adam (Kingma and Ba 2015;
decoupled weight decay of Loshchilov and Hutter 2019), are those of networks trained
alone. The learning rate of "one_cycle" rises and falls once (Smith 2018).
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from sktamm.learning._best_epoch import BestWeights
from sktamm.learning._links import LINKS
from sktamm.learning._settings import TrainingSettings

__all__ = [
    "ACTIVATIONS",
    "LOSSES",
    "Moments",
    "Network",
    "Objective",
    "Options",
    "Outcome",
    "Rows",
    "Split",
    "has_cuda",
    "layers",
    "linked",
    "mean_log_softmax",
    "member_outputs",
    "outputs",
    "train",
]

Float32Array = NDArray[np.float32]
IntArray = NDArray[np.int64]
# State of Adam: number of steps, first and second moment of the gradient.
Moments = tuple[float, Float32Array, Float32Array]

# Rules of thumb: the slope of the leaky ReLU trades dead units for linearity;
# a rise shorter than the 0.3 of torch's OneCycleLR leaves more steps to settle. The
# first rate is that of OneCycleLR, 1 / 25.
_SLOPE = 0.2
_WARM_UP = 0.2  # share of the steps in which the learning rate of one cycle rises
_FIRST_RATE = 0.04  # learning rate of the first step, in units of the largest
_BLOCK_SIZE = 1 << 14  # rows of one forward pass without gradients; bounds its memory
_BETAS, _EPSILON = (0.9, 0.999), 1e-8  # of Adam, as published
_KEPT = 31 << 20  # bytes; glibc learns nothing from blocks of more than 32 MiB


class Rows(NamedTuple):
    """What a network learns from; arrays here, tensors on the device in training."""

    features: Any  # (n_rows, n_features) float32, standardised
    target: Any  # (n_rows,) int64 or (n_rows, n_outputs) float32
    weight: Any  # (n_rows, n_members) float32 of mean one

    def take(self, index: Tensor) -> "Rows":
        """Return the rows of a minibatch."""
        return Rows(*(column.index_select(0, index) for column in self))


class Split(NamedTuple):
    """Which rows are learned from and which are held out."""

    training: IntArray  # row numbers
    held_out: IntArray | None = None  # row numbers
    units: IntArray | None = None  # (n_rows,) equal for copies of one event


# What is minimised, and the summed losses of the members, from the parameters and a
# minibatch.
Objective = Callable[[Tensor, Rows, "Options"], tuple[Tensor, Tensor]]


class Network(NamedTuple):
    """A fitted stack of networks."""

    parameters: Float32Array  # (n_members, n_parameters)
    sizes: tuple[int, ...]  # n_features, hidden layers, n_outputs
    activation: str


@dataclass(eq=False, kw_only=True)
class Options(TrainingSettings):
    """How a network learns: the settings, none of them "auto", and what they train."""

    batch_size: int
    learning_rate: float
    max_epochs: int
    mixed_precision: bool
    sizes: tuple[int, ...]  # n_features, hidden layers, n_outputs
    loss: str
    seed: int
    link: str = "linear"
    link_factors: tuple[float, ...] = ()


class Outcome(NamedTuple):
    """What was learned; plain arrays, so that it can be saved and read anywhere."""

    parameters: Float32Array  # (n_members, n_parameters)
    loss: NDArray[np.float64]  # (n_epochs, n_members)
    validation_loss: NDArray[np.float64] | None
    best_epoch: IntArray  # (n_members,)
    moments: Moments


def has_cuda() -> bool:
    """Whether a CUDA device can be used."""
    return torch.cuda.is_available()


def train(
    parameters: Float32Array,
    rows: Rows,
    split: Split,
    options: Options,
    moments: Moments | None = None,
    objective: Objective | None = None,
) -> Outcome:
    """Minimise the weighted loss of every member; parameters of their best epochs."""
    _keep_freed_memory()
    data = Rows(*(torch.from_numpy(column).to(options.device) for column in rows))
    leaf = torch.from_numpy(parameters.copy()).to(options.device).requires_grad_()
    optimiser = _Adam(leaf, options, moments)
    generator = torch.Generator().manual_seed(options.seed)
    n_batches = max(1, round(len(split.training) / options.batch_size))
    rates = _rates(options, n_batches * options.max_epochs)
    index = torch.from_numpy(split.training)
    best, held_out = BestWeights(leaf, options.patience), None
    if split.held_out is not None:
        held_out = data.take(torch.from_numpy(split.held_out).to(options.device))
        units = None if split.units is None else split.units[split.held_out]
        best.judge_by(held_out.weight, units)
    losses: list[Tensor] = []
    history: list[Tensor] = []
    value = _separate if objective is None else objective
    for epoch in _epochs(options):
        order = index[torch.randperm(len(index), generator=generator)]
        batches = order.to(options.device).tensor_split(n_batches)
        step = slice(epoch * n_batches, (epoch + 1) * n_batches)
        pairs = zip(batches, rates[step], strict=True)
        part = data, pairs, options
        losses.append(_one_epoch(leaf, part, optimiser, value))
        if held_out is None:
            best.take_last(leaf, epoch)
            continue
        rated = _losses(leaf, held_out, options)
        if objective is not None:
            rated = rated.mean(dim=0, keepdim=True).expand_as(rated)
        history.append(best.update(leaf, rated, epoch))
        if best.finished:
            break
    return Outcome(
        best.parameters.cpu().numpy(),
        torch.stack(losses).cpu().double().numpy(),
        torch.stack(history).cpu().numpy() if history else None,
        best.epoch.cpu().numpy(),
        optimiser.moments(),
    )


def member_outputs(
    network: Network,
    features: Float32Array,
    device: str,
    dtype: type[np.floating],
    *,
    log_softmax: bool = False,
) -> NDArray[Any]:
    """Outputs (n_members, n_rows, n_outputs) at features (n_rows, n_features)."""
    shape = (len(network.parameters), len(features), network.sizes[-1])
    result = np.empty(shape, dtype=dtype)
    dtype_there = torch.float64 if dtype == np.float64 else torch.float32
    for block, z in _blocks(network, features, device, dtype_there):
        z = functional.log_softmax(z, dim=-1) if log_softmax else z
        result[:, block] = z.cpu().numpy()
    return result


def mean_log_softmax(
    network: Network, features: Float32Array, device: str
) -> NDArray[np.float64]:
    """Log mean probability (n_rows, n_outputs), double: no row depends on others."""
    result = np.empty((len(features), network.sizes[-1]))
    for block, z in _blocks(network, features, device, torch.float64):
        log_proba = functional.log_softmax(z, dim=-1)
        mean = log_proba.logsumexp(dim=0) - math.log(len(z))
        result[block] = mean.cpu().numpy()
    return result


def linked(
    outputs: NDArray[np.float64], link: str, factors: tuple[float, ...]
) -> NDArray[np.float64]:
    """Predictions, in units of the spread of the targets, from outputs."""
    z = torch.from_numpy(outputs)
    return LINKS[link](z, z.new_tensor(factors)).numpy()


def _blocks(
    network: Network, features: Float32Array, device: str, dtype: torch.dtype
) -> Iterator[tuple[slice, Tensor]]:
    """Yield blocks of rows with the outputs of shape (n_members, n_rows, n_outputs)."""
    parameters = torch.from_numpy(network.parameters).to(device, dtype)
    for start in range(0, len(features), _BLOCK_SIZE):
        block = slice(start, start + _BLOCK_SIZE)
        x = torch.from_numpy(features[block]).to(device, dtype)
        with torch.inference_mode():
            z = _forward(parameters, x, network.sizes, network.activation)
        yield block, z


def _forward(
    parameters: Tensor, features: Tensor, sizes: tuple[int, ...], activation: str
) -> Tensor:
    """Outputs of shape (n_members, n_rows, n_outputs)."""
    function = ACTIVATIONS[activation]
    n_members, last = len(parameters), len(sizes) - 2
    z = features.expand(n_members, -1, -1)
    for layer, (weight, bias) in enumerate(layers(parameters, sizes)):
        if sizes[layer + 1] == 1:
            # Batched products with vectors take four times as long, there and back.
            z = (z * weight.mT).sum(dim=-1, keepdim=True) + bias.unsqueeze(1)
        else:
            z = torch.baddbmm(bias.unsqueeze(1), z, weight)
        if layer < last:
            z = function(z)
    return z


def layers(
    parameters: Tensor, sizes: tuple[int, ...]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield weights (n_members, fan_in, fan_out) and biases (n_members, fan_out)."""
    lengths = [s for a, b in pairwise(sizes) for s in (a * b, b)]
    pieces = parameters.split(lengths, dim=1)
    for layer, shape in enumerate(pairwise(sizes)):
        yield pieces[2 * layer].view(-1, *shape), pieces[2 * layer + 1]


def _keep_freed_memory() -> None:
    """Let every step have the memory of the one before.

    glibc gives large freed blocks back to the system, so that each step would wait for
    the same pages anew, up to a quarter of its time.
    """
    torch.empty(_KEPT, dtype=torch.uint8)


def _one_epoch(
    leaf: Tensor,
    part: tuple[Rows, Iterable[tuple[Tensor, float]], Options],
    optimiser: "_Adam",
    objective: Objective,
) -> Tensor:
    """Take one step per batch; return the mean loss of each member on the way."""
    data, batches, options = part
    total, weight = torch.zeros((2, len(leaf)), device=leaf.device)
    for index, rate in batches:
        batch = data.take(index)
        value, sums = objective(leaf, batch, options)
        (gradient,) = torch.autograd.grad(value, leaf)
        optimiser.step(gradient, rate)
        total += sums.detach()
        weight += batch.weight.sum(dim=0)
    return total / weight


def _separate(
    parameters: Tensor, batch: Rows, options: Options
) -> tuple[Tensor, Tensor]:
    """Sum of the mean losses of all members, which share nothing."""
    losses = _row_losses(parameters, batch, options)
    sums = (losses * batch.weight.t()).sum(dim=1)
    return sums.sum() / len(batch.features), sums


def outputs(parameters: Tensor, batch: Rows, options: Options) -> Tensor:
    """Linked outputs of shape (n_members, n_rows, n_outputs) as in training."""
    with torch.autocast(
        parameters.device.type, torch.bfloat16, enabled=options.mixed_precision
    ):
        z = _forward(parameters, batch.features, options.sizes, options.activation)
    z = z.float()
    return LINKS[options.link](z, z.new_tensor(options.link_factors))


def _row_losses(parameters: Tensor, batch: Rows, options: Options) -> Tensor:
    """Losses of shape (n_members, n_rows), without the weights."""
    return LOSSES[options.loss](outputs(parameters, batch, options), batch.target)


def _losses(parameters: Tensor, data: Rows, options: Options) -> Tensor:
    """Losses of shape (n_members, n_rows) of many rows, in full precision."""
    options = replace(options, mixed_precision=False)
    blocks = []
    with torch.no_grad():
        for start in range(0, len(data.features), _BLOCK_SIZE):
            block = Rows(*(column[start : start + _BLOCK_SIZE] for column in data))
            blocks.append(_row_losses(parameters, block, options))
    return torch.cat(blocks, dim=1)


class _Adam:
    """Adam with decoupled weight decay, in place.

    That of torch.optim, which referees it in a test, imports the compiler of torch:
    more than a second in every process.
    """

    def __init__(self, leaf: Tensor, options: Options, moments: Moments | None) -> None:
        self.leaf, self.decay = leaf, options.weight_decay
        self.n_steps = 0.0
        self.first, self.second = torch.zeros_like(leaf), torch.zeros_like(leaf)
        if moments is not None:
            self.n_steps = moments[0]
            self.first = torch.from_numpy(moments[1].copy()).to(leaf.device)
            self.second = torch.from_numpy(moments[2].copy()).to(leaf.device)

    @torch.no_grad()
    def step(self, gradient: Tensor, rate: float) -> None:
        """Move the parameters along a gradient of their shape."""
        self.n_steps += 1.0
        self.first.lerp_(gradient, 1.0 - _BETAS[0])
        self.second.mul_(_BETAS[1]).addcmul_(gradient, gradient, value=1.0 - _BETAS[1])
        bias, bias_of_square = (1.0 - beta**self.n_steps for beta in _BETAS)
        spread = self.second.sqrt().mul_(bias_of_square**-0.5).add_(_EPSILON)
        if self.decay:
            self.leaf.mul_(1.0 - rate * self.decay)
        self.leaf.addcdiv_(self.first, spread, value=-rate / bias)

    def moments(self) -> Moments:
        """State to go on from."""
        return self.n_steps, self.first.cpu().numpy(), self.second.cpu().numpy()


def _rates(options: Options, n_steps: int) -> list[float]:
    """Learning rate of every step: constant, or up a line and down half a cosine."""
    if options.schedule == "constant":
        return [options.learning_rate] * n_steps
    position = (np.arange(n_steps) + 0.5) / n_steps
    rise = _FIRST_RATE + (1 - _FIRST_RATE) * position / _WARM_UP
    fall = 0.5 + 0.5 * np.cos(np.pi * (position - _WARM_UP) / (1 - _WARM_UP))
    rates = options.learning_rate * np.where(position < _WARM_UP, rise, fall)
    return rates.tolist()


def _epochs(options: Options) -> Iterable[int]:
    epochs = range(options.max_epochs)
    if not options.progress:
        return epochs
    try:
        from tqdm import tqdm
    except ImportError:
        return epochs
    return tqdm(epochs, desc="epochs")


def _cross_entropy(z: Tensor, target: Tensor) -> Tensor:
    index = target.expand(len(z), -1).unsqueeze(-1)
    return -functional.log_softmax(z, dim=-1).gather(2, index).squeeze(-1)


def _squared_error(z: Tensor, target: Tensor) -> Tensor:
    return (z - target).square().mean(dim=-1)


def _huber(z: Tensor, target: Tensor) -> Tensor:
    losses = functional.huber_loss(z, target.expand_as(z), reduction="none")
    return losses.mean(dim=-1)


def _poisson(z: Tensor, target: Tensor) -> Tensor:
    return (z.exp() - target * z).mean(dim=-1)


def _logistic(z: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of a label that may be a probability itself."""
    return (functional.softplus(z) - target * z).mean(dim=-1)


# In place where the gradient needs the output only: no second array is filled.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "leaky_relu": lambda z: functional.leaky_relu_(z, _SLOPE),
    "relu": torch.relu_,
    "tanh": torch.tanh_,
    "elu": functional.elu_,
    "gelu": functional.gelu,
}

# Loss of shape (n_members, n_rows) from the outputs and the target.
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": _cross_entropy,
    "squared_error": _squared_error,
    "huber": _huber,
    "poisson": _poisson,
    "logistic": _logistic,
}
