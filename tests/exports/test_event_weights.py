"""Simulated events weighted to follow the adapted densities."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sktamm
from sktamm import (
    AutoTAMM,
    BinnedTopicTAMM,
    NeuralRatioTAMM,
    ScoreTAMM,
    TAMMRegressor,
    event_weights,
    infer,
)
from sktamm.auto import PosteriorPool
from sktamm.baselines import FreeTemplates, LabelShiftEM
from sktamm.components import TemplateComponents
from sktamm.datasets import make_gaussian_study
from sktamm.exceptions import (
    EmptyBinWarning,
    InvalidInputError,
    SingleSimulationWarning,
)
from sktamm.inference import BayesianInference
from sktamm.mixture import SimulationsPrior


@pytest.fixture(scope="module")
def study():
    return make_gaussian_study(
        n_simulations=5,
        n_events=3000,
        n_signal=4000,
        n_background=16_000,
        random_state=1,
    )


def fitted(estimator, study):
    return estimator.fit(study.X, study.y, simulation=study.simulation)


def weights_of(estimator, study, **options):
    return event_weights(
        estimator,
        study.X,
        study.y,
        study.X_target,
        simulation=study.simulation,
        **options,
    )


def expected_events(result):
    return result.n_events[0] * result.fractions[0]


BINNED = {
    "exponential": lambda: BinnedTopicTAMM(bins=5),
    "linear": lambda: BinnedTopicTAMM(bins=5, form="linear", random_state=0),
    "frequentist": lambda: BinnedTopicTAMM(bins=5, inference="frequentist"),
    "topics": lambda: BinnedTopicTAMM(n_topics=3, bins=5, inference="frequentist"),
    "flow bins": lambda: TAMMRegressor(
        TemplateComponents(bins=4, range=[(-1.5, 1.5)] * 2, flow="bins")
    ),
}


@pytest.mark.parametrize("name", BINNED)
def test_weighted_events_fill_the_bins_as_adapted(name, study):
    """Counted by numpy in the edges of the result, every class apart, to rounding."""
    tamm = fitted(BINNED[name](), study)
    result = infer(tamm, study.X_target)
    table = weights_of(tamm, study)
    templates = result.templates
    edges = [
        np.concatenate([[-np.inf], e, [np.inf]]) if templates.flow else e
        for e in templates.edges
    ]
    inside = [np.clip(x, e[0], e[-1]) for x, e in zip(study.X.T, edges, strict=True)]
    for c, size in enumerate(expected_events(result)):
        own = (table["class"] == c).to_numpy()
        found = np.histogramdd(
            np.array(inside).T[own], edges, weights=table["weight"][own]
        )[0]
        adapted = size * templates.adapted[0, c].reshape(found.shape)
        np.testing.assert_allclose(found, adapted, rtol=1e-9, atol=1e-9 * size)
        assert table["weight"][own].sum() == pytest.approx(size, rel=1e-12)


def test_one_learned_score_is_filled_as_adapted(study):
    """In bins of the score at given events, whatever they were in training."""
    tamm = fitted(ScoreTAMM("logistic", random_state=0), study)
    result = tamm.infer(study.X_target)
    table = weights_of(tamm, study)
    score = tamm.components_.score_.transform(study.X)[:, 0]
    edges = result.templates.edges[0]
    score = np.clip(score, edges[0], edges[-1])
    for c, size in enumerate(expected_events(result)):
        own = (table["class"] == c).to_numpy()
        found = np.histogram(score[own], edges, weights=table["weight"][own])[0]
        np.testing.assert_allclose(found, size * result.templates.adapted[0, c])


def test_one_simulation_is_normalised_and_no_more(study):
    """Nothing adapts: w_i / W n f_c, binned without smoothing and unbinned."""
    own = study.simulation == 0
    X, y = study.X[own], study.y[own]
    weight = np.random.default_rng(0).uniform(0.5, 1.5, len(y))
    plain = TAMMRegressor(TemplateComponents(bins=3, smooth=False))
    for tamm in (plain, NeuralRatioTAMM("logistic", random_state=0)):
        with pytest.warns(SingleSimulationWarning):
            tamm.fit(X, y, sample_weight=weight)
        table = event_weights(tamm, X, y, study.X_target, sample_weight=weight)
        size = expected_events(tamm.infer(study.X_target))
        total = np.bincount(y, weight)
        np.testing.assert_allclose(table["weight"], size[y] * weight / total[y])
        assert "simulation" not in table


def test_simulations_of_a_class_weigh_the_same_whatever_their_size(study):
    """Dropping half of the events of a simulation moves no share of the others."""
    tamm = fitted(BinnedTopicTAMM(bins=2, inference="frequentist"), study)
    kept = np.ones(len(study.y), dtype=bool)
    kept[np.flatnonzero(study.simulation == 0)[::2]] = False
    table = event_weights(
        tamm,
        study.X[kept],
        study.y[kept],
        study.X_target,
        simulation=study.simulation[kept],
    )
    shares = table.groupby(["class", "simulation"])["weight"].sum().to_numpy()
    every = weights_of(tamm, study).groupby(["class", "simulation"])["weight"].sum()
    # half of the events: the contents of bins fluctuate by one per cent
    np.testing.assert_allclose(shares, every, rtol=0.05)
    assert every.std() < 0.6 * every.mean()


def normals(rng, n_events, truth=(-1.3, 1.6)):
    """Unit normals whose means the simulations get wrong; a variable not used."""
    shifts = np.linspace(-0.6, 0.6, 5)
    simulation = np.tile(np.repeat(np.arange(5), n_events), 2)
    y = np.repeat([0, 1], 5 * n_events)
    X = rng.normal(3.0 * y - 1.5 + shifts[simulation])[:, None]
    centre = np.where(rng.random(40_000) < 0.4, truth[1], truth[0])
    return X, y, simulation, rng.normal(centre)[:, None]


def test_products_of_unit_normals_are_unit_normals():
    """Whatever blend is adapted, and wider before; so does a variable not used."""
    rng = np.random.default_rng(0)
    X, y, simulation, target = normals(rng, 4000)
    tamm = NeuralRatioTAMM("logistic", form="exponential", random_state=0)
    tamm.fit(X, y, simulation=simulation)
    table = event_weights(tamm, X, y, target, simulation=simulation)
    other = X[:, 0] ** 3 + rng.normal(size=len(X))
    for c in (0, 1):
        own = y == c
        weight = table["weight"][own]
        mean = np.average(X[own, 0], weights=weight)
        variance = np.average((X[own, 0] - mean) ** 2, weights=weight)
        # 20 000 events, and as many tell the ratios: .01 each
        assert abs(variance - 1.0) < 0.05
        assert X[own].var() > 1.15
        cube = np.average(other[own], weights=weight)
        assert cube == pytest.approx(mean**3 + 3 * mean, abs=0.25)
    mixture = np.average(X[:, 0], weights=table["weight"])
    raw = np.array([X[y == c].mean() for c in (0, 1)]) @ tamm.infer(target).fractions[0]
    assert abs(mixture - target.mean()) < 0.25 * abs(raw - target.mean())


def test_a_linear_blend_has_the_moments_of_its_weights():
    """Means of the corrected classes are the weighted means of the simulations."""
    rng = np.random.default_rng(1)
    X, y, simulation, target = normals(rng, 4000)
    tamm = NeuralRatioTAMM("logistic", form="linear", random_state=0)
    tamm.fit(X, y, simulation=simulation)
    result = tamm.infer(target)
    table = event_weights(tamm, X, y, target, simulation=simulation)
    for c in (0, 1):
        own = y == c
        means = [X[own & (simulation == k)].mean() for k in range(5)]
        blend = np.array(means) @ result.weights[c][0]
        found = np.average(X[own, 0], weights=table["weight"][own])
        assert found == pytest.approx(blend, abs=0.03)


def contents(frame, names, cell):
    """Content of every bin (n_columns, n_cells) of the signal."""
    own = (frame["class"] == 1).to_numpy()
    return np.array([np.bincount(cell[own], frame[n][own]) for n in names])


def test_replicas_spread_as_the_posterior_does(study):
    """Laplace's replicas against chains of the same model, bin by bin."""
    names = [f"replica_{r}" for r in range(600)]
    edges = np.linspace(-2.0, 2.0, 4)
    cell = np.digitize(study.X[:, 0], edges[1:-1])
    spread = []
    for method in ("laplace", "hmc"):
        tamm = BinnedTopicTAMM(
            bins=3,
            prior="simulations",
            inference=BayesianInference(method=method, min_ess=400),
            random_state=0,
        )
        table = weights_of(
            fitted(tamm, study), study, n_replicas=len(names), random_state=1
        )
        found = contents(table, names, cell)
        shape = found / found.sum(axis=1, keepdims=True)  # of the blend alone
        found = np.hstack([found, shape])
        spread.append((found.mean(axis=0), found.std(axis=0)))
    (mean, std), (hmc_mean, hmc_std) = spread
    # 600 draws know a width to 3 %, chains of 400 effective ones to 4 %; Laplace's
    # posterior of kappa is a tenth wider here
    np.testing.assert_allclose(std, hmc_std, rtol=0.25)
    assert (np.abs(mean - hmc_mean) < 0.2 * hmc_std).all()


