"""The di-Higgs study: hh -> 4b on four QCD jets, and simulations of a wrong jet scale.

Every simulation has its own jet-energy scale (a, b) around the nominal (2.5, 0.15).
After the physics study of arXiv:2604.02219.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from sktamm._numerics import FloatArray, IntArray
from sktamm.datasets._arguments import RandomState, as_generator, check_count
from sktamm.datasets.dihiggs._jets import (
    FULL_NAMES,
    MASS_NAMES,
    NOMINAL_SCALE,
    WINDOW,
    draw_selected,
)
from sktamm.datasets.dihiggs._partons import draw_background, draw_signal
from sktamm.exceptions import InvalidInputError

__all__ = ["DiHiggsStudy", "make_dihiggs"]


_NAMES = {"masses": MASS_NAMES, "full": FULL_NAMES}
# In the order of the labels 0 and 1.
_PROCESSES = (draw_background, draw_signal)


@dataclass(frozen=True, eq=False)
class DiHiggsStudy:
    """Labelled events of wrong simulations and a target of known signal fraction.

    Attributes
    ----------
    X, y, simulation, X_target, y_target, kappa : ndarray and float
        As those of `GaussianStudy`, of selected events of weight one, masses and
        momenta in GeV.
    window : ndarray of shape (2, 2)
        Lower and upper end of the masses of both pairs, the first two features.
    scales : ndarray of shape (n_simulations, 2, 2)
        Jet-energy scale (a, b) of every simulation and class, background first.
    target_scale : ndarray of shape (2, 2)
        Jet-energy scale (a, b) of the target's background and signal.
    feature_names : tuple of str
        Names of the features.
    """

    X: FloatArray
    y: IntArray
    simulation: IntArray
    X_target: FloatArray
    y_target: IntArray
    kappa: float
    window: FloatArray
    scales: FloatArray
    target_scale: FloatArray
    feature_names: tuple[str, ...] = MASS_NAMES


def make_dihiggs(
    n_simulations: int = 10,
    n_events: int = 20_000,
    kappa: float = 1 / 11,
    n_target: int = 55_000,
    *,
    features: Literal["masses", "full"] = "masses",
    shared_scale: bool = True,
    spread: ArrayLike = (0.5, 0.1),
    target_scale: ArrayLike | Literal["drawn"] | None = None,
    random_state: RandomState = None,
) -> DiHiggsStudy:
    """Generate the di-Higgs study, hh -> 4b on four QCD jets, with wrong jet scales.

    All numbers of events count selected ones: four jets of pT > 20 GeV, eta up to 2.5,
    paired to be nearest to two Higgs bosons, both masses from 110 to 140 GeV. A million
    events take about 5 seconds with as many of signal as of background.

    Parameters
    ----------
    n_simulations : int
        Simulations per class.
    n_events : int
        Events of every simulation of every class.
    kappa : float
        Signal fraction of the target, rounded to whole events.
    n_target : int
        Events of the target.
    features : {"masses", "full"}
        The masses ``m_bb1`` and ``m_bb2`` of the two pairs, that of larger transverse
        momentum first; or ten: also the transverse momenta of the pairs, ``m_4b``, the
        distance in (eta, phi) of the jets of either pair, the difference of the pairs'
        pseudorapidities, ``ht`` and the smallest pT of a jet.
    shared_scale : bool
        Whether signal and background of a simulation share the jet-energy scale.
    spread : array-like of shape (2,)
        Standard deviations of a, in sqrt(GeV), and b around the nominal (2.5, 0.15);
        the default moves the signal's peak by about 2 GeV.
    target_scale : array-like of shape (2,) or (2, 2), "drawn" or None
        (a, b) of the target, or a row each for background and signal; None is nominal,
        "drawn" one more draw like that of a simulation.
    random_state : int, Generator, RandomState or None
        Seed; a target does not depend on the simulations, nor they on their number,
        first events not on ``n_events``, masses not on ``features``.

    Returns
    -------
    study : DiHiggsStudy
        Events, labels and the scales behind them.

    Notes
    -----
    Signal is a pair of Higgs bosons with a toy spectrum of m_hh above 2 m_h (maximum at
    400 GeV), uniform cos theta*, isotropic decays and the rapidity that gluons give it.
    Background is two systems of two partons whose masses fall as m^-2 from 80 to 185
    GeV. No matrix element, shower or radiation is behind either. The resolution of a
    jet is 0.7 sqrt(GeV / pT) and 5 % in quadrature.

    References
    ----------
    Alvarez, Benevedes, Szewc, Thaler, "Many Wrongs Make a Right", arXiv:2604.02219.

    Examples
    --------
    >>> from sktamm.datasets import make_dihiggs
    >>> study = make_dihiggs(3, 100, 0.1, 500, random_state=0)
    >>> study.X.shape, study.X_target.shape, study.kappa
    ((600, 2), (500, 2), 0.1)
    """
    check_count("n_simulations", n_simulations, 1)
    check_count("n_events", n_events, 1)
    check_count("n_target", n_target, 1)
    n_signal = round(_read_fraction(kappa) * n_target)
    names = _feature_names(features)
    widths = _read_spread(spread)
    rng_scales, rng_events, rng_target = as_generator(random_state).spawn(3)
    rng_truth, rng_target = rng_target.spawn(2)
    scales = _draw_scales(n_simulations, widths, shared_scale, rng_scales)
    truth = (
        _draw_scales(1, widths, shared_scale, rng_truth)[0]
        if isinstance(target_scale, str) and target_scale == "drawn"
        else _read_scale(target_scale)
    )
    X, y, simulation = _simulate(scales, n_events, len(names) > 2, rng_events)
    counts = (n_target - n_signal, n_signal)
    X_target, y_target = _draw_target(truth, counts, len(names) > 2, rng_target)
    return DiHiggsStudy(
        X=X,
        y=y,
        simulation=simulation,
        X_target=X_target,
        y_target=y_target,
        kappa=n_signal / n_target,
        window=np.tile(WINDOW, (2, 1)),
        scales=scales,
        target_scale=truth,
        feature_names=names,
    )


def _read_fraction(kappa: float) -> float:
    value = _read_array(kappa)
    if value is None or value.shape != () or not 0 <= value <= 1:
        raise InvalidInputError(f"kappa must be a number from 0 to 1; got {kappa!r}.")
    return float(value)


def _feature_names(features: str) -> tuple[str, ...]:
    if not isinstance(features, str) or features not in _NAMES:
        raise InvalidInputError(
            f"features must be 'masses' or 'full'; got {features!r}."
        )
    return _NAMES[features]


def _read_spread(spread: ArrayLike) -> FloatArray:
    value = _read_array(spread)
    if value is None or value.shape != (2,) or (value < 0).any():
        raise InvalidInputError(
            "spread must hold two numbers of at least 0, the standard deviations of a "
            f"and b; got {spread!r}."
        )
    return value


def _read_scale(scale: ArrayLike | None) -> FloatArray:
    """(a, b) of background and signal (2, 2)."""
    value = _read_array(NOMINAL_SCALE if scale is None else scale)
    if value is None or value.shape not in ((2,), (2, 2)):
        raise InvalidInputError(
            "target_scale must be None, 'drawn', or finite numbers (a, b) for both "
            f"classes or each of them; got {scale!r}."
        )
    return np.broadcast_to(value, (2, 2)).copy()


def _read_array(value: ArrayLike) -> FloatArray | None:
    """The finite numbers of an argument, or None."""
    try:
        array = np.array(value, dtype=float)
    except (TypeError, ValueError):
        return None
    return array if np.isfinite(array).all() else None


def _draw_scales(
    n: int, spread: FloatArray, shared: bool, rng: np.random.Generator
) -> FloatArray:
    """(a, b) of n simulations and both classes, shape (n, 2, 2)."""
    scales = NOMINAL_SCALE + spread * rng.standard_normal((n, 2, 2))
    if shared:
        scales[:, 1] = scales[:, 0]
    return scales


def _simulate(
    scales: FloatArray, n_events: int, full: bool, rng: np.random.Generator
) -> tuple[FloatArray, IntArray, IntArray]:
    """Labelled events of all simulations, background before signal."""
    n = len(scales)
    samples = [
        draw_selected(process, n_events, tuple(scale), full, child)
        for label, (process, stream) in enumerate(
            zip(_PROCESSES, rng.spawn(2), strict=True)
        )
        for scale, child in zip(scales[:, label], stream.spawn(n), strict=True)
    ]
    y = np.repeat(np.arange(2), n * n_events)
    simulation = np.tile(np.repeat(np.arange(n), n_events), 2)
    return np.concatenate(samples), y, simulation


def _draw_target(
    scales: FloatArray, counts: tuple[int, int], full: bool, rng: np.random.Generator
) -> tuple[FloatArray, IntArray]:
    """Events of the target and their classes, in random order."""
    samples = [
        draw_selected(process, n, tuple(scale), full, child)
        for process, scale, n, child in zip(
            _PROCESSES, scales, counts, rng.spawn(2), strict=True
        )
    ]
    order = rng.permutation(sum(counts))
    return np.concatenate(samples)[order], np.repeat(np.arange(2), counts)[order]
