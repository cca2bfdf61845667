"""Baselines go where every estimator goes: splitters, scorers, coverage studies."""

import numpy as np
import pytest
import sklearn
from sklearn.model_selection import cross_validate

from sktamm import BinnedTopicTAMM
from sktamm.baselines import (
    FreeTemplates,
    LabelShiftEM,
    PooledSimulations,
    SingleSimulation,
)
from sktamm.coverage import coverage_study
from sktamm.datasets import make_gaussian_study
from sktamm.model_selection import CoverageScorer, LeaveSimulationsOut

INNER = BinnedTopicTAMM(bins=4, inference="frequentist")
BASELINES = {
    "single": SingleSimulation(INNER, which="random", random_state=0),
    "pooled": PooledSimulations(INNER),
    "free": FreeTemplates(bins=4),
    "shift": LabelShiftEM("logistic", random_state=0),
}
every_baseline = pytest.mark.parametrize(
    "baseline", BASELINES.values(), ids=BASELINES.keys()
)


@pytest.fixture(scope="module")
def study():
    return make_gaussian_study(
        n_simulations=3, n_events=1500, n_signal=800, n_background=2400, random_state=0
    )


@every_baseline
@pytest.mark.parametrize("routing", [False, True])
def test_cross_validation(baseline, study, routing):
    scorer = CoverageScorer(kappa=(0.1, 0.3), size=400, n_datasets=6)
    metadata = {"params": {"simulation": study.simulation}}
    if not routing:
        metadata["groups"] = study.simulation
    with sklearn.config_context(enable_metadata_routing=routing):
        found = cross_validate(
            baseline,
            study.X,
            study.y,
            cv=LeaveSimulationsOut(),
            scoring=scorer,
            error_score="raise",
            **metadata,
        )
    assert np.isfinite(found["test_interval_score"]).all()
    assert (found["test_failed"] == 0).all()


@every_baseline
def test_coverage_study(baseline, study):
    baseline.fit(study.X, study.y, simulation=study.simulation)
    result = coverage_study(
        baseline,
        study.X_target,
        study.y_target,
        kappas=[0.1, 0.3],
        sizes=400,
        n_datasets=3,
        random_state=0,
    )
    assert not result.failed.any()
    assert (np.diff(result.interval, axis=1) > 0).all()
