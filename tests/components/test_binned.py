"""Binned components: a table of finite numbers, whatever bins and names."""

import warnings

import numpy as np
import pytest

from sktamm.components import TemplateComponents, TopicComponents
from sktamm.events import read_simulations, read_target
from sktamm.exceptions import (
    EmptyBinWarning,
    IncompatibleChoiceError,
    InvalidInputError,
)


def _events(n_simulations=4, n_events=400, seed=0, n_classes=2, names=None):
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(n_classes), n_simulations * n_events)
    number = np.tile(np.repeat(np.arange(n_simulations), n_events), n_classes)
    shift = 0.1 * rng.normal(size=(n_classes, n_simulations))
    X = rng.normal(label + shift[label, number])[:, None]
    names = np.arange(n_simulations) if names is None else np.asarray(names)
    return X, label, names[number]


def _fit(components, X, y, simulation):
    return components.fit(read_simulations(X, y, simulation=simulation))


def _target(X):
    return read_target(X, n_features=X.shape[1])


COMPONENTS = [
    TemplateComponents(6),
    TemplateComponents(6, smooth=False, basis="spline"),
    TopicComponents(2, bins=6),
]


@pytest.mark.parametrize("components", COMPONENTS, ids=str)
def test_the_table_holds_normalised_densities(components):
    X, y, simulation = _events(n_classes=3)
    table = _fit(components, X, y, simulation).table(_target(X[::3]))
    weight = table.reference_weight
    np.testing.assert_allclose(weight.sum(), 1.0)
    for logs in (table.log_ratio, table.simulations.log_ratio):
        np.testing.assert_allclose(weight @ np.exp(logs), 1.0)
    assert table.n_classes == 3
    assert (np.diff(table.component_class) >= 0).all()
    np.testing.assert_allclose(table.row_weight.sum(), len(X[::3]))
    np.testing.assert_array_equal(table.row_weight, table.row_variance)
    gram = table.basis.T @ (weight[:, None] * table.basis)
    np.testing.assert_allclose(gram, np.eye(table.basis.shape[1]), atol=1e-9)


def test_the_reference_is_the_equal_mixture_of_all_simulations():
    X, y, simulation = _events()
    components = _fit(TemplateComponents(6), X, y, simulation)
    mean = components.probability_.mean(axis=0)
    np.testing.assert_allclose(components.reference_weight_, mean)


def test_topics_blend_to_the_simulations_they_describe():
    X, y, simulation = _events(n_simulations=6)
    components = _fit(TopicComponents(3, bins=6), X, y, simulation)
    table = components.table(_target(X))
    blend = np.exp(table.log_ratio) @ table.simulations.weights.T
    np.testing.assert_allclose(blend, np.exp(table.simulations.log_ratio))
    np.testing.assert_allclose(table.simulations.weights.sum(axis=1), 1.0)
    other = table.component_class[None, :] != table.simulations.source_class[:, None]
    assert (table.simulations.weights[other] == 0).all()


def test_no_more_topics_than_simulations():
    X, y, simulation = _events(n_simulations=3)
    topics = _fit(TopicComponents(3, bins=6), X, y, simulation)
    raw = _fit(TemplateComponents(6), X, y, simulation)
    assert topics.topic_models_ == [None, None]
    assert topics.component_probability_.shape == (6, 6)
    np.testing.assert_array_equal(topics.source_weights_, np.eye(6))
    np.testing.assert_array_equal(topics.probability_, raw.probability_)


def test_one_class_may_keep_its_templates_when_the_other_has_topics():
    X, y, simulation = _events(n_simulations=5)
    few = (y == 1) | (simulation < 2)
    components = _fit(TopicComponents(3, bins=6), X[few], y[few], simulation[few])
    assert components.topic_models_[0] is None
    assert components.component_class_.tolist() == [0, 0, 1, 1, 1]


@pytest.mark.parametrize("components", COMPONENTS, ids=str)
def test_renaming_and_reordering_simulations_changes_not_a_bit(components):
    X, y, simulation = _events()
    other = np.array(["d", "a", "c", "b"])[simulation]
    order = np.random.default_rng(1).permutation(len(X))
    first = _fit(components, X, y, simulation).table(_target(X))
    second = _fit(components, X[order], y[order], other[order]).table(_target(X))
    np.testing.assert_array_equal(first.log_ratio, second.log_ratio)
    np.testing.assert_array_equal(first.relative_variance, second.relative_variance)
    np.testing.assert_array_equal(first.basis, second.basis)


def test_bins_that_no_simulation_fills_warn_and_stay_finite():
    X, y, simulation = _events()
    edges = [np.linspace(-10, 10, 21)]
    components = _fit(TemplateComponents(edges), X, y, simulation)
    far = np.array([[-9.5], [0.0], [9.5], [9.6]])
    with pytest.warns(EmptyBinWarning, match="2 of 20 bins"):
        table = components.table(_target(far))
    assert np.isfinite(table.log_ratio).all()
    assert np.isfinite(table.relative_variance).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        components.table(_target(X))


def test_a_target_outside_the_bins_is_refused():
    X, y, simulation = _events()
    components = TemplateComponents([np.linspace(-1, 1, 5)], flow="drop")
    _fit(components, X, y, simulation)
    with pytest.raises(InvalidInputError, match="dataset number 0 has 0"):
        components.table(_target(np.array([[5.0], [6.0]])))


@pytest.mark.parametrize("components", [TemplateComponents(1), TopicComponents(2, 1)])
def test_a_single_bin_is_a_table_too(components):
    X, y, simulation = _events()
    table = _fit(components, X, y, simulation).table(_target(X))
    np.testing.assert_allclose(table.log_ratio, 0.0, atol=1e-12)
    assert table.basis.shape == (1, 0)


@pytest.mark.parametrize(
    ("components", "message"),
    [
        (TemplateComponents(basis="fourier"), "basis must be one of"),
        (TopicComponents(0), "n_topics must be a whole number of at least 1"),
    ],
)
def test_senseless_choices_are_refused(components, message):
    with pytest.raises(IncompatibleChoiceError, match=message):
        _fit(components, *_events())
