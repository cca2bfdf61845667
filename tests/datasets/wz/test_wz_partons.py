"""Partons, phase space and sampling of WZ, against independent integrals."""

import numpy as np
import pytest
from scipy.integrate import quad

from sktamm.datasets.wz import _amplitudes as amplitudes
from sktamm.datasets.wz import _phase_space as space
from sktamm.datasets.wz._partons import BEAM_ENERGY, Final, density, momentum_density
from sktamm.datasets.wz._sampling import Grid, draw_unweighted

# Five standard deviations: a false alarm in 1.7 million.
SIGMAS = 5
S = 4 * BEAM_ENERGY**2


def integral(function):
    return quad(lambda t: function(np.exp(t)) * np.exp(t), -50, 0, limit=200)[0]


def test_sum_rules_of_the_partons():
    for quark, number in (("u", 2), ("d", 1), ("s", 0), ("c", 0)):

        def valence(x, quark=quark):
            f = momentum_density(x)
            return (f[quark] - f[f"{quark}bar"]) / x

        assert integral(valence) == pytest.approx(number, rel=1e-6, abs=1e-12)
    momentum = integral(lambda x: sum(momentum_density(x).values()))
    # Gluons carry nearly half of the proton, bottom quarks little.
    assert 0.48 < momentum < 0.56


@pytest.fixture(scope="module")
def points():
    U = np.random.default_rng(0).random((20_000, space.N_DIMENSIONS))
    return space.map_to_events(U)


def test_phase_space_conserves_momentum(points):
    Z, measure = points
    final = Final(Z)
    total = final.total
    assert abs(total[1:3]).max() < 1e-9 * total[0].max()
    for momenta, low, high in (
        (final.w_lepton + final.neutrino, 49.1, 111.7),
        (final.z_minus + final.z_plus, 76.1, 106.2),
    ):
        mass = np.sqrt(amplitudes.square(momenta))
        assert low < mass.min()
        assert mass.max() < high
    for sign in (1, -1):
        assert (total[0] + sign * total[3]).max() <= 2 * BEAM_ENERGY
    assert (measure > 0).all()


def test_phase_space_volume(points):
    # Integral of m^-3 and Breit-Wigner curves, by quadrature over three masses.
    Z, measure = points
    values = np.sqrt(amplitudes.square(Final(Z).total)) ** -3 * measure
    final = Final(Z)
    for momentum, mass, width in (
        (final.w_lepton + final.neutrino, amplitudes.M_W, amplitudes.WIDTH_W),
        (final.z_minus + final.z_plus, amplitudes.M_Z, amplitudes.WIDTH_Z),
    ):
        distance = (amplitudes.square(momentum) - mass**2) / (mass * width)
        values = values / (1 + distance**2)
    nodes, weights = np.polynomial.legendre.leggauss(40)

    def window(mass, width, edges):
        low, high = (np.arctan((e**2 - mass**2) / (mass * width)) for e in edges)
        angle = (low + high + (high - low) * nodes) / 2
        m2 = mass**2 + mass * width * np.tan(angle)
        return m2, weights * (high - low) / 2 * mass * width / (2 * np.pi)

    w2, dw = window(amplitudes.M_W, amplitudes.WIDTH_W, space._WINDOW_W)
    z2, dz = window(amplitudes.M_Z, amplitudes.WIDTH_Z, space._WINDOW_Z)
    w2, z2 = w2[:, None, None], z2[None, :, None]
    low = (np.sqrt(w2) + np.sqrt(z2)) ** 2
    # ln s from its threshold on, with a square root taken out of the momentum.
    span = np.log(S / low)
    t = (1 + nodes) / 2
    s = low * np.exp(span * t**2)
    k = np.sqrt(np.maximum((s - w2 - z2) ** 2 - 4 * w2 * z2, 0) / s) / 2
    rest = np.log(S / s) * 2 * k / np.sqrt(s) / (8 * np.pi) ** 3 / 2
    value = s**-1.5 * rest * span * 2 * t * weights / 2
    expected = np.einsum("i,j,ijk->", dw, dz, value) * 0.3893794e12
    # Four combinations of flavours, two charges.
    error = values.std() / np.sqrt(len(values))
    assert abs(values.mean() - 8 * expected) < SIGMAS * error
    assert error < 0.02 * values.mean()


