"""All templates free: the template fit of iminuit with every simulation a component.

The content of bin i is Poisson with mean sum_k y_k t_ki, one yield y_k >= 0 for each
template t_k of every class. The finite statistics of the templates enter through one
nuisance parameter per bin, profiled in closed form (Dembinski and Abdelmotteleb,
arXiv:2206.12346), and

    kappa = sum_{k signal} y_k / sum_k y_k,    var kappa = g' C g,
    g_k = (1[k signal] - kappa) / sum_k y_k,

with C the covariance of the yields. With more templates than bins, or templates that
are nearly combinations of each other, C exists in name only: such fits are flagged.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
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
from sktamm.exceptions import IncompatibleChoiceError
from sktamm.inference._base import Answer

__all__ = ["FreeTemplates"]

_MAX_CALLS = 20_000
_NOTHING = 1e-4
_LARGEST_CONDITION = 1e8


class FreeTemplates(FractionBaseline):
    """Fraction from a fit with the yields of all templates free.

    The three-line competitor: `iminuit.cost.Template` with each simulation of each
    class a component of free, non-negative yield. Needs iminuit (``sktamm[hep]``).

    Parameters
    ----------
    bins : int, sequence of int or sequence of arrays, default=10
        Bins of every feature, or the edges.
    strategy : {"uniform", "quantile"}, default="uniform"
        Bins of equal width or equal content.
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
    bounded : bool, default=False
        Cut intervals at 0 and 1; the estimate never leaves them.
    n_jobs : int, default=None
        Processes that share the datasets; the numbers do not depend on it.

    See Also
    --------
    sktamm.TAMMRegressor : Documents attributes and methods.

    Notes
    -----
    Intervals are kappa +- z standard errors from the covariance of HESSE. A dataset is
    flagged "singular" when the templates are not independent (their number exceeds that
    of the bins, or their matrix has a condition above 1e8) or when HESSE failed, and
    "not_converged" when MIGRAD did. ``goodness_of_fit`` takes bins minus templates for
    the degrees of freedom; yields at zero make it conservative.

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

    def __init__(
        self,
        bins: Any = 10,
        *,
        strategy: Any = "uniform",
        range: Any = None,
        flow: Any = "clip",
        method: str = "da",
        pos_label: Any = None,
        level: float = 0.683,
        bounded: bool = False,
        n_jobs: int | None = None,
    ):
        self.bins = bins
        self.strategy = strategy
        self.range = range
        self.flow = flow
        self.method = method
        self.pos_label = pos_label
        self.level = level
        self.bounded = bounded
        self.n_jobs = n_jobs

    def _make_inference(self) -> "Minuit":
        if self.method not in ("da", "jsc"):
            raise IncompatibleChoiceError(
                f"method must be 'da' or 'jsc', got {self.method!r}."
            )
        _import_iminuit()
        return Minuit(self.method)

    def _make_components(self) -> TemplateComponents:
        return TemplateComponents(
            bins=self.bins,
            strategy=self.strategy,
            range=self.range,
            flow=self.flow,
            basis="principal",
            smooth=False,
        )

    def _run(self, table: ComponentTable, levels: FloatArray) -> tuple[Any, Answer]:
        templates = self.components_.templates_
        contents = np.stack(
            [np.maximum(templates.sum_of_weights, 0.0), templates.sum_of_squares], -1
        )
        signal = templates.source_class == templates.positive
        fits = Parallel(n_jobs=self.n_jobs)(
            delayed(self._inference_.fit)(data, contents, signal)
            for data in np.stack([table.row_weight, table.row_variance], -1)
        )
        yields, covariance, found = (np.array(v) for v in zip(*fits, strict=True))
        kappa, std = fraction_of(yields, covariance, signal)
        answer = make_answer(
            kappa,
            std,
            wald_intervals(kappa, std, levels, self.bounded),
            _diagnostics(found, covariance, contents[:, :, 0]),
        )
        return _mixture(table, yields, contents[:, :, 0]), answer


