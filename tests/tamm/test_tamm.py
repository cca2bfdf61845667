"""The estimator as a user meets it: identities first, then numbers."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, sparse, stats
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from three_classes import every_signal

from sktamm import BinnedTopicTAMM, NeuralRatioTAMM, TAMMRegressor, infer
from sktamm._numerics import interval_score
from sktamm.components import TemplateComponents
from sktamm.exceptions import (
    ConvergenceWarning,
    IncompatibleChoiceError,
    InvalidInputError,
    RangeWarning,
    SamplingWarning,
    SingleSimulationWarning,
    SpanWarning,
)
from sktamm.inference import BayesianInference, FrequentistInference
from sktamm.mixture import SimulationsPrior

EDGES = [np.linspace(-3.0, 4.5, 11)]
CENTRES = np.array([0.0, 1.5, 3.0])


def _sample(centre, n, rng):
    return np.clip(rng.normal(centre, 1.0, (n, 1)), -2.99, 4.49)


def _simulate(n_simulations, n_events, seed=0, n_classes=2, spread=0.1):
    """Normals of unit width whose centres miss the truth by ``spread``."""
    rng = np.random.default_rng(seed)
    shift = spread * rng.normal(size=(n_classes, n_simulations))
    centres = (CENTRES[:n_classes, None] + shift).ravel()
    X = np.concatenate([_sample(centre, n_events, rng) for centre in centres])
    y = np.repeat(np.arange(n_classes), n_simulations * n_events)
    simulation = np.tile(np.repeat(np.arange(n_simulations), n_events), n_classes)
    return X, y, simulation


def _target(fractions, n_events, seed=1):
    """Events of the true mixture and their classes."""
    rng = np.random.default_rng(seed)
    y = rng.choice(len(fractions), n_events, p=fractions)
    return _sample(CENTRES[y, None], n_events, rng), y


def _tamm(**choices):
    return BinnedTopicTAMM(**{"bins": EDGES, "random_state": 0} | choices)


def _effective_draws(result):
    """Smallest effective sample size of posterior draws; infinite without draws."""
    return np.min(result.diagnostics.get("ess_bulk", np.inf))


@pytest.fixture(scope="module")
def simulated():
    return _simulate(4, 5000)


@pytest.fixture(scope="module")
def fitted(simulated):
    X, y, simulation = simulated
    return _tamm().fit(X, y, simulation=simulation)


CORNERS = {
    "default": {},
    "profile": {"inference": "frequentist"},
    "span": {"prior": "simulations"},
    "ridge": {"prior": "ridge", "inference": "frequentist"},
    "linear": {"form": "linear"},
    "topics": {"components": "topics", "n_topics": 2, "form": "linear"},
}


@pytest.fixture(params=CORNERS.values(), ids=CORNERS.keys())
def corner(request):
    return request.param


# -------------------------------------------------------------------- identities
@pytest.mark.parametrize("form", ["linear", "exponential"])
def test_one_simulation_is_the_ordinary_mixture_fit(form):
    X, y, _ = _simulate(1, 200_000, spread=0.0)
    components = TemplateComponents(EDGES, smooth=False)
    tamm = TAMMRegressor(components, form, inference="frequentist")
    with pytest.warns(SingleSimulationWarning, match="classical template "):
        tamm.fit(X, y)
    target = _target([0.7, 0.3], 1000)[0]
    result = tamm.infer(target)
    background, signal = tamm.components_.probability_
    counts = result.templates.counts[0]
    best = optimize.minimize_scalar(
        lambda k: -counts @ np.log(k * signal + (1 - k) * background),
        bounds=(0.1, 0.5),
        options={"xatol": 1e-9},
    ).x
    assert result.kappa[0] == pytest.approx(best, abs=0.01 * result.std[0])


def test_the_corners_agree_when_there_is_nothing_to_adapt(corner):
    X, y, _ = _simulate(1, 100_000, spread=0.0)
    target = _target([0.7, 0.3], 5000)[0]
    results = []
    for choices in ({"inference": "frequentist"}, corner):
        tamm = _tamm(**choices)
        with pytest.warns(SingleSimulationWarning):
            tamm.fit(X, y)
        results.append(tamm.infer(target))
    reference, other = results
    std, n = reference.std[0], _effective_draws(other)
    slack = 0.05 * std + 4 * std / np.sqrt(n)
    assert other.kappa[0] == pytest.approx(reference.kappa[0], abs=slack)
    assert other.std[0] == pytest.approx(std, rel=0.05 + 4 / np.sqrt(2 * n))


def test_doubled_weights_change_nothing(simulated, corner):
    """Neither the estimate nor its error: the effective number of events is the same.

    Weights of the simulations and of the target, each doubled.
    """
    X, y, simulation = simulated
    target = _target([0.7, 0.3], 3000)[0]
    once = _tamm(**corner).fit(X, y, simulation=simulation).infer(target)
    tamm = _tamm(**corner).fit(
        X, y, simulation=simulation, sample_weight=np.full(len(X), 2.0)
    )
    twice = tamm.infer(target, sample_weight=np.full(len(target), 2.0))
    np.testing.assert_allclose(twice.kappa, once.kappa, rtol=1e-6)
    np.testing.assert_allclose(twice.std, once.std, rtol=1e-6)
    np.testing.assert_allclose(twice.interval, once.interval, rtol=1e-6)
    np.testing.assert_allclose(twice.n_events, 2 * once.n_events)
    np.testing.assert_allclose(twice.n_effective, once.n_effective)


def test_renaming_and_reordering_simulations_changes_nothing(simulated, corner):
    X, y, simulation = simulated
    target = _target([0.7, 0.3], 3000)[0]
    names = np.array(["b", "d", "a", "c"])[simulation]
    order = np.random.default_rng(2).permutation(len(X))
    first = _tamm(**corner).fit(X, y, simulation=simulation).infer(target)
    second = _tamm(**corner).fit(X[order], y[order], simulation=names[order])
    second = second.infer(target)
    np.testing.assert_array_equal(first.kappa, second.kappa)
    np.testing.assert_array_equal(first.interval, second.interval)


def test_the_other_class_has_the_rest(simulated):
    X, y, simulation = simulated
    target = _target([0.7, 0.3], 3000)[0]
    answers = [
        _tamm(inference="frequentist", pos_label=label)
        .fit(X, y, simulation=simulation)
        .infer(target)
        for label in (0, 1)
    ]
    std = answers[0].std[0]
    np.testing.assert_allclose(answers[0].kappa, 1 - answers[1].kappa, atol=1e-3 * std)
    np.testing.assert_allclose(answers[0].std, answers[1].std, rtol=1e-3)
    np.testing.assert_allclose(
        answers[0].interval, 1 - answers[1].interval[:, ::-1], atol=1e-2 * std
    )


def test_datasets_by_id_by_counts_and_alone_are_the_same(fitted):
    target = np.concatenate([_target([0.7, 0.3], 800, seed)[0] for seed in range(3)])
    ids = np.repeat(["c", "a", "b"], 800)
    counts = np.stack([ids == name for name in "abc"], axis=1).astype(float)
    by_id = fitted.infer(target, dataset=ids)
    assert by_id.dataset.tolist() == ["a", "b", "c"]
    alone = [fitted.predict(target[ids == name])[0] for name in "abc"]
    np.testing.assert_allclose(by_id.kappa, alone, rtol=1e-6)
    for matrix in (counts, sparse.csr_array(counts)):
        np.testing.assert_array_equal(
            fitted.predict(target, dataset=matrix), by_id.kappa
        )


def test_repeated_events_are_weights(fitted):
    """Counts of two and repeated rows are the same data."""
    target = _target([0.7, 0.3], 500)[0]
    twice = fitted.predict(np.concatenate([target, target]))
    counted = fitted.predict(target, dataset=np.full((500, 1), 2.0))
    np.testing.assert_allclose(twice, counted, rtol=1e-9)


def test_workers_do_not_change_a_bit(simulated):
    X, y, simulation = simulated
    target = _target([0.7, 0.3], 600)[0]
    counts = np.random.default_rng(3).poisson(1.0, (600, 40)).astype(float)
    answers = [
        _tamm(inference=FrequentistInference(batch_size=8), n_jobs=n_jobs)
        .fit(X, y, simulation=simulation)
        .predict(target, dataset=counts, return_interval=0.683)
        for n_jobs in (1, 2)
    ]
    np.testing.assert_array_equal(answers[0][0], answers[1][0])
    np.testing.assert_array_equal(answers[0][1], answers[1][1])


# ----------------------------------------------------------------------- numbers
def test_estimates_are_stable_for_finer_bins():
    """The mean shift of 20 datasets stays within what is gained by finer bins."""
    X, y, simulation = _simulate(4, 50_000)
    target = _target([0.7, 0.3], 40_000)[0]
    ids = np.repeat(np.arange(20), 2000)
    answers = []
    for bins in (12, 24):
        tamm = _tamm(bins=bins, prior="simulations", inference="frequentist")
        tamm.fit(X, y, simulation=simulation)
        answers.append(tamm.infer(target, dataset=ids))
    coarse, fine = answers
    assert fine.std.mean() < 1.02 * coarse.std.mean()
    shift = fine.kappa - coarse.kappa
    assert abs(shift.mean()) < 4 * shift.std(ddof=1) / np.sqrt(20) + 0.1 * fine.std[0]
    assert shift.std() < 0.5 * coarse.std.mean()


@every_signal
def test_three_classes_recover_their_fractions(inference, positive):
    """Right templates: mean squared pull of 60 datasets within four sigmas of one.

    Chains end at 100 effective draws, which add a hundredth to it.
    """
    if inference == "bayesian":
        inference = BayesianInference(min_ess=100)
    fractions, n = np.array([0.5, 0.3, 0.2]), 60
    X, y, simulation = _simulate(3, 100_000, n_classes=3, spread=0.0)
    tamm = _tamm(inference=inference, pos_label=positive)
    tamm.fit(X, y, simulation=simulation)
    target = _target(fractions, 3000 * n)[0]
    result = tamm.infer(target, dataset=np.repeat(np.arange(n), 3000))
    pulls = (result.kappa - fractions[positive]) / result.std
    assert abs((pulls**2).mean() - 1) < 4 * np.sqrt(2 / n)
    assert abs(pulls.mean()) < 4 / np.sqrt(n)
    np.testing.assert_allclose(result.fractions.sum(axis=1), 1.0)
    np.testing.assert_allclose(result.fractions[:, positive], result.kappa, atol=1e-9)
    error = 4 * result.fractions.std(axis=0) / np.sqrt(n)
    assert (np.abs(result.fractions.mean(axis=0) - fractions) < error + 0.002).all()


def test_negative_weights_cost_events_but_no_bias():
    """A tenth of weights -1 on both sides: unbiased within four sigmas."""
    rng = np.random.default_rng(4)
    X, y, simulation = _simulate(3, 40_000, spread=0.0)
    weight = rng.choice([-1.0, 1.0], len(X), p=[0.1, 0.9])
    tamm = _tamm(bins=[np.linspace(-3, 4.5, 7)], inference="frequentist")
    tamm.fit(X, y, simulation=simulation, sample_weight=weight)
    n = 60
    target = _target([0.7, 0.3], 4000 * n)[0]
    signs = rng.choice([-1.0, 1.0], len(target), p=[0.1, 0.9])
    ids = np.repeat(np.arange(n), 4000)
    result = tamm.infer(target, dataset=ids, sample_weight=signs)
    pulls = (result.kappa - 0.3) / result.std
    assert abs((pulls**2).mean() - 1) < 4 * np.sqrt(2 / n)
    assert abs(pulls.mean()) < 4 / np.sqrt(n)
    plain = tamm.infer(target, dataset=ids)
    assert result.std.mean() > 1.1 * plain.std.mean()
    np.testing.assert_allclose(result.n_effective, result.n_events**2 / 4000)


def test_probabilities_of_events_are_calibrated():
    """Right templates: the share of signal in bins of probability, four sigmas."""
    X, y, simulation = _simulate(3, 100_000, spread=0.0)
    tamm = _tamm().fit(X, y, simulation=simulation)
    target, truth = _target([0.7, 0.3], 20_000)
    probability = tamm.predict_proba(target)
    np.testing.assert_allclose(probability.sum(axis=1), 1.0)
    signal = probability[:, 1]
    for p in np.unique(signal):
        inside = signal == p
        expected = inside.sum() * p
        error = np.sqrt(inside.sum() * p * (1 - p) + (0.05 * expected) ** 2)
        assert abs(truth[inside].sum() - expected) < 4 * error + 1
    assert signal.sum() == pytest.approx(tamm.predict(target)[0] * 20_000, rel=0.02)


def test_probabilities_adapt_to_their_dataset(fitted):
    few, many = _target([0.9, 0.1], 4000)[0], _target([0.3, 0.7], 4000)[0]
    both = np.concatenate([few, many])
    together = fitted.predict_proba(both, dataset=np.repeat([0, 1], 4000))
    np.testing.assert_allclose(together[:4000], fitted.predict_proba(few), rtol=1e-6)
    np.testing.assert_allclose(together[4000:], fitted.predict_proba(many), rtol=1e-6)


def test_default_intervals_cover_simulations_that_are_nearly_right():
    """Pulls of 40 independent studies, truth among the simulations' distribution."""
    pulls = []
    for seed in range(40):
        X, y, simulation = _simulate(7, 2000, seed=seed)
        first = simulation == 0
        rng = np.random.default_rng(seed)
        signal, background = (X[first & (y == c)] for c in (1, 0))
        n_signal = rng.binomial(2000, 0.3)
        target = np.concatenate([signal[:n_signal], background[: 2000 - n_signal]])
        tamm = _tamm().fit(X[~first], y[~first], simulation=simulation[~first])
        kappa, std = tamm.predict(target, return_std=True)
        pulls.append((kappa[0] - 0.3) / std[0])
    mean_square = np.mean(np.square(pulls))
    assert stats.chi2.cdf(40 * mean_square, 40) < stats.norm.cdf(4)
    assert mean_square > 0.25