@pytest.mark.parametrize(
    "estimator",
    [
        BinnedTopicTAMM(bins=4),
        BinnedTopicTAMM(bins=4, inference="frequentist"),
        BinnedTopicTAMM(bins=4, form="linear", random_state=0),
        NeuralRatioTAMM("logistic", form="linear", random_state=0),
    ],
    ids=["laplace", "frequentist", "hmc", "unbinned"],
)
def test_replicas_have_the_kappa_of_the_result(estimator, study):
    """Mean and width: 400 draws know them to .05 and 4 % of a standard deviation."""
    tamm = fitted(estimator, study)
    result = tamm.infer(study.X_target)
    table = weights_of(tamm, study, n_replicas=400, random_state=0)
    signal = table[table["class"] == 1].filter(like="replica_").sum()
    kappa = signal / result.n_events[0]
    every = table.filter(like="replica_").sum()
    np.testing.assert_allclose(every, result.n_events[0], rtol=1e-9)
    assert abs(kappa.mean() - result.kappa[0]) < 0.2 * result.std[0]
    assert kappa.std() == pytest.approx(result.std[0], rel=0.15)


def test_three_classes_and_a_class_that_is_not_asked_for():
    rng = np.random.default_rng(3)
    y = np.repeat(["a", "b", "c"], 3000)
    simulation = np.tile(np.repeat([0, 1, 2], 1000), 3)
    place = {"a": -1.0, "b": 0.0, "c": 1.2}
    centre = np.vectorize(place.get)(y) + 0.1 * (simulation - 1)
    X = rng.normal(centre, 0.6)[:, None]
    target = rng.normal(rng.choice([-1.0, 0.05, 1.1], 9000), 0.6)[:, None]
    tamm = BinnedTopicTAMM(bins=8, inference="frequentist")
    tamm.fit(X, y, simulation=simulation)
    result = tamm.infer(target)
    table = event_weights(
        tamm, X, y, target, simulation=simulation, n_replicas=50, random_state=0
    )
    found = table.groupby("class")["weight"].sum()
    np.testing.assert_allclose(found, expected_events(result), rtol=1e-9)
    total = table.filter(like="replica_").sum()
    np.testing.assert_allclose(total, len(target), rtol=1e-9)
    own = y != "b"
    some = event_weights(tamm, X[own], y[own], target, simulation=simulation[own])
    np.testing.assert_allclose(some["weight"], table["weight"][own])


