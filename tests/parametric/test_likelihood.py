"""The likelihood against the exact toy, Gaussian limits and closed forms.

Poster toy: p(z | theta) = [N(0, 1) + theta^2 N(3, 0.1)] / (1 + theta^2), smeared by
0.7: D = 1 + theta^2 g(x), S = 1 + theta^2, in x exactly.
"""

import numpy as np
import pytest
from scipy import stats
from sklearn.base import clone

from sktamm.coverage import coverage_study
from sktamm.exceptions import InvalidInputError, RatioWarning
from sktamm.parametric import LogNormalNuisance, PolynomialRatio, UnbinnedLikelihood
from sktamm.parametric._monomials import count_derivatives
from sktamm.parametric._polynomial import parameters_of

BACKGROUND = stats.norm(0, np.sqrt(1.49))
SIGNAL = stats.norm(3, np.sqrt(0.5))


def excess(x):
    return SIGNAL.pdf(x) / BACKGROUND.pdf(x)


def toy_derivatives(X):
    return np.column_stack([np.zeros(len(X)), 2.0 * excess(np.asarray(X)[:, 0])])


def toy_sample(theta, size, rng):
    signal = rng.random(size) < theta**2 / (1 + theta**2)
    background = BACKGROUND.rvs(size, random_state=rng)
    x = np.where(signal, SIGNAL.rvs(size, random_state=rng), background)
    return x[:, None]


def toy_ratio():
    ratio = PolynomialRatio(toy_derivatives, mean_derivatives=[0.0, 2.0])
    return ratio.fit(np.zeros((1, 1)))


class BlackBox:
    """The same ratio without its polynomial."""

    def __init__(self, ratio):
        self._ratio = ratio
        self.theta_ref, self.n_parameters_ = ratio.theta_ref, ratio.n_parameters_

    def log_ratio(self, X, theta):
        return self._ratio.log_ratio(X, theta)

    def cross_section_ratio(self, theta):
        return self._ratio.cross_section_ratio(theta)


@pytest.fixture(scope="module")
def grid():
    """Points of a quadrature under theta = 0."""
    x = np.linspace(-12, 12, 4801)
    return x[:, None], BACKGROUND.pdf(x)


# ----------------------------------------------------------------------- the exact toy
def test_published_ratios():
    expected = [0.000213, 0.044225, 2.430856, 35.378202, 136.331466, 139.104214]
    np.testing.assert_allclose(excess(np.arange(6)), expected, atol=5e-7)


def test_expected_likelihood_ratios(grid):
    X, weight = grid
    weight = weight / weight.sum()
    likelihood = UnbinnedLikelihood(toy_ratio(), 1.0, include_rate=False)
    likelihood.fit_asimov(X, sample_weight=weight)
    values = likelihood.nll([[0.25], [0.5], [1.0]])
    np.testing.assert_allclose(values, [0.051037, 0.275790, 1.029157], atol=1e-6)
    # The cross section is twice that at the reference: two events are expected.
    values = likelihood.fit_asimov(X, [1.0], sample_weight=weight).nll([[0.5], [1.0]])
    np.testing.assert_allclose(0.5 * values, [-1.800188, -2.150277], atol=1e-6)


@pytest.mark.parametrize(
    ("n_events", "end"), [(100, 0.22522), (1000, 0.10566), (10_000, 0.05504)]
)
@pytest.mark.parametrize("wrap", [lambda ratio: ratio, BlackBox])
def test_asimov_limits(grid, n_events, end, wrap):
    X, weight = grid
    likelihood = UnbinnedLikelihood(wrap(toy_ratio()), n_events, include_rate=False)
    likelihood.fit_asimov(X, sample_weight=weight)
    interval = likelihood.interval(0, 0.95)
    assert interval.upper == pytest.approx(end, abs=1e-5)
    assert interval.lower == pytest.approx(-end, abs=1e-5)
    assert likelihood.best_fit().theta[0] == pytest.approx(0.0, abs=1e-4)


