"""Air showers: the fraction of protons when hadronic models disagree
==================================================================

A cosmic ray makes a shower of particles in the air. The depth of its maximum tells the
mass of the primary, light nuclei reaching deeper, but the depth that a mass has depends
on the hadronic model. Here five models are the simulations of four masses. A fit that
believes one model answers differently for every model, and is sure each time; all
models together make one answer whose interval says how much they disagree. How much
depends on the prior: within what the models span, or with smooth departures of any
kind.

The models are the published generalised Gumbel distributions of De Domenico et al.,
arXiv:1305.2331. Without further files the data are showers of a sixth "model" between
them, of known composition. With the measured depths of the Pierre Auger Observatory,
arXiv:1409.4809, in the MIT-licensed package ``astrotools``,

    pip download --no-deps --dest ~/.cache/sktamm astrotools==1.5.0

the second figure is drawn: proton fractions in ten bins of energy beside those that the
collaboration published with three of the models (arXiv:1409.5083).

``python examples/plot_air_showers.py [figure.png]``
"""

import os
import sys
import warnings
import zipfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from sktamm import BinnedTopicTAMM
from sktamm.baselines import SingleSimulation
from sktamm.exceptions import SktammWarning

N_EVENTS = 20_000 if os.environ.get("SKTAMM_FULL") else 4_000
MASSES = (
    56,
    14,
    4,
    1,
)  # iron, nitrogen, helium, and protons, whose fraction is asked for

# %%
# Five models
# -----------
# Coefficients of 1, ln A and (ln A)^2 of location, scale and shape at 10^19 eV, then
# those of the terms linear and quadratic in lg(E / 10^19 eV).

