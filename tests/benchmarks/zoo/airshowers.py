"""Air showers: the fraction of protons among four masses, from depths of the maximum.

Two studies: events of one of five hadronic models (leave one model out), and histograms
that the Pierre Auger Observatory measured. The latter are read from the wheel

    pip download --no-deps --dest ~/.cache/sktamm astrotools==1.5.0

in the folder that ``SKTAMM_CACHE`` names (``~/.cache/sktamm`` if it names none);
without it that study is left out. What stands for the truth there is a *comparison*:
the proton fraction of the collaboration's own fits to the same histograms
(arXiv:1409.5083), averaged over EPOS-LHC, QGSJetII-04 and Sibyll2.1, whose answers
differ by up to .3.
"""

import zipfile
from functools import cache

import hist
import numpy as np
from cases import CACHE, Case, Study

MASSES = (56, 14, 4, 1)  # the last class is the one whose fraction is asked for
# Location, scale and shape of the depths in g/cm^2: coefficients of 1, ln A, (ln A)^2
# in a row, rows for 1, e and e^2 with e = lg(E/eV) - 19. De Domenico et al.,
# arXiv:1305.2331, table 1.
SHOWERS = {
    "QGSJetII": (
        ((758.444, -10.692, -1.253), (48.892, 0.02, 0.179), (-2.346, 0.348, -0.086)),
        ((39.033, 7.452, -2.176), (4.390, -1.688, 0.170)),
        ((0.857, 0.686, -0.040), (0.179, 0.076, -0.0130)),
    ),
    "QGSJetII-04": (
        ((761.383, -11.719, -1.372), (57.344, -1.731, 0.309), (-0.355, 0.273, -0.137)),
        ((35.221, 12.335, -2.889), (0.307, -1.147, 0.271)),
        ((0.673, 0.694, -0.007), (0.060, -0.019, 0.017)),
    ),
    "Sibyll2.1": (
        ((770.104, -15.873, -0.960), (58.668, -0.124, -0.023), (-1.423, 0.977, -0.191)),
        ((31.717, 1.335, -0.601), (-1.912, 0.007, 0.086)),
        ((0.683, 0.278, 0.012), (0.008, 0.051, 0.003)),
    ),
    "EPOS1.99": (
        ((780.013, -11.488, -1.906), (61.911, -0.098, 0.038), (-0.405, 0.163, -0.095)),
        ((28.853, 8.104, -1.924), (-0.083, -0.961, 0.215)),
        ((0.538, 0.524, 0.047), (0.009, 0.023, 0.010)),
    ),
    "EPOS-LHC": (
        ((775.589, -7.047, -2.427), (57.589, -0.743, 0.214), (-0.820, -0.169, -0.027)),
        ((29.403, 13.553, -3.154), (0.096, -0.961, 0.150)),
        ((0.563, 0.711, 0.058), (0.039, 0.067, -0.004)),
    ),
}
WHEEL = CACHE / "astrotools-1.5.0-py2.py3-none-any.whl"
FOLDER = "astrotools/data"
FITS = ("eps", "q04", "s21")
# Bins of energy with more than 400 showers; bins of depth, the outer ones open.
N_ENERGIES = 10
EDGES = np.linspace(500.0, 1100.0, 31)


def gumbel(model: str, mass: int, energy: float) -> tuple[float, float, float]:
    """Location, scale and shape of the depths at lg(E/eV)."""
    log_mass = np.log(mass) ** np.arange(3)
    e = energy - 19.0
    mu, sigma, shape = (
        float(np.polynomial.Polynomial(np.array(rows) @ log_mass)(e))
        for rows in SHOWERS[model]
    )
    return mu, sigma, shape


def depths(model, mass, energy, n, rng):
    """Depths of n showers, before the detector."""
    mu, sigma, shape = gumbel(model, mass, energy)
    return mu - sigma * np.log(rng.gamma(shape, 1.0 / shape, n))


