"""The general estimator: components x form x prior x inference.

A template-adapted mixture model (arXiv:2604.02219) is a regressor of datasets: a row of
X is an event, what is predicted is the signal fraction kappa of a dataset of events,

    p(x) = kappa s(x) + (1 - kappa) b(x),

with s and b blended from many wrong simulations while kappa is inferred.
"""

from contextlib import nullcontext
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from joblib import parallel_config
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sktamm._numerics import FloatArray, project_to_simplex
from sktamm._sklearn import between, check_parameters, one_of
from sktamm.base import ComponentTable
from sktamm.components import EventCounts
from sktamm.events import Pairing
from sktamm.exceptions import InvalidInputError
from sktamm.inference import Answer
from sktamm.mixture import MixtureModel
from sktamm.results import FractionResult
from sktamm.tamm._choices import (
    FormChoice,
    InferenceChoice,
    PriorChoice,
    choose,
    choose_form,
    describe,
    seed_sequence,
)
from sktamm.tamm._door import (
    look_at,
    read_counts,
    read_question,
    read_training,
    warn_single,
)
from sktamm.tamm._exchangeable import look_at_exchangeability
from sktamm.tamm._report import make_result, warn_about
from sktamm.tamm._truth import owner
from sktamm.tamm._verbs import FractionVerbs
from sktamm.templates import is_histogram

__all__ = ["TAMMRegressor"]


