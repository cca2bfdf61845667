"""Displays made from an estimator run the study and show what its record would."""

import numpy as np
import pytest

from sktamm import BinnedTopicTAMM
from sktamm.coverage import coverage_study
from sktamm.datasets import make_gaussian_study
from sktamm.plotting import (
    CoverageDisplay,
    EstimatesDisplay,
    InfluenceDisplay,
    PullDisplay,
    RankDisplay,
    WidthDisplay,
)

plt = pytest.importorskip("matplotlib.pyplot")

STUDY = {"kappas": [0.1, 0.3], "sizes": 500, "n_datasets": 5}


@pytest.fixture(scope="module")
def fitted():
    study = make_gaussian_study(n_simulations=4, n_events=1000, random_state=1)
    tamm = BinnedTopicTAMM(bins=4, random_state=0)
    return tamm.fit(study.X, study.y, simulation=study.simulation), study


def test_displays_of_a_study(fitted):
    tamm, study = fitted
    events = (study.X_target, study.y_target)
    result = coverage_study(tamm, *events, **STUDY)
    coverage = CoverageDisplay.from_estimator(tamm, *events, **STUDY)
    expected = CoverageDisplay.from_result(result)
    np.testing.assert_array_equal(coverage.coverage, expected.coverage)
    pulls = PullDisplay.from_estimator(tamm, *events, **STUDY)
    np.testing.assert_array_equal(pulls.pulls, PullDisplay.from_result(result).pulls)
    assert EstimatesDisplay.from_estimator(tamm, *events, **STUDY).plot().figure_
    widths = WidthDisplay.from_estimators({"a": tamm, "b": tamm}, *events, **STUDY)
    assert widths.names == ["a", "b"]


def test_displays_of_diagnostics(fitted):
    tamm, study = fitted
    shifts = InfluenceDisplay.from_estimator(tamm, study.X_target)
    assert sorted(shifts.simulation) == ["0", "1", "2", "3"]
    ranks = RankDisplay.from_estimator(tamm, size=500, n_experiments=20, n_draws=9)
    assert ranks.counts.sum() + ranks.n_failed == 20
