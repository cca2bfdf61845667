"""Binning agrees exactly with numpy; templates with sums, and with histograms."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from sktamm._validation import BLOCK_SIZE
from sktamm.events import accumulate, read_simulations, read_target
from sktamm.exceptions import InvalidInputError, VarianceWarning, WeightWarning
from sktamm.templates._binning import Binning, make_binning
from sktamm.templates._histogram import (
    class_probabilities,
    fill_templates,
    is_histogram,
    read_histograms,
    target_from_histograms,
    template_probabilities,
)

AWKWARD = [
    np.linspace(0, 1, 11),
    np.linspace(-2, 2, 11),
    np.linspace(0.1, 0.7, 7),
    np.linspace(-1e-3, 1e6 / 7, 1001),
    np.linspace(1e9, 1e9 + 1e-3, 14),
    np.array([0.0, 0.1, 0.2, 0.5, 1.0]),
    np.array([-3.0, 5.0]),
    np.cumsum(np.full(40, 0.1)),
    np.array([-1e300, 0.0, 1e300]),
]


def _edge_cases(edges, rng):
    """Every edge and its neighbours, uniform numbers, and numbers far outside."""
    inside = rng.uniform(edges[0], edges[-1], 2000)
    near = [np.nextafter(edges, -np.inf), edges, np.nextafter(edges, np.inf)]
    beyond = [edges[0] - 1e5, edges[-1] + 1e5, -1.7e308, 1.7e308]
    return np.concatenate([*near, inside, beyond])


@pytest.mark.parametrize("edges", AWKWARD, ids=lambda e: f"{e[0]:g}-{e[-1]:g}-{e.size}")
def test_bins_are_exactly_those_of_numpy(edges):
    x = _edge_cases(edges, np.random.default_rng(0))
    binning = Binning((edges,), "drop")
    index = binning.index(x[:, np.newaxis])
    one_by_one = [np.histogramdd([[v]], [edges])[0] for v in x[: 3 * edges.size]]
    for k, counts in zip(index, one_by_one, strict=False):
        np.testing.assert_array_equal(counts, np.arange(edges.size - 1) == k)
    counts = np.bincount(index[index >= 0], minlength=edges.size - 1)
    np.testing.assert_array_equal(counts, np.histogramdd(x[:, np.newaxis], [edges])[0])


def test_several_features_and_blocks_agree_with_numpy():
    rng = np.random.default_rng(1)
    edges = (np.linspace(-2, 2, 11), np.array([-1.0, 0.0, 0.3, 2.0]))
    X = rng.normal(size=(2 * BLOCK_SIZE + 17, 2))
    X[:100] = np.round(X[:100], 1)
    index = Binning(edges, "drop").index(X)
    assert index.dtype == np.intp
    counts = np.bincount(index[index >= 0], minlength=30).reshape(10, 3)
    np.testing.assert_array_equal(counts, np.histogramdd(X, edges)[0])
    in_fortran_order = Binning(edges, "drop").index(np.asfortranarray(X))
    np.testing.assert_array_equal(index, in_fortran_order)


@pytest.mark.parametrize("edges", [np.linspace(0, 1, 5), np.array([0, 0.3, 0.7, 1.0])])
def test_flow_policies(edges):
    X = np.array([[-5.0], [0.0], [0.5], [1.0], [np.nextafter(1, 2)], [1e300]])
    n = edges.size - 1
    middle = int(np.searchsorted(edges, 0.5, side="right")) - 1
    clip = [0, 0, middle, n - 1, n - 1, n - 1]
    drop = [-1, 0, middle, n - 1, -1, -1]
    own = [0, 1, middle + 1, n, n + 1, n + 1]
    assert Binning((edges,), "clip").index(X).tolist() == clip
    assert Binning((edges,), "drop").index(X).tolist() == drop
    assert Binning((edges,), "bins").index(X).tolist() == own
    assert Binning((edges,), "bins").shape == (n + 2,)
    refuse = Binning((edges,), "refuse")
    assert refuse.index(X[1:4]).tolist() == drop[1:4]
    with pytest.raises(
        InvalidInputError, match=r"column 0 has edges from 0 to 1 .* -5"
    ):
        refuse.index(X)


def test_uniform_bins_span_the_data_or_the_range():
    X = np.array([[0.0, 1.0], [4.0, 5.0], [2.0, 2.0]])
    edges = make_binning(X, bins=[2, 4], range=[None, (0, 8)]).edges
    np.testing.assert_array_equal(edges[0], [0, 2, 4])
    np.testing.assert_array_equal(edges[1], [0, 2, 4, 6, 8])
    mixed = make_binning(X, bins=[np.array([0, 1, 7]), 2])
    np.testing.assert_array_equal(mixed.edges[0], [0, 1, 7])
    assert mixed.shape == (2, 2)
    assert mixed.n_bins == 4


def test_quantile_bins_share_the_weight_equally():
    rng = np.random.default_rng(2)
    X = rng.exponential(size=(20_000, 1))
    weight = rng.uniform(0, 2, 20_000)
    for w in (None, weight):
        binning = make_binning(X, w, bins=8, strategy="quantile")
        content = np.bincount(binning.index(X), w)
        np.testing.assert_allclose(content / content.sum(), 1 / 8, atol=2e-4)
    inside = make_binning(X, bins=4, strategy="quantile", range=[(0.5, 1.5)])
    assert inside.edges[0][[0, -1]].tolist() == [0.5, 1.5]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bins": 0}, "bins must be edges or an integer from 1 .* got 0 for column 0"),
        ({"bins": 2.5}, "got 2.5 for column 0"),
        ({"bins": [3]}, "bins must have one entry for each of the 2 features, got 1"),
        ({"bins": [[0, 1, 1], 3]}, "strictly increasing edges .* column 0"),
        ({"bins": [[0, np.inf], 3]}, "finite and strictly increasing"),
        ({"bins": [[0], 3]}, "at least two"),
        ({"bins": 2000}, r"at most 1000000 bins in all, got \(2000, 2000\)"),
        ({"strategy": "kmeans"}, "strategy must be .* got 'kmeans'"),
        ({"flow": "wrap"}, "flow must be one of .* got 'wrap'"),
        ({"range": [(0, 1)]}, "range must have one entry for each of the 2 features"),
        ({"range": [(1, 0), None]}, r"low < high, got \(1, 0\) for column 0"),
        ({"X": np.ones((5, 2))}, "column 0 is constant at 1"),
        (
            {"strategy": "quantile", "range": [(50, 60), None]},
            r"range must hold simulated events .* got \(50, 60\) for column 0",
        ),
    ],
    ids=str,
)
def test_bins_are_refused(change, message):
    X = np.random.default_rng(3).normal(size=(50, 2))
    with pytest.raises(InvalidInputError, match=message):
        make_binning(**({"X": X} | change))


def _events(weighted, n=3000, seed=4):
    rng = np.random.default_rng(seed)
    weight = rng.choice([1.5, -0.5], n, p=[0.9, 0.1]) if weighted else None
    y, simulation = rng.integers(0, 2, n), rng.integers(0, 3, n)
    X = rng.normal(size=(n, 2))
    return read_simulations(X, y, simulation=simulation, sample_weight=weight)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("flow", ["clip", "bins", "drop"])
def test_templates_are_sums_of_weights(weighted, flow):
    events = _events(weighted)
    binning = make_binning(events.X, bins=4, range=[(-2, 2)] * 2, flow=flow)
    templates = fill_templates(events, binning)
    weight = np.ones(len(events.X)) if events.weight is None else events.weight
    index = binning.index(events.X)
    for s in range(events.n_sources):
        of_source = events.source == s
        kept = of_source & (index >= 0)
        for power, sums in ((1, "sum_of_weights"), (2, "sum_of_squares")):
            expected = np.bincount(
                index[kept], weight[kept] ** power, minlength=binning.n_bins
            )
            np.testing.assert_allclose(
                getattr(templates, sums)[s], expected, rtol=1e-12, atol=1e-12
            )
        left_out = weight[of_source & ~kept].sum()
        assert templates.dropped[s] == pytest.approx(left_out)
    assert templates.paired
    assert templates.positive == 1


def test_templates_of_several_blocks():
    events = _events(weighted=False, n=3 * BLOCK_SIZE + 5)
    templates = fill_templates(events, make_binning(events.X))
    assert templates.sum_of_weights.sum() == len(events.X)
    np.testing.assert_array_equal(templates.sum_of_weights, templates.sum_of_squares)


def test_source_without_content_is_refused():
    events = read_simulations([[0.0], [1.0], [9.0]], [0, 0, 1])
    with pytest.raises(InvalidInputError, match="simulation 0 of class 1 has 0 within"):
        fill_templates(events, make_binning(events.X, range=[(0, 1)], flow="drop"))


def _templates(contents, y, simulation=None, weight=None):
    """Templates with given numbers of events per bin, one row per source."""
    contents = np.asarray(contents)
    rows, bins = np.nonzero(contents)
    number = contents[rows, bins]
    x = np.repeat(bins + 0.5, number)[:, np.newaxis]
    source = np.repeat(rows, number)
    ids = None if simulation is None else np.asarray(simulation)[source]
    events = read_simulations(
        x, np.asarray(y)[source], simulation=ids, sample_weight=weight
    )
    edges = np.arange(contents.shape[1] + 1.0)
    return fill_templates(events, Binning((edges,)))


def test_one_simulation_keeps_its_frequencies():
    templates = _templates([[10, 30, 60], [50, 25, 25]], [0, 1])
    probability, relative_variance = template_probabilities(templates)
    np.testing.assert_allclose(probability, [[0.1, 0.3, 0.6], [0.5, 0.25, 0.25]])
    np.testing.assert_allclose(relative_variance, 1 / (templates.sum_of_weights + 1))


def test_simulations_shrink_towards_their_class():
    templates = _templates([[0, 40], [20, 20], [5, 5]], [0, 0, 1], [1, 2, 1])
    pooled = class_probabilities(templates)
    np.testing.assert_allclose(pooled, [[0.25, 0.75], [0.5, 0.5]])
    probability, _ = template_probabilities(templates)
    expected = np.array([0.25 * 1 / 11, 0.75 * 41 / 31])
    np.testing.assert_allclose(probability[0], expected / expected.sum())
    sharp, _ = template_probabilities(templates, strength=1e-9)
    np.testing.assert_allclose(sharp[1:], [[0.5, 0.5], [0.5, 0.5]])


def test_bins_that_a_class_leaves_empty_get_half_an_event():
    templates = _templates([[50, 50, 0, 0], [20, 20, 60, 0]], [0, 1])
    pooled = class_probabilities(templates)
    floor = 0.5 / 100
    np.testing.assert_allclose(pooled[0, 2:], floor / (1 + 2 * floor))
    assert templates.empty_everywhere.tolist() == [False, False, False, True]
    probability, relative_variance = template_probabilities(templates)
    assert (probability > 0).all()
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    assert relative_variance[0, 3] == 1


def test_equal_weights_of_any_size_change_nothing():
    contents, y = [[3, 30, 0], [10, 0, 5]], [0, 1]
    plain = template_probabilities(_templates(contents, y))
    scaled = template_probabilities(_templates(contents, y, weight=np.full(48, 0.01)))
    for a, b in zip(plain, scaled, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


def test_negative_bins_are_set_to_zero_with_a_warning():
    weight = [1.0] * 10 + [-1.0] * 2 + [1.0] * 4
    templates = _templates([[10, 2], [2, 2]], [0, 1], weight=weight)
    assert templates.sum_of_weights[0].tolist() == [10, -2]
    assert templates.sum_of_squares[0].tolist() == [10, 2]
    assert not templates.empty_everywhere.any()
    with pytest.warns(WeightWarning, match="1 of 4 template bins have a negative"):
        probability, _ = template_probabilities(templates)
    assert (probability > 0).all()


# Histograms of other libraries.


def _hists(events, flow=True, weighted=True):
    hist = pytest.importorskip("hist")
    storage = hist.storage.Weight() if weighted else hist.storage.Double()
    axes = [
        hist.axis.Regular(4, -2, 2, flow=flow),
        hist.axis.Variable([-1, 0, 0.5, 2], flow=flow),
    ]
    out = []
    for s in range(events.n_sources):
        of_source = events.source == s
        weight = None if events.weight is None else events.weight[of_source]
        h = hist.Hist(*axes, storage=storage)
        out.append(h.fill(*events.X[of_source].T, weight=weight))
    return out


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("flow", ["clip", "bins", "drop"])
def test_histograms_agree_with_events(weighted, flow):
    events = _events(weighted)
    hists = _hists(events, weighted=weighted)
    y, ids = events.classes[events.source_class], events.source_id
    templates = read_histograms(hists, y, simulation=ids, flow=flow)
    edges = (np.linspace(-2, 2, 5), np.array([-1, 0, 0.5, 2]))
    expected = fill_templates(events, Binning(edges, flow))
    for name in ("sum_of_weights", "sum_of_squares", "dropped"):
        np.testing.assert_allclose(
            getattr(templates, name), getattr(expected, name), rtol=1e-9, atol=1e-9
        )
    assert templates.paired
    assert templates.binning.shape == expected.binning.shape


def test_target_histograms_agree_with_events():
    events = _events(weighted=True)
    hists = _hists(events)
    binning = read_histograms(hists, events.source_class).binning
    row_weight, row_variance, _ = target_from_histograms(hists, binning)
    target = read_target(
        events.X, dataset=events.source, sample_weight=events.weight, n_features=2
    )
    expected = accumulate(binning.index(events.X), binning.n_bins, target)
    np.testing.assert_allclose(row_weight, expected[0], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(row_variance, expected[1], rtol=1e-9, atol=1e-9)
    single = target_from_histograms(hists[0], binning)
    np.testing.assert_array_equal(single[0], row_weight[:1])


def test_histograms_of_one_source_are_added():
    hists = _hists(_events(weighted=False))
    together = read_histograms(hists, [0, 0, 0, 1, 1, 1])
    apart = read_histograms(hists, [0, 0, 0, 1, 1, 1], simulation=[1, 2, 3] * 2)
    expected = apart.sum_of_weights.reshape(2, 3, -1).sum(axis=1)
    np.testing.assert_allclose(together.sum_of_weights, expected)


def test_absent_flow_bins_are_empty():
    events = _events(weighted=False)
    hist = pytest.importorskip("hist")
    with_flow = read_histograms(_hists(events, flow=False), events.source_class)
    own = read_histograms(_hists(events, flow=False), events.source_class, flow="bins")
    assert own.binning.shape == (6, 5)
    assert own.sum_of_weights.sum() == with_flow.sum_of_weights.sum()
    h = hist.Hist(hist.axis.Regular(2, 0, 1, underflow=False)).fill([0.2, 5.0, 6.0])
    one_sided = read_histograms([h, h], [0, 1], flow="bins")
    assert one_sided.sum_of_weights[0].tolist() == [0, 1, 0, 2]


class _Plain:
    """The least a histogram offers: no ``flow`` argument, no traits, no variances."""

    def __init__(self, values, edges, variances=None):
        self.kind = "COUNT"
        self.axes = [[*pairwise(edges)]]
        self._values, self._variances = values, variances

    def values(self):
        return np.asarray(self._values)

    def variances(self):
        return self._variances


def test_plain_protocol_is_enough():
    one, two = _Plain([1, 2], [0, 1, 3]), _Plain([3.0, 4.0], [0, 1, 3], [9.0, 16.0])
    with pytest.warns(VarianceWarning, match="variances of 1 of 2 simulated hist"):
        templates = read_histograms([one, two], ["b", "s"], flow="refuse")
    np.testing.assert_array_equal(templates.sum_of_weights, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(templates.sum_of_squares, [[1, 2], [9, 16]])
    assert templates.classes.tolist() == ["b", "s"]


def test_what_is_a_histogram():
    one = _Plain([1, 2], [0, 1, 3])
    assert is_histogram(one)
    assert is_histogram([one, one])
    for other in (
        [],
        [one, 3],
        np.ones((3, 2)),
        pd.DataFrame({"a": [1]}),
        "text",
        None,
    ):
        assert not is_histogram(other)


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.VarianceWarning")
def test_histograms_are_refused():
    hist = pytest.importorskip("hist")
    one, other = _Plain([1, 2], [0, 1, 3]), _Plain([1, 2], [0, 1, 2])
    binning = Binning((np.array([0.0, 1.0, 3.0]),), "drop")
    category = hist.Hist(hist.axis.StrCategory(["a", "b"])).fill(["a"])
    profile = hist.Hist(hist.axis.Regular(2, 0, 1), storage=hist.storage.Mean())
    outside = hist.Hist(hist.axis.Regular(2, 0, 1)).fill([0.2, 5.0])
    for bad, message in [
        ([one, other], "histogram 1 has other edges"),
        ([one, _Plain([1, 2, 3], [0, 1, 2, 3])], r"\(shape \(3,\)\) than .*\(2,\)"),
        ([category] * 2, "histogram 0 has the categorical axis"),
        ([profile] * 2, "histogram 0 is of kind"),
        ([one, _Plain([1, np.nan], [0, 1, 3])], "histogram 1 must hold finite values"),
        ([one, _Plain([1, -2], [0, 1, 3])], "variances of at least zero, got -2"),
        ([outside] * 2, "empty flow bins when flow='refuse', but histogram 0"),
        ([_Plain([0, 0], [0, 1, 3])] * 2, "positive sum of weights of every source"),
        ([one, 3], "histograms must be a non-empty sequence"),
    ]:
        with pytest.raises(InvalidInputError, match=message):
            read_histograms(bad, [0, 1], flow="refuse")
    with pytest.raises(InvalidInputError, match="y must hold one entry for each of"):
        read_histograms([one, one], [0])
    with pytest.raises(InvalidInputError, match="histogram 1 holds 0 within"):
        target_from_histograms([one, _Plain([0, 0], [0, 1, 3])], binning)
    with pytest.raises(InvalidInputError, match="histogram 0 has other edges"):
        target_from_histograms([other], binning)


def test_more_features_than_an_array_has_axes_are_refused():
    X = np.random.default_rng(0).normal(size=(100, 64))
    with pytest.raises(InvalidInputError, match="at most 31 features to be binned"):
        make_binning(X, bins=1)