MODELS = {
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


def gumbel(model, mass, energy):
    """Location, scale and shape of the depths at lg(E / eV)."""
    log_mass = np.log(mass) ** np.arange(3)
    return [
        float(np.polynomial.Polynomial(np.array(rows) @ log_mass)(energy - 19.0))
        for rows in MODELS[model]
    ]


def depths(parameters, n, rng):
    """Depths of n showers in g/cm2."""
    location, scale, shape = parameters
    return location - scale * np.log(rng.gamma(shape, 1.0 / shape, n))


def simulate(draw):
    """Events, masses and models of all simulations, ``draw(model, mass)`` of each."""
    sources = [(mass, model) for mass in MASSES for model in MODELS]
    X = np.concatenate([draw(model, mass) for mass, model in sources])
    mass, model = (np.repeat(v, N_EVENTS) for v in zip(*sources, strict=True))
    return np.clip(X, 500.0, 1100.0)[:, None], mass, model


# %%
# One model at a time, and all together
# -------------------------------------
# The data: 3 000 showers at 10^18.5 eV with a proton fraction of .4, from the mean of
# the parameters of all models. ``pos_label`` names the class whose fraction is kappa.

rng = np.random.default_rng(0)
X, mass, model = simulate(lambda name, A: depths(gumbel(name, A, 18.5), N_EVENTS, rng))
FRACTIONS = dict(zip(MASSES, (0.1, 0.2, 0.3, 0.4), strict=True))
X_target = np.concatenate(
    [
        depths(
            np.mean([gumbel(name, A, 18.5) for name in MODELS], axis=0),
            round(3000 * share),
            rng,
        )
        for A, share in FRACTIONS.items()
    ]
)[:, None]


def measure(estimator, X_target):
    """Kappa with its interval."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SktammWarning)  # flagged fits are shown as well
        result = estimator.infer(X_target, levels=[0.683])
    return result.kappa[0], *result.interval[0, :, 0], result.flags[0]


def estimators():
    """A fit that believes each model, and one that blends all."""
    settings = {"bins": 25, "range": [(500.0, 1100.0)], "pos_label": 1}
    inner = BinnedTopicTAMM(**settings)
    single = {name: SingleSimulation(inner, which=name) for name in MODELS}
    spanned = BinnedTopicTAMM(**settings, prior="simulations", random_state=0)
    anything = BinnedTopicTAMM(**settings, random_state=0)
    return single | {"all models": spanned, "all, default prior": anything}


answers = {
    name: measure(estimator.fit(X, mass, simulation=model), X_target)
    for name, estimator in estimators().items()
}
for name, (kappa, lower, upper, flags) in answers.items():
    print(f"{name:18s} {kappa:.2f} [{lower:.2f}, {upper:.2f}] {' '.join(flags)}")

figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
for row, (name, (kappa, lower, upper, _)) in enumerate(answers.items()):
    color = "C3" if name.startswith("all") else "C0"
    ax.errorbar(kappa, -row, xerr=[[kappa - lower], [upper - kappa]], fmt="o", c=color)
ax.axvline(FRACTIONS[1], color="0.5", ls="--", label="truth")
ax.set_yticks(-np.arange(len(answers)), answers)
ax.set(xlabel="fraction of protons, 68.3 % interval", xlim=(0, 1))
ax.legend()

# %%
# In one feature protons and helium look much alike. The default prior allows smooth
# departures that no model has, and what is left says little; here its interval at 68.3
# % misses. The prior ``simulations`` stays within what the models span, which is right
# where the truth lies between them, as it does here by construction, and has to be
# argued elsewhere.

# %%
# Measured depths
# ---------------
# The models are folded with the published acceptance and resolution, the data are the
# published histograms. Neither answer is the truth.

FOLDER = Path(os.environ.get("SKTAMM_CACHE", Path.home() / ".cache" / "sktamm"))
WHEEL = FOLDER / "astrotools-1.5.0-py2.py3-none-any.whl"


def table(name):
    """Numbers of a file of the package."""
    with zipfile.ZipFile(WHEEL) as wheel:
        return np.loadtxt(wheel.open(f"astrotools/data/{name}"), ndmin=2)


def seen(model, mass, number, rng):
    """Depths as the detector shows them, in a bin of energy."""
    energy = table("xmax/xmaxMoments.txt")[number, 3]
    x1, _, x2, _, l1, _, l2, _ = table("xmax/acceptance.txt")[number, 3:]
    narrow, _, wide, _, share = table("xmax/resolution.txt")[number, 3:]
    depth = depths(gumbel(model, mass, energy), 4 * N_EVENTS, rng)
    below, above = np.minimum(depth - x1, 0.0), np.maximum(depth - x2, 0.0)
    kept = depth[rng.random(depth.size) < np.exp(below / l1 - above / l2)][:N_EVENTS]
    width = np.where(rng.random(kept.size) < share, narrow, wide)
    return kept + width * rng.normal(size=kept.size)


def measured(number):
    """Depths of the measured showers, at the centres of their bins."""
    counts = table("xmax/xmaxHistograms.txt")[number, 7:].astype(int)
    return np.clip(np.repeat(np.arange(10.0, 2000.0, 20.0), counts), 500, 1100)[:, None]


def draw_measured():
    """Proton fractions against the energy, ours and published."""
    energies = table("xmax/xmaxMoments.txt")[:10, 3]
    found = []
    for number in range(10):
        X, mass, model = simulate(lambda m, A, k=number: seen(m, A, k, rng))
        tamm = estimators()["all models"].fit(X, mass, simulation=model)
        found.append(measure(tamm, measured(number))[:3])
    kappa, lower, upper = np.transpose(found)
    _, ax = plt.subplots(figsize=(7, 4), layout="constrained")
    error = [kappa - lower, upper - kappa]
    ax.errorbar(energies, kappa, error, fmt="o", c="C3", label="all models, 68.3 %")
    for marker, (name, fit) in zip(
        "sv^",
        {"EPOS-LHC": "eps", "QGSJetII-04": "q04", "Sibyll2.1": "s21"}.items(),
        strict=True,
    ):
        published = table(f"comp/comp-{fit}-4-tot.dat")[:10, 1]
        ax.plot(energies, published, marker, mfc="white", label=f"published, {name}")
    ax.set(xlabel="lg(E / eV)", ylabel="fraction of protons", ylim=(0, 1))
    ax.legend(fontsize="small")


if WHEEL.exists():
    draw_measured()
else:
    print(f"no {WHEEL}: measured depths are left out")

if len(sys.argv) > 1:
    path = Path(sys.argv[1])
    for number in plt.get_fignums():
        name = path.with_stem(f"{path.stem}-{number}")
        plt.figure(number).savefig(name, dpi=100)
else:
    plt.show()
