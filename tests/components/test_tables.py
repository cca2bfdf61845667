"""Tables of bins made for component models of one's own, and such models."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from sktamm import BinnedTopicTAMM, TAMMRegressor
from sktamm.base import ComponentModel
from sktamm.components import binned_table
from sktamm.datasets import make_gaussian_study
from sktamm.exceptions import IncompatibleChoiceError

EDGES = np.linspace(-3.0, 4.0, 8)


class SignCounts(ComponentModel, BaseEstimator):
    """Bins of the first feature, clipped: what a user would write."""

    def fit(self, events):
        self.classes_, self.positive_ = events.classes, events.positive
        self.source_class_, self.source_id_ = events.source_class, events.source_id
        number = self.rows(events.X)
        counts = np.ones((events.n_sources, EDGES.size - 1))
        np.add.at(counts, (events.source, number), 1.0)
        self.probability_ = counts / counts.sum(axis=1, keepdims=True)
        self.error_ = (1.0 / counts - 1.0 / counts.sum(axis=1, keepdims=True)).T
        return self

    def rows(self, X):
        return np.clip(np.searchsorted(EDGES, X[:, 0]) - 1, 0, EDGES.size - 2)

    def table(self, target):
        counts = np.bincount(self.rows(target.X), minlength=EDGES.size - 1)[None]
        return binned_table(
            self.probability_,
            self.source_class_,
            self.source_id_,
            (counts, counts),
            positive=self.positive_,
            paired=True,
            relative_variance=self.error_,
            described_variance=self.error_,
        )

    def overlap(self):
        return np.ones(self.classes_.size)


@pytest.fixture(scope="module")
def study():
    return make_gaussian_study(n_simulations=5, n_events=4000, random_state=2)


def test_a_model_of_ones_own_measures_as_bins_do(study):
    """With the same bins and no smooth functions."""
    own = TAMMRegressor(SignCounts(), prior="simulations")
    own.fit(study.X, study.y, simulation=study.simulation)
    bins = BinnedTopicTAMM(
        [EDGES], prior="simulations", basis="principal", smooth=False, random_state=0
    )
    bins.fit(study.X[:, :1], study.y, simulation=study.simulation)
    result = own.infer(study.X_target)
    expected = bins.infer(study.X_target[:, :1])
    assert abs(result.kappa[0] - expected.kappa[0]) < 0.05 * expected.std[0]
    assert result.std[0] == pytest.approx(expected.std[0], rel=0.05)
    assert result.templates is None
    assert "bins" not in result.method


def test_fields_have_the_defaults_of_raw_templates():
    p = np.array([[0.7, 0.3], [0.5, 0.5], [0.2, 0.8]])
    counts = [[6, 4], [1, 9]]
    table = binned_table(p, [0, 0, 1], ["a", "b", "a"], (counts, counts), positive=1)
    np.testing.assert_allclose(table.reference_weight, p.mean(axis=0))
    np.testing.assert_allclose(np.exp(table.log_ratio), (p / p.mean(axis=0)).T)
    np.testing.assert_array_equal(table.component_class, [0, 0, 1])
    np.testing.assert_array_equal(table.simulations.weights, np.eye(3))
    assert (table.n_classes, table.n_datasets, table.binned) == (2, 2, True)
    assert table.basis.shape == (2, 0)
    assert table.relative_variance is None


def test_topics_blend_to_the_simulations():
    topics = np.array([[0.9, 0.1], [0.3, 0.7], [0.5, 0.5]])
    weights = np.array([[0.5, 0.5, 0.0], [0.1, 0.9, 0.0], [0.0, 0.0, 1.0]])
    counts = [[6.0, 4.0]]
    table = binned_table(
        topics,
        [0, 0, 1],
        [1, 2, 1],
        (counts, counts),
        positive=1,
        component_class=[0, 0, 1],
        weights=weights,
    )
    shapes = np.exp(table.simulations.log_ratio.T) * table.reference_weight
    np.testing.assert_allclose(shapes, weights @ topics)


def test_defaults_of_a_model_say_that_it_can_do_no_more():
    model = SignCounts()
    assert isinstance(model, ComponentModel)
    assert model.for_form("any") is model
    assert (model.flow, model.binning_, model.shapes()) == ("drop", None, None)
    assert not model.forgets
    assert not model.words()


def test_what_is_no_component_model_is_refused(study):
    class Half(BaseEstimator):
        def fit(self, events):
            return self

    with pytest.raises(IncompatibleChoiceError, match=r"components must be one of .*"):
        TAMMRegressor(Half()).fit(study.X, study.y, simulation=study.simulation)
