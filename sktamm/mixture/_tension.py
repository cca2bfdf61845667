"""How surprising the fitted amplitudes are, the noise of the data included.

The joint maximum shrinks amplitudes that the data do not determine. With prior
precision s and posterior covariance V = u diag(v) u', the data alone know the amplitude
along u_j with the information lambda_j = 1/v_j - s and say

    y_j = u_j'z / (1 - s v_j)  ~  N(0, 1/s + 1/lambda_j),    z the maximum,

before they are seen; of one more simulation the variance 1/s is phi/s, with phi from
each simulation left out (`left_out_scales`). The statistic is

    T = sum_j y_j^2 / (1 + 1/lambda_j),

chi2 under a Gaussian prior (s = 1); under a Student t prior a mixture, over s ~
Gamma(nu/2, nu/2), of sums of scaled chi2, taken as Satterthwaite does. Directions that
the data know better than the prior (lambda > 1) and the others are judged apart, since
a small s may explain the first but not the second; the smaller p-value counts.

Of two classes, with the squared correlation rho of the statistics and h the normal
quantile of the smaller p-value p, the chance of one as small is

    p + 2 T(h, sqrt((1 - rho)/(1 + rho))),    T Owen's function,

p at rho = 1 and 1 - (1 - p)^2 at rho = 0; more classes are bounded by adding those of
pairs with one of them.

References
----------
Evans and Moshonov, Bayesian Analysis 1 (2006) 893, for checks of prior-data conflict;
Owen, Ann. Math. Stat. 27 (1956) 1075; Kounias, Ann. Math. Stat. 39 (1968) 2154.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from sktamm._numerics import FloatArray, smallest_of
from sktamm.mixture._left_out import NO_SCALES, Scales, gamma_nodes

__all__ = [
    "Amplitudes",
    "Inflation",
    "agreed",
    "amplitudes_of",
    "correlations",
    "normal_tail",
    "smallest_of_classes",
    "statistic_axes",
    "student_tail",
]

# Rules of thumb: information of the data, over that of the prior, of which less tells
# nothing; the p-value from which on the prior is asked as well.
_LEAST_KNOWN = 0.01
_ALARMING = 0.01

#: What the data say, its noise, and which of it is used; (n_fits, n_params) each.
Amplitudes = tuple[FloatArray, FloatArray, NDArray[np.bool_]]
#: Variance of the data's noise over what a covariance knows of it, (n_fits,).
Inflation = FloatArray | float


def amplitudes_of(
    params: FloatArray,
    covariance: FloatArray,
    scale: FloatArray,
    inflation: Inflation = 1.0,
) -> Amplitudes:
    """What data alone say of amplitudes: values, noise, which, (n_fits, n_params)."""
    width, axes = np.linalg.eigh(covariance)
    width = np.maximum(width, np.finfo(float).tiny)
    information = 1.0 / width - scale[:, None]
    used = information > _LEAST_KNOWN
    part = np.where(used, 1.0 - scale[:, None] * width, 1.0)
    values = np.einsum("bpj,bp->bj", axes, params) / part
    noise = np.reshape(inflation, (-1, 1)) / np.where(used, information, 1.0)
    return np.where(used, values, 0.0), noise, used


def statistic_axes(
    covariance: FloatArray, scale: FloatArray, inflation: Inflation = 1.0
) -> FloatArray:
    """Columns F, per fit, for which the statistic of amplitudes z is |F'z|^2."""
    width, axes = np.linalg.eigh(covariance)
    none = np.zeros(covariance.shape[:2])
    _, noise, used = amplitudes_of(none, covariance, scale, inflation)
    part = np.where(used, 1.0 - scale[:, None] * width, 1.0)
    return axes * (used / part / np.sqrt(1.0 + noise))[:, None, :]


