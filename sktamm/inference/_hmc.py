"""Hamiltonian Monte Carlo for many chains of many datasets in one array program.

A trajectory of a position ``q`` with momentum ``p ~ N(0, M)`` follows

    H(q, p) = -ln pi(q) + p' inv(M) p / 2

in ``n`` leapfrog steps of size ``eps`` and is accepted with probability
``min(1, exp(-dH))``. The inverse metric ``inv(M)`` is a dense covariance per dataset:
the Laplace covariance first, then that of the warm-up draws. Step sizes come from dual
averaging over the chains; the number of steps and their sizes, relative to those of a
dataset, are jittered by a Halton sequence, the same for all datasets. A dataset has its
own random stream, and nothing here mixes datasets: its numbers are the same bit for bit
in any batch (on a GPU, whose products round as it likes, up to rounding).

Positions, gradients and metrics stay where the target computes, which is NumPy or a
device of PyTorch; random numbers and step sizes are NumPy's.

References
----------
Neal, arXiv:1206.1901; Hoffman and Gelman, arXiv:1111.4246 (dual averaging);
Hoffman, Radul and Sountsov, ChEES-HMC (2021), for the jitter of lengths.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sktamm._arrays import namespace, to_numpy
from sktamm._numerics import FloatArray
from sktamm.inference._leapfrog import Leapfrog, LogDensity

__all__ = ["HMCDraws", "HamiltonianSampler", "LogDensity", "Monitor"]

Monitor = Callable[[FloatArray], FloatArray]

DIVERGENT_ENERGY = 1000.0  # as in Stan
# Of the step size. Short steps enter narrow tails of a posterior: with steps of one
# size the mean of kappa was 5 errors off where no event was signal, and R-hat did not
# tell (test_gamma_weights.py).
_SHORTEST_STEP, _LONGEST_STEP = 0.4, 1.1
_START_HALVINGS = 30  # to 1e-9 of the spread


class _Datasets:
    """A record whose arrays run over datasets first."""

    def __getitem__(self, index: NDArray[Any]) -> Self:
        own = vars(self).items()
        arrays = {name: v[index] for name, v in own if not isinstance(v, int)}
        return replace(self, **arrays)  # type: ignore[type-var]


@dataclass(frozen=True, eq=False)
class HMCDraws(_Datasets):
    """Draws of a batch of datasets."""

    # (n_datasets, n_chains, n_draws, n_monitored), of the monitor or the positions
    values: FloatArray
    log_density: FloatArray  # (n_datasets, n_chains, n_draws)
    acceptance: FloatArray  # (n_datasets,), mean probability of the trajectories
    n_divergent: NDArray[np.intp]  # (n_datasets,), trajectories that diverged
    step_size: FloatArray  # (n_datasets,), in units of the metric


@dataclass(frozen=True, eq=False)
class _State(_Datasets):
    """Where all chains stand: position, log density and its gradient."""

    position: FloatArray
    log_density: FloatArray
    gradient: FloatArray


@dataclass(frozen=True, eq=False)
class _Metric(_Datasets):
    """Inverse metric of every dataset and the inverse of its Cholesky factor."""

    covariance: FloatArray
    cholesky: FloatArray
    inverse_cholesky: FloatArray

    @classmethod
    def from_covariance(cls, covariance: FloatArray) -> "_Metric":
        linalg = namespace(covariance).linalg
        cholesky = linalg.cholesky(covariance)
        return cls(covariance, cholesky, linalg.inv(cholesky))


class HamiltonianSampler:
    """Chains of a batch of datasets that can be warmed up, drawn from and continued.

    ``log_density_and_gradient`` maps positions (n_datasets, n_chains, n_params) to log
    densities, minus infinity outside the support, and gradients; it may reuse buffers.
    ``start`` are posterior modes, ``covariance`` the first metric of every dataset; all
    are arrays of ``xp``, NumPy or a namespace of PyTorch. A monitor takes NumPy's.
    """

    def __init__(
        self,
        log_density_and_gradient: LogDensity,
        start: FloatArray,
        covariance: FloatArray,
        generators: Sequence[np.random.Generator],
        *,
        n_chains: int = 12,
        n_leapfrog: int = 16,
        target_acceptance: float = 0.9,
        dispersion: float = 1.0,
        xp: Any = np,
    ) -> None:
        self.xp = xp
        self.log_density_and_gradient = log_density_and_gradient
        self.generators = list(generators)
        self.n_chains = n_chains
        self.n_leapfrog = n_leapfrog
        self.target_acceptance = target_acceptance
        start, covariance = xp.asarray(start), xp.asarray(covariance)
        self._metric = _Metric.from_covariance(covariance)
        self._step = _DualAveraging.start(len(start), start.shape[1])
        self._n_transitions = 0
        self._leapfrog: Leapfrog | None = None  # made for a trajectory
        self._state = self._scatter(start, dispersion)

    def warm_up(self, n_iterations: int) -> "HamiltonianSampler":
        """Adapt step size and metric; the draws are discarded."""
        # a rule of thumb: two metrics, each from more draws than the one before
        first, second, third = (n_iterations * k // 8 for k in (1, 3, 6))
        self._adapt(first)
        self._estimate_metric(self._adapt(second - first))
        self._estimate_metric(self._adapt(third - second))
        self._adapt(n_iterations - third)
        self._step = self._step.frozen()
        return self

    def draw(self, n_draws: int, monitor: Monitor | None = None) -> HMCDraws:
        """Continue the chains with the adapted settings."""
        values, log_density = [], []
        acceptance = np.zeros(len(self.generators))
        n_divergent = np.zeros(len(self.generators), dtype=np.intp)
        for _ in range(n_draws):
            probability, divergent = self._transition()
            acceptance += probability / n_draws
            n_divergent += divergent
            position = to_numpy(self._state.position)
            values.append(position if monitor is None else monitor(position))
            log_density.append(to_numpy(self._state.log_density))
        return HMCDraws(
            np.stack(values, axis=2),
            np.stack(log_density, axis=2),
            acceptance,
            n_divergent,
            self._step.size,
        )

    def take(
        self, datasets: NDArray[Any], log_density_and_gradient: LogDensity
    ) -> "HamiltonianSampler":
        """Keep the chains of some datasets only."""
        other = object.__new__(HamiltonianSampler)
        other.__dict__.update(self.__dict__)
        other.log_density_and_gradient = log_density_and_gradient
        other.generators = [self.generators[i] for i in datasets]
        other._metric = self._metric[datasets]
        other._step = self._step[datasets]
        other._state = self._state[datasets]
        other._leapfrog = None
        return other

    def _scatter(self, start: FloatArray, dispersion: float) -> _State:
        """Over-dispersed starts, drawn back to the mode where it falls off too fast."""
        spread = self.xp.matmul(self._noise(), self._metric.cholesky.swapaxes(1, 2))
        spread *= dispersion
        half = 0.5 * start.shape[1]
        mode = self._evaluate(start[:, None, :] + self.xp.zeros_like(spread))
        # where a Gaussian's fall lies five standard deviations beyond its mean
        limit = mode.log_density - dispersion**2 * (half + 5.0 * np.sqrt(half))
        for _ in range(_START_HALVINGS):
            state = self._evaluate(start[:, None, :] + spread)
            low = ~(state.log_density >= limit)
            if not low.any():
                break
            spread[low] *= 0.5
        return state

    def _evaluate(self, position: FloatArray) -> _State:
        """Evaluate the target and copy what its buffers hold."""
        log_density, gradient = self.log_density_and_gradient(position)
        copy = self.xp.copy
        return _State(position, copy(log_density), copy(gradient))

    def _noise(self) -> FloatArray:
        """Draw standard normals, every dataset from its own stream."""
        n_params = self._metric.covariance.shape[1]
        shape = (self.n_chains, n_params)
        noise = np.stack([g.standard_normal(shape) for g in self.generators])
        return self.xp.asarray(noise)

    def _adapt(self, n_iterations: int) -> list[FloatArray]:
        """Run with a changing step size and return the positions."""
        positions = []
        for _ in range(n_iterations):
            probability, _ = self._transition()
            self._step = self._step.update(self.target_acceptance - probability)
            positions.append(self._state.position)
        return positions

    def _estimate_metric(self, positions: list[FloatArray]) -> None:
        """Replace the metric by the covariance of positions, shrunk to the old one."""
        if not positions:
            return
        draws = self.xp.concatenate(positions, axis=1)
        n_draws, n_params = draws.shape[1:]
        draws = draws - draws.mean(axis=1, keepdims=True)
        scatter = self.xp.matmul(draws.swapaxes(1, 2), draws)
        scatter += n_params * self._metric.covariance
        self._metric = _Metric.from_covariance(scatter / (n_draws + n_params))
        self._step = self._step.restarted()

    def _transition(self) -> tuple[FloatArray, NDArray[np.intp]]:
        """Move every chain once: mean acceptance, number of divergences."""
        xp, old, noise = self.xp, self._state, self._noise()
        uniform = np.stack([g.random(self.n_chains) for g in self.generators])
        momentum = xp.matmul(noise, self._metric.inverse_cholesky)
        with np.errstate(all="ignore"):
            end = self._trajectory(old, momentum)
            change = end.log_density - old.log_density - end.kinetic
        change += 0.5 * (noise**2).sum(axis=-1)
        change[xp.isnan(change)] = -np.inf
        probability = xp.exp(xp.minimum(change, 0.0))
        self._state = _choose(xp.asarray(uniform) < probability, end, old)
        self._n_transitions += 1
        n_divergent = (change < -DIVERGENT_ENERGY).sum(axis=1)
        return to_numpy(probability.mean(axis=1)), to_numpy(n_divergent)

    def _trajectory(self, state: _State, momentum: FloatArray) -> Leapfrog:
        """Integrate one trajectory of every chain; return where they end."""
        if self._leapfrog is None:
            target = self.log_density_and_gradient
            self._leapfrog = Leapfrog(target, state.position, self.xp)
        way, step = self._leapfrog, self._jitter() * self._step.size[:, None, None]
        way.begin(
            state.position,
            state.gradient,
            momentum,
            self.xp.asarray(step),
            self._metric.covariance,
        )
        for _ in range(self._n_steps() - 1):
            way.step()
        way.finish()
        return way

    def _n_steps(self) -> int:
        """Jitter the number of steps between 1/2 and 3/2 of its mean."""
        sequence = _radical_inverse(self._n_transitions + 1, 2)
        return max(1, round(self.n_leapfrog * (0.5 + sequence)))

    def _jitter(self) -> float:
        """Factor on the step sizes."""
        sequence = _radical_inverse(self._n_transitions + 1, 3)
        return _SHORTEST_STEP + (_LONGEST_STEP - _SHORTEST_STEP) * sequence


def _choose(accept: NDArray[np.bool_], new: Leapfrog, old: _State) -> _State:
    """Take the new state where it is accepted."""
    wide, where = accept[:, :, None], namespace(accept).where
    return _State(
        where(wide, new.position, old.position),
        where(accept, new.log_density, old.log_density),
        where(wide, new.gradient, old.gradient),
    )


def _radical_inverse(index: int, base: int) -> float:
    """Digits of an integer behind the point, in reverse: a Halton sequence."""
    value, digit = 0.0, 1.0 / base
    while index:
        index, last = divmod(index, base)
        value += digit * last
        digit /= base
    return value


@dataclass(frozen=True, eq=False)
class _DualAveraging(_Datasets):
    """Step size of every dataset, Hoffman and Gelman (2014), eq. 6."""

    centre: FloatArray
    error: FloatArray
    mean_log: FloatArray
    size: FloatArray
    count: int = 0

    GAMMA = 0.1  # a rule of thumb; .05 in the paper
    OFFSET, DECAY = 10, 0.75  # as there

    @classmethod
    def start(cls, n_datasets: int, n_params: int) -> "_DualAveraging":
        """Begin at the scaling of the optimal step with the dimension."""
        log_size = np.full(n_datasets, np.log(n_params**-0.25))
        zero = np.zeros(n_datasets)
        return cls(log_size, zero, zero, np.exp(log_size))

    def update(self, error: FloatArray) -> "_DualAveraging":
        """Learn from target minus mean acceptance of the last trajectories."""
        count = self.count + 1
        rate = 1.0 / (count + self.OFFSET)
        mean_error = (1.0 - rate) * self.error + rate * error
        log_size = self.centre - np.sqrt(count) / self.GAMMA * mean_error
        weight = count**-self.DECAY
        mean_log = weight * log_size + (1.0 - weight) * self.mean_log
        return _DualAveraging(
            self.centre, mean_error, mean_log, np.exp(log_size), count
        )

    def frozen(self) -> "_DualAveraging":
        """Settle on the averaged step size."""
        if not self.count:
            return self
        return replace(self, size=np.exp(self.mean_log))

    def restarted(self) -> "_DualAveraging":
        """Forget the history after a change of the metric, but keep the size."""
        settled = self.frozen()
        zero = np.zeros_like(self.error)
        return _DualAveraging(np.log(settled.size), zero, zero, settled.size)
