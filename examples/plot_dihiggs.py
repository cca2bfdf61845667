"""Di-Higgs from the first event to the coverage
=============================================

Four jets are two Higgs bosons, or four jets of QCD. Every simulation has the energy
scale of its jets wrong in a way of its own, which moves both reconstructed masses; the
data have the nominal scale. These are the figures of such a paper: what the simulations
know, what the data make of them, the posterior, what its error is made of, and how
often the interval holds the truth.

``python examples/plot_dihiggs.py [figure.png]`` saves them as figure-1.png and so on;
with ``SKTAMM_FULL=1`` in the environment with more events and pseudo-experiments.
"""

import os
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from sktamm import BinnedTopicTAMM
from sktamm.baselines import SingleSimulation
from sktamm.coverage import coverage_study
from sktamm.datasets import make_dihiggs
from sktamm.diagnostics import error_split, influence
from sktamm.plotting import (
    CoverageDisplay,
    FractionDisplay,
    InfluenceDisplay,
    MixtureDisplay,
    PullDisplay,
    TemplatesDisplay,
)

FULL = bool(os.environ.get("SKTAMM_FULL"))
N_EVENTS, N_EXPERIMENTS, N_SETS = (50_000, 100, 30) if FULL else (10_000, 10, 6)

# %%
# Events
# ------
# Eight simulations of both classes with the two masses as features, and 55 000 events
# of data, one in eleven of which is signal.

study = make_dihiggs(n_simulations=8, n_events=N_EVENTS, random_state=0)
masses = ["first mass [GeV]", "second mass [GeV]"]
events = pd.DataFrame(study.X, columns=masses)
data = pd.DataFrame(study.X_target, columns=masses)
tamm = BinnedTopicTAMM(random_state=0)
tamm.fit(events, study.y, simulation=study.simulation)
print("overlap of the simulations of each class:", tamm.overlap_.round(3))

# %%
# Templates
# ---------
# Band of the simulations, their average, and the template that the data prefer: above
# the densities, below their ratio to the average. The data move the signal to the
# nominal scale.

result = tamm.infer(data, levels=[0.683, 0.955])
TemplatesDisplay.from_result(result).plot()

# %%
# The adapted mixture
# -------------------
# Data, the classes after adapting, and pulls below; the dashed line is the average of
# the simulations at the same fraction.

MixtureDisplay.from_result(result).plot()

# %%
# The fraction
# ------------

print(result.summary())
FractionDisplay.from_result(result).plot(truth=study.kappa)

# %%
# What the error is made of, and which simulation matters.

print(error_split(tamm, data).to_frame().round(4).to_string())
InfluenceDisplay.from_result(influence(tamm, data)).plot()

# %%
# Coverage
# --------
# Datasets of known fractions, drawn from labelled events of the nominal scale, over
# sets of simulations that are made anew; beside it the fit that believes one
# simulation.


def study_of(estimator, seed):
    """Pseudo-experiments of one set of simulations."""
    made = make_dihiggs(
        n_simulations=8,
        n_events=N_EVENTS,
        kappa=0.3,
        n_target=80_000,
        random_state=seed + 1,
    )
    estimator.fit(made.X, made.y, simulation=made.simulation)
    return coverage_study(
        estimator,
        made.X_target,
        made.y_target,
        kappas=[0.05, 0.1, 0.2],
        sizes=10_000,
        n_datasets=N_EXPERIMENTS,
        levels=(0.683, 0.955),
        group=seed,
        random_state=seed,
    )


figure, axes = plt.subplots(1, 3, figsize=(14, 4.2), layout="constrained")
for ax, (name, estimator) in zip(
    axes,
    {"BinnedTopicTAMM": tamm, "one simulation": SingleSimulation()}.items(),
    strict=False,
):
    studies = [study_of(estimator, seed) for seed in range(N_SETS)]
    merged = studies[0].merge(*studies[1:])
    columns = ["coverage_0.683", "coverage_0.955", "rmse", "interval_score_0.683"]
    print(name, merged.table()[columns].round(3).to_string(), sep="\n")
    display = CoverageDisplay.from_result(merged)
    display.title = name
    display.plot(ax)
    if estimator is tamm:
        PullDisplay.from_result(merged).plot(axes[2])

if len(sys.argv) > 1:
    path = Path(sys.argv[1])
    for number in plt.get_fignums():
        name = path.with_stem(f"{path.stem}-{number}")
        plt.figure(number).savefig(name, dpi=100)
else:
    plt.show()