def correlations(
    covariance: FloatArray,
    precision: FloatArray,
    axes: list[FloatArray],
    inflation: Inflation = 1.0,
) -> FloatArray:
    """Correlations of |F_c'z|^2 of classes, (n_fits, n_classes, n_classes), 0 to 1."""
    # The maximum is R z of the truth and noise of covariance R V, R = 1 - V Q.
    response = np.eye(covariance.shape[1]) - covariance @ precision
    noise = response @ covariance * np.reshape(inflation, (-1, 1, 1))
    truth = np.linalg.pinv(precision, hermitian=True)
    spread = response @ truth @ response.swapaxes(1, 2) + noise
    square = np.array(
        [
            [((a.swapaxes(1, 2) @ spread @ b) ** 2).sum(axis=(1, 2)) for b in axes]
            for a in axes
        ]
    )
    own = np.sqrt(np.maximum(np.einsum("ccb->cb", square), np.finfo(float).tiny))
    return np.clip(np.moveaxis(square / own[:, None] / own, -1, 0), 0.0, 1.0)


def smallest_of_classes(p_values: FloatArray, correlation: FloatArray) -> FloatArray:
    """P-value (n_fits,) of the smallest of correlated p-values (n_classes, n_fits)."""
    apart = smallest_of(p_values)
    if len(p_values) < 2:
        return apart
    known = np.isfinite(p_values).T
    lowest = np.where(known, p_values.T, 1.0).min(axis=1)
    slope = np.sqrt((1.0 - correlation) / (1.0 + correlation))
    more = 2.0 * special.owens_t(special.ndtri(lowest)[:, None, None], slope)
    size = len(p_values)
    pairs = known[:, :, None] & known[:, None, :] & ~np.eye(size, dtype=bool)
    among = np.where(known, np.where(pairs, more, 0.0).sum(axis=2), np.inf)
    # Not a number stays one.
    return np.minimum(apart, lowest + among.min(axis=1))


def agreed(usual: FloatArray, prior: FloatArray) -> FloatArray:
    """P-value of what is usual, confirmed by the wider prior where it alarms."""
    # K simulations know the bulk of their spread, not its tail: six alone put truths
    # like them below .001 in one of a hundred sets, the prior none in 900.
    return np.maximum(usual, np.minimum(prior, _ALARMING))


def normal_tail(amplitudes: Amplitudes, usual: Scales = NO_SCALES) -> FloatArray:
    """P-value under a Gaussian prior, (n_fits,); not a number if nothing is known."""
    values, noise, used = amplitudes
    size = used.sum(axis=1)
    p_value = np.zeros(len(values))
    for scale, weight in zip(*usual, strict=True):
        total = (values**2 / (scale + noise)).sum(axis=1)
        p_value += weight * stats.chi2.sf(total, np.maximum(size, 1))
    return np.where(size > 0, p_value, np.nan)


def student_tail(
    amplitudes: Amplitudes, degrees: float, usual: Scales = NO_SCALES
) -> FloatArray:
    """P-value under a Student t: the smaller of well-known and other directions."""
    values, noise, used = amplitudes
    well = used & (noise < 1.0)
    weak = used & ~well
    parts = [
        np.where(u.any(axis=1), _mixture_tail(values, noise, u, degrees, usual), np.nan)
        for u in (well, weak)
    ]
    return smallest_of(np.array(parts))


def _mixture_tail(
    values: FloatArray,
    noise: FloatArray,
    used: NDArray[np.bool_],
    degrees: float,
    usual: Scales,
) -> FloatArray:
    """Tail of T over some directions, integrated over the scale of the prior."""
    total = np.where(used, values**2 / (1.0 + noise), 0.0).sum(axis=1)
    s, weight = gamma_nodes(0.5 * degrees)
    s = (s / usual[0][:, None]).ravel()
    weight = (usual[1][:, None] * weight).ravel()
    parts = (1.0 / s[:, None, None] + noise) / (1.0 + noise)
    parts = np.where(used, parts, 0.0)
    first, second = parts.sum(axis=2), (parts**2).sum(axis=2)
    first, second = np.maximum(first, 1e-300), np.maximum(second, 1e-300)
    # Satterthwaite: sum c_j chi2_1 is nearly g chi2_h, g = sum c^2/sum c
    tails = special.gammaincc(0.5 * first**2 / second, 0.5 * total * first / second)
    return np.where(used.any(axis=1), np.minimum(weight @ tails, 1.0), 1.0)
