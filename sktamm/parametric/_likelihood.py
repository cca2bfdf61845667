"""Unbinned likelihood of parameters from learned density ratios.

With n events expected at theta_ref, ratios r of normalised densities and S of cross
sections,

    -2 ln L(theta) = 2 n [S(theta) - 1] - 2 sum_k w_k ln [S(theta) r(x_k | theta)]

relative to theta_ref: shape and rate; without the rate -2 sum_k w_k ln r. Nuisance
parameters move events and rate and cost nu^2 each.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse, stats
from sklearn.base import BaseEstimator

from sktamm._numerics import FloatArray
from sktamm._sklearn import (
    at_least,
    between,
    check_parameters,
    refuse_cross_val_predict,
)
from sktamm._validation import check_sum, read_weight, refuse_masked
from sktamm.events import TargetEvents, read_target
from sktamm.exceptions import InvalidInputError
from sktamm.parametric._answers import LikelihoodAnswers, one_theta
from sktamm.parametric._fisher import FisherInformation, expected_information
from sktamm.parametric._monomials import read_reference
from sktamm.parametric._normalisation import Reference
from sktamm.parametric._nuisance import read_shifts
from sktamm.parametric._objective import (
    EventRatios,
    LearnedEvents,
    Objective,
    PolynomialEvents,
)
from sktamm.parametric._profile import FittedLikelihood
from sktamm.parametric._source import ratio_of

__all__ = ["UnbinnedLikelihood"]


class UnbinnedLikelihood(LikelihoodAnswers, BaseEstimator):
    """Likelihood of parameters, event by event, from a fitted ratio estimator.

    ``fit`` takes the data; then ask for the best fit, intervals, ellipses, contours.
    ``predict`` answers for many datasets at once, so that coverage studies work.

    Parameters
    ----------
    ratio_estimator : ratio estimator
        Fitted, also in a search or Pipeline: ``log_ratio(X, theta)``,
        ``cross_section_ratio(theta)``, ``n_parameters_`` and ``theta_ref``. With
        ``predict`` and ``mean_derivatives_`` it is polynomial, and gradients are exact.
    expected_events : float, default=None
        Events expected at ``theta_ref``; for the rate, Asimov data and the information.
    include_rate : bool, default=True
        Use the number of events.
    nuisances : sequence of LogNormalNuisance, default=None
        Nuisance parameters, each constrained by a unit normal.
    bounds : sequence of pairs, default=None
        Lower and upper end of every parameter; None, or a None within, is no end.
    parameter : int, default=0
        Parameter that ``predict`` answers for, the others profiled.
    reference : array-like of shape (n_reference, n_features), default=None
        Events drawn at ``theta_ref``, to normalise densities that nuisance parameters
        move; needed only where these move the shape.
    reference_weight : array-like of shape (n_reference,), default=None
        Weights of these events.

    Attributes
    ----------
    n_parameters_ : int
        Number of parameters.
    n_events_ : float
        Sum of the weights of the data.

    Notes
    -----
    Events whose learned density is not positive stay in the likelihood, whose log
    continues as its tangent below D = 0.001; ``best_fit().n_non_positive`` counts them.

    Events of weights w count as (sum w)^2 / sum w^2 events in ``nll``, so that a common
    factor changes nothing but what the rate says; sum w is the yield, which scatters by
    sum w^2. Errors, profiles, intervals and regions are those of the sandwich. Rows are
    independent events, none split into several.

    The likelihood of parameters that enter squared has several minima and its regions
    may have several parts; a parameter whose sign has no meaning should be bounded.

    References
    ----------
    Bahl, Bresó, De Crescenzo, Plehn, arXiv:2410.07315; for weights Langenbruch,
    arXiv:1911.01303.

    Examples
    --------
    >>> import numpy as np
    >>> from sktamm.parametric import PolynomialRatio, UnbinnedLikelihood
    >>> rng = np.random.default_rng(0)
    >>> y = np.column_stack([rng.normal(size=1000), np.full(1000, 0.1)])
    >>> ratio = PolynomialRatio(mean_derivatives=[0.0, 0.1]).fit(y)
    >>> fit = UnbinnedLikelihood(ratio, 1000.0).fit(y)
    >>> interval = fit.interval(0, 0.95)
    >>> interval.lower < 0 < interval.upper
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "ratio_estimator": [object],
        "expected_events": [between(0, np.inf), None],
        "include_rate": ["boolean"],
        "nuisances": [object],
        "bounds": [object],
        "parameter": [at_least(0)],
        "reference": ["array-like", None],
        "reference_weight": ["array-like", None],
    }

    __metadata_request__fit = {"sample_weight": True}
    __metadata_request__predict = {
        "dataset": True,
        "sample_weight": True,
        "return_std": True,
        "return_interval": True,
    }

    def __init__(
        self,
        ratio_estimator: Any,
        expected_events: float | None = None,
        include_rate: bool = True,
        nuisances: Sequence[Any] | None = None,
        *,
        bounds: Sequence[Any] | None = None,
        parameter: int = 0,
        reference: Any = None,
        reference_weight: ArrayLike | None = None,
    ):
        self.ratio_estimator = ratio_estimator
        self.expected_events = expected_events
        self.include_rate = include_rate
        self.nuisances = nuisances
        self.bounds = bounds
        self.parameter = parameter
        self.reference = reference
        self.reference_weight = reference_weight

    def __sklearn_clone__(self) -> "UnbinnedLikelihood":
        """A likelihood without data, of the same fitted ratio."""
        return type(self)(**self.get_params(deep=False))

    # -------------------------------------------------------------------------- data
    def fit(
        self, X: Any, y: Any = None, *, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Take the observed events.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Observed events.
        y : None
            Not used.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, possibly negative, of independent events.

        Returns
        -------
        self : UnbinnedLikelihood
            Likelihood of these events.

        Raises
        ------
        InvalidInputError
            If an argument cannot be used.
        """
        objective = self._objective(X)
        weight = read_weight(sample_weight, objective.weight.size)
        if weight is not None:
            objective = objective.take(np.arange(weight.size), weight)
        return self._take(objective)

    def fit_asimov(
        self,
        X: Any,
        theta: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Take the data expected at theta, as weights of simulated events.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Events drawn at ``theta_ref``.
        theta : array-like of shape (n_parameters,), default=None
            True parameters; None is ``theta_ref``.
        sample_weight : array-like of shape (n_events,), default=None
            Weights that make the events a sample of ``theta_ref``.

        Returns
        -------
        self : UnbinnedLikelihood
            Likelihood of these data, weights w D times ``expected_events`` over sum w.
            The events also replace ``reference`` and give a polynomial ratio its cross
            sections: the best fit is ``theta`` if no D is negative there.
        """
        objective = self._objective(X)
        n_events = self._expected()
        point = one_theta(theta, objective.theta_ref)
        weight = read_weight(sample_weight, objective.weight.size)
        weight = objective.weight if weight is None else weight
        check_sum(weight)
        share = weight / weight.sum()
        events, reference = objective.events.with_totals_of(share), objective.reference
        if reference is not None:
            reference = Reference(events, objective.shifts, share)
        objective = replace(objective, events=events, reference=reference)
        density = np.exp(objective.events.log_density(point[None])[:, 0])
        weight = n_events * weight * density / weight.sum()
        # Expected numbers of events, each of weight one.
        return self._take(objective.take(np.arange(weight.size), weight, weight))

    # ----------------------------------------------------------------------- answers
    def fisher_information(
        self,
        X: Any,
        theta: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        data_weight: ArrayLike | None = None,
    ) -> FisherInformation:
        """Expected information of all parameters.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Events drawn at ``theta_ref``.
        theta : array-like of shape (n_parameters,), default=None
            Where; None is ``theta_ref``.
        sample_weight : array-like of shape (n_events,), default=None
            Weights that make the events a sample of ``theta_ref``.
        data_weight : array-like of shape (n_events,), default=None
            Positive weights of such events in the data, of sum ``expected_events``;
            None is one. Data of few events of large weight know less.

        Returns
        -------
        information : FisherInformation
            ``profiled`` and ``projected`` reduce it.
        """
        objective = self._objective(X)
        n_events = self._expected()
        weight = read_weight(sample_weight, objective.weight.size)
        if weight is not None:
            check_sum(weight)
            objective = objective.take(np.arange(weight.size), weight)
        point = one_theta(theta, objective.theta_ref)
        v = _read_data_weight(data_weight, objective.weight.size)
        rate = self.include_rate
        matrix = expected_information(objective, point, n_events, rate, v)
        names = [f"theta_{k}" for k in range(point.size)]
        names += [n.name for n in self.nuisances or ()]
        return FisherInformation(matrix, point, tuple(names))

    def predict(
        self,
        X: Any,
        *,
        dataset: Any = None,
        sample_weight: ArrayLike | None = None,
        return_std: bool = False,
        return_interval: float | Sequence[float] | None = None,
    ) -> Any:
        """Best fit of ``parameter`` for every dataset; needs no ``fit``.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Observed events.
        dataset : array-like or sparse matrix, default=None
            None: all events are one dataset. Shape (n_events,): one id per event, one
            value per sorted id. Shape (n_events, n_datasets): counts of the events.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, possibly negative.
        return_std : bool, default=False
            Whether to return the standard error too.
        return_interval : float or sequence of float, default=None
            Level or levels of intervals to return too.

        Returns
        -------
        theta : ndarray of shape (n_datasets,)
            Best fit.
        std : ndarray of shape (n_datasets,)
            Standard error, or half the 68.3 % interval where second derivatives say
            nothing; only if ``return_std``.
        interval : ndarray of shape (n_datasets, 2) or (n_datasets, 2, n_levels)
            Outermost ends, for one level or several; only if asked.
        """
        refuse_cross_val_predict()
        levels = () if return_interval is None else np.atleast_1d(return_interval)
        # No event observed is a result too.
        shape = getattr(dataset, "shape", np.shape(dataset))
        n_datasets = shape[1] if len(shape) == 2 else 1
        datasets = [(np.arange(0), np.zeros(0), np.zeros(0))] * n_datasets
        if len(X):
            target = read_target(
                X,
                dataset=dataset,
                sample_weight=sample_weight,
                n_features=np.shape(X)[1] if np.ndim(X) == 2 else 0,
                feature_names=_names(X),
                estimator_name=type(self).__name__,
                may_be_empty=True,
            )
            datasets = _datasets(target)
        objective = self._objective(X)
        answers = [
            self._answer(objective.take(*events), levels, return_std)
            for events in datasets
        ]
        theta, std = (np.array([a[k] for a in answers]) for k in (0, 1))
        result: list[NDArray[Any]] = [theta, std] if return_std else [theta]
        if return_interval is not None:
            ends = np.stack([a[2] for a in answers])
            result.append(ends[:, :, 0] if np.ndim(return_interval) == 0 else ends)
        return result[0] if len(result) == 1 else tuple(result)

    # ------------------------------------------------------------------- private steps
    def _answer(
        self, objective: Objective, levels: Any, with_std: bool
    ) -> tuple[float, float, FloatArray]:
        likelihood, i = self._search(objective), self.parameter
        likelihood.check(i)
        std = np.nan
        if with_std:
            std = float(likelihood.best_fit().std[i])
        if with_std and not np.isfinite(std):
            one = likelihood.interval(i, 2 * stats.norm.cdf(1.0) - 1, "profile")
            std = 0.5 * (one.upper - one.lower)
        found = [likelihood.interval(i, level, "profile") for level in levels]
        ends = np.array([[f.lower for f in found], [f.upper for f in found]])
        return float(likelihood.minima.points[0, i]), std, ends

    def _search(self, objective: Objective) -> FittedLikelihood:
        total = objective.weight.sum()
        if total < 0:
            raise InvalidInputError(
                f"sample_weight must not have a negative sum, got {total:g}."
            )
        if total == 0 and objective.square.any():
            raise InvalidInputError(
                "sample_weight must not sum to zero, which no number of events is "
                f"worth, unless all are zero, got {objective.weight.size} others."
            )
        return FittedLikelihood.search(objective.in_effective_events())

    def _objective(self, X: Any) -> Objective:
        """Function of the parameters for events of weight one."""
        check_parameters(self)
        estimator = ratio_of(self.ratio_estimator)
        for name in ("log_ratio", "cross_section_ratio", "n_parameters_", "theta_ref"):
            if not hasattr(estimator, name):
                raise InvalidInputError(
                    "ratio_estimator must be a fitted ratio estimator, but "
                    f"{type(self.ratio_estimator).__name__} has no {name!r}."
                )
        events = self._ratios(X)
        return Objective(
            events=events,
            shifts=read_shifts(self.nuisances, X, len(X)),
            weight=np.ones(len(X)),
            square=np.ones(len(X)),
            expected=self._expected() if self.include_rate else None,
            theta_ref=read_reference(estimator.theta_ref, events.n_parameters),
            bounds=_read_limits(self.bounds, events.n_parameters),
            reference=self._read_reference(),
        )

    def _ratios(self, X: Any) -> EventRatios:
        estimator = ratio_of(self.ratio_estimator)
        n_parameters = int(estimator.n_parameters_)
        refuse_masked(X, "X")
        X = X if hasattr(X, "iloc") else np.asarray(X, dtype=float)
        if not hasattr(estimator, "mean_derivatives_"):
            return LearnedEvents(estimator, X, n_parameters)
        mean = np.asarray(estimator.mean_derivatives_, dtype=float)
        y = estimator.predict(X) if len(X) else np.zeros((0, mean.size))
        reference = read_reference(estimator.theta_ref, n_parameters)
        return PolynomialEvents(np.asarray(y, dtype=float), mean, reference)

    def _read_reference(self) -> Reference | None:
        """What normalises shifted densities, where there are any."""
        if all(nuisance.up is None for nuisance in self.nuisances or ()):
            return None
        if self.reference is None:
            raise InvalidInputError(
                "reference must hold events drawn at theta_ref where nuisance "
                "parameters move the shape, got None."
            )
        n_events = len(self.reference)
        weight = read_weight(self.reference_weight, n_events)
        weight = np.ones(n_events) if weight is None else weight
        shifts = read_shifts(self.nuisances, self.reference, n_events)
        return Reference(self._ratios(self.reference), shifts, weight / weight.sum())

    def _expected(self) -> float:
        if self.expected_events is None:
            raise InvalidInputError(
                "expected_events must be a positive number for the rate, Asimov data "
                "and the Fisher information, got None."
            )
        return float(self.expected_events)

    def _take(self, objective: Objective) -> Self:
        self.n_parameters_ = objective.n_parameters
        self.n_events_ = float(objective.weight.sum())
        self._fitted_ = self._search(objective)
        return self


def _read_data_weight(data_weight: Any, n_events: int) -> FloatArray | None:
    weight = read_weight(data_weight, n_events, "data_weight")
    if weight is not None and not (weight > 0).all():
        raise InvalidInputError(
            f"data_weight must be positive, got {weight.min():g} among others."
        )
    return weight


def _read_limits(bounds: Any, n_parameters: int) -> FloatArray:
    if bounds is None:
        return np.tile([-np.inf, np.inf], (n_parameters, 1))
    try:
        ends = np.array([[_end(low, 0), _end(high, 1)] for low, high in bounds])
    except (TypeError, ValueError):
        ends = np.empty(0)
    if ends.shape != (n_parameters, 2):
        raise InvalidInputError(
            f"bounds must hold one pair for each of {n_parameters} parameters, got "
            f"{bounds!r}."
        )
    if not (ends[:, 0] < ends[:, 1]).all():
        raise InvalidInputError(
            f"bounds must hold a lower and a higher end, got {bounds!r}."
        )
    return ends


def _end(value: Any, k: int) -> float:
    """End of a range; None is none."""
    return (-np.inf, np.inf)[k] if value is None else float(value)


def _names(X: Any) -> tuple[str, ...] | None:
    """Column names of a frame, which then agree with themselves."""
    columns = getattr(X, "columns", None)
    if columns is None or not all(isinstance(c, str) for c in columns):
        return None
    return tuple(columns)


def _datasets(
    target: TargetEvents,
) -> list[tuple[NDArray[np.intp], FloatArray, FloatArray]]:
    """Events of every dataset, sums of their weights, and of the squares of these."""
    n_events = len(target.X)
    weight = np.ones(n_events) if target.weight is None else target.weight
    if target.counts is None:
        return [(np.arange(n_events), weight, weight**2)]
    counts = sparse.csc_array(target.counts)
    parts = []
    for k in range(target.n_datasets):
        span = slice(counts.indptr[k], counts.indptr[k + 1])
        rows = np.asarray(counts.indices[span], dtype=np.intp)
        here, n_times = weight[rows], counts.data[span]
        parts.append((rows, here * n_times, here**2 * n_times))
    return parts
