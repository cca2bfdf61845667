"""Partons of the di-Higgs study: two systems of two massless partons each.

A pair of systems of masses (m_1, m_2) and common mass m is produced at an angle theta*
to the beam, each decays isotropically, and the whole moves along the beam with the
rapidity y that gluons of the densities x g(x) ~ x^-p (1 - x)^5 give it,

    p(y | m) ~ [(1 - x_1)(1 - x_2)]^5,   x_1, x_2 = m / sqrt(s) exp(+-y).

Signal, hh -> (bb)(bb): m_1 = m_2 = m_h, cos theta* uniform, m - 2 m_h a Gamma variable.
Background, four QCD jets: m_1 and m_2 fall as m^-2, theta* is uniform in rapidity
(which peaks along the beam), m rises as (m - m_1 - m_2)^(1/2) and falls as m^-5.

Without radiation the systems balance in transverse momentum. Their azimuth, which
changes nothing, is zero.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sktamm._numerics import FloatArray

__all__ = [
    "BACKGROUND_MASSES",
    "HIGGS_MASS",
    "Partons",
    "draw_background",
    "draw_signal",
]

Draw = Callable[[int, np.random.Generator], "Partons"]

COLLISION_ENERGY = 13_600.0  # GeV
HIGGS_MASS = 125.0  # GeV
# By hand: maximum of m_hh at 400 GeV and a mean of 475 GeV, as at leading order.
_SIGNAL_SHAPE, _SIGNAL_SCALE = 3.0, 75.0
# Wide enough that resolution and scale bring nothing into the window from beyond:
# tests/datasets/dihiggs/test_dihiggs.py counts them.
BACKGROUND_MASSES = (80.0, 185.0)
# Burr distribution of x = m / (m_1 + m_2) - 1, density x^(c-1) (1 + x^c)^(-k-1): rises
# as x^.5 and falls as x^-5.
_TURN_ON, _TAIL = 1.5, 8 / 3
# Ends below the energy of the collision: (1 + 30) * 2 * 185 GeV = 11.5 TeV.
_LAST_EXCESS = 30.0
# Of the systems, in their common rest frame; by hand, to have more forward pairs.
_LAST_RAPIDITY = 1.5
_GLUON_POWER = 5


@dataclass(frozen=True, eq=False)
class Partons:
    """Momenta of four massless partons (1 and 2 of the first system) in GeV."""

    energy: FloatArray  # (4, n), in the rest frame of all four
    momentum: FloatArray  # (3, 4, n), x, y, z in that frame; z along the beam
    rapidity: FloatArray  # (n,), of that frame in the laboratory
    masses: FloatArray  # (2, n), true ones of the two systems

    @property
    def pt(self) -> FloatArray:
        """Transverse momenta (4, n)."""
        # Twice as fast as np.hypot, which guards against overflow.
        return np.sqrt(self.momentum[0] ** 2 + self.momentum[1] ** 2)

    def eta(self, pt: FloatArray) -> FloatArray:
        """Pseudorapidities (4, n) in the laboratory; boosts along the beam add up."""
        return np.arcsinh(self.momentum[2] / pt) + self.rapidity


def draw_signal(n: int, rng: np.random.Generator) -> Partons:
    """Draw n pairs of Higgs bosons that decay to b quarks."""
    masses = np.full((2, n), HIGGS_MASS)
    mass = 2 * HIGGS_MASS + _SIGNAL_SCALE * rng.standard_gamma(_SIGNAL_SHAPE, n)
    return _decay(masses, mass, rng.uniform(-1, 1, n), rng)


def draw_background(n: int, rng: np.random.Generator) -> Partons:
    """Draw n events of four jets as two systems of falling mass."""
    low, high = BACKGROUND_MASSES
    # Inverse of the distribution function of m^-2.
    masses = 1 / rng.uniform(1 / high, 1 / low, (2, n))
    last = (1 + _LAST_EXCESS**_TURN_ON) ** -_TAIL
    power = rng.uniform(last, 1, n) ** (-1 / _TAIL)
    mass = masses.sum(axis=0) * (1 + (power - 1) ** (1 / _TURN_ON))
    cosine = np.tanh(rng.uniform(-_LAST_RAPIDITY, _LAST_RAPIDITY, n))
    return _decay(masses, mass, cosine, rng)


def _decay(
    masses: FloatArray, mass: FloatArray, cosine: FloatArray, rng: np.random.Generator
) -> Partons:
    """Momenta of the partons, from masses (2, n), common mass and cos theta* (n,)."""
    n = len(mass)
    momentum, energy = np.empty((3, 4, n)), np.empty((4, n))
    k = _decay_momentum(mass, masses)
    sine = np.sqrt(1 - cosine**2)
    for i, (m, side) in enumerate(zip(masses, (1, -1), strict=True)):
        # Half a turn: another half exchanges the two partons, which are alike.
        along, turn = rng.uniform(-1, 1, n), np.cos(rng.uniform(0, np.pi, n))
        across = m / 2 * np.sqrt(1 - along**2)
        x, y = across * turn, across * np.sqrt(1 - turn**2)
        total = np.sqrt(m**2 + k**2)
        # Both partons: m / 2 in opposite directions, boosted along the system's motion.
        system = np.stack([total, side * k * sine, 0 * k, side * k * cosine]) / 2
        split = side * total * along / 2
        part = [k * along / 2, split * sine + x * cosine, y, split * cosine - x * sine]
        for row, half, difference in zip(
            (energy, *momentum), system, part, strict=True
        ):
            row[2 * i] = half + difference
            row[2 * i + 1] = half - difference
    return Partons(energy, momentum, _draw_rapidity(mass, rng), masses)


def _decay_momentum(mass: FloatArray, masses: FloatArray) -> FloatArray:
    """Momentum of the two systems in their common rest frame."""
    one, other = masses
    above = (mass**2 - (one + other) ** 2) * (mass**2 - (one - other) ** 2)
    return np.sqrt(np.maximum(above, 0)) / (2 * mass)


def _draw_rapidity(mass: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Rapidity of the whole, by rejection from a uniform one."""
    root = mass / COLLISION_ENERGY
    rapidity = np.empty(len(mass))
    left = np.arange(len(mass))
    while left.size:
        x = root[left]
        y = -np.log(x) * rng.uniform(-1, 1, left.size)
        # (1 - x e^y)(1 - x e^-y) over its maximum, at y = 0.
        ratio = (1 + x * (x - 2 * np.cosh(y))) / (1 - x) ** 2
        rapidity[left] = y
        left = left[rng.random(left.size) > ratio**_GLUON_POWER]
    return rapidity
