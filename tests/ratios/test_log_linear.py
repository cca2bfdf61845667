"""Shrinkage of learned ratios: the log-linear model, its shares, what they do."""

import numpy as np
import pytest
from scipy import optimize, special, stats
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from sktamm.ratios import DensityRatio, _log_linear
from sktamm.ratios._log_linear import Shrinkage, fit_log_linear, fit_shrinkage
from sktamm.ratios._moments import Coordinates, SmoothFunctions
from sktamm.ratios._reference import ratio_functions
from sktamm.ratios._sample import relative_to_mixture

CENTRES = np.array([0.0, 0.4, 1.0, 1.5])
CLASS = np.array([0, 0, 1, 1])
AVERAGES = (CLASS[:, None] == CLASS) / 2.0


def draw(n_events=500, n_features=2, seed=0):
    rng = np.random.default_rng(seed)
    source = np.repeat(np.arange(4), n_events)
    X = rng.normal(size=(source.size, n_features))
    X[:, 0] += CENTRES[source]
    return X, source


def relative(logs):
    return logs - np.log(np.exp(logs).mean(axis=1, keepdims=True))


def exact(X):
    return relative(stats.norm.logpdf(X[:, :1], CENTRES))


# -------------------------------------------------------------------- log-linear model
@pytest.mark.parametrize("weighted", [False, True])
def test_log_linear_model_is_scikit_learns_logistic_regression(weighted):
    X, source = draw()
    weight = np.random.default_rng(1).uniform(0.5, 2.0, source.size)
    weight = weight if weighted else np.ones(source.size)
    functions = SmoothFunctions(Coordinates().fit(X), 2, 10)
    model = fit_log_linear(functions, X, source, weight if weighted else None, 4)
    total = np.bincount(source, weight)
    balanced = weight / total[source]
    referee = LogisticRegression(C=1e8, max_iter=5000, tol=1e-10)
    referee.fit(
        functions.evaluate(X), source, sample_weight=balanced * len(X) / balanced.sum()
    )
    expected = relative(referee.predict_log_proba(functions.evaluate(X)))
    np.testing.assert_allclose(relative(model.logits(X)), expected, atol=5e-3)


def test_sizes_and_scales_of_the_weights_of_sources_drop_out():
    X, source = draw()
    functions = ratio_functions(Coordinates().fit(X))
    scale = np.array([1.0, 8.0, 0.25, 2.0])[source]
    one, two = (
        relative(fit_log_linear(functions, X, source, w, 4).logits(X))
        for w in (None, scale)
    )
    np.testing.assert_allclose(one, two, atol=1e-4)


def test_log_linear_model_of_signed_weights_is_that_of_the_density():
    """Pairs of weights 1 and -1 cancel: slopes of normals within four errors."""
    X, source = draw(4000, 1)
    rng = np.random.default_rng(3)
    extra = rng.normal(1.5, 0.3, (3200, 1))
    weight = np.append(np.ones(len(X)), rng.permutation(np.repeat([1.0, -1.0], 1600)))
    functions = SmoothFunctions(Coordinates().fit(X), 1, 10)
    both = np.vstack([X, extra]), np.append(source, np.zeros(3200, dtype=int))
    signed = fit_log_linear(functions, *both, weight, 4)
    plain = fit_log_linear(functions, *both, np.abs(weight), 4)
    ends = np.array([[-1.0], [2.0]])
    contrast = [
        np.ptp(relative(model.logits(ends))[:, 3] - relative(model.logits(ends))[:, 0])
        for model in (signed, plain)
    ]
    # Two normals 1.5 apart have the slope 1.5, known to the means of their events, of
    # which the pairs add 1.8 times as many to the variance of one.
    sigma = np.sqrt((1.0 + 1.8) / 4000)
    assert abs(contrast[0] / 3.0 - 1.5) < 4 * sigma
    assert abs(contrast[1] / 3.0 - 1.5) > 4 * sigma, "the test has no power"