# ------------------------------------------------------------- one model is the truth
def _models(rng, size, number) -> Case:
    """At 10^18.5 eV, without a detector."""
    models = list(SHOWERS)
    truth = models.pop(number)

    def draw(mass, model, n):
        return depths(model, mass, 18.5, n, rng)

    n = size.simulated
    sources = [(c, k) for c in range(4) for k in range(len(models))]
    X = np.concatenate([draw(MASSES[c], models[k], n) for c, k in sources])
    y, simulation = (np.repeat(v, n) for v in zip(*sources, strict=True))
    targets = []
    for fractions in ([0.1, 0.4, 0.3, 0.2], [0.0, 0.2, 0.3, 0.5], [0.3, 0.5, 0.1, 0.1]):
        numbers = rng.multinomial(size.target, fractions)
        parts = [draw(MASSES[c], truth, m) for c, m in enumerate(numbers)]
        targets.append((np.concatenate(parts)[:, None], fractions[-1]))
    right = np.concatenate([draw(mass, truth, n) for mass in MASSES])[:, None]
    return Case(X[:, None], y, simulation, targets, (right, np.repeat(range(4), n)))


# ------------------------------------------------------------------------- measured
@cache
def _table(name):
    """Numbers of a file of the wheel, (rows, columns)."""
    with zipfile.ZipFile(WHEEL) as wheel, wheel.open(f"{FOLDER}/{name}") as file:
        return np.loadtxt(file, comments="#", ndmin=2)


def published(number: int) -> float:
    """Published proton fraction in a bin of energy, averaged over models."""
    tables = [_table(f"comp/comp-{fit}-4-tot.dat") for fit in FITS]
    return float(np.mean([table[number, 1] for table in tables]))


def measured_counts(number: int) -> np.ndarray:
    """Showers in the bins of depth, in a bin of energy."""
    counts = _table("xmax/xmaxHistograms.txt")[number, 7:]
    centres = np.clip(np.arange(10.0, 2000.0, 20.0), EDGES[0], EDGES[-1])
    return np.histogram(centres, EDGES, weights=counts)[0]


def _accepted(depth, number):
    """Probability that a shower of a true depth is seen."""
    x1, _, x2, _, l1, _, l2, _ = _table("xmax/acceptance.txt")[number, 3:]
    below, above = np.minimum(depth - x1, 0.0), np.maximum(depth - x2, 0.0)
    return np.exp(below / l1 - above / l2)


def _smeared(depth, number, rng):
    """Depths with the resolution: two Gaussians."""
    narrow, _, wide, _, share = _table("xmax/resolution.txt")[number, 3:]
    width = np.where(rng.random(len(depth)) < share, narrow, wide)
    return depth + width * rng.normal(size=len(depth))


def seen(model, mass, number, n, rng):
    """Depths of n showers as the detector shows them, in a bin of energy."""
    energy = _table("xmax/xmaxMoments.txt")[number, 3]
    depth = np.empty(0)
    while len(depth) < n:
        more = depths(model, mass, energy, 2 * n, rng)
        more = more[rng.random(2 * n) < _accepted(more, number)]
        depth = np.concatenate([depth, more])
    return _smeared(depth[:n], number, rng)


def _histogram(counts):
    own = hist.Hist(hist.axis.Variable(EDGES, name="depth", flow=False))
    own[...] = counts
    return own


def _measured(rng, size, number) -> Case:
    """Simulations are the models, folded with the detector; one measured target."""
    X, y, simulation = [], [], []
    for c, mass in enumerate(MASSES):
        for model in SHOWERS:
            depth = seen(model, mass, number, size.simulated, rng)
            depth = np.clip(depth, EDGES[0], EDGES[-1])
            X.append(_histogram(np.histogram(depth, EDGES)[0]))
            y.append(c)
            simulation.append(model)
    target = _histogram(measured_counts(number)), published(number)
    return Case(X, y, simulation, [target])


STUDIES = [Study("air showers, 4 masses", _models, 1, True, 5, numbered=True)]
if WHEEL.exists():
    STUDIES.append(
        Study(
            "air showers, measured depths (compared with published fits)",
            _measured,
            0,
            sealed=True,
            n_sets=N_ENERGIES,
            numbered=True,
        )
    )
