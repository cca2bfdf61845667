"""Convergence of chains and the number of independent draws they are worth.

With ``m`` half-chains of ``n`` draws, within-chain variance ``W`` and between-chain
variance ``B``,

    R-hat = sqrt(((n - 1) / n W + B / n) / W),    ESS = m n / tau,
    tau = -1 + 2 sum_t P_t,    P_t = rho_2t + rho_2t+1,

over Geyer's initial positive and monotone sequence of the combined autocorrelations
``rho``, of normal scores of ranks; the tail sample size is that of the indicators of
the 5 % and 95 % quantiles. Arrays (n_datasets, n_chains, n_draws) -> (n_datasets,).
Vehtari, Gelman, Simpson, Carpenter and Buerkner, arXiv:1903.08008.
"""

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.special import ndtri
from scipy.stats import rankdata

from sktamm._numerics import FloatArray

__all__ = [
    "ess_bulk",
    "ess_mean",
    "ess_quantile",
    "ess_tail",
    "rhat",
]


def rhat(draws: FloatArray) -> FloatArray:
    """Rank-normalised split R-hat, the larger of bulk and folded; 1 if chains agree."""
    halves = _split(draws)
    folded = np.abs(halves - np.median(halves, axis=(1, 2), keepdims=True))
    return np.maximum(
        _plain_rhat(_normal_scores(halves)), _plain_rhat(_normal_scores(folded))
    )


def ess_bulk(draws: FloatArray) -> FloatArray:
    """Effective sample size for the centre: of the rank-normalised split chains."""
    return _plain_ess(_normal_scores(_split(draws)))


def ess_tail(draws: FloatArray) -> FloatArray:
    """Effective sample size for the tails: the smaller of 5 % and 95 % quantile."""
    return np.minimum(ess_quantile(draws, 0.05), ess_quantile(draws, 0.95))


def ess_mean(draws: FloatArray) -> FloatArray:
    """Effective sample size for the mean: of the split chains as they are."""
    return _plain_ess(_split(draws))


def ess_quantile(draws: FloatArray, probability: float) -> FloatArray:
    """Effective sample size for a quantile: of the indicator of lying below."""
    quantile = np.quantile(draws, probability, axis=(1, 2), keepdims=True)
    return _plain_ess(_split((draws <= quantile).astype(float)))


def _split(draws: FloatArray) -> FloatArray:
    """Cut every chain into its two halves; a middle draw is left out."""
    half = draws.shape[2] // 2
    return np.concatenate([draws[:, :, :half], draws[:, :, -half:]], axis=1)


def _normal_scores(draws: FloatArray) -> FloatArray:
    """Normal scores of the ranks among all draws of a dataset (eq. 14)."""
    flat = draws.reshape(len(draws), -1)
    rank = rankdata(flat, axis=1)
    return ndtri((rank - 0.375) / (flat.shape[1] + 0.25)).reshape(draws.shape)


def _plain_rhat(draws: FloatArray) -> FloatArray:
    """R-hat of chains taken as they are (eq. 4)."""
    n_draws = draws.shape[2]
    within = draws.var(axis=2, ddof=1).mean(axis=1)
    between = draws.mean(axis=2).var(axis=1, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sqrt((n_draws - 1) / n_draws + between / within)


def _plain_ess(draws: FloatArray) -> FloatArray:
    """Effective sample size of chains taken as they are (eq. 10-13)."""
    n_chains, n_draws = draws.shape[1:]
    size = float(n_chains * n_draws)
    autocovariance = _mean_autocovariance(draws)
    total = autocovariance[:, 0].copy()
    if n_chains > 1:
        total += draws.mean(axis=2).var(axis=1, ddof=1)
    constant = np.ptp(draws, axis=(1, 2)) <= np.finfo(float).eps
    total[constant] = 1.0
    within = autocovariance[:, :1] * n_draws / (n_draws - 1.0)
    rho = 1.0 - (within - autocovariance) / total[:, None]
    rho[:, 0] = 1.0
    tau = np.maximum(_autocorrelation_time(rho), 1.0 / np.log10(size))
    return np.where(constant, size, size / tau)


def _mean_autocovariance(draws: FloatArray) -> FloatArray:
    """Biased autocovariances, averaged over chains, by Fourier transform."""
    n_draws = draws.shape[2]
    centred = draws - draws.mean(axis=2, keepdims=True)
    length = next_fast_len(2 * n_draws, real=True)
    power = (np.abs(rfft(centred, n=length, axis=2)) ** 2).mean(axis=1)
    return irfft(power, n=length, axis=1)[:, :n_draws] / n_draws


def _autocorrelation_time(rho: FloatArray) -> FloatArray:
    """Sum Geyer's initial monotone positive sequence, and a last positive even term."""
    n_pairs = max((rho.shape[1] - 1) // 2, 1)
    even = rho[:, : 2 * n_pairs : 2]
    pairs = even + rho[:, 1 : 2 * n_pairs : 2]
    ends = pairs <= 0.0
    ends[:, -1] = True
    stop = ends.argmax(axis=1)
    before = np.arange(n_pairs) < stop[:, None]
    monotone = np.minimum.accumulate(pairs, axis=1)
    last = np.take_along_axis(even, stop[:, None], axis=1)[:, 0]
    return -1.0 + 2.0 * (monotone * before).sum(axis=1) + np.maximum(last, 0.0)
