"""The scan on its way: edges, other solutions, failures, and what it costs.

A toy of two parameters, kappa and one other, has every trouble on request.
"""

import numpy as np
import pytest

from sktamm import NeuralRatioTAMM
from sktamm.inference import _base
from sktamm.inference._scan import event_curve
from sktamm.mixture import RowData

DATA = RowData(np.zeros((1, 1)))
INSIDE = (0.0, 1.0)
EVERYWHERE = (-np.inf, np.inf)
SMALL = 1e-4


class Toy:
    """Log posterior of kappa and eta, with numerical derivatives."""

    rows_are_events = True
    xp = np

    def __init__(self, log_density, correction=0.0, unknown=None):
        self.log_density = log_density
        self.correction = correction
        self.unknown = unknown  # kappas of which the gradient or the Hessian fails
        self.n_evaluations = 0

    def _failing(self, theta, what):
        if self.unknown is None or self.unknown[0] != what:
            return np.zeros(len(theta), dtype=bool)
        return np.array([self.unknown[1](kappa) for kappa in theta[:, 0]])

    def _value(self, theta):
        self.n_evaluations += len(theta)
        with np.errstate(all="ignore"):
            return np.array([self.log_density(*row) for row in theta], dtype=float)

    def value(self, theta, data):
        return self._value(theta)

    def value_and_gradient(self, theta, data):
        value, gradient = self._value(theta), self._slope(theta)
        gradient[self._failing(theta, "slope"), 0] = np.nan
        return value, gradient

    @np.errstate(invalid="ignore")
    def _slope(self, theta):
        """Central differences, which cost nothing."""
        n, gradient = self.n_evaluations, np.empty_like(theta)
        for i, shift in enumerate(SMALL * np.eye(2)):
            above, below = self._value(theta + shift), self._value(theta - shift)
            gradient[:, i] = (above - below) / (2.0 * SMALL)
        self.n_evaluations = n
        return gradient

    @np.errstate(invalid="ignore")
    def step_terms(self, theta, data):
        value, gradient = self.value_and_gradient(theta, data)
        shift = np.array([0.0, SMALL])
        bend = (self._slope(theta - shift) - self._slope(theta + shift)) / (2.0 * SMALL)
        information = np.tile(np.eye(2), (len(theta), 1, 1))
        information[:, 1, 1] = np.maximum(bend[:, 1], 0.5)
        information[:, 0, 1] = information[:, 1, 0] = bend[:, 0]
        return value, gradient, information

    def rounding(self, data):
        return 1e-9

    def shortened(self, step):
        return np.ones(len(step))

    def entries_per_fit(self, n_rows):
        return 4

    def prior_information(self, theta):
        return np.zeros((len(theta), 2, 2))

    def prior_hessian(self, theta):
        failing = self._failing(theta, "hessian")[:, None, None]
        return np.where(failing, np.nan, np.full((len(theta), 2, 2), self.correction))


def scan(
    log_density,
    *,
    centre=(0.3, 0.0),
    std=0.1,
    bounds=EVERYWHERE,
    which="profile",
    correction=0.0,
    unknown=None,
):
    """Curve of one toy and the toy; covariance of the start as given."""
    toy = Toy(log_density, correction, unknown)
    covariance = std**2 * np.eye(2)[None]
    theta = np.array([centre], dtype=float)
    return event_curve(toy, DATA, theta, covariance, bounds, which), toy


def normal(kappa, eta, std=0.1):
    return -0.5 * ((kappa - 0.3) / std) ** 2 - 0.5 * eta**2


def assert_normal(curve, std, atol=0.03):
    """The curve is that of a normal down to six units."""
    kappa, values = curve.refine("profile")
    expected = -0.5 * ((kappa - 0.3) / std) ** 2
    near = expected > -6.0
    assert near.sum() > 20
    np.testing.assert_allclose(values[near], expected[near], rtol=0.015, atol=atol)


def ends(curve):
    return curve.position[0, [0, -1]]


# -------------------------------------------------------------------------- edges
def with_edge(t):
    """Nothing is allowed beyond kappa = .3 + .1 sinh(t)."""

    def log_density(kappa, eta):
        return normal(kappa, eta) if kappa < 0.3 + 0.1 * np.sinh(t) else -np.inf

    return log_density


@pytest.mark.parametrize("t", [0.4, 0.9, 1.4])
def test_edges_are_approached_to_a_quarter_of_a_step(t):
    end = ends(scan(with_edge(t))[0])[1]
    assert t - 0.126 <= end < t


def test_edges_far_down_are_not():
    """At 6.6 units below the top the curve ends with the last step."""
    np.testing.assert_allclose(ends(scan(with_edge(2.3))[0])[1], 2.0)


