"""Log posteriors in unconstrained coordinates, many chains of many datasets at once.

Fractions and, in the linear form, weights are f = softmax(V y), whose Jacobian turns a
Dirichlet(alpha) density, prod f^(alpha - 1), into prod f^alpha. Positions are (y of the
fractions, parameters of class 0, parameters of class 1, ...).
"""

import numpy as np

from sktamm._numerics import FloatArray, contrast_basis, softmax
from sktamm.mixture import MixtureModel, RowData

__all__ = ["GeneralTarget", "LinearTarget", "free_fractions", "make_target"]


def make_target(model: MixtureModel, data: RowData) -> "LinearTarget | GeneralTarget":
    """Target of a batch of datasets, the fast one where the model is linear."""
    return (LinearTarget if model.is_linear else GeneralTarget)(model, data)


def free_fractions(model: MixtureModel, position: FloatArray) -> FloatArray:
    """Fractions at positions (..., n_params) but the dependent one, kappa first."""
    n = model.n_fractions
    return softmax(position[..., :n] @ contrast_basis(n + 1).T)[..., :n]


class GeneralTarget:
    """Any mixture, through the model's own value and gradient."""

    def __init__(self, model: MixtureModel, data: RowData):
        self.model = model
        self.data = data
        self.contrast = contrast_basis(model.n_fractions + 1)
        self.repeated = data

    def __call__(self, position: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Log density (n_datasets, n_chains) and its gradient."""
        n_datasets, n_chains, n_params = position.shape
        n = self.model.n_fractions
        if self.repeated.observed.shape[0] != n_datasets * n_chains:
            self.repeated = self.data.take(np.repeat(np.arange(n_datasets), n_chains))
        theta = position.reshape(-1, n_params).copy()
        fractions = softmax(theta[:, :n] @ self.contrast.T)
        log_fractions = np.log(np.maximum(fractions, np.finfo(float).tiny))
        theta[:, :n] = fractions[:, :n]
        value, gradient = self.model.value_and_gradient(theta, self.repeated)
        value += log_fractions.sum(axis=1)
        slope = np.ones_like(fractions)
        slope[:, :n] += fractions[:, :n] * gradient[:, :n]
        slope -= fractions * slope.sum(axis=1, keepdims=True)
        gradient[:, :n] = slope @ self.contrast
        shape = (n_datasets, n_chains)
        return value.reshape(shape), gradient.reshape(position.shape)


class LinearTarget:
    """Linear mixture with Dirichlet priors, in one chain of matrix products.

    With phi_ck = f_c w_ck, density p_i = sum_ck phi_ck r_cki and data a_i (and e_i in
    Poisson form), the slopes s_ck = phi_ck sum_i r_cki (a_i / p_i - e_i) give

        d/d logit_ck = s_ck + alpha_ck - w_ck sum_k (s_ck + alpha_ck).
    """

    def __init__(self, model: MixtureModel, data: RowData):
        self.observed = data.observed
        self.expected = data.expected
        ratios, concentrations = model.linear_parts()
        self.ratio = np.vstack([ratio.T for ratio in ratios])
        self.transposed = np.ascontiguousarray(self.ratio.T)
        order = [*model.free_classes, model.dependent_class]
        self._arrange([ratio.shape[1] for ratio in ratios], order)
        self.alpha = np.concatenate([*concentrations, np.ones(model.n_classes)])
        self.totals = self.alpha @ self.members
        self.buffers: list[FloatArray] = []

    def _arrange(self, sizes: list[int], order: list[int]) -> None:
        """Contrasts and membership of logits: weights by class, then fractions."""
        n, n_classes = sum(sizes), len(sizes)
        self.basis = np.zeros((n + n_classes, n - 1))
        self.members = np.zeros((n + n_classes, n_classes + 1))
        row, column = 0, n_classes - 1
        for c, size in enumerate(sizes):
            rows = slice(row, row + size)
            self.basis[rows, column : column + size - 1] = contrast_basis(size)
            self.members[rows, c] = 1.0
            row, column = row + size, column + size - 1
        self.members[n:, -1] = 1.0
        self.basis[n + np.array(order), : n_classes - 1] = contrast_basis(n_classes)
        self.basis_transposed = np.ascontiguousarray(self.basis.T)
        self.owner = np.ascontiguousarray(self.members[:n, :-1])

    def __call__(self, position: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Log density (n_datasets, n_chains) and its gradient."""
        weights, norm, phi, p, log_p, slope, full, gradient = self._buffers(position)
        n = len(self.ratio)
        np.matmul(position, self.basis_transposed, out=weights)
        log_density = self._softmax(weights, norm)
        np.matmul(weights[..., n:], self.owner.T, out=phi)
        phi *= weights[..., :n]
        np.matmul(phi, self.ratio, out=p)
        np.log(p, out=log_p)
        log_density += np.matmul(log_p, self.observed[:, :, None])[..., 0]
        if self.expected is not None:
            log_density -= np.matmul(p, self.expected[:, :, None])[..., 0]
        np.divide(self.observed[:, None, :], p, out=p)
        if self.expected is not None:
            p -= self.expected[:, None, :]
        np.matmul(p, self.transposed, out=slope)
        np.multiply(slope, phi, out=full[..., :n])
        np.matmul(full[..., :n], self.owner, out=full[..., n:])
        full += self.alpha
        full -= weights * np.matmul(np.matmul(full, self.members), self.members.T)
        return log_density, np.matmul(full, self.basis, out=gradient)

    def _softmax(self, logits: FloatArray, norm: FloatArray) -> FloatArray:
        """Turn logits into weights in place; return sum_k alpha_k ln w_k."""
        logits -= logits.max(axis=-1, keepdims=True)
        total = np.matmul(logits, self.alpha)
        np.exp(logits, out=logits)
        sums = np.matmul(logits, self.members)
        np.matmul(sums, self.members.T, out=norm)
        logits /= norm
        return total - np.matmul(np.log(sums), self.totals)

    def _buffers(self, position: FloatArray) -> list[FloatArray]:
        shape = position.shape[:2]
        if not self.buffers or self.buffers[0].shape[:2] != shape:
            n, n_rows = self.ratio.shape
            m = n + self.members.shape[1] - 1
            sizes = (m, m, n, n_rows, n_rows, n, m, n - 1)
            self.buffers = [np.empty((*shape, size)) for size in sizes]
        return self.buffers
