"""Training of the Lorentz-equivariant transformer of the package ``lgatr``.

Particles are tokens of one four-vector each, told apart by a one-hot code. Two more
tokens may hold the directions of the beams, which leaves the symmetry of a collider:
rotations about the beam. Outputs are scalars, averaged over the tokens.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lgatr import LGATrSlim
from numpy.typing import NDArray

__all__ = ["LorentzOptions", "predict", "train"]

Float32Array = NDArray[np.float32]
Weights = dict[str, NDArray]

_LARGEST_GRADIENT = 1.0
_BEAMS = ((1.0, 0.0, 0.0, 1.0), (1.0, 0.0, 0.0, -1.0))
_BLOCK = 8192


@dataclass(frozen=True)
class LorentzOptions:
    """Shape of the network and its training.

    Attributes
    ----------
    n_particles, n_scalars, n_outputs : int
        Numbers of four-vectors, other features and outputs.
    hidden_vectors, hidden_scalars, n_blocks, n_heads : int
        Sizes of the transformer.
    beams : bool
        Whether tokens of the beams are added.
    batch_size, max_epochs : int
        Rows per step, passes over the data.
    learning_rate : float
        Largest step size of Adam, in one cycle.
    device : str
        Where to train.
    seed : int
        Seed of weights and batches.
    """

    n_particles: int
    n_scalars: int
    n_outputs: int
    hidden_vectors: int
    hidden_scalars: int
    n_blocks: int
    n_heads: int
    beams: bool
    batch_size: int
    max_epochs: int
    learning_rate: float
    device: str
    seed: int


class _Network(torch.nn.Module):
    """Tokens, transformer, mean of the scalars."""

    def __init__(self, options: LorentzOptions):
        super().__init__()
        self.options = options
        self.n_tokens = options.n_particles + 2 * options.beams
        self.transformer = LGATrSlim(
            num_blocks=options.n_blocks,
            in_v_channels=1,
            out_v_channels=1,
            hidden_v_channels=options.hidden_vectors,
            in_s_channels=self.n_tokens + options.n_scalars,
            out_s_channels=options.n_outputs,
            hidden_s_channels=options.hidden_scalars,
            num_heads=options.n_heads,
        )

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Outputs of standardised rows, shape (n_rows, n_outputs)."""
        n, size = len(rows), 4 * self.options.n_particles
        vectors = rows[:, :size].reshape(n, -1, 4)
        if self.options.beams:
            beams = rows.new_tensor(_BEAMS).expand(n, 2, 4)
            vectors = torch.cat([vectors, beams], dim=1)
        code = torch.eye(self.n_tokens, dtype=rows.dtype, device=rows.device)
        others = rows[:, None, size:].expand(n, self.n_tokens, -1)
        scalars = torch.cat([code.expand(n, -1, -1), others], dim=2)
        out = self.transformer(vectors[:, :, None], scalars)[1]
        mean: torch.Tensor = out.mean(dim=1)
        return mean


def train(
    rows: Float32Array,
    targets: Float32Array,
    weight: Float32Array,
    options: LorentzOptions,
) -> tuple[Weights, list[float]]:
    """Minimise the weighted squared error.

    ``rows`` (n_rows, n_features), ``targets`` (n_rows, n_outputs), ``weight``
    (n_rows,).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        network = _Network(options).to(options.device)
        data = [torch.from_numpy(part) for part in (rows, targets, weight)]
        n_steps = -(-len(rows) // options.batch_size)
        optimiser = torch.optim.Adam(network.parameters(), options.learning_rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, options.learning_rate, total_steps=n_steps * options.max_epochs
        )
        losses = []
        for _ in range(options.max_epochs):
            total = 0.0
            for batch in torch.randperm(len(rows)).tensor_split(n_steps):
                x, y, w = (part[batch].to(options.device) for part in data)
                loss = (w[:, None] * (network(x) - y) ** 2).mean()
                optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), _LARGEST_GRADIENT)
                optimiser.step()
                schedule.step()
                total += float(loss.detach()) * len(batch)
            losses.append(total / len(rows))
    found = {name: value.cpu().numpy() for name, value in _state(network).items()}
    return found, losses


@torch.no_grad()
def predict(
    rows: Float32Array, weights: Weights, options: LorentzOptions
) -> Float32Array:
    """Outputs of a trained network.

    ``rows`` (n_rows, n_features) -> (n_rows, n_outputs).
    """
    network = _Network(options)
    network.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()})
    network.eval().to(options.device)
    parts = [
        network(torch.from_numpy(rows[i : i + _BLOCK]).to(options.device)).cpu().numpy()
        for i in range(0, len(rows), _BLOCK)
    ]
    return np.concatenate(parts)


def _state(network: torch.nn.Module) -> dict[str, Any]:
    return dict(network.state_dict())