def test_both_signs_are_found_and_a_bound_keeps_one(grid):
    X, weight = grid
    likelihood = UnbinnedLikelihood(toy_ratio(), 1000, include_rate=False)
    interval = likelihood.fit_asimov(X, [0.5], sample_weight=weight).interval(0, 0.95)
    assert interval.segments.shape == (2, 2)
    np.testing.assert_allclose(
        interval.segments[0], -interval.segments[1][::-1], rtol=1e-5
    )
    fit = likelihood.best_fit()
    assert abs(fit.theta[0]) == pytest.approx(0.5, abs=1e-5)
    assert fit.minima.min() == pytest.approx(-0.5, abs=1e-5)
    likelihood.set_params(bounds=[(0, None)]).fit_asimov(X, [0.5], sample_weight=weight)
    bounded = likelihood.interval(0, 0.95)
    assert bounded.segments.shape == (1, 2)
    np.testing.assert_allclose(bounded.segments, interval.segments[1:], rtol=1e-6)
    std = likelihood.best_fit().std[0]
    assert 0.5 * (bounded.upper - bounded.lower) == pytest.approx(1.96 * std, rel=0.02)


def test_rate_narrows_the_limit(grid):
    X, weight = grid
    ends = [
        UnbinnedLikelihood(toy_ratio(), 1000, include_rate=rate)
        .fit_asimov(X, sample_weight=weight)
        .interval(0, 0.95)
        .upper
        for rate in (True, False)
    ]
    assert ends[0] < ends[1]
    # Extended likelihood at theta: 2 n [theta^2 - E ln(1 + theta^2 g)].
    x, share = X[:, 0], weight / weight.sum()
    mean_log = share @ np.log1p(ends[0] ** 2 * excess(x))
    assert 2000 * (ends[0] ** 2 - mean_log) == pytest.approx(3.8415, abs=1e-3)


def test_at_the_boundary_the_bounded_interval_starts_there(grid):
    X, weight = grid
    likelihood = UnbinnedLikelihood(
        toy_ratio(), 1000, include_rate=False, bounds=[(0.0, 2.0)]
    )
    likelihood.fit_asimov(X, sample_weight=weight)
    interval = likelihood.interval(0, 0.95)
    assert interval.lower == 0.0
    assert interval.upper == pytest.approx(0.10566, abs=1e-5)
    assert likelihood.best_fit().at_bound[0]


def test_coverage_with_the_exact_ratio():
    likelihood = UnbinnedLikelihood(toy_ratio(), include_rate=False, bounds=[(0, 5)])
    study = coverage_study(
        likelihood,
        toy_sample,
        kappas=[0.6],
        sizes=200,
        n_datasets=200,
        levels=(0.683, 0.954),
    )
    row = study.table(by=()).iloc[0]
    # Five sigma of a binomial of 200: one false alarm in a million.
    for level in (0.683, 0.954):
        error = np.sqrt(level * (1 - level) / 200)
        assert abs(row[f"coverage_{level}"] - level) < 5 * error
    assert row.n_failed == 0
    assert abs(row.pull_mean) < 5 * 1.2 / np.sqrt(200)
    assert row.pull_std == pytest.approx(1.0, abs=5 * 1.2 / np.sqrt(400))


def test_predict_answers_like_fit():
    rng = np.random.default_rng(3)
    X = toy_sample(0.7, 300, rng)
    likelihood = UnbinnedLikelihood(toy_ratio(), include_rate=False, bounds=[(0, 5)])
    dataset = np.repeat([4, 2, 9], 100)
    theta, std, interval = likelihood.predict(
        X, dataset=dataset, return_std=True, return_interval=0.9
    )
    assert theta.shape == std.shape == (3,)
    assert interval.shape == (3, 2)
    one = likelihood.fit(X[dataset == 2])
    assert one.best_fit().theta[0] == pytest.approx(theta[0], rel=1e-5)
    assert one.interval(0, 0.9).upper == pytest.approx(interval[0, 1], rel=1e-6)
    counts = np.zeros((300, 2))
    counts[:100, 0] = 1
    counts[100:200, 1] = 1
    again, ends = likelihood.predict(X, dataset=counts, return_interval=[0.5, 0.9])
    np.testing.assert_allclose(again, theta[[1, 0]], rtol=1e-6)
    assert ends.shape == (2, 2, 2)
    assert likelihood.predict(X).shape == (1,)


