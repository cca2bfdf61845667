"""From partons to what a detector sees: a simple, documented p(x | z).

* Jets: a Poisson number of mean 0.5 + 0.3 ln(m_WZ / 250 GeV), at least 0.1, each of
  transverse momentum above 30 GeV with the density p^-2.7. The pair recoils against
  them and against soft radiation of 6 GeV per component.
* Leptons: transverse momenta with a relative resolution of 1.2 % + 0.01 % per GeV, in
  quadrature; directions are exact; a charge is wrong in 2 of 1000 cases.
* Missing transverse momentum: that of the neutrino with a resolution per component of
  10 GeV and 0.5 sqrt(GeV * sum of transverse momenta), in quadrature.
* Assignment: of the lepton pairs that can come from a Z, the one nearest in mass. With
  leptons of one flavour there are two, and the wrong one is taken at times.

No event is lost and none is gained: cuts are on partons (:mod:`._phase_space`), so
p(x | z) is normalised for every z and does not know the coefficients.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sktamm._numerics import FloatArray, IntArray
from sktamm.datasets._arguments import RandomState, as_generator
from sktamm.datasets.wz._amplitudes import M_Z, square
from sktamm.datasets.wz._partons import PARTON_NAMES, Final
from sktamm.exceptions import InvalidInputError

__all__ = ["RECO_NAMES", "wz_smear"]


RECO_NAMES = (
    "pt_z1",
    "eta_z1",
    "dphi_z1",
    "pt_z2",
    "eta_z2",
    "dphi_z2",
    "pt_w",
    "eta_w",
    "met",
    "dphi_met",
    "charge_sum",
    "n_jets",
    "m_z",
    "pt_z",
    "mt_w",
    "mt_wz",
)

# What the first lines of the module say, chosen by hand to resemble an experiment.
_MAX_JETS = 6
_JET_THRESHOLD, _JET_POWER = 30.0, 1.7
_SOFT_RECOIL = 6.0
_RESOLUTION, _RESOLUTION_SLOPE = 0.012, 1e-4
_WRONG_CHARGE = 0.002
_NOISE, _NOISE_SLOPE = 10.0, 0.5


@dataclass
class _Seen:
    """Reconstructed objects: momenta (4, n) of three leptons, missing momentum."""

    leptons: list[FloatArray]
    charges: list[FloatArray]
    missing: FloatArray
    n_jets: IntArray


def wz_smear(Z: ArrayLike, rng: RandomState = None) -> FloatArray:
    """Draw what a detector sees of final states of WZ production.

    Parameters
    ----------
    Z : array-like of shape (n_events, 14)
        Parton features, as ``Z`` of :class:`WZEvents`; repeat rows for several draws.
    rng : int, Generator, RandomState or None
        Seed.

    Returns
    -------
    X : ndarray of shape (n_events, 16)
        Reconstructed features, as ``X`` of :class:`WZEvents`.

    Examples
    --------
    >>> from sktamm.datasets import make_wz, wz_smear
    >>> events = make_wz(100, random_state=0)
    >>> wz_smear(events.Z[[0, 0, 1]], 0).shape
    (3, 16)
    """
    Z = np.asarray(Z, dtype=float)
    if Z.ndim != 2 or Z.shape[1] != len(PARTON_NAMES):
        raise InvalidInputError(
            f"Z must have the shape (n_events, {len(PARTON_NAMES)}); got {Z.shape}."
        )
    generator = as_generator(rng)
    final = Final(Z)
    seen = _detect(final, generator)
    return _features(seen, *_assign(seen, final.charge, final.same_flavour))


def _detect(final: Final, rng: np.random.Generator) -> _Seen:
    """Radiation, resolution and noise; leptons in the order of the partons."""
    total = final.total
    n_jets, jets, recoil = _radiate(np.sqrt(square(total)), rng)
    momenta = [final.z_minus, final.z_plus, final.w_lepton, final.neutrino]
    *leptons, neutrino = _recoil(momenta, total, recoil)
    measured = [_measure(lepton, rng) for lepton in leptons]
    activity = sum(np.hypot(p[1], p[2]) for p in measured) + jets
    noise = np.sqrt(_NOISE**2 + _NOISE_SLOPE**2 * activity)
    missing = neutrino[1:3] + noise * rng.standard_normal((2, len(noise)))
    # What the resolution adds to the leptons is missing elsewhere.
    for seen, true in zip(measured, leptons, strict=True):
        missing = missing - (seen - true)[1:3]
    ones = np.ones_like(final.charge)
    charges = [
        charge * np.where(rng.random(len(ones)) < _WRONG_CHARGE, -1, 1)
        for charge in (-ones, ones, final.charge)
    ]
    return _Seen(measured, charges, missing, n_jets)


def _radiate(
    mass: FloatArray, rng: np.random.Generator
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Number of jets, the sum of their sizes, and the recoil (2, n) of the pair."""
    mean = np.maximum(0.5 + 0.3 * np.log(mass / 250), 0.1)
    n_jets = np.minimum(rng.poisson(mean), _MAX_JETS)
    shape = (_MAX_JETS, len(mass))
    # Not harder than the pair: the power law ends at its mass.
    end = (mass / _JET_THRESHOLD) ** -_JET_POWER
    left = 1 - rng.random(shape) * (1 - end)
    present = np.arange(_MAX_JETS)[:, None] < n_jets
    size = np.where(present, _JET_THRESHOLD * left ** (-1 / _JET_POWER), 0)
    angle = rng.uniform(0, 2 * np.pi, shape)
    recoil = -np.stack([(size * f(angle)).sum(axis=0) for f in (np.cos, np.sin)])
    recoil += _SOFT_RECOIL * rng.standard_normal(recoil.shape)
    return n_jets, size.sum(axis=0), recoil


