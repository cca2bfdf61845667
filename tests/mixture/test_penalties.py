"""Log priors: derivatives agree with differences, densities with scipy."""

import numpy as np
import pytest
from scipy import stats

from sktamm._numerics import contrast_basis, softmax
from sktamm.mixture._penalties import (
    DirichletPenalty,
    GaussianPenalty,
    StackedPenalty,
    StudentPenalty,
)

STEP = 1e-5
_ROOT = np.random.default_rng(0).normal(size=(3, 3))
PRECISION = _ROOT @ _ROOT.T + np.eye(3)
PENALTIES = {
    "gaussian": GaussianPenalty(PRECISION),
    "student": StudentPenalty(PRECISION, 4.0),
    "stacked": StackedPenalty(
        [
            (1, GaussianPenalty(2.0 * np.eye(1))),
            (0, GaussianPenalty(np.eye(0))),
            (2, StudentPenalty(PRECISION[:2, :2], 4.0)),
        ]
    ),
    "dirichlet": DirichletPenalty(np.array([0.5, 1.0, 2.0, 3.0])),
}


@pytest.fixture(params=PENALTIES.values(), ids=PENALTIES.keys())
def penalty(request):
    return request.param


def _points(scale=1.0, n=5):
    return scale * np.random.default_rng(1).normal(size=(n, 3))


def _differences(function, params):
    columns = []
    for j in range(3):
        step = STEP * np.eye(3)[j]
        columns.append((function(params + step) - function(params - step)) / (2 * STEP))
    return np.stack(columns, axis=-1)


def test_gradient_is_the_derivative(penalty):
    z = _points()
    expected = _differences(penalty.value, z)
    np.testing.assert_allclose(penalty.gradient(z), expected, atol=1e-7)


def test_hessian_is_the_derivative_of_the_gradient(penalty):
    z = _points()
    expected = _differences(penalty.gradient, z)
    np.testing.assert_allclose(penalty.hessian(z), expected, atol=1e-7)


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_information_is_positive_and_at_least_the_curvature(penalty, scale):
    z = _points(scale)
    information = penalty.information(z)
    assert (np.linalg.eigvalsh(information) >= -1e-12).all()
    excess = np.linalg.eigvalsh(information + penalty.hessian(z))
    assert (excess >= -1e-9).all()


def test_gaussian_and_student_are_those_of_scipy():
    z, origin = _points(), np.zeros((1, 3))
    for penalty, law in (
        (
            PENALTIES["gaussian"],
            stats.multivariate_normal(cov=np.linalg.inv(PRECISION)),
        ),
        (
            PENALTIES["student"],
            stats.multivariate_t(shape=np.linalg.inv(PRECISION), df=4.0),
        ),
    ):
        expected = law.logpdf(z) - law.logpdf(origin[0])
        np.testing.assert_allclose(penalty.value(z) - penalty.value(origin), expected)


def test_many_degrees_of_freedom_are_a_gaussian():
    z = _points()
    student = StudentPenalty(PRECISION, 1e9)
    gaussian = PENALTIES["gaussian"]
    np.testing.assert_allclose(student.value(z), gaussian.value(z), rtol=1e-6)
    np.testing.assert_allclose(student.hessian(z), gaussian.hessian(z), rtol=1e-5)


def test_dirichlet_has_its_moments_in_log_ratio_coordinates():
    """Integrated over the coordinate, weights have the moments of a beta law."""
    alpha = np.array([0.7, 2.5])
    u = np.linspace(-40, 40, 40001)[:, None]
    density = np.exp(DirichletPenalty(alpha).value(u))
    density /= density.sum()
    weight = softmax(u @ contrast_basis(2).T)[:, 0]
    law = stats.beta(*alpha)
    mean = density @ weight
    assert mean == pytest.approx(law.mean(), rel=1e-6)
    assert density @ (weight - mean) ** 2 == pytest.approx(law.var(), rel=1e-5)


def test_a_mode_where_weights_are_the_mean_of_the_law():
    alpha = np.array([0.5, 1.0, 2.0, 3.0])
    u = np.log(alpha) @ contrast_basis(4)
    gradient = PENALTIES["dirichlet"].gradient(u[None])
    np.testing.assert_allclose(gradient, 0.0, atol=1e-12)


def test_far_away_the_dirichlet_stays_finite():
    value = PENALTIES["dirichlet"].value(np.array([[1e4, -1e4, 1e4]]))
    assert np.isfinite(value).all()


def test_no_parameters_no_penalty():
    none = np.zeros((2, 0))
    for penalty in (GaussianPenalty(np.eye(0)), DirichletPenalty(np.ones(1))):
        np.testing.assert_array_equal(penalty.value(none), [0.0, 0.0])
        assert penalty.gradient(none).shape == (2, 0)
        assert penalty.hessian(none).shape == (2, 0, 0)


def test_draws_have_the_moments_of_the_prior(penalty):
    """Second moments of 20 000 draws, and their spread, against theory at 4 sigmas."""
    n = 20_000
    draws = penalty.draw(n, np.random.default_rng(6))
    # the mean gradient of the log density vanishes under the density
    gradient = penalty.gradient(draws)
    error = gradient.std(axis=0) / np.sqrt(n)
    assert (np.abs(gradient.mean(axis=0)) < 4.0 * error).all()
    # and E[z grad'] = -1, which fixes the scale
    products = draws[:, :, None] * gradient[:, None, :]
    error = products.std(axis=0) / np.sqrt(n)
    assert (np.abs(products.mean(axis=0) + np.eye(3)) < 4.0 * error).all()


def test_parts_of_a_penalty_are_judged_and_drawn_each():
    """A normal and a Student t side by side."""
    rng = np.random.default_rng(0)
    gauss = GaussianPenalty(np.eye(2))
    student = StudentPenalty(np.eye(3), 4.0)
    both = StackedPenalty([(2, gauss), (0, gauss), (3, student)])
    z = rng.normal(size=(4, 5))
    np.testing.assert_allclose(
        both.value(z), gauss.value(z[:, :2]) + student.value(z[:, 2:])
    )
    far = np.zeros((1, 5))
    far[0, 0] = 5.0
    single = gauss.tail_probability(far[:, :2])
    np.testing.assert_allclose(both.tail_probability(far), 2 * single, rtol=1e-4)
    known = np.tile(0.01 * np.eye(5), (1, 1, 1))
    assert both.tension(far, known)[0] < 1e-4 < both.tension(0 * far, known)[0]
    np.testing.assert_allclose(
        both.tension_axes(far, known)[:, :2, :2],
        gauss.tension_axes(far[:, :2], known[:, :2, :2]),
    )
    np.testing.assert_array_equal(both.left_out_variance(), np.ones(5))
    drawn = both.draw(20_000, rng)
    assert drawn.shape == (20_000, 5)
    variance = np.array([1, 1, 2, 2, 2])  # 4 / (4 - 2) of the Student t
    np.testing.assert_allclose(drawn.var(axis=0), variance, rtol=0.15)
