"""The display of simulations beside each other."""

import numpy as np
import pytest

from sktamm.exceptions import InvalidInputError
from sktamm.plotting import ExchangeabilityDisplay
from sktamm.tamm._exchangeable import ALL_CLASSES, ExchangeabilityResult

plt = pytest.importorskip("matplotlib.pyplot")


def record(*points, ids=None, labels=None, p_odd=None, p_near=None, family=None):
    """Record of classes of points on a line, their distances and p-values."""
    points = [np.asarray(own, dtype=float) for own in points]
    sizes = [own.size for own in points]
    distances = [abs(own[:, None] - own) for own in points]
    ids = [np.arange(n) for n in sizes] if ids is None else ids
    labels = range(len(points)) if labels is None else labels
    ids = np.concatenate([np.asarray(own, dtype=object) for own in ids])
    one = np.ones(ids.size)
    return ExchangeabilityResult(
        label=np.repeat(np.array(labels, dtype=object), sizes),
        simulation=ids,
        p_odd=one if p_odd is None else np.asarray(p_odd, dtype=float),
        nearest=np.roll(ids, 1),
        distance=one,
        p_near=one if p_near is None else np.asarray(p_near, dtype=float),
        distances=tuple(distances),
        family=None if family is None else np.array(family, dtype=object),
    )


def names_of(panel):
    return [label.get_text() for label in panel.get_yticklabels()]


def words_of(panel):
    axes = panel.child_axes
    return [label.get_text() for own in axes for label in own.get_yticklabels()]


def test_distances_are_relative_to_those_of_the_others():
    """Points 0, 1, 3, 7: for the last, squares 49, 36, 16 over 1, 4, 9."""
    own = ExchangeabilityDisplay.from_result(record([0, 1, 3, 7])).rows[0]
    mean = np.sqrt((49 + 36 + 16) / (1 + 4 + 9))
    np.testing.assert_allclose(own.to_others[3], mean)
    np.testing.assert_allclose(own.to_nearest[3], np.sqrt(16 / ((1 + 4 + 9) / 3)))


def test_draws_of_one_kind_are_about_one():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(30, 40))
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    result = record(np.zeros(30))
    object.__setattr__(result, "distances", (distances,))
    own = ExchangeabilityDisplay.from_result(result).rows[0]
    np.testing.assert_allclose(own.to_others, 1.0, atol=0.3)
    assert not any(own.words)


def test_odd_ones_and_near_duplicates_are_named():
    p_odd, p_near = [1, 1, 1, 1, 0.0004], [np.nan, 1, 2e-12, 2e-12, 1]
    result = record([0, 1, 2, 2, 50], ids=[list("abcde")], p_odd=p_odd, p_near=p_near)
    display = ExchangeabilityDisplay.from_result(result).plot()
    assert words_of(display.ax_[0]) == [
        "near b, p < 1e-10",
        "near c, p < 1e-10",
        "odd, p = 0.0004",
    ]
    assert names_of(display.ax_[0]) == list("abcde")
    shown = [text.get_text() for text in display.figure_.legends[0].get_texts()]
    assert shown == ["to the others", "to the nearest", "odd", "near-duplicate"]
    assert display.figure_.get_suptitle().startswith("not exchangeable: smallest p-")


def test_what_agrees_entirely_is_an_arrow_and_not_lost():
    """Two equal ones at no distance, and one far from others that are equal."""
    display = ExchangeabilityDisplay.from_result(record([0, 0, 0, 5])).plot()
    own = display.rows[0]
    assert own.to_nearest[0] == 0.0
    assert own.to_others[3] == np.inf
    points = [c.get_offsets() for c in display.ax_[0].collections]
    x = np.concatenate([p[:, 0] for p in points])
    assert x.size == 8
    low, high = display.ax_[0].get_xlim()
    assert ((low < x) & (x < high)).all()


@pytest.mark.parametrize("size", [1, 2, 3])
def test_few_simulations_are_drawn_and_not_judged(size):
    nan = np.full(size, np.nan)
    result = record(np.arange(size), p_odd=nan, p_near=nan)
    display = ExchangeabilityDisplay.from_result(result).plot()
    assert display.ax_[0].get_title("left") == "class 0 (not tested)"
    assert names_of(display.ax_[0]) == [str(k) for k in range(size)]
    assert np.isnan(display.rows[0].to_others).all() == (size < 3)
    display.figure_.canvas.draw()


