"""The di-Higgs study: kinematics, jets, selection, and how simulations differ."""

import re
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import chi2, kstest

from sktamm.datasets import make_dihiggs
from sktamm.datasets.dihiggs import _jets as jets
from sktamm.datasets.dihiggs import _partons as partons
from sktamm.exceptions import InvalidInputError

N = 20_000
# A correct distribution fails one Kolmogorov-Smirnov test in 10 000 seeds.
LEAST_P = 1e-4
PAIRINGS = [((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2))]


def signal(seed=0, n=N):
    return partons.draw_signal(n, np.random.default_rng(seed))


def background(seed=0, n=N):
    return partons.draw_background(n, np.random.default_rng(seed))


both = pytest.mark.parametrize("draw", [signal, background])


def laboratory(event, response=1.0):
    """Momenta (4: E, x, y, z; 4 jets; n) of massless jets from pT, eta and azimuth."""
    pt = event.pt * response
    eta, phi = event.eta(event.pt), np.arctan2(event.momentum[1], event.momentum[0])
    axes = [np.cosh(eta), np.cos(phi), np.sin(phi), np.sinh(eta)]
    return np.stack([pt * axis for axis in axes])


def mass(momentum):
    return np.sqrt(momentum[0] ** 2 - (momentum[1:] ** 2).sum(axis=0))


def at_rest(momentum, system):
    """Space part of a momentum in the rest frame of a system."""
    m, scalar = mass(system), (momentum[1:] * system[1:]).sum(axis=0)
    shift = momentum[0] / m - scalar / (m * (m + system[0]))
    return momentum[1:] - shift * system[1:]


@both
def test_partons_are_massless_and_conserve_energy_and_momentum(draw):
    event = draw()
    np.testing.assert_allclose(
        event.energy, np.sqrt((event.momentum**2).sum(axis=0)), rtol=1e-9
    )
    energy = event.energy.sum(axis=0)
    np.testing.assert_allclose(event.momentum.sum(axis=1) / energy, 0, atol=1e-12)
    total = laboratory(event).sum(axis=1)
    np.testing.assert_allclose(mass(total), energy, rtol=1e-9)
    np.testing.assert_allclose(
        np.arctanh(total[3] / total[0]), event.rapidity, atol=1e-9
    )
    # Neither proton gives more than it has.
    assert (energy * np.exp(abs(event.rapidity)) < 13_600).all()


@both
def test_systems_have_their_masses(draw):
    event = draw()
    seen = laboratory(event)
    for i, j, expected in ((0, 1, event.masses[0]), (2, 3, event.masses[1])):
        np.testing.assert_allclose(mass(seen[:, i] + seen[:, j]), expected, rtol=1e-6)
    low, high = (125, 125) if draw is signal else (80, 185)
    assert low <= event.masses.min() <= event.masses.max() <= high


@both
@pytest.mark.parametrize("system", [0, 1])
def test_decays_are_isotropic(draw, system):
    momentum = laboratory(draw())[:, 2 * system : 2 * system + 2]
    one = at_rest(momentum[:, 0], momentum.sum(axis=1))
    for component in one / np.sqrt((one**2).sum(axis=0)):
        # The partons of a system are alike: their axis is uniform, its sign is free.
        assert kstest(abs(component), "uniform").pvalue > LEAST_P


def test_decays_of_the_two_systems_are_independent():
    momentum = laboratory(signal())
    axes = []
    for pair in (momentum[:, :2], momentum[:, 2:]):
        one = at_rest(pair[:, 0], pair.sum(axis=1))
        axes.append(one / np.sqrt((one**2).sum(axis=0)))
    # The cosine between two independent axes is uniform.
    assert kstest(abs((axes[0] * axes[1]).sum(axis=0)), "uniform").pvalue > LEAST_P
    # The sign of a product that an exchange of partons leaves alone.
    mixed = np.sign(axes[0][0] * axes[0][1] * axes[1][0] * axes[1][1])
    assert abs(mixed.mean()) < 4 / np.sqrt(N)


def angle(event):
    system = event.momentum[:, :2].sum(axis=1)
    return system[2] / np.sqrt((system**2).sum(axis=0))


def test_spectra_of_the_signal():
    event = signal()
    assert kstest(angle(event), "uniform", args=(-1, 2)).pvalue > LEAST_P
    excess = event.energy.sum(axis=0) - 250
    assert kstest(excess / 75, "gamma", args=(3,)).pvalue > LEAST_P


