"""Linear mixtures in coordinates in which their posterior is nearly normal.

The weights of a class with a Dirichlet(alpha) prior are shares w_k = u_k / T of gamma
variables, whose sum T is independent of them and idle. With the coordinates z,

    u_k = s_k e_k,    e_k = ln(1 + exp z_k),    de_k / dz_k = sigma_k = 1 - exp(-e_k),

the exponential law of a weight that data press against zero becomes a logistic one,
and a weight far from zero stays linear, as the likelihood, nearly normal in the
weights, wants it. With phi_ck = f_c w_ck, p_i = sum_ck phi_ck r_cki and data a_i (and
e_i in Poisson form), the log density of fractions and coordinates is

    sum_i [a_i ln p_i - e_i p_i] + sum_c [ln f_c + (A_c - alpha_c.) ln T_c - T_c]
    + sum_k [(alpha_k - 1) ln u_k + ln sigma_k],    T_c ~ Gamma(A_c).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import polygamma

from sktamm._arrays import namespace
from sktamm._numerics import FloatArray, contrast_basis, softmax
from sktamm.mixture import MixtureModel, RowData

__all__ = ["GammaWeights", "GammaWeightsTarget"]

# Of every coordinate at the mode: 1 to 3 are as good (test_gamma_weights.py,
# bench_posterior.py), 5 is up to five times slower where weights reach both ends.
_SOFTPLUS = 1.5

# Single precision leaves an error of 1e-7 of the events in gradients, which are of
# order one where data say little: 1e6 events need no more draws, 1e8 many more.
_MOST_IN_SINGLE = 3e5


class GammaWeights:
    """Coordinates of the datasets of a batch, made for a normal in log ratios.

    ``start`` (n_datasets, n_params) and ``covariance`` are mode and covariance with
    fractions and weights in isometric log ratios; here they are those of positions.
    """

    #: Of Hamiltonian Monte Carlo; 12 to 16 cost the same (bench_posterior.py many).
    n_leapfrog = 14
    target_acceptance = 0.9

    def __init__(
        self,
        model: MixtureModel,
        data: RowData,
        start: FloatArray,
        covariance: FloatArray,
    ):
        ratios, concentrations = model.linear_parts()
        self.model, self.data = model, data
        self.n_fractions = model.n_fractions
        self.sizes = [ratio.shape[1] for ratio in ratios]
        self.members = _members(self.sizes)
        self.alpha = np.concatenate(concentrations)
        self.shape = np.maximum(self.alpha @ self.members, 1.0)
        self.bases = [contrast_basis(size) for size in self.sizes]
        self._place(start, covariance)

    def _place(self, start: FloatArray, covariance: FloatArray) -> None:
        """Scales of the coordinates, and the normal in them."""
        n = self.n_fractions
        weights = self._weights(start)
        self.scale = weights * (self.members @ self.shape) / _SOFTPLUS
        change = self._change(weights)
        idle = self.members * polygamma(1, self.shape) @ self.members.T
        spread = change @ covariance @ change.swapaxes(1, 2)
        spread[:, n:, n:] += idle
        slope = -np.expm1(-_SOFTPLUS)
        factor = np.ones(spread.shape[1])
        factor[n:] = _SOFTPLUS / slope
        self.covariance = factor[:, None] * spread * factor
        others = np.full(weights.shape, _SOFTPLUS + np.log(slope))
        self.start = np.hstack([start[:, :n], others])

    def _weights(self, position: FloatArray) -> FloatArray:
        """Weights (n_datasets, n_components) from their log ratios."""
        ends = self.n_fractions + np.cumsum([0, *(size - 1 for size in self.sizes)])
        # a product per dataset, whose rounding does not depend on the batch
        parts = [
            softmax(np.matmul(position[:, None, ends[c] : ends[c + 1]], basis.T))
            for c, basis in enumerate(self.bases)
        ]
        return np.concatenate(parts, axis=2)[:, 0]

    def _change(self, weights: FloatArray) -> FloatArray:
        """Derivatives of fractions' log ratios and log weights by all log ratios."""
        n = self.n_fractions
        n_rows = n + self.alpha.size
        change = np.zeros((len(weights), n_rows, n_rows - len(self.sizes)))
        change[:, np.arange(n), np.arange(n)] = 1.0
        row = column = n
        for basis in self.bases:
            size = len(basis)
            own = weights[:, row - n : row - n + size]
            block = basis - (own @ basis)[:, None]
            change[:, row : row + size, column : column + size - 1] = block
            row, column = row + size, column + size - 1
        return change

    def theta(self, position: FloatArray) -> FloatArray:
        """Parameters of the mixture at positions (n_datasets, ..., n_dimensions)."""
        n = self.n_fractions
        basis = contrast_basis(n + 1)
        columns = [softmax(position[..., :n] @ basis.T)[..., :n]]
        lead = (len(self.scale), *(1,) * (position.ndim - 2), -1)
        z = position[..., n:]
        logs = np.log(self.scale).reshape(lead) + _log_softplus(z)
        parts = np.split(logs, np.cumsum(self.sizes)[:-1], axis=-1)
        columns += [part @ basis for part, basis in zip(parts, self.bases, strict=True)]
        return np.concatenate(columns, axis=-1)

    def target(self, datasets: NDArray[np.intp]) -> "GammaWeightsTarget":
        """Log density of some of the datasets."""
        return GammaWeightsTarget(self, datasets)