# ------------------------------------------------------------------ two and three theta
def quadratic_family(n_events=4000, n_parameters=2, seed=0):
    """Positive D from squared random amplitudes."""
    rng = np.random.default_rng(seed)
    amplitude = rng.normal(size=(n_events, n_parameters, 3)) * 0.5
    amplitude += 0.3 * rng.normal(size=(1, n_parameters, 3))
    constant = np.array([1.0, 0.0, 0.0])
    i, j = np.triu_indices(n_parameters)
    first = 2 * amplitude @ constant
    second = 2 * (amplitude[:, i] * amplitude[:, j]).sum(axis=2)
    return np.hstack([first, second])


@pytest.fixture(scope="module")
def family():
    y = quadratic_family()
    return y, PolynomialRatio(theta_ref=[0.1, -0.2]).fit(y)


def nuisances():
    return [
        LogNormalNuisance(
            up=lambda X: 0.1 * X[:, 0], down=lambda X: -0.05 * X[:, 0], rate_up=1.1
        ),
        LogNormalNuisance(rate_up=1.05, rate_down=0.97, name="luminosity"),
    ]


@pytest.mark.parametrize("rate", [True, False])
@pytest.mark.parametrize("wrap", [lambda ratio: ratio, BlackBox])
def test_gradients_equal_numerical_ones(family, rate, wrap):
    y, ratio = family
    rng = np.random.default_rng(1)
    likelihood = UnbinnedLikelihood(
        wrap(ratio), 250.0, rate, nuisances(), reference=y[300:400]
    )
    likelihood.fit(y[:300], sample_weight=rng.normal(1.0, 0.5, 300))
    theta, nu = np.array([0.25, -0.1]), np.array([0.5, -1.0])
    gradient = likelihood.nll_gradient(theta, nu)
    eps = 1e-5
    for k, step in enumerate(eps * np.eye(4)):
        up = likelihood.nll(theta + step[:2], nu + step[2:])
        down = likelihood.nll(theta - step[:2], nu - step[2:])
        # Differences of the black box are good to its step squared.
        tolerance = 1e-5 if wrap is not BlackBox else 2e-2
        assert gradient[k] == pytest.approx((up - down) / (2 * eps), abs=tolerance)


def test_asimov_is_minimal_at_the_truth(family):
    y, ratio = family
    likelihood = UnbinnedLikelihood(ratio, 500.0).fit_asimov(y, [0.3, 0.1])
    fit = likelihood.best_fit()
    np.testing.assert_allclose(fit.theta, [0.3, 0.1], atol=1e-5)
    assert fit.converged
    assert fit.n_non_positive == 0
    assert likelihood.n_events_ == pytest.approx(
        500 * ratio.cross_section_ratio([0.3, 0.1])
    )


@pytest.mark.parametrize("rate", [True, False])
def test_information_is_the_curvature_of_asimov_data(family, rate):
    y, ratio = family
    theta = np.array([0.3, 0.1])
    likelihood = UnbinnedLikelihood(ratio, 500.0, rate, nuisances(), reference=y)
    information = likelihood.fisher_information(y, theta)
    covariance = likelihood.fit_asimov(y, theta).best_fit().covariance
    np.testing.assert_allclose(information.covariance(), covariance, rtol=2e-4)
    profiled = information.profiled([0, 1]).covariance()
    np.testing.assert_allclose(profiled, covariance[:2, :2], rtol=2e-4)
    known = information.projected([0]).covariance()[0, 0]
    assert known < covariance[0, 0]
    assert information.profiled([1]).theta.tolist() == [0.1]
    with pytest.raises(InvalidInputError, match="keep must"):
        information.profiled([4])


