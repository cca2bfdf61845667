"""All templates free: a template fit with every simulation a component.

The content of bin i is Poisson with mean sum_k y_k t_ki, one yield y_k >= 0 for each
template t_k of every class, one nuisance parameter per bin for their statistics, and

    kappa = sum_{k signal} y_k / sum_k y_k

ends where the profile likelihood has fallen by z^2 / 2 or at 0 or 1.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy import optimize, stats

from sktamm._numerics import FloatArray
from sktamm._sklearn import one_of
from sktamm.base import ComponentTable
from sktamm.baselines._base import BinnedBaseline, FixedMixture, make_answer, rules_of
from sktamm.baselines._free_profile import FreeProfile, free_profile
from sktamm.baselines._free_yields import FreeYields
from sktamm.inference import Answer, normal_quantile, ratio_intervals
from sktamm.tamm import TAMMRegressor

__all__ = ["FreeTemplates"]

# Rule of thumb: half of the digits are lost, and many yields fit alike.
_LARGEST_CONDITION = 1e8


class FreeTemplates(BinnedBaseline):
    """Fraction from a fit with the yields of all templates free.

    Each simulation of each class is a component of free, non-negative yield; the
    likelihood is that of ``iminuit.cost.Template``.

    Parameters
    ----------
    bins : "auto", int, sequence of int or sequence of arrays, default="auto"
        Bins of every feature, or the edges. "auto" takes as many as the simulated
        events can fill, at most ten per feature, or twenty of one.
    strategy : {"auto", "uniform", "quantile"}, default="auto"
        Bins of equal width or equal content; "auto" takes the latter for features so
        skewed that one bin of equal width would hold more than a quarter of the events.
    range : sequence of pairs or None, default=None
        Lower and upper end of every feature; None takes them from the simulations.
    flow : {"clip", "bins", "drop", "refuse"}, default="clip"
        What happens to events beyond the edges.
    method : {"da", "jsc"}, default="da"
        Treatment of the templates' statistics: Dembinski and Abdelmotteleb, or Conway.
    pos_label : label, default=None
        The class whose fraction is kappa; None is the last of the sorted classes.
    level : float, default=0.683
        Level of the interval that ``score`` judges.
    n_jobs : int, default=None
        Processes that share the datasets; the numbers do not depend on it.

    See Also
    --------
    sktamm.TAMMRegressor : Documents attributes and methods.

    Notes
    -----
    Yields are not negative, so estimate and intervals lie in [0, 1]. The standard error
    is half the length of the likelihood interval of one standard deviation, or, where
    that ends at 0 or 1, the distance to its other end. A dataset is flagged "singular"
    when the templates are not independent (their number exceeds that of the bins, or
    their matrix has a condition above 1e8), and "not_converged" when the descent of
    the yields ended in no minimum, or the profile found a deeper one.
    ``goodness_of_fit`` takes bins minus templates for the degrees of freedom; yields at
    zero make it conservative.

    References
    ----------
    Dembinski and Abdelmotteleb, arXiv:2206.12346.

    Examples
    --------
    >>> from sktamm.baselines import FreeTemplates
    >>> from sktamm.datasets import make_gaussian_study
    >>> study = make_gaussian_study(n_simulations=2, n_events=5000, random_state=0)
    >>> fit = FreeTemplates(bins=6).fit(study.X, study.y, simulation=study.simulation)
    >>> fit.predict(study.X_target).shape
    (1,)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BinnedBaseline._parameter_constraints,
        "method": [one_of("da", "jsc")],
        **rules_of(TAMMRegressor, "n_jobs"),
    }

    def __init__(
        self,
        bins: Any = "auto",
        *,
        strategy: Any = "auto",
        range: Any = None,
        flow: Any = "clip",
        method: Literal["da", "jsc"] = "da",
        pos_label: Any = None,
        level: float = 0.683,
        n_jobs: int | None = None,
    ):
        self.bins = bins
        self.strategy = strategy
        self.range = range
        self.flow = flow
        self.method = method
        self.pos_label = pos_label
        self.level = level
        self.n_jobs = n_jobs

    def _make_inference(self) -> "FreeFit":
        return FreeFit(self.method)

    def solve(self, table: ComponentTable, levels: FloatArray) -> tuple[Any, Answer]:
        """Fractions of a table by this method, ``levels`` (n_levels,)."""
        templates = self.components_.templates_
        contents = np.stack(
            [np.maximum(templates.sum_of_weights, 0.0), templates.sum_of_squares], -1
        )
        signal = templates.source_class == templates.positive
        drop = float(normal_quantile(levels).max() ** 2)
        fits = Parallel(n_jobs=self.n_jobs)(
            delayed(self.inference_.fit)(data, contents, signal, drop)
            for data in np.stack([table.row_weight, table.row_variance], -1)
        )
        curves, found = zip(*fits, strict=True)
        yields = np.array([curve.yields for curve in curves])
        kappa = yields[:, signal].sum(axis=1) / yields.sum(axis=1)
        grid = np.array([curve.kappa for curve in curves])
        fall = np.array([curve.log_likelihood for curve in curves])
        drops = np.tile(0.5 * normal_quantile(levels) ** 2, (kappa.size, 1))
        answer = make_answer(
            kappa,
            _standard_error(kappa, grid, fall),
            ratio_intervals(grid, fall, drops, kappa),
            _diagnostics(np.array(found), contents[:, :, 0]),
            (grid, fall),
        )
        return _mixture(table, yields, contents[:, :, 0]), answer