def test_families_and_histograms_as_targets():
    import hist

    rng = np.random.default_rng(0)
    shift = {"nominal": 0.0, "up": 0.2, "down": -0.2}
    names = np.repeat(list(shift), 4000)
    y = np.tile([0, 1], 6000)
    X = rng.normal(3 * y + np.repeat(list(shift.values()), 4000))[:, None]
    families = {"up": "scale", "down": "scale"}
    prior = SimulationsPrior(families=families, nominal="nominal")
    edges = np.linspace(-3.0, 6.0, 13)
    tamm = BinnedTopicTAMM(bins=[edges], prior=prior).fit(X, y, simulation=names)
    target = rng.normal(0.15 + 3 * (rng.random(5000) < 0.3))[:, None]
    filled = hist.Hist(hist.axis.Variable(edges)).fill(np.clip(target[:, 0], -3, 5.9))
    table = event_weights(tamm, X, y, target, simulation=names)
    again = event_weights(tamm, X, y, filled, simulation=names)
    np.testing.assert_allclose(again["weight"], table["weight"], rtol=1e-6)
    corrected = np.average(X[y == 0, 0], weights=table["weight"][y == 0])
    assert abs(corrected - 0.15) < 0.5 * abs(X[y == 0, 0].mean() - 0.15)


def test_searches_pipelines_and_data_frames_keep_rows_and_index(study):
    frame = pd.DataFrame(study.X, columns=["u", "v"], index=study.simulation + 7)
    target = pd.DataFrame(study.X_target, columns=["u", "v"])
    tamm = BinnedTopicTAMM(bins=4, inference="frequentist")
    pipe = make_pipeline(StandardScaler().set_output(transform="pandas"), tamm)
    pipe.fit(frame, study.y, binnedtopictamm__simulation=study.simulation)
    search = GridSearchCV(pipe, {}, cv=2)
    search.best_estimator_ = pipe  # as after a search
    ids = {"simulation": study.simulation}
    table = event_weights(search, frame, study.y, target, **ids)
    assert table.index.equals(frame.index)
    assert table["simulation"].tolist() == study.simulation.tolist()
    scaler = StandardScaler().fit(study.X)
    inner = sktamm.BinnedTopicTAMM(bins=4, inference="frequentist")
    inner.fit(scaler.transform(study.X), study.y, **ids)
    plain = event_weights(
        inner,
        scaler.transform(study.X),
        study.y,
        scaler.transform(study.X_target),
        **ids,
    )
    np.testing.assert_allclose(table["weight"], plain["weight"], rtol=1e-9)


