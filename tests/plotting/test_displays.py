"""Displays hold the numbers of the result, draw where they are told, change nothing."""

import numpy as np
import pytest

from sktamm.exceptions import InvalidInputError
from sktamm.plotting import (
    FractionDisplay,
    MixtureDisplay,
    TemplatesDisplay,
    save_overview,
)

plt = pytest.importorskip("matplotlib.pyplot")

DISPLAYS = [FractionDisplay, MixtureDisplay, TemplatesDisplay]


@pytest.mark.parametrize("display", DISPLAYS)
def test_plot_returns_the_display(display, fake_result):
    shown = display.from_result(fake_result()).plot()
    assert isinstance(shown, display)
    assert shown.figure_ is np.ravel(shown.ax_)[0].figure
    shown.figure_.canvas.draw()


@pytest.mark.parametrize("display", DISPLAYS)
def test_axes_are_accepted(display, fake_result):
    figure, ax = plt.subplots()
    shown = display.from_result(fake_result()).plot(ax=ax)
    assert shown.figure_ is figure


@pytest.mark.parametrize("flow", [False, True])
def test_the_mixture_adds_up_to_the_data(fake_result, flow):
    """Projections keep every event; pulls of right templates have unit size."""
    result = fake_result(flow=flow)
    display = MixtureDisplay.from_result(result)
    for j in range(2):
        assert display.counts[j].sum() == pytest.approx(result.n_events[0])
        total = display.components[j].sum()
        assert total == pytest.approx(result.n_events[0], rel=1e-9)
    pulls = np.concatenate([display.pulls(0), display.pulls(1)])
    assert np.sqrt((pulls**2).mean()) < 2.0


def test_a_bin_without_events_has_no_pull(fake_result):
    display = MixtureDisplay.from_result(fake_result())
    display.errors[0][3] = 0.0
    assert np.isnan(display.pulls(0)[3])


@pytest.mark.parametrize("curve", ["draws", "profile", None])
def test_every_kind_of_curve_is_shown(fake_result, curve):
    result = fake_result(curve=curve, n_datasets=2)
    display = FractionDisplay.from_result(result, dataset=1).plot(truth=0.09)
    peak = display.kappa[display.curve.argmax()]
    assert abs(peak - result.kappa[1]) < result.std[1]
    assert display.kappa[0] <= result.interval[1].min()
    assert display.kappa[-1] >= result.interval[1].max()


def test_templates_keep_their_probabilities(fake_result):
    display = TemplatesDisplay.from_result(fake_result())
    for j in range(2):
        np.testing.assert_allclose(display.nominal[j].sum(axis=1), 1.0, rtol=1e-6)
        np.testing.assert_allclose(display.adapted[j].sum(axis=1), 1.0, rtol=1e-6)


def test_uneven_bins_are_drawn_per_unit(fake_result):
    edges = (np.array([-2.0, -1.0, 0.0, 0.5, 2.0]), np.linspace(-2, 2, 5))
    display = MixtureDisplay.from_result(fake_result(edges=edges)).plot()
    assert display.ax_[0, 0].get_ylabel() == "events / unit of x0"
    assert display.ax_[0, 1].get_ylabel() == "events / 1"


def test_an_overview_is_saved(fake_result, tmp_path):
    save_overview(fake_result(), tmp_path / "result.png")
    assert (tmp_path / "result.png").stat().st_size > 10_000


def test_an_overview_without_templates_names_the_features(fake_result, tmp_path):
    path = tmp_path / "result.svg"
    with plt.rc_context({"svg.fonttype": "none"}):
        save_overview(fake_result(templates=False), path, features=["mass", "angle"])
    assert "features: mass, angle" in path.read_text()


@pytest.mark.parametrize("display", [MixtureDisplay, TemplatesDisplay])
def test_an_unbinned_result_is_refused(display, fake_result):
    with pytest.raises(InvalidInputError, match="needs a result with templates"):
        display.from_result(fake_result(templates=False))


@pytest.mark.parametrize("display", DISPLAYS)
def test_a_missing_dataset_is_refused(display, fake_result):
    with pytest.raises(InvalidInputError, match="one of 1 datasets; got 3"):
        display.from_result(fake_result(), dataset=3)


def test_an_array_of_axes_has_the_right_size(fake_result):
    _, axes = plt.subplots(3, 3)
    with pytest.raises(InvalidInputError, match="2 x 2 Axes"):
        MixtureDisplay.from_result(fake_result()).plot(ax=axes)