def test_spectra_of_the_background():
    event = background()
    for masses in event.masses:
        rank = (1 / 80 - 1 / masses) / (1 / 80 - 1 / 185)
        assert kstest(rank, "uniform").pvalue > LEAST_P
    excess = event.energy.sum(axis=0) / event.masses.sum(axis=0) - 1
    assert kstest(excess, "burr12", args=(1.5, 8 / 3)).pvalue > LEAST_P
    assert excess.max() <= 30
    rapidity = np.arctanh(angle(event)) / 1.5
    assert kstest(rapidity, "uniform", args=(-1, 2)).pvalue > LEAST_P


def test_rapidity_follows_the_gluons():
    m = 600.0
    rapidity = partons._draw_rapidity(np.full(N, m), np.random.default_rng(3))
    last = np.log(13_600 / m)

    def density(y):
        first, second = (m / 13_600 * np.exp(side * y) for side in (1, -1))
        return ((1 - first) * (1 - second)) ** 5

    grid = np.linspace(-last, last, 101)
    steps = [quad(density, low, high)[0] for low, high in pairwise(grid)]
    cumulative = np.concatenate([[0], np.cumsum(steps)]) / np.sum(steps)
    result = kstest(rapidity, lambda y: np.interp(y, grid, cumulative))
    assert result.pvalue > LEAST_P


def test_energy_scale_is_the_published_one():
    pt, eta = np.array([20.0, 50.0, 300.0]), np.array([0.0, -1.0, 2.0])
    expected = [
        np.sqrt(2.5**2 / 20 + 1),
        np.sqrt(2.35**2 / 50 + 1),
        np.sqrt(2.2**2 / 300 + 1),
    ]
    np.testing.assert_allclose(jets.energy_scale(pt, eta, (2.5, 0.15)), expected)
    np.testing.assert_allclose(jets.energy_scale(pt, eta, (0.0, 0.0)), 1)


class Fixed:
    """A source of normal numbers that are all the same."""

    def __init__(self, value):
        self.value = value

    def standard_normal(self, shape):
        return np.full(shape, self.value)


def test_nominal_scale_restores_what_jets_lose():
    pt, eta = np.geomspace(5, 2000, 50), np.linspace(-2.5, 2.5, 50)
    raw = jets.lose_energy(pt, eta)
    assert (raw < pt).all()
    np.testing.assert_allclose(raw * jets.energy_scale(raw, eta, (2.5, 0.15)), pt)
    np.testing.assert_allclose(jets.measure(pt, eta, (2.5, 0.15), Fixed(0.0)), pt)


def test_resolution_is_that_of_the_docstring():
    pt, eta = np.full(1, 60.0), np.zeros(1)
    # raw^2 + 6.25 raw = 60^2
    raw = np.sqrt(3.125**2 + 3600) - 3.125
    up = raw * (1 + np.sqrt(0.7**2 / raw + 0.05**2))
    expected = up * np.sqrt(3.0**2 / up + 1)
    np.testing.assert_allclose(jets.measure(pt, eta, (3.0, 0.0), Fixed(1.0)), expected)
    # Far below what a jet may lose: a twentieth is left, and scaled.
    least = raw / 20
    expected = least * np.sqrt(2.5**2 / least + 1)
    found = jets.measure(pt, eta, (2.5, 0.15), Fixed(-50.0))
    np.testing.assert_allclose(found, expected)


def test_acceptance_needs_all_four_jets():
    pt = np.array([[21.0, 30, 40, 50], [19.9, 30, 40, 50], [60, 20, 60, 60]]).T
    assert jets.are_hard(pt).tolist() == [True, False, False]
    eta = np.array([[-2.4, 0, 1, 2], [0, 0, 1, -2.6], [2.6, 0, 0, 0]]).T
    assert jets.are_central(eta).tolist() == [True, False, False]


def test_pairing_is_the_best_of_three():
    event = background(1, 500)
    response = np.random.default_rng(0).uniform(0.7, 1.3, (4, 500))
    momentum = laboratory(event, response)
    found, masses = jets.best_pairing(
        jets.pair_masses(event.energy * response, event.momentum * response)
    )
    for e in range(500):
        trials = [
            [mass(momentum[:, i, e] + momentum[:, j, e]) for i, j in pairing]
            for pairing in PAIRINGS
        ]
        distances = [sum((m - 125) ** 2 for m in trial) for trial in trials]
        best = int(np.argmin(distances))
        np.testing.assert_allclose(masses[:, e], trials[best], rtol=1e-6)
        assert tuple(jets.PAIRS[found[e]]) == PAIRINGS[best][0]
    assert set(found) == {0, 1, 2}


