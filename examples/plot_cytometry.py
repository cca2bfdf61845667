"""Flow cytometry: cells of one kind, labelled by other instruments
================================================================

A sample of cells is measured in ten colours, and the fraction of one kind is asked for.
Labelled samples of other donors on other instruments are the simulations: in each of
them the populations are moved, and none is the sample at hand. Ten features are too
many for bins; ``ScoreTAMM`` makes them one, and ``AutoTAMM`` averages it with learned
ratios.

The samples here are generated: four populations in ten features that each donor moves.
With ``cytometry.npz`` in the folder that the environment variable ``SKTAMM_DATA`` names
(ten labelled samples of optimalFlowData, Artistic-2.0), they are those, and the kind
are monocytes.

``python examples/plot_cytometry.py [figure.png]``
"""

import os
import sys
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from sktamm import NeuralRatioTAMM, ScoreTAMM
from sktamm.auto import PosteriorPool
from sktamm.baselines import LabelShiftEM, PooledSimulations, SingleSimulation
from sktamm.exceptions import SktammWarning

FILE = Path(os.environ.get("SKTAMM_DATA", "none")) / "cytometry.npz"
N_CELLS, N_DONORS = 4_000, 9
LEARNER = "lightgbm" if FILE.exists() else "logistic"

# %%
# Samples
# -------


def made(rng):
    """Cells (n, 10), whether they are of the kind, and their donor."""
    centres = rng.normal(scale=0.7, size=(4, 10))
    widths = rng.uniform(0.6, 1.2, size=(4, 10))
    X, y, donor = [], [], []
    for k in range(N_DONORS):
        moved = centres + rng.normal(scale=0.25, size=(4, 10))
        shares = rng.dirichlet([12, 30, 24, 18])
        kind = rng.choice(4, size=N_CELLS, p=shares)
        X.append(moved[kind] + widths[kind] * rng.normal(size=(N_CELLS, 10)))
        y.append((kind == 0).astype(int))
        donor.append(np.full(N_CELLS, k))
    return np.concatenate(X), np.concatenate(y), np.concatenate(donor)


def public(rng):
    """The same of the public samples."""
    with np.load(FILE) as file:
        X, donor = file["X"].astype(float), file["sample"]
        y = (np.asarray(file["classes"])[file["y"]] == "Monocytes").astype(int)
    donors = np.unique(donor)[:N_DONORS]
    own = [rng.permutation(np.flatnonzero(donor == k))[:N_CELLS] for k in donors]
    rows = np.concatenate(own)
    return X[rows], y[rows], np.searchsorted(donors, donor[rows])


rng = np.random.default_rng(0)
X, y, donor = public(rng) if FILE.exists() else made(rng)
X = (X - X.mean(axis=0)) / X.std(axis=0)

# %%
# Each of three donors in turn is the sample, the six others are the simulations. What
# the sample holds is known, for its cells are labelled.

METHODS = {
    "one donor believed": SingleSimulation(ScoreTAMM(LEARNER, random_state=0)),
    "donors pooled": PooledSimulations(ScoreTAMM(LEARNER, random_state=0)),
    "EM under label shift": LabelShiftEM(LEARNER, random_state=0),
    "ScoreTAMM": ScoreTAMM(LEARNER, random_state=0),
    "score and ratios": PosteriorPool(
        [
            ("score", ScoreTAMM(LEARNER, random_state=0)),
            ("ratios", NeuralRatioTAMM(LEARNER, random_state=0)),
        ]
    ),
}


def measure(estimator, sample):
    """Estimate and interval of one donor, measured with the last six donors."""
    fitted = donor >= N_DONORS - 6
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SktammWarning)
        estimator.fit(X[fitted], y[fitted], simulation=donor[fitted])
        own = X[donor == sample]
        kappa, interval = estimator.predict(own, return_interval=0.683)
    return kappa[0], *interval[0]


# %%
# A donor that is believed, or donors merged into one, give short intervals that miss
# two or three of the three fractions. Those that know how donors differ are wider and
# miss one.

figure, axes = plt.subplots(1, 3, figsize=(11, 3), sharey=True, layout="constrained")
for sample, ax in enumerate(axes):
    truth = y[donor == sample].mean()
    for row, (name, method) in enumerate(METHODS.items()):
        kappa, low, high = measure(method, sample)
        held = "holds" if low <= truth <= high else "misses"
        print(f"donor {sample} ({truth:.3f}): {name:22s} {kappa:.3f} {held}")
        color = "C0" if held == "holds" else "C3"
        ax.errorbar(kappa, -row, xerr=[[kappa - low], [high - kappa]], fmt="o", c=color)
    ax.axvline(truth, color="0.5", ls="--")
    ax.set(xlabel="fraction, 68.3 % interval", title=f"donor {sample}")
axes[0].set_yticks(-np.arange(len(METHODS)), METHODS)
if len(sys.argv) > 1:
    figure.savefig(sys.argv[1], dpi=100)
else:
    plt.show()
