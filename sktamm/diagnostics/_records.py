"""Answers of the diagnostics that displays are built from."""

from dataclasses import dataclass

from numpy.typing import NDArray

__all__ = ["SBCResult"]


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
    p_value_chi2 : float
        P-value of chi2 of the ranks in equal bins; sees peaks and dips.
    p_value_ks : float
        P-value of the Kolmogorov-Smirnov distance; sees shifts.
    kappa : ndarray of shape (n,)
        True fractions, drawn from the prior.
    n_failed : int
        Pseudo-experiments left out because the fit or the sampling failed.
    """

    ranks: NDArray
    n_draws: int
    p_value: float
    p_value_chi2: float
    p_value_ks: float
    kappa: NDArray
    n_failed: int
