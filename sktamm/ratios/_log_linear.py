"""A log-linear model of all sources, and how far learned ratios are drawn towards it.

    ln P_k(x) = a_k . psi(x) + c_k - ln sum_j exp(a_j . psi(x) + c_j)

with the smooth functions psi of `sktamm.ratios._moments` is a multinomial logistic
regression: few coefficients, little noise, and wrong wherever ln p_k/p_ref is not
smooth. A network or trees can follow any shape and pay with noise, which moves kappa
(a noisy denominator does not average out). Between the two stands

    ln r_k = l_k + lambda_c mean_{j in class of k}(f_j - l_j)
                 + lambda_s [f_k - l_k - mean_{j in class of k}(f_j - l_j)]

of the log-linear l and the learned f. What is common to a class is learned from the
events of all its simulations, what tells one simulation from another from its own
alone, so each has its own share lambda in [0, 1]. The likelihood of held-out events,
concave in both, chooses them: shrinkage by cross-validation, as in stacked regressions
(Breiman, Machine Learning 24 (1996) 49).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from sktamm._numerics import FloatArray
from sktamm.learning import settled_weights
from sktamm.ratios._moments import SmoothFunctions

__all__ = ["LogLinear", "Shrinkage", "fit_log_linear", "fit_shrinkage", "mean_model"]

_BLOCK = 65_536  # rows worked on at a time: tens of megabytes
_CACHED = 250_000  # numbers of a block that stay in a core's cache
_ITERATIONS = 60  # of L-BFGS in whitened functions: a safety bound
# Of the loss: far below the statistics of any sample, and what single precision knows.
_TOLERANCE = 1e-8
# Rules of thumb: so many rows find most of the way, where they are few of all.
_THINNED, _LEAST_THINNING = 50_000, 4
# Rules of thumb: below the statistics of 10 000 events, and two shares need no more.
_RIDGE = 1e-5
_LOGITS = 2_000_000


@dataclass(frozen=True, eq=False)
class LogLinear:
    """Fitted log-linear model of the sources."""

    functions: SmoothFunctions  # The functions psi
    slope: FloatArray  # (n_functions, n_sources), coefficients a
    offset: FloatArray  # (n_sources,), constants c

    def logits(self, X: FloatArray) -> NDArray[np.float32]:
        """Log densities up to a constant of each event, shape (n_events, n_sources)."""
        out = np.empty((len(X), self.offset.size), np.float32)
        for start in range(0, len(X), _BLOCK):
            rows = slice(start, start + _BLOCK)
            out[rows] = self.logits_of(self.functions.evaluate(X[rows]))
        return out

    def logits_of(self, values: FloatArray) -> NDArray[np.float32]:
        """The same from the values of the functions at the events."""
        return (values @ self.slope + self.offset).astype(np.float32)


def mean_model(
    models: Sequence[LogLinear | None], sources: NDArray[np.intp]
) -> LogLinear | None:
    """Mean of the logits of some sources over the models of all folds.

    ``sources`` (n_sources,). Returns none if a fold has none.
    """
    known = [model for model in models if model is not None]
    if len(known) < len(models):
        return None
    slope = np.mean([model.slope[:, sources] for model in known], axis=0)
    offset = np.mean([model.offset[sources] for model in known], axis=0)
    return LogLinear(known[0].functions, slope, offset)


def fit_log_linear(
    functions: SmoothFunctions,
    X: FloatArray,
    source: NDArray[np.intp],
    weight: FloatArray | None,
    n_sources: int,
) -> LogLinear:
    """Multinomial logistic regression in which every source counts the same.

    ``X`` (n_events, n_features), ``source`` (n_events,), ``weight`` (n_events,).
    Returns fitted model; None with negative weights, for which it has no maximum.
    """
    if weight is None:
        weight = np.ones(len(X))
    weight = settled_weights(X, source, weight)
    total = np.bincount(source, weight, minlength=n_sources)
    share = (weight / total[source] / n_sources).astype(np.float32)
    values = np.empty((functions.size, len(X)), np.float32)
    for start in range(0, len(X), _BLOCK):
        rows = slice(start, start + _BLOCK)
        values[:, rows] = functions.evaluate(X[rows]).T
    centre, whiten = _whitening(values, share)
    values -= centre[:, None]
    found = np.zeros((functions.size + 1, n_sources))
    for step in _thinnings(source, n_sources):
        thinned = np.ascontiguousarray(values[:, ::step])
        part = _Rows(thinned, source[::step], share[::step] * np.float32(step))
        found = _maximum(part, whiten, found)
    slope = whiten @ found[:-1]
    return LogLinear(functions, slope, found[-1] - centre @ slope)


def _thinnings(source: NDArray[np.intp], n_sources: int) -> list[int]:
    """Every so many rows first, if they are enough of every source, then all."""
    step = len(source) // _THINNED
    if step < _LEAST_THINNING:
        return [1]
    fewest = np.bincount(source[::step], minlength=n_sources).min()
    return [step, 1] if fewest * n_sources > 0.5 * _THINNED else [1]


class _Rows(NamedTuple):
    """Events of a fit."""

    values: NDArray[np.float32]  # (n_functions, n_rows), centred
    source: NDArray[np.intp]  # (n_rows,)
    share: NDArray[np.float32]  # (n_rows,), probabilities


def _maximum(rows: _Rows, whiten: FloatArray, start: FloatArray) -> FloatArray:
    """Coefficients of whitened functions, and constants in the last row."""
    shape, n_sources = start.shape, start.shape[1]
    totals = [rows.share, *(rows.share * own for own in rows.values)]
    sums = [np.bincount(rows.source, one, minlength=n_sources) for one in totals]
    mass, means = sums[0], np.array(sums[1:]).reshape(-1, n_sources)

    def loss(flat: FloatArray) -> tuple[float, FloatArray]:
        found = flat.reshape(shape)
        slope = whiten @ found[:-1]
        value, gradient = _normalisation(rows, slope, found[-1])
        value -= float((slope * means).sum()) + float(found[-1] @ mass)
        gradient[:-1] = whiten.T @ (gradient[:-1] - means) + _RIDGE * found[:-1]
        gradient[-1] -= mass
        value += 0.5 * _RIDGE * float((found[:-1] ** 2).sum())
        return n_sources * value, n_sources * gradient.ravel()

    options: Any = {"maxiter": _ITERATIONS, "ftol": _TOLERANCE, "gtol": 1e-6}
    answer = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    return np.asarray(answer.x.reshape(shape))


def _normalisation(
    rows: _Rows, slope: FloatArray, offset: FloatArray
) -> tuple[float, FloatArray]:
    """Mean log of the sum over sources, and its derivatives by slope and offset."""
    value, gradient = 0.0, np.zeros((len(slope) + 1, offset.size))
    factors = np.ascontiguousarray(slope.T, np.float32)
    constants = offset.astype(np.float32)[:, None]
    size = max(_CACHED // (offset.size + len(slope)), 256)
    for start in range(0, rows.share.size, size):
        part = rows.values[:, start : start + size]
        share = rows.share[start : start + size]
        logits = factors @ part  # (n_sources, n_block): sums over sources run fast
        logits += constants
        top = logits.max(axis=0)
        logits -= top
        np.exp(logits, out=logits)
        mass = logits.sum(axis=0)
        value += float(share @ (np.log(mass) + top).astype(float))
        logits *= share / mass
        gradient[:-1] += part @ logits.T
        gradient[-1] += logits.sum(axis=1)
    return value, gradient


def _whitening(
    values: NDArray[Any], weight: NDArray[Any]
) -> tuple[NDArray[Any], FloatArray]:
    """Mean, and the map to functions (n_functions, n_rows) of unit covariance."""
    n = len(values)
    centre = (values @ weight).astype(np.float32)
    square = np.zeros((n, n))
    for start in range(0, weight.size, _BLOCK):
        rows = slice(start, start + _BLOCK)
        part = values[:, rows] - centre[:, None]
        square += (part * weight[rows]) @ part.T
    level, axes = np.linalg.eigh(square)
    floor = 1e-6 * max(level.max(), np.finfo(float).tiny)
    return centre, axes / np.sqrt(np.maximum(level, floor))


@dataclass(frozen=True, eq=False)
class Shrinkage:
    """How much of what was learned beyond the log-linear model is kept."""

    of_class: float  # Share of what is common to the sources of a class
    of_source: float  # Share of what tells the sources of a class from each other
    # (n_sources, n_sources), averages over the sources of each class
    averages: FloatArray

    def apply(
        self, members: NDArray[np.float32], base: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Members drawn towards the log-linear model.

        ``members`` (n_rows, n_sources, n_members), ``base`` (n_rows, n_sources) ->
        (n_rows, n_sources, n_members): log ratios up to a constant of each row and
        member.
        """
        base = base[:, :, None]
        return base + self._scaled(members - base, self.of_class, self.of_source)

    def widen(self, deviations: NDArray[Any]) -> NDArray[Any]:
        """Deviations of shrunk members as large as the error of what they estimate.

        A share lambda of an estimate of variance v leaves lambda v, not lambda^2 v, of
        mean squared error: the rest is what was cut off wrongly.

        ``deviations`` (n_rows, n_sources, n_terms) -> (n_rows, n_sources, n_terms).
        """
        shares = (self.of_class, self.of_source)
        return self._scaled(deviations, *(s**-0.5 if s > 1e-6 else 0.0 for s in shares))

    def _scaled(
        self, values: NDArray[Any], of_class: float, of_source: float
    ) -> NDArray[Any]:
        """What is common to a class and what is not, times a factor each."""
        rest = np.eye(len(self.averages)) - self.averages
        kernel = (of_class * self.averages + of_source * rest).astype(np.float32)
        return np.einsum("nki,kj->nji", values, kernel, optimize=True)