# ---------------------------------------------------------------- other solutions
def folded(kappa, eta):
    """One solution ends at t = .85; another one is ten units higher, elsewhere."""
    first = 2.0 * max(1.0 - (kappa - 0.3) / 0.12, 0.0) * np.exp(-2.0 * eta**2)
    second = 12.0 * np.exp(-2.0 * (eta - 3.0) ** 2)
    out = max(abs(eta) - 4.0, 0.0) ** 2
    return -0.5 * ((kappa - 0.3) / 0.1) ** 2 + first + second + 0.5 * eta - out


def test_a_solution_is_followed_to_its_end_and_no_other():
    curve, _ = scan(folded, centre=(0.3, 0.063))
    start = curve.profile[0, np.abs(curve.position[0]).argmin()]
    assert curve.profile.max() < start + 3.0  # its own slope is -20
    assert 0.7 < ends(curve)[1] < 0.86


def test_no_step_leads_to_another_solution_either_not_the_first():
    """A start beside the end of its solution: the first step would rise by ten.

    To the left its own solution climbs by 3.7.
    """
    curve, _ = scan(folded, centre=(0.375, 0.2), std=0.05)
    assert curve.profile.max() < folded(0.375, 0.2) + 5.0


def test_a_start_below_the_maximum_climbs_along_its_slope():
    """Six sigmas away: 18 units in steps of up to eight, and none to the far side."""
    curve, _ = scan(normal, centre=(0.9, 0.0))
    assert_normal(curve, 0.1, atol=0.08)
    assert ends(curve)[1] <= 1.0


def test_a_maximum_between_two_points_is_seen():
    """Half way between the third and the fourth point, 0.11 above both."""
    middle = 0.1 * (np.sinh(1.0) + np.sinh(1.5)) / 2
    assert_normal(scan(normal, centre=(0.3 - middle, 0.0))[0], 0.1, atol=0.04)


def test_heavy_tails_are_the_same_solution():
    """They rise above their tangents; a scan in small steps would cost 56 passes."""
    curve, toy = scan(
        lambda kappa, eta: -6.0 * np.log1p((kappa - 0.3) ** 2 / 0.04) - 0.5 * eta**2
    )
    np.testing.assert_allclose(curve.profile[0, [0, -1]], -12.7, atol=0.2)
    assert toy.n_evaluations < 45


@pytest.mark.parametrize(("size", "passed"), [(0.45, True), (0.55, False)])
def test_rises_of_less_than_a_sigma_above_the_tangent_are_the_same_solution(
    size, passed
):
    """Half a unit of the log likelihood is one sigma; the line itself climbs by ten."""
    step = 0.3 + 0.1 * np.sinh(0.7)

    def climbing(kappa, eta):
        return 20.0 * (kappa - 0.3) + size * (kappa > step) - 0.5 * eta**2

    curve, _ = scan(climbing, bounds=INSIDE)
    assert (curve.kappa[0, -1] > step) == passed


# ------------------------------------------------------------------------ failures
def failing(kappa, eta):
    """Not a number beyond kappa = .4."""
    return normal(kappa, eta) if kappa < 0.4 else np.nan


@pytest.mark.parametrize("which", ["profile", "marginal"])
def test_the_scan_ends_before_a_number_fails(which):
    curve, _ = scan(failing, which=which)
    assert np.isfinite(curve.refine(which)[1]).all()
    assert 0.34 < curve.kappa[0, -1] < 0.4


@pytest.mark.parametrize("what", ["slope", "hessian"])
def test_the_scan_ends_before_a_derivative_fails(what):
    unknown = what, lambda kappa: kappa > 0.4
    for which in ("profile", "marginal"):
        curve, _ = scan(normal, which=which, unknown=unknown)
        assert np.isfinite(curve.refine("marginal")[1]).all()
        assert curve.kappa[0, -1] < 0.4


def nowhere(kappa, eta):
    return np.nan


def around_the_start(kappa, eta):
    return 0.0 if abs(kappa - 0.3) < 1e-3 else np.nan


@pytest.mark.parametrize("bounds", [INSIDE, EVERYWHERE])
@pytest.mark.parametrize(
    ("log_density", "unknown"),
    [
        (nowhere, None),
        (around_the_start, None),
        (normal, ("hessian", lambda kappa: kappa == 0.3)),
        (normal, ("slope", lambda kappa: kappa == 0.3)),
    ],
    ids=["nowhere", "at the start", "no Hessian there", "no slope there"],
)
def test_a_curve_that_cannot_be_followed_tells_nothing(log_density, unknown, bounds):
    curve, _ = scan(log_density, bounds=bounds, unknown=unknown)
    kappa, values = curve.refine("profile")
    np.testing.assert_allclose(kappa[0, [0, -1]], [0.0, 1.0], atol=1e-9)
    np.testing.assert_allclose(values, 0.0)
    np.testing.assert_allclose(curve.marginal, 0.0)
    assert not curve.known[0]
    assert scan(normal)[0].known[0]


