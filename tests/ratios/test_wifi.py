"""The fit of the weights and of a fraction: identities, derivatives, errors, bias."""

import numpy as np
import pytest
from scipy.optimize import check_grad

from sktamm.exceptions import InvalidInputError
from sktamm.ratios import _wifi
from sktamm.ratios._fraction import (
    BlendError,
    _Likelihood,
    estimate_fraction,
    fraction_interval,
)
from sktamm.ratios._wifi import fit_joint_weights, fit_weights

N_REPEATS = 250


def terms(x):
    """Two functions that miss the exact log ratio, x, and a constant."""
    return np.column_stack([np.tanh(x), np.cos(2 * x), np.ones(x.size)])


def two_samples(rng, n=1000, m=1500):
    return terms(rng.normal(0.5, size=n)), terms(rng.normal(-0.5, size=m))


def loss(a, above, below, w, v):
    F, G = above @ a, below @ a
    return np.average(-F + np.exp(-F) - 1, weights=w) + np.average(
        G + np.exp(G) - 1, weights=v
    )


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def three_sources(rng, n=(300, 400, 500)):
    """Members for three normals against their equal mixture."""
    source = np.repeat(np.arange(3), n)
    mean = np.array([-0.5, 0.0, 0.6])
    x = rng.normal(mean[source])
    log_p = -0.5 * (x[:, None] - mean) ** 2
    exact = log_p - np.log(np.exp(log_p).mean(axis=1, keepdims=True))
    other = np.cos(2 * x)[:, None] + 0.3 * exact
    members = np.stack([1.1 * exact, other], axis=2)
    weight = 1.0 / (3 * np.array(n))[source]
    return members.astype(np.float32), source, weight


# ------------------------------------------------------------------- one log ratio
def test_gradient_and_hessian_are_derivatives_of_the_loss(rng):
    members, source, weight = three_sources(rng)
    rows = _wifi._Rows(members, True, source, 3 * weight, weight, source, 256)
    a = rng.normal(0.3, 0.3, (3, 3))
    at = _wifi._evaluate(rows, a)
    for k in range(3):
        above = np.column_stack([members[source == k, k], np.ones((source == k).sum())])
        below = np.column_stack([members[:, k], np.ones(len(source))])

        def here(b, above=above, below=below):
            return loss(b, above, below, None, weight)

        assert at.loss[k] == pytest.approx(here(a[k]))
        wrong = check_grad(here, lambda b, g=at.gradient[k]: g, a[k], epsilon=1e-6)
        assert wrong < 1e-5
        step = 1e-5 * np.eye(3)
        moved = [np.tile(a[k] + d, (3, 1)) for d in (*step, *-step)]
        slopes = [_wifi._evaluate(rows, m).gradient[k] for m in moved]
        numeric = (np.array(slopes[:3]) - slopes[3:]) / 2e-5
        np.testing.assert_allclose(at.hessian[k], numeric, atol=1e-6)


def test_the_answer_is_the_minimum(rng):
    above, below = two_samples(rng)
    w, v = rng.exponential(size=1000), rng.exponential(size=1500)
    fit = fit_weights(above, below, w, v)
    assert fit.converged
    assert fit.loss == pytest.approx(loss(fit.weights, above, below, w, v))
    for step in rng.normal(0, 1e-3, (20, 3)):
        assert loss(fit.weights + step, above, below, w, v) > fit.loss


def test_swapping_the_samples_changes_the_sign(rng):
    above, below = two_samples(rng)
    fit, swapped = fit_weights(above, below), fit_weights(below, above)
    np.testing.assert_allclose(swapped.weights, -fit.weights, atol=1e-6)
    np.testing.assert_allclose(swapped.covariance, fit.covariance, atol=1e-7)
    np.testing.assert_allclose(swapped.bias, -fit.bias, atol=1e-7)


