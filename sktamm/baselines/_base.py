"""What the baselines share: class densities that are given, and Wald intervals.

A baseline is a `TAMMRegressor` whose form, prior and inference are replaced by those of
an established method: reading, checking and all public verbs stay the same.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sktamm._numerics import FloatArray
from sktamm.inference import Answer, normal_quantile
from sktamm.mixture import LinearForm
from sktamm.tamm import TAMMRegressor

__all__ = [
    "FixedMixture",
    "FractionBaseline",
    "NoPrior",
    "make_answer",
    "wald_intervals",
]

_N_CURVE = 101
_NEAR_BOUND = 1.0


@dataclass(frozen=True, eq=False)
class FixedMixture:
    """A fitted mixture as results read it, without parameters of its own.

    Attributes
    ----------
    shares : ndarray of shape (n_datasets, n_classes)
        Fractions of the classes.
    blends : tuple of ndarray of shape (n_datasets, n_components), per class
        Weights of the components.
    log_density : ndarray of shape (n_datasets, n_classes, n_rows)
        Log densities relative to the reference.
    """

    shares: FloatArray
    blends: tuple[FloatArray, ...]
    log_density: FloatArray

    def fractions(self, theta: Any) -> FloatArray:
        """Fractions of the classes, whatever ``theta``."""
        return self.shares

    def weights(self, theta: Any) -> tuple[FloatArray, ...]:
        """Weights of the components, whatever ``theta``."""
        return self.blends

    def class_log_density(self, theta: Any) -> FloatArray:
        """Log densities of the classes, whatever ``theta``."""
        return self.log_density


@dataclass(frozen=True)
class NoPrior:
    """Nothing but the data decides the fractions."""


class FractionBaseline(TAMMRegressor):
    """Estimator whose densities are given: children say in ``_run`` how they fit."""

    # No arguments of a baseline: nothing adapts, so pairs of simulations are not used.
    paired: Any = False
    random_state: Any = None
    bounded: bool = False

    def _make_choices(self, components: Any = None) -> tuple[Any, Any, Any]:
        return LinearForm(), NoPrior(), self._make_inference()

    def _make_inference(self) -> Any:
        """Object with the attribute ``interval``; its class names the inference."""
        raise NotImplementedError


def wald_intervals(
    kappa: FloatArray, std: FloatArray, levels: FloatArray, bounded: bool = False
) -> FloatArray:
    """Intervals kappa +- z std, of shape (n_datasets, 2, n_levels)."""
    reach = std[:, None] * normal_quantile(levels)
    interval = kappa[:, None, None] + np.stack([-reach, reach], axis=1)
    return np.clip(interval, 0.0, 1.0) if bounded else interval


def make_answer(
    kappa: FloatArray,
    std: FloatArray,
    interval: FloatArray,
    diagnostics: dict[str, NDArray],
    curve: tuple[FloatArray, FloatArray] | None = None,
) -> Answer:
    """Answer of a baseline, with the diagnostics that every result has.

    ``kappa, std`` (n_datasets,), ``interval`` (n_datasets, 2, n_levels),
    ``diagnostics`` (n_datasets,), ``curve`` (n_datasets, n_points). Returns what an
    inference gives.
    """
    near = np.minimum(kappa, 1.0 - kappa) < _NEAR_BOUND * std
    unknown = np.full(kappa.size, np.nan)
    if curve is None:
        pull = np.linspace(-5.0, 5.0, _N_CURVE)
        grid = kappa[:, None] + std[:, None] * pull
        curve = grid, np.tile(-0.5 * pull**2, (kappa.size, 1))
    return Answer(
        kappa=kappa,
        std=std,
        interval=interval,
        theta=kappa[:, None],
        curve_kappa=curve[0],
        curve_log_density=curve[1],
        diagnostics={
            "at_boundary": near,
            "goodness_of_fit": unknown,
            "prior_tension": unknown,
            **diagnostics,
        },
    )
