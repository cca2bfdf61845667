"""Amplitudes of WZ: against Dirac traces, a published cross section and symmetries."""

from itertools import product

import numpy as np
import pytest
from scipy.linalg import eigh
from scipy.optimize import brentq

from sktamm.datasets.wz import _amplitudes as wz
from sktamm.exceptions import InvalidInputError

METRIC = np.diag([1.0, -1, -1, -1])
PAULI = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
ZERO = np.zeros((2, 2))
ONE = np.eye(2)
GAMMA = np.array(
    [np.block([[ZERO, ONE], [ONE, ZERO]])]
    + [np.block([[ZERO, s], [-s, ZERO]]) for s in PAULI]
)
LEFT = np.diag([1, 1, 0, 0])
RIGHT = np.diag([0, 0, 1, 1])


def unit(rng, n):
    vector = rng.standard_normal((3, n))
    return vector / np.linalg.norm(vector, axis=0)


def boost(momentum, total):
    """Momentum from the rest frame of ``total`` to the frame of ``total``."""
    mass = np.sqrt(wz.square(total))
    along = (momentum[1:] * total[1:]).sum(axis=0)
    energy = (momentum[0] * total[0] + along) / mass
    factor = (momentum[0] + energy) / (mass + total[0])
    return np.concatenate([energy[None], momentum[1:] + factor * total[1:]])


def decay(mother, rng):
    """Two massless daughters, isotropic in the rest frame."""
    n = mother.shape[1]
    half = np.sqrt(wz.square(mother)) / 2
    direction = half * unit(rng, n)
    first = boost(np.concatenate([half[None], direction]), mother)
    return first, mother - first


def pair(energy, direction, masses):
    """Bosons back to back: the momentum of the W is along ``direction``."""
    w2, z2 = masses[0] ** 2, masses[1] ** 2
    s = energy**2
    k = np.sqrt((s - w2 - z2) ** 2 - 4 * w2 * z2) / (2 * energy)
    w = np.concatenate([np.sqrt(k**2 + w2)[None], k * direction])
    z = np.concatenate([np.sqrt(k**2 + z2)[None], -k * direction])
    return w, z


def quarks(energy):
    half, zero = energy / 2, 0 * energy
    return np.stack([half, zero, zero, half]), np.stack([half, zero, zero, -half])


def random_event(n, seed=0, charge=None):
    rng = np.random.default_rng(seed)
    energy = rng.uniform(250, 1500, n)
    masses = rng.uniform(70, 90, n), rng.uniform(80, 100, n)
    w, z = pair(energy, unit(rng, n), masses)
    sign = rng.choice([-1, 1], n) if charge is None else np.full(n, charge)
    lepton, neutrino = decay(w, rng)
    return wz.Event(*quarks(energy), *decay(z, rng), lepton, neutrino, sign)


def on_shell(energy, cosine, charge=1):
    """Quarks and bosons; cosine of the angle between the quark and the W."""
    energy, cosine = np.broadcast_arrays(energy, cosine)
    sine = np.sqrt(1 - cosine**2)
    direction = np.stack([0.6 * sine, 0.8 * sine, cosine])
    n = np.ones_like(energy)
    w, z = pair(energy, direction, (wz.M_W * n, wz.M_Z * n))
    event = wz.Event(*quarks(energy), w, w, w, w, np.full(energy.shape, charge))
    return event, w, z


def polarisations(momentum, mass):
    """Outgoing polarisation vectors by helicity."""
    n = momentum[1:]
    k = np.linalg.norm(n, axis=0)
    n = n / k
    a = np.cross(n, [0.2, 0.5, -0.4], axisb=0, axisa=0).T
    a = a / np.linalg.norm(a, axis=0)
    b = np.cross(n, a, axis=0)
    zero = np.zeros((1, n.shape[1]))
    long = np.concatenate([k[None], momentum[0] * n]) / mass
    return {
        h: np.concatenate([zero, -(h * a - 1j * b) / np.sqrt(2)]) if h else long + 0j
        for h in (-1, 0, 1)
    }


def helicity_amplitudes(energy, cosine, charge=1):
    """Production amplitudes (4, n) by the helicities of W and Z."""
    event, w, z = on_shell(energy, cosine, charge)
    fields_w, fields_z = polarisations(w, wz.M_W), polarisations(z, wz.M_Z)
    return {
        (a, b): wz.production(event, w, fields_w[a], z, fields_z[b])
        for a, b in product((-1, 0, 1), repeat=2)
    }


