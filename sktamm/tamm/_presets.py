"""The estimators a user starts from: the general one, its presets, and ``infer``.

Presets stand for the corners of the method (arXiv:2604.02219); each is `TAMMRegressor`
with other arguments.
"""

import copy
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sktamm.components import (
    RatioComponents,
    RatioTopicComponents,
    TopicComponents,
)
from sktamm.events import Pairing
from sktamm.exceptions import IncompatibleChoiceError
from sktamm.results import FractionResult
from sktamm.tamm._choices import (
    BasisChoice,
    FormChoice,
    InferenceChoice,
    PriorChoice,
    choose,
)
from sktamm.tamm._opened import opened
from sktamm.tamm._regressor import TAMMRegressor
from sktamm.tamm._score_preset import ScoreTAMM
from sktamm.templates import Bins, Flow

__all__ = [
    "BinnedTopicTAMM",
    "NeuralRatioTAMM",
    "ScoreTAMM",
    "TAMMRegressor",
    "infer",
]

_UNBINNED = {"raw": "ratios", "topics": "ratio_topics"}


class BinnedTopicTAMM(TAMMRegressor):
    """Signal fraction of binned data: `TAMMRegressor` with bins as its rows.

    Every simulation blends as it is by default; topics, a few densities that stand for
    many simulations, are one choice of what blends (``components="topics"``).

    Parameters
    ----------
    bins : "auto", int, sequence of int or sequence of arrays, default="auto"
        Bins of every feature, or the edges. "auto" takes as many as the simulated
        events can fill, at most ten per feature, or twenty of one.
    n_topics : int, default=20
        Topics per class for ``components="topics"``.
    components : {"topics", "raw"}, default="raw"
        What blends: a few topics per class, or every simulation.
    form : {"linear", "exponential", "auto"} or form, default="exponential"
        Weighted sum or weighted product of the components. "auto" is linear where the
        simulations of a class overlap by less than 0.25, in the bins or the projection
        that blend, or where the prior asks for it.
    prior : {"auto", "dirichlet", "ridge", "simulations", "shrinkage"} or prior, \
            default="auto"
        Prior of the blend; "auto" is "dirichlet" (linear) or "shrinkage" (exponential).
    inference : {"bayesian", "frequentist"} or inference, default="bayesian"
        Statistics.
    strategy : {"auto", "uniform", "quantile"}, default="auto"
        Bins of equal width or equal content; "auto" takes the latter for features so
        skewed that one bin of equal width would hold more than a quarter of the events.
    range : sequence of pairs or None, default=None
        Lower and upper end of every feature; None takes them from the simulations.
    flow : {"clip", "bins", "drop", "refuse"}, default="clip"
        What happens to events beyond the edges.
    basis : {"auto", "polynomial", "spline", "principal", "bins"} or object, \
            default="auto"
        Functions of the function-space prior: smooth ones, or one per bin ("bins") for
        labels and clusters. "auto" takes the latter where, along a feature, simulations
        differ between neighbours as they do between any two bins.
    smooth : bool, default=True
        Remove the noise of finite simulations from the templates, where bins have an
        order; structure that is significant stays.
    pos_label : label, default=None
        The class whose fraction is kappa; None is the last of the sorted classes.
    paired : bool or "auto", default="auto"
        Whether equal simulation ids in different classes mean the same simulation.
    level : float, default=0.683
        Level of the interval that ``score`` judges.
    bounded : bool, default=False
        Confine frequentist estimates and intervals to [0, 1].
    n_jobs : int, default=None
        Threads that share the datasets, processes where chains sample bins or a
        thousand datasets are binned; the numbers do not depend on it.
    random_state : int, RandomState instance or None, default=None
        Seed of everything random.

    See Also
    --------
    TAMMRegressor : The general estimator, which documents attributes and methods.

    Notes
    -----
    The published setting, Bayesian topic modelling, is ``components="topics",
    form="linear", n_topics=20``.

    References
    ----------
    Alvarez, Benevedes, Szewc, Thaler, "Many Wrongs Make a Right", arXiv:2604.02219.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> study = make_gaussian_study(n_simulations=8, n_events=5000, random_state=5)
    >>> tamm = BinnedTopicTAMM(random_state=0)
    >>> tamm = tamm.fit(study.X, study.y, simulation=study.simulation)
    >>> kappa, interval = tamm.predict(study.X_target, return_interval=0.954)
    >>> bool(interval[0, 0] < study.kappa < interval[0, 1])
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **TAMMRegressor._parameter_constraints,
        **TopicComponents._parameter_constraints,
    }

    def __init__(
        self,
        bins: Bins | Literal["auto"] = "auto",
        n_topics: int = 20,
        components: Any = "raw",
        form: FormChoice = "exponential",
        prior: PriorChoice = "auto",
        inference: InferenceChoice = "bayesian",
        *,
        strategy: Literal["auto", "uniform", "quantile"] = "auto",
        range: Sequence[tuple[float, float] | None] | None = None,
        flow: Flow = "clip",
        basis: BasisChoice = "auto",
        smooth: bool = True,
        pos_label: Any = None,
        paired: Pairing = "auto",
        level: float = 0.683,
        bounded: bool = False,
        n_jobs: int | None = None,
        random_state: Any = None,
    ):
        super().__init__(
            components,
            form,
            prior,
            inference,
            pos_label=pos_label,
            paired=paired,
            level=level,
            bounded=bounded,
            n_jobs=n_jobs,
            random_state=random_state,
        )
        self.bins = bins
        self.n_topics = n_topics
        self.strategy = strategy
        self.range = range
        self.flow = flow
        self.basis = basis
        self.smooth = smooth

    def _make_components(self) -> Any:
        components = super()._make_components()
        named = isinstance(self.components, str)
        return self._told(components) if named else components


class NeuralRatioTAMM(TAMMRegressor):
    """Signal fraction of unbinned data from learned density ratios.

    `TAMMRegressor` with events as its rows: one classifier over all simulations gives
    every log density ratio at once.

    Parameters
    ----------
    ratio : {"mlp", "lightgbm", "logistic"}, classifier or DensityRatio, default="mlp"
        How the ratios are learned: by a stacked ensemble of perceptrons, boosted trees,
        a quadratic logistic regression, any scikit-learn classifier or Pipeline with
        ``predict_proba``; or a `DensityRatio`, which has all other settings of them.
    form : {"linear", "exponential", "auto"} or form, default="exponential"
        Weighted sum or weighted product of the components. "auto" is linear where the
        simulations of a class overlap by less than 0.25, in the bins or the projection
        that blend, or where the prior asks for it.
    prior : {"auto", "dirichlet", "ridge", "simulations", "shrinkage"} or prior, \
            default="auto"
        Prior of the blend; "auto" is "dirichlet" (linear) or "shrinkage" (exponential).
    inference : {"bayesian", "frequentist"} or inference, default="bayesian"
        Statistics.
    components : {"raw", "topics"} or component model, default="raw"
        What blends: every simulation, or a few topics per class.
    n_topics : int, default=20
        Topics per class for ``components="topics"``.
    basis : {"polynomial", "spline", "principal"} or object, default="polynomial"
        Smooth functions of the function-space prior.
    max_functions : int, default=240
        Largest number of these functions.
    projection : {"auto", "log_odds"} or None, default="auto"
        Whether the exponential form works with the space of all features (None) or with
        bins of the log odds of the classes ("log_odds"); "auto" projects where the
        simulations of a class overlap too little, or are too few for so many
        functions, to bend their densities. ``components_`` is then a
        `ProjectedRatios`.
    propagate : bool, default=True
        Propagate the error of the ratios into the interval.
    pos_label : label, default=None
        The class whose fraction is kappa; None is the last of the sorted classes.
    paired : bool or "auto", default="auto"
        Whether equal simulation ids in different classes mean the same simulation.
    level : float, default=0.683
        Level of the interval that ``score`` judges.
    bounded : bool, default=False
        Confine frequentist estimates and intervals to [0, 1].
    n_jobs : int, default=None
        Threads that share the datasets, and processes that share the classifiers of an
        ensemble; the numbers do not depend on it.
    random_state : int, RandomState instance or None, default=None
        Seed of everything random.

    See Also
    --------
    TAMMRegressor : The general estimator, which documents attributes and methods.

    Notes
    -----
    The published setting, frequentist neural estimation, is
    ``NeuralRatioTAMM(DensityRatio(ensemble="wifi"), prior="ridge",
    inference="frequentist")``.

    References
    ----------
    Alvarez, Benevedes, Szewc, Thaler, "Many Wrongs Make a Right", arXiv:2604.02219.

    Examples
    --------
    >>> from sktamm import NeuralRatioTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> study = make_gaussian_study(n_simulations=6, n_events=2000, random_state=1)
    >>> tamm = NeuralRatioTAMM("logistic", random_state=0)
    >>> tamm = tamm.fit(study.X, study.y, simulation=study.simulation)
    >>> kappa, interval = tamm.predict(study.X_target, return_interval=0.954)
    >>> bool(interval[0, 0] < study.kappa < interval[0, 1])
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **TAMMRegressor._parameter_constraints,
        **RatioComponents._parameter_constraints,
        **RatioTopicComponents._parameter_constraints,
    }

    def __init__(
        self,
        ratio: Any = "mlp",
        form: FormChoice = "exponential",
        prior: PriorChoice = "auto",
        inference: InferenceChoice = "bayesian",
        *,
        components: Any = "raw",
        n_topics: int = 20,
        basis: BasisChoice = "polynomial",
        max_functions: int = 240,
        projection: Literal["auto", "log_odds"] | None = "auto",
        propagate: bool = True,
        pos_label: Any = None,
        paired: Pairing = "auto",
        level: float = 0.683,
        bounded: bool = False,
        n_jobs: int | None = None,
        random_state: Any = None,
    ):
        super().__init__(
            components,
            form,
            prior,
            inference,
            pos_label=pos_label,
            paired=paired,
            level=level,
            bounded=bounded,
            n_jobs=n_jobs,
            random_state=random_state,
        )
        self.ratio = ratio
        self.n_topics = n_topics
        self.basis = basis
        self.max_functions = max_functions
        self.projection = projection
        self.propagate = propagate

    def take(self, simulations: Any) -> Self:
        """The fitted estimator with some of its simulations, without training.

        The one classifier over all simulations knows the ratios of any of them; the
        reference becomes their equal mixture.

        Parameters
        ----------
        simulations : array-like
            Ids to keep, in every class that has them.

        Returns
        -------
        part : NeuralRatioTAMM
            Fitted estimator; form, prior and inference follow the parameters as they
            are now.

        Examples
        --------
        >>> from sktamm import NeuralRatioTAMM
        >>> from sktamm.datasets import make_gaussian_study
        >>> study = make_gaussian_study(n_simulations=4, n_events=500, random_state=1)
        >>> tamm = NeuralRatioTAMM("logistic", random_state=0)
        >>> tamm = tamm.fit(study.X, study.y, simulation=study.simulation)
        >>> tamm.take([0, 1, 3]).simulations_
        array([0, 1, 3])
        """
        check_is_fitted(self)
        part = copy.copy(self)
        part.components_ = self.components_.take(simulations)
        part.form_, part.prior_, part.inference_ = self._make_choices(self.components_)
        part.simulations_ = np.unique(part.components_.ratio_.source_id_)
        return part

    def held_out(self) -> dict[str, Any]:
        """Labelled events that the classifier has not seen, for validation.

        Returns
        -------
        events : dict
            ``X`` of shape (n_events, n_features); ``y``, ``simulation`` and
            ``sample_weight`` (None when all are equal) of shape (n_events,).

        Examples
        --------
        >>> from sktamm import NeuralRatioTAMM
        >>> from sktamm.datasets import make_gaussian_study
        >>> study = make_gaussian_study(n_simulations=4, n_events=500, random_state=1)
        >>> tamm = NeuralRatioTAMM("logistic", random_state=0)
        >>> tamm = tamm.fit(study.X, study.y, simulation=study.simulation)
        >>> tamm.held_out()["X"].shape
        (1000, 2)
        """
        check_is_fitted(self)
        ratio = self.components_.ratio_
        pool = ratio.held_out_
        rows = np.isin(pool.source, ratio.sources_)
        source, weight = pool.source[rows], pool.weight[rows]
        return {
            "X": pool.X[rows],
            "y": self.classes_[ratio.all_source_class_[source]],
            "simulation": ratio.all_source_id_[source],
            "sample_weight": None if (weight == weight[0]).all() else weight,
        }

    def _make_components(self) -> Any:
        if not isinstance(self.components, str):
            return choose("components", self.components)
        if self.components not in _UNBINNED:
            raise IncompatibleChoiceError(
                f"components must be one of {sorted(_UNBINNED)} or an object, got "
                f"{self.components!r}."
            )
        return self._told(choose("components", _UNBINNED[self.components]))