class TAMMRegressor(FractionVerbs):
    """Signal fraction of datasets from several imperfect simulations.

    The general estimator: its first four arguments are the choices of the method, each
    a name or an object.

    Parameters
    ----------
    components : {"raw", "topics", "score", "ratios", "ratio_topics"} or component \
            model, default="raw"
        What blends: every simulation or a few topics per class, binned (in a learned
        score), or the same unbinned from learned density ratios.
    form : {"linear", "exponential", "auto"} or form, default="exponential"
        Weighted sum or product of the components; "auto" is linear where simulations of
        a class overlap by less than 0.25 where they blend, or the prior asks for it.
    prior : {"auto", "dirichlet", "ridge", "simulations", "shrinkage"} or prior, \
            default="auto"
        Prior of the blend: "dirichlet" for the linear form, the others for the
        exponential one. "auto" is "dirichlet" or "shrinkage".
    inference : {"bayesian", "frequentist"} or inference, default="bayesian"
        Statistics.
    pos_label : label, default=None
        The class whose fraction is kappa; None is the last of the sorted classes.
    paired : bool or "auto", default="auto"
        Whether equal simulation ids in different classes mean the same simulation.
    level : float, default=0.683
        Level of the interval that ``score`` judges.
    bounded : bool, default=False
        Confine frequentist estimates and intervals to [0, 1]; the Bayesian prior always
        does.
    n_jobs : int, default=None
        Threads that share the datasets, processes where chains sample bins or a
        thousand datasets are binned, and processes that share the training of parts
        without n_jobs of their own; the numbers do not depend on it.
    random_state : int, RandomState instance or None, default=None
        Seed of everything random.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    pos_label_ : label
        The class whose fraction is kappa.
    simulations_ : ndarray of shape (n_simulations,)
        Sorted simulation ids.
    paired_ : bool
        Whether simulations of different classes belong together by id.
    components_ : component model
        Fitted components.
    form_, prior_, inference_ : object
        The other choices of the method, as they were used.
    overlap_ : ndarray of shape (n_classes,)
        Overlap of the simulations of every class: one if they are equal.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of str
        Names of the features, when fitted on a data frame or on histograms whose axes
        have names or labels.

    See Also
    --------
    BinnedTopicTAMM, ScoreTAMM, NeuralRatioTAMM : Presets.

    References
    ----------
    Alvarez, Benevedes, Szewc, Thaler, "Many Wrongs Make a Right", arXiv:2604.02219.

    Examples
    --------
    >>> from sktamm import TAMMRegressor
    >>> from sktamm.datasets import make_gaussian_study
    >>> study = make_gaussian_study(n_simulations=6, n_events=2000, random_state=0)
    >>> tamm = TAMMRegressor(prior="simulations", random_state=0)
    >>> tamm = tamm.fit(study.X, study.y, simulation=study.simulation)
    >>> tamm.predict(study.X_target).shape
    (1,)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "components": [object],
        "form": [object],
        "prior": [object],
        "inference": [object],
        "pos_label": [object],
        "paired": ["boolean", one_of("auto")],
        "level": [between(0.0, 1.0)],
        "bounded": ["boolean"],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        components: Any = "raw",
        form: FormChoice = "exponential",
        prior: PriorChoice = "auto",
        inference: InferenceChoice = "bayesian",
        *,
        pos_label: Any = None,
        paired: Pairing = "auto",
        level: float = 0.683,
        bounded: bool = False,
        n_jobs: int | None = None,
        random_state: Any = None,
    ):
        self.components = components
        self.form = form
        self.prior = prior
        self.inference = inference
        self.pos_label = pos_label
        self.paired = paired
        self.level = level
        self.bounded = bounded
        self.n_jobs = n_jobs
        self.random_state = random_state

    # ------------------------------------------------------------------------- fit
    def _fit(self, events: dict[str, Any]) -> None:
        check_parameters(self)
        if self.n_jobs == 0:
            raise InvalidInputError("n_jobs must be None or a number but 0, got 0.")
        self.form_, self.prior_, self.inference_ = self._make_choices()
        sources = read_training(
            events["X"],
            events["y"],
            simulation=events["simulation"],
            sample_weight=events.get("sample_weight"),
            pos_label=self.pos_label,
            paired=self.paired,
            flow=self._make_components().flow,
        )
        self._set_features(sources)
        self.classes_ = sources.classes
        self.pos_label_ = sources.classes[sources.positive]
        self.paired_ = sources.paired
        self.simulations_ = np.unique(sources.source_id)
        self._warn_single(sources.source_class)
        if hasattr(self.prior_, "check_simulations"):
            self.prior_.check_simulations(sources.source_class, sources.source_id)
        # for parts that have no n_jobs of their own
        shared = self.n_jobs is not None
        with parallel_config(n_jobs=self.n_jobs) if shared else nullcontext():
            components = self._make_components().fit(sources)
        self.form_, self.prior_, _ = self._make_choices(components)
        self.components_ = self.form_.suited(components)
        self._exchangeable_ = look_at_exchangeability(self)

    @property
    def overlap_(self) -> FloatArray:
        """Overlap of the simulations of every class, shape (n_classes,)."""
        check_is_fitted(self)
        return self.components_.overlap()

    def _set_features(self, sources: Any) -> None:
        binned = not hasattr(sources, "X")
        number = len(sources.binning.edges) if binned else sources.X.shape[1]
        self.n_features_in_ = number
        if sources.feature_names is not None:
            self.feature_names_in_ = np.asarray(sources.feature_names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        self._seen_ = look_at(sources, self._features())

    def _features(self) -> tuple[str, ...]:
        """Names of the features, x0, x1, ... where they have none."""
        default = [f"x{j}" for j in range(self.n_features_in_)]
        return tuple(str(n) for n in getattr(self, "feature_names_in_", default))

    def _make_components(self) -> Any:
        return choose("components", self.components)

    def _told(self, components: Any) -> Any:
        """Components with the parameters that they have in common with a preset."""
        own = self.get_params(deep=False)
        known = set(own) & set(components.get_params(deep=False))
        return components.set_params(**{name: own[name] for name in known})

    def _make_choices(self, components: Any = None) -> tuple[Any, Any, Any]:
        """Form, prior and inference as objects, checked against each other."""
        inference = choose("inference", self.inference)
        inference.check()
        return *choose_form(self.form, self.prior, components), inference

    def _warn_single(self, source_class: NDArray[Any]) -> None:
        warn_single(self.classes_, source_class)

    # ------------------------------------------------------------------------ asking
    def _infer(self, X: Any, levels: Any, question: dict[str, Any]) -> FractionResult:
        chosen = self._chosen(levels)
        table, names = self.tabulate(X, **question)
        model, answer = self.solve(table, chosen)
        result = self._result(table, model, answer, names, chosen)
        warn_about(result)
        return result

    def _proba(self, X: Any, question: dict[str, Any]) -> FloatArray:
        if is_histogram(X) or isinstance(X, EventCounts):
            raise InvalidInputError(
                "X must hold events for predict_proba, got histograms or counts."
            )
        target = self._read_target(X, **question)
        own = owner(target, question["dataset"])
        table = self.components_.table(target)
        model, answer = self.solve(table, np.array([self.level]))
        fractions = project_to_simplex(model.fractions(answer.theta))
        log_density = model.class_log_density(answer.theta)
        row = self.components_.rows(target.X)
        joint = np.exp(log_density[own, :, row]) * fractions[own]
        joint[row < 0] = fractions[own[row < 0]]
        return joint / joint.sum(axis=1, keepdims=True)

    # ----------------------------------------- the two steps of infer, for diagnostics
    def tabulate(
        self, X: Any, dataset: Any, sample_weight: Any
    ) -> tuple[ComponentTable, NDArray[Any]]:
        """Table of the target, and the names of its datasets; arguments as `infer`."""
        if isinstance(X, EventCounts):
            own = getattr(self.components_, "templates_", None)
            counts, names = read_counts(X, dataset, sample_weight, own)
            return self.components_.table(counts), names
        target, names = read_question(
            X,
            dataset,
            sample_weight,
            fitted=self._fitted(),
            templates=getattr(self.components_, "templates_", None),
            seen=getattr(self, "_seen_", None),
        )
        return self.components_.table(target), names

    def solve(
        self, table: ComponentTable, levels: FloatArray
    ) -> tuple[MixtureModel, Answer]:
        """Mixture model of a table, and kappa of its datasets with intervals.

        ``levels`` (n_levels,).
        """
        model = self.form_.build(table, self.prior_)
        answer = self.inference_.infer(
            table,
            model,
            levels,
            informative=self.prior_.informative,
            bounded=self.bounded,
            seed=seed_sequence(self.random_state),
            n_jobs=self.n_jobs,
        )
        return model, answer

    # --------------------------------------------------------------- private steps
    def _result(
        self,
        table: ComponentTable,
        model: MixtureModel,
        answer: Answer,
        names: NDArray[Any],
        levels: FloatArray,
    ) -> FractionResult:
        features, tested = self._features(), getattr(self, "_exchangeable_", None)
        return make_result(
            table,
            model,
            answer,
            dataset=names,
            classes=self.classes_,
            pos_label=self.pos_label_,
            levels=levels,
            method=describe(self),
            templates=self.components_.adapted(
                table, lambda: np.exp(model.class_log_density(answer.theta)), features
            ),
            features=features,
            exchangeability=None if tested is None else tested.p_value,
        )