def slash(vector):
    return np.einsum("m,mn,nij->ij", vector, METRIC, GAMMA)


def field_strength(k, e):
    return -1j * (np.outer(k, e) - np.outer(e, k))


def lagrangian_vertex(plus, minus, neutral, g1, kappa, lam):
    """i [g1 (..) + kappa W* W Z + lam / m_W^2 W* W Z], Hagiwara et al. 1987, of waves.

    Every argument is an incoming momentum and a field, upper indices.
    """
    (kp, p), (km, m), (kz, z) = plus, minus, neutral
    Fp, Fm, Fz = field_strength(kp, p), field_strength(km, m), field_strength(kz, z)
    low = METRIC @ p, METRIC @ m, METRIC @ z
    rotor = (low[1] @ Fp @ low[2]) - (low[0] @ Fm @ low[2])
    magnetic = low[0] @ Fz @ low[1]
    cubic = np.trace(Fp @ METRIC @ Fm @ METRIC @ Fz @ METRIC)
    return 1j * (g1 * rotor + kappa * magnetic + lam / wz.M_W**2 * cubic)


def dirac_polynomial(event, n, theta):
    """|M|^2 of one event at theta, linear insertion, by traces of Dirac matrices.

    The quark line is a matrix for every pair of indices of the bosons; the leptons
    enter as tensors. Anomalous couplings in the published parametrisation.
    """
    charge = event.charge[n]
    p1, p2 = event.quark[:, n], event.antiquark[:, n]
    minus, plus = event.z_minus[:, n], event.z_plus[:, n]
    lepton, neutrino = event.w_lepton[:, n], event.neutrino[:, n]
    w, z = lepton + neutrino, minus + plus
    g, c, s2 = wz.G_WEAK, wz.COSINE, wz.SINE**2
    e = wz.VACUUM**2 * 1e-6 * np.asarray(theta, dtype=float)
    t = wz.SINE / c
    up, down = (0.5, 2 / 3), (-0.5, -1 / 3)
    first, second = (up, down) if charge > 0 else (down, up)

    def matrices(order):
        """Quark line (mu of W, nu of Z); order 0: SM, 1: terms linear in theta."""

        def neutral(isospin, q):
            base = isospin - q * s2
            if order == 0:
                return base
            return q * wz.SINE * c * e[0] + e[2] * (isospin + base)

        lam = 6 * wz.M_W**2 / g * theta[1] * 1e-6
        g1, kappa, lam = (1, 1, 0) if order == 0 else (t * e[0] + e[2], e[2], lam)
        out = np.zeros((4, 4, 4, 4), dtype=complex)
        inner_z, inner_w, total = p1 - z, p1 - w, p1 + p2
        for mu, nu in product(range(4), repeat=2):
            z_first = GAMMA[mu] @ slash(inner_z) @ GAMMA[nu]
            w_first = GAMMA[nu] @ slash(inner_w) @ GAMMA[mu]
            z_first = z_first / (inner_z @ METRIC @ inner_z)
            w_first = w_first / (inner_w @ METRIC @ inner_w)
            line = neutral(*first) * z_first + neutral(*second) * w_first
            out[mu, nu] = -line / c
            for rho in range(4):
                waves = [np.eye(4)[i] for i in (rho, mu, nu)]
                # Contravariant unit waves give the vertex with lower indices.
                vertex = lagrangian_vertex(
                    (total, waves[0]), (-w, waves[1]), (-z, waves[2]), g1, kappa, lam
                )
                raised = vertex * METRIC[mu, mu] * METRIC[nu, nu]
                factor = charge * c / (total @ METRIC @ total - wz.M_W**2)
                out[mu, nu] += factor * raised * GAMMA[rho]
        return out * g**2 / np.sqrt(2)

    def tensor(a, b, chirality):
        return np.einsum(
            "ij,mjk,kl,nli->mn", slash(a), GAMMA, chirality @ slash(b), GAMMA
        )

    if charge > 0:
        w_tensor = tensor(neutrino, lepton, LEFT)
    else:
        w_tensor = tensor(lepton, neutrino, LEFT)
    w_tensor = w_tensor * g**2 / 2
    w_tensor /= abs(w @ METRIC @ w - wz.M_W**2 + 1j * wz.M_W * wz.WIDTH_W) ** 2
    z_scale = (g / c) ** 2
    z_scale /= abs(z @ METRIC @ z - wz.M_Z**2 + 1j * wz.M_Z * wz.WIDTH_Z) ** 2
    standard, linear = matrices(0), matrices(1)
    result = 0
    for coupling, chirality in ((s2 - 0.5, LEFT), (s2, RIGHT)):
        z_tensor = tensor(minus, plus, chirality) * z_scale
        decay_shift = -wz.SINE * c * e[0]
        quark_line = coupling * (standard + linear) + decay_shift * standard
        barred = np.einsum("ij,mnkj,kl->mnil", GAMMA[0], quark_line.conj(), GAMMA[0])
        lower = np.einsum("mnij,mp,nq->pqij", barred, METRIC, METRIC)
        upper = np.einsum("mnij,mp,nq->pqij", quark_line, METRIC, METRIC)
        result += np.einsum(
            "ij,mnjk,kl,pqli,mp,nq->",
            slash(p2),
            upper,
            LEFT @ slash(p1),
            lower,
            w_tensor,
            z_tensor,
            optimize=True,
        )
    assert abs(result.imag) < 1e-9 * abs(result.real)
    return result.real / 12


