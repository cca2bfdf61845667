"""WZ events: weights, rates, the standard model's shapes, the detector."""

import re
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from sktamm.datasets import WZ_BENCHMARKS, make_wz, wz_smear
from sktamm.datasets.wz import _detector as detector
from sktamm.datasets.wz._amplitudes import square
from sktamm.datasets.wz._partons import Final
from sktamm.datasets.wz._phase_space import accepted
from sktamm.exceptions import InvalidInputError
from sktamm.parametric import MorphingBasis, joint_derivatives

# Five standard deviations: a false alarm in 1.7 million.
SIGMAS = 5
N = 20_000
SM = np.zeros(3)


def pair_mass(Z):
    """Mass of the pair of bosons in GeV, of shape (n,)."""
    return np.sqrt(square(Final(Z).total))


@pytest.fixture(scope="module")
def events():
    return make_wz(N, random_state=0)


def test_shapes_and_names(events):
    assert events.X.shape == (N, len(events.feature_names))
    assert events.Z.shape == (N, len(events.parton_names))
    assert events.joint_derivatives.shape == (N, 9)
    assert events.benchmark_weights.shape == (N, 10)
    assert events.coefficient_names == ("c_PhiWB", "c_WWW", "c_Phiq3")
    assert list(events.to_frame().columns) == list(events.feature_names)
    assert np.isfinite(events.X).all()
    assert np.array_equal(events.theta_ref, SM)


def test_seeds():
    one, other = make_wz(50, random_state=3), make_wz(50, random_state=3)
    np.testing.assert_array_equal(one.X, other.X)
    np.testing.assert_array_equal(one.polynomial, other.polynomial)
    assert not np.array_equal(one.X, make_wz(50, random_state=4).X)


def test_refusals():
    with pytest.raises(InvalidInputError, match="n_events"):
        make_wz(0)
    with pytest.raises(InvalidInputError, match="three finite"):
        make_wz(10, [1.0, 2.0])
    with pytest.raises(InvalidInputError, match=r"shape \(3,\)"):
        make_wz(10, np.zeros((2, 3)))
    with pytest.raises(InvalidInputError, match="shape"):
        wz_smear(np.zeros((3, 5)))


def test_weights_are_quadratic_to_machine_precision(events):
    np.testing.assert_allclose(events.weights(SM), 1, rtol=1e-12)
    for direction in np.eye(3) * [4, 0.2, 0.2]:
        values = events.weights(np.outer([-2, -1, 1, 2], direction))
        third = values[:, 3] - 2 * values[:, 2] + 2 * values[:, 1] - values[:, 0]
        assert (abs(third) < 1e-13 * values.max(axis=1)).all()
    assert (events.weights([2.0, -0.3, 0.4]) > 0).all()


def test_joint_derivatives_are_those_of_the_benchmarks(events):
    basis = MorphingBasis(3, benchmarks=WZ_BENCHMARKS)
    expected = joint_derivatives(events.benchmark_weights, basis)
    scale = abs(expected).max(axis=0)
    np.testing.assert_allclose(
        events.joint_derivatives / scale, expected / scale, atol=1e-10
    )


def test_joint_derivatives_away_from_the_standard_model():
    at = np.array([1.0, -0.1, 0.1])
    events = make_wz(200, at, random_state=0)
    basis = MorphingBasis(3, benchmarks=WZ_BENCHMARKS, theta_ref=at)
    expected = joint_derivatives(events.benchmark_weights, basis)
    scale = abs(expected).max(axis=0)
    np.testing.assert_allclose(
        events.joint_derivatives / scale, expected / scale, atol=1e-10
    )
    np.testing.assert_allclose(events.weights(at), 1, rtol=1e-12)


