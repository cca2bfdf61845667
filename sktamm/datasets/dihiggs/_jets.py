"""Jets of the di-Higgs study: what a detector and a selection make of four partons.

A jet has lost what the nominal energy scale restores, is measured with a resolution of
0.7 sqrt(GeV / pT) and 5 % in quadrature, and is multiplied by the energy scale

    f(pT, eta) = sqrt((a - b |eta|)^2 / pT + 1),   pT in GeV,

nominally with (a, b) = (2.5, 0.15). Directions are exact. Kept are events with four
jets of pT > 20 GeV and |eta| < 2.5 whose best pairing,

    min over three pairings of (m_1 - 125)^2 + (m_2 - 125)^2   (GeV),

has both masses in the window. The pair of the larger pT comes first.
"""

import numpy as np
from numpy.typing import NDArray

from sktamm._numerics import FloatArray, IntArray
from sktamm.datasets.dihiggs._partons import HIGGS_MASS, Draw, Partons

__all__ = [
    "FULL_NAMES",
    "MASS_NAMES",
    "NOMINAL_SCALE",
    "WINDOW",
    "draw_selected",
    "energy_scale",
]


NOMINAL_SCALE = (2.5, 0.15)
WINDOW = (110.0, 140.0)  # GeV; both of arXiv:2604.02219
# GeV; what the cards of Delphes begin with.
MIN_PT, MAX_ETA = 20.0, 2.5
# Typical of jets at the LHC; by hand.
_STOCHASTIC, _CONSTANT = 0.7, 0.05
# Nothing is measured to have less than a twentieth of what it has.
_LEAST_RESPONSE = 0.05
# Pairs of partons 0 to 3; entries i and 5 - i together are a pairing.
PAIRS = np.array([(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)])
# Candidates at a time, doubled up to what the cache holds (5 ... 10 microseconds per
# background event from 4 096 to 32 768); part of what a seed means.
_FIRST_BATCH, _BATCH = 1024, 16_384

MASS_NAMES = ("m_bb1", "m_bb2")
FULL_NAMES = (
    *MASS_NAMES,
    "pt_bb1",
    "pt_bb2",
    "m_4b",
    "dr_bb1",
    "dr_bb2",
    "deta_bb",
    "ht",
    "pt_min",
)


def energy_scale(
    pt: FloatArray, eta: FloatArray, scale: tuple[float, float]
) -> FloatArray:
    """Factor on the momentum of measured jets; scale is (a, b)."""
    a, b = scale
    return np.sqrt((a - b * abs(eta)) ** 2 / pt + 1)


def draw_selected(
    draw: Draw,
    n: int,
    scale: tuple[float, float],
    full: bool,
    rng: np.random.Generator,
) -> FloatArray:
    """Features (n, 2) or (n, 10) of selected events of a process, batch by batch."""
    batches = [np.empty((0, len(FULL_NAMES if full else MASS_NAMES)))]
    missing, size = n, _FIRST_BATCH
    while missing > 0:
        batches.append(_select(draw(size, rng), scale, full, rng))
        missing -= len(batches[-1])
        size = min(2 * size, _BATCH)
    return np.concatenate(batches)[:n]


def _select(
    partons: Partons, scale: tuple[float, float], full: bool, rng: np.random.Generator
) -> FloatArray:
    """Features of those events of a batch that pass."""
    pt = partons.pt
    eta = partons.eta(pt)
    # Directions are exact: what is not central need not be measured.
    central = np.flatnonzero(are_central(eta))
    pt, eta = pt[:, central], eta[:, central]
    seen = measure(pt, eta, scale, rng)
    hard = np.flatnonzero(are_hard(seen))
    kept, response = central[hard], seen[:, hard] / pt[:, hard]
    momentum = partons.momentum[:, :, kept] * response
    choice, masses = best_pairing(
        pair_masses(partons.energy[:, kept] * response, momentum)
    )
    inside = np.flatnonzero(((masses >= WINDOW[0]) & (masses <= WINDOW[1])).all(axis=0))
    momentum, jets_eta = momentum[:, :, inside], eta[:, hard[inside]]
    pairs, masses = order_pairs(momentum, choice[inside], masses[:, inside])
    return (features(momentum, jets_eta, pairs, masses) if full else masses).T