@pytest.mark.parametrize(
    ("n_features", "size"), [(1, 3), (2, 9), (5, 55), (10, 65), (20, 230), (30, 60)]
)
def test_functions_grow_with_the_features_but_stay_few(n_features, size):
    X = np.random.default_rng(0).normal(size=(100, n_features))
    assert ratio_functions(Coordinates().fit(X)).size == size


# ------------------------------------------------------------------------------ shares
def members_of(logs):
    return logs[:, :, None].astype(np.float32)


def test_whole_shares_change_nothing_and_none_leave_the_log_linear_model():
    rng = np.random.default_rng(0)
    learned = relative(rng.normal(size=(20, 4)))
    base = rng.normal(size=(20, 4)).astype(np.float32)
    whole, none = (
        relative(Shrinkage(s, s, AVERAGES).apply(members_of(learned), base)[:, :, 0])
        for s in (1.0, 0.0)
    )
    np.testing.assert_allclose(whole, learned, atol=1e-6)
    np.testing.assert_allclose(none, relative(base), atol=1e-6)


def test_share_of_the_class_keeps_what_its_sources_have_in_common():
    rng = np.random.default_rng(0)
    learned = relative(rng.normal(size=(20, 4)))
    base = np.zeros((20, 4), np.float32)
    shrinkage = Shrinkage(1.0, 0.0, AVERAGES)
    found = relative(shrinkage.apply(members_of(learned), base)[:, :, 0])
    np.testing.assert_allclose(found, relative(learned @ AVERAGES), atol=1e-6)


def likelihood(shares, learned, base, source, weight):
    shrinkage = Shrinkage(*shares, AVERAGES)
    logs = relative(shrinkage.apply(members_of(learned), base)[:, :, 0])
    return float(weight @ logs[np.arange(len(source)), source])


def test_shares_maximise_the_likelihood_of_held_out_events():
    X, source = draw(2000)
    rng = np.random.default_rng(1)
    learned = relative(exact(X) + rng.normal(0.0, 0.3, (len(X), 4)))
    base = (0.5 * exact(X)).astype(np.float32)
    weight = np.full(len(X), 1.0 / len(X))
    found = fit_shrinkage(learned, base, source, weight, CLASS)
    arguments = (learned, base, source, weight)
    best = optimize.minimize(
        lambda s: -likelihood(s, *arguments), [0.5, 0.5], method="Nelder-Mead"
    )
    np.testing.assert_allclose([found.of_class, found.of_source], best.x, atol=0.01)
    assert 0.0 < found.of_class < 1.0
    assert 0.0 < found.of_source < 1.0


def test_shares_are_found_although_ratios_hardly_differ():
    X, source = draw(2000)
    logs = relative(0.02 * exact(X))
    base = relative(0.01 * exact(X)).astype(np.float32)
    weight = np.full(len(X), 1.0 / len(X))
    found = fit_shrinkage(logs, base, source, weight, CLASS)
    assert found.of_class == 1.0  # the truth is 50 times larger


def test_noise_is_dropped_and_truth_kept():
    """With 80 000 events the likelihood is certain; the ends are exact bounds."""
    X, source = draw(20_000)
    weight = np.full(len(X), 1.0 / len(X))
    noisy = relative(exact(X) + np.random.default_rng(1).normal(0, 0.3, (len(X), 4)))
    wrong = np.zeros((len(X), 4), np.float32)
    dropped = fit_shrinkage(noisy, exact(X).astype(np.float32), source, weight, CLASS)
    kept = fit_shrinkage(exact(X), wrong, source, weight, CLASS)
    assert max(dropped.of_class, dropped.of_source) < 0.1
    assert min(kept.of_class, kept.of_source) > 0.9


def test_error_of_a_shrunk_estimate():
    """Of noise v, a share lambda leaves lambda v of mean squared error."""
    rng = np.random.default_rng(0)
    deviations = rng.normal(size=(5, 4, 3)).astype(np.float32)
    shrinkage = Shrinkage(0.25, 0.04, AVERAGES)
    common = np.einsum("nki,kj->nji", deviations, AVERAGES)
    shrunk = 0.25 * common + 0.04 * (deviations - common)
    expected = 0.5 * common + 0.2 * (deviations - common)
    np.testing.assert_allclose(shrinkage.widen(shrunk), expected, atol=1e-6)
    assert not Shrinkage(0.0, 0.0, AVERAGES).widen(deviations).any()


