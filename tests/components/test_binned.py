"""Binned components: a table of finite numbers, whatever bins and names."""

import numpy as np
import pytest
from sklearn.base import clone

from sktamm import BinnedTopicTAMM
from sktamm.components import TemplateComponents, TopicComponents
from sktamm.events import read_simulations, read_target
from sktamm.exceptions import (
    IncompatibleChoiceError,
    InvalidInputError,
)
from sktamm.functions import BinBasis, PolynomialBasis
from sktamm.templates._binning import make_binning
from sktamm.templates._filled import FilledBins


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


def test_bins_that_no_simulation_fills_are_no_rows():
    X, y, simulation = _events()
    edges = [np.linspace(-10, 10, 21)]
    components = _fit(TemplateComponents(edges), X, y, simulation)
    inside = np.unique(np.floor(X).astype(int)) + 10
    np.testing.assert_array_equal(components.rows_.number, inside)
    far = np.array([[-9.5], [0.0], [9.5], [9.6]])
    table = components.table(_target(far))
    np.testing.assert_allclose(table.unfilled, 0.75)
    last = inside.size - 1
    assert components.rows(far).tolist() == [0, 10 - inside[0], last, last]
    np.testing.assert_allclose(components.table(_target(X)).unfilled, 0.0)


def test_contents_of_empty_bins_count_in_the_nearest_filled_one():
    """Of two bins equally near the one with more simulated events takes them."""
    binning = make_binning(np.zeros((1, 2)), bins=[[0, 1, 2, 3], [0, 1, 2, 3]])
    rows = FilledBins(binning, np.array([0, 1, 5, 6]), np.array([0.1, 0.4, 0.3, 0.2]))
    assert rows.rows_of(np.arange(9)).tolist() == [0, 1, 1, 3, 1, 2, 3, 3, 2]
    assert rows.rows_of(np.array([-1, 8])).tolist() == [-1, 2]
    content = np.arange(9.0)[None]
    np.testing.assert_array_equal(
        rows.gather(content), [[0, 1 + 2 + 4, 5 + 8, 3 + 6 + 7]]
    )
    np.testing.assert_array_equal(
        rows.spread(np.array([1.0, 2.0, 3.0, 4.0])), [1, 2, 0, 0, 0, 3, 4, 0, 0]
    )


@pytest.mark.parametrize("flow", ["clip", "bins"])
@pytest.mark.parametrize("components", COMPONENTS, ids=str)
def test_edges_beyond_everything_change_nothing(components, flow):
    """The same filled bins on a wider grid, with or without flow bins."""
    X, y, simulation = _events()
    tables = [
        _fit(
            clone(components).set_params(bins=[np.arange(-n, n + 1.0)], flow=flow),
            X,
            y,
            simulation,
        )
        for n in (8, 13)
    ]
    first, second = (fitted.table(_target(X)) for fitted in tables)
    for name in ("log_ratio", "row_weight", "relative_variance", "basis"):
        a, b = getattr(first, name), getattr(second, name)
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


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
        (TopicComponents(0), "n_topics must be an int in the range"),
    ],
)
def test_senseless_choices_are_refused(components, message):
    with pytest.raises(IncompatibleChoiceError, match=message):
        _fit(components, *_events())


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
@pytest.mark.parametrize("n_events", [2000, 20_000])
@pytest.mark.parametrize("seed", range(3))
def test_rings_of_bins_that_hold_a_few_events_hardly_move_kappa(n_events, seed):
    """Less than a tenth of the error, from 4.8 to 6.4 sigmas around the data."""
    rng = np.random.default_rng(seed)

    def draw(centre, width, n):
        return np.add(centre, width * rng.normal(size=(n, 2)))

    sources = [(c, k) for c in (0, 1) for k in range(5)]
    X = np.vstack(
        [
            draw(c + 0.1 * rng.normal(size=2), 1.0 - 0.4 * c, n_events)
            for c, _ in sources
        ]
    )
    y, simulation = (np.repeat(v, n_events) for v in zip(*sources, strict=True))
    target = np.vstack([draw(1.0, 0.6, 1000), draw(0.0, 1.0, 9000)])
    answers = []
    for end in (4.8, 5.6, 6.4):
        edges = np.linspace(-end, end, round(5 * end) + 1)
        tamm = BinnedTopicTAMM(bins=[edges, edges])
        tamm.fit(X, y, simulation=simulation)
        answers.append(tamm.predict(target, return_std=True))
    kappa, std = np.array(answers)[..., 0].T
    assert np.ptp(kappa) < 0.1 * std.min()
    assert np.ptp(std) < 0.1 * std.min()