@pytest.mark.parametrize("charge", [1, -1])
@pytest.mark.parametrize(
    "theta", [(0, 0, 0), (3.0, 0, 0), (0, 0.4, 0), (0, 0, -0.3), (-2.0, 0.3, 0.2)]
)
def test_against_dirac_traces(charge, theta):
    event = random_event(3, seed=5, charge=charge)
    value = wz.monomials(theta) @ wz.squared_amplitude(event)
    traces = [dirac_polynomial(event, n, theta) for n in range(3)]
    np.testing.assert_allclose(value, traces, rtol=1e-9)


def test_published_cross_section():
    # Brown, Sahdev, Mikaelian 1979: dsigma/dt of on-shell q qbar' -> W Z.
    rng = np.random.default_rng(0)
    energy, cosine = rng.uniform(180, 900, 50), rng.uniform(-0.99, 0.99, 50)
    event, w, _ = on_shell(energy, cosine)
    total = sum(abs(a[0]) ** 2 for a in helicity_amplitudes(energy, cosine).values())
    x, s = wz.SINE**2, energy**2
    t = wz.square(event.quark - w)
    masses, both = wz.M_W**2 + wz.M_Z**2, (wz.M_W * wz.M_Z) ** 2
    u = masses - s - t
    up, down = 1 - 4 / 3 * x, -1 + 2 / 3 * x
    p, d = u * t - both, s - wz.M_W**2
    bracket = ((9 - 8 * x) * p + (8 * x - 6) * s * masses) / (4 * d**2)
    bracket += (p - s * masses) / d * (up / u - down / t)
    bracket += p / (4 * (1 - x)) * (down**2 / t**2 + up**2 / u**2)
    bracket += s * masses / (2 * (1 - x)) * up * down / (t * u)
    # pi alpha^2 / (6 s^2 x^2), alpha = g^2 x / (4 pi), against |M|^2 / (16 pi s^2).
    expected = wz.G_WEAK**4 * bracket / (96 * np.pi * s**2)
    np.testing.assert_allclose(total / 12 / (16 * np.pi * s**2), expected, rtol=1e-9)


@pytest.mark.parametrize("charge", [1, -1])
def test_gauge_cancellation(charge):
    # A longitudinal Z, exactly: its momentum as field, for two on-shell bosons.
    energy, cosine = np.array([300.0, 1000, 5000]), np.array([0.3, -0.6, 0.8])
    event, w, z = on_shell(energy, cosine, charge)
    field = polarisations(w, wz.M_W)[1]
    # Only the field strength of the Z enters the cubic term.
    value = wz.production(event, w, field, z, z + 0j)
    size = wz.production(event, w, field, z, polarisations(z, wz.M_Z)[-1])
    assert (abs(value[:3]) < 1e-9 * energy * abs(size[:1])).all()


