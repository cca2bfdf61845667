"""Hellinger distances: by hand, their floor, and what adapting does to them."""

import numpy as np
import pytest

from sktamm import NeuralRatioTAMM
from sktamm.diagnostics import hellinger_distances
from sktamm.exceptions import InvalidInputError


def test_equals_the_definition(fitted, target):
    result = hellinger_distances(fitted, target[0])
    templates = fitted.infer(target[0]).templates
    fractions = fitted.infer(target[0]).fractions[0]
    p = templates.counts[0] / templates.counts[0].sum()
    q = fractions @ templates.adapted[0]
    by_hand = np.sqrt(0.5 * ((np.sqrt(p) - np.sqrt(q)) ** 2).sum())
    assert result.adapted == pytest.approx(by_hand, rel=1e-6)


def test_adapting_reaches_the_floor(tools):
    """A shifted truth: nominal far above the floor, adapted within it."""
    tamm = tools["make"]()
    X, y = tools["draw_target"](15_000, 5000, 3, shifts=(0.2, -0.2))
    result = hellinger_distances(tamm, X, y=y)
    assert result.nominal > result.floor + 5 * result.floor_std
    assert result.adapted < result.floor + 3 * result.floor_std
    assert result.moved > 0
    # the floor is sqrt(bins/(8 n)) for bins that are all well filled
    rough = np.sqrt(12 / (8 * 20_000))
    assert 0.4 * rough < result.floor < 1.2 * rough
    assert (result.class_adapted < result.class_nominal).all()
    assert result.class_floor.shape == result.class_moved.shape == (2,)


def test_weights_raise_the_floor(fitted, target):
    plain = hellinger_distances(fitted, target[0])
    weight = np.random.default_rng(0).gamma(0.5, 2.0, 4000)
    heavy = hellinger_distances(fitted, target[0], sample_weight=weight)
    # gamma(1/2) weights: one third of the events are effective
    assert heavy.floor / plain.floor == pytest.approx(np.sqrt(3.0), rel=0.25)


def test_unbinned_knows_how_far_the_mixture_moved(tools):
    X, y, ids = tools["simulate"](4, 2000, 5)
    tamm = NeuralRatioTAMM("logistic", random_state=0).fit(X, y, simulation=ids)
    events, labels = tools["draw_target"](1500, 500, 6, shifts=(0.2, 0.0))
    result = hellinger_distances(tamm, events)
    assert result.adapted is None
    assert 0.0 < result.moved < 0.5
    with pytest.raises(InvalidInputError, match="unbinned"):
        hellinger_distances(tamm, events, y=labels)


def test_labels_of_the_wrong_length_are_refused(fitted, target):
    with pytest.raises(InvalidInputError, match="label"):
        hellinger_distances(fitted, target[0], y=[0, 1])


def test_labels_of_no_class_are_refused_and_absent_classes_unknown(fitted, target):
    labels = np.asarray(target[1])
    with pytest.raises(InvalidInputError, match="y must hold classes seen at fit"):
        hellinger_distances(fitted, target[0], y=labels.astype(str))
    found = hellinger_distances(fitted, target[0], y=np.zeros_like(labels), n_toys=5)
    for values in (found.class_nominal, found.class_adapted, found.class_floor):
        np.testing.assert_array_equal(np.isnan(values), [False, True])