def measure(
    pt: FloatArray,
    eta: FloatArray,
    scale: tuple[float, float],
    rng: np.random.Generator,
) -> FloatArray:
    """Measured transverse momenta of partons: loss, resolution, energy scale."""
    raw = lose_energy(pt, eta)
    resolution = np.sqrt(_STOCHASTIC**2 / raw + _CONSTANT**2)
    response = 1 + resolution * rng.standard_normal(raw.shape)
    raw *= np.maximum(response, _LEAST_RESPONSE)
    return raw * energy_scale(raw, eta, scale)


def lose_energy(pt: FloatArray, eta: FloatArray) -> FloatArray:
    """What is left of pt, so that the nominal scale restores it: raw * f(raw) = pt."""
    a, b = NOMINAL_SCALE
    half = (a - b * abs(eta)) ** 2 / 2
    # Root of raw^2 + 2 half raw = pt^2, without cancellation.
    return pt**2 / (half + np.sqrt(half**2 + pt**2))


def are_central(eta: FloatArray) -> NDArray[np.bool_]:
    """Events (n,) all of whose jets (4, n) are within reach of the detector."""
    return np.all(abs(eta) < MAX_ETA, axis=0)


def are_hard(pt: FloatArray) -> NDArray[np.bool_]:
    """Events (n,) all of whose jets (4, n) are measured to be hard enough."""
    return np.all(pt > MIN_PT, axis=0)


def pair_masses(energy: FloatArray, momentum: FloatArray) -> FloatArray:
    """Masses (6, n) of ``PAIRS`` of massless jets: m^2 = 2 (E_i E_j - p_i p_j)."""
    masses = np.empty((len(PAIRS), energy.shape[1]))
    for mass, (i, j) in zip(masses, PAIRS, strict=True):
        mass[:] = energy[i] * energy[j]
        for component in momentum:
            mass -= component[i] * component[j]
    return np.sqrt(np.maximum(2 * masses, 0))


def best_pairing(masses: FloatArray) -> tuple[IntArray, FloatArray]:
    """First pair (n,) of the pairing nearest to two Higgs bosons; masses (2, n)."""
    distance = (masses - HIGGS_MASS) ** 2
    choice = (distance[:3] + distance[:2:-1]).argmin(axis=0)
    events = np.arange(masses.shape[1])
    return choice, np.stack([masses[choice, events], masses[5 - choice, events]])


def order_pairs(
    momentum: FloatArray, choice: IntArray, masses: FloatArray
) -> tuple[IntArray, FloatArray]:
    """Jets of the pairs (pair, jet, n) and their masses (2, n), larger pT first."""
    pairs = np.stack([PAIRS[choice], PAIRS[5 - choice]]).transpose(0, 2, 1)
    first, second = (square_pt(momentum, pair) for pair in pairs)
    swapped = second > first
    return (
        np.where(swapped, pairs[::-1], pairs),
        np.where(swapped, masses[::-1], masses),
    )


def square_pt(momentum: FloatArray, pair: IntArray) -> FloatArray:
    """Squared transverse momentum (n,) of the pairs with the jets (2, n)."""
    x, y = (np.take_along_axis(p, pair, axis=0).sum(axis=0) for p in momentum[:2])
    return x**2 + y**2


def features(
    momentum: FloatArray, eta: FloatArray, pairs: IntArray, masses: FloatArray
) -> FloatArray:
    """All features (10, n) of jets (3, 4, n) in the partons' frame, eta of the lab."""
    pt = np.hypot(momentum[0], momentum[1])
    phi = np.arctan2(momentum[1], momentum[0])
    z = pt * np.sinh(eta)
    distances, pair_pts, pair_etas = [], [], []
    for pair in pairs:
        (eta_1, eta_2), (phi_1, phi_2) = (
            np.take_along_axis(values, pair, axis=0) for values in (eta, phi)
        )
        angle = (phi_1 - phi_2 + np.pi) % (2 * np.pi) - np.pi
        distances.append(np.hypot(eta_1 - eta_2, angle))
        pair_pts.append(np.sqrt(square_pt(momentum, pair)))
        along = np.take_along_axis(z, pair, axis=0).sum(axis=0)
        pair_etas.append(np.arcsinh(along / pair_pts[-1]))
    energy = np.sqrt((momentum**2).sum(axis=0)).sum(axis=0)
    m_4b = np.sqrt(energy**2 - (momentum.sum(axis=1) ** 2).sum(axis=0))
    separation = abs(pair_etas[0] - pair_etas[1])
    ht, softest = pt.sum(axis=0), pt.min(axis=0)
    return np.stack([*masses, *pair_pts, m_4b, *distances, separation, ht, softest])
