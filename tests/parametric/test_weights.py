"""Weights of events: their effective number, and the errors of the sandwich.

Maximum likelihood of weighted events solves sum w s = 0, which scatters by sum w^2 s s'
(Huber 1967): for the mean of normal events of unit width the estimate is the weighted
mean, with the variance sum w^2 (x - mean)^2 / (sum w)^2.
"""

import numpy as np
import pytest
from scipy import optimize, stats

from sktamm.exceptions import InvalidInputError
from sktamm.parametric import LogNormalNuisance, PolynomialRatio, UnbinnedLikelihood

BACKGROUND = stats.norm(0, np.sqrt(1.49))
SIGNAL = stats.norm(3, np.sqrt(0.5))


class Mean:
    """Ratio of normal densities of unit width and mean theta to that of mean zero."""

    def __init__(self, n_parameters=1):
        self.n_parameters_ = n_parameters
        self.theta_ref = np.zeros(n_parameters)

    def log_ratio(self, X, theta):
        points = np.atleast_2d(theta)
        log_ratio = np.asarray(X) @ points.T - 0.5 * (points**2).sum(axis=1)
        return log_ratio if np.ndim(theta) > 1 else log_ratio[:, 0]

    def cross_section_ratio(self, theta):
        return np.ones(len(np.atleast_2d(theta)))


def toy_ratio():
    """The toy of arXiv:2410.07315: D = 1 + theta^2 g, exact."""

    def derivatives(X):
        x = np.asarray(X)[:, 0]
        return np.column_stack(
            [np.zeros(len(x)), 2 * SIGNAL.pdf(x) / BACKGROUND.pdf(x)]
        )

    return PolynomialRatio(derivatives, mean_derivatives=[0.0, 2.0]).fit([[0.0]])


def toy_sample(theta, size, rng):
    signal = rng.random(size) < theta**2 / (1 + theta**2)
    x = BACKGROUND.rvs(size, random_state=rng)
    return np.where(signal, SIGNAL.rvs(size, random_state=rng), x)[:, None]


def prescaled(X, chosen, rng):
    """Of the chosen events one in nine is kept, with a weight of nine."""
    keep = ~chosen | (rng.random(len(X)) < 1 / 9)
    return X[keep], np.where(chosen, 9.0, 1.0)[keep]