# -------------------------------------------------------------------- interfaces
def test_shapes_of_the_answers(fitted):
    target = _target([0.7, 0.3], 900)[0]
    ids = np.arange(900) % 3
    assert fitted.predict(target).shape == (1,)
    kappa, std = fitted.predict(target, dataset=ids, return_std=True)
    assert kappa.shape == std.shape == (3,)
    one = fitted.predict(target, dataset=ids, return_interval=0.9)[1]
    assert one.shape == (3, 2)
    answer = fitted.predict(
        target, dataset=ids, return_std=True, return_interval=[0.9, 0.5]
    )
    assert answer[2].shape == (3, 2, 2)
    np.testing.assert_array_equal(answer[2][:, :, 0], one)
    assert (answer[2][:, 0, 0] < answer[2][:, 0, 1]).all()
    result = fitted.infer(target, dataset=ids)
    assert result.levels.tolist() == [0.683, 0.954]
    assert result.interval.shape == (3, 2, 2)
    assert len(result.to_frame()) == 3
    assert result.summary().count("kappa") == 3
    np.testing.assert_allclose(result.templates.adapted.sum(axis=2), 1.0)
    np.testing.assert_allclose(result.profile.log_density.max(axis=1), 0.0, atol=0.01)


def test_score_is_minus_the_interval_score(fitted):
    target, y = _target([0.7, 0.3], 3000)
    ids = np.arange(3000) % 3
    interval = fitted.predict(target, dataset=ids, return_interval=0.683)[1]
    truth = np.array([y[ids == i].mean() for i in range(3)])
    expected = interval_score(truth, interval[:, 0], interval[:, 1], 0.683)
    assert fitted.score(target, y, dataset=ids) == pytest.approx(-expected.mean())