def test_only_the_proportions_of_weights_matter(rng):
    above, below = two_samples(rng)
    fit = fit_weights(above, below)
    scaled = fit_weights(above, below, np.full(1000, 3.0), np.full(1500, 0.1))
    np.testing.assert_allclose(scaled.weights, fit.weights, atol=1e-8)
    np.testing.assert_allclose(scaled.covariance, fit.covariance, rtol=1e-6)


def test_repeating_all_events_halves_the_covariance(rng):
    above, below = two_samples(rng)
    fit = fit_weights(above, below)
    twice = fit_weights(np.tile(above, (2, 1)), np.tile(below, (2, 1)))
    np.testing.assert_allclose(twice.weights, fit.weights, atol=1e-8)
    np.testing.assert_allclose(twice.covariance, fit.covariance / 2, rtol=2e-3)


def assert_covariance(draws, predicted):
    """Variances agree within 4 sigma of the scatter of a sample variance."""
    scale = np.sqrt(np.diag(predicted))
    observed = np.cov(draws.T) / np.outer(scale, scale)
    expected = predicted / np.outer(scale, scale)
    tolerance = 4 * np.sqrt((1 + expected**2) / (len(draws) - 1))
    assert (np.abs(observed - expected) < tolerance).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_covariance_is_the_scatter_of_repeated_experiments(rng, weighted):
    fits = []
    for _ in range(N_REPEATS):
        above, below = two_samples(rng)
        weights = (None, None)
        if weighted:  # a tenth of the events count negative, the rest spread
            weights = [
                rng.exponential(size=n) * rng.choice([1, -1], n, p=[0.9, 0.1])
                for n in (1000, 1500)
            ]
        fits.append(fit_weights(above, below, *weights))
    draws = np.array([fit.weights for fit in fits])
    assert_covariance(draws, np.mean([fit.covariance for fit in fits], axis=0))


def test_bias_is_the_mean_deviation_of_small_experiments(rng):
    """The part linear in the events averages to zero and is left out of the scatter."""
    samples = two_samples(rng, 200_000, 200_000)
    limit = fit_weights(*samples).weights
    up, down = (np.exp(f @ limit) for f in samples)
    hessian = (samples[0].T / up) @ samples[0] + (samples[1].T * down) @ samples[1]
    shifts, bias = [], []
    for _ in range(300):
        above, below = two_samples(rng, 100, 100)
        fit = fit_weights(above, below)
        gradient = (1 + np.exp(below @ limit)) @ below / 100
        gradient -= (1 + np.exp(-above @ limit)) @ above / 100
        linear = -200_000 * np.linalg.solve(hessian, gradient)
        shifts.append(fit.weights - limit - linear)
        bias.append(fit.bias)
    shift, sigma = np.mean(shifts, axis=0), np.std(shifts, axis=0) / np.sqrt(300)
    assert (np.abs(shift - np.mean(bias, axis=0)) < 4 * sigma).all()
    assert (np.abs(shift) > 4 * sigma).any(), "the test has no power"


def test_coinciding_members_are_one(rng):
    above, below = two_samples(rng)
    single = fit_weights(above, below)
    double = fit_weights(above[:, [0, 0, 1, 2]], below[:, [0, 0, 1, 2]])
    assert (single.rank, double.rank) == (3, 3)
    np.testing.assert_allclose(
        below[:, [0, 0, 1, 2]] @ double.weights, below @ single.weights, atol=1e-6
    )


