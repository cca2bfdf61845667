"""Where the error of kappa comes from: target, simulations, ratios or shapes.

With A the precision of the fit (data A - Q, prior Q) and u = A^-1 e_kappa, to first
order and with v_i the variance of the content of row i,

    u'A u = sum_i v_i (u . d ln p_i)^2 + u'Q u
          = target + simulation statistics + shape,

the law of total variance. Unbinned estimators have instead the errors of the reference
sample and of the learned ratios.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sktamm._numerics import FloatArray
from sktamm.base import ComponentTable
from sktamm.diagnostics._open import fits, open_fit, quiet
from sktamm.inference import Fit
from sktamm.mixture import MixtureModel

__all__ = ["ErrorSplit", "error_split"]


@dataclass(frozen=True, eq=False)
class ErrorSplit:
    """Parts of the variance of kappa, which sum to the total.

    Attributes
    ----------
    target, simulation : ndarray of shape (n_datasets,)
        Variances from the finite number of events of the target and the simulations.
    ratios, shape : ndarray of shape (n_datasets,)
        From the training of the ratios (zero if binned) and from the unknown shapes.
    total : ndarray of shape (n_datasets,)
        Sum of the four: the squared error of the normal approximation at the maximum.
    std : ndarray of shape (n_datasets,)
        Standard error of ``infer``, different where the posterior is not normal.
    member : str or None
        The first estimator of a `PosteriorPool`, which was looked at.
    """

    target: NDArray[Any]
    simulation: NDArray[Any]
    ratios: NDArray[Any]
    shape: NDArray[Any]
    total: NDArray[Any]
    std: NDArray[Any]
    member: str | None = None

    def to_frame(self) -> pd.DataFrame:
        """Standard deviation of every part and of all, one row per dataset."""
        names = ("target", "simulation", "ratios", "shape", "total")
        roots = {name: np.sqrt(getattr(self, name)) for name in names}
        return pd.DataFrame({**roots, "std": self.std})


def error_split(
    estimator: Any,
    X: Any,
    *,
    dataset: Any = None,
    sample_weight: ArrayLike | None = None,
) -> ErrorSplit:
    """Split the variance of kappa by its sources.

    Parameters
    ----------
    estimator : estimator
        Fitted estimator, or Pipeline or search ending in one.
    X : array-like of shape (n_events, n_features), or histograms
        Target.
    dataset, sample_weight : array-like, default=None
        As in ``predict``.

    Returns
    -------
    split : ErrorSplit
        Variances, dataset by dataset.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.diagnostics import error_split
    >>> study = make_gaussian_study(n_simulations=6, n_events=2000, random_state=0)
    >>> tamm = BinnedTopicTAMM().fit(study.X, study.y, simulation=study.simulation)
    >>> split = error_split(tamm, study.X_target)
    >>> bool(split.shape[0] > split.target[0])
    True
    """
    opened = open_fit(estimator, X, dataset=dataset, sample_weight=sample_weight)
    informative = opened.final.prior_.informative
    with quiet():
        parts = [
            _split(*part, informative)
            for part in fits(opened.final, opened.table, opened.model)
        ]
    columns = [np.concatenate(values) for values in zip(*parts, strict=True)]
    target, simulation, ratios, shape = columns
    return ErrorSplit(
        target=target,
        simulation=simulation,
        ratios=ratios,
        shape=shape,
        total=target + simulation + ratios + shape,
        std=opened.answer.std,
        member=opened.member,
    )


def _split(
    table: ComponentTable, model: MixtureModel, fit: Fit, informative: bool
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Variances of a batch: target, simulation, ratios, shape."""
    direction = fit.covariance[:, 0]
    pull = model.score_along(fit.local, direction) ** 2
    data = fit.data
    own = data.variance
    if table.binned:
        own = own - _template_variance(model, fit)
    target = np.einsum("bi,bi->b", own, pull)
    simulation = np.einsum("bi,bi->b", data.variance - own, pull)
    extra = model.extra_variance(fit.local, direction, data.rows, table)
    simulation = simulation + extra.get("reference", 0.0)
    ratios = extra.get("ratios", np.zeros(len(target)))
    shape = np.zeros(len(target))
    if informative:
        prior = model.prior_information(fit.local)
        shape = np.einsum("bp,bpq,bq->b", direction, prior, direction)
    return target, simulation, ratios, shape


def _template_variance(model: MixtureModel, fit: Fit) -> FloatArray:
    """Part of the variance of the contents that the templates make, at most all."""
    data = fit.data
    centre = fit.local.copy()
    centre[:, model.n_fractions :] = 0.0
    density = np.maximum(model.row_density(centre), 0.0)
    mean = data.unit * density
    return np.minimum(mean**2 * model.statistical_variance(centre), data.variance)
