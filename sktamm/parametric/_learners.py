"""Base learners as the ratio estimators use them: names, links, weights, groups.

Any regressor of scikit-learn will do; one that predicts a single target is fitted to
each. Whoever knows groups, copies of an event, gets them for its own split.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone, is_regressor
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.validation import has_fit_parameter

from sktamm._numerics import FloatArray
from sktamm._sklearn import check_feature_names, get_feature_names
from sktamm._validation import (
    check_sum,
    encode,
    read_features,
    read_numbers,
    read_weight,
)
from sktamm.events import warn_about_simulations
from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError
from sktamm.learning import check_accepts_weights, fit_in_place, last_step, seeded

__all__ = [
    "fit_columns",
    "fit_learner",
    "has_link",
    "make_regressor",
    "predict_columns",
    "predict_members",
    "read_events",
    "read_table",
    "with_link",
    "with_seed",
]


def make_regressor(
    estimator: Any, loss: str = "squared_error", link: str = "linear"
) -> Any:
    """Copy of a regressor, or the one of a name."""
    if isinstance(estimator, str) and estimator == "mlp":
        from sktamm.learning import TorchMLPRegressor

        # Held-out losses of heavy tails are too noisy to stop by. Smooth functions
        # overfit the tails less. An exponential takes long to become as small as it
        # should, and one that large steps have driven to zero would not come back.
        return TorchMLPRegressor(
            (64, 64),
            activation="tanh",
            loss=loss,
            link=link,
            learning_rate=0.01 if link == "linear" else 0.003,
            max_epochs=60,
            early_stopping=False,
        )
    if isinstance(estimator, str) and estimator == "lightgbm":
        from sktamm.learning import make_lightgbm_regressor

        return make_lightgbm_regressor(loss)
    # A stack has no predict before it is fitted.
    usable = hasattr(estimator, "fit") and not isinstance(estimator, type)
    if not usable or not (hasattr(estimator, "predict") or is_regressor(estimator)):
        raise IncompatibleChoiceError(
            "estimator must be 'mlp', 'lightgbm' or a scikit-learn regressor, got "
            f"{estimator!r}."
        )
    return clone(estimator)


def with_seed(estimator: Any, random_state: Any) -> Any:
    """Give a learner seeds of its own, unless ``random_state`` is None."""
    if random_state is None:
        return estimator
    return seeded(estimator, check_random_state(random_state))


def has_link(estimator: Any) -> bool:
    """Whether a learner can train through a link of its outputs."""
    return "link" in last_step(estimator).get_params(deep=False)


def with_link(estimator: Any, link: str) -> Any:
    """Set the link of a learner; one without it has the linear one."""
    if has_link(estimator):
        last_step(estimator).set_params(link=link)
    elif link != "linear":
        name = type(last_step(estimator)).__name__
        raise IncompatibleChoiceError(
            f"link must be 'linear' for {name}, which cannot train through another one "
            f"without transforming the targets and so their mean, got {link!r}; "
            "estimator='mlp' can."
        )
    return estimator


def fit_learner(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    sample_weight: FloatArray | None,
    groups: ArrayLike | None,
) -> Any:
    """Fit a learner; weights, and groups if it knows them, reach its last step."""
    parameters: dict[str, Any] = {}
    if sample_weight is not None:
        check_accepts_weights(estimator)
        parameters["sample_weight"] = sample_weight
    if groups is not None and has_fit_parameter(last_step(estimator), "groups"):
        parameters["groups"] = encode(groups, "groups", len(X))[1]
    prefix = f"{estimator.steps[-1][0]}__" if isinstance(estimator, Pipeline) else ""
    named = {prefix + name: value for name, value in parameters.items()}
    return fit_in_place(estimator, X, y, **named)


def fit_columns(
    estimator: Any,
    X: FloatArray,
    y: FloatArray,
    sample_weight: FloatArray | None,
    groups: ArrayLike | None,
) -> list[Any]:
    """Fit one learner to all targets, or one to each where it predicts one alone."""
    aligned = sample_weight, groups
    if get_tags(last_step(estimator)).target_tags.multi_output:
        return [fit_learner(estimator, X, y, *aligned)]
    return [fit_learner(clone(estimator), X, column, *aligned) for column in y.T]


def predict_columns(fitted: list[Any], X: FloatArray) -> FloatArray:
    """Predictions of shape (n_events, n_targets) of what `fit_columns` returns."""
    if len(fitted) == 1:
        return np.asarray(fitted[0].predict(X), dtype=float)
    return np.column_stack([one.predict(X) for one in fitted])


def predict_members(fitted: list[Any], X: FloatArray) -> FloatArray:
    """Predictions (n_members, n_events, n_targets) of what `fit_columns` returns."""
    if not all(hasattr(one, "predict_members") for one in fitted):
        raise IncompatibleChoiceError(
            "estimator must be an ensemble with predict_members for predictions of its "
            f"members, got {type(last_step(fitted[0])).__name__}."
        )
    found = [np.asarray(one.predict_members(X), dtype=float) for one in fitted]
    return found[0] if found[0].ndim == 3 else np.stack(found, axis=-1)


def read_events(estimator: Any, X: Any, *, reset: bool) -> FloatArray:
    """Finite features; remember their number and names, or compare with those."""
    names = get_feature_names(X)
    values = read_features(X, names)
    if reset:
        one = np.zeros(len(values), dtype=np.intp)
        warn_about_simulations(values, one, names, constants=False, stacklevel=4)
        estimator.n_features_in_ = values.shape[1]
        vars(estimator).pop("feature_names_in_", None)
        if names is not None:
            estimator.feature_names_in_ = np.asarray(names, dtype=object)
        return values
    fitted = getattr(estimator, "feature_names_in_", None)
    owner = type(estimator).__name__
    check_feature_names(X, None if fitted is None else tuple(fitted), owner)
    if values.shape[1] != estimator.n_features_in_:
        raise InvalidInputError(
            f"X must have the {estimator.n_features_in_} features that {owner} was "
            f"fitted with, got {values.shape[1]}."
        )
    return values


def read_table(
    y: ArrayLike, sample_weight: ArrayLike | None, n_events: int
) -> tuple[FloatArray, FloatArray | None]:
    """Joint quantities (n_events, n_columns), and weights of positive sum or None."""
    values = read_numbers(y, "y")
    if values.ndim != 2 or len(values) != n_events:
        raise InvalidInputError(
            f"y must have two dimensions and one row for each of the {n_events} rows "
            f"of X, got shape {values.shape}."
        )
    if not np.isfinite(values).all():
        n_bad = int((~np.isfinite(values)).any(axis=1).sum())
        raise InvalidInputError(
            f"y must be finite, but {n_bad} rows hold NaN or infinity."
        )
    weight = read_weight(sample_weight, n_events)
    if weight is not None:
        check_sum(weight)
    return values, weight
