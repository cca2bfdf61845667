"""The display of candidates judged on simulations that were left out."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from sktamm import AutoTAMM, BinnedTopicTAMM
from sktamm.datasets import make_gaussian_study
from sktamm.exceptions import InvalidInputError
from sktamm.plotting import LeftOutDisplay


def _fitted(n_simulations):
    study = make_gaussian_study(n_simulations, 1000, random_state=0)
    candidates = [
        ("bins", BinnedTopicTAMM(bins=4)),
        ("at face value", BinnedTopicTAMM(bins=4, prior="simulations")),
    ]
    tamm = AutoTAMM(candidates, n_datasets=1)
    return tamm.fit(study.X, study.y, simulation=study.simulation)


def test_it_shows_what_the_record_holds():
    tamm = _fitted(5)
    display = LeftOutDisplay.from_estimator(tamm).plot()
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels == ["bins (chosen)", "at face value"]
    points = display.ax_.collections[0].get_offsets()[:, 0]
    np.testing.assert_allclose(points, tamm.left_out_.interval_score[0])
    mean = display.ax_.collections[1].get_offsets()[0, 0]
    np.testing.assert_allclose(
        mean, tamm.left_out_.to_frame()["interval_score"]["bins"]
    )


def test_too_few_simulations_are_refused():
    with pytest.raises(InvalidInputError, match="too few simulations"):
        LeftOutDisplay.from_estimator(_fitted(3))
