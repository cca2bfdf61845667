"""pp -> WZ -> leptons at 13.6 TeV with three Wilson coefficients, and known truth.

Events are drawn unweighted from the tree-level cross section at ``theta_ref``,

    dsigma(z, theta) = sum_k a_k(z) monomial_k(theta),   10 monomials of 3 coefficients,

whose factors a_k(z) every event keeps, and are then seen by a detector, p(x | z). The
derivation is in ``doc/wz.md``.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sktamm._numerics import FloatArray
from sktamm.datasets._arguments import RandomState, as_generator, check_count
from sktamm.datasets.wz._amplitudes import (
    COEFFICIENTS,
    WZ_BENCHMARKS,
    check_theta,
    monomial_gradient,
    monomials,
)
from sktamm.datasets.wz._detector import RECO_NAMES, wz_smear
from sktamm.datasets.wz._partons import PARTON_NAMES, density
from sktamm.datasets.wz._phase_space import (
    N_DIMENSIONS,
    accepted,
    map_to_events,
    symmetrise,
)
from sktamm.datasets.wz._sampling import draw_unweighted
from sktamm.exceptions import InvalidInputError

__all__ = ["WZEvents", "make_wz"]


# Points of the Monte Carlo integral however few events are asked for: 0.3 %.
_MIN_POINTS = 200_000


@dataclass(frozen=True, eq=False)
class WZEvents:
    """Unweighted events of WZ production at one parameter point.

    Methods take ``theta``, the coefficients in 1/TeV^2, of shape (3,) or (n_points, 3).

    Attributes
    ----------
    X : ndarray of shape (n_events, 16)
        Reconstructed features, named by ``feature_names``; GeV and radians.
    Z : ndarray of shape (n_events, 14)
        Partons: momenta in GeV of the leptons, charge of the W, and whether all leptons
        have one flavour; named by ``parton_names``.
    polynomial : ndarray of shape (n_events, 10)
        Factors of the monomials 1, c_i, c_i c_j (i <= j) in dsigma(z, theta), over
        dsigma(z, theta_ref).
    theta_ref : ndarray of shape (3,)
        Coefficients in 1/TeV^2 that the events were drawn at.
    cross_section_coefficients : ndarray of shape (10,)
        Factors of the monomials in the cross section within the cuts, in fb.
    cross_section_covariance : ndarray of shape (10, 10)
        Covariance of these factors, from the Monte Carlo integral, in fb^2.
    coefficient_names : tuple of str
        Names of the three coefficients.
    feature_names, parton_names : tuple of str
        Names of the columns of X and Z.
    """

    X: FloatArray
    Z: FloatArray
    polynomial: FloatArray
    theta_ref: FloatArray
    cross_section_coefficients: FloatArray
    cross_section_covariance: FloatArray = field(repr=False)
    coefficient_names: tuple[str, ...] = COEFFICIENTS
    feature_names: tuple[str, ...] = RECO_NAMES
    parton_names: tuple[str, ...] = PARTON_NAMES

    @property
    def joint_derivatives(self) -> FloatArray:
        """Derivatives (n_events, 9) of dsigma(z, theta) over dsigma(z, theta_ref).

        The three first ones, then the second ones by c_i and c_j, i <= j, row by row.
        """
        return self.polynomial @ monomial_gradient(self.theta_ref).T

    @property
    def benchmark_weights(self) -> FloatArray:
        """Event weights, (n_events, 10), at the points of :data:`WZ_BENCHMARKS`."""
        return self.weights(WZ_BENCHMARKS)

    def weights(self, theta: ArrayLike) -> FloatArray:
        """Weights dsigma(z, theta) / dsigma(z, theta_ref), (n_events[, n_points])."""
        return self.polynomial @ monomials(theta).T

    def joint_ratio(self, theta: ArrayLike) -> FloatArray:
        """Ratio p(x, z | theta) / p(x, z | theta_ref), (n_events,), of one theta."""
        scale = self.cross_section(self.theta_ref) / self.cross_section(theta)
        return self.weights(theta) * scale

    def cross_section(self, theta: ArrayLike) -> FloatArray:
        """Leading-order cross section in fb within the cuts on partons."""
        return monomials(theta) @ self.cross_section_coefficients

    def cross_section_error(self, theta: ArrayLike) -> FloatArray:
        """Standard error of the cross section in fb, from the Monte Carlo integral."""
        values = monomials(theta)
        quadratic = ((values @ self.cross_section_covariance) * values).sum(axis=-1)
        return np.sqrt(quadratic)

    def expected_events(
        self, theta: ArrayLike, luminosity: float = 300.0
    ) -> FloatArray:
        """Luminosity in 1/fb times cross section: all within the cuts are found."""
        return luminosity * self.cross_section(theta)

    def smear(self, Z: ArrayLike, rng: RandomState = None) -> FloatArray:
        """Draw x for given z: :func:`wz_smear`."""
        return wz_smear(Z, rng)

    def to_frame(self) -> pd.DataFrame:
        """Reconstructed features with their names, of shape (n_events, 16)."""
        return pd.DataFrame(self.X, columns=list(self.feature_names))


def make_wz(
    n_events: int,
    theta: ArrayLike | None = None,
    *,
    random_state: RandomState = None,
) -> WZEvents:
    """Generate pp -> WZ -> leptons at 13.6 TeV with three Wilson coefficients.

    Both charges of the W, electrons and muons; the leptons have transverse momenta
    above 20 GeV (from the W) and 15 GeV (from the Z) and pseudorapidities below 2.5,
    and the mass of those from the Z is within 15 GeV of the boson's. Leading order in
    the couplings, with all spin correlations; parton densities and detector are simple
    parametrisations. At 300/fb about 36 000 events are expected.

    Parameters
    ----------
    n_events : int
        Number of unweighted events.
    theta : array-like of shape (3,), optional
        c_PhiWB, c_WWW, c_Phiq3 in 1/TeV^2 of the events; by default the standard model.
    random_state : int, Generator, RandomState or None
        Seed.

    Returns
    -------
    events : WZEvents
        Features, partons, polynomial weights and the cross section.

    Notes
    -----
    Operators in the Warsaw basis: (Phi^dagger tau^I Phi) W^I_{mu nu} B^{mu nu},
    eps_{IJK} W^I W^J W^K and (Phi^dagger i D^I_mu Phi) (qbar tau^I gamma^mu q). The
    quadratic terms are kept; widths are those of the standard model.

    References
    ----------
    Bahl, Bresó, De Crescenzo, Plehn, arXiv:2410.07315, where events are those of
    MadGraph; the amplitudes here are derived in doc/wz.md.

    Examples
    --------
    >>> from sktamm.datasets import make_wz
    >>> events = make_wz(200, random_state=0)
    >>> events.X.shape, events.Z.shape, events.joint_derivatives.shape
    ((200, 16), (200, 14), (200, 9))
    """
    check_count("n_events", n_events, 1)
    reference = check_theta(np.zeros(3) if theta is None else theta)
    if reference.shape != (3,):
        raise InvalidInputError(
            f"theta must have the shape (3,); got {reference.shape}."
        )
    rng, rng_turn, rng_detector = as_generator(random_state).spawn(3)
    at_reference = monomials(reference)

    def integrand(U: FloatArray) -> tuple[FloatArray, FloatArray]:
        Z, measure = map_to_events(U)
        seen = np.flatnonzero(accepted(Z))
        sums = np.zeros((len(U), 10))
        sums[seen] = density(Z[seen]) * measure[seen, None]
        return sums @ at_reference, np.concatenate([Z, sums], axis=1)

    sample = draw_unweighted(
        integrand, n_events, N_DIMENSIONS, rng, n_sums=10, min_points=_MIN_POINTS
    )
    Z = symmetrise(sample.rows[:, :-10], rng_turn)
    sums = sample.rows[:, -10:]
    return WZEvents(
        X=wz_smear(Z, rng_detector),
        Z=Z,
        polynomial=sums / (sums @ at_reference)[:, None],
        theta_ref=reference,
        cross_section_coefficients=sample.mean,
        cross_section_covariance=sample.covariance,
    )
