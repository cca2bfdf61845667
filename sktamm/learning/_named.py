"""Classifiers by name, with settings that suit density ratios."""

from typing import Any

from sktamm.exceptions import IncompatibleChoiceError
from sktamm.learning._classifiers import check_classifier

__all__ = ["make_classifier"]

_NAMES = ("lightgbm", "logistic", "mlp")


def make_classifier(classifier: Any, progress: bool = False) -> Any:
    """Classifier of a name, or the one given after a check."""
    if not isinstance(classifier, str):
        check_classifier(classifier)
        return classifier
    if classifier not in _NAMES:
        raise IncompatibleChoiceError(
            f"classifier must be one of {_NAMES} or a scikit-learn classifier, got "
            f"{classifier!r}."
        )
    if classifier == "mlp":
        from sktamm.learning._mlp import TorchMLPClassifier

        return TorchMLPClassifier(activation="gelu", progress=progress)
    if classifier == "lightgbm":
        from sktamm.learning._lightgbm import LightGBMRatioClassifier

        return LightGBMRatioClassifier()
    return _quadratic_logistic()


def _quadratic_logistic() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    return make_pipeline(
        StandardScaler(),
        PolynomialFeatures(2, include_bias=False),
        StandardScaler(),
        LogisticRegression(C=100.0, max_iter=1000),
    )