def test_a_narrow_interval_around_the_truth_has_a_score_near_zero():
    X, y, simulation = _simulate(2, 100_000, spread=0.0)
    tamm = _tamm(prior="simulations").fit(X, y, simulation=simulation)
    target, truth = _target([0.7, 0.3], 500_000)
    assert -0.02 < tamm.score(target, truth) < 0


def test_score_refuses_labels_it_cannot_use(fitted):
    target, y = _target([0.7, 0.3], 100)
    with pytest.raises(InvalidInputError, match="one label per event"):
        fitted.score(target, y[:-1])
    with pytest.raises(InvalidInputError, match="classes seen at fit"):
        fitted.score(target, y + 1)


def test_infer_goes_through_pipelines_and_searches(simulated):
    X, y, simulation = simulated
    target = _target([0.7, 0.3], 2000)[0]
    keep = slice(None, None, 5)
    pipe = make_pipeline(StandardScaler(), BinnedTopicTAMM(bins=8))
    search = GridSearchCV(
        pipe, {"binnedtopictamm__bins": [6, 10]}, cv=GroupKFold(2), error_score="raise"
    )
    search.fit(
        X[keep],
        y[keep],
        groups=simulation[keep],
        binnedtopictamm__simulation=simulation[keep],
    )
    result = infer(search, target, levels=[0.683])
    assert result.kappa == search.predict(target)
    best = infer(search.best_estimator_, target, levels=[0.683])
    np.testing.assert_array_equal(result.interval, best.interval)
    assert result.method["simulations"] == "4"
    with pytest.raises(IncompatibleChoiceError, match="'infer'"):
        infer(StandardScaler(), target)


