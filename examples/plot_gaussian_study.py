"""The Gaussian study beside the published table
=============================================

Signal and background are two Gaussians in a window, kappa is 1/11, and every simulation
has means and widths of its own. The published method (arXiv:2604.02219) takes learned
ratios of K simulations, a weighted product, a ridge and a likelihood; here is what the
default makes of the same study, and what one simulation that is believed makes of it.

Coverage alone is won by wide intervals. The interval score is their width plus a fine
for every miss, and is smallest on average for honest intervals.

``python examples/plot_gaussian_study.py [figure.png]``; with ``SKTAMM_FULL=1`` in the
environment at the published size, 30 sets of simulations and 300 experiments each.
"""

import os
import sys

import matplotlib.pyplot as plt
import pandas as pd

from sktamm import BinnedTopicTAMM
from sktamm.baselines import SingleSimulation
from sktamm.coverage import coverage_study
from sktamm.datasets import make_gaussian_study

FULL = bool(os.environ.get("SKTAMM_FULL"))
N_SETS, N_EXPERIMENTS, N_EVENTS = (30, 300, 50_000) if FULL else (12, 10, 10_000)
LEVELS = (0.683, 0.955)

# %%
# The published numbers, of 30 sets x 300 experiments: coverage at both levels, and the
# interval score at 68.3 %.

PUBLISHED = pd.DataFrame(
    {
        "coverage_0.683": [0.092, 0.239, 0.292, 0.484, 0.543, 0.639],
        "coverage_0.955": [0.190, 0.463, 0.610, 0.778, 0.849, 0.917],
        "interval_score_0.683": [0.282, 0.185, 0.215, 0.194, 0.212, 0.154],
    },
    index=[1, 2, 4, 6, 8, 10],
)

# %%
# A set of simulations is fitted once; datasets of the truth, which no simulation knows,
# are then drawn from labelled events. Every set is a group: experiments that share
# their simulations share their luck, and errors come from the scatter of the groups.


def study_of(estimator, n_simulations, seed):
    """Experiments with one set of simulations."""
    study = make_gaussian_study(
        n_simulations=n_simulations,
        n_events=N_EVENTS,
        n_signal=20_000,
        n_background=200_000,
        random_state=seed,
    )
    estimator.fit(study.X, study.y, simulation=study.simulation)
    return coverage_study(
        estimator,
        study.X_target,
        study.y_target,
        kappas=study.kappa,
        sizes=55_000,
        n_datasets=N_EXPERIMENTS,
        levels=LEVELS,
        group=seed,
        random_state=seed,
    )


def row_of(estimator, n_simulations):
    """Measures of a method over all sets of one size."""
    results = [study_of(estimator, n_simulations, seed) for seed in range(N_SETS)]
    return results[0].merge(*results[1:]).table().iloc[0]


sizes = [2, 4, 6, 8, 10]
ours = pd.DataFrame({k: row_of(BinnedTopicTAMM(bins=10), k) for k in sizes}).T
single = row_of(SingleSimulation(BinnedTopicTAMM(bins=10)), 2)

table = ours[list(PUBLISHED)].join(PUBLISHED.add_suffix(", published"))
print(table.astype(float).round(3).to_string())
print("one simulation\n", single[list(PUBLISHED)].astype(float).round(3).to_string())

# %%
# Published intervals become honest only with many simulations, and then are wide. From
# four simulations on the default covers this truth more often than asked, for it lies
# nearer to their middle than one more simulation would, and has less than half of the
# interval score. With two simulations, one difference is all that is known of the
# spread.

figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for level, color in zip(LEVELS, ("C0", "C1"), strict=True):
    column = f"coverage_{level}"
    ends = [
        (
            ours[f"coverage_{end}_{level}"].astype(float) - ours[column].astype(float)
        ).abs()
        for end in ("lower", "upper")
    ]
    axes[0].errorbar(
        sizes, ours[column].astype(float), ends, fmt="o-", color=color, label="default"
    )
    axes[0].plot(PUBLISHED[column], "s--", color=color, mfc="white", label="published")
    axes[0].axhline(level, color=color, lw=0.8)
    axes[0].text(
        11.5, level, f"{100 * level:g} %", va="bottom", ha="right", color=color
    )
axes[0].set(xlabel="simulations K", ylabel="coverage", ylim=(0, 1.02), xlim=(0.5, 11.6))
axes[0].legend(fontsize="small", ncols=2)
score = "interval_score_0.683"
axes[1].plot(sizes, ours[score].astype(float), "o-", label="default")
axes[1].plot(PUBLISHED[score], "s--", color="C0", mfc="white", label="published")
axes[1].plot([1], [single[score]], "^", color="C3", label="one simulation, here")
axes[1].set(xlabel="simulations K", ylabel="interval score at 68.3 %", ylim=(0, None))
axes[1].legend(fontsize="small")
if len(sys.argv) > 1:
    figure.savefig(sys.argv[1], dpi=100)
else:
    plt.show()
