"""Tree-level amplitudes of q qbar' -> W Z -> leptons with three Wilson coefficients.

With one operator insertion the amplitude is linear in the coefficients,

    M = M_0 + sum_i c_i M_i,    |M|^2 = sum_k a_k monomial_k(c).

The diagrams are the Z radiated by either quark and the triple gauge vertex. They are
evaluated with numerical two-component spinors: quarks and leptons are massless and the
W is left-handed, which leaves the helicity of the leptons from the Z to be summed. The
bosons enter as fields that their decays create,

    W_mu = -(g/sqrt 2) J_mu / (q^2 - m_W^2 + i m_W Gamma_W),   J = l^dagger sigmabar l',

with all spin correlations and off-shell masses. Couplings are derived in ``doc/wz.md``.

Momenta are arrays of shape (4, n), energy first, in GeV; coefficients in 1/TeV^2.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sktamm._numerics import FloatArray
from sktamm.exceptions import InvalidInputError

__all__ = [
    "COEFFICIENTS",
    "WZ_BENCHMARKS",
    "monomial_gradient",
    "monomials",
    "squared_amplitude",
]

ComplexArray = NDArray[np.complex128]

COEFFICIENTS = ("c_PhiWB", "c_WWW", "c_Phiq3")

# Basis of parameter points at which ten event weights determine all others.
WZ_BENCHMARKS = np.array(
    [
        [0.0, 0.0, 0.0],
        [-4.0, 0.0, 0.0],
        [4.0, 0.0, 0.0],
        [0.0, -0.2, 0.0],
        [0.0, 0.2, 0.0],
        [0.0, 0.0, -0.2],
        [0.0, 0.0, 0.2],
        [-1.2, -0.09, 0.0],
        [-1.2, 0.0, -0.09],
        [0.0, -0.09, -0.09],
    ]
)
WZ_BENCHMARKS.setflags(write=False)

# In GeV, as measured (Particle Data Group).
M_W, WIDTH_W = 80.379, 2.085
M_Z, WIDTH_Z = 91.1876, 2.4952
G_FERMI = 1.1663787e-5

COSINE = M_W / M_Z
SINE = np.sqrt(1 - COSINE**2)
# Vacuum expectation value in GeV and weak coupling; no operator here shifts them.
VACUUM = 1 / np.sqrt(np.sqrt(2) * G_FERMI)
G_WEAK = 2 * M_W / VACUUM
# v^2 in TeV^2: relative size of a coefficient of one per TeV^2.
_SHIFT = VACUUM**2 * 1e-6
_CHARGES = {"u": (0.5, 2 / 3), "d": (-0.5, -1 / 3)}

_PAIRS = [(i, j) for i in range(3) for j in range(i, 3)]


@dataclass(frozen=True)
class Event:
    """Momenta (4, n) of the partons of n events, and the charge (n,) of the W."""

    quark: FloatArray
    antiquark: FloatArray
    z_minus: FloatArray
    z_plus: FloatArray
    w_lepton: FloatArray
    neutrino: FloatArray
    charge: FloatArray


def monomials(theta: ArrayLike) -> FloatArray:
    """1, c_1, c_2, c_3, c_1^2, c_1 c_2, c_1 c_3, c_2^2, c_2 c_3, c_3^2 at theta."""
    theta = check_theta(theta)
    squares = [theta[..., i] * theta[..., j] for i, j in _PAIRS]
    ones = np.ones((*theta.shape[:-1], 1))
    return np.concatenate([ones, theta, np.stack(squares, axis=-1)], axis=-1)


def monomial_gradient(theta: ArrayLike) -> FloatArray:
    """First and second derivatives of the monomials; ``theta`` (3,) -> (9, 10)."""
    theta = check_theta(theta)
    out = np.zeros((9, 10))
    out[:3, 1:4] = np.eye(3)
    for k, (i, j) in enumerate(_PAIRS):
        out[i, 4 + k] += theta[j]
        out[j, 4 + k] += theta[i]
        out[3 + k, 4 + k] = 2 if i == j else 1
    return out


def check_theta(theta: ArrayLike) -> FloatArray:
    """Coefficients as floats, the last axis of length three."""
    values = np.asarray(theta, dtype=float)
    if values.shape[-1:] != (3,) or not np.isfinite(values).all():
        raise InvalidInputError(
            "theta must hold three finite coefficients "
            f"({', '.join(COEFFICIENTS)}); got {theta!r}."
        )
    return values


def squared_amplitude(event: Event) -> FloatArray:
    """|M|^2 averaged over spins and colours of the quarks, in 1/GeV^4.

    Returns factors of the monomials, (10, n).
    """
    total = np.zeros((10, event.quark.shape[1]))
    for amplitude in amplitudes(event):
        total += _square(amplitude)
    # Four spin states and three of nine colour pairs.
    return total / 12


def _square(amplitude: ComplexArray) -> FloatArray:
    """Products A_i A_j^* of amplitudes of shape (4, n), in the order of monomials."""
    real, imag = amplitude.real, amplitude.imag
    pairs = [(0, j) for j in range(4)] + [(i + 1, j + 1) for i, j in _PAIRS]
    out = np.empty((10, amplitude.shape[1]))
    for k, (i, j) in enumerate(pairs):
        factor = 1 if i == j else 2
        out[k] = factor * (real[i] * real[j] + imag[i] * imag[j])
    return out


def amplitudes(event: Event) -> list[ComplexArray]:
    """Amplitudes of both helicities of the leptons from the Z, left first.

    Each (4, n): standard model, then the factor of every coefficient.
    """
    minus, plus = spinor(event.z_minus), spinor(event.z_plus)
    momentum_w, momentum_z = (
        event.w_lepton + event.neutrino,
        event.z_minus + event.z_plus,
    )
    field_w = _decay_field_w(event, momentum_w)
    propagator = M_Z**2 - square(momentum_z) - 1j * M_Z * WIDTH_Z
    # L couples as T3 - Q sin^2; the mixing operator shifts sin^2 for both helicities.
    sine2, shift = SINE**2, -SINE * COSINE * _SHIFT
    out = []
    for coupling, pair in ((sine2 - 0.5, (minus, plus)), (sine2, (plus, minus))):
        field_z = current(*pair) * (G_WEAK / COSINE / propagator)
        produced = production(event, momentum_w, field_w, momentum_z, field_z)
        amplitude = coupling * produced
        amplitude[1] += shift * produced[0]
        out.append(amplitude)
    return out


def _decay_field_w(event: Event, momentum: FloatArray) -> ComplexArray:
    """Field of the W of either charge: fermion before antifermion in the current."""
    charged, neutral = spinor(event.w_lepton), spinor(event.neutrino)
    plus = event.charge > 0
    fermion = np.where(plus, neutral, charged)
    antifermion = np.where(plus, charged, neutral)
    propagator = M_W**2 - square(momentum) - 1j * M_W * WIDTH_W
    return current(fermion, antifermion) * (G_WEAK / np.sqrt(2) / propagator)


def production(
    event: Event,
    momentum_w: FloatArray,
    field_w: ComplexArray,
    momentum_z: FloatArray,
    field_z: ComplexArray,
) -> ComplexArray:
    """Amplitudes (4, n) of q qbar' -> W Z for fields (4, n) of the bosons."""
    left, right = spinor(event.antiquark), spinor(event.quark)
    total = event.quark + event.antiquark
    inner_z, inner_w = event.quark - momentum_z, event.quark - momentum_w
    z_first = chain(left, field_w, inner_z, field_z, right) / square(inner_z)
    w_first = chain(left, field_z, inner_w, field_w, right) / square(inner_w)
    yang_mills, magnetic, cubic = gauge_vertex(
        (total, current(left, right)), (-momentum_w, field_w), (-momentum_z, field_z)
    )
    s_channel = event.charge * COSINE / (square(total) - M_W**2)
    up = event.charge > 0
    # Couplings of the flavour before and after the W is radiated.
    (g_1, q_1, t_1), (g_2, q_2, t_2) = _quark_couplings(up), _quark_couplings(~up)
    mixing = SINE * COSINE

    def radiated(first: FloatArray, second: FloatArray) -> ComplexArray:
        return -(first * z_first + second * w_first) / COSINE

    out = np.empty((4, *field_w.shape[1:]), dtype=complex)
    out[0] = radiated(g_1, g_2) + s_channel * yang_mills
    tangent = SINE / COSINE
    out[1] = _SHIFT * (
        radiated(mixing * q_1, mixing * q_2)
        + s_channel * tangent * (yang_mills - magnetic)
    )
    out[2] = -6e-6 / G_WEAK * s_channel * cubic
    out[3] = _SHIFT * (radiated(g_1 + t_1, g_2 + t_2) + s_channel * yang_mills)
    return G_WEAK**2 / np.sqrt(2) * out