class GammaWeightsTarget:
    """Log density of many chains of some datasets, and its gradient."""

    # Arrays live where the model computes. They have a column per coordinate, those of
    # fractions too, where the scales and ratios are zero: parts of arrays would take
    # longer than all of them.

    def __init__(
        self,
        space: GammaWeights,
        datasets: NDArray[np.intp],
        dtype: type = np.float64,
    ):
        model, rows, xp = space.model, space.data.take(datasets), space.model.xp
        self.xp = xp
        self.n_fractions, self.dtype = space.n_fractions, dtype
        self.largest = np.log(np.finfo(dtype).max) - 5.0  # exp of it is a number
        self.smallest = np.finfo(dtype).tiny
        order = [*model.free_classes, model.dependent_class]
        self.contrast = contrast_basis(model.n_classes)[np.argsort(order)]
        self.all = np.ones((model.n_classes, model.n_classes))
        self.observed, self.expected = rows.observed[:, None], rows.expected
        self.ratio = self._padded(
            np.vstack([ratio.T for ratio in model.linear_parts()[0]])
        )
        self.transposed = np.ascontiguousarray(self.ratio.T)
        self.constant: FloatArray | None = None
        if self.expected is not None:
            self.constant = np.matmul(self.expected[:, None], self.transposed)
        self.members = self._padded(space.members)
        self.owner = np.ascontiguousarray(self.members.T)
        scale = self._padded(space.scale[datasets].T).T
        self.scaled = scale[:, :, None] * self.members
        self.scaled_owner = np.ascontiguousarray(self.scaled.swapaxes(1, 2))
        self.surplus = space.shape - space.alpha @ space.members
        self.power = self._padded(space.alpha - 1.0)
        self.flat = not self.power.any()
        self.buffers: list[FloatArray] = []
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                setattr(self, name, xp.asarray(value, dtype))
        few = rows.observed.sum(axis=1) < _MOST_IN_SINGLE
        self.few, self.all_few = xp.asarray(few[:, None, None]), few.all()
        self.rough = self
        if dtype is np.float64 and few.any():
            self.rough = GammaWeightsTarget(space, datasets, np.float32)

    def _padded(self, values: FloatArray) -> FloatArray:
        """Arrays (n_components, ...) with rows of zeros for the fractions."""
        zeros = np.zeros((self.n_fractions, *values.shape[1:]))
        return np.concatenate([zeros, values])

    def __call__(self, position: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Log density (n_datasets, n_chains) and its gradient."""
        fractions, total = self._forward(position)
        e, _, _, p, _, logs, _ = self.buffers
        xp = self.xp
        value = xp.matmul(xp.log(p, out=logs), self.observed[:, 0, :, None])[..., 0]
        if self.expected is not None:
            value -= xp.matmul(p, self.expected[:, :, None])[..., 0]
        value += (position - e)[..., self.n_fractions :].sum(axis=-1)
        value += xp.log(fractions).sum(axis=-1)
        value += (self.surplus * xp.log(total) - total).sum(axis=-1)
        if not self.flat:
            value += _log_softplus(position) @ self.power
        return value, self._backward(fractions, total)

    def gradient(self, position: FloatArray) -> FloatArray:
        """Gradient alone: without logarithms, and few digits where events are few."""
        rough = self.rough
        few_digits = self.xp.asarray(position, rough.dtype)
        gradient = rough._backward(*rough._forward(few_digits))
        if rough is self or self.all_few:
            return gradient
        exact = self._backward(*self._forward(position))
        return self.xp.where(self.few, gradient, exact)

    def _forward(self, position: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Fractions and totals (n_datasets, n_chains, n_classes); fills the buffers."""
        e, slope, factor, p, work, _, _ = self._buffers(position)
        xp = self.xp
        xp.minimum(position, self.largest, out=work)
        xp.subtract(position, work, out=e)
        xp.exp(work, out=work)
        xp.add(work, 1.0, out=slope)
        xp.divide(work, slope, out=slope)
        e += xp.log1p(work, out=work)
        shares = xp.exp(position[..., : self.n_fractions] @ self.contrast.T)
        fractions = shares / xp.matmul(shares, self.all)
        total = xp.matmul(e, self.scaled)
        xp.matmul(fractions / total, self.scaled_owner, out=factor)
        xp.matmul(xp.multiply(factor, e, out=work), self.ratio, out=p)
        xp.maximum(p, self.smallest, out=p)  # where there are no data either
        return fractions, total

    def _backward(self, fractions: FloatArray, total: FloatArray) -> FloatArray:
        """Gradient from what the way forward left in the buffers."""
        xp = self.xp
        e, slope, factor, p, phi, _, drive = self.buffers
        xp.matmul(xp.divide(self.observed, p, out=p), self.transposed, out=drive)
        if self.constant is not None:
            drive -= self.constant
        phi *= drive
        pull = xp.matmul(phi, self.members)
        share = (pull + total - self.surplus) / fractions
        drive -= xp.matmul(share, self.owner, out=phi)
        drive *= factor
        drive -= 1.0
        drive *= slope
        drive += 1.0
        if not self.flat:  # sigma / e is one where they underflow
            xp.maximum(slope, self.smallest, out=slope)
            slope /= xp.maximum(e, self.smallest, out=e)
            drive += xp.multiply(self.power, slope, out=slope)
        pull += 1.0
        pull -= fractions * xp.matmul(pull, self.all)
        xp.matmul(pull, self.contrast, out=drive[..., : self.n_fractions])
        return drive

    def _buffers(self, position: FloatArray) -> list[FloatArray]:
        shape = position.shape[:2]
        if not self.buffers or self.buffers[0].shape[:2] != shape:
            n, n_rows = self.ratio.shape
            sizes = (n, n, n, n_rows, n, n_rows, n)
            self.buffers = [self.xp.empty((*shape, size), self.dtype) for size in sizes]
        return self.buffers


def _members(sizes: list[int]) -> FloatArray:
    """Which class (n_components, n_classes) a component is of."""
    return np.repeat(np.eye(len(sizes)), sizes, axis=0)


def _log_softplus(z: FloatArray) -> FloatArray:
    """Logarithm of ln(1 + exp z), z itself where that underflows."""
    xp = namespace(z)
    e = xp.logaddexp(xp.maximum(z, -30.0), xp.zeros_like(z))
    return xp.where(z < -30.0, z, xp.log(e))