def gaussian_family(n_events, seed=2):
    """Linear D with small coefficients, whose likelihood is nearly normal."""
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(n_events, 3)) @ np.array(
        [[1, 0.5, 0.0], [0, 1, 0.3], [0, 0, 1]]
    )
    return np.hstack([1e-3 * first, np.zeros((n_events, 6))])


@pytest.mark.parametrize("others", ["profile", "fix"])
def test_ellipse_equals_contour_for_a_gaussian_likelihood(others):
    y = gaussian_family(2000)
    ratio = PolynomialRatio().fit(y)
    # n E[R^2] = 1e6: standard errors of 1, where |D - 1| is below a percent.
    likelihood = UnbinnedLikelihood(ratio, 1e6).fit_asimov(y)
    ellipse = likelihood.confidence_ellipse(0, 1, 0.95, others, n_points=16)
    contour = likelihood.contour(0, 1, 0.95, others, n_points=16)
    np.testing.assert_allclose(contour.points, ellipse.points, atol=0.02)
    assert contour.area == pytest.approx(ellipse.area, rel=0.01)
    cov = likelihood.best_fit().covariance
    expected = cov[:2, :2]
    if others == "fix":
        expected = np.linalg.inv(np.linalg.inv(cov)[:2, :2])
    np.testing.assert_allclose(ellipse.covariance, expected, rtol=1e-9)
    moments = 1e6 * y[:, :3].T @ y[:, :3] / len(y)
    np.testing.assert_allclose(np.linalg.inv(cov), moments, atol=1e-3)
    interval = likelihood.interval(0, 0.683, others)
    unit = np.sqrt(cov[0, 0] if others == "profile" else 1 / np.linalg.inv(cov)[0, 0])
    assert interval.upper - interval.lower == pytest.approx(2 * unit, rel=0.01)


def test_contour_is_where_the_profile_says(family):
    y, ratio = family
    likelihood = UnbinnedLikelihood(ratio, 100.0).fit_asimov(y)
    contour = likelihood.contour(0, 1, 0.683, n_points=12)
    best = likelihood.best_fit().nll
    delta = likelihood.nll(contour.points) - best
    np.testing.assert_allclose(delta, stats.chi2.ppf(0.683, 2), atol=1e-5)
    x, y_values = contour.points[:, 0], contour.points[:, 1]
    surface = likelihood.surface(0, 1, (x[:3], y_values[:2]))
    assert surface[1, 1] == pytest.approx(stats.chi2.ppf(0.683, 2), abs=1e-5)
    assert surface[2, 0] == pytest.approx(
        likelihood.nll([x[2], y_values[0]]) - best, abs=1e-5
    )


def test_profile_is_below_fixed_and_zero_at_the_best_fit(family):
    y, ratio = family
    likelihood = UnbinnedLikelihood(ratio, 100.0).fit_asimov(y)
    values = np.linspace(-0.5, 0.5, 7)
    profile = likelihood.profile(0, values)
    fixed = likelihood.profile(0, values, "fix")
    assert (profile.delta <= fixed.delta + 1e-9).all()
    here = likelihood.profile(0, likelihood.best_fit().theta[0])
    assert here.delta[0] == pytest.approx(0.0, abs=1e-7)
    wider = likelihood.interval(0, 0.683)
    narrower = likelihood.interval(0, 0.683, "fix")
    assert wider.upper - wider.lower >= narrower.upper - narrower.lower - 1e-9


# --------------------------------------------------------------------------- nuisances
def test_a_rate_nuisance_widens_as_a_normal_error():
    # Rate alone: S = 1 + theta; n theta has the variance n + (n s)^2.
    ratio = PolynomialRatio().fit(np.array([[1.0, 0.0]]))
    n_events, shift = 1e6, 0.002
    nuisance = LogNormalNuisance(rate_up=1 + shift)
    likelihood = UnbinnedLikelihood(ratio, n_events, nuisances=[nuisance])
    likelihood.fit_asimov(np.array([[1.0, 0.0]]))
    std = likelihood.best_fit().std[0]
    assert std == pytest.approx(np.sqrt(1 / n_events + shift**2), rel=0.01)