def _quark_couplings(up: NDArray[np.bool_]) -> tuple[FloatArray, ...]:
    """Left-handed coupling to the Z, electric charge and isospin."""
    isospin = np.where(up, _CHARGES["u"][0], _CHARGES["d"][0])
    charge = np.where(up, _CHARGES["u"][1], _CHARGES["d"][1])
    return isospin - charge * SINE**2, charge, isospin


def gauge_vertex(
    one: tuple[FloatArray, ComplexArray],
    two: tuple[FloatArray, ComplexArray],
    three: tuple[FloatArray, ComplexArray],
) -> tuple[ComplexArray, ComplexArray, ComplexArray]:
    """Triple vertex of (incoming momentum, field): its three Lorentz structures (n,).

    Those of Yang and Mills, of the magnetic moment, and of the operator of three W.
    """
    (k1, e1), (k2, e2), (k3, e3) = one, two, three
    e12, e13, e23 = dot(e1, e2), dot(e1, e3), dot(e2, e3)
    k1e2, k1e3, k2e1 = dot(k1, e2), dot(k1, e3), dot(k2, e1)
    k2e3, k3e1, k3e2 = dot(k2, e3), dot(k3, e1), dot(k3, e2)
    k12, k13, k23 = dot(k1, k2), dot(k1, k3), dot(k2, k3)
    magnetic = k3e1 * e23 - k3e2 * e13
    yang_mills = k1e2 * e13 - k1e3 * e12 + k2e3 * e12 - k2e1 * e23 + magnetic
    cubic = k2e1 * k3e2 * k1e3 - k1e2 * k2e3 * k3e1
    cubic += k23 * (k1e2 * e13 - k1e3 * e12)
    cubic += k13 * (k2e3 * e12 - k2e1 * e23)
    cubic += k12 * (k3e1 * e23 - k3e2 * e13)
    return yang_mills, magnetic, cubic


