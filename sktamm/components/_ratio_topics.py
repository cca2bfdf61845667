"""Non-negative topics of learned density ratios.

    r_k(x) = sum_t g_kt t(x),    g, t >= 0,    E_ref[t] = 1,

a low-rank factorisation on the reference rows; at other events t(x) solves the same
non-negative least squares for given shares g. Scikit-learn does the factorisation.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import NMF

from sktamm._numerics import FloatArray
from sktamm.base import RatioError

__all__ = ["RatioTopics", "common_modes", "error_modes", "fit_topics"]

# Rules of thumb: a topic is nowhere below a hundredth of the mean simulation, a basis
# needs no more rows and no better minimum, and 24 draws give a variance to 30 %.
_FLOOR = 1e-2
_ROWS = 20_000
_MODES = 24
_MAX_ITER = 400


@dataclass(frozen=True, eq=False)
class RatioTopics:
    """Topics of one class."""

    # (n_simulations, n_topics), weights g of the topics in every simulation; rows sum
    # to one
    shares: FloatArray
    model: Any  # Factorisation; None where every simulation is a topic
    norm: FloatArray  # (n_topics,), means of the raw topics under the reference

    def log_topics(self, log_ratio: FloatArray) -> FloatArray:
        """Log densities of the topics, shape (n_rows, n_topics).

        ``log_ratio`` (n_rows, n_simulations) -> (n_rows, n_topics): not below a
        hundredth of the mean of the simulations.
        """
        if self.model is None:
            return log_ratio
        ratio = np.exp(log_ratio)
        topics = self.model.transform(ratio) / self.norm
        return np.log(np.maximum(topics, _FLOOR * ratio.mean(axis=1, keepdims=True)))

    def change(
        self, log_ratio: FloatArray, log_topics: FloatArray, moved: FloatArray
    ) -> FloatArray:
        """Change of the log topics when the log ratios move a little.

        ``log_ratio`` (n_rows, n_simulations), ``log_topics`` (n_rows, n_topics),
        ``moved`` (n_rows, n_simulations) -> (n_rows, n_topics): by least squares, no
        larger than one.
        """
        if self.model is None:
            return moved
        inverse = np.linalg.pinv(self.shares)
        step = (np.exp(log_ratio) * moved) @ inverse.T / np.exp(log_topics)
        return np.clip(step, -1.0, 1.0)


def fit_topics(
    log_ratio: FloatArray, weight: FloatArray, n_topics: int, seed: int
) -> RatioTopics:
    """Factorise the densities of one class.

    ``log_ratio`` (n_reference, n_simulations), ``weight`` (n_reference,).
    """
    size = log_ratio.shape[1]
    if size <= n_topics:
        return RatioTopics(np.eye(size), None, np.ones(size))
    model = NMF(n_topics, init="nndsvda", max_iter=_MAX_ITER, random_state=seed)
    stride = max(1, len(log_ratio) // _ROWS)
    with warnings.catch_warnings():  # enough for a basis, converged or not
        warnings.simplefilter("ignore")
        part = model.fit_transform(np.exp(log_ratio[::stride]))
    mass = weight[::stride] / weight[::stride].sum()
    norm = np.maximum(mass @ part, np.finfo(float).tiny)
    shares = model.components_.T * norm
    return RatioTopics(shares / shares.sum(axis=1, keepdims=True), model, norm)


def error_modes(error: RatioError) -> tuple[NDArray[Any], NDArray[Any]]:
    """Independent modes whose sum has the covariance of an error of log ratios.

    Random draws of the coefficients, each over the root of their number: a Monte Carlo
    stand-in that survives any map of the ratios.

    Returns (n, n_components, n_modes): changes of the log ratios.
    """
    rng = np.random.default_rng(0)
    n_components, n_terms = error.rows.shape[1:]
    members = _draws(error.covariance[None], rng).reshape(n_components, n_terms, _MODES)
    smooth = _draws(error.smooth_covariance, rng)
    rows = np.einsum("nki,kim->nkm", error.rows, members)
    rows += np.einsum("nj,kjm->nkm", error.smooth_rows, smooth, optimize=True)
    reference = np.einsum("nki,kim->nkm", error.reference, members)
    reference += np.einsum("nj,kjm->nkm", error.smooth_reference, smooth, optimize=True)
    return rows, reference


def _draws(covariance: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Normal draws over the root of their number, shape (..., n, n_modes)."""
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]
    shape = (*covariance.shape[:-1], _MODES)
    return root @ rng.standard_normal(shape) / np.sqrt(_MODES)


def common_modes(
    rows: NDArray[np.float32], reference: NDArray[np.float32]
) -> RatioError:
    """Error of independent modes that are common to all components.

    ``rows, reference`` (n, n_components, n_modes).
    """
    n_components, n_modes = rows.shape[1:]
    ones = np.ones((n_components, n_components))
    covariance = np.asarray(np.kron(ones, np.eye(n_modes)), float)
    none = np.zeros((n_components, 0, 0))
    empty = np.zeros((len(rows), 0)), np.zeros((len(reference), 0))
    return RatioError(rows, reference, covariance, *empty, none)