def _labels(seed=0, n_simulations=6, n_events=2000):
    """Eight labels whose frequencies differ independently, and a target."""
    rng = np.random.default_rng(seed)
    mean = rng.uniform(0.3, 1.5, (2, 1, 8))
    p = mean * np.exp(0.25 * rng.normal(size=(2, n_simulations + 1, 8)))
    p /= p.sum(axis=2, keepdims=True)
    number = np.arange(n_simulations).repeat(n_events)
    X = [rng.choice(8, n_events, p=p[c, k]) for c in (0, 1) for k in set(number)]
    target = np.concatenate(
        [rng.choice(8, n, p=p[c, -1]) for c, n in ((0, 900), (1, 300))]
    )
    y = np.repeat([0, 1], number.size)
    return np.concatenate(X), y, np.tile(number, 2), target


def _kappa_of_labels(names, basis, data):
    X, y, simulation, target = data
    tamm = BinnedTopicTAMM(basis=basis, random_state=0)
    tamm.fit(names[X][:, None], y, simulation=simulation)
    return tamm, tamm.infer(names[target][:, None])


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SpanWarning")
@pytest.mark.parametrize("basis", ["auto", "bins", BinBasis()], ids=str)
def test_the_names_of_labels_change_nothing(basis):
    data = _labels()
    tamm, expected = _kappa_of_labels(np.arange(8.0), basis, data)
    assert tamm.components_.unordered_
    assert tamm.components_.words() == {"bins": "20 without an order"}
    names = np.array([5.0, 0.0, 7.0, 2.0, 4.0, 1.0, 6.0, 3.0])
    found = _kappa_of_labels(names, basis, data)[1]
    for name in ("kappa", "std", "interval"):
        apart = np.abs(getattr(found, name) - getattr(expected, name)) / expected.std
        assert apart.max() < 1e-6
    ordered = [
        _kappa_of_labels(n, "polynomial", data)[1] for n in (names, np.arange(8.0))
    ]
    assert np.abs(ordered[0].kappa - ordered[1].kappa) > 0.1 * ordered[1].std


@pytest.mark.parametrize("components", [TemplateComponents, TopicComponents])
def test_bins_without_an_order_have_a_function_each_and_are_not_smoothed(components):
    X, y, simulation, target = _labels()
    own = _fit(components(basis="bins"), X[:, None], y, simulation)
    table = own.table(_target(target[:, None]))
    assert table.unordered
    assert table.noise_shapes is None
    # with the constant, they are all functions of eight bins
    values = np.column_stack([table.basis, np.ones(8)])
    gram = values.T @ (table.reference_weight[:, None] * values)
    np.testing.assert_allclose(gram, np.eye(8), atol=1e-9)
    raw = _fit(components(basis="bins", smooth=False), X[:, None], y, simulation)
    np.testing.assert_array_equal(own.probability_, raw.probability_)
    kept = own.without([0])
    assert kept.unordered_


def test_an_order_is_kept_where_it_is_said_or_seen():
    X, y, simulation, _ = _labels()
    for basis in ("polynomial", "spline", "principal", PolynomialBasis(4)):
        own = _fit(TemplateComponents(basis=basis), X[:, None], y, simulation)
        assert not own.unordered_
    bells = _fit(TemplateComponents(), *_events())
    assert not bells.unordered_
    named = _fit(TemplateComponents(basis="polynomial"), *_events())
    np.testing.assert_array_equal(bells.basis_, named.basis_)
