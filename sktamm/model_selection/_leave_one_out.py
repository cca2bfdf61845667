"""Estimators without one simulation, and their pulls when it is the truth."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from sktamm._numerics import FloatArray, project_to_simplex
from sktamm._validation import encode, take_rows
from sktamm.exceptions import SktammWarning
from sktamm.model_selection._calibration_units import (
    CalibrationUnit,
    design_near,
    draw_datasets,
)
from sktamm.model_selection._recalibration import UNIT_LEVEL, one_sided_pulls
from sktamm.results import FractionResult

__all__ = ["fit_without", "leave_one_out_pulls", "quiet_infer"]


def fit_without(
    estimator: Any, fitted: Any, ids: NDArray[Any], events: dict[str, Any]
) -> Any:
    """The estimator without some simulations; trained only if it has no ``take``."""
    if hasattr(fitted, "take"):
        known = np.asarray(fitted.simulations_)
        return fitted.take(known[~np.isin(known, ids)])
    known, code = encode(events["simulation"], "simulation", None)
    rows = np.flatnonzero(~np.isin(known, ids)[code])
    part = {name: take_rows(values, rows) for name, values in events.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SktammWarning)
        return clone(estimator).fit(**part)


def quiet_infer(estimator: Any, X: Any, **keywords: Any) -> FractionResult:
    """Result without the warnings, which concern an auxiliary measurement."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SktammWarning)
        result: FractionResult = estimator.infer(X, **keywords)
    return result


def leave_one_out_pulls(
    without: Sequence[Any],
    units: Sequence[CalibrationUnit],
    result: FractionResult,
    seeds: Sequence[np.random.SeedSequence],
    *,
    n_draws: int,
    names: NDArray[Any] | None,
) -> FloatArray:
    """Pulls (n_datasets, n_units, n_draws): distances from the truth, in sides."""
    positive = int(np.flatnonzero(result.classes == result.pos_label)[0])
    fractions = project_to_simplex(np.nan_to_num(result.fractions, nan=0.5))
    design = design_near(fractions, result.n_effective, positive)
    truth = np.repeat(design.fractions[:, positive], n_draws)
    found = []
    for part, unit, seed in zip(without, units, seeds, strict=True):
        answer = quiet_infer(
            part,
            unit.X if names is None else pd.DataFrame(unit.X, columns=list(names)),
            dataset=draw_datasets(unit, design, n_draws, seed),
            sample_weight=unit.weight,
            levels=(UNIT_LEVEL,),
        )
        lower, upper = answer.interval[:, 0, 0], answer.interval[:, 1, 0]
        pulls = one_sided_pulls(truth, answer.kappa, lower, upper)
        found.append(pulls.reshape(-1, n_draws))
    return np.stack(found, axis=1)[design.kind]
