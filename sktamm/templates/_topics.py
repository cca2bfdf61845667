"""Few topics from many binned templates: latent Dirichlet allocation in BLAS.

Document = simulation, word = bin, count = events. The density of simulation k is

    p_k(v) = sum_t theta_kt beta_tv,  theta_k ~ Dir(alpha),  beta_t ~ Dir(eta),

and the variational posterior theta_k ~ Dirichlet(gamma_k), beta_t ~ Dirichlet(lambda_t)
maximises (Blei, Ng, Jordan 2003, with the assignments of the events eliminated)

    F = sum_kv n_kv ln sum_t a_kt b_tv - KL(gamma|alpha) - KL(lambda|eta),
    a = exp E[ln theta],  b = exp E[ln beta].

One step costs three matrix products: gamma = alpha + a * (R b^T), lambda = eta + b *
(a^T R), R = n / (a b). Squared extrapolation of the logarithms (SQUAREM; Varadhan and
Roland 2008) accelerates it, and an extrapolation that lowers F is discarded.

Topics that chase noise enclose a needlessly large simplex: by default n is N_k times
the density without what Poisson fluctuations explain. Topics start at simulations that
are as far apart as possible; a canonical order makes the given one irrelevant.
"""

import warnings
from collections.abc import Callable
from numbers import Real
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import digamma, gammaln
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from sktamm._numerics import FloatArray, IntArray, one_blas_thread
from sktamm._sklearn import Interval, at_least, between, check_parameters, one_of
from sktamm.exceptions import (
    ConvergenceWarning,
    IncompatibleChoiceError,
    InvalidInputError,
)

__all__ = ["TopicModel", "topic_relative_variance", "topic_shares"]

Step = Callable[[FloatArray, IntArray], tuple[FloatArray, FloatArray]]

_TINY = np.finfo(np.float64).tiny
# Rules of thumb. The longest extrapolation, in units of ln gamma and ln lambda: longer
# ones save cycles where the objective rises, and are discarded where it falls. The
# share of the average simulation in the initial topics: it fills bins that are empty in
# one, and makes topics alike.
_LONGEST_LEAP = 5.0
_MEAN_ADMIXTURE = 0.2
# Varadhan and Roland's growth of the longest step, and where it starts.
_GROWTH = 4.0
# Spread of perturbed topics about the average simulation: 10 %. Rule of thumb.
_SHAPE = 100.0


