"""Truncated normals: exact numbers of events and exact probabilities of bins.

    p(x) = N(x; mean, covariance) / integral over the window, inside the window.

Bins are integrated by Gauss-Legendre quadrature.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from sktamm._numerics import FloatArray
from sktamm.exceptions import InvalidInputError

__all__ = ["bin_probabilities", "check_covariances", "truncated_normal_sample"]


# Of every feature of the Gaussian study.
WINDOW = (-2.0, 2.0)

# Numbers at a time, for tens of megabytes.
_MAX_BATCH = 1_000_000
_MAX_NODES = 4_000_000
# Rule of thumb: a second or so, after which a window is taken for empty.
_MAX_DRAWS_WITHOUT_EVENT = 10_000_000


def truncated_normal_sample(
    mean: ArrayLike,
    cov: ArrayLike,
    window: ArrayLike,
    n: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Draw exactly ``n`` events of a normal inside a window, by rejection.

    Parameters
    ----------
    mean : array-like of shape (n_features,)
        Mean before truncation.
    cov : array-like of shape (n_features, n_features)
        Covariance before truncation.
    window : array-like of shape (n_features, 2)
        Lower and upper end for every feature.
    n : int
        Number of events that are kept.
    rng : numpy.random.Generator
        Source of randomness, advanced in place.

    Returns
    -------
    events : ndarray of shape (n, n_features)
        Events inside the window.

    Raises
    ------
    InvalidInputError
        If ten million draws leave no event in the window.

    Examples
    --------
    >>> import numpy as np
    >>> from sktamm.datasets import truncated_normal_sample
    >>> rng = np.random.default_rng(0)
    >>> truncated_normal_sample([0], [[1]], [[-2, 2]], 7, rng).shape
    (7, 1)
    """
    mean = np.asarray(mean, dtype=float)
    low, high = np.asarray(window, dtype=float).T
    root = np.linalg.cholesky(np.asarray(cov, dtype=float))

    def propose(size: int) -> FloatArray:
        events = mean + rng.standard_normal((size, mean.size)) @ root.T
        return events[((events >= low) & (events <= high)).all(axis=1)]

    return _keep(propose, n, mean.size)


def bin_probabilities(
    mean: ArrayLike, covariance: ArrayLike, edges: Sequence[ArrayLike]
) -> FloatArray:
    """Exact probabilities of the bins of a grid for truncated normals.

    Normals are truncated to the range of the edges; quadrature is exact to about 1e-7.

    Parameters
    ----------
    mean : array-like of shape (..., 2)
        Means before truncation.
    covariance : array-like of shape (..., 2, 2)
        Covariances before truncation.
    edges : sequence of two array-like of shape (n_bins_j + 1,)
        Ascending bin edges of the two features.

    Returns
    -------
    probability : ndarray of shape (..., n_bins_0, n_bins_1)
        Probabilities of the bins; they sum to one over the grid.

    Examples
    --------
    >>> import numpy as np
    >>> from sktamm.datasets import bin_probabilities
    >>> bin_probabilities([0, 0], np.eye(2), [[-2, 0, 2], [-2, 2]]).round(6)
    array([[0.5],
           [0.5]])
    """
    mean = np.asarray(mean, dtype=float)
    covariance = np.asarray(covariance, dtype=float)
    batch = np.broadcast_shapes(mean.shape[:-1], covariance.shape[:-2])
    means = np.broadcast_to(mean, (*batch, 2)).reshape(-1, 2)
    covariances = np.broadcast_to(covariance, (*batch, 2, 2)).reshape(-1, 2, 2)
    check_covariances("covariance", covariances)
    (x0, w0), (x1, w1) = (_nodes(e, covariances) for e in edges)
    step = max(1, _MAX_NODES // (x0.size * x1.size))
    parts = [
        _integrate(means[i : i + step], covariances[i : i + step], x0, w0, x1, w1)
        for i in range(0, len(means), step)
    ]
    return np.concatenate(parts).reshape(*batch, len(x0), len(x1))


def _nodes(edges: ArrayLike, covariances: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Nodes and weights of every bin, each of shape (n_bins, n_nodes)."""
    edges = np.asarray(edges, dtype=float)
    if edges.ndim != 1 or edges.size < 2 or not (np.diff(edges) > 0).all():
        raise InvalidInputError(
            f"edges must be ascending, at least two per feature; got {edges}."
        )
    half_width = np.diff(edges)[:, None] / 2
    # The narrowest conditional width, in units of which a bin must be resolved.
    sigma = np.sqrt(np.linalg.eigvalsh(covariances).min())
    order = int(np.ceil(5 + 5 * half_width.max() / sigma))
    node, weight = np.polynomial.legendre.leggauss(order)
    centre = (edges[:-1, None] + edges[1:, None]) / 2
    return centre + half_width * node, half_width * weight


def _integrate(
    means: FloatArray,
    covariances: FloatArray,
    x0: FloatArray,
    w0: FloatArray,
    x1: FloatArray,
    w1: FloatArray,
) -> FloatArray:
    """Integrate and normalise a batch of densities on a product of one-dim nodes."""
    precision = np.linalg.inv(covariances)[:, :, :, None, None]
    d0 = (x0.ravel() - means[:, :1])[:, :, None]
    d1 = (x1.ravel() - means[:, 1:])[:, None, :]
    log_density = -0.5 * (
        precision[:, 0, 0] * d0**2
        + 2 * precision[:, 0, 1] * d0 * d1
        + precision[:, 1, 1] * d1**2
    )
    # The peak may lie far outside the grid; the normalisation cancels the shift.
    log_density -= log_density.max(axis=(1, 2), keepdims=True)
    density = np.exp(log_density).reshape(-1, *x0.shape, *x1.shape)
    mass = np.einsum("kiajb,ia,jb->kij", density, w0, w1, optimize=True)
    return mass / mass.sum(axis=(1, 2), keepdims=True)


def _keep(propose: Callable[[int], FloatArray], n: int, n_features: int) -> FloatArray:
    """Call ``propose`` with adapted batch sizes until ``n`` rows are kept."""
    kept = [np.empty((0, n_features))]
    n_kept = n_drawn = 0
    while n_kept < n:
        if n_kept == 0 and n_drawn >= _MAX_DRAWS_WITHOUT_EVENT:
            raise InvalidInputError(
                f"window must hold part of the normal; none of {n_drawn} draws fell "
                "into it."
            )
        rate = max(n_kept, 1) / n_drawn if n_drawn else 1.0
        size = int(min(1.05 * (n - n_kept) / rate + 16, _MAX_BATCH))
        kept.append(propose(size))
        n_drawn += size
        n_kept += len(kept[-1])
    return np.concatenate(kept)[:n]


def check_covariances(name: str, value: FloatArray) -> None:
    """Refuse matrices that are no covariances."""
    symmetric = np.allclose(value, np.swapaxes(value, -1, -2), rtol=1e-9)
    if not symmetric or not (np.linalg.eigvalsh(value) > 0).all():
        raise InvalidInputError(
            f"{name} must be symmetric and positive definite matrices; at least one "
            "is not."
        )