@pytest.mark.parametrize("inference", ["bayesian", "frequentist"])
@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
def test_a_result_without_a_curve_is_flagged(inference, monkeypatch):
    def unknown(model, data, theta, covariance, bounds, which):
        theta, covariance = theta[:, [0, 0]], np.ones((1, 2, 2)) * covariance[:, :1, :1]
        return event_curve(Toy(nowhere), DATA, theta, covariance, bounds, which)

    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(size=(2000, 1)), rng.normal(1.0, 1.0, size=(2000, 1))]
    y = np.repeat([0, 1], 2000)
    tamm = NeuralRatioTAMM("logistic", inference=inference, random_state=0).fit(X, y)
    assert "not_converged" not in tamm.infer(X[1500:2500]).flags[0]
    monkeypatch.setattr(_base, "event_curve", unknown)
    assert "not_converged" in tamm.infer(X[1500:2500]).flags[0]


def test_an_indefinite_hessian_gives_way_to_the_information():
    """It has the negative curvature -3; the information is one: no term of it."""
    curve, _ = scan(normal, which="marginal", correction=4.0)
    np.testing.assert_allclose(curve.marginal, curve.profile, atol=1e-6)
    curve, _ = scan(normal, which="marginal", correction=0.5)
    expected = curve.profile - 0.5 * np.log(0.5)
    np.testing.assert_allclose(curve.marginal, expected, atol=1e-6)


@pytest.mark.parametrize("variance", [0.0, -1e-6])
def test_a_start_without_an_error_finds_the_curve_all_the_same(variance):
    """Steps from 10^-5 to the bounds, with the accuracy of any other."""
    toy = Toy(normal)
    covariance = variance * np.ones((1, 2, 2))
    theta = np.array([[0.3, 0.0]])
    curve = event_curve(toy, DATA, theta, covariance, INSIDE, "profile")
    assert_normal(curve, 0.1)
    assert curve.kappa[0, 0] < 0.3 - 0.27
    assert curve.kappa[0, -1] > 0.3 + 0.45


def test_small_errors_are_resolved():
    curve, _ = scan(lambda k, e: normal(k, e, 1e-4), std=1e-4, bounds=INSIDE)
    assert_normal(curve, 1e-4)


def test_kappas_that_rounding_makes_equal():
    """A fit that ran away to 10^12, whose steps are too small to be seen."""
    curve, _ = scan(lambda kappa, eta: -0.5 * eta**2, centre=(1e12, 0.0), std=1e-5)
    assert np.isfinite(curve.refine("profile")[1]).all()


def test_curves_without_an_end_are_left():
    """A likelihood that knows nothing of kappa: 30 steps to both sides."""
    curve, _ = scan(lambda kappa, eta: -0.5 * eta**2)
    np.testing.assert_allclose(ends(curve), [-15.0, 15.0])


# ------------------------------------------------------------------------ the cost
def bent(kappa, eta):
    """The other parameter follows kappa; the path of the maximum bends."""
    path = 40.0 * (kappa - 0.3) + 30.0 * (kappa - 0.3) ** 2
    return -0.5 * ((kappa - 0.3) / 0.1) ** 2 - 10.0 * np.cosh(eta - path) + 10.0


def test_every_point_starts_where_those_before_it_point():
    """24 passes; 40 along the tangent alone, 86 from the last point."""
    curve, toy = scan(bent)
    assert_normal(curve, 0.1)
    assert toy.n_evaluations < 30
    assert ends(curve)[1] - ends(curve)[0] < 6.1


def saturating(kappa, eta):
    """The other parameter comes close to one, where a straight line would pass it."""
    room, least = 1.0 - eta, np.exp(-(kappa - 0.2) / 0.1)
    if room <= 0.0:
        return -np.inf
    return normal(kappa, 0.0) + 3.0 * np.log(room / least) + 3.0 * (1.0 - room / least)


def test_a_start_beyond_an_edge_is_replaced_by_the_last_maximum():
    """All the way down, though the line through two points ends outside."""
    start = 1.0 - np.exp(-1.0)
    curve, _ = scan(saturating, centre=(0.3, start))
    drop = curve.profile.max() - curve.profile[0, [0, -1]]
    assert (drop > 11.0).all()
