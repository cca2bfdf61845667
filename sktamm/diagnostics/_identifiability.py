"""Identifiability: how much knowledge of kappa the unknown shapes cost.

With V the covariance of all parameters, if a quantity t that depends on the shapes were
known exactly, the variance of kappa would fall by the share

    rho^2 = Cov(kappa, t)^2 / (V_kk Var(t)),

for a whole class by the multiple correlation. Quantities are the exponents of the
simulations and of the smooth functions (exponential form), or the weights of the
components (linear form).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sktamm._numerics import FloatArray
from sktamm.base import ComponentTable
from sktamm.diagnostics._open import Opened, fits, open_fit, quiet
from sktamm.mixture import MixtureModel

__all__ = ["IdentifiabilityResult", "identifiability"]


@dataclass(frozen=True, eq=False)
class IdentifiabilityResult:
    """Information on kappa that is left when the shapes have to be learned too.

    Attributes
    ----------
    kept : ndarray of shape (n_datasets,)
        Information on kappa with the shapes fitted over that with the shapes fixed at
        what was fitted; one when nothing is lost.
    by_class : ndarray of shape (n_datasets, n_classes)
        Share of the variance of kappa that would vanish were one class known.
    by_direction : ndarray of shape (n_datasets, n_directions)
        The same for the coefficient of one function; correlated ones overlap.
    names : tuple of str
        Functions: "simulation <id>", "basis <number>" or "component <number>".
    direction_class : ndarray of shape (n_directions,)
        Class whose shape the function changes.
    member : str or None
        The first estimator of a `PosteriorPool`, which was looked at.
    """

    kept: NDArray[Any]
    by_class: NDArray[Any]
    by_direction: NDArray[Any]
    names: tuple[str, ...]
    direction_class: NDArray[Any]
    member: str | None = None

    def to_frame(self, dataset: int = 0) -> pd.DataFrame:
        """Functions of one dataset, those that cost most first: class, name, share."""
        frame = pd.DataFrame(
            {
                "class": self.direction_class,
                "name": self.names,
                "share": self.by_direction[dataset],
            }
        )
        return frame.sort_values("share", ascending=False, ignore_index=True)


def identifiability(
    estimator: Any,
    X: Any,
    *,
    dataset: Any = None,
    sample_weight: ArrayLike | None = None,
) -> IdentifiabilityResult:
    """Information on kappa lost to the shapes, and which of them takes the most.

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
    result : IdentifiabilityResult
        Share of the information kept, and what takes the rest.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.diagnostics import identifiability
    >>> study = make_gaussian_study(n_simulations=6, n_events=2000, random_state=0)
    >>> tamm = BinnedTopicTAMM().fit(study.X, study.y, simulation=study.simulation)
    >>> result = identifiability(tamm, study.X_target)
    >>> bool(0.0 < result.kept[0] < 1.0)
    True
    """
    opened = open_fit(estimator, X, dataset=dataset, sample_weight=sample_weight)
    kept, by_class, by_direction = [], [], []
    with quiet():
        for _, model, fit in fits(opened.final, opened.table, opened.model):
            covariance = fit.covariance
            kept.append(_kept(model, covariance))
            by_class.append(_by_class(model, covariance))
            maps = _maps(opened, model, fit.local)
            by_direction.append(_by_direction(model, covariance, maps))
    names, owner = _names(opened)
    return IdentifiabilityResult(
        kept=np.concatenate(kept),
        by_class=np.concatenate(by_class),
        by_direction=np.concatenate(by_direction),
        names=names,
        direction_class=opened.final.classes_[owner],
        member=opened.member,
    )


def _kept(model: MixtureModel, covariance: FloatArray) -> FloatArray:
    """Variance with the shapes fixed over variance with the shapes fitted."""
    free = slice(0, model.n_fractions)
    fixed = np.linalg.inv(np.linalg.inv(covariance)[:, free, free])
    return np.asarray(fixed[:, 0, 0] / covariance[:, 0, 0])


def _by_class(model: MixtureModel, covariance: FloatArray) -> FloatArray:
    """Squared multiple correlation of kappa with the parameters of every class."""
    shares = np.zeros((len(covariance), model.n_classes))
    for c, columns in enumerate(model.slices):
        if columns.stop > columns.start:
            with_kappa = covariance[:, 0, columns]
            own = covariance[:, columns, columns]
            slope = np.linalg.solve(own, with_kappa[:, :, None])[:, :, 0]
            shares[:, c] = np.einsum("bp,bp->b", slope, with_kappa)
    return shares / covariance[:, :1, 0]


def _by_direction(
    model: MixtureModel, covariance: FloatArray, maps: list[FloatArray]
) -> FloatArray:
    """Squared correlation of kappa with coefficients t = map z of every class."""
    parts = []
    for change, columns in zip(maps, model.slices, strict=True):
        with_kappa = np.einsum("bfp,bp->bf", change, covariance[:, 0, columns])
        spread = change @ covariance[:, columns, columns]
        spread = np.einsum("bfp,bfp->bf", spread, change)
        known = spread > 1e-14  # a function that cannot change has rounding only
        ratio = with_kappa**2 / np.where(known, spread, 1.0)
        parts.append(np.where(known, ratio, 0.0) / covariance[:, :1, 0])
    return np.concatenate(parts, axis=1)


def _maps(opened: Opened, model: MixtureModel, theta: FloatArray) -> list[FloatArray]:
    """Derivatives of the coefficients by the parameters, (n_fits, n_functions, p)."""
    if model.is_linear:
        return [
            _weight_slopes(density, theta[:, columns])
            for density, columns in zip(model.densities, model.slices, strict=True)
        ]
    maps = []
    for c in range(model.n_classes):
        change = opened.final.prior_.expand(opened.table, c).directions
        maps.append(np.broadcast_to(change, (len(theta), *change.shape)))
    return maps


def _weight_slopes(density: Any, params: FloatArray) -> FloatArray:
    """d w / d u = (diag(w) - w w') V of weights w = softmax(V u)."""
    weights = density.weights(params)
    inner = -weights[:, :, None] * weights[:, None, :]
    index = np.arange(weights.shape[1])
    inner[:, index, index] += weights
    return inner @ density.contrast


def _names(opened: Opened) -> tuple[tuple[str, ...], NDArray[np.intp]]:
    """Names of all functions and the number of the class of each."""
    names: list[str] = []
    owner: list[int] = []
    for c in range(opened.model.n_classes):
        own = _class_names(opened.table, opened, c)
        names += own
        owner += [c] * len(own)
    return tuple(names), np.array(owner)


def _class_names(table: ComponentTable, opened: Opened, c: int) -> list[str]:
    components = [f"component {k}" for k in range(table.components_of(c).size)]
    if opened.model.is_linear:
        return components
    if getattr(opened.final.prior_, "spans", "components") == "simulations":
        source = table.simulations
        components = [f"simulation {k}" for k in source.source_id[source.of_class(c)]]
    n_basis = table.reference_basis.shape[1]
    return components + [f"basis {j}" for j in range(n_basis)]