def test_density_has_the_symmetries_of_the_beams(points):
    Z = points[0][:500]
    turned = space.symmetrise(Z, np.random.default_rng(1))
    assert set(np.unique(turned[:, 13])) == {0, 1}
    assert (np.sign(turned[:, 2]) != np.sign(Z[:, 2])).any()
    one, other = density(Z), density(turned)
    np.testing.assert_allclose(one[:, 0], other[:, 0], rtol=1e-6)
    scale = abs(one).max(axis=1, keepdims=True)
    assert (abs(one - other) < 1e-6 * scale).all()


def test_density_is_positive(points):
    coefficients = density(points[0][:2000])
    for theta in np.random.default_rng(0).normal(size=(20, 3)) * [5, 0.5, 0.5]:
        assert (coefficients @ amplitudes.monomials(theta) > 0).all()


def on_shell_cross_section(s, cosine):
    """dsigma / dt of u dbar -> W Z times sin^2, Brown, Sahdev, Mikaelian 1979."""
    w2, z2 = amplitudes.M_W**2, amplitudes.M_Z**2
    k = np.sqrt(np.maximum((s - w2 - z2) ** 2 - 4 * w2 * z2, 0) / s) / 2
    t = (w2 + z2 - s) / 2 + k * np.sqrt(s) * cosine
    u = w2 + z2 - s - t
    x = amplitudes.SINE**2
    up, down, masses = 1 - 4 / 3 * x, -1 + 2 / 3 * x, w2 + z2
    p, d = u * t - w2 * z2, s - w2
    bracket = ((9 - 8 * x) * p + (8 * x - 6) * s * masses) / (4 * d**2)
    bracket += (p - s * masses) / d * (up / u - down / t)
    bracket += p / (4 * (1 - x)) * (down**2 / t**2 + up**2 / u**2)
    bracket += s * masses / (2 * (1 - x)) * up * down / (t * u)
    # dt = 2 k sqrt(s) / 2 d cos ... = k sqrt(s) d cos.
    return amplitudes.G_WEAK**4 * bracket / (96 * np.pi * s**2) * k * np.sqrt(s)


