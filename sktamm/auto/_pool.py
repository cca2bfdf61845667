"""Posteriors of several estimators, averaged."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from sklearn.base import clone

from sktamm._numerics import FloatArray
from sktamm.auto._composition import Composition
from sktamm.exceptions import InvalidInputError, SktammWarning
from sktamm.inference import density_intervals, density_moments
from sktamm.results import FractionResult, Profile
from sktamm.tamm import without_ids

__all__ = ["PosteriorPool", "pooled"]

# As fine as the grids of posteriors, and thinned like them for the profile of a result.
_POINTS = 2001
_SHOWN = 10


class PosteriorPool(Composition):
    """Average of the posteriors of several estimators, each with the same weight.

    Estimators that see different sides of the events are wrong in different ways. The
    mean of their densities of kappa (a linear opinion pool, Stone 1961) is as wide as
    they disagree, and no choice between them can be the wrong one. Class probabilities
    are averaged, too.

    Parameters
    ----------
    estimators : list of (str, estimator) tuples
        Estimators with ``fit`` and ``infer``; the first says everything about the
        dataset that is not kappa: templates, weights, diagnostics.

    Attributes
    ----------
    estimators_ : dict of str to estimator
        Fitted estimators.
    estimator_ : estimator
        The first of them.
    classes_, pos_label_, simulations_, paired_, n_features_in_, feature_names_in_
        Those of ``estimator_``.

    Notes
    -----
    Results are those of the first estimator with the pool's kappa, error, intervals and
    density, the flags of all, and the diagnostic "disagreement": the largest distance
    between two estimates in units of the pool's error.

    References
    ----------
    Stone, "The opinion pool", Ann. Math. Statist. 32 (1961) 1339.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM, ScoreTAMM
    >>> from sktamm.auto import PosteriorPool
    >>> from sktamm.datasets import make_gaussian_study
    >>> study = make_gaussian_study(n_simulations=6, n_events=2000, random_state=3)
    >>> pool = PosteriorPool(
    ...     [("binned", BinnedTopicTAMM()), ("score", ScoreTAMM("logistic"))]
    ... )
    >>> pool = pool.fit(study.X, study.y, simulation=study.simulation)
    >>> pool.infer(study.X_target).method["pool"]
    'binned, score'
    """

    _parts = "estimators"
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimators": [object],  # `_check_parts` says more
    }

    def __init__(self, estimators: Any):
        self.estimators = estimators

    @classmethod
    def of(cls, fitted: dict[str, Any]) -> Self:
        """Pool of estimators that are fitted.

        Parameters
        ----------
        fitted : dict of str to estimator
            The first is the one that answers everything else.

        Returns
        -------
        pool : PosteriorPool
            Fitted pool.
        """
        pool = cls(list(fitted.items()))
        pool._set(fitted)
        return pool

    # --------------------------------------------------------------- private steps
    def _fit(self, events: dict[str, Any]) -> None:
        self._check_parts()
        fitted: dict[str, Any] = {}
        with warnings.catch_warnings():
            for name, estimator in self.estimators:
                fitted[name] = clone(estimator).fit(**events)
                warnings.simplefilter("ignore", SktammWarning)  # the first has warned
        self._set(fitted)

    def _set(self, fitted: dict[str, Any]) -> None:
        self.estimators_ = fitted
        self.estimator_ = next(iter(fitted.values()))
        self._copy_attributes()

    def _keep(self, kept: NDArray[Any], lost: NDArray[Any]) -> None:
        self._set({name: without_ids(e, lost) for name, e in self.estimators_.items()})

    def _answering(self) -> Iterable[Any]:
        return self.estimators_.values()

    def _infer(self, X: Any, levels: Any, question: dict[str, Any]) -> FractionResult:
        levels = self._chosen(levels)
        results = {
            name: estimator.infer(X, levels=levels, **question)
            for name, estimator in self.estimators_.items()
        }
        return pooled(results)

    def _kappa(self, X: Any, question: dict[str, Any]) -> FloatArray:
        return np.asarray(self.infer(X, **question).kappa)

    def _proba(self, X: Any, question: dict[str, Any]) -> Any:
        parts = [e.predict_proba(X, **question) for e in self.estimators_.values()]
        return np.mean(parts, axis=0)


def pooled(results: dict[str, FractionResult]) -> FractionResult:
    """Results of the same datasets, their densities averaged."""
    names = tuple(results)
    first = results[names[0]]
    for name, result in results.items():
        if result.profile is None:
            raise InvalidInputError(
                f"estimators must give a density of kappa, got none of {name!r}."
            )
    grid, log_density = _mixture([r.profile for r in results.values()])
    kappa, std = density_moments(grid, log_density)
    kind = first.method.get("interval", "shortest")
    kind = kind if kind in ("shortest", "equal_tailed") else "shortest"
    estimates = np.array([result.kappa for result in results.values()])
    apart = {"disagreement": np.ptp(estimates, axis=0) / std}
    return replace(
        first,
        kappa=kappa,
        std=std,
        interval=density_intervals(grid, log_density, first.levels, kind),
        fractions=np.mean([r.fractions for r in results.values()], axis=0),
        diagnostics={**first.diagnostics, **apart},
        flags=_flags_of_all(list(results.values())),
        method={**first.method, "pool": ", ".join(names)},
        draws=None,
        profile=Profile(grid[:, ::_SHOWN], log_density[:, ::_SHOWN]),
    )


def _mixture(profiles: Sequence[Any]) -> tuple[FloatArray, FloatArray]:
    """Common grids, and the log of the mean of normalised densities on them."""
    low = np.min([p.kappa.min(axis=1) for p in profiles], axis=0)
    high = np.max([p.kappa.max(axis=1) for p in profiles], axis=0)
    even = low[:, None] + (high - low)[:, None] * np.linspace(0.0, 1.0, _POINTS)
    # The points of every density, too: one may be far narrower than another.
    own = [profile.kappa for profile in profiles]
    grid = np.sort(np.concatenate([even, *own], axis=1), axis=1)
    density = np.zeros_like(grid)
    for profile in profiles:
        for i, x in enumerate(grid):
            density[i] += _normalised(profile.kappa[i], profile.log_density[i], x)
    density /= density.max(axis=1, keepdims=True)
    return grid, np.log(np.maximum(density, 1e-300))


def _normalised(
    kappa: FloatArray, log_density: FloatArray, x: FloatArray
) -> FloatArray:
    """A density, known on a grid of its own, at the points of another one."""
    logs = np.interp(x, kappa, log_density - log_density.max())
    density = np.where((x >= kappa[0]) & (x <= kappa[-1]), np.exp(logs), 0.0)
    return np.asarray(density / trapezoid(density, x))


def _flags_of_all(results: list[FractionResult]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        tuple(dict.fromkeys(name for flags in several for name in flags))
        for several in zip(*(result.flags for result in results), strict=True)
    )
