"""Simulation-based calibration: whether the posterior means what it says.

Parameters are drawn from the prior, data from the parameters, a posterior from the
data: the rank of the true kappa among L posterior draws is then uniform on 0, ..., L.
Where the posterior is a curve, its probability below the truth, in steps of 1/(L + 1),
is the rank. The check is of the inference alone, not of the prior.

References
----------
Talts, Betancourt, Simpson, Vehtari and Gelman, arXiv:1804.06788.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sktamm._numerics import FloatArray
from sktamm.diagnostics._goodness import draw_rows
from sktamm.diagnostics._open import (
    check_adapts,
    check_positive,
    generator,
    member_of,
    quiet,
    unwrap,
)
from sktamm.exceptions import InvalidInputError
from sktamm.inference import Answer
from sktamm.mixture import MixtureModel
from sktamm.templates import TargetContents

__all__ = ["SBCResult", "simulation_based_calibration"]

# Ranks per bin for chi-squared to hold (five are the usual least), and bins that a
# picture can show: rules of thumb.
_PER_BIN = 10
_MOST_BINS = 20


@dataclass(frozen=True, eq=False)
class SBCResult:
    """Simulation-based calibration: ranks of true kappas in their posteriors.

    Attributes
    ----------
    ranks : ndarray of int, shape (n,)
        Number of the ``n_draws`` posterior draws below the true kappa, 0 to n_draws;
        uniform when the posterior is right.
    n_draws : int
        Posterior draws, or equal steps of posterior probability, behind every rank.
    p_value : float
        P-value of uniformity: twice the smaller of the two below, at most one.
    p_value_chi2, p_value_ks : float
        Of chi2 in equal bins, which sees peaks, and of Kolmogorov and Smirnov, shifts.
    kappa : ndarray of shape (n,)
        True fractions, drawn from the prior.
    n_failed : int
        Pseudo-experiments left out because no posterior came out.
    member : str or None
        The first estimator of a `PosteriorPool`, which was looked at.
    """

    ranks: NDArray[Any]
    n_draws: int
    p_value: float
    p_value_chi2: float
    p_value_ks: float
    kappa: NDArray[Any]
    n_failed: int
    member: str | None = None


def simulation_based_calibration(
    estimator: Any,
    *,
    size: int = 10_000,
    n_experiments: int = 200,
    n_draws: int = 99,
    random_state: Any = 0,
) -> SBCResult:
    """Ranks of true kappas, drawn from the prior, in their posteriors.

    Parameters
    ----------
    estimator : estimator
        Fitted binned Bayesian estimator, or Pipeline or search ending in one.
    size : int, default=10_000
        Expected number of events of every pseudo-experiment.
    n_experiments : int, default=200
        Pseudo-experiments.
    n_draws : int, default=99
        Draws, or steps of probability, of every posterior.
    random_state : int, RandomState instance or None, default=0
        Seed of the pseudo-experiments.

    Returns
    -------
    result : SBCResult
        Ranks and their test of uniformity.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.diagnostics import simulation_based_calibration
    >>> study = make_gaussian_study(n_simulations=4, n_events=2000, random_state=1)
    >>> tamm = BinnedTopicTAMM(bins=5)
    >>> tamm = tamm.fit(study.X, study.y, simulation=study.simulation)
    >>> result = simulation_based_calibration(tamm, size=2000, n_experiments=40)
    >>> result.ranks.shape
    (40,)
    """
    (final,) = unwrap(estimator)
    check_adapts(final)
    if not final.inference_.has_posterior:
        raise InvalidInputError(
            "estimator must be Bayesian: ranks need a posterior, which "
            f"{type(final.inference_).__name__} has not."
        )
    check_positive(size=size, n_experiments=n_experiments, n_draws=n_draws)
    rng = generator(random_state)
    with quiet():
        truth, answer = _pseudo_experiments(final, size, n_experiments, rng)
    ranks = _ranks(answer, truth, n_draws, rng)
    good = ranks >= 0
    chi2, ks = uniformity(ranks[good], n_draws, rng)
    return SBCResult(
        ranks=ranks[good],
        n_draws=n_draws,
        p_value=min(1.0, 2.0 * min(chi2, ks)),
        p_value_chi2=chi2,
        p_value_ks=ks,
        kappa=truth[good],
        n_failed=int((~good).sum()),
        member=member_of(estimator),
    )


def _pseudo_experiments(
    final: Any, size: int, n: int, rng: np.random.Generator
) -> tuple[FloatArray, Answer]:
    """True fractions and posteriors of data drawn from the prior."""
    if not final.components_.binned:
        raise InvalidInputError(
            "estimator must be binned: unbinned data cannot be drawn from the prior."
        )
    content = size * final.components_.reference_weight_[None]
    table = final.components_.table(TargetContents(content, content))
    model = final.form_.build(table, final.prior_)
    theta = prior_draws(model, n, rng)
    pseudo = draw_rows(table, model, theta, 0, rng)
    return theta[:, 0], final.solve(pseudo, np.array([final.level]))[1]


def prior_draws(model: MixtureModel, n: int, rng: np.random.Generator) -> FloatArray:
    """Fractions uniform on the simplex and blends from their priors, (n, n_params)."""
    theta = np.empty((n, model.n_params))
    fractions = rng.dirichlet(np.ones(model.n_classes), n)
    theta[:, : model.n_fractions] = fractions[:, : model.n_fractions]
    for block in model.blocks:
        theta[:, model.n_fractions + block.columns] = block.penalty.draw(n, rng)
    return theta


def _ranks(
    answer: Answer, truth: FloatArray, n_draws: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Rank of every truth; -1 where there is no posterior."""
    if answer.draws is None:
        below = _probability_below(answer.curve_kappa, answer.curve_log_density, truth)
        steps = np.floor(np.nan_to_num(below) * (n_draws + 1))
        ranks = np.minimum(steps, n_draws)
        return np.where(np.isfinite(below), ranks, -1).astype(np.intp)
    chosen = [
        rng.choice(draws.ravel(), n_draws, replace=draws.size < n_draws)
        for draws in answer.draws
    ]
    ranks = (np.array(chosen) < truth[:, None]).sum(axis=1)
    return np.where(np.isfinite(answer.kappa), ranks, -1).astype(np.intp)