class TopicModel(TransformerMixin, BaseEstimator):
    """Topics of the binned simulations of one class.

    Parameters
    ----------
    n_topics : int, default=20
        Number of topics; at most the number of simulations.
    max_iter : int, default=1000
        Largest number of steps, rounded up to cycles of three.
    tol : float, default=0.01
        The fit stops when a step raises the objective by less, in units of log
        likelihood per simulation; smaller values do not help new simulations.
    doc_topic_prior : float, default=1.0
        Concentration alpha of the topic shares of a simulation.
    topic_prior : float, default=1.0
        Concentration eta of the bin contents of a topic: pseudo-events in every bin.
    denoise : bool, default=True
        Remove Poisson noise from the simulations first; False is LDA as published.
    init : {"spread", "random"}, default="spread"
        Start from simulations that are far apart, or the perturbed average simulation.
    random_state : int, RandomState instance or None, default=None
        Used by ``init="random"`` only.

    Attributes
    ----------
    topics_ : ndarray of shape (n_topics, n_bins)
        Bin probabilities, positive, in the order of decreasing total share.
    shares_ : ndarray of shape (n_simulations, n_topics)
        Topic shares of the simulations of ``fit`` (denoised ones if ``denoise``).
    objective_ : ndarray of shape (n_cycles,)
        Objective F before each accelerated cycle of three steps; it never falls.
    n_iter_ : int
        Number of steps.
    converged_ : bool
        Whether ``tol`` was reached within ``max_iter`` steps.

    Examples
    --------
    >>> import numpy as np
    >>> from sktamm.templates._topics import TopicModel
    >>> ends = np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]])
    >>> shares = np.array([[1.0, 0.0], [0.6, 0.4], [0.0, 1.0]])
    >>> model = TopicModel(n_topics=2).fit(10_000 * shares @ ends)
    >>> (model.transform(10_000 * ends[:1]) @ model.topics_).round(2)
    array([[0.7, 0.2, 0.1]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_topics": [at_least(1)],
        "max_iter": [at_least(1)],
        "tol": [Interval(Real, 0, None, closed="left")],
        "doc_topic_prior": [between(0, np.inf)],
        "topic_prior": [between(0, np.inf)],
        "denoise": ["boolean"],
        "init": [one_of("spread", "random")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_topics: int = 20,
        *,
        max_iter: int = 1000,
        tol: float = 0.01,
        doc_topic_prior: float = 1.0,
        topic_prior: float = 1.0,
        denoise: bool = True,
        init: Literal["random", "spread"] = "spread",
        random_state: Any = None,
    ) -> None:
        self.n_topics = n_topics
        self.max_iter = max_iter
        self.tol = tol
        self.doc_topic_prior = doc_topic_prior
        self.topic_prior = topic_prior
        self.denoise = denoise
        self.init = init
        self.random_state = random_state

    def fit(self, counts: ArrayLike, y: object = None) -> Self:
        """Find the topics of the simulations; ``y`` is ignored.

        ``counts`` (n_simulations, n_bins): events, or effective ones, none negative.
        """
        check_parameters(self)
        n = self._validate(counts, reset=True)
        self._check_number(len(n))
        order = np.lexsort(n.T[::-1])
        with one_blas_thread():
            fit = self._maximise(n[order])
        gamma, lam = self._unpack(fit.state, *n.shape)
        self._store(gamma[np.argsort(order)], lam)
        self.objective_ = fit.objective[:, 0]
        self.n_iter_ = fit.n_steps
        self.converged_ = fit.converged
        return self

    def transform(self, counts: ArrayLike) -> FloatArray:
        """Posterior mean shares (n_simulations, n_topics), the topics held fixed."""
        check_is_fitted(self)
        n = self._validate(counts, reset=False)
        return topic_shares(n, self.topics_, prior=self.doc_topic_prior)

    def score(self, counts: ArrayLike, y: object = None) -> float:
        """Mean log likelihood per event, the shares fitted to the same counts."""
        shares = self.transform(counts)
        n = self._validate(counts, reset=False)
        return float((n * np.log(shares @ self.topics_)).sum() / n.sum())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags

    def _validate(self, counts: ArrayLike, *, reset: bool) -> FloatArray:
        n = validate_data(self, counts, dtype=np.float64, order="C", reset=reset)
        return _check_counts(n)

    def _check_number(self, n_simulations: int) -> None:
        if self.n_topics > n_simulations:
            message = (
                f"n_topics={self.n_topics} topics cannot be told apart with "
                f"n_samples={n_simulations} simulations; lower n_topics to that number."
            )
            raise IncompatibleChoiceError(message)

    def _maximise(self, n: FloatArray) -> "_Fit":
        if self.denoise:
            n = n.sum(axis=1, keepdims=True) * _denoised(n)
        step, tol = self._joint_step(n), self.tol * len(n)
        return _squarem(step, self._start(n), max_iter=self.max_iter, tol=tol)

    def _start(self, n: FloatArray) -> FloatArray:
        """Equal shares and the initial topics, packed as one row of logarithms."""
        if self.init == "spread":
            topics = _spread_topics(n, self.n_topics)
        else:
            rng = check_random_state(self.random_state)
            topics = _perturbed_topics(n, self.n_topics, rng)
        events = n.sum(axis=1, keepdims=True) / self.n_topics
        gamma = self.doc_topic_prior + events + np.zeros(self.n_topics)
        lam = self.topic_prior + events.sum() * topics
        return _pack(gamma, lam)

    def _joint_step(self, n: FloatArray) -> Step:
        alpha, eta = float(self.doc_topic_prior), float(self.topic_prior)

        def step(state: FloatArray, _: object) -> tuple[FloatArray, FloatArray]:
            gamma, lam = self._unpack(state, *n.shape)
            a, kl_shares = _expectation(gamma, alpha)
            b, kl_topics = _expectation(lam, eta)
            density = np.maximum(a @ b, _TINY)
            ratio = n / density
            objective = np.vdot(n, np.log(density)) - kl_shares.sum() - kl_topics.sum()
            after = _pack(alpha + a * (ratio @ b.T), eta + b * (a.T @ ratio))
            return after, np.array([objective])

        return step

    def _unpack(
        self, state: FloatArray, n_simulations: int, n_bins: int
    ) -> tuple[FloatArray, FloatArray]:
        values = np.exp(state[0])
        cut = n_simulations * self.n_topics
        return (
            values[:cut].reshape(n_simulations, self.n_topics),
            values[cut:].reshape(self.n_topics, n_bins),
        )

    def _store(self, gamma: FloatArray, lam: FloatArray) -> None:
        shares = _normalised(gamma)
        order = np.argsort(-shares.sum(axis=0), kind="stable")
        self.topics_ = _normalised(lam)[order]
        self.shares_ = shares[:, order]


def topic_shares(
    counts: ArrayLike,
    topics: ArrayLike,
    *,
    prior: float = 1.0,
    max_iter: int = 3000,
    tol: float = 1e-4,
) -> FloatArray:
    """Posterior mean shares (n_simulations, n_topics) for given topics."""
    n = _check_counts(np.asarray(counts, dtype=np.float64))
    b = np.asarray(topics, dtype=np.float64)

    def _step(state: FloatArray, rows: IntArray) -> tuple[FloatArray, FloatArray]:
        a, divergence = _expectation(np.exp(state), prior)
        density = np.maximum(a @ b, _TINY)
        objective = np.einsum("kv,kv->k", n[rows], np.log(density)) - divergence
        return np.log(prior + a * ((n[rows] / density) @ b.T)), objective

    start = np.log(prior + n.sum(axis=1, keepdims=True) / len(b) + np.zeros(len(b)))
    with one_blas_thread():
        fit = _squarem(_step, start, max_iter=max_iter, tol=tol)
    return _normalised(np.exp(fit.state))


def topic_relative_variance(
    counts: ArrayLike, shares: ArrayLike, topics: ArrayLike
) -> FloatArray:
    """Squared relative error 1 / (N_t beta_tv) of topics whose events are known.

    (n_topics, n_bins), with N_t = sum_k N_k theta_kt; infinite where N_t is zero.
    """
    events = np.asarray(counts, dtype=np.float64).sum(axis=1) @ np.asarray(shares)
    expected = events[:, None] * np.asarray(topics, dtype=np.float64)
    infinite = np.full_like(expected, np.inf)
    return np.divide(1.0, expected, out=infinite, where=expected > 0)


class _Fit(NamedTuple):
    """Where the accelerated fixed-point iteration ended."""

    state: FloatArray
    objective: FloatArray  # (n_cycles, n_rows)
    n_steps: int
    converged: bool


def _squarem(step: Step, state: FloatArray, *, max_iter: int, tol: float) -> _Fit:
    """Iterate ``step`` to its fixed point; each row of ``state`` is its own problem."""
    state, history = state.copy(), []
    longest = np.full(len(state), _GROWTH)
    active = np.arange(len(state))
    before = np.full(len(state), -np.inf)
    n_steps = 0
    while len(active) and n_steps < max_iter:
        state[active], objective, longest[active] = _cycle(
            step, state[active], active, longest[active]
        )
        gain = objective - before[active]
        before[active] = objective
        history.append(before.copy())
        active = active[gain > 3 * tol]
        n_steps += 3
    if len(active):
        message = f"topics or shares did not converge in max_iter={max_iter} steps."
        warnings.warn(message, ConvergenceWarning, stacklevel=4)
    return _Fit(state, np.array(history), n_steps, not len(active))


def _cycle(
    step: Step, x0: FloatArray, rows: IntArray, longest: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Two steps, an extrapolation and a step from there unless the objective fell.

    Returns the rows, their objective before the cycle, and the allowed leap.
    """
    x1, objective = step(x0, rows)
    x2, objective_1 = step(x1, rows)
    r, v = x1 - x0, x2 - 2 * x1 + x0
    # Varadhan and Roland's third step length |r|/|v|; 1 is the plain second step
    length = np.sqrt((r * r).sum(axis=1) / np.maximum((v * v).sum(axis=1), _TINY))
    length = np.clip(length, 1.0, longest)
    s = length[:, None]
    leap = np.clip(2 * s * r + s**2 * v, -_LONGEST_LEAP, _LONGEST_LEAP)
    x3, objective_3 = step(x0 + leap, rows)
    risen = objective_3 >= objective_1
    longest = np.where(length == longest, _GROWTH * longest, longest)
    longest = np.where(risen, longest, np.maximum(1.0, length / _GROWTH))
    return np.where(risen[:, None], x3, x2), objective, longest


