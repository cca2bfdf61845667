"""Goodness of fit: whether the adapted mixture could have made the data.

Binned: Pearson's chi2 or the saturated likelihood ratio

    G2 = 2 sum_i [a_i ln(a_i / mu_i) - a_i + mu_i]

is compared with that of toys drawn from the posterior of the fit and fitted alike.
Unbinned: a classifier tries to tell the target from reference events reweighted to the
adapted mixture.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlogy
from sklearn.utils import check_random_state

from sktamm._numerics import FloatArray
from sktamm.base import ComponentTable
from sktamm.diagnostics._open import (
    Opened,
    check_positive,
    fits,
    generator,
    open_fit,
    quiet,
)
from sktamm.diagnostics._two_sample import thinned, two_sample_test
from sktamm.exceptions import InvalidInputError
from sktamm.inference import Fit, pearson
from sktamm.mixture import MixtureModel

__all__ = [
    "GoodnessOfFitResult",
    "adapted_reference",
    "draw_rows",
    "goodness_of_fit",
    "likelihood_ratio",
    "posterior_draws",
    "reference_model",
    "toy_p_value",
]

_STATISTICS = ("auto", "auc", "likelihood_ratio", "pearson")


@dataclass(frozen=True, eq=False)
class GoodnessOfFitResult:
    """Distance of the data from the adapted mixture, with its p-value.

    Attributes
    ----------
    statistic : ndarray of shape (n_datasets,)
        Value; "auc" is one half when nothing tells target and mixture apart.
    p_value : ndarray of shape (n_datasets,)
        (1 + n)/(1 + N) when n of N toys, less failed ones, are as large; NaN where the
        fit of the data failed.
    name : str
        Name of the statistic: "pearson", "likelihood_ratio" or "auc".
    toys : ndarray of shape (n_datasets, n_toys) or None
        Values of the toys; None for "auc", whose null distribution is known.
    member : str or None
        The first estimator of a `PosteriorPool`, which was looked at.
    """

    statistic: NDArray[Any]
    p_value: NDArray[Any]
    name: str
    toys: NDArray[Any] | None
    member: str | None = None


def goodness_of_fit(
    estimator: Any,
    X: Any,
    *,
    dataset: Any = None,
    sample_weight: ArrayLike | None = None,
    statistic: str = "auto",
    n_toys: int = 200,
    classifier: Any = "lightgbm",
    n_splits: int = 5,
    max_events: int = 20_000,
    random_state: Any = 0,
) -> GoodnessOfFitResult:
    """Test the adapted mixture against the data.

    Parameters
    ----------
    estimator : estimator
        Fitted estimator, or Pipeline or search ending in one.
    X : array-like of shape (n_events, n_features), or histograms
        Target.
    dataset : array-like or sparse matrix, default=None
        As in ``predict``, for binned estimators; unbinned ones take one dataset.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights; not negative for "auc".
    statistic : {"auto", "pearson", "likelihood_ratio", "auc"}, default="auto"
        Binned: Pearson's chi2 or the saturated likelihood ratio ("auto"); unbinned:
        the area under the ROC curve of a classifier ("auto").
    n_toys : int, default=200
        Toys per dataset.
    classifier : {"lightgbm", "logistic", "mlp"} or classifier, default="lightgbm"
        What tries to tell target and mixture apart.
    n_splits : int, default=5
        Folds of its cross-fitting.
    max_events : int, default=20_000
        Largest number of events of either sample that it sees.
    random_state : int, RandomState instance or None, default=0
        Seed of toys, folds and classifier.

    Returns
    -------
    result : GoodnessOfFitResult
        Statistic and p-value of every dataset.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.diagnostics import goodness_of_fit
    >>> study = make_gaussian_study(n_simulations=6, n_events=5000, random_state=0)
    >>> tamm = BinnedTopicTAMM().fit(study.X, study.y, simulation=study.simulation)
    >>> result = goodness_of_fit(tamm, study.X_target, n_toys=50)
    >>> bool(result.p_value[0] > 0.001)
    True
    """
    opened = open_fit(estimator, X, dataset=dataset, sample_weight=sample_weight)
    binned = opened.table.binned
    if statistic == "auto":
        statistic = "likelihood_ratio" if binned else "auc"
    if statistic not in _STATISTICS or binned == (statistic == "auc"):
        raise InvalidInputError(
            "statistic must be 'auto', 'pearson' or 'likelihood_ratio' for binned and "
            f"'auto' or 'auc' for unbinned estimators, got {statistic!r}."
        )
    check_positive(n_toys=n_toys, n_splits=n_splits, max_events=max_events)
    if binned:
        return _toys(opened, statistic, n_toys, generator(random_state))
    if dataset is not None:
        raise InvalidInputError("dataset must be None for the two-sample test.")
    rng = check_random_state(random_state)
    return _classified(opened, classifier, n_splits, max_events, rng)


# ---------------------------------------------------------------------------- binned
def _toys(
    opened: Opened, name: str, n_toys: int, rng: np.random.Generator
) -> GoodnessOfFitResult:
    table, model = opened.table, opened.model
    distance = _DISTANCES[name]
    found, values = [], []
    with quiet():
        for _, _, fit in fits(opened.final, table, model):
            found.append(distance(model, fit))
            values.append((fit.optimum.theta, fit.covariance))
        thetas, covariances = (
            np.concatenate(part) for part in zip(*values, strict=True)
        )
        toys = []
        for i in range(table.n_datasets):
            theta = posterior_draws(thetas[i], covariances[i], n_toys, model, rng)
            pseudo = draw_rows(table, model, theta, i, rng)
            parts = [distance(*part[1:]) for part in fits(opened.final, pseudo, model)]
            toys.append(np.concatenate(parts))
    statistic, null = np.concatenate(found), np.array(toys)
    p_value = toy_p_value(statistic, null)
    return GoodnessOfFitResult(statistic, p_value, name, null, opened.member)


def toy_p_value(statistic: FloatArray, toys: FloatArray) -> FloatArray:
    """(1 + n)/(1 + N) when n of N finite toys, (n_datasets, n_toys), are as large."""
    above = (toys >= statistic[:, None]).sum(axis=1)
    p_value = (1.0 + above) / (1.0 + np.isfinite(toys).sum(axis=1))
    return np.where(np.isfinite(statistic), p_value, np.nan)


def posterior_draws(
    theta: FloatArray,
    covariance: FloatArray,
    n: int,
    model: MixtureModel,
    rng: np.random.Generator,
) -> FloatArray:
    """Normal draws of the parameters, (n, n_params), fractions on the simplex."""
    values, axes = np.linalg.eigh(covariance)
    root = axes * np.sqrt(np.maximum(values, 0.0))
    draws = theta + rng.standard_normal((n, theta.size)) @ root.T
    free = np.clip(draws[:, : model.n_fractions], 0.0, 1.0)
    draws[:, : model.n_fractions] = free / np.maximum(free.sum(axis=1), 1.0)[:, None]
    return draws


def draw_rows(
    table: ComponentTable,
    model: MixtureModel,
    theta: FloatArray,
    dataset: int,
    rng: np.random.Generator,
    *,
    template_errors: bool = True,
) -> ComponentTable:
    """Scaled Poisson datasets like a binned one, one for every row of ``theta``."""
    weight, variance = table.row_weight[dataset], table.row_variance[dataset]
    total = weight.sum()
    density = np.maximum(model.row_density(theta), 0.0)
    mean = table.reference_weight * density
    mean *= total / mean.sum(axis=1, keepdims=True)
    error = np.broadcast_to(model.statistical_variance(theta), mean.shape)
    noisy = (error > 1e-12) & template_errors  # a gamma of shape beyond is constant
    shape = 1.0 / np.where(noisy, error, 1.0)
    mean = np.where(noisy, mean * rng.gamma(shape) / shape, mean)
    per_event = np.full(weight.shape, variance.sum() / total)
    np.divide(variance, weight, out=per_event, where=(weight > 0) & (variance > 0))
    counts = rng.poisson(mean / per_event).astype(float)
    return replace(
        table,
        row_weight=counts * per_event,
        row_variance=counts * per_event**2,
        out_of_range=None,
    )


def likelihood_ratio(model: MixtureModel, fit: Fit) -> FloatArray:
    """G2 of the discounted contents; what is negative counts as zero."""
    density = np.maximum(model.row_density(fit.optimum.theta), 1e-300)
    mean = np.maximum(fit.data.unit * density, 1e-300)
    content = np.maximum(fit.data.content, 0.0)
    return 2.0 * (xlogy(content, content / mean) - content + mean).sum(axis=1)


_DISTANCES: dict[str, Any] = {
    "likelihood_ratio": likelihood_ratio,
    "pearson": lambda model, fit: pearson(model, fit.optimum.theta, fit.data)[0],
}


# -------------------------------------------------------------------------- unbinned
def _classified(
    opened: Opened,
    classifier: Any,
    n_splits: int,
    max_events: int,
    rng: np.random.RandomState,
) -> GoodnessOfFitResult:
    reference = opened.final.components_.ratio_.reference_
    density = adapted_reference(opened)[0]
    chance = np.maximum(opened.table.reference_weight * density, 0.0)
    part, rows = opened.table.select(slice(0, 1))
    kept = thinned(np.asarray(part.row_weight[0]), rng, max_events)
    target = np.asarray(opened.X, dtype=float)[rows[kept]]
    mixture = reference.X[thinned(chance, rng, max_events)]
    size = min(len(target), len(mixture))
    auc, p_value = two_sample_test(
        target[:size], mixture[:size], classifier, n_splits, rng
    )
    found = np.array([auc]), np.array([p_value])
    return GoodnessOfFitResult(*found, "auc", None, opened.member)


def adapted_reference(opened: Opened) -> FloatArray:
    """Adapted mixture density at the reference rows, (n_datasets, n_reference)."""
    return reference_model(opened).row_density(opened.answer.theta)


def reference_model(opened: Opened) -> MixtureModel:
    """The mixture with the reference rows as its rows."""
    table = opened.table
    simulations = replace(
        table.simulations,
        log_ratio=table.simulations.reference_log_ratio,
        error=None,
    )
    rows = replace(
        table,
        log_ratio=table.reference_log_ratio,
        basis=table.reference_basis,
        simulations=simulations,
        error=None,
    )
    model: MixtureModel = opened.final.form_.build(rows, opened.final.prior_)
    return model
