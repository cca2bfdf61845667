"""Referee: the likelihood maximised directly, and the plain fixed point by hand."""

import numpy as np
import pytest
from scipy import optimize, stats
from sklearn.linear_model import LogisticRegression

from sktamm.baselines import LabelShiftEM
from sktamm.baselines._em import fit_fractions, information, profile_likelihood
from sktamm.baselines._label_shift import bootstrap_interval
from sktamm.datasets import make_gaussian_study
from sktamm.exceptions import InvalidInputError


def _ratios(n_classes, n_rows=400, seed=0):
    """Densities of unit normals at events of their mixture."""
    rng = np.random.default_rng(seed)
    truth = rng.dirichlet(np.full(n_classes, 5.0))
    centre = 1.5 * np.arange(n_classes)
    x = rng.normal(centre[rng.choice(n_classes, n_rows, p=truth)])
    return stats.norm.pdf(x[:, None], centre)


def _direct(ratio, weight):
    """Fractions by a general minimiser on the simplex."""
    n_classes = ratio.shape[1]

    def loss(free):
        fractions = np.append(free, 1.0 - free.sum())
        density = ratio @ fractions
        slope = (weight / density) @ (ratio[:, :-1] - ratio[:, -1:])
        return -(weight @ np.log(density)), -slope

    found = optimize.minimize(
        loss,
        np.full(n_classes - 1, 1.0 / n_classes),
        jac=True,
        method="trust-constr",
        bounds=[(1e-9, 1.0)] * (n_classes - 1),
        constraints=optimize.LinearConstraint(np.ones(n_classes - 1), 0.0, 1.0 - 1e-9),
        options={"gtol": 1e-10, "xtol": 1e-12, "maxiter": 3000},
    )
    return np.append(found.x, 1.0 - found.x.sum())


@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_em_is_the_maximum_of_the_likelihood(n_classes):
    ratio = _ratios(n_classes)
    weight = np.random.default_rng(1).uniform(0.2, 2.0, len(ratio))
    start = np.full((1, n_classes), 1.0 / n_classes)
    found = fit_fractions(ratio, weight[None], start)
    assert found.converged.all()
    np.testing.assert_allclose(found.fractions[0], _direct(ratio, weight), atol=2e-6)


def test_acceleration_leaves_the_fixed_point():
    ratio = _ratios(3)
    fractions = np.full(3, 1.0 / 3.0)
    for _ in range(5000):
        joint = fractions * ratio
        fractions = (joint / joint.sum(axis=1, keepdims=True)).mean(axis=0)
    found = fit_fractions(ratio, np.ones((1, len(ratio))), np.full((1, 3), 1.0 / 3.0))
    np.testing.assert_allclose(found.fractions[0], fractions, atol=1e-8)
    assert found.n_iterations < 100


def test_a_class_without_events_gets_nothing():
    ratio = _ratios(2)
    ratio[:, 1] = 0.2 * ratio[:, 0]
    found = fit_fractions(ratio, np.ones((1, len(ratio))), np.full((1, 2), 0.5))
    assert found.converged.all()
    assert found.fractions[0, 1] < 1e-8


def test_errors_are_the_curvature_of_the_profile():
    """Numerical second derivative, whose step of 0.05 errors leaves 1e-3."""
    ratio = _ratios(3, n_rows=3000)
    weight = np.ones(len(ratio))
    fit = fit_fractions(ratio, weight[None], np.full((1, 3), 1.0 / 3.0))
    found = fit.fractions[0]
    plain, sandwich = information(ratio, weight, weight, found, 1)
    step = 0.05 * np.sqrt(plain)
    grid = found[1] + step * np.array([-1.0, 0.0, 1.0])
    value = profile_likelihood(ratio, weight, found, grid, 1)
    assert value[1] == pytest.approx(fit.value[0], abs=1e-6)
    curvature = -(value[0] - 2.0 * value[1] + value[2]) / step**2
    assert plain == pytest.approx(1.0 / curvature, rel=5e-3)
    # The two agree when the densities are right; 3000 events leave some per cent.
    assert sandwich == pytest.approx(plain, rel=0.15)


def test_weights_of_two_double_the_variance():
    ratio = _ratios(2)
    ones = np.ones(len(ratio))
    found = fit_fractions(ratio, ones[None], np.full((1, 2), 0.5)).fractions[0]
    once = information(ratio, ones, ones, found, 1)[1]
    twice = information(ratio, 2.0 * ones, 4.0 * ones, found, 1)[1]
    assert twice == pytest.approx(once, rel=1e-12)


@pytest.fixture(scope="module")
def study():
    return make_gaussian_study(
        n_simulations=3, n_events=2000, n_signal=600, n_background=1400, random_state=4
    )


