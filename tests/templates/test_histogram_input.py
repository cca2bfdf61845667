"""What histograms say of themselves is used: variances, names, kinds of axes."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from sktamm import BinnedTopicTAMM, TAMMRegressor
from sktamm.components import TemplateComponents
from sktamm.exceptions import InvalidInputError, VarianceWarning
from sktamm.templates._histogram import (
    read_histograms,
    target_from_histograms,
    template_probabilities,
)

BACKGROUND = np.array([0.4, 0.3, 0.2, 0.1])
SIGNAL = BACKGROUND[::-1]
DATA = np.array([300.0, 280.0, 220.0, 200.0])


class _Plain:
    """The least a histogram offers, and variances."""

    def __init__(self, values, variances):
        self.axes = [[*pairwise(np.arange(len(values) + 1.0))]]
        self._values, self._variances = values, variances

    def values(self):
        return np.array(self._values, dtype=float)

    def variances(self):
        return self._variances


def _counts(values):
    return _Plain(values, np.array(values, dtype=float))


def _exact(values):
    return _Plain(values, np.zeros(len(values)))


# ------------------------------------------------------------------------- variances
@pytest.mark.parametrize("components", ["raw", "topics"])
@pytest.mark.parametrize("scale", [1.0, 7e-5])
@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SingleSimulationWarning")
def test_zero_variances_are_templates_known_exactly(components, scale):
    tamm = TAMMRegressor(components, "linear", inference="frequentist")
    tamm.fit([_exact(scale * BACKGROUND), _exact(scale * SIGNAL)], [0, 1])
    result = tamm.infer(_counts(DATA))
    slope = SIGNAL - BACKGROUND
    grid = np.linspace(0.25, 0.4, 150_001)
    fit = DATA @ np.log(BACKGROUND[:, None] + slope[:, None] * grid)
    best = grid[np.argmax(fit)]
    # Fisher information of known templates, at the observed counts.
    error = (DATA @ (slope / (BACKGROUND + best * slope)) ** 2) ** -0.5
    assert result.kappa[0] == pytest.approx(best, abs=1e-3 * error)
    assert result.std[0] == pytest.approx(error, rel=1e-4)
    assert result.flags == ((),)


def test_a_bin_may_be_known_exactly_beside_others():
    weighted = _Plain(100 * BACKGROUND, np.array([40.0, 0.0, 0.0, 10.0]))
    templates = read_histograms([weighted, _counts(100 * SIGNAL)], [0, 1])
    probability, variance = template_probabilities(templates)
    np.testing.assert_allclose(probability[0], BACKGROUND, rtol=1e-12)
    np.testing.assert_allclose(variance[0], [1 / 41, 0, 0, 1 / 11], atol=1e-11)


def test_bins_known_exactly_do_not_shrink_towards_the_class():
    mixed = _Plain([40.0, 30.0, 20.0, 10.0], [800.0, 0.0, 0.0, 50.0])
    other = _counts([100.0, 100.0, 900.0, 100.0])
    templates = read_histograms(
        [mixed, other, other], [0, 0, 1], simulation=["a", "b", "a"]
    )
    probability = template_probabilities(templates, strength=5.0)[0]
    assert probability[0, 1] / probability[0, 2] == pytest.approx(1.5, rel=1e-12)
    assert probability[0, 0] / probability[0, 1] != pytest.approx(4 / 3, rel=1e-2)


def test_no_content_and_no_variance_is_no_event_or_no_content():
    some = np.array([0.0, 30.0, 30.0, 40.0])
    for make, error in ((_counts, 1.0), (_exact, 0.0)):
        templates = read_histograms([make(100 * BACKGROUND), make(some)], [0, 1])
        probability, variance = template_probabilities(templates)
        # No event of 100 is less than about one; none of a known template is none.
        assert variance[1, 0] == pytest.approx(error, abs=1e-11)
        assert 0 < probability[1, 0] < 1 / 100
        assert (probability[1, 0] < 1e-12) == (error == 0.0)
        assert not templates.empty_everywhere.any()


def test_unknown_variances_are_told():
    unknown = [_Plain(100 * BACKGROUND, None), _counts(100 * SIGNAL)]
    with pytest.warns(VarianceWarning, match="variances of 1 of 2 simulated .* counts"):
        templates = read_histograms(unknown, [0, 1])
    np.testing.assert_allclose(templates.sum_of_squares[0], 100 * BACKGROUND)
    with pytest.warns(VarianceWarning, match="of 1 of 1 target histograms are unknown"):
        target = target_from_histograms(unknown[:1], templates.binning)
    np.testing.assert_array_equal(*target)


def test_data_without_variance_are_counts():
    templates = read_histograms([_counts(BACKGROUND), _counts(SIGNAL)], [0, 1])
    with pytest.warns(VarianceWarning, match="of 1 of 2 target histograms are unknown"):
        content, variance, _ = target_from_histograms(
            [_exact(DATA), _counts(DATA)], templates.binning
        )
    np.testing.assert_array_equal(content, variance)


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SingleSimulationWarning")
def test_weights_in_a_storage_that_forgets_them_are_told():
    hist = pytest.importorskip("hist")
    rng = np.random.default_rng(0)
    axis = hist.axis.Regular(10, -2, 2)
    make = [
        hist.Hist(axis).fill(rng.normal(m, 1, 500), weight=rng.uniform(0, 2, 500))
        for m in (-0.5, 0.5)
    ]
    tamm = BinnedTopicTAMM(inference="frequentist")
    with pytest.warns(VarianceWarning, match="variances of 2 of 2 simulated"):
        tamm.fit(make, [0, 1])
    with pytest.warns(VarianceWarning, match="variances of 1 of 1 target"):
        tamm.infer(make[0])


# --------------------------------------------------------------------- kinds of axes
def _integers(kind, flow=True):
    hist = pytest.importorskip("hist")
    if kind == "boolean":
        return hist.axis.Boolean(name="tagged")
    return hist.axis.Integer(2, 7, name="jets", flow=flow)


@pytest.mark.parametrize("kind", ["integer", "boolean"])
@pytest.mark.parametrize("flow", ["clip", "bins", "drop"])
@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SingleSimulationWarning")
@pytest.mark.filterwarnings("ignore::sktamm.exceptions.RangeWarning")
def test_integer_and_boolean_axes_hold_the_events(kind, flow):
    hist = pytest.importorskip("hist")
    rng = np.random.default_rng(1)
    samples = [
        rng.binomial(1, p, 2000) if kind == "boolean" else rng.poisson(10 * p, 2000)
        for p in (0.3, 0.5)
    ]
    samples.append(np.concatenate([samples[0][:1500], samples[1][:500]]))
    *sources, data = [hist.Hist(_integers(kind)).fill(x) for x in samples]
    middle = [-0.5, 0.5, 1.5] if kind == "boolean" else np.arange(1.5, 7)
    frame = pd.DataFrame(
        {sources[0].axes[0].name: np.concatenate(samples[:2]).astype(float)}
    )
    tamm = TAMMRegressor(
        TemplateComponents(bins=[middle], flow=flow), "linear", inference="frequentist"
    )
    binned = tamm.fit(sources, [0, 1])
    assert binned.feature_names_in_.tolist() == list(frame.columns)
    kappa = binned.predict(data)
    target = pd.DataFrame(samples[2].astype(float), columns=frame.columns)
    of_events = binned.predict(target)
    expected = tamm.fit(frame, np.repeat([0, 1], 2000)).predict(target)
    np.testing.assert_allclose(kappa, expected, rtol=1e-9)
    np.testing.assert_allclose(of_events, expected, rtol=1e-9)


def test_categories_are_refused_by_their_name():
    hist = pytest.importorskip("hist")
    for axis, content in (
        (hist.axis.IntCategory([1, 2, 3], name="channel"), [1]),
        (hist.axis.StrCategory(["a", "b"], name="channel"), ["a"]),
    ):
        h = hist.Hist(axis).fill(content)
        with pytest.raises(InvalidInputError, match=r"categorical axis .*'channel'"):
            read_histograms([h, h], [0, 1])
    empty = hist.Hist(hist.axis.StrCategory([], growth=True, name="channel"))
    with pytest.raises(InvalidInputError, match="histogram 0 has none on the axis"):
        read_histograms([empty, empty], [0, 1])


def test_masked_contents_are_refused():
    masked = _Plain(DATA, np.ma.array(DATA, mask=DATA == 300))
    with pytest.raises(InvalidInputError, match="histogram 1 must hold no masked"):
        read_histograms([_counts(DATA), masked], [0, 1])


# ------------------------------------------------------------------- names and labels
def _two(first, second, swap=False, labels=False):
    """One histogram of two features with the same bins, filled asymmetrically."""
    hist = pytest.importorskip("hist")
    word = "label" if labels else "name"
    axes = [
        hist.axis.Regular(3, 0, 1, **{word: n} if n else {}) for n in (first, second)
    ]
    x = np.random.default_rng(0).beta(2, [[4], [1]], (2, 500))
    return hist.Hist(*axes, storage=hist.storage.Weight()).fill(
        *x[:: -1 if swap else 1]
    )


@pytest.mark.parametrize("labels", [False, True])
def test_other_names_of_axes_are_refused(labels):
    good, swapped = _two("m", "pt", labels=labels), _two("pt", "m", True, labels=labels)
    other = _two("m", "eta", labels=labels)
    for bad in (swapped, other):
        with pytest.raises(InvalidInputError, match=r"histogram 1 has \('.*instead of"):
            read_histograms([good, bad], [0, 1])
        with pytest.raises(InvalidInputError, match="histogram 1 has"):
            target_from_histograms(
                [good, bad], read_histograms([good] * 2, [0, 1]).binning
            )


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SingleSimulationWarning")
def test_names_of_axes_are_names_of_features():
    good, swapped = _two("m", "pt"), _two("m", "pt", True)
    tamm = BinnedTopicTAMM(inference="frequentist").fit([good, swapped], [0, 1])
    assert tamm.feature_names_in_.tolist() == ["m", "pt"]
    assert tamm.infer(good).features == ("m", "pt")
    assert tamm.infer(good).templates.feature_names == ("m", "pt")
    with pytest.raises(InvalidInputError, match="must be in the same order"):
        tamm.infer(_two("pt", "m"))
    with pytest.raises(InvalidInputError, match="unseen at fit time"):
        tamm.infer(_two("m", "eta"))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        tamm.infer(_two("", ""))
    frame = pd.DataFrame(np.full((40, 2), 0.5), columns=["pt", "m"])
    with pytest.raises(InvalidInputError, match="must be in the same order"):
        tamm.infer(frame)
    tamm.infer(_two("m", "pt", labels=True))


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SingleSimulationWarning")
def test_labels_name_what_has_no_name():
    labelled = _two("m [GeV]", "pt [GeV]", labels=True)
    tamm = BinnedTopicTAMM(inference="frequentist").fit([labelled] * 2, [0, 1])
    assert tamm.feature_names_in_.tolist() == ["m [GeV]", "pt [GeV]"]
    unnamed = BinnedTopicTAMM(inference="frequentist").fit(
        [_two("", ""), _two("", "", True)], [0, 1]
    )
    assert not hasattr(unnamed, "feature_names_in_")
    assert unnamed.infer(_two("", "")).features == ("x0", "x1")


def test_metadata_of_boost_histogram_are_labels():
    bh = pytest.importorskip("boost_histogram")
    one, two = (
        bh.Histogram(bh.axis.Regular(2, 0, 1, metadata=m)).fill([0.2, 0.7])
        for m in ("mass", "energy")
    )
    assert read_histograms([one, one], [0, 1]).feature_names == ("mass",)
    with pytest.raises(InvalidInputError, match="has \\('energy'\\) instead"):
        read_histograms([one, two], [0, 1])


# ----------------------------------------------------------------- beyond the edges
_EVENTS = np.linspace(-3.0, 3.0, 61)
_CLOSED = {"underflow": False, "overflow": False}


def _filled(edges, **choices):
    bh = pytest.importorskip("boost_histogram")
    axis = bh.axis.Variable(edges, **choices)
    return bh.Histogram(axis, storage=bh.storage.Weight()).fill(_EVENTS)


@pytest.mark.parametrize("ends", [(), (np.inf,), (-np.inf, np.inf)])
def test_edges_beside_infinite_ones_are_compared(ends):
    edges, others = (np.sort([*ends, -1.0, middle, 1.0]) for middle in (0.0, 0.2))
    templates = read_histograms([_filled(edges)] * 2, [0, 1])
    target_from_histograms([_filled(edges * (1 + 1e-12))], templates.binning)
    for bad in (others, -edges if len(ends) == 1 else others, edges[1:]):
        with pytest.raises(InvalidInputError, match="must have the same axes"):
            target_from_histograms([_filled(np.sort(bad))], templates.binning)


@pytest.mark.parametrize("flow", ["clip", "bins"])
@pytest.mark.parametrize("side", ["underflow", "overflow"])
@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
def test_what_lies_beyond_is_not_taken_for_nothing(flow, side):
    edges = [-2.0, 0.0, 2.0]
    open_, closed = _filled(edges), _filled(edges, **{side: False})
    wide = _filled([-4.0, 0.0, 4.0]), _filled([-4.0, 0.0, 4.0], **_CLOSED)
    words = f"{'below' if side == 'underflow' else 'above'} the edges of axis 0"

    def infer(simulated, data):
        components = TemplateComponents(bins=[edges], flow=flow)
        tamm = TAMMRegressor(components, "linear", inference="frequentist")
        return tamm.fit(*simulated).infer(data)

    for simulated, data in ((open_, closed), (closed, open_)):
        with pytest.raises(InvalidInputError, match=words):
            infer(([simulated] * 2, [0, 1]), data)
    with pytest.raises(InvalidInputError, match=words):
        infer(([open_, closed], [0, 1]), open_)
    events = np.tile(_EVENTS, 2)[:, None], np.repeat([0, 1], _EVENTS.size)
    with pytest.raises(InvalidInputError, match=words):
        infer(events, closed)
    for same in ((open_, open_), (closed, closed), wide, wide[::-1]):
        infer(([same[0]] * 2, [0, 1]), same[1])
    infer(events, open_)


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
def test_what_is_dropped_need_not_be_known():
    open_, closed = _filled([-2, 0, 2]), _filled([-2, 0, 2], **_CLOSED)
    tamm = TAMMRegressor(TemplateComponents(flow="drop"), inference="frequentist")
    results = [tamm.fit([open_] * 2, [0, 1]).infer(h) for h in (open_, closed)]
    assert results[0].kappa == results[1].kappa
