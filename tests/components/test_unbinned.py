"""Unbinned components: rows are events; topics stand for many simulations."""

import numpy as np
import pytest
from common_estimators import ratio_of
from scipy import sparse
from sklearn.base import clone

from sktamm.components import RatioComponents, RatioTopicComponents
from sktamm.components._event_basis import EventBasis
from sktamm.components._ratio_topics import common_modes, error_modes, fit_topics
from sktamm.events import read_simulations, read_target
from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError
from sktamm.ratios._moments import Coordinates

N = 4  # simulations per class


def simulated(n_events=300, n_simulations=N, seed=0):
    rng = np.random.default_rng(seed)
    shift = 0.2 * rng.normal(size=(2, n_simulations, 2)) + [[[0, 0]], [[1.5, 0.5]]]
    X = np.concatenate(
        [rng.normal(c, 1.0, (n_events, 2)) for c in shift.reshape(-1, 2)]
    )
    y = np.repeat([0, 1], n_simulations * n_events)
    simulation = np.tile(np.repeat(np.arange(n_simulations), n_events), 2)
    return read_simulations(X, y, simulation=simulation)


def target(n_events=60, seed=1, **keywords):
    X = np.random.default_rng(seed).normal(0.7, 1.0, (n_events, 2))
    return read_target(X, n_features=2, **keywords)


def raw(**choices):
    return RatioComponents(ratio_of(choices), **{"random_state": 0} | choices)


def topics(n_topics, **choices):
    ratio = ratio_of(choices)
    return RatioTopicComponents(n_topics, ratio, **{"random_state": 0} | choices)


COMPONENTS = {"raw": raw(n_members=2), "topics": topics(2, n_members=2)}


@pytest.fixture(scope="module", params=COMPONENTS.values(), ids=COMPONENTS.keys())
def fitted(request):
    return clone(request.param).fit(simulated())


# ---------------------------------------------------------------------------- the table
def test_the_table_holds_events_and_reference(fitted):
    table = fitted.table(target())
    n_reference, n_components = table.reference_log_ratio.shape
    assert table.log_ratio.shape == (60, n_components)
    assert table.component_class.tolist() == sorted(table.component_class)
    assert table.reference_weight.shape == (n_reference,)
    assert table.reference_weight.sum() == pytest.approx(1.0)
    assert not table.binned
    assert table.n_classes == 2
    assert table.basis.shape[1] == table.reference_basis.shape[1] > 0
    assert table.reference_sample.source.shape == (n_reference,)
    for error, logs in (
        (table.error, table.log_ratio),
        (table.simulations.error, table.simulations.log_ratio),
    ):
        assert error.rows.shape[:2] == logs.shape
        assert error.reference.shape[:2] == (n_reference, logs.shape[1])
        n = error.rows.shape[1] * error.rows.shape[2]
        assert error.covariance.shape == (n, n)


def test_components_and_simulations_are_normalised(fitted):
    table = fitted.table(target())
    for logs in (table.reference_log_ratio, table.simulations.reference_log_ratio):
        mean = table.reference_weight @ np.exp(logs)
        np.testing.assert_allclose(mean, 1.0, rtol=1e-4)


def test_a_blend_of_components_is_the_simulation(fitted):
    """With the weights that the table tells, at rows and at reference rows."""
    table = fitted.table(target())
    weights = table.simulations.weights
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    assert weights.min() >= 0
    own = table.simulations.source_class[:, None] == table.component_class
    assert (weights[~own] == 0).all()
    for ours, theirs in (
        (table.log_ratio, table.simulations.log_ratio),
        (table.reference_log_ratio, table.simulations.reference_log_ratio),
    ):
        np.testing.assert_allclose(np.exp(ours) @ weights.T, np.exp(theirs), rtol=1e-5)


def test_the_basis_is_orthonormal_under_the_reference(fitted):
    table = fitted.table(target())
    basis, weight = table.reference_basis, table.reference_weight[:, None]
    gram = (weight * basis).T @ basis
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-6)
    np.testing.assert_allclose((weight * basis).sum(axis=0), 0.0, atol=1e-8)


