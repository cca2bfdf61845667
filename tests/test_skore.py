"""A report of skore takes an estimator of fractions and its scorers as they are.

skore comes with the extra ``doc`` from Python 3.11.4 on; .ci/run tests this after it
has built the site.
"""

import numpy as np
import pytest

from sktamm import BinnedTopicTAMM
from sktamm.datasets import make_gaussian_study
from sktamm.model_selection import interval_score_scorer


@pytest.mark.filterwarnings("ignore")
def test_a_report_of_skore_has_the_score_of_the_scorer():
    skore = pytest.importorskip("skore")
    study = make_gaussian_study(n_simulations=5, n_events=1000, random_state=0)
    fitted = study.simulation < 4
    tamm = BinnedTopicTAMM(bins=5, random_state=0)
    tamm.fit(study.X[fitted], study.y[fitted], simulation=study.simulation[fitted])
    X, y = study.X[~fitted], study.y[~fitted]
    report = skore.EstimatorReport(tamm, X_test=X, y_test=y)
    report.metrics.add(interval_score_scorer, name="interval score")
    frame = report.metrics.summarize(metric=["interval score"]).frame()
    shown = float(np.ravel(frame.to_numpy())[0])
    assert shown == pytest.approx(interval_score_scorer(tamm, X, y), abs=1e-6)
