"""Pure functions of arrays: identities, extremes and known values."""

import numpy as np
import pytest
import threadpoolctl
from scipy import optimize, special, stats

from sktamm._numerics import (
    contrast_basis,
    effective_size,
    interval_score,
    normalise_exp,
    one_blas_thread,
    project_to_simplex,
    softmax,
    spread_rows,
)


def test_softmax_is_that_of_scipy_and_survives_huge_logits():
    logits = np.random.default_rng(0).normal(size=(3, 4, 5)) * 1e3
    np.testing.assert_allclose(softmax(logits), special.softmax(logits, axis=-1))
    shares = softmax(np.array([1e300, -1e300, 0.0]))
    np.testing.assert_array_equal(shares, [1.0, 0.0, 0.0])


@pytest.mark.parametrize("offset", [-1e5, 0.0, 1e5])
def test_normalise_exp_is_a_weighted_log_sum(offset):
    rng = np.random.default_rng(1)
    logs, weights = rng.normal(size=(4, 7)), rng.dirichlet(np.ones(7))
    shares, log_z = normalise_exp(logs + offset, weights)
    expected = special.logsumexp(logs, b=weights, axis=-1)
    np.testing.assert_allclose(log_z - offset, expected, atol=1e-9)
    np.testing.assert_allclose(shares.sum(axis=-1), 1.0)
    np.testing.assert_allclose(
        shares, weights * np.exp(logs - expected[:, None]), rtol=1e-9
    )


@pytest.mark.parametrize("n", [1, 2, 3, 8, 40])
def test_contrasts_are_orthonormal_and_sum_to_zero(n):
    basis = contrast_basis(n)
    assert basis.shape == (n, n - 1)
    np.testing.assert_allclose(basis.T @ basis, np.eye(n - 1), atol=1e-14)
    np.testing.assert_allclose(basis.sum(axis=0), 0.0, atol=1e-14)
    np.testing.assert_allclose(basis @ basis.T, np.eye(n) - 1.0 / n, atol=1e-14)


def test_projection_is_the_nearest_point_of_the_simplex():
    rng = np.random.default_rng(2)
    points = rng.normal(size=(6, 4))
    for point, projected in zip(points, project_to_simplex(points), strict=True):
        best = optimize.minimize(
            lambda f, point=point: ((f - point) ** 2).sum(),
            np.full(4, 0.25),
            bounds=[(0, 1)] * 4,
            constraints={"type": "eq", "fun": lambda f: f.sum() - 1},
            options={"ftol": 1e-14},
        )
        np.testing.assert_allclose(projected, best.x, atol=1e-6)


def test_projection_leaves_the_simplex_alone_and_reaches_its_corners():
    inside = np.random.default_rng(3).dirichlet(np.ones(3), size=20)
    np.testing.assert_allclose(project_to_simplex(inside), inside, atol=1e-15)
    np.testing.assert_array_equal(project_to_simplex([1.3, -0.3]), [1.0, 0.0])
    np.testing.assert_array_equal(project_to_simplex([[-5.0, 6.0]]), [[0.0, 1.0]])


def test_effective_size_counts_unweighted_events():
    assert effective_size(7.0, 7.0) == 7.0
    weights = np.array([2.0, 2.0, 2.0])
    assert effective_size(weights.sum(), (weights**2).sum()) == pytest.approx(3.0)


def test_interval_score_is_width_plus_penalty():
    score = interval_score([0.5, 0.0, 1.5], [0.0, 0.2, 0.0], [1.0, 1.2, 1.0], 0.8)
    np.testing.assert_allclose(score, [1.0, 1.0 + 10 * 0.2, 1.0 + 10 * 0.5])


def test_a_failed_fit_scores_like_the_interval_that_says_nothing():
    failed = [0.3, 0.3], [np.nan, 0.2], [0.5, 0.4], 0.683
    np.testing.assert_allclose(interval_score(*failed, (0.0, 1.0)), [1.0, 0.2])
    np.testing.assert_allclose(interval_score(*failed), [np.nan, 0.2])


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_the_true_quantiles_have_the_best_expected_interval_score(factor):
    """Propriety, seen with paired differences in sigmas."""
    truth = np.random.default_rng(4).normal(size=100_000)
    half = stats.norm.ppf(0.5 + 0.683 / 2)
    right = interval_score(truth, -half, half, 0.683)
    wrong = interval_score(truth, -factor * half, factor * half, 0.683)
    gain = wrong - right
    assert gain.mean() > 4 * gain.std() / np.sqrt(gain.size)


def test_matrix_products_take_one_thread():
    def threads():
        found = threadpoolctl.threadpool_info()
        return [p["num_threads"] for p in found if p["user_api"] == "blas"]

    with threadpoolctl.threadpool_limits(2):
        before = threads()
        assert 2 in before
        for _ in range(2):  # libraries are looked for once
            with one_blas_thread():
                assert set(threads()) == {1}
            assert threads() == before


@pytest.mark.parametrize("n", [1, 2, 9, 10, 11, 19, 101, 99_991, 10**7 + 1])
def test_spread_rows_are_different_and_reach_both_ends(n):
    for most in (2, 10, 4096):
        rows = spread_rows(n, most)
        assert rows.size == min(n, most)
        assert rows[0] == 0
        assert rows[-1] == n - 1
        assert (np.diff(rows) > 0).all()