def test_a_pool_is_the_mean_of_its_estimators(study):
    parts = {
        "binned": fitted(BinnedTopicTAMM(bins=4), study),
        "score": fitted(ScoreTAMM("logistic", random_state=0), study),
    }
    pool = PosteriorPool.of(parts)
    table = weights_of(pool, study, n_replicas=3, random_state=0)
    mean = sum(weights_of(part, study)["weight"] for part in parts.values()) / 2
    np.testing.assert_allclose(table["weight"], mean, rtol=1e-12)
    sums = table.groupby("class")["weight"].sum()
    result = pool.infer(study.X_target)
    np.testing.assert_allclose(sums, expected_events(result), rtol=1e-9)
    seen = table.filter(like="replica_").sum()
    np.testing.assert_allclose(seen, result.n_events[0], rtol=1e-9)


def test_the_estimator_that_auto_tamm_has_chosen(study):
    auto = AutoTAMM([("binned", BinnedTopicTAMM(bins=4))])
    fitted(auto, study)
    table, inner = weights_of(auto, study), weights_of(auto.estimator_, study)
    pd.testing.assert_frame_equal(table, inner)


def test_weighted_targets_and_events_that_are_left_out(study):
    """Half weights halve the expected events; dropped events have weight zero."""
    components = TemplateComponents(bins=4, range=[(-1.0, 1.0)] * 2, flow="drop")
    tamm = fitted(TAMMRegressor(components, inference="frequentist"), study)
    table = weights_of(tamm, study)
    out = (np.abs(study.X) > 1.0).any(axis=1)
    assert (table["weight"][out] == 0.0).all()
    assert (table["weight"][~out] != 0.0).all()
    half = weights_of(tamm, study, target_weight=np.full(len(study.X_target), 0.5))
    assert half["weight"].sum() == pytest.approx(0.5 * table["weight"].sum())


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
def test_densities_without_parameters_have_no_replicas(study):
    free = fitted(FreeTemplates(bins=2), study)
    table = weights_of(free, study)
    result = free.infer(study.X_target)
    sums = table.groupby("class")["weight"].sum()
    np.testing.assert_allclose(sums, expected_events(result), rtol=1e-9)
    with pytest.raises(InvalidInputError, match="n_replicas must be 0"):
        weights_of(free, study, n_replicas=2)
    shift = fitted(LabelShiftEM(), study)
    with pytest.raises(InvalidInputError, match="known at every event"):
        weights_of(shift, study)


def test_bins_without_events_are_warned_about(study):
    tamm = fitted(BinnedTopicTAMM(bins=4, inference="frequentist"), study)
    own = study.X[:, 0] < 0.5
    with pytest.warns(EmptyBinWarning, match="class [01] lies in bins"):
        table = event_weights(tamm, study.X[own], study.y[own], study.X_target)
    assert table["weight"].sum() == pytest.approx(len(study.X_target))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"n_replicas": -1}, "n_replicas must not be negative, got -1"),
        ({"n_replicas": 1.5}, "n_replicas must be a whole number, got 1.5"),
        ({"n_replicas": True}, "n_replicas must be a whole number"),
        ({"y": np.full(30_000, 2)}, "y must hold classes seen at fit"),
        ({"sample_weight": np.zeros(30_000)}, "positive sum in every simulation"),
        ({"X": np.zeros((30_000, 3))}, "3 features"),
        ({"X": np.full((30_000, 2), np.nan)}, "X"),
    ],
)
def test_refusals_are_one_sentence(change, match, study):
    tamm = fitted(BinnedTopicTAMM(bins=3, inference="frequentist"), study)
    given = {"X": study.X, "y": study.y, "X_target": study.X_target} | change
    with pytest.raises(InvalidInputError, match=match) as caught:
        event_weights(tamm, **given)
    assert "\n" not in str(caught.value)


def test_what_has_no_densities_is_refused(study):
    with pytest.raises(InvalidInputError, match="adapts densities"):
        weights_of(StandardScaler().fit(study.X), study)


def test_several_histograms_are_several_datasets(study):
    import hist

    tamm = fitted(BinnedTopicTAMM(bins=3, inference="frequentist"), study)
    axes = [hist.axis.Variable(e) for e in tamm.components_.binning_.edges]
    one = hist.Hist(*axes).fill(*study.X_target.T)
    with pytest.raises(InvalidInputError, match="one dataset"):
        event_weights(tamm, study.X, study.y, [one, one])
