"""What the baselines share: densities that are given, bins, and Wald intervals."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sktamm._numerics import FloatArray
from sktamm.components import TemplateComponents
from sktamm.inference import Answer, normal_quantile
from sktamm.mixture import LinearForm
from sktamm.tamm import TAMMRegressor

__all__ = [
    "BinnedBaseline",
    "FixedMixture",
    "FractionBaseline",
    "NoPrior",
    "make_answer",
    "rules_of",
    "wald_intervals",
]

# Points of a parabola to five standard errors, for pictures.
_N_CURVE = 101


@dataclass(frozen=True, eq=False)
class FixedMixture:
    """A fitted mixture as results read it, the same at every ``theta``."""

    shares: FloatArray  # (n_datasets, n_classes)
    blends: tuple[FloatArray, ...]  # per class (n_datasets, n_components)
    log_density: FloatArray  # (n_datasets, n_classes, n_rows), over the reference

    def fractions(self, theta: Any) -> FloatArray:
        """Fractions of the classes."""
        return self.shares

    def weights(self, theta: Any) -> tuple[FloatArray, ...]:
        """Weights of the components."""
        return self.blends

    def class_log_density(self, theta: Any) -> FloatArray:
        """Log densities of the classes."""
        return self.log_density


@dataclass(frozen=True)
class NoPrior:
    """Nothing but the data decides the fractions."""


def rules_of(estimator: Any, *names: str) -> dict[str, list[Any]]:
    """Constraints of parameters that are handed on to an estimator."""
    return {name: estimator._parameter_constraints[name] for name in names}


class FractionBaseline(TAMMRegressor):
    """Estimator whose densities are given: children say in ``solve`` how they fit."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = rules_of(
        TAMMRegressor, "pos_label", "level"
    )

    # No arguments of a baseline unless it says so: nothing adapts or is random.
    paired: Any = False
    random_state: Any = None
    bounded: bool = False
    n_jobs: int | None = None

    def _make_choices(self, components: Any = None) -> tuple[Any, Any, Any]:
        return LinearForm(), NoPrior(), self._make_inference()

    def _make_inference(self) -> Any:
        """Object with the attribute ``interval``; its class names the inference."""
        raise NotImplementedError


class BinnedBaseline(FractionBaseline):
    """Baseline of the histograms of all simulations: children fit their contents."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **FractionBaseline._parameter_constraints,
        **rules_of(TemplateComponents, "bins", "strategy", "range", "flow"),
    }

    bins: Any
    strategy: Any
    range: Any
    flow: Any

    def _make_components(self) -> TemplateComponents:
        return TemplateComponents(
            bins=self.bins,
            strategy=self.strategy,
            range=self.range,
            flow=self.flow,
            basis="principal",
            smooth=False,
        )


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
    diagnostics: dict[str, NDArray[Any]],
    curve: tuple[FloatArray, FloatArray] | None = None,
) -> Answer:
    """Answer of a baseline; ``curve`` two of (n_datasets, n_points) or a parabola."""
    near = np.minimum(kappa, 1.0 - kappa) < std
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
