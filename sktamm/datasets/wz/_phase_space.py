"""Phase space of pp -> WZ -> leptons: from the unit cube to momenta and weights.

Both bosons decay to massless leptons, so that with s the squared mass of the pair and y
its rapidity

    sigma = int ds/s dy  dm_W^2/2pi dm_Z^2/2pi  beta/(8 pi) dcos/2
            (1/8pi)^2 dOmega_W/4pi dOmega_Z/4pi  [x_1 f x_2 f |M|^2] / (2 s).

The variables are drawn so that the integrand is tame: the masses by their Breit-Wigner
curves, s by a power, the production angle uniformly in rapidity.
"""

import numpy as np
from numpy.typing import NDArray

from sktamm._numerics import FloatArray
from sktamm.datasets.wz._amplitudes import M_W, M_Z, WIDTH_W, WIDTH_Z
from sktamm.datasets.wz._partons import BEAM_ENERGY, Final

__all__ = [
    "CUTS",
    "N_DIMENSIONS",
    "accepted",
    "map_to_events",
    "symmetrise",
]


# s, y, production angle, two masses, two angles per decay, charge.
N_DIMENSIONS = 10

# GeV; transverse momentum of the lepton from the W and of those from the Z.
CUTS = {"pt_w": 20.0, "pt_z": 15.0, "eta": 2.5}

# Fifteen widths hold 98 % of a W; that of the Z is a cut of the study.
_WINDOW_W = (M_W - 15 * WIDTH_W, M_W + 15 * WIDTH_W)
_WINDOW_Z = (M_Z - 15.0, M_Z + 15.0)
# Of the density in s that points are drawn with. Rule of thumb: near the fall of the
# cross section; the numbers do not depend on it, their errors do.
_POWER = 1.5
# Femtobarns of 1/GeV^2.
_FB = 0.3893794e12
# Electrons and muons, from either boson.
_FLAVOURS = 4