def test_histograms_are_events_in_bins(simulated):
    hist = pytest.importorskip("hist")
    X, y, simulation = simulated

    def filled(events):
        axis = hist.axis.Variable(EDGES[0], flow=False)
        return hist.Hist(axis).fill(events[:, 0])

    sources = [(c, k) for c in (0, 1) for k in range(4)]
    histograms = [filled(X[(y == c) & (simulation == k)]) for c, k in sources]
    labels, ids = zip(*sources, strict=True)
    by_hist = _tamm().fit(histograms, labels, simulation=ids)
    by_event = _tamm().fit(X, y, simulation=simulation)
    targets = [_target([0.7, 0.3], 2000, seed)[0] for seed in (1, 2)]
    kappa, interval = by_hist.predict(
        [filled(t) for t in targets], return_interval=0.683
    )
    for i, target in enumerate(targets):
        expected = by_event.predict(target, return_interval=0.683)
        np.testing.assert_allclose(kappa[i], expected[0][0], rtol=1e-6)
        np.testing.assert_allclose(interval[i], expected[1][0], rtol=1e-6)
    with pytest.raises(InvalidInputError, match="must be None with histograms"):
        by_hist.predict([filled(targets[0])], sample_weight=[1.0])
    with pytest.raises(InvalidInputError, match="must hold events"):
        by_hist.predict_proba([filled(targets[0])])