def test_contents_are_sums_of_weights(fitted):
    rng = np.random.default_rng(2)
    weight, counts = rng.normal(1, 1, 60), rng.poisson(0.5, (60, 3))
    counts[:2] = 1
    alone = fitted.table(target(sample_weight=np.abs(weight)))
    np.testing.assert_allclose(alone.row_weight, np.abs(weight)[None])
    for make in (np.asarray, sparse.csr_array):
        table = fitted.table(target(dataset=make(counts)))
        assert sparse.issparse(table.row_weight)
        np.testing.assert_array_equal(table.row_weight.toarray(), counts.T)
        np.testing.assert_array_equal(table.row_variance.toarray(), counts.T)
        weighted = fitted.table(
            target(dataset=make(counts), sample_weight=np.abs(weight))
        )
        expected = counts.T * np.abs(weight)
        np.testing.assert_allclose(weighted.row_weight.toarray(), expected)
        np.testing.assert_allclose(
            weighted.row_variance.toarray(), counts.T * weight**2
        )
        total, variance = weighted.totals()
        np.testing.assert_allclose(total, expected.sum(axis=1))
        np.testing.assert_allclose(variance, (counts.T * weight**2).sum(axis=1))


def test_a_dataset_alone_has_its_own_rows(fitted):
    counts = np.zeros((60, 2))
    counts[:20, 0], counts[15:60:3, 1] = 1, 2
    table = fitted.table(target(dataset=counts))
    for i in range(2):
        part, rows = table.select(slice(i, i + 1))
        np.testing.assert_array_equal(rows, np.flatnonzero(counts[:, i]))
        np.testing.assert_array_equal(part.row_weight, counts[rows, i][None])
        np.testing.assert_array_equal(part.log_ratio, table.log_ratio[rows])
        np.testing.assert_array_equal(part.basis, table.basis[rows])
        np.testing.assert_array_equal(part.error.rows, table.error.rows[rows])
        np.testing.assert_array_equal(
            part.simulations.log_ratio, table.simulations.log_ratio[rows]
        )
        assert part.reference_log_ratio is table.reference_log_ratio


def test_without_propagation_there_is_no_error():
    for components in COMPONENTS.values():
        silent = clone(components).set_params(propagate=False).fit(simulated())
        table = silent.table(target())
        assert table.error is None
        assert table.simulations.error is None
        loud = clone(components).fit(simulated()).table(target())
        np.testing.assert_allclose(table.log_ratio, loud.log_ratio, atol=1e-9)


def test_events_beyond_the_simulations_are_counted(fitted):
    inside = target(dataset=np.repeat([0, 1], 30))
    assert not fitted.table(inside).out_of_range.any()
    X = inside.X.copy()
    X[:30] += 50.0
    mixed = read_target(X, n_features=2, dataset=np.repeat([0, 1], 30))
    assert fitted.table(mixed).out_of_range.tolist() == [True, False]
    assert fitted.table(read_target(X, n_features=2)).out_of_range.tolist() == [True]
    # five or so stray events are allowed
    few = inside.X.copy()
    few[0] += 50.0
    assert not fitted.table(read_target(few, n_features=2)).out_of_range.any()


@pytest.mark.parametrize("components", COMPONENTS.values(), ids=COMPONENTS.keys())
def test_taking_simulations_needs_no_training(components):
    fitted = clone(components).fit(simulated())
    part = fitted.take([0, 2])
    table = part.table(target())
    assert table.simulations.source_id.tolist().count(0) == 2
    assert set(table.simulations.source_id) == {0, 2}
    assert part.ratio_.models_ is fitted.ratio_.models_
    assert fitted.table(target()).simulations.source_id.size == 2 * N
    mean = table.reference_weight @ np.exp(table.reference_log_ratio)
    np.testing.assert_allclose(mean, 1.0, rtol=1e-4)


# ------------------------------------------------------------------------------- topics
def test_enough_topics_are_the_simulations():
    """Bit for bit: a class with no more simulations than topics stays raw."""
    tables = [c.fit(simulated()).table(target()) for c in (raw(), topics(N))]
    for name in ("log_ratio", "reference_log_ratio", "component_class"):
        ours, theirs = getattr(tables[1], name), getattr(tables[0], name)
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    np.testing.assert_array_equal(tables[1].simulations.weights, np.eye(2 * N))