def fit_shrinkage(
    learned: NDArray[Any],
    base: NDArray[Any],
    source: NDArray[np.intp],
    weight: FloatArray,
    source_class: NDArray[np.intp],
) -> Shrinkage:
    """Choose the shares by the likelihood of held-out events.

    ``learned`` (n_rows, n_sources), ``base`` (n_rows, n_sources), ``source`` (n_rows,),
    ``weight`` (n_rows,), ``source_class`` (n_sources,). Returns shares between 0 and 1.
    """
    same = source_class[:, None] == source_class
    averages = same / same.sum(axis=0)
    stride = max(1, learned.size // _LOGITS)
    learned, base = learned[::stride], base[::stride].astype(float)
    source, weight = source[::stride], weight[::stride]
    rows = np.arange(len(source))
    beyond = learned - base
    common = beyond @ averages
    parts = np.stack([common, beyond - common])
    own = parts[:, rows, source] @ weight
    n_events = weight.sum() / (weight**2).sum()  # the scale on which it is certain

    def loss(shares: FloatArray) -> tuple[float, FloatArray]:
        logits = base + np.tensordot(shares, parts, 1)
        mass = logsumexp(logits, axis=1)
        expected = softmax(logits, axis=1)
        value = weight @ (mass - logits[rows, source])
        gradient = np.array([weight @ (expected * part).sum(axis=1) for part in parts])
        return n_events * float(value), n_events * (gradient - own)

    bounds = [(0.0, 1.0)] * 2
    answer = minimize(loss, [0.5, 0.5], jac=True, method="L-BFGS-B", bounds=bounds)
    return Shrinkage(float(answer.x[0]), float(answer.x[1]), averages)
