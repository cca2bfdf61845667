"""Top quarks: nominal, variations and generators in one set
=========================================================

An analysis has one nominal simulation, small variations of it, and a few other
generators. Such a set is no sample of one population: the mean distance between its
members says little of that to the truth. ``families`` say what is what. The data are
made half by one and half by the other alternative generator, so that no simulation is
right.

The histograms here are generated. With the public ones of the Analysis Grand Challenge
(iris-hep/analysis-grand-challenge, CMS open data) as ``agc_ttbar.npz`` in the folder
that the environment variable ``SKTAMM_DATA`` names, they are those.

``python examples/plot_ttbar_families.py [figure.png]``
"""

import os
import sys
import warnings
from pathlib import Path

import hist
import matplotlib.pyplot as plt
import numpy as np

from sktamm import BinnedTopicTAMM
from sktamm.exceptions import ExchangeabilityWarning
from sktamm.mixture import ShrinkagePrior, SimulationsPrior
from sktamm.plotting import ExchangeabilityDisplay, MixtureDisplay

FILE = Path(os.environ.get("SKTAMM_DATA", "none")) / "agc_ttbar.npz"
REGION, EDGES = "4j1b", np.linspace(50.0, 550.0, 26)

# %%
# Histograms
# ----------
# The mass of three jets: a broad peak of top quark pairs, and W bosons with jets. Every
# simulation of top quarks moves the peak, widens it and bends the tail.

MADE = {
    "": (0, 0, 0),
    "ME_var": (2.5, 3, 0.12),
    "PS_var": (-4, 6, -0.08),
    "scaleup": (0.3, 0, 0.03),
    "scaledown": (-0.3, 0, -0.03),
    "pt_scale_up": (1.2, 0, 0.01),
    "pt_res_up": (0, 1.5, 0),
}
W_MADE = {
    "": 0.0,
    "scale_var_up": 0.004,
    "scale_var_down": -0.004,
    "pt_scale_up": 0.002,
}
KAPPA_MADE = 0.8


def made():
    """Contents by name, of 100 000 events, and the data."""
    x = (EDGES[1:] + EDGES[:-1]) / 2
    contents = {}
    for name, (shift, wider, bend) in MADE.items():
        peak = 0.7 * np.exp(-0.5 * ((x - 172 - shift) / (28 + wider)) ** 2)
        shape = peak + (x / 200) ** 2 * np.exp(-x / 75 * (1 - bend))
        contents["ttbar", name] = 100_000 * shape / shape.sum()
    for name, bend in W_MADE.items():
        shape = (x / 150) ** 1.5 * np.exp(-x / 95 * (1 - bend))
        contents["wjets", name] = 100_000 * shape / shape.sum()
    top = (contents["ttbar", "ME_var"] + contents["ttbar", "PS_var"]) / 2
    mixture = KAPPA_MADE * top + (1 - KAPPA_MADE) * contents["wjets", ""]
    return contents, np.random.default_rng(0).poisson(0.2 * mixture), KAPPA_MADE


def public():
    """The same of the public histograms, but for the variations of b tags."""
    contents, data = {}, None
    with np.load(FILE) as file:
        for name, values in zip(file["name"].tolist(), file["contents"], strict=True):
            region, process, *variation = name.split("_", 2)
            if region == REGION and process == "pseudodata":
                data = values[1:-1]
            elif region == REGION and not "".join(variation).startswith("btag"):
                contents[process, "".join(variation)] = values[1:-1]
    return contents, data, 0.832


def histogram(values):
    """Histogram of the mass."""
    own = hist.Hist(hist.axis.Variable(EDGES, name="mass of three jets", flow=False))
    own[...] = values
    return own


contents, data, truth = public() if FILE.exists() else made()
templates = [histogram(values) for values in contents.values()]
processes = [process for process, _ in contents]
simulations = [name or "nominal" for _, name in contents]

# %%
# Not of one kind
# ---------------
# Each simulation and its distances to the others, in units of their spread: two
# generators stand far out, the variations lie close together. ``fit`` warns where a
# test is sure of it, as for the public histograms; of so few members it seldom is, so
# declare families without waiting for a warning.

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", ExchangeabilityWarning)
    plain = BinnedTopicTAMM(pos_label="ttbar", random_state=0)
    plain.fit(templates, processes, simulation=simulations)
for warning in caught:
    print(warning.category.__name__, "-", warning.message)
ExchangeabilityDisplay.from_estimator(plain).plot()

# %%
# Families
# --------
# Two generators of top quarks are alternatives, each of which could have been the
# nominal; everything else varies one parameter. ``SimulationsPrior`` stays within what
# the members span, ``ShrinkagePrior`` lets the truth differ from all generators
# smoothly.

FAMILY = {"ME_var": "generator", "PS_var": "generator"}
families = {
    name: FAMILY.get(name, name.removesuffix("up").removesuffix("down").strip("_"))
    for name in simulations
    if name != "nominal"
}
declared = {
    "families": families,
    "nominal": "nominal",
    "alternatives": ["generator"],
}
methods = {"no families": plain}
for prior in (SimulationsPrior(**declared), ShrinkagePrior(**declared)):
    tamm = BinnedTopicTAMM(prior=prior, pos_label="ttbar", random_state=0)
    tamm.fit(templates, processes, simulation=simulations)
    methods[f"{type(prior).__name__}, families"] = tamm

figure, ax = plt.subplots(figsize=(6.4, 2.4), layout="constrained")
for row, (name, tamm) in enumerate(methods.items()):
    result = tamm.infer([histogram(data)], levels=[0.683, 0.955])
    (low, high), kappa = result.interval[0], result.kappa[0]
    flags = " ".join(result.flags[0])
    print(f"{name:26s} {kappa:.3f} [{low[0]:.3f}, {high[0]:.3f}] {flags}")
    ax.plot([low[1], high[1]], [-row, -row], "C0", lw=1)
    ax.plot([low[0], high[0]], [-row, -row], "C0", lw=4, solid_capstyle="butt")
    ax.plot(kappa, -row, "ko", ms=4)
ax.axvline(truth, color="C3", ls="--", label="truth")
ax.set_yticks(-np.arange(len(methods)), methods)
ax.set(xlabel="fraction of top quark pairs, 68.3 and 95.5 %", ylim=(-2.6, 0.6))
ax.legend()

# %%
# The adapted mixture of the last.

MixtureDisplay.from_result(result).plot()

if len(sys.argv) > 1:
    path = Path(sys.argv[1])
    for number in plt.get_fignums():
        name = path.with_stem(f"{path.stem}-{number}")
        plt.figure(number).savefig(name, dpi=100)
else:
    plt.show()
