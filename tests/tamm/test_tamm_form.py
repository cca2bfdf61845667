"""The form that follows the overlap of the simulations."""

import numpy as np
import pytest

from sktamm import BinnedTopicTAMM, NeuralRatioTAMM, ScoreTAMM
from sktamm.exceptions import SktammWarning

pytestmark = pytest.mark.filterwarnings(
    f"ignore::{SktammWarning.__module__}.{SktammWarning.__name__}"
)


def _clusters(displaced, n=1500, k=5):
    """Narrow clusters that every simulation puts elsewhere, two features."""
    rng = np.random.default_rng(3)
    X, y, simulation = [], [], []
    for j in range(k):
        for c in (0, 1):
            centre = 3.0 * c + displaced * rng.normal(size=2)
            X.append(centre + 0.5 * rng.normal(size=(n, 2)))
            y += [c] * n
            simulation += [j] * n
    return np.concatenate(X), np.array(y), np.array(simulation)


@pytest.mark.parametrize(
    ("displaced", "form"), [(0.05, "exponential"), (3.0, "linear")]
)
@pytest.mark.parametrize("preset", [BinnedTopicTAMM, ScoreTAMM])
def test_form_follows_the_overlap(preset, displaced, form):
    X, y, simulation = _clusters(displaced)
    tamm = preset(bins=40 if preset is ScoreTAMM else 12, form="auto")
    if preset is ScoreTAMM:
        tamm.set_params(classifier="logistic")
        # one dimension: the classes' order is what simulations do not agree on
        y = np.where(simulation % 2 == 1, 1 - y, y) if displaced > 1 else y
    tamm.fit(X, y, simulation=simulation)
    result = tamm.infer(X[:500])
    assert result.method["form"] == form
    assert "little_overlap" not in result.flags[0]


def test_ratios_project_before_the_form_gives_up():
    X, y, simulation = _clusters(1.0)
    tamm = NeuralRatioTAMM("logistic", form="auto", random_state=0)
    tamm.fit(X, y, simulation=simulation)
    assert tamm.overlap_.min() < 0.25
    assert tamm.components_.blended_overlap().min() > 0.25
    assert tamm.infer(X[:500]).method["form"] == "exponential"


def test_linear_ratios_where_nothing_overlaps():
    X, y, simulation = _clusters(3.0)
    tamm = NeuralRatioTAMM("logistic", form="auto", projection=None, random_state=0)
    tamm.fit(X, y, simulation=simulation)
    assert tamm.infer(X[:500]).method["form"] == "linear"
    part = tamm.take([0, 1, 2, 3])
    assert part.infer(X[:500]).method["form"] == "linear"


@pytest.mark.parametrize(
    ("prior", "form"), [("dirichlet", "linear"), ("simulations", "exponential")]
)
def test_form_that_the_prior_asks_for(prior, form):
    X, y, simulation = _clusters(0.05)
    tamm = BinnedTopicTAMM(form="auto", prior=prior).fit(X, y, simulation=simulation)
    assert tamm.infer(X[:500]).method["form"] == form
    assert tamm.infer(X[:500]).method["prior"] == prior
