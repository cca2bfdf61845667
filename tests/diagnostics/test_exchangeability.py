"""Exchangeability of simulations: exact p-values, alarms that are right, and none."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktamm import BinnedTopicTAMM, NeuralRatioTAMM, ScoreTAMM
from sktamm.baselines import TemplateMorphing
from sktamm.diagnostics import exchangeability
from sktamm.exceptions import ExchangeabilityWarning, SktammWarning
from sktamm.io import result_to_json
from sktamm.mixture import SimulationsPrior
from sktamm.plotting import ExchangeabilityDisplay
from sktamm.tamm._exchangeable import (
    ALL_CLASSES,
    LIMIT,
    _from_mean,
    _p_values,
    _Spread,
    look_at_exchangeability,
)
from sktamm.tamm._subset import without_ids

K = 6


def spread_of(points, variance=None):
    points = np.asarray(points, dtype=float)
    variance = np.zeros(len(points)) if variance is None else variance
    return _Spread(points, variance)


def simulated(k=K, n=3000, seed=0, spread=0.15, moved=None, same=False):
    """Two classes in one feature; simulation 0 moved, or the events of 1 those of 0."""
    rng = np.random.default_rng(seed)
    shift = rng.normal(0.0, spread, (2, k))
    if moved is not None:
        shift[:, 0] = moved * spread
    y, simulation = np.divmod(np.repeat(np.arange(2 * k), n), k)
    X = rng.normal(2.0 * y + shift[y, simulation], 1.0)[:, None]
    if same:
        X[simulation == 1] = X[simulation == 0]
    return X, y, simulation


# ------------------------------------------------------------------------ p-values
def test_one_function_is_the_test_of_grubbs():
    values = np.array([0.1, -0.7, 0.4, 1.1, 0.2, 3.5, -0.3])
    n = values.size
    g = np.abs(values - values.mean()) / values.std(ddof=1)
    t = g * np.sqrt(n * (n - 2) / ((n - 1) ** 2 - n * g**2))
    expected = np.minimum(1.0, 2.0 * n * 2.0 * stats.t.sf(t, n - 2))
    found = _p_values(spread_of(values[:, None]), 1)[0]
    np.testing.assert_allclose(found[expected < 1], expected[expected < 1], rtol=1e-6)


def test_p_values_are_those_of_points_whose_rows_are_rotated():
    """The definition of the null, drawn: rows of centred points turned at random."""
    rng = np.random.default_rng(1)
    points = rng.normal(size=(K, 4)) * np.array([2.0, 1.5, 0.5, 0.1])
    points[1] = points[0] + 0.4 * rng.normal(size=4)
    p_odd, p_near = _p_values(spread_of(points), 1)
    centred = points - points.mean(axis=0)
    complement = np.linalg.svd(np.eye(K) - 1.0 / K)[0][:, : K - 1]
    # the leading directions of the pairs hold nine tenths of the variance
    _, size, axes = np.linalg.svd(centred, full_matrices=False)
    n_leading = 1 + np.searchsorted(np.cumsum(size**2), 0.9 * (size**2).sum())
    leading = axes[:n_leading].T

    def statistics(values):
        pair = ((values[0] - values[1]) @ leading) ** 2
        return (values[2] ** 2).sum(), pair.sum()

    observed, drawn = statistics(centred), []
    for _ in range(6000):
        turn = stats.ortho_group.rvs(K - 1, random_state=rng)
        drawn.append(statistics(complement @ turn @ complement.T @ centred))
    odd, near = np.array(drawn).T
    for share, found, number in (
        ((odd >= observed[0]).mean(), p_odd[2], 2 * K),
        ((near <= observed[1]).mean(), p_near[0], K * (K - 1)),
    ):
        error = np.sqrt(share * (1 - share) / len(drawn))
        assert found == pytest.approx(min(1.0, number * share), abs=4 * number * error)


def _rate(draw, n_sets, level):
    """Share of sets with a smallest p-value below the level."""
    rng = np.random.default_rng(2)
    found = [np.nanmin(_p_values(spread_of(*draw(rng)), 1)) for _ in range(n_sets)]
    return np.mean(np.array(found) < level)


def test_normal_draws_of_any_covariance_alarm_as_stated():
    mix = np.random.default_rng(0).normal(size=(9, 9)) * 0.5 ** np.arange(9)
    rate = _rate(lambda rng: (rng.normal(size=(K, 9)) @ mix.T,), 400, 0.1)
    assert 0.04 < rate < 0.1 + 3 * np.sqrt(0.09 / 400)


def test_simulations_of_few_events_are_not_odd():
    size = np.array([0.05, 0.1, 1.0, 2.0, 3.0, 3.0])

    def draw(rng):
        return rng.normal(size=(K, 9)) / np.sqrt(size)[:, None], 9.0 / size

    assert _rate(draw, 300, 0.1) < 0.1 + 3 * np.sqrt(0.09 / 300)


def test_a_curved_family_of_one_parameter_has_no_near_duplicates():
    """It fills several directions, in all of which neighbours are near."""

    def draw(rng):
        z = rng.normal(size=(10, 1))
        return (np.hstack([z, 0.3 * z**2, 0.1 * z**3]),)

    rng = np.random.default_rng(3)
    near = [np.nanmin(_p_values(spread_of(*draw(rng)), 1)[1]) for _ in range(150)]
    assert np.mean(np.array(near) < 0.1) < 0.1 + 3 * np.sqrt(0.09 / 150)


def test_two_odd_ones_do_not_hide_each_other():
    points = np.random.default_rng(4).normal(size=(8, 3))
    points[0, 0], points[1, 1] = 30.0, 29.0
    alone = _from_mean(spread_of(points), 1, [0, 1])
    p_odd = _p_values(spread_of(points), 1)[0]
    without = _p_values(spread_of(points[1:]), 1)[0][0]
    assert alone.min() > LIMIT
    assert p_odd[1] == pytest.approx(without, rel=1e-6)
    assert p_odd[0] <= p_odd[1] < LIMIT
    assert (p_odd[2:] > LIMIT).all()


def test_equal_simulations_show_nothing():
    p_odd, p_near = _p_values(spread_of(np.ones((5, 2))), 1)
    assert (p_odd == 1).all()
    assert (p_near == 1).all()


# -------------------------------------------------------------------------- in fit
def test_exchangeable_simulations_pass_in_silence():
    tamm = BinnedTopicTAMM(bins=12)
    X, y, simulation = simulated()
    result = tamm.fit(X, y, simulation=simulation).infer(X[:2000])
    found = exchangeability(tamm)
    assert result.diagnostics["exchangeability"] == [found.p_value]
    assert found.p_value > LIMIT
    assert found.odd == found.near_duplicates == ()
    assert "not_exchangeable" not in result.flags[0]
    assert found.summary().startswith("exchangeable")
    assert set(found.label) == {0, 1, ALL_CLASSES}
    assert len(found.distances) == 3
    assert found.to_frame().shape == (3 * K, 6)


def test_distances_are_those_of_hellinger():
    X, y, simulation = simulated(k=5)
    edges = [np.linspace(-4.0, 6.0, 13)]
    tamm = BinnedTopicTAMM(bins=edges, basis="principal")
    tamm.fit(X, y, simulation=simulation)
    X = np.clip(X[:, 0], -3.99, 5.99)
    root = [
        np.sqrt(np.histogram(X[(y == 1) & (simulation == k)], edges[0])[0])
        for k in range(5)
    ]
    expected = np.linalg.norm(np.array(root)[:, None] - np.array(root), axis=2)
    expected /= np.sqrt((expected**2).sum() / 20)
    found = exchangeability(tamm).distances[1]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


def test_the_same_events_twice_are_near_duplicates():
    X, y, simulation = simulated(same=True)
    tamm = BinnedTopicTAMM(bins=12)
    with pytest.warns(ExchangeabilityWarning, match="near-duplicates: 0 and 1 of"):
        tamm.fit(X, y, simulation=simulation)
    found = exchangeability(tamm)
    assert found.near_duplicates == ((0, 0, 1), (1, 0, 1), (ALL_CLASSES, 0, 1))
    assert found.p_value == 0
    assert not found.odd
    assert (found.distance[found.simulation == 0] == 0).all()
    result = tamm.infer(X[:2000])
    assert "not_exchangeable" in result.flags[0]


def test_a_simulation_far_off_is_odd():
    X, y, simulation = simulated(moved=15.0)
    with pytest.warns(ExchangeabilityWarning, match="odd: 0 of"):
        tamm = BinnedTopicTAMM(bins=12).fit(X, y, simulation=simulation)
    assert {i for _, i in exchangeability(tamm).odd} == {0}


def test_results_name_the_odd_and_the_near_ones():
    X, y, simulation = simulated(moved=15.0)
    X[simulation == 2] = X[simulation == 1]
    tamm = BinnedTopicTAMM(bins=12)
    with pytest.warns(ExchangeabilityWarning, match=r"odd: 0 of (class \d|all cl)"):
        tamm.fit(X, y, simulation=simulation)
    result, found = tamm.infer(X[:2000]), exchangeability(tamm)
    assert "class all classes" not in found.summary()
    odd = {f"0 of class {c}" for c in (0, 1)} | {"0 of all classes"}
    assert set(result.method["odd simulations"].split(", ")) == odd
    near = {f"1 and 2 of class {c}" for c in (0, 1)} | {"1 and 2 of all classes"}
    assert set(result.method["near-duplicates"].split(", ")) == near
    for kind in ("odd simulations", "near-duplicates"):
        line = f"{kind}: {result.method[kind]}"
        assert line in result.summary().splitlines()
        assert line in found.summary().splitlines()
        assert result_to_json(result)["method"][kind] == result.method[kind]
    part = without_ids(tamm, [0, 2]).infer(X[:2000])
    assert not {"odd simulations", "near-duplicates"} & set(part.method)


def test_families_of_the_prior_are_told():
    X, y, simulation = simulated(same=True)
    ids = np.array(["nom", "up", "down", "a", "b", "c"])
    families = dict(zip(ids[1:].tolist(), ["s", "s", "g", "g", "g"], strict=True))
    prior = SimulationsPrior(families=families, nominal="nom")
    tamm = BinnedTopicTAMM(bins=12, prior=prior).fit(X, y, simulation=ids[simulation])
    found = exchangeability(tamm)
    expected = [families.get(name, "nominal") for name in found.simulation]
    assert found.family.tolist() == expected
    assert found.to_frame()["family"].tolist() == expected
    assert "families declared" in found.summary()
    labels = ExchangeabilityDisplay.from_estimator(tamm).rows[0].labels
    assert labels == ["nom (nominal)", "a (g)", "b (g)", "c (g)", "down (s)", "up (s)"]
    tamm.set_params(prior="simulations")
    with pytest.warns(ExchangeabilityWarning):
        tamm.fit(X, y, simulation=simulation)
    assert exchangeability(tamm).family is None


def test_ids_and_order_of_the_simulations_change_nothing():
    X, y, simulation = simulated(k=5)
    names = np.array(["d", "a", "e", "c", "b"])
    order = np.random.default_rng(0).permutation(len(X))
    first = BinnedTopicTAMM(bins=12).fit(X, y, simulation=simulation)
    other = BinnedTopicTAMM(bins=12).fit(
        X[order], y[order], simulation=names[simulation][order]
    )
    first, other = (exchangeability(t).to_frame() for t in (first, other))
    first["simulation"] = names[first["simulation"].astype(int)]
    first["nearest"] = names[first["nearest"].astype(int)]
    keys = ["class", "simulation"]
    for frame in (first, other):
        frame[keys] = frame[keys].astype(str)
    first, other = (f.set_index(keys).sort_index() for f in (first, other))
    assert (first["nearest"] == other["nearest"]).all()
    for name in ("p_odd", "p_near", "distance"):
        np.testing.assert_allclose(first[name], other[name], rtol=1e-9)


def test_few_simulations_are_not_tested():
    X, y, simulation = simulated(k=3, same=True)
    tamm = BinnedTopicTAMM(bins=12).fit(X, y, simulation=simulation)
    found = exchangeability(tamm)
    assert np.isnan(found.p_value)
    assert found.summary().startswith("not tested")
    assert "exchangeability" not in tamm.infer(X[:2000]).diagnostics


def test_a_class_of_few_simulations_is_named():
    X, y, simulation = simulated(k=5)
    few = (y == 1) & (simulation > 0)
    tamm = BinnedTopicTAMM(bins=12)
    with pytest.warns(SktammWarning, match="one simulation"):
        tamm.fit(X[~few], y[~few], simulation=simulation[~few])
    found = exchangeability(tamm)
    assert found.p_value > LIMIT
    assert found.nearest[found.label == 1] == [None]
    assert "not tested, fewer than 4 simulations: class 1" in found.summary()


def test_only_estimators_that_learn_the_spread_warn():
    X, y, simulation = simulated(same=True)
    setting = np.linspace(-1.0, 1.0, K)
    morphing = TemplateMorphing({k: [setting[k]] for k in range(K)}, bins=12)
    morphing.fit(X, y, simulation=simulation)
    assert exchangeability(morphing).near_duplicates


def test_who_is_told_families_is_not_warned():
    X, y, simulation = simulated(same=True)
    with pytest.warns(ExchangeabilityWarning):
        tamm = BinnedTopicTAMM(bins=12).fit(X, y, simulation=simulation)
    tamm.prior_ = SimpleNamespace(families={0: "nominal"})
    assert look_at_exchangeability(tamm) is None  # in silence
    part = without_ids(tamm, [1])
    assert part._exchangeable_ is None  # not that of all simulations
    assert exchangeability(part).p_value > LIMIT


@pytest.mark.parametrize(
    "estimator",
    [
        ScoreTAMM("logistic", random_state=0),
        NeuralRatioTAMM("logistic", random_state=0),
        make_pipeline(StandardScaler(), BinnedTopicTAMM(bins=12, basis="principal")),
    ],
)
@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
def test_scores_ratios_and_pipelines_are_tested(estimator):
    X, y, simulation = simulated(n=1500, same=True)
    ids = {"simulation": simulation}
    if hasattr(estimator, "steps"):
        ids = {"binnedtopictamm__simulation": simulation}
    found = exchangeability(estimator.fit(X, y, **ids))
    assert {0, 1} in [{i, j} for _, i, j in found.near_duplicates]