def _expectation(
    concentration: FloatArray, prior: float
) -> tuple[FloatArray, FloatArray]:
    """Return exp E[ln p] under Dirichlet rows and their divergence from the prior."""
    total = concentration.sum(axis=1)
    mean_log = digamma(concentration) - digamma(total)[:, None]
    n_columns = concentration.shape[1]
    prior_norm = gammaln(n_columns * prior) - n_columns * gammaln(prior)
    divergence = (
        gammaln(total)
        - gammaln(concentration).sum(axis=1)
        - prior_norm
        + ((concentration - prior) * mean_log).sum(axis=1)
    )
    return np.exp(mean_log), divergence


def _spread_topics(n: FloatArray, n_topics: int) -> FloatArray:
    """Choose simulations far apart in Hellinger distance; mix in their average."""
    density = _normalised(n)
    root = np.sqrt(density)
    distance = ((root - root.mean(axis=0)) ** 2).sum(axis=1)
    chosen: list[int] = []
    for _ in range(n_topics):
        chosen.append(int(distance.argmax()))
        here = ((root - root[chosen[-1]]) ** 2).sum(axis=1)
        distance = here if len(chosen) == 1 else np.minimum(distance, here)
    average = density.mean(axis=0)
    return (1 - _MEAN_ADMIXTURE) * density[chosen] + _MEAN_ADMIXTURE * average