def test_negative_weights_that_bend_the_loss_are_refused(rng):
    above, below = two_samples(rng)
    x = np.array([[3.0, 1.0], [0.1, 1.0], [-0.1, 1.0]])
    with pytest.raises(InvalidInputError, match="convex"):
        fit_weights(x, x, [-1.0, 1.0, 1.0], [-1.0, 1.0, 1.0])
    with pytest.raises(InvalidInputError, match="numerator_weight must have"):
        fit_weights(above, below, -np.ones(1000))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((3, 2)), np.ones((3, 1))), "same terms"),
        ((np.ones(3), np.ones(3)), "n_events, n_terms"),
        ((np.ones((3, 1)), np.ones((3, 1)), [1, 2]), "numerator_weight must hold 3"),
        ((np.full((3, 1), np.nan), np.ones((3, 1))), "finite log ratios"),
    ],
)
def test_unusable_samples_are_refused(arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        fit_weights(*arguments)


# ---------------------------------------------------------- several sources at once
def test_joint_weights_are_those_of_each_source_alone(rng):
    members, source, weight = three_sources(rng)
    joint = fit_joint_weights(members, source, weight, 3)
    for k in range(3):
        f = np.column_stack([members[:, k], np.ones(len(members))])
        alone = fit_weights(f[source == k], f, None, weight)
        np.testing.assert_allclose(joint.weights[k], alone.weights, atol=1e-6)
    assert joint.converged.all()
    np.testing.assert_array_equal(joint.rank, 3)


def test_the_block_size_does_not_matter(rng):
    arguments = three_sources(rng)
    one, other = (fit_joint_weights(*arguments, 3, block=b) for b in (100, 10_000))
    np.testing.assert_allclose(one.weights, other.weights, atol=1e-10)
    np.testing.assert_allclose(one.covariance, other.covariance, atol=1e-10)


def test_permuting_sources_permutes_the_answer(rng):
    members, source, weight = three_sources(rng)
    order = np.array([2, 0, 1])
    joint = fit_joint_weights(members, source, weight, 3)
    moved = fit_joint_weights(members[:, order], np.argsort(order)[source], weight, 3)
    np.testing.assert_allclose(moved.weights, joint.weights[order], atol=1e-8)
    before = joint.covariance.reshape(3, 3, 3, 3)[order][:, :, order]
    np.testing.assert_allclose(
        moved.covariance.reshape(before.shape), before, atol=1e-8
    )


def test_joint_covariance_is_the_scatter_of_repeated_experiments(rng):
    fits = [fit_joint_weights(*three_sources(rng), 3) for _ in range(N_REPEATS)]
    draws = np.array([fit.weights.ravel() for fit in fits])
    predicted = np.mean([fit.covariance for fit in fits], axis=0)
    assert_covariance(draws, predicted)
    scale = np.sqrt(np.diag(predicted))
    across = (predicted / np.outer(scale, scale))[:3, 3:]
    assert np.abs(across).max() > 0.3, "sources share their reference"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"members": np.ones((4, 3, 1))}, "n_sources=2"),
        ({"source": [0, 0, 1, 2]}, "source must lie in 0 to 1"),
        ({"source": [0.0, 0.0, 1.0, 1.0]}, "integers"),
        ({"row_weight": [1, 1, 1, -1]}, "positive sum in every source"),
    ],
)
def test_unusable_rows_are_refused(change, message):
    good = {
        "members": np.ones((4, 2, 1)),
        "source": [0, 0, 1, 1],
        "row_weight": np.ones(4),
        "n_sources": 2,
    }
    with pytest.raises(InvalidInputError, match=message):
        fit_joint_weights(**(good | change))


# ------------------------------------------------------------------- the fraction
@pytest.fixture
def noisy(rng):
    """Log ratios of a target with known error: exact is ln r = x."""
    x = rng.normal(rng.choice([-0.5, 0.5], 2000, p=[0.7, 0.3]))
    f = terms(x)
    fit = fit_weights(*two_samples(rng))
    return f @ fit.weights, BlendError(f, fit.covariance, fit.bias), fit


def test_score_and_information_are_derivatives(noisy):
    log_ratio, error, _ = noisy
    model = _Likelihood.of(log_ratio, None, error)
    kappa, h = 0.27, 1e-5
    slope = (model.value(kappa + h) - model.value(kappa - h)) / (2 * h)
    curvature = (model.score(kappa + h) - model.score(kappa - h)) / (2 * h)
    assert model.score(kappa) == pytest.approx(slope, rel=1e-5)
    assert model.information(kappa) == pytest.approx(-curvature, rel=1e-6)