def _probability_below(
    kappa: FloatArray, log_density: FloatArray, truth: FloatArray
) -> FloatArray:
    """Posterior probability below the truths, by the trapezoidal rule."""
    density = np.exp(log_density)
    steps = 0.5 * (density[:, 1:] + density[:, :-1]) * np.diff(kappa, axis=1)
    total = np.concatenate([np.zeros((len(kappa), 1)), steps.cumsum(axis=1)], axis=1)
    curves = zip(truth, kappa, total / total[:, -1:], strict=True)
    return np.array([np.interp(t, k, c) for t, k, c in curves])


def uniformity(
    ranks: NDArray[Any], n_draws: int, rng: np.random.Generator
) -> tuple[float, float]:
    """P-values of ranks (n,): chi2 in equal bins, and Kolmogorov and Smirnov."""
    if not ranks.size:
        return float("nan"), float("nan")
    n_bins = int(np.clip(ranks.size // _PER_BIN, 2, min(_MOST_BINS, n_draws + 1)))
    owner = np.arange(n_draws + 1) * n_bins // (n_draws + 1)
    expected = np.bincount(owner) * (ranks.size / (n_draws + 1.0))
    counts = np.bincount(owner[ranks], minlength=n_bins)
    spread = (ranks + rng.random(ranks.size)) / (n_draws + 1.0)
    chi2 = stats.chisquare(counts, expected).pvalue
    return float(chi2), float(stats.kstest(spread, "uniform").pvalue)
