"""Displays of studies hold the numbers of the record and show the right places."""

import numpy as np
import pytest
from scipy.stats import norm

from sktamm.coverage import CoverageResult
from sktamm.exceptions import InvalidInputError
from sktamm.plotting import (
    CoverageDisplay,
    EstimatesDisplay,
    PullDisplay,
    WidthDisplay,
)
from sktamm.plotting._marks import binomial_band

plt = pytest.importorskip("matplotlib.pyplot")

DISPLAYS = {
    "coverage": CoverageDisplay.from_result,
    "coverage-by-size": lambda r: CoverageDisplay.from_result(r, by="size"),
    "coverage-by-level": lambda r: CoverageDisplay.from_result(r, by="level"),
    "pulls": PullDisplay.from_result,
    "estimates": EstimatesDisplay.from_result,
    "widths": lambda r: WidthDisplay.from_results({"one": r, "two": r}),
}


def make_study(
    *,
    kappas=(0.1, 0.3),
    n_per=200,
    levels=(0.683, 0.954),
    scale=1.0,
    n_groups=1,
    n_failed=0,
    shared=0.0,
    seed=0,
):
    """Normal estimates whose true error is ``scale`` times the one they state."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(kappas, n_per)
    n = truth.size
    group = np.arange(n) % n_groups
    std = np.full(n, 0.01)
    error = rng.standard_normal(n) + shared * rng.standard_normal(n_groups)[group]
    kappa = truth + scale * std * error
    z = norm.ppf(0.5 + 0.5 * np.array(levels))
    interval = kappa[:, None, None] + 0.01 * np.array([[-1], [1]]) * z
    kappa[:n_failed], interval[:n_failed] = np.nan, np.nan
    return CoverageResult(
        experiment=np.arange(n),
        truth=truth,
        size=np.full(n, 5000),
        strength=np.zeros(n),
        group=group.astype(str),
        kappa=kappa,
        std=std,
        levels=np.array(levels),
        interval=interval,
        flags=np.full(n, ""),
        failure=np.where(np.isnan(kappa), "no fit", ""),
        seconds=np.zeros(n),
        seed=np.zeros(n, dtype=int),
    )


@pytest.mark.parametrize("make", DISPLAYS.values(), ids=DISPLAYS.keys())
def test_plot_returns_the_display(make):
    display = make(make_study())
    assert display.plot() is display
    assert display.figure_ is display.ax_.figure
    display.figure_.canvas.draw()


@pytest.mark.parametrize("make", DISPLAYS.values(), ids=DISPLAYS.keys())
def test_axes_are_accepted(make):
    figure, ax = plt.subplots()
    shown = make(make_study(n_groups=4, n_failed=3)).plot(ax=ax)
    assert shown.figure_ is figure
    assert shown.ax_ is ax
    assert ax.get_xlabel()
    assert ax.get_ylabel()


def test_coverage_is_that_of_the_table():
    study = make_study()
    display = CoverageDisplay.from_result(study)
    table = study.table()
    np.testing.assert_array_equal(display.x, [0.1, 0.3])
    np.testing.assert_array_equal(display.coverage[0], table["coverage_0.683"])
    np.testing.assert_array_equal(display.error[1, 1], table["coverage_upper_0.954"])
    np.testing.assert_array_equal(display.n_independent, [200, 200])
    assert display.title == "200 experiments per point"


def test_coverage_by_level_is_one_curve():
    levels = (0.9, 0.5, 0.683)
    study = make_study(levels=levels)
    display = CoverageDisplay.from_result(study, by="level")
    np.testing.assert_array_equal(display.x, sorted(levels))
    np.testing.assert_array_equal(display.nominal, [sorted(levels)])
    row = study.table(by=()).iloc[0]
    expected = [row[f"coverage_{level:g}"] for level in sorted(levels)]
    np.testing.assert_array_equal(display.coverage, [expected])
    assert display.error.shape == (1, 2, 3)
    assert display.title == "400 experiments"


def test_the_band_holds_exact_coverages():
    """Independent normal experiments: 4 points in the band of 95.4 %, fixed seed."""
    display = CoverageDisplay.from_result(make_study(n_per=500))
    for curve in range(2):
        low, high = display.band(curve)
        assert (low <= display.coverage[curve]).all()
        assert (display.coverage[curve] <= high).all()
    narrow = CoverageDisplay.from_result(make_study(n_per=500, scale=2.0))
    assert (narrow.coverage < [low[0] for low in map(narrow.band, range(2))]).all()


def test_shared_simulations_widen_the_band():
    """Errors that 20 sets share count as fewer experiments, but not below the sets."""
    alone = CoverageDisplay.from_result(make_study(n_groups=20))
    shared = CoverageDisplay.from_result(make_study(n_groups=20, shared=3.0))
    assert (alone.n_independent > 80).all()
    assert (shared.n_independent < 80).all()
    assert (shared.n_independent >= 20).all()
    assert shared.title == "200 experiments per point on 20 sets of simulations"


def test_the_worst_sets_are_shown_where_there_are_several():
    study = make_study(n_groups=20, shared=3.0)
    display = CoverageDisplay.from_result(study).plot()
    table = study.table()
    np.testing.assert_array_equal(display.worst_tenth[1], table["worst_tenth_0.954"])
    assert (display.worst_tenth < display.coverage).all()
    display.figure_.canvas.draw()
    legend = display.ax_.get_legend().get_window_extent()
    lowest = display.ax_.transData.transform((0.0, display.worst_tenth.min()))[1]
    assert lowest > legend.y1
    shown = [line.get_ydata() for line in display.ax_.lines if line.get_marker() == "v"]
    np.testing.assert_array_equal(shown, display.worst_tenth)
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels[-1] == "worst tenth of the sets"
    level = CoverageDisplay.from_result(study, by="level")
    row = study.table(by=()).iloc[0]
    expected = [[row["worst_tenth_0.683"], row["worst_tenth_0.954"]]]
    np.testing.assert_array_equal(level.worst_tenth, expected)
    alone = CoverageDisplay.from_result(make_study()).plot()
    assert alone.worst_tenth is None
    assert len(alone.ax_.get_legend().get_texts()) == 3


def test_band_is_binomial():
    low, high = binomial_band(np.array([1000.0]), np.array([0.5]))
    # two standard errors, rounded to whole counts
    np.testing.assert_allclose(high - 0.5, 0.0316, atol=1.5e-3)
    np.testing.assert_allclose(0.5 - low, 0.0316, atol=1.5e-3)


def test_pulls_are_those_of_the_study():
    study = make_study(n_failed=5)
    display = PullDisplay.from_result(study, limit=2.0).plot()
    assert display.n_failed == 5
    np.testing.assert_array_equal(display.pulls, study.pulls[5:])
    heights = display.ax_.patches[0].get_data().values
    assert heights.sum() == 395
    assert "5 failed" in display.ax_.get_title(loc="left")
    assert "beyond" in display.ax_.get_title(loc="left")


def test_hits_and_misses_are_told_apart():
    study = make_study(scale=1.5)
    display = EstimatesDisplay.from_result(study, level=0.954, max_shown=1000).plot()
    hits = round(study.table(by=()).iloc[0]["coverage_0.954"] * 400)
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels[:2] == [f"contain the truth: {hits}", f"miss it: {400 - hits}"]
    assert display.n_left_out == 0


def test_many_experiments_are_thinned_and_many_truths_are_a_line():
    study = make_study(kappas=np.linspace(0.0, 1.0, 50), n_per=10, n_failed=1)
    display = EstimatesDisplay.from_result(study, max_shown=100).plot()
    assert display.truth.size == 100
    assert display.n_left_out == 400
    assert display.level == 0.683
    assert not display.ax_.collections[2:]


def test_widths_are_those_of_the_studies():
    studies = {"right": make_study(), "wrong": make_study(scale=3.0)}
    display = WidthDisplay.from_results(studies, level=0.954).plot()
    assert display.names == ["right", "wrong"]
    row = studies["wrong"].table(by=()).iloc[0]
    assert display.width[1] == row["mean_width_0.954"]
    assert display.coverage[1] == row["coverage_0.954"]
    assert display.ax_.get_ylabel() == "coverage of 95.4% intervals"


def test_what_cannot_be_shown_is_refused():
    study = make_study()
    with pytest.raises(InvalidInputError, match=r"by must be one of .* got 'group'"):
        CoverageDisplay.from_result(study, by="group")
    with pytest.raises(InvalidInputError, match=r"level must be one of .* got 0\.9"):
        EstimatesDisplay.from_result(study, level=0.9)
    with pytest.raises(InvalidInputError, match="at least one study"):
        WidthDisplay.from_results({})
    failed = make_study(n_per=2, n_failed=4)
    with pytest.raises(InvalidInputError, match="finite pull, got none of 4"):
        PullDisplay.from_result(failed)
    with pytest.raises(InvalidInputError, match="a fit that did not fail"):
        EstimatesDisplay.from_result(failed)
    with pytest.raises(InvalidInputError, match="'lost' has none"):
        WidthDisplay.from_results({"lost": failed})


def test_a_study_with_failures_only_is_drawn_where_it_can_be():
    failed = make_study(n_per=2, n_failed=4)
    with np.errstate(all="ignore"):
        CoverageDisplay.from_result(failed).plot().figure_.canvas.draw()
