"""A base learner of one's own
===========================

A base learner of one's own: a Lorentz-equivariant transformer of four-momenta.

Any regressor of scikit-learn can learn the derivatives of densities. This one takes
the transformer of the public package ``lgatr`` (``pip install lgatr``), whose layers
commute with Lorentz transformations (Spinner, Bresó, de Haan, Plehn, Thaler, Brehmer,
arXiv:2405.14806). Particles are tokens of one four-vector each, told apart by a one-hot
code; two more tokens may hold the directions of the beams, which leaves the symmetry of
a collider, rotations about the beam. Outputs are scalars, averaged over the tokens.

The toy are pairs of massless particles whose density depends on one parameter through
their mass alone. The transformer learns it from few events, and its ratios stay the
same where all particles are rotated; a perceptron has to learn that too. Copy the
class for studies of your own.

Run it as ``python examples/lorentz_regressor.py``.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from lgatr import LGATrSlim
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)

from sktamm.parametric import DerivativeRatioRegressor

LARGEST_GRADIENT = 1.0
BEAMS = ((1.0, 0.0, 0.0, 1.0), (1.0, 0.0, 0.0, -1.0))
BLOCK = 8192  # rows of one prediction


@dataclass(frozen=True)
class Shape:
    """Numbers that a network is built from, and where it computes."""

    n_particles: int
    n_scalars: int
    n_outputs: int
    hidden_vectors: int
    hidden_scalars: int
    n_blocks: int
    n_heads: int
    beams: bool
    device: str


class Network(torch.nn.Module):
    """Tokens, transformer, mean of the scalars."""

    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.n_tokens = shape.n_particles + 2 * shape.beams
        self.transformer = LGATrSlim(
            num_blocks=shape.n_blocks,
            in_v_channels=1,
            out_v_channels=1,
            hidden_v_channels=shape.hidden_vectors,
            in_s_channels=self.n_tokens + shape.n_scalars,
            out_s_channels=shape.n_outputs,
            hidden_s_channels=shape.hidden_scalars,
            num_heads=shape.n_heads,
        )

    def forward(self, rows):
        """Outputs of standardised rows, shape (n_rows, n_outputs)."""
        n, size = len(rows), 4 * self.shape.n_particles
        vectors = rows[:, :size].reshape(n, -1, 4)
        if self.shape.beams:
            beams = rows.new_tensor(BEAMS).expand(n, 2, 4)
            vectors = torch.cat([vectors, beams], dim=1)
        code = torch.eye(self.n_tokens, dtype=rows.dtype, device=rows.device)
        others = rows[:, None, size:].expand(n, self.n_tokens, -1)
        scalars = torch.cat([code.expand(n, -1, -1), others], dim=2)
        return self.transformer(vectors[:, :, None], scalars)[1].mean(dim=1)


class LorentzRegressor(RegressorMixin, BaseEstimator):
    """Lorentz-equivariant transformer that learns the mean of one or more targets.

    Parameters
    ----------
    n_particles : int or None, default=None
        Number of particles; None takes as many as the columns of ``X`` can hold, none
        if these are fewer than four.
    beams : bool, default=True
        Tell the network the directions of the beams, (1, 0, 0, +-1): outputs are then
        invariant under rotations about them. Without, they are invariant under all
        Lorentz transformations, if there are no other features.
    hidden_vectors, hidden_scalars : int, default=8, 16
        Vector and scalar channels of the hidden layers.
    n_blocks, n_heads : int, default=2
        Numbers of blocks of attention and perceptron, and of attention heads.
    batch_size, max_epochs : int, default=512, 20
        Rows per step, passes over the data.
    learning_rate : float, default=3e-3
        Largest step size of Adam, in one cycle.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where to train and predict; "auto" is a GPU if there is one.
    random_state : int, RandomState instance or None, default=None
        Seed of the weights and the batches.

    Notes
    -----
    The first ``4 * n_particles`` columns of ``X`` are (E, px, py, pz) of one particle
    after the other, always in the same order; a missing one is zero. Other columns are
    scalars that every particle sees.
    """

    def __init__(
        self,
        n_particles=None,
        *,
        beams=True,
        hidden_vectors=8,
        hidden_scalars=16,
        n_blocks=2,
        n_heads=2,
        batch_size=512,
        max_epochs=20,
        learning_rate=3e-3,
        device="auto",
        random_state=None,
    ):
        self.n_particles = n_particles
        self.beams = beams
        self.hidden_vectors = hidden_vectors
        self.hidden_scalars = hidden_scalars
        self.n_blocks = n_blocks
        self.n_heads = n_heads
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.learning_rate = learning_rate
        self.device = device
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None):
        """Minimise the weighted squared error of the targets in their own units."""
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=True)
        self._single, y = y.ndim == 1, y.reshape(len(y), -1)
        weight = _check_sample_weight(sample_weight, X)
        if not weight.sum() > 0:
            raise ValueError(f"sample_weight must have a positive sum, got {weight}.")
        weight = weight / weight.mean()
        self._shape = self._find_shape(X.shape[1], y.shape[1])
        self._set_scales(X, y, weight, 4 * self._shape.n_particles)
        targets = (y - self._centre) / self._spread
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._train(self._scaled(X), targets, weight)
        return self

    def predict(self, X):
        """Means of the targets, of their shape."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        network = Network(replace(self._shape, device=self._device()))
        weights = {k: torch.from_numpy(v) for k, v in self.weights_.items()}
        network.load_state_dict(weights)
        network.eval().to(network.shape.device)
        with torch.no_grad():
            blocks = torch.from_numpy(self._scaled(X)).split(BLOCK)
            parts = [network(block.to(network.shape.device)).cpu() for block in blocks]
        y = self._centre + self._spread * torch.cat(parts).numpy().astype(float)
        return y[:, 0] if self._single else y

    def _find_shape(self, n_features, n_outputs):
        most = n_features // 4
        wanted = most if self.n_particles is None else self.n_particles
        fewest = 0 if self.beams else 1
        if not fewest <= wanted <= most:
            raise ValueError(
                f"X must have 4 columns for each of n_particles={self.n_particles} "
                f"particles, at least {fewest}, but has {n_features} feature(s)."
            )
        return Shape(
            n_particles=wanted,
            n_scalars=n_features - 4 * wanted,
            n_outputs=n_outputs,
            hidden_vectors=self.hidden_vectors,
            hidden_scalars=self.hidden_scalars,
            n_blocks=self.n_blocks,
            n_heads=self.n_heads,
            beams=self.beams,
            device=self._device(),
        )

    def _device(self):
        if self.device != "auto":
            return self.device
        return "cuda" if torch.cuda.is_available() else "cpu"

    def _set_scales(self, X, y, weight, size):
        """One unit for all momenta, so that they stay four-vectors."""
        unit = np.sqrt((X[:, :size] ** 2).sum() / max(1, len(X) * size))
        scalars = X[:, size:]
        spread = scalars.std(axis=0)
        self._offset = np.concatenate([np.zeros(size), scalars.mean(axis=0)])
        scale = np.where(spread > 0, spread, 1.0)
        self._scale = np.concatenate([np.full(size, unit if unit > 0 else 1.0), scale])
        self._centre = np.average(y, axis=0, weights=weight)
        square = np.average((y - self._centre) ** 2, axis=0, weights=weight)
        self._spread = np.sqrt(np.where(square > 0, square, 1.0))

    def _scaled(self, X):
        return ((X - self._offset) / self._scale).astype(np.float32)

    def _train(self, rows, targets, weight):
        network = Network(self._shape).to(self._shape.device)
        arrays = rows, targets, weight
        data = [torch.from_numpy(part.astype(np.float32)) for part in arrays]
        n_steps = -(-len(rows) // self.batch_size)
        optimiser = torch.optim.Adam(network.parameters(), self.learning_rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, self.learning_rate, total_steps=n_steps * self.max_epochs
        )
        self.loss_curve_ = []
        for _ in range(self.max_epochs):
            total = 0.0
            for batch in torch.randperm(len(rows)).tensor_split(n_steps):
                x, y, w = (part[batch].to(self._shape.device) for part in data)
                loss = (w[:, None] * (network(x) - y) ** 2).mean()
                optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
                optimiser.step()
                schedule.step()
                total += float(loss.detach()) * len(batch)
            self.loss_curve_.append(total / len(rows))
        state = network.state_dict().items()
        self.weights_ = {name: value.cpu().numpy() for name, value in state}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = True
        return tags


def momenta(n_events, n_particles, seed=0):
    """Four-momenta (n_events, n_particles, 4), isotropic, of exponential energies."""
    rng = np.random.default_rng(seed)
    p = rng.normal(size=(n_events, n_particles, 3))
    p *= rng.exponential(50.0, (n_events, n_particles, 1)) / np.linalg.norm(
        p, axis=2, keepdims=True
    )
    return np.concatenate([np.linalg.norm(p, axis=2, keepdims=True), p], axis=2)


def squared_mass(p):
    """Squared mass of all particles of every event."""
    total = p.sum(axis=1)
    return total[:, 0] ** 2 - (total[:, 1:] ** 2).sum(axis=1)


def derivatives(p):
    """First and second derivative of a density that grows with the mass."""
    first = squared_mass(p) / 5000.0 - 1.0
    return np.column_stack([first, 0.1 * first**2])


def rotation(angle, i, j):
    """Rotation of four-vectors in the plane of two axes."""
    out = np.eye(4)
    out[i, i] = out[j, j] = np.cos(angle)
    out[i, j], out[j, i] = -np.sin(angle), np.sin(angle)
    return out


if __name__ == "__main__":
    p, test = momenta(5000, 2), momenta(2000, 2, seed=1)
    turned = test @ rotation(0.7, 1, 3).T
    for name, learner in (
        ("perceptron", "mlp"),
        ("transformer", LorentzRegressor(2, beams=False, random_state=0)),
    ):
        model = DerivativeRatioRegressor(learner, random_state=0)
        model.fit(p.reshape(len(p), -1), derivatives(p))
        before, after = (model.predict(q.reshape(len(q), -1)) for q in (test, turned))
        score = model.score(test.reshape(len(test), -1), derivatives(test))
        change = np.abs(after - before).mean() / np.abs(before).mean()
        print(f"{name}: R^2 {score:.3f}, change by a rotation {change:.2%}")