def reference_features(momentum, eta, phi, pairing):
    """Ten features of one event, jet by jet, in the laboratory."""
    pairs = [momentum[:, list(pair)].sum(axis=1) for pair in pairing]
    order = sorted((0, 1), key=lambda i: -np.hypot(*pairs[i][1:3]))
    first, second = (pairs[i] for i in order)
    distances = []
    for i in order:
        one, other = pairing[i]
        turn = abs(phi[one] - phi[other])
        turn = min(turn, 2 * np.pi - turn)
        distances.append(np.hypot(eta[one] - eta[other], turn))
    pair_eta = [np.arctanh(p[3] / np.sqrt((p[1:] ** 2).sum())) for p in (first, second)]
    pt = np.hypot(momentum[1], momentum[2])
    return [
        mass(first),
        mass(second),
        np.hypot(*first[1:3]),
        np.hypot(*second[1:3]),
        mass(first + second),
        *distances,
        abs(pair_eta[0] - pair_eta[1]),
        pt.sum(),
        pt.min(),
    ]


def test_features_against_a_calculation_event_by_event():
    event = background(2, 200)
    response = np.random.default_rng(1).uniform(0.7, 1.3, (4, 200))
    momentum, eta = event.momentum * response, event.eta(event.pt)
    choice, masses = jets.best_pairing(
        jets.pair_masses(event.energy * response, momentum)
    )
    pairs, masses = jets.order_pairs(momentum, choice, masses)
    found = jets.features(momentum, eta, pairs, masses)
    seen, phi = laboratory(event, response), np.arctan2(momentum[1], momentum[0])
    for e in range(200):
        expected = reference_features(
            seen[..., e], eta[:, e], phi[:, e], PAIRINGS[choice[e]]
        )
        np.testing.assert_allclose(found[:, e], expected, rtol=1e-6)


def seen_masses(draw, scale, seed=0, n=50_000):
    """Masses of the true pairs of accepted events, and whether they are the best."""
    event = draw(seed, n)
    eta = event.eta(event.pt)
    pt = jets.measure(event.pt, eta, scale, np.random.default_rng(seed + 1))
    kept = jets.are_central(eta) & jets.are_hard(pt)
    response = (pt / event.pt)[:, kept]
    masses = jets.pair_masses(
        event.energy[:, kept] * response, event.momentum[:, :, kept] * response
    )
    choice, best = jets.best_pairing(masses)
    return event.masses[:, kept], masses[[0, 5]], choice == 0, best


def test_signal_peaks_at_the_higgs_mass():
    _, masses, right, _ = seen_masses(signal, (2.5, 0.15))
    # Mass resolution: half of the jets' relative variances, summed; pT near 60 GeV.
    resolution = 125 * np.sqrt(0.5 * (0.7**2 / 57 + 0.05**2))
    assert abs(np.median(masses) - 125) < 0.1 * resolution
    spread = np.subtract(*np.quantile(masses, [0.8413, 0.1587])) / 2
    assert spread == pytest.approx(resolution, rel=0.25)
    assert right.mean() > 0.9


def test_scale_moves_the_signal_as_its_formula_says():
    medians, expected = [], []
    event = signal(0, 50_000)
    eta = event.eta(event.pt)
    raw = jets.lose_energy(event.pt, eta)
    seen = jets.are_central(eta) & jets.are_hard(event.pt)
    for a in (1.5, 2.5, 3.5):
        medians.append(np.median(seen_masses(signal, (a, 0.15))[1]))
        factor = np.sqrt((a - 0.15 * abs(eta)) ** 2 / raw + 1) * raw / event.pt
        pairs = factor[:, seen].reshape(2, 2, -1)
        expected.append(125 * np.median(np.sqrt(pairs.prod(axis=1))))
    assert np.diff(medians).min() > 2
    # Up to what resolution and acceptance add, a third of a GeV.
    np.testing.assert_allclose(np.diff(medians), np.diff(expected), atol=0.7)


@pytest.mark.parametrize("a", [1.5, 2.5, 3.5])
def test_nothing_migrates_into_the_window_from_beyond_the_background(a, monkeypatch):
    monkeypatch.setattr(partons, "BACKGROUND_MASSES", (50.0, 300.0))
    true, _, right, best = seen_masses(background, (a, 0.15), n=400_000)
    selected = ((best >= 110) & (best <= 140)).all(axis=0)
    true = true[:, selected & right]
    assert true.shape[1] > 2_000
    assert ((true < 80) | (true > 185)).any(axis=0).mean() < 1e-3


