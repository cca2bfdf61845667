"""Span check with the simulations themselves as the reference of the misfit.

Every simulation k plays the truth in turn: a pseudo-target like the data is drawn from
it and fitted with the others, and its misfit D_k is compared with the misfit T_k of the
data fitted with the same others,

    D = 2 ln[prior(0) / prior(z)]  +  G2 (if binned),

with the blend z and the saturated likelihood ratio G2. If the truth is one more
simulation,

    p = (1 + #{k: D_k >= T_k}) / (K + 1)

is at most alpha in a share of about alpha, as jackknife+ guarantees up to a factor of
two (Barber, Candes, Ramdas and Tibshirani, arXiv:1905.02928). The parametric p-value
takes ln D as normal.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from scipy import sparse, stats

from sktamm._numerics import FloatArray, project_to_simplex
from sktamm.base import ComponentTable
from sktamm.diagnostics._goodness import likelihood_ratio
from sktamm.diagnostics._open import (
    Opened,
    declared_families,
    fits,
    generator,
    open_fit,
    quiet,
)
from sktamm.exceptions import InvalidInputError
from sktamm.tamm import without_ids, without_templates
from sktamm.templates import TargetContents

__all__ = ["SpanResult", "span_check"]

_LEAST = 3  # simulations whose misfits have a spread: a rule of thumb


@dataclass(frozen=True, eq=False)
class SpanResult:
    """Misfit of the data against that of simulations that play the truth.

    Attributes
    ----------
    p_value : float
        (1 + number of simulations with a misfit at least that of the data)/(K + 1).
        Simulations with a failed fit are left out; NaN with fewer than three.
    p_value_parametric : float
        Of the mean log misfit among those of the simulations, by Student's t.
    simulation : ndarray of shape (n_simulations,)
        Simulations of the positive class that were left out.
    misfit, reference : ndarray of shape (n_simulations,)
        Misfits T_k of the data and D_k of pseudo-data from simulation k, without it.
    member : str or None
        The first estimator of a `PosteriorPool`, which was looked at.
    """

    p_value: float
    p_value_parametric: float
    simulation: NDArray[Any]
    misfit: NDArray[Any]
    reference: NDArray[Any]
    member: str | None = None


def span_check(
    estimator: Any,
    X: Any,
    *,
    sample_weight: ArrayLike | None = None,
    n_jobs: int | None = None,
    random_state: Any = 0,
) -> SpanResult:
    """Test whether the truth could be one more simulation.

    Takes two fits per simulation, but no training: binned templates are blended anew,
    and a classifier over all simulations knows the ratios of any of them.

    Parameters
    ----------
    estimator : estimator
        Fitted estimator, or Pipeline or search ending in one, with at least three
        simulations of every class and no families.
    X : array-like of shape (n_events, n_features), or one histogram in a list
        Target, one dataset.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights.
    n_jobs : int or None, default=None
        Fits at the same time.
    random_state : int, RandomState instance or None, default=0
        Seed of the pseudo-targets.

    Returns
    -------
    result : SpanResult
        P-values and the misfits behind them.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.diagnostics import span_check
    >>> study = make_gaussian_study(n_simulations=5, n_events=5000, random_state=0)
    >>> tamm = BinnedTopicTAMM().fit(study.X, study.y, simulation=study.simulation)
    >>> result = span_check(tamm, study.X_target)
    >>> bool(result.p_value > 1 / 6)
    True
    """
    opened = open_fit(estimator, X, sample_weight=sample_weight)
    final, table = opened.final, opened.table
    if table.n_datasets != 1:
        raise InvalidInputError(
            f"X must hold one dataset, got {table.n_datasets} histograms."
        )
    if declared_families(final) is not None:
        raise InvalidInputError(
            "estimator must have a prior without families for span_check: the nominal "
            "cannot be left out; result.diagnostics['span'] leaves out none, got "
            f"families={final.prior_.families!r}."
        )
    units = _units(final, table)
    fractions = project_to_simplex(opened.model.fractions(opened.answer.theta))[0]
    total, squares = table.totals()
    size = round(float(total[0] ** 2 / squares[0]))
    seeds = generator(random_state).spawn(len(units))
    leave: Callable[..., tuple[float, float]] = _binned if table.binned else _unbinned
    with quiet():
        pairs = Parallel(n_jobs=n_jobs, prefer="threads")(
            delayed(leave)(opened, sample_weight, unit, fractions, size, seed)
            for unit, seed in zip(units, seeds, strict=True)
        )
    misfit, reference = np.array(pairs).T
    p_value, parametric = _p_values(misfit, reference)
    positive = [unit[table.positive] for unit in units]
    return SpanResult(
        p_value=p_value,
        p_value_parametric=parametric,
        simulation=table.simulations.source_id[positive],
        misfit=misfit,
        reference=reference,
        member=opened.member,
    )


def _units(final: Any, table: ComponentTable) -> list[NDArray[np.intp]]:
    """Sources, one per class, that play the truth together: of one id where paired."""
    source = table.simulations
    columns = [source.of_class(c) for c in range(table.n_classes)]
    sizes = [own.size for own in columns]
    if min(sizes) < _LEAST:
        raise InvalidInputError(
            f"estimator must have at least {_LEAST} simulations of every class, got "
            f"{min(sizes)} of class {final.classes_[int(np.argmin(sizes))]}."
        )
    columns = [own[np.argsort(source.source_id[own])] for own in columns]
    return [np.array(unit) for unit in zip(*columns, strict=False)]


def _p_values(misfit: FloatArray, reference: FloatArray) -> tuple[float, float]:
    """By rank and parametric, of the simulations with both misfits."""
    known = np.isfinite(misfit) & np.isfinite(reference)
    misfit, reference = misfit[known], reference[known]
    if misfit.size < _LEAST:
        return float("nan"), float("nan")
    above = (reference >= misfit).sum()
    by_rank = float((1.0 + above) / (1.0 + misfit.size))
    return by_rank, _parametric(misfit, reference)


def _parametric(misfit: FloatArray, reference: FloatArray) -> float:
    logs, n = np.log(reference), reference.size
    width = logs.std(ddof=1) * np.sqrt(1.0 + 1.0 / n)
    distance = np.log(misfit).mean() - logs.mean()
    return float(stats.t.sf(distance / max(width, 1e-12), n - 1))


def _misfit(final: Any, table: ComponentTable) -> FloatArray:
    """D of every dataset of a table."""
    model = final.form_.build(table, final.prior_)
    found = []
    for _, own, fit in fits(final, table, model):
        theta = fit.optimum.theta
        centre = theta.copy()
        centre[:, own.n_fractions :] = 0.0
        distance = 2.0 * (own.log_prior(centre) - own.log_prior(theta))
        if table.binned:
            distance = distance + likelihood_ratio(own, fit)
        found.append(np.maximum(distance, 1e-12))  # its logarithm is wanted
    return np.concatenate(found)


def _binned(
    opened: Opened,
    sample_weight: Any,
    unit: NDArray[np.intp],
    fractions: FloatArray,
    size: int,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Misfits of data and of pseudo-data from one simulation, without it."""
    components = opened.final.components_
    part = without_templates(opened.final, unit)
    content, variance = opened.table.row_weight[0], opened.table.row_variance[0]
    mixture = fractions @ components.probability_[unit]
    scale = variance.sum() / content.sum()
    pseudo = rng.multinomial(size, mixture / mixture.sum()) * scale
    both = np.array([[content, pseudo], [variance, pseudo * scale]])
    both = components.rows_.spread(both)
    misfit = _misfit(part, part.components_.table(TargetContents(*both)))
    return float(misfit[0]), float(misfit[1])


