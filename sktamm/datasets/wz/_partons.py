"""Partons in the proton, and the differential cross section of pp -> WZ -> leptons.

Momentum densities at the scale of the bosons' masses, independent of the scale,

    x u_v = N_u x^.55 (1 - x)^4,         N_u: two valence u quarks,
    x d_v = N_d x^.55 (1 - x)^5,         N_d: one valence d quark,
    x ubar = .10 x^-.33 (1 - x)^8,       x dbar = (1 + 4 x) x ubar,
    x s = .08 x^-.33 (1 - x)^9,          x c = .06 x^-.33 (1 - x)^9,

chosen by hand near global fits; they are no substitute for one. W+ comes from u dbar
and c sbar, W- from d ubar and s cbar, without quark mixing. The proton that holds the
quark cannot be seen, so both assignments are summed: the density of a final state z is

    dsigma(z, c) = sum_{both directions} f_q(x_1) f_qbar(x_2) |M(z, c)|^2 * phase space,

a function of the leptons' momenta alone.
"""

import numpy as np
from scipy.special import beta

from sktamm._numerics import FloatArray
from sktamm.datasets.wz._amplitudes import Event, square, squared_amplitude

__all__ = ["BEAM_ENERGY", "PARTON_NAMES", "Final", "density", "momentum_density"]


# Of each proton, in GeV: 13.6 TeV together.
BEAM_ENERGY = 6800.0

_LEPTONS = ("z_minus", "z_plus", "w_lepton", "neutrino")
PARTON_NAMES = (
    *(f"{name}_p{axis}" for name in _LEPTONS for axis in "xyz"),
    "charge",
    "same_flavour",
)

# Norms of the sum rules of the valence quarks.
_VALENCE_U = 2 / beta(0.55, 5)
_VALENCE_D = 1 / beta(0.55, 6)


class Final:
    """Momenta (4, n) and labels of final states given as rows of parton features."""

    def __init__(self, Z: FloatArray):
        vectors = np.ascontiguousarray(Z[:, :12].T).reshape(4, 3, -1)
        energy = np.sqrt((vectors**2).sum(axis=1, keepdims=True))
        momenta = np.concatenate([energy, vectors], axis=1)
        self.z_minus, self.z_plus, self.w_lepton, self.neutrino = momenta
        self.charge = Z[:, 12]
        self.same_flavour = Z[:, 13] > 0

    @property
    def total(self) -> FloatArray:
        """Momentum of the two bosons."""
        return self.z_minus + self.z_plus + self.w_lepton + self.neutrino


def momentum_density(x: FloatArray) -> dict[str, FloatArray]:
    """x f(x) of every parton that makes WZ, by its name; antiquarks end in bar."""
    sea = x**-0.33
    ubar = 0.10 * sea * (1 - x) ** 8
    dbar = (1 + 4 * x) * ubar
    strange, charm = 0.08 * sea * (1 - x) ** 9, 0.06 * sea * (1 - x) ** 9
    return {
        "u": _VALENCE_U * x**0.55 * (1 - x) ** 4 + ubar,
        "d": _VALENCE_D * x**0.55 * (1 - x) ** 5 + dbar,
        "ubar": ubar,
        "dbar": dbar,
        "s": strange,
        "sbar": strange,
        "c": charm,
        "cbar": charm,
    }


def density(Z: FloatArray) -> FloatArray:
    """Luminosity times |M|^2 in 1/GeV^4, (n, 10): factors of the monomials."""
    final = Final(Z)
    total = final.total
    fractions = [(total[0] + sign * total[3]) / (2 * BEAM_ENERGY) for sign in (1, -1)]
    zero = np.zeros_like(total[0])
    first, second = (
        np.stack([x * BEAM_ENERGY, zero, zero, sign * x * BEAM_ENERGY])
        for x, sign in zip(fractions, (1, -1), strict=True)
    )
    one, other = (momentum_density(x) for x in fractions)
    leptons = (final.z_minus, final.z_plus, final.w_lepton, final.neutrino)
    out = _luminosity(one, other, final.charge) * squared_amplitude(
        Event(first, second, *leptons, final.charge)
    )
    out += _luminosity(other, one, final.charge) * squared_amplitude(
        Event(second, first, *leptons, final.charge)
    )
    return (out / square(total)).T


def _luminosity(
    quark: dict[str, FloatArray], antiquark: dict[str, FloatArray], charge: FloatArray
) -> FloatArray:
    """Products x_1 f(x_1) x_2 f(x_2) of the quark pairs that give a W of the charge."""
    plus = quark["u"] * antiquark["dbar"] + quark["c"] * antiquark["sbar"]
    minus = quark["d"] * antiquark["ubar"] + quark["s"] * antiquark["cbar"]
    return np.where(charge > 0, plus, minus)