def test_longitudinal_bosons():
    energy = np.array([1500.0, 3000, 6000, 12_000])
    both = helicity_amplitudes(energy, 0.3)[0, 0]
    # Unitarity: the standard model does not grow, although every diagram does.
    assert abs(both[0, 1:] / both[0, :-1] - 1).max() < 0.02
    # Equivalence theorem: O_Phiq3 over W exchange is 4 s / g^2.
    ratio = both[3] / both[0] / (4e-6 * energy**2 / wz.G_WEAK**2)
    assert abs(ratio - 1).max() < 0.02
    assert abs(ratio[-1] - 1) < 1e-3
    # No growth of O_PhiWB here, none at all of O_WWW.
    assert abs(both[1, 1:] / both[1, :-1] - 1).max() < 0.02
    # ... but for rounding of terms that grow like s.
    assert (abs(both[2]) < 1e-12 * (energy / wz.M_W) ** 2).all()


def test_growth_with_energy():
    energy = np.array([3000.0, 6000, 12_000])
    amplitude = helicity_amplitudes(energy, -0.2)
    # Power of sqrt(s) between the last two energies, of each operator's leading part.
    expected = {(1, 1, 2): 2, (-1, -1, 2): 2, (0, 0, 3): 2, (0, 1, 1): 1, (1, -1, 0): 0}
    for (a, b, operator), power in expected.items():
        values = abs(amplitude[a, b][operator])
        assert np.log2(values[2] / values[1]) == pytest.approx(power, abs=0.01)
    # Equal helicities vanish like 1/s in the standard model.
    values = abs(amplitude[1, 1][0])
    assert np.log2(values[2] / values[1]) == pytest.approx(-2, abs=0.01)


def test_radiation_zero():
    # Opposite transverse helicities vanish at high energy where the couplings of
    # both quarks cancel: g_u / u + g_d / t = ... at cos = tan^2(theta_W) / 3.
    zero = (wz.SINE / wz.COSINE) ** 2 / 3
    assert zero == pytest.approx(0.0956, abs=2e-4)
    for charge, at in ((1, -zero), (-1, zero)):
        sides = np.array([at - 0.05, at, at + 0.05])
        amplitude = helicity_amplitudes(np.full(3, 8000.0), sides, charge)
        for helicities in ((1, -1), (-1, 1)):
            values = abs(amplitude[helicities][0])
            assert values[1] < 0.02 * values[[0, 2]].min()


def test_charges_are_related_by_cp():
    event = random_event(50, seed=2, charge=1)

    def mirror(p):
        return p * np.array([1, -1, -1, -1])[:, None]

    conjugate = wz.Event(
        mirror(event.antiquark),
        mirror(event.quark),
        mirror(event.z_plus),
        mirror(event.z_minus),
        mirror(event.w_lepton),
        mirror(event.neutrino),
        -event.charge,
    )
    one, other = wz.squared_amplitude(event), wz.squared_amplitude(conjugate)
    # All operators are even; absorptive parts come from common Breit-Wigner factors.
    np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9 * abs(one).max())


def rotate(p, angles):
    a, b = angles
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    return np.concatenate([p[:1], x @ y @ p[1:]])


def test_lorentz_invariance():
    event = random_event(20, seed=3)
    frame = np.array([[500.0], [120], [-80], [300]]) * np.ones(20)
    names = ("quark", "antiquark", "z_minus", "z_plus", "w_lepton", "neutrino")
    moved = {
        name: boost(rotate(getattr(event, name), (0.4, 1.9)), frame) for name in names
    }
    one = wz.squared_amplitude(event)
    other = wz.squared_amplitude(wz.Event(**moved, charge=event.charge))
    np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-9 * abs(one).max())


def test_polynomial_is_exact_and_positive():
    event = random_event(200, seed=4)
    coefficients = wz.squared_amplitude(event)
    left, right = wz.amplitudes(event)
    rng = np.random.default_rng(0)
    for theta in rng.normal(size=(5, 3)) * [4, 0.2, 0.2]:
        vector = np.array([1, *theta])
        direct = abs(vector @ left) ** 2 + abs(vector @ right) ** 2
        value = wz.monomials(theta) @ coefficients
        np.testing.assert_allclose(value, direct / 12, rtol=1e-12)
        assert (value > 0).all()