def infer(estimator: Any, X: Any, **keywords: Any) -> FractionResult:
    """Infer through Pipelines and searches, which have no ``infer`` of their own.

    Parameters
    ----------
    estimator : estimator
        Fitted estimator with ``infer``, or fitted Pipeline or search ending in one.
    X : array-like of shape (n_events, n_features)
        Unlabelled events, before the transformers of a Pipeline.
    **keywords
        Passed to the ``infer`` of the final estimator: dataset, sample_weight, levels,
        blind.

    Returns
    -------
    result : FractionResult
        Everything about the signal fraction.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sktamm import BinnedTopicTAMM, infer
    >>> from sktamm.datasets import make_gaussian_study
    >>> study = make_gaussian_study(n_simulations=8, n_events=2000, random_state=1)
    >>> pipe = make_pipeline(StandardScaler(), BinnedTopicTAMM())
    >>> pipe = pipe.fit(
    ...     study.X, study.y, binnedtopictamm__simulation=study.simulation
    ... )
    >>> infer(pipe, study.X_target).kappa.shape
    (1,)
    """
    final, transform = opened(estimator)
    if not hasattr(final, "infer"):
        raise IncompatibleChoiceError(
            "estimator must be, or end in, an estimator with the method 'infer', got "
            f"{type(final).__name__}."
        )
    return final.infer(transform(X), **keywords)