def map_to_events(U: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Final states of points in the unit cube, up to symmetries of the density.

    The pair moves forwards, in a fixed plane. ``U`` (n, 10) -> ``Z`` (n, 14), measure.
    """
    u = np.ascontiguousarray(U.T)
    mass_w, measure = _breit_wigner(u[3], M_W, WIDTH_W, _WINDOW_W)
    mass_z, factor = _breit_wigner(u[4], M_Z, WIDTH_Z, _WINDOW_Z)
    measure *= factor
    s, factor = _power_law(u[0], (mass_w + mass_z) ** 2)
    measure *= factor
    # Rapidity of the pair, within what the protons can give.
    limit = np.log(2 * BEAM_ENERGY / np.sqrt(s))
    rapidity = limit * u[1]
    measure *= 2 * limit
    k = _momentum(s, mass_w**2, mass_z**2)
    cosine, factor = _angle(u[2], s, k, mass_w**2 + mass_z**2)
    measure *= factor
    # beta / 8 pi with beta = 2 k / sqrt(s); two decays of 1 / 8 pi; flux 1 / 2 s.
    measure *= 2 * k / np.sqrt(s) / (8 * np.pi) ** 3 / 2
    measure *= 2 * _FLAVOURS * _FB
    momenta = _decays(k, cosine, (mass_w, mass_z), u[5:9])
    rows = [_boost_along_beam(momentum, rapidity) for momentum in momenta]
    charge = np.where(u[9] < 0.5, 1.0, -1.0)[None]
    return np.concatenate([*rows, charge, 0 * charge]).T, measure


def symmetrise(Z: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Turn events around and along the beam, and give them flavours; ``Z`` (n, 14)."""
    vectors = Z[:, :12].reshape(-1, 4, 3)
    azimuth = rng.uniform(0, 2 * np.pi, (len(Z), 1))
    # Half a turn about the x axis swaps the protons; a mirror would be no symmetry.
    side = np.where(rng.random((len(Z), 1)) < 0.5, 1.0, -1.0)
    x, y, z = vectors[:, :, 0], side * vectors[:, :, 1], side * vectors[:, :, 2]
    cos, sin = np.cos(azimuth), np.sin(azimuth)
    turned = np.stack([cos * x - sin * y, sin * x + cos * y, z], axis=2)
    same = rng.integers(2, size=(len(Z), 1))
    return np.concatenate([turned.reshape(-1, 12), Z[:, 12:13], same], axis=1)


def accepted(Z: FloatArray) -> NDArray[np.bool_]:
    """Whether all charged leptons are within :data:`CUTS`; ``Z`` (n, 14) -> (n,)."""
    final = Final(Z)
    keep = np.ones(len(Z), dtype=bool)
    for momentum, cut in (
        (final.w_lepton, CUTS["pt_w"]),
        (final.z_minus, CUTS["pt_z"]),
        (final.z_plus, CUTS["pt_z"]),
    ):
        pt = np.hypot(momentum[1], momentum[2])
        keep &= (pt > cut) & (abs(momentum[3]) < np.sinh(CUTS["eta"]) * pt)
    return keep


def _breit_wigner(
    u: FloatArray, mass: float, width: float, window: tuple[float, float]
) -> tuple[FloatArray, FloatArray]:
    """Mass and dm^2 / 2 pi per unit of u: uniform in arctan((m^2 - M^2) / M Gamma)."""
    scale = mass * width
    low, high = (np.arctan((edge**2 - mass**2) / scale) for edge in window)
    tangent = np.tan(low + (high - low) * u)
    measure = (high - low) * scale * (1 + tangent**2) / (2 * np.pi)
    return np.sqrt(mass**2 + scale * tangent), measure


def _power_law(u: FloatArray, lowest: FloatArray) -> tuple[FloatArray, FloatArray]:
    """s and ds / s per unit of u, density s^(-1 - power) above the threshold."""
    span = 1 - (lowest / (4 * BEAM_ENERGY**2)) ** _POWER
    left = 1 - u * span
    return lowest * left ** (-1 / _POWER), span / (_POWER * left)


def _momentum(s: FloatArray, one: FloatArray, other: FloatArray) -> FloatArray:
    """Momentum of two particles of given squared masses in their rest frame."""
    root = (s - one - other) ** 2 - 4 * one * other
    return np.sqrt(np.maximum(root, 0) / s) / 2


def _angle(
    u: FloatArray, s: FloatArray, k: FloatArray, masses: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Production angle and d cos per unit of u, density of t and u-channel poles."""
    # t and u are proportional to 1 -+ pole cos.
    pole = 2 * k * np.sqrt(s) / (s - masses)
    range_ = np.arctanh(pole)
    cosine = np.tanh(range_ * (2 * u - 1)) / pole
    return cosine, range_ * (1 - (pole * cosine) ** 2) / pole


def _decays(
    k: FloatArray,
    cosine: FloatArray,
    masses: tuple[FloatArray, FloatArray],
    u: FloatArray,
) -> list[FloatArray]:
    """Leptons in the rest frame of the pair: Z-, Z+, lepton and neutrino of the W."""
    sine, zero = np.sqrt(1 - cosine**2), np.zeros_like(cosine)
    axis = np.stack([sine, zero, cosine])
    inplane = np.stack([cosine, zero, -sine])
    w_lepton, neutrino = _decay(k, -axis, inplane, masses[0], u[:2])
    z_minus, z_plus = _decay(k, axis, inplane, masses[1], u[2:])
    return [z_minus, z_plus, w_lepton, neutrino]


def _decay(
    k: FloatArray,
    axis: FloatArray,
    inplane: FloatArray,
    mass: FloatArray,
    u: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Two leptons of a boson of momentum k along the axis, by its helicity angles."""
    cosine, angle = 2 * u[0] - 1, 2 * np.pi * u[1]
    sine = np.sqrt(1 - cosine**2)
    out_of_plane = np.stack([0 * angle, np.ones_like(angle), 0 * angle])
    transverse = np.cos(angle) * inplane + np.sin(angle) * out_of_plane
    energy = np.hypot(k, mass)
    leptons = []
    for sign in (1, -1):
        along = (k + sign * energy * cosine) / 2
        vector = along * axis + sign * mass / 2 * sine * transverse
        leptons.append(
            np.concatenate([((energy + sign * k * cosine) / 2)[None], vector])
        )
    return leptons[0], leptons[1]


def _boost_along_beam(momentum: FloatArray, rapidity: FloatArray) -> FloatArray:
    """Components x, y, z in the laboratory."""
    energy, x, y, z = momentum
    return np.stack([x, y, np.cosh(rapidity) * z + np.sinh(rapidity) * energy])
