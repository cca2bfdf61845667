"""Template morphing: simulations at known settings become a family of templates.

With simulation k run at a setting theta_k, the templates of a class at any theta are

    t(theta) = sum_k w_k(theta) t_k,

and kappa is measured with the theta of each class profiled. "polynomial" morphs bins;
"moment" first moves events (`sktamm.parametric.MomentMorphing`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sktamm._numerics import FloatArray
from sktamm._sklearn import HasMethods, at_least, one_of
from sktamm._validation import find_labels, read_ids, scalars
from sktamm.base import ComponentTable
from sktamm.baselines._base import (
    BinnedBaseline,
    FixedMixture,
    make_answer,
    rules_of,
    wald_intervals,
)
from sktamm.baselines._morphing_fit import (
    MorphingFit,
    TemplateFamily,
    polynomial_family,
)
from sktamm.exceptions import InvalidInputError
from sktamm.inference import Answer
from sktamm.parametric import MomentMorphing
from sktamm.tamm import TAMMRegressor

__all__ = ["TemplateMorphing"]

# Rule of thumb: with more points the splines follow events that cross edges of bins.
_N_GRID = 21


class TemplateMorphing(BinnedBaseline):
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
    an end of their range count as known. Finite simulations scatter the templates and
    so kappa; what that adds to the variance, by the implicit function theorem, is
    included, and its root alone is the diagnostic ``std_templates``.

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

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BinnedBaseline._parameter_constraints,
        "parameters": [HasMethods(["__contains__", "__getitem__"]), None],
        "method": [one_of("polynomial", "moment")],
        "max_power": [at_least(0)],
        **rules_of(TAMMRegressor, "bounded"),
    }

    def __init__(
        self,
        parameters: Mapping[Any, Any] | None = None,
        method: Literal["moment", "polynomial"] = "polynomial",
        max_power: int = 2,
        *,
        bins: Any = "auto",
        strategy: Any = "auto",
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

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        *,
        simulation: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Morph between labelled events of the simulations.

        As `TAMMRegressor.fit`, with two classes, ids that are keys of ``parameters``,
        and histograms only for "polynomial".
        """
        super().fit(X, y, simulation=simulation, sample_weight=sample_weight)
        if self.classes_.size != 2:
            raise InvalidInputError(
                f"y must hold two classes for TemplateMorphing, got "
                f"{self.classes_.size}."
            )
        moving = self.method == "moment"
        self._families_ = []
        label = find_labels(y, self.classes_, "y", None)
        for c in range(self.classes_.size):
            points, shapes, noise = self._class_templates(c)
            if moving and len(points) > 1:
                rows = label == c
                own = None if sample_weight is None else np.asarray(sample_weight)[rows]
                ids = read_ids(simulation, "simulation")[rows]
                family = self._moved(np.asarray(X, dtype=float)[rows], ids, own)
            else:
                family = polynomial_family(points, shapes, noise, self.max_power)
            self._families_.append(family)
        return self

    def _make_inference(self) -> MorphingFit:
        return MorphingFit()

    def _class_templates(self, c: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Settings, templates and their variances of the simulations of a class."""
        templates = self.components_.templates_
        own = templates.source_class == c
        content = templates.sum_of_weights[own]
        total = content.sum(axis=1, keepdims=True)
        shapes, noise = content / total, templates.sum_of_squares[own] / total**2
        ids = scalars(templates.source_id[own])
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
        self, X: FloatArray, ids: NDArray[Any], weight: FloatArray | None
    ) -> TemplateFamily:
        """Templates of moved events on a grid of settings, splines in between."""
        names, code = np.unique(ids, return_inverse=True)
        points = self._settings(scalars(names))
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

    def solve(self, table: ComponentTable, levels: FloatArray) -> tuple[Any, Answer]:
        """Fractions of a table by this method, ``levels`` (n_levels,)."""
        pair = (self._families_[1 - table.positive], self._families_[table.positive])
        weight, variance = np.asarray(table.row_weight), np.asarray(table.row_variance)
        fits = [
            self.inference_.fit(data, square, *pair)
            for data, square in zip(weight, variance, strict=True)
        ]
        kappa, std = np.array([f.kappa for f in fits]), np.array([f.std for f in fits])
        answer = make_answer(
            kappa,
            std,
            wald_intervals(kappa, std, levels, self.bounded),
            {
                "converged": np.array([f.converged for f in fits]),
                "singular": np.isnan(std),
                "n_iterations": np.array([f.n_iterations for f in fits]),
                "goodness_of_fit": np.array([f.p_value for f in fits]),
                "std_templates": np.array([f.std_templates for f in fits]),
            },
        )
        return self._mixture(table, kappa, [f.settings for f in fits]), answer

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
