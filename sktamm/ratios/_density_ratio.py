"""Log density ratios of all simulations at once, from one classifier.

One multi-class classifier over every source k (class and simulation) gives, with the
shares pi_k of the sources in its training sample, the ratio to the pooled reference
p_ref = mean_k p_k,

    ln r_k(x) = ln P_k(x)/pi_k - ln mean_j P_j(x)/pi_j,

whatever the sizes and weights of the sources (arXiv:2604.02219). Members of an ensemble
are averaged or blended by the convex problem of `sktamm.ratios._wifi`
(arXiv:2506.00113). Everything after the classifier uses events it has not seen, and the
normalisation E_ref[r_k] = 1 is enforced on them.
"""

import copy
from dataclasses import replace
from numbers import Integral
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sktamm._numerics import FloatArray
from sktamm._sklearn import (
    at_least,
    between,
    check_parameters,
    get_feature_names,
    one_of,
)
from sktamm._validation import read_weight
from sktamm.base import RatioError
from sktamm.events import (
    SimulatedEvents,
    read_simulations,
    read_sources,
    read_target,
    warn_about_simulations,
)
from sktamm.exceptions import InvalidInputError
from sktamm.learning import ClassifierEnsemble, make_classifier
from sktamm.ratios._calibration import closure_table
from sktamm.ratios._log_linear import mean_model
from sktamm.ratios._moments import Coordinates, Moments, SmoothFunctions
from sktamm.ratios._reference import (
    CONTROL,
    RatioReference,
    fit_reference,
    ratio_functions,
)
from sktamm.ratios._sample import (
    HeldOut,
    canonical,
    cross_fit,
    hold_out,
    log_ratios,
)

__all__ = ["DensityRatio"]

_BLOCK = 65_536  # rows worked on at a time: tens of megabytes