def test_background_is_smooth_in_the_window():
    X = jets.draw_selected(
        partons.draw_background, 40_000, (2.5, 0.15), False, np.random.default_rng(0)
    )
    edges = np.linspace(110, 140, 31)
    for masses in X.T:
        counts = np.histogram(masses, edges)[0]
        middle = np.linspace(-1, 1, 30)
        fit = np.polynomial.Polynomial.fit(middle, counts, 4, w=counts**-0.5)
        distance = ((counts - fit(middle)) ** 2 / counts).sum()
        assert chi2.sf(distance, 25) > LEAST_P


@pytest.fixture(scope="module")
def study():
    return make_dihiggs(3, 300, 0.1, 500, features="full", random_state=1)


def test_counts_are_exact_and_inside_the_selection(study):
    assert study.X.shape == (2 * 3 * 300, 10)
    assert len(study.feature_names) == 10
    for label in (0, 1):
        ids, counts = np.unique(study.simulation[study.y == label], return_counts=True)
        np.testing.assert_array_equal(ids, np.arange(3))
        np.testing.assert_array_equal(counts, 300)
    assert study.y_target.sum() == 50
    assert study.y_target.size == study.X_target.shape[0] == 500
    assert study.kappa == pytest.approx(0.1)
    np.testing.assert_array_equal(study.window, [[110, 140]] * 2)
    for X in (study.X, study.X_target):
        columns = dict(zip(study.feature_names, X.T, strict=True))
        assert 110 <= X[:, :2].min() <= X[:, :2].max() <= 140
        assert columns["pt_min"].min() > 20
        assert (columns["pt_bb1"] >= columns["pt_bb2"]).all()
        assert (columns["ht"] >= 4 * columns["pt_min"]).all()
        assert (columns["m_4b"] >= columns["m_bb1"] + columns["m_bb2"]).all()


def test_defaults():
    study = make_dihiggs(n_events=1, n_target=1, kappa=1, random_state=0)
    assert study.X.shape == (20, 2)
    assert study.feature_names == ("m_bb1", "m_bb2")
    assert study.kappa == 1
    assert study.y_target.tolist() == [1]
    np.testing.assert_array_equal(study.target_scale, [[2.5, 0.15]] * 2)


def test_classes_have_their_own_events():
    study = make_dihiggs(1, 2000, 0.5, 4000, random_state=2)
    signal_masses, background_masses = study.X[study.y == 1], study.X[study.y == 0]
    # The signal peaks in the window; standard errors are below 0.2 GeV.
    assert signal_masses.std() < background_masses.std() - 0.5
    for label, events in ((0, background_masses), (1, signal_masses)):
        target = study.X_target[study.y_target == label]
        assert abs(target.std() - events.std()) < 0.5
    position = np.flatnonzero(study.y_target).mean()
    assert abs(position - 1999.5) < 5 * 4000 / np.sqrt(12 * 2000)


def test_same_seed_same_numbers_and_streams_are_separate(study):
    again = make_dihiggs(3, 300, 0.1, 500, features="full", random_state=1)
    np.testing.assert_array_equal(study.X, again.X)
    np.testing.assert_array_equal(study.X_target, again.X_target)
    more = make_dihiggs(5, 2000, 0.1, 500, random_state=1)
    np.testing.assert_array_equal(study.scales, more.scales[:3])
    np.testing.assert_array_equal(study.X_target[:, :2], more.X_target)
    for label in (0, 1):
        for k in range(3):
            few = study.X[(study.y == label) & (study.simulation == k), :2]
            many = more.X[(more.y == label) & (more.simulation == k)]
            np.testing.assert_array_equal(few, many[:300])
    other = make_dihiggs(3, 300, 0.1, 500, features="full", random_state=2)
    assert not np.isin(study.X[:, 0], other.X[:, 0]).any()
    # No two samples share events.
    everything = np.concatenate([study.X[:, 0], study.X_target[:, 0]])
    assert len(np.unique(everything)) == len(everything)


@pytest.mark.parametrize("kind", [np.random.default_rng, np.random.RandomState])
def test_seeds_of_every_kind(kind):
    one, two, three = (
        make_dihiggs(1, 5, n_target=5, random_state=kind(seed)).X for seed in (4, 4, 5)
    )
    np.testing.assert_array_equal(one, two)
    assert not np.isin(one, three).any()