@pytest.mark.parametrize("direction", np.eye(3) * [4, 0.2, 0.2])
def test_third_differences_vanish(direction):
    coefficients = wz.squared_amplitude(random_event(100, seed=6))
    values = wz.monomials(np.outer([-2, -1, 1, 2], direction)) @ coefficients
    third = values[3] - 2 * values[2] + 2 * values[1] - values[0]
    assert (abs(third) < 1e-13 * values.max(axis=0)).all()


def test_monomials_of_the_benchmarks():
    basis = wz.monomials(wz.WZ_BENCHMARKS)
    assert np.linalg.matrix_rank(basis) == 10
    assert np.linalg.cond(basis) == pytest.approx(3570.65, abs=0.01)
    scaled = wz.monomials(wz.WZ_BENCHMARKS / [4, 0.2, 0.2])
    assert np.linalg.cond(scaled) == pytest.approx(39.716, abs=1e-3)
    weights = np.linalg.solve(basis.T, wz.monomials([1.2, 0.09, 0]))
    expected = [0, -0.3, 0.3, -0.45, 0.45, 0, 0, 1, 0, 0]
    np.testing.assert_allclose(weights, expected, atol=1e-10)


def test_gradient_of_monomials():
    theta, step = np.array([0.7, -0.3, 0.2]), 0.5
    steps = step * np.eye(3)
    derivatives = wz.monomial_gradient(theta)
    row = 3
    for i in range(3):
        up, down = wz.monomials(theta + steps[i]), wz.monomials(theta - steps[i])
        np.testing.assert_allclose(derivatives[i], (up - down) / (2 * step), atol=1e-12)
        for j in range(i, 3):
            corners = [
                a * b * wz.monomials(theta + (a * steps[i] + b * steps[j]) / 2)
                for a, b in product((1, -1), repeat=2)
            ]
            np.testing.assert_allclose(
                derivatives[row], sum(corners) / step**2, atol=1e-12
            )
            row += 1


@pytest.mark.parametrize("theta", [(1, 2), np.nan, (0, 0, np.inf)])
def test_refused_coefficients(theta):
    with pytest.raises(InvalidInputError, match="three finite coefficients"):
        wz.monomials(theta)


def mixed_z(epsilon):
    """Components (W3, B) of the Z and g' with v^2 c_PhiWB = epsilon, exactly.

    Kinetic terms -1/4 (W3, B) K (W3, B) with K = [[1, epsilon], [epsilon, 1]]; g' is
    such that the Z keeps its mass.
    """
    g, v = wz.G_WEAK, wz.VACUUM
    K = np.array([[1, epsilon], [epsilon, 1]])

    def heavy(g_prime):
        vector = np.array([g, -g_prime])
        values, vectors = eigh(v**2 / 4 * np.outer(vector, vector), K)
        return values[1], vectors[:, 1] * np.sign(vectors[0, 1])

    g_prime = brentq(lambda value: heavy(value)[0] - wz.M_Z**2, 0.1, 0.6, xtol=1e-15)
    return heavy(g_prime)[1], g_prime


def test_couplings_of_the_mixing_operator():
    """The field redefinition of doc/wz.md, by numerical diagonalisation."""
    step, cosine, sine = 1e-5, wz.COSINE, wz.SINE
    (up, g_up), (down, g_down) = mixed_z(step), mixed_z(-step)
    for isospin, charge in ((0.5, 2 / 3), (-0.5, -1 / 3), (-0.5, -1.0), (0, -1.0)):
        hypercharge = charge - isospin

        def coupling(fields, g_prime, isospin=isospin, hypercharge=hypercharge):
            value = wz.G_WEAK * isospin * fields[0] + g_prime * hypercharge * fields[1]
            return value * cosine / wz.G_WEAK

        slope = (coupling(up, g_up) - coupling(down, g_down)) / (2 * step)
        assert slope == pytest.approx(charge * sine * cosine, abs=1e-8)
        assert coupling(*mixed_z(0.0)) == pytest.approx(isospin - charge * sine**2)
    # g_1 is the share of W3 in the Z; kappa also has the operator itself.
    slope = (up[0] - down[0]) / (2 * step) / cosine
    assert slope == pytest.approx(sine / cosine, abs=1e-8)
    direct = (up[1] + down[1]) / 2 / cosine
    assert slope + direct == pytest.approx(0, abs=1e-8)