class DensityRatio(BaseEstimator):
    """Log ratios of every (class, simulation) source to their equal mixture.

    Parameters
    ----------
    classifier : {"mlp", "lightgbm", "logistic"} or classifier, default="mlp"
        What separates the sources: a stacked ensemble of perceptrons, boosted trees, a
        quadratic logistic regression, or any scikit-learn classifier or Pipeline with
        ``predict_proba``.
    n_members : int, default=4
        Members of the ensemble.
    ensemble : {"mean", "wifi"}, default="mean"
        Average of the members' log ratios, or the blend that minimises the symmetrised
        MLC loss on held-out events.
    resample : {"bootstrap", "partition", "none"}, default="bootstrap"
        Which training events a member sees.
    holdout : float, default=0.25
        Largest share of every source that is kept from the classifier, for the
        reference sample and everything fitted on it.
    cv : int or None, default=None
        Number of folds of cross-fitting instead: every event is trained on and, by the
        fold that has not seen it, held out.
    calibration : {"moments", "temperature", "isotonic"} or None, default="moments"
        "moments" tilts every ratio so that it reproduces the smooth moments of its
        simulation; the others calibrate on held-out events.
    shrink : bool, default=True
        Draw the learned log ratios towards those of a log-linear model, as far as
        held-out events ask for: less noise where the densities are smooth.
    n_reference : int, default=200_000
        Largest number of reference rows of all sources together.
    n_jobs : int or None, default=None
        Members trained at the same time; networks use all cores anyway.
    progress : bool, default=False
        Show the progress of the training, for "mlp".
    random_state : int, RandomState instance or None, default=None
        Seed of split and training.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    source_class_ : ndarray of int, shape (n_components,)
        Class index of every source; columns of the ratios.
    source_id_ : ndarray of shape (n_components,)
        Simulation id of every source.
    reference_weight_ : ndarray of shape (n_reference,)
        Probability of every reference row under the equal mixture.
    fitted_reference_ : RatioReference
        The reference rows and what was fitted on them: blend, calibration and
        ``shrinkage``, the shares of what was learned beyond the log-linear model.
    closure_ : pandas.DataFrame of n_components rows
        Closure of every ratio on the reference; see `closure`.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of str
        Names of the features, when fitted on a data frame.

    References
    ----------
    arXiv:2604.02219 (one softmax over all sources), arXiv:2506.00113 (ensembles),
    Breiman, Machine Learning 24 (1996) 49 (shrinkage by held-out events).

    Examples
    --------
    >>> from sktamm.ratios import DensityRatio
    >>> from sktamm.datasets import make_gaussian_study
    >>> study = make_gaussian_study(n_simulations=3, n_events=500, random_state=0)
    >>> ratio = DensityRatio("logistic", n_members=2, random_state=0)
    >>> ratio = ratio.fit(study.X, study.y, simulation=study.simulation)
    >>> ratio.predict_log_ratio(study.X_target[:4]).shape
    (4, 6)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "classifier": [object],
        "n_members": [at_least(1)],
        "ensemble": [one_of("mean", "wifi")],
        "resample": [one_of("bootstrap", "partition", "none")],
        "holdout": [between(0.0, 1.0)],
        "cv": [at_least(2), None],
        "calibration": [one_of("moments", "temperature", "isotonic"), None],
        "shrink": ["boolean"],
        "n_reference": [at_least(2)],
        "n_jobs": [Integral, None],
        "progress": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        classifier: Any = "mlp",
        *,
        n_members: int = 4,
        ensemble: Literal["mean", "wifi"] = "mean",
        resample: Literal["bootstrap", "partition", "none"] = "bootstrap",
        holdout: float = 0.25,
        cv: int | None = None,
        calibration: Literal["moments", "temperature", "isotonic"] | None = "moments",
        shrink: bool = True,
        n_reference: int = 200_000,
        n_jobs: int | None = None,
        progress: bool = False,
        random_state: Any = None,
    ):
        self.classifier = classifier
        self.n_members = n_members
        self.ensemble = ensemble
        self.resample = resample
        self.holdout = holdout
        self.cv = cv
        self.calibration = calibration
        self.shrink = shrink
        self.n_reference = n_reference
        self.n_jobs = n_jobs
        self.progress = progress
        self.random_state = random_state

    # ------------------------------------------------------------------------- fit
    def fit(
        self,
        X: Any,
        y: ArrayLike,
        *,
        simulation: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train on labelled events of the simulations.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Simulated events.
        y : array-like of shape (n_events,)
            Class label of each event.
        simulation : array-like of shape (n_events,), default=None
            Simulation id of each event; None is one simulation per class.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, possibly negative; those are shared out among the nearest
            events of their source.

        Returns
        -------
        self : DensityRatio
            Fitted ratios.

        Raises
        ------
        InvalidInputError
            If the input cannot be used, such as a source with too few events.
        IncompatibleChoiceError
            If the classifier has no ``predict_proba``, or takes no weights when they
            are given, or a setting has no meaning.

        Warns
        -----
        FeatureWarning
            If a feature looks like bookkeeping.
        """
        events = read_simulations(
            X, y, simulation=simulation, sample_weight=sample_weight
        )
        names = get_feature_names(X)
        if names is not None:
            self.feature_names_in_ = np.asarray(names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        warn_about_simulations(events.X, events.source, names)
        return self.fit_events(events)

    def fit_events(self, events: SimulatedEvents) -> Self:
        """Train on events that were read already.

        Parameters
        ----------
        events : SimulatedEvents
            Labelled events of all simulations.

        Returns
        -------
        self : DensityRatio
            Fitted ratios.
        """
        check_parameters(self)
        rng = check_random_state(self.random_state)
        sample = canonical(events)
        model = self._make_ensemble()
        size = max(2, int(self.n_reference) // sample.n_sources)
        self.coordinates_ = Coordinates().fit(sample.X)
        smooth = ratio_functions(self.coordinates_) if self.shrink else None
        if self.cv is None:
            parts = hold_out(sample, model, self.holdout, size, rng, smooth)
        else:
            parts = cross_fit(sample, model, int(self.cv), size, rng, smooth)
        self.models_, pool = parts
        self.n_features_in_ = events.X.shape[1]
        self.classes_ = events.classes
        self.all_source_class_, self.all_source_id_ = (
            sample.source_class,
            sample.source_id,
        )
        functions = SmoothFunctions(self.coordinates_, *CONTROL)
        self.all_moments_ = Moments.of(
            functions, sample.X, sample.source, sample.weight
        )
        self._set_sources(pool, np.arange(sample.n_sources))
        return self

    def _make_ensemble(self) -> ClassifierEnsemble:
        classifier = make_classifier(self.classifier, self.progress)
        resample = "none" if self.n_members == 1 else self.resample
        return ClassifierEnsemble(
            classifier,
            n_members=self.n_members,
            resample=resample,
            n_jobs=self.n_jobs,
        )

    def _set_sources(self, pool: HeldOut, sources: NDArray[np.intp]) -> None:
        """Make some sources of the pool the components, their mixture the reference."""
        self.held_out_, self.sources_ = pool, sources
        self.source_class_ = self.all_source_class_[sources]
        self.source_id_ = self.all_source_id_[sources]
        self._closure_table: pd.DataFrame | None = None
        models = [trained.log_linear for trained in self.models_]
        self.fitted_reference_: RatioReference = fit_reference(
            pool.take_sources(sources),
            self.source_class_,
            self.all_moments_.take(sources),
            mean_model(models, sources) if self.shrink else None,
            self.ensemble,
            self.calibration,
            shared_sample=self.resample == "bootstrap",
        )
        self.reference_ = self.fitted_reference_.rows
        self.reference_weight_ = self.reference_.weight
        self.reference_log_ratio_ = self.fitted_reference_.log_ratio

    @property
    def closure_(self) -> pd.DataFrame:
        """Closure of every ratio on the reference, computed when first asked for."""
        check_is_fitted(self)
        if self._closure_table is None:
            part = (self.reference_, self.reference_log_ratio_)
            self._closure_table = self._closure(*part)
        return self._closure_table

    def take(self, simulations: ArrayLike) -> "DensityRatio":
        """The same classifier for some of the simulations, without training.

        Parameters
        ----------
        simulations : array-like
            Ids to keep, in every class that has them; the reference becomes their
            equal mixture.

        Returns
        -------
        ratio : DensityRatio
            Fitted ratios of the remaining sources.
        """
        check_is_fitted(self)
        kept = np.isin(self.source_id_, np.asarray(simulations))
        if np.unique(self.source_class_[kept]).size < self.classes_.size:
            raise InvalidInputError(
                "simulations must leave at least one source of every class, got "
                f"{np.asarray(simulations).tolist()}."
            )
        part = copy.copy(self)
        part._set_sources(self.held_out_, self.sources_[kept])
        return part

    # ----------------------------------------------------------------- public verbs
    def predict_log_ratio(self, X: Any) -> FloatArray:
        """Ln[p_k(x) / p_ref(x)] of every source.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Events.

        Returns
        -------
        log_ratio : ndarray of shape (n_events, n_components)
            Columns follow ``source_class_`` and ``source_id_``.
        """
        return self.fitted_reference_.blend.log_ratio(self.predict_members(X))

    def predict_with_error(self, X: Any) -> tuple[FloatArray, RatioError]:
        """Log ratios at events, and what training and finite samples leave unknown.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Events.

        Returns
        -------
        log_ratio : ndarray of shape (n_events, n_components)
            As `predict_log_ratio` gives it.
        error : RatioError
            Random coefficients of known functions, at the events and at the reference
            rows, with their covariance.
        """
        check_is_fitted(self)
        X = self._read_features(X)
        members, fitted = self._members(X), self.fitted_reference_
        return fitted.blend.log_ratio(members), fitted.error(X, members)

    def predict_members(self, X: Any) -> NDArray[np.float32]:
        """Log ratios of every member of the ensemble.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Events.

        Returns
        -------
        members : ndarray of shape (n_events, n_components, n_members)
            Before blending and normalisation.
        """
        check_is_fitted(self)
        return self._members(self._read_features(X))

    def _members(self, X: FloatArray) -> NDArray[np.float32]:
        shape = (len(X), self.sources_.size, self.reference_.members.shape[2])
        out = np.zeros(shape, dtype=np.float32)
        for start in range(0, len(X), _BLOCK):
            rows = slice(start, start + _BLOCK)
            for trained in self.models_:
                out[rows] += log_ratios(trained, X[rows], self.sources_)
        out /= len(self.models_)
        return self.fitted_reference_.refined(X, out)

    def score(
        self,
        X: Any,
        y: ArrayLike,
        *,
        simulation: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Mean over the sources of E_k[ln r_k]; higher is better.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Labelled events of sources seen at fit.
        y : array-like of shape (n_events,)
            Class labels.
        simulation : array-like of shape (n_events,), default=None
            Simulation ids.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights.

        Returns
        -------
        score : float
            The information that separates the sources, in nats; 0 if there is none.
        """
        sample = self._labelled(X, y, simulation, sample_weight)
        own = self.predict_log_ratio(X)[np.arange(len(sample.source)), sample.source]
        present = np.unique(sample.source)
        return float((sample.weight * own).sum() * self.sources_.size / present.size)

    def closure(
        self,
        X: Any,
        y: ArrayLike,
        *,
        simulation: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> pd.DataFrame:
        """Compare the pooled events reweighted by r_k with those of source k.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Labelled events of every source, not used in the training.
        y : array-like of shape (n_events,)
            Class labels.
        simulation : array-like of shape (n_events,), default=None
            Simulation ids.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights.

        Returns
        -------
        closure : pandas.DataFrame of n_components rows
            Class, simulation, E_ref[r_k], effective number of reweighted events,
            largest log ratio, chi2 per degree of freedom over the quantile bins of all
            features and its p-value.
        """
        sample = self._labelled(X, y, simulation, sample_weight)
        missing = np.setdiff1d(np.arange(self.sources_.size), sample.source)
        if missing.size:
            raise InvalidInputError(
                "X must hold events of every source for the closure, but "
                f"{missing.size} have none, the first is simulation "
                f"{self.source_id_[missing[0]]}."
            )
        return self._closure(sample, self.predict_log_ratio(X))

    # --------------------------------------------------------------- private steps
    def _closure(self, sample: HeldOut, log_ratio: FloatArray) -> pd.DataFrame:
        table = closure_table(sample.X, sample.source, sample.weight, log_ratio)
        table.insert(0, "simulation", self.source_id_)
        table.insert(0, "class", self.classes_[self.source_class_])
        return table

    def _read_features(self, X: Any) -> FloatArray:
        names = getattr(self, "feature_names_in_", None)
        return read_target(
            X,
            n_features=self.n_features_in_,
            feature_names=None if names is None else tuple(names),
            estimator_name=type(self).__name__,
        ).X

    def _labelled(
        self, X: Any, y: ArrayLike, simulation: Any, sample_weight: Any
    ) -> HeldOut:
        check_is_fitted(self)
        X = self._read_features(X)
        given = read_sources(y, simulation=simulation, n_events=len(X))
        column = np.empty(given.n_sources, dtype=np.intp)
        for i in range(given.n_sources):
            label, name = given.classes[given.source_class[i]], given.source_id[i]
            match = (self.classes_[self.source_class_] == label) & (
                self.source_id_ == name
            )
            if match.sum() != 1:
                raise InvalidInputError(
                    f"y and simulation must name sources seen at fit, got {name} of "
                    f"class {label}."
                )
            column[i] = np.flatnonzero(match)[0]
        weight = read_weight(sample_weight, len(X))
        weight = np.ones(len(X)) if weight is None else weight
        members = np.zeros((len(X), 0, 0), np.float32)
        held = HeldOut(X, column[given.source], weight, members)
        return replace(held, weight=held.balanced(self.sources_.size))
