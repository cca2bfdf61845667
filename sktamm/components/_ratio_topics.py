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

__all__ = ["RatioTopics", "error_modes", "fit_topics"]

_FLOOR = 1e-2
_ROWS = 20_000
_MODES = 16
_MAX_ITER = 400


@dataclass(frozen=True, eq=False)
class RatioTopics:
    """Topics of one class.

    Attributes
    ----------
    shares : ndarray of shape (n_simulations, n_topics)
        Weights g of the topics in every simulation; rows sum to one.
    model : NMF or None
        Factorisation; None where every simulation is a topic.
    norm : ndarray of shape (n_topics,)
        Means of the raw topics under the reference.
    """

    shares: FloatArray
    model: Any
    norm: FloatArray

    def log_topics(self, log_ratio: FloatArray) -> FloatArray:
        """Log densities of the topics, shape (n_rows, n_topics).

        Parameters
        ----------
        log_ratio : ndarray of shape (n_rows, n_simulations)
            Log ratios of the simulations of the class.

        Returns
        -------
        log_topics : ndarray of shape (n_rows, n_topics)
            Not below a hundredth of the mean of the simulations.
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

        Parameters
        ----------
        log_ratio : ndarray of shape (n_rows, n_simulations)
            Log ratios.
        log_topics : ndarray of shape (n_rows, n_topics)
            Log topics there.
        moved : ndarray of shape (n_rows, n_simulations)
            Their change.

        Returns
        -------
        change : ndarray of shape (n_rows, n_topics)
            By least squares, no larger than one.
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

    Parameters
    ----------
    log_ratio : ndarray of shape (n_reference, n_simulations)
        Log ratios at the reference rows.
    weight : ndarray of shape (n_reference,)
        Probabilities of the rows.
    n_topics : int
        Number of topics.
    seed : int
        Seed of the factorisation.

    Returns
    -------
    topics : RatioTopics
        Fitted topics.
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


def error_modes(error: RatioError) -> tuple[NDArray, NDArray]:
    """Independent unit modes of an error of log ratios, at rows and reference rows.

    Parameters
    ----------
    error : RatioError
        Functions and the covariance of their coefficients.

    Returns
    -------
    rows, reference : ndarray of shape (n, n_components, n_modes)
        Changes of the log ratios by one standard deviation of every mode; the sixteen
        largest.
    """
    shape = error.rows.shape[1:]
    size = np.sqrt(np.mean(error.reference**2, axis=0, dtype=float)).ravel()
    scaled = error.covariance * size * size[:, None]
    values, vectors = np.linalg.eigh(scaled)
    top = np.argsort(values)[::-1][:_MODES]
    top = top[values[top] > 1e-12 * values.max()]
    modes = vectors[:, top] * np.sqrt(values[top]) / np.maximum(size, 1e-30)[:, None]
    modes = modes.reshape(*shape, -1).astype(np.float32)
    rows = np.einsum("nki,kim->nkm", error.rows, modes)
    return rows, np.einsum("nki,kim->nkm", error.reference, modes)
