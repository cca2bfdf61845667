"""What every user of a classifier here asks of it: probabilities, weights, seeds."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import VotingClassifier, VotingRegressor
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError
from sktamm.learning._signed import settled_weights

__all__ = [
    "accepts_sample_weight",
    "check_accepts_weights",
    "check_classifier",
    "fit_classifier",
    "fit_in_place",
    "last_step",
    "rows_of_classes",
    "seeded",
    "take_rows",
]


# Without metadata routing these pass event weights to all their parts.
_HANDING_ON = (
    GridSearchCV,
    RandomizedSearchCV,
    TransformedTargetRegressor,
    VotingClassifier,
    VotingRegressor,
)


def check_classifier(classifier: Any) -> None:
    """Refuse what cannot estimate class probabilities."""
    for method in ("fit", "predict_proba"):
        if isinstance(classifier, type) or not hasattr(classifier, method):
            raise IncompatibleChoiceError(
                f"classifier must be a scikit-learn classifier with the method "
                f"{method}, got {_name(classifier)} without it."
            )


def accepts_sample_weight(classifier: Any) -> bool:
    """Whether a classifier, or the last step of a Pipeline, takes event weights."""
    last = last_step(classifier)
    if has_fit_parameter(last, "sample_weight"):
        return True
    return isinstance(last, _HANDING_ON) and all(
        has_fit_parameter(part, "sample_weight") for part in _parts(last)
    )


def fit_classifier(
    classifier: Any, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None
) -> Any:
    """Train a copy of a classifier; weights reach the last step of a Pipeline.

    Negative weights are settled among their neighbours.
    """
    check_classifier(classifier)
    fitted = clone(classifier)
    if sample_weight is None:
        return fitted.fit(X, y)
    check_accepts_weights(classifier)
    if not getattr(last_step(classifier), "settles_weights", False):
        X, y, sample_weight = _without_negative(X, np.asarray(y), sample_weight)
    key = "sample_weight"
    if isinstance(fitted, Pipeline):
        key = f"{fitted.steps[-1][0]}__{key}"
    return fit_in_place(fitted, X, y, **{key: sample_weight})


def _without_negative(
    X: Any, y: NDArray[Any], weight: Any
) -> tuple[Any, NDArray[Any], Any]:
    """Events and weights as they are, or settled ones, those above zero."""
    if np.min(weight) >= 0:
        return X, y, weight
    settled = settled_weights(X, y, weight)
    kept = np.flatnonzero(settled)
    return take_rows(X, kept), y[kept], settled[kept]


def fit_in_place(classifier: Any, X: Any, y: ArrayLike, **fit_params: Any) -> Any:
    """Fit, and say in one sentence when negative weights were the trouble."""
    negative = any(np.min(value) < 0 for value in fit_params.values())
    try:
        # Weights are passed by the name of the step, whatever the user's routing is.
        with config_context(enable_metadata_routing=False):
            return classifier.fit(X, y, **fit_params)
    except Exception as error:
        # LightGBM's own error is no ValueError.
        known = isinstance(error, ValueError) or type(error).__name__ == "LightGBMError"
        if not negative or not known:
            raise
        raise InvalidInputError(
            f"{_name(classifier)} refuses negative values of sample_weight; choose "
            f"another learner, which takes them ({error})"
        ) from error


def check_accepts_weights(classifier: Any) -> None:
    """Refuse event weights that the classifier would not see."""
    if not accepts_sample_weight(classifier):
        raise IncompatibleChoiceError(
            f"sample_weight was given, but the fit of {_name(last_step(classifier))} "
            "takes no weights; choose another learner."
        )


def last_step(classifier: Any) -> Any:
    """What a Pipeline, or one within it, ends in."""
    while isinstance(classifier, Pipeline):
        classifier = classifier.steps[-1][1]
    return classifier


def _parts(estimator: Any) -> list[Any]:
    """Estimators that one of those is made of which hand on weights."""
    found = estimator.get_params(deep=False)
    if "estimators" in found:
        return [part for _, part in found["estimators"] if part != "drop"]
    return [found["regressor" if "regressor" in found else "estimator"]]


def _name(classifier: Any) -> str:
    kind = classifier if isinstance(classifier, type) else type(classifier)
    return kind.__name__


def seeded(classifier: Any, rng: np.random.RandomState) -> Any:
    """Give every random_state of a classifier and its parts its own seed."""
    names = sorted(classifier.get_params(deep=True))
    states = [n for n in names if n == "random_state" or n.endswith("__random_state")]
    seeds = rng.randint(np.iinfo(np.int32).max, size=len(states))
    return classifier.set_params(**dict(zip(states, seeds.tolist(), strict=True)))


def take_rows(X: Any, rows: NDArray[Any]) -> Any:
    """Rows of an array or data frame, by number or mask."""
    return X.iloc[rows] if hasattr(X, "iloc") else np.asarray(X)[rows]


def rows_of_classes(
    label: NDArray[np.intp], rng: np.random.RandomState
) -> list[NDArray[np.intp]]:
    """Row numbers of each class, in random order."""
    order = rng.permutation(label.size)
    return [order[label[order] == k] for k in range(int(label.max()) + 1)]