@dataclass(frozen=True)
class FreeFit:
    """Template fits with every yield free."""

    method: str  # treatment of the templates' statistics
    interval: str = "likelihood"  # for results

    def fit(
        self,
        data: FloatArray,
        templates: FloatArray,
        signal: NDArray[np.bool_],
        drop: float,
    ) -> tuple[FreeProfile, tuple[float, ...]]:
        """Yields of all templates in one dataset and the profile of their fraction.

        ``data`` (n_bins, 2), ``templates`` (n_templates, n_bins, 2).
        """
        model = FreeYields.from_contents(data, templates, signal, self.method)
        curve = free_profile(model, _start(data[:, 0], templates[:, :, 0]), drop)
        degrees = (templates[:, :, 0].sum(axis=0) > 0).sum() - len(templates)
        return curve, (curve.converged, curve.n_steps, curve.value, degrees)


def _standard_error(
    kappa: FloatArray, grid: FloatArray, fall: FloatArray
) -> FloatArray:
    """Half an interval of one standard deviation, or its part that no bound ends."""
    low, high = ratio_intervals(grid, fall, np.full((kappa.size, 1), 0.5), kappa)[
        :, :, 0
    ].T
    below, above = kappa - low, high - kappa
    ended = np.stack([low <= 0.0, high >= 1.0])
    one_sided = np.where(ended[0], above, below)
    error = np.where(ended.any(axis=0), one_sided, 0.5 * (below + above))
    return np.where(ended.all(axis=0), np.maximum(below, above), error)


def _shapes(templates: FloatArray) -> FloatArray:
    return templates / templates.sum(axis=1, keepdims=True)


def _start(data: FloatArray, templates: FloatArray) -> FloatArray:
    """Non-negative least squares, half of it shared out so that no yield is zero."""
    shapes = _shapes(templates)
    width = np.sqrt(np.maximum(data, 1.0))
    best = optimize.nnls((shapes / width).T, data / width)[0]
    return 0.5 * best + 0.5 * data.sum() / len(templates)


def _diagnostics(found: FloatArray, templates: FloatArray) -> dict[str, NDArray[Any]]:
    converged, calls, chi2, degrees = found.T
    shapes = _shapes(templates)
    dependent = len(shapes) > shapes.shape[1] or (
        np.linalg.cond(shapes) > _LARGEST_CONDITION
    )
    p_value = stats.chi2.sf(chi2, np.maximum(degrees, 1))
    return {
        "converged": converged > 0,
        "singular": np.full(len(found), dependent),
        "n_iterations": calls.astype(np.intp),
        "goodness_of_fit": np.where(degrees > 0, p_value, np.nan),
    }


def _mixture(
    table: ComponentTable, yields: FloatArray, templates: FloatArray
) -> FixedMixture:
    """Fractions and blended shapes of the classes at the fitted yields."""
    shapes = _shapes(templates)
    shares, blends, densities = [], [], []
    for c in range(table.n_classes):
        own = yields[:, table.components_of(c)]
        content = own.sum(axis=1, keepdims=True)
        equal = np.full_like(own, 1.0 / own.shape[1])
        blend = np.divide(own, content, out=equal, where=content > 0)
        shares.append(content[:, 0] / yields.sum(axis=1))
        blends.append(blend)
        densities.append(blend @ shapes[table.components_of(c)])
    with np.errstate(divide="ignore"):
        log_density = np.log(np.stack(densities, axis=1) / table.reference_weight)
    return FixedMixture(np.stack(shares, axis=1), tuple(blends), log_density)