def narrow_width_cross_section(widths, windows):
    """Cross section without cuts: partons, on-shell pairs and branching ratios."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    unit, du = (1 + nodes) / 2, weights / 2
    low = (amplitudes.M_W + amplitudes.M_Z) ** 2
    span = np.log(S / low)
    s = low * np.exp(span * unit**3)
    ds = span * 3 * unit**2 * du
    limit = np.log(S / s) / 2
    y = limit[:, None] * nodes
    x1, x2 = (np.sqrt(s / S)[:, None] * np.exp(sign * y) for sign in (1, -1))
    one, two = momentum_density(x1), momentum_density(x2)
    luminosity = 0
    for a, b in (("u", "dbar"), ("c", "sbar"), ("d", "ubar"), ("s", "cbar")):
        luminosity = luminosity + one[a] * two[b] + one[b] * two[a]
    luminosity = (luminosity * weights).sum(axis=1) * limit
    # Forward peaks: uniform in rapidity.
    cosine = np.tanh(6 * nodes)
    partonic = on_shell_cross_section(s[:, None], cosine)
    partonic = (partonic * weights * 6 * (1 - cosine**2)).sum(axis=1)
    g, m_w, m_z = amplitudes.G_WEAK, amplitudes.M_W, amplitudes.M_Z
    # Of one lepton flavour: g^2 m / 48 pi and g^2 m (g_L^2 + g_R^2) / (24 pi cos^2).
    left, right = amplitudes.SINE**2 - 0.5, amplitudes.SINE**2
    decays = (
        g**2 * m_w / (48 * np.pi),
        g**2 * m_z * (left**2 + right**2) / (24 * np.pi * amplitudes.COSINE**2),
    )
    result = 0.3893794e12 * 4 * (ds * luminosity * partonic).sum()
    for partial, width, mass, window in zip(
        decays, widths, (m_w, m_z), windows, strict=True
    ):
        low, high = (np.arctan((e**2 - mass**2) / (mass * width)) for e in window)
        result *= partial / width * (high - low) / np.pi
    return result


def test_cross_section_in_the_limit_of_narrow_widths(monkeypatch):
    """Normalisation of everything: flux, colours, spins, flavours, decays, partons."""
    widths = amplitudes.WIDTH_W / 50, amplitudes.WIDTH_Z / 50
    windows = tuple(
        (mass - 20 * width, mass + 20 * width)
        for mass, width in zip((amplitudes.M_W, amplitudes.M_Z), widths, strict=True)
    )
    for module in (amplitudes, space):
        monkeypatch.setattr(module, "WIDTH_W", widths[0])
        monkeypatch.setattr(module, "WIDTH_Z", widths[1])
    monkeypatch.setattr(space, "_WINDOW_W", windows[0])
    monkeypatch.setattr(space, "_WINDOW_Z", windows[1])
    n = 200_000
    U = np.random.default_rng(3).random((n, space.N_DIMENSIONS))
    Z, measure = space.map_to_events(U)
    values = density(Z)[:, 0] * measure
    expected = narrow_width_cross_section(widths, windows)
    error = values.std() / np.sqrt(n)
    assert error < 0.007 * expected
    # Widths of 1/2000 of the masses are not quite zero.
    assert abs(values.mean() - expected) < SIGMAS * error + 0.002 * expected


def test_cuts():
    Z = np.zeros((1, 14))
    leptons = {"z_minus": (40, 0, 50), "z_plus": (-30, 5, 0), "w": (21, 5, 100)}
    Z[0, :12] = [*leptons["z_minus"], *leptons["z_plus"], *leptons["w"], 10, 10, 0]
    assert space.accepted(Z)
    for column, value in ((6, 10.0), (8, 140.0), (3, 14.0), (2, 300.0)):
        other = Z.copy()
        other[0, column] = value
        assert not space.accepted(other)


def linear(U):
    """4 x y, with its points and itself as rows."""
    value = 4 * U[:, 0] * U[:, 1]
    return value, np.column_stack([U, value, U[:, 0]])


def test_unweighted_points_follow_the_integrand():
    n = 20_000
    sample = draw_unweighted(
        linear, n, 2, np.random.default_rng(0), n_sums=2, min_points=1000
    )
    assert sample.rows.shape == (n, 4)
    # Density 2 x: mean 2/3, variance 1/18.
    mean = sample.rows[:, :2].mean(axis=0)
    assert (abs(mean - 2 / 3) < SIGMAS * np.sqrt(1 / 18 / n)).all()
    error = np.sqrt(np.diag(sample.covariance))
    assert (abs(sample.mean - [1, 0.5]) < SIGMAS * error).all()
    assert (error < 0.02).all()


def test_raised_bounds_thin_what_was_accepted():
    # One point in ten thousand has a large weight: the pilot need not see it.
    def spiked(U):
        value = np.where(U[:, 0] < 1e-4, 200.0, 1.0)
        return value, np.column_stack([U, value])

    n = 2000
    sample = draw_unweighted(
        spiked, n, 1, np.random.default_rng(0), n_sums=1, min_points=400_000
    )
    share = (sample.rows[:, 0] < 1e-4).mean()
    expected = 0.02 / (0.02 + 0.9999)
    assert abs(share - expected) < SIGMAS * np.sqrt(expected / n)


def test_grid_follows_a_peak():
    grid = Grid.uniform(1)
    rng = np.random.default_rng(0)
    for _ in range(10):
        points, _, step = grid.draw(5000, rng)
        grid = grid.refine(np.exp(-((points[:, 0] - 0.3) ** 2) / 0.005), step)
    assert (np.diff(grid.edges) > 0).all()
    points, measure, _ = grid.draw(5000, rng)
    assert measure.mean() == pytest.approx(1, abs=SIGMAS * measure.std() / 70)
    assert (abs(points - 0.3) < 0.2).mean() > 0.6