@pytest.mark.parametrize("n_topics", [1, 2, 3])
def test_few_topics_replace_many_simulations(n_topics):
    table = topics(n_topics).fit(simulated()).table(target())
    assert np.bincount(table.component_class).tolist() == [n_topics] * 2
    assert table.simulations.source_class.size == 2 * N
    assert np.isfinite(table.log_ratio).all()


def _low_rank(n=4000, seed=0):
    """Ratios of six simulations that are blends of two positive functions."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(size=n)
    parts = np.column_stack([2 * x, 2 * (1 - x)])
    shares = np.column_stack([np.linspace(0.1, 0.9, 6), np.linspace(0.9, 0.1, 6)])
    return np.log(parts @ shares.T), np.full(n, 1 / n)


def test_blends_of_two_functions_need_two_topics():
    log_ratio, weight = _low_rank()
    found = fit_topics(log_ratio, weight, 2, seed=0)
    density = np.exp(found.log_topics(log_ratio)) @ found.shares.T
    density /= weight @ density
    expected = np.exp(log_ratio) / (weight @ np.exp(log_ratio))
    assert np.sqrt(((density / expected - 1) ** 2).mean()) < 0.03
    np.testing.assert_allclose(found.shares.sum(axis=1), 1.0)
    assert found.shares.min() >= 0


def test_new_events_have_the_topics_of_old_ones():
    log_ratio, weight = _low_rank()
    found = fit_topics(log_ratio, weight, 2, seed=0)
    some = found.log_topics(log_ratio)[::40]
    np.testing.assert_allclose(found.log_topics(log_ratio[::40]), some, atol=1e-3)


def test_topics_move_with_their_simulations():
    """A common change of all log ratios is the same change of all log topics."""
    log_ratio, weight = _low_rank()
    for n_topics in (2, 6):
        found = fit_topics(log_ratio, weight, n_topics, seed=0)
        log_topics = found.log_topics(log_ratio)
        moved = np.full(log_ratio.shape, 0.01)
        change = found.change(log_ratio, log_topics, moved)
        blend = np.exp(log_topics) @ found.shares.T
        up = np.exp(log_topics + change) @ found.shares.T
        relative = np.log(up / blend)
        assert np.median(np.abs(relative - 0.01)) < 2e-3


def test_modes_have_the_covariance_of_the_error():
    """Sum of squares over the modes, within four sigmas of their number."""
    fitted = raw(n_members=3).fit(simulated())
    error = fitted.ratio_.predict_with_error(target().X)[1]
    modes, _ = error_modes(error)
    n_terms = error.rows.shape[2]
    rows = error.rows.reshape(len(error.rows), -1)
    expected = np.zeros(error.rows.shape[:2])
    for k in range(error.rows.shape[1]):
        own = slice(k * n_terms, (k + 1) * n_terms)
        part = rows[:, own]
        expected[:, k] = ((part @ error.covariance[own, own]) * part).sum(axis=1)
        smooth = error.smooth_rows
        expected[:, k] += ((smooth @ error.smooth_covariance[k]) * smooth).sum(axis=1)
    ratio = (modes**2).sum(axis=2) / expected
    n_modes = modes.shape[2]
    assert abs(np.mean(ratio) - 1) < 4 * np.sqrt(2 / n_modes)
    again, reference = error_modes(error)
    np.testing.assert_array_equal(again, modes)
    table_error = common_modes(modes, reference)
    assert table_error.rows.shape == modes.shape
    assert table_error.smooth_rows.shape == (60, 0)


# -------------------------------------------------------------------------------- basis
@pytest.mark.parametrize("basis", ["polynomial", "spline", "principal"])
@pytest.mark.parametrize("most", [1, 5, 40])
def test_the_basis_has_no_more_functions_than_wanted(basis, most):
    fitted = raw(basis=basis, max_functions=most, n_members=1).fit(simulated())
    table = fitted.table(target())
    assert table.basis.shape[1] <= most
    assert (table.basis.shape[1] == 0) == (basis == "principal")


class Cosines:
    """Functions of a user's own."""

    def evaluate(self, u):
        return np.cos(np.pi * u)