def test_data_frames_keep_their_names(simulated):
    X, y, simulation = simulated
    frame = pd.DataFrame(X, columns=["mass"])
    tamm = _tamm().fit(frame, y, simulation=simulation)
    assert tamm.feature_names_in_.tolist() == ["mass"]
    target = pd.DataFrame(_target([0.7, 0.3], 500)[0], columns=["mass"])
    assert tamm.infer(target).templates.feature_names == ("mass",)
    assert clone(tamm).fit(X, y, simulation=simulation).n_features_in_ == 1


# ------------------------------------------------------------------- flags, edges
def test_a_truth_out_of_reach_is_reported(fitted):
    rng = np.random.default_rng(5)
    comb = np.where(rng.random(5000) < 0.5, -2.0, 3.5)[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # hundreds of sigmas away
        with pytest.warns(SpanWarning, match="do not span"):
            result = fitted.infer(comb)
    assert "bad_fit" in result.flags[0]


def test_a_fit_cut_short_is_reported(simulated):
    X, y, simulation = simulated
    tamm = _tamm(inference=FrequentistInference(max_iter=1))
    tamm.fit(X, y, simulation=simulation)
    with pytest.warns(ConvergenceWarning, match="did not converge"):
        result = tamm.infer(_target([0.05, 0.95], 5000)[0])
    assert "not_converged" in result.flags[0]


@pytest.mark.parametrize("kappa", [0.0, 1.0])
@pytest.mark.parametrize("inference", ["bayesian", "frequentist"])
def test_pure_samples_stay_in_bounds(simulated, inference, kappa):
    X, y, simulation = simulated
    tamm = _tamm(inference=inference, bounded=True).fit(X, y, simulation=simulation)
    result = tamm.infer(_target([1 - kappa, kappa], 3000)[0])
    assert (result.interval >= 0).all()
    assert (result.interval <= 1).all()
    assert abs(result.kappa[0] - kappa) < 4 * result.std[0]
    if inference == "frequentist":
        near = min(result.kappa[0], 1 - result.kappa[0]) < result.std[0]
        assert ("at_boundary" in result.flags[0]) == near


@pytest.mark.parametrize("few", [0, 1])
def test_one_class_may_have_one_simulation(simulated, corner, few):
    X, y, simulation = simulated
    keep = (y != few) | (simulation == 0)
    with pytest.warns(SingleSimulationWarning, match=f"Of class {few} "):
        tamm = _tamm(**corner).fit(X[keep], y[keep], simulation=simulation[keep])
    kappa, std = tamm.predict(_target([0.6, 0.4], 5000)[0], return_std=True)
    assert abs(kappa[0] - 0.4) < 5 * std[0]
    assert not tamm.paired_


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"form": "cubic"}, "form must be one of"),
        ({"components": "raws"}, "components must be one of"),
        ({"form": "linear", "prior": SimulationsPrior()}, "weight_penalty"),
        ({"prior": "dirichlet"}, "expand"),
    ],
)
def test_choices_that_do_not_go_together_are_refused(simulated, choices, message):
    X, y, simulation = simulated
    with pytest.raises(IncompatibleChoiceError, match=message):
        _tamm(**choices).fit(X, y, simulation=simulation)


