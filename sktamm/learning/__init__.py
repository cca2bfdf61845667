"""Classifiers and regressors that know no physics: networks, trees, ensembles."""

from sktamm.learning._classifiers import (
    check_accepts_weights,
    fit_classifier,
    fit_in_place,
    last_step,
    rows_of_classes,
    seeded,
    take_rows,
)
from sktamm.learning._ensemble import ClassifierEnsemble
from sktamm.learning._lightgbm import LightGBMRatioClassifier, make_lightgbm_regressor
from sktamm.learning._mlp import TorchMLPClassifier
from sktamm.learning._mlp_regressor import TorchMLPRegressor
from sktamm.learning._named import make_classifier
from sktamm.learning._repulsive_ensemble import (
    RepulsiveEnsembleClassifier,
    RepulsiveEnsembleRegressor,
)
from sktamm.learning._signed import settled_weights

__all__ = [
    "ClassifierEnsemble",
    "LightGBMRatioClassifier",
    "RepulsiveEnsembleClassifier",
    "RepulsiveEnsembleRegressor",
    "TorchMLPClassifier",
    "TorchMLPRegressor",
    "check_accepts_weights",
    "fit_classifier",
    "fit_in_place",
    "last_step",
    "make_classifier",
    "make_lightgbm_regressor",
    "rows_of_classes",
    "seeded",
    "settled_weights",
    "take_rows",
]