def test_a_shape_nuisance_that_is_known_exactly():
    # x ~ N(s nu, 1): ln p(x | nu) = s nu x - s^2 nu^2 / 2, quadratic in nu.
    shift, n_events = 0.3, 200
    x = np.random.default_rng(0).normal(0.2, 1.0, n_events)
    nuisance = LogNormalNuisance(
        up=lambda X: shift * X[:, 0] - shift**2 / 2,
        down=lambda X: -shift * X[:, 0] - shift**2 / 2,
    )
    ratio = PolynomialRatio(
        lambda X: np.zeros((len(X), 2)), mean_derivatives=[0.0, 0.0]
    ).fit(x[:, None])
    grid = np.linspace(-9, 9, 601)
    likelihood = UnbinnedLikelihood(
        ratio,
        None,
        False,
        [nuisance],
        reference=grid[:, None],
        reference_weight=stats.norm.pdf(grid),
    )
    likelihood.fit(x[:, None])
    expected = shift * x.sum() / (1 + n_events * shift**2)
    assert likelihood.best_fit().nuisance[0] == pytest.approx(expected, rel=1e-5)
    exact = -2 * (stats.norm.logpdf(x, shift * 0.7) - stats.norm.logpdf(x)).sum()
    assert likelihood.nll([0.0], [0.7]) == pytest.approx(exact + 0.7**2)


def test_shape_nuisances_need_a_reference(family):
    y, ratio = family
    with pytest.raises(InvalidInputError, match="reference must"):
        UnbinnedLikelihood(ratio, 1.0, nuisances=nuisances()).fit(y)


def test_nuisances_are_checked():
    X = np.zeros((3, 2))
    ratio = PolynomialRatio().fit(X)
    for nuisance, match in (
        (LogNormalNuisance(down=len), "up of"),
        (LogNormalNuisance(up=lambda X: np.zeros(2)), "shifts of"),
        (LogNormalNuisance(rate_up=0.0), "rate_up of"),
        (LogNormalNuisance(rate_down=-1.0), "rate_down of"),
    ):
        with pytest.raises(InvalidInputError, match=match):
            UnbinnedLikelihood(ratio, 1.0, nuisances=[nuisance], reference=X).fit(X)


# ----------------------------------------------------------------- trouble and refusals
def test_events_of_negative_density_are_counted_and_stay():
    y = np.column_stack([np.linspace(-1.2, 1, 200), np.zeros(200)])
    ratio = PolynomialRatio(mean_derivatives=[0.0, 0.0]).fit(y)
    likelihood = UnbinnedLikelihood(ratio, include_rate=False, bounds=[(1.0, 2.0)])
    likelihood.fit(y)
    assert likelihood.best_fit().n_non_positive == int((y[:, 0] <= -1).sum())
    assert np.isfinite(likelihood.nll([[1.0], [1.5]])).all()
    fraction = ratio.non_positive_fraction(y, [1.0])
    assert fraction == pytest.approx((y[:, 0] <= -1).mean())
    with pytest.warns(RatioWarning, match="not positive for"):
        log_ratio = ratio.log_ratio(y, [1.0])
    assert np.isnan(log_ratio).mean() == pytest.approx(fraction)


def test_a_flat_likelihood_ends_nowhere():
    y = np.zeros((5, 2))
    likelihood = UnbinnedLikelihood(PolynomialRatio().fit(y), include_rate=False).fit(y)
    interval = likelihood.interval(0, 0.95)
    assert (interval.lower, interval.upper) == (-np.inf, np.inf)
    assert np.isnan(likelihood.best_fit().std[0])


