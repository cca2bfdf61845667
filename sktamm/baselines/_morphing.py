"""Template morphing: simulations at known settings become a family of templates.

Where every simulation k is known to be run at a setting theta_k, the templates of a
class at any theta are morphed from those of its simulations,

    t(theta) = sum_k w_k(theta) t_k,

and kappa is measured with the theta of each class profiled: the classical way to treat
an imperfect simulation, which knows what is wrong and by how much; TAMM learns it.
"polynomial" morphs contents of bins; "moment" first moves events to interpolated means
and widths (`sktamm.parametric.MomentMorphing`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

from sktamm._numerics import FloatArray
from sktamm.base import ComponentTable
from sktamm.baselines._base import (
    FixedMixture,
    FractionBaseline,
    make_answer,
    wald_intervals,
)
from sktamm.components import TemplateComponents
from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError
from sktamm.inference._base import Answer
from sktamm.parametric import MomentMorphing, MorphingBasis

__all__ = ["TemplateMorphing"]

_FLOOR = 1e-12
_N_GRID = 41
_MAX_STARTS = 5


class TemplateMorphing(FractionBaseline):
    """Fraction from templates that are morphed between simulations of known settings.

    Parameters
    ----------
    parameters : mapping, default=None
        Setting theta of every simulation id, a number or an array. None where there is
        one simulation per class: the classical template fit.
    method : {"polynomial", "moment"}, default="polynomial"
        Morph contents of bins, or move events first; the latter for one parameter.
    max_power : int, default=2
        Largest total power of theta in the weights.
    bins : int, sequence of int or sequence of arrays, default=10
        Bins of every feature, or the edges.
    strategy : {"uniform", "quantile"}, default="uniform"
        Bins of equal width or equal content.
    range : sequence of pairs or None, default=None
        Lower and upper end of every feature; None takes them from the simulations.
    flow : {"clip", "bins", "drop", "refuse"}, default="clip"
        What happens to events beyond the edges.
    pos_label : label, default=None
        The class whose fraction is kappa; None is the last of the sorted classes.
    level : float, default=0.683
        Level of the interval that ``score`` judges.
    bounded : bool, default=False
        Cut intervals at 0 and 1; the estimate never leaves them.

    See Also
    --------
    sktamm.TAMMRegressor : Documents attributes and methods.
    sktamm.parametric.MorphingBasis : The weights.

    Notes
    -----
    Settings are fitted within those of the simulations, separately for both classes.
    Intervals are kappa +- z standard errors from the second derivatives; parameters at
    an end of their range count as known. The finite statistics of the templates
    count in ``goodness_of_fit`` alone.

    Examples
    --------
    >>> import numpy as np
    >>> from sktamm.baselines import TemplateMorphing
    >>> rng = np.random.default_rng(0)
    >>> simulation, y = np.repeat([0, 1, 2], 4000), np.tile([0, 1], 6000)
    >>> X = rng.normal(3 * y + 0.2 * simulation)[:, None]
    >>> fit = TemplateMorphing({0: 0.0, 1: 1.0, 2: 2.0})
    >>> fit = fit.fit(X, y, simulation=simulation)
    >>> target = rng.normal(0.2 + 3 * (rng.random(5000) < 0.3))[:, None]
    >>> bool(abs(fit.predict(target)[0] - 0.3) < 0.05)
    True
    """

    def __init__(
        self,
        parameters: Mapping[Any, Any] | None = None,
        method: str = "polynomial",
        max_power: int = 2,
        *,
        bins: Any = 10,
        strategy: Any = "uniform",
        range: Any = None,
        flow: Any = "clip",
        pos_label: Any = None,
        level: float = 0.683,
        bounded: bool = False,
    ):
        self.parameters = parameters
        self.method = method
        self.max_power = max_power
        self.bins = bins
        self.strategy = strategy
        self.range = range
        self.flow = flow
        self.pos_label = pos_label
        self.level = level
        self.bounded = bounded

    # No argument: a fit takes milliseconds.
    n_jobs: int | None = None

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        *,
        simulation: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Morph between labelled events of the simulations.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features), or sequence of histograms
            Simulated events; histograms only for ``method="polynomial"``.
        y : array-like of shape (n_events,)
            Class label of each event or histogram; two classes.
        simulation : array-like of shape (n_events,), default=None
            Simulation id of each event or histogram, a key of ``parameters``.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, possibly negative.

        Returns
        -------
        self : TemplateMorphing
            Fitted estimator.

        Raises
        ------
        InvalidInputError
            If a setting is missing, or they do not determine the morphing.
        """
        super().fit(X, y, simulation=simulation, sample_weight=sample_weight)
        if self.classes_.size != 2:
            raise InvalidInputError(
                f"y must hold two classes for TemplateMorphing, got "
                f"{self.classes_.size}."
            )
        moving = self.method == "moment"
        self._families_ = []
        for c, label in enumerate(self.classes_):
            points, shapes, noise = self._class_templates(c)
            if moving and len(points) > 1:
                rows = np.asarray(y) == label
                own = None if sample_weight is None else np.asarray(sample_weight)[rows]
                ids = np.asarray(simulation)[rows]
                family = self._moved(np.asarray(X, dtype=float)[rows], ids, own)
            else:
                family = _polynomial_family(points, shapes, noise, self.max_power)
            self._families_.append(family)
        return self

    def _make_inference(self) -> "MorphingFit":
        if self.method not in ("polynomial", "moment"):
            raise IncompatibleChoiceError(
                f"method must be 'polynomial' or 'moment', got {self.method!r}."
            )
        return MorphingFit()

    def _make_components(self) -> TemplateComponents:
        return TemplateComponents(
            bins=self.bins,
            strategy=self.strategy,
            range=self.range,
            flow=self.flow,
            basis="principal",
            smooth=False,
        )

    def _class_templates(self, c: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Settings, templates and their variances of the simulations of a class."""
        templates = self.components_.templates_
        own = templates.source_class == c
        content = templates.sum_of_weights[own]
        total = content.sum(axis=1, keepdims=True)
        shapes, noise = content / total, templates.sum_of_squares[own] / total**2
        ids = templates.source_id[own].tolist()
        if len(ids) == 1 and self.parameters is None:
            return np.zeros((1, 1)), shapes, noise
        return self._settings(ids), shapes, noise

    def _settings(self, ids: Sequence[Any]) -> FloatArray:
        known = {} if self.parameters is None else self.parameters
        missing = [name for name in ids if name not in known]
        if missing:
            raise InvalidInputError(
                "parameters must hold the setting of every simulation, but not of "
                f"{missing[0]!r}."
            )
        points = [np.atleast_1d(np.asarray(known[name], dtype=float)) for name in ids]
        if len({point.shape for point in points}) > 1 or points[0].ndim > 1:
            raise InvalidInputError(
                "parameters must hold settings of one length, got "
                f"{[point.tolist() for point in points]}."
            )
        return np.array(points)

    def _moved(
        self, X: FloatArray, ids: NDArray, weight: FloatArray | None
    ) -> "TemplateFamily":
        """Templates of moved events on a grid of settings, linear in between."""
        names, code = np.unique(ids, return_inverse=True)
        points = self._settings(names.tolist())
        if points.shape[1] != 1:
            raise InvalidInputError(
                "parameters must be one number per simulation for moment morphing, got "
                f"{points.shape[1]}."
            )
        power = min(self.max_power, np.unique(points).size - 1)
        moments = MomentMorphing(power)
        moments.fit(X, points[code, 0], sample_weight=weight)
        grid = np.linspace(points.min(), points.max(), _N_GRID)
        size = self.components_.probability_.shape[1]
        filled = [self._fill(*moments.sample(t), size) for t in grid]
        templates, variances = np.array(filled).transpose(1, 0, 2)
        return TemplateFamily(grid[:, None], templates, variances, None)

    def _fill(
        self, X: FloatArray, weight: FloatArray, size: int
    ) -> tuple[FloatArray, FloatArray]:
        row = self.components_.rows(X)
        inside = row >= 0
        content, squares = (
            np.bincount(row[inside], weight[inside] ** power, minlength=size)
            for power in (1, 2)
        )
        return content / content.sum(), squares / content.sum() ** 2

    def _run(self, table: ComponentTable, levels: FloatArray) -> tuple[Any, Answer]:
        pair = (self._families_[1 - table.positive], self._families_[table.positive])
        weight, variance = np.asarray(table.row_weight), np.asarray(table.row_variance)
        fits = [
            self._inference_.fit(data, square, *pair)
            for data, square in zip(weight, variance, strict=True)
        ]
        kappa, std = np.array([f[0] for f in fits]), np.array([f[1] for f in fits])
        answer = make_answer(
            kappa,
            std,
            wald_intervals(kappa, std, levels, self.bounded),
            {
                "converged": np.array([f[2] for f in fits]),
                "singular": np.isnan(std),
                "n_iterations": np.array([f[3] for f in fits]),
                "goodness_of_fit": np.array([f[4] for f in fits]),
            },
        )
        return self._mixture(table, kappa, [f[5] for f in fits]), answer

    def _mixture(
        self, table: ComponentTable, kappa: FloatArray, settings: Sequence[Any]
    ) -> FixedMixture:
        order = (1 - table.positive, table.positive)
        shares = np.empty((kappa.size, 2))
        shares[:, order[0]], shares[:, order[1]] = 1.0 - kappa, kappa
        density: list[Any] = [None, None]
        blends: list[Any] = [None, None]
        for k, c in enumerate(order):
            family = self._families_[c]
            shapes = [family.shape(s[k]) for s in settings]
            density[c] = np.array(shapes) / table.reference_weight
            n_own = np.arange(len(table.component_class))[table.components_of(c)].size
            # Moved templates are no average of the simulated ones: equal weights.
            blends[c] = np.full((kappa.size, n_own), 1.0 / n_own)
            if family.basis is not None:
                blends[c] = np.array([family.weights(s[k]) for s in settings])
        log_density = np.log(np.stack(density, axis=1))
        return FixedMixture(shares, tuple(blends), log_density)


@dataclass(frozen=True, eq=False)
class TemplateFamily:
    """Templates of one class at any setting.

    Attributes
    ----------
    points : ndarray of shape (n_points, n_parameters)
        Settings of the simulations, or a grid.
    templates : ndarray of shape (n_points, n_bins)
        Templates there, of sum one.
    variances : ndarray of shape (n_points, n_bins)
        Their statistical variances.
    basis : MorphingBasis or None
        Weights of the templates; None interpolates linearly on the grid.
    """

    points: FloatArray
    templates: FloatArray
    variances: FloatArray
    basis: MorphingBasis | None

    @property
    def limits(self) -> FloatArray:
        """Lowest and highest setting, of shape (n_parameters, 2)."""
        return np.stack([self.points.min(axis=0), self.points.max(axis=0)], axis=1)

    def weights(self, theta: FloatArray) -> FloatArray:
        """Weights of the templates."""
        if self.basis is not None:
            return self.basis.weights(theta)
        grid = self.points[:, 0]
        if grid.size == 1:
            return np.ones(1)
        return np.array([np.interp(theta[0], grid, unit) for unit in np.eye(grid.size)])

    def shape(self, theta: FloatArray) -> FloatArray:
        """Contents of the bins, kept positive."""
        return np.maximum(self.weights(theta) @ self.templates, _FLOOR)

    def noise(self, theta: FloatArray) -> FloatArray:
        """Statistical variances of the bins."""
        weights = self.weights(theta)
        return (weights if self.basis is None else weights**2) @ self.variances


def _polynomial_family(
    points: FloatArray, templates: FloatArray, variances: FloatArray, max_power: int
) -> TemplateFamily:
    if len(points) == 1:
        return TemplateFamily(points, templates, variances, None)
    basis = MorphingBasis(points.shape[1], max_power, benchmarks=points)
    basis.weights(points[0])
    return TemplateFamily(points, templates, variances, basis)


@dataclass(frozen=True)
class MorphingFit:
    """Maximum likelihood of kappa and both settings.

    Attributes
    ----------
    interval : str
        Kind of interval, for results.
    """

    interval: str = "wald"

    def fit(
        self,
        data: FloatArray,
        variance: FloatArray,
        background: TemplateFamily,
        signal: TemplateFamily,
    ) -> tuple[float, float, bool, int, float, tuple[FloatArray, FloatArray]]:
        """Fit one dataset.

        Parameters
        ----------
        data, variance : ndarray of shape (n_bins,)
            Sums of weights and of squared weights.
        background, signal : TemplateFamily
            Templates of both classes.

        Returns
        -------
        kappa, std : float
            Fraction and standard error; NaN where there is none.
        converged : bool
            Whether the fit ended well.
        n_iterations : int
            Number of steps.
        p_value : float
            Of chi^2 of the bins.
        settings : pair of ndarray
            Settings of both classes.
        """
        ends = np.concatenate([[[0.0, 1.0]], background.limits, signal.limits])
        width = np.where(np.ptp(ends, axis=1) > 0, np.ptp(ends, axis=1), 1.0)
        n_first, pair = background.points.shape[1], (background, signal)

        def _settings(u: FloatArray) -> tuple[FloatArray, FloatArray]:
            point = ends[:, 0] + width * u
            return point[1 : 1 + n_first], point[1 + n_first :]

        def _share(u: FloatArray) -> FloatArray:
            low, high = (f.shape(t) for f, t in zip(pair, _settings(u), strict=True))
            return (1.0 - u[0]) * low + u[0] * high

        def _loss(u: FloatArray) -> float:
            return -float(data @ np.log(np.maximum(_share(u), _FLOOR)))

        limits = np.stack([np.zeros(len(ends)), np.ptp(ends, axis=1) / width], axis=1)
        found = _deepest(_loss, limits, data.sum())
        kappa, theta = float(found.x[0]), _settings(found.x)
        scale = variance.sum() / data.sum()
        std = float(np.sqrt(scale * _variance(_loss, found.x, limits)))
        noise = (1 - kappa) ** 2 * background.noise(theta[0])
        noise += kappa**2 * signal.noise(theta[1])
        mean = data.sum() * _share(found.x)
        total = scale * mean + data.sum() ** 2 * noise
        filled = mean > 1e-6 * data.sum() / mean.size
        chi2 = ((data - mean) ** 2 / total)[filled].sum()
        degrees = max(int(filled.sum()) - 1 - int((limits[:, 1] > 0).sum()), 1)
        p_value = float(stats.chi2.sf(chi2, degrees))
        return kappa, std, bool(found.success), found.nit, p_value, theta


def _deepest(loss: Any, limits: FloatArray, n_events: float) -> Any:
    """Deepest minimum of descents from the centre and from points around it."""
    rng = np.random.default_rng(0)
    starts = rng.uniform(0.15, 0.85, (_MAX_STARTS, len(limits)))
    starts[0] = 0.5
    if not (limits[1:, 1] > 0).any():
        starts = starts[:1]
    minimise: Any = optimize.minimize
    ends = [
        minimise(
            lambda u: loss(u) / n_events,
            start * limits[:, 1],
            bounds=limits,
            method="L-BFGS-B",
            options={"ftol": 1e-13, "gtol": 1e-7},
        )
        for start in starts
    ]
    return min(ends, key=lambda end: end.fun)


def _variance(loss: Any, point: FloatArray, limits: FloatArray) -> float:
    """Variance of the first coordinate; others at their ends are held."""
    step = 1e-3
    inside = (point > limits[:, 0] + 2 * step) & (point < limits[:, 1] - 2 * step)
    inside[0] = True
    centre = np.clip(point, limits[:, 0], limits[:, 1])
    centre[0] = np.clip(centre[0], 2 * step, 1.0 - 2 * step)
    moves = step * np.eye(point.size)[inside]
    hessian = np.empty((len(moves), len(moves)))
    for i, a in enumerate(moves):
        for j, b in enumerate(moves):
            corners = loss(centre + a + b) - loss(centre + a - b)
            corners += loss(centre - a - b) - loss(centre - a + b)
            hessian[i, j] = corners / (4.0 * step**2)
    if np.linalg.eigvalsh(hessian)[0] <= 0:
        return np.nan
    return float(np.linalg.inv(hessian)[0, 0])