@dataclass(frozen=True)
class Minuit:
    """Template fits with iminuit.

    Attributes
    ----------
    method : {"da", "jsc"}
        Treatment of the templates' statistics.
    interval : str
        Kind of interval, for results.
    """

    method: str
    interval: str = "wald"

    def fit(
        self, data: FloatArray, templates: FloatArray, signal: NDArray[np.bool_]
    ) -> tuple[FloatArray, FloatArray, tuple[float, ...]]:
        """Yields of all templates in one dataset.

        Parameters
        ----------
        data : ndarray of shape (n_bins, 2)
            Sum of weights and of squared weights.
        templates : ndarray of shape (n_templates, n_bins, 2)
            The same of every template.
        signal : ndarray of bool, shape (n_templates,)
            Which templates are signal.

        Returns
        -------
        yields : ndarray of shape (n_templates,)
            Events of every template.
        covariance : ndarray of shape (n_templates, n_templates)
            Their covariance; NaN where it could not be found.
        found : tuple of float
            Whether the fit is valid and its covariance accurate, number of calls, chi2,
            degrees of freedom.
        """
        iminuit = _import_iminuit()
        edges = np.arange(len(data) + 1.0)
        cost = iminuit.cost.Template(
            _plain(data), edges, [_plain(t) for t in templates], method=self.method
        )
        minuit = iminuit.Minuit(cost, *_start(data[:, 0], templates[:, :, 0]))
        minuit.limits = (0.0, None)
        minuit.migrad(ncall=_MAX_CALLS)
        minuit.hesse()
        if not (minuit.valid and minuit.accurate):
            _leave_zeros(minuit)
        size = len(templates)
        covariance = np.full((size, size), np.nan)
        if minuit.covariance is not None:
            covariance = np.array(minuit.covariance)
        degrees = (templates[:, :, 0].sum(axis=0) > 0).sum() - size
        found = (minuit.valid, minuit.accurate, minuit.nfcn, minuit.fval, degrees)
        return np.array(minuit.values), covariance, found


def fraction_of(
    yields: FloatArray, covariance: FloatArray, signal: NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray]:
    """Kappa and its standard error from yields and their covariance.

    Parameters
    ----------
    yields : ndarray of shape (n_datasets, n_templates)
        Events of every template.
    covariance : ndarray of shape (n_datasets, n_templates, n_templates)
        Covariance of the yields.
    signal : ndarray of bool, shape (n_templates,)
        Which templates are signal.

    Returns
    -------
    kappa, std : ndarray of shape (n_datasets,)
        Fraction and error.
    """
    total = yields.sum(axis=1)
    kappa = yields[:, signal].sum(axis=1) / total
    slope = (signal - kappa[:, None]) / total[:, None]
    variance = np.einsum("dj,djk,dk->d", slope, covariance, slope)
    return kappa, np.sqrt(np.where(variance >= 0, variance, np.nan))


def _import_iminuit() -> Any:
    try:
        import iminuit.cost
    except ImportError as error:
        raise IncompatibleChoiceError(
            "FreeTemplates needs iminuit: pip install 'sktamm[hep]'."
        ) from error
    return iminuit


def _plain(content: FloatArray) -> FloatArray:
    """Contents alone where they are counts, which iminuit treats as Poisson."""
    counts = np.array_equal(content[:, 0], content[:, 1])
    return content[:, 0] if counts else content


def _start(data: FloatArray, templates: FloatArray) -> FloatArray:
    """Non-negative least squares, half of it shared out so that no yield is zero."""
    shapes = templates / templates.sum(axis=1, keepdims=True)
    width = np.sqrt(np.maximum(data, 1.0))
    best = optimize.nnls((shapes / width).T, data / width)[0]
    return 0.5 * best + 0.5 * data.sum() / len(templates)


def _leave_zeros(minuit: Any) -> None:
    """Fit again without the yields that ended at zero, which only confuse MINUIT."""
    values = np.array(minuit.values)
    for k in np.flatnonzero(values < _NOTHING * values.sum()):
        minuit.values[int(k)], minuit.fixed[int(k)] = 0.0, True
    minuit.migrad(ncall=_MAX_CALLS)
    minuit.hesse()


def _diagnostics(
    found: FloatArray, covariance: FloatArray, templates: FloatArray
) -> dict[str, NDArray]:
    valid, accurate, calls, chi2, degrees = found.T
    shapes = templates / templates.sum(axis=1, keepdims=True)
    dependent = len(shapes) > shapes.shape[1] or (
        np.linalg.cond(shapes) > _LARGEST_CONDITION
    )
    p_value = stats.chi2.sf(chi2, np.maximum(degrees, 1))
    return {
        "converged": valid > 0,
        "singular": (accurate == 0) | np.isnan(covariance).any(axis=(1, 2)) | dependent,
        "n_iterations": calls.astype(np.intp),
        "goodness_of_fit": np.where(degrees > 0, p_value, np.nan),
    }


def _mixture(
    table: ComponentTable, yields: FloatArray, templates: FloatArray
) -> FixedMixture:
    """Fractions and blended shapes of the classes at the fitted yields."""
    shapes = templates / templates.sum(axis=1, keepdims=True)
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