def weighted_pairs(n_events=1000, seed=0):
    """Events of two features, their weights larger along the diagonal."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_events, 2))
    return prescaled(X, np.abs(X.sum(axis=1)) > 1.5, rng)


def sandwich_of_means(X, weight):
    """Weighted means and their covariance, for densities of unit width."""
    mean = np.average(X, axis=0, weights=weight)
    score = X - mean
    return mean, (weight**2 * score.T) @ score / weight.sum() ** 2


# --------------------------------------------------------------------- what changes not
def everything(fit):
    """All numbers that a likelihood of two parameters answers with."""
    best = fit.best_fit()
    return {
        "theta": best.theta,
        "nuisance": best.nuisance,
        "nll": best.nll,
        "covariance": best.covariance,
        "interval": fit.interval(0, 0.9).segments,
        "fixed": fit.interval(1, 0.683, "fix").segments,
        "profile": fit.profile(1, [-0.1, 0.2]).delta,
        "surface": fit.surface(0, 1, ([0.0, 0.1], [-0.1, 0.2])),
        "ellipse": fit.confidence_ellipse(0, 1, 0.9, n_points=8).points,
        "fixed ellipse": fit.confidence_ellipse(0, 1, 0.9, "fix", 8).points,
        "contour": fit.contour(0, 1, 0.9, n_points=8).points,
    }


def test_events_of_weight_one_have_the_numbers_of_no_weights():
    X, _ = weighted_pairs()
    fit = UnbinnedLikelihood(Mean(2), include_rate=False)
    plain = everything(fit.fit(X))
    same = everything(fit.fit(X, sample_weight=np.ones(len(X))))
    for name, value in plain.items():
        np.testing.assert_array_equal(same[name], value)
    # 2 / H and the interval of a parabola, as for events that are counted.
    np.testing.assert_allclose(plain["covariance"], np.eye(2) / len(X), atol=1e-9)


@pytest.mark.parametrize("factor", [1e-3, 4.0])
def test_a_common_factor_of_all_weights_changes_nothing(factor):
    X, weight = weighted_pairs(300)
    up = LogNormalNuisance(up=lambda X: 0.2 * np.asarray(X)[:, 1])
    fit = UnbinnedLikelihood(Mean(2), None, False, [up], reference=X)
    for start in (np.ones(len(X)), weight):
        first = everything(fit.fit(X, sample_weight=start))
        again = everything(fit.fit(X, sample_weight=factor * start))
        for name, value in first.items():
            np.testing.assert_allclose(
                again[name], value, rtol=1e-5, atol=1e-6, err_msg=name
            )


def test_an_event_counted_thrice_is_three_events():
    X, weight = weighted_pairs(60)
    n_times = np.arange(len(X)) % 4
    fit = UnbinnedLikelihood(Mean(2), include_rate=False)
    asked = {"return_std": True, "return_interval": 0.9}
    counted = fit.predict(X, dataset=n_times[:, None], sample_weight=weight, **asked)
    rows = np.repeat(np.arange(len(X)), n_times)
    repeated = fit.predict(X[rows], sample_weight=weight[rows], **asked)
    for one, other in zip(counted, repeated, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


# ------------------------------------------------------------------------- closed forms
def test_errors_are_those_of_the_sandwich():
    X, weight = weighted_pairs()
    mean, expected = sandwich_of_means(X, weight)
    fit = UnbinnedLikelihood(Mean(2), include_rate=False)
    best = fit.fit(X, sample_weight=weight).best_fit()
    np.testing.assert_allclose(best.theta, mean, atol=1e-6)
    np.testing.assert_allclose(best.std**2, np.diag(expected), rtol=0.1)
    np.testing.assert_allclose(best.covariance, expected, atol=0.1 * expected.max())
    # Which an effective number of events alone does not know.
    kish = (weight**2).sum() / weight.sum() ** 2
    assert best.covariance[0, 0] > 1.3 * kish
    assert best.covariance[0, 1] > 0.3 * kish


@pytest.mark.parametrize("others", ["profile", "fix"])
def test_regions_are_those_of_the_sandwich(others):
    X, weight = weighted_pairs()
    fit = UnbinnedLikelihood(Mean(2), include_rate=False)
    fit.fit(X, sample_weight=weight)
    # Second derivatives are diagonal: whether the other is known does not matter.
    _, expected = sandwich_of_means(X, weight)
    covariance = fit.confidence_ellipse(0, 1, 0.9, others).covariance
    np.testing.assert_allclose(covariance, expected, atol=0.1 * expected.max())
    ellipse = fit.confidence_ellipse(0, 1, 0.9, others, n_points=16)
    contour = fit.contour(0, 1, 0.9, others, n_points=16)
    # The ratio is a parabola: only the scores' information differs from the model's.
    size = np.abs(ellipse.points - ellipse.centre).max()
    np.testing.assert_allclose(contour.points, ellipse.points, atol=0.06 * size)
    on_it = [fit.surface(0, 1, ([p[0]], [p[1]]), others)[0, 0] for p in contour.points]
    np.testing.assert_allclose(on_it, stats.chi2.ppf(0.9, 2), rtol=1e-5)
    interval = fit.interval(0, 0.683, others)
    ends = fit.profile(0, [interval.lower, interval.upper], others).delta
    np.testing.assert_allclose(ends, 1.0, atol=0.01)
    half = 0.5 * (interval.upper - interval.lower)
    assert half == pytest.approx(np.sqrt(expected[0, 0]), rel=0.06)


def test_the_rate_is_the_sum_of_weights_with_its_variance():
    # D = S = 1 + theta: theta = sum w / n - 1 with the variance sum w^2 / n^2.
    ratio = PolynomialRatio(mean_derivatives=[1.0, 0.0]).fit([[1.0, 0.0]])
    weight = np.random.default_rng(0).choice([0.5, 3.0], 400)
    y = np.tile([1.0, 0.0], (400, 1))
    n_events, total = 600.0, weight.sum()
    fit = UnbinnedLikelihood(ratio, n_events).fit(y, sample_weight=weight)
    best = fit.best_fit()
    assert fit.n_events_ == total
    assert best.theta[0] == pytest.approx(total / n_events - 1, abs=1e-6)
    std = np.sqrt((weight**2).sum()) / n_events
    assert best.std[0] == pytest.approx(std, rel=1e-3)
    interval = fit.interval(0, 0.683)
    assert interval.upper - interval.lower == pytest.approx(2 * std, rel=0.01)
    nuisance = LogNormalNuisance(rate_up=1.002)
    fit = UnbinnedLikelihood(ratio, n_events, nuisances=[nuisance])
    best = fit.fit(y, sample_weight=weight).best_fit()
    std = np.hypot(std, 0.002 * total / n_events)
    assert best.std[0] == pytest.approx(std, rel=1e-3)


def test_at_a_vanishing_derivative_weights_count_where_they_matter():
    # Expected data of theta = 0, where d ln D / d theta is zero for all events; those
    # of the signal region have a weight of nine.
    x = np.linspace(-8, 8, 1601)
    n = 2000 * BACKGROUND.pdf(x) * (x[1] - x[0])
    g = SIGNAL.pdf(x) / BACKGROUND.pdf(x)
    weight = np.where(x > 1.5, 9.0, 1.0)
    fit = UnbinnedLikelihood(toy_ratio(), include_rate=False)
    objective = fit._objective(x[:, None])
    fit._take(objective.take(np.arange(x.size), n, n * weight))

    def excess(mu):
        log_ratio = np.log1p(mu * g) - np.log1p(mu)
        ratio = (n * weight) @ log_ratio**2 / (n @ log_ratio**2)
        return -2 * n @ log_ratio / ratio - stats.chi2.ppf(0.95, 1)

    end = np.sqrt(optimize.brentq(excess, 1e-4, 1.0))
    assert fit.interval(0, 0.95).upper == pytest.approx(end, rel=0.05)


@pytest.mark.parametrize("rate", [True, False])
def test_information_of_weighted_data_is_the_inverse_of_their_covariance(rate):
    rng = np.random.default_rng(1)
    first = rng.normal(size=(4000, 2)) @ np.array([[0.4, 0.2], [0.0, 0.3]])
    y = np.column_stack([first, np.zeros((4000, 3))])
    weight = np.where(np.abs(first[:, 0]) > 0.4, 9.0, 1.0)
    ratio = PolynomialRatio().fit(y)
    nuisance = LogNormalNuisance(rate_up=1.01) if rate else None
    fit = UnbinnedLikelihood(ratio, 5000.0, rate, [nuisance] if rate else None)
    n = np.full(4000, 5000 / 4000)
    objective = fit._objective(y).take(np.arange(4000), n, n * weight)
    best = fit._take(objective).best_fit()
    information = fit.fisher_information(y, best.theta, data_weight=weight)
    np.testing.assert_allclose(information.covariance(), best.covariance, rtol=0.03)
    plain = fit.fisher_information(y, best.theta)
    ones = fit.fisher_information(y, best.theta, data_weight=np.ones(4000))
    np.testing.assert_allclose(ones.matrix, plain.matrix)
    with pytest.raises(InvalidInputError, match="data_weight must be positive, got 0"):
        fit.fisher_information(y, data_weight=np.zeros(4000))
    with pytest.raises(InvalidInputError, match="data_weight must hold one number"):
        fit.fisher_information(y, data_weight=[1.0])


def test_weights_that_cancel_are_refused():
    fit = UnbinnedLikelihood(Mean(), include_rate=False)
    with pytest.raises(InvalidInputError, match="must not sum to zero"):
        fit.fit([[0.0], [1.0]], sample_weight=[1.0, -1.0])
    with pytest.raises(InvalidInputError, match="must not sum to zero"):
        fit.predict([[0.0], [1.0]], sample_weight=[1.0, -1.0])


# ----------------------------------------------------------------------------- coverage
N_DATASETS = 150


def check_coverage(fit, draw, truth):
    """Five sigma of a binomial at 68.3 and 95.4 %: a false alarm in a million."""
    rng, levels, covered = np.random.default_rng(2), np.array([0.683, 0.954]), 0
    for _ in range(N_DATASETS):
        X, weight = draw(rng)
        _, ends = fit.predict(X, sample_weight=weight, return_interval=levels)
        covered = covered + ((ends[0, 0] <= truth) & (truth <= ends[0, 1]))
    error = np.sqrt(levels * (1 - levels) / N_DATASETS)
    assert (np.abs(covered / N_DATASETS - levels) < 5 * error).all()


@pytest.mark.parametrize("where", ["anywhere", "far out", "inside"])
def test_coverage_of_a_mean(where):
    def draw(rng):
        X = rng.normal(0.3, 1.0, (400, 1))
        far = np.abs(X[:, 0]) > 1
        chosen = {"anywhere": rng.random(400) < 0.5, "far out": far, "inside": ~far}
        return prescaled(X, chosen[where], rng)

    check_coverage(UnbinnedLikelihood(Mean(), include_rate=False), draw, 0.3)


@pytest.mark.parametrize("rate", [True, False])
def test_coverage_of_the_toy(rate):
    theta, n_events = 0.6, 500

    def draw(rng):
        size = rng.poisson(n_events * (1 + theta**2))
        X = toy_sample(theta, size, rng)
        return prescaled(X, X[:, 0] > 1.5, rng)

    fit = UnbinnedLikelihood(toy_ratio(), n_events, rate, bounds=[(0, 5)])
    check_coverage(fit, draw, theta)


def test_coverage_with_a_background_that_is_subtracted():
    def draw(rng):
        sizes, means = rng.poisson([300, 100, 100]), (0.3, -1.0, -1.0)
        parts = [rng.normal(m, 1.0, k) for m, k in zip(means, sizes, strict=True)]
        return np.concatenate(parts)[:, None], np.repeat([1.0, 1.0, -1.0], sizes)

    check_coverage(UnbinnedLikelihood(Mean(), include_rate=False), draw, 0.3)
