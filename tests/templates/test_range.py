"""Automatic ranges: numpy and scikit-learn as referees, and a few bad events."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import KBinsDiscretizer

from sktamm import BinnedTopicTAMM
from sktamm.components import TemplateComponents
from sktamm.datasets import make_gaussian_study
from sktamm.events import read_simulations
from sktamm.exceptions import RangeWarning
from sktamm.templates._binning import make_binning
from sktamm.templates._range import (
    _interpolate,
    mixture_weights,
    robust_ends,
    weighted_quantiles,
)


def _ends(x, weight=None, group=None):
    x = np.asarray(x, dtype=float)
    weight = np.ones(x.size) if weight is None else weight
    group = np.zeros(x.size, dtype=int) if group is None else group
    return robust_ends(x, weight, group)


def _normal(n=5000, seed=0):
    return np.random.default_rng(seed).normal(size=n)


def _with(x, value, share, seed=1):
    return np.where(np.random.default_rng(seed).random(x.size) < share, value, x)


# ----------------------------------------------------------------------- quantiles
def test_quantiles_of_equal_weights_are_those_of_hazen():
    x, levels = _normal(1001), np.linspace(0, 1, 41)
    expected = np.quantile(x, levels, method="hazen")
    for weight in (np.ones(x.size), np.full(x.size, 1e-3), np.full(x.size, 7.0)):
        found = weighted_quantiles(x, weight, levels)
        np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("shape", ["normal", "integer", "spike", "sorted"])
def test_long_columns_need_no_full_sort(shape):
    x, rng = _normal(300_000), np.random.default_rng(2)
    x = {
        "normal": x,
        "integer": np.round(x),
        "spike": _with(x, -9.0, 0.05),
        "sorted": np.sort(x),
    }[shape]
    weight = rng.uniform(0.1, 2.0, x.size)
    for levels in (np.array([0.15, 0.5, 0.85]), np.linspace(0, 1, 11)):
        expected = _interpolate(x, weight, None, levels * weight.sum())
        found = weighted_quantiles(x, weight, levels)
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_pilot_that_misleads_is_not_used():
    """Every 18th event of 300 000 is looked at first: make these unlike the others."""
    x, levels = _normal(300_000), np.array([0.15, 0.5, 0.85])
    x[::18] += 100.0
    expected = np.quantile(x, levels, method="hazen")
    found = weighted_quantiles(x, np.ones(x.size), levels)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_order_of_events_and_splits_of_ties_do_not_matter():
    rng = np.random.default_rng(3)
    x, weight = np.round(_normal(400), 1), rng.uniform(0.5, 2, 400)
    order = rng.permutation(400)
    levels = np.linspace(0, 1, 11)
    first = weighted_quantiles(x, weight, levels)
    second = weighted_quantiles(x[order], weight[order], levels)
    np.testing.assert_allclose(first, second, rtol=1e-12)


# ---------------------------------------------------------------------------- ends
@pytest.mark.parametrize("state", ["uniform", "cut", "charge", "few", "constant"])
def test_light_tails_keep_their_ends_exactly(state):
    x = {
        "uniform": np.random.default_rng(0).random(5000),
        "cut": _normal()[np.abs(_normal()) < 2],
        "charge": np.random.default_rng(0).choice([-1.0, 0.0, 1.0], 500),
        "few": np.array([0.0, 4.0, 2.0]),
        "constant": np.zeros(5),
    }[state]
    assert _ends(x) == (x.min(), x.max(), ())


def test_ends_are_the_last_events_within_the_documented_quantiles():
    x = _normal()
    low, middle, high = np.quantile(x, [0.15, 0.5, 0.85], method="hazen")
    found = _ends(x)
    assert found.low == x[x >= low - 1.5 * (middle - low)].min()
    assert found.high == x[x <= high + 1.5 * (high - middle)].max()


@pytest.mark.parametrize("outlier", [1e6, -1e6, 1e300, -1.7e308])
def test_one_event_far_away_moves_ends_by_no_more_than_any_other(outlier):
    x = _normal()
    clean, found = _ends(x), _ends(np.append(x, outlier))
    np.testing.assert_allclose(found[:2], clean[:2], atol=0.01)
    assert found.placeholders == ()


@pytest.mark.parametrize("share", [0.002, 0.02, 0.3, 0.7])
@pytest.mark.parametrize("value", [-999.0, 999.0, 1e30])
def test_placeholders_are_found_and_set_aside(value, share):
    x = _normal()
    mixed = _with(x, value, share)
    found = _ends(mixed)
    assert found.placeholders == (value,)
    assert found[:2] == _ends(mixed[mixed != value])[:2]


def test_several_placeholders():
    x = _with(_with(_with(_normal(), -999.0, 0.03), -998.0, 0.03, 2), 1e4, 0.03, 3)
    assert _ends(x).placeholders == (-999.0, -998.0, 1e4)
    counts = _with(np.random.default_rng(0).poisson(2.0, 5000), -99.0, 0.1)
    assert _ends(counts).placeholders == (-99.0,)


def test_spikes_that_are_no_outliers_are_kept():
    exponential = np.random.default_rng(0).exponential(size=5000)
    for x in (
        _with(exponential, 0.0, 0.2),
        _with(20 + 50 * exponential, -1.0, 0.05),
        np.random.default_rng(0).poisson(1.0, 5000),
        np.random.default_rng(0).choice([0.0, 1.0], 5000, p=[0.99, 0.01]),
        np.where(np.arange(5000) % 50 == 0, -999.0, 0.0),
    ):
        assert _ends(x).placeholders == ()
        assert _ends(x).low == x.min()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.8, 0.95])
def test_events_at_zero_do_not_cut_what_is_not(share):
    """The end is that of the others: ln 20/3 + 3/2 ln 10/3 for an exponential."""
    x = _with(np.random.default_rng(0).exponential(size=50_000), 0.0, share)
    expected = np.log(20 / 3) + 1.5 * np.log(10 / 3)
    assert _ends(x).low == x.min()
    assert _ends(x).high == pytest.approx(expected, rel=0.06)


def test_a_class_far_from_the_others_keeps_its_bins():
    x = np.append(
        np.random.default_rng(0).exponential(size=9500), 9 + 0.1 * _normal(500)
    )
    group = np.repeat([0, 1], [9500, 500])
    assert _ends(x).high < 5
    assert 9.2 < _ends(x, group=group).high < 9.5


def test_simulations_of_a_class_weigh_the_same():
    """Ends of 1 000 events of each, whatever the sizes and factors of simulations."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=1000), rng.normal(3.0, 2.0, 1000)])
    source = np.repeat([0, 1], 1000)
    y = np.tile([0, 1], 1000)
    weight = np.where(source == 0, 1e-3, 40.0)
    rows = np.concatenate([np.arange(2000), *[np.arange(1000)] * 3])
    plain = make_binning_of(x, y, source)
    np.testing.assert_allclose(make_binning_of(x, y, source, weight), plain, rtol=1e-9)
    repeated = make_binning_of(x[rows], y[rows], source[rows])
    np.testing.assert_allclose(repeated, plain, atol=0.01)