def _recoil(
    momenta: list[FloatArray], total: FloatArray, recoil: FloatArray
) -> list[FloatArray]:
    """Boost transversally, so that the pair gets the recoil and keeps its rapidity."""
    mass = np.sqrt(square(total))
    rapidity = np.arctanh(total[3] / total[0])
    kick = np.sqrt(mass**2 + (recoil**2).sum(axis=0))
    cosh, sinh = np.cosh(rapidity), np.sinh(rapidity)
    out = []
    for energy, x, y, z in momenta:
        rest, along = cosh * energy - sinh * z, cosh * z - sinh * energy
        projection = recoil[0] * x + recoil[1] * y
        shift = (rest + projection / (kick + mass)) / mass
        boosted = (kick * rest + projection) / mass
        vector = [x + recoil[0] * shift, y + recoil[1] * shift]
        out.append(
            np.stack(
                [cosh * boosted + sinh * along, *vector, cosh * along + sinh * boosted]
            )
        )
    return out


def _measure(momentum: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Momentum with its size smeared."""
    pt = np.hypot(momentum[1], momentum[2])
    resolution = np.hypot(_RESOLUTION, _RESOLUTION_SLOPE * pt)
    factor = 1 + resolution * rng.standard_normal(len(pt))
    # Nothing is measured to have less than a fifth of what it has.
    return momentum * np.maximum(factor, 0.2)


def _assign(
    seen: _Seen, charge: FloatArray, same_flavour: NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Both leptons of the Z and that of the W."""
    minus, plus, from_w = seen.leptons
    opposite = np.where(charge > 0, minus, plus)
    same = np.where(charge > 0, plus, minus)
    right = abs(_mass(opposite, same) - M_Z)
    wrong = abs(_mass(opposite, from_w) - M_Z)
    swapped = same_flavour & (wrong < right)
    partner = np.where(swapped, from_w, same)
    return opposite, partner, np.where(swapped, same, from_w)


def _mass(one: FloatArray, other: FloatArray) -> FloatArray:
    return np.sqrt(np.maximum(square(one + other), 0))


def _features(
    seen: _Seen, one: FloatArray, other: FloatArray, lepton: FloatArray
) -> FloatArray:
    """Features in the order of ``RECO_NAMES``; angles are relative to the W lepton."""
    harder = np.hypot(*one[1:3]) >= np.hypot(*other[1:3])
    first, second = np.where(harder, one, other), np.where(harder, other, one)
    z, missing = first + second, seen.missing
    met, pt_w = np.hypot(*missing), np.hypot(*lepton[1:3])
    angle_w = np.arctan2(lepton[2], lepton[1])

    def relative(x: FloatArray, y: FloatArray) -> FloatArray:
        turned = np.arctan2(y, x) - angle_w
        return (turned + np.pi) % (2 * np.pi) - np.pi

    columns = []
    for momentum in (first, second):
        pt = np.hypot(momentum[1], momentum[2])
        eta = np.arcsinh(momentum[3] / pt)
        columns += [pt, eta, relative(momentum[1], momentum[2])]
    angle = relative(missing[0], missing[1])
    mt_w = np.sqrt(2 * pt_w * met * (1 - np.cos(angle)))
    sizes = columns[0] + columns[3] + pt_w + met
    vector = z[1:3] + lepton[1:3] + missing
    mt_wz = np.sqrt(np.maximum(sizes**2 - (vector**2).sum(axis=0), 0))
    columns += [pt_w, np.arcsinh(lepton[3] / pt_w), met, angle]
    columns += [sum(seen.charges), seen.n_jets.astype(float)]
    columns += [_mass(first, second), np.hypot(z[1], z[2]), mt_w, mt_wz]
    return np.column_stack(columns)