# ------------------------------------------------------------------------ what they do
def error(shrink, classifier, data, grid, truth, **choices):
    X, source = data
    ratio = DensityRatio(
        classifier, n_members=2, shrink=shrink, random_state=0, **choices
    )
    ratio.fit(X, CLASS[source], simulation=source % 2)
    assert ratio.source_class_.tolist() == CLASS.tolist()
    found = ratio.predict_log_ratio(grid)
    column = np.argsort(2 * ratio.source_class_ + ratio.source_id_)
    return np.sqrt(np.mean((found[:, column] - truth) ** 2))


@pytest.mark.parametrize("choices", [{}, {"cv": 2}, {"ensemble": "wifi"}])
def test_smooth_densities_gain_much(choices):
    data, grid = draw(4000), draw(200, seed=1)[0]
    forest = RandomForestClassifier(50, min_samples_leaf=100, random_state=0)
    with_, without = (
        error(shrink, forest, data, grid, exact(grid), **choices)
        for shrink in (True, False)
    )
    assert with_ < 0.7 * without


def test_rough_densities_lose_little():
    """A density of steps, which no polynomial follows and a tree finds at once."""
    rng = np.random.default_rng(0)
    levels = np.array([[1, 1, 1, 1], [1.2, 1, 1.2, 1], [2, 1, 2, 1], [2, 1.2, 2, 1.2]])
    levels = levels / levels.sum(axis=1, keepdims=True)
    source = np.repeat(np.arange(4), 10_000)
    steps = np.concatenate([rng.choice(4, 10_000, p=level) for level in levels])
    X = (steps + rng.uniform(size=source.size))[:, None]
    grid = rng.uniform(0.0, 4.0, (500, 1))
    truth = relative(np.log(levels.T[grid[:, 0].astype(int)]))
    forest = RandomForestClassifier(20, max_leaf_nodes=8, random_state=0)
    with_, without = (
        error(shrink, forest, (X, source), grid, truth, calibration=None)
        for shrink in (True, False)
    )
    assert with_ < 1.2 * without


def test_few_events_train_no_log_linear_model():
    X, source = draw(40)
    ratio = DensityRatio("logistic", n_members=1, random_state=0)
    ratio.fit(X, CLASS[source], simulation=source % 2)
    assert ratio.models_[0].log_linear is None


# ------------------------------------------------------------------- many rows, layout
def test_a_start_from_some_of_the_rows_changes_nothing(monkeypatch):
    X, source = draw(10_000)
    functions = SmoothFunctions(Coordinates().fit(X), 2, 10)
    whole = fit_log_linear(functions, X, source, None, 4)
    monkeypatch.setattr(_log_linear, "_THINNED", 2_000)
    assert _log_linear._thinnings(source, 4) == [20, 1]
    started = fit_log_linear(functions, X, source, None, 4)
    # as near as that of scikit-learn: statistical errors are .03 where events are few
    np.testing.assert_allclose(
        relative(started.logits(X)), relative(whole.logits(X)), atol=5e-3
    )


def test_some_of_the_rows_must_hold_all_sources(monkeypatch):
    monkeypatch.setattr(_log_linear, "_THINNED", 2_000)
    assert _log_linear._thinnings(np.repeat([0, 1, 2], [20_000, 20_000, 30]), 3) == [1]
    assert _log_linear._thinnings(np.zeros(7_000, int), 1) == [1]


@pytest.mark.parametrize("shape", [(0, 3, 2), (1, 1, 1), (5, 3, 2), (3000, 40, 4)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logs_relative_to_their_mixture(shape, dtype):
    logs = np.random.default_rng(0).normal(0.0, 200.0, shape).astype(dtype)
    mixture = special.logsumexp(logs.astype(float), axis=1, keepdims=True)
    expected = logs - (mixture - np.log(shape[1]))
    found = relative_to_mixture(logs)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)