def test_error_of_the_ratio_propagates_by_the_derivative_of_kappa(noisy):
    log_ratio, error, fit = noisy
    estimate = estimate_fraction(log_ratio, error=error, correct=False)
    h = 1e-5
    slope = [
        (
            estimate_fraction(error.terms @ (fit.weights + d)).kappa
            - estimate_fraction(error.terms @ (fit.weights - d)).kappa
        )
        / (2 * h)
        for d in h * np.eye(3)
    ]
    expected = slope @ fit.covariance @ slope
    added = estimate.std**2 - estimate.statistical_std**2
    assert added == pytest.approx(expected, rel=1e-4)


def test_statistical_error_is_the_published_one(noisy):
    log_ratio, _, _ = noisy
    estimate = estimate_fraction(log_ratio)
    r = np.exp(log_ratio)
    information = ((r - 1) ** 2 / (estimate.kappa * r + 1 - estimate.kappa) ** 2).sum()
    assert estimate.std == pytest.approx(information**-0.5, rel=1e-6)
    assert estimate.statistical_std == estimate.std


def test_weights_count_like_repeated_events(noisy):
    log_ratio, _, _ = noisy
    counts = np.arange(log_ratio.size) % 3
    weighted = estimate_fraction(log_ratio, counts)
    assert weighted.kappa == pytest.approx(
        estimate_fraction(np.repeat(log_ratio, counts)).kappa, abs=1e-9
    )


def test_correction_removes_the_dilution(rng):
    """Noise of known variance in ln r pulls kappa to 1/2; the correction undoes it."""
    plain, corrected = [], []
    for _ in range(200):
        x = rng.normal(rng.choice([-0.25, 0.25], 4000, p=[0.9, 0.1]))
        f = np.column_stack([0.5 * x, np.cos(3 * x), np.sin(4 * x), np.ones(x.size)])
        covariance = 0.03 * np.diag([0.0, 1.0, 1.0, 0.0])
        noise = rng.normal(0, np.sqrt(np.diag(covariance)))
        error = BlendError(f, covariance, np.zeros(4))
        F = f @ (np.array([1.0, 0.0, 0.0, 0.0]) + noise)
        plain.append(estimate_fraction(F).kappa - 0.1)
        corrected.append(estimate_fraction(F, error=error).kappa - 0.1)
    sigma = np.std(corrected) / np.sqrt(len(corrected))
    assert np.mean(plain) > 4 * np.std(plain) / np.sqrt(len(plain))
    assert abs(np.mean(corrected)) < 4 * sigma


def test_profile_interval_falls_by_the_scaled_statistic(noisy):
    log_ratio, error, _ = noisy
    estimate = estimate_fraction(log_ratio, error=error)
    low, high = fraction_interval(log_ratio, estimate, 1.0, error=error)
    model = _Likelihood.of(log_ratio, None, error)
    fall = 0.5 * estimate.std**2 * estimate.information
    for end in (low, high):
        assert model.value(estimate.kappa) - model.value(end) == pytest.approx(fall)
    assert (low + high) / 2 == pytest.approx(estimate.kappa, abs=0.2 * estimate.std)
    assert high - low == pytest.approx(2 * estimate.std, rel=0.1)


def test_a_ratio_without_information_is_refused():
    with pytest.raises(InvalidInputError, match="tell the two densities apart"):
        estimate_fraction([0.1, 0.2, 0.3])


def test_weights_without_a_maximum_are_refused():
    with pytest.raises(InvalidInputError, match="no maximum"):
        estimate_fraction([-1.0, 0.1, 1.0], [-1.0, 3.0, -1.0])
