"""EM under label shift: a classifier is trusted, only the class fractions differ.

With the ratios r_c(x) = p(c | x) / pi_c of a classifier's posteriors to the class
shares pi it was trained with, the fractions of a target are the fixed point of

    f_c  <-  1/n  sum_i  f_c r_c(x_i) / sum_d f_d r_d(x_i)

(Saerens, Latinne and Decaestecker, Neural Computation 14 (2002) 21), reached by pairs
of steps (SQUAREM, Varadhan and Roland, 2008).
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray

from sktamm._numerics import FloatArray, one_blas_thread
from sktamm._sklearn import at_least, one_of
from sktamm.base import ComponentTable
from sktamm.baselines._base import (
    FixedMixture,
    FractionBaseline,
    make_answer,
    rules_of,
    wald_intervals,
)
from sktamm.baselines._em import fit_fractions, information, profile_likelihood
from sktamm.components import RatioComponents
from sktamm.events import read_sources
from sktamm.exceptions import InvalidInputError
from sktamm.inference import Answer, normal_quantile, ratio_intervals
from sktamm.ratios import DensityRatio
from sktamm.tamm import TAMMRegressor, seed_sequence

__all__ = ["LabelShiftEM"]

# Points of the curve, and how many standard errors it reaches on either side. Rule of
# thumb: 16 points per error, between which the curve is interpolated.
_N_CURVE, _REACH = 201, 6.0
_ROUNDING = 1e-6  # of ranks: 0.05 * 40 is 2
# No fraction is zero at the start of a replica, or EM could not leave it.
_LEAST_START = 1e-6


class LabelShiftEM(FractionBaseline):
    """Fraction by EM under label shift, from a classifier on pooled simulations.

    The SLD method (also called EMQ) of the quantification literature. The classifier
    is asked for calibrated ratios on events that it has not seen.

    Parameters
    ----------
    classifier : {"mlp", "lightgbm", "logistic"} or classifier, default="lightgbm"
        What separates the classes: a name or any scikit-learn classifier or Pipeline
        with ``predict_proba``.
    calibration : {"moments", "temperature", "isotonic"} or None, default="isotonic"
        Calibration of the ratios on held-out events; see `DensityRatio`.
    holdout : float, default=0.25
        Largest share of the events of a class that is kept for the calibration.
    interval : {"likelihood", "wald", "bootstrap"}, default="likelihood"
        Where the profile likelihood has fallen by z^2 / 2, kappa +- z standard errors
        from its curvature, or quantiles of resampled targets; these fail within a
        standard error of 0 and 1, where they are replaced by those of the likelihood.
    n_bootstrap : int, default=200
        Number of resampled targets.
    max_iter : int, default=1000
        Largest number of accelerated steps.
    pos_label : label, default=None
        The class whose fraction is kappa; None is the last of the sorted classes.
    level : float, default=0.683
        Level of the interval that ``score`` judges.
    n_jobs : int, default=None
        Threads that share the datasets; the numbers do not depend on it.
    random_state : int, RandomState instance or None, default=None
        Seed of training and resampling.

    See Also
    --------
    sktamm.TAMMRegressor : Documents attributes and methods.

    Notes
    -----
    Intervals know the statistics of the target, not those of the training, and nothing
    of wrong simulations: this is the method as it is used. Negative weights are refused
    in a target, where EM would share out negative events.

    References
    ----------
    Saerens, Latinne and Decaestecker, Neural Computation 14 (2002) 21.

    Examples
    --------
    >>> from sktamm.baselines import LabelShiftEM
    >>> from sktamm.datasets import make_gaussian_study
    >>> study = make_gaussian_study(n_simulations=4, n_events=1000, random_state=0)
    >>> em = LabelShiftEM("logistic", random_state=0).fit(study.X, study.y)
    >>> em.predict(study.X_target).shape
    (1,)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **FractionBaseline._parameter_constraints,
        **rules_of(DensityRatio, "classifier", "calibration", "holdout"),
        **rules_of(TAMMRegressor, "n_jobs", "random_state"),
        "interval": [one_of("likelihood", "wald", "bootstrap")],
        "n_bootstrap": [at_least(1)],
        "max_iter": [at_least(1)],
    }

    def __init__(
        self,
        classifier: Any = "lightgbm",
        *,
        calibration: Any = "isotonic",
        holdout: float = 0.25,
        interval: Literal["bootstrap", "likelihood", "wald"] = "likelihood",
        n_bootstrap: int = 200,
        max_iter: int = 1000,
        pos_label: Any = None,
        level: float = 0.683,
        n_jobs: int | None = None,
        random_state: Any = None,
    ):
        self.classifier = classifier
        self.calibration = calibration
        self.holdout = holdout
        self.interval = interval
        self.n_bootstrap = n_bootstrap
        self.max_iter = max_iter
        self.pos_label = pos_label
        self.level = level
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        *,
        simulation: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train the classifier on all events; ``simulation`` is checked, not used."""
        read_sources(y, simulation=simulation, paired=False)
        return super().fit(X, y, sample_weight=sample_weight)

    def _make_inference(self) -> "ExpectationMaximisation":
        return ExpectationMaximisation(self.interval, self.n_bootstrap, self.max_iter)

    def _make_components(self) -> RatioComponents:
        return RatioComponents(
            DensityRatio(
                self.classifier,
                n_members=1,
                calibration=self.calibration,
                holdout=self.holdout,
            ),
            basis="principal",
            propagate=False,
            projection=None,
            random_state=self.random_state,
        )

    def _warn_single(self, source_class: NDArray[Any]) -> None:
        """Say nothing: pooling is what was asked for."""

    def solve(self, table: ComponentTable, levels: FloatArray) -> tuple[Any, Answer]:
        """Fractions of a table by this method, ``levels`` (n_levels,)."""
        seeds = seed_sequence(self.random_state).spawn(table.n_datasets)
        with one_blas_thread():
            parts = Parallel(n_jobs=self.n_jobs, prefer="threads")(
                delayed(self.inference_.infer)(table, d, levels, seed)
                for d, seed in enumerate(seeds)
            )
        fractions, std, interval, grid, curve, converged, n_iterations = (
            np.array(values) for values in zip(*parts, strict=True)
        )
        diagnostics = {
            "converged": converged,
            "singular": np.isnan(std),
            "n_iterations": n_iterations,
            "out_of_range": table.out_of_range,
        }
        kappa = fractions[:, table.positive]
        answer = make_answer(kappa, std, interval, diagnostics, (grid, curve))
        density = table.log_ratio.T
        mixture = FixedMixture(
            fractions,
            (np.ones((table.n_datasets, 1)),) * table.n_classes,
            np.broadcast_to(density, (table.n_datasets, *density.shape)),
        )
        return mixture, answer


@dataclass(frozen=True)
class ExpectationMaximisation:
    """Fractions of one dataset after the other; fields as in `LabelShiftEM`."""

    interval: str
    n_bootstrap: int
    max_iter: int

    def infer(
        self,
        table: ComponentTable,
        dataset: int,
        levels: FloatArray,
        seed: np.random.SeedSequence,
    ) -> tuple[Any, ...]:
        """Estimate, error, intervals and likelihood of one dataset."""
        part, _ = table.select(slice(dataset, dataset + 1))
        weight, variance = part.row_weight[0], part.row_variance[0]
        _check_weight(weight)
        top = part.log_ratio.max(axis=1, keepdims=True)
        ratio = np.exp(part.log_ratio - top)
        start = np.full((1, table.n_classes), 1.0 / table.n_classes)
        fit = fit_fractions(ratio, weight[None], start, max_iter=self.max_iter)
        found, positive = fit.fractions[0], table.positive
        kappa = found[positive : positive + 1]
        plain, full = information(ratio, weight, variance, found, positive)
        std = np.sqrt([full])
        grid = _grid(kappa[0], std[0], levels)
        curve = profile_likelihood(ratio, weight, found, grid, positive)
        # Weighted events count as many as they are worth.
        scale = plain / full if np.isfinite(full) else 1.0
        curve = (curve - max(curve.max(), fit.value[0])) * scale
        # At a bound most replicas end there: no spread (Andrews, Econometrica 2000).
        near = min(kappa[0], 1.0 - kappa[0]) < std[0]
        if self.interval == "bootstrap" and not near:
            draws = self._resample(ratio, weight, variance, found, seed)[:, positive]
            std = draws.std(ddof=1, keepdims=True)
            interval = bootstrap_interval(draws, levels)
        elif self.interval == "wald" or np.isnan(full):
            interval = wald_intervals(kappa, std, levels)[0]
        else:
            drops = 0.5 * normal_quantile(levels)[None] ** 2
            interval = ratio_intervals(grid[None], curve[None], drops, kappa)[0]
        return found, std[0], interval, grid, curve, fit.converged[0], fit.n_iterations

    def _resample(
        self,
        ratio: FloatArray,
        weight: FloatArray,
        variance: FloatArray,
        found: FloatArray,
        seed: np.random.SeedSequence,
    ) -> FloatArray:
        """Fractions of targets drawn from the target with replacement."""
        rng = np.random.default_rng(seed)
        known = weight > 0
        ratio, weight, variance = ratio[known], weight[known], variance[known]
        number = weight**2 / variance
        total = round(number.sum())
        counts = rng.multinomial(total, number / number.sum(), size=self.n_bootstrap)
        start = np.tile(np.maximum(found, _LEAST_START), (self.n_bootstrap, 1))
        drawn = counts * (variance / weight)
        return fit_fractions(ratio, drawn, start, max_iter=self.max_iter).fractions


def bootstrap_interval(draws: FloatArray, levels: FloatArray) -> FloatArray:
    """Percentile interval (2, n_levels) with the (B + 1) rule for few replicas."""
    rank = 0.5 * (1.0 - levels) * (draws.size + 1)
    if rank.min() < 1.0 - _ROUNDING:
        needed = int(np.ceil(2.0 / (1.0 - levels.max()) - _ROUNDING)) - 1
        raise InvalidInputError(
            f"n_bootstrap must be at least {needed} for an interval of level "
            f"{levels.max():g}, got {draws.size}."
        )
    position = np.arange(1, draws.size + 1)
    ordered = np.sort(draws)
    ends = [rank, draws.size + 1 - rank]
    return np.array([np.interp(end, position, ordered) for end in ends])


def _grid(kappa: float, std: float, levels: FloatArray) -> FloatArray:
    """Values of kappa that hold every interval; all of them where the error is lost."""
    reach = max(_REACH, 2.0 * float(normal_quantile(levels).max()))
    width = std * reach if np.isfinite(std) else 1.0
    low, high = max(kappa - width, 0.0), min(kappa + width, 1.0)
    below = np.linspace(low, kappa, _N_CURVE // 2, endpoint=False)
    return np.append(below, np.linspace(kappa, high, _N_CURVE - _N_CURVE // 2))


def _check_weight(weight: FloatArray) -> None:
    if weight.min() < 0:
        raise InvalidInputError(
            "sample_weight must not be negative for LabelShiftEM, which shares out "
            f"every event among the classes, got {weight.min():g}."
        )