@pytest.mark.parametrize("level", [0.0, 1.0, 68.3])
def test_levels_lie_between_zero_and_one(simulated, fitted, level):
    X, y, simulation = simulated
    with pytest.raises(InvalidInputError, match="level"):
        _tamm(level=level).fit(X, y, simulation=simulation)
    with pytest.raises(InvalidInputError, match="levels"):
        fitted.predict(X[:10], return_interval=level)


def test_events_beyond_the_edges_are_reported(fitted):
    """Clipped outliers, which a fit could mistake for signal, are named."""
    target = _target([0.7, 0.3], 5000)[0]
    assert "out_of_range" not in fitted.infer(target).flags[0]
    target[-100:] = 1e6
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SpanWarning)
        with pytest.warns(RangeWarning, match="beyond the bin edges"):
            result = fitted.infer(target)
    assert "out_of_range" in result.flags[0]


def test_a_strained_blend_is_reported(fitted):
    """A signal that no simulation resembles fits, but far out in its prior."""
    result = fitted.infer(_target([0.7, 0.3], 5000)[0])
    assert result.diagnostics["prior_tension"][0] > 1e-3
    rng = np.random.default_rng(7)
    narrow = np.concatenate([rng.normal(0.0, 0.1, 3000), rng.normal(3.0, 0.1, 2000)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # chains find .400 +- .008, Laplace's method .28 +- .14
        with pytest.warns(SpanWarning), pytest.warns(SamplingWarning, match="rough"):
            result = fitted.infer(narrow[:, None])
    assert result.diagnostics["prior_tension"][0] < 1e-3
    assert "rough_integral" in result.flags[0]


@pytest.mark.parametrize("seed", range(6))
def test_a_pure_background_has_sane_errors_without_bounds(seed):
    """The likelihood may rise up to an edge below zero, where it has no curvature."""
    rng = np.random.default_rng(seed)
    X = np.concatenate([rng.normal(0, 1, 20_000), rng.normal(1.2, 1, 20_000)])[:, None]
    tamm = BinnedTopicTAMM(inference="frequentist")
    with pytest.warns(SingleSimulationWarning):
        tamm.fit(X, np.repeat([0, 1], 20_000))
    result = tamm.infer(rng.normal(0, 1, (2000, 1)))
    low, high = result.interval[0, :, 0]
    assert "not_converged" not in result.flags[0]
    assert low <= result.kappa[0] <= high
    assert 0.005 < result.std[0] < 0.15
    assert high - low < 0.3


def test_one_dataset_without_a_p_value_does_not_hide_another():
    """Of two events nothing can be tested, of a comb everything."""
    X, y, simulation = _simulate(4, 5000)
    tamm = _tamm(form="linear", inference="frequentist")
    tamm.fit(X, y, simulation=simulation)
    comb = np.where(np.arange(3000) % 2, -2.0, 3.5)[:, None]
    both = np.concatenate([[[0.1], [0.3]], comb])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        with pytest.warns(SpanWarning, match="of 2 datasets"):
            result = tamm.infer(both, dataset=np.arange(len(both)) > 1)
    assert np.isnan(result.diagnostics["span"][0])


# ------------------------------------------------------------------------- overlap
@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
@pytest.mark.parametrize("displaced", [0.0, 0.5, 1.5])
def test_the_overlap_of_displaced_normals_is_known(displaced):
    """The geometric mean of unit normals at +-a integrates to exp(-a^2 / 2)."""
    n = 40_000
    rng = np.random.default_rng(0)
    y, simulation = np.repeat([0, 0, 1, 1], n), np.repeat([0, 1, 0, 1], n)
    centre = np.repeat([-displaced, displaced, 3.0, 3.0], n)
    X = rng.normal(centre)[:, None]
    exact = [np.exp(-0.5 * displaced**2), 1.0]
    edges = np.linspace(-6, 8, 141)
    binned = BinnedTopicTAMM(bins=[edges], smooth=False, random_state=0)
    binned.fit(X, y, simulation=simulation)
    np.testing.assert_allclose(binned.overlap_, exact, atol=0.03)
    unbinned = NeuralRatioTAMM("logistic", random_state=0)
    unbinned.fit(X, y, simulation=simulation)
    np.testing.assert_allclose(unbinned.overlap_, exact, atol=0.03)
    diagnostics = binned.infer(X[::7]).diagnostics
    assert diagnostics["overlap"][0] == pytest.approx(binned.overlap_.min())
    assert unbinned.take([0]).overlap_ == pytest.approx(1.0, abs=0.05)