def test_families_stand_together_and_the_nominal_first():
    ids = ["a_down", "a_up", "b_up", "nom", "c1", "a_one"]
    family = ["a", "a", "b", "nominal", "c", "a"]
    result = record(np.arange(6.0), ids=[ids], family=family)
    display = ExchangeabilityDisplay.from_result(result).plot()
    assert names_of(display.ax_[0]) == [
        "nom (nominal)",
        "a_down (a)",
        "a_up (a)",
        "a_one (a)",
        "b_up (b)",
        "c1 (c)",
    ]
    assert display.rows[0].to_others.argmax() in (1, 3)  # ends of the line
    assert len(display.ax_[0].patches) == 4  # a and c on grey
    assert "nominal" in [t.get_text() for t in display.figure_.legends[0].get_texts()]


def test_common_names_are_written_once():
    same = [list("abcd")] * 2
    points = [0, 1, 2, 4], [0, 1, 3, 9]
    labels = [0, ALL_CLASSES]
    display = ExchangeabilityDisplay.from_result(record(*points, ids=same)).plot()
    assert display.ax_[1].yaxis.get_tick_params()["labelleft"] is False
    other = [list("abcd"), list("abce")]
    result = record(*points, ids=other, labels=labels)
    display = ExchangeabilityDisplay.from_result(result).plot()
    assert display.ax_[1].yaxis.get_tick_params()["labelleft"] is True
    assert display.ax_[1].get_title("left") == "all classes"


def test_most_are_left_out_but_not_the_odd_one():
    p_odd = np.ones(60)
    p_odd[57] = 0.001
    result = record(np.arange(60.0), p_odd=p_odd)
    display = ExchangeabilityDisplay.from_result(result, max_shown=10).plot()
    assert "57" in names_of(display.ax_[0])
    assert "0" in names_of(display.ax_[0])  # the farthest
    assert "30" not in names_of(display.ax_[0])
    assert display.ax_[0].get_title("left") == "class 0, 50 more not shown"


def test_axes_of_another_figure():
    result = record([0, 1, 2, 4], [0, 1, 3, 9])
    figure, ax = plt.subplots(1, 2)
    display = ExchangeabilityDisplay.from_result(result).plot(ax=ax)
    assert display.figure_ is figure
    assert list(display.ax_) == list(ax)
    figure, ax = plt.subplots()
    display = ExchangeabilityDisplay.from_result(result).plot(ax=ax)
    assert display.ax_.shape == (2,)
    with pytest.raises(InvalidInputError, match="2 Axes, got 3"):
        display.plot(ax=plt.subplots(1, 3)[1])


@pytest.mark.parametrize(
    ("size", "n_classes", "odd"), [(30, 3, True), (8, 5, True), (12, 3, False)]
)
def test_no_text_lies_on_another(size, n_classes, odd):
    ids = [[f"generator_{k}_with_a_long_name" for k in range(size)]] * n_classes
    p_odd = np.ones(size * n_classes)
    if odd:
        p_odd[::3] = 1e-5
    points = [np.arange(size) ** 1.5] * n_classes
    result = record(*points, ids=ids, p_odd=p_odd, family=["a"] * p_odd.size)
    for ax in (None, plt.subplots(figsize=(22, 9))[1]):
        _look_at_texts(ExchangeabilityDisplay.from_result(result).plot(ax))


def _look_at_texts(display):
    figure = display.figure_
    figure.canvas.draw()
    texts = [*figure.texts, *figure.legends]
    for panel in display.ax_:
        texts += [panel.xaxis.label, panel._left_title]
        for own in (panel, *panel.child_axes):
            texts += [t for t in own.get_yticklabels() if t.get_visible()]
        if panel.yaxis.get_tick_params()["labelleft"] is False:
            texts = [t for t in texts if t not in panel.get_yticklabels()]
    boxes = [t.get_window_extent() for t in texts if t.get_visible()]
    whole = figure.bbox
    for i, box in enumerate(boxes):
        assert whole.x0 <= box.x0
        assert box.x1 <= whole.x1 + 1
        assert not any(box.overlaps(other) for other in boxes[:i])
