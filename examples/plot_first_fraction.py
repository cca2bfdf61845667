"""A first fraction
================

A first fraction: ten wrong simulations, one dataset, one picture.

The example of the README; its figure: ``python examples/plot_first_fraction.py PATH``.
"""

import sys

import matplotlib.pyplot as plt

from sktamm import AutoTAMM
from sktamm.datasets import make_gaussian_study
from sktamm.plotting import FractionDisplay, MixtureDisplay, save_overview

study = make_gaussian_study(n_simulations=10, n_events=5000, random_state=0)

tamm = AutoTAMM().fit(study.X, study.y, simulation=study.simulation)
kappa, interval = tamm.predict(study.X_target, return_interval=0.683)
print(f"{kappa[0]:.3f} in {interval[0].round(3)}, truth {study.kappa:.3f}")

result = tamm.infer(study.X_target)
print(result.flags)
if len(sys.argv) > 1:
    save_overview(result, sys.argv[1])
else:
    MixtureDisplay.from_result(result).plot()
    FractionDisplay.from_result(result).plot(truth=study.kappa)
    plt.show()
