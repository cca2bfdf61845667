"""Parameters that deform a density polynomially, as Wilson coefficients do."""

from sktamm.parametric._derivative import DerivativeRatioRegressor
from sktamm.parametric._fisher import FisherInformation
from sktamm.parametric._joint import (
    joint_derivatives,
    joint_likelihood_ratio,
    joint_score,
)
from sktamm.parametric._likelihood import UnbinnedLikelihood
from sktamm.parametric._moment_morphing import MomentMorphing
from sktamm.parametric._morphing import MorphingBasis, weights_function
from sktamm.parametric._morphing_ratio import MorphingRatioClassifier
from sktamm.parametric._nuisance import LogNormalNuisance
from sktamm.parametric._polynomial import PolynomialRatio
from sktamm.parametric._quadratic import QuadraticRatioEstimator
from sktamm.parametric._regions import (
    ConfidenceRegion,
    LikelihoodFit,
    ParameterInterval,
    ProfileScan,
)
from sktamm.parametric._smearing import FractionalSmearing

__all__ = [
    "ConfidenceRegion",
    "DerivativeRatioRegressor",
    "FisherInformation",
    "FractionalSmearing",
    "LikelihoodFit",
    "LogNormalNuisance",
    "MomentMorphing",
    "MorphingBasis",
    "MorphingRatioClassifier",
    "ParameterInterval",
    "PolynomialRatio",
    "ProfileScan",
    "QuadraticRatioEstimator",
    "UnbinnedLikelihood",
    "joint_derivatives",
    "joint_likelihood_ratio",
    "joint_score",
    "weights_function",
]
