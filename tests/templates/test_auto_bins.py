"""Bins that follow the events: bounded, useful, and never a grid that hangs."""

import numpy as np
import pytest

from sktamm import BinnedTopicTAMM
from sktamm.components import TemplateComponents
from sktamm.events import read_simulations
from sktamm.exceptions import InvalidInputError
from sktamm.templates._smoothing import _designs

EVENTS_PER_BIN = 25


def _simulated(d, n_events, n_simulations=3, shift=0.5, informative=None, seed=0):
    """Normals of unit width; the classes differ in the informative features."""
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1], n_simulations * n_events)
    simulation = np.tile(np.repeat(np.arange(n_simulations), n_events), 2)
    X = rng.normal(size=(y.size, d))
    X[:, slice(None) if informative is None else informative] += shift * y[:, None]
    return X, y, simulation


def _shape(X, y, simulation, **choices):
    events = read_simulations(X, y, simulation=simulation, **choices)
    return TemplateComponents().fit(events).binning_.shape


@pytest.mark.parametrize("d", [1, 2, 3, 5, 8, 20])
@pytest.mark.parametrize("n_events", [100, 2000])
def test_a_template_fills_its_bins(d, n_events):
    shape = np.array(_shape(*_simulated(d, n_events)))
    assert 2 <= np.prod(shape) <= n_events / EVENTS_PER_BIN
    most = 20 if d == 1 else 10
    assert shape.max() <= most
    assert shape.max() - shape.min() <= 1
    # One more bin anywhere would be too many.
    allowed = n_events / EVENTS_PER_BIN
    more = np.prod(shape) / shape.min() * (shape.min() + 1)
    assert shape.min() >= 4 or shape.max() == most or more > allowed


def test_ten_bins_where_there_are_events_for_them():
    """Or twenty of a single feature."""
    assert _shape(*_simulated(2, 5000)) == (10, 10)
    assert _shape(*_simulated(1, 5000)) == (20,)


def test_the_features_that_tell_classes_apart_get_the_bins():
    shape = _shape(*_simulated(12, 300, informative=[2, 7, 11]))
    assert [j for j, n in enumerate(shape) if n == 2] == [2, 7, 11]


def test_the_width_tells_classes_apart_too():
    X, y, simulation = _simulated(6, 60, shift=0.0)
    X[y == 1, 3] *= 0.2
    assert _shape(X, y, simulation) == (1, 1, 1, 2, 1, 1)


def test_the_class_with_few_events_decides_and_weights_count_as_they_do():
    X, y, simulation = _simulated(2, 2500)
    few = (y == 0) | (np.arange(y.size) % 5 == 0)
    assert _shape(X[few], y[few], simulation[few]) == (4, 4)
    assert _shape(X, y, simulation, sample_weight=np.full(y.size, 0.1)) == (10, 10)
    heavy = np.where(np.arange(y.size) % 10 == 0, 10.0, 1e-3)
    assert _shape(X, y, simulation, sample_weight=heavy) == (3, 3)


def test_constant_features_have_one_bin():
    X, y, simulation = _simulated(2, 1000)
    X[:, 0] = 7.0
    assert _shape(X, y, simulation) == (1, 20)
    assert _shape(np.ones_like(X), y, simulation) == (1, 1)


def test_the_result_says_what_was_chosen():
    X, y, simulation = _simulated(3, 700)
    result = BinnedTopicTAMM().fit(X, y, simulation=simulation).infer(X[:3000])
    assert result.method["bins"] == "3 x 3 x 3"
    assert "bins: " in result.summary()


def test_other_words_and_grids_out_of_bounds_are_refused():
    X, y, simulation = _simulated(7, 50)
    with pytest.raises(InvalidInputError, match=r"'auto', a number or edges .*'many'"):
        BinnedTopicTAMM(bins="many").fit(X, y, simulation=simulation)
    with pytest.raises(InvalidInputError, match=r"10000000: take fewer, bins='auto'"):
        BinnedTopicTAMM(bins=10).fit(X, y, simulation=simulation)


def test_the_work_of_smoothing_is_bounded():
    """In 10^5 bins of five features degree 8 would take 1 287 functions."""
    coordinates = np.random.default_rng(0).uniform(-1, 1, (20_000, 5))
    sizes = [design.shape[1] for design in _designs(coordinates)]
    assert max(sizes) ** 2 * len(coordinates) <= 2e9
    assert sizes == sorted(sizes)
    assert len(sizes) > 3


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
def test_five_features_in_ten_bins_each_end_with_a_flag():
    X, y, simulation = _simulated(5, 200)
    tamm = BinnedTopicTAMM(bins=10).fit(X, y, simulation=simulation)
    assert "sparse_templates" in tamm.infer(X[:500]).flags[0]