def test_a_basis_of_ones_own_is_taken():
    fitted = raw(basis=Cosines(), n_members=1).fit(simulated())
    assert fitted.table(target()).basis.shape == (60, 2)


@pytest.mark.parametrize("d", [1, 2, 15, 40])
def test_bases_of_many_features_stay_small(d):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(2000, d))
    basis = EventBasis("polynomial", 10, Coordinates().fit(X))
    log_ratio = 0.1 * np.column_stack([X[:, 0], -X[:, 0], X[:, -1] ** 2])
    values = basis.fit(X, np.full(2000, 1 / 2000), log_ratio, np.array([0, 0, 1]))
    assert values.shape[1] <= 10
    again = basis.evaluate(X[:9], log_ratio[:9])
    np.testing.assert_allclose(again, values[:9], atol=1e-9)


def test_difference_of_the_classes_is_among_few_functions():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(4000, 12))
    log_ratio = 0.4 * np.outer(X.sum(axis=1) / np.sqrt(12.0), [1.0, 1.0, -1.0, -1.0])
    log_ratio[:, ::2] += 0.3 * X[:, :1] ** 2
    weight = np.full(4000, 1 / 4000)
    basis = EventBasis("polynomial", 3, Coordinates().fit(X))
    values = basis.fit(X, weight, log_ratio, np.array([0, 0, 1, 1]))
    r = np.exp(log_ratio)
    g = r[:, 2:].mean(axis=1) - r[:, :2].mean(axis=1)
    g /= r.mean(axis=1)
    g -= weight @ g
    assert values.shape[1] == 3
    np.testing.assert_allclose(values @ (values.T @ g / 4000), g, atol=1e-8)


@pytest.mark.parametrize(("d", "size"), [(2, 9), (5, 55), (10, 65), (20, 230)])
def test_all_polynomials_of_low_degree_are_used(d, size):
    X = np.random.default_rng(3).normal(size=(3000, d))
    basis = EventBasis("polynomial", 240, Coordinates().fit(X))
    values = basis.fit(X, np.full(3000, 1 / 3000), np.zeros((3000, 2)), np.arange(2))
    assert values.shape[1] == size


def test_functions_by_which_simulations_differ_are_kept():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(4000, 6))
    coordinates = Coordinates().fit(X)
    slope = np.array([1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    log_ratio = 0.3 * np.outer(coordinates.transform(X) @ slope, [1.0, -1.0])
    basis = EventBasis("polynomial", 3, coordinates)
    values = basis.fit(X, np.full(4000, 1 / 4000), log_ratio, np.array([0, 0]))
    residual = log_ratio[:, 0] - log_ratio[:, 0].mean()
    explained = values @ (values.T @ residual / 4000)
    assert (residual - explained).var() < 0.01 * residual.var()


# ----------------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("components", "sentence"),
    [
        (raw(max_functions=0), "max_functions must be an int .*, got 0"),
        (raw(basis="wavelet"), "basis must be one of .* got 'wavelet'"),
        (raw(classifier="forest"), "classifier must be one of"),
        (RatioComponents("forest"), "ratio must be a str among .*, got 'forest'"),
        (RatioTopicComponents(2, 3), "ratio must be a str among .*, got 3"),
        (raw(calibration="platt"), "calibration must be a str among"),
        (topics(0), "n_topics must be an int .*, got 0"),
    ],
)
def test_settings_out_of_range_are_refused(components, sentence):
    with pytest.raises(IncompatibleChoiceError, match=sentence):
        components.fit(simulated(50))


def test_histograms_are_refused(fitted):
    with pytest.raises(IncompatibleChoiceError, match="need events, got histograms"):
        clone(fitted).fit([np.ones(3)])
    with pytest.raises(InvalidInputError, match="events for unbinned components"):
        fitted.table((np.ones((1, 3)), np.ones((1, 3))))
