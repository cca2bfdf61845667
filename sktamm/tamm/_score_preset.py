"""The preset whose rows are bins of a learned score."""

from typing import Any, ClassVar, Literal

from sktamm.components import ScoreComponents
from sktamm.events import Pairing
from sktamm.exceptions import InvalidInputError
from sktamm.tamm._choices import (
    BasisChoice,
    FormChoice,
    InferenceChoice,
    PriorChoice,
    choose,
)
from sktamm.tamm._regressor import TAMMRegressor
from sktamm.templates import Bins, is_histogram

__all__ = ["ScoreTAMM"]


class ScoreTAMM(TAMMRegressor):
    """Signal fraction from one learned score, however many features there are.

    `TAMMRegressor` with bins of the log odds of the classes as its rows: a classifier
    over all simulations, cross-fitted, makes many features one.

    Parameters
    ----------
    classifier : {"lightgbm", "mlp", "logistic"} or classifier, default="lightgbm"
        What learns the classes: boosted trees, perceptrons, a quadratic logistic
        regression, or any scikit-learn classifier or Pipeline with ``predict_proba``.
    form : {"linear", "exponential", "auto"} or form, default="exponential"
        Weighted sum or weighted product of the simulations; "auto" is linear where
        those of a class overlap by less than 0.25 in the bins, or the prior asks for
        it.
    prior : {"auto", "dirichlet", "ridge", "simulations", "shrinkage"} or prior, \
            default="auto"
        Prior of the blend; "auto" is "dirichlet" (linear) or "shrinkage" (exponential).
    inference : {"bayesian", "frequentist"} or inference, default="bayesian"
        Statistics.
    n_scores : int, default=1
        Number of scores for two classes, one more for every further class; see
        `LearnedScore`.
    cv : int, default=5
        Largest number of classifiers, each without a part of the simulations.
    bins : "auto", int, sequence of int or sequence of arrays, default="auto"
        Bins of every score, or the edges; "auto" is 15 for one score, fewer for more.
    basis : {"polynomial", "spline", "principal"} or object, default="polynomial"
        Smooth functions of the function-space prior.
    smooth : bool, default=True
        Remove the noise of finite simulations from the templates.
    pos_label : label, default=None
        The class whose fraction is kappa; None is the last of the sorted classes.
    paired : bool or "auto", default="auto"
        Whether equal simulation ids in different classes mean the same simulation.
    level : float, default=0.683
        Level of the interval that ``score`` judges.
    bounded : bool, default=False
        Confine frequentist estimates and intervals to [0, 1].
    n_jobs : int, default=None
        Threads that share the classifiers and the datasets, processes where chains
        sample bins or a thousand datasets are binned.
    random_state : int, RandomState instance or None, default=None
        Seed of everything random.

    See Also
    --------
    TAMMRegressor : The general estimator, which documents attributes and methods.
    sktamm.templates.LearnedScore : The score as a transformer for Pipelines.

    Examples
    --------
    >>> from sktamm import ScoreTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> study = make_gaussian_study(6, 2000, n_features=6, random_state=1)
    >>> tamm = ScoreTAMM("logistic", random_state=0)
    >>> tamm = tamm.fit(study.X, study.y, simulation=study.simulation)
    >>> kappa, interval = tamm.predict(study.X_target, return_interval=0.954)
    >>> bool(interval[0, 0] < study.kappa < interval[0, 1])
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **TAMMRegressor._parameter_constraints,
        **ScoreComponents._parameter_constraints,
    }

    def __init__(
        self,
        classifier: Any = "lightgbm",
        form: FormChoice = "exponential",
        prior: PriorChoice = "auto",
        inference: InferenceChoice = "bayesian",
        *,
        n_scores: int = 1,
        cv: int = 5,
        bins: Bins | Literal["auto"] = "auto",
        basis: BasisChoice = "polynomial",
        smooth: bool = True,
        pos_label: Any = None,
        paired: Pairing = "auto",
        level: float = 0.683,
        bounded: bool = False,
        n_jobs: int | None = None,
        random_state: Any = None,
    ):
        super().__init__(
            "score",
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
        self.classifier = classifier
        self.n_scores = n_scores
        self.cv = cv
        self.bins = bins
        self.basis = basis
        self.smooth = smooth

    def tabulate(self, X: Any, dataset: Any, sample_weight: Any) -> Any:
        """Table of the target, whose histograms are refused; see `TAMMRegressor`."""
        if is_histogram(X):
            raise InvalidInputError("X must hold events for a learned score.")
        return super().tabulate(X, dataset, sample_weight)

    def _make_components(self) -> Any:
        return self._told(choose("components", "score"))