def _unbinned(
    opened: Opened,
    sample_weight: Any,
    unit: NDArray[np.intp],
    fractions: FloatArray,
    size: int,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """The same with events that the classifier has not seen as pseudo-data."""
    X, events = opened.X, opened.final.components_.ratio_.reference_
    part = without_ids(opened.final, opened.table.simulations.source_id[unit])
    chance = np.zeros(len(events.X))
    for source, fraction in zip(unit, fractions, strict=True):
        own = events.source == source
        chance[own] = fraction * events.weight[own] / events.weight[own].sum()
    # misfits grow with the size: the data are thinned if there are too few for a pair
    share = min(1.0, 0.5 * (chance > 0).sum() / size)
    size = int(share * size)
    drawn = rng.choice(len(chance), size, replace=False, p=chance)
    rows = np.vstack([np.asarray(X, dtype=float), events.X[drawn]])
    counts = np.zeros((len(rows), 2))
    counts[rng.permutation(len(X))[: int(share * len(X))], 0] = 1.0
    counts[len(X) :, 1] = 1.0
    weight = None
    if sample_weight is not None:
        weight = np.concatenate([np.asarray(sample_weight, float), np.ones(size)])
    dataset = sparse.csc_matrix(counts)
    pair = _misfit(part, part.tabulate(rows, dataset, weight)[0])
    return float(pair[0]), float(pair[1])
