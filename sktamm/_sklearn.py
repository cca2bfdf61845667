"""The only door to scikit-learn's private helpers, so that one file follows changes."""

from typing import Any

from sklearn.utils.validation import _check_feature_names, _get_feature_names

from sktamm.exceptions import InvalidInputError

__all__ = ["check_feature_names", "get_feature_names"]


def get_feature_names(X: Any) -> tuple[str, ...] | None:
    """Return the column names of a data frame, None for anything without names.

    Parameters
    ----------
    X : array-like or data frame of shape (n_events, n_features)
        Features.

    Returns
    -------
    names : tuple of str or None
        Names of the columns when all of them are strings.
    """
    names = _get_feature_names(X)
    return None if names is None else tuple(names)


def check_feature_names(X: Any, fitted: tuple[str, ...] | None, owner: str) -> None:
    """Refuse other column names than at fit; warn when only one side has names.

    Parameters
    ----------
    X : array-like or data frame of shape (n_events, n_features)
        Features.
    fitted : tuple of str or None
        Names seen at fit.
    owner : str
        Name of the estimator, for the message.

    Raises
    ------
    InvalidInputError
        If names are missing, unseen or in another order.
    """
    estimator = type(owner, (), {})()
    if fitted is not None:
        estimator.feature_names_in_ = list(fitted)
    try:
        _check_feature_names(estimator, X, reset=False)
    except ValueError as error:
        raise InvalidInputError(str(error)) from error