def spinor(momentum: FloatArray) -> ComplexArray:
    """Left-handed two-component spinor of a massless momentum, shape (2, n)."""
    energy, x, y, z = momentum
    forward = z > 0
    # The larger of E + p_z and E - p_z is away from zero; the phase drops out.
    large = np.sqrt(energy + np.abs(z))
    transverse = (x + 1j * y) / large
    upper = np.where(forward, -transverse.conj(), large)
    lower = np.where(forward, large, -transverse)
    return np.stack([upper, lower])


def current(left: ComplexArray, right: ComplexArray) -> ComplexArray:
    """Vector left^dagger sigmabar^mu right, shape (4, n)."""
    a, b = left.conj()
    c, d = right
    ac, ad, bc, bd = a * c, a * d, b * c, b * d
    return np.stack([ac + bd, -(ad + bc), 1j * (ad - bc), bd - ac])


def chain(
    left: ComplexArray,
    first: ComplexArray,
    middle: FloatArray,
    last: ComplexArray,
    right: ComplexArray,
) -> ComplexArray:
    """left^dagger (sigmabar.first) (sigma.middle) (sigmabar.last) right, shape (n,)."""
    value = _sigma(1, first, _sigma(-1, middle, _sigma(1, last, right)))
    return left[0].conj() * value[0] + left[1].conj() * value[1]


def _sigma(sign: int, vector: NDArray[Any], right: ComplexArray) -> ComplexArray:
    """(v_0 + sign v.sigma) times a spinor: sigmabar.v for +1, sigma.v for -1."""
    time, x, y, z = vector[0], sign * vector[1], sign * vector[2], sign * vector[3]
    upper = (time + z) * right[0] + (x - 1j * y) * right[1]
    lower = (x + 1j * y) * right[0] + (time - z) * right[1]
    return np.stack([upper, lower])


def dot(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """Minkowski product of vectors with the components first."""
    return a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3]


def square(momentum: FloatArray) -> FloatArray:
    """Invariant mass squared."""
    return dot(momentum, momentum)