def _em(study, **choices):
    em = LabelShiftEM("logistic", random_state=0, **choices)
    return em.fit(study.X, study.y, simulation=study.simulation)


def test_posteriors_of_the_classifier_give_the_textbook_answer(study):
    """Without calibration the ratios are posterior odds, and SLD is done by hand."""
    classifier = LogisticRegression()
    em = LabelShiftEM(classifier, calibration=None, random_state=0)
    em.fit(study.X, study.y)
    log_ratio = em.components_.ratio_.predict_log_ratio(study.X_target)
    prior = np.array([0.5, 0.5])
    posterior = np.exp(log_ratio) * prior
    posterior /= posterior.sum(axis=1, keepdims=True)
    fractions = prior
    for _ in range(20_000):
        joint = posterior * fractions / prior
        fractions = (joint / joint.sum(axis=1, keepdims=True)).mean(axis=0)
    assert em.predict(study.X_target)[0] == pytest.approx(fractions[1], abs=1e-6)


def test_intervals_of_a_large_target_agree(study):
    """A bootstrap of 400 knows an error to 1 / sqrt(800); 5 sigmas of that."""
    answers = {
        interval: _em(study, interval=interval, n_bootstrap=400).infer(
            study.X_target, levels=[0.683]
        )
        for interval in ("likelihood", "wald", "bootstrap")
    }
    width = {name: np.ptp(a.interval[0, :, 0]) for name, a in answers.items()}
    assert width["likelihood"] == pytest.approx(width["wald"], rel=0.03)
    assert answers["bootstrap"].std[0] == pytest.approx(
        answers["wald"].std[0], rel=5.0 / np.sqrt(800)
    )
    assert width["bootstrap"] == pytest.approx(width["wald"], rel=0.3)
    for answer in answers.values():
        assert answer.kappa == answers["wald"].kappa
        assert answer.profile.log_density.max() <= 1e-9


def test_no_signal_keeps_the_interval_inside(study):
    background = study.X_target[study.y_target == 0][:200]
    result = _em(study).infer(background, levels=[0.683, 0.954])
    assert result.interval.min() >= 0.0
    assert result.interval[0, 1, 1] > result.kappa[0]


def test_negative_weights_are_refused(study):
    em = _em(study)
    weight = np.where(np.arange(len(study.X_target)) % 10 == 0, -1.0, 1.0)
    with pytest.raises(InvalidInputError, match="shares out every event"):
        em.predict(study.X_target, sample_weight=weight)


def test_histograms_are_refused(study):
    hist = pytest.importorskip("hist")
    filled = hist.Hist(hist.axis.Regular(5, -2, 2)).fill(study.X[:, 0])
    with pytest.raises(ValueError, match="histograms"):
        LabelShiftEM("logistic").fit([filled, filled], [0, 1])


def test_few_replicas_do_not_narrow_an_interval():
    """(B + 1) rule: with B = 19 the 90 % interval is the whole range."""
    draws = np.random.default_rng(0).normal(size=19)
    ends = bootstrap_interval(draws, np.array([0.9]))[:, 0]
    np.testing.assert_allclose(ends, [draws.min(), draws.max()])
    with pytest.raises(InvalidInputError, match="n_bootstrap must be at least 39"):
        bootstrap_interval(draws, np.array([0.95]))


def test_three_classes(study):
    rng = np.random.default_rng(0)
    labels = np.where(study.y == 1, 2, rng.integers(0, 2, len(study.y)))
    shifted = study.X + 1.0 * (labels == 1)[:, None]
    em = LabelShiftEM("logistic", random_state=0).fit(shifted, labels)
    result = em.infer(study.X_target)
    assert result.fractions.shape == (1, 3)
    np.testing.assert_allclose(result.fractions.sum(axis=1), 1.0, rtol=1e-12)
    assert result.interval[0, 0, 0] < result.kappa[0] < result.interval[0, 1, 0]


def test_the_bootstrap_does_not_collapse_at_the_boundary():
    """All replicas end at zero there: the ends are those of the likelihood."""
    rng = np.random.default_rng(1)
    y = np.tile([0, 1], 3000)
    X = rng.normal(2.0 * y)[:, None]
    target = rng.normal(-0.3, 1.0, (300, 1))
    results = [
        LabelShiftEM("logistic", interval=interval, random_state=0)
        .fit(X, y)
        .infer(target)
        for interval in ("bootstrap", "likelihood")
    ]
    assert results[0].kappa[0] < 1e-6
    assert results[0].std[0] > 1e-3
    np.testing.assert_allclose(results[0].interval, results[1].interval)
    assert (results[0].interval[0, 1] > 1e-3).all()
    assert results[0].diagnostics["at_boundary"][0]
