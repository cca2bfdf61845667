"""Boosted trees set up for density ratios: smooth, calibrated probabilities.

A ratio of densities is a ratio of class probabilities, ln p_k / p_l = z_k - z_l in the
raw scores z of the trees. What counts is the log loss, not the accuracy: few leaves
with many events each, shrunken values, linear functions within the leaves, and
boosting that stops when the log loss of held-out events no longer falls.
"""

from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from joblib import effective_n_jobs
from joblib.parallel import get_active_backend
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from sktamm._sklearn import at_least, between, check_parameters, not_negative
from sktamm._validation import check_sums, read_weight, refuse_masked
from sktamm.exceptions import InvalidInputError
from sktamm.learning._classifiers import rows_of_classes
from sktamm.learning._signed import settled_weights

__all__ = ["LightGBMRatioClassifier", "make_lightgbm_regressor"]

FloatArray = NDArray[np.float64]


class LightGBMRatioClassifier(ClassifierMixin, BaseEstimator):
    """Gradient-boosted trees whose probabilities make good density ratios.

    Training is reproducible: the same data, seed and number of threads give the same
    numbers bit for bit, other numbers of threads the same up to rounding.

    Parameters
    ----------
    n_estimators : int, default=300
        Largest number of boosting rounds.
    learning_rate : float, default=0.2
        Shrinkage of each round.
    num_leaves : int, default=5
        Leaves of a tree.
    min_child_samples : int, default=1000
        Fewest events of a leaf; never more than a twentieth of the events.
    reg_lambda : float, default=1.0
        L2 penalty of the values of the leaves.
    linear_tree : bool, default=True
        Linear functions within the leaves instead of steps.
    extra_trees : bool, default=True
        One random cut per feature and leaf is considered: smoother sums of trees.
    max_bin : int, default=127
        Candidate cuts per feature.
    validation_fraction : float, default=0.1
        Share of each class held out to stop at the smallest log loss; 0 makes all
        rounds.
    n_iter_no_change : int, default=10
        Rounds without improvement after which boosting stops.
    n_jobs : int or None, default=None
        Threads; None is one, or what a joblib context says; one in a parallel job.
    random_state : int, RandomState instance or None, default=None
        Seed of the held-out events and of LightGBM.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels.
    n_iter_ : int
        Number of boosting rounds kept.

    References
    ----------
    Ke et al., "LightGBM: A Highly Efficient Gradient Boosting Decision Tree", 2017;
    linear leaves: Shi et al., "Gradient Boosting with Piece-Wise Linear Regression
    Trees", 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from sktamm.learning._lightgbm import LightGBMRatioClassifier
    >>> y = np.repeat([0, 1], 1_000)
    >>> X = np.random.default_rng(0).normal(y - 0.5)[:, None]
    >>> model = LightGBMRatioClassifier(random_state=0).fit(X, y)
    >>> log_odds = np.diff(model.predict_log_proba([[-1.0], [1.0]]))  # exact: x
    >>> bool(np.abs(log_odds.ravel() - [-1.0, 1.0]).max() < 0.3)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_estimators": [at_least(1)],
        "learning_rate": [between(0, np.inf)],
        "num_leaves": [at_least(2)],
        "min_child_samples": [at_least(1)],
        "reg_lambda": [not_negative()],
        "linear_tree": ["boolean"],
        "extra_trees": ["boolean"],
        "max_bin": [at_least(2)],
        "validation_fraction": [not_negative(below=1.0)],
        "n_iter_no_change": [at_least(1)],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    # Better here than before fit: events held out share no cell with the others.
    settles_weights = True

    def __init__(
        self,
        n_estimators: int = 300,
        *,
        learning_rate: float = 0.2,
        num_leaves: int = 5,
        min_child_samples: int = 1000,
        reg_lambda: float = 1.0,
        linear_tree: bool = True,
        extra_trees: bool = True,
        max_bin: int = 127,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.num_leaves = num_leaves
        self.min_child_samples = min_child_samples
        self.reg_lambda = reg_lambda
        self.linear_tree = linear_tree
        self.extra_trees = extra_trees
        self.max_bin = max_bin
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Boost trees until the held-out log loss stops falling.

        Parameters
        ----------
        X : array-like or data frame of shape (n_events, n_features)
            Features.
        y : array-like of shape (n_events,)
            Labels of two or more classes.
        sample_weight : array-like of shape (n_events,), optional
            Event weights of positive sum in each class; negative ones are shared out
            among the nearest events.

        Returns
        -------
        self : LightGBMRatioClassifier
            The fitted classifier.

        Raises
        ------
        InvalidInputError
            If weights of a class have no positive sum, or there are not two classes.
        """
        check_parameters(self)
        refuse_masked(X, "X")
        refuse_masked(y, "y")
        features, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, label = np.unique(y, return_inverse=True)
        if self.classes_.size < 2:
            raise InvalidInputError("y must hold at least two classes, got 1 class.")
        weight = _read_weight(sample_weight, label, self.classes_)
        rng = check_random_state(self.random_state)
        held = self._hold_out(label, rng)
        if weight is not None:
            weight = _settled_apart(features, label, weight, held)
        seed = int(rng.randint(np.iinfo(np.int32).max))
        self._boost(
            np.asarray(features),
            label,
            weight,
            held,
            self._parameters(int((~held).sum()), seed),
        )
        return self

    def predict_proba(self, X: ArrayLike) -> FloatArray:
        """Probabilities of the classes, (n_events, n_classes)."""
        z = self._raw_scores(X)
        if z.ndim == 1:
            return np.column_stack([expit(-z), expit(z)])
        return softmax(z, axis=1)

    def predict_log_proba(self, X: ArrayLike) -> FloatArray:
        """Log probabilities of the classes, finite also where they are tiny."""
        z = self._raw_scores(X)
        if z.ndim == 1:
            return np.column_stack([log_expit(-z), log_expit(z)])
        return log_softmax(z, axis=1)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Most probable class of each event."""
        probability = self.predict_proba(X)
        return self.classes_[probability.argmax(axis=1)]

    def _hold_out(
        self, label: NDArray[np.intp], rng: np.random.RandomState
    ) -> NDArray[np.bool_]:
        held = np.zeros(label.size, dtype=bool)
        for rows in rows_of_classes(label, rng):
            held[rows[: int(self.validation_fraction * rows.size)]] = True
        return held

    def _parameters(self, n_events: int, seed: int) -> dict[str, Any]:
        """Settings in LightGBM's names."""
        n_classes = self.classes_.size
        if n_classes == 2:
            loss: dict[str, Any] = {"objective": "binary", "metric": "binary_logloss"}
        else:
            loss = {"objective": "multiclass", "metric": "multi_logloss"}
            loss |= {"num_class": n_classes}
        return loss | {
            "learning_rate": self.learning_rate,
            "num_leaves": self.num_leaves,
            "min_data_in_leaf": max(min(self.min_child_samples, n_events // 20), 1),
            "lambda_l2": self.reg_lambda,
            "linear_tree": bool(self.linear_tree),
            "extra_trees": bool(self.extra_trees),
            "linear_lambda": self.reg_lambda,
            "max_bin": self.max_bin,
            "num_threads": _threads(self.n_jobs),
            "seed": seed,
            "deterministic": True,
            "force_col_wise": True,
            "verbosity": -1,
        }

    def _boost(
        self,
        X: FloatArray,
        label: NDArray[np.intp],
        weight: FloatArray | None,
        held: NDArray[np.bool_],
        parameters: dict[str, Any],
    ) -> None:
        import lightgbm

        def dataset(rows: NDArray[np.bool_], reference: Any = None) -> Any:
            part = None if weight is None else weight[rows]
            return lightgbm.Dataset(
                X[rows],
                label[rows],
                weight=part,
                reference=reference,
                params=parameters,
            )

        train = dataset(~held)
        stop: dict[str, Any] = {}
        if held.any():
            patience = lightgbm.early_stopping(self.n_iter_no_change, verbose=False)
            stop = {"valid_sets": [dataset(held, train)], "callbacks": [patience]}
        booster = lightgbm.train(parameters, train, self.n_estimators, **stop)
        self.n_iter_ = int(booster.best_iteration if held.any() else self.n_estimators)
        self._model = booster.model_to_string(num_iteration=self.n_iter_)

    def _raw_scores(self, X: ArrayLike) -> FloatArray:
        check_is_fitted(self)
        features = validate_data(self, X, dtype=np.float64, reset=False)
        import lightgbm

        booster = lightgbm.Booster(model_str=self._model)
        threads = _threads(self.n_jobs)
        raw = booster.predict(np.asarray(features), raw_score=True, num_threads=threads)
        return np.asarray(raw)


def make_lightgbm_regressor(loss: str = "squared_error") -> Any:
    """LightGBM's own regressor with a fixed number of small trees.

    Without early stopping, whose held-out rows could not be kept apart from copies of
    the same events.
    """
    import lightgbm

    # Rule of thumb: many small steps of small trees, since nothing stops them.

    objectives = {"squared_error": "regression", "logistic": "cross_entropy"}
    return lightgbm.LGBMRegressor(
        n_estimators=200,
        learning_rate=0.05,
        num_leaves=7,
        min_child_samples=100,
        reg_lambda=1.0,
        objective=objectives[loss],
        n_jobs=_threads(None),
        deterministic=True,
        force_col_wise=True,
        verbosity=-1,
    )


def _read_weight(
    sample_weight: ArrayLike | None, label: NDArray[np.intp], classes: NDArray[Any]
) -> FloatArray | None:
    weight = read_weight(sample_weight, label.size)
    if weight is not None:
        total = np.bincount(label, weight, minlength=classes.size).astype(np.float64)
        check_sums(total, lambda index: f"class {classes[index]}")
    return weight


def _settled_apart(
    X: FloatArray,
    label: NDArray[np.intp],
    weight: FloatArray,
    held: NDArray[np.bool_],
) -> FloatArray:
    """Weights without negative ones; held-out events share no cell with the others.

    Otherwise both have the same gaps and clusters, and boosting stops too late. They do
    share cells where too few are held out to have a positive sum.
    """
    part = 2 * np.unique(label, return_inverse=True)[1] + held
    total = np.bincount(part, weight)[np.bincount(part) > 0]
    return settled_weights(X, part if (total > 0).all() else label, weight)


def _threads(n_jobs: int | None) -> int:
    """Threads of one fit: a fit within a parallel job keeps to its core."""
    backend, _ = get_active_backend()
    if getattr(backend, "nesting_level", 0):
        return 1
    return int(effective_n_jobs(n_jobs))
