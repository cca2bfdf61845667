"""The list of estimators that all rings of checks share."""

import os

from sklearn.linear_model import LogisticRegression

from sktamm import AutoTAMM, BinnedTopicTAMM, NeuralRatioTAMM, ScoreTAMM, TAMMRegressor
from sktamm.baselines import (
    FreeTemplates,
    LabelShiftEM,
    PooledSimulations,
    SingleSimulation,
)
from sktamm.components import TemplateComponents, TopicComponents
from sktamm.inference import BayesianInference
from sktamm.learning._mlp import TorchMLPClassifier
from sktamm.ratios import DensityRatio

# Two bins per feature: scikit-learn's data have up to ten features.
ESTIMATORS = {
    "binned": BinnedTopicTAMM(bins=2, random_state=0),
    "binned-frequentist": BinnedTopicTAMM(
        bins=2, inference="frequentist", random_state=0
    ),
    "binned-published": BinnedTopicTAMM(
        bins=2,
        n_topics=2,
        components="topics",
        form="linear",
        inference=BayesianInference(method="laplace"),
        random_state=0,
    ),
    "general": TAMMRegressor(TemplateComponents(bins=2), random_state=0),
    "general-frequentist": TAMMRegressor(
        TemplateComponents(bins=2),
        prior="simulations",
        inference="frequentist",
        random_state=0,
    ),
    "general-linear": TAMMRegressor(
        TemplateComponents(bins=2),
        form="linear",
        inference="frequentist",
        random_state=0,
    ),
    "general-topics": TAMMRegressor(
        TopicComponents(n_topics=2, bins=2),
        prior="ridge",
        inference="frequentist",
        random_state=0,
    ),
    "score": ScoreTAMM("logistic", cv=2, bins=4, random_state=0),
    "neural": NeuralRatioTAMM(DensityRatio("logistic", n_members=2), random_state=0),
    "neural-frequentist": NeuralRatioTAMM(
        DensityRatio("logistic", n_members=2),
        form="linear",
        inference="frequentist",
        components="topics",
        n_topics=2,
        random_state=0,
    ),
    "neural-mlp": NeuralRatioTAMM(
        DensityRatio(TorchMLPClassifier((8,), max_epochs=1), n_members=2),
        prior="simulations",
        inference="frequentist",
        random_state=0,
    ),
    "baseline-single": SingleSimulation(
        BinnedTopicTAMM(bins=2, inference="frequentist")
    ),
    "baseline-pooled": PooledSimulations(
        BinnedTopicTAMM(bins=2, inference="frequentist")
    ),
    "baseline-free": FreeTemplates(bins=2),
    "neural-baseline": LabelShiftEM("logistic", random_state=0),
    "auto": AutoTAMM(
        [
            ("binned", BinnedTopicTAMM(bins=2, random_state=0)),
            ("narrow", BinnedTopicTAMM(bins=2, prior="simulations", random_state=0)),
        ],
        n_datasets=1,
    ),
}
BINNED = {
    name: estimator
    for name, estimator in ESTIMATORS.items()
    if not name.startswith(("auto", "neural", "score"))
}


def bins_of(estimator):
    """Name of the parameter that sets the bins; None if there are none."""
    names = ("bins", "components__bins", "estimator__bins")
    return next((name for name in names if name in estimator.get_params()), None)


# As a user meets them; scikit-learn's checks set the seed.
DEFAULTS = {
    "binned-default": BinnedTopicTAMM(),
    "score-default": ScoreTAMM(),
    "neural-default": NeuralRatioTAMM(),
    "baseline-free-default": FreeTemplates(),
    "baseline-label-shift-default": LabelShiftEM(),
}


def ratio_of(choices, classifier="logistic"):
    """The ratios that some choices ask for, which are taken out of them."""
    known = set(DensityRatio().get_params()) - {"random_state", "n_jobs"}
    own = {name: choices.pop(name) for name in known & set(choices)}
    return DensityRatio(**{"classifier": classifier} | own)


class WhereTrained(LogisticRegression):
    """Remembers the process; here, where workers find it."""

    def fit(self, X, y, sample_weight=None):
        self.process_ = os.getpid()
        return super().fit(X, y, sample_weight)