def test_scales_are_shared_or_independent():
    shared, separate = (
        make_dihiggs(
            200,
            1,
            n_target=1,
            shared_scale=shared,
            spread=(0.4, 0.05),
            target_scale="drawn",
            random_state=0,
        )
        for shared in (True, False)
    )
    assert shared.scales.shape == (200, 2, 2)
    np.testing.assert_array_equal(shared.scales[:, 0], shared.scales[:, 1])
    np.testing.assert_array_equal(shared.target_scale[0], shared.target_scale[1])
    assert (separate.scales[:, 0] != separate.scales[:, 1]).all()
    assert (separate.target_scale[0] != separate.target_scale[1]).all()
    background_a, signal_a = separate.scales[:, :, 0].T
    assert abs(np.corrcoef(background_a, signal_a)[0, 1]) < 4 / np.sqrt(200)
    a, b = separate.scales.reshape(-1, 2).T
    # Means and standard deviations of 400 draws, within four standard errors.
    for values, mean, sigma in ((a, 2.5, 0.4), (b, 0.15, 0.05)):
        assert abs(values.mean() - mean) < 4 * sigma / np.sqrt(400)
        assert abs(values.std() - sigma) < 4 * sigma / np.sqrt(800)
    # One more draw, not one of the simulations.
    assert not np.isin(shared.target_scale, shared.scales).any()


def test_every_sample_has_its_own_scale():
    study = make_dihiggs(
        2,
        3000,
        0.5,
        6000,
        shared_scale=False,
        target_scale=[[2.5, 0.15], [4.5, 0.15]],
        spread=(1.0, 0),
        random_state=21,
    )
    a = study.scales[:, 1, 0]
    # The scales of the background, in the other order, must not matter.
    assert a[1] - a[0] > 0.7 > 0 > np.diff(study.scales[:, 0, 0])
    np.testing.assert_array_equal(study.scales[..., 1], 0.15)
    means = [study.X[(study.y == 1) & (study.simulation == k)].mean() for k in (0, 1)]
    means.append(study.X_target[study.y_target == 1].mean())
    # The mean mass of the signal rises with its a; its standard error is 0.1 GeV.
    order = np.argsort([*a, 4.5])
    assert (np.diff(np.array(means)[order]) > 0.5).all()


def test_no_spread_is_nominal():
    study = make_dihiggs(3, 1, n_target=1, spread=(0, 0), random_state=0)
    np.testing.assert_array_equal(study.scales, np.full((3, 2, 2), [2.5, 0.15]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_simulations": 0}, "n_simulations must be an integer of at least 1; got 0"),
        ({"n_events": 1.5}, "n_events must be an integer of at least 1; got 1.5"),
        ({"n_target": 0}, "n_target must be an integer of at least 1; got 0"),
        ({"kappa": 1.1}, "kappa must be a number from 0 to 1; got 1.1"),
        ({"kappa": float("nan")}, "kappa must be a number from 0 to 1; got nan"),
        ({"kappa": "half"}, "kappa must be a number from 0 to 1; got 'half'"),
        ({"kappa": [0.1, 0.2]}, r"kappa must be a number from 0 to 1; got \[0.1"),
        ({"features": "mass"}, "features must be 'masses' or 'full'; got 'mass'"),
        ({"features": ["full"]}, "features must be 'masses' or 'full'; got"),
        ({"spread": 0.5}, "spread must hold two numbers of at least 0.* got 0.5"),
        ({"spread": (-1, 0)}, "spread must hold two numbers of at least 0"),
        ({"spread": (np.inf, 0)}, "spread must hold two numbers of at least 0"),
        ({"target_scale": "other"}, "target_scale must be None, 'drawn', or .*'other'"),
        ({"target_scale": (1, 2, 3)}, "target_scale must be None, 'drawn', or"),
        ({"target_scale": (np.nan, 0)}, "target_scale must be None, 'drawn', or"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        make_dihiggs(**{"n_simulations": 1, "n_events": 1, "n_target": 1, **arguments})


def test_the_code_of_the_guide_runs():
    guide = Path(__file__).parents[3] / "doc" / "dihiggs.md"
    text = guide.read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    names = {}
    exec(compile(code, "guide", "exec"), names)
    assert names["X"].shape == (80_000, 2)
    assert names["kappa"] == pytest.approx(1 / 11)
    assert len(names["ten"]) == 10


def test_a_million_events_take_ten_seconds():
    seconds = []
    for _ in range(3):  # other processes share the core's cache
        start = time.process_time()
        make_dihiggs(1, 25_000, n_target=1, random_state=0)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 10 * 50_000 / 1e6