def _denoised(n: FloatArray) -> FloatArray:
    """Densities without what Poisson fluctuations explain; template and totals stay.

    The singular values of the Pearson residuals are shrunk (Gavish and Donoho 2017) and
    vanish below the edge of pure noise, sqrt(K) + sqrt(V).
    """
    expected = n.sum(axis=1, keepdims=True) * _normalised(n.sum(axis=0, keepdims=True))
    scale = np.sqrt(np.maximum(expected, _TINY))
    u, s, vt = np.linalg.svd((n - expected) / scale, full_matrices=False)
    excess = (s**2 - sum(n.shape)) ** 2 - 4.0 * n.size
    signal = s > np.sqrt(n.shape).sum()
    shrunk = np.sqrt(np.maximum(excess, 0.0)) / np.maximum(s, 1.0) * signal
    return _normalised(np.maximum(expected + scale * ((u * shrunk) @ vt), 0.0))


def _perturbed_topics(
    n: FloatArray, n_topics: int, rng: np.random.RandomState
) -> FloatArray:
    noise = rng.gamma(_SHAPE, 1.0 / _SHAPE, size=(n_topics, n.shape[1]))
    return _normalised(noise * _normalised(n).mean(axis=0))


def _check_counts(n: FloatArray) -> FloatArray:
    if not (n >= 0).all() or np.isinf(n).any():
        message = f"finite counts >= 0 are needed, got {np.min(n)} to {np.max(n)}."
        raise InvalidInputError(f"Negative values in data: {message}")
    empty = np.flatnonzero(n.sum(axis=1) == 0)
    if len(empty):
        message = f"counts of a simulation must not all be zero, got row {empty[0]}."
        raise InvalidInputError(message)
    return n


def _pack(gamma: FloatArray, lam: FloatArray) -> FloatArray:
    return np.log(np.concatenate([gamma.ravel(), lam.ravel()]))[None]


def _normalised(rows: FloatArray) -> FloatArray:
    return rows / rows.sum(axis=1, keepdims=True)