def test_refusals(family):
    y, ratio = family
    with pytest.raises(InvalidInputError, match="expected_events must"):
        UnbinnedLikelihood(ratio).fit(y)
    with pytest.raises(InvalidInputError, match="has no 'log_ratio'"):
        UnbinnedLikelihood(object(), 1.0).fit(y)
    with pytest.raises(InvalidInputError, match="bounds must hold one pair"):
        UnbinnedLikelihood(ratio, 1.0, bounds=[(0, 1)]).fit(y)
    with pytest.raises(InvalidInputError, match="bounds must hold a lower"):
        UnbinnedLikelihood(ratio, 1.0, bounds=[(0, 1), (1, 0)]).fit(y)
    likelihood = UnbinnedLikelihood(ratio, 10.0).fit(y[:10])
    with pytest.raises(InvalidInputError, match="parameters must be different"):
        likelihood.contour(0, 0)
    with pytest.raises(InvalidInputError, match="parameters must be different"):
        likelihood.interval(2)
    with pytest.raises(InvalidInputError, match="level must"):
        likelihood.interval(0, 95)
    with pytest.raises(InvalidInputError, match="others must"):
        likelihood.interval(0, 0.95, "marginal")
    with pytest.raises(InvalidInputError, match="one point"):
        likelihood.fit_asimov(y, [[0.0, 0.0]])


def test_polynomial_ratio_is_checked():
    with pytest.raises(InvalidInputError, match="2, 5, 9"):
        PolynomialRatio().fit(np.zeros((3, 3)))
    with pytest.raises(InvalidInputError, match="mean_derivatives must"):
        PolynomialRatio(mean_derivatives=[0.0]).fit(np.zeros((3, 2)))
    with pytest.raises(InvalidInputError, match="finite derivatives"):
        PolynomialRatio().fit([[np.nan, 0.0]])
    assert [parameters_of(count_derivatives(p)) for p in (1, 2, 3, 7)] == [1, 2, 3, 7]


# ----------------------------------------------- coverage with a rate and nuisances
def straight(X):
    """D = 1 + theta x for x in [-1, 1], with S = 1 + theta / 4 by other cuts."""
    return np.column_stack([0.25 + X[:, 0], np.zeros(len(X))])


def straight_sample(theta, rng, expected, rate):
    """Poisson events of the density 1 + theta (1/4 + x), and a rate that has moved."""
    size = rng.poisson(expected * (1 + 0.25 * theta) * rate)
    accepted = np.empty(0)
    while accepted.size < size:
        x = rng.uniform(-1, 1, 4 * size)
        keep = rng.random(x.size) * (1 + 1.25 * theta) < 1 + theta * (0.25 + x)
        accepted = np.append(accepted, x[keep])
    return accepted[:size, None]


@pytest.mark.parametrize(
    "nuisance", [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_coverage_with_a_rate_and_a_nuisance(nuisance):
    """The nuisance is drawn from its constraint for every dataset.

    200 datasets, five sigma of a binomial: a false alarm in two million.
    """
    rng = np.random.default_rng(11)
    ratio = PolynomialRatio(straight, mean_derivatives=[0.25, 0.0])
    ratio.fit(np.zeros((1, 1)))
    nuisances = [LogNormalNuisance(rate_up=1.1)] if nuisance else None
    likelihood = UnbinnedLikelihood(ratio, 300.0, nuisances=nuisances)
    theta, level, covered, widths = 0.3, 0.683, 0, []
    for _ in range(200):
        moved = 1.1 ** rng.normal() if nuisance else 1.0
        X = straight_sample(theta, rng, 300.0, moved)
        interval = likelihood.fit(X).interval(0, level)
        covered += interval.lower <= theta <= interval.upper
        widths.append(interval.upper - interval.lower)
    error = np.sqrt(level * (1 - level) / 200)
    assert abs(covered / 200 - level) < 5 * error
    # Rate: 0.25 theta +- sqrt(1 / 300 (+ .1^2)); shape: sqrt(3 / 300) or so.
    assert 0.5 * np.mean(widths) == pytest.approx(0.105 if nuisance else 0.1, rel=0.25)


def test_a_clone_keeps_the_fitted_ratio_and_drops_the_data():
    likelihood = UnbinnedLikelihood(toy_ratio(), include_rate=False, bounds=[(0, 5)])
    likelihood.fit(np.zeros((3, 1)))
    copy = clone(likelihood)
    assert copy.ratio_estimator is likelihood.ratio_estimator
    assert copy.bounds == likelihood.bounds
    assert not hasattr(copy, "n_events_")