@pytest.mark.parametrize(
    "theta", [(1.0, 0, 0), (0, 0.05, 0), (0, 0, -0.05), (-0.5, 0.03, 0.03)]
)
def test_weights_average_to_the_ratio_of_cross_sections(events, theta):
    ratio = events.cross_section(theta) / events.cross_section(SM)
    weights = events.weights(theta)
    # Both are Monte Carlo means; the integral has ten times the points.
    error = 2 * weights.std() / np.sqrt(N)
    assert abs(weights.mean() - ratio) < SIGMAS * error
    assert events.joint_ratio(theta).mean() == pytest.approx(1, abs=SIGMAS * error)


def test_events_at_a_point_are_the_reweighted_standard_model(events):
    theta = [0.0, 0.3, 0.2]
    there = make_wz(N // 2, theta, random_state=5)
    # Share above 500 GeV, where the coefficients matter.
    direct = pair_mass(there.Z) > 500
    weights, high = events.weights(theta), pair_mass(events.Z) > 500
    reweighted = weights @ high / weights.sum()
    assert reweighted > 1.3 * high.mean()
    spread = weights * (high - reweighted) / weights.mean()
    error = np.hypot(spread.std() / np.sqrt(N), direct.std() / np.sqrt(len(direct)))
    assert abs(direct.mean() - reweighted) < SIGMAS * error
    one, other = there.cross_section(theta), events.cross_section(theta)
    error = np.hypot(
        there.cross_section_error(theta), events.cross_section_error(theta)
    )
    assert abs(one - other) < SIGMAS * error
    assert error < 0.02 * one


def test_rate(events):
    # ATLAS at 13 TeV: 63 fb per combination of flavours, with cuts that remove a few
    # per cent more; leading order is about half of that. Simple partons: 25 %.
    assert events.cross_section(SM) == pytest.approx(4 * 63 / 2, rel=0.25)
    assert events.cross_section_error(SM) < 0.005 * events.cross_section(SM)
    expected = 300 * events.cross_section(SM)
    assert events.expected_events(SM) == pytest.approx(expected)
    # More u than d in the proton: W+ over W- about 1.5.
    plus = (events.Z[:, 12] > 0).mean()
    assert 1.3 < plus / (1 - plus) < 1.8


def test_small_samples_integrate_as_well():
    few = make_wz(10, random_state=1)
    assert few.cross_section_error(SM) < 0.005 * few.cross_section(SM)


def test_spectrum_of_the_standard_model(events):
    mass = pair_mass(events.Z)
    assert accepted(events.Z).all()
    assert 120 < mass.min() < 175
    low, middle, high = np.quantile(mass, [0.1, 0.5, 0.99])
    assert 180 < low < 220
    assert 240 < middle < 300
    assert 800 < high < 1100


def test_radiation_zero_is_visible(events):
    """Fewest events at central angles, just off the symmetric one; a dip in dy."""
    final = Final(events.Z)
    total = final.total
    z = final.z_minus + final.z_plus
    rapidity = np.arctanh(total[3] / total[0])
    forward = np.cosh(rapidity) * z[3] - np.sinh(rapidity) * z[0]
    cosine = forward / np.hypot(forward, np.hypot(z[1], z[2]))
    # The quark mostly comes from the side to which the pair moves.
    cosine *= np.sign(rapidity)
    high = pair_mass(events.Z) > 250
    counts = np.histogram(cosine[high], bins=10, range=(-1, 1))[0]
    assert counts.argmin() in (4, 5, 6)
    assert counts.min() < 0.1 * counts[0]
    # Between the Z and the lepton of the W, as measured at hadron colliders.
    difference = np.arctanh(z[3] / z[0]) - np.arcsinh(
        final.w_lepton[3] / np.hypot(*final.w_lepton[1:3])
    )
    above = pair_mass(events.Z) > 400
    dip = (abs(difference[above]) < 0.5).sum()
    shoulder = (abs(abs(difference[above]) - 2) < 0.25).sum()
    assert dip < 0.5 * shoulder


def test_effects_grow_with_energy(events):
    mass = pair_mass(events.Z)
    edges = [150, 250, 400, 700, 4000]
    inside = [(mass > a) & (mass < b) for a, b in pairwise(edges)]
    for column, power in ((7, 10.0), (9, 5.0), (3, 1.4)):
        # Squares of c_WWW and c_Phiq3, and the interference of c_Phiq3.
        means = np.array([events.polynomial[k, column].mean() for k in inside])
        assert (np.diff(means) > 0).all()
        assert means[-1] > power * means[1]
    # c_PhiWB mostly changes the rate.
    means = np.array([events.polynomial[k, 1].mean() for k in inside])
    assert means.max() < 2 * means.min()
    # c_WWW makes other helicities: hardly any interference in the rate.
    assert abs(events.polynomial[:, 2].mean()) < 0.1 * events.polynomial[:, 3].mean()


def test_detector_is_centred_and_reproducible(events):
    np.testing.assert_array_equal(
        events.smear(events.Z[:9], 1), wz_smear(events.Z[:9], 1)
    )
    names = list(events.feature_names)
    X = events.X
    assert abs(np.median(X[:, names.index("m_z")]) - 91.1) < 0.3
    core = np.percentile(X[:, names.index("m_z")], [16, 84])
    # Width of the Z and resolution.
    assert 1.3 < (core[1] - core[0]) / 2 < 3
    charge = X[:, names.index("charge_sum")]
    assert set(np.unique(charge)) <= {-3, -1, 1, 3}
    wrong = (charge != events.Z[:, 12]).mean()
    # Any of three charges; one flipped charge changes the sum.
    expected = 3 * 0.002
    assert abs(wrong - expected) < SIGMAS * np.sqrt(expected / N)
    jets = X[:, names.index("n_jets")]
    assert 0.4 < jets.mean() < 0.8
    assert (X[:, names.index("pt_z1")] >= X[:, names.index("pt_z2")]).all()
    angle = X[:, [names.index("dphi_z1"), names.index("dphi_met")]]
    assert (abs(angle) <= np.pi).all()
    # The transverse mass has its edge at the mass of the W.
    mt_w = X[:, names.index("mt_w")]
    peak = np.histogram(mt_w, bins=40, range=(0, 200))
    assert 65 < peak[1][peak[0].argmax()] < 85


def test_recoil_is_a_boost(events):
    final = Final(events.Z[:100])
    total = final.total
    recoil = np.random.default_rng(0).normal(0, 50, (2, 100))
    momenta = [final.z_minus, final.z_plus, final.w_lepton, final.neutrino]
    boosted = detector._recoil(momenta, total, recoil)
    after = sum(boosted)
    np.testing.assert_allclose(after[1:3], recoil, atol=1e-6)
    np.testing.assert_allclose(square(after), square(total), rtol=1e-9)
    np.testing.assert_allclose(after[3] / after[0], total[3] / total[0], rtol=1e-9)
    for one, other in zip(momenta, boosted, strict=True):
        assert abs(square(other)).max() < 1e-7 * (one[0] ** 2).max()


def test_assignment_by_mass(events):
    final = Final(events.Z)
    seen = detector._detect(final, np.random.default_rng(0))
    for same in (False, True):
        flavours = np.full(N, same)
        one, other, lepton = detector._assign(seen, final.charge, flavours)
        swapped = (lepton != seen.leptons[2]).any(axis=0)
        # With leptons of one flavour the wrong pair is nearer now and then.
        assert (0.01 < swapped.mean() < 0.2) if same else not swapped.any()
        # All leptons are used, and the pair has both charges.
        np.testing.assert_allclose(one + other + lepton, sum(seen.leptons))
        opposite = np.where(final.charge > 0, seen.leptons[0], seen.leptons[1])
        np.testing.assert_array_equal(one, opposite)


@pytest.mark.slow
def test_speed():
    start = time.process_time()
    make_wz(100_000, random_state=7)
    # 3.4 s when measured.
    assert time.process_time() - start < 20


def test_code_of_the_documentation_runs():
    text = (Path(__file__).parents[3] / "doc" / "wz.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    names = {"__name__": "doc"}
    exec(compile(code, "wz.md", "exec"), names)
    assert names["X"].shape[0] == names["y"].shape[0] == names["weight"].shape[0]