def make_binning_of(x, y, simulation, weight=None, **choices):
    """Edges that the binned components choose."""
    events = read_simulations(
        x[:, None], y, simulation=simulation, sample_weight=weight
    )
    return TemplateComponents(**choices).fit(events).binning_.edges[0]


def test_mixture_weights_are_those_of_equal_sources():
    y, simulation = [0, 0, 0, 1, 1], [1, 1, 2, 1, 1]
    weight = np.array([3.0, 1.0, 7.0, -5.0, 6.0])
    for given, expected in (
        (None, [1 / 6, 1 / 6, 1 / 3, 1 / 6, 1 / 6]),
        (weight, [1 / 4, 1 / 12, 1 / 3, 0.0, 1 / 3]),
    ):
        events = read_simulations(
            np.zeros((5, 1)), y, simulation=simulation, sample_weight=given
        )
        np.testing.assert_allclose(mixture_weights(events), expected)


def test_refusing_events_beyond_the_edges_takes_all_that_are_simulated():
    X = np.append(_normal(), 1e6)[:, None]
    assert make_binning(X, flow="refuse").edges[0][-1] == 1e6
    assert make_binning(X, flow="drop").edges[0][-1] < 3


# ------------------------------------------------------------------ quantile bins
@pytest.mark.parametrize("shape", ["zeros", "integers", "top"])
def test_equal_quantiles_are_merged_as_in_scikit_learn(shape):
    x = np.random.default_rng(0).random(4000)
    x = {
        "zeros": _with(x, 0.0, 0.35),
        "integers": np.round(4 * x),
        "top": _with(x, 1.0, 0.35),
    }[shape]
    referee = KBinsDiscretizer(
        10, strategy="quantile", subsample=None, quantile_method="hazen"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = referee.fit(x[:, None]).bin_edges_[0]
    found = make_binning(x[:, None], bins=10, strategy="quantile").edges[0]
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_quantile_edges_ignore_a_common_factor_of_the_weights():
    X = np.round(_normal(997), 2)[:, None]
    plain = make_binning(X, bins=7, strategy="quantile").edges[0]
    for factor in (1.0, 1e-3, 0.7, 3e5):
        weight = np.full(len(X), factor)
        found = make_binning(X, weight, bins=7, strategy="quantile").edges[0]
        np.testing.assert_allclose(found, plain, rtol=1e-12)


# ------------------------------------------------------------- warnings and counts
def _study(**choices):
    return make_gaussian_study(
        n_simulations=3, n_events=1000, n_signal=400, n_background=1600, **choices
    )


def test_placeholders_are_named():
    study = _study(random_state=0)
    X = study.X.copy()
    X[::50, 1] = -999.0
    frame = pd.DataFrame(X, columns=["mass", "angle"])
    tamm = BinnedTopicTAMM()
    with pytest.warns(RangeWarning, match=r"column 'angle', 2\.00% .* value -999"):
        tamm.fit(frame, study.y, simulation=study.simulation)
    assert tamm.components_.binning_.edges[1][0] > -2.1
    assert tamm.components_.beyond_ == pytest.approx(0.02, abs=0.006)


def test_a_bin_that_holds_most_of_a_feature_is_named():
    study = _study(random_state=0)
    fitted = {"y": study.y, "simulation": study.simulation}
    with pytest.warns(RangeWarning, match=r"One of \d+ bins of column 0 holds at"):
        BinnedTopicTAMM(range=[(-2, 1e6), None]).fit(study.X, **fitted)
    edges = [np.array([-3.0, 1.9, 3.0]), np.linspace(-2, 2, 5)]
    BinnedTopicTAMM(bins=edges).fit(study.X, **fitted)
    BinnedTopicTAMM(bins=1).fit(study.X, **fitted)


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SpanWarning")
def test_the_share_beyond_is_readable_and_flags_more_than_simulated():
    rng = np.random.default_rng(0)
    X = rng.standard_cauchy((8000, 1)) + np.repeat([0.0, 2.0], 4000)[:, None]
    y, simulation = np.repeat([0, 1], 4000), np.tile([0, 1, 2, 3], 2000)
    tamm = BinnedTopicTAMM().fit(X, y, simulation=simulation)
    edges = tamm.components_.binning_.edges[0]
    beyond = (X[:, 0] < edges[0]) | (X[:, 0] > edges[-1])
    shares = [
        beyond[(y == c) & (simulation == k)].mean() for c in (0, 1) for k in range(4)
    ]
    assert tamm.components_.beyond_ == pytest.approx(max(shares))
    same = tamm.infer(X)
    assert same.diagnostics["beyond"][0] == pytest.approx(beyond.mean())
    assert "beyond" in same.to_frame()
    assert "out_of_range" not in same.flags[0]
    more = np.append(X, np.full((1500, 1), 1e6), axis=0)
    with pytest.warns(RangeWarning, match="1 of 1 datasets hold more events beyond"):
        assert "out_of_range" in tamm.infer(more).flags[0]


# -------------------------------------------------------------------- consequences
def _spoilt(study, how, seed):
    """Events of simulations and target with a few bad ones."""
    X, target = study.X.copy(), study.X_target.copy()
    if how == "outlier":
        X[0, 0] = 1e6
    if how == "placeholder":
        rng = np.random.default_rng(seed)
        X[rng.random(len(X)) < 0.02, 0] = -999.0
        target[rng.random(len(target)) < 0.02, 0] = -999.0
    return X, target


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.RangeWarning")
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("how", "allowed"), [("outlier", 0.1), ("placeholder", 1.0)])
def test_a_few_bad_events_hardly_change_the_answer(how, allowed, seed):
    """In standard errors: 2 % at one value are structure, which smoothing keeps."""
    study = make_gaussian_study(n_simulations=6, n_events=5000, random_state=seed)
    answers = []
    for state in ("clean", how):
        X, target = _spoilt(study, state, seed)
        tamm = BinnedTopicTAMM(random_state=0)
        tamm.fit(X, study.y, simulation=study.simulation)
        answers.append(tamm.predict(target, return_std=True))
    (kappa, std), (other, error) = answers
    assert abs(other[0] - kappa[0]) < allowed * std[0]
    assert error[0] == pytest.approx(std[0], rel=0.5 * allowed)
