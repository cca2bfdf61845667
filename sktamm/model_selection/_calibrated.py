"""Intervals recalibrated by the simulations themselves.

Every simulation j plays the truth once for the estimator with the others, and the pulls

    pull_j = (kappa_-j - kappa_true) / side of the interval

tell by how much intervals are to be scaled for a truth that is one more of their kind.
"""

from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from sktamm._numerics import FloatArray
from sktamm._sklearn import at_least, check_parameters, not_negative, one_of
from sktamm._validation import encode, scalars
from sktamm.events import read_simulations
from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError
from sktamm.model_selection._calibration_units import CalibrationUnit, find_units
from sktamm.model_selection._leave_one_out import (
    fit_without,
    leave_one_out_pulls,
    quiet_infer,
)
from sktamm.model_selection._recalibration import (
    UNIT_LEVEL,
    find_scaling,
    jackknife_intervals,
    largest_level,
    rescaled,
    sides,
)
from sktamm.results import FractionResult
from sktamm.tamm import FractionWrapper, seed_sequence
from sktamm.templates import is_histogram

__all__ = ["CalibratedTAMM"]


class CalibratedTAMM(FractionWrapper):
    """Estimator of the signal fraction with intervals calibrated on its simulations.

    Estimators with ``take``, those of density ratios, are trained once; others K + 1
    times. `AutoTAMM` is trained once too, but judges its candidates anew without each
    simulation. Every measurement is followed by K more, of pseudo-datasets.

    Parameters
    ----------
    estimator : estimator
        Estimator with ``infer`` to calibrate, such as `BinnedTopicTAMM`. A
        `sklearn.frozen.FrozenEstimator` with ``take`` is not trained again; the events
        given to ``fit`` are then those that calibrate: of its simulations, but unseen
        by its training.
    method : {"robust", "rms", "jackknife+"}, default="robust"
        "robust" and "rms" scale intervals by the size of the pulls, shrunk towards 1,
        and take the Student tail that K pulls allow: any level, parametric. "robust"
        bounds the influence of a simulation unlike all others, "rms" is the root mean
        square. "jackknife+" takes order statistics: no parametric form, levels up to
        K/(K + 1), wide for few simulations; see Notes.
    tail : {"normal", "student"} or None, default=None
        Shape of the tail. None is "student" for scaling; for "jackknife+" it refuses
        levels above K/(K + 1), which the others reach from the largest pull.
    strength : float, default=2.0
        Number of simulations that stand for what is known before, a scale of 1.
    n_datasets : int, default=1
        Pseudo-datasets of every simulation and target. They share its shape and are
        averaged: however many, a simulation is one calibration unit.
    random_state : int, RandomState instance or None, default=0
        Seed of pseudo-datasets and of matching simulations that have no common id.

    Attributes
    ----------
    estimator_ : estimator
        The estimator with all simulations.
    without_ : tuple of estimator
        The estimator without each calibration unit.
    units_ : tuple of CalibrationUnit
        Events of the simulations that play the truth.
    classes_, pos_label_, simulations_, paired_, n_features_in_, feature_names_in_
        Those of ``estimator_``.

    Notes
    -----
    Were the truth exchangeable with the simulations, and the pseudo-datasets of its
    size and fraction, the interval of "jackknife+" would cover with a probability of at
    least 1 - 2 alpha at level 1 - alpha, whatever the estimator; in practice it covers
    about 1 - alpha (Barber et al., 2021). Pseudo-datasets have the fraction that was
    estimated, not the true one, and are smaller than the target where simulations have
    too few events, so that this holds approximately. Scaling has no such guarantee. A
    truth unlike every simulation is beyond any calibration on simulations.

    Results carry the diagnostics "interval_scale", "mean_pull" and
    "calibration_units", the number of simulations with a pull: those whose fits failed
    have none, which order statistics take as infinite and scaling leaves out. Draws and
    profile remain those of the inner estimator.

    References
    ----------
    Barber, Candes, Ramdas, Tibshirani, Annals of Statistics 49 (2021) 486.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.model_selection import CalibratedTAMM
    >>> study = make_gaussian_study(n_simulations=4, n_events=5000, random_state=5)
    >>> tamm = CalibratedTAMM(BinnedTopicTAMM(random_state=0))
    >>> tamm = tamm.fit(study.X, study.y, simulation=study.simulation)
    >>> result = tamm.infer(study.X_target)
    >>> bool(0.5 < result.diagnostics["interval_scale"][0] < 2.0)
    True
    """

    _copied = (*FractionWrapper._copied, "paired_", "simulations_")
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimator": [object],  # `_check` says more
        "method": [one_of("robust", "rms", "jackknife+")],
        "tail": [one_of("normal", "student"), None],
        "strength": [not_negative()],
        "n_datasets": [at_least(1)],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any,
        method: Literal["robust", "rms", "jackknife+"] = "robust",
        *,
        tail: Literal["normal", "student"] | None = None,
        strength: float = 2.0,
        n_datasets: int = 1,
        random_state: Any = 0,
    ):
        self.estimator = estimator
        self.method = method
        self.tail = tail
        self.strength = strength
        self.n_datasets = n_datasets
        self.random_state = random_state

    # ------------------------------------------------------------------------- fit
    def _fit(self, events: dict[str, Any]) -> None:
        self._check()
        if is_histogram(events["X"]):
            raise InvalidInputError(
                "X must hold events for CalibratedTAMM, from which pseudo-datasets are "
                "drawn, got histograms."
            )
        matching, draws = seed_sequence(self.random_state).spawn(2)
        self.units_ = self._find_units(events, matching)
        self.estimator_ = clone(self.estimator).fit(**events)
        if isinstance(self.estimator, FrozenEstimator):
            self._check_known(events["y"])
        elif hasattr(self.estimator_, "held_out"):
            self.units_ = self._find_units(self.estimator_.held_out(), matching)
        # As numbers, which are saved with the model; a SeedSequence cannot be.
        self._seeds_ = tuple(
            (seed.entropy, seed.spawn_key) for seed in draws.spawn(len(self.units_))
        )
        self._copy_attributes()
        self.without_ = tuple(
            fit_without(self.estimator, self.estimator_, unit.ids, events)
            for unit in self.units_
        )

    def _find_units(
        self, events: dict[str, Any], matching: np.random.SeedSequence
    ) -> tuple[CalibrationUnit, ...]:
        read = read_simulations(
            **events,
            pos_label=getattr(self.estimator, "pos_label", None),
            paired=getattr(self.estimator, "paired", "auto"),
        )
        return find_units(read, np.random.default_rng(matching))

    def _check_known(self, y: ArrayLike) -> None:
        """Refuse what a frozen estimator has not seen: nothing would be left out."""
        ids = np.concatenate([unit.ids for unit in self.units_])
        for name, given, known in (
            ("y", encode(y, "y", None)[0], self.estimator_.classes_),
            ("simulation", ids, self.estimator_.simulations_),
        ):
            seen = set(scalars(known))
            new = sorted(label for label in scalars(given) if label not in seen)
            if new:
                raise InvalidInputError(
                    f"{name} must hold what the frozen estimator was fitted with, "
                    f"{known.tolist()}, got {new[0]!r}."
                )

    def _check(self) -> None:
        if not (hasattr(self.estimator, "infer") and hasattr(self.estimator, "fit")):
            raise IncompatibleChoiceError(
                "estimator must have the methods 'fit' and 'infer', got "
                f"{type(self.estimator).__name__}; transformers belong before "
                "CalibratedTAMM in a Pipeline."
            )
        frozen = isinstance(self.estimator, FrozenEstimator)
        if frozen and not hasattr(self.estimator, "take"):
            raise IncompatibleChoiceError(
                "estimator must have the method 'take' when it is frozen, to leave "
                "simulations out without training."
            )
        check_parameters(self)

    # ------------------------------------------------------------------------ asking
    def _infer(self, X: Any, levels: Any, question: dict[str, Any]) -> FractionResult:
        check_parameters(self)
        return self._calibrate(*self._measure(X, self._choose_levels(levels), question))

    def _choose_levels(self, levels: Any) -> FloatArray:
        """Levels that are supported; only those that were asked for are refused."""
        free = self.method != "jackknife+" or self.tail is not None
        largest = 1.0 if free else largest_level(len(self.units_))
        chosen = self._chosen(levels)
        if levels is None and chosen[0] <= largest:
            return chosen[chosen <= largest]
        if chosen.max() > largest + 1e-9:
            raise InvalidInputError(
                f"levels must not exceed K/(K + 1) = {largest:.3f} for order "
                f"statistics of K = {len(self.units_)} simulations, got "
                f"{chosen.max():g}; tail='normal' or 'student' reaches further."
            )
        return chosen

    def _measure(
        self, X: Any, levels: FloatArray, question: dict[str, Any]
    ) -> tuple[FractionResult, FloatArray, list[FractionResult]]:
        """Result, its first level ``UNIT_LEVEL``, pulls, results without units."""
        result = self.estimator_.infer(X, levels=(UNIT_LEVEL, *levels), **question)
        pulls = leave_one_out_pulls(
            self.without_,
            self.units_,
            result,
            [np.random.SeedSequence(e, spawn_key=key) for e, key in self._seeds_],
            n_draws=int(self.n_datasets),
            names=getattr(self, "feature_names_in_", None),
        )
        if self.method != "jackknife+":
            return result, pulls, []
        unit = (UNIT_LEVEL,)
        others = [quiet_infer(e, X, levels=unit, **question) for e in self.without_]
        return result, pulls, others

    def _calibrate(
        self, result: FractionResult, pulls: FloatArray, others: list[FractionResult]
    ) -> FractionResult:
        """Result with calibrated errors."""
        strength = float(self.strength)
        scaling = find_scaling(pulls, strength, robust=self.method != "rms")
        levels, interval = result.levels[1:], result.interval[..., 1:]
        if self.method != "jackknife+":
            tail = self.tail or "student"
            ends = rescaled(result.kappa, interval, levels, scaling, tail)
        else:
            kappa = np.stack([r.kappa for r in others], axis=1)
            known = np.stack([r.interval[..., 0] for r in others], axis=1)
            both = sides(kappa, known[..., 0], known[..., 1])
            ends = jackknife_intervals(
                result.kappa, kappa, both, levels, scaling, self.tail
            )
        told = {
            "interval_scale": scaling.scale,
            "mean_pull": scaling.mean_pull,
            "calibration_units": scaling.n_units,
        }
        return replace(
            result,
            std=result.std * scaling.scale,
            levels=levels,
            interval=_within_unit(ends, interval),
            diagnostics={**result.diagnostics, **told},
            method={**result.method, "calibration": self.method},
        )


def _within_unit(ends: FloatArray, before: FloatArray) -> FloatArray:
    """Ends that leave [0, 1] only as far as the inner estimator's of that level do."""
    low, high = np.minimum(before[:, :1], 0.0), np.maximum(before[:, 1:], 1.0)
    return np.asarray(np.clip(ends, low, high))
